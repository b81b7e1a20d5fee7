/* replace: a small file is replaced as a whole: after a crash at any point there is the old one or
 * the new one. */
#ifndef VARVE_STORE_REPLACE_H
#define VARVE_STORE_REPLACE_H

#include "store/bytes.h"
#include "store/env.h"

/* Writes `bytes` to `temp` (in the same folder `dir`; one left by an earlier end is overwritten),
 * syncs it, renames it over `path`, and syncs the folder. Failures are logged. `*tried`: `path` may
 * have changed, also on failure; without it nothing is left of the new one, as far as it can be
 * removed. A rename for which there was no space has done nothing. -ENOSPC is returned only if not
 * `*tried`. */
int replace_file(struct env *env, const char *dir, const char *temp, const char *path,
                 struct slice bytes, bool *tried);

#endif
