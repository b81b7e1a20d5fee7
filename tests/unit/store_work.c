/* work: the background steps: pulled one by one on the simulated disk, and by worker threads on the
 * real system. */
#include "tests/unit/store_rig.h"

#include "store/store_priv.h"

/* ---- steps ---- */

static void test_steps(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    assert_absent(store_work(r->s));
    rig_fill(r, 0, 100, 300, 0);
    assert_absent(store_work(r->s)); /* the active memtable stays */
    assert_ok(commit_seal(&r->s->commit));
    assert_int_equal(rig_stats(r).sealed_memtables, 1);
    assert_ok(store_work(r->s));
    struct store_stats st = rig_stats(r);
    assert_int_equal(st.sealed_memtables, 0);
    assert_int_equal(st.level_tables[0], 1);
    assert_absent(store_work(r->s));
    for (uint64_t i = 1; i < 4; i++) {
        rig_fill(r, 0, 100, 300, i);
        assert_ok(store_flush(r->s));
    }
    assert_int_equal(rig_stats(r).level_tables[0], 4);
    rig_work(r);
    st = rig_stats(r);
    assert_int_equal(st.level_tables[0], 0);
    assert_int_equal(st.table_entries, 100);
    rig_assert_fill(r, 0, 100, 300, 3);
    rig_close_clean(r);
}

static void test_flush_and_compact_of_nothing(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    for (int i = 0; i < 3; i++) {
        assert_ok(store_flush(r->s));
        rig_compact(r);
    }
    assert_int_equal(rig_stats(r).flushes, 0);
    rig_put(r, "a", "v");
    rig_delete(r, "a");
    assert_ok(store_flush(r->s));
    assert_int_equal(rig_stats(r).flushes, 1);
    assert_int_equal(rig_stats(r).level_tables[0], 0); /* nothing was left of it */
    rig_close_clean(r);
}

static void test_compact_a_range(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    rig_fill(r, 0, 1000, 300, 0);
    rig_compact(r);
    rig_fill(r, 0, 100, 300, 1);
    assert_ok(store_flush(r->s));
    uint64_t before = rig_stats(r).compactions;
    assert_ok(store_compact(r->s, slice_str(rig_key(500)), slice_str(rig_key(600))));
    assert_int_equal(rig_stats(r).compactions, before); /* it is where it should be */
    assert_ok(store_compact(r->s, slice_str(rig_key(50)), slice_str(rig_key(60))));
    assert_true(rig_stats(r).compactions > before);
    assert_int_equal(rig_stats(r).table_entries, 1000);
    rig_assert_fill(r, 0, 100, 300, 1);
    rig_assert_fill(r, 100, 1000, 300, 0);
    rig_close_clean(r);
}

/* ---- on demand, told how far it is ---- */

struct told {
    uint32_t calls, stop_at;
    struct store_compaction last;
};

static int note_progress(void *ctx, const struct store_compaction *c)
{
    struct told *t = ctx;
    assert_true(c->done_bytes >= t->last.done_bytes && c->done_bytes <= c->total_bytes);
    t->last = *c;
    return ++t->calls == t->stop_at;
}

static int compact_told(struct rig *r, struct told *t)
{
    return store_compact_watched(r->s, (struct slice){0}, (struct slice){0}, note_progress, t);
}

