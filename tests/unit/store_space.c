/* store_space: a disk that fills up: who is refused, who goes on, and that it can be emptied. On
 * the simulated disk. */
#include "tests/unit/store_rig.h"

enum { MIB = 1 << 20 };

/* ---- short words ---- */

static void set_room(struct rig *r, uint64_t free_bytes)
{
    simdisk_set_capacity(r->disk, simdisk_used_bytes(r->disk) + free_bytes);
}

static void deny_holes(struct rig *r)
{
    simdisk_fail(r->disk,
                 &(struct sim_fault){.call = SIM_PUNCH, .err = -EOPNOTSUPP, .sticky = true});
}

/* Writes keys from `from` on until the disk is full; returns the first that was refused. */
static uint64_t fill_up(struct rig *r, uint64_t from, size_t len)
{
    struct buf room = {0};
    int err = 0;
    uint64_t i = from;
    for (;; i++) {
        err = rig_try_put(r, rig_key(i), rig_value(i, len, &room), 0);
        if (err != 0)
            break;
        if (i % 50 == 0)
            rig_work(r);
    }
    assert_int_equal(err, -ENOSPC);
    buf_release(&room);
    return i;
}

static uint64_t disk_free(struct rig *r)
{
    return rig_stats(r).disk_free_bytes;
}

/* ---- the reserve ---- */

static void test_reserve(void **state)
{
    struct rig *r = *state;
    r->opt.reserve_bytes = 256 << 10;
    simdisk_set_capacity(r->disk, 4 * MIB);
    rig_open(r);
    uint64_t end = fill_up(r, 0, 300);
    assert_true(end > 2000);
    assert_true(disk_free(r) >= r->opt.reserve_bytes);
    assert_true(rig_stats(r).disk_usable_bytes < 8192);
    assert_null(store_failure(r->s));
    /* Nothing was written by what was refused. */
    uint64_t seq = rig_stats(r).seq;
    assert_errno(rig_try_put(r, "a", slice_str("v"), 0), ENOSPC);
    assert_errno(rig_try_put(r, "a", slice_str("v"), STORE_SYNC), ENOSPC);
    assert_int_equal(rig_stats(r).seq, seq);
    rig_assert(r, "a", NULL);
    /* Syncs, snapshots and those that free space go on. */
    struct store_pin p;
    assert_ok(store_sync(r->s));
    assert_ok(store_pin_create(r->s, "full", 0, &p));
    assert_ok(store_pin_delete(r->s, "full"));
    assert_ok(rig_try_put(r, "reserve", slice_str("v"), STORE_RESERVE | STORE_SYNC));
    rig_assert_fill(r, 0, end, 300, 0);
    rig_close_clean(r);
    rig_open(r);
    rig_assert_fill(r, 0, end, 300, 0);
    rig_close_clean(r);
}

/* With a limit it is as on a disk of that size, and the limit can be moved. */
static void test_limit(void **state)
{
    struct rig *r = *state;
    char message[STORE_MESSAGE_MAX];
    r->opt.reserve_bytes = 256 << 10;
    r->opt.limit_bytes = 4 * MIB;
    simdisk_set_capacity(r->disk, 64 * MIB);
    rig_open(r);
    assert_int_equal(rig_stats(r).disk_total_bytes, 4 * MIB);
    uint64_t end = fill_up(r, 0, 300);
    assert_true(end > 2000);
    assert_true(rig_volume_bytes(r) < 4 * MIB);
    assert_true(rig_stats(r).disk_usable_bytes < 8192);
    assert_null(store_failure(r->s));
    assert_ok(rig_try_put(r, "reserve", slice_str("v"), STORE_RESERVE | STORE_SYNC));
    /* More, less, none. */
    assert_ok(store_set(r->s, "disk.limit", "6M", message));
    uint64_t more = fill_up(r, end, 300);
    assert_true(more > end + 1000);
    assert_ok(store_set(r->s, "disk.limit", "2M", message));
    assert_errno(rig_try_put(r, "a", slice_str("v"), 0), ENOSPC);
    rig_assert_fill(r, 0, more, 300, 0);
    assert_ok(store_set(r->s, "disk.limit", "0", message));
    assert_int_equal(rig_stats(r).disk_total_bytes, 64 * MIB);
    assert_ok(rig_try_put(r, "a", slice_str("v"), 0));
    /* Deleting makes room below the limit again. */
    assert_ok(store_set(r->s, "disk.limit", "4M", message));
    assert_ok(rig_try_delete_range(r, "k", "l", STORE_RESERVE));
    assert_ok(store_flush(r->s));
    rig_work(r);
    rig_compact(r);
    uint64_t again = fill_up(r, 0, 300);
    assert_true(again > end * 8 / 10);
    rig_close_clean(r);
}

