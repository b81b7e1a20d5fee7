/* Snapshots: making, listing, renaming and dropping them, by function and by folder; that they
 * cannot be changed, show what was, and give their space back. */
#include "tests/unit/vol.h"

#include "fs/volume.h"
#include "tests/sim/simrng.h"

#define ROOT FS_INO_ROOT

static uint64_t in_snapshot(uint64_t number, uint64_t ino)
{
    return number << FS_INO_BITS | ino;
}

/* ---- names ---- */

struct names {
    char text[512]; /* "a,b,": by age */
    int64_t last_ns;
};

static int add_name(void *ctx, const struct fs_snapshot *s)
{
    struct names *n = ctx;
    assert_true(s->number >= 1 && s->number <= FS_SNAPSHOTS_MAX && s->created_ns > n->last_ns);
    n->last_ns = s->created_ns;
    strcat(strcat(n->text, s->name), ",");
    return 0;
}

static void assert_snapshots(struct vol *v, const char *names)
{
    struct names n = {0};
    assert_ok(fs_snapshot_list(v->fs, add_name, &n));
    assert_string_equal(n.text, names);
}

static void test_create_list_rename_delete(void **state)
{
    (void)state;
    struct vol v;
    vol_make(&v, 0);
    assert_snapshots(&v, "");
    assert_ok(fs_snapshot_create(v.fs, "one"));
    assert_ok(fs_snapshot_create(v.fs, "two"));
    assert_ok(fs_snapshot_create(v.fs, "three"));
    assert_snapshots(&v, "one,two,three,");
    assert_ok(fs_snapshot_rename(v.fs, "two", "second"));
    assert_ok(fs_snapshot_rename(v.fs, "one", "one"));
    assert_snapshots(&v, "one,second,three,"); /* it is not younger for that */
    vol_crash(&v, SIM_KEEP_SYNCED);
    assert_snapshots(&v, "one,second,three,");
    assert_ok(fs_snapshot_delete(v.fs, "second"));
    assert_snapshots(&v, "one,three,");
    vol_crash(&v, SIM_KEEP_SYNCED);
    assert_snapshots(&v, "one,three,");
    vol_free(&v);
}

static void test_names(void **state)
{
    (void)state;
    struct vol v;
    char name[257];
    memset(name, 'n', 256);
    name[256] = 0;
    vol_make(&v, 0);
    assert_ok(fs_snapshot_create(v.fs, "a"));
    assert_ok(fs_snapshot_create(v.fs, "b"));
    static const char *const bad[] = {"", ".", "..", "a/b"};
    for (size_t i = 0; i < 4; i++) {
        int expected = i ? -EINVAL : -ENOENT;
        assert_int_equal(fs_snapshot_create(v.fs, bad[i]), expected);
        assert_int_equal(fs_snapshot_rename(v.fs, "a", bad[i]), expected);
        assert_errno(fs_snapshot_delete(v.fs, bad[i]), ENOENT);
    }
    assert_errno(fs_snapshot_create(v.fs, name), ENAMETOOLONG);
    assert_errno(fs_snapshot_rename(v.fs, "a", name), ENAMETOOLONG);
    assert_errno(fs_snapshot_create(v.fs, "a"), EEXIST);
    assert_errno(fs_snapshot_rename(v.fs, "a", "b"), EEXIST);
    assert_errno(fs_snapshot_rename(v.fs, "x", "y"), ENOENT);
    assert_errno(fs_snapshot_delete(v.fs, "x"), ENOENT);
    name[255] = 0;
    assert_ok(fs_snapshot_create(v.fs, name));
    assert_ok(fs_snapshot_create(v.fs, "\xff\x01\n"));
    assert_ok(fs_snapshot_delete(v.fs, "\xff\x01\n"));
    vol_reopen(&v);
    assert_ok(fs_snapshot_rename(v.fs, name, "c"));
    assert_snapshots(&v, "a,b,c,");
    vol_free(&v);
}

