/* orphan: see orphan.h. One batch: the range tombstone over the inode, its line in the list, the
 * counters. */
#include "fs/orphan.h"

#include <stdio.h>

static int delete_locked(struct txn *t, uint64_t ino)
{
    struct inode n;
    struct key k = key_orphan(ino);
    assert(t->reading);
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

void orphan_sweep(struct fs *fs)
{
    uint64_t *list;
    size_t count = orphan_list(fs, &list), failed = 0;
    int err = 0;
    for (size_t i = 0; i < count; i++) {
        int one = orphan_take(fs, list[i]) ? delete_one(fs, list[i]) : 0;
        if (one < 0) {
            orphan_add(fs, list[i]);
            failed++;
            err = one;
        }
    }
    free(list);
    /* One that cannot be deleted must not keep the others, or the volume, from being used. */
    if (failed)
        log_message(LOG_WARNING, "%zu of %zu deleted files could not be freed yet: %s", failed,
                    count, strerror(-err));
}
