/* compact_pick_reclaim: when no level presses: which rewrite would free most for what it costs.
 *
 * Tombstones are sunk when what they hide below is at least 1/FREED_PART of what has to be
 * rewritten to get there. So a byte that is freed costs at most FREED_PART bytes written on each
 * level, a stream of small deletions gathers until it is worth a job, and no more than about that
 * part of the tables is dead at any time. Blob bytes count as freed (they become garbage that can
 * be collected), but never as cost: a compaction does not rewrite them.
 *
 * What a pin sees: entries with seq < pin. An entry d under a tombstone t > d is dead unless a pin
 * p has d < p <= t: such a pin sees the entry and not the tombstone.
 *
 * Every job found here either moves tombstones one level down, or takes pins that are gone off a
 * table's list: so there is an end to them. */
#include "store/compact_pick_priv.h"

#include <assert.h>

enum {
    FREED_PART = 4,
    /* Of a table's size: what gone pins held makes a rewrite worth it, in any case; when there is
     * nothing else to do; and when no pin is left at all every byte is, since it is the last time.
     */
    HELD_URGENT_PART = 8,
    HELD_IDLE_PART = 32,
    /* A table in which this part of the entries are deletions counts as one with tombstones. */
    DELETES_PART = 2,
};

/* ---- held for pins that are gone ---- */

struct candidate {
    int level;
    uint32_t index;
    double ratio; /* freed per byte written; 0: none yet */
};

static void try_held(const struct version *v, int level, uint64_t part, struct candidate *best)
{
    const struct version_level *l = &v->levels[level];
    struct pick_guard guard;
    pick_guard_init(&guard, v, level, level);
    for (uint32_t i = 0; i < l->count; i++) {
        const struct table_meta *m = l->tables[i]->meta;
        uint64_t gone = pick_gone_bytes(v, m);
        double ratio = (double)gone / ((double)m->size_bytes + 1);
        if (gone <= m->size_bytes / part || ratio <= best->ratio ||
            pick_guard_blocks(&guard, pick_table_span(l->tables[i])))
            continue;
        *best = (struct candidate){level, i, ratio};
    }
}

int pick_held(const struct version *v, const struct pick_options *opt, bool urgent,
              struct pick *out)
{
    uint64_t part = urgent ? HELD_URGENT_PART : v->pin_count > 0 ? HELD_IDLE_PART : UINT64_MAX;
    struct candidate best = {.ratio = 0};
    for (int l = 1; l < LEVEL_COUNT; l++)
        if (v->levels[l].held_count > 0)
            try_held(v, l, part, &best);
    if (best.ratio <= 0)
        return 1;
    return pick_build(v, opt, PICK_HELD, best.level, best.level,
                      (struct pick_run){best.index, best.index + 1}, false, out);
}

/* ---- how much of a table is dead under tombstones ---- */

static uint64_t greatest_pin(const struct version *v, uint64_t seq_max)
{
    uint32_t lo = 0, hi = v->pin_count;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (v->pins[mid].seq <= seq_max)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo > 0 ? v->pins[lo - 1].seq : 0;
}

/* The part of the sequence numbers of `below`, taken as spread evenly, that are dead under the
 * tombstones `seqs`: with p(t) the greatest pin <= t, entries in [p(t), t) for some t. Pins 40 and
 * 70, tombstones 100 and 50: [70, 100) and [40, 50) are dead; 40..49 is, since pin 70 sees
 * tombstone 50. */
static double dead_part(const struct version *v, const uint64_t *seqs, uint32_t seq_count,
                        const struct table_meta *below)
{
    uint64_t lo = below->min_seq, hi = below->max_seq + 1, dead = 0, pin_before = UINT64_MAX;
    assert(seq_count > 0 && lo < hi);
    if (hi > seqs[0])
        hi = seqs[0]; /* newer entries are of other keys: under a tombstone all is older than it */
    if (lo >= hi)
        return 0;
    for (uint32_t i = 0; i < seq_count && pin_before > lo; i++) {
        uint64_t pin = greatest_pin(v, seqs[i]);
        if (pin == pin_before)
            continue; /* within the interval before */
        uint64_t from = pin > lo ? pin : lo, to = seqs[i] < hi ? seqs[i] : hi;
        dead += from < to ? to - from : 0;
        pin_before = pin;
    }
    return (double)dead / (double)(hi - lo);
}

/* 8 bytes of a key from `at` on as a number: keys with equal bytes before are in its order. */
static uint64_t key_number(struct slice key, size_t at)
{
    uint8_t bytes[8] = {0};
    if (key.len > at)
        memcpy(bytes, key.data + at, key.len - at < 8 ? key.len - at : 8);
    return get_be64(bytes);
}

