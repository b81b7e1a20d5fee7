/* Making, linking and removing names: results, errors, link counts, and names of any bytes. */
#include "tests/unit/vol_raw.h"

/* ---- making ---- */

static void test_a_new_volume(void **state)
{
    (void)state;
    struct vol v;
    vol_make(&v, 0);
    struct fs_attr a = vol_attr(&v, FS_INO_ROOT);
    assert_int_equal(a.mode, S_IFDIR | 0755);
    assert_int_equal(a.nlink, 2);
    assert_int_equal(a.uid, 1000);
    assert_int_equal(a.gid, 100);
    assert_int_equal(a.size, 0);
    assert_int_equal(a.blocks, 0);
    assert_true(vol_ns(a.atime) == vol_ns(a.btime) && vol_ns(a.btime) > 0);
    vol_free(&v);
}

static void test_types(void **state)
{
    (void)state;
    static const uint32_t modes[] = {S_IFREG | 0600, S_IFCHR | 0620,  S_IFBLK | 0660,
                                     S_IFIFO | 0644, S_IFSOCK | 0777, S_IFREG | 07777};
    struct vol v;
    char name[2] = "a";
    vol_make(&v, 0);
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++, name[0]++) {
        struct fs_attr a, found;
        bool device = S_ISCHR(modes[i]) || S_ISBLK(modes[i]);
        assert_ok(fs_mknod(v.fs, FS_INO_ROOT, name, modes[i], 0x801, &vol_cred, &a));
        assert_int_equal(a.mode, modes[i]);
        assert_int_equal(a.nlink, 1);
        assert_int_equal(a.rdev, device ? 0x801 : 0);
        assert_int_equal(a.size, 0);
        assert_true(vol_ns(a.atime) == vol_ns(a.mtime) && vol_ns(a.mtime) == vol_ns(a.ctime));
        assert_true(vol_ns(a.ctime) == vol_ns(a.btime));
        assert_ok(fs_lookup(v.fs, FS_INO_ROOT, name, &found));
        assert_true(vol_same_attr(&a, &found));
    }
    assert_int_equal(vol_attr(&v, FS_INO_ROOT).size, 6);
    assert_int_equal(vol_attr(&v, FS_INO_ROOT).nlink, 2);
    vol_free(&v);
}

static void test_mknod_mode(void **state)
{
    (void)state;
    struct vol v;
    struct fs_attr a;
    vol_make(&v, 0);
    assert_ok(fs_mknod(v.fs, 1, "none", 0640, 0, &vol_cred, &a)); /* as mknod(2): a regular file */
    assert_int_equal(a.mode, S_IFREG | 0640);
    assert_ok(fs_mknod(v.fs, 1, "more", 0xf0000 | S_IFREG | 0640, 0, &vol_cred, &a));
    assert_int_equal(a.mode, S_IFREG | 0640);
    assert_errno(fs_mknod(v.fs, 1, "dir", S_IFDIR | 0755, 0, &vol_cred, &a), EINVAL);
    assert_errno(fs_mknod(v.fs, 1, "link", S_IFLNK | 0777, 0, &vol_cred, &a), EINVAL);
    assert_errno(fs_mknod(v.fs, 1, "odd", 0170000, 0, &vol_cred, &a), EINVAL);
    vol_free(&v);
}

static void test_set_group_id(void **state)
{
    (void)state;
    struct vol v;
    struct fs_attr a, want = {.mode = 02775, .gid = 7};
    vol_make(&v, 0);
    uint64_t dir = vol_mkdir(&v, 1, "shared");
    assert_ok(fs_setattr(v.fs, dir, FS_SET_MODE | FS_SET_GID, &want, &a));
    assert_ok(fs_mknod(v.fs, dir, "f", S_IFREG | 0644, 0, &vol_cred, &a));
    assert_int_equal(a.gid, 7);
    assert_int_equal(a.mode, S_IFREG | 0644);
    assert_ok(fs_mkdir(v.fs, dir, "d", 0755, &vol_cred, &a));
    assert_int_equal(a.gid, 7);
    assert_int_equal(a.mode, S_IFDIR | 02755);
    assert_ok(fs_symlink(v.fs, dir, "l", "x", &vol_cred, &a));
    assert_int_equal(a.gid, 7);
    vol_free(&v);
}

