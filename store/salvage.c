/* salvage: which way to go, and putting the result in force; see salvage.h. What manifests say is
 * salvage_manifest.c's, what is found in tables and logs salvage_table.c's and salvage_log.c's,
 * what is made of it salvage_build.c's.
 *
 * Order of writes: new tables, their names, copies of what is replaced; then a new manifest, and
 * CURRENT last (manifest.h). An end anywhere before leaves everything that was there. */
#include "store/salvage_priv.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/err.h"
#include "store/file.h"

enum { COPY_BYTES = 1 << 20, SECTOR_BYTES = 4096, BOTTOM = LEVEL_COUNT - 1 };
#define NUMBER_MAX (UINT64_MAX / 2)

/* ---- telling ---- */

void salvage_tell(struct salvage *s, int code, enum store_severity severity, enum file_kind kind,
                  uint64_t number, uint64_t offset, const char *format, ...)
{
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    char *path = number ? name_file("", kind, number) : mem_strdup("/");
    struct store_finding f = {
        .code = code, .severity = severity, .file = path + 1, .offset = offset, .text = text};
    if (s->fn)
        s->fn(s->ctx, &f);
    free(path);
}

void salvage_did(struct salvage *s, uint64_t bytes)
{
    s->done_bytes += bytes;
    if (s->progress)
        s->progress(s->ctx, s->done_bytes < s->total_bytes ? s->done_bytes : s->total_bytes,
                    s->total_bytes);
}

/* ---- sources ---- */

void salvage_add_child(struct salvage *s, struct iter *it)
{
    s->children = mem_realloc(s->children, (s->child_count + 1) * sizeof(struct iter *));
    s->children[s->child_count++] = it;
}

void salvage_add_rangedels(struct salvage *s, const struct rangedel *r)
{
    for (size_t i = 0; i < rangedel_count(r); i++) {
        struct rangedel_fragment f = rangedel_at(r, i);
        for (uint32_t k = 0; k < f.seq_count; k++)
            rangedel_builder_add(s->dels, f.start, f.end, f.seqs[k]);
    }
}

/* ---- keeping ---- */

static int copy_bytes(struct env_file *from, struct env_file *to, uint64_t size)
{
    uint8_t *bytes = mem_alloc(COPY_BYTES);
    int err = 0;
    for (uint64_t at = 0; at < size && err == 0; at += COPY_BYTES) {
        size_t len = size - at < COPY_BYTES ? (size_t)(size - at) : COPY_BYTES, got;
        memset(bytes, 0, len);
        if (from->ops->read(from, at, bytes, len, &got) < 0)
            for (size_t done = 0; done < len; done += SECTOR_BYTES) {
                size_t part = len - done < SECTOR_BYTES ? len - done : SECTOR_BYTES;
                if (from->ops->read(from, at + done, bytes + done, part, &got) < 0)
                    memset(bytes + done, 0, part);
            }
        err = to->ops->write(to, at, bytes, len);
    }
    free(bytes);
    return err < 0 ? err : to->ops->sync(to);
}

int salvage_keep_copy(struct salvage *s, enum file_kind kind, uint64_t number)
{
    char *path = name_file(s->dir, kind, number), *kept = mem_printf("%s.damaged", path);
    struct env_file *from = NULL, *to = NULL;
    uint64_t size = 0;
    int err = s->env->open(s->env, path, ENV_OPEN_READ, &from);
    if (err == 0)
        err = from->ops->size(from, &size);
    if (err == 0)
        err = s->env->open(s->env, kept, ENV_OPEN_CREATE, &to);
    if (err == -EEXIST) { /* of an attempt that was interrupted */
        err = s->env->remove(s->env, kept);
        if (err == 0)
            err = s->env->open(s->env, kept, ENV_OPEN_CREATE, &to);
    }
    if (err == 0)
        err = copy_bytes(from, to, size);
    if (from)
        from->ops->close(from);
    if (to)
        to->ops->close(to);
    if (err < 0 && err != -ENOENT)
        log_message(LOG_WARNING, "%s could not be copied to %s: %s", path, kept, strerror(-err));
    free(kept);
    free(path);
    return err == -ENOENT ? 0 : err;
}