static void test_progress_and_cancel(void **state)
{
    struct rig *r = *state;
    r->opt.level0_tables = 64;
    rig_open(r);
    for (uint64_t i = 0; i < 3; i++) {
        rig_fill(r, 0, 4000, 300, i);
        assert_ok(store_flush(r->s));
    }
    /* Given up anywhere, it leaves nothing behind. */
    uint32_t calls = 1;
    for (;; calls += 2) {
        struct told t = {.stop_at = calls};
        uint64_t before = rig_volume_bytes(r);
        int err = compact_told(r, &t);
        if (err == 0)
            break;
        assert_errno(err, EINTR);
        assert_int_equal(t.calls, calls);
        assert_true(rig_volume_bytes(r) <= before + 500); /* the manifest */
    }
    assert_true(calls > 5);
    struct store_stats st = rig_stats(r);
    assert_int_equal(st.table_entries, 4000);
    assert_int_equal(st.level_tables[0], 0);
    rig_assert_fill(r, 0, 4000, 300, 2);
    struct told t = {0};
    assert_ok(compact_told(r, &t));
    assert_true(t.calls == 1 && t.last.total_bytes == 0); /* there is nothing left */
    rig_fill(r, 0, 100, 300, 3);
    t = (struct told){0};
    assert_ok(compact_told(r, &t));
    assert_true(t.last.jobs == 1 && t.last.done_bytes > 0);
    rig_close_clean(r);
}

/* It can be given up while others keep it from its turn, who may take long. */
static void test_cancel_while_waiting(void **state)
{
    struct rig *r = *state;
    struct tree *t;
    rig_open(r);
    rig_fill(r, 0, 100, 300, 0);
    t = &r->s->tree;
    pthread_mutex_lock(&t->lock);
    t->placing = true;
    pthread_mutex_unlock(&t->lock);
    struct told told = {.stop_at = 3};
    uint64_t before = rig_stats(r).compactions;
    assert_errno(compact_told(r, &told), EINTR);
    assert_true(told.calls == 3 && told.last.jobs == 0);
    assert_int_equal(rig_stats(r).compactions, before);
    pthread_mutex_lock(&t->lock);
    t->placing = false;
    pthread_mutex_unlock(&t->lock);
    assert_ok(compact_told(r, &(struct told){0}));
    rig_assert_fill(r, 0, 100, 300, 0);
    rig_close_clean(r);
}

/* ---- level 0 ---- */

/* A long level 0 stays as it is while nobody reads, and goes down when looking through it has cost
 * as much: point reads, many at once, and cursors. */
static void test_reads_bring_level0_down(void **state)
{
    struct rig *r = *state;
    r->opt.level0_tables = 24;
    for (int kind = 0; kind < 3; kind++) {
        rig_open(r);
        for (uint64_t i = 0; i < 6; i++) {
            rig_fill(r, 0, 60, 300, i);
            assert_ok(store_flush(r->s));
        }
        rig_work(r);
        assert_int_equal(rig_stats(r).level_tables[0], 6);
        for (int i = 0; i < 3000 && rig_stats(r).level_tables[0] > 0; i++) {
            struct slice keys[2] = {slice_str("a"), slice_str(rig_key(3))};
            struct store_value values[2] = {0};
            struct store_read read;
            int results[2];
            store_read_begin(r->s, &read);
            if (kind == 0) {
                rig_assert(r, rig_key(60), NULL);
                store_get(&read, keys[1], &values[1]);
            } else if (kind == 1) {
                store_multi_get(&read, keys, 2, values, results);
            } else {
                struct store_iter *it = store_iter_new(&read, keys[0], (struct slice){0});
                assert_ok(store_iter_first(it));
                store_iter_free(it);
            }
            store_value_release(&values[0]);
            store_value_release(&values[1]);
            store_read_end(&read);
            rig_work(r);
        }
        assert_int_equal(rig_stats(r).level_tables[0], 0);
        rig_assert_fill(r, 0, 60, 300, 5);
        assert_ok(rig_try_delete_range(r, "a", "z", 0));
        rig_compact(r);
        rig_close_clean(r);
    }
}

/* ---- tombstones do not wait for ever ---- */

