/* table_iter: the cursor over a table's point entries.
 *
 * It stands in one block at a time, which it keeps pinned in the cache, or decoded in a buffer of
 * its own. A long scan cuts its frames out of large pieces of the file.
 *
 * Guarantees: what forward moves return after one another is strictly in internal order, and so is,
 * in reverse, what crosses from block to block backwards, or they end in -EIO: a reader need not
 * fear the bytes. Every fault is raised by corrupt(). A seek may be given the cursor's own key.
 *
 * Invariants:
 *   1. `at` is the block that `bi` is set to, or BLOCK_NONE; then it is in `part`.
 *   2. At most one of `pin` and `payload` holds that block's payload.
 *   3. While `it.valid`, it.e is bi.it.e. */
#include "store/table_priv.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum { WINDOW_PIECE_FIRST = 64 << 10 };

#define BLOCK_NONE UINT32_MAX

struct table_iter {
    struct iter it;
    struct table *t; /* a reference */
    int flags;
    uint32_t at;
    struct table_part part;
    struct block_iter bi;
    struct cache_item *pin;
    struct buf payload;
    struct buf frame, target; /* scratch */
    struct table_window window;
};

static struct table_iter *table_iter_of(struct iter *it)
{
    return (struct table_iter *)it;
}

/* ---- blocks ---- */

static void unload(struct table_iter *ti)
{
    if (ti->pin)
        cache_release(ti->t->cache, ti->pin);
    ti->pin = NULL;
    ti->at = BLOCK_NONE;
    ti->it.valid = false;
}

/* Fetches the payload of the block at `where` from wherever it is to be had. */
static int fetch(struct table_iter *ti, const struct frame_ref *where, struct slice *payload)
{
    struct table *t = ti->t;
    assert(!ti->pin);
    if (ti->flags & TABLE_ITER_FILL_CACHE) {
        ti->pin = cache_get(t->cache, STORE_CACHE_BLOCK, t->meta->number, where->offset);
        table_count_block(t, ti->pin != NULL);
    } else { /* a job's pass is no use that anybody makes of it */
        ti->pin = cache_peek(t->cache, t->meta->number, where->offset);
        ti->it.warm = ti->pin != NULL;
        counter_add(counters_mine(t->counters),
                    ti->pin ? COUNT_JOB_BLOCK_CACHED : COUNT_JOB_BLOCK_READ, 1);
    }
    if (!ti->pin) {
        int rc = ti->flags & TABLE_ITER_FILL_CACHE
                     ? table_cache_block(t, where, &ti->window, &ti->frame, &ti->pin)
                     : table_read_block(t, where, &ti->window, &ti->frame, &ti->payload);
        if (rc)
            return rc;
    }
    *payload = ti->pin ? ti->pin->data : buf_slice(&ti->payload);
    return 0;
}

/* Of the block that the cursor is in. */
static const struct frame_ref *place(const struct table_iter *ti)
{
    return &table_part_entry(&ti->part, ti->at)->handle.where;
}

/* Returns 1, standing in no block, for one that is not part of the table. */
static int load(struct table_iter *ti, uint32_t i)
{
    struct slice payload;
    struct block block;
    if (ti->at == i)
        return 0;
    unload(ti);
    int rc = table_part_at(ti->t, i, &ti->part);
    if (rc)
        return rc;
    const struct frame_ref *where = &table_part_entry(&ti->part, i)->handle.where;
    if (table_lens_gone(ti->t->meta, where->offset))
        return 1;
    rc = fetch(ti, where, &payload);
    if (!rc)
        rc = table_open_block(ti->t, where, payload, &block);
    if (rc)
        return rc;
    block_iter_set(&ti->bi, &block);
    ti->at = i;
    return 0;
}

/* ---- moves within the block, faults raised ---- */

static int raised(struct table_iter *ti, int rc)
{
    return rc < 0 ? table_frame_corrupt(ti->t, place(ti), "an entry does not decode") : rc;
}

static int block_first(struct table_iter *ti)
{
    return raised(ti, iter_first(&ti->bi.it));
}

