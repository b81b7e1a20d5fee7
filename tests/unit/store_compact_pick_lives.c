/* Tests of store/compact_pick.h: whole lives of a small tree, which must come to rest, read right,
 * and not write too much. */
#include "tests/unit/pick_sim.h"

/* ---- the guard between jobs ---- */

/* Four jobs at once over all kinds of changes: their outputs never meet, and all reads stay right.
 */
static void test_jobs_stay_apart(void **state)
{
    struct sim s;
    (void)state;
    sim_init(&s, unit_seed());
    s.jobs_max = SIM_JOBS_MAX;
    for (int round = 0; round < 100; round++) {
        uint32_t at = (uint32_t)simrng_below(&s.rng, SIM_KEYS_MAX);
        uint32_t width = simrng_coin(&s.rng) ? SIM_KEYS_MAX : 1000;
        for (int i = 0; i < 250; i++)
            sim_put(&s, (at + (uint32_t)simrng_below(&s.rng, width)) % SIM_KEYS_MAX, false);
        if (simrng_coin(&s.rng))
            sim_delete_range(&s, at, at + 1 + (uint32_t)simrng_below(&s.rng, SIM_KEYS_MAX - at));
        sim_flush(&s);
        if (s.v->pin_count < SIM_PINS_MAX && simrng_below(&s.rng, 5) == 0)
            sim_pin(&s);
        if (s.v->pin_count > 0 && simrng_below(&s.rng, 5) == 0)
            sim_unpin(&s, (uint32_t)simrng_below(&s.rng, s.v->pin_count));
        for (int i = 0; i < 12 && sim_step(&s); i++)
            continue;
        sim_check_reads(&s, 5);
    }
    sim_settle(&s);
    sim_check_reads(&s, 200);
    sim_release(&s);
}

/* ---- whole lives ---- */

static void report(const struct sim *s, const char *what)
{
    print_message(
        "%s: %llu jobs (%llu moves; level 0 %llu, size %llu, tombstones %llu, held %llu), "
        "written %.1f times what was flushed; levels",
        what, (unsigned long long)s->job_count, (unsigned long long)s->move_count,
        (unsigned long long)s->reasons[PICK_LEVEL0], (unsigned long long)s->reasons[PICK_SIZE],
        (unsigned long long)s->reasons[PICK_TOMBSTONES], (unsigned long long)s->reasons[PICK_HELD],
        (double)s->written_bytes / (double)s->flushed_bytes);
    for (int l = 0; l < LEVEL_COUNT; l++)
        print_message(" %llu", (unsigned long long)s->v->levels[l].bytes);
    print_message("\n");
}

static void test_random_writes(void **state)
{
    struct sim s;
    (void)state;
    sim_init(&s, unit_seed());
    for (int round = 0; round < 400; round++) {
        for (int i = 0; i < 250; i++)
            sim_put(&s, (uint32_t)simrng_below(&s.rng, SIM_KEYS_MAX), false);
        sim_flush(&s);
        sim_settle(&s);
        if (round % 20 == 0)
            sim_check_reads(&s, 10);
    }
    report(&s, "random writes");
    assert_true(s.v->levels[3].count == 0 && s.v->levels[4].count > 0);
    assert_true(s.written_bytes < 9 * s.flushed_bytes);
    assert_true(sim_bytes(&s) < 2 * sim_live_bytes(&s));
    sim_check_reads(&s, 200);
    sim_release(&s);
}

/* Ascending keys are written once more at most, and moved from then on. */
static void test_ascending_writes(void **state)
{
    struct sim s;
    (void)state;
    sim_init(&s, unit_seed());
    for (uint32_t key = 0; key < SIM_KEYS_MAX; key++) {
        sim_put(&s, key, false);
        if (key % 250 == 249) {
            sim_flush(&s);
            sim_settle(&s);
        }
    }
    report(&s, "ascending writes");
    assert_true(s.written_bytes < s.flushed_bytes / 10);
    sim_check_reads(&s, 200);
    sim_release(&s);
}

