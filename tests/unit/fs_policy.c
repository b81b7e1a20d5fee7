/* How contents of single files are compressed: what is inherited, what holds for which numbers, and
 * that it takes effect; the verifier compares both after each test. */
#include "tests/unit/vol_site.h"

enum { LEN = 64 << 10, FILES = 8 };

static void set(struct vol *v, uint64_t ino, int level)
{
    assert_ok(fs_set_compression(v->fs, ino, level));
}

static void assert_level(struct vol *v, uint64_t ino, int level)
{
    int got;
    assert_int_equal(fs_get_compression(v->fs, ino, &got), level < 0);
    assert_int_equal(got, level);
}

/* Text that shrinks well. */
static void fill(struct vol *v, uint64_t ino)
{
    static uint8_t data[LEN];
    static const char words[] = "all work and no play makes the volume a dull one; ";
    for (size_t i = 0; i < LEN; i++)
        data[i] = (uint8_t)words[i % (sizeof words - 1)];
    assert_ok(fs_write(v->fs, ino, 0, data, LEN));
}

static uint64_t on_disk(struct vol *v)
{
    struct fs_stats s;
    assert_ok(fs_get_stats(v->fs, &s));
    return s.store.blob_bytes - s.store.blob_garbage_bytes + s.store.level_bytes[0] +
           s.store.level_bytes[6];
}

/* ---- what is said ---- */

static void test_inherited(void **state)
{
    (void)state;
    struct vol v;
    struct fs_attr a;
    vol_make(&v, CHUNK);
    uint64_t d = vol_mkdir(&v, ROOT, "d"), before = vol_file(&v, d, "before");
    assert_level(&v, d, -1);
    set(&v, d, 9);
    uint64_t sub = vol_mkdir(&v, d, "sub"), f = vol_file(&v, sub, "f");
    assert_level(&v, d, 9);
    assert_level(&v, sub, 9);
    assert_level(&v, f, 9);
    assert_level(&v, before, -1);
    assert_level(&v, vol_symlink(&v, d, "link", "x"), -1);
    assert_level(&v, vol_file(&v, ROOT, "elsewhere"), -1);
    assert_ok(fs_tmpfile(v.fs, d, 0600, true, &vol_cred, &a));
    assert_level(&v, a.ino, 9);
    fs_forget(v.fs, a.ino);
    /* What moves keeps its own. */
    assert_ok(fs_rename(v.fs, sub, "f", ROOT, "f", 0));
    assert_level(&v, f, 9);
    set(&v, sub, 0);
    assert_level(&v, vol_file(&v, sub, "g"), 0);
    assert_level(&v, vol_file(&v, d, "h"), 9);
    set(&v, d, FS_COMPRESSION_DEFAULT);
    assert_level(&v, vol_file(&v, d, "i"), -1);
    vol_reopen(&v);
    assert_level(&v, f, 9);
    assert_level(&v, sub, 0);
    assert_level(&v, vol_file(&v, sub, "j"), 0);
    vol_free(&v);
}

static void test_refused(void **state)
{
    (void)state;
    struct vol v;
    struct fs_attr a;
    int level;
    vol_make(&v, CHUNK);
    uint64_t f = vol_file(&v, ROOT, "f"), link = vol_symlink(&v, ROOT, "link", "x");
    assert_ok(fs_mknod(v.fs, ROOT, "fifo", S_IFIFO | 0644, 0, &vol_cred, &a));
    assert_errno(fs_set_compression(v.fs, f, 20), EINVAL);
    assert_errno(fs_set_compression(v.fs, f, -2), EINVAL);
    assert_errno(fs_set_compression(v.fs, link, 3), EINVAL);
    assert_errno(fs_set_compression(v.fs, a.ino, 3), EINVAL);
    assert_errno(fs_set_compression(v.fs, FS_INO_CONTROL, 3), EPERM);
    assert_absent(fs_get_compression(v.fs, FS_INO_CONTROL, &level));
    assert_ok(fs_snapshot_create(v.fs, "s"));
    set(&v, f, 5);
    uint64_t old = (UINT64_C(1) << FS_INO_BITS) | f;
    assert_errno(fs_set_compression(v.fs, old, 3), EROFS);
    assert_level(&v, old, -1);
    vol_free(&v);
}

