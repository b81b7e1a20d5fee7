/* store_salvage: salvage behind the door: with the lock of a store that is not opened. */
#include "store/store.h"

#include <errno.h>
#include <stdlib.h>

#include "store/env.h"
#include "store/format.h"
#include "store/salvage.h"
#include "store/unlock.h"

/* 1: it is one of ours. */
static int is_ours(void *ctx, const char *name)
{
    enum file_kind kind;
    uint64_t number;
    (void)ctx;
    return name_parse(name, &kind, &number) == 0 && kind_is_numbered(kind) && kind != FILE_TEMP;
}

int store_salvage(const char *dir, const struct store_options *o, store_finding_fn *fn,
                  store_progress_fn *progress, void *ctx, struct store_salvage_report *report)
{
    struct env *env = o->env ? o->env : env_posix();
    struct env with_keys = *env;
    struct keyslots *keys = NULL;
    struct env_lock *lock = NULL;
    char *path = name_lock(dir);
    *report = (struct store_salvage_report){0};
    /* Of a checkpoint that was not finished no more than a part is there. */
    uint64_t size;
    char *marker = name_incomplete(dir);
    bool incomplete = env->file_size(env, marker, &size) == 0;
    free(marker);
    if (incomplete) {
        free(path);
        return -EUCLEAN;
    }
    /* In a folder that has nothing of a store no lock file is made. */
    int err = env->list(env, dir, is_ours, NULL);
    err = err == 1 ? env->lock(env, path, &lock) : err == 0 ? -ENOENT : err;
    if (err == 0)
        err = unlock_store(env, dir, o, &keys);
    if (keys)
        with_keys.keys = keyslots_ring(keys);
    if (err == 0)
        err = salvage_run(keys ? &with_keys : env, dir, o, fn, progress, ctx, report);
    keyslots_free(keys);
    if (lock)
        env->unlock(env, lock);
    free(path);
    return err;
}
