/* Access times: what sets them by which rule, that they wait in memory and are shown from there,
 * when they are written, and that nothing but they can be lost. */
#include "fs/atime.h"

#include "tests/unit/vol.h"

#define ROOT FS_INO_ROOT
enum { DAY = 24 * 60 * 60 };

static void open_with(struct vol *v, enum fs_atime atime)
{
    v->options.atime = atime;
    if (v->fs)
        vol_reopen(v);
    else
        vol_open(v);
}

static struct fs_time atime(struct vol *v, uint64_t ino)
{
    return vol_attr(v, ino).atime;
}

static void read_it(struct vol *v, uint64_t ino)
{
    char data[16];
    size_t got;
    assert_ok(fs_read(v->fs, ino, 0, data, sizeof data, &got));
}

static void set_times(struct vol *v, uint64_t ino, int64_t a, int64_t m, int64_t c)
{
    struct fs_attr got, want = {.atime = {a, 5}, .mtime = {m, 5}, .ctime = {c, 5}};
    assert_ok(fs_setattr(v->fs, ino, FS_SET_ATIME | FS_SET_MTIME | FS_SET_CTIME, &want, &got));
}

static int64_t now_s(struct vol *v)
{
    return v->options.env->realtime_ns(v->options.env) / 1000000000;
}

/* ---- the rule ---- */

