/* Space of files: fallocate in all its modes. Random histories of it are in fs_data.c. */
#include "tests/unit/vol.h"

#define ROOT FS_INO_ROOT
enum {
    C = 16 << 10,
    KEEP = FS_FALLOCATE_KEEP_SIZE,
    PUNCH = FS_FALLOCATE_KEEP_SIZE | FS_FALLOCATE_PUNCH_HOLE,
    ZERO = FS_FALLOCATE_ZERO_RANGE,
};

static uint64_t full_file(struct vol *v, const char *name, size_t len)
{
    uint8_t *data = malloc(len);
    memset(data, 'x', len);
    uint64_t f = vol_file(v, ROOT, name);
    assert_ok(fs_write(v->fs, f, 0, data, len));
    free(data);
    return f;
}

/* The file holds 'x' but for zeros in [from, to). */
static void assert_zeros(struct vol *v, uint64_t f, size_t size, size_t from, size_t to)
{
    uint8_t *data = malloc(size + 1);
    size_t got;
    assert_ok(fs_read(v->fs, f, 0, data, size + 1, &got));
    assert_int_equal(got, size);
    for (size_t i = 0; i < size; i++)
        if (data[i] != (i >= from && i < to ? 0 : 'x'))
            fail_msg("byte %zu is %#x", i, data[i]);
    free(data);
}

/* ---- punching ---- */

static void test_punched_chunks_are_holes(void **state)
{
    (void)state;
    struct vol v;
    uint64_t found;
    vol_make(&v, C);
    uint64_t f = full_file(&v, "f", 6 * C);
    assert_ok(fs_fallocate(v.fs, f, PUNCH, C + 100, 3 * C));
    assert_zeros(&v, f, 6 * C, C + 100, 4 * C + 100);
    assert_int_equal(vol_attr(&v, f).blocks, 4 * C / 512);
    assert_ok(fs_seek_hole(v.fs, f, 0, &found));
    assert_int_equal(found, 2 * C);
    assert_ok(fs_seek_data(v.fs, f, 2 * C, &found));
    assert_int_equal(found, 4 * C);
    struct fs_stats stats;
    assert_ok(fs_get_stats(v.fs, &stats));
    assert_int_equal(stats.used_bytes, 4 * C);
    /* Nothing comes back, whatever is folded. */
    vol_settle(&v);
    assert_ok(fs_compact(v.fs));
    assert_zeros(&v, f, 6 * C, C + 100, 4 * C + 100);
    vol_free(&v);
}

/* A hole that reaches the end takes the last chunk, even if that is not full. */
static void test_punched_to_the_end(void **state)
{
    (void)state;
    struct vol v;
    vol_make(&v, C);
    uint64_t f = full_file(&v, "f", 3 * C + 5);
    assert_ok(fs_fallocate(v.fs, f, PUNCH, 2 * C, INT64_MAX - 2 * C));
    assert_zeros(&v, f, 3 * C + 5, 2 * C, 3 * C + 5);
    assert_int_equal(vol_attr(&v, f).blocks, 2 * C / 512);
    assert_ok(fs_fallocate(v.fs, f, PUNCH, 10 * C, C)); /* behind the end */
    assert_int_equal(vol_attr(&v, f).size, 3 * C + 5);
    assert_ok(fs_fallocate(v.fs, f, PUNCH, 0, 10 * C));
    assert_int_equal(vol_attr(&v, f).blocks, 0);
    vol_free(&v);
}

static uint64_t bytes_written(struct vol *v)
{
    struct fs_stats s;
    assert_ok(fs_get_stats(v->fs, &s));
    return s.store.bytes_written_log + s.store.bytes_written_blob;
}

/* However much is punched or zeroed, it costs a few small entries. */
static void test_punching_is_cheap(void **state)
{
    (void)state;
    struct vol v;
    vol_make(&v, 128 << 10);
    vol_close(&v);
    v.options.store = NULL;
    vol_open(&v);
    uint64_t f = full_file(&v, "f", 4 << 20), before = bytes_written(&v);
    assert_ok(fs_fallocate(v.fs, f, PUNCH, 1000, 3 << 20));
    assert_ok(fs_fallocate(v.fs, f, ZERO, 100, 4 << 20));
    assert_ok(fs_fallocate(v.fs, f, PUNCH, 10, 127 << 10));
    assert_true(bytes_written(&v) - before < 2000);
    assert_zeros(&v, f, (4 << 20) + 100, 10, (4 << 20) + 100);
    vol_free(&v);
}

/* ---- growing ---- */

