/* compact_pick_blobs: compactions for the sake of blob files.
 *
 * Two kinds. When garbage presses (stale.h), tables that refer to the sought files are rewritten
 * where they are, and their values move to a new file; when the last has moved, the old file is
 * deleted. And when level 0 has so much of the blob bytes that what it hides further down could
 * press, if only it were known, it is merged: that costs little where values are large.
 *
 * Gain against cost: a byte that is freed costs at most FREED_PART bytes written, values that are
 * moved and tables that are rewritten for it taken together, as with tombstones
 * (compact_pick_reclaim.c). Where the tables are large and the values few, garbage stays.
 *
 * Why it ends: a job of the first kind moves at least one value out of a sought file, and stale.h
 * says why that has an end; on the way gain rises and cost falls, so what was begun is finished.
 * One of the second kind takes level 0 down. */
#include "store/compact_pick_priv.h"

#include <assert.h>

enum {
    FREED_PART = 4,
    /* Level 0 is merged for what it may hide if it has more than this part of the garbage that
     * presses, and the tables that it takes are at most this part of its blob bytes. */
    HIDDEN_PART = 2,
    HIDDEN_COST_PART = 8,
};

/* ---- tables with values in sought files ---- */

/* Blob bytes of the table in sought files. Walks over the shorter of the two lists. */
static uint64_t sought_bytes(const struct stale *s, const struct table_meta *m)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < m->share_count; i++) {
        const struct stale_file *f = stale_find(s, m->shares[i].file);
        if (f && f->sought)
            bytes += m->shares[i].bytes;
    }
    return bytes;
}

struct choice {
    int level;
    uint32_t index;
    double ratio;       /* bytes to move for a byte of table that is rewritten; 0: none yet */
    uint64_t rewritten; /* of all tables with values in sought files, busy ones too */
};

static void offer(struct choice *c, int level, uint32_t index, uint64_t moved, uint64_t rewritten)
{
    double ratio = (double)moved / ((double)rewritten + 1);
    if (moved == 0 || ratio <= c->ratio)
        return;
    c->level = level;
    c->index = index;
    c->ratio = ratio;
}

static void choose_deep(const struct version *v, const struct stale *s, struct choice *c)
{
    for (int l = 1; l < LEVEL_COUNT; l++) {
        const struct version_level *level = &v->levels[l];
        struct pick_guard guard;
        pick_guard_init(&guard, v, l, l);
        for (uint32_t i = 0; i < level->count; i++) {
            uint64_t size = table_meta_bytes(level->tables[i]->meta);
            uint64_t moved = sought_bytes(s, level->tables[i]->meta);
            c->rewritten += moved > 0 ? size : 0;
            if (!pick_guard_blocks(&guard, pick_table_span(level->tables[i])))
                offer(c, l, i, moved, size);
        }
    }
}

static struct pick_span level0_span(const struct version_level *level0)
{
    struct pick_span span = pick_table_span(level0->tables[0]);
    for (uint32_t i = 1; i < level0->count; i++)
        pick_span_include(&span, pick_table_span(level0->tables[i]));
    return span;
}

/* Level 0, which goes down as a whole. `*below`: the bytes of the base level that it overlaps. */
static bool level0_free(const struct version *v, int base, uint64_t *below)
{
    const struct version_level *next = &v->levels[base];
    struct pick_span span = level0_span(&v->levels[0]);
    struct pick_run run = pick_overlap(next, span);
    struct pick_guard guard;
    *below = pick_run_bytes(next, run);
    if (run.first < run.end) {
        pick_span_include(&span, pick_table_span(next->tables[run.first]));
        pick_span_include(&span, pick_table_span(next->tables[run.end - 1]));
    }
    pick_guard_init(&guard, v, 0, base);
    return !pick_guard_blocks(&guard, span);
}

static void choose_level0(const struct version *v, const struct stale *s, int base,
                          struct choice *c)
{
    const struct version_level *level0 = &v->levels[0];
    uint64_t moved = 0, below;
    for (uint32_t i = 0; i < level0->count; i++)
        moved += sought_bytes(s, level0->tables[i]->meta);
    if (moved == 0)
        return;
    bool is_free = level0_free(v, base, &below);
    c->rewritten += level0->bytes + below;
    if (is_free)
        offer(c, 0, 0, moved, level0->bytes + below);
}

