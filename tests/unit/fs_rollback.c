/* Going back to a snapshot: the present is what the snapshot is, with all snapshots still there,
 * or, for good, without what came after. Against the model of a file system. */
#include "tests/unit/vol.h"

#include "fs/format.h"
#include "fs/volume.h"
#include "tests/sim/fsmodel.h"

enum { OPS = 250 };

struct play {
    struct vol v;
    struct fsmodel m;
    uint64_t *inos;
    size_t ino_count, cap;
};

static void begin(struct play *p)
{
    struct fs_attr a, want = {.uid = 7, .gid = 8, .mode = 0755};
    *p = (struct play){.cap = 20 * OPS, .ino_count = 1};
    p->inos = calloc(p->cap, sizeof *p->inos);
    vol_make(&p->v, FSMODEL_CHUNK);
    assert_ok(fs_setattr(p->v.fs, FS_INO_ROOT, FS_SET_UID | FS_SET_GID | FS_SET_MODE, &want, &a));
    fsmodel_init(&p->m);
    p->inos[0] = FS_INO_ROOT;
}

static void end(struct play *p)
{
    fsmodel_release(&p->m);
    free(p->inos);
    vol_free(&p->v);
}

/* Operations that change what can be seen; then nobody uses what has no name. */
static void change(struct play *p, struct simrng *r, int count)
{
    static const struct fsop reopen = {.kind = FSOP_REOPEN};
    for (int i = 0; i < count; i++) {
        struct fsop op;
        fsmodel_random(&p->m, r, false, &op);
        if (op.kind >= FSOP_SYNC) {
            fs_work(p->v.fs);
            continue;
        }
        assert_true(p->ino_count < p->cap);
        assert_int_equal(fsop_play(p->v.fs, &op, p->inos, &p->ino_count),
                         fsmodel_apply(&p->m, &op));
    }
    fsmodel_apply(&p->m, &reopen);
    vol_reopen(&p->v);
}

static void assert_shows(struct play *p, const struct fsmodel *m, const char *snapshot)
{
    char why[256];
    uint64_t root = snapshot ? vol_find(&p->v, FS_INO_SNAPSHOTS, snapshot) : 0;
    assert_true(!snapshot || root);
    if (!fsmodel_equals(m, p->v.fs, root >> FS_INO_BITS, NULL, why))
        fail_msg("%s: %s", snapshot ? snapshot : "the present", why);
}

/* The model as it was after the same random operations. */
static void replay(struct fsmodel *m, uint64_t seed, int count)
{
    static const struct fsop reopen = {.kind = FSOP_REOPEN};
    struct simrng r = {seed};
    fsmodel_init(m);
    for (int i = 0; i < count; i++) {
        struct fsop op;
        fsmodel_random(m, &r, false, &op);
        if (op.kind < FSOP_SYNC)
            fsmodel_apply(m, &op);
    }
    fsmodel_apply(m, &reopen);
}

static void test_random(void **state)
{
    (void)state;
    uint64_t seed = unit_seed();
    for (uint64_t round = 0; round < 12; round++) {
        struct play p;
        struct fs_rollback done;
        struct fsmodel early;
        struct simrng r = {seed + round}, later = {seed + round + 1000};
        begin(&p);
        change(&p, &r, OPS);
        replay(&early, seed + round, OPS);
        assert_ok(fs_snapshot_create(p.v.fs, "early"));
        assert_shows(&p, &early, NULL);
        change(&p, &later, OPS);
        assert_ok(fs_snapshot_create(p.v.fs, "late"));
        if (round % 2)
            assert_ok(fs_compact(p.v.fs));
        assert_ok(fs_rollback(p.v.fs, "early", "before", NULL, NULL, &done));
        assert_true(done.restored + done.removed > 0);
        assert_shows(&p, &early, NULL);
        assert_shows(&p, &early, "early");
        assert_shows(&p, &p.m, "late");
        assert_shows(&p, &p.m, "before");
        vol_assert_sound(&p.v);
        if (round % 3 == 0)
            vol_crash(&p.v, SIM_KEEP_SYNCED); /* it was durable */
        assert_shows(&p, &early, NULL);
        /* And forth again. */
        assert_ok(fs_rollback(p.v.fs, "before", NULL, NULL, NULL, &done));
        assert_shows(&p, &p.m, NULL);
        assert_ok(fs_rollback(p.v.fs, "late", NULL, NULL, NULL, &done));
        assert_int_equal(done.restored + done.removed, 0);
        assert_ok(fs_compact(p.v.fs));
        assert_shows(&p, &p.m, NULL);
        assert_shows(&p, &early, "early");
        fsmodel_release(&early);
        end(&p);
    }
}

