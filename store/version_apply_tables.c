/* version_apply_tables: the levels of the version that an edit leads to.
 *
 * Costs O(tables) on the levels that the edit touches, one memory access each; the others are
 * shared.
 *
 * Invariants:
 *   1. Until a level is handed to the new version its array belongs to `struct work`, with one
 *      reference for each table in it: first those that stay, in order, then those that come.
 *   2. `removed` ascends by number; `table` is what was found under it on the level that the edit
 *      names, borrowed from the base. */
#include "store/version_priv.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

struct removed_table {
    uint64_t number;
    int level;
    struct version_table *table;
};

struct level_work {
    struct version_level level; /* without `refs` */
    uint32_t kept;
    bool touched;
};

struct work {
    const struct version *base;
    const struct edit *edit;
    struct version *v;
    struct removed_table *removed;
    struct level_work levels[LEVEL_COUNT];
};

/* ---- tables that go ---- */

static int by_removed_number(const void *a, const void *b)
{
    const struct removed_table *x = a, *y = b;
    return (x->number > y->number) - (x->number < y->number);
}

static struct removed_table *find_removed(const struct work *w, uint64_t number)
{
    struct removed_table key = {.number = number};
    if (w->edit->tables_removed_count == 0)
        return NULL;
    return bsearch(&key, w->removed, w->edit->tables_removed_count, sizeof key, by_removed_number);
}

static int sort_removed(struct work *w)
{
    uint32_t n = w->edit->tables_removed_count;
    w->removed = mem_zalloc(n * sizeof *w->removed);
    for (uint32_t i = 0; i < n; i++) {
        const struct edit_number *r = &w->edit->tables_removed[i];
        assert(r->level >= 0 && r->level < LEVEL_COUNT);
        w->removed[i].number = r->number;
        w->removed[i].level = r->level;
        w->levels[r->level].touched = true;
    }
    qsort(w->removed, n, sizeof *w->removed, by_removed_number);
    for (uint32_t i = 1; i < n; i++)
        if (w->removed[i].number == w->removed[i - 1].number)
            return version_misfit("it removes table %" PRIu64 " twice", w->removed[i].number);
    return 0;
}

/* Takes over from the base what stays on the level, with room for `added` more. */
static void keep_tables(struct work *w, int level, uint32_t added)
{
    const struct version_level *from = &w->base->levels[level];
    struct version_level *to = &w->levels[level].level;
    assert(!to->tables && from->count <= UINT32_MAX - added);
    *to = *from;
    to->refs = NULL;
    to->count = 0;
    to->tables = mem_alloc(((size_t)from->count + added) * sizeof(struct version_table *));
    for (uint32_t i = 0; i < from->count; i++) {
        struct version_table *t = from->tables[i];
        struct removed_table *r = find_removed(w, t->number);
        if (r && r->level == level) {
            r->table = t;
            to->bytes -= table_meta_bytes(t->meta);
            to->entry_count -= t->meta->entry_count;
            to->rangedel_count -= t->meta->rangedel_count;
            to->held_count -= t->meta->held_count > 0;
        } else {
            to->tables[to->count++] = version_table_ref(t);
        }
    }
    w->levels[level].kept = to->count;
}

static int apply_removed(struct work *w)
{
    const struct edit *e = w->edit;
    uint32_t added[LEVEL_COUNT] = {0};
    int err = sort_removed(w);
    if (err < 0)
        return err;
    for (uint32_t i = 0; i < e->tables_added_count; i++) {
        assert(e->tables_added[i].level >= 0 && e->tables_added[i].level < LEVEL_COUNT);
        added[e->tables_added[i].level]++;
        w->levels[e->tables_added[i].level].touched = true;
    }
    for (int l = 0; l < LEVEL_COUNT; l++)
        if (w->levels[l].touched)
            keep_tables(w, l, added[l]);
    for (uint32_t i = 0; i < e->tables_removed_count; i++)
        if (!w->removed[i].table)
            return version_misfit("it removes table %" PRIu64 ", which level %d does not have",
                                  w->removed[i].number, w->removed[i].level);
    return 0;
}

