/* The merge operator: against a naive model of a chunk, and that any grouping that keeps the order
 * gives the same bytes. */
#include "tests/unit/unit.h"

#include "fs/format.h"
#include "tests/sim/simrng.h"

static struct key chunk_key(void)
{
    return key_chunk(20, 3);
}

static int full(struct key k, const struct slice *base, const struct slice *operands, size_t count,
                struct buf *out)
{
    return fs_merge.full(fs_merge.ctx, key_slice(&k), base, operands, count, out);
}

static int partial(struct key k, const struct slice *operands, size_t count, struct buf *out)
{
    return fs_merge.partial(fs_merge.ctx, key_slice(&k), operands, count, out);
}

/* ---- a model of a chunk ---- */

enum { MODEL_MAX = 4096 };
struct chunk_model {
    uint8_t bytes[MODEL_MAX];
    size_t len;
};

static void model_write(struct chunk_model *m, size_t offset, const uint8_t *data, size_t len)
{
    for (; m->len < offset + len; m->len++)
        m->bytes[m->len] = 0;
    for (size_t i = 0; i < len; i++)
        m->bytes[offset + i] = data[i];
}

static void model_cut(struct chunk_model *m, size_t offset)
{
    if (m->len > offset)
        m->len = offset;
}

static void model_zero(struct chunk_model *m, size_t offset, size_t len)
{
    for (size_t i = offset; i < offset + len && i < m->len; i++)
        m->bytes[i] = 0;
}

/* Appends a random patch to `operand`, and does the same to the model. */
static void random_patch(struct simrng *r, size_t span, struct buf *operand, struct chunk_model *m)
{
    uint32_t offset = (uint32_t)simrng_below(r, span);
    uint8_t data[MODEL_MAX];
    if (simrng_below(r, 4) == 0) {
        patch_put_cut(operand, offset);
        model_cut(m, offset);
        return;
    }
    size_t len = simrng_below(r, span - offset + 1);
    if (simrng_below(r, 5) == 0) {
        patch_put_zero(operand, offset, (uint32_t)len);
        model_zero(m, offset, len);
        return;
    }
    if (simrng_below(r, 3))
        len = len < 20 ? len : 20;
    for (size_t i = 0; i < len; i++)
        data[i] = (uint8_t)simrng_next(r);
    patch_put_write(operand, offset, slice_of(data, len));
    model_write(m, offset, data, len);
}

/* ---- histories ---- */

enum { OPERANDS_MAX = 40 };
struct history {
    struct buf operand[OPERANDS_MAX];
    struct slice list[OPERANDS_MAX];
    size_t count;
    struct buf base;
    bool has_base;
    struct chunk_model m;
};

static void history_make(struct history *h, struct simrng *r)
{
    *h = (struct history){.count = 1 + simrng_below(r, OPERANDS_MAX), .has_base = simrng_coin(r)};
    size_t span = simrng_coin(r) ? MODEL_MAX : 1 + simrng_below(r, 64);
    if (h->has_base) {
        size_t len = simrng_below(r, span + 1);
        for (size_t i = 0; i < len; i++)
            buf_put_u8(&h->base, (uint8_t)simrng_next(r));
        model_write(&h->m, 0, h->base.data, len);
    }
    for (size_t i = 0; i < h->count; i++) {
        for (uint64_t patches = 1 + simrng_below(r, 3) / 2; patches > 0; patches--)
            random_patch(r, span, &h->operand[i], &h->m);
        h->list[i] = buf_slice(&h->operand[i]);
    }
}

static void history_release(struct history *h)
{
    for (size_t i = 0; i < h->count; i++)
        buf_release(&h->operand[i]);
    buf_release(&h->base);
}

/* Folds neighbours together at random, some of them several times; the base with the first few. */
static void fold_at_random(struct history *h, struct simrng *r)
{
    while (h->count > 1 || (h->has_base && h->count > 0 && simrng_coin(r))) {
        size_t first = simrng_below(r, h->count), n = 1 + simrng_below(r, h->count - first);
        struct buf out = {0};
        if (h->has_base && first == 0 && simrng_coin(r)) {
            struct slice base = buf_slice(&h->base);
            assert_ok(full(chunk_key(), &base, h->list, n, &out));
            buf_release(&h->base);
            h->base = out;
        } else {
            if (partial(chunk_key(), h->list + first, n, &out) == 1) {
                buf_release(&out);
                break; /* better left apart */
            }
            first++;
            n--;
            buf_release(&h->operand[first - 1]);
            h->operand[first - 1] = out;
            h->list[first - 1] = buf_slice(&out);
        }
        for (size_t i = first; i < first + n; i++)
            buf_release(&h->operand[i]);
        for (size_t i = first; i + n < h->count; i++) {
            h->operand[i] = h->operand[i + n];
            h->list[i] = h->list[i + n];
        }
        h->count -= n;
    }
}

static void assert_folds_to_model(const struct history *h)
{
    struct slice base = buf_slice(&h->base);
    struct buf out = {0};
    if (h->count == 0) {
        assert_slice(base, h->m.bytes, h->m.len);
        return;
    }
    buf_append(&out, slice_str("before")); /* results are appended */
    assert_ok(full(chunk_key(), h->has_base ? &base : NULL, h->list, h->count, &out));
    assert_slice(slice_of(out.data, 6), "before", 6);
    assert_slice(slice_of(out.data + 6, out.len - 6), h->m.bytes, h->m.len);
    buf_release(&out);
}

static void test_full_fold(void **state)
{
    (void)state;
    struct simrng r = {unit_seed()};
    for (int i = 0; i < 3000; i++) {
        struct history h;
        history_make(&h, &r);
        assert_folds_to_model(&h);
        history_release(&h);
    }
}

