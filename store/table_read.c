/* table_read: the data blocks of an open table, and point reads.
 *
 * Guarantees: a block is verified before anything of it is used. A point read that finds its block
 * in the cache takes no lock of this module. Every fault is raised by corrupt() with the frame's
 * offset.
 *
 * Invariants:
 *   1. A block's place in the cache is (table number, offset of its frame).
 *   2. Nothing here changes the table: any number of threads may read at once. */
#include "store/table_priv.h"

#include "store/err.h"

#include <assert.h>
#include <errno.h>

/* What a scan reads at once when it has gone on for a while. */
enum { WINDOW_PIECE_MAX = 256 << 10 };

/* ---- blocks ---- */

int table_frame_corrupt(struct table *t, const struct frame_ref *where, const char *why)
{
    return corrupt(t->file.path, where->offset, "%s", why);
}

int table_open_block(struct table *t, const struct frame_ref *where, struct slice payload,
                     struct block *block)
{
    return block_open(payload, block) ? table_frame_corrupt(t, where, "a block does not decode")
                                      : 0;
}

/* Makes `*frame` the bytes at `where`, read ahead unless they are there already. */
static int window_read(struct table *t, struct table_window *w, const struct frame_ref *where,
                       struct slice *frame)
{
    uint64_t have_end = w->offset + w->bytes.len;
    if (where->offset < w->offset || where->offset + where->len > have_end) {
        size_t left = t->data_end - where->offset, len = w->piece_bytes;
        len = len < where->len ? where->len : len;
        len = len < left ? len : left;
        buf_clear(&w->bytes);
        int rc = file_read(&t->file, where->offset, buf_reserve(&w->bytes, len), len);
        if (rc)
            return rc;
        w->offset = where->offset;
        w->bytes.len = len;
        if (w->piece_bytes < WINDOW_PIECE_MAX)
            w->piece_bytes *= 2;
    }
    assert(where->offset + where->len <= w->offset + w->bytes.len);
    *frame = slice_of(w->bytes.data + (where->offset - w->offset), where->len);
    return 0;
}

/* The verified frame at `where`: its header and its payload as stored, in `frame` or `window`. */
static int read_frame(struct table *t, const struct frame_ref *where, struct table_window *window,
                      struct buf *frame, struct frame_header *h, struct slice *stored)
{
    struct slice bytes;
    if (window && window->piece_bytes && window_read(t, window, where, &bytes) == 0 &&
        frame_verify(&t->file.codec, where->offset, bytes, h) == FRAME_OK &&
        bytes.len == (size_t)FRAME_HEADER_SIZE + h->stored_len) {
        *stored = frame_stored(bytes);
        return 0;
    }
    /* One that does not verify is read once more by itself, which repairs it or raises. */
    int rc = file_read_frame(&t->file, where, frame, h);
    if (rc == 0)
        *stored = frame_stored(buf_slice(frame));
    return rc;
}

int table_read_block(struct table *t, const struct frame_ref *where, struct table_window *window,
                     struct buf *frame, struct buf *payload)
{
    struct frame_header h;
    struct slice stored;
    buf_clear(payload);
    int rc = read_frame(t, where, window, frame, &h, &stored);
    if (rc == 0 && frame_unpack(&t->file.codec, where->offset, &h, stored, payload))
        rc = table_frame_corrupt(t, where, "a frame does not decode");
    return rc;
}

int table_cache_block(struct table *t, const struct frame_ref *where, struct table_window *window,
                      struct buf *frame, struct cache_item **item)
{
    struct frame_header h;
    struct slice stored;
    *item = NULL;
    int rc = read_frame(t, where, window, frame, &h, &stored);
    if (rc)
        return rc;
    struct cache_item *room = cache_alloc(h.raw_len);
    if (frame_unpack_to(&t->file.codec, where->offset, &h, stored, cache_bytes(room))) {
        cache_discard(room);
        return table_frame_corrupt(t, where, "a frame does not decode");
    }
    *item = cache_insert(t->cache, t->meta->number, where->offset, room);
    return 0;
}

/* A view of the data block at `where`, pinned in the cache, read if it must be. Returns as above.
 */
