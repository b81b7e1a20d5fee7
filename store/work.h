/* work: the background steps, whoever pulls them: worker threads, store_work(), or a writer that
 * has to wait. One flush and one compaction may run at a time.
 *
 * What fails for want of space, or for a disk that fails, is tried again by workers, after a pause
 * that doubles from 1 s to 32 s. A compaction that meets damage (-EIO) is not: its inputs are
 * parked until the store is opened again, and everything else goes on. */
#ifndef VARVE_STORE_WORK_H
#define VARVE_STORE_WORK_H

#include "store/job.h"

/* Full tables that the highest level in use may have at least. */
enum { WORK_BASE_TABLES = 4 };

/* Each returns 0 when it did something, 1 when there is nothing to do (or another thread does it
 * already), or an error, after which nothing has changed. */
int work_flush(struct tree *t);
int work_compact(struct tree *t);
/* Heals a blob file (heal.h). */
int work_heal(struct tree *t);
/* One compaction of the kind that store_compact() repeats; waits for one that runs to end first.
 * `*bytes` is what it read; `watch`, which is asked while it waits too, as in job.h. */
int work_compact_range(struct tree *t, struct slice start, struct slice limit,
                       const struct job_watch *watch, uint64_t *bytes);
/* Is a worker to try it now, or is there a pause after a failure? [lock held] */
bool work_due(const struct tree *t, const struct tree_work *w);
/* Should the active memtable be sealed now, though it is not full? */
bool work_wants_seal(struct tree *t);

/* What the largest compaction that may come up needs to be free before it begins. */
uint64_t work_space_needed(struct tree *t);
/* How much of the free space is for ordinary writes: not the reserve, and not what flushing the
 * memtables and the largest compaction of level 0 may take before they give anything back. So a
 * volume that is full can be emptied. */
uint64_t work_space_usable(struct tree *t, const struct env_space *space);

#endif
