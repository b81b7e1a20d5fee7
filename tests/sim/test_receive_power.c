/* test_receive_power: the power is cut at every call that changes the disk while a stream is
 * received. What is found is sound, and the present is what it was, or what the stream leads to;
 * then its snapshot is there, too. Once it was acknowledged, the latter. Received again, it is
 * there.
 *
 * SEED=n repeats one. */
#include "tests/sim/fspipe.h"
#include "tests/sim/fspower.h"

static const char *const DIR = "/volume";
static const char *const COPY = "/copy";
enum { OPS = 100 };

/* A disk with a copy that has snapshot "a", and a stream from there to "b". */
struct origin {
    struct simdisk *disk;
    struct fsmodel a, b;
    struct fspipe stream;
};

static void play_some(struct fs *fs, struct fsmodel *m, struct fsmodel *same, struct simrng *r,
                      uint64_t *inos, size_t *ino_count)
{
    for (int i = 0; i < OPS; i++) {
        struct fsop op;
        fsmodel_random(m, r, false, &op);
        if (op.kind >= FSOP_SYNC)
            continue;
        if (same)
            fsmodel_apply(same, &op);
        assert_int_equal(fsop_play(fs, &op, inos, ino_count), fsmodel_apply(m, &op));
    }
}

static void origin_make(struct origin *o, uint64_t seed)
{
    struct fs_make_options make;
    struct fs_receive_options receive = {0};
    struct fs_stream_report report;
    struct fs_options open;
    struct store_options store;
    struct simrng r = {seed};
    struct fspipe first = {0};
    struct fs *fs;
    uint64_t inos[2 * OPS + 1] = {FS_INO_ROOT};
    size_t ino_count = 1;
    *o = (struct origin){.disk = simdisk_new(seed)};
    fspower_make(o->disk, DIR, &make);
    fspower_options(&open, &store, o->disk);
    assert_ok(fs_open(DIR, &open, &fs));
    fsmodel_init(&o->a);
    o->a.limits_unseen = true; /* a stream has none */
    fsmodel_init(&o->b);
    o->b.limits_unseen = true; /* a stream has none */
    play_some(fs, &o->b, &o->a, &r, inos, &ino_count);
    assert_ok(fs_snapshot_create(fs, "a"));
    assert_ok(fs_send(fs, NULL, "a", NULL, fspipe_write, &first, &report));
    play_some(fs, &o->b, NULL, &r, inos, &ino_count);
    assert_ok(fs_snapshot_create(fs, "b"));
    assert_ok(fs_send(fs, "a", "b", NULL, fspipe_write, &o->stream, &report));
    assert_ok(fs_close(fs));
    assert_ok(fs_receive_new(COPY, &make, &receive, fspipe_read, &first, &report));
    buf_release(&first.bytes);
}

static void origin_release(struct origin *o)
{
    simdisk_free(o->disk);
    fsmodel_release(&o->a);
    fsmodel_release(&o->b);
    buf_release(&o->stream.bytes);
}

static int receive(struct origin *o, struct simdisk *d, uint64_t at, enum sim_cut how,
                   uint64_t *calls)
{
    struct fs_receive_options receive = {0};
    struct fs_stream_report report;
    struct fs_options open;
    struct store_options store;
    struct fs *fs;
    fspower_options(&open, &store, d);
    assert_ok(fs_open(COPY, &open, &fs));
    uint64_t before = simdisk_ops(d);
    simdisk_cut_at(d, at, how);
    o->stream.at = 0;
    int err = fs_receive(fs, &receive, fspipe_read, &o->stream, &report);
    *calls = simdisk_ops(d) - before;
    if (at)
        simdisk_cut_at(d, 1, SIM_CUT_BEFORE); /* closing is not what is tested */
    fs_close(fs);
    return err;
}

static void assert_shows(struct fs *fs, const struct fsmodel *m, const char *snapshot,
                         const char *where)
{
    char why[256];
    struct fs_attr a = {0};
    if (snapshot)
        assert_ok(fs_lookup(fs, FS_INO_SNAPSHOTS, snapshot, &a));
    if (!fsmodel_equals(m, fs, a.ino >> FS_INO_BITS, NULL, why))
        fail_msg("%s: %s", where, why);
}

/* Was it received? */
static bool check(struct origin *o, struct simdisk *d, bool acked, const char *where)
{
    struct fs_options open;
    struct store_options store;
    struct fs_check_report report;
    struct fs_attr a;
    struct fs *fs;
    fspower_options(&open, &store, d);
    assert_ok(
        fs_check(COPY, &open, true, fspower_on_finding, NULL, (void *)(uintptr_t)where, &report));
    assert_ok(fs_open(COPY, &open, &fs));
    bool there = fs_lookup(fs, FS_INO_SNAPSHOTS, "b", &a) == 0;
    assert_true(there || !acked);
    assert_shows(fs, there ? &o->b : &o->a, NULL, where);
    assert_shows(fs, &o->a, "a", where);
    if (there)
        assert_shows(fs, &o->b, "b", where);
    assert_ok(fs_close(fs));
    return there;
}

static void test_cut_at_every_call(void **state)
{
    (void)state;
    static const enum sim_crash modes[] = {SIM_KEEP_SYNCED, SIM_KEEP_ALL, SIM_RANDOM};
    uint64_t seed = unit_seed(), calls, unused;
    struct origin o;
    int seen[2] = {0};
    origin_make(&o, seed);
    struct simdisk *d = simdisk_clone(o.disk);
    assert_ok(receive(&o, d, 0, SIM_CUT_BEFORE, &calls));
    assert_true(check(&o, d, true, "not cut"));
    simdisk_free(d);
    for (uint64_t at = 1; at <= 2 * calls + 2; at++) {
        char where[96];
        d = simdisk_clone(o.disk);
        int err = receive(&o, d, (at + 1) / 2, at % 2 ? SIM_CUT_BEFORE : SIM_CUT_WITHIN, &unused);
        snprintf(where, sizeof where, "seed %llu, cut at call %llu", (unsigned long long)seed,
                 (unsigned long long)at);
        simdisk_crash(d, modes[at % 3], seed ^ at);
        bool there = check(&o, d, err == 0, where);
        seen[there]++;
        err = receive(&o, d, 0, SIM_CUT_BEFORE, &unused);
        assert_int_equal(err, there ? -EALREADY : 0);
        assert_true(check(&o, d, true, where));
        simdisk_assert_valid(d);
        simdisk_free(d);
    }
    assert_true(seen[0] > 0 && seen[1] > 0);
    origin_release(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cut_at_every_call),
    };
    log_set_sink(unit_log, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
