/* pace: how long a writer is to wait for those who clear up behind it. A pure function of where the
 * store stands, so that the speed of writing sinks smoothly to what flushes and compactions manage,
 * before anything is full and writers have to stop. */
#ifndef VARVE_STORE_PACE_H
#define VARVE_STORE_PACE_H

#include <stdint.h>

struct pace {
    uint64_t memory_bytes, memory_max; /* of all memtables; at the maximum writers stop */
    uint64_t flush_rate;               /* bytes of memtables a second; 0: not known yet */
    uint64_t flush_left;               /* until memory is given back: so much is to be flushed */
    uint32_t level0_tables;
    uint32_t level0_trigger; /* so many are compacted */
    uint64_t debt_bytes;     /* what the deeper levels have over their targets */
    uint64_t base_bytes;     /* least target of the highest level in use */
};

/* The number of tables from which on level 0 slows writers down, and from which on it stops them:
 * one and a half and three times the trigger, but never soon after it. */
enum { PACE_SLOW_AFTER = 8, PACE_STOP_AFTER = 20 };
static inline uint32_t pace_level0_slow(uint32_t trigger)
{
    return trigger + (trigger / 2 > PACE_SLOW_AFTER ? trigger / 2 : PACE_SLOW_AFTER);
}
static inline uint32_t pace_level0_stop(uint32_t trigger)
{
    return trigger + (2 * trigger > PACE_STOP_AFTER ? 2 * trigger : PACE_STOP_AFTER);
}

/* Nanoseconds that writing `bytes` (at most STORE_BATCH_MAX) should take, by the worst of:
 *
 *   memory   above half of the maximum, so much that what is free lasts until the flush that runs
 *            has ended and gives some back: if what it has left is twice what is free, half of the
 *            speed of flushes. From half to five eighths of the maximum this comes on gradually;
 *   level 0  64 MiB a second where it begins to slow, half of that after each sixth of the way to
 *            where it stops;
 *   debt     the same from 8 times base_bytes on, half of that with each 8 more.
 *
 * It has no steps, and grows with each of them. */
uint64_t pace_delay_ns(const struct pace *p, uint64_t bytes);

#endif
