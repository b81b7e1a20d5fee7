/* ops: the requests of the kernel, unpacked, handed to fs.h, and answered. No file-system logic. */
#ifndef VARVE_MOUNT_OPS_H
#define VARVE_MOUNT_OPS_H

#include "mount/fuse.h"

/* For fuse_session_new(); its user data is a struct mount (reply.h). */
extern const struct fuse_lowlevel_ops ops_table;

#endif
