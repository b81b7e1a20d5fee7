/* block: the layout byte by byte; every move against a sorted array, over many random blocks; then
 * payloads that nobody sane has written. */
#include "store/block.h"

#include <errno.h>

#include "tests/sim/simrng.h"
#include "tests/unit/unit.h"

/* ---- the model: rows in internal order ---- */

enum { KEY_MAX = 12, ROWS_MAX = 200 };

struct row {
    uint8_t key[KEY_MAX];
    size_t key_len;
    uint64_t seq;
    enum entry_type type;
    uint8_t *value;
    size_t value_len;
};

struct model {
    struct row rows[ROWS_MAX];
    size_t count;
};

static struct slice row_key(const struct row *r)
{
    return slice_of(r->key, r->key_len);
}

static struct entry row_entry(const struct row *r)
{
    return (struct entry){row_key(r), r->seq, r->type, 0, slice_of(r->value, r->value_len)};
}

static int row_cmp(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    return entry_cmp(row_key(x), x->seq, row_key(y), y->seq);
}

/* Few letters, so that prefixes and whole keys meet again and again. */
static size_t random_key(struct simrng *rng, uint8_t key[KEY_MAX])
{
    size_t len = simrng_below(rng, KEY_MAX + 1);
    uint64_t letters = 1 + simrng_below(rng, 3);
    for (size_t i = 0; i < len; i++)
        key[i] = (uint8_t)("a\xff\0b"[simrng_below(rng, letters)]);
    return len;
}

static uint64_t random_seq(struct simrng *rng)
{
    static const uint64_t spans[] = {4, 40, 5000, SEQ_MAX};
    return 1 + simrng_below(rng, spans[simrng_below(rng, 4)]);
}

static size_t random_value_len(struct simrng *rng)
{
    static const uint64_t spans[] = {1, 20, 300, 40000};
    return simrng_below(rng, spans[simrng_below(rng, simrng_below(rng, 10) ? 2 : 4)]);
}

static void model_fill(struct model *m, struct simrng *rng, size_t count)
{
    assert_true(count <= ROWS_MAX);
    *m = (struct model){0};
    for (size_t i = 0; i < count; i++) {
        struct row *r = &m->rows[i];
        r->key_len = random_key(rng, r->key);
        r->seq = random_seq(rng);
        r->type = (enum entry_type)simrng_below(rng, ENTRY_TYPE_COUNT);
        r->value_len = random_value_len(rng);
        r->value = mem_alloc(r->value_len);
        memset(r->value, (int)simrng_below(rng, 256), r->value_len);
    }
    qsort(m->rows, count, sizeof *m->rows, row_cmp);
    for (size_t i = 0; i < count; i++) {
        if (m->count && row_cmp(&m->rows[m->count - 1], &m->rows[i]) == 0)
            free(m->rows[i].value);
        else
            m->rows[m->count++] = m->rows[i];
    }
}

static void model_release(struct model *m)
{
    for (size_t i = 0; i < m->count; i++)
        free(m->rows[i].value);
}

/* Index of the first row at or after (key, seq). */
static size_t model_seek(const struct model *m, struct slice key, uint64_t seq)
{
    size_t i = 0;
    while (i < m->count && entry_cmp(row_key(&m->rows[i]), m->rows[i].seq, key, seq) < 0)
        i++;
    return i;
}

/* ---- blocks of it ---- */

/* In memory of just its size, so that an access past the end is seen. */
struct made {
    uint8_t *payload;
    size_t len;
    struct block block;
    struct block_iter bi;
};

static void made_open(struct made *b, struct slice payload)
{
    b->payload = mem_dup(payload.data, payload.len);
    b->len = payload.len;
    assert_ok(block_open(slice_of(b->payload, b->len), &b->block));
    block_iter_init(&b->bi);
    block_iter_set(&b->bi, &b->block);
}

static void made_release(struct made *b)
{
    block_iter_release(&b->bi);
    free(b->payload);
}

