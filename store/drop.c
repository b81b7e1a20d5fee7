/* drop: see drop.h.
 *
 * Invariants:
 *   1. A table goes only if the tombstone hides it from everyone: it is older than the tombstone,
 *      lies within its range, and every pin either sees the tombstone or nothing of the table.
 *      What the table's own tombstones hide further down, the tombstone hides, too.
 *   2. The tombstone is on disk before the edit: whatever a crash leaves, the keys are gone in both
 *      ways or in none.
 *   3. The tables are busy from when they are chosen until they are gone: no job has them. */
#include "store/drop.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

struct drop {
    struct tree *tree;
    struct slice start, limit;
    uint64_t from_seq, upto_seq;
    struct tree_readers readers;
    struct version *version; /* a reference */
    struct version_table **tables;
    uint32_t count;
    struct edit edit;
};

static bool pin_sees(const struct drop *d, const struct table_meta *m)
{
    for (size_t i = 0; i < d->readers.pin_count; i++)
        if (d->readers.pins[i] > m->min_seq && d->readers.pins[i] <= d->upto_seq)
            return true;
    return false;
}

static bool may_go(const struct drop *d, const struct version_table *t)
{
    const struct table_meta *m = t->meta;
    return !t->busy && slice_cmp(buf_slice(&m->smallest), d->start) >= 0 &&
           slice_cmp(buf_slice(&m->limit), d->limit) <= 0 && m->max_seq < d->from_seq &&
           !pin_sees(d, m);
}

/* What goes with it belongs to nobody. */
static void take(struct drop *d, int level, struct version_table *t, struct store_dropped *out)
{
    const struct table_meta *m = t->meta;
    t->busy = true;
    d->tables[d->count++] = t;
    edit_remove_table(&d->edit, level, t->number);
    for (uint32_t i = 0; i < m->share_count; i++) {
        edit_add_garbage(&d->edit, m->shares[i].file, m->shares[i].count, m->shares[i].bytes);
        out->value_bytes += m->shares[i].bytes;
    }
    out->tables++;
    out->table_bytes += table_meta_bytes(m);
}

/* [lock held] */
static void choose(struct drop *d, struct store_dropped *out)
{
    uint32_t most = 0;
    d->version = version_ref(viewbox_peek(d->tree->box)->version);
    for (int l = 0; l < LEVEL_COUNT; l++)
        most += d->version->levels[l].count;
    d->tables = mem_alloc(most * sizeof(struct version_table *));
    for (int l = 0; l < LEVEL_COUNT; l++) {
        const struct version_level *level = &d->version->levels[l];
        for (uint32_t i = l > 0 ? version_find(level, d->start) : 0; i < level->count; i++) {
            if (may_go(d, level->tables[i]))
                take(d, l, level->tables[i], out);
            else if (l > 0 &&
                     slice_cmp(buf_slice(&level->tables[i]->meta->smallest), d->limit) >= 0)
                break;
        }
    }
}

/* An ingestion that chooses levels is waited for. [takes lock] */
static int begin(struct drop *d, struct store_dropped *out)
{
    struct tree *t = d->tree;
    pthread_mutex_lock(&t->lock);
    while (t->placing && !t->failure)
        pthread_cond_wait(&t->changed, &t->lock);
    int err = t->failure ? -EROFS : 0;
    if (err == 0)
        choose(d, out);
    pthread_mutex_unlock(&t->lock);
    return err;
}

static int install(struct drop *d)
{
    struct tree *t = d->tree;
    d->edit.has_history = true;
    d->edit.history_seq = d->upto_seq;
    d->edit.began_ns = t->env->monotonic_ns(t->env);
    return tree_install(t, &d->edit, NULL, 0);
}

/* [takes lock] */
static void end(struct drop *d)
{
    pthread_mutex_lock(&d->tree->lock);
    for (uint32_t i = 0; i < d->count; i++)
        d->tables[i]->busy = false;
    pthread_cond_broadcast(&d->tree->changed);
    pthread_mutex_unlock(&d->tree->lock);
}

int drop_tables(struct tree *t, struct slice start, struct slice limit, uint64_t from_seq,
                uint64_t upto_seq, struct store_dropped *out)
{
    struct drop d = {
        .tree = t, .start = start, .limit = limit, .from_seq = from_seq, .upto_seq = upto_seq};
    assert(slice_cmp(start, limit) < 0 && from_seq < upto_seq);
    *out = (struct store_dropped){0};
    edit_init(&d.edit);
    /* A pin that is made later sees the tombstone. */
    tree_readers_get(t, &d.readers);
    int err = begin(&d, out);
    if (err == 0 && d.count > 0)
        err = install(&d);
    end(&d);
    if (err < 0)
        *out = (struct store_dropped){0};
    free(d.tables);
    version_unref(d.version);
    edit_release(&d.edit);
    tree_readers_release(&d.readers);
    purge_run(&t->purge);
    return err;
}
