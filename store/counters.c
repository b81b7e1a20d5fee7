/* counters: see counters.h.
 *
 * Invariants:
 *   1. A slot above 0 belongs to at most one living thread; it is handed on under `slots`, so what
 *      the former owner wrote is seen by the next, and its plain additions lose nothing.
 *   2. A stripe, once made, stays until counters_release(): the figures of threads that have ended
 *      are kept. */
#include "store/counters.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "store/bytes.h"

/* Primes: no pattern in what a program does keeps step with them. A get takes a microsecond, a step
 * of a cursor a tenth of that: timing costs them less than one in a hundred. */
const uint32_t counter_periods[STORE_TIMERS] = {
    [STORE_TIME_GET] = 31,  [STORE_TIME_SEEK] = 7,       [STORE_TIME_STEP] = 251,
    [STORE_TIME_WRITE] = 7, [STORE_TIME_SYNC] = 1,       [STORE_TIME_STALL] = 1,
    [STORE_TIME_FLUSH] = 1, [STORE_TIME_COMPACTION] = 1,
};

const char *store_timer_name(enum store_timer which)
{
    static const char *const names[STORE_TIMERS] = {
        [STORE_TIME_GET] = "get",     [STORE_TIME_SEEK] = "seek",
        [STORE_TIME_STEP] = "step",   [STORE_TIME_WRITE] = "write",
        [STORE_TIME_SYNC] = "sync",   [STORE_TIME_STALL] = "stall",
        [STORE_TIME_FLUSH] = "flush", [STORE_TIME_COMPACTION] = "compaction",
    };
    assert(which < STORE_TIMERS && names[which]);
    return names[which];
}

const char *store_cache_kind_name(enum store_cache_kind which)
{
    static const char *const names[STORE_CACHE_KINDS] = {
        [STORE_CACHE_BLOCK] = "block",
        [STORE_CACHE_INDEX] = "index",
        [STORE_CACHE_FILTER] = "filter",
        [STORE_CACHE_VALUE] = "value",
    };
    assert(which < STORE_CACHE_KINDS && names[which]);
    return names[which];
}

/* ---- slots: process-wide, so that a thread has one number in all stores ---- */

static struct {
    pthread_mutex_t lock;
    pthread_once_t once;
    pthread_key_t key;
    bool taken[COUNTER_SLOTS]; /* [lock] */
} slots = {.lock = PTHREAD_MUTEX_INITIALIZER, .once = PTHREAD_ONCE_INIT};

_Thread_local uint32_t counters_slot;
/* Whether the thread asked; it does not ask again when there was none left. */
static _Thread_local bool slot_asked;

static void give_back(void *taken)
{
    size_t slot = (size_t)((bool *)taken - slots.taken);
    assert(slot > 0 && slot < COUNTER_SLOTS);
    counters_slot = 0;
    pthread_mutex_lock(&slots.lock);
    assert(slots.taken[slot]);
    slots.taken[slot] = false;
    pthread_mutex_unlock(&slots.lock);
}

static void make_key(void)
{
    int err = pthread_key_create(&slots.key, give_back);
    assert(err == 0);
}

static uint32_t take_slot(void)
{
    pthread_once(&slots.once, make_key);
    pthread_mutex_lock(&slots.lock);
    uint32_t slot = 1;
    while (slot < COUNTER_SLOTS && slots.taken[slot])
        slot++;
    slot = slot < COUNTER_SLOTS ? slot : 0;
    slots.taken[slot] = true;
    pthread_mutex_unlock(&slots.lock);
    if (slot > 0 && pthread_setspecific(slots.key, &slots.taken[slot]) != 0) {
        give_back(&slots.taken[slot]);
        slot = 0;
    }
    return slot;
}

/* ---- stripes ---- */

struct counter_stripe *counters_mine_slowly(struct counters *c)
{
    if (!slot_asked) {
        slot_asked = true;
        counters_slot = take_slot();
    }
    uint32_t slot = counters_slot;
    struct counter_stripe *s = __atomic_load_n(&c->stripes[slot], __ATOMIC_ACQUIRE);
    if (s)
        return s;
    struct counter_stripe *fresh = mem_zalloc(sizeof *fresh);
    fresh->shared = slot == 0;
    if (__atomic_compare_exchange_n(&c->stripes[slot], &s, fresh, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE))
        return fresh;
    free(fresh); /* another thread without a slot was faster */
    return s;
}

void counters_init(struct counters *c)
{
    *c = (struct counters){0};
}

void counters_release(struct counters *c)
{
    for (uint32_t i = 0; i < COUNTER_SLOTS; i++)
        free(c->stripes[i]);
    counters_init(c);
}

/* ---- histograms ---- */

uint32_t histogram_bucket(uint64_t value)
{
    if (value < 2 * HISTOGRAM_OCTAVE)
        return (uint32_t)value;
    /* 16 to 31 are of octave 1, in steps of 2, and begin at bucket 16; 32 to 63 of octave 2, ... */
    uint32_t octave = 60 - (uint32_t)__builtin_clzll(value);
    uint32_t bucket = octave * HISTOGRAM_OCTAVE + (uint32_t)(value >> octave);
    return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

uint64_t histogram_value(uint32_t bucket)
{
    assert(bucket < HISTOGRAM_BUCKETS);
    if (bucket == HISTOGRAM_BUCKETS - 1)
        return UINT64_MAX;
    if (bucket < 2 * HISTOGRAM_OCTAVE)
        return bucket;
    uint32_t octave = bucket / HISTOGRAM_OCTAVE - 1;
    uint64_t step = bucket % HISTOGRAM_OCTAVE + HISTOGRAM_OCTAVE;
    return ((step + 1) << octave) - 1;
}

static uint64_t histogram_total(const struct histogram *h)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        total += h->counts[i];
    return total;
}

