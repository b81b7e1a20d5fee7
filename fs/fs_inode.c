/* fs_inode: the part of the door that is about inodes: attributes and extended attributes. */
#include "fs/fs_priv.h"

#include "fs/extent.h"
#include "fs/virtual.h"
#include "fs/xattr.h"

/* ---- beginning ---- */

int fs_begin_read(struct fs *fs, uint64_t ino, struct reader *r, struct inode *n)
{
    assert(!ino_is_virtual(ino));
    int err = reader_begin(fs, ino, r);
    if (err < 0)
        return err;
    err = inode_get(&r->read, ino_local(ino), n);
    if (err < 0)
        reader_end(r);
    return err;
}

int fs_check_change(uint64_t ino)
{
    if (ino_snapshot(ino) != 0)
        return -EROFS;
    return ino_is_virtual(ino) ? -EPERM : 0;
}

int fs_begin_change(struct fs *fs, uint64_t ino, struct txn *t, struct inode *n)
{
    int err = fs_check_change(ino);
    if (err == 0)
        err = txn_init(t, fs);
    if (err < 0)
        return err;
    txn_lock(t, &ino, 1);
    err = inode_get(&t->read, ino, n);
    if (err < 0)
        txn_end(t);
    return err;
}

/* ---- inodes ---- */

int fs_getattr(struct fs *fs, uint64_t ino, struct fs_attr *attr)
{
    struct reader r;
    struct inode n;
    if (ino_is_virtual(ino))
        return virtual_getattr(fs, ino, attr);
    int err = fs_begin_read(fs, ino, &r, &n);
    if (err < 0)
        return err;
    inode_attr(fs, &n, r.snapshot, attr);
    reader_end(&r);
    return 0;
}

static int set_size(struct txn *t, struct inode *n, unsigned set, uint64_t size)
{
    if (!S_ISREG(n->mode))
        return S_ISDIR(n->mode) ? -EISDIR : -EINVAL;
    int err = extent_truncate(t, n, size);
    if (err == 0 && !(set & (FS_SET_MTIME | FS_SET_MTIME_NOW)))
        n->mtime = t->now;
    return err;
}

static int apply_set(struct txn *t, struct inode *n, unsigned set, const struct fs_attr *want)
{
    int err = set & FS_SET_SIZE ? set_size(t, n, set, want->size) : 0;
    if (err < 0)
        return err;
    if (set & FS_SET_MODE)
        n->mode = (n->mode & S_IFMT) | (want->mode & 07777);
    if (set & FS_SET_UID)
        n->uid = want->uid;
    if (set & FS_SET_GID)
        n->gid = want->gid;
    if (set & (FS_SET_ATIME | FS_SET_ATIME_NOW))
        n->atime = set & FS_SET_ATIME_NOW ? t->now : want->atime;
    if (set & (FS_SET_MTIME | FS_SET_MTIME_NOW))
        n->mtime = set & FS_SET_MTIME_NOW ? t->now : want->mtime;
    n->ctime = set & FS_SET_CTIME ? want->ctime : t->now;
    if (n->atime.nsec >= 1000000000 || n->mtime.nsec >= 1000000000 || n->ctime.nsec >= 1000000000)
        return -EINVAL;
    inode_put(t, n);
    return txn_commit(t);
}

int fs_setattr(struct fs *fs, uint64_t ino, unsigned set, const struct fs_attr *want,
               struct fs_attr *attr)
{
    struct txn t;
    struct inode n;
    int err = fs_begin_change(fs, ino, &t, &n);
    if (err < 0)
        return err;
    err = apply_set(&t, &n, set, want);
    if (err == 0)
        inode_attr(fs, &n, 0, attr);
    txn_end(&t);
    return err;
}

int fs_readlink(struct fs *fs, uint64_t ino, char *target)
{
    struct reader r;
    struct inode n;
    size_t got = 0;
    if (ino_is_virtual(ino))
        return -EINVAL;
    int err = fs_begin_read(fs, ino, &r, &n);
    if (err < 0)
        return err;
    if (!S_ISLNK(n.mode) || n.size > FS_SYMLINK_MAX)
        err = -EINVAL;
    else
        err = extent_read(&r, &n, 0, target, FS_SYMLINK_MAX, &got);
    target[got] = 0;
    reader_end(&r);
    return err;
}

/* ---- extended attributes ---- */

int fs_setxattr(struct fs *fs, uint64_t ino, const char *name, const void *value, size_t len,
                int flags)
{
    struct txn t;
    struct inode n;
    int err = xattr_check_name(name);
    if (err == 0)
        err = fs_begin_change(fs, ino, &t, &n);
    if (err < 0)
        return err;
    err = xattr_set(&t, ino, name, slice_of(value, len), flags);
    if (err == 0) {
        n.ctime = t.now;
        inode_put(&t, &n);
        err = txn_commit(&t);
    }
    txn_end(&t);
    return err;
}

int fs_removexattr(struct fs *fs, uint64_t ino, const char *name)
{
    struct txn t;
    struct inode n;
    int err = xattr_check_name(name);
    if (err == 0)
        err = fs_begin_change(fs, ino, &t, &n);
    if (err < 0)
        return err;
    err = xattr_remove(&t, ino, name);
    if (err == 0) {
        n.ctime = t.now;
        inode_put(&t, &n);
        err = txn_commit(&t);
    }
    txn_end(&t);
    return err;
}

int fs_getxattr(struct fs *fs, uint64_t ino, const char *name, void *value, size_t size,
                size_t *len)
{
    struct reader r;
    *len = 0;
    if (ino_is_virtual(ino))
        return -ENODATA;
    int err = reader_begin(fs, ino, &r);
    if (err < 0)
        return err;
    err = xattr_get(&r, ino_local(ino), name, value, size, len);
    reader_end(&r);
    return err;
}

int fs_listxattr(struct fs *fs, uint64_t ino, char *names, size_t size, size_t *len)
{
    struct reader r;
    *len = 0;
    if (ino_is_virtual(ino))
        return 0;
    int err = reader_begin(fs, ino, &r);
    if (err < 0)
        return err;
    err = xattr_list(&r, ino_local(ino), names, size, len);
    reader_end(&r);
    return err;
}
