/* insight: the outcome of each look-up is counted where it belongs, once, and so is what it took:
 * exact figures for a made history. */
#include <stdio.h>

#include "tests/unit/store_rig.h"

enum { BOTTOM = STORE_LEVELS - 1 };

static struct store_insight insight_of(struct rig *r)
{
    struct store_insight in;
    store_get_insight(r->s, &in);
    return in;
}

/* What a read is to add. All fields are numbers of 64 bits up to the latencies. */
struct change {
    uint64_t gets, found_memtable, found_sealed, found_upper, found_bottom, deleted, range_deleted,
        absent, folded, out_of_span, asked, negatives, false_positives, true_positives, missed,
        blocks_cached, blocks_read, blobs_cached, blobs_read;
};

static struct change between(const struct store_insight *a, const struct store_insight *b)
{
    for (int level = 1; level < BOTTOM; level++)
        assert_int_equal(b->found_level[level], 0);
    return (struct change){
        .gets = b->gets - a->gets,
        .found_memtable = b->found_memtable - a->found_memtable,
        .found_sealed = b->found_sealed - a->found_sealed,
        .found_upper = b->found_level[0] - a->found_level[0],
        .found_bottom = b->found_level[BOTTOM] - a->found_level[BOTTOM],
        .deleted = b->deleted - a->deleted,
        .range_deleted = b->range_deleted - a->range_deleted,
        .absent = b->absent - a->absent,
        .folded = b->folded - a->folded,
        .out_of_span = b->tables_out_of_span - a->tables_out_of_span,
        .asked = b->tables_asked - a->tables_asked,
        .negatives = b->filter_negatives - a->filter_negatives,
        .false_positives = b->filter_false_positives - a->filter_false_positives,
        .true_positives = b->filter_true_positives - a->filter_true_positives,
        .missed = b->blocks_missed - a->blocks_missed,
        .blocks_cached = b->blocks_cached - a->blocks_cached,
        .blocks_read = b->blocks_read - a->blocks_read,
        .blobs_cached = b->blobs_cached - a->blobs_cached,
        .blobs_read = b->blobs_read - a->blobs_read,
    };
}

static void assert_change(const char *what, struct change is, struct change want)
{
    const uint64_t *a = (const uint64_t *)&is, *b = (const uint64_t *)&want;
    for (size_t i = 0; i < sizeof is / sizeof *a; i++)
        if (a[i] != b[i])
            fail_msg("%s: field %zu is %llu and should be %llu", what, i, (unsigned long long)a[i],
                     (unsigned long long)b[i]);
}

/* A read of `key`, which exists or not: by get, by has, and by multi_get, all counted alike, but
 * that has fetches no blob. */
static void expect(struct rig *r, const char *key, bool there, struct change want)
{
    struct slice k = slice_str(key);
    struct store_value v = {0};
    struct store_read read;
    int result;
    store_read_begin(r->s, &read);
    for (int way = 0; way < 3; way++) {
        struct store_insight before = insight_of(r);
        if (way == 0)
            result = store_get(&read, k, &v);
        else if (way == 1)
            store_multi_get(&read, &k, 1, &v, &result);
        else
            result = store_has(&read, k);
        assert_int_equal(result, there ? 0 : 1);
        struct store_insight after = insight_of(r);
        struct change is = between(&before, &after), wanted = want;
        if (way > 0) {
            wanted.blocks_cached += wanted.blocks_read;
            wanted.blocks_read = 0;
            wanted.blobs_cached += wanted.blobs_read;
            wanted.blobs_read = 0;
        }
        if (way == 1) /* tables are asked for ranges of keys */
            wanted.out_of_span = 0;
        if (way == 2)
            wanted.blobs_cached = 0;
        assert_change(key, is, wanted);
    }
    store_value_release(&v);
    store_read_end(&read);
}