/* Numbers lie side by side: intervals are cut, joined, and gone. */
static void test_intervals(void **state)
{
    (void)state;
    struct vol v;
    struct raw r;
    uint64_t f[FILES];
    vol_make(&v, CHUNK);
    for (int i = 0; i < FILES; i++) {
        char name[16];
        snprintf(name, sizeof name, "f%d", i);
        f[i] = vol_file(&v, ROOT, name);
        assert_true(i == 0 || f[i] == f[i - 1] + 1);
    }
    static const int levels[][2] = {{2, 9}, {4, 9}, {3, 9}, {3, 1}, {0, 5}, {1, 5}, {3, -1},
                                    {2, 0}, {3, 0}, {4, 0}, {5, 0}, {3, 7}, {3, 0}, {3, 0}};
    int expected[FILES] = {-1, -1, -1, -1, -1, -1, -1, -1};
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        set(&v, f[levels[i][0]], levels[i][1]);
        expected[levels[i][0]] = levels[i][1];
        for (int k = 0; k < FILES; k++)
            assert_level(&v, f[k], expected[k]);
        vol_assert_sound(&v);
        if (i % 3 == 0)
            vol_reopen(&v);
    }
    raw_begin(&r, &v);
    raw_end(&r);
    vol_open(&v);
    set(&v, f[7], 3);
    assert_ok(fs_unlink(v.fs, ROOT, "f7"));
    fs_forget(v.fs, f[7]);
    raw_begin(&r, &v);
    assert_false(raw_has(&r, key_policy(f[7])));
    raw_end(&r);
    vol_free(&v);
}

static void test_across_crashes(void **state)
{
    (void)state;
    struct vol v;
    vol_make(&v, CHUNK);
    uint64_t d = vol_mkdir(&v, ROOT, "d");
    set(&v, d, 12);
    assert_ok(fs_sync(v.fs));
    for (int i = 0; i < 12; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d", i);
        if (!vol_find(&v, d, name))
            vol_file(&v, d, name);
        vol_crash(&v, i % 2 ? SIM_KEEP_SYNCED : SIM_KEEP_ALL);
        vol_settle(&v);
        uint64_t f = vol_find(&v, d, name);
        if (f)
            assert_level(&v, f, 12);
    }
    vol_free(&v);
}

static void test_going_back(void **state)
{
    (void)state;
    struct vol v;
    struct fs_rollback done;
    vol_make(&v, CHUNK);
    uint64_t d = vol_mkdir(&v, ROOT, "d"), f = vol_file(&v, d, "f");
    assert_ok(fs_snapshot_create(v.fs, "s"));
    set(&v, d, 9);
    set(&v, f, 4);
    vol_file(&v, d, "g");
    assert_ok(fs_rollback(v.fs, "s", NULL, NULL, NULL, &done));
    assert_level(&v, f, -1);
    set(&v, d, 9); /* the run of numbers that it had for that is void */
    assert_level(&v, vol_file(&v, d, "h"), 9);
    vol_assert_sound(&v);
    set(&v, d, FS_COMPRESSION_DEFAULT);
    assert_level(&v, vol_file(&v, d, "g"), -1);
    vol_free(&v);
}

/* ---- what it does ---- */

/* Bytes on disk for FILES files of LEN bytes each, made in a folder of that level. */
static uint64_t taken(int level, uint32_t chunk_bytes)
{
    struct vol v;
    vol_make(&v, chunk_bytes);
    uint64_t d = vol_mkdir(&v, ROOT, "d");
    if (level >= 0)
        set(&v, d, level);
    for (int i = 0; i < FILES; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d", i);
        fill(&v, vol_file(&v, d, name));
    }
    assert_ok(fs_compact(v.fs));
    uint64_t bytes = on_disk(&v);
    vol_free(&v);
    return bytes;
}

