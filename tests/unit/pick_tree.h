/* pick_tree: a fixture: trees for the tests of compact_pick that are made by hand, table by table,
 * and words to say what was picked. */
#ifndef VARVE_UNIT_PICK_TREE_H
#define VARVE_UNIT_PICK_TREE_H

#include "store/compact_pick.h"
#include "tests/sim/simdisk.h"
#include "tests/unit/logged.h"
#include "tests/unit/version_maker.h"

struct fixture {
    struct version_source source;
    struct pick_options opt;
    struct edit e;     /* of the tree to be */
    struct version *v; /* the tree, once it was built */
    struct pick pick;
};

static inline int setup(void **state)
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

static inline int teardown(void **state)
{
    struct fixture *x = *state;
    pick_release(&x->pick);
    edit_release(&x->e);
    version_unref(x->v);
    free(x);
    return 0;
}

static inline void add_meta(struct fixture *x, int level, struct table_meta *m)
{
    edit_add_table(&x->e, level, m);
    table_meta_unref(m);
}

static inline void add(struct fixture *x, int level, uint64_t number, const char *smallest,
                       const char *limit, uint64_t bytes)
{
    add_meta(x, level, maker_meta(number, smallest, limit, 1, number, bytes));
}

static inline void add_pin(struct fixture *x, uint64_t seq)
{
    char name[32];
    snprintf(name, sizeof name, "pin %d", (int)seq);
    struct pin p = maker_pin(seq, name);
    edit_add_pin(&x->e, &p);
}

/* Makes the tree of what was added since; an older one goes. */
static inline void build(struct fixture *x)
{
    struct version *empty = version_new(&x->source);
    pick_release(&x->pick);
    version_unref(x->v);
    assert_ok(version_apply(empty, &x->e, NULL, 0, &x->v));
    edit_release(&x->e);
    version_unref(empty);
}

static inline struct version_table *find(const struct fixture *x, uint64_t number)
{
    for (int l = 0; l < LEVEL_COUNT; l++)
        for (uint32_t i = 0; i < x->v->levels[l].count; i++)
            if (x->v->levels[l].tables[i]->number == number)
                return x->v->levels[l].tables[i];
    fail_msg("no table %d", (int)number);
    return NULL;
}

static inline int pick(struct fixture *x)
{
    pick_release(&x->pick);
    return compact_pick(x->v, &x->opt, &x->pick);
}

static inline void assert_tables(struct version_table *const *tables, uint32_t count,
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

static inline void add_held(struct fixture *x, int level, uint64_t number, const char *smallest,
                            const char *limit, uint64_t pin, uint64_t bytes)
{
    struct table_meta *m = maker_meta(number, smallest, limit, 1, 10, 3200);
    maker_held(m, pin, bytes);
    add_meta(x, level, m);
}

#endif
