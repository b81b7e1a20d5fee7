/* compact_pick_job: puts a job together, once its tables of the upper level are known.
 *
 * Invariants of a job:
 *   1. No input is busy, and its span is clear of all running jobs that write to the output level
 *      (struct pick_guard).
 *   2. Together with a table of the input level its job has everything on the output level that
 *      overlaps the span, so what it writes fits there, and is newer than all below it.
 *   3. Of level 0 a job takes everything, or what is as old as a table that slices have cut, or
 * older: so nothing older of a key stays above what it writes. */
#include "store/compact_pick_priv.h"

#include <assert.h>
#include <stdlib.h>

enum {
    /* A table is rewritten rather than moved if this part of its entries are tombstones that have
     * nothing left to hide, or this part of its bytes is held for pins that are gone. */
    MOVE_TOMBSTONES_PART = 16,
    MOVE_GONE_PART = 16,
    /* Tables of level 0 are moved rather than merged only if they are this part of a full table
     * or more: else the deep levels would fill up with small ones. */
    MOVE_LEVEL0_PART = 4,
};

/* ---- spans ---- */

struct pick_span pick_table_span(const struct version_table *t)
{
    return (struct pick_span){buf_slice(&t->meta->smallest), buf_slice(&t->meta->limit)};
}

void pick_span_include(struct pick_span *span, struct pick_span other)
{
    if (slice_cmp(other.start, span->start) < 0)
        span->start = other.start;
    if (slice_cmp(other.limit, span->limit) > 0)
        span->limit = other.limit;
}

struct pick_run pick_overlap(const struct version_level *level, struct pick_span span)
{
    struct pick_run run = {.first = version_find(level, span.start)};
    uint32_t hi = level->count;
    run.end = run.first;
    if (span.limit.len == 0)
        run.end = hi;
    while (run.end < hi) {
        uint32_t mid = run.end + (hi - run.end) / 2;
        if (slice_cmp(buf_slice(&level->tables[mid]->meta->smallest), span.limit) < 0)
            run.end = mid + 1;
        else
            hi = mid;
    }
    return run;
}

uint64_t pick_run_bytes(const struct version_level *level, struct pick_run run)
{
    uint64_t bytes = 0;
    assert(run.first <= run.end && run.end <= level->count);
    for (uint32_t i = run.first; i < run.end; i++)
        bytes += table_meta_bytes(level->tables[i]->meta);
    return bytes;
}

/* ---- running jobs ---- */

static void guard_add(struct pick_guard *g, const struct version_level *level)
{
    for (uint32_t i = 0; i < level->count; i++) {
        if (!level->tables[i]->busy)
            continue;
        struct pick_span span = pick_table_span(level->tables[i]);
        if (g->any)
            pick_span_include(&g->busy, span);
        else
            g->busy = span;
        g->any = true;
    }
}

void pick_guard_init(struct pick_guard *g, const struct version *v, int from, int to)
{
    *g = (struct pick_guard){0};
    guard_add(g, &v->levels[from]);
    if (to != from)
        guard_add(g, &v->levels[to]);
}

bool pick_guard_blocks(const struct pick_guard *g, struct pick_span span)
{
    return g->any && slice_cmp(span.start, g->busy.limit) < 0 &&
           slice_cmp(g->busy.start, span.limit) < 0;
}

/* ---- which inputs ---- */

struct inputs {
    const struct version *v;
    const struct pick_options *opt;
    int from, to;
    struct pick_run upper, lower;
    struct pick_span span;
    uint64_t bytes;
};

