/* store: opening, closing, writing, reading; the rest of the door is in store_work.c, store_pin.c
 * and store_stats.c. Only glue: each function names the module that does it. */
#include "store/store.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "store/env.h"
#include "store/folder.h"
#include "store/parity.h"
#include "store/recover.h"
#include "store/store_priv.h"
#include "store/unlock.h"

enum { OPTION_FILTER_MAX = 65536, OPTION_LOG_N_MAX = 20 };
#define OPTION_BYTES_MAX (UINT64_C(1) << 48)

/* What the store's arithmetic relies on; the rest is a matter of taste. */
static int check_options(const struct store_options *o)
{
    bool good = o->memtable_bytes >= 1 && o->memtables_max >= 2 && o->block_bytes >= 1 &&
                o->block_bytes <= FRAME_RAW_MAX / 4 && o->table_bytes >= 1 &&
                o->table_bytes <= OPTION_BYTES_MAX && o->blob_bytes >= 1 && o->direct_min >= 1 &&
                o->zstd_level >= 0 && o->zstd_level <= ZSTD_LEVEL_MAX &&
                o->dict_bytes <= ZSTD_DICT_BYTES_MAX && o->dict_gain_percent <= 100 &&
                o->filter_one_in <= OPTION_FILTER_MAX && o->reserve_bytes <= OPTION_BYTES_MAX &&
                o->workers <= STORE_WORKERS_MAX && o->scrypt_log_n >= KEY_COST_LOG_N_MIN &&
                o->scrypt_log_n <= OPTION_LOG_N_MAX;
    struct parity_options parity = {o->parity_data, o->parity_shards};
    bool stale = o->blob_stale_percent >= 1 && o->blob_stale_percent <= 100 &&
                 o->blob_age_percent <= 100 && o->blob_garbage_percent >= 1 &&
                 o->blob_garbage_percent <= 100;
    return good && stale && parity_options_check(&parity) == 0 ? 0 : -EINVAL;
}

/* ---- making ---- */

static int make_manifest(struct env *env, const char *dir, const uint8_t uuid[UUID_SIZE])
{
    struct version_source src = {.env = env, .dir = dir, .uuid = uuid};
    struct manifest *m = NULL;
    struct version *v = version_new(&src);
    memcpy(v->uuid, uuid, UUID_SIZE);
    v->flushed_seq = 1;
    v->next_file = 2;
    int err = manifest_start(env, dir, 1, v, &m);
    manifest_free(m);
    version_unref(v);
    return err;
}

/* Keys come first: what CURRENT leads to can be opened with them. */
static int make_store(struct env *env, const char *dir, const struct store_options *o)
{
    uint8_t uuid[UUID_SIZE];
    struct keyslots *keys = NULL;
    struct env sealed = *env;
    int err = env->random(env, uuid, sizeof uuid);
    if (err == 0 && o->secret)
        err = unlock_new(env, dir, o, uuid, &keys);
    if (err == 0) {
        sealed.keys = keys ? keyslots_ring(keys) : NULL;
        err = make_manifest(&sealed, dir, uuid);
    }
    keyslots_free(keys);
    return err;
}

int store_create(const char *dir, const struct store_options *o)
{
    struct env *env = o->env ? o->env : env_posix();
    struct env_lock *lock = NULL;
    int err = check_options(o);
    if (err < 0)
        return err;
    char *lock_path = name_lock(dir);
    err = folder_claim(env, dir);
    if (err == 0)
        err = env->lock(env, lock_path, &lock);
    if (err == 0)
        err = make_store(env, dir, o);
    if (err == 0)
        err = folder_sync_parent(env, dir);
    if (lock)
        env->unlock(env, lock);
    free(lock_path);
    return err;
}

/* ---- opening ---- */

/* Who only reads keeps writers out, but makes no lock file where there is none: that folder was
 * never opened for writing. */
static int take_lock(struct tree *t)
{
    char *path = name_lock(t->dir);
    int err = t->read_only ? t->env->lock_read(t->env, path, &t->dir_lock)
                           : t->env->lock(t->env, path, &t->dir_lock);
    if (t->read_only && err == -ENOENT)
        err = 0;
    free(path);
    return err;
}

/* A folder without CURRENT is no store, nor is one that a checkpoint was begun in; say so before a
 * lock file is made in it. */
static int require_store(struct tree *t)
{
    char *path = name_current(t->dir), *marker = name_incomplete(t->dir);
    uint64_t size;
    int err = t->env->file_size(t->env, marker, &size);
    if (err == -ENOENT) {
        err = t->env->file_size(t->env, path, &size);
    } else if (err == 0) {
        log_message(LOG_INFO, /* the error says as much */
                    "%s: a checkpoint that is not finished; if nothing works on it any "
                    "more, delete the folder",
                    t->dir);
        err = -EUCLEAN;
    }
    free(marker);
    free(path);
    return err;
}

