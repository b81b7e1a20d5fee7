/* scrub: scrubbing, salvage and checkpoints at the door; the store does it all. What one call of
 * the file system changes is one batch, so what a checkpoint holds is sound, as after a crash. */
#include "fs/open.h"
#include "fs/volume.h"

int fs_scrub_start(struct fs *fs)
{
    return store_scrub_start(fs->store);
}

int fs_scrub_stop(struct fs *fs)
{
    return store_scrub_stop(fs->store);
}

void fs_scrub_status(struct fs *fs, struct store_scrub_status *out)
{
    store_scrub_status(fs->store, out);
}

void fs_scrub_listen(struct fs *fs, store_finding_fn *fn, void *ctx)
{
    store_scrub_listen(fs->store, fn, ctx);
}

int fs_scrub_step(struct fs *fs)
{
    return store_scrub_step(fs->store);
}

int fs_checkpoint(struct fs *fs, const char *dir, const char *snapshot,
                  struct store_checkpoint *out)
{
    return store_checkpoint(fs->store, dir, snapshot, out);
}

int fs_salvage(const char *path, const struct fs_options *o, store_finding_fn *fn,
               store_progress_fn *progress, void *ctx, struct store_salvage_report *report)
{
    struct store_options so;
    open_store_options(&so, o);
    return store_salvage(path, &so, fn, progress, ctx, report);
}
