/* live and config: the files of /.varve: what is shown, what a write changes, and what it refuses.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mount/config.h"
#include "mount/live.h"
#include "mount/report.h"
#include "tests/unit/unit.h"

struct volume {
    char dir[32];
    struct fs *fs;
    struct live *live;
};

static int set_up(void **state)
{
    struct volume *v = mem_zalloc(sizeof *v);
    struct fs_make_options make;
    struct fs_options o;
    strcpy(v->dir, "/tmp/varve-live.XXXXXX");
    fs_make_options_init(&make);
    make.uid = 1234;
    make.gid = 5678;
    fs_options_init(&o);
    assert_non_null(mkdtemp(v->dir));
    assert_int_equal(fs_make(v->dir, &make), 0);
    assert_int_equal(fs_open(v->dir, &o, &v->fs), 0);
    v->live = live_new(v->fs);
    *state = v;
    return 0;
}

static int tear_down(void **state)
{
    struct volume *v = *state;
    live_free(v->live);
    assert_int_equal(fs_close(v->fs), 0);
    char *command = mem_printf("rm -rf %s", v->dir);
    assert_int_equal(system(command), 0);
    free(command);
    free(v);
    return 0;
}

/* ---- config ---- */

static int apply(struct volume *v, const char *text, char message[STORE_MESSAGE_MAX])
{
    return config_apply(v->fs, slice_str(text), message);
}

/* Is `line` one of the lines that config shows? */
static bool shows(struct volume *v, const char *line)
{
    struct buf text = {0};
    char *whole = mem_printf("\n%s\n", line);
    config_print(v->fs, NULL, &text);
    buf_put_u8(&text, 0);
    bool found = strstr((const char *)text.data, whole) != NULL;
    buf_release(&text);
    free(whole);
    return found;
}

static void test_lines_are_set(void **state)
{
    struct volume *v = *state;
    char message[STORE_MESSAGE_MAX];
    assert_true(shows(v, "compression.level=1"));
    assert_int_equal(apply(v, "compression.level=7\n", message), 0);
    assert_string_equal(message, "");
    assert_true(shows(v, "compression.level=7"));
    assert_int_equal(apply(v, "  cache.bytes =\t8M \r\n\n# a note\nscrub.rate=0", message), 0);
    assert_true(shows(v, "cache.bytes=8388608"));
    assert_true(shows(v, "scrub.rate=0"));
    assert_int_equal(apply(v, "", message), 0);
    assert_int_equal(apply(v, "compression.level=2\ncompression.level=3\n", message), 0);
    assert_true(shows(v, "compression.level=3"));
}

static void test_what_is_shown_may_be_written_back(void **state)
{
    struct volume *v = *state;
    struct buf before = {0}, after = {0};
    char message[STORE_MESSAGE_MAX];
    config_print(v->fs, "something was wrong", &before);
    assert_int_equal(config_apply(v->fs, buf_slice(&before), message), 0);
    config_print(v->fs, "something was wrong", &after);
    assert_true(slice_eq(buf_slice(&before), buf_slice(&after)));
    assert_true(before.len < 4096); /* any program writes it back at once */
    buf_release(&before);
    buf_release(&after);
}

