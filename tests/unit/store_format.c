/* Tests of store/format.h: the bytes are the ones that are documented, what is encoded decodes to
 * the same, and a change to any byte is seen. */
#include "store/format.h"

#include "tests/sim/simrng.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <xxhash.h>

static void random_bytes(struct simrng *rng, void *out, size_t len)
{
    uint8_t *p = out;
    for (size_t i = 0; i < len; i++)
        p[i] = (uint8_t)simrng_next(rng);
}

/* ---- names ---- */

static void assert_name(char *name, const char *expected)
{
    assert_string_equal(name, expected);
    free(name);
}

static void names_are_as_documented(void **state)
{
    (void)state;
    assert_name(name_file("dir", FILE_TABLE, 12), "dir/000012.table");
    assert_name(name_file("a/b", FILE_LOG, 0), "a/b/000000.log");
    assert_name(name_file("d", FILE_BLOB, 1234567), "d/1234567.blob");
    assert_name(name_file("d", FILE_MANIFEST, UINT64_MAX), "d/18446744073709551615.manifest");
    assert_name(name_current("d"), "d/CURRENT");
    assert_name(name_lock("d"), "d/LOCK");
    assert_name(name_temp("d", 7), "d/000007.tmp");
    for (int kind = FILE_MANIFEST; kind <= FILE_PARITY; kind++)
        assert_string_not_equal(file_kind_name((enum file_kind)kind), file_kind_name(0));
}

static void names_parse_back(void **state)
{
    (void)state;
    static const enum file_kind kinds[] = {FILE_MANIFEST, FILE_LOG, FILE_TABLE, FILE_BLOB,
                                           FILE_TEMP};
    struct simrng rng = {unit_seed()};
    enum file_kind kind;
    uint64_t number;
    for (int i = 0; i < 1000; i++) {
        uint64_t n = simrng_next(&rng) >> simrng_below(&rng, 64);
        enum file_kind k = kinds[simrng_below(&rng, 5)];
        char *name = name_file("d", k, n);
        assert_ok(name_parse(name + 2, &kind, &number));
        assert_int_equal(kind, k);
        assert_true(number == n);
        free(name);
    }
    assert_ok(name_parse("CURRENT", &kind, &number));
    assert_int_equal(kind, FILE_CURRENT);
    assert_ok(name_parse("LOCK", &kind, &number));
    assert_int_equal(kind, FILE_LOCK);
}

static void other_names_are_none_of_ours(void **state)
{
    (void)state;
    static const char *const others[] = {
        "",
        "current",
        "CURRENT2",
        "LOCK.table",
        "12.table",
        "00012.table",
        "0000012.table", /* not how name_file() writes 12 */
        "000012",
        "000012.",
        "000012.tables",
        "000012.tabl",
        "000012.TABLE",
        "000012.table~",
        "000012.table.bak",
        "000012 .table",
        " 000012.table",
        "+00012.table",
        "-00012.table",
        "x00012.table",
        "18446744073709551616.log", /* 2^64 */
        "99999999999999999999.log",
        "184467440737095516150.log",
        ".table",
        "lost+found",
    };
    enum file_kind kind;
    uint64_t number;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (name_parse(others[i], &kind, &number) != 1)
            fail_msg("\"%s\" was taken for one of ours", others[i]);
}

/* ---- file header ---- */

static struct file_header random_header(struct simrng *rng)
{
    struct file_header h = {
        .kind = (enum file_kind)(FILE_MANIFEST + simrng_below(rng, 4)),
        .version = FORMAT_VERSION,
        .cipher = (uint8_t)simrng_below(rng, 2),
        .key_epoch = (uint32_t)simrng_next(rng),
        .number = simrng_next(rng),
    };
    random_bytes(rng, h.uuid, sizeof h.uuid);
    random_bytes(rng, h.salt, sizeof h.salt);
    return h;
}

