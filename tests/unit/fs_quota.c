/* Limits of folders: what counts, what is refused, what a crash leaves; and the verifier, which
 * counts again after each test. */
#include "tests/unit/vol_site.h"

enum { LIMIT = 10 * CHUNK };
static const uint8_t zeros[LIMIT + CHUNK];

static void limit(struct vol *v, uint64_t dir, uint64_t bytes)
{
    assert_ok(fs_set_quota(v->fs, dir, bytes));
}

/* What `ino` counts towards is the limit of `folder`, of which so much is used. */
static void assert_used(struct vol *v, uint64_t ino, uint64_t folder, uint64_t bytes,
                        uint64_t inodes)
{
    struct fs_quota q;
    assert_ok(fs_get_quota(v->fs, ino, &q));
    assert_int_equal(q.folder, folder);
    assert_int_equal(q.used_bytes, bytes);
    assert_int_equal(q.inodes, inodes);
}

static int write_bytes(struct vol *v, uint64_t ino, uint64_t offset, size_t len)
{
    assert_true(len <= sizeof zeros);
    return fs_write(v->fs, ino, offset, zeros, len);
}

static int resize(struct vol *v, uint64_t ino, uint64_t size)
{
    struct fs_attr want = {.size = size}, got;
    return fs_setattr(v->fs, ino, FS_SET_SIZE, &want, &got);
}

static int move(struct vol *v, uint64_t from, const char *name, uint64_t to, const char *new_name)
{
    return fs_rename(v->fs, from, name, to, new_name, 0);
}

static void discard(struct vol *v, uint64_t dir, const char *name, uint64_t ino)
{
    assert_ok(fs_unlink(v->fs, dir, name));
    fs_forget(v->fs, ino);
}

static void assert_nothing_worse_than_notes(struct vol *v)
{
    struct vol_findings list;
    struct fs_check_report report;
    struct simdisk *d = simdisk_clone(v->disk);
    assert_ok(vol_check_disk(d, &list, &report));
    if (report.damages)
        fail_msg("the verifier says:\n%s", list.text);
    simdisk_free(d);
}

/* ---- what counts ---- */

static void test_none_by_default(void **state)
{
    (void)state;
    struct vol v;
    struct fs_quota q;
    struct fs_space s;
    vol_make(&v, CHUNK);
    uint64_t f = vol_file(&v, ROOT, "f");
    assert_absent(fs_get_quota(v.fs, f, &q));
    assert_absent(fs_get_quota(v.fs, ROOT, &q));
    assert_absent(fs_get_quota(v.fs, FS_INO_CONTROL, &q));
    assert_ok(fs_get_space(v.fs, f, &s));
    assert_true(s.total_bytes > 0 && s.free_bytes <= s.total_bytes);
    assert_int_equal(s.inodes, 2);
    vol_free(&v);
}

static void test_counts_what_stat_tells(void **state)
{
    (void)state;
    struct vol v;
    vol_make(&v, CHUNK);
    uint64_t d = vol_mkdir(&v, ROOT, "d");
    limit(&v, d, LIMIT);
    assert_used(&v, d, d, 0, 1);
    uint64_t sub = vol_mkdir(&v, d, "sub"), f = vol_text(&v, sub, "f", "12345");
    assert_used(&v, f, d, 5, 3);
    vol_symlink(&v, sub, "link", "1234567");
    assert_used(&v, sub, d, 12, 4);
    /* With holes a file takes what its chunks could hold. */
    assert_ok(write_bytes(&v, f, 4 * CHUNK, 1));
    assert_int_equal(vol_attr(&v, f).blocks, 2 * CHUNK / 512);
    assert_used(&v, d, d, 7 + 2 * CHUNK, 4);
    assert_ok(resize(&v, f, 3));
    assert_used(&v, d, d, 10, 4);
    assert_ok(resize(&v, f, CHUNK * 100));
    assert_used(&v, d, d, 7 + CHUNK, 4);
    discard(&v, sub, "f", f);
    assert_used(&v, d, d, 7, 3);
    vol_reopen(&v);
    assert_used(&v, d, d, 7, 3);
    vol_free(&v);
}

