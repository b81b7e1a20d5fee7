/* The volume as a whole: making, opening and refusing; what read-only means; inode numbers;
 * counters; a disk that fails or is full. */
#include "tests/unit/vol_raw.h"

#include "fs/open.h"

#include "tests/sim/simrng.h"

#define ROOT FS_INO_ROOT

/* ---- classes of keys ---- */

static void test_classes(void **state)
{
    (void)state;
    struct fs_options o;
    struct store_options so;
    fs_options_init(&o);
    open_store_options(&so, &o);
    struct key keys[] = {key_attr(16),        key_xattr(16, "user.a"), key_dirent(16, 7),
                         key_chunk(16, 9),    key_attr(UINT32_MAX),    key_xattr(17, "u"),
                         key_dirent(1, 4096), key_chunk(1 << 20, 0)};
    for (uint32_t i = 0; i < sizeof keys / sizeof *keys; i++)
        assert_int_equal(so.classes->of(NULL, key_slice(&keys[i])), i % 4);
    struct key super = key_super(SUPER_COUNTERS), orphan = key_orphan(17);
    assert_int_equal(so.classes->of(NULL, key_slice(&super)), 0);
    assert_int_equal(so.classes->of(NULL, key_slice(&orphan)), 0);
    assert_int_equal(so.classes->of(NULL, slice_str("short")), 0);
    assert_int_equal(so.classes->of(NULL, slice_str("\1\1\1\1\1\1\1\1\7")), 0);
}

/* ---- making ---- */

static int make(struct simdisk *d, const char *dir, uint32_t chunk_bytes, int level)
{
    struct fs_make_options o;
    fs_make_options_init(&o);
    o.env = simdisk_env(d);
    o.chunk_bytes = chunk_bytes;
    o.zstd_level = level;
    return fs_make(dir, &o);
}

static int open_at(struct simdisk *d, const char *dir, struct fs **fs)
{
    struct fs_options o;
    fs_options_init(&o);
    o.env = simdisk_env(d);
    o.workers = 0;
    return fs_open(dir, &o, fs);
}

static void test_make(void **state)
{
    (void)state;
    struct simdisk *d = simdisk_new(1);
    struct env *env = simdisk_env(d);
    struct fs *fs;
    log_set_sink(unit_log, NULL);
    static const uint32_t bad_chunks[] = {1,        8 << 10, (16 << 10) + 1,
                                          48 << 10, 2 << 20, UINT32_MAX};
    for (size_t i = 0; i < sizeof bad_chunks / sizeof *bad_chunks; i++)
        assert_errno(make(d, "/a", bad_chunks[i], 1), EINVAL);
    assert_errno(make(d, "/a", 0, 20), EINVAL);
    assert_errno(make(d, "/missing/a", 0, 1), ENOENT);
    assert_errno(open_at(d, "/a", &fs), ENOENT); /* nothing has been made by any of these */
    assert_ok(make(d, "/a", 0, 1));
    assert_errno(make(d, "/a", 0, 1), ENOTEMPTY);
    assert_ok(env->mkdir(env, "/b"));
    assert_ok(make(d, "/b", 0, 1)); /* a folder that is there and empty will do */
    assert_ok(env->mkdir(env, "/c"));
    assert_ok(simdisk_put(d, "/c/file", slice_str("x")));
    assert_errno(make(d, "/c", 0, 1), ENOTEMPTY);
    assert_int_equal(simdisk_open_files(d), 0);
    assert_int_equal(simdisk_locks(d), 0);
    simdisk_free(d);
}

static void test_made_as_asked(void **state)
{
    (void)state;
    static const uint32_t chunks[] = {0, 16 << 10, 128 << 10, 1 << 20};
    uint8_t uuid[4][16];
    for (size_t i = 0; i < 4; i++) {
        struct simdisk *d = simdisk_new(i);
        struct fs *fs;
        struct fs_stats s;
        struct fs_attr a;
        assert_ok(make(d, "/v", chunks[i], i ? (int)i * 5 : -1));
        simdisk_crash(d, SIM_KEEP_SYNCED, 1); /* what has been made is made for good */
        assert_ok(open_at(d, "/v", &fs));
        assert_ok(fs_get_stats(fs, &s));
        assert_int_equal(s.chunk_bytes, i ? chunks[i] : 64 << 10);
        assert_int_equal(s.zstd_level, i ? i * 5 : 1);
        assert_int_equal(s.inodes, 1);
        assert_int_equal(s.used_bytes, 0);
        assert_true(s.made_ns > 0 && s.total_bytes > 0 && s.free_bytes <= s.total_bytes);
        memcpy(uuid[i], s.uuid, 16);
        assert_ok(fs_getattr(fs, ROOT, &a));
        assert_int_equal(a.block_bytes, s.chunk_bytes);
        assert_ok(fs_close(fs));
        simdisk_free(d);
    }
    for (size_t i = 1; i < 4; i++)
        assert_memory_not_equal(uuid[0], uuid[i], 16);
}