/* Every operation that takes a name refuses what is none. */
static int by_name(struct vol *v, int op, uint64_t dir, const char *name)
{
    struct fs_attr a;
    switch (op) {
    case 0:
        return fs_mknod(v->fs, dir, name, S_IFREG | 0644, 0, &vol_cred, &a);
    case 1:
        return fs_mkdir(v->fs, dir, name, 0755, &vol_cred, &a);
    case 2:
        return fs_symlink(v->fs, dir, name, "target", &vol_cred, &a);
    case 3:
        return fs_link(v->fs, vol_find(v, FS_INO_ROOT, "file"), dir, name, &a);
    case 4:
        return fs_unlink(v->fs, dir, name);
    case 5:
        return fs_rmdir(v->fs, dir, name);
    case 6:
        return fs_rename(v->fs, dir, name, FS_INO_ROOT, "other", 0);
    default:
        return fs_rename(v->fs, FS_INO_ROOT, "file", dir, name, 0);
    }
}

static void test_bad_names_and_folders(void **state)
{
    (void)state;
    struct vol v;
    struct fs_attr a;
    char name[257];
    memset(name, 'x', 256);
    name[256] = 0;
    vol_make(&v, 0);
    uint64_t file = vol_file(&v, FS_INO_ROOT, "file");
    for (int op = 0; op < 8; op++) {
        assert_errno(by_name(&v, op, FS_INO_ROOT, ""), ENOENT);
        assert_errno(by_name(&v, op, FS_INO_ROOT, "."), EINVAL);
        assert_errno(by_name(&v, op, FS_INO_ROOT, ".."), EINVAL);
        assert_errno(by_name(&v, op, FS_INO_ROOT, "a/b"), EINVAL);
        assert_errno(by_name(&v, op, FS_INO_ROOT, name), ENAMETOOLONG);
        assert_errno(by_name(&v, op, file, "name"), ENOTDIR);
        assert_errno(by_name(&v, op, 999, "name"), ENOENT);
        assert_errno(by_name(&v, op, 0, "name"), ENOENT);
    }
    assert_errno(fs_lookup(v.fs, FS_INO_ROOT, name, &a), ENAMETOOLONG);
    assert_errno(fs_lookup(v.fs, FS_INO_ROOT, "", &a), ENOENT);
    assert_errno(fs_lookup(v.fs, file, "name", &a), ENOTDIR);
    assert_errno(fs_lookup(v.fs, 999, "name", &a), ENOENT);
    assert_errno(fs_getattr(v.fs, 999, &a), ENOENT);
    assert_errno(fs_getattr(v.fs, 0, &a), ENOENT); /* the superblock is no inode */
    assert_errno(fs_write(v.fs, 0, 0, "x", 1), ENOENT);
    assert_errno(fs_setxattr(v.fs, 0, "user.a", "x", 1, 0), ENOENT);
    vol_free(&v);
}

static void test_exists(void **state)
{
    (void)state;
    struct vol v;
    vol_make(&v, 0);
    vol_file(&v, FS_INO_ROOT, "file");
    vol_mkdir(&v, FS_INO_ROOT, "dir");
    vol_symlink(&v, FS_INO_ROOT, "dangling", "nowhere");
    for (int op = 0; op < 4; op++) {
        assert_errno(by_name(&v, op, FS_INO_ROOT, "file"), EEXIST);
        assert_errno(by_name(&v, op, FS_INO_ROOT, "dir"), EEXIST);
        assert_errno(by_name(&v, op, FS_INO_ROOT, "dangling"), EEXIST);
        assert_errno(by_name(&v, op, FS_INO_ROOT, FS_CONTROL_NAME), EEXIST);
    }
    assert_int_equal(vol_attr(&v, FS_INO_ROOT).size, 3);
    vol_free(&v);
}

