/* table_since: the cursor over the entries of a table with numbers in a window [from, to), forwards
 * only. A block whose bounds say that it has none of them is not read.
 *
 * Guarantees: as table_iter.c's: what comes is in internal order, or ends in -EIO.
 *
 * Invariants:
 *   1. `at` is the block that `bi` is set to, or BLOCK_NONE; then it is in `part`.
 *   2. Each block between two that are read is counted as skipped, once.
 *   3. The window is that of the file's numbers: a table that was ingested is in it whole. */
#include "store/table_priv.h"

#include <assert.h>
#include <stdlib.h>

#define BLOCK_NONE UINT32_MAX

struct since_iter {
    struct iter it;
    struct table *t; /* a reference */
    uint64_t from, to;
    struct table_since_counts *counts; /* the caller's */
    uint32_t at;
    struct table_part part;
    struct block_iter bi;
    struct buf payload, frame;
    struct table_window window;
};

static struct since_iter *since_of(struct iter *it)
{
    return (struct since_iter *)it;
}

static bool in_window(const struct since_iter *s, const struct block_handle *h)
{
    return h->max_seq >= s->from && h->min_seq < s->to;
}

/* Is block `i` the first of a part that is not held and has nothing in the window? Then `*end` is
 * behind it. */
static bool part_unwanted(const struct since_iter *s, uint32_t i, uint32_t *end)
{
    const struct table *t = s->t;
    uint32_t part = t->begins ? table_part_of(t, i) : 0;
    if (!t->begins || t->begins[part] != i || in_window(s, &t->index.entries[part].handle))
        return false;
    *end = t->begins[part + 1];
    return true;
}

/* Moves `*i` on to the first block from there that may have something in the window. */
static int next_wanted(struct since_iter *s, uint32_t *i)
{
    uint32_t end;
    while (*i < s->t->block_count) {
        if (part_unwanted(s, *i, &end)) {
            s->counts->blocks_skipped += end - *i;
            *i = end;
            continue;
        }
        int err = table_part_at(s->t, *i, &s->part);
        if (err < 0)
            return err;
        if (in_window(s, &table_part_entry(&s->part, *i)->handle))
            break;
        s->counts->blocks_skipped++;
        ++*i;
    }
    return 0;
}

/* Of the block that the cursor is in. */
static const struct frame_ref *place(const struct since_iter *s)
{
    return &table_part_entry(&s->part, s->at)->handle.where;
}

static int load(struct since_iter *s, uint32_t i)
{
    struct block block;
    s->at = BLOCK_NONE;
    int err = table_part_at(s->t, i, &s->part);
    if (err < 0)
        return err;
    const struct frame_ref *where = &table_part_entry(&s->part, i)->handle.where;
    err = table_read_block(s->t, where, &s->window, &s->frame, &s->payload);
    if (err == 0)
        err = table_open_block(s->t, where, buf_slice(&s->payload), &block);
    if (err < 0)
        return err;
    block_iter_set(&s->bi, &block);
    s->at = i;
    s->counts->blocks_read++;
    return 0;
}

static int raised(struct since_iter *s, int rc)
{
    return rc < 0 ? table_frame_corrupt(s->t, place(s), "an entry does not decode") : rc;
}

/* The entry lies between the separators on both sides of the block. */
static int check_sides(struct since_iter *s)
{
    const struct entry *e = &s->bi.it.e;
    uint32_t i = s->at;
    if (table_part_side(s->t, &s->part, i, e) > 0)
        return table_frame_corrupt(s->t, place(s), "an entry is past the separator");
    if (i > 0 && table_part_side(s->t, &s->part, i - 1, e) <= 0)
        return table_frame_corrupt(s->t, place(s), "an entry is before the separator");
    return 0;
}

