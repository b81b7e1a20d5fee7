/* filter_build: cuts a set of hashes into the layers of a filter. The format and its paper (BuRR,
 * Dillinger et al., SEA 2022) are described in filter.c, the equations in filter_band.c.
 *
 * Guarantees: cannot fail; the bytes depend on the set of hashes, on one_in and on nothing else;
 * time is linear, with some more passes of sorting for hashes made against the mixing function.
 * Invariants:
 *   1. While a layer is built, `now` holds the remixed hashes of all keys that no layer before it
 *      has, in ascending order and each once.
 *   2. Every layer but the last has thresholds and takes what fits; the last takes all the rest.
 *   3. Hashes as good as random never reach FILTER_LAYERS_MAX: a layer bumps about 2 %, so that
 *      four do for ten million. When others do, the last layer has no slots and says "maybe". */
#include "store/filter.h"

#include <assert.h>
#include <stdlib.h>

#include "store/filter_band.h"
#include "store/filter_priv.h"

/* ---- sorted hashes ---- */

/* The hashes that are still to be placed, and as much room to sort them in. */
struct hashes {
    uint64_t *now, *spare;
    size_t count;
};

enum { DIGIT_BITS_MAX = 11 };

/* One pass of a radix sort, stable, by `bits` bits from bit `shift` up. */
static void radix_pass(struct hashes *h, uint32_t shift, uint32_t bits)
{
    size_t next[1 << DIGIT_BITS_MAX] = {0};
    size_t mask = ((size_t)1 << bits) - 1, at = 0;
    assert(bits <= DIGIT_BITS_MAX && shift + bits <= 64);
    for (size_t i = 0; i < h->count; i++)
        next[h->now[i] >> shift & mask]++;
    for (size_t digit = 0; digit <= mask; digit++) {
        size_t many = next[digit];
        next[digit] = at;
        at += many;
    }
    assert(at == h->count);
    for (size_t i = 0; i < h->count; i++)
        h->spare[next[h->now[i] >> shift & mask]++] = h->now[i];
    uint64_t *sorted = h->spare;
    h->spare = h->now;
    h->now = sorted;
}

/* Insertion sort, as long as the hashes are nearly in order: false if that takes more than `moves`.
 */
static bool insertion_sort(struct hashes *h, uint64_t moves)
{
    for (size_t i = 1; i < h->count; i++) {
        uint64_t x = h->now[i];
        size_t at = i;
        for (; at > 0 && h->now[at - 1] > x; at--)
            h->now[at] = h->now[at - 1];
        h->now[at] = x;
        if (i - at > moves)
            return false;
        moves -= i - at;
    }
    return true;
}

/* Ascending. Remixed hashes are as good as random: once they are sorted by their first log2(count)
 * bits, about one is left to a digit. (A million: 20 bits, two passes of 10.) */
static void hashes_sort(struct hashes *h)
{
    uint32_t bits = h->count > 1 ? 64 - (uint32_t)__builtin_clzll(h->count - 1) : 0;
    uint32_t passes = (bits + DIGIT_BITS_MAX - 1) / DIGIT_BITS_MAX;
    uint32_t digit = passes ? (bits + passes - 1) / passes : 0;
    for (uint32_t left = passes; left > 0; left--)
        radix_pass(h, 64 - left * digit, digit);
    if (insertion_sort(h, 16 * (uint64_t)h->count))
        return;
    for (uint32_t shift = 0; shift < 64; shift += 8)
        radix_pass(h, shift, 8);
}

/* On to the hashes of the next layer, ascending. */
static void hashes_remix(struct hashes *h)
{
    for (size_t i = 0; i < h->count; i++)
        h->now[i] = filter_remix(h->now[i]);
    hashes_sort(h);
}

/* Keeps one of each. Requires them sorted. */
static void hashes_unique(struct hashes *h)
{
    size_t kept = 0;
    for (size_t i = 0; i < h->count; i++) {
        assert(kept == 0 || h->now[i] >= h->now[kept - 1]);
        if (kept == 0 || h->now[i] != h->now[kept - 1])
            h->now[kept++] = h->now[i];
    }
    h->count = kept;
}

/* ---- layers ---- */

enum {
    DENSE_KEYS_MAX = 64,   /* up to here a last layer begins with as many slots as keys */
    SINGLE_KEYS_MAX = 512, /* up to here a layer is the last: bumping would not make it smaller */
    SEEDS = 256,
    SEEDS_EACH_SIZE = 8, /* seeds to try before a last layer gets 8 slots more */
};

/* A filter that is being written. */
struct draft {
    struct buf *out;
    size_t begin; /* where in `out` it begins */
    uint32_t columns, low_share, layers;
};

/* Appends the head of a layer, and room for its solution and thresholds. */
static void draft_begin_layer(struct draft *d, uint64_t slots, uint32_t seed, bool bumps,
                              struct filter_layer *layer)
{
    buf_put_varint(d->out, slots / 8);
    buf_put_u8(d->out, (uint8_t)seed);
    filter_layer_place(layer, slots, d->out->len - d->begin, d->columns, d->low_share, bumps);
    layer->seed = seed;
    assert(layer->solution >= FILTER_HEADER_MIN && (slots > 0 || layer->end == layer->solution));
    size_t bytes = layer->end - layer->solution;
    buf_reserve(d->out, bytes);
    d->out->len += bytes;
    d->layers++;
    assert(d->layers <= FILTER_LAYERS_MAX);
}

