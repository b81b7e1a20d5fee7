/* cache_shard: one shard of the cache: a hash table for finding, a ring with a CLOCK hand for
 * forgetting. Knows nothing of budgets; for cache.c only.
 *
 * References on an item: one for each pin, and one for residence. It is freed by whoever drops the
 * last. */
#ifndef VARVE_STORE_CACHE_SHARD_H
#define VARVE_STORE_CACHE_SHARD_H

#include <pthread.h>
#include <stdatomic.h>

#include "store/cache.h"

struct cached {
    struct cache_item pub; /* first: the caller's view */
    uint64_t file, offset; /* immutable once it is named, as is the hash */
    uint64_t hash;
    atomic_uint refs;
    bool resident;        /* shard's mutex; false from the start for an item that did not fit */
    bool kept;            /* shard's mutex; counted in the cache's kept_bytes */
    uint8_t use;          /* shard's mutex; hits since the hand came by, up to a few */
    struct cached *chain; /* shard's mutex; next in the bucket */
    struct cached *prev, *next; /* shard's mutex; the ring */
    /* The data: in one piece with the item, so that a reader that has found the one is soon at the
     * other. */
    _Alignas(16) uint8_t bytes[];
};

/* Room for `len` bytes, without a name. One reference. */
struct cached *cached_new(size_t len);
/* Once, before anyone else sees it. */
void cached_name(struct cached *item, uint64_t file, uint64_t offset);
void cached_free(struct cached *item);
/* What the item costs: data and bookkeeping. */
uint64_t cached_charge(const struct cached *item);
/* Well mixed in all 64 bits. */
uint64_t cached_hash(uint64_t file, uint64_t offset);

struct cache_shard {
    pthread_mutex_t mutex;
    struct cached **buckets; /* from here on: mutex */
    size_t bucket_count;     /* a power of two */
    size_t count;
    _Atomic uint64_t bytes; /* charges of residents; written under the mutex, read anywhere */
    struct cached *hand;    /* NULL if the ring is empty */
    uint64_t evictions, hits[STORE_CACHE_KINDS], misses[STORE_CACHE_KINDS];
    uint8_t pad[40]; /* keeps neighbours off each other's cache lines */
};
_Static_assert(sizeof(struct cache_shard) == 192, "a shard fills three cache lines");

void cache_shard_init(struct cache_shard *s);
/* Asserts every invariant. Under the mutex. */
void cache_shard_assert_valid(const struct cache_shard *s);
/* Frees what is resident; nothing is pinned (asserted). */
void cache_shard_release(struct cache_shard *s);

/* Under the mutex: */

/* One more reference on what is resident under this key, and a use counted; NULL if nothing is. */
struct cached *cache_shard_pin(struct cache_shard *s, uint64_t hash, uint64_t file,
                               uint64_t offset);
/* Makes an item resident whose key is not; takes over one reference. */
void cache_shard_insert(struct cache_shard *s, struct cached *item);
/* The resident item, without a reference; NULL if there is none. */
struct cached *cache_shard_find(struct cache_shard *s, uint64_t hash, uint64_t file,
                                uint64_t offset);
/* Takes out the resident item, with the one reference that is left, if nobody has it pinned. */
struct cached *cache_shard_take(struct cache_shard *s, uint64_t hash, uint64_t file,
                                uint64_t offset);
/* Moves the hand to the next item that is not pinned and was not used of late and takes it out,
 * with the one reference that is left; NULL if all are pinned, or kept and to be spared. */
struct cached *cache_shard_take_victim(struct cache_shard *s, bool spare_kept);

#endif
