/* commit_room: what a leader does before a group is written: room in memory, space on the disk, and
 * no more haste than compaction can follow.
 *
 * Guarantees: a writer waits only for something that is going on. It gets an error instead when the
 * store has failed or when flushes fail, and is not held up by a compaction that cannot go on.
 *
 * Invariant: beginning and name of a log are on disk before its first record is acknowledged. So a
 * log that is missing or without its beginning, while later ones exist, is damage. */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "store/commit_priv.h"
#include "store/pace.h"
#include "store/work.h"

enum {
    SPACE_RECHECK = 32 << 20, /* bytes written between two questions to the disk, at most */
};
#define DELAY_LEAST_NS UINT64_C(1000000)  /* less is saved up: sleeping is not exact */
#define DELAY_MOST_NS  UINT64_C(20000000) /* of one group; the rest is the next ones' */
#define DELAY_OWED_NS  UINT64_C(1000000000)
#define STALL_TOLD_NS  UINT64_C(50000000) /* one that is this long is an event */
#define WAIT_NS        UINT64_C(10000000) /* between two looks at the env's clock */

/* ---- rotation ---- */

static int create_log(struct commit *c, uint64_t number, struct journal_writer **log)
{
    struct tree *t = c->tree;
    struct buf beginning = {0};
    int err = journal_create(t->env, t->dir, FILE_LOG, number, t->uuid, log);
    if (err < 0)
        return err;
    buf_put_varint(&beginning, c->next_seq);
    buf_put_varint(&beginning, 0);
    journal_add(*log, buf_slice(&beginning));
    buf_release(&beginning);
    err = journal_write(*log);
    if (err == 0)
        err = journal_sync(*log);
    return err < 0 ? err : t->env->sync_dir(t->env, t->dir);
}

int commit_push_gen(struct commit *c)
{
    struct tree *t = c->tree;
    struct journal_writer *log = NULL;
    uint64_t number = tree_new_file(t);
    int err = 0;
    if (c->log) {
        err = journal_seal(c->log);
        commit_tell_log(c);
    }
    if (err == 0)
        err = create_log(c, number, &log);
    if (err < 0) {
        journal_writer_free(log);
        purge_add(&t->purge, FILE_LOG, number);
        return err;
    }
    if (c->logtail)
        journal_use_tail(log, c->logtail);
    struct memgen *g = memgen_new(number, c->next_seq);
    if (setting_u32(&t->settings.live.entry_sums))
        memtable_sum_entries(g->mem);
    g->log_bytes = journal_size(log);
    tree_push_gen(t, g);
    c->folder_dirty = false;
    c->mark_bytes = 0;
    journal_writer_free(c->log);
    blob_writer_free(c->blob);
    c->log = log;
    c->blob = NULL;
    c->active = g;
    memgen_unref(g);
    return 0;
}

/* ---- memory ---- */

static void count_stall(struct tree *t, const char *what, uint64_t began)
{
    struct counter_stripe *mine = counters_mine(&t->counts);
    uint64_t took = t->env->monotonic_ns(t->env) - began;
    counter_add(mine, COUNT_STALL, 1);
    counter_record(mine, STORE_TIME_STALL, took);
    if (took >= STALL_TOLD_NS)
        events_say(t->events, "stall", "writers waited for %s for %" PRIu64 " ms", what,
                   took / 1000000);
}

/* Nobody flushes. The writer does it itself (the workers may be busy with something long), unless a
 * flush has failed just now. [lock held; not meanwhile] */
static int flush_now(struct tree *t)
{
    if (setting_u32(&t->settings.live.workers) > 0 && t->flush.error < 0 && !work_due(t, &t->flush))
        return t->flush.error;
    pthread_mutex_unlock(&t->lock);
    int err = work_flush(t);
    pthread_mutex_lock(&t->lock);
    return err < 0 ? err : 0;
}

/* [lock held] */
static bool too_many(const struct tree *t)
{
    return viewbox_peek(t->box)->gen_count >= setting_u32(&t->settings.live.memtables_max);
}

int commit_wait_for_flush(struct commit *c)
{
    struct tree *t = c->tree;
    int err = 0;
    pthread_mutex_lock(&t->lock);
    if (!too_many(t)) {
        pthread_mutex_unlock(&t->lock);
        return 0;
    }
    uint64_t began = t->env->monotonic_ns(t->env);
    while (err == 0 && too_many(t)) {
        if (t->failure)
            err = -EROFS;
        else if (t->flush.running)
            pthread_cond_wait(&t->changed, &t->lock);
        else
            err = flush_now(t);
    }
    pthread_mutex_unlock(&t->lock);
    count_stall(t, "a flush", began);
    return err;
}

