/* checkpoint: a store of its own in another folder that holds what this one holds, made of links to
 * its files while it goes on.
 *
 * Order of writes: the folder, its lock, a marker that says "unfinished"; links, or synced copies
 * where links cannot be had, and a copy of KEYS; the folder synced; a manifest that names them, and
 * then CURRENT; the marker removed; the folder and its parent synced. Whatever ends it before
 * leaves a folder without CURRENT, or with the marker, and neither is opened.
 *
 * What two stores share is never written to by either: tables and blob files are named by a version
 * only when they are finished, the active blob file is named by none, and recovery only reads what
 * is there. Files that are shared must not be punched: see purge.h. */
#ifndef VARVE_STORE_CHECKPOINT_H
#define VARVE_STORE_CHECKPOINT_H

#include "store/tree.h"

/* Makes `dir`, which is made or must be empty, a store with the contents of `v`, a version of `t`:
 * all of it, with its pins (`cut_seq` 0), or what was there below `cut_seq`, the number of a pin of
 * `v`, with that pin and those before it. `v` is kept by the caller. 0, -ENOTEMPTY, or another
 * error, after which nothing is left as far as it can be removed. */
int checkpoint_make(struct tree *t, const struct version *v, uint64_t cut_seq, const char *dir,
                    struct store_checkpoint *out);

/* (checkpoint_contents.c) Adds to `e`, which has its uuid, numbers of files and log already, all
 * that makes a version with the contents of `v`: all of them, or those below `cut_seq`. */
void checkpoint_contents(const struct version *v, uint64_t cut_seq, struct edit *e);

#endif
