/* test_store_power: the prefix promise of the store. A history is played on a simulated disk; the
 * power is cut at every call that changes the disk; what is found afterwards must be an exact
 * prefix of what was acknowledged, not shorter than the last sync, and sound.
 *
 * STEPS=n SEEDS=n STRIDE=n in the environment lengthen or shorten it; SEED=n repeats one. */
#include "tests/unit/unit.h"

#include "tests/sim/simdisk.h"
#include "tests/sim/workload.h"

#include <errno.h>
#include <stdio.h>

static const char *const DIR = "/volume";

/* How much less of everything is done on an encrypted store, whose every opening takes a
 * passphrase. */
enum { ENCRYPTED_PART = 10 };
static size_t part = 1;

static struct simdisk *fresh_disk(uint64_t seed)
{
    struct store_options o;
    struct simdisk *d = simdisk_new(seed);
    workload_options(&o, simdisk_env(d));
    assert_ok(store_create(DIR, &o));
    return d;
}

/* ---- looking at what survived ---- */

struct damage {
    int count;
    char text[300];
};

static int on_finding(void *ctx, const struct store_finding *f)
{
    struct damage *d = ctx;
    if (f->severity == STORE_DAMAGE) {
        d->count++;
        snprintf(d->text, sizeof d->text, "%d %s: %s", f->code, f->file, f->text);
    }
    return 0;
}

static void check_sound(struct simdisk *d, const char *where)
{
    struct store_options o;
    struct store *s;
    struct damage damage = {0};
    uint64_t before = simdisk_digest(d);
    workload_options(&o, simdisk_env(d));
    o.read_only = true;
    assert_ok(store_open(DIR, &o, &s));
    assert_ok(store_check(s, on_finding, NULL, &damage));
    assert_ok(store_close(s));
    if (damage.count)
        fail_msg("%s: the verifier says: %s", where, damage.text);
    if (simdisk_digest(d) != before)
        fail_msg("%s: a read-only open changed the disk", where);
}

/* How many batches the store holds: in [least, most], or the test fails. */
static size_t find_prefix(const struct workload *w, struct store *s, size_t least, size_t most,
                          const char *where)
{
    struct store_read read;
    struct model m;
    size_t found = SIZE_MAX;
    int differs = 0;
    store_read_begin(s, &read);
    for (size_t n = most + 1; n-- > least && found == SIZE_MAX;) {
        workload_model(w, n, &m);
        differs = model_differs(&m, &read);
        if (differs == -1)
            found = n;
        model_release(&m);
    }
    store_read_end(&read);
    if (found == SIZE_MAX)
        fail_msg("%s: not a prefix of between %zu and %zu batches (differs at %d)", where, least,
                 most, differs);
    return found;
}

struct pins {
    uint64_t seq[WORKLOAD_PINS];
    bool there[WORKLOAD_PINS];
};

static int note_pin(void *ctx, const struct store_pin *pin)
{
    struct pins *p = ctx;
    p->there[pin->tag] = true;
    p->seq[pin->tag] = pin->seq;
    return 0;
}

static void check_pins(const struct workload *w, struct store *s, struct progress *p,
                       const char *where)
{
    struct pins pins = {0};
    assert_ok(store_pin_list(s, note_pin, &pins));
    for (int i = 0; i < WORKLOAD_PINS; i++) {
        bool expected = p->pinned[i] != SIZE_MAX;
        if (pins.there[i] != expected && !p->pin_doubt[i])
            fail_msg("%s: pin %d is %s", where, i, expected ? "gone" : "back");
        if (!pins.there[i])
            p->pinned[i] = SIZE_MAX;
        p->pin_doubt[i] = false;
        if (!pins.there[i])
            continue;
        struct store_read read;
        struct model m;
        workload_model(w, p->pinned[i], &m);
        store_read_begin_at(s, pins.seq[i], &read);
        int differs = model_differs(&m, &read);
        store_read_end(&read);
        model_release(&m);
        if (differs != -1)
            fail_msg("%s: pin %d shows another state (differs at %d)", where, i, differs);
    }
}

