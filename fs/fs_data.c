/* fs_data: the part of the door that is about what files and folders hold. */
#include "fs/fs_priv.h"

#include "fs/atime.h"
#include "fs/dir.h"
#include "fs/extent.h"
#include "fs/flags.h"
#include "fs/virtual.h"

/* ---- data ---- */

static int read_file(struct fs *fs, uint64_t ino, uint64_t offset, void *data, size_t len,
                     size_t *got, bool note)
{
    struct reader r;
    struct inode n;
    *got = 0;
    if (ino_is_virtual(ino))
        return -EISDIR;
    int err = fs_begin_read(fs, ino, &r, &n);
    if (err < 0)
        return err;
    if (S_ISREG(n.mode))
        err = extent_read(&r, &n, offset, data, len, got);
    else
        err = S_ISDIR(n.mode) ? -EISDIR : -EINVAL;
    if (err == 0 && note && r.snapshot == 0)
        atime_note(fs, &n);
    reader_end(&r);
    return err;
}

int fs_read(struct fs *fs, uint64_t ino, uint64_t offset, void *data, size_t len, size_t *got)
{
    return read_file(fs, ino, offset, data, len, got, true);
}

int fs_peek(struct fs *fs, uint64_t ino, uint64_t offset, void *data, size_t len, size_t *got)
{
    return read_file(fs, ino, offset, data, len, got, false);
}

static int write_locked(struct txn *t, uint64_t ino, uint64_t offset, const void *data, size_t len,
                        bool is_now)
{
    struct inode n, before;
    int err = inode_get(&t->read, ino, &n);
    if (err < 0)
        return err;
    before = n;
    if (!S_ISREG(n.mode))
        return S_ISDIR(n.mode) ? -EISDIR : -EINVAL;
    err = flags_check_data(&n, true);
    if (err == 0)
        err = extent_write(t, &n, offset, data, len);
    if (err < 0)
        return err;
    if (is_now)
        n.mtime = n.ctime = t->now;
    if (is_now || n.size != before.size || n.chunks != before.chunks || n.flags != before.flags)
        inode_put(t, &n);
    return txn_commit(t);
}

static int write_data(struct fs *fs, uint64_t ino, uint64_t offset, const void *data, size_t len,
                      bool is_now)
{
    struct txn t;
    int err = fs_check_change(ino);
    if (err < 0 || len == 0)
        return err;
    if (offset > (uint64_t)FS_FILE_SIZE_MAX || len > (uint64_t)FS_FILE_SIZE_MAX - offset)
        return -EFBIG;
    if (len > FS_WRITE_MAX)
        return -EINVAL;
    err = txn_init(&t, fs);
    if (err < 0)
        return err;
    extent_prepare(&t, ino, offset, data, len);
    txn_lock(&t, &ino, 1);
    err = write_locked(&t, ino, offset, data, len, is_now);
    txn_end(&t);
    return err;
}

int fs_write(struct fs *fs, uint64_t ino, uint64_t offset, const void *data, size_t len)
{
    return write_data(fs, ino, offset, data, len, true);
}

int fs_write_back(struct fs *fs, uint64_t ino, uint64_t offset, const void *data, size_t len)
{
    return write_data(fs, ino, offset, data, len, false);
}

/* Access times go along; that they cannot be written is no failure of what was asked for. */
int fs_sync(struct fs *fs)
{
    if (fs->read_only)
        return 0;
    fs_write_times(fs);
    return store_sync(fs->store);
}

int fs_fsync(struct fs *fs, uint64_t ino, bool data_only)
{
    (void)data_only; /* attributes and data are in one log: syncing one syncs the other */
    bool nothing = fs->read_only || ino_snapshot(ino) != 0 || ino_is_virtual(ino);
    return nothing ? 0 : store_sync(fs->store);
}

int fs_readdir(struct fs *fs, uint64_t dir, uint64_t cookie, bool with_attr, fs_dirent_fn *fn,
               void *ctx)
{
    struct reader r;
    struct inode n;
    if (ino_is_virtual(dir))
        return virtual_readdir(fs, dir, cookie, with_attr, fn, ctx);
    int err = fs_begin_read(fs, dir, &r, &n);
    if (err < 0)
        return err;
    if (!inode_is_dir(&n))
        err = -ENOTDIR;
    else if (n.nlink == 0)
        err = -ENOENT; /* removed, but still open somewhere */
    else
        err = dir_list(&r, &n, cookie, with_attr, fn, ctx);
    if (err == 0 && r.snapshot == 0)
        atime_note(fs, &n);
    reader_end(&r);
    return err;
}
