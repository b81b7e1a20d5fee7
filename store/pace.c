/* pace: see pace.h. */
#include "store/pace.h"

#include <assert.h>

enum {
    SLOW_BYTES = 64 << 20,  /* a second, where level 0 or debt begin to slow */
    FLUSH_BYTES = 64 << 20, /* a second, while nobody knows */
    HALVINGS_LEVEL0 = 6,    /* between where it slows and where it stops */
    HALVINGS_MAX = 8,
    DEBT_UNITS = 8, /* of base_bytes, until it slows, and for each halving */
    RAMP_PART = 8,  /* of memory, over which it comes on */
    FREE_PART = 64, /* no less is taken to be free */
    PARTS = 1024,   /* fractions are in these */
};
#define SECOND_NS UINT64_C(1000000000)

static uint64_t time_at(uint64_t bytes, uint64_t rate)
{
    assert(bytes <= UINT64_MAX / SECOND_NS && rate > 0);
    return bytes * SECOND_NS / rate;
}

/* What is free has to last for as long as the flush will take for what it has left. */
static uint64_t for_memory(const struct pace *p, uint64_t bytes)
{
    uint64_t half = p->memory_max / 2, ramp = p->memory_max / RAMP_PART;
    if (ramp == 0 || p->memory_bytes <= half)
        return 0;
    uint64_t over = p->memory_bytes - half, least = p->memory_max / FREE_PART;
    uint64_t left = p->flush_left < p->memory_max ? p->flush_left : p->memory_max;
    uint64_t unused = p->memory_bytes < p->memory_max ? p->memory_max - p->memory_bytes : 0;
    double gradually = over < ramp ? (double)over / (double)ramp : 1;
    double slower = (double)left / (double)(unused > least ? unused : least);
    uint64_t base = time_at(bytes, p->flush_rate ? p->flush_rate : FLUSH_BYTES);
    return (uint64_t)((double)base * slower * gradually);
}

/* `parts` of PARTS over where it begins to slow, each PARTS being one halving: 2^n, and on the way
 * from one power to the next in a straight line. */
static uint64_t halved(uint64_t bytes, uint64_t parts)
{
    uint64_t most = (uint64_t)HALVINGS_MAX * PARTS;
    parts = parts < most ? parts : most;
    uint64_t base = time_at(bytes, SLOW_BYTES) << parts / PARTS;
    return base + base * (parts % PARTS) / PARTS;
}

static uint64_t for_level0(const struct pace *p, uint64_t bytes)
{
    uint32_t slow = pace_level0_slow(p->level0_trigger), stop = pace_level0_stop(p->level0_trigger);
    assert(slow < stop);
    if (p->level0_trigger == 0 || p->level0_tables < slow)
        return 0;
    uint64_t over = p->level0_tables - slow;
    return halved(bytes, over * HALVINGS_LEVEL0 * PARTS / (stop - slow));
}

static uint64_t for_debt(const struct pace *p, uint64_t bytes)
{
    uint64_t unit = DEBT_UNITS * p->base_bytes;
    if (unit == 0 || p->debt_bytes < unit)
        return 0;
    uint64_t over = p->debt_bytes - unit, most = unit * HALVINGS_MAX;
    return halved(bytes, over >= most ? UINT64_MAX : over / (unit / PARTS + 1));
}

uint64_t pace_delay_ns(const struct pace *p, uint64_t bytes)
{
    uint64_t memory = for_memory(p, bytes), level0 = for_level0(p, bytes),
             debt = for_debt(p, bytes);
    uint64_t most = memory > level0 ? memory : level0;
    return most > debt ? most : debt;
}
