/* lineage: whose file a number is. */
#include "store/lineage.h"

#include "tests/unit/unit.h"

static const uint8_t first[UUID_SIZE] = "first", second[UUID_SIZE] = "second",
                     own[UUID_SIZE] = "own";

static void test_own_only(void **state)
{
    (void)state;
    struct lineage none = {0};
    assert_ptr_equal(lineage_uuid(&none, 1, own), own);
    assert_ptr_equal(lineage_uuid(NULL, UINT64_MAX, own), own);
    lineage_release(&none);
}

static void test_parts(void **state)
{
    (void)state;
    struct lineage l = {0};
    assert_false(lineage_add(&l, 0, first));
    assert_true(lineage_add(&l, 10, first));
    assert_false(lineage_add(&l, 10, second));
    assert_false(lineage_add(&l, 9, second));
    assert_true(lineage_add(&l, 11, second));
    assert_int_equal(l.count, 2);
    assert_memory_equal(lineage_uuid(&l, 1, own), first, UUID_SIZE);
    assert_memory_equal(lineage_uuid(&l, 9, own), first, UUID_SIZE);
    assert_memory_equal(lineage_uuid(&l, 10, own), second, UUID_SIZE);
    assert_ptr_equal(lineage_uuid(&l, 11, own), own);
    assert_ptr_equal(lineage_uuid(&l, UINT64_MAX, own), own);
    lineage_release(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own_only),
        cmocka_unit_test(test_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
