/* env_alone: an env whose threads are never started, so that a test takes the steps of the workers
 * itself, or nobody does. */
#ifndef VARVE_UNIT_ENV_ALONE_H
#define VARVE_UNIT_ENV_ALONE_H

#include "store/env.h"

static inline int alone_thread_start(struct env *env, void (*fn)(void *arg), void *arg,
                                     struct env_thread **out)
{
    (void)env;
    (void)fn;
    (void)arg;
    *out = NULL;
    return 0;
}

static inline void alone_thread_join(struct env *env, struct env_thread *thread)
{
    (void)env;
    (void)thread;
}

/* `env` is otherwise as it was. */
static inline void env_alone(struct env *env)
{
    env->thread_start = alone_thread_start;
    env->thread_join = alone_thread_join;
}

#endif
