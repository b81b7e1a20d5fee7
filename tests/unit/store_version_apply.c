/* Tests of version_apply(), store/version.h: edits that do not fit, damaged ones, and long
 * histories against a model, with the life and death of files. */
#include "tests/unit/version_model.h"

#include <errno.h>

/* ---- what does not fit ---- */

static struct version *misfit_base(struct fixture *x)
{
    struct edit e;
    edit_init(&e);
    e.has_flushed = e.has_log = true;
    e.flushed_seq = 10;
    e.log_number = 5;
    maker_add(&e, 0, 5, "a", "c", 50);
    maker_add(&e, 3, 6, "c", "e", 40);
    maker_add(&e, 3, 7, "g", "k", 30);
    edit_add_blob(&e, 8, 10, 1000, 1100);
    edit_add_garbage(&e, 8, 9, 100);
    struct pin pin = maker_pin(5, (char[]){"p"});
    edit_add_pin(&e, &pin);
    return step(version_new(&x->source), &e);
}

static void remove_absent(struct edit *e)
{
    edit_remove_table(e, 3, 99);
}
static void remove_elsewhere(struct edit *e)
{
    edit_remove_table(e, 3, 5);
}
static void remove_twice(struct edit *e)
{
    edit_remove_table(e, 3, 6);
    edit_remove_table(e, 3, 6);
}
static void add_present(struct edit *e)
{
    maker_add(e, 5, 5, "a", "c", 50);
}
static void add_present_same_level(struct edit *e)
{
    maker_add(e, 0, 5, "a", "c", 50);
}
static void add_twice(struct edit *e)
{
    maker_add(e, 5, 20, "a", "c", 50);
    maker_add(e, 4, 20, "a", "c", 50);
}
static void add_absurd(struct edit *e)
{
    maker_add(e, 5, UINT64_MAX, "a", "c", 50);
}
static void move_changed(struct edit *e)
{
    edit_remove_table(e, 0, 5);
    maker_add(e, 2, 5, "a", "d", 50);
}
static void overlap_left(struct edit *e)
{
    maker_add(e, 3, 20, "a", "ca", 50);
}
static void overlap_right(struct edit *e)
{
    maker_add(e, 3, 20, "f", "ga", 50);
}
static void overlap_inside(struct edit *e)
{
    maker_add(e, 3, 20, "h", "i", 50);
}
static void overlap_around(struct edit *e)
{
    maker_add(e, 3, 20, "a", "z", 50);
}
static void overlap_fresh(struct edit *e)
{
    maker_add(e, 2, 20, "a", "d", 50);
    maker_add(e, 2, 21, "c", "e", 50);
}
static void overlap_moved(struct edit *e)
{
    edit_remove_table(e, 0, 5);
    maker_add(e, 4, 5, "a", "c", 50);
    maker_add(e, 4, 21, "b", "e", 50);
}
static void garbage_unknown(struct edit *e)
{
    edit_add_garbage(e, 9, 1, 1);
}
static void garbage_count(struct edit *e)
{
    edit_add_garbage(e, 8, 2, 1);
}
static void garbage_bytes(struct edit *e)
{
    edit_add_garbage(e, 8, 0, 901);
}
static void garbage_huge(struct edit *e)
{
    edit_add_garbage(e, 8, 1, UINT64_MAX);
}
static void blob_present(struct edit *e)
{
    edit_add_blob(e, 8, 1, 1, 1);
}
static void blob_twice(struct edit *e)
{
    edit_add_blob(e, 9, 1, 1, 1);
    edit_add_blob(e, 9, 1, 1, 1);
}
static void blob_remove_absent(struct edit *e)
{
    edit_remove_blob(e, 9);
}
static void pin_present(struct edit *e)
{
    struct pin p = maker_pin(9, (char[]){"p"});
    edit_add_pin(e, &p);
}
static void pin_twice(struct edit *e)
{
    struct pin p = maker_pin(9, (char[]){"q"}), q = maker_pin(10, (char[]){"q"});
    edit_add_pin(e, &p);
    edit_add_pin(e, &q);
}
static void pin_remove_absent(struct edit *e)
{
    edit_remove_pin(e, "q");
}
static void pin_remove_twice(struct edit *e)
{
    edit_remove_pin(e, "p");
    edit_remove_pin(e, "p");
}
static void flushed_falls(struct edit *e)
{
    e->has_flushed = true;
    e->flushed_seq = 9;
}
static void log_falls(struct edit *e)
{
    e->has_log = true;
    e->log_number = 4;
}