static uint8_t *draft_bytes(struct draft *d)
{
    return d->out->data + d->begin;
}

/* Tries to place all of the hashes in a last layer of `slots` slots; adds nothing if that fails. */
static bool draft_try_last_layer(struct draft *d, const struct hashes *h, uint64_t slots,
                                 uint32_t seed)
{
    struct draft before = *d;
    size_t len = d->out->len;
    struct filter_layer layer;
    struct filter_band band;
    draft_begin_layer(d, slots, seed, false, &layer);
    filter_band_init(&band, &layer);
    bool solved = filter_band_all(&band, h->now, h->count);
    if (solved) {
        filter_band_solve(&band, d->columns, draft_bytes(d));
    } else {
        d->out->len = len;
        *d = before;
    }
    filter_band_release(&band);
    return solved;
}

/* A last layer for all of the hashes: with one seed after the other, and ever more slots, until the
 * equations hold together. With as many slots as keys and 64 or fewer, three of ten seeds do; with
 * more, one slot in 32 to spare takes a seed or two. The layer that says "maybe" without looking is
 * for what cannot happen by chance (invariant 3). */
static void draft_last_layer(struct draft *d, const struct hashes *h)
{
    size_t slack = h->count <= DENSE_KEYS_MAX ? 0 : h->count / 32;
    for (uint32_t seed = 0; h->count <= SINGLE_KEYS_MAX && seed < SEEDS; seed++) {
        uint64_t units = (h->count + slack + 7) / 8 + seed / SEEDS_EACH_SIZE;
        if (draft_try_last_layer(d, h, units * 8, seed))
            return;
    }
    struct filter_layer maybe;
    draft_begin_layer(d, 0, 0, false, &maybe);
}

/* A layer that takes most of the hashes and leaves the bumped ones in `h`. It has 1/64 fewer slots
 * than keys: where slots are scarce few stay empty (0.5 %, and 1 % if there are as many as keys),
 * and still only 2 % of the keys, and of the questions, go on to the next layer. */
static void draft_bumping_layer(struct draft *d, struct hashes *h)
{
    struct filter_layer layer;
    struct filter_band band;
    draft_begin_layer(d, (h->count - h->count / 64 + 7) / 8 * 8, 0, true, &layer);
    filter_band_init(&band, &layer);
    h->count = filter_band_fill(&band, h->now, h->count, draft_bytes(d) + layer.thresholds);
    filter_band_solve(&band, d->columns, draft_bytes(d));
    filter_band_release(&band);
}

/* How many columns a rate of 0.97 / one_in takes, and which share of the blocks has one less: the
 * smallest r with 2^r >= one_in / 0.97, and the s with (1 + s) / 2^r = 0.97 / one_in. The 3 % (0.04
 * bits a key) keep a measured rate below 1 / one_in: asking a million times at 1 % has a deviation
 * of 1 % of the rate. For one_in = 100, 128 * 0.97 / 100 = 1.2416, so r = 7, s = 0.2416 (61 of
 * 256), and a key takes 7 - 61 / 256 = 6.76 bits. */
static void draft_set_rate(struct draft *d, uint32_t one_in)
{
    uint64_t wanted = (uint64_t)one_in * 100, have = 97;
    for (d->columns = 0; have < wanted; d->columns++)
        have *= 2;
    d->low_share = (uint32_t)((have - wanted) * 256 / wanted);
    assert(d->columns >= FILTER_COLUMNS_MIN && d->columns <= FILTER_COLUMNS_MAX);
    assert(d->low_share < 256);
}

void filter_build(uint64_t *hashes, size_t count, uint32_t one_in, struct buf *out)
{
    assert(one_in >= 2 && one_in <= 65536);
    struct draft d = {.out = out, .begin = out->len};
    uint64_t *spare = mem_alloc(count * sizeof *spare);
    struct hashes h = {.now = hashes, .spare = spare, .count = count};
    draft_set_rate(&d, one_in);
    hashes_remix(&h);
    hashes_unique(&h);
    buf_put_u8(out, FILTER_VERSION);
    buf_put_u8(out, (uint8_t)d.columns);
    buf_put_u8(out, (uint8_t)d.low_share);
    buf_put_u8(out, 0);
    assert(out->len == d.begin + FILTER_AT_COUNT);
    buf_put_varint(out, h.count);
    while (h.count > SINGLE_KEYS_MAX && d.layers + 1 < FILTER_LAYERS_MAX) {
        draft_bumping_layer(&d, &h);
        hashes_remix(&h);
    }
    if (h.count > 0 || d.layers > 0)
        draft_last_layer(&d, &h);
    draft_bytes(&d)[FILTER_AT_LAYERS] = (uint8_t)d.layers;
    free(spare);
}
