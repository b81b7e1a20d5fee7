/* replay_proof: was a place in a log on disk once? Then what does not verify there is damage, and
 * not what a power cut leaves.
 *
 * A log tells it by itself: after a sync the next group of records begins with a mark that says how
 * many bytes of the log were synced (batch.h); and since a sync takes older logs first, any mark in
 * a log that goes on after operations which this one has lost says so of all of this one. (A log
 * that goes on just where this one ends was begun when that end had been accepted: it says
 * nothing.) */
#ifndef VARVE_STORE_REPLAY_PROOF_H
#define VARVE_STORE_REPLAY_PROOF_H

#include "store/tree.h"

/* Was byte `offset` of log `number`, where operation `seq` should be, synced, as far as marks that
 * can still be read tell? What was synced last of all cannot be told from what was not. */
bool replay_was_synced(struct tree *t, uint64_t number, uint64_t offset, uint64_t seq);

#endif