/* ---- what is there ---- */

static int note_file(void *ctx, const char *name)
{
    struct salvage *s = ctx;
    struct salvage_file f = {0};
    if (name_parse(name, &f.kind, &f.number) != 0 || f.number == 0 || f.number > NUMBER_MAX)
        return 0;
    char *path = name_file(s->dir, f.kind, f.number);
    if (s->env->file_size(s->env, path, &f.bytes) < 0)
        f.bytes = 0;
    free(path);
    if (s->file_count == s->file_cap) {
        s->file_cap = s->file_cap ? s->file_cap * 2 : 64;
        s->files = mem_realloc(s->files, s->file_cap * sizeof *s->files);
    }
    s->files[s->file_count++] = f;
    if (f.number >= s->next_file)
        s->next_file = f.number + 1;
    s->total_bytes += f.kind == FILE_PARITY ? 0 : f.bytes;
    return 0;
}

static int by_number(const void *a, const void *b)
{
    const struct salvage_file *x = a, *y = b;
    return (x->number > y->number) - (x->number < y->number);
}

/* ---- the first way: the manifest is good ---- */

static int replace_table(struct salvage *s, int level, struct table_meta *m)
{
    struct memtable *found = memtable_new();
    struct edit *e = &s->edit;
    uint32_t before = e->tables_added_count;
    uint64_t lost;
    bool placed_later;
    salvage_scan_table(s, m->number, m, found, s->dels, &lost, &placed_later);
    salvage_tell(s, FINDING_SALVAGE_TABLE, STORE_DAMAGE, FILE_TABLE, m->number, UINT64_MAX,
                 "%" PRIu64 " of %" PRIu64 " bytes cannot be read; %" PRIu64 " of %" PRIu64
                 " entries are saved",
                 lost, m->size_bytes, memtable_entry_count(found), m->entry_count);
    salvage_add_child(s, memtable_iter_new(found));
    memtable_unref(found);
    int err = salvage_keep_copy(s, FILE_TABLE, m->number);
    if (err == 0)
        err = salvage_build(s, level);
    rangedel_builder_free(s->dels);
    s->dels = rangedel_builder_new();
    if (err < 0)
        return err;
    edit_remove_table(e, level, m->number);
    s->report->tables_rebuilt++;
    s->report->losses += lost > 0;
    /* What the old table had of blob files, and the new ones have not. */
    for (uint32_t i = 0; i < m->share_count; i++) {
        struct table_blob_share left = m->shares[i];
        for (uint32_t t = before; t < e->tables_added_count; t++) {
            const struct table_meta *now = e->tables_added[t].meta;
            for (uint32_t k = 0; k < now->share_count; k++)
                if (now->shares[k].file == left.file) {
                    left.count -= now->shares[k].count;
                    left.bytes -= now->shares[k].bytes;
                }
        }
        if (left.count > 0)
            edit_add_garbage(e, left.file, left.count, left.bytes);
    }
    return 0;
}

static int replace_damaged(struct salvage *s, const struct version *v)
{
    int err = 0;
    for (int level = 0; level < LEVEL_COUNT; level++)
        for (uint32_t i = 0; i < v->levels[level].count && err == 0; i++) {
            struct table_meta *m = v->levels[level].tables[i]->meta;
            struct table *table;
            /* By its meta: a whole table may be an older one. */
            if (salvage_open_table(s, m->number, m, &table) == 0) {
                table_unref(table);
                s->report->tables_kept++;
            } else {
                err = replace_table(s, level, m);
            }
            salvage_did(s, m->size_bytes);
        }
    return err;
}

/* Nobody knows any more what was dropped, and what of the past is whole. */
static void forget_history(struct salvage *s, uint64_t seq)
{
    s->edit.has_history = true;
    s->edit.history_seq = seq;
}

