/* iter: moves that every cursor has, and the merging cursor: a binary heap of children, the one
 * that comes next on top.
 *
 * Guarantees: the children's entries in internal order, each once; entries that compare equal in
 * the order of their children, backwards in the reverse of it. A seek may be given the cursor's own
 * key. A child that grows while it is read (a memtable) disturbs neither order nor what was there
 * before.
 *
 * Invariants:
 *   1. While the cursor is valid the heap holds each child that is valid, and no other, and heap[0]
 *      stands on the entry that the cursor stands on.
 *   2. Forwards every other child stands on its first entry after that one, or has none; backwards
 *      on its last entry before it, or has none.
 *   3. A node's `head` is that of the key its child stands on.
 *   4. `second` is the better of heap[1] and heap[2], or 0 while that is not known. So while one
 *      child stays ahead of the others, which is common in a tree of levels, a step is a single
 *      comparison. */
#include "store/iter.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

int iter_seek_before(struct iter *it, struct slice key)
{
    struct buf own = {0}; /* `key` may be the cursor's, which dies with the first move */
    buf_set(&own, key);
    int ret = iter_seek(it, buf_slice(&own), SEQ_MAX);
    if (ret >= 0)
        ret = ret ? iter_last(it) : iter_prev(it);
    /* More than once only if entries were added to what it reads in between. */
    while (ret == 0 && slice_cmp(it->e.key, buf_slice(&own)) >= 0)
        ret = iter_prev(it);
    buf_release(&own);
    return ret;
}

int iter_skip(struct iter *it, uint64_t seq, struct slice end)
{
    int ret = 0;
    assert(it->valid);
    if (it->ops->skip)
        return it->ops->skip(it, seq, end);
    while (ret == 0 && it->e.seq < seq && (end.len == 0 || slice_cmp(it->e.key, end) < 0)) {
        it->stepped++;
        ret = iter_next(it);
    }
    return ret;
}

/* ---- merging ---- */

struct merge_node {
    uint64_t
        head; /* the key's first eight bytes as a big-endian number: decides most comparisons */
    struct iter *child;
    size_t rank; /* among the children, as given */
};

struct merge {
    struct iter it;
    struct iter **children;
    size_t count;
    struct merge_node *heap;
    size_t heap_len;
    size_t second;
    bool backward;
    struct buf sought;
};

static inline struct merge *merge_of(struct iter *it)
{
    return (struct merge *)it;
}

static int merge_none(struct merge *m, int why)
{
    assert(why == 1 || why < 0);
    m->it.valid = false;
    return why;
}

/* A shorter key is filled up with zeros: never higher than what it is a prefix of. */
static inline uint64_t key_head(struct slice key)
{
    if (key.len >= 8)
        return get_be64(key.data);
    uint64_t head = 0;
    for (size_t i = 0; i < key.len; i++)
        head |= (uint64_t)key.data[i] << (56 - 8 * i);
    return head;
}

/* Whether `a` comes first in the direction of travel. */
static inline bool node_before(const struct merge *m, const struct merge_node *a,
                               const struct merge_node *b)
{
    if (a->head != b->head)
        return (a->head < b->head) != m->backward;
    const struct entry *x = &a->child->e, *y = &b->child->e;
    int order = entry_cmp(x->key, x->seq, y->key, y->seq);
    bool first = order ? order < 0 : a->rank < b->rank;
    return first != m->backward;
}

/* Which of the two below node `i` goes before the other; heap_len or more if there is none. */
static inline size_t better_below(const struct merge *m, size_t i)
{
    size_t left = 2 * i + 1, right = left + 1;
    return right < m->heap_len && node_before(m, &m->heap[right], &m->heap[left]) ? right : left;
}

/* Moves node `i` down to where it belongs. */
static void sift_down(struct merge *m, size_t i)
{
    struct merge_node node = m->heap[i];
    size_t below = i == 0 && m->second ? m->second : better_below(m, i);
    if (i == 0)
        m->second = below;
    while (below < m->heap_len && node_before(m, &m->heap[below], &node)) {
        m->second = 0;
        m->heap[i] = m->heap[below];
        i = below;
        below = better_below(m, i);
    }
    m->heap[i] = node;
}

static int merge_stand_on_top(struct merge *m)
{
    if (m->heap_len == 0)
        return merge_none(m, 1);
    assert(m->heap[0].child->valid);
    m->it.e = m->heap[0].child->e;
    m->it.warm = m->heap[0].child->warm;
    m->it.valid = true;
    return 0;
}

/* The heap of all children that stand on an entry, in the direction of travel; then stands on the
 * top. */