/* ---- opening ---- */

static void test_open_refuses(void **state)
{
    (void)state;
    struct vol v;
    struct fs *fs = (struct fs *)&v;
    struct env *env;
    vol_make(&v, 0);
    env = v.options.env;
    assert_errno(open_at(v.disk, "/missing", &fs), ENOENT);
    assert_null(fs);
    assert_ok(env->mkdir(env, "/empty"));
    assert_errno(open_at(v.disk, "/empty", &fs), ENOENT);
    assert_errno(open_at(v.disk, VOL_DIR, &fs), EAGAIN); /* it is open */
    vol_text(&v, ROOT, "f", "text");
    vol_close(&v);
    v.options.zstd_level = 20;
    assert_errno(fs_open(VOL_DIR, &v.options, &fs), EINVAL);
    v.options.zstd_level = 19;
    vol_open(&v);
    vol_text(&v, ROOT, "g", "text");
    vol_free(&v);
}

/* What is planted in the superblock's keys, and what opening then says. */
static void assert_refused(struct key k, const void *value, size_t len, int expected)
{
    struct vol v;
    struct raw r;
    struct fs *fs;
    vol_make(&v, 0);
    vol_file(&v, ROOT, "f");
    raw_begin(&r, &v);
    if (value)
        raw_put(&r, k, slice_of(value, len));
    else
        raw_delete(&r, k);
    raw_end(&r);
    assert_int_equal(fs_open(VOL_DIR, &v.options, &fs), expected);
    assert_null(fs);
    assert_int_equal(simdisk_open_files(v.disk), 0);
    assert_int_equal(simdisk_locks(v.disk), 0);
    simdisk_free(v.disk);
}

static void test_damaged_superblock(void **state)
{
    (void)state;
    struct super_record s = {.chunk_bytes = 16 << 10, .zstd_level = 1};
    struct buf b = {0};
    uint8_t number[8];
    super_encode(&s, &b);
    assert_refused(key_super(SUPER_RECORD), NULL, 0, -EIO);
    assert_refused(key_super(SUPER_RECORD), b.data, b.len - 1, -EIO);
    put_u32(b.data + 12, 1000);
    assert_refused(key_super(SUPER_RECORD), b.data, b.len, -EIO);
    put_u32(b.data, 2);
    assert_refused(key_super(SUPER_RECORD), b.data, b.len, -EPROTONOSUPPORT);
    put_u32(b.data, 1);
    put_u64(b.data + 4, 4);
    assert_refused(key_super(SUPER_RECORD), b.data, b.len, -EPROTONOSUPPORT);
    assert_refused(key_super(SUPER_COUNTERS), NULL, 0, -EIO);
    assert_refused(key_super(SUPER_COUNTERS), "x", 1, -EIO);
    /* Without it numbers would be given out again. */
    assert_refused(key_super(SUPER_NEXT_INO), NULL, 0, -EIO);
    put_u64(number, 0);
    assert_refused(key_super(SUPER_NEXT_INO), number, 8, -EIO);
    put_u64(number, FS_INO_MASK + 1);
    assert_refused(key_super(SUPER_NEXT_INO), number, 8, -EIO);
    assert_refused(key_attr(ROOT), NULL, 0, -EIO);
    assert_refused(key_attr(ROOT), "x", 1, -EIO);
    buf_release(&b);
}

static void assert_pin_refused(uint64_t first, uint64_t second, int expected)
{
    struct vol v;
    struct raw r;
    struct store_pin pin;
    vol_make(&v, 0);
    raw_begin(&r, &v);
    assert_ok(store_pin_create(r.store, "a", first, &pin));
    assert_ok(store_pin_create(r.store, "b", second, &pin));
    raw_end(&r);
    assert_int_equal(fs_open(VOL_DIR, &v.options, &v.fs), expected);
    if (v.fs)
        vol_close(&v);
    simdisk_free(v.disk);
}

static void test_impossible_snapshots(void **state)
{
    (void)state;
    assert_pin_refused(7, FS_TREES_MAX, 0);
    assert_pin_refused(7, 7, -EIO);
    assert_pin_refused(7, 0, -EIO);
    assert_pin_refused(7, FS_TREES_MAX + 1, -EIO);
    assert_pin_refused(UINT64_MAX, 7, -EIO);
}

