/* Tests of store/compact_pick.h: each choice on trees made by hand; and whole lives of a small
 * tree, which must come to rest, read right, and not write too much. */
#include "store/compact_pick.h"

#include "tests/unit/logged.h"
#include "tests/unit/pick_sim.h"

#include <errno.h>

/* ---- trees made by hand ---- */

struct fixture {
    struct version_source source;
    struct pick_options opt;
    struct edit e;     /* of the tree to be */
    struct version *v; /* the tree, once it was built */
    struct pick pick;
};

static int setup(void **state)
{
    struct fixture *x = mem_zalloc(sizeof *x);
    x->opt = (struct pick_options){.level0_trigger = 4,
                                   .base_bytes = 1000,
                                   .fanout = 10,
                                   .table_bytes = 200,
                                   .inputs_bytes_max = 5000};
    x->source.dir = "vol";
    edit_init(&x->e);
    logged_reset();
    *state = x;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *x = *state;
    pick_release(&x->pick);
    edit_release(&x->e);
    version_unref(x->v);
    free(x);
    return 0;
}

static void add_meta(struct fixture *x, int level, struct table_meta *m)
{
    edit_add_table(&x->e, level, m);
    table_meta_unref(m);
}

static void add(struct fixture *x, int level, uint64_t number, const char *smallest,
                const char *limit, uint64_t bytes)
{
    add_meta(x, level, maker_meta(number, smallest, limit, 1, number, bytes));
}

static void add_pin(struct fixture *x, uint64_t seq)
{
    char name[32];
    snprintf(name, sizeof name, "pin %d", (int)seq);
    struct pin p = maker_pin(seq, name);
    edit_add_pin(&x->e, &p);
}

/* Makes the tree of what was added since; an older one goes. */
static void build(struct fixture *x)
{
    struct version *empty = version_new(&x->source);
    pick_release(&x->pick);
    version_unref(x->v);
    assert_ok(version_apply(empty, &x->e, NULL, 0, &x->v));
    edit_release(&x->e);
    version_unref(empty);
}

static struct version_table *find(const struct fixture *x, uint64_t number)
{
    for (int l = 0; l < LEVEL_COUNT; l++)
        for (uint32_t i = 0; i < x->v->levels[l].count; i++)
            if (x->v->levels[l].tables[i]->number == number)
                return x->v->levels[l].tables[i];
    fail_msg("no table %d", (int)number);
    return NULL;
}

static int pick(struct fixture *x)
{
    pick_release(&x->pick);
    return compact_pick(x->v, &x->opt, &x->pick);
}

static void assert_tables(struct version_table *const *tables, uint32_t count,
                          const uint64_t *numbers)
{
    uint32_t i = 0;
    for (; numbers[i]; i++) {
        assert_true(i < count);
        assert_int_equal(tables[i]->number, numbers[i]);
    }
    assert_int_equal(count, i);
}

#define NUMBERS(...)                 \
    (const uint64_t[])               \
    {                                \
        __VA_ARGS__ __VA_OPT__(, ) 0 \
    }
/* The job that was picked. */
#define assert_job(x, why, from, to, upper_numbers, lower_numbers)                    \
    do {                                                                              \
        assert_int_equal((x)->pick.reason, why);                                      \
        assert_int_equal((x)->pick.input_level, from);                                \
        assert_int_equal((x)->pick.output_level, to);                                 \
        assert_tables((x)->pick.upper, (x)->pick.upper_count, NUMBERS upper_numbers); \
        assert_tables((x)->pick.lower, (x)->pick.lower_count, NUMBERS lower_numbers); \
    } while (0)

/* ---- levels in use ---- */

static int base_of(struct fixture *x)
{
    build(x);
    return compact_base_level(x->v, &x->opt);
}

static void test_base_level(void **state)
{
    struct fixture *x = *state;
    assert_int_equal(base_of(x), 6);
    add(x, 6, 1, "a", "b", 9999);
    assert_int_equal(base_of(x), 6);
    add(x, 6, 1, "a", "b", 10000);
    assert_int_equal(base_of(x), 5);
    add(x, 6, 1, "a", "b", 99999);
    assert_int_equal(base_of(x), 5);
    add(x, 6, 1, "a", "b", 100000);
    assert_int_equal(base_of(x), 4);
    add(x, 6, 1, "a", "b", UINT64_MAX / 2);
    assert_int_equal(base_of(x), 1);
    /* A level that holds something is never passed by, and level 0 holds what it holds. */
    add(x, 0, 2, "a", "b", 99999);
    add(x, 3, 1, "a", "b", 10);
    assert_int_equal(base_of(x), 3);
}

static void test_targets(void **state)
{
    struct fixture *x = *state;
    add(x, 6, 1, "a", "b", 30000);
    add(x, 5, 2, "a", "b", 3000);
    build(x);
    assert_int_equal(compact_debt(x->v, &x->opt), 0);
    add(x, 6, 1, "a", "b", 30000);
    add(x, 5, 2, "a", "b", 3001);
    build(x);
    assert_int_equal(compact_debt(x->v, &x->opt), 1);
    /* The least target, also of a level whose share of the bottom is down to half of that. */
    add(x, 6, 1, "a", "b", 5000);
    add(x, 5, 2, "a", "b", 1000);
    build(x);
    assert_int_equal(compact_debt(x->v, &x->opt), 0);
    assert_int_equal(compact_base_level(x->v, &x->opt), 5);
    /* Below it the level is not in use: it has to be emptied. */
    add(x, 6, 1, "a", "b", 4999);
    add(x, 5, 2, "a", "b", 1000);
    build(x);
    assert_int_equal(compact_debt(x->v, &x->opt), 1000);
    assert_ok(pick(x));
    assert_job(x, PICK_SIZE, 5, 6, (2), (1));
    /* Level 0 counts once it is too long. */
    for (uint64_t i = 0; i < 4; i++)
        add(x, 0, 10 + i, "a", "b", 7);
    build(x);
    assert_int_equal(compact_debt(x->v, &x->opt), 28);
}

