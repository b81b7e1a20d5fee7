/* virtual: /.varve, /.varve/snapshots and /.varve/at, folders that exist in no record: looked up,
 * listed, and used as commands. */
#ifndef VARVE_FS_VIRTUAL_H
#define VARVE_FS_VIRTUAL_H

#include "fs/dir.h"

static inline bool ino_is_virtual(uint64_t ino)
{
    return ino == FS_INO_CONTROL || ino == FS_INO_SNAPSHOTS || ino == FS_INO_AT;
}
/* Is (dir, name) the control folder's own name? */
bool virtual_is_control(uint64_t dir, const char *name);

int virtual_getattr(struct fs *fs, uint64_t ino, struct fs_attr *attr);
int virtual_lookup(struct fs *fs, uint64_t dir, const char *name, struct fs_attr *attr);
int virtual_readdir(struct fs *fs, uint64_t dir, uint64_t cookie, bool with_attr, fs_dirent_fn *fn,
                    void *ctx);

#endif
