/* Memory that is used again: sizes, alignment, reuse, and that what is kept is bounded. */
#include "store/pages.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "store/bytes.h"
#include "tests/sim/simrng.h"
#include "tests/unit/unit.h"

/* Without a sanitizer only: with one, everything is malloc's. */
static bool plain(void)
{
    return pages_size(100000) == 100000;
}

static void test_sizes(void **state)
{
    (void)state;
    if (plain())
        return;
    size_t last = 0;
    for (size_t bytes = 1; bytes <= 3 * PAGES_REGION_BYTES; bytes += 1 + bytes / 97) {
        size_t size = pages_size(bytes);
        assert_true(size >= bytes && size >= last);
        assert_int_equal(pages_size(size), size); /* all of it can be asked for */
        if (bytes > 1024 && bytes <= 16 << 10)
            assert_true(size - bytes <= bytes / 16 + 1);
        else if (bytes <= PAGES_REGION_BYTES)
            assert_true(size - bytes < 4096);
        last = size;
    }
    assert_int_equal(pages_size(PAGES_REGION_BYTES), PAGES_REGION_BYTES);
    assert_int_equal(pages_size(PAGES_REGION_BYTES + 1), 2 * PAGES_REGION_BYTES);
}

struct piece {
    uint8_t *at;
    size_t bytes;
    uint8_t mark;
};

static void check_piece(const struct piece *p)
{
    for (size_t i = 0; i < p->bytes; i += 61)
        assert_int_equal(p->at[i], p->mark);
    assert_int_equal(p->at[p->bytes - 1], p->mark);
}

static size_t some_size(struct simrng *rng)
{
    uint64_t r = simrng_next(rng);
    size_t most = r % 50 == 0 ? 5 << 20 : r % 7 == 0 ? 300000 : 20000;
    return 1 + (size_t)(simrng_next(rng) % most);
}

/* Pieces do not overlap, whatever comes and goes, and hold what was put there. */
static void test_random(void **state)
{
    (void)state;
    enum { PIECES = 400, STEPS = 20000 };
    struct piece *pieces = calloc(PIECES, sizeof *pieces);
    struct simrng rng;
    struct pages_stats before, after;
    rng.state = unit_seed();
    pages_stats(&before);
    for (int step = 0; step < STEPS; step++) {
        struct piece *p = &pieces[simrng_next(&rng) % PIECES];
        if (p->at) {
            check_piece(p);
            pages_free(p->at, p->bytes);
            p->at = NULL;
        } else {
            p->bytes = some_size(&rng);
            p->mark = (uint8_t)step;
            p->at = pages_alloc(p->bytes);
            assert_int_equal((uintptr_t)p->at % PAGES_ALIGN, 0);
            memset(p->at, p->mark, p->bytes);
        }
    }
    for (struct piece *p = pieces; p < pieces + PIECES; p++) {
        if (p->at)
            check_piece(p);
        pages_free(p->at, p->bytes);
    }
    pages_stats(&after);
    assert_int_equal(after.used_bytes, before.used_bytes);
    pages_trim();
    pages_stats(&after);
    assert_int_equal(after.held_bytes, 0);
    assert_int_equal(after.kept_bytes, 0);
    free(pieces);
}

/* What was given back comes again, without a new region. */
static void test_reuse(void **state)
{
    (void)state;
    struct pages_stats s;
    void *p = pages_alloc(100000);
    pages_stats(&s);
    uint64_t held = s.held_bytes;
    pages_free(p, 100000);
    for (int i = 0; i < 1000; i++) {
        void *again = pages_alloc(100000);
        assert_true(plain() || again == p);
        pages_free(again, 100000);
    }
    pages_stats(&s);
    assert_true(s.held_bytes <= held);
}

/* Many pieces of one size, all but one of each region freed: what they held is not kept. */
static void test_kept_is_bounded(void **state)
{
    (void)state;
    enum { COUNT = 128 << 20 >> 14 };
    struct pages_stats s;
    void **all = malloc(COUNT * sizeof *all);
    if (plain()) {
        free(all);
        return;
    }
    for (size_t i = 0; i < COUNT; i++)
        memset(all[i] = pages_alloc(16384), 1, 16384);
    for (size_t i = 0; i < COUNT; i++) {
        if (i % 128 != 0)
            pages_free(all[i], 16384);
        pages_stats(&s);
        assert_true(s.kept_bytes <= PAGES_KEPT_BYTES + PAGES_REGION_BYTES);
    }
    /* Cold pieces are good for use again. */
    for (size_t i = 0; i < COUNT; i++) {
        if (i % 128 != 0)
            memset(all[i] = pages_alloc(16384), 2, 16384);
    }
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(*(uint8_t *)all[i], i % 128 ? 2 : 1);
        pages_free(all[i], 16384);
    }
    pages_trim();
    pages_stats(&s);
    assert_int_equal(s.used_bytes, 0);
    assert_int_equal(s.held_bytes, 0);
    free(all);
}

/* Pieces of many sizes do not each take a region. */
static void test_many_sizes(void **state)
{
    (void)state;
    enum { SIZES = 120, MOST = 12 << 20 };
    struct pages_stats s;
    void *all[SIZES];
    size_t bytes[SIZES], count = 0;
    for (size_t b = 1024; b < 300000 && count < SIZES; b += b / 20) {
        bytes[count] = b;
        all[count++] = pages_alloc(b);
    }
    pages_stats(&s);
    assert_true(s.kept_bytes <= MOST);
    for (size_t i = 0; i < count; i++)
        pages_free(all[i], bytes[i]);
    pages_trim();
    pages_stats(&s);
    assert_int_equal(s.held_bytes, 0);
}