/* Full, emptied by one tombstone, full again: with values in tables, separated, and written
 * straight to blob files. */
static void test_fill_and_empty(void **state)
{
    struct rig *r = *state;
    static const size_t lens[] = {100, 300, 3000, 9000};
    r->opt.reserve_bytes = 256 << 10;
    simdisk_set_capacity(r->disk, 6 * MIB);
    rig_open(r);
    uint64_t first[4] = {0};
    for (int round = 0; round < 12; round++) {
        size_t len = lens[round % 4];
        uint64_t end = fill_up(r, 0, len);
        if (round < 4)
            first[round] = end;
        else if (end < first[round % 4] * 8 / 10)
            fail_msg("round %d: %" PRIu64 " values fit, %" PRIu64 " did before", round, end,
                     first[round % 4]);
        rig_assert_fill(r, 0, end, len, 0);
        assert_ok(rig_try_delete_range(r, "k", "l", STORE_RESERVE));
        assert_ok(store_flush(r->s));
        rig_work(r);
        assert_int_equal(rig_count(r), 0);
        if (round % 3 == 0)
            rig_reopen(r);
    }
    rig_compact(r);
    rig_work(r);
    assert_true(rig_volume_bytes(r) < 50000); /* the manifest tells of many edits */
    rig_close_clean(r);
}

/* Half of the keys go, one by one, from everywhere: no table is dead, all have to be rewritten, and
 * there is room for that. */
static void test_scattered_deletes(void **state)
{
    struct rig *r = *state;
    r->opt.reserve_bytes = 256 << 10;
    simdisk_set_capacity(r->disk, 6 * MIB);
    rig_open(r);
    uint64_t end = fill_up(r, 0, 300), before = disk_free(r);
    for (uint64_t i = 0; i < end; i += 2) {
        struct store_batch *b = store_batch_new(r->s);
        store_batch_delete(b, slice_str(rig_key(i)));
        assert_ok(rig_write(r, b, STORE_RESERVE));
        if (i % 64 == 0)
            rig_work(r);
    }
    assert_ok(store_flush(r->s));
    rig_work(r);
    rig_compact(r);
    assert_int_equal(rig_count(r), end / 2);
    if (disk_free(r) < before + (4 * MIB) / 4)
        fail_msg("%" PRIu64 " bytes are free, %" PRIu64 " were before", disk_free(r), before);
    assert_ok(rig_try_fill(r, end, end + 1000, 300, 0, 0));
    for (uint64_t i = 0; i < end; i++) {
        if (i % 2)
            rig_assert_fill(r, i, i + 1, 300, 0);
        else
            rig_assert(r, rig_key(i), NULL);
    }
    rig_close_clean(r);
}

/* ---- states and figures ---- */

static enum store_space_state state_of(struct rig *r)
{
    return rig_stats(r).space_state;
}

/* Where space is short the tombstones that free some do not wait in memory for long. */
static void test_freed_soon(void **state)
{
    struct rig *r = *state;
    r->opt.idle_flush_ns = 10000000000;
    simdisk_set_capacity(r->disk, 64 * MIB);
    rig_open(r);
    rig_fill(r, 0, 2000, 300, 0);
    rig_work(r);
    for (int low = 1; low >= 0; low--) {
        set_room(r, low ? 64 << 10 : 1024 * (uint64_t)MIB);
        assert_int_equal(rig_try_put(r, "a", slice_str("v"), 0), low ? -ENOSPC : 0);
        assert_ok(rig_try_delete_range(r, rig_key(0), rig_key(1000), STORE_RESERVE));
        set_room(r, 1024 * (uint64_t)MIB); /* which no writer has seen yet */
        rig_work(r);
        uint64_t flushes = rig_stats(r).flushes;
        simdisk_advance(r->disk, 300000000);
        rig_work(r);
        assert_int_equal(rig_stats(r).flushes, flushes + (low ? 1 : 0));
    }
    rig_close_clean(r);
}