static void write_rows(const struct model *m, uint32_t interval, struct buf *out)
{
    struct block_writer w;
    block_writer_init(&w, interval);
    for (size_t i = 0; i < m->count; i++) {
        struct entry e = row_entry(&m->rows[i]);
        block_writer_add(&w, &e);
    }
    block_writer_finish(&w, out);
    block_writer_release(&w);
}

static void make(struct made *b, const struct model *m, uint32_t interval)
{
    struct buf out = {0};
    write_rows(m, interval, &out);
    made_open(b, buf_slice(&out));
    buf_release(&out);
}

static uint32_t random_interval(struct simrng *rng)
{
    static const uint32_t intervals[] = {1, 2, 3, BLOCK_RESTART_INTERVAL, 17, 40, 1000};
    return intervals[simrng_below(rng, 7)];
}

/* The cursor, after a move that returned `ret`, stands where the model is: on row `at`, or nowhere.
 */
static void assert_at(const struct made *b, const struct model *m, size_t at, int ret)
{
    const struct iter *it = &b->bi.it;
    if (at >= m->count) {
        assert_int_equal(ret, 1);
        assert_false(it->valid);
        return;
    }
    const struct row *r = &m->rows[at];
    assert_int_equal(ret, 0);
    assert_true(it->valid);
    assert_slice(it->e.key, r->key, r->key_len);
    assert_true(it->e.seq == r->seq);
    assert_int_equal(it->e.type, r->type);
    assert_slice(it->e.value, r->value, r->value_len);
}

/* ---- sound blocks ---- */

static void test_layout(void **state)
{
    (void)state;
    static const uint8_t expected[] = {
        0,  2, 3, 5 << 3 | 1, 'a',  'b', 'x', 'y', 'z', /* ab@15 put xyz */
        2,  0, 0, 3 << 3 | 0,                           /* ab@13 delete */
        0,  3, 1, 0 << 3 | 2, 'a',  'b', 'c', '!',      /* abc@10 merge, at a restart point */
        1,  1, 0, 0xb4,       0x01, 'x',                /* ax@32, blob merge: 22 << 3 | 4 = 180 */
        0,  0, 0, 0,          13,   0,   0,   0,        /* restart points */
        10, 0, 0, 0,          0,    0,   0,   0,        /* base */
        22, 0, 0, 0,          0,    0,   0,   0,        /* span */
        0,  2, 0, 0,          0,                        /* flags, count */
    };
    const struct entry entries[] = {
        {slice_str("ab"), 15, ENTRY_PUT, 0, slice_str("xyz")},
        {slice_str("ab"), 13, ENTRY_DELETE, 0, slice_str("")},
        {slice_str("abc"), 10, ENTRY_MERGE, 0, slice_str("!")},
        {slice_str("ax"), 32, ENTRY_MERGE_BLOB, 0, slice_str("")},
    };
    struct block_writer w;
    struct buf out = {0};
    block_writer_init(&w, 2);
    for (size_t i = 0; i < 4; i++)
        block_writer_add(&w, &entries[i]);
    block_writer_finish(&w, &out);
    assert_slice(buf_slice(&out), expected, sizeof expected);
    struct block block;
    assert_ok(block_open(buf_slice(&out), &block));
    assert_true(block.base_seq == 10 && block.max_seq == 32 && block.restart_count == 2);
    block_writer_release(&w);
    buf_release(&out);
}

static void test_empty(void **state)
{
    (void)state;
    struct model m = {0};
    struct made b;
    make(&b, &m, BLOCK_RESTART_INTERVAL);
    assert_int_equal(b.len, BLOCK_TRAILER_SIZE);
    assert_int_equal(b.block.restart_count, 0);
    assert_absent(iter_first(&b.bi.it));
    assert_absent(iter_last(&b.bi.it));
    assert_absent(iter_seek(&b.bi.it, slice_str("a"), SEQ_MAX));
    assert_absent(iter_seek_before(&b.bi.it, slice_str("a")));
    made_release(&b);

    struct block_iter unset;
    block_iter_init(&unset);
    assert_absent(iter_first(&unset.it));
    assert_absent(iter_seek(&unset.it, slice_of(NULL, 0), 0));
    iter_free(&unset.it);
}

