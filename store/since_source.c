/* since_source: see since.h. Everything that a view holds of a window of history.
 *
 * Invariants:
 *   1. A source is left out only if its bounds say that nothing of the window is in it: a memtable
 *      by where its log and the next one begin, a table by its meta.
 *   2. Tables of one level are walked one after the other, each opened when it is reached. */
#include "store/since.h"

#include <assert.h>
#include <stdlib.h>

struct window {
    uint64_t from, to;
    struct slice lower, upper;
    struct table_since_counts *counts;
};

/* ---- a memtable's entries in the window ---- */

struct mem_since {
    struct iter it;
    struct iter *inner;
    uint64_t from, to;
    struct buf lower;
};

static int mem_settle(struct mem_since *m, int status)
{
    while (status == 0 && (m->inner->e.seq < m->from || m->inner->e.seq >= m->to))
        status = iter_next(m->inner);
    m->it.valid = status == 0;
    if (status == 0)
        m->it.e = m->inner->e;
    return status;
}

static int mem_first(struct iter *it)
{
    struct mem_since *m = (struct mem_since *)it;
    struct slice lower = buf_slice(&m->lower);
    return mem_settle(m, lower.len ? iter_seek(m->inner, lower, SEQ_MAX) : iter_first(m->inner));
}

static int mem_next(struct iter *it)
{
    struct mem_since *m = (struct mem_since *)it;
    assert(it->valid);
    return mem_settle(m, iter_next(m->inner));
}

static void mem_free(struct iter *it)
{
    struct mem_since *m = (struct mem_since *)it;
    iter_free(m->inner);
    buf_release(&m->lower);
    free(m);
}

static struct iter *mem_since_new(struct memtable *mem, const struct window *w)
{
    static const struct iter_ops ops = {.first = mem_first, .next = mem_next, .free = mem_free};
    struct mem_since *m = mem_zalloc(sizeof *m);
    m->it.ops = &ops;
    m->inner = memtable_iter_new(mem);
    m->from = w->from;
    m->to = w->to;
    buf_set(&m->lower, w->lower);
    return &m->it;
}

/* ---- a row of tables that do not overlap, or of one ---- */

struct row {
    struct iter it;
    struct version *version; /* a reference */
    const struct version_level *level;
    uint32_t next, end; /* tables that are still to come */
    struct buf lower;
    struct window window; /* without bounds */
    struct iter *table;
};

static bool in_window(const struct table_meta *m, const struct window *w)
{
    return m->max_seq >= w->from && m->min_seq < w->to;
}

static int row_enter(struct row *r, uint32_t i)
{
    struct table *t;
    int err = version_table_open(r->level->tables[i], &t);
    if (err < 0)
        return err;
    iter_free(r->table);
    r->table = table_since_iter_new(t, r->window.from, r->window.to, r->window.counts);
    r->window.counts->tables_read++;
    struct slice lower = buf_slice(&r->lower);
    return lower.len ? iter_seek(r->table, lower, SEQ_MAX) : iter_first(r->table);
}

static int row_settle(struct row *r, int status)
{
    while (status == 1 && r->next < r->end) {
        uint32_t i = r->next++;
        if (in_window(r->level->tables[i]->meta, &r->window))
            status = row_enter(r, i);
        else
            r->window.counts->tables_skipped++;
    }
    r->it.valid = status == 0;
    if (status == 0)
        r->it.e = r->table->e;
    return status;
}

static int row_first(struct iter *it)
{
    struct row *r = (struct row *)it;
    assert(!r->table);
    return row_settle(r, 1);
}

static int row_next(struct iter *it)
{
    struct row *r = (struct row *)it;
    assert(it->valid);
    return row_settle(r, iter_next(r->table));
}

static void row_free(struct iter *it)
{
    struct row *r = (struct row *)it;
    iter_free(r->table);
    version_unref(r->version);
    buf_release(&r->lower);
    free(r);
}

static struct iter *row_new(struct version *v, int level, uint32_t begin, uint32_t end,
                            const struct window *w)
{
    static const struct iter_ops ops = {.first = row_first, .next = row_next, .free = row_free};
    struct row *r = mem_zalloc(sizeof *r);
    r->it.ops = &ops;
    r->version = version_ref(v);
    r->level = &v->levels[level];
    r->next = begin;
    r->end = end;
    r->window = *w;
    r->window.lower = r->window.upper = (struct slice){0};
    buf_set(&r->lower, w->lower);
    return &r->it;
}

/* ---- tombstones ---- */

static void add_clipped(const struct window *w, struct slice start, struct slice end, uint64_t seq,
                        struct rangedel_builder *b)
{
    if (slice_cmp(start, w->lower) < 0)
        start = w->lower;
    if (w->upper.len && slice_cmp(end, w->upper) > 0)
        end = w->upper;
    rangedel_builder_add(b, start, end, seq); /* an empty interval is ignored */
}

/* The newest tombstone below `to` is in the window, or none is. */
static void table_dels(const struct rangedel *r, const struct window *w, struct rangedel_builder *b)
{
    for (size_t i = rangedel_find(r, w->lower); i < rangedel_count(r); i++) {
        struct rangedel_fragment f = rangedel_at(r, i);
        if (w->upper.len && slice_cmp(f.start, w->upper) >= 0)
            break;
        uint32_t k = 0;
        while (k < f.seq_count && f.seqs[k] >= w->to)
            k++;
        if (k < f.seq_count && f.seqs[k] >= w->from)
            add_clipped(w, f.start, f.end, f.seqs[k], b);
    }
}

