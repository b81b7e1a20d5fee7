/* autosync: brings to the disk what was written and what nobody asks to sync: a sync begins the
 * setting commit.interval after it was written, and none when nothing was written.
 *
 * A thread of its own does it, which sleeps until something is written: flushes and compactions,
 * which take long, do not delay it, and it does not wake an idle store. First it syncs the files as
 * anybody could, then as a writer does, through the queue (commit.h): so those who write meanwhile
 * wait only for what came in during the first part.
 *
 * A sync that fails has failed the store, as ever; then there is nothing more to do. */
#ifndef VARVE_STORE_AUTOSYNC_H
#define VARVE_STORE_AUTOSYNC_H

#include "store/env.h"
#include "store/tree.h"

/* Makes everything that was written durable, and calls autosync_done(). 0 or -EROFS. */
typedef int autosync_fn(void *ctx);

struct autosync {
    struct tree *tree;
    autosync_fn *sync;
    void *sync_ctx;
    uint64_t since_ns; /* atomic: monotonic time of the first write that may not be on disk; 0: all
                          is. Set and cleared by the commit leader */
    bool awaited;      /* atomic: the thread sleeps until something is written */
    pthread_mutex_t lock;
    pthread_cond_t bell; /* [lock] */
    bool stop;           /* [lock] */
    struct env_thread *thread;
};

/* `fn` is called by the thread, or by autosync_step(). */
void autosync_init(struct autosync *a, struct tree *t, autosync_fn *fn, void *ctx);
/* The thread has ended, or was never started. */
void autosync_release(struct autosync *a);
/* 0 or a negative errno. */
int autosync_start(struct autosync *a);
/* Returns when the thread has ended. May be called without one. */
void autosync_stop(struct autosync *a);
/* The setting may be another one. */
void autosync_wake(struct autosync *a);

/* By the commit leader: something was written that it does not sync, or all that was written has
 * been synced. The first costs a load where there was something before. */
void autosync_note(struct autosync *a);
void autosync_done(struct autosync *a);

/* Syncs if it is time to, for who has no thread. 0: it did; 1: nothing to do; -EROFS. */
int autosync_step(struct autosync *a);

#endif
