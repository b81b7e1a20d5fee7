/* History: times as names, moments that are kept and forgotten, their trees beside the present and
 * snapshots, and that compaction keeps them and gives the rest back. */
#include "tests/unit/vol.h"

#include "fs/history.h"

#define ROOT   FS_INO_ROOT
#define SECOND INT64_C(1000000000)

/* ---- times as names ---- */

static void assert_time(const char *name, int64_t second)
{
    int64_t parsed;
    char printed[HISTORY_NAME_MAX];
    if (history_parse(name, &parsed) != 0)
        fail_msg("%s is refused", name);
    assert_int_equal(parsed, second);
    history_name(second, printed);
    assert_memory_equal(printed, name, strlen(name));
}

static void test_names(void **state)
{
    (void)state;
    assert_time("1970-01-01T00:00:00", 0);
    assert_time("1970-01-01T00:00", 0);
    assert_time("1970-03-01T00:00:01", 59 * 86400 + 1);
    assert_time("2000-02-29T12:34:56", 951827696);
    assert_time("2026-11-20T14:00", 1795183200);
    assert_time("2100-03-01T00:00", 4107542400);
    assert_time("9999-12-31T23:59:59", 253402300799);
    static const char *const bad[] = {"",
                                      "2026",
                                      "2026-11-20",
                                      "2026-11-20T14",
                                      "2026-11-20T14:",
                                      "2026-11-20T14:0",
                                      "2026-11-20T14:00:",
                                      "2026-11-20T14:00:0",
                                      "2026-11-20T14:00:000",
                                      "2026-11-20T24:00",
                                      "2026-11-20T14:60",
                                      "2026-11-20T14:00:60",
                                      "2026-02-29T00:00",
                                      "2026-13-01T00:00",
                                      "2026-00-01T00:00",
                                      "2026-01-00T00:00",
                                      "2026-04-31T00:00",
                                      "1969-12-31T23:59",
                                      "2026-11-20 14:00",
                                      "2026-11-20t14:00",
                                      "+026-11-20T14:00",
                                      "2026-11-20T14:00Z",
                                      "2026-11-20T14.00"};
    int64_t second;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (history_parse(bad[i], &second) != -ENOENT)
            fail_msg("'%s' is taken", bad[i]);
    for (int64_t day = 0; day < 60000; day += 7) {
        char name[HISTORY_NAME_MAX];
        history_name(day * 86400 + 3661, name);
        assert_time(name, day * 86400 + 3661);
    }
}

/* ---- moments ---- */

static void wait_seconds(struct vol *v, int64_t seconds)
{
    simdisk_advance(v->disk, (uint64_t)(seconds * SECOND));
}

static void now_name(struct vol *v, char name[HISTORY_NAME_MAX])
{
    history_name(store_realtime(v->fs->store) / SECOND, name);
}

static uint64_t root_at(struct vol *v, const char *name)
{
    return vol_find(v, FS_INO_AT, name);
}

static void assert_at(struct vol *v, const char *time, const char *text)
{
    uint64_t root = root_at(v, time);
    if (root == 0)
        fail_msg("there is nothing at %s", time);
    uint64_t file = vol_find(v, root, "f");
    assert_true(file >> FS_INO_BITS == root >> FS_INO_BITS);
    vol_assert_text(v, file, text);
}

