/* inode: attribute records, read and written. */
#ifndef VARVE_FS_INODE_H
#define VARVE_FS_INODE_H

#include "fs/txn.h"

/* 0, -ENOENT, or -EIO. `ino` is local (without snapshot bits). */
int inode_get(const struct store_read *read, uint64_t ino, struct inode *n);
/* Also counts what has changed of it since inode_get() or inode_new() towards its limit. */
void inode_put(struct txn *t, struct inode *n);
/* Makes it count towards the limit that things made in `folder` do, on its way there. A file with
 * several names leaves a limit behind by name only. -EXDEV: it is a folder with contents, which
 * would have to come along, or a file with several names that would come under another limit. */
int inode_enter(struct inode *n, const struct inode *folder);
/* A new inode of `mode`, made in `parent` (whose set-group-id is honoured), times t->now. */
void inode_new(struct txn *t, uint64_t ino, uint32_t mode, uint64_t rdev,
               const struct fs_cred *cred, const struct inode *parent, struct inode *n);
/* Everything that belongs to an inode goes: one range tombstone, and the counters. */
void inode_delete(struct txn *t, const struct inode *n);
/* Bytes that it takes before compression, as stat(2) tells them. */
uint64_t inode_bytes(const struct fs *fs, const struct inode *n);
/* `snapshot` is put into attr->ino. */
void inode_attr(const struct fs *fs, const struct inode *n, uint64_t snapshot,
                struct fs_attr *attr);
static inline bool inode_is_dir(const struct inode *n)
{
    return S_ISDIR(n->mode);
}

#endif
