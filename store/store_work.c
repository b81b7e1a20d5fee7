/* store_work: background work behind the door. Worker threads live only here. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "store/env.h"
#include "store/store_priv.h"

/* How long a worker sleeps when there is nothing to do, or after an error, unless it is woken. */
enum { IDLE_SECONDS = 1 };

int store_step(struct store *s)
{
    struct tree *t = &s->tree;
    bool did = purge_run(&t->purge) == 0;
    int err = work_wants_seal(t) ? commit_seal(&s->commit) : 0;
    if (err == 0)
        err = work_flush(t);
    if (err == 1)
        err = work_compact(t);
    return err == 1 && did ? 0 : err;
}

static void idle(struct tree *t)
{
    struct timespec until;
    int64_t now = t->env->realtime_ns(t->env) + (int64_t)IDLE_SECONDS * 1000000000;
    until = (struct timespec){.tv_sec = now / 1000000000, .tv_nsec = now % 1000000000};
    pthread_mutex_lock(&t->lock);
    if (!t->closing)
        pthread_cond_timedwait(&t->changed, &t->lock, &until);
    pthread_mutex_unlock(&t->lock);
}

static void worker(void *arg)
{
    struct store *s = arg;
    while (!tree_closing(&s->tree))
        if (store_step(s) != 0)
            idle(&s->tree);
}

int store_start_workers(struct store *s)
{
    struct tree *t = &s->tree;
    s->threads = mem_zalloc(t->opt.workers * sizeof(struct env_thread *));
    for (uint32_t i = 0; i < t->opt.workers; i++) {
        int err = t->env->thread_start(t->env, worker, s, &s->threads[i]);
        if (err < 0)
            return err;
        s->thread_count++;
    }
    return 0;
}

void store_stop_workers(struct store *s)
{
    struct tree *t = &s->tree;
    pthread_mutex_lock(&t->lock);
    __atomic_store_n(&t->closing, true, __ATOMIC_RELEASE);
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
    for (uint32_t i = 0; i < s->thread_count; i++)
        t->env->thread_join(t->env, s->threads[i]);
    free(s->threads);
    s->threads = NULL;
    s->thread_count = 0;
}

int store_work(struct store *s)
{
    assert(s->tree.opt.workers == 0);
    return s->writable ? store_step(s) : 1;
}

/* Waits for a worker to end a job, or to be woken. [no lock held] */
static void wait_for_worker(struct tree *t)
{
    idle(t);
}

int store_flush(struct store *s)
{
    if (!s->writable)
        return -EROFS;
    struct tree *t = &s->tree;
    int err = commit_seal(&s->commit);
    while (err == 0) {
        pthread_mutex_lock(&t->lock);
        bool sealed = viewbox_peek(t->box)->gen_count > 1;
        bool theirs = t->flushing;
        bool failed = t->failure != NULL;
        pthread_mutex_unlock(&t->lock);
        if (failed)
            return -EROFS;
        if (!sealed)
            return 0;
        if (theirs)
            wait_for_worker(t);
        else
            err = work_flush(t) < 0 ? -EIO : 0;
    }
    return err;
}

int store_compact(struct store *s, struct slice start, struct slice limit)
{
    struct tree *t = &s->tree;
    int err = store_flush(s);
    while (err == 0) {
        err = work_compact_range(t, start, limit);
        if (err != 1)
            continue;
        pthread_mutex_lock(&t->lock);
        bool theirs = t->compacting;
        pthread_mutex_unlock(&t->lock);
        if (!theirs)
            return tree_failure(t) ? -EROFS : 0;
        wait_for_worker(t);
        err = 0;
    }
    return err;
}
