/* throttle: holds what is written in the background down to the setting `background.rate`.
 *
 * What the foreground waits for goes before: flushes never wait, and compactions do not as long as
 * level 0 presses; what these write counts, so that the rest waits all the longer for it, but no
 * longer than a second. */
#ifndef VARVE_STORE_THROTTLE_H
#define VARVE_STORE_THROTTLE_H

#include "store/tree.h"

/* `bytes` were written since the last call of this job. Returns when the job may go on; at once if
 * it is `urgent`, if nothing is set, if the store was opened without workers, and as soon as the
 * store closes or fails, level 0 presses, or the setting is lifted. [takes lock; nothing of the
 * job's may be held] */
void throttle_take(struct tree *t, uint64_t bytes, bool urgent);

#endif
