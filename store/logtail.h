/* logtail: the end of the log that is not in its file yet.
 *
 * What was acknowledged has to outlive the process. A write(2) for each record would do, but a
 * system call costs more than all the rest of a small write. So records go first into TAIL, a small
 * file that is mapped (env.h, ENV_OPEN_MAPPED) and used over and over; the kernel has them then, as
 * after a write. When it is full, or when somebody syncs, what it holds goes to the log with one
 * write, mostly as one compressed frame (journal.h, rows). After a kill TAIL goes on where the
 * log's file ends; after a power cut whatever is left of it may help and cannot mislead: frames are
 * bound to their log and offset, a row in the file stands for all that TAIL held, and nothing in
 * TAIL counts as synced.
 *
 *   TAIL: header (format.h), then `room` bytes: frames of log `number` from offset `base` on, and
 *   behind them what was there before. */
#ifndef VARVE_STORE_LOGTAIL_H
#define VARVE_STORE_LOGTAIL_H

#include "store/env.h"
#include "store/format.h"

enum { LOGTAIL_ROOM = 128 << 10 };

/* ---- writing: one thread at a time ---- */
struct logtail;

/* Opens TAIL in `dir`, which is made if need be, and forgets what it held. Any error means that
 * logs are to be written without it. */
int logtail_open(struct env *env, const char *dir, struct logtail **out);
/* Closes; also removes TAIL when it is not needed any more. NULL is fine. */
void logtail_free(struct logtail *t, bool remove);
/* From now on it holds log `number` from offset `base` on; nothing yet. 0 or an error of the file,
 * after which it holds nothing. */
int logtail_begin(struct logtail *t, uint64_t number, uint64_t base);
/* `bytes` come at base + `at`, within LOGTAIL_ROOM (asserted). On failure any part of them is
 * there. */
int logtail_put(struct logtail *t, size_t at, struct slice bytes);

/* ---- reading ---- */

/* What TAIL in `dir` holds of log `number`: appends to `*bytes` (frames, and then what does not
 * verify) what is there from `*base` on. 0; 1 when it holds nothing of this log; or an I/O error.
 */
int logtail_read(struct env *env, const char *dir, uint64_t number, uint64_t *base,
                 struct buf *bytes);
/* The same of whatever log it holds; `*number` is 0 if it holds nothing. 1: there is no TAIL, or it
 * is none. */
int logtail_read_any(struct env *env, const char *dir, uint64_t *number, uint64_t *base,
                     struct buf *bytes);
/* Does it go on, perhaps with nothing that verifies, where the `size` bytes of that log's file end?
 */
bool logtail_continues(struct env *env, const char *dir, uint64_t number, uint64_t size);

#endif
