/* compact_run: does a job that compact_pick chose. */
#ifndef VARVE_STORE_COMPACT_RUN_H
#define VARVE_STORE_COMPACT_RUN_H

#include "store/tree.h"

/* Produces the outputs, then installs them with one edit; on failure, or when the store is closing
 * (-ECANCELED), the outputs are removed and nothing has changed. The caller has marked the tables
 * busy and unmarks them. */
int compact_run(struct tree *t, const struct pick *pick);

#endif