static void test_idle_flush(void **state)
{
    struct rig *r = *state;
    r->opt.idle_flush_ns = 5000000000;
    rig_open(r);
    rig_fill(r, 0, 100, 300, 0);
    simdisk_advance(r->disk, 100000000000);
    assert_absent(store_work(r->s)); /* plain values can wait */
    rig_delete_range(r, rig_key(10), rig_key(90));
    assert_absent(store_work(r->s));
    simdisk_advance(r->disk, 4900000000);
    assert_absent(store_work(r->s));
    simdisk_advance(r->disk, 200000000);
    assert_ok(store_work(r->s));
    assert_int_equal(rig_stats(r).flushes, 1);
    simdisk_advance(r->disk, 100000000000);
    rig_work(r);
    assert_int_equal(rig_stats(r).flushes, 1);
    /* Those of a log that was replayed do not, either. */
    rig_delete_range(r, rig_key(0), rig_key(5));
    struct rig *k = rig_kill(r);
    rig_open(k);
    assert_ok(store_work(k->s));
    assert_int_equal(rig_count(k), 15);
    rig_close_clean(k);
    rig_drop(k);
    rig_close(r);
}

/* ---- what is dead goes ---- */

static void test_dead_blob_files_go(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    for (uint64_t i = 0; i < 5; i++) {
        rig_fill(r, i * 20, i * 20 + 20, 3000, 0);
        assert_ok(store_flush(r->s));
    }
    rig_compact(r);
    assert_int_equal(rig_files(r, FILE_BLOB).count, 5);
    rig_fill(r, 20, 40, 10, 0); /* all of the second, by other values */
    rig_fill(r, 60, 70, 10, 0); /* half of the fourth */
    for (uint64_t i = 80; i < 100; i++)
        rig_delete(r, rig_key(i)); /* all of the last, one by one */
    rig_compact(r);
    rig_work(r);
    assert_int_equal(rig_files(r, FILE_BLOB).count, 3);
    struct store_stats st = rig_stats(r);
    assert_int_equal(st.blob_files, 3);
    assert_true(st.blob_garbage_bytes > 10 * 1500 && st.blob_garbage_bytes < 10 * 3100);
    rig_assert_fill(r, 0, 20, 3000, 0);
    rig_assert_fill(r, 40, 60, 3000, 0);
    rig_assert_fill(r, 70, 80, 3000, 0);
    rig_close_clean(r);
}

static void test_deleting_everything(void **state)
{
    struct rig *r = *state;
    static const size_t lens[] = {50, 700, 6000};
    rig_open(r);
    for (int i = 0; i < 3; i++) {
        rig_fill(r, 0, 2000, lens[i], 0);
        rig_work(r);
        assert_true(rig_volume_bytes(r) > 50000);
        rig_delete_range(r, "k", "l");
        assert_ok(store_flush(r->s));
        rig_work(r);
        assert_int_equal(rig_count(r), 0);
        if (i == 1)
            rig_compact(r);
        rig_work(r);
        if (rig_volume_bytes(r) > 12000)
            fail_msg("%" PRIu64 " bytes are left", rig_volume_bytes(r));
    }
    assert_int_equal(rig_stats(r).table_rangedels, 0);
    rig_close_clean(r);
}

/* Tables that a tombstone hides whole are not even read. */
static void test_hidden_tables_are_not_read(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    rig_fill(r, 0, 5000, 300, 0);
    rig_fill(r, 5000, 5100, 3000, 0);
    rig_compact(r);
    rig_delete_range(r, rig_key(20), rig_key(2500));
    rig_delete_range(r, rig_key(2500), rig_key(5090));
    rig_reopen(r);
    simdisk_fail(
        r->disk,
        &(struct sim_fault){
            .call = SIM_READ, .path_part = ".table", .after = 60, .err = -EIO, .sticky = true});
    rig_compact(r); /* it would take hundreds of reads */
    simdisk_heal(r->disk);
    assert_int_equal(rig_count(r), 30);
    rig_assert_fill(r, 0, 20, 300, 0);
    rig_assert_fill(r, 5090, 5100, 3000, 0);
    rig_close_clean(r);
}

