/* cache: residence, budget, CLOCK, pins; then many threads over a small capacity. */
#include "store/cache.h"

#include <pthread.h>

#include "tests/unit/unit.h"

/* Every byte of an item's data is a function of its key, so that wrong data is seen. */
static uint8_t byte_of(uint64_t file, uint64_t offset)
{
    return (uint8_t)(file * 31 + offset * 7 + 1);
}

static struct cache_item *put(struct cache *c, uint64_t file, uint64_t offset, size_t len)
{
    struct cache_item *item = cache_alloc(len);
    memset(cache_bytes(item), byte_of(file, offset), len);
    return cache_insert(c, file, offset, item);
}

static bool item_is(const struct cache_item *item, uint64_t file, uint64_t offset)
{
    for (size_t i = 0; i < item->data.len; i++)
        if (item->data.data[i] != byte_of(file, offset))
            return false;
    return true;
}

static void put_release(struct cache *c, uint64_t file, uint64_t offset, size_t len)
{
    cache_release(c, put(c, file, offset, len));
}

static bool hit(struct cache *c, uint64_t file, uint64_t offset)
{
    struct cache_item *item = cache_get(c, STORE_CACHE_BLOCK, file, offset);
    if (!item)
        return false;
    assert_true(item_is(item, file, offset));
    cache_release(c, item);
    return true;
}

static struct cache_stats stats_of(struct cache *c)
{
    struct cache_stats stats;
    cache_stats(c, &stats);
    return stats;
}

static void test_get_put(void **state)
{
    (void)state;
    struct cache *c = cache_new(1 << 20);
    assert_null(cache_get(c, STORE_CACHE_BLOCK, 1, 2));
    struct cache_item *item = put(c, 1, 2, 100);
    assert_int_equal(item->data.len, 100);
    cache_release(c, item);
    assert_true(hit(c, 1, 2));
    assert_false(hit(c, 2, 1));
    put_release(c, 5, 5, 0);
    assert_true(hit(c, 5, 5));

    struct cache_stats stats = stats_of(c);
    assert_int_equal(stats.items, 2);
    assert_int_equal(stats.hits, 2);
    assert_int_equal(stats.misses, 2);
    assert_int_equal(stats.evictions, 0);
    assert_int_equal(stats.capacity_bytes, 1 << 20);
    assert_in_range(stats.used_bytes, 100, 1000);
    cache_free(c);
    cache_free(NULL);
}

static void test_put_twice(void **state)
{
    (void)state;
    struct cache *c = cache_new(1 << 20);
    struct cache_item *first = put(c, 1, 1, 10);
    uint64_t used = stats_of(c).used_bytes;
    struct cache_item *second = put(c, 1, 1, 10);
    assert_ptr_equal(first, second);
    assert_int_equal(stats_of(c).used_bytes, used);
    cache_release(c, first);
    assert_true(item_is(second, 1, 1));
    cache_release(c, second);
    cache_free(c);
}

/* Bytes that are elsewhere are copied; room that is not wanted leaves nothing behind. */
static void test_copies_and_discards(void **state)
{
    (void)state;
    struct cache *c = cache_new(1 << 20);
    uint8_t bytes[20];
    memset(bytes, byte_of(7, 9), sizeof bytes);
    struct cache_item *item = cache_put(c, 7, 9, slice_of(bytes, sizeof bytes));
    memset(bytes, 0, sizeof bytes);
    assert_int_equal(item->data.len, sizeof bytes);
    assert_true(item_is(item, 7, 9));
    cache_release(c, item);
    cache_discard(cache_alloc(100));
    cache_discard(NULL);
    assert_int_equal(stats_of(c).items, 1);
    cache_free(c);
}