static int pin_block(struct table *t, const struct frame_ref *where, struct cache_item **item,
                     struct block *block)
{
    *item = cache_get(t->cache, STORE_CACHE_BLOCK, t->meta->number, where->offset);
    table_count_block(t, *item != NULL);
    if (!*item) {
        struct buf frame = {0};
        int rc = table_cache_block(t, where, NULL, &frame, item);
        buf_release(&frame);
        if (rc)
            return rc;
    }
    int rc = table_open_block(t, where, (*item)->data, block);
    if (rc) {
        cache_release(t->cache, *item);
        *item = NULL;
    }
    return rc;
}

/* ---- point reads ---- */

/* The block that a read, or a row of reads, came to last, and its part of the index. */
struct held_block {
    uint32_t at;
    struct cache_item *item; /* NULL: none */
    struct block block;
    struct table_part part;
};

static void let_go_block(struct table *t, struct held_block *held)
{
    if (held->item)
        cache_release(t->cache, held->item);
    held->item = NULL;
}

static void let_go(struct table *t, struct held_block *held)
{
    let_go_block(t, held);
    table_part_release(t, &held->part);
}

static int hold(struct table *t, uint32_t i, const struct frame_ref *where, struct held_block *held)
{
    if (held->item && held->at == i)
        return 0;
    let_go_block(t, held);
    held->at = i;
    return pin_block(t, where, &held->item, &held->block);
}

/* Reports what block `i` has of the key; `*more`: the read goes on and the block had no more. */
static int get_in_block(struct table *t, uint32_t i, struct lookup *l, uint64_t upto,
                        struct held_block *held, bool *more, bool *met)
{
    const struct frame_ref *where = &table_part_entry(&held->part, i)->handle.where;
    struct block_found f;
    bool wants = true;
    *more = false;
    int rc = hold(t, i, where, held);
    if (rc)
        return rc;
    rc = block_find(&held->block, l->key, l->hash, upto - 1, &f);
    *met = *met || rc == 0;
    l->blocks_missed += rc == 1;
    while (rc == 0 && wants) {
        if (f.e.type == ENTRY_RANGE_DELETE) {
            rc = -EIO;
            break;
        }
        struct entry e = f.e;
        e.seq = table_lens_seq(t->meta, e.seq);
        wants = lookup_entry(l, &e, held->item);
        if (wants)
            rc = block_find_next(&held->block, &f);
    }
    if (rc < 0)
        rc = table_frame_corrupt(t, where, "an entry does not decode");
    *more = rc == 1;
    return rc < 0 ? rc : 0;
}

/* Can versions of `key` go on behind block `i` of `part`, in which the search for it ended? */
static bool key_continues(const struct table *t, const struct table_part *part, uint32_t i,
                          struct slice key)
{
    return i + 1 < t->block_count && table_part_entry(part, i)->sep_seq > 0 &&
           slice_eq(table_index_separator(part->ix, i - part->begin), key);
}

/* `*met` becomes true if there is an entry. */
static int get_entries(struct table *t, struct lookup *l, uint64_t upto, struct held_block *held,
                       bool *met)
{
    uint32_t i;
    int rc = table_part_find(t, l->key, upto - 1, &held->part, &i);
    bool more = rc == 0 && i < t->block_count;
    for (; more; i++) {
        rc = table_part_at(t, i, &held->part);
        if (rc)
            return rc;
        /* A block that is wholly newer than the read need not be looked at. */
        if (table_part_entry(&held->part, i)->handle.min_seq >= upto) {
            *met = true; /* not asked: no fault of the filter */
        } else {
            rc = get_in_block(t, i, l, upto, held, &more, met);
            if (rc)
                return rc;
        }
        more = more && key_continues(t, &held->part, i, l->key);
    }
    return rc;
}

static bool in_span(const struct table *t, struct slice key)
{
    return slice_cmp(key, buf_slice(&t->meta->smallest)) >= 0 &&
           slice_cmp(key, buf_slice(&t->meta->limit)) < 0;
}

void table_prefetch(const struct table *t, uint64_t hash)
{
    table_filter_prefetch(t, hash);
}

/* May the table have the key? The filter knows better than the span what is not there, but not what
 * was cut off in front. */
