/* store_read: reading, at the door. Glue, but for the intervals of store_scan_many(), which are put
 * in order here. */
#include <assert.h>
#include <stdlib.h>

#include "store/scan.h"
#include "store/store_priv.h"

static struct view_context *context(const struct store_read *r)
{
    return &r->store->tree.read_ctx;
}

/* ---- points ---- */

int store_get_into(const struct store_read *r, struct slice key, void *into, size_t room,
                   struct store_value *v)
{
    struct tree *t = &r->store->tree;
    struct counter_stripe *mine = counters_mine(&t->counts);
    uint64_t began = counter_start(mine, STORE_TIME_GET, t->env);
    int err = view_get_into(r->view, &t->read_ctx, key, r->seq, into, room, v);
    counter_stop(mine, STORE_TIME_GET, t->env, began);
    return err;
}

int store_get(const struct store_read *r, struct slice key, struct store_value *v)
{
    return store_get_into(r, key, NULL, 0, v);
}

int store_get_pinned(const struct store_read *r, struct slice key, struct store_value *v)
{
    enum { COPIED_MAX = 4 << 10 }; /* copying costs less than what holding a memtable back may */
    int err = store_get(r, key, v);
    if (err != 0 || v->pin || v->data.data == v->own.data)
        return err;
    if (v->data.len <= COPIED_MAX) {
        buf_append(&v->own, v->data);
        v->data = buf_slice(&v->own);
    } else {
        v->view = view_ref(r->view);
    }
    return 0;
}

void store_multi_get(const struct store_read *r, const struct slice *keys, size_t count,
                     struct store_value *values, int *results)
{
    view_multi_get(r->view, context(r), keys, count, r->seq, values, results);
}

int store_has(const struct store_read *r, struct slice key)
{
    return view_has(r->view, context(r), key, r->seq);
}

void store_value_release(struct store_value *v)
{
    if (v->pin)
        cache_release(v->pin_owner, v->pin);
    view_unref(v->view);
    buf_release(&v->own);
    *v = (struct store_value){0};
}

/* ---- cursors: a store_iter is a scan under the door's name ---- */

static struct scan *scan_of(struct store_iter *it)
{
    return (struct scan *)it;
}

struct store_iter *store_iter_new(const struct store_read *r, struct slice lower,
                                  struct slice upper)
{
    return (struct store_iter *)scan_new(r->view, context(r), r->seq, lower, upper,
                                         SCAN_FILL_CACHE);
}

/* The least key above all that begin with `prefix`; empty: there is none. */
static void end_of_prefix(struct slice prefix, struct buf *end)
{
    buf_append(end, prefix);
    while (end->len > 0 && end->data[end->len - 1] == 0xff)
        end->len--;
    if (end->len > 0)
        end->data[end->len - 1]++;
}

struct store_iter *store_iter_new_prefix(const struct store_read *r, struct slice prefix)
{
    struct buf end = {0};
    end_of_prefix(prefix, &end);
    struct store_iter *it = store_iter_new(r, prefix, buf_slice(&end));
    buf_release(&end);
    return it;
}

void store_iter_free(struct store_iter *it)
{
    scan_free(scan_of(it));
}

/* A move of a cursor, counted and now and then timed. */
struct move {
    struct view_context *ctx;
    struct counter_stripe *mine;
    enum store_timer timer;
    uint64_t began;
};

static struct move move_begin(struct store_iter *it, enum store_timer timer, enum counter_id id)
{
    struct move m = {.ctx = scan_context(scan_of(it)), .timer = timer};
    m.mine = counters_mine(m.ctx->counters);
    counter_add(m.mine, id, 1);
    m.began = counter_start(m.mine, timer, m.ctx->env);
    return m;
}

static int move_end(const struct move *m, int status)
{
    counter_stop(m->mine, m->timer, m->ctx->env, m->began);
    return status;
}

