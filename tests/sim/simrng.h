/* simrng: the simulation's own random numbers: the same seed gives the same numbers for ever.
 * SplitMix64: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014. */
#ifndef VARVE_TESTS_SIM_SIMRNG_H
#define VARVE_TESTS_SIM_SIMRNG_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

struct simrng {
    uint64_t state; /* the seed, at first; any value will do */
};

static inline uint64_t simrng_next(struct simrng *r)
{
    uint64_t z = r->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* 0 <= result < n; n > 0. The bias is below n / 2^64. */
static inline uint64_t simrng_below(struct simrng *r, uint64_t n)
{
    assert(n > 0);
    return simrng_next(r) % n;
}

static inline bool simrng_coin(struct simrng *r)
{
    return simrng_next(r) >> 63;
}

#endif
