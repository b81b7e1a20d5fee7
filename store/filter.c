/* filter: the format of filters, and their reader. The writer is filter_build.c.
 *
 * BuRR: Peter C. Dillinger, Lorenz Huebschle-Schneider, Peter Sanders, Stefan Walzer, "Fast
 * Succinct Retrieval and Approximate Membership using Ribbon", SEA 2022. A ribbon is a table of
 * bits, r columns wide; its rows are called slots. Each key has an equation: a start slot, 64
 * coefficients for the slots from there on, and a fingerprint of r bits. The table is chosen so
 * that in each column the parity of the selected slots is the key's fingerprint bit; another hash
 * passes by chance, at 2^-r. Equations for all keys at once would need far more slots than keys.
 * So those that do not fit are bumped to a next, much smaller ribbon (a layer); which ones, a
 * threshold says for each bucket of 128 start slots.
 *
 * THE FORMAT. Integers are little-endian, a varint is LEB128, division rounds down.
 *
 *     u8      version   1
 *     u8      columns   r, 2..17
 *     u8      share     of 256 blocks so many have only r - 1 columns: a fraction of a bit a key
 *     u8      layers    0..16
 *     varint  count     of distinct hashes; 0 if and only if there are no layers
 *     then the layers, with nothing between them and nothing after the last; each is
 *     varint  units     slots = 8 * units; 0 (in the last layer only): the rest is absent, and
 *                       the answer here is "maybe"
 *     u8      seed
 *     bytes   solution  block after block, each of 64 slots, the last of 8..64; a block is its
 *                       columns 0, 1, ..., each a little-endian integer of as many bits as the
 *                       block has slots, the first slot lowest. Blocks [0, low) have r - 1 columns
 *     bytes   codes     not in the last layer: 2 bits for each bucket, lowest bits first; the bits
 *                       left over in the last byte are 0
 *
 *     with starts = slots < 64 ? 1 : slots - 63, low = starts * share / 256 / 64,
 *     and (starts + 127) / 128 buckets.
 *
 * To ask for a hash h, in 64-bit arithmetic that wraps:
 *     1. There are no layers: "no".
 *     2. For each layer from the first on: x = h + 0x9E3779B97F4A7C15;
 *        x = (x ^ x >> 33) * 0xFF51AFD7ED558CCD; x = (x ^ x >> 33) * 0xC4CEB9FE1A85EC53;
 *        h = x ^ x >> 33. If units is 0: "maybe".
 *     3. start = the upper 64 of the 128 bits of h * starts. If start % 128 is less than
 *        {0, 16, 40, 128}[code of bucket start / 128], h was bumped: on to 2 in the next.
 *     4. p = (h + seed) * 0xD6E8FEB86659FD93; coefficients = (p ^ p >> 32) | 1, of which only the
 *        lowest `slots` bits count; fingerprint = h * 0xA0761D6478BD642F >> 47.
 *     5. "Maybe" if, in each column j of the block of slot `start`, the parity of the number of
 *        i with bit i of the coefficients and slot start + i both 1 is bit j of the fingerprint;
 *        otherwise "no".
 *
 * Guarantees: after filter_open() no hash makes filter_may_contain() read outside the bytes.
 * Invariants:
 *   1. Offsets rise: header < solution <= codes < end of each layer <= begin of the next.
 *   2. At least FILTER_HEADER_MIN bytes stand before every solution, so that a column of less than
 *      8 bytes can be read together with what is in front of it (see view_block).
 *   3. start + 63 < slots, or start = 0 and the coefficients are `slots` bits: an equation touches
 *      one or two blocks, which exist. The last block has all columns. */
#include "store/filter.h"

#include <assert.h>
#include <errno.h>
#include <xxhash.h>

#include "store/filter_priv.h"

enum { PRIV_COUNT = 7 }; /* behind the first layer */

static_assert(sizeof(struct filter_layer) <= 7 * sizeof(uint64_t), "priv has room for a layer");
static_assert(FILTER_HEADER_MIN == FILTER_AT_COUNT + 3,
              "count, units and seed are a byte each, or more");

uint64_t filter_hash(struct slice key)
{
    return XXH3_64bits(key.data, key.len);
}

uint64_t filter_hash_prefix(struct slice prefix, uint64_t rule)
{
    assert(rule != 0);
    return XXH3_64bits_withSeed(prefix.data, prefix.len, rule);
}

