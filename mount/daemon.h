/* daemon: mounts a volume and serves it, in the background or not, until it is taken down. */
#ifndef VARVE_MOUNT_DAEMON_H
#define VARVE_MOUNT_DAEMON_H

#include "mount/options.h"
#include "mount/passphrase.h"

struct daemon_config {
    char *volume; /* absolute paths without links */
    char *mount_dir;
    bool foreground;
    struct options_mount options;
    struct passphrase passphrase; /* wiped in every process as soon as it is not needed */
};

/* Tells what stands against mounting there, before anything is opened: 0, or an exit status
 * (tell.h). A dead mount of ours on the mount point is taken down. */
int daemon_check(const struct daemon_config *c);

/* In the foreground: returns when the mount was taken down and everything is on disk. In the
 * background: forks; the caller's process returns when the mount answers, or when it failed (it has
 * been told why); the other returns at the end as above. The result is the exit status of the
 * process that it returns in. No threads may run before. */
int daemon_mount(struct daemon_config *c);

#endif
