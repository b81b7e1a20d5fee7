/* filter_band: see filter_band.h. Ribbon construction (Dillinger and Walzer, arXiv 2103.02515) with
 * bumping (the BuRR paper of filter.c).
 *
 * Gaussian elimination on equations that span 64 slots, bucket by bucket from the left, in a bucket
 * from the right, and then from the last slot back. A bucket is filled from the right because its
 * left end is where the bucket before it has spilled over: that is where equations fail, so that
 * the bumped ones are those below a threshold.
 *
 * Guarantees: linear time; the matrix depends on the set of hashes only.
 * Invariants:
 *   1. coefficients[i] is 0 (the slot is free) or has bit 0 set; bit b stands for slot i + b.
 *   2. No row reaches beyond the last start so far + 63: adding one equation to another starts no
 *      earlier and ends no later than they do. So the equations of one bucket, whose starts are 128
 *      slots, fill at most 128 + 63 slots.
 *   3. The equations of a bucket that are in the matrix are those at or above its threshold.
 *      When one of a group between two thresholds fails, the group leaves the matrix again. */
#include "store/filter_band.h"

#include <assert.h>
#include <stdlib.h>

enum { BUCKET_SLOTS = FILTER_BUCKET_STARTS + FILTER_WIDTH - 1 };

void filter_band_init(struct filter_band *band, const struct filter_layer *layer)
{
    band->layer = *layer;
    band->coefficients = mem_zalloc(layer->slots * sizeof *band->coefficients);
    band->results = mem_zalloc(layer->slots * sizeof *band->results);
}

void filter_band_release(struct filter_band *band)
{
    free(band->coefficients);
    free(band->results);
}

#define BAND_REDUNDANT UINT64_MAX       /* follows from the equations that are there */
#define BAND_CLASH     (UINT64_MAX - 1) /* contradicts them, in a column that is kept or in none */

/* Adds one equation: returns the slot that it fills, or one of the above. */
static uint64_t band_add(struct filter_band *band, struct filter_row row)
{
    uint64_t slot = row.start, coefficients = row.coefficients;
    uint32_t result = row.fingerprint;
    assert(coefficients & 1);
    assert(slot < band->layer.slots);
    while (band->coefficients[slot] != 0) {
        coefficients ^= band->coefficients[slot];
        result ^= band->results[slot];
        if (coefficients == 0)
            return result ? BAND_CLASH : BAND_REDUNDANT;
        uint32_t zeros = (uint32_t)__builtin_ctzll(coefficients);
        coefficients >>= zeros;
        slot += zeros;
        assert(slot < band->layer.slots);
    }
    band->coefficients[slot] = coefficients;
    band->results[slot] = result;
    return slot;
}

/* Adds the equations of those of hashes [begin, *end) that start at offset `floor` of their bucket
 * or behind it, the last one first, and moves *end before them. Or adds none and returns false. */
static bool band_group(struct filter_band *band, const uint64_t *hashes, size_t begin, size_t *end,
                       uint32_t floor)
{
    uint64_t filled[BUCKET_SLOTS];
    size_t count = 0, at = *end;
    for (; at > begin; at--) {
        struct filter_row row = filter_row_of(&band->layer, hashes[at - 1]);
        if (row.start % FILTER_BUCKET_STARTS < floor)
            break;
        uint64_t slot = band_add(band, row);
        if (slot == BAND_CLASH) {
            while (count > 0)
                band->coefficients[filled[--count]] = 0;
            return false;
        }
        if (slot != BAND_REDUNDANT) {
            assert(count < BUCKET_SLOTS);
            filled[count++] = slot;
        }
    }
    *end = at;
    return true;
}

/* Adds what fits of hashes [begin, end), which are one bucket's, and returns the threshold that
 * this takes. The first *bumped of `hashes` have been bumped; those that now are join them. */
static uint32_t band_bucket(struct filter_band *band, uint64_t *hashes, size_t begin, size_t end,
                            size_t *bumped)
{
    uint32_t code = 3;
    while (code > 0 && band_group(band, hashes, begin, &end, filter_threshold(code - 1)))
        code--;
    assert(*bumped <= begin && (code > 0 || begin == end));
    for (; begin < end; begin++)
        hashes[(*bumped)++] = hashes[begin];
    return code;
}

size_t filter_band_fill(struct filter_band *band, uint64_t *hashes, size_t count,
                        uint8_t *thresholds)
{
    uint64_t buckets = filter_layer_buckets(&band->layer);
    size_t begin = 0, bumped = 0;
    memset(thresholds, 0, (buckets + 3) / 4);
    for (uint64_t bucket = 0; bucket < buckets; bucket++) {
        uint64_t next = (bucket + 1) * FILTER_BUCKET_STARTS;
        size_t end = begin;
        while (end < count && filter_scale(hashes[end], band->layer.starts) < next)
            end++;
        uint32_t code = band_bucket(band, hashes, begin, end, &bumped);
        thresholds[bucket / 4] |= (uint8_t)(code << bucket % 4 * 2);
        begin = end;
    }
    assert(begin == count && bumped <= count);
    return bumped;
}

bool filter_band_all(struct filter_band *band, const uint64_t *hashes, size_t count)
{
    for (size_t i = count; i > 0; i--)
        if (band_add(band, filter_row_of(&band->layer, hashes[i - 1])) == BAND_CLASH)
            return false;
    return true;
}

/* The bits of slot i in all columns, from those of the slots behind it: bit b of a window is slot
 * i + 1 + b before, i + b after. In a free slot they are 0. */
static void solve_slot(const struct filter_band *band, uint64_t slot, uint32_t columns,
                       uint64_t *windows)
{
    uint64_t coefficients = band->coefficients[slot];
    uint32_t result = coefficients ? band->results[slot] : 0;
    for (uint32_t j = 0; j < columns; j++) {
        uint64_t behind = windows[j] << 1;
        uint32_t parity = (uint32_t)__builtin_parityll(behind & coefficients);
        windows[j] = behind | ((parity ^ result >> j) & 1);
    }
}

void filter_band_solve(const struct filter_band *band, uint32_t columns, uint8_t *filter)
{
    const struct filter_layer *layer = &band->layer;
    uint64_t windows[FILTER_COLUMNS_MAX] = {0}, slot = layer->slots;
    uint32_t width = filter_layer_last_bytes(layer);
    while (slot > 0) {
        for (uint32_t i = 0; i < width * 8; i++)
            solve_slot(band, --slot, columns, windows);
        assert(slot % FILTER_WIDTH == 0);
        uint64_t block = slot / FILTER_WIDTH;
        uint8_t *at = filter + filter_layer_block(layer, block, columns);
        for (uint32_t j = 0; j < filter_layer_columns(layer, block, columns); j++, at += width) {
            uint8_t word[8];
            put_u64(word, windows[j]);
            memcpy(at, word, width);
        }
        width = 8;
    }
}
