/* table_lens: a table as a volume sees it, where that is not as its file has it.
 *
 * Three cases, all told by the manifest, since the file is shared, or was written before it could
 * be known:
 *   - Cut: a volume that began as a checkpoint at a pin shares the tables of the other one, but not
 *     what was written to that one after the pin: entries and tombstones from `cut_seq` on do not
 *     exist here.
 *   - Cut in front: a compaction in slices has taken the keys below `smallest`; their data, before
 *     `front`, may be a hole, and is never read. The rest is rewritten by its next slices.
 *   - Ingested: the table was written before it had a place in history; all its entries have
 *     `ingest_seq`. In the file each key occurs once, under some lower number.
 *
 * Guarantees: what is not seen is reported by no cursor, look-up or tombstone. A cut table costs a
 * look at each masked entry, until a compaction has rewritten it.
 *
 * Invariants:
 *   1. While the cursor is valid `inner` stands on the same entry, and that is seen.
 *   2. Order is kept: a cut drops entries, and in an ingested table no key occurs twice.
 *   3. `inner` never stands in a block before `front`. */
#include "store/table_priv.h"

#include <assert.h>
#include <stdlib.h>

struct lens_iter {
    struct iter it;
    struct iter *inner;
    const struct table_meta *meta;
    table_masked_fn *masked; /* or NULL */
    void *ctx;
};

static struct lens_iter *lens_of(struct iter *it)
{
    return (struct lens_iter *)it;
}

static bool is_masked(const struct lens_iter *l)
{
    return l->meta->cut_seq && l->inner->e.seq >= l->meta->cut_seq;
}

static struct slice first_key(const struct lens_iter *l)
{
    return buf_slice(&l->meta->smallest);
}

static bool in_front(const struct lens_iter *l)
{
    return l->meta->front && slice_cmp(l->inner->e.key, first_key(l)) < 0;
}

/* Ends a move of `inner` that returned `status`: goes on by `step` to what is seen. */
static int settle(struct lens_iter *l, int status, int (*step)(struct iter *it))
{
    while (status == 0 && (in_front(l) || is_masked(l))) {
        if (in_front(l)) {
            assert(step == iter_prev);
            status = 1;
            break;
        }
        if (l->masked && step == iter_next && entry_type_is_blob(l->inner->e.type))
            l->masked(l->ctx, l->inner->e.value);
        status = step(l->inner);
    }
    l->it.valid = status == 0;
    if (status != 0)
        return status;
    l->it.e = l->inner->e;
    l->it.e.seq = table_lens_seq(l->meta, l->it.e.seq);
    l->it.warm = l->inner->warm;
    return 0;
}

static int lens_first(struct iter *it)
{
    struct lens_iter *l = lens_of(it);
    return settle(
        l, l->meta->front ? iter_seek(l->inner, first_key(l), SEQ_MAX) : iter_first(l->inner),
        iter_next);
}

static int lens_last(struct iter *it)
{
    struct lens_iter *l = lens_of(it);
    return settle(l, iter_last(l->inner), iter_prev);
}

/* In a file that was ingested, a key's one entry is at or after (key, seq) if its number here is
 * not above `seq`. */
static int lens_seek(struct iter *it, struct slice key, uint64_t seq)
{
    struct lens_iter *l = lens_of(it);
    const struct table_meta *m = l->meta;
    if (m->front && slice_cmp(key, first_key(l)) < 0) {
        key = first_key(l);
        seq = SEQ_MAX;
    }
    if (m->ingest_seq)
        seq = m->ingest_seq <= seq ? SEQ_MAX : 0;
    else if (m->cut_seq && seq >= m->cut_seq && !l->masked)
        seq = m->cut_seq - 1;
    return settle(l, iter_seek(l->inner, key, seq), iter_next);
}

static int lens_next(struct iter *it)
{
    struct lens_iter *l = lens_of(it);
    assert(it->valid && l->inner->valid);
    return settle(l, iter_next(l->inner), iter_next);
}

static int lens_prev(struct iter *it)
{
    struct lens_iter *l = lens_of(it);
    assert(it->valid && l->inner->valid);
    return settle(l, iter_prev(l->inner), iter_prev);
}

static void lens_free(struct iter *it)
{
    struct lens_iter *l = lens_of(it);
    iter_free(l->inner);
    free(l);
}

struct iter *table_lens_iter(struct iter *inner, const struct table_meta *m,
                             table_masked_fn *masked, void *ctx)
{
    static const struct iter_ops ops = {.first = lens_first,
                                        .last = lens_last,
                                        .seek = lens_seek,
                                        .next = lens_next,
                                        .prev = lens_prev,
                                        .free = lens_free};
    struct lens_iter *l = mem_zalloc(sizeof *l);
    assert(m->cut_seq || m->ingest_seq || m->front);
    assert(m->cut_seq == 0 || m->ingest_seq == 0);
    l->it.ops = &ops;
    l->inner = inner;
    l->meta = m;
    l->masked = masked;
    l->ctx = ctx;
    return &l->it;
}

/* `all`, or what is left of it from `key` on and below `seq` (0: of all numbers). Takes over `all`.
 */
static struct rangedel *rangedel_part(struct rangedel *all, struct slice key, uint64_t seq)
{
    struct rangedel_builder *b = rangedel_builder_new();
    for (size_t i = 0; i < rangedel_count(all); i++) {
        struct rangedel_fragment f = rangedel_at(all, i);
        if (slice_cmp(f.start, key) < 0)
            f.start = key;
        for (uint32_t k = 0; k < f.seq_count && slice_cmp(f.start, f.end) < 0; k++)
            if (seq == 0 || f.seqs[k] < seq)
                rangedel_builder_add(b, f.start, f.end, f.seqs[k]);
    }
    struct rangedel *seen = rangedel_build(b);
    rangedel_builder_free(b);
    rangedel_unref(all);
    return seen;
}

struct rangedel *table_lens_rangedel_front(struct rangedel *all, struct slice key)
{
    return rangedel_count(all) > 0 ? rangedel_part(all, key, 0) : all;
}

struct rangedel *table_lens_rangedel(struct rangedel *all, const struct table_meta *m)
{
    if (m->cut_seq == 0 || rangedel_count(all) == 0)
        return all;
    return rangedel_part(all, (struct slice){0}, m->cut_seq);
}