int store_iter_first(struct store_iter *it)
{
    struct move m = move_begin(it, STORE_TIME_SEEK, COUNT_SEEK);
    return move_end(&m, scan_first(scan_of(it)));
}

int store_iter_last(struct store_iter *it)
{
    struct move m = move_begin(it, STORE_TIME_SEEK, COUNT_SEEK);
    return move_end(&m, scan_last(scan_of(it)));
}

int store_iter_seek(struct store_iter *it, struct slice key)
{
    struct move m = move_begin(it, STORE_TIME_SEEK, COUNT_SEEK);
    return move_end(&m, scan_seek(scan_of(it), key));
}

int store_iter_seek_for_prev(struct store_iter *it, struct slice key)
{
    struct move m = move_begin(it, STORE_TIME_SEEK, COUNT_SEEK);
    return move_end(&m, scan_seek_for_prev(scan_of(it), key));
}

int store_iter_next(struct store_iter *it)
{
    struct move m = move_begin(it, STORE_TIME_STEP, COUNT_STEP);
    return move_end(&m, scan_next(scan_of(it)));
}

int store_iter_prev(struct store_iter *it)
{
    struct move m = move_begin(it, STORE_TIME_STEP, COUNT_STEP);
    return move_end(&m, scan_prev(scan_of(it)));
}

int store_iter_peek(struct store_iter *it, struct slice *key)
{
    return scan_peek(scan_of(it), key);
}

struct slice store_iter_key(const struct store_iter *it)
{
    return scan_key((const struct scan *)it);
}

int store_iter_value(struct store_iter *it, struct slice *value)
{
    return scan_value(scan_of(it), value);
}

int store_iter_value_len(const struct store_iter *it, uint64_t *len)
{
    return scan_value_len((const struct scan *)it, len);
}

/* ---- many intervals ---- */

struct ordered {
    const struct store_interval *interval;
    size_t index;
};

static int compare_starts(const void *a, const void *b)
{
    const struct ordered *x = a, *y = b;
    int order = slice_cmp(x->interval->start, y->interval->start);
    return order ? order : (x->index > y->index) - (x->index < y->index);
}

/* The end that holds all of them; empty: there is none. */
static struct slice last_end(const struct store_interval *intervals, size_t count)
{
    struct slice last = intervals[0].end;
    for (size_t i = 1; i < count && last.len > 0; i++)
        if (intervals[i].end.len == 0 || slice_cmp(intervals[i].end, last) > 0)
            last = intervals[i].end;
    return last;
}

static int scan_interval(struct scan *s, const struct ordered *o, int flags, store_scan_fn *fn,
                         void *ctx)
{
    uint64_t left = o->interval->limit ? o->interval->limit : UINT64_MAX;
    scan_set_bounds(s, o->interval->start, o->interval->end);
    int status = scan_first(s);
    while (status == 0) {
        struct slice value = {0};
        int err = flags & STORE_SCAN_KEYS ? 0 : scan_value(s, &value);
        if (err == 0)
            err = fn(ctx, o->index, scan_key(s), value);
        if (err != 0 || --left == 0)
            return err;
        status = scan_next(s);
    }
    return status < 0 ? status : 0;
}

int store_scan_many(const struct store_read *r, const struct store_interval *intervals,
                    size_t count, int flags, store_scan_fn *fn, void *ctx)
{
    if (count == 0)
        return 0;
    struct ordered *order = mem_alloc(count * sizeof *order);
    for (size_t i = 0; i < count; i++)
        order[i] = (struct ordered){&intervals[i], i};
    qsort(order, count, sizeof *order, compare_starts);
    struct scan *s = scan_new(r->view, context(r), r->seq, order[0].interval->start,
                              last_end(intervals, count), SCAN_FILL_CACHE);
    int err = 0;
    for (size_t i = 0; i < count && err == 0; i++)
        err = scan_interval(s, &order[i], flags, fn, ctx);
    scan_free(s);
    free(order);
    return err;
}
