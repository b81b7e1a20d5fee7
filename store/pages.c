/* pages: see pages.h.
 *
 * A region's pieces are known by two bitmaps beside it, not by links within it: what is free is
 * never touched, so the system can have its memory back. The descriptor of a region is found by its
 * address, through a table of two levels that is read without a lock.
 *
 * Invariants (under `lock`):
 *   1. A region is in the list of its class if and only if it has a free piece and one that is
 * used.
 *   2. A piece that is not backed by memory (`cold`) is free.
 *   3. kept_bytes is the size of all free pieces that are not cold and of all free whole regions.
 *
 * Sizes above half a region are spans of whole regions of their own, and sizes below PIECE_MIN are
 * malloc's. */
#include "store/pages.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "store/bytes.h"

/* Under the sanitizers each piece is malloc's, so that they see what happens to it. */
#ifndef VARVE_SANITIZED
#define VARVE_SANITIZED 0
#endif

enum {
    REGION_LOG2 = 21,
    PIECE_MIN = 1 << 10,
    PIECE_MAX = PAGES_REGION_BYTES / 2,
    PIECES_MAX = PAGES_REGION_BYTES / PIECE_MIN,
    MAP_WORDS = PIECES_MAX / 64,
    STEPS = 16,                   /* classes to a doubling */
    CLASS_COUNT = 10 * STEPS + 1, /* from PIECE_MIN to PIECE_MAX */
    SYSTEM_PAGE = 4096,
    FREE_REGIONS_MAX = PAGES_KEPT_BYTES / PAGES_REGION_BYTES,
    TABLE_LOG2 = 13, /* address bits 21 to 33 and 34 to 46 */
};
_Static_assert(1 << REGION_LOG2 == PAGES_REGION_BYTES, "a region is found by its address");

struct region {
    uint8_t *base;
    uint32_t class, piece_count, free_count;
    struct region *prev, *next; /* of its class's list */
    uint64_t free[MAP_WORDS], cold[MAP_WORDS];
};

static struct {
    pthread_mutex_t lock;
    struct region *partial[CLASS_COUNT]; /* lock, as all that follows */
    uint8_t *free_regions[FREE_REGIONS_MAX];
    uint32_t free_region_count;
    struct region *spare; /* descriptors that are not in use, by `next` */
    uint64_t used_bytes, kept_bytes, held_bytes;
    _Atomic(_Atomic(struct region *) *) table[1 << TABLE_LOG2];
} all = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- size classes ---- */

/* Class 16 d + s has pieces of 2^d KiB times (16 + s) / 16. */
static uint32_t class_of(size_t bytes)
{
    assert(bytes <= PIECE_MAX);
    if (bytes <= PIECE_MIN)
        return 0;
    uint32_t doubling = 63 - (uint32_t)__builtin_clzll((bytes - 1) / PIECE_MIN);
    size_t step = ((size_t)PIECE_MIN << doubling) / STEPS;
    return doubling * STEPS + (uint32_t)((bytes - 1) / step) - STEPS + 1;
}

static size_t class_bytes(uint32_t class)
{
    assert(class < CLASS_COUNT);
    size_t step = ((size_t)PIECE_MIN << class / STEPS) / STEPS;
    return step * (STEPS + class % STEPS);
}

static size_t span_bytes(size_t bytes)
{
    return (bytes + PAGES_REGION_BYTES - 1) / PAGES_REGION_BYTES * PAGES_REGION_BYTES;
}

size_t pages_size(size_t bytes)
{
    if (VARVE_SANITIZED || bytes < PIECE_MIN)
        return bytes;
    return bytes <= PIECE_MAX ? class_bytes(class_of(bytes)) : span_bytes(bytes);
}

/* ---- the system's memory ---- */

static void give_back(void *p, size_t bytes)
{
    int err = munmap(p, bytes);
    assert(err == 0);
    (void)err;
}

/* Aligned to a region. Out of memory ends the process, as in mem_alloc(). */
static uint8_t *map_fresh(size_t bytes)
{
    size_t room = bytes + PAGES_REGION_BYTES;
    uint8_t *p = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        abort();
    size_t before = (PAGES_REGION_BYTES - (uintptr_t)p % PAGES_REGION_BYTES) % PAGES_REGION_BYTES;
    if (before)
        give_back(p, before);
    if (room - before - bytes)
        give_back(p + before + bytes, room - before - bytes);
    p += before;
    madvise(p, bytes, MADV_HUGEPAGE); /* where there are none, small ones serve */
    return p;
}

