/* fs: the door. Each function says which inodes it is about (present or snapshot, real or virtual),
 * and hands on to the module that does it. Here: names and snapshots; the rest is in fs_inode.c,
 * fs_data.c and open.c. */
#include "fs/fs.h"

#include "fs/names.h"
#include "fs/orphan.h"
#include "fs/snapshot.h"
#include "fs/virtual.h"

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

/* The folder above `ino`, which is not virtual. */
static int look_above(struct fs *fs, uint64_t ino, struct fs_attr *attr)
{
    struct reader r;
    struct inode n;
    if (ino_snapshot(ino) != 0 && ino_local(ino) == FS_INO_ROOT)
        return fs_getattr(fs, snapshot_exists(fs, ino_snapshot(ino)) ? FS_INO_SNAPSHOTS : FS_INO_AT,
                          attr);
    int err = reader_begin(fs, ino, &r);
    if (err < 0)
        return err;
    err = inode_get(&r.read, ino_local(ino), &n);
    if (err == 0 && !inode_is_dir(&n))
        err = -ENOTDIR;
    if (err == 0 && n.nlink == 0)
        err = -ENOENT;
    if (err == 0)
        err = inode_get(&r.read, n.parent, &n);
    if (err == 0)
        inode_attr(fs, &n, r.snapshot, attr);
    reader_end(&r);
    return err;
}

static int look_at_dots(struct fs *fs, uint64_t ino, const char *name, struct fs_attr *attr)
{
    if (name[1] == 0)
        return fs_getattr(fs, ino, attr);
    if (ino_is_virtual(ino))
        return fs_getattr(fs, ino == FS_INO_CONTROL ? FS_INO_ROOT : FS_INO_CONTROL, attr);
    return look_above(fs, ino, attr);
}

int fs_lookup(struct fs *fs, uint64_t dir, const char *name, struct fs_attr *attr)
{
    struct reader r;
    struct inode n;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return look_at_dots(fs, dir, name, attr);
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

int fs_tmpfile(struct fs *fs, uint64_t dir, uint32_t mode, bool linkable,
               const struct fs_cred *cred, struct fs_attr *attr)
{
    struct inode made;
    int err = ino_snapshot(dir) != 0 ? -EROFS : ino_is_virtual(dir) ? -EPERM : 0;
    if (err == 0)
        err = names_make_unnamed(fs, dir, (mode & 07777) | S_IFREG, linkable, cred, &made);
    if (err == 0)
        inode_attr(fs, &made, 0, attr);
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

int fs_rename_with(struct fs *fs, uint64_t dir, const char *name, uint64_t new_dir,
                   const char *new_name, const struct fs_rename_how *how)
{
    if (dir == FS_INO_SNAPSHOTS && new_dir == FS_INO_SNAPSHOTS && !how->whiteout)
        return (how->flags & ~(unsigned)FS_RENAME_NOREPLACE) ? -EINVAL
                                                             : snapshot_rename(fs, name, new_name);
    int err = check_change(dir, name);
    if (err == 0)
        err = check_change(new_dir, new_name);
    if (err == 0 && (ino_is_virtual(dir) || ino_is_virtual(new_dir)))
        err = -EPERM;
    return err == 0 ? names_rename(fs, dir, name, new_dir, new_name, how) : err;
}

int fs_rename(struct fs *fs, uint64_t dir, const char *name, uint64_t new_dir, const char *new_name,
              unsigned flags)
{
    const struct fs_rename_how how = {.flags = flags};
    return fs_rename_with(fs, dir, name, new_dir, new_name, &how);
}

void fs_forget(struct fs *fs, uint64_t ino)
{
    if (ino_snapshot(ino) == 0 && !fs->read_only && orphan_take(fs, ino))
        orphan_delete(fs, ino);
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

int fs_snapshot_space(struct fs *fs, const char *name, struct store_pin_space *out)
{
    int err = store_pin_space(fs->store, name, out);
    return err == 1 ? -ENOENT : err;
}

struct listing {
    fs_snapshot_fn *fn;
    void *ctx;
};

static int list_one(void *ctx, const struct store_pin *pin)
{
    const struct listing *l = ctx;
    if (pin->tag == FS_HISTORY_TAG)
        return 0;
    struct fs_snapshot s = {.name = pin->name, .number = pin->tag, .created_ns = pin->created_ns};
    return l->fn(l->ctx, &s);
}

int fs_snapshot_list(struct fs *fs, fs_snapshot_fn *fn, void *ctx)
{
    struct listing l = {.fn = fn, .ctx = ctx};
    return store_pin_list(fs->store, list_one, &l);
}
