/* cache: shards under one budget.
 *
 * A hit takes its shard's mutex for a hash lookup and two increments; a release takes none. An
 * insertion first reserves its bytes from the common budget, evicting if need be. The budget is
 * common so that an item may be larger than a shard's share of it; victims come from shards that
 * are above their share, the item's own first, so that the shards stay of one size.
 *
 * Guarantees: what is pinned is never freed; resident bytes never exceed the capacity, except by
 * items that were pinned while it shrank, and by these only until they are released.
 *
 * Invariants:
 *   1. `used` is the sum of the shards' bytes and of reservations about to become resident.
 *   2. `used` grows only in reserve(), which never takes it above the capacity.
 *   3. `kept` is the sum of the charges of resident items that are kept; it grows only in keep(),
 *      which never takes it above its part of the capacity.
 *   4. An item that did not fit ("loose") is in no shard and lives by its pins alone. */
#include "store/cache.h"

#include <assert.h>
#include <stdlib.h>

#include "store/cache_shard.h"

enum { SHARD_COUNT_LOG2 = 4, SHARD_COUNT = 1 << SHARD_COUNT_LOG2 };
enum { KEPT_PART = 4 }; /* of the capacity may be kept */

struct cache {
    struct cache_shard shards[SHARD_COUNT];
    _Atomic uint64_t capacity;
    _Atomic uint64_t used;
    _Atomic uint64_t kept; /* of these, charges of items that are kept */
    _Atomic uint64_t loose_bytes, loose_count;
    atomic_uint turn; /* the shard that gives when none is above its share */
};

/* By the upper bits; the shards' buckets go by the lower. */
static size_t shard_index(uint64_t hash)
{
    return hash >> (64 - SHARD_COUNT_LOG2);
}

struct cache *cache_new(uint64_t capacity_bytes)
{
    struct cache *c = mem_zalloc(sizeof *c);
    for (size_t i = 0; i < SHARD_COUNT; i++)
        cache_shard_init(&c->shards[i]);
    atomic_init(&c->capacity, capacity_bytes);
    return c;
}

void cache_free(struct cache *c)
{
    if (!c)
        return;
    assert(atomic_load(&c->loose_count) == 0);
    for (size_t i = 0; i < SHARD_COUNT; i++)
        cache_shard_release(&c->shards[i]);
    free(c);
}

/* ---- the budget ---- */

/* Is what is kept no more than may be? It is more after the capacity shrank. */
static bool keeps(struct cache *c)
{
    return atomic_load(&c->kept) <= atomic_load(&c->capacity) / KEPT_PART;
}

/* Under the mutex of the item's shard. */
static void keep(struct cache *c, struct cached *item)
{
    uint64_t charge = cached_charge(item), kept = atomic_load(&c->kept);
    while (!item->kept && kept + charge <= atomic_load(&c->capacity) / KEPT_PART)
        item->kept = atomic_compare_exchange_weak(&c->kept, &kept, kept + charge);
}

/* Frees what was taken out of its shard. */
static void free_taken(struct cache *c, struct cached *item)
{
    if (item->kept)
        atomic_fetch_sub(&c->kept, cached_charge(item));
    assert(atomic_load(&item->refs) == 1);
    atomic_fetch_sub(&c->used, cached_charge(item));
    cached_free(item);
}

/* Evicts one item of the first shard, from `first` on, that has a victim and more than `floor`
 * bytes. */
static bool evict_from(struct cache *c, size_t first, uint64_t floor)
{
    for (size_t i = 0; i < SHARD_COUNT; i++) {
        struct cache_shard *s = &c->shards[(first + i) % SHARD_COUNT];
        if (atomic_load_explicit(&s->bytes, memory_order_relaxed) <= floor)
            continue;
        pthread_mutex_lock(&s->mutex);
        struct cached *victim = cache_shard_take_victim(s, keeps(c));
        pthread_mutex_unlock(&s->mutex);
        if (victim) {
            free_taken(c, victim);
            return true;
        }
    }
    return false;
}