/* The part of the table's bytes that lies within `span`, which lies within the table: from its
 * index if it is open, else as if keys were spread evenly. */
static double span_part(const struct version_table *t, struct pick_span span)
{
    struct pick_span all = pick_table_span(t);
    struct table *table = version_table_opened(t);
    double part, whole;
    if (table) {
        part = (double)table_range_bytes(table, span.start, span.limit);
        whole = (double)table_range_bytes(table, all.start, all.limit);
    } else {
        size_t at = slice_shared(all.start, all.limit);
        part = (double)(key_number(span.limit, at) - key_number(span.start, at));
        whole = (double)(key_number(all.limit, at) - key_number(all.start, at));
    }
    return whole > part ? part / whole : 1;
}

static struct slice later(struct slice a, struct slice b)
{
    return slice_cmp(a, b) >= 0 ? a : b;
}

static struct slice earlier(struct slice a, struct slice b)
{
    return slice_cmp(a, b) <= 0 ? a : b;
}

/* The part of `below` that is dead under tombstones `r`; exactly 1 if it is all. Neighbouring
 * fragments that kill alike are taken as one: a folder of files that is removed leaves one for each
 * file. */
static double covered_part(const struct version *v, const struct rangedel *r,
                           const struct version_table *below)
{
    struct pick_span table = pick_table_span(below), run = {table.start, table.start};
    size_t count = rangedel_count(r);
    double sum = 0, run_part = 0;
    for (size_t i = rangedel_find(r, table.start); i < count; i++) {
        struct rangedel_fragment f = rangedel_at(r, i);
        if (slice_cmp(f.start, table.limit) >= 0)
            break;
        struct slice start = later(f.start, table.start), end = earlier(f.end, table.limit);
        double part = dead_part(v, f.seqs, f.seq_count, below->meta);
        if (part != run_part || !slice_eq(run.limit, start)) {
            if (run_part > 0)
                sum += run_part * span_part(below, run);
            run = (struct pick_span){start, start};
            run_part = part;
        }
        run.limit = end;
    }
    if (run_part >= 1 && slice_eq(run.start, table.start) && slice_eq(run.limit, table.limit))
        return 1;
    if (run_part > 0)
        sum += run_part * span_part(below, run);
    return sum < 0.99 ? sum : 0.99;
}

/* ---- what sinking a table would bring ---- */

struct gain {
    double freed, cost;
};

static double table_weight(const struct table_meta *m)
{
    double bytes = (double)m->size_bytes;
    for (uint32_t i = 0; i < m->share_count; i++)
        bytes += (double)m->shares[i].bytes;
    return bytes;
}

/* What tombstones `r` make of one table below: `rewritten` says that the job takes it in anyway. */
static void gain_table(struct gain *g, const struct version *v, const struct rangedel *r,
                       const struct version_table *below, bool rewritten)
{
    double part = covered_part(v, r, below), size = (double)below->meta->size_bytes;
    g->freed += part * table_weight(below->meta);
    if (part >= 1)
        g->cost -= rewritten ? size : 0; /* it is dropped without being read */
    else if (part > 0)
        g->cost += rewritten ? 0 : size;
}

/* Range tombstones against one level >= 1; tables that none of them touches are skipped. */
static void gain_level(struct gain *g, const struct version *v, const struct rangedel *r,
                       const struct version_level *level, struct pick_run run, bool rewritten)
{
    size_t count = rangedel_count(r);
    while (run.first < run.end) {
        const struct version_table *below = level->tables[run.first];
        struct pick_span span = pick_table_span(below);
        size_t i = rangedel_find(r, span.start);
        if (i == count)
            return;
        struct slice start = rangedel_at(r, i).start;
        if (slice_cmp(start, span.limit) < 0) {
            gain_table(g, v, r, below, rewritten);
            run.first++;
        } else {
            run.first = version_find(level, start);
        }
    }
}

/* Deletions of single keys: each is taken to free an entry of average size, as far as there are
 * any. */
static void gain_deletes(struct gain *g, const struct version *v, const struct table_meta *m,
                         const struct version_level *level, struct pick_run run)
{
    double entries = 0, bytes = 0, deletes = (double)m->delete_count;
    for (uint32_t i = run.first; i < run.end; i++) {
        const struct table_meta *below = level->tables[i]->meta;
        entries += (double)below->entry_count;
        bytes += table_weight(below) * dead_part(v, &m->max_seq, 1, below);
    }
    if (entries > 0)
        g->freed += bytes * (deletes < entries ? deletes / entries : 1);
}

static bool has_tombstones(const struct table_meta *m)
{
    return m->rangedel_count > 0 ||
           (m->delete_count > 0 && m->delete_count >= m->entry_count / DELETES_PART);
}

