/* table_meta: what is known of a table without opening it, and its encoding.
 *
 * Fields one after another, each: varint tag, varint length, that many bytes; the scheme of edit.h.
 * Tags ascend, so that no field comes twice. A field whose value is zero or empty is left out. A
 * reader skips tags that it does not know if they are even, and refuses the record if they are odd.
 *
 *   tag  field            bytes
 *     1  number           varint; not in properties
 *     3  size             varint; not in properties
 *     5  footer tag       u64; not in properties
 *     7  smallest         the key
 *     9  limit            the key
 *    11  min_seq          varint
 *    13  max_seq          varint
 *    14  entry_count      varint
 *    16  delete_count     varint
 *    18  rangedel_count   varint
 *    20  raw_bytes        varint
 *    22  created_ns       varint
 *    25  shares           to the end, per blob file: varints file minus the one before, references,
 * bytes 26  held             to the end, per pin: varints pin minus the one before, bytes
 *    27  cut_seq          varint; not in properties
 *    28  prefix_rule      varint
 *    29  ingest_seq       varint; not in properties
 *    33  dictionary       varints length of its frame, offset of its copy
 *    40  key_epoch        varint
 *    42  placed_later     varint 1
 *    43  front            varint; not in properties
 *
 * Guarantees: decoding is total (any input ends in 0 or -EIO, and takes memory in proportion to its
 * length); what decodes is valid.
 *
 * Invariants (table_meta_assert_valid):
 *   1. smallest < limit.
 *   2. min_seq <= max_seq <= SEQ_MAX.
 *   3. delete_count <= entry_count; there is an entry or a tombstone.
 *   4. An ingested table has entries only, whose number is min_seq and max_seq; it is not cut. What
 *      is cut has something left: min_seq < cut_seq.
 *   5. Shares ascend by file, held by pin, without repeats; no share is without references, and all
 *      of them together refer no more often than there are entries.
 *   6. A dictionary is a frame, and its copy lies behind it.
 *   7. The front is in the file, and behind the dictionary. */
#include "store/table_priv.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum {
    META_NUMBER = 1,
    META_SIZE = 3,
    META_TAG = 5,
    META_SMALLEST = 7,
    META_LIMIT = 9,
    META_MIN_SEQ = 11,
    META_MAX_SEQ = 13,
    META_ENTRY_COUNT = 14,
    META_DELETE_COUNT = 16,
    META_RANGEDEL_COUNT = 18,
    META_RAW_BYTES = 20,
    META_CREATED = 22,
    META_SHARES = 25,
    META_HELD = 26,
    META_CUT_SEQ = 27,
    META_PREFIX_RULE = 28,
    META_INGEST_SEQ = 29,
    META_DICT = 33,
    META_KEY_EPOCH = 40,
    META_PLACED_LATER = 42,
    META_FRONT = 43,
};

struct table_meta *table_meta_new(void)
{
    struct table_meta *m = mem_zalloc(sizeof *m);
    m->refs = 1;
    return m;
}

struct table_meta *table_meta_ref(struct table_meta *m)
{
    int before = __atomic_fetch_add(&m->refs, 1, __ATOMIC_RELAXED);
    assert(before > 0);
    (void)before;
    return m;
}

void table_meta_unref(struct table_meta *m)
{
    if (!m)
        return;
    int before = __atomic_fetch_sub(&m->refs, 1, __ATOMIC_ACQ_REL);
    assert(before > 0);
    if (before > 1)
        return;
    buf_release(&m->smallest);
    buf_release(&m->limit);
    free(m->shares);
    free(m->held);
    free(m);
}

static bool shares_valid(const struct table_meta *m)
{
    uint64_t left = m->entry_count;
    for (uint32_t i = 0; i < m->share_count; i++) {
        const struct table_blob_share *s = &m->shares[i];
        if ((i > 0 && s->file <= s[-1].file) || s->count == 0 || s->count > left)
            return false;
        left -= s->count;
    }
    return true;
}