static void file_header_bytes_are_as_documented(void **state)
{
    (void)state;
    struct file_header h = {.kind = FILE_TABLE,
                            .version = 1,
                            .cipher = 0,
                            .key_epoch = 0x01020304,
                            .number = UINT64_C(0x1112131415161718)};
    for (int i = 0; i < UUID_SIZE; i++)
        h.uuid[i] = (uint8_t)(0x20 + i);
    for (int i = 0; i < SALT_SIZE; i++)
        h.salt[i] = (uint8_t)(0x40 + i);
    static const uint8_t expected[FILE_HEADER_SIZE] = {
        'V',  'A',  'R',  'V',  'E',  '\r', '\n', 0x1a, /* magic */
        1,    0,    3,    0,    4,    3,    2,    1,    /* version, kind, cipher, epoch */
        0,    0,    0,    0,    0,    0,    0,    0,    /* features */
        0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, /* uuid */
        0x28, 0x29, 0x2a, 0x2b, 0x2c, 0x2d, 0x2e, 0x2f, /* uuid */
        0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11, /* number */
        0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47, /* salt */
        0x48, 0x49, 0x4a, 0x4b, 0x4c, 0x4d, 0x4e, 0x4f, /* salt */
        0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57, /* salt */
        0x58, 0x59, 0x5a, 0x5b, 0x5c, 0x5d, 0x5e, 0x5f, /* salt */
        0,    0,    0,    0,    0,    0,    0,    0,    /* reserved */
        0xcc, 0x46, 0x0f, 0xa5, 0xa9, 0x3e, 0x4f, 0x38, /* checksum */
    };
    uint8_t actual[FILE_HEADER_SIZE];
    file_header_encode(&h, actual);
    assert_memory_equal(actual, expected, sizeof actual);
}

static void file_header_round_trips(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    for (int i = 0; i < 1000; i++) {
        struct file_header h = random_header(&rng), back;
        uint8_t bytes[FILE_HEADER_SIZE + 8] = {0};
        file_header_encode(&h, bytes);
        assert_int_equal(file_header_decode(slice_of(bytes, FILE_HEADER_SIZE), &back), HEADER_OK);
        assert_int_equal(file_header_decode(slice_of(bytes, sizeof bytes), &back), HEADER_OK);
        assert_int_equal(back.kind, h.kind);
        assert_int_equal(back.version, h.version);
        assert_int_equal(back.cipher, h.cipher);
        assert_int_equal(back.key_epoch, h.key_epoch);
        assert_true(back.features == h.features);
        assert_true(back.number == h.number);
        assert_memory_equal(back.uuid, h.uuid, UUID_SIZE);
        assert_memory_equal(back.salt, h.salt, SALT_SIZE);
    }
}

static void file_header_shows_any_damage(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    struct file_header h = random_header(&rng), back;
    uint8_t bytes[FILE_HEADER_SIZE];
    file_header_encode(&h, bytes);
    for (size_t bit = 0; bit < 8 * sizeof bytes; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(file_header_decode(slice_of(bytes, sizeof bytes), &back),
                         bit < 64 ? HEADER_NOT_OURS : HEADER_DAMAGED);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t len = 0; len < sizeof bytes; len++) {
        uint8_t *part = mem_dup(bytes, len);
        assert_int_equal(file_header_decode(slice_of(part, len), &back), HEADER_DAMAGED);
        if (len) {
            part[0] = 'X';
            assert_int_equal(file_header_decode(slice_of(part, len), &back), HEADER_NOT_OURS);
        }
        free(part);
    }
}

/* A sound header with bytes changed after the fact, as another program would write them. */
static enum header_verdict verdict_with(size_t at, uint8_t value)
{
    struct file_header h = {.kind = FILE_LOG, .version = FORMAT_VERSION, .number = 3}, back;
    uint8_t bytes[FILE_HEADER_SIZE];
    file_header_encode(&h, bytes);
    bytes[at] = value;
    put_u64(bytes + 88, XXH3_64bits(bytes, 88));
    return file_header_decode(slice_of(bytes, sizeof bytes), &back);
}

