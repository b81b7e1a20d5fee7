/* memtable: two trees in one arena: the point entries, and the ends of the range tombstones.
 *
 * Guarantees: see memtable.h. That a read at R sees all that lies below R needs no more than this:
 * who publishes R releases it after the insertions, and the reader acquires it.
 *
 * Invariants:
 *   1. `points` holds no ENTRY_RANGE_DELETE.
 *   2. The arena goes with the last reference: slices that were handed out live until then. */
#include "store/memtable.h"

#include <assert.h>
#include <stdlib.h>

#include "store/tombstones.h"

/* Entries added by the threads of one arena slot, on a line of its own. */
struct counter {
    _Atomic uint64_t entries;
    uint8_t pad[ARENA_LINE - sizeof(uint64_t)];
};

struct memtable {
    atomic_int refs;
    struct arena *arena;
    struct memtree points;
    struct tombstones tombstones;
    bool sums;           /* fixed before the first entry */
    atomic_bool damaged; /* an entry has changed */
    struct counter counters[ARENA_SLOTS];
};

struct memtable *memtable_new(void)
{
    struct memtable *m = mem_zalloc(sizeof *m);
    atomic_init(&m->refs, 1);
    m->arena = arena_new();
    memtree_init(&m->points, m->arena, false);
    tombstones_init(&m->tombstones, m->arena);
    return m;
}

struct memtable *memtable_ref(struct memtable *m)
{
    int before = atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
    assert(before >= 1);
    return m;
}

void memtable_unref(struct memtable *m)
{
    if (!m)
        return;
    int before = atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel);
    assert(before >= 1);
    if (before > 1)
        return;
    arena_free(m->arena);
    free(m);
}

/* ---- writing ---- */

void memtable_sum_entries(struct memtable *m)
{
    assert(memtable_empty(m));
    m->sums = true;
}

bool memtable_is_damaged(const struct memtable *m)
{
    return atomic_load_explicit(&m->damaged, memory_order_relaxed);
}

void memtable_add(struct memtable *m, const struct entry *e)
{
    assert(e->type != ENTRY_RANGE_DELETE);
    struct entry summed = *e;
    if (!m->sums)
        summed.sum = 0;
    else if (summed.sum == 0)
        summed.sum = entry_sum(e);
    memtree_insert(&m->points, &summed);
    atomic_fetch_add_explicit(&m->counters[arena_slot()].entries, 1, memory_order_relaxed);
}

void memtable_add_rangedel(struct memtable *m, struct slice start, struct slice end, uint64_t seq)
{
    tombstones_add(&m->tombstones, start, end, seq);
}

/* ---- reading ---- */

static int verify(struct memtable *m, const struct entry *e)
{
    int err = entry_verify(e, "a memtable");
    if (err < 0)
        atomic_store_explicit(&m->damaged, true, memory_order_relaxed);
    return err;
}

int memtable_get(struct memtable *m, struct lookup *l)
{
    struct memtree_pos pos;
    struct entry e;
    assert(!lookup_done(l));
    if (l->read_seq == 0)
        return 0; /* sees nothing */
    lookup_cover(l, tombstones_seq(&m->tombstones, l->key, l->read_seq));
    bool found = memtree_find(&m->points, l->key, l->read_seq - 1, &pos);
    while (found) {
        memrec_entry(pos.rec, &e);
        if (!slice_eq(e.key, l->key))
            break;
        int err = verify(m, &e);
        if (err < 0)
            return err;
        found = lookup_entry(l, &e, NULL) && memtree_next(&m->points, &pos);
    }
    return 0;
}

void memtable_cover(struct memtable *m, struct slice key, uint64_t read_seq,
                    struct rangedel_cover *out)
{
    tombstones_cover(&m->tombstones, key, read_seq, out);
}

void memtable_rangedels(struct memtable *m, struct rangedel_builder *b)
{
    tombstones_collect(&m->tombstones, b);
}

size_t memtable_bytes(const struct memtable *m)
{
    return arena_bytes(m->arena);
}

uint64_t memtable_entry_count(const struct memtable *m)
{
    uint64_t count = 0;
    for (int i = 0; i < ARENA_SLOTS; i++)
        count += atomic_load_explicit(&m->counters[i].entries, memory_order_relaxed);
    return count;
}

uint64_t memtable_rangedel_count(const struct memtable *m)
{
    return tombstones_count(&m->tombstones);
}

/* ---- the cursor ---- */

struct memtable_iter {
    struct iter it;
    struct memtable *m; /* a reference */
    struct memtree_pos pos;
};

static int stand(struct memtable_iter *mi, bool found)
{
    mi->it.valid = found;
    if (!found)
        return 1;
    memrec_entry(mi->pos.rec, &mi->it.e);
    int err = mi->it.e.sum ? verify(mi->m, &mi->it.e) : 0;
    mi->it.valid = err == 0;
    return err;
}

static int memtable_iter_first(struct iter *it)
{
    struct memtable_iter *mi = (struct memtable_iter *)it;
    return stand(mi, memtree_first(&mi->m->points, &mi->pos));
}

static int memtable_iter_last(struct iter *it)
{
    struct memtable_iter *mi = (struct memtable_iter *)it;
    return stand(mi, memtree_last(&mi->m->points, &mi->pos));
}

static int memtable_iter_seek(struct iter *it, struct slice key, uint64_t seq)
{
    struct memtable_iter *mi = (struct memtable_iter *)it;
    return stand(mi, memtree_seek(&mi->m->points, key, seq, &mi->pos));
}

static int memtable_iter_next(struct iter *it)
{
    struct memtable_iter *mi = (struct memtable_iter *)it;
    assert(it->valid);
    return stand(mi, memtree_next(&mi->m->points, &mi->pos));
}

static int memtable_iter_prev(struct iter *it)
{
    struct memtable_iter *mi = (struct memtable_iter *)it;
    assert(it->valid);
    return stand(mi, memtree_prev(&mi->m->points, &mi->pos));
}

static int memtable_iter_skip(struct iter *it, uint64_t seq, struct slice end)
{
    struct memtable_iter *mi = (struct memtable_iter *)it;
    assert(it->valid);
    return stand(mi, memtree_skip(&mi->m->points, seq, end, &mi->pos, &it->stepped));
}

static void memtable_iter_free(struct iter *it)
{
    struct memtable_iter *mi = (struct memtable_iter *)it;
    memtable_unref(mi->m);
    free(mi);
}

static const struct iter_ops memtable_iter_ops = {
    .first = memtable_iter_first,
    .last = memtable_iter_last,
    .seek = memtable_iter_seek,
    .next = memtable_iter_next,
    .prev = memtable_iter_prev,
    .skip = memtable_iter_skip,
    .free = memtable_iter_free,
};

struct iter *memtable_iter_new(struct memtable *m)
{
    struct memtable_iter *mi = mem_zalloc(sizeof *mi);
    mi->it.ops = &memtable_iter_ops;
    mi->m = memtable_ref(m);
    return &mi->it;
}
