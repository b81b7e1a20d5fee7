/* flush: sealed memtables become one table of level 0. */
#ifndef VARVE_STORE_FLUSH_H
#define VARVE_STORE_FLUSH_H

#include "store/tree.h"

/* Flushes the sealed memtables of the current view: the oldest, and as many more as have at most
 * `bytes` together (0: only the oldest, which takes least space) (the caller has marked t->flush as
 * running). Blob files they refer to are synced first. 0 when something was flushed, 1 when there
 * was nothing, or an error, after which nothing has changed. */
int flush_run(struct tree *t, uint64_t bytes);

#endif
