/* lock: who may change which inodes. A fixed table of mutexes; an inode belongs to the one that its
 * number hashes to. Readers need none: they read a consistent view of the store. */
#ifndef VARVE_FS_LOCK_H
#define VARVE_FS_LOCK_H

#include <pthread.h>

#include "fs/types.h"

enum { LOCK_SHARDS = 1024, LOCK_INODES_MAX = 8 };

struct locks {
    pthread_mutex_t shard[LOCK_SHARDS];
};

/* A set of inodes that is locked as a whole. */
struct lock_set {
    uint16_t shards[LOCK_INODES_MAX]; /* ascending, no repeats */
    uint32_t count;
};

void locks_init(struct locks *l);
void locks_release(struct locks *l);
/* Locks the shards of all `inos` (repeats and zeros are fine) in ascending order, so that two sets
 * never wait for each other in a circle. A thread holds at most one set. */
void lock_take(struct locks *l, const uint64_t *inos, size_t count, struct lock_set *set);
void lock_drop(struct locks *l, struct lock_set *set);

#endif
