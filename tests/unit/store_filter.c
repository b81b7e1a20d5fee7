/* filter: what was put in is found, what was not mostly is not, in as few bits as filter.h
 * promises; the bytes are those that the text of filter.c describes; no bytes lead the reader
 * astray. */
#include "store/filter.h"

#include <errno.h>

#include "tests/sim/simrng.h"
#include "tests/unit/unit.h"

static void fill_random(struct simrng *rng, uint64_t *hashes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        hashes[i] = simrng_next(rng);
}

/* A filter over copies of the hashes; the caller releases it. */
static struct buf build(const uint64_t *hashes, size_t count, uint32_t one_in)
{
    struct buf out = {0};
    uint64_t *scratch = mem_alloc(count * sizeof *scratch);
    if (count)
        memcpy(scratch, hashes, count * sizeof *scratch);
    filter_build(scratch, count, one_in, &out);
    free(scratch);
    return out;
}

static struct filter opened(const struct buf *bytes)
{
    struct filter f;
    assert_ok(filter_open(buf_slice(bytes), &f));
    return f;
}

static void assert_all_found(const struct filter *f, const uint64_t *hashes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!filter_may_contain(f, hashes[i]))
            fail_msg("hash %zu of %zu, 0x%llx, is lost", i, count, (unsigned long long)hashes[i]);
}

/* How many of `questions` other hashes it takes for its own. */
static size_t false_positives(const struct filter *f, struct simrng *rng, size_t questions)
{
    size_t found = 0;
    for (size_t i = 0; i < questions; i++)
        found += filter_may_contain(f, simrng_next(rng));
    return found;
}

/* ---- what it answers ---- */

static void test_empty(void **state)
{
    (void)state;
    struct buf bytes = build(NULL, 0, 100);
    struct filter f = opened(&bytes);
    struct simrng rng = {1};
    assert_int_equal(filter_count(&f), 0);
    assert_int_equal(false_positives(&f, &rng, 1000), 0);
    assert_false(filter_may_contain(&f, 0));
    buf_release(&bytes);
}

/* Checks a filter of `count` random hashes: their answers, its count, and its size. */
static void check_size(struct simrng *rng, size_t count, uint32_t one_in, double bits_max)
{
    uint64_t *hashes = mem_alloc(count * sizeof *hashes);
    fill_random(rng, hashes, count);
    struct buf bytes = build(hashes, count, one_in);
    struct filter f = opened(&bytes);
    assert_all_found(&f, hashes, count);
    assert_int_equal(filter_count(&f), count);
    double bits = (double)bytes.len * 8;
    if (bits > bits_max)
        fail_msg("%zu hashes at 1/%u take %zu bytes, not %.0f", count, one_in, bytes.len,
                 bits_max / 8);
    buf_release(&bytes);
    free(hashes);
}

static void test_every_small_size(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    for (size_t count = 0; count <= 1000; count++)
        check_size(&rng, count, 100, 16.0 * (double)count + 16 * 8);
}

static void test_space(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    check_size(&rng, 50, 100, 9.6 * 50);
    check_size(&rng, 1000, 100, 7.4 * 1000);
    check_size(&rng, 10000, 100, 7.0 * 10000);
    check_size(&rng, 65537, 100, 7.0 * 65537);
    check_size(&rng, 1000000, 100, 6.85 * 1000000);
    check_size(&rng, 100000, 2, 1.15 * 100000);
    check_size(&rng, 100000, 65536, 16.3 * 100000);
}

/* Asks a million hashes. The seed is fixed, so that chance decides once and not at each run; what a
 * rate of just 1/one_in would make likely is allowed. */
static void check_rate(size_t count, uint32_t one_in, size_t hits_max)
{
    struct simrng rng = {count + one_in};
    uint64_t *hashes = mem_alloc(count * sizeof *hashes);
    fill_random(&rng, hashes, count);
    struct buf bytes = build(hashes, count, one_in);
    struct filter f = opened(&bytes);
    assert_all_found(&f, hashes, count);
    size_t hits = false_positives(&f, &rng, 1000000);
    print_message("%zu hashes at 1/%u: %.3f bits each, %zu of 1000000 others found\n", count,
                  one_in, (double)bytes.len * 8 / (double)count, hits);
    if (hits > hits_max)
        fail_msg("%zu hashes at 1/%u: %zu of 1000000 others found", count, one_in, hits);
    buf_release(&bytes);
    free(hashes);
}

