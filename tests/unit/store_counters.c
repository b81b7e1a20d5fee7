/* counters: stripes, slots, histograms, sampling; and what an open store tells. */
#include "tests/unit/store_rig.h"

#include "store/counters.h"

/* ---- histograms ---- */

static void test_buckets(void **state)
{
    (void)state;
    uint64_t last = 0;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        uint64_t top = histogram_value(i);
        assert_int_equal(histogram_bucket(top), i);
        assert_true(i == 0 || top > last);
        if (i > 0)
            assert_int_equal(histogram_bucket(last + 1), i); /* no gap */
        if (i >= 16 && i < HISTOGRAM_BUCKETS - 1)
            assert_true(top - last <= (last + 1) / 8); /* exact to an eighth */
        last = top;
    }
    assert_int_equal(histogram_bucket(0), 0);
    assert_int_equal(histogram_bucket(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
    assert_int_equal(histogram_bucket(UINT64_C(1) << 45), HISTOGRAM_BUCKETS - 1);
    assert_true(histogram_bucket((UINT64_C(1) << 45) - 1) <= HISTOGRAM_BUCKETS - 1);
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void test_quantiles(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    struct histogram h = {0};
    static uint64_t values[5001];
    assert_int_equal(histogram_quantile(&h, 500000), 0);
    for (int i = 0; i < 5001; i++) {
        values[i] = simrng_next(&rng) >> (20 + simrng_below(&rng, 40));
        h.counts[histogram_bucket(values[i])]++;
        h.max = values[i] > h.max ? values[i] : h.max;
    }
    qsort(values, 5001, sizeof *values, by_value);
    for (uint32_t parts = 0; parts <= 1000000; parts += 1000) {
        uint64_t rank = ((uint64_t)5001 * parts + 999999) / 1000000;
        uint64_t exact = values[rank ? rank - 1 : 0], told = histogram_quantile(&h, parts);
        assert_true(told >= exact && told <= exact + exact / 8 + 1);
    }
    assert_int_equal(histogram_quantile(&h, 1000000), values[5000]);
}

/* ---- stripes ---- */

enum { THREADS = 100, EACH = 20000 }; /* more threads than slots */

static pthread_barrier_t gate;

static void *count_some(void *arg)
{
    struct counters *c = arg;
    struct counter_stripe *mine = counters_mine(c);
    pthread_barrier_wait(&gate); /* all hold their slots at once */
    for (int i = 0; i < EACH; i++) {
        assert_ptr_equal(counters_mine(c), mine);
        counter_add(mine, COUNT_GET, 1);
        counter_add(mine, COUNT_FOUND_LEVEL + 3, 2);
        counter_record(mine, STORE_TIME_SYNC, (uint64_t)i);
    }
    pthread_barrier_wait(&gate);
    return NULL;
}

static void test_nothing_is_lost(void **state)
{
    (void)state;
    struct counters c;
    struct store_insight out = {0};
    pthread_t threads[THREADS];
    counters_init(&c);
    for (int round = 1; round <= 2; round++) { /* the second with slots that were given back */
        pthread_barrier_init(&gate, NULL, THREADS);
        for (int i = 0; i < THREADS; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, count_some, &c), 0);
        for (int i = 0; i < THREADS; i++)
            pthread_join(threads[i], NULL);
        pthread_barrier_destroy(&gate);
        counters_read(&c, &out);
        assert_int_equal(out.gets, (uint64_t)round * THREADS * EACH);
        assert_int_equal(out.found_level[3], (uint64_t)round * THREADS * EACH * 2);
        assert_int_equal(out.found_level[2], 0);
        assert_int_equal(out.latency[STORE_TIME_SYNC].samples, (uint64_t)round * THREADS * EACH);
        assert_int_equal(out.latency[STORE_TIME_SYNC].max_ns, EACH - 1);
    }
    assert_true(c.stripes[0] && c.stripes[0]->shared);
    uint32_t own = 0;
    for (uint32_t i = 1; i < COUNTER_SLOTS; i++)
        own += c.stripes[i] && !c.stripes[i]->shared;
    assert_int_equal(own, COUNTER_SLOTS - 1);
    counters_release(&c);
}

static void test_no_counters(void **state)
{
    (void)state;
    assert_null(counters_mine(NULL));
    counter_add(NULL, COUNT_GET, 1);
    assert_int_equal(counter_start(NULL, STORE_TIME_SYNC, NULL), 0);
    counter_stop(NULL, STORE_TIME_SYNC, NULL, 0);
    counter_record(NULL, STORE_TIME_SYNC, 5);
}

static void test_stripes_apart(void **state)
{
    (void)state;
    struct counters a, b;
    struct store_insight out;
    counters_init(&a);
    counters_init(&b);
    counter_add(counters_mine(&a), COUNT_SEEK, 7);
    counter_add(counters_mine(&b), COUNT_SEEK, 1);
    counters_read(&a, &out);
    assert_int_equal(out.seeks, 7);
    counters_read(&b, &out);
    assert_int_equal(out.seeks, 1);
    counters_release(&a);
    counters_release(&b);
}

static void test_sampling(void **state)
{
    (void)state;
    struct simdisk *disk = simdisk_new(1);
    struct env *env = simdisk_env(disk);
    struct counters c;
    struct store_insight out;
    counters_init(&c);
    struct counter_stripe *mine = counters_mine(&c);
    uint32_t period = counter_periods[STORE_TIME_STEP], timed = 0;
    assert_true(period > 1);
    for (uint32_t i = 0; i < 10 * period; i++) {
        uint64_t began = counter_start(mine, STORE_TIME_STEP, env);
        timed += began > 0;
        simdisk_advance(disk, 1000000000);
        counter_stop(mine, STORE_TIME_STEP, env, began);
    }
    assert_int_equal(timed, 10);
    counters_read(&c, &out);
    assert_int_equal(out.latency[STORE_TIME_STEP].samples, 10);
    assert_int_equal(out.latency[STORE_TIME_STEP].period, period);
    assert_true(out.latency[STORE_TIME_STEP].sum_ns >= 10000000000);
    assert_true(out.latency[STORE_TIME_STEP].p50_ns >= 1000000000);
    assert_true(out.latency[STORE_TIME_STEP].max_ns < 1200000000);
    counters_release(&c);
    simdisk_free(disk);
}

static void test_names(void **state)
{
    (void)state;
    for (int i = 0; i < STORE_TIMERS; i++) {
        assert_true(counter_periods[i] >= 1);
        for (int k = 0; k < i; k++)
            assert_string_not_equal(store_timer_name((enum store_timer)i),
                                    store_timer_name((enum store_timer)k));
    }
}

/* ---- of a store ---- */

static struct store_insight insight(struct rig *r)
{
    struct store_insight in;
    store_get_insight(r->s, &in);
    return in;
}

static void test_levels(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    rig_fill(r, 0, 300, 300, 0);
    assert_ok(store_flush(r->s));
    struct store_insight in = insight(r);
    uint64_t flushed = rig_stats(r).level_bytes[0];
    assert_true(flushed > 0);
    assert_int_equal(in.level_written[0], flushed);
    assert_int_equal(in.level_read[0], 0);
    assert_int_equal(in.level_written[0], rig_stats(r).bytes_written_flush);
    rig_compact(r);
    in = insight(r);
    uint64_t written = 0, read = 0, held = 0;
    for (int i = 0; i < STORE_LEVELS; i++) {
        written += in.level_written[i];
        read += in.level_read[i];
        held += rig_stats(r).level_bytes[i];
    }
    assert_int_equal(written - read, held); /* what was written and not taken away is there */
    assert_int_equal(written,
                     rig_stats(r).bytes_written_flush + rig_stats(r).bytes_written_compaction);
    rig_fill(r, 0, 300, 300, 1);
    assert_ok(store_flush(r->s));
    uint64_t before = insight(r).level_written[0];
    rig_compact(r);
    in = insight(r);
    assert_int_equal(in.level_written[0], before);
    /* The first job only moved its table; the second read both. */
    assert_int_equal(in.level_read[0], before - flushed);
    assert_int_equal(in.level_read[LEVEL_COUNT - 1], flushed);
    assert_int_equal(in.level_written[LEVEL_COUNT - 1], rig_stats(r).bytes_written_compaction);
    rig_close_clean(r);
}

static void test_times(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    uint32_t period = counter_periods[STORE_TIME_WRITE];
    struct store_insight a = insight(r);
    for (uint32_t i = 0; i < 10 * period; i++)
        rig_put(r, rig_key(i), "value");
    assert_ok(rig_try_put(r, "synced", slice_str("v"), STORE_SYNC));
    assert_ok(store_sync(r->s));
    assert_ok(store_flush(r->s));
    rig_compact(r);
    struct store_read read;
    struct store_value v = {0};
    store_read_begin(r->s, &read);
    for (uint32_t i = 0; i < 5 * counter_periods[STORE_TIME_GET]; i++)
        assert_ok(store_get(&read, slice_str(rig_key(3)), &v));
    store_value_release(&v);
    store_read_end(&read);
    struct store_insight b = insight(r);
    assert_int_equal(b.batches - a.batches, 10 * period + 1);
    assert_true(b.latency[STORE_TIME_WRITE].samples - a.latency[STORE_TIME_WRITE].samples >= 10);
    assert_true(b.latency[STORE_TIME_WRITE].samples - a.latency[STORE_TIME_WRITE].samples <= 11);
    assert_int_equal(b.latency[STORE_TIME_GET].samples - a.latency[STORE_TIME_GET].samples, 5);
    assert_int_equal(b.syncs - a.syncs, 2);
    assert_int_equal(b.latency[STORE_TIME_SYNC].samples - a.latency[STORE_TIME_SYNC].samples, 2);
    assert_int_equal(b.latency[STORE_TIME_FLUSH].samples, 1);
    for (int i = 0; i < STORE_TIMERS; i++) {
        const struct store_latency *l = &b.latency[i];
        assert_true(l->p50_ns <= l->p90_ns && l->p90_ns <= l->p99_ns && l->p99_ns <= l->p999_ns);
        assert_true(l->p999_ns <= l->max_ns && l->sum_ns >= l->max_ns);
        assert_true((l->samples == 0) == (l->max_ns == 0));
    }
    rig_close_clean(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buckets),
        cmocka_unit_test(test_quantiles),
        cmocka_unit_test(test_nothing_is_lost),
        cmocka_unit_test(test_no_counters),
        cmocka_unit_test(test_stripes_apart),
        cmocka_unit_test(test_sampling),
        cmocka_unit_test(test_names),
        RIG_SIM(test_levels),
        RIG_SIM(test_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
