/* types: the numbers and constants that all of fs/ shares, beside those of its door. */
#ifndef VARVE_FS_TYPES_H
#define VARVE_FS_TYPES_H

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "fs/fs.h"

enum {
    FS_CHUNK_BYTES_MIN = 16 << 10,
    FS_CHUNK_BYTES_MAX = 1 << 20,
    FS_CHUNK_BYTES_DEFAULT = 64 << 10,
    FS_ZSTD_LEVEL_DEFAULT = 1,
    FS_ZSTD_LEVEL_MAX = 19,
};

#define FS_INO_MASK ((UINT64_C(1) << FS_INO_BITS) - 1)

/* The snapshot number (0: the present) and the inode within it. */
static inline uint64_t ino_snapshot(uint64_t ino)
{
    return ino >> FS_INO_BITS;
}
static inline uint64_t ino_local(uint64_t ino)
{
    return ino & FS_INO_MASK;
}
static inline uint64_t ino_join(uint64_t snapshot, uint64_t local)
{
    assert(local <= FS_INO_MASK && snapshot <= FS_TREES_MAX);
    return snapshot << FS_INO_BITS | local;
}

#endif
