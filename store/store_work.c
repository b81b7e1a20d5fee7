/* store_work: background work behind the door. Worker threads live only here. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "store/env.h"
#include "store/rekey.h"
#include "store/store_priv.h"

/* How long a worker sleeps when there is nothing to do, unless it is woken. */
#define IDLE_NS UINT64_C(1000000000)

static bool due(struct tree *t, const struct tree_work *w)
{
    pthread_mutex_lock(&t->lock);
    bool now = setting_u32(&t->settings.live.workers) == 0 || work_due(t, w);
    pthread_mutex_unlock(&t->lock);
    return now;
}

/* One kind of work that fails does not keep the others from being done: a flush gives the space
 * that the seal of a memtable lacks, a compaction that which a flush lacks. */
static int flush_step(struct store *s)
{
    struct tree *t = &s->tree;
    int sealed = work_wants_seal(t) ? commit_seal(&s->commit) : 0;
    int flushed = due(t, &t->flush) ? work_flush(t) : 1;
    return flushed == 1 && sealed < 0 ? sealed : flushed;
}

static int other_step(struct store *s)
{
    struct tree *t = &s->tree;
    int compacted = due(t, &t->compact) ? work_compact(t) : 1;
    if (compacted == 0)
        return 0;
    int healed = due(t, &t->heal) ? work_heal(t) : 1;
    if (healed == 0)
        return 0;
    if (!s->pulled && store_scrub_work(s) == 0)
        return 0;
    if (rekey_finish(t) == 0)
        return 0;
    int err = compacted < 0 ? compacted : healed;
    return err < 0 ? err : 1;
}

static bool tidy(struct tree *t)
{
    events_write(t->events);
    return purge_run(&t->purge) == 0;
}

int store_step(struct store *s)
{
    bool did = tidy(&s->tree);
    int synced = s->pulled ? autosync_step(&s->commit.autosync) : 1;
    if (synced <= 0)
        return synced;
    int flushed = flush_step(s), other = flushed == 0 ? 0 : other_step(s);
    if (other == 0)
        return 0;
    int err = flushed < 0 ? flushed : other;
    return err < 0 ? err : did ? 0 : 1;
}

static bool is_surplus(const struct store_worker *w)
{
    uint32_t workers = setting_u32(&w->store->tree.settings.live.workers);
    return w->index >= (workers > 0 ? 1 + workers : 0);
}

/* Is there one too many? Whoever sets the number looks at `ended` under the same lock. */
static bool ends(struct store_worker *w)
{
    struct tree *t = &w->store->tree;
    pthread_mutex_lock(&t->lock);
    w->ended = t->closing || is_surplus(w);
    bool ended = w->ended;
    pthread_mutex_unlock(&t->lock);
    return ended;
}

/* Was something sealed since it was looked? Else it would sleep over it. [lock held] */
static bool may_flush(const struct tree *t)
{
    return viewbox_peek(t->box)->gen_count > 1 && !t->failure && work_due(t, &t->flush);
}

/* Number 0 only flushes: memory is given back without waiting for a compaction to end. The others
 * leave flushes to it, and the processor to everybody who reads and writes: those who write more
 * than compactions can take are slowed by pace.h. */
static void worker(void *arg)
{
    struct store_worker *w = arg;
    struct tree *t = &w->store->tree;
    if (w->index > 0)
        t->env->give_way(t->env);
    while (!ends(w)) {
        bool did = w->index > 0 && tidy(t);
        if (did || (w->index == 0 ? flush_step(w->store) : other_step(w->store)) == 0)
            continue;
        if (squad_help(t->squad, setting_u32(&t->settings.live.helpers)) == 0)
            continue;
        pthread_mutex_lock(&t->lock);
        if (!t->closing && !is_surplus(w) && !(w->index == 0 && may_flush(t)))
            tree_wait(t, IDLE_NS);
        pthread_mutex_unlock(&t->lock);
    }
}

/* One that has ended is gone, one that has not goes on. */
static int start(struct store *s, uint32_t index)
{
    struct store_worker *w = &s->workers[index];
    struct env *env = s->tree.env;
    pthread_mutex_lock(&s->tree.lock);
    bool gone = w->ended;
    w->ended = false;
    pthread_mutex_unlock(&s->tree.lock);
    if (w->thread && !gone)
        return 0;
    if (w->thread)
        env->thread_join(env, w->thread);
    *w = (struct store_worker){.store = s, .index = index};
    int err = env->thread_start(env, worker, w, &w->thread);
    if (err < 0)
        w->thread = NULL;
    return err;
}

int store_adjust_workers(struct store *s)
{
    uint32_t wanted = setting_u32(&s->tree.settings.live.workers);
    int err = 0;
    assert(wanted <= STORE_WORKERS_MAX);
    for (uint32_t i = 0; i < 1 + wanted && wanted > 0 && err == 0 && s->writable; i++)
        err = start(s, i);
    return err;
}

