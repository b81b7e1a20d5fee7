/* alone: what of a store only one pin holds: its entries that no other pin and no reader of the
 * present sees. When the pin is deleted, that is what compaction drops. */
#ifndef VARVE_STORE_ALONE_H
#define VARVE_STORE_ALONE_H

#include "store/since.h"

/* Adds up what only the pins with number `seq` hold, of which `view` has one: nothing, if it has
 * several. Costs what has changed between that pin and the next, not what the store holds. 0 or an
 * error. */
int alone_sum(struct view *view, struct view_context *ctx, uint64_t seq, uint64_t published,
              struct store_pin_space *out);

#endif