static void test_nothing_to_do(void **state)
{
    struct fixture *x = *state;
    build(x);
    assert_absent(pick(x));
    assert_null(x->pick.upper);
    for (uint64_t i = 0; i < 3; i++)
        add(x, 0, 10 + i, "a", "b", 7000);
    add(x, 5, 9, "a", "c", 3000);
    add(x, 6, 8, "a", "b", 90000);
    build(x);
    assert_absent(pick(x));
}

/* ---- level 0 ---- */

static void test_level0(void **state)
{
    struct fixture *x = *state;
    add(x, 0, 21, "m", "n", 10);
    add(x, 0, 24, "d", "f", 10);
    add(x, 0, 22, "m", "p", 10);
    add(x, 0, 23, "d", "e", 10);
    add(x, 6, 11, "a", "d", 100);
    add(x, 6, 12, "da", "e", 100);
    add(x, 6, 13, "g", "h", 100); /* in a gap of level 0, within its span */
    add(x, 6, 14, "o", "q", 100);
    add(x, 6, 15, "q", "r", 100);
    build(x);
    assert_ok(pick(x));
    assert_job(x, PICK_LEVEL0, 0, 6, (24, 23, 22, 21), (12, 13, 14));
    assert_slice_str(buf_slice(&x->pick.start), "d");
    assert_slice_str(buf_slice(&x->pick.limit), "q");
    assert_int_equal(x->pick.input_bytes, 340);
    assert_false(x->pick.trivial_move);
}

static void test_level0_goes_to_base(void **state)
{
    struct fixture *x = *state;
    for (uint64_t i = 0; i < 4; i++)
        add(x, 0, 20 + i, "a", "c", 10);
    add(x, 6, 11, "a", "d", 20000);
    build(x);
    assert_ok(pick(x));
    assert_job(x, PICK_LEVEL0, 0, 5, (23, 22, 21, 20), ());
}

static void test_level0_busy(void **state)
{
    struct fixture *x = *state;
    for (uint64_t i = 0; i < 8; i++)
        add(x, 0, 20 + i, "a", "c", 10);
    add(x, 6, 11, "b", "d", 100);
    build(x);
    find(x, 21)->busy = true;
    assert_absent(pick(x));
    find(x, 21)->busy = false;
    find(x, 11)->busy = true;
    assert_absent(pick(x));
    find(x, 11)->busy = false;
    assert_ok(pick(x));
}

static void test_level0_moves(void **state)
{
    struct fixture *x = *state;
    for (uint64_t i = 0; i < 4; i++)
        add(x, 0, 20 + i, (char[]){(char)('a' + i), 0}, (char[]){(char)('b' + i), 0}, 50);
    add(x, 6, 1, "x", "z", 100);
    build(x);
    assert_ok(pick(x));
    assert_job(x, PICK_LEVEL0, 0, 6, (23, 22, 21, 20), ());
    assert_true(x->pick.trivial_move);
    /* Small ones are merged into one table. */
    for (uint64_t i = 0; i < 4; i++)
        add(x, 0, 20 + i, (char[]){(char)('a' + i), 0}, (char[]){(char)('b' + i), 0}, 49);
    build(x);
    assert_ok(pick(x));
    assert_false(x->pick.trivial_move);
    /* So are those that overlap. */
    for (uint64_t i = 0; i < 4; i++)
        add(x, 0, 20 + i, (char[]){(char)('a' + i), 0}, (char[]){(char)('b' + i), '0', 0}, 50);
    build(x);
    assert_ok(pick(x));
    assert_false(x->pick.trivial_move);
}

/* ---- levels over their target ---- */

static void test_least_overlap(void **state)
{
    struct fixture *x = *state;
    add(x, 6, 1, "a", "c", 20000);
    add(x, 6, 2, "c", "d", 5000);
    add(x, 6, 3, "m", "n", 15000);
    add(x, 5, 11, "a", "b", 2000);  /* 10 of its size below */
    add(x, 5, 12, "c", "ca", 1000); /* 5 */
    add(x, 5, 13, "l", "n", 2500);  /* 6 */
    build(x);
    assert_ok(pick(x));
    assert_job(x, PICK_SIZE, 5, 6, (12), (2));
    assert_false(x->pick.trivial_move);
    assert_slice_str(buf_slice(&x->pick.start), "c");
    assert_slice_str(buf_slice(&x->pick.limit), "d");
}

static void test_moves_what_overlaps_nothing(void **state)
{
    struct fixture *x = *state;
    add(x, 6, 1, "a", "c", 20000);
    add(x, 5, 11, "a", "b", 2000);
    add(x, 5, 12, "d", "e", 100);
    add(x, 5, 13, "e", "f", 100);
    build(x);
    assert_ok(pick(x));
    assert_job(x, PICK_SIZE, 5, 6, (12), ());
    assert_true(x->pick.trivial_move);
}

