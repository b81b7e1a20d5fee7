/* Tests of store/packers.h: when writers are in a hurry, and that batches then are. */
#include "store/batch.h"
#include "store/store.h"
#include "tests/unit/uneven.h"
#include "tests/unit/unit.h"

enum { LEN = UNEVEN_LEN };

static void as_many_as_processors_are_a_crowd(void **state)
{
    (void)state;
    struct packers p = {.processors = 3};
    assert_false(packers_begin(&p));
    assert_false(packers_begin(&p));
    assert_true(packers_begin(&p));
    assert_true(packers_begin(&p));
    packers_end(&p);
    packers_end(&p);
    packers_end(&p);
    assert_false(packers_begin(&p));
    packers_end(&p);
    packers_end(&p);
    assert_int_equal(p.at_work, 0);
}

static void one_alone_is_never_in_a_hurry(void **state)
{
    (void)state;
    struct packers one = {.processors = 1}, unknown = {0};
    assert_false(packers_begin(&one));
    assert_true(packers_begin(&one));
    assert_false(packers_begin(&unknown));
    assert_false(packers_begin(&unknown));
}

/* What a value takes in a batch while `others` pack. */
static uint32_t packed_len(uint32_t others)
{
    struct packers p = {.processors = 2, .at_work = others};
    struct strength strength = strength_plain(1);
    struct simrng rng = {unit_seed()};
    uint8_t *value = mem_alloc(LEN);
    struct store_batch b;
    uneven_fill(&rng, value, LEN);
    uneven_repeats(&rng, value);
    batch_init(&b, 16 << 10, &strength);
    b.packers = &p;
    store_batch_put(&b, slice_str("key"), slice_of(value, LEN));
    uint32_t len = b.ops[0].value_len;
    assert_int_equal(p.at_work, others);
    batch_release(&b);
    free(value);
    return len;
}

static void a_batch_in_a_crowd_hurries(void **state)
{
    (void)state;
    uint32_t calm = packed_len(0), hurried = packed_len(1);
    assert_true(hurried > calm + calm / 8);
    assert_true(hurried < LEN * 3 / 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_many_as_processors_are_a_crowd),
        cmocka_unit_test(one_alone_is_never_in_a_hurry),
        cmocka_unit_test(a_batch_in_a_crowd_hurries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
