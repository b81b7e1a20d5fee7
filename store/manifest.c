/* manifest: see manifest.h.
 *
 * Guarantees: once manifest_append() returned 0 every later manifest_read() sees the edit, whatever
 * power cut comes between; after -ENOSPC none does.
 *
 * Invariants:
 *   1. CURRENT is only ever replaced by rename, with a file that was synced, and after everything
 *      that it leads to was synced.
 *   2. The first record of a manifest is its base, with the uuid and the features of the store; the
 *      uuid is that of the file's header.
 *   3. Once the outcome of a write or a rename is unknown nothing is written any more, and nothing
 *      is removed that CURRENT may name. */
#include "store/manifest.h"

#include "store/err.h"
#include "store/keyring.h"
#include "store/replace.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

enum {
    ROTATE_LEAST_BYTES = 4 << 20,
    ROTATE_TIMES_BASE = 4,
    CURRENT_SIZE_MAX = 256, /* a good deal more than it ever has */
};

static int io_failed(const char *path, const char *what, int err)
{
    assert(err < 0);
    log_message(LOG_ERROR, "%s: cannot %s: %s", path, what, strerror(-err));
    return err;
}

/* ---- reading ---- */

/* Returns 0, 1 when there is no CURRENT, or an error that was raised. */
int manifest_current(struct env *env, const char *dir, uint64_t *number)
{
    char *path = name_current(dir);
    uint8_t bytes[CURRENT_SIZE_MAX];
    size_t got = 0;
    struct env_file *f;
    int ret = env->open(env, path, ENV_OPEN_READ, &f);
    if (ret < 0) {
        ret = ret == -ENOENT ? 1 : io_failed(path, "open it", ret);
        goto done;
    }
    ret = f->ops->read(f, 0, bytes, sizeof bytes, &got);
    f->ops->close(f);
    if (ret < 0) {
        io_failed(path, "read it", ret);
        goto done;
    }
    ret = current_decode(slice_of(bytes, got), number);
    if (ret != 0)
        ret = corrupt(path, 0, ret == 1 ? "it does not name a manifest" : "its checksum is wrong");
done:
    free(path);
    return ret;
}

struct reading {
    const struct version_source *src;
    char *path; /* of the manifest, for messages */
    struct journal_reader *journal;
    struct version *version; /* NULL until the base was applied */
};

/* What the edit says of the store as a whole: is it ours, and do we know all of it? */
static int check_identity(const struct reading *r, const struct edit *e)
{
    uint64_t at = journal_offset(r->journal);
    if (!r->version && !e->has_uuid)
        return corrupt(r->path, at, "the base state is missing");
    if (!e->has_uuid)
        return 0;
    if (memcmp(e->uuid, journal_header(r->journal)->uuid, UUID_SIZE) != 0)
        return corrupt(r->path, at, "the state is that of another volume");
    if ((e->features & ~FEATURES_KNOWN) == 0)
        return 0;
    log_message(LOG_ERROR,
                "%s: made by a newer varvefs: it uses features 0x%" PRIx64
                " that this program does not know; upgrade varvefs",
                r->path, e->features & ~FEATURES_KNOWN);
    return -EPROTONOSUPPORT;
}

static int decode_record(const struct reading *r, struct slice record, struct edit *e)
{
    int err = edit_decode(record, e);
    if (err == -EPROTONOSUPPORT)
        log_message(LOG_ERROR,
                    "%s: made by a newer varvefs: the record at offset %" PRIu64
                    " has a field that this program does not know; upgrade varvefs",
                    r->path, journal_offset(r->journal));
    else if (err < 0)
        err = corrupt(r->path, journal_offset(r->journal), "the record is no edit");
    return err;
}

