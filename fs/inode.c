/* inode: see inode.h. */
#include "fs/inode.h"

#include "fs/atime.h"

#include <stdio.h>

enum { INODE_RECORD_MAX = 128 }; /* encoded; asserted */

int inode_get(const struct store_read *read, uint64_t ino, struct inode *n)
{
    struct store_value v = {0};
    struct key k = key_attr(ino);
    if (ino == 0)
        return -ENOENT; /* its keys are the superblock's */
    int err = store_get(read, key_slice(&k), &v);
    if (err == 0 && inode_decode(v.data, ino, n) < 0) {
        char name[32];
        snprintf(name, sizeof name, "inode %llu", (unsigned long long)ino);
        err = corrupt(name, UINT64_MAX, "its attributes do not decode");
    }
    store_value_release(&v);
    if (err == 0)
        n->counted = (struct inode_counted){n->quota, n->size, n->chunks};
    return err == 1 ? -ENOENT : err;
}

/* A dense file takes what its size says, one with holes what its chunks could hold. */
static uint64_t allocated(const struct fs *fs, uint32_t mode, uint64_t size, uint64_t chunks)
{
    uint64_t chunk = fs->super.chunk_bytes, spans = size / chunk + (size % chunk != 0);
    if (S_ISDIR(mode))
        return 0;
    return chunks >= spans ? size : chunks * chunk;
}

uint64_t inode_bytes(const struct fs *fs, const struct inode *n)
{
    return allocated(fs, n->mode, n->size, n->chunks);
}

/* What the counters have of it, taken off. */
static void uncount(struct txn *t, const struct inode *n)
{
    const struct inode_counted *c = &n->counted;
    uint64_t bytes = c->quota ? allocated(t->fs, n->mode, c->size, c->chunks) : 0;
    quota_charge(&t->charges, c->quota, -(int64_t)bytes, -1);
}

static void count(struct txn *t, struct inode *n)
{
    uint64_t bytes = n->quota ? allocated(t->fs, n->mode, n->size, n->chunks) : 0;
    quota_charge(&t->charges, n->quota, (int64_t)bytes, 1);
    n->counted = (struct inode_counted){n->quota, n->size, n->chunks};
}

void inode_put(struct txn *t, struct inode *n)
{
    assert(n->ino > 0 && n->ino <= FS_INO_MASK);
    uint8_t bytes[INODE_RECORD_MAX];
    struct buf b = {.data = bytes, .cap = sizeof bytes};
    struct key k = key_attr(n->ino);
    inode_encode(n, &b);
    assert(b.data == bytes);
    store_batch_put(t->batch, key_slice(&k), buf_slice(&b));
    if (n->quota || n->counted.quota) {
        uncount(t, n);
        count(t, n);
    }
}

int inode_enter(struct inode *n, const struct inode *folder)
{
    bool own = n->quota == n->ino; /* has a limit of its own, and keeps it */
    if (own || n->quota == folder->quota)
        return 0;
    if (inode_is_dir(n) && n->size > 0)
        return -EXDEV;
    if (!inode_is_dir(n) && n->nlink > 1)
        return folder->quota ? -EXDEV : 0;
    n->quota = folder->quota;
    return 0;
}

void inode_new(struct txn *t, uint64_t ino, uint32_t mode, uint64_t rdev,
               const struct fs_cred *cred, const struct inode *parent, struct inode *n)
{
    assert(ino >= FS_INO_FIRST && ino <= FS_INO_MASK);
    bool device = S_ISCHR(mode) || S_ISBLK(mode);
    *n = (struct inode){.ino = ino,
                        .mode = mode,
                        .nlink = S_ISDIR(mode) ? 2 : 1,
                        .uid = cred->uid,
                        .gid = cred->gid,
                        .flags = parent->flags & INODE_NODUMP,
                        .rdev = device ? rdev : 0,
                        .parent = parent->ino,
                        .quota = parent->quota,
                        .policy = S_ISREG(mode) || S_ISDIR(mode) ? parent->policy : 0,
                        .atime = t->now,
                        .mtime = t->now,
                        .ctime = t->now,
                        .btime = t->now};
    if (parent->mode & S_ISGID) {
        n->gid = parent->gid;
        if (S_ISDIR(mode))
            n->mode |= S_ISGID;
    }
    t->inodes++;
}

/* It may become part of its neighbour's until the lock is held. */
static void forget_policy(struct txn *t, uint64_t ino)
{
    txn_hold_policies(t);
    if (policy_is_single(&t->fs->policies, ino)) {
        struct key k = key_policy(ino);
        store_batch_delete(t->batch, key_slice(&k));
    }
}

void inode_delete(struct txn *t, const struct inode *n)
{
    struct key start = key_attr(n->ino), end = key_kind(n->ino, KIND_END);
    store_batch_delete_range(t->batch, key_slice(&start), key_slice(&end));
    uncount(t, n);
    if (n->quota == n->ino)
        quota_forget(&t->charges, t->batch, n->ino);
    if (n->policy && policy_is_single(&t->fs->policies, n->ino))
        forget_policy(t, n->ino);
    t->inodes--;
    t->chunks -= (int64_t)n->chunks;
    t->frees = true;
}

void inode_attr(const struct fs *fs, const struct inode *n, uint64_t snapshot, struct fs_attr *attr)
{
    uint64_t bytes = inode_bytes(fs, n);
    *attr = (struct fs_attr){.ino = ino_join(snapshot, n->ino),
                             .size = n->size,
                             .blocks = (bytes + 511) / 512,
                             .rdev = n->rdev,
                             .mode = n->mode,
                             .nlink = n->nlink,
                             .uid = n->uid,
                             .gid = n->gid,
                             .block_bytes = fs->super.chunk_bytes,
                             .flags = n->flags & FS_FLAGS,
                             .atime = n->atime,
                             .mtime = n->mtime,
                             .ctime = n->ctime,
                             .btime = n->btime};
    if (snapshot == 0)
        atime_get(fs->atimes, n->ino, &attr->atime);
}
