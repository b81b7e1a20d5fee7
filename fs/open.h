/* open: from the file system's options to the store's. */
#ifndef VARVE_FS_OPEN_H
#define VARVE_FS_OPEN_H

#include "fs/volume.h"

void open_store_options(struct store_options *so, const struct fs_options *o);

#endif
