/* fuse: libfuse's low-level interface, in the one version that this program is written for
 * (libfuse 3.12 and later). */
#ifndef VARVE_MOUNT_FUSE_H
#define VARVE_MOUNT_FUSE_H

#define FUSE_USE_VERSION 312

#include <fuse_lowlevel.h>

#endif
