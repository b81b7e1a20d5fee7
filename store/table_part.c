/* table_part: the index of an open table, whole or in parts.
 *
 * A whole index stays in memory. Of one in parts only the top does: parts come and go through the
 * cache, decoded, under (table number, offset of the part's frame). Blocks are numbered through the
 * table; `begins` says which part has which.
 *
 * Guarantees: a part is verified before it is used, by its checksum and against what the top says
 * of it; what is wrong is raised by corrupt(). What a caller holds stays until it lets go, whatever
 * the cache evicts.
 *
 * Invariants:
 *   1. In parts: begins[p] is the sum of the blocks of the parts before p; begins[index.count] is
 *      block_count.
 *   2. The separator of a part's last block is the top's; so the one behind any block is known to
 *      whoever is in that part, or in the next. */
#include "store/table_priv.h"

#include "store/err.h"

#include <assert.h>
#include <errno.h>

/* ---- from disk to the cache ---- */

struct cache_item *table_cache_part(struct table *t, uint64_t offset, struct cache_item *item)
{
    uint64_t number = t->meta->number;
    return __atomic_load_n(&t->upper, __ATOMIC_RELAXED)
               ? cache_insert_kept(t->cache, number, offset, item)
               : cache_insert(t->cache, number, offset, item);
}

static struct slice drafted(const struct table_index_draft *d, uint32_t i)
{
    return slice_of(d->keys.data + d->entries[i].sep_at, d->entries[i].sep_len);
}

const char *table_part_fault(const struct table *t, uint32_t p, const struct table_index_draft *d)
{
    const struct table_index *top = &t->index;
    const struct table_index_entry *said = &top->entries[p];
    uint32_t last = d->count - 1;
    uint64_t min_seq = UINT64_MAX, max_seq = 0;
    for (uint32_t i = 0; i < d->count; i++) {
        const struct block_handle *h = &d->entries[i].handle;
        min_seq = h->min_seq < min_seq ? h->min_seq : min_seq;
        max_seq = h->max_seq > max_seq ? h->max_seq : max_seq;
    }
    if (d->in_parts || d->count != t->begins[p + 1] - t->begins[p])
        return "a part of the index has not the blocks that it should";
    if (min_seq != said->handle.min_seq || max_seq != said->handle.max_seq)
        return "a part of the index has not the sequence numbers that it should";
    if (entry_cmp(drafted(d, last), d->entries[last].sep_seq, table_index_separator(top, p),
                  said->sep_seq) != 0)
        return "a part of the index ends where it should not";
    if (p > 0 && entry_cmp(drafted(d, 0), d->entries[0].sep_seq, table_index_separator(top, p - 1),
                           top->entries[p - 1].sep_seq) <= 0)
        return "a part of the index begins where it should not";
    return NULL;
}

static int read_part(struct table *t, uint32_t p, struct cache_item **item)
{
    const struct frame_ref *where = &t->index.entries[p].handle.where;
    struct buf frame = {0}, payload = {0};
    struct table_index_draft d;
    int err = table_read_block(t, where, NULL, &frame, &payload);
    buf_release(&frame);
    if (err == 0) {
        const char *fault = table_index_decode(buf_slice(&payload), t->data_end, &d);
        if (!fault)
            fault = table_part_fault(t, p, &d);
        if (fault) {
            err = table_frame_corrupt(t, where, fault);
        } else {
            struct cache_item *room = cache_alloc(table_index_size(&d));
            table_index_lay(&d, cache_bytes(room));
            *item = table_cache_part(t, where->offset, room);
        }
        table_index_draft_release(&d);
    }
    buf_release(&payload);
    return err;
}

/* ---- holding one ---- */

void table_part_release(struct table *t, struct table_part *p)
{
    if (p->item)
        cache_release(t->cache, p->item);
    p->item = NULL;
    p->ix = NULL;
}

static int hold(struct table *t, uint32_t number, struct table_part *p)
{
    struct cache_item *item = cache_get(t->cache, STORE_CACHE_INDEX, t->meta->number,
                                        t->index.entries[number].handle.where.offset);
    int err = item ? 0 : read_part(t, number, &item);
    table_part_release(t, p);
    if (err < 0)
        return err;
    p->item = item;
    p->begin = t->begins[number];
    table_index_view(item->data.data, &p->view);
    p->ix = &p->view;
    return 0;
}

uint32_t table_part_of(const struct table *t, uint32_t i)
{
    uint32_t lo = 0, hi = t->index.count - 1;
    while (lo < hi) {
        uint32_t mid = hi - (hi - lo) / 2;
        if (t->begins[mid] <= i)
            lo = mid;
        else
            hi = mid - 1;
    }
    return lo;
}

