/* values: which decoded values of blob files the cache keeps.
 *
 * Values share the cache and its budget with blocks, and are far larger: what is read once only, by
 * a backup or a scan, must not push out what is in use. So a value that is read for the first time
 * stays only if there is room that nobody uses. One that is read again, before the values missed
 * meanwhile would have filled the cache, is let in at the cost of others: had it stayed, it would
 * have been found. What has been asked for is remembered in four bytes each (a ghost, as in 2Q,
 * Johnson and Shasha, VLDB 1994, and S3-FIFO, Yang et al., SOSP 2023; docs/decisions/0025). */
#ifndef VARVE_STORE_VALUES_H
#define VARVE_STORE_VALUES_H

#include "store/cache.h"

struct values;

/* `capacity_bytes`: of the cache, which lives longer. */
struct values *values_new(struct cache *cache, uint64_t capacity_bytes);
void values_free(struct values *vs); /* NULL is fine */
/* After the cache's has changed. */
void values_set_capacity(struct values *vs, uint64_t capacity_bytes);

/* Pins and returns the value at `offset` of blob file `file`, or NULL. */
struct cache_item *values_get(struct values *vs, uint64_t file, uint64_t offset);
/* After a miss, by a reader that has memory of its own for the value: has it been asked for before,
 * so that values_put() would let it in at the cost of others? Notes that it is asked for. */
bool values_wanted(struct values *vs, uint64_t file, uint64_t offset, size_t len);
/* After values_wanted() has said so: takes over `item` as values_put() does, and lets it in. */
struct cache_item *values_keep(struct values *vs, uint64_t file, uint64_t offset,
                               struct cache_item *item);
/* After a miss: takes over `item` (cache_alloc(), filled in), and returns it, or what another
 * thread has put there, pinned. */
struct cache_item *values_put(struct values *vs, uint64_t file, uint64_t offset,
                              struct cache_item *item);

#endif
