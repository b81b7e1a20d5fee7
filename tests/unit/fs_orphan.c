/* Inodes without a name: they live until nobody uses them, and no crash leaves them behind. */
#include "tests/unit/vol_raw.h"

#include "fs/volume.h"
#include "tests/sim/simrng.h"

#define ROOT FS_INO_ROOT

static uint64_t inodes_of(struct vol *v)
{
    struct fs_stats s;
    assert_ok(fs_get_stats(v->fs, &s));
    return s.inodes;
}

static bool is_gone(struct vol *v, uint64_t ino)
{
    struct fs_attr a;
    int err = fs_getattr(v->fs, ino, &a);
    assert_true(err == 0 || err == -ENOENT);
    return err != 0;
}

/* ---- life and end ---- */

static void test_usable_until_forgotten(void **state)
{
    (void)state;
    struct vol v;
    struct fs_attr a, want = {.size = 3, .mode = 0600};
    char data[8];
    size_t got;
    vol_make(&v, 16 << 10);
    uint64_t f = vol_text(&v, ROOT, "f", "text"), before = inodes_of(&v);
    assert_ok(fs_setxattr(v.fs, f, "user.a", "x", 1, 0));
    assert_ok(fs_unlink(v.fs, ROOT, "f"));
    assert_int_equal(vol_attr(&v, f).nlink, 0);
    assert_int_equal(inodes_of(&v), before);
    vol_assert_text(&v, f, "text");
    assert_ok(fs_write(v.fs, f, 40000, "more", 4));
    assert_ok(fs_setattr(v.fs, f, FS_SET_SIZE | FS_SET_MODE, &want, &a));
    vol_assert_text(&v, f, "tex");
    assert_ok(fs_getxattr(v.fs, f, "user.a", data, sizeof data, &got));
    assert_ok(fs_fsync(v.fs, f, false));
    vol_file(&v, ROOT, "f"); /* the name is free */
    vol_assert_sound_but(&v, FINDING_ORPHAN_NOTE);
    fs_forget(v.fs, f);
    assert_true(is_gone(&v, f));
    assert_int_equal(inodes_of(&v), before); /* one went, one came */
    assert_errno(fs_write(v.fs, f, 0, "x", 1), ENOENT);
    assert_errno(fs_read(v.fs, f, 0, data, 1, &got), ENOENT);
    fs_forget(v.fs, f); /* once more does nothing */
    vol_free(&v);
}

static void test_forgetting_what_has_a_name(void **state)
{
    (void)state;
    struct vol v;
    struct fs_attr a;
    vol_make(&v, 0);
    uint64_t f = vol_text(&v, ROOT, "f", "text"), gone = vol_file(&v, ROOT, "gone");
    assert_ok(fs_link(v.fs, f, ROOT, "g", &a));
    assert_ok(fs_unlink(v.fs, ROOT, "f"));
    assert_ok(fs_unlink(v.fs, ROOT, "gone")); /* the set of orphans is not empty */
    const uint64_t others[] = {f, ROOT, FS_INO_CONTROL, FS_INO_SNAPSHOTS,
                               0, 999,  UINT64_MAX,     UINT64_C(1) << FS_INO_BITS | gone};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        fs_forget(v.fs, others[i]);
    vol_assert_text(&v, f, "text");
    assert_true(!is_gone(&v, gone));
    fs_forget(v.fs, gone);
    assert_true(is_gone(&v, gone));
    vol_free(&v);
}

/* Every way of losing the last name. */
static void make_orphans(struct vol *v, uint64_t ino[4])
{
    ino[0] = vol_text(v, ROOT, "a", "unlinked");
    ino[1] = vol_mkdir(v, ROOT, "b");
    ino[2] = vol_text(v, ROOT, "c", "replaced");
    ino[3] = vol_mkdir(v, ROOT, "d");
    vol_file(v, ROOT, "file");
    vol_mkdir(v, ROOT, "dir");
    assert_ok(fs_unlink(v->fs, ROOT, "a"));
    assert_ok(fs_rmdir(v->fs, ROOT, "b"));
    assert_ok(fs_rename(v->fs, ROOT, "file", ROOT, "c", 0));
    assert_ok(fs_rename(v->fs, ROOT, "dir", ROOT, "d", 0));
}

