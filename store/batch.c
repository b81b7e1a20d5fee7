/* batch: see batch.h.
 *
 * Invariants:
 *   1. Keys and values are copied into `bytes` as they are added; an operation names them by
 * offset, so `bytes` may grow.
 *   2. A value of `direct_min` bytes and more is packed at once (compressed by the caller's thread,
 * before any lock is taken); its type is a blob type from then on, and it has a place only after
 * batch_place_blobs().
 *   3. Placing again after a failed write is allowed: the packed frame is unchanged but for its
 * checksum. */
#include "store/batch.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "store/store.h"

/* A cleared batch keeps memory up to this. */
enum { KEEP_BYTES = 4 << 20 };

void batch_init(struct store_batch *b, uint32_t direct_min, const struct strength *strength)
{
    *b = (struct store_batch){.direct_min = direct_min, .strength = *strength};
}

void batch_release(struct store_batch *b)
{
    free(b->ops);
    buf_release(&b->bytes);
    *b = (struct store_batch){0};
}

void store_batch_clear(struct store_batch *b)
{
    b->count = b->blob_count = b->rangedel_count = 0;
    b->bytes.len = 0;
    b->hurry = (struct pack_hurry){0};
    if (b->bytes.cap > KEEP_BYTES)
        buf_release(&b->bytes);
}

static struct batch_op *add_op(struct store_batch *b, enum entry_type type, struct slice key)
{
    assert(key.len >= 1 && key.len <= STORE_KEY_MAX);
    if (b->count == b->cap) {
        b->cap = b->cap ? b->cap * 2 : 8;
        b->ops = mem_realloc(b->ops, b->cap * sizeof *b->ops);
    }
    struct batch_op *op = &b->ops[b->count++];
    *op = (struct batch_op){.type = type, .key = b->bytes.len, .key_len = (uint32_t)key.len};
    buf_append(&b->bytes, key);
    return op;
}

static uint32_t pack(struct store_batch *b, struct slice key, struct slice value)
{
    struct pack_how how = {.zstd_level = strength_of_key(&b->strength, key)};
    if (how.zstd_level == 0)
        return frame_pack_how(value, &how, &b->bytes);
    if (packers_begin(b->processors))
        how.hurry = &b->hurry;
    uint32_t len = frame_pack_how(value, &how, &b->bytes);
    packers_end();
    return len;
}

static void add_value(struct store_batch *b, struct batch_op *op, enum entry_type blob_type,
                      struct slice value)
{
    assert(value.len <= STORE_VALUE_MAX);
    op->value = b->bytes.len;
    if (value.len < b->direct_min) {
        op->value_len = (uint32_t)value.len;
        buf_append(&b->bytes, value);
        return;
    }
    op->type = blob_type;
    op->raw_len = (uint32_t)value.len;
    op->value_len = pack(b, slice_of(b->bytes.data + op->key, op->key_len), value);
    b->blob_count++;
}

/* `key` and `value` as the caller has them: what was copied is compared with that later. Of a value
 * that was packed the frame counts. */
static void add_hash(const struct store_batch *b, struct batch_op *op, struct slice key,
                     struct slice value)
{
    if (!b->sums)
        return;
    if (entry_type_is_blob(op->type))
        value = slice_of(b->bytes.data + op->value, op->value_len);
    op->hash = entry_hash(key, op->type, value);
}

void store_batch_put(struct store_batch *b, struct slice key, struct slice value)
{
    struct batch_op *op = add_op(b, ENTRY_PUT, key);
    add_value(b, op, ENTRY_PUT_BLOB, value);
    add_hash(b, op, key, value);
}

void store_batch_merge(struct store_batch *b, struct slice key, struct slice operand)
{
    struct batch_op *op = add_op(b, ENTRY_MERGE, key);
    add_value(b, op, ENTRY_MERGE_BLOB, operand);
    add_hash(b, op, key, operand);
}

void store_batch_delete(struct store_batch *b, struct slice key)
{
    struct batch_op *op = add_op(b, ENTRY_DELETE, key);
    add_hash(b, op, key, (struct slice){0});
}

void store_batch_delete_range(struct store_batch *b, struct slice start, struct slice end)
{
    assert(end.len >= 1 && end.len <= STORE_KEY_MAX);
    if (slice_cmp(start, end) >= 0)
        return;
    struct batch_op *op = add_op(b, ENTRY_RANGE_DELETE, start);
    op->value = b->bytes.len;
    op->value_len = (uint32_t)end.len;
    buf_append(&b->bytes, end);
    add_hash(b, op, start, end);
    b->rangedel_count++;
}

uint32_t store_batch_count(const struct store_batch *b)
{
    return b->count;
}

uint64_t store_batch_bytes(const struct store_batch *b)
{
    return b->bytes.len;
}

void batch_place_blobs(struct store_batch *b, struct blob_writer *w)
{
    for (uint32_t i = 0; i < b->count; i++) {
        struct batch_op *op = &b->ops[i];
        if (entry_type_is_blob(op->type))
            blob_add(w, slice_of(b->bytes.data + op->value, op->value_len), op->raw_len, &op->ref);
    }
}

