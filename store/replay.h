/* replay: one log read back into one memtable. */
#ifndef VARVE_STORE_REPLAY_H
#define VARVE_STORE_REPLAY_H

#include "store/tree.h"

enum replay_end {
    REPLAY_EMPTY, /* the log was cut off while it was made, or never written to */
    REPLAY_CLEAN, /* to the end of the log */
    REPLAY_TORN,  /* a record, or a blob frame that one refers to, did not verify: history ends
                     there */
    REPLAY_STALE, /* the log does not begin at `*seq`: nothing of it was taken */
};

/* A log of at most this size holds no operation: only its header and beginning, if that. (Of a
 * store that is not encrypted.) */
enum { LOG_EMPTY_BYTES = FILE_HEADER_SIZE + FRAME_HEADER_SIZE + 2 * VARINT64_MAX };
static inline uint64_t replay_empty_bytes(const struct tree *t)
{
    return LOG_EMPTY_BYTES + (t->keys ? FRAME_SEAL_SIZE : 0);
}

/* Replays log `number`, which should begin at `*seq`, and moves `*seq` past what was taken. `*out`
 * is a sealed memtable with its log and blob file (one reference), NULL when nothing was taken. 0
 * with `*end`, or an error: -EIO for damage that a power cut cannot explain. `*first_seq`: where it
 * begins, whatever `*seq` was; 0 if it is empty. */
int replay_log(struct tree *t, uint64_t number, uint64_t *seq, struct memgen **out,
               enum replay_end *end, uint64_t *first_seq);

#endif
