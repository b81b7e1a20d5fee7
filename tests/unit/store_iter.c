/* iter: the merging cursor against one sorted array: every move, both directions, ties; children
 * that fail; children that grow while they are read. */
#include "store/iter.h"

#include <errno.h>
#include <stdio.h>

#include "tests/sim/simrng.h"
#include "tests/unit/unit.h"

enum { KEY_MAX = 10, ROWS_MAX = 400, CHILDREN_MAX = 9 };

struct row {
    char key[KEY_MAX + 1]; /* no NUL within */
    uint64_t seq;
    size_t rank; /* of the child that has it */
};

static struct slice row_key(const struct row *r)
{
    return slice_str(r->key);
}

static int row_cmp(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    int order = entry_cmp(row_key(x), x->seq, row_key(y), y->seq);
    return order ? order : (x->rank > y->rank) - (x->rank < y->rank);
}

/* ---- a child: a cursor over a sorted array ---- */

struct rows {
    struct row row[ROWS_MAX];
    size_t count;
};

/* What it stands on lies in memory of its own that goes with the next move, as the contract allows:
 * who holds on to an old key is found out. */
struct child {
    struct iter it;
    struct rows *rows;
    size_t at;
    uint8_t *key;
    int *moves_left; /* before all children fail; negative: never */
};

static int live_children;
static bool child_failed; /* in this move of the merging cursor */

static int child_at(struct child *c, size_t at)
{
    free(c->key);
    c->key = NULL;
    c->it.valid = false;
    memset(&c->it.e, 0xee, sizeof c->it.e);
    if (*c->moves_left == 0) {
        child_failed = true;
        return -ENODATA;
    }
    if (*c->moves_left > 0)
        --*c->moves_left;
    c->at = at;
    if (at >= c->rows->count)
        return 1;
    const struct row *r = &c->rows->row[at];
    c->key = mem_dup(r->key, strlen(r->key));
    struct slice key = slice_of(c->key, strlen(r->key));
    /* the value says whose it is */
    c->it.e = (struct entry){key, r->seq, ENTRY_PUT, 0, slice_of(c, r->rank)};
    c->it.valid = true;
    return 0;
}

static size_t lower_bound(const struct rows *rows, struct slice key, uint64_t seq)
{
    size_t i = 0;
    while (i < rows->count && entry_cmp(row_key(&rows->row[i]), rows->row[i].seq, key, seq) < 0)
        i++;
    return i;
}

static int child_first(struct iter *it)
{
    return child_at((struct child *)it, 0);
}

static int child_last(struct iter *it)
{
    struct child *c = (struct child *)it;
    return child_at(c, c->rows->count - 1);
}

static int child_seek(struct iter *it, struct slice key, uint64_t seq)
{
    struct child *c = (struct child *)it;
    return child_at(c, lower_bound(c->rows, key, seq));
}

static int child_next(struct iter *it)
{
    struct child *c = (struct child *)it;
    assert_true(it->valid);
    return child_at(c, c->at + 1);
}

static int child_prev(struct iter *it)
{
    struct child *c = (struct child *)it;
    assert_true(it->valid);
    return child_at(c, c->at - 1);
}

static void child_free(struct iter *it)
{
    free(((struct child *)it)->key);
    free(it);
    live_children--;
}

static struct iter *child_new(struct rows *rows, int *moves_left)
{
    static const struct iter_ops ops = {child_first, child_last, child_seek, child_next,
                                        child_prev,  NULL,       child_free};
    struct child *c = mem_zalloc(sizeof *c);
    c->it.ops = &ops;
    c->rows = rows;
    c->moves_left = moves_left;
    live_children++;
    return &c->it;
}

/* ---- the model: all rows of all children, sorted ---- */

struct model {
    struct rows all;
    struct rows of[CHILDREN_MAX];
    struct iter *child[CHILDREN_MAX];
    size_t children;
    int moves_left;
    struct iter *merged;
};

