/* memtree: descending and inserting. See memnode.h for how a node is read.
 *
 * Guarantees: a reader waits only while the very node that it wants to read is being changed;
 * writers on different leaves do not wait for each other, unless both leaves split below the same
 * parent.
 *
 * Invariants:
 *   1. A node that is being split stays locked until its parent knows of the new half. A descent
 *      takes the child's version before it makes sure that the parent has not changed: so it
 *      arrives at the right node.
 *   2. Locks are taken upwards only, from a node to its parent, and who holds one waits only for
 *      nodes of higher levels: somebody always gets on.
 *   3. The root is the first node of its level. Only the holder of its lock replaces it.
 *   4. Before a record is in a leaf, `newest` of every node above is not below its number. Cuts
 * hand it on; a new root takes it from what it is put over, which is locked. What a finger says of
 *      the nodes above holds for them all: it was so when its record went into the leaf. */
#include "store/memtree.h"

#include <assert.h>

#include "store/memnode.h"

/* The leaf that this thread inserted into last, and the tree that it is of. */
static _Thread_local struct {
    uint64_t tree_id;
    struct memnode *leaf;
    uint64_t newest; /* all nodes above the leaf were raised to this */
} finger;

/* ---- descending ---- */

void memtree_init(struct memtree *t, struct arena *arena, bool marked)
{
    static _Atomic uint64_t trees;
    t->arena = arena;
    t->marked = marked;
    t->id = atomic_fetch_add_explicit(&trees, 1, memory_order_relaxed) + 1;
    atomic_init(&t->root, memnode_new(t, 0));
}

struct memnode *memtree_root(const struct memtree *t, uint64_t *v)
{
    for (;;) {
        struct memnode *root = memnode_get(t->root);
        *v = memnode_begin(root);
        if (memnode_get(t->root) == root)
            return root;
    }
}

struct memnode *memtree_reach(const struct memtree *t, const struct memkey *k, uint64_t seq,
                              uint64_t level, uint64_t *v)
{
    struct memnode *n = memtree_root(t, v);
    uint64_t word;
    assert(n->level >= level);
    while (n->level > level) {
        uint32_t c = k ? memnode_search(n, k, seq, &word) : memnode_get(n->count);
        if (!memnode_descend(&n, v, c))
            n = memtree_root(t, v);
    }
    return n;
}

/* The same for who is about to insert (k, seq): the inner nodes on the way are raised first. */
static struct memnode *reach_raising(const struct memtree *t, const struct memkey *k, uint64_t seq,
                                     uint64_t *v)
{
    struct memnode *n = memtree_root(t, v);
    uint64_t word, newest = memnode_step_of(seq);
    while (n->level > 0) {
        uint32_t c = memnode_search(n, k, seq, &word);
        if (!memnode_raise(n, *v, newest) || !memnode_descend(&n, v, c))
            n = memtree_root(t, v);
    }
    return n;
}

/* ---- splitting ---- */

static void split(struct memtree *t, struct memnode *n, uint32_t at);

static void insert_separator(struct memtree *t, uint64_t level, const struct memrec *separator,
                             struct memnode *right)
{
    struct memkey k;
    uint64_t v, word, seq = memrec_seq(separator);
    memkey_init(&k, memrec_key(separator));
    for (;;) {
        struct memnode *parent = memtree_reach(t, &k, seq, level, &v);
        if (!memnode_lock(parent, v))
            continue;
        uint32_t at = memnode_search(parent, &k, seq, &word);
        if (memnode_get(parent->count) < MEMNODE_CAP) {
            memnode_put(parent, at, separator, right);
            memnode_unlock(parent);
            return;
        }
        split(t, parent, at == MEMNODE_CAP ? MEMNODE_CAP - 2 : MEMNODE_CAP / 2);
    }
}

static void grow_root(struct memtree *t, const struct memrec *separator, struct memnode *left,
                      struct memnode *right)
{
    assert(left->level + 1 < MEMTREE_LEVELS_MAX);
    struct memnode *root = memnode_new(t, left->level + 1);
    memnode_set(root->children[0], left);
    memnode_put(root, 0, separator, right);
    uint64_t newest = memnode_get(left->newest), moved = memnode_get(right->newest);
    memnode_set(root->newest, memnode_step_of(newest > moved ? newest : moved));
    memnode_set(t->root, root);
}

