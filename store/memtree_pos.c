/* memtree_pos: standing on an entry of a memtree, and moving from there.
 *
 * A position remembers leaf, index and version. While the version is the same, a step is an array
 * access; if the leaf has changed, the step becomes a search for the neighbour of the entry that it
 * stands on.
 *
 * Invariant: what a function returns was read from a leaf that had not changed until after it was
 * read. */
#include "store/memtree.h"

#include <assert.h>

#include "store/memnode.h"

enum { PREFETCH_AHEAD = 4 };

/* Before any entry: no entry has that number. */
static const uint64_t NEWEST = UINT64_MAX;

/* The first entry of the leaf `n`, which is not the first leaf, or NULL. A leaf that has once come
 * into being has an entry. */
static bool enter_leaf(const struct memnode *n, struct memtree_pos *pos)
{
    if (!n)
        return false;
    do {
        pos->version = memnode_begin(n);
        pos->rec = memnode_get(n->recs[0]);
    } while (!memnode_unchanged(n, pos->version));
    assert(pos->rec);
    pos->leaf = n;
    pos->index = 0;
    return true;
}

/* The first entry at or after (k, seq). With `same_key`, also false when the words tell that it has
 * another key. */
static bool seek(const struct memtree *t, const struct memkey *k, uint64_t seq, bool same_key,
                 struct memtree_pos *pos)
{
    for (;;) {
        uint64_t v, word;
        const struct memnode *leaf = memtree_reach(t, k, seq, 0, &v);
        uint32_t at = memnode_search(leaf, k, seq, &word);
        if (at < memnode_get(leaf->count)) {
            bool other = same_key && memnode_get(leaf->words[at]) != word;
            *pos = (struct memtree_pos){memnode_get(leaf->recs[at]), leaf, v, at};
            if (memnode_unchanged(leaf, v))
                return !other;
        } else {
            const struct memnode *next = memnode_get(leaf->next);
            if (memnode_unchanged(leaf, v))
                return enter_leaf(next, pos);
        }
    }
}

/* The last entry before (k, seq); k == NULL: the last of all. */
static bool seek_before(const struct memtree *t, const struct memkey *k, uint64_t seq,
                        struct memtree_pos *pos)
{
    for (;;) {
        uint64_t v, word;
        const struct memnode *leaf = memtree_reach(t, k, seq, 0, &v);
        uint32_t at = k ? memnode_search(leaf, k, seq, &word) : memnode_get(leaf->count);
        if (at > 0)
            *pos = (struct memtree_pos){memnode_get(leaf->recs[at - 1]), leaf, v, at - 1};
        if (memnode_unchanged(leaf, v))
            return at > 0;
    }
}

bool memtree_first(const struct memtree *t, struct memtree_pos *pos)
{
    return memtree_seek(t, slice_of(NULL, 0), NEWEST, pos);
}

bool memtree_last(const struct memtree *t, struct memtree_pos *pos)
{
    return seek_before(t, NULL, 0, pos);
}

bool memtree_seek(const struct memtree *t, struct slice key, uint64_t seq, struct memtree_pos *pos)
{
    struct memkey k;
    memkey_init(&k, key);
    return seek(t, &k, seq, false, pos);
}

bool memtree_find(const struct memtree *t, struct slice key, uint64_t seq, struct memtree_pos *pos)
{
    struct memkey k;
    memkey_init(&k, key);
    return seek(t, &k, seq, true, pos) && slice_eq(memrec_key(pos->rec), key);
}

bool memtree_next(const struct memtree *t, struct memtree_pos *pos)
{
    const struct memnode *leaf = pos->leaf, *next = NULL;
    const struct memrec *rec = NULL;
    uint32_t at = pos->index + 1, count = memnode_get(leaf->count);
    if (at < count) {
        rec = memnode_get(leaf->recs[at]);
        if (at + PREFETCH_AHEAD < count)
            __builtin_prefetch(memnode_get(leaf->recs[at + PREFETCH_AHEAD]));
    } else {
        next = memnode_get(leaf->next);
    }
    if (!memnode_unchanged(leaf, pos->version))
        return memtree_seek(t, memrec_key(pos->rec), memrec_seq(pos->rec) - 1, pos);
    if (!rec)
        return enter_leaf(next, pos);
    pos->rec = rec;
    pos->index = at;
    return true;
}

bool memtree_prev(const struct memtree *t, struct memtree_pos *pos)
{
    const struct memrec *rec = NULL;
    if (pos->index > 0) {
        rec = memnode_get(pos->leaf->recs[pos->index - 1]);
        if (pos->index > PREFETCH_AHEAD)
            __builtin_prefetch(memnode_get(pos->leaf->recs[pos->index - 1 - PREFETCH_AHEAD]));
    }
    if (!rec || !memnode_unchanged(pos->leaf, pos->version)) {
        struct memkey k;
        memkey_init(&k, memrec_key(pos->rec));
        return seek_before(t, &k, memrec_seq(pos->rec), pos);
    }
    pos->rec = rec;
    pos->index--;
    return true;
}
