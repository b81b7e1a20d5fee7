/* control: compaction on demand: the text by which the daemon tells how far it is, and the one that
 * runs at a time. */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mount/control.h"
#include "tests/unit/unit.h"

static void test_status_round_trips(void **state)
{
    (void)state;
    struct control_compact_status s = {.running = true,
                                       .number = UINT64_MAX,
                                       .result = -EINTR,
                                       .jobs = UINT64_MAX,
                                       .done_bytes = UINT64_MAX - 1,
                                       .total_bytes = UINT64_MAX,
                                       .before_bytes = UINT64_MAX,
                                       .after_bytes = 7},
                                  got;
    char text[CONTROL_COMPACT_TEXT_MAX];
    control_compact_print(&s, text);
    assert_int_equal(control_compact_parse(text, &got), 0);
    assert_true(got.running && got.number == UINT64_MAX && got.result == -EINTR &&
                got.jobs == UINT64_MAX && got.done_bytes == UINT64_MAX - 1 &&
                got.total_bytes == UINT64_MAX && got.before_bytes == UINT64_MAX &&
                got.after_bytes == 7);
    strcat(text, " 1");
    assert_true(control_compact_parse(text, &got) < 0);
    assert_true(control_compact_parse("", &got) < 0);
    assert_true(control_compact_parse("1 2 3", &got) < 0);
    assert_int_equal(control_compact_parse("0 1 0 2 3 4 5 6", &got), 0);
    assert_true(control_compact_parse("0 1 5 2 3 4 5 6", &got) < 0); /* no error is positive */
    assert_true(control_compact_parse("0 1 0 2 5 4 5 6", &got) < 0); /* more than there is */
}

static void test_which_attribute(void **state)
{
    (void)state;
    assert_true(control_is_compact(FS_INO_ROOT, CONTROL_XATTR_COMPACT));
    assert_false(control_is_compact(FS_INO_FIRST, CONTROL_XATTR_COMPACT));
    assert_false(control_is_compact(FS_INO_ROOT, CONTROL_XATTR_SCRUB));
}

/* ---- on a volume ---- */

struct volume {
    char dir[32];
    struct fs *fs;
    struct control_compact *compact;
};

static int set_up(void **state)
{
    struct volume *v = mem_zalloc(sizeof *v);
    struct fs_make_options make;
    struct fs_options o;
    strcpy(v->dir, "/tmp/varve-compact.XXXXXX");
    fs_make_options_init(&make);
    fs_options_init(&o);
    assert_non_null(mkdtemp(v->dir));
    assert_int_equal(fs_make(v->dir, &make), 0);
    assert_int_equal(fs_open(v->dir, &o, &v->fs), 0);
    v->compact = control_compact_new(v->fs);
    *state = v;
    return 0;
}

static int tear_down(void **state)
{
    struct volume *v = *state;
    control_compact_end(v->compact);
    control_compact_free(v->compact);
    assert_int_equal(fs_close(v->fs), 0);
    char *command = mem_printf("rm -rf %s", v->dir);
    assert_int_equal(system(command), 0);
    free(command);
    free(v);
    return 0;
}

/* A file that is written anew over and over, so that there is something to drop. */
static void overwrite(struct volume *v)
{
    struct fs_cred cred = {0};
    struct fs_attr attr;
    uint8_t data[1000];
    if (fs_lookup(v->fs, FS_INO_ROOT, "file", &attr) < 0)
        assert_int_equal(fs_mknod(v->fs, FS_INO_ROOT, "file", S_IFREG | 0600, 0, &cred, &attr), 0);
    for (unsigned i = 0; i < 200; i++) {
        memset(data, (int)i, sizeof data);
        assert_int_equal(fs_write(v->fs, attr.ino, i * sizeof data, data, sizeof data), 0);
    }
}

static struct control_compact_status wait_for_end(struct volume *v)
{
    struct control_compact_status s;
    for (control_compact_get(v->compact, &s); s.running; control_compact_get(v->compact, &s))
        usleep(1000);
    return s;
}

static void test_runs_again_and_again(void **state)
{
    struct volume *v = *state;
    struct control_compact_status s;
    control_compact_get(v->compact, &s);
    assert_true(s.number == 0 && !s.running);
    for (uint64_t i = 1; i <= 5; i++) {
        overwrite(v);
        assert_int_equal(control_compact_set(v->compact, "start", 5), 0);
        s = wait_for_end(v);
        assert_true(s.number == i && s.result == 0);
        assert_true(s.before_bytes > 0 && s.after_bytes > 0);
    }
    assert_int_equal(control_compact_set(v->compact, "stop", 4), 0); /* nothing to stop */
    assert_int_equal(wait_for_end(v).result, 0);
}

static void test_words(void **state)
{
    struct volume *v = *state;
    assert_int_equal(control_compact_set(v->compact, "starts", 6), -EINVAL);
    assert_int_equal(control_compact_set(v->compact, "", 0), -EINVAL);
    assert_int_equal(wait_for_end(v).number, 0);
}

/* Whenever it is given up, one that runs says so, and what is in the files stays. */
static void test_given_up(void **state)
{
    struct volume *v = *state;
    struct fs_attr attr;
    uint8_t byte;
    size_t got;
    unsigned given_up = 0;
    for (unsigned i = 0; i < 50; i++) {
        overwrite(v);
        int err = control_compact_set(v->compact, "start", 5);
        assert_int_equal(err, 0);
        assert_int_equal(control_compact_set(v->compact, "stop", 4), 0);
        err = control_compact_set(v->compact, "start", 5); /* none, while that one ends */
        assert_true(err == 0 || err == -EAGAIN);
        int result = wait_for_end(v).result;
        assert_true(result == 0 || result == -EINTR);
        given_up += result == -EINTR;
    }
    assert_true(given_up > 0);
    assert_int_equal(fs_lookup(v->fs, FS_INO_ROOT, "file", &attr), 0);
    assert_int_equal(fs_read(v->fs, attr.ino, 150 * 1000, &byte, 1, &got), 0);
    assert_true(got == 1 && byte == 150);
}

static void test_refused_after_the_end(void **state)
{
    struct volume *v = *state;
    overwrite(v);
    assert_int_equal(control_compact_set(v->compact, "start", 5), 0);
    control_compact_end(v->compact);
    control_compact_end(v->compact);
    struct control_compact_status s;
    control_compact_get(v->compact, &s);
    assert_false(s.running);
    assert_int_equal(control_compact_set(v->compact, "start", 5), -ENOTCONN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status_round_trips),
        cmocka_unit_test(test_which_attribute),
        cmocka_unit_test_setup_teardown(test_runs_again_and_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_words, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_given_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refused_after_the_end, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