static void test_widens(void **state)
{
    struct fixture *x = *state;
    add(x, 6, 1, "b", "k", 2000);
    add(x, 6, 2, "k", "m", 30000);
    add(x, 5, 11, "a", "b", 1000); /* overlaps nothing: better left alone */
    add(x, 5, 12, "b", "c", 900);
    add(x, 5, 13, "c", "d", 1000);
    add(x, 5, 14, "d", "e", 900);
    add(x, 5, 15, "f", "l", 900); /* would bring in table 2 */
    build(x);
    x->opt.inputs_bytes_max = 10000;
    x->v->levels[5].tables[0]->busy = true; /* it would be moved first */
    assert_ok(pick(x));
    assert_job(x, PICK_SIZE, 5, 6, (12, 13, 14), (1));
    assert_int_equal(x->pick.input_bytes, 4800);
    x->opt.inputs_bytes_max = 3900;
    assert_ok(pick(x));
    assert_job(x, PICK_SIZE, 5, 6, (12, 13), (1));
    x->opt.inputs_bytes_max = 100;
    assert_ok(pick(x));
    assert_job(x, PICK_SIZE, 5, 6, (13), (1));
}

/* A neighbour with a gap of the upper level between, in which the lower level has another table. */
static void test_widens_over_no_gap(void **state)
{
    struct fixture *x = *state;
    add(x, 6, 1, "a", "c", 2000);
    add(x, 6, 2, "f", "g", 20000);
    add(x, 5, 11, "a", "b", 3000);
    add(x, 5, 12, "h", "i", 2000);
    add(x, 6, 3, "h", "j", 20000);
    build(x);
    assert_ok(pick(x));
    assert_job(x, PICK_SIZE, 5, 6, (11), (1));
}

static void test_busy_tables(void **state)
{
    struct fixture *x = *state;
    add(x, 6, 1, "a", "c", 1000);
    add(x, 6, 2, "e", "g", 2000);
    add(x, 6, 3, "i", "k", 40000);
    add(x, 5, 11, "a", "b", 3000);
    add(x, 5, 12, "e", "f", 3000);
    add(x, 5, 13, "i", "j", 3000);
    build(x);
    assert_ok(pick(x));
    assert_job(x, PICK_SIZE, 5, 6, (11), (1));
    /* What overlaps a busy table, or is one, is left alone. */
    find(x, 1)->busy = true;
    assert_ok(pick(x));
    assert_job(x, PICK_SIZE, 5, 6, (12), (2));
    find(x, 1)->busy = false;
    find(x, 11)->busy = true;
    assert_ok(pick(x));
    assert_job(x, PICK_SIZE, 5, 6, (12), (2));
    /* Busy tables on both sides may be those of one job: nothing between them. */
    find(x, 3)->busy = true;
    assert_absent(pick(x));
    find(x, 3)->busy = find(x, 11)->busy = false;
    find(x, 13)->busy = find(x, 12)->busy = true;
    x->opt.base_bytes = 100;
    x->opt.fanout = 200;
    assert_ok(pick(x));
    assert_job(x, PICK_SIZE, 5, 6, (11), (1));
}

/* Busy tables are on their way: what is left is what counts. */
static void test_busy_bytes_do_not_press(void **state)
{
    struct fixture *x = *state;
    add(x, 6, 1, "a", "c", 30000);
    add(x, 5, 11, "a", "b", 2000);
    add(x, 5, 12, "e", "f", 2000);
    build(x);
    find(x, 11)->busy = true;
    assert_absent(pick(x));
    find(x, 11)->busy = false;
    assert_ok(pick(x));
}

static void test_highest_score(void **state)
{
    struct fixture *x = *state;
    add(x, 6, 1, "a", "z", 400000);
    add(x, 5, 2, "a", "m", 50000); /* 1.25 of 40000 */
    add(x, 4, 3, "a", "m", 6000);  /* 1.5 of 4000 */
    build(x);
    assert_ok(pick(x));
    assert_job(x, PICK_SIZE, 4, 5, (3), (2));
    add(x, 6, 1, "a", "z", 400000);
    add(x, 5, 2, "a", "m", 70000); /* 1.75 */
    add(x, 4, 3, "a", "m", 6000);
    for (uint64_t i = 0; i < 4; i++) /* 1.0 */
        add(x, 0, 20 + i, "a", "z", 10);
    build(x);
    assert_ok(pick(x));
    assert_job(x, PICK_SIZE, 5, 6, (2), (1));
    add(x, 6, 1, "a", "z", 400000);
    add(x, 5, 2, "a", "m", 70000);
    add(x, 4, 3, "a", "m", 6000);
    for (uint64_t i = 0; i < 8; i++) /* 2.0 */
        add(x, 0, 20 + i, "a", "z", 10);
    build(x);
    assert_ok(pick(x));
    assert_job(x, PICK_LEVEL0, 0, 4, (27, 26, 25, 24, 23, 22, 21, 20), (3));
    /* While level 0 waits for a job at the base level no other one is started there, but elsewhere.
     */
    find(x, 3)->busy = true;
    assert_ok(pick(x));
    assert_job(x, PICK_SIZE, 5, 6, (2), (1));
}

static void test_base_waits_for_level0(void **state)
{
    struct fixture *x = *state;
    add(x, 6, 1, "a", "z", 20000);
    add(x, 5, 2, "a", "b", 3000);
    add(x, 5, 3, "y", "z", 3000);    /* 1.5 without table 2 */
    for (uint64_t i = 0; i < 7; i++) /* 1.75 */
        add(x, 0, 20 + i, "a", "z", 10);
    build(x);
    find(x, 2)->busy = true;
    assert_absent(pick(x));
}

