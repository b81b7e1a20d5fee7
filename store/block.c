/* block reader: see block.h for the payload's layout, block_raw.h for one entry of it,
 * block_find.c for point reads,
 * block_writer.c for the other side.
 *
 * The inner loop of every read, so it copies as little as it can: a key that shares nothing stays
 * where it is in the payload; a seek never puts together the keys that it passes, and takes the
 * head of the key it ends on from the key that was sought.
 *
 * Guarantees, whatever the payload's bytes are: no access outside it; every move ends; what forward
 * moves return after one another is strictly in internal order, or they end in -EIO. A seek may be
 * given the cursor's own key.
 *
 * Invariants:
 *   1. At least BLOCK_TRAILER_SIZE readable bytes follow `entries`: they are the same payload. So a
 *      look at BLOCK_LOOK_AHEAD bytes from any place within the entries needs no check; what is
 *      found there does.
 *   2. While the cursor is valid, offset < next_offset <= entries.len, and if the restart points
 *      are sound, number `restart` lies at or before `offset`.
 *   3. it.e.key lies in the payload if the entry shares nothing, else at key.data.
 *   4. The entries at trail[0..trail_len) and the one at trail_end follow each other, and each was
 *      found to share no more than the one before it has. */
#include "store/block_raw.h"

#include <assert.h>
#include <errno.h>

enum {
    FLAG_PRINTS = 1,
    FLAGS_KNOWN = 15, /* and in bits 1 to 3 the interval */
    PRINT_COUNT_SIZE = 4,
};

/* ---- trailer ---- */

/* Takes the prints, if there are any, off the end of the `*body` bytes before the trailer. */
static bool take_prints(const uint8_t *payload, uint8_t flags, size_t *body, struct block *b)
{
    if (!(flags & FLAG_PRINTS))
        return flags == 0;
    uint32_t log2 = flags >> 1;
    if (flags > FLAGS_KNOWN || 1 << log2 > BLOCK_RESTART_INTERVAL || *body < PRINT_COUNT_SIZE)
        return false;
    size_t rest = *body - PRINT_COUNT_SIZE;
    uint32_t count = get_u32(payload + rest);
    if (count > rest || (count + ((uint64_t)1 << log2) - 1) >> log2 != b->restart_count)
        return false;
    *body = rest - count;
    b->prints = payload + *body;
    b->print_count = count;
    b->interval_log2 = log2;
    return true;
}

int block_open(struct slice payload, struct block *out)
{
    *out = (struct block){0};
    if (payload.len < BLOCK_TRAILER_SIZE || payload.len > UINT32_MAX)
        return -EIO;
    size_t body = payload.len - BLOCK_TRAILER_SIZE;
    const uint8_t *trailer = payload.data + body;
    uint64_t base = get_u64(trailer), span = get_u64(trailer + 8);
    struct block b = {.restart_count = get_u32(trailer + 17)};
    if (base > SEQ_MAX || span > SEQ_MAX - base ||
        !take_prints(payload.data, trailer[16], &body, &b) ||
        b.restart_count > body / BLOCK_RESTART_SIZE)
        return -EIO;
    size_t entries = body - (size_t)b.restart_count * BLOCK_RESTART_SIZE;
    if ((b.restart_count == 0) != (entries == 0) ||
        (b.restart_count && get_u32(payload.data + entries) != 0))
        return -EIO;
    b.entries = slice_of(payload.data, entries);
    b.restarts = payload.data + entries;
    b.base_seq = base;
    b.max_seq = base + span;
    *out = b;
    return 0;
}

/* ---- the cursor's place ---- */

static inline struct block_iter *block_iter_of(struct iter *it)
{
    return (struct block_iter *)it;
}

static int place_none(struct block_iter *bi, int why)
{
    assert(why == 1 || why == -EIO);
    bi->it.valid = false;
    return why;
}

/* A larger key buffer that begins with `prefix`, which may lie in the old one. */
static void grow_key(struct block_iter *bi, struct slice prefix, size_t want)
{
    struct buf grown = {0};
    buf_reserve(&grown, want * 2);
    memcpy(grown.data, prefix.data, prefix.len);
    buf_release(&bi->key);
    bi->key = grown;
}

/* Makes the key buffer begin with `prefix`, with room for a key of `len` bytes and a look ahead. */
static inline void ready_key(struct block_iter *bi, struct slice prefix, size_t len)
{
    assert(prefix.len <= len);
    if (bi->key.cap < len + BLOCK_LOOK_AHEAD)
        grow_key(bi, prefix, len + BLOCK_LOOK_AHEAD);
    else if (prefix.data != bi->key.data)
        memmove(bi->key.data, prefix.data, prefix.len);
}

