/* press: see press.h.
 *
 * Blocks stand in a ring, in order: [head, next) are taken, or packed already; [next, tail) wait.
 * Writer and helpers both take the one at `next`. The one at `head` goes out as soon as there are
 * more than `depth`, or at the end; the writer packs what is left to do before it would wait.
 *
 * Invariants:
 *   1. head <= next <= tail; the ring holds tail - head blocks.
 *   2. While blocks are gathered nothing is taken: next = head.
 *   3. Everything of the ring and `ready` is under the squad's lock if there is a squad; a block's
 *      other fields belong to who took it, or to the writer.
 *   4. When a block goes out depends only on what was added, and how it is packed only on that and
 *      on what went out before. */
#include "store/press.h"

#include <assert.h>
#include <stdlib.h>

enum {
    DEPTH = 32, /* blocks that wait where there are helpers */
    RING_LEAST = 64,
    /* Of blocks in a row that did not shrink: see pack_how in codec_zstd.h. */
    MISSES_WARY = 4,
    MISSES_ROUND = 17,
    MISSES_NOTED = 1 << 30,
};

struct press {
    struct squad_task task; /* first */
    struct press_options opt;
    press_out_fn *out;
    void *ctx;
    struct press_block **ring; /* of `cap` places, a power of two */
    uint32_t cap;
    uint64_t head, next, tail;
    bool gathering;
    uint32_t depth;
    uint64_t waiting_raw;        /* raw bytes of what has not gone out */
    uint64_t out_raw, out_bytes; /* of what has gone out */
    uint32_t missed;             /* so many of these in a row did not shrink */
    struct codec_dict *dict;     /* a reference, fixed before the first block is taken; or NULL */
    struct press_block **spare;  /* to be used again */
    uint32_t spare_count, spare_cap;
};

static void lock(struct press *p)
{
    if (p->opt.squad)
        pthread_mutex_lock(&p->opt.squad->lock);
}

static void unlock(struct press *p)
{
    if (p->opt.squad)
        pthread_mutex_unlock(&p->opt.squad->lock);
}

static struct press_block **place(struct press *p, uint64_t i)
{
    assert(i >= p->head && i < p->head + p->cap);
    return &p->ring[i & (p->cap - 1)];
}

static void press_assert_valid(const struct press *p)
{
    assert(p->head <= p->next && p->next <= p->tail && p->tail - p->head <= p->cap);
    assert(!p->gathering || p->next == p->head);
    (void)p;
}

/* ---- packing ---- */

static void pack(const struct press *p, struct press_block *b)
{
    struct pack_how how = {.zstd_level = b->zstd_level, .dict = p->dict, .misses = &b->misses};
    buf_clear(&b->packed);
    frame_pack_how(buf_slice(&b->raw), &how, &b->packed);
}

/* The next one that waits, or NULL. [lock held] */
static struct press_block *take(struct press *p)
{
    if (p->gathering || p->next == p->tail)
        return NULL;
    return *place(p, p->next++);
}

static void *task_take(struct squad_task *task)
{
    return take((struct press *)task);
}

static void task_run(struct squad_task *task, void *work)
{
    pack((struct press *)task, work);
}

static void task_done(struct squad_task *task, void *work)
{
    struct press_block *b = work;
    (void)task;
    b->ready = true;
}

/* ---- beginning and end ---- */

struct press *press_new(const struct press_options *opt, press_out_fn *out, void *ctx)
{
    struct press *p = mem_zalloc(sizeof *p);
    p->opt = *opt;
    p->out = out;
    p->ctx = ctx;
    p->gathering = opt->dict != NULL;
    p->depth = opt->squad ? DEPTH : 0;
    p->task = (struct squad_task){.take = task_take, .run = task_run, .done = task_done};
    if (opt->squad)
        squad_join(opt->squad, &p->task);
    return p;
}

static void block_free(struct press_block *b)
{
    buf_release(&b->raw);
    buf_release(&b->last_key);
    buf_release(&b->next_key);
    buf_release(&b->packed);
    free(b);
}

void press_free(struct press *p)
{
    if (!p)
        return;
    if (p->opt.squad)
        squad_leave(p->opt.squad, &p->task);
    while (p->head < p->tail)
        block_free(p->ring[p->head++ & (p->cap - 1)]);
    while (p->spare_count > 0)
        block_free(p->spare[--p->spare_count]);
    codec_dict_unref(p->dict);
    free(p->spare);
    free(p->ring);
    free(p);
}

/* ---- blocks ---- */

