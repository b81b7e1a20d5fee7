/* test_rollback_power: the power is cut at every call that changes the disk while a volume goes
 * back to a snapshot, in either way. What is found is sound, and the tree as it was before or as it
 * is in the snapshot; once it was acknowledged, the latter.
 *
 * ROUNDS=n tries more histories; SEED=n repeats one. */
#include "tests/sim/fspower.h"

static const char *const DIR = "/volume";
enum { OPS = 120 };

/* A volume with a history: a snapshot "s", and what came after. */
struct origin {
    struct simdisk *disk;
    struct fsmodel early, late;
};

static void play_some(struct fs *fs, struct fsmodel *m, struct simrng *r, uint64_t *inos,
                      size_t *ino_count)
{
    for (int i = 0; i < OPS; i++) {
        struct fsop op;
        fsmodel_random(m, r, false, &op);
        if (op.kind < FSOP_SYNC)
            assert_int_equal(fsop_play(fs, &op, inos, ino_count), fsmodel_apply(m, &op));
    }
}

static void end_orphans(struct fsmodel *m)
{
    static const struct fsop reopen = {.kind = FSOP_REOPEN};
    fsmodel_apply(m, &reopen);
}

static void origin_make(struct origin *o, uint64_t seed)
{
    struct fs_make_options make;
    struct fs_options open;
    struct store_options store;
    struct simrng r = {seed}, again = {seed};
    struct fs *fs;
    uint64_t inos[2 * OPS + 1] = {FS_INO_ROOT};
    size_t ino_count = 1;
    o->disk = simdisk_new(seed);
    fspower_make(o->disk, DIR, &make);
    fspower_options(&open, &store, o->disk);
    assert_ok(fs_open(DIR, &open, &fs));
    fsmodel_init(&o->early);
    fsmodel_init(&o->late);
    play_some(fs, &o->late, &r, inos, &ino_count);
    for (int i = 0; i < OPS; i++) { /* the model alone, once more */
        struct fsop op;
        fsmodel_random(&o->early, &again, false, &op);
        if (op.kind < FSOP_SYNC)
            fsmodel_apply(&o->early, &op);
    }
    assert_ok(fs_close(fs)); /* nobody uses what has no name */
    end_orphans(&o->early);
    end_orphans(&o->late);
    assert_ok(fs_open(DIR, &open, &fs));
    assert_ok(fs_snapshot_create(fs, "s"));
    play_some(fs, &o->late, &r, inos, &ino_count);
    assert_ok(fs_close(fs));
    end_orphans(&o->late);
}

static void origin_release(struct origin *o)
{
    simdisk_free(o->disk);
    fsmodel_release(&o->early);
    fsmodel_release(&o->late);
}

/* ---- */

static int go_back(struct simdisk *d, bool discard, uint64_t at, enum sim_cut how, uint64_t *calls)
{
    struct fs_options o;
    struct store_options store;
    struct fs_rollback done;
    struct fs *fs;
    fspower_options(&o, &store, d);
    uint64_t before = simdisk_ops(d);
    if (discard) {
        simdisk_cut_at(d, at, how);
        int err = fs_rewind(DIR, &o, "s");
        *calls = simdisk_ops(d) - before;
        return err;
    }
    assert_ok(fs_open(DIR, &o, &fs));
    before = simdisk_ops(d);
    simdisk_cut_at(d, at, how);
    int err = fs_rollback(fs, "s", "kept", NULL, NULL, &done);
    *calls = simdisk_ops(d) - before;
    if (at)
        simdisk_cut_at(d, 1, SIM_CUT_BEFORE); /* closing is not what is tested */
    fs_close(fs);
    return err;
}

/* Is the present the state of the snapshot? */
static bool check(struct origin *o, struct simdisk *d, bool acked, const char *where)
{
    struct fs_options open;
    struct store_options store;
    struct fs_check_report report;
    struct fs_attr a;
    struct fs *fs;
    char why[256], why_late[256];
    fspower_options(&open, &store, d);
    assert_ok(
        fs_check(DIR, &open, true, fspower_on_finding, NULL, (void *)(uintptr_t)where, &report));
    assert_ok(fs_open(DIR, &open, &fs));
    bool back = fsmodel_equals(&o->early, fs, 0, NULL, why);
    if (!back && (acked || !fsmodel_equals(&o->late, fs, 0, NULL, why_late)))
        fail_msg("%s: neither before nor after: %s", where, why);
    assert_ok(fs_lookup(fs, FS_INO_SNAPSHOTS, "s", &a));
    assert_true(fsmodel_equals(&o->early, fs, a.ino >> FS_INO_BITS, NULL, why));
    if (fs_lookup(fs, FS_INO_SNAPSHOTS, "kept", &a) == 0)
        assert_true(fsmodel_equals(&o->late, fs, a.ino >> FS_INO_BITS, NULL, why));
    assert_ok(fs_close(fs));
    return back;
}

static void cut_everywhere(struct origin *o, bool discard, uint64_t seed)
{
    static const enum sim_crash modes[] = {SIM_KEEP_SYNCED, SIM_KEEP_ALL, SIM_RANDOM};
    struct simdisk *d = simdisk_clone(o->disk);
    uint64_t calls, unused;
    int seen[2] = {0};
    assert_ok(go_back(d, discard, 0, SIM_CUT_BEFORE, &calls));
    assert_true(check(o, d, true, "not cut"));
    simdisk_free(d);
    for (uint64_t at = 1; at <= calls + 1; at++) {
        char where[96];
        d = simdisk_clone(o->disk);
        int err = go_back(d, discard, at, at % 2 ? SIM_CUT_BEFORE : SIM_CUT_WITHIN, &unused);
        snprintf(where, sizeof where, "seed %llu, %s, cut at call %llu", (unsigned long long)seed,
                 discard ? "discarding" : "keeping", (unsigned long long)at);
        simdisk_crash(d, modes[at % 3], seed ^ at);
        seen[check(o, d, err == 0, where)]++;
        simdisk_assert_valid(d);
        simdisk_free(d);
    }
    assert_true(seen[0] > 0 && seen[1] > 0);
}

static void test_cut_at_every_call(void **state)
{
    (void)state;
    uint64_t seed = unit_seed();
    for (size_t round = 0; round < unit_setting("ROUNDS", 2); round++) {
        struct origin o;
        origin_make(&o, seed + round);
        cut_everywhere(&o, false, seed + round);
        cut_everywhere(&o, true, seed + round);
        origin_release(&o);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cut_at_every_call),
    };
    log_set_sink(unit_log, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
