/* fs: the door. Each function says which inodes it is about (present or snapshot, real or virtual),
 * and hands on to the module that does it. */
#include "fs/fs.h"

#include "fs/extent.h"
#include "fs/names.h"
#include "fs/orphan.h"
#include "fs/snapshot.h"
#include "fs/virtual.h"
#include "fs/xattr.h"

/* ---- names ---- */

/* May something be changed under this name? */
static int check_change(uint64_t dir, const char *name)
{
    int err = dir_check_name(name);
    if (err < 0)
        return err;
    if (ino_snapshot(dir) != 0)
        return -EROFS;
    return virtual_is_control(dir, name) ? -EPERM : 0;
}

/* The same for making one: in a virtual folder nothing can be made but what is a command, which the
 * caller has dealt with. */
static int check_make(uint64_t dir, const char *name)
{
    int err = check_change(dir, name);
    if (virtual_is_control(dir, name))
        return -EEXIST;
    return err == 0 && ino_is_virtual(dir) ? -EPERM : err;
}

int fs_lookup(struct fs *fs, uint64_t dir, const char *name, struct fs_attr *attr)
{
    struct reader r;
    struct inode n;
    if (strlen(name) > FS_NAME_MAX)
        return -ENAMETOOLONG;
    if (virtual_is_control(dir, name))
        return virtual_getattr(fs, FS_INO_CONTROL, attr);
    if (ino_is_virtual(dir))
        return virtual_lookup(fs, dir, name, attr);
    int err = reader_begin(fs, dir, &r);
    if (err < 0)
        return err;
    err = names_lookup(&r, ino_local(dir), name, &n);
    if (err == 0)
        inode_attr(fs, &n, r.snapshot, attr);
    reader_end(&r);
    return err;
}

static int make(struct fs *fs, uint64_t dir, const char *name, uint32_t mode, uint64_t rdev,
                const char *target, const struct fs_cred *cred, struct fs_attr *attr)
{
    struct inode made;
    int err = check_make(dir, name);
    if (err == 0)
        err = names_make(fs, dir, name, mode, rdev, target, cred, &made);
    if (err == 0)
        inode_attr(fs, &made, 0, attr);
    return err;
}

int fs_mknod(struct fs *fs, uint64_t dir, const char *name, uint32_t mode, uint64_t rdev,
             const struct fs_cred *cred, struct fs_attr *attr)
{
    if ((mode & S_IFMT) == 0)
        mode |= S_IFREG;
    if (!S_ISREG(mode) && !S_ISCHR(mode) && !S_ISBLK(mode) && !S_ISFIFO(mode) && !S_ISSOCK(mode))
        return -EINVAL;
    return make(fs, dir, name, mode & (S_IFMT | 07777), rdev, NULL, cred, attr);
}

int fs_mkdir(struct fs *fs, uint64_t dir, const char *name, uint32_t mode,
             const struct fs_cred *cred, struct fs_attr *attr)
{
    if (dir == FS_INO_SNAPSHOTS) {
        int err = snapshot_create(fs, name);
        return err == 0 ? virtual_lookup(fs, dir, name, attr) : err;
    }
    return make(fs, dir, name, (mode & 07777) | S_IFDIR, 0, NULL, cred, attr);
}

int fs_symlink(struct fs *fs, uint64_t dir, const char *name, const char *target,
               const struct fs_cred *cred, struct fs_attr *attr)
{
    size_t len = strlen(target);
    if (len == 0)
        return -ENOENT;
    if (len > FS_SYMLINK_MAX)
        return -ENAMETOOLONG;
    return make(fs, dir, name, S_IFLNK | 0777, 0, target, cred, attr);
}

int fs_link(struct fs *fs, uint64_t ino, uint64_t dir, const char *name, struct fs_attr *attr)
{
    struct inode n;
    int err = check_make(dir, name);
    if (err == 0 && ino_snapshot(ino) != 0)
        err = -EXDEV; /* a snapshot is a tree of its own */
    if (err == 0 && ino_is_virtual(ino))
        err = -EPERM;
    if (err == 0)
        err = names_link(fs, ino, dir, name, &n);
    if (err == 0)
        inode_attr(fs, &n, 0, attr);
    return err;
}

int fs_unlink(struct fs *fs, uint64_t dir, const char *name)
{
    int err = check_change(dir, name);
    if (err == 0 && ino_is_virtual(dir))
        err = -EISDIR; /* there are only folders in it */
    return err == 0 ? names_unlink(fs, dir, name) : err;
}

int fs_rmdir(struct fs *fs, uint64_t dir, const char *name)
{
    if (dir == FS_INO_SNAPSHOTS)
        return snapshot_delete(fs, name);
    int err = check_change(dir, name);
    if (err == 0 && ino_is_virtual(dir))
        err = -EPERM;
    return err == 0 ? names_rmdir(fs, dir, name) : err;
}

int fs_rename(struct fs *fs, uint64_t dir, const char *name, uint64_t new_dir, const char *new_name,
              unsigned flags)
{
    if (dir == FS_INO_SNAPSHOTS && new_dir == FS_INO_SNAPSHOTS)
        return (flags & ~(unsigned)FS_RENAME_NOREPLACE) ? -EINVAL
                                                        : snapshot_rename(fs, name, new_name);
    int err = check_change(dir, name);
    if (err == 0)
        err = check_change(new_dir, new_name);
    if (err == 0 && (ino_is_virtual(dir) || ino_is_virtual(new_dir)))
        err = -EPERM;
    return err == 0 ? names_rename(fs, dir, name, new_dir, new_name, flags) : err;
}

