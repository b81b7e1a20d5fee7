/* Tests of store/bytes.h: what is encoded decodes to the same, and no decoder reads past its slice
 * or moves it when it fails. */
#include "store/bytes.h"

#include "tests/sim/simrng.h"
#include "tests/unit/unit.h"

static void slices_are_ordered_bytewise(void **state)
{
    (void)state;
    static const char *const ascending[] = {"",  "a",    "a\x01", "aa",  "ab",
                                            "b", "\x7f", "\x80",  "\xff"};
    enum { COUNT = sizeof ascending / sizeof ascending[0] };
    for (int i = 0; i < COUNT; i++)
        for (int j = 0; j < COUNT; j++) {
            struct slice a = slice_str(ascending[i]), b = slice_str(ascending[j]);
            int order = slice_cmp(a, b);
            assert_int_equal((order > 0) - (order < 0), (i > j) - (i < j));
            assert_int_equal(slice_eq(a, b), i == j);
        }
    assert_int_equal(slice_cmp(slice_of(NULL, 0), slice_str("")), 0);
    assert_true(slice_eq(slice_of(NULL, 0), slice_str("")));
    assert_true(slice_cmp(slice_of("\0", 1), slice_of(NULL, 0)) > 0);
}

static void prefixes_and_shared_lengths(void **state)
{
    (void)state;
    assert_true(slice_has_prefix(slice_str("abc"), slice_str("abc")));
    assert_true(slice_has_prefix(slice_str("abc"), slice_str("ab")));
    assert_true(slice_has_prefix(slice_str("abc"), slice_of(NULL, 0)));
    assert_false(slice_has_prefix(slice_str("ab"), slice_str("abc")));
    assert_false(slice_has_prefix(slice_str("abc"), slice_str("b")));
    assert_int_equal(slice_shared(slice_str("abc"), slice_str("abd")), 2);
    assert_int_equal(slice_shared(slice_str("abc"), slice_str("abcd")), 3);
    assert_int_equal(slice_shared(slice_str("x"), slice_str("y")), 0);
    assert_int_equal(slice_shared(slice_of(NULL, 0), slice_str("y")), 0);
}

static void memory_is_never_null(void **state)
{
    (void)state;
    void *none = mem_alloc(0), *zeros = mem_zalloc(16), *copy = mem_dup("abc", 3);
    assert_non_null(none);
    static const uint8_t zero[16];
    assert_memory_equal(zeros, zero, 16);
    assert_memory_equal(copy, "abc", 3);
    zeros = mem_realloc(zeros, 32);
    assert_memory_equal(zeros, zero, 16);
    void *empty = mem_dup(NULL, 0);
    assert_non_null(empty);
    char *text = mem_printf("%d-%s", 42, "x"), *same = mem_strdup(text);
    assert_string_equal(same, "42-x");
    free(none);
    free(zeros);
    free(copy);
    free(empty);
    free(text);
    free(same);
}

static void buffers_grow_and_keep_their_contents(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    struct buf b = {0};
    assert_non_null(buf_reserve(&b, 0)); /* also where nothing is wanted yet */
    uint8_t model[20000];
    size_t len = 0;
    while (len + 300 < sizeof model) {
        size_t n = simrng_below(&rng, 300);
        for (size_t i = 0; i < n; i++)
            model[len + i] = (uint8_t)simrng_next(&rng);
        buf_append_bytes(&b, model + len, n);
        len += n;
        assert_true(b.cap >= b.len);
    }
    assert_slice(buf_slice(&b), model, len);
    size_t cap = b.cap;
    buf_reserve(&b, cap - b.len);
    assert_int_equal(b.cap, cap); /* there was room */
    assert_int_equal(b.len, len);
    uint8_t *room = buf_reserve(&b, 1000000);
    assert_ptr_equal(room, b.data + len);
    assert_true(b.cap - b.len >= 1000000);
    assert_slice(buf_slice(&b), model, len);
    buf_set(&b, slice_str("new"));
    assert_slice_str(buf_slice(&b), "new");
    buf_clear(&b);
    buf_append(&b, slice_of(NULL, 0));
    assert_int_equal(b.len, 0);
    buf_release(&b);
    assert_null(b.data);
    buf_release(&b);
}

