/* Tests of store/packers.h: when writers are in a hurry, and that batches then are. */
#include "store/batch.h"
#include "store/store.h"
#include "tests/sim/simdisk.h"
#include "tests/unit/uneven.h"
#include "tests/unit/unit.h"

enum { LEN = UNEVEN_LEN };

static void as_many_as_processors_are_a_crowd(void **state)
{
    (void)state;
    for (int again = 0; again < 2; again++) {
        assert_false(packers_begin(3));
        assert_false(packers_begin(3));
        assert_true(packers_begin(3));
        assert_true(packers_begin(3));
        for (int i = 0; i < 4; i++)
            packers_end();
    }
}

static void one_alone_is_never_in_a_hurry(void **state)
{
    (void)state;
    assert_false(packers_begin(1));
    assert_true(packers_begin(1));
    assert_false(packers_begin(0));
    for (int i = 0; i < 3; i++)
        packers_end();
}

/* What a value takes in a batch while `others` pack. */
static uint32_t packed_len(uint32_t others)
{
    struct strength strength = strength_plain(1);
    struct simrng rng = {unit_seed()};
    uint8_t *value = mem_alloc(LEN);
    struct store_batch b;
    uneven_fill(&rng, value, LEN);
    uneven_repeats(&rng, value);
    batch_init(&b, 16 << 10, &strength);
    b.processors = 2;
    for (uint32_t i = 0; i < others; i++)
        packers_begin(2);
    store_batch_put(&b, slice_str("key"), slice_of(value, LEN));
    uint32_t len = b.ops[0].value_len;
    for (uint32_t i = 0; i < others; i++)
        packers_end();
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

static uint32_t two(struct env *env)
{
    (void)env;
    return 2;
}

/* The same of a batch of a store, which asks the env. */
static void batches_of_a_store_hurry(void **state)
{
    struct simdisk *disk = simdisk_new(1);
    struct store_options o;
    struct store *s;
    struct simrng rng = {unit_seed()};
    uint8_t *value = mem_alloc(LEN);
    (void)state;
    simdisk_env(disk)->processors = two;
    store_options_init(&o);
    o.env = simdisk_env(disk);
    o.workers = 0;
    assert_ok(store_create("vol", &o));
    assert_ok(store_open("vol", &o, &s));
    uneven_fill(&rng, value, LEN);
    uneven_repeats(&rng, value);
    struct store_batch *b = store_batch_new(s);
    store_batch_put(b, slice_str("calm"), slice_of(value, LEN));
    packers_begin(2);
    store_batch_put(b, slice_str("hurried"), slice_of(value, LEN));
    packers_end();
    assert_true(b->ops[1].value_len > b->ops[0].value_len + b->ops[0].value_len / 8);
    store_batch_free(b);
    assert_ok(store_close(s));
    simdisk_free(disk);
    free(value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_many_as_processors_are_a_crowd),
        cmocka_unit_test(one_alone_is_never_in_a_hurry),
        cmocka_unit_test(a_batch_in_a_crowd_hurries),
        cmocka_unit_test(batches_of_a_store_hurry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