static void test_all_or_none(void **state)
{
    struct volume *v = *state;
    static const struct {
        const char *text;
        int err;
        const char *why;
    } wrong[] = {
        {"cache.bytes=16M\nno.such=1\n", -EINVAL, "line 2: no.such"},
        {"cache.bytes=16M\n\ncompression.level=20\n", -ERANGE, "line 3: compression.level"},
        {"cache.bytes=16M\ncompression.level=much\n", -EINVAL, "line 2: compression.level"},
        {"cache.bytes=16M\ncompression.level\n", -EINVAL, "line 2: this is not NAME=VALUE"},
        {"cache.bytes=16M\n=5\n", -EINVAL, "line 2: this is not NAME=VALUE"},
        {"cache.bytes=16M\nworkers=\n", -EINVAL, "line 2: this is not NAME=VALUE"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char message[STORE_MESSAGE_MAX];
        assert_int_equal(apply(v, wrong[i].text, message), wrong[i].err);
        assert_true(strncmp(message, wrong[i].why, strlen(wrong[i].why)) == 0);
        assert_true(shows(v, "cache.bytes=67108864"));
    }
}

static void test_strange_bytes_are_refused(void **state)
{
    struct volume *v = *state;
    char message[STORE_MESSAGE_MAX], longer[400];
    assert_int_equal(config_apply(v->fs, slice_of("workers=1\0002\n", 12), message), -EINVAL);
    memset(longer, 'x', sizeof longer - 3);
    memcpy(longer + sizeof longer - 3, "=1", 3);
    assert_int_equal(apply(v, longer, message), -EINVAL);
    assert_true(shows(v, "workers=2"));
}

/* ---- nodes ---- */

static void read_whole(struct volume *v, uint64_t node, struct buf *out)
{
    char piece[100];
    size_t got;
    buf_clear(out);
    do {
        assert_int_equal(live_read(v->live, node, out->len, piece, sizeof piece, &got), 0);
        buf_append_bytes(out, piece, got);
    } while (got > 0);
    buf_put_u8(out, 0);
    out->len--;
}

static void test_files(void **state)
{
    struct volume *v = *state;
    const char *name;
    struct fs_attr listed, attr;
    struct buf text = {0};
    uint64_t node;
    unsigned count = 0;
    for (; live_list(count, &name, &listed); count++) {
        assert_int_equal(live_lookup(v->live, name, &node, &attr), 0);
        assert_true(live_is(node));
        assert_false(live_is(attr.ino)); /* what stat(2) shows is no node */
        assert_int_equal(attr.ino, listed.ino);
        assert_int_equal(attr.mode, listed.mode);
        assert_int_equal(attr.uid, 1234);
        assert_int_equal(attr.gid, 5678);
        read_whole(v, node, &text);
        assert_int_equal(text.len, attr.size);
        assert_true(text.len > 0 && text.data[text.len - 1] == '\n');
        assert_int_equal(live_check_writable(node), strcmp(name, "config") == 0 ? 0 : -EACCES);
        live_forget(v->live, node, 1);
        assert_int_equal(live_getattr(v->live, node, &attr), -ESTALE);
    }
    assert_int_equal(count, 3);
    assert_int_equal(live_lookup(v->live, "state", &node, &attr), 1);
    for (uint64_t ino = 0; ino < 64; ino++)
        assert_false(live_is(ino));
    buf_release(&text);
}

/* Whoever holds a node sees the same text, whatever happens meanwhile. */
static void test_texts_stay(void **state)
{
    struct volume *v = *state;
    struct fs_attr attr;
    struct buf before = {0}, after = {0};
    uint64_t held, fresh;
    assert_int_equal(live_lookup(v->live, "config", &held, &attr), 0);
    read_whole(v, held, &before);
    assert_int_equal(live_write(v->live, held, "compression.level=9\n", 20), 0);
    read_whole(v, held, &after);
    assert_true(slice_eq(buf_slice(&before), buf_slice(&after)));
    assert_int_equal(live_lookup(v->live, "config", &fresh, &attr), 0);
    assert_true(fresh != held);
    read_whole(v, fresh, &after);
    assert_non_null(strstr((const char *)after.data, "\ncompression.level=9\n"));
    live_forget(v->live, held, 1);
    live_forget(v->live, fresh, 1);
    buf_release(&before);
    buf_release(&after);
}

static void test_refusals_are_shown(void **state)
{
    struct volume *v = *state;
    struct fs_attr attr;
    struct buf text = {0};
    uint64_t node;
    assert_int_equal(live_lookup(v->live, "stats", &node, &attr), 0);
    assert_int_equal(live_write(v->live, node, "workers=1\n", 10), -EACCES);
    live_forget(v->live, node, 1);
    assert_int_equal(live_lookup(v->live, "config", &node, &attr), 0);
    assert_int_equal(live_write(v->live, node, "workers=0\n", 10), -ERANGE);
    live_forget(v->live, node, 1);
    assert_int_equal(live_lookup(v->live, "config", &node, &attr), 0);
    read_whole(v, node, &text);
    assert_non_null(strstr((const char *)text.data, "\n" CONFIG_ERROR_LINE "line 1: workers"));
    assert_int_equal(live_write(v->live, node, "workers=3\n", 10), 0);
    live_forget(v->live, node, 1);
    assert_int_equal(live_lookup(v->live, "config", &node, &attr), 0);
    read_whole(v, node, &text);
    assert_null(strstr((const char *)text.data, CONFIG_ERROR_LINE));
    live_forget(v->live, node, 1);
    buf_release(&text);
}

/* Pages that come back from the kernel's cache begin with what was in them. */
static void test_own_text(void **state)
{
    struct volume *v = *state;
    struct fs_attr attr;
    struct buf text = {0};
    uint64_t node, other;
    assert_int_equal(live_lookup(v->live, "config", &node, &attr), 0);
    read_whole(v, node, &text);
    size_t len = text.len;
    buf_append(&text, slice_str("workers=3\n"));
    assert_int_equal(live_own(v->live, node, 0, text.data, text.len), len);
    assert_int_equal(live_own(v->live, node, len - 7, text.data + len - 7, 7), 7);
    assert_int_equal(live_own(v->live, node, 0, text.data, len - 1), 0); /* not to its end */
    assert_int_equal(live_own(v->live, node, len, text.data + len, 10), 0);
    assert_int_equal(live_own(v->live, node, UINT64_MAX, text.data, 1), 0);
    text.data[5] ^= 1;
    assert_int_equal(live_own(v->live, node, 0, text.data, text.len), 0);
    live_retire(v->live, node);
    assert_int_equal(live_lookup(v->live, "config", &other, &attr), 0);
    assert_true(other != node);
    assert_int_equal(live_own(v->live, node + (UINT64_C(9) << 50), 0, text.data, text.len), 0);
    live_forget(v->live, node, 1);
    live_forget(v->live, other, 1);
    buf_release(&text);
}

/* A number that is in use is passed over, also when they come round. */
static void test_numbers_come_round(void **state)
{
    struct volume *v = *state;
    struct fs_attr attr;
    uint64_t held, node = 0;
    assert_int_equal(live_lookup(v->live, "config", &held, &attr), 0);
    assert_int_equal(live_write(v->live, held, "\n", 1), 0);
    for (int i = 0; i < 70000; i++) {
        assert_int_equal(live_lookup(v->live, "config", &node, &attr), 0);
        assert_true(node != held);
        assert_int_equal(live_write(v->live, node, "\n", 1), 0); /* the next is another */
        live_forget(v->live, node, 1);
    }
    assert_int_equal(live_getattr(v->live, held, &attr), 0);
    live_forget(v->live, held, 1);
}

/* ---- figures ---- */

static void test_figures_follow(void **state)
{
    struct volume *v = *state;
    struct fs_attr attr;
    struct buf text = {0};
    const struct fs_cred cred = {0};
    assert_int_equal(fs_mknod(v->fs, FS_INO_ROOT, "f", S_IFREG | 0644, 0, &cred, &attr), 0);
    assert_int_equal(report_metrics(v->fs, &text), 0);
    buf_put_u8(&text, 0);
    assert_non_null(strstr((const char *)text.data, "\nvarvefs_inodes 2\n"));
    assert_non_null(
        strstr((const char *)text.data, "\nvarvefs_space_state{state=\"healthy\"} 1\n"));
    assert_non_null(strstr((const char *)text.data, "\nvarvefs_failed 0\n"));
    buf_clear(&text);
    assert_int_equal(report_activity(v->fs, false, &text), 0);
    buf_put_u8(&text, 0);
    assert_non_null(strstr((const char *)text.data, "inodes in use"));
    buf_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_lines_are_set, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_shown_may_be_written_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_all_or_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_strange_bytes_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_texts_stay, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refusals_are_shown, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_own_text, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_numbers_come_round, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_figures_follow, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
