/* block writer: see block.h for the payload's layout.
 *
 * Tags are relative to the block's lowest sequence number, which is known only at the end. So the
 * entries are encoded at once but for their tags, which wait in `scratch` with the place where they
 * belong; the end is one pass that copies the pieces between two tags and puts the tags in.
 *
 * Guarantees: `shared` is as long as it can be except at restart points, where it is 0; the
 * payload's entries are strictly in internal order.
 *
 * Invariants:
 *   1. `scratch` holds one waiting_tag per entry, places ascending.
 *   2. `restarts` holds the offset in `entries` of each entry whose index is a multiple of
 *      `interval`. `prints` holds a byte per entry, or none.
 *   3. min_seq <= max_seq bound the sequence numbers added; both are 0 while count is 0. */
#include "store/block_raw.h"

#include <assert.h>

enum { PRINT_COUNT_SIZE = 4 };

struct waiting_tag {
    uint64_t tag; /* not yet based: seq << TAG_TYPE_BITS | type */
    uint32_t at;  /* where in `entries` it goes */
};

static void block_writer_assert_valid(const struct block_writer *w)
{
    assert(w->interval >= 1);
    assert(w->scratch.len == w->count * sizeof(struct waiting_tag));
    assert(w->restarts.len / 4 == ((uint64_t)w->count + w->interval - 1) / w->interval);
    assert(w->min_seq <= w->max_seq && w->max_seq <= SEQ_MAX);
    assert((w->count == 0) == (w->entries.len == 0));
    assert(w->prints.len == 0 || w->prints.len == w->count);
}

static void block_writer_clear(struct block_writer *w)
{
    buf_clear(&w->entries);
    buf_clear(&w->prints);
    buf_clear(&w->last_key);
    buf_clear(&w->restarts);
    buf_clear(&w->scratch);
    w->min_seq = w->max_seq = 0;
    w->count = 0;
    w->estimate_bytes = BLOCK_TRAILER_SIZE;
}

void block_writer_init(struct block_writer *w, uint32_t restart_interval)
{
    assert(restart_interval >= 1);
    *w = (struct block_writer){.interval = restart_interval};
    block_writer_clear(w);
}

void block_writer_set_interval(struct block_writer *w, uint32_t restart_interval)
{
    assert(w->count == 0 && restart_interval >= 1 && restart_interval <= BLOCK_RESTART_INTERVAL);
    w->interval = restart_interval;
}

void block_writer_release(struct block_writer *w)
{
    buf_release(&w->entries);
    buf_release(&w->prints);
    buf_release(&w->last_key);
    buf_release(&w->restarts);
    buf_release(&w->scratch);
}

static const struct waiting_tag *waiting_tags(const struct block_writer *w)
{
    return (const struct waiting_tag *)(const void *)w->scratch.data;
}

static void assert_in_order(const struct block_writer *w, const struct entry *e)
{
    if (w->count == 0)
        return;
    uint64_t last_seq = waiting_tags(w)[w->count - 1].tag >> TAG_TYPE_BITS;
    assert(entry_cmp(buf_slice(&w->last_key), last_seq, e->key, e->seq) < 0);
    (void)last_seq;
}

/* varint_put(), quick for what is nearly always small; returns where the next one goes. */
static inline uint8_t *put_varint(uint8_t *p, uint64_t v)
{
    if (v > 127)
        return p + varint_put(p, v);
    *p = (uint8_t)v;
    return p + 1;
}

/* Appends the entry without its tag; returns where the tag belongs. */
static uint32_t put_untagged(struct block_writer *w, const struct entry *e, size_t shared)
{
    size_t unshared = e->key.len - shared;
    size_t room = 3 * VARINT32_MAX + unshared + e->value.len;
    assert(w->entries.len + room <= UINT32_MAX);
    uint8_t *start = buf_reserve(&w->entries, room), *p = start;
    p = put_varint(p, shared);
    p = put_varint(p, unshared);
    p = put_varint(p, e->value.len);
    uint32_t at = (uint32_t)(w->entries.len + (size_t)(p - start));
    if (unshared)
        memcpy(p, e->key.data + shared, unshared);
    p += unshared;
    if (e->value.len)
        memcpy(p, e->value.data, e->value.len);
    p += e->value.len;
    w->entries.len += (size_t)(p - start);
    return at;
}