/* A memtable with nothing in it is never full: sealing it would not help. */
static bool active_full(const struct commit *c)
{
    const struct store_options *live = &c->tree->settings.live;
    return (memtable_bytes(c->active->mem) >= setting_u64(&live->memtable_bytes) &&
            !memtable_empty(c->active->mem)) ||
           (c->blob && blob_size(c->blob) >= tree_blob_bytes(c->tree, live));
}

/* ---- pace ---- */

static void get_pace(const struct commit *c, struct pace *out)
{
    const struct tree *t = c->tree;
    const struct store_options *live = &t->settings.live;
    uint64_t sealed = __atomic_load_n(&t->sealed_bytes, __ATOMIC_RELAXED);
    uint64_t left = __atomic_load_n(&t->flush_left, __ATOMIC_RELAXED);
    *out = (struct pace){.memory_bytes = sealed + memtable_bytes(c->active->mem),
                         .memory_max =
                             setting_u32(&live->memtables_max) * setting_u64(&live->memtable_bytes),
                         .flush_rate = __atomic_load_n(&t->flush_rate, __ATOMIC_RELAXED),
                         .flush_left = left ? left : sealed, /* it is about to begin */
                         .level0_tables = __atomic_load_n(&t->level0, __ATOMIC_RELAXED),
                         .level0_trigger = setting_u32(&live->level0_tables),
                         .debt_bytes = __atomic_load_n(&t->debt_bytes, __ATOMIC_RELAXED),
                         .base_bytes = WORK_BASE_TABLES * setting_u64(&live->table_bytes)};
}

/* A compaction that cannot go on is not waited for. [lock held] */
static bool must_stop(const struct tree *t)
{
    uint32_t trigger = setting_u32(&t->settings.live.level0_tables);
    return __atomic_load_n(&t->level0, __ATOMIC_RELAXED) >= pace_level0_stop(trigger) &&
           !t->failure && t->compact.error == 0 && t->parked_tables == 0;
}

/* Is there any use in waiting? [lock held] */
static bool may_help(const struct tree *t)
{
    return !t->failure && t->flush.error == 0;
}

/* Sleeps for a part of what is owed, or as long as level 0 stops writers. */
static void wait_a_little(struct commit *c)
{
    struct tree *t = c->tree;
    uint64_t began = t->env->monotonic_ns(t->env), now = began;
    uint64_t until = began + (c->delay_ns < DELAY_MOST_NS ? c->delay_ns : DELAY_MOST_NS);
    pthread_mutex_lock(&t->lock);
    while (must_stop(t) || (now < until && may_help(t))) {
        tree_wait(t, now < until && until - now < WAIT_NS ? until - now : WAIT_NS);
        now = t->env->monotonic_ns(t->env);
    }
    pthread_mutex_unlock(&t->lock);
    c->delay_ns -= now - began < c->delay_ns ? now - began : c->delay_ns;
    count_stall(t, "compactions and flushes", began);
}

static void slow_down(struct commit *c, uint64_t bytes)
{
    struct tree *t = c->tree;
    struct pace p;
    get_pace(c, &p);
    if (setting_u32(&t->settings.live.workers) == 0) {
        /* There is nobody to wait for. A failure shows when the caller pulls the work itself. */
        if (p.level0_tables >= pace_level0_slow(p.level0_trigger))
            work_compact(t);
        return;
    }
    uint64_t delay = pace_delay_ns(&p, bytes);
    if (delay == 0) {
        c->delay_ns = 0;
        return;
    }
    c->delay_ns = c->delay_ns + delay < DELAY_OWED_NS ? c->delay_ns + delay : DELAY_OWED_NS;
    if (c->delay_ns >= DELAY_LEAST_NS || p.level0_tables >= pace_level0_stop(p.level0_trigger))
        wait_a_little(c);
}

int commit_make_room(struct commit *c, uint64_t bytes)
{
    if (tree_failure(c->tree))
        return -EROFS;
    slow_down(c, bytes);
    if (!active_full(c))
        return 0;
    int err = commit_wait_for_flush(c);
    return err < 0 ? err : commit_push_gen(c);
}

/* ---- space ---- */

bool commit_space_for(struct commit *c, uint64_t bytes)
{
    struct tree *t = c->tree;
    struct env_space space;
    if (!__atomic_load_n(&t->space_low, __ATOMIC_RELAXED) && c->space_left > bytes) {
        c->space_left -= bytes;
        return true;
    }
    if (tree_space(t, &space) < 0)
        return true; /* the write itself will tell */
    uint64_t usable = work_space_usable(t, &space);
    bool low = usable < 2 * (uint64_t)SPACE_RECHECK;
    __atomic_store_n(&t->space_low, low, __ATOMIC_RELAXED);
    c->space_left = low ? 0 : SPACE_RECHECK;
    return usable > bytes;
}