/* From here on t->env reaches files through the keys. */
static int take_keys(struct tree *t, const struct store_options *o)
{
    int err = unlock_store(t->env, t->dir, o, &t->keys);
    if (t->keys)
        t->env_with_keys.keys = keyslots_ring(t->keys);
    if (err == 0 && t->keys && !t->read_only)
        keyslots_remove_temp(t->env, t->dir);
    return err;
}

static int recover(struct tree *t, uint64_t *next_seq)
{
    int err = recover_run(t, next_seq);
    return err == -ENOKEY && !t->keys ? unlock_missing(t->env, t->dir) : err;
}

static uint64_t blob_bytes_max(struct tree *t)
{
    struct env_space space;
    bool known = t->env->space(t->env, t->dir, &space) == 0;
    return known ? tree_blob_bytes_for(space.total_bytes) : UINT64_MAX;
}

static void wake_helpers(void *ctx)
{
    tree_wake(ctx);
}

static void tree_setup(struct tree *t, const char *dir, const struct store_options *o)
{
    t->env_with_keys = *(o->env ? o->env : env_posix());
    t->env = &t->env_with_keys;
    t->dir = mem_strdup(dir);
    t->read_only = o->read_only;
    t->filter = o->filter;
    t->blob_bytes_max = blob_bytes_max(t);
    settings_box_init(&t->settings, o);
    counters_init(&t->counts);
    t->cache = cache_new(o->cache_bytes);
    t->values = values_new(t->cache, o->cache_bytes);
    tree_expect_memory(t, o);
    purge_init(&t->purge, t->env, t->dir);
    care_init(&t->care);
    tree_init_locks(t);
    t->dicts = dicts_new();
    t->squad = mem_alloc(sizeof *t->squad);
    squad_init(t->squad, wake_helpers, t);
    t->processors = t->env->processors(t->env);
    t->read_ctx = (struct view_context){.merge = o->merge,
                                        .cache = t->cache,
                                        .values = t->values,
                                        .prefix = o->prefix,
                                        .counters = &t->counts,
                                        .env = t->env};
}

static void on_death(void *ctx, enum file_kind kind, uint64_t number, struct table *table)
{
    struct tree *t = ctx;
    if (table)
        purge_add_table(&t->purge, number, table);
    else
        purge_add(&t->purge, kind, number);
}

static void on_cut(void *ctx, const struct table_meta *left)
{
    struct tree *t = ctx;
    purge_add_hole(&t->purge, left);
}

static void tree_teardown(struct tree *t)
{
    if (t->box)
        viewbox_free(t->box);
    if (!t->read_only)
        purge_run(&t->purge);
    manifest_free(t->manifest);
    events_free(t->events);
    if (t->dir_lock)
        t->env->unlock(t->env, t->dir_lock);
    purge_release(&t->purge);
    values_free(t->values);
    cache_free(t->cache);
    tree_expect_memory(t, NULL);
    keyslots_free(t->keys);
    settings_box_release(&t->settings);
    counters_release(&t->counts);
    care_release(&t->care);
    squad_release(t->squad);
    free(t->squad);
    dicts_free(t->dicts);
    tree_destroy_locks(t);
    lineage_release(&t->lineage);
    free(t->pending_pins);
    free(t->failure);
    free(t->dir);
}

static void release(struct store *s)
{
    if (s->scrubbed)
        scrub_release(&s->scrub);
    tree_teardown(&s->tree);
    pthread_mutex_destroy(&s->pins);
    pthread_mutex_destroy(&s->setting);
    free(s);
}

/* What recovery has left goes to tables before anything new is acknowledged (tree.h). */
static int flush_history(struct tree *t)
{
    int err;
    while ((err = work_flush(t)) == 0)
        ;
    return err < 0 ? err : 0;
}

static void tell_opening(struct tree *t, uint64_t next_seq)
{
    struct view *v = viewbox_get(t->box);
    uint32_t tables = 0;
    for (int level = 0; level < LEVEL_COUNT; level++)
        tables += v->version->levels[level].count;
    events_say(t->events, "open",
               "sequence number %" PRIu64 ", %" PRIu32 " tables, %" PRIu32 " logs replayed",
               next_seq, tables, v->gen_count - 1);
    view_unref(v);
}

