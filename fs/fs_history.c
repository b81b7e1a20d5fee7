/* fs_history: the part of the door that is about other states than the present: going back to a
 * snapshot, how two of them differ, and what was at a time. */
#include "fs/diff.h"
#include "fs/history.h"
#include "fs/open.h"
#include "fs/rollback.h"
#include "fs/snapshot.h"

/* ---- history ---- */

int fs_history_keep(struct fs *fs)
{
    return history_keep(fs);
}

int fs_history_forget(struct fs *fs, int64_t since_ns)
{
    return history_forget(fs, since_ns);
}

void fs_history_get(struct fs *fs, struct fs_history *out)
{
    const struct history *h = &fs->history;
    *out = (struct fs_history){0};
    pthread_rwlock_rdlock(&fs->snapshots.lock);
    for (size_t i = 0; i < h->count; i++) {
        int64_t created = h->points[i].created_ns;
        if (i == 0 || created < out->oldest_ns)
            out->oldest_ns = created;
        if (i == 0 || created > out->newest_ns)
            out->newest_ns = created;
    }
    out->moments = h->count;
    pthread_rwlock_unlock(&fs->snapshots.lock);
}

/* ---- how two states differ ---- */

int fs_diff(struct fs *fs, const char *from, const char *to, fs_difference_fn *fn, void *ctx)
{
    uint64_t a, b = 0;
    int err = snapshot_seq(fs, from, &a);
    if (err == 0 && to)
        err = snapshot_seq(fs, to, &b);
    if (err < 0)
        return err;
    if (to && a > b)
        return diff_states(fs, b, a, true, fn, ctx);
    return diff_states(fs, a, b, false, fn, ctx);
}

/* ---- going back ---- */

int fs_rollback(struct fs *fs, const char *name, const char *keep, fs_progress_fn *fn, void *ctx,
                struct fs_rollback *out)
{
    uint64_t seq;
    *out = (struct fs_rollback){0};
    int err = snapshot_seq(fs, name, &seq);
    if (err == 0 && fs->read_only)
        err = -EROFS;
    if (err == 0 && keep)
        err = snapshot_create(fs, keep);
    if (err < 0)
        return err;
    err = rollback_to(fs, seq, fn, ctx, out);
    if (err < 0 && keep && !fs_failure(fs))
        snapshot_delete(fs, keep);
    return err;
}

int fs_rewind(const char *path, const struct fs_options *given, const char *name)
{
    struct fs_options o = *given;
    struct fs *fs;
    o.workers = 0;
    o.no_sweep = true; /* nothing is to be written that goes with the rest */
    int err = fs_open(path, &o, &fs);
    if (err < 0)
        return err;
    err = store_rewind(fs->store, name);
    int closed = fs_close(fs);
    if (err != 0 || closed < 0)
        return err == 1 ? -ENODATA : err < 0 ? err : closed;
    /* Opening it removes what nothing refers to any more. */
    err = fs_open(path, given, &fs);
    return err == 0 ? fs_close(fs) : err;
}