/* Of each place one key: in the last level, on level 0, in a sealed memtable, in the active one. */
static void make_history(struct rig *r)
{
    char large[4000];
    memset(large, 'x', sizeof large - 1);
    large[sizeof large - 1] = 0;
    r->opt.filter_one_in = 10000;
    r->opt.memtable_bytes = 64 << 10;
    r->opt.memtables_max = 8;
    r->opt.separate_min = 3000;
    r->opt.direct_min = 1 << 20;
    r->opt.zstd_level = 0;
    rig_open(r);
    rig_put(r, "a first", "1");
    rig_put(r, "deep", "value");
    rig_put(r, "deep deleted", "value");
    rig_put(r, "deep large", large);
    rig_put(r, "deep merged", "one ");
    rig_put(r, "ranged", "value");
    rig_put(r, "z last", "1");
    rig_compact(r);
    struct store_stats s = rig_stats(r);
    assert_int_equal(s.level_tables[BOTTOM], 1);
    rig_put(r, "b first", "1");
    rig_put(r, "flushed", "value");
    rig_delete(r, "deep deleted");
    rig_merge_op(r, "deep merged", "two");
    rig_delete_range(r, "range", "rangef");
    rig_put(r, "y last", "1");
    assert_ok(store_flush(r->s));
    s = rig_stats(r);
    assert_int_equal(s.level_tables[0], 1);
    rig_put(r, "sealed", "value");
    for (int i = 0; rig_stats(r).sealed_memtables == 0; i++) {
        char key[32];
        assert_true(i < 1000);
        snprintf(key, sizeof key, "filler %d", i);
        rig_put(r, key, "some more bytes, until the memtable is full");
        rig_put(r, "large", large);
    }
    rig_put(r, "fresh", "value");
    rig_delete(r, "sealed deleted");
}

static void each_outcome_is_counted_once(void **state)
{
    struct rig *r = *state;
    make_history(r);
    expect(r, "fresh", true, (struct change){.gets = 1, .found_memtable = 1});
    expect(r, "sealed", true, (struct change){.gets = 1, .found_sealed = 1});
    expect(r, "sealed deleted", false, (struct change){.gets = 1, .deleted = 1});
    expect(r, "flushed", true,
           (struct change){
               .gets = 1, .found_upper = 1, .asked = 1, .true_positives = 1, .blocks_read = 1});
    expect(r, "deep", true,
           (struct change){.gets = 1,
                           .found_bottom = 1,
                           .asked = 2,
                           .negatives = 1,
                           .true_positives = 1,
                           .blocks_read = 1});
    expect(r, "deep large", true,
           (struct change){.gets = 1,
                           .found_bottom = 1,
                           .asked = 2,
                           .negatives = 1,
                           .true_positives = 1,
                           .blocks_cached = 1,
                           .blobs_read = 1});
    expect(r, "deep deleted", false,
           (struct change){
               .gets = 1, .deleted = 1, .asked = 1, .true_positives = 1, .blocks_cached = 1});
    expect(r, "deep merged", true,
           (struct change){.gets = 1,
                           .found_bottom = 1,
                           .folded = 1,
                           .asked = 2,
                           .true_positives = 2,
                           .blocks_cached = 2});
    /* The tombstone of level 0 ends it: the last level is not come to. */
    expect(r, "ranged", false,
           (struct change){.gets = 1, .range_deleted = 1, .asked = 1, .negatives = 1});
    expect(r, "nothing", false,
           (struct change){.gets = 1, .absent = 1, .asked = 2, .negatives = 2});
    expect(r, "a first", true,
           (struct change){.gets = 1,
                           .found_bottom = 1,
                           .out_of_span = 1,
                           .asked = 1,
                           .true_positives = 1,
                           .blocks_cached = 1});
    expect(r, "0 before all", false, (struct change){.gets = 1, .absent = 1, .out_of_span = 2});
    struct store_insight in = insight_of(r);
    uint64_t sum = in.found_memtable + in.found_sealed + in.deleted + in.range_deleted + in.absent;
    for (int level = 0; level < STORE_LEVELS; level++)
        sum += in.found_level[level];
    assert_int_equal(sum, in.gets);
}

/* A filter that lets half pass: what it lets pass in vain costs a block that misses, and the sum is
 * what was asked. */
static void filters_that_are_wrong_are_counted(void **state)
{
    struct rig *r = *state;
    char key[32];
    struct store_read read;
    struct store_value v = {0};
    r->opt.filter_one_in = 2;
    rig_open(r);
    for (int i = 0; i < 2000; i += 2) {
        snprintf(key, sizeof key, "%06d", i);
        rig_put(r, key, "value");
    }
    rig_compact(r);
    store_read_begin(r->s, &read);
    for (int i = 1; i < 1999; i += 2) {
        snprintf(key, sizeof key, "%06d", i);
        assert_absent(store_get(&read, slice_str(key), &v));
    }
    store_value_release(&v);
    store_read_end(&read);
    struct store_insight in = insight_of(r);
    assert_int_equal(in.tables_asked, 999);
    assert_int_equal(in.absent, 999);
    assert_int_equal(in.filter_true_positives, 0);
    assert_int_equal(in.filter_negatives + in.filter_false_positives, 999);
    assert_in_range(in.filter_false_positives, 300, 700);
    assert_int_equal(in.blocks_missed, in.filter_false_positives);
    assert_int_equal(in.blocks_cached + in.blocks_read, in.filter_false_positives);
    assert_int_equal(in.cache_hits[STORE_CACHE_BLOCK], in.blocks_cached);
    assert_int_equal(in.cache_misses[STORE_CACHE_BLOCK], in.blocks_read);
}

