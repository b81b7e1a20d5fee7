/* store_failure: what the store does when a write, a sync or the manifest fails. On the simulated
 * disk. */
#include "tests/unit/store_rig.h"

#include "store/store_priv.h"

static void fail_next(struct rig *r, enum sim_call call, const char *part, int error, bool sticky)
{
    simdisk_fail(r->disk, &(struct sim_fault){
                              .call = call, .path_part = part, .err = -error, .sticky = sticky});
}

/* Reads go on, nothing else does, and nothing is written. */
static void assert_failed(struct rig *r, const char *why)
{
    struct store_pin p;
    const char *failure = store_failure(r->s);
    assert_non_null(failure);
    if (!strstr(failure, why))
        fail_msg("it failed for \"%s\"", failure);
    assert_true(rig_logged("read-only from now on"));
    uint64_t ops = simdisk_ops(r->disk);
    assert_errno(rig_try_put(r, "late", slice_str("v"), 0), EROFS);
    assert_errno(rig_try_put(r, "late", slice_str("v"), STORE_SYNC | STORE_RESERVE), EROFS);
    assert_errno(store_sync(r->s), EROFS);
    assert_errno(store_flush(r->s), EROFS);
    assert_errno(store_compact(r->s, (struct slice){0}, (struct slice){0}), EROFS);
    assert_errno(store_pin_create(r->s, "late", 0, &p), EROFS);
    for (int i = 0; i < 3; i++)
        assert_true(store_work(r->s) != 0);
    assert_ptr_equal(store_failure(r->s), failure);
    assert_int_equal(simdisk_ops(r->disk), ops);
    rig_assert(r, "late", NULL);
    rig_assert_fill(r, 0, 100, 60, 0);
    assert_true(rig_stats(r).seq >= 100);
}

/* Closes the failed store; the next open finds what was acknowledged. */
static void assert_opens_again(struct rig *r)
{
    assert_errno(store_close(r->s), EROFS);
    r->s = NULL;
    rig_open(r);
    assert_null(store_failure(r->s));
    rig_assert_fill(r, 0, 100, 60, 0);
    rig_assert(r, "late", NULL);
    rig_put(r, "after", "v");
    rig_compact(r);
    rig_assert(r, "after", "v");
    rig_close_clean(r);
}

static void begin(struct rig *r)
{
    rig_open(r);
    rig_fill(r, 0, 100, 60, 0);
    rig_log_reset();
}

/* Without TAIL, so that each record is written to its log. */
static void begin_without_tail(struct rig *r)
{
    fail_next(r, SIM_ALLOCATE, ".log", EOPNOTSUPP, true);
    begin(r);
}

static void test_log_sync_fails(void **state)
{
    struct rig *r = *state;
    begin(r);
    fail_next(r, SIM_SYNC, ".log", EIO, false);
    assert_errno(store_sync(r->s), EROFS);
    assert_failed(r, "sync");
    assert_opens_again(r);
}

static void test_sync_fails_with_a_write(void **state)
{
    struct rig *r = *state;
    begin(r);
    fail_next(r, SIM_SYNC, ".log", ENOSPC, false); /* of a sync it means the same */
    assert_errno(rig_try_put(r, "unsure", slice_str("v"), STORE_SYNC), EROFS);
    rig_assert(r, "unsure", NULL);
    assert_failed(r, "No space");
    assert_opens_again(r);
}

static void test_blob_sync_fails(void **state)
{
    struct rig *r = *state;
    struct buf room = {0};
    begin(r);
    assert_ok(rig_try_put(r, "large", rig_value(1, 5000, &room), 0));
    fail_next(r, SIM_SYNC, ".blob", EIO, false);
    assert_errno(store_sync(r->s), EROFS);
    assert_failed(r, "sync");
    assert_opens_again(r);
    buf_release(&room);
}

static void test_folder_sync_fails(void **state)
{
    struct rig *r = *state;
    struct buf room = {0};
    begin(r);
    assert_ok(rig_try_put(r, "large", rig_value(1, 5000, &room), 0));
    fail_next(r, SIM_SYNC_DIR, NULL, EIO, false);
    assert_errno(store_sync(r->s), EROFS);
    assert_failed(r, "sync");
    assert_opens_again(r);
    buf_release(&room);
}