static void test_refused_beyond(void **state)
{
    (void)state;
    struct vol v;
    struct fs_space s;
    vol_make(&v, CHUNK);
    uint64_t d = vol_mkdir(&v, ROOT, "d"), f = vol_file(&v, d, "f");
    limit(&v, d, LIMIT);
    assert_ok(write_bytes(&v, f, 0, LIMIT));
    assert_errno(write_bytes(&v, f, LIMIT, 1), EDQUOT);
    assert_int_equal(vol_attr(&v, f).size, LIMIT); /* nothing half applied */
    assert_ok(write_bytes(&v, f, 100, CHUNK));     /* adds nothing */
    uint64_t g = vol_file(&v, d, "g");             /* nor does an empty file */
    assert_errno(write_bytes(&v, g, 0, 1), EDQUOT);
    assert_errno(fs_symlink(v.fs, d, "link", "x", &vol_cred, &(struct fs_attr){0}), EDQUOT);
    assert_int_equal(vol_find(&v, d, "link"), 0);
    assert_ok(fs_get_space(v.fs, d, &s));
    assert_int_equal(s.total_bytes, LIMIT);
    assert_int_equal(s.free_bytes, 0);
    assert_int_equal(s.inodes, 3);
    assert_ok(resize(&v, f, LIMIT - 10));
    assert_errno(write_bytes(&v, g, 0, 11), EDQUOT);
    assert_ok(write_bytes(&v, g, 0, 10));
    assert_used(&v, d, d, LIMIT, 3);
    /* Elsewhere there is room. */
    uint64_t h = vol_file(&v, ROOT, "h");
    assert_ok(write_bytes(&v, h, 0, LIMIT));
    discard(&v, d, "f", f);
    assert_ok(write_bytes(&v, g, 10, CHUNK));
    vol_free(&v);
}

static void test_changing_a_limit(void **state)
{
    (void)state;
    struct vol v;
    struct fs_space s;
    vol_make(&v, CHUNK);
    uint64_t d = vol_mkdir(&v, ROOT, "d"), f = vol_file(&v, d, "f");
    limit(&v, d, LIMIT);
    assert_ok(write_bytes(&v, f, 0, LIMIT));
    limit(&v, d, CHUNK); /* below what is used */
    assert_ok(fs_get_space(v.fs, d, &s));
    assert_int_equal(s.total_bytes, CHUNK);
    assert_int_equal(s.free_bytes, 0);
    assert_errno(write_bytes(&v, f, LIMIT, 1), EDQUOT);
    assert_ok(resize(&v, f, LIMIT / 2)); /* still above, and deleting goes */
    assert_errno(write_bytes(&v, f, LIMIT / 2, 1), EDQUOT);
    assert_ok(resize(&v, f, LIMIT * 2)); /* a hole */
    assert_ok(resize(&v, f, LIMIT / 2));
    limit(&v, d, 0);
    assert_ok(write_bytes(&v, f, 0, LIMIT + 1));
    assert_used(&v, d, d, LIMIT + 1, 2);
    vol_reopen(&v);
    assert_used(&v, d, d, LIMIT + 1, 2);
    limit(&v, d, LIMIT + 2);
    assert_errno(write_bytes(&v, f, LIMIT + 1, 2), EDQUOT);
    assert_errno(fs_set_quota(v.fs, d, FS_QUOTA_MAX + 1), ERANGE);
    assert_errno(fs_set_quota(v.fs, f, LIMIT), ENOTDIR);
    assert_errno(fs_set_quota(v.fs, UNUSED_INO, LIMIT), ENOENT);
    assert_errno(fs_set_quota(v.fs, FS_INO_CONTROL, LIMIT), EPERM);
    vol_free(&v);
}

