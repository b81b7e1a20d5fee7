/* snapshot: the table of snapshots in memory, and the pins in the store that it mirrors. */
#ifndef VARVE_FS_SNAPSHOT_H
#define VARVE_FS_SNAPSHOT_H

#include "fs/inode.h"

int snapshot_create(struct fs *fs, const char *name);
/* One that comes into being by `make`, under the number, name and time that it is given: 0 or an
 * error. Otherwise as snapshot_create(). */
typedef int snapshot_make_fn(void *ctx, struct store_pin *pin);
int snapshot_adopt(struct fs *fs, const char *name, snapshot_make_fn *make, void *ctx);
int snapshot_delete(struct fs *fs, const char *name);
int snapshot_rename(struct fs *fs, const char *from, const char *to);
/* The number of the snapshot of that name. 0 or -ENOENT. */
int snapshot_find(struct fs *fs, const char *name, uint64_t *number);
/* Its sequence number. 0 or -ENOENT. */
int snapshot_seq(struct fs *fs, const char *name, uint64_t *seq);
/* Attributes of a snapshot's root (0: of the present's). */
int snapshot_root(struct fs *fs, uint64_t number, struct fs_attr *attr);
/* The first snapshot with a number above `after`; its name is copied (FS_NAME_MAX + 1 bytes). 0, or
 * 1 when there is none. */
int snapshot_after(struct fs *fs, uint64_t after, uint64_t *number, char *name);
size_t snapshot_count(struct fs *fs);
bool snapshot_exists(struct fs *fs, uint64_t number);

#endif
