/* compact_pick_reclaim: when no level presses: which rewrite would free most for what it costs.
 *
 * Tombstones are sunk when what they hide below is at least 1/FREED_PART of what has to be
 * rewritten to get there. So a byte that is freed costs at most FREED_PART bytes written on each
 * level, a stream of small deletions gathers until it is worth a job, and no more than about that
 * part of the tables is dead at any time. Blob bytes count as freed (they become garbage that can
 * be collected), but never as cost: a compaction does not rewrite them.
 *
 * Every job found here either moves tombstones (or level 0) down, or takes pins that are gone off a
 * table's list: so there is an end to them. */
#include "store/compact_pick_priv.h"

#include <assert.h>

enum {
    FREED_PART = 4,
    /* Of a table's size: what gone pins held makes a rewrite worth it, in any case; and when there
     * is nothing else to do. Not every byte does: a snapshot that lives for the hour of a backup
     * leaves a little in each table that was written to, and rewriting all of them every night
     * would wear the disk for nothing. */
    HELD_URGENT_PART = 8,
    HELD_IDLE_PART = 16,
};

struct candidate {
    int level;
    uint32_t index;
    double ratio; /* freed per byte written; 0: none yet */
};

/* ---- held for pins that are gone ---- */

static void try_held(const struct version *v, int level, uint64_t part, struct candidate *best)
{
    const struct version_level *l = &v->levels[level];
    struct pick_guard guard;
    assert(level > 0 && part > 0);
    pick_guard_init(&guard, v, level, level);
    for (uint32_t i = 0; i < l->count; i++) {
        const struct table_meta *m = l->tables[i]->meta;
        uint64_t gone = version_gone_bytes(v, m);
        double ratio = (double)gone / ((double)table_meta_bytes(m) + 1);
        if (gone <= table_meta_bytes(m) / part || ratio <= best->ratio ||
            pick_guard_blocks(&guard, pick_table_span(l->tables[i])))
            continue;
        *best = (struct candidate){level, i, ratio};
    }
}

int pick_held(const struct version *v, const struct pick_options *opt, bool urgent,
              struct pick *out)
{
    uint64_t part = urgent ? HELD_URGENT_PART : HELD_IDLE_PART;
    struct candidate best = {.ratio = 0};
    for (int l = 1; l < LEVEL_COUNT; l++)
        if (v->levels[l].held_count > 0)
            try_held(v, l, part, &best);
    if (best.ratio <= 0)
        return 1;
    return pick_build(v, opt, PICK_HELD, best.level, best.level,
                      (struct pick_run){best.index, best.index + 1}, false, out);
}

/* ---- tombstones over dead data ---- */

static void try_gain(struct candidate *best, int level, uint32_t index,
                     const struct version_gain *g)
{
    double ratio = g->freed / (g->cost > 1 ? g->cost : 1);
    if (g->freed > 0 && g->freed * FREED_PART >= g->cost && ratio > best->ratio)
        *best = (struct candidate){level, index, ratio};
}

static struct pick_span with_run(struct pick_span span, const struct version_level *level,
                                 struct pick_run run)
{
    if (run.first < run.end) {
        pick_span_include(&span, pick_table_span(level->tables[run.first]));
        pick_span_include(&span, pick_table_span(level->tables[run.end - 1]));
    }
    return span;
}

static void try_table(const struct version *v, const struct pick_guard *guard, int level,
                      uint32_t index, struct candidate *best)
{
    const struct version_table *t = v->levels[level].tables[index];
    const struct version_level *next = &v->levels[level + 1];
    struct version_gain g;
    assert(level > 0 && level < LEVEL_BOTTOM);
    if (!pick_has_tombstones(t->meta))
        return;
    struct pick_span span = pick_table_span(t);
    struct pick_run below = pick_overlap(next, span);
    if (pick_guard_blocks(guard, with_run(span, next, below)) ||
        !pick_gain(v, level, index, level + 1, &g))
        return;
    if (below.first == below.end)
        g.cost = 0; /* it just moves; where it stands then the rest is reckoned */
    else
        g.cost += (double)table_meta_bytes(t->meta) + (double)pick_run_bytes(next, below);
    try_gain(best, level, index, &g);
}

/* Level 0 goes down as a whole. */
static void try_level0(const struct version *v, int base, struct candidate *best)
{
    const struct version_level *level0 = &v->levels[0], *next = &v->levels[base];
    struct version_gain sum = {.cost = (double)level0->bytes}, g;
    struct pick_guard guard;
    assert(level0->count > 0 && base > 0 && base < LEVEL_COUNT);
    struct pick_span span = pick_table_span(level0->tables[0]);
    for (uint32_t i = 1; i < level0->count; i++)
        pick_span_include(&span, pick_table_span(level0->tables[i]));
    struct pick_run below = pick_overlap(next, span);
    pick_guard_init(&guard, v, 0, base);
    if (pick_guard_blocks(&guard, with_run(span, next, below)))
        return;
    sum.cost += (double)pick_run_bytes(next, below);
    for (uint32_t i = 0; i < level0->count; i++) {
        /* What was kept only for pins that are gone is dropped on the way. */
        sum.freed += (double)version_gone_bytes(v, level0->tables[i]->meta);
        if (!pick_has_tombstones(level0->tables[i]->meta) || !pick_gain(v, 0, i, base, &g))
            continue;
        sum.freed += g.freed;
        sum.cost += g.cost;
    }
    try_gain(best, 0, 0, &sum);
}

int pick_tombstones(const struct version *v, const struct pick_options *opt, int base,
                    struct pick *out)
{
    struct candidate best = {.ratio = 0};
    if (v->levels[0].count > 0)
        try_level0(v, base, &best);
    for (int l = 1; l < LEVEL_BOTTOM; l++) {
        struct pick_guard guard;
        pick_guard_init(&guard, v, l, l + 1);
        for (uint32_t i = 0; i < v->levels[l].count; i++)
            try_table(v, &guard, l, i, &best);
    }
    if (best.ratio <= 0)
        return 1;
    assert(best.index < v->levels[best.level].count);
    if (best.level == 0)
        return pick_build_level0(v, opt, PICK_TOMBSTONES, base, out);
    return pick_build(v, opt, PICK_TOMBSTONES, best.level, best.level + 1,
                      (struct pick_run){best.index, best.index + 1}, false, out);
}

static bool wants_heal(const struct version_table *t)
{
    return __atomic_load_n(&t->heal, __ATOMIC_RELAXED) && !t->busy;
}

int pick_heal(const struct version *v, const struct pick_options *opt, int base, struct pick *out)
{
    for (int l = 0; l < LEVEL_COUNT; l++) {
        for (uint32_t i = 0; i < v->levels[l].count; i++) {
            struct pick_run one = {i, i + 1};
            if (!wants_heal(v->levels[l].tables[i]))
                continue;
            int ret = l == 0 ? pick_build_level0(v, opt, PICK_HEAL, base, out)
                             : pick_build(v, opt, PICK_HEAL, l, l, one, false, out);
            if (ret == 0)
                return 0;
        }
    }
    return 1;
}

void compact_pick_prepare(const struct version *v, const struct pick_options *opt)
{
    struct version_gain g;
    int base = compact_base_level(v, opt);
    if (compact_debt(v, opt) > 0)
        return;
    for (int l = 0; l < LEVEL_BOTTOM; l++)
        for (uint32_t i = 0; i < v->levels[l].count; i++)
            if (pick_has_tombstones(v->levels[l].tables[i]->meta))
                pick_gain(v, l, i, l == 0 ? base : l + 1, &g);
}