/* Room that is asked for is not set aside, but what has none is refused. */
static void test_fallocate(void **state)
{
    (void)state;
    struct vol v;
    vol_make(&v, CHUNK);
    uint64_t d = vol_mkdir(&v, ROOT, "d"), f = vol_file(&v, d, "f");
    limit(&v, d, LIMIT);
    assert_errno(fs_fallocate(v.fs, f, 0, 0, LIMIT + 1), EDQUOT);
    assert_int_equal(vol_attr(&v, f).size, 0);
    assert_ok(fs_fallocate(v.fs, f, 0, 0, LIMIT));
    assert_used(&v, d, d, 0, 2);
    assert_ok(write_bytes(&v, f, 0, LIMIT / 2));
    assert_errno(fs_fallocate(v.fs, f, 0, 0, LIMIT * 2), EDQUOT);
    assert_ok(fs_fallocate(v.fs, f, FS_FALLOCATE_PUNCH_HOLE | FS_FALLOCATE_KEEP_SIZE, 0, CHUNK));
    assert_used(&v, d, d, LIMIT / 2 - CHUNK, 2);
    vol_free(&v);
}

static void test_copies(void **state)
{
    (void)state;
    struct vol v;
    uint64_t copied;
    vol_make(&v, CHUNK);
    uint64_t d = vol_mkdir(&v, ROOT, "d"), f = vol_file(&v, d, "f"), g = vol_file(&v, ROOT, "g");
    limit(&v, d, LIMIT);
    assert_ok(write_bytes(&v, g, 0, LIMIT + CHUNK));
    assert_errno(fs_copy(v.fs, g, 0, f, 0, LIMIT + CHUNK, &copied), EDQUOT);
    assert_int_equal(copied, 0);
    assert_used(&v, d, d, 0, 2);
    assert_ok(fs_copy(v.fs, g, 0, f, 0, LIMIT, &copied));
    assert_used(&v, d, d, LIMIT, 2);
    vol_free(&v);
}

/* ---- names ---- */

/* It counts where it was made until it gets a name, and then where that is. */
static void test_files_without_a_name(void **state)
{
    (void)state;
    struct vol v;
    struct fs_attr a;
    vol_make(&v, CHUNK);
    uint64_t d = vol_mkdir(&v, ROOT, "d"), e = vol_mkdir(&v, ROOT, "e");
    limit(&v, d, LIMIT);
    limit(&v, e, 4);
    assert_ok(fs_tmpfile(v.fs, d, 0600, true, &vol_cred, &a));
    assert_used(&v, a.ino, d, 0, 2);
    assert_ok(write_bytes(&v, a.ino, 0, 5));
    assert_errno(fs_link(v.fs, a.ino, e, "f", &a), EDQUOT);
    assert_used(&v, d, d, 5, 2);
    assert_ok(fs_link(v.fs, a.ino, ROOT, "f", &a));
    assert_used(&v, d, d, 0, 1);
    assert_ok(fs_tmpfile(v.fs, ROOT, 0600, true, &vol_cred, &a));
    assert_ok(write_bytes(&v, a.ino, 0, 4));
    assert_ok(fs_link(v.fs, a.ino, e, "f", &a));
    assert_used(&v, a.ino, e, 4, 2);
    vol_free(&v);
}