static void random_key(struct simrng *rng, char key[KEY_MAX + 1])
{
    /* Half of them differ only beyond the eighth byte. */
    size_t len = simrng_below(rng, 4), at = simrng_coin(rng) ? 7 : 0;
    memset(key, 'p', at);
    for (size_t i = 0; i < len; i++)
        key[at++] = (char)('a' + simrng_below(rng, 3));
    key[at] = 0;
}

static void sort_rows(struct rows *rows)
{
    qsort(rows->row, rows->count, sizeof *rows->row, row_cmp);
}

static bool has_row(const struct rows *rows, const struct row *r)
{
    for (size_t i = 0; i < rows->count; i++)
        if (row_cmp(&rows->row[i], r) == 0)
            return true;
    return false;
}

/* Adds a row unless its child has one like it. */
static void add_row(struct model *m, const struct row *r)
{
    struct rows *of = &m->of[r->rank];
    if (m->all.count == ROWS_MAX || has_row(of, r))
        return;
    of->row[of->count++] = *r;
    m->all.row[m->all.count++] = *r;
    sort_rows(of);
    sort_rows(&m->all);
}

static void model_open(struct model *m, size_t children)
{
    assert_true(children <= CHILDREN_MAX);
    m->children = children;
    m->moves_left = -1;
    for (size_t i = 0; i < children; i++)
        m->child[i] = child_new(&m->of[i], &m->moves_left);
    m->merged = iter_merge_new(m->child, children);
}

static struct model *model_new(struct simrng *rng, size_t children, size_t rows, uint64_t seqs)
{
    struct model *m = mem_zalloc(sizeof *m);
    for (size_t i = 0; i < rows && children; i++) {
        struct row r = {.seq = 1 + simrng_below(rng, seqs)};
        random_key(rng, r.key);
        /* the first few children have most of the rows */
        r.rank = simrng_below(rng, 1 + simrng_below(rng, children));
        add_row(m, &r);
    }
    model_open(m, children);
    return m;
}

static void model_free(struct model *m)
{
    iter_free(m->merged);
    assert_int_equal(live_children, 0);
    free(m);
}

static void assert_at(const struct model *m, size_t at, int ret)
{
    const struct iter *it = m->merged;
    if (at >= m->all.count) {
        assert_int_equal(ret, 1);
        assert_false(it->valid);
        return;
    }
    const struct row *r = &m->all.row[at];
    assert_int_equal(ret, 0);
    assert_true(it->valid);
    assert_slice_str(it->e.key, r->key);
    assert_true(it->e.seq == r->seq);
    assert_int_equal(it->e.value.len, r->rank);
}

static size_t random_seek(struct model *m, struct simrng *rng)
{
    struct iter *it = m->merged;
    char key[KEY_MAX + 1];
    random_key(rng, key);
    uint64_t seq = simrng_coin(rng) ? SEQ_MAX : simrng_below(rng, 6);
    size_t to;
    switch (simrng_below(rng, it->valid ? 6 : 4)) {
    case 0:
        assert_at(m, to = 0, iter_first(it));
        break;
    case 1:
        assert_at(m, to = m->all.count - 1, iter_last(it));
        break;
    case 2:
        to = lower_bound(&m->all, slice_str(key), SEQ_MAX) - 1;
        assert_at(m, to, iter_seek_before(it, slice_str(key)));
        break;
    case 3:
        to = lower_bound(&m->all, slice_str(key), seq);
        assert_at(m, to, iter_seek(it, slice_str(key), seq));
        break;
    case 4: /* by its own key */
        to = lower_bound(&m->all, it->e.key, SEQ_MAX) - 1;
        assert_at(m, to, iter_seek_before(it, it->e.key));
        break;
    default:
        to = lower_bound(&m->all, it->e.key, seq);
        assert_at(m, to, iter_seek(it, it->e.key, seq));
    }
    return to;
}