/* ---- read-only ---- */

static void assert_nothing_can_be_changed(struct vol *v, uint64_t dir, uint64_t f)
{
    struct fs_attr a, want = {0};
    struct fs *fs = v->fs;
    assert_errno(fs_mknod(fs, dir, "x", S_IFREG, 0, &vol_cred, &a), EROFS);
    assert_errno(fs_mkdir(fs, dir, "x", 0755, &vol_cred, &a), EROFS);
    assert_errno(fs_symlink(fs, dir, "x", "t", &vol_cred, &a), EROFS);
    assert_errno(fs_link(fs, f, dir, "x", &a), EROFS);
    assert_errno(fs_unlink(fs, dir, "f"), EROFS);
    assert_errno(fs_rmdir(fs, ROOT, "dir"), EROFS);
    assert_errno(fs_rename(fs, dir, "f", ROOT, "x", 0), EROFS);
    for (unsigned set = 1; set <= FS_SET_MTIME_NOW; set *= 2)
        assert_errno(fs_setattr(fs, f, set, &want, &a), EROFS);
    assert_errno(fs_write(fs, f, 0, "x", 1), EROFS);
    assert_errno(fs_setxattr(fs, f, "user.b", "x", 1, 0), EROFS);
    assert_errno(fs_removexattr(fs, f, "user.a"), EROFS);
    assert_errno(fs_snapshot_create(fs, "x"), EROFS);
    assert_errno(fs_snapshot_rename(fs, "s", "x"), EROFS);
    assert_errno(fs_snapshot_delete(fs, "s"), EROFS);
    assert_errno(fs_mkdir(fs, FS_INO_SNAPSHOTS, "x", 0755, &vol_cred, &a), EROFS);
    assert_errno(fs_rmdir(fs, FS_INO_SNAPSHOTS, "s"), EROFS);
    assert_errno(fs_rename(fs, FS_INO_SNAPSHOTS, "s", FS_INO_SNAPSHOTS, "x", 0), EROFS);
    assert_ok(fs_sync(fs));
    assert_ok(fs_fsync(fs, f, true));
    assert_absent(fs_work(fs));
    assert_errno(fs_compact(fs), EROFS);
}

/* Also with logs that have to be replayed, and orphans in them. */
static void test_read_only(void **state)
{
    (void)state;
    for (int crashed = 0; crashed < 2; crashed++) {
        struct vol v;
        vol_make(&v, 16 << 10);
        uint64_t dir = vol_mkdir(&v, ROOT, "dir"), f = vol_text(&v, dir, "f", "text");
        assert_ok(fs_setxattr(v.fs, f, "user.a", "x", 1, 0));
        assert_ok(fs_snapshot_create(v.fs, "s"));
        uint64_t gone = vol_file(&v, dir, "gone");
        assert_ok(fs_write(v.fs, f, 50000, "far", 3));
        assert_ok(fs_unlink(v.fs, dir, "gone"));
        v.options.read_only = true;
        if (crashed) {
            simdisk_cut_at(v.disk, 1, SIM_CUT_BEFORE);
            fs_close(v.fs);
            simdisk_crash(v.disk, SIM_KEEP_ALL, 1);
        } else {
            assert_ok(fs_close(v.fs));
        }
        v.fs = NULL;
        uint64_t digest = simdisk_digest(v.disk), ops = simdisk_ops(v.disk);
        vol_open(&v);
        assert_nothing_can_be_changed(&v, dir, f);
        assert_int_equal(vol_attr(&v, f).size, 50003);
        vol_assert_text(&v, UINT64_C(1) << FS_INO_BITS | f, "text");
        struct fs_attr a;
        assert_int_equal(fs_getattr(v.fs, gone, &a), crashed ? 0 : -ENOENT);
        vol_close(&v);
        assert_true(simdisk_digest(v.disk) == digest);
        assert_true(simdisk_ops(v.disk) == ops);
        v.options.read_only = false;
        vol_open(&v);
        vol_free(&v);
    }
}

/* ---- inode numbers ---- */

/* What was on disk for sure once is never used again, whatever is deleted and however often the
 * power is cut. */