static void test_any_grouping(void **state)
{
    (void)state;
    struct simrng r = {unit_seed()};
    for (int i = 0; i < 6000; i++) {
        struct history h;
        history_make(&h, &r);
        fold_at_random(&h, &r);
        assert_folds_to_model(&h);
        history_release(&h);
    }
}

/* ---- what folding saves ---- */

/* A page that is written again and again is kept once. */
static void test_superseded_writes_go(void **state)
{
    (void)state;
    uint8_t page[4096];
    struct buf operands[50] = {0}, out = {0};
    struct slice list[50];
    for (size_t i = 0; i < 50; i++) {
        memset(page, (int)i, sizeof page);
        patch_put_write(&operands[i], 8192, slice_of(page, sizeof page));
        list[i] = buf_slice(&operands[i]);
    }
    assert_ok(partial(chunk_key(), list, 50, &out));
    assert_in_range(out.len, 4096, 4096 + 16);
    for (size_t i = 0; i < 50; i++)
        buf_release(&operands[i]);
    buf_release(&out);
}

/* Operands that would become a huge one are left apart, and nothing is left in `out`. */
static void test_partial_has_a_limit(void **state)
{
    (void)state;
    enum { COUNT = 80 };
    uint8_t *data = calloc(1, 64 << 10);
    struct buf operands[COUNT] = {0}, out = {0};
    struct slice list[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        patch_put_write(&operands[i], (uint32_t)i, slice_of(data, (64 << 10) - 2 * i));
        list[i] = buf_slice(&operands[i]);
    }
    /* Each is inside the one before, so none is superfluous. */
    assert_absent(partial(chunk_key(), list, COUNT, &out));
    assert_int_equal(out.len, 0);
    assert_ok(partial(chunk_key(), list, 8, &out));
    for (size_t i = 0; i < COUNT; i++)
        buf_release(&operands[i]);
    buf_release(&out);
    free(data);
}

/* ---- counters ---- */

static struct slice put_counters(struct buf *b, int64_t inodes, int64_t chunks)
{
    struct counters c = {inodes, chunks};
    buf_clear(b);
    counters_encode(&c, b);
    return buf_slice(b);
}

static void assert_counters(const struct buf *b, int64_t inodes, int64_t chunks)
{
    struct counters c;
    assert_ok(counters_decode(buf_slice(b), &c));
    assert_int_equal(c.inodes, inodes);
    assert_int_equal(c.chunks, chunks);
}

static void test_counters(void **state)
{
    (void)state;
    struct buf b[4] = {0}, out = {0}, joined = {0};
    struct key k = key_super(SUPER_COUNTERS);
    struct slice base = put_counters(&b[0], 10, 20);
    struct slice list[3] = {put_counters(&b[1], 1, -3), put_counters(&b[2], -2, 0),
                            put_counters(&b[3], 0, 40)};
    assert_ok(full(k, &base, list, 3, &out));
    assert_counters(&out, 9, 57);
    buf_clear(&out);
    assert_ok(full(k, NULL, list, 3, &out));
    assert_counters(&out, -1, 37);
    assert_ok(partial(k, list + 1, 2, &joined));
    struct slice two[2] = {list[0], buf_slice(&joined)};
    buf_clear(&out);
    assert_ok(full(k, &base, two, 2, &out));
    assert_counters(&out, 9, 57);
    /* Sums that do not fit are damage, and must not be more than that. */
    base = put_counters(&b[0], INT64_MAX, INT64_MIN);
    buf_clear(&out);
    assert_ok(full(k, &base, list, 2, &out));
    for (int i = 0; i < 4; i++)
        buf_release(&b[i]);
    buf_release(&out);
    buf_release(&joined);
}

/* ---- hostile operands ---- */

static void quiet(void *ctx, enum log_level level, const char *text)
{
    (void)ctx;
    (void)level;
    (void)text;
}

static void test_hostile_operands(void **state)
{
    (void)state;
    struct simrng r = {unit_seed()};
    struct key counters = key_super(SUPER_COUNTERS);
    struct slice bad = slice_str("\3?"), short_one = slice_str("1234567");
    struct buf out = {0};
    log_set_sink(quiet, NULL);
    assert_errno(full(chunk_key(), NULL, &bad, 1, &out), EIO);
    assert_errno(partial(chunk_key(), &bad, 1, &out), EIO);
    assert_errno(full(counters, NULL, &short_one, 1, &out), EIO);
    assert_errno(full(counters, &short_one, &bad, 1, &out), EIO);
    assert_errno(partial(counters, &short_one, 1, &out), EIO);
    for (int i = 0; i < 30000; i++) {
        uint8_t bytes[24];
        size_t len = simrng_below(&r, sizeof bytes);
        for (size_t j = 0; j < len; j++)
            bytes[j] = (uint8_t)(simrng_below(&r, 3) ? simrng_below(&r, 4) : simrng_next(&r));
        struct slice one = slice_of(bytes, len);
        buf_clear(&out);
        int err = full(chunk_key(), NULL, &one, 1, &out);
        assert_true((err == 0 && out.len <= FS_CHUNK_BYTES_MAX) || err == -EIO);
        buf_clear(&out);
        int joined = partial(chunk_key(), &one, 1, &out);
        assert_int_equal(err, joined);
    }
    log_set_sink(NULL, NULL);
    buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_fold),
        cmocka_unit_test(test_any_grouping),
        cmocka_unit_test(test_superseded_writes_go),
        cmocka_unit_test(test_partial_has_a_limit),
        cmocka_unit_test(test_counters),
        cmocka_unit_test(test_hostile_operands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
