/* lookups: see lookups.h. Sixteen inodes with neighbouring numbers share an entry of 16 bytes, with
 * four bits of count and one for a writer each. What does not fit there, which is rare, has an
 * entry of its own in a second table. Both are hash tables in shards, each with its lock, open
 * addressing and linear probing.
 *
 * Invariants, of each shard:
 *  1. cap of a table is a power of two, or 0; at least a quarter of the slots is free, and of more
 * than SLOTS_MIN at least a quarter is used.
 *  2. A slot that is used stands at its home or after it, with no free one between (so removal
 * shifts back what follows).
 *  3. A group is there while it has an inode with a count above 0.
 *  4. An inode is in `many` if and only if its group has the count MANY for it, and that is so if
 * and only if it does not fit into the group. */
#include "mount/lookups.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "fs/fs.h"

enum {
    SHARDS = 16,
    SLOTS_MIN = 64,
    GROUP = 16, /* inodes of a group */
    COUNT_BITS = 4,
    MANY = 15, /* count of an inode that is in the other table */
    ID_SHIFT = 16,
    WRITER_BITS = 20,
};
#define WRITERS_MAX ((UINT64_C(1) << WRITER_BITS) - 1)
_Static_assert(GROUP *COUNT_BITS == 64 && GROUP <= ID_SHIFT, "a group's bits fit its slot");
/* 2^44 look-ups of one inode that are not forgotten: at 100,000 a second, those of five years. */
#define COUNT_MAX (UINT64_MAX >> WRITER_BITS)
_Static_assert((int)FS_INO_FIRST >= (int)GROUP && FS_INO_BITS <= 64 - ID_SHIFT,
               "no id is 0, or too large");

/* Of a group: `key` is its number and a bit for each inode that has a writer, `value` the counts.
 * Of a single inode: its number; its count, and the number of writers. */
struct slot {
    uint64_t key; /* id << ID_SHIFT, with the bits; 0: free */
    uint64_t value;
};

struct table {
    struct slot *slots;
    size_t cap, used;
};

struct shard {
    pthread_mutex_t lock;
    struct table groups, many; /* [lock] */
    size_t known;              /* [lock] inodes */
} __attribute__((aligned(64)));

struct lookups {
    struct shard shards[SHARDS];
    size_t slots; /* atomic: in the tables of all shards */
    lookups_memory_fn *fn;
    void *fn_ctx;
};

/* What is known of an inode. */
struct known {
    uint64_t count, writers;
};

/* ---- a hash table ---- */

static uint64_t hash(uint64_t id)
{
    uint64_t h = id * UINT64_C(0x9e3779b97f4a7c15); /* Fibonacci hashing: its high bits are good */
    return h ^ h >> 32;
}

static uint64_t slot_id(const struct slot *s)
{
    return s->key >> ID_SHIFT;
}

/* The slot of `id`, or the free one where it would go. */
static struct slot *table_find(const struct table *t, uint64_t id)
{
    size_t mask = t->cap - 1, i = hash(id) & mask;
    assert(id != 0 && t->cap > 0 && t->used < t->cap);
    while (t->slots[i].key != 0 && slot_id(&t->slots[i]) != id)
        i = (i + 1) & mask;
    return &t->slots[i];
}

/* NULL: it is not there. */
static struct slot *table_get(const struct table *t, uint64_t id)
{
    struct slot *s = t->cap ? table_find(t, id) : NULL;
    return s && s->key != 0 ? s : NULL;
}

static void table_resize(struct table *t, size_t cap)
{
    struct table old = *t;
    assert((cap & (cap - 1)) == 0 && t->used < cap);
    t->slots = mem_zalloc(cap * sizeof *t->slots);
    t->cap = cap;
    for (size_t i = 0; i < old.cap; i++)
        if (old.slots[i].key != 0)
            *table_find(t, slot_id(&old.slots[i])) = old.slots[i];
    free(old.slots);
}

/* The slot of `id`, which is made if it is not there. */
static struct slot *table_put(struct table *t, uint64_t id)
{
    assert(t->used <= t->cap);
    struct slot *s = table_get(t, id);
    if (s)
        return s;
    if (t->used >= t->cap / 4 * 3)
        table_resize(t, t->cap ? t->cap * 2 : SLOTS_MIN);
    s = table_find(t, id);
    *s = (struct slot){.key = id << ID_SHIFT};
    t->used++;
    return s;
}

/* Frees the slot and moves back those after it that would not be found any more: the ones whose
 * home is not between the free slot and where they stand. */
static void table_remove(struct table *t, struct slot *s)
{
    size_t mask = t->cap - 1, hole = (size_t)(s - t->slots);
    assert(t->used > 0 && s->key != 0);
    for (size_t i = (hole + 1) & mask; t->slots[i].key != 0; i = (i + 1) & mask) {
        size_t home = hash(slot_id(&t->slots[i])) & mask;
        if (((i - home) & mask) < ((i - hole) & mask))
            continue;
        t->slots[hole] = t->slots[i];
        hole = i;
    }
    t->slots[hole] = (struct slot){0};
    t->used--;
    if (t->cap > SLOTS_MIN && t->used < t->cap / 4)
        table_resize(t, t->cap / 2);
}

/* ---- one inode ---- */

static unsigned place_in(uint64_t ino)
{
    return ino % GROUP;
}

static uint64_t count_in(const struct slot *group, uint64_t ino)
{
    return group->value >> place_in(ino) * COUNT_BITS & MANY;
}

