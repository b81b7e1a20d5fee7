/* rangedel: the fragmented list and its form on disk; rangedel_build.c makes one out of tombstones.
 *
 * Guarantees: immutable after it is made, so read by any number of threads without a lock. Decoding
 * accepts only lists that hold the invariants, and allocates no more than KEYS_BYTES_MAX for their
 * keys.
 *
 * Invariants of a list:
 *   1. start < end in each fragment, and no fragment starts before the end of the one before it.
 *   2. Each fragment has at least one number; its numbers descend strictly and lie in [1, SEQ_MAX].
 *   3. end_heads[i] is the head of fragment i's end. */
#include "store/rangedel_parts.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "store/block.h"

/* Prefix compression lets a small payload claim endless keys; a decoder refuses more than these. */
enum { KEYS_BYTES_MAX = 2 * FRAME_RAW_MAX };

struct rangedel {
    int refs; /* atomic */
    size_t count;
    struct rangedel_fragment *fragments;
    uint64_t *end_heads; /* a search looks at these and mostly at nothing else */
    uint8_t *keys;
    uint64_t *seqs;
};

/* The first eight bytes as a big-endian number, filled up with zeros: orders as the keys do, but
 * for ties. */
static inline uint64_t key_head(struct slice key)
{
    uint8_t head[8] = {0};
    if (key.len >= sizeof head)
        return get_be64(key.data);
    if (key.len)
        memcpy(head, key.data, key.len);
    return get_be64(head);
}

/* ---- the list ---- */

static void rangedel_assert_valid(const struct rangedel *r)
{
    for (size_t i = 0; i < r->count; i++) {
        const struct rangedel_fragment *f = &r->fragments[i];
        assert(slice_cmp(f->start, f->end) < 0);
        assert(i == 0 || slice_cmp(f[-1].end, f->start) <= 0);
        assert(f->seq_count >= 1 && f->seqs[0] <= SEQ_MAX && f->seqs[f->seq_count - 1] >= 1);
        for (uint32_t k = 1; k < f->seq_count; k++)
            assert(f->seqs[k - 1] > f->seqs[k]);
    }
}

struct rangedel *rangedel_from_parts(struct rangedel_parts *p)
{
    struct rangedel *r = mem_zalloc(sizeof *r);
    r->refs = 1;
    r->count = p->spans.len / sizeof(struct rangedel_span);
    r->fragments = mem_alloc(r->count * sizeof *r->fragments);
    r->end_heads = mem_alloc(r->count * sizeof *r->end_heads);
    r->keys = p->keys.data;
    r->seqs = (uint64_t *)(void *)p->seqs.data;
    const struct rangedel_span *spans = (const void *)p->spans.data;
    const uint64_t *seqs = r->seqs;
    for (size_t i = 0; i < r->count; i++) {
        const struct rangedel_span *s = &spans[i];
        struct slice start = slice_of(r->keys + s->start_at, s->start_len);
        struct slice end = slice_of(r->keys + s->end_at, s->end_len);
        r->fragments[i] = (struct rangedel_fragment){start, end, seqs, s->seq_count};
        r->end_heads[i] = key_head(end);
        seqs += s->seq_count;
    }
    buf_release(&p->spans);
    *p = (struct rangedel_parts){0};
    rangedel_assert_valid(r);
    return r;
}

void rangedel_parts_release(struct rangedel_parts *p)
{
    buf_release(&p->keys);
    buf_release(&p->spans);
    buf_release(&p->seqs);
}

struct rangedel *rangedel_ref(struct rangedel *r)
{
    int before = __atomic_fetch_add(&r->refs, 1, __ATOMIC_RELAXED);
    assert(before >= 1);
    (void)before;
    return r;
}

void rangedel_unref(struct rangedel *r)
{
    if (!r)
        return;
    int before = __atomic_fetch_sub(&r->refs, 1, __ATOMIC_ACQ_REL);
    assert(before >= 1);
    if (before > 1)
        return;
    free(r->fragments);
    free(r->end_heads);
    free(r->keys);
    free(r->seqs);
    free(r);
}

size_t rangedel_count(const struct rangedel *r)
{
    return r->count;
}

struct rangedel_fragment rangedel_at(const struct rangedel *r, size_t i)
{
    assert(i < r->count);
    return r->fragments[i];
}

/* ---- questions ---- */

/* No search takes more steps than its list has binary digits: that is what a read costs, however
 * many tombstones there are. */
static bool halves(size_t count, unsigned steps)
{
    return steps <= (count ? 64 - (unsigned)__builtin_clzll(count) : 0);
}

size_t rangedel_find(const struct rangedel *r, struct slice key)
{
    uint64_t head = key_head(key);
    size_t lo = 0, hi = r->count;
    unsigned steps = 0;
    while (lo < hi) {
        steps++;
        size_t mid = lo + (hi - lo) / 2;
        bool past = r->end_heads[mid] != head ? r->end_heads[mid] > head
                                              : slice_cmp(r->fragments[mid].end, key) > 0;
        if (past)
            hi = mid;
        else
            lo = mid + 1;
    }
    assert(halves(r->count, steps));
    (void)steps;
    return lo;
}

