/* The end of the log that is in TAIL: a killed process loses nothing, whatever state TAIL and the
 * log's file were in; what is damaged in TAIL ends history early and makes nothing up. On the
 * simulated disk. */
#include "tests/unit/store_rig.h"

#include "store/logtail.h"
#include "store/store_priv.h"

static void fail_next(struct rig *r, enum sim_call call, const char *part, int error, bool sticky)
{
    simdisk_fail(r->disk, &(struct sim_fault){
                              .call = call, .path_part = part, .err = -error, .sticky = sticky});
}

static uint64_t tail_bytes_of_file(struct rig *r)
{
    struct rig_names logs = rig_files(r, FILE_LOG);
    return rig_file_bytes(r, rig_file(r, FILE_LOG, logs.number[logs.count - 1]));
}

/* How many of the keys from 0 on are there; none but these may be. */
static uint64_t found(struct rig *k, size_t len)
{
    uint64_t n = rig_count(k);
    rig_assert_fill(k, 0, n, len, 0);
    return n;
}

/* Small records do not touch the log's file until TAIL is full; a kill at any moment loses none. */
static void test_killed_at_each_write(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    uint64_t before = tail_bytes_of_file(r);
    for (uint64_t i = 0; i < 40; i++) {
        rig_fill(r, i, i + 1, 100, 0);
        assert_int_equal(tail_bytes_of_file(r), before);
        struct rig *k = rig_kill(r);
        rig_open(k);
        assert_int_equal(found(k, 100), i + 1);
        rig_fill(k, i + 1, i + 3, 100, 0);
        struct rig *again = rig_kill(k); /* what was in TAIL is where it belongs now */
        rig_open(again);
        assert_int_equal(found(again, 100), i + 3);
        rig_close_clean(again);
        rig_drop(again);
        rig_drop(k);
    }
    rig_close_clean(r);
}

/* It is filled many times, and records come that are larger than it. */
static void test_written_out(void **state)
{
    struct rig *r = *state;
    r->opt.memtable_bytes = 64 << 20;
    r->opt.log_zstd = 0;
    rig_open(r);
    uint64_t first = tail_bytes_of_file(r), n = 0;
    for (int round = 0; round < 6; round++) {
        for (uint64_t end = n + 150; n < end; n++)
            rig_fill(r, n, n + 1, 400, 0);
        struct store_batch *b = store_batch_new(r->s);
        struct buf room = {0};
        for (uint64_t end = n + 400; round % 2 && n < end; n++)
            store_batch_put(b, slice_str(rig_key(n)), rig_value(0, 400, &room));
        assert_ok(rig_write(r, b, 0));
        buf_release(&room);
        struct rig *k = rig_kill(r);
        rig_open(k);
        assert_int_equal(rig_count(k), n);
        rig_drop(k);
    }
    assert_true(tail_bytes_of_file(r) > first + 2 * LOGTAIL_ROOM);
    assert_int_equal(rig_count(r), n);
    rig_close_clean(r);
}

/* Read-only, all of it is seen and nothing changes. */
static void test_read_only(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    rig_fill(r, 0, 20, 100, 0);
    struct rig *k = rig_kill(r);
    uint64_t digest = simdisk_digest(k->disk);
    k->opt.read_only = true;
    for (int i = 0; i < 2; i++) {
        rig_open(k);
        assert_int_equal(found(k, 100), 20);
        rig_close(k);
        assert_int_equal(simdisk_digest(k->disk), digest);
    }
    rig_drop(k);
    rig_close_clean(r);
}

