/* table: an immutable sorted file of entries and range tombstones.
 *
 *   file header | dictionary | data frames | dictionary once more | index parts | filter parts |
 *   filter frame | range-tombstone frame | properties frame | index frame | footer
 *
 * Data frames hold blocks (block.h) of about `block_bytes` before compression. The index is a block
 * with one entry per data block: key = a separator (>= every key in the block, <= every key in the
 * next), value = block_handle. A large one is cut into parts; then the index frame holds one entry
 * per part: key = the last separator of the part, value = block_handle of the part's frame and a
 * varint, how many blocks it has. The filter (filter.h) is over filter_hash() of each distinct user
 * key. Properties say what the picker and the accountant need without reading the data.
 *
 * A table spans the half-open interval of user keys [smallest, limit): its point keys and its
 * tombstones. */
#ifndef VARVE_STORE_TABLE_H
#define VARVE_STORE_TABLE_H

#include "store/care.h"
#include "store/codec.h"
#include "store/counters.h"
#include "store/env.h"
#include "store/iter.h"
#include "store/lookup.h"
#include "store/rangedel.h"
#include "store/store.h"
#include "store/strength.h"

/* What a table holds of one blob file. */
struct table_blob_share {
    uint64_t file;
    uint64_t count; /* references */
    uint64_t bytes; /* sum of their frame lengths */
};

/* Sequence numbers of pins (durable snapshots) that were the only reason to keep entries of this
 * table when it was written, with roughly how much: once such a pin is gone, a rewrite frees that
 * much. */
struct table_held {
    uint64_t pin;
    uint64_t bytes;
};

/* What is known of a table without opening it; carried in the manifest and, but for the file's own
 * facts, in the properties. Owned by whoever holds it; see table_meta_ref(). */
struct table_meta {
    int refs; /* atomic */
    uint64_t number;
    uint64_t size_bytes;
    uint64_t tag; /* checksum in the footer: an older or foreign file is recognised */
    struct buf smallest, limit;
    uint64_t min_seq, max_seq; /* over entries and tombstones */
    uint64_t entry_count;      /* point entries */
    uint64_t delete_count;     /* point entries that are ENTRY_DELETE */
    uint64_t rangedel_count;   /* fragments */
    uint64_t raw_bytes;        /* of data blocks before compression */
    uint64_t created_ns;       /* realtime */
    uint32_t key_epoch;        /* which generation of the key; 0: not encrypted */
    bool placed_later;         /* written before its entries had their numbers: see ingest_seq */
    uint32_t dict_len;         /* frame of the dictionary, right behind the file header; 0: none */
    uint64_t dict_copy;        /* where a second one of it is, behind the data frames */
    uint64_t prefix_rule;      /* the filter knows the keys' prefixes by this one; 0: it does not */
    struct table_blob_share *shares; /* ascending file */
    uint32_t share_count;
    struct table_held *held; /* ascending pin */
    uint32_t held_count;
    /* How a volume sees the file; in the manifest only (table_lens.c). */
    uint64_t cut_seq;    /* what has this number or a higher one is not part of it; 0: all is */
    uint64_t ingest_seq; /* the number of every entry, whatever the file says; 0: what it says */
    /* 0: its keys begin where the file's do. Otherwise keys below `smallest` are not part of it,
     * and nor is the data before this place of the file, which may be a hole: a compaction in
     * slices took them (compact_slice.h). Counts and shares are of what is left; numbers may be
     * bounded wider than that. */
    uint64_t front;
};

struct table_meta *table_meta_new(void); /* one reference, all zero */
struct table_meta *table_meta_ref(struct table_meta *m);
void table_meta_unref(struct table_meta *m);
struct table_meta *table_meta_copy(const struct table_meta *m); /* one reference */
/* What of the file is no part of the table, data in whole ENV_PUNCH_UNITs: false when there is
 * none.
 */
bool table_meta_hole(const struct table_meta *m, uint64_t *from, uint64_t *end);
/* What the table takes on disk: the file's size without that. */
uint64_t table_meta_bytes(const struct table_meta *m);
/* The same bytes in the manifest's edits and (with number, size and tag zero) in a table's
 * properties: tagged fields, so that a reader skips fields that it does not know. */
void table_meta_encode(const struct table_meta *m, struct buf *out);
/* Returns 0 or -EIO (caller raises corrupt()); checks smallest < limit, ascending lists, counts. */
int table_meta_decode(struct slice in, struct table_meta **out);
/* Adds to the share of `file` (negative is not allowed). */
void table_meta_add_share(struct table_meta *m, uint64_t file, uint64_t count, uint64_t bytes);

/* Adds to what is held for `pin`. */
void table_meta_add_held(struct table_meta *m, uint64_t pin, uint64_t bytes);

