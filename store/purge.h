/* purge: removes files that nothing refers to any more. Files are queued by whoever drops the last
 * reference, which may be a reader, and removed by a background step, so that no reader waits for
 * it. */
#ifndef VARVE_STORE_PURGE_H
#define VARVE_STORE_PURGE_H

#include <pthread.h>

#include "store/env.h"
#include "store/format.h"

struct purge_file {
    enum file_kind kind;
    uint64_t number;
};

struct purge {
    struct env *env;
    const char *dir;
    pthread_mutex_t lock;
    struct purge_file *files; /* [lock] */
    size_t count, cap;
};

void purge_init(struct purge *p, struct env *env, const char *dir);
/* What is still queued stays on disk; the next open removes it. */
void purge_release(struct purge *p);
void purge_add(struct purge *p, enum file_kind kind, uint64_t number);
/* Removes all that is queued. Returns 0 if there was anything, 1 if not. A file that cannot be
 * removed is logged and left to the next open. */
int purge_run(struct purge *p);

#endif
