/* memtree_marks: pointers on the slots of a memtree, each for all keys that the slot spans.
 *
 * A stretch is marked on the slots that it covers wholly, as high up as that goes, like the
 * canonical intervals of a segment tree (Bentley, 1977). When a slot is cut in two, both halves get
 * its mark (memnode_put()), so a mark never has to be moved to another level.
 *
 * Invariant: the marks over a key are those of the slots on the path from the root to it. */
#include "store/memtree.h"

#include <assert.h>

#include "store/memnode.h"

/* A stretch whose ends are keys of the tree. */
struct stretch {
    struct memkey start, end;
    memtree_mark_fn *fn;
    void *ctx;
};

static bool record_has_key(const struct memrec *r, const struct memkey *k)
{
    return r && memkey_cmp(r->key, r->key_len, k) == 0;
}

/* Of the slot that the start falls in: does it begin there? */
static bool starts_inside(const struct memnode *n, uint32_t c, const struct stretch *s)
{
    return record_has_key(c > 0 ? memnode_get(n->recs[c - 1]) : memnode_get(n->low), &s->start);
}

static bool ends_inside(const struct memnode *n, uint32_t c, const struct stretch *s)
{
    uint32_t count = memnode_get(n->count);
    return record_has_key(c < count ? memnode_get(n->recs[c]) : memnode_get(n->high), &s->end);
}

/* Marks the part of the stretch that lies in node `n`, and there is one. `from_low`, `to_high`: the
 * stretch reaches that end of the node. Reads without checking versions: this thread is the only
 * writer. */
static void mark_node(struct memnode *n, const struct stretch *s, bool from_low, bool to_high)
{
    uint64_t word;
    uint32_t first = n->level > 0 ? 0 : 1; /* a leaf that begins with `low` has nothing in slot 0 */
    if (!from_low)
        first = memnode_search(n, &s->start, 0, &word);
    uint32_t last = memnode_get(n->count);
    if (!to_high)
        last = memnode_search(n, &s->end, UINT64_MAX, &word);
    assert(first <= last);
    for (uint32_t c = first; c <= last; c++) {
        bool whole_start = from_low || c > first || starts_inside(n, c, s);
        bool whole_end = to_high || c < last || ends_inside(n, c, s);
        if (whole_start && whole_end) {
            memnode_set(n->marks[c], s->fn(s->ctx, memnode_get(n->marks[c])));
            continue;
        }
        assert(n->level > 0); /* as both ends are keys, a slot of a leaf is wholly in or out */
        mark_node(memnode_child(n, c), s, whole_start, whole_end);
    }
}

void memtree_mark(struct memtree *t, struct slice start, struct slice end, memtree_mark_fn *fn,
                  void *ctx)
{
    assert(t->marked && slice_cmp(start, end) < 0);
    struct stretch s = {.fn = fn, .ctx = ctx};
    memkey_init(&s.start, start);
    memkey_init(&s.end, end);
    mark_node(memnode_get(t->root), &s, false, false);
}

static struct slice key_or_empty(const struct memrec *r)
{
    return r ? memrec_key(r) : slice_of(NULL, 0);
}

unsigned memtree_marks(const struct memtree *t, struct slice key, void *marks[MEMTREE_LEVELS_MAX],
                       struct slice *lo, struct slice *hi)
{
    struct memkey k;
    memkey_init(&k, key);
    assert(t->marked);
restart:;
    uint64_t v, word;
    unsigned found = 0;
    struct memnode *n = memtree_root(t, &v);
    for (;;) {
        assert(n->level < MEMTREE_LEVELS_MAX);
        uint32_t c = memnode_search(n, &k, 0, &word);
        marks[found] = memnode_get(n->marks[c]);
        found += marks[found] != NULL;
        if (n->level == 0) {
            *lo = key_or_empty(c > 0 ? memnode_get(n->recs[c - 1]) : NULL);
            *hi = key_or_empty(c < memnode_get(n->count) ? memnode_get(n->recs[c])
                                                         : memnode_get(n->high));
            if (memnode_unchanged(n, v))
                return found;
            goto restart;
        }
        if (!memnode_descend(&n, &v, c))
            goto restart;
    }
}
