/* view_multi: many point reads at once.
 *
 * The memtables are asked key by key: they are in memory, and what they have is mostly found at
 * once. Only the keys that they do not settle are sorted. Then the sources are asked one after the
 * other, newest first, each once for all keys that may be in it; so a table's filter, index and
 * blocks are looked at in order, and keys of one block share it.
 *
 * Invariants:
 *   1. `asks` holds the reads that go on, without error, in key order.
 *   2. Every ask has asked the same sources as the others, but for those that cannot have its key.
 */
#include <assert.h>
#include <stdlib.h>

#include "store/view_priv.h"

struct multi {
    struct lookup *lookups; /* in the order of the caller */
    int *results;
    struct table_ask *asks;
    size_t ask_count;
};

static int compare_keys(const void *a, const void *b)
{
    return slice_cmp(((const struct table_ask *)a)->l->key, ((const struct table_ask *)b)->l->key);
}

/* Leaves out the asks that are done or failed. */
static void drop_done(struct multi *m)
{
    size_t kept = 0;
    for (size_t i = 0; i < m->ask_count; i++) {
        struct table_ask *ask = &m->asks[i];
        m->results[ask->l - m->lookups] = ask->err;
        if (ask->err == 0 && view_goes_on(ask->l))
            m->asks[kept++] = *ask;
    }
    m->ask_count = kept;
}

/* The first ask from number `i` on whose key is at or after `key`. */
static size_t ask_at(const struct multi *m, size_t i, struct slice key)
{
    size_t lo = i, hi = m->ask_count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (slice_cmp(m->asks[mid].l->key, key) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* Asks the table for all keys of its span. Returns the first ask behind them. */
static size_t ask_table(struct multi *m, struct version_table *vt, int level, size_t from)
{
    size_t first = ask_at(m, from, buf_slice(&vt->meta->smallest));
    size_t end = ask_at(m, first, buf_slice(&vt->meta->limit));
    struct table *table;
    if (first == end)
        return end;
    for (size_t i = first; i < end; i++)
        m->asks[i].l->source = (uint8_t)(LOOKUP_LEVEL + level);
    int err = version_table_open(vt, &table);
    if (err == 0)
        table_multi_get(table, m->asks + first, end - first);
    for (size_t i = first; i < end && err != 0; i++)
        m->asks[i].err = err;
    return end;
}

static void ask_version(struct multi *m, const struct version *v)
{
    for (uint32_t i = 0; i < v->levels[0].count && m->ask_count > 0; i++) {
        for (size_t k = 0; k < m->ask_count; k++)
            m->asks[k].l->level0_asked++;
        ask_table(m, v->levels[0].tables[i], 0, 0);
        drop_done(m);
    }
    for (int level = 1; level < LEVEL_COUNT && m->ask_count > 0; level++) {
        const struct version_level *lv = &v->levels[level];
        for (size_t at = 0; at < m->ask_count && lv->count > 0;) {
            uint32_t i = version_find(lv, m->asks[at].l->key);
            if (i == lv->count)
                break;
            at = ask_table(m, lv->tables[i], level, at);
        }
        drop_done(m);
    }
}

/* Begins the reads; those that the memtables do not settle become asks, in key order. */
static void begin(struct multi *m, struct view *v, const struct slice *keys, size_t count,
                  uint64_t read_seq)
{
    for (size_t i = 0; i < count; i++) {
        struct lookup *l = &m->lookups[i];
        lookup_init(l, keys[i], read_seq);
        m->results[i] = view_ask_memtables(v, l);
        if (m->results[i] == 0 && view_goes_on(l))
            m->asks[m->ask_count++] = (struct table_ask){.l = l};
    }
    qsort(m->asks, m->ask_count, sizeof *m->asks, compare_keys);
}

void view_multi_get(struct view *v, struct view_context *ctx, const struct slice *keys,
                    size_t count, uint64_t read_seq, struct store_value *values, int *results)
{
    struct multi m = {.results = results};
    assert(read_seq > 0);
    m.lookups = mem_alloc(count * sizeof *m.lookups);
    m.asks = mem_alloc(count * sizeof *m.asks);
    begin(&m, v, keys, count, read_seq);
    ask_version(&m, v->version);
    for (size_t i = 0; i < count; i++) {
        view_reset_value(&values[i]);
        results[i] = view_finish(v, ctx, &m.lookups[i], results[i], &values[i]);
    }
    free(m.lookups);
    free(m.asks);
}
