/* volume: the open file system: the store below, what the superblock says, and the few things kept
 * in memory, each of which can be told anew from the store: counters, inode numbers reserved but
 * not given out, the list of orphans, the table of snapshots. */
#ifndef VARVE_FS_VOLUME_H
#define VARVE_FS_VOLUME_H

#include "fs/format.h"
#include "fs/lock.h"

/* Inode numbers are given out so that those of one folder lie together: each folder that something
 * is made in holds a run of numbers, first small, then larger runs. Runs come from a global cursor,
 * whose high-water mark is reserved on disk ahead of use: after a crash the rest of a reservation
 * is skipped, so no number is ever given out twice. */
enum {
    INO_RUN_MIN = 16,
    INO_RUN_MAX = 1024,
    INO_RESERVE = 1 << 16, /* numbers that one write of SUPER_NEXT_INO reserves */
    INO_FOLDERS = 4096, /* folders whose runs are remembered; a forgotten run's rest is not used */
};
struct ino_run {
    uint64_t folder; /* 0: free */
    uint64_t next, end;
    uint32_t size;  /* of the last run */
    uint8_t policy; /* as in struct inode: of the folder when the run was begun */
};
struct ino_alloc {
    pthread_mutex_t lock;
    uint64_t next;                    /* [lock] the first number that no run has */
    uint64_t reserved;                /* [lock] durably reserved up to here (exclusive) */
    struct ino_run runs[INO_FOLDERS]; /* [lock] by hash of the folder */
};

struct snapshot_entry {
    uint64_t number; /* 1 to FS_SNAPSHOTS_MAX: the pin's tag */
    uint64_t seq;
    int64_t created_ns;
    char *name;
};
struct snapshot_table {
    /* Held by whoever makes, drops or renames a snapshot, for as long as that takes; then only they
     * change the rest, each time with `lock` held for writing, but briefly. */
    pthread_mutex_t change;
    /* Held for reading while a snapshot is read: it cannot be dropped meanwhile. Writers go first,
     * so no thread takes it twice. */
    pthread_rwlock_t lock;
    struct snapshot_entry *entries; /* ascending number */
    size_t count, cap;
    uint64_t last_number; /* numbers go round, so that a new snapshot does not get one that was
                             freed just now */
};

/* A state that is kept for history: a pin with FS_HISTORY_TAG. */
#define FS_HISTORY_TAG (UINT64_C(1) << 32)
struct history_point {
    uint64_t seq;
    int64_t created_ns;
};
/* A time that somebody has asked for: a tree with a number of its own. */
struct history_moment {
    int64_t second; /* since 1970 */
    uint64_t seq;   /* 0: free */
};
enum { HISTORY_MOMENTS = FS_TREES_MAX - FS_MOMENT_FIRST + 1 };
/* All under snapshot_table.lock, and changed by whoever holds snapshot_table.change, but for the
 * moments: these under `asking`, too. */
struct history {
    struct history_point *points; /* ascending seq */
    size_t count, cap;
    pthread_mutex_t asking;
    struct history_moment moments[HISTORY_MOMENTS]; /* by number - FS_MOMENT_FIRST */
    size_t next_moment;                             /* numbers go round */
};

/* Inodes without a name that the outside may still use. */
struct orphan_set {
    pthread_mutex_t lock;
    uint64_t *inos; /* [lock] open addressing, 0: free */
    size_t count, cap;
    size_t count_hint; /* atomic copy of count: fs_forget() of anything while there are none costs
                          one load */
};

/* A folder with a limit, and what counts towards it. */
struct quota {
    uint64_t folder; /* constant */
    uint64_t limit;  /* atomic; bytes; 0: none */
    int64_t bytes;   /* atomic: used, with what operations under way have asked for */
    int64_t inodes;  /* atomic */
    bool taking;     /* [change] as in its record */
    uint64_t from;   /* [change] */
    bool gone;       /* atomic: the folder is deleted; what is left is counted no more */
};
struct quota_table {
    pthread_mutex_t change; /* held by whoever sets a limit, for as long as that takes */
    pthread_rwlock_t lock;
    struct quota **list; /* [lock] by folder; what they point to lives as long as the table */
    size_t count, cap;
};

/* Batches are kept for reuse, so that an operation allocates nothing. */
enum { BATCH_POOL = 16 };
struct batch_pool {
    pthread_mutex_t lock;
    struct store_batch *list[BATCH_POOL]; /* [lock] */
    size_t count;
};

struct atimes; /* atime.h */

/* How contents of files are compressed goes by their inode's number, which is all that compaction
 * knows of a value. A folder that wants its files compressed in a way of its own is given runs of
 * numbers for that, so that one interval says it of many files. */
struct policy_table {
    pthread_mutex_t change; /* held from planning a change until it is in memory;
                               by who deletes a record until that is written */
    pthread_rwlock_t lock;
    struct policy *list; /* [lock; written with change, too] ascending, without overlaps */
    size_t count, cap;   /* count: atomic */
};

struct fs {
    struct store *store;
    bool read_only;
    bool no_sweep;
    uint64_t base_seq; /* the "present" is the state at this number: of a snapshot that is opened as
                          the volume; 0: it is the newest */
    struct super_record super;
    struct locks locks;
    pthread_mutex_t rename; /* moves of folders between folders, one at a time: no two may close a
                               circle together */
    struct ino_alloc inos;
    struct snapshot_table snapshots;
    struct history history;
    struct orphan_set orphans;
    struct batch_pool batches;
    struct atimes *atimes; /* owned; NULL: access times are not kept */
    int64_t now_least_ns;  /* atomic: fs_now_raise() */
    struct quota_table quotas;
    struct policy_table policies;
    struct store_classes classes; /* of keys, by `policies`; constant */
    int64_t inodes, chunks;       /* atomic: the counters as of the last acknowledged operation */
};