static void test_renames(void **state)
{
    (void)state;
    struct vol v;
    struct fs_attr a;
    vol_make(&v, CHUNK);
    uint64_t d = vol_mkdir(&v, ROOT, "d"), e = vol_mkdir(&v, ROOT, "e");
    limit(&v, d, LIMIT);
    uint64_t small = vol_text(&v, ROOT, "small", "12345"), big = vol_file(&v, ROOT, "big");
    assert_ok(write_bytes(&v, big, 0, LIMIT));
    /* Files are counted along, as far as the limit lets them. */
    assert_ok(move(&v, ROOT, "small", d, "small"));
    assert_used(&v, small, d, 5, 2);
    assert_errno(move(&v, ROOT, "big", d, "big"), EDQUOT);
    assert_int_equal(vol_find(&v, ROOT, "big"), big);
    assert_ok(move(&v, d, "small", e, "small"));
    assert_used(&v, d, d, 0, 1);
    assert_absent(fs_get_quota(v.fs, small, &(struct fs_quota){0}));
    /* Folders that are empty, too; others would have to take along what is in them. */
    assert_ok(move(&v, ROOT, "e", d, "e") == -EXDEV ? 0 : -1);
    discard(&v, e, "small", small);
    assert_ok(move(&v, ROOT, "e", d, "e"));
    assert_used(&v, e, d, 0, 2);
    uint64_t in = vol_text(&v, e, "in", "123");
    assert_errno(move(&v, d, "e", ROOT, "e"), EXDEV);
    assert_ok(move(&v, d, "e", d, "e2"));
    /* Several names: it counts where it did when it leaves, and cannot come in. */
    assert_ok(fs_link(v.fs, in, d, "in2", &a));
    assert_ok(fs_link(v.fs, in, ROOT, "in3", &a));
    assert_ok(move(&v, d, "in2", ROOT, "in2"));
    assert_used(&v, in, d, 3, 3);
    assert_errno(fs_link(v.fs, big, d, "big", &a), EXDEV);
    assert_ok(fs_link(v.fs, big, ROOT, "big2", &a));
    assert_errno(move(&v, ROOT, "big", d, "big"), EXDEV);
    assert_ok(fs_unlink(v.fs, ROOT, "big2"));
    assert_ok(fs_unlink(v.fs, ROOT, "in3"));
    assert_ok(move(&v, ROOT, "in2", d, "in2")); /* it has counted there all the time */
    assert_ok(fs_unlink(v.fs, d, "in2"));
    assert_ok(move(&v, e, "in", d, "in"));
    assert_used(&v, d, d, 3, 3);
    /* An exchange counts both. */
    uint64_t one = vol_text(&v, d, "one", "1"), two = vol_text(&v, ROOT, "two", "22");
    assert_ok(fs_rename(v.fs, d, "one", ROOT, "two", FS_RENAME_EXCHANGE));
    assert_used(&v, two, d, 5, 4);
    assert_absent(fs_get_quota(v.fs, one, &(struct fs_quota){0}));
    assert_errno(fs_rename(v.fs, ROOT, "big", d, "one", FS_RENAME_EXCHANGE), EDQUOT);
    vol_text(&v, e, "in4", "");
    assert_errno(fs_rename(v.fs, ROOT, "big", d, "e2", FS_RENAME_EXCHANGE), EXDEV);
    /* A folder with a limit of its own goes where it wants, with all that is in it. */
    uint64_t f = vol_mkdir(&v, ROOT, "f");
    assert_ok(move(&v, ROOT, "d", f, "d"));
    assert_used(&v, d, d, 5, 5);
    vol_reopen(&v);
    assert_used(&v, d, d, 5, 5);
    vol_free(&v);
}

static void test_replacing(void **state)
{
    (void)state;
    struct vol v;
    vol_make(&v, CHUNK);
    uint64_t d = vol_mkdir(&v, ROOT, "d"), f = vol_text(&v, d, "f", "1234567890");
    limit(&v, d, 15);
    uint64_t t = vol_text(&v, d, "t", "12345");
    assert_ok(move(&v, d, "t", d, "f"));
    assert_used(&v, d, d, 15, 3); /* what was replaced may be open still */
    fs_forget(v.fs, f);
    assert_used(&v, t, d, 5, 2);
    vol_free(&v);
}

static void test_limit_within_a_limit(void **state)
{
    (void)state;
    struct vol v;
    vol_make(&v, CHUNK);
    uint64_t outer = vol_mkdir(&v, ROOT, "outer");
    limit(&v, outer, 100);
    uint64_t inner = vol_mkdir(&v, outer, "inner");
    assert_used(&v, outer, outer, 0, 2);
    limit(&v, inner, 1000);
    assert_used(&v, outer, outer, 0, 1);
    uint64_t f = vol_file(&v, inner, "f");
    assert_ok(write_bytes(&v, f, 0, 1000)); /* counts there alone */
    assert_used(&v, f, inner, 1000, 2);
    assert_used(&v, outer, outer, 0, 1);
    assert_errno(move(&v, inner, "f", outer, "f"), EDQUOT);
    assert_ok(resize(&v, f, 100));
    assert_ok(move(&v, inner, "f", outer, "f"));
    assert_used(&v, f, outer, 100, 2);
    assert_used(&v, inner, inner, 0, 1);
    vol_free(&v);
}

