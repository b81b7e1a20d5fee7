/* lock: see lock.h. Shards ascend in every set, and a thread takes one set at a time, so no circle
 * of waiting can close. */
#include "fs/lock.h"

void locks_init(struct locks *l)
{
    for (int i = 0; i < LOCK_SHARDS; i++)
        pthread_mutex_init(&l->shard[i], NULL);
}

void locks_release(struct locks *l)
{
    for (int i = 0; i < LOCK_SHARDS; i++)
        pthread_mutex_destroy(&l->shard[i]);
}

static uint16_t shard_of(uint64_t ino)
{
    return (uint16_t)((ino * UINT64_C(0x9e3779b97f4a7c15)) >> 54);
}

static void insert(struct lock_set *set, uint16_t shard)
{
    uint32_t i = set->count;
    assert(shard < LOCK_SHARDS && i < LOCK_INODES_MAX);
    while (i > 0 && set->shards[i - 1] > shard)
        i--;
    if (i > 0 && set->shards[i - 1] == shard)
        return;
    for (uint32_t j = set->count; j > i; j--)
        set->shards[j] = set->shards[j - 1];
    set->shards[i] = shard;
    set->count++;
}

void lock_take(struct locks *l, const uint64_t *inos, size_t count, struct lock_set *set)
{
    assert(count <= LOCK_INODES_MAX);
    set->count = 0;
    for (size_t i = 0; i < count; i++)
        if (inos[i])
            insert(set, shard_of(inos[i]));
    for (uint32_t i = 0; i < set->count; i++) {
        assert(i == 0 || set->shards[i - 1] < set->shards[i]);
        pthread_mutex_lock(&l->shard[set->shards[i]]);
    }
}

void lock_drop(struct locks *l, struct lock_set *set)
{
    while (set->count > 0)
        pthread_mutex_unlock(&l->shard[set->shards[--set->count]]);
}
