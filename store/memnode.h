/* memnode: nodes of a memtree, and how they are read beside writers; for memtree*.c only.
 *
 * Reading: take the version with memnode_begin(); read what is wanted with memnode_get(); if
 * memnode_unchanged(), what was read is one state of the node. Otherwise it is worthless, but safe
 * to look at: every pointer below `count` points to something that lives.
 *
 * Why this is sound: a writer's stores are releases that follow its locking of the version, and a
 * reader's loads are acquires that precede its second look at the version. So a reader that has
 * seen any new value sees, at that second look, at least the locked version. */
#ifndef VARVE_STORE_MEMNODE_H
#define VARVE_STORE_MEMNODE_H

#include <stdatomic.h>

#include "store/memkey.h"
#include "store/memtree.h"

struct memrec {
    uint64_t packed; /* sequence number << 8 | MEMREC_SUMMED or 0 | type */
    uint32_t key_len, value_len;
    uint8_t key[]; /* as memkey stores it, then the value, then u32 the entry's sum if it has one */
};
enum { MEMREC_SUMMED = 0x80 };

enum { MEMNODE_CAP = 32, MEMNODE_NEWEST_STEP = 4096 /* a power of two */ };

/* A node spans the keys from `low` on to before `high`.
 *
 * A leaf holds its entries in `recs`. An inner node holds `count` separators there, and count + 1
 * children; child c spans [recs[c - 1], recs[c]).
 *
 * words[i] is eight bytes of the key of recs[i], from byte `skip` on. Up to there low and high are
 * alike, and so are all keys between them. The words tell most keys apart without a look at the
 * records.
 *
 * `newest` lets readers pass over what is old without a look at it. A leaf's is exact, and its
 * holder's to change. That of an inner node is a multiple of MEMNODE_NEWEST_STEP: whoever is about
 * to insert raises it on the way down, beside others, before the record is there; so it seldom
 * changes.
 *
 * A slot is what lies between two neighbouring records: slot c of a leaf is [recs[c - 1], recs[c]),
 * that of an inner node is child c. In a marked tree each slot has a mark. */
struct memnode {
    _Atomic uint64_t version; /* odd: locked. Only the holder writes to the node (but `newest`) */
    _Atomic uint16_t count;
    uint16_t level; /* immutable; 0: leaf, `children` is NULL */
    _Atomic uint32_t skip;
    _Atomic(const struct memrec *) low, high; /* NULL: no bound */
    _Atomic(struct memnode *) next;           /* the right neighbour on its level */
    _Atomic(void *) *children;                /* of struct memnode; the pointer is immutable */
    _Atomic(void *) *marks;                   /* likewise; NULL if the tree is not marked */
    _Atomic uint64_t newest;                  /* no record below has a higher number */
    _Atomic uint64_t words[MEMNODE_CAP];
    _Atomic(const struct memrec *) recs[MEMNODE_CAP];
};
_Static_assert(offsetof(struct memnode, words) == ARENA_LINE, "the header fills a line");

/* Access to any field that is not immutable. */
#define memnode_get(field)        atomic_load_explicit(&(field), memory_order_acquire)
#define memnode_set(field, value) atomic_store_explicit(&(field), (value), memory_order_release)

static inline struct slice memrec_key(const struct memrec *r)
{
    return slice_of(r->key, r->key_len);
}

static inline uint64_t memrec_seq(const struct memrec *r)
{
    return r->packed >> 8;
}

static inline struct memnode *memnode_child(const struct memnode *n, uint32_t c)
{
    return memnode_get(n->children[c]);
}

/* Is `r` before (k, seq) in internal order? */
static inline bool memrec_is_before(const struct memrec *r, const struct memkey *k, uint64_t seq)
{
    int order = memkey_cmp(r->key, r->key_len, k);
    return order < 0 || (order == 0 && memrec_seq(r) > seq);
}

uint64_t memnode_wait(const struct memnode *n);

/* The version to read it at. Waits while a writer has the lock. */
static inline uint64_t memnode_begin(const struct memnode *n)
{
    uint64_t version = memnode_get(n->version);
    return version & 1 ? memnode_wait(n) : version;
}

static inline bool memnode_unchanged(const struct memnode *n, uint64_t version)
{
    return atomic_load_explicit(&n->version, memory_order_relaxed) == version;
}

/* How many of the node's records are before (k, seq). `*word` is k's word in this node. */
static inline uint32_t memnode_search(const struct memnode *n, const struct memkey *k, uint64_t seq,
                                      uint64_t *word)
{
    uint32_t at = 0, len = memnode_get(n->count), skip = memnode_get(n->skip);
    *word = skip ? memkey_word_at(k->key, skip) : k->words[0];
    while (len > 0) {
        uint32_t half = len / 2;
        uint64_t w = memnode_get(n->words[at + half]);
        bool before =
            w < *word || (w == *word && memrec_is_before(memnode_get(n->recs[at + half]), k, seq));
        at = before ? at + half + 1 : at;
        len = before ? len - half - 1 : half;
    }
    return at;
}

/* Goes from `*n` at version `*v` to its child in slot `c`. False: the node has changed, start
 * again. */
bool memnode_descend(struct memnode **n, uint64_t *v, uint32_t c);

/* What the `newest` of inner nodes has to be raised to for this number. */
static inline uint64_t memnode_step_of(uint64_t seq)
{
    return (seq + MEMNODE_NEWEST_STEP - 1) / MEMNODE_NEWEST_STEP * MEMNODE_NEWEST_STEP;
}

/* Raises `newest` of an inner node. False: the node has changed since `version`, and a half that
 * was cut off it may not have been raised. */
bool memnode_raise(struct memnode *n, uint64_t version, uint64_t newest);

/* ---- writing ---- */

struct memnode *memnode_new(const struct memtree *t, uint64_t level);
/* False: it is locked, or has changed since. */
bool memnode_lock(struct memnode *n, uint64_t version);
void memnode_unlock(struct memnode *n);

/* Under the lock, there being room: inserts record `r` at index `at`. `right` is the child that
 * follows it; NULL in a leaf. Both halves of the slot that it cuts get its mark. */
void memnode_put(struct memnode *n, uint32_t at, const struct memrec *r, struct memnode *right);
/* Under the lock: moves what is behind record `at` into a new right neighbour, which no parent
 * knows yet. A leaf's record `at` moves as well; an inner node's is left to the parent alone. */
struct memnode *memnode_cut(const struct memtree *t, struct memnode *n, uint32_t at);

/* ---- the tree ---- */

/* The root and its version. */
struct memnode *memtree_root(const struct memtree *t, uint64_t *v);

/* The node of this level with low < (k, seq) <= high, and the version at which that holds. k ==
 * NULL: the last node. */
struct memnode *memtree_reach(const struct memtree *t, const struct memkey *k, uint64_t seq,
                              uint64_t level, uint64_t *v);

#endif