void fs_forget(struct fs *fs, uint64_t ino)
{
    if (ino_snapshot(ino) == 0 && !fs->read_only && orphan_take(fs, ino))
        orphan_delete(fs, ino);
}

/* ---- inodes ---- */

/* A reader and the record of `ino`, which must be a real inode. On success the caller ends the
 * reader. */
static int begin(struct fs *fs, uint64_t ino, struct reader *r, struct inode *n)
{
    int err = reader_begin(fs, ino, r);
    if (err < 0)
        return err;
    err = inode_get(&r->read, ino_local(ino), n);
    if (err < 0)
        reader_end(r);
    return err;
}

int fs_getattr(struct fs *fs, uint64_t ino, struct fs_attr *attr)
{
    struct reader r;
    struct inode n;
    if (ino_is_virtual(ino))
        return virtual_getattr(fs, ino, attr);
    int err = begin(fs, ino, &r, &n);
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

/* May this inode be changed? */
static int check_inode(uint64_t ino)
{
    if (ino_snapshot(ino) != 0)
        return -EROFS;
    return ino_is_virtual(ino) ? -EPERM : 0;
}

/* A transaction on one inode, locked and read. On success the caller ends it. */
static int begin_change(struct fs *fs, uint64_t ino, struct txn *t, struct inode *n)
{
    int err = check_inode(ino);
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

int fs_setattr(struct fs *fs, uint64_t ino, unsigned set, const struct fs_attr *want,
               struct fs_attr *attr)
{
    struct txn t;
    struct inode n;
    int err = begin_change(fs, ino, &t, &n);
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
    int err = begin(fs, ino, &r, &n);
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

/* ---- data ---- */

int fs_read(struct fs *fs, uint64_t ino, uint64_t offset, void *data, size_t len, size_t *got)
{
    struct reader r;
    struct inode n;
    *got = 0;
    if (ino_is_virtual(ino))
        return -EISDIR;
    int err = begin(fs, ino, &r, &n);
    if (err < 0)
        return err;
    if (S_ISREG(n.mode))
        err = extent_read(&r, &n, offset, data, len, got);
    else
        err = S_ISDIR(n.mode) ? -EISDIR : -EINVAL;
    reader_end(&r);
    return err;
}

static int write_locked(struct txn *t, uint64_t ino, uint64_t offset, const void *data, size_t len)
{
    struct inode n;
    int err = inode_get(&t->read, ino, &n);
    if (err < 0)
        return err;
    if (!S_ISREG(n.mode))
        return S_ISDIR(n.mode) ? -EISDIR : -EINVAL;
    err = extent_write(t, &n, offset, data, len);
    if (err < 0)
        return err;
    n.mtime = n.ctime = t->now;
    inode_put(t, &n);
    return txn_commit(t);
}

int fs_write(struct fs *fs, uint64_t ino, uint64_t offset, const void *data, size_t len)
{
    struct txn t;
    int err = check_inode(ino);
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
    err = write_locked(&t, ino, offset, data, len);
    txn_end(&t);
    return err;
}

static int seek(struct fs *fs, uint64_t ino, uint64_t offset, bool data, uint64_t *found)
{
    struct reader r;
    struct inode n;
    if (ino_is_virtual(ino))
        return -EISDIR;
    int err = begin(fs, ino, &r, &n);
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

int fs_sync(struct fs *fs)
{
    return fs->read_only ? 0 : store_sync(fs->store);
}

int fs_fsync(struct fs *fs, uint64_t ino, bool data_only)
{
    (void)data_only; /* attributes and data are in one log: syncing one syncs the other */
    return ino_snapshot(ino) != 0 || ino_is_virtual(ino) ? 0 : fs_sync(fs);
}

int fs_readdir(struct fs *fs, uint64_t dir, uint64_t cookie, bool with_attr, fs_dirent_fn *fn,
               void *ctx)
{
    struct reader r;
    struct inode n;
    if (ino_is_virtual(dir))
        return virtual_readdir(fs, dir, cookie, with_attr, fn, ctx);
    int err = begin(fs, dir, &r, &n);
    if (err < 0)
        return err;
    if (!inode_is_dir(&n))
        err = -ENOTDIR;
    else if (n.nlink == 0)
        err = -ENOENT; /* removed, but still open somewhere */
    else
        err = dir_list(&r, &n, cookie, with_attr, fn, ctx);
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
        err = begin_change(fs, ino, &t, &n);
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
        err = begin_change(fs, ino, &t, &n);
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

/* ---- snapshots ---- */

int fs_snapshot_create(struct fs *fs, const char *name)
{
    return snapshot_create(fs, name);
}

int fs_snapshot_delete(struct fs *fs, const char *name)
{
    return snapshot_delete(fs, name);
}

int fs_snapshot_rename(struct fs *fs, const char *from, const char *to)
{
    return snapshot_rename(fs, from, to);
}

struct listing {
    fs_snapshot_fn *fn;
    void *ctx;
};

static int list_one(void *ctx, const struct store_pin *pin)
{
    const struct listing *l = ctx;
    struct fs_snapshot s = {.name = pin->name, .number = pin->tag, .created_ns = pin->created_ns};
    return l->fn(l->ctx, &s);
}

int fs_snapshot_list(struct fs *fs, fs_snapshot_fn *fn, void *ctx)
{
    struct listing l = {.fn = fn, .ctx = ctx};
    return store_pin_list(fs->store, list_one, &l);
}