/* ---- writing ---- */
struct squad;

struct table_options {
    uint32_t block_bytes;       /* aim of an uncompressed data block */
    struct strength strength;   /* levels of zstd */
    uint32_t filter_one_in;     /* false positives; 0: no filter */
    uint32_t filter_whole_keys; /* a filter over more hashes is written in parts; 0: 1 Mi */
    uint32_t index_whole_bytes; /* a larger index is written in parts; 0: 512 KiB */
    bool sums; /* each block is compared with the entries that it was made of, before it is written
                */
    bool placed_later; /* the entries' numbers are not known yet (ingest.h); the file says so */
    const struct store_prefix *prefix; /* whose hashes go into the filter, too; NULL: none */
    /* Data blocks are compressed with this dictionary, which is then part of the table, unless the
     * table is too small for that. Borrowed; NULL: without. */
    struct codec_dict *dict;
    struct squad *squad; /* threads that may help with compressing; NULL: none */
    struct cache *cache; /* gets the blocks that are warm (table_add_warm()); NULL: none does */
};

struct table_writer;

int table_create(struct env *env, const char *dir, uint64_t number, const uint8_t uuid[UUID_SIZE],
                 const struct table_options *opt, struct table_writer **out);
/* Entries in internal order (asserted), no ENTRY_RANGE_DELETE. Blob entries are counted in the
 * shares. Returns 0 or an I/O error, after which only table_abandon() is allowed. */
int table_add(struct table_writer *w, const struct entry *e);
/* The entry that is added next is read often: it was in memory where it came from. A block of which
 * at least half the entries are is put into the cache when it is written. */
void table_add_warm(struct table_writer *w);
/* Tombstones of this table, already clipped to its span; at most once, any time before the end.
 * Takes its own reference; an empty list counts as none. */
void table_set_rangedel(struct table_writer *w, struct rangedel *r);
void table_add_held(struct table_writer *w, uint64_t pin, uint64_t bytes);
/* Bytes written and waiting; where a writer of several tables decides to start the next. */
uint64_t table_estimate_bytes(const struct table_writer *w);
/* Memory that grows with the table until its end: hashes for the filter, and the index. */
uint64_t table_writer_bytes(const struct table_writer *w);
uint64_t table_entry_count(const struct table_writer *w);
/* Writes the rest and syncs the file (the folder is the caller's). Frees `w` in any case; on
 * failure the file is removed. A table must hold at least one entry or tombstone (asserted).
 * `*meta` has one reference; its span is the least one that holds every key and every tombstone. */
int table_finish(struct table_writer *w, struct table_meta **meta);
/* Closes and removes the file; frees. NULL is fine. */
void table_abandon(struct table_writer *w);

/* ---- reading ---- */
struct table; /* reference-counted, thread-safe */

/* Opens by its meta: checks header, size, tag, footer, and loads index, filter and range
 * tombstones, which stay in memory as long as the table is open; of an index or filter in parts
 * only where these are. -EIO raised by corrupt(), also for
 * a missing file. `cache` (may not be NULL) holds the data blocks; one reference in `*out`. Takes a
 * reference on `meta`. */
int table_open(struct env *env, const char *dir, struct table_meta *meta,
               const uint8_t uuid[UUID_SIZE], struct cache *cache, struct table **out);
/* Opens a table of which only the file is known (salvage, dump, check): meta comes from the file.
 */
int table_open_file(struct env *env, const char *dir, uint64_t number,
                    const uint8_t uuid[UUID_SIZE], struct cache *cache, struct table **out);
/* Is the table on a level above the last? Then parts of its index and filter, as they are read, are
 * kept in the cache (cache_insert_kept()). False at first. Thread-safe. */
void table_set_upper(struct table *t, bool upper);
/* Who is told of frames that had to be rebuilt from parity (file.h). */
void table_set_care(struct table *t, struct care *care);
/* Where the blocks that reads need are counted; NULL, as at first: nowhere. They outlive the table.
 */
void table_set_counters(struct table *t, struct counters *counters);
struct table *table_ref(struct table *t);
void table_unref(struct table *t);
/* Nobody will read it any more: its blocks and parts leave the cache, as far as their places are in
 * memory. Costs a look into the cache for each block. */
void table_forget(struct table *t);
const struct table_meta *table_get_meta(const struct table *t);
struct rangedel *table_rangedel(const struct table *t); /* borrowed; never NULL */
/* For who takes the keys below `key` from it: where the data begins that is left, and how many
 * fragments of tombstones are. Returns 0, -EIO raised by corrupt(), or an I/O error. */