static void test_rule(void **state)
{
    (void)state;
    static const struct {
        struct fs_time a, m, c, now;
        bool due;
    } cases[] = {
        {{100, 0}, {99, 0}, {99, 0}, {101, 0}, false},
        {{100, 0}, {100, 0}, {99, 0}, {101, 0}, true}, /* as old as the change */
        {{100, 0}, {99, 0}, {100, 0}, {101, 0}, true},
        {{100, 0}, {100, 1}, {99, 0}, {101, 0}, true},
        {{100, 1}, {100, 0}, {100, 0}, {101, 0}, false},
        {{100, 0}, {99, 0}, {101, 0}, {102, 0}, true},
        {{100, 0}, {99, 0}, {99, 0}, {100 + DAY - 1, 9}, false},
        {{100, 0}, {99, 0}, {99, 0}, {100 + DAY, 0}, true},
        {{100, 0}, {99, 0}, {99, 0}, {50, 0}, false}, /* the clock went back */
        {{-5, 0}, {-6, 0}, {-6, 0}, {-4, 0}, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct inode n = {.atime = cases[i].a, .mtime = cases[i].m, .ctime = cases[i].c};
        assert_int_equal(atime_is_due(FS_ATIME_RELATIVE, &n, cases[i].now), cases[i].due);
        assert_true(atime_is_due(FS_ATIME_STRICT, &n, cases[i].now));
        assert_false(atime_is_due(FS_ATIME_NONE, &n, cases[i].now));
    }
}

/* ---- what sets them ---- */

static void read_file(struct vol *v, uint64_t ino)
{
    read_it(v, ino);
}
static void peek_file(struct vol *v, uint64_t ino)
{
    char data[16];
    size_t got;
    assert_ok(fs_peek(v->fs, ino, 0, data, sizeof data, &got));
}
static void read_end(struct vol *v, uint64_t ino)
{
    char data[16];
    size_t got;
    assert_ok(fs_read(v->fs, ino, 100, data, sizeof data, &got));
    assert_int_equal(got, 0);
}
static int take_entry(void *ctx, const char *name, const struct fs_attr *attr, uint64_t next)
{
    (void)ctx;
    (void)name;
    (void)attr;
    (void)next;
    return 0;
}
static void list_folder(struct vol *v, uint64_t ino)
{
    assert_ok(fs_readdir(v->fs, ino, 0, true, take_entry, NULL));
}
static void read_link(struct vol *v, uint64_t ino)
{
    char target[FS_SYMLINK_MAX + 1];
    assert_ok(fs_readlink(v->fs, ino, target));
}
static void look_up(struct vol *v, uint64_t ino)
{
    struct fs_attr a;
    size_t len;
    char value[8];
    fs_lookup(v->fs, ino, "x", &a);
    assert_ok(fs_getattr(v->fs, ino, &a));
    assert_errno(fs_getxattr(v->fs, ino, "user.x", value, 8, &len), ENODATA);
}

static void test_what_sets_them(void **state)
{
    (void)state;
    static const struct {
        void (*play)(struct vol *v, uint64_t ino);
        int which; /* 0 file, 1 folder, 2 link */
        bool sets;
    } cases[] = {{read_file, 0, true},   {peek_file, 0, false}, {read_end, 0, true},
                 {list_folder, 1, true}, {read_link, 2, true},  {look_up, 0, false},
                 {look_up, 1, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct vol v;
        vol_make(&v, 0);
        const uint64_t inos[] = {vol_text(&v, ROOT, "f", "text"), vol_mkdir(&v, ROOT, "d"),
                                 vol_symlink(&v, ROOT, "s", "target")};
        uint64_t ino = inos[cases[i].which];
        for (int rule = FS_ATIME_NONE; rule <= FS_ATIME_STRICT; rule++) {
            open_with(&v, (enum fs_atime)rule);
            struct fs_attr before = vol_attr(&v, ino);
            cases[i].play(&v, ino);
            struct fs_attr after = vol_attr(&v, ino);
            bool sets = cases[i].sets && rule != FS_ATIME_NONE &&
                        (rule == FS_ATIME_STRICT || !cases[i].sets ||
                         vol_ns(before.atime) <= vol_ns(before.mtime));
            assert_int_equal(vol_ns(after.atime) > vol_ns(before.mtime) &&
                                 vol_ns(after.atime) > vol_ns(before.atime),
                             sets);
            assert_int_equal(fs_times_waiting(v.fs), sets);
            after.atime = before.atime;
            assert_true(vol_same_attr(&before, &after));
        }
        vol_free(&v);
    }
}

static void test_relative(void **state)
{
    (void)state;
    struct vol v;
    vol_make(&v, 0);
    open_with(&v, FS_ATIME_RELATIVE);
    uint64_t f = vol_text(&v, ROOT, "f", "text");
    read_it(&v, f);
    struct fs_time first = atime(&v, f);
    read_it(&v, f);
    assert_true(vol_same_time(atime(&v, f), first)); /* read since the last change */
    assert_ok(fs_write_times(v.fs));
    read_it(&v, f);
    assert_true(vol_same_time(atime(&v, f), first));
    assert_int_equal(fs_times_waiting(v.fs), 0);
    assert_ok(fs_write(v.fs, f, 0, "x", 1));
    read_it(&v, f);
    struct fs_time second = atime(&v, f);
    assert_true(vol_ns(second) > vol_ns(first));
    int64_t now = now_s(&v);
    set_times(&v, f, now - DAY - 1, now - 2 * DAY, now - 2 * DAY);
    read_it(&v, f);
    assert_true(atime(&v, f).sec >= now);
    set_times(&v, f, now - DAY + 60, now - 2 * DAY, now - 2 * DAY);
    read_it(&v, f);
    assert_int_equal(atime(&v, f).sec, now - DAY + 60);
    vol_free(&v);
}

static void test_not_of_folders(void **state)
{
    (void)state;
    struct vol v;
    vol_make(&v, 0);
    v.options.no_dir_atime = true;
    open_with(&v, FS_ATIME_STRICT);
    uint64_t d = vol_mkdir(&v, ROOT, "d"), f = vol_text(&v, d, "f", "text");
    struct fs_time before = atime(&v, d);
    list_folder(&v, d);
    assert_true(vol_same_time(atime(&v, d), before));
    read_it(&v, f);
    assert_int_equal(fs_times_waiting(v.fs), 1);
    vol_free(&v);
}

static void test_snapshots_and_read_only(void **state)
{
    (void)state;
    struct vol v;
    struct fs_attr a;
    vol_make(&v, 0);
    open_with(&v, FS_ATIME_STRICT);
    uint64_t f = vol_text(&v, ROOT, "f", "text");
    assert_ok(fs_snapshot_create(v.fs, "s"));
    assert_ok(fs_lookup(v.fs, FS_INO_SNAPSHOTS, "s", &a));
    list_folder(&v, a.ino);
    assert_ok(fs_lookup(v.fs, a.ino, "f", &a));
    read_it(&v, a.ino);
    list_folder(&v, FS_INO_CONTROL);
    list_folder(&v, FS_INO_SNAPSHOTS);
    assert_int_equal(fs_times_waiting(v.fs), 0);
    struct fs_time before = atime(&v, a.ino);
    read_it(&v, f);
    assert_true(vol_same_time(atime(&v, a.ino), before)); /* what waits is of the present */
    assert_true(vol_ns(atime(&v, f)) > vol_ns(before));
    v.options.read_only = true;
    vol_reopen(&v);
    read_it(&v, f);
    assert_int_equal(fs_times_waiting(v.fs), 0);
    vol_free(&v);
}

/* ---- when they are written ---- */

/* They are shown at once, in listings too. */
static int want_time(void *ctx, const char *name, const struct fs_attr *attr, uint64_t next)
{
    struct fs_attr *want = ctx;
    (void)next;
    if (strcmp(name, "f") == 0)
        assert_true(vol_same_time(attr->atime, want->atime));
    return 0;
}

static void test_written(void **state)
{
    (void)state;
    for (int way = 0; way < 4; way++) {
        struct vol v;
        struct fs_attr a;
        vol_make(&v, 0);
        open_with(&v, FS_ATIME_STRICT);
        uint64_t f = vol_text(&v, ROOT, "f", "text");
        assert_ok(fs_sync(v.fs));
        struct fs_time before = atime(&v, f);
        read_it(&v, f);
        struct fs_attr seen = vol_attr(&v, f);
        assert_true(vol_ns(seen.atime) > vol_ns(before));
        assert_ok(fs_lookup(v.fs, ROOT, "f", &a));
        assert_true(vol_same_time(a.atime, seen.atime));
        assert_ok(fs_readdir(v.fs, ROOT, 0, true, want_time, &seen));
        if (way == 0)
            assert_ok(fs_fsync(v.fs, f, false)); /* about data: the time still waits */
        else if (way == 1)
            assert_ok(fs_sync(v.fs));
        else if (way == 2)
            assert_ok(fs_write_times(v.fs));
        assert_int_equal(fs_times_waiting(v.fs), way == 1 || way == 2 ? 0 : 2);
        if (way == 3)
            vol_reopen(&v);
        else
            vol_crash(&v, SIM_KEEP_ALL);
        a = vol_attr(&v, f);
        assert_true(vol_same_time(a.atime, way == 0 ? before : seen.atime));
        seen.atime = a.atime;
        assert_true(vol_same_attr(&a, &seen)); /* and nothing else has changed */
        vol_free(&v);
    }
}

/* What a program sets is what it is, whatever waits; reading later counts again. */
static void test_set_wins(void **state)
{
    (void)state;
    struct vol v;
    struct fs_attr a, want = {.mode = 0600};
    vol_make(&v, 0);
    open_with(&v, FS_ATIME_STRICT);
    uint64_t f = vol_text(&v, ROOT, "f", "text");
    read_it(&v, f);
    struct fs_time seen = atime(&v, f);
    assert_ok(fs_setattr(v.fs, f, FS_SET_MODE, &want, &a));
    assert_true(vol_same_time(a.atime, seen)); /* chmod leaves it */
    assert_ok(fs_write(v.fs, f, 0, "x", 1));
    assert_true(vol_same_time(atime(&v, f), seen));
    set_times(&v, f, 77, 78, 79);
    assert_int_equal(atime(&v, f).sec, 77);
    assert_int_equal(fs_times_waiting(v.fs), 0);
    assert_ok(fs_write_times(v.fs));
    assert_int_equal(atime(&v, f).sec, 77);
    read_it(&v, f);
    assert_true(atime(&v, f).sec > 77);
    vol_reopen(&v);
    assert_true(atime(&v, f).sec > 77);
    vol_free(&v);
}

static void test_deleted(void **state)
{
    (void)state;
    struct vol v;
    vol_make(&v, 0);
    open_with(&v, FS_ATIME_STRICT);
    uint64_t f = vol_text(&v, ROOT, "f", "text"), g = vol_text(&v, ROOT, "g", "text");
    read_it(&v, f);
    read_it(&v, g);
    assert_ok(fs_unlink(v.fs, ROOT, "f"));
    assert_ok(fs_unlink(v.fs, ROOT, "g"));
    fs_forget(v.fs, f);
    assert_ok(fs_write_times(v.fs)); /* g is still open somewhere */
    assert_int_equal(fs_times_waiting(v.fs), 0);
    assert_errno(fs_getattr(v.fs, f, &(struct fs_attr){0}), ENOENT);
    fs_forget(v.fs, g);
    vol_free(&v);
}

/* ---- bounds and failures ---- */

static void test_full(void **state)
{
    (void)state;
    enum { FILES = FS_TIMES_MAX + 2000 };
    struct vol v;
    vol_make(&v, 0);
    open_with(&v, FS_ATIME_RELATIVE);
    uint64_t *inos = calloc(FILES, sizeof *inos);
    for (int i = 0; i < FILES; i++) {
        char name[24];
        snprintf(name, sizeof name, "f%d", i);
        inos[i] = vol_file(&v, ROOT, name);
    }
    vol_settle(&v);
    size_t written = 0;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < FILES; i++)
            read_it(&v, inos[i]);
        size_t waiting = fs_times_waiting(v.fs);
        assert_true(waiting <= FS_TIMES_MAX && (round > 0 || waiting > FS_TIMES_MAX / 2));
        for (int i = 0; i < FILES && round == 0; i += 97) { /* all can be found, or are not kept */
            struct fs_attr a = vol_attr(&v, inos[i]);
            assert_true(vol_ns(a.atime) >= vol_ns(a.mtime));
        }
        assert_ok(fs_write_times(v.fs));
        assert_int_equal(fs_times_waiting(v.fs), 0);
        written += waiting;
    }
    assert_int_equal(written, FILES);
    for (int i = 0; i < FILES; i++) {
        struct fs_attr a = vol_attr(&v, inos[i]);
        assert_true(vol_ns(a.atime) > vol_ns(a.mtime));
    }
    free(inos);
    vol_free(&v);
}