/* But not if a pin still sees what is in them. */
static void test_hidden_tables_and_pins(void **state)
{
    struct rig *r = *state;
    struct store_pin p[3];
    struct store_read read;
    rig_open(r);
    rig_fill(r, 0, 2000, 300, 0);
    assert_ok(store_pin_create(r->s, "before", 0, &p[0]));
    rig_compact(r);
    rig_fill(r, 2000, 4000, 300, 0);
    rig_compact(r);
    rig_delete_range(r, rig_key(0), rig_key(3000));
    assert_ok(store_pin_create(r->s, "between", 0, &p[1]));
    rig_delete_range(r, rig_key(1000), rig_key(4000));
    rig_compact(r);
    assert_int_equal(rig_count(r), 0);
    store_read_begin_at(r->s, p[0].seq, &read);
    rig_assert_fill_at(&read, 0, 2000, 300, 0);
    rig_assert_at(&read, rig_key(2000), NULL);
    store_read_end(&read);
    store_read_begin_at(r->s, p[1].seq, &read);
    rig_assert_at(&read, rig_key(2999), NULL);
    rig_assert_fill_at(&read, 3000, 4000, 300, 0);
    store_read_end(&read);
    assert_ok(store_pin_delete(r->s, "between"));
    rig_compact(r);
    store_read_begin_at(r->s, p[0].seq, &read);
    rig_assert_fill_at(&read, 0, 2000, 300, 0);
    store_read_end(&read);
    assert_ok(store_pin_delete(r->s, "before"));
    rig_compact(r);
    rig_work(r);
    assert_true(rig_volume_bytes(r) < 12000);
    rig_close_clean(r);
}

/* A few deletions that lie over everything do not make one table that has to be compacted with
 * everything. */
static void test_tables_are_not_too_wide(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    rig_fill(r, 0, 30000, 100, 0);
    rig_compact(r);
    struct store_stats st = rig_stats(r);
    assert_true(st.level_bytes[6] > 40 * r->opt.table_bytes);
    for (int round = 0; round < 8; round++) {
        for (uint64_t i = (uint64_t)round; i < 30000; i += 300)
            rig_delete(r, rig_key(i));
        assert_ok(store_flush(r->s));
    }
    rig_log_reset();
    rig_work(r);
    uint64_t most = 0;
    for (const char *line = rig_log.all; (line = strstr(line, "compaction: ")) != NULL; line++) {
        unsigned upper, lower;
        int from, to;
        uint64_t bytes;
        if (sscanf(line, "compaction: %u tables of level %d and %u of level %d, %" SCNu64, &upper,
                   &from, &lower, &to, &bytes) == 5 &&
            from > 0 && bytes > most)
            most = bytes;
    }
    if (most > 25 * r->opt.table_bytes)
        fail_msg("a compaction of %" PRIu64 " bytes", most);
    assert_int_equal(rig_count(r), 30000 - 800);
    rig_close_clean(r);
}

/* ---- damage ---- */

/* The n-th table of the store, damaged in the middle. */
static void damage_table(struct rig *r, int n)
{
    struct rig_names tables = rig_files(r, FILE_TABLE);
    const char *path = rig_file(r, FILE_TABLE, tables.number[n]);
    assert_ok(simdisk_flip(r->disk, path, rig_file_bytes(r, path) / 2, 1));
}

