/* stream: what `send` writes and `receive` reads (docs/FORMAT.md, section 11): a head, blocks of
 * records in the order of their keys, each under a checksum that runs on from the one before, and
 * an end. Encoding and decoding only; what it means is send's and receive's.
 *
 * A stream may be cut anywhere: up to its last whole block it verifies, and it can be gone on with
 * from there by another stream, which begins where that ends. */
#ifndef VARVE_FS_STREAM_H
#define VARVE_FS_STREAM_H

#include "fs/format.h"

enum {
    STREAM_HEAD_MIN = 96, /* with checksum, without name and superblock */
    STREAM_HEAD_MAX = 1024,
    STREAM_BLOCK_HEAD = 24,
    STREAM_BLOCK_BYTES = 256 << 10, /* a block ends when it has so many */
    STREAM_BLOCK_MAX = 2 << 20,     /* none has more: one record of the largest size fits */
};

/* Which state of which volume: the same in all copies of it. */
struct stream_moment {
    uint64_t seq; /* 0: none */
    int64_t created_ns;
};
struct stream_head {
    uint8_t origin[16]; /* in the superblocks of all volumes that have the tree from this one */
    struct stream_moment base;  /* that the stream leads from; seq 0: from nothing */
    struct stream_moment made;  /* that it leads to */
    uint64_t first_block;       /* 0, or where an interrupted one is gone on with */
    uint64_t sum;               /* of all blocks before; of a first one: stream_first_sum() */
    char name[FS_NAME_MAX + 1]; /* of the snapshot */
    struct super_record super;  /* of the volume */
};
/* What the checksum of the first block runs on from: it binds the blocks to this head, but not to
 * `first_block` and `sum`. */
uint64_t stream_first_sum(const struct stream_head *h);
void stream_head_encode(const struct stream_head *h, struct buf *out);
/* How long the head is of which the first 16 bytes are given. 0, -ENOMSG: this is no stream;
 * -EPROTONOSUPPORT: a newer version's; -EBADMSG. */
int stream_head_length(const uint8_t first[16], size_t *len);
/* 0 or -EBADMSG: it does not verify, or says what cannot be. -EPROTONOSUPPORT: the volume's
 * version.
 */
int stream_head_decode(struct slice in, struct stream_head *h);
/* Is it the same stream, but for where it begins? */
bool stream_head_same(const struct stream_head *a, const struct stream_head *b);

enum stream_block_kind { STREAM_RECORDS = 1, STREAM_END = 2 };
struct stream_block {
    enum stream_block_kind kind;
    uint32_t len;    /* of the payload */
    uint64_t number; /* from 0 */
    uint64_t sum;
};
/* Appends a whole block; `*sum` is that of the block before, and becomes its own. */
void stream_block_encode(enum stream_block_kind kind, uint64_t number, struct slice payload,
                         uint64_t *sum, struct buf *out);
/* 0 or -EBADMSG: not a block that may stand there. */
int stream_block_decode(const uint8_t in[STREAM_BLOCK_HEAD], uint64_t number,
                        struct stream_block *b);
/* Does the payload verify, behind the block with `*sum`? Then `*sum` becomes its own: 0, else
 * -EBADMSG. `head`: the block's first bytes. */
int stream_block_verify(const uint8_t head[STREAM_BLOCK_HEAD], const struct stream_block *b,
                        struct slice payload, uint64_t *sum);

enum stream_record_kind { STREAM_PUT = 1, STREAM_DELETE = 2 };
struct stream_record {
    enum stream_record_kind kind;
    struct slice key, value;
};
void stream_record_encode(const struct stream_record *r, struct buf *out);
/* Takes the next off a payload: 0, 1 at its end, -EBADMSG. */
int stream_record_take(struct slice *in, struct stream_record *r);
/* Is it a record that a volume with this superblock has, and that is sent? Whatever the bytes are,
 * what passes does not make a volume that cannot be read. 0 or -EBADMSG. */
int stream_record_check(const struct stream_record *r, const struct super_record *super);

struct stream_totals {
    uint64_t records, bytes; /* of keys and values */
};
void stream_totals_encode(const struct stream_totals *t, struct buf *out);
int stream_totals_decode(struct slice in, struct stream_totals *t); /* 0 or -EBADMSG */

#endif
