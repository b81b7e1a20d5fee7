/* block_find: every point read against a sorted array, over many random blocks with and without
 * prints, with prints that say much and such that say little; then bytes that nobody sane has
 * written. */
#include <errno.h>

#include "store/block.h"
#include "store/filter.h"
#include "tests/sim/simrng.h"
#include "tests/unit/unit.h"

enum { KEY_MAX = 6, ROWS_MAX = 300, VALUE_MAX = 40 };

struct row {
    uint8_t key[KEY_MAX], value[VALUE_MAX];
    size_t key_len, value_len;
    uint64_t seq;
    enum entry_type type;
};

struct model {
    struct row rows[ROWS_MAX];
    size_t count;
    unsigned hash_bits; /* so many of a hash are used: 0 makes all prints alike */
    bool prints;
};

static struct slice row_key(const struct row *r)
{
    return slice_of(r->key, r->key_len);
}

static int row_cmp(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    return entry_cmp(row_key(x), x->seq, row_key(y), y->seq);
}

static uint64_t hash_of(const struct model *m, struct slice key)
{
    return filter_hash(key) & ((UINT64_C(1) << m->hash_bits) - 1);
}

static size_t random_key(struct simrng *rng, uint8_t key[KEY_MAX])
{
    size_t len = 1 + simrng_below(rng, KEY_MAX);
    for (size_t i = 0; i < len; i++)
        key[i] = (uint8_t)("a\xff\0b"[simrng_below(rng, 2 + simrng_below(rng, 3))]);
    return len;
}

static void model_fill(struct model *m, struct simrng *rng)
{
    size_t want = simrng_below(rng, ROWS_MAX);
    *m = (struct model){.hash_bits = (unsigned[]){0, 1, 3, 8, 60}[simrng_below(rng, 5)],
                        .prints = simrng_below(rng, 4) > 0};
    for (size_t i = 0; i < want; i++) {
        struct row *r = &m->rows[m->count++];
        r->key_len = random_key(rng, r->key);
        r->seq = 1000 + i; /* each number once */
        r->type = (enum entry_type)simrng_below(rng, ENTRY_RANGE_DELETE);
        r->value_len = simrng_below(rng, VALUE_MAX);
        memset(r->value, (int)i, r->value_len);
    }
    qsort(m->rows, m->count, sizeof *m->rows, row_cmp);
}

static void encode(const struct model *m, uint32_t interval, struct buf *out)
{
    struct block_writer w;
    block_writer_init(&w, 1);
    block_writer_set_interval(&w, interval);
    for (size_t i = 0; i < m->count; i++) {
        const struct row *r = &m->rows[i];
        struct entry e = {row_key(r), r->seq, r->type, 0, slice_of(r->value, r->value_len)};
        if (m->prints)
            block_writer_add_hashed(&w, &e, hash_of(m, e.key));
        else
            block_writer_add(&w, &e);
        assert_true(w.estimate_bytes >= w.entries.len + w.prints.len);
    }
    buf_clear(out);
    block_writer_finish(&w, out);
    block_writer_release(&w);
}

/* The read from (key, seq) on gives what the model has, down to the key's oldest. */
static void check_read(const struct model *m, const struct block *b, struct slice key, uint64_t seq)
{
    struct block_found f;
    size_t i = 0;
    while (i < m->count && entry_cmp(row_key(&m->rows[i]), m->rows[i].seq, key, seq) < 0)
        i++;
    int rc = block_find(b, key, hash_of(m, key), seq, &f);
    for (; i < m->count && slice_eq(row_key(&m->rows[i]), key); i++) {
        const struct row *r = &m->rows[i];
        assert_ok(rc);
        assert_true(slice_eq(f.e.key, key) && f.e.seq == r->seq && f.e.type == r->type);
        assert_slice(f.e.value, r->value, r->value_len);
        rc = block_find_next(b, &f);
    }
    assert_absent(rc);
}

static void reads_as_the_model_does(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    struct model *m = mem_alloc(sizeof *m);
    struct buf payload = {0};
    for (int round = 0; round < 400; round++) {
        struct block b;
        uint8_t key[KEY_MAX];
        model_fill(m, &rng);
        encode(m, 1u << simrng_below(&rng, 5), &payload);
        assert_ok(block_open(buf_slice(&payload), &b));
        assert_true((b.prints != NULL) == (m->prints && m->count > 0));
        for (int i = 0; i < 100; i++) {
            struct slice k = slice_of(key, random_key(&rng, key));
            if (m->count && simrng_coin(&rng))
                k = row_key(&m->rows[simrng_below(&rng, m->count)]);
            check_read(m, &b, k, simrng_coin(&rng) ? SEQ_MAX : 990 + simrng_below(&rng, 320));
        }
    }
    buf_release(&payload);
    free(m);
}