static void test_the_root_may_have_one(void **state)
{
    (void)state;
    struct vol v;
    vol_make(&v, CHUNK);
    uint64_t d = vol_mkdir(&v, ROOT, "d"), f = vol_text(&v, d, "f", "12345");
    limit(&v, ROOT, CHUNK);
    assert_used(&v, f, ROOT, 5, 3);
    assert_errno(write_bytes(&v, f, 0, CHUNK + 1), EDQUOT);
    limit(&v, d, 5);
    assert_used(&v, f, d, 5, 2);
    assert_used(&v, ROOT, ROOT, 0, 1);
    vol_free(&v);
}

/* ---- the end of a folder ---- */

static void assert_no_records(struct vol *v, uint64_t folder)
{
    struct raw r;
    raw_begin(&r, v);
    assert_false(raw_has(&r, key_quota(folder)));
    assert_false(raw_has(&r, key_quota_used(folder)));
    raw_end(&r);
    vol_open(v);
}

static void test_goes_with_its_folder(void **state)
{
    (void)state;
    struct vol v;
    vol_make(&v, CHUNK);
    uint64_t d = vol_mkdir(&v, ROOT, "d");
    limit(&v, d, LIMIT);
    assert_ok(fs_rmdir(v.fs, ROOT, "d"));
    assert_used(&v, d, d, 0, 1);
    assert_errno(fs_set_quota(v.fs, d, LIMIT), ENOENT);
    vol_assert_sound_but(&v, FINDING_ORPHAN_NOTE);
    fs_forget(v.fs, d);
    assert_no_records(&v, d);
    vol_free(&v);
}

/* A file that is open may outlive the folder that it counted towards. */
static void test_orphan_outlives_the_folder(void **state)
{
    (void)state;
    struct vol v;
    vol_make(&v, CHUNK);
    uint64_t d = vol_mkdir(&v, ROOT, "d");
    limit(&v, d, LIMIT);
    uint64_t f = vol_text(&v, d, "f", "12345");
    assert_ok(fs_unlink(v.fs, d, "f"));
    assert_used(&v, f, d, 5, 2);
    assert_errno(write_bytes(&v, f, 0, LIMIT + 1), EDQUOT);
    assert_ok(fs_rmdir(v.fs, ROOT, "d"));
    fs_forget(v.fs, d);
    assert_absent(fs_get_quota(v.fs, f, &(struct fs_quota){0}));
    assert_ok(write_bytes(&v, f, 0, LIMIT + 1));
    vol_assert_sound_but(&v, FINDING_ORPHAN_NOTE);
    fs_forget(v.fs, f);
    assert_no_records(&v, d);
    vol_free(&v);
}

static void test_name_outlives_the_folder(void **state)
{
    (void)state;
    struct vol v;
    struct fs_attr a;
    vol_make(&v, CHUNK);
    uint64_t d = vol_mkdir(&v, ROOT, "d"), f = vol_text(&v, d, "f", "12345");
    assert_ok(fs_link(v.fs, f, ROOT, "f", &a));
    limit(&v, d, LIMIT);
    assert_used(&v, f, d, 5, 2);
    assert_ok(fs_unlink(v.fs, d, "f"));
    assert_ok(fs_rmdir(v.fs, ROOT, "d"));
    fs_forget(v.fs, d);
    vol_assert_sound(&v);
    assert_absent(fs_get_quota(v.fs, f, &(struct fs_quota){0}));
    assert_ok(write_bytes(&v, f, 0, LIMIT + 1));
    assert_ok(fs_link(v.fs, f, ROOT, "g", &a));
    uint64_t e = vol_mkdir(&v, ROOT, "e");
    limit(&v, e, 2 * LIMIT);
    assert_ok(fs_unlink(v.fs, ROOT, "g"));
    assert_ok(move(&v, ROOT, "f", e, "f"));
    assert_used(&v, f, e, LIMIT + 1, 2);
    assert_no_records(&v, d);
    vol_free(&v);
}

