/* ingest: a row of ascending keys, written straight into tables and blob files and put into the
 * tree by one edit, under one sequence number: above everything older and below everything newer,
 * on the deepest level where that holds.
 *
 * The number is not known while the tables are written; the manifest tells it (struct table_meta's
 * ingest_seq). It is taken when all is on disk, with the commit queue standing still for as long as
 * it takes to flush what the memtables have in the way, and to install the edit. */
#ifndef VARVE_STORE_INGEST_H
#define VARVE_STORE_INGEST_H

#include "store/commit.h"

struct ingest;

struct ingest *ingest_new(struct commit *c);
/* store_ingest_put(). */
int ingest_put(struct ingest *g, struct slice key, struct slice value);
/* store_ingest_delete(). */
int ingest_delete(struct ingest *g, struct slice key);
/* store_ingest_finish(). `flush`: brings all sealed memtables into tables; returns 0 or an error.
 * `pin` (NULL: none): is made by the same edit, and its number filled in; no other has its name. */
int ingest_finish(struct ingest *g, int (*flush)(struct tree *t), struct pin *pin);
/* Removes what was written, unless it was finished. NULL is fine. */
void ingest_free(struct ingest *g);

#endif
