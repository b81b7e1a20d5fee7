/* atime: when files were last read, before that is written.
 *
 * A read must not wait for a write, nor cause one each time. So access times are first kept in
 * memory, shown from there, and written later, a few in each batch. A crash loses those that were
 * not; that is what `lazytime` allows, and the one exception from "the daemon holds no state that
 * the log does not" (docs/decisions/0055).
 *
 * Invariants:
 *   1. At most ATIMES_MAX are kept. Where there is no room, because writing does not keep up or is
 * not possible, one more is not kept: the next read will try again.
 *   2. What is kept of an inode is what its access time is. It stays for a while after it was
 * written, so that who looked at the record before that, and here after it, does not see an older
 * one.
 *   3. Whoever sets an access time calls atime_set() after the commit, with the inode locked. */
#ifndef VARVE_FS_ATIME_H
#define VARVE_FS_ATIME_H

#include "fs/volume.h"

enum { ATIME_SHARDS = 64, ATIME_SLOTS = 256, ATIME_SHARD_MAX = 192 };
enum { ATIMES_MAX = ATIME_SHARDS * ATIME_SHARD_MAX };
enum { ATIME_STAY_S = 10 }; /* how long at least, unless there is no room */

struct atimes;

/* NULL is one that keeps nothing; all functions below take it. */
struct atimes *atimes_new(enum fs_atime rule, bool folders);
void atimes_free(struct atimes *t);

/* The inode, of the present, as its record has it, has been read now: kept if the rule wants it. */
void atime_note(struct fs *fs, const struct inode *n);
/* What is kept of the inode. False: nothing; its record is right. */
bool atime_get(struct atimes *t, uint64_t ino, struct fs_time *time);
/* That time is in the record now; so it need not be written, unless it has changed since. */
void atime_written(struct atimes *t, uint64_t ino, struct fs_time time, struct fs_time now);
/* Somebody has set it, in the record. */
void atime_set(struct atimes *t, uint64_t ino, struct fs_time time, struct fs_time now);
/* The inode is gone, or cannot be read. */
void atime_drop(struct atimes *t, uint64_t ino);

/* How many are not written. */
size_t atime_waiting(struct atimes *t);
/* Of one of the ATIME_SHARDS parts: the inodes whose times are not written. Lets those go that were
 * written long before `now`. */
size_t atime_list(struct atimes *t, size_t shard, struct fs_time now,
                  uint64_t inos[ATIME_SHARD_MAX]);

/* By which a rule decides: was the last access so long ago, or followed by a change? */
bool atime_is_due(enum fs_atime rule, const struct inode *n, struct fs_time now);

#endif