static int block_last(struct table_iter *ti)
{
    return raised(ti, iter_last(&ti->bi.it));
}

/* ---- from block to block ---- */

/* From the end of a block, on which the cursor stood if it is valid, to the start of the next. */
static int cross_forward(struct table_iter *ti)
{
    uint32_t i = ti->at;
    assert(i + 1 < ti->t->block_count);
    if (ti->it.valid && table_part_side(ti->t, &ti->part, i, &ti->it.e) > 0)
        return table_frame_corrupt(ti->t, place(ti), "the last entry is past the separator");
    int rc = load(ti, i + 1);
    if (!rc)
        rc = block_first(ti);
    if (!rc && table_part_side(ti->t, &ti->part, i, &ti->bi.it.e) <= 0)
        rc = table_frame_corrupt(ti->t, place(ti), "the first entry is before the separator");
    return rc;
}

static int cross_backward(struct table_iter *ti)
{
    uint32_t i = ti->at;
    assert(i > 0);
    if (ti->it.valid && table_part_side(ti->t, &ti->part, i - 1, &ti->it.e) <= 0)
        return table_frame_corrupt(ti->t, place(ti), "the first entry is before the separator");
    int rc = load(ti, i - 1);
    if (!rc)
        rc = block_last(ti);
    if (!rc && table_part_side(ti->t, &ti->part, i - 1, &ti->bi.it.e) > 0)
        rc = table_frame_corrupt(ti->t, place(ti), "the last entry is past the separator");
    return rc;
}

/* Ends a move: stands on the block's entry, or nowhere. */
static int stand(struct table_iter *ti, int rc)
{
    ti->it.valid = false;
    if (rc)
        return rc;
    ti->it.e = ti->bi.it.e;
    if (ti->it.e.type == ENTRY_RANGE_DELETE)
        return table_frame_corrupt(ti->t, place(ti), "a tombstone among the entries");
    ti->it.valid = true;
    return 0;
}

/* Ends a forward move that did `rc` within the block. */
static int settle_forward(struct table_iter *ti, int rc)
{
    while (rc == 1 && ti->at + 1 < ti->t->block_count)
        rc = cross_forward(ti);
    return stand(ti, rc);
}

static int settle_backward(struct table_iter *ti, int rc)
{
    while (rc == 1 && ti->at != BLOCK_NONE && ti->at > 0)
        rc = cross_backward(ti);
    return stand(ti, rc);
}

/* ---- moves ---- */

static int table_iter_first(struct iter *it)
{
    struct table_iter *ti = table_iter_of(it);
    it->valid = false;
    if (ti->t->block_count == 0)
        return 1;
    int rc = load(ti, 0);
    return rc ? rc : settle_forward(ti, block_first(ti));
}

static int table_iter_last(struct iter *it)
{
    struct table_iter *ti = table_iter_of(it);
    it->valid = false;
    if (ti->t->block_count == 0)
        return 1;
    int rc = load(ti, ti->t->block_count - 1);
    return rc ? rc : settle_backward(ti, block_last(ti));
}

static int table_iter_seek(struct iter *it, struct slice key, uint64_t seq)
{
    struct table_iter *ti = table_iter_of(it);
    uint32_t i;
    it->valid = false;
    if (ti->at != BLOCK_NONE) {
        /* The key may lie in the block that goes. */
        buf_set(&ti->target, key);
        key = buf_slice(&ti->target);
    }
    int rc = table_part_find(ti->t, key, seq, &ti->part, &i);
    if (rc == 0 && i < ti->t->block_count) {
        rc = load(ti, i);
        return rc ? rc : settle_forward(ti, raised(ti, iter_seek(&ti->bi.it, key, seq)));
    }
    unload(ti); /* the part may be another than the block's */
    return rc ? rc : 1;
}

static int table_iter_next(struct iter *it)
{
    struct table_iter *ti = table_iter_of(it);
    assert(it->valid && ti->at != BLOCK_NONE);
    return settle_forward(ti, raised(ti, iter_next(&ti->bi.it)));
}

