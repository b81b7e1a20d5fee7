/* filter: an immutable approximate set of 64-bit hashes, for "this table cannot have that key".
 *
 * BuRR, the bumped ribbon retrieval of Dillinger, Huebschle-Schneider, Sanders and Walzer ("Fast
 * Succinct Retrieval and Approximate Membership using Ribbon", SEA 2022). No false negatives; the
 * rate of false positives is 2^-bits. At the default rate of at most 1 % it costs at most 7.0 bits
 * a key from ten thousand keys on.
 *
 * The filter is a byte string without pointers: it is checked by filter_open() and then asked in
 * place. */
#ifndef VARVE_STORE_FILTER_H
#define VARVE_STORE_FILTER_H

#include "store/bytes.h"

/* The hash of a key that filters are built and asked with (XXH3, 64 bits, seed 0). Part of the
 * format. */
uint64_t filter_hash(struct slice key);

/* The hash that a prefix of keys goes into a filter with; unlike that of the key of the same bytes.
 */
uint64_t filter_hash_prefix(struct slice prefix, uint64_t rule);

/* Appends a filter over `hashes[0..count)` to `*out`, with a false-positive rate of at most
 * 1/`one_in` (2 <= one_in <= 65536). Duplicates are welcome. The array is used as scratch space:
 * its contents are undefined afterwards. count == 0 gives a filter that answers "no". Cannot fail.
 */
void filter_build(uint64_t *hashes, size_t count, uint32_t one_in, struct buf *out);

/* A view of a built filter; borrows the bytes it was opened over. */
struct filter {
    struct slice bytes; /* all of it */
    uint64_t priv[8];   /* decoded geometry, the implementation's own */
};

/* Checks header and lengths, so that filter_may_contain() never reads outside `bytes`, whatever
 * they are. Returns 0, or -EIO when they are no filter; the caller raises corrupt() with the file's
 * name. */
int filter_open(struct slice bytes, struct filter *out);

/* False: the hash was not in the set. True: it probably was. Thread-safe. */
bool filter_may_contain(const struct filter *f, uint64_t hash);

/* Tells the processor to fetch what filter_may_contain() of this hash will look at first. For those
 * who ask several filters: then they wait for memory once, and not once each. */
void filter_prefetch(const struct filter *f, uint64_t hash);

/* How many keys it was built over (duplicates counted once if they were removed). */
uint64_t filter_count(const struct filter *f);

#endif
