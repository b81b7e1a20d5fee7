/* lookups: see lookups.h. A hash table in shards, each with its lock, open addressing and linear
 * probing; 16 bytes for each inode.
 *
 * Invariants, of each shard:
 *  1. slots is a power of two, or 0; at least a quarter of the slots is free.
 *  2. An entry stands at its home slot or after it, with no free slot between (so removal shifts
 * back what follows).
 *  3. An entry exists while its count is above 0. */
#include "mount/lookups.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "fs/fs.h"

enum { SHARDS = 16, SLOTS_MIN = 64, WRITER_BITS = 20 };
#define COUNT_MAX (UINT64_MAX >> WRITER_BITS)

struct entry {
    uint64_t ino; /* 0: free */
    uint64_t count : 64 - WRITER_BITS, writers : WRITER_BITS;
};

struct shard {
    pthread_mutex_t lock;
    struct entry *entries; /* [lock] */
    size_t slots, used;    /* [lock] */
} __attribute__((aligned(64)));

struct lookups {
    struct shard shards[SHARDS];
};

static bool is_counted(uint64_t ino)
{
    return ino >= FS_INO_FIRST && ino >> FS_INO_BITS == 0;
}

static uint64_t hash(uint64_t ino)
{
    uint64_t h = ino * UINT64_C(0x9e3779b97f4a7c15); /* Fibonacci hashing: its high bits are good */
    return h ^ h >> 32;
}

struct lookups *lookups_new(void)
{
    struct lookups *t = mem_aligned(_Alignof(struct lookups), sizeof *t);
    for (size_t i = 0; i < SHARDS; i++)
        pthread_mutex_init(&t->shards[i].lock, NULL);
    return t;
}

void lookups_free(struct lookups *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < SHARDS; i++) {
        pthread_mutex_destroy(&t->shards[i].lock);
        free(t->shards[i].entries);
    }
    free(t);
}

static struct shard *lock_shard(struct lookups *t, uint64_t ino)
{
    assert(is_counted(ino));
    struct shard *s = &t->shards[hash(ino) >> 28 & (SHARDS - 1)];
    pthread_mutex_lock(&s->lock);
    return s;
}

/* The entry of `ino`, or the free slot where it would go. [lock held, slots > 0] */
static struct entry *find(const struct shard *s, uint64_t ino)
{
    size_t mask = s->slots - 1, i = hash(ino) & mask;
    assert(s->slots > 0 && s->used < s->slots);
    while (s->entries[i].ino != 0 && s->entries[i].ino != ino)
        i = (i + 1) & mask;
    return &s->entries[i];
}

static void resize(struct shard *s, size_t slots)
{
    struct shard old = *s;
    assert((slots & (slots - 1)) == 0 && s->used < slots);
    s->entries = mem_zalloc(slots * sizeof *s->entries);
    s->slots = slots;
    for (size_t i = 0; i < old.slots; i++)
        if (old.entries[i].ino != 0)
            *find(s, old.entries[i].ino) = old.entries[i];
    free(old.entries);
}

void lookups_add(struct lookups *t, uint64_t ino)
{
    if (!is_counted(ino))
        return;
    struct shard *s = lock_shard(t, ino);
    assert(s->used <= s->slots);
    if (s->used >= s->slots / 4 * 3)
        resize(s, s->slots ? s->slots * 2 : SLOTS_MIN);
    struct entry *e = find(s, ino);
    if (e->ino == 0) {
        *e = (struct entry){.ino = ino};
        s->used++;
    }
    e->count++;
    assert(e->count > 0);
    pthread_mutex_unlock(&s->lock);
}

/* Frees the slot and moves back those after it that would not be found any more: the ones whose
 * home is not between the free slot and where they stand. */
static void remove_entry(struct shard *s, struct entry *e)
{
    size_t mask = s->slots - 1, hole = (size_t)(e - s->entries);
    for (size_t i = (hole + 1) & mask; s->entries[i].ino != 0; i = (i + 1) & mask) {
        size_t home = hash(s->entries[i].ino) & mask;
        if (((i - home) & mask) < ((i - hole) & mask))
            continue;
        s->entries[hole] = s->entries[i];
        hole = i;
    }
    assert(s->used > 0 && s->entries[hole].ino != 0);
    s->entries[hole] = (struct entry){0};
    s->used--;
    if (s->slots > SLOTS_MIN && s->used < s->slots / 8)
        resize(s, s->slots / 2);
}

bool lookups_forget(struct lookups *t, uint64_t ino, uint64_t count)
{
    bool last = false;
    if (!is_counted(ino))
        return false;
    struct shard *s = lock_shard(t, ino);
    struct entry *e = s->slots ? find(s, ino) : NULL;
    if (e && e->ino == ino) {
        last = e->count <= count;
        if (last)
            remove_entry(s, e);
        else
            e->count = (e->count - count) & COUNT_MAX;
    }
    pthread_mutex_unlock(&s->lock);
    return last;
}

/* The count comes from the kernel, which knows the inode by then; if it were wrong, a writer less
 * is counted, no more. */
static void change_writers(struct lookups *t, uint64_t ino, bool more)
{
    if (!is_counted(ino))
        return;
    struct shard *s = lock_shard(t, ino);
    struct entry *e = s->slots ? find(s, ino) : NULL;
    if (e && e->ino == ino && more && e->writers < (1u << WRITER_BITS) - 1)
        e->writers++;
    else if (e && e->ino == ino && !more && e->writers > 0)
        e->writers--;
    pthread_mutex_unlock(&s->lock);
}

void lookups_open(struct lookups *t, uint64_t ino)
{
    change_writers(t, ino, true);
}

void lookups_close(struct lookups *t, uint64_t ino)
{
    change_writers(t, ino, false);
}

bool lookups_has_writer(struct lookups *t, uint64_t ino)
{
    if (!is_counted(ino))
        return false;
    struct shard *s = lock_shard(t, ino);
    struct entry *e = s->slots ? find(s, ino) : NULL;
    bool has = e && e->ino == ino && e->writers > 0;
    pthread_mutex_unlock(&s->lock);
    return has;
}

size_t lookups_count(struct lookups *t)
{
    size_t count = 0;
    for (size_t i = 0; i < SHARDS; i++) {
        pthread_mutex_lock(&t->shards[i].lock);
        count += t->shards[i].used;
        pthread_mutex_unlock(&t->shards[i].lock);
    }
    return count;
}
