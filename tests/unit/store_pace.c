/* pace: how long writers wait, by memory, level 0 and debt. */
#include "store/pace.h"

#include "tests/unit/unit.h"

enum { MIB = 1 << 20 };
#define SECOND UINT64_C(1000000000)

static struct pace at_rest(void)
{
    return (struct pace){.memory_max = 64 * MIB,
                         .flush_rate = 100 * MIB,
                         .level0_trigger = 4,
                         .base_bytes = 128 * MIB};
}

/* No step is larger than a fifth of the way. */
static void assert_smooth(uint64_t *before, uint64_t now, bool first)
{
    assert_true(first || now >= *before);
    assert_true(first || *before < SECOND / 1000 || now <= *before + *before / 5 + 1);
    *before = now;
}

static void test_nothing_presses(void **state)
{
    (void)state;
    struct pace p = at_rest();
    assert_int_equal(pace_delay_ns(&p, 100 * MIB), 0);
    p.memory_bytes = 32 * MIB;
    p.flush_left = 32 * MIB;
    p.level0_tables = 11;
    p.debt_bytes = 8 * p.base_bytes - 1;
    assert_int_equal(pace_delay_ns(&p, 100 * MIB), 0);
    assert_int_equal(pace_delay_ns(&(struct pace){0}, MIB), 0);
}

/* What is free lasts until the flush has ended. */
static void test_memory(void **state)
{
    (void)state;
    struct pace p = at_rest();
    uint64_t before = 0;
    p.memory_bytes = 48 * MIB;
    p.flush_left = 16 * MIB; /* as much as is free: as fast as flushes */
    assert_in_range(pace_delay_ns(&p, 100 * MIB), SECOND - 1000, SECOND);
    p.flush_left = 32 * MIB;
    assert_in_range(pace_delay_ns(&p, 100 * MIB), 2 * SECOND - 1000, 2 * SECOND);
    p.flush_left = 4 * MIB;
    assert_in_range(pace_delay_ns(&p, 100 * MIB), SECOND / 4 - 1000, SECOND / 4);
    p.flush_rate = 0; /* not known: 64 MiB a second */
    assert_in_range(pace_delay_ns(&p, 64 * MIB), SECOND / 4 - 1000, SECOND / 4);
    p.flush_rate = 100 * MIB;
    p.flush_left = 32 * MIB;
    for (uint64_t m = 32 * MIB; m <= 64 * MIB; m += 128 << 10) {
        p.memory_bytes = m;
        assert_smooth(&before, pace_delay_ns(&p, MIB), m == 32 * MIB);
    }
    p.memory_bytes = 1000 * MIB;
    assert_in_range(pace_delay_ns(&p, MIB), before, 32 * SECOND / 100 + 1);
}

/* The smallest batches are slowed like the largest, not less. */
static void test_small_batches(void **state)
{
    (void)state;
    struct pace p = at_rest();
    p.memory_bytes = 48 * MIB;
    p.flush_left = 16 * MIB;
    p.flush_rate = 1000 * MIB;
    for (int i = 0; i < 2; i++) {
        uint64_t many = pace_delay_ns(&p, 100000 * 100), one = pace_delay_ns(&p, 100);
        assert_true(one > 0);
        assert_in_range(one * 100000, many * 9 / 10, many);
        p.level0_tables = 13; /* between two powers */
    }
}

/* A writer that could be three times as fast as flushes does not come to the wall before the flush
 * is all but over, whichever way its speed differs from what it was before, and is not slowed to
 * much less than flushes. */
static void test_never_at_the_wall(void **state)
{
    (void)state;
    for (double flush = 0.6; flush < 1.5; flush += 0.1) {
        struct pace p = at_rest();
        double used = 32 * MIB, left = 32 * MIB, written = 0, slot = 1e-3;
        double speed = flush * 100 * MIB;
        int steps = 0;
        for (; left > 0; steps++) {
            p.memory_bytes = (uint64_t)used;
            p.flush_left = (uint64_t)left;
            double each = (double)pace_delay_ns(&p, MIB) / 1e9 + 1.0 / 300;
            written += slot / each * MIB;
            used = 32 * MIB + written;
            left -= speed * slot;
            assert_true(used < 64 * MIB || left < 2 * MIB);
        }
        assert_true(written > 22 * MIB);
    }
}

static void test_level0(void **state)
{
    (void)state;
    struct pace p = at_rest();
    p.level0_tables = 12;
    assert_int_equal(pace_delay_ns(&p, 64 * MIB), SECOND);
    p.level0_tables = 13;
    assert_int_equal(pace_delay_ns(&p, 64 * MIB), SECOND / 2 * 3);
    p.level0_tables = 14;
    assert_int_equal(pace_delay_ns(&p, 64 * MIB), 2 * SECOND);
    p.level0_tables = 24; /* where they stop: 1 MiB a second */
    assert_int_equal(pace_delay_ns(&p, MIB), SECOND);
    p.level0_tables = UINT32_MAX;
    assert_int_equal(pace_delay_ns(&p, MIB), 4 * SECOND);
    uint64_t before = 0;
    for (uint32_t trigger = 1; trigger < 300; trigger++) {
        p.level0_trigger = trigger;
        assert_true(trigger <= pace_level0_slow(trigger));
        assert_true(pace_level0_slow(trigger) < pace_level0_stop(trigger));
        p.level0_tables = pace_level0_slow(trigger) - 1;
        assert_int_equal(pace_delay_ns(&p, MIB), 0);
        p.level0_tables++;
        assert_true(pace_delay_ns(&p, MIB) > 0);
    }
    for (uint32_t tables = 384; tables <= 900; tables++) {
        p.level0_trigger = 256;
        p.level0_tables = tables;
        assert_smooth(&before, pace_delay_ns(&p, 64 * MIB), tables == 384);
    }
}

static void test_debt(void **state)
{
    (void)state;
    struct pace p = at_rest();
    uint64_t before = 0;
    p.debt_bytes = 8 * p.base_bytes;
    assert_int_equal(pace_delay_ns(&p, 64 * MIB), SECOND);
    p.debt_bytes = 24 * p.base_bytes;
    assert_in_range(pace_delay_ns(&p, 64 * MIB), 4 * SECOND - 20000000, 4 * SECOND);
    p.debt_bytes = UINT64_MAX;
    assert_int_equal(pace_delay_ns(&p, MIB), 4 * SECOND);
    for (uint64_t debt = 8; debt < 100; debt++) {
        p.debt_bytes = debt * p.base_bytes;
        assert_smooth(&before, pace_delay_ns(&p, 64 * MIB), debt == 8);
    }
}

static void test_the_worst_counts(void **state)
{
    (void)state;
    struct pace p = at_rest();
    p.memory_bytes = 48 * MIB;
    p.flush_left = 16 * MIB;
    uint64_t memory = pace_delay_ns(&p, MIB);
    p.level0_tables = 20;
    uint64_t both = pace_delay_ns(&p, MIB);
    assert_true(both > memory);
    p.memory_bytes = 0;
    assert_int_equal(pace_delay_ns(&p, MIB), both);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_presses),  cmocka_unit_test(test_memory),
        cmocka_unit_test(test_small_batches),    cmocka_unit_test(test_never_at_the_wall),
        cmocka_unit_test(test_level0),           cmocka_unit_test(test_debt),
        cmocka_unit_test(test_the_worst_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
