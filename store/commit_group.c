/* commit_group: what the leader does with a group: blob values, log, sync, memtable.
 *
 * Guarantees: a writer whose result is an error other than -EROFS has changed nothing. The others
 * of its group go on without it, and so does a sync that was asked for.
 *
 * Invariants:
 *   1. Sequence numbers are given out only to records that were written; a write that failed was
 *      taken back whole, or the store has failed.
 *   2. Once records are written, only a failure of the store keeps them from being inserted. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "store/commit_priv.h"

enum {
    PARALLEL_OPS_MIN = 64,       /* below, waking the writers costs more than it gains */
    RECORD_KEPT_BYTES = 1 << 20, /* memory beyond this is not kept for the next group */
};

/* The writers of `g`, one after another. */
static struct commit_writer *next_writer(const struct commit_group *g,
                                         const struct commit_writer *w)
{
    return w == g->last ? NULL : w->next;
}

static bool group_has_ops(const struct commit_group *g)
{
    for (struct commit_writer *w = g->first; w; w = next_writer(g, w))
        if (writer_has_ops(w))
            return true;
    return false;
}

/* ---- syncing ---- */

static int sync_sealed(struct commit *c)
{
    struct view *v = viewbox_get(c->tree->box);
    int err = tree_sync_sealed(c->tree, v);
    view_unref(v);
    return err;
}

void commit_tell_log(struct commit *c)
{
    struct tree *t = c->tree;
    tree_count(&t->counters.written_log, journal_take_written(c->log));
    __atomic_store_n(&t->log_in_tail, journal_in_tail(c->log), __ATOMIC_RELAXED);
    __atomic_store_n(&c->active->log_bytes, journal_size(c->log), __ATOMIC_RELAXED);
}

/* Everything, in the order of invariant 3 of commit.h. */
static int sync_files(struct commit *c)
{
    struct tree *t = c->tree;
    int err = sync_sealed(c);
    if (err == 0 && c->blob)
        err = blob_sync(c->blob);
    if (err == 0 && c->folder_dirty)
        err = t->env->sync_dir(t->env, t->dir);
    if (err == 0) {
        c->folder_dirty = false;
        err = journal_sync(c->log);
        commit_tell_log(c);
    }
    if (err == 0)
        c->mark_bytes = journal_size(c->log);
    return err;
}

int commit_sync(struct commit *c)
{
    struct tree *t = c->tree;
    struct counter_stripe *mine = counters_mine(&t->counts);
    uint64_t began = counter_start(mine, STORE_TIME_SYNC, t->env);
    int err = sync_files(c);
    counter_stop(mine, STORE_TIME_SYNC, t->env, began);
    counter_add(mine, COUNT_SYNC, 1);
    if (err == 0)
        autosync_done(&c->autosync);
    /* Whatever it was: records were written that nobody can number any more. */
    return err < 0 ? tree_fail(t, err, "cannot sync the log") : 0;
}

/* ---- admission ---- */

static void set_results(struct commit_group *g, int err)
{
    for (struct commit_writer *w = g->first; w; w = next_writer(g, w))
        if (w->result == 0)
            w->result = err;
}

/* Those that write; a sync goes on. */
static void refuse_writers(struct commit_group *g, int err, bool also_reserve)
{
    for (struct commit_writer *w = g->first; w; w = next_writer(g, w))
        if (writer_has_ops(w) && (also_reserve || !(w->flags & STORE_RESERVE)))
            w->result = err;
}

static int admit(struct commit *c, struct commit_group *g)
{
    int err = g->ops > 0 ? commit_make_room(c, g->bytes) : 0;
    if (tree_failure(c->tree))
        return -EROFS; /* perhaps while it waited */
    if (g->ops == 0)
        return 0;
    if (err < 0)
        refuse_writers(g, err, true);
    else if (!commit_space_for(c, g->bytes))
        refuse_writers(g, -ENOSPC, false);
    return 0;
}

/* ---- writing ---- */

