/* filter_priv: what writer (filter_build.c) and reader (filter.c) of a filter agree on. The byte
 * format that these rules serve is at the top of filter.c. */
#ifndef VARVE_STORE_FILTER_PRIV_H
#define VARVE_STORE_FILTER_PRIV_H

#include "store/filter.h"

/* Offsets of the header's fields: a byte each, but for the varint at the end. */
enum {
    FILTER_AT_VERSION = 0,
    FILTER_AT_COLUMNS = 1,
    FILTER_AT_LOW_SHARE = 2,
    FILTER_AT_LAYERS = 3,
    FILTER_AT_COUNT = 4
};

enum {
    FILTER_VERSION = 1,
    FILTER_HEADER_MIN = 7, /* fewest bytes in front of a layer's solution: readers step back by 7 */
    FILTER_COLUMNS_MIN = 2,
    FILTER_COLUMNS_MAX = 17, /* ceil(log2(65536 / 0.97)) */
    FILTER_LAYERS_MAX = 16,
    FILTER_WIDTH = 64,         /* slots that one equation may span, and slots in a block */
    FILTER_BUCKET_STARTS = 128 /* start slots that share one threshold */
};

/* One ribbon: where its parts lie in the filter's bytes, and how to address them. */
struct filter_layer {
    uint64_t slots;      /* columns are this many bits long; a multiple of 8; 0: answers "maybe" */
    uint64_t starts;     /* equations start at slots [0, starts) */
    uint64_t low_blocks; /* the blocks [0, low_blocks) have one column less than the others */
    uint64_t solution;   /* byte offset of block 0 */
    uint64_t thresholds; /* byte offset of the buckets' codes; 0: nothing was bumped here */
    uint64_t end;        /* byte offset behind the layer */
    uint64_t seed;       /* 0..255 */
};

/* The equation of one hash: the parity of (the slots from `start` on, masked by `coefficients`)
 * must be bit j of `fingerprint` in every column j. */
struct filter_row {
    uint64_t start, coefficients;
    uint32_t fingerprint;
};

/* Fills `layer` for a ribbon of `slots` slots whose solution begins at byte `offset`; with
 * thresholds behind it if `bumps`. Columns and share are the header's fields. The seed is 0, for
 * the caller to set. Requires slots % 8 == 0 and slots <= 2^48. */
void filter_layer_place(struct filter_layer *layer, uint64_t slots, uint64_t offset,
                        uint32_t columns, uint32_t low_share, bool bumps);

/* How many thresholds the layer has, two bits each. */
static inline uint64_t filter_layer_buckets(const struct filter_layer *layer)
{
    return (layer->starts + FILTER_BUCKET_STARTS - 1) / FILTER_BUCKET_STARTS;
}

/* How many bytes one column of the last block has, 1..8; those of other blocks have 8. */
static inline uint32_t filter_layer_last_bytes(const struct filter_layer *layer)
{
    return (uint32_t)((layer->slots / 8 - 1) % 8 + 1);
}

/* The byte offset of block `block`, which has to exist. */
static inline uint64_t filter_layer_block(const struct filter_layer *layer, uint64_t block,
                                          uint32_t columns)
{
    uint64_t low = block < layer->low_blocks ? block : layer->low_blocks;
    return layer->solution + 8 * (block * columns - low);
}

/* How many columns block `block` has. */
static inline uint32_t filter_layer_columns(const struct filter_layer *layer, uint64_t block,
                                            uint32_t columns)
{
    return columns - (block < layer->low_blocks);
}

/* The first offset in a bucket that its threshold code (0..3) does not bump. */
static inline uint32_t filter_threshold(uint32_t code)
{
    static const uint8_t first_kept[4] = {0, 16, 40, FILTER_BUCKET_STARTS};
    return first_kept[code & 3];
}

/* A layer's hash from the hash of the layer before it (of the first: from the key's). A bijection,
 * so that different keys stay different however their hashes are clustered: Murmur3's finaliser
 * over hash + 2^64/phi, which moves the fixed point 0 away. */
static inline uint64_t filter_remix(uint64_t hash)
{
    uint64_t x = hash + 0x9E3779B97F4A7C15U;
    x = (x ^ x >> 33) * 0xFF51AFD7ED558CCDU;
    x = (x ^ x >> 33) * 0xC4CEB9FE1A85EC53U;
    return x ^ x >> 33;
}

/* floor(a * b / 2^64): spreads a hash `a` evenly over [0, b) and keeps its order. */
static inline uint64_t filter_scale(uint64_t a, uint64_t b)
{
    return (uint64_t)((unsigned __int128)a * b >> 64);
}

/* The equation of a remixed hash. The start comes from its high bits, which neighbours in a bucket
 * share; the two products spread the low ones over the coefficients and the fingerprint. A seed
 * changes the coefficients only, so that hashes sorted by start stay so when another one is tried.
 */
static inline struct filter_row filter_row_of(const struct filter_layer *layer, uint64_t hash)
{
    uint64_t spread = (hash + layer->seed) * 0xD6E8FEB86659FD93U;
    uint64_t coefficients = (spread ^ spread >> 32) | 1;
    if (layer->slots < FILTER_WIDTH)
        coefficients &= ((uint64_t)1 << layer->slots) - 1;
    return (struct filter_row){
        .start = filter_scale(hash, layer->starts),
        .coefficients = coefficients,
        .fingerprint = (uint32_t)(hash * 0xA0761D6478BD642FU >> 47),
    };
}

#endif
