/* purge: removes files that nothing refers to any more, and gives back the front of tables that a
 * compaction in slices has taken. Files are queued by whoever drops the last reference, which may
 * be a reader, and removed by a background step, so that no reader waits for it. */
#ifndef VARVE_STORE_PURGE_H
#define VARVE_STORE_PURGE_H

#include <pthread.h>

#include "store/env.h"
#include "store/table.h"

struct purge_file {
    enum file_kind kind;
    uint64_t number;
    struct table *table; /* a reference, if it is open; NULL: it is not */
    uint64_t from, end;  /* only this hole is to be made in it; end 0: it is to be removed */
};

struct purge {
    struct env *env;
    const char *dir;
    pthread_mutex_t lock;
    struct purge_file *files; /* [lock] */
    size_t count, cap;
    uint32_t paused;        /* [lock] */
    uint32_t running;       /* [lock] removals and punches that are under way */
    pthread_cond_t idle;    /* [lock] running has become 0 */
    uint64_t punched_bytes; /* atomic: given back by holes, ever */
};

void purge_init(struct purge *p, struct env *env, const char *dir);
/* What is still queued stays on disk; the next open removes it. */
void purge_release(struct purge *p);
void purge_add(struct purge *p, enum file_kind kind, uint64_t number);
/* A table that is open. Takes the reference over: what the cache has of it goes with the file. */
void purge_add_table(struct purge *p, uint64_t number, struct table *table);
/* Nobody needs what is not part of `left` any more: its hole is punched, unless the file has
 * another name, whose owner may. Its companion goes before, since it cannot rebuild anything
 * without what was there; a scrub makes it anew. */
void purge_add_hole(struct purge *p, const struct table_meta *left);
/* The same if it looks as if that had not been done, as after a power cut. */
void purge_find_hole(struct purge *p, const struct table_meta *left);
/* From its return to the resume that belongs to it nothing is removed, and purge_begin() refuses.
 * Several may pause at once. */
void purge_pause(struct purge *p);
void purge_resume(struct purge *p);
/* Whoever takes something from a file while others may link to it (punching a hole) brackets that
 * with these. False: not now. */
bool purge_begin(struct purge *p);
void purge_end(struct purge *p);
/* Removes and punches all that is queued, unless paused. Returns 0 if there was anything, 1 if not.
 * A file that cannot be removed is logged and left to the next open. */
int purge_run(struct purge *p);

#endif