/* Makes it.e.key out of the first raw->shared bytes of `prefix` and the suffix. */
static inline __attribute__((always_inline)) void
place_key(struct block_iter *bi, const struct block_raw *raw, struct slice prefix)
{
    size_t shared = raw->shared, unshared = raw->unshared;
    assert(shared <= prefix.len);
    if (shared == 0) {
        bi->it.e.key = slice_of(raw->suffix, unshared);
        return;
    }
    ready_key(bi, slice_of(prefix.data, shared), shared + unshared);
    /* One move of a fixed size is cheaper than one of the right size (invariant 1). */
    if (unshared <= BLOCK_LOOK_AHEAD)
        memcpy(bi->key.data + shared, raw->suffix, BLOCK_LOOK_AHEAD);
    else
        memcpy(bi->key.data + shared, raw->suffix, unshared);
    bi->it.e.key = slice_of(bi->key.data, shared + unshared);
}

/* Stands on `raw`, found at `offset`, whose key begins with raw->shared bytes of `prefix`. */
static inline __attribute__((always_inline)) int
place_at(struct block_iter *bi, uint32_t offset, const struct block_raw *raw, struct slice prefix)
{
    const struct block *b = &bi->block;
    unsigned type = raw->tag & TAG_TYPE_MASK;
    if (type >= ENTRY_TYPE_COUNT || raw->tag >> TAG_TYPE_BITS > b->max_seq - b->base_seq)
        return place_none(bi, -EIO);
    place_key(bi, raw, prefix);
    struct entry *e = &bi->it.e;
    e->seq = block_raw_seq(b, raw);
    e->type = (enum entry_type)type;
    e->sum = 0;
    e->value = slice_of(raw->suffix + raw->unshared, raw->value_len);
    bi->offset = offset;
    bi->next_offset = (uint32_t)(e->value.data + e->value.len - b->entries.data);
    bi->it.valid = true;
    assert(offset < bi->next_offset && bi->next_offset <= b->entries.len);
    return 0;
}

/* Before an entry at a restart point: it has no key to share with, and nothing that it must follow.
 */
static void place_before_all(struct block_iter *bi)
{
    bi->it.e = (struct entry){.key = slice_of(bi->block.entries.data, 0), .seq = UINT64_MAX};
}

/* From it.e to the entry at `offset`, right behind it. */
static inline __attribute__((always_inline)) int step(struct block_iter *bi, uint32_t offset)
{
    const struct entry *before = &bi->it.e;
    struct block_raw raw;
    if (!block_raw_decode(bi->block.entries, offset, &raw) || raw.shared > before->key.len ||
        !block_raw_follows(&raw, block_raw_seq(&bi->block, &raw), before))
        return place_none(bi, -EIO);
    return place_at(bi, offset, &raw, before->key);
}

/* From a restart point to the last entry that begins before `stop`, which must be where it ends. */
static int walk(struct block_iter *bi, uint32_t restart, uint32_t stop)
{
    assert(stop <= bi->block.entries.len);
    uint32_t offset = block_restart(&bi->block, restart);
    if (offset >= stop)
        return place_none(bi, -EIO);
    bi->restart = restart;
    bi->trail_len = 0;
    place_before_all(bi);
    uint32_t passed = 0;
    for (;; passed++) {
        int ret = step(bi, offset);
        if (ret)
            return ret;
        if (bi->next_offset >= stop)
            break;
        if (passed < BLOCK_RESTART_INTERVAL)
            bi->trail[passed] = offset;
        offset = bi->next_offset;
    }
    bi->trail_len = passed <= BLOCK_RESTART_INTERVAL ? passed : 0;
    bi->trail_end = offset;
    return bi->next_offset == stop ? 0 : place_none(bi, -EIO);
}

/* An entry that a cursor has stood on decodes. */
static inline struct block_raw decode_again(const struct block *b, uint32_t offset)
{
    struct block_raw raw;
    bool ok = block_raw_decode(b->entries, offset, &raw);
    assert(ok);
    (void)ok;
    return raw;
}

/* Back by one from trail_end. The key begins with what the present one shares with it, and ends
 * with its own suffix; what lies between, if anything, comes from the suffixes of those before it:
 *     abcd    shares 0    3. "bcd"
 *     abcdf   shares 4    2. its own suffix "f"
 *     ax      shares 1    1. here we stand: "a" is there already */