/* Evicts one item, for one that will go to shard `home`; false if all are pinned. */
static bool evict_one(struct cache *c, size_t home)
{
    if (evict_from(c, home, atomic_load(&c->capacity) / SHARD_COUNT))
        return true;
    return evict_from(c, atomic_fetch_add_explicit(&c->turn, 1, memory_order_relaxed), 0);
}

/* Takes `charge` from the budget, for shard `home`; false if it cannot be had. `evicting`: at the
 * cost of others, if need be. */
static bool reserve(struct cache *c, size_t home, uint64_t charge, bool evicting)
{
    for (;;) {
        uint64_t used = atomic_load(&c->used), capacity = atomic_load(&c->capacity);
        if (charge > capacity)
            return false; /* evicts nobody in vain */
        if (used <= capacity - charge) {
            if (atomic_compare_exchange_weak(&c->used, &used, used + charge))
                return true;
        } else if (!evicting || !evict_one(c, home)) {
            return false;
        }
    }
}

/* For a capacity that shrank. The counts of pins, `used` and `capacity` are sequentially
 * consistent, which makes this and cache_release() meet: either this sees that an item is no longer
 * pinned, or the release sees the new capacity. */
static void evict_to_capacity(struct cache *c)
{
    while (atomic_load(&c->used) > atomic_load(&c->capacity) && evict_one(c, 0))
        ;
}

void cache_set_capacity(struct cache *c, uint64_t capacity_bytes)
{
    atomic_store(&c->capacity, capacity_bytes);
    evict_to_capacity(c);
}

/* ---- items ---- */

struct cache_item *cache_get(struct cache *c, enum store_cache_kind kind, uint64_t file,
                             uint64_t offset)
{
    uint64_t hash = cached_hash(file, offset);
    struct cache_shard *s = &c->shards[shard_index(hash)];
    pthread_mutex_lock(&s->mutex);
    struct cached *item = cache_shard_pin(s, hash, file, offset);
    if (item)
        s->hits[kind]++;
    else
        s->misses[kind]++;
    pthread_mutex_unlock(&s->mutex);
    return item ? &item->pub : NULL;
}

struct cache_item *cache_peek(struct cache *c, uint64_t file, uint64_t offset)
{
    uint64_t hash = cached_hash(file, offset);
    struct cache_shard *s = &c->shards[shard_index(hash)];
    pthread_mutex_lock(&s->mutex);
    struct cached *item = cache_shard_find(s, hash, file, offset);
    if (item)
        atomic_fetch_add_explicit(&item->refs, 1, memory_order_relaxed);
    pthread_mutex_unlock(&s->mutex);
    return item ? &item->pub : NULL;
}

static struct cache_item *put_loose(struct cache *c, struct cached *item)
{
    assert(!item->resident);
    atomic_fetch_add(&c->loose_bytes, cached_charge(item));
    atomic_fetch_add(&c->loose_count, 1);
    return &item->pub;
}

static void free_loose(struct cache *c, struct cached *item)
{
    assert(!item->resident);
    atomic_fetch_sub(&c->loose_bytes, cached_charge(item));
    atomic_fetch_sub(&c->loose_count, 1);
    cached_free(item);
}

struct cache_item *cache_alloc(size_t len)
{
    return &cached_new(len)->pub;
}

void cache_discard(struct cache_item *pub)
{
    if (pub)
        cached_free((struct cached *)pub);
}

struct cache_item *cache_put(struct cache *c, uint64_t file, uint64_t offset, struct slice data)
{
    struct cache_item *item = cache_alloc(data.len);
    if (data.len)
        memcpy(cache_bytes(item), data.data, data.len);
    return cache_insert(c, file, offset, item);
}

static struct cache_item *insert(struct cache *c, uint64_t file, uint64_t offset,
                                 struct cache_item *pub, bool evicting, bool kept)
{
    struct cached *item = (struct cached *)pub;
    cached_name(item, file, offset);
    uint64_t charge = cached_charge(item);
    size_t home = shard_index(item->hash);
    if (!reserve(c, home, charge, evicting))
        return put_loose(c, item);

