/* memtree: entries in internal order, in memory, growing only: what a memtable is made of.
 *
 * A B+-tree under optimistic lock coupling (Leis, Haubenschild, Neumann, "Optimistic Lock Coupling:
 * A Scalable and Efficient General-Purpose Synchronization Method", 2019). Each node has a version
 * counter. A reader takes no lock and writes nothing: it reads a node and then makes sure that the
 * version has not moved. A writer locks the one node that it changes; a split locks its parents as
 * well, upwards. Nothing is removed before the arena is, so whatever a reader comes across is sound
 * memory. docs/decisions/0007-memtable-tree.md says why it is not a skip list. */
#ifndef VARVE_STORE_MEMTREE_H
#define VARVE_STORE_MEMTREE_H

#include <stdatomic.h>

#include "store/arena.h"
#include "store/entry.h"

struct memnode; /* opaque, as is an entry in its place: */
struct memrec;

struct memtree {
    struct arena *arena;
    bool marked;
    _Atomic(struct memnode *) root;
    uint64_t id; /* unlike any other tree's, ever */
};

/* Allocates in `arena`, which outlives the tree; nothing is to be released. `marked`: see below. */
void memtree_init(struct memtree *t, struct arena *arena, bool marked);

/* Copies key and value. No entry with this key and number may be there (e->seq > 0). Any number of
 * threads at once. A thread that inserts close to where it did before is fast. */
const struct memrec *memtree_insert(struct memtree *t, const struct entry *e);

/* The slices live as long as the arena. The sum is the one that it was inserted with. */
void memrec_entry(const struct memrec *r, struct entry *e);

/* Asserts every invariant of the tree. Not beside memtree_insert(). */
void memtree_assert_valid(const struct memtree *t);

/* ---- positions ---- */

/* Stands on an entry; stays good whatever is inserted. */
struct memtree_pos {
    const struct memrec *rec;
    const struct memnode *leaf; /* where it was, at index `index`, when the leaf had this version */
    uint64_t version;
    uint32_t index;
};

/* All return false when there is no such entry; `*pos` is then of no use. A reader that was told of
 * a sequence number after the entries below it were inserted finds all those. */
bool memtree_first(const struct memtree *t, struct memtree_pos *pos);
bool memtree_last(const struct memtree *t, struct memtree_pos *pos);
/* The first entry at or after (key, seq) in internal order. */
bool memtree_seek(const struct memtree *t, struct slice key, uint64_t seq, struct memtree_pos *pos);
/* The same, but only if it has this very key: cheaper than memtree_seek() when it has not. */
bool memtree_find(const struct memtree *t, struct slice key, uint64_t seq, struct memtree_pos *pos);
bool memtree_next(const struct memtree *t, struct memtree_pos *pos);
bool memtree_prev(const struct memtree *t, struct memtree_pos *pos);

/* On to the first entry, from the one that it stands on, with a number of at least `seq`, or with a
 * key of at least `end` (empty: there is no end). Passes over what is older in whole leaves and
 * nodes; adds to `*stepped` how many entries were looked at. */
bool memtree_skip(const struct memtree *t, uint64_t seq, struct slice end, struct memtree_pos *pos,
                  uint64_t *stepped);

/* ---- marks ----
 *
 * In a marked tree each interval between neighbouring keys carries pointers of the caller's: one at
 * each level of the tree, NULL at first, for the stretch that the node's slot spans. An interval
 * that is split by a new key hands on its marks to both halves. So a stretch of n intervals is
 * marked in O(log n) places. Inserting into a marked tree and marking are for one thread at a time;
 * reading is for all. */

enum { MEMTREE_LEVELS_MAX = 48 };

/* Returns what is to stand in place of `mark`. */
typedef void *memtree_mark_fn(void *ctx, void *mark);

/* Replaces marks such that every interval in [start, end) has exactly one of its marks replaced,
 * and no other interval has. Both are keys of the tree. */
void memtree_mark(struct memtree *t, struct slice start, struct slice end, memtree_mark_fn *fn,
                  void *ctx);

/* The marks over `key` that are not NULL, in no order, and the interval that it is in: from the
 * last key at or before it to the first after it; empty if there is none. Returns how many marks
 * there are. */
unsigned memtree_marks(const struct memtree *t, struct slice key, void *marks[MEMTREE_LEVELS_MAX],
                       struct slice *lo, struct slice *hi);

#endif
