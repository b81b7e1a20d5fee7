/* txn: see txn.h. The counters' deltas are merged blind, so no two operations meet over them. */
#include "fs/txn.h"

int txn_init(struct txn *t, struct fs *fs)
{
    *t = (struct txn){.fs = fs};
    if (fs->read_only)
        return -EROFS;
    t->batch = batch_take(fs);
    return 0;
}

void txn_lock(struct txn *t, const uint64_t *inos, size_t count)
{
    assert(!t->reading && t->locked.count == 0);
    lock_take(&t->fs->locks, inos, count, &t->locked);
    t->now = fs_now(t->fs);
    store_read_begin(t->fs->store, &t->read);
    t->reading = true;
}

void txn_unlock(struct txn *t)
{
    if (t->reading)
        store_read_end(&t->read);
    t->reading = false;
    if (t->policies)
        pthread_mutex_unlock(&t->fs->policies.change);
    t->policies = false;
    lock_drop(&t->fs->locks, &t->locked);
}

void txn_hold_policies(struct txn *t)
{
    assert(t->reading);
    if (!t->policies)
        pthread_mutex_lock(&t->fs->policies.change);
    t->policies = true;
}

static void add_counters(struct txn *t)
{
    struct counters delta = {.inodes = t->inodes, .chunks = t->chunks};
    struct key k = key_super(SUPER_COUNTERS);
    uint8_t bytes[16];
    struct buf b = {.data = bytes, .cap = sizeof bytes};
    counters_encode(&delta, &b);
    assert(b.data == bytes && b.len == sizeof bytes);
    store_batch_merge(t->batch, key_slice(&k), buf_slice(&b));
}

int txn_commit(struct txn *t)
{
    assert(t->reading && t->batch && store_batch_count(t->batch) > 0);
    struct quota_charges *charges = &t->charges;
    int err = charges->count ? quota_admit(t->fs, charges, t->batch) : 0;
    if (err < 0)
        return err;
    if (t->inodes || t->chunks)
        add_counters(t);
    err = store_write(t->fs->store, t->batch, t->frees ? STORE_RESERVE : 0);
    if (charges->count)
        quota_settle(t->fs, charges, err == 0);
    if (err < 0)
        return err;
    __atomic_fetch_add(&t->fs->inodes, t->inodes, __ATOMIC_RELAXED);
    __atomic_fetch_add(&t->fs->chunks, t->chunks, __ATOMIC_RELAXED);
    return 0;
}

void txn_end(struct txn *t)
{
    txn_unlock(t);
    if (t->batch)
        batch_give(t->fs, t->batch);
    t->batch = NULL;
    assert(!t->reading && t->locked.count == 0);
}
