/* since: what a view holds of the operations in a window [from, to) of history: the keys that were
 * written and the ranges that were deleted, and how the state before differs from the state after.
 *
 * It costs what the window holds, and a look at the bounds of each table and block, not what the
 * store holds: tables and blocks outside of the window are not read. */
#ifndef VARVE_STORE_SINCE_H
#define VARVE_STORE_SINCE_H

#include "store/table.h"
#include "store/view.h"

/* ---- entries and tombstones of the window (since_source.c) ---- */

/* References the view; copies the bounds (empty: none). The cursor gives the entries of all
 * sources with numbers in the window and keys in [lower, upper), in internal order; first() and
 * next() only. `*dels`: the tombstones of the window, clipped to the bounds, all fragments with one
 * number or more. One reference. 0 or an error. `counts` outlives the cursor. */
int since_open(struct view *view, uint64_t from, uint64_t to, struct slice lower,
               struct slice upper, struct table_since_counts *counts, struct iter **it,
               struct rangedel **dels);

/* ---- the difference of two states (since.c) ---- */

struct since;

/* As store_since_new(), for which -ESTALE was ruled out. `ctx` outlives it. */
int since_new(struct view *view, struct view_context *ctx, uint64_t from, uint64_t to,
              struct slice lower, struct slice upper, bool keys_only, struct since **out);
void since_free(struct since *s);
int since_next(struct since *s, struct store_change *change);
int since_value(struct since *s, bool after, struct slice *value);
const struct table_since_counts *since_counts(const struct since *s);
/* May the state at `from` be compared: is it pinned, or is all history from there on whole? */
bool since_is_kept(const struct view *view, uint64_t from);

#endif