static void test_scores_fall_back(void **state)
{
    struct fixture *x = *state;
    add(x, 6, 1, "a", "z", 400000);
    add(x, 5, 2, "a", "z", 70000);
    add(x, 4, 3, "a", "m", 5000);
    build(x);
    assert_ok(pick(x));
    assert_job(x, PICK_SIZE, 5, 6, (2), (1));
    find(x, 1)->busy = true; /* blocks level 5 */
    assert_ok(pick(x));
    assert_job(x, PICK_SIZE, 4, 5, (3), (2));
}

/* ---- moving or rewriting ---- */

static struct table_meta *over_target(struct fixture *x)
{
    add(x, 6, 1, "a", "c", 20000);
    add(x, 5, 2, "a", "b", 2000);
    struct table_meta *m = maker_meta(3, "k", "m", 1, 10, 3200);
    m->entry_count = 320;
    return m;
}

static bool moves(struct fixture *x, struct table_meta *m)
{
    add_meta(x, 5, m);
    build(x);
    assert_ok(pick(x));
    assert_job(x, PICK_SIZE, 5, 6, (3), ());
    return x->pick.trivial_move;
}

static void test_moves_or_rewrites(void **state)
{
    struct fixture *x = *state;
    struct table_meta *m = over_target(x);
    assert_true(moves(x, m));
    m = over_target(x);
    maker_held(m, 5, 3200); /* a pin that is still there */
    add_pin(x, 5);
    assert_true(moves(x, m));
    m = over_target(x);
    maker_held(m, 5, 200);
    assert_true(moves(x, m));
    m = over_target(x);
    maker_held(m, 5, 201);
    assert_false(moves(x, m));
    m = over_target(x);
    m->delete_count = 20;
    assert_true(moves(x, m));
    m = over_target(x);
    m->delete_count = 20;
    m->rangedel_count = 1;
    assert_false(moves(x, m));
}

static void test_tombstones_move_above_data(void **state)
{
    struct fixture *x = *state;
    x->opt.base_bytes = 100;
    add(x, 6, 1, "k", "m", 200000);
    add(x, 5, 2, "a", "b", 1000);
    struct table_meta *m = maker_meta(3, "k", "m", 1, 10, 300);
    m->delete_count = 4;
    add_meta(x, 3, m);
    build(x);
    x->opt.base_bytes = 500;
    assert_ok(pick(x)); /* level 3 is not in use */
    assert_job(x, PICK_SIZE, 3, 4, (3), ());
    assert_true(x->pick.trivial_move);
}

/* ---- held for pins ---- */

static void add_held(struct fixture *x, int level, uint64_t number, const char *smallest,
                     const char *limit, uint64_t pin, uint64_t bytes)
{
    struct table_meta *m = maker_meta(number, smallest, limit, 1, 10, 3200);
    maker_held(m, pin, bytes);
    add_meta(x, level, m);
}

static void test_held(void **state)
{
    struct fixture *x = *state;
    add_pin(x, 5);
    add_held(x, 6, 1, "a", "b", 5, 3000); /* its pin is there */
    add_held(x, 6, 2, "b", "c", 6, 200);  /* too little */
    build(x);
    assert_absent(pick(x));
    add_pin(x, 5);
    add_held(x, 6, 1, "a", "b", 5, 3000);
    add_held(x, 6, 2, "b", "c", 6, 201);
    add_held(x, 6, 3, "c", "d", 7, 202);
    build(x);
    assert_ok(pick(x));
    assert_job(x, PICK_HELD, 6, 6, (3), ());
    assert_false(x->pick.trivial_move);
    assert_int_equal(x->pick.input_bytes, 3200);
    find(x, 3)->busy = true;
    assert_ok(pick(x));
    assert_job(x, PICK_HELD, 6, 6, (2), ());
    /* Not on level 0, which is merged soon enough. */
    add_held(x, 6, 1, "a", "b", 5, 1);
    add_held(x, 0, 2, "b", "c", 6, 3000);
    build(x);
    assert_absent(pick(x));
}

static void add_deletes(struct fixture *x, int level, uint64_t number, const char *smallest,
                        const char *limit, uint64_t deletes)
{
    struct table_meta *m = maker_meta(number, smallest, limit, 90, 100, 100);
    m->delete_count = deletes;
    add_meta(x, level, m);
}

static void test_order_of_reclaiming(void **state)
{
    struct fixture *x = *state;
    for (uint64_t gone = 400; gone <= 401; gone++) {
        add(x, 6, 1, "k", "l", 1000);
        add(x, 6, 4, "x", "y", 9000);
        add_deletes(x, 5, 2, "k", "l", 10);
        add_held(x, 6, 3, "m", "n", 7, gone); /* 401 is more than an eighth */
        build(x);
        assert_ok(pick(x));
        if (gone == 400)
            assert_job(x, PICK_TOMBSTONES, 5, 6, (2), (1));
        else
            assert_job(x, PICK_HELD, 6, 6, (3), ());
    }
}

/* ---- deletions of single keys ---- */

