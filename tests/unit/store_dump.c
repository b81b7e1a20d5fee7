/* dump: what is shown of each kind of file, sound, damaged and cut off; and a key's history. */
#include "tests/unit/store_rig.h"

/* ---- what was shown, as lines of text ---- */

struct shown {
    struct buf text;
    uint32_t items, stop_after;
};

static int take(void *ctx, const struct store_item *item)
{
    struct shown *s = ctx;
    char line[512];
    assert_true(item->count <= STORE_FACTS_MAX);
    buf_append(&s->text, slice_str(item->what));
    for (uint32_t i = 0; i < item->count; i++) {
        const struct store_fact *f = &item->facts[i];
        int len = f->kind == FACT_TEXT ? snprintf(line, sizeof line, " %s=%s", f->name, f->text)
                  : f->kind == FACT_KEY || f->kind == FACT_VALUE
                      ? snprintf(line, sizeof line, " %s=%.*s", f->name,
                                 (int)(f->bytes.len < 40 ? f->bytes.len : 40),
                                 (const char *)f->bytes.data)
                      : snprintf(line, sizeof line, " %s=%" PRIu64, f->name, f->number);
        buf_append_bytes(&s->text, line, (size_t)len);
    }
    buf_put_u8(&s->text, '\n');
    return ++s->items == s->stop_after ? 42 : 0;
}

static struct shown dump(struct rig *r, const char *name, const struct store_dump_options *opt)
{
    struct shown s = {0};
    assert_ok(store_dump(r->dir, &r->opt, name, opt, take, &s));
    buf_put_u8(&s.text, 0);
    if (getenv("VERBOSE"))
        fprintf(stderr, "== %s\n%s", name ? name : "manifest", (char *)s.text.data);
    return s;
}

static bool has(const struct shown *s, const char *part)
{
    return strstr((const char *)s->text.data, part) != NULL;
}

/* Lines that begin so. */
static uint32_t count(const struct shown *s, const char *what)
{
    uint32_t n = 0;
    size_t len = strlen(what);
    for (const char *line = (const char *)s->text.data; *line; line = strchr(line, '\n') + 1)
        n += strncmp(line, what, len) == 0 && line[len] == ' ';
    return n;
}

static const struct store_dump_options all = {.entries = true, .blocks = true};

static const char *nth(struct rig *r, enum file_kind kind, int i)
{
    static char name[64];
    struct rig_names n = rig_files(r, kind);
    assert_true(n.count > i);
    const char *path = rig_file(r, kind, n.number[i]);
    strcpy(name, strrchr(path, '/') + 1);
    return name;
}

/* ---- sound files ---- */

static void test_table(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    rig_fill(r, 0, 200, 60, 9); /* for the tombstones to hide */
    assert_ok(store_flush(r->s));
    uint64_t below = rig_stats(r).table_entries;
    rig_fill(r, 0, 200, 60, 0);
    rig_delete(r, rig_key(7));
    rig_delete_range(r, rig_key(50), rig_key(60));
    rig_fill(r, 300, 303, 600, 0); /* in a blob file, once flushed */
    assert_ok(store_flush(r->s));
    struct shown s = dump(r, nth(r, FILE_TABLE, 1), &all); /* while the store is open */
    assert_int_equal(count(&s, "damage"), 0);
    assert_int_equal(count(&s, "file"), 1);
    assert_int_equal(count(&s, "footer"), 1);
    assert_int_equal(count(&s, "properties"), 1);
    assert_int_equal(count(&s, "filter"), 1);
    assert_int_equal(count(&s, "tombstone"), 1);
    assert_true(has(&s, "tombstone start=k00000050 end=k00000060"));
    assert_true(has(&s, "refers blob_file="));
    assert_true(has(&s, " values=3 bytes="));
    assert_true(has(&s, "entry key=k00000007"));
    assert_true(has(&s, "entry key=k00000301 seq=404 type=put-blob blob_file="));
    assert_true(has(&s, " value_bytes=600"));
    uint32_t entries = count(&s, "entry");
    assert_true(has(&s, "min_seq=201 max_seq=405") || has(&s, "max_seq=405"));
    assert_int_equal(count(&s, "index") + 1, count(&s, "block")); /* the index is a block, too */
    assert_int_equal(rig_stats(r).table_entries, below + entries);
    buf_release(&s.text);

    struct store_dump_options part = all;
    part.from = slice_str("k00000100");
    part.to = slice_str("k00000110");
    s = dump(r, nth(r, FILE_TABLE, 1), &part);
    assert_int_equal(count(&s, "entry"), 10);
    assert_int_equal(count(&s, "tombstone"), 0);
    buf_release(&s.text);
    part = all;
    part.limit = 5;
    s = dump(r, nth(r, FILE_TABLE, 1), &part);
    assert_int_equal(count(&s, "entry"), 5);
    buf_release(&s.text);
    part = (struct store_dump_options){0};
    s = dump(r, nth(r, FILE_TABLE, 1), &part);
    assert_int_equal(count(&s, "entry") + count(&s, "block") + count(&s, "index"), 0);
    assert_int_equal(count(&s, "properties"), 1);
    buf_release(&s.text);
    rig_close_clean(r);
}

