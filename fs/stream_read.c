/* stream_read: see stream_read.h. */
#include "fs/stream_read.h"

enum { FIRST = 16 };

void stream_reader_init(struct stream_reader *r, fs_stream_read_fn *read, void *ctx)
{
    *r = (struct stream_reader){.read = read, .ctx = ctx};
}

void stream_reader_release(struct stream_reader *r)
{
    buf_release(&r->raw);
}

/* `len` more bytes behind r->raw. `*got` may be less. */
static int read_some(struct stream_reader *r, size_t len, size_t *got)
{
    *got = 0;
    int err = r->read(r->ctx, buf_reserve(&r->raw, len), len, got);
    assert(*got <= len);
    r->raw.len += err == 0 ? *got : 0;
    return err;
}

static int read_all(struct stream_reader *r, size_t len)
{
    size_t got;
    int err = read_some(r, len, &got);
    return err == 0 && got < len ? -EPIPE : err;
}

/* Too short for a head: the beginning of one, or of something else? */
static int judge_short(struct slice in)
{
    uint8_t first[FIRST] = {0};
    struct stream_head any = {.super = {.chunk_bytes = FS_CHUNK_BYTES_DEFAULT}};
    struct buf head = {0};
    strcpy(any.name, "x");
    stream_head_encode(&any, &head);
    memcpy(first, head.data, 8);
    buf_release(&head);
    return memcmp(first, in.data ? in.data : first, in.len < 8 ? in.len : 8) == 0 ? -EPIPE
                                                                                  : -ENOMSG;
}

int stream_reader_head(struct stream_reader *r)
{
    size_t got, len = 0;
    r->raw.len = 0;
    int err = read_some(r, FIRST, &got);
    if (err == 0 && got < FIRST)
        err = judge_short(buf_slice(&r->raw));
    if (err == 0)
        err = stream_head_length(r->raw.data, &len);
    if (err == 0)
        err = read_all(r, len - FIRST);
    if (err == 0)
        err = stream_head_decode(buf_slice(&r->raw), &r->head);
    if (err == 0 && r->head.first_block == 0 && r->head.sum != stream_first_sum(&r->head))
        err = -EBADMSG;
    r->blocks = r->head.first_block;
    r->sum = r->head.sum;
    return err;
}

int stream_reader_block(struct stream_reader *r, struct slice *payload)
{
    r->raw.len = 0;
    *payload = (struct slice){0};
    int err = read_all(r, STREAM_BLOCK_HEAD);
    if (err == 0)
        err = stream_block_decode(r->raw.data, r->blocks, &r->last);
    if (err == 0)
        err = read_all(r, r->last.len);
    if (err < 0)
        return err;
    *payload = slice_of(r->raw.data + STREAM_BLOCK_HEAD, r->last.len);
    err = stream_block_verify(r->raw.data, &r->last, *payload, &r->sum);
    r->blocks += err == 0;
    return err;
}

int stream_reader_end(struct stream_reader *r)
{
    size_t got;
    r->raw.len = 0;
    int err = read_some(r, 1, &got);
    return err == 0 && got > 0 ? -EBADMSG : err;
}
