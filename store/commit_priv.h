/* commit_priv: shared by the files of module commit. Everything here is the leader's. */
#ifndef VARVE_STORE_COMMIT_PRIV_H
#define VARVE_STORE_COMMIT_PRIV_H

#include "store/commit.h"

enum writer_state { WRITER_WAITS, WRITER_LEADS, WRITER_INSERTS, WRITER_DONE };

struct commit_writer {
    struct store_batch *batch; /* NULL: nothing to write: a sync, or `alone` */
    int flags;
    commit_alone_fn *alone; /* goes alone and does this instead of writing; NULL: writes */
    void *alone_ctx;
    int result;
    uint64_t first_seq;
    enum writer_state state; /* [queue] */
    pthread_cond_t wake;     /* [queue] */
    struct commit_writer *next;
    struct commit_group *group;
};

/* Writers that go together, from the head of the queue: `first` leads. */
struct commit_group {
    struct commit_writer *first, *last;
    uint32_t writers;
    uint64_t ops, bytes;
    bool sync;
    uint32_t inserting; /* [queue] members that still insert */
};

/* Has the writer (still) something to write? */
static inline bool writer_has_ops(const struct commit_writer *w)
{
    return w->batch && w->batch->count > 0 && w->result == 0;
}
/* The writer's operations go in, each by memtable_add(). */
void commit_insert_points(struct memtable *m, const struct commit_writer *w);

/* ---- commit_group.c ---- */

/* Writes, syncs, inserts and publishes. Every writer has its result then. */
void commit_group(struct commit *c, struct commit_group *g);
/* Invariant 3, in its order: everything that was written is on disk. 0 or -EROFS. */
int commit_sync(struct commit *c);
/* Tells those who watch (store_stats_get()) how large the log is, and what was written to it. */
void commit_tell_log(struct commit *c);

/* ---- commit_room.c ---- */

/* Starts a log for sequence numbers from c->next_seq on and a memtable for it, and puts them in
 * front. */
int commit_push_gen(struct commit *c);
/* Makes sure that the active memtable takes a group of `bytes`: slows the writer down (pace.h), or
 * stops it while level 0 is too long; seals a full memtable, waiting for a flush if there are too
 * many. -EROFS, or the error with which flushing fails. */
int commit_make_room(struct commit *c, uint64_t bytes);
/* Waits until there are fewer memtables than allowed. Errors as above. */
int commit_wait_for_flush(struct commit *c);
/* Is there space on the disk for `bytes`, beside what is kept for others? */
bool commit_space_for(struct commit *c, uint64_t bytes);

#endif