/* A blob file is synced again when its memtable is flushed. */
static void test_blob_sync_fails_at_flush(void **state)
{
    struct rig *r = *state;
    struct buf room = {0};
    begin(r);
    assert_ok(rig_try_put(r, "large", rig_value(1, 5000, &room), 0));
    fail_next(r, SIM_SYNC, ".blob", EIO, false);
    assert_errno(store_flush(r->s), EROFS);
    assert_failed(r, "sync");
    assert_opens_again(r);
    buf_release(&room);
}

/* But that it cannot be opened says nothing about what is in it. */
static void test_blob_cannot_be_opened_at_flush(void **state)
{
    struct rig *r = *state;
    struct buf room = {0};
    begin(r);
    assert_ok(rig_try_put(r, "large", rig_value(1, 5000, &room), 0));
    fail_next(r, SIM_OPEN, ".blob", EMFILE, false);
    assert_errno(store_flush(r->s), EMFILE);
    assert_null(store_failure(r->s));
    assert_ok(store_flush(r->s));
    rig_assert_fill(r, 0, 100, 60, 0);
    buf_release(&room);
    rig_close_clean(r);
}

static void test_manifest_fails(void **state)
{
    struct rig *r = *state;
    static const enum sim_call calls[] = {SIM_WRITE, SIM_SYNC};
    for (int c = 0; c < 2; c++) {
        for (int kind = 0; kind < 3; kind++) {
            struct rig *k = rig_kill(r);
            struct store_pin p;
            begin(k);
            if (kind == 2)
                assert_ok(store_flush(k->s));
            fail_next(k, calls[c], ".manifest", EIO, false);
            int err = kind == 0   ? store_flush(k->s)
                      : kind == 1 ? store_pin_create(k->s, "p", 0, &p)
                                  : store_compact(k->s, (struct slice){0}, (struct slice){0});
            assert_int_equal(err, -EROFS);
            assert_failed(k, "manifest");
            assert_opens_again(k);
            rig_drop(k);
        }
    }
}

/* No space for an edit: that is no failure. */
static void test_manifest_without_space(void **state)
{
    struct rig *r = *state;
    struct store_pin p;
    begin(r);
    fail_next(r, SIM_WRITE, ".manifest", ENOSPC, true);
    for (int i = 0; i < 3; i++) {
        assert_errno(store_pin_create(r->s, "p", 0, &p), ENOSPC);
        assert_errno(store_flush(r->s), ENOSPC);
        assert_errno(store_work(r->s), ENOSPC);
    }
    assert_null(store_failure(r->s));
    rig_assert_fill(r, 0, 100, 60, 0);
    simdisk_heal(r->disk);
    assert_ok(store_pin_create(r->s, "p", 0, &p));
    assert_ok(store_flush(r->s));
    rig_close_clean(r);
}

/* A write that fails and can be taken back is that writer's affair. */
static void test_write_fails_once(void **state)
{
    struct rig *r = *state;
    struct buf room = {0};
    static const char *const parts[] = {".log", ".blob"};
    static const int errors[] = {EIO, ENOSPC};
    begin_without_tail(r);
    for (int i = 0; i < 8; i++) {
        size_t len = i % 2 ? 5000 : 60;
        fail_next(r, SIM_WRITE, parts[i % 2], errors[i / 2 % 2], false);
        assert_errno(rig_try_put(r, "failed", rig_value(9, len, &room), i & 4 ? STORE_SYNC : 0),
                     errors[i / 2 % 2]);
        rig_assert(r, "failed", NULL);
        assert_null(store_failure(r->s));
        assert_ok(rig_try_put(r, rig_key(200 + (uint64_t)i), rig_value(200, len, &room), 0));
    }
    rig_assert_fill(r, 0, 100, 60, 0);
    struct rig *k = rig_kill(r);
    rig_open(k);
    assert_int_equal(rig_count(k), 108);
    rig_assert_fill(k, 0, 100, 60, 0);
    rig_close_clean(k);
    rig_drop(k);
    buf_release(&room);
    rig_close_clean(r);
}

