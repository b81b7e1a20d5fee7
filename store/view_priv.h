/* view_priv: shared by the point reads of module view. */
#ifndef VARVE_STORE_VIEW_PRIV_H
#define VARVE_STORE_VIEW_PRIV_H

#include "store/view.h"

/* After a source was asked: must the next older one be? Not if there is a tombstone over the key:
 * it hides all that they have (invariant 1 of view.c). */
bool view_goes_on(struct lookup *l);
/* Asks the memtables, newest first. */
/* 0 or -EIO. */
int view_ask_memtables(struct view *v, struct lookup *l);
/* Lets go of what an earlier read left in `out`. */
void view_reset_value(struct store_value *out);
/* What a walk that ended with `err` found, counted, with operands folded and blobs fetched;
 * releases `l`. As view_get(). */
int view_finish(struct view *v, struct view_context *ctx, struct lookup *l, int err,
                struct store_value *out);

#endif
