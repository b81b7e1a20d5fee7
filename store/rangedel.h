/* rangedel: range tombstones, fragmented.
 *
 * A tombstone (start, end, seq) hides every entry with start <= key < end and a lower sequence
 * number. Kept as fragments: disjoint intervals in key order, each with the sequence numbers of all
 * the tombstones that cover it, newest first. So the question "what hides key k for a read at R?"
 * is one binary search for the fragment and one for the number.
 *
 * Immutable once built; shared by reference count; thread-safe to read. */
#ifndef VARVE_STORE_RANGEDEL_H
#define VARVE_STORE_RANGEDEL_H

#include "store/entry.h"

struct rangedel_fragment {
    struct slice start, end; /* end exclusive; start < end */
    const uint64_t *seqs;    /* descending, no repeats */
    uint32_t seq_count;      /* >= 1 */
};

/* The answer for a key and all its neighbours in [lo, hi): the newest tombstone below the read's
 * sequence number has `seq`; 0: none. Empty lo: from the first key; empty hi: without end.
 * A cursor that moves within [lo, hi) need not ask again. The slices live as long as the source. */
struct rangedel_cover {
    uint64_t seq;
    struct slice lo, hi;
};

/* ---- gathering and fragmenting ---- */
struct rangedel_builder; /* opaque */
struct rangedel_builder *rangedel_builder_new(void);
void rangedel_builder_free(struct rangedel_builder *b);
/* Copies. Any order, overlaps welcome; an empty interval (start >= end) is ignored. */
void rangedel_builder_add(struct rangedel_builder *b, struct slice start, struct slice end,
                          uint64_t seq);
bool rangedel_builder_empty(const struct rangedel_builder *b);

struct rangedel; /* opaque: a fragmented list */
/* Fragments what was gathered, O(n log n) for n tombstones when the fragments' numbers are O(n),
 * and empties the builder. Never NULL. */
struct rangedel *rangedel_build(struct rangedel_builder *b);
struct rangedel *rangedel_ref(struct rangedel *r);
void rangedel_unref(struct rangedel *r);

size_t rangedel_count(const struct rangedel *r); /* fragments */
struct rangedel_fragment rangedel_at(const struct rangedel *r, size_t i);

/* What hides `key` for a read at `read_seq` (tombstones with seq < read_seq). O(log n). */
void rangedel_cover(const struct rangedel *r, struct slice key, uint64_t read_seq,
                    struct rangedel_cover *out);
/* Index of the first fragment with end > key; rangedel_count() when there is none. */
size_t rangedel_find(const struct rangedel *r, struct slice key);

/* ---- on disk: a block (block.h) with one entry per fragment: key = start, seq = the newest, type
 * ENTRY_RANGE_DELETE, value = varint length of end, end, then for each further number a varint: the
 * one before minus this one ---- */
void rangedel_encode(const struct rangedel *r, struct buf *payload);
/* Returns 0 or -EIO (the caller raises corrupt()); checks order, disjointness and descent. */
int rangedel_decode(struct slice payload, struct rangedel **out);

#endif
