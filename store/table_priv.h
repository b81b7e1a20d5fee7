/* table_priv: what the files of the table module share; nobody else includes it. The door is
 * table.h. */
#ifndef VARVE_STORE_TABLE_PRIV_H
#define VARVE_STORE_TABLE_PRIV_H

#include "store/block.h"
#include "store/file.h"
#include "store/filter.h"
#include "store/table.h"

#include <assert.h>

/* ---- meta (table_meta.c) ---- */
void table_meta_assert_valid(const struct table_meta *m);

/* ---- the index, written (table_index_write.c) ---- */

enum {
    TABLE_INDEX_INTERVAL =
        1, /* whole separators: what they decode to is no longer than the block */
    TABLE_INDEX_PART_BYTES = 16 << 10,
};

/* Adds the entry of the block at `h`, whose last entry is (last_key, last_seq), before a block that
 * begins with `next_key` (NULL: there is none). */
void table_index_add(struct block_writer *w, const struct block_handle *h, struct slice last_key,
                     uint64_t last_seq, const struct slice *next_key);
/* Writes a frame and tells where it will be. Returns 0 or an I/O error. */
typedef int table_put_fn(void *ctx, struct slice payload, struct frame_ref *where);
/* Cuts the index in `w` into parts of about `part_bytes`, gives each to `put`, and leaves in `w`
 * the top: an entry for each part. Returns what `put` returned. */
int table_index_cut(struct block_writer *w, uint32_t part_bytes, table_put_fn *put, void *ctx);

/* ---- the index, in memory (table_index.c) ---- */

/* Decoded: a data block (of a top: a part), and the highest place in internal order that may lie in
 * it. */
struct table_index_entry {
    struct block_handle handle;
    uint64_t sep_seq;
    uint32_t sep_at, sep_len; /* the separator's key, in `keys` */
};

/* A view of an index that lies in one piece of memory. `order[i]` holds the eight bytes that follow
 * the first `shared` of separator i, as a big-endian number, zeros where it ends: most of a search
 * looks at nothing else. */
enum { TABLE_INDEX_GROUP = 64 };
struct table_index {
    uint32_t count;
    uint32_t shared; /* bytes that all separators begin with */
    const uint64_t *order;
    const uint64_t *newest; /* of each TABLE_INDEX_GROUP entries: the highest number */
    const struct table_index_entry *entries;
    struct slice keys;
};

/* What was decoded, before its size is known. */
struct table_index_draft {
    struct table_index_entry *entries;
    uint32_t count, cap;
    bool in_parts;
    uint32_t *begins; /* of each entry, and behind the last: blocks before it */
    struct buf keys;
};

/* Decodes the payload of an index frame, or of a part, whose handles are of frames in
 * [FILE_HEADER_SIZE, data_end). NULL, or what is wrong with it (a constant text); the draft is to
 * be released in either case. */
const char *table_index_decode(struct slice payload, uint64_t data_end,
                               struct table_index_draft *d);
void table_index_draft_release(struct table_index_draft *d);
size_t table_index_size(const struct table_index_draft *d);
/* Into table_index_size() bytes, aligned to 8. */
void table_index_lay(const struct table_index_draft *d, void *memory);
/* The view lives as long as the memory, which may be copied, but not moved under it. */
void table_index_view(const void *memory, struct table_index *ix);

/* The first entry whose separator is at or after (key, seq) in internal order; `count`: none. */
uint32_t table_index_search(const struct table_index *ix, struct slice key, uint64_t seq);
/* The first entry in [i, end) that may have a number of at least `seq`; `end`: none. */
uint32_t table_index_young(const struct table_index *ix, uint32_t i, uint32_t end, uint64_t seq);

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
/* The tombstones of the file from `key` on: `all`, or others in its place. Takes over `all`. */
struct rangedel *table_lens_rangedel_front(struct rangedel *all, struct slice key);
/* Of these, what is seen of history. As above. */
struct rangedel *table_lens_rangedel(struct rangedel *all, const struct table_meta *m);
/* Is the frame at `offset` data that is not part of the table any more? */
static inline bool table_lens_gone(const struct table_meta *m, uint64_t offset)
{
    return offset < m->front;
}

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
/* Puts the hashes in the order of their parts; part p ends before ends[p]. */
void table_filter_sort(uint64_t *hashes, size_t count, uint32_t parts, size_t *ends);
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

/* ---- the dictionary (table_dict.c) ---- */

/* Writers put it where readers look for it: right behind the file header. */
static inline struct frame_ref table_dict_first(const struct table_meta *m)
{
    return (struct frame_ref){FILE_HEADER_SIZE, m->dict_len};
}
static inline struct frame_ref table_dict_copy(const struct table_meta *m)
{
    return (struct frame_ref){m->dict_copy, m->dict_len};
}
/* Loads the dictionary of a table that has one, from its copy if need be, before any data is read.
 * Frames lie before `end`. Returns 0, -EIO raised by corrupt(), or an I/O error. */
