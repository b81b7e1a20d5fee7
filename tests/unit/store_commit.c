/* commit: many writers at once, on the real system; and writers that have to wait, under a clock
 * and with workers of the test's own making. */
#include "tests/unit/env_alone.h"
#include "tests/unit/store_rig.h"

#include "store/commit_priv.h"
#include "store/store_priv.h"

enum { WRITERS_MAX = 8, KEYS = 400 };

/* ---- many writers ---- */

/* One writer's keys and what they should have: 0: nothing, else the value's salt. */
struct writer {
    struct rig *rig;
    int id;
    uint64_t seed;
    int batches;
    uint64_t salt[KEYS];
    pthread_t thread;
};

static const char *writer_key(int id, int i)
{
    static _Thread_local char keys[4][24];
    static _Thread_local int next;
    char *key = keys[next++ % 4];
    snprintf(key, sizeof keys[0], "w%02d-%06d", id, i);
    return key;
}

static size_t value_len(uint64_t salt)
{
    return salt % 16 == 0 ? 5000 : salt % 16 < 3 ? 700 : salt % 100;
}

static void add_op(struct writer *w, struct simrng *rng, struct store_batch *b, struct buf *room)
{
    int i = (int)simrng_below(rng, KEYS);
    if (simrng_below(rng, 40) == 0) {
        int end = i + 1 + (int)simrng_below(rng, 20);
        store_batch_delete_range(b, slice_str(writer_key(w->id, i)),
                                 slice_str(writer_key(w->id, end)));
        for (int k = i; k < end && k < KEYS; k++)
            w->salt[k] = 0;
    } else if (simrng_below(rng, 10) == 0) {
        store_batch_delete(b, slice_str(writer_key(w->id, i)));
        w->salt[i] = 0;
    } else {
        w->salt[i] = simrng_next(rng) | 1 << 20;
        store_batch_put(b, slice_str(writer_key(w->id, i)),
                        rig_value(w->salt[i], value_len(w->salt[i]), room));
    }
}

static bool has_own(struct writer *w, const struct store_read *read, struct store_value *v,
                    struct buf *room, int i)
{
    int err = store_get(read, slice_str(writer_key(w->id, i)), v);
    if (w->salt[i] == 0)
        return err == 1;
    return err == 0 && slice_eq(v->data, rig_value(w->salt[i], value_len(w->salt[i]), room));
}

static void *write_batches(void *arg)
{
    struct writer *w = arg;
    struct simrng rng = {w->seed};
    struct store_batch *b = store_batch_new(w->rig->s);
    struct store_value v = {0};
    struct buf room = {0};
    for (int n = 0; n < w->batches; n++) {
        uint64_t ops = simrng_below(&rng, 8) == 0 ? 70 : 1 + simrng_below(&rng, 5);
        store_batch_clear(b);
        for (uint64_t i = 0; i < ops; i++)
            add_op(w, &rng, b, &room);
        if (store_write(w->rig->s, b, simrng_below(&rng, 10) == 0 ? STORE_SYNC : 0) != 0)
            abort();
        /* What was acknowledged is seen at once. */
        struct store_read read;
        store_read_begin(w->rig->s, &read);
        if (!has_own(w, &read, &v, &room, (int)simrng_below(&rng, KEYS)))
            abort();
        store_read_end(&read);
    }
    store_batch_free(b);
    store_value_release(&v);
    buf_release(&room);
    return NULL;
}

static void check_writers(struct rig *r, struct writer *list, int count)
{
    struct store_read read;
    struct store_value v = {0};
    struct buf room = {0};
    uint64_t there = 0;
    store_read_begin(r->s, &read);
    for (int w = 0; w < count; w++) {
        for (int i = 0; i < KEYS; i++) {
            if (!has_own(&list[w], &read, &v, &room, i))
                fail_msg("writer %d, key %d is not what it should be", w, i);
            there += list[w].salt[i] != 0;
        }
    }
    store_read_end(&read);
    assert_int_equal(rig_count(r), there);
    store_value_release(&v);
    buf_release(&room);
}

