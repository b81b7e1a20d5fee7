/* test_slices_power: compactions in slices on a disk that is nearly full, and the power is cut at
 * every call that changes it: before the edit of a slice, between it and the holes, and within a
 * hole. Whatever is left opens, with all contents, now and at a snapshot, and nothing for the
 * verifier; and goes on to the end in the same space.
 *
 * STRIDE=n in the environment: cut at every n-th call only, and within each hole; SEED=n repeats
 * one. */
#include "tests/unit/sliced.h"

#include "store/store_priv.h"

struct expected {
    uint64_t contents;
    uint64_t capacity;
};

static struct rig *copy_of(const struct rig *base)
{
    struct rig *k = rig_kill(base);
    k->s = NULL;
    return k;
}

static int work_on(struct rig *k)
{
    int err = store_open(k->dir, &k->opt, &k->s);
    while (err == 0)
        err = store_work(k->s);
    return err;
}

/* Nothing is wrong with it, whatever was cut where; and from there it goes on to the end in the
 * space that it had. (Opening takes some, before it removes what the crash left.) */
static void check_survivor(struct rig *k, const struct expected *e, const char *where)
{
    struct rig_findings found = rig_check(k);
    int err;
    if (found.damage)
        fail_msg("%s: the verifier says: %s", where, found.text);
    simdisk_set_capacity(k->disk, 100 << 20);
    rig_open(k);
    if (sliced_contents(k) != e->contents)
        fail_msg("%s: other contents", where);
    while (purge_run(&k->s->tree.purge) == 0)
        ;
    simdisk_set_capacity(k->disk, e->capacity);
    while ((err = store_work(k->s)) == 0)
        ;
    if (err != 1)
        fail_msg("%s: it does not go on in the same space: %d", where, err);
    if (sliced_contents(k) != e->contents)
        fail_msg("%s: other contents at the end", where);
    simdisk_set_capacity(k->disk, 100 << 20);
    rig_reopen(k); /* after a torn manifest the first open removed nothing */
    rig_close(k);
    found = rig_check(k);
    if (found.damage || found.warnings)
        fail_msg("%s: the verifier says at the end: %s", where, found.text);
}

static void one_cut(const struct rig *base, const struct expected *e, uint64_t at, enum sim_cut how,
                    enum sim_crash mode, uint64_t seed)
{
    char where[96];
    struct rig *k = copy_of(base);
    snprintf(where, sizeof where, "cut %d at call %" PRIu64 ", crash %d, seed %" PRIu64, (int)how,
             at, (int)mode, seed);
    simdisk_cut_at(k->disk, at, how);
    work_on(k);
    if (k->s)
        store_close(k->s);
    k->s = NULL;
    simdisk_crash(k->disk, mode, seed ^ at);
    check_survivor(k, e, where);
    rig_drop(k);
}

static struct expected prepare(struct rig *r, bool blobs)
{
    struct expected e;
    sliced_make(r, blobs);
    rig_open(r);
    e.contents = sliced_contents(r);
    rig_close(r);
    e.capacity = simdisk_used_bytes(r->disk) + 2 * (uint64_t)SLICED_ROOM;
    simdisk_set_capacity(r->disk, e.capacity);
    return e;
}

/* Calls that change the disk, from now on: how many, and which of them make holes. */
struct calls {
    uint64_t count;
    uint64_t holes[512];
    size_t hole_count;
};

static void note_call(void *ctx, enum sim_call call)
{
    struct calls *c = ctx;
    c->count++;
    if (call != SIM_PUNCH)
        return;
    assert_true(c->hole_count < sizeof c->holes / sizeof c->holes[0]);
    c->holes[c->hole_count++] = c->count;
}

static void count_calls(const struct rig *base, const struct expected *e, struct calls *calls)
{
    struct rig *k = copy_of(base);
    *calls = (struct calls){.count = 0};
    simdisk_listen(k->disk, note_call, calls);
    assert_int_equal(work_on(k), 1);
    simdisk_listen(k->disk, NULL, NULL);
    assert_true(rig_stats(k).compaction_slices > 3);
    assert_true(rig_stats(k).bytes_punched > 100 << 10);
    assert_true(sliced_contents(k) == e->contents);
    assert_true(calls->hole_count > 10);
    rig_close_clean(k);
    rig_drop(k);
}

/* The kinds of cut and of crash follow from how many there were, not from where they are: all come
 * with all, whatever the stride. */
static void cut_everywhere(struct rig *r, bool blobs)
{
    static const enum sim_crash modes[] = {SIM_KEEP_SYNCED, SIM_KEEP_ALL, SIM_RANDOM};
    uint64_t seed = unit_seed(), n = seed % 6;
    struct expected e = prepare(r, blobs);
    struct calls calls;
    count_calls(r, &e, &calls);
    uint64_t stride = unit_setting("STRIDE", calls.count / 60 + 1);
    print_message("%" PRIu64 " calls, %zu holes\n", calls.count, calls.hole_count);
    for (uint64_t at = 1 + seed % stride; at <= calls.count; at += stride, n++)
        one_cut(r, &e, at, n % 2 ? SIM_CUT_BEFORE : SIM_CUT_WITHIN, modes[n / 2 % 3], seed);
    for (size_t i = 0; i < calls.hole_count; i++)
        one_cut(r, &e, calls.holes[i], SIM_CUT_WITHIN, modes[(i + seed) % 3], seed);
}

static void test_cut_at_every_call(void **state)
{
    cut_everywhere(*state, true);
}

/* From some hole on none is made, and then the process dies: all that was cut in vain is found
 * again.
 */
static void test_holes_that_fail(void **state)
{
    struct rig *r = *state;
    struct expected e = prepare(r, false);
    uint64_t seed = unit_seed(), sliced = 0;
    for (uint64_t n = 1; n < 24; n += 2) {
        struct rig *k = copy_of(r);
        char where[64];
        snprintf(where, sizeof where, "call %" PRIu64 ", seed %" PRIu64, n, seed);
        simdisk_fail(k->disk, &(struct sim_fault){
                                  .call = SIM_PUNCH, .after = n, .err = -EIO, .sticky = true});
        work_on(k);
        sliced += rig_stats(k).compaction_slices > 0;
        struct rig *dead = copy_of(k);
        simdisk_set_capacity(k->disk, 100 << 20);
        rig_drop(k);
        simdisk_heal(dead->disk);
        simdisk_crash(dead->disk, n % 4 == 1 ? SIM_RANDOM : SIM_KEEP_ALL, seed + n);
        check_survivor(dead, &e, where);
        rig_drop(dead);
    }
    assert_true(sliced > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_SIM(test_cut_at_every_call),
        RIG_SIM(test_holes_that_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
