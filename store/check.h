/* check: proves that a store is what it should be, changing nothing. Findings are numbered
 * (store.h). */
#ifndef VARVE_STORE_CHECK_H
#define VARVE_STORE_CHECK_H

#include "store/tree.h"

/* store_check() on an open, read-only tree. */
int check_tree(struct tree *t, store_finding_fn *fn, store_progress_fn *progress, void *ctx);
/* store_check_keyless(). */
int check_keyless(struct env *env, const char *dir, store_finding_fn *fn,
                  store_progress_fn *progress, void *ctx);
/* store_check_closed(). */
int check_closed(struct env *env, const char *dir, store_finding_fn *fn, void *ctx);

#endif
