/* work: see work.h. What to do is decided under the tree's lock, where the inputs are marked; doing
 * it takes no lock.
 *
 * Invariant: a table is busy while a job reads it, or for good if one met damage (parked). */
#include "store/work.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>

#include "store/compact_run.h"
#include "store/compact_slice.h"
#include "store/flush.h"
#include "store/heal.h"
#include "store/job.h"
#include "store/rekey.h"

enum {
    LEVEL0_PERCENT = 60,    /* of what is below, that level 0 may have */
    LEVEL0_READ_TABLES = 4, /* so many are merged early if reads pay for it */
    INPUTS_TABLES_MAX = 25, /* a job takes no more than so many full tables if it can avoid it */
    FLUSH_MEMTABLES = 2,    /* full ones that one flush takes at most */
    PAUSE_DOUBLINGS = 5,
    LEVEL0_SPACE_PART = 16, /* of the disk is what level 0 may take, */
    KEPT_PART = 8,          /* no more than this part of the disk is kept for compaction */
    SLICE_PART = 2,         /* of the room that there is, that a slice of a job reads */
    SLICE_TABLE_PART = 64,  /* of a full table: less is not worth a slice */
};
#define PAUSE_NS     UINT64_C(1000000000)
#define LOW_FLUSH_NS UINT64_C(200000000) /* that a tombstone is in memory while space is short */
#define WATCH_NS     UINT64_C(100000000) /* between two questions whether a job is still wanted */

/* ---- how it went ---- */

static const char *kind_name(const struct tree *t, const struct tree_work *w)
{
    return w == &t->flush ? "a flush" : w == &t->compact ? "a compaction" : "healing a file";
}

/* One line when something begins to go wrong, not one for each attempt. */
static void tell_failure(const struct tree *t, const struct tree_work *w, int err)
{
    if (err != w->error)
        log_message(err == -ENOSPC ? LOG_WARNING : LOG_ERROR,
                    "%s: %s failed and will be tried again: %s", t->dir, kind_name(t, w),
                    strerror(-err));
    if (err != w->error)
        events_say(t->events, "error", "%s failed and will be tried again: %s", kind_name(t, w),
                   strerror(-err));
}

/* [lock held] */
static void note_end(struct tree *t, struct tree_work *w, int err)
{
    assert(w->running && err <= 0);
    /* A store that closes or has failed says nothing about the work, nor does who gave it up. */
    bool telling = err != -ECANCELED && err != -EINTR && err != -EROFS;
    if (telling && err < 0) {
        tell_failure(t, w, err);
        uint32_t doublings = w->failures < PAUSE_DOUBLINGS ? w->failures : PAUSE_DOUBLINGS;
        w->failures++;
        w->retry_ns = t->env->monotonic_ns(t->env) + (PAUSE_NS << doublings);
    } else if (telling) {
        w->failures = 0;
        w->retry_ns = 0;
    }
    if (telling)
        w->error = err;
    w->running = false;
    pthread_cond_broadcast(&t->changed);
}

bool work_due(const struct tree *t, const struct tree_work *w)
{
    return !w->running && (w->retry_ns == 0 || t->env->monotonic_ns(t->env) >= w->retry_ns);
}

/* ---- flushing ---- */

int work_flush(struct tree *t)
{
    pthread_mutex_lock(&t->lock);
    bool go = !t->flush.running && !t->failure && viewbox_peek(t->box)->gen_count > 1;
    /* A full one has a little more than that. */
    uint64_t bytes = (2 * FLUSH_MEMTABLES + 1) * setting_u64(&t->settings.live.memtable_bytes) / 2;
    if (t->flush.error == -ENOSPC)
        bytes = 0;
    t->flush.running |= go;
    pthread_mutex_unlock(&t->lock);
    if (!go)
        return 1;
    struct counter_stripe *mine = counters_mine(&t->counts);
    uint64_t began = counter_start(mine, STORE_TIME_FLUSH, t->env);
    int err = flush_run(t, bytes);
    counter_stop(mine, STORE_TIME_FLUSH, t->env, began);
    purge_run(&t->purge);
    pthread_mutex_lock(&t->lock);
    /* Only one flushes, so what was sealed before is sealed still. */
    assert(err != 1);
    note_end(t, &t->flush, err);
    pthread_mutex_unlock(&t->lock);
    return err;
}

