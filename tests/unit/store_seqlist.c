/* seqlist: against an array; and that it is as fast as it promises. */
#include "store/seqlist.h"

#include "tests/unit/unit.h"

static void test_empty(void **state)
{
    (void)state;
    assert_int_equal(seqlist_below(NULL, 100), 0);
}

/* Every list that ever was answers every question right, also after others grew out of it. */
static void test_all_questions(void **state)
{
    (void)state;
    enum { COUNT = 300 };
    struct arena *a = arena_new();
    const struct seqlist *lists[COUNT + 1] = {0};
    for (uint64_t i = 0; i < COUNT; i++)
        lists[i + 1] = seqlist_push(a, lists[i], 10 * (i + 1)); /* 10, 20, ... */
    for (uint64_t n = 0; n <= COUNT; n++) {
        for (uint64_t bound = 0; bound <= 10 * (COUNT + 2); bound += 1 + bound % 7) {
            uint64_t below = bound ? (bound - 1) / 10 * 10 : 0;
            uint64_t expected = below < 10 * n ? below : 10 * n;
            assert_int_equal(seqlist_below(lists[n], bound), expected);
        }
    }
    arena_free(a);
}

static void test_shared_tails(void **state)
{
    (void)state;
    struct arena *a = arena_new();
    const struct seqlist *tail = seqlist_push(a, seqlist_push(a, NULL, 1), 5);
    const struct seqlist *left = seqlist_push(a, tail, 7), *right = seqlist_push(a, tail, 9);
    assert_ptr_equal(left->rest, tail);
    assert_ptr_equal(right->rest, tail);
    assert_int_equal(seqlist_below(left, 9), 7);
    assert_int_equal(seqlist_below(right, 9), 5);
    assert_int_equal(seqlist_below(tail, 9), 5);
    arena_free(a);
}

static void test_jumps_are_long(void **state)
{
    (void)state;
    enum { COUNT = 1 << 17 };
    struct arena *a = arena_new();
    const struct seqlist *list = NULL;
    for (uint64_t seq = 1; seq <= COUNT; seq++)
        list = seqlist_push(a, list, seq);
    for (uint64_t bound = 2; bound <= COUNT; bound += 997) {
        unsigned steps = 0;
        const struct seqlist *at = list;
        for (; at->seq >= bound; steps++)
            at = at->jump && at->jump->seq >= bound ? at->jump : at->rest;
        assert_true(steps <= 3 * 17 + 3);
        assert_int_equal(at->seq, seqlist_below(list, bound));
    }
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_all_questions),
        cmocka_unit_test(test_shared_tails),
        cmocka_unit_test(test_jumps_are_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