/* A sum that somebody added to while the folder went is taken away by the next mount. */
static void test_left_sums_are_swept(void **state)
{
    (void)state;
    struct vol v;
    struct raw r;
    struct key k = key_quota_used(777);
    vol_make(&v, CHUNK);
    raw_begin(&r, &v);
    raw_write(&r, RAW_MERGE, key_slice(&k), slice_of(zeros, 16));
    raw_end(&r);
    vol_assert_sound(&v);
    vol_open(&v);
    assert_no_records(&v, 777);
    vol_free(&v);
}

/* ---- folders with contents ---- */

enum { MANY = 300 };

/* Files, folders in folders, a file with a name outside, a folder with a limit of its own. */
static uint64_t make_tree(struct vol *v, uint64_t *inner)
{
    char name[16];
    struct fs_attr a;
    uint64_t d = vol_mkdir(v, ROOT, "d"), sub = vol_mkdir(v, d, "sub"), deep = sub;
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "f%d", i);
        vol_text(v, i % 3 ? sub : d, name, "123");
    }
    for (int i = 0; i < 5; i++)
        deep = vol_mkdir(v, deep, "deep");
    assert_ok(fs_link(v->fs, vol_text(v, deep, "two", "12"), ROOT, "two", &a));
    *inner = vol_mkdir(v, deep, "inner");
    limit(v, *inner, LIMIT);
    vol_text(v, *inner, "f", "1234");
    return d;
}
enum { TREE_BYTES = MANY * 3 + 2, TREE_INODES = MANY + 8 };

static void test_takes_over_what_is_there(void **state)
{
    (void)state;
    struct vol v;
    uint64_t inner;
    vol_make(&v, CHUNK);
    uint64_t d = make_tree(&v, &inner);
    limit(&v, d, LIMIT);
    assert_used(&v, d, d, TREE_BYTES, TREE_INODES);
    assert_used(&v, inner, inner, 4, 2);
    vol_assert_sound(&v);
    vol_reopen(&v);
    assert_used(&v, d, d, TREE_BYTES, TREE_INODES);
    /* From a tree into one within it. */
    uint64_t sub = vol_find(&v, d, "sub");
    limit(&v, sub, 10);
    assert_used(&v, d, d, 3 * MANY / 3, 1 + MANY / 3);
    assert_used(&v, sub, sub, TREE_BYTES - MANY, TREE_INODES - 1 - MANY / 3);
    vol_free(&v);
}

/* Wherever the power is cut meanwhile, the tree has the limit afterwards, or not. */
static void test_takes_over_across_a_crash(void **state)
{
    (void)state;
    size_t with = 0, without = 0;
    for (uint64_t cut = 1;; cut += 1 + cut / 8) {
        struct vol v;
        struct fs_quota q;
        uint64_t inner;
        vol_make(&v, CHUNK);
        uint64_t d = make_tree(&v, &inner);
        assert_ok(fs_sync(v.fs));
        uint64_t before = simdisk_ops(v.disk);
        simdisk_cut_at(v.disk, cut, cut % 2 ? SIM_CUT_BEFORE : SIM_CUT_WITHIN);
        int err = fs_set_quota(v.fs, d, LIMIT);
        bool over = err == 0 && simdisk_ops(v.disk) - before < cut;
        fs_close(v.fs);
        v.fs = NULL;
        simdisk_crash(v.disk, cut % 3 ? SIM_KEEP_ALL : SIM_KEEP_SYNCED, cut);
        assert_nothing_worse_than_notes(&v);
        vol_open(&v);
        if (fs_get_quota(v.fs, d, &q) == 0) {
            assert_used(&v, d, d, TREE_BYTES, TREE_INODES);
            with++;
        } else {
            without++;
        }
        vol_free(&v);
        if (over)
            break;
    }
    assert_true(with > 0 && without > 0);
}

/* ---- crashes and snapshots ---- */

static void test_exact_across_crashes(void **state)
{
    (void)state;
    struct vol v;
    vol_make(&v, CHUNK);
    uint64_t d = vol_mkdir(&v, ROOT, "d");
    limit(&v, d, LIMIT);
    assert_ok(fs_sync(v.fs));
    for (uint64_t i = 0; i < 20; i++) {
        uint64_t f = vol_find(&v, d, "f");
        if (!f)
            f = vol_file(&v, d, "f");
        int err = i % 3 == 2 ? resize(&v, f, i * 100) : write_bytes(&v, f, i * 1000, 3000);
        assert_ok(err);
        if (i % 5 == 4)
            assert_ok(fs_sync(v.fs));
        vol_crash(&v, i % 2 ? SIM_KEEP_ALL : SIM_KEEP_SYNCED);
        assert_nothing_worse_than_notes(&v);
    }
    vol_free(&v);
}