/* Files come and go, one tombstone for each; the space comes back though nobody asks for it. */
static void test_range_deletes(void **state)
{
    struct sim s;
    (void)state;
    sim_init(&s, unit_seed());
    for (int round = 0; round < 300; round++) {
        for (int i = 0; i < 10; i++) {
            uint32_t start = (uint32_t)simrng_below(&s.rng, SIM_KEYS_MAX - 50);
            for (uint32_t k = 0; k < 25; k++)
                sim_put(&s, start + k, false);
            start = (uint32_t)simrng_below(&s.rng, SIM_KEYS_MAX - 50);
            if (round > 100)
                sim_delete_range(&s, start, start + 1 + (uint32_t)simrng_below(&s.rng, 40));
        }
        sim_flush(&s);
        sim_settle(&s);
        if (round % 20 == 0)
            sim_check_reads(&s, 10);
    }
    report(&s, "files come and go");
    assert_true(s.written_bytes < 12 * s.flushed_bytes);
    assert_true(sim_bytes(&s) < 2 * sim_live_bytes(&s));
    for (uint32_t key = 0; key + 100 <= SIM_KEYS_MAX; key += 100)
        sim_delete_range(&s, key, key + 75);
    sim_flush(&s);
    sim_settle(&s);
    report(&s, "most is removed");
    assert_true(sim_bytes(&s) < sim_live_bytes(&s) * 3 / 2);
    sim_check_reads(&s, 200);
    sim_delete_range(&s, 0, SIM_KEYS_MAX);
    sim_flush(&s);
    sim_settle(&s);
    report(&s, "all is removed");
    assert_int_equal(sim_bytes(&s), 0);
    sim_release(&s);
}

/* A stream of single small deletions into a large tree: each must not cost a rewrite. */
static void test_stream_of_deletes(void **state)
{
    struct sim s;
    (void)state;
    sim_init(&s, unit_seed());
    for (uint32_t key = 0; key < SIM_KEYS_MAX; key++)
        sim_put(&s, (key * 7919) % SIM_KEYS_MAX, false);
    sim_flush(&s);
    sim_settle(&s);
    uint64_t before = s.written_bytes, bytes = sim_bytes(&s);
    for (int i = 0; i < 1200; i++) {
        uint32_t start = (uint32_t)simrng_below(&s.rng, SIM_KEYS_MAX - 10);
        sim_delete_range(&s, start, start + 10);
        sim_flush(&s);
        sim_settle(&s);
    }
    report(&s, "stream of deletions");
    /* 12000 keys, some of them twice: 45 % of the tree. */
    assert_true(s.written_bytes - before < 3 * bytes);
    assert_true(sim_bytes(&s) < sim_live_bytes(&s) * 3 / 2);
    sim_check_reads(&s, 200);
    sim_release(&s);
}

/* Entries of the tree that a newer one in the same table, or a tombstone there, hides. */
static uint32_t count_hidden(const struct sim *s)
{
    uint32_t hidden = 0;
    for (int l = 1; l < LEVEL_COUNT; l++)
        for (uint32_t i = 0; i < s->v->levels[l].count; i++) {
            const struct sim_run *r = &s->tables[s->v->levels[l].tables[i]->number];
            for (uint32_t k = 1; k < r->entry_count; k++)
                hidden += r->entries[k].key == r->entries[k - 1].key;
        }
    return hidden;
}

/* Compacts on demand, to the end. */
static void compact_all(struct sim *s)
{
    struct sim_job *j = &s->jobs[0];
    struct slice all = slice_of(NULL, 0);
    int jobs = 0;
    for (int i = 0; i < s->jobs_max; i++)
        if (s->jobs[i].running)
            sim_finish(s, &s->jobs[i]);
    while (compact_pick_range(s->v, &s->opt, all, all, &j->pick) == 0) {
        assert_int_equal(j->pick.reason, PICK_MANUAL);
        assert_true(j->pick.upper_count == 1 || j->pick.input_level == 0 ||
                    j->pick.input_bytes < s->opt.inputs_bytes_max * 2);
        sim_begin(s, j);
        sim_finish(s, j);
        assert_true(++jobs < 1000);
    }
    for (int l = 0; l < LEVEL_COUNT - 1; l++)
        assert_int_equal(s->v->levels[l].count, 0);
}

