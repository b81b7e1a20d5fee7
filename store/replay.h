/* replay: one log read back into memtables. */
#ifndef VARVE_STORE_REPLAY_H
#define VARVE_STORE_REPLAY_H

#include "store/tree.h"

enum replay_end {
    REPLAY_EMPTY,   /* the log was cut off while it was made, or never written to */
    REPLAY_CLEAN,   /* to the end of the log */
    REPLAY_TORN,    /* a record, or a blob frame that one refers to, did not verify: history ends
                       there */
    REPLAY_DAMAGED, /* as REPLAY_TORN, but it is known that this had been on disk (replay_proof.h),
                       or it cannot be explained by a power cut (only with STORE_RECOVER_POINT) */
    REPLAY_STALE,   /* the log does not begin at `*seq`: nothing of it was taken */
};

/* A log of at most this size holds no operation: only its header and beginning, if that. (Of a
 * store that is not encrypted.) */
enum { LOG_EMPTY_BYTES = FILE_HEADER_SIZE + FRAME_HEADER_SIZE + 2 * VARINT64_MAX };
static inline uint64_t replay_empty_bytes(const struct tree *t)
{
    return LOG_EMPTY_BYTES + (t->keys ? FRAME_SEAL_SIZE : 0);
}

/* What replay asks of its caller. */
struct replay_target {
    uint64_t seq; /* where history ends so far; moves past what is taken */
    /* A fresh memtable for records from `seq` on, of log `number`; borrowed, good until the next
     * call. */
    struct memgen *(*next_gen)(void *ctx, uint64_t number, uint64_t seq);
    /* `gen` has taken so much that the next record should go into another one, which next_gen() is
     * asked for. Not asked for a memtable with a blob file: its log stays in one. May be NULL. */
    bool (*is_full)(void *ctx, const struct memgen *gen);
    void *ctx;
};

/* Replays log `number`, which should begin at to->seq. The first log of all (`first`) may begin
 * below it: then what is below is in tables already, and is passed over. 0 with `*end`, or an
 * error: -EIO for damage that a power cut cannot explain; what was taken by then stays with the
 * target. `*first_seq`: where the log begins, whatever to->seq was; 0 if it is empty. */
int replay_log(struct tree *t, uint64_t number, bool first, struct replay_target *to,
               enum replay_end *end, uint64_t *first_seq);

#endif