/* How long tombstones may wait in memory; not so long while somebody waits for their space. */
static uint64_t tombstone_age(struct tree *t)
{
    uint64_t age = setting_u64(&t->settings.live.idle_flush_ns);
    bool low = __atomic_load_n(&t->space_low, __ATOMIC_RELAXED);
    return low && age > LOW_FLUSH_NS ? LOW_FLUSH_NS : age;
}

bool work_wants_seal(struct tree *t)
{
    pthread_mutex_lock(&t->lock);
    struct view *v = viewbox_peek(t->box);
    bool seal = false;
    if (v->gen_count > 0 && v->gen_count < setting_u32(&t->settings.live.memtables_max) &&
        !memtable_empty(v->gens[0]->mem)) {
        uint64_t since = __atomic_load_n(&v->gens[0]->rangedel_since_ns, __ATOMIC_RELAXED);
        seal =
            t->flush_wanted || (since && t->env->monotonic_ns(t->env) - since >= tombstone_age(t));
        t->flush_wanted = false;
    }
    pthread_mutex_unlock(&t->lock);
    return seal;
}

int work_heal(struct tree *t)
{
    if (!care_any(&t->care))
        return 1;
    pthread_mutex_lock(&t->lock);
    bool go = !t->heal.running && !t->failure;
    t->heal.running |= go;
    pthread_mutex_unlock(&t->lock);
    if (!go)
        return 1;
    int err = heal_step(t);
    pthread_mutex_lock(&t->lock);
    note_end(t, &t->heal, err < 0 ? err : 0);
    pthread_mutex_unlock(&t->lock);
    return err;
}

/* ---- compacting ---- */

static void pick_settings(const struct tree *t, struct pick_options *out)
{
    uint64_t table_bytes = setting_u64(&t->settings.live.table_bytes);
    uint32_t level0_tables = setting_u32(&t->settings.live.level0_tables);
    *out = (struct pick_options){.level0_trigger = level0_tables,
                                 .level0_bytes = 2 * WORK_BASE_TABLES * table_bytes,
                                 .level0_percent = LEVEL0_PERCENT,
                                 .level0_read_tables = LEVEL0_READ_TABLES,
                                 .base_bytes = WORK_BASE_TABLES * table_bytes,
                                 .fanout = 10,
                                 .table_bytes = table_bytes,
                                 .key_epoch = rekey_epoch(t),
                                 .classes = t->settings.live.classes,
                                 .inputs_bytes_max = INPUTS_TABLES_MAX * table_bytes};
}

/* The settings, with smaller jobs where there is little space. */
static void pick_options(struct tree *t, struct pick_options *out)
{
    struct env_space space;
    pick_settings(t, out);
    out->level0_reads = counters_sum(&t->counts, COUNT_LEVEL0_ASKED) -
                        __atomic_load_n(&t->level0_asked, __ATOMIC_RELAXED);
    if (t->env->space(t->env, t->dir, &space) == 0) {
        uint64_t most = space.total_bytes / LEVEL0_SPACE_PART;
        if (space.free_bytes / 2 < out->inputs_bytes_max)
            out->inputs_bytes_max = space.free_bytes / 2;
        if (most < out->level0_bytes)
            out->level0_bytes = most;
    }
    relocate_options(t, &t->settings.live, &out->stale, &out->move_bytes_max);
}

static void set_busy(struct pick *p, bool busy)
{
    for (uint32_t i = 0; i < p->upper_count; i++)
        p->upper[i]->busy = busy;
    for (uint32_t i = 0; i < p->lower_count; i++)
        p->lower[i]->busy = busy;
}

