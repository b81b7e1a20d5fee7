/* recover: see recover.h for the order of things.
 *
 * Crash windows: recovery writes a new manifest before it removes anything, and removes only what
 * neither that manifest nor a replayed log needs; an end at any point leaves a store that recovers
 * to the same history, whichever of the removals are undone by it. */
#include "store/recover.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "store/replay.h"
#include "store/work.h"

/* Between two looks of those who wait for each other while logs are read. */
#define SPILL_WAIT_NS UINT64_C(100000000)

#define NUMBER_MAX (UINT64_MAX / 2)

struct found {
    enum file_kind kind;
    uint64_t number;
};

/* While it replays: writes what is too much for memory to tables. */
struct spill {
    bool on;    /* the manifest is started, and the view is published */
    bool ended; /* [tree's lock] no more logs are read */
    int error;  /* of beginning, or of a flush by this thread: what is left stays in memory */
    struct env_thread *thread;
};

struct recovery {
    struct tree *tree;
    struct version *version;
    uint64_t manifest_number;
    enum journal_end manifest_end;
    struct found *files; /* everything in the folder that has a number */
    size_t file_count, file_cap;
    struct memgen **gens; /* oldest first */
    uint32_t gen_count;
    bool cut; /* history has ended, whatever comes */
    struct replay_target to;
    struct spill spill;
    uint64_t number_max;
};

static int note_file(void *ctx, const char *name)
{
    struct recovery *r = ctx;
    struct found f;
    if (name_parse(name, &f.kind, &f.number) != 0 || !kind_is_numbered(f.kind))
        return 0;
    if (f.number > NUMBER_MAX)
        return 0; /* none of ours: no store lives that long */
    if (r->file_count == r->file_cap) {
        r->file_cap = r->file_cap ? r->file_cap * 2 : 64;
        r->files = mem_realloc(r->files, r->file_cap * sizeof *r->files);
    }
    r->files[r->file_count++] = f;
    if (f.number > r->number_max)
        r->number_max = f.number;
    return 0;
}

static int by_number(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    return (x->number > y->number) - (x->number < y->number);
}

/* The first log begins where the flushed tables end; this one does not. */
static int refuse_first(const struct recovery *r, uint64_t number, uint64_t first_seq)
{
    char *path = name_file(r->tree->dir, FILE_LOG, number);
    int err = corrupt(path, UINT64_MAX,
                      "it begins at operation %" PRIu64 ", but what is known ends at %" PRIu64
                      ": a log or a part of the manifest is missing",
                      first_seq, r->to.seq);
    free(path);
    return err;
}

/* Raises what the mode of recovery does not let pass. */
static int refuse_log(const struct recovery *r, uint64_t number, const char *why)
{
    char *path = name_file(r->tree->dir, FILE_LOG, number);
    int err = corrupt(path, UINT64_MAX, "%s", why);
    free(path);
    return err;
}

/* Is the end of this log accepted? 0 or -EIO. */
static int judge(struct recovery *r, uint64_t number, enum replay_end end, bool first)
{
    enum store_recovery mode = r->tree->settings.live.recovery;
    if (end == REPLAY_DAMAGED && mode != STORE_RECOVER_POINT)
        return refuse_log(
            r, number,
            "a record in it had been synced and does not verify any more: this is "
            "damage, not a power cut. Restore the log, or open with recovery=point to "
            "drop all operations from there on");
    if (mode == STORE_RECOVER_STRICT && end == REPLAY_TORN)
        return refuse_log(r, number,
                          "it ends in bytes that do not verify, as after a power cut, and "
                          "recovery=strict does not accept that; open without it");
    if (mode == STORE_RECOVER_STRICT && end == REPLAY_STALE && !first)
        return refuse_log(r, number,
                          "operations before it are missing, as after a power cut, and "
                          "recovery=strict does not accept that; open without it");
    if (end == REPLAY_DAMAGED)
        r->cut = true;
    return 0;
}

