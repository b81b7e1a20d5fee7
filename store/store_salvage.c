/* store_salvage: salvage behind the door: with the lock of a store that is not opened. */
#include "store/store.h"

#include <errno.h>
#include <stdlib.h>

#include "store/env.h"
#include "store/format.h"
#include "store/salvage.h"
#include "store/unlock.h"

int store_salvage(const char *dir, const struct store_options *o, store_finding_fn *fn,
                  store_progress_fn *progress, void *ctx, struct store_salvage_report *report)
{
    struct env *env = o->env ? o->env : env_posix();
    struct env with_keys = *env;
    struct keyslots *keys = NULL;
    struct env_lock *lock = NULL;
    char *path = name_lock(dir);
    *report = (struct store_salvage_report){0};
    int err = env->lock(env, path, &lock);
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