/* ---- symbolic links ---- */

static void test_symlinks(void **state)
{
    (void)state;
    struct vol v;
    struct fs_attr a;
    char target[FS_SYMLINK_MAX + 2], back[FS_SYMLINK_MAX + 1];
    vol_make(&v, 16 << 10);
    static const size_t lengths[] = {1, 2, 100, 4094, FS_SYMLINK_MAX};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        size_t len = lengths[i];
        char name[24];
        memset(target, 'a' + (int)(len % 26), len);
        target[len] = 0;
        snprintf(name, sizeof name, "%zu", len);
        assert_ok(fs_symlink(v.fs, FS_INO_ROOT, name, target, &vol_cred, &a));
        assert_int_equal(a.mode, S_IFLNK | 0777);
        assert_int_equal(a.size, len);
        assert_int_equal(a.nlink, 1);
        assert_ok(fs_readlink(v.fs, a.ino, back));
        assert_string_equal(back, target);
    }
    memset(target, 'x', FS_SYMLINK_MAX + 1);
    target[FS_SYMLINK_MAX + 1] = 0;
    assert_errno(fs_symlink(v.fs, FS_INO_ROOT, "long", target, &vol_cred, &a), ENAMETOOLONG);
    assert_errno(fs_symlink(v.fs, FS_INO_ROOT, "empty", "", &vol_cred, &a), ENOENT);
    assert_errno(fs_readlink(v.fs, FS_INO_ROOT, back), EINVAL);
    assert_errno(fs_readlink(v.fs, vol_file(&v, FS_INO_ROOT, "file"), back), EINVAL);
    assert_errno(fs_readlink(v.fs, FS_INO_CONTROL, back), EINVAL);
    assert_errno(fs_readlink(v.fs, 999, back), ENOENT);
    vol_free(&v);
}

/* ---- links and removal ---- */

static void test_link_counts(void **state)
{
    (void)state;
    struct vol v;
    struct fs_attr a;
    vol_make(&v, 0);
    uint64_t dir = vol_mkdir(&v, FS_INO_ROOT, "dir"), file = vol_text(&v, FS_INO_ROOT, "a", "text");
    assert_ok(fs_link(v.fs, file, dir, "b", &a));
    assert_true(a.ino == file && a.nlink == 2);
    assert_ok(fs_link(v.fs, vol_symlink(&v, dir, "s", "t"), dir, "s2", &a)); /* a link itself */
    assert_int_equal(a.nlink, 2);
    assert_ok(fs_unlink(v.fs, FS_INO_ROOT, "a"));
    assert_int_equal(vol_attr(&v, file).nlink, 1);
    assert_true(vol_find(&v, dir, "b") == file);
    vol_assert_text(&v, file, "text");
    assert_ok(fs_link(v.fs, file, FS_INO_ROOT, "a", &a));
    assert_int_equal(vol_attr(&v, file).nlink, 2);
    vol_free(&v);
}

static void test_link_errors(void **state)
{
    (void)state;
    struct vol v;
    struct fs_attr a;
    struct raw r;
    vol_make(&v, 0);
    uint64_t dir = vol_mkdir(&v, FS_INO_ROOT, "dir"), file = vol_file(&v, FS_INO_ROOT, "file");
    assert_errno(fs_link(v.fs, dir, FS_INO_ROOT, "x", &a), EPERM);
    assert_errno(fs_link(v.fs, FS_INO_CONTROL, FS_INO_ROOT, "x", &a), EPERM);
    assert_errno(fs_link(v.fs, 999, FS_INO_ROOT, "x", &a), ENOENT);
    assert_ok(fs_unlink(v.fs, FS_INO_ROOT, "file"));
    assert_errno(fs_link(v.fs, file, FS_INO_ROOT, "x", &a), ENOENT); /* an orphan stays one */
    file = vol_file(&v, FS_INO_ROOT, "many");
    raw_begin(&r, &v);
    struct inode n = raw_inode(&r, file);
    n.nlink = FS_LINK_MAX - 1;
    raw_put_inode(&r, &n);
    raw_end(&r);
    vol_open(&v);
    assert_ok(fs_link(v.fs, file, FS_INO_ROOT, "last", &a));
    assert_int_equal(a.nlink, FS_LINK_MAX);
    assert_errno(fs_link(v.fs, file, FS_INO_ROOT, "one more", &a), EMLINK);
    raw_begin(&r, &v);
    n.nlink = 2;
    raw_put_inode(&r, &n);
    raw_end(&r);
    vol_free(&v);
}

