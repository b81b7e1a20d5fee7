/* entry: one versioned operation on a key, and the order in which entries are kept.
 *
 * Internal order: key ascending (bytewise), then sequence number descending: the newest comes
 * first. No two entries of a store share key and sequence number. */
#ifndef VARVE_STORE_ENTRY_H
#define VARVE_STORE_ENTRY_H

#include "store/format.h"

/* Part of the format. */
enum entry_type {
    ENTRY_DELETE = 0,     /* no value */
    ENTRY_PUT = 1,        /* value inline */
    ENTRY_MERGE = 2,      /* operand inline */
    ENTRY_PUT_BLOB = 3,   /* value is an encoded blob_ref */
    ENTRY_MERGE_BLOB = 4, /* operand behind an encoded blob_ref */
    ENTRY_RANGE_DELETE =
        5, /* key: first key; value: end key, exclusive. In batches and logs only */
};
enum { ENTRY_TYPE_COUNT = 6 };

/* Slices are borrowed; the producer says until when. Who changes an entry sets `sum` to 0. */
struct entry {
    struct slice key;
    uint64_t seq;
    enum entry_type type;
    uint32_t sum; /* of entry_sum(), taken where it came from; 0: none. In memory only */
    struct slice value;
};

/* ---- checksums of entries in memory (docs/decisions/0039) ---- */

/* Of an operation that has no number yet. */
uint64_t entry_hash(struct slice key, enum entry_type type, struct slice value);
/* Of one that has: not 0. */
uint32_t entry_sum_of(uint64_t hash, uint64_t seq);
static inline uint32_t entry_sum(const struct entry *e)
{
    return entry_sum_of(entry_hash(e->key, e->type, e->value), e->seq);
}
/* Is it what its sum was taken of? 0, also without a sum; or -EIO raised by corrupt(): memory has
 * changed. `where`, for the message: what holds it. */
int entry_verify(const struct entry *e, const char *where);
/* Raises that the entry of `key` has changed in memory; returns -EIO. */
int entry_damaged(struct slice key, const char *where);

static inline bool entry_type_is_blob(enum entry_type t)
{
    return t == ENTRY_PUT_BLOB || t == ENTRY_MERGE_BLOB;
}
static inline bool entry_type_is_merge(enum entry_type t)
{
    return t == ENTRY_MERGE || t == ENTRY_MERGE_BLOB;
}

/* Internal order of (a_key, a_seq) and (b_key, b_seq). */
static inline int entry_cmp(struct slice a_key, uint64_t a_seq, struct slice b_key, uint64_t b_seq)
{
    int order = slice_cmp(a_key, b_key);
    return order ? order : (a_seq < b_seq) - (a_seq > b_seq);
}

#endif
