/* block: a sorted run of entries, prefix-compressed, with restart points. The payload of a table's
 * data, index and range-tombstone frames.
 *
 * Payload:
 *   entries      varint shared, varint unshared, varint value length, varint tag, key suffix, value
 *                tag = (seq - base) << 3 | type; `shared` is 0 at each restart point
 *   restarts     u32 each: offset of an entry; the first is 0
 *   prints       u8 each, one per entry, and u32 how many: only with bit 0 of the flags
 *   base         u64: lowest sequence number in the block
 *   span         u64: highest minus lowest
 *   flags        u8: bit 0: there are prints; then bits 1 to 3: log2 of the entries per restart
 *                point; all others 0
 *   count        u32: number of restarts, at least 1 unless the block is empty
 *
 * Prints are the in-block hash index: the lowest byte of the hash of each entry's key, in order. A
 * point read compares them eight at a time, goes straight to the few entries whose print is right,
 * and mostly finds out without looking at any entry that the key is not there. (A table of buckets,
 * as RocksDB has, takes more bytes, and half of its searches end in a bucket that two keys share.)
 */
#ifndef VARVE_STORE_BLOCK_H
#define VARVE_STORE_BLOCK_H

#include "store/iter.h"

enum {
    BLOCK_RESTART_INTERVAL = 16,
    BLOCK_TRAILER_SIZE = 8 + 8 + 1 + 4, /* base, span, flags, count */
};

/* ---- writing ---- */
struct block_writer {
    struct buf entries; /* encoded but for their tags, which wait in `scratch` for their base */
    struct buf prints;
    struct buf last_key;
    struct buf restarts;
    uint64_t min_seq, max_seq;
    uint32_t count;        /* entries added */
    uint32_t interval;     /* entries per restart point */
    size_t estimate_bytes; /* of the payload: never less, at most a few bytes an entry more */
    struct buf scratch;
};

void block_writer_init(struct block_writer *w, uint32_t restart_interval);
void block_writer_release(struct block_writer *w);
/* Of an empty writer: from now on. 1 to BLOCK_RESTART_INTERVAL, a power of two for prints. */
void block_writer_set_interval(struct block_writer *w, uint32_t restart_interval);
/* Entries come in internal order; asserted. */
void block_writer_add(struct block_writer *w, const struct entry *e);
/* The same in a block with prints: all of its entries are added so. `hash`: of the key. */
void block_writer_add_hashed(struct block_writer *w, const struct entry *e, uint64_t hash);
/* Appends the payload to `*out` and empties the writer for the next block. */
void block_writer_finish(struct block_writer *w, struct buf *out);

/* ---- reading ---- */
/* A view of a payload; borrows it. */
struct block {
    struct slice entries;
    const uint8_t *restarts, *prints; /* NULL: no prints */
    uint32_t restart_count, print_count;
    uint32_t interval_log2; /* with prints */
    uint64_t base_seq, max_seq;
};

/* Checks the trailer. Returns 0 or -EIO; the caller raises corrupt(). Whatever the bytes are, no
 * later call reads outside `payload`; entries are checked as they are met. */
int block_open(struct slice payload, struct block *out);

/* Point reads, which put together no keys and allocate nothing: the first entry at or after (key,
 * seq) in internal order, if it has this very key. 0 with `f` on it, 1 when there is none, or -EIO,
 * not logged. `hash`: of the key. The entry's key is the caller's, its value lives as long as the
 * payload. */
struct block_found {
    struct entry e;
    uint32_t next_offset; /* of the entry after */
};
int block_find(const struct block *b, struct slice key, uint64_t hash, uint64_t seq,
               struct block_found *f);
/* On to the next older entry for the same key. As block_find(). */
int block_find_next(const struct block *b, struct block_found *f);

/* A cursor that lives inside its owner (no allocation per block): init, use, release. Its moves
 * return -EIO on entries that do not decode or do not come after the one before, without logging:
 * the caller knows the file and raises corrupt(). `it.e.key` lives until the next move,
 * `it.e.value` as long as the payload. */
struct block_iter {
    struct iter it;
    struct block block;
    struct buf key;
    uint32_t offset;      /* of the entry it stands on */
    uint32_t restart;     /* index of a restart point at or before `offset` */
    uint32_t next_offset; /* of the entry after */
    /* What prev() passed on its way from a restart point to the entry at `trail_end`: offsets,
     * ascending. */
    uint32_t trail[BLOCK_RESTART_INTERVAL];
    uint32_t trail_len, trail_end;
};
/* `owned` init: it.ops->free releases only the inside; the struct is the caller's. */
void block_iter_init(struct block_iter *bi);
void block_iter_release(struct block_iter *bi);
/* Points it at another block (keeping its key buffer); not valid until moved. */
void block_iter_set(struct block_iter *bi, const struct block *block);

#endif
