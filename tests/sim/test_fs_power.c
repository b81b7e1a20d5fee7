/* test_fs_power: the promise of the file system. A history of operations is played on a simulated
 * disk; the power is cut at calls that change the disk; what is found afterwards is sound, and the
 * tree of files as it was after some operation, none before the last sync.
 *
 * OPS=n STRIDE=n CHAINS=n FAULTS=n in the environment lengthen or shorten it; SEED=n repeats one.
 * VERBOSE=1 shows the messages. */
#include "tests/unit/unit.h"

#include "tests/sim/fsmodel.h"
#include "tests/sim/simdisk.h"
#include "tests/sim/small_store.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

static const char *const DIR = "/volume";
enum { PINS = 3, OPS_MAX = 20000 };

/* ---- histories ---- */

struct history {
    struct fsop *ops;
    int *expected; /* what each has to return */
    size_t count;
};

static void history_init(struct history *h)
{
    *h = (struct history){.ops = malloc(OPS_MAX * sizeof *h->ops),
                          .expected = malloc(OPS_MAX * sizeof *h->expected)};
}

static void history_release(struct history *h)
{
    free(h->ops);
    free(h->expected);
}

static void history_add(struct history *h, struct fsmodel *m, const struct fsop *op)
{
    assert_true(h->count < OPS_MAX);
    h->ops[h->count] = *op;
    h->expected[h->count] = fsmodel_apply(m, op);
    h->count++;
}

static void history_add_random(struct history *h, struct fsmodel *m, struct simrng *r)
{
    struct fsop op;
    fsmodel_random(m, r, true, &op);
    history_add(h, m, &op);
}

/* The state after the first `count` operations. */
static void model_after(const struct history *h, size_t count, struct fsmodel *m)
{
    fsmodel_init(m);
    for (size_t i = 0; i < count; i++)
        fsmodel_apply(m, &h->ops[i]);
}

/* ---- playing ---- */

/* One volume and how far it got. */
struct run {
    struct simdisk *disk;
    struct store_options store;
    struct fs_options options;
    struct fs *fs;
    size_t done;         /* operations that are behind us */
    size_t synced;       /* of these, known to be on disk */
    bool in_flight;      /* one more had been handed over when it failed */
    size_t pinned[PINS]; /* operations before the snapshot was made; SIZE_MAX: there is none */
    bool doubt[PINS];    /* the last call about it failed: it may be there or not */
    uint64_t *inos;
    size_t ino_count;
    char where[128]; /* for messages */
};

static void run_init(struct run *run, struct simdisk *disk)
{
    *run = (struct run){.disk = disk, .inos = calloc(OPS_MAX, sizeof *run->inos), .ino_count = 1};
    small_store(&run->store);
    fs_options_init(&run->options);
    run->options.env = simdisk_env(disk);
    run->options.workers = 0;
    run->options.store = &run->store;
    run->inos[0] = FS_INO_ROOT;
    for (int i = 0; i < PINS; i++)
        run->pinned[i] = SIZE_MAX;
}

static void run_release(struct run *run)
{
    assert_null(run->fs);
    free(run->inos);
    simdisk_free(run->disk);
}

static struct simdisk *fresh_disk(uint64_t seed)
{
    struct fs_make_options o;
    struct simdisk *d = simdisk_new(seed);
    fs_make_options_init(&o);
    o.env = simdisk_env(d);
    o.chunk_bytes = FSMODEL_CHUNK;
    o.uid = 7;
    o.gid = 8;
    assert_ok(fs_make(DIR, &o));
    return d;
}

static int play_pin(struct run *run, const struct fsop *op)
{
    char name[24];
    bool make = op->kind == FSOP_SNAPSHOT;
    snprintf(name, sizeof name, "s%d", op->pin);
    if (make == (run->pinned[op->pin] != SIZE_MAX))
        return 0;
    run->doubt[op->pin] = true;
    int err = make ? fs_snapshot_create(run->fs, name) : fs_snapshot_delete(run->fs, name);
    if (err == 0)
        run->doubt[op->pin] = false;
    if (make)
        run->pinned[op->pin] = run->done; /* if it is there, this is what it holds */
    else if (err == 0)
        run->pinned[op->pin] = SIZE_MAX;
    if (make && err == 0)
        run->synced = run->done;
    return err;
}

