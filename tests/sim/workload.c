/* workload: see workload.h. */
#include "tests/sim/workload.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/secrets.h"
#include "tests/sim/simrng.h"

/* ---- making ---- */

static uint32_t value_len(struct simrng *r)
{
    switch (simrng_below(r, 8)) {
    case 0:
        return 0;
    case 1:
        return 700 + (uint32_t)simrng_below(r, 900); /* straight to a blob file */
    case 2:
    case 3:
        return 100 + (uint32_t)simrng_below(r, 200); /* to one at flush */
    default:
        return 1 + (uint32_t)simrng_below(r, 40);
    }
}

static void make_op(struct simrng *r, struct op *o)
{
    uint64_t dice = simrng_below(r, 20);
    o->kind = dice < 11 ? OP_PUT : dice < 14 ? OP_DELETE : dice < 18 ? OP_MERGE : OP_DELETE_RANGE;
    o->key = (int)simrng_below(r, WORKLOAD_KEYS);
    o->end = o->key + 1 + (int)simrng_below(r, 8);
    o->len = o->kind == OP_MERGE && simrng_below(r, 6) ? 1 + (uint32_t)simrng_below(r, 20)
                                                       : value_len(r);
    o->fill = (uint32_t)simrng_next(r);
}

/* Ascending keys. */
static void make_ingestion(struct simrng *r, struct step *s)
{
    int key = (int)simrng_below(r, WORKLOAD_KEYS), stride = 1 + (int)simrng_below(r, 4);
    *s = (struct step){.kind = STEP_INGEST_BEGIN};
    for (; key < WORKLOAD_KEYS && s->op_count < WORKLOAD_OPS; key += stride)
        s->ops[s->op_count++] = (struct op){
            .kind = OP_PUT, .key = key, .len = value_len(r), .fill = (uint32_t)simrng_next(r)};
}

/* `ingesting`: what has begun; op_count 0: nothing. */
static void make_step(struct simrng *r, struct step *s, bool reopen, struct step *ingesting)
{
    uint64_t dice = simrng_below(r, 100), other = simrng_below(r, 100);
    if (ingesting->op_count == 0 && other < 5) {
        make_ingestion(r, ingesting);
        *s = *ingesting;
        return;
    }
    if (ingesting->op_count > 0 && other < 20) {
        *s = *ingesting;
        s->kind = STEP_INGEST;
        *ingesting = (struct step){0};
        return;
    }
    reopen = reopen && ingesting->op_count == 0;
    *s = (struct step){.kind = STEP_WRITE};
    if (dice < 74) {
        s->op_count = 1 + (int)simrng_below(r, 6);
        for (int i = 0; i < s->op_count; i++)
            make_op(r, &s->ops[i]);
        s->sync = simrng_below(r, 6) == 0;
        return;
    }
    s->pin = (int)simrng_below(r, WORKLOAD_PINS);
    s->kind = dice < 78   ? STEP_SYNC
              : dice < 82 ? STEP_PIN
              : dice < 86 ? STEP_UNPIN
              : dice < 97 ? STEP_WORK
              : dice < 99 ? STEP_FLUSH
              : reopen    ? STEP_REOPEN
                          : STEP_WORK;
}

void workload_make(struct workload *w, uint64_t seed, size_t steps, bool reopen)
{
    struct simrng r = {seed};
    struct step ingesting = {0};
    *w = (struct workload){.steps = mem_alloc(steps * sizeof *w->steps), .count = steps};
    for (size_t i = 0; i < steps; i++)
        make_step(&r, &w->steps[i], reopen, &ingesting);
}

void workload_release(struct workload *w)
{
    free(w->steps);
}

/* ---- keys and values ---- */

static struct slice key_of(int key, char room[16])
{
    int len = snprintf(room, 16, "k%03d", key);
    return slice_of(room, (size_t)len);
}

/* Half compressible. */
static void value_of(const struct op *o, struct buf *out)
{
    out->len = 0;
    for (uint32_t i = 0; i < o->len; i++)
        buf_put_u8(out, (uint8_t)(i % 2 ? 'v' : (o->fill >> (i % 24)) + i / 24));
}

/* ---- the model ---- */

static void apply_op(struct model *m, const struct op *o)
{
    struct buf value = {0};
    switch (o->kind) {
    case OP_DELETE_RANGE:
        for (int k = o->key; k < o->end && k < WORKLOAD_KEYS; k++)
            m->present[k] = false;
        return;
    case OP_DELETE:
        m->present[o->key] = false;
        return;
    case OP_PUT:
    case OP_MERGE:
        value_of(o, &value);
        if (o->kind == OP_PUT || !m->present[o->key])
            m->value[o->key].len = 0;
        buf_append(&m->value[o->key], buf_slice(&value));
        m->present[o->key] = true;
        buf_release(&value);
    }
}

