/* insight: what the door tells about how a store has fared since it was opened: the outcomes of
 * look-ups, what each level cost, and how long things took. Part of store.h. */
#ifndef VARVE_STORE_INSIGHT_H
#define VARVE_STORE_INSIGHT_H

#include <stdint.h>

enum { STORE_LEVELS = 7 };

/* How long something took, in nanoseconds. Each quantile is exact to an eighth. */
struct store_latency {
    uint64_t samples; /* how many were timed; of frequent things one in `period` */
    uint32_t period;
    uint64_t sum_ns, max_ns;
    uint64_t p50_ns, p90_ns, p99_ns, p999_ns;
};

enum store_timer {
    STORE_TIME_GET,        /* a point read */
    STORE_TIME_SEEK,       /* placing a cursor */
    STORE_TIME_STEP,       /* moving it by one */
    STORE_TIME_WRITE,      /* a batch, from the call to its return, with what it waited for */
    STORE_TIME_SYNC,       /* log and blob file brought to the disk, by the leader of a group */
    STORE_TIME_STALL,      /* writers held up: a memtable to be flushed, a long level 0 */
    STORE_TIME_FLUSH,      /* a job */
    STORE_TIME_COMPACTION, /* a job */
    STORE_TIMERS,
};
/* "get", "seek", ... */
const char *store_timer_name(enum store_timer which);

/* What the cache is asked for. */
enum store_cache_kind {
    STORE_CACHE_BLOCK,  /* of entries */
    STORE_CACHE_INDEX,  /* a part of a large index */
    STORE_CACHE_FILTER, /* a part of a large filter */
    STORE_CACHE_VALUE,  /* out of a blob file */
    STORE_CACHE_KINDS,
};
/* "block", "index", ... */
const char *store_cache_kind_name(enum store_cache_kind which);

struct store_insight {
    /* Point reads, by what ended them; the sum is `gets`, but for those that failed. */
    uint64_t gets;
    uint64_t found_memtable; /* in the active one */
    uint64_t found_sealed;   /* in one that waits to be flushed */
    uint64_t found_level[STORE_LEVELS];
    uint64_t deleted;       /* by a tombstone of that key */
    uint64_t range_deleted; /* a range tombstone hid whatever is older */
    uint64_t absent;        /* no source had anything */
    uint64_t folded;        /* of all these: partial updates were folded onto what was found */
    /* Tables that a point read came to: its key is outside of their span (not counted by reads of
     * many keys, which go by ranges), or they were asked. Of those asked that have a filter it said
     * no, or maybe, and the key was there or not. */
    uint64_t tables_out_of_span, tables_asked;
    uint64_t filter_negatives, filter_false_positives, filter_true_positives;
    uint64_t blocks_missed;           /* looked at by a point read, and without the key */
    uint64_t filter_prefix_negatives; /* it knew of no key with the prefix that a scan was for */
    /* Blocks and blob values that reads (not jobs) needed. */
    uint64_t blocks_cached, blocks_read;
    uint64_t job_blocks_cached, job_blocks_read; /* the same of jobs, checks and salvage */
    uint64_t blobs_cached, blobs_read;
    /* What the cache was asked for, by jobs, too, but for their blocks. */
    uint64_t cache_hits[STORE_CACHE_KINDS], cache_misses[STORE_CACHE_KINDS];
    uint64_t cache_kept_bytes; /* parts of indexes and filters that are not evicted */
    uint64_t seeks, steps;
    uint64_t passed; /* entries that cursors stepped over one by one, as nobody sees them */
    /* Writing. */
    uint64_t batches, syncs;
    uint64_t stalls, stall_ns, stall_ns_max;
    /* Bytes that jobs wrote into tables of each level, and read from them. */
    uint64_t level_written[STORE_LEVELS], level_read[STORE_LEVELS];
    struct store_latency latency[STORE_TIMERS];
};

#endif