static int play_reopen(struct run *run)
{
    struct fs *fs = run->fs;
    run->fs = NULL;
    int err = fs_close(fs);
    if (err == 0)
        run->synced = run->done;
    return err == 0 ? fs_open(DIR, &run->options, &run->fs) : err;
}

/* Forgetting reports no error; what could not be deleted is still there. */
static int play_forget(struct run *run, const struct fsop *op)
{
    struct fs_attr a;
    fsop_play(run->fs, op, run->inos, &run->ino_count);
    bool there =
        (size_t)op->node < run->ino_count && fs_getattr(run->fs, run->inos[op->node], &a) == 0;
    return there && a.nlink == 0 ? -EIO : 0;
}

static int play_one(struct run *run, const struct fsop *op)
{
    int err;
    switch (op->kind) {
    case FSOP_SYNC:
        err = fs_fsync(run->fs, FS_INO_ROOT, false);
        if (err == 0)
            run->synced = run->done;
        return err;
    case FSOP_WORK:
        err = fs_work(run->fs);
        return err == 1 ? 0 : err;
    case FSOP_SNAPSHOT:
    case FSOP_UNSNAPSHOT:
        return play_pin(run, op);
    case FSOP_REOPEN:
        return play_reopen(run);
    case FSOP_FORGET:
        return play_forget(run, op);
    default:
        return fsop_play(run->fs, op, run->inos, &run->ino_count);
    }
}

/* Plays from where it stands until the end or until something fails; then the volume is closed. */
static int play(struct run *run, const struct history *h)
{
    int err = run->fs ? 0 : fs_open(DIR, &run->options, &run->fs);
    while (err == 0 && run->done < h->count) {
        const struct fsop *op = &h->ops[run->done];
        run->in_flight = true;
        err = play_one(run, op);
        if (err == h->expected[run->done]) {
            run->in_flight = false;
            run->done++;
            err = 0;
        } else if (err != -EIO && err != -EROFS && err != -ENOSPC) {
            char text[160];
            fsop_print(op, text);
            fail_msg("%s: operation %zu, %s: %d instead of %d", run->where, run->done, text, err,
                     h->expected[run->done]);
        }
    }
    int closed = run->fs ? fs_close(run->fs) : 0;
    run->fs = NULL;
    if (err == 0 && closed == 0)
        run->synced = run->done;
    return err ? err : closed;
}

/* ---- looking at what survived ---- */

static int on_finding(void *ctx, const struct store_finding *f)
{
    char *text = ctx;
    if (f->severity == STORE_DAMAGE)
        snprintf(text, 300, "%d %s: %s", f->code, f->file, f->text);
    return 0;
}

static void check_sound(struct run *run)
{
    struct fs_check_report report;
    char damage[300] = "";
    uint64_t before = simdisk_digest(run->disk);
    assert_ok(fs_check(DIR, &run->options, true, on_finding, NULL, damage, &report));
    if (report.damages)
        fail_msg("%s: the verifier says: %s", run->where, damage);
    if (simdisk_digest(run->disk) != before)
        fail_msg("%s: verifying changed the disk", run->where);
}

/* How many operations the tree shows: in [least, most], or the test fails. The inode numbers of
 * what is there are learnt. */
static size_t find_prefix(struct run *run, const struct history *h, size_t least, size_t most)
{
    struct fsmodel m;
    char why[256], first_why[256] = "";
    size_t found = SIZE_MAX;
    model_after(h, least, &m);
    for (size_t n = least; n <= most; n++) {
        bool same = fsmodel_equals(&m, run->fs, 0, run->inos, why);
        if (n == least)
            memcpy(first_why, why, sizeof why);
        if (!same && found != SIZE_MAX)
            break;
        if (same) { /* those that follow may change nothing that can be seen */
            run->ino_count = m.count;
            found = n;
        }
        if (n < most)
            fsmodel_apply(&m, &h->ops[n]);
    }
    fsmodel_release(&m);
    if (found != SIZE_MAX)
        return found;
    fail_msg("%s: not as after any of %zu to %zu operations. Compared with the last: %s. With the "
             "first: %s",
             run->where, least, most, why, first_why);
    return 0;
}