static void test_by_folder(void **state)
{
    (void)state;
    struct vol v;
    struct fs_attr a, root;
    vol_make(&v, 0);
    uint64_t dir = vol_mkdir(&v, ROOT, "dir");
    root = vol_attr(&v, ROOT);
    assert_int_equal(vol_attr(&v, FS_INO_SNAPSHOTS).nlink, 2);
    assert_ok(fs_mkdir(v.fs, FS_INO_SNAPSHOTS, "one", 0700, &vol_cred, &a));
    root.ino = in_snapshot(1, ROOT);
    assert_true(vol_same_attr(&a, &root));
    assert_errno(fs_mkdir(v.fs, FS_INO_SNAPSHOTS, "one", 0700, &vol_cred, &a), EEXIST);
    assert_int_equal(vol_attr(&v, FS_INO_SNAPSHOTS).nlink, 3);
    assert_int_equal(vol_attr(&v, FS_INO_SNAPSHOTS).size, 1);
    assert_true(vol_find(&v, FS_INO_SNAPSHOTS, "one") == in_snapshot(1, ROOT));
    assert_true(vol_find(&v, FS_INO_SNAPSHOTS, "two") == 0);
    assert_ok(fs_rename(v.fs, FS_INO_SNAPSHOTS, "one", FS_INO_SNAPSHOTS, "two", 0));
    assert_true(vol_find(&v, FS_INO_SNAPSHOTS, "two") == in_snapshot(1, ROOT));
    assert_ok(
        fs_rename(v.fs, FS_INO_SNAPSHOTS, "two", FS_INO_SNAPSHOTS, "one", FS_RENAME_NOREPLACE));
    assert_errno(
        fs_rename(v.fs, FS_INO_SNAPSHOTS, "one", FS_INO_SNAPSHOTS, "one", FS_RENAME_EXCHANGE),
        EINVAL);
    assert_errno(fs_rename(v.fs, FS_INO_SNAPSHOTS, "one", dir, "x", 0), EPERM);
    assert_errno(fs_rename(v.fs, ROOT, "dir", FS_INO_SNAPSHOTS, "x", 0), EPERM);
    assert_errno(fs_unlink(v.fs, FS_INO_SNAPSHOTS, "one"), EISDIR);
    assert_errno(fs_mknod(v.fs, FS_INO_SNAPSHOTS, "f", S_IFREG, 0, &vol_cred, &a), EPERM);
    assert_errno(fs_symlink(v.fs, FS_INO_SNAPSHOTS, "f", "t", &vol_cred, &a), EPERM);
    assert_errno(fs_rmdir(v.fs, FS_INO_SNAPSHOTS, "two"), ENOENT);
    assert_ok(fs_rmdir(v.fs, FS_INO_SNAPSHOTS, "one"));
    assert_int_equal(vol_attr(&v, FS_INO_SNAPSHOTS).nlink, 2);
    assert_snapshots(&v, "");
    vol_free(&v);
}

/* ---- what they show ---- */

enum { BIG = 200000 };

static void fill_bytes(uint8_t *data, uint64_t seed)
{
    struct simrng r = {seed};
    for (size_t i = 0; i < BIG; i++)
        data[i] = (uint8_t)simrng_next(&r);
}

struct tree {
    uint64_t dir, file, big, link, second;
    struct fs_attr attr[5];
};

static void make_tree(struct vol *v, struct tree *t)
{
    struct fs_attr a;
    uint8_t *data = malloc(BIG);
    fill_bytes(data, 5);
    t->dir = vol_mkdir(v, ROOT, "dir");
    t->file = vol_text(v, t->dir, "file", "as it was");
    t->big = vol_file(v, t->dir, "big");
    assert_ok(fs_write(v->fs, t->big, 100000, data, BIG));
    t->link = vol_symlink(v, ROOT, "link", "dir/file");
    assert_ok(fs_link(v->fs, t->file, ROOT, "second", &a));
    assert_ok(fs_setxattr(v->fs, t->file, "user.a", "value", 5, 0));
    const uint64_t inos[] = {ROOT, t->dir, t->file, t->big, t->link};
    for (size_t i = 0; i < 5; i++)
        t->attr[i] = vol_attr(v, inos[i]);
    free(data);
}