void filter_layer_place(struct filter_layer *layer, uint64_t slots, uint64_t offset,
                        uint32_t columns, uint32_t low_share, bool bumps)
{
    assert(slots % 8 == 0 && slots <= (uint64_t)1 << 48);
    assert(columns >= FILTER_COLUMNS_MIN && columns <= FILTER_COLUMNS_MAX && low_share < 256);
    assert(offset >= FILTER_HEADER_MIN);
    *layer = (struct filter_layer){.slots = slots, .solution = offset, .end = offset};
    if (slots == 0)
        return;
    layer->starts = slots < FILTER_WIDTH ? 1 : slots - FILTER_WIDTH + 1;
    layer->low_blocks = layer->starts * low_share / 256 / FILTER_WIDTH;
    uint64_t last = (slots - 1) / FILTER_WIDTH;
    assert(layer->low_blocks <= last); /* the last block has all columns */
    layer->end =
        filter_layer_block(layer, last, columns) + filter_layer_last_bytes(layer) * columns;
    if (bumps) {
        layer->thresholds = layer->end;
        layer->end += (filter_layer_buckets(layer) + 3) / 4;
    }
    assert(layer->solution < layer->end);
}

/* Reads layer number `index`, which begins at byte `offset`. False: it reaches beyond the bytes. */
static bool layer_decode(struct slice bytes, uint64_t offset, uint32_t index,
                         struct filter_layer *layer)
{
    struct slice in = slice_of(bytes.data + offset, bytes.len - offset);
    uint64_t units;
    uint8_t seed;
    *layer = (struct filter_layer){0};
    if (!take_varint(&in, &units) || !take_u8(&in, &seed))
        return false;
    /* A unit takes a byte in every column, and each block has one at least. This bounds all that
     * is computed below. */
    if (units > in.len || units > (uint64_t)1 << 45)
        return false;
    bool bumps = units > 0 && index + 1 < bytes.data[FILTER_AT_LAYERS];
    filter_layer_place(layer, units * 8, bytes.len - in.len, bytes.data[FILTER_AT_COLUMNS],
                       bytes.data[FILTER_AT_LOW_SHARE], bumps);
    layer->seed = seed;
    return layer->end <= bytes.len;
}

/* The first layer is kept decoded; the others are decoded when they are asked, which is rare. */
static void priv_put_layer(struct filter *f, const struct filter_layer *layer)
{
    memcpy(f->priv, layer, sizeof *layer);
}

static struct filter_layer priv_layer(const struct filter *f)
{
    struct filter_layer layer;
    memcpy(&layer, f->priv, sizeof layer);
    return layer;
}

/* What filter_open() has found out and filter_may_contain() relies on. */
static void filter_assert_valid(const struct filter *f)
{
    struct slice bytes = f->bytes;
    assert(bytes.len > FILTER_AT_COUNT && bytes.data[FILTER_AT_VERSION] == FILTER_VERSION);
    assert(bytes.data[FILTER_AT_COLUMNS] >= FILTER_COLUMNS_MIN);
    assert(bytes.data[FILTER_AT_COLUMNS] <= FILTER_COLUMNS_MAX);
    assert(bytes.data[FILTER_AT_LAYERS] <= FILTER_LAYERS_MAX);
}

/* Where the layers begin and what `count` is; or -EIO. */
static int header_decode(struct slice bytes, uint64_t *count, uint64_t *offset)
{
    if (bytes.len <= FILTER_AT_COUNT || bytes.data[FILTER_AT_VERSION] != FILTER_VERSION)
        return -EIO;
    if (bytes.data[FILTER_AT_COLUMNS] < FILTER_COLUMNS_MIN ||
        bytes.data[FILTER_AT_COLUMNS] > FILTER_COLUMNS_MAX)
        return -EIO;
    struct slice in = slice_of(bytes.data + FILTER_AT_COUNT, bytes.len - FILTER_AT_COUNT);
    if (!take_varint(&in, count) || bytes.data[FILTER_AT_LAYERS] > FILTER_LAYERS_MAX)
        return -EIO;
    *offset = bytes.len - in.len;
    return (*count == 0) == (bytes.data[FILTER_AT_LAYERS] == 0) ? 0 : -EIO;
}

int filter_open(struct slice bytes, struct filter *out)
{
    uint64_t count, offset;
    *out = (struct filter){0};
    if (header_decode(bytes, &count, &offset))
        return -EIO;
    struct filter f = {.bytes = bytes};
    f.priv[PRIV_COUNT] = count;
    for (uint32_t i = 0; i < bytes.data[FILTER_AT_LAYERS]; i++) {
        struct filter_layer layer;
        if (!layer_decode(bytes, offset, i, &layer))
            return -EIO;
        if (layer.slots == 0 && i + 1u < bytes.data[FILTER_AT_LAYERS])
            return -EIO; /* what follows could never be reached */
        assert(layer.end > offset);
        offset = layer.end;
        if (i == 0)
            priv_put_layer(&f, &layer);
    }
    if (offset != bytes.len)
        return -EIO;
    filter_assert_valid(&f);
    *out = f;
    return 0;
}

uint64_t filter_count(const struct filter *f)
{
    return f->priv[PRIV_COUNT];
}