static bool held_valid(const struct table_meta *m)
{
    for (uint32_t i = 1; i < m->held_count; i++)
        if (m->held[i].pin <= m->held[i - 1].pin)
            return false;
    return true;
}

static bool lens_valid(const struct table_meta *m)
{
    if (m->ingest_seq)
        return m->min_seq == m->ingest_seq && m->max_seq == m->ingest_seq &&
               m->rangedel_count == 0 && m->cut_seq == 0;
    return m->cut_seq == 0 || m->min_seq < m->cut_seq;
}

static bool dict_valid(const struct table_meta *m)
{
    if (m->dict_len == 0)
        return m->dict_copy == 0;
    return m->dict_len > FRAME_HEADER_SIZE && m->dict_copy >= FILE_HEADER_SIZE + m->dict_len;
}

static bool front_valid(const struct table_meta *m)
{
    return m->front == 0 ||
           (m->front >= FILE_HEADER_SIZE + (uint64_t)m->dict_len && m->front < m->size_bytes);
}

static bool meta_valid(const struct table_meta *m)
{
    return slice_cmp(buf_slice(&m->smallest), buf_slice(&m->limit)) < 0 &&
           m->min_seq <= m->max_seq && m->max_seq <= SEQ_MAX && m->delete_count <= m->entry_count &&
           (m->entry_count > 0 || m->rangedel_count > 0) && shares_valid(m) && held_valid(m) &&
           lens_valid(m) && dict_valid(m) && front_valid(m);
}

void table_meta_assert_valid(const struct table_meta *m)
{
    assert(__atomic_load_n(&m->refs, __ATOMIC_RELAXED) > 0);
    assert(meta_valid(m));
    (void)m;
}

void table_meta_add_share(struct table_meta *m, uint64_t file, uint64_t count, uint64_t bytes)
{
    assert(count > 0);
    uint32_t at = m->share_count;
    while (at > 0 && m->shares[at - 1].file > file)
        at--;
    if (at == 0 || m->shares[at - 1].file != file) {
        m->shares = mem_realloc(m->shares, (m->share_count + 1) * sizeof *m->shares);
        memmove(m->shares + at + 1, m->shares + at, (m->share_count - at) * sizeof *m->shares);
        m->shares[at] = (struct table_blob_share){.file = file};
        m->share_count++;
        at++;
    }
    m->shares[at - 1].count += count;
    m->shares[at - 1].bytes += bytes;
}

void table_meta_add_held(struct table_meta *m, uint64_t pin, uint64_t bytes)
{
    uint32_t at = m->held_count;
    while (at > 0 && m->held[at - 1].pin > pin)
        at--;
    if (at == 0 || m->held[at - 1].pin != pin) {
        m->held = mem_realloc(m->held, (m->held_count + 1) * sizeof *m->held);
        memmove(m->held + at + 1, m->held + at, (m->held_count - at) * sizeof *m->held);
        m->held[at] = (struct table_held){.pin = pin};
        m->held_count++;
        at++;
    }
    m->held[at - 1].bytes += bytes;
}

struct table_meta *table_meta_copy(const struct table_meta *m)
{
    struct buf bytes = {0};
    struct table_meta *copy;
    table_meta_encode(m, &bytes);
    int err = table_meta_decode(buf_slice(&bytes), &copy);
    assert(err == 0);
    (void)err;
    buf_release(&bytes);
    return copy;
}

bool table_meta_hole(const struct table_meta *m, uint64_t *from, uint64_t *end)
{
    const uint64_t unit = ENV_PUNCH_UNIT;
    *from = (FILE_HEADER_SIZE + m->dict_len + unit - 1) / unit * unit;
    *end = m->front / unit * unit;
    return *from < *end;
}

uint64_t table_meta_bytes(const struct table_meta *m)
{
    uint64_t from, end;
    return m->size_bytes - (table_meta_hole(m, &from, &end) ? end - from : 0);
}