/* Leaves the inputs busy: who reads them again meets the damage again. [lock held] */
static void park(struct tree *t, const struct pick *p)
{
    uint32_t count = p->upper_count + p->lower_count;
    t->parked_tables += count;
    events_say(t->events, "damage",
               "a compaction of level %d met damage; it leaves %" PRIu32
               " tables alone until the volume is opened again",
               p->input_level, count);
    log_message(LOG_ERROR,
                "%s: a compaction of level %d met damage; it leaves %" PRIu32
                " tables alone until the volume is opened again",
                t->dir, p->input_level, count);
}

/* [lock held] */
static void end_compaction(struct tree *t, struct pick *p, int err)
{
    if (err == -EIO) {
        park(t, p);
        err = 0; /* what is left can be compacted at once */
    } else {
        set_busy(p, false);
    }
    note_end(t, &t->compact, err);
}

/* Picks and marks a job. `*v` is a reference that keeps its tables alive. 0, or 1 when there is
 * nothing to do. [lock held] */
static int begin_compaction(struct tree *t, const struct pick_options *opt,
                            const struct slice *range, struct pick *pick, struct version **v)
{
    struct version *current = viewbox_peek(t->box)->version;
    if (t->compact.running || t->failure || t->placing)
        return 1;
    int err = range ? compact_pick_range(current, opt, range[0], range[1], pick)
                    : compact_pick(current, opt, pick);
    assert(err >= 0);
    if (err == 0) {
        *v = version_ref(current);
        set_busy(pick, true);
        t->compact.running = true;
        if (pick->input_level == 0)
            __atomic_store_n(&t->level0_asked, counters_sum(&t->counts, COUNT_LEVEL0_ASKED),
                             __ATOMIC_RELAXED);
    }
    return err;
}

/* Reckons what picking asks for, without a lock. */
static void prepare(struct tree *t, const struct pick_options *opt)
{
    struct view *v = viewbox_get(t->box);
    heal_mark(t, v->version);
    compact_pick_prepare(v->version, opt);
    uint64_t debt = compact_debt(v->version, opt);
    if (compact_level0_presses(v->version, opt))
        debt -= v->version->levels[0].bytes;
    __atomic_store_n(&t->debt_bytes, debt, __ATOMIC_RELAXED);
    view_unref(v);
}

/* Waits until no other compaction runs, asking now and then whether it is still wanted. 0, or
 * -EINTR. [lock held; left while `watch` is asked] */
static int wait_for_turn(struct tree *t, const struct job_watch *watch)
{
    bool given_up = false;
    while ((t->compact.running || t->placing) && !t->failure && !given_up) {
        tree_wait(t, WATCH_NS);
        pthread_mutex_unlock(&t->lock);
        given_up = watch->fn(watch->ctx) != 0;
        pthread_mutex_lock(&t->lock);
    }
    return given_up ? -EINTR : 0;
}

/* ---- slices ---- */

/* What a compaction may take of the disk. */
static uint64_t job_room(struct tree *t)
{
    struct env_space space;
    uint64_t kept = setting_u64(&t->settings.live.reserve_bytes) / JOB_RESERVE_PART;
    if (t->env->space(t->env, t->dir, &space) < 0)
        return UINT64_MAX; /* the writes themselves will tell */
    return space.free_bytes > kept ? space.free_bytes - kept : 0;
}

/* What outputs of a job may take, if nothing of the inputs is dropped. */
static uint64_t job_needs(struct tree *t, const struct pick *p)
{
    struct parity_options parity = tree_parity(t);
    uint64_t more = parity.parity ? p->input_bytes / parity.data * parity.parity : 0;
    return p->input_bytes + more;
}

/* One line when it begins to be so. */
static void tell_slices(struct tree *t, const char *obstacle)
{
    const char *text = obstacle ? obstacle : "";
    if (t->slices_told == text)
        return;
    t->slices_told = text;
    if (obstacle)
        log_message(LOG_WARNING,
                    "%s: a compaction needs more space than is free, and cannot go in slices: %s",
                    t->dir, obstacle);
    else
        log_message(LOG_INFO, "%s: a compaction needs more space than is free: it goes in slices",
                    t->dir);
}

/* Makes of a job that may need more space than is free a slice of it (compact_slice.h). One that
 * cannot be sliced is tried as it is: much of the inputs may be dead, and what is wrong with one of
 * them the job will meet. [the compaction's own thread] */
