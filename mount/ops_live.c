/* ops_live: requests about the files of .varve: stats, metrics, config. */
#include <assert.h>
#include <errno.h>

#include "mount/live.h"
#include "mount/ops_priv.h"

/* A name is looked up anew each time, and then leads to another inode; what is known of an inode
 * never changes. */
bool ops_live_lookup(fuse_req_t req, uint64_t dir, const char *name)
{
    struct live *l = mount_of(req)->live;
    struct fs_attr attr;
    uint64_t node;
    int err = dir == FS_INO_CONTROL ? live_lookup(l, name, &node, &attr) : 1;
    if (err == 1)
        return false;
    if (err < 0) {
        reply_status(req, err);
        return true;
    }
    struct fuse_entry_param entry = {.ino = node, .attr_timeout = REPLY_TIMEOUT};
    reply_stat(&attr, &entry.attr);
    assert(live_is(node) && entry.entry_timeout == 0.0);
    if (fuse_reply_entry(req, &entry) == -ENOENT)
        live_forget(l, node, 1);
    return true;
}

static void reply_live_attr(fuse_req_t req, uint64_t node, bool truncated)
{
    struct fs_attr attr;
    struct stat st;
    int err = live_getattr(mount_of(req)->live, node, &attr);
    if (err < 0) {
        reply_status(req, err);
        return;
    }
    if (truncated)
        attr.size = 0;
    reply_stat(&attr, &st);
    fuse_reply_attr(req, &st, REPLY_TIMEOUT);
}

void ops_live_getattr(fuse_req_t req, uint64_t node)
{
    reply_live_attr(req, node, false);
}

/* `>` truncates, which means something only where the kernel caches what is written: it must not
 * mix it with the old text. touch(1) sets times, which means nothing; mode and owner follow the
 * root folder's. */
void ops_live_setattr(fuse_req_t req, uint64_t node, unsigned set)
{
    int err = set & (FS_SET_MODE | FS_SET_UID | FS_SET_GID) ? -EPERM : 0;
    bool truncates = set & FS_SET_SIZE;
    if (err == 0 && truncates)
        err = live_check_writable(node);
    if (err < 0) {
        reply_status(req, err);
        return;
    }
    bool cached = truncates && mount_opens_quickly(mount_of(req));
    if (cached)
        live_retire(mount_of(req)->live, node);
    reply_live_attr(req, node, cached);
}

void ops_live_open(fuse_req_t req, uint64_t node, struct fuse_file_info *fi)
{
    bool writes = (fi->flags & O_ACCMODE) != O_RDONLY;
    int err = writes ? live_check_writable(node) : 0;
    if (err == 0 && writes)
        err = ops_may_order(req);
    if (err < 0) {
        reply_status(req, err);
        return;
    }
    fi->keep_cache = !writes;
    fi->direct_io = writes; /* what is wrong with a write is told by write(2) */
    fuse_reply_open(req, fi);
}

void ops_live_read(fuse_req_t req, uint64_t node, size_t size, off_t offset)
{
    size_t got = 0;
    void *data = reply_buffer(size);
    assert(offset >= 0);
    int err = live_read(mount_of(req)->live, node, (uint64_t)offset, data, size, &got);
    assert(got <= size);
    if (err < 0)
        reply_status(req, err);
    else
        fuse_reply_buf(req, data, got);
}

void ops_live_write(fuse_req_t req, uint64_t node, const char *data, size_t size, off_t offset)
{
    struct live *l = mount_of(req)->live;
    assert(offset >= 0);
    size_t own = live_own(l, node, (uint64_t)offset, data, size);
    int err = own < size ? live_write(l, node, data + own, size - own) : 0;
    if (err < 0)
        reply_status(req, err);
    else
        fuse_reply_write(req, size);
}
