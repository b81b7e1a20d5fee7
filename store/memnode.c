/* memnode: see memnode.h for the protocol.
 *
 * Guarantee: each function that changes a node leaves the invariants true; in between they need not
 * be, as the lock keeps others from believing what they see.
 *
 * Invariants:
 *   1. The records of a node ascend strictly; so do the words, but for equal ones.
 *   2. Records lie in [low, high). The first of a leaf is `low`, unless it is the first leaf.
 *   3. A node's bounds change only when it is cut, and then only `high` falls.
 *   4. `newest` of an inner node is not below that of any of its children. */
#include "store/memnode.h"

#include <assert.h>
#include <sched.h>

uint64_t memnode_wait(const struct memnode *n)
{
    enum { SPINS_MAX = 200 }; /* a holder needs some 50 ns, unless it lost its processor */
    uint64_t version;
    for (int spins = 0; (version = memnode_get(n->version)) & 1; spins++)
        if (spins >= SPINS_MAX)
            sched_yield();
    return version;
}

bool memnode_lock(struct memnode *n, uint64_t version)
{
    assert(version % 2 == 0);
    /* Sequentially consistent for the sake of memnode_raise(). */
    return atomic_compare_exchange_strong(&n->version, &version, version + 1);
}

/* Of this and of a cut beside it, which locks the node and then copies `newest`, one sees the
 * other: all four accesses are in one order. If the copy is older than the raise, the lock is older
 * than the look at the version that follows here. */
bool memnode_raise(struct memnode *n, uint64_t version, uint64_t newest)
{
    assert(n->level > 0 && newest % MEMNODE_NEWEST_STEP == 0);
    uint64_t before = atomic_load(&n->newest);
    while (before < newest && !atomic_compare_exchange_weak(&n->newest, &before, newest))
        ;
    return atomic_load(&n->version) == version;
}

void memnode_unlock(struct memnode *n)
{
    uint64_t version = atomic_load_explicit(&n->version, memory_order_relaxed);
    assert(version % 2 == 1);
    memnode_set(n->version, version + 1);
}

struct memnode *memnode_new(const struct memtree *t, uint64_t level)
{
    size_t slots = (MEMNODE_CAP + 1) * sizeof(void *);
    size_t inner = level ? slots : 0, marks = t->marked ? slots : 0;
    struct memnode *n = arena_alloc_line(t->arena, sizeof *n + inner + marks);
    memset(n, 0, sizeof *n + inner + marks);
    uint8_t *arrays = (uint8_t *)(n + 1);
    n->level = (uint16_t)level;
    n->children = inner ? (void *)arrays : NULL;
    n->marks = marks ? (void *)(arrays + inner) : NULL;
    return n;
}

/* Everything that a search in the node may touch, at once. */
static void memnode_prefetch(const struct memnode *n)
{
    const char *bytes = (const char *)n;
    for (size_t i = 0; i < sizeof *n; i += ARENA_LINE)
        __builtin_prefetch(bytes + i);
}

bool memnode_descend(struct memnode **n, uint64_t *v, uint32_t c)
{
    struct memnode *child = memnode_child(*n, c);
    if (!memnode_unchanged(*n, *v))
        return false;
    memnode_prefetch(child);
    uint64_t child_version = memnode_begin(child);
    if (!memnode_unchanged(*n, *v))
        return false;
    *n = child;
    *v = child_version;
    return true;
}

/* ---- changing a node; its lock is held ---- */

/* The slot that record `at` cuts in two becomes two that are alike. */
static void split_slot(_Atomic(void *) *slots, uint32_t count, uint32_t at)
{
    for (uint32_t c = count + 1; c > at; c--)
        memnode_set(slots[c], memnode_get(slots[c - 1]));
}

void memnode_put(struct memnode *n, uint32_t at, const struct memrec *r, struct memnode *right)
{
    uint32_t count = memnode_get(n->count);
    assert(count < MEMNODE_CAP && at <= count);
    assert(!right == !n->children);
    for (uint32_t i = count; i > at; i--) {
        memnode_set(n->words[i], memnode_get(n->words[i - 1]));
        memnode_set(n->recs[i], memnode_get(n->recs[i - 1]));
    }
    memnode_set(n->words[at], memkey_word_at(memrec_key(r), memnode_get(n->skip)));
    memnode_set(n->recs[at], r);
    if (n->marks)
        split_slot(n->marks, count, at);
    if (right) {
        split_slot(n->children, count, at);
        memnode_set(n->children[at + 1], right);
    }
    memnode_set(n->count, (uint16_t)(count + 1));
    if (n->level == 0 && memrec_seq(r) > memnode_get(n->newest))
        memnode_set(n->newest, memrec_seq(r));
}

/* The bounds have changed: what do they share now? */
static void memnode_reset_words(struct memnode *n)
{
    const struct memrec *low = memnode_get(n->low), *high = memnode_get(n->high);
    size_t skip = low && high ? slice_shared(memrec_key(low), memrec_key(high)) : 0;
    memnode_set(n->skip, (uint32_t)skip);
    for (uint32_t i = 0, count = memnode_get(n->count); i < count; i++)
        memnode_set(n->words[i], memkey_word_at(memrec_key(memnode_get(n->recs[i])), skip));
}

static void copy_slots(_Atomic(void *) *to, _Atomic(void *) *from, uint32_t count)
{
    for (uint32_t c = 0; c < count; c++)
        memnode_set(to[c], memnode_get(from[c]));
}

static uint64_t newest_record(const struct memnode *leaf)
{
    uint64_t newest = 0;
    for (uint32_t i = 0, count = memnode_get(leaf->count); i < count; i++) {
        uint64_t seq = memrec_seq(memnode_get(leaf->recs[i]));
        newest = seq > newest ? seq : newest;
    }
    return newest;
}

struct memnode *memnode_cut(const struct memtree *t, struct memnode *n, uint32_t at)
{
    struct memnode *right = memnode_new(t, n->level);
    uint32_t count = memnode_get(n->count), from = n->level ? at + 1 : at;
    assert(at > 0 && from < count);
    for (uint32_t i = from; i < count; i++)
        memnode_set(right->recs[i - from], memnode_get(n->recs[i]));
    if (n->children)
        copy_slots(right->children, n->children + from, count + 1 - from);
    if (n->marks)
        copy_slots(right->marks, n->marks + from, count + 1 - from);
    const struct memrec *separator = memnode_get(n->recs[at]);
    memnode_set(right->count, (uint16_t)(count - from));
    memnode_set(right->low, separator);
    memnode_set(right->high, memnode_get(n->high));
    memnode_set(right->next, memnode_get(n->next));
    memnode_reset_words(right);

    memnode_set(right->newest, n->level ? atomic_load(&n->newest) : newest_record(right));

    memnode_set(n->count, (uint16_t)at);
    memnode_set(n->high, separator);
    memnode_set(n->next, right);
    memnode_reset_words(n);
    if (n->level == 0)
        memnode_set(n->newest, newest_record(n));
    return right;
}