static void test_states(void **state)
{
    struct rig *r = *state;
    r->opt.reserve_bytes = 256 << 10;
    simdisk_set_capacity(r->disk, 6 * MIB);
    rig_open(r);
    assert_int_equal(state_of(r), STORE_SPACE_HEALTHY);
    assert_string_equal(store_space_state_name(state_of(r)), "healthy");
    uint64_t end = fill_up(r, 0, 300);
    assert_int_equal(state_of(r), STORE_SPACE_FULL);
    assert_int_equal(rig_stats(r).disk_usable_bytes, 0);
    rig_compact(r);
    struct store_stats st = rig_stats(r);
    assert_true(st.space_used_bytes > 3 * MIB && st.space_used_bytes < 6 * MIB);
    assert_true(st.space_used_bytes <= simdisk_used_bytes(r->disk));
    assert_int_equal(st.space_reserve_bytes, 256 << 10);
    assert_int_equal(st.space_live_bytes, st.space_used_bytes - st.log_bytes);
    assert_int_equal(st.space_garbage_bytes, 0);
    /* A table and what it may lie over on the next level, and a quarter of the reserve. */
    assert_true(st.space_compaction_bytes >= 12 * r->opt.table_bytes + (64 << 10));
    /* Room for writes, but not for that. */
    uint64_t needed = st.space_compaction_bytes;
    assert_ok(rig_try_delete_range(r, rig_key(0), rig_key(end / 8), STORE_RESERVE));
    rig_compact(r);
    for (uint64_t room = needed; state_of(r) != STORE_SPACE_FULL && room > 4096; room -= 4096) {
        set_room(r, room);
        st = rig_stats(r);
        assert_int_equal(st.space_state, st.disk_usable_bytes == 0 ? STORE_SPACE_FULL
                                         : st.disk_free_bytes < st.space_compaction_bytes
                                             ? STORE_SPACE_TIGHT
                                             : STORE_SPACE_HEALTHY);
    }
    assert_int_equal(state_of(r), STORE_SPACE_FULL);
    assert_errno(rig_try_put(r, "a", slice_str("v"), 0), ENOSPC);
    assert_ok(rig_try_delete_range(r, "k", "l", STORE_RESERVE));
    set_room(r, 6 * MIB);
    rig_compact(r);
    assert_int_equal(state_of(r), STORE_SPACE_HEALTHY);
    assert_true(rig_stats(r).space_live_bytes < 1000);
    rig_close_clean(r);
}

/* A large level 0 over a large base needs more than an eighth of the disk. */
static void test_tight(void **state)
{
    struct rig *r = *state;
    r->opt.level0_tables = 256;
    rig_open(r);
    for (uint64_t i = 0; i < 8; i++) {
        rig_fill(r, 0, 2000, 300, i);
        assert_ok(store_flush(r->s));
    }
    set_room(r, MIB);
    struct store_stats st = rig_stats(r);
    assert_true(st.space_compaction_bytes > MIB);
    assert_true(st.disk_usable_bytes > 0);
    assert_int_equal(st.space_state, STORE_SPACE_TIGHT);
    assert_string_equal(store_space_state_name(st.space_state), "tight");
    rig_fill(r, 5000, 5010, 300, 0); /* is admitted */
    set_room(r, 50 * MIB);
    assert_int_equal(state_of(r), STORE_SPACE_HEALTHY);
    rig_close_clean(r);
}

static void test_garbage_figures(void **state)
{
    struct rig *r = *state;
    struct store_pin pin;
    rig_open(r);
    rig_fill(r, 0, 300, 300, 0);
    rig_fill(r, 300, 350, 3000, 0);
    assert_ok(store_pin_create(r->s, "p", 0, &pin));
    rig_fill(r, 0, 300, 300, 1);
    rig_compact(r);
    assert_int_equal(rig_stats(r).space_garbage_bytes, 0);
    assert_ok(store_pin_delete(r->s, "p"));
    struct store_stats st = rig_stats(r);
    assert_true(st.space_garbage_bytes > 300 * 100); /* what only the pin had */
    assert_int_equal(st.space_live_bytes + st.space_garbage_bytes + st.log_bytes,
                     st.space_used_bytes);
    rig_fill(r, 300, 340, 3000, 1);
    rig_compact(r);
    assert_int_equal(rig_stats(r).space_garbage_bytes, rig_stats(r).blob_garbage_bytes);
    assert_true(rig_stats(r).space_garbage_bytes > 0);
    rig_close_clean(r);
}

/* ---- a disk that is full for all ---- */

/* Others have filled it: nothing can be written, nothing is lost, and all goes on when there is
 * space again. */
static void test_disk_full_for_all(void **state)
{
    struct rig *r = *state;
    struct buf room = {0};
    rig_open(r);
    rig_fill(r, 0, 300, 300, 0);
    assert_ok(store_flush(r->s));
    uint64_t next = 300;
    for (int round = 0; round < 12; round++) {
        set_room(r, (uint64_t)round * 4096);
        size_t len = round % 3 == 2 ? 6000 : 300;
        int err = 0;
        while (err == 0) {
            err = rig_try_put(r, rig_key(next), rig_value(next, len, &room), STORE_RESERVE);
            if (err == 0 && ++next % 20 == 0)
                store_work(r->s);
        }
        assert_int_equal(err, -ENOSPC);
        assert_int_equal(rig_count(r), next);
        int flushed = store_flush(r->s);
        assert_true(flushed == 0 || flushed == -ENOSPC);
        assert_null(store_failure(r->s));
        struct rig *k = rig_kill(r);
        simdisk_set_capacity(k->disk, 100 * MIB);
        rig_open(k);
        assert_int_equal(rig_count(k), next);
        rig_close_clean(k);
        rig_drop(k);
        simdisk_set_capacity(r->disk, 100 * MIB);
        assert_ok(store_flush(r->s));
        rig_work(r);
        assert_int_equal(rig_count(r), next);
        /* One after another, so that the lengths can be told from the round. */
        rig_delete_range(r, rig_key(300), rig_key(next));
        next = 300;
    }
    rig_assert_fill(r, 0, 300, 300, 0);
    buf_release(&room);
    rig_close_clean(r);
}