struct press_block *press_block(struct press *p)
{
    if (p->spare_count == 0)
        return mem_zalloc(sizeof(struct press_block));
    struct press_block *b = p->spare[--p->spare_count];
    buf_clear(&b->raw);
    buf_clear(&b->last_key);
    buf_clear(&b->next_key);
    return b;
}

/* Blocks that were gathered at first and are not needed later are let go. */
static void put_back(struct press *p, struct press_block *b)
{
    if (p->spare_count > p->depth) {
        block_free(b);
        return;
    }
    if (p->spare_count == p->spare_cap) {
        p->spare_cap = p->spare_cap ? 2 * p->spare_cap : 4;
        p->spare = mem_realloc(p->spare, p->spare_cap * sizeof(struct press_block *));
    }
    p->spare[p->spare_count++] = b;
}

void press_drop(struct press *p, struct press_block *b)
{
    put_back(p, b);
}

/* [lock held] */
static void grow(struct press *p)
{
    uint32_t cap = p->cap ? 2 * p->cap : RING_LEAST;
    struct press_block **ring = mem_alloc(cap * sizeof *ring);
    for (uint64_t i = p->head; i < p->tail; i++)
        ring[i & (cap - 1)] = p->ring[i & (p->cap - 1)];
    free(p->ring);
    p->ring = ring;
    p->cap = cap;
}

/* What is known of those before it, so that data that cannot be compressed costs little. */
static uint8_t misses_of(const struct press *p)
{
    if (p->missed < MISSES_WARY)
        return (uint8_t)p->missed;
    return (uint8_t)(MISSES_WARY + p->missed % MISSES_ROUND);
}

static void note_out(struct press *p, const struct press_block *b)
{
    bool shrunk = b->packed.len < FRAME_HEADER_SIZE + b->raw.len;
    p->missed = shrunk || b->zstd_level == 0 ? 0 : p->missed + (p->missed < MISSES_NOTED);
    p->waiting_raw -= b->raw.len;
    p->out_raw += b->raw.len;
    p->out_bytes += b->packed.len;
}

/* Packs what waits until the block at `head` is packed. [lock held, but not while it packs] */
static void make_ready(struct press *p)
{
    struct press_block *first = *place(p, p->head);
    while (!first->ready) {
        struct press_block *b = take(p);
        if (b) {
            unlock(p);
            pack(p, b);
            lock(p);
            b->ready = true;
        } else { /* a helper is at it at this moment */
            pthread_cond_wait(&p->opt.squad->ended, &p->opt.squad->lock);
        }
    }
}

/* Blocks go out until no more than `left` are there. */
static int go_out(struct press *p, uint64_t left)
{
    int rc = 0;
    while (rc == 0 && p->tail - p->head > left) {
        lock(p);
        make_ready(p);
        struct press_block *b = *place(p, p->head);
        p->head++;
        press_assert_valid(p);
        unlock(p);
        note_out(p, b);
        rc = p->out(p->ctx, b);
        put_back(p, b);
    }
    return rc;
}

/* ---- whether to use the dictionary ---- */

static void decide(struct press *p, bool worth)
{
    lock(p);
    p->dict = worth ? codec_dict_ref(p->opt.dict) : NULL;
    p->gathering = false;
    unlock(p);
}

/* ---- adding ---- */

int press_add(struct press *p, struct press_block *b)
{
    assert(b->raw.len > 0);
    b->ready = false;
    b->misses = misses_of(p);
    p->waiting_raw += b->raw.len;
    lock(p);
    if (p->tail - p->head == p->cap)
        grow(p);
    p->tail++;
    *place(p, p->tail - 1) = b;
    press_assert_valid(p);
    if (p->opt.squad && p->opt.squad->waiting > 0 && !p->gathering)
        pthread_cond_signal(&p->opt.squad->work);
    unlock(p);
    if (p->gathering && p->waiting_raw >= p->opt.dict_from_bytes)
        decide(p, true);
    return p->gathering ? 0 : go_out(p, p->depth);
}

int press_finish(struct press *p)
{
    if (p->gathering)
        decide(p, false);
    return go_out(p, 0);
}

uint64_t press_pending_bytes(const struct press *p, uint64_t raw)
{
    raw += p->waiting_raw;
    if (p->out_raw == 0)
        return raw / 2;
    return (uint64_t)((double)raw * (double)p->out_bytes / (double)p->out_raw);
}

struct codec_dict *press_dict(const struct press *p)
{
    return p->dict;
}