static void check_scans(struct model *m)
{
    int ret = iter_first(m->merged);
    for (size_t i = 0; i < m->all.count; i++, ret = iter_next(m->merged))
        assert_at(m, i, ret);
    assert_at(m, m->all.count, ret);
    ret = iter_last(m->merged);
    for (size_t i = m->all.count; i-- > 0; ret = iter_prev(m->merged))
        assert_at(m, i, ret);
    assert_at(m, m->all.count, ret);
}

static void wander(struct model *m, struct simrng *rng, int moves)
{
    size_t at = random_seek(m, rng);
    uint64_t ahead = 5; /* of ten: in streaks, mostly one way and then the other */
    for (int i = 0; i < moves; i++) {
        if (simrng_below(rng, 10) == 0)
            ahead = 1 + simrng_below(rng, 9);
        if (!m->merged->valid || simrng_below(rng, 30) == 0)
            at = random_seek(m, rng);
        else if (simrng_below(rng, 10) < ahead)
            assert_at(m, ++at, iter_next(m->merged));
        else
            assert_at(m, --at, iter_prev(m->merged));
    }
}

static void test_none_and_one(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    struct model *m = model_new(&rng, 0, 0, 1);
    check_scans(m);
    assert_absent(iter_seek(m->merged, slice_str("a"), SEQ_MAX));
    assert_absent(iter_seek_before(m->merged, slice_str("a")));
    model_free(m);
    m = model_new(&rng, 1, 50, 5);
    check_scans(m);
    wander(m, &rng, 500);
    model_free(m);
    m = model_new(&rng, 5, 0, 1); /* children without entries */
    check_scans(m);
    model_free(m);
}

static void test_moves(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    for (int round = 0; round < 200; round++) {
        size_t children = 1 + simrng_below(&rng, CHILDREN_MAX);
        size_t rows = simrng_below(&rng, simrng_coin(&rng) ? 10 : 150);
        struct model *m = model_new(&rng, children, rows, simrng_coin(&rng) ? 3 : 100);
        check_scans(m);
        wander(m, &rng, 400);
        model_free(m);
    }
}

/* ---- failing children ---- */

static void test_errors(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    for (int round = 0; round < 150; round++) {
        struct model *m = model_new(&rng, 1 + simrng_below(&rng, 5), 60, 4);
        struct iter *it = m->merged;
        m->moves_left = (int)simrng_below(&rng, 120);
        int ret = 0;
        for (int i = 0; i < 1000 && ret >= 0; i++) {
            uint64_t move = simrng_below(&rng, it->valid ? 20 : 4);
            child_failed = false;
            ret = move == 0   ? iter_first(it)
                  : move == 1 ? iter_last(it)
                  : move == 2 ? iter_seek(it, slice_str("b"), 2)
                  : move == 3 ? iter_seek_before(it, slice_str("b"))
                  : move < 10 ? iter_prev(it)
                              : iter_next(it);
            assert_int_equal(ret, child_failed ? -ENODATA : it->valid ? 0 : 1);
        }
        assert_errno(ret, ENODATA);
        assert_false(it->valid);
        m->moves_left = -1; /* what failed is well again */
        wander(m, &rng, 100);
        check_scans(m);
        model_free(m);
    }
}

/* ---- growing children ---- */

enum { VISIBLE = 100 }; /* numbers below it are there from the start; later ones are above */

/* A row goes in while cursors stand in its child; they stay on what they stand on. */
static void grow(struct model *m, struct simrng *rng)
{
    struct row r = {.seq = VISIBLE + m->all.count}; /* each its own */
    random_key(rng, r.key);
    r.rank = simrng_below(rng, m->children);
    size_t before = m->of[r.rank].count;
    add_row(m, &r);
    struct child *c = (struct child *)m->child[r.rank];
    if (m->of[r.rank].count > before && c->it.valid &&
        lower_bound(c->rows, row_key(&r), r.seq) <= c->at)
        c->at++;
}