/* Opens what the crash left and compares. `p` afterwards says what is there. */
static void check_survivor(const struct workload *w, struct simdisk *d, struct progress *p,
                           const char *where)
{
    struct store_options o;
    struct store *s;
    check_sound(d, where);
    workload_options(&o, simdisk_env(d));
    int err = store_open(DIR, &o, &s);
    if (err < 0)
        fail_msg("%s: cannot be opened: %d", where, err);
    size_t found = find_prefix(w, s, p->synced, p->acked + p->in_flight, where);
    p->acked = p->synced = found;
    p->in_flight = false;
    check_pins(w, s, p, where);
    assert_ok(store_flush(s));
    assert_ok(store_compact(s, (struct slice){0}, (struct slice){0}));
    find_prefix(w, s, found, found, where);
    check_pins(w, s, p, where);
    assert_ok(store_close(s));
    check_sound(d, where);
    assert_int_equal(simdisk_open_files(d), 0);
    assert_int_equal(simdisk_locks(d), 0);
}

/* ---- cutting ---- */

static void one_cut(const struct workload *w, const struct simdisk *base, uint64_t at,
                    enum sim_cut how, enum sim_crash mode, uint64_t seed)
{
    char where[96];
    struct progress p;
    struct simdisk *d = simdisk_clone(base);
    progress_init(&p);
    simdisk_cut_at(d, at, how);
    workload_play(w, 0, simdisk_env(d), DIR, &p);
    snprintf(where, sizeof where, "cut %d at call %llu, crash %d, seed %llu", (int)how,
             (unsigned long long)at, (int)mode, (unsigned long long)seed);
    simdisk_crash(d, mode, seed ^ at);
    check_survivor(w, d, &p, where);
    simdisk_free(d);
}

static uint64_t count_calls(const struct workload *w, const struct simdisk *base)
{
    struct progress p;
    struct simdisk *d = simdisk_clone(base);
    progress_init(&p);
    uint64_t before = simdisk_ops(d);
    assert_ok(workload_play(w, 0, simdisk_env(d), DIR, &p));
    uint64_t calls = simdisk_ops(d) - before;
    check_survivor(w, d, &p, "no cut");
    simdisk_free(d);
    return calls;
}

static void test_cut_at_every_call(void **state)
{
    (void)state;
    static const enum sim_crash modes[] = {SIM_KEEP_SYNCED, SIM_KEEP_ALL, SIM_RANDOM};
    uint64_t seed = unit_seed();
    struct workload w;
    struct simdisk *base = fresh_disk(seed);
    workload_make(&w, seed, unit_setting("STEPS", 250), true);
    uint64_t calls = count_calls(&w, base), stride = unit_setting("STRIDE", part);
    print_message("%llu calls\n", (unsigned long long)calls);
    for (uint64_t at = 1; at <= calls; at += stride)
        one_cut(&w, base, at, at % 2 ? SIM_CUT_BEFORE : SIM_CUT_WITHIN, modes[at % 3], seed);
    for (uint64_t at = 1; at <= calls; at += stride)
        one_cut(&w, base, at, SIM_CUT_WITHIN, SIM_RANDOM, seed + 1);
    simdisk_free(base);
    workload_release(&w);
}

/* A crash after a crash after a crash: recovery itself is cut, and history goes on from what was
 * found. */
