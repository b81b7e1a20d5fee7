/* Flags of inodes: what immutable and append-only forbid, on files and in folders; who inherits. */
#include "tests/unit/vol.h"

#define ROOT FS_INO_ROOT
enum { FIXED = FS_FLAG_IMMUTABLE, APPEND = FS_FLAG_APPEND, NODUMP = FS_FLAG_NODUMP };

static int set(struct vol *v, uint64_t ino, unsigned what)
{
    const struct fs_attr want = {.mode = 0600, .uid = 3, .size = 1};
    struct fs_attr a;
    return fs_setattr(v->fs, ino, what, &want, &a);
}

static void test_set_and_kept(void **state)
{
    (void)state;
    struct vol v;
    vol_make(&v, 0);
    uint64_t f = vol_file(&v, ROOT, "f"), dir = vol_mkdir(&v, ROOT, "dir"),
             link = vol_symlink(&v, ROOT, "link", "f");
    struct fs_attr before = vol_attr(&v, f);
    assert_int_equal(before.flags, 0);
    assert_ok(fs_set_flags(v.fs, f, APPEND | NODUMP));
    struct fs_attr after = vol_attr(&v, f);
    assert_int_equal(after.flags, APPEND | NODUMP);
    assert_true(vol_ns(after.ctime) > vol_ns(before.ctime));
    assert_true(vol_same_time(after.mtime, before.mtime));
    assert_ok(fs_set_flags(v.fs, dir, FIXED));
    assert_errno(fs_set_flags(v.fs, f, 0x8), EOPNOTSUPP);
    assert_errno(fs_set_flags(v.fs, f, FIXED | 1u << 31), EOPNOTSUPP);
    assert_errno(fs_set_flags(v.fs, link, NODUMP), ENOTTY);
    assert_errno(fs_set_flags(v.fs, 999, NODUMP), ENOENT);
    assert_errno(fs_set_flags(v.fs, FS_INO_CONTROL, NODUMP), EPERM);
    vol_reopen(&v);
    assert_int_equal(vol_attr(&v, f).flags, APPEND | NODUMP);
    assert_int_equal(vol_attr(&v, dir).flags, FIXED);
    assert_ok(fs_snapshot_create(v.fs, "s"));
    uint64_t root = vol_find(&v, FS_INO_SNAPSHOTS, "s");
    assert_ok(fs_set_flags(v.fs, f, 0));
    assert_int_equal(vol_attr(&v, f).flags, 0);
    assert_int_equal(vol_attr(&v, vol_find(&v, root, "f")).flags, APPEND | NODUMP);
    assert_errno(fs_set_flags(v.fs, root, 0), EROFS);
    vol_free(&v);
}

static void test_no_dump_is_inherited(void **state)
{
    (void)state;
    struct vol v;
    struct fs_attr a;
    vol_make(&v, 0);
    uint64_t dir = vol_mkdir(&v, ROOT, "dir");
    assert_ok(fs_set_flags(v.fs, dir, NODUMP | APPEND));
    assert_int_equal(vol_attr(&v, vol_file(&v, dir, "f")).flags, NODUMP);
    assert_int_equal(vol_attr(&v, vol_mkdir(&v, dir, "d")).flags, NODUMP);
    assert_int_equal(vol_attr(&v, vol_symlink(&v, dir, "l", "x")).flags, NODUMP);
    assert_ok(fs_tmpfile(v.fs, dir, 0600, true, &vol_cred, &a));
    assert_int_equal(a.flags, NODUMP);
    assert_ok(fs_link(v.fs, a.ino, dir, "named", &a));
    assert_int_equal(a.flags, NODUMP);
    vol_free(&v);
}

