/* xattr: extended attributes, one key each. */
#ifndef VARVE_FS_XATTR_H
#define VARVE_FS_XATTR_H

#include "fs/inode.h"

/* 0 for a name that may be set: user., trusted. or security. and something behind it, up to 255
 * bytes. -EOPNOTSUPP, -EINVAL, -ERANGE. */
int xattr_check_name(const char *name);
/* As fs_getxattr() and fs_listxattr(). */
int xattr_get(const struct reader *r, uint64_t ino, const char *name, void *value, size_t size,
              size_t *len);
int xattr_list(const struct reader *r, uint64_t ino, char *names, size_t size, size_t *len);
/* As fs_setxattr() and fs_removexattr(), without the inode's ctime. */
int xattr_set(struct txn *t, uint64_t ino, const char *name, struct slice value, int flags);
int xattr_remove(struct txn *t, uint64_t ino, const char *name);

#endif