static void test_swept_at_open(void **state)
{
    (void)state;
    static const enum sim_crash modes[] = {SIM_KEEP_ALL, SIM_KEEP_SYNCED};
    for (size_t mode = 0; mode < 2; mode++) {
        struct vol v;
        uint64_t ino[4];
        vol_make(&v, 0);
        make_orphans(&v, ino);
        assert_ok(fs_sync(v.fs));
        v.options.no_sweep = true;
        vol_crash(&v, modes[mode]);
        for (int i = 0; i < 4; i++)
            assert_int_equal(vol_attr(&v, ino[i]).nlink, 0); /* left alone, and at close too */
        vol_assert_sound_but(&v, FINDING_ORPHAN_NOTE);
        vol_reopen(&v);
        assert_int_equal(inodes_of(&v), 7);
        v.options.no_sweep = false;
        vol_crash(&v, modes[mode]);
        for (int i = 0; i < 4; i++)
            assert_true(is_gone(&v, ino[i]));
        assert_int_equal(inodes_of(&v), 3);
        vol_free(&v);
    }
}

static void test_swept_at_close(void **state)
{
    (void)state;
    struct vol v;
    uint64_t ino[4];
    vol_make(&v, 0);
    make_orphans(&v, ino);
    vol_close(&v);
    vol_assert_sound(&v);
    v.options.no_sweep = true;
    vol_open(&v);
    for (int i = 0; i < 4; i++)
        assert_true(is_gone(&v, ino[i]));
    vol_free(&v);
}

static void test_read_only_sweeps_nothing(void **state)
{
    (void)state;
    struct vol v;
    uint64_t ino[4];
    vol_make(&v, 0);
    v.options.no_sweep = true;
    vol_reopen(&v);
    make_orphans(&v, ino);
    vol_close(&v);
    uint64_t digest = simdisk_digest(v.disk);
    v.options.no_sweep = false;
    v.options.read_only = true;
    vol_open(&v);
    vol_assert_text(&v, ino[0], "unlinked");
    fs_forget(v.fs, ino[0]);
    assert_true(!is_gone(&v, ino[0]));
    vol_close(&v);
    assert_true(simdisk_digest(v.disk) == digest);
    v.options.read_only = false;
    vol_open(&v);
    vol_free(&v);
}

/* ---- many ---- */

/* The set of orphans in memory, in any order of coming and going. */
static void test_many(void **state)
{
    (void)state;
    enum { COUNT = 2000 };
    struct simrng r = {unit_seed()};
    struct vol v;
    static uint64_t ino[COUNT];
    static bool open[COUNT];
    char name[24];
    size_t orphans = 0;
    vol_make(&v, 0);
    vol_close(&v);
    v.options.store = NULL;
    vol_open(&v);
    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof name, "%d", i);
        ino[i] = vol_file(&v, ROOT, name);
        open[i] = false;
    }
    for (int step = 0; step < 4 * COUNT; step++) {
        size_t i = simrng_below(&r, COUNT);
        snprintf(name, sizeof name, "%d", (int)i);
        bool has_name = vol_find(&v, ROOT, name) != 0;
        if (has_name) {
            assert_ok(fs_unlink(v.fs, ROOT, name));
            open[i] = true;
            orphans++;
        } else if (simrng_coin(&r)) {
            orphans -= open[i];
            open[i] = false;
            fs_forget(v.fs, ino[i]);
        }
        if (step % 1000 == 0)
            assert_int_equal(v.fs->orphans.count, orphans);
    }
    for (int crashed = 0; crashed < 2; crashed++) {
        for (int i = 0; i < COUNT; i++) {
            snprintf(name, sizeof name, "%d", i);
            bool there = vol_find(&v, ROOT, name) != 0 || (open[i] && !crashed);
            assert_int_equal(is_gone(&v, ino[i]), !there);
        }
        vol_crash(&v, SIM_KEEP_ALL);
        assert_int_equal(v.fs->orphans.count, 0);
    }
    vol_free(&v);
}