/* Which snapshots there are. What one shows was on disk before it. */
static void find_pins(struct run *run)
{
    for (int i = 0; i < PINS; i++) {
        char name[24];
        struct fs_attr a;
        snprintf(name, sizeof name, "s%d", i);
        int err = fs_lookup(run->fs, FS_INO_SNAPSHOTS, name, &a);
        bool expected = run->pinned[i] != SIZE_MAX;
        if ((err == 0) != expected && !run->doubt[i])
            fail_msg("%s: snapshot %d is %s", run->where, i, expected ? "gone" : "back");
        run->doubt[i] = false;
        if (err < 0)
            run->pinned[i] = SIZE_MAX;
        else if (run->pinned[i] > run->synced)
            run->synced = run->pinned[i];
    }
}

static void check_pins(struct run *run, const struct history *h)
{
    for (int i = 0; i < PINS; i++) {
        char name[24], why[256];
        struct fs_attr a;
        struct fsmodel m;
        if (run->pinned[i] == SIZE_MAX)
            continue;
        snprintf(name, sizeof name, "s%d", i);
        assert_ok(fs_lookup(run->fs, FS_INO_SNAPSHOTS, name, &a));
        model_after(h, run->pinned[i], &m);
        if (!fsmodel_equals(&m, run->fs, a.ino >> FS_INO_BITS, NULL, why))
            fail_msg("%s: snapshot %d: %s", run->where, i, why);
        fsmodel_release(&m);
    }
}

/* Opens what is left, and compares. Afterwards `run` says what is there. */
static void check_survivor(struct run *run, const struct history *h, bool compact)
{
    check_sound(run);
    int err = fs_open(DIR, &run->options, &run->fs);
    if (err < 0)
        fail_msg("%s: cannot be opened: %d", run->where, err);
    find_pins(run);
    run->done = find_prefix(run, h, run->synced, run->done + run->in_flight);
    run->in_flight = false;
    check_pins(run, h);
    if (compact) {
        assert_ok(fs_compact(run->fs));
        find_prefix(run, h, run->done, run->done);
        check_pins(run, h);
    }
    assert_ok(fs_close(run->fs));
    run->fs = NULL;
    run->synced = run->done;
    check_sound(run);
    assert_int_equal(simdisk_open_files(run->disk), 0);
    assert_int_equal(simdisk_locks(run->disk), 0);
}

/* ---- cutting ---- */

static void one_cut(const struct history *h, const struct simdisk *base, uint64_t at,
                    enum sim_cut how, enum sim_crash mode, uint64_t seed)
{
    struct run run;
    run_init(&run, simdisk_clone(base));
    snprintf(run.where, sizeof run.where, "seed %llu, cut %d at call %llu, crash %d",
             (unsigned long long)seed, (int)how, (unsigned long long)at, (int)mode);
    simdisk_cut_at(run.disk, at, how);
    play(&run, h);
    simdisk_crash(run.disk, mode, seed ^ at);
    check_survivor(&run, h, at % 4 == 0);
    run_release(&run);
}

static uint64_t count_calls(const struct history *h, const struct simdisk *base)
{
    struct run run;
    run_init(&run, simdisk_clone(base));
    snprintf(run.where, sizeof run.where, "no cut");
    uint64_t before = simdisk_ops(run.disk);
    assert_ok(play(&run, h));
    uint64_t calls = simdisk_ops(run.disk) - before;
    check_survivor(&run, h, true);
    assert_int_equal(run.done, h->count);
    run_release(&run);
    return calls;
}

static void make_history(struct history *h, uint64_t seed, size_t count)
{
    struct simrng r = {seed};
    struct fsmodel m;
    history_init(h);
    fsmodel_init(&m);
    while (h->count < count)
        history_add_random(h, &m, &r);
    fsmodel_release(&m);
}

