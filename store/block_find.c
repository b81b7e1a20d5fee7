/* block_find: point reads in a block, and the search among restart points that cursors share.
 *
 * With prints (block.h) the search looks at the groups of entries between two restart points in
 * which an entry has the key's print, in order; without, at the one that a binary search names.
 *
 * Guarantees, whatever the payload's bytes are: no access outside it, and an end. Nothing is
 * allocated. If the block is sound, the answer is right; the check of a table says whether prints
 * are.
 *
 * Invariants:
 *   1. Entries before the one that is looked at are below (key, seq), or were so in their own
 *      group. So the first group in which an entry is not below ends the search: it is the one that
 *      is sought, or a greater key, or older.
 *   2. An entry that was found has the key of the caller, so the next one's shared bytes are known
 *      without a copy. */
#include "store/block_raw.h"

#include <assert.h>
#include <errno.h>

/* ---- restart points ---- */

int block_raw_restart_before(const struct block *b, struct slice key, uint64_t seq, uint32_t *out)
{
    uint32_t lo = 0, hi = b->restart_count;
    while (hi - lo > 1) {
        uint32_t mid = lo + (hi - lo) / 2, offset = block_restart(b, mid);
        struct block_raw raw;
        if (offset >= b->entries.len || !block_raw_decode(b->entries, offset, &raw) || raw.shared)
            return -EIO;
        struct slice at = slice_of(raw.suffix, raw.unshared);
        if (entry_cmp(at, block_raw_seq(b, &raw), key, seq) < 0)
            lo = mid;
        else
            hi = mid;
    }
    *out = lo;
    return 0;
}

/* ---- prints ---- */

#define EACH_BYTE UINT64_C(0x0101010101010101)
#define LOW_BITS  (EACH_BYTE * 0x7f)

/* The first entry from number `from` on with this print; print_count: none. Eight bytes behind the
 * last print may be looked at: the trailer follows. */
static uint32_t next_print(const struct block *b, uint32_t from, uint8_t print)
{
    for (uint32_t i = from; i < b->print_count; i += 8) {
        /* A byte of `differ` is zero where the print is right; the top bit of a byte of `same` is
         * set just there: a sum of two numbers below 128 reaches it if the first is not zero. */
        uint64_t differ = get_u64(b->prints + i) ^ EACH_BYTE * print;
        uint64_t same = ~(((differ & LOW_BITS) + LOW_BITS) | differ | LOW_BITS);
        if (same) {
            uint32_t at = i + (uint32_t)__builtin_ctzll(same) / 8;
            return at < b->print_count ? at : b->print_count;
        }
    }
    return b->print_count;
}

/* ---- entries ---- */

/* Stands on `raw`, whose key is `key`. 0 or -EIO. */
static int place(const struct block *b, const struct block_raw *raw, struct slice key,
                 struct block_found *f)
{
    unsigned type = raw->tag & TAG_TYPE_MASK;
    if (type >= ENTRY_TYPE_COUNT || raw->tag >> TAG_TYPE_BITS > b->max_seq - b->base_seq)
        return -EIO;
    struct slice value = slice_of(raw->suffix + raw->unshared, raw->value_len);
    f->e = (struct entry){
        .key = key, .seq = block_raw_seq(b, raw), .type = (enum entry_type)type, .value = value};
    f->next_offset = (uint32_t)(value.data + value.len - b->entries.data);
    return 0;
}

enum { GROUP_FOUND = 0, GROUP_ABSENT = 1, GROUP_PASSED = 2 };

/* Looks for (key, seq) between restart point `restart` and `stop`. GROUP_PASSED: all there is below
 * it. The way to compare is that of a cursor's seek (block.c): `match` bytes of the entry passed
 * last are those of the key. */
static int find_in_group(const struct block *b, uint32_t restart, uint32_t stop, struct slice key,
                         uint64_t seq, struct block_found *f)
{
    uint32_t offset = block_restart(b, restart);
    size_t match = 0, len_before = 0;
    if (offset >= stop)
        return -EIO;
    while (offset < stop) {
        struct block_raw raw;
        if (!block_raw_decode(b->entries, offset, &raw) || raw.shared > len_before)
            return -EIO;
        if (raw.shared <= match &&
            !block_raw_below(&raw, block_raw_seq(b, &raw), key, seq, &match)) {
            if (match != key.len || (size_t)raw.shared + raw.unshared != key.len)
                return GROUP_ABSENT;
            return place(b, &raw, key, f);
        }
        len_before = (size_t)raw.shared + raw.unshared;
        offset = (uint32_t)(raw.suffix + raw.unshared + raw.value_len - b->entries.data);
    }
    return GROUP_PASSED;
}

static int find_by_print(const struct block *b, struct slice key, uint64_t hash, uint64_t seq,
                         struct block_found *f)
{
    uint32_t at = 0;
    int rc = GROUP_PASSED;
    while (rc == GROUP_PASSED && (at = next_print(b, at, (uint8_t)hash)) < b->print_count) {
        uint32_t group = at >> b->interval_log2, next = group + 1;
        uint32_t stop = next < b->restart_count ? block_restart(b, next) : (uint32_t)b->entries.len;
        if (stop > b->entries.len)
            return -EIO;
        rc = find_in_group(b, group, stop, key, seq, f);
        at = next << b->interval_log2;
    }
    return rc == GROUP_PASSED ? 1 : rc;
}

int block_find(const struct block *b, struct slice key, uint64_t hash, uint64_t seq,
               struct block_found *f)
{
    uint32_t restart;
    assert(key.len > 0);
    *f = (struct block_found){0};
    if (b->entries.len == 0)
        return 1;
    if (b->prints)
        return find_by_print(b, key, hash, seq, f);
    int rc = block_raw_restart_before(b, key, seq, &restart);
    if (rc == 0)
        rc = find_in_group(b, restart, (uint32_t)b->entries.len, key, seq, f);
    return rc == GROUP_PASSED ? 1 : rc;
}

int block_find_next(const struct block *b, struct block_found *f)
{
    struct block_raw raw;
    struct slice key = f->e.key;
    uint64_t seq = f->e.seq;
    assert(key.len > 0 && f->next_offset <= b->entries.len);
    if (f->next_offset == b->entries.len)
        return 1;
    if (!block_raw_decode(b->entries, f->next_offset, &raw) || raw.shared > key.len)
        return -EIO;
    if ((size_t)raw.shared + raw.unshared != key.len ||
        memcmp(raw.suffix, key.data + raw.shared, raw.unshared) != 0)
        return 1;
    return block_raw_seq(b, &raw) < seq ? place(b, &raw, key, f) : -EIO;
}
