/* tombstones: the range tombstones of a memtable.
 *
 * The ends of all tombstones are the keys of a marked memtree, which they cut into intervals. The
 * marks are seqlists: those over a key hold the numbers of all tombstones that cover it. To add one
 * is O(log n), however many others it overlaps; so is to find the newest over a key that a read at
 * R sees. */
#ifndef VARVE_STORE_TOMBSTONES_H
#define VARVE_STORE_TOMBSTONES_H

#include "store/memtree.h"
#include "store/rangedel.h"

struct tombstone; /* opaque: one as it was added */

struct tombstones {
    struct arena *arena;
    struct memtree ends;
    _Atomic uint64_t oldest_seq; /* 0: there is no tombstone */
    _Atomic uint64_t count;
    const struct tombstone
        *newest; /* the adding thread's; anyone's when nothing is added any more */
};

/* Allocates in `arena`, which outlives it; nothing has to be released. */
void tombstones_init(struct tombstones *t, struct arena *arena);

/* One thread at a time, with ascending seq (asserted); start < end. Copies. */
void tombstones_add(struct tombstones *t, struct slice start, struct slice end, uint64_t seq);

/* The newest tombstone over `key` with a number below `read_seq`, or 0. May run beside
 * tombstones_add() of numbers that are not below. One load if there is none, or none that old. */
uint64_t tombstones_seq(const struct tombstones *t, struct slice key, uint64_t read_seq);
/* The same as rangedel_cover(). The slices live as long as the arena. */
void tombstones_cover(const struct tombstones *t, struct slice key, uint64_t read_seq,
                      struct rangedel_cover *out);

/* Adds all of them to `b`. Not beside tombstones_add(). */
void tombstones_collect(const struct tombstones *t, struct rangedel_builder *b);
uint64_t tombstones_count(const struct tombstones *t);

#endif
