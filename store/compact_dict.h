/* compact_dict: the dictionary for the tables that a compaction writes. */
#ifndef VARVE_STORE_COMPACT_DICT_H
#define VARVE_STORE_COMPACT_DICT_H

#include "store/compact_pick.h"
#include "store/job.h"

/* Of a job that writes to one of the last two levels, where what is written stays: one that pays
 * (dicts.h) by a sample of blocks from all over the tables that it reads. One reference; NULL: none
 * does, or the job writes elsewhere, or too little. Blocks that cannot be read are left to the job
 * to meet. */
struct codec_dict *compact_dict(const struct job *j, const struct pick *p,
                                struct table *const *tables, size_t count);

#endif
