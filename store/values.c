/* values: see values.h.
 *
 * The ghost is a table of sets of four slots, written without locks: a race costs at most the
 * memory of one value asked for. A slot has 16 bits of the value's hash and 16 of a clock, which
 * goes by the bytes that were missed: HORIZON_TICKS to a capacity. Two values with one tag in a set
 * are rare (4 in 65536), and cost no more than one let in too early.
 *
 * Invariants:
 *   1. What is let in at the cost of others was asked for before, within about one capacity of
 *      missed bytes. (When the capacity changes the clock jumps, and some are let in too early or
 *      too late.)
 *   2. A slot is 0 or was written at the time it says; tags are never 0 with time 0. */
#include "store/values.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

enum {
    SET_SLOTS = 4,
    HORIZON_TICKS = 1 << 8,
    /* Values are taken to be this long when the ghost is made: if they are shorter it remembers
     * less than a capacity of them. */
    VALUE_BYTES = 4 << 10,
    SETS_MIN = 64, /* a power of two, as all counts of sets */
    SETS_MAX = 1 << 20,
    LARGEST_PART = 16, /* of the capacity: what is larger is not let in */
};

struct values {
    struct cache *cache;
    _Atomic uint64_t capacity;
    _Atomic uint64_t missed; /* bytes */
    size_t set_count;
    _Atomic uint32_t *slots; /* SET_SLOTS for each set */
};

struct values *values_new(struct cache *cache, uint64_t capacity_bytes)
{
    struct values *vs = mem_zalloc(sizeof *vs);
    vs->cache = cache;
    atomic_init(&vs->capacity, capacity_bytes);
    vs->set_count = SETS_MIN;
    while (vs->set_count < SETS_MAX && vs->set_count * SET_SLOTS < capacity_bytes / VALUE_BYTES * 2)
        vs->set_count *= 2;
    vs->slots = mem_zalloc(vs->set_count * SET_SLOTS * sizeof *vs->slots);
    return vs;
}

void values_free(struct values *vs)
{
    if (!vs)
        return;
    free(vs->slots);
    free(vs);
}

void values_set_capacity(struct values *vs, uint64_t capacity_bytes)
{
    atomic_store_explicit(&vs->capacity, capacity_bytes, memory_order_relaxed);
}

/* ---- the ghost ---- */

/* The finaliser of splitmix64, as in the cache, with another factor: what falls into one set here
 * is spread over the cache's shards. */
static uint64_t hash_of(uint64_t file, uint64_t offset)
{
    uint64_t h = file * UINT64_C(0xa0761d6478bd642f) + offset;
    h = (h ^ (h >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    h = (h ^ (h >> 27)) * UINT64_C(0x94d049bb133111eb);
    return h ^ (h >> 31);
}

static uint16_t age(uint32_t slot, uint16_t now)
{
    return (uint16_t)(now - (uint16_t)slot);
}

/* Was it asked for within the horizon? Notes that it is now. */
static bool ghost_note(struct values *vs, uint64_t hash, uint16_t now)
{
    _Atomic uint32_t *set = vs->slots + (hash & (vs->set_count - 1)) * SET_SLOTS;
    uint32_t tag = (uint32_t)(hash >> 48) | 1;
    int oldest = 0;
    uint16_t oldest_age = 0;
    assert(tag > 0 && tag <= UINT16_MAX);
    for (int i = 0; i < SET_SLOTS; i++) {
        uint32_t slot = atomic_load_explicit(&set[i], memory_order_relaxed);
        uint16_t slot_age = slot == 0 ? UINT16_MAX : age(slot, now);
        if (slot >> 16 == tag) {
            atomic_store_explicit(&set[i], tag << 16 | now, memory_order_relaxed);
            return slot_age <= HORIZON_TICKS;
        }
        if (slot_age >= oldest_age) {
            oldest = i;
            oldest_age = slot_age;
        }
    }
    atomic_store_explicit(&set[oldest], tag << 16 | now, memory_order_relaxed);
    return false;
}

/* ---- values ---- */

struct cache_item *values_get(struct values *vs, uint64_t file, uint64_t offset)
{
    return cache_get(vs->cache, STORE_CACHE_VALUE, file, offset);
}

/* Notes a miss of a value that may be let in. */
static bool asked_before(struct values *vs, uint64_t file, uint64_t offset, size_t len,
                         uint64_t capacity)
{
    uint64_t missed = atomic_fetch_add_explicit(&vs->missed, len, memory_order_relaxed);
    uint64_t now = missed / (capacity / HORIZON_TICKS + 1);
    return ghost_note(vs, hash_of(file, offset), (uint16_t)now);
}

bool values_wanted(struct values *vs, uint64_t file, uint64_t offset, size_t len)
{
    uint64_t capacity = atomic_load_explicit(&vs->capacity, memory_order_relaxed);
    return len <= capacity / LARGEST_PART && asked_before(vs, file, offset, len, capacity);
}

struct cache_item *values_keep(struct values *vs, uint64_t file, uint64_t offset,
                               struct cache_item *item)
{
    return cache_insert(vs->cache, file, offset, item);
}

struct cache_item *values_put(struct values *vs, uint64_t file, uint64_t offset,
                              struct cache_item *item)
{
    size_t len = item->data.len;
    uint64_t capacity = atomic_load_explicit(&vs->capacity, memory_order_relaxed);
    if (len > capacity / LARGEST_PART)
        return cache_insert_loose(vs->cache, item);
    if (asked_before(vs, file, offset, len, capacity))
        return values_keep(vs, file, offset, item);
    return cache_insert_if_room(vs->cache, file, offset, item);
}
