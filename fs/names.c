/* names: see names.h. Each operation: lock the inodes that change, look again, change records and
 * entries in one batch.
 *
 * Which inodes change is known only after a look-up, and locks are taken all at once: so look first
 * without, lock, and look again; if something else is there by then, start over. */
#include "fs/names.h"

#include "fs/acl.h"
#include "fs/extent.h"
#include "fs/flags.h"

/* An inode that new entries may be made in. */
static int get_folder(const struct store_read *read, uint64_t ino, struct inode *dir)
{
    int err = inode_get(read, ino, dir);
    if (err < 0)
        return err;
    if (!inode_is_dir(dir))
        return -ENOTDIR;
    return 0;
}

int names_lookup(struct reader *r, uint64_t dir, const char *name, struct inode *n)
{
    struct inode folder;
    struct dirent entry;
    int err = get_folder(&r->read, dir, &folder);
    if (err == 0)
        err = dir_find(r->fs, &r->read, &folder, name, &entry);
    if (err == 0) {
        err = inode_get(&r->read, entry.ino, n);
        if (err == -ENOENT)
            err = corrupt(name, UINT64_MAX, "an entry for an inode that is not there");
    }
    return err;
}

/* ---- making ---- */

static int put_target(struct txn *t, struct inode *n, const char *target)
{
    return target ? extent_write(t, n, 0, target, strlen(target)) : 0;
}

static int make_locked(struct txn *t, uint64_t dir, const char *name, uint32_t mode, uint64_t rdev,
                       const char *target, const struct fs_cred *cred, struct inode *made)
{
    struct inode folder;
    struct dirent there;
    uint64_t ino;
    assert(S_ISLNK(mode) == (target != NULL) && dir_check_name(name) == 0);
    int err = get_folder(&t->read, dir, &folder);
    if (err < 0)
        return err;
    if (folder.nlink == 0)
        return -ENOENT; /* a removed folder that is still somebody's current one */
    err = dir_find(t->fs, &t->read, &folder, name, &there);
    if (err != -ENOENT)
        return err == 0 ? -EEXIST : err;
    err = flags_check_make(&folder);
    if (err == 0)
        err = ino_take(t->fs, dir, folder.policy, &ino);
    if (err < 0)
        return err;
    inode_new(t, ino, mode, rdev, cred, &folder, made);
    err = acl_inherit(t, &folder, cred->umask, made);
    if (err == 0)
        err = put_target(t, made, target);
    if (err == 0)
        err = dir_insert(t, &folder, name, ino, mode);
    if (err < 0)
        return err;
    made->slot = t->slot;
    folder.nlink += S_ISDIR(mode);
    inode_put(t, &folder);
    inode_put(t, made);
    return txn_commit(t);
}

int names_make(struct fs *fs, uint64_t dir, const char *name, uint32_t mode, uint64_t rdev,
               const char *target, const struct fs_cred *cred, struct inode *made)
{
    struct txn t;
    int err = txn_init(&t, fs);
    if (err < 0)
        return err;
    txn_lock(&t, &dir, 1);
    err = make_locked(&t, dir, name, mode, rdev, target, cred, made);
    txn_end(&t);
    return err;
}

/* Only readers look at the folder, so it is not locked. */
static int make_unnamed(struct txn *t, uint64_t dir, uint32_t mode, bool linkable,
                        const struct fs_cred *cred, struct inode *made)
{
    struct inode folder;
    uint64_t ino;
    assert(S_ISREG(mode));
    int err = get_folder(&t->read, dir, &folder);
    if (err == 0 && folder.nlink == 0)
        err = -EPERM; /* not -ENOENT: what ext4 says */
    if (err == 0)
        err = flags_check_make(&folder);
    if (err == 0)
        err = ino_take(t->fs, dir, folder.policy, &ino);
    if (err < 0)
        return err;
    inode_new(t, ino, mode, 0, cred, &folder, made);
    err = acl_inherit(t, &folder, cred->umask, made);
    if (err < 0)
        return err;
    made->nlink = 0;
    made->flags |= linkable ? INODE_LINKABLE : 0;
    inode_put(t, made);
    struct key k = key_orphan(ino);
    store_batch_put(t->batch, key_slice(&k), (struct slice){0});
    return txn_commit(t);
}

int names_make_unnamed(struct fs *fs, uint64_t dir, uint32_t mode, bool linkable,
                       const struct fs_cred *cred, struct inode *made)
{
    struct txn t;
    int err = txn_init(&t, fs);
    if (err < 0)
        return err;
    txn_lock(&t, NULL, 0);
    err = make_unnamed(&t, dir, mode, linkable, cred, made);
    if (err == 0)
        orphan_add(fs, made->ino);
    txn_end(&t);
    return err;
}

/* ---- linking ---- */

static bool is_unnamed(const struct inode *n)
{
    return n->nlink == 0 && n->flags & INODE_LINKABLE;
}