static void test_cut_at_every_call(void **state)
{
    (void)state;
    static const enum sim_crash modes[] = {SIM_RANDOM, SIM_KEEP_SYNCED, SIM_RANDOM, SIM_KEEP_ALL};
    uint64_t seed = unit_seed(), stride = unit_setting("STRIDE", 1);
    struct history h;
    struct simdisk *base = fresh_disk(seed);
    make_history(&h, seed, unit_setting("OPS", 400));
    uint64_t calls = count_calls(&h, base);
    print_message("%llu calls\n", (unsigned long long)calls);
    for (uint64_t at = 1; at <= calls; at += stride)
        one_cut(&h, base, at, at % 3 ? SIM_CUT_WITHIN : SIM_CUT_BEFORE, modes[at / stride % 4],
                seed);
    simdisk_free(base);
    history_release(&h);
}

/* A crash after a crash: recovery itself is cut, and life goes on from what was found. */
static void one_chain(uint64_t seed)
{
    struct simrng r = {seed};
    struct history h;
    struct run run;
    history_init(&h);
    run_init(&run, fresh_disk(seed));
    for (int crash = 0; crash < 10; crash++) {
        static const struct fsop reopen = {.kind = FSOP_REOPEN};
        struct fsmodel m;
        model_after(&h, run.done, &m);
        h.count = run.done; /* what was lost has never been */
        if (crash > 0)
            history_add(&h, &m, &reopen);
        run.done = run.synced = h.count;
        for (size_t n = 20 + simrng_below(&r, 150); n > 0; n--)
            history_add_random(&h, &m, &r);
        fsmodel_release(&m);
        snprintf(run.where, sizeof run.where, "seed %llu, crash %d", (unsigned long long)seed,
                 crash);
        simdisk_cut_at(run.disk, 1 + simrng_below(&r, 150), SIM_CUT_WITHIN);
        play(&run, &h);
        simdisk_crash(run.disk, SIM_RANDOM, simrng_next(&r));
        check_survivor(&run, &h, crash % 3 == 2);
    }
    run_release(&run);
    history_release(&h);
}

static void test_crash_chains(void **state)
{
    (void)state;
    uint64_t seed = unit_seed();
    for (size_t i = 0; i < unit_setting("CHAINS", 40); i++)
        one_chain(seed + i);
}

/* ---- faults without a crash ---- */

/* Each write, sync, creation, renaming, removal, reading and opening fails once: the volume goes on
 * or refuses, and loses nothing that was acknowledged. */
static void one_fault(const struct history *h, const struct simdisk *base,
                      const struct sim_fault *fault, uint64_t seed)
{
    struct run run;
    run_init(&run, simdisk_clone(base));
    snprintf(run.where, sizeof run.where, "seed %llu, call %d fails after %llu with %d",
             (unsigned long long)seed, (int)fault->call, (unsigned long long)fault->after,
             fault->err);
    simdisk_fail(run.disk, fault);
    play(&run, h);
    simdisk_heal(run.disk);
    bool synced_all = run.synced == run.done && !run.in_flight;
    if (!synced_all)
        simdisk_crash(run.disk, fault->after % 2 ? SIM_KEEP_ALL : SIM_RANDOM, seed + fault->after);
    check_survivor(&run, h, fault->after % 4 == 0);
    run_release(&run);
}

static void test_faults(void **state)
{
    (void)state;
    static const enum sim_call calls[] = {SIM_WRITE,  SIM_SYNC,   SIM_SYNC_DIR, SIM_CREATE,
                                          SIM_RENAME, SIM_REMOVE, SIM_READ,     SIM_OPEN};
    uint64_t seed = unit_seed();
    struct history h;
    struct simdisk *base = fresh_disk(seed);
    make_history(&h, seed, 200);
    for (size_t c = 0; c < sizeof calls / sizeof *calls; c++) {
        for (uint64_t after = 0; after < unit_setting("FAULTS", 50); after++) {
            const struct sim_fault fault = {.call = calls[c],
                                            .after = after * (calls[c] == SIM_WRITE ? 5 : 1),
                                            .err = after % 2 ? -EIO : -ENOSPC};
            one_fault(&h, base, &fault, seed);
        }
    }
    simdisk_free(base);
    history_release(&h);
}