static void check_scans(struct made *b, const struct model *m)
{
    int ret = iter_first(&b->bi.it);
    for (size_t i = 0; i < m->count; i++, ret = iter_next(&b->bi.it))
        assert_at(b, m, i, ret);
    assert_absent(ret);
    ret = iter_last(&b->bi.it);
    for (size_t i = m->count; i-- > 0; ret = iter_prev(&b->bi.it))
        assert_at(b, m, i, ret);
    assert_absent(ret);
}

/* One move of both; returns where the model is then. */
static size_t random_move(struct made *b, const struct model *m, struct simrng *rng, size_t at)
{
    struct iter *it = &b->bi.it;
    uint8_t key[KEY_MAX];
    size_t len = random_key(rng, key), to;
    uint64_t seq = simrng_coin(rng) ? random_seq(rng) : simrng_coin(rng) ? SEQ_MAX : 0;
    uint64_t move = simrng_below(rng, it->valid ? 20 : 5);
    int ret;
    if (move == 0) {
        to = 0, ret = iter_first(it);
    } else if (move == 1) {
        to = m->count - 1, ret = iter_last(it);
    } else if (move == 2) {
        to = model_seek(m, slice_of(key, len), SEQ_MAX) - 1;
        ret = iter_seek_before(it, slice_of(key, len));
    } else if (move <= 4) {
        to = model_seek(m, slice_of(key, len), seq);
        ret = iter_seek(it, slice_of(key, len), seq);
    } else if (move == 5) { /* by its own key, or a piece of it */
        struct slice own = it->e.key;
        size_t skip = simrng_below(rng, own.len + 1);
        own = slice_of(own.data + skip, simrng_below(rng, own.len - skip + 1));
        to = model_seek(m, own, seq);
        ret = iter_seek(it, own, seq);
    } else if (move <= 12) {
        to = at + 1, ret = iter_next(it);
    } else {
        to = at - 1, ret = iter_prev(it);
    }
    assert_at(b, m, to, ret);
    return to;
}

static void test_moves(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    for (int round = 0; round < 1500; round++) {
        struct model m;
        struct made b;
        model_fill(&m, &rng, 1 + simrng_below(&rng, simrng_coin(&rng) ? 12 : ROWS_MAX));
        make(&b, &m, random_interval(&rng));
        check_scans(&b, &m);
        for (size_t i = 0; i < m.count; i++) {
            const struct row *r = &m.rows[i];
            assert_at(&b, &m, i, iter_seek(&b.bi.it, row_key(r), r->seq));
        }
        size_t at = 0;
        assert_ok(iter_first(&b.bi.it));
        for (int i = 0; i < 300; i++)
            at = random_move(&b, &m, &rng, at);
        made_release(&b);
        model_release(&m);
    }
}

/* One writer and one cursor for block after block, as a table has them. */
static void test_reuse(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    struct block_writer w;
    struct block_iter bi;
    block_writer_init(&w, BLOCK_RESTART_INTERVAL);
    block_iter_init(&bi);
    for (int round = 0; round < 100; round++) {
        struct model m;
        struct buf out = {0};
        model_fill(&m, &rng, simrng_below(&rng, 100));
        buf_append(&out, slice_str("before"));
        for (size_t i = 0; i < m.count; i++) {
            struct entry e = row_entry(&m.rows[i]);
            block_writer_add(&w, &e);
        }
        assert_int_equal(w.count, m.count);
        size_t estimate = w.estimate_bytes;
        block_writer_finish(&w, &out);
        assert_int_equal(w.count, 0);
        assert_memory_equal(out.data, "before", 6);
        assert_in_range(out.len - 6, estimate - 8 * m.count, estimate);

        struct block block;
        assert_ok(block_open(slice_of(out.data + 6, out.len - 6), &block));
        block_iter_set(&bi, &block);
        assert_false(bi.it.valid);
        int ret = iter_first(&bi.it);
        for (size_t i = 0; i < m.count; i++, ret = iter_next(&bi.it)) {
            assert_ok(ret);
            assert_slice(bi.it.e.key, m.rows[i].key, m.rows[i].key_len);
        }
        assert_absent(ret);
        ret = iter_last(&bi.it);
        for (size_t i = m.count; i-- > 0 && simrng_below(&rng, 20); ret = iter_prev(&bi.it))
            assert_slice(bi.it.e.value, m.rows[i].value, m.rows[i].value_len);
        buf_release(&out);
        model_release(&m);
    }
    block_iter_release(&bi);
    block_writer_release(&w);
}