/* The table that was chosen with as many neighbours as a job may take: so that what is moved goes
 * to one file, and what is next to each other in key order is so there. */
static struct pick_run widen(const struct version *v, const struct pick_options *opt,
                             const struct stale *s, const struct choice *c)
{
    const struct version_level *level = &v->levels[c->level];
    struct pick_run run = {c->index, c->index + 1};
    struct pick_guard guard;
    uint64_t size = table_meta_bytes(level->tables[c->index]->meta);
    uint64_t moved = sought_bytes(s, level->tables[c->index]->meta);
    pick_guard_init(&guard, v, c->level, c->level);
    for (bool up = true;;) {
        bool can = up ? run.end < level->count : run.first > 0;
        const struct version_table *t =
            can ? level->tables[up ? run.end : run.first - 1] : level->tables[c->index];
        struct pick_span span = pick_table_span(level->tables[run.first]);
        uint64_t more = can ? sought_bytes(s, t->meta) : 0;
        pick_span_include(&span, pick_table_span(level->tables[run.end - 1]));
        pick_span_include(&span, pick_table_span(t));
        if (more == 0 || moved + more > opt->move_bytes_max ||
            size + table_meta_bytes(t->meta) > opt->inputs_bytes_max ||
            pick_guard_blocks(&guard, span)) {
            if (!up)
                return run;
            up = false;
            continue;
        }
        moved += more;
        size += table_meta_bytes(t->meta);
        run.end += up;
        run.first -= !up;
    }
}

static int pick_sought(const struct version *v, const struct pick_options *opt, int base,
                       struct pick *out)
{
    struct stale s;
    struct choice c = {.ratio = 0};
    int ret = 1;
    stale_init(&s, v, &opt->stale);
    if (s.sought_count > 0) {
        choose_level0(v, &s, base, &c);
        choose_deep(v, &s, &c);
    }
    double cost = (double)s.sought_live_bytes + (double)c.rewritten;
    if (c.ratio > 0 && (double)s.sought_garbage_bytes * FREED_PART >= cost) {
        if (c.level == 0)
            ret = pick_build_level0(v, opt, PICK_BLOBS, base, out);
        else
            ret =
                pick_build(v, opt, PICK_BLOBS, c.level, c.level, widen(v, opt, &s, &c), false, out);
    }
    stale_release(&s);
    return ret;
}

/* ---- what level 0 may hide ---- */

static bool spans_overlap(const struct version_level *level0)
{
    for (uint32_t i = 0; i < level0->count; i++) {
        struct pick_span a = pick_table_span(level0->tables[i]);
        for (uint32_t k = 0; k < i; k++) {
            struct pick_span b = pick_table_span(level0->tables[k]);
            if (slice_cmp(a.start, b.limit) < 0 && slice_cmp(b.start, a.limit) < 0)
                return true;
        }
    }
    return false;
}

static int pick_hidden(const struct version *v, const struct pick_options *opt, int base,
                       struct pick *out)
{
    const struct version_level *level0 = &v->levels[0];
    uint64_t blobs = 0, below;
    for (uint32_t i = 0; i < level0->count; i++)
        for (uint32_t k = 0; k < level0->tables[i]->meta->share_count; k++)
            blobs += level0->tables[i]->meta->shares[k].bytes;
    double presses = (double)v->blob_file_bytes * opt->stale.garbage_percent / 100;
    if (blobs <= opt->stale.garbage_min || (double)blobs * HIDDEN_PART <= presses)
        return 1;
    if (!level0_free(v, base, &below) || (below == 0 && !spans_overlap(level0)) ||
        level0->bytes + below > blobs / HIDDEN_COST_PART)
        return 1;
    return pick_build_level0(v, opt, PICK_BLOBS, base, out);
}

int pick_blobs(const struct version *v, const struct pick_options *opt, int base, struct pick *out)
{
    int ret = 1;
    if (stale_presses(v, &opt->stale))
        ret = pick_sought(v, opt, base, out);
    if (ret != 0 && v->levels[0].count > 0)
        ret = pick_hidden(v, opt, base, out);
    assert(ret == 0 || ret == 1);
    return ret;
}
