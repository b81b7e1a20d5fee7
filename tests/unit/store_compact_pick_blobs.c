/* Tests of store/compact_pick.h: compactions for the sake of blob files. */
#include "tests/unit/pick_tree.h"

/* The rules of pick_tree.h, and garbage presses from a fifth of all on. */
static void prepare(struct fixture *x)
{
    x->opt.stale =
        (struct stale_options){.stale_percent = 50, .garbage_percent = 20, .live_max = UINT64_MAX};
    x->opt.move_bytes_max = 100000;
}

/* A table of 100 bytes with `bytes` of values in blob file `file`. */
static void add_share(struct fixture *x, int level, uint64_t number, const char *smallest,
                      const char *limit, uint64_t file, uint64_t bytes)
{
    struct table_meta *m = maker_meta(number, smallest, limit, 1, number, 100);
    table_meta_add_share(m, file, 1, bytes);
    add_meta(x, level, m);
}

static void add_blob(struct fixture *x, uint64_t number, uint64_t bytes, uint64_t garbage)
{
    edit_add_blob(&x->e, number, 100, bytes, bytes);
    if (garbage)
        edit_add_garbage(&x->e, number, 1, garbage);
}

static void garbage_is_sought_in_place(void **state)
{
    struct fixture *x = *state;
    prepare(x);
    /* 19.5 % */
    add_share(x, 6, 1, "a", "b", 101, 3000);
    add_share(x, 6, 2, "c", "d", 100, 6100);
    add_blob(x, 100, 10000, 3900);
    add_blob(x, 101, 10000, 0);
    build(x);
    assert_absent(pick(x));
    /* 20.5 % */
    add_share(x, 6, 1, "a", "b", 101, 3000);
    add_share(x, 6, 2, "c", "d", 100, 5000);
    add_share(x, 6, 3, "e", "f", 100, 900);
    add_blob(x, 100, 10000, 4100);
    add_blob(x, 101, 10000, 0);
    build(x);
    assert_ok(pick(x));
    assert_job(x, PICK_BLOBS, 6, 6, (2, 3), ());
    assert_false(x->pick.trivial_move);
    find(x, 2)->busy = true;
    assert_ok(pick(x));
    assert_job(x, PICK_BLOBS, 6, 6, (3), ());
    find(x, 3)->busy = true;
    assert_absent(pick(x));
}

static void neighbours_go_along(void **state)
{
    struct fixture *x = *state;
    static const char *const limits[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    for (int round = 0; round < 4; round++) {
        prepare(x);
        for (uint64_t i = 1; i < 8; i++)
            add_share(x, 6, i, limits[i - 1], limits[i], i == 6 ? 101 : 100, i == 3 ? 1000 : 900);
        add_blob(x, 100, 10000, 4500);
        add_blob(x, 101, 1000, 0);
        if (round == 1)
            x->opt.move_bytes_max = 2800;
        if (round == 2)
            x->opt.inputs_bytes_max = 399;
        build(x);
        if (round == 3)
            find(x, 2)->busy = true;
        assert_ok(pick(x));
        if (round == 0)
            assert_job(x, PICK_BLOBS, 6, 6, (1, 2, 3, 4, 5), ());
        else if (round < 3)
            assert_job(x, PICK_BLOBS, 6, 6, (3, 4, 5), ());
        else
            assert_job(x, PICK_BLOBS, 6, 6, (3, 4, 5), ());
        x->opt.inputs_bytes_max = 5000;
    }
}

/* Freeing 5000 bytes may cost 20000. */
static void what_costs_too_much_stays(void **state)
{
    struct fixture *x = *state;
    for (int dear = 0; dear < 2; dear++) {
        prepare(x);
        struct table_meta *m = maker_meta(1, "a", "b", 1, 1, (uint64_t)(20000 - 5000 + dear));
        table_meta_add_share(m, 100, 1, 5000);
        add_meta(x, 6, m);
        add_blob(x, 100, 10000, 5000);
        build(x);
        assert_int_equal(pick(x), dear);
    }
}

static void level_0_goes_down(void **state)
{
    struct fixture *x = *state;
    prepare(x);
    add_share(x, 0, 1, "a", "m", 100, 5000);
    add(x, 6, 2, "c", "d", 100);
    add_blob(x, 100, 10000, 5000);
    build(x);
    assert_ok(pick(x));
    assert_job(x, PICK_BLOBS, 0, 6, (1), (2));
}

/* What level 0 may hide, where it is cheap to find out. */
static void hidden_garbage(void **state)
{
    struct fixture *x = *state;
    for (int round = 0; round < 6; round++) {
        prepare(x);
        x->opt.stale.garbage_min = round == 5 ? 2000 : 0;
        /* More than a tenth of all is on level 0. */
        add_share(x, 0, 1, "a", "m", 100, round == 1 ? 1900 : 2000);
        add(x, 6, 2, round == 2 ? "x" : "c", round == 2 ? "y" : "d", round == 3 ? 151 : 150);
        if (round == 4)
            add_share(x, 0, 3, "b", "c", 100, 10);
        add_blob(x, 100, 19000, 0);
        build(x);
        if (round == 0) {
            assert_ok(pick(x));
            assert_job(x, PICK_BLOBS, 0, 6, (1), (2));
        } else if (round == 4) {
            assert_absent(pick(x)); /* the second table makes it too dear */
        } else {
            assert_absent(pick(x));
        }
    }
}

int main(void)
{
#define TEST(test)                         \
    {                                      \
#test, test, setup, teardown, NULL \
    }
    const struct CMUnitTest tests[] = {
        TEST(garbage_is_sought_in_place),
        TEST(neighbours_go_along),
        TEST(what_costs_too_much_stays),
        TEST(level_0_goes_down),
        TEST(hidden_garbage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
