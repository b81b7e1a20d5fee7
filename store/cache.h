/* cache: decoded blocks and values, bounded in bytes, sharded to keep threads apart.
 *
 * Keyed by (file number, offset): file numbers are never used twice, so nothing ever has to be
 * invalidated; what belongs to removed files is dropped where its places are known, or ages out.
 * Each shard is CLOCK with a use count of up to 3, so that one scan does not flush what is in use.
 */
#ifndef VARVE_STORE_CACHE_H
#define VARVE_STORE_CACHE_H

#include "store/bytes.h"
#include "store/insight.h"

struct cache;

/* A resident value. `data` is immutable and lives until cache_release(). */
struct cache_item {
    struct slice data;
};

/* `capacity_bytes` counts data and bookkeeping; 0 keeps nothing but what is pinned. */
struct cache *cache_new(uint64_t capacity_bytes);
/* No item may still be pinned; asserted. */
void cache_free(struct cache *c);
/* Takes effect at once, evicting if it shrank. */
void cache_set_capacity(struct cache *c, uint64_t capacity_bytes);

/* Room for `len` bytes that are to be resident: filled in through cache_bytes() and then given to
 * cache_insert() or cache_discard(). So what is read is decoded to where it stays. */
struct cache_item *cache_alloc(size_t len);
static inline uint8_t *cache_bytes(struct cache_item *item)
{
    return (uint8_t *)(uintptr_t)item->data.data;
}
void cache_discard(struct cache_item *item); /* NULL is fine */
/* Makes it resident, takes it over, and returns it pinned. When the key is already there the
 * resident item is returned and this one is freed: both hold the same bytes. Never fails: an item
 * that does not fit is handed out pinned and freed at its release. */
struct cache_item *cache_insert(struct cache *c, uint64_t file, uint64_t offset,
                                struct cache_item *item);

/* The same, but nothing is evicted for it: it becomes resident only if there is room. */
struct cache_item *cache_insert_if_room(struct cache *c, uint64_t file, uint64_t offset,
                                        struct cache_item *item);
/* As cache_insert(), and once it is resident it is kept: not evicted before cache_let_go(), as long
 * as all that is kept fits into a quarter of the capacity. What does not fit is like the rest. */
struct cache_item *cache_insert_kept(struct cache *c, uint64_t file, uint64_t offset,
                                     struct cache_item *item);
/* What is kept under this key, if anything, is like the rest from now on. */
void cache_let_go(struct cache *c, uint64_t file, uint64_t offset);
/* What is resident under this key, if anything, will not be asked for again. It goes at once,
 * unless somebody has it pinned: then as soon as the hand comes by. */
void cache_drop(struct cache *c, uint64_t file, uint64_t offset);
/* Hands it out pinned, for this holder alone: it is freed at its release. */
struct cache_item *cache_insert_loose(struct cache *c, struct cache_item *item);

/* Pins and returns the item, or NULL. `kind`: as what it is counted. */
struct cache_item *cache_get(struct cache *c, enum store_cache_kind kind, uint64_t file,
                             uint64_t offset);
/* The same, but it is not counted, and is no reason to keep the item. */
struct cache_item *cache_peek(struct cache *c, uint64_t file, uint64_t offset);
/* As cache_insert() for bytes that are elsewhere; copies. */
struct cache_item *cache_put(struct cache *c, uint64_t file, uint64_t offset, struct slice data);
/* One more pin on an item that is pinned. */
struct cache_item *cache_pin(struct cache_item *item);
void cache_release(struct cache *c, struct cache_item *item);

struct cache_stats {
    uint64_t used_bytes, kept_bytes, capacity_bytes, items, evictions;
    uint64_t hits, misses; /* of all kinds */
    uint64_t kind_hits[STORE_CACHE_KINDS], kind_misses[STORE_CACHE_KINDS];
};
void cache_stats(struct cache *c, struct cache_stats *out);

#endif