/* Adds what the tombstones of `t`, on level `from`, do to the levels below it, `to` being the first
 * with which they are merged. False when they cannot be read. */
static bool gain_deeper(struct gain *g, const struct version *v, struct version_table *t, int to)
{
    struct table *table = NULL;
    if (t->meta->rangedel_count > 0 &&
        (__atomic_load_n(&t->failed, __ATOMIC_RELAXED) || version_table_open(t, &table) < 0))
        return false;
    for (int l = to; l < LEVEL_COUNT; l++) {
        struct pick_run run = pick_overlap(&v->levels[l], pick_table_span(t));
        if (table)
            gain_level(g, v, table_rangedel(table), &v->levels[l], run, l == to);
        if (t->meta->delete_count > 0)
            gain_deletes(g, v, t->meta, &v->levels[l], run);
    }
    return true;
}

static bool worth(const struct gain *g)
{
    return g->freed > 0 && g->freed * FREED_PART >= g->cost;
}

static double gain_ratio(const struct gain *g)
{
    return g->freed / (g->cost > 1 ? g->cost : 1);
}

/* ---- which table to sink ---- */

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
    struct version_table *t = v->levels[level].tables[index];
    const struct version_level *next = &v->levels[level + 1];
    if (!has_tombstones(t->meta))
        return;
    struct pick_span span = pick_table_span(t);
    struct pick_run below = pick_overlap(next, span);
    struct gain g = {.cost = (double)t->meta->size_bytes + (double)pick_run_bytes(next, below)};
    if (pick_guard_blocks(guard, with_run(span, next, below)) || !gain_deeper(&g, v, t, level + 1))
        return;
    if (below.first == below.end)
        g.cost = 0; /* it just moves; where it stands then the rest is reckoned */
    if (worth(&g) && gain_ratio(&g) > best->ratio)
        *best = (struct candidate){level, index, gain_ratio(&g)};
}

/* Adds what the tombstones of level 0 do, also to what is older on level 0. False: they do nothing.
 */
static bool gain_level0(struct gain *g, const struct version *v, int base)
{
    const struct version_level *level0 = &v->levels[0];
    bool any = false;
    for (uint32_t i = 0; i < level0->count; i++) {
        struct version_table *t = level0->tables[i];
        if (!has_tombstones(t->meta) || !gain_deeper(g, v, t, base))
            continue;
        any = true;
        struct table *table = version_table_opened(t);
        for (uint32_t j = i + 1; j < level0->count && table; j++)
            gain_table(g, v, table_rangedel(table), level0->tables[j], true);
    }
    return any;
}

/* Level 0 goes down as a whole. */
static void try_level0(const struct version *v, int base, struct candidate *best)
{
    const struct version_level *level0 = &v->levels[0], *next = &v->levels[base];
    struct gain g = {.cost = (double)level0->bytes};
    struct pick_guard guard;
    if (level0->count == 0)
        return;
    struct pick_span span = pick_table_span(level0->tables[0]);
    for (uint32_t i = 0; i < level0->count; i++) {
        if (level0->tables[i]->busy)
            return;
        pick_span_include(&span, pick_table_span(level0->tables[i]));
    }
    struct pick_run below = pick_overlap(next, span);
    g.cost += (double)pick_run_bytes(next, below);
    pick_guard_init(&guard, v, 0, base);
    if (!pick_guard_blocks(&guard, with_run(span, next, below)) && gain_level0(&g, v, base) &&
        worth(&g))
        *best = (struct candidate){0, 0, gain_ratio(&g)};
}

int pick_tombstones(const struct version *v, const struct pick_options *opt, int base,
                    struct pick *out)
{
    struct candidate best = {.ratio = 0};
    try_level0(v, base, &best);
    for (int l = 1; l < LEVEL_BOTTOM; l++) {
        struct pick_guard guard;
        pick_guard_init(&guard, v, l, l + 1);
        for (uint32_t i = 0; i < v->levels[l].count; i++)
            try_table(v, &guard, l, i, &best);
    }
    if (best.ratio <= 0)
        return 1;
    if (best.level == 0)
        return pick_build_level0(v, opt, PICK_TOMBSTONES, base, out);
    return pick_build(v, opt, PICK_TOMBSTONES, best.level, best.level + 1,
                      (struct pick_run){best.index, best.index + 1}, false, out);
}

void compact_pick_prepare(const struct version *v)
{
    for (int l = 0; l < LEVEL_BOTTOM; l++) {
        for (uint32_t i = 0; i < v->levels[l].count; i++) {
            struct version_table *t = v->levels[l].tables[i];
            struct table *table;
            if (t->meta->rangedel_count > 0 && !__atomic_load_n(&t->failed, __ATOMIC_RELAXED))
                version_table_open(t, &table);
        }
    }
}
