/* inode: attribute records, read and written. */
#ifndef VARVE_FS_INODE_H
#define VARVE_FS_INODE_H

#include "fs/txn.h"

/* 0, -ENOENT, or -EIO. `ino` is local (without snapshot bits). */
int inode_get(const struct store_read *read, uint64_t ino, struct inode *n);
void inode_put(struct txn *t, const struct inode *n);
/* A new inode of `mode`, made in `parent` (whose set-group-id is honoured), times t->now. */
void inode_new(struct txn *t, uint64_t ino, uint32_t mode, uint64_t rdev,
               const struct fs_cred *cred, const struct inode *parent, struct inode *n);
/* Everything that belongs to an inode goes: one range tombstone, and the counters. */
void inode_delete(struct txn *t, const struct inode *n);
/* `snapshot` is put into attr->ino. */
void inode_attr(const struct fs *fs, const struct inode *n, uint64_t snapshot,
                struct fs_attr *attr);
static inline bool inode_is_dir(const struct inode *n)
{
    return S_ISDIR(n->mode);
}

#endif
