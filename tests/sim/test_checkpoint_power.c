/* test_checkpoint_power: the power is cut at every call of a checkpoint that changes the disk, or
 * right after it. What is found in its folder must be no store, or the whole checkpoint; once it
 * was acknowledged, the whole checkpoint. The store that it was made of has lost nothing.
 *
 * STEPS=n makes the history longer, ROUNDS=n tries more of them; SEED=n repeats one. */
#include "tests/unit/unit.h"

#include "tests/sim/simdisk.h"
#include "tests/sim/workload.h"

#include <errno.h>
#include <stdio.h>

static const char *const DIR = "/volume";
static const char *const COPY = "/copy";

/* A disk with a store that has a history, closed, and how far it went. */
struct origin {
    struct workload history;
    struct simdisk *disk;
    struct progress progress;
    int pin; /* one that exists; -1: none does */
};

static void origin_make(struct origin *o, uint64_t seed)
{
    struct store_options opt;
    o->disk = simdisk_new(seed);
    workload_options(&opt, simdisk_env(o->disk));
    assert_ok(store_create(DIR, &opt));
    workload_make(&o->history, seed, unit_setting("STEPS", 150), true);
    progress_init(&o->progress);
    assert_ok(workload_play(&o->history, 0, simdisk_env(o->disk), DIR, &o->progress));
    o->pin = -1;
    for (int i = 0; i < WORKLOAD_PINS; i++)
        if (o->progress.pinned[i] != SIZE_MAX)
            o->pin = i;
}

static void origin_release(struct origin *o)
{
    simdisk_free(o->disk);
    workload_release(&o->history);
}

/* ---- looking ---- */

static int on_finding(void *ctx, const struct store_finding *f)
{
    if (f->severity == STORE_DAMAGE)
        fail_msg("%s: the verifier says: %d %s: %s", (const char *)ctx, f->code, f->file, f->text);
    return 0;
}

static void assert_state(struct store *s, const struct workload *w, size_t batches,
                         const char *where)
{
    struct store_read read;
    struct model m;
    workload_model(w, batches, &m);
    store_read_begin(s, &read);
    int differs = model_differs(&m, &read);
    store_read_end(&read);
    model_release(&m);
    if (differs != -1)
        fail_msg("%s: it is not the state after %zu batches (differs at %d)", where, batches,
                 differs);
}

static void check_store(struct simdisk *d, const char *dir, const struct workload *w,
                        size_t batches, const char *where)
{
    struct store_options o;
    struct store *s;
    workload_options(&o, simdisk_env(d));
    o.read_only = true;
    assert_ok(store_open(dir, &o, &s));
    assert_ok(store_check(s, on_finding, NULL, (void *)(uintptr_t)where));
    assert_state(s, w, batches, where);
    assert_ok(store_close(s));
    o.read_only = false;
    assert_ok(store_open(dir, &o, &s));
    assert_ok(store_compact(s, (struct slice){0}, (struct slice){0}));
    assert_state(s, w, batches, where);
    assert_ok(store_close(s));
}

/* The copy after a crash. `acked`: the checkpoint had returned. */
static bool check_copy(struct simdisk *d, const struct workload *w, size_t batches, bool acked,
                       const char *where)
{
    struct store_options o;
    struct store *s;
    workload_options(&o, simdisk_env(d));
    int err = store_open(COPY, &o, &s);
    if (err < 0) {
        if (acked || (err != -ENOENT && err != -EUCLEAN))
            fail_msg("%s: the checkpoint cannot be opened: %d", where, err);
        return false;
    }
    assert_ok(store_close(s));
    check_store(d, COPY, w, batches, where);
    return true;
}

/* ---- cutting ---- */

/* The number of batches that the checkpoint holds; it is cut at call `at` (0: not at all). */
static int run(struct origin *o, struct simdisk *d, uint64_t at, enum sim_cut how, bool at_pin,
               size_t *batches, uint64_t *calls)
{
    struct store_options opt;
    struct store *s;
    struct store_checkpoint out;
    char name[16];
    workload_options(&opt, simdisk_env(d));
    assert_ok(store_open(DIR, &opt, &s));
    snprintf(name, sizeof name, "pin%d", o->pin);
    *batches = at_pin ? o->progress.pinned[o->pin] : o->progress.acked;
    uint64_t before = simdisk_ops(d);
    simdisk_cut_at(d, at, how);
    int err = store_checkpoint(s, COPY, at_pin ? name : NULL, &out);
    *calls = simdisk_ops(d) - before;
    if (err == 0 && at)
        simdisk_cut_at(d, 1, SIM_CUT_BEFORE); /* closing is not what is tested */
    store_close(s);
    return err;
}

static void one_cut(struct origin *o, uint64_t at, enum sim_cut how, enum sim_crash mode,
                    bool at_pin, uint64_t seed, int seen[2])
{
    char where[128];
    size_t batches;
    uint64_t calls;
    struct simdisk *d = simdisk_clone(o->disk);
    int err = run(o, d, at, how, at_pin, &batches, &calls);
    snprintf(where, sizeof where, "%s, cut %d at call %llu, crash %d, seed %llu",
             at_pin ? "at a pin" : "whole", (int)how, (unsigned long long)at, (int)mode,
             (unsigned long long)seed);
    simdisk_crash(d, mode, seed ^ at);
    check_store(d, DIR, &o->history, o->progress.acked, where);
    seen[check_copy(d, &o->history, batches, err == 0, where)]++;
    simdisk_assert_valid(d);
    simdisk_free(d);
}

static void cut_everywhere(struct origin *o, bool at_pin, uint64_t seed)
{
    int seen[2] = {0};
    static const enum sim_crash modes[] = {SIM_KEEP_SYNCED, SIM_KEEP_ALL, SIM_RANDOM};
    size_t batches;
    uint64_t calls;
    struct simdisk *d = simdisk_clone(o->disk);
    assert_ok(run(o, d, 0, SIM_CUT_BEFORE, at_pin, &batches, &calls));
    check_copy(d, &o->history, batches, true, "not cut");
    simdisk_free(d);
    for (uint64_t at = 1; at <= calls + 1; at++) { /* the last: after it has returned */
        one_cut(o, at, at % 2 ? SIM_CUT_BEFORE : SIM_CUT_WITHIN, modes[at % 3], at_pin, seed, seen);
        one_cut(o, at, SIM_CUT_WITHIN, SIM_RANDOM, at_pin, seed + 1, seen);
    }
    /* Its first call leaves nothing, and what has returned is whole: both are seen in any history,
     * however few calls it takes. */
    assert_true(seen[0] > 0 && seen[1] > 0);
}

static void test_cut_at_every_call(void **state)
{
    (void)state;
    uint64_t seed = unit_seed();
    for (size_t round = 0; round < unit_setting("ROUNDS", 4); round++) {
        struct origin o;
        origin_make(&o, seed + round);
        cut_everywhere(&o, false, seed + round);
        if (o.pin >= 0)
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
