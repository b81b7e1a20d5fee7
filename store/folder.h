/* folder: claiming a folder for a new store. */
#ifndef VARVE_STORE_FOLDER_H
#define VARVE_STORE_FOLDER_H

#include "store/env.h"

/* Makes the folder (its parent must exist), or finds it empty but for the lock's file, and
 * keys to nothing, which an attempt that failed leaves. -ENOTEMPTY, or an I/O error. */
int folder_claim(struct env *env, const char *dir);
/* The folder's own name would survive a power cut. */
int folder_sync_parent(struct env *env, const char *dir);

#endif