static void test_numbers_are_never_reused(void **state)
{
    (void)state;
    struct simrng r = {unit_seed()};
    struct vol v;
    uint64_t durable = 0; /* the largest number that was on disk for sure */
    vol_make(&v, 0);
    for (int life = 0; life < 60; life++) {
        uint64_t dir = vol_mkdir(&v, ROOT, "dir"), largest = 0;
        for (uint64_t n = 1 + simrng_below(&r, 40); n > 0; n--) {
            uint64_t in = simrng_coin(&r) ? dir : ROOT, f = vol_file(&v, in, "f");
            assert_true(f > durable);
            largest = f > largest ? f : largest;
            assert_ok(fs_unlink(v.fs, in, "f"));
            fs_forget(v.fs, f);
        }
        assert_ok(fs_rmdir(v.fs, ROOT, "dir"));
        enum sim_crash mode = life % 3 == 0   ? SIM_KEEP_ALL
                              : life % 3 == 1 ? SIM_KEEP_SYNCED
                                              : SIM_RANDOM;
        if (mode != SIM_KEEP_ALL)
            assert_ok(fs_sync(v.fs));
        durable = largest;
        if (life % 7 == 0)
            vol_reopen(&v);
        else
            vol_crash(&v, mode);
    }
    vol_free(&v);
}

static void plant_next_ino(struct vol *v, uint64_t next)
{
    struct raw r;
    uint8_t number[8];
    raw_begin(&r, v);
    put_u64(number, next);
    raw_put(&r, key_super(SUPER_NEXT_INO), slice_of(number, 8));
    raw_end(&r);
    vol_open(v);
}

static void test_the_last_numbers(void **state)
{
    (void)state;
    struct vol v;
    struct fs_attr a;
    vol_make(&v, 0);
    plant_next_ino(&v, FS_INO_MASK - (1 << 16) - 20);
    uint64_t f = vol_text(&v, ROOT, "f", "text"), dir = vol_mkdir(&v, ROOT, "dir");
    assert_true(f > FS_INO_MASK - (1 << 16) - 21 && dir == f + 1);
    assert_ok(fs_snapshot_create(v.fs, "s"));
    vol_assert_text(&v, UINT64_C(1) << FS_INO_BITS | f, "text");
    vol_reopen(&v); /* the rest of the reservation is skipped: there are no more */
    for (int i = 0; i < 3; i++)
        assert_errno(fs_mknod(v.fs, dir, "more", S_IFREG, 0, &vol_cred, &a), ENOSPC);
    assert_int_equal(vol_attr(&v, dir).size, 0);
    assert_ok(fs_rename(v.fs, ROOT, "f", dir, "f", 0)); /* all else works */
    vol_free(&v);
}

/* Files of one folder are neighbours, even if folders are filled in turns. */
static void test_numbers_lie_together(void **state)
{
    (void)state;
    struct vol v;
    uint64_t dir[4], before[4] = {0};
    int jumps = 0;
    vol_make(&v, 0);
    char name[24] = "a";
    for (int d = 0; d < 4; d++, name[0]++)
        dir[d] = vol_mkdir(&v, ROOT, name);
    for (int i = 0; i < 400; i++) {
        snprintf(name, sizeof name, "%d", i);
        for (int d = 0; d < 4; d++) {
            uint64_t f = vol_file(&v, dir[d], name);
            jumps += f != before[d] + 1;
            before[d] = f;
        }
    }
    assert_in_range(jumps, 4, 4 * 6); /* runs of 16, 32, 64, ... */
    vol_free(&v);
}

/* ---- counters ---- */

static void test_counters(void **state)
{
    (void)state;
    struct vol v;
    struct fs_stats s;
    struct fs_attr a, want = {.size = 40000};
    vol_make(&v, 16 << 10);
    uint64_t f = vol_text(&v, ROOT, "f", "x");
    assert_ok(fs_write(v.fs, f, 100000, "x", 1));
    assert_ok(fs_write(v.fs, f, 40000, "x", 1));
    vol_symlink(&v, ROOT, "s", "target");
    vol_mkdir(&v, ROOT, "d");
    for (int i = 0; i < 3; i++) {
        assert_ok(fs_get_stats(v.fs, &s));
        assert_int_equal(s.inodes, 4);
        assert_int_equal(s.used_bytes, 4 * (16 << 10));
        if (i == 0)
            vol_crash(&v, SIM_KEEP_ALL);
        else
            vol_reopen(&v);
    }
    assert_ok(fs_setattr(v.fs, f, FS_SET_SIZE, &want, &a));
    assert_ok(fs_get_stats(v.fs, &s));
    assert_int_equal(s.used_bytes, 3 * (16 << 10));
    assert_errno(fs_mknod(v.fs, ROOT, "f", S_IFREG, 0, &vol_cred, &a), EEXIST);
    assert_ok(fs_unlink(v.fs, ROOT, "f"));
    fs_forget(v.fs, f);
    assert_ok(fs_get_stats(v.fs, &s));
    assert_int_equal(s.inodes, 3);
    assert_int_equal(s.used_bytes, 16 << 10);
    vol_free(&v);
}

