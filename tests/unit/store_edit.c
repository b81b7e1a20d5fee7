/* Tests of store/edit.h: what is encoded comes back, and no bytes whatever do harm. */
#include "store/edit.h"

#include "tests/unit/version_maker.h"

#include <errno.h>

static void decode_ok(struct slice bytes, struct edit *e)
{
    edit_init(e);
    assert_ok(edit_decode(bytes, e));
}

static void assert_empty(const struct edit *e)
{
    struct buf bytes = {0};
    edit_encode(e, &bytes);
    assert_int_equal(bytes.len, 0);
    buf_release(&bytes);
}

/* ---- what is encoded comes back ---- */

static void test_empty(void **state)
{
    (void)state;
    struct edit e;
    decode_ok(slice_of(NULL, 0), &e);
    assert_empty(&e);
    edit_release(&e);
}

/* The bytes are part of the format: they must not change. */
static void test_golden(void **state)
{
    (void)state;
    static const uint8_t golden[] = {
        1,   24, 'u', 'u',  'i',  'd',  '-',  'o',  'f',  '-',  's',  't',  'o', 'r', 'e', '!', '!',
        '!', 8,  7,   6,    5,    4,    3,    2,    1,    3,    2,    0xac, 2,   5,   1,   100, 7,
        1,   9,  9,   2,    3,    17,   13,   5,    20,   2,    99,   0xe8, 7,   15,  3,   20,  1,
        50,  17, 1,   21,   19,   3,    'o',  'l',  'd',  21,   21,   77,   9,   0,   0,   0,   0,
        0,   0,  0,   0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 'n',  'o', 'w', '!'};
    struct edit e;
    struct buf bytes = {0};
    edit_init(&e);
    e.has_uuid = e.has_next_file = e.has_flushed = e.has_log = true;
    memcpy(e.uuid, "uuid-of-store!!!", UUID_SIZE);
    e.features = 0x0102030405060708;
    e.next_file = 300;
    e.flushed_seq = 100;
    e.log_number = 9;
    edit_remove_table(&e, 3, 17);
    edit_add_blob(&e, 20, 2, 99, 1000);
    edit_add_garbage(&e, 20, 1, 50);
    edit_remove_blob(&e, 21);
    edit_remove_pin(&e, "old");
    char name[] = "now!";
    edit_add_pin(&e, &(struct pin){.seq = 77, .tag = 9, .created_ns = -2, .name = name});
    edit_encode(&e, &bytes);
    assert_slice(buf_slice(&bytes), golden, sizeof golden);
    edit_release(&e);
    decode_ok(buf_slice(&bytes), &e);
    assert_memory_equal(e.uuid, "uuid-of-store!!!", UUID_SIZE);
    assert_int_equal(e.features, 0x0102030405060708);
    assert_int_equal(e.pins_added[0].created_ns, -2);
    edit_release(&e);
    buf_release(&bytes);
}

static void assert_same_numbers(const struct edit *a, const struct edit *b)
{
    assert_int_equal(a->has_uuid, b->has_uuid);
    assert_int_equal(a->has_next_file, b->has_next_file);
    assert_int_equal(a->has_flushed, b->has_flushed);
    assert_int_equal(a->has_log, b->has_log);
    assert_memory_equal(a->uuid, b->uuid, UUID_SIZE);
    assert_int_equal(a->features, b->features);
    assert_int_equal(a->next_file, b->next_file);
    assert_int_equal(a->flushed_seq, b->flushed_seq);
    assert_int_equal(a->log_number, b->log_number);
}