static int merge_heapify(struct merge *m)
{
    m->heap_len = m->second = 0;
    for (size_t i = 0; i < m->count; i++)
        if (m->children[i]->valid)
            m->heap[m->heap_len++] =
                (struct merge_node){key_head(m->children[i]->e.key), m->children[i], i};
    assert(m->heap_len <= m->count);
    for (size_t i = m->heap_len / 2; i-- > 0;)
        sift_down(m, i);
    return merge_stand_on_top(m);
}

/* One step of the child on top, which stands where the cursor does, in the direction of travel. */
static int merge_step(struct merge *m)
{
    assert(m->it.valid && m->heap_len > 0);
    struct merge_node *top = &m->heap[0];
    int ret = m->backward ? iter_prev(top->child) : iter_next(top->child);
    if (ret < 0)
        return merge_none(m, ret);
    if (ret == 0) {
        top->head = key_head(top->child->e.key);
    } else {
        *top = m->heap[--m->heap_len];
        m->second = 0;
    }
    if (m->heap_len > 1)
        sift_down(m, 0);
    return merge_stand_on_top(m);
}

/* ---- turning round ---- */

/* Whether the child's entry is after the cursor's in internal order, ties by rank. */
static bool child_after(const struct merge *m, size_t rank, size_t top_rank)
{
    const struct entry *a = &m->children[rank]->e, *b = &m->it.e;
    int order = entry_cmp(a->key, a->seq, b->key, b->seq);
    return order ? order > 0 : rank > top_rank;
}

/* Puts the child where invariant 2 wants it for the direction opposite to the present one. It may
 * have grown, so that one step from where it stands would not do. */
static int child_turn(const struct merge *m, size_t rank, size_t top_rank)
{
    struct iter *child = m->children[rank];
    int ret = iter_seek(child, m->it.e.key, m->it.e.seq);
    if (m->backward) {
        while (ret == 0 && !child_after(m, rank, top_rank))
            ret = iter_next(child);
        return ret;
    }
    if (ret == 1)
        ret = iter_last(child);
    while (ret == 0 && child_after(m, rank, top_rank))
        ret = iter_prev(child);
    return ret;
}

/* Takes one step against the present direction. */
static int merge_turn(struct merge *m)
{
    assert(m->it.valid && m->heap_len > 0);
    size_t top_rank = m->heap[0].rank;
    for (size_t i = 0; i < m->count; i++) {
        int ret = i == top_rank ? 0 : child_turn(m, i, top_rank);
        if (ret < 0)
            return merge_none(m, ret);
    }
    m->backward = !m->backward;
    struct iter *top = m->children[top_rank]; /* not before: the others were told its key */
    int ret = m->backward ? iter_prev(top) : iter_next(top);
    return ret < 0 ? merge_none(m, ret) : merge_heapify(m);
}

/* ---- moves ---- */

static int merge_next(struct iter *it)
{
    struct merge *m = merge_of(it);
    assert(it->valid);
    return m->backward ? merge_turn(m) : merge_step(m);
}

static int merge_prev(struct iter *it)
{
    struct merge *m = merge_of(it);
    assert(it->valid);
    return m->backward ? merge_step(m) : merge_turn(m);
}

static int merge_first(struct iter *it)
{
    struct merge *m = merge_of(it);
    m->backward = false;
    for (size_t i = 0; i < m->count; i++) {
        int ret = iter_first(m->children[i]);
        if (ret < 0)
            return merge_none(m, ret);
    }
    return merge_heapify(m);
}

static int merge_last(struct iter *it)
{
    struct merge *m = merge_of(it);
    m->backward = true;
    for (size_t i = 0; i < m->count; i++) {
        int ret = iter_last(m->children[i]);
        if (ret < 0)
            return merge_none(m, ret);
    }
    return merge_heapify(m);
}

static int merge_seek(struct iter *it, struct slice key, uint64_t seq)
{
    struct merge *m = merge_of(it);
    m->backward = false;
    buf_set(&m->sought, key); /* `key` may be a child's, which dies when that child moves */
    for (size_t i = 0; i < m->count; i++) {
        int ret = iter_seek(m->children[i], buf_slice(&m->sought), seq);
        if (ret < 0)
            return merge_none(m, ret);
    }
    return merge_heapify(m);
}

static void merge_free(struct iter *it)
{
    struct merge *m = merge_of(it);
    for (size_t i = 0; i < m->count; i++)
        iter_free(m->children[i]);
    buf_release(&m->sought);
    free(m->children);
    free(m->heap);
    free(m);
}

struct iter *iter_merge_new(struct iter **children, size_t count)
{
    static const struct iter_ops ops = {merge_first, merge_last, merge_seek, merge_next,
                                        merge_prev,  NULL,       merge_free};
    if (count == 1)
        return children[0];
    struct merge *m = mem_zalloc(sizeof *m);
    m->it.ops = &ops;
    m->count = count;
    m->children = mem_dup(children, count * sizeof(struct iter *));
    m->heap = mem_alloc(count * sizeof *m->heap);
    return &m->it;
}