static int open_blob(struct commit *c)
{
    struct tree *t = c->tree;
    if (c->blob)
        return 0;
    uint64_t number = tree_new_file(t);
    int err = blob_create(t->env, t->dir, number, t->uuid, &c->blob);
    if (err < 0)
        return err;
    c->folder_dirty = true;
    memgen_set_blob(c->active, version_blob_new(&t->source, number));
    return 0;
}

static int write_blobs(struct commit *c, struct commit_group *g)
{
    for (struct commit_writer *w = g->first; w; w = next_writer(g, w)) {
        if (!writer_has_ops(w) || w->batch->blob_count == 0)
            continue;
        int err = open_blob(c);
        if (err < 0)
            return err;
        batch_place_blobs(w->batch, c->blob);
    }
    if (!c->blob || blob_pending(c->blob) == 0)
        return 0;
    tree_count(&c->tree->counters.written_blob, blob_pending(c->blob));
    return blob_write(c->blob);
}

/* Gives the writers their numbers and writes their records. On failure no number is used. */
static int write_log(struct commit *c, struct commit_group *g, uint64_t *end_seq)
{
    const struct store_options *live = &c->tree->settings.live;
    uint64_t seq = c->next_seq;
    journal_use_rows(c->log, setting_int(&live->log_zstd), setting_u32(&live->log_row_bytes));
    if (c->mark_bytes > 0) { /* so that damage can be told from a power cut (replay_proof.h) */
        buf_clear(&c->record);
        batch_mark_encode(seq, c->mark_bytes, &c->record);
        journal_add(c->log, buf_slice(&c->record));
    }
    for (struct commit_writer *w = g->first; w; w = next_writer(g, w)) {
        if (!writer_has_ops(w))
            continue;
        w->first_seq = seq;
        buf_clear(&c->record);
        batch_encode(w->batch, seq, &c->record);
        int err = batch_verify(w->batch, buf_slice(&c->record));
        if (err < 0)
            return err; /* nothing is written yet */
        journal_add(c->log, buf_slice(&c->record));
        seq += w->batch->count;
    }
    if (c->record.cap > RECORD_KEPT_BYTES)
        buf_release(&c->record);
    int err = journal_write(c->log);
    commit_tell_log(c);
    if (err < 0)
        return err;
    c->mark_bytes = 0;
    *end_seq = seq;
    return 0;
}

/* A file that could not be cut back after a failed write cannot be written any more, and neither
 * can the store: asked for a sync, which has nothing else to do then, it says so. */
static int write_files(struct commit *c, struct commit_group *g, uint64_t *end_seq)
{
    int broken = 0;
    int err = write_blobs(c, g);
    if (err < 0) {
        broken = c->blob ? blob_sync(c->blob) : 0;
    } else {
        err = write_log(c, g, end_seq);
        if (err < 0)
            broken = journal_is_spent(c->log) ? -EIO : 0;
    }
    return broken < 0 ? tree_fail(c->tree, broken, "cannot write the log") : err;
}

static int write_records(struct commit *c, struct commit_group *g, uint64_t *end_seq)
{
    if (!group_has_ops(g))
        return 0;
    int err = write_files(c, g, end_seq);
    if (err == 0)
        return 0;
    if (c->blob)
        blob_discard(c->blob);
    journal_discard(c->log);
    refuse_writers(g, err, true);
    return err == -EROFS ? err : 0;
}

int commit_leader_skip(struct commit *c, uint64_t *seq)
{
    struct buf record = {0};
    batch_encode_nothing(c->next_seq, &record);
    journal_add(c->log, buf_slice(&record));
    buf_release(&record);
    int err = journal_write(c->log);
    if (err < 0) {
        journal_discard(c->log);
        int broken = journal_sync(c->log);
        return broken < 0 ? tree_fail(c->tree, broken, "cannot write the log") : err;
    }
    *seq = c->next_seq++;
    return commit_sync(c);
}

void commit_leader_publish(struct commit *c)
{
    assert(c->next_seq >= c->tree->published);
    __atomic_store_n(&c->tree->published, c->next_seq, __ATOMIC_RELEASE);
}