/* The ancestors are named once, before any of their files is. */
static int take_ancestors(const struct reading *r, const struct edit *e)
{
    struct lineage *l = r->src->lineage;
    if (e->ancestors.count == 0)
        return 0;
    if (r->version || !l || l->count > 0)
        return corrupt(r->path, journal_offset(r->journal), "ancestors that do not belong there");
    for (uint32_t i = 0; i < e->ancestors.count; i++)
        lineage_add(l, e->ancestors.parts[i].end, e->ancestors.parts[i].uuid);
    assert(l->count == e->ancestors.count);
    return 0;
}

static int apply_record(struct reading *r, struct slice record)
{
    struct edit e;
    struct version *next = NULL, *base = r->version;
    edit_init(&e);
    int err = decode_record(r, record, &e);
    if (err == 0)
        err = check_identity(r, &e);
    if (err == 0)
        err = take_ancestors(r, &e);
    if (err < 0)
        goto done;
    if (!base)
        base = version_new(r->src);
    err = version_apply(base, &e, NULL, 0, &next);
    if (err < 0)
        err =
            corrupt(r->path, journal_offset(r->journal), "the edit does not fit what is before it");
    version_unref(base);
    r->version = next;
done:
    edit_release(&e);
    return err;
}

static int read_records(struct reading *r)
{
    struct slice record;
    int ret;
    while ((ret = journal_next(r->journal, &record)) == 0) {
        ret = apply_record(r, record);
        if (ret < 0)
            return ret;
    }
    if (ret < 0)
        return ret;
    if (!r->version)
        return corrupt(r->path, journal_offset(r->journal),
                       "the base state is missing or does not verify");
    version_assert_valid(r->version);
    return 0;
}

static int open_journal(struct reading *r, uint64_t number)
{
    const struct version_source *src = r->src;
    int ret = journal_open(src->env, src->dir, FILE_MANIFEST, number, NULL, &r->journal);
    if (ret == -ENOENT)
        ret = corrupt(r->path, UINT64_MAX, "CURRENT names it, but it is missing");
    else if (ret == 1)
        ret = corrupt(r->path, 0, "CURRENT names it, but it is empty");
    return ret;
}

/* Is it that of a volume that the keys were not made for? Then they may be a relative's, and fit.
 */
static bool foreign_keys(const struct reading *r)
{
    const struct keyring *keys = r->src->env->keys;
    return keys && memcmp(journal_header(r->journal)->uuid, keyring_uuid(keys), UUID_SIZE) != 0;
}

int manifest_read_file(const struct version_source *src, uint8_t uuid_out[UUID_SIZE],
                       uint64_t number, struct version **version, enum journal_end *end)
{
    assert(src->uuid == uuid_out);
    struct reading r = {.src = src};
    *version = NULL;
    *end = JOURNAL_MORE;
    r.path = name_file(src->dir, FILE_MANIFEST, number);
    int ret = open_journal(&r, number);
    if (ret < 0)
        goto done;
    memcpy(uuid_out, journal_header(r.journal)->uuid, UUID_SIZE);
    ret = read_records(&r);
    if (ret == -EIO && !r.version && foreign_keys(&r))
        corrupt(r.path, 0, "the file belongs to another volume than the keys");
    *end = journal_end(r.journal);
    if (ret == 0) {
        assert(*end != JOURNAL_MORE && memcmp(r.version->uuid, uuid_out, UUID_SIZE) == 0);
        *version = version_ref(r.version);
    }
done:
    version_unref(r.version);
    journal_reader_free(r.journal);
    free(r.path);
    return ret;
}

int manifest_read(const struct version_source *src, uint8_t uuid_out[UUID_SIZE],
                  struct version **version, uint64_t *manifest_number, enum journal_end *end)
{
    *version = NULL;
    *manifest_number = 0;
    *end = JOURNAL_MORE;
    int ret = manifest_current(src->env, src->dir, manifest_number);
    return ret != 0 ? ret : manifest_read_file(src, uuid_out, *manifest_number, version, end);
}

