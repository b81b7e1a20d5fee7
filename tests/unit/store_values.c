/* Tests of store/values.h: which values the cache keeps. */
#include "store/values.h"
#include "tests/sim/simrng.h"
#include "tests/unit/unit.h"

enum { CAPACITY = 4 << 20, LEN = 8000, FITS = CAPACITY / 9000 };

struct fixture {
    struct cache *cache;
    struct values *values;
};

static int setup(void **state)
{
    struct fixture *x = mem_zalloc(sizeof *x);
    x->cache = cache_new(CAPACITY);
    x->values = values_new(x->cache, CAPACITY);
    *state = x;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *x = *state;
    values_free(x->values);
    cache_free(x->cache);
    free(x);
    return 0;
}

static struct cache_item *filled(uint64_t offset, size_t len)
{
    struct cache_item *item = cache_alloc(len);
    memset(cache_bytes(item), (int)(offset % 251), len);
    return item;
}

/* Reads a value as a reader does. True if the cache had it. */
static bool touch(struct fixture *x, uint64_t file, uint64_t offset, size_t len)
{
    struct cache_item *item = values_get(x->values, file, offset);
    bool hit = item != NULL;
    if (!hit)
        item = values_put(x->values, file, offset, filled(offset, len));
    assert_int_equal(item->data.len, len);
    assert_int_equal(item->data.data[len - 1], offset % 251);
    cache_release(x->cache, item);
    return hit;
}

static void fill(struct fixture *x)
{
    for (uint64_t i = 0; i < 2 * FITS; i++)
        touch(x, 9, i, LEN);
}

/* ---- tests ---- */

static void room_that_nobody_uses_is_used(void **state)
{
    struct fixture *x = *state;
    for (uint64_t i = 0; i < FITS / 2; i++)
        assert_false(touch(x, 1, i, LEN));
    for (uint64_t i = 0; i < FITS / 2; i++)
        assert_true(touch(x, 1, i, LEN));
}

static void what_is_read_again_is_let_in(void **state)
{
    struct fixture *x = *state;
    struct cache_stats st;
    fill(x);
    cache_stats(x->cache, &st);
    uint64_t evictions = st.evictions;
    assert_false(touch(x, 1, 1, LEN));
    cache_stats(x->cache, &st);
    assert_int_equal(st.evictions, evictions);
    assert_false(touch(x, 1, 1, LEN));
    assert_true(touch(x, 1, 1, LEN));
    cache_stats(x->cache, &st);
    assert_true(st.evictions > evictions);
    assert_true(st.used_bytes <= CAPACITY);
}

/* If it was too long ago it counts as the first time. */
static void what_was_read_long_ago_is_forgotten(void **state)
{
    struct fixture *x = *state;
    fill(x);
    assert_false(touch(x, 1, 1, LEN));
    for (uint64_t i = 0; i < 2 * FITS; i++)
        touch(x, 2, i, LEN);
    assert_false(touch(x, 1, 1, LEN));
    for (uint64_t i = 0; i < FITS / 8; i++)
        touch(x, 3, i, LEN);
    assert_false(touch(x, 1, 1, LEN)); /* let in now */
    assert_true(touch(x, 1, 1, LEN));
}

/* Blocks and values that are in use stay, however much is passed over once. */
static void a_scan_pushes_nothing_out(void **state)
{
    struct fixture *x = *state;
    for (uint64_t i = 0; i < 40; i++) {
        struct slice block = {(const uint8_t *)"block", 5};
        cache_release(x->cache, cache_put(x->cache, 7, i, block));
    }
    for (int round = 0; round < 3; round++)
        for (uint64_t i = 0; i < FITS / 2; i++)
            touch(x, 1, i, LEN);
    for (uint64_t i = 0; i < 50 * FITS; i++)
        touch(x, 2, i, LEN);
    for (uint64_t i = 0; i < FITS / 2; i++)
        assert_true(touch(x, 1, i, LEN));
    for (uint64_t i = 0; i < 40; i++) {
        struct cache_item *item = cache_get(x->cache, STORE_CACHE_VALUE, 7, i);
        assert_non_null(item);
        cache_release(x->cache, item);
    }
}

/* A set of values in use that does fit is found, though three of four reads pass over others. */
static void what_is_in_use_is_found(void **state)
{
    struct fixture *x = *state;
    struct simrng rng = {unit_seed()};
    uint64_t hits = 0, reads = 0, passed = 0;
    for (int i = 0; i < 80 * FITS; i++) {
        touch(x, 2, passed++, LEN);
        touch(x, 2, passed++, LEN);
        touch(x, 2, passed++, LEN);
        bool hit = touch(x, 1, simrng_below(&rng, FITS / 2), LEN);
        reads += i >= 40 * FITS;
        hits += i >= 40 * FITS && hit;
    }
    if (hits * 100 < reads * 95)
        fail_msg("%d of %d were found", (int)hits, (int)reads);
}

static void what_is_too_large_is_never_let_in(void **state)
{
    struct fixture *x = *state;
    struct cache_stats before, after;
    fill(x);
    cache_stats(x->cache, &before);
    for (int i = 0; i < 5; i++)
        assert_false(touch(x, 1, 1, CAPACITY / 16 + 1));
    cache_stats(x->cache, &after);
    assert_int_equal(after.evictions, before.evictions);
    assert_int_equal(after.used_bytes, before.used_bytes);
    assert_int_equal(after.items, before.items);
}

/* Two threads that miss the same value: the second gets what the first has put there. */
static void the_one_that_is_there_stays(void **state)
{
    struct fixture *x = *state;
    struct cache_item *a = values_put(x->values, 1, 1, filled(1, LEN));
    struct cache_item *b = values_put(x->values, 1, 1, filled(1, LEN));
    assert_ptr_equal(a, b);
    cache_release(x->cache, a);
    cache_release(x->cache, b);
}

static void without_a_capacity_nothing_stays(void **state)
{
    (void)state;
    struct fixture x = {.cache = cache_new(0)};
    x.values = values_new(x.cache, 0);
    for (int i = 0; i < 3; i++)
        assert_false(touch(&x, 1, 1, 100));
    values_free(x.values);
    cache_free(x.cache);
}

int main(void)
{
#define TEST(test)                         \
    {                                      \
#test, test, setup, teardown, NULL \
    }
    const struct CMUnitTest tests[] = {
        TEST(room_that_nobody_uses_is_used),
        TEST(what_is_read_again_is_let_in),
        TEST(what_was_read_long_ago_is_forgotten),
        TEST(a_scan_pushes_nothing_out),
        TEST(what_is_in_use_is_found),
        TEST(what_is_too_large_is_never_let_in),
        TEST(the_one_that_is_there_stays),
        TEST(without_a_capacity_nothing_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
