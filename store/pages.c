/* pages: see pages.h. Slabs of small pieces over runs of pages (pages_run.h).
 *
 * Which pieces of a slab are free is in a bitmap beside it: what is free is never touched.
 *
 * Invariants (under `lock`):
 *   1. A slab is in the list of its class if and only if it has a free piece and one that is used.
 *   2. All that is held is in use, or has no memory, or is kept. */
#include "store/pages.h"

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "store/bytes.h"
#include "store/pages_run.h"

/* Under the sanitizers each piece is malloc's, so that they see what happens to it. */
#ifndef VARVE_SANITIZED
#define VARVE_SANITIZED 0
#endif

enum {
    PIECE_MIN = 1 << 10, /* what is smaller is malloc's */
    PIECE_MAX = 16 << 10,
    SLAB_PAGES = 32,
    SLAB_BYTES = SLAB_PAGES * RUN_PAGE_BYTES,
    PIECES_MAX = SLAB_BYTES / PIECE_MIN,
    WORDS = PIECES_MAX / 64,
    SHRINK_LEAST = 1 << 20,      /* fewer free pages are not worth looking for */
    STEPS = 16,                  /* classes to a doubling */
    CLASS_COUNT = 4 * STEPS + 1, /* from PIECE_MIN to PIECE_MAX */
};
_Static_assert((int)PAGES_REGION_BYTES == (int)RUN_REGION_BYTES, "regions are of one size");

struct slab {
    uint8_t *base;
    uint32_t class, piece_count, free_count;
    struct slab *prev, *next; /* of its class's list */
    uint64_t free[WORDS];
};

static struct {
    pthread_mutex_t lock;
    struct slab *partial[CLASS_COUNT]; /* lock, as all that follows */
    uint64_t used_bytes, expected_bytes;
} all = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- sizes ---- */

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

static size_t round_up(size_t bytes, size_t unit)
{
    return (bytes + unit - 1) / unit * unit;
}

static uint32_t pages_in(size_t bytes)
{
    return (uint32_t)(round_up(bytes, RUN_PAGE_BYTES) / RUN_PAGE_BYTES);
}

size_t pages_size(size_t bytes)
{
    if (VARVE_SANITIZED || bytes < PIECE_MIN)
        return bytes;
    if (bytes <= PIECE_MAX)
        return class_bytes(class_of(bytes));
    return round_up(bytes, bytes <= PAGES_REGION_BYTES ? RUN_PAGE_BYTES : PAGES_REGION_BYTES);
}

/* ---- how much is kept ---- */

static uint64_t kept_bytes(void)
{
    uint64_t there = run_held_bytes() - run_cold_bytes();
    assert(there >= all.used_bytes);
    return there - all.used_bytes;
}

static bool is_over(void)
{
    uint64_t kept = kept_bytes();
    bool expected = all.expected_bytes == 0 || all.used_bytes + kept <= all.expected_bytes;
    return kept > PAGES_KEPT_BYTES || (!expected && kept > PAGES_LEAST_BYTES);
}

/* Gives back what is free as long as too much is kept: whole regions first, since a part of one
 * costs the system's huge page. False: that was not enough. What is free within slabs stays. */
static bool shrink(void)
{
    while (is_over())
        if (!run_trim() && (run_free_bytes() < SHRINK_LEAST || !run_cool_free()))
            return false;
    return true;
}

/* ---- slabs ---- */

static void list_add(struct slab *s)
{
    struct slab **head = &all.partial[s->class];
    s->prev = NULL;
    s->next = *head;
    if (*head)
        (*head)->prev = s;
    *head = s;
}

static void list_remove(struct slab *s)
{
    if (s->prev)
        s->prev->next = s->next;
    else
        all.partial[s->class] = s->next;
    if (s->next)
        s->next->prev = s->prev;
}

static struct slab *slab_new(uint32_t class)
{
    struct slab *s = mem_zalloc(sizeof *s);
    s->base = run_take(SLAB_PAGES);
    s->class = class;
    s->piece_count = s->free_count = (uint32_t)(SLAB_BYTES / class_bytes(class));
    for (uint32_t i = 0; i < s->piece_count; i++)
        s->free[i / 64] |= UINT64_C(1) << i % 64;
    run_set_owner(s->base, SLAB_PAGES, s);
    list_add(s);
    return s;
}

/* All of it is free. */
static void slab_free(struct slab *s)
{
    list_remove(s);
    run_put(s->base, SLAB_PAGES, !shrink());
    free(s);
}

static bool all_free(const struct slab *s, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to && i < s->piece_count; i++)
        if (!(s->free[i / 64] >> i % 64 & 1))
            return false;
    return true;
}