/* ---- encoding ---- */

static void put_number(struct buf *out, uint64_t tag, uint64_t v)
{
    if (v == 0)
        return;
    buf_put_varint(out, tag);
    buf_put_varint(out, varint_len(v));
    buf_put_varint(out, v);
}

static void put_key(struct buf *out, uint64_t tag, const struct buf *key)
{
    if (key->len == 0)
        return;
    buf_put_varint(out, tag);
    buf_put_lenbytes(out, buf_slice(key));
}

static void put_tag(struct buf *out, uint64_t v)
{
    if (v == 0)
        return;
    buf_put_varint(out, META_TAG);
    buf_put_varint(out, sizeof v);
    buf_put_u64(out, v);
}

static void put_shares(struct buf *out, const struct table_meta *m)
{
    struct buf list = {0};
    for (uint32_t i = 0; i < m->share_count; i++) {
        const struct table_blob_share *s = &m->shares[i];
        buf_put_varint(&list, s->file - (i ? s[-1].file : 0));
        buf_put_varint(&list, s->count);
        buf_put_varint(&list, s->bytes);
    }
    put_key(out, META_SHARES, &list);
    buf_release(&list);
}

static void put_held(struct buf *out, const struct table_meta *m)
{
    struct buf list = {0};
    for (uint32_t i = 0; i < m->held_count; i++) {
        const struct table_held *h = &m->held[i];
        buf_put_varint(&list, h->pin - (i ? h[-1].pin : 0));
        buf_put_varint(&list, h->bytes);
    }
    put_key(out, META_HELD, &list);
    buf_release(&list);
}

static void put_dict(struct buf *out, const struct table_meta *m)
{
    struct buf place = {0};
    if (m->dict_len) {
        buf_put_varint(&place, m->dict_len);
        buf_put_varint(&place, m->dict_copy);
    }
    put_key(out, META_DICT, &place);
    buf_release(&place);
}

void table_meta_encode(const struct table_meta *m, struct buf *out)
{
    table_meta_assert_valid(m);
    put_number(out, META_NUMBER, m->number);
    put_number(out, META_SIZE, m->size_bytes);
    put_tag(out, m->tag);
    put_key(out, META_SMALLEST, &m->smallest);
    put_key(out, META_LIMIT, &m->limit);
    put_number(out, META_MIN_SEQ, m->min_seq);
    put_number(out, META_MAX_SEQ, m->max_seq);
    put_number(out, META_ENTRY_COUNT, m->entry_count);
    put_number(out, META_DELETE_COUNT, m->delete_count);
    put_number(out, META_RANGEDEL_COUNT, m->rangedel_count);
    put_number(out, META_RAW_BYTES, m->raw_bytes);
    put_number(out, META_CREATED, m->created_ns);
    put_shares(out, m);
    put_held(out, m);
    put_number(out, META_CUT_SEQ, m->cut_seq);
    put_number(out, META_PREFIX_RULE, m->prefix_rule);
    put_number(out, META_INGEST_SEQ, m->ingest_seq);
    put_dict(out, m);
    put_number(out, META_KEY_EPOCH, m->key_epoch);
    put_number(out, META_PLACED_LATER, m->placed_later);
    put_number(out, META_FRONT, m->front);
}

/* ---- decoding ---- */

/* A field that is one varint and nothing else. */
static bool decode_number(struct slice field, uint64_t *v)
{
    return take_varint(&field, v) && field.len == 0;
}

static bool decode_number32(struct slice field, uint32_t *v)
{
    return take_varint32(&field, v) && field.len == 0;
}

static bool decode_flag(struct slice field, bool *flag)
{
    uint64_t v;
    bool good = decode_number(field, &v) && v == 1;
    *flag = good;
    return good;
}

static bool decode_tag(struct slice field, uint64_t *v)
{
    return take_u64(&field, v) && field.len == 0;
}

static bool decode_key(struct slice field, struct buf *key)
{
    buf_set(key, field);
    return true;
}