static void assert_same_tables(const struct edit *a, const struct edit *b)
{
    assert_int_equal(a->tables_added_count, b->tables_added_count);
    for (uint32_t i = 0; i < a->tables_added_count; i++) {
        struct buf x = {0}, y = {0};
        assert_int_equal(a->tables_added[i].level, b->tables_added[i].level);
        table_meta_encode(a->tables_added[i].meta, &x);
        table_meta_encode(b->tables_added[i].meta, &y);
        assert_slice(buf_slice(&x), y.data, y.len);
        buf_release(&x);
        buf_release(&y);
    }
    assert_int_equal(a->tables_removed_count, b->tables_removed_count);
    for (uint32_t i = 0; i < a->tables_removed_count; i++) {
        assert_int_equal(a->tables_removed[i].level, b->tables_removed[i].level);
        assert_int_equal(a->tables_removed[i].number, b->tables_removed[i].number);
    }
}

static void assert_same_blobs(const struct edit *a, const struct edit *b)
{
    assert_int_equal(a->blobs_added_count, b->blobs_added_count);
    assert_int_equal(a->blobs_garbage_count, b->blobs_garbage_count);
    assert_int_equal(a->blobs_removed_count, b->blobs_removed_count);
    for (uint32_t i = 0; i < a->blobs_added_count; i++) {
        assert_int_equal(a->blobs_added[i].number, b->blobs_added[i].number);
        assert_int_equal(a->blobs_added[i].count, b->blobs_added[i].count);
        assert_int_equal(a->blobs_added[i].bytes, b->blobs_added[i].bytes);
        assert_int_equal(a->blobs_added[i].file_bytes, b->blobs_added[i].file_bytes);
        assert_int_equal(a->blobs_added[i].key_epoch, b->blobs_added[i].key_epoch);
        assert_true(a->blobs_added[i].header_sum == b->blobs_added[i].header_sum);
    }
    for (uint32_t i = 0; i < a->blobs_garbage_count; i++) {
        assert_int_equal(a->blobs_garbage[i].number, b->blobs_garbage[i].number);
        assert_int_equal(a->blobs_garbage[i].count, b->blobs_garbage[i].count);
        assert_int_equal(a->blobs_garbage[i].bytes, b->blobs_garbage[i].bytes);
    }
    for (uint32_t i = 0; i < a->blobs_removed_count; i++)
        assert_int_equal(a->blobs_removed[i], b->blobs_removed[i]);
}

static void assert_same_pins(const struct edit *a, const struct edit *b)
{
    assert_int_equal(a->pins_added_count, b->pins_added_count);
    for (uint32_t i = 0; i < a->pins_added_count; i++) {
        assert_int_equal(a->pins_added[i].seq, b->pins_added[i].seq);
        assert_int_equal(a->pins_added[i].tag, b->pins_added[i].tag);
        assert_int_equal(a->pins_added[i].created_ns, b->pins_added[i].created_ns);
        assert_string_equal(a->pins_added[i].name, b->pins_added[i].name);
    }
    assert_int_equal(a->pins_removed_count, b->pins_removed_count);
    for (uint32_t i = 0; i < a->pins_removed_count; i++)
        assert_string_equal(a->pins_removed[i], b->pins_removed[i]);
}

static void test_random_edits(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    for (int round = 0; round < 3000; round++) {
        struct edit a, b;
        struct buf bytes = {0};
        edit_init(&a);
        maker_random_edit(&rng, &a);
        edit_encode(&a, &bytes);
        decode_ok(buf_slice(&bytes), &b);
        assert_same_numbers(&a, &b);
        assert_same_tables(&a, &b);
        assert_same_blobs(&a, &b);
        assert_same_pins(&a, &b);
        edit_release(&a);
        edit_release(&b);
        buf_release(&bytes);
    }
}

static void test_garbage_adds_up(void **state)
{
    (void)state;
    struct edit e;
    uint64_t model[41][2] = {{0}};
    struct simrng rng = {unit_seed()};
    edit_init(&e);
    for (int i = 0; i < 500; i++) {
        uint64_t number = 1 + simrng_below(&rng, 40), bytes = simrng_below(&rng, 1000);
        edit_add_garbage(&e, number, 1, bytes);
        model[number][0]++;
        model[number][1] += bytes;
    }
    uint32_t at = 0;
    for (uint64_t n = 1; n <= 40; n++) {
        if (model[n][0] == 0)
            continue;
        assert_int_equal(e.blobs_garbage[at].number, n);
        assert_int_equal(e.blobs_garbage[at].count, model[n][0]);
        assert_int_equal(e.blobs_garbage[at++].bytes, model[n][1]);
    }
    assert_int_equal(e.blobs_garbage_count, at);
    edit_release(&e);
}

