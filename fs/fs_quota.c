/* fs_quota: the part of the door that is about limits: of folders, and what df shows. */
#include "fs/fs_priv.h"

#include "fs/quota_set.h"

int fs_set_quota(struct fs *fs, uint64_t ino, uint64_t limit_bytes)
{
    int err = fs_check_change(ino);
    if (err == 0 && limit_bytes > FS_QUOTA_MAX)
        err = -ERANGE;
    return err == 0 ? quota_set(fs, ino, limit_bytes) : err;
}

static uint64_t at_least_zero(const int64_t *sum)
{
    int64_t v = __atomic_load_n(sum, __ATOMIC_RELAXED);
    return v > 0 ? (uint64_t)v : 0;
}

int fs_get_quota(struct fs *fs, uint64_t ino, struct fs_quota *out)
{
    struct reader r;
    struct inode n;
    *out = (struct fs_quota){0};
    if (fs_check_change(ino) < 0)
        return 1; /* of snapshots, and of .varve */
    int err = fs_begin_read(fs, ino, &r, &n);
    if (err < 0)
        return err;
    reader_end(&r);
    const struct quota *q = n.quota ? quota_find(fs, n.quota) : NULL;
    if (!q)
        return 1;
    *out = (struct fs_quota){.folder = q->folder,
                             .limit_bytes = __atomic_load_n(&q->limit, __ATOMIC_RELAXED),
                             .used_bytes = at_least_zero(&q->bytes),
                             .inodes = at_least_zero(&q->inodes)};
    return 0;
}

/* As many inodes are free as empty files would fit. */
enum { EMPTY_FILE_BYTES = 4096 };

int fs_get_space(struct fs *fs, uint64_t ino, struct fs_space *out)
{
    struct fs_stats stats;
    struct fs_quota quota;
    *out = (struct fs_space){0};
    int err = fs_get_stats(fs, &stats);
    if (err < 0)
        return err;
    assert(stats.free_bytes <= stats.total_bytes);
    *out = (struct fs_space){
        .total_bytes = stats.total_bytes, .free_bytes = stats.free_bytes, .inodes = stats.inodes};
    err = fs_get_quota(fs, ino, &quota);
    if (err == 0 && quota.limit_bytes) {
        uint64_t left = quota.limit_bytes - quota.used_bytes;
        if (quota.used_bytes > quota.limit_bytes)
            left = 0;
        out->total_bytes = quota.limit_bytes;
        out->free_bytes = left < stats.free_bytes ? left : stats.free_bytes;
        out->inodes = quota.inodes;
    }
    out->inodes_free = out->free_bytes / EMPTY_FILE_BYTES;
    return err < 0 ? err : 0;
}