static void file_header_tells_newer_from_damaged(void **state)
{
    (void)state;
    assert_int_equal(verdict_with(8, 1), HEADER_OK);
    assert_int_equal(verdict_with(8, 2), HEADER_NEWER);
    assert_int_equal(verdict_with(9, 1), HEADER_NEWER);
    assert_int_equal(verdict_with(16, 1), HEADER_OK); /* rows in a log */
    assert_int_equal(verdict_with(16, 2), HEADER_NEWER);
    assert_int_equal(verdict_with(23, 0x80), HEADER_NEWER);
    assert_int_equal(verdict_with(8, 0), HEADER_DAMAGED);
    assert_int_equal(verdict_with(10, 0), HEADER_DAMAGED); /* kinds that have no header */
    assert_int_equal(verdict_with(10, FILE_PARITY + 1), HEADER_DAMAGED);
    assert_int_equal(verdict_with(10, FILE_CURRENT), HEADER_DAMAGED);
    assert_int_equal(verdict_with(80, 1), HEADER_DAMAGED);
    assert_int_equal(verdict_with(87, 1), HEADER_DAMAGED);
}

/* ---- frame header ---- */

static void frame_header_bytes_are_as_documented(void **state)
{
    (void)state;
    struct frame_header h = {.stored_len = 0x01020304,
                             .raw_len = 0x05060708,
                             .codec = 9,
                             .cipher = 10,
                             .key_epoch = 0x0b0c,
                             .dict = 0x0d0e,
                             .flags = 0x0f10,
                             .checksum = UINT64_C(0x1112131415161718)},
                        back;
    static const uint8_t expected[FRAME_HEADER_SIZE] = {
        4,    3,    2,    1,    8,    7,    6,    5,    9,    10,   0x0c, 0x0b,
        0x0e, 0x0d, 0x10, 0x0f, 0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11};
    uint8_t actual[FRAME_HEADER_SIZE];
    frame_header_encode(&h, actual);
    assert_memory_equal(actual, expected, sizeof actual);
    frame_header_decode(actual, &back);
    assert_int_equal(back.stored_len, h.stored_len);
    assert_int_equal(back.raw_len, h.raw_len);
    assert_int_equal(back.codec, h.codec);
    assert_int_equal(back.cipher, h.cipher);
    assert_int_equal(back.key_epoch, h.key_epoch);
    assert_int_equal(back.dict, h.dict);
    assert_int_equal(back.flags, h.flags);
    assert_true(back.checksum == h.checksum);
}

/* ---- table footer ---- */

static const struct table_footer footer = {.index = {UINT64_C(0x0102030405060708), 0x090a0b0c},
                                           .filter = {1 << 20, 100},
                                           .rangedel = {0, 0},
                                           .props = {4096, FRAME_HEADER_SIZE}};
enum { FOOTER_SEED = 12345 };

static void assert_ref_equal(struct frame_ref a, struct frame_ref b)
{
    assert_true(a.offset == b.offset);
    assert_int_equal(a.len, b.len);
}

static void table_footer_round_trips(void **state)
{
    (void)state;
    uint8_t bytes[TABLE_FOOTER_SIZE];
    struct table_footer back;
    uint64_t tag = table_footer_encode(&footer, FOOTER_SEED, bytes), tag_back;
    static const uint8_t start[16] = {8, 7, 6, 5, 4, 3, 2, 1, 0x0c, 0x0b, 0x0a, 9, 0, 0, 0, 0};
    assert_memory_equal(bytes, start, sizeof start);
    assert_memory_equal(bytes + 88, "VRVTABLE", 8);
    assert_true(get_u64(bytes + 80) == tag);
    assert_true(XXH3_64bits_withSeed(bytes, 80, FOOTER_SEED) == tag);
    assert_ok(table_footer_decode(bytes, FOOTER_SEED, &back, &tag_back));
    assert_true(tag_back == tag);
    assert_ref_equal(back.index, footer.index);
    assert_ref_equal(back.filter, footer.filter);
    assert_ref_equal(back.rangedel, footer.rangedel);
    assert_ref_equal(back.props, footer.props);
}