static void test_removed_from(void **state)
{
    (void)state;
    struct edit e;
    edit_init(&e);
    assert_int_equal(edit_removed_from(&e, 7), -1);
    edit_remove_table(&e, 3, 8);
    edit_remove_table(&e, 0, 7);
    maker_add(&e, 2, 7, "a", "b", 5);
    maker_add(&e, 2, 9, "b", "c", 5);
    assert_int_equal(edit_removed_from(&e, 7), 0);
    assert_int_equal(edit_removed_from(&e, 8), 3);
    assert_int_equal(edit_removed_from(&e, 9), -1);
    edit_release(&e);
}

static void test_takes_references(void **state)
{
    (void)state;
    struct edit e;
    struct table_meta *m = maker_meta(5, "a", "b", 1, 2, 3);
    edit_init(&e);
    edit_add_table(&e, 1, m);
    assert_int_equal(m->refs, 2);
    assert_ptr_equal(e.tables_added[0].meta, m);
    edit_release(&e);
    assert_int_equal(m->refs, 1);
    assert_empty(&e);
    table_meta_unref(m);
}

/* ---- what is not known, and what is wrong ---- */

struct case_of {
    const char *what;
    const char *bytes;
    size_t len;
    int expect;
};
#define CASE(what, bytes, expect)               \
    {                                           \
        what, bytes, sizeof(bytes) - 1, expect, \
    }
#define TEN_FF "\xff\xff\xff\xff\xff\xff\xff\xff\xff"

static const struct case_of cases[] = {
    CASE("unknown even tag",
         "\x30\x03"
         "abc",
         0),
    CASE("unknown even tag, long", "\x80\x02\x00", 0),
    CASE("unknown odd tag",
         "\x31\x03"
         "abc",
         -EPROTONOSUPPORT),
    CASE("unknown odd tag, long", "\x81\x02\x00", -EPROTONOSUPPORT),
    CASE("zeros", "\0\0\0\0", -EIO),
    CASE("tag only", "\x03", -EIO),
    CASE("tag too long", TEN_FF "\x7f\x00", -EIO),
    CASE("field too short", "\x03\x05\x01", -EIO),
    CASE("field length absurd", "\x03" TEN_FF "\x01", -EIO),
    CASE("next file", "\x03\x01\x07", 0),
    CASE("next file twice", "\x03\x01\x07\x03\x01\x08", -EIO),
    CASE("next file, more", "\x03\x02\x07\x00", -EIO),
    CASE("next file, none", "\x03\x00", -EIO),
    CASE("uuid",
         "\x01\x18"
         "0123456789abcdef"
         "01234567",
         0),
    CASE("uuid twice",
         "\x01\x18"
         "0123456789abcdef"
         "01234567"
         "\x01\x18"
         "0123456789abcdef"
         "01234567",
         -EIO),
    CASE("uuid short",
         "\x01\x17"
         "0123456789abcdef"
         "0123456",
         -EIO),
    CASE("uuid, more",
         "\x01\x19"
         "0123456789abcdef"
         "012345678",
         -EIO),
    CASE("flushed, highest", "\x05\x08\xff\xff\xff\xff\xff\xff\xff\x7f", 0),
    CASE("flushed too high", "\x05\x09\x80\x80\x80\x80\x80\x80\x80\x80\x01", -EIO),
    CASE("log twice", "\x07\x01\x07\x07\x01\x07", -EIO),
    CASE("table removed", "\x09\x02\x06\x11", 0),
    CASE("table removed, level", "\x09\x02\x07\x11", -EIO),
    CASE("table removed, number", "\x09\x02\x06\x00", -EIO),
    CASE("table removed, more", "\x09\x03\x06\x11\x00", -EIO),
    CASE("table added, empty", "\x0b\x00", -EIO),
    CASE("table added, no meta", "\x0b\x01\x00", -EIO),
    CASE("blob", "\x0d\x04\x01\x02\x03\x04", 0),
    CASE("blob, number", "\x0d\x04\x00\x02\x03\x04", -EIO),
    CASE("blob short", "\x0d\x03\x01\x02\x03", -EIO),
    CASE("blob, more", "\x0d\x05\x01\x02\x03\x04\x05", -EIO),
    CASE("garbage ascending", "\x0f\x03\x01\x02\x03\x0f\x03\x02\x02\x03", 0),
    CASE("garbage twice", "\x0f\x03\x01\x02\x03\x0f\x03\x01\x02\x03", -EIO),
    CASE("garbage descending", "\x0f\x03\x02\x02\x03\x0f\x03\x01\x02\x03", -EIO),
    CASE("garbage, more", "\x0f\x04\x01\x02\x03\x04", -EIO),
    CASE("blob removed", "\x11\x01\x05", 0),
    CASE("blob removed, number", "\x11\x01\x00", -EIO),
    CASE("pin removed", "\x13\x02no", 0),
    CASE("pin removed, empty", "\x13\x00", -EIO),
    CASE("pin removed, NUL", "\x13\x03n\0o", -EIO),
    CASE("pin",
         "\x15\x13\x01"
         "01234567"
         "01234567"
         "no",
         0),
    CASE("pin, no name",
         "\x15\x11\x01"
         "01234567"
         "01234567",
         -EIO),
    CASE("pin, seq 0",
         "\x15\x13\x00"
         "01234567"
         "01234567"
         "no",
         -EIO),
    CASE("pin, NUL",
         "\x15\x13\x01"
         "01234567"
         "01234567"
         "n\0",
         -EIO),
    CASE("pin, seq",
         "\x15\x1b\x80\x80\x80\x80\x80\x80\x80\x80\x01"
         "01234567"
         "01234567"
         "no",
         -EIO),
};

