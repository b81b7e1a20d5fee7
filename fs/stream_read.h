/* stream_read: reading a stream from somewhere, verified: its head, then block after block. */
#ifndef VARVE_FS_STREAM_READ_H
#define VARVE_FS_STREAM_READ_H

#include "fs/stream.h"

struct stream_reader {
    fs_stream_read_fn *read;
    void *ctx;
    struct stream_head head;
    struct buf raw;           /* of what was read last: the head, or a block */
    struct stream_block last; /* the block that was read last */
    uint64_t blocks, sum;     /* that were read, and what the checksum is by now */
};
void stream_reader_init(struct stream_reader *r, fs_stream_read_fn *read, void *ctx);
void stream_reader_release(struct stream_reader *r);
/* The head; afterwards `blocks` and `sum` are those that it says. 0, or as in fs.h: -EPIPE,
 * -ENOMSG, -EBADMSG, -EPROTONOSUPPORT, or what reading returns. */
int stream_reader_head(struct stream_reader *r);
/* The next block, with its payload, until the next call. The same errors. */
int stream_reader_block(struct stream_reader *r, struct slice *payload);
/* Behind the end there is nothing: 0 or -EBADMSG. */
int stream_reader_end(struct stream_reader *r);

#endif