static void test_full_while_flushing(void **state)
{
    struct rig *r = *state;
    r->opt.memtables_max = 8;
    rig_open(r);
    rig_fill(r, 0, 700, 300, 0); /* several memtables */
    set_room(r, 8192);
    rig_log_reset();
    uint64_t used = simdisk_used_bytes(r->disk);
    for (int i = 0; i < 20; i++)
        assert_errno(store_work(r->s), ENOSPC);
    assert_true(rig_log.count < 50);
    assert_true(simdisk_used_bytes(r->disk) == used); /* no half-made tables are left */
    rig_assert_fill(r, 0, 700, 300, 0);
    /* A little room is enough: the memtables are flushed one by one, each giving its log back. */
    set_room(r, 2 * r->opt.memtable_bytes);
    assert_ok(store_flush(r->s));
    rig_work(r);
    rig_assert_fill(r, 0, 700, 300, 0);
    rig_close_clean(r);
}

static void test_full_while_compacting(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    for (uint64_t round = 1; round < 3; round++) {
        rig_fill(r, 0, 1000, 300, round);
        assert_ok(store_flush(r->s));
    }
    assert_true(rig_stats(r).level_bytes[0] > 300 << 10);
    set_room(r, 60 << 10);
    deny_holes(r); /* or it would go in slices */
    uint64_t used = simdisk_used_bytes(r->disk);
    for (int i = 0; i < 3; i++) {
        assert_errno(store_compact(r->s, (struct slice){0}, (struct slice){0}), ENOSPC);
        assert_true(simdisk_used_bytes(r->disk) <= used + 16384);
        assert_null(store_failure(r->s));
    }
    rig_assert_fill(r, 0, 1000, 300, 2);
    rig_put(r, "a", "goes on");
    simdisk_set_capacity(r->disk, 100 * MIB);
    rig_compact(r);
    rig_assert_fill(r, 0, 1000, 300, 2);
    assert_int_equal(rig_stats(r).table_entries, 1001);
    rig_close_clean(r);
}

/* A compaction leaves the last quarter of the reserve to the log and to flushes. */
static void test_compaction_leaves_space(void **state)
{
    struct rig *r = *state;
    r->opt.reserve_bytes = 400 << 10;
    rig_open(r);
    for (uint64_t round = 0; round < 2; round++) {
        rig_fill(r, 0, 2000, 300, round);
        assert_ok(store_flush(r->s));
    }
    set_room(r, 300 << 10);
    deny_holes(r);
    assert_errno(store_compact(r->s, (struct slice){0}, (struct slice){0}), ENOSPC);
    assert_ok(rig_try_put(r, "a", slice_str("v"), STORE_RESERVE));
    assert_ok(store_flush(r->s));
    rig_close_clean(r);
}

static void test_open_on_a_full_disk(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    rig_fill(r, 0, 100, 300, 0);
    struct rig *k = rig_kill(r);
    for (uint64_t room = 0; room <= 32768; room += 4096) {
        set_room(k, room);
        int err = store_open(k->dir, &k->opt, &k->s);
        if (err < 0) {
            assert_int_equal(err, -ENOSPC);
            struct store_options o = k->opt;
            o.read_only = true;
            assert_ok(store_open(k->dir, &o, &k->s));
        }
        rig_assert_fill(k, 0, 100, 300, 0);
        assert_int_equal(rig_count(k), 100);
        store_close(k->s);
        k->s = NULL;
        simdisk_set_capacity(k->disk, 100 * MIB);
        rig_open(k);
        assert_int_equal(rig_count(k), 100);
        rig_close_clean(k);
    }
    rig_drop(k);
    rig_close(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_SIM(test_reserve),
        RIG_SIM(test_limit),
        RIG_SIM(test_fill_and_empty),
        RIG_SIM(test_scattered_deletes),
        RIG_SIM(test_freed_soon),
        RIG_SIM(test_states),
        RIG_SIM(test_tight),
        RIG_SIM(test_garbage_figures),
        RIG_SIM(test_disk_full_for_all),
        RIG_SIM(test_full_while_flushing),
        RIG_SIM(test_full_while_compacting),
        RIG_SIM(test_compaction_leaves_space),
        RIG_SIM(test_open_on_a_full_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
