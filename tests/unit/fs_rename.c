/* rename: every flag and error, link counts, "..", replaced inodes, folders that move, and no
 * circles. */
#include "tests/unit/vol.h"

#define ROOT FS_INO_ROOT

/* What the folder's ".." says. */
static int see_dotdot(void *ctx, const char *name, const struct fs_attr *attr, uint64_t next)
{
    (void)next;
    if (strcmp(name, "..") == 0)
        *(uint64_t *)ctx = attr->ino;
    return 0;
}

static uint64_t parent_of(struct vol *v, uint64_t dir)
{
    uint64_t parent = 0;
    assert_ok(fs_readdir(v->fs, dir, 0, false, see_dotdot, &parent));
    return parent;
}

/* Is the inode gone as soon as nobody uses it? */
static bool is_orphan(struct vol *v, uint64_t ino)
{
    struct fs_attr a;
    if (vol_attr(v, ino).nlink > 0)
        return false;
    fs_forget(v->fs, ino);
    assert_errno(fs_getattr(v->fs, ino, &a), ENOENT);
    return true;
}

/* ---- plain ---- */

static void test_to_a_free_name(void **state)
{
    (void)state;
    struct vol v;
    vol_make(&v, 0);
    uint64_t dir = vol_mkdir(&v, ROOT, "dir"), f = vol_text(&v, ROOT, "a", "text");
    assert_ok(fs_rename(v.fs, ROOT, "a", ROOT, "b", 0));
    assert_true(vol_find(&v, ROOT, "a") == 0 && vol_find(&v, ROOT, "b") == f);
    assert_int_equal(vol_attr(&v, ROOT).size, 2);
    assert_ok(fs_rename(v.fs, ROOT, "b", dir, "c", FS_RENAME_NOREPLACE));
    assert_true(vol_find(&v, ROOT, "b") == 0 && vol_find(&v, dir, "c") == f);
    assert_int_equal(vol_attr(&v, ROOT).size, 1);
    assert_int_equal(vol_attr(&v, dir).size, 1);
    assert_int_equal(vol_attr(&v, f).nlink, 1);
    vol_assert_text(&v, f, "text");
    vol_free(&v);
}

static void test_folder_to_another_folder(void **state)
{
    (void)state;
    struct vol v;
    vol_make(&v, 0);
    uint64_t a = vol_mkdir(&v, ROOT, "a"), b = vol_mkdir(&v, ROOT, "b"), d = vol_mkdir(&v, a, "d");
    vol_file(&v, d, "inside");
    assert_int_equal(vol_attr(&v, a).nlink, 3);
    assert_ok(fs_rename(v.fs, a, "d", b, "e", 0));
    assert_int_equal(vol_attr(&v, a).nlink, 2);
    assert_int_equal(vol_attr(&v, b).nlink, 3);
    assert_int_equal(vol_attr(&v, d).nlink, 2);
    assert_true(parent_of(&v, d) == b);
    assert_ok(fs_rename(v.fs, b, "e", b, "f", 0)); /* within one: nothing of that changes */
    assert_int_equal(vol_attr(&v, b).nlink, 3);
    assert_true(parent_of(&v, d) == b);
    vol_free(&v);
}

static void test_errors(void **state)
{
    (void)state;
    struct vol v;
    vol_make(&v, 0);
    uint64_t dir = vol_mkdir(&v, ROOT, "dir");
    vol_file(&v, ROOT, "file");
    vol_file(&v, dir, "inside");
    vol_mkdir(&v, ROOT, "empty");
    assert_errno(fs_rename(v.fs, ROOT, "nothing", ROOT, "x", 0), ENOENT);
    assert_errno(fs_rename(v.fs, ROOT, "nothing", dir, "inside", 0), ENOENT);
    assert_errno(fs_rename(v.fs, ROOT, "file", 999, "x", 0), ENOENT);
    assert_errno(fs_rename(v.fs, ROOT, "file", ROOT, "dir", 0), EISDIR);
    assert_errno(fs_rename(v.fs, ROOT, "dir", ROOT, "file", 0), ENOTDIR);
    assert_errno(fs_rename(v.fs, ROOT, "empty", ROOT, "dir", 0), ENOTEMPTY);
    assert_errno(fs_rename(v.fs, ROOT, "file", dir, "inside", FS_RENAME_NOREPLACE), EEXIST);
    assert_errno(fs_rename(v.fs, ROOT, "file", ROOT, "dir", FS_RENAME_NOREPLACE), EEXIST);
    assert_errno(fs_rename(v.fs, ROOT, "file", ROOT, "x", FS_RENAME_EXCHANGE), ENOENT);
    assert_errno(fs_rename(v.fs, ROOT, "nothing", ROOT, "file", FS_RENAME_EXCHANGE), ENOENT);
    assert_errno(fs_rename(v.fs, ROOT, "file", ROOT, "x", 3), EINVAL);
    assert_errno(fs_rename(v.fs, ROOT, "file", ROOT, "x", 4), EINVAL); /* RENAME_WHITEOUT */
    assert_int_equal(vol_attr(&v, ROOT).size, 3);
    vol_free(&v);
}

