/* fs_policy: the part of the door that is about how contents of single files and folders are
 * compressed. */
#include "fs/fs_priv.h"

#include "fs/virtual.h"

/* A file's number is of that level from here on, in the same batch; a folder only passes it on. */
static int set_locked(struct txn *t, struct inode *n, int level)
{
    struct policy_table *table = &t->fs->policies;
    bool file = S_ISREG(n->mode);
    n->policy = (uint8_t)(level + 1);
    n->ctime = t->now;
    inode_put(t, n);
    if (!file)
        return txn_commit(t);
    uint64_t since = store_next_file(t->fs->store);
    txn_hold_policies(t);
    policy_put(table, n->ino, n->ino + 1, level, since, t->batch);
    int err = txn_commit(t);
    if (err == 0)
        policy_apply(table, n->ino, n->ino + 1, level, since);
    return err;
}

int fs_set_compression(struct fs *fs, uint64_t ino, int zstd_level)
{
    struct txn t;
    struct inode n;
    if (zstd_level < FS_COMPRESSION_DEFAULT || zstd_level > FS_ZSTD_LEVEL_MAX)
        return -EINVAL;
    int err = fs_begin_change(fs, ino, &t, &n);
    if (err < 0)
        return err;
    if (!S_ISREG(n.mode) && !inode_is_dir(&n))
        err = -EINVAL;
    else if (n.policy != zstd_level + 1)
        err = set_locked(&t, &n, zstd_level);
    txn_end(&t);
    return err;
}

int fs_get_compression(struct fs *fs, uint64_t ino, int *zstd_level)
{
    struct reader r;
    struct inode n;
    *zstd_level = FS_COMPRESSION_DEFAULT;
    if (ino_is_virtual(ino))
        return 1;
    int err = fs_begin_read(fs, ino, &r, &n);
    if (err < 0)
        return err;
    reader_end(&r);
    *zstd_level = n.policy - 1;
    return n.policy ? 0 : 1;
}
