/* rekey: see rekey.h.
 *
 * Guarantees: a master key is dropped only if no file in the folder is encrypted with it, whatever
 * names the file or does not. A file whose header cannot be read keeps all keys.
 *
 * Why no file of an older generation can appear after the folder was looked at: the current one is
 * fixed while the store is open, and nothing but this process makes files there. */
#include "store/rekey.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "store/file.h"

/* The folder is looked at again after this long at the earliest. */
#define AGAIN_NS UINT64_C(1000000000)

uint32_t rekey_epoch(const struct tree *t)
{
    if (!t->keys || keyring_count(keyslots_ring(t->keys)) < 2)
        return 0;
    return keyring_current(keyslots_ring(t->keys));
}

/* ---- what is left ---- */

static void count(struct store_stats *s, uint64_t bytes)
{
    s->old_key_files++;
    s->old_key_bytes += bytes;
}

static uint64_t log_bytes(const struct tree *t, uint64_t number)
{
    uint64_t size = 0;
    char *path = name_file(t->dir, FILE_LOG, number);
    if (t->env->file_size(t->env, path, &size) < 0)
        size = 0; /* gone since a moment */
    free(path);
    return size;
}

static void count_version(const struct version *v, uint32_t epoch, struct store_stats *out)
{
    for (int level = 0; level < LEVEL_COUNT; level++)
        for (uint32_t i = 0; i < v->levels[level].count; i++)
            if (v->levels[level].tables[i]->meta->key_epoch != epoch)
                count(out, table_meta_bytes(v->levels[level].tables[i]->meta));
    for (uint32_t i = 0; i < v->blob_count; i++)
        if (v->blobs[i].key_epoch != epoch)
            count(out, v->blobs[i].file_bytes);
}

void rekey_stats(const struct tree *t, const struct view *v, struct store_stats *out)
{
    uint32_t epoch = rekey_epoch(t);
    if (!t->keys)
        return;
    out->key_epoch = keyring_current(keyslots_ring(t->keys));
    out->key_generations = keyring_count(keyslots_ring(t->keys));
    if (epoch == 0)
        return;
    count_version(v->version, epoch, out);
    /* Logs that were replayed, and their blob files, may be of any generation. */
    for (uint32_t i = 0; i < v->gen_count; i++)
        if (v->gens[i]->log_number < t->first_file)
            count(out, log_bytes(t, v->gens[i]->log_number));
}

static bool something_left(const struct tree *t)
{
    struct store_stats stats = {0};
    struct view *v = viewbox_get(t->box);
    rekey_stats(t, v, &stats);
    view_unref(v);
    return stats.old_key_files > 0;
}

/* ---- the proof ---- */

struct search {
    struct tree *tree;
    uint32_t epoch;
};

/* 1 for a file that is, or may be, of an older generation. */
static int look_at(void *ctx, const char *name)
{
    const struct search *s = ctx;
    struct tree *t = s->tree;
    enum file_kind kind;
    uint64_t number;
    struct file f;
    if (name_parse(name, &kind, &number) != 0 || kind > FILE_BLOB || number >= t->first_file)
        return 0;
    int err = file_open_keyless(t->env, t->dir, kind, number, &f);
    if (err == -ENOENT || err == 1)
        return 0; /* removed since a moment, or without anything in it */
    bool old = err != 0 || f.header.key_epoch != s->epoch;
    if (err == 0)
        file_close(&f);
    return old;
}

/* ---- dropping ---- */

static int drop(struct tree *t, uint32_t epoch)
{
    pthread_mutex_lock(&t->install);
    int err = keyring_count(keyslots_ring(t->keys)) > 1 ? 0 : 1;
    if (err == 0) {
        keyslots_drop_before(t->keys, epoch);
        err = keyslots_write(t->keys, t->env, t->dir);
    }
    pthread_mutex_unlock(&t->install);
    if (err == 0)
        log_message(LOG_INFO,
                    "%s: everything is encrypted with generation %" PRIu32
                    " of the key; the older ones are gone",
                    t->dir, epoch);
    return err;
}

int rekey_finish(struct tree *t)
{
    struct search s = {.tree = t, .epoch = rekey_epoch(t)};
    if (s.epoch == 0 || t->read_only || something_left(t))
        return 1;
    uint64_t now = t->env->monotonic_ns(t->env);
    uint64_t due = __atomic_load_n(&t->rekey_ns, __ATOMIC_RELAXED);
    if (now < due || !__atomic_compare_exchange_n(&t->rekey_ns, &due, now + AGAIN_NS, false,
                                                  __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        return 1;
    int err = t->env->list(t->env, t->dir, look_at, &s);
    return err != 0 ? err : drop(t, s.epoch);
}
