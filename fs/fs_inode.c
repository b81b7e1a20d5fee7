/* fs_inode: the part of the door that is about inodes: attributes and extended attributes. */
#include "fs/fs_priv.h"

#include "fs/acl.h"
#include "fs/atime.h"
#include "fs/extent.h"
#include "fs/flags.h"
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

static int set_mode(struct txn *t, struct inode *n, uint32_t mode)
{
    uint32_t before = n->mode;
    n->mode = (n->mode & S_IFMT) | (mode & 07777);
    return (n->mode ^ before) & 0777 ? acl_follow(t, n) : 0;
}

/* After fs_link(), fs_rename() and fs_unlink() the kernel tells the change time that it has taken,
 * which mostly is ours: the same tick of the same clock. */
static bool nothing_new(const struct inode *a, const struct inode *b)
{
    return a->mode == b->mode && a->uid == b->uid && a->gid == b->gid &&
           same_time(a->atime, b->atime) && same_time(a->mtime, b->mtime) &&
           same_time(a->ctime, b->ctime);
}

static int apply_set(struct txn *t, struct inode *n, unsigned set, const struct fs_attr *want)
{
    struct inode before = *n;
    int err = set & FS_SET_SIZE ? set_size(t, n, set, want->size) : 0;
    if (err < 0)
        return err;
    if (set & FS_SET_MODE)
        err = set_mode(t, n, want->mode);
    if (err < 0)
        return err;
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
    if (!(set & FS_SET_SIZE) && nothing_new(&before, n))
        return 0;
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
    err = flags_check_set(&n, set);
    if (err == 0)
        err = apply_set(&t, &n, set, want);
    if (err == 0 && set & (FS_SET_ATIME | FS_SET_ATIME_NOW))
        atime_set(fs->atimes, ino, n.atime, t.now);
    if (err == 0 && set & FS_SET_CTIME)
        fs_now_raise(fs, n.ctime);
    if (err == 0)
        inode_attr(fs, &n, 0, attr);
    txn_end(&t);
    return err;
}

int fs_set_flags(struct fs *fs, uint64_t ino, uint32_t flags)
{
    struct txn t;
    struct inode n;
    if (flags & ~(uint32_t)FS_FLAGS)
        return -EOPNOTSUPP;
    int err = fs_begin_change(fs, ino, &t, &n);
    if (err < 0)
        return err;
    if (!S_ISREG(n.mode) && !inode_is_dir(&n)) {
        err = -ENOTTY;
    } else {
        n.flags = (n.flags & ~(uint32_t)FS_FLAGS) | flags;
        n.ctime = t.now;
        inode_put(&t, &n);
        err = txn_commit(&t);
    }
    txn_end(&t);
    return err;
}

int fs_check_open(struct fs *fs, uint64_t ino, bool append)
{
    struct reader r;
    struct inode n;
    int err = fs_check_change(ino);
    if (err == 0 && fs->read_only)
        err = -EROFS;
    if (err == 0)
        err = fs_begin_read(fs, ino, &r, &n);
    if (err < 0)
        return err;
    err = flags_check_data(&n, append);
    reader_end(&r);
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
    if (err == 0 && r.snapshot == 0)
        atime_note(fs, &n);
    reader_end(&r);
    return err;
}

/* ---- extended attributes ---- */

static int set_acl(struct txn *t, struct inode *n, enum acl_kind kind, struct slice list, int flags)
{
    int err = acl_set(t, n, kind, list);
    if (err == 0 && list.len > 0 && kind == ACL_ACCESS && flags & FS_XATTR_KILL_SGID)
        n->mode &= ~(uint32_t)S_ISGID;
    return err;
}

int fs_setxattr(struct fs *fs, uint64_t ino, const char *name, const void *value, size_t len,
                int flags)
{
    struct txn t;
    struct inode n;
    enum acl_kind kind = acl_kind_of(name);
    int err = kind == ACL_NOT ? xattr_check_name(name) : 0;
    if (err == 0)
        err = fs_begin_change(fs, ino, &t, &n);
    if (err < 0)
        return err;
    err = flags_check_fixed(&n);
    if (err == 0 && kind == ACL_NOT)
        err = xattr_set(&t, ino, name, slice_of(value, len), flags);
    else if (err == 0)
        err = set_acl(&t, &n, kind, slice_of(value, len), flags);
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
    if (acl_kind_of(name) != ACL_NOT)
        return fs_setxattr(fs, ino, name, NULL, 0, 0);
    int err = xattr_check_name(name);
    if (err == 0)
        err = fs_begin_change(fs, ino, &t, &n);
    if (err < 0)
        return err;
    err = flags_check_fixed(&n);
    if (err == 0)
        err = xattr_remove(&t, ino, name);
    if (err == 0) {
        n.ctime = t.now;
        inode_put(&t, &n);
        err = txn_commit(&t);
    }
    txn_end(&t);
    return err;
}

/* The record tells whether there is one, so that the kernel's asking costs no look-up that fails.
 */
static int look_for_acl(const struct reader *r, uint64_t ino, enum acl_kind kind)
{
    struct inode n;
    int err = inode_get(&r->read, ino, &n);
    if (err < 0)
        return err;
    if (S_ISLNK(n.mode))
        return -EOPNOTSUPP;
    return acl_has(&n, kind) ? 0 : -ENODATA;
}

int fs_getxattr(struct fs *fs, uint64_t ino, const char *name, void *value, size_t size,
                size_t *len)
{
    struct reader r;
    enum acl_kind kind = acl_kind_of(name);
    *len = 0;
    int err = kind == ACL_NOT ? xattr_check_name(name) : 0;
    if (err == 0 && ino_is_virtual(ino))
        err = -ENODATA;
    if (err == 0)
        err = reader_begin(fs, ino, &r);
    if (err < 0)
        return err;
    if (kind != ACL_NOT)
        err = look_for_acl(&r, ino_local(ino), kind);
    if (err == 0)
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