/* ---- replacing ---- */

static void test_replace_a_file(void **state)
{
    (void)state;
    struct vol v;
    struct fs_attr a;
    vol_make(&v, 0);
    uint64_t dir = vol_mkdir(&v, ROOT, "dir");
    uint64_t old = vol_text(&v, dir, "name", "old"), new = vol_text(&v, ROOT, "tmp", "new");
    assert_ok(fs_link(v.fs, old, ROOT, "second name", &a));
    assert_ok(fs_rename(v.fs, ROOT, "tmp", dir, "name", 0));
    assert_true(vol_find(&v, dir, "name") == new &&vol_find(&v, ROOT, "tmp") == 0);
    assert_int_equal(vol_attr(&v, old).nlink, 1);
    assert_int_equal(vol_attr(&v, dir).size, 1);
    uint64_t third = vol_text(&v, dir, "tmp", "third");
    assert_ok(fs_rename(v.fs, dir, "tmp", dir, "name", 0));
    assert_true(vol_find(&v, dir, "name") == third);
    assert_int_equal(vol_attr(&v, dir).size, 1);
    vol_assert_text(&v, new, "new"); /* still there for who has it open */
    assert_true(is_orphan(&v, new));
    assert_true(!is_orphan(&v, old));
    vol_free(&v);
}

static void test_replace_an_empty_folder(void **state)
{
    (void)state;
    struct vol v;
    vol_make(&v, 0);
    uint64_t a = vol_mkdir(&v, ROOT, "a"), b = vol_mkdir(&v, ROOT, "b");
    uint64_t from = vol_mkdir(&v, a, "from"), to = vol_mkdir(&v, b, "to");
    vol_file(&v, from, "inside");
    assert_ok(fs_rename(v.fs, a, "from", b, "to", 0));
    assert_true(vol_find(&v, b, "to") == from && parent_of(&v, from) == b);
    assert_int_equal(vol_attr(&v, a).nlink, 2);
    assert_int_equal(vol_attr(&v, b).nlink, 3);
    assert_true(is_orphan(&v, to));
    to = vol_mkdir(&v, b, "beside");
    assert_int_equal(vol_attr(&v, b).nlink, 4);
    assert_ok(fs_rename(v.fs, b, "to", b, "beside", 0)); /* in one folder */
    assert_int_equal(vol_attr(&v, b).nlink, 3);
    assert_int_equal(vol_attr(&v, b).size, 1);
    assert_true(is_orphan(&v, to));
    vol_free(&v);
}

static void test_onto_itself(void **state)
{
    (void)state;
    struct vol v;
    struct fs_attr a, before;
    vol_make(&v, 0);
    uint64_t dir = vol_mkdir(&v, ROOT, "dir"), f = vol_file(&v, dir, "f");
    assert_ok(fs_link(v.fs, f, ROOT, "g", &a));
    before = vol_attr(&v, f);
    assert_ok(fs_rename(v.fs, dir, "f", dir, "f", 0));
    assert_ok(fs_rename(v.fs, dir, "f", ROOT, "g", 0)); /* two names of one file: both stay */
    assert_ok(fs_rename(v.fs, dir, "f", ROOT, "g", FS_RENAME_EXCHANGE));
    assert_ok(fs_rename(v.fs, ROOT, "dir", ROOT, "dir", 0)); /* though it is not empty */
    assert_ok(fs_rename(v.fs, ROOT, "dir", ROOT, "dir", FS_RENAME_EXCHANGE));
    assert_errno(fs_rename(v.fs, dir, "f", ROOT, "g", FS_RENAME_NOREPLACE), EEXIST);
    assert_errno(fs_rename(v.fs, ROOT, "dir", ROOT, "dir", FS_RENAME_NOREPLACE), EEXIST);
    assert_true(vol_find(&v, dir, "f") == f && vol_find(&v, ROOT, "g") == f);
    a = vol_attr(&v, f);
    assert_true(vol_same_attr(&a, &before));
    vol_free(&v);
}