static void set_in(struct slot *group, uint64_t ino, uint64_t count, bool writer)
{
    unsigned at = place_in(ino);
    assert(count <= MANY);
    group->value &= ~((uint64_t)MANY << at * COUNT_BITS);
    group->value |= count << at * COUNT_BITS;
    group->key &= ~(UINT64_C(1) << at);
    group->key |= (uint64_t)writer << at;
}

static struct known known_of(const struct shard *s, uint64_t ino)
{
    const struct slot *group = table_get(&s->groups, ino / GROUP);
    uint64_t count = group ? count_in(group, ino) : 0;
    if (count < MANY)
        return (struct known){count, count ? group->key >> place_in(ino) & 1 : 0};
    const struct slot *own = table_get(&s->many, ino);
    assert(own);
    return (struct known){own->value >> WRITER_BITS, own->value & WRITERS_MAX};
}

static bool fits(const struct known *k)
{
    return k->count < MANY && k->writers <= 1;
}

static void set_many(struct shard *s, uint64_t ino, const struct known *k)
{
    assert(k->count <= COUNT_MAX && k->writers <= WRITERS_MAX);
    table_put(&s->many, ino)->value = k->count << WRITER_BITS | k->writers;
}

static void set_known(struct shard *s, uint64_t ino, const struct known *old, struct known k)
{
    if (k.count == 0)
        k.writers = 0;
    s->known += (k.count != 0) - (size_t)(old->count != 0);
    if (!fits(old) && fits(&k))
        table_remove(&s->many, table_get(&s->many, ino));
    else if (!fits(&k))
        set_many(s, ino, &k);
    struct slot *group = table_put(&s->groups, ino / GROUP);
    set_in(group, ino, fits(&k) ? k.count : MANY, fits(&k) && k.writers);
    if (group->value == 0)
        table_remove(&s->groups, group);
}

/* ---- the door ---- */

static bool is_counted(uint64_t ino)
{
    return ino >= FS_INO_FIRST && ino >> FS_INO_BITS == 0;
}

struct lookups *lookups_new(lookups_memory_fn *fn, void *ctx)
{
    struct lookups *t = mem_aligned(_Alignof(struct lookups), sizeof *t);
    t->slots = 0;
    t->fn = fn;
    t->fn_ctx = ctx;
    for (size_t i = 0; i < SHARDS; i++) {
        t->shards[i] = (struct shard){.known = 0};
        pthread_mutex_init(&t->shards[i].lock, NULL);
    }
    return t;
}

void lookups_free(struct lookups *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < SHARDS; i++) {
        pthread_mutex_destroy(&t->shards[i].lock);
        free(t->shards[i].groups.slots);
        free(t->shards[i].many.slots);
    }
    free(t);
}

static struct shard *lock_shard(struct lookups *t, uint64_t ino)
{
    assert(is_counted(ino));
    struct shard *s = &t->shards[hash(ino / GROUP) >> 28 & (SHARDS - 1)];
    pthread_mutex_lock(&s->lock);
    return s;
}

static size_t slots_of(const struct shard *s)
{
    return s->groups.cap + s->many.cap;
}

/* Sets what is known, and leaves the shard. */
static void change_shard(struct lookups *t, struct shard *s, uint64_t ino, const struct known *old,
                         struct known k)
{
    size_t before = slots_of(s);
    set_known(s, ino, old, k);
    size_t after = slots_of(s);
    pthread_mutex_unlock(&s->lock);
    if (after == before)
        return;
    size_t slots = __atomic_add_fetch(&t->slots, after - before, __ATOMIC_RELAXED);
    if (t->fn)
        t->fn(t->fn_ctx, sizeof *t + slots * sizeof(struct slot));
}

void lookups_add(struct lookups *t, uint64_t ino)
{
    if (!is_counted(ino))
        return;
    struct shard *s = lock_shard(t, ino);
    struct known old = known_of(s, ino);
    change_shard(t, s, ino, &old, (struct known){old.count + 1, old.writers});
}

bool lookups_forget(struct lookups *t, uint64_t ino, uint64_t count)
{
    if (!is_counted(ino))
        return false;
    struct shard *s = lock_shard(t, ino);
    struct known old = known_of(s, ino);
    uint64_t left = old.count > count ? old.count - count : 0;
    if (old.count > 0)
        change_shard(t, s, ino, &old, (struct known){left, old.writers});
    else
        pthread_mutex_unlock(&s->lock);
    return old.count > 0 && left == 0;
}

/* The count comes from the kernel, which knows the inode by then; if it were wrong, a writer less
 * is counted, no more. */
static void change_writers(struct lookups *t, uint64_t ino, bool more)
{
    if (!is_counted(ino))
        return;
    struct shard *s = lock_shard(t, ino);
    struct known old = known_of(s, ino);
    bool possible = old.count > 0 && (more ? old.writers < WRITERS_MAX : old.writers > 0);
    if (possible)
        change_shard(t, s, ino, &old,
                     (struct known){old.count, more ? old.writers + 1 : old.writers - 1});
    else
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
    bool has = known_of(s, ino).writers > 0;
    pthread_mutex_unlock(&s->lock);
    return has;
}

size_t lookups_count(struct lookups *t)
{
    size_t count = 0;
    for (size_t i = 0; i < SHARDS; i++) {
        pthread_mutex_lock(&t->shards[i].lock);
        count += t->shards[i].known;
        pthread_mutex_unlock(&t->shards[i].lock);
    }
    return count;
}

size_t lookups_bytes(struct lookups *t)
{
    return sizeof *t + __atomic_load_n(&t->slots, __ATOMIC_RELAXED) * sizeof(struct slot);
}
