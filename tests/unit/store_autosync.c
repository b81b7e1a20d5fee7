/* autosync: what was written is on disk when it is so old, though nobody asks, and nothing is
 * synced when nothing was written: under a clock that the test moves, and with the thread. */
#include "tests/unit/store_rig.h"

#define SEC UINT64_C(1000000000)

static uint64_t syncs(struct rig *r)
{
    struct store_insight in;
    store_get_insight(r->s, &in);
    return in.syncs;
}

static void advance(struct rig *r, uint64_t ns)
{
    simdisk_advance(r->disk, ns);
}

/* What a power cut leaves when all is lost that may be lost: another rig, open. */
static struct rig *cut(const struct rig *r)
{
    struct rig *k = rig_kill(r);
    simdisk_crash(k->disk, SIM_KEEP_SYNCED, 1);
    rig_open(k);
    return k;
}

static void test_old_writes_survive(void **state)
{
    struct rig *r = *state;
    r->opt.commit_ns = 5 * SEC;
    rig_open(r);
    rig_fill(r, 0, 10, 100, 0);
    rig_fill(r, 10, 12, 9000, 0); /* in a blob file */
    advance(r, 49 * SEC / 10);
    assert_absent(store_work(r->s));
    assert_int_equal(syncs(r), 0);
    struct rig *k = cut(r);
    assert_int_equal(rig_count(k), 0); /* it may go so far */
    rig_drop(k);
    rig_put(r, "late", "v");
    advance(r, 2 * SEC / 10);
    assert_ok(store_work(r->s));
    assert_int_equal(syncs(r), 1);
    rig_put(r, "later", "v");
    k = cut(r);
    rig_assert_fill(k, 0, 10, 100, 0);
    rig_assert_fill(k, 10, 12, 9000, 0);
    rig_assert(k, "late", "v");
    rig_assert(k, "later", NULL);
    rig_close_clean(k);
    rig_drop(k);
    /* The time of "later" began with itself. */
    advance(r, 49 * SEC / 10);
    assert_absent(store_work(r->s));
    advance(r, 2 * SEC / 10);
    assert_ok(store_work(r->s));
    k = cut(r);
    rig_assert(k, "later", "v");
    rig_drop(k);
    rig_close_clean(r);
}

/* Logs and blob files of memtables that wait for a flush count, too. */
static void test_sealed_memtables(void **state)
{
    struct rig *r = *state;
    r->opt.commit_ns = 5 * SEC;
    r->opt.memtables_max = 8;
    rig_open(r);
    for (uint64_t i = 0; i < 3; i++) {
        rig_fill(r, i * 80, i * 80 + 80, 900, 0);
        rig_fill(r, 1000 + i, 1001 + i, 9000, 0);
    }
    assert_true(rig_files(r, FILE_LOG).count >= 3);
    struct rig *k = cut(r);
    assert_true(rig_count(k) < 243);
    rig_drop(k);
    advance(r, 6 * SEC);
    assert_ok(store_work(r->s));
    assert_int_equal(syncs(r), 1);
    k = cut(r);
    rig_assert_fill(k, 0, 240, 900, 0);
    rig_assert_fill(k, 1000, 1003, 9000, 0);
    rig_drop(k);
    rig_close_clean(r);
}

static void test_nothing_is_synced_while_idle(void **state)
{
    struct rig *r = *state;
    r->opt.commit_ns = 5 * SEC;
    rig_open(r);
    advance(r, 1000 * SEC);
    rig_work(r);
    assert_int_equal(syncs(r), 0);
    assert_ok(rig_try_put(r, "a", slice_str("v"), STORE_SYNC));
    advance(r, 1000 * SEC);
    rig_work(r);
    assert_int_equal(syncs(r), 1); /* the writer's own */
    rig_put(r, "b", "v");
    assert_ok(store_sync(r->s));
    uint64_t calls = simdisk_ops(r->disk);
    advance(r, 1000 * SEC);
    rig_work(r);
    assert_int_equal(syncs(r), 2);
    assert_int_equal(simdisk_ops(r->disk), calls);
    rig_put(r, "c", "v");
    advance(r, 1000 * SEC);
    rig_work(r);
    advance(r, 1000 * SEC);
    rig_work(r);
    assert_int_equal(syncs(r), 3);
    rig_close_clean(r);
}

static void test_settings(void **state)
{
    struct rig *r = *state;
    char message[STORE_MESSAGE_MAX];
    r->opt.commit_ns = 0;
    rig_open(r);
    rig_put(r, "a", "v");
    advance(r, 4000 * SEC);
    rig_work(r);
    assert_int_equal(syncs(r), 0);
    assert_ok(store_set(r->s, "commit.interval", "1h", message));
    assert_ok(store_work(r->s));
    assert_int_equal(syncs(r), 1);
    rig_put(r, "b", "v");
    advance(r, 3 * SEC);
    rig_work(r);
    assert_int_equal(syncs(r), 1);
    assert_ok(store_set(r->s, "commit.interval", "2s", message));
    assert_ok(store_work(r->s));
    assert_int_equal(syncs(r), 2);
    assert_errno(store_set(r->s, "commit.interval", "61m", message), ERANGE);
    assert_non_null(strstr(message, "0ns to 1h"));
    rig_close_clean(r);
}