/* The pages that piece `i` has a part of. */
static size_t first_page(const struct slab *s, uint32_t i)
{
    return i * class_bytes(s->class) / RUN_PAGE_BYTES;
}
static size_t end_page(const struct slab *s, uint32_t i)
{
    return round_up((i + 1) * class_bytes(s->class), RUN_PAGE_BYTES) / RUN_PAGE_BYTES;
}

/* The first piece that has a part of the page. */
static uint32_t piece_at(const struct slab *s, size_t page)
{
    return (uint32_t)(page * RUN_PAGE_BYTES / class_bytes(s->class));
}

/* Gives back the pages that piece `i` has a part of, as far as nobody uses the rest of them. */
static void piece_cool(struct slab *s, uint32_t i)
{
    size_t first = first_page(s, i), end = end_page(s, i), bytes = class_bytes(s->class);
    while (first < end && !all_free(s, piece_at(s, first), i))
        first++;
    while (end > first && !all_free(s, i + 1, (uint32_t)((end * RUN_PAGE_BYTES - 1) / bytes) + 1))
        end--;
    if (first < end)
        run_cool(s->base + first * RUN_PAGE_BYTES, (uint32_t)(end - first));
}

static void *piece_take(size_t size)
{
    uint32_t class = class_of(size), word = 0;
    size_t bytes = class_bytes(class);
    struct slab *s = all.partial[class];
    if (!s)
        s = slab_new(class);
    while (s->free[word] == 0)
        word++;
    uint32_t i = word * 64 + (uint32_t)__builtin_ctzll(s->free[word]);
    assert(i < s->piece_count && s->class == class);
    s->free[word] &= s->free[word] - 1;
    if (--s->free_count == 0)
        list_remove(s);
    size_t first = first_page(s, i);
    run_warm(s->base + first * RUN_PAGE_BYTES, (uint32_t)(end_page(s, i) - first));
    return s->base + i * bytes;
}

static void piece_put(uint8_t *p, size_t size)
{
    struct slab *s = run_owner(p);
    size_t bytes = class_bytes(class_of(size));
    assert(s && s->class == class_of(size));
    uint32_t i = (uint32_t)((size_t)(p - s->base) / bytes);
    uint64_t bit = UINT64_C(1) << i % 64;
    assert(p == s->base + i * bytes && i < s->piece_count && !(s->free[i / 64] & bit));
    s->free[i / 64] |= bit;
    if (s->free_count++ == 0)
        list_add(s);
    if (s->free_count == s->piece_count)
        slab_free(s);
    else if (!shrink())
        piece_cool(s, i);
}

/* ---- the door ---- */

void *pages_alloc(size_t bytes)
{
    void *p;
    assert(bytes > 0 && bytes < SIZE_MAX / 2);
    if (VARVE_SANITIZED || bytes < PIECE_MIN)
        return mem_aligned(PAGES_ALIGN, (bytes + PAGES_ALIGN - 1) / PAGES_ALIGN * PAGES_ALIGN);
    pthread_mutex_lock(&all.lock);
    if (bytes <= PIECE_MAX)
        p = piece_take(bytes);
    else if (bytes <= PAGES_REGION_BYTES)
        p = run_take(pages_in(bytes));
    else
        p = run_map(pages_size(bytes));
    all.used_bytes += pages_size(bytes);
    shrink();
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
    assert(all.used_bytes >= pages_size(bytes));
    all.used_bytes -= pages_size(bytes);
    if (bytes <= PIECE_MAX)
        piece_put(p, bytes);
    else if (bytes <= PAGES_REGION_BYTES)
        run_put(p, pages_in(bytes), !shrink());
    else
        run_unmap(p, pages_size(bytes));
    pthread_mutex_unlock(&all.lock);
}

void pages_expect(int64_t bytes)
{
    pthread_mutex_lock(&all.lock);
    assert(bytes >= 0 || all.expected_bytes >= (uint64_t)-bytes);
    all.expected_bytes += (uint64_t)bytes;
    shrink(); /* less may be left of it now */
    pthread_mutex_unlock(&all.lock);
}

void pages_stats(struct pages_stats *out)
{
    pthread_mutex_lock(&all.lock);
    *out = (struct pages_stats){.used_bytes = all.used_bytes,
                                .kept_bytes = kept_bytes(),
                                .held_bytes = run_held_bytes(),
                                .expected_bytes = all.expected_bytes};
    pthread_mutex_unlock(&all.lock);
}

void pages_trim(void)
{
    pthread_mutex_lock(&all.lock);
    while (run_trim())
        ;
    pthread_mutex_unlock(&all.lock);
}