int table_dict_load(struct table *t, uint64_t end);
/* For those who have nothing but the frames. Is this payload a dictionary? */
bool table_dict_is(struct slice payload);
/* The dictionary whose frame is at `offset` of that file, one reference; frames lie before `end`.
 * Returns 0, or 1 when there is none, or it cannot be read. */
int table_dict_read(const struct file *f, uint64_t offset, uint64_t end, struct codec_dict **out);

/* ---- an open table (table.c) ---- */

struct table {
    int refs; /* atomic */
    struct file file;
    struct cache *cache;
    struct counters *counters; /* may be NULL */
    struct table_meta *meta;   /* a reference */
    struct table_footer footer;
    uint64_t data_end; /* data frames lie in [FILE_HEADER_SIZE, data_end) */
    void *index_memory;
    struct table_index index; /* over `index_memory`: all of it, or, in parts, the top */
    uint32_t *begins;         /* in parts: of part p the number of its first block; NULL: whole */
    uint32_t block_count;
    struct table_filter filter;
    bool is_cut; /* in front, by what is in `meta`; look-ups ask each table */
    struct rangedel *rangedel;
    bool upper;               /* atomic; parts of index and filter are kept in the cache */
    bool ever_upper;          /* atomic; it was so once */
    struct codec_dict *dict;  /* a reference, or NULL */
    struct codec_dicts dicts; /* of it alone; file.codec goes by it */
};

/* ---- parts of the index (table_part.c) ---- */

/* The part of the index that somebody is at; zero-initialised: none. A whole index is one part. */
struct table_part {
    const struct table_index *ix; /* NULL: none */
    uint32_t begin;               /* number of its first block */
    struct table_index view;
    struct cache_item *item; /* pins it; NULL: a whole index */
};

/* Which part of an index in parts has block `i` (< block_count). */
uint32_t table_part_of(const struct table *t, uint32_t i);
/* Makes `*p` the part that has block `i` (< block_count). Returns 0, -EIO raised by corrupt(), or
 * an I/O error; then `*p` is none. */
int table_part_at(struct table *t, uint32_t i, struct table_part *p);
/* The first block that can hold an entry at or after (key, seq) in internal order, and `*p` is its
 * part; block_count: none. Returns as above. */
int table_part_find(struct table *t, struct slice key, uint64_t seq, struct table_part *p,
                    uint32_t *i);
/* The first block in [*i, end) that may have a number of at least `seq`, into `*i`; `end`: none.
 * Parts that have none are not read. Returns as above. */
int table_part_young(struct table *t, struct table_part *p, uint32_t *i, uint32_t end,
                     uint64_t seq);
void table_part_release(struct table *t, struct table_part *p);
/* How (key, seq) lies to the separator behind block `i`, which is in `*p` or in the part before:
 * <= 0 is in the block or before it. */
int table_part_side(const struct table *t, const struct table_part *p, uint32_t i,
                    const struct entry *e);
/* Block `i`, which is in `*p`. */
static inline const struct table_index_entry *table_part_entry(const struct table_part *p,
                                                               uint32_t i)
{
    assert(p->ix && i >= p->begin && i - p->begin < p->ix->count);
    return &p->ix->entries[i - p->begin];
}
/* NULL, or why the decoded part `p` of `t` is not what the top says of it. */
const char *table_part_fault(const struct table *t, uint32_t p, const struct table_index_draft *d);
/* Of a table that is closed: nothing of it is kept in the cache any more. */
void table_part_close(struct table *t);
/* Makes a part of index or filter resident, kept if the table is of an upper level. */
struct cache_item *table_cache_part(struct table *t, uint64_t offset, struct cache_item *item);

/* ---- data blocks (table_read.c) ---- */

/* Bytes of the file that were read ahead; zero-initialised is none. */
struct table_window {
    struct buf bytes;
    uint64_t offset;    /* of `bytes` in the file */
    size_t piece_bytes; /* read at once next time; 0: nothing is read ahead */
};

/* Reads, verifies and decodes the payload of the data block at `where`, past the cache. Replaces
 * `*payload`; `window` and `frame` are the caller's scratch. Returns 0, -EIO raised by corrupt(),
 * or an I/O error. */
int table_read_block(struct table *t, const struct frame_ref *where, struct table_window *window,
                     struct buf *frame, struct buf *payload);
/* The same, decoded to where it stays: `*item` is pinned in the cache. */
int table_cache_block(struct table *t, const struct frame_ref *where, struct table_window *window,
                      struct buf *frame, struct cache_item **item);
/* A reader, no job, needed a block, which the cache had or not. */
static inline void table_count_block(const struct table *t, bool cached)
{
    counter_add(counters_mine(t->counters), cached ? COUNT_BLOCK_CACHED : COUNT_BLOCK_READ, 1);
}
/* The view of a payload of the data block at `where`. Returns 0 or -EIO raised by corrupt(). */
int table_open_block(struct table *t, const struct frame_ref *where, struct slice payload,
                     struct block *block);
/* Raises corrupt() for a frame of the table. */
int table_frame_corrupt(struct table *t, const struct frame_ref *where, const char *why);

#endif
