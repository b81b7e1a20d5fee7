/* stream: see stream.h. Decoders are total: whatever the bytes are, they end in 0, 1 or an error
 * and never read outside. */
#include "fs/stream.h"

#include <xxhash.h>

static const uint8_t magic[8] = {'V', 'R', 'V', 'S', 'E', 'N', 'D', 0x1a};
enum { STREAM_VERSION = 1, HEAD_FIXED = 84, WHERE_AT = 64, WHERE_LEN = 16 };

/* ---- head ---- */

static void put_moment(struct buf *out, const struct stream_moment *m)
{
    buf_put_u64(out, m->seq);
    buf_put_u64(out, (uint64_t)m->created_ns);
}

void stream_head_encode(const struct stream_head *h, struct buf *out)
{
    struct buf super = {0};
    size_t name_len = strlen(h->name), at = out->len;
    super_encode(&h->super, &super);
    buf_append_bytes(out, magic, sizeof magic);
    buf_put_u16(out, STREAM_VERSION);
    buf_put_u16(out, 0);
    buf_put_u32(out, (uint32_t)(HEAD_FIXED + name_len + super.len + 8));
    buf_append_bytes(out, h->origin, sizeof h->origin);
    put_moment(out, &h->base);
    put_moment(out, &h->made);
    assert(out->len - at == WHERE_AT);
    buf_put_u64(out, h->first_block);
    buf_put_u64(out, h->sum);
    buf_put_u16(out, (uint16_t)name_len);
    buf_put_u16(out, (uint16_t)super.len);
    assert(out->len - at == HEAD_FIXED);
    buf_append(out, slice_str(h->name));
    buf_append(out, buf_slice(&super));
    buf_put_u64(out, XXH3_64bits(out->data + at, out->len - at));
    assert(out->len - at <= STREAM_HEAD_MAX);
    buf_release(&super);
}

uint64_t stream_first_sum(const struct stream_head *h)
{
    struct stream_head plain = *h;
    struct buf bytes = {0};
    plain.first_block = plain.sum = 0;
    stream_head_encode(&plain, &bytes);
    uint64_t sum = XXH3_64bits(bytes.data, bytes.len);
    buf_release(&bytes);
    return sum;
}

int stream_head_length(const uint8_t first[16], size_t *len)
{
    *len = 0;
    if (memcmp(first, magic, sizeof magic) != 0)
        return -ENOMSG;
    if (get_u16(first + 8) > STREAM_VERSION)
        return -EPROTONOSUPPORT;
    uint32_t said = get_u32(first + 12);
    if (get_u16(first + 8) != STREAM_VERSION || get_u16(first + 10) != 0 ||
        said < STREAM_HEAD_MIN || said > STREAM_HEAD_MAX)
        return -EBADMSG;
    *len = said;
    return 0;
}

static bool take_moment(struct slice *in, struct stream_moment *m)
{
    uint64_t created;
    bool ok = take_u64(in, &m->seq) && take_u64(in, &created);
    m->created_ns = ok ? (int64_t)created : 0;
    return ok;
}

static bool name_fits(struct slice name)
{
    return name.len >= 1 && name.len <= FS_NAME_MAX && !memchr(name.data, 0, name.len) &&
           !memchr(name.data, '/', name.len) && !slice_eq(name, slice_str(".")) &&
           !slice_eq(name, slice_str(".."));
}

int stream_head_decode(struct slice in, struct stream_head *h)
{
    struct slice origin, name, super;
    uint16_t name_len, super_len;
    size_t len;
    *h = (struct stream_head){0};
    if (in.len < STREAM_HEAD_MIN || stream_head_length(in.data, &len) != 0 || len != in.len ||
        XXH3_64bits(in.data, in.len - 8) != get_u64(in.data + in.len - 8))
        return -EBADMSG;
    in = slice_of(in.data + 16, in.len - 24);
    if (!take_bytes(&in, sizeof h->origin, &origin) || !take_moment(&in, &h->base) ||
        !take_moment(&in, &h->made) || !take_u64(&in, &h->first_block) || !take_u64(&in, &h->sum) ||
        !take_u16(&in, &name_len) || !take_u16(&in, &super_len) ||
        !take_bytes(&in, name_len, &name) || !take_bytes(&in, super_len, &super) || in.len > 0 ||
        !name_fits(name) || h->made.seq == 0)
        return -EBADMSG;
    memcpy(h->origin, origin.data, sizeof h->origin);
    memcpy(h->name, name.data, name.len);
    int err = super_decode(super, &h->super);
    return err == -EIO ? -EBADMSG : err;
}

bool stream_head_same(const struct stream_head *a, const struct stream_head *b)
{
    return stream_first_sum(a) == stream_first_sum(b);
}

/* ---- blocks ---- */

static uint64_t block_sum(const uint8_t *head, struct slice payload, uint64_t before)
{
    uint64_t seed = XXH3_64bits_withSeed(head, 16, before);
    return XXH3_64bits_withSeed(payload.data, payload.len, seed);
}