static void test_capacity_zero(void **state)
{
    (void)state;
    struct cache *c = cache_new(0);
    struct cache_item *item = put(c, 1, 1, 10);
    assert_true(item_is(item, 1, 1));
    assert_ptr_equal(cache_pin(item), item);
    cache_release(c, item);
    assert_true(item_is(item, 1, 1));
    assert_int_equal(stats_of(c).items, 1);
    cache_release(c, item);
    assert_null(cache_get(c, STORE_CACHE_BLOCK, 1, 1));
    assert_int_equal(stats_of(c).items, 0);
    assert_int_equal(stats_of(c).used_bytes, 0);
    cache_free(c);
}

/* One item may take nearly everything; one that is larger evicts nobody. */
static void test_large_items(void **state)
{
    (void)state;
    struct cache *c = cache_new(1 << 20);
    for (uint64_t i = 0; i < 100; i++)
        put_release(c, 1, i, 1000);
    put_release(c, 2, 0, 2 << 20);
    assert_false(hit(c, 2, 0));
    assert_int_equal(stats_of(c).items, 100);
    assert_int_equal(stats_of(c).evictions, 0);
    put_release(c, 3, 0, 1000 * 1000);
    assert_true(hit(c, 3, 0));
    assert_true(stats_of(c).used_bytes <= 1 << 20);
    assert_true(stats_of(c).evictions > 0);
    cache_free(c);
}

static void test_growing_tables(void **state)
{
    (void)state;
    enum { COUNT = 50000 };
    struct cache *c = cache_new(1 << 30);
    for (uint64_t i = 0; i < COUNT; i++)
        put_release(c, i % 7, i * 4096, 1 + i % 5);
    for (uint64_t i = 0; i < COUNT; i++)
        assert_true(hit(c, i % 7, i * 4096));
    assert_int_equal(stats_of(c).items, COUNT);
    cache_free(c);
}

/* What is in use survives a scan that is ten times as large as the cache. */
static void test_scan_resistance(void **state)
{
    (void)state;
    enum { HOT = 200, SCAN = 10000 };
    struct cache *c = cache_new(1 << 20);
    for (uint64_t i = 0; i < HOT; i++)
        put_release(c, 1, i, 1000);
    for (uint64_t i = 0; i < SCAN; i++) {
        put_release(c, 2, i, 1000);
        hit(c, 1, i % HOT);
    }
    unsigned survivors = 0;
    for (uint64_t i = 0; i < HOT; i++)
        survivors += hit(c, 1, i);
    assert_int_equal(survivors, HOT);
    assert_false(hit(c, 2, 0));
    cache_free(c);
}

static void test_pinned_stay(void **state)
{
    (void)state;
    enum { PINNED = 50 };
    struct cache *c = cache_new(100 * 1000);
    struct cache_item *pinned[PINNED];
    for (uint64_t i = 0; i < PINNED; i++)
        pinned[i] = put(c, 1, i, 1000);
    for (uint64_t i = 0; i < 1000; i++)
        put_release(c, 2, i, 1000);
    for (uint64_t i = 0; i < PINNED; i++) {
        assert_true(item_is(pinned[i], 1, i));
        assert_true(hit(c, 1, i));
        cache_release(c, pinned[i]);
    }
    cache_free(c);
}

/* When everything resident is pinned, what comes on top lives only as long as its own pin. */
static void test_all_pinned(void **state)
{
    (void)state;
    enum { COUNT = 200 };
    struct cache *c = cache_new(100 * 1000);
    struct cache_item *pinned[COUNT];
    for (uint64_t i = 0; i < COUNT; i++)
        pinned[i] = put(c, 1, i, 1000);
    assert_int_equal(stats_of(c).items, COUNT);
    assert_true(stats_of(c).used_bytes > 200 * 1000);
    for (uint64_t i = 0; i < COUNT; i++) {
        assert_true(item_is(pinned[i], 1, i));
        cache_release(c, pinned[i]);
    }
    assert_true(stats_of(c).used_bytes <= 100 * 1000);
    assert_in_range(stats_of(c).items, 50, 99);
    cache_free(c);
}

