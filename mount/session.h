/* session: the threads that take requests from the kernel and hand them to libfuse.
 *
 * A loop of our own instead of fuse_session_loop_mt(): the threads are fixed, they can be told to
 * end without a race, and session_quiesce() can wait until every request that has been read is
 * done. */
#ifndef VARVE_MOUNT_SESSION_H
#define VARVE_MOUNT_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "mount/fuse.h"
#include "mount/rings.h"

struct session;

/* Sees each request before libfuse does. True: it has answered it. */
typedef bool session_raw_fn(void *ctx, struct fuse_session *se, const void *data, size_t len);
/* Starts `threads` workers on a mounted session, and one for each of `rings` (NULL: there are
 * none), which both stay the caller's. `raw` may be NULL. 0 or a negative errno. */
int session_start(struct fuse_session *se, unsigned threads, struct rings *rings,
                  session_raw_fn *raw, void *ctx, struct session **out);
/* Returns when all workers have ended: the file system was taken down, or session_stop() was
 * called. */
void session_wait(struct session *s);
/* Lets each worker end after the request that it has in hand, and returns when they have. Does not
 * take the mount down. */
void session_stop(struct session *s);
/* After session_wait(), when no other thread uses the session any more. */
void session_free(struct session *s);
/* Has the kernel forget what it has cached of an inode's contents; what it had not written back of
 * it is written before, and answered when this returns. Needs running workers; must not
 * be called by one. */
void session_drop_pages(struct session *s, uint64_t ino);
/* Returns when every request that any worker had read before the call has been handled. Must not be
 * called by a worker. */
void session_quiesce(struct session *s);

#endif
