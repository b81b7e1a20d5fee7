/* ops_ioctl: what is asked by ioctl(2): flags of files, releasing space, and fetching what the
 * kernel still holds. The kernel checks who may change flags. */
#include <assert.h>
#include <errno.h>
#include <linux/fs.h>

#include "mount/control.h"
#include "mount/live.h"
#include "mount/ops_priv.h"

_Static_assert(FS_IMMUTABLE_FL == (int)FS_FLAG_IMMUTABLE && FS_APPEND_FL == (int)FS_FLAG_APPEND &&
                   FS_NODUMP_FL == (int)FS_FLAG_NODUMP,
               "fs.h has the kernel's values");

/* ---- flags ---- */

static const struct {
    uint32_t flag, xflag;
} xflags[] = {
    {FS_FLAG_IMMUTABLE, FS_XFLAG_IMMUTABLE},
    {FS_FLAG_APPEND, FS_XFLAG_APPEND},
    {FS_FLAG_NODUMP, FS_XFLAG_NODUMP},
};

static uint32_t to_xflags(uint32_t flags)
{
    uint32_t x = 0;
    for (size_t i = 0; i < sizeof xflags / sizeof *xflags; i++)
        x |= flags & xflags[i].flag ? xflags[i].xflag : 0;
    return x;
}

/* 0 or -EOPNOTSUPP for what we do not have. */
static int from_xattr(const struct fsxattr *x, uint32_t *flags)
{
    *flags = 0;
    for (size_t i = 0; i < sizeof xflags / sizeof *xflags; i++)
        *flags |= x->fsx_xflags & xflags[i].xflag ? xflags[i].flag : 0;
    return to_xflags(*flags) != x->fsx_xflags || x->fsx_extsize || x->fsx_projid ||
                   x->fsx_cowextsize
               ? -EOPNOTSUPP
               : 0;
}

struct set_flags {
    uint64_t ino;
    uint32_t flags;
};

static void do_set_flags(fuse_req_t req, int err, const void *args)
{
    const struct set_flags *s = args;
    if (err >= 0)
        err = fs_set_flags(mount_of(req)->fs, s->ino, s->flags);
    if (err < 0)
        reply_status(req, err);
    else
        fuse_reply_ioctl(req, 0, NULL, 0);
}

/* What was written before is not refused afterwards. */
static void set_flags(fuse_req_t req, uint64_t ino, uint32_t flags)
{
    const struct set_flags s = {.ino = ino, .flags = flags};
    bool fixes = flags & (FS_FLAG_IMMUTABLE | FS_FLAG_APPEND);
    if (fixes && ops_may_hold(mount_of(req), ino))
        control_after_flush(req, do_set_flags, &s, sizeof s);
    else
        do_set_flags(req, 0, &s);
}

static void get_flags(fuse_req_t req, uint64_t ino, bool extended)
{
    struct fs_attr attr;
    int err = fs_getattr(mount_of(req)->fs, ino, &attr);
    if (err < 0) {
        reply_status(req, err);
        return;
    }
    const uint32_t flags = attr.flags;
    const struct fsxattr x = {.fsx_xflags = to_xflags(flags)};
    assert((flags & ~(uint32_t)FS_FLAGS) == 0);
    if (extended)
        fuse_reply_ioctl(req, 0, &x, sizeof x);
    else
        fuse_reply_ioctl(req, 0, &flags, sizeof flags);
}

static void set_extended(fuse_req_t req, uint64_t ino, const void *in)
{
    struct fsxattr x;
    uint32_t flags;
    memcpy(&x, in, sizeof x);
    int err = from_xattr(&x, &flags);
    if (err < 0)
        reply_status(req, err);
    else
        set_flags(req, ino, flags);
}

/* Of inode numbers, none of which is ever used twice: it says nothing. */
static void get_version(fuse_req_t req)
{
    const uint32_t generation = 0;
    fuse_reply_ioctl(req, 0, &generation, sizeof generation);
}

/* ---- the whole volume ---- */

static void trim(fuse_req_t req)
{
    struct mount *m = mount_of(req);
    int err = ops_may_order(req);
    if (err == 0)
        err = control_compact_trim(control_compact_of(m), req);
    if (err < 0)
        reply_status(req, err);
}

static void do_sync(fuse_req_t req, int err, const void *args)
{
    (void)args;
    if (err >= 0) {
        bool refused = err == 1;
        err = fs_sync(mount_of(req)->fs);
        if (err == 0 && refused)
            err = -EIO;
    }
    if (err < 0)
        reply_status(req, err);
    else
        fuse_reply_ioctl(req, 0, NULL, 0);
}

/* ---- all of them ---- */

struct command {
    unsigned number;
    size_t in_size, out_size;
};

static const struct command commands[] = {
    {FS_IOC_GETFLAGS, 0, sizeof(uint32_t)},
    {FS_IOC_SETFLAGS, sizeof(uint32_t), 0},
    {FS_IOC_FSGETXATTR, 0, sizeof(struct fsxattr)},
    {FS_IOC_FSSETXATTR, sizeof(struct fsxattr), 0},
    {FS_IOC_GETVERSION, 0, sizeof(uint32_t)},
    {FITRIM, sizeof(struct fstrim_range), sizeof(struct fstrim_range)},
    {CONTROL_IOC_SYNC, 0, 0},
};

static bool is_known(unsigned number, size_t in_size, size_t out_size)
{
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (commands[i].number == number)
            return in_size >= commands[i].in_size && out_size >= commands[i].out_size;
    return false;
}

void ops_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned number, void *arg,
               struct fuse_file_info *fi, unsigned flags, const void *in, size_t in_size,
               size_t out_size)
{
    uint32_t wanted;
    (void)arg;
    (void)fi;
    (void)flags;
    if (!is_known(number, in_size, out_size) || live_is(ino)) {
        reply_status(req, -ENOTTY);
        return;
    }
    switch (number) {
    case FS_IOC_GETFLAGS:
    case FS_IOC_FSGETXATTR:
        get_flags(req, ino, number == FS_IOC_FSGETXATTR);
        break;
    case FS_IOC_SETFLAGS:
        memcpy(&wanted, in, sizeof wanted);
        set_flags(req, ino, wanted);
        break;
    case FS_IOC_FSSETXATTR:
        set_extended(req, ino, in);
        break;
    case FS_IOC_GETVERSION:
        get_version(req);
        break;
    case FITRIM:
        trim(req);
        break;
    default:
        assert(number == CONTROL_IOC_SYNC);
        control_after_flush(req, do_sync, NULL, 0);
    }
}