static size_t shared_with_last(const struct block_writer *w, struct slice key)
{
    size_t both = w->last_key.len < key.len ? w->last_key.len : key.len;
    return block_same_bytes(w->last_key.data, key.data, both);
}

static void widen_seqs(struct block_writer *w, uint64_t seq)
{
    if (w->count == 0 || seq < w->min_seq)
        w->min_seq = seq;
    if (w->count == 0 || seq > w->max_seq)
        w->max_seq = seq;
}

/* No payload is larger: every tag is taken to be as long as the longest can be. */
static size_t estimate(const struct block_writer *w)
{
    uint64_t longest = (w->max_seq - w->min_seq) << TAG_TYPE_BITS | TAG_TYPE_MASK;
    size_t bits = 64 - (size_t)__builtin_clzll(longest);
    size_t prints = w->prints.len ? w->prints.len + PRINT_COUNT_SIZE : 0;
    return w->entries.len + w->count * ((bits + 6) / 7) + w->restarts.len + prints +
           BLOCK_TRAILER_SIZE;
}

void block_writer_add(struct block_writer *w, const struct entry *e)
{
    assert(e->seq <= SEQ_MAX && (unsigned)e->type < ENTRY_TYPE_COUNT);
    assert_in_order(w, e);
    size_t shared = 0;
    if (w->count % w->interval == 0)
        buf_put_u32(&w->restarts, (uint32_t)w->entries.len);
    else
        shared = shared_with_last(w, e->key);
    struct waiting_tag waiting = {.tag = e->seq << TAG_TYPE_BITS | e->type};
    waiting.at = put_untagged(w, e, shared);
    buf_append_bytes(&w->scratch, &waiting, sizeof waiting);
    w->last_key.len = shared;
    buf_append_bytes(&w->last_key, e->key.data + shared, e->key.len - shared);
    widen_seqs(w, e->seq);
    w->count++;
    w->estimate_bytes = estimate(w);
}

void block_writer_add_hashed(struct block_writer *w, const struct entry *e, uint64_t hash)
{
    assert(w->prints.len == w->count && (w->interval & (w->interval - 1)) == 0);
    buf_put_u8(&w->prints, (uint8_t)hash);
    block_writer_add(w, e);
}

/* Appends the prints, if there are any; returns the flags. */
static uint8_t put_prints(const struct block_writer *w, struct buf *out)
{
    if (w->prints.len == 0)
        return 0;
    buf_append(out, buf_slice(&w->prints));
    buf_put_u32(out, w->count);
    return (uint8_t)(1 | __builtin_ctz(w->interval) << 1);
}

/* Copies `entries` with the tags put in, and moves the restart points to where their entries are
 * now. */
static void put_tagged(struct block_writer *w, struct buf *out)
{
    const struct waiting_tag *tags = waiting_tags(w);
    uint64_t base = w->min_seq << TAG_TYPE_BITS;
    uint8_t *p = out->data + out->len, *start = p;
    uint32_t copied = 0;
    for (uint32_t i = 0; i < w->count; i++) {
        if (i % w->interval == 0) {
            uint8_t *restart = w->restarts.data + (size_t)4 * (i / w->interval);
            put_u32(restart, get_u32(restart) + (uint32_t)(p - start) - copied);
        }
        memcpy(p, w->entries.data + copied, tags[i].at - copied);
        p += tags[i].at - copied;
        p = put_varint(p, tags[i].tag - base);
        copied = tags[i].at;
    }
    if (w->count)
        memcpy(p, w->entries.data + copied, w->entries.len - copied);
    p += w->entries.len - copied;
    out->len += (size_t)(p - start);
}

void block_writer_finish(struct block_writer *w, struct buf *out)
{
    block_writer_assert_valid(w);
    assert(w->estimate_bytes <= UINT32_MAX);
    size_t before = out->len;
    buf_reserve(out, w->estimate_bytes + VARINT64_MAX);
    put_tagged(w, out);
    buf_append(out, buf_slice(&w->restarts));
    uint8_t flags = put_prints(w, out);
    buf_put_u64(out, w->min_seq);
    buf_put_u64(out, w->max_seq - w->min_seq);
    buf_put_u8(out, flags);
    buf_put_u32(out, (uint32_t)(w->restarts.len / 4));
    assert(out->len - before <= w->estimate_bytes);
    (void)before;
    block_writer_clear(w);
}
