/* drop: takes the tables that lie within a range of deleted keys out of the version, unread. */
#ifndef VARVE_STORE_DROP_H
#define VARVE_STORE_DROP_H

#include "store/tree.h"

/* [start, limit) is hidden by a range tombstone that would survive a power cut, and whose number is
 * at least `from_seq` and below `upto_seq`. Every table that lies within, has nothing from
 * `from_seq` on, and of which no pin below `upto_seq` sees anything, leaves in one edit; its values
 * in blob files become garbage. Tables that a job reads are left to the tombstone. 0, with what
 * went (nothing, maybe), or an error, after which nothing has changed. */
int drop_tables(struct tree *t, struct slice start, struct slice limit, uint64_t from_seq,
                uint64_t upto_seq, struct store_dropped *out);

#endif
