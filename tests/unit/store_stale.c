/* Tests of store/stale.h: which blob files values are moved out of. */
#include "store/stale.h"
#include "tests/unit/logged.h"
#include "tests/unit/version_maker.h"

struct fixture {
    struct version_source source;
    struct stale_options opt;
    struct edit e;
    struct version *v;
    struct stale s;
};

static int setup(void **state)
{
    struct fixture *x = mem_zalloc(sizeof *x);
    x->source.dir = "vol";
    x->opt = (struct stale_options){
        .stale_percent = 50, .age_percent = 25, .garbage_percent = 101, .live_max = UINT64_MAX};
    edit_init(&x->e);
    logged_reset();
    *state = x;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *x = *state;
    stale_release(&x->s);
    edit_release(&x->e);
    version_unref(x->v);
    free(x);
    return 0;
}

/* A file of 1000 bytes in ten values. */
static void add(struct fixture *x, uint64_t number, uint64_t garbage)
{
    edit_add_blob(&x->e, number, 10, 1000, 1000);
    if (garbage)
        edit_add_garbage(&x->e, number, 1, garbage);
}

static void look(struct fixture *x)
{
    struct version *empty = version_new(&x->source);
    version_unref(x->v);
    assert_ok(version_apply(empty, &x->e, NULL, 0, &x->v));
    edit_release(&x->e);
    version_unref(empty);
    stale_release(&x->s);
    stale_init(&x->s, x->v, &x->opt);
}

static void assert_stale(const struct fixture *x, uint64_t number, bool stale, bool sought)
{
    const struct stale_file *f = stale_find(&x->s, number);
    assert_int_equal(f != NULL, stale);
    if (f) {
        assert_int_equal(f->number, number);
        assert_int_equal(f->sought, sought);
        assert_int_equal(f->live_bytes + f->garbage_bytes, 1000);
    }
}

static void half_garbage_is_stale(void **state)
{
    struct fixture *x = *state;
    x->opt.age_percent = 0;
    for (uint64_t i = 1; i <= 4; i++)
        add(x, i, i == 2 ? 500 : i == 3 ? 499 : i == 4 ? 900 : 0);
    look(x);
    assert_stale(x, 1, false, false);
    assert_stale(x, 2, true, false);
    assert_stale(x, 3, false, false);
    assert_stale(x, 4, true, false);
    assert_stale(x, 5, false, false);
    assert_int_equal(x->s.count, 2);
    assert_int_equal(x->s.sought_count, 0);
}

static void the_oldest_need_half_of_that(void **state)
{
    struct fixture *x = *state;
    for (uint64_t i = 1; i <= 8; i++)
        add(x, i, i == 2 ? 249 : 250);
    look(x);
    assert_stale(x, 1, true, false); /* of eight two are the oldest quarter */
    assert_stale(x, 2, false, false);
    assert_stale(x, 3, false, false);
    assert_stale(x, 8, false, false);
}

static void garbage_that_presses_is_sought(void **state)
{
    struct fixture *x = *state;
    x->opt.stale_percent = 100;
    x->opt.age_percent = 0;
    x->opt.garbage_percent = 20;
    /* Just not more than a fifth. */
    add(x, 1, 300), add(x, 2, 100), add(x, 3, 200);
    look(x);
    assert_false(stale_presses(x->v, &x->opt));
    assert_int_equal(x->s.count, 0);
    /* 610 of 3000. Without file 1: 210 of 2600, that is below 16 %. */
    add(x, 1, 400), add(x, 2, 110), add(x, 3, 100);
    look(x);
    assert_true(stale_presses(x->v, &x->opt));
    assert_stale(x, 1, true, true);
    assert_int_equal(x->s.count, 1);
    assert_int_equal(x->s.sought_live_bytes, 600);
    assert_int_equal(x->s.sought_garbage_bytes, 400);
    /* Of equal ones the older go first; two of five have to go. */
    for (uint64_t i = 1; i <= 5; i++)
        add(x, i, 210);
    look(x);
    assert_stale(x, 1, true, true);
    assert_stale(x, 2, true, true);
    assert_true(x->s.sought_count < 5);
    x->opt.garbage_min = 1050;
    look(x);
    assert_int_equal(x->s.count, 0);
}

/* Nothing is sought that there is no room for, or that could not be read. */
static void what_cannot_move_is_left(void **state)
{
    struct fixture *x = *state;
    x->opt.age_percent = 0;
    x->opt.garbage_percent = 20;
    x->opt.live_max = 450;
    add(x, 1, 540), add(x, 2, 560), add(x, 3, 300), add(x, 4, 600);
    look(x);
    assert_stale(x, 1, true, false);
    assert_stale(x, 2, true, false); /* 440, but 400 is taken */
    assert_stale(x, 3, false, false);
    assert_stale(x, 4, true, true);
    x->v->blobs[3].blob->failed = true;
    stale_release(&x->s);
    stale_init(&x->s, x->v, &x->opt);
    assert_stale(x, 4, false, false);
    assert_stale(x, 2, true, true);
    /* Files with hardly any garbage are no substitute for it. */
    x->opt.live_max = UINT64_MAX;
    add(x, 1, 50), add(x, 2, 990), add(x, 3, 99), add(x, 4, 100);
    look(x);
    x->v->blobs[1].blob->failed = true;
    stale_release(&x->s);
    stale_init(&x->s, x->v, &x->opt);
    assert_true(stale_presses(x->v, &x->opt));
    assert_int_equal(x->s.count, 1);
    assert_stale(x, 4, true, true);
}

/* A file that values move out of stays sought until it is gone, whatever its place was; the files
 * they go to are not. */
static void what_is_sought_stays_so(void **state)
{
    struct fixture *x = *state;
    struct simrng rng = {unit_seed()};
    x->opt.garbage_percent = 25;
    for (int round = 0; round < 200; round++) {
        uint64_t n = 2 + simrng_below(&rng, 30);
        for (uint64_t i = 1; i <= n; i++)
            add(x, i, simrng_below(&rng, 900));
        look(x);
        if (x->s.sought_count == 0)
            continue;
        const struct stale_file *f = x->s.files;
        while (!f->sought)
            f++;
        uint64_t number = f->number, moved = simrng_below(&rng, f->live_bytes);
        struct edit e;
        struct version *next;
        edit_init(&e);
        edit_add_blob(&e, n + 1, 1, moved, moved);
        edit_add_garbage(&e, number, 1, moved);
        assert_ok(version_apply(x->v, &e, NULL, 0, &next));
        edit_release(&e);
        version_unref(x->v);
        x->v = next;
        stale_release(&x->s);
        stale_init(&x->s, x->v, &x->opt);
        assert_stale(x, number, true, true);
        assert_null(stale_find(&x->s, n + 1));
    }
}

int main(void)
{
#define TEST(test)                         \
    {                                      \
#test, test, setup, teardown, NULL \
    }
    const struct CMUnitTest tests[] = {
        TEST(half_garbage_is_stale),          TEST(the_oldest_need_half_of_that),
        TEST(garbage_that_presses_is_sought), TEST(what_cannot_move_is_left),
        TEST(what_is_sought_stays_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
