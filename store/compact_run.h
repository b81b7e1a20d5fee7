/* compact_run: does a job that compact_pick chose. */
#ifndef VARVE_STORE_COMPACT_RUN_H
#define VARVE_STORE_COMPACT_RUN_H

#include "store/job.h"

/* Produces the outputs, then installs them with one edit; on failure, or when the store is closing
 * (-ECANCELED), or `watch` (NULL: nobody) wants it (-EINTR), the outputs are removed and nothing
 * has changed. The caller has marked the tables busy and unmarks them. */
int compact_run(struct tree *t, const struct pick *pick, const struct job_watch *watch);

#endif
