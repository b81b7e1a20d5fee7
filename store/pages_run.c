/* pages_run: see pages_run.h.
 *
 * Which pages of a region are free is in a bitmap beside it, so that what is free is never touched.
 * Regions are in lists by the longest run that they have, in doublings; a run is taken from the
 * lowest list that has it, so that the emptiest regions may become free as a whole. The descriptor
 * of a region is found by its address, through a table of two levels.
 *
 * Invariants:
 *   1. A region is in the list of its longest free run if and only if it has one.
 *   2. A page that is cold is not in use.
 *   3. cold_pages is the number of cold pages of all regions, free_pages of those that are free and
 *      not cold. */
#include "store/pages_run.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "store/bytes.h"

enum {
    WORDS = RUN_PAGES_MAX / 64,
    REGION_LOG2 = 21,
    TABLE_LOG2 = 13, /* address bits 21 to 33 and 34 to 46 */
    LISTS = 10,      /* longest runs of 1, 2 to 3, ... 512 pages */
    LOOKS_MAX = 8,   /* regions of the lowest list, which may be too short */
};
_Static_assert(1 << REGION_LOG2 == RUN_REGION_BYTES, "a region is found by its address");

struct region {
    uint8_t *base;
    struct region *prev, *next; /* of its list */
    uint32_t longest, free_count, cold_count;
    uint64_t free[WORDS], cold[WORDS];
    void *owner[RUN_PAGES_MAX];
};

static struct {
    struct region *lists[LISTS];
    uint64_t held_bytes, cold_pages, free_pages;
    struct region **table[1 << TABLE_LOG2];
} all;

/* ---- bitmaps ---- */

/* The first bit from `from` on that is `value`, or RUN_PAGES_MAX. */
static uint32_t next_bit(const uint64_t *words, uint32_t from, bool value)
{
    for (uint32_t i = from; i < RUN_PAGES_MAX; i = (i / 64 + 1) * 64) {
        uint64_t rest = (value ? words[i / 64] : ~words[i / 64]) >> i % 64;
        if (rest)
            return i + (uint32_t)__builtin_ctzll(rest);
    }
    return RUN_PAGES_MAX;
}

/* Of the bits [from, end): so many are in the first's word. */
static uint32_t bits_in_word(uint32_t from, uint32_t end)
{
    return 64 - from % 64 < end - from ? 64 - from % 64 : end - from;
}

static uint64_t word_mask(uint32_t from, uint32_t n)
{
    return (n == 64 ? UINT64_MAX : (UINT64_C(1) << n) - 1) << from % 64;
}

static void set_bits(uint64_t *words, uint32_t from, uint32_t count, bool value)
{
    for (uint32_t end = from + count; from < end;) {
        uint32_t n = bits_in_word(from, end);
        uint64_t mask = word_mask(from, n);
        words[from / 64] = value ? words[from / 64] | mask : words[from / 64] & ~mask;
        from += n;
    }
}

static uint32_t count_bits(const uint64_t *words, uint32_t from, uint32_t count)
{
    uint32_t set = 0;
    for (uint32_t end = from + count; from < end;) {
        uint32_t n = bits_in_word(from, end);
        set += (uint32_t)__builtin_popcountll(words[from / 64] & word_mask(from, n));
        from += n;
    }
    return set;
}

/* The shortest run of at least `least` bits, or RUN_PAGES_MAX. */
static uint32_t find_run(const uint64_t *words, uint32_t least)
{
    uint32_t best = RUN_PAGES_MAX, best_len = UINT32_MAX, end;
    for (uint32_t at = next_bit(words, 0, true); at < RUN_PAGES_MAX;
         at = next_bit(words, end, true)) {
        end = next_bit(words, at, false);
        if (end - at >= least && end - at < best_len) {
            best = at;
            best_len = end - at;
        }
    }
    return best;
}

static uint32_t longest_run(const uint64_t *words)
{
    uint32_t longest = 0, end;
    for (uint32_t at = next_bit(words, 0, true); at < RUN_PAGES_MAX;
         at = next_bit(words, end, true)) {
        end = next_bit(words, at, false);
        longest = end - at > longest ? end - at : longest;
    }
    return longest;
}

/* ---- regions ---- */