static void test_sizes(void **state)
{
    (void)state;
    struct vol v;
    uint64_t found;
    vol_make(&v, C);
    uint64_t f = full_file(&v, "f", 100);
    struct fs_attr before = vol_attr(&v, f);
    assert_ok(fs_fallocate(v.fs, f, 0, 50, 20));
    assert_zeros(&v, f, 100, 0, 0);
    assert_ok(fs_fallocate(v.fs, f, KEEP, 0, 1000));
    assert_zeros(&v, f, 100, 0, 0);
    struct fs_attr after = vol_attr(&v, f);
    assert_true(vol_ns(after.mtime) > vol_ns(before.mtime));
    assert_true(vol_same_time(after.mtime, after.ctime));
    assert_true(vol_same_time(after.atime, before.atime));
    assert_ok(fs_fallocate(v.fs, f, 0, 50, 4 * C));
    assert_zeros(&v, f, 4 * C + 50, 100, 4 * C + 50);
    assert_int_equal(vol_attr(&v, f).blocks, C / 512);
    assert_ok(fs_seek_hole(v.fs, f, 0, &found));
    assert_int_equal(found, C);
    assert_ok(fs_fallocate(v.fs, f, ZERO | KEEP, 50, 100 * C));
    assert_zeros(&v, f, 4 * C + 50, 50, 4 * C + 50);
    assert_ok(fs_fallocate(v.fs, f, ZERO, 20, 5 * C));
    assert_zeros(&v, f, 5 * C + 20, 20, 5 * C + 20);
    vol_free(&v);
}

/* What has no room is refused at once; what is there already needs none. */
static void test_no_room(void **state)
{
    (void)state;
    struct vol v;
    struct fs_stats stats;
    vol_make(&v, C);
    simdisk_set_capacity(v.disk, 64 << 20);
    uint64_t f = full_file(&v, "f", 8 * C);
    assert_ok(fs_get_stats(v.fs, &stats));
    uint64_t free_bytes = stats.free_bytes;
    assert_true(free_bytes > 16 * C);
    assert_ok(fs_fallocate(v.fs, f, 0, 0, 8 * C));
    assert_errno(fs_fallocate(v.fs, f, 0, 0, free_bytes + 9 * C), ENOSPC);
    assert_errno(fs_fallocate(v.fs, f, KEEP, 0, free_bytes + 9 * C), ENOSPC);
    assert_errno(fs_fallocate(v.fs, f, ZERO, 0, free_bytes + 9 * C), ENOSPC);
    assert_zeros(&v, f, 8 * C, 0, 0);
    assert_ok(fs_fallocate(v.fs, f, PUNCH, 0, free_bytes + 9 * C));
    assert_errno(fs_fallocate(v.fs, f, 0, 0, free_bytes + 9 * C), ENOSPC);
    assert_ok(fs_fallocate(v.fs, f, 0, 0, free_bytes / 2));
    vol_free(&v);
}

static void test_errors(void **state)
{
    (void)state;
    struct vol v;
    struct fs_attr a;
    vol_make(&v, C);
    uint64_t f = full_file(&v, "f", 100), dir = vol_mkdir(&v, ROOT, "dir");
    assert_ok(fs_mknod(v.fs, ROOT, "fifo", S_IFIFO | 0644, 0, &vol_cred, &a));
    assert_errno(fs_fallocate(v.fs, f, 0, 10, 0), EINVAL);
    static const unsigned refused[] = {2, 2 | 16, 3 | 16, 4, 8, 32, 64, 1 | 8, 1u << 31};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        assert_errno(fs_fallocate(v.fs, f, refused[i], 0, 10), EOPNOTSUPP);
    assert_errno(fs_fallocate(v.fs, f, 0, INT64_MAX, 1), EFBIG);
    assert_errno(fs_fallocate(v.fs, f, PUNCH, UINT64_MAX, 1), EFBIG);
    assert_errno(fs_fallocate(v.fs, f, ZERO, 1, UINT64_MAX), EFBIG);
    assert_errno(fs_fallocate(v.fs, dir, 0, 0, 10), EISDIR);
    assert_errno(fs_fallocate(v.fs, a.ino, 0, 0, 10), ENODEV);
    assert_errno(fs_fallocate(v.fs, 999, 0, 0, 10), ENOENT);
    assert_errno(fs_fallocate(v.fs, FS_INO_CONTROL, 0, 0, 10), EPERM);
    assert_ok(fs_snapshot_create(v.fs, "s"));
    uint64_t root = vol_find(&v, FS_INO_SNAPSHOTS, "s"), old = vol_find(&v, root, "f");
    assert_errno(fs_fallocate(v.fs, old, PUNCH, 0, 10), EROFS);
    assert_ok(fs_fallocate(v.fs, f, PUNCH, 0, 10));
    assert_zeros(&v, old, 100, 0, 0);
    assert_zeros(&v, f, 100, 0, 10);
    vol_free(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_punched_chunks_are_holes),
        cmocka_unit_test(test_punched_to_the_end),
        cmocka_unit_test(test_punching_is_cheap),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_no_room),
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