static void test_takes_effect(void **state)
{
    (void)state;
    uint64_t none = taken(0, 64 << 10), plain = taken(-1, 64 << 10), most = taken(19, 64 << 10);
    assert_true(none > FILES * LEN);
    assert_true(plain < FILES * LEN / 10);
    assert_true(most <= plain);
}

/* What is there already is compressed anew, by compaction: on demand, and by itself. */
static void test_old_contents(void **state)
{
    (void)state;
    for (int by_itself = 0; by_itself < 2; by_itself++) {
        struct vol v;
        uint64_t f[FILES], plain, none, again;
        vol_make(&v, 64 << 10);
        for (int i = 0; i < FILES; i++) {
            char name[16];
            snprintf(name, sizeof name, "%d", i);
            fill(&v, f[i] = vol_file(&v, ROOT, name));
        }
        assert_ok(fs_compact(v.fs));
        vol_settle(&v);
        plain = on_disk(&v);
        for (int i = 0; i < FILES / 2; i++)
            set(&v, f[i], 0);
        if (by_itself)
            vol_settle(&v);
        else
            assert_ok(fs_compact(v.fs));
        none = on_disk(&v);
        assert_true(none > plain + FILES / 2 * LEN * 9 / 10);
        assert_true(none < plain + FILES / 2 * LEN * 12 / 10);
        /* It is done: nothing more is to do. */
        struct fs_stats before, after;
        assert_ok(fs_get_stats(v.fs, &before));
        assert_ok(fs_compact(v.fs));
        vol_settle(&v);
        assert_ok(fs_get_stats(v.fs, &after));
        assert_int_equal(after.store.bytes_moved_blob, before.store.bytes_moved_blob);
        vol_reopen(&v);
        for (int i = 0; i < FILES; i++)
            set(&v, f[i], 19);
        vol_settle(&v);
        assert_ok(fs_compact(v.fs));
        again = on_disk(&v);
        assert_true(again < none / 4);
        vol_free(&v);
    }
}

/* ---- 234: the verifier ---- */

static void put_policy(struct raw *r, uint64_t start, uint64_t end, uint8_t level)
{
    struct policy p = {.start = start, .end = end, .level = level};
    struct buf b = {0};
    policy_encode(&p, &b);
    raw_put(r, key_policy(start), buf_slice(&b));
    buf_release(&b);
}
static void bad_policy(struct raw *r, const struct site *s)
{
    (void)s;
    raw_put(r, key_policy(500), slice_of("\1\24\0", 3));
}
static void overlap(struct raw *r, const struct site *s)
{
    (void)s;
    put_policy(r, 500, 510, 3);
    put_policy(r, 509, 511, 3);
}
static void record_alone(struct raw *r, const struct site *s)
{
    CHANGE_INODE(r, s->file, n.policy = 4);
}
static void interval_alone(struct raw *r, const struct site *s)
{
    put_policy(r, s->file, s->file + 1, 4);
}

static void test_verifier(void **state)
{
    (void)state;
    assert_finds(bad_policy, FINDING_POLICY, "");
    assert_finds(overlap, FINDING_POLICY, "");
    assert_finds(record_alone, FINDING_POLICY, "/dir/file");
    assert_finds(interval_alone, FINDING_POLICY, "/dir/file");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inherited),    cmocka_unit_test(test_refused),
        cmocka_unit_test(test_intervals),    cmocka_unit_test(test_across_crashes),
        cmocka_unit_test(test_going_back),   cmocka_unit_test(test_takes_effect),
        cmocka_unit_test(test_old_contents), cmocka_unit_test(test_verifier),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