/* Whether the layer's keys that start there have been left to the next layer. */
static bool bumped(const uint8_t *bytes, const struct filter_layer *layer, uint64_t start)
{
    if (layer->thresholds == 0)
        return false;
    uint64_t bucket = start / FILTER_BUCKET_STARTS;
    assert(layer->thresholds + bucket / 4 < layer->end);
    uint32_t code = (uint32_t)bytes[layer->thresholds + bucket / 4] >> bucket % 4 * 2;
    return start % FILTER_BUCKET_STARTS < filter_threshold(code);
}

/* The columns of a block, as 64-bit words that begin `stride` bytes after each other. */
struct block_view {
    const uint8_t *word;
    uint32_t stride;
    uint64_t mask; /* which bits of the words count */
};

/* Views the bits `mask` of a block. A column of the last block has b <= 8 bytes: it is read as the
 * top b bytes of the word that ends with it, so that nothing behind the filter is touched, only up
 * to 7 bytes in front (invariant 2). With b = 3, bit 5 of the mask meets bit 45 of the word. */
static inline struct block_view view_block(const uint8_t *bytes, const struct filter_layer *layer,
                                           uint64_t block, uint64_t mask)
{
    uint32_t columns = bytes[FILTER_AT_COLUMNS], width = 8;
    assert(block * FILTER_WIDTH < layer->slots);
    if (block == (layer->slots - 1) / FILTER_WIDTH)
        width = filter_layer_last_bytes(layer);
    uint64_t at = filter_layer_block(layer, block, columns) + width - 8;
    return (struct block_view){bytes + at, width, mask << (64 - 8 * width)};
}

/* Whether the equation holds in all columns that its first block has. */
static inline bool row_holds(const uint8_t *bytes, const struct filter_layer *layer,
                             const struct filter_row *row)
{
    uint64_t block = row->start / FILTER_WIDTH;
    uint32_t shift = row->start % FILTER_WIDTH;
    /* The equation's bits in its first block, then those in the next. Without a shift there are
     * none there, and there need not be a next one: the first stands in. */
    struct block_view a = view_block(bytes, layer, block, row->coefficients << shift);
    struct block_view b = view_block(bytes, layer, block + (shift > 0),
                                     row->coefficients >> 1 >> (FILTER_WIDTH - 1 - shift));
    uint32_t columns = filter_layer_columns(layer, block, bytes[FILTER_AT_COLUMNS]);
    for (uint32_t j = 0; j < columns; j++) {
        uint64_t selected = (get_u64(a.word) & a.mask) ^ (get_u64(b.word) & b.mask);
        if (((uint32_t)__builtin_parityll(selected) ^ row->fingerprint >> j) & 1)
            return false;
        a.word += a.stride;
        b.word += b.stride;
    }
    return true;
}

/* What layer number `index`, at byte `offset`, and those behind it say to a hash that the layer
 * before has bumped. Two hashes of a hundred come here. */
static __attribute__((noinline)) bool ask_behind(const struct filter *f, uint64_t offset,
                                                 uint32_t index, uint64_t hash)
{
    for (;; index++) {
        struct filter_layer layer;
        bool found = layer_decode(f->bytes, offset, index, &layer);
        assert(found && layer.end > offset);
        if (layer.slots == 0)
            return true;
        hash = filter_remix(hash);
        struct filter_row row = filter_row_of(&layer, hash);
        if (!bumped(f->bytes.data, &layer, row.start))
            return row_holds(f->bytes.data, &layer, &row);
        offset = layer.end;
    }
}

void filter_prefetch(const struct filter *f, uint64_t hash)
{
    enum { LINE = 64 };
    const struct filter_layer layer = priv_layer(f);
    if (layer.slots == 0)
        return;
    uint64_t start = filter_scale(filter_remix(hash), layer.starts), block = start / FILTER_WIDTH;
    const uint8_t *bytes = f->bytes.data;
    const uint8_t *at = bytes + filter_layer_block(&layer, block, bytes[FILTER_AT_COLUMNS]);
    __builtin_prefetch(at);
    __builtin_prefetch(at + LINE);
    __builtin_prefetch(bytes + layer.thresholds + start / FILTER_BUCKET_STARTS / 4);
}

bool filter_may_contain(const struct filter *f, uint64_t hash)
{
    const struct filter_layer layer = priv_layer(f);
    assert(f->bytes.len > 0); /* it has been opened */
    if (layer.slots == 0)
        return f->priv[PRIV_COUNT] > 0;
    hash = filter_remix(hash);
    struct filter_row row = filter_row_of(&layer, hash);
    if (bumped(f->bytes.data, &layer, row.start))
        return ask_behind(f, layer.end, 1, hash);
    return row_holds(f->bytes.data, &layer, &row);
}