/* What is in the place of what, in a cache whose contents change: pieces in random places of some
 * kind go and others come, until all are of another kind. What is in use stays the same, and what
 * is kept is bounded. */
static void change(struct piece *pieces, size_t count, struct simrng *rng, size_t least,
                   size_t spread, uint64_t most)
{
    struct pages_stats s;
    for (size_t i = 0; i < 3 * count; i++) {
        struct piece *p = &pieces[simrng_next(rng) % count];
        pages_stats(&s);
        bool full = s.used_bytes > most;
        if (p->at)
            check_piece(p);
        pages_free(p->at, p->bytes);
        p->at = NULL;
        p->bytes = full ? 0 : least + (size_t)(simrng_next(rng) % spread);
        if (full)
            continue;
        p->mark = (uint8_t)i;
        p->at = pages_alloc(p->bytes);
        memset(p->at, p->mark, p->bytes);
        pages_stats(&s);
        assert_true(s.kept_bytes <= PAGES_KEPT_BYTES + 2 * PAGES_REGION_BYTES);
        assert_true(s.expected_bytes == 0 ||
                    s.kept_bytes <= PAGES_LEAST_BYTES + 3 * PAGES_REGION_BYTES ||
                    s.used_bytes + s.kept_bytes <= s.expected_bytes + 3 * PAGES_REGION_BYTES);
    }
}

static void change_all(int64_t expected)
{
    enum { PIECES = 8000, MOST = 48 << 20 };
    struct piece *pieces = calloc(PIECES, sizeof *pieces);
    struct pages_stats s;
    struct simrng rng;
    rng.state = unit_seed();
    pages_expect(expected);
    change(pieces, PIECES, &rng, 1500, 6000, MOST);
    change(pieces, PIECES, &rng, 130000, 100, MOST);
    change(pieces, PIECES, &rng, 1024, 60000, MOST);
    change(pieces, PIECES, &rng, 4200, 100, MOST);
    for (size_t i = 0; i < PIECES; i++)
        pages_free(pieces[i].at, pieces[i].bytes);
    pages_stats(&s);
    assert_true(s.used_bytes + s.kept_bytes <= PAGES_KEPT_BYTES + PAGES_REGION_BYTES);
    pages_expect(-expected);
    pages_trim();
    pages_stats(&s);
    assert_int_equal(s.used_bytes, 0);
    assert_int_equal(s.held_bytes, 0);
    assert_int_equal(s.expected_bytes, 0);
    free(pieces);
}

static void test_change_of_contents(void **state)
{
    (void)state;
    change_all(0);
    change_all(50 << 20);
}

/* Less is expected than before, and nothing is freed afterwards: what is kept goes at once. */
static void test_less_is_expected(void **state)
{
    (void)state;
    enum { COUNT = 14, BYTES = PAGES_REGION_BYTES, MANY = 50 << 20, FEW = 2 << 20 };
    void *all[COUNT];
    struct pages_stats s;
    if (plain())
        return;
    pages_expect(MANY);
    for (int i = 0; i < COUNT; i++)
        all[i] = pages_alloc(BYTES);
    for (int i = 0; i < COUNT; i++)
        pages_free(all[i], BYTES);
    pages_stats(&s);
    assert_true(s.kept_bytes >= COUNT * (uint64_t)BYTES);
    pages_expect(FEW - MANY);
    pages_stats(&s);
    assert_true(s.kept_bytes <= PAGES_LEAST_BYTES);
    pages_expect(-FEW);
    pages_trim();
    pages_stats(&s);
    assert_int_equal(s.held_bytes, 0);
}

/* Memory that the system does not take back, since it is locked, is kept, and the search for some
 * ends; once it can be had it goes. */
static void test_locked(void **state)
{
    (void)state;
    enum { COUNT = 32, BYTES = PAGES_REGION_BYTES / 2, PAGE = 4096 };
    uint8_t *all[COUNT];
    struct pages_stats s;
    if (plain())
        return;
    pages_expect(1);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(mlock(all[i] = pages_alloc(BYTES), PAGE), 0);
    for (int i = 0; i < COUNT; i += 2) /* of each region one half */
        pages_free(all[i], BYTES);
    pages_stats(&s);
    assert_true(s.kept_bytes > PAGES_LEAST_BYTES);
    for (int i = 0; i < COUNT; i++)
        munlock(all[i], PAGE);
    pages_free(pages_alloc(BYTES), BYTES);
    pages_stats(&s);
    assert_true(s.kept_bytes <= PAGES_LEAST_BYTES);
    for (int i = 1; i < COUNT; i += 2)
        pages_free(all[i], BYTES);
    pages_expect(-1);
    pages_trim();
    pages_stats(&s);
    assert_int_equal(s.held_bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_reuse),
        cmocka_unit_test(test_kept_is_bounded),
        cmocka_unit_test(test_many_sizes),
        cmocka_unit_test(test_change_of_contents),
        cmocka_unit_test(test_less_is_expected),
        cmocka_unit_test(test_locked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