static void test_deletes(void **state)
{
    struct fixture *x = *state;
    add(x, 6, 1, "k", "l", 1000); /* ten entries: a deletion frees 100, of 1100 to rewrite */
    add_deletes(x, 5, 2, "k", "l", 10);
    add(x, 6, 3, "x", "y", 9000);
    build(x);
    assert_ok(pick(x));
    assert_job(x, PICK_TOMBSTONES, 5, 6, (2), (1));
    /* Too few of the table's entries. */
    add(x, 6, 1, "k", "l", 1000);
    add_deletes(x, 5, 2, "k", "l", 4);
    add(x, 6, 3, "x", "y", 9000);
    build(x);
    assert_absent(pick(x));
    /* Too little of what is below. */
    struct table_meta *m = maker_meta(1, "k", "l", 1, 10, 1000);
    m->entry_count = 100;
    add_meta(x, 6, m);
    add_deletes(x, 5, 2, "k", "l", 10);
    add(x, 6, 3, "x", "y", 9000);
    build(x);
    assert_absent(pick(x));
    /* Nothing below. */
    add_deletes(x, 5, 2, "k", "l", 10);
    add(x, 6, 3, "x", "y", 9000);
    build(x);
    assert_absent(pick(x));
}

/* Entries 1..50 below, deletions at 100: pins in between keep what they see. */
static void test_deletes_and_pins(void **state)
{
    static const struct {
        uint64_t pin;
        bool sinks;
    } cases[] = {{100, false}, {101, true}, {60, false}, {51, false},
                 {20, true},   {46, false}, {1, true}};
    struct fixture *x = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        add_meta(x, 6, maker_meta(1, "k", "l", 1, 50, 1000));
        add_deletes(x, 5, 2, "k", "l", 10);
        add(x, 6, 3, "x", "y", 9000);
        add_pin(x, cases[i].pin);
        build(x);
        assert_int_equal(pick(x), cases[i].sinks ? 0 : 1);
    }
}

/* Blob bytes count as freed, and are no cost. */
static void test_blob_bytes_count(void **state)
{
    struct fixture *x = *state;
    for (int blobs = 0; blobs < 2; blobs++) {
        struct table_meta *m = maker_meta(1, "k", "l", 1, 10, 1000);
        m->entry_count = 100;
        if (blobs)
            table_meta_add_share(m, 9, 50, 10000);
        add_meta(x, 6, m);
        add_deletes(x, 5, 2, "k", "l", 10);
        add(x, 6, 3, "x", "y", 9000);
        build(x);
        assert_int_equal(pick(x), blobs ? 0 : 1);
    }
}

static void test_deletes_sink_freely(void **state)
{
    struct fixture *x = *state;
    x->opt.base_bytes = 100;
    struct table_meta *m = maker_meta(1, "k", "l", 1, 10, 20000);
    m->entry_count = 10000;
    add_meta(x, 6, m);
    add_deletes(x, 4, 2, "k", "l", 10);
    build(x);
    assert_int_equal(compact_debt(x->v, &x->opt), 0);
    assert_ok(pick(x));
    assert_job(x, PICK_TOMBSTONES, 4, 5, (2), ());
    assert_true(x->pick.trivial_move);
}

/* ---- range tombstones: of real tables ---- */

struct real {
    struct fixture *x;
    struct simdisk *disk;
};

static void real_init(struct real *r, struct fixture *x)
{
    *r = (struct real){x, simdisk_new(1)};
    x->source.env = simdisk_env(r->disk);
    x->source.uuid = (const uint8_t *)"a volume's uuid ";
    x->source.cache = cache_new(0);
    assert_ok(x->source.env->mkdir(x->source.env, "vol"));
}

static void real_release(struct real *r)
{
    pick_release(&r->x->pick);
    version_unref(r->x->v);
    r->x->v = NULL;
    edit_release(&r->x->e);
    cache_free(r->x->source.cache);
    simdisk_free(r->disk);
}

/* A table with tombstones only, `count` of them, each "start", "end". */
static void add_tombstones(struct real *r, int level, uint64_t number, uint64_t seq,
                           const char *const (*list)[2], size_t count)
{
    const struct version_source *s = &r->x->source;
    struct table_options opt = {.block_bytes = 4096};
    struct rangedel_builder *b = rangedel_builder_new();
    struct table_writer *w;
    struct table_meta *meta;
    for (size_t i = 0; i < count; i++)
        rangedel_builder_add(b, slice_str(list[i][0]), slice_str(list[i][1]), seq + i);
    struct rangedel *dels = rangedel_build(b);
    assert_ok(table_create(s->env, s->dir, number, s->uuid, &opt, &w));
    table_set_rangedel(w, dels);
    assert_ok(table_finish(w, &meta));
    add_meta(r->x, level, meta);
    rangedel_unref(dels);
    rangedel_builder_free(b);
}

#define TOMBSTONES(r, level, number, seq, ...)                                     \
    do {                                                                           \
        static const char *const list[][2] = {__VA_ARGS__};                        \
        add_tombstones(r, level, number, seq, list, sizeof list / sizeof list[0]); \
    } while (0)

static void test_tombstones_sink(void **state)
{
    struct fixture *x = *state;
    struct real r;
    real_init(&r, x);
    x->opt.base_bytes = 100000;
    add(x, 6, 1, "k", "l", 10000);
    add(x, 6, 2, "l", "m", 10000);
    add(x, 6, 3, "m", "n", 500000);
    add(x, 5, 8, "a", "b", 50000); /* keeps the level in use */
    TOMBSTONES(&r, 5, 9, 100, {"k", "l"}, {"l", "la"});
    build(x);
    compact_pick_prepare(x->v, &x->opt);
    assert_non_null(version_table_opened(find(x, 9)));
    assert_null(version_table_opened(find(x, 8)));
    assert_ok(pick(x));
    assert_job(x, PICK_TOMBSTONES, 5, 6, (9), (1, 2));
    find(x, 2)->busy = true;
    assert_absent(pick(x));
    real_release(&r);
}

/* A part of a table is worth it only if it is enough of what has to be rewritten; two tombstones
 * that meet are as good as one. */