static int put_in_force(struct salvage *s, const struct version *base)
{
    struct version *next = NULL;
    struct manifest *m = NULL;
    s->edit.has_next_file = true;
    s->edit.next_file = s->next_file + 1;
    int err = version_apply(base, &s->edit, NULL, 0, &next);
    if (err == 0)
        err = manifest_start(s->env, s->dir, s->next_file, next, &m);
    manifest_free(m);
    version_unref(next);
    return err;
}

static int repair(struct salvage *s, const struct salvage_best *b)
{
    uint64_t losses = s->report->losses;
    int err = replace_damaged(s, b->version);
    if (err < 0)
        return err;
    if (s->report->losses > losses)
        forget_history(s, b->version->flushed_seq);
    if (s->report->tables_rebuilt == 0 && b->in_force && b->clean)
        return 1;
    if (!b->in_force)
        salvage_tell(s, FINDING_SALVAGE, STORE_NOTE, FILE_MANIFEST, b->number, UINT64_MAX,
                     "CURRENT does not lead to it, but it is whole: it is put in force again");
    return put_in_force(s, b->version);
}

/* ---- the second way: from the files alone ---- */

static void take_whole_table(struct salvage *s, struct table *table)
{
    const struct table_meta *m = table_get_meta(table);
    if (m->max_seq > s->max_seq)
        s->max_seq = m->max_seq;
    salvage_add_child(s, table_iter_new(table, TABLE_ITER_READAHEAD));
    salvage_add_rangedels(s, table_rangedel(table));
    s->report->tables_kept++;
}

static int take_damaged_table(struct salvage *s, const struct salvage_file *f,
                              const struct table_meta *known, bool *placed_later)
{
    struct memtable *found = memtable_new();
    uint64_t lost;
    salvage_scan_table(s, f->number, known, found, s->dels, &lost, placed_later);
    salvage_tell(s, FINDING_SALVAGE_TABLE, STORE_DAMAGE, FILE_TABLE, f->number, UINT64_MAX,
                 "%" PRIu64 " of %" PRIu64 " bytes cannot be read; %" PRIu64 " entries are saved",
                 lost, f->bytes, memtable_entry_count(found));
    salvage_add_child(s, memtable_iter_new(found));
    memtable_unref(found);
    s->report->tables_rebuilt++;
    s->report->losses++;
    return salvage_keep_copy(s, FILE_TABLE, f->number);
}

/* What a manifest alone says, and none does. */
static void tell_unplaced(struct salvage *s, uint64_t number, bool placed_later)
{
    bool shared = memcmp(salvage_uuid(s, number), s->uuid, UUID_SIZE) != 0;
    if (placed_later)
        salvage_tell(s, FINDING_SALVAGE_PLACE, STORE_DAMAGE, FILE_TABLE, number, UINT64_MAX,
                     "it was ingested, and no manifest says when: its values may stand behind "
                     "ones that were written to the same keys while that went on");
    if (shared)
        salvage_tell(s, FINDING_SALVAGE_PLACE, STORE_DAMAGE, FILE_TABLE, number, UINT64_MAX,
                     "it is shared with the volume that this one is a checkpoint of, and no "
                     "manifest says up to where: it may hold what was written there later");
    s->report->losses += placed_later || shared;
}

static int gather_tables(struct salvage *s)
{
    int err = 0;
    for (size_t i = 0; i < s->file_count && err == 0; i++) {
        const struct salvage_file *f = &s->files[i];
        struct table *table;
        if (f->kind != FILE_TABLE)
            continue;
        struct table_meta *known = salvage_known(s, f->number);
        bool placed_later = false;
        if (salvage_open_table(s, f->number, known, &table) == 0) {
            placed_later = table_get_meta(table)->placed_later;
            take_whole_table(s, table);
            table_unref(table);
        } else {
            err = take_damaged_table(s, f, known, &placed_later);
        }
        if (!known)
            tell_unplaced(s, f->number, placed_later);
        salvage_did(s, f->bytes);
    }
    return err;
}