static void change_everything(struct vol *v, const struct tree *t)
{
    struct fs_attr a, want = {.size = 3};
    assert_ok(fs_write(v->fs, t->file, 0, "changed", 7));
    assert_ok(fs_setattr(v->fs, t->file, FS_SET_SIZE, &want, &a));
    assert_ok(fs_removexattr(v->fs, t->file, "user.a"));
    assert_ok(fs_write(v->fs, t->big, 5, "changed", 7));
    assert_ok(fs_unlink(v->fs, t->dir, "file"));
    assert_ok(fs_unlink(v->fs, ROOT, "second"));
    assert_ok(fs_unlink(v->fs, t->dir, "big"));
    assert_ok(fs_rmdir(v->fs, ROOT, "dir"));
    assert_ok(fs_unlink(v->fs, ROOT, "link"));
    const uint64_t inos[] = {t->dir, t->file, t->big, t->link};
    for (size_t i = 0; i < 4; i++)
        fs_forget(v->fs, inos[i]);
    vol_file(v, ROOT, "dir"); /* another thing of that name */
}

static void assert_tree(struct vol *v, const struct tree *t, uint64_t number)
{
    uint64_t root = in_snapshot(number, ROOT), dir = in_snapshot(number, t->dir);
    uint64_t file = in_snapshot(number, t->file), big = in_snapshot(number, t->big);
    uint8_t *data = malloc(BIG), *got_data = malloc(BIG + 1);
    char text[FS_SYMLINK_MAX + 1];
    size_t got;
    uint64_t found;
    assert_true(vol_find(v, root, "dir") == dir && vol_find(v, dir, "file") == file);
    assert_true(vol_find(v, root, "second") == file && vol_find(v, dir, "big") == big);
    assert_true(vol_find(v, root, FS_CONTROL_NAME) == 0);
    vol_assert_text(v, file, "as it was");
    fill_bytes(data, 5);
    assert_ok(fs_read(v->fs, big, 100000, got_data, BIG + 1, &got));
    assert_slice(slice_of(got_data, got), data, BIG);
    assert_ok(fs_seek_data(v->fs, big, 0, &found));
    assert_int_equal(found, 100000 / (16 << 10) * (16 << 10));
    assert_ok(fs_seek_hole(v->fs, big, 0, &found));
    assert_int_equal(found, 0);
    assert_ok(fs_readlink(v->fs, in_snapshot(number, t->link), text));
    assert_string_equal(text, "dir/file");
    assert_ok(fs_getxattr(v->fs, file, "user.a", text, sizeof text, &got));
    assert_slice_str(slice_of(text, got), "value");
    assert_ok(fs_listxattr(v->fs, file, text, sizeof text, &got));
    assert_slice(slice_of(text, got), "user.a", 7);
    for (size_t i = 0; i < 5; i++) {
        struct fs_attr then = t->attr[i], now;
        then.ino = in_snapshot(number, then.ino);
        now = vol_attr(v, then.ino);
        assert_true(vol_same_attr(&now, &then));
    }
    free(data);
    free(got_data);
}

static void test_show_what_was(void **state)
{
    (void)state;
    struct vol v;
    struct tree t;
    vol_make(&v, 16 << 10);
    make_tree(&v, &t);
    assert_ok(fs_snapshot_create(v.fs, "then"));
    assert_tree(&v, &t, 1);
    change_everything(&v, &t);
    assert_tree(&v, &t, 1);
    vol_settle(&v);
    assert_ok(fs_compact(v.fs));
    assert_tree(&v, &t, 1);
    vol_crash(&v, SIM_KEEP_ALL);
    assert_tree(&v, &t, 1);
    assert_ok(fs_snapshot_create(v.fs, "empty"));
    assert_ok(fs_snapshot_rename(v.fs, "then", "still"));
    vol_crash(&v, SIM_KEEP_SYNCED);
    assert_ok(fs_compact(v.fs));
    assert_tree(&v, &t, 1);
    assert_true(vol_find(&v, in_snapshot(2, ROOT), "link") == 0);
    vol_free(&v);
}

/* What was unlinked but open when the snapshot was made is in it, without a name, and no fault. */
static void test_orphans_in_snapshots(void **state)
{
    (void)state;
    struct vol v;
    vol_make(&v, 0);
    uint64_t f = vol_text(&v, ROOT, "f", "text");
    assert_ok(fs_unlink(v.fs, ROOT, "f"));
    assert_ok(fs_snapshot_create(v.fs, "s"));
    fs_forget(v.fs, f);
    vol_assert_text(&v, in_snapshot(1, f), "text");
    vol_assert_sound(&v);
    vol_crash(&v, SIM_KEEP_ALL);
    vol_free(&v);
}

/* ---- that they cannot be changed ---- */