/* ---- exchanging ---- */

static void test_exchange_files(void **state)
{
    (void)state;
    struct vol v;
    vol_make(&v, 0);
    uint64_t dir = vol_mkdir(&v, ROOT, "dir");
    uint64_t a = vol_text(&v, ROOT, "a", "A"), b = vol_text(&v, dir, "b", "B");
    assert_ok(fs_rename(v.fs, ROOT, "a", dir, "b", FS_RENAME_EXCHANGE));
    assert_true(vol_find(&v, ROOT, "a") == b && vol_find(&v, dir, "b") == a);
    assert_int_equal(vol_attr(&v, a).nlink, 1);
    assert_int_equal(vol_attr(&v, dir).size, 1);
    vol_free(&v);
}

static void test_exchange_folder_and_file(void **state)
{
    (void)state;
    struct vol v;
    vol_make(&v, 0);
    uint64_t p = vol_mkdir(&v, ROOT, "p"), q = vol_mkdir(&v, ROOT, "q");
    uint64_t d = vol_mkdir(&v, p, "d"), f = vol_symlink(&v, q, "f", "target");
    vol_file(&v, d, "inside");
    assert_ok(fs_rename(v.fs, p, "d", q, "f", FS_RENAME_EXCHANGE));
    assert_true(vol_find(&v, p, "d") == f && vol_find(&v, q, "f") == d);
    assert_int_equal(vol_attr(&v, p).nlink, 2);
    assert_int_equal(vol_attr(&v, q).nlink, 3);
    assert_true(parent_of(&v, d) == q);
    assert_ok(fs_rename(v.fs, p, "d", q, "f", FS_RENAME_EXCHANGE)); /* the file first */
    assert_int_equal(vol_attr(&v, p).nlink, 3);
    assert_int_equal(vol_attr(&v, q).nlink, 2);
    assert_true(parent_of(&v, d) == p);
    vol_free(&v);
}

static void test_exchange_folders(void **state)
{
    (void)state;
    struct vol v;
    vol_make(&v, 0);
    uint64_t p = vol_mkdir(&v, ROOT, "p"), q = vol_mkdir(&v, ROOT, "q");
    uint64_t a = vol_mkdir(&v, p, "a"), b = vol_mkdir(&v, q, "b");
    vol_file(&v, a, "inside");
    vol_file(&v, b, "inside");
    assert_ok(fs_rename(v.fs, p, "a", q, "b", FS_RENAME_EXCHANGE));
    assert_true(vol_find(&v, p, "a") == b && vol_find(&v, q, "b") == a);
    assert_true(parent_of(&v, a) == q && parent_of(&v, b) == p);
    assert_int_equal(vol_attr(&v, p).nlink, 3);
    assert_int_equal(vol_attr(&v, q).nlink, 3);
    assert_ok(fs_rename(v.fs, ROOT, "p", ROOT, "q", FS_RENAME_EXCHANGE));
    assert_true(vol_find(&v, ROOT, "p") == q && parent_of(&v, q) == ROOT);
    vol_free(&v);
}

/* ---- files that are not ready ---- */

struct asked {
    uint64_t not_ready, asked[8];
    int count;
};

static bool is_ready(void *ctx, uint64_t ino)
{
    struct asked *a = ctx;
    assert_true(a->count < 8);
    a->asked[a->count++] = ino;
    return ino != a->not_ready;
}

/* The result; who was asked is in `a`. */
static int rename_asking(struct vol *v, const char *from, const char *to, unsigned flags,
                         uint64_t not_ready, struct asked *a)
{
    const struct fs_rename_how how = {.flags = flags, .ready = is_ready, .ready_ctx = a};
    *a = (struct asked){.not_ready = not_ready};
    return fs_rename_with(v->fs, ROOT, from, ROOT, to, &how);
}

