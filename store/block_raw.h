/* block_raw: one entry as it lies in a block's payload, for the files of the block module alone;
 * the door is block.h.
 *
 * Here is where bytes that nobody has checked yet are looked at. All of it is inline: it is the
 * inner loop of every read. */
#ifndef VARVE_STORE_BLOCK_RAW_H
#define VARVE_STORE_BLOCK_RAW_H

#include "store/block.h"

#include <assert.h>

/* A tag is a sequence number, relative to the block's base, above an entry type. */
enum { TAG_TYPE_BITS = 3, TAG_TYPE_MASK = (1 << TAG_TYPE_BITS) - 1 };
_Static_assert(ENTRY_TYPE_COUNT <= 1 << TAG_TYPE_BITS, "an entry type fits in a tag");
_Static_assert(SEQ_MAX <= UINT64_MAX >> TAG_TYPE_BITS, "a sequence number fits in a tag");

/* From any place within the entries this many bytes may be looked at unchecked: the trailer
 * follows. */
enum { BLOCK_LOOK_AHEAD = 16 };
_Static_assert((int)BLOCK_LOOK_AHEAD <= (int)BLOCK_TRAILER_SIZE,
               "a look ahead stays in the payload");

/* The header of an entry, decoded. */
struct block_raw {
    uint32_t shared, unshared, value_len;
    uint64_t tag;
    const uint8_t *suffix; /* the value follows it */
};

/* The number in the first bytes of `word`, up to the first whose top bit is clear: `stops` has
 * those bits. Three halvings close the gaps: 7 bits in 8 become 14 in 16, 28 in 32, 56. */
static inline uint64_t varint_unpack(uint64_t word, uint64_t stops)
{
    word &= (stops ^ (stops - 1)) & UINT64_C(0x7f7f7f7f7f7f7f7f);
    word = (word & UINT64_C(0x007f007f007f007f)) | (word & UINT64_C(0x7f007f007f007f00)) >> 1;
    word = (word & UINT64_C(0x00003fff00003fff)) | (word & UINT64_C(0x3fff00003fff0000)) >> 2;
    return (word & UINT64_C(0x0fffffff)) | (word & UINT64_C(0x0fffffff00000000)) >> 4;
}

/* block_raw_decode() for numbers of any length. */
static __attribute__((noinline, unused)) bool block_raw_decode_slow(struct slice in,
                                                                    struct block_raw *out)
{
    *out = (struct block_raw){0};
    bool ok = take_varint32(&in, &out->shared) && take_varint32(&in, &out->unshared) &&
              take_varint32(&in, &out->value_len) && take_varint(&in, &out->tag);
    out->suffix = in.data;
    return ok && (uint64_t)out->unshared + out->value_len <= in.len;
}

/* Decodes what stands at `offset` (within the entries); false if it does not fit there. Lengths
 * below 128 (of the value, below 16384) and a tag of at most eight bytes take no branch that
 * depends on them. */
static inline __attribute__((always_inline)) bool
block_raw_decode(struct slice entries, uint32_t offset, struct block_raw *out)
{
    assert(offset < entries.len);
    const uint8_t *p = entries.data + offset, *end = entries.data + entries.len;
    unsigned shared = p[0], unshared = p[1], value_len = p[2], past_127 = shared | unshared;
    const uint8_t *tag = p + 3;
    if (value_len > 127) {
        past_127 |= p[3];
        value_len = (value_len & 127) | (unsigned)p[3] << 7;
        tag++;
    }
    uint64_t word = get_u64(tag), stops = ~word & UINT64_C(0x8080808080808080);
    if (past_127 > 127 || stops == 0) {
        struct block_raw slow; /* so that `*out` can live in registers */
        bool ok = block_raw_decode_slow(slice_of(p, (size_t)(end - p)), &slow);
        *out = slow;
        return ok;
    }
    const uint8_t *suffix = tag + __builtin_ctzll(stops) / 8 + 1;
    *out = (struct block_raw){shared, unshared, value_len, varint_unpack(word, stops), suffix};
    return (ptrdiff_t)(unshared + value_len) <= end - suffix;
}

static inline uint64_t block_raw_seq(const struct block *b, const struct block_raw *raw)
{
    return b->base_seq + (raw->tag >> TAG_TYPE_BITS);
}

/* Whether `raw`, with number `seq`, comes after `before`, whose key it shares bytes with. */
static inline bool block_raw_follows(const struct block_raw *raw, uint64_t seq,
                                     const struct entry *before)
{
    size_t rest = before->key.len - raw->shared;
    const uint8_t *was = before->key.data + raw->shared;
    if (rest && raw->unshared && raw->suffix[0] > was[0])
        return true;
    int order = slice_cmp(slice_of(raw->suffix, raw->unshared), slice_of(was, rest));
    return order > 0 || (order == 0 && seq < before->seq);
}

/* How many of the first `n` bytes are the same; a word at a time. */
static inline size_t block_same_bytes(const uint8_t *a, const uint8_t *b, size_t n)
{
    size_t i = 0;
    for (; n - i >= 8; i += 8) {
        uint64_t differ = get_u64(a + i) ^ get_u64(b + i);
        if (differ)
            return i + (size_t)__builtin_ctzll(differ) / 8;
    }
    while (i < n && a[i] == b[i])
        i++;
    return i;
}

/* Whether `raw`, which shares its head with (key, seq), is below that; `*match` becomes how many
 * bytes the keys have in common. */
static inline bool block_raw_below(const struct block_raw *raw, uint64_t raw_seq, struct slice key,
                                   uint64_t seq, size_t *match)
{
    const uint8_t *rest = key.data + raw->shared;
    size_t rest_len = key.len - raw->shared;
    size_t common = raw->unshared < rest_len ? raw->unshared : rest_len;
    size_t same = block_same_bytes(raw->suffix, rest, common);
    *match = raw->shared + same;
    if (same < common)
        return raw->suffix[same] < rest[same];
    if (raw->unshared != rest_len)
        return raw->unshared < rest_len;
    return raw_seq > seq;
}

enum { BLOCK_RESTART_SIZE = 4 };

static inline uint32_t block_restart(const struct block *b, uint32_t i)
{
    assert(i < b->restart_count);
    return get_u32(b->restarts + (size_t)i * BLOCK_RESTART_SIZE);
}

/* Sets `*out` to the last restart point whose entry is below (key, seq), or to the first. Returns 0
 * or -EIO. */
int block_raw_restart_before(const struct block *b, struct slice key, uint64_t seq, uint32_t *out);

#endif
