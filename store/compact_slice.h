/* compact_slice: full-disk mode. A job that may need more space than is free goes in slices: of all
 * its inputs it takes the keys below some key; the edit that installs what became of them says of
 * each input that reaches further that its keys begin there from then on (table_meta.front). What
 * lies before is punched out of the file as soon as nobody sees it any more (version.h, purge.h),
 * and the next slice has that space. A slice is a job like any other for everybody else; picking
 * finds the next one by itself. */
#ifndef VARVE_STORE_COMPACT_SLICE_H
#define VARVE_STORE_COMPACT_SLICE_H

#include "store/compact_pick.h"
#include "store/env.h"

/* NULL, or why slices of the job would not give space back (a constant text): the file system
 * cannot punch holes, an input has another name, as it has while a checkpoint shares it, or is cut
 * by one. */
const char *compact_slice_obstacle(struct env *env, const char *dir, const struct pick *p);

/* Makes of the job `p` its first slice, which reads no more than `bytes_max` of the inputs, as
 * their indexes tell. Returns 0; 1 when it cannot be cut: it stays as it is; or an error of opening
 * the inputs (raised). */
int compact_slice(struct pick *p, uint64_t bytes_max);

/* ---- what is left of the inputs ---- */
struct slicing;

/* `until`: of the job; borrowed. */
struct slicing *slicing_new(struct slice until);
void slicing_free(struct slicing *s); /* NULL is fine; after the cursors */
/* The cursor over an input, on one over all of it, which is taken over: what it passes below
 * `until` is counted. For first() and next() only. `vt`, with its `table`, is borrowed. */
struct iter *slicing_watch(struct slicing *s, int level, struct version_table *vt,
                           struct table *table, struct iter *all);
/* Once the cursors have passed all below `until`: adds to the edit, which removes the inputs, what
 * is left of them. Returns 0, -EIO raised by corrupt(), or an I/O error. */
int slicing_finish(struct slicing *s, struct edit *e);

#endif
