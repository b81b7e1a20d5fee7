/* quota_set: giving a folder a limit, and bringing under it what is in the folder already. */
#ifndef VARVE_FS_QUOTA_SET_H
#define VARVE_FS_QUOTA_SET_H

#include "fs/txn.h"

/* fs_set_quota() of a real folder of the present. */
int quota_set(struct fs *fs, uint64_t folder, uint64_t limit_bytes);
/* Goes on where a crash has ended quota_set(). 0 or an error. [nobody else uses the volume] */
int quota_resume(struct fs *fs);

#endif
