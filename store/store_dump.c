/* store_dump: the event log, and one key's history in an open store: every version that any source
 * still has, newest source first, with the range tombstones over it. */
#include <assert.h>
#include <stdio.h>

#include "store/dump.h"
#include "store/store_priv.h"

struct history {
    struct dump dump;
    struct slice key;
};

static bool wants(const struct history *h)
{
    return h->dump.stop == 0 && (!h->dump.opt->limit || h->dump.shown < h->dump.opt->limit);
}

/* All versions of the key that the cursor has. Frees it. */
static int show_versions(struct history *h, const char *where, struct iter *it)
{
    int err = iter_seek(it, h->key, SEQ_MAX);
    while (err == 0 && slice_eq(it->e.key, h->key) && wants(h)) {
        dump_entry(&h->dump, where, &it->e);
        err = iter_next(it);
    }
    iter_free(it);
    return err < 0 ? err : 0;
}

/* The tombstones over the key, by the question that readers ask: what hides it below R? */
typedef void cover_fn(void *source, struct slice key, uint64_t read_seq,
                      struct rangedel_cover *out);

static void cover_of_memtable(void *source, struct slice key, uint64_t read_seq,
                              struct rangedel_cover *out)
{
    memtable_cover(source, key, read_seq, out);
}

static void cover_of_table(void *source, struct slice key, uint64_t read_seq,
                           struct rangedel_cover *out)
{
    rangedel_cover(source, key, read_seq, out);
}

static void show_covers(struct history *h, const char *where, cover_fn *cover, void *source)
{
    struct rangedel_cover c = {.seq = SEQ_MAX};
    while (wants(h)) {
        cover(source, h->key, c.seq, &c);
        if (c.seq == 0)
            return;
        h->dump.shown++;
        dump_begin(&h->dump, "tombstone");
        dump_key(&h->dump, "key", h->key);
        dump_number(&h->dump, "seq", c.seq);
        dump_text(&h->dump, "where", where);
        dump_end(&h->dump);
    }
}

static int show_memtable(struct history *h, uint32_t i, const struct memgen *g)
{
    char where[64];
    snprintf(where, sizeof where, "%s memtable, log %06llu", i ? "sealed" : "active",
             (unsigned long long)g->log_number);
    show_covers(h, where, cover_of_memtable, g->mem);
    return show_versions(h, where, memtable_iter_new(g->mem));
}

static int show_table(struct history *h, int level, struct version_table *vt)
{
    char where[64];
    struct table *table;
    if (slice_cmp(h->key, buf_slice(&vt->meta->smallest)) < 0 ||
        slice_cmp(h->key, buf_slice(&vt->meta->limit)) >= 0)
        return 0;
    snprintf(where, sizeof where, "level %d, table %06llu", level, (unsigned long long)vt->number);
    int err = version_table_open(vt, &table);
    if (err == 0) {
        show_covers(h, where, cover_of_table, table_rangedel(table));
        err = show_versions(h, where, table_iter_new(table, 0));
    }
    /* The other sources may have it: go on. */
    if (err < 0)
        dump_damage(&h->dump, UINT64_MAX, where);
    return 0;
}

static int show_levels(struct history *h, const struct version *v)
{
    int err = 0;
    for (int level = 0; level < LEVEL_COUNT && err == 0; level++) {
        const struct version_level *l = &v->levels[level];
        uint32_t i = level > 0 && l->count ? version_find(l, h->key) : 0;
        uint32_t end = level > 0 && i < l->count ? i + 1 : l->count;
        for (; i < end && err == 0; i++)
            err = show_table(h, level, l->tables[i]);
    }
    return err;
}

int store_dump_key(struct store *s, struct slice key, const struct store_dump_options *opt,
                   store_item_fn *fn, void *ctx)
{
    struct store_dump_options all = *opt;
    struct history h = {.key = key};
    all.entries = true;
    all.from = all.to = (struct slice){0};
    h.dump =
        (struct dump){.env = s->tree.env, .dir = s->tree.dir, .opt = &all, .fn = fn, .ctx = ctx};
    struct view *v = viewbox_get(s->tree.box);
    int err = 0;
    for (uint32_t i = 0; i < v->gen_count && err == 0; i++)
        err = show_memtable(&h, i, v->gens[i]);
    if (err == 0)
        err = show_levels(&h, v->version);
    view_unref(v);
    return h.dump.stop ? h.dump.stop : err;
}

int store_events(const char *dir, const struct store_options *o, store_line_fn *fn, void *ctx)
{
    return events_read(o->env ? o->env : env_posix(), dir, fn, ctx);
}
