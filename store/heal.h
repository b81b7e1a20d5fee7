/* heal: gives files that had to be repaired while they were read (care.h) a sound form again.
 *
 * A table is rewritten by a compaction (compact_pick.h): heal_mark() tells it which. A blob file,
 * which many tables refer to by number and offset, is written anew with the bytes that it had:
 * every shard from the file or from parity, each proved by its checksum; the copy, synced, takes
 * the old one's name by rename. So a crash leaves one or the other, both with the same contents;
 * readers that have the old one open go on with it. */
#ifndef VARVE_STORE_HEAL_H
#define VARVE_STORE_HEAL_H

#include "store/tree.h"

/* Marks the tables of `v` that are to be healed, and forgets the files that `v`, the current
 * version, does not have any more. */
void heal_mark(struct tree *t, struct version *v);
/* Heals one blob file. 0 when it did, 1 when there is none to heal, or an error (-ENOSPC, ...): it
 * will be tried again. A file that cannot be healed is logged and left in the list. */
int heal_step(struct tree *t);

#endif
