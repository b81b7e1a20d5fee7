/* ops: see ops.h. The table, and what is agreed with the kernel at the start.
 *
 * What the table leaves out on purpose: access (the kernel checks permissions:
 * default_permissions), locks (the kernel keeps them), flush (nothing to do: libfuse answers ENOSYS
 * once, and the kernel asks no more), releasedir (no directory is ever open here). What libfuse
 * does not know is served by raw.h. */
#include "mount/ops_priv.h"

#include <assert.h>

/* Requests that the kernel may have under way in the background: read-ahead, and what its cache
 * writes. */
enum { BACKGROUND_MAX = 32 };

static void ops_init(void *userdata, struct fuse_conn_info *conn)
{
    const unsigned wanted = FUSE_CAP_WRITEBACK_CACHE | FUSE_CAP_ASYNC_READ | FUSE_CAP_ASYNC_DIO |
                            FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_READDIRPLUS |
                            FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_CACHE_SYMLINKS |
                            FUSE_CAP_POSIX_ACL | FUSE_CAP_DONT_MASK | FUSE_CAP_EXPORT_SUPPORT |
                            FUSE_CAP_IOCTL_DIR;
    struct mount *m = userdata;
    assert(m);
    if (!(conn->capable & FUSE_CAP_NO_OPEN_SUPPORT))
        __atomic_store_n(&m->quick_open, false, __ATOMIC_RELAXED);
    /* Nothing else, whatever libfuse thinks good: truncation on open comes as a request of its own
     * (ATOMIC_O_TRUNC would leave it to open), no other writer can change a file behind the cache
     * (AUTO_INVAL_DATA), and set-id bits are wire.h's matter (HANDLE_KILLPRIV). */
    conn->want = conn->capable & wanted;
    conn->max_background = BACKGROUND_MAX;
    conn->congestion_threshold = BACKGROUND_MAX * 3 / 4;
    conn->time_gran = 1;
}

const struct fuse_lowlevel_ops ops_table = {
    .init = ops_init,
    .lookup = ops_lookup,
    .forget = ops_forget,
    .forget_multi = ops_forget_multi,
    .getattr = ops_getattr,
    .setattr = ops_setattr,
    .readlink = ops_readlink,
    .mknod = ops_mknod,
    .mkdir = ops_mkdir,
    .unlink = ops_unlink,
    .rmdir = ops_rmdir,
    .symlink = ops_symlink,
    .rename = ops_rename,
    .link = ops_link,
    .open = ops_open,
    .read = ops_read,
    .write = ops_write,
    .release = ops_release,
    .fsync = ops_fsync,
    .opendir = ops_opendir,
    .readdir = ops_readdir,
    .readdirplus = ops_readdirplus,
    .fsyncdir = ops_fsync,
    .statfs = ops_statfs,
    .setxattr = ops_setxattr,
    .getxattr = ops_getxattr,
    .listxattr = ops_listxattr,
    .removexattr = ops_removexattr,
    .create = ops_create,
    .lseek = ops_lseek,
    .fallocate = ops_fallocate,
    .copy_file_range = ops_copy_file_range,
    .ioctl = ops_ioctl,
};