static void test_rate(void **state)
{
    (void)state;
    check_rate(1000000, 100, 10000);
    check_rate(10000, 100, 10000);
    check_rate(600, 100, 10000);
    check_rate(50, 100, 10000);
    check_rate(3, 100, 10000);
    check_rate(100000, 2, 500000);
    check_rate(100000, 3, 333333);
    check_rate(100000, 64, 15625);
    check_rate(100000, 1000, 1000 + 60);
    check_rate(100000, 65536, 15 + 12);
}

static void test_duplicates(void **state)
{
    enum { DISTINCT = 2000, COPIES = 5, COUNT = DISTINCT * COPIES };
    (void)state;
    struct simrng rng = {unit_seed()};
    uint64_t hashes[COUNT];
    for (size_t i = 0; i < DISTINCT; i++)
        hashes[i] = simrng_next(&rng);
    for (size_t i = DISTINCT; i < COUNT; i++)
        hashes[i] = hashes[simrng_below(&rng, DISTINCT)];
    struct buf once = build(hashes, DISTINCT, 100), often = build(hashes, COUNT, 100);
    struct filter f = opened(&often);
    assert_int_equal(filter_count(&f), DISTINCT);
    assert_all_found(&f, hashes, DISTINCT);
    assert_slice(buf_slice(&often), once.data, once.len);
    for (size_t i = 0; i < COUNT; i++)
        hashes[i] = 7;
    struct buf one = build(hashes, COUNT, 100);
    f = opened(&one);
    assert_int_equal(filter_count(&f), 1);
    assert_true(filter_may_contain(&f, 7));
    buf_release(&once);
    buf_release(&often);
    buf_release(&one);
}

/* ---- hashes that are not like random ones ---- */

/* Undoes x ^ x >> 33 and multiplication, and so what the first layer does to a hash: see filter.c.
 */
static uint64_t unmixed(uint64_t x)
{
    const uint64_t factors[2] = {0xC4CEB9FE1A85EC53u, 0xFF51AFD7ED558CCDu};
    for (size_t i = 0; i < 2; i++) {
        uint64_t inverse = factors[i]; /* right in 3 bits, and in twice as many after each step */
        for (int step = 0; step < 5; step++)
            inverse *= 2 - factors[i] * inverse;
        x = (x ^ x >> 33) * inverse;
    }
    return (x ^ x >> 33) - 0x9E3779B97F4A7C15u;
}

static uint64_t bits_reversed(uint64_t x)
{
    uint64_t reversed = 0;
    for (int i = 0; i < 64; i++)
        reversed |= (x >> i & 1) << (63 - i);
    return reversed;
}

enum { CLUSTERS = 7 };

/* Hash `i` of a set of some kind. The last three kinds are made against the mixing: equations that
 * all start in a few buckets, or at one slot. */
static uint64_t clustered(int kind, uint64_t i, struct simrng *rng)
{
    switch (kind) {
    case 0:
        return i;
    case 1:
        return 0xABCDEF0000000000u + i;
    case 2:
        return bits_reversed(i);
    case 3:
        return i << 32;
    case 4:
        return unmixed(0x7000000000000000u + i);
    case 5:
        return unmixed(simrng_next(rng) >> 44 | (uint64_t)3 << 62);
    default:
        return unmixed((i % 4) << 62 | simrng_next(rng) >> 12);
    }
}

static void test_clusters(void **state)
{
    static const size_t counts[] = {40, 300, 5000, 100000};
    (void)state;
    struct simrng rng = {unit_seed()};
    for (size_t i = 0; i < CLUSTERS * sizeof counts / sizeof *counts; i++) {
        size_t count = counts[i / CLUSTERS];
        int kind = (int)(i % CLUSTERS);
        uint64_t *hashes = mem_alloc(count * sizeof *hashes);
        for (size_t j = 0; j < count; j++)
            hashes[j] = clustered(kind, j, &rng);
        struct buf bytes = build(hashes, count, 100);
        struct filter f = opened(&bytes);
        assert_all_found(&f, hashes, count);
        if (kind < 4) {
            assert_int_equal(filter_count(&f), count);
            assert_in_range(false_positives(&f, &rng, 100000), 0, 1200);
        }
        buf_release(&bytes);
        free(hashes);
    }
}

