/* memtable: the newest operations, sorted, in memory.
 *
 * Point entries: a skip list in an arena, after Pugh; inserts go in parallel (compare-and-swap on
 * each level), readers take no lock. Range tombstones: a skip list of boundaries; each boundary
 * holds the numbers of all tombstones that cover [it, the next boundary), newest first, as a
 * persistent list with jump pointers (Myers, "An applicative random-access stack", 1983), so that
 * finding the newest below R is O(log n), and an insertion into ground that no tombstone touches is
 * O(log n).
 *
 * A reader at R may run beside inserts of entries with seq >= R; it sees all entries below R if the
 * caller published R (release/acquire) after they were inserted. */
#ifndef VARVE_STORE_MEMTABLE_H
#define VARVE_STORE_MEMTABLE_H

#include "store/iter.h"
#include "store/lookup.h"
#include "store/rangedel.h"

struct memtable;

struct memtable *memtable_new(void); /* one reference */
struct memtable *memtable_ref(struct memtable *m);
void memtable_unref(struct memtable *m);

/* Copies key and value. Not ENTRY_RANGE_DELETE. Any number of threads at once. */
void memtable_add(struct memtable *m, const struct entry *e);
/* One thread at a time (others may add and read), with ascending seq. start < end. */
void memtable_add_rangedel(struct memtable *m, struct slice start, struct slice end, uint64_t seq);

void memtable_get(struct memtable *m, struct lookup *l);
/* Point entries. Holds a reference on `m`. Slices live as long as the memtable. */
struct iter *memtable_iter_new(struct memtable *m);

/* As rangedel_cover(). Slices live as long as the memtable. */
void memtable_cover(struct memtable *m, struct slice key, uint64_t read_seq,
                    struct rangedel_cover *out);
/* Adds every tombstone, fragment by fragment, to `b`. Only once nothing is inserted any more
 * (sealed). */
void memtable_rangedels(struct memtable *m, struct rangedel_builder *b);

/* Arena bytes, all told; cheap. */
size_t memtable_bytes(const struct memtable *m);
uint64_t memtable_entry_count(const struct memtable *m);
uint64_t memtable_rangedel_count(const struct memtable *m); /* tombstones added */
static inline bool memtable_empty(const struct memtable *m)
{
    return memtable_entry_count(m) == 0 && memtable_rangedel_count(m) == 0;
}

#endif