/* Parts of index and filter are kinds of their own; a job's blocks are none that a read needed. */
static void kinds_are_told_apart(void **state)
{
    struct rig *r = *state;
    struct store_read read;
    struct store_value v = {0};
    r->opt.index_whole_bytes = 300;
    r->opt.filter_whole_keys = 100;
    r->opt.block_bytes = 512;
    rig_open(r);
    rig_fill(r, 0, 1000, 20, 0);
    rig_compact(r);
    store_read_begin(r->s, &read);
    struct store_insight before = insight_of(r);
    assert_int_equal(before.blocks_read, 0);
    for (int i = 0; i < 2; i++)
        assert_ok(store_get(&read, slice_str(rig_key(500)), &v));
    struct store_insight after = insight_of(r);
    for (int kind = 0; kind < STORE_CACHE_VALUE; kind++) {
        assert_int_equal(after.cache_misses[kind] - before.cache_misses[kind], 1);
        assert_int_equal(after.cache_hits[kind] - before.cache_hits[kind], 1);
    }
    assert_int_equal(after.blocks_read, 1);
    assert_int_equal(after.blocks_cached, 1);
    store_value_release(&v);
    store_read_end(&read);
}

/* Keys and the sizes of values, of blobs as of others, cost no blob; the values do, one each. */
static void sizes_cost_no_blob(void **state)
{
    struct rig *r = *state;
    struct store_read read;
    uint64_t len, total = 0;
    struct slice value;
    r->opt.separate_min = 1000;
    r->opt.direct_min = 3000;
    rig_open(r);
    rig_fill(r, 0, 20, 10, 0);      /* in tables */
    rig_fill(r, 100, 120, 2000, 0); /* in a blob file of the flush */
    rig_fill(r, 200, 220, 5000, 0); /* in the memtable's */
    rig_compact(r);
    rig_fill(r, 300, 320, 5000, 0); /* of one that is not flushed */
    store_read_begin(r->s, &read);
    struct store_insight before = insight_of(r);
    struct store_iter *it = store_iter_new(&read, (struct slice){0}, (struct slice){0});
    int n = 0;
    for (int rc = store_iter_first(it); rc == 0; rc = store_iter_next(it), n++) {
        assert_ok(store_iter_value_len(it, &len));
        total += len;
    }
    assert_int_equal(n, 80);
    assert_int_equal(total, 20 * 10 + 20 * 2000 + 40 * 5000);
    struct store_insight after = insight_of(r);
    assert_int_equal(after.blobs_read + after.blobs_cached, 0);
    assert_int_equal(after.seeks - before.seeks, 1);
    assert_int_equal(after.steps - before.steps, 80);
    for (int rc = store_iter_first(it); rc == 0; rc = store_iter_next(it))
        assert_ok(store_iter_value(it, &value));
    after = insight_of(r);
    assert_int_equal(after.blobs_read + after.blobs_cached, 60);
    store_iter_free(it);
    store_read_end(&read);
}

/* What is written where, and the times: as many samples as there were of what is always timed. */
static void writing_is_counted(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    rig_fill(r, 0, 100, 100, 0);
    assert_ok(store_flush(r->s));
    rig_fill(r, 0, 100, 100, 7);
    rig_compact(r);
    struct store_insight in = insight_of(r);
    struct store_stats s = rig_stats(r);
    uint64_t written = 0, gone = 0, now = 0;
    for (int level = 0; level < STORE_LEVELS; level++) {
        written += in.level_written[level];
        gone += in.level_read[level];
        now += s.level_bytes[level];
    }
    assert_int_equal(written, s.bytes_written_flush + s.bytes_written_compaction);
    assert_int_equal(written - gone, now);
    assert_int_equal(in.latency[STORE_TIME_FLUSH].samples, s.flushes);
    assert_int_equal(in.latency[STORE_TIME_COMPACTION].samples, s.compactions);
    assert_int_equal(in.stalls, in.latency[STORE_TIME_STALL].samples);
    assert_int_equal(in.syncs, in.latency[STORE_TIME_SYNC].samples);
    assert_true(in.batches > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_SIM(each_outcome_is_counted_once), RIG_SIM(filters_that_are_wrong_are_counted),
        RIG_SIM(kinds_are_told_apart),         RIG_SIM(sizes_cost_no_blob),
        RIG_SIM(writing_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
