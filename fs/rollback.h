/* rollback: the present becomes what a snapshot is. */
#ifndef VARVE_FS_ROLLBACK_H
#define VARVE_FS_ROLLBACK_H

#include "fs/volume.h"

/* As fs_rollback(); `seq`: of the snapshot. The state before is not kept by this. */
int rollback_to(struct fs *fs, uint64_t seq, fs_progress_fn *fn, void *ctx,
                struct fs_rollback *out);

#endif
