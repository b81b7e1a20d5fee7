/* table_meta: counting, encoding, and decoding of anything. */
#include "store/table.h"

#include <errno.h>

#include "tests/sim/simrng.h"
#include "tests/unit/unit.h"

static void fill(struct table_meta *m, struct simrng *rng)
{
    uint64_t bits = simrng_below(rng, 56);
    m->number = simrng_next(rng) >> bits;
    m->size_bytes = simrng_next(rng) >> bits;
    m->tag = simrng_next(rng);
    buf_set(&m->smallest, slice_of("aaaaaaaaaa", simrng_below(rng, 10)));
    buf_set(&m->limit, slice_of("aaaaaaaaaab", 11));
    m->min_seq = simrng_next(rng) >> (8 + bits);
    m->max_seq = m->min_seq + (SEQ_MAX - m->min_seq) / 2;
    m->entry_count = 100 + (simrng_next(rng) >> (1 + bits));
    m->delete_count = simrng_below(rng, 100);
    m->rangedel_count = simrng_next(rng) >> bits;
    m->raw_bytes = simrng_next(rng) >> bits;
    m->created_ns = simrng_next(rng) >> bits;
    m->key_epoch = (uint32_t)simrng_below(rng, 3);
    if (m->size_bytes > 4096)
        m->front = 96 + simrng_below(rng, 4000);
    for (uint64_t i = simrng_below(rng, 5); i > 0; i--)
        table_meta_add_share(m, simrng_next(rng) >> bits, 1 + simrng_below(rng, 9),
                             simrng_next(rng) >> bits);
}

static void assert_same(const struct table_meta *a, const struct table_meta *b)
{
    assert_int_equal(a->number, b->number);
    assert_int_equal(a->size_bytes, b->size_bytes);
    assert_int_equal(a->tag, b->tag);
    assert_true(slice_eq(buf_slice(&a->smallest), buf_slice(&b->smallest)));
    assert_true(slice_eq(buf_slice(&a->limit), buf_slice(&b->limit)));
    assert_int_equal(a->min_seq, b->min_seq);
    assert_int_equal(a->max_seq, b->max_seq);
    assert_int_equal(a->entry_count, b->entry_count);
    assert_int_equal(a->delete_count, b->delete_count);
    assert_int_equal(a->rangedel_count, b->rangedel_count);
    assert_int_equal(a->raw_bytes, b->raw_bytes);
    assert_int_equal(a->created_ns, b->created_ns);
    assert_int_equal(a->key_epoch, b->key_epoch);
    assert_int_equal(a->front, b->front);
    assert_int_equal(a->share_count, b->share_count);
    for (uint32_t i = 0; i < a->share_count; i++)
        assert_memory_equal(&a->shares[i], &b->shares[i], sizeof a->shares[i]);
    assert_int_equal(a->held_count, b->held_count);
    for (uint32_t i = 0; i < a->held_count; i++)
        assert_memory_equal(&a->held[i], &b->held[i], sizeof a->held[i]);
}

static void test_round_trip(void **state)
{
    struct simrng rng = {unit_seed()};
    (void)state;
    for (int i = 0; i < 1000; i++) {
        struct table_meta *m = table_meta_new(), *back;
        struct buf out = {0};
        fill(m, &rng);
        table_meta_encode(m, &out);
        assert_ok(table_meta_decode(buf_slice(&out), &back));
        assert_int_equal(back->refs, 1);
        assert_same(m, back);
        table_meta_unref(back);
        table_meta_unref(m);
        buf_release(&out);
    }
}

