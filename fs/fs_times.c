/* fs_times: the part of the door that is about access times: writing what atime.h keeps into the
 * inodes' records, a few in each batch. */
#include "fs/atime.h"
#include "fs/inode.h"

_Static_assert((int)FS_TIMES_MAX == (int)ATIMES_MAX, "the door says how many");

size_t fs_times_waiting(struct fs *fs)
{
    return atime_waiting(fs->atimes);
}

/* Puts the records of those that are still kept; `times` are what they get. Those that are gone
 * are taken out. */
static void put_records(struct txn *t, const uint64_t *inos, size_t count, struct fs_time *times,
                        int *damage)
{
    struct atimes *table = t->fs->atimes;
    for (size_t i = 0; i < count; i++) {
        struct inode n;
        if (!atime_get(table, inos[i], &times[i]))
            continue;
        int err = inode_get(&t->read, inos[i], &n);
        if (err == 0) {
            n.atime = times[i];
            inode_put(t, &n);
        } else {
            atime_drop(table, inos[i]);
            *damage = err != -ENOENT ? err : *damage;
        }
    }
}

static int write_some(struct fs *fs, const uint64_t *inos, size_t count, int *damage)
{
    struct txn t;
    struct fs_time times[LOCK_INODES_MAX] = {0};
    int err = txn_init(&t, fs);
    if (err < 0)
        return err;
    assert(count <= LOCK_INODES_MAX);
    txn_lock(&t, inos, count);
    put_records(&t, inos, count, times, damage);
    err = store_batch_count(t.batch) > 0 ? txn_commit(&t) : 0;
    for (size_t i = 0; i < count && err == 0; i++)
        atime_written(fs->atimes, inos[i], times[i], t.now);
    txn_end(&t);
    return err;
}

static int write_shard(struct fs *fs, size_t shard, int *damage)
{
    uint64_t inos[ATIME_SHARD_MAX];
    size_t count = atime_list(fs->atimes, shard, fs_now(fs), inos);
    int err = 0;
    for (size_t done = 0, some; done < count && err == 0; done += some) {
        some = count - done < LOCK_INODES_MAX ? count - done : LOCK_INODES_MAX;
        err = write_some(fs, inos + done, some, damage);
    }
    return err;
}

int fs_write_times(struct fs *fs)
{
    int err = 0, damage = 0;
    for (size_t i = 0; fs->atimes && i < ATIME_SHARDS && err == 0; i++)
        err = write_shard(fs, i, &damage);
    return err < 0 ? err : damage;
}