static void test_immutable_file(void **state)
{
    (void)state;
    struct vol v;
    struct fs_attr a;
    uint64_t copied;
    vol_make(&v, 0);
    uint64_t f = vol_text(&v, ROOT, "f", "text"), g = vol_text(&v, ROOT, "g", "other");
    assert_ok(fs_setxattr(v.fs, f, "user.a", "x", 1, 0));
    assert_ok(fs_check_open(v.fs, f, false));
    assert_ok(fs_set_flags(v.fs, f, FIXED));
    struct fs_attr before = vol_attr(&v, f);
    assert_errno(fs_check_open(v.fs, f, false), EPERM);
    assert_errno(fs_check_open(v.fs, f, true), EPERM);
    assert_errno(fs_write(v.fs, f, 4, "more", 4), EPERM);
    assert_errno(fs_fallocate(v.fs, f, 0, 0, 10), EPERM);
    assert_errno(fs_copy(v.fs, g, 0, f, 0, 3, &copied), EPERM);
    static const unsigned sets[] = {FS_SET_SIZE,  FS_SET_MODE,      FS_SET_UID,
                                    FS_SET_MTIME, FS_SET_MTIME_NOW, FS_SET_ATIME};
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++)
        assert_errno(set(&v, f, sets[i]), EPERM);
    assert_errno(fs_setxattr(v.fs, f, "user.b", "x", 1, 0), EPERM);
    assert_errno(fs_removexattr(v.fs, f, "user.a"), EPERM);
    assert_errno(fs_link(v.fs, f, ROOT, "second", &a), EPERM);
    assert_errno(fs_unlink(v.fs, ROOT, "f"), EPERM);
    assert_errno(fs_rename(v.fs, ROOT, "f", ROOT, "h", 0), EPERM);
    assert_errno(fs_rename(v.fs, ROOT, "g", ROOT, "f", 0), EPERM);
    assert_errno(fs_rename(v.fs, ROOT, "g", ROOT, "f", FS_RENAME_EXCHANGE), EPERM);
    assert_errno(fs_rename(v.fs, ROOT, "f", ROOT, "g", FS_RENAME_EXCHANGE), EPERM);
    struct fs_attr after = vol_attr(&v, f);
    assert_true(vol_same_attr(&before, &after));
    assert_ok(fs_copy(v.fs, f, 0, g, 1, 3, &copied)); /* reading is no change */
    vol_assert_text(&v, g, "otexr");
    assert_ok(fs_set_flags(v.fs, f, 0));
    assert_ok(fs_unlink(v.fs, ROOT, "f"));
    vol_free(&v);
}

static void test_append_only_file(void **state)
{
    (void)state;
    struct vol v;
    struct fs_attr a;
    vol_make(&v, 0);
    uint64_t f = vol_text(&v, ROOT, "f", "text");
    assert_ok(fs_set_flags(v.fs, f, APPEND));
    assert_errno(fs_check_open(v.fs, f, false), EPERM);
    assert_ok(fs_check_open(v.fs, f, true));
    assert_ok(fs_write(v.fs, f, 4, " more", 5));
    vol_assert_text(&v, f, "text more");
    assert_ok(fs_fallocate(v.fs, f, FS_FALLOCATE_KEEP_SIZE, 0, 10));
    assert_errno(fs_fallocate(v.fs, f, FS_FALLOCATE_ZERO_RANGE, 0, 2), EPERM);
    assert_errno(fs_fallocate(v.fs, f, FS_FALLOCATE_KEEP_SIZE | FS_FALLOCATE_PUNCH_HOLE, 0, 2),
                 EPERM);
    static const unsigned sets[] = {FS_SET_SIZE, FS_SET_MODE, FS_SET_UID, FS_SET_ATIME};
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++)
        assert_errno(set(&v, f, sets[i]), EPERM);
    assert_ok(set(&v, f, FS_SET_MTIME_NOW)); /* what appending brings about */
    assert_ok(set(&v, f, FS_SET_MTIME | FS_SET_CTIME));
    assert_errno(fs_setxattr(v.fs, f, "user.b", "x", 1, 0), EPERM);
    assert_errno(fs_link(v.fs, f, ROOT, "second", &a), EPERM);
    assert_errno(fs_unlink(v.fs, ROOT, "f"), EPERM);
    assert_errno(fs_rename(v.fs, ROOT, "f", ROOT, "h", 0), EPERM);
    assert_ok(fs_set_flags(v.fs, f, 0));
    assert_ok(fs_rename(v.fs, ROOT, "f", ROOT, "h", 0));
    vol_free(&v);
}

