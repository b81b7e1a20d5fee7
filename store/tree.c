/* tree: see tree.h.
 *
 * Invariants:
 *   1. The view's version is the manifest's last edit's; both change only under `install`, the view
 * also under `lock`.
 *   2. A memtable leaves the view in the same viewbox_set() that brings the tables made of it.
 *   3. Once `failure` is set nothing is written to the manifest or the log any more. */
#include "store/tree.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "store/pages.h"
#include "store/timed.h"

/* ---- memory ---- */

void tree_expect_memory(struct tree *t, const struct store_options *o)
{
    uint64_t bytes = o ? o->cache_bytes + o->memtables_max * o->memtable_bytes : 0;
    pages_expect((int64_t)bytes - t->expected_bytes);
    t->expected_bytes = (int64_t)bytes;
}

/* ---- waiting ---- */

/* Waiting is reckoned by the real clock that does not jump, whatever clock the env shows. */
void tree_init_locks(struct tree *t)
{
    pthread_mutex_init(&t->install, NULL);
    pthread_mutex_init(&t->lock, NULL);
    timed_init(&t->changed);
}

void tree_destroy_locks(struct tree *t)
{
    pthread_mutex_destroy(&t->install);
    pthread_mutex_destroy(&t->lock);
    pthread_cond_destroy(&t->changed);
}

void tree_wait(struct tree *t, uint64_t ns)
{
    timed_wait(&t->changed, &t->lock, timed_now() + ns);
}

void tree_wake(struct tree *t)
{
    pthread_mutex_lock(&t->lock);
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
}

/* ---- failing ---- */

const char *tree_failure(const struct tree *t)
{
    return __atomic_load_n(&t->failure, __ATOMIC_ACQUIRE);
}

int tree_fail(struct tree *t, int err, const char *what)
{
    assert(err < 0);
    char *reason = mem_printf("%s: %s", what, strerror(-err));
    pthread_mutex_lock(&t->lock);
    if (!t->failure) {
        __atomic_store_n(&t->failure, reason, __ATOMIC_RELEASE);
        log_message(LOG_ERROR, "%s: %s; the volume is read-only from now on", t->dir, reason);
        events_say(t->events, "failure", "%s; the volume is read-only from now on", reason);
        reason = NULL;
    }
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
    free(reason);
    return -EROFS;
}

int tree_sync_file(struct tree *t, enum file_kind kind, uint64_t number)
{
    char *path = name_file(t->dir, kind, number);
    struct env_file *f;
    int err = t->env->open(t->env, path, ENV_OPEN_WRITE, &f);
    if (err == 0) {
        err = f->ops->sync(f);
        f->ops->close(f);
        if (err < 0)
            err = tree_fail(t, err, "cannot sync a log or blob file");
    }
    free(path);
    return err;
}

int tree_sync_gen(struct tree *t, struct memgen *g)
{
    if (__atomic_load_n(&g->synced, __ATOMIC_ACQUIRE))
        return 0;
    int err = g->blob ? tree_sync_file(t, FILE_BLOB, g->blob->number) : 0;
    if (err == 0)
        err = tree_sync_file(t, FILE_LOG, g->log_number);
    if (err == 0)
        __atomic_store_n(&g->synced, true, __ATOMIC_RELEASE);
    else if (err == -ENOENT && __atomic_load_n(&g->flushed, __ATOMIC_ACQUIRE))
        err = 0; /* a flush overtook us and removed the file */
    return err;
}

int tree_sync_sealed(struct tree *t, const struct view *v)
{
    int err = 0;
    for (uint32_t i = v->gen_count; i-- > 1 && err == 0;)
        err = tree_sync_gen(t, v->gens[i]);
    return err;
}

/* ---- readers ---- */

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

void tree_readers_get(struct tree *t, struct tree_readers *r)
{
    pthread_mutex_lock(&t->lock);
    const struct version *v = viewbox_peek(t->box)->version;
    r->pin_count = v->pin_count + t->pending_pin_count;
    r->pins = mem_alloc(r->pin_count * sizeof *r->pins);
    for (uint32_t i = 0; i < v->pin_count; i++)
        r->pins[i] = v->pins[i].seq;
    for (uint32_t i = 0; i < t->pending_pin_count; i++)
        r->pins[v->pin_count + i] = t->pending_pins[i];
    pthread_mutex_unlock(&t->lock);
    if (r->pin_count)
        qsort(r->pins, r->pin_count, sizeof *r->pins, by_number);
}

