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
    return err == 1 ? -ENOENT : err;
}

void inode_put(struct txn *t, const struct inode *n)
{
    assert(n->ino > 0 && n->ino <= FS_INO_MASK);
    uint8_t bytes[INODE_RECORD_MAX];
    struct buf b = {.data = bytes, .cap = sizeof bytes};
    struct key k = key_attr(n->ino);
    inode_encode(n, &b);
    assert(b.data == bytes);
    store_batch_put(t->batch, key_slice(&k), buf_slice(&b));
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

void inode_delete(struct txn *t, const struct inode *n)
{
    struct key start = key_attr(n->ino), end = key_kind(n->ino, KIND_END);
    store_batch_delete_range(t->batch, key_slice(&start), key_slice(&end));
    t->inodes--;
    t->chunks -= (int64_t)n->chunks;
    t->frees = true;
}

void inode_attr(const struct fs *fs, const struct inode *n, uint64_t snapshot, struct fs_attr *attr)
{
    uint64_t chunk = fs->super.chunk_bytes;
    uint64_t spans = n->size / chunk + (n->size % chunk != 0);
    /* A dense file takes what its size says; one with holes what its chunks could hold. */
    uint64_t bytes = n->chunks >= spans ? n->size : n->chunks * chunk;
    *attr = (struct fs_attr){.ino = ino_join(snapshot, n->ino),
                             .size = n->size,
                             .blocks = inode_is_dir(n) ? 0 : (bytes + 511) / 512,
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
