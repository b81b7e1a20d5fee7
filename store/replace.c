/* replace: see replace.h.
 *
 * Invariant: `path` is only ever changed by the rename of a file that was synced. */
#include "store/replace.h"

#include "store/err.h"

#include <assert.h>
#include <errno.h>

static int io_failed(const char *path, const char *what, int err)
{
    assert(err < 0);
    log_message(LOG_ERROR, "%s: cannot %s: %s", path, what, strerror(-err));
    return err;
}

/* A fresh file with these bytes, synced. */
static int write_file(struct env *env, const char *path, struct slice bytes)
{
    struct env_file *f;
    int err = env->open(env, path, ENV_OPEN_CREATE, &f);
    if (err == -EEXIST) {
        err = env->remove(env, path);
        if (err == 0)
            err = env->open(env, path, ENV_OPEN_CREATE, &f);
    }
    if (err < 0)
        return io_failed(path, "create it", err);
    err = f->ops->write(f, 0, bytes.data, bytes.len);
    if (err == 0)
        err = f->ops->sync(f);
    f->ops->close(f);
    return err < 0 ? io_failed(path, "write it", err) : 0;
}

int replace_file(struct env *env, const char *dir, const char *temp, const char *path,
                 struct slice bytes, bool *tried)
{
    *tried = false;
    int err = write_file(env, temp, bytes);
    if (err == 0) {
        err = env->rename(env, temp, path);
        *tried = err != -ENOSPC;
        if (err == 0) {
            err = env->sync_dir(env, dir);
            err = err == -ENOSPC ? -EIO : err;
        }
        if (err < 0)
            io_failed(path, "replace it", err);
    }
    if (!*tried)
        env->remove(env, temp);
    return err;
}