static void test_asks_before_it_replaces(void **state)
{
    (void)state;
    struct vol v;
    struct asked a;
    vol_make(&v, 0);
    uint64_t f = vol_text(&v, ROOT, "f", "F"), g = vol_text(&v, ROOT, "g", "G");
    assert_errno(rename_asking(&v, "f", "g", 0, f, &a), EAGAIN);
    assert_true(a.count == 1 && a.asked[0] == f);
    assert_true(vol_find(&v, ROOT, "f") == f && vol_find(&v, ROOT, "g") == g);
    assert_errno(rename_asking(&v, "f", "g", FS_RENAME_EXCHANGE, f, &a), EAGAIN);
    assert_errno(rename_asking(&v, "f", "g", FS_RENAME_EXCHANGE, g, &a), EAGAIN);
    assert_true(vol_find(&v, ROOT, "f") == f && vol_find(&v, ROOT, "g") == g);
    assert_ok(rename_asking(&v, "f", "g", FS_RENAME_EXCHANGE, 0, &a));
    assert_int_equal(a.count, 2);
    assert_true(vol_find(&v, ROOT, "f") == g && vol_find(&v, ROOT, "g") == f);
    /* What is replaced is of no interest. */
    assert_ok(rename_asking(&v, "f", "g", 0, f, &a));
    assert_true(a.count == 1 && a.asked[0] == g && vol_find(&v, ROOT, "g") == g);
    vol_free(&v);
}

/* Nobody is asked of what replaces nothing, has no contents, or fails anyway. */
static void test_asks_no_more_than_that(void **state)
{
    (void)state;
    struct vol v;
    struct asked a;
    vol_make(&v, 0);
    uint64_t f = vol_text(&v, ROOT, "f", "F");
    vol_text(&v, ROOT, "g", "G");
    vol_mkdir(&v, ROOT, "d");
    vol_symlink(&v, ROOT, "s", "target");
    assert_ok(rename_asking(&v, "f", "free", 0, f, &a));
    assert_int_equal(a.count, 0);
    assert_errno(rename_asking(&v, "free", "g", FS_RENAME_NOREPLACE, f, &a), EEXIST);
    assert_errno(rename_asking(&v, "free", "d", 0, f, &a), EISDIR);
    assert_ok(rename_asking(&v, "free", "free", 0, f, &a));
    assert_int_equal(a.count, 0);
    assert_ok(rename_asking(&v, "s", "g", 0, vol_find(&v, ROOT, "s"), &a));
    assert_int_equal(a.count, 0);
    vol_free(&v);
}

/* ---- circles ---- */

static void test_no_circles(void **state)
{
    (void)state;
    struct vol v;
    vol_make(&v, 0);
    uint64_t a = vol_mkdir(&v, ROOT, "a"), b = vol_mkdir(&v, a, "b"), c = vol_mkdir(&v, b, "c");
    vol_mkdir(&v, ROOT, "z");
    vol_mkdir(&v, c, "empty");
    assert_errno(fs_rename(v.fs, ROOT, "a", a, "x", 0), EINVAL);
    assert_errno(fs_rename(v.fs, ROOT, "a", c, "x", 0), EINVAL);
    assert_errno(fs_rename(v.fs, ROOT, "a", c, "empty", 0), EINVAL);
    assert_errno(fs_rename(v.fs, a, "b", c, "x", FS_RENAME_NOREPLACE), EINVAL);
    assert_errno(fs_rename(v.fs, ROOT, "a", b, "c", FS_RENAME_EXCHANGE), EINVAL);
    assert_errno(fs_rename(v.fs, b, "c", ROOT, "a", FS_RENAME_EXCHANGE), EINVAL);
    assert_errno(fs_rename(v.fs, b, "c", ROOT, "a", 0), ENOTEMPTY); /* onto what it is in */
    assert_ok(fs_rename(v.fs, b, "c", ROOT, "z", FS_RENAME_EXCHANGE));
    assert_ok(fs_rename(v.fs, ROOT, "a", c, "a", 0)); /* the other way round is fine now */
    assert_true(vol_find(&v, vol_find(&v, ROOT, "z"), "a") == a);
    vol_free(&v);
}

/* ---- power ---- */

static void test_survives_reopen(void **state)
{
    (void)state;
    struct vol v;
    vol_make(&v, 0);
    uint64_t dir = vol_mkdir(&v, ROOT, "dir"), f = vol_text(&v, ROOT, "a", "A");
    uint64_t g = vol_text(&v, dir, "b", "B");
    assert_ok(fs_rename(v.fs, ROOT, "a", dir, "b", 0));
    vol_crash(&v, SIM_KEEP_ALL);
    struct fs_attr a;
    assert_true(vol_find(&v, dir, "b") == f && vol_find(&v, ROOT, "a") == 0);
    assert_errno(fs_getattr(v.fs, g, &a), ENOENT); /* the replaced one was swept */
    vol_free(&v);
}

/* ---- whiteouts ---- */

