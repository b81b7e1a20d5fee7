/* filter_band: the linear equations of one layer of a filter, for its writer: added one by one,
 * bumped where they do not fit, then solved. Ribbon construction after Dillinger and Walzer,
 * "Ribbon filter: practically smaller than Bloom and Xor" (arXiv 2103.02515), bumping after the
 * paper of filter.c. */
#ifndef VARVE_STORE_FILTER_BAND_H
#define VARVE_STORE_FILTER_BAND_H

#include "store/filter_priv.h"

/* The matrix of one layer, in echelon form: row i starts at slot i. */
struct filter_band {
    struct filter_layer layer;
    uint64_t *coefficients; /* 0: the slot is free */
    uint32_t *results;      /* one bit for each column */
};

/* An empty matrix for `layer`; release it. Both arrays have layer->slots elements. */
void filter_band_init(struct filter_band *band, const struct filter_layer *layer);
void filter_band_release(struct filter_band *band);

/* Adds the equations of all the `count` hashes, or returns false: they contradict each other. They
 * should be in ascending order, for speed. The matrix has to be empty. */
bool filter_band_all(struct filter_band *band, const uint64_t *hashes, size_t count);

/* Adds what fits of the `count` hashes, which are in ascending order. Moves those that do not fit
 * to the front of the array, in order, and returns how many they are. Writes the layer's thresholds
 * (filter.c says how), a byte for each four buckets. The matrix has to be empty. */
size_t filter_band_fill(struct filter_band *band, uint64_t *hashes, size_t count,
                        uint8_t *thresholds);

/* Solves the equations, for this many columns, and writes the solution at its place in `filter`,
 * the beginning of the filter's bytes. */
void filter_band_solve(const struct filter_band *band, uint32_t columns, uint8_t *filter);

#endif