/* Ends a move that did `rc` within the block: on to the next entry in the window. */
static int settle(struct since_iter *s, int rc)
{
    s->it.valid = false;
    while (rc >= 0) {
        if (rc == 1) {
            uint32_t i = s->at + 1;
            rc = next_wanted(s, &i);
            if (rc == 0 && i >= s->t->block_count)
                return 1;
            rc = rc < 0 ? rc : load(s, i);
            rc = rc < 0 ? rc : raised(s, iter_first(&s->bi.it));
            continue;
        }
        const struct entry *e = &s->bi.it.e;
        if (e->seq >= s->from && e->seq < s->to)
            break;
        rc = raised(s, iter_next(&s->bi.it));
    }
    if (rc == 0)
        rc = check_sides(s);
    if (rc == 0 && s->bi.it.e.type == ENTRY_RANGE_DELETE)
        rc = table_frame_corrupt(s->t, place(s), "a tombstone among the entries");
    if (rc < 0)
        return rc;
    s->it.e = s->bi.it.e;
    s->it.e.seq = table_lens_seq(s->t->meta, s->it.e.seq);
    s->it.valid = true;
    return 0;
}

/* Begins with block `i` or the first one behind it that is wanted; there, with (key, SEQ_MAX), if
 * it is `i` itself. */
static int begin(struct since_iter *s, uint32_t i, const struct slice *key)
{
    uint32_t wanted = i;
    s->it.valid = false;
    int rc = next_wanted(s, &wanted);
    if (rc == 0 && wanted >= s->t->block_count)
        return 1;
    rc = rc < 0 ? rc : load(s, wanted);
    if (rc < 0)
        return rc;
    rc = key && wanted == i ? iter_seek(&s->bi.it, *key, SEQ_MAX) : iter_first(&s->bi.it);
    return settle(s, raised(s, rc));
}

/* Keys only: of the versions of `key`, all are given. */
static int since_seek(struct iter *it, struct slice key, uint64_t seq)
{
    struct since_iter *s = since_of(it);
    assert(seq == SEQ_MAX);
    (void)seq;
    uint32_t i;
    if (s->t->meta->front && slice_cmp(key, buf_slice(&s->t->meta->smallest)) < 0)
        key = buf_slice(&s->t->meta->smallest);
    it->valid = false;
    int err = table_part_find(s->t, key, SEQ_MAX, &s->part, &i);
    return err < 0 ? err : begin(s, i, &key);
}

static int since_first(struct iter *it)
{
    if (since_of(it)->t->meta->front)
        return since_seek(it, (struct slice){0}, SEQ_MAX);
    return begin(since_of(it), 0, NULL);
}

static int since_next(struct iter *it)
{
    struct since_iter *s = since_of(it);
    assert(it->valid && s->at != BLOCK_NONE);
    return settle(s, raised(s, iter_next(&s->bi.it)));
}

static void since_free(struct iter *it)
{
    struct since_iter *s = since_of(it);
    table_part_release(s->t, &s->part);
    block_iter_release(&s->bi);
    buf_release(&s->payload);
    buf_release(&s->frame);
    buf_release(&s->window.bytes);
    table_unref(s->t);
    free(s);
}

struct iter *table_since_iter_new(struct table *t, uint64_t from, uint64_t to,
                                  struct table_since_counts *counts)
{
    static const struct iter_ops ops = {
        .first = since_first, .seek = since_seek, .next = since_next, .free = since_free};
    const struct table_meta *m = t->meta;
    assert(from < to);
    struct since_iter *s = mem_zalloc(sizeof *s);
    s->it.ops = &ops;
    s->t = table_ref(t);
    s->counts = counts;
    s->at = BLOCK_NONE;
    s->from = from;
    s->to = m->cut_seq && m->cut_seq < to ? m->cut_seq : to;
    if (m->ingest_seq) {
        bool in = m->ingest_seq >= from && m->ingest_seq < to;
        s->from = in ? 0 : SEQ_MAX;
        s->to = in ? SEQ_MAX : 0;
    }
    block_iter_init(&s->bi);
    return &s->it;
}
