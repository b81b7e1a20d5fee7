/* seqlist: a persistent list of descending sequence numbers with jump pointers.
 *
 * Myers, "An applicative random-access stack" (1983): to put a number in front is O(1) and leaves
 * the old list as it was; to find the newest number below a bound is O(log n). Lists share their
 * tails. */
#ifndef VARVE_STORE_SEQLIST_H
#define VARVE_STORE_SEQLIST_H

#include "store/arena.h"

/* NULL is the empty list. Immutable, lives as long as its arena. */
struct seqlist {
    uint64_t seq;
    uint64_t length;
    const struct seqlist *rest;
    const struct seqlist *jump; /* somewhere behind `rest`, or there */
};

/* `seq` in front of `list`; it is above all numbers there (asserted). */
const struct seqlist *seqlist_push(struct arena *arena, const struct seqlist *list, uint64_t seq);
/* The newest number below `bound`, or 0. */
uint64_t seqlist_below(const struct seqlist *list, uint64_t bound);

#endif