    struct cache_shard *s = &c->shards[home];
    pthread_mutex_lock(&s->mutex);
    struct cached *earlier = cache_shard_pin(s, item->hash, file, offset);
    if (!earlier) {
        atomic_fetch_add_explicit(&item->refs, 1, memory_order_relaxed); /* for residence */
        cache_shard_insert(s, item);
    }
    if (kept)
        keep(c, earlier ? earlier : item);
    pthread_mutex_unlock(&s->mutex);
    if (!earlier)
        return &item->pub; /* if the capacity shrank meanwhile, the release will see it */
    atomic_fetch_sub(&c->used, charge);
    cached_free(item);
    return &earlier->pub;
}

struct cache_item *cache_insert(struct cache *c, uint64_t file, uint64_t offset,
                                struct cache_item *item)
{
    return insert(c, file, offset, item, true, false);
}

struct cache_item *cache_insert_kept(struct cache *c, uint64_t file, uint64_t offset,
                                     struct cache_item *item)
{
    return insert(c, file, offset, item, true, true);
}

void cache_let_go(struct cache *c, uint64_t file, uint64_t offset)
{
    uint64_t hash = cached_hash(file, offset);
    struct cache_shard *s = &c->shards[shard_index(hash)];
    pthread_mutex_lock(&s->mutex);
    struct cached *item = cache_shard_find(s, hash, file, offset);
    if (item && item->kept) {
        item->kept = false;
        atomic_fetch_sub(&c->kept, cached_charge(item));
    }
    pthread_mutex_unlock(&s->mutex);
}

void cache_drop(struct cache *c, uint64_t file, uint64_t offset)
{
    uint64_t hash = cached_hash(file, offset);
    struct cache_shard *s = &c->shards[shard_index(hash)];
    pthread_mutex_lock(&s->mutex);
    struct cached *item = cache_shard_take(s, hash, file, offset);
    pthread_mutex_unlock(&s->mutex);
    if (item)
        free_taken(c, item);
}

struct cache_item *cache_insert_if_room(struct cache *c, uint64_t file, uint64_t offset,
                                        struct cache_item *item)
{
    return insert(c, file, offset, item, false, false);
}

struct cache_item *cache_insert_loose(struct cache *c, struct cache_item *item)
{
    return put_loose(c, (struct cached *)item);
}

struct cache_item *cache_pin(struct cache_item *pub)
{
    struct cached *item = (struct cached *)pub;
    unsigned before = atomic_fetch_add_explicit(&item->refs, 1, memory_order_relaxed);
    assert(before >= 1);
    return pub;
}

void cache_release(struct cache *c, struct cache_item *pub)
{
    struct cached *item = (struct cached *)pub;
    unsigned before = atomic_fetch_sub(&item->refs, 1);
    assert(before >= 1);
    /* A resident item may be evicted from here on: it is not touched again. */
    if (before == 1)
        free_loose(c, item);
    else if (before == 2 && atomic_load(&c->used) > atomic_load(&c->capacity))
        evict_to_capacity(c);
}

void cache_stats(struct cache *c, struct cache_stats *out)
{
    *out = (struct cache_stats){
        .used_bytes = atomic_load(&c->used) + atomic_load(&c->loose_bytes),
        .kept_bytes = atomic_load(&c->kept),
        .capacity_bytes = atomic_load(&c->capacity),
        .items = atomic_load(&c->loose_count),
    };
    for (size_t i = 0; i < SHARD_COUNT; i++) {
        struct cache_shard *s = &c->shards[i];
        pthread_mutex_lock(&s->mutex);
        out->items += s->count;
        for (int k = 0; k < STORE_CACHE_KINDS; k++) {
            out->kind_hits[k] += s->hits[k];
            out->kind_misses[k] += s->misses[k];
            out->hits += s->hits[k];
            out->misses += s->misses[k];
        }
        out->evictions += s->evictions;
        pthread_mutex_unlock(&s->mutex);
    }
}
