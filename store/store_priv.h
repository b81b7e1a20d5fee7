/* store_priv: the open store behind the door; shared by the door's own files only. */
#ifndef VARVE_STORE_STORE_PRIV_H
#define VARVE_STORE_STORE_PRIV_H

#include "store/commit.h"
#include "store/scan.h"
#include "store/scrub.h"
#include "store/store.h"
#include "store/work.h"

struct store {
    struct tree tree;
    struct commit commit;
    struct scrub scrub;
    bool scrubbed;           /* scrub is initialised */
    bool writable;           /* commit is open */
    pthread_mutex_t pins;    /* held while a pin is made, renamed or deleted */
    pthread_mutex_t setting; /* held while a setting is changed and applied */
    uint64_t lent;           /* [setting] bytes that the caller takes of the cache's */
    bool pulled;             /* opened without workers: the caller does the work; constant */
    struct store_worker {
        struct store *store;
        uint32_t index;
        struct env_thread *thread;    /* [setting] NULL: there is none */
        bool ended;                   /* [tree.lock] it has nothing more to do but return */
    } workers[1 + STORE_WORKERS_MAX]; /* the first does nothing but flush, and goes with the
                                         second */
};

/* One background step. 0 did something, 1 nothing to do, or an error. */
int store_step(struct store *s);
/* A step of scrubbing, if one is under way or due: 0, or 1 when there is nothing to do now. */
int store_scrub_work(struct store *s);
/* As many workers as are set: starts those that are missing, and lets go of those that are too many
 * once they have ended their job. [setting held, or the store is being opened] */
int store_adjust_workers(struct store *s);
/* Brings what is sealed now into tables; writers may seal more meanwhile. 0 or an error. */
int store_flush_sealed(struct tree *t);
void store_stop_workers(struct store *s);

#endif
