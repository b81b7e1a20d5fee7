/* extent: the data of regular files (and the targets of symbolic links) as chunks.
 *
 * Invariants:
 *   1. No chunk holds bytes at or beyond the file's size: a shrinking truncate deletes whole chunks
 * by one range tombstone and cuts the last by a patch. So growing a file again shows zeros.
 * Punching a hole does the same in the middle.
 *   2. inode.chunks is the number of data keys that exist. When it equals the number of chunks that
 * `size` spans the file is dense, and no look-up is needed to know whether a chunk exists;
 * otherwise store_has() tells.
 *   3. A write that covers a chunk from its beginning to its end, or to the end of the file,
 * replaces it; any other is a blind patch. */
#ifndef VARVE_FS_EXTENT_H
#define VARVE_FS_EXTENT_H

#include "fs/inode.h"

/* Up to `len` bytes at `offset`, holes as zeros. */
int extent_read(const struct reader *r, const struct inode *n, uint64_t offset, void *data,
                size_t len, size_t *got);
/* Puts into t->batch the chunks that [offset, offset + len) covers whole, so that they are
 * compressed before any lock is taken. */
void extent_prepare(struct txn *t, uint64_t ino, uint64_t offset, const void *data, size_t len);
/* The rest of the write, under the lock; updates n->size and n->chunks (the caller puts the inode).
 */
int extent_write(struct txn *t, struct inode *n, uint64_t offset, const void *data, size_t len);
/* Changes n->size, and the chunks accordingly. */
int extent_truncate(struct txn *t, struct inode *n, uint64_t size);
/* Bytes [from, to) become zeros, as far as the file goes: whole chunks by one range tombstone,
 * those at the edges by a patch. Updates n->chunks. In one transaction chunks that are disjoint may
 * be punched and written, in ascending order. */
int extent_punch(struct txn *t, struct inode *n, uint64_t from, uint64_t to);
/* How many bytes writing all of [from, to) would add to what the file takes, before compression. */
int extent_missing(const struct txn *t, const struct inode *n, uint64_t from, uint64_t to,
                   uint64_t *bytes);
/* SEEK_DATA and SEEK_HOLE by chunks. -ENXIO. */
int extent_seek(const struct reader *r, const struct inode *n, uint64_t offset, bool data,
                uint64_t *found);

#endif
