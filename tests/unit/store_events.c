/* events: what is written of what happens, the picture, turning over, and that nothing depends on
 * it. */
#include "tests/unit/store_rig.h"

#include "store/store_priv.h"

/* ---- the picture ---- */

static struct table_meta *meta(uint64_t number, const char *from, const char *to)
{
    struct table_meta *m = table_meta_new();
    m->number = number;
    m->size_bytes = 1000;
    m->min_seq = m->max_seq = number;
    m->entry_count = 1;
    buf_append(&m->smallest, slice_str(from));
    buf_append(&m->limit, slice_str(to));
    return m;
}

static void add(struct edit *e, int level, uint64_t number, const char *from, const char *to)
{
    struct table_meta *m = meta(number, from, to);
    edit_add_table(e, level, m);
    table_meta_unref(m);
}

static char *picture(const struct edit *made, const struct edit *e, bool keys)
{
    static uint8_t uuid[UUID_SIZE];
    static const struct version_source source = {.dir = "/", .uuid = uuid};
    struct version *empty = version_new(&source), *base = NULL;
    struct buf out = {0};
    assert_ok(version_apply(empty, made, NULL, 0, &base));
    events_picture(&out, base, e, keys);
    buf_put_u8(&out, 0);
    version_unref(base);
    version_unref(empty);
    return (char *)out.data;
}

static void test_picture(void **state)
{
    (void)state;
    struct edit made, e;
    edit_init(&made);
    edit_init(&e);
    made.has_next_file = true;
    made.next_file = 100;
    /* The scale: four tables, 16 columns each. */
    add(&made, 2, 1, "a", "c");
    add(&made, 2, 2, "c", "e");
    add(&made, 2, 3, "e", "g");
    add(&made, 2, 4, "g", "i");
    add(&made, 0, 5, "a", "i");
    add(&made, 0, 6, "d", "f");
    edit_remove_table(&e, 0, 5);
    edit_remove_table(&e, 0, 6);
    edit_remove_table(&e, 2, 2);
    edit_remove_table(&e, 2, 3);
    add(&e, 2, 7, "c", "d");
    add(&e, 2, 8, "d", "d0");
    add(&e, 2, 9, "d0", "g");
    char *said = picture(&made, &e, true);
    assert_string_equal(
        said, "    keys raw:61 to raw:69\n"
              "    - 0                          [==============]\n"
              "    - 0  [==============================================================]\n"
              "    - 2                  [==============][==============]\n"
              "    + 2                  [======]|[=====================]\n");
    free(said);
    said = picture(&made, &e, false);
    assert_null(strstr(said, "raw:"));
    free(said);
    edit_release(&made);
    edit_release(&e);
}

/* The first tables of all: the scale is their own span. */
static void test_picture_of_level_0(void **state)
{
    (void)state;
    struct edit made, e;
    edit_init(&made);
    edit_init(&e);
    for (uint64_t i = 0; i < 12; i++) {
        char from[8] = "k0", to[8] = "k5";
        from[1] = (char)('0' + i % 3);
        add(&e, 0, 10 + i, from, to);
    }
    char *said = picture(&made, &e, true);
    int lines = 0;
    for (const char *c = said; *c; c++)
        lines += *c == '\n';
    assert_int_equal(lines, 1 + 8 + 1);
    assert_non_null(strstr(said, "    + 0  and 4 more\n"));
    assert_non_null(strstr(said, "    keys raw:6b30 to raw:6b35\n"));
    free(said);
    edit_release(&e);
    said = picture(&made, &made, true);
    assert_string_equal(said, "");
    free(said);
    edit_release(&made);
}

