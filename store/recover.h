/* recover: from a folder of files to an open tree.
 *
 *   1. CURRENT, manifest: the last durable version.
 *   2. Logs from version.log_number on, in order, replayed into one sealed memtable each. Replay
 * ends at the first record that does not verify, or whose blob frames do not; a log that does not
 * begin where the one before ended is stale: it was cut off from history by an earlier end.
 *   3. (Unless read-only) a new manifest with this version as base; then stale logs and files that
 * nothing names are removed; names that are none of ours are left alone. A log whose beginning is
 * missing while later ones exist is damage: refused, rather than silently skipped. */
#ifndef VARVE_STORE_RECOVER_H
#define VARVE_STORE_RECOVER_H

#include "store/tree.h"

/* Fills in t->box (with the recovered memtables, all sealed), uuid, manifest, next_file, published.
 * env, dir, opt, cache, source, purge are set. `*next_seq` is the first number not used. */
int recover_run(struct tree *t, uint64_t *next_seq);

#endif