void tree_readers_release(struct tree_readers *r)
{
    free(r->pins);
    *r = (struct tree_readers){0};
}

/* ---- the view ---- */

/* Notes what writers are paced by. [lock held] */
static void note_view(struct tree *t, struct memgen *const *gens, uint32_t count,
                      const struct version *version)
{
    uint64_t sealed = 0;
    for (uint32_t i = 1; i < count; i++)
        sealed += memtable_bytes(gens[i]->mem);
    __atomic_store_n(&t->sealed_bytes, sealed, __ATOMIC_RELAXED);
    __atomic_store_n(&t->level0, version->levels[0].count, __ATOMIC_RELAXED);
}

void tree_publish(struct tree *t, struct view *first)
{
    assert(!t->box);
    note_view(t, first->gens, first->gen_count, first->version);
    t->box = viewbox_new(first);
}

static bool listed(struct memgen *const *list, uint32_t count, const struct memgen *g)
{
    for (uint32_t i = 0; i < count; i++)
        if (list[i] == g)
            return true;
    return false;
}

/* Replaces the view by one of `version` and the present memtables without `gone`. [install held;
 * takes lock] */
static void swap_version(struct tree *t, struct version *version, struct memgen *const *gone,
                         uint32_t count)
{
    pthread_mutex_lock(&t->lock);
    struct view *old = viewbox_peek(t->box);
    struct memgen **gens = mem_alloc((old->gen_count + 1) * sizeof *gens);
    uint32_t n = 0;
    for (uint32_t i = 0; i < old->gen_count; i++)
        if (!listed(gone, count, old->gens[i]))
            gens[n++] = old->gens[i];
    assert(n + count == old->gen_count);
    for (uint32_t i = 0; i < count; i++)
        __atomic_store_n(&gone[i]->flushed, true, __ATOMIC_RELEASE);
    note_view(t, gens, n, version);
    viewbox_set(t->box, view_new(gens, n, version));
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
    free(gens);
}

void tree_push_gen(struct tree *t, struct memgen *g)
{
    pthread_mutex_lock(&t->lock);
    struct view *old = viewbox_peek(t->box);
    struct memgen **gens = mem_alloc((old->gen_count + 1) * sizeof *gens);
    gens[0] = g;
    for (uint32_t i = 0; i < old->gen_count; i++)
        gens[i + 1] = old->gens[i];
    note_view(t, gens, old->gen_count + 1, old->version);
    viewbox_set(t->box, view_new(gens, old->gen_count + 1, old->version));
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
    free(gens);
}

/* ---- edits ---- */

/* Starts a new manifest with `v` as its base and retires the old one. [install held] */
static int rotate_manifest(struct tree *t, const struct version *v)
{
    uint64_t old = manifest_number(t->manifest);
    struct manifest *fresh;
    int err = manifest_start(t->env, t->dir, tree_new_file(t), v, &fresh);
    if (err < 0)
        return err;
    manifest_free(t->manifest);
    t->manifest = fresh;
    purge_add(&t->purge, FILE_MANIFEST, old);
    return 0;
}

/* Objects of the blob files that the memtables wrote, for version_apply() to reuse. */
static size_t gen_blobs(struct memgen *const *gens, uint32_t count, struct version_blob **out)
{
    size_t n = 0;
    for (uint32_t i = 0; i < count; i++)
        if (gens[i]->blob)
            out[n++] = gens[i]->blob;
    return n;
}

/* A blob file all of whose frames were dead when its memtable was flushed never enters a version.
 */
static void mark_unborn(const struct version *now, struct version_blob **blobs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!version_find_blob(now, blobs[i]->number))
            __atomic_store_n(&blobs[i]->dead, true, __ATOMIC_RELEASE);
}

/* A reference on the version in force; it stays so while install is held. (The view itself may be
 * replaced at any time by a leader that seals.) [install held] */
static struct version *current_version(struct tree *t)
{
    struct view *v = viewbox_get(t->box);
    struct version *version = version_ref(v->version);
    view_unref(v);
    return version;
}

/* ---- space ---- */

static uint64_t gen_bytes(const struct tree *t, const struct memgen *g)
{
    const struct version_blob *blob = __atomic_load_n(&g->blob, __ATOMIC_ACQUIRE);
    uint64_t log = __atomic_load_n(&g->log_bytes, __ATOMIC_RELAXED), size = 0;
    if (blob) {
        char *path = name_file(t->dir, FILE_BLOB, blob->number);
        if (t->env->file_size(t->env, path, &size) < 0)
            size = 0; /* gone since a moment */
        free(path);
    }
    return log + size;
}