/* Lengths that take varints of one to four bytes, and the widest tags. */
static void test_long(void **state)
{
    (void)state;
    enum { LONG = 1 << 21 };
    static const size_t key_lens[] = {1, 127, 128, 16383, 16384, 65535, 65536};
    uint8_t *bytes = mem_alloc(LONG);
    memset(bytes, 'k', LONG);
    struct block_writer w;
    struct buf out = {0};
    block_writer_init(&w, 5);
    for (size_t i = 0; i < 7; i++) {
        const struct slice key = slice_of(bytes, key_lens[i]);
        const struct entry newer = {key, SEQ_MAX, ENTRY_PUT, 0,
                                    slice_of(bytes, key_lens[6 - i] - 1)};
        const struct entry older = {key, 1, ENTRY_PUT, 0, slice_of(bytes, LONG >> i)};
        block_writer_add(&w, &newer);
        block_writer_add(&w, &older);
    }
    block_writer_finish(&w, &out);
    struct made b;
    made_open(&b, buf_slice(&out));
    struct iter *it = &b.bi.it;
    int ret = iter_first(it);
    for (size_t i = 0; i < 14; i++, ret = iter_next(it)) {
        assert_ok(ret);
        assert_slice(it->e.key, bytes, key_lens[i / 2]);
        assert_true(it->e.seq == (i % 2 ? 1 : SEQ_MAX));
        assert_slice(it->e.value, bytes, i % 2 ? (size_t)LONG >> i / 2 : key_lens[6 - i / 2] - 1);
    }
    assert_absent(ret);
    for (size_t i = 14; i-- > 0;) {
        assert_ok(i == 13 ? iter_last(it) : iter_prev(it));
        assert_int_equal(it->e.key.len, key_lens[i / 2]);
    }
    for (size_t i = 0; i < 7; i++) {
        assert_ok(iter_seek(it, slice_of(bytes, key_lens[i]), SEQ_MAX - 1));
        assert_int_equal(it->e.key.len, key_lens[i]);
        assert_int_equal(it->e.value.len, LONG >> i);
    }
    made_release(&b);
    block_writer_release(&w);
    buf_release(&out);
    free(bytes);
}

/* ---- unsound ones ---- */

/* The first damage that a scan forwards meets: 0 if it ends well. Slices are read to their ends. */
static int scan_all(struct slice payload)
{
    struct block block;
    struct block_iter bi;
    int ret = block_open(payload, &block);
    if (ret)
        return ret;
    block_iter_init(&bi);
    block_iter_set(&bi, &block);
    for (ret = iter_first(&bi.it); ret == 0; ret = iter_next(&bi.it))
        assert_true(bi.it.e.seq >= block.base_seq && bi.it.e.seq <= block.max_seq);
    block_iter_release(&bi);
    return ret == 1 ? 0 : ret;
}

static int seek_in(struct slice payload, const char *key)
{
    struct block block;
    struct block_iter bi;
    assert_ok(block_open(payload, &block));
    block_iter_init(&bi);
    block_iter_set(&bi, &block);
    int ret = iter_seek(&bi.it, slice_str(key), SEQ_MAX);
    block_iter_release(&bi);
    return ret;
}

static int last_of(struct slice payload)
{
    struct block block;
    struct block_iter bi;
    assert_ok(block_open(payload, &block));
    block_iter_init(&bi);
    block_iter_set(&bi, &block);
    int ret = iter_last(&bi.it);
    block_iter_release(&bi);
    return ret;
}

