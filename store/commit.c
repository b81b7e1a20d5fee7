/* commit: see commit.h for the way of a group and its invariants.
 *
 * A writer waits until it is at the head of the queue (it leads a group) or until its leader asks
 * it to insert its own batch (large groups are inserted in parallel) or has finished it. The leader
 * holds no lock while it does I/O: being at the head is what makes it the only one to touch log,
 * blob file and memtable rotation. */
#include "store/commit.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/work.h"

enum {
    GROUP_BYTES_MAX = 4 << 20, /* a leader takes no more writers beyond this */
    PARALLEL_OPS_MIN = 64,     /* below, waking the writers costs more than it gains */
    SPACE_RECHECK = 32 << 20,  /* bytes written between two questions to the disk, at most */
};

enum writer_state { WRITER_WAITS, WRITER_LEADS, WRITER_INSERTS, WRITER_DONE };

struct commit_writer {
    struct store_batch *batch; /* NULL: nothing to write: a sync or a seal */
    int flags;
    bool seal;
    int result;
    uint64_t first_seq;
    enum writer_state state; /* [queue] */
    pthread_cond_t wake;
    struct commit_writer *next;
    struct commit_group *group;
};

struct commit_group {
    struct commit_writer *first, *last;
    uint32_t writers;
    uint64_t ops;
    uint64_t bytes;
    bool sync;
    bool reserve;       /* all of the group may use the reserve */
    uint32_t inserting; /* [queue] members that still insert */
};

static bool has_ops(const struct commit_writer *w)
{
    return w->batch && w->batch->count > 0 && w->result == 0;
}

/* ---- syncing ---- */

static int sync_file(struct tree *t, enum file_kind kind, uint64_t number)
{
    char *path = name_file(t->dir, kind, number);
    struct env_file *f;
    int err = t->env->open(t->env, path, ENV_OPEN_WRITE, &f);
    if (err == 0) {
        err = f->ops->sync(f);
        f->ops->close(f);
    }
    free(path);
    return err;
}

/* Log and blob file of a sealed memtable; nothing to do if they are known to be on disk, or if its
 * contents are in tables. */
static int sync_gen(struct tree *t, struct memgen *g)
{
    if (__atomic_load_n(&g->synced, __ATOMIC_ACQUIRE))
        return 0;
    int err = g->blob ? sync_file(t, FILE_BLOB, g->blob->number) : 0;
    if (err == 0)
        err = sync_file(t, FILE_LOG, g->log_number);
    if (err == 0)
        __atomic_store_n(&g->synced, true, __ATOMIC_RELEASE);
    else if (__atomic_load_n(&g->flushed, __ATOMIC_ACQUIRE))
        err = 0; /* a flush overtook us and removed the file */
    return err;
}

/* Invariant 3, in its order. */
static int sync_all(struct commit *c)
{
    struct tree *t = c->tree;
    struct view *v = viewbox_get(t->box);
    int err = 0;
    for (uint32_t i = v->gen_count; i-- > 0 && err == 0;)
        if (v->gens[i] != c->active)
            err = sync_gen(t, v->gens[i]);
    view_unref(v);
    if (err == 0 && c->blob)
        err = blob_sync(c->blob);
    if (err == 0 && c->folder_dirty)
        err = t->env->sync_dir(t->env, t->dir);
    if (err == 0) {
        c->folder_dirty = false;
        err = journal_sync(c->log);
    }
    return err < 0 ? tree_fail(t, err, "cannot sync the log") : 0;
}

/* ---- rotation ---- */

/* Starts a log for sequence numbers from c->next_seq on and a memtable for it, and puts them in
 * front. */
