/* reply: between the kernel's structures and those of fs.h, and the answers that every operation
 * gives. */
#ifndef VARVE_MOUNT_REPLY_H
#define VARVE_MOUNT_REPLY_H

#include "fs/fs.h"
#include "mount/fuse.h"
#include "mount/lookups.h"

struct control;
struct keeper;
struct live;
struct settle;
struct times;

/* What the operations need: libfuse's user data of the session. Constant while it is mounted. */
struct mount {
    struct fs *fs;
    struct lookups *lookups;
    struct control *control;
    struct times *times;
    struct keeper *keeper;
    struct settle *settle;
    struct fuse_session *fuse; /* to tell the kernel what has changed without its doing */
    struct live *live;         /* the files of .varve */
    bool read_only;
    bool quick_open; /* atomic: INIT may take it back; mount_opens_quickly() */
    bool allow_root; /* libfuse lets in nobody but who mounted it, and root */
};
static inline struct mount *mount_of(fuse_req_t req)
{
    return fuse_req_userdata(req);
}

/* The kernel opens without asking: nobody counts writers. */
static inline bool mount_opens_quickly(const struct mount *m)
{
    return __atomic_load_n(&m->quick_open, __ATOMIC_RELAXED);
}

/* Seconds that the kernel may keep names and attributes: nobody else changes them. */
#define REPLY_TIMEOUT 86400.0

/* Whoever made the request. */
struct fs_cred reply_cred(fuse_req_t req);

/* How long the kernel may keep the attributes of an inode. */
double reply_attr_timeout(uint64_t ino);
void reply_stat(const struct fs_attr *attr, struct stat *st);
void reply_entry_fill(const struct fs_attr *attr, struct fuse_entry_param *entry);
/* From setattr's arguments: bits of enum fs_set, with values in *want. */
unsigned reply_set(const struct stat *st, int to_set, struct fs_attr *want);

/* `err` is 0 or a negative errno. */
void reply_status(fuse_req_t req, int err);
void reply_attr(fuse_req_t req, int err, const struct fs_attr *attr);
/* Tells the kernel of an inode, and counts that. */
void reply_entry(fuse_req_t req, int err, const struct fs_attr *attr);
/* The same, but -ENOENT is said so that the kernel may remember it. */
void reply_lookup(fuse_req_t req, int err, const struct fs_attr *attr);

/* The kernel gives back `count` of its references to an inode. */
void reply_forget(struct mount *m, uint64_t ino, uint64_t count);

/* This thread's memory for answers, at least `size` bytes; good until its next call. */
void *reply_buffer(size_t size);
/* The same for an answer to a request that has no data of its own (a name, a value): from there the
 * kernel may take it without another copy. */
void *reply_room(size_t size);

#endif