static int may_have(struct table *t, struct lookup *l, bool *maybe)
{
    if (!t->filter.is_there || t->is_cut) {
        *maybe = in_span(t, l->key);
        if (!t->filter.is_there || !*maybe)
            return 0;
    }
    int rc = table_filter_ask(t, l->hash, maybe);
    l->filter_negatives += rc == 0 && !*maybe;
    return rc;
}

static int get(struct table *t, struct lookup *l, struct held_block *held)
{
    assert(!lookup_done(l));
    assert(l->read_seq > 0);
    l->tables_asked++;
    if (rangedel_count(t->rangedel) > 0) {
        struct rangedel_cover cover;
        rangedel_cover(t->rangedel, l->key, l->read_seq, &cover);
        lookup_cover(l, cover.seq);
    }
    bool maybe, met = false;
    int rc = may_have(t, l, &maybe);
    if (rc || !maybe)
        return rc;
    uint64_t upto = table_lens_upto(t->meta, l->read_seq);
    rc = upto ? get_entries(t, l, upto, held, &met) : 0;
    if (t->filter.is_there && upto && rc == 0) {
        l->filter_true_positives += met;
        l->filter_false_positives += !met;
    }
    return rc;
}

int table_get(struct table *t, struct lookup *l)
{
    struct held_block held = {.item = NULL};
    int rc = get(t, l, &held);
    let_go(t, &held);
    return rc;
}

void table_multi_get(struct table *t, struct table_ask *asks, size_t count)
{
    struct held_block held = {.item = NULL};
    for (size_t i = 0; i < count; i++)
        table_prefetch(t, asks[i].l->hash);
    for (size_t i = 0; i < count; i++) {
        assert(i == 0 || slice_cmp(asks[i - 1].l->key, asks[i].l->key) <= 0);
        assert(asks[i].err == 0);
        asks[i].err = get(t, asks[i].l, &held);
    }
    let_go(t, &held);
}

uint32_t table_block_count(const struct table *t)
{
    return t->block_count;
}

int table_copy_block(struct table *t, uint32_t i, struct buf *out)
{
    struct buf frame = {0};
    struct table_part part = {.ix = NULL};
    int rc = table_part_at(t, i, &part);
    if (rc == 0) {
        const struct frame_ref *where = &table_part_entry(&part, i)->handle.where;
        rc = table_lens_gone(t->meta, where->offset)
                 ? 1
                 : table_read_block(t, where, NULL, &frame, out);
    }
    table_part_release(t, &part);
    buf_release(&frame);
    return rc;
}

/* ---- sizes ---- */

/* Where the frames of entries at or after `key` begin. If the part of the index that knows it
 * cannot be read, about there. */
static uint64_t offset_of_key(struct table *t, struct slice key)
{
    struct table_part part = {0};
    uint32_t i;
    int rc = table_part_find(t, key, SEQ_MAX, &part, &i);
    uint64_t at = t->data_end;
    if (rc < 0)
        at = FILE_HEADER_SIZE +
             (uint64_t)((double)(t->data_end - FILE_HEADER_SIZE) *
                        table_index_search(&t->index, key, SEQ_MAX) / t->index.count);
    else if (i < t->block_count)
        at = table_part_entry(&part, i)->handle.where.offset;
    table_part_release(t, &part);
    return at > t->meta->front ? at : t->meta->front;
}

uint64_t table_range_bytes(struct table *t, struct slice start, struct slice limit)
{
    uint64_t begin = offset_of_key(t, start);
    uint64_t end = limit.len ? offset_of_key(t, limit) : t->data_end;
    return end > begin ? end - begin : 0;
}

int table_front(struct table *t, struct slice key, uint64_t *front, uint64_t *tombstones)
{
    struct table_part part = {0};
    uint32_t i;
    *front = t->data_end;
    int rc = table_part_find(t, key, SEQ_MAX, &part, &i);
    if (rc == 0 && i < t->block_count)
        *front = table_part_entry(&part, i)->handle.where.offset;
    table_part_release(t, &part);
    struct rangedel *left = table_lens_rangedel_front(rangedel_ref(t->rangedel), key);
    *tombstones = rangedel_count(left);
    rangedel_unref(left);
    return rc;
}
