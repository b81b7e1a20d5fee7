/* settle: the thread for requests that have to wait until the kernel has written back what it holds
 * of one file.
 *
 * A file that is renamed over another while it is still open has its contents in the kernel's
 * cache, perhaps all of them: were the name changed first, a crash could leave it empty. The kernel
 * is asked by the inode's number and not through a path (control.h), since the folders of a rename
 * are locked there until it is answered, and for one file alone, since its user waits. */
#ifndef VARVE_MOUNT_SETTLE_H
#define VARVE_MOUNT_SETTLE_H

#include "mount/session.h"

struct settle;

struct settle *settle_new(void);
/* Starts the thread, once the session runs. 0 or a negative errno. */
int settle_start(struct settle *t, struct session *s);
/* Finishes the request in hand, refuses the others (-ENOTCONN), ends the thread. Needs running
 * workers, or a dead connection. May be called twice, and without a thread. */
void settle_stop(struct settle *t);
void settle_free(struct settle *t);

/* `fn` answers the request, or hands it over again; it owns `args`, which is malloc'd. */
typedef void settle_fn(fuse_req_t req, void *args);
/* Has the kernel write back what it holds of the inode, and forget it; then calls `fn`, later and
 * from the thread. The kernel may hold locks of the inode and of its folders meanwhile. */
void settle_first(struct settle *t, fuse_req_t req, uint64_t ino, settle_fn *fn, void *args);

#endif