static void integers_have_the_byte_order_that_they_say(void **state)
{
    (void)state;
    struct buf b = {0};
    buf_put_u8(&b, 0x01);
    buf_put_u16(&b, 0x0203);
    buf_put_u32(&b, 0x04050607);
    buf_put_u64(&b, UINT64_C(0x08090a0b0c0d0e0f));
    buf_put_be64(&b, UINT64_C(0x1011121314151617));
    static const uint8_t expected[] = {0x01, 0x03, 0x02, 0x07, 0x06, 0x05, 0x04, 0x0f,
                                       0x0e, 0x0d, 0x0c, 0x0b, 0x0a, 0x09, 0x08, 0x10,
                                       0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17};
    assert_slice(buf_slice(&b), expected, sizeof expected);
    struct slice in = buf_slice(&b);
    uint8_t u8 = 0;
    uint16_t u16 = 0;
    uint32_t u32 = 0;
    uint64_t u64 = 0, be64 = 0;
    assert_true(take_u8(&in, &u8) && take_u16(&in, &u16) && take_u32(&in, &u32) &&
                take_u64(&in, &u64) && take_be64(&in, &be64));
    assert_int_equal(in.len, 0);
    assert_int_equal(u8, 0x01);
    assert_int_equal(u16, 0x0203);
    assert_int_equal(u32, 0x04050607);
    assert_int_equal(u64, UINT64_C(0x08090a0b0c0d0e0f));
    assert_int_equal(be64, UINT64_C(0x1011121314151617));
    buf_release(&b);
}

static void the_highest_bits_survive(void **state)
{
    (void)state;
    uint8_t p[8];
    put_u16(p, UINT16_MAX);
    assert_int_equal(get_u16(p), UINT16_MAX);
    put_u32(p, UINT32_MAX - 1);
    assert_int_equal(get_u32(p), UINT32_MAX - 1);
    put_u64(p, UINT64_MAX - 1);
    assert_true(get_u64(p) == UINT64_MAX - 1);
    put_be64(p, UINT64_C(1) << 63);
    assert_true(get_be64(p) == UINT64_C(1) << 63);
}

/* Bytes in memory of exactly their size, so that the address sanitizer sees a read past them. */
static struct slice exact(const void *data, size_t len)
{
    return slice_of(mem_dup(data, len), len);
}

static void exact_free(struct slice s)
{
    free((void *)(uintptr_t)s.data);
}

static void varint_round_trip(uint64_t v)
{
    uint8_t p[VARINT64_MAX];
    size_t n = varint_put(p, v);
    assert_int_equal(n, varint_len(v));
    assert_true(n <= VARINT64_MAX);
    uint64_t back = ~v;
    struct slice whole = exact(p, n), in = whole;
    assert_true(take_varint(&in, &back));
    assert_true(back == v);
    assert_int_equal(in.len, 0);
    uint32_t narrow = 7;
    in = whole;
    assert_int_equal(take_varint32(&in, &narrow), v <= UINT32_MAX);
    assert_int_equal(narrow, v <= UINT32_MAX ? v : 7);
    assert_int_equal(in.len, v <= UINT32_MAX ? 0 : n);
    exact_free(whole);
    for (size_t cut = 0; cut < n; cut++) {
        struct slice part = exact(p, cut), rest = part;
        assert_false(take_varint(&rest, &back));
        assert_ptr_equal(rest.data, part.data);
        assert_int_equal(rest.len, part.len);
        exact_free(part);
    }
}

static void varints_round_trip(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    for (unsigned bit = 0; bit < 64; bit++)
        for (int64_t d = -2; d <= 2; d++)
            varint_round_trip((UINT64_C(1) << bit) + (uint64_t)d);
    for (int i = 0; i < 10000; i++)
        varint_round_trip(simrng_next(&rng) >> simrng_below(&rng, 64));
    assert_int_equal(varint_len(0), 1);
    assert_int_equal(varint_len(127), 1);
    assert_int_equal(varint_len(128), 2);
    assert_int_equal(varint_len(UINT32_MAX), VARINT32_MAX);
    assert_int_equal(varint_len(UINT64_MAX), VARINT64_MAX);
}

static void varints_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    uint8_t p[12];
    uint64_t v;
    memset(p, 0xff, sizeof p);
    struct slice in = slice_of(p, sizeof p);
    assert_false(take_varint(&in, &v)); /* never ends */
    p[9] = 0x02;                        /* the 65th bit */
    assert_false(take_varint(&in, &v));
    assert_int_equal(in.len, sizeof p);
    p[9] = 0x01;
    assert_true(take_varint(&in, &v));
    assert_true(v == UINT64_MAX);
    assert_int_equal(in.len, sizeof p - VARINT64_MAX);
}