static void test_read_only(void **state)
{
    (void)state;
    struct vol v;
    struct tree t;
    struct fs_attr a, want = {0};
    vol_make(&v, 16 << 10);
    make_tree(&v, &t);
    assert_ok(fs_snapshot_create(v.fs, "s"));
    uint64_t root = in_snapshot(1, ROOT), dir = in_snapshot(1, t.dir),
             file = in_snapshot(1, t.file);
    assert_errno(fs_mknod(v.fs, root, "x", S_IFREG, 0, &vol_cred, &a), EROFS);
    assert_errno(fs_mkdir(v.fs, dir, "x", 0755, &vol_cred, &a), EROFS);
    assert_errno(fs_symlink(v.fs, dir, "x", "t", &vol_cred, &a), EROFS);
    assert_errno(fs_link(v.fs, t.file, dir, "x", &a), EROFS);
    assert_errno(fs_link(v.fs, file, dir, "x", &a), EROFS);
    assert_errno(fs_link(v.fs, file, ROOT, "x", &a), EXDEV);
    assert_errno(fs_unlink(v.fs, dir, "file"), EROFS);
    assert_errno(fs_rmdir(v.fs, root, "dir"), EROFS);
    assert_errno(fs_rename(v.fs, dir, "file", dir, "x", 0), EROFS);
    assert_errno(fs_rename(v.fs, dir, "file", ROOT, "x", 0), EROFS);
    assert_errno(fs_rename(v.fs, t.dir, "file", dir, "x", 0), EROFS);
    assert_errno(fs_rename(v.fs, root, "dir", FS_INO_SNAPSHOTS, "x", 0), EROFS);
    for (unsigned set = 1; set <= FS_SET_MTIME_NOW; set *= 2)
        assert_errno(fs_setattr(v.fs, file, set, &want, &a), EROFS);
    assert_errno(fs_write(v.fs, file, 0, "x", 1), EROFS);
    assert_errno(fs_write(v.fs, file, 0, "", 0), EROFS);
    assert_errno(fs_setxattr(v.fs, file, "user.b", "x", 1, 0), EROFS);
    assert_errno(fs_removexattr(v.fs, file, "user.a"), EROFS);
    assert_ok(fs_fsync(v.fs, file, false));
    fs_forget(v.fs, file);
    assert_tree(&v, &t, 1);
    vol_free(&v);
}

/* ---- deletion ---- */

static int ignore_entry(void *ctx, const char *name, const struct fs_attr *attr, uint64_t next)
{
    (void)ctx;
    (void)name;
    (void)attr;
    (void)next;
    return 0;
}

static void test_stale_after_deletion(void **state)
{
    (void)state;
    struct vol v;
    struct tree t;
    struct fs_attr a;
    char data[FS_SYMLINK_MAX + 1];
    size_t got;
    uint64_t found;
    vol_make(&v, 16 << 10);
    make_tree(&v, &t);
    assert_ok(fs_snapshot_create(v.fs, "s"));
    assert_ok(fs_snapshot_create(v.fs, "other"));
    assert_ok(fs_snapshot_delete(v.fs, "s"));
    uint64_t root = in_snapshot(1, ROOT), file = in_snapshot(1, t.file);
    assert_errno(fs_getattr(v.fs, root, &a), ESTALE);
    assert_errno(fs_lookup(v.fs, root, "dir", &a), ESTALE);
    assert_errno(fs_read(v.fs, file, 0, data, 1, &got), ESTALE);
    assert_errno(fs_readlink(v.fs, in_snapshot(1, t.link), data), ESTALE);
    assert_errno(fs_readdir(v.fs, root, 0, true, ignore_entry, NULL), ESTALE);
    assert_errno(fs_getxattr(v.fs, file, "user.a", data, 10, &got), ESTALE);
    assert_errno(fs_listxattr(v.fs, file, data, 10, &got), ESTALE);
    assert_errno(fs_seek_data(v.fs, file, 0, &found), ESTALE);
    assert_errno(fs_seek_hole(v.fs, file, 0, &found), ESTALE);
    assert_errno(fs_getattr(v.fs, in_snapshot(FS_SNAPSHOTS_MAX, ROOT), &a), ESTALE);
    assert_tree(&v, &t, 2);
    vol_free(&v);
}

static uint64_t volume_bytes(struct vol *v)
{
    struct fs_stats s;
    vol_settle(v);
    assert_ok(fs_compact(v->fs));
    vol_settle(v);
    assert_ok(fs_get_stats(v->fs, &s));
    return s.volume_bytes;
}