static void test_tombstones_partial(void **state)
{
    struct fixture *x = *state;
    struct real r;
    real_init(&r, x);
    x->opt.base_bytes = 100000;
    for (int i = 0; i < 3; i++) {
        char number = (char)(20 + i);
        add(x, 6, 1, "k0", "k8", 80000);
        add(x, 6, 3, "m", "n", 500000);
        add(x, 5, 8, "a", "b", 50000);
        if (i == 0)
            TOMBSTONES(&r, 5, (uint64_t)number, 100, {"k0", "k1"});
        else if (i == 1)
            TOMBSTONES(&r, 5, (uint64_t)number, 100, {"k0", "k1"}, {"k1", "k2"}, {"k3", "k4"});
        else
            TOMBSTONES(&r, 5, (uint64_t)number, 100, {"k3", "k8"}, {"k2", "k3"}, {"k0", "k2"});
        build(x);
        assert_int_equal(pick(x), i == 0 ? 1 : 0);
    }
    real_release(&r);
}

/* What is wholly covered costs nothing; what the job must rewrite besides does. */
static void test_tombstones_cost(void **state)
{
    struct fixture *x = *state;
    struct real r;
    real_init(&r, x);
    x->opt.base_bytes = 100000;
    for (uint64_t extra = 30000; extra <= 50000; extra += 20000) {
        add(x, 6, 1, "k", "l", 10000);
        add(x, 6, 2, "p", "q", extra); /* in the table's span, under no tombstone */
        add(x, 6, 3, "x", "y", 500000);
        add(x, 5, 8, "a", "b", 50000);
        TOMBSTONES(&r, 5, extra, 100, {"k", "l"}, {"r", "s"});
        build(x);
        assert_int_equal(pick(x), extra > 40000 ? 1 : 0);
    }
    real_release(&r);
}

/* Data at 1..50, a tombstone at 100. */
static void test_tombstones_and_pins(void **state)
{
    static const struct {
        uint64_t pins[2];
        bool sinks;
    } cases[] = {
        {{101}, true}, {{100}, false},    {{51}, false},     {{20}, true},
        {{1}, true},   {{20, 101}, true}, {{20, 60}, false}, {{48}, false},
    };
    struct fixture *x = *state;
    struct real r;
    real_init(&r, x);
    x->opt.base_bytes = 100000;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        add_meta(x, 6, maker_meta(1, "k", "l", 1, 50, 10000));
        add(x, 6, 3, "m", "n", 500000);
        add(x, 5, 8, "a", "b", 50000);
        TOMBSTONES(&r, 5, 20 + i, 100, {"k", "l"});
        for (int k = 0; k < 2 && cases[i].pins[k]; k++)
            add_pin(x, cases[i].pins[k]);
        build(x);
        assert_int_equal(pick(x), cases[i].sinks ? 0 : 1);
    }
    real_release(&r);
}

/* An older tombstone of the same ground hides from an older pin what the newer one does not. */
static void test_tombstones_stacked(void **state)
{
    struct fixture *x = *state;
    struct real r;
    real_init(&r, x);
    x->opt.base_bytes = 100000;
    for (int older = 0; older < 2; older++) {
        add_meta(x, 6, maker_meta(1, "k", "l", 1, 40, 10000));
        add(x, 6, 3, "m", "n", 500000);
        add(x, 5, 8, "a", "b", 50000);
        if (older)
            TOMBSTONES(&r, 5, 21, 50, {"k", "l"}, {"k", "l"});
        else
            TOMBSTONES(&r, 5, 20, 60, {"k", "l"});
        add_pin(x, 51);
        build(x);
        assert_int_equal(pick(x), older ? 0 : 1);
    }
    real_release(&r);
}

/* ---- what lies under a tombstone ---- */

/* Table 1 on the bottom: 2000 small entries, and between them a large file of 100 blobs. */
static void add_mixed_table(struct real *r, uint64_t number)
{
    const struct version_source *s = &r->x->source;
    struct table_options opt = {.block_bytes = 1000};
    struct table_writer *w;
    struct table_meta *meta;
    uint8_t value[100] = {0}, key[4];
    struct buf ref = {0};
    assert_ok(table_create(s->env, s->dir, number, s->uuid, &opt, &w));
    for (uint32_t i = 0; i < 2100; i++) {
        bool blob = i >= 1000 && i < 1100;
        buf_clear(&ref);
        blob_ref_encode(&(struct blob_ref){7, {i * 60000, 60000}, 65536}, &ref);
        struct entry e = {sim_key(i, key), 1, blob ? ENTRY_PUT_BLOB : ENTRY_PUT,
                          blob ? buf_slice(&ref) : slice_of(value, sizeof value)};
        assert_ok(table_add(w, &e));
    }
    assert_ok(table_finish(w, &meta));
    add_meta(r->x, 6, meta);
    buf_release(&ref);
}

static void add_tombstone_of_keys(struct real *r, uint64_t number, uint32_t start, uint32_t end)
{
    const struct version_source *s = &r->x->source;
    struct rangedel_builder *b = rangedel_builder_new();
    struct table_options opt = {.block_bytes = 1000};
    struct table_writer *w;
    struct table_meta *meta;
    uint8_t from[4], to[4];
    rangedel_builder_add(b, sim_key(start, from), sim_key(end, to), 100);
    struct rangedel *dels = rangedel_build(b);
    assert_ok(table_create(s->env, s->dir, number, s->uuid, &opt, &w));
    table_set_rangedel(w, dels);
    assert_ok(table_finish(w, &meta));
    add_meta(r->x, 5, meta);
    rangedel_unref(dels);
    rangedel_builder_free(b);
}

