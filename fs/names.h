/* names: operations on names in real folders of the present. Arguments have been checked: numbers
 * are local inodes, not virtual ones; names pass dir_check_name(). */
#ifndef VARVE_FS_NAMES_H
#define VARVE_FS_NAMES_H

#include "fs/dir.h"

int names_lookup(struct reader *r, uint64_t dir, const char *name, struct inode *n);
/* `target`: of a symbolic link, otherwise NULL. */
int names_make(struct fs *fs, uint64_t dir, const char *name, uint32_t mode, uint64_t rdev,
               const char *target, const struct fs_cred *cred, struct inode *made);
/* fs_tmpfile() */
int names_make_unnamed(struct fs *fs, uint64_t dir, uint32_t mode, bool linkable,
                       const struct fs_cred *cred, struct inode *made);
int names_link(struct fs *fs, uint64_t ino, uint64_t dir, const char *name, struct inode *n);
int names_unlink(struct fs *fs, uint64_t dir, const char *name);
int names_rmdir(struct fs *fs, uint64_t dir, const char *name);
/* Locks folder and entry together, and reads them: as they were when the locks had been taken. The
 * caller ends `t`, also after an error. */
int names_lock_entry(struct txn *t, uint64_t dir, const char *name, struct inode *folder,
                     struct dirent *entry, struct inode *n);

/* ---- rename.c ---- */
/* fs_rename_with() */
int names_rename(struct fs *fs, uint64_t dir, const char *name, uint64_t new_dir,
                 const char *new_name, const struct fs_rename_how *how);
/* Takes one link off `n` and puts it; the last makes it an orphan (the caller adds it to the set
 * once that is committed). */
void names_drop_link(struct txn *t, struct inode *n);

#endif
