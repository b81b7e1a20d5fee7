/* table_priv: what the files of the table module share; nobody else includes it. The door is
 * table.h. */
#ifndef VARVE_STORE_TABLE_PRIV_H
#define VARVE_STORE_TABLE_PRIV_H

#include "store/block.h"
#include "store/file.h"
#include "store/filter.h"
#include "store/table.h"

/* ---- meta (table_meta.c) ---- */
void table_meta_assert_valid(const struct table_meta *m);

/* ---- the index (table_index.c) ---- */

/* Adds the entry of the block at `h`, whose last entry is (last_key, last_seq), before a block that
 * begins with `next_key` (NULL: there is none). */
void table_index_add(struct block_writer *w, const struct block_handle *h, struct slice last_key,
                     uint64_t last_seq, const struct slice *next_key);

/* Decoded: a data block, and the highest place in internal order that may lie in it. */
struct table_index_entry {
    struct block_handle handle;
    uint64_t sep_seq;
    uint32_t sep_at, sep_len; /* the separator's key, in `keys` */
};

/* `order[i]` holds the eight bytes that follow the first `shared` of separator i, as a big-endian
 * number, zeros where it ends: most of a search looks at nothing else. */
enum { TABLE_INDEX_GROUP = 64 };
struct table_index {
    uint32_t count;
    uint32_t shared; /* bytes that all separators begin with */
    uint64_t *order;
    uint64_t *newest; /* of each TABLE_INDEX_GROUP blocks: the highest number */
    struct table_index_entry *entries;
    struct buf keys;
};

/* Decodes an index block over frames that lie in [FILE_HEADER_SIZE, data_end) of file `name`;
 * `offset` is the index's own, for messages. Into a zeroed `*ix`. Returns 0 or -EIO raised by
 * corrupt(). */
int table_index_build(struct table_index *ix, struct slice payload, uint64_t data_end,
                      const char *name, uint64_t offset);
void table_index_release(struct table_index *ix);
/* The first block that can hold an entry at or after (key, seq) in internal order; `count`: none.
 */
uint32_t table_index_search(const struct table_index *ix, struct slice key, uint64_t seq);
/* The first block in [i, end) that may have an entry with a number of at least `seq`; `end`: none.
 */
uint32_t table_index_young(const struct table_index *ix, uint32_t i, uint32_t end, uint64_t seq);
uint64_t table_index_memory_bytes(const struct table_index *ix);

static inline struct slice table_index_separator(const struct table_index *ix, uint32_t i)
{
    return slice_of(ix->keys.data + ix->entries[i].sep_at, ix->entries[i].sep_len);
}

/* ---- how a volume sees a table (table_lens.c) ---- */

/* What a read at `read_seq` has to ask the file for: entries below this number; 0: nothing of the
 * table is seen. */
static inline uint64_t table_lens_upto(const struct table_meta *m, uint64_t read_seq)
{
    if (m->ingest_seq)
        return m->ingest_seq < read_seq ? read_seq : 0;
    return m->cut_seq && m->cut_seq < read_seq ? m->cut_seq : read_seq;
}
/* The number that an entry has, of the one in the file. */
static inline uint64_t table_lens_seq(const struct table_meta *m, uint64_t file_seq)
{
    return m->ingest_seq ? m->ingest_seq : file_seq;
}
/* The cursor over what is seen of a table, on one over its file, which is taken over. `masked`: see
 * table_iter_new_masked(); may be NULL. `m` lives as long as `inner`. */
struct iter *table_lens_iter(struct iter *inner, const struct table_meta *m,
                             table_masked_fn *masked, void *ctx);
/* The tombstones of the file that are seen: `all`, or others in its place. Takes over `all`. */
struct rangedel *table_lens_rangedel(struct rangedel *all, const struct table_meta *m);

/* ---- the filter (table_filter.c) ---- */

enum { TABLE_FILTER_PART_HASHES = 16 << 10 };

/* Zero-initialised: none. */
struct table_filter {
    bool is_there;
    struct buf bytes;
    struct filter whole; /* over `bytes`, if it is not in parts */
    struct frame_ref *parts;
    uint32_t part_count; /* 0: it is whole */
};

/* How many parts a filter is written in; 1: it is whole. */
uint32_t table_filter_parts(size_t hash_count, uint32_t whole_max);
/* Puts the hashes in the order of their parts, in memory anew; part p ends before ends[p]. */
void table_filter_sort(uint64_t **hashes, size_t count, uint32_t parts, size_t *ends);
/* Appends the payload of the filter's frame when it is in parts, which follow each other. */
void table_filter_directory(const struct frame_ref *parts, uint32_t count, struct buf *out);
/* Opens it by the payload of the filter's frame, which may be taken over; parts lie before `end` in
 * the file. Returns 0 or -EIO, to be raised. */
int table_filter_open(struct table_filter *f, struct buf *payload, uint64_t end);
void table_filter_release(struct table_filter *f);
uint64_t table_filter_memory_bytes(const struct table_filter *f);
uint32_t table_filter_part_of(const struct table_filter *f, uint64_t hash);
struct table;
/* `*maybe`: the table may have the hash. Returns 0, -EIO raised by corrupt(), or an I/O error. */
int table_filter_ask(struct table *t, uint64_t hash, bool *maybe);
void table_filter_prefetch(const struct table *t, uint64_t hash);

/* ---- an open table (table.c) ---- */

struct table {
    int refs; /* atomic */
    struct file file;
    struct cache *cache;
    struct table_meta *meta; /* a reference */
    struct table_footer footer;
    uint64_t data_end; /* data frames lie in [FILE_HEADER_SIZE, data_end) */
    struct table_index index;
    struct table_filter filter;
    struct rangedel *rangedel;
};

/* Bytes of the file that were read ahead; zero-initialised is none. */
struct table_window {
    struct buf bytes;
    uint64_t offset;    /* of `bytes` in the file */
    size_t piece_bytes; /* read at once next time; 0: nothing is read ahead */
};

/* Reads, verifies and decodes the payload of data block `i`, past the cache. Replaces `*payload`;
 * `window` and `frame` are the caller's scratch. Returns 0, -EIO raised by corrupt(), or an I/O
 * error. */
int table_read_block(struct table *t, uint32_t i, struct table_window *window, struct buf *frame,
                     struct buf *payload);
/* The same, decoded to where it stays: `*item` is pinned in the cache. */
int table_cache_block(struct table *t, uint32_t i, struct table_window *window, struct buf *frame,
                      struct cache_item **item);
/* A view of data block `i`, pinned in the cache, read if it must be. Returns as above. */
int table_pin_block(struct table *t, uint32_t i, struct cache_item **item, struct block *block);
/* The view of a payload of data block `i`. Returns 0 or -EIO raised by corrupt(). */
int table_open_block(struct table *t, uint32_t i, struct slice payload, struct block *block);
/* Raises corrupt() for data block `i`. */
int table_block_corrupt(struct table *t, uint32_t i, const char *why);

#endif
