/* volume_numbers: which inode numbers are given out; see volume.h.
 *
 * Invariants:
 *   1. `reserved` is on its way to disk before any number below it is given out, in the order of
 *      the log: so no number is ever given out twice. next <= reserved.
 *
 *   2. Runs do not overlap, and a number leaves its run once. */
#include "fs/volume.h"

/* Moves the mark on disk so that numbers below `end` may be given out. [inos.lock held] */
static int reserve(struct fs *fs, uint64_t end)
{
    uint64_t mark = end + INO_RESERVE;
    assert(mark > fs->inos.reserved);
    if (mark > FS_INO_MASK)
        return -ENOSPC;
    struct store_batch *b = batch_take(fs);
    struct key k = key_super(SUPER_NEXT_INO);
    uint8_t value[8];
    put_u64(value, mark);
    store_batch_put(b, key_slice(&k), slice_of(value, sizeof value));
    int err = store_write(fs->store, b, 0);
    batch_give(fs, b);
    if (err == 0)
        fs->inos.reserved = mark;
    return err;
}

static int new_run(struct fs *fs, struct ino_run *run, uint64_t folder, uint8_t policy)
{
    uint32_t size = run->folder == folder ? run->size * 2 : INO_RUN_MIN;
    if (size > INO_RUN_MAX)
        size = INO_RUN_MAX;
    uint64_t end = fs->inos.next + size;
    int err = end > fs->inos.reserved ? reserve(fs, end) : 0;
    if (err == 0 && policy)
        err = policy_write(fs, fs->inos.next, end, policy - 1);
    if (err < 0)
        return err;
    *run = (struct ino_run){
        .folder = folder, .next = fs->inos.next, .end = end, .size = size, .policy = policy};
    fs->inos.next = end;
    assert(run->next >= FS_INO_FIRST && run->next < run->end && run->end <= fs->inos.reserved);
    return 0;
}

int ino_take(struct fs *fs, uint64_t folder, uint8_t policy, uint64_t *ino)
{
    struct ino_alloc *a = &fs->inos;
    int err = 0;
    assert(folder != 0);
    pthread_mutex_lock(&a->lock);
    struct ino_run *run = &a->runs[folder * UINT64_C(0x9e3779b97f4a7c15) >> 52];
    if (run->folder != folder || run->policy != policy || run->next == run->end)
        err = new_run(fs, run, folder, policy);
    if (err == 0) {
        assert(run->folder == folder && run->next < run->end);
        *ino = run->next++;
    }
    pthread_mutex_unlock(&a->lock);
    return err;
}

void ino_forget_runs(struct fs *fs)
{
    pthread_mutex_lock(&fs->inos.lock);
    memset(fs->inos.runs, 0, sizeof fs->inos.runs);
    pthread_mutex_unlock(&fs->inos.lock);
}