static int step_back(struct block_iter *bi)
{
    const struct block *b = &bi->block;
    uint32_t offset = bi->trail[--bi->trail_len];
    const struct block_raw here = decode_again(b, bi->offset), there = decode_again(b, offset);
    ready_key(bi, slice_of(bi->it.e.key.data, here.shared), (size_t)there.shared + there.unshared);
    size_t missing = there.shared;
    for (uint32_t i = bi->trail_len; missing > here.shared; i--) {
        assert(i > 0);
        const struct block_raw raw = decode_again(b, bi->trail[i - 1]);
        if (raw.shared < missing) {
            memcpy(bi->key.data + raw.shared, raw.suffix, missing - raw.shared);
            missing = raw.shared;
        }
    }
    bi->trail_end = offset;
    return place_at(bi, offset, &there, slice_of(bi->key.data, there.shared));
}

/* ---- moves ---- */

static int block_iter_first(struct iter *it)
{
    struct block_iter *bi = block_iter_of(it);
    if (bi->block.entries.len == 0)
        return place_none(bi, 1);
    bi->restart = 0;
    place_before_all(bi);
    return step(bi, 0);
}

static int block_iter_last(struct iter *it)
{
    struct block_iter *bi = block_iter_of(it);
    if (bi->block.entries.len == 0)
        return place_none(bi, 1);
    return walk(bi, bi->block.restart_count - 1, (uint32_t)bi->block.entries.len);
}

static int block_iter_next(struct iter *it)
{
    struct block_iter *bi = block_iter_of(it);
    assert(it->valid);
    if (bi->next_offset == bi->block.entries.len)
        return place_none(bi, 1);
    return step(bi, bi->next_offset);
}

static int block_iter_prev(struct iter *it)
{
    struct block_iter *bi = block_iter_of(it);
    const struct block *b = &bi->block;
    assert(it->valid);
    if (bi->offset == 0)
        return place_none(bi, 1);
    if (bi->trail_len > 0 && bi->trail_end == bi->offset)
        return step_back(bi);
    /* next() leaves `restart` behind; the way forward is made up for here, once. */
    uint32_t restart = bi->restart;
    while (restart + 1 < b->restart_count && block_restart(b, restart + 1) < bi->offset)
        restart++;
    while (restart > 0 && block_restart(b, restart) >= bi->offset)
        restart--;
    return walk(bi, restart, bi->offset);
}

/* From a restart point to the first entry at or after (key, seq).
 *
 * `match` is how many bytes the last entry passed has in common with `key`. An entry that shares
 * more than that with the one before is below `key` for the same reason: nothing to compare. One
 * that shares no more has its head in common with `key`: only the suffix is compared. Seeking
 * "cab": caa    shares 0    compared, below, match = 2 caaz   shares 3    below unseen cac shares 2
 * "c" compared with "b": found */
static int scan(struct block_iter *bi, uint32_t restart, struct slice key, uint64_t seq)
{
    const struct block *b = &bi->block;
    uint32_t offset = block_restart(b, restart);
    size_t match = 0, len_before = 0;
    bi->restart = restart;
    while (offset < b->entries.len) {
        struct block_raw raw;
        if (!block_raw_decode(b->entries, offset, &raw) || raw.shared > len_before)
            return place_none(bi, -EIO);
        if (raw.shared <= match && !block_raw_below(&raw, block_raw_seq(b, &raw), key, seq, &match))
            return place_at(bi, offset, &raw, key);
        len_before = (size_t)raw.shared + raw.unshared;
        offset = (uint32_t)(raw.suffix + raw.unshared + raw.value_len - b->entries.data);
    }
    return place_none(bi, 1);
}

static int block_iter_seek(struct iter *it, struct slice key, uint64_t seq)
{
    struct block_iter *bi = block_iter_of(it);
    uint32_t restart;
    if (bi->block.entries.len == 0)
        return place_none(bi, 1);
    if (key.len == 0)
        key = slice_str(""); /* its data may be NULL */
    int ret = block_raw_restart_before(&bi->block, key, seq, &restart);
    return ret ? place_none(bi, ret) : scan(bi, restart, key, seq);
}

static void block_iter_free(struct iter *it)
{
    block_iter_release(block_iter_of(it));
}

void block_iter_init(struct block_iter *bi)
{
    static const struct iter_ops ops = {block_iter_first, block_iter_last, block_iter_seek,
                                        block_iter_next,  block_iter_prev, NULL,
                                        block_iter_free};
    *bi = (struct block_iter){.it.ops = &ops};
}

void block_iter_release(struct block_iter *bi)
{
    buf_release(&bi->key);
    bi->it.valid = false;
    bi->block = (struct block){0};
}

void block_iter_set(struct block_iter *bi, const struct block *block)
{
    assert(block->restart_count > 0 || block->entries.len == 0);
    bi->block = *block;
    bi->it.valid = false;
    bi->trail_len = 0;
}
