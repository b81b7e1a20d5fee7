/* raw: see raw.h. The structures are the kernel's (<linux/fuse.h>); what newer headers than we
 * build with would have stands here under names of our own.
 *
 * Invariants:
 *  1. A request is answered once, whatever it holds. An answer that is not taken (-ENOENT: the
 * request was interrupted, or the mount is gone) is as if it had not been given.
 *  2. Nothing outside of the request's bytes is read: the kernel is trusted, but a newer one may
 * send longer structures. */
#include "mount/raw.h"

#include <assert.h>
#include <errno.h>
#include <linux/fuse.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "mount/control.h"
#include "mount/live.h"
#include "mount/wire.h"

enum { RAW_SYNCFS = 50, RAW_TMPFILE = 51, RAW_STATX = 52 };

/* struct fuse_statx_in, fuse_statx_out */
struct raw_statx_in {
    uint32_t getattr_flags, reserved;
    uint64_t fh;
    uint32_t sx_flags, sx_mask;
};
struct raw_time {
    int64_t sec;
    uint32_t nsec;
    int32_t reserved;
};
struct raw_statx_out {
    uint64_t attr_valid;
    uint32_t attr_valid_nsec, flags;
    uint64_t spare[2];
    struct {
        uint32_t mask, blksize;
        uint64_t attributes;
        uint32_t nlink, uid, gid;
        uint16_t mode, spare0[1];
        uint64_t ino, size, blocks, attributes_mask;
        struct raw_time atime, btime, ctime, mtime;
        uint32_t rdev_major, rdev_minor, dev_major, dev_minor;
        uint64_t spare2[14];
    } stat;
};
_Static_assert(sizeof(struct raw_statx_in) == 24 && sizeof(struct raw_statx_out) == 288,
               "as the kernel has them");

struct raw {
    struct mount *mount;
    int fd;
    struct fuse_in_header header;
    const uint8_t *arg;
    size_t arg_len;
};

/* ---- answers ---- */

/* True: it was taken. */
static bool answer(const struct raw *r, int err, const void *data, size_t len)
{
    struct fuse_out_header header = {
        .len = (uint32_t)(sizeof header + len), .error = err, .unique = r->header.unique};
    struct iovec iov[2] = {{.iov_base = &header, .iov_len = sizeof header},
                           {.iov_base = (void *)(uintptr_t)data, .iov_len = len}};
    assert(err <= 0 && (err == 0 || len == 0));
    return wire_send(r->fd, iov, len ? 2 : 1) >= 0;
}

static void split_timeout(double seconds, uint64_t *sec, uint32_t *nsec)
{
    assert(seconds >= 0);
    *sec = (uint64_t)seconds;
    *nsec = (uint32_t)((seconds - (double)*sec) * 1e9);
}

static struct fuse_attr to_attr(const struct fs_attr *a)
{
    return (struct fuse_attr){.ino = a->ino,
                              .size = a->size,
                              .blocks = a->blocks,
                              .atime = (uint64_t)a->atime.sec,
                              .mtime = (uint64_t)a->mtime.sec,
                              .ctime = (uint64_t)a->ctime.sec,
                              .atimensec = a->atime.nsec,
                              .mtimensec = a->mtime.nsec,
                              .ctimensec = a->ctime.nsec,
                              .mode = a->mode,
                              .nlink = a->nlink,
                              .uid = a->uid,
                              .gid = a->gid,
                              .rdev = (uint32_t)a->rdev,
                              .blksize = a->block_bytes};
}

/* ---- O_TMPFILE ---- */

struct made {
    struct fuse_entry_out entry;
    struct fuse_open_out open;
};

static void tell_made(const struct raw *r, const struct fs_attr *attr)
{
    struct lookups *lookups = r->mount->lookups;
    struct made made = {.entry = {.nodeid = attr->ino, .attr = to_attr(attr)},
                        .open = {.open_flags = FOPEN_KEEP_CACHE}};
    split_timeout(REPLY_TIMEOUT, &made.entry.entry_valid, &made.entry.entry_valid_nsec);
    split_timeout(REPLY_TIMEOUT, &made.entry.attr_valid, &made.entry.attr_valid_nsec);
    lookups_add(lookups, attr->ino);
    lookups_open(lookups, attr->ino); /* it is of no use but to be written to */
    if (answer(r, 0, &made, sizeof made))
        return;
    lookups_close(lookups, attr->ino);
    reply_forget(r->mount, attr->ino, 1);
}