/* A payload of these entries, written as they are, with two restart points. */
static struct slice forge(struct buf *out, const void *entries, size_t len, uint32_t restart_0,
                          uint32_t restart_1)
{
    buf_clear(out);
    buf_append_bytes(out, entries, len);
    buf_put_u32(out, restart_0);
    buf_put_u32(out, restart_1);
    buf_put_u64(out, 10);
    buf_put_u64(out, 5);
    buf_put_u8(out, 0);
    buf_put_u32(out, 2);
    return buf_slice(out);
}

static void test_refused_entries(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        int ret;
    } cases[] = {
        {"\0\1\1\1ax"
         "\1\1\0\1b",
         11, 0}, /* a, ab: sound */
        {"\0\1\1\1ax"
         "\2\1\0\1b",
         11, -EIO}, /* shares more than there is */
        {"\0\1\1\1ax"
         "\1\2\0\1b",
         11, -EIO}, /* the key ends past the entries */
        {"\0\1\1\1ax"
         "\1\1\1\1b",
         11, -EIO}, /* the value does */
        {"\0\1\1\1ax"
         "\1\1\x80\x80\1b",
         12, -EIO}, /* a length in more bytes, too large */
        {"\0\1\1\1ax"
         "\1\1\x80\x80",
         10, -EIO}, /* the header does not end */
        {"\0\1\1\1ax"
         "\1",
         7, -EIO},
        {"\0\1\1\1ax"
         "\1\1\0\6b",
         11, -EIO}, /* no such type */
        {"\0\1\1\1ax"
         "\1\1\0\7b",
         11, -EIO},
        {"\0\1\1\1ax"
         "\1\1\0\x29"
         "b",
         11, 0}, /* highest number: 5 << 3 | 1 */
        {"\0\1\1\1ax"
         "\1\1\0\x31"
         "b",
         11, -EIO}, /* one above */
        {"\0\1\1\1ax"
         "\1\1\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\1b",
         20, -EIO},
        {"\0\1\1\1ax"
         "\1\1\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\2b",
         20, -EIO},
        {"\0\1\1\1bx"
         "\0\1\0\1a",
         11, -EIO}, /* out of order */
        {"\0\1\1\1bx"
         "\1\0\0\1",
         10, -EIO}, /* the same again */
        {"\0\1\1\x9"
         "bx"
         "\1\0\0\1",
         10, 0}, /* the same, older: sound */
        {"\0\2\1\1abx"
         "\1\0\0\1",
         11, -EIO}, /* a prefix of the one before */
        {"\0\2\1\1abx"
         "\1\1\0\1b",
         12, -EIO}, /* shares less than it could, the same again */
        {"\0\2\1\1abx"
         "\1\2\0\1bb",
         13, 0}, /* shares less than it could: sound */
    };
    struct buf out = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct slice payload = forge(&out, cases[i].bytes, cases[i].len, 0, 0);
        assert_int_equal(scan_all(payload), cases[i].ret);
    }
    /* a seek meets it on its way */
    assert_errno(seek_in(forge(&out, "\0\1\1\1ax\2\1\0\1b", 11, 0, 0), "z"), EIO);
    buf_release(&out);
}

static void test_refused_restarts(void **state)
{
    (void)state;
    static const uint8_t entries[] = {0, 1, 0, 1, 'a', 0, 1, 0, 1, 'c', 1, 1, 0, 1, 'd'};
    struct buf out = {0};
    struct block block;
    assert_ok(scan_all(forge(&out, entries, sizeof entries, 0, 5)));
    assert_ok(seek_in(buf_slice(&out), "c"));
    assert_ok(last_of(buf_slice(&out)));
    assert_errno(block_open(forge(&out, entries, sizeof entries, 5, 5), &block), EIO);
    /* not at an entry that begins a prefix; within an entry; at the end; past it */
    static const uint32_t wrong[] = {10, 4, sizeof entries, sizeof entries + 1, UINT32_MAX};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        forge(&out, entries, sizeof entries, 0, wrong[i]);
        assert_errno(seek_in(buf_slice(&out), "c"), EIO);
        assert_errno(last_of(buf_slice(&out)), EIO);
    }
    /* what stands in the value of b makes an entry that ends beyond the begin of c */
    static const uint8_t inner[] = {0, 1, 0, 1, 'a', 0, 1, 5, 1, 'b',
                                    0, 1, 3, 1, 'p', 0, 1, 0, 1, 'c'};
    struct block_iter bi;
    assert_ok(block_open(forge(&out, inner, sizeof inner, 0, 10), &block));
    block_iter_init(&bi);
    block_iter_set(&bi, &block);
    assert_ok(iter_first(&bi.it));
    assert_ok(iter_next(&bi.it));
    assert_ok(iter_next(&bi.it));
    assert_slice_str(bi.it.e.key, "c");
    assert_errno(iter_prev(&bi.it), EIO);
    block_iter_release(&bi);
    buf_release(&out);
}