/* Whichever sync it is that fails: nobody knows what is on disk, and the store says so. */
static void test_failure_is_for_good(void **state)
{
    struct rig *r = *state;
    static const char *const files[] = {".blob", ".log"};
    r->opt.commit_ns = 5 * SEC;
    for (uint64_t after = 0; after < 2; after++) { /* by itself, or as a writer does */
        for (int i = 0; i < 2; i++) {
            struct rig *k = rig_kill(r);
            rig_open(k);
            rig_fill(k, 0, 3, 9000, 0);
            advance(k, 6 * SEC);
            simdisk_fail(k->disk, &(struct sim_fault){SIM_SYNC, files[i], after, -EIO, false});
            assert_errno(store_work(k->s), EROFS);
            assert_non_null(store_failure(k->s));
            assert_errno(rig_try_put(k, "a", slice_str("v"), 0), EROFS);
            advance(k, 100 * SEC);
            assert_absent(store_work(k->s)); /* and tries no more */
            assert_errno(store_close(k->s), EROFS);
            k->s = NULL;
            rig_drop(k);
        }
    }
}

/* ---- the thread ---- */

/* Waits for the n-th sync; false: it does not come. */
static bool synced(struct rig *r, uint64_t n)
{
    for (int ms = 0; ms < 10000 && syncs(r) < n; ms++)
        usleep(1000);
    return syncs(r) >= n;
}

static void test_thread(void **state)
{
    struct rig *r = *state;
    char message[STORE_MESSAGE_MAX];
    r->opt.commit_ns = SEC / 100;
    r->opt.workers = 1;
    rig_open(r);
    for (uint64_t i = 1; i < 5; i++) {
        rig_fill(r, i, i + 1, i % 2 ? 100 : 9000, 0);
        assert_true(synced(r, i));
    }
    uint64_t before = syncs(r);
    usleep(100000);
    assert_int_equal(syncs(r), before); /* nothing was written */
    /* One that sleeps for long hears of it. */
    assert_ok(store_set(r->s, "commit.interval", "1h", message));
    rig_put(r, "a", "v");
    usleep(50000);
    assert_int_equal(syncs(r), before);
    assert_ok(store_set(r->s, "commit.interval", "10ms", message));
    assert_true(synced(r, before + 1));
    rig_put(r, "b", "v");
    rig_close_clean(r);
    /* Who only reads has nothing to sync. */
    r->opt.read_only = true;
    rig_open(r);
    usleep(20000);
    assert_int_equal(syncs(r), 0);
    rig_close(r);
}

/* The real system, but logs are only opened, once they are there, when the gate is open. */
struct gate {
    struct env env;
    int closed, reached; /* atomic */
};

static int gate_open(struct env *env, const char *path, enum env_open_mode mode,
                     struct env_file **out)
{
    struct gate *g = env->ctx;
    while (mode == ENV_OPEN_WRITE && strstr(path, ".log") &&
           __atomic_load_n(&g->closed, __ATOMIC_ACQUIRE)) {
        __atomic_store_n(&g->reached, 1, __ATOMIC_RELEASE);
        usleep(1000);
    }
    return env_posix()->open(env_posix(), path, mode, out);
}

struct put {
    struct rig *rig;
    int result, done; /* atomic */
};

static void *put_one(void *arg)
{
    struct put *p = arg;
    p->result = rig_try_put(p->rig, "beside", slice_str("v"), 0);
    __atomic_store_n(&p->done, 1, __ATOMIC_RELEASE);
    return NULL;
}

static bool comes(const int *flag)
{
    for (int ms = 0; ms < 10000 && !__atomic_load_n(flag, __ATOMIC_ACQUIRE); ms++)
        usleep(1000);
    return __atomic_load_n(flag, __ATOMIC_ACQUIRE);
}

/* While it brings to the disk what the kernel has, others write. */
static void test_writers_go_on(void **state)
{
    struct rig *r = *state;
    static struct gate g; /* the store outlives a test that fails */
    struct put p = {.rig = r};
    pthread_t thread;
    g = (struct gate){.env = *env_posix(), .closed = 1};
    g.env.ctx = &g;
    g.env.open = gate_open;
    r->opt.env = &g.env;
    r->opt.commit_ns = SEC / 100;
    r->opt.workers = 1;
    rig_open(r);
    rig_put(r, "a", "v");
    assert_true(comes(&g.reached));
    assert_int_equal(pthread_create(&thread, NULL, put_one, &p), 0);
    bool went_on = comes(&p.done);
    uint64_t before = syncs(r);
    __atomic_store_n(&g.closed, 0, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    assert_true(went_on);
    assert_ok(p.result);
    assert_int_equal(before, 0);
    assert_true(synced(r, 1));
    rig_close_clean(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_SIM(test_old_writes_survive),
        RIG_SIM(test_sealed_memtables),
        RIG_SIM(test_nothing_is_synced_while_idle),
        RIG_SIM(test_settings),
        RIG_SIM(test_failure_is_for_good),
        RIG_POSIX(test_thread),
        RIG_POSIX(test_writers_go_on),
        RIG_MEMORY(test_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
