/* Tests of store/compact_pick.h: the levels' targets and what presses most; moving or rewriting; on
 * demand.
 */
#include "tests/unit/pick_tree.h"

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

/* Adds what is left of a table of level 0 behind a slice. */
static void add_cut(struct fixture *x, uint64_t number, const char *smallest, const char *limit)
{
    struct table_meta *m = maker_meta(number, smallest, limit, 1, number, 5 * ENV_PUNCH_UNIT);
    m->front = 4 * ENV_PUNCH_UNIT;
    add_meta(x, 0, m);
}

/* While a table is cut by slices only it, and what is older, goes down; and it counts for what is
 * left of it. */
static void test_level0_in_slices(void **state)
{
    struct fixture *x = *state;
    x->opt.level0_trigger = 1;
    add(x, 0, 21, "a", "z", 10);
    add_cut(x, 22, "m", "p");
    add_cut(x, 23, "m", "z");
    add(x, 0, 24, "a", "z", 10);
    add(x, 6, 11, "a", "d", 100);
    build(x);
    assert_int_equal(x->v->levels[0].bytes, 20 + 2 * 2 * ENV_PUNCH_UNIT);
    assert_ok(pick(x));
    assert_job(x, PICK_LEVEL0, 0, 6, (23, 22, 21), (11));
    assert_int_equal(x->pick.input_bytes, 110 + 2 * 2 * ENV_PUNCH_UNIT);
    add(x, 0, 23, "a", "z", 10);
    add(x, 0, 24, "a", "z", 10);
    build(x);
    assert_ok(pick(x));
    assert_job(x, PICK_LEVEL0, 0, 6, (24, 23), ());
}

/* It presses by its size, beside what is below, or since reads have paid for the job. */
static void test_level0_waits_for_more(void **state)
{
    struct fixture *x = *state;
    x->opt.level0_trigger = 24;
    for (uint64_t i = 0; i < 4; i++)
        add(x, 0, 20 + i, "a", "c", 100);
    add(x, 6, 11, "b", "d", 1000);
    build(x);
    assert_absent(pick(x));
    assert_int_equal(compact_debt(x->v, &x->opt), 0);
    x->opt.level0_bytes = 401;
    assert_absent(pick(x));
    x->opt.level0_bytes = 400;
    assert_int_equal(compact_debt(x->v, &x->opt), 400);
    assert_ok(pick(x));
    assert_job(x, PICK_LEVEL0, 0, 6, (23, 22, 21, 20), (11));
    pick_release(&x->pick);
    x->opt.level0_bytes = 5000;
    x->opt.level0_percent = 41;
    assert_absent(pick(x));
    x->opt.level0_percent = 40;
    assert_ok(pick(x));
    pick_release(&x->pick);
    x->opt.base_bytes = 2002; /* what is below is too little to count */
    assert_absent(pick(x));
    x->opt.level0_reads = UINT64_MAX;
    assert_absent(pick(x));
    x->opt.level0_read_tables = 5;
    assert_absent(pick(x));
    x->opt.level0_read_tables = 4;
    x->opt.level0_reads = 1400 / PICK_READ_BYTES - 1;
    assert_absent(pick(x));
    x->opt.level0_reads++;
    assert_ok(pick(x));
    assert_job(x, PICK_LEVEL0, 0, 6, (23, 22, 21, 20), (11));
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

/* Level 0 is on its way already: what else presses is done meanwhile, if it is out of the way. */
static void test_level0_under_way(void **state)
{
    struct fixture *x = *state;
    for (uint64_t i = 0; i < 8; i++)
        add(x, 0, 20 + i, "a", "c", 10);
    add(x, 6, 1, "x", "z", 20000);
    add(x, 5, 2, "x", "y", 3000); /* 1.5 */
    build(x);
    for (uint64_t i = 0; i < 8; i++)
        find(x, 20 + i)->busy = true;
    assert_ok(pick(x));
    assert_job(x, PICK_SIZE, 5, 6, (2), (1));
    for (uint64_t i = 4; i < 8; i++)
        find(x, 20 + i)->busy = false;
    assert_ok(pick(x)); /* 1.0: waits behind the other's 1.5 */
    assert_job(x, PICK_SIZE, 5, 6, (2), (1));
    find(x, 23)->busy = find(x, 22)->busy = false;
    assert_absent(pick(x)); /* 1.5 of both: level 0 waits first, and the base with it */
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
    add(x, 6, 4, "d", "e", 90000);
    add(x, 6, 3, "m", "n", 15000);
    x->opt.base_bytes = 3000;
    x->opt.fanout = 40;
    add(x, 5, 11, "a", "b", 2000); /* 10 of its size below */
    add(x, 5, 12, "c", "d", 1000); /* 5; tables 1 and 4 only touch it */
    add(x, 5, 13, "l", "n", 2500); /* 6 */
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
    x->opt.inputs_bytes_max = 100000;
    find(x, 11)->busy = true; /* it would be moved first */
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
    add(x, 6, 1, "a", "b", 10000);
    add(x, 6, 4, "y", "z", 10000);
    add(x, 5, 2, "a", "b", 3000);
    add(x, 5, 3, "y", "z", 3000);    /* 1.5 without table 2 */
    for (uint64_t i = 0; i < 7; i++) /* 1.75 */
        add(x, 0, 20 + i, "a", "z", 10);
    build(x);
    find(x, 2)->busy = true;
    assert_absent(pick(x));
    find(x, 26)->busy = find(x, 25)->busy = true; /* 1.25: level 5 comes first */
    assert_ok(pick(x));
    assert_job(x, PICK_SIZE, 5, 6, (3), (4));
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

/* On demand a table moves only if nothing at all is to be got rid of. */
static void test_range_moves(void **state)
{
    struct fixture *x = *state;
    for (int i = 0; i < 4; i++) {
        struct table_meta *m = maker_meta(7, "k", "m", 1, 10, 3200);
        m->entry_count = 320;
        m->delete_count = i == 1;
        m->rangedel_count = i == 2;
        if (i == 3)
            maker_held(m, 5, 1);
        add_meta(x, 5, m);
        build(x);
        assert_ok(pick_range(x, "", ""));
        assert_job(x, PICK_MANUAL, 5, 6, (7), ());
        assert_int_equal(x->pick.trivial_move, i == 0);
    }
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
    /* Only the front of the run is out of the way of a job. */
    find(x, 2)->busy = find(x, 11)->busy = false;
    find(x, 13)->busy = true;
    x->opt.inputs_bytes_max = 5000;
    assert_ok(pick_range(x, "", ""));
    assert_job(x, PICK_MANUAL, 5, 6, (11), (1));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_base_level),
        TEST(test_targets),
        TEST(test_nothing_to_do),
        TEST(test_level0),
        TEST(test_level0_in_slices),
        TEST(test_level0_waits_for_more),
        TEST(test_level0_goes_to_base),
        TEST(test_level0_busy),
        TEST(test_level0_under_way),
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
        TEST(test_range),
        TEST(test_range_moves),
        TEST(test_range_held),
        TEST(test_range_limits_jobs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