/* `*v` moves on by the difference that comes next; false when there is none, or it goes past 64
 * bits. */
static bool take_delta(struct slice *in, uint64_t *v)
{
    uint64_t delta;
    return take_varint(in, &delta) && !__builtin_add_overflow(*v, delta, v);
}

/* Order is checked at the end, by meta_valid(). */
static bool decode_shares(struct slice field, struct table_meta *m)
{
    struct table_blob_share s = {0};
    uint32_t cap = (uint32_t)(field.len / 3); /* a share takes three bytes or more */
    m->shares = mem_alloc(cap * sizeof *m->shares);
    while (field.len > 0) {
        if (!take_delta(&field, &s.file) || !take_varint(&field, &s.count) ||
            !take_varint(&field, &s.bytes))
            return false;
        assert(m->share_count < cap);
        m->shares[m->share_count++] = s;
    }
    return true;
}

static bool decode_held(struct slice field, struct table_meta *m)
{
    struct table_held h = {0};
    uint32_t cap = (uint32_t)(field.len / 2);
    m->held = mem_alloc(cap * sizeof *m->held);
    while (field.len > 0) {
        if (!take_delta(&field, &h.pin) || !take_varint(&field, &h.bytes))
            return false;
        assert(m->held_count < cap);
        m->held[m->held_count++] = h;
    }
    return true;
}

static bool decode_dict(struct slice field, struct table_meta *m)
{
    return take_varint32(&field, &m->dict_len) && take_varint(&field, &m->dict_copy) &&
           field.len == 0 && m->dict_len > 0;
}

static bool decode_field(struct table_meta *m, uint64_t tag, struct slice field)
{
    switch (tag) {
    case META_NUMBER:
        return decode_number(field, &m->number);
    case META_SIZE:
        return decode_number(field, &m->size_bytes);
    case META_TAG:
        return decode_tag(field, &m->tag);
    case META_SMALLEST:
        return decode_key(field, &m->smallest);
    case META_LIMIT:
        return decode_key(field, &m->limit);
    case META_MIN_SEQ:
        return decode_number(field, &m->min_seq);
    case META_MAX_SEQ:
        return decode_number(field, &m->max_seq);
    case META_ENTRY_COUNT:
        return decode_number(field, &m->entry_count);
    case META_DELETE_COUNT:
        return decode_number(field, &m->delete_count);
    case META_RANGEDEL_COUNT:
        return decode_number(field, &m->rangedel_count);
    case META_RAW_BYTES:
        return decode_number(field, &m->raw_bytes);
    case META_CREATED:
        return decode_number(field, &m->created_ns);
    case META_SHARES:
        return decode_shares(field, m);
    case META_HELD:
        return decode_held(field, m);
    case META_CUT_SEQ:
        return decode_number(field, &m->cut_seq);
    case META_INGEST_SEQ:
        return decode_number(field, &m->ingest_seq);
    case META_KEY_EPOCH:
        return decode_number32(field, &m->key_epoch);
    case META_DICT:
        return decode_dict(field, m);
    case META_PLACED_LATER:
        return decode_flag(field, &m->placed_later);
    case META_FRONT:
        return decode_number(field, &m->front);
    case META_PREFIX_RULE:
        return decode_number(field, &m->prefix_rule);
    default:
        return tag % 2 == 0;
    }
}

int table_meta_decode(struct slice in, struct table_meta **out)
{
    struct table_meta *m = table_meta_new();
    uint64_t before = 0, tag;
    struct slice field;
    *out = NULL;
    while (in.len > 0) {
        if (!take_varint(&in, &tag) || tag <= before || !take_lenbytes(&in, &field) ||
            field.len > FRAME_RAW_MAX || !decode_field(m, tag, field))
            goto bad;
        before = tag;
    }
    if (!meta_valid(m))
        goto bad;
    *out = m;
    return 0;
bad:
    table_meta_unref(m);
    return -EIO;
}