static void test_log_and_blob(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    rig_put(r, "one", "1");
    rig_merge_op(r, "one", "more");
    rig_delete(r, "two");
    rig_delete_range(r, "a", "b");
    rig_fill(r, 0, 2, 5000, 0); /* written to a blob file at once */
    assert_ok(store_sync(r->s));
    struct shown s = dump(r, nth(r, FILE_LOG, 0), &all);
    assert_int_equal(count(&s, "damage"), 0);
    assert_int_equal(count(&s, "record"), 7); /* and the one that says where the log begins */
    assert_true(has(&s, "entry key=one seq=1 type=put value_bytes=1 value=1\n"));
    assert_true(has(&s, "entry key=one seq=2 type=merge value_bytes=4 value=more\n"));
    assert_true(has(&s, "entry key=two seq=3 type=delete\n"));
    assert_true(has(&s, "entry key=a seq=4 type=range-delete end=b\n"));
    assert_true(has(&s, "entry key=k00000001 seq=6 type=put-blob"));
    buf_release(&s.text);
    s = dump(r, nth(r, FILE_BLOB, 0), &all);
    assert_int_equal(count(&s, "value"), 2);
    assert_true(has(&s, " value_bytes=5000 value="));
    buf_release(&s.text);
    rig_close_clean(r);
}

static void test_manifest(void **state)
{
    struct rig *r = *state;
    struct store_pin pin;
    rig_open(r);
    rig_fill(r, 0, 100, 600, 0);
    assert_ok(store_flush(r->s));
    assert_ok(store_pin_create(r->s, "monday", 7, &pin));
    assert_ok(store_pin_delete(r->s, "monday"));
    struct shown s = dump(r, NULL, &all);
    assert_int_equal(count(&s, "damage"), 0);
    assert_int_equal(count(&s, "current"), 1);
    assert_true(count(&s, "edit") >= 4);
    assert_true(has(&s, "table-added level=0 number="));
    assert_true(has(&s, " smallest=k00000000 limit=k00000099"));
    assert_true(has(&s, "blob-added number="));
    assert_true(has(&s, "pin-added name=monday seq=101 tag=7 made="));
    assert_true(has(&s, "pin-removed name=monday"));
    buf_release(&s.text);
    s = dump(r, "CURRENT", &all);
    assert_int_equal(s.items, 1);
    buf_release(&s.text);
    rig_close_clean(r);
}

/* ---- damage ---- */