/* With STORE_RECOVER_POINT damage is the end of history. */
static bool cut_here(struct recovery *r, uint64_t number, int err)
{
    if (err != -EIO || !corrupt_last()[0] || r->tree->settings.live.recovery != STORE_RECOVER_POINT)
        return false;
    log_message(LOG_WARNING,
                "log %" PRIu64 " is damaged: history ends at operation %" PRIu64
                ", as recovery=point asks for",
                number, r->to.seq);
    r->cut = true;
    return true;
}

/* Nothing was taken from a log. (One that holds only numbers that did nothing stays: they count.)
 */
static void drop_empty_gen(struct recovery *r)
{
    const struct memgen *last = r->gen_count ? r->gens[r->gen_count - 1] : NULL;
    if (last && memtable_empty(last->mem) && last->first_seq == r->to.seq)
        memgen_unref(r->gens[--r->gen_count]);
}

static int replay_one(struct recovery *r, uint64_t number, bool *first)
{
    enum replay_end end;
    uint64_t first_seq;
    corrupt_forget();
    int err = replay_log(r->tree, number, *first, &r->to, &end, &first_seq);
    drop_empty_gen(r);
    if (err == 0)
        err = judge(r, number, end, *first);
    if (err == 0 && *first && end == REPLAY_STALE)
        err = refuse_first(r, number, first_seq);
    if (cut_here(r, number, err))
        return 0;
    /* Also a log that looks as if it had never been written to: a power cut may have taken all of
     * its records, and left those of the next log. */
    *first = false;
    if (err == 0 && end == REPLAY_STALE)
        log_message(LOG_INFO,
                    "log %" PRIu64 " begins at operation %" PRIu64
                    " and is left out: history ends at %" PRIu64,
                    number, first_seq, r->to.seq);
    return err;
}

/* All logs that the version still needs, in the order of their numbers. */
static int replay_all(struct recovery *r)
{
    bool first = true;
    qsort(r->files, r->file_count, sizeof *r->files, by_number);
    for (size_t i = 0; i < r->file_count; i++) {
        const struct found *f = &r->files[i];
        if (f->kind != FILE_LOG || f->number < r->version->log_number)
            continue;
        if (r->cut) {
            log_message(LOG_WARNING, "log %" PRIu64 " is dropped: history ends before it",
                        f->number);
            continue;
        }
        int err = replay_one(r, f->number, &first);
        if (err < 0)
            return err;
    }
    return 0;
}

static bool in_gens(const struct recovery *r, const struct found *f)
{
    for (uint32_t i = 0; i < r->gen_count; i++) {
        const struct memgen *g = r->gens[i];
        if (f->kind == FILE_LOG ? g->log_number == f->number
                                : g->blob && g->blob->number == f->number)
            return true;
    }
    return false;
}

struct numbers {
    uint64_t *list; /* ascending */
    size_t count;
};

