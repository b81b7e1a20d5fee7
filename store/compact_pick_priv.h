/* compact_pick_priv: what the files of the compact_pick module share: putting a job together, and
 * what keeps jobs that run side by side apart. */
#ifndef VARVE_STORE_COMPACT_PICK_PRIV_H
#define VARVE_STORE_COMPACT_PICK_PRIV_H

#include "store/compact_pick.h"

enum { LEVEL_BOTTOM = LEVEL_COUNT - 1 };

/* Tables [first, end) of a level >= 1. */
struct pick_run {
    uint32_t first, end;
};
/* Keys [start, limit). */
struct pick_span {
    struct slice start, limit;
};

struct pick_span pick_table_span(const struct version_table *t);
/* Widens `*span` to take in `other`. */
void pick_span_include(struct pick_span *span, struct pick_span other);
/* The tables of a level >= 1 that overlap the span (empty limit: to the end). O(log tables). */
struct pick_run pick_overlap(const struct version_level *level, struct pick_span span);
uint64_t pick_run_bytes(const struct version_level *level, struct pick_run run);

/* Where the running jobs of a pair of levels are: the span of all busy tables on both.
 *
 * Two jobs that write to the same level at once must not write tables that overlap. A job writes
 * within the span of its inputs, which may have gaps: a second job whose own inputs all lie in such
 * a gap has no table in common with the first, and still their outputs could overlap. From the
 * flags alone one cannot tell which busy tables belong to one job. So a job is let through only if
 * its span lies on one side of all busy tables of both levels: then it is apart from every job that
 * has its inputs there, and none of its own inputs is busy. Jobs that only share the input level,
 * or write to it, are no danger: their tables are not ours, and what they put in a gap between ours
 * is newer above and older below. */
struct pick_guard {
    bool any;
    struct pick_span busy;
};
void pick_guard_init(struct pick_guard *g, const struct version *v, int from, int to);
bool pick_guard_blocks(const struct pick_guard *g, struct pick_span span);

/* The job that takes `upper` of level `from` to level `to` (or rewrites it, if equal), with all
 * that it overlaps there. `widen`: with more neighbours of `upper`, if that does not add to what
 * they overlap and stays within inputs_bytes_max. Returns 0, or 1 when running jobs are in the
 * way. */
int pick_build(const struct version *v, const struct pick_options *opt, enum pick_reason reason,
               int from, int to, struct pick_run upper, bool widen, struct pick *out);
/* The job that takes all of level 0 to `base`; level 0 is not empty. Returns as pick_build(). */
int pick_build_level0(const struct version *v, const struct pick_options *opt,
                      enum pick_reason reason, int base, struct pick *out);

/* ---- what tombstones would free (compact_pick_gain.c) ---- */

bool pick_has_tombstones(const struct table_meta *m);
/* Of the table at `index` of `level`, which has tombstones, on the levels from `to` on (and older
 * tables of level 0). `cost`: what has to be rewritten besides the table itself and all that
 * overlaps it on level `to`; negative by what need not be. Remembered until something changes
 * below. May read from disk the first time. False when the tombstones cannot be read. */
bool pick_gain(const struct version *v, int level, uint32_t index, int to,
               struct version_gain *gain);

/* ---- reclaiming (compact_pick_reclaim.c): 0 with a job, or 1 ---- */

/* A table worth rewriting since pins are gone. `urgent`: only one that is worth it in any case. */
int pick_held(const struct version *v, const struct pick_options *opt, bool urgent,
              struct pick *out);
/* A table that is to be healed (version_table.heal). */
int pick_heal(const struct version *v, const struct pick_options *opt, int base, struct pick *out);
/* A table whose tombstones are worth sinking. `base`: the level that level 0 goes to. */
int pick_tombstones(const struct version *v, const struct pick_options *opt, int base,
                    struct pick *out);

/* A job for the sake of blob files (compact_pick_blobs.c): tables whose values are in files that
 * are sought (stale.h), or level 0 when it may hide much garbage. */
int pick_blobs(const struct version *v, const struct pick_options *opt, int base, struct pick *out);

/* ---- older generations of the key (compact_pick_rekey.c): 0 with a job, or 1 ---- */
int pick_rekey(const struct version *v, const struct pick_options *opt, int base, struct pick *out);

/* ---- values to be compressed anew (compact_pick_renew.c): 0 with a job, or 1 ---- */
int pick_renew(const struct version *v, const struct pick_options *opt, int base, struct pick *out);
/* Has the table such values? */
bool pick_is_outdated(const struct pick_options *opt, const struct version_table *t);

#endif
