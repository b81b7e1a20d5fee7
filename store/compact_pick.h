/* compact_pick: which tables to compact next. A pure function of a version, its `busy` flags and
 * the settings; what range tombstones would free is reckoned the better the more tables are open.
 *
 * Levels follow Dong et al., "Optimizing Space Amplification in RocksDB" (CIDR 2017): the targets
 * are derived from the size of the bottom level upwards, so that the bottom holds about 90 % of the
 * data, and the levels above it that are not needed yet stay empty; level 0 goes straight to the
 * highest level in use (the base level).
 *
 * Level 0 waits until it is worth a job. A job rewrites all of the base level that it lies over,
 * however small level 0 is, so the larger it grows first, the fewer bytes are written for a byte
 * that came in; while it grows it costs reads. So it grows to `level0_trigger` tables or
 * `level0_bytes` or `level0_percent`, unless reads have paid for the job before: as one rents until
 * the rent would have bought it (the "ski rental" rule: never more than twice the cost of knowing
 * the future).
 *
 * Order of urgency: tables that are damaged on disk and can still be read with the help of their
 * parity are rewritten; of level 0 too long and the levels over their target, what is furthest
 * over; then, when none presses, reclaiming: tables that keep much only for pins that are gone are
 * rewritten; tables with tombstones over data that nobody can see any more sink towards that data;
 * tables with values in blob files that are mostly garbage are rewritten, which moves the values;
 * then tables that keep less for such pins; tables that are encrypted with an older generation of
 * the key, or have values that are; and at last those with values that are to be compressed anew.
 * Every job brings the tree nearer to a state in which there is nothing to do, so picking and
 * running ends, if nobody writes. */
#ifndef VARVE_STORE_COMPACT_PICK_H
#define VARVE_STORE_COMPACT_PICK_H

#include "store/stale.h"

struct pick_options {
    uint32_t level0_trigger; /* tables from which on level 0 presses; default 24; at least 1 */
    uint64_t level0_bytes;   /* the same for its size; 0: no matter */
    /* The same for its size beside all that is below, if that is half of base_bytes or more: what
     * level 0 hides there takes space. 0: no matter. */
    uint32_t level0_percent;
    /* Or if it has at least so many tables, and looking into them has cost as much as the job will:
     * a read that asks one of them is worth PICK_READ_BYTES of a job. 0: no matter. */
    uint32_t level0_read_tables;
    uint64_t level0_reads; /* tables of level 0 that reads asked, since it was compacted last */
    uint64_t base_bytes;   /* least target of the highest level in use; default 256 MiB */
    uint32_t fanout;       /* target ratio of neighbouring levels; default 10; at least 2 */
    uint64_t table_bytes;  /* aim of an output table; default 64 MiB */
    const struct store_classes *classes; /* borrowed; NULL: no values are to be compressed anew */
    uint32_t key_epoch; /* tables of another generation of the key are to be rewritten; 0: none
                           are */
    uint64_t
        inputs_bytes_max; /* a job takes no more than this if it can avoid it; default 25 tables */
    struct stale_options stale;
    uint64_t move_bytes_max; /* a job should not have more of blob values to move than this */
};

enum pick_reason {
    PICK_LEVEL0,
    PICK_SIZE,
    PICK_TOMBSTONES,
    PICK_HELD,
    PICK_BLOBS,
    PICK_REKEY,
    PICK_RENEW, /* values are compressed in another way from now on */
    PICK_MANUAL,
    PICK_HEAL, /* damaged on disk, and rebuilt from parity when it is read */
};

/* Asking one more filter takes about 0.1 us, and a compaction some 50 MB a second of a core; and
 * reads wait while nobody does for the compaction. */
enum { PICK_READ_BYTES = 64 };

/* A job. Tables are borrowed from the version. */
struct pick {
    enum pick_reason reason;
    int input_level, output_level;         /* equal for a rewrite in place */
    struct version_table **upper, **lower; /* of input_level and output_level, in the level's order;
                                              the arrays are the pick's own */
    uint32_t upper_count, lower_count;
    struct buf start, limit; /* the span of all inputs, half-open */
    struct buf until;  /* not empty: only a slice, the keys below this one (compact_slice.h) */
    bool trivial_move; /* the upper tables may just change level: nothing below overlaps, and no
                          garbage */
    uint64_t input_bytes;
};

/* One that is all zero is fine. */
void pick_release(struct pick *p);
/* Is this input part of the slice? Of a job that is none all are. */
static inline bool pick_takes(const struct pick *p, const struct version_table *t)
{
    return p->until.len == 0 || slice_cmp(buf_slice(&t->meta->smallest), buf_slice(&p->until)) < 0;
}

/* Reckons what tombstones would free, so that compact_pick() need not, and reads nothing from disk:
 * call it before, without locks. Cheap if nothing has changed. Without it compact_pick() does it
 * itself. Tables that cannot be read (logged) are left alone. */
void compact_pick_prepare(const struct version *v, const struct pick_options *opt);
/* Returns 0 with a job whose tables are not busy, or 1 when there is nothing to do, or nothing
 * beside the jobs that run. Reads `busy` flags: call under the tree's lock. */
int compact_pick(const struct version *v, const struct pick_options *opt, struct pick *out);
/* A job towards having all of [start, limit) on the bottom level (empty slices: everything), and
 * nothing in it that was only kept for pins that are gone, or is to be compressed anew; 1 when that
 * is so, or when running jobs are in the way. For `compact` on demand. */
int compact_pick_range(const struct version *v, const struct pick_options *opt, struct slice start,
                       struct slice limit, struct pick *out);
/* The level that level 0 is compacted into. */
int compact_base_level(const struct version *v, const struct pick_options *opt);
/* Is level 0 to be compacted, by its length, its size, or what reads have to do with it? */
bool compact_level0_presses(const struct version *v, const struct pick_options *opt);
/* Bytes over target, all levels: what compaction is behind by. */
uint64_t compact_debt(const struct version *v, const struct pick_options *opt);

#endif
