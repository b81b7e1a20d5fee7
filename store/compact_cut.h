/* compact_cut: where a job may be cut into parts that run side by side. */
#ifndef VARVE_STORE_COMPACT_CUT_H
#define VARVE_STORE_COMPACT_CUT_H

#include "store/compact_pick.h"

enum { COMPACT_PARTS_MAX = 4 };

/* Keys that cut the inputs of `p` into up to `wanted` (at most COMPACT_PARTS_MAX) parts of about
 * the same size: part i has the keys from cuts[i - 1] on and below cuts[i]. A key that is in the
 * inputs lies in one part with all its versions, whatever the cuts are. Returns the number of
 * parts; cuts[0] to cuts[parts - 2] are filled in, ascending, and differ; they are the caller's to
 * release. Opens the inputs: one that does not open (raised) makes it a single part. */
uint32_t compact_cut(const struct pick *p, uint32_t wanted, struct buf cuts[COMPACT_PARTS_MAX - 1]);

/* A key of the span of `p`, which need not exist, below which lie some of its inputs, but no more
 * than `bytes_max`, and at least about half of that if any key has it so. Returns 0; 1 when there
 * is none; or an error of opening the inputs (raised). */
int compact_cut_below(const struct pick *p, uint64_t bytes_max, struct buf *key);

#endif