static void fit(struct tree *t, struct pick *p)
{
    uint64_t room = job_room(t), least = setting_u64(&t->settings.live.table_bytes);
    if (p->trivial_move || job_needs(t, p) <= room)
        return;
    const char *obstacle = room / SLICE_PART < least / SLICE_TABLE_PART
                               ? "that would take more, too"
                               : compact_slice_obstacle(t->env, t->dir, p);
    if (!obstacle && compact_slice(p, room / SLICE_PART) != 0)
        obstacle = "no key was found to cut it at";
    tell_slices(t, obstacle);
}

/* `range`: NULL, or {start, limit}; then there is a watch. */
static int compact_one(struct tree *t, const struct slice *range, const struct job_watch *watch,
                       uint64_t *bytes)
{
    struct pick_options opt;
    struct pick pick = {0};
    struct version *v = NULL;
    *bytes = 0;
    pick_options(t, &opt);
    if (!range)
        prepare(t, &opt);
    pthread_mutex_lock(&t->lock);
    int err = range ? wait_for_turn(t, watch) : 0;
    if (err == 0)
        err = begin_compaction(t, &opt, range, &pick, &v);
    pthread_mutex_unlock(&t->lock);
    if (err == 0) {
        struct counter_stripe *mine = counters_mine(&t->counts);
        uint64_t began = counter_start(mine, STORE_TIME_COMPACTION, t->env);
        fit(t, &pick);
        *bytes = pick.input_bytes;
        err = compact_run(t, &pick, watch);
        counter_stop(mine, STORE_TIME_COMPACTION, t->env, began);
        pthread_mutex_lock(&t->lock);
        end_compaction(t, &pick, err);
        pthread_mutex_unlock(&t->lock);
    }
    pick_release(&pick);
    version_unref(v);
    purge_run(&t->purge);
    return err;
}

int work_compact(struct tree *t)
{
    uint64_t bytes;
    return compact_one(t, NULL, NULL, &bytes);
}

int work_compact_range(struct tree *t, struct slice start, struct slice limit,
                       const struct job_watch *watch, uint64_t *bytes)
{
    struct slice range[2] = {start, limit};
    return compact_one(t, range, watch, bytes);
}

/* ---- space ---- */

/* What the largest job may take before it gives anything back: level 0 with all of the base level,
 * or a table with what it lies over (job.h); or the values of a whole blob file, for which it takes
 * twice the space (relocate.h). */
static uint64_t largest_job(const struct tree *t, const struct version *v)
{
    struct pick_options opt;
    pick_settings(t, &opt);
    uint64_t level0 = v->levels[0].bytes + v->levels[compact_base_level(v, &opt)].bytes;
    uint64_t table = 0, table_most = (JOB_BELOW_TABLES + 2) * opt.table_bytes;
    for (int level = 1; level < LEVEL_COUNT; level++)
        table += v->levels[level].bytes;
    table = table < table_most ? table : table_most;
    uint64_t blobs = v->blob_count > 0 ? 2 * tree_blob_bytes(t, &t->settings.live) : 0;
    table = table > blobs ? table : blobs;
    return level0 > table ? level0 : table;
}

uint64_t work_space_needed(struct tree *t)
{
    struct view *v = viewbox_get(t->box);
    uint64_t job = largest_job(t, v->version);
    view_unref(v);
    return job + setting_u64(&t->settings.live.reserve_bytes) / JOB_RESERVE_PART;
}

uint64_t work_space_usable(struct tree *t, const struct env_space *space)
{
    struct view *v = viewbox_get(t->box);
    uint64_t job = largest_job(t, v->version), most = space->total_bytes / KEPT_PART;
    uint64_t kept = setting_u64(&t->settings.live.reserve_bytes) + (job < most ? job : most);
    for (uint32_t i = 0; i < v->gen_count; i++)
        kept += memtable_bytes(v->gens[i]->mem);
    view_unref(v);
    return space->free_bytes > kept ? space->free_bytes - kept : 0;
}