/* ---- tables that come ---- */

static bool same_file(const struct table_meta *a, const struct table_meta *b)
{
    return a->size_bytes == b->size_bytes && a->tag == b->tag &&
           slice_eq(buf_slice(&a->limit), buf_slice(&b->limit));
}

static bool same_table(const struct table_meta *a, const struct table_meta *b)
{
    return same_file(a, b) && a->front == b->front &&
           slice_eq(buf_slice(&a->smallest), buf_slice(&b->smallest));
}

/* Is `b` what is left of `a` behind a slice? */
static bool is_rest(const struct table_meta *a, const struct table_meta *b)
{
    return same_file(a, b) && b->front > 0 && b->front >= a->front &&
           slice_cmp(buf_slice(&a->smallest), buf_slice(&b->smallest)) < 0 &&
           b->entry_count <= a->entry_count && b->rangedel_count <= a->rangedel_count;
}

/* Numbers mostly ascend, so that few levels have to be searched. */
static bool base_has_number(const struct version *base, uint64_t number)
{
    for (int l = 0; l < LEVEL_COUNT; l++) {
        const struct version_level *level = &base->levels[l];
        for (uint32_t i = 0; number <= level->number_max && i < level->count; i++)
            if (level->tables[i]->number == number)
                return true;
    }
    return false;
}

/* A cut table is no other one for whoever wanted something of it. */
static struct version_table *rest_object(const struct work *w, const struct version_table *from,
                                         struct table_meta *meta)
{
    struct version_table *rest = version_table_new(w->base->source, meta);
    rest->heal = __atomic_load_n(&from->heal, __ATOMIC_RELAXED);
    rest->renew = __atomic_load_n(&from->renew, __ATOMIC_RELAXED);
    return rest;
}