static void table_footer_shows_any_damage(void **state)
{
    (void)state;
    uint8_t bytes[TABLE_FOOTER_SIZE];
    struct table_footer back;
    uint64_t tag = table_footer_encode(&footer, FOOTER_SEED, bytes);
    for (size_t bit = 0; bit < 8 * sizeof bytes; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_errno(table_footer_decode(bytes, FOOTER_SEED, &back, &tag), EIO);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_ok(table_footer_decode(bytes, FOOTER_SEED, &back, &tag));
    assert_errno(table_footer_decode(bytes, FOOTER_SEED + 1, &back, &tag), EIO);
}

static int footer_with(size_t at, uint8_t value)
{
    uint8_t bytes[TABLE_FOOTER_SIZE];
    struct table_footer back;
    uint64_t tag;
    table_footer_encode(&footer, FOOTER_SEED, bytes);
    bytes[at] = value;
    put_u64(bytes + 80, XXH3_64bits_withSeed(bytes, 80, FOOTER_SEED));
    return table_footer_decode(bytes, FOOTER_SEED, &back, &tag);
}

static void table_footer_refuses_absurd_references(void **state)
{
    (void)state;
    assert_ok(footer_with(0, 9));
    assert_errno(footer_with(7, 0x80), EIO); /* an offset past 2^63 */
    assert_errno(footer_with(56, 23), EIO);  /* shorter than a frame header */
    assert_errno(footer_with(12, 1), EIO);   /* reserved */
    assert_errno(footer_with(63, 1), EIO);   /* reserved */
}

/* ---- varint structures ---- */

static void block_handle_round_trips(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    for (int i = 0; i < 2000; i++) {
        struct block_handle h = {.where = {simrng_next(&rng) >> simrng_below(&rng, 64),
                                           (uint32_t)simrng_next(&rng)}},
                            back;
        h.max_seq = simrng_coin(&rng) ? SEQ_MAX : simrng_next(&rng) & SEQ_MAX;
        h.min_seq = simrng_below(&rng, h.max_seq + 1);
        struct buf b = {0};
        block_handle_encode(&h, &b);
        size_t len = b.len;
        buf_put_u8(&b, 77); /* what follows is left alone */
        struct slice in = buf_slice(&b);
        assert_true(block_handle_take(&in, &back));
        assert_int_equal(in.len, 1);
        assert_ref_equal(back.where, h.where);
        assert_true(back.min_seq == h.min_seq && back.max_seq == h.max_seq);
        for (size_t cut = 0; cut < len; cut++) {
            in = slice_of(b.data, cut);
            assert_false(block_handle_take(&in, &back));
            assert_int_equal(in.len, cut);
        }
        buf_release(&b);
    }
}

static bool handle_of(uint64_t offset, uint64_t len, uint64_t min, uint64_t spread)
{
    struct buf b = {0};
    struct block_handle h;
    buf_put_varint(&b, offset);
    buf_put_varint(&b, len);
    buf_put_varint(&b, min);
    buf_put_varint(&b, spread);
    struct slice in = buf_slice(&b);
    bool ok = block_handle_take(&in, &h);
    assert_int_equal(in.len, ok ? 0 : b.len);
    buf_release(&b);
    return ok;
}

static void block_handle_refuses_what_cannot_be(void **state)
{
    (void)state;
    assert_true(handle_of(1, 2, SEQ_MAX, 0));
    assert_true(handle_of(1, UINT32_MAX, 0, SEQ_MAX));
    assert_false(handle_of(1, UINT64_C(1) << 32, 0, 0));
    assert_false(handle_of(1, 2, SEQ_MAX, 1));
    assert_false(handle_of(1, 2, SEQ_MAX + 1, 0));
    assert_false(handle_of(1, 2, 1, UINT64_MAX)); /* would wrap around */
}

static void blob_ref_round_trips(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    for (int i = 0; i < 2000; i++) {
        struct blob_ref r = {.file = simrng_next(&rng) >> simrng_below(&rng, 64),
                             .where = {simrng_next(&rng) >> simrng_below(&rng, 64),
                                       (uint32_t)simrng_next(&rng)},
                             .raw_len = (uint32_t)simrng_next(&rng)},
                        back;
        struct buf b = {0};
        blob_ref_encode(&r, &b);
        assert_true(b.len <= BLOB_REF_MAX);
        assert_true(blob_ref_decode(buf_slice(&b), &back));
        assert_true(back.file == r.file);
        assert_ref_equal(back.where, r.where);
        assert_int_equal(back.raw_len, r.raw_len);
        for (size_t cut = 0; cut < b.len; cut++)
            assert_false(blob_ref_decode(slice_of(b.data, cut), &back));
        buf_put_u8(&b, 0);
        assert_false(blob_ref_decode(buf_slice(&b), &back));
        buf_release(&b);
    }
}

/* ---- CURRENT ---- */

static void current_text_is_as_documented(void **state)
{
    (void)state;
    struct buf b = {0};
    uint64_t number;
    current_encode(12, &b);
    static const char head[] = "varve-current 1\nmanifest 000012\n";
    char expected[128];
    snprintf(expected, sizeof expected, "%sxxh3 %016llx\n", head,
             (unsigned long long)XXH3_64bits(head, strlen(head)));
    assert_slice_str(buf_slice(&b), expected);
    assert_ok(current_decode(buf_slice(&b), &number));
    assert_int_equal(number, 12);
    buf_release(&b);
}

static void current_shows_any_damage(void **state)
{
    (void)state;
    struct buf b = {0};
    uint64_t number;
    current_encode(UINT64_MAX, &b);
    assert_ok(current_decode(buf_slice(&b), &number));
    assert_true(number == UINT64_MAX);
    enum { MARK = sizeof "varve-current " - 1 };
    for (size_t bit = 0; bit < 8 * b.len; bit++) {
        b.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        int rc = current_decode(buf_slice(&b), &number);
        assert_int_equal(rc, bit / 8 < MARK ? 1 : -EIO);
        assert_int_equal(number, 0);
        b.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t len = 0; len < b.len; len++) {
        uint8_t *part = mem_dup(b.data, len);
        assert_int_equal(current_decode(slice_of(part, len), &number), len < MARK ? 1 : -EIO);
        free(part);
    }
    buf_put_u8(&b, '\n');
    assert_errno(current_decode(buf_slice(&b), &number), EIO);
    buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_as_documented),
        cmocka_unit_test(names_parse_back),
        cmocka_unit_test(other_names_are_none_of_ours),
        cmocka_unit_test(file_header_bytes_are_as_documented),
        cmocka_unit_test(file_header_round_trips),
        cmocka_unit_test(file_header_shows_any_damage),
        cmocka_unit_test(file_header_tells_newer_from_damaged),
        cmocka_unit_test(frame_header_bytes_are_as_documented),
        cmocka_unit_test(table_footer_round_trips),
        cmocka_unit_test(table_footer_shows_any_damage),
        cmocka_unit_test(table_footer_refuses_absurd_references),
        cmocka_unit_test(block_handle_round_trips),
        cmocka_unit_test(block_handle_refuses_what_cannot_be),
        cmocka_unit_test(blob_ref_round_trips),
        cmocka_unit_test(current_text_is_as_documented),
        cmocka_unit_test(current_shows_any_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
