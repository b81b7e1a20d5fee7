/* ingest: bulk ingestion: where it stands in history, on which level, what is refused, and that a
 * failure, or a crash, leaves nothing of it. */
#include "tests/unit/past.h"

static void ingest_put(struct store_ingest *g, const char *key, struct slice value)
{
    assert_ok(store_ingest_put(g, slice_str(key), value));
}

/* Keys [from, to) as rig_fill() would make them. */
static int try_ingest(struct rig *r, uint64_t from, uint64_t to, size_t len, uint64_t salt)
{
    struct store_ingest *g = store_ingest_new(r->s);
    struct buf room = {0};
    int err = 0;
    for (uint64_t i = from; i < to && err == 0; i++)
        err = store_ingest_put(g, slice_str(rig_key(i)), rig_value(i + salt, len, &room));
    if (err == 0)
        err = store_ingest_finish(g);
    store_ingest_free(g);
    buf_release(&room);
    return err;
}

static void ingest(struct rig *r, uint64_t from, uint64_t to, size_t len, uint64_t salt)
{
    assert_ok(try_ingest(r, from, to, len, salt));
}

/* ---- what is there ---- */

static void test_into_an_empty_store(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    ingest(r, 0, 3000, 100, 0);
    struct store_stats st = rig_stats(r);
    assert_true(st.level_tables[6] > 3);
    assert_int_equal(st.level_tables[0], 0);
    assert_int_equal(st.seq, 1);
    assert_int_equal(st.bytes_written_compaction, 0);
    rig_assert_fill(r, 0, 3000, 100, 0);
    rig_reopen(r);
    rig_assert_fill(r, 0, 3000, 100, 0);
    assert_int_equal(rig_stats(r).seq, 1);
    rig_put(r, rig_key(5), "newer");
    rig_assert(r, rig_key(5), "newer");
    rig_reopen(r);
    rig_assert(r, rig_key(5), "newer");
    rig_compact(r);
    rig_assert(r, rig_key(5), "newer");
    rig_assert_fill(r, 6, 3000, 100, 0);
    rig_close_clean(r);
}

/* Values of all sizes; large ones are in blob files, and accounted for. */
static void test_blobs(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    ingest(r, 0, 100, 900, 0);
    ingest(r, 100, 130, 9000, 0);
    assert_true(rig_stats(r).blob_files >= 2);
    rig_assert_fill(r, 0, 100, 900, 0);
    rig_assert_fill(r, 100, 130, 9000, 0);
    rig_fill(r, 50, 110, 20, 0);
    rig_compact(r);
    rig_assert_fill(r, 110, 130, 9000, 0);
    assert_true(rig_stats(r).blob_garbage_bytes > 0);
    rig_close_clean(r);
}

/* Above what is older, wherever that is: in memory, on level 0, further down; and it hides. */
static void test_above_older(void **state)
{
    struct rig *r = *state;
    for (int where = 0; where < 4; where++) {
        uint64_t at = (uint64_t)where * 1000;
        if (!r->s)
            rig_open(r);
        rig_fill(r, at, at + 100, 50, 1);
        rig_merge_op(r, rig_key(at + 20), "operand");
        rig_delete_range(r, rig_key(at + 40), rig_key(at + 300));
        if (where > 0)
            assert_ok(store_flush(r->s));
        if (where > 1)
            rig_work(r);
        if (where > 2)
            rig_compact(r);
        ingest(r, at + 10, at + 200, 50, 2);
        rig_assert_fill(r, at, at + 10, 50, 1);
        rig_assert_fill(r, at + 10, at + 200, 50, 2);
        rig_delete(r, rig_key(at + 50));
        rig_merge_op(r, rig_key(at + 51), "+");
        rig_delete_range(r, rig_key(at + 60), rig_key(at + 70));
        rig_assert(r, rig_key(at + 50), NULL);
        rig_assert(r, rig_key(at + 60), NULL);
        rig_reopen(r);
        rig_assert(r, rig_key(at + 50), NULL);
        rig_assert(r, rig_key(at + 69), NULL);
        rig_assert_fill(r, at + 70, at + 200, 50, 2);
    }
    rig_compact(r);
    for (uint64_t at = 0; at < 4000; at += 1000) {
        rig_assert_fill(r, at + 10, at + 50, 50, 2);
        rig_assert_fill(r, at + 70, at + 200, 50, 2);
        rig_assert(r, rig_key(at + 65), NULL);
    }
    rig_close_clean(r);
}

