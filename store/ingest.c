/* ingest: see ingest.h.
 *
 * Why a table may lie below others that it is newer than: nothing of these is in its span. A level
 * is fit for it if no table there, or above, reaches into its span, and no running compaction is
 * about to put one there; level 0, as the newest, always is.
 *
 * Invariants:
 *   1. Until the edit is installed nothing refers to what was written; it is removed on failure, or
 *      at the next open.
 *   2. While the edit is installed no memtable holds a key, or a tombstone, in the span of what is
 *      ingested, and none can be written: the caller is the commit leader.
 *   3. The number that the entries get is in the log, as an operation that does nothing, and the
 *      log is on disk up to there, before the edit is: whatever a crash leaves, history has no gap
 *      and no part of it that is older than what was ingested is lost. */
#include "store/ingest.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "store/env.h"
#include "store/job.h"
#include "store/work.h"

enum { SPACE_CHECK_BYTES = 1 << 20 };

struct ingest {
    struct commit *commit;
    struct tree *tree;
    struct settings *set; /* a reference: all of it goes by these */
    struct build *build;
    struct buf last_key;
    uint64_t file_seq; /* that the entries have in the file: not above the one they get */
    uint64_t bytes, unchecked_bytes;
    int error; /* of what was written before: nothing more can be */
    bool installed;
    int (*flush)(struct tree *t);
    struct pin *pin;  /* to be made with it, or NULL */
    struct edit made; /* tables and blob files, on no level yet */
    struct buf start, limit;
};

/* ---- writing ---- */

static uint64_t next_file(void *ctx)
{
    struct ingest *g = ctx;
    return tree_new_file(g->tree);
}

static struct rangedel *no_rangedels(void *ctx, struct slice upto)
{
    (void)ctx;
    (void)upto;
    struct rangedel_builder *b = rangedel_builder_new();
    struct rangedel *none = rangedel_build(b);
    rangedel_builder_free(b);
    return none;
}

struct ingest *ingest_new(struct commit *c)
{
    struct ingest *g = mem_zalloc(sizeof *g);
    struct build_options opt;
    g->commit = c;
    g->tree = c->tree;
    g->set = settings_get(&c->tree->settings);
    g->file_seq = tree_published(c->tree);
    job_build_options(c->tree, g->set, &opt);
    opt.table.placed_later = true;
    opt.ctx = g;
    opt.next_file = next_file;
    opt.rangedels = no_rangedels;
    g->build = build_new(&opt);
    edit_init(&g->made);
    return g;
}

void ingest_free(struct ingest *g)
{
    if (!g)
        return;
    if (!g->installed)
        build_abandon(g->build);
    build_free(g->build);
    settings_unref(g->set);
    edit_release(&g->made);
    buf_release(&g->last_key);
    buf_release(&g->start);
    buf_release(&g->limit);
    free(g);
}

static int check_space(struct ingest *g, size_t bytes)
{
    struct tree *t = g->tree;
    struct env_space space;
    g->unchecked_bytes += bytes;
    if (g->unchecked_bytes < SPACE_CHECK_BYTES)
        return 0;
    g->unchecked_bytes = 0;
    if (tree_space(t, &space) < 0)
        return 0; /* the write itself will tell */
    return work_space_usable(t, &space) > bytes ? 0 : -ENOSPC;
}

static int add(struct ingest *g, enum entry_type type, struct slice key, struct slice value)
{
    if (key.len == 0 || key.len > STORE_KEY_MAX || value.len > STORE_VALUE_MAX)
        return -EINVAL;
    if (g->last_key.len && slice_cmp(key, buf_slice(&g->last_key)) <= 0)
        return -EINVAL;
    if (g->error == 0)
        g->error = check_space(g, key.len + value.len);
    if (g->error == 0) {
        struct entry e = {.key = key, .seq = g->file_seq, .type = type, .value = value};
        g->error = build_add(g->build, &e);
    }
    if (g->error < 0)
        return g->error;
    buf_set(&g->last_key, key);
    g->bytes += key.len + value.len;
    return 0;
}

int ingest_put(struct ingest *g, struct slice key, struct slice value)
{
    return add(g, ENTRY_PUT, key, value);
}

int ingest_delete(struct ingest *g, struct slice key)
{
    return add(g, ENTRY_DELETE, key, (struct slice){0});
}

/* ---- what is in the way ---- */

static bool gen_overlaps(const struct ingest *g, struct memtable *mem)
{
    struct slice start = buf_slice(&g->start), limit = buf_slice(&g->limit);
    struct rangedel_cover cover;
    struct iter *it = memtable_iter_new(mem);
    bool overlaps = iter_seek(it, start, SEQ_MAX) == 0 && slice_cmp(it->e.key, limit) < 0;
    iter_free(it);
    struct slice at = start;
    while (!overlaps && memtable_rangedel_count(mem) > 0 && at.len && slice_cmp(at, limit) < 0) {
        memtable_cover(mem, at, SEQ_MAX, &cover);
        overlaps = cover.seq > 0;
        at = cover.hi;
    }
    return overlaps;
}

static bool memtables_overlap(const struct ingest *g)
{
    struct view *v = viewbox_get(g->tree->box);
    bool overlaps = false;
    for (uint32_t i = 0; i < v->gen_count && !overlaps; i++)
        overlaps = gen_overlaps(g, v->gens[i]->mem);
    view_unref(v);
    return overlaps;
}

