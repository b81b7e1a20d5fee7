/* drop: a range of keys goes at once; what pins see stays; values that the store's owner has no use
 * for. On the simulated disk. */
#include "tests/unit/store_rig.h"

#include "store/drop.h"
#include "store/store_priv.h"

static struct store_dropped drop(struct rig *r, uint64_t from, uint64_t to)
{
    struct store_dropped d;
    assert_ok(store_drop_range(r->s, slice_str(rig_key(from)), slice_str(rig_key(to)), &d));
    return d;
}

/* Twenty tables on the bottom, and a few of level 0 over them. */
static void fill(struct rig *r)
{
    rig_open(r);
    rig_fill(r, 0, 4000, 300, 0);
    rig_compact(r);
    assert_true(rig_stats(r).level_tables[6] >= 6);
}

static void no_reads(struct rig *r)
{
    struct sim_fault fault = {.call = SIM_READ, .path_part = ".table", .err = -EIO, .sticky = true};
    simdisk_fail(r->disk, &fault);
}

static void test_tables_leave_at_once(void **state)
{
    struct rig *r = *state;
    fill(r);
    rig_reopen(r);
    struct store_stats before = rig_stats(r);
    no_reads(r);
    struct store_dropped d = drop(r, 500, 3500);
    simdisk_heal(r->disk);
    struct store_stats after = rig_stats(r);
    assert_true(d.tables >= before.level_tables[6] / 2 && d.tables < before.level_tables[6]);
    assert_int_equal(after.level_tables[6], before.level_tables[6] - d.tables);
    assert_int_equal(after.level_bytes[6], before.level_bytes[6] - d.table_bytes);
    assert_int_equal(rig_files(r, FILE_TABLE).count, before.level_tables[6] - d.tables);
    assert_int_equal(rig_count(r), 1000);
    rig_assert_fill(r, 0, 500, 300, 0);
    rig_assert_fill(r, 3500, 4000, 300, 0);
    rig_compact(r);
    rig_assert_fill(r, 0, 500, 300, 0);
    assert_int_equal(rig_stats(r).table_entries, 1000);
    rig_close_clean(r);
}

static void test_empty_ranges(void **state)
{
    struct rig *r = *state;
    fill(r);
    uint64_t seq = rig_stats(r).seq;
    assert_int_equal(drop(r, 9, 9).tables, 0);
    assert_int_equal(drop(r, 9, 8).tables, 0);
    assert_int_equal(rig_stats(r).seq, seq);
    assert_int_equal(drop(r, 9000, 9001).tables, 0);
    assert_int_equal(rig_count(r), 4000);
    rig_close_clean(r);
}

/* What is written later, in a table or not, is not concerned; nor what overlaps the edges. */
static void test_newer_data_stays(void **state)
{
    struct rig *r = *state;
    fill(r);
    drop(r, 0, 4000);
    rig_fill(r, 100, 200, 300, 7);
    assert_ok(store_flush(r->s));
    assert_int_equal(rig_count(r), 100);
    rig_assert_fill(r, 100, 200, 300, 7);
    drop(r, 150, 4000);
    rig_assert_fill(r, 100, 150, 300, 7);
    assert_int_equal(rig_count(r), 50);
    rig_close_clean(r);
}

static void test_values_become_garbage(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    for (uint64_t i = 0; i < 4; i++) {
        rig_fill(r, i * 50, i * 50 + 50, 6000, 0);
        assert_ok(store_flush(r->s));
    }
    int files = rig_files(r, FILE_BLOB).count;
    assert_true(files >= 4);
    struct store_dropped d = drop(r, 50, 150);
    assert_true(d.tables >= 2 && d.value_bytes > 100 * 2000);
    assert_true(rig_files(r, FILE_BLOB).count < files);
    rig_assert_fill(r, 0, 50, 6000, 0);
    rig_assert_fill(r, 150, 200, 6000, 0);
    rig_close_clean(r); /* the account is right */
}

/* ---- readers of the past ---- */

