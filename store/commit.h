/* commit: the way of a batch into log, blob file and memtable.
 *
 * Writers queue. The first becomes the leader of a group: it makes room (sealing a full memtable),
 * places and writes the group's blob values, writes the group's records with one write, syncs if
 * any of the group asked (the blob file before the log), inserts everything, and publishes the
 * group's last sequence number. The write comes before the acknowledgement: a killed process loses
 * nothing.
 *
 * Invariants:
 *   1. Records stand in the log in the order of their sequence numbers, without gaps.
 *   2. A record is acknowledged only after the record and every frame that it refers to were
 *      written.
 *   3. A synced acknowledgement: frames, then all older logs, then this log are on disk.
 *   4. published never passes an entry that is not in a memtable of the current view. */
#ifndef VARVE_STORE_COMMIT_H
#define VARVE_STORE_COMMIT_H

#include "store/autosync.h"
#include "store/batch.h"
#include "store/tree.h"

struct commit_writer;

struct commit {
    struct tree *tree;
    pthread_mutex_t queue;
    struct commit_writer *head, *tail; /* [queue] */
    struct autosync autosync;          /* whoever opens it may start its thread */
    /* the leader's own */
    struct journal_writer *log;
    struct logtail *logtail;  /* NULL: it cannot be used here */
    struct blob_writer *blob; /* of the active memtable; NULL until a value needs it */
    struct memgen *active;    /* borrowed from the view */
    bool folder_dirty;        /* a file was created that sync_dir() has not covered */
    uint64_t next_seq;
    uint64_t mark_bytes; /* of the log that were synced since the last mark in it; 0: none were */
    struct buf record;   /* one being encoded */
    uint64_t delay_ns;   /* that writers owe to flushes and compactions */
    uint64_t space_left; /* that may be written before asking the disk again */
};

/* Makes the first log (or the next one after recovery): the store can be written to. */
int commit_open(struct commit *c, struct tree *t, uint64_t next_seq);
/* Syncs the log and ends. Nobody else may be in commit_*(). */
int commit_close(struct commit *c);
/* store_write(). */
int commit_write(struct commit *c, struct store_batch *b, int flags);
/* Goes through the queue like a writer and calls `fn` as the leader: nobody else writes, syncs or
 * seals meanwhile. Returns what fn does. */
typedef int commit_alone_fn(struct commit *c, void *ctx);
int commit_alone(struct commit *c, commit_alone_fn *fn, void *ctx);
/* For such a function. Seals the active memtable if it holds anything, waiting for a flush if there
 * are too many. 0, -EROFS, or the error with which flushing fails. */
int commit_leader_seal(struct commit *c);
/* Takes the next sequence number for an operation that is in no memtable: it is in the log as one
 * that does nothing, and it and everything before it would survive a power cut. 0; -ENOSPC or
 * another error: nothing was taken; -EROFS. */
int commit_leader_skip(struct commit *c, uint64_t *seq);
/* What was taken is seen by those who begin to read now. */
void commit_leader_publish(struct commit *c);
/* Seals the active memtable if it holds anything, so that a flush takes it. */
int commit_seal(struct commit *c);

#endif