static void test_space_comes_back(void **state)
{
    (void)state;
    struct vol v;
    uint8_t *data = malloc(BIG);
    vol_make(&v, 16 << 10);
    fill_bytes(data, 9);
    uint64_t f = vol_file(&v, ROOT, "f");
    for (uint64_t i = 0; i < 5; i++)
        assert_ok(fs_write(v.fs, f, i * BIG, data, BIG));
    assert_ok(fs_snapshot_create(v.fs, "s"));
    assert_ok(fs_unlink(v.fs, ROOT, "f"));
    fs_forget(v.fs, f);
    assert_true(volume_bytes(&v) > 5 * BIG);
    assert_ok(fs_snapshot_delete(v.fs, "s"));
    assert_true(volume_bytes(&v) < BIG / 4);
    assert_true(simdisk_used_bytes(v.disk) < BIG);
    free(data);
    vol_free(&v);
}

/* ---- numbers ---- */

static uint64_t number_of(struct vol *v, const char *name)
{
    return vol_find(v, FS_INO_SNAPSHOTS, name) >> FS_INO_BITS;
}

/* A number that was freed just now is not given out at once: the kernel may still have the old. */
static void test_numbers_are_not_reused_soon(void **state)
{
    (void)state;
    struct vol v;
    vol_make(&v, 0);
    for (uint64_t i = 1; i <= 20; i++) {
        assert_ok(fs_snapshot_create(v.fs, "s"));
        assert_int_equal(number_of(&v, "s"), i);
        assert_ok(fs_snapshot_delete(v.fs, "s"));
    }
    vol_free(&v);
}

/* The table is filled by hand: making that many would take long. */
static void fill_table(struct vol *v, uint64_t from, uint64_t to)
{
    for (uint64_t n = from; n <= to; n++) {
        const struct snapshot_entry e = {
            .number = n, .seq = 1, .name = mem_printf("no %d", (int)n)};
        snapshot_insert(&v->fs->snapshots, &e);
    }
}

static void empty_table(struct vol *v)
{
    struct snapshot_table *t = &v->fs->snapshots;
    for (size_t i = t->count; i-- > 0;)
        if (strncmp(t->entries[i].name, "no ", 3) == 0)
            free(snapshot_remove(t, i).name);
}

static void test_numbers_go_round(void **state)
{
    (void)state;
    struct vol v;
    vol_make(&v, 0);
    fill_table(&v, 1, 3);
    v.fs->snapshots.last_number = FS_SNAPSHOTS_MAX - 1;
    assert_ok(fs_snapshot_create(v.fs, "a"));
    assert_int_equal(number_of(&v, "a"), FS_SNAPSHOTS_MAX);
    assert_ok(fs_snapshot_create(v.fs, "b"));
    assert_int_equal(number_of(&v, "b"), 4);
    empty_table(&v);
    vol_reopen(&v);
    assert_int_equal(number_of(&v, "a"), FS_SNAPSHOTS_MAX);
    assert_ok(fs_snapshot_create(v.fs, "c")); /* goes on from the youngest */
    assert_int_equal(number_of(&v, "c"), 5);
    vol_free(&v);
}

static void test_no_number_left(void **state)
{
    (void)state;
    struct vol v;
    vol_make(&v, 0);
    fill_table(&v, 1, FS_SNAPSHOTS_MAX);
    assert_errno(fs_snapshot_create(v.fs, "more"), EMLINK);
    assert_errno(fs_snapshot_create(v.fs, "no 5"), EEXIST);
    free(snapshot_remove(&v.fs->snapshots, 776).name);
    assert_ok(fs_snapshot_create(v.fs, "more"));
    assert_int_equal(number_of(&v, "more"), 777);
    empty_table(&v);
    vol_free(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_create_list_rename_delete),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_by_folder),
        cmocka_unit_test(test_show_what_was),
        cmocka_unit_test(test_orphans_in_snapshots),
        cmocka_unit_test(test_read_only),
        cmocka_unit_test(test_stale_after_deletion),
        cmocka_unit_test(test_space_comes_back),
        cmocka_unit_test(test_numbers_are_not_reused_soon),
        cmocka_unit_test(test_numbers_go_round),
        cmocka_unit_test(test_no_number_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
