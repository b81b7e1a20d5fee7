/* What lies dead under range tombstones costs nothing: neither a scan across it, nor a read inside
 * it, nor the compaction that removes it. Counted in blocks and steps, at the door. */
#include <stdio.h>

#include "tests/unit/store_rig.h"

enum { KEYS = 1000000, CHAIN = 10000, BLOCKS_FEW = 120, STEPS_FEW = 100 };

static struct slice number_key(uint64_t i, uint8_t room[9])
{
    room[0] = 'k';
    put_be64(room + 1, i);
    return slice_of(room, 9);
}

static void fill(struct rig *r)
{
    uint8_t room[9];
    r->opt.memtable_bytes = 2 << 20;
    r->opt.table_bytes = 256 << 10;
    r->opt.block_bytes = 4 << 10;
    r->opt.cache_bytes = 8 << 20;
    r->opt.zstd_level = 0;
    rig_open(r);
    for (uint64_t i = 0; i < KEYS;) {
        struct store_batch *b = store_batch_new(r->s);
        for (int n = 0; n < 1000; n++)
            store_batch_put(b, number_key(i++, room), slice_str("v"));
        assert_ok(rig_write(r, b, 0));
        if (rig_stats(r).sealed_memtables > 0)
            rig_work(r);
    }
    rig_compact(r);
    rig_work(r);
}

/* Deletes [1, KEYS - 1), in so many tombstones that touch. */
static void delete_all_but_two(struct rig *r, uint64_t tombstones)
{
    uint8_t from[9], to[9];
    uint64_t each = (KEYS - 2 + tombstones - 1) / tombstones;
    for (uint64_t i = 1; i < KEYS - 1; i += each) {
        uint64_t end = i + each < KEYS - 1 ? i + each : KEYS - 1;
        struct store_batch *b = store_batch_new(r->s);
        store_batch_delete_range(b, number_key(i, from), number_key(end, to));
        assert_ok(rig_write(r, b, 0));
    }
}

static struct store_insight insight_of(struct rig *r)
{
    struct store_insight in;
    store_get_insight(r->s, &in);
    return in;
}

static uint64_t blocks(const struct store_insight *in)
{
    return in->blocks_read + in->blocks_cached;
}

/* From the first key to the last, either way, and into the middle. */
static void check_scan(struct rig *r)
{
    uint8_t room[9];
    struct store_read read;
    struct store_insight before = insight_of(r), after;
    store_read_begin(r->s, &read);
    struct store_iter *it = store_iter_new(&read, (struct slice){0}, (struct slice){0});
    assert_ok(store_iter_first(it));
    assert_ok(store_iter_next(it));
    assert_slice(store_iter_key(it), number_key(KEYS - 1, room).data, 9);
    assert_absent(store_iter_next(it));
    assert_ok(store_iter_seek(it, number_key(KEYS / 2, room)));
    assert_slice(store_iter_key(it), number_key(KEYS - 1, room).data, 9);
    assert_ok(store_iter_prev(it));
    assert_slice(store_iter_key(it), number_key(0, room).data, 9);
    store_iter_free(it);
    store_read_end(&read);
    after = insight_of(r);
    assert_in_range(blocks(&after) - blocks(&before), 0, BLOCKS_FEW);
    assert_in_range(after.passed - before.passed, 0, STEPS_FEW);
}

/* A read inside needs no block at all: what hides the key is met before what it hides. */
static void check_gets(struct rig *r)
{
    uint8_t room[9];
    struct store_read read;
    struct store_value v = {0};
    struct store_insight before = insight_of(r), after;
    store_read_begin(r->s, &read);
    for (uint64_t i = 1; i < KEYS - 1; i += KEYS / 1000)
        assert_absent(store_get(&read, number_key(i, room), &v));
    store_value_release(&v);
    store_read_end(&read);
    after = insight_of(r);
    assert_int_equal(after.range_deleted - before.range_deleted, after.gets - before.gets);
    assert_int_equal(blocks(&after), blocks(&before));
    assert_true(after.tables_asked - before.tables_asked <= after.gets - before.gets);
}

static void check(struct rig *r)
{
    check_scan(r);
    check_gets(r);
}

/* In the memtable, then in a table of level 0; then it is compacted away, with few blocks read. */
static void try_tombstones(struct rig *r, uint64_t tombstones)
{
    fill(r);
    uint64_t tables = 0, bytes = 0;
    struct store_stats s = rig_stats(r);
    for (int level = 0; level < STORE_LEVELS; level++)
        tables += s.level_tables[level], bytes += s.level_bytes[level];
    assert_true(tables >= 10);
    delete_all_but_two(r, tombstones);
    check(r);
    assert_ok(store_flush(r->s));
    check(r);
    struct store_insight before = insight_of(r), after;
    rig_compact(r);
    rig_work(r);
    after = insight_of(r);
    /* The first and the last table have a key that lives. */
    assert_in_range(after.job_blocks_read - before.job_blocks_read + after.job_blocks_cached -
                        before.job_blocks_cached,
                    1, bytes / 4096 / 5);
    check_scan(r);
    assert_int_equal(rig_count(r), 2);
    s = rig_stats(r);
    assert_int_equal(s.table_entries, 2);
    assert_int_equal(s.table_rangedels, 0);
}

static void under_one_tombstone(void **state)
{
    try_tombstones(*state, 1);
}

static void under_many_that_touch(void **state)
{
    try_tombstones(*state, CHAIN);
}

/* The counting can tell: the same scan where nothing is deleted. */
static void where_nothing_is_dead(void **state)
{
    struct rig *r = *state;
    fill(r);
    struct store_insight before = insight_of(r), after;
    assert_int_equal(rig_count(r), KEYS);
    after = insight_of(r);
    assert_true(blocks(&after) - blocks(&before) > 10 * BLOCKS_FEW);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_MEMORY(under_one_tombstone),
        RIG_MEMORY(under_many_that_touch),
        RIG_MEMORY(where_nothing_is_dead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
