/* fs_space: the part of the door that is about where a file has data and where it has none. */
#include "fs/fs_priv.h"

#include "fs/extent.h"
#include "fs/flags.h"
#include "fs/virtual.h"

/* ---- holes ---- */

static int seek(struct fs *fs, uint64_t ino, uint64_t offset, bool data, uint64_t *found)
{
    struct reader r;
    struct inode n;
    if (ino_is_virtual(ino))
        return -EISDIR;
    int err = fs_begin_read(fs, ino, &r, &n);
    if (err < 0)
        return err;
    err = S_ISREG(n.mode) ? extent_seek(&r, &n, offset, data, found) : -EINVAL;
    reader_end(&r);
    return err;
}

int fs_seek_data(struct fs *fs, uint64_t ino, uint64_t offset, uint64_t *found)
{
    return seek(fs, ino, offset, true, found);
}

int fs_seek_hole(struct fs *fs, uint64_t ino, uint64_t offset, uint64_t *found)
{
    return seek(fs, ino, offset, false, found);
}

/* ---- fallocate ---- */

enum { PUNCH = FS_FALLOCATE_PUNCH_HOLE, ZERO = FS_FALLOCATE_ZERO_RANGE };

static int check_mode(unsigned mode)
{
    const unsigned keep = FS_FALLOCATE_KEEP_SIZE;
    return (mode & ~(keep | PUNCH | ZERO)) || ((mode & PUNCH) && mode != (PUNCH | keep))
               ? -EOPNOTSUPP
               : 0;
}

/* Would what is missing in [from, to) find room now? Nothing is set aside for it. */
static int check_room(const struct txn *t, const struct inode *n, uint64_t from, uint64_t to)
{
    struct store_stats stats;
    uint64_t bytes;
    int err = extent_missing(t, n, from, to, &bytes);
    if (err < 0 || bytes == 0)
        return err;
    if (!quota_fits(t->fs, n->quota, bytes))
        return -EDQUOT;
    err = store_get_stats(t->fs->store, &stats);
    return err == 0 && bytes > stats.disk_usable_bytes ? -ENOSPC : err;
}

static int fallocate_locked(struct txn *t, struct inode *n, unsigned mode, uint64_t from,
                            uint64_t to)
{
    if (!S_ISREG(n->mode))
        return S_ISDIR(n->mode) ? -EISDIR : -ENODEV;
    int err = flags_check_data(n, !(mode & (PUNCH | ZERO)));
    if (err == 0 && !(mode & PUNCH))
        err = check_room(t, n, from, to);
    if (err == 0 && (mode & (PUNCH | ZERO)))
        err = extent_punch(t, n, from, to);
    if (err < 0)
        return err;
    if (!(mode & FS_FALLOCATE_KEEP_SIZE) && to > n->size)
        n->size = to;
    n->mtime = n->ctime = t->now;
    inode_put(t, n);
    return txn_commit(t);
}

int fs_fallocate(struct fs *fs, uint64_t ino, unsigned mode, uint64_t offset, uint64_t len)
{
    struct txn t;
    struct inode n;
    int err = len == 0 ? -EINVAL : check_mode(mode);
    if (err < 0)
        return err;
    err = fs_begin_change(fs, ino, &t, &n);
    if (err < 0)
        return err;
    if (offset > (uint64_t)FS_FILE_SIZE_MAX || len > (uint64_t)FS_FILE_SIZE_MAX - offset)
        err = -EFBIG;
    else
        err = fallocate_locked(&t, &n, mode, offset, offset + len);
    txn_end(&t);
    return err;
}
