/* past: a fixture: a store on a rig, random operations on it, and a model that remembers the state
 * after each of them, so that any moment of the past can be asked for. Keys are few, so that
 * everything happens to each of them often. */
#ifndef VARVE_UNIT_PAST_H
#define VARVE_UNIT_PAST_H

#include "tests/unit/store_rig.h"

enum { PAST_KEYS = 40, PAST_PINS = 5 };

/* Which values are there, by number (past_text()); 0: none. */
struct past_state {
    uint64_t seq;                 /* what a read at this number sees */
    struct buf *value[PAST_KEYS]; /* NULL: absent; shared between states, the past's own */
};

struct past {
    struct rig *r;
    struct simrng rng;
    struct past_state *states; /* ascending seq */
    size_t count;
    struct buf **bufs; /* all that were made */
    size_t buf_count;
    uint64_t pins[PAST_PINS]; /* 0: none */
};

static inline struct slice past_key(size_t i)
{
    return slice_str(rig_key(i));
}

static inline struct buf *past_buf(struct past *p)
{
    p->bufs = mem_realloc(p->bufs, (p->buf_count + 1) * sizeof *p->bufs);
    p->bufs[p->buf_count] = mem_zalloc(sizeof **p->bufs);
    return p->bufs[p->buf_count++];
}

static inline uint64_t past_now(const struct past *p)
{
    struct store_read read;
    store_read_begin(p->r->s, &read);
    uint64_t seq = read.seq;
    store_read_end(&read);
    return seq;
}

static inline void past_init(struct past *p, struct rig *r, uint64_t seed)
{
    *p = (struct past){.r = r, .rng = {seed}, .count = 1};
    p->states = mem_zalloc(sizeof *p->states);
    p->states[0].seq = 1;
}

static inline void past_release(struct past *p)
{
    for (size_t i = 0; i < p->buf_count; i++) {
        buf_release(p->bufs[i]);
        free(p->bufs[i]);
    }
    free(p->bufs);
    free(p->states);
}

/* The state that a read at `seq` sees: of the last batch that ended at or before it. */
static inline const struct past_state *past_at(const struct past *p, uint64_t seq)
{
    size_t i = p->count;
    while (i > 1 && p->states[i - 1].seq > seq)
        i--;
    return &p->states[i - 1];
}

/* A new state, as the last, to be changed. */
static inline struct past_state *past_push(struct past *p)
{
    p->states = mem_realloc(p->states, (p->count + 1) * sizeof *p->states);
    p->states[p->count] = p->states[p->count - 1];
    return &p->states[p->count++];
}

/* ---- operations ---- */

static inline size_t past_value_len(struct past *p)
{
    uint64_t dice = simrng_below(&p->rng, 20);
    return dice == 0  ? 4096 + (size_t)simrng_below(&p->rng, 3000) /* to a blob file at once */
           : dice < 4 ? 512 + (size_t)simrng_below(&p->rng, 700)   /* at flush */
                      : (size_t)simrng_below(&p->rng, 120);
}

static inline struct slice past_fresh_value(struct past *p, struct buf *room)
{
    return rig_value(simrng_next(&p->rng), past_value_len(p), room);
}

static inline void past_op(struct past *p, struct store_batch *b, struct past_state *st)
{
    struct buf room = {0};
    size_t key = (size_t)simrng_below(&p->rng, PAST_KEYS), end;
    switch (simrng_below(&p->rng, 10)) {
    case 0:
    case 1:
        store_batch_delete(b, past_key(key));
        st->value[key] = NULL;
        break;
    case 2:
        end = key + 1 + (size_t)simrng_below(&p->rng, 8);
        end = end < PAST_KEYS ? end : PAST_KEYS;
        store_batch_delete_range(b, past_key(key), past_key(end));
        for (size_t i = key; i < end; i++)
            st->value[i] = NULL;
        break;
    case 3:
    case 4: {
        struct buf *value = past_buf(p);
        rig_value(simrng_next(&p->rng), 1 + (size_t)simrng_below(&p->rng, 20), &room);
        room.data[0] = '+'; /* '!' would be damage */
        store_batch_merge(b, past_key(key), buf_slice(&room));
        if (st->value[key])
            buf_append(value, buf_slice(st->value[key]));
        buf_append(value, buf_slice(&room));
        st->value[key] = value;
        break;
    }
    default: {
        struct buf *value = past_buf(p);
        buf_set(value, past_fresh_value(p, &room));
        store_batch_put(b, past_key(key), buf_slice(value));
        st->value[key] = value;
    }
    }
    buf_release(&room);
}

static inline void past_write(struct past *p)
{
    struct store_batch *b = store_batch_new(p->r->s);
    struct past_state *st = past_push(p);
    for (uint64_t n = 1 + simrng_below(&p->rng, 5); n > 0; n--)
        past_op(p, b, st);
    assert_ok(rig_write(p->r, b, simrng_below(&p->rng, 20) ? 0 : STORE_SYNC));
    st->seq = past_now(p);
}

static inline const char *past_pin_name(size_t i)
{
    static const char *const names[PAST_PINS] = {"p0", "p1", "p2", "p3", "p4"};
    return names[i];
}

/* Makes or deletes one. */
static inline void past_pin(struct past *p)
{
    size_t i = (size_t)simrng_below(&p->rng, PAST_PINS);
    struct store_pin pin;
    if (p->pins[i]) {
        assert_ok(store_pin_delete(p->r->s, past_pin_name(i)));
        p->pins[i] = 0;
        return;
    }
    assert_ok(store_pin_create(p->r->s, past_pin_name(i), i, &pin));
    p->pins[i] = pin.seq;
}