/* Reads superblock, counters, reservation, orphans and snapshots of an open store: after an error
 * as many of these as can be read. 0, -EIO, -EPROTONOSUPPORT; -ENODATA when there is no `snapshot`
 * (NULL: none is asked for) to be the present. In any case volume_release() ends it. */
int volume_load(struct fs *fs, const char *snapshot);
/* Numbers, counters and orphans once more: the store has become another one under them. 0 or -EIO.
 */
int volume_reload(struct fs *fs);
void volume_release(struct fs *fs); /* everything but the store */

struct fs_time fs_time_of(int64_t ns); /* since 1970 */
/* The time that an operation begun now gives to files. */
struct fs_time fs_now(struct fs *fs);
/* A file got this time by the outside's clock. If that is ahead of ours by no more than such clocks
 * are, ours is to be no earlier from now on: what comes later shall not look older. */
void fs_now_raise(struct fs *fs, struct fs_time seen);

/* A fresh inode number for something made in `folder`, whose `policy` is that. 0 or an error (a
 * reservation could not be written). */
int ino_take(struct fs *fs, uint64_t folder, uint8_t policy, uint64_t *ino);
/* Runs that folders have are void. */
void ino_forget_runs(struct fs *fs);

struct store_batch *batch_take(struct fs *fs);
void batch_give(struct fs *fs, struct store_batch *b);

/* ---- reading the present or a snapshot ---- */
void volume_read_begin(const struct fs *fs, struct store_read *read); /* the present */
struct reader {
    struct fs *fs;
    uint64_t snapshot; /* 0: the present */
    struct store_read read;
};
/* A consistent view of what `ino` belongs to. 0, or -ESTALE when its snapshot is gone. A thread has
 * at most one reader of a snapshot at a time (snapshot_table.lock). */
int reader_begin(struct fs *fs, uint64_t ino, struct reader *r);
void reader_end(struct reader *r);

/* ---- limits of folders ---- */
void quota_init(struct fs *fs);
/* Reads all limits, and what counts towards them. 0, or what reading gives. */
int quota_load(struct fs *fs, const struct store_read *read);
void quota_release(struct fs *fs);
/* Before they are loaded anew. */
void quota_forget_all(struct fs *fs);
/* Of that folder; NULL: it has none. */
struct quota *quota_find(struct fs *fs, uint64_t folder);
/* Adds one, of a folder that has none. [quotas.change] */
struct quota *quota_add(struct fs *fs, uint64_t folder, const struct quota_record *record);

/* ---- compression of single files ---- */
/* Before the store is opened, whose workers ask for levels, and after it is closed. */
void policy_init(struct fs *fs);
void policy_release(struct fs *fs);
/* Reads all intervals, in place of those that are there. 0, or what reading gives. */
int policy_load(struct fs *fs, const struct store_read *read);
/* The level of zstd for contents of that inode; -1: as is set. */
int policy_level(struct policy_table *t, uint64_t ino);
/* The largest `since` of the intervals that meet [start, end); 0: none. */
uint64_t policy_since(struct policy_table *t, uint64_t start, uint64_t end);
/* Has it an interval of its own? */
bool policy_is_single(struct policy_table *t, uint64_t ino);
/* Puts into the batch what makes [start, end) of that level (-1: as is set); and, once that is
 * written, the same in memory. [change] */
void policy_put(const struct policy_table *t, uint64_t start, uint64_t end, int level,
                uint64_t since, struct store_batch *b);
void policy_apply(struct policy_table *t, uint64_t start, uint64_t end, int level, uint64_t since);
/* Both, in a batch of its own, for numbers that nothing has yet. 0 or an error, after which nothing
 * has happened. */
int policy_write(struct fs *fs, uint64_t start, uint64_t end, int level);

/* Where the snapshot `number` stands in the table, or the first behind it. [t->lock, or change] */
size_t snapshot_place(const struct snapshot_table *t, uint64_t number);
/* Adds a line for a number that is not there; the name becomes the table's. [t->lock for writing]
 */
void snapshot_insert(struct snapshot_table *t, const struct snapshot_entry *entry);
/* Takes the line at `place` out; the name becomes the caller's. [t->lock for writing] */
struct snapshot_entry snapshot_remove(struct snapshot_table *t, size_t place);

/* ---- history in memory (volume_history.c) ---- */
/* [snapshot_table.lock for writing, or loading] */
void history_add(struct history *h, const struct history_point *p);
/* Is the state still kept? [snapshot_table.lock] */
bool history_has(const struct history *h, uint64_t seq);
/* The state of a moment by the number of its tree: 0: there is none, or it is not kept any more.
 * [snapshot_table.lock] */
uint64_t history_seq(struct history *h, uint64_t number);

/* ---- orphans in memory ---- */
void orphan_add(struct fs *fs, uint64_t ino);
/* Removes it; false when it was not there. */
bool orphan_take(struct fs *fs, uint64_t ino);
/* Those that are in the set now; the caller frees the list. */
size_t orphan_list(struct fs *fs, uint64_t **list);

#endif