static int table_iter_prev(struct iter *it)
{
    struct table_iter *ti = table_iter_of(it);
    assert(it->valid && ti->at != BLOCK_NONE);
    return settle_backward(ti, raised(ti, iter_prev(&ti->bi.it)));
}

/* From the end of a block on to the first one that has anything new enough, if it is before block
 * `stop`, in front of which all keys below `end` are. */
static int cross_to_young(struct table_iter *ti, uint32_t stop, uint64_t seq, struct slice end)
{
    uint32_t young = ti->at + 1;
    assert(ti->at < stop);
    unload(ti);
    int rc = table_part_young(ti->t, &ti->part, &young, stop, seq);
    if (rc)
        return rc;
    if (young == stop)
        return end.len > 0 ? table_iter_seek(&ti->it, end, SEQ_MAX) : 1;
    rc = load(ti, young);
    return settle_forward(ti, rc ? rc : block_first(ti));
}

/* Behind the last block in which keys below `end` may be. */
static int find_stop(struct table_iter *ti, struct slice end, uint32_t *stop)
{
    struct table_part part = {0};
    int rc = 0;
    *stop = ti->t->block_count;
    if (end.len > 0)
        rc = table_part_find(ti->t, end, SEQ_MAX, &part, stop);
    table_part_release(ti->t, &part);
    if (*stop < ti->t->block_count)
        ++*stop; /* they may be in the block that has it */
    return rc;
}

/* Whole blocks are passed over by the highest number that the index knows of each. */
static int table_iter_skip(struct iter *it, uint64_t seq, struct slice end)
{
    struct table_iter *ti = table_iter_of(it);
    uint32_t stop;
    assert(it->valid && ti->at != BLOCK_NONE);
    int rc = find_stop(ti, end, &stop);
    if (rc)
        it->valid = false;
    while (rc == 0 && it->e.seq < seq && (end.len == 0 || slice_cmp(it->e.key, end) < 0)) {
        bool old = table_part_entry(&ti->part, ti->at)->handle.max_seq < seq;
        it->stepped++;
        rc = old ? 1 : raised(ti, iter_next(&ti->bi.it));
        if (rc == 1 && (old || ti->at + 1 < stop))
            rc = cross_to_young(ti, stop, seq, end);
        else
            rc = settle_forward(ti, rc);
    }
    return rc;
}

static void table_iter_free(struct iter *it)
{
    struct table_iter *ti = table_iter_of(it);
    unload(ti);
    table_part_release(ti->t, &ti->part);
    block_iter_release(&ti->bi);
    buf_release(&ti->payload);
    buf_release(&ti->frame);
    buf_release(&ti->target);
    buf_release(&ti->window.bytes);
    table_unref(ti->t);
    free(ti);
}

/* Over the file as it is. */
static struct iter *file_iter_new(struct table *t, int flags)
{
    static const struct iter_ops ops = {table_iter_first, table_iter_last, table_iter_seek,
                                        table_iter_next,  table_iter_prev, table_iter_skip,
                                        table_iter_free};
    struct table_iter *ti = mem_zalloc(sizeof *ti);
    assert((flags & ~(TABLE_ITER_FILL_CACHE | TABLE_ITER_READAHEAD)) == 0);
    ti->it.ops = &ops;
    ti->t = table_ref(t);
    ti->flags = flags;
    ti->at = BLOCK_NONE;
    ti->window.piece_bytes = flags & TABLE_ITER_READAHEAD ? WINDOW_PIECE_FIRST : 0;
    block_iter_init(&ti->bi);
    return &ti->it;
}

struct iter *table_iter_new_masked(struct table *t, int flags, table_masked_fn *masked, void *ctx)
{
    struct iter *file = file_iter_new(t, flags);
    if (t->meta->cut_seq == 0 && t->meta->ingest_seq == 0 && t->meta->front == 0)
        return file;
    return table_lens_iter(file, t->meta, masked, ctx);
}

struct iter *table_iter_new(struct table *t, int flags)
{
    return table_iter_new_masked(t, flags, NULL, NULL);
}
