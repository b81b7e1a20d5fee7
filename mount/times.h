/* times: the thread that writes access times, some while after they were set by reading: so no read
 * waits for it. */
#ifndef VARVE_MOUNT_TIMES_H
#define VARVE_MOUNT_TIMES_H

#include "fs/fs.h"

struct times;

/* Every so many seconds, and sooner when many wait. */
enum { TIMES_PERIOD_S = 30, TIMES_LAZY_S = 12 * 60 * 60 };

/* `period_s`: one of the above. 0 or a negative errno. */
int times_start(struct fs *fs, unsigned period_s, struct times **out);
/* Ends the thread and frees; what still waits is fs_close()'s. NULL is fine. */
void times_stop(struct times *t);
/* After anything was read: starts writing if many wait by now. Costs one load. NULL is fine. */
void times_nudge(struct times *t);

#endif