static void serve_tmpfile(const struct raw *r)
{
    struct fuse_create_in in;
    struct fs_attr attr;
    if (r->arg_len < sizeof in) {
        answer(r, -EIO, NULL, 0);
        return;
    }
    memcpy(&in, r->arg, sizeof in);
    const struct fs_cred cred = {.uid = r->header.uid, .gid = r->header.gid, .umask = in.umask};
    int err =
        fs_tmpfile(r->mount->fs, r->header.nodeid, in.mode, !(in.flags & O_EXCL), &cred, &attr);
    if (err < 0)
        answer(r, err, NULL, 0);
    else
        tell_made(r, &attr);
}

/* ---- statx ---- */

static struct raw_time to_time(struct fs_time t)
{
    return (struct raw_time){.sec = t.sec, .nsec = t.nsec};
}

static void fill_statx(const struct fs_attr *a, struct raw_statx_out *out)
{
    *out = (struct raw_statx_out){0};
    split_timeout(reply_attr_timeout(a->ino), &out->attr_valid, &out->attr_valid_nsec);
    out->stat.mask = STATX_BASIC_STATS | STATX_BTIME;
    out->stat.blksize = a->block_bytes;
    out->stat.attributes = a->flags; /* the numbers are the same */
    out->stat.attributes_mask = FS_FLAGS;
    out->stat.nlink = a->nlink;
    out->stat.uid = a->uid;
    out->stat.gid = a->gid;
    out->stat.mode = (uint16_t)a->mode;
    out->stat.ino = a->ino;
    out->stat.size = a->size;
    out->stat.blocks = a->blocks;
    out->stat.atime = to_time(a->atime);
    out->stat.btime = to_time(a->btime);
    out->stat.ctime = to_time(a->ctime);
    out->stat.mtime = to_time(a->mtime);
    out->stat.rdev_major = major(a->rdev);
    out->stat.rdev_minor = minor(a->rdev);
}
_Static_assert(STATX_ATTR_IMMUTABLE == (int)FS_FLAG_IMMUTABLE &&
                   STATX_ATTR_APPEND == (int)FS_FLAG_APPEND &&
                   STATX_ATTR_NODUMP == (int)FS_FLAG_NODUMP,
               "fs.h has the kernel's values");

static void serve_statx(const struct raw *r)
{
    struct fs_attr attr;
    struct raw_statx_out out;
    uint64_t node = r->header.nodeid;
    int err = 0;
    if (node == CONTROL_INO_FENCE)
        control_fence_attr(&attr);
    else if (live_is(node))
        err = live_getattr(r->mount->live, node, &attr);
    else
        err = fs_getattr(r->mount->fs, node, &attr);
    if (err < 0) {
        answer(r, err, NULL, 0);
        return;
    }
    fill_statx(&attr, &out);
    answer(r, 0, &out, sizeof out);
}

/* ---- all of them ---- */

/* Libfuse refuses the others before it looks at what they ask for. */
static bool is_let_in(const struct raw *r)
{
    uint32_t uid = r->header.uid;
    return !r->mount->allow_root || uid == 0 || uid == getuid();
}

bool raw_serve(struct mount *m, int fd, const void *data, size_t len)
{
    struct raw r = {.mount = m, .fd = fd};
    if (len < sizeof r.header)
        return false;
    memcpy(&r.header, data, sizeof r.header);
    r.arg = (const uint8_t *)data + sizeof r.header;
    r.arg_len = len - sizeof r.header;
    if (!is_let_in(&r))
        return false;
    switch (r.header.opcode) {
    case RAW_SYNCFS:
        answer(&r, fs_sync(m->fs), NULL, 0);
        return true;
    case RAW_TMPFILE:
        serve_tmpfile(&r);
        return true;
    case RAW_STATX:
        serve_statx(&r);
        return true;
    default:
        return false;
    }
}
