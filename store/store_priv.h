/* store_priv: the open store behind the door; shared by the door's own files only. */
#ifndef VARVE_STORE_STORE_PRIV_H
#define VARVE_STORE_STORE_PRIV_H

#include "store/commit.h"
#include "store/scan.h"
#include "store/store.h"
#include "store/work.h"

struct store {
    struct tree tree;
    struct commit commit;
    bool writable;        /* commit is open */
    pthread_mutex_t pins; /* held while a pin is made, renamed or deleted */
    struct env_thread **threads;
    uint32_t thread_count;
};

/* One background step. 0 did something, 1 nothing to do, or an error. */
int store_step(struct store *s);
int store_start_workers(struct store *s);
void store_stop_workers(struct store *s);

#endif
