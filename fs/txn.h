/* txn: one operation as one batch under the locks of the inodes it changes.
 *
 *   txn_init(); (compress data into t.batch, before any lock); txn_lock(inodes); read through
 * t.read, put into t.batch; txn_commit(); txn_end().
 *
 * Whatever is read between lock and commit cannot change meanwhile, as long as every writer locks
 * the inodes that it writes. Without txn_commit() nothing happens. */
#ifndef VARVE_FS_TXN_H
#define VARVE_FS_TXN_H

#include "fs/quota.h"

struct txn {
    struct fs *fs;
    struct store_batch *batch;
    struct store_read read; /* open between txn_lock() and txn_end() */
    bool reading;
    struct lock_set locked;
    struct fs_time now; /* of the operation, from txn_lock() on: so what is done later on an inode
                           does not get an earlier time */
    uint64_t slot;      /* of the folder entry that was put last */
    int64_t inodes, chunks;       /* what it adds to the counters */
    bool frees;                   /* it frees space: may use the reserve */
    bool policies;                /* policies.change is held */
    struct quota_charges charges; /* what it adds to limits of folders */
};

/* Takes a batch. -EROFS on a read-only volume: then there is nothing to end. */
int txn_init(struct txn *t, struct fs *fs);
/* Locks and opens a view. May be called again after txn_unlock() when what was read before shows
 * that others have to be locked. */
void txn_lock(struct txn *t, const uint64_t *inos, size_t count);
void txn_unlock(struct txn *t);
/* From here to txn_unlock() nobody else changes how single files are compressed, and records of
 * that may be put into the batch. May be called twice. */
void txn_hold_policies(struct txn *t);
/* Adds the counters, writes the batch. 0 or an error, after which nothing has happened: -EDQUOT
 * when it would add to a limit that it then exceeds. */
int txn_commit(struct txn *t);
void txn_end(struct txn *t);

#endif
