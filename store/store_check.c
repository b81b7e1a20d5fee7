/* store_check: the verifier behind the door. */
#include "store/check.h"
#include "store/env.h"
#include "store/store_priv.h"

int store_check(struct store *s, store_finding_fn *fn, store_progress_fn *progress, void *ctx)
{
    return check_tree(&s->tree, fn, progress, ctx);
}

int store_check_keyless(const char *dir, const struct store_options *o, store_finding_fn *fn,
                        store_progress_fn *progress, void *ctx)
{
    return check_keyless(o->env ? o->env : env_posix(), dir, fn, progress, ctx);
}

int store_check_closed(const char *dir, const struct store_options *o, store_finding_fn *fn,
                       void *ctx)
{
    return check_closed(o->env ? o->env : env_posix(), dir, fn, ctx);
}