static int push_gen(struct commit *c)
{
    struct tree *t = c->tree;
    struct journal_writer *log = NULL;
    struct buf start = {0};
    uint64_t number = tree_new_file(t);
    int err = journal_create(t->env, t->dir, FILE_LOG, number, t->uuid, &log);
    if (err < 0)
        return err;
    buf_put_varint(&start, c->next_seq);
    buf_put_varint(&start, 0);
    journal_add(log, buf_slice(&start));
    buf_release(&start);
    err = journal_write(log);
    /* Header and name are on disk before the first record is acknowledged: a log that is missing or
     * without its beginning, while later ones exist, is damage. */
    if (err == 0)
        err = journal_sync(log);
    if (err == 0)
        err = t->env->sync_dir(t->env, t->dir);
    if (err < 0) {
        journal_writer_free(log);
        purge_add(&t->purge, FILE_LOG, number);
        return err;
    }
    struct memgen *g = memgen_new(number, c->next_seq);
    tree_push_gen(t, g);
    c->folder_dirty = false;
    journal_writer_free(c->log);
    blob_writer_free(c->blob);
    c->log = log;
    c->blob = NULL;
    c->active = g;
    memgen_unref(g);
    return 0;
}

static bool active_full(const struct commit *c)
{
    return memtable_bytes(c->active->mem) >= c->tree->opt.memtable_bytes ||
           (c->blob && blob_size(c->blob) >= c->tree->opt.blob_bytes);
}

static void count_stall(struct tree *t, uint64_t took)
{
    tree_count(&t->counters.stall_ns, took);
    if (took > __atomic_load_n(&t->counters.stall_ns_max, __ATOMIC_RELAXED))
        __atomic_store_n(&t->counters.stall_ns_max, took, __ATOMIC_RELAXED);
}

/* Waits until there are fewer memtables than allowed. Without workers the writer does the work
 * itself. */
static int wait_for_flush(struct tree *t)
{
    uint64_t began = t->env->monotonic_ns(t->env);
    int err = 0;
    pthread_mutex_lock(&t->lock);
    while (err == 0 && viewbox_peek(t->box)->gen_count >= t->opt.memtables_max) {
        if (t->failure)
            err = -EROFS;
        else if (t->out_of_space)
            err = -ENOSPC;
        else if (t->opt.workers == 0) {
            pthread_mutex_unlock(&t->lock);
            err = work_flush(t);
            pthread_mutex_lock(&t->lock);
        } else
            pthread_cond_wait(&t->changed, &t->lock);
    }
    pthread_mutex_unlock(&t->lock);
    count_stall(t, t->env->monotonic_ns(t->env) - began);
    return err < 0 ? err : 0;
}

static int make_room(struct commit *c)
{
    if (tree_failure(c->tree))
        return -EROFS;
    if (!active_full(c))
        return 0;
    int err = wait_for_flush(c->tree);
    return err < 0 ? err : push_gen(c);
}

/* ---- space ---- */

/* Is there room for `bytes` beside the reserve? Asks the disk only now and then. */
static bool space_for(struct commit *c, uint64_t bytes)
{
    if (!c->space_low && c->space_left > bytes) {
        c->space_left -= bytes;
        return true;
    }
    struct env_space space;
    struct tree *t = c->tree;
    if (t->env->space(t->env, t->dir, &space) < 0)
        return true; /* the write itself will tell */
    uint64_t usable =
        space.free_bytes > t->opt.reserve_bytes ? space.free_bytes - t->opt.reserve_bytes : 0;
    c->space_low = usable < 2 * (uint64_t)SPACE_RECHECK;
    c->space_left = c->space_low ? 0 : SPACE_RECHECK;
    return usable > bytes;
}