/* `beside` is called again and again while the writers write; NULL: nothing. */
static void run_writers(struct rig *r, int count, int batches, int (*beside)(struct store *s))
{
    struct writer *list = mem_zalloc(WRITERS_MAX * sizeof *list);
    uint64_t seed = unit_seed();
    rig_open(r);
    for (int i = 0; i < count; i++) {
        list[i].rig = r;
        list[i].id = i;
        list[i].seed = seed + (uint64_t)i;
        list[i].batches = batches;
        assert_int_equal(pthread_create(&list[i].thread, NULL, write_batches, &list[i]), 0);
    }
    for (int i = 0; i < 20 && beside; i++)
        assert_ok(beside(r->s));
    for (int i = 0; i < count; i++)
        pthread_join(list[i].thread, NULL);
    check_writers(r, list, count);
    struct rig_findings found;
    rig_close(r);
    found = rig_check(r);
    if (found.damage)
        fail_msg("the verifier says: %s", found.text);
    rig_open(r);
    check_writers(r, list, count);
    rig_compact(r);
    check_writers(r, list, count);
    rig_close_clean(r);
    free(list);
}

static void test_one_writer(void **state)
{
    run_writers(*state, 1, 500, NULL);
}

static void test_many_writers(void **state)
{
    run_writers(*state, WRITERS_MAX, 200, NULL);
}

/* Without workers each writer that finds the memtables full flushes. */
static void test_writers_flush(void **state)
{
    struct rig *r = *state;
    r->opt.memtable_bytes = 16 << 10;
    r->opt.memtables_max = 2;
    run_writers(r, 4, 300, NULL);
}

static void test_writers_and_workers(void **state)
{
    struct rig *r = *state;
    r->opt.workers = 2;
    r->opt.memtable_bytes = 16 << 10;
    run_writers(r, 4, 300, NULL);
}

static void test_sealing_while_writing(void **state)
{
    struct rig *r = *state;
    r->opt.workers = 1;
    run_writers(r, 3, 300, store_flush);
}

static int compact_all(struct store *s)
{
    return store_compact(s, (struct slice){0}, (struct slice){0});
}

static void test_compacting_while_writing(void **state)
{
    struct rig *r = *state;
    r->opt.workers = 1;
    run_writers(r, 3, 300, compact_all);
}

static int sync_store(struct store *s)
{
    return store_sync(s);
}

static void test_syncing_while_writing(void **state)
{
    run_writers(*state, 3, 200, sync_store);
}

/* ---- a batch is seen whole or not at all ---- */

static void *write_pairs(void *arg)
{
    struct rig *r = arg;
    struct store_batch *b = store_batch_new(r->s);
    char value[32];
    for (int i = 0; i < 3000; i++) {
        int n = snprintf(value, sizeof value, "%d", i);
        store_batch_clear(b);
        store_batch_put(b, slice_str("x"), slice_of(value, (size_t)n));
        for (int k = 0; k < i % 100; k++)
            store_batch_put(b, slice_str(rig_key((uint64_t)k)), slice_str("between"));
        store_batch_put(b, slice_str("y"), slice_of(value, (size_t)n));
        if (store_write(r->s, b, 0) != 0)
            abort();
    }
    store_batch_free(b);
    return NULL;
}

static void test_batches_are_seen_whole(void **state)
{
    struct rig *r = *state;
    struct store_value x = {0}, y = {0};
    pthread_t threads[2];
    r->opt.workers = 1;
    r->opt.memtable_bytes = 16 << 10;
    rig_open(r);
    rig_put(r, "x", "-");
    rig_put(r, "y", "-");
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_pairs, r), 0);
    for (int i = 0; i < 3000; i++) {
        struct store_read read;
        store_read_begin(r->s, &read);
        assert_ok(store_get(&read, slice_str("y"), &y));
        assert_ok(store_get(&read, slice_str("x"), &x));
        if (i > 0 && !slice_eq(x.data, y.data)) {
            /* The first pair was written in two batches. */
            fail_msg("half a batch is seen");
        }
        store_read_end(&read);
    }
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    store_value_release(&x);
    store_value_release(&y);
    rig_close_clean(r);
}

/* ---- writers that have to wait ---- */

/* The real system, but for a clock that the test moves (`step` at each look), workers that never
 * work, and tables that cannot be made while `no_tables`. */
struct lazy {
    struct env env;
    uint64_t now, step; /* atomic */
    int no_tables;      /* atomic: the error */
};