/* ---- a disk that fails ---- */

static void test_failed_sync_is_for_good(void **state)
{
    (void)state;
    struct vol v;
    struct fs_attr a;
    const struct sim_fault fault = {.call = SIM_SYNC, .err = -EIO};
    vol_make(&v, 0);
    uint64_t f = vol_text(&v, ROOT, "f", "text");
    assert_ok(fs_sync(v.fs));
    vol_text(&v, ROOT, "g", "text");
    assert_null(fs_failure(v.fs));
    simdisk_fail(v.disk, &fault);
    assert_true(fs_sync(v.fs) < 0);
    assert_non_null(fs_failure(v.fs));
    assert_errno(fs_write(v.fs, f, 0, "x", 1), EROFS);
    assert_errno(fs_mknod(v.fs, ROOT, "x", S_IFREG, 0, &vol_cred, &a), EROFS);
    assert_errno(fs_unlink(v.fs, ROOT, "f"), EROFS);
    assert_errno(fs_snapshot_create(v.fs, "s"), EROFS);
    assert_true(fs_sync(v.fs) < 0);
    vol_assert_text(&v, f, "text"); /* reading goes on */
    assert_true(fs_close(v.fs) < 0);
    v.fs = NULL;
    simdisk_crash(v.disk, SIM_KEEP_SYNCED, 1);
    vol_open(&v);
    vol_assert_text(&v, vol_find(&v, ROOT, "f"), "text");
    vol_free(&v);
}

/* ---- a full disk ---- */

/* Fills the volume; returns how many files fitted. */
static int fill_up(struct vol *v, struct simrng *r)
{
    static uint8_t data[64 << 10];
    int count = 0, err = 0;
    for (; err == 0; count++) {
        char name[24];
        struct fs_attr a;
        snprintf(name, sizeof name, "%d", count);
        for (size_t i = 0; i < sizeof data; i++)
            data[i] = (uint8_t)simrng_next(r);
        err = fs_mknod(v->fs, ROOT, name, S_IFREG | 0644, 0, &vol_cred, &a);
        if (err == 0)
            err = fs_write(v->fs, a.ino, 0, data, sizeof data);
        if (count % 8 == 0)
            fs_work(v->fs);
    }
    assert_errno(err, ENOSPC);
    return count - 1;
}

/* A full volume can be emptied, and filled again. */
static void test_full_disk(void **state)
{
    (void)state;
    struct simrng r = {unit_seed()};
    struct vol v;
    int fitted[2];
    vol_make(&v, 16 << 10);
    vol_close(&v);
    v.store.memtable_bytes = 256 << 10;
    v.store.blob_bytes = 1 << 20;
    v.store.reserve_bytes = 4 << 20;
    vol_open(&v);
    simdisk_set_capacity(v.disk, 24 << 20);
    for (int round = 0; round < 2; round++) {
        fitted[round] = fill_up(&v, &r);
        assert_null(fs_failure(v.fs));
        if (round == 0)
            vol_crash(&v, SIM_KEEP_ALL); /* a full volume can be opened, too */
        for (int i = 0;; i++) {
            char name[24];
            struct fs_attr a;
            snprintf(name, sizeof name, "%d", i);
            if (fs_lookup(v.fs, ROOT, name, &a) == -ENOENT)
                break;
            assert_ok(fs_unlink(v.fs, ROOT, name));
            fs_forget(v.fs, a.ino);
            assert_errno(fs_getattr(v.fs, a.ino, &a), ENOENT);
        }
        vol_settle(&v);
        assert_ok(fs_compact(v.fs));
        vol_settle(&v);
    }
    assert_in_range(fitted[0], 100, 400);
    assert_in_range(fitted[1], fitted[0] * 9 / 10, 400); /* the space came back */
    simdisk_set_capacity(v.disk, UINT64_C(1) << 40);
    vol_free(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classes),
        cmocka_unit_test(test_make),
        cmocka_unit_test(test_made_as_asked),
        cmocka_unit_test(test_open_refuses),
        cmocka_unit_test(test_damaged_superblock),
        cmocka_unit_test(test_impossible_snapshots),
        cmocka_unit_test(test_read_only),
        cmocka_unit_test(test_numbers_are_never_reused),
        cmocka_unit_test(test_the_last_numbers),
        cmocka_unit_test(test_numbers_lie_together),
        cmocka_unit_test(test_counters),
        cmocka_unit_test(test_failed_sync_is_for_good),
        cmocka_unit_test(test_full_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
