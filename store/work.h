/* work: the background steps, whoever pulls them: worker threads, store_work(), or a writer that
 * has to wait. One flush and one compaction may run at a time. */
#ifndef VARVE_STORE_WORK_H
#define VARVE_STORE_WORK_H

#include "store/tree.h"

/* Each returns 0 when it did something, 1 when there is nothing to do (or another thread does it
 * already), or an error, after which nothing has changed. -ENOSPC also sets t->out_of_space, which
 * the next success clears. */
int work_flush(struct tree *t);
int work_compact(struct tree *t);
/* One compaction of the kind that store_compact() repeats. */
int work_compact_range(struct tree *t, struct slice start, struct slice limit);
/* Should the active memtable be sealed now, though it is not full? */
bool work_wants_seal(struct tree *t);
/* Bytes and settings for picking, from the store's options. */
void work_pick_options(const struct tree *t, struct pick_options *out);

#endif