static int compare_numbers(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void version_tables(const struct version *v, struct numbers *n)
{
    size_t total = 0;
    for (int level = 0; level < LEVEL_COUNT; level++)
        total += v->levels[level].count;
    *n = (struct numbers){.list = mem_alloc(total * sizeof(uint64_t))};
    for (int level = 0; level < LEVEL_COUNT; level++)
        for (uint32_t i = 0; i < v->levels[level].count; i++)
            n->list[n->count++] = v->levels[level].tables[i]->meta->number;
    if (n->count)
        qsort(n->list, n->count, sizeof *n->list, compare_numbers);
}

static bool table_needed(const struct numbers *tables, uint64_t number)
{
    return tables->count &&
           bsearch(&number, tables->list, tables->count, sizeof *tables->list, compare_numbers);
}

static bool needed(const struct recovery *r, const struct numbers *tables, const struct found *f)
{
    switch (f->kind) {
    case FILE_TABLE:
        return table_needed(tables, f->number);
    case FILE_BLOB:
        return version_find_blob(r->version, f->number) || in_gens(r, f);
    case FILE_PARITY: /* as its file */
        return table_needed(tables, f->number) || version_find_blob(r->version, f->number);
    case FILE_LOG:
        return in_gens(r, f);
    case FILE_MANIFEST:
        return f->number == manifest_number(r->tree->manifest);
    default:
        return false; /* FILE_TEMP */
    }
}

/* What neither the new manifest nor a replayed log names goes. Not after a manifest that ended in
 * bytes that do not verify: that may be damage instead of a power cut, and then a table that
 * nothing names may be all that is left of some data. */
static void remove_unneeded(struct recovery *r)
{
    struct numbers tables;
    version_tables(r->version, &tables);
    for (size_t i = 0; i < r->file_count; i++) {
        const struct found *f = &r->files[i];
        bool data = f->kind == FILE_TABLE || f->kind == FILE_BLOB || f->kind == FILE_PARITY;
        if (!needed(r, &tables, f) && !(data && r->manifest_end != JOURNAL_CLEAN))
            purge_add(&r->tree->purge, f->kind, f->number);
    }
    free(tables.list);
    purge_run(&r->tree->purge);
}

/* A power cut, or a checkpoint that shared the file, may have kept a compaction from giving back
 * what it took from a table. */
static void find_holes(struct recovery *r)
{
    for (int l = 0; l < LEVEL_COUNT; l++)
        for (uint32_t i = 0; i < r->version->levels[l].count; i++) {
            const struct table_meta *m = r->version->levels[l].tables[i]->meta;
            if (m->front)
                purge_find_hole(&r->tree->purge, m);
        }
}

/* ---- memtables ---- */

static void drop_gens(struct recovery *r)
{
    for (uint32_t i = 0; i < r->gen_count; i++)
        memgen_unref(r->gens[i]);
    r->gen_count = 0;
}

static void keep_gen(struct recovery *r, struct memgen *g)
{
    r->gens = mem_realloc(r->gens, (r->gen_count + 1) * sizeof(struct memgen *));
    r->gens[r->gen_count++] = g;
}

static void publish(struct recovery *r)
{
    struct memgen **newest_first = mem_alloc((r->gen_count + 1) * sizeof *newest_first);
    uint32_t n = 0;
    for (uint32_t i = r->gen_count; i-- > 0;)
        newest_first[n++] = r->gens[i];
    tree_publish(r->tree, view_new(newest_first, n, r->version));
    free(newest_first);
}

static void number_files(struct recovery *r)
{
    struct tree *t = r->tree;
    t->next_file = r->version->next_file;
    if (t->next_file <= r->number_max)
        t->next_file = r->number_max + 1;
    t->first_file = t->next_file;
}

static int start_manifest(struct recovery *r)
{
    struct tree *t = r->tree;
    if (t->read_only)
        return 0;
    return manifest_start(t->env, t->dir, tree_new_file(t), r->version, &t->manifest);
}

/* Flushes while the logs are read, until told that there are no more. */
static void spill_thread(void *arg)
{
    struct recovery *r = arg;
    struct tree *t = r->tree;
    pthread_mutex_lock(&t->lock);
    while (!r->spill.ended && t->flush.error == 0) {
        if (viewbox_peek(t->box)->gen_count < 2) {
            tree_wait(t, SPILL_WAIT_NS);
            continue;
        }
        pthread_mutex_unlock(&t->lock);
        work_flush(t);
        pthread_mutex_lock(&t->lock);
    }
    pthread_mutex_unlock(&t->lock);
}

static int spill_begin(struct recovery *r)
{
    struct tree *t = r->tree;
    number_files(r);
    int err = start_manifest(r);
    if (err < 0)
        return err;
    publish(r);
    drop_gens(r); /* the view has them now */
    r->spill.on = true;
    if (setting_u32(&t->settings.live.workers) > 0)
        err = t->env->thread_start(t->env, spill_thread, r, &r->spill.thread);
    return err;
}

/* Until there is one memtable beside the one that is being filled, or flushing fails: then the rest
 * stays in memory. */
static void spill_wait(struct recovery *r)
{
    struct tree *t = r->tree;
    if (!r->spill.thread) {
        while (r->spill.error == 0 && viewbox_peek(t->box)->gen_count > 1)
            r->spill.error = work_flush(t);
        return;
    }
    pthread_mutex_lock(&t->lock);
    while (t->flush.error == 0 && viewbox_peek(t->box)->gen_count > 2)
        tree_wait(t, SPILL_WAIT_NS);
    pthread_mutex_unlock(&t->lock);
}

static void spill_stop(struct recovery *r)
{
    struct tree *t = r->tree;
    if (!r->spill.thread)
        return;
    pthread_mutex_lock(&t->lock);
    r->spill.ended = true;
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
    t->env->thread_join(t->env, r->spill.thread);
    r->spill.thread = NULL;
}

/* Each takes half of what a memtable does when it is written to: one is filled while another is
 * flushed. */
static bool is_full(void *ctx, const struct memgen *gen)
{
    struct recovery *r = ctx;
    return memtable_bytes(gen->mem) >= setting_u64(&r->tree->settings.live.memtable_bytes) / 2 &&
           !r->tree->read_only;
}

static struct memgen *next_gen(void *ctx, uint64_t number, uint64_t seq)
{
    struct recovery *r = ctx;
    const struct memgen *last = r->gen_count ? r->gens[r->gen_count - 1] : NULL;
    if (!r->spill.on && r->spill.error == 0 && last && last->log_number == number)
        r->spill.error = spill_begin(r);
    struct memgen *g = memgen_new(number, seq);
    if (setting_u32(&r->tree->settings.live.entry_sums))
        memtable_sum_entries(g->mem);
    if (!r->spill.on) {
        keep_gen(r, g);
        return g;
    }
    tree_push_gen(r->tree, g);
    memgen_unref(g); /* the view has it, and keeps the newest */
    spill_wait(r);
    return g;
}

/* What flushing has left. */
static void take_view(struct recovery *r)
{
    struct view *v = viewbox_peek(r->tree->box);
    version_unref(r->version);
    r->version = version_ref(v->version);
    for (uint32_t i = v->gen_count; i-- > 0;)
        keep_gen(r, memgen_ref(v->gens[i]));
}

/* ---- taking over ---- */

/* The oldest log that the next open has to look at. What was left out now must not come back if its
 * removal is undone by a power cut, but not that of the log at which history ended. */
static void log_number_edit(const struct recovery *r, struct edit *edit)
{
    edit_init(edit);
    edit->has_log = true;
    edit->log_number = r->gen_count ? r->gens[0]->log_number
                                    : __atomic_load_n(&r->tree->next_file, __ATOMIC_RELAXED);
}

static int raise_log_number(struct recovery *r)
{
    struct edit edit;
    struct version *next = NULL;
    log_number_edit(r, &edit);
    int err;
    if (r->spill.on) {
        err = tree_install(r->tree, &edit, NULL, 0);
    } else {
        err = version_apply(r->version, &edit, NULL, 0, &next);
        if (err == 0) {
            version_unref(r->version);
            r->version = next;
        }
    }
    edit_release(&edit);
    return err;
}

static int take_over(struct recovery *r)
{
    struct tree *t = r->tree;
    int err = 0;
    if (r->spill.on) {
        spill_stop(r);
        take_view(r);
        err = raise_log_number(r);
    } else {
        number_files(r);
        if (!t->read_only)
            err = raise_log_number(r);
        if (err == 0)
            err = start_manifest(r);
        if (err == 0)
            publish(r);
    }
    t->published = r->to.seq;
    if (err == 0 && !t->read_only) {
        remove_unneeded(r);
        find_holes(r);
    }
    return err;
}

int recover_run(struct tree *t, uint64_t *next_seq)
{
    struct recovery r = {.tree = t};
    int err = manifest_read(&t->source, t->uuid, &r.version, &r.manifest_number, &r.manifest_end);
    if (err != 0)
        return err < 0 ? err : -ENOENT;
    r.to = (struct replay_target){
        .seq = r.version->flushed_seq, .next_gen = next_gen, .is_full = is_full, .ctx = &r};
    err = t->env->list(t->env, t->dir, note_file, &r);
    if (err == 0)
        err = replay_all(&r);
    if (err == 0)
        err = take_over(&r);
    else if (r.spill.on)
        spill_stop(&r);
    t->history_cut = r.cut;
    *next_seq = r.to.seq;
    drop_gens(&r);
    free(r.gens);
    free(r.files);
    version_unref(r.version);
    return err;
}
