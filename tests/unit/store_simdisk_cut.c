/* simdisk: the power is cut at or within every call of a workload; syncs that fail; random
 * workloads with all invariants checked. */
#include <errno.h>

#include "tests/sim/simdisk.h"
#include "tests/sim/simrng.h"
#include "tests/unit/env_place.h"

enum { CALLS = 14 };

/* The n-th call of the workload; all change the disk. `*f` is the file, once it is open. */
static int nth_call(struct place *p, int n, struct env_file **f)
{
    struct env *e = p->env;
    char data[3000];
    memset(data, 'a' + n, sizeof data);
    if (n >= 3 && n <= 9 && !*f)
        return -EIO;
    switch (n) {
    case 1:
        return e->mkdir(e, in(p, "sub"));
    case 2:
        return e->open(e, in(p, "a"), ENV_OPEN_CREATE, f);
    case 5:
    case 8:
        return (*f)->ops->sync(*f);
    case 7:
        return (*f)->ops->truncate(*f, 700);
    case 10:
    case 13:
        return e->sync_dir(e, p->folder);
    case 11:
        return e->rename(e, in(p, "a"), in(p, "sub/b"));
    case 12:
        return e->remove(e, in(p, "sub/b"));
    case 14:
        return e->mkdir(e, in(p, "sub/sub"));
    default: /* 3, 4, 6, 9 */
        return (*f)->ops->write(*f, (uint64_t)(n * 300), data, sizeof data);
    }
}

static bool is_write(int n)
{
    return n == 3 || n == 4 || n == 6 || n == 9;
}

/* Goes on after errors, as a bad program would. Returns how many calls succeeded; digests[n] is the
 * disk after the n-th. */
static int workload(struct place *p, uint64_t digests[CALLS + 1])
{
    struct env_file *f = NULL;
    int succeeded = 0;
    digests[0] = simdisk_digest(p->disk);
    for (int n = 1; n <= CALLS; n++) {
        succeeded += nth_call(p, n, &f) == 0;
        digests[n] = simdisk_digest(p->disk);
    }
    if (f)
        f->ops->close(f);
    return succeeded;
}

static void assert_all_dead(struct place *p)
{
    struct env *e = p->env;
    struct env_file *f;
    struct env_lock *lock;
    struct env_space space;
    uint64_t size, before = simdisk_digest(p->disk);
    assert_true(simdisk_is_cut(p->disk));
    assert_errno(e->open(e, p->folder, ENV_OPEN_READ, &f), EIO);
    assert_errno(e->open(e, in(p, "z"), ENV_OPEN_CREATE, &f), EIO);
    assert_errno(e->file_size(e, p->folder, &size), EIO);
    assert_errno(e->list(e, p->folder, NULL, NULL), EIO);
    assert_errno(e->lock(e, in(p, "z"), &lock), EIO);
    assert_errno(e->space(e, p->folder, &space), EIO);
    assert_errno(e->remove(e, in(p, "a")), EIO);
    assert_int_equal(simdisk_digest(p->disk), before);
}

/* The disk after the workload when the power was cut at the n-th call, with an own seed for each.
 */
static uint64_t digest_after_cut(int n, enum sim_cut how, size_t seed)
{
    void *one;
    uint8_t skipped[256];
    uint64_t digests[CALLS + 1];
    assert_ok(place_sim(&one));
    struct place *p = one;
    assert_ok(p->env->random(p->env, skipped, seed));
    simdisk_cut_at(p->disk, (uint64_t)n, how);
    assert_int_equal(workload(p, digests), n - 1);
    assert_all_dead(p);
    simdisk_crash(p->disk, SIM_KEEP_ALL, 0);
    assert_false(simdisk_is_cut(p->disk));
    uint64_t digest = simdisk_digest(p->disk);
    file_make(p->env, in(p, "after"), "works");
    assert_ok(place_leave(&one));
    return digest;
}

static void test_cut_before_each_call(void **state)
{
    struct place *p = *state;
    uint64_t digests[CALLS + 1], before = simdisk_ops(p->disk);
    assert_int_equal(workload(p, digests), CALLS);
    assert_int_equal(simdisk_ops(p->disk) - before, CALLS);
    for (int n = 1; n <= CALLS; n++)
        assert_int_equal(digest_after_cut(n, SIM_CUT_BEFORE, 0), digests[n - 1]);
}

/* Within a call: the state before it, or after it, or, for a write, one in between. */
static void test_cut_within_each_call(void **state)
{
    struct place *p = *state;
    uint64_t digests[CALLS + 1];
    assert_int_equal(workload(p, digests), CALLS);
    for (int n = 1; n <= CALLS; n++) {
        int before = 0, after = 0, between = 0;
        for (size_t seed = 0; seed < 60; seed++) {
            uint64_t digest = digest_after_cut(n, SIM_CUT_WITHIN, seed);
            before += digest == digests[n - 1];
            after += digest == digests[n];
            between += digest != digests[n - 1] && digest != digests[n];
        }
        assert_true(before && after);
        assert_int_equal(between > 0, is_write(n));
    }
}

