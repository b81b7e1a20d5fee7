/* quota: what an operation does to limits of folders. Each inode's record names the folder whose
 * limit it counts towards, which it has from the folder that it was made in; so what an operation
 * costs does not depend on how deep it happens, or on how much is there. What counts is kept in the
 * store, in the batch of each change, and as sums in memory (volume.h), by which operations are
 * refused. */
#ifndef VARVE_FS_QUOTA_H
#define VARVE_FS_QUOTA_H

#include "fs/volume.h"

/* What one operation adds to sums. Zero-initialised is empty. */
struct quota_charge {
    uint64_t folder;
    int64_t bytes, inodes;
};
enum { QUOTA_CHARGES_MAX = LOCK_INODES_MAX };
struct quota_charges {
    struct quota_charge list[QUOTA_CHARGES_MAX]; /* one for each limit that it touches */
    uint32_t count;
    bool over_limits; /* it is not refused, whatever limits say */
    uint64_t gone;    /* a folder that it deletes, with its limit; 0: none */
};

/* Adds to what counts towards the limit of `folder` (0: none). */
void quota_charge(struct quota_charges *all, uint64_t folder, int64_t bytes, int64_t inodes);
/* Puts the record of a limit, as it shall be, into the batch. */
void quota_put(struct store_batch *batch, uint64_t folder, const struct quota_record *record);
/* The folder is deleted by this batch: so are its limit and what was counted. */
void quota_forget(struct quota_charges *all, struct store_batch *batch, uint64_t folder);

/* Before the batch is written: takes what the charges add, all of it or nothing (-EDQUOT), and puts
 * the changes into the batch. After 0 quota_settle() has to follow. */
int quota_admit(struct fs *fs, struct quota_charges *all, struct store_batch *batch);
/* After it: takes off what they take off or, if nothing was written, what they had taken; they are
 * empty then. */
void quota_settle(struct fs *fs, struct quota_charges *all, bool written);

/* Would so many bytes more be within the limit of `folder` (0: none) now? */
bool quota_fits(struct fs *fs, uint64_t folder, uint64_t bytes);

/* Takes away sums that are left of folders that are gone. [nobody else uses the volume] */
int quota_sweep(struct fs *fs);

#endif