/* A table of the size that it has, against a list. */
static void test_table(void **state)
{
    (void)state;
    enum { INOS = 400 };
    struct vol v;
    static int64_t want[INOS]; /* 0: not there */
    uint64_t seed = unit_seed();
    vol_make(&v, 0);
    open_with(&v, FS_ATIME_STRICT);
    struct atimes *t = v.fs->atimes;
    memset(want, 0, sizeof want);
    for (int step = 0; step < 20000; step++) {
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
        uint64_t i = (seed >> 33) % INOS;
        struct inode n = {.ino = 100 + i, .mode = S_IFREG};
        struct fs_time got;
        if ((seed >> 20) % 2) {
            atime_note(v.fs, &n);
            assert_true(atime_get(t, n.ino, &got));
            want[i] = vol_ns(got);
        } else if ((seed >> 21) % 2) {
            atime_drop(t, n.ino);
            want[i] = 0;
        } else {
            got = (struct fs_time){1, 1};
            atime_written(t, n.ino, got, got); /* another time: it waits on */
        }
        if (step % 100 == 0) {
            size_t count = 0;
            for (i = 0; i < INOS; i++) {
                assert_int_equal(atime_get(t, 100 + i, &got), want[i] != 0);
                assert_true(want[i] == 0 || vol_ns(got) == want[i]);
                count += want[i] != 0;
            }
            assert_int_equal(atime_waiting(t), count);
        }
    }
    for (uint64_t i = 0; i < INOS; i++)
        atime_drop(t, 100 + i);
    vol_free(&v);
}