/* As deep as what is there lets it. */
static void test_levels(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    rig_fill(r, 0, 1000, 100, 0);
    rig_compact(r);
    ingest(r, 2000, 2100, 50, 0); /* beside */
    assert_int_equal(rig_stats(r).level_tables[5], 0);
    ingest(r, 500, 600, 50, 1); /* over the bottom */
    assert_int_equal(rig_stats(r).level_tables[5], 1);
    ingest(r, 550, 560, 50, 2); /* over that */
    assert_int_equal(rig_stats(r).level_tables[4], 1);
    rig_put(r, rig_key(700), "in the way");
    ingest(r, 690, 710, 50, 3);
    struct store_stats st = rig_stats(r);
    assert_int_equal(st.level_tables[0], 2); /* that was flushed, and this is over it */
    rig_assert_fill(r, 690, 710, 50, 3);
    rig_assert_fill(r, 550, 560, 50, 2);
    rig_assert_fill(r, 560, 600, 50, 1);
    rig_work(r);
    rig_compact(r);
    rig_assert_fill(r, 0, 500, 100, 0);
    rig_assert_fill(r, 500, 550, 50, 1);
    rig_assert_fill(r, 550, 560, 50, 2);
    rig_assert_fill(r, 690, 710, 50, 3);
    rig_assert_fill(r, 2000, 2100, 50, 0);
    rig_close_clean(r);
}

/* At once, at one moment: who reads sees nothing of it, or all; a pin from before does not. */
static void test_one_moment(void **state)
{
    struct rig *r = *state;
    struct store_pin before, after;
    struct store_read read;
    rig_open(r);
    rig_fill(r, 0, 50, 20, 0);
    struct store_ingest *g = store_ingest_new(r->s);
    for (uint64_t i = 0; i < 100; i++)
        ingest_put(g, rig_key(i), slice_str("ingested"));
    rig_put(r, rig_key(7), "while it was written");
    assert_ok(store_pin_create(r->s, "before", 0, &before));
    store_read_begin(r->s, &read);
    assert_int_equal(rig_count(r), 50);
    uint64_t seq = rig_stats(r).seq;
    assert_ok(store_ingest_finish(g));
    store_ingest_free(g);
    assert_int_equal(rig_stats(r).seq, seq + 1);
    assert_int_equal(rig_count(r), 100);
    rig_assert(r, rig_key(7), "ingested");
    rig_assert_at(&read, rig_key(7), "while it was written");
    rig_assert_at(&read, rig_key(70), NULL);
    store_read_end(&read);
    assert_ok(store_pin_create(r->s, "after", 0, &after));
    assert_int_equal(after.seq, before.seq + 1);
    rig_delete_range(r, "a", "z");
    rig_compact(r);
    rig_reopen(r);
    store_read_begin_at(r->s, before.seq, &read);
    rig_assert_at(&read, rig_key(7), "while it was written");
    rig_assert_at(&read, rig_key(70), NULL);
    store_read_end(&read);
    store_read_begin_at(r->s, after.seq, &read);
    rig_assert_at(&read, rig_key(70), "ingested");
    store_read_end(&read);
    assert_int_equal(rig_count(r), 0);
    rig_close_clean(r);
}

/* ---- what is refused, and failures ---- */

