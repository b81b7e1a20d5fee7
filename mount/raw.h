/* raw: requests of the kernel that libfuse 3.14 does not know, served from their bytes:
 *
 *   FUSE_SYNCFS (protocol 7.34)  everything that the daemon has is made durable
 *   FUSE_TMPFILE (7.37)          open(2) with O_TMPFILE
 *   FUSE_STATX (7.39)            statx(2) that asks for the time of birth
 *
 * The rest of that kind is libfuse's to refuse, which makes the kernel do without. */
#ifndef VARVE_MOUNT_RAW_H
#define VARVE_MOUNT_RAW_H

#include "mount/reply.h"

/* One request, as it was read; the answer goes to `fd`. False: it is none of these, and libfuse's
 * to handle. */
bool raw_serve(struct mount *m, int fd, const void *data, size_t len);

#endif
