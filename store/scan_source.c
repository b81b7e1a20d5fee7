/* scan_source: see scan_source.h.
 *
 * Invariants:
 *   1. sources[i].age == i: the lower, the newer is what a source has of any key.
 *   2. `cover`, if `have_cover`, is the answer for every key in [lo, hi) at the scan's read_seq,
 *      for good: what a memtable gets later has higher numbers.
 *   3. A level's answer lies within the span of one table, or between two, where there is
 *      nothing. */
#include "store/scan_source.h"

#include <assert.h>
#include <stdlib.h>

static int open_table_source(struct version_table *vt, int flags, struct source *s)
{
    int err = version_table_open(vt, &s->table);
    if (err < 0)
        return err;
    s->kind = SOURCE_TABLE;
    s->it = table_iter_new(s->table, flags);
    return 0;
}

static bool table_overlaps(const struct table_meta *m, struct slice lower, struct slice upper)
{
    return slice_cmp(buf_slice(&m->limit), lower) > 0 &&
           (upper.len == 0 || slice_cmp(buf_slice(&m->smallest), upper) < 0);
}

int sources_open(struct view *view, struct slice lower, struct slice upper, int table_iter_flags,
                 struct source **out, uint32_t *count)
{
    struct version *v = view->version;
    uint32_t n = 0;
    struct source *list =
        mem_zalloc((view->gen_count + v->levels[0].count + LEVEL_COUNT) * sizeof *list);
    int err = 0;
    for (uint32_t i = 0; i < view->gen_count; i++, n++) {
        struct memtable *mem = view->gens[i]->mem;
        list[n] = (struct source){
            .kind = SOURCE_MEMTABLE, .age = n, .mem = mem, .it = memtable_iter_new(mem)};
    }
    for (uint32_t i = 0; i < v->levels[0].count && err == 0; i++) {
        if (!table_overlaps(v->levels[0].tables[i]->meta, lower, upper))
            continue;
        list[n].age = n;
        err = open_table_source(v->levels[0].tables[i], table_iter_flags, &list[n]);
        n += err == 0;
    }
    for (int level = 1; level < LEVEL_COUNT && err == 0; level++) {
        if (!version_overlaps(v, level, lower, upper))
            continue;
        list[n] = (struct source){.kind = SOURCE_LEVEL,
                                  .age = n,
                                  .level = &v->levels[level],
                                  .it = level_iter_new(v, level, table_iter_flags)};
        n++;
    }
    if (err < 0) {
        sources_close(list, n);
        list = NULL;
        n = 0;
    }
    for (uint32_t i = 0; i < n; i++)
        assert(list[i].it && list[i].age == i);
    *out = list;
    *count = n;
    return err;
}

void sources_close(struct source *list, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        iter_free(list[i].it);
    free(list);
}

static int level_cover(struct source *s, struct slice key, uint64_t read_seq)
{
    const struct version_level *lv = s->level;
    uint32_t i = version_find(lv, key);
    struct slice before = i > 0 ? buf_slice(&lv->tables[i - 1]->meta->limit) : (struct slice){0};
    s->cover = (struct rangedel_cover){.lo = before};
    if (i == lv->count)
        return 0; /* behind the last table */
    const struct table_meta *m = lv->tables[i]->meta;
    struct slice smallest = buf_slice(&m->smallest), limit = buf_slice(&m->limit);
    if (slice_cmp(key, smallest) < 0) {
        s->cover.hi = smallest; /* in the gap before it */
        return 0;
    }
    s->cover.lo = smallest;
    s->cover.hi = limit;
    if (m->rangedel_count == 0)
        return 0;
    struct table *t;
    int err = version_table_open(lv->tables[i], &t);
    if (err < 0)
        return err;
    rangedel_cover(table_rangedel(t), key, read_seq, &s->cover);
    if (slice_cmp(s->cover.lo, smallest) < 0)
        s->cover.lo = smallest;
    if (s->cover.hi.len == 0 || slice_cmp(s->cover.hi, limit) > 0)
        s->cover.hi = limit;
    return 0;
}

static bool in_cover(const struct source *s, struct slice key)
{
    return slice_cmp(key, s->cover.lo) >= 0 &&
           (s->cover.hi.len == 0 || slice_cmp(key, s->cover.hi) < 0);
}

int source_cover(struct source *s, struct slice key, uint64_t read_seq)
{
    int err = 0;
    if (s->have_cover && in_cover(s, key))
        return 0;
    switch (s->kind) {
    case SOURCE_MEMTABLE:
        memtable_cover(s->mem, key, read_seq, &s->cover);
        break;
    case SOURCE_TABLE:
        rangedel_cover(table_rangedel(s->table), key, read_seq, &s->cover);
        break;
    case SOURCE_LEVEL:
        err = level_cover(s, key, read_seq);
        break;
    }
    s->have_cover = err == 0;
    assert(err < 0 || (in_cover(s, key) && s->cover.seq < read_seq));
    return err;
}