static void test_damage_parks_the_inputs(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    rig_fill(r, 0, 3000, 300, 0);
    rig_compact(r);
    r->opt.memtable_bytes = 1 << 20; /* so that the writer need not compact on its way */
    rig_reopen(r);
    damage_table(r, 3);
    for (uint64_t i = 0; i < 4; i++) {
        rig_fill(r, i * 750, i * 750 + 800 - (i == 3 ? 50 : 0), 300, 1);
        assert_ok(store_flush(r->s));
    }
    rig_log_reset();
    int failed = 0;
    for (int i = 0; i < 50; i++) {
        int err = store_work(r->s);
        failed += err == -EIO;
        assert_true(err == 0 || err == 1 || err == -EIO);
    }
    assert_int_equal(failed, 1);
    assert_true(rig_logged("leaves") && rig_log.errors <= 3);
    assert_errno(store_compact(r->s, (struct slice){0}, (struct slice){0}), EIO);
    assert_null(store_failure(r->s));
    /* Writing, reading and flushing go on. */
    rig_fill(r, 3000, 6000, 300, 0);
    assert_ok(store_flush(r->s));
    rig_assert_fill(r, 0, 3000, 300, 1);
    rig_assert_fill(r, 3000, 6000, 300, 0);
    /* After an open it is tried again, once. */
    rig_reopen(r);
    rig_log_reset();
    assert_errno(store_compact(r->s, (struct slice){0}, (struct slice){0}), EIO);
    assert_errno(store_compact(r->s, (struct slice){0}, (struct slice){0}), EIO);
    assert_true(rig_log.errors <= 6);
    rig_assert_fill(r, 3000, 6000, 300, 0);
    rig_close(r);
    assert_true(rig_check(r).damage > 0);
}

/* What has nothing to do with the damage is compacted as ever. */
static void test_damage_parks_nothing_else(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    rig_fill(r, 0, 1000, 300, 0);
    rig_compact(r);
    rig_fill(r, 5000, 6000, 300, 0);
    rig_compact(r);
    rig_reopen(r);
    damage_table(r, 0);
    rig_put(r, rig_key(1), "x");
    assert_ok(store_flush(r->s));
    assert_errno(store_compact(r->s, slice_str(rig_key(0)), slice_str(rig_key(100))), EIO);
    uint32_t parked = r->s->tree.parked_tables;
    assert_true(parked > 0);
    rig_assert_fill(r, 5000, 6000, 300, 0);
    rig_assert(r, rig_key(1), "x");
    rig_close(r);
}

/* ---- threads ---- */

struct caller {
    struct rig *rig;
    int (*fn)(struct store *s);
    int result;
    pthread_t thread;
};

static void *call(void *arg)
{
    struct caller *c = arg;
    for (int i = 0; i < 20 && c->result == 0; i++) {
        struct buf room = {0};
        c->result = rig_try_put(c->rig, rig_key((uint64_t)i), rig_value(1, 200, &room), 0);
        buf_release(&room);
        if (c->result == 0)
            c->result = c->fn(c->rig->s);
    }
    return NULL;
}

static int compact_all(struct store *s)
{
    return store_compact(s, (struct slice){0}, (struct slice){0});
}

/* Several at once: each returns when all is done, whoever did it. */
static void test_callers_at_once(void **state)
{
    struct rig *r = *state;
    static int (*const fns[])(struct store *) = {store_flush, compact_all, store_flush,
                                                 compact_all};
    for (uint32_t workers = 0; workers < 3; workers++) {
        struct caller callers[4];
        r->opt.workers = workers;
        rig_open(r);
        rig_fill(r, 0, 3000, 300, workers);
        for (int i = 0; i < 4; i++) {
            callers[i] = (struct caller){.rig = r, .fn = fns[i]};
            assert_int_equal(pthread_create(&callers[i].thread, NULL, call, &callers[i]), 0);
        }
        for (int i = 0; i < 4; i++) {
            pthread_join(callers[i].thread, NULL);
            assert_ok(callers[i].result);
        }
        rig_compact(r);
        struct store_stats st = rig_stats(r);
        assert_int_equal(st.level_tables[0], 0);
        assert_int_equal(st.table_entries, 3000);
        rig_assert_fill(r, 100, 3000, 300, workers);
        rig_close_clean(r);
    }
}

static bool flushed_within(struct rig *r, uint64_t flushes, int ms)
{
    while (ms-- > 0 && rig_stats(r).flushes < flushes)
        usleep(1000);
    return rig_stats(r).flushes >= flushes;
}