static void test_misfits(void **state)
{
    static const struct {
        void (*make)(struct edit *e);
        const char *log;
    } cases[] = {
        {remove_absent, "removes table 99, which level 3 does not have"},
        {remove_elsewhere, "removes table 5, which level 3 does not have"},
        {remove_twice, "removes table 6 twice"},
        {add_present, "adds table 5, which is there already"},
        {add_present_same_level, "adds table 5, which is there already"},
        {add_twice, "adds table 20 twice"},
        {add_absurd, "absurd"},
        {move_changed, "moves table 5 and changes it"},
        {overlap_left, "tables 20 and 6 would overlap on level 3"},
        {overlap_right, "tables 20 and 7 would overlap on level 3"},
        {overlap_inside, "tables 7 and 20 would overlap on level 3"},
        {overlap_around, "tables 20 and 6 would overlap on level 3"},
        {overlap_fresh, "tables 20 and 21 would overlap on level 2"},
        {overlap_moved, "tables 5 and 21 would overlap on level 4"},
        {garbage_unknown, "garbage in blob file 9, which is not there"},
        {garbage_count, "blob file 8 would have more garbage than contents"},
        {garbage_bytes, "blob file 8 would have more garbage than contents"},
        {garbage_huge, "blob file 8 would have more garbage than contents"},
        {blob_present, "adds blob file 8, which is there already"},
        {blob_twice, "adds blob file 9, which is there already"},
        {blob_remove_absent, "removes blob file 9, which is not there"},
        {pin_present, "two pins \"p\""},
        {pin_twice, "two pins \"q\""},
        {pin_remove_absent, "removes a pin which is not there"},
        {pin_remove_twice, "removes pin \"p\" twice"},
        {flushed_falls, "the flushed sequence number would fall from 10 to 9"},
        {log_falls, "the log number would fall from 5 to 4"},
    };
    struct fixture *x = *state;
    struct version *base = misfit_base(x), *next;
    struct buf before = maker_bytes(base);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct edit e;
        edit_init(&e);
        cases[i].make(&e);
        logged_reset();
        assert_errno(version_apply(base, &e, NULL, 0, &next), EIO);
        assert_null(next);
        assert_logged(cases[i].log);
        edit_release(&e);
    }
    struct buf after = maker_bytes(base);
    assert_slice(buf_slice(&after), before.data, before.len);
    for (int l = 0; l < LEVEL_COUNT; l++)
        for (uint32_t i = 0; i < base->levels[l].count; i++)
            assert_int_equal(base->levels[l].tables[i]->refs, 1);
    buf_release(&before);
    buf_release(&after);
    version_unref(base);
}

/* An edit from a damaged manifest: any bytes that still decode either fit or are refused. */
static void test_damaged_edits(void **state)
{
    struct fixture *x = *state;
    struct simrng rng = {unit_seed()};
    struct version *base = misfit_base(x);
    struct buf bytes = maker_bytes(base);
    unsigned fitted = 0, refused = 0;
    for (int round = 0; round < 20000; round++) {
        struct version *from = simrng_coin(&rng) ? base : version_new(&x->source), *next;
        struct buf copy = {0};
        struct edit e;
        buf_append(&copy, buf_slice(&bytes));
        for (uint64_t n = simrng_below(&rng, 4); n > 0; n--)
            copy.data[simrng_below(&rng, copy.len)] ^= (uint8_t)(1 << simrng_below(&rng, 8));
        edit_init(&e);
        if (edit_decode(buf_slice(&copy), &e) == 0) {
            if (version_apply(from, &e, NULL, 0, &next) == 0) {
                version_assert_valid(next);
                version_unref(next);
                fitted++;
            } else {
                refused++;
            }
        }
        edit_release(&e);
        buf_release(&copy);
        if (from != base)
            version_unref(from);
    }
    assert_true(fitted > 100 && refused > 100);
    buf_release(&bytes);
    version_unref(base);
}

/* ---- against a model ---- */

/* The state as an edit, applied to nothing, is the state. */
static void assert_rebuilds(struct fixture *x, const struct version *v)
{
    struct version *empty = version_new(&x->source), *again;
    struct edit e;
    edit_init(&e);
    version_to_edit(v, &e);
    assert_ok(version_apply(empty, &e, NULL, 0, &again));
    version_assert_valid(again);
    struct buf a = maker_bytes(v), b = maker_bytes(again);
    assert_slice(buf_slice(&a), b.data, b.len);
    buf_release(&a);
    buf_release(&b);
    edit_release(&e);
    version_unref(empty);
    version_unref(again);
}

static void test_model(void **state)
{
    struct fixture *x = *state;
    struct model m = {.rng = {unit_seed()}, .next = 1};
    struct version *held[HELD_VERSIONS] = {0}; /* [0]: the current one */
    held[0] = version_new(&x->source);
    for (int round = 0; round < 400; round++) {
        struct edit e;
        struct version *next;
        edit_init(&e);
        model_change_tables(&m, &e);
        model_change_blobs(&m, &e);
        model_change_pins(&m, &e);
        assert_ok(version_apply(held[0], &e, NULL, 0, &next));
        edit_release(&e);
        model_compare(&m, next);
        version_mark_dead(held[0], next);
        uint64_t keep = 1 + simrng_below(&m.rng, HELD_VERSIONS - 1);
        version_unref(held[keep]);
        held[keep] = held[0];
        held[0] = next;
        if (round % 20 == 0) {
            assert_rebuilds(x, next);
            assert_deaths(x, &m, held);
        }
    }
    for (int k = 1; k < HELD_VERSIONS; k++) {
        version_unref(held[k]);
        held[k] = NULL;
    }
    assert_deaths(x, &m, held);
    version_unref(held[0]);
    for (uint32_t i = 0; i < m.table_count; i++)
        assert_int_equal(x->table_deaths[m.tables[i].number], m.tables[i].level < 0);
    free(m.tables);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_misfits),
        TEST(test_damaged_edits),
        TEST(test_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
