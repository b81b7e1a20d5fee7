/* orphan: inodes without a name. Listed in the store, so that the next mount finds those that a
 * crash left behind. */
#ifndef VARVE_FS_ORPHAN_H
#define VARVE_FS_ORPHAN_H

#include "fs/inode.h"

/* Deletes an inode that has been taken out of the set (orphan_take()). A failure puts it back, to
 * be tried at the next occasion. */
void orphan_delete(struct fs *fs, uint64_t ino);
/* Tries to delete all that are in the set. What cannot be deleted stays in it. */
void orphan_sweep(struct fs *fs);

#endif
