/* dir: directory entries in slots (fs/format.h says where a name stands). */
#ifndef VARVE_FS_DIR_H
#define VARVE_FS_DIR_H

#include "fs/inode.h"

struct dirent {
    uint64_t ino;
    uint8_t type;
    uint64_t slot;
};
/* Finds `name`. 0, -ENOENT, -EIO. `dir` tells whether displaced entries have to be looked for. */
int dir_find(const struct fs *fs, const struct store_read *read, const struct inode *dir,
             const char *name, struct dirent *out);
/* Adds an entry that is not there (the caller has looked), in slot t->slot. Changes *dir: size
 * (entry count), times, INODE_DISPLACED; the caller puts it. -ENOSPC when all slots that the name
 * may have are taken. */
int dir_insert(struct txn *t, struct inode *dir, const char *name, uint64_t ino, uint32_t mode);
/* Removes the entry in that slot; changes *dir likewise. */
void dir_remove(struct txn *t, struct inode *dir, const struct dirent *entry);
/* Lets the entry in that slot name another inode. */
void dir_replace(struct txn *t, struct inode *dir, const struct dirent *entry, const char *name,
                 uint64_t ino, uint32_t mode);
/* fs_readdir() of a real folder. */
int dir_list(struct reader *r, const struct inode *dir, uint64_t cookie, bool with_attr,
             fs_dirent_fn *fn, void *ctx);
/* 0 for 1 to FS_NAME_MAX bytes that are a name; -ENAMETOOLONG, -EINVAL, -ENOENT (empty). */
int dir_check_name(const char *name);

#endif
