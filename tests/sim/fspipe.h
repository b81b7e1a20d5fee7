/* fspipe: a stream of fs_send() in memory, and fs_receive() from it. */
#ifndef VARVE_SIM_FSPIPE_H
#define VARVE_SIM_FSPIPE_H

#include <string.h>

#include "fs/fs.h"
#include "store/bytes.h"

/* Zero-initialised is empty; buf_release(&p.bytes) at the end. */
struct fspipe {
    struct buf bytes;
    size_t at, end; /* reading goes on at `at` and ends at `end` */
};

static inline int fspipe_write(void *ctx, const void *data, size_t len)
{
    struct fspipe *p = ctx;
    buf_append_bytes(&p->bytes, data, len);
    p->end = p->bytes.len;
    return 0;
}

static inline int fspipe_read(void *ctx, void *data, size_t len, size_t *got)
{
    struct fspipe *p = ctx;
    *got = p->end - p->at < len ? p->end - p->at : len;
    if (*got)
        memcpy(data, p->bytes.data + p->at, *got);
    p->at += *got;
    return 0;
}

#endif
