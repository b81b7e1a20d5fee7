/* orphan: see orphan.h. One batch: the range tombstone over the inode, its line in the list, the
 * counters. */
#include "fs/orphan.h"

#include <stdio.h>

static int delete_locked(struct txn *t, uint64_t ino)
{
    struct inode n;
    struct key k = key_orphan(ino);
    int err = inode_get(&t->read, ino, &n);
    if (err == 0 && n.nlink > 0) {
        char name[48];
        snprintf(name, sizeof name, "inode %llu", (unsigned long long)ino);
        return corrupt(name, UINT64_MAX, "it is listed as an orphan, but has links");
    }
    if (err < 0 && err != -ENOENT)
        return err;
    if (err == 0)
        inode_delete(t, &n);
    t->frees = true;
    store_batch_delete(t->batch, key_slice(&k));
    return txn_commit(t);
}

static int delete_one(struct fs *fs, uint64_t ino)
{
    struct txn t;
    int err = txn_init(&t, fs);
    if (err < 0)
        return err;
    txn_lock(&t, &ino, 1);
    err = delete_locked(&t, ino);
    txn_end(&t);
    return err;
}

void orphan_delete(struct fs *fs, uint64_t ino)
{
    if (delete_one(fs, ino) < 0)
        orphan_add(fs, ino);
}

/* Any inode of the set; 0: it is empty. */
static uint64_t any(struct fs *fs)
{
    struct orphan_set *s = &fs->orphans;
    uint64_t ino = 0;
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->cap && ino == 0; i++)
        ino = s->inos[i];
    pthread_mutex_unlock(&s->lock);
    return ino;
}

int orphan_sweep(struct fs *fs)
{
    uint64_t ino;
    while ((ino = any(fs)) != 0) {
        orphan_take(fs, ino);
        int err = delete_one(fs, ino);
        if (err < 0) {
            orphan_add(fs, ino);
            return err;
        }
    }
    return 0;
}