static void test_refused(void **state)
{
    struct rig *r = *state;
    static uint8_t long_key[STORE_KEY_MAX + 1] = "z";
    rig_open(r);
    struct store_ingest *g = store_ingest_new(r->s);
    assert_errno(store_ingest_put(g, (struct slice){0}, slice_str("v")), EINVAL);
    ingest_put(g, "b", slice_str("1"));
    assert_errno(store_ingest_put(g, slice_str("b"), slice_str("2")), EINVAL);
    assert_errno(store_ingest_put(g, slice_str("a"), slice_str("2")), EINVAL);
    assert_errno(store_ingest_put(g, slice_of(long_key, sizeof long_key), slice_str("2")), EINVAL);
    ingest_put(g, "c", slice_str("3"));
    assert_ok(store_ingest_finish(g));
    store_ingest_free(g);
    rig_assert(r, "b", "1");
    rig_assert(r, "c", "3");
    g = store_ingest_new(r->s);
    assert_ok(store_ingest_finish(g)); /* nothing at all */
    store_ingest_free(g);
    store_ingest_free(NULL);
    assert_int_equal(rig_stats(r).seq, 1);
    rig_close_clean(r);
    r->opt.read_only = true;
    rig_open(r);
    g = store_ingest_new(r->s);
    assert_errno(store_ingest_put(g, slice_str("d"), slice_str("4")), EROFS);
    assert_errno(store_ingest_finish(g), EROFS);
    store_ingest_free(g);
    rig_close(r);
}

static void test_given_up(void **state)
{
    struct rig *r = *state;
    struct buf room = {0};
    rig_open(r);
    rig_put(r, "a", "1");
    assert_ok(store_flush(r->s));
    uint64_t bytes = rig_volume_bytes(r);
    struct store_ingest *g = store_ingest_new(r->s);
    for (uint64_t i = 0; i < 500; i++)
        ingest_put(g, rig_key(i), rig_value(i, 800, &room));
    assert_true(rig_volume_bytes(r) > bytes);
    store_ingest_free(g);
    assert_int_equal(rig_volume_bytes(r), bytes);
    assert_int_equal(rig_count(r), 1);
    buf_release(&room);
    rig_close_clean(r);
}

/* Each call fails once: all or nothing of it is there, what is there is sound, and the store goes
 * on or has turned read-only. */
static void test_any_call_fails(void **state)
{
    (void)state;
    static const enum sim_call calls[] = {SIM_CREATE, SIM_WRITE, SIM_SYNC, SIM_SYNC_DIR};
    static const int errors[] = {-EIO, -ENOSPC};
    for (size_t k = 0; k < 2 * sizeof calls / sizeof *calls; k++) {
        int err = -1;
        for (uint64_t after = 0; err != 0; after++) {
            void *one;
            assert_ok(rig_sim(&one));
            struct rig *r = one;
            rig_open(r);
            rig_fill(r, 0, 20, 100, 1);
            simdisk_fail(r->disk, &(struct sim_fault){
                                      .call = calls[k / 2], .after = after, .err = errors[k % 2]});
            err = try_ingest(r, 10, 300, 700, 2);
            simdisk_heal(r->disk);
            if (err != 0 && !store_failure(r->s)) {
                assert_int_equal(rig_count(r), 20);
                rig_assert_fill(r, 0, 20, 100, 1);
                rig_put(r, "goes", "on");
                ingest(r, 10, 300, 700, 2); /* the next attempt */
                rig_assert(r, "goes", "on");
            }
            bool failed = store_failure(r->s) != NULL;
            assert_true(err == 0 || !failed || err == -EROFS);
            store_close(r->s);
            r->s = NULL;
            struct rig_findings found = rig_check(r);
            assert_int_equal(found.damage, 0);
            rig_open(r);
            uint64_t count = rig_count(r);
            if (failed)
                assert_true(count == 20 || count == 300);
            rig_close_clean(r);
            assert_ok(rig_leave(&one));
        }
    }
}

