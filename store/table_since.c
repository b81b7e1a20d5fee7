/* table_since: the cursor over the entries of a table with numbers in a window [from, to), forwards
 * only. A block whose bounds say that it has none of them is not read.
 *
 * Guarantees: as table_iter.c's: what comes is in internal order, or ends in -EIO.
 *
 * Invariants:
 *   1. `at` is the block that `bi` is set to, or BLOCK_NONE.
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
    struct block_iter bi;
    struct buf payload, frame;
    struct table_window window;
};

static struct since_iter *since_of(struct iter *it)
{
    return (struct since_iter *)it;
}

/* The first block from `i` on that may have something in the window. */
static uint32_t next_wanted(struct since_iter *s, uint32_t i)
{
    const struct table_index *ix = &s->t->index;
    for (; i < ix->count; i++) {
        const struct block_handle *h = &ix->entries[i].handle;
        if (h->max_seq >= s->from && h->min_seq < s->to)
            break;
        s->counts->blocks_skipped++;
    }
    return i;
}

static int load(struct since_iter *s, uint32_t i)
{
    struct block block;
    s->at = BLOCK_NONE;
    int err = table_read_block(s->t, i, &s->window, &s->frame, &s->payload);
    if (err == 0)
        err = table_open_block(s->t, i, buf_slice(&s->payload), &block);
    if (err < 0)
        return err;
    block_iter_set(&s->bi, &block);
    s->at = i;
    s->counts->blocks_read++;
    return 0;
}

static int raised(struct since_iter *s, int rc)
{
    return rc < 0 ? table_block_corrupt(s->t, s->at, "an entry does not decode") : rc;
}

/* The entry lies between the separators on both sides of the block. */
static int check_sides(struct since_iter *s)
{
    const struct table_index *ix = &s->t->index;
    const struct entry *e = &s->bi.it.e;
    uint32_t i = s->at;
    if (entry_cmp(e->key, e->seq, table_index_separator(ix, i), ix->entries[i].sep_seq) > 0)
        return table_block_corrupt(s->t, i, "an entry is past the separator");
    if (i > 0 && entry_cmp(e->key, e->seq, table_index_separator(ix, i - 1),
                           ix->entries[i - 1].sep_seq) <= 0)
        return table_block_corrupt(s->t, i, "an entry is before the separator");
    return 0;
}

/* Ends a move that did `rc` within the block: on to the next entry in the window. */
static int settle(struct since_iter *s, int rc)
{
    s->it.valid = false;
    while (rc >= 0) {
        if (rc == 1) {
            uint32_t i = next_wanted(s, s->at + 1);
            if (i >= s->t->index.count)
                return 1;
            rc = load(s, i);
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
        rc = table_block_corrupt(s->t, s->at, "a tombstone among the entries");
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
    uint32_t wanted = next_wanted(s, i);
    s->it.valid = false;
    if (wanted >= s->t->index.count)
        return 1;
    int rc = load(s, wanted);
    if (rc < 0)
        return rc;
    rc = key && wanted == i ? iter_seek(&s->bi.it, *key, SEQ_MAX) : iter_first(&s->bi.it);
    return settle(s, raised(s, rc));
}

static int since_first(struct iter *it)
{
    return begin(since_of(it), 0, NULL);
}

/* Keys only: of the versions of `key`, all are given. */
static int since_seek(struct iter *it, struct slice key, uint64_t seq)
{
    struct since_iter *s = since_of(it);
    assert(seq == SEQ_MAX);
    (void)seq;
    return begin(s, table_index_search(&s->t->index, key, SEQ_MAX), &key);
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