/* ---- descriptors ---- */

static _Atomic(struct region *) *table_slot(const void *p)
{
    uintptr_t n = (uintptr_t)p >> REGION_LOG2;
    size_t high = n >> TABLE_LOG2 & ((1 << TABLE_LOG2) - 1), low = n & ((1 << TABLE_LOG2) - 1);
    _Atomic(struct region *) *leaf = atomic_load_explicit(&all.table[high], memory_order_acquire);
    if (!leaf) { /* under the lock: a piece that is freed has a leaf */
        leaf = mem_zalloc(sizeof(*leaf) << TABLE_LOG2);
        atomic_store_explicit(&all.table[high], leaf, memory_order_release);
    }
    return &leaf[low];
}

static struct region *region_of(const void *p)
{
    return atomic_load_explicit(table_slot(p), memory_order_acquire);
}

static void list_add(struct region *r)
{
    struct region **head = &all.partial[r->class];
    r->prev = NULL;
    r->next = *head;
    if (*head)
        (*head)->prev = r;
    *head = r;
}

static void list_remove(struct region *r)
{
    if (r->prev)
        r->prev->next = r->next;
    else
        all.partial[r->class] = r->next;
    if (r->next)
        r->next->prev = r->prev;
}

static struct region *region_new(uint32_t class)
{
    struct region *r = all.spare;
    if (r)
        all.spare = r->next;
    else
        r = mem_alloc(sizeof *r);
    uint32_t count = (uint32_t)(PAGES_REGION_BYTES / class_bytes(class));
    *r = (struct region){.class = class, .piece_count = count, .free_count = count};
    for (uint32_t i = 0; i < count; i++)
        r->free[i / 64] |= UINT64_C(1) << i % 64;
    if (all.free_region_count > 0) {
        r->base = all.free_regions[--all.free_region_count];
    } else {
        r->base = map_fresh(PAGES_REGION_BYTES);
        all.held_bytes += PAGES_REGION_BYTES;
        all.kept_bytes += PAGES_REGION_BYTES;
    }
    /* From here on its pieces are counted, and its end that is too small for one is not. */
    all.kept_bytes -= PAGES_REGION_BYTES - count * class_bytes(class);
    atomic_store_explicit(table_slot(r->base), r, memory_order_release);
    list_add(r);
    return r;
}

/* All of it is free. */
static void region_free(struct region *r)
{
    size_t piece = class_bytes(r->class);
    bool whole = true;
    for (uint32_t i = 0; i < MAP_WORDS; i++) {
        uint32_t cold = (uint32_t)__builtin_popcountll(r->cold[i]);
        whole = whole && cold == 0;
        all.kept_bytes += cold * piece;
    }
    all.kept_bytes += PAGES_REGION_BYTES - r->piece_count * piece;
    list_remove(r);
    atomic_store_explicit(table_slot(r->base), NULL, memory_order_release);
    if (whole && all.kept_bytes <= PAGES_KEPT_BYTES && all.free_region_count < FREE_REGIONS_MAX) {
        all.free_regions[all.free_region_count++] = r->base;
    } else {
        give_back(r->base, PAGES_REGION_BYTES);
        all.held_bytes -= PAGES_REGION_BYTES;
        all.kept_bytes -= PAGES_REGION_BYTES;
    }
    r->next = all.spare;
    all.spare = r;
}

/* ---- pieces ---- */

/* The first free piece that has memory, or else the first. */
static uint32_t find_free(const struct region *r)
{
    uint32_t any = PIECES_MAX;
    for (uint32_t i = 0; i < MAP_WORDS && i * 64 < r->piece_count; i++) {
        uint64_t warm = r->free[i] & ~r->cold[i];
        if (warm)
            return i * 64 + (uint32_t)__builtin_ctzll(warm);
        if (any == PIECES_MAX && r->free[i])
            any = i * 64 + (uint32_t)__builtin_ctzll(r->free[i]);
    }
    assert(any < r->piece_count);
    return any;
}

static void *piece_take(uint32_t class)
{
    struct region *r = all.partial[class];
    if (!r)
        r = region_new(class);
    uint32_t i = find_free(r);
    uint64_t bit = UINT64_C(1) << i % 64;
    size_t bytes = class_bytes(class);
    assert(r->class == class && (r->free[i / 64] & bit));
    if (!(r->cold[i / 64] & bit))
        all.kept_bytes -= bytes;
    r->free[i / 64] &= ~bit;
    r->cold[i / 64] &= ~bit;
    if (--r->free_count == 0)
        list_remove(r);
    all.used_bytes += bytes;
    return r->base + (size_t)i * bytes;
}