/* ---- against the model, with everything else that goes on ---- */

static void past_ingest(struct past *p)
{
    struct store_ingest *g = store_ingest_new(p->r->s);
    struct buf room = {0};
    struct buf *values[PAST_KEYS] = {0};
    uint64_t part = 1 + simrng_below(&p->rng, 6);
    for (size_t i = 0; i < PAST_KEYS; i++) {
        if (simrng_below(&p->rng, part))
            continue;
        values[i] = past_buf(p);
        buf_set(values[i], past_fresh_value(p, &room));
        assert_ok(store_ingest_put(g, past_key(i), buf_slice(values[i])));
        if (simrng_below(&p->rng, 40) == 0)
            past_write(p); /* older than it, though it comes later */
    }
    if (simrng_below(&p->rng, 8)) {
        assert_ok(store_ingest_finish(g));
        struct past_state *st = past_push(p);
        for (size_t i = 0; i < PAST_KEYS; i++)
            st->value[i] = values[i] ? values[i] : st->value[i];
        st->seq = past_now(p);
    }
    store_ingest_free(g);
    buf_release(&room);
}

static void test_random_histories(void **state)
{
    struct rig *r = *state;
    struct past p;
    past_init(&p, r, unit_seed());
    r->opt.memtable_bytes = 16 << 10;
    r->opt.table_bytes = 4 << 10;
    rig_open(r);
    for (int i = 0; i < 1500; i++) {
        if (simrng_below(&p.rng, 10) == 0)
            past_ingest(&p);
        else
            past_step(&p);
        if (i % 10 == 0) {
            struct store_read read;
            past_assert_all(&p, r->s);
            store_read_begin(r->s, &read);
            assert_ok(past_check_since(&p, &read, past_some_pin(&p), 0, 0, PAST_KEYS));
            store_read_end(&read);
        }
        if (i % 300 == 299) { /* killed: a log may hold numbers that did nothing */
            struct rig *k = rig_kill(r);
            rig_open(k);
            past_assert_all(&p, k->s);
            rig_drop(k);
        }
    }
    rig_close_clean(r);
    rig_open(r);
    past_assert_all(&p, r->s);
    rig_close_clean(r);
    past_release(&p);
}

/* ---- beside others ---- */

struct writer {
    struct rig *rig;
    uint64_t count; /* of its keys, which are between those that are ingested */
    int stop;       /* atomic */
};

static void *write_on(void *arg)
{
    struct writer *w = arg;
    for (; !__atomic_load_n(&w->stop, __ATOMIC_RELAXED); w->count++)
        rig_fill(w->rig, 10 * w->count + 5, 10 * w->count + 6, 100, 0);
    return NULL;
}

