/* framescan: the frames of a file one after another, from the bytes alone: no key is needed, and no
 * index. What does not verify is rebuilt from parity if the file has any; else it is a gap, behind
 * which the next frame that verifies is looked for. For scrub and salvage. */
#ifndef VARVE_STORE_FRAMESCAN_H
#define VARVE_STORE_FRAMESCAN_H

#include "store/file.h"

struct framescan {
    const struct file *file; /* borrowed */
    uint64_t at, end;        /* what comes next; where frames end */
    struct buf window, one;  /* bytes of the file from window_at on; a frame that was rebuilt */
    uint64_t window_at;
    uint64_t bytes_read;
};

enum framescan_what {
    FRAMESCAN_FRAME,
    FRAMESCAN_REPAIRED, /* a frame that had to be rebuilt from parity; it was reported (file.h) */
    FRAMESCAN_GAP,      /* bytes that are no frame, or cannot be read */
    FRAMESCAN_ZEROS,    /* zeros up to the end: space that was reserved */
};
struct framescan_item {
    enum framescan_what what;
    uint64_t offset, len;
    struct frame_header header; /* of a frame */
    struct slice frame;         /* header and payload as stored; until the next call */
};

/* The bytes [from, end) of the file, `from` being the beginning of a frame. */
void framescan_init(struct framescan *s, const struct file *file, uint64_t from, uint64_t end);
void framescan_release(struct framescan *s);
/* 0, or 1 at the end. A place that cannot be read is a gap of its own: there are no errors. */
int framescan_next(struct framescan *s, struct framescan_item *item);

#endif
