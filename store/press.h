/* press: the blocks of a table on their way from raw to packed.
 *
 * Blocks come in and go out in their order. In between the first of them are gathered, until there
 * are enough for a dictionary to be worth its own bytes, and some wait, so that threads that have
 * nothing else to do can compress them (squad.h) while the writer goes on. What is ready when
 * depends on the machine; when a block goes out, and what it looks like, does not. */
#ifndef VARVE_STORE_PRESS_H
#define VARVE_STORE_PRESS_H

#include "store/codec.h"
#include "store/squad.h"

struct press_block {
    /* filled in by whoever has it from press_block() */
    struct buf raw;
    int zstd_level;
    struct buf last_key, next_key; /* for the writer's own use, as all of these */
    uint64_t last_seq, min_seq, max_seq, sums;
    bool is_last, warm;
    /* when it goes out */
    struct buf packed; /* a frame, to be sealed */
    /* the press's own */
    uint8_t misses;
    bool ready; /* [squad's lock, if there is one] it is packed */
};

struct press_options {
    struct codec_dict *dict;  /* borrowed; NULL: none */
    uint64_t dict_from_bytes; /* with less than so many raw bytes it is not used after all */
    struct squad *squad;      /* NULL: the writer is alone */
};

/* Called with each block in turn. Nonzero ends everything: it is returned by what the press was
 * called with, and nothing but press_free() is allowed then. */
typedef int press_out_fn(void *ctx, struct press_block *b);

struct press;

struct press *press_new(const struct press_options *opt, press_out_fn *out, void *ctx);
void press_free(struct press *p); /* NULL is fine; drops what has not gone out */
/* A block to fill in; its buffers are empty. Give it to press_add(). */
struct press_block *press_block(struct press *p);
/* Takes it; others may go out, or this one. Returns 0, or what `out` returned. */
int press_add(struct press *p, struct press_block *b);
/* All that is left goes out. */
int press_finish(struct press *p);
/* One that was not filled in after all. */
void press_drop(struct press *p, struct press_block *b);
/* About what all that has not gone out will take, and `raw` bytes more. A function of the blocks,
 * not of time. */
uint64_t press_pending_bytes(const struct press *p, uint64_t raw);
/* The dictionary that blocks are made with, known when the first of them goes out. NULL: none. */
struct codec_dict *press_dict(const struct press *p);

#endif