static void test_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct case_of *c = &cases[i];
        uint8_t *exact = mem_dup(c->bytes, c->len);
        struct edit e;
        edit_init(&e);
        int got = edit_decode(slice_of(exact, c->len), &e);
        if (got != c->expect)
            fail_msg("%s: %d instead of %d", c->what, got, c->expect);
        if (got < 0)
            assert_empty(&e);
        edit_release(&e);
        free(exact);
    }
}

static void test_pin_name_length(void **state)
{
    (void)state;
    for (int len = PIN_NAME_MAX; len <= PIN_NAME_MAX + 1; len++) {
        struct buf bytes = {0};
        struct edit e;
        buf_put_varint(&bytes, 19);
        buf_put_varint(&bytes, (uint64_t)len);
        for (int i = 0; i < len; i++)
            buf_put_u8(&bytes, 'x');
        edit_init(&e);
        assert_int_equal(edit_decode(buf_slice(&bytes), &e), len > PIN_NAME_MAX ? -EIO : 0);
        edit_release(&e);
        buf_release(&bytes);
    }
}

/* A field between known ones is skipped, and the others are still there. */
static void test_skips(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    struct edit e;
    struct buf bytes = {0}, again = {0};
    edit_init(&e);
    maker_random_edit(&rng, &e);
    buf_append_bytes(&bytes, "\x40\x02zz", 4);
    edit_encode(&e, &bytes);
    size_t len = bytes.len;
    buf_append_bytes(&bytes, "\x42\x00", 2);
    edit_release(&e);
    decode_ok(buf_slice(&bytes), &e);
    edit_encode(&e, &again);
    assert_slice(buf_slice(&again), bytes.data + 4, len - 4);
    edit_release(&e);
    buf_release(&bytes);
    buf_release(&again);
}

/* ---- damage ---- */

/* Whatever the bytes: an error and nothing, or an edit that encodes. Returns what edit_decode()
 * did. */