/* Gives the memory of a piece back, as far as it is whole pages of the system. */
static bool piece_cool(uint8_t *p, size_t bytes)
{
    uintptr_t from = ((uintptr_t)p + SYSTEM_PAGE - 1) / SYSTEM_PAGE * SYSTEM_PAGE;
    uintptr_t to = ((uintptr_t)p + bytes) / SYSTEM_PAGE * SYSTEM_PAGE;
    return from < to && madvise((void *)from, to - from, MADV_DONTNEED) == 0;
}

static void piece_put(uint8_t *p, size_t size)
{
    struct region *r = region_of(p);
    uint32_t class = class_of(size);
    assert(r && r->class == class);
    size_t bytes = class_bytes(class);
    uint32_t i = (uint32_t)((size_t)(p - r->base) / bytes);
    uint64_t bit = UINT64_C(1) << i % 64;
    assert(p == r->base + i * bytes && !(r->free[i / 64] & bit));
    r->free[i / 64] |= bit;
    all.used_bytes -= bytes;
    if (all.kept_bytes + bytes > PAGES_KEPT_BYTES && piece_cool(p, bytes))
        r->cold[i / 64] |= bit;
    else
        all.kept_bytes += bytes;
    if (r->free_count++ == 0)
        list_add(r);
    if (r->free_count == r->piece_count)
        region_free(r);
}

/* ---- spans ---- */

static void *span_take(size_t bytes)
{
    if (bytes == PAGES_REGION_BYTES && all.free_region_count > 0) {
        all.kept_bytes -= bytes;
        all.used_bytes += bytes;
        return all.free_regions[--all.free_region_count];
    }
    all.held_bytes += bytes;
    all.used_bytes += bytes;
    return map_fresh(bytes);
}

static void span_put(uint8_t *p, size_t bytes)
{
    all.used_bytes -= bytes;
    for (; bytes > 0; bytes -= PAGES_REGION_BYTES, p += PAGES_REGION_BYTES) {
        if (all.kept_bytes + PAGES_REGION_BYTES > PAGES_KEPT_BYTES ||
            all.free_region_count == FREE_REGIONS_MAX)
            break;
        all.free_regions[all.free_region_count++] = p;
        all.kept_bytes += PAGES_REGION_BYTES;
    }
    if (bytes > 0)
        give_back(p, bytes);
    all.held_bytes -= bytes;
}

/* ---- the door ---- */

void *pages_alloc(size_t bytes)
{
    assert(bytes > 0 && bytes < SIZE_MAX / 2);
    if (VARVE_SANITIZED || bytes < PIECE_MIN)
        return mem_aligned(PAGES_ALIGN, (bytes + PAGES_ALIGN - 1) / PAGES_ALIGN * PAGES_ALIGN);
    pthread_mutex_lock(&all.lock);
    void *p = bytes <= PIECE_MAX ? piece_take(class_of(bytes)) : span_take(span_bytes(bytes));
    pthread_mutex_unlock(&all.lock);
    assert((uintptr_t)p % PAGES_ALIGN == 0);
    return p;
}

void pages_free(void *p, size_t bytes)
{
    if (!p)
        return;
    if (VARVE_SANITIZED || bytes < PIECE_MIN) {
        free(p);
        return;
    }
    pthread_mutex_lock(&all.lock);
    if (bytes <= PIECE_MAX)
        piece_put(p, bytes);
    else
        span_put(p, span_bytes(bytes));
    pthread_mutex_unlock(&all.lock);
}

void pages_stats(struct pages_stats *out)
{
    pthread_mutex_lock(&all.lock);
    *out = (struct pages_stats){
        .used_bytes = all.used_bytes, .kept_bytes = all.kept_bytes, .held_bytes = all.held_bytes};
    pthread_mutex_unlock(&all.lock);
}

void pages_trim(void)
{
    pthread_mutex_lock(&all.lock);
    while (all.free_region_count > 0) {
        give_back(all.free_regions[--all.free_region_count], PAGES_REGION_BYTES);
        all.held_bytes -= PAGES_REGION_BYTES;
        all.kept_bytes -= PAGES_REGION_BYTES;
    }
    pthread_mutex_unlock(&all.lock);
}
