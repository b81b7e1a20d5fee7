/* strength: which level of zstd goes for what, and that a store goes by it, live. */
#include "tests/unit/store_rig.h"

#include "store/strength.h"

static char message[STORE_MESSAGE_MAX];

/* "0" to "3"; "a" and so on: a level of its own, from 0. */
static uint32_t by_first_byte(void *ctx, struct slice key)
{
    (void)ctx;
    return key.data[0] >= 'a' ? STORE_CLASS_ZSTD + (uint32_t)(key.data[0] - 'a')
                              : (uint32_t)(key.data[0] - '0');
}
static const struct store_classes classes = {.of = by_first_byte};

static void choose(struct store_options *o, const char *name, const char *value)
{
    assert_ok(store_options_set(o, name, value, message));
}

static void test_precedence(void **state)
{
    (void)state;
    struct store_options o;
    struct strength s;
    store_options_init(&o);
    o.classes = &classes;
    choose(&o, "compression.level", "5");
    choose(&o, "compression.level0", "0");
    choose(&o, "compression.level6", "9");
    choose(&o, "compression.class2", "3");
    choose(&o, "compression.class3", "0");
    static const int expected[STORE_LEVELS] = {0, 5, 5, 5, 5, 5, 9};
    for (int level = 0; level < STORE_LEVELS; level++) {
        strength_of_tables(&s, &o, level);
        assert_int_equal(s.rest, expected[level]);
        assert_int_equal(strength_of_key(&s, slice_str("0a")), expected[level]);
        assert_int_equal(strength_of_key(&s, slice_str("1a")), expected[level]);
        assert_int_equal(strength_of_key(&s, slice_str("2a")), 3);
        assert_int_equal(strength_of_key(&s, slice_str("3a")), 0);
        /* the strongest of several counts */
        assert_int_equal(strength_of_mask(&s, 1 << 3), 0);
        assert_int_equal(strength_of_mask(&s, 1 << 2 | 1 << 3), 3);
        assert_int_equal(strength_of_mask(&s, 1 << 1 | 1 << 2),
                         expected[level] > 3 ? expected[level] : 3);
    }
    strength_of_values(&s, &o);
    assert_int_equal(strength_of_key(&s, slice_str("1a")), 5);
    assert_int_equal(strength_of_key(&s, slice_str("2a")), 3);
    /* levels of their own */
    assert_int_equal(strength_of_key(&s, slice_str("a")), 0);
    assert_int_equal(strength_of_key(&s, slice_str("j")), 9);
    assert_int_equal(strength_of_key(&s, slice_str("t")), 19);
    assert_int_equal(strength_of_mask(&s, 1 << 2 | 1U << (STORE_CLASS_ZSTD + 7)), 7);
    /* a class that is none is the first */
    assert_int_equal(strength_class(&s, slice_str("u")), 0);
    o.classes = NULL;
    strength_of_values(&s, &o);
    assert_int_equal(strength_of_key(&s, slice_str("2a")), 5);
}

/* Text that shrinks well, under keys of class `class`; each value is `len` bytes. */
static void fill(struct rig *r, int class, size_t len)
{
    struct store_batch *b = store_batch_new(r->s);
    struct buf value = {0};
    while (value.len < len)
        buf_append(&value, slice_str("all work and no play makes the store a dull one; "));
    value.len = len;
    for (int i = 0; i < 64; i++) {
        char key[32];
        snprintf(key, sizeof key, "%d%06d", class, i);
        store_batch_put(b, slice_str(key), buf_slice(&value));
    }
    assert_ok(rig_write(r, b, 0));
    buf_release(&value);
}

static uint64_t flushed_bytes(struct rig *r, int class)
{
    uint64_t before = rig_stats(r).bytes_written_flush;
    fill(r, class, 400);
    assert_ok(store_flush(r->s));
    return rig_stats(r).bytes_written_flush - before;
}

static void test_classes_in_tables(void **state)
{
    struct rig *r = *state;
    r->opt.classes = &classes;
    rig_open(r);
    assert_true(flushed_bytes(r, 1) < 64 * 400 / 4);
    assert_ok(store_set(r->s, "compression.class1", "0", message));
    assert_true(flushed_bytes(r, 1) > 64 * 400);
    assert_true(flushed_bytes(r, 2) < 64 * 400 / 4);
    assert_ok(store_set(r->s, "compression.level0", "0", message));
    assert_true(flushed_bytes(r, 2) > 64 * 400);
    assert_ok(store_set(r->s, "compression.class1", "1", message));
    assert_true(flushed_bytes(r, 1) < 64 * 400 / 4);
    /* the level below goes by its own */
    rig_compact(r);
    assert_true(rig_stats(r).level_bytes[6] < 2 * 64 * 400 / 4);
    rig_close_clean(r);
}

static uint64_t blob_bytes(struct rig *r, int class, size_t len)
{
    uint64_t before = rig_stats(r).bytes_written_blob;
    fill(r, class, len);
    assert_ok(store_flush(r->s));
    return rig_stats(r).bytes_written_blob - before;
}

static void test_classes_in_blob_files(void **state)
{
    struct rig *r = *state;
    r->opt.classes = &classes;
    choose(&r->opt, "compression.class3", "0");
    choose(&r->opt, "compression.level0", "0"); /* not of values */
    rig_open(r);
    assert_true(blob_bytes(r, 3, 1000) > 64 * 1000); /* moved by the flush */
    assert_true(blob_bytes(r, 2, 1000) < 64 * 1000 / 4);
    assert_true(blob_bytes(r, 3, 5000) > 64 * 5000); /* packed by the writer */
    assert_true(blob_bytes(r, 2, 5000) < 64 * 5000 / 4);
    rig_close_clean(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_precedence),
        RIG_SIM(test_classes_in_tables),
        RIG_SIM(test_classes_in_blob_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