/* One that cannot be taken back is the end: the log could not be written any more anyway. */
static void test_write_cannot_be_taken_back(void **state)
{
    struct rig *r = *state;
    struct buf room = {0};
    static const char *const parts[] = {".log", ".blob"};
    for (int i = 0; i < 2; i++) {
        struct rig *k = rig_kill(r);
        begin_without_tail(k);
        if (i == 1)
            assert_ok(rig_try_put(k, "large", rig_value(1, 5000, &room), 0));
        rig_log_reset();
        fail_next(k, SIM_WRITE, parts[i], EIO, false);
        fail_next(k, SIM_TRUNCATE, parts[i], EIO, false);
        assert_errno(rig_try_put(k, "late", rig_value(9, i ? 5000 : 60, &room), 0), EROFS);
        assert_failed(k, "cannot write the log");
        /* The torn write may be whole. */
        assert_errno(store_close(k->s), EROFS);
        k->s = NULL;
        rig_open(k);
        rig_assert_fill(k, 0, 100, 60, 0);
        rig_close_clean(k);
        rig_drop(k);
    }
    buf_release(&room);
}

/* A memtable cannot be sealed: no new log. */
static void test_log_cannot_be_made(void **state)
{
    struct rig *r = *state;
    static const enum sim_call calls[] = {SIM_CREATE, SIM_WRITE, SIM_SYNC};
    static const int errors[] = {EIO, ENOSPC, EMFILE};
    begin(r);
    for (int i = 0; i < 9; i++) {
        fail_next(r, calls[i % 3], ".log", errors[i / 3], false);
        assert_errno(store_flush(r->s), errors[i / 3]);
        assert_null(store_failure(r->s));
        rig_put(r, rig_key(500 + (uint64_t)i), "v");
        struct rig *k = rig_kill(r);
        rig_open(k);
        assert_int_equal(rig_count(k), 101 + i);
        rig_close_clean(k);
        rig_drop(k);
    }
    assert_ok(store_flush(r->s));
    assert_int_equal(rig_count(r), 109);
    rig_work(r);
    assert_int_equal(rig_files(r, FILE_LOG).count, 1); /* no half-made ones are left */
    rig_close_clean(r);
}

/* Outputs that cannot be made are taken back; the work is done later. */
static void test_tables_cannot_be_made(void **state)
{
    struct rig *r = *state;
    static const enum sim_call calls[] = {SIM_CREATE, SIM_WRITE, SIM_SYNC, SIM_SYNC_DIR};
    begin(r);
    for (int i = 0; i < 8; i++) {
        bool flush = i % 2;
        rig_put(r, "more", "v");
        if (!flush)
            assert_ok(store_flush(r->s));
        else
            rig_merge_op(r, "m", "x");
        struct rig *k = rig_kill(r);
        rig_open(k);
        if (!flush) {
            rig_put(k, "more", "w");
            assert_ok(store_flush(k->s));
        } else {
            assert_ok(commit_seal(&k->s->commit));
        }
        uint64_t tables = (uint64_t)rig_files(k, FILE_TABLE).count;
        fail_next(k, calls[i / 2], calls[i / 2] == SIM_SYNC_DIR ? NULL : ".table", EMFILE, false);
        int err =
            flush ? store_flush(k->s) : store_compact(k->s, (struct slice){0}, (struct slice){0});
        if (err != -EMFILE)
            fail_msg("%d: %d", i, err);
        assert_null(store_failure(k->s));
        assert_int_equal(rig_files(k, FILE_TABLE).count, tables);
        rig_assert_fill(k, 0, 100, 60, 0);
        rig_compact(k);
        rig_assert_fill(k, 0, 100, 60, 0);
        rig_close_clean(k);
        rig_drop(k);
    }
    rig_close_clean(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_SIM(test_log_sync_fails),           RIG_SIM(test_sync_fails_with_a_write),
        RIG_SIM(test_blob_sync_fails),          RIG_SIM(test_folder_sync_fails),
        RIG_SIM(test_blob_sync_fails_at_flush), RIG_SIM(test_blob_cannot_be_opened_at_flush),
        RIG_SIM(test_manifest_fails),           RIG_SIM(test_manifest_without_space),
        RIG_SIM(test_write_fails_once),         RIG_SIM(test_write_cannot_be_taken_back),
        RIG_SIM(test_log_cannot_be_made),       RIG_SIM(test_tables_cannot_be_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