static void test_snapshots_do_not_count(void **state)
{
    (void)state;
    struct vol v;
    struct fs_quota q;
    struct fs_space s;
    vol_make(&v, CHUNK);
    uint64_t d = vol_mkdir(&v, ROOT, "d");
    limit(&v, d, LIMIT);
    uint64_t f = vol_file(&v, d, "f");
    assert_ok(write_bytes(&v, f, 0, LIMIT));
    assert_ok(fs_snapshot_create(v.fs, "s"));
    discard(&v, d, "f", f);
    assert_used(&v, d, d, 0, 1);
    uint64_t old = (UINT64_C(1) << FS_INO_BITS) | d;
    assert_absent(fs_get_quota(v.fs, old, &q));
    assert_errno(fs_set_quota(v.fs, old, 5), EROFS);
    assert_ok(fs_get_space(v.fs, old, &s));
    assert_true(s.total_bytes != LIMIT);
    f = vol_file(&v, d, "f");
    assert_ok(write_bytes(&v, f, 0, LIMIT));
    vol_free(&v); /* the verifier counts in the snapshot as well */
}

static int count_difference(void *ctx, const struct fs_difference *d)
{
    (void)d;
    ++*(size_t *)ctx;
    return 0;
}

static void test_going_back(void **state)
{
    (void)state;
    struct vol v;
    struct fs_rollback done;
    struct fs_quota q;
    size_t differences = 0;
    vol_make(&v, CHUNK);
    uint64_t d = vol_mkdir(&v, ROOT, "d"), e = vol_mkdir(&v, ROOT, "e");
    limit(&v, d, LIMIT);
    uint64_t f = vol_text(&v, d, "f", "12345");
    assert_ok(fs_snapshot_create(v.fs, "s"));
    assert_ok(fs_diff(v.fs, "s", NULL, count_difference, &differences));
    assert_int_equal(differences, 0);
    limit(&v, e, LIMIT); /* its own record changes, and no more that can be seen */
    limit(&v, d, 2);
    vol_text(&v, e, "g", "123");
    assert_ok(fs_unlink(v.fs, d, "f"));
    assert_ok(fs_rmdir(v.fs, ROOT, "d"));
    fs_forget(v.fs, f);
    fs_forget(v.fs, d);
    assert_ok(fs_diff(v.fs, "s", NULL, count_difference, &differences));
    assert_true(differences >= 3);
    assert_ok(fs_rollback(v.fs, "s", NULL, NULL, NULL, &done));
    assert_used(&v, f, d, 5, 2);
    assert_absent(fs_get_quota(v.fs, e, &q));
    assert_errno(write_bytes(&v, f, 0, LIMIT + 1), EDQUOT);
    assert_ok(fs_get_quota(v.fs, d, &q));
    assert_int_equal(q.limit_bytes, LIMIT);
    limit(&v, e, LIMIT);
    assert_used(&v, e, e, 0, 1);
    vol_free(&v);
}

static void test_read_only(void **state)
{
    (void)state;
    struct vol v;
    vol_make(&v, CHUNK);
    uint64_t d = vol_mkdir(&v, ROOT, "d");
    limit(&v, d, LIMIT);
    vol_close(&v);
    v.options.read_only = true;
    vol_open(&v);
    assert_used(&v, d, d, 0, 1);
    assert_errno(fs_set_quota(v.fs, d, 5), EROFS);
    vol_free(&v);
}

/* ---- 230 to 233: the verifier ---- */