/* Equations of one start cannot be solved in a layer that has no next one: it says "maybe". */
static void test_maybe(void **state)
{
    (void)state;
    struct simrng rng = {1};
    uint64_t hashes[300];
    for (uint64_t i = 0; i < 300; i++)
        hashes[i] = clustered(4, i, &rng);
    struct buf bytes = build(hashes, 300, 100);
    struct filter f = opened(&bytes);
    assert_all_found(&f, hashes, 300);
    assert_int_equal(filter_count(&f), 300);
    assert_int_equal(false_positives(&f, &rng, 100), 100);
    assert_int_equal(bytes.len, 8); /* the header, and a layer without slots */
    buf_release(&bytes);
}

/* ---- the bytes ---- */

/* The same set gives the same bytes, in whatever order, behind whatever is in the buffer. */
static void test_deterministic(void **state)
{
    enum { COUNT = 5000 };
    (void)state;
    struct simrng rng = {unit_seed()};
    uint64_t hashes[COUNT];
    fill_random(&rng, hashes, COUNT);
    struct buf first = build(hashes, COUNT, 100), second = {0};
    for (size_t i = COUNT; i > 1; i--) {
        size_t other = simrng_below(&rng, i);
        uint64_t moved = hashes[i - 1];
        hashes[i - 1] = hashes[other];
        hashes[other] = moved;
    }
    buf_append(&second, slice_str("before"));
    filter_build(hashes, COUNT, 100, &second);
    assert_memory_equal(second.data, "before", 6);
    assert_slice(slice_of(second.data + 6, second.len - 6), first.data, first.len);
    buf_release(&first);
    buf_release(&second);
}

/* Volumes have such filters: none of these numbers may ever change. */
static void test_frozen(void **state)
{
    static const struct {
        size_t count, len;
        uint32_t one_in;
        uint64_t digest;
    } frozen[] = {
        {0, 5, 100, 0xCF8BCFB43E1CB119u},    {1, 14, 100, 0x3D36F2F7CE87E1AEu},
        {100, 98, 100, 0x0285982F7699A8C3u}, {5000, 4294, 100, 0xCD02D19AB54CD304u},
        {5000, 715, 2, 0xE7D13CBD8AD9B3F2u}, {100000, 156278, 5000, 0xBB87F77B1AC1361Bu},
    };
    (void)state;
    assert_int_equal(filter_hash(slice_str("")), 0x2D06800538D394C2u);
    assert_int_equal(filter_hash(slice_str("varve")), 0xC64E3D9268DD4F6Fu);
    for (size_t i = 0; i < sizeof frozen / sizeof *frozen; i++) {
        struct simrng rng = {4711};
        uint64_t *hashes = mem_alloc(frozen[i].count * sizeof *hashes);
        fill_random(&rng, hashes, frozen[i].count);
        struct buf bytes = build(hashes, frozen[i].count, frozen[i].one_in);
        assert_int_equal(bytes.len, frozen[i].len);
        assert_int_equal(filter_hash(buf_slice(&bytes)), frozen[i].digest);
        buf_release(&bytes);
        free(hashes);
    }
}

/* A second reader, word for word after the text at the top of filter.c, and as slow as it likes. */
struct plain {
    struct slice left;
    uint32_t columns, share, layers;
    uint64_t units, starts, low;
    uint8_t seed;
    struct slice solution, codes;
};

static void plain_open(struct slice bytes, struct plain *p)
{
    uint8_t version = 0, columns = 0, share = 0, layers = 0;
    uint64_t count;
    p->left = bytes;
    assert_true(take_u8(&p->left, &version) && take_u8(&p->left, &columns));
    assert_true(take_u8(&p->left, &share) && take_u8(&p->left, &layers));
    assert_true(take_varint(&p->left, &count) && version == 1);
    p->columns = columns;
    p->share = share;
    p->layers = layers;
}

static uint32_t plain_columns(const struct plain *p, uint64_t block)
{
    return block < p->low ? p->columns - 1 : p->columns;
}

