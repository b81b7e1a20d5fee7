/* memtree_valid: every invariant of a memtree, asserted. For tests, and for whoever doubts.
 *
 * Invariants: those of memnode.c and memtree.c. */
#include "store/memtree.h"

#include <assert.h>

#include "store/memnode.h"

/* Internal order. */
static bool precedes(const struct memrec *a, const struct memrec *b)
{
    return entry_cmp(memrec_key(a), memrec_seq(a), memrec_key(b), memrec_seq(b)) < 0;
}

static bool shares_prefix(const struct memrec *a, const struct memrec *b, uint32_t len)
{
    return slice_shared(memrec_key(a), memrec_key(b)) >= len;
}

static void assert_records(const struct memnode *n)
{
    const struct memrec *low = memnode_get(n->low), *high = memnode_get(n->high);
    uint32_t skip = memnode_get(n->skip);
    assert(skip == 0 || (low && high && shares_prefix(low, high, skip)));
    for (uint32_t i = 0; i < memnode_get(n->count); i++) {
        const struct memrec *r = memnode_get(n->recs[i]);
        assert(memnode_get(n->words[i]) == memkey_word_at(memrec_key(r), skip));
        assert(i == 0 || precedes(memnode_get(n->recs[i - 1]), r));
        assert(skip == 0 || shares_prefix(low, r, skip));
        assert(!high || precedes(r, high));
        assert(!low || precedes(low, r) || (n->level == 0 && i == 0 && low == r));
    }
}

static void assert_newest(const struct memnode *n)
{
    uint64_t newest = 0;
    for (uint32_t i = 0; n->level == 0 && i < memnode_get(n->count); i++) {
        uint64_t seq = memrec_seq(memnode_get(n->recs[i]));
        newest = seq > newest ? seq : newest;
    }
    assert(n->level > 0 || memnode_get(n->newest) == newest);
    for (uint32_t c = 0; n->level > 0 && c <= memnode_get(n->count); c++)
        assert(memnode_get(n->newest) >= memnode_get(memnode_child(n, c)->newest));
}

/* The bounds of slot `c` of an inner node are those of its child, and so on down. */
static void assert_node(const struct memtree *t, const struct memnode *n)
{
    uint32_t count = memnode_get(n->count);
    assert(memnode_get(n->version) % 2 == 0);
    assert(count <= MEMNODE_CAP && (count > 0 || n == memnode_get(t->root)));
    assert(!n->children == (n->level == 0) && !n->marks == !t->marked);
    assert(!memnode_get(n->next) == !memnode_get(n->high));
    assert_records(n);
    assert_newest(n);
    for (uint32_t c = 0; n->level > 0 && c <= count; c++) {
        const struct memnode *child = memnode_child(n, c);
        const struct memrec *low = c > 0 ? memnode_get(n->recs[c - 1]) : memnode_get(n->low);
        const struct memrec *high = c < count ? memnode_get(n->recs[c]) : memnode_get(n->high);
        assert(child->level + 1 == n->level);
        assert(memnode_get(child->low) == low && memnode_get(child->high) == high);
        assert(c == count || memnode_get(child->next) == memnode_child(n, c + 1));
        assert_node(t, child);
    }
}

void memtree_assert_valid(const struct memtree *t)
{
    const struct memnode *root = memnode_get(t->root);
    assert(root->level < MEMTREE_LEVELS_MAX);
    assert(!memnode_get(root->low) && !memnode_get(root->high));
    assert_node(t, root);
}
