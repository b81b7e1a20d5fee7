/* compact_pick: see compact_pick.h. This file has the levels' targets and what is most urgent;
 * compact_pick_job.c puts the job together, compact_pick_reclaim.c looks for what can be freed.
 *
 * Guarantees: the version is not changed. The same version, flags and settings give the same job.
 *
 * Invariants:
 *   1. No level between 0 and the base level holds anything, so level 0 may skip them.
 *   2. Of the levels in use every one but the bottom has a target, which grows from the base level
 *      downwards; a level that is not in use has target 0, so whatever is left on it sinks. */
#include "store/compact_pick_priv.h"

#include <assert.h>

/* ---- targets ---- */

struct targets {
    int base;
    uint64_t bytes[LEVEL_COUNT]; /* UINT64_MAX: the bottom takes what comes; 0: should be empty */
};

static void options_assert_valid(const struct pick_options *opt)
{
    assert(opt->level0_trigger >= 1 && opt->fanout >= 2);
    assert(opt->base_bytes > 0 && opt->table_bytes > 0);
}

/* A bottom of 100 GiB, fanout 10, base_bytes 256 MiB: level 5 may have 10 GiB, level 4 1 GiB; a
 * tenth of that would be less than base_bytes, so level 4 is the base. A level that holds something
 * stays in use until its target would be half of base_bytes: else a bottom whose size goes up and
 * down around the limit would have it drained each time. */
static void targets_init(struct targets *t, const struct version *v, const struct pick_options *opt)
{
    uint64_t bytes = v->levels[LEVEL_BOTTOM].bytes;
    options_assert_valid(opt);
    *t = (struct targets){.base = LEVEL_BOTTOM};
    t->bytes[LEVEL_BOTTOM] = UINT64_MAX;
    for (int l = LEVEL_BOTTOM - 1; l >= 1; l--) {
        uint64_t least = v->levels[l].count > 0 ? opt->base_bytes / 2 : opt->base_bytes;
        bytes /= opt->fanout;
        if (bytes < least)
            break;
        t->bytes[l] = bytes > opt->base_bytes ? bytes : opt->base_bytes;
        t->base = l;
    }
    for (int l = t->base - 1; l >= 1; l--)
        if (v->levels[l].count > 0)
            t->base = l;
    assert(t->base >= 1 && t->base <= LEVEL_BOTTOM);
}

int compact_base_level(const struct version *v, const struct pick_options *opt)
{
    struct targets t;
    targets_init(&t, v, opt);
    return t.base;
}

static uint64_t level0_cost(const struct version *v, const struct pick_options *opt)
{
    return v->levels[0].bytes + v->levels[compact_base_level(v, opt)].bytes;
}

/* 0: there is no limit. */
static uint64_t level0_bytes_max(const struct version *v, const struct pick_options *opt)
{
    uint64_t below = 0, most = opt->level0_bytes;
    for (int l = 1; l < LEVEL_COUNT; l++)
        below += v->levels[l].bytes;
    uint64_t part = below / 100 * opt->level0_percent;
    if (opt->level0_percent > 0 && below >= opt->base_bytes / 2 && (most == 0 || part < most))
        most = part;
    return most;
}

/* How far it is beyond where it presses, 1 being just there; 0: it does not. The figures may leave
 * out what running jobs have taken. */
static double level0_score(const struct version *v, const struct pick_options *opt, uint32_t count,
                           uint64_t bytes)
{
    double score = (double)count / opt->level0_trigger;
    uint64_t most = level0_bytes_max(v, opt);
    if (most > 0 && (double)bytes / (double)most > score)
        score = (double)bytes / (double)most;
    if (score >= 1)
        return score;
    bool paid = opt->level0_read_tables > 0 && count >= opt->level0_read_tables &&
                opt->level0_reads >= level0_cost(v, opt) / PICK_READ_BYTES;
    return paid ? 1 : 0;
}

bool compact_level0_presses(const struct version *v, const struct pick_options *opt)
{
    options_assert_valid(opt);
    return level0_score(v, opt, v->levels[0].count, v->levels[0].bytes) > 0;
}