/* The bytes of one record, so that the format cannot change unnoticed. */
static void test_golden(void **state)
{
    static const uint8_t expected[] = {
        1,  1, 12,                          /* number */
        3,  2, 0xac, 2,                     /* size */
        5,  8, 8,    7, 6,  5, 4, 3,  2, 1, /* footer tag */
        7,  1, 'a',                         /* smallest */
        9,  1, 'b',                         /* limit */
        11, 1, 3,                           /* min_seq */
        13, 1, 9,                           /* max_seq */
        14, 1, 40,                          /* entry_count */
        16, 1, 5,                           /* delete_count */
        18, 1, 2,                           /* rangedel_count */
        20, 1, 100,                         /* raw_bytes */
        22, 1, 77,                          /* created_ns */
        25, 6, 7,    2, 50, 3, 1, 60,       /* shares: 7 (2, 50), 10 (1, 60) */
        26, 4, 5,    6, 4,  8,              /* held: 5 (6), 9 (8) */
        40, 1, 3,                           /* key_epoch */
        43, 2, 0xc8, 1,                     /* front */
    };
    struct table_held held[] = {{5, 6}, {9, 8}};
    struct table_meta *m = table_meta_new(), *back;
    struct buf out = {0};
    (void)state;
    m->number = 12;
    m->size_bytes = 300;
    m->tag = 0x0102030405060708;
    buf_set(&m->smallest, slice_str("a"));
    buf_set(&m->limit, slice_str("b"));
    m->min_seq = 3;
    m->max_seq = 9;
    m->entry_count = 40;
    m->delete_count = 5;
    m->rangedel_count = 2;
    m->raw_bytes = 100;
    m->created_ns = 77;
    m->key_epoch = 3;
    m->front = 200;
    table_meta_add_share(m, 10, 1, 60);
    table_meta_add_share(m, 7, 1, 20);
    table_meta_add_share(m, 7, 1, 30);
    m->held = mem_dup(held, sizeof held);
    m->held_count = 2;
    table_meta_encode(m, &out);
    assert_slice(buf_slice(&out), expected, sizeof expected);
    assert_ok(table_meta_decode(buf_slice(&out), &back));
    assert_same(m, back);
    table_meta_unref(back);
    table_meta_unref(m);
    buf_release(&out);
}

/* The hole is in whole units, behind header and dictionary and before the front. */
static void test_hole(void **state)
{
    enum { UNIT = ENV_PUNCH_UNIT };
    static const struct {
        uint64_t dict_len, front, from, end; /* end 0: none */
    } cases[] = {
        {0, 0, 0, 0},
        {0, 96, 0, 0},
        {0, 2 * UNIT - 1, 0, 0},
        {0, 2 * UNIT, UNIT, 2 * UNIT},
        {0, 5 * UNIT + 7, UNIT, 5 * UNIT},
        {UNIT, 5 * UNIT, 2 * UNIT, 5 * UNIT},
        {4 * UNIT, 5 * UNIT, 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct table_meta m = {.size_bytes = 10 * UNIT,
                               .dict_len = (uint32_t)cases[i].dict_len,
                               .front = cases[i].front};
        uint64_t from, end, gone = cases[i].end - cases[i].from;
        assert_int_equal(table_meta_hole(&m, &from, &end), cases[i].end > 0);
        if (cases[i].end > 0)
            assert_true(from == cases[i].from && end == cases[i].end);
        assert_int_equal(table_meta_bytes(&m), 10 * UNIT - (cases[i].end ? gone : 0));
    }
}

static void assert_refused(struct slice in)
{
    struct table_meta *m;
    assert_errno(table_meta_decode(in, &m), EIO);
    assert_null(m);
}

/* A record that decodes: smallest "a", limit "b", one entry; then `tail`. */
static struct buf record(const char *tail, size_t len)
{
    struct buf out = {0};
    buf_append_bytes(&out, "\7\1a\11\1b\16\1\1", 9);
    buf_append_bytes(&out, tail, len);
    return out;
}

static void test_unknown_fields(void **state)
{
    struct buf even = record("\200\1\3xyz", 6), odd = record("\201\1\3xyz", 6);
    struct table_meta *m;
    (void)state;
    assert_ok(table_meta_decode(buf_slice(&even), &m));
    assert_int_equal(m->entry_count, 1);
    table_meta_unref(m);
    assert_refused(buf_slice(&odd));
    buf_release(&even);
    buf_release(&odd);
}

static void test_refused(void **state)
{
    static const struct {
        const char *tail;
        size_t len;
    } tails[] = {
        {"\16\1\1", 3},                                    /* a field twice */
        {"\15\1\1\13\1\1", 6},                             /* tags that fall */
        {"\20\1\2", 3},                                    /* more deletes than entries */
        {"\31\3\1\0\0", 5},                                /* a share without references */
        {"\31\3\1\2\0", 5},                                /* more references than entries */
        {"\31\6\1\1\0\0\1\0", 8},                          /* the same blob file twice */
        {"\31\2\1\1", 4},                                  /* a share cut off */
        {"\32\4\1\1\0\1", 6},                              /* the same pin twice */
        {"\32\1\1", 3},                                    /* a pin cut off */
        {"\24\2\1\1", 4},                                  /* a number and bytes behind it */
        {"\24\0", 2},                                      /* a number without bytes */
        {"\24\1", 2},                                      /* a field cut off */
        {"\24", 1},                                        /* a tag alone */
        {"\53\1\140", 3},                                  /* a front, and the file has no size */
        {"\24\377\377\377\377\377\377\377\377\377\1", 11}, /* a length past all bounds */
    };
    (void)state;
    struct buf good = record("", 0);
    struct table_meta *m;
    assert_ok(table_meta_decode(buf_slice(&good), &m));
    table_meta_unref(m);
    buf_release(&good);
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
        struct buf bad = record(tails[i].tail, tails[i].len);
        assert_refused(buf_slice(&bad));
        buf_release(&bad);
    }
    assert_refused(slice_str(""));
    assert_refused(slice_of("\7\1b\11\1a\16\1\1", 9));         /* smallest above limit */
    assert_refused(slice_of("\7\1a\11\1a\16\1\1", 9));         /* an empty span */
    assert_refused(slice_of("\7\1a\11\1b\13\1\5\16\1\1", 12)); /* min_seq above max_seq */
    assert_refused(slice_of("\7\1a\11\1b", 6));                /* no entry, no tombstone */
    assert_refused(slice_of("\5\1\1\7\1a\11\1b\16\1\1", 12));  /* a footer tag of one byte */
}

