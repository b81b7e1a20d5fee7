/* memtree_skip: passing over entries that are too old, as those are that a range tombstone of the
 * same memtree hides.
 *
 * Within a leaf entries are looked at one by one. Then the way goes from the root down, to the next
 * leaf in which there is anything new enough: each node says how new its newest record may be
 * (memnode.h). So a stretch of n old entries costs O(log n).
 *
 * Guarantee: nothing that the reader may see is passed over: what was inserted before the reader
 * learned of its number was in the `newest` of all nodes above it by then, and a node that is read
 * while it changes is read again.
 *
 * Invariant: what lies between the place where the move began and `at` is old. */
#include "store/memtree.h"

#include <assert.h>

#include "store/memnode.h"

/* A place in internal order: in front of (key, seq). */
struct place {
    struct memkey key;
    uint64_t seq;
    bool at_end; /* behind everything (of no use is the rest) */
};

static void place_at(struct place *p, const struct memrec *r, uint64_t seq)
{
    p->at_end = r == NULL;
    if (r) {
        memkey_init(&p->key, memrec_key(r));
        p->seq = seq;
    }
}

static bool is_young(const struct memrec *r, uint64_t seq)
{
    return memrec_seq(r) >= seq;
}

/* ---- forwards ---- */

static bool reaches(const struct memrec *r, struct slice end)
{
    return end.len > 0 && slice_cmp(memrec_key(r), end) >= 0;
}

/* The slot of inner node `n`, from the one that `at` is in, whose child has anything new enough. If
 * it is another one, `at` becomes the start of it. False: there is none. */
static bool young_slot(const struct memnode *n, uint64_t seq, struct place *at, uint32_t *slot)
{
    /* A separator at the place itself counts as before it: what it begins is on its right. */
    uint64_t word, seq_behind = at->seq > 0 ? at->seq - 1 : 0;
    uint32_t first = memnode_search(n, &at->key, seq_behind, &word), count = memnode_get(n->count);
    uint32_t c;
    for (c = first; c <= count; c++)
        if (memnode_get(memnode_child(n, c)->newest) >= seq)
            break;
    *slot = c;
    if (c > first && c <= count) {
        const struct memrec *r = memnode_get(n->recs[c - 1]);
        place_at(at, r, memrec_seq(r));
    }
    return c <= count;
}

static void behind(struct place *at, const struct memnode *n)
{
    const struct memrec *high = memnode_get(n->high);
    place_at(at, high, high ? memrec_seq(high) : 0);
}

/* One way down from `at`. True: stands on the first entry from there on in a leaf that has
 * something new enough; or else `at` has moved on. */
static bool descend(const struct memtree *t, uint64_t seq, struct place *at,
                    struct memtree_pos *pos)
{
    uint64_t v, word;
    struct memnode *n = memtree_root(t, &v);
    struct place next = *at;
    uint32_t c;
    while (n->level > 0) {
        if (!young_slot(n, seq, &next, &c)) {
            behind(&next, n);
            if (memnode_unchanged(n, v))
                *at = next;
            return false;
        }
        if (!memnode_descend(&n, &v, c))
            return false;
    }
    c = memnode_search(n, &next.key, next.seq, &word);
    bool there = c < memnode_get(n->count) && memnode_get(n->newest) >= seq;
    if (there)
        *pos = (struct memtree_pos){memnode_get(n->recs[c]), n, v, c};
    else
        behind(&next, n);
    if (!memnode_unchanged(n, v))
        return false;
    *at = next;
    return there;
}

/* From the last entry of a leaf to where something new enough may be. */
static bool next_young(const struct memtree *t, uint64_t seq, struct slice end,
                       struct memtree_pos *pos)
{
    struct place at;
    place_at(&at, pos->rec, memrec_seq(pos->rec) - 1);
    bool found = false;
    while (!found && !at.at_end && (end.len == 0 || slice_cmp(at.key.key, end) < 0))
        found = descend(t, seq, &at, pos);
    if (found && !reaches(pos->rec, end))
        return true;
    /* What comes first behind `end` may be old. */
    return end.len > 0 && memtree_seek(t, end, UINT64_MAX, pos);
}

bool memtree_skip(const struct memtree *t, uint64_t seq, struct slice end, struct memtree_pos *pos,
                  uint64_t *stepped)
{
    bool found = true;
    assert(!t->marked);
    while (found && !is_young(pos->rec, seq) && !reaches(pos->rec, end)) {
        const struct memnode *leaf = pos->leaf;
        const struct memrec *rec = NULL;
        if (pos->index + 1 < memnode_get(leaf->count) && memnode_get(leaf->newest) >= seq)
            rec = memnode_get(leaf->recs[pos->index + 1]);
        ++*stepped;
        if (!memnode_unchanged(leaf, pos->version)) {
            found = memtree_next(t, pos);
        } else if (rec) {
            pos->rec = rec;
            pos->index++;
        } else {
            found = next_young(t, seq, end, pos);
        }
    }
    return found;
}