/* ---- inserting ---- */

void commit_insert_points(struct memtable *m, const struct commit_writer *w)
{
    const struct store_batch *b = w->batch;
    struct buf scratch = {0};
    for (uint32_t i = 0; i < b->count; i++) {
        if (b->ops[i].type == ENTRY_RANGE_DELETE)
            continue;
        struct entry e = batch_entry(b, i, w->first_seq, &scratch);
        memtable_add(m, &e);
    }
    buf_release(&scratch);
}

static void count_blobs(struct commit *c, const struct store_batch *b)
{
    for (uint32_t i = 0; i < b->count && b->blob_count > 0; i++) {
        if (entry_type_is_blob(b->ops[i].type)) {
            c->active->blob_frames++;
            c->active->blob_bytes += b->ops[i].ref.where.len;
        }
    }
}

static void insert_rangedels(struct commit *c, const struct store_batch *b, uint64_t first_seq)
{
    for (uint32_t i = 0; i < b->count && b->rangedel_count > 0; i++) {
        if (b->ops[i].type != ENTRY_RANGE_DELETE)
            continue;
        struct entry e = batch_entry(b, i, first_seq, NULL);
        memtable_add_rangedel(c->active->mem, e.key, e.value, e.seq);
        if (!__atomic_load_n(&c->active->rangedel_since_ns, __ATOMIC_RELAXED))
            __atomic_store_n(&c->active->rangedel_since_ns,
                             c->tree->env->monotonic_ns(c->tree->env), __ATOMIC_RELAXED);
    }
}

/* Each writer its own. The leader stands still until all are done. */
static void insert_in_parallel(struct commit *c, struct commit_group *g)
{
    struct commit_writer *me = g->first;
    pthread_mutex_lock(&c->queue);
    for (struct commit_writer *w = g->first; w; w = next_writer(g, w)) {
        if (w != me && writer_has_ops(w)) {
            g->inserting++;
            w->state = WRITER_INSERTS;
            pthread_cond_signal(&w->wake);
        }
    }
    pthread_mutex_unlock(&c->queue);
    if (writer_has_ops(me))
        commit_insert_points(c->active->mem, me);
    pthread_mutex_lock(&c->queue);
    while (g->inserting > 0)
        pthread_cond_wait(&me->wake, &c->queue);
    pthread_mutex_unlock(&c->queue);
}

/* Tombstones first, by the leader, in the order of their numbers (the memtable asks that); then the
 * point entries. */
static void insert_group(struct commit *c, struct commit_group *g)
{
    for (struct commit_writer *w = g->first; w; w = next_writer(g, w)) {
        if (!writer_has_ops(w))
            continue;
        count_blobs(c, w->batch);
        insert_rangedels(c, w->batch, w->first_seq);
    }
    if (g->writers > 1 && g->ops >= PARALLEL_OPS_MIN) {
        insert_in_parallel(c, g);
        return;
    }
    for (struct commit_writer *w = g->first; w; w = next_writer(g, w))
        if (writer_has_ops(w))
            commit_insert_points(c->active->mem, w);
}

static uint64_t bytes_taken(const struct commit_group *g)
{
    uint64_t bytes = 0;
    for (struct commit_writer *w = g->first; w; w = next_writer(g, w))
        if (writer_has_ops(w))
            bytes += w->batch->bytes.len;
    return bytes;
}

void commit_group(struct commit *c, struct commit_group *g)
{
    uint64_t end_seq = c->next_seq;
    int err = admit(c, g);
    if (err == 0)
        err = write_records(c, g, &end_seq);
    if (err == 0 && g->sync)
        err = commit_sync(c);
    if (err < 0) {
        set_results(g, err);
        return;
    }
    if (end_seq == c->next_seq)
        return;
    if (!g->sync)
        autosync_note(&c->autosync);
    insert_group(c, g);
    tree_count(&c->tree->counters.written_user, bytes_taken(g));
    c->next_seq = end_seq;
    __atomic_store_n(&c->tree->published, end_seq, __ATOMIC_RELEASE);
}
