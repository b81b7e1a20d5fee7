/* counters: events and times, counted where they happen, at the cost of a plain addition.
 *
 * Each thread adds to a stripe of its own, which nobody else writes; whoever wants the figures adds
 * the stripes up. (A locked addition costs 12 ns here, and one get makes ten; a plain one 0.3 ns.)
 * Threads beyond COUNTER_SLOTS share stripe 0, with locked additions.
 *
 * How to count:
 *
 *   struct counter_stripe *mine = counters_mine(ctx->counters);   once for an operation
 *   counter_add(mine, COUNT_BLOCK_CACHED, 1);                     wherever it happens
 *
 * A lookup gathers what happens to it, and is counted at its end (view.c). NULL is taken for both,
 * and counts nothing: a module's own test need not have counters.
 *
 * How to time:
 *
 *   uint64_t began = counter_start(mine, STORE_TIME_GET, env);    0: this one is not timed
 *   ...
 *   counter_stop(mine, STORE_TIME_GET, env, began);
 *
 * Reading the clock twice costs 80 ns; so of frequent things only one in a prime number is timed
 * (counters.c says which).
 *
 * To add a counter: a line in enum counter_id with what it counts, a field in struct store_insight,
 * a line in counters_read(), and one where `varvefs stat` prints them. */
#ifndef VARVE_STORE_COUNTERS_H
#define VARVE_STORE_COUNTERS_H

#include "store/env.h"
#include "store/insight.h"

enum counter_id {
    COUNT_GET,            /* a point read began */
    COUNT_FOUND_MEMTABLE, /* its newest visible entry is a value, in the active memtable */
    COUNT_FOUND_SEALED,   /* in a sealed one */
    COUNT_DELETED,        /* it is a tombstone */
    COUNT_RANGE_DELETED,  /* a range tombstone hides it, or would */
    COUNT_ABSENT,         /* there is nothing */
    COUNT_FOLDED,         /* operands were folded */
    COUNT_TABLE_OUT_OF_SPAN,
    COUNT_TABLE_ASKED,
    COUNT_FILTER_NEGATIVE,
    COUNT_FILTER_FALSE_POSITIVE,
    COUNT_FILTER_TRUE_POSITIVE,
    COUNT_FILTER_PREFIX_NEGATIVE,
    COUNT_BLOCK_MISSED,
    COUNT_BLOCK_CACHED,
    COUNT_BLOCK_READ,
    COUNT_JOB_BLOCK_CACHED,
    COUNT_JOB_BLOCK_READ,
    COUNT_BLOB_CACHED,
    COUNT_BLOB_READ,
    COUNT_SEEK,
    COUNT_STEP,
    COUNT_PASSED,
    COUNT_BATCH,
    COUNT_SYNC,
    COUNT_STALL,
    COUNT_LEVEL0_ASKED, /* tables of level 0 by reads; one for a cursor counts as many */
    COUNT_FOUND_LEVEL,  /* + the level */
    COUNT_LEVEL_WRITTEN = COUNT_FOUND_LEVEL + STORE_LEVELS, /* + the level; bytes of tables */
    COUNT_LEVEL_READ = COUNT_LEVEL_WRITTEN + STORE_LEVELS,  /* + the level; bytes of tables */
    COUNTERS = COUNT_LEVEL_READ + STORE_LEVELS,
};

/* Buckets of a histogram: values below 16 ns have one each, then 8 for each doubling, up to 2^45 ns
 * (ten hours), where the last takes the rest. After HdrHistogram (Tene). */
enum { HISTOGRAM_OCTAVE = 8, HISTOGRAM_BUCKETS = 42 * HISTOGRAM_OCTAVE };

struct histogram {
    uint64_t sum, max;
    uint64_t counts[HISTOGRAM_BUCKETS];
};
uint32_t histogram_bucket(uint64_t value);
/* The largest value that falls into the bucket. */
uint64_t histogram_value(uint32_t bucket);
/* The value that `parts` of a million are at or below, as the upper end of its bucket but at most
 * the maximum; 0 if there are none. */
uint64_t histogram_quantile(const struct histogram *h, uint32_t parts);

enum { COUNTER_SLOTS = 64 };

/* Written by one thread at a time, but number 0; read by all. Each field by itself is atomic. */
struct counter_stripe {
    bool shared;
    uint32_t left[STORE_TIMERS]; /* until one is timed */
    uint64_t counts[COUNTERS];
    struct histogram times[STORE_TIMERS];
};

struct counters {
    struct counter_stripe *stripes[COUNTER_SLOTS]; /* atomic; made when a thread first counts */
};

void counters_init(struct counters *c);
void counters_release(struct counters *c);
/* The sum. Each figure is right for itself, not all for the same instant. Of `out` it fills in what
 * it counts. */
void counters_read(struct counters *c, struct store_insight *out);
/* The sum of one of them. */
uint64_t counters_sum(const struct counters *c, enum counter_id which);

/* ---- the calling thread's stripe ---- */

extern _Thread_local uint32_t counters_slot; /* 0: none yet, or the shared one */
struct counter_stripe *counters_mine_slowly(struct counters *c);

static inline struct counter_stripe *counters_mine(struct counters *c)
{
    if (!c)
        return NULL;
    uint32_t slot = counters_slot;
    struct counter_stripe *s = slot ? __atomic_load_n(&c->stripes[slot], __ATOMIC_ACQUIRE) : NULL;
    return s ? s : counters_mine_slowly(c);
}

static inline void counter_raise(bool shared, uint64_t *counter, uint64_t n)
{
    if (shared)
        __atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
    else
        __atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}

static inline void counter_add(struct counter_stripe *s, uint32_t which, uint64_t n)
{
    if (s)
        counter_raise(s->shared, &s->counts[which], n);
}

/* ---- times ---- */

extern const uint32_t counter_periods[STORE_TIMERS];
void counter_record(struct counter_stripe *s, enum store_timer which, uint64_t ns);

static inline uint64_t counter_start(struct counter_stripe *s, enum store_timer which,
                                     struct env *env)
{
    if (!s)
        return 0;
    uint32_t left = __atomic_load_n(&s->left[which], __ATOMIC_RELAXED);
    if (left > 0) {
        __atomic_store_n(&s->left[which], left - 1, __ATOMIC_RELAXED);
        return 0;
    }
    __atomic_store_n(&s->left[which], counter_periods[which] - 1, __ATOMIC_RELAXED);
    return env->monotonic_ns(env);
}

static inline void counter_stop(struct counter_stripe *s, enum store_timer which, struct env *env,
                                uint64_t began)
{
    if (began)
        counter_record(s, which, env->monotonic_ns(env) - began);
}

#endif