/* Refuses the writers for whom there is no space; the others go on. */
static void admit(struct commit *c, struct commit_group *g)
{
    bool room = space_for(c, g->bytes);
    for (struct commit_writer *w = g->first;; w = w->next) {
        if (!room && has_ops(w) && !(w->flags & STORE_RESERVE))
            w->result = -ENOSPC;
        if (w == g->last)
            break;
    }
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
    for (struct commit_writer *w = g->first;; w = w->next) {
        if (has_ops(w) && w->batch->blob_count > 0) {
            int err = open_blob(c);
            if (err < 0)
                return err;
            batch_place_blobs(w->batch, c->blob);
        }
        if (w == g->last)
            break;
    }
    if (!c->blob || blob_pending(c->blob) == 0)
        return 0;
    tree_count(&c->tree->counters.written_blob, blob_pending(c->blob));
    return blob_write(c->blob);
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

/* Gives the writers their numbers and writes their records. On failure no number is used. */
static int write_log(struct commit *c, struct commit_group *g, uint64_t *end_seq)
{
    struct buf record = {0};
    uint64_t seq = c->next_seq, before = journal_size(c->log);
    for (struct commit_writer *w = g->first;; w = w->next) {
        if (has_ops(w)) {
            w->first_seq = seq;
            record.len = 0;
            batch_encode(w->batch, seq, &record);
            journal_add(c->log, buf_slice(&record));
            seq += w->batch->count;
        }
        if (w == g->last)
            break;
    }
    buf_release(&record);
    int err = seq == c->next_seq ? 0 : journal_write(c->log);
    if (err == 0)
        tree_count(&c->tree->counters.written_log, journal_size(c->log) - before);
    *end_seq = err == 0 ? seq : c->next_seq;
    return err;
}

/* ---- inserting ---- */

static void insert_points(struct memtable *m, const struct store_batch *b, uint64_t first_seq)
{
    struct buf scratch = {0};
    for (uint32_t i = 0; i < b->count; i++) {
        if (b->ops[i].type == ENTRY_RANGE_DELETE)
            continue;
        struct entry e = batch_entry(b, i, first_seq, &scratch);
        memtable_add(m, &e);
    }
    buf_release(&scratch);
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

/* Tombstones first, by the leader, in the order of their numbers (the memtable asks that); then the
 * point entries, each writer its own if that pays. */
static void insert_group(struct commit *c, struct commit_group *g, struct commit_writer *me)
{
    bool parallel = g->writers > 1 && g->ops >= PARALLEL_OPS_MIN;
    for (struct commit_writer *w = g->first;; w = w->next) {
        if (has_ops(w)) {
            count_blobs(c, w->batch);
            insert_rangedels(c, w->batch, w->first_seq);
        }
        if (w == g->last)
            break;
    }
    if (parallel) {
        pthread_mutex_lock(&c->queue);
        for (struct commit_writer *w = g->first;; w = w->next) {
            if (w != me && has_ops(w)) {
                g->inserting++;
                w->state = WRITER_INSERTS;
                pthread_cond_signal(&w->wake);
            }
            if (w == g->last)
                break;
        }
        pthread_mutex_unlock(&c->queue);
    }
    for (struct commit_writer *w = g->first;; w = w->next) {
        if (has_ops(w) && (w == me || !parallel))
            insert_points(c->active->mem, w->batch, w->first_seq);
        if (w == g->last)
            break;
    }
    if (parallel) {
        pthread_mutex_lock(&c->queue);
        while (g->inserting > 0)
            pthread_cond_wait(&me->wake, &c->queue);
        pthread_mutex_unlock(&c->queue);
    }
}

/* ---- groups ---- */

/* The writers from the head of the queue that go together. A seal goes alone. [queue held] */
static void gather(struct commit *c, struct commit_group *g)
{
    *g = (struct commit_group){.first = c->head, .last = c->head};
    for (struct commit_writer *w = c->head; w; w = w->next) {
        uint64_t bytes = w->batch ? w->batch->bytes.len : 0;
        if (w != c->head && (w->seal || c->head->seal || g->bytes + bytes > GROUP_BYTES_MAX))
            break;
        w->group = g;
        g->last = w;
        g->writers++;
        g->bytes += bytes;
        g->ops += w->batch ? w->batch->count : 0;
        g->sync |= (w->flags & STORE_SYNC) != 0;
    }
}

static void set_result(struct commit_group *g, int err)
{
    for (struct commit_writer *w = g->first;; w = w->next) {
        if (w->result == 0)
            w->result = err;
        if (w == g->last)
            break;
    }
}

static int write_group(struct commit *c, struct commit_group *g, struct commit_writer *me)
{
    uint64_t end_seq = c->next_seq;
    int err = make_room(c);
    if (err < 0)
        return err;
    admit(c, g);
    err = write_blobs(c, g);
    if (err == 0)
        err = write_log(c, g, &end_seq);
    if (err < 0) {
        if (c->blob)
            blob_discard(c->blob);
        journal_discard(c->log);
        return err;
    }
    if (g->sync) {
        err = sync_all(c);
        if (err < 0)
            return err;
    }
    insert_group(c, g, me);
    tree_count(&c->tree->counters.written_user, g->bytes);
    c->next_seq = end_seq;
    __atomic_store_n(&c->tree->published, end_seq, __ATOMIC_RELEASE);
    return 0;
}

static int seal(struct commit *c)
{
    if (memtable_empty(c->active->mem))
        return 0;
    return tree_failure(c->tree) ? -EROFS : push_gen(c);
}

/* Takes the group off the queue, wakes its members and the next leader. */
static void finish_group(struct commit *c, struct commit_group *g, struct commit_writer *me)
{
    pthread_mutex_lock(&c->queue);
    c->head = g->last->next;
    if (!c->head)
        c->tail = NULL;
    for (struct commit_writer *w = g->first, *next;; w = next) {
        next = w->next; /* a writer that is done may be gone at once */
        bool last = w == g->last;
        w->state = WRITER_DONE;
        if (w != me)
            pthread_cond_signal(&w->wake);
        if (last)
            break;
    }
    if (c->head) {
        c->head->state = WRITER_LEADS;
        pthread_cond_signal(&c->head->wake);
    }
    pthread_mutex_unlock(&c->queue);
}

static void lead(struct commit *c, struct commit_writer *me)
{
    struct commit_group g;
    pthread_mutex_lock(&c->queue);
    gather(c, &g);
    pthread_mutex_unlock(&c->queue);
    set_result(&g, me->seal ? seal(c) : write_group(c, &g, me));
    finish_group(c, &g, me);
}

/* A member's part in a group that inserts in parallel. [queue held, and held again on return] */
static void insert_own(struct commit *c, struct commit_writer *me)
{
    struct commit_group *g = me->group;
    struct memtable *m = c->active->mem; /* the leader stands still until all are done */
    me->state = WRITER_WAITS;
    pthread_mutex_unlock(&c->queue);
    insert_points(m, me->batch, me->first_seq);
    pthread_mutex_lock(&c->queue);
    if (--g->inserting == 0)
        pthread_cond_signal(&g->first->wake);
}

static int submit(struct commit *c, struct commit_writer *me)
{
    pthread_cond_init(&me->wake, NULL);
    pthread_mutex_lock(&c->queue);
    if (c->tail)
        c->tail->next = me;
    else
        c->head = me;
    c->tail = me;
    me->state = c->head == me ? WRITER_LEADS : WRITER_WAITS;
    while (me->state != WRITER_LEADS && me->state != WRITER_DONE) {
        if (me->state == WRITER_INSERTS)
            insert_own(c, me);
        else
            pthread_cond_wait(&me->wake, &c->queue);
    }
    bool leads = me->state == WRITER_LEADS;
    pthread_mutex_unlock(&c->queue);
    if (leads)
        lead(c, me);
    pthread_cond_destroy(&me->wake);
    return me->result;
}

int commit_write(struct commit *c, struct store_batch *b, int flags)
{
    if (b && store_batch_bytes(b) > STORE_BATCH_MAX)
        return -E2BIG;
    if ((!b || b->count == 0) && !(flags & STORE_SYNC))
        return 0;
    struct commit_writer w = {.batch = b, .flags = flags};
    return submit(c, &w);
}

int commit_seal(struct commit *c)
{
    struct commit_writer w = {.seal = true};
    return submit(c, &w);
}

int commit_open(struct commit *c, struct tree *t, uint64_t next_seq)
{
    *c = (struct commit){.tree = t, .next_seq = next_seq};
    pthread_mutex_init(&c->queue, NULL);
    int err = push_gen(c);
    if (err < 0)
        pthread_mutex_destroy(&c->queue);
    return err;
}

int commit_close(struct commit *c)
{
    assert(!c->head);
    int err = tree_failure(c->tree) ? -EROFS : sync_all(c);
    journal_writer_free(c->log);
    blob_writer_free(c->blob);
    pthread_mutex_destroy(&c->queue);
    return err;
}