static bool has(const struct table_part *p, uint32_t i)
{
    return p->ix && i >= p->begin && i - p->begin < p->ix->count;
}

static void hold_whole(struct table *t, struct table_part *p)
{
    p->ix = &t->index;
    p->begin = 0;
}

int table_part_at(struct table *t, uint32_t i, struct table_part *p)
{
    assert(i < t->block_count);
    if (has(p, i))
        return 0;
    if (t->begins)
        return hold(t, table_part_of(t, i), p);
    hold_whole(t, p);
    return 0;
}

int table_part_find(struct table *t, struct slice key, uint64_t seq, struct table_part *p,
                    uint32_t *i)
{
    uint32_t at = table_index_search(&t->index, key, seq);
    if (!t->begins) {
        hold_whole(t, p);
        *i = at;
        return 0;
    }
    *i = t->block_count;
    if (at == t->index.count)
        return 0;
    int err = table_part_at(t, t->begins[at], p);
    if (err == 0) /* it is there: the separator of the part's last block is not before it */
        *i = p->begin + table_index_search(p->ix, key, seq);
    assert(err != 0 || has(p, *i));
    return err;
}

int table_part_young(struct table *t, struct table_part *p, uint32_t *i, uint32_t end, uint64_t seq)
{
    assert(end <= t->block_count);
    while (*i < end) {
        if (t->begins && !has(p, *i)) {
            uint32_t part = table_part_of(t, *i);
            if (t->index.entries[part].handle.max_seq < seq) {
                *i = t->begins[part + 1];
                continue;
            }
        }
        int err = table_part_at(t, *i, p);
        if (err < 0)
            return err;
        uint32_t stop = p->begin + p->ix->count < end ? p->ix->count : end - p->begin;
        *i = p->begin + table_index_young(p->ix, *i - p->begin, stop, seq);
        if (*i < p->begin + stop)
            return 0;
    }
    *i = end;
    return 0;
}

int table_part_side(const struct table *t, const struct table_part *p, uint32_t i,
                    const struct entry *e)
{
    const struct table_index *ix = p->ix;
    uint32_t at = i - p->begin;
    if (!has(p, i)) {
        assert(t->begins && p->ix && p->begin == i + 1);
        ix = &t->index;
        at = table_part_of(t, i);
    }
    return entry_cmp(e->key, e->seq, table_index_separator(ix, at), ix->entries[at].sep_seq);
}

/* ---- the levels ---- */

static void let_go(struct table *t)
{
    uint64_t number = t->meta->number;
    for (uint32_t i = 0; t->begins && i < t->index.count; i++)
        cache_let_go(t->cache, number, t->index.entries[i].handle.where.offset);
    for (uint32_t i = 0; i < t->filter.part_count; i++)
        cache_let_go(t->cache, number, t->filter.parts[i].offset);
}

static void forget_blocks(struct table *t, const struct table_index *ix)
{
    for (uint32_t i = 0; i < ix->count; i++)
        cache_drop(t->cache, t->meta->number, ix->entries[i].handle.where.offset);
}

/* Blocks of a part that is not in the cache age out: they have not been asked for lately. */
static void forget_part(struct table *t, uint64_t offset)
{
    struct cache_item *item = cache_peek(t->cache, t->meta->number, offset);
    struct table_index ix;
    if (!item)
        return;
    table_index_view(item->data.data, &ix);
    forget_blocks(t, &ix);
    cache_release(t->cache, item);
}

void table_forget(struct table *t)
{
    for (uint32_t p = 0; t->begins && p < t->index.count; p++)
        forget_part(t, t->index.entries[p].handle.where.offset);
    forget_blocks(t, &t->index); /* of a top these are the parts */
    for (uint32_t i = 0; i < t->filter.part_count; i++)
        cache_drop(t->cache, t->meta->number, t->filter.parts[i].offset);
}

void table_set_upper(struct table *t, bool upper)
{
    if (upper)
        __atomic_store_n(&t->ever_upper, true, __ATOMIC_RELAXED);
    if (__atomic_exchange_n(&t->upper, upper, __ATOMIC_RELAXED) && !upper)
        let_go(t);
}

void table_part_close(struct table *t)
{
    /* A read that began on an upper level may have put a part there after it was let go. */
    if (__atomic_load_n(&t->ever_upper, __ATOMIC_RELAXED))
        let_go(t);
}
