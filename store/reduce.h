/* reduce: what flush and compaction do to a stream of entries: keep what somebody can see, drop
 * and count the rest, fold merge operands.
 *
 * Somebody: the pins, and every read at a number above all that is in the inputs. Pins cut the
 * line of sequence numbers into stripes: entries of one stripe are seen by the same readers.
 * Rules, for each user key, newest entry first:
 *   1. Within a stripe only the newest PUT or DELETE and the MERGEs above it matter; what is
 *      older in the stripe is dropped.
 *   2. An entry with a newer tombstone over it in its own stripe is dropped, and so is everything
 *      older in that stripe.
 *   3. MERGEs whose base is in their own stripe are folded into a PUT with the newest sequence
 *      number of the group. MERGEs of one stripe without their base are folded into one MERGE if
 *      the operator can; onto nothing, into a PUT, if no older data of the key exists anywhere.
 *      What cannot be folded (no operator, or damage, which was logged) stays as it is.
 *   4. A DELETE is dropped if no older data of the key exists anywhere.
 *   5. A tombstone fragment keeps one number per stripe (the newest), and only those that hide
 *      something: a kept entry, or older data outside the job.
 *   6. Fragments that touch become one, if their numbers lie in the same stripes and all that is
 *      older than they, outside the job, is older than the lowest of them: that is the number they
 *      get, one for each stripe (reduce_dels.c).
 * Apart from folding and rule 6, all keep their sequence numbers. The output is in internal order.
 */
#ifndef VARVE_STORE_REDUCE_H
#define VARVE_STORE_REDUCE_H

#include "store/iter.h"
#include "store/rangedel.h"
#include "store/store.h"

struct reduce_options {
    const uint64_t *pins; /* ascending; a pin p sees seq < p */
    size_t pin_count;
    const struct store_merge *merge;
    void *ctx; /* of the functions below */
    /* Can a source outside the job hold older entries for keys in [start, limit)? (limit of a
     * single key: the key and a zero byte.) */
    bool (*older_exists)(void *ctx, struct slice start, struct slice limit);
    /* No source outside the job has anything above this number, of what is older than the job's,
     * for keys in [start, limit); 0: none has anything. NULL: rule 6 is not applied. */
    uint64_t (*older_newest)(void *ctx, struct slice start, struct slice limit);
    /* Fetches a separated value for folding; appends to `*out`. 0 or an error. */
    int (*fetch)(void *ctx, struct slice encoded_ref, struct buf *out);
    /* An entry with a blob reference is not passed on. Once for each. */
    void (*drop_blob)(void *ctx, struct slice encoded_ref);
    /* The entry that is given next is kept although something newer hides it, only for pins, of
     * which `pin` is the newest: `bytes` of key, value and blob. */
    void (*held)(void *ctx, uint64_t pin, uint64_t bytes);
};

struct reduce;

/* Takes over `input` (point entries of all inputs, merged); refs `dels` (tombstones of all inputs).
 * Keeps `opt`'s pointers. */
struct reduce *reduce_new(struct iter *input, struct rangedel *dels,
                          const struct reduce_options *opt);
void reduce_free(struct reduce *r);
/* The next entry to write, living until the next call. 0, 1 at the end, or an error. */
int reduce_next(struct reduce *r, struct entry *e);

/* What the stream has lost up to here: a read at this number or above is not concerned, whether a
 * pin has it or not. Grows. 0: nothing. */
uint64_t reduce_history(const struct reduce *r);

/* Rules 5 and 6: the tombstones in [where the last call ended, upto) (empty: to the end), clipped
 * to it; `upto` is the key of the entry that reduce_next() gave last, or beyond the end of the
 * stream. One reference; never NULL. */
struct rangedel *reduce_rangedels(struct reduce *r, struct slice upto);

#endif
