/* heal: see heal.h.
 *
 * Invariant: a live file is never written to. Until the rename the copy has a name (NNNNNN.tmp)
 * that the next open removes. */
#include "store/heal.h"

#include "store/throttle.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/err.h"
#include "store/parity.h"

enum { COPY_BYTES = 1 << 20 };

/* ---- which ---- */

static struct version_table *find_table(struct version *v, uint64_t number)
{
    for (int level = 0; level < LEVEL_COUNT; level++)
        for (uint32_t i = 0; i < v->levels[level].count; i++)
            if (v->levels[level].tables[i]->number == number)
                return v->levels[level].tables[i];
    return NULL;
}

void heal_mark(struct tree *t, struct version *v)
{
    struct care_file *files;
    if (!care_any(&t->care))
        return;
    size_t count = care_list(&t->care, &files);
    for (size_t i = 0; i < count; i++) {
        const struct care_file *f = &files[i];
        struct version_table *vt = f->kind == FILE_TABLE ? find_table(v, f->number) : NULL;
        if (vt)
            __atomic_store_n(&vt->heal, true, __ATOMIC_RELAXED);
        else if (f->kind == FILE_TABLE || !version_find_blob(v, f->number))
            care_done(&t->care, f->kind, f->number, f->kind == FILE_TABLE);
    }
    free(files);
}

/* ---- a blob file written anew ---- */

struct copying {
    struct tree *tree;
    struct env *env;
    char *path, *temp;
    struct env_file *from, *to;
    struct parity *parity;
};

static void copying_release(struct copying *c)
{
    if (c->from)
        c->from->ops->close(c->from);
    if (c->to)
        c->to->ops->close(c->to);
    parity_free(c->parity);
    free(c->path);
    free(c->temp);
}

/* 0, 1 when some of it is lost, or an error. */
static int copy_all(struct copying *c)
{
    uint64_t size = parity_get_layout(c->parity)->file_bytes;
    uint8_t *bytes = mem_alloc(COPY_BYTES);
    int err = 0;
    for (uint64_t at = 0; at < size && err == 0; at += COPY_BYTES) {
        size_t len = size - at < COPY_BYTES ? (size_t)(size - at) : COPY_BYTES;
        err = parity_restore(c->parity, c->from, at, bytes, len);
        if (err == 0)
            err = c->to->ops->write(c->to, at, bytes, len);
        if (err == 0)
            throttle_take(c->tree, len, false);
    }
    free(bytes);
    return err;
}

static int open_all(struct copying *c, uint64_t number)
{
    int err = c->env->open(c->env, c->path, ENV_OPEN_READ, &c->from);
    if (err == 0)
        err = parity_open(c->env, c->path, number, &c->parity);
    if (err != 0)
        return err;
    err = c->env->open(c->env, c->temp, ENV_OPEN_CREATE, &c->to);
    if (err == -EEXIST) {
        err = c->env->remove(c->env, c->temp); /* of an attempt that failed */
        if (err == 0)
            err = c->env->open(c->env, c->temp, ENV_OPEN_CREATE, &c->to);
    }
    return err;
}

/* Written, synced, and under its name. 0, 1 when it cannot be done, or an error. */
static int write_anew(struct tree *t, uint64_t number)
{
    struct copying c = {.tree = t,
                        .env = t->env,
                        .path = name_file(t->dir, FILE_BLOB, number),
                        .temp = name_temp(t->dir, number)};
    int err = open_all(&c, number);
    if (err == 0)
        err = copy_all(&c);
    if (err == 0)
        err = c.to->ops->sync(c.to);
    bool made = c.to != NULL;
    if (made)
        c.to->ops->close(c.to);
    c.to = NULL;
    if (err == 0)
        err = t->env->rename(t->env, c.temp, c.path);
    if (err == 0)
        err = t->env->sync_dir(t->env, t->dir);
    else if (made)
        t->env->remove(t->env, c.temp);
    copying_release(&c);
    return err;
}

static int heal_blob(struct tree *t, struct version_blob *blob)
{
    char name[48];
    snprintf(name, sizeof name, "%06" PRIu64 ".blob", blob->number);
    int err = write_anew(t, blob->number);
    if (err == 0)
        err = version_blob_reopen(blob);
    if (err == 0) {
        log_message(LOG_INFO, "%s: healed", name);
        care_done(&t->care, FILE_BLOB, blob->number, true);
    } else if (err == 1) {
        log_message(LOG_ERROR, "%s: some of it cannot be rebuilt, so it cannot be healed", name);
        care_beyond(&t->care, FILE_BLOB, blob->number);
        err = 0;
    } else {
        log_message(LOG_WARNING, "%s: healing it failed and will be tried again: %s", name,
                    strerror(-err));
    }
    return err;
}

int heal_step(struct tree *t)
{
    struct care_file *files;
    if (!care_any(&t->care))
        return 1;
    size_t count = care_list(&t->care, &files);
    struct view *v = viewbox_get(t->box);
    int err = 1;
    for (size_t i = 0; i < count && err == 1; i++) {
        struct version_blob_state *s = files[i].kind == FILE_BLOB && !files[i].beyond
                                           ? version_find_blob(v->version, files[i].number)
                                           : NULL;
        if (s)
            err = heal_blob(t, s->blob);
    }
    view_unref(v);
    free(files);
    return err;
}
