/* check_folder: which files are there, how logs and manifest end, and what can be said of a store
 * that does not open. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/batch.h"
#include "store/check_priv.h"
#include "store/file.h"
#include "store/journal.h"
#include "store/logtail.h"
#include "store/replay.h"

/* ---- names ---- */

struct folder {
    struct check_report *report;
    struct tree *tree;
    struct view *view;
    uint64_t manifest;
};

static bool table_named(const struct version *v, uint64_t number)
{
    for (int level = 0; level < LEVEL_COUNT; level++)
        for (uint32_t i = 0; i < v->levels[level].count; i++)
            if (v->levels[level].tables[i]->meta->number == number)
                return true;
    return false;
}

static bool gen_names(const struct view *v, enum file_kind kind, uint64_t number)
{
    for (uint32_t i = 0; i < v->gen_count; i++) {
        const struct memgen *g = v->gens[i];
        if (kind == FILE_LOG ? g->log_number == number : g->blob && g->blob->number == number)
            return true;
    }
    return false;
}

/* Is there a record in it, here or in TAIL, besides the one that says where it begins? */
static bool log_has_operations(struct tree *t, uint64_t number)
{
    struct journal_reader *j;
    struct slice record;
    struct batch_reader b;
    bool any = false;
    corrupt_forget();
    if (journal_open(t->env, t->dir, FILE_LOG, number, t->uuid, &j) != 0)
        return false;
    while (!any && journal_next(j, &record) == 0)
        any = batch_reader_init(&b, record) == 0 && b.count > 0;
    journal_reader_free(j);
    return any;
}

/* A log that holds no operation is left by every clean end. */
static bool empty_log(const struct folder *f, uint64_t number)
{
    struct tree *t = f->tree;
    uint64_t size = 0;
    char *path = name_file(t->dir, FILE_LOG, number);
    int err = t->env->file_size(t->env, path, &size);
    free(path);
    if (err < 0 || size > replay_empty_bytes(t))
        return false;
    return !logtail_continues(t->env, t->dir, number, size) || !log_has_operations(t, number);
}

static bool named(const struct folder *f, enum file_kind kind, uint64_t number)
{
    switch (kind) {
    case FILE_CURRENT:
    case FILE_LOCK:
    case FILE_TAIL:
    case FILE_EVENTS:
    case FILE_EVENTS_OLD:
    case FILE_INCOMPLETE:
    case FILE_SCRUB:
        return true;
    case FILE_KEYS:
        return f->tree->keys != NULL;
    case FILE_TABLE:
        return table_named(f->view->version, number);
    case FILE_BLOB:
        return version_find_blob(f->view->version, number) || gen_names(f->view, kind, number);
    case FILE_PARITY:
        return table_named(f->view->version, number) || version_find_blob(f->view->version, number);
    case FILE_LOG:
        return gen_names(f->view, kind, number) || empty_log(f, number);
    case FILE_MANIFEST:
        return number == f->manifest;
    default:
        return false;
    }
}

/* It holds operations, but history ends before them. */
static bool stale_log(const struct folder *f, enum file_kind kind, uint64_t number)
{
    return kind == FILE_LOG && number >= f->view->version->log_number;
}

static int check_name(void *ctx, const char *name)
{
    struct folder *f = ctx;
    enum file_kind kind;
    uint64_t number;
    if (name_parse(name, &kind, &number) != 0)
        check_tell(f->report, FINDING_UNKNOWN_FILE, STORE_WARNING, name, UINT64_MAX,
                   "this file is none of varvefs's; it is left alone");
    else if (!named(f, kind, number) && stale_log(f, kind, number))
        check_tell(f->report, FINDING_LOG, STORE_WARNING, name, UINT64_MAX,
                   "it goes on from operations that an earlier log has lost, as after a power cut "
                   "what was not synced; the next mount removes it");
    else if (!named(f, kind, number))
        check_tell(f->report, FINDING_UNNAMED_FILE, STORE_WARNING, name, UINT64_MAX,
                   "nothing refers to this file any more; the next mount removes it");
    return 0;
}

/* ---- ends ---- */

/* Reads the log to its end; `*end_seq` is the number after its last operation. 0 or an error. */
static int read_log(struct journal_reader *j, uint64_t *end_seq)
{
    struct slice record;
    struct batch_reader b;
    int err;
    *end_seq = 0;
    while ((err = journal_next(j, &record)) == 0)
        if (batch_reader_init(&b, record) == 0)
            *end_seq = b.first_seq + b.count;
    return err < 0 ? err : 0;
}

/* `taken` is the number after the last operation that replay took from it. */
static void check_log_end(struct check_report *r, struct tree *t, uint64_t number, uint64_t taken)
{
    char name[48];
    struct journal_reader *j;
    uint64_t end_seq;
    snprintf(name, sizeof name, "%06" PRIu64 ".log", number);
    corrupt_forget();
    int err = journal_open(t->env, t->dir, FILE_LOG, number, t->uuid, &j);
    if (err == 0) {
        err = read_log(j, &end_seq);
        if (err == 0 && end_seq > taken)
            check_tell(r, FINDING_LOG_TAIL, STORE_NOTE, name, UINT64_MAX,
                       "its last operations refer to values that are not there, as a power cut "
                       "leaves them; what comes before is whole");
        else if (err == 0 && journal_end(j) == JOURNAL_TORN)
            check_tell(r, FINDING_LOG_TAIL, STORE_NOTE, name, journal_offset(j),
                       "it ends in bytes that do not verify, as a power cut leaves them; what "
                       "comes before is whole");
        journal_reader_free(j);
    }
    if (err < 0)
        check_tell_error(r, FINDING_LOG, name, err);
}

