/* cache_shard: hash table with chains, and CLOCK with use counts.
 *
 * Invariants:
 *   1. An item is resident if and only if it is in the table and in the ring; both change under
 *      the mutex.
 *   2. While an item is resident its reference count is at least 1. It rises from 1 only under the
 *      mutex, so whoever holds the mutex and reads 1 may evict.
 *   3. `bytes` is the sum of the charges of the `count` resident items. */
#include "store/cache_shard.h"

#include <assert.h>
#include <stdlib.h>

#include "store/pages.h"

enum {
    BUCKETS_MIN = 64, /* a power of two */
    USE_MAX = 3,
};

/* What an item costs beside its memory: an allocator's header and its share of the buckets. */
enum { ITEM_OVERHEAD = 16 + sizeof(void *) };

/* The finaliser of splitmix64 (Steele, Lea, Flood, 2014) over both numbers: the regularity of
 * offsets must not show. */
uint64_t cached_hash(uint64_t file, uint64_t offset)
{
    uint64_t h = file * UINT64_C(0x9e3779b97f4a7c15) + offset;
    h = (h ^ (h >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    h = (h ^ (h >> 27)) * UINT64_C(0x94d049bb133111eb);
    return h ^ (h >> 31);
}

uint64_t cached_charge(const struct cached *item)
{
    return pages_size(sizeof *item + item->pub.data.len) + ITEM_OVERHEAD;
}

struct cached *cached_new(size_t len)
{
    struct cached *item = pages_alloc(sizeof *item + len);
    memset(item, 0, sizeof *item);
    item->pub.data = slice_of(item->bytes, len);
    atomic_init(&item->refs, 1);
    return item;
}

void cached_name(struct cached *item, uint64_t file, uint64_t offset)
{
    assert(!item->resident && atomic_load(&item->refs) == 1);
    item->file = file;
    item->offset = offset;
    item->hash = cached_hash(file, offset);
}

void cached_free(struct cached *item)
{
    assert(!item->resident);
    pages_free(item, sizeof *item + item->pub.data.len);
}

void cache_shard_init(struct cache_shard *s)
{
    pthread_mutex_init(&s->mutex, NULL);
    s->bucket_count = BUCKETS_MIN;
    s->buckets = mem_zalloc(s->bucket_count * sizeof *s->buckets);
}

/* ---- the table ---- */

static struct cached **bucket_of(struct cache_shard *s, uint64_t hash)
{
    return &s->buckets[hash & (s->bucket_count - 1)];
}

static void table_insert(struct cache_shard *s, struct cached *item)
{
    struct cached **bucket = bucket_of(s, item->hash);
    item->chain = *bucket;
    *bucket = item;
}

static void table_remove(struct cache_shard *s, struct cached *item)
{
    struct cached **link = bucket_of(s, item->hash);
    while (*link != item)
        link = &(*link)->chain;
    *link = item->chain;
}

struct cached *cache_shard_find(struct cache_shard *s, uint64_t hash, uint64_t file,
                                uint64_t offset)
{
    struct cached *item = *bucket_of(s, hash);
    while (item && (item->file != file || item->offset != offset))
        item = item->chain;
    return item;
}

static void table_grow(struct cache_shard *s)
{
    struct cached **old = s->buckets;
    size_t old_count = s->bucket_count;
    s->bucket_count = old_count * 2;
    s->buckets = mem_zalloc(s->bucket_count * sizeof *s->buckets);
    for (size_t i = 0; i < old_count; i++) {
        for (struct cached *item = old[i], *following; item; item = following) {
            following = item->chain;
            table_insert(s, item);
        }
    }
    free(old);
}

/* ---- the ring ---- */

/* Behind the hand: it is the last that the hand will come to. */
static void ring_insert(struct cache_shard *s, struct cached *item)
{
    if (!s->hand) {
        item->prev = item->next = item;
        s->hand = item;
        return;
    }
    item->next = s->hand;
    item->prev = s->hand->prev;
    item->prev->next = item;
    item->next->prev = item;
}

static void ring_remove(struct cache_shard *s, struct cached *item)
{
    if (s->hand == item)
        s->hand = item->next == item ? NULL : item->next;
    item->prev->next = item->next;
    item->next->prev = item->prev;
}

/* ---- both ---- */

struct cached *cache_shard_pin(struct cache_shard *s, uint64_t hash, uint64_t file, uint64_t offset)
{
    struct cached *item = cache_shard_find(s, hash, file, offset);
    if (item) {
        assert(item->resident);
        atomic_fetch_add_explicit(&item->refs, 1, memory_order_relaxed);
        if (item->use < USE_MAX)
            item->use++;
    }
    return item;
}

void cache_shard_insert(struct cache_shard *s, struct cached *item)
{
    assert(!item->resident);
    assert(!cache_shard_find(s, item->hash, item->file, item->offset));
    if (s->count == s->bucket_count)
        table_grow(s);
    table_insert(s, item);
    ring_insert(s, item);
    item->resident = true;
    s->count++;
    atomic_fetch_add_explicit(&s->bytes, cached_charge(item), memory_order_relaxed);
}

static void remove_item(struct cache_shard *s, struct cached *item)
{
    assert(item->resident && s->count > 0);
    table_remove(s, item);
    ring_remove(s, item);
    item->resident = false;
    s->count--;
    atomic_fetch_sub_explicit(&s->bytes, cached_charge(item), memory_order_relaxed);
}

struct cached *cache_shard_take(struct cache_shard *s, uint64_t hash, uint64_t file,
                                uint64_t offset)
{
    struct cached *item = cache_shard_find(s, hash, file, offset);
    if (!item)
        return NULL;
    item->use = 0;
    if (atomic_load(&item->refs) > 1)
        return NULL;
    remove_item(s, item);
    return item;
}

struct cached *cache_shard_take_victim(struct cache_shard *s, bool spare_kept)
{
    /* Each round lowers every use count, so one round more than they go high finds a victim. */
    for (size_t steps = s->count * (USE_MAX + 1); steps > 0; steps--) {
        struct cached *item = s->hand;
        s->hand = item->next;
        /* Also an acquire: what the last holder read of the data came before it is freed. */
        if (atomic_load(&item->refs) > 1 || (item->kept && spare_kept))
            continue;
        if (item->use == 0) {
            remove_item(s, item);
            s->evictions++;
            return item;
        }
        item->use--;
    }
    return NULL;
}

void cache_shard_assert_valid(const struct cache_shard *s)
{
    size_t in_table = 0, in_ring = 0;
    uint64_t bytes = 0;
    for (size_t i = 0; i < s->bucket_count; i++) {
        for (const struct cached *item = s->buckets[i]; item; item = item->chain) {
            assert(item->resident && item->use <= USE_MAX && atomic_load(&item->refs) >= 1);
            assert((item->hash & (s->bucket_count - 1)) == i);
            bytes += cached_charge(item);
            in_table++;
        }
    }
    const struct cached *item = s->hand;
    for (; item && in_ring <= s->count && (in_ring == 0 || item != s->hand); in_ring++) {
        assert(item->resident && item->next->prev == item);
        item = item->next;
    }
    assert(in_table == s->count && in_ring == s->count);
    assert(bytes == atomic_load(&s->bytes));
}

void cache_shard_release(struct cache_shard *s)
{
    cache_shard_assert_valid(s);
    while (s->hand) {
        struct cached *item = s->hand;
        assert(atomic_load(&item->refs) == 1);
        remove_item(s, item);
        cached_free(item);
    }
    assert(s->count == 0 && atomic_load(&s->bytes) == 0);
    free(s->buckets);
    pthread_mutex_destroy(&s->mutex);
}