/* Anything decodes or is refused; what decodes can be encoded, and decodes again to the same. */
static void test_any_bytes(void **state)
{
    struct simrng rng = {unit_seed()};
    struct table_meta *m = table_meta_new(), *back, *again;
    struct buf good = {0}, bytes = {0};
    size_t decoded = 0;
    (void)state;
    fill(m, &rng);
    table_meta_add_share(m, 5, 5, 5);
    table_meta_encode(m, &good);
    table_meta_unref(m);
    for (int i = 0; i < 20000; i++) {
        buf_set(&bytes, buf_slice(&good));
        for (uint64_t n = simrng_below(&rng, 4); n > 0; n--)
            bytes.data[simrng_below(&rng, bytes.len)] = (uint8_t)simrng_next(&rng);
        bytes.len -= simrng_below(&rng, 4) ? 0 : simrng_below(&rng, bytes.len);
        uint8_t *exact = mem_dup(bytes.data, bytes.len); /* so that a byte too many is seen */
        int rc = table_meta_decode(slice_of(exact, bytes.len), &back);
        free(exact);
        assert_true(rc == 0 || rc == -EIO);
        if (rc)
            continue;
        decoded++;
        buf_clear(&bytes);
        table_meta_encode(back, &bytes);
        assert_ok(table_meta_decode(buf_slice(&bytes), &again));
        assert_same(back, again);
        table_meta_unref(again);
        table_meta_unref(back);
    }
    assert_true(decoded > 1000 && decoded < 19000);
    buf_release(&good);
    buf_release(&bytes);
}

static void test_references(void **state)
{
    struct table_meta *m = table_meta_new();
    (void)state;
    assert_ptr_equal(table_meta_ref(m), m);
    assert_int_equal(m->refs, 2);
    table_meta_unref(m);
    assert_int_equal(m->refs, 1);
    table_meta_unref(m);
    table_meta_unref(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_golden),
        cmocka_unit_test(test_hole),       cmocka_unit_test(test_unknown_fields),
        cmocka_unit_test(test_refused),    cmocka_unit_test(test_any_bytes),
        cmocka_unit_test(test_references),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