static void test_set_capacity(void **state)
{
    (void)state;
    struct cache *c = cache_new(1 << 20);
    struct cache_item *pinned[10];
    for (uint64_t i = 0; i < 100; i++)
        put_release(c, 1, i, 1000);
    for (uint64_t i = 0; i < 10; i++)
        pinned[i] = put(c, 2, i, 1000);
    cache_set_capacity(c, 50 * 1000);
    assert_int_equal(stats_of(c).capacity_bytes, 50 * 1000);
    assert_in_range(stats_of(c).used_bytes, 30 * 1000, 50 * 1000);
    cache_set_capacity(c, 0);
    assert_int_equal(stats_of(c).items, 10);
    for (uint64_t i = 0; i < 10; i++) {
        assert_true(item_is(pinned[i], 2, i));
        cache_release(c, pinned[i]);
        assert_int_equal(stats_of(c).items, 9 - i);
    }
    assert_int_equal(stats_of(c).used_bytes, 0);
    cache_set_capacity(c, 1 << 20);
    put_release(c, 1, 1, 1000);
    assert_true(hit(c, 1, 1));
    cache_free(c);
}

/* ---- threads ---- */

enum { THREADS = 6, ROUNDS = 30000, HELD = 4, KEYS = 500, CAPACITY = 60 * 1000 };

struct worker {
    struct cache *cache;
    uint64_t rng;
    bool resizes;
    uint64_t wrong; /* data, or bytes over the budget */
    pthread_t thread;
};

static uint64_t rand_below(uint64_t *rng, uint64_t n)
{
    *rng = *rng * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (*rng >> 33) % n;
}

static struct cache_item *get_or_put(struct worker *w, uint64_t key)
{
    struct cache_item *item = cache_get(w->cache, STORE_CACHE_BLOCK, key % 3, key);
    if (!item)
        item = put(w->cache, key % 3, key, 50 + key);
    w->wrong += !item_is(item, key % 3, key) || item->data.len != 50 + key;
    return item;
}

/* Holds a few items at a time and checks their bytes again before it lets go. */
static void *work(void *arg)
{
    struct worker *w = arg;
    struct cache_item *held[HELD] = {0};
    uint64_t keys[HELD] = {0};
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t slot = rand_below(&w->rng, HELD);
        if (held[slot]) {
            w->wrong += !item_is(held[slot], keys[slot] % 3, keys[slot]);
            cache_release(w->cache, held[slot]);
        }
        /* The smaller of two: some keys are hot. */
        uint64_t a = rand_below(&w->rng, KEYS), b = rand_below(&w->rng, KEYS);
        keys[slot] = a < b ? a : b;
        held[slot] = get_or_put(w, keys[slot]);
        if (rand_below(&w->rng, 8) == 0)
            cache_release(w->cache, cache_pin(held[slot]));
        if (w->resizes && rand_below(&w->rng, 50) == 0)
            cache_set_capacity(w->cache, rand_below(&w->rng, CAPACITY));
    }
    for (int i = 0; i < HELD; i++)
        if (held[i])
            cache_release(w->cache, held[i]);
    return NULL;
}

/* What is kept stays, whatever comes by, up to a quarter of the capacity; what was let go does not.
 */
static void test_kept_stay(void **state)
{
    (void)state;
    struct cache *c = cache_new(1 << 20);
    for (uint64_t i = 0; i < 1000; i++) {
        struct cache_item *item = cache_alloc(1000);
        memset(cache_bytes(item), byte_of(1, i), 1000);
        cache_release(c, cache_insert_kept(c, 1, i, item));
    }
    uint64_t kept = stats_of(c).kept_bytes, found = 0;
    assert_in_range(kept, (1 << 18) - 4096, 1 << 18);
    for (uint64_t i = 0; i < 20000; i++) {
        put_release(c, 2, i, 1000);
        hit(c, 2, i);
    }
    for (uint64_t i = 0; i < 1000; i++)
        found += hit(c, 1, i);
    assert_int_equal(stats_of(c).kept_bytes, kept);
    assert_in_range(found, kept / 1200, kept / 1000);
    for (uint64_t i = 0; i < 500; i++)
        cache_let_go(c, 1, i);
    cache_let_go(c, 77, 1); /* nothing */
    uint64_t left = stats_of(c).kept_bytes;
    assert_true(left < kept);
    /* A capacity of which they are more than their part: they go like the rest. */
    cache_set_capacity(c, 200 << 10);
    for (uint64_t i = 0; i < 2000; i++)
        put_release(c, 3, i, 1000);
    assert_true(stats_of(c).kept_bytes <= 50 << 10);
    assert_true(stats_of(c).used_bytes <= 200 << 10);
    cache_set_capacity(c, 0);
    assert_int_equal(stats_of(c).kept_bytes, 0);
    assert_int_equal(stats_of(c).items, 0);
    cache_free(c);
}