uint64_t compact_debt(const struct version *v, const struct pick_options *opt)
{
    struct targets t;
    uint64_t debt = 0;
    targets_init(&t, v, opt);
    if (compact_level0_presses(v, opt))
        debt = v->levels[0].bytes;
    for (int l = 1; l < LEVEL_BOTTOM; l++)
        if (v->levels[l].bytes > t.bytes[l])
            debt += v->levels[l].bytes - t.bytes[l];
    return debt;
}

/* ---- what presses most ---- */

/* What no running job has taken yet. */
static uint32_t idle_tables(const struct version_level *level, uint64_t *bytes)
{
    uint32_t count = level->count;
    *bytes = level->bytes;
    for (uint32_t i = 0; i < level->count; i++) {
        if (level->tables[i]->busy) {
            *bytes -= table_meta_bytes(level->tables[i]->meta);
            count--;
        }
    }
    return count;
}

/* How far a level is over its target, 1 being just there; 0: nothing presses. */
static double level_score(const struct version *v, const struct pick_options *opt,
                          const struct targets *t, int level)
{
    uint64_t bytes;
    uint32_t count = idle_tables(&v->levels[level], &bytes);
    if (level == 0)
        return count > 0 ? level0_score(v, opt, count, bytes) : 0;
    if (count == 0 || bytes <= t->bytes[level])
        return 0;
    if (t->bytes[level] == 0)
        return 1 + (double)bytes / (double)opt->base_bytes;
    return (double)bytes / (double)t->bytes[level];
}

/* Where a walk over a level stands on the level below. */
struct below {
    const struct version_level *level;
    uint32_t first; /* tables before it end before the table above begins */
};

/* What `t`, and no table above before it, overlaps: its bytes, and the span of it all. */
static uint64_t below_overlap(struct below *b, const struct version_table *t,
                              struct pick_span *span)
{
    uint64_t bytes = 0;
    *span = pick_table_span(t);
    struct pick_span own = *span;
    struct version_table *const *tables = b->level->tables;
    while (b->first < b->level->count &&
           slice_cmp(buf_slice(&tables[b->first]->meta->limit), own.start) <= 0)
        b->first++;
    for (uint32_t i = b->first; i < b->level->count; i++) {
        if (slice_cmp(buf_slice(&tables[i]->meta->smallest), own.limit) >= 0)
            break;
        pick_span_include(span, pick_table_span(tables[i]));
        bytes += table_meta_bytes(tables[i]->meta);
    }
    return bytes;
}

/* The table of `level` to take down: the one that has the least to rewrite below per byte of its
 * own. 1 when running jobs are in the way of all. */
static int choose_table(const struct version *v, int level, struct pick_run *out)
{
    const struct version_level *upper = &v->levels[level];
    struct below below = {.level = &v->levels[level + 1]};
    struct pick_guard guard;
    double best = 0;
    bool found = false;
    assert(level >= 1 && level < LEVEL_BOTTOM);
    pick_guard_init(&guard, v, level, level + 1);
    for (uint32_t i = 0; i < upper->count; i++) {
        struct pick_span span;
        uint64_t bytes = below_overlap(&below, upper->tables[i], &span);
        double ratio = (double)bytes / ((double)table_meta_bytes(upper->tables[i]->meta) + 1);
        if ((found && ratio >= best) || pick_guard_blocks(&guard, span))
            continue;
        found = true;
        best = ratio;
        *out = (struct pick_run){i, i + 1};
    }
    return found ? 0 : 1;
}

static int pick_level(const struct version *v, const struct pick_options *opt, int level,
                      struct pick *out)
{
    struct pick_run upper;
    if (choose_table(v, level, &upper) != 0)
        return 1;
    return pick_build(v, opt, PICK_SIZE, level, level + 1, upper, true, out);
}

/* The job of the level that is furthest over its target and has one beside those that run. While
 * level 0 waits for jobs at the base level to end, no more of them are started: it could wait for
 * ever. */
static int pick_pressing(const struct version *v, const struct pick_options *opt,
                         const struct targets *t, struct pick *out)
{
    double scores[LEVEL_COUNT] = {0};
    bool level0_waits = false;
    for (int l = 0; l < LEVEL_BOTTOM; l++)
        scores[l] = level_score(v, opt, t, l);
    for (;;) {
        int most = 0;
        for (int l = 1; l < LEVEL_BOTTOM; l++)
            if (scores[l] > scores[most])
                most = l;
        if (scores[most] <= 0)
            return 1;
        scores[most] = 0;
        if (most == 0 && pick_build_level0(v, opt, PICK_LEVEL0, t->base, out) == 0)
            return 0;
        level0_waits |= most == 0;
        if (most > 0 && !(level0_waits && most == t->base) && pick_level(v, opt, most, out) == 0)
            return 0;
    }
}

