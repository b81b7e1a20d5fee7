/* extent_priv: what the parts of extent share. */
#ifndef VARVE_FS_EXTENT_PRIV_H
#define VARVE_FS_EXTENT_PRIV_H

#include "fs/extent.h"

/* Places for chunks that `size` spans. */
static inline uint64_t extent_spans(const struct fs *fs, uint64_t size)
{
    return size / fs->super.chunk_bytes + (size % fs->super.chunk_bytes != 0);
}

static inline bool extent_dense(const struct fs *fs, const struct inode *n)
{
    return n->chunks >= extent_spans(fs, n->size);
}

/* 1 when the chunk exists, 0 when not, or an error. */
int extent_chunk_exists(const struct fs *fs, const struct store_read *read, const struct inode *n,
                        uint64_t chunk);

#endif