void model_apply(struct model *m, const struct step *s)
{
    for (int i = 0; i < s->op_count; i++)
        apply_op(m, &s->ops[i]);
}

void model_release(struct model *m)
{
    for (int k = 0; k < WORKLOAD_KEYS; k++)
        buf_release(&m->value[k]);
}

void model_copy(struct model *to, const struct model *from)
{
    for (int k = 0; k < WORKLOAD_KEYS; k++) {
        buf_set(&to->value[k], buf_slice(&from->value[k]));
        to->present[k] = from->present[k];
    }
}

void workload_model(const struct workload *w, size_t batches, struct model *m)
{
    *m = (struct model){0};
    for (size_t i = 0; i < w->count && batches > 0; i++) {
        if (!step_is_batch(&w->steps[i]))
            continue;
        model_apply(m, &w->steps[i]);
        batches--;
    }
    assert(batches == 0);
}

static int differs_by_get(const struct model *m, const struct store_read *read)
{
    struct store_value v = {0};
    char room[16];
    int found = -1;
    for (int k = 0; k < WORKLOAD_KEYS && found == -1; k++) {
        int err = store_get(read, key_of(k, room), &v);
        int has = store_has(read, key_of(k, room));
        if (err < 0 || has < 0)
            found = -2;
        else if ((err == 0) != m->present[k] || (has == 0) != m->present[k] ||
                 (err == 0 && !slice_eq(v.data, buf_slice(&m->value[k]))))
            found = k;
    }
    store_value_release(&v);
    return found;
}

static int differs_by_cursor(const struct model *m, const struct store_read *read, bool backwards)
{
    struct store_iter *it = store_iter_new(read, (struct slice){0}, (struct slice){0});
    char room[16];
    int found = -1, step = backwards ? -1 : 1, k = backwards ? WORKLOAD_KEYS - 1 : 0;
    int err = backwards ? store_iter_last(it) : store_iter_first(it);
    for (; k >= 0 && k < WORKLOAD_KEYS && found == -1; k += step) {
        struct slice value;
        if (!m->present[k])
            continue;
        if (err < 0)
            found = -2;
        else if (err == 1 || !slice_eq(store_iter_key(it), key_of(k, room)) ||
                 store_iter_value(it, &value) != 0 || !slice_eq(value, buf_slice(&m->value[k])))
            found = k;
        else
            err = backwards ? store_iter_prev(it) : store_iter_next(it);
    }
    if (found == -1 && err != 1)
        found = err < 0 ? -2 : WORKLOAD_KEYS; /* one too many */
    store_iter_free(it);
    return found;
}

int model_differs(const struct model *m, const struct store_read *read)
{
    int found = differs_by_get(m, read);
    if (found == -1)
        found = differs_by_cursor(m, read, false);
    return found == -1 ? differs_by_cursor(m, read, true) : found;
}

/* ---- playing ---- */

static int append_full(void *ctx, struct slice key, const struct slice *base,
                       const struct slice *operands, size_t count, struct buf *out)
{
    (void)ctx;
    (void)key;
    if (base)
        buf_append(out, *base);
    for (size_t i = 0; i < count; i++)
        buf_append(out, operands[i]);
    return 0;
}

/* Joins small operands only, so that both ways are taken. */
static int append_partial(void *ctx, struct slice key, const struct slice *operands, size_t count,
                          struct buf *out)
{
    size_t total = 0;
    for (size_t i = 0; i < count; i++)
        total += operands[i].len;
    return total > 400 ? 1 : append_full(ctx, key, NULL, operands, count, out);
}

static const struct store_merge append_merge = {.full = append_full, .partial = append_partial};

static bool encrypted;
static struct secret_text passphrase = {.text = "a passphrase"};
static const struct store_secret secret = {.ctx = &passphrase, .get = secret_get};

void workload_encrypt(bool on)
{
    encrypted = on;
}

void workload_options(struct store_options *o, struct env *env)
{
    store_options_init(o);
    o->events_bytes = 8 << 10; /* turned over now and then */
    o->env = env;
    o->workers = 0;
    o->memtable_bytes = 16 << 10;
    o->log_row_bytes = 512;
    o->block_bytes = 256;
    o->table_bytes = 4 << 10;
    o->blob_bytes = 8 << 10;
    o->separate_min = 128;
    o->direct_min = 512;
    o->reserve_bytes = 0;
    o->cache_bytes = 64 << 10;
    o->entry_sums = 1; /* what is found changed would be a false alarm */
    o->merge = &append_merge;
    if (encrypted)
        secret_options(o, &secret);
}

void progress_init(struct progress *p)
{
    *p = (struct progress){0};
    for (int i = 0; i < WORKLOAD_PINS; i++)
        p->pinned[i] = SIZE_MAX;
}