/* [commit leader] */
static int clear_memtables(struct ingest *g)
{
    if (!memtables_overlap(g))
        return 0;
    int err = commit_leader_seal(g->commit);
    return err < 0 ? err : g->flush(g->tree);
}

/* ---- where it goes ---- */

/* The tables that running compactions read span [start, limit); false: none runs. */
static bool busy_span(const struct version *v, struct slice *start, struct slice *limit)
{
    bool any = false;
    for (int level = 0; level < LEVEL_COUNT; level++)
        for (uint32_t i = 0; i < v->levels[level].count; i++) {
            const struct version_table *t = v->levels[level].tables[i];
            struct slice smallest = buf_slice(&t->meta->smallest), end = buf_slice(&t->meta->limit);
            if (!t->busy)
                continue;
            if (!any || slice_cmp(smallest, *start) < 0)
                *start = smallest;
            if (!any || slice_cmp(end, *limit) > 0)
                *limit = end;
            any = true;
        }
    return any;
}

static int deepest_level(const struct version *v, struct slice start, struct slice limit)
{
    int level = 0;
    while (level < LEVEL_COUNT && !version_overlaps(v, level, start, limit))
        level++;
    return level > 0 ? level - 1 : 0;
}

struct busy {
    bool any;
    struct slice start, limit;
};

static int choose_level(const struct version *v, const struct busy *busy,
                        const struct table_meta *m)
{
    struct slice start = buf_slice(&m->smallest), limit = buf_slice(&m->limit);
    if (busy->any && slice_cmp(start, busy->limit) < 0 && slice_cmp(busy->start, limit) < 0)
        return 0;
    return deepest_level(v, start, limit);
}

/* The edit, once the number is known. The metas are ours alone until it is installed. */
static void place(const struct ingest *g, const struct version *v, const struct busy *busy,
                  uint64_t seq, struct edit *edit)
{
    for (uint32_t i = 0; i < g->made.blobs_added_count; i++) {
        const struct edit_blob *b = &g->made.blobs_added[i];
        edit_add_blob(edit, b->number, b->count, b->bytes, b->file_bytes);
    }
    for (uint32_t i = 0; i < g->made.tables_added_count; i++) {
        struct table_meta *m = g->made.tables_added[i].meta;
        assert(m->rangedel_count == 0 && m->max_seq <= seq);
        m->ingest_seq = m->min_seq = m->max_seq = seq;
        edit_add_table(edit, choose_level(v, busy, m), m);
    }
}

/* From now on no compaction begins: what runs is known by its busy tables. */
static void stop_picking(struct tree *t, struct version **v, struct busy *busy)
{
    pthread_mutex_lock(&t->lock);
    while (t->placing)
        pthread_cond_wait(&t->changed, &t->lock);
    t->placing = true;
    *v = version_ref(viewbox_peek(t->box)->version);
    busy->any = busy_span(*v, &busy->start, &busy->limit);
    pthread_mutex_unlock(&t->lock);
}

static void go_on_picking(struct tree *t)
{
    pthread_mutex_lock(&t->lock);
    t->placing = false;
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
}

/* [commit leader] */
static int install(struct ingest *g, uint64_t seq)
{
    struct tree *t = g->tree;
    struct version *v;
    struct busy busy = {0};
    struct edit edit;
    edit_init(&edit);
    stop_picking(t, &v, &busy);
    place(g, v, &busy, seq, &edit);
    if (g->pin) {
        g->pin->seq = seq + 1; /* nobody can write in between */
        edit_add_pin(&edit, g->pin);
    }
    int err = tree_install(t, &edit, NULL, 0);
    go_on_picking(t);
    version_unref(v);
    edit_release(&edit);
    return err;
}

static int lead(struct commit *c, void *ctx)
{
    struct ingest *g = ctx;
    uint64_t seq;
    int err = tree_failure(g->tree) ? -EROFS : clear_memtables(g);
    if (err == 0)
        err = commit_leader_skip(c, &seq);
    if (err < 0)
        return err;
    err = install(g, seq);
    /* After a failed manifest the edit may be on disk after all: the files have to stay. */
    g->installed = err == 0 || err == -EROFS;
    commit_leader_publish(c);
    return err;
}

/* ---- the end ---- */

static void note_span(struct ingest *g)
{
    const struct edit *e = &g->made;
    assert(e->tables_added_count > 0);
    buf_set(&g->start, buf_slice(&e->tables_added[0].meta->smallest));
    buf_set(&g->limit, buf_slice(&e->tables_added[e->tables_added_count - 1].meta->limit));
}

static void count(struct ingest *g)
{
    struct tree *t = g->tree;
    uint64_t tables, blobs;
    build_written(g->build, &tables, &blobs);
    tree_count(&t->counters.written_user, g->bytes);
    tree_count(&t->counters.written_flush, tables);
    tree_count(&t->counters.written_blob, blobs);
}

int ingest_finish(struct ingest *g, int (*flush)(struct tree *t), struct pin *pin)
{
    g->flush = flush;
    g->pin = pin;
    if (g->error == 0)
        g->error = build_finish(g->build, &g->made, 0);
    if (g->error < 0 || g->made.tables_added_count == 0)
        return g->error;
    note_span(g);
    /* What is in the way is flushed twice: first while writers go on, so that there is little left
     * for which they have to wait. */
    if (memtables_overlap(g)) {
        g->error = commit_seal(g->commit);
        if (g->error == 0)
            g->error = flush(g->tree);
    }
    if (g->error == 0)
        g->error = commit_alone(g->commit, lead, g);
    if (g->error == 0)
        count(g);
    return g->error;
}
