/* events_picture: tables as bars over the space of keys.
 *
 *     keys k00000012 to k00093311
 *     - 0  [====================================]
 *     - 0            [=======================]
 *     - 1     [=====][=====][====]
 *     + 1  [=====][=====][======][=====]
 *
 * A table of level 0 has a row of its own (up to ROWS_MAX), those of a deeper level share one. A
 * table that is too narrow for "[]" is '|', or '#' where several meet. */
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "store/events.h"

enum { ROWS_MAX = 8, KEY_SHOWN = 24 };

/* ---- the scale ---- */

/* Each of `tables` has a part of the width; or one span [low, high) has all of it. */
struct scale {
    const struct version_level *level; /* NULL: the span */
    struct slice low, high;
};

/* The eight bytes of `key` behind the first `skip`, as a number. */
static uint64_t number_at(struct slice key, size_t skip)
{
    uint64_t v = 0;
    for (size_t i = skip; i < skip + 8; i++)
        v = v << 8 | (i < key.len ? key.data[i] : 0);
    return v;
}

/* Where `key` is within [low, high), from 0 to 1. */
static double within(struct slice key, struct slice low, struct slice high)
{
    size_t skip = slice_shared(low, high);
    if (slice_cmp(key, low) <= 0)
        return 0;
    if (slice_cmp(key, high) >= 0)
        return 1;
    double from = (double)number_at(low, skip), to = (double)number_at(high, skip);
    return to > from ? ((double)number_at(key, skip) - from) / (to - from) : 0;
}

static double place(const struct scale *s, struct slice key)
{
    if (!s->level)
        return within(key, s->low, s->high);
    uint32_t i = version_find(s->level, key);
    if (i == s->level->count)
        return 1;
    const struct table_meta *m = s->level->tables[i]->meta;
    return (i + within(key, buf_slice(&m->smallest), buf_slice(&m->limit))) / s->level->count;
}

/* ---- bars ---- */

struct bars {
    char row[PICTURE_WIDTH + 1];
    uint32_t tables;
};

static void clear(struct bars *b)
{
    memset(b->row, ' ', PICTURE_WIDTH);
    b->row[PICTURE_WIDTH] = 0;
    b->tables = 0;
}

static void mark(struct bars *b, uint32_t at, char c)
{
    assert(at < PICTURE_WIDTH);
    b->row[at] = b->row[at] == ' ' ? c : '#';
}

static void draw(struct bars *b, const struct scale *s, const struct table_meta *m)
{
    double from = place(s, buf_slice(&m->smallest)), to = place(s, buf_slice(&m->limit));
    uint32_t first = (uint32_t)(from * PICTURE_WIDTH), end = (uint32_t)(to * PICTURE_WIDTH);
    if (first >= PICTURE_WIDTH)
        first = PICTURE_WIDTH - 1;
    if (end > PICTURE_WIDTH)
        end = PICTURE_WIDTH;
    b->tables++;
    if (end < first + 2) {
        mark(b, first, '|');
        return;
    }
    mark(b, first, '[');
    for (uint32_t i = first + 1; i < end - 1; i++)
        mark(b, i, '=');
    mark(b, end - 1, ']');
}

static void show(struct buf *out, const struct bars *b, char sign, int level)
{
    size_t len = PICTURE_WIDTH;
    while (len > 0 && b->row[len - 1] == ' ')
        len--;
    if (b->tables > 0)
        events_print(out, "    %c %d  %.*s\n", sign, level, (int)len, b->row);
}

/* ---- which tables ---- */

struct list {
    const struct table_meta **metas;
    uint32_t count;
};

static bool takes(const struct edit *e, int level, uint64_t number)
{
    for (uint32_t i = 0; i < e->tables_removed_count; i++)
        if (e->tables_removed[i].level == level && e->tables_removed[i].number == number)
            return true;
    return false;
}

/* Those that the edit takes from the level; or those that it brings. Freed by the caller. */
static struct list removed(const struct version *base, const struct edit *e, int level)
{
    const struct version_level *l = &base->levels[level];
    struct list list = {.metas = mem_alloc((l->count + 1) * sizeof(struct table_meta *))};
    for (uint32_t i = 0; i < l->count && e->tables_removed_count > 0; i++)
        if (takes(e, level, l->tables[i]->number))
            list.metas[list.count++] = l->tables[i]->meta;
    return list;
}

static struct list brought(const struct edit *e, int level)
{
    struct list list = {.metas =
                            mem_alloc((e->tables_added_count + 1) * sizeof(struct table_meta *))};
    for (uint32_t i = 0; i < e->tables_added_count; i++)
        if (e->tables_added[i].level == level)
            list.metas[list.count++] = e->tables_added[i].meta;
    return list;
}

static void widen(struct scale *s, const struct list *list)
{
    for (uint32_t i = 0; i < list->count; i++) {
        struct slice low = buf_slice(&list->metas[i]->smallest);
        struct slice high = buf_slice(&list->metas[i]->limit);
        if (!s->low.data || slice_cmp(low, s->low) < 0)
            s->low = low;
        if (!s->high.data || slice_cmp(high, s->high) > 0)
            s->high = high;
    }
}

static void rows(struct buf *out, const struct scale *s, const struct list *list, char sign,
                 int level)
{
    struct bars b;
    clear(&b);
    for (uint32_t i = 0; i < list->count && (level > 0 || i < ROWS_MAX); i++) {
        draw(&b, s, list->metas[i]);
        if (level > 0)
            continue;
        show(out, &b, sign, level);
        clear(&b);
    }
    show(out, &b, sign, level);
    if (level == 0 && list->count > ROWS_MAX)
        events_print(out, "    %c %d  and %" PRIu32 " more\n", sign, level, list->count - ROWS_MAX);
}

static void tell_key(struct buf *out, struct slice key)
{
    events_print(out, "raw:");
    for (size_t i = 0; i < key.len && i < KEY_SHOWN; i++)
        events_print(out, "%02x", key.data[i]);
}

void events_picture(struct buf *out, const struct version *base, const struct edit *e, bool keys)
{
    struct list lists[2][LEVEL_COUNT];
    struct scale s = {0};
    for (int level = 0; level < LEVEL_COUNT; level++) {
        lists[0][level] = removed(base, e, level);
        lists[1][level] = brought(e, level);
        widen(&s, &lists[0][level]);
        widen(&s, &lists[1][level]);
        if (level > 0 && base->levels[level].count > 0)
            s.level = &base->levels[level];
    }
    if (s.low.data && keys) {
        events_print(out, "    keys ");
        tell_key(out, s.low);
        events_print(out, " to ");
        tell_key(out, s.high);
        events_print(out, "\n");
    }
    for (int side = 0; side < 2; side++)
        for (int level = 0; level < LEVEL_COUNT; level++)
            rows(out, &s, &lists[side][level], side ? '+' : '-', level);
    for (int level = 0; level < LEVEL_COUNT; level++) {
        free(lists[0][level].metas);
        free(lists[1][level].metas);
    }
}