static int play_write(struct store *s, struct store_batch *b, const struct step *step,
                      struct progress *p)
{
    struct buf value = {0};
    char room[16], room2[16];
    store_batch_clear(b);
    for (int i = 0; i < step->op_count; i++) {
        const struct op *o = &step->ops[i];
        value_of(o, &value);
        switch (o->kind) {
        case OP_PUT:
            store_batch_put(b, key_of(o->key, room), buf_slice(&value));
            break;
        case OP_MERGE:
            store_batch_merge(b, key_of(o->key, room), buf_slice(&value));
            break;
        case OP_DELETE:
            store_batch_delete(b, key_of(o->key, room));
            break;
        case OP_DELETE_RANGE:
            store_batch_delete_range(b, key_of(o->key, room), key_of(o->end, room2));
            break;
        }
    }
    buf_release(&value);
    p->in_flight = true;
    int err = store_write(s, b, step->sync ? STORE_SYNC : 0);
    if (err < 0)
        return err;
    p->in_flight = false;
    p->acked++;
    if (step->sync)
        p->synced = p->acked;
    return 0;
}

static int play_pin(struct store *s, const struct step *step, struct progress *p)
{
    struct store_pin pin;
    char name[16];
    snprintf(name, sizeof name, "pin%d", step->pin);
    bool make = step->kind == STEP_PIN;
    if (make == (p->pinned[step->pin] != SIZE_MAX))
        return 0;
    p->pin_doubt[step->pin] = true;
    size_t at = p->acked;
    int err =
        make ? store_pin_create(s, name, (uint64_t)step->pin, &pin) : store_pin_delete(s, name);
    if (err != 0) {
        if (make)
            p->pinned[step->pin] = at; /* if it is there, this is what it holds */
        return err < 0 ? err : -ENOENT;
    }
    p->pin_doubt[step->pin] = false;
    p->pinned[step->pin] = make ? at : SIZE_MAX;
    if (make)
        p->synced = p->acked;
    return 0;
}

/* What is being played. */
struct play {
    const char *dir;
    struct store_options o;
    struct store *s;
    struct store_batch *b;
    struct store_ingest *ingest; /* NULL: none has begun */
    int ingested;                /* of its keys */
};

/* Hands over its keys up to `end`. */
static int ingest_upto(struct play *y, const struct step *step, int end)
{
    struct buf value = {0};
    char room[16];
    int err = 0;
    if (!y->ingest) {
        y->ingest = store_ingest_new(y->s);
        y->ingested = 0;
    }
    for (; y->ingested < end && err == 0; y->ingested++) {
        const struct op *o = &step->ops[y->ingested];
        value_of(o, &value);
        err = store_ingest_put(y->ingest, key_of(o->key, room), buf_slice(&value));
    }
    buf_release(&value);
    return err;
}

/* Also one that has not begun: the history is played from there. */
static int play_ingest(struct play *y, const struct step *step, struct progress *p)
{
    int err = ingest_upto(y, step, step->op_count);
    if (err == 0) {
        p->in_flight = true;
        err = store_ingest_finish(y->ingest);
    }
    if (err == 0) {
        p->in_flight = false;
        p->synced = ++p->acked;
    }
    store_ingest_free(y->ingest);
    y->ingest = NULL;
    return err;
}

static int play_step(struct play *y, const struct step *step, struct progress *p)
{
    int err = 0;
    switch (step->kind) {
    case STEP_WRITE:
        return play_write(y->s, y->b, step, p);
    case STEP_INGEST_BEGIN:
        return ingest_upto(y, step, step->op_count / 2);
    case STEP_INGEST:
        return play_ingest(y, step, p);
    case STEP_PIN:
    case STEP_UNPIN:
        return play_pin(y->s, step, p);
    case STEP_SYNC:
        err = store_sync(y->s);
        break;
    case STEP_WORK:
        err = store_work(y->s);
        return err < 0 ? err : 0;
    case STEP_FLUSH:
        err = store_flush(y->s);
        break;
    case STEP_REOPEN:
        assert(!y->ingest);
        err = store_close(y->s);
        y->s = NULL;
        if (err == 0)
            err = store_open(y->dir, &y->o, &y->s);
        break;
    }
    if (err == 0)
        p->synced = p->acked;
    return err;
}

int workload_play(const struct workload *w, size_t from, struct env *env, const char *dir,
                  struct progress *p)
{
    struct play y = {.dir = dir};
    workload_options(&y.o, env);
    int err = store_open(dir, &y.o, &y.s);
    for (size_t i = from; i < w->count && err == 0; i++) {
        if (!y.b)
            y.b = store_batch_new(y.s);
        err = play_step(&y, &w->steps[i], p);
    }
    store_batch_free(y.b);
    store_ingest_free(y.ingest);
    if (y.s) {
        int closed = store_close(y.s);
        if (err == 0 && closed == 0)
            p->synced = p->acked;
        err = err ? err : closed;
    }
    return err;
}