static void test_moments(void **state)
{
    (void)state;
    struct vol v;
    struct fs_history h;
    struct fs_attr a;
    char before[HISTORY_NAME_MAX], times[4][HISTORY_NAME_MAX], late[HISTORY_NAME_MAX];
    static const char *const texts[] = {"one", "two", "three", "four"};
    vol_make(&v, 0);
    assert_true(vol_find(&v, FS_INO_CONTROL, "at") == 0);
    uint64_t f = vol_text(&v, ROOT, "f", "zero");
    now_name(&v, before);
    for (int i = 0; i < 4; i++) {
        wait_seconds(&v, 60);
        assert_ok(fs_write(v.fs, f, 0, texts[i], strlen(texts[i])));
        assert_ok(fs_history_keep(v.fs));
        assert_int_equal(fs_history_keep(v.fs), 1); /* nothing has changed */
        now_name(&v, times[i]);
        wait_seconds(&v, 5);
    }
    now_name(&v, late);
    wait_seconds(&v, 60);
    assert_ok(fs_write(v.fs, f, 0, "five!", 5));
    assert_true(vol_find(&v, FS_INO_CONTROL, "at") == FS_INO_AT);
    assert_ok(fs_snapshot_create(v.fs, "snapshot"));
    for (int round = 0; round < 3; round++) {
        fs_history_get(v.fs, &h);
        assert_int_equal(h.moments, 4);
        assert_true(h.oldest_ns < h.newest_ns);
        assert_true(root_at(&v, before) == 0);
        assert_true(root_at(&v, "9999-01-01T00:00") == 0); /* of the future */
        assert_true(root_at(&v, "yesterday") == 0);
        assert_at(&v, times[0], "oneo");
        assert_at(&v, times[1], "twoo");
        assert_at(&v, times[2], "three");
        assert_at(&v, times[3], "foure");
        assert_at(&v, late, "foure"); /* the last that was kept until then */
        /* Each time has numbers of its own, and keeps them; none is a snapshot's. */
        uint64_t one = root_at(&v, times[3]), other = root_at(&v, late);
        assert_true(one != other && one == root_at(&v, times[3]));
        assert_true(one >> FS_INO_BITS >= FS_MOMENT_FIRST);
        assert_true(vol_find(&v, FS_INO_SNAPSHOTS, "snapshot") >> FS_INO_BITS < FS_MOMENT_FIRST);
        assert_errno(fs_unlink(v.fs, one, "f"), EROFS);
        assert_errno(fs_mkdir(v.fs, FS_INO_AT, "x", 0755, &vol_cred, &a), EPERM);
        assert_errno(fs_rmdir(v.fs, FS_INO_AT, times[0]), EPERM);
        if (round == 0)
            assert_ok(fs_compact(v.fs));
        else
            vol_crash(&v, SIM_KEEP_SYNCED);
        f = vol_find(&v, ROOT, "f");
    }
    vol_assert_text(&v, f, "five!");
    vol_free(&v);
}

struct names {
    int count;
    bool at;
    char last[HISTORY_NAME_MAX];
};

static int on_name(void *ctx, const char *name, const struct fs_attr *attr, uint64_t next)
{
    struct names *n = ctx;
    (void)next;
    assert_true(S_ISDIR(attr->mode));
    n->at = n->at || strcmp(name, "at") == 0;
    if (name[0] == '.')
        return 0;
    n->count++;
    snprintf(n->last, sizeof n->last, "%s", name);
    return 0;
}

static int no_snapshot(void *ctx, const struct fs_snapshot *s)
{
    (void)ctx;
    fail_msg("%s is no snapshot", s->name);
    return 0;
}

static void test_listing(void **state)
{
    (void)state;
    struct vol v;
    struct names n = {0};
    vol_make(&v, 0);
    for (int i = 0; i < 5; i++) {
        char name[16];
        snprintf(name, sizeof name, "f%d", i);
        vol_file(&v, ROOT, name);
        assert_ok(fs_history_keep(v.fs));
        wait_seconds(&v, 2);
    }
    assert_ok(fs_readdir(v.fs, FS_INO_AT, 0, true, on_name, &n));
    assert_int_equal(n.count, 5);
    assert_true(vol_find(&v, root_at(&v, n.last), "f4") != 0);
    n = (struct names){0};
    assert_ok(fs_readdir(v.fs, FS_INO_CONTROL, 0, true, on_name, &n));
    assert_true(n.at);
    assert_ok(fs_snapshot_list(v.fs, no_snapshot, NULL)); /* they are none */
    vol_free(&v);
}

