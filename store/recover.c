/* recover: see recover.h for the order of things.
 *
 * Crash windows: recovery writes a new manifest before it removes anything, and removes only what
 * neither that manifest nor a replayed log needs; an end at any point leaves a store that recovers
 * to the same history. */
#include "store/recover.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "store/replay.h"

struct found {
    enum file_kind kind;
    uint64_t number;
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
    uint64_t seq;
    uint64_t number_max;
};

static int note_file(void *ctx, const char *name)
{
    struct recovery *r = ctx;
    struct found f;
    if (name_parse(name, &f.kind, &f.number) != 0 || f.kind == FILE_CURRENT || f.kind == FILE_LOCK)
        return 0;
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

static void keep_gen(struct recovery *r, struct memgen *g)
{
    r->gens = mem_realloc(r->gens, (r->gen_count + 1) * sizeof(struct memgen *));
    r->gens[r->gen_count++] = g;
}

static int replay_one(struct recovery *r, uint64_t number, bool *anchored)
{
    struct tree *t = r->tree;
    struct memgen *gen;
    enum replay_end end;
    uint64_t size, first_seq;
    char *path = name_file(t->dir, FILE_LOG, number);
    int err = t->env->file_size(t->env, path, &size);
    if (err == 0 && size <= LOG_EMPTY_BYTES)
        goto done; /* cut off while it was made, or never written to */
    if (err == 0)
        err = replay_log(t, number, &r->seq, &gen, &end, &first_seq);
    if (err < 0)
        goto done;
    if (end == REPLAY_STALE && !*anchored && first_seq > r->seq) {
        err = corrupt(path, UINT64_MAX,
                      "it begins at operation %" PRIu64 ", but what is known ends at %" PRIu64
                      ": a log or a part of the manifest is missing",
                      first_seq, r->seq);
        goto done;
    }
    *anchored = true;
    if (gen)
        keep_gen(r, gen);
done:
    free(path);
    return err;
}

/* All logs that the version still needs, in the order of their numbers. */
static int replay_all(struct recovery *r)
{
    bool anchored = false;
    qsort(r->files, r->file_count, sizeof *r->files, by_number);
    for (size_t i = 0; i < r->file_count; i++) {
        const struct found *f = &r->files[i];
        if (f->kind != FILE_LOG || f->number < r->version->log_number)
            continue;
        int err = replay_one(r, f->number, &anchored);
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

static bool needed(const struct recovery *r, const struct numbers *tables, const struct found *f)
{
    switch (f->kind) {
    case FILE_TABLE:
        return tables->count && bsearch(&f->number, tables->list, tables->count,
                                        sizeof *tables->list, compare_numbers);
    case FILE_BLOB:
        return version_find_blob(r->version, f->number) || in_gens(r, f);
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
        bool data = f->kind == FILE_TABLE || f->kind == FILE_BLOB;
        if (!needed(r, &tables, f) && !(data && r->manifest_end != JOURNAL_CLEAN))
            purge_add(&r->tree->purge, f->kind, f->number);
    }
    free(tables.list);
    purge_run(&r->tree->purge);
}

static void publish(struct recovery *r)
{
    struct memgen **newest_first = mem_alloc((r->gen_count + 1) * sizeof *newest_first);
    for (uint32_t i = 0; i < r->gen_count; i++)
        newest_first[i] = r->gens[r->gen_count - 1 - i];
    r->tree->box = viewbox_new(view_new(newest_first, r->gen_count, r->version));
    r->tree->published = r->seq;
    free(newest_first);
}

static int take_over(struct recovery *r)
{
    struct tree *t = r->tree;
    t->next_file = r->version->next_file;
    if (t->next_file <= r->number_max)
        t->next_file = r->number_max + 1;
    if (t->opt.read_only)
        return 0;
    int err = manifest_start(t->env, t->dir, tree_new_file(t), r->version, &t->manifest);
    if (err == 0)
        remove_unneeded(r);
    return err;
}

int recover_run(struct tree *t, uint64_t *next_seq)
{
    struct recovery r = {.tree = t};
    int err = manifest_read(&t->source, t->uuid, &r.version, &r.manifest_number, &r.manifest_end);
    if (err != 0)
        return err < 0 ? err : -ENOENT;
    r.seq = r.version->flushed_seq;
    err = t->env->list(t->env, t->dir, note_file, &r);
    if (err == 0)
        err = replay_all(&r);
    if (err == 0)
        err = take_over(&r);
    if (err == 0) {
        publish(&r);
        *next_seq = r.seq;
    }
    for (uint32_t i = 0; i < r.gen_count; i++)
        memgen_unref(r.gens[i]);
    free(r.gens);
    free(r.files);
    version_unref(r.version);
    return err;
}