/* ---- the way editors save ---- */

enum { TEXT_BYTES = 50000 };

static bool has_text(struct fs *fs, uint64_t ino, int fill, size_t len)
{
    uint8_t *data = malloc(TEXT_BYTES + 1);
    size_t got, i = 0;
    assert_ok(fs_read(fs, ino, 0, data, TEXT_BYTES + 1, &got));
    while (i < got && data[i] == fill)
        i++;
    free(data);
    return got == len && i == len;
}

static int write_text(struct fs *fs, const char *name, int fill, uint64_t *ino)
{
    static const struct fs_cred cred;
    struct fs_attr a;
    uint8_t *data = malloc(TEXT_BYTES);
    memset(data, fill, TEXT_BYTES);
    int err = fs_mknod(fs, FS_INO_ROOT, name, S_IFREG | 0644, 0, &cred, &a);
    for (uint64_t at = 0; at < TEXT_BYTES && err == 0; at += 10000)
        err = fs_write(fs, a.ino, at, data, 10000);
    free(data);
    *ino = a.ino;
    return err;
}

/* A new text is written beside the old one and put in its place. With `sync`, what is acknowledged
 * at the end is there. */
static int save(struct fs *fs, bool sync, bool *acked)
{
    uint64_t ino;
    *acked = false;
    int err = write_text(fs, "doc~", 'B', &ino);
    if (err == 0 && sync)
        err = fs_fsync(fs, ino, false);
    if (err == 0)
        err = fs_rename(fs, FS_INO_ROOT, "doc~", FS_INO_ROOT, "doc", 0);
    if (err == 0 && sync)
        err = fs_fsync(fs, FS_INO_ROOT, false);
    *acked = err == 0 && sync;
    return err;
}

static bool one_save(const struct simdisk *base, uint64_t at, bool sync, uint64_t seed)
{
    struct run run;
    struct fs_attr a;
    bool acked;
    run_init(&run, simdisk_clone(base));
    assert_ok(fs_open(DIR, &run.options, &run.fs));
    simdisk_cut_at(run.disk, at, SIM_CUT_WITHIN);
    int err = save(run.fs, sync, &acked);
    bool cut = simdisk_is_cut(run.disk);
    assert_true(err == 0 || cut);
    simdisk_cut_at(run.disk, cut ? 0 : 1, SIM_CUT_BEFORE);
    fs_close(run.fs);
    simdisk_crash(run.disk, SIM_RANDOM, seed);
    check_sound(&run);
    assert_ok(fs_open(DIR, &run.options, &run.fs));
    assert_ok(fs_lookup(run.fs, FS_INO_ROOT, "doc", &a));
    bool new = has_text(run.fs, a.ino, 'B', TEXT_BYTES);
    assert_true(new || has_text(run.fs, a.ino, 'A', TEXT_BYTES));
    assert_true(new || !acked);
    assert_ok(fs_close(run.fs));
    run.fs = NULL;
    run_release(&run);
    return cut;
}

static void test_replace_by_rename(void **state)
{
    (void)state;
    uint64_t seed = unit_seed(), ino;
    struct run run;
    run_init(&run, fresh_disk(seed));
    assert_ok(fs_open(DIR, &run.options, &run.fs));
    assert_ok(write_text(run.fs, "doc", 'A', &ino));
    assert_ok(fs_close(run.fs));
    run.fs = NULL;
    for (int sync = 0; sync < 2; sync++)
        for (uint64_t i = 0; i < 4; i++)
            for (uint64_t at = 1; one_save(run.disk, at, sync, seed + 1000 * i + at); at++)
                ;
    run_release(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cut_at_every_call),
        cmocka_unit_test(test_crash_chains),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_replace_by_rename),
    };
    log_set_sink(unit_log, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
