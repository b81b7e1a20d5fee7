/* reply: see reply.h.
 *
 * Invariants:
 *  1. An inode is counted before the reply that tells of it, and the count is taken back if the
 * reply was not delivered (-ENOENT: its request was interrupted).
 *  2. Attributes of the control folders are never kept by the kernel: snapshots change them. */
#include "mount/reply.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "mount/wire.h"

struct fs_cred reply_cred(fuse_req_t req)
{
    const struct fuse_ctx *ctx = fuse_req_ctx(req);
    return (struct fs_cred){.uid = ctx->uid, .gid = ctx->gid, .umask = ctx->umask};
}

static struct timespec to_timespec(struct fs_time t)
{
    assert(t.nsec < 1000000000);
    return (struct timespec){.tv_sec = t.sec, .tv_nsec = t.nsec};
}

static struct fs_time to_fs_time(struct timespec t)
{
    return (struct fs_time){.sec = t.tv_sec, .nsec = (uint32_t)t.tv_nsec};
}

void reply_stat(const struct fs_attr *attr, struct stat *st)
{
    assert(attr->ino != 0 && (attr->mode & S_IFMT) != 0);
    *st = (struct stat){.st_ino = attr->ino,
                        .st_mode = attr->mode,
                        .st_nlink = attr->nlink,
                        .st_uid = attr->uid,
                        .st_gid = attr->gid,
                        .st_rdev = attr->rdev,
                        .st_size = (off_t)attr->size,
                        .st_blksize = (blksize_t)attr->block_bytes,
                        .st_blocks = (blkcnt_t)attr->blocks,
                        .st_atim = to_timespec(attr->atime),
                        .st_mtim = to_timespec(attr->mtime),
                        .st_ctim = to_timespec(attr->ctime)};
}

double reply_attr_timeout(uint64_t ino)
{
    return ino == FS_INO_CONTROL || ino == FS_INO_SNAPSHOTS || ino == FS_INO_AT ? 0 : REPLY_TIMEOUT;
}

void reply_entry_fill(const struct fs_attr *attr, struct fuse_entry_param *entry)
{
    *entry = (struct fuse_entry_param){.ino = attr->ino,
                                       .attr_timeout = reply_attr_timeout(attr->ino),
                                       .entry_timeout = REPLY_TIMEOUT};
    reply_stat(attr, &entry->attr);
}

unsigned reply_set(const struct stat *st, int to_set, struct fs_attr *want)
{
    static const struct {
        int kernel;
        unsigned fs;
    } bits[] = {
        {FUSE_SET_ATTR_MODE, FS_SET_MODE},
        {FUSE_SET_ATTR_UID, FS_SET_UID},
        {FUSE_SET_ATTR_GID, FS_SET_GID},
        {FUSE_SET_ATTR_SIZE, FS_SET_SIZE},
        {FUSE_SET_ATTR_ATIME, FS_SET_ATIME},
        {FUSE_SET_ATTR_MTIME, FS_SET_MTIME},
        {FUSE_SET_ATTR_CTIME, FS_SET_CTIME},
        {FUSE_SET_ATTR_ATIME_NOW, FS_SET_ATIME_NOW},
        {FUSE_SET_ATTR_MTIME_NOW, FS_SET_MTIME_NOW},
    };
    unsigned set = 0;
    assert(!(to_set & FUSE_SET_ATTR_SIZE) || st->st_size >= 0);
    for (size_t i = 0; i < sizeof bits / sizeof *bits; i++)
        if (to_set & bits[i].kernel)
            set |= bits[i].fs;
    /* "Now" comes with the plain bit, and means it. */
    if (set & FS_SET_ATIME_NOW)
        set &= ~(unsigned)FS_SET_ATIME;
    if (set & FS_SET_MTIME_NOW)
        set &= ~(unsigned)FS_SET_MTIME;
    *want = (struct fs_attr){.mode = st->st_mode,
                             .uid = st->st_uid,
                             .gid = st->st_gid,
                             .size = (uint64_t)st->st_size,
                             .atime = to_fs_time(st->st_atim),
                             .mtime = to_fs_time(st->st_mtim),
                             .ctime = to_fs_time(st->st_ctim)};
    return set;
}

/* ---- answers ---- */

void reply_status(fuse_req_t req, int err)
{
    assert(err <= 0);
    fuse_reply_err(req, -err);
}

void reply_attr(fuse_req_t req, int err, const struct fs_attr *attr)
{
    struct stat st;
    if (err < 0) {
        reply_status(req, err);
        return;
    }
    reply_stat(attr, &st);
    fuse_reply_attr(req, &st, reply_attr_timeout(attr->ino));
}

void reply_entry(fuse_req_t req, int err, const struct fs_attr *attr)
{
    struct mount *m = mount_of(req);
    struct fuse_entry_param entry;
    if (err < 0) {
        reply_status(req, err);
        return;
    }
    reply_entry_fill(attr, &entry);
    assert(entry.ino == attr->ino && entry.attr.st_ino == attr->ino);
    lookups_add(m->lookups, attr->ino);
    if (fuse_reply_entry(req, &entry) == -ENOENT)
        reply_forget(m, attr->ino, 1);
}

void reply_lookup(fuse_req_t req, int err, const struct fs_attr *attr)
{
    if (err == -ENOENT) {
        const struct fuse_entry_param nothing = {.entry_timeout = REPLY_TIMEOUT};
        fuse_reply_entry(req, &nothing);
        return;
    }
    reply_entry(req, err, attr);
}

void reply_forget(struct mount *m, uint64_t ino, uint64_t count)
{
    assert(ino != 0 && count > 0);
    if (lookups_forget(m->lookups, ino, count))
        fs_forget(m->fs, ino);
}

/* ---- memory for answers ---- */

static pthread_key_t buffer_key;
static pthread_once_t buffer_once = PTHREAD_ONCE_INIT;

static void free_buffer(void *b)
{
    buf_release(b);
    free(b);
}

static void make_buffer_key(void)
{
    int err = pthread_key_create(&buffer_key, free_buffer);
    assert(err == 0);
    (void)err;
}

void *reply_buffer(size_t size)
{
    pthread_once(&buffer_once, make_buffer_key);
    struct buf *b = pthread_getspecific(buffer_key);
    if (!b) {
        b = mem_zalloc(sizeof *b);
        pthread_setspecific(buffer_key, b);
    }
    assert(b->len == 0);
    return buf_reserve(b, size);
}

void *reply_room(size_t size)
{
    void *room = wire_room(size);
    return room ? room : reply_buffer(size);
}