/* Its line in the list goes in the same batch. Not there any more: somebody is deleting it. */
static int take_from_orphans(struct txn *t, struct inode *n)
{
    struct key k = key_orphan(n->ino);
    if (!orphan_take(t->fs, n->ino))
        return -ENOENT;
    store_batch_delete(t->batch, key_slice(&k));
    n->flags &= ~(uint32_t)INODE_LINKABLE;
    return 0;
}

static int link_locked(struct txn *t, uint64_t ino, uint64_t dir, const char *name, struct inode *n)
{
    struct inode folder;
    struct dirent there;
    int err = get_folder(&t->read, dir, &folder);
    if (err == 0)
        err = inode_get(&t->read, ino, n);
    if (err < 0)
        return err;
    if (inode_is_dir(n))
        return -EPERM;
    bool unnamed = is_unnamed(n);
    if (folder.nlink == 0 || (n->nlink == 0 && !unnamed))
        return -ENOENT;
    if (n->nlink >= FS_LINK_MAX)
        return -EMLINK;
    if (unnamed)
        n->quota = folder.quota;
    else if (folder.quota && n->quota != folder.quota)
        return -EXDEV;
    err = dir_find(t->fs, &t->read, &folder, name, &there);
    if (err != -ENOENT)
        return err == 0 ? -EEXIST : err;
    err = flags_check_make(&folder);
    if (err == 0)
        err = flags_check_fixed(n);
    if (err == 0)
        err = dir_insert(t, &folder, name, ino, n->mode);
    if (err == 0 && unnamed)
        err = take_from_orphans(t, n);
    if (err < 0)
        return err;
    assert(n->ino == ino && folder.ino == dir);
    n->nlink++;
    n->parent = dir;
    n->slot = t->slot;
    n->ctime = t->now;
    inode_put(t, &folder);
    inode_put(t, n);
    err = txn_commit(t);
    if (err < 0 && unnamed)
        orphan_add(t->fs, ino);
    return err;
}

int names_link(struct fs *fs, uint64_t ino, uint64_t dir, const char *name, struct inode *n)
{
    struct txn t;
    int err = txn_init(&t, fs);
    if (err < 0)
        return err;
    uint64_t inos[] = {ino, dir};
    txn_lock(&t, inos, 2);
    err = link_locked(&t, ino, dir, name, n);
    txn_end(&t);
    return err;
}

/* ---- removing ---- */

void names_drop_link(struct txn *t, struct inode *n)
{
    assert(t->reading);
    n->nlink = inode_is_dir(n) || n->nlink == 0 ? 0 : n->nlink - 1;
    n->ctime = t->now;
    t->frees = true;
    inode_put(t, n);
    if (n->nlink == 0) {
        struct key k = key_orphan(n->ino);
        store_batch_put(t->batch, key_slice(&k), (struct slice){0});
    }
}

int names_lock_entry(struct txn *t, uint64_t dir, const char *name, struct inode *folder,
                     struct dirent *entry, struct inode *n)
{
    uint64_t inos[2] = {dir, 0};
    for (;;) {
        txn_lock(t, inos, 2);
        int err = get_folder(&t->read, dir, folder);
        if (err == 0)
            err = dir_find(t->fs, &t->read, folder, name, entry);
        if (err < 0)
            return err;
        if (entry->ino == inos[1]) {
            err = inode_get(&t->read, entry->ino, n);
            return err == -ENOENT
                       ? corrupt(name, UINT64_MAX, "an entry for an inode that is not there")
                       : err;
        }
        txn_unlock(t);
        inos[1] = entry->ino;
    }
}

static int remove_entry(struct fs *fs, uint64_t dir, const char *name, bool folders)
{
    struct txn t;
    struct inode folder, n;
    struct dirent entry;
    int err = txn_init(&t, fs);
    if (err < 0)
        return err;
    err = names_lock_entry(&t, dir, name, &folder, &entry, &n);
    if (err == 0)
        err = flags_check_remove(&folder, &n);
    if (err == 0 && inode_is_dir(&n) != folders)
        err = folders ? -ENOTDIR : -EISDIR;
    if (err == 0 && folders && n.size > 0)
        err = -ENOTEMPTY;
    if (err == 0) {
        assert(n.ino == entry.ino && folder.ino == dir);
        dir_remove(&t, &folder, &entry);
        folder.nlink -= folders && folder.nlink > 2;
        inode_put(&t, &folder);
        names_drop_link(&t, &n);
        err = txn_commit(&t);
    }
    if (err == 0 && n.nlink == 0)
        orphan_add(fs, n.ino);
    txn_end(&t);
    return err;
}

int names_unlink(struct fs *fs, uint64_t dir, const char *name)
{
    return remove_entry(fs, dir, name, false);
}

int names_rmdir(struct fs *fs, uint64_t dir, const char *name)
{
    return remove_entry(fs, dir, name, true);
}
