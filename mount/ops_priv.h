/* ops_priv: the handlers behind ops_table, each with libfuse's own contract of <fuse_lowlevel.h>.
 */
#ifndef VARVE_MOUNT_OPS_PRIV_H
#define VARVE_MOUNT_OPS_PRIV_H

#include "mount/ops.h"
#include "mount/reply.h"

/* ops_name.c */
void ops_lookup(fuse_req_t req, fuse_ino_t dir, const char *name);
void ops_mknod(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode, dev_t rdev);
void ops_create(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode,
                struct fuse_file_info *fi);
void ops_mkdir(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode);
void ops_symlink(fuse_req_t req, const char *target, fuse_ino_t dir, const char *name);
void ops_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t dir, const char *name);
void ops_unlink(fuse_req_t req, fuse_ino_t dir, const char *name);
void ops_rmdir(fuse_req_t req, fuse_ino_t dir, const char *name);
void ops_rename(fuse_req_t req, fuse_ino_t dir, const char *name, fuse_ino_t new_dir,
                const char *new_name, unsigned flags);
void ops_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count);
void ops_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets);

/* ops_attr.c */
void ops_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ops_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *st, int to_set,
                 struct fuse_file_info *fi);
void ops_readlink(fuse_req_t req, fuse_ino_t ino);
void ops_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t len,
                  int flags);
void ops_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void ops_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size);
void ops_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name);
void ops_statfs(fuse_req_t req, fuse_ino_t ino);
/* Work on the whole volume is for the owner of the mounted folder, and root. 0, -EPERM, or another
 * error. */
int ops_may_order(fuse_req_t req);
/* Takes the set-id bits away that a write or a change of owner by this caller takes away, if the
 * file has any. 0 or an error. */
int ops_drop_suid(fuse_req_t req, uint64_t ino);

/* ops_file.c */
void ops_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ops_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ops_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi);
void ops_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
               struct fuse_file_info *fi);
void ops_fsync(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi);

/* ops_space.c */
/* May the kernel hold data of this inode that it has not written back? */
bool ops_may_hold(struct mount *m, uint64_t ino);
void ops_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence, struct fuse_file_info *fi);
void ops_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t len,
                   struct fuse_file_info *fi);
void ops_copy_file_range(fuse_req_t req, fuse_ino_t from, off_t from_offset,
                         struct fuse_file_info *from_fi, fuse_ino_t to, off_t to_offset,
                         struct fuse_file_info *to_fi, size_t len, int flags);

/* ops_ioctl.c */
void ops_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned number, void *arg,
               struct fuse_file_info *fi, unsigned flags, const void *in, size_t in_size,
               size_t out_size);

/* ops_live.c: requests about the files of .varve (live.h), for which the handlers above call these.
 */
/* Answers, if it is one of them; false: it is not. */
bool ops_live_lookup(fuse_req_t req, uint64_t dir, const char *name);
/* Of a node that live_is(): */
void ops_live_getattr(fuse_req_t req, uint64_t node);
void ops_live_setattr(fuse_req_t req, uint64_t node, unsigned set);
void ops_live_open(fuse_req_t req, uint64_t node, struct fuse_file_info *fi);
void ops_live_read(fuse_req_t req, uint64_t node, size_t size, off_t offset);
void ops_live_write(fuse_req_t req, uint64_t node, const char *data, size_t size, off_t offset);

/* ops_dir.c */
void ops_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ops_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                 struct fuse_file_info *fi);
void ops_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                     struct fuse_file_info *fi);

#endif