static void assert_whiteout(struct vol *v, uint64_t dir, const char *name)
{
    struct fs_attr a;
    assert_ok(fs_lookup(v->fs, dir, name, &a));
    assert_int_equal(a.mode, S_IFCHR);
    assert_true(a.rdev == 0 && a.nlink == 1 && a.size == 0);
    assert_int_equal(a.uid, vol_cred.uid);
}

static int whiteout(struct vol *v, uint64_t dir, const char *name, uint64_t new_dir,
                    const char *new_name, unsigned flags)
{
    const struct fs_rename_how how = {.flags = flags, .whiteout = &vol_cred};
    return fs_rename_with(v->fs, dir, name, new_dir, new_name, &how);
}

static void test_leaves_a_whiteout(void **state)
{
    (void)state;
    struct vol v;
    vol_make(&v, 0);
    uint64_t a = vol_mkdir(&v, ROOT, "a"), b = vol_mkdir(&v, ROOT, "b"), d = vol_mkdir(&v, a, "d");
    uint64_t f = vol_text(&v, a, "f", "text"), gone = vol_text(&v, b, "there", "other");
    assert_ok(whiteout(&v, a, "f", a, "g", 0));
    assert_whiteout(&v, a, "f");
    assert_true(vol_find(&v, a, "g") == f);
    assert_int_equal(vol_attr(&v, a).size, 3);
    assert_ok(whiteout(&v, a, "g", b, "there", 0));
    assert_whiteout(&v, a, "g");
    assert_true(vol_find(&v, b, "there") == f && is_orphan(&v, gone));
    assert_ok(whiteout(&v, a, "d", b, "d", FS_RENAME_NOREPLACE));
    assert_whiteout(&v, a, "d");
    assert_true(parent_of(&v, d) == b);
    assert_int_equal(vol_attr(&v, a).nlink, 2);
    assert_int_equal(vol_attr(&v, b).nlink, 3);
    /* One goes over another, and away like anything else. */
    assert_ok(whiteout(&v, a, "f", a, "g", 0));
    assert_whiteout(&v, a, "f");
    assert_whiteout(&v, a, "g");
    assert_ok(fs_unlink(v.fs, a, "f"));
    vol_reopen(&v);
    assert_whiteout(&v, a, "d");
    vol_free(&v);
}

static void test_whiteout_errors(void **state)
{
    (void)state;
    struct vol v;
    struct fs_attr attr;
    vol_make(&v, 0);
    uint64_t f = vol_file(&v, ROOT, "f"), g = vol_file(&v, ROOT, "g");
    struct fs_stats before, after;
    assert_ok(fs_get_stats(v.fs, &before));
    assert_errno(whiteout(&v, ROOT, "f", ROOT, "g", FS_RENAME_EXCHANGE), EINVAL);
    assert_errno(whiteout(&v, ROOT, "f", ROOT, "g", FS_RENAME_NOREPLACE), EEXIST);
    assert_errno(whiteout(&v, ROOT, "f", ROOT, "h", 8), EINVAL);
    assert_errno(whiteout(&v, ROOT, "missing", ROOT, "h", 0), ENOENT);
    assert_errno(fs_rename(v.fs, ROOT, "f", ROOT, "h", 4), EINVAL); /* whose would it be? */
    assert_errno(whiteout(&v, FS_INO_SNAPSHOTS, "f", FS_INO_SNAPSHOTS, "h", 0), EPERM);
    assert_ok(fs_link(v.fs, f, ROOT, "same", &attr));
    assert_ok(whiteout(&v, ROOT, "f", ROOT, "same", 0)); /* nothing moves */
    assert_true(vol_find(&v, ROOT, "f") == f && vol_find(&v, ROOT, "g") == g);
    assert_ok(fs_get_stats(v.fs, &after));
    assert_int_equal(after.inodes, before.inodes);
    vol_free(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_to_a_free_name),
        cmocka_unit_test(test_folder_to_another_folder),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_replace_a_file),
        cmocka_unit_test(test_replace_an_empty_folder),
        cmocka_unit_test(test_onto_itself),
        cmocka_unit_test(test_exchange_files),
        cmocka_unit_test(test_exchange_folder_and_file),
        cmocka_unit_test(test_exchange_folders),
        cmocka_unit_test(test_asks_before_it_replaces),
        cmocka_unit_test(test_asks_no_more_than_that),
        cmocka_unit_test(test_no_circles),
        cmocka_unit_test(test_survives_reopen),
        cmocka_unit_test(test_leaves_a_whiteout),
        cmocka_unit_test(test_whiteout_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