static void keep_pins(struct salvage *s, const struct version *old)
{
    for (uint32_t i = 0; old && i < old->pin_count; i++)
        edit_add_pin(&s->edit, &old->pins[i]);
    if (old && old->pin_count)
        salvage_tell(s, FINDING_SALVAGE, STORE_NOTE, FILE_MANIFEST, 0, UINT64_MAX,
                     "%" PRIu32 " snapshots are kept, as the manifest knew them", old->pin_count);
    s->report->pins_lost = !old;
    if (!old)
        salvage_tell(
            s, FINDING_SALVAGE_PINS, STORE_DAMAGE, FILE_MANIFEST, 0, UINT64_MAX,
            "snapshots were named in the manifest alone: if there were any, they are lost");
}

static int keep_manifests(struct salvage *s)
{
    int err = 0;
    for (size_t i = 0; i < s->file_count && err == 0; i++)
        if (s->files[i].kind == FILE_MANIFEST)
            err = salvage_keep_copy(s, FILE_MANIFEST, s->files[i].number);
    return err;
}

/* A pin beyond everything that was found would see what is yet to come. */
static void clamp_pins(struct salvage *s)
{
    uint64_t last = s->max_seq + 1;
    for (uint32_t i = 0; i < s->edit.pins_added_count; i++)
        if (s->edit.pins_added[i].seq > last)
            last = s->edit.pins_added[i].seq;
    s->max_seq = last - 1;
}

static int rebuild(struct salvage *s, const struct version *old)
{
    struct version *empty = version_new(&s->source);
    salvage_know(s);
    salvage_tell(s, FINDING_SALVAGE, STORE_NOTE, FILE_MANIFEST, 0, UINT64_MAX,
                 "there is no manifest that leads to all files: the store is rebuilt from them");
    int err = gather_tables(s);
    if (err == 0)
        err = salvage_logs(s, old ? old->log_number : 0);
    if (err == 0)
        err = salvage_build(s, BOTTOM);
    if (err == 0)
        err = salvage_blobs(s);
    if (err == 0)
        err = keep_manifests(s);
    keep_pins(s, old);
    clamp_pins(s);
    memcpy(s->edit.uuid, s->uuid, UUID_SIZE);
    s->edit.has_uuid = s->edit.has_flushed = s->edit.has_log = true;
    s->edit.features = old ? old->features : 0;
    s->edit.flushed_seq = s->max_seq + 1;
    forget_history(s, s->max_seq + 1);
    s->edit.log_number = s->next_file;
    if (err == 0)
        err = put_in_force(s, empty);
    version_unref(empty);
    return err;
}

/* ---- all of it ---- */

static void release(struct salvage *s)
{
    for (size_t i = 0; i < s->child_count; i++)
        iter_free(s->children[i]);
    free(s->children);
    rangedel_builder_free(s->dels);
    edit_release(&s->edit);
    cache_free(s->cache);
    for (size_t i = 0; i < s->known_count; i++)
        table_meta_unref(s->known[i]);
    free(s->known);
    lineage_release(&s->lineage);
    free(s->files);
}

int salvage_run(struct env *env, const char *dir, const struct store_options *o,
                store_finding_fn *fn, store_progress_fn *progress, void *ctx,
                struct store_salvage_report *out)
{
    struct salvage s = {.env = env,
                        .dir = dir,
                        .opt = *o,
                        .cache = cache_new(o->cache_bytes),
                        .fn = fn,
                        .progress = progress,
                        .ctx = ctx,
                        .report = out,
                        .next_file = 1,
                        .dels = rangedel_builder_new()};
    struct salvage_best best = {0};
    s.source = (struct version_source){
        .env = env, .dir = dir, .uuid = s.uuid, .lineage = &s.lineage, .cache = s.cache};
    *out = (struct store_salvage_report){0};
    edit_init(&s.edit);
    int err = env->list(env, dir, note_file, &s);
    if (s.file_count)
        qsort(s.files, s.file_count, sizeof *s.files, by_number);
    if (err == 0)
        salvage_find_manifest(&s, &best);
    if (best.version && best.version->next_file > s.next_file)
        s.next_file = best.version->next_file;
    if (err == 0 && !best.version)
        err = salvage_find_uuid(&s);
    if (err == 0)
        err = best.complete ? repair(&s, &best) : rebuild(&s, best.version);
    version_unref(best.version);
    release(&s);
    return err;
}
