/* rekey: carrying a store over to a new generation of the key. store_keys_rotate() starts one while
 * the store is closed; from the next opening on all new files are encrypted with it. Compaction
 * rewrites what is of older generations (compact_pick_rekey.c), and when nothing is left of them
 * their master keys are dropped from KEYS. */
#ifndef VARVE_STORE_REKEY_H
#define VARVE_STORE_REKEY_H

#include "store/tree.h"

/* The generation that tables should have; 0: there is only one, or the store is not encrypted. */
uint32_t rekey_epoch(const struct tree *t);
/* Fills in what store_stats tells of keys, of the view `v`. */
void rekey_stats(const struct tree *t, const struct view *v, struct store_stats *out);
/* Drops the older generations if nothing is left of them: no table, blob file or memtable, and the
 * header of every file in the folder says so. 0 when they were dropped, 1 when there is nothing to
 * drop, or something is left, or another thread is at it; or an error of writing KEYS (logged;
 * tried again later). */
int rekey_finish(struct tree *t);

#endif
