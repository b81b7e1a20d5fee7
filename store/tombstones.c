/* tombstones: see tombstones.h.
 *
 * Guarantee: a read at R gets the same answer before, during and after the addition of a tombstone
 * with the number R or a later one. For an addition does two things: it makes its ends keys, and
 * the intervals that these cut hand on their marks to both halves; and it pushes its number onto
 * marks, where the read passes over it.
 *
 * Invariants:
 *   1. Each interval in a tombstone's [start, end) has its number in exactly one of its marks.
 *   2. Numbers in a mark descend, as they are added in ascending order. */
#include "store/tombstones.h"

#include <assert.h>

#include "store/seqlist.h"

struct tombstone {
    const struct tombstone *older;
    struct slice start, end; /* as stored in `ends` */
    uint64_t seq;
};

void tombstones_init(struct tombstones *t, struct arena *arena)
{
    t->arena = arena;
    memtree_init(&t->ends, arena, true);
    atomic_init(&t->oldest_seq, 0);
    atomic_init(&t->count, 0);
    t->newest = NULL;
}

/* Makes `key` a key of the tree; returns it as stored. */
static struct slice ensure_end(struct tombstones *t, struct slice key)
{
    enum { ANY_SEQ = 1 };
    struct entry e = {.key = key, .seq = ANY_SEQ, .type = ENTRY_RANGE_DELETE};
    struct memtree_pos pos;
    const struct memrec *r =
        memtree_find(&t->ends, key, ANY_SEQ, &pos) ? pos.rec : memtree_insert(&t->ends, &e);
    memrec_entry(r, &e);
    return e.key;
}

static void remember(struct tombstones *t, struct slice start, struct slice end, uint64_t seq)
{
    struct tombstone *added = arena_alloc(t->arena, sizeof *added);
    *added = (struct tombstone){.older = t->newest, .start = start, .end = end, .seq = seq};
    t->newest = added;
}

/* Pushes one number onto marks. Neighbours often have the same list: the new one is made once. */
struct pusher {
    struct arena *arena;
    uint64_t seq;
    const struct seqlist *before, *after; /* of the last mark; `after` is NULL at first */
};

static void *push(void *ctx, void *mark)
{
    struct pusher *p = ctx;
    if (!p->after || p->before != mark) {
        p->before = mark;
        p->after = seqlist_push(p->arena, mark, p->seq);
    }
    return (void *)(uintptr_t)p->after;
}

void tombstones_add(struct tombstones *t, struct slice start, struct slice end, uint64_t seq)
{
    assert(slice_cmp(start, end) < 0);
    assert(seq > 0 && (!t->newest || seq > t->newest->seq));
    end = ensure_end(t, end);
    start = ensure_end(t, start);
    remember(t, start, end, seq);
    struct pusher pusher = {.arena = t->arena, .seq = seq};
    memtree_mark(&t->ends, start, end, push, &pusher);
    atomic_fetch_add_explicit(&t->count, 1, memory_order_relaxed);
    if (atomic_load_explicit(&t->oldest_seq, memory_order_relaxed) == 0)
        atomic_store_explicit(&t->oldest_seq, seq, memory_order_release);
}

static bool none_below(const struct tombstones *t, uint64_t read_seq)
{
    uint64_t oldest = atomic_load_explicit(&t->oldest_seq, memory_order_acquire);
    return oldest == 0 || oldest >= read_seq;
}

void tombstones_cover(const struct tombstones *t, struct slice key, uint64_t read_seq,
                      struct rangedel_cover *out)
{
    *out = (struct rangedel_cover){0};
    if (none_below(t, read_seq))
        return;
    void *marks[MEMTREE_LEVELS_MAX];
    unsigned count = memtree_marks(&t->ends, key, marks, &out->lo, &out->hi);
    for (unsigned i = 0; i < count; i++) {
        uint64_t seq = seqlist_below(marks[i], read_seq);
        out->seq = seq > out->seq ? seq : out->seq;
    }
    assert(out->seq == 0 || out->seq < read_seq);
}

uint64_t tombstones_seq(const struct tombstones *t, struct slice key, uint64_t read_seq)
{
    struct rangedel_cover cover;
    tombstones_cover(t, key, read_seq, &cover);
    return cover.seq;
}

void tombstones_collect(const struct tombstones *t, struct rangedel_builder *b)
{
    for (const struct tombstone *at = t->newest; at; at = at->older)
        rangedel_builder_add(b, at->start, at->end, at->seq);
}

uint64_t tombstones_count(const struct tombstones *t)
{
    return atomic_load_explicit(&t->count, memory_order_relaxed);
}