int table_front(struct table *t, struct slice key, uint64_t *front, uint64_t *tombstones);
/* Index, filter, tombstones, and its part of the dictionary. */
uint64_t table_memory_bytes(const struct table *t);
/* The dictionary of its blocks, borrowed; NULL: there is none. */
struct codec_dict *table_dict(const struct table *t);

/* One point read: tombstones, filter, index, block; reports to `l`. Returns 0 or -EIO. */
int table_get(struct table *t, struct lookup *l);

/* Many point reads at once: each as table_get(), whose result goes to its `err`. The keys ascend
 * (asserted); those that share a block find it pinned. */
struct table_ask {
    struct lookup *l;
    int err; /* 0 before */
};
void table_multi_get(struct table *t, struct table_ask *asks, size_t count);

/* Does the filter know of no key with this prefix? (filter_hash_prefix() by that rule.) Never if it
 * knows no prefixes of that rule. The table's tombstones are another matter. Returns 0 or an error.
 */
int table_denies_prefix(struct table *t, uint64_t rule, uint64_t hash, bool *denies);

/* Has the processor fetch what table_get() of this hash will look at first. */
void table_prefetch(const struct table *t, uint64_t hash);

enum table_iter_flags {
    TABLE_ITER_FILL_CACHE = 1, /* a reader's: blocks that are read go into the cache */
    TABLE_ITER_READAHEAD = 2,  /* a long forward scan: reads ahead in large pieces */
};
/* Point entries only, as this volume sees them (cut_seq, ingest_seq, front). Holds a reference on
 * `t` until freed. */
struct iter *table_iter_new(struct table *t, int flags);
/* The same for a job that replaces the table: each blob reference that is not seen, and so belongs
 * to nobody once the table is gone, is passed to `masked`, if the cursor is moved by first() and
 * next() only. */
typedef void table_masked_fn(void *ctx, struct slice encoded_ref);
struct iter *table_iter_new_masked(struct table *t, int flags, table_masked_fn *masked, void *ctx);

/* The entries with numbers in [from, to) that are seen, forwards only: first(), next(), and seek()
 * with SEQ_MAX. Blocks whose bounds lie outside are not read. Holds a reference on `t` until freed;
 * `counts` outlives it. */
struct table_since_counts {
    uint64_t tables_read, tables_skipped, blocks_read, blocks_skipped;
};
struct iter *table_since_iter_new(struct table *t, uint64_t from, uint64_t to,
                                  struct table_since_counts *counts);

/* Data blocks, and a copy of one of them, decoded, past the cache. Replaces `*out`. Returns 0; 1
 * for one that is not part of the table any more; -EIO raised by corrupt(), or an I/O error. */
uint32_t table_block_count(const struct table *t);
int table_copy_block(struct table *t, uint32_t i, struct buf *out);

/* About how many bytes of data frames lie in [start, limit) (empty limit: to the end), from the
 * index alone: a frame counts if the search for `start` ends at or before it and that for `limit`
 * after it, so the parts of an interval that is cut in pieces add up to the whole. */
uint64_t table_range_bytes(struct table *t, struct slice start, struct slice limit);

/* Every check that needs the whole file: each frame, order of entries, separators, the filter
 * against each key, properties against contents. Calls `finding` (text without file name, offset or
 * UINT64_MAX) for each fault; nonzero from it ends the check and is returned. Each blob reference
 * is passed to `ref` (NULL: none). Returns 0 also when there were findings; negative for a file
 * that cannot be read. */
enum table_finding {
    TABLE_FINDING_FRAME = 1, /* header, footer or a frame does not verify or decode */
    TABLE_FINDING_LAYOUT,    /* frames leave a gap, or reach into one another */
    TABLE_FINDING_BLOCK,     /* a block or an entry of it does not decode */
    TABLE_FINDING_ORDER, /* entries out of internal order, or a type that a table may not hold */
    TABLE_FINDING_SEPARATOR,  /* an entry is on the wrong side of its block's separator */
    TABLE_FINDING_SEQ_BOUNDS, /* sequence numbers of a block are not those that the index says */
    TABLE_FINDING_FILTER,     /* the filter denies a key that is there */
    TABLE_FINDING_BLOB_REF,   /* the value of a blob entry is no reference */
    TABLE_FINDING_TOMBSTONES, /* range tombstones unsound, or outside the table's span */
    TABLE_FINDING_PROPERTIES, /* properties or meta differ from the contents */
};
typedef int table_finding_fn(void *ctx, int code, uint64_t offset, const char *text);
/* `prefix`, if not NULL, is the rule that a filter which says so is held to. */
typedef int table_ref_fn(void *ctx, struct slice key, const struct blob_ref *ref);
int table_check(struct table *t, table_finding_fn *finding, table_ref_fn *ref,
                const struct store_prefix *prefix, void *ctx);

#endif
