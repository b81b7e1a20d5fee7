/* memkey: the order by words is the order of the bytes. */
#include "store/memkey.h"

#include "tests/unit/unit.h"

enum { LEN_MAX = 44 };

static uint64_t rng;

static uint64_t rand_below(uint64_t n)
{
    rng = rng * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (rng >> 33) % n;
}

static int sign(int n)
{
    return (n > 0) - (n < 0);
}

/* The stored form is surrounded by 0xaa, which must not matter. */
static int stored_cmp(struct slice stored, struct slice key)
{
    uint8_t bytes[LEN_MAX + 32];
    memset(bytes, 0xaa, sizeof bytes);
    assert_true(memkey_stored_size(stored.len) % 8 == 0);
    assert_in_range(memkey_stored_size(stored.len), stored.len, stored.len + 8);
    memkey_store(bytes + 8, stored);
    assert_int_equal(bytes[7], 0xaa);
    assert_int_equal(bytes[8 + memkey_stored_size(stored.len)], 0xaa);
    struct memkey k;
    memkey_init(&k, key);
    return memkey_cmp(bytes + 8, stored.len, &k);
}

static void check(struct slice a, struct slice b)
{
    assert_int_equal(sign(stored_cmp(a, b)), sign(slice_cmp(a, b)));
    assert_int_equal(sign(stored_cmp(b, a)), sign(slice_cmp(b, a)));
    assert_int_equal(stored_cmp(a, a), 0);
}

static void test_zeros_at_the_end(void **state)
{
    (void)state;
    static const uint8_t zeros[LEN_MAX];
    for (size_t a = 0; a <= LEN_MAX; a++)
        for (size_t b = 0; b <= LEN_MAX; b++)
            check(slice_of(zeros, a), slice_of(zeros, b));
}

static void test_random(void **state)
{
    (void)state;
    static const uint8_t alphabet[] = {0, 0, 1, 0x7f, 0x80, 0xff};
    rng = unit_seed();
    for (int round = 0; round < 200000; round++) {
        uint8_t a[LEN_MAX], b[LEN_MAX];
        size_t a_len = rand_below(LEN_MAX + 1), b_len = rand_below(LEN_MAX + 1);
        size_t shared = rand_below(LEN_MAX + 1);
        for (size_t i = 0; i < LEN_MAX; i++) {
            a[i] = alphabet[rand_below(sizeof alphabet)];
            b[i] = i < shared ? a[i] : alphabet[rand_below(sizeof alphabet)];
        }
        check(slice_of(a, a_len), slice_of(b, b_len));
    }
}

static void test_word_at(void **state)
{
    (void)state;
    struct slice key = slice_str("abcdefghij");
    assert_int_equal(memkey_word_at(key, 0), UINT64_C(0x6162636465666768));
    assert_int_equal(memkey_word_at(key, 2), UINT64_C(0x636465666768696a));
    assert_int_equal(memkey_word_at(key, 3), UINT64_C(0x6465666768696a00));
    assert_int_equal(memkey_word_at(key, 9), UINT64_C(0x6a00000000000000));
    assert_int_equal(memkey_word_at(key, 10), 0);
    assert_int_equal(memkey_word_at(key, 99), 0);
    assert_int_equal(memkey_word_at(slice_of(NULL, 0), 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zeros_at_the_end),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_word_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