/* prev() keeps a trail of offsets: it must not outlive a walk that failed, nor its block. */
static void test_stale_trail(void **state)
{
    (void)state;
    static const uint8_t broken[] = {
        0, 1, 0, 1, 'a', 1, 1, 0, 1, 'b', 2, 1, 0, 1, 'c', 2, 1, 0, 1, 'd', /* to abd */
        0, 1, 0, 1, 'm', 1, 1, 0, 1, 'm', 1, 1, 0, 1, 'l',                  /* m, mm, ml */
    };
    static const uint8_t three[] = {0, 1, 1, 1, 'a', 'x', 0, 1, 1, 1, 'b', 'x', 0, 1, 0, 1, 'c'};
    static const uint8_t other[] = {0, 1, 3, 9, 'a', 'x', 'y', 'z', 1, 0, 0, 1, 0, 1, 0, 1, 'c'};
    struct buf out = {0};
    struct block block;
    struct block_iter bi;
    block_iter_init(&bi);
    assert_ok(block_open(forge(&out, broken, sizeof broken, 0, 20), &block));
    block_iter_set(&bi, &block);
    assert_ok(iter_seek(&bi.it, slice_str("abd"), SEQ_MAX));
    assert_ok(iter_prev(&bi.it));
    assert_slice_str(bi.it.e.key, "abc");
    assert_errno(iter_last(&bi.it), EIO);
    assert_ok(iter_seek(&bi.it, slice_str("abc"), SEQ_MAX));
    assert_ok(iter_prev(&bi.it));
    assert_slice_str(bi.it.e.key, "ab");

    assert_ok(block_open(forge(&out, three, sizeof three, 0, 0), &block));
    block_iter_set(&bi, &block);
    assert_ok(iter_last(&bi.it));
    assert_ok(block_open(forge(&out, other, sizeof other, 0, 0), &block));
    block_iter_set(&bi, &block);
    assert_ok(iter_seek(&bi.it, slice_str("b"), SEQ_MAX));
    assert_ok(iter_prev(&bi.it));
    assert_slice_str(bi.it.e.key, "a");
    assert_true(bi.it.e.seq == 10);
    block_iter_release(&bi);
    buf_release(&out);
}

static void test_refused_trailers(void **state)
{
    (void)state;
    static const uint8_t entries[] = {0, 1, 0, 1, 'a', 0, 1, 0, 1, 'c'};
    struct buf out = {0};
    struct block block;
    struct slice good = forge(&out, entries, sizeof entries, 0, 5);
    assert_ok(block_open(good, &block));
    for (size_t len = 0; len < good.len; len++)
        if (block_open(slice_of(good.data, len), &block) == 0)
            (void)scan_all(slice_of(good.data, len));
    uint8_t *trailer = out.data + out.len - BLOCK_TRAILER_SIZE;
    static const struct {
        size_t at;
        uint8_t byte;
    } faults[] = {{7, 1}, {15, 1}, {14, 255}, {16, 1}, {16, 128}, {17, 5}, {17, 0}, {20, 255}};
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        uint8_t was = trailer[faults[i].at];
        if (faults[i].at == 14)
            put_u64(trailer, SEQ_MAX); /* base + span is past the highest number */
        trailer[faults[i].at] = faults[i].byte;
        assert_errno(block_open(buf_slice(&out), &block), EIO);
        assert_true(block.entries.len == 0 && block.restart_count == 0);
        trailer[faults[i].at] = was;
        put_u64(trailer, 10);
    }
    assert_ok(block_open(buf_slice(&out), &block));
    buf_release(&out);
}

