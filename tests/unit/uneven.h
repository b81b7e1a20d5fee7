/* uneven: large values in which counting bytes saves a third, and looking for repeats saves more,
 * but not where a sample is taken from: so a test can see whether somebody looked for them. */
#ifndef VARVE_UNIT_UNEVEN_H
#define VARVE_UNIT_UNEVEN_H

#include <string.h>

#include "tests/sim/simrng.h"

enum { UNEVEN_LEN = 128 << 10 };

/* Some bytes are more frequent than others, and nothing repeats. */
static inline void uneven_fill(struct simrng *rng, uint8_t *out, size_t len)
{
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)('a' + simrng_below(rng, 1 + simrng_below(rng, 40)));
}

/* In the first three eighths of UNEVEN_LEN bytes three of four bytes are in short repeats. */
static inline void uneven_repeats(struct simrng *rng, uint8_t *value)
{
    enum { STEP = 16, REPEATED = 12 };
    for (size_t i = 256; i < UNEVEN_LEN / 8 * 3; i += STEP)
        memcpy(value + i, value + simrng_below(rng, (uint32_t)(i - STEP)), REPEATED);
}

#endif
