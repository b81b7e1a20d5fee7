/* store_work: background work behind the door. Worker threads live only here. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "store/env.h"
#include "store/store_priv.h"

/* How long a worker sleeps when there is nothing to do, unless it is woken. */
#define IDLE_NS UINT64_C(1000000000)

static bool due(struct tree *t, const struct tree_work *w)
{
    pthread_mutex_lock(&t->lock);
    bool now = t->opt.workers == 0 || work_due(t, w);
    pthread_mutex_unlock(&t->lock);
    return now;
}

/* One kind of work that fails does not keep the others from being done: a flush gives the space
 * that the seal of a memtable lacks, a compaction that which a flush lacks. */
int store_step(struct store *s)
{
    struct tree *t = &s->tree;
    bool did = purge_run(&t->purge) == 0;
    int sealed = work_wants_seal(t) ? commit_seal(&s->commit) : 0;
    int flushed = due(t, &t->flush) ? work_flush(t) : 1;
    if (flushed == 0)
        return 0;
    int compacted = due(t, &t->compact) ? work_compact(t) : 1;
    if (compacted == 0)
        return 0;
    int err = flushed < 0 ? flushed : compacted < 0 ? compacted : sealed;
    return err < 0 ? err : did ? 0 : 1;
}

static void worker(void *arg)
{
    struct store *s = arg;
    struct tree *t = &s->tree;
    while (!tree_closing(t)) {
        if (store_step(s) == 0)
            continue;
        pthread_mutex_lock(&t->lock);
        if (!t->closing)
            tree_wait(t, IDLE_NS);
        pthread_mutex_unlock(&t->lock);
    }
}

int store_start_workers(struct store *s)
{
    struct tree *t = &s->tree;
    s->threads = mem_zalloc(t->opt.workers * sizeof(struct env_thread *));
    for (uint32_t i = 0; i < t->opt.workers; i++) {
        int err = t->env->thread_start(t->env, worker, s, &s->threads[i]);
        if (err < 0)
            return err;
        s->thread_count++;
    }
    return 0;
}

void store_stop_workers(struct store *s)
{
    struct tree *t = &s->tree;
    pthread_mutex_lock(&t->lock);
    __atomic_store_n(&t->closing, true, __ATOMIC_RELEASE);
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
    for (uint32_t i = 0; i < s->thread_count; i++)
        t->env->thread_join(t->env, s->threads[i]);
    free(s->threads);
    s->threads = NULL;
    s->thread_count = 0;
}

int store_work(struct store *s)
{
    assert(s->tree.opt.workers == 0);
    return s->writable ? store_step(s) : 1;
}

/* ---- on demand ---- */

/* Everything in logs below `log_number` is in tables. [lock held] */
static bool flushed_below(struct tree *t, uint64_t log_number)
{
    const struct view *v = viewbox_peek(t->box);
    return v->gens[v->gen_count - 1]->log_number >= log_number;
}

/* Until what is sealed now is in tables; writers may seal more meanwhile. */
static int flush_sealed(struct tree *t)
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
        err = flush_sealed(&s->tree);
    return err;
}

/* What a compaction of everything may read at most, were it alone: each level once on the way down,
 * with what it overlaps. Who goes on for longer runs after writers who are faster. */
static uint64_t work_limit(struct tree *t)
{
    struct view *v = viewbox_get(t->box);
    uint64_t bytes = t->opt.table_bytes;
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

int store_compact(struct store *s, struct slice start, struct slice limit)
{
    struct tree *t = &s->tree;
    int err = store_flush(s);
    uint64_t left = err == 0 ? work_limit(t) : 0, bytes;
    while (err == 0) {
        err = work_compact_range(t, start, limit, &bytes);
        if (err == 0 && bytes > left)
            err = 1;
        left -= err == 0 ? bytes : 0;
    }
    return err == 1 ? compact_result(t) : err == -ECANCELED ? -EROFS : err;
}
