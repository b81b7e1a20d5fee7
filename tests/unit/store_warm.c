/* warm: what readers keep in the cache is still there when a job has written it anew, and nothing
 * else comes into the cache that way. */
#include "tests/unit/store_rig.h"

enum { KEYS = 1000, SEEN = KEYS / 2, FEW = 400, VALUE = 40 };

/* Blocks that had to be read from disk for these keys. */
static uint64_t cost(struct rig *r, uint64_t from, uint64_t to, uint64_t salt)
{
    struct store_insight before, after;
    store_get_insight(r->s, &before);
    rig_assert_fill(r, from, to, VALUE, salt);
    store_get_insight(r->s, &after);
    return after.blocks_read - before.blocks_read;
}

static void compaction_hands_over(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    rig_fill(r, 0, KEYS, VALUE, 1);
    assert_ok(store_flush(r->s));
    rig_compact(r);
    assert_true(cost(r, 0, SEEN, 1) > 4);
    assert_int_equal(cost(r, 0, SEEN, 1), 0);

    /* Half of it is in memory; both halves are written anew. */
    rig_fill(r, 0, 1, VALUE, 1);
    rig_fill(r, KEYS - 1, KEYS, VALUE, 1);
    assert_ok(store_flush(r->s));
    rig_compact(r);
    assert_in_range(cost(r, 0, SEEN, 1), 0, 1); /* blocks have other bounds now */
    assert_true(cost(r, SEEN + KEYS / 10, KEYS, 1) > 4);
}

static void flush_hands_over_if_reads_follow(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    rig_fill(r, 0, FEW, VALUE, 1);
    assert_ok(store_flush(r->s));
    assert_true(cost(r, 0, FEW, 1) > 4); /* nobody had read anything */

    rig_fill(r, 0, FEW, VALUE, 2);
    assert_ok(store_flush(r->s)); /* those reads were many enough */
    assert_int_equal(cost(r, 0, FEW, 2), 0);

    rig_fill(r, 0, FEW, VALUE, 3);
    assert_ok(store_flush(r->s));
    rig_fill(r, 0, FEW, VALUE, 4);
    assert_ok(store_flush(r->s)); /* since the one before there were none */
    assert_true(cost(r, 0, FEW, 4) > 4);
}

/* What it was written anew from leaves the cache, with parts of indexes and filters. */
static void what_is_dead_leaves(void **state)
{
    struct rig *r = *state;
    r->opt.cache_bytes = 1 << 20; /* for several times what there is */
    r->opt.index_whole_bytes = 64;
    r->opt.filter_whole_keys = 256;
    rig_open(r);
    rig_fill(r, 0, KEYS, VALUE, 1);
    assert_ok(store_flush(r->s));
    rig_assert_fill(r, 0, KEYS, VALUE, 1);
    uint64_t once = rig_stats(r).cache_bytes;
    for (int i = 0; i < 5; i++) {
        rig_fill(r, 0, 1, VALUE, 1);
        rig_fill(r, KEYS - 1, KEYS, VALUE, 1);
        assert_ok(store_flush(r->s));
        rig_compact(r);
        rig_work(r);
        rig_assert_fill(r, 0, KEYS, VALUE, 1);
        assert_in_range(rig_stats(r).cache_bytes, once / 2, once * 3 / 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_SIM(compaction_hands_over),
        RIG_SIM(what_is_dead_leaves),
        RIG_SIM(flush_hands_over_if_reads_follow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