static void put_quota(struct raw *r, uint64_t folder, bool taking)
{
    struct quota_record q = {.limit_bytes = LIMIT, .taking = taking};
    struct buf b = {0};
    quota_encode(&q, &b);
    raw_put(r, key_quota(folder), buf_slice(&b));
    buf_release(&b);
}
static void put_used(struct raw *r, uint64_t folder, int64_t inodes, int64_t bytes)
{
    struct quota_used u = {.inodes = inodes, .bytes = bytes};
    struct buf b = {0};
    quota_used_encode(&u, &b);
    raw_put(r, key_quota_used(folder), buf_slice(&b));
    buf_release(&b);
}
static void bad_limit(struct raw *r, const struct site *s)
{
    raw_put(r, key_quota(s->dir), slice_str("\5\2"));
}
/* Beside a good one: nobody may take it for the same. */
static void longer_key(struct raw *r, const struct site *s)
{
    struct key k = key_quota(s->dir);
    put_quota(r, s->dir, false);
    put_used(r, s->dir, 1, 0);
    CHANGE_INODE(r, s->dir, n.quota = s->dir);
    CHANGE_INODE(r, s->sub, n.quota = s->sub);
    put_quota(r, s->sub, false);
    put_used(r, s->sub, 1, 0);
    k.bytes[k.len++] = 7;
    raw_put(r, k, slice_of("\5\0\0", 3));
}
static void limit_of_none(struct raw *r, const struct site *s)
{
    put_quota(r, s->file, false);
}
static void sum_off(struct raw *r, const struct site *s)
{
    put_quota(r, s->sub, false);
    put_used(r, s->sub, 2, 1);
    CHANGE_INODE(r, s->sub, n.quota = s->sub);
    CHANGE_INODE(r, s->inner, n.quota = s->sub);
}
static void no_such_limit(struct raw *r, const struct site *s)
{
    CHANGE_INODE(r, s->sub, n.quota = s->sub);
}
static void limit_of_nobody(struct raw *r, const struct site *s)
{
    CHANGE_INODE(r, s->sub, n.quota = s->inner);
}
static void folder_of_another(struct raw *r, const struct site *s)
{
    put_quota(r, s->dir, false);
    put_used(r, s->dir, 1, 0);
    CHANGE_INODE(r, s->dir, n.quota = s->dir);
}
static void half_taken(struct raw *r, const struct site *s)
{
    put_quota(r, s->dir, true);
    put_used(r, s->dir, 1, 0);
    CHANGE_INODE(r, s->dir, n.quota = s->dir);
}

static void test_verifier(void **state)
{
    (void)state;
    assert_finds(bad_limit, FINDING_QUOTA, "");
    assert_finds(longer_key, FINDING_QUOTA, "");
    assert_finds(limit_of_none, FINDING_QUOTA, "");
    assert_finds(sum_off, FINDING_QUOTA_USED, "/dir/sub");
    assert_finds(no_such_limit, FINDING_QUOTA_TREE, "/dir/sub");
    assert_finds(limit_of_nobody, FINDING_QUOTA_TREE, "/dir/sub");
    assert_finds(folder_of_another, FINDING_QUOTA_TREE, "/dir/sub");
    assert_finds(half_taken, FINDING_QUOTA_NOTE, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_none_by_default),
        cmocka_unit_test(test_counts_what_stat_tells),
        cmocka_unit_test(test_refused_beyond),
        cmocka_unit_test(test_changing_a_limit),
        cmocka_unit_test(test_fallocate),
        cmocka_unit_test(test_copies),
        cmocka_unit_test(test_files_without_a_name),
        cmocka_unit_test(test_renames),
        cmocka_unit_test(test_replacing),
        cmocka_unit_test(test_limit_within_a_limit),
        cmocka_unit_test(test_the_root_may_have_one),
        cmocka_unit_test(test_goes_with_its_folder),
        cmocka_unit_test(test_orphan_outlives_the_folder),
        cmocka_unit_test(test_name_outlives_the_folder),
        cmocka_unit_test(test_left_sums_are_swept),
        cmocka_unit_test(test_takes_over_what_is_there),
        cmocka_unit_test(test_takes_over_across_a_crash),
        cmocka_unit_test(test_exact_across_crashes),
        cmocka_unit_test(test_snapshots_do_not_count),
        cmocka_unit_test(test_going_back),
        cmocka_unit_test(test_read_only),
        cmocka_unit_test(test_verifier),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