static int try_bytes(const uint8_t *bytes, size_t len)
{
    uint8_t *exact = mem_dup(bytes, len); /* so that a sanitizer sees each step outside */
    struct edit e, again;
    edit_init(&e);
    int err = edit_decode(slice_of(exact, len), &e);
    assert_true(err == 0 || err == -EIO || err == -EPROTONOSUPPORT);
    if (err < 0) {
        assert_empty(&e);
    } else {
        struct buf out = {0};
        edit_encode(&e, &out);
        decode_ok(buf_slice(&out), &again);
        edit_release(&again);
        buf_release(&out);
    }
    edit_release(&e);
    free(exact);
    return err;
}

static void test_damage(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    for (int round = 0; round < 12; round++) {
        struct edit e;
        struct buf bytes = {0};
        size_t whole = 0;
        edit_init(&e);
        maker_random_edit(&rng, &e);
        edit_encode(&e, &bytes);
        edit_release(&e);
        for (size_t i = 0; i < bytes.len; i++) {
            whole += try_bytes(bytes.data, i) == 0;
            for (int bit = 0; bit < 8; bit++) {
                bytes.data[i] ^= (uint8_t)(1 << bit);
                try_bytes(bytes.data, bytes.len);
                bytes.data[i] ^= (uint8_t)(1 << bit);
            }
            uint8_t was = bytes.data[i];
            bytes.data[i] = (uint8_t)simrng_next(&rng);
            try_bytes(bytes.data, bytes.len);
            bytes.data[i] = was;
        }
        /* It can be cut only between two fields, of which there are at most 53. */
        assert_true(whole <= 53);
        buf_release(&bytes);
    }
}

static void test_noise(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    uint8_t bytes[64];
    for (int round = 0; round < 200000; round++) {
        size_t len = simrng_below(&rng, sizeof bytes);
        for (size_t i = 0; i < len; i++)
            bytes[i] = (uint8_t)simrng_below(&rng, simrng_coin(&rng) ? 24 : 256);
        try_bytes(bytes, len);
    }
}

static void test_ancestors_and_history(void **state)
{
    (void)state;
    static const uint8_t one[UUID_SIZE] = "one", two[UUID_SIZE] = "two";
    struct edit e, back;
    struct buf bytes = {0};
    edit_init(&e);
    edit_init(&back);
    assert_true(lineage_add(&e.ancestors, 7, one));
    assert_true(lineage_add(&e.ancestors, 300, two));
    e.has_history = true;
    e.history_seq = 1234;
    edit_encode(&e, &bytes);
    assert_ok(edit_decode(buf_slice(&bytes), &back));
    assert_int_equal(back.ancestors.count, 2);
    assert_int_equal(back.ancestors.parts[1].end, 300);
    assert_memory_equal(back.ancestors.parts[0].uuid, one, UUID_SIZE);
    assert_true(back.has_history);
    assert_int_equal(back.history_seq, 1234);
    edit_release(&back);
    bytes.data[2] =
        0xff; /* the first one's number, now with a second byte: it has a byte too few */
    assert_errno(edit_decode(buf_slice(&bytes), &back), EIO);
    buf_clear(&bytes);
    lineage_release(&e.ancestors);
    assert_true(lineage_add(&e.ancestors, 300, two));
    assert_true(lineage_add(&e.ancestors, 301, one));
    e.ancestors.parts[1].end = 300; /* not above the one before */
    edit_encode(&e, &bytes);
    assert_errno(edit_decode(buf_slice(&bytes), &back), EIO);
    edit_release(&e);
    buf_release(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_random_edits), cmocka_unit_test(test_garbage_adds_up),
        cmocka_unit_test(test_removed_from), cmocka_unit_test(test_takes_references),
        cmocka_unit_test(test_cases),        cmocka_unit_test(test_pin_name_length),
        cmocka_unit_test(test_skips),        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_noise),        cmocka_unit_test(test_ancestors_and_history),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
