/* fs_priv: what the parts of the door share. */
#ifndef VARVE_FS_FS_PRIV_H
#define VARVE_FS_FS_PRIV_H

#include "fs/inode.h"

/* A reader and the record of `ino`, which must not be a virtual one. 0: the caller ends the reader;
 * -ENOENT, -ESTALE, -EIO. */
int fs_begin_read(struct fs *fs, uint64_t ino, struct reader *r, struct inode *n);
/* May this inode be changed? 0, -EROFS, -EPERM. */
int fs_check_change(uint64_t ino);
/* A transaction on one inode, locked and read. 0: the caller ends it; else as fs_check_change(),
 * -ENOENT, -EIO. */
int fs_begin_change(struct fs *fs, uint64_t ino, struct txn *t, struct inode *n);

#endif