static struct region **table_slot(const uint8_t *p)
{
    uintptr_t n = (uintptr_t)p >> REGION_LOG2;
    size_t high = n >> TABLE_LOG2 & ((1 << TABLE_LOG2) - 1), low = n & ((1 << TABLE_LOG2) - 1);
    if (!all.table[high])
        all.table[high] = mem_zalloc(sizeof(struct region *) << TABLE_LOG2);
    return &all.table[high][low];
}

static struct region *region_of(const uint8_t *p, uint32_t *page)
{
    struct region *r = *table_slot(p);
    assert(r && p >= r->base && p < r->base + RUN_REGION_BYTES);
    *page = (uint32_t)((size_t)(p - r->base) / RUN_PAGE_BYTES);
    return r;
}

static uint32_t list_of(uint32_t run)
{
    assert(run > 0 && run <= RUN_PAGES_MAX);
    return 31 - (uint32_t)__builtin_clz(run);
}

static void list_remove(struct region *r)
{
    if (r->longest == 0)
        return;
    if (r->prev)
        r->prev->next = r->next;
    else
        all.lists[list_of(r->longest)] = r->next;
    if (r->next)
        r->next->prev = r->prev;
}

static void list_add(struct region *r)
{
    if (r->longest == 0)
        return;
    struct region **head = &all.lists[list_of(r->longest)];
    r->prev = NULL;
    r->next = *head;
    if (*head)
        (*head)->prev = r;
    *head = r;
}

static void sort_in(struct region *r)
{
    uint32_t longest = longest_run(r->free);
    if (longest == r->longest)
        return;
    list_remove(r);
    r->longest = longest;
    list_add(r);
}

static struct region *region_new(void)
{
    struct region *r = mem_zalloc(sizeof *r);
    r->base = run_map(RUN_REGION_BYTES);
    r->free_count = r->longest = RUN_PAGES_MAX;
    set_bits(r->free, 0, RUN_PAGES_MAX, true);
    *table_slot(r->base) = r;
    all.free_pages += RUN_PAGES_MAX;
    list_add(r);
    return r;
}

/* Of these pages, which are free, so many have memory. */
static uint32_t count_warm(const struct region *r, uint32_t at, uint32_t pages)
{
    return pages - (r->cold_count ? count_bits(r->cold, at, pages) : 0);
}

static void region_free(struct region *r)
{
    assert(r->free_count == RUN_PAGES_MAX);
    all.free_pages -= count_warm(r, 0, RUN_PAGES_MAX);
    list_remove(r);
    *table_slot(r->base) = NULL;
    all.cold_pages -= r->cold_count;
    run_unmap(r->base, RUN_REGION_BYTES);
    free(r);
}

/* The fullest, as far as the lists tell. */
static struct region *region_with(uint32_t pages)
{
    uint32_t list = list_of(pages), looks = 0;
    for (struct region *r = all.lists[list]; r && looks < LOOKS_MAX; r = r->next, looks++)
        if (r->longest >= pages)
            return r;
    for (list++; list < LISTS; list++)
        if (all.lists[list])
            return all.lists[list];
    return NULL;
}

/* ---- the system's memory ---- */

static void give_back(void *p, size_t bytes)
{
    int err = munmap(p, bytes);
    assert(err == 0);
    (void)err;
}

uint8_t *run_map(size_t bytes)
{
    size_t room = bytes + RUN_REGION_BYTES;
    uint8_t *p = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        abort(); /* out of memory, as in mem_alloc() */
    size_t before = (RUN_REGION_BYTES - (uintptr_t)p % RUN_REGION_BYTES) % RUN_REGION_BYTES;
    if (before)
        give_back(p, before);
    if (room - before - bytes)
        give_back(p + before + bytes, room - before - bytes);
    p += before;
    madvise(p, bytes, MADV_HUGEPAGE); /* where there are none, small ones serve */
    all.held_bytes += bytes;
    return p;
}

void run_unmap(uint8_t *p, size_t bytes)
{
    give_back(p, bytes);
    all.held_bytes -= bytes;
}

static void cool(struct region *r, uint32_t page, uint32_t pages)
{
    uint8_t *from = r->base + (size_t)page * RUN_PAGE_BYTES;
    if (r->cold_count == 0) /* or the kernel might put it together again, with memory for all */
        madvise(r->base, RUN_REGION_BYTES, MADV_NOHUGEPAGE);
    if (madvise(from, (size_t)pages * RUN_PAGE_BYTES, MADV_DONTNEED) != 0)
        return;
    uint32_t fresh = pages - count_bits(r->cold, page, pages);
    set_bits(r->cold, page, pages, true);
    r->cold_count += fresh;
    all.cold_pages += fresh;
}