/* The file is 1/20 of the keys, about 1/60 of the table's bytes, and all of the blobs: that only
 * the entries can tell. */
static void test_large_file_among_small(void **state)
{
    static const struct {
        uint32_t start, end;
        bool open, sinks;
    } cases[] = {
        {1000, 1100, true, true}, {1000, 1010, true, true},  {900, 1010, true, true},
        {100, 500, true, false},  {1100, 1300, true, false}, {100, 500, false, true},
    };
    struct fixture *x = *state;
    struct real r;
    real_init(&r, x);
    x->opt.base_bytes = 1000000;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct table *table;
        add_mixed_table(&r, 10 + 2 * i);
        add(x, 6, 1, "x", "y", 5000000);
        add(x, 5, 2, "x", "y", 500000);
        add_tombstone_of_keys(&r, 11 + 2 * i, cases[i].start, cases[i].end);
        build(x);
        if (cases[i].open)
            assert_ok(version_table_open(find(x, 10 + 2 * i), &table));
        assert_int_equal(pick(x), cases[i].sinks ? 0 : 1);
    }
    real_release(&r);
}

/* The same again is not reckoned again; what changes below is noticed. */
static void test_gain_is_remembered(void **state)
{
    struct fixture *x = *state;
    struct real r;
    struct table *table;
    real_init(&r, x);
    x->opt.base_bytes = 1000000;
    add_mixed_table(&r, 10);
    add(x, 6, 1, "x", "y", 5000000);
    add(x, 5, 2, "x", "y", 500000);
    add_tombstone_of_keys(&r, 11, 0, 400);
    build(x);
    compact_pick_prepare(x->v, &x->opt);
    struct version_table *t = find(x, 11);
    uint64_t before = t->gain_signature;
    assert_true(before != 0 && t->gain.freed > 1000000 && t->gain.freed < 1300000);
    t->gain.freed = 0;
    assert_absent(pick(x));
    assert_int_equal(t->gain_signature, before);
    assert_ok(version_table_open(find(x, 10), &table)); /* now it is known better */
    assert_absent(pick(x));
    assert_int_not_equal(t->gain_signature, before);
    assert_true(t->gain.freed > 40000 && t->gain.freed < 60000);
    before = t->gain_signature;
    struct edit e;
    struct version *next;
    struct pin pin = maker_pin(50, (char[]){"p"});
    edit_init(&e);
    edit_add_pin(&e, &pin);
    assert_ok(version_apply(x->v, &e, NULL, 0, &next));
    compact_pick_prepare(next, &x->opt);
    assert_int_not_equal(t->gain_signature, before);
    assert_true(t->gain.freed < 1);
    edit_release(&e);
    version_unref(next);
    real_release(&r);
}

/* On level 0 they take all of it along; they count against what is older there, too. */
static void test_tombstones_level0(void **state)
{
    struct fixture *x = *state;
    struct real r;
    real_init(&r, x);
    x->opt.base_bytes = 100000;
    add_meta(x, 0, maker_meta(5, "k", "l", 1, 10, 50000));
    add_meta(x, 0, maker_meta(6, "c", "d", 200, 210, 9000));
    add(x, 6, 3, "m", "n", 50000);
    TOMBSTONES(&r, 0, 20, 100, {"k", "l"});
    build(x);
    assert_ok(pick(x));
    assert_job(x, PICK_TOMBSTONES, 0, 6, (6, 20, 5), ());
    find(x, 6)->busy = true;
    assert_absent(pick(x));
    /* Data that is newer than the tombstone is not under it. */
    add_meta(x, 0, maker_meta(5, "k", "l", 110, 120, 50000));
    add_meta(x, 0, maker_meta(6, "c", "d", 200, 210, 9000));
    add(x, 6, 3, "m", "n", 50000);
    TOMBSTONES(&r, 0, 21, 100, {"k", "l"});
    build(x);
    assert_absent(pick(x));
    real_release(&r);
}

static void test_tombstones_unreadable(void **state)
{
    struct fixture *x = *state;
    struct real r;
    real_init(&r, x);
    x->opt.base_bytes = 100000;
    add(x, 6, 1, "k", "l", 10000);
    add(x, 6, 3, "m", "n", 500000);
    add(x, 5, 8, "a", "b", 50000);
    TOMBSTONES(&r, 5, 9, 100, {"k", "l"});
    build(x);
    assert_ok(simdisk_flip(r.disk, "vol/000009.table", 100, 1));
    logged_reset();
    compact_pick_prepare(x->v, &x->opt);
    assert_logged("000009.table");
    size_t said = logged.count;
    assert_absent(pick(x));
    compact_pick_prepare(x->v, &x->opt);
    assert_absent(pick(x));
    assert_int_equal(logged.count, said);
    real_release(&r);
}

/* ---- on demand ---- */

static int pick_range(struct fixture *x, const char *start, const char *limit)
{
    pick_release(&x->pick);
    return compact_pick_range(x->v, &x->opt, slice_str(start), slice_str(limit), &x->pick);
}

