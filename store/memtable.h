/* memtable: the newest operations, sorted, in memory.
 *
 * Point entries are in a B+-tree in an arena (memtree.h): inserts go in parallel, readers take no
 * lock. The ends of range tombstones are in another one, whose intervals carry the numbers of the
 * tombstones that cover them, newest first, as persistent lists with jump pointers (tombstones.h):
 * adding one is O(log n) whatever it overlaps, and so is finding the newest below R.
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

/* From now on entries are kept with a sum, which is verified whenever one is read (entry.h). Before
 * anything is added. Range tombstones have none. */
void memtable_sum_entries(struct memtable *m);
/* Was an entry met that had changed? Its log is all that has the right one. */
bool memtable_is_damaged(const struct memtable *m);

/* Copies key and value. Not ENTRY_RANGE_DELETE. Any number of threads at once. */
void memtable_add(struct memtable *m, const struct entry *e);
/* One thread at a time (others may add and read), with ascending seq. start < end. */
void memtable_add_rangedel(struct memtable *m, struct slice start, struct slice end, uint64_t seq);

/* 0, or -EIO raised by corrupt(): an entry has changed in memory. */
int memtable_get(struct memtable *m, struct lookup *l);
/* Point entries; -EIO as memtable_get(). Holds a reference on `m`. Slices live as long as the
 * memtable. */
struct iter *memtable_iter_new(struct memtable *m);

/* As rangedel_cover(). Slices live as long as the memtable. */
void memtable_cover(struct memtable *m, struct slice key, uint64_t read_seq,
                    struct rangedel_cover *out);
/* Adds every tombstone to `b`. Only once nothing is inserted any more
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
