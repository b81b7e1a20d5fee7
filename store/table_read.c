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
enum { WINDOW_PIECE_MAX = 1 << 20 };

/* ---- blocks ---- */

static const struct block_handle *handle_at(const struct table *t, uint32_t i)
{
    assert(i < t->index.count);
    return &t->index.entries[i].handle;
}

int table_block_corrupt(struct table *t, uint32_t i, const char *why)
{
    return corrupt(t->file.path, handle_at(t, i)->where.offset, "%s", why);
}

int table_open_block(struct table *t, uint32_t i, struct slice payload, struct block *block)
{
    return block_open(payload, block) ? table_block_corrupt(t, i, "a block does not decode") : 0;
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

int table_read_block(struct table *t, uint32_t i, struct table_window *window, struct buf *frame,
                     struct buf *payload)
{
    const struct frame_ref *where = &handle_at(t, i)->where;
    struct frame_header h;
    struct slice bytes;
    if (window && window->piece_bytes) {
        int rc = window_read(t, window, where, &bytes);
        if (rc)
            return rc;
        return frame_open(&t->file.codec, t->file.path, where->offset, bytes, payload);
    }
    int rc = file_read_frame(&t->file, where, frame, &h);
    if (rc)
        return rc;
    buf_clear(payload);
    if (frame_unpack(&t->file.codec, where->offset, &h, frame_stored(buf_slice(frame)), payload))
        return table_block_corrupt(t, i, "a frame does not decode");
    return 0;
}

int table_pin_block(struct table *t, uint32_t i, struct cache_item **item, struct block *block)
{
    uint64_t offset = handle_at(t, i)->where.offset;
    *item = cache_get(t->cache, t->meta->number, offset);
    if (!*item) {
        struct buf frame = {0}, payload = {0};
        int rc = table_read_block(t, i, NULL, &frame, &payload);
        buf_release(&frame);
        if (rc) {
            buf_release(&payload);
            return rc;
        }
        *item = cache_put(t->cache, t->meta->number, offset, payload.data, payload.len);
    }
    int rc = table_open_block(t, i, (*item)->data, block);
    if (rc) {
        cache_release(t->cache, *item);
        *item = NULL;
    }
    return rc;
}

/* ---- point reads ---- */

/* Reports what block `i` has of the key; `*more`: the read goes on and the block ended first. */
static int get_in_block(struct table *t, uint32_t i, struct lookup *l, bool *more)
{
    struct cache_item *item;
    struct block block;
    struct block_iter bi;
    bool wants = true;
    *more = false;
    int rc = table_pin_block(t, i, &item, &block);
    if (rc)
        return rc;
    block_iter_init(&bi);
    block_iter_set(&bi, &block);
    rc = iter_seek(&bi.it, l->key, l->read_seq - 1);
    while (rc == 0 && wants && slice_eq(bi.it.e.key, l->key)) {
        if (bi.it.e.type == ENTRY_RANGE_DELETE) {
            rc = -EIO;
            break;
        }
        wants = lookup_entry(l, &bi.it.e, item);
        if (wants)
            rc = iter_next(&bi.it);
    }
    if (rc < 0)
        rc = table_block_corrupt(t, i, "an entry does not decode");
    *more = rc == 1;
    block_iter_release(&bi);
    cache_release(t->cache, item);
    return rc < 0 ? rc : 0;
}

/* Can versions of `key` go on behind block `i`, in which the search for it ended? */
static bool key_continues(const struct table *t, uint32_t i, struct slice key)
{
    return i + 1 < t->index.count && t->index.entries[i].sep_seq > 0 &&
           slice_eq(table_index_separator(&t->index, i), key);
}

static int get_entries(struct table *t, struct lookup *l)
{
    uint32_t i = table_index_search(&t->index, l->key, l->read_seq - 1);
    bool more = i < t->index.count;
    while (more) {
        /* A block that is wholly newer than the read need not be looked at. */
        if (handle_at(t, i)->min_seq < l->read_seq) {
            int rc = get_in_block(t, i, l, &more);
            if (rc)
                return rc;
        }
        more = more && key_continues(t, i, l->key);
        i++;
    }
    return 0;
}

static bool in_span(const struct table *t, struct slice key)
{
    return slice_cmp(key, buf_slice(&t->meta->smallest)) >= 0 &&
           slice_cmp(key, buf_slice(&t->meta->limit)) < 0;
}

int table_get(struct table *t, struct lookup *l)
{
    assert(!lookup_done(l));
    assert(l->read_seq > 0);
    if (rangedel_count(t->rangedel) > 0) {
        struct rangedel_cover cover;
        rangedel_cover(t->rangedel, l->key, l->read_seq, &cover);
        lookup_cover(l, cover.seq);
    }
    /* The filter knows better than the span what is not there. */
    if (t->has_filter ? !filter_may_contain(&t->filter, l->hash) : !in_span(t, l->key))
        return 0;
    return get_entries(t, l);
}

/* ---- sizes ---- */

/* Where the frames of entries at or after `key` begin. */
static uint64_t offset_of_key(const struct table *t, struct slice key)
{
    uint32_t i = table_index_search(&t->index, key, SEQ_MAX);
    return i < t->index.count ? handle_at(t, i)->where.offset : t->data_end;
}

uint64_t table_range_bytes(struct table *t, struct slice start, struct slice limit)
{
    uint64_t begin = offset_of_key(t, start);
    uint64_t end = limit.len ? offset_of_key(t, limit) : t->data_end;
    return end > begin ? end - begin : 0;
}