/* A flip anywhere in TAIL: a prefix. */
static void test_flipped_anywhere(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    rig_fill(r, 0, 2, 100, 0);
    assert_ok(store_sync(r->s));
    rig_fill(r, 2, 6, 100, 0);
    uint64_t shorter = 0;
    for (uint64_t at = 0; at < LOGTAIL_HEADER_SIZE + 700; at++) {
        struct rig *k = rig_kill(r);
        char *path = name_tail(k->dir);
        assert_ok(simdisk_flip(k->disk, path, at, 0x10));
        free(path);
        rig_open(k);
        uint64_t n = found(k, 100);
        assert_true(n >= 2 && n <= 6);
        shorter += n < 6;
        rig_close_clean(k);
        rig_drop(k);
    }
    assert_true(shorter > 500);
    rig_close_clean(r);
}

/* Missing, cut off, of another log, full of old records: what was synced is there, and the rest as
 * far as it goes. */
static void test_foreign_tails(void **state)
{
    struct rig *r = *state;
    uint8_t other[LOGTAIL_HEADER_SIZE];
    struct buf old = {0};
    rig_open(r);
    rig_fill(r, 0, 3, 100, 0);
    char *path = name_tail(r->dir);
    assert_ok(simdisk_get(r->disk, path, &old));
    assert_ok(store_sync(r->s));
    rig_fill(r, 3, 6, 100, 0);
    logtail_header_encode(12345, FILE_HEADER_SIZE, other);
    for (int how = 0; how < 4; how++) {
        struct rig *k = rig_kill(r);
        if (how == 0)
            assert_ok(k->env->remove(k->env, path));
        else if (how == 1)
            assert_ok(simdisk_truncate(k->disk, path, 40));
        else if (how == 2)
            assert_ok(simdisk_put(k->disk, path, slice_of(other, sizeof other)));
        else
            assert_ok(simdisk_put(k->disk, path, buf_slice(&old)));
        rig_open(k);
        assert_int_equal(found(k, 100), 3);
        rig_fill(k, 3, 9, 100, 0);
        rig_close_clean(k);
        rig_open(k);
        assert_int_equal(found(k, 100), 9);
        rig_close_clean(k);
        rig_drop(k);
    }
    free(path);
    buf_release(&old);
    rig_close_clean(r);
}

/* TAIL cannot be made, cannot be written to, or no space can be reserved: records go to the log. */
static void test_without(void **state)
{
    struct rig *r = *state;
    static const enum sim_call calls[] = {SIM_CREATE, SIM_TRUNCATE, SIM_WRITE, SIM_ALLOCATE};
    for (int i = 0; i < 8; i++) {
        struct rig *k = rig_kill(r);
        if (i >= 4)
            rig_open(k);
        fail_next(k, calls[i % 4], calls[i % 4] == SIM_ALLOCATE ? ".log" : "TAIL",
                  calls[i % 4] == SIM_ALLOCATE ? EOPNOTSUPP : EIO, true);
        if (i < 4)
            rig_open(k);
        for (uint64_t n = 0; n < 300; n++)
            rig_fill(k, n, n + 1, 100, 0);
        struct rig *killed = rig_kill(k);
        rig_open(killed);
        assert_int_equal(found(killed, 100), 300);
        rig_close_clean(killed);
        rig_drop(killed);
        simdisk_heal(k->disk);
        rig_close_clean(k);
        rig_drop(k);
    }
    rig_open(r);
    rig_close_clean(r);
}

/* A record whose writing failed is not there after a kill, though part of it, or all, was in TAIL.
 */
static void test_failed_record_stays_away(void **state)
{
    struct rig *r = *state;
    struct buf room = {0};
    rig_open(r);
    rig_fill(r, 0, 5, 100, 0);
    for (int i = 0; i < 10; i++) {
        /* The write to TAIL is torn, the one to the log as well, and cannot reach further. */
        fail_next(r, SIM_WRITE, "TAIL", EIO, false);
        fail_next(r, SIM_WRITE, ".log", ENOSPC, false);
        assert_errno(rig_try_put(r, "failed", rig_value(9, 100, &room), 0), ENOSPC);
        assert_null(store_failure(r->s));
        struct rig *k = rig_kill(r);
        rig_open(k);
        assert_int_equal(found(k, 100), 5);
        rig_close_clean(k);
        rig_drop(k);
    }
    rig_fill(r, 5, 9, 100, 0);
    struct rig *k = rig_kill(r);
    rig_open(k);
    assert_int_equal(found(k, 100), 9);
    rig_close_clean(k);
    rig_drop(k);
    buf_release(&room);
    rig_close_clean(r);
}

