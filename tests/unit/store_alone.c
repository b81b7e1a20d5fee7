/* alone: what only one pin holds: by example, and against what compaction gives back. */
#include "tests/unit/store_rig.h"

static void pin(struct rig *r, const char *name)
{
    struct store_pin p;
    assert_ok(store_pin_create(r->s, name, 0, &p));
}

static struct store_pin_space space_of(struct rig *r, const char *name)
{
    struct store_pin_space space;
    assert_ok(store_pin_space(r->s, name, &space));
    return space;
}

static void assert_alone(struct rig *r, const char *name, uint64_t entries, uint64_t entry_bytes)
{
    struct store_pin_space space = space_of(r, name);
    assert_int_equal(space.entries, entries);
    assert_int_equal(space.entry_bytes, entry_bytes);
    assert_int_equal(space.value_bytes, 0);
}

/* Each kind of hiding, in memory and in tables. Keys have one byte, values too. */
static void test_by_example(void **state)
{
    struct rig *r = *state;
    struct store_pin_space space;
    rig_open(r);
    assert_absent(store_pin_space(r->s, "none", &space));
    rig_put(r, "a", "1");
    rig_put(r, "b", "1");
    rig_put(r, "c", "1");
    rig_put(r, "d", "1");
    rig_put(r, "m", "1");
    pin(r, "p1");
    assert_alone(r, "p1", 0, 0); /* the present sees it all */
    rig_put(r, "a", "2");        /* overwritten behind */
    rig_put(r, "a", "3");        /* the 2 is nobody's */
    rig_delete(r, "b");
    rig_merge_op(r, "m", "+"); /* what is below is still needed */
    assert_alone(r, "p1", 2, 4);
    pin(r, "p2");
    assert_alone(r, "p1", 2, 4);
    assert_alone(r, "p2", 0, 0);
    rig_delete_range(r, "a", "d"); /* c is seen by both pins */
    rig_put(r, "m", "9");          /* of m, p2 alone has the operand */
    assert_alone(r, "p1", 2, 4);
    assert_alone(r, "p2", 2, 4);
    pin(r, "p3");
    pin(r, "same"); /* at one moment: neither alone holds anything */
    rig_delete(r, "m");
    rig_delete(r, "d");
    assert_alone(r, "p3", 0, 0);
    assert_alone(r, "same", 0, 0);
    assert_ok(store_pin_delete(r->s, "same"));
    assert_alone(r, "p3", 1, 2);
    rig_compact(r);
    assert_alone(r, "p1", 2, 4);
    assert_alone(r, "p2", 2, 4);
    assert_alone(r, "p3", 1, 2);
    /* Of what two held, the one that is left holds all; and so on. */
    assert_ok(store_pin_delete(r->s, "p2"));
    assert_alone(r, "p1", 4, 8); /* a, b, c and the 1 of m */
    assert_ok(store_pin_delete(r->s, "p3"));
    assert_alone(r, "p1", 5, 10);
    rig_reopen(r);
    assert_alone(r, "p1", 5, 10);
    assert_ok(store_pin_delete(r->s, "p1"));
    rig_close_clean(r);
}

enum { KEYS = 60, PINS = 8 };

/* Bytes of frames in blob files that something refers to. */
static uint64_t live_bytes(struct rig *r)
{
    struct store_stats st = rig_stats(r);
    return st.blob_bytes - st.blob_files * FILE_HEADER_SIZE - st.blob_garbage_bytes;
}

static void change(struct rig *r, struct simrng *rng, struct buf *room)
{
    uint64_t key = simrng_below(rng, KEYS), dice = simrng_below(rng, 10);
    if (dice == 0)
        rig_delete(r, rig_key(key));
    else if (dice == 1)
        rig_delete_range(r, rig_key(key), rig_key(key + simrng_below(rng, 9)));
    else
        assert_ok(
            rig_try_put(r, rig_key(key),
                        rig_value(simrng_next(rng), 1 + (size_t)simrng_below(rng, 6000), room), 0));
}

/* To the byte, of values in blob files, however the past was kept when it was asked. */
static void test_what_comes_back(void **state)
{
    struct rig *r = *state;
    struct simrng rng = {unit_seed()};
    struct buf room = {0};
    char name[16];
    bool there[PINS] = {false};
    uint64_t freed = 0;
    r->opt.blob_stale_percent = r->opt.blob_garbage_percent = 100; /* values stay where they are */
    rig_open(r);
    for (int round = 0; round < 60; round++) {
        size_t i = (size_t)simrng_below(&rng, PINS);
        snprintf(name, sizeof name, "p%zu", i);
        for (uint64_t n = simrng_below(&rng, 40); n > 0; n--)
            change(r, &rng, &room);
        if (!there[i]) {
            pin(r, name);
            there[i] = true;
            continue;
        }
        struct store_pin_space before = space_of(r, name);
        rig_compact(r);
        struct store_pin_space space = space_of(r, name);
        assert_int_equal(before.entries, space.entries); /* some have come to blob files since */
        uint64_t live = live_bytes(r);
        assert_ok(store_pin_delete(r->s, name));
        there[i] = false;
        rig_compact(r);
        if (live - live_bytes(r) != space.value_bytes)
            fail_msg("round %d: %" PRIu64 " bytes came back, not %" PRIu64, round,
                     live - live_bytes(r), space.value_bytes);
        freed += space.value_bytes;
    }
    assert_true(freed > 100000);
    buf_release(&room);
    rig_close_clean(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_SIM(test_by_example),
        RIG_SIM(test_what_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