static void test_pins_keep_theirs(void **state)
{
    struct rig *r = *state;
    struct store_pin pin;
    struct store_read read;
    fill(r);
    assert_ok(store_pin_create(r->s, "p", 0, &pin));
    rig_fill(r, 4000, 6000, 300, 0); /* the pin sees nothing of these */
    rig_compact(r);
    struct store_dropped d = drop(r, 0, 6000);
    assert_true(d.tables > 0);
    assert_int_equal(rig_count(r), 0);
    store_read_begin_at(r->s, pin.seq, &read);
    rig_assert_fill_at(&read, 0, 4000, 300, 0);
    store_read_end(&read);
    rig_compact(r);
    store_read_begin_at(r->s, pin.seq, &read);
    rig_assert_fill_at(&read, 0, 4000, 300, 0);
    store_read_end(&read);
    assert_ok(store_pin_delete(r->s, "p"));
    assert_true(drop(r, 0, 6000).tables > 0);
    assert_true(rig_stats(r).table_entries < 500);
    rig_close_clean(r);
}

/* Who reads already goes on; a scan of what changed since says that the past is gone. */
static void test_reads_and_history(void **state)
{
    struct rig *r = *state;
    struct store_read read, now;
    struct store_since *since;
    rig_open(r);
    rig_fill(r, 0, 4000, 300, 0);
    assert_ok(store_flush(r->s));
    store_read_begin(r->s, &read);
    assert_ok(store_since_new(&read, read.seq, (struct slice){0}, (struct slice){0}, 0, &since));
    store_since_free(since);
    assert_true(drop(r, 0, 3000).tables > 0);
    rig_assert_fill_at(&read, 0, 4000, 300, 0);
    store_read_begin(r->s, &now);
    assert_errno(store_since_new(&now, read.seq, (struct slice){0}, (struct slice){0}, 0, &since),
                 ESTALE);
    store_read_end(&now);
    store_read_end(&read);
    rig_close_clean(r);
}

/* ---- side by side with others ---- */

/* Tables that a job has are left alone. */
static void test_busy_tables_stay(void **state)
{
    struct rig *r = *state;
    fill(r);
    struct version *v = viewbox_peek(r->s->tree.box)->version;
    uint32_t count = v->levels[6].count;
    v->levels[6].tables[2]->busy = true;
    assert_int_equal(drop(r, 0, 9000).tables, count - 1);
    v = viewbox_peek(r->s->tree.box)->version;
    assert_int_equal(v->levels[6].count, 1);
    v->levels[6].tables[0]->busy = false;
    assert_int_equal(rig_count(r), 0);
    assert_int_equal(drop(r, 0, 9000).tables, 1);
    rig_close_clean(r);
}

static void test_workers_and_drops(void **state)
{
    struct rig *r = *state;
    r->opt.workers = 2;
    rig_open(r);
    for (uint64_t i = 0; i < 40; i++) {
        rig_fill(r, 0, 600, 300, i);
        drop(r, i * 10, i * 10 + 300);
        rig_assert_fill(r, 0, i * 10, 300, i);
        rig_assert(r, rig_key(i * 10 + 5), NULL);
        rig_assert_fill(r, i * 10 + 300 < 600 ? i * 10 + 300 : 600, 600, 300, i);
    }
    rig_close_clean(r);
}

/* ---- crashes ---- */

/* At every call that a drop makes, with a power cut there: the range is whole or gone, and the rest
 * is there. */
static void test_power_cuts(void **state)
{
    struct rig *r = *state;
    struct store_dropped d;
    fill(r);
    assert_ok(store_sync(r->s));
    int gone = 0, whole = 0;
    for (uint64_t n = 1; n < 200 && gone < 3; n++) {
        struct rig *k = rig_kill(r);
        rig_open(k);
        simdisk_cut_at(k->disk, n, SIM_CUT_WITHIN);
        int err = store_drop_range(k->s, slice_str(rig_key(500)), slice_str(rig_key(3500)), &d);
        store_close(k->s);
        k->s = NULL;
        simdisk_crash(k->disk, SIM_RANDOM, n);
        rig_open(k);
        uint64_t there = rig_count(k);
        assert_true(there == 1000 || there == 4000);
        if (err == 0)
            assert_int_equal(there, 1000);
        gone += there == 1000;
        whole += there == 4000;
        rig_assert_fill(k, 0, 500, 300, 0);
        rig_assert_fill(k, 3500, 4000, 300, 0);
        rig_close_clean(k);
        rig_drop(k);
    }
    assert_true(gone > 0 && whole > 0);
    rig_close_clean(r);
}

/* ---- on a full disk ---- */

