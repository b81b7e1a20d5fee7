/* squad: threads that have nothing else to do help with the work of others: they compress blocks
 * for those who write tables (press.h).
 *
 * Nobody waits for a thread to come: who offers work goes on as if it were alone, and whatever a
 * helper has taken by then it need not do itself. The only thing it ever waits for is a piece of
 * work that a helper is at at that moment.
 *
 * A thread that would help only where others want the processor is of no use: it takes from readers
 * and writers what it gives to jobs. So those who run jobs tell how often they were made to wait
 * for a processor (squad_feel()), and while that is often nobody helps, and jobs are not cut.
 *
 * What is offered is a task: `take` picks something to do, with the squad's lock held; `run` does
 * it, without the lock; `done` is told, with the lock held. */
#ifndef VARVE_STORE_SQUAD_H
#define VARVE_STORE_SQUAD_H

#include <pthread.h>

#include "store/env.h"

struct squad_task {
    void *(*take)(struct squad_task *task); /* NULL: nothing to do now */
    void (*run)(struct squad_task *task, void *work);
    void (*done)(struct squad_task *task, void *work);
    uint32_t working; /* [lock] helpers that are at it */
    struct squad_task *next;
};

struct squad {
    pthread_mutex_t lock;
    pthread_cond_t work;  /* [lock] there is something to take */
    pthread_cond_t ended; /* [lock] a helper has done something */
    struct squad_task *tasks;
    uint32_t task_count;       /* [lock to set; atomic to read] */
    uint32_t waiting, helping; /* [lock] threads */
    uint64_t helped;           /* [lock] pieces of work that helpers did */
    uint64_t crowded_until;    /* atomic: by the real clock */
    /* Called without the lock when there is a task after there was none: who has nothing to do may
     * sleep where the squad cannot wake it. */
    void (*wake)(void *ctx);
    void *wake_ctx;
};

void squad_init(struct squad *s, void (*wake)(void *ctx), void *ctx);
void squad_release(struct squad *s); /* no task and no helper is left: asserted */

/* Offers a task until squad_leave(), which waits for helpers that are at work on it. */
void squad_join(struct squad *s, struct squad_task *task);
void squad_leave(struct squad *s, struct squad_task *task);

/* For a thread that has nothing else to do: works for a while, or waits for work for a moment, if
 * there are tasks and no more than `most` others do so. 0, or 1: no task, or too many helpers. */
int squad_help(struct squad *s, uint32_t most);
uint64_t squad_helped(struct squad *s);

/* What a thread that has been busy since then remembers; zero-initialised at first. */
struct squad_feeling {
    uint64_t since_ns, preemptions;
};
/* Called by it now and then: was it kept from its work by others? */
void squad_feel(struct squad *s, struct env *env, struct squad_feeling *f);
/* The same for a thread that was away from its processor for so many times in so many ns. */
void squad_note(struct squad *s, uint64_t preemptions, uint64_t ns);
/* Do more threads want to run than there are processors? */
bool squad_crowded(struct squad *s);

#endif
