/* mounts: what is mounted where (/proc/self/mountinfo), and taking it down. */
#ifndef VARVE_MOUNT_MOUNTS_H
#define VARVE_MOUNT_MOUNTS_H

#include <stdbool.h>
#include <stddef.h>

/* The type that the kernel shows for our mounts. */
#define MOUNTS_TYPE "fuse.varvefs"

struct mount_point {
    unsigned major, minor;
    char *root;   /* what of the file system is mounted: "/" unless it is a bind mount */
    char *dir;    /* where */
    char *type;   /* "ext4", "fuse.varvefs" */
    char *source; /* of our mounts: the volume, an absolute path */
};
void mounts_release(struct mount_point *m);

/* These return 0 with *out (for mounts_release()), 1 when there is none, or a negative errno. Paths
 * are absolute and without links. Of several mounts on one place, the topmost. */
int mounts_at(const char *dir, struct mount_point *out);
/* The mount that `path` is in. */
int mounts_around(const char *path, struct mount_point *out);
/* The mount of the whole file system that `m` is a part of; m itself, unless m is a bind mount. */
int mounts_whole(const struct mount_point *m, struct mount_point *out);
/* The mount of this volume. */
int mounts_of_volume(const char *volume, struct mount_point *out);

bool mounts_is_ours(const struct mount_point *m);
/* Is the daemon behind the mount gone ("Transport endpoint is not connected")? */
bool mounts_is_dead(const char *dir);

/* Takes the topmost mount on `dir` down: as root by umount2(2), otherwise by fusermount3. `lazy`:
 * also while it is in use. 0, -EBUSY, -EPERM, -ENOENT (no fusermount3) or another errno. */
int mounts_unmount(const char *dir, bool lazy);

/* The absolute path without links of what exists; of a path whose last part does not exist or
 * cannot be asked (a dead mount), the real path of its parent and that name. The caller frees it.
 * NULL, with errno. */
char *mounts_real_path(const char *path);

#endif