static void memtable_dels(struct memtable *mem, const struct window *w, struct rangedel_builder *b)
{
    struct rangedel_cover cover;
    struct slice at = w->lower;
    if (memtable_rangedel_count(mem) == 0)
        return;
    do {
        memtable_cover(mem, at, w->to, &cover);
        assert(cover.hi.len == 0 || slice_cmp(cover.hi, at) > 0);
        if (cover.seq > 0 && cover.seq >= w->from)
            add_clipped(w, cover.lo, cover.hi, cover.seq, b);
        at = cover.hi;
    } while (at.len && !(w->upper.len && slice_cmp(at, w->upper) >= 0));
}

/* ---- all sources ---- */

/* Do the operations of memtable `i` lie in the window? They end where those of the next begin. */
static bool gen_in_window(const struct view *v, uint32_t i, const struct window *w)
{
    return v->gens[i]->first_seq < w->to && (i == 0 || v->gens[i - 1]->first_seq > w->from);
}

static bool table_wanted(const struct table_meta *m, const struct window *w)
{
    return slice_cmp(buf_slice(&m->limit), w->lower) > 0 &&
           (w->upper.len == 0 || slice_cmp(buf_slice(&m->smallest), w->upper) < 0);
}

static int add_dels(const struct version_level *lv, uint32_t begin, uint32_t end,
                    const struct window *w, struct rangedel_builder *b)
{
    for (uint32_t i = begin; i < end; i++) {
        const struct table_meta *m = lv->tables[i]->meta;
        struct table *t;
        if (m->rangedel_count == 0 || !in_window(m, w) || !table_wanted(m, w))
            continue;
        int err = version_table_open(lv->tables[i], &t);
        if (err < 0)
            return err;
        table_dels(table_rangedel(t), w, b);
    }
    return 0;
}

struct sources {
    struct iter **list;
    size_t count;
    struct rangedel_builder *dels;
};

static int add_level0(struct version *v, const struct window *w, struct sources *s)
{
    const struct version_level *lv = &v->levels[0];
    for (uint32_t i = 0; i < lv->count; i++)
        if (table_wanted(lv->tables[i]->meta, w))
            s->list[s->count++] = row_new(v, 0, i, i + 1, w);
    return add_dels(lv, 0, lv->count, w, s->dels);
}

static int add_level(struct version *v, int level, const struct window *w, struct sources *s)
{
    const struct version_level *lv = &v->levels[level];
    uint32_t begin = lv->count ? version_find(lv, w->lower) : 0, end = begin;
    while (end < lv->count && table_wanted(lv->tables[end]->meta, w))
        end++;
    if (begin == end)
        return 0;
    s->list[s->count++] = row_new(v, level, begin, end, w);
    return add_dels(lv, begin, end, w, s->dels);
}

/* The merged cursor ends at `upper`. */
struct bounded {
    struct iter it;
    struct iter *inner;
    struct view *view; /* a reference */
    struct buf upper;
};

static int bounded_settle(struct bounded *b, int status)
{
    if (status == 0 && b->upper.len && slice_cmp(b->inner->e.key, buf_slice(&b->upper)) >= 0)
        status = 1;
    b->it.valid = status == 0;
    if (status == 0)
        b->it.e = b->inner->e;
    return status;
}

static int bounded_first(struct iter *it)
{
    struct bounded *b = (struct bounded *)it;
    return bounded_settle(b, iter_first(b->inner));
}

static int bounded_next(struct iter *it)
{
    struct bounded *b = (struct bounded *)it;
    return bounded_settle(b, iter_next(b->inner));
}

static void bounded_free(struct iter *it)
{
    struct bounded *b = (struct bounded *)it;
    iter_free(b->inner);
    view_unref(b->view);
    buf_release(&b->upper);
    free(b);
}

static struct iter *bounded_new(struct iter *inner, struct view *view, struct slice upper)
{
    static const struct iter_ops ops = {
        .first = bounded_first, .next = bounded_next, .free = bounded_free};
    struct bounded *b = mem_zalloc(sizeof *b);
    b->it.ops = &ops;
    b->inner = inner;
    b->view = view_ref(view);
    buf_set(&b->upper, upper);
    return &b->it;
}

int since_open(struct view *view, uint64_t from, uint64_t to, struct slice lower,
               struct slice upper, struct table_since_counts *counts, struct iter **it,
               struct rangedel **dels)
{
    struct window w = {.from = from, .to = to, .lower = lower, .upper = upper, .counts = counts};
    struct version *v = view->version;
    struct sources s = {.dels = rangedel_builder_new()};
    assert(from < to);
    s.list = mem_alloc((view->gen_count + v->levels[0].count + LEVEL_COUNT) * sizeof *s.list);
    for (uint32_t i = 0; i < view->gen_count; i++) {
        if (!gen_in_window(view, i, &w))
            continue;
        s.list[s.count++] = mem_since_new(view->gens[i]->mem, &w);
        memtable_dels(view->gens[i]->mem, &w, s.dels);
    }
    int err = add_level0(v, &w, &s);
    for (int level = 1; level < LEVEL_COUNT && err == 0; level++)
        err = add_level(v, level, &w, &s);
    if (err == 0) {
        *it = bounded_new(iter_merge_new(s.list, s.count), view, upper);
        *dels = rangedel_build(s.dels);
    } else {
        while (s.count > 0)
            iter_free(s.list[--s.count]);
    }
    rangedel_builder_free(s.dels);
    free(s.list);
    return err;
}