/* What lay between moments goes; a moment is forgotten when nothing needs it any more. */
static void test_forgetting(void **state)
{
    (void)state;
    struct vol v;
    struct fs_history h;
    char times[6][HISTORY_NAME_MAX];
    int64_t since[6];
    vol_make(&v, 0);
    uint64_t f = vol_text(&v, ROOT, "f", "0");
    for (int i = 0; i < 6; i++) {
        char text[2] = {(char)('0' + i), 0};
        assert_ok(fs_write(v.fs, f, 0, text, 1));
        assert_ok(fs_history_keep(v.fs));
        now_name(&v, times[i]);
        wait_seconds(&v, 1);
        since[i] = store_realtime(v.fs->store);
        wait_seconds(&v, 60);
    }
    /* What was at since[2] is shown by the moment before it. */
    assert_ok(fs_history_forget(v.fs, since[2]));
    for (int round = 0; round < 2; round++) {
        fs_history_get(v.fs, &h);
        assert_int_equal(h.moments, 4);
        assert_true(root_at(&v, times[1]) == 0);
        assert_at(&v, times[2], "2");
        assert_at(&v, times[5], "5");
        vol_reopen(&v);
        assert_ok(fs_compact(v.fs));
    }
    uint64_t old = root_at(&v, times[2]);
    struct fs_attr a;
    assert_ok(fs_getattr(v.fs, old, &a));
    assert_ok(fs_history_forget(v.fs, store_realtime(v.fs->store)));
    fs_history_get(v.fs, &h);
    assert_int_equal(h.moments, 1);
    assert_errno(fs_getattr(v.fs, old, &a), ESTALE);
    assert_ok(fs_history_forget(v.fs, INT64_MAX));
    fs_history_get(v.fs, &h);
    assert_int_equal(h.moments, 0);
    assert_true(vol_find(&v, FS_INO_CONTROL, "at") == 0);
    vol_free(&v);
}

/* Of a file that is written again and again there is what the moments show, and not each version.
 */
static void test_space_between(void **state)
{
    (void)state;
    struct vol v;
    struct fs_stats one, many;
    uint8_t *data = malloc(100000);
    uint64_t x = 88172645463325252u;
    vol_make(&v, 0);
    uint64_t f = vol_file(&v, ROOT, "f");
    for (int i = 0; i < 60; i++) {
        for (int k = 0; k < 100000; k++) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            data[k] = (uint8_t)x;
        }
        assert_ok(fs_write(v.fs, f, 0, data, 100000));
        if (i % 20 == 10)
            assert_ok(fs_history_keep(v.fs));
    }
    free(data);
    assert_ok(fs_compact(v.fs));
    vol_settle(&v);
    assert_ok(fs_get_stats(v.fs, &many));
    assert_true(many.volume_bytes > 4 * 100000 && many.volume_bytes < 8 * 100000);
    assert_ok(fs_history_forget(v.fs, INT64_MAX));
    assert_ok(fs_compact(v.fs));
    vol_settle(&v);
    assert_ok(fs_get_stats(v.fs, &one));
    assert_true(one.volume_bytes < 3 * 100000);
    vol_free(&v);
}

/* Numbers go round, past those that snapshots have. */
static void test_many_times(void **state)
{
    (void)state;
    struct vol v;
    vol_make(&v, 0);
    vol_text(&v, ROOT, "f", "text");
    assert_ok(fs_history_keep(v.fs));
    int64_t from = store_realtime(v.fs->store) / SECOND;
    wait_seconds(&v, 2 * HISTORY_MOMENTS);
    uint64_t first = 0;
    for (int64_t i = 0; i < HISTORY_MOMENTS + 10; i++) {
        char name[HISTORY_NAME_MAX];
        history_name(from + i, name);
        uint64_t root = root_at(&v, name);
        assert_true(root >> FS_INO_BITS >= FS_MOMENT_FIRST && root >> FS_INO_BITS <= FS_TREES_MAX);
        if (i == 0)
            first = root;
        if (i == HISTORY_MOMENTS)
            assert_int_equal(root, first);
    }
    vol_free(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),         cmocka_unit_test(test_moments),
        cmocka_unit_test(test_listing),       cmocka_unit_test(test_forgetting),
        cmocka_unit_test(test_space_between), cmocka_unit_test(test_many_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
