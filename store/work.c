/* work: see work.h. What to do is decided under the tree's lock, where the inputs are marked; doing
 * it takes no lock. */
#include "store/work.h"

#include <assert.h>
#include <errno.h>

#include "store/compact_run.h"
#include "store/flush.h"

void work_pick_options(const struct tree *t, struct pick_options *out)
{
    *out = (struct pick_options){.level0_trigger = 4,
                                 .base_bytes = 4 * t->opt.table_bytes,
                                 .fanout = 10,
                                 .table_bytes = t->opt.table_bytes,
                                 .inputs_bytes_max = 25 * t->opt.table_bytes};
}

/* [lock held] */
static void note_result(struct tree *t, int err)
{
    if (err == 0 || err == -ENOSPC)
        t->out_of_space = err == -ENOSPC;
    pthread_cond_broadcast(&t->changed);
}

int work_flush(struct tree *t)
{
    pthread_mutex_lock(&t->lock);
    bool go = !t->flushing && !t->failure && viewbox_peek(t->box)->gen_count > 1;
    if (!go) {
        /* Another thread may be at it: the caller that waits for the result sleeps until it ends.
         */
        if (t->flushing && t->opt.workers == 0)
            pthread_cond_wait(&t->changed, &t->lock);
        pthread_mutex_unlock(&t->lock);
        return 1;
    }
    t->flushing = true;
    pthread_mutex_unlock(&t->lock);
    int err = flush_run(t);
    purge_run(&t->purge);
    pthread_mutex_lock(&t->lock);
    t->flushing = false;
    note_result(t, err);
    pthread_mutex_unlock(&t->lock);
    return err;
}

static void set_busy(struct pick *p, bool busy)
{
    for (uint32_t i = 0; i < p->upper_count; i++)
        p->upper[i]->busy = busy;
    for (uint32_t i = 0; i < p->lower_count; i++)
        p->lower[i]->busy = busy;
}

/* Picks under the lock, runs without it. `range`: NULL, or {start, limit}. */
static int compact_one(struct tree *t, const struct slice *range)
{
    struct pick_options opt;
    struct pick pick = {0};
    work_pick_options(t, &opt);
    pthread_mutex_lock(&t->lock);
    if (t->compacting || t->failure) {
        pthread_mutex_unlock(&t->lock);
        return 1;
    }
    /* The reference keeps the picked tables alive: the pick borrows them. */
    struct version *v = version_ref(viewbox_peek(t->box)->version);
    int err = range ? compact_pick_range(v, &opt, range[0], range[1], &pick)
                    : compact_pick(v, &opt, &pick);
    if (err == 0) {
        set_busy(&pick, true);
        t->compacting = true;
    }
    pthread_mutex_unlock(&t->lock);
    if (err == 0) {
        err = compact_run(t, &pick);
        pthread_mutex_lock(&t->lock);
        set_busy(&pick, false);
        t->compacting = false;
        note_result(t, err);
        pthread_mutex_unlock(&t->lock);
    }
    pick_release(&pick);
    version_unref(v);
    purge_run(&t->purge);
    return err;
}

int work_compact(struct tree *t)
{
    return compact_one(t, NULL);
}

int work_compact_range(struct tree *t, struct slice start, struct slice limit)
{
    struct slice range[2] = {start, limit};
    return compact_one(t, range);
}

bool work_wants_seal(struct tree *t)
{
    pthread_mutex_lock(&t->lock);
    struct view *v = viewbox_peek(t->box);
    bool seal = false;
    if (v->gen_count > 0 && !memtable_empty(v->gens[0]->mem)) {
        uint64_t since = __atomic_load_n(&v->gens[0]->rangedel_since_ns, __ATOMIC_RELAXED);
        seal = t->flush_wanted ||
               (since && t->env->monotonic_ns(t->env) - since >= t->opt.idle_flush_ns);
    }
    t->flush_wanted = false;
    pthread_mutex_unlock(&t->lock);
    return seal;
}