static void test_folders_count_links(void **state)
{
    (void)state;
    struct vol v;
    vol_make(&v, 0);
    uint64_t a = vol_mkdir(&v, FS_INO_ROOT, "a"), b = vol_mkdir(&v, a, "b");
    vol_mkdir(&v, a, "c");
    vol_file(&v, a, "file");
    assert_int_equal(vol_attr(&v, FS_INO_ROOT).nlink, 3);
    assert_int_equal(vol_attr(&v, a).nlink, 4);
    assert_int_equal(vol_attr(&v, a).size, 3);
    assert_int_equal(vol_attr(&v, b).nlink, 2);
    assert_ok(fs_rmdir(v.fs, a, "b"));
    assert_int_equal(vol_attr(&v, a).nlink, 3);
    assert_ok(fs_unlink(v.fs, a, "file"));
    assert_int_equal(vol_attr(&v, a).nlink, 3);
    assert_int_equal(vol_attr(&v, a).size, 1);
    vol_free(&v);
}

static void test_remove_errors(void **state)
{
    (void)state;
    struct vol v;
    vol_make(&v, 0);
    uint64_t dir = vol_mkdir(&v, FS_INO_ROOT, "dir");
    vol_file(&v, dir, "file");
    assert_errno(fs_unlink(v.fs, FS_INO_ROOT, "dir"), EISDIR);
    assert_errno(fs_rmdir(v.fs, FS_INO_ROOT, "dir"), ENOTEMPTY);
    assert_errno(fs_rmdir(v.fs, dir, "file"), ENOTDIR);
    assert_errno(fs_unlink(v.fs, dir, "nothing"), ENOENT);
    assert_errno(fs_rmdir(v.fs, dir, "nothing"), ENOENT);
    assert_ok(fs_unlink(v.fs, dir, "file"));
    assert_ok(fs_rmdir(v.fs, FS_INO_ROOT, "dir"));
    assert_errno(fs_rmdir(v.fs, FS_INO_ROOT, "dir"), ENOENT);
    vol_free(&v);
}

/* A removed folder that somebody still stands in: nothing can be made, found or listed there. */
static int count_entry(void *ctx, const char *name, const struct fs_attr *attr, uint64_t next)
{
    (void)name;
    (void)attr;
    (void)next;
    ++*(int *)ctx;
    return 0;
}

static void test_removed_folder(void **state)
{
    (void)state;
    struct vol v;
    struct fs_attr a;
    int entries = 0;
    vol_make(&v, 0);
    uint64_t above = vol_mkdir(&v, FS_INO_ROOT, "above"), dir = vol_mkdir(&v, above, "dir");
    uint64_t file = vol_file(&v, FS_INO_ROOT, "file");
    assert_ok(fs_rmdir(v.fs, above, "dir"));
    assert_ok(fs_rmdir(v.fs, FS_INO_ROOT, "above"));
    fs_forget(v.fs, above);
    assert_errno(fs_getattr(v.fs, above, &a), ENOENT);
    assert_int_equal(vol_attr(&v, dir).nlink, 0);
    for (int op = 0; op < 3; op++)
        assert_errno(by_name(&v, op, dir, "x"), ENOENT);
    assert_errno(fs_link(v.fs, file, dir, "x", &a), ENOENT);
    assert_errno(fs_rename(v.fs, FS_INO_ROOT, "file", dir, "x", 0), ENOENT);
    assert_errno(fs_lookup(v.fs, dir, "x", &a), ENOENT);
    assert_errno(fs_readdir(v.fs, dir, 0, true, count_entry, &entries), ENOENT);
    assert_int_equal(entries, 0);
    vol_free(&v);
}