static void run_threads(bool resizes)
{
    struct cache *c = cache_new(CAPACITY);
    struct worker workers[THREADS];
    uint64_t seed = unit_seed(), wrong = 0;
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.cache = c, .rng = seed + i, .resizes = resizes && i == 0};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(workers[i].thread, NULL);
        wrong += workers[i].wrong;
    }
    assert_int_equal(wrong, 0);

    struct cache_stats stats = stats_of(c);
    assert_true(stats.used_bytes <= stats.capacity_bytes);
    assert_int_equal(stats.hits + stats.misses, THREADS * ROUNDS);
    assert_true(stats.hits > 0 && stats.evictions > 0);
    cache_set_capacity(c, 0);
    stats = stats_of(c);
    assert_int_equal(stats.items, 0);
    assert_int_equal(stats.used_bytes, 0);
    cache_free(c);
}

/* What nobody needs any more goes at once, unless it is pinned, and looking without using it does
 * not keep it. */
static void test_drop_and_peek(void **state)
{
    struct cache_stats st;
    struct cache *c = cache_new(1 << 20);
    (void)state;
    cache_release(c, cache_put(c, 1, 10, slice_str("ten")));
    struct cache_item *pinned = cache_put(c, 1, 20, slice_str("twenty"));
    cache_release(c, cache_insert_kept(c, 1, 30, cache_alloc(100)));
    cache_drop(c, 1, 10);
    cache_drop(c, 1, 20);
    cache_drop(c, 1, 30);
    cache_drop(c, 1, 40);
    assert_null(cache_peek(c, 1, 10));
    assert_null(cache_peek(c, 1, 30));
    assert_slice_str(pinned->data, "twenty");
    cache_stats(c, &st);
    assert_int_equal(st.items, 1);
    assert_int_equal(st.kept_bytes, 0);
    assert_int_equal(st.evictions, 0);
    cache_release(c, pinned);
    cache_drop(c, 1, 20);
    cache_stats(c, &st);
    assert_int_equal(st.items, 0);
    assert_int_equal(st.used_bytes, 0);

    cache_release(c, cache_put(c, 2, 0, slice_str("seen")));
    cache_stats(c, &st);
    uint64_t hits = st.hits, misses = st.misses;
    struct cache_item *seen = cache_peek(c, 2, 0);
    assert_slice_str(seen->data, "seen");
    cache_release(c, seen);
    cache_stats(c, &st);
    assert_int_equal(st.hits, hits);
    assert_int_equal(st.misses, misses);
    cache_free(c);
}

static void test_threads(void **state)
{
    (void)state;
    run_threads(false);
}

static void test_threads_resizing(void **state)
{
    (void)state;
    run_threads(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_get_put),
        cmocka_unit_test(test_put_twice),
        cmocka_unit_test(test_copies_and_discards),
        cmocka_unit_test(test_capacity_zero),
        cmocka_unit_test(test_large_items),
        cmocka_unit_test(test_growing_tables),
        cmocka_unit_test(test_scan_resistance),
        cmocka_unit_test(test_pinned_stay),
        cmocka_unit_test(test_all_pinned),
        cmocka_unit_test(test_set_capacity),
        cmocka_unit_test(test_kept_stay),
        cmocka_unit_test(test_drop_and_peek),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_threads_resizing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