/* The newest number below `read_seq`; 0: none. */
static uint64_t newest_below(const struct rangedel_fragment *f, uint64_t read_seq)
{
    uint32_t lo = 0, hi = f->seq_count;
    unsigned steps = 0;
    while (lo < hi) {
        steps++;
        uint32_t mid = lo + (hi - lo) / 2;
        if (f->seqs[mid] < read_seq)
            hi = mid;
        else
            lo = mid + 1;
    }
    assert(halves(f->seq_count, steps));
    (void)steps;
    return lo < f->seq_count ? f->seqs[lo] : 0;
}

void rangedel_cover(const struct rangedel *r, struct slice key, uint64_t read_seq,
                    struct rangedel_cover *out)
{
    *out = (struct rangedel_cover){0};
    size_t i = rangedel_find(r, key);
    if (i > 0)
        out->lo = r->fragments[i - 1].end;
    if (i == r->count)
        return;
    const struct rangedel_fragment *f = &r->fragments[i];
    out->hi = f->start;
    if (slice_cmp(f->start, key) > 0)
        return; /* in the gap before it */
    out->lo = f->start;
    out->hi = f->end;
    out->seq = newest_below(f, read_seq);
}

/* ---- on disk ---- */

static void put_value(const struct rangedel_fragment *f, struct buf *value)
{
    buf_clear(value);
    buf_put_lenbytes(value, f->end);
    for (uint32_t i = 1; i < f->seq_count; i++)
        buf_put_varint(value, f->seqs[i - 1] - f->seqs[i]);
}

void rangedel_encode(const struct rangedel *r, struct buf *payload)
{
    struct buf value = {0};
    struct block_writer w;
    block_writer_init(&w, BLOCK_RESTART_INTERVAL);
    for (size_t i = 0; i < r->count; i++) {
        const struct rangedel_fragment *f = &r->fragments[i];
        put_value(f, &value);
        struct entry e = {.key = f->start,
                          .seq = f->seqs[0],
                          .type = ENTRY_RANGE_DELETE,
                          .value = buf_slice(&value)};
        block_writer_add(&w, &e);
    }
    block_writer_finish(&w, payload);
    block_writer_release(&w);
    buf_release(&value);
}

/* The numbers after `seq`, as differences, to the end of `in`. */
static int take_seqs(struct rangedel_parts *p, uint64_t seq, struct slice in, uint32_t *count)
{
    *count = 1;
    buf_append_bytes(&p->seqs, &seq, sizeof seq);
    for (; in.len; ++*count) {
        uint64_t less;
        if (!take_varint(&in, &less) || less == 0 || less >= seq)
            return -EIO;
        seq -= less;
        buf_append_bytes(&p->seqs, &seq, sizeof seq);
    }
    return 0;
}

static size_t put_key(struct rangedel_parts *p, struct slice key)
{
    size_t at = p->keys.len;
    buf_append(&p->keys, key);
    return at;
}

/* One entry to one span; `*last_end` is where the span before ended. */
static int take_span(struct rangedel_parts *p, const struct entry *e, struct slice *last_end)
{
    struct slice rest = e->value, end;
    if (e->type != ENTRY_RANGE_DELETE || e->seq == 0 || !take_lenbytes(&rest, &end) ||
        slice_cmp(e->key, end) >= 0 || slice_cmp(*last_end, e->key) > 0 ||
        p->keys.len + e->key.len + end.len > KEYS_BYTES_MAX)
        return -EIO;
    struct rangedel_span span = {.start_len = e->key.len, .end_len = end.len};
    span.start_at = put_key(p, e->key);
    span.end_at = put_key(p, end);
    *last_end = end;
    int ret = take_seqs(p, e->seq, rest, &span.seq_count);
    buf_append_bytes(&p->spans, &span, sizeof span);
    return ret;
}

int rangedel_decode(struct slice payload, struct rangedel **out)
{
    struct rangedel_parts parts = {0};
    struct slice last_end = {0};
    struct block block;
    struct block_iter bi;
    *out = NULL;
    block_iter_init(&bi);
    int ret = block_open(payload, &block);
    if (ret)
        goto out;
    block_iter_set(&bi, &block);
    for (ret = iter_first(&bi.it); ret == 0; ret = iter_next(&bi.it)) {
        ret = take_span(&parts, &bi.it.e, &last_end);
        if (ret)
            goto out;
    }
    if (ret < 0)
        goto out;
    *out = rangedel_from_parts(&parts);
    ret = 0;
out:
    block_iter_release(&bi);
    rangedel_parts_release(&parts);
    return ret;
}