/* With prints an absent key whose print nobody has is known without a look at the entries. */
static void prints_spare_the_entries(void **state)
{
    (void)state;
    struct model m = {.hash_bits = 8, .prints = true};
    struct buf payload = {0};
    struct block b;
    struct block_found f;
    for (; m.count < 20; m.count++) {
        struct row *r = &m.rows[m.count];
        *r = (struct row){.key = {'k', (uint8_t)m.count}, .key_len = 2, .seq = 5};
        r->type = ENTRY_PUT;
    }
    encode(&m, 4, &payload);
    assert_ok(block_open(buf_slice(&payload), &b));
    uint8_t absent[2] = {'k', 20};
    uint64_t hash = 0;
    for (bool taken = true; taken; hash += taken)
        taken = memchr(b.prints, (int)hash, b.print_count) != NULL;
    memset(payload.data, 0xff, b.entries.len); /* nothing there decodes any more */
    assert_absent(block_find(&b, slice_of(absent, 2), hash, SEQ_MAX, &f));
    assert_errno(block_find(&b, slice_of(absent, 2), b.prints[7], SEQ_MAX, &f), EIO);
    buf_release(&payload);
}

static void unsound_prints_are_refused(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    struct model *m = mem_alloc(sizeof *m);
    struct buf payload = {0};
    struct block b;
    do
        model_fill(m, &rng);
    while (!m->prints || m->count < 40);
    encode(m, 8, &payload);
    assert_ok(block_open(buf_slice(&payload), &b));
    uint8_t *trailer = payload.data + payload.len - BLOCK_TRAILER_SIZE, *count = trailer - 4;
    assert_int_equal(trailer[16], 1 | 3 << 1);
    static const uint8_t flags[] = {2, 3 << 1, 1, 1 | 2 << 1, 1 | 4 << 1, 1 | 5 << 1, 16, 0x87};
    for (size_t i = 0; i < sizeof flags; i++) {
        trailer[16] = flags[i];
        assert_errno(block_open(buf_slice(&payload), &b), EIO);
    }
    trailer[16] = 1 | 3 << 1;
    static const int64_t off[] = {8, -8, 1 << 20, -(1 << 20)};
    uint32_t good = get_u32(count);
    for (size_t i = 0; i < sizeof off / sizeof *off; i++) {
        put_u32(count, (uint32_t)(good + off[i]));
        assert_errno(block_open(buf_slice(&payload), &b), EIO);
    }
    put_u32(count, good);
    assert_ok(block_open(buf_slice(&payload), &b));
    buf_release(&payload);
    free(m);
}

/* Reads of bytes that were changed: no crash, nothing but 0, 1 and -EIO, and what is given lies in
 * the payload. */
static void bytes_may_be_anything(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    struct model *m = mem_alloc(sizeof *m);
    struct buf payload = {0};
    for (int round = 0; round < 4000; round++) {
        struct block b;
        struct block_found f;
        uint8_t key[KEY_MAX];
        if (round % 20 == 0)
            model_fill(m, &rng);
        encode(m, 1u << simrng_below(&rng, 5), &payload);
        for (uint64_t i = 1 + simrng_below(&rng, 8); i > 0; i--)
            payload.data[simrng_below(&rng, payload.len)] = (uint8_t)simrng_below(&rng, 256);
        uint8_t *exact = mem_dup(payload.data, payload.len); /* so that a sanitizer sees the end */
        if (block_open(slice_of(exact, payload.len), &b) == 0) {
            for (int i = 0; i < 20; i++) {
                struct slice k = slice_of(key, random_key(&rng, key));
                int rc = block_find(&b, k, hash_of(m, k), SEQ_MAX, &f);
                for (; rc == 0; rc = block_find_next(&b, &f))
                    assert_true(f.e.value.data + f.e.value.len <= exact + payload.len);
                assert_true(rc == 1 || rc == -EIO);
            }
        }
        free(exact);
    }
    buf_release(&payload);
    free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_as_the_model_does),
        cmocka_unit_test(prints_spare_the_entries),
        cmocka_unit_test(unsound_prints_are_refused),
        cmocka_unit_test(bytes_may_be_anything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