void stream_block_encode(enum stream_block_kind kind, uint64_t number, struct slice payload,
                         uint64_t *sum, struct buf *out)
{
    uint8_t head[STREAM_BLOCK_HEAD];
    assert(payload.len > 0 && payload.len <= STREAM_BLOCK_MAX);
    put_u32(head, (uint32_t)payload.len);
    put_u32(head + 4, kind);
    put_u64(head + 8, number);
    *sum = block_sum(head, payload, *sum);
    put_u64(head + 16, *sum);
    buf_append_bytes(out, head, sizeof head);
    buf_append(out, payload);
}

int stream_block_decode(const uint8_t in[STREAM_BLOCK_HEAD], uint64_t number,
                        struct stream_block *b)
{
    uint32_t kind = get_u32(in + 4);
    *b = (struct stream_block){
        .len = get_u32(in), .number = get_u64(in + 8), .sum = get_u64(in + 16)};
    if (b->len == 0 || b->len > STREAM_BLOCK_MAX || b->number != number ||
        (kind != STREAM_RECORDS && kind != STREAM_END))
        return -EBADMSG;
    b->kind = (enum stream_block_kind)kind;
    return 0;
}

int stream_block_verify(const uint8_t head[STREAM_BLOCK_HEAD], const struct stream_block *b,
                        struct slice payload, uint64_t *sum)
{
    assert(payload.len == b->len);
    if (block_sum(head, payload, *sum) != b->sum)
        return -EBADMSG;
    *sum = b->sum;
    return 0;
}

/* ---- records ---- */

void stream_record_encode(const struct stream_record *r, struct buf *out)
{
    buf_put_u8(out, (uint8_t)r->kind);
    buf_put_lenbytes(out, r->key);
    if (r->kind == STREAM_PUT)
        buf_put_lenbytes(out, r->value);
}

int stream_record_take(struct slice *in, struct stream_record *r)
{
    uint8_t kind;
    *r = (struct stream_record){0};
    if (in->len == 0)
        return 1;
    if (!take_u8(in, &kind) || (kind != STREAM_PUT && kind != STREAM_DELETE) ||
        !take_lenbytes(in, &r->key) || (kind == STREAM_PUT && !take_lenbytes(in, &r->value)))
        return -EBADMSG;
    r->kind = (enum stream_record_kind)kind;
    return 0;
}

static bool super_value_fits(uint8_t kind, struct slice rest, struct slice value)
{
    struct counters c;
    uint64_t next;
    if (rest.len > 0)
        return false;
    if (kind == SUPER_COUNTERS)
        return counters_decode(value, &c) == 0;
    return kind == SUPER_NEXT_INO && next_ino_decode(value, &next) == 0;
}

static bool value_fits(uint64_t ino, uint8_t kind, struct slice rest, struct slice value,
                       const struct super_record *super)
{
    struct inode n;
    struct dirent_record d;
    switch (kind) {
    case KIND_ATTR:
        return inode_decode(value, ino, &n) == 0;
    case KIND_XATTR:
        return value.len <= FS_XATTR_VALUE_MAX;
    case KIND_DIRENT:
        return dirent_decode(value, &d) == 0;
    default:
        (void)rest;
        return value.len <= super->chunk_bytes;
    }
}

static bool key_fits(uint8_t kind, struct slice rest)
{
    switch (kind) {
    case KIND_ATTR:
        return rest.len == 0;
    case KIND_XATTR:
        return rest.len >= 1 && rest.len <= 255 && !memchr(rest.data, 0, rest.len);
    case KIND_DIRENT:
        return rest.len == 8 && get_be64(rest.data) >= SLOT_MIN && get_be64(rest.data) <= SLOT_MAX;
    case KIND_DATA:
        return rest.len == 8;
    default:
        return false;
    }
}

int stream_record_check(const struct stream_record *r, const struct super_record *super)
{
    uint64_t ino;
    uint8_t kind;
    struct slice rest;
    if (!key_split(r->key, &ino, &kind, &rest) || ino > FS_INO_MASK)
        return -EBADMSG;
    if (ino == 0)
        return r->kind == STREAM_PUT && super_value_fits(kind, rest, r->value) ? 0 : -EBADMSG;
    if (!key_fits(kind, rest))
        return -EBADMSG;
    if (r->kind == STREAM_DELETE)
        return 0;
    return value_fits(ino, kind, rest, r->value, super) ? 0 : -EBADMSG;
}

void stream_totals_encode(const struct stream_totals *t, struct buf *out)
{
    buf_put_varint(out, t->records);
    buf_put_varint(out, t->bytes);
}

int stream_totals_decode(struct slice in, struct stream_totals *t)
{
    *t = (struct stream_totals){0};
    return take_varint(&in, &t->records) && take_varint(&in, &t->bytes) && in.len == 0 ? 0
                                                                                       : -EBADMSG;
}