static void take_moves_only_on_success(void **state)
{
    (void)state;
    struct slice whole = exact("1234567", 7), in, out;
    uint8_t u8;
    uint16_t u16;
    uint32_t u32;
    uint64_t u64;
    in = slice_of(whole.data, 0);
    assert_false(take_u8(&in, &u8));
    in = slice_of(whole.data + 6, 1);
    assert_false(take_u16(&in, &u16));
    in = slice_of(whole.data + 4, 3);
    assert_false(take_u32(&in, &u32));
    in = whole;
    assert_false(take_u64(&in, &u64));
    assert_false(take_be64(&in, &u64));
    assert_false(take_bytes(&in, 8, &out));
    assert_false(take_bytes(&in, SIZE_MAX, &out));
    assert_ptr_equal(in.data, whole.data);
    assert_int_equal(in.len, 7);
    assert_true(take_bytes(&in, 7, &out));
    assert_ptr_equal(out.data, whole.data);
    assert_int_equal(in.len, 0);
    assert_true(take_bytes(&in, 0, &out));
    exact_free(whole);
    in = slice_of(NULL, 0);
    assert_true(take_bytes(&in, 0, &out));
}

static void length_prefixed_bytes(void **state)
{
    (void)state;
    struct buf b = {0};
    buf_put_lenbytes(&b, slice_str("hello"));
    buf_put_lenbytes(&b, slice_of(NULL, 0));
    struct slice in = buf_slice(&b), out;
    assert_true(take_lenbytes(&in, &out));
    assert_slice_str(out, "hello");
    assert_true(take_lenbytes(&in, &out));
    assert_int_equal(out.len, 0);
    assert_false(take_lenbytes(&in, &out));
    for (size_t cut = 0; cut < 6; cut++) {
        struct slice part = exact(b.data, cut), rest = part;
        assert_false(take_lenbytes(&rest, &out));
        assert_int_equal(rest.len, cut);
        exact_free(part);
    }
    buf_clear(&b);
    buf_put_varint(&b, UINT64_MAX); /* a length that would wrap around */
    buf_append(&b, slice_str("hello"));
    in = buf_slice(&b);
    assert_false(take_lenbytes(&in, &out));
    assert_int_equal(in.len, b.len);
    buf_release(&b);
}

/* Random bytes, decoded by random steps: every step takes what it says or leaves the slice alone.
 */
static void decoders_are_total(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    for (int round = 0; round < 20000; round++) {
        uint8_t bytes[40];
        size_t len = simrng_below(&rng, sizeof bytes + 1);
        for (size_t i = 0; i < len; i++)
            bytes[i] = (uint8_t)(simrng_next(&rng) | (simrng_coin(&rng) ? 0x80 : 0));
        struct slice whole = exact(bytes, len), in = whole, out;
        bool ok = true;
        while (ok) {
            struct slice before = in;
            uint64_t v;
            uint32_t v32;
            switch (simrng_below(&rng, 4)) {
            case 0:
                ok = take_varint(&in, &v);
                break;
            case 1:
                ok = take_varint32(&in, &v32);
                break;
            case 2:
                ok = take_lenbytes(&in, &out);
                break;
            default:
                ok = take_u16(&in, &(uint16_t){0});
                break;
            }
            assert_ptr_equal(in.data + in.len, whole.data + whole.len);
            assert_true(ok ? in.len < before.len : in.len == before.len);
        }
        exact_free(whole);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slices_are_ordered_bytewise),
        cmocka_unit_test(prefixes_and_shared_lengths),
        cmocka_unit_test(memory_is_never_null),
        cmocka_unit_test(buffers_grow_and_keep_their_contents),
        cmocka_unit_test(integers_have_the_byte_order_that_they_say),
        cmocka_unit_test(the_highest_bits_survive),
        cmocka_unit_test(varints_round_trip),
        cmocka_unit_test(varints_that_do_not_fit_are_refused),
        cmocka_unit_test(take_moves_only_on_success),
        cmocka_unit_test(length_prefixed_bytes),
        cmocka_unit_test(decoders_are_total),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
