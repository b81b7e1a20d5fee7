/* scan_prefix: scans within one prefix leave out the tables whose filters know of no key with it.
 *
 * Guarantee: a source that is left out has no key within the bounds: all keys there have the prefix
 * (store_prefix's promise), a table's filter has the prefixes of all its keys, and it has no false
 * "no". Its tombstones are asked as ever. */
#include <assert.h>

#include "store/filter.h"
#include "store/scan_priv.h"

/* Is `end` the least key above all that begin with `prefix`, or one of these? */
static bool ends_prefix(struct slice prefix, struct slice end)
{
    if (slice_has_prefix(end, prefix))
        return true;
    size_t len = prefix.len;
    while (len > 0 && prefix.data[len - 1] == 0xff)
        len--;
    return len > 0 && end.len == len && end.data[len - 1] == prefix.data[len - 1] + 1 &&
           memcmp(end.data, prefix.data, len - 1) == 0;
}

void scan_find_prefix(struct scan *s)
{
    const struct store_prefix *rule = s->ctx->prefix;
    struct slice lower = buf_slice(&s->lower), upper = buf_slice(&s->upper);
    s->has_prefix = false;
    if (!rule || lower.len == 0 || upper.len == 0)
        return;
    size_t len = rule->len(lower);
    assert(len <= lower.len);
    if (len == 0 || !ends_prefix(slice_of(lower.data, len), upper))
        return;
    s->has_prefix = true;
    s->prefix_hash = filter_hash_prefix(slice_of(lower.data, len), rule->id);
}

/* The only table of a level that reaches into the bounds; NULL: there are more, or none. */
static struct version_table *only_table(const struct scan *s, const struct version_level *level)
{
    struct slice upper = buf_slice(&s->upper);
    uint32_t i = version_find(level, buf_slice(&s->lower));
    if (i == level->count)
        return NULL;
    bool more = i + 1 < level->count &&
                slice_cmp(buf_slice(&level->tables[i + 1]->meta->smallest), upper) < 0;
    return more ? NULL : level->tables[i];
}

int scan_source_denies(struct scan *s, const struct source *src, bool *denies)
{
    struct table *table = src->table;
    int err = 0;
    *denies = false;
    if (!s->has_prefix || src->kind == SOURCE_MEMTABLE)
        return 0;
    if (src->kind == SOURCE_LEVEL) {
        struct version_table *only = only_table(s, src->level);
        if (!only || only->meta->prefix_rule != s->ctx->prefix->id)
            return 0;
        err = version_table_open(only, &table);
    }
    if (err == 0)
        err = table_denies_prefix(table, s->ctx->prefix->id, s->prefix_hash, denies);
    counter_add(counters_mine(s->ctx->counters), COUNT_FILTER_PREFIX_NEGATIVE, *denies);
    return err;
}