static uint64_t lazy_monotonic(struct env *env)
{
    struct lazy *l = env->ctx;
    return __atomic_fetch_add(&l->now, __atomic_load_n(&l->step, __ATOMIC_RELAXED),
                              __ATOMIC_RELAXED);
}

static int lazy_open(struct env *env, const char *path, enum env_open_mode mode,
                     struct env_file **out)
{
    struct lazy *l = env->ctx;
    int err = __atomic_load_n(&l->no_tables, __ATOMIC_RELAXED);
    *out = NULL;
    if (err < 0 && mode == ENV_OPEN_CREATE && strstr(path, ".table"))
        return err;
    return env_posix()->open(env_posix(), path, mode, out);
}

static void be_lazy(struct rig *r, struct lazy *l)
{
    *l = (struct lazy){.env = *env_posix(), .now = 1};
    l->env.ctx = l;
    l->env.monotonic_ns = lazy_monotonic;
    env_alone(&l->env);
    l->env.open = lazy_open;
    r->opt.env = &l->env;
    r->opt.workers = 1;
    r->opt.memtable_bytes = 4 << 20;
}

static void make_level0(struct rig *r, uint32_t tables)
{
    while (rig_stats(r).level_tables[0] < tables) {
        rig_put(r, rig_key(rig_stats(r).level_tables[0]), "v");
        assert_ok(store_flush(r->s));
    }
}

/* What a write of `bytes` is held up, by the test's clock. */
static uint64_t stall_of(struct rig *r, size_t bytes)
{
    struct buf room = {0};
    uint64_t before = rig_stats(r).stall_ns;
    struct store_batch *b = store_batch_new(r->s);
    for (size_t done = 0; done < bytes; done += 1000)
        store_batch_put(b, slice_str(rig_key(done)), rig_value(done, 990, &room));
    assert_ok(rig_write(r, b, 0));
    buf_release(&room);
    return rig_stats(r).stall_ns - before;
}

static void test_long_level0_slows_writers(void **state)
{
    struct rig *r = *state;
    static struct lazy l; /* the store outlives a test that fails */
    be_lazy(r, &l);
    rig_open(r);
    make_level0(r, 11);
    assert_int_equal(stall_of(r, 1 << 20), 0);
    make_level0(r, 12);
    l.step = 1000000; /* 1 ms at each look */
    uint64_t first = stall_of(r, 1 << 20);
    assert_true(first >= 15000000 && first < 40000000);
    /* Little writes save up what is too short for a sleep. */
    uint64_t little = 0;
    for (int i = 0; i < 100; i++)
        little += stall_of(r, 10000);
    assert_true(little >= 13000000 && little < 100000000);
    l.step = 0;
    make_level0(r, 20);
    l.step = 20000000;
    assert_true(stall_of(r, 1 << 20) >= first);
    /* None is long; what is left of it the next ones owe. */
    assert_true(stall_of(r, 2 << 20) < 60000000);
    assert_true(rig_stats(r).stall_ns_max < 60000000);
    assert_true(stall_of(r, 1000) > 0);
    l.step = 0;
    rig_compact(r);
    assert_int_equal(stall_of(r, 1 << 20), 0);
    rig_close(r);
}

struct waiting {
    struct rig *rig;
    pthread_t thread;
    int result, done; /* atomic */
};

static void *write_one(void *arg)
{
    struct waiting *w = arg;
    w->result = rig_try_put(w->rig, "waiting", slice_str("v"), 0);
    __atomic_store_n(&w->done, 1, __ATOMIC_RELEASE);
    return NULL;
}

static bool done_within(struct waiting *w, int ms)
{
    while (ms-- > 0 && !__atomic_load_n(&w->done, __ATOMIC_ACQUIRE))
        usleep(1000);
    return __atomic_load_n(&w->done, __ATOMIC_ACQUIRE);
}

static void start_waiting(struct waiting *w, struct rig *r)
{
    *w = (struct waiting){.rig = r};
    assert_int_equal(pthread_create(&w->thread, NULL, write_one, w), 0);
}