static void test_immutable_folder(void **state)
{
    (void)state;
    struct vol v;
    struct fs_attr a;
    vol_make(&v, 0);
    uint64_t dir = vol_mkdir(&v, ROOT, "dir"), f = vol_text(&v, dir, "f", "text");
    vol_mkdir(&v, dir, "sub");
    uint64_t out = vol_file(&v, ROOT, "out");
    assert_ok(fs_set_flags(v.fs, dir, FIXED));
    assert_errno(fs_mknod(v.fs, dir, "new", S_IFREG, 0, &vol_cred, &a), EPERM);
    assert_errno(fs_mknod(v.fs, dir, "f", S_IFREG, 0, &vol_cred, &a), EEXIST);
    assert_errno(fs_mkdir(v.fs, dir, "new", 0700, &vol_cred, &a), EPERM);
    assert_errno(fs_symlink(v.fs, dir, "new", "x", &vol_cred, &a), EPERM);
    assert_errno(fs_link(v.fs, out, dir, "new", &a), EPERM);
    assert_errno(fs_tmpfile(v.fs, dir, 0600, true, &vol_cred, &a), EPERM);
    assert_errno(fs_unlink(v.fs, dir, "f"), EPERM);
    assert_errno(fs_unlink(v.fs, dir, "missing"), ENOENT);
    assert_errno(fs_rmdir(v.fs, dir, "sub"), EPERM);
    assert_errno(fs_rename(v.fs, dir, "f", ROOT, "f", 0), EPERM);
    assert_errno(fs_rename(v.fs, dir, "f", dir, "g", 0), EPERM);
    assert_errno(fs_rename(v.fs, ROOT, "out", dir, "out", 0), EPERM);
    assert_errno(fs_rename(v.fs, ROOT, "out", dir, "f", 0), EPERM);
    assert_errno(fs_rename(v.fs, ROOT, "dir", ROOT, "other", 0), EPERM);
    assert_errno(fs_rmdir(v.fs, ROOT, "dir"), EPERM);
    assert_ok(fs_write(v.fs, f, 0, "TEXT", 4)); /* the folder is, what is in it is not */
    assert_ok(set(&v, f, FS_SET_MODE));
    assert_int_equal(vol_attr(&v, dir).size, 2);
    vol_free(&v);
}

static void test_append_only_folder(void **state)
{
    (void)state;
    struct vol v;
    struct fs_attr a;
    vol_make(&v, 0);
    uint64_t dir = vol_mkdir(&v, ROOT, "dir");
    vol_text(&v, dir, "f", "text");
    vol_file(&v, ROOT, "out");
    vol_file(&v, ROOT, "more");
    assert_ok(fs_set_flags(v.fs, dir, APPEND));
    vol_file(&v, dir, "new");
    vol_mkdir(&v, dir, "sub");
    assert_ok(fs_rename(v.fs, ROOT, "out", dir, "out", 0));
    assert_errno(fs_rename(v.fs, ROOT, "more", dir, "f", 0), EPERM);
    assert_errno(fs_rename(v.fs, dir, "f", ROOT, "f", 0), EPERM);
    assert_errno(fs_rename(v.fs, dir, "f", dir, "g", 0), EPERM);
    assert_errno(fs_unlink(v.fs, dir, "f"), EPERM);
    assert_errno(fs_rmdir(v.fs, dir, "sub"), EPERM);
    assert_ok(fs_tmpfile(v.fs, dir, 0600, true, &vol_cred, &a));
    assert_ok(fs_link(v.fs, a.ino, dir, "named", &a));
    assert_int_equal(vol_attr(&v, dir).size, 5);
    vol_free(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set_and_kept),     cmocka_unit_test(test_no_dump_is_inherited),
        cmocka_unit_test(test_immutable_file),   cmocka_unit_test(test_append_only_file),
        cmocka_unit_test(test_immutable_folder), cmocka_unit_test(test_append_only_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