/* Workers do by themselves what store_work() does. */
static void test_workers_work(void **state)
{
    struct rig *r = *state;
    r->opt.workers = 2;
    r->opt.idle_flush_ns = 10000000;
    rig_open(r);
    rig_fill(r, 0, 3000, 300, 0);
    assert_true(flushed_within(r, 1, 5000));
    assert_ok(store_flush(r->s));
    uint64_t before = rig_stats(r).flushes;
    rig_delete_range(r, rig_key(0), rig_key(3000));
    assert_true(flushed_within(r, before + 1, 5000));
    for (int ms = 0; ms < 5000 && rig_volume_bytes(r) > 20000; ms++)
        usleep(1000);
    assert_true(rig_volume_bytes(r) < 20000);
    rig_close_clean(r);
}

/* An env whose table reads can be held up, for as long as a test wants a compaction to take. */
struct gate {
    struct env env;
    pthread_mutex_t lock;
    pthread_cond_t opened;
    bool shut;        /* [lock] */
    uint32_t waiting; /* [lock] */
};
static struct gate gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .opened = PTHREAD_COND_INITIALIZER};

static void gate_pass(void)
{
    pthread_mutex_lock(&gate.lock);
    gate.waiting++;
    while (gate.shut)
        pthread_cond_wait(&gate.opened, &gate.lock);
    gate.waiting--;
    pthread_mutex_unlock(&gate.lock);
}

static int gate_open(struct env *env, const char *path, enum env_open_mode mode,
                     struct env_file **out)
{
    (void)env;
    if (mode == ENV_OPEN_READ && strstr(path, ".table"))
        gate_pass();
    return env_posix()->open(env_posix(), path, mode, out);
}

static void gate_set(bool shut)
{
    pthread_mutex_lock(&gate.lock);
    gate.shut = shut;
    pthread_cond_broadcast(&gate.opened);
    pthread_mutex_unlock(&gate.lock);
}

static uint32_t gate_waiting(void)
{
    pthread_mutex_lock(&gate.lock);
    uint32_t waiting = gate.waiting;
    pthread_mutex_unlock(&gate.lock);
    return waiting;
}

/* With one worker, and that in a compaction that does not end, memtables are flushed all the same.
 */
static void test_flushes_do_not_wait_for_compactions(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    for (uint64_t i = 0; i < 5; i++) {
        rig_fill(r, 0, 100, 300, i);
        assert_ok(store_flush(r->s));
    }
    rig_close(r);
    gate.env = *env_posix();
    gate.env.open = gate_open;
    gate_set(true);
    r->opt.env = &gate.env;
    r->opt.workers = 1;
    rig_open(r);
    for (int ms = 0; ms < 10000 && gate_waiting() == 0; ms++)
        usleep(1000);
    assert_true(gate_waiting() > 0);
    rig_fill(r, 0, 600, 300, 9); /* more memtables than are there at a time */
    for (int ms = 0; ms < 10000 && rig_stats(r).sealed_memtables > 0; ms++)
        usleep(1000);
    assert_int_equal(rig_stats(r).sealed_memtables, 0);
    assert_true(rig_stats(r).flushes >= 2 && rig_stats(r).compactions == 0);
    gate_set(false);
    rig_compact(r);
    rig_assert_fill(r, 0, 600, 300, 9);
    rig_close_clean(r);
}

/* A compaction that meets damage does not keep the workers busy. */
static void test_workers_do_not_spin(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    rig_fill(r, 0, 3000, 300, 0);
    rig_compact(r);
    struct rig_names tables = rig_files(r, FILE_TABLE);
    rig_close(r);
    assert_ok(truncate(rig_file(r, FILE_TABLE, tables.number[2]), 3000));
    r->opt.workers = 2;
    rig_open(r);
    rig_log_reset();
    rig_fill(r, 0, 3000, 300, 1);
    for (int i = 0; i < 20; i++) {
        rig_put(r, rig_key(9000), "v");
        assert_ok(store_flush(r->s));
    }
    usleep(200000);
    if (rig_log.errors > 5)
        fail_msg("%u errors were logged: %s", rig_log.errors, rig_log.all);
    rig_assert_fill(r, 0, 3000, 300, 1);
    rig_close(r);
}