static void test_sizes(void **state)
{
    (void)state;
    static const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = {{0, "0 bytes"},
                 {1023, "1023 bytes"},
                 {1024, "1.0 KiB"},
                 {1536, "1.5 KiB"},
                 {64 << 20, "64.0 MiB"},
                 {5ull << 40, "5.0 TiB"},
                 {1ull << 54, "16384.0 TiB"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf out = {0};
        events_bytes(&out, cases[i].bytes);
        assert_slice_str(buf_slice(&out), cases[i].text);
        buf_release(&out);
    }
}

/* ---- of a store ---- */

static char *text_of(struct rig *r, const char *name)
{
    struct buf text = {0};
    if (simdisk_get(r->disk, rig_path(r, name), &text) < 0)
        buf_clear(&text);
    buf_put_u8(&text, 0);
    return (char *)text.data;
}

static void assert_event(struct rig *r, const char *part)
{
    char *text = text_of(r, "EVENTS");
    if (!strstr(text, part))
        fail_msg("no '%s' in:\n%s", part, text);
    free(text);
}

static void test_what_is_told(void **state)
{
    struct rig *r = *state;
    struct store_pin pin;
    char message[STORE_MESSAGE_MAX];
    r->opt.events_bytes = 1 << 20;
    rig_open(r);
    rig_fill(r, 0, 100, 300, 0);
    assert_ok(store_flush(r->s));
    rig_work(r);
    assert_event(r, "Z open: sequence number 1, 0 tables, 0 logs replayed\n");
    assert_event(r, "Z flush: 1 memtables became 1 tables, ");
    assert_event(r, "    keys raw:6b3030303030303030 to raw:6b");
    assert_event(r, "    + 0  [====");
    rig_compact(r);
    assert_event(r, "Z move: 1 tables moved from level 0 to level 6\n    keys ");
    rig_fill(r, 50, 250, 600, 1);
    rig_compact(r);
    assert_event(r, "Z compaction: ");
    assert_event(r, " tables of level 0, 6 to level 6: ");
    assert_event(r, "    - 6  [");
    assert_event(r, "    + 6  [");
    rig_fill(r, 100, 200, 600, 2);
    rig_compact(r);
    assert_event(r, "garbage in blob files: ");
    assert_ok(store_pin_create(r->s, "monday", 7, &pin));
    assert_ok(store_pin_delete(r->s, "monday"));
    assert_event(r, "Z snapshot:  'monday' at ");
    assert_event(r, "Z snapshot:  'monday' is gone\n");
    assert_ok(store_set(r->s, "cache.bytes", "2M", message));
    assert_event(r, "Z setting: cache.bytes changed from 262144 to 2097152\n");
    rig_close(r);
    assert_event(r, "Z close: clean\n");
    rig_open(r);
    rig_close_clean(r); /* the verifier knows the file */
}

static void test_failures_are_told(void **state)
{
    struct rig *r = *state;
    r->opt.events_bytes = 1 << 20;
    rig_open(r);
    rig_put(r, "a", "1");
    simdisk_fail(r->disk, &(struct sim_fault){.call = SIM_SYNC, .path_part = ".log", .err = -EIO});
    assert_errno(store_sync(r->s), EROFS);
    store_close(r->s);
    r->s = NULL;
    assert_event(r, "Z failure: cannot sync the log: ");
    assert_event(r, "; the volume is read-only from now on\n");
}

static void test_turned_over(void **state)
{
    struct rig *r = *state;
    struct store_pin pin;
    r->opt.events_bytes = 2000;
    rig_open(r);
    for (int i = 0; i < 100; i++) {
        assert_ok(store_pin_create(r->s, "a snapshot with a name", 7, &pin));
        assert_ok(store_pin_delete(r->s, "a snapshot with a name"));
        assert_true(rig_file_bytes(r, rig_path(r, "EVENTS")) <= 1000);
    }
    char *old = text_of(r, "EVENTS.1"), *now = text_of(r, "EVENTS");
    assert_true(strlen(old) > 500 && strlen(old) <= 1000 && strlen(now) > 0);
    free(old);
    free(now);
    rig_close(r);
    r->opt.events_bytes = 0;
    assert_ok(r->env->remove(r->env, rig_path(r, "EVENTS")));
    rig_open(r);
    rig_fill(r, 0, 200, 300, 0);
    rig_compact(r);
    rig_close(r);
    now = text_of(r, "EVENTS");
    assert_string_equal(now, "");
    free(now);
}

/* A disk on which nothing can be written to EVENTS, and one that is full. */
static void test_harmless(void **state)
{
    struct rig *r = *state;
    r->opt.events_bytes = 1 << 20;
    rig_open(r);
    for (enum sim_call call = SIM_OPEN; call < SIM_CALLS; call++)
        simdisk_fail(
            r->disk,
            &(struct sim_fault){.call = call, .path_part = "EVENTS", .err = -EIO, .sticky = true});
    rig_fill(r, 0, 400, 300, 0);
    rig_compact(r);
    rig_assert_fill(r, 0, 400, 300, 0);
    assert_null(store_failure(r->s));
    simdisk_heal(r->disk);
    rig_close_clean(r);
}

/* One that only reads leaves no trace. */
static void test_read_only(void **state)
{
    struct rig *r = *state;
    r->opt.events_bytes = 1 << 20;
    rig_open(r);
    rig_fill(r, 0, 100, 300, 0);
    rig_close(r);
    uint64_t digest = simdisk_digest(r->disk);
    r->opt.read_only = true;
    rig_open(r);
    rig_assert_fill(r, 0, 100, 300, 0);
    rig_close(r);
    assert_int_equal(simdisk_digest(r->disk), digest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_picture),  cmocka_unit_test(test_picture_of_level_0),
        cmocka_unit_test(test_sizes),    RIG_SIM(test_what_is_told),
        RIG_SIM(test_failures_are_told), RIG_SIM(test_turned_over),
        RIG_SIM(test_harmless),          RIG_SIM(test_read_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