static void plain_next_layer(struct plain *p, bool is_last)
{
    assert_true(take_varint(&p->left, &p->units) && take_u8(&p->left, &p->seed));
    if (p->units == 0)
        return;
    uint64_t slots = 8 * p->units, blocks = (slots + 63) / 64;
    p->starts = slots < 64 ? 1 : slots - 63;
    p->low = p->starts * p->share / 256 / 64;
    size_t len = 0;
    for (uint64_t block = 0; block < blocks; block++)
        len += (block + 1 < blocks ? 64 : slots - 64 * block) / 8 * plain_columns(p, block);
    assert_true(take_bytes(&p->left, len, &p->solution));
    uint64_t buckets = (p->starts + 127) / 128;
    assert_true(take_bytes(&p->left, is_last ? 0 : (buckets + 3) / 4, &p->codes));
}

static uint32_t plain_bit(const struct plain *p, uint64_t slot, uint32_t column)
{
    size_t at = 0;
    for (uint64_t block = 0; block < slot / 64; block++)
        at += 8 * plain_columns(p, block);
    uint64_t first = slot / 64 * 64, slots = 8 * p->units - first;
    at += column * (slots < 64 ? slots : 64) / 8;
    uint64_t bit = slot - first;
    return p->solution.data[at + bit / 8] >> bit % 8 & 1;
}

/* 1 "maybe", 0 "no", -1 bumped. */
static int plain_ask_layer(const struct plain *p, uint64_t h)
{
    static const uint8_t thresholds[4] = {0, 16, 40, 128};
    uint64_t start = (uint64_t)((unsigned __int128)h * p->starts >> 64), bucket = start / 128;
    if (p->codes.len > 0) {
        uint32_t code = p->codes.data[bucket / 4] >> 2 * (bucket % 4) & 3;
        if (start % 128 < thresholds[code])
            return -1;
    }
    uint64_t spread = (h + p->seed) * 0xD6E8FEB86659FD93u,
             coefficients = (spread ^ spread >> 32) | 1;
    uint64_t fingerprint = h * 0xA0761D6478BD642Fu >> 47, slots = 8 * p->units;
    for (uint32_t j = 0; j < plain_columns(p, start / 64); j++) {
        uint32_t parity = 0;
        for (uint64_t i = 0; i < 64 && start + i < slots; i++)
            parity ^= (coefficients >> i & 1) && plain_bit(p, start + i, j);
        if (parity != (fingerprint >> j & 1))
            return 0;
    }
    return 1;
}

static bool plain_ask(struct slice bytes, uint64_t h)
{
    struct plain p = {0};
    plain_open(bytes, &p);
    for (uint32_t i = 0; i < p.layers; i++) {
        plain_next_layer(&p, i + 1 == p.layers);
        h += 0x9E3779B97F4A7C15u;
        h = (h ^ h >> 33) * 0xFF51AFD7ED558CCDu;
        h = (h ^ h >> 33) * 0xC4CEB9FE1A85EC53u;
        h ^= h >> 33;
        int answer = p.units ? plain_ask_layer(&p, h) : 1;
        if (answer >= 0)
            return answer;
    }
    return false;
}

static void test_second_reader(void **state)
{
    static const size_t counts[] = {0, 1, 9, 64, 65, 200, 513, 700, 3000};
    (void)state;
    struct simrng rng = {unit_seed()};
    for (size_t i = 0; i < 4 * sizeof counts / sizeof *counts; i++) {
        size_t count = counts[i / 4];
        uint64_t hashes[3000];
        fill_random(&rng, hashes, count);
        struct buf bytes = build(hashes, count, (uint32_t)simrng_below(&rng, 200) + 2);
        struct filter f = opened(&bytes);
        for (size_t j = 0; j < 1000; j++) {
            uint64_t h = count > 0 && j % 2 ? hashes[simrng_below(&rng, count)] : simrng_next(&rng);
            assert_int_equal(filter_may_contain(&f, h), plain_ask(buf_slice(&bytes), h));
        }
        buf_release(&bytes);
    }
}

/* ---- bytes that are no filter ---- */

/* Opens a copy of just this length, so that the sanitizer sees each read outside; asks if it opens.
 * Returns whether it did. */
