/* guard: a small process beside the daemon, which cuts the mount's connection should the daemon be
 * killed and be unable to end: otherwise all that use the mount would wait for ever. Process-wide.
 */
#ifndef VARVE_MOUNT_GUARD_H
#define VARVE_MOUNT_GUARD_H

#include "mount/passphrase.h"

/* Borrowed until guard_start() returns. */
struct guard_task {
    const char *volume, *mount_dir; /* absolute paths, as /proc/self/mountinfo has them */
    const char *log_path;           /* where the guard's messages go; NULL: the system log */
    struct passphrase *passphrase;  /* wiped in the guard, which needs none */
};

/* Starts it: in the main thread, before others are started, and in a process that has left its
 * folder. If it cannot be started that is logged, and the functions below do nothing. */
void guard_start(const struct guard_task *t);
/* The mount is there, and has a connection to cut. Before other threads run. With `rings` no core
 * is dumped should the daemon crash. */
void guard_mounted(const char *mount_dir, bool rings);
/* Ends it, and waits until it has ended: when the connection is closed, or was never made. */
void guard_end(void);

#endif
