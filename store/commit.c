/* commit: the queue of writers; see commit.h for the way of a group and its invariants.
 *
 * A writer waits until it is at the head of the queue (it leads a group) or until its leader asks
 * it to insert its own batch (large groups are inserted in parallel) or has finished it. The leader
 * holds no lock while it does I/O: being at the head is what makes it the only one to touch log,
 * blob file and memtable rotation.
 *
 * Invariants:
 *   1. The head of the queue leads, and nobody else; it stays until its group is done.
 *   2. A writer lives on its own thread's stack: it is not touched after it was told WRITER_DONE
 *      and the queue's lock was let go. */
#include "store/commit.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "store/commit_priv.h"
#include "store/logtail.h"

enum {
    GROUP_BYTES_MAX = 4 << 20, /* a leader takes no more writers beyond this */
    OP_RECORD_MAX = 1 + VARINT32_MAX + VARINT32_MAX, /* of an operation, besides key and value */
};

/* ---- groups ---- */

/* The writers from the head of the queue that go together. One that goes alone goes alone. [queue
 * held] */
static void gather(struct commit *c, struct commit_group *g)
{
    *g = (struct commit_group){.first = c->head, .last = c->head};
    for (struct commit_writer *w = c->head; w; w = w->next) {
        uint64_t bytes = w->batch ? w->batch->bytes.len : 0;
        if (w != c->head && (w->alone || c->head->alone || g->bytes + bytes > GROUP_BYTES_MAX))
            break;
        w->group = g;
        g->last = w;
        g->writers++;
        g->bytes += bytes;
        g->ops += w->batch ? w->batch->count : 0;
        g->sync |= (w->flags & STORE_SYNC) != 0;
    }
}

int commit_leader_seal(struct commit *c)
{
    if (tree_failure(c->tree))
        return -EROFS;
    if (memtable_empty(c->active->mem))
        return 0;
    int err = commit_wait_for_flush(c);
    return err < 0 ? err : commit_push_gen(c);
}

/* Takes the group off the queue, wakes its members and the next leader. [queue held] */
static void finish_group(struct commit *c, struct commit_group *g)
{
    assert(c->head == g->first);
    c->head = g->last->next;
    if (!c->head)
        c->tail = NULL;
    for (struct commit_writer *w = g->first;; w = w->next) {
        w->state = WRITER_DONE;
        if (w != g->first)
            pthread_cond_signal(&w->wake);
        if (w == g->last)
            break;
    }
    if (c->head) {
        c->head->state = WRITER_LEADS;
        pthread_cond_signal(&c->head->wake);
    }
}

/* [queue held; not while it works] */
static void lead(struct commit *c, struct commit_writer *me)
{
    struct commit_group g;
    gather(c, &g);
    assert(g.first == me);
    pthread_mutex_unlock(&c->queue);
    if (me->alone)
        me->result = me->alone(c, me->alone_ctx);
    else
        commit_group(c, &g);
    pthread_mutex_lock(&c->queue);
    finish_group(c, &g);
}

/* ---- members ---- */

/* A member's part in a group that inserts in parallel. [queue held; not while it works] */
static void insert_own(struct commit *c, struct commit_writer *me)
{
    struct commit_group *g = me->group;
    struct memtable *m = c->active->mem; /* the leader stands still until all are done */
    me->state = WRITER_WAITS;
    pthread_mutex_unlock(&c->queue);
    commit_insert_points(m, me);
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
    while (me->state != WRITER_DONE) {
        if (me->state == WRITER_LEADS)
            lead(c, me);
        else if (me->state == WRITER_INSERTS)
            insert_own(c, me);
        else
            pthread_cond_wait(&me->wake, &c->queue);
    }
    pthread_mutex_unlock(&c->queue);
    pthread_cond_destroy(&me->wake);
    return me->result;
}

/* ---- the door ---- */

/* A batch of very many small operations can have a record much larger than its keys and values. */
static bool too_big(const struct store_batch *b)
{
    return b->bytes.len > STORE_BATCH_MAX ||
           b->bytes.len + (uint64_t)b->count * OP_RECORD_MAX + 2 * VARINT64_MAX > FRAME_RAW_MAX;
}

static bool any_merge(const struct store_batch *b)
{
    for (uint32_t i = 0; i < b->count; i++)
        if (entry_type_is_merge(b->ops[i].type))
            return true;
    return false;
}

int commit_write(struct commit *c, struct store_batch *b, int flags)
{
    if (b && too_big(b))
        return -E2BIG;
    if (b && !c->tree->read_ctx.merge && any_merge(b))
        return -EINVAL;
    if ((!b || b->count == 0) && !(flags & STORE_SYNC))
        return 0;
    struct commit_writer w = {.batch = b, .flags = flags};
    return submit(c, &w);
}

int commit_alone(struct commit *c, commit_alone_fn *fn, void *ctx)
{
    struct commit_writer w = {.alone = fn, .alone_ctx = ctx};
    return submit(c, &w);
}

static int seal(struct commit *c, void *ctx)
{
    (void)ctx;
    return commit_leader_seal(c);
}

int commit_seal(struct commit *c)
{
    return commit_alone(c, seal, NULL);
}

static int sync_all(void *ctx)
{
    return commit_write(ctx, NULL, STORE_SYNC);
}

int commit_open(struct commit *c, struct tree *t, uint64_t next_seq)
{
    *c = (struct commit){.tree = t, .next_seq = next_seq};
    autosync_init(&c->autosync, t, sync_all, c);
    pthread_mutex_init(&c->queue, NULL);
    logtail_open(t->env, t->dir, &c->logtail);
    int err = commit_push_gen(c);
    if (err < 0) {
        logtail_free(c->logtail, true);
        autosync_release(&c->autosync);
        pthread_mutex_destroy(&c->queue);
    }
    return err;
}

int commit_close(struct commit *c)
{
    assert(!c->head);
    int err = tree_failure(c->tree) ? -EROFS : commit_sync(c);
    journal_writer_free(c->log);
    logtail_free(c->logtail, err == 0);
    blob_writer_free(c->blob);
    buf_release(&c->record);
    autosync_release(&c->autosync);
    pthread_mutex_destroy(&c->queue);
    return err;
}