static void test_range(void **state)
{
    struct fixture *x = *state;
    add(x, 0, 31, "d", "f", 10);
    add(x, 4, 21, "a", "b", 100);
    add(x, 4, 22, "e", "f", 100);
    add(x, 5, 11, "a", "c", 1000);
    add(x, 5, 12, "c", "e", 1000);
    add(x, 5, 13, "e", "g", 1000);
    add(x, 6, 1, "b", "c", 1000);
    add(x, 6, 2, "f", "k", 1000);
    add(x, 6, 3, "x", "z", 100000);
    build(x);
    assert_absent(pick_range(x, "x", ""));
    assert_absent(pick_range(x, "h", "z"));
    assert_ok(pick_range(x, "f0", "z"));
    assert_job(x, PICK_MANUAL, 5, 6, (13), (2));
    assert_ok(pick_range(x, "", "d"));
    assert_job(x, PICK_MANUAL, 4, 5, (21), (11));
    assert_ok(pick_range(x, "", ""));
    assert_job(x, PICK_MANUAL, 0, 4, (31), (22));
    find(x, 31)->busy = true;
    assert_absent(pick_range(x, "", ""));
}

/* Once all is on the bottom, what was kept for pins that are gone goes too, however little. */
static void test_range_held(void **state)
{
    struct fixture *x = *state;
    add_pin(x, 5);
    add_held(x, 6, 1, "a", "b", 5, 3000);
    add_held(x, 6, 2, "b", "c", 6, 1);
    add_held(x, 6, 3, "c", "d", 7, 1);
    build(x);
    assert_ok(pick_range(x, "", ""));
    assert_job(x, PICK_MANUAL, 6, 6, (2), ());
    assert_false(x->pick.trivial_move);
    assert_ok(pick_range(x, "c", ""));
    assert_job(x, PICK_MANUAL, 6, 6, (3), ());
    assert_absent(pick_range(x, "a", "b"));
    find(x, 2)->busy = true;
    assert_ok(pick_range(x, "", ""));
    assert_job(x, PICK_MANUAL, 6, 6, (3), ());
}

static void test_range_limits_jobs(void **state)
{
    struct fixture *x = *state;
    add(x, 5, 11, "a", "c", 1000);
    add(x, 5, 12, "c", "e", 1000);
    add(x, 5, 13, "e", "g", 1000);
    add(x, 5, 14, "g", "i", 9000);
    add(x, 6, 1, "b", "d", 1000);
    add(x, 6, 2, "e", "k", 1000);
    build(x);
    x->opt.inputs_bytes_max = 4999;
    assert_ok(pick_range(x, "", ""));
    assert_job(x, PICK_MANUAL, 5, 6, (11, 12), (1));
    x->opt.inputs_bytes_max = 5000;
    assert_ok(pick_range(x, "", ""));
    assert_job(x, PICK_MANUAL, 5, 6, (11, 12, 13), (1, 2));
    x->opt.inputs_bytes_max = 10;
    assert_ok(pick_range(x, "g", ""));
    assert_job(x, PICK_MANUAL, 5, 6, (14), (2));
    /* The first that running jobs leave free. */
    find(x, 11)->busy = true;
    assert_ok(pick_range(x, "", ""));
    assert_job(x, PICK_MANUAL, 5, 6, (13), (2));
    find(x, 2)->busy = true;
    assert_absent(pick_range(x, "", ""));
}

/* ---- the guard between jobs ---- */

/* Random trees and random running jobs: what is picked beside them never can meet their outputs. */
static void test_jobs_stay_apart(void **state)
{
    struct sim s;
    (void)state;
    sim_init(&s, unit_seed());
    s.jobs_max = SIM_JOBS_MAX;
    for (int round = 0; round < 60; round++) {
        uint32_t at = (uint32_t)simrng_below(&s.rng, SIM_KEYS_MAX);
        uint32_t width = simrng_coin(&s.rng) ? SIM_KEYS_MAX : 1000;
        for (int i = 0; i < 250; i++)
            sim_put(&s, (at + (uint32_t)simrng_below(&s.rng, width)) % SIM_KEYS_MAX, false);
        sim_flush(&s);
        for (int i = 0; i < 6 && sim_step(&s); i++)
            continue;
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

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_base_level),
        TEST(test_targets),
        TEST(test_nothing_to_do),
        TEST(test_level0),
        TEST(test_level0_goes_to_base),
        TEST(test_level0_busy),
        TEST(test_level0_moves),
        TEST(test_least_overlap),
        TEST(test_moves_what_overlaps_nothing),
        TEST(test_widens),
        TEST(test_widens_over_no_gap),
        TEST(test_busy_tables),
        TEST(test_busy_bytes_do_not_press),
        TEST(test_highest_score),
        TEST(test_base_waits_for_level0),
        TEST(test_scores_fall_back),
        TEST(test_moves_or_rewrites),
        TEST(test_tombstones_move_above_data),
        TEST(test_held),
        TEST(test_order_of_reclaiming),
        TEST(test_deletes),
        TEST(test_deletes_and_pins),
        TEST(test_blob_bytes_count),
        TEST(test_deletes_sink_freely),
        TEST(test_tombstones_sink),
        TEST(test_tombstones_partial),
        TEST(test_tombstones_cost),
        TEST(test_tombstones_and_pins),
        TEST(test_tombstones_stacked),
        TEST(test_large_file_among_small),
        TEST(test_gain_is_remembered),
        TEST(test_tombstones_level0),
        TEST(test_tombstones_unreadable),
        TEST(test_range),
        TEST(test_range_held),
        TEST(test_range_limits_jobs),
        cmocka_unit_test(test_jobs_stay_apart),
        cmocka_unit_test(test_random_writes),
        cmocka_unit_test(test_ascending_writes),
        cmocka_unit_test(test_range_deletes),
        cmocka_unit_test(test_stream_of_deletes),
        cmocka_unit_test(test_pins),
        cmocka_unit_test(test_compact_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