void manifest_each_table(struct env *env, const char *dir, uint64_t number,
                         const uint8_t uuid[UUID_SIZE], manifest_table_fn *fn, void *ctx)
{
    struct journal_reader *j;
    struct slice record;
    if (journal_open(env, dir, FILE_MANIFEST, number, uuid, &j) != 0)
        return;
    while (journal_next(j, &record) == 0) {
        struct edit e;
        edit_init(&e);
        if (edit_decode(record, &e) == 0)
            for (uint32_t i = 0; i < e.tables_added_count; i++)
                fn(ctx, e.tables_added[i].meta);
        edit_release(&e);
    }
    journal_reader_free(j);
}

/* ---- writing ---- */

struct manifest {
    struct journal_writer *journal;
    uint64_t number;
    uint64_t base_bytes; /* of the file when it held the base only */
};

/* Adds the record and makes it durable. -ENOSPC: it never was in the file; so after a sync that
 * failed, or a write that could not be taken back (which a sync would refuse), it is -EIO. */
static int append_durably(struct journal_writer *w, const struct edit *e)
{
    struct buf record = {0};
    edit_encode(e, &record);
    assert(record.len > 0 && record.len <= FRAME_RAW_MAX);
    journal_add(w, buf_slice(&record));
    buf_release(&record);
    int err = journal_write(w);
    bool written = err == 0;
    if (err == 0 || err == -ENOSPC) {
        int synced = journal_sync(w);
        if (written || synced < 0)
            err = synced;
    }
    return err == -ENOSPC && written ? -EIO : err;
}

/* Puts manifest `number`, which is durable, in force. `*tried`: CURRENT may have changed, also on
 * failure. */
static int current_replace(struct env *env, const char *dir, uint64_t number, bool *tried)
{
    char *path = name_current(dir), *temp = name_temp(dir, number);
    struct buf text = {0};
    current_encode(number, &text);
    int err = replace_file(env, dir, temp, path, buf_slice(&text), tried);
    buf_release(&text);
    free(temp);
    free(path);
    return err;
}

static int write_base(struct env *env, const char *dir, const struct version *v,
                      struct journal_writer *w)
{
    struct edit base;
    edit_init(&base);
    version_to_edit(v, &base);
    int err = append_durably(w, &base);
    edit_release(&base);
    if (err == 0) {
        err = env->sync_dir(env, dir);
        if (err < 0)
            io_failed(dir, "sync the folder", err);
    }
    return err;
}

int manifest_start(struct env *env, const char *dir, uint64_t number, const struct version *v,
                   struct manifest **out)
{
    version_assert_valid(v);
    assert(number != 0);
    bool tried = false;
    char *path = name_file(dir, FILE_MANIFEST, number);
    struct manifest *m = mem_zalloc(sizeof *m);
    *out = NULL;
    m->number = number;
    int err = journal_create(env, dir, FILE_MANIFEST, number, v->uuid, &m->journal);
    if (err < 0)
        goto done;
    err = write_base(env, dir, v, m->journal);
    if (err == 0)
        err = current_replace(env, dir, number, &tried);
    if (err < 0 && !tried)
        env->remove(env, path);
done:
    if (err < 0) {
        manifest_free(m);
    } else {
        m->base_bytes = journal_size(m->journal);
        *out = m;
    }
    free(path);
    return err;
}

void manifest_free(struct manifest *m)
{
    if (!m)
        return;
    journal_writer_free(m->journal);
    free(m);
}

int manifest_append(struct manifest *m, const struct edit *e)
{
    assert(m->base_bytes >= FILE_HEADER_SIZE && journal_size(m->journal) >= m->base_bytes);
    return append_durably(m->journal, e);
}

uint64_t manifest_number(const struct manifest *m)
{
    return m->number;
}

bool manifest_wants_rotation(const struct manifest *m)
{
    uint64_t edits = journal_size(m->journal) - m->base_bytes;
    return edits > ROTATE_LEAST_BYTES && edits > ROTATE_TIMES_BASE * m->base_bytes;
}
