/* batch: operations that become visible and durable at once, and their form in the log.
 *
 * Log record (the payload of one frame): varint first sequence number, varint count, then per
 * operation: u8 type, varint key length, key, and unless it is a delete varint value length, value.
 * Operation i has number first + i. Types are those of entry.h; the value of a range tombstone is
 * its end; that of a blob type an encoded blob_ref. A type LOG_NOTHING, alone, takes a number and
 * does nothing: that number was given to something that is not in the log (ingest.h). */
#ifndef VARVE_STORE_BATCH_H
#define VARVE_STORE_BATCH_H

#include "store/blob.h"
#include "store/entry.h"
#include "store/packers.h"
#include "store/strength.h"

/* An operation as collected. Offsets are into `bytes`. */
struct batch_op {
    enum entry_type
        type; /* PUT_BLOB and MERGE_BLOB: `value` holds the packed frame until it is placed */
    size_t key, value;
    uint32_t key_len, value_len;
    uint32_t raw_len;    /* of a blob value */
    uint64_t hash;       /* entry_hash() of what was handed over; only if `sums` */
    struct blob_ref ref; /* once placed */
};

struct store_batch {
    uint32_t direct_min; /* from the store's options */
    struct strength strength;
    uint32_t processors;     /* of the machine; 0: there is never a hurry */
    struct pack_hurry hurry; /* of the values, once there was one */
    bool sums;               /* operations have hashes, which batch_verify() goes by */
    struct batch_op *ops;
    uint32_t count, cap;
    uint32_t blob_count, rangedel_count;
    struct buf bytes;
};

void batch_init(struct store_batch *b, uint32_t direct_min, const struct strength *strength);
void batch_release(struct store_batch *b);
/* store_batch_*() of store.h are in batch.c too. */

/* Places the packed values in `w` (nothing is written yet): fills in the refs. */
void batch_place_blobs(struct store_batch *b, struct blob_writer *w);
/* Appends the log record; refs must be placed. */
void batch_encode(const struct store_batch *b, uint64_t first_seq, struct buf *out);
/* Appends the record of one operation that does nothing. */
enum { LOG_NOTHING = 6 };
void batch_encode_nothing(uint64_t seq, struct buf *out);
/* Is all still what was handed over, and does `record`, of batch_encode(), say just that? 0, also
 * without sums, or -EIO raised by corrupt(): memory has changed. */
int batch_verify(const struct store_batch *b, struct slice record);
/* Operation i as an entry; `scratch` holds an encoded ref if it is one. Slices live as long as the
 * batch and `scratch`. */
struct entry batch_entry(const struct store_batch *b, uint32_t i, uint64_t first_seq,
                         struct buf *scratch);

/* A mark: a record without operations that says how much of its log was synced before it was
 * written; behind the count, varint bytes. The beginning of a log is not one. */
void batch_mark_encode(uint64_t next_seq, uint64_t synced_bytes, struct buf *out);
/* Is the record a mark? */
bool batch_mark_decode(struct slice record, uint64_t *synced_bytes);

/* ---- reading a record back ---- */
struct batch_reader {
    struct slice rest;
    uint64_t seq; /* of the next operation */
    uint64_t first_seq;
    uint32_t left, count;
};
/* 0 or -EIO. */
int batch_reader_init(struct batch_reader *r, struct slice record);
/* 0 with the next entry (slices into the record), 1 at the end, -EIO. What does nothing is passed
 * over. */
int batch_reader_next(struct batch_reader *r, struct entry *e);

#endif
