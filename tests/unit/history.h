/* history: a naive model of a store: every operation ever, in the order of their numbers. What a
 * read at R sees follows from walking it backwards; nothing is clever here, so nothing can be wrong
 * in the way that the store is. The merge operator appends. */
#ifndef VARVE_UNIT_HISTORY_H
#define VARVE_UNIT_HISTORY_H

#include <stdio.h>

#include "store/entry.h"
#include "store/store.h"
#include "tests/sim/simrng.h"
#include "tests/unit/unit.h"

/* An operation's value is always the plain one, also for the blob types. A range deletion's is its
 * end. */
struct history {
    struct entry *ops; /* ascending seq; keys and values are the history's own */
    size_t count, cap;
};

static inline void history_add(struct history *h, struct slice key, uint64_t seq,
                               enum entry_type type, struct slice value)
{
    assert_true(h->count == 0 || h->ops[h->count - 1].seq <= seq);
    if (h->count == h->cap) {
        h->cap = h->cap ? h->cap * 2 : 64;
        h->ops = mem_realloc(h->ops, h->cap * sizeof *h->ops);
    }
    h->ops[h->count++] = (struct entry){slice_of(mem_dup(key.data, key.len), key.len), seq, type, 0,
                                        slice_of(mem_dup(value.data, value.len), value.len)};
}

static inline void history_clear(struct history *h)
{
    for (size_t i = 0; i < h->count; i++) {
        free((void *)(uintptr_t)h->ops[i].key.data);
        free((void *)(uintptr_t)h->ops[i].value.data);
    }
    h->count = 0;
}

static inline void history_release(struct history *h)
{
    history_clear(h);
    free(h->ops);
    *h = (struct history){0};
}

/* ---- what a read sees ---- */

static inline bool history_hides(const struct entry *op, struct slice key)
{
    return op->type == ENTRY_RANGE_DELETE && slice_cmp(op->key, key) <= 0 &&
           slice_cmp(key, op->value) < 0;
}

/* Is the key there for a read at `read_seq`? Then `*value` becomes what it has. */
static inline bool history_read(const struct history *h, struct slice key, uint64_t read_seq,
                                struct buf *value)
{
    size_t first = h->count; /* of the operations that make the value */
    bool found = false;
    for (size_t i = h->count; i-- > 0;) {
        const struct entry *op = &h->ops[i];
        if (op->seq >= read_seq)
            continue;
        if (history_hides(op, key))
            break;
        if (op->type == ENTRY_RANGE_DELETE || !slice_eq(op->key, key))
            continue;
        if (op->type == ENTRY_DELETE)
            break;
        first = i;
        found = true;
        if (!entry_type_is_merge(op->type))
            break;
    }
    buf_clear(value);
    for (size_t i = first; i < h->count && found; i++) {
        const struct entry *op = &h->ops[i];
        if (op->seq < read_seq && op->type != ENTRY_RANGE_DELETE && slice_eq(op->key, key))
            buf_append(value, op->value);
    }
    return found;
}

/* ---- the operator ---- */

static inline int history_full(void *ctx, struct slice key, const struct slice *base,
                               const struct slice *operands, size_t count, struct buf *out)
{
    (void)ctx;
    assert_true(key.len > 0 && count > 0);
    assert_true(!base || base->len > 0); /* no value is empty: this one was made up */
    if (base)
        buf_append(out, *base);
    for (size_t i = 0; i < count; i++)
        buf_append(out, operands[i]);
    return 0;
}

static inline int history_partial(void *ctx, struct slice key, const struct slice *operands,
                                  size_t count, struct buf *out)
{
    return history_full(ctx, key, NULL, operands, count, out);
}

static const struct store_merge history_merge = {.full = history_full, .partial = history_partial};

/* ---- at random ---- */

enum { HISTORY_KEY_MAX = 8 };

/* Key `i` of a row in ascending order, in which some keys are the least successors of others. */
static inline struct slice history_key(size_t i, uint8_t room[HISTORY_KEY_MAX])
{
    size_t zeros = i % 3;
    room[0] = (uint8_t)('a' + i / 3 / 16);
    room[1] = (uint8_t)('a' + i / 3 % 16);
    memset(room + 2, 0, zeros);
    return slice_of(room, 2 + zeros);
}

/* How often each type is drawn. */
struct history_mix {
    unsigned of[ENTRY_TYPE_COUNT];
    size_t keys;
    size_t value_max;
};

static inline enum entry_type history_random_type(struct simrng *rng, const struct history_mix *mix)
{
    unsigned sum = 0;
    for (int i = 0; i < ENTRY_TYPE_COUNT; i++)
        sum += mix->of[i];
    unsigned at = (unsigned)simrng_below(rng, sum), type = 0;
    while (at >= mix->of[type])
        at -= mix->of[type++];
    return (enum entry_type)type;
}

/* One more operation; its value is unlike any other's. */
static inline void history_random_op(struct history *h, struct simrng *rng,
                                     const struct history_mix *mix)
{
    enum entry_type type = history_random_type(rng, mix);
    uint64_t seq = h->count ? h->ops[h->count - 1].seq + 1 : 1;
    uint8_t room[2][HISTORY_KEY_MAX], value[512];
    size_t at = simrng_below(rng, mix->keys), len = 0;
    struct slice key = history_key(at, room[0]);
    if (type == ENTRY_RANGE_DELETE) {
        size_t width = 1 + simrng_below(rng, simrng_coin(rng) ? 4 : mix->keys);
        history_add(h, key, seq, type, history_key(at + width, room[1]));
        return;
    }
    if (type != ENTRY_DELETE) {
        size_t pad = simrng_below(rng, mix->value_max + 1);
        assert_true(pad + 24 < sizeof value);
        len = (size_t)snprintf((char *)value, sizeof value, "%llu,", (unsigned long long)seq);
        memset(value + len, '.', pad);
        len += pad;
    }
    history_add(h, key, seq, type, slice_of(value, len));
}

static inline void history_random(struct history *h, struct simrng *rng,
                                  const struct history_mix *mix, size_t count)
{
    for (size_t i = 0; i < count; i++)
        history_random_op(h, rng, mix);
}

#endif