static void test_rewind(void **state)
{
    (void)state;
    uint64_t seed = unit_seed();
    for (uint64_t round = 0; round < 8; round++) {
        struct play p;
        struct fsmodel early;
        struct simrng r = {seed + round}, later = {seed + round + 1000};
        begin(&p);
        change(&p, &r, OPS);
        replay(&early, seed + round, OPS);
        assert_ok(fs_snapshot_create(p.v.fs, "early"));
        change(&p, &later, OPS);
        assert_ok(fs_snapshot_create(p.v.fs, "late"));
        if (round % 2)
            assert_ok(fs_compact(p.v.fs));
        change(&p, &later, OPS / 4);
        vol_close(&p.v);
        assert_errno(fs_rewind(VOL_DIR, &p.v.options, "none"), ENODATA);
        assert_ok(fs_rewind(VOL_DIR, &p.v.options, "early"));
        simdisk_crash(p.v.disk, SIM_KEEP_SYNCED, 1);
        vol_open(&p.v);
        assert_shows(&p, &early, NULL);
        assert_shows(&p, &early, "early");
        assert_true(vol_find(&p.v, FS_INO_SNAPSHOTS, "late") == 0);
        vol_assert_sound(&p.v);
        /* Life goes on, and compaction finds what was cut off. */
        vol_text(&p.v, FS_INO_ROOT, "after", "the past");
        assert_ok(fs_unlink(p.v.fs, FS_INO_ROOT, "after"));
        assert_ok(fs_compact(p.v.fs));
        vol_reopen(&p.v);
        assert_shows(&p, &early, "early");
        fsmodel_release(&early);
        end(&p);
    }
}

/* ---- single things ---- */

static uint64_t next_ino(struct vol *v)
{
    struct store_read read;
    struct store_value value = {0};
    struct key k = key_super(SUPER_NEXT_INO);
    uint64_t next;
    store_read_begin(v->fs->store, &read);
    assert_ok(store_get(&read, key_slice(&k), &value));
    assert_ok(next_ino_decode(value.data, &next));
    store_value_release(&value);
    store_read_end(&read);
    return next;
}

/* A number that was given out stays given out. */
static void test_numbers_are_not_used_again(void **state)
{
    (void)state;
    struct vol v;
    struct fs_rollback done;
    vol_make(&v, 0);
    assert_ok(fs_snapshot_create(v.fs, "s"));
    for (int i = 0; i < 3; i++)
        vol_reopen(&v); /* each time a new reservation is begun */
    uint64_t file = vol_file(&v, FS_INO_ROOT, "file"), next = next_ino(&v);
    assert_ok(fs_rollback(v.fs, "s", "b", NULL, NULL, &done));
    assert_true(next_ino(&v) >= next);
    vol_reopen(&v);
    assert_true(vol_find(&v, FS_INO_ROOT, "file") == 0);
    assert_true(vol_file(&v, FS_INO_ROOT, "other") > file);
    vol_free(&v);
}

/* A file that had no name any more when the snapshot was taken, but a user, comes back with it, and
 * goes with the next user. */
static void test_orphans(void **state)
{
    (void)state;
    struct vol v;
    struct fs_attr a;
    struct fs_rollback done;
    vol_make(&v, 0);
    uint64_t ino = vol_text(&v, FS_INO_ROOT, "f", "still read");
    assert_ok(fs_unlink(v.fs, FS_INO_ROOT, "f"));
    assert_ok(fs_snapshot_create(v.fs, "s"));
    fs_forget(v.fs, ino);
    assert_errno(fs_getattr(v.fs, ino, &a), ENOENT);
    assert_ok(fs_rollback(v.fs, "s", NULL, NULL, NULL, &done));
    assert_ok(fs_getattr(v.fs, ino, &a));
    assert_int_equal(a.nlink, 0);
    vol_reopen(&v);
    assert_errno(fs_getattr(v.fs, ino, &a), ENOENT);
    vol_free(&v);
}

static int stop_at_once(void *ctx, uint64_t done, uint64_t total)
{
    (void)ctx;
    (void)done;
    (void)total;
    return 1;
}

static void test_refusals(void **state)
{
    (void)state;
    struct vol v;
    struct fs_rollback done;
    char name[16];
    vol_make(&v, 0);
    assert_ok(fs_snapshot_create(v.fs, "s"));
    for (int i = 0; i < 400; i++) {
        snprintf(name, sizeof name, "f%d", i);
        vol_text(&v, FS_INO_ROOT, name, name);
    }
    assert_errno(fs_rollback(v.fs, "none", "k", NULL, NULL, &done), ENOENT);
    assert_errno(fs_rollback(v.fs, "s", "s", NULL, NULL, &done), EEXIST);
    assert_errno(fs_rollback(v.fs, "s", "a/b", NULL, NULL, &done), EINVAL);
    /* Given up half way, nothing is there of it. */
    assert_errno(fs_rollback(v.fs, "s", "k", stop_at_once, NULL, &done), EINTR);
    assert_true(vol_find(&v, FS_INO_SNAPSHOTS, "k") == 0);
    assert_true(vol_find(&v, FS_INO_ROOT, "f0") && vol_find(&v, FS_INO_ROOT, "f399"));
    v.options.read_only = true;
    vol_reopen(&v);
    assert_errno(fs_rollback(v.fs, "s", NULL, NULL, NULL, &done), EROFS);
    vol_free(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_rewind),
        cmocka_unit_test(test_numbers_are_not_used_again),
        cmocka_unit_test(test_orphans),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
