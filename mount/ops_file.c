/* ops_file: requests about open files. The daemon keeps nothing for an open file: it only counts,
 * for each inode, the open descriptions that may write.
 *
 * Where files are opened quickly (docs/decisions/0053) it is not told of them at all: nobody is
 * counted, and what may not be written is refused when the kernel writes it back. */
#include <assert.h>
#include <errno.h>

#include "mount/control.h"
#include "mount/live.h"
#include "mount/ops_priv.h"
#include "mount/times.h"
#include "mount/wire.h"

static bool may_write(const struct fuse_file_info *fi)
{
    return (fi->flags & O_ACCMODE) != O_RDONLY;
}

/* The kernel would take writes to a snapshot, or to an immutable file, into its cache, and learn
 * only much later that they are refused: so say it now. */
static int check_open(const struct mount *m, uint64_t ino, const struct fuse_file_info *fi)
{
    if (!may_write(fi))
        return 0;
    return ino == CONTROL_INO_FENCE ? -EROFS : fs_check_open(m->fs, ino, fi->flags & O_APPEND);
}

void ops_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct mount *m = mount_of(req);
    if (mount_opens_quickly(m)) {
        reply_status(req, -ENOSYS); /* the kernel does not ask again */
        return;
    }
    if (live_is(ino)) {
        ops_live_open(req, ino, fi);
        return;
    }
    int err = check_open(m, ino, fi);
    if (err < 0) {
        reply_status(req, err);
        return;
    }
    assert(ino != 0);
    fi->keep_cache = 1;
    if (may_write(fi))
        lookups_open(m->lookups, ino);
    if (fuse_reply_open(req, fi) == -ENOENT && may_write(fi))
        lookups_close(m->lookups, ino);
}

void ops_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    if (may_write(fi) && !live_is(ino))
        lookups_close(mount_of(req)->lookups, ino);
    reply_status(req, 0);
}

void ops_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
    size_t got = 0;
    assert(offset >= 0);
    if (ino == CONTROL_INO_FENCE) {
        control_fence_read(req, size);
        return;
    }
    if (live_is(ino)) {
        ops_live_read(req, ino, size, offset);
        return;
    }
    void *data = reply_room(size);
    struct mount *m = mount_of(req);
    bool quiet = fi->flags & O_NOATIME;
    int err = (quiet ? fs_peek : fs_read)(m->fs, ino, (uint64_t)offset, data, size, &got);
    times_nudge(m->times);
    assert(err < 0 || got <= size);
    if (err < 0)
        reply_status(req, err);
    else
        fuse_reply_buf(req, data, got);
}

/* What comes out of the kernel's cache was written earlier: the kernel has the times, and sends
 * them if they are others than it was told. */
void ops_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
               struct fuse_file_info *fi)
{
    struct mount *m = mount_of(req);
    if (live_is(ino)) {
        ops_live_write(req, ino, data, size, offset);
        return;
    }
    assert(offset >= 0);
    int err = ino == CONTROL_INO_FENCE ? -EROFS : 0;
    if (err == 0 && wire_kills_suid())
        err = ops_drop_suid(req, ino);
    if (err == 0)
        err = (fi->writepage ? fs_write_back : fs_write)(m->fs, ino, (uint64_t)offset, data, size);
    if (err == 0) {
        fuse_reply_write(req, size);
        return;
    }
    reply_status(req, err);
    if (mount_opens_quickly(m) && (err == -EROFS || err == -EPERM))
        control_drop_pages(m->control, ino);
}

void ops_fsync(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi)
{
    (void)fi;
    reply_status(req, live_is(ino) ? 0 : fs_fsync(mount_of(req)->fs, ino, data_only != 0));
}