static void test_crash_chain(void **state)
{
    (void)state;
    uint64_t seed = unit_seed();
    for (size_t round = 0; round < unit_setting("SEEDS", 60 / part); round++) {
        struct workload w;
        struct simdisk *d = fresh_disk(seed + round);
        struct progress p;
        workload_make(&w, seed + round, 200, true);
        progress_init(&p);
        uint64_t dice = seed + round;
        for (int crash = 0; crash < 8; crash++) {
            char where[96];
            size_t from = 0, batches = p.acked;
            dice = dice * 6364136223846793005u + 1442695040888963407u;
            /* Go on behind the last batch that survived; batches that were lost are played again.
             */
            while (from < w.count && batches > 0)
                batches -= step_is_batch(&w.steps[from++]);
            simdisk_cut_at(d, 1 + (dice >> 33) % 120, SIM_CUT_WITHIN);
            int err = workload_play(&w, from, simdisk_env(d), DIR, &p);
            snprintf(where, sizeof where, "seed %llu, crash %d", (unsigned long long)(seed + round),
                     crash);
            if (err == 0)
                break;
            simdisk_crash(d, SIM_RANDOM, dice);
            if (crash % 2)
                check_survivor(&w, d, &p, where);
            else {
                /* Only look, so that the next life starts from what recovery finds, not from what
                 * the check compacted. */
                struct store_options o;
                struct store *s;
                check_sound(d, where);
                workload_options(&o, simdisk_env(d));
                o.read_only = true;
                assert_ok(store_open(DIR, &o, &s));
                p.acked = p.synced = find_prefix(&w, s, p.synced, p.acked + p.in_flight, where);
                p.in_flight = false;
                check_pins(&w, s, &p, where);
                assert_ok(store_close(s));
            }
        }
        simdisk_crash(d, SIM_KEEP_ALL, 1);
        check_survivor(&w, d, &p, "the end of a chain");
        simdisk_free(d);
        workload_release(&w);
    }
}

/* Each write, sync and rename fails once, without a crash: the store refuses or goes on, and
 * nothing acknowledged is lost. */
static void test_fault_at_every_call(void **state)
{
    (void)state;
    static const enum sim_call calls[] = {SIM_WRITE,  SIM_SYNC,   SIM_SYNC_DIR,
                                          SIM_CREATE, SIM_RENAME, SIM_REMOVE};
    static const int errors[] = {-EIO, -ENOSPC};
    uint64_t seed = unit_seed();
    struct workload w;
    struct simdisk *base = fresh_disk(seed);
    workload_make(&w, seed, 120, true);
    for (size_t c = 0; c < sizeof calls / sizeof *calls; c++) {
        for (uint64_t after = 0; after < unit_setting("FAULTS", 120); after += part) {
            char where[96];
            struct progress p;
            struct simdisk *d = simdisk_clone(base);
            struct sim_fault fault = {.call = calls[c], .after = after, .err = errors[after % 2]};
            progress_init(&p);
            simdisk_fail(d, &fault);
            workload_play(&w, 0, simdisk_env(d), DIR, &p);
            simdisk_heal(d);
            snprintf(where, sizeof where, "seed %llu, call %d fails after %llu",
                     (unsigned long long)seed, (int)calls[c], (unsigned long long)after);
            simdisk_crash(d, after % 3 ? SIM_KEEP_ALL : SIM_RANDOM, seed + after);
            check_survivor(&w, d, &p, where);
            simdisk_free(d);
        }
    }
    simdisk_free(base);
    workload_release(&w);
}

static int encrypt(void **state)
{
    (void)state;
    workload_encrypt(true);
    part = ENCRYPTED_PART;
    return 0;
}

static int encrypt_no_more(void **state)
{
    (void)state;
    workload_encrypt(false);
    part = 1;
    return 0;
}

#define ENCRYPTED(test)                                           \
    {                                                             \
        "encrypted: " #test, test, encrypt, encrypt_no_more, NULL \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cut_at_every_call),
        cmocka_unit_test(test_crash_chain),
        cmocka_unit_test(test_fault_at_every_call),
        ENCRYPTED(test_cut_at_every_call),
        ENCRYPTED(test_crash_chain),
        ENCRYPTED(test_fault_at_every_call),
    };
    log_set_sink(unit_log, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