static void test_damaged_table(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    rig_fill(r, 0, 400, 60, 0);
    assert_ok(store_flush(r->s));
    rig_close(r);
    char name[64];
    strcpy(name, nth(r, FILE_TABLE, 0));
    const char *path = rig_path(r, name);
    uint64_t size = rig_file_bytes(r, path);
    struct shown sound = dump(r, name, &all);
    uint32_t entries = count(&sound, "entry");
    assert_int_equal(entries, 400);
    buf_release(&sound.text);
    /* One block lost: all others are shown. */
    assert_ok(simdisk_flip(r->disk, path, FILE_HEADER_SIZE + 500, 1));
    struct shown s = dump(r, name, &all);
    assert_int_equal(count(&s, "damage"), 1);
    assert_true(has(&s, "damage offset=96 why="));
    assert_true(count(&s, "entry") < entries && count(&s, "entry") >= entries - 40);
    assert_int_equal(count(&s, "properties"), 1);
    buf_release(&s.text);
    /* The footer, too. */
    assert_ok(simdisk_flip(r->disk, path, size - 50, 1));
    s = dump(r, name, &all);
    assert_true(count(&s, "entry") >= entries - 40);
    assert_true(has(&s, "why=the footer does not verify"));
    assert_int_equal(count(&s, "footer"), 0);
    buf_release(&s.text);
    /* Cut off in the middle. */
    assert_ok(simdisk_truncate(r->disk, path, size / 2));
    s = dump(r, name, &all);
    assert_true(count(&s, "entry") > entries / 4 && count(&s, "entry") < entries);
    buf_release(&s.text);
    /* The header: nothing can be verified without it. */
    assert_ok(simdisk_flip(r->disk, path, 50, 1));
    struct shown none = {0};
    assert_errno(store_dump(r->dir, &r->opt, name, &all, take, &none), EIO);
    assert_int_equal(none.items, 0);
    buf_release(&none.text);
}

static void test_torn_log(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    rig_put(r, "one", "1");
    rig_put(r, "two", "2");
    rig_put(r, "three", "3");
    assert_ok(store_sync(r->s));
    struct rig *k = rig_kill(r);
    const char *path = rig_path(k, nth(k, FILE_LOG, 0));
    assert_ok(simdisk_truncate(k->disk, path, rig_stats(r).log_bytes - 3));
    struct shown s = dump(k, nth(k, FILE_LOG, 0), &all);
    assert_int_equal(count(&s, "entry"), 2);
    assert_int_equal(count(&s, "damage"), 1);
    buf_release(&s.text);
    rig_drop(k);
    rig_close_clean(r);
}

/* Records that are together in one frame are shown one by one. */
static void test_rows(void **state)
{
    struct rig *r = *state;
    r->opt.log_row_bytes = 512;
    rig_open(r);
    rig_fill(r, 0, 20, 60, 0);
    struct rig *k = rig_kill(r);
    struct shown s = dump(r, "TAIL", &all);
    assert_int_equal(count(&s, "record"), 20);
    assert_true(has(&s, "where=in TAIL alone"));
    buf_release(&s.text);
    assert_ok(store_sync(r->s));
    s = dump(r, nth(r, FILE_LOG, 0), &all);
    assert_int_equal(count(&s, "row"), 1);
    assert_int_equal(count(&s, "record"), 21);
    assert_int_equal(count(&s, "entry"), 20);
    assert_int_equal(count(&s, "damage"), 0);
    buf_release(&s.text);
    /* Killed before TAIL began anew: what it has is in the row. */
    struct buf log = {0};
    assert_ok(simdisk_get(r->disk, rig_path(r, nth(r, FILE_LOG, 0)), &log));
    assert_ok(simdisk_put(k->disk, rig_path(k, nth(k, FILE_LOG, 0)), buf_slice(&log)));
    s = dump(k, "TAIL", &all);
    assert_int_equal(count(&s, "record"), 20);
    assert_true(has(&s, "where=also in the log"));
    assert_false(has(&s, "where=in TAIL alone"));
    buf_release(&s.text);
    buf_release(&log);
    rig_drop(k);
    rig_close_clean(r);
}

/* What is acknowledged and not in the log's file yet is in TAIL, and shown, until a sync; what is
 * behind it is no damage. */