static void warm(struct region *r, uint32_t page, uint32_t pages)
{
    if (r->cold_count == 0)
        return;
    uint32_t cold = count_bits(r->cold, page, pages);
    set_bits(r->cold, page, pages, false);
    r->cold_count -= cold;
    all.cold_pages -= cold;
}

static void cool_free(struct region *r, uint32_t page, uint32_t pages)
{
    all.free_pages -= count_warm(r, page, pages);
    cool(r, page, pages);
    all.free_pages += count_warm(r, page, pages); /* if the system did not want them */
}

/* ---- runs ---- */

/* Which pages are free and have memory; false: none. */
static bool free_warm(const struct region *r, uint64_t out[WORDS])
{
    uint64_t any = 0;
    for (uint32_t i = 0; i < WORDS; i++)
        any |= out[i] = r->free[i] & ~r->cold[i];
    return any != 0;
}

/* One that has memory, if there is any. */
static uint32_t find_free(const struct region *r, uint32_t pages)
{
    uint64_t with_memory[WORDS];
    uint32_t at = free_warm(r, with_memory) ? find_run(with_memory, pages) : RUN_PAGES_MAX;
    return at < RUN_PAGES_MAX ? at : find_run(r->free, pages);
}

uint8_t *run_take(uint32_t pages)
{
    struct region *r = region_with(pages);
    if (!r)
        r = region_new();
    uint32_t at = find_free(r, pages);
    assert(at + pages <= RUN_PAGES_MAX && r->free_count >= pages);
    set_bits(r->free, at, pages, false);
    r->free_count -= pages;
    all.free_pages -= count_warm(r, at, pages);
    warm(r, at, pages);
    sort_in(r);
    return r->base + (size_t)at * RUN_PAGE_BYTES;
}

void run_put(uint8_t *run, uint32_t pages, bool to_cool)
{
    uint32_t at;
    struct region *r = region_of(run, &at);
    assert(at + pages <= RUN_PAGES_MAX && count_bits(r->free, at, pages) == 0);
    set_bits(r->free, at, pages, true);
    r->free_count += pages;
    all.free_pages += count_warm(r, at, pages);
    sort_in(r);
    if (r->free_count == RUN_PAGES_MAX && (to_cool || r->cold_count > 0))
        region_free(r);
    else if (to_cool)
        cool_free(r, at, pages);
}

bool run_cool_free(void)
{
    uint64_t with_memory[WORDS], before = all.free_pages;
    uint32_t end;
    for (uint32_t list = 0; list < LISTS && all.free_pages > 0; list++)
        for (struct region *r = all.lists[list]; r; r = r->next) {
            if (!free_warm(r, with_memory))
                continue;
            for (uint32_t at = next_bit(with_memory, 0, true); at < RUN_PAGES_MAX;
                 at = next_bit(with_memory, end, true)) {
                end = next_bit(with_memory, at, false);
                cool_free(r, at, end - at);
            }
            return all.free_pages < before; /* not, if the system does not want them */
        }
    return false;
}

void run_cool(uint8_t *from, uint32_t pages)
{
    uint32_t at;
    struct region *r = region_of(from, &at);
    assert(count_bits(r->free, at, pages) == 0);
    cool(r, at, pages);
}

void run_warm(uint8_t *from, uint32_t pages)
{
    uint32_t at;
    struct region *r = region_of(from, &at);
    warm(r, at, pages);
}

void run_set_owner(uint8_t *run, uint32_t pages, void *owner)
{
    uint32_t at;
    struct region *r = region_of(run, &at);
    for (uint32_t i = 0; i < pages; i++)
        r->owner[at + i] = owner;
}

void *run_owner(const uint8_t *page)
{
    uint32_t at;
    const struct region *r = region_of(page, &at);
    return r->owner[at];
}

bool run_trim(void)
{
    struct region *r = all.lists[LISTS - 1];
    if (!r)
        return false;
    assert(r->longest == RUN_PAGES_MAX);
    region_free(r);
    return true;
}

uint64_t run_held_bytes(void)
{
    return all.held_bytes;
}

uint64_t run_cold_bytes(void)
{
    return all.cold_pages * RUN_PAGE_BYTES;
}

uint64_t run_free_bytes(void)
{
    return all.free_pages * RUN_PAGE_BYTES;
}
