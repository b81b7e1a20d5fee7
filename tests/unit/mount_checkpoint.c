/* control: the texts by which a checkpoint of a mount is asked for and told about. */
#include "mount/control.h"
#include "tests/unit/unit.h"

#include <errno.h>

static void test_what_is_made_round_trips(void **state)
{
    (void)state;
    struct store_checkpoint c = {.seq = UINT64_MAX,
                                 .linked_files = UINT64_MAX - 1,
                                 .copied_files = UINT64_MAX - 2,
                                 .copied_bytes = UINT64_MAX - 3},
                            got;
    char text[CONTROL_CHECKPOINT_TEXT_MAX];
    for (size_t i = 0; i < sizeof c.uuid; i++)
        c.uuid[i] = (uint8_t)(7 + 31 * i);
    control_checkpoint_print(&c, text);
    assert_ok(control_checkpoint_parse(text, &got));
    assert_memory_equal(got.uuid, c.uuid, sizeof c.uuid);
    assert_true(got.seq == c.seq && got.linked_files == c.linked_files &&
                got.copied_files == c.copied_files && got.copied_bytes == c.copied_bytes);
    strcat(text, " 1");
    assert_true(control_checkpoint_parse(text, &got) < 0);
    assert_true(control_checkpoint_parse("", &got) < 0);
    assert_true(control_checkpoint_parse("00112233445566778899aabbccddeeff", &got) < 0);
    assert_true(control_checkpoint_parse("0011223344 5 6 7 8", &got) < 0);
}

static void test_what_is_asked_for(void **state)
{
    (void)state;
    const char *dir, *snapshot;
    assert_ok(control_checkpoint_take("/a/b", 4, &dir, &snapshot));
    assert_string_equal(dir, "/a/b");
    assert_null(snapshot);
    assert_ok(control_checkpoint_take("/a\0monday", 9, &dir, &snapshot));
    assert_string_equal(dir, "/a");
    assert_string_equal(snapshot, "monday");
    assert_errno(control_checkpoint_take("", 0, &dir, &snapshot), EINVAL);
    assert_errno(control_checkpoint_take("a/b", 3, &dir, &snapshot), EINVAL);
    assert_errno(control_checkpoint_take("/a\0", 3, &dir, &snapshot), EINVAL);
    assert_errno(control_checkpoint_take("/a\0b\0c", 6, &dir, &snapshot), EINVAL);
    static char longest[CONTROL_CHECKPOINT_VALUE_MAX + 1];
    memset(longest, '/', CONTROL_CHECKPOINT_VALUE_MAX);
    assert_errno(control_checkpoint_take(longest, CONTROL_CHECKPOINT_VALUE_MAX, &dir, &snapshot),
                 EINVAL);
}

static void test_which_attribute(void **state)
{
    (void)state;
    assert_true(control_is_checkpoint(FS_INO_SNAPSHOTS, CONTROL_XATTR_CHECKPOINT));
    assert_false(control_is_checkpoint(FS_INO_ROOT, CONTROL_XATTR_CHECKPOINT));
    assert_false(control_is_checkpoint(FS_INO_SNAPSHOTS, CONTROL_XATTR_SCRUB));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_made_round_trips),
        cmocka_unit_test(test_what_is_asked_for),
        cmocka_unit_test(test_which_attribute),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