/* No table keeps more for pins that are gone than it may when there is nothing to do. */
static void assert_little_held(const struct sim *s)
{
    for (int l = 1; l < LEVEL_COUNT; l++)
        for (uint32_t i = 0; i < s->v->levels[l].count; i++) {
            const struct table_meta *m = s->v->levels[l].tables[i]->meta;
            uint64_t gone = 0;
            for (uint32_t k = 0; k < m->held_count; k++)
                gone += version_has_pin(s->v, m->held[k].pin) ? 0 : m->held[k].bytes;
            assert_true(gone <= m->size_bytes / 16);
        }
}

/* Snapshots come and go. As long as they are there they read right; when they are gone little is
 * kept for them, and nothing after a compaction on demand. */
static void test_pins(void **state)
{
    struct sim s;
    (void)state;
    sim_init(&s, unit_seed());
    s.jobs_max = 2;
    for (int round = 0; round < 250; round++) {
        for (int i = 0; i < 200; i++)
            sim_put(&s, (uint32_t)simrng_below(&s.rng, SIM_KEYS_MAX / 2),
                    simrng_below(&s.rng, 10) == 0);
        for (int i = 0; i < 3; i++) {
            uint32_t start = (uint32_t)simrng_below(&s.rng, SIM_KEYS_MAX / 2);
            sim_delete_range(&s, start, start + 1 + (uint32_t)simrng_below(&s.rng, 100));
        }
        sim_flush(&s);
        if (s.v->pin_count < SIM_PINS_MAX && simrng_below(&s.rng, 8) == 0)
            sim_pin(&s);
        else if (s.v->pin_count > 0 && simrng_below(&s.rng, 8) == 0)
            sim_unpin(&s, (uint32_t)simrng_below(&s.rng, s.v->pin_count));
        if (round % 3)
            for (int i = 0; i < 5 && sim_step(&s); i++)
                continue;
        else
            sim_settle(&s);
        if (round % 10 == 0)
            sim_check_reads(&s, 10);
    }
    report(&s, "snapshots");
    assert_true(s.written_bytes < 16 * s.flushed_bytes);
    while (s.v->pin_count > 0) {
        sim_unpin(&s, 0);
        sim_settle(&s);
        assert_little_held(&s);
        sim_check_reads(&s, 20);
    }
    report(&s, "snapshots are gone");
    assert_true(sim_bytes(&s) < 2 * sim_live_bytes(&s));
    compact_all(&s);
    report(&s, "compacted");
    assert_int_equal(count_hidden(&s), 0);
    assert_int_equal(s.v->levels[6].held_count, 0);
    sim_check_reads(&s, 50);
    sim_release(&s);
}

/* On demand everything comes to the bottom. */
static void test_compact_all(void **state)
{
    struct sim s;
    (void)state;
    sim_init(&s, unit_seed());
    for (int round = 0; round < 60; round++) {
        for (int i = 0; i < 250; i++)
            sim_put(&s, (uint32_t)simrng_below(&s.rng, SIM_KEYS_MAX), simrng_coin(&s.rng));
        sim_flush(&s);
        sim_step(&s);
    }
    compact_all(&s);
    sim_check_reads(&s, 200);
    assert_int_equal(count_hidden(&s), 0);
    sim_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_jobs_stay_apart),   cmocka_unit_test(test_random_writes),
        cmocka_unit_test(test_ascending_writes),  cmocka_unit_test(test_range_deletes),
        cmocka_unit_test(test_stream_of_deletes), cmocka_unit_test(test_pins),
        cmocka_unit_test(test_compact_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
