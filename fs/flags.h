/* flags: what immutable, append-only and no-dump inodes forbid and pass on: the rules that the
 * kernel and ext4 have for them. Each check is 0 or -EPERM.
 *
 * That an append-only file is written only at its end is the opener's promise (fs_check_open()): a
 * cache above writes whole pages, also those that begin in what was there before. */
#ifndef VARVE_FS_FLAGS_H
#define VARVE_FS_FLAGS_H

#include "fs/inode.h"

/* Writing to a file; `keeps`: no byte that is there changes. */
int flags_check_data(const struct inode *n, bool keeps);
/* fs_setattr() with these bits. */
int flags_check_set(const struct inode *n, unsigned set);
/* Setting and removing extended attributes, and linking. */
int flags_check_fixed(const struct inode *n);
/* A new name in `dir`. */
int flags_check_make(const struct inode *dir);
/* The name of `n` in `dir` goes, or stands for another. */
int flags_check_remove(const struct inode *dir, const struct inode *n);

#endif