/* The object for a table that comes: that of the table that moves, or a new one. */
static int table_object(struct work *w, const struct edit_table *added, struct version_table **out)
{
    struct table_meta *meta = added->meta;
    struct removed_table *r = find_removed(w, meta->number);
    bool rest = r && r->level == added->level && is_rest(r->table->meta, meta);
    if (r && !rest && !same_table(r->table->meta, meta))
        return version_misfit("it moves table %" PRIu64 " and changes it", meta->number);
    if (!r && base_has_number(w->base, meta->number))
        return version_misfit("it adds table %" PRIu64 ", which is there already", meta->number);
    *out = rest ? rest_object(w, r->table, meta)
           : r  ? version_table_ref(r->table)
                : version_table_new(w->base->source, meta);
    return 0;
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static int check_added_distinct(const struct edit *e)
{
    uint32_t n = e->tables_added_count;
    uint64_t *numbers = mem_alloc(n * sizeof *numbers);
    int err = 0;
    for (uint32_t i = 0; i < n; i++)
        numbers[i] = e->tables_added[i].meta->number;
    qsort(numbers, n, sizeof *numbers, by_number);
    for (uint32_t i = 1; i < n && err == 0; i++)
        if (numbers[i] == numbers[i - 1])
            err = version_misfit("it adds table %" PRIu64 " twice", numbers[i]);
    free(numbers);
    return err;
}

static void push_table(struct version_level *level, struct version_table *t)
{
    const struct table_meta *m = t->meta;
    level->tables[level->count++] = t;
    level->bytes += table_meta_bytes(m);
    level->entry_count += m->entry_count;
    level->rangedel_count += m->rangedel_count;
    level->held_count += m->held_count > 0;
    if (t->number > level->number_max)
        level->number_max = t->number;
}

static int apply_added(struct work *w)
{
    const struct edit *e = w->edit;
    int err = check_added_distinct(e);
    for (uint32_t i = 0; i < e->tables_added_count && err == 0; i++) {
        const struct edit_table *added = &e->tables_added[i];
        struct version_table *t = NULL;
        err = version_use_number(w->v, added->meta->number);
        if (err == 0)
            err = table_object(w, added, &t);
        if (err == 0) {
            version_table_set_upper(t, added->level < LEVEL_COUNT - 1);
            push_table(&w->levels[added->level].level, t);
        }
    }
    return err;
}

/* ---- levels in order ---- */

static int by_age(const void *a, const void *b)
{
    return version_table_order(0, *(struct version_table *const *)a,
                               *(struct version_table *const *)b);
}

static int by_key(const void *a, const void *b)
{
    return version_table_order(1, *(struct version_table *const *)a,
                               *(struct version_table *const *)b);
}

/* Are neighbours on a level >= 1 apart? */
static int check_apart(int level, const struct version_table *a, const struct version_table *b)
{
    if (slice_cmp(buf_slice(&a->meta->limit), buf_slice(&b->meta->smallest)) <= 0)
        return 0;
    return version_misfit("tables %" PRIu64 " and %" PRIu64 " would overlap on level %d", a->number,
                          b->number, level);
}

/* Merges `fresh` (sorted) into the `kept` tables before it: from the back, where there is room. */
static void merge_fresh(int level, struct version_table **tables, uint32_t kept,
                        struct version_table *const *fresh, uint32_t added)
{
    while (added > 0) {
        bool stays = kept > 0 && version_table_order(level, tables[kept - 1], fresh[added - 1]) > 0;
        tables[kept + added - 1] = stays ? tables[kept - 1] : fresh[added - 1];
        kept -= stays;
        added -= !stays;
    }
}

/* What stayed was apart before, so only what came has to be held against its neighbours. */
static int check_fresh(int level, struct version_table *const *tables, uint32_t count,
                       struct version_table *const *fresh, uint32_t added)
{
    int err = 0;
    for (uint32_t i = 0, j = 0; level > 0 && j < added && err == 0; i++) {
        assert(i < count);
        if (tables[i] != fresh[j])
            continue;
        if (i > 0)
            err = check_apart(level, tables[i - 1], tables[i]);
        if (i + 1 < count && err == 0)
            err = check_apart(level, tables[i], tables[i + 1]);
        j++;
    }
    return err;
}

static int order_level(struct level_work *lw, int level)
{
    struct version_table **tables = lw->level.tables;
    uint32_t added = lw->level.count - lw->kept;
    struct version_table **fresh = mem_dup(tables + lw->kept, added * sizeof(*fresh));
    qsort(fresh, added, sizeof(*fresh), level > 0 ? by_key : by_age);
    merge_fresh(level, tables, lw->kept, fresh, added);
    int err = check_fresh(level, tables, lw->level.count, fresh, added);
    free(fresh);
    return err;
}

static int apply_levels(struct work *w)
{
    for (int l = 0; l < LEVEL_COUNT; l++) {
        struct level_work *lw = &w->levels[l];
        if (!lw->touched) {
            version_level_share(&w->v->levels[l], &w->base->levels[l]);
            continue;
        }
        int err = order_level(lw, l);
        if (err < 0)
            return err;
        version_level_own(&w->v->levels[l], lw->level);
        *lw = (struct level_work){0};
    }
    return 0;
}

int version_apply_tables(const struct version *base, const struct edit *edit, struct version *v)
{
    struct work w = {.base = base, .edit = edit, .v = v};
    int err = apply_removed(&w);
    if (err == 0)
        err = apply_added(&w);
    if (err == 0)
        err = apply_levels(&w);
    for (int l = 0; l < LEVEL_COUNT; l++) {
        for (uint32_t i = 0; i < w.levels[l].level.count; i++)
            version_table_unref(w.levels[l].level.tables[i]);
        free(w.levels[l].level.tables);
    }
    free(w.removed);
    return err;
}