static bool survives(struct slice bytes, struct simrng *rng, size_t questions)
{
    struct filter f;
    uint8_t *copy = mem_dup(bytes.data, bytes.len);
    int rc = filter_open(slice_of(copy, bytes.len), &f);
    assert_true(rc == 0 || rc == -EIO);
    if (rc == 0) {
        false_positives(&f, rng, questions);
        for (uint64_t i = 0; i < 64; i++) { /* the first and the last starts of the first layer */
            filter_may_contain(&f, unmixed(i << 40));
            filter_may_contain(&f, unmixed(UINT64_MAX - (i << 40)));
        }
        filter_count(&f);
    }
    free(copy);
    return rc == 0;
}

/* Any prefix, anything behind, and each header field out of its range. */
static void test_corrupt_shape(void **state)
{
    static const struct {
        size_t at;
        uint8_t value;
    } wrong[] = {{0, 0}, {0, 2}, {1, 1}, {1, 18}, {1, 255}, {3, 0}, {3, 17}, {4, 0}};
    (void)state;
    struct simrng rng = {1};
    uint64_t hashes[100];
    fill_random(&rng, hashes, 100);
    struct buf bytes = build(hashes, 100, 100);
    for (size_t len = 0; len < bytes.len; len++)
        assert_false(survives(slice_of(bytes.data, len), &rng, 10));
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        uint8_t right = bytes.data[wrong[i].at];
        bytes.data[wrong[i].at] = wrong[i].value;
        assert_false(survives(buf_slice(&bytes), &rng, 10));
        bytes.data[wrong[i].at] = right;
    }
    assert_true(survives(buf_slice(&bytes), &rng, 10));
    buf_put_u8(&bytes, 0);
    assert_false(survives(buf_slice(&bytes), &rng, 10));
    buf_release(&bytes);
}

static void test_corrupt_mutated(void **state)
{
    static const size_t counts[] = {3, 50, 100, 600, 2000};
    (void)state;
    struct simrng rng = {unit_seed()};
    size_t opens = 0;
    for (size_t round = 0; round < 5000; round++) {
        uint64_t hashes[2000];
        size_t count = counts[round % 5];
        fill_random(&rng, hashes, count);
        struct buf bytes = {0};
        filter_build(hashes, count, 100, &bytes);
        for (uint64_t changes = simrng_below(&rng, 4) + 1; changes > 0; changes--) {
            size_t head = simrng_coin(&rng) ? 8 : bytes.len;
            bytes.data[simrng_below(&rng, head)] ^= (uint8_t)(1u << simrng_below(&rng, 8));
        }
        opens += survives(buf_slice(&bytes), &rng, 100);
        buf_release(&bytes);
    }
    assert_true(opens > 500);
}

/* Random bytes under a good header. Small ones are small layers, so that of all lengths of one
 * array some are those of a filter. */
static void test_corrupt_random(void **state)
{
    enum { LEN = 600 };
    (void)state;
    struct simrng rng = {unit_seed()};
    size_t opens = 0;
    for (size_t round = 0; round < 300; round++) {
        uint8_t bytes[LEN];
        uint64_t limit = simrng_below(&rng, 4) ? simrng_below(&rng, 16) + 2 : 256;
        for (size_t i = 0; i < LEN; i++)
            bytes[i] = (uint8_t)simrng_below(&rng, limit);
        bytes[0] = 1;
        bytes[1] = (uint8_t)(simrng_below(&rng, 16) + 2);
        bytes[2] = (uint8_t)simrng_next(&rng);
        bytes[3] = (uint8_t)(simrng_below(&rng, simrng_coin(&rng) ? 16 : 3) + 1);
        bytes[4] = 1;
        for (size_t len = 0; len <= LEN; len++)
            opens += survives(slice_of(bytes, len), &rng, 300);
    }
    assert_true(opens > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),          cmocka_unit_test(test_every_small_size),
        cmocka_unit_test(test_space),          cmocka_unit_test(test_rate),
        cmocka_unit_test(test_duplicates),     cmocka_unit_test(test_clusters),
        cmocka_unit_test(test_maybe),          cmocka_unit_test(test_deterministic),
        cmocka_unit_test(test_frozen),         cmocka_unit_test(test_second_reader),
        cmocka_unit_test(test_corrupt_shape),  cmocka_unit_test(test_corrupt_mutated),
        cmocka_unit_test(test_corrupt_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