static void test_cannot_write(void **state)
{
    (void)state;
    struct vol v;
    vol_make(&v, 0);
    open_with(&v, FS_ATIME_STRICT);
    uint64_t f = vol_text(&v, ROOT, "f", "text");
    assert_ok(fs_sync(v.fs));
    read_it(&v, f);
    struct fs_time seen = atime(&v, f);
    simdisk_cut_at(v.disk, 1, SIM_CUT_BEFORE);
    assert_true(fs_sync(v.fs) < 0);
    read_it(&v, f); /* which goes on */
    assert_true(vol_ns(atime(&v, f)) > vol_ns(seen));
    assert_true(fs_write_times(v.fs) < 0);
    assert_int_equal(fs_times_waiting(v.fs), 1);
    fs_close(v.fs);
    v.fs = NULL;
    simdisk_crash(v.disk, SIM_KEEP_ALL, 1);
    vol_open(&v);
    vol_free(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rule),
        cmocka_unit_test(test_what_sets_them),
        cmocka_unit_test(test_relative),
        cmocka_unit_test(test_not_of_folders),
        cmocka_unit_test(test_snapshots_and_read_only),
        cmocka_unit_test(test_written),
        cmocka_unit_test(test_set_wins),
        cmocka_unit_test(test_deleted),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_cannot_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