/* Fills in what follows from `upper`, at a level >= 1. */
static void inputs_complete(struct inputs *in)
{
    const struct version_level *from = &in->v->levels[in->from], *to = &in->v->levels[in->to];
    assert(in->from > 0 && in->upper.first < in->upper.end && in->upper.end <= from->count);
    in->span = pick_table_span(from->tables[in->upper.first]);
    pick_span_include(&in->span, pick_table_span(from->tables[in->upper.end - 1]));
    in->bytes = pick_run_bytes(from, in->upper);
    in->lower = (struct pick_run){0};
    if (in->from == in->to)
        return;
    in->lower = pick_overlap(to, in->span);
    in->bytes += pick_run_bytes(to, in->lower);
    if (in->lower.first < in->lower.end) {
        pick_span_include(&in->span, pick_table_span(to->tables[in->lower.first]));
        pick_span_include(&in->span, pick_table_span(to->tables[in->lower.end - 1]));
    }
}

/* Takes table `i`, a neighbour of `upper`, in as well, if it shares what `upper` overlaps and adds
 * nothing to it. One that overlaps nothing is better left alone: it can be moved for nothing. */
static bool inputs_widen(struct inputs *in, uint32_t i)
{
    const struct version_level *from = &in->v->levels[in->from], *to = &in->v->levels[in->to];
    struct pick_run own = pick_overlap(to, pick_table_span(from->tables[i]));
    struct inputs wider = *in;
    if (own.first == own.end)
        return false;
    wider.upper.first -= i < in->upper.first;
    wider.upper.end += i >= in->upper.end;
    inputs_complete(&wider);
    if (wider.lower.first != in->lower.first || wider.lower.end != in->lower.end ||
        wider.bytes > in->opt->inputs_bytes_max)
        return false;
    *in = wider;
    return true;
}

static void widen_inputs(struct inputs *in)
{
    uint32_t count = in->v->levels[in->from].count;
    while (in->upper.first > 0 && inputs_widen(in, in->upper.first - 1))
        continue;
    while (in->upper.end < count && inputs_widen(in, in->upper.end))
        continue;
}

/* ---- moving ---- */

/* Would a rewrite at level `to` rid the table of something that a move would carry along?
 * `thorough`: however little it is. */
static bool wants_rewrite(const struct version *v, const struct version_table *t, int to,
                          bool thorough)
{
    const struct table_meta *m = t->meta;
    struct pick_span span = pick_table_span(t);
    if (version_gone_bytes(v, m) > (thorough ? 0 : table_meta_bytes(m) / MOVE_GONE_PART))
        return true;
    if (m->delete_count == 0 && m->rangedel_count == 0)
        return false;
    for (int l = to + 1; l < LEVEL_COUNT; l++)
        if (version_overlaps(v, l, span.start, span.limit))
            return false; /* the tombstones are still of use */
    return thorough || m->delete_count + m->rangedel_count > m->entry_count / MOVE_TOMBSTONES_PART;
}

static int by_smallest(const void *a, const void *b)
{
    const struct version_table *x = *(struct version_table *const *)a;
    const struct version_table *y = *(struct version_table *const *)b;
    return slice_cmp(buf_slice(&x->meta->smallest), buf_slice(&y->meta->smallest));
}

/* Could the tables of level 0 stand side by side on a deeper level? */
static bool tables_apart(struct version_table *const *tables, uint32_t count)
{
    struct version_table **sorted = mem_dup(tables, count * sizeof *sorted);
    bool apart = true;
    qsort(sorted, count, sizeof *sorted, by_smallest);
    for (uint32_t i = 1; i < count && apart; i++)
        apart = slice_cmp(buf_slice(&sorted[i - 1]->meta->limit),
                          buf_slice(&sorted[i]->meta->smallest)) <= 0;
    free(sorted);
    return apart;
}

static bool may_move(const struct pick *p, const struct version *v, const struct pick_options *opt)
{
    if (p->lower_count > 0 || p->input_level == p->output_level || p->reason == PICK_HEAL)
        return false;
    for (uint32_t i = 0; i < p->upper_count; i++)
        if (wants_rewrite(v, p->upper[i], p->output_level, p->reason == PICK_MANUAL))
            return false;
    if (p->input_level > 0 || p->upper_count == 1)
        return true;
    return p->input_bytes / p->upper_count >= opt->table_bytes / MOVE_LEVEL0_PART &&
           tables_apart(p->upper, p->upper_count);
}

