/* paths: under which path an inode is found, in one state of the tree. */
#ifndef VARVE_FS_PATHS_H
#define VARVE_FS_PATHS_H

#include "fs/inode.h"

enum { PATHS_KEPT = 1024 };
struct paths {
    const struct store_read *read; /* borrowed */
    struct paths_kept {
        uint64_t dir; /* 0: free */
        struct buf path;
    } kept[PATHS_KEPT]; /* of folders, by hash */
    struct buf climb;
};
void paths_init(struct paths *p, const struct store_read *read);
void paths_release(struct paths *p);

/* "/a/b" of entry `name` of folder `dir`, with its NUL, replaces `out`. 0; -ENOENT: the folder is
 * not in the tree; or -EIO. */
int paths_of_entry(struct paths *p, uint64_t dir, struct slice name, struct buf *out);
/* Of a folder, or of another inode by what its record says of its name. 1: that is not known any
 * more (it has other names). */
int paths_of_inode(struct paths *p, const struct inode *n, struct buf *out);

/* Each entry of a folder: nonzero from `fn` ends it and is returned. */
typedef int paths_entry_fn(void *ctx, uint64_t dir, const struct dirent_record *d);
int paths_each_entry(const struct store_read *read, uint64_t dir, paths_entry_fn *fn, void *ctx);

#endif