void store_stop_workers(struct store *s)
{
    struct tree *t = &s->tree;
    if (s->writable)
        autosync_stop(&s->commit.autosync);
    pthread_mutex_lock(&t->lock);
    __atomic_store_n(&t->closing, true, __ATOMIC_RELEASE);
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
    for (uint32_t i = 0; i < 1 + STORE_WORKERS_MAX; i++) {
        if (s->workers[i].thread)
            t->env->thread_join(t->env, s->workers[i].thread);
        s->workers[i].thread = NULL;
    }
}

int store_work(struct store *s)
{
    assert(s->pulled);
    return s->writable ? store_step(s) : 1;
}

/* ---- on demand ---- */

/* Everything in logs below `log_number` is in tables. [lock held] */
static bool flushed_below(struct tree *t, uint64_t log_number)
{
    const struct view *v = viewbox_peek(t->box);
    return v->gens[v->gen_count - 1]->log_number >= log_number;
}

int store_flush_sealed(struct tree *t)
{
    int err = 0;
    pthread_mutex_lock(&t->lock);
    uint64_t active = viewbox_peek(t->box)->gens[0]->log_number;
    while (err == 0 && !flushed_below(t, active)) {
        if (t->failure) {
            err = -EROFS;
        } else if (t->flush.running) {
            pthread_cond_wait(&t->changed, &t->lock);
        } else {
            pthread_mutex_unlock(&t->lock);
            err = work_flush(t);
            pthread_mutex_lock(&t->lock);
            err = err < 0 ? err : 0;
        }
    }
    pthread_mutex_unlock(&t->lock);
    return err == -ECANCELED ? -EROFS : err;
}

int store_flush(struct store *s)
{
    if (!s->writable)
        return -EROFS;
    int err = commit_seal(&s->commit);
    if (err == 0)
        err = store_flush_sealed(&s->tree);
    return err;
}

/* What a compaction of everything may read at most, were it alone: each level once on the way down,
 * with what it overlaps. Who goes on for longer runs after writers who are faster. */
static uint64_t work_limit(struct tree *t)
{
    struct view *v = viewbox_get(t->box);
    uint64_t bytes = setting_u64(&t->settings.live.table_bytes);
    for (int level = 0; level < LEVEL_COUNT; level++)
        bytes += v->version->levels[level].bytes;
    view_unref(v);
    return 2 * LEVEL_COUNT * bytes;
}

/* The inputs of jobs that met damage are left out: then it is not all done. */
static int compact_result(struct tree *t)
{
    pthread_mutex_lock(&t->lock);
    int err = t->failure ? -EROFS : t->parked_tables ? -EIO : 0;
    pthread_mutex_unlock(&t->lock);
    return err;
}

struct watching {
    struct store_compaction told;
    store_compaction_fn *fn; /* NULL: nobody */
    void *ctx;
};

static int tell(void *ctx)
{
    struct watching *w = ctx;
    if (w->told.total_bytes < w->told.done_bytes)
        w->told.total_bytes = w->told.done_bytes;
    return w->fn ? w->fn(w->ctx, &w->told) : 0;
}

/* What is not on the bottom yet is read there, with what it lies over. */
static uint64_t work_estimate(struct tree *t, struct slice start, struct slice limit)
{
    struct view *view = viewbox_get(t->box);
    const struct version *v = view->version;
    uint64_t bytes = 0;
    for (int l = 0; l < LEVEL_COUNT; l++)
        for (uint32_t i = l > 0 ? version_find(&v->levels[l], start) : 0; i < v->levels[l].count;
             i++)
            if (limit.len == 0 ||
                slice_cmp(buf_slice(&v->levels[l].tables[i]->meta->smallest), limit) < 0)
                bytes += table_meta_bytes(v->levels[l].tables[i]->meta);
    if (bytes == v->levels[LEVEL_COUNT - 1].bytes)
        bytes = 0;
    view_unref(view);
    return bytes;
}

int store_compact_watched(struct store *s, struct slice start, struct slice limit,
                          store_compaction_fn *fn, void *ctx)
{
    struct tree *t = &s->tree;
    struct watching w = {.fn = fn, .ctx = ctx};
    struct job_watch watch = {.fn = tell, .ctx = &w};
    int err = store_flush(s);
    uint64_t most = err == 0 ? work_limit(t) : 0, bytes;
    w.told.total_bytes = err == 0 ? work_estimate(t, start, limit) : 0;
    while (err == 0) {
        err = tell(&w) != 0 ? -EINTR : work_compact_range(t, start, limit, &watch, &bytes);
        if (err != 0)
            break;
        w.told.jobs++;
        w.told.done_bytes += bytes;
        if (w.told.done_bytes > most)
            err = 1;
    }
    return err == 1 ? compact_result(t) : err == -ECANCELED ? -EROFS : err;
}

int store_compact(struct store *s, struct slice start, struct slice limit)
{
    return store_compact_watched(s, start, limit, NULL, NULL);
}
