/* autosync: see autosync.h.
 *
 * Invariants:
 *   1. since_ns is not later than the oldest write that is not on disk.
 *   2. Whoever makes it other than 0 looks at `awaited` afterwards, and the thread, which sets
 * that, looks at since_ns afterwards (all in one order): one of the two sees the other. */
#include "store/autosync.h"

#include <assert.h>
#include <errno.h>
#include <time.h>

#include "store/timed.h"

#define NOT_NOW UINT64_MAX

void autosync_init(struct autosync *a, struct tree *t, autosync_fn *fn, void *ctx)
{
    *a = (struct autosync){.tree = t, .sync = fn, .sync_ctx = ctx};
    pthread_mutex_init(&a->lock, NULL);
    timed_init(&a->bell);
}

void autosync_release(struct autosync *a)
{
    assert(!a->thread);
    pthread_cond_destroy(&a->bell);
    pthread_mutex_destroy(&a->lock);
}

/* ---- the leader's ---- */

static uint64_t now_ns(const struct autosync *a)
{
    return a->tree->env->monotonic_ns(a->tree->env);
}

void autosync_note(struct autosync *a)
{
    if (__atomic_load_n(&a->since_ns, __ATOMIC_RELAXED) != 0)
        return;
    __atomic_store_n(&a->since_ns, now_ns(a), __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&a->awaited, __ATOMIC_SEQ_CST))
        autosync_wake(a);
}

void autosync_done(struct autosync *a)
{
    __atomic_store_n(&a->since_ns, 0, __ATOMIC_SEQ_CST);
}

/* ---- syncing ---- */

/* Nanoseconds until it is time; 0: it is; NOT_NOW: not before something else changes. */
static uint64_t due_in(const struct autosync *a)
{
    uint64_t interval = setting_u64(&a->tree->settings.live.commit_ns);
    uint64_t since = __atomic_load_n(&a->since_ns, __ATOMIC_SEQ_CST);
    if (interval == 0 || since == 0 || tree_failure(a->tree))
        return NOT_NOW;
    uint64_t age = now_ns(a) - since;
    return age < interval ? interval - age : 0;
}

/* Of the memtable that is written to. More is written meanwhile: it need not be all. */
static int sync_active(struct tree *t, const struct memgen *g)
{
    const struct version_blob *blob = __atomic_load_n(&g->blob, __ATOMIC_ACQUIRE);
    int err = blob ? tree_sync_file(t, FILE_BLOB, blob->number) : 0;
    return err < 0 ? err : tree_sync_file(t, FILE_LOG, g->log_number);
}

/* What the kernel has of the files that a sync takes goes to the disk while others write. In the
 * end the sync itself says whether all is well: what cannot be opened here is its matter. */
static void sync_ahead(struct autosync *a)
{
    struct tree *t = a->tree;
    struct view *v = viewbox_get(t->box);
    if (tree_sync_sealed(t, v) == 0)
        sync_active(t, v->gens[0]);
    view_unref(v);
}

static int sync_now(struct autosync *a)
{
    sync_ahead(a);
    return a->sync(a->sync_ctx);
}

int autosync_step(struct autosync *a)
{
    return due_in(a) == 0 ? sync_now(a) : 1;
}

/* ---- the thread ---- */

/* Sleeps until the bell rings, or so long of real time. [lock held] */
static void sleep_for(struct autosync *a, uint64_t ns)
{
    timed_wait(&a->bell, &a->lock, timed_now() + ns);
}

/* Sleeps until something is written or set. [lock held] */
static void sleep_until_rung(struct autosync *a)
{
    __atomic_store_n(&a->awaited, true, __ATOMIC_SEQ_CST);
    if (due_in(a) == NOT_NOW)
        pthread_cond_wait(&a->bell, &a->lock);
    __atomic_store_n(&a->awaited, false, __ATOMIC_SEQ_CST);
}

static void work(void *arg)
{
    struct autosync *a = arg;
    pthread_mutex_lock(&a->lock);
    while (!a->stop) {
        uint64_t ns = due_in(a);
        if (ns == 0) {
            pthread_mutex_unlock(&a->lock);
            sync_now(a);
            pthread_mutex_lock(&a->lock);
        } else if (ns == NOT_NOW) {
            sleep_until_rung(a);
        } else {
            sleep_for(a, ns);
        }
    }
    pthread_mutex_unlock(&a->lock);
}

int autosync_start(struct autosync *a)
{
    struct env *env = a->tree->env;
    assert(!a->thread);
    int err = env->thread_start(env, work, a, &a->thread);
    if (err < 0)
        a->thread = NULL;
    return err;
}

void autosync_stop(struct autosync *a)
{
    pthread_mutex_lock(&a->lock);
    a->stop = true;
    pthread_cond_broadcast(&a->bell);
    pthread_mutex_unlock(&a->lock);
    if (a->thread)
        a->tree->env->thread_join(a->tree->env, a->thread);
    a->thread = NULL;
}

void autosync_wake(struct autosync *a)
{
    pthread_mutex_lock(&a->lock);
    pthread_cond_broadcast(&a->bell);
    pthread_mutex_unlock(&a->lock);
}