/* ---- failures ---- */

/* What cannot be freed now is freed at the next occasion. */
static void test_freeing_fails_once(void **state)
{
    (void)state;
    struct vol v;
    vol_make(&v, 0);
    uint64_t f = vol_text(&v, ROOT, "f", "text");
    assert_ok(fs_unlink(v.fs, ROOT, "f"));
    const struct sim_fault tail = {.call = SIM_WRITE, .path_part = "TAIL", .err = -EIO};
    const struct sim_fault full = {
        .call = SIM_WRITE, .path_part = ".log", .err = -ENOSPC, .sticky = true};
    simdisk_fail(v.disk, &tail);
    simdisk_fail(v.disk, &full);
    fs_forget(v.fs, f);
    assert_true(!is_gone(&v, f));
    simdisk_heal(v.disk);
    assert_null(fs_failure(v.fs));
    fs_forget(v.fs, f);
    assert_true(is_gone(&v, f));
    vol_free(&v);
}

/* Lines of the list that are wrong neither free what has names, nor keep a volume from opening. */
static void test_wrong_lines(void **state)
{
    (void)state;
    struct vol v;
    struct raw r;
    vol_make(&v, 0);
    uint64_t f = vol_text(&v, ROOT, "f", "text"), last = vol_file(&v, ROOT, "last");
    assert_ok(fs_unlink(v.fs, ROOT, "last"));
    v.options.no_sweep = true;
    vol_reopen(&v);
    assert_ok(fs_rename(v.fs, ROOT, "f", ROOT, "g", 0));
    raw_begin(&r, &v);
    const uint64_t lines[] = {f, ROOT, 999, UINT64_MAX};
    for (size_t i = 0; i < 4; i++)
        raw_put(&r, key_orphan(lines[i]), (struct slice){0});
    struct key k = key_super(SUPER_ORPHAN);
    raw_put(&r, k, (struct slice){0}); /* a line without a number */
    raw_end(&r);
    v.options.no_sweep = false;
    vol_open(&v);
    vol_assert_text(&v, f, "text");
    assert_true(vol_find(&v, ROOT, "g") == f && is_gone(&v, last));
    raw_begin(&r, &v);
    assert_true(raw_has(&r, key_orphan(f)) && !raw_has(&r, key_orphan(999)));
    assert_true(raw_has(&r, key_orphan(ROOT)) && !raw_has(&r, key_orphan(UINT64_MAX)));
    raw_delete(&r, key_orphan(f));
    raw_delete(&r, key_orphan(ROOT));
    raw_delete(&r, k);
    raw_end(&r);
    vol_free(&v);
}

/* ---- made without a name ---- */

static uint64_t unnamed(struct vol *v, uint64_t dir, bool linkable)
{
    struct fs_attr a;
    assert_ok(fs_tmpfile(v->fs, dir, 0640, linkable, &vol_cred, &a));
    assert_true(S_ISREG(a.mode) && (a.mode & 07777) == 0640 && a.nlink == 0);
    assert_int_equal(a.uid, vol_cred.uid);
    return a.ino;
}