static uint64_t used_bytes(const struct tree *t)
{
    struct view *v = viewbox_get(t->box);
    uint64_t bytes = v->version->blob_file_bytes;
    for (int level = 0; level < LEVEL_COUNT; level++)
        bytes += v->version->levels[level].bytes;
    for (uint32_t i = 0; i < v->gen_count; i++)
        bytes += gen_bytes(t, v->gens[i]);
    view_unref(v);
    return bytes;
}

int tree_space(const struct tree *t, struct env_space *out)
{
    uint64_t limit = setting_u64(&t->settings.live.limit_bytes);
    int err = t->env->space(t->env, t->dir, out);
    if (err < 0 || limit == 0)
        return err;
    uint64_t used = t->box ? used_bytes(t) : 0, left = used < limit ? limit - used : 0;
    if (out->total_bytes > limit)
        out->total_bytes = limit;
    if (out->free_bytes > left)
        out->free_bytes = left;
    return 0;
}

/* ---- installing ---- */

/* What a job wrote and took away, by level. A table that only moves is neither. */
static void count_levels(struct tree *t, const struct version *base, const struct edit *e,
                         const struct version *next)
{
    uint64_t written[LEVEL_COUNT] = {0}, came[LEVEL_COUNT] = {0}, moved_away[LEVEL_COUNT] = {0};
    struct counter_stripe *mine = counters_mine(&t->counts);
    for (uint32_t i = 0; i < e->tables_added_count; i++) {
        const struct edit_table *added = &e->tables_added[i];
        int from = edit_removed_from(e, added->meta->number);
        *(from < 0 ? &written[added->level] : &moved_away[from]) += table_meta_bytes(added->meta);
        came[added->level] += table_meta_bytes(added->meta);
    }
    for (uint32_t level = 0; level < LEVEL_COUNT; level++) {
        uint64_t gone = base->levels[level].bytes + came[level] - next->levels[level].bytes;
        assert(gone >= moved_away[level]);
        counter_add(mine, COUNT_LEVEL_WRITTEN + level, written[level]);
        counter_add(mine, COUNT_LEVEL_READ + level, gone - moved_away[level]);
    }
}

int tree_install(struct tree *t, struct edit *edit, struct memgen *const *flushed, uint32_t count)
{
    struct version_blob **blobs = mem_alloc((count + 1) * sizeof *blobs);
    size_t blob_count = gen_blobs(flushed, count, blobs);
    struct version *next = NULL;
    pthread_mutex_lock(&t->install);
    int err = tree_failure(t) ? -EROFS : 0;
    if (err < 0)
        goto done;
    struct version *base = current_version(t);
    edit->has_next_file = true;
    edit->next_file = __atomic_load_n(&t->next_file, __ATOMIC_RELAXED);
    err = version_apply(base, edit, blobs, blob_count, &next);
    if (err == 0) {
        err = manifest_append(t->manifest, edit);
        if (err < 0 && err != -ENOSPC)
            err = tree_fail(t, err, "cannot write the manifest");
    }
    if (err == 0) {
        count_levels(t, base, edit, next);
        events_install(t->events, base, edit, next, count, edit->began_ns);
        swap_version(t, next, flushed, count);
        version_mark_dead(base, next);
        mark_unborn(next, blobs, blob_count);
        if (manifest_wants_rotation(t->manifest)) {
            int rotated = rotate_manifest(t, next);
            if (rotated < 0 && rotated != -ENOSPC)
                err = tree_fail(t, rotated, "cannot start a new manifest");
        }
    }
    version_unref(base);
    version_unref(next);
done:
    pthread_mutex_unlock(&t->install);
    events_write(t->events);
    free(blobs);
    return err;
}

uint64_t tree_manifest_number(struct tree *t)
{
    pthread_mutex_lock(&t->install);
    uint64_t number = t->manifest ? manifest_number(t->manifest) : 0;
    pthread_mutex_unlock(&t->install);
    return number;
}

int tree_renew_manifest(struct tree *t)
{
    pthread_mutex_lock(&t->install);
    int err = tree_failure(t) ? -EROFS : 0;
    if (err == 0) {
        struct version *v = current_version(t);
        err = rotate_manifest(t, v);
        version_unref(v);
        if (err < 0 && err != -ENOSPC)
            err = tree_fail(t, err, "cannot start a new manifest");
    }
    pthread_mutex_unlock(&t->install);
    return err;
}