/* Of a node that is locked and full; unlocks it. */
static void split(struct memtree *t, struct memnode *n, uint32_t at)
{
    assert(memnode_get(n->count) == MEMNODE_CAP);
    const struct memrec *separator = memnode_get(n->recs[at]);
    struct memnode *right = memnode_cut(t, n, at);
    if (memnode_get(t->root) == n)
        grow_root(t, separator, n, right);
    else
        insert_separator(t, n->level + 1, separator, right);
    memnode_unlock(n);
}

/* Where to split a full leaf into which a record will go at `at`. What is inserted in order, up or
 * down, leaves full leaves behind. */
static uint32_t split_point(uint32_t at)
{
    if (at == MEMNODE_CAP)
        return MEMNODE_CAP - 1;
    return at == 0 ? 1 : MEMNODE_CAP / 2;
}

/* ---- inserting ---- */

static struct memrec *record_new(struct arena *arena, const struct entry *e)
{
    assert(e->key.len <= UINT32_MAX && e->value.len <= UINT32_MAX);
    assert(e->seq > 0 && e->seq <= SEQ_MAX);
    size_t stored = memkey_stored_size(e->key.len);
    size_t sum = e->sum ? sizeof e->sum : 0;
    struct memrec *r = arena_alloc(arena, sizeof *r + stored + e->value.len + sum);
    r->packed = e->seq << 8 | (sum ? MEMREC_SUMMED : 0) | (uint64_t)e->type;
    r->key_len = (uint32_t)e->key.len;
    r->value_len = (uint32_t)e->value.len;
    memkey_store(r->key, e->key);
    if (e->value.len)
        memcpy(r->key + stored, e->value.data, e->value.len);
    if (sum)
        memcpy(r->key + stored + e->value.len, &e->sum, sum);
    return r;
}

void memrec_entry(const struct memrec *r, struct entry *e)
{
    e->key = memrec_key(r);
    e->seq = memrec_seq(r);
    e->type = (enum entry_type)(r->packed & 0x7f);
    e->sum = 0;
    e->value = slice_of(r->key + memkey_stored_size(r->key_len), r->value_len);
    if (r->packed & MEMREC_SUMMED)
        memcpy(&e->sum, e->value.data + e->value.len, sizeof e->sum);
}

/* Does (k, seq) belong into the leaf of this thread's last insertion? */
static bool finger_fits(const struct memtree *t, const struct memkey *k, uint64_t seq, uint64_t *v)
{
    if (finger.tree_id != t->id || finger.newest < memnode_step_of(seq))
        return false;
    *v = memnode_begin(finger.leaf);
    const struct memrec *low = memnode_get(finger.leaf->low),
                        *high = memnode_get(finger.leaf->high);
    return (!low || memrec_is_before(low, k, seq)) && (!high || !memrec_is_before(high, k, seq)) &&
           memnode_unchanged(finger.leaf, *v);
}

/* Locks the leaf that (k, seq) belongs into. */
static struct memnode *lock_leaf(const struct memtree *t, const struct memkey *k, uint64_t seq)
{
    struct memnode *leaf;
    uint64_t v, newest;
    do {
        bool fits = finger_fits(t, k, seq, &v);
        leaf = fits ? finger.leaf : reach_raising(t, k, seq, &v);
        newest = fits ? finger.newest : memnode_step_of(seq);
    } while (!memnode_lock(leaf, v)); /* not before: a root may have grown over the leaf */
    finger.tree_id = t->id;
    finger.leaf = leaf;
    finger.newest = newest;
    return leaf;
}

/* For assert: is (k, seq), which belongs at index `at`, not there yet? */
static bool is_new(const struct memnode *leaf, uint32_t at, const struct memkey *k, uint64_t seq,
                   uint64_t word)
{
    if (at == memnode_get(leaf->count) || memnode_get(leaf->words[at]) != word)
        return true;
    const struct memrec *r = memnode_get(leaf->recs[at]);
    return memrec_seq(r) != seq || !slice_eq(memrec_key(r), k->key);
}

const struct memrec *memtree_insert(struct memtree *t, const struct entry *e)
{
    struct memrec *r = record_new(t->arena, e);
    struct memkey k;
    uint64_t word;
    memkey_init(&k, e->key);
    for (;;) {
        struct memnode *leaf = lock_leaf(t, &k, e->seq);
        uint32_t at = memnode_search(leaf, &k, e->seq, &word);
        assert(is_new(leaf, at, &k, e->seq, word));
        if (memnode_get(leaf->count) < MEMNODE_CAP) {
            memnode_put(leaf, at, r, NULL);
            memnode_unlock(leaf);
            return r;
        }
        split(t, leaf, split_point(at));
        finger.tree_id = 0; /* a root that has grown over the leaf has not been raised for this */
    }
}