/* A torn write ends at a sector's edge, and every edge has its turn. */
static void test_torn_at_sectors(void **state)
{
    struct place *p = *state;
    char data[3000];
    bool seen[3001] = {0};
    int distinct = 0;
    struct buf b = {0};
    struct env_file *f = file_open(p->env, in(p, "a"), ENV_OPEN_CREATE);
    memset(data, 'x', sizeof data);
    file_write(f, 299, ".");
    f->ops->close(f);
    for (int round = 0; round < 300; round++) {
        simdisk_cut_at(p->disk, 1, SIM_CUT_WITHIN);
        f = file_open(p->env, in(p, "a"), ENV_OPEN_WRITE);
        assert_errno(f->ops->write(f, 300, data, sizeof data), EIO);
        simdisk_crash(p->disk, SIM_KEEP_ALL, 0);
        f->ops->close(f);
        assert_ok(simdisk_get(p->disk, in(p, "a"), &b));
        size_t kept = b.len - 300;
        assert_true(kept == 0 || kept == sizeof data || b.len % 512 == 0);
        distinct += !seen[kept];
        seen[kept] = true;
        assert_ok(simdisk_truncate(p->disk, in(p, "a"), 300));
    }
    assert_int_equal(distinct, 8); /* nothing, six edges, all */
    buf_release(&b);
}

static void test_failed_sync_forgets(void **state)
{
    struct place *p = *state;
    int lost = 0, kept = 0;
    struct buf b = {0};
    struct env_file *f = file_open(p->env, in(p, "a"), ENV_OPEN_CREATE);
    assert_ok(p->env->sync_dir(p->env, p->folder));
    assert_ok(p->env->sync_dir(p->env, "/"));
    for (int round = 0; round < 200; round++) {
        assert_ok(f->ops->truncate(f, 0));
        file_write(f, 0, "....");
        assert_ok(f->ops->sync(f));
        file_write(f, 0, "one");
        simdisk_fail(p->disk, &(struct sim_fault){.call = SIM_SYNC, .err = -EIO});
        assert_errno(f->ops->sync(f), EIO);
        file_assert(f, "one.");
        file_write(f, 3, "2");
        assert_ok(f->ops->sync(f)); /* of what came after the failure only */
        file_assert(f, "one2");
        simdisk_assert_valid(p->disk);
        f->ops->close(f);
        simdisk_crash(p->disk, SIM_KEEP_SYNCED, 0);
        assert_ok(simdisk_get(p->disk, in(p, "a"), &b));
        bool is_lost = slice_eq(buf_slice(&b), slice_str("...2"));
        assert_true(is_lost || slice_eq(buf_slice(&b), slice_str("one2")));
        assert_true(simdisk_is_durable(p->disk, in(p, "a")));
        lost += is_lost;
        kept += !is_lost;
        f = file_open(p->env, in(p, "a"), ENV_OPEN_WRITE);
    }
    assert_true(lost > 20 && kept > 20);
    f->ops->close(f);
    buf_release(&b);
}

/* One random call on one of a few names; errors are as they come. */
static void random_call(struct place *p, struct simrng *rng)
{
    static const char *const names[] = {"a", "b", "c", "sub/a", "sub/b"};
    struct env *e = p->env;
    struct env_file *f;
    const char *path = in(p, names[simrng_below(rng, 5)]);
    uint64_t kind = simrng_below(rng, 8);
    char data[5000];
    memset(data, (int)simrng_below(rng, 256), sizeof data);
    if (kind == 0)
        e->remove(e, path);
    else if (kind == 1)
        e->rename(e, path, in(p, names[simrng_below(rng, 5)]));
    else if (kind == 2)
        e->sync_dir(e, simrng_coin(rng) ? in(p, "sub") : p->folder);
    else if (e->open(e, path, simrng_coin(rng) ? ENV_OPEN_WRITE : ENV_OPEN_CREATE, &f) == 0) {
        if (kind == 3)
            f->ops->truncate(f, simrng_below(rng, 9000));
        else if (kind == 4)
            f->ops->sync(f);
        else if (kind == 5)
            f->ops->punch(f, simrng_below(rng, 3) * ENV_PUNCH_UNIT, ENV_PUNCH_UNIT);
        else
            f->ops->write(f, simrng_below(rng, 9000), data, simrng_below(rng, sizeof data));
        f->ops->close(f);
    }
}

static void test_random_workloads(void **state)
{
    struct place *p = *state;
    struct simrng rng = {unit_seed()};
    assert_ok(p->env->mkdir(p->env, in(p, "sub")));
    assert_ok(p->env->sync_dir(p->env, "/"));
    assert_ok(p->env->sync_dir(p->env, p->folder));
    for (int round = 0; round < 150; round++) {
        if (simrng_below(&rng, 4) == 0)
            simdisk_fail(p->disk, &(struct sim_fault){.call = SIM_SYNC, .err = -EIO});
        simdisk_cut_at(p->disk, 1 + simrng_below(&rng, 100), SIM_CUT_WITHIN);
        for (int i = 0; i < 60; i++)
            random_call(p, &rng);
        simdisk_assert_valid(p->disk);
        uint64_t digest = simdisk_digest(p->disk);
        struct simdisk *copy = simdisk_clone(p->disk);
        simdisk_assert_valid(copy);
        simdisk_crash(copy, SIM_KEEP_ALL, 0);
        assert_int_equal(simdisk_digest(copy), digest);
        simdisk_free(copy);
        simdisk_crash(p->disk, SIM_RANDOM, simrng_next(&rng));
        simdisk_assert_valid(p->disk);
        digest = simdisk_digest(p->disk);
        simdisk_crash(p->disk, SIM_KEEP_SYNCED, 0);
        assert_int_equal(simdisk_digest(p->disk), digest);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLACE_SIM(test_cut_before_each_call), PLACE_SIM(test_cut_within_each_call),
        PLACE_SIM(test_torn_at_sectors),      PLACE_SIM(test_failed_sync_forgets),
        PLACE_SIM(test_random_workloads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
