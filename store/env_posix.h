/* env_posix: what the two halves of the real system's env share. The door is env.h. */
#ifndef VARVE_STORE_ENV_POSIX_H
#define VARVE_STORE_ENV_POSIX_H

#include "store/env.h"

/* env.open of the real system (contract: env.h). Files opened for reading share the descriptors of
 * fd_pool.h: such a file must not be removed, renamed or replaced before it is closed, or reading
 * it may fail with -EIO. Writing to one, truncating or allocating fails with -EBADF; syncing works.
 * New files have mode 0600. -EISDIR for a folder. */
int env_posix_open(struct env *env, const char *path, enum env_open_mode mode,
                   struct env_file **out);

#endif