uint64_t histogram_quantile(const struct histogram *h, uint32_t parts)
{
    uint64_t total = histogram_total(h), seen = 0;
    assert(parts <= 1000000);
    /* 128 bits: the product of a count of years and a million does not fit into 64. */
    uint64_t wanted = (uint64_t)(((unsigned __int128)total * parts + 999999) / 1000000);
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS && total > 0; i++) {
        seen += h->counts[i];
        if (seen >= wanted && seen > 0) {
            uint64_t value = histogram_value(i);
            return value < h->max ? value : h->max;
        }
    }
    return h->max;
}

void counter_record(struct counter_stripe *s, enum store_timer which, uint64_t ns)
{
    if (!s)
        return;
    struct histogram *h = &s->times[which];
    counter_raise(s->shared, &h->sum, ns);
    counter_raise(s->shared, &h->counts[histogram_bucket(ns)], 1);
    uint64_t max = __atomic_load_n(&h->max, __ATOMIC_RELAXED);
    while (ns > max && !__atomic_compare_exchange_n(&h->max, &max, ns, true, __ATOMIC_RELAXED,
                                                    __ATOMIC_RELAXED))
        ;
}

/* ---- reading ---- */

static uint64_t load(const uint64_t *p)
{
    return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static void add_histogram(struct histogram *sum, const struct histogram *h)
{
    uint64_t max = load(&h->max);
    sum->sum += load(&h->sum);
    sum->max = max > sum->max ? max : sum->max;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        sum->counts[i] += load(&h->counts[i]);
}

static void add_stripe(struct counter_stripe *sum, const struct counter_stripe *s)
{
    for (uint32_t i = 0; i < COUNTERS; i++)
        sum->counts[i] += load(&s->counts[i]);
    for (uint32_t i = 0; i < STORE_TIMERS; i++)
        add_histogram(&sum->times[i], &s->times[i]);
}

static void describe(const struct histogram *h, uint32_t period, struct store_latency *out)
{
    *out = (struct store_latency){.samples = histogram_total(h),
                                  .period = period,
                                  .sum_ns = h->sum,
                                  .max_ns = h->max,
                                  .p50_ns = histogram_quantile(h, 500000),
                                  .p90_ns = histogram_quantile(h, 900000),
                                  .p99_ns = histogram_quantile(h, 990000),
                                  .p999_ns = histogram_quantile(h, 999000)};
}

static void fill_in(const struct counter_stripe *sum, struct store_insight *out)
{
    const uint64_t *n = sum->counts;
    out->gets = n[COUNT_GET];
    out->found_memtable = n[COUNT_FOUND_MEMTABLE];
    out->found_sealed = n[COUNT_FOUND_SEALED];
    out->deleted = n[COUNT_DELETED];
    out->range_deleted = n[COUNT_RANGE_DELETED];
    out->absent = n[COUNT_ABSENT];
    out->folded = n[COUNT_FOLDED];
    out->tables_out_of_span = n[COUNT_TABLE_OUT_OF_SPAN];
    out->tables_asked = n[COUNT_TABLE_ASKED];
    out->blocks_missed = n[COUNT_BLOCK_MISSED];
    out->filter_negatives = n[COUNT_FILTER_NEGATIVE];
    out->filter_false_positives = n[COUNT_FILTER_FALSE_POSITIVE];
    out->filter_true_positives = n[COUNT_FILTER_TRUE_POSITIVE];
    out->filter_prefix_negatives = n[COUNT_FILTER_PREFIX_NEGATIVE];
    out->blocks_cached = n[COUNT_BLOCK_CACHED];
    out->blocks_read = n[COUNT_BLOCK_READ];
    out->job_blocks_cached = n[COUNT_JOB_BLOCK_CACHED];
    out->job_blocks_read = n[COUNT_JOB_BLOCK_READ];
    out->blobs_cached = n[COUNT_BLOB_CACHED];
    out->blobs_read = n[COUNT_BLOB_READ];
    out->seeks = n[COUNT_SEEK];
    out->steps = n[COUNT_STEP];
    out->passed = n[COUNT_PASSED];
    out->batches = n[COUNT_BATCH];
    out->syncs = n[COUNT_SYNC];
    out->stalls = n[COUNT_STALL];
    out->stall_ns = sum->times[STORE_TIME_STALL].sum;
    out->stall_ns_max = sum->times[STORE_TIME_STALL].max;
    for (uint32_t level = 0; level < STORE_LEVELS; level++) {
        out->found_level[level] = n[COUNT_FOUND_LEVEL + level];
        out->level_written[level] = n[COUNT_LEVEL_WRITTEN + level];
        out->level_read[level] = n[COUNT_LEVEL_READ + level];
    }
}

uint64_t counters_sum(const struct counters *c, enum counter_id which)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < COUNTER_SLOTS; i++) {
        const struct counter_stripe *s = __atomic_load_n(&c->stripes[i], __ATOMIC_ACQUIRE);
        sum += s ? load(&s->counts[which]) : 0;
    }
    return sum;
}

void counters_read(struct counters *c, struct store_insight *out)
{
    struct counter_stripe *sum = mem_zalloc(sizeof *sum);
    for (uint32_t i = 0; i < COUNTER_SLOTS; i++) {
        const struct counter_stripe *s = __atomic_load_n(&c->stripes[i], __ATOMIC_ACQUIRE);
        if (s)
            add_stripe(sum, s);
    }
    fill_in(sum, out);
    for (uint32_t i = 0; i < STORE_TIMERS; i++)
        describe(&sum->times[i], counter_periods[i], &out->latency[i]);
    free(sum);
}