static void test_unnamed_until_forgotten(void **state)
{
    (void)state;
    struct vol v;
    vol_make(&v, 16 << 10);
    uint64_t dir = vol_mkdir(&v, ROOT, "dir"), before = inodes_of(&v);
    struct fs_attr was = vol_attr(&v, dir);
    uint64_t f = unnamed(&v, dir, true);
    assert_int_equal(inodes_of(&v), before + 1);
    assert_ok(fs_write(v.fs, f, 20000, "text", 4));
    assert_int_equal(vol_attr(&v, f).size, 20004);
    struct fs_attr is = vol_attr(&v, dir);
    assert_true(vol_same_attr(&was, &is)); /* the folder does not know */
    vol_assert_sound_but(&v, FINDING_ORPHAN_NOTE);
    fs_forget(v.fs, f);
    assert_true(is_gone(&v, f));
    f = unnamed(&v, dir, true);
    vol_crash(&v, SIM_KEEP_ALL);
    assert_true(is_gone(&v, f));
    assert_int_equal(inodes_of(&v), before);
    vol_free(&v);
}

static void test_unnamed_gets_a_name(void **state)
{
    (void)state;
    struct vol v;
    struct fs_attr a;
    vol_make(&v, 16 << 10);
    uint64_t dir = vol_mkdir(&v, ROOT, "dir"), before = inodes_of(&v), f = unnamed(&v, ROOT, true);
    assert_ok(fs_write(v.fs, f, 0, "text", 4));
    vol_text(&v, dir, "taken", "other");
    assert_errno(fs_link(v.fs, f, dir, "taken", &a), EEXIST);
    assert_ok(fs_link(v.fs, f, dir, "named", &a));
    assert_true(a.ino == f && a.nlink == 1);
    vol_assert_sound(&v);
    fs_forget(v.fs, f); /* it has a name now */
    vol_reopen(&v);
    assert_true(vol_find(&v, dir, "named") == f);
    vol_assert_text(&v, f, "text");
    assert_ok(fs_link(v.fs, f, dir, "again", &a));
    assert_int_equal(a.nlink, 2);
    assert_ok(fs_unlink(v.fs, dir, "again"));
    assert_ok(fs_unlink(v.fs, dir, "named"));
    assert_errno(fs_link(v.fs, f, dir, "named", &a), ENOENT); /* as any other that lost its name */
    fs_forget(v.fs, f);
    assert_int_equal(inodes_of(&v), before + 1);
    vol_free(&v);
}

static void test_unnamed_errors(void **state)
{
    (void)state;
    struct vol v;
    struct fs_attr a;
    vol_make(&v, 0);
    uint64_t f = vol_file(&v, ROOT, "f"), dir = vol_mkdir(&v, ROOT, "dir");
    uint64_t closed = unnamed(&v, dir, false);
    assert_errno(fs_link(v.fs, closed, dir, "x", &a), ENOENT);
    assert_errno(fs_tmpfile(v.fs, f, 0600, true, &vol_cred, &a), ENOTDIR);
    assert_errno(fs_tmpfile(v.fs, 999, 0600, true, &vol_cred, &a), ENOENT);
    assert_errno(fs_tmpfile(v.fs, FS_INO_CONTROL, 0600, true, &vol_cred, &a), EPERM);
    assert_errno(fs_tmpfile(v.fs, FS_INO_SNAPSHOTS, 0600, true, &vol_cred, &a), EPERM);
    assert_ok(fs_rmdir(v.fs, ROOT, "dir"));
    assert_errno(fs_tmpfile(v.fs, dir, 0600, true, &vol_cred, &a), EPERM);
    assert_ok(fs_snapshot_create(v.fs, "s"));
    uint64_t old = vol_find(&v, FS_INO_SNAPSHOTS, "s");
    assert_errno(fs_tmpfile(v.fs, old, 0600, true, &vol_cred, &a), EROFS);
    vol_free(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_usable_until_forgotten),
        cmocka_unit_test(test_forgetting_what_has_a_name),
        cmocka_unit_test(test_swept_at_open),
        cmocka_unit_test(test_swept_at_close),
        cmocka_unit_test(test_read_only_sweeps_nothing),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_freeing_fails_once),
        cmocka_unit_test(test_wrong_lines),
        cmocka_unit_test(test_unnamed_until_forgotten),
        cmocka_unit_test(test_unnamed_gets_a_name),
        cmocka_unit_test(test_unnamed_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
