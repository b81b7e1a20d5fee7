/* control: the text by which the daemon tells how far a scrub is. */
#include "mount/control.h"
#include "tests/unit/unit.h"

static void test_status_round_trips(void **state)
{
    (void)state;
    struct store_scrub_status s = {.running = true,
                                   .passes = 3,
                                   .started_ns = INT64_MAX,
                                   .ended_ns = -5,
                                   .file = 12,
                                   .offset = UINT64_MAX,
                                   .done_bytes = UINT64_MAX,
                                   .total_bytes = UINT64_MAX,
                                   .frames = UINT64_MAX,
                                   .repaired = UINT64_MAX,
                                   .damaged = UINT64_MAX,
                                   .parity_made = UINT64_MAX},
                              got;
    char text[CONTROL_SCRUB_TEXT_MAX];
    control_scrub_print(&s, text);
    assert_int_equal(control_scrub_parse(text, &got), 0);
    assert_true(got.running && got.passes == 3 && got.started_ns == INT64_MAX &&
                got.ended_ns == -5 && got.file == 12 && got.offset == UINT64_MAX &&
                got.parity_made == UINT64_MAX);
    strcat(text, " 1");
    assert_true(control_scrub_parse(text, &got) < 0);
    assert_true(control_scrub_parse("", &got) < 0);
    assert_true(control_scrub_parse("1 2 3", &got) < 0);
}

static void test_which_attribute(void **state)
{
    (void)state;
    assert_true(control_is_scrub(FS_INO_ROOT, CONTROL_XATTR_SCRUB));
    assert_false(control_is_scrub(FS_INO_FIRST, CONTROL_XATTR_SCRUB));
    assert_false(control_is_scrub(FS_INO_ROOT, "user.varve.created"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status_round_trips),
        cmocka_unit_test(test_which_attribute),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