/* ---- names of any bytes ---- */

struct seen {
    bool byte[256];
    size_t count;
};

static int see_byte(void *ctx, const char *name, const struct fs_attr *attr, uint64_t next)
{
    struct seen *s = ctx;
    (void)attr;
    (void)next;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return 0;
    assert_int_equal(strlen(name), 255);
    s->byte[(uint8_t)name[0]] = true;
    s->count++;
    return 0;
}

static void test_any_bytes(void **state)
{
    (void)state;
    struct vol v;
    struct seen seen = {0};
    char name[256];
    vol_make(&v, 0);
    uint64_t dir = vol_mkdir(&v, FS_INO_ROOT, "dir"), ino[256] = {0};
    for (int c = 1; c < 256; c++) {
        memset(name, c, 255);
        name[255] = 0;
        if (c == '/')
            continue;
        ino[c] = vol_file(&v, dir, name);
        name[1] = 0; /* a name of one byte, too, but "." */
        if (c != '.')
            vol_file(&v, FS_INO_ROOT, name);
    }
    vol_reopen(&v);
    for (int c = 1; c < 256; c++) {
        memset(name, c, 255);
        name[255] = 0;
        assert_true(c == '/' || vol_find(&v, dir, name) == ino[c]);
        name[254] = 0;
        assert_true(c == '/' || vol_find(&v, dir, name) == 0);
        name[1] = 0;
        assert_int_equal(vol_find(&v, FS_INO_ROOT, name) != 0, c != '/'); /* "." is the folder */
    }
    assert_ok(fs_readdir(v.fs, dir, 0, false, see_byte, &seen));
    assert_int_equal(seen.count, 254);
    for (int c = 1; c < 256; c++)
        assert_int_equal(seen.byte[c], c != '/');
    vol_free(&v);
}

/* ---- the control folder ---- */

static void test_control_folder_is_safe(void **state)
{
    (void)state;
    struct vol v;
    struct fs_attr a;
    vol_make(&v, 0);
    uint64_t file = vol_file(&v, FS_INO_ROOT, "file"), dir = vol_mkdir(&v, FS_INO_ROOT, "dir");
    assert_ok(fs_lookup(v.fs, FS_INO_ROOT, FS_CONTROL_NAME, &a));
    assert_true(a.ino == FS_INO_CONTROL && S_ISDIR(a.mode) && a.uid == 1000);
    assert_ok(fs_lookup(v.fs, FS_INO_CONTROL, FS_SNAPSHOTS_NAME, &a));
    assert_true(a.ino == FS_INO_SNAPSHOTS && S_ISDIR(a.mode));
    assert_errno(fs_lookup(v.fs, FS_INO_CONTROL, "other", &a), ENOENT);
    assert_errno(fs_unlink(v.fs, FS_INO_ROOT, FS_CONTROL_NAME), EPERM);
    assert_errno(fs_rmdir(v.fs, FS_INO_ROOT, FS_CONTROL_NAME), EPERM);
    assert_errno(fs_rename(v.fs, FS_INO_ROOT, FS_CONTROL_NAME, FS_INO_ROOT, "x", 0), EPERM);
    assert_errno(fs_rename(v.fs, FS_INO_ROOT, "file", FS_INO_ROOT, FS_CONTROL_NAME, 0), EPERM);
    assert_errno(fs_rename(v.fs, FS_INO_ROOT, "file", FS_INO_CONTROL, "x", 0), EPERM);
    assert_errno(fs_rename(v.fs, FS_INO_CONTROL, FS_SNAPSHOTS_NAME, FS_INO_ROOT, "x", 0), EPERM);
    assert_errno(fs_rmdir(v.fs, FS_INO_CONTROL, FS_SNAPSHOTS_NAME), EPERM);
    for (int op = 0; op < 4; op++)
        assert_errno(by_name(&v, op, FS_INO_CONTROL, "x"), EPERM);
    assert_errno(fs_link(v.fs, file, FS_INO_SNAPSHOTS, "x", &a), EPERM);
    assert_errno(fs_setattr(v.fs, FS_INO_CONTROL, FS_SET_MODE, &a, &a), EPERM);
    assert_errno(fs_write(v.fs, FS_INO_SNAPSHOTS, 0, "x", 1), EPERM);
    assert_errno(fs_setxattr(v.fs, FS_INO_CONTROL, "user.a", "x", 1, 0), EPERM);
    vol_file(&v, dir, FS_CONTROL_NAME); /* anywhere else it is a name like others */
    assert_ok(fs_unlink(v.fs, dir, FS_CONTROL_NAME));
    vol_free(&v);
}

