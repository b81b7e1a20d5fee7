/* checkpoint: see checkpoint.h for the order of writes.
 *
 * Guarantees: once it has returned 0, the new store opens after any crash, with exactly the
 * contents that were asked for.
 *
 * Invariants:
 *   1. Everything that the new manifest names was linked or copied, and synced, before the manifest
 *      begins.
 *   2. The new store's own files have numbers from `number` on, and no file that it shares has
 *      (lineage.h). */
#include "store/checkpoint.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "store/env.h"
#include "store/folder.h"

enum { COPY_BYTES = 1 << 20 };

struct making {
    struct tree *tree;
    struct env *env;
    const char *dir;
    const struct version *from;
    uint64_t cut_seq, number;
    uint8_t uuid[UUID_SIZE];
    struct lineage lineage;
    struct version_source source;
    struct edit edit;
    struct version *made;
    struct env_lock *lock;
    bool marked, linking; /* the marker is there; links have not failed yet */
    struct store_checkpoint done;
};

/* ---- what is in it ---- */

/* The new store's identity, and the version that it begins with. */
static int prepare(struct making *m)
{
    const struct lineage *before = m->from->source->lineage;
    int err = m->env->random(m->env, m->uuid, UUID_SIZE);
    if (err < 0)
        return err;
    for (uint32_t i = 0; before && i < before->count; i++)
        lineage_add(&m->lineage, before->parts[i].end, before->parts[i].uuid);
    bool added = lineage_add(&m->lineage, m->number, m->tree->uuid);
    assert(added);
    (void)added;
    m->source = (struct version_source){
        .env = m->env, .dir = m->dir, .uuid = m->uuid, .lineage = &m->lineage};
    struct edit *e = &m->edit;
    memcpy(e->uuid, m->uuid, UUID_SIZE);
    e->next_file = m->number + 1;
    e->log_number = m->number;
    checkpoint_contents(m->from, m->cut_seq, e);
    struct version *none = version_new(&m->source);
    err = version_apply(none, &m->edit, NULL, 0, &m->made);
    version_unref(none);
    return err;
}

/* ---- files ---- */

static int write_marker(struct making *m)
{
    static const char text[] = "A checkpoint was begun here and is not finished.\n";
    char *path = name_incomplete(m->dir);
    struct env_file *f;
    int err = m->env->open(m->env, path, ENV_OPEN_CREATE, &f);
    if (err == 0) {
        m->marked = true;
        err = f->ops->write(f, 0, text, sizeof text - 1);
        if (err == 0)
            err = f->ops->sync(f);
        f->ops->close(f);
    }
    free(path);
    return err < 0 ? err : m->env->sync_dir(m->env, m->dir);
}

static int copy_bytes(struct making *m, struct env_file *from, struct env_file *to)
{
    uint8_t *piece = mem_alloc(COPY_BYTES);
    uint64_t at = 0;
    size_t got = COPY_BYTES;
    int err = 0;
    while (err == 0 && got == COPY_BYTES) {
        err = from->ops->read(from, at, piece, COPY_BYTES, &got);
        if (err == 0 && got > 0)
            err = to->ops->write(to, at, piece, got);
        at += got;
    }
    if (err == 0)
        err = to->ops->sync(to);
    m->done.copied_bytes += at;
    free(piece);
    return err;
}

static int copy_file(struct making *m, const char *from, const char *to)
{
    struct env_file *in, *out;
    int err = m->env->open(m->env, from, ENV_OPEN_READ, &in);
    if (err < 0)
        return err;
    err = m->env->open(m->env, to, ENV_OPEN_CREATE, &out);
    if (err == 0) {
        err = copy_bytes(m, in, out);
        out->ops->close(out);
    }
    in->ops->close(in);
    return err;
}

/* Errors of env.link that are about links, and not about these files. */
static bool no_links(int err)
{
    return err == -EXDEV || err == -EPERM || err == -EOPNOTSUPP || err == -ENOSYS || err == -EACCES;
}

static int bring_file(struct making *m, enum file_kind kind, uint64_t number)
{
    assert(number < m->number);
    char *from = name_file(m->tree->dir, kind, number), *to = name_file(m->dir, kind, number);
    int err = m->linking ? m->env->link(m->env, from, to) : -EXDEV;
    m->linking = m->linking && !no_links(err);
    if (err == 0) {
        m->done.linked_files++;
    } else if (no_links(err) || err == -EMLINK) {
        err = copy_file(m, from, to);
        m->done.copied_files += err == 0;
    }
    if (err == -ENOENT && kind == FILE_PARITY)
        err = 0; /* not every file has a companion */
    else if (err == -ENOENT)
        err = corrupt(from, UINT64_MAX, "the file is missing");
    else if (err < 0)
        log_message(LOG_ERROR, "%s: cannot be made of %s: %s", to, from, strerror(-err));
    free(from);
    free(to);
    return err;
}