struct entry batch_entry(const struct store_batch *b, uint32_t i, uint64_t first_seq,
                         struct buf *scratch)
{
    assert(i < b->count);
    const struct batch_op *op = &b->ops[i];
    struct entry e = {.key = slice_of(b->bytes.data + op->key, op->key_len),
                      .seq = first_seq + i,
                      .type = op->type};
    if (entry_type_is_blob(op->type)) {
        scratch->len = 0;
        blob_ref_encode(&op->ref, scratch);
        e.value = buf_slice(scratch);
        if (b->sums)
            e.sum = entry_sum(&e);
    } else {
        if (op->type != ENTRY_DELETE)
            e.value = slice_of(b->bytes.data + op->value, op->value_len);
        if (b->sums)
            e.sum = entry_sum_of(op->hash, e.seq);
    }
    return e;
}

static int verify_op(const struct store_batch *b, const struct batch_op *op, const struct entry *e)
{
    struct slice key = slice_of(b->bytes.data + op->key, op->key_len);
    struct slice value = slice_of(b->bytes.data + op->value, op->value_len);
    bool blob = entry_type_is_blob(op->type);
    struct blob_ref ref;
    bool good = e->type == op->type && slice_eq(e->key, key) &&
                op->hash == entry_hash(e->key, e->type, blob ? value : e->value);
    if (good && blob)
        good = blob_ref_decode(e->value, &ref) && ref.file == op->ref.file &&
               ref.where.offset == op->ref.where.offset && ref.where.len == op->ref.where.len &&
               ref.raw_len == op->ref.raw_len;
    return good ? 0 : entry_damaged(key, "a batch");
}

int batch_verify(const struct store_batch *b, struct slice record)
{
    struct batch_reader r;
    struct entry e;
    if (!b->sums)
        return 0;
    int err = batch_reader_init(&r, record);
    for (uint32_t i = 0; i < b->count && err == 0; i++) {
        err = batch_reader_next(&r, &e);
        if (err == 0)
            err = verify_op(b, &b->ops[i], &e);
        else
            err = entry_damaged((struct slice){0}, "a record of the log");
    }
    return err;
}

void batch_encode(const struct store_batch *b, uint64_t first_seq, struct buf *out)
{
    struct buf scratch = {0};
    buf_put_varint(out, first_seq);
    buf_put_varint(out, b->count);
    for (uint32_t i = 0; i < b->count; i++) {
        struct entry e = batch_entry(b, i, first_seq, &scratch);
        buf_put_u8(out, (uint8_t)e.type);
        buf_put_lenbytes(out, e.key);
        if (e.type != ENTRY_DELETE)
            buf_put_lenbytes(out, e.value);
    }
    buf_release(&scratch);
}

void batch_encode_nothing(uint64_t seq, struct buf *out)
{
    buf_put_varint(out, seq);
    buf_put_varint(out, 1);
    buf_put_u8(out, LOG_NOTHING);
}

int batch_reader_init(struct batch_reader *r, struct slice record)
{
    *r = (struct batch_reader){.rest = record};
    if (!take_varint(&r->rest, &r->first_seq) || !take_varint32(&r->rest, &r->count))
        return -EIO;
    if (r->first_seq == 0 || r->first_seq > SEQ_MAX || r->count > SEQ_MAX - r->first_seq)
        return -EIO;
    r->seq = r->first_seq;
    r->left = r->count;
    return 0;
}

int batch_reader_next(struct batch_reader *r, struct entry *e)
{
    *e = (struct entry){0};
    while (r->left > 0 && r->rest.len > 0 && r->rest.data[0] == LOG_NOTHING) {
        r->rest = slice_of(r->rest.data + 1, r->rest.len - 1);
        r->seq++;
        r->left--;
    }
    if (r->left == 0)
        return r->rest.len == 0 ? 1 : -EIO;
    uint8_t type;
    if (!take_u8(&r->rest, &type) || type >= ENTRY_TYPE_COUNT || !take_lenbytes(&r->rest, &e->key))
        return -EIO;
    e->type = (enum entry_type)type;
    if (e->type != ENTRY_DELETE && !take_lenbytes(&r->rest, &e->value))
        return -EIO;
    if (e->key.len == 0 || e->key.len > STORE_KEY_MAX)
        return -EIO;
    if (e->type == ENTRY_RANGE_DELETE && slice_cmp(e->key, e->value) >= 0)
        return -EIO;
    e->seq = r->seq++;
    r->left--;
    return 0;
}

void batch_mark_encode(uint64_t next_seq, uint64_t synced_bytes, struct buf *out)
{
    assert(synced_bytes > 0);
    buf_put_varint(out, next_seq);
    buf_put_varint(out, 0);
    buf_put_varint(out, synced_bytes);
}

bool batch_mark_decode(struct slice record, uint64_t *synced_bytes)
{
    struct batch_reader b;
    return batch_reader_init(&b, record) == 0 && b.count == 0 &&
           take_varint(&b.rest, synced_bytes) && *synced_bytes > 0 && b.rest.len == 0;
}