static void test_full_disk(void **state)
{
    struct rig *r = *state;
    struct buf room = {0};
    r->opt.reserve_bytes = 128 << 10;
    simdisk_set_capacity(r->disk, 4 << 20);
    rig_open(r);
    uint64_t i = 0;
    while (rig_try_put(r, rig_key(i), rig_value(i, 300, &room), 0) == 0)
        if (++i % 50 == 0)
            rig_work(r);
    uint64_t before = rig_stats(r).disk_free_bytes;
    assert_true(drop(r, 0, i).tables > 0);
    assert_true(rig_stats(r).disk_free_bytes > before + (1 << 20));
    assert_ok(rig_try_fill(r, 0, 500, 300, 1, 0));
    assert_int_equal(rig_count(r), 500);
    buf_release(&room);
    rig_close_clean(r);
}

/* ---- values that are of no use ---- */

static uint32_t asked;

/* Odd keys. */
static bool is_odd(void *ctx, struct slice key, const struct slice *value)
{
    (void)ctx;
    asked++;
    assert_true(!value || value->len >= 300 || value->len == 1);
    return key.data[key.len - 1] % 2 == 1;
}
static const struct store_filter odd = {.drop = is_odd};

static void assert_even(struct rig *r, uint64_t to, size_t len, uint64_t salt)
{
    for (uint64_t i = 0; i < to; i++) {
        if (i % 2)
            rig_assert(r, rig_key(i), NULL);
        else
            rig_assert_fill(r, i, i + 1, len, salt);
    }
}

static void test_filter(void **state)
{
    struct rig *r = *state;
    static const size_t lens[] = {300, 3000};
    r->opt.filter = &odd;
    for (int k = 0; k < 2; k++) {
        rig_open(r);
        asked = 0;
        for (uint64_t salt = 0; salt < 2; salt++) {
            rig_fill(r, 0, 100, lens[k], salt);
            assert_ok(store_flush(r->s));
        }
        assert_int_equal(asked, 0); /* not by flushes */
        assert_int_equal(rig_count(r), 100);
        rig_compact(r);
        assert_true(asked >= 100);
        assert_int_equal(rig_stats(r).table_entries, 50);
        assert_even(r, 100, lens[k], 1);
        rig_close_clean(r);
    }
}

/* What a pin sees it is not asked about. */
static void test_filter_keeps_what_pins_see(void **state)
{
    struct rig *r = *state;
    struct store_pin pin;
    r->opt.filter = &odd;
    rig_open(r);
    rig_fill(r, 0, 100, 300, 0);
    assert_ok(store_pin_create(r->s, "p", 0, &pin));
    rig_fill(r, 100, 200, 300, 0);
    assert_ok(store_flush(r->s));
    rig_put(r, "b0", "v"); /* another table over all: else they would just be moved */
    rig_put(r, "z0", "v");
    rig_compact(r);
    rig_assert_fill(r, 0, 100, 300, 0);
    rig_assert(r, rig_key(101), NULL);
    assert_ok(store_pin_delete(r->s, "p"));
    rig_close_clean(r);
}

/* What it drops does not bring older versions back, from deeper levels or from a pin's. */
static void test_filter_hides_older(void **state)
{
    struct rig *r = *state;
    struct store_pin pin;
    struct store_read read;
    rig_open(r);
    rig_fill(r, 0, 400, 300, 0);
    rig_compact(r);
    rig_close(r);
    r->opt.filter = &odd;
    rig_open(r);
    assert_ok(store_pin_create(r->s, "p", 0, &pin));
    rig_fill(r, 0, 400, 300, 1);
    rig_merge_op(r, rig_key(7), "more");
    rig_compact(r);
    assert_even(r, 400, 300, 1);
    store_read_begin_at(r->s, pin.seq, &read);
    rig_assert_fill_at(&read, 0, 400, 300, 0);
    store_read_end(&read);
    assert_ok(store_pin_delete(r->s, "p"));
    rig_compact(r);
    assert_even(r, 400, 300, 1);
    assert_int_equal(rig_stats(r).table_entries, 200);
    rig_close_clean(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_SIM(test_tables_leave_at_once),
        RIG_SIM(test_empty_ranges),
        RIG_SIM(test_newer_data_stays),
        RIG_SIM(test_values_become_garbage),
        RIG_SIM(test_pins_keep_theirs),
        RIG_SIM(test_reads_and_history),
        RIG_SIM(test_busy_tables_stay),
        RIG_POSIX(test_workers_and_drops),
        RIG_SIM(test_power_cuts),
        RIG_SIM(test_full_disk),
        RIG_SIM(test_filter),
        RIG_SIM(test_filter_hides_older),
        RIG_SIM(test_filter_keeps_what_pins_see),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
