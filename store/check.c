/* check: tables, levels and memtables; the other parts are in check_blobs.c and check_folder.c.
 *
 * Everything is read once: tables in full by table_check(), which hands over each blob reference;
 * blob files then in the order of their offsets. */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/check_priv.h"

/* ---- reporting ---- */

void check_tell(struct check_report *r, int code, enum store_severity severity, const char *file,
                uint64_t offset, const char *text)
{
    struct store_finding f = {
        .code = code, .severity = severity, .file = file, .offset = offset, .text = text};
    if (r->stopped == 0)
        r->stopped = r->fn(r->ctx, &f);
}

void check_tell_error(struct check_report *r, int code, const char *file, int err)
{
    const char *raised = corrupt_last();
    check_tell(r, code, STORE_DAMAGE, file, UINT64_MAX, raised[0] ? raised : strerror(-err));
    corrupt_forget();
}

void check_did(struct check_report *r, uint64_t bytes)
{
    r->done += bytes;
    if (r->progress)
        r->progress(r->ctx, r->done < r->total ? r->done : r->total, r->total);
}

void check_refs_add(struct check_refs *refs, const struct blob_ref *ref, bool flushed)
{
    if (refs->count == refs->cap) {
        refs->cap = refs->cap ? refs->cap * 2 : 1024;
        refs->list = mem_realloc(refs->list, refs->cap * sizeof *refs->list);
    }
    refs->list[refs->count++] = (struct check_ref){.file = ref->file,
                                                   .offset = ref->where.offset,
                                                   .len = ref->where.len,
                                                   .raw_len = ref->raw_len,
                                                   .flushed = flushed};
}

/* ---- tables ---- */

struct table_ctx {
    struct check_report *report;
    struct check_refs *refs;
    const char *name;
};

static int on_finding(void *ctx, int code, uint64_t offset, const char *text)
{
    struct table_ctx *c = ctx;
    assert(code >= TABLE_FINDING_FRAME && code <= TABLE_FINDING_PROPERTIES);
    check_tell(c->report, FINDING_TABLE_FRAME + code - TABLE_FINDING_FRAME, STORE_DAMAGE, c->name,
               offset, text);
    return c->report->stopped;
}

static int on_ref(void *ctx, struct slice key, const struct blob_ref *ref)
{
    struct table_ctx *c = ctx;
    (void)key;
    check_refs_add(c->refs, ref, true);
    return 0;
}

static void check_one_table(struct check_report *r, struct version_table *vt,
                            struct check_refs *refs)
{
    char name[48];
    struct table *table;
    snprintf(name, sizeof name, "%06" PRIu64 ".table", vt->meta->number);
    struct table_ctx ctx = {.report = r, .refs = refs, .name = name};
    corrupt_forget();
    int err = version_table_open(vt, &table);
    if (err == 0)
        err = table_check(table, on_finding, on_ref, r->prefix, &ctx);
    if (err < 0)
        check_tell_error(r, FINDING_TABLE_OPEN, name, err);
    check_did(r, table_meta_bytes(vt->meta));
}

static void check_level(struct check_report *r, const struct version *v, int level)
{
    const struct version_level *lv = &v->levels[level];
    for (uint32_t i = 1; level > 0 && i < lv->count; i++) {
        const struct table_meta *a = lv->tables[i - 1]->meta, *b = lv->tables[i]->meta;
        if (slice_cmp(buf_slice(&a->limit), buf_slice(&b->smallest)) <= 0)
            continue;
        char text[96];
        snprintf(text, sizeof text, "tables %06" PRIu64 " and %06" PRIu64 " of level %d overlap",
                 a->number, b->number, level);
        check_tell(r, FINDING_LEVELS, STORE_DAMAGE, "", UINT64_MAX, text);
    }
}

static void check_tables(struct check_report *r, struct view *v, struct check_refs *refs)
{
    for (int level = 0; level < LEVEL_COUNT; level++) {
        const struct version_level *lv = &v->version->levels[level];
        check_level(r, v->version, level);
        for (uint32_t i = 0; i < lv->count && r->stopped == 0; i++)
            check_one_table(r, lv->tables[i], refs);
    }
}

/* ---- memtables: what replay took from the logs; only their references are left to be looked at
 * ---- */

static void memtable_refs(struct view *v, struct check_refs *refs)
{
    for (uint32_t i = 0; i < v->gen_count; i++) {
        struct iter *it = memtable_iter_new(v->gens[i]->mem);
        for (int err = iter_first(it); err == 0; err = iter_next(it)) {
            struct blob_ref ref;
            if (entry_type_is_blob(it->e.type) && blob_ref_decode(it->e.value, &ref))
                check_refs_add(refs, &ref, false);
        }
        iter_free(it);
    }
}

/* What could be read only with the help of parity. */
static void check_repairs(struct check_report *r, struct tree *t)
{
    struct care_file *files;
    size_t count = care_list(&t->care, &files);
    for (size_t i = 0; i < count; i++) {
        char name[48];
        snprintf(name, sizeof name, "%06" PRIu64 ".%s", files[i].number,
                 files[i].kind == FILE_TABLE ? "table" : "blob");
        check_tell(r, FINDING_REPAIRED, STORE_WARNING, name, files[i].offset,
                   "it is damaged here, but its parity makes up for it; a mount, or a scrub, heals "
                   "it");
    }
    free(files);
}

static uint64_t total_bytes(const struct version *v)
{
    uint64_t total = 0;
    for (int level = 0; level < LEVEL_COUNT; level++)
        total += v->levels[level].bytes;
    for (uint32_t i = 0; i < v->blob_count; i++)
        total += v->blobs[i].file_bytes;
    return total;
}

int check_tree(struct tree *t, store_finding_fn *fn, store_progress_fn *progress, void *ctx)
{
    struct check_report r = {
        .fn = fn, .ctx = ctx, .progress = progress, .prefix = t->read_ctx.prefix};
    struct check_refs refs = {0};
    struct view *v = viewbox_get(t->box);
    r.total = total_bytes(v->version);
    check_folder(&r, t, v);
    check_tables(&r, v, &refs);
    memtable_refs(v, &refs);
    if (r.stopped == 0)
        check_blobs(&r, t, v, &refs);
    if (r.stopped == 0)
        check_repairs(&r, t);
    view_unref(v);
    free(refs.list);
    return 0;
}