/* Four tables of level 0 that lie over each other; the last of deletions if `drop`. */
static void fill_level0(struct rig *r, bool drop)
{
    r->opt.workers = 0;
    rig_open(r);
    for (uint64_t i = 0; i < 4; i++) {
        struct store_batch *b = store_batch_new(r->s);
        struct buf room = {0};
        for (uint64_t k = 0; k < 30000; k++) {
            if (drop && i == 3)
                store_batch_delete(b, slice_str(rig_key(k)));
            else
                store_batch_put(b, slice_str(rig_key(k)), rig_value(k + i, 200, &room));
        }
        assert_ok(rig_write(r, b, 0));
        buf_release(&room);
        char message[STORE_MESSAGE_MAX];
        if (i == 0)
            assert_ok(store_set(r->s, "compression.level", "0", message));
        assert_ok(store_flush(r->s));
    }
    assert_true(rig_stats(r).level_tables[0] >= 4);
    rig_close(r);
}

static bool compacts(struct rig *r)
{
    struct tree *t = &r->s->tree;
    pthread_mutex_lock(&t->lock);
    bool running = t->compact.running;
    pthread_mutex_unlock(&t->lock);
    return running;
}

/* Closes when a worker has begun to compact. Was the job given up? */
static bool close_gives_up(struct rig *r)
{
    r->opt.workers = 1;
    rig_open(r);
    while (!compacts(r) && rig_stats(r).level_tables[0] > 0)
        usleep(100);
    rig_close(r);
    r->opt.workers = 0;
    rig_open(r);
    bool given_up = rig_stats(r).level_tables[0] > 0;
    rig_compact(r);
    return given_up;
}

/* Who closes does not wait for a long compaction, be it one that writes or one that drops all. On a
 * busy machine the worker may be done before anybody has closed anything: then it is tried again.
 */
static void test_close_gives_up(void **state)
{
    struct rig *r = *state;
    r->opt.memtable_bytes = 64 << 20;
    r->opt.table_bytes = 64 << 20;
    r->opt.zstd_level = 19; /* so that it takes its time */
    for (int drop = 0; drop < 2; drop++) {
        bool given_up = false;
        for (int i = 0; i < 10 && !given_up; i++) {
            fill_level0(r, drop);
            given_up = close_gives_up(r);
            assert_int_equal(rig_count(r), drop ? 0 : 30000);
            rig_close_clean(r);
        }
        assert_true(given_up);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_SIM(test_steps),
        RIG_SIM(test_flush_and_compact_of_nothing),
        RIG_SIM(test_compact_a_range),
        RIG_SIM(test_progress_and_cancel),
        RIG_SIM(test_cancel_while_waiting),
        RIG_SIM(test_reads_bring_level0_down),
        RIG_SIM(test_idle_flush),
        RIG_SIM(test_dead_blob_files_go),
        RIG_SIM(test_deleting_everything),
        RIG_SIM(test_hidden_tables_are_not_read),
        RIG_SIM(test_hidden_tables_and_pins),
        RIG_SIM(test_tables_are_not_too_wide),
        RIG_SIM(test_damage_parks_the_inputs),
        RIG_SIM(test_damage_parks_nothing_else),
        RIG_POSIX(test_callers_at_once),
        RIG_POSIX(test_workers_work),
        RIG_POSIX(test_flushes_do_not_wait_for_compactions),
        RIG_POSIX(test_workers_do_not_spin),
        RIG_POSIX(test_close_gives_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