/* The companion too: what damages a file that two stores share damages it for both, and each heals
 * it for itself, by a copy that takes the place of its own name. */
static int bring_protected(struct making *m, enum file_kind kind, uint64_t number)
{
    int err = bring_file(m, kind, number);
    return err == 0 ? bring_file(m, FILE_PARITY, number) : err;
}

/* Not a link: who may open the one volume is soon not the affair of the other. */
static int bring_keys(struct making *m)
{
    char *from = name_keys(m->tree->dir), *to = name_keys(m->dir);
    int err = m->env->remove(m->env, to); /* left by an attempt to make a store there */
    if (err == -ENOENT)
        err = 0;
    if (err == 0)
        err = copy_file(m, from, to);
    if (err == -ENOENT)
        err = corrupt(from, UINT64_MAX, "the file is missing");
    free(from);
    free(to);
    return err;
}

static int bring_files(struct making *m)
{
    const struct version *v = m->made;
    int err = m->env->keys ? bring_keys(m) : 0;
    for (uint32_t i = 0; i < v->blob_count && err == 0; i++)
        err = bring_protected(m, FILE_BLOB, v->blobs[i].blob->number);
    for (int level = 0; level < LEVEL_COUNT; level++)
        for (uint32_t i = 0; i < v->levels[level].count && err == 0; i++)
            err = bring_protected(m, FILE_TABLE, v->levels[level].tables[i]->number);
    return err;
}

/* ---- beginning and end ---- */

static int begin(struct making *m)
{
    char *path = name_lock(m->dir);
    int err = folder_claim(m->env, m->dir);
    if (err == 0)
        err = m->env->lock(m->env, path, &m->lock);
    if (err == 0)
        err = write_marker(m);
    free(path);
    return err;
}

static int finish(struct making *m)
{
    struct manifest *manifest = NULL;
    char *marker = name_incomplete(m->dir);
    /* The folder is synced before CURRENT is made, and once more behind it. */
    int err = manifest_start(m->env, m->dir, m->number, m->made, &manifest);
    manifest_free(manifest);
    if (err == 0)
        err = m->env->remove(m->env, marker);
    m->marked = m->marked && err != 0;
    if (err == 0)
        err = m->env->sync_dir(m->env, m->dir);
    if (err == 0)
        err = folder_sync_parent(m->env, m->dir);
    free(marker);
    return err;
}

static int list_name(void *ctx, const char *name)
{
    struct buf *names = ctx;
    buf_append_bytes(names, name, strlen(name) + 1);
    return 0;
}

static void remove_in(struct making *m, const char *name)
{
    char *path = mem_printf("%s/%s", m->dir, name);
    int err = m->env->remove(m->env, path);
    if (err < 0 && err != -ENOENT)
        log_message(LOG_INFO, "%s could not be removed", path);
    free(path);
}

/* CURRENT first and the marker last: what is there of it is never a store. All that the folder has
 * is ours: it was empty. */
static void abandon(struct making *m)
{
    struct buf names = {0};
    enum file_kind kind;
    uint64_t number;
    if (!m->lock)
        return; /* nothing was made, but perhaps the folder */
    remove_in(m, "CURRENT");
    int err = m->env->list(m->env, m->dir, list_name, &names);
    for (size_t at = 0; err == 0 && at < names.len; at += strlen((char *)names.data + at) + 1) {
        const char *name = (const char *)names.data + at;
        if (name_parse(name, &kind, &number) == 0 && kind != FILE_LOCK && kind != FILE_INCOMPLETE)
            remove_in(m, name);
    }
    remove_in(m, "INCOMPLETE");
    buf_release(&names);
}

int checkpoint_make(struct tree *t, const struct version *v, uint64_t cut_seq, const char *dir,
                    struct store_checkpoint *out)
{
    struct making m = {.tree = t,
                       .env = t->env,
                       .dir = dir,
                       .from = v,
                       .cut_seq = cut_seq,
                       .number = v->next_file,
                       .linking = true};
    edit_init(&m.edit);
    int err = begin(&m);
    if (err == 0)
        err = prepare(&m);
    if (err == 0)
        err = bring_files(&m);
    if (err == 0)
        err = finish(&m);
    if (err < 0)
        abandon(&m);
    if (m.lock)
        m.env->unlock(m.env, m.lock);
    m.done.seq = cut_seq ? cut_seq : v->flushed_seq;
    memcpy(m.done.uuid, m.uuid, UUID_SIZE);
    version_unref(m.made);
    edit_release(&m.edit);
    lineage_release(&m.lineage);
    *out = m.done;
    return err;
}