/* A second reading of the manifest, for its number and how it ends. */
static void check_manifest_end(struct check_report *r, struct tree *t, uint64_t *number)
{
    uint8_t uuid[UUID_SIZE];
    struct lineage lineage = {0};
    struct version_source src = t->source;
    struct version *v = NULL;
    enum journal_end end;
    src.uuid = uuid;
    src.lineage = &lineage;
    src.on_death = NULL;
    corrupt_forget();
    int err = manifest_read(&src, uuid, &v, number, &end);
    if (err == 0 && end != JOURNAL_CLEAN) {
        char name[48];
        snprintf(name, sizeof name, "%06" PRIu64 ".manifest", *number);
        check_tell(
            r, FINDING_MANIFEST_TAIL, STORE_WARNING, name, UINT64_MAX,
            "it ends in bytes that do not verify, as a power cut leaves them; what comes before "
            "is whole");
    }
    if (err < 0)
        check_tell_error(r, FINDING_MANIFEST, "", err);
    version_unref(v);
    lineage_release(&lineage);
}

void check_folder(struct check_report *r, struct tree *t, struct view *v)
{
    struct folder f = {.report = r, .tree = t, .view = v};
    check_manifest_end(r, t, &f.manifest);
    for (uint32_t i = v->gen_count; i-- > 0;)
        check_log_end(r, t, v->gens[i]->log_number,
                      i > 0 ? v->gens[i - 1]->first_seq : tree_published(t));
    int err = t->env->list(t->env, t->dir, check_name, &f);
    if (err < 0)
        check_tell_error(r, FINDING_UNKNOWN_FILE, t->dir, err);
}

/* ---- a store that does not open ---- */

struct closed {
    struct check_report report;
    struct env *env;
    const char *dir;
};

static int check_header(void *ctx, const char *name)
{
    struct closed *c = ctx;
    enum file_kind kind;
    uint64_t number;
    struct file file;
    if (name_parse(name, &kind, &number) != 0 || kind > FILE_BLOB)
        return 0;
    corrupt_forget();
    int err = file_open_maybe(c->env, c->dir, kind, number, NULL, &file);
    if (err == 0)
        file_close(&file);
    if (err < 0)
        check_tell_error(&c->report, FINDING_FILE_HEADER, name, err);
    return c->report.stopped;
}

static void check_incomplete(struct closed *c)
{
    uint64_t size;
    char *path = name_incomplete(c->dir);
    if (c->env->file_size(c->env, path, &size) == 0)
        check_tell(&c->report, FINDING_CURRENT, STORE_DAMAGE, "INCOMPLETE", UINT64_MAX,
                   "the folder is a checkpoint that was not finished; it can be deleted");
    free(path);
}

bool check_current(struct check_report *r, struct env *env, const char *dir)
{
    char *path = name_current(dir);
    struct env_file *f;
    uint8_t bytes[256];
    size_t got = 0;
    uint64_t number;
    int err = env->open(env, path, ENV_OPEN_READ, &f);
    if (err == 0) {
        err = f->ops->read(f, 0, bytes, sizeof bytes, &got);
        f->ops->close(f);
    }
    free(path);
    if (err == 0 && current_decode(slice_of(bytes, got), &number) == 0)
        return true;
    check_tell(r, FINDING_CURRENT, STORE_DAMAGE, "CURRENT", UINT64_MAX,
               err < 0 ? strerror(-err) : "it does not say which manifest is in force");
    return false;
}

int check_closed(struct env *env, const char *dir, store_finding_fn *fn, void *ctx)
{
    struct closed c = {.report = {.fn = fn, .ctx = ctx}, .env = env, .dir = dir};
    uint8_t uuid[UUID_SIZE];
    struct lineage lineage = {0};
    struct version_source src = {.env = env, .dir = dir, .uuid = uuid, .lineage = &lineage};
    check_incomplete(&c);
    if (check_current(&c.report, env, dir)) {
        struct version *v = NULL;
        uint64_t number;
        enum journal_end end;
        corrupt_forget();
        int err = manifest_read(&src, uuid, &v, &number, &end);
        if (err < 0)
            check_tell_error(&c.report, FINDING_MANIFEST, "", err);
        else if (err == 0)
            check_tell(
                &c.report, FINDING_LOG, STORE_DAMAGE, "", UINT64_MAX,
                "the manifest is sound, but its logs cannot be replayed: see the messages above");
        version_unref(v);
    }
    lineage_release(&lineage);
    int err = env->list(env, dir, check_header, &c);
    return err < 0 ? err : 0;
}