/* From the entry `from` (NULL: from off the end) to where it stands now, no row of the first hour
 * was passed over, and the way was in order. */
static void assert_step(const struct model *m, const struct row *from, bool forward, int ret)
{
    const struct entry *e = &m->merged->e;
    assert_true(ret == 0 || ret == 1);
    if (ret == 0) {
        int order = entry_cmp(e->key, e->seq, row_key(from), from->seq);
        assert_true(forward ? order > 0 : order < 0);
    }
    for (size_t i = 0; i < m->all.count; i++) {
        const struct row *r = &m->all.row[i];
        int from_r = entry_cmp(row_key(from), from->seq, row_key(r), r->seq);
        int r_to = ret ? (forward ? -1 : 1) : entry_cmp(row_key(r), r->seq, e->key, e->seq);
        bool passed = forward ? from_r < 0 && r_to < 0 : from_r > 0 && r_to > 0;
        assert_false(passed && r->seq < VISIBLE);
    }
}

static void wander_growing(struct model *m, struct simrng *rng)
{
    int ret = iter_first(m->merged);
    for (int i = 0; i < 400; i++) {
        bool forward = simrng_below(rng, 4) != (uint64_t)(i / 40 % 2);
        if (ret)
            ret = forward ? iter_first(m->merged) : iter_last(m->merged);
        if (ret)
            return; /* there is nothing */
        struct row from = {.seq = m->merged->e.seq};
        snprintf(from.key, sizeof from.key, "%.*s", (int)m->merged->e.key.len,
                 (const char *)m->merged->e.key.data);
        if (simrng_coin(rng))
            grow(m, rng);
        ret = forward ? iter_next(m->merged) : iter_prev(m->merged);
        assert_step(m, &from, forward, ret);
    }
}

static void test_growing(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    for (int round = 0; round < 150; round++) {
        struct model *m = mem_zalloc(sizeof *m);
        size_t children = 2 + simrng_below(&rng, 4), rows = simrng_below(&rng, 60);
        for (uint64_t seq = 1; seq <= rows; seq++) { /* no ties: sound stores have none */
            struct row r = {.seq = seq, .rank = simrng_below(&rng, children)};
            random_key(&rng, r.key);
            add_row(m, &r);
        }
        model_open(m, children);
        wander_growing(m, &rng);
        model_free(m);
    }
}

/* A child that finds, each time that it is asked for the last, some more behind. */
static int growing_last(struct iter *it)
{
    struct child *c = (struct child *)it;
    struct rows *rows = c->rows;
    for (int i = 0; i < 3; i++) {
        snprintf(rows->row[rows->count].key, KEY_MAX, "z%zu", rows->count);
        rows->row[rows->count++].seq = VISIBLE;
    }
    return child_at(c, rows->count - 1);
}

static void test_growing_at_the_end(void **state)
{
    (void)state;
    struct simrng rng = {1};
    struct model *m = model_new(&rng, 2, 0, 1);
    const struct row a = {.key = "a", .seq = 5}, b = {.key = "b", .seq = 6, .rank = 1};
    add_row(m, &a);
    add_row(m, &b);
    struct iter_ops ops = *m->child[0]->ops;
    ops.last = growing_last;
    m->child[0]->ops = &ops;
    assert_ok(iter_seek(m->merged, slice_str("b"), SEQ_MAX));
    assert_ok(iter_prev(m->merged));
    assert_slice_str(m->merged->e.key, "a");
    m->child[1]->ops = &ops;
    assert_ok(iter_seek_before(m->child[1], slice_str("c")));
    assert_slice_str(m->child[1]->e.key, "b");
    model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_none_and_one),
        cmocka_unit_test(test_moves),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_growing),
        cmocka_unit_test(test_growing_at_the_end),
    };
    return cmocka_run_group_tests_name("iter", tests, NULL, NULL);
}