static uint64_t sum_of(struct slice s)
{
    uint64_t sum = s.len;
    for (size_t i = 0; i < s.len; i++)
        sum = sum * 31 + s.data[i];
    return sum;
}

/* Any moves over any bytes: no crash, nothing but 0, 1 and -EIO, and order on the way forward. */
static void wander(struct slice payload, struct simrng *rng)
{
    struct block block;
    struct block_iter bi;
    struct buf last = {0};
    if (block_open(payload, &block))
        return;
    block_iter_init(&bi);
    block_iter_set(&bi, &block);
    struct iter *it = &bi.it;
    uint64_t sum = 0;
    for (int i = 0; i < 60; i++) {
        uint8_t key[KEY_MAX];
        size_t len = random_key(rng, key);
        uint64_t move = simrng_below(rng, it->valid ? 16 : 3), last_seq = it->e.seq;
        if (it->valid)
            buf_set(&last, it->e.key);
        int ret = move == 0   ? iter_first(it)
                  : move == 1 ? iter_last(it)
                  : move == 2 ? iter_seek(it, slice_of(key, len), random_seq(rng))
                  : move == 3 ? iter_seek(it, it->e.key, 0)
                  : move <= 9 ? iter_prev(it)
                              : iter_next(it);
        assert_true(ret == 0 || ret == 1 || ret == -EIO);
        assert_int_equal(it->valid, ret == 0);
        if (ret == 0 && move > 9)
            assert_true(entry_cmp(buf_slice(&last), last_seq, it->e.key, it->e.seq) < 0);
        if (ret == 0)
            sum += sum_of(it->e.key) + sum_of(it->e.value);
    }
    assert_true(sum != 1); /* so that the bytes are read */
    buf_release(&last);
    block_iter_release(&bi);
}

static void test_random_bytes(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    for (int round = 0; round < 20000; round++) {
        size_t entries = simrng_below(&rng, 60), restarts = simrng_below(&rng, 4);
        size_t len = entries + 4 * restarts + BLOCK_TRAILER_SIZE;
        uint8_t *payload = mem_zalloc(len);
        uint64_t top = simrng_coin(&rng) ? 5 : 256;
        for (size_t i = 0; i < entries; i++)
            payload[i] = (uint8_t)simrng_below(&rng, top);
        for (size_t i = 1; i < restarts; i++)
            payload[entries + 4 * i] = (uint8_t)simrng_below(&rng, 64);
        payload[len - 13] = (uint8_t)simrng_below(&rng, 100); /* span */
        payload[len - 4] = (uint8_t)restarts;
        wander(slice_of(payload, len), &rng);
        free(payload);
    }
}

static void test_mutated(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    for (int round = 0; round < 400; round++) {
        struct model m;
        struct made b;
        model_fill(&m, &rng, 1 + simrng_below(&rng, 60));
        make(&b, &m, random_interval(&rng));
        for (int i = 0; i < 40; i++) {
            uint8_t *damaged = mem_dup(b.payload, b.len);
            for (uint64_t n = 1 + simrng_below(&rng, 3); n > 0; n--)
                damaged[simrng_below(&rng, b.len)] ^= (uint8_t)(1 << simrng_below(&rng, 8));
            wander(slice_of(damaged, b.len), &rng);
            free(damaged);
        }
        made_release(&b);
        model_release(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layout),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_moves),
        cmocka_unit_test(test_reuse),
        cmocka_unit_test(test_long),
        cmocka_unit_test(test_refused_entries),
        cmocka_unit_test(test_refused_restarts),
        cmocka_unit_test(test_stale_trail),
        cmocka_unit_test(test_refused_trailers),
        cmocka_unit_test(test_random_bytes),
        cmocka_unit_test(test_mutated),
    };
    return cmocka_run_group_tests_name("block", tests, NULL, NULL);
}