/* A write, most often, or something that may change how the past is kept. */
static inline void past_step(struct past *p)
{
    uint64_t dice = simrng_below(&p->rng, 100);
    if (dice < 84)
        past_write(p);
    else if (dice < 89)
        past_pin(p);
    else if (dice < 94)
        assert_ok(store_flush(p->r->s));
    else if (dice < 98)
        rig_work(p->r);
    else if (dice < 99)
        rig_compact(p->r);
    else
        rig_reopen(p->r);
}

/* One that exists, or 0. */
static inline uint64_t past_some_pin(struct past *p)
{
    size_t i = (size_t)simrng_below(&p->rng, PAST_PINS);
    for (size_t n = 0; n < PAST_PINS; n++, i = (i + 1) % PAST_PINS)
        if (p->pins[i])
            return p->pins[i];
    return 0;
}

/* ---- comparing ---- */

static inline bool past_same(const struct buf *a, const struct buf *b)
{
    return !a || !b ? a == b : slice_eq(buf_slice(a), buf_slice(b));
}

static inline void past_assert_read(const struct store_read *read, const struct past_state *st)
{
    struct store_value v = {0};
    struct store_iter *it = store_iter_new(read, (struct slice){0}, (struct slice){0});
    int status = store_iter_first(it);
    for (size_t i = 0; i < PAST_KEYS; i++) {
        int err = store_get(read, past_key(i), &v);
        if (err != (st->value[i] ? 0 : 1))
            fail_msg("key %zu: %d, but it is %s", i, err, st->value[i] ? "there" : "not there");
        if (!st->value[i])
            continue;
        struct slice value;
        assert_true(slice_eq(v.data, buf_slice(st->value[i])));
        assert_ok(status);
        assert_true(slice_eq(store_iter_key(it), past_key(i)));
        assert_ok(store_iter_value(it, &value));
        assert_true(slice_eq(value, buf_slice(st->value[i])));
        status = store_iter_next(it);
    }
    assert_absent(status);
    store_iter_free(it);
    store_value_release(&v);
}

/* The present and all pins of the store `s` are as in the model. */
static inline void past_assert_all(const struct past *p, struct store *s)
{
    struct store_read read;
    store_read_begin(s, &read);
    past_assert_read(&read, &p->states[p->count - 1]);
    store_read_end(&read);
    for (size_t i = 0; i < PAST_PINS; i++) {
        if (!p->pins[i])
            continue;
        store_read_begin_at(s, p->pins[i], &read);
        past_assert_read(&read, past_at(p, p->pins[i]));
        store_read_end(&read);
    }
}

/* ---- what has changed ---- */

/* The changes from `from` to what `read` sees, in keys [lo, hi), told in either way, lead from one
 * state of the model to the other. Returns -ESTALE if they cannot be told. */
static inline int past_check_since(const struct past *p, const struct store_read *read,
                                   uint64_t from, int flags, size_t lo, size_t hi)
{
    const struct past_state *a = past_at(p, from), *b = past_at(p, read->seq);
    struct store_since *s;
    struct store_change c;
    bool gone[PAST_KEYS] = {false}, told[PAST_KEYS] = {false};
    struct buf before = {0};
    int err = store_since_new(read, from, lo ? past_key(lo) : (struct slice){0},
                              hi < PAST_KEYS ? past_key(hi) : (struct slice){0}, flags, &s);
    if (err != 0)
        return err;
    while ((err = store_since_next(s, &c)) == 0) {
        assert_true(slice_cmp(buf_slice(&before), c.key) < (c.kind == STORE_CHANGE_RANGE ? 1 : 0) ||
                    c.kind == STORE_CHANGE_RANGE);
        size_t i = lo, end;
        while (i < hi && slice_cmp(past_key(i), c.key) < 0)
            i++;
        if (c.kind == STORE_CHANGE_RANGE) {
            assert_false(flags & STORE_SINCE_KEYS);
            assert_true(slice_cmp(c.key, c.end) < 0 && slice_cmp(c.key, buf_slice(&before)) > 0);
            for (end = i; end < hi && slice_cmp(past_key(end), c.end) < 0; end++)
                gone[end] = true;
            continue;
        }
        assert_true(i < hi && slice_eq(past_key(i), c.key) && !told[i]);
        told[i] = true;
        struct slice value;
        bool was = a->value[i] != NULL, is = b->value[i] != NULL;
        assert_int_equal(c.kind, !was  ? STORE_CHANGE_CREATED
                                 : !is ? STORE_CHANGE_REMOVED
                                       : STORE_CHANGE_CHANGED);
        assert_int_equal(store_since_value(s, STORE_BEFORE, &value), was ? 0 : 1);
        if (was)
            assert_true(slice_eq(value, buf_slice(a->value[i])));
        assert_int_equal(store_since_value(s, STORE_AFTER, &value), is ? 0 : 1);
        if (is)
            assert_true(slice_eq(value, buf_slice(b->value[i])));
        buf_set(&before, c.key);
    }
    assert_int_equal(err, 1);
    for (size_t i = lo; i < hi; i++) {
        bool was = a->value[i] != NULL, is = b->value[i] != NULL;
        if (!told[i] && gone[i] && is)
            fail_msg("key %zu was in a range that was deleted, and is not told though it is there",
                     i);
        if (!told[i] && !gone[i] && !past_same(a->value[i], b->value[i]))
            fail_msg("key %zu has changed from %" PRIu64 " to %" PRIu64 " and is not told", i, from,
                     read->seq);
        if (told[i] && !was && !is)
            fail_msg("key %zu is told, but was never there", i);
    }
    store_since_free(s);
    buf_release(&before);
    return 0;
}

#endif