/* The five records in TAIL, and in the file, behind a gap where they belong, the frame of a sixth:
 * as a power cut leaves a write that it took apart. */
static struct rig *with_a_gap(struct rig *r)
{
    struct buf log = {0};
    rig_open(r);
    rig_fill(r, 0, 5, 100, 0);
    uint64_t from = tail_bytes_of_file(r), to = journal_size(r->s->commit.log);
    struct rig *k = rig_kill(r);
    rig_fill(r, 5, 6, 100, 0);
    assert_ok(journal_flush(r->s->commit.log));
    struct rig_names logs = rig_files(r, FILE_LOG);
    const char *path = rig_file(r, FILE_LOG, logs.number[logs.count - 1]);
    assert_ok(simdisk_get(r->disk, path, &log));
    assert_true(from < to && to < log.len);
    memset(log.data + from, 0, (size_t)(to - from));
    assert_ok(simdisk_put(k->disk, path, buf_slice(&log)));
    simdisk_crash(k->disk, SIM_KEEP_ALL, 1); /* from here on all of it is on the disk */
    buf_release(&log);
    rig_close_clean(r);
    return k;
}

/* What TAIL has fills the gap, and that does not bring the sixth into history: others have its
 * number by then. However often recovery itself is cut short. */
static void test_nothing_behind_a_gap(void **state)
{
    struct rig *r = *state, *k = with_a_gap(r);
    bool done = false;
    for (uint64_t i = 0; !done; i++) {
        struct rig *c = rig_kill(k);
        simdisk_cut_at(c->disk, 1 + i / 10, SIM_CUT_WITHIN);
        int err = store_open(c->dir, &c->opt, &c->s);
        done = !simdisk_is_cut(c->disk);
        assert_true(!done || err == 0);
        if (!done) {
            if (err == 0)
                store_close(c->s);
            c->s = NULL;
            simdisk_crash(c->disk, i % 3 ? SIM_RANDOM : SIM_KEEP_ALL, i);
            rig_open(c);
        }
        simdisk_cut_at(c->disk, 0, SIM_CUT_WITHIN);
        assert_int_equal(found(c, 100), 5);
        rig_fill(c, 5, 8, 100, 0);
        struct rig *again = rig_kill(c);
        rig_open(again);
        assert_int_equal(found(again, 100), 8);
        rig_close_clean(again);
        rig_drop(again);
        rig_close_clean(c);
        rig_drop(c);
    }
    rig_drop(k);
}

/* A clean end leaves no TAIL, and a sync leaves nothing in it. */
static void test_ends(void **state)
{
    struct rig *r = *state;
    uint64_t size;
    rig_open(r);
    char *path = name_tail(r->dir);
    rig_fill(r, 0, 5, 100, 0);
    assert_ok(store_sync(r->s));
    struct rig *k = rig_kill(r);
    assert_ok(k->env->remove(k->env, path));
    rig_open(k);
    assert_int_equal(found(k, 100), 5);
    rig_close_clean(k);
    rig_drop(k);
    rig_close_clean(r);
    assert_errno(r->env->file_size(r->env, path, &size), ENOENT);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_SIM(test_killed_at_each_write),
        RIG_SIM(test_written_out),
        RIG_SIM(test_read_only),
        RIG_SIM(test_flipped_anywhere),
        RIG_SIM(test_foreign_tails),
        RIG_SIM(test_without),
        RIG_SIM(test_failed_record_stays_away),
        RIG_SIM(test_nothing_behind_a_gap),
        RIG_SIM(test_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