int compact_pick(const struct version *v, const struct pick_options *opt, struct pick *out)
{
    struct targets t;
    *out = (struct pick){0};
    targets_init(&t, v, opt);
    int ret = pick_heal(v, opt, t.base, out);
    if (ret != 0)
        ret = pick_pressing(v, opt, &t, out);
    assert(ret == 0 || (ret == 1 && out->upper_count == 0));
    if (ret != 0)
        ret = pick_held(v, opt, true, out);
    if (ret != 0)
        ret = pick_tombstones(v, opt, t.base, out);
    if (ret != 0)
        ret = pick_blobs(v, opt, t.base, out);
    if (ret != 0)
        ret = pick_held(v, opt, false, out);
    if (ret != 0)
        ret = pick_rekey(v, opt, t.base, out);
    if (ret != 0)
        ret = pick_renew(v, opt, t.base, out);
    return ret;
}

/* ---- on demand ---- */

/* As many tables from the front of `run` as a job may take; at least one. */
static struct pick_run limit_run(const struct version *v, const struct pick_options *opt, int level,
                                 struct pick_run run)
{
    const struct version_level *upper = &v->levels[level], *lower = &v->levels[level + 1];
    uint64_t bytes = 0;
    uint32_t counted = 0; /* tables of `lower` before this one are in `bytes` */
    for (uint32_t i = run.first; i < run.end; i++) {
        struct pick_run below = pick_overlap(lower, pick_table_span(upper->tables[i]));
        if (below.first < counted)
            below.first = counted;
        if (below.first < below.end) {
            bytes += pick_run_bytes(lower, below);
            counted = below.end;
        }
        bytes += table_meta_bytes(upper->tables[i]->meta);
        if (i > run.first && bytes > opt->inputs_bytes_max)
            return (struct pick_run){run.first, i};
    }
    return run;
}

/* The job for the first of the tables that running jobs leave alone. */
static int pick_run_down(const struct version *v, const struct pick_options *opt, int level,
                         struct pick_run run, struct pick *out)
{
    for (uint32_t i = run.first; i < run.end; i++) {
        struct pick_run some = limit_run(v, opt, level, (struct pick_run){i, run.end});
        if (pick_build(v, opt, PICK_MANUAL, level, level + 1, some, false, out) == 0)
            return 0;
        some.end = i + 1;
        if (pick_build(v, opt, PICK_MANUAL, level, level + 1, some, false, out) == 0)
            return 0;
    }
    return 1;
}

/* The rewrite of a table on the bottom that keeps anything for pins that are gone, or has values to
 * be compressed anew. */
static int pick_last_held(const struct version *v, const struct pick_options *opt,
                          struct pick_span span, struct pick *out)
{
    const struct version_level *bottom = &v->levels[LEVEL_BOTTOM];
    struct pick_run run = pick_overlap(bottom, span);
    for (uint32_t i = run.first; i < run.end; i++) {
        struct pick_run one = {i, i + 1};
        if ((version_gone_bytes(v, bottom->tables[i]->meta) > 0 ||
             pick_is_outdated(opt, bottom->tables[i])) &&
            pick_build(v, opt, PICK_MANUAL, LEVEL_BOTTOM, LEVEL_BOTTOM, one, false, out) == 0)
            return 0;
    }
    return 1;
}

int compact_pick_range(const struct version *v, const struct pick_options *opt, struct slice start,
                       struct slice limit, struct pick *out)
{
    struct targets t;
    *out = (struct pick){0};
    targets_init(&t, v, opt);
    if (version_overlaps(v, 0, start, limit))
        return pick_build_level0(v, opt, PICK_MANUAL, t.base, out);
    for (int l = 1; l < LEVEL_BOTTOM; l++) {
        struct pick_run run = pick_overlap(&v->levels[l], (struct pick_span){start, limit});
        if (run.first < run.end)
            return pick_run_down(v, opt, l, run, out);
    }
    return pick_last_held(v, opt, (struct pick_span){start, limit}, out);
}