/* How handles are opened: by number, without a path. */
static void test_dots(void **state)
{
    (void)state;
    struct vol v;
    struct fs_attr a;
    vol_make(&v, 0);
    uint64_t dir = vol_mkdir(&v, FS_INO_ROOT, "dir"), sub = vol_mkdir(&v, dir, "sub"),
             f = vol_file(&v, sub, "f");
    assert_true(vol_find(&v, f, ".") == f && vol_find(&v, sub, ".") == sub);
    assert_true(vol_find(&v, sub, "..") == dir && vol_find(&v, dir, "..") == FS_INO_ROOT);
    assert_true(vol_find(&v, FS_INO_ROOT, ".") == FS_INO_ROOT &&
                vol_find(&v, FS_INO_ROOT, "..") == FS_INO_ROOT);
    assert_errno(fs_lookup(v.fs, f, "..", &a), ENOTDIR);
    assert_errno(fs_lookup(v.fs, 999, ".", &a), ENOENT);
    assert_errno(fs_lookup(v.fs, 999, "..", &a), ENOENT);
    assert_true(vol_find(&v, FS_INO_SNAPSHOTS, "..") == FS_INO_CONTROL);
    assert_true(vol_find(&v, FS_INO_CONTROL, "..") == FS_INO_ROOT);
    assert_true(vol_find(&v, FS_INO_CONTROL, ".") == FS_INO_CONTROL);
    assert_ok(fs_snapshot_create(v.fs, "s"));
    uint64_t root = vol_find(&v, FS_INO_SNAPSHOTS, "s"), old = vol_find(&v, root, "dir");
    assert_true(vol_find(&v, root, "..") == FS_INO_SNAPSHOTS);
    assert_true(vol_find(&v, old, "..") == root && vol_find(&v, old, ".") == old);
    assert_ok(fs_rename(v.fs, dir, "sub", FS_INO_ROOT, "moved", 0));
    assert_true(vol_find(&v, sub, "..") == FS_INO_ROOT);
    assert_ok(fs_unlink(v.fs, sub, "f"));
    assert_true(vol_find(&v, f, ".") == f); /* somebody has it open */
    fs_forget(v.fs, f);
    assert_errno(fs_lookup(v.fs, f, ".", &a), ENOENT);
    assert_ok(fs_rmdir(v.fs, FS_INO_ROOT, "moved"));
    assert_errno(fs_lookup(v.fs, sub, "..", &a), ENOENT);
    assert_ok(fs_snapshot_delete(v.fs, "s"));
    assert_errno(fs_lookup(v.fs, old, ".", &a), ESTALE);
    vol_free(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_new_volume),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_mknod_mode),
        cmocka_unit_test(test_set_group_id),
        cmocka_unit_test(test_bad_names_and_folders),
        cmocka_unit_test(test_exists),
        cmocka_unit_test(test_symlinks),
        cmocka_unit_test(test_link_counts),
        cmocka_unit_test(test_link_errors),
        cmocka_unit_test(test_folders_count_links),
        cmocka_unit_test(test_remove_errors),
        cmocka_unit_test(test_removed_folder),
        cmocka_unit_test(test_any_bytes),
        cmocka_unit_test(test_control_folder_is_safe),
        cmocka_unit_test(test_dots),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
