/* iter: the cursor over internal entries that memtables, blocks, tables and levels offer, and the
 * cursor that merges several of them.
 *
 * Every move returns 0 (it stands on an entry), 1 (it ran off either end) or a negative errno.
 * After a move that did not return 0 only the seeks are allowed. `e` is the entry it stands on; its
 * slices live until the next move or iter_free(). One cursor belongs to one thread. */
#ifndef VARVE_STORE_ITER_H
#define VARVE_STORE_ITER_H

#include "store/entry.h"

struct iter;

struct iter_ops {
    int (*first)(struct iter *it);
    int (*last)(struct iter *it);
    /* To the first entry at or after (key, seq) in internal order: with seq = R - 1 that is the
     * newest version of `key` that a read at R sees, or the next key's newest. */
    int (*seek)(struct iter *it, struct slice key, uint64_t seq);
    int (*next)(struct iter *it);
    int (*prev)(struct iter *it);
    /* See iter_skip(). NULL: by steps. */
    int (*skip)(struct iter *it, uint64_t seq, struct slice end);
    void (*free)(struct iter *it);
};

/* Implementations embed this as their first member. */
struct iter {
    const struct iter_ops *ops;
    bool valid;       /* stands on an entry */
    bool warm;        /* it came out of a block that readers keep in the cache; a job's cursor */
    uint64_t stepped; /* entries that skips looked at, ever */
    struct entry e;
};

static inline int iter_first(struct iter *it)
{
    return it->ops->first(it);
}
static inline int iter_last(struct iter *it)
{
    return it->ops->last(it);
}
static inline int iter_seek(struct iter *it, struct slice key, uint64_t seq)
{
    return it->ops->seek(it, key, seq);
}
static inline int iter_next(struct iter *it)
{
    return it->ops->next(it);
}
static inline int iter_prev(struct iter *it)
{
    return it->ops->prev(it);
}
static inline void iter_free(struct iter *it)
{
    if (it)
        it->ops->free(it);
}

/* From where it stands on to the first entry that has a number of at least `seq`, or a key of at
 * least `end` (empty: there is none): what a range tombstone with that number and end leaves over.
 * Does not move if that is the entry it stands on. What is too old is passed over in large pieces
 * where the source knows how old they are. `end` may not be the cursor's own key. */
int iter_skip(struct iter *it, uint64_t seq, struct slice end);

/* To the last entry whose key is below `key` (strictly). */
int iter_seek_before(struct iter *it, struct slice key);

/* Merges `count` cursors into one in internal order; takes ownership of them (not of the array).
 * Children given first come first among entries that compare equal (which a sound store does not
 * have). Direction may change at any entry. A heap: each step costs O(log count). */
struct iter *iter_merge_new(struct iter **children, size_t count);

#endif
