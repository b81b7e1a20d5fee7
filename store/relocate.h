/* relocate: moves values out of stale blob files (stale.h) while a job passes their references on.
 * What moves is the frame as it is stored: verified and sealed anew for its new place, never
 * decoded or compressed again. The job writes the new reference and counts the old as garbage in
 * the same edit, so that after a crash either both places count or neither does.
 *
 * Values that are encrypted with an older generation of the key (rekey.h) move, too, whatever file
 * they are in. Entries that only pins see move like all others. */
#ifndef VARVE_STORE_RELOCATE_H
#define VARVE_STORE_RELOCATE_H

#include "store/stale.h"
#include "store/tree.h"

/* What is stale in this store now, and what picking and jobs may move: with little free space files
 * are sought earlier, and moved in smaller steps. `set`: a job's settings, or the live ones. */
void relocate_options(const struct tree *t, const struct store_options *set,
                      struct stale_options *stale, uint64_t *move_bytes_max);

struct relocate;

/* For the job `p`, whose inputs are tables of `v` (borrowed), and which goes by `set`. */
struct relocate *relocate_begin(const struct tree *t, const struct store_options *set,
                                const struct version *v, const struct pick *p);

/* The parts of that. For a job that reads tables of `v` (borrowed). It moves no more than about
 * `bytes_max` (one value at least). */
struct relocate *relocate_new(const struct version *v, const struct stale_options *opt,
                              uint64_t bytes_max);
void relocate_free(struct relocate *r); /* NULL is fine */
/* Call for each of the job's inputs, then relocate_plan() once: what is stale without being sought
 * is moved only if that frees enough to be worth a new file; and files smaller than `small_bytes`,
 * if there are many that go away with this job, are gathered into a larger one. */
void relocate_add_input(struct relocate *r, const struct table_meta *m);
void relocate_plan(struct relocate *r, uint64_t small_bytes);
/* Is the value of `key` behind `encoded_ref` to be moved? 0: `*frame` is its frame, sealed for the
 * old place, until the next call. 1: it stays where it is, also when it cannot be read: whoever
 * reads it meets the fault, and the file is left alone from then on. Or an error of the disk. */
int relocate_take(struct relocate *r, struct slice key, struct slice encoded_ref,
                  struct slice *frame);
/* How many values stay that should have been compressed anew, and would have been too much. */
uint64_t relocate_left(const struct relocate *r); /* NULL: 0 */
/* Bytes of the frames that were given out. */
uint64_t relocate_moved(const struct relocate *r);

#endif