static void test_tail(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    rig_fill(r, 0, 10, 60, 0);
    assert_ok(store_sync(r->s));
    rig_fill(r, 10, 13, 60, 0);
    struct shown s = dump(r, "TAIL", &all);
    assert_int_equal(count(&s, "tail"), 1);
    assert_int_equal(count(&s, "damage"), 0);
    assert_true(has(&s, "where=in TAIL alone"));
    for (uint64_t i = 10; i < 13; i++) {
        char key[40];
        snprintf(key, sizeof key, "key=%s ", rig_key(i));
        assert_true(has(&s, key));
    }
    assert_false(has(&s, "key=k00000013"));
    buf_release(&s.text);
    assert_ok(store_sync(r->s));
    s = dump(r, "TAIL", &all);
    assert_int_equal(count(&s, "tail"), 1);
    assert_int_equal(count(&s, "damage"), 0);
    assert_false(has(&s, "in TAIL alone"));
    buf_release(&s.text);
    /* A record that is damaged, and what is behind it, is not there; a header that is, is told. */
    rig_fill(r, 20, 23, 60, 0);
    struct rig *k = rig_kill(r);
    char *path = name_tail(k->dir);
    assert_ok(simdisk_flip(k->disk, path, 64 + 40, 1));
    s = dump(k, "TAIL", &all);
    assert_int_equal(count(&s, "record"), 0);
    buf_release(&s.text);
    assert_ok(simdisk_flip(k->disk, path, 10, 1));
    s = dump(k, "TAIL", &all);
    assert_int_equal(count(&s, "tail"), 0);
    assert_int_equal(count(&s, "damage"), 1);
    buf_release(&s.text);
    rig_drop(k);
    free(path);
    rig_close_clean(r);
    struct shown none = {0};
    assert_true(store_dump(r->dir, &r->opt, "TAIL", &all, take, &none) < 0);
}

static void test_names_that_are_none(void **state)
{
    struct rig *r = *state;
    struct shown s = {0};
    rig_open(r);
    static const char *const bad[] = {"LOCK", "000001.tmp", "x", "", "../000001.table", "000001"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_errno(store_dump(r->dir, &r->opt, bad[i], &all, take, &s), EINVAL);
    assert_true(store_dump(r->dir, &r->opt, "000999.table", &all, take, &s) < 0);
    assert_int_equal(s.items, 0);
    /* The caller ends it. */
    rig_fill(r, 0, 100, 60, 0);
    assert_ok(store_sync(r->s));
    s.stop_after = 3;
    assert_int_equal(store_dump(r->dir, &r->opt, nth(r, FILE_LOG, 0), &all, take, &s), 42);
    assert_int_equal(s.items, 3);
    buf_release(&s.text);
    rig_close_clean(r);
}

/* ---- a key's history ---- */

static struct shown history(struct rig *r, const char *key, uint64_t limit)
{
    struct shown s = {0};
    struct store_dump_options opt = {.limit = limit};
    assert_ok(store_dump_key(r->s, slice_str(key), &opt, take, &s));
    buf_put_u8(&s.text, 0);
    return s;
}

static void test_history(void **state)
{
    struct rig *r = *state;
    struct store_pin pins[3];
    rig_open(r);
    rig_put(r, "key", "first");
    assert_ok(store_pin_create(r->s, "a", 1, &pins[0]));
    rig_put(r, "key", "second");
    rig_put(r, "kez", "other");
    rig_compact(r);
    assert_ok(store_pin_create(r->s, "b", 2, &pins[1]));
    rig_delete_range(r, "ka", "kf");
    assert_ok(store_pin_create(r->s, "c", 3, &pins[2]));
    rig_put(r, "key", "third");
    assert_ok(store_flush(r->s));
    rig_merge_op(r, "key", "+");
    struct shown s = history(r, "key", 0);
    /* Newest first, each with its place. */
    const char *text = (const char *)s.text.data;
    const char *merge = strstr(text, "seq=6 type=merge where=active memtable, log ");
    const char *third = strstr(text, "seq=5 type=put where=level 0, table ");
    const char *range = strstr(text, "tombstone key=key seq=4 where=level 0, table ");
    const char *second = strstr(text, "seq=2 type=put where=level ");
    const char *first = strstr(text, "seq=1 type=put where=level ");
    assert_true(merge && third && range && second && first);
    assert_true(merge < third && merge < range && third < second && range < second &&
                second < first);
    assert_int_equal(count(&s, "entry"), 4);
    assert_int_equal(count(&s, "tombstone"), 1);
    buf_release(&s.text);
    s = history(r, "key", 2);
    assert_int_equal(s.items, 2);
    buf_release(&s.text);
    s = history(r, "nothing", 0);
    assert_int_equal(s.items, 0);
    buf_release(&s.text);
    rig_close_clean(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_SIM(test_table),         RIG_SIM(test_log_and_blob), RIG_SIM(test_manifest),
        RIG_SIM(test_damaged_table), RIG_SIM(test_torn_log),     RIG_SIM(test_names_that_are_none),
        RIG_SIM(test_history),       RIG_SIM(test_rows),         RIG_SIM(test_tail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