static void test_too_long_level0_stops_writers(void **state)
{
    struct rig *r = *state;
    static struct lazy l; /* the store outlives a test that fails */
    struct waiting w;
    be_lazy(r, &l);
    l.step = 1000000000;
    rig_open(r);
    make_level0(r, 24);
    start_waiting(&w, r);
    assert_false(done_within(&w, 100));
    /* Nobody compacts: a worker of flesh and blood does. */
    assert_ok(work_compact(&r->s->tree));
    assert_true(done_within(&w, 5000));
    pthread_join(w.thread, NULL);
    assert_ok(w.result);
    rig_assert(r, "waiting", "v");
    rig_close_clean(r);
}

static void test_failure_ends_waiting(void **state)
{
    struct rig *r = *state;
    static struct lazy l; /* the store outlives a test that fails */
    struct waiting w;
    be_lazy(r, &l);
    l.step = 1000000000;
    rig_open(r);
    make_level0(r, 24);
    start_waiting(&w, r);
    assert_false(done_within(&w, 50));
    assert_errno(tree_fail(&r->s->tree, -EIO, "a test"), EROFS);
    assert_true(done_within(&w, 5000));
    pthread_join(w.thread, NULL);
    assert_errno(w.result, EROFS);
    assert_errno(store_close(r->s), EROFS);
    r->s = NULL;
}

/* A compaction that meets damage does not stop those who write. */
static void test_damage_ends_waiting(void **state)
{
    struct rig *r = *state;
    static struct lazy l; /* the store outlives a test that fails */
    struct waiting w;
    be_lazy(r, &l);
    l.step = 1000000000;
    rig_open(r);
    make_level0(r, 24);
    rig_reopen(r);
    struct rig_names tables = rig_files(r, FILE_TABLE);
    assert_int_equal(truncate(rig_file(r, FILE_TABLE, tables.number[5]), 200), 0);
    start_waiting(&w, r);
    assert_false(done_within(&w, 50));
    assert_errno(work_compact(&r->s->tree), EIO);
    assert_true(done_within(&w, 5000));
    pthread_join(w.thread, NULL);
    assert_ok(w.result);
    for (int i = 0; i < 10; i++)
        rig_put(r, "more", "v");
    rig_close(r);
}

/* Memtables that cannot be flushed: the writer gets the error, and goes on once it is over. */
static void test_flushes_that_fail(void **state)
{
    struct rig *r = *state;
    static const int errors[] = {-EIO, -ENOSPC, -EMFILE};
    static struct lazy l; /* the store outlives a test that fails */
    be_lazy(r, &l);
    r->opt.memtable_bytes = 16 << 10;
    rig_open(r);
    uint64_t salt = 0;
    for (int e = 0; e < 3; e++) {
        int err = 0;
        l.no_tables = errors[e];
        l.step = 1000000; /* it is slowed down until flushing fails */
        for (int i = 0; i < 1000 && err == 0; i++)
            err = rig_try_fill(r, 0, 1, 300, ++salt, 0);
        assert_int_equal(err, errors[e]);
        l.step = 0;
        /* At once, without trying again. */
        rig_log_reset();
        for (int i = 0; i < 100; i++)
            assert_int_equal(rig_try_fill(r, 1, 2, 300, 0, STORE_RESERVE), errors[e]);
        assert_int_equal(rig_log.count, 0);
        assert_ok(store_sync(r->s));
        rig_assert_fill(r, 0, 1, 300, salt - 1);
        assert_null(store_failure(r->s));
        l.no_tables = 0;
        assert_int_equal(rig_try_fill(r, 1, 2, 300, 0, 0), errors[e]);
        __atomic_fetch_add(&l.now, 60000000000, __ATOMIC_RELAXED);
        assert_ok(rig_try_fill(r, 1, 2, 300, 0, 0));
        assert_ok(store_flush(r->s));
    }
    rig_close_clean(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_POSIX(test_one_writer),
        RIG_POSIX(test_many_writers),
        RIG_POSIX(test_writers_flush),
        RIG_POSIX(test_writers_and_workers),
        RIG_POSIX(test_sealing_while_writing),
        RIG_POSIX(test_compacting_while_writing),
        RIG_POSIX(test_syncing_while_writing),
        RIG_POSIX(test_batches_are_seen_whole),
        RIG_POSIX(test_long_level0_slows_writers),
        RIG_POSIX(test_too_long_level0_stops_writers),
        RIG_POSIX(test_failure_ends_waiting),
        RIG_POSIX(test_damage_ends_waiting),
        RIG_POSIX(test_flushes_that_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