static void test_beside_writers_and_workers(void **state)
{
    struct rig *r = *state;
    struct writer w = {.rig = r};
    struct buf room = {0};
    pthread_t thread;
    r->opt.workers = 2;
    rig_open(r);
    assert_int_equal(pthread_create(&thread, NULL, write_on, &w), 0);
    for (uint64_t round = 0; round < 12; round++) {
        struct store_ingest *g = store_ingest_new(r->s);
        for (uint64_t i = 0; i < 2000; i += 1 + round % 3)
            ingest_put(g, rig_key(10 * i), rig_value(i + round, 60, &room));
        assert_ok(store_ingest_finish(g));
        store_ingest_free(g);
        for (uint64_t i = 0; i < 2000; i += 1 + round % 3) {
            struct store_read read;
            struct store_value v = {0};
            store_read_begin(r->s, &read);
            assert_ok(store_get(&read, slice_str(rig_key(10 * i)), &v));
            assert_true(slice_eq(v.data, rig_value(i + round, 60, &room)));
            store_value_release(&v);
            store_read_end(&read);
        }
    }
    __atomic_store_n(&w.stop, 1, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
    rig_compact(r);
    for (uint64_t i = 0; i < w.count; i++)
        rig_assert_fill(r, 10 * i + 5, 10 * i + 6, 100, 0);
    assert_int_equal(rig_count(r), 2000 + w.count);
    assert_null(store_failure(r->s));
    assert_int_equal(rig_log.errors, 0);
    buf_release(&room);
    rig_close_clean(r);
}

/* Deletions hide what is older, wherever that is, and nothing that is newer. */
static void test_deletions(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    rig_fill(r, 0, 300, 600, 1);
    rig_compact(r);
    rig_fill(r, 100, 200, 50, 2);
    assert_ok(store_flush(r->s));
    rig_put(r, rig_key(150), "in memory");
    struct store_ingest *g = store_ingest_new(r->s);
    for (uint64_t i = 50; i < 250; i++) {
        if (i % 2)
            assert_ok(store_ingest_delete(g, slice_str(rig_key(i))));
        else
            ingest_put(g, rig_key(i), slice_str("even"));
    }
    assert_errno(store_ingest_delete(g, slice_str(rig_key(249))), EINVAL); /* out of order */
    assert_ok(store_ingest_delete(g, slice_str(rig_key(5000))));           /* never was there */
    assert_ok(store_ingest_finish(g));
    store_ingest_free(g);
    for (int round = 0; round < 3; round++) {
        for (uint64_t i = 50; i < 250; i++)
            rig_assert(r, rig_key(i), i % 2 ? NULL : "even");
        rig_assert(r, rig_key(5000), NULL);
        rig_assert_fill(r, 0, 50, 600, 1);
        rig_assert_fill(r, 250, 300, 600, 1);
        if (round == 0)
            rig_reopen(r);
        else
            rig_compact(r);
    }
    rig_put(r, rig_key(51), "newer");
    rig_assert(r, rig_key(51), "newer");
    rig_close_clean(r);
}

/* With a pin of just that moment, or neither. */
static void test_with_a_pin(void **state)
{
    struct rig *r = *state;
    struct store_pin pin = {.name = "p", .tag = 3, .created_ns = 77}, other = {.name = "q"};
    struct store_read read;
    rig_open(r);
    rig_put(r, "a", "before");
    assert_ok(store_pin_create(r->s, "q", 0, &other));
    struct store_ingest *g = store_ingest_new(r->s);
    ingest_put(g, "b", slice_str("ingested"));
    other.name = "q";
    assert_errno(store_ingest_finish_pinned(g, &other), EEXIST);
    store_ingest_free(g);
    rig_assert(r, "b", NULL);
    g = store_ingest_new(r->s);
    ingest_put(g, "b", slice_str("ingested"));
    rig_put(r, "a", "meanwhile");
    assert_ok(store_ingest_finish_pinned(g, &pin));
    store_ingest_free(g);
    rig_put(r, "a", "after");
    rig_put(r, "b", "after");
    for (int round = 0; round < 2; round++) {
        assert_int_equal(rig_stats(r).pins, 2);
        store_read_begin_at(r->s, pin.seq, &read);
        rig_assert_at(&read, "a", "meanwhile");
        rig_assert_at(&read, "b", "ingested");
        store_read_end(&read);
        rig_assert(r, "b", "after");
        rig_compact(r);
        rig_reopen(r);
    }
    rig_close_clean(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_SIM(test_deletions),
        RIG_SIM(test_with_a_pin),
        RIG_SIM(test_into_an_empty_store),
        RIG_SIM(test_blobs),
        RIG_SIM(test_above_older),
        RIG_SIM(test_levels),
        RIG_SIM(test_one_moment),
        RIG_SIM(test_refused),
        RIG_SIM(test_given_up),
        cmocka_unit_test(test_any_call_fails),
        RIG_SIM(test_random_histories),
        RIG_POSIX(test_beside_writers_and_workers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