int store_open(const char *dir, const struct store_options *o, struct store **out)
{
    *out = NULL;
    int err = check_options(o);
    if (err < 0)
        return err;
    struct store *s = mem_zalloc(sizeof *s);
    struct tree *t = &s->tree;
    uint64_t next_seq = 0;
    tree_setup(t, dir, o);
    pthread_mutex_init(&s->pins, NULL);
    pthread_mutex_init(&s->setting, NULL);
    s->pulled = o->workers == 0;
    t->source = (struct version_source){.env = t->env,
                                        .dir = t->dir,
                                        .uuid = t->uuid,
                                        .lineage = &t->lineage,
                                        .cache = t->cache,
                                        .care = &t->care,
                                        .counters = &t->counts,
                                        .on_death = on_death,
                                        .on_cut = on_cut,
                                        .death_ctx = t};
    err = require_store(t);
    if (err == 0)
        err = take_lock(t);
    if (err == 0)
        err = take_keys(t, o);
    /* Names of snapshots and pictures of keys are nobody's business where all else is encrypted. */
    if (err == 0 && !t->read_only && !t->keys)
        t->events = events_new(t->env, t->dir, &t->settings.live.events_bytes);
    if (err == 0)
        err = recover(t, &next_seq);
    if (err == 0 && !o->read_only) {
        err = commit_open(&s->commit, t, next_seq);
        s->writable = err == 0;
    }
    if (err == 0 && s->writable && t->history_cut)
        err = flush_history(t);
    if (s->writable)
        tell_opening(t, next_seq);
    if (err == 0) {
        scrub_init(&s->scrub, t);
        s->scrubbed = true;
    }
    if (err == 0 && s->writable)
        err = store_adjust_workers(s);
    if (err == 0 && s->writable && !s->pulled)
        err = autosync_start(&s->commit.autosync);
    if (err < 0) {
        store_stop_workers(s);
        if (s->writable)
            commit_close(&s->commit);
        release(s);
        return err;
    }
    *out = s;
    return 0;
}

/* What is in memory goes into tables, so that the next open has nothing to replay. Its failure
 * loses nothing: the log has it. */
static int flush_all(struct store *s)
{
    int err = commit_seal(&s->commit);
    while (err == 0)
        err = work_flush(&s->tree);
    return err < 0 ? err : 0;
}

int store_close(struct store *s)
{
    int err = 0;
    store_stop_workers(s);
    if (s->writable) {
        if (!tree_failure(&s->tree) && flush_all(s) < 0)
            log_message(LOG_INFO, "%s: closed without a flush; the next open replays the log",
                        s->tree.dir);
        err = commit_close(&s->commit);
    }
    events_say(s->tree.events, "close", "%s", err < 0 ? strerror(-err) : "clean");
    release(s);
    return err;
}

void store_uuid(const struct store *s, uint8_t out[16])
{
    memcpy(out, s->tree.uuid, UUID_SIZE);
}

int64_t store_realtime(const struct store *s)
{
    return s->tree.env->realtime_ns(s->tree.env);
}

uint64_t store_monotonic(const struct store *s)
{
    return s->tree.env->monotonic_ns(s->tree.env);
}

const char *store_failure(struct store *s)
{
    return tree_failure(&s->tree);
}

/* ---- writing ---- */

struct store_batch *store_batch_new(struct store *s)
{
    struct store_batch *b = mem_alloc(sizeof *b);
    const struct store_options *live = &s->tree.settings.live;
    struct strength strength;
    strength_of_values(&strength, live);
    batch_init(b, setting_u32(&live->direct_min), &strength);
    b->processors = s->tree.processors;
    b->sums = setting_u32(&live->entry_sums) != 0;
    return b;
}

void store_batch_free(struct store_batch *b)
{
    if (!b)
        return;
    batch_release(b);
    free(b);
}

int store_write(struct store *s, struct store_batch *b, int flags)
{
    struct tree *t = &s->tree;
    struct counter_stripe *mine = counters_mine(&t->counts);
    if (!s->writable)
        return -EROFS;
    uint64_t began = counter_start(mine, STORE_TIME_WRITE, t->env);
    int err = commit_write(&s->commit, b, flags);
    counter_stop(mine, STORE_TIME_WRITE, t->env, began);
    counter_add(mine, COUNT_BATCH, 1);
    return err;
}

int store_sync(struct store *s)
{
    return s->writable ? commit_write(&s->commit, NULL, STORE_SYNC) : -EROFS;
}

/* ---- reading ---- */

void store_read_begin(struct store *s, struct store_read *r)
{
    r->store = s;
    r->view = viewbox_get_with_seq(s->tree.box, &s->tree.published, &r->seq);
}

void store_read_begin_at(struct store *s, uint64_t seq, struct store_read *r)
{
    assert(seq <= tree_published(&s->tree));
    *r = (struct store_read){.store = s, .view = viewbox_get(s->tree.box), .seq = seq};
}

void store_read_end(struct store_read *r)
{
    view_unref(r->view);
    *r = (struct store_read){0};
}