/* ---- the job ---- */

void pick_release(struct pick *p)
{
    free(p->upper);
    free(p->lower);
    buf_release(&p->start);
    buf_release(&p->limit);
    buf_release(&p->until);
    *p = (struct pick){0};
}

static struct version_table **copy_run(const struct version_level *level, struct pick_run run,
                                       uint32_t *count)
{
    *count = run.end - run.first;
    if (*count == 0)
        return NULL;
    return mem_dup(level->tables + run.first, *count * sizeof(struct version_table *));
}

static void make_pick(const struct inputs *in, enum pick_reason reason, struct pick *out)
{
    *out = (struct pick){.reason = reason,
                         .input_level = in->from,
                         .output_level = in->to,
                         .input_bytes = in->bytes};
    out->upper = copy_run(&in->v->levels[in->from], in->upper, &out->upper_count);
    out->lower = copy_run(&in->v->levels[in->to], in->lower, &out->lower_count);
    buf_set(&out->start, in->span.start);
    buf_set(&out->limit, in->span.limit);
    out->trivial_move = may_move(out, in->v, in->opt);
    assert(out->upper_count > 0);
    for (uint32_t i = 0; i < out->upper_count; i++)
        assert(!out->upper[i]->busy);
    for (uint32_t i = 0; i < out->lower_count; i++)
        assert(!out->lower[i]->busy);
}

int pick_build(const struct version *v, const struct pick_options *opt, enum pick_reason reason,
               int from, int to, struct pick_run upper, bool widen, struct pick *out)
{
    assert(from >= 1 && to < LEVEL_COUNT && (to == from || to == from + 1));
    struct inputs in = {.v = v, .opt = opt, .from = from, .to = to, .upper = upper};
    struct pick_guard guard;
    pick_guard_init(&guard, v, from, to);
    inputs_complete(&in);
    if (pick_guard_blocks(&guard, in.span))
        return 1;
    if (widen && from != to)
        widen_inputs(&in);
    assert(
        !pick_guard_blocks(&guard, in.span)); /* a busy table nearby would have added to `lower` */
    make_pick(&in, reason, out);
    return 0;
}

/* The newest table that slices have cut; 0 also if none is. What came after it waits: taken along,
 * it would have the slices begin anew, and they might never end. */
static uint32_t newest_cut(const struct version_level *level0)
{
    for (uint32_t i = 0; i < level0->count; i++)
        if (level0->tables[i]->meta->front)
            return i;
    return 0;
}

int pick_build_level0(const struct version *v, const struct pick_options *opt,
                      enum pick_reason reason, int base, struct pick *out)
{
    const struct version_level *level0 = &v->levels[0];
    assert(level0->count > 0 && base >= 1 && base < LEVEL_COUNT);
    struct inputs in = {
        .v = v, .opt = opt, .to = base, .upper = {newest_cut(level0), level0->count}};
    struct pick_guard guard;
    pick_guard_init(&guard, v, 0, base);
    in.span = pick_table_span(level0->tables[in.upper.first]);
    for (uint32_t i = in.upper.first + 1; i < level0->count; i++)
        pick_span_include(&in.span, pick_table_span(level0->tables[i]));
    in.lower = pick_overlap(&v->levels[base], in.span);
    in.bytes = pick_run_bytes(level0, in.upper) + pick_run_bytes(&v->levels[base], in.lower);
    for (uint32_t i = in.lower.first; i < in.lower.end; i++)
        pick_span_include(&in.span, pick_table_span(v->levels[base].tables[i]));
    if (pick_guard_blocks(&guard, in.span))
        return 1;
    for (int l = 1; l < base; l++)
        assert(v->levels[l].count == 0);
    make_pick(&in, reason, out);
    return 0;
}
