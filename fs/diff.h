/* diff: what leads from one state of the tree to another, in paths. */
#ifndef VARVE_FS_DIFF_H
#define VARVE_FS_DIFF_H

#include "fs/volume.h"

/* fs_diff() of the states at two pins' numbers, from <= to, or at one and the present (`to` 0).
 * `backwards`: told as what leads from `to` to `from`. */
int diff_states(struct fs *fs, uint64_t from, uint64_t to, bool backwards, fs_difference_fn *fn,
                void *ctx);

#endif
