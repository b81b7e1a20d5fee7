/* simfile: see simfile.h.
 *
 * Guarantees: no crash changes a byte outside the intervals of pending writes, or cuts off a byte
 * except by a pending truncation. The same seed gives the same outcome.
 *
 * Invariants:
 *  1. Unless `diverged`: `durable` with all of `pending` applied, oldest first, reads like `now`.
 *  2. A change is constant once it is in a list, so that clones can share the list.
 *  3. A crash leaves `pending` empty, `diverged` false and `now` the same image as `durable`. */
#include "tests/sim/simfile.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "store/bytes.h"

enum change_kind {
    CHANGE_WRITE,    /* of `data` at `offset` */
    CHANGE_TRUNCATE, /* to `offset` */
    CHANGE_PUNCH,    /* of `len` bytes at `offset` */
};

struct simfile_change {
    atomic_uint refs;
    struct simfile_change *older;
    size_t index; /* how many are older */
    enum change_kind kind;
    uint64_t offset, len;
    uint8_t data[];
};

void simfile_init(struct simfile *f)
{
    *f = (struct simfile){.durable = simimage_new()};
    f->now = simimage_ref(f->durable);
}

static void drop_pending(struct simfile *f)
{
    struct simfile_change *c = f->pending;
    while (c && atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) == 1) {
        struct simfile_change *older = c->older;
        free(c);
        c = older;
    }
    f->pending = NULL;
}

void simfile_release(struct simfile *f)
{
    drop_pending(f);
    simimage_unref(f->now);
    simimage_unref(f->durable);
    *f = (struct simfile){0};
}

void simfile_clone(struct simfile *to, const struct simfile *from)
{
    assert(from->now && from->durable);
    *to = *from;
    simimage_ref(to->now);
    simimage_ref(to->durable);
    if (to->pending)
        atomic_fetch_add_explicit(&to->pending->refs, 1, memory_order_relaxed);
}

static void push_change(struct simfile *f, enum change_kind kind, uint64_t offset, uint64_t len,
                        const void *data)
{
    size_t data_len = kind == CHANGE_WRITE ? (size_t)len : 0;
    struct simfile_change *c = mem_alloc(sizeof *c + data_len);
    atomic_init(&c->refs, 1);
    c->index = f->pending ? f->pending->index + 1 : 0;
    c->older = f->pending; /* takes over the reference */
    c->kind = kind;
    c->offset = offset;
    c->len = len;
    if (data_len)
        memcpy(c->data, data, data_len);
    f->pending = c;
}

void simfile_write(struct simfile *f, uint64_t offset, const void *data, size_t len)
{
    if (len == 0)
        return;
    simimage_write(&f->now, offset, data, len);
    push_change(f, CHANGE_WRITE, offset, len, data);
}

void simfile_truncate(struct simfile *f, uint64_t size)
{
    simimage_truncate(&f->now, size);
    push_change(f, CHANGE_TRUNCATE, size, 0, NULL);
}

void simfile_punch(struct simfile *f, uint64_t offset, uint64_t len)
{
    simimage_punch(&f->now, offset, len);
    push_change(f, CHANGE_PUNCH, offset, len, NULL);
}

void simfile_reserve(struct simfile *f, uint64_t offset, uint64_t len)
{
    simimage_reserve(&f->now, offset, len);
}

static void apply(struct simimage **m, const struct simfile_change *c)
{
    if (c->kind == CHANGE_TRUNCATE)
        simimage_truncate(m, c->offset);
    else if (c->kind == CHANGE_PUNCH)
        simimage_punch(m, c->offset, c->len);
    else
        simimage_write(m, c->offset, c->data, (size_t)c->len);
}

/* The pending changes, oldest first, in an array that the caller frees. */
static const struct simfile_change **pending_in_order(const struct simfile *f, size_t *count)
{
    *count = f->pending ? f->pending->index + 1 : 0;
    const struct simfile_change **all = mem_alloc(*count * sizeof(*all));
    for (const struct simfile_change *c = f->pending; c; c = c->older) {
        assert(c->index < *count);
        all[c->index] = c;
    }
    return all;
}

static void make_durable(struct simfile *f, struct simimage *m)
{
    simimage_ref(m);
    simimage_unref(f->durable);
    f->durable = m;
}

void simfile_sync(struct simfile *f)
{
    if (!f->diverged) {
        make_durable(f, f->now);
    } else {
        size_t count;
        const struct simfile_change **all = pending_in_order(f, &count);
        for (size_t i = 0; i < count; i++)
            apply(&f->durable, all[i]);
        free(all);
    }
    drop_pending(f);
}

void simfile_settle(struct simfile *f)
{
    make_durable(f, f->now);
    drop_pending(f);
    f->diverged = false;
}

static size_t sectors_of(uint64_t offset, size_t len)
{
    assert(len > 0);
    return (size_t)((offset + len - 1) / SIM_SECTOR - offset / SIM_SECTOR) + 1;
}

size_t simfile_tear(uint64_t offset, size_t len, struct simrng *rng)
{
    if (len == 0)
        return 0;
    uint64_t kept = simrng_below(rng, sectors_of(offset, len) + 1);
    if (kept == 0)
        return 0;
    uint64_t end = (offset / SIM_SECTOR + kept) * SIM_SECTOR;
    return end < offset + len ? (size_t)(end - offset) : len;
}

static void write_garbage(struct simimage **m, uint64_t offset, size_t len, struct simrng *rng)
{
    uint8_t junk[SIM_SECTOR];
    for (size_t done = 0, n; done < len; done += n) {
        n = len - done < sizeof junk ? len - done : sizeof junk;
        for (size_t i = 0; i < n; i++)
            junk[i] = (uint8_t)simrng_next(rng);
        simimage_write(m, offset + done, junk, n);
    }
}

/* The size grew to hold [offset, offset + len), but its data did not arrive: what lay before the
 * old end stays, the rest are zeros or what the disk held there before. */
static void extend_without_data(struct simimage **m, uint64_t offset, size_t len, bool garbage,
                                struct simrng *rng)
{
    uint64_t size = simimage_size(*m), end = offset + len;
    if (end <= size)
        return;
    if (!garbage) {
        simimage_truncate(m, end);
        return;
    }
    uint64_t from = offset > size ? offset : size;
    write_garbage(m, from, (size_t)(end - from), rng);
}

/* Each unit was given back or not. */
static void punch_some(struct simimage **m, const struct simfile_change *c, struct simrng *rng)
{
    for (uint64_t done = 0; done < c->len; done += SIMIMAGE_CHUNK)
        if (simrng_coin(rng))
            simimage_punch(m, c->offset + done, SIMIMAGE_CHUNK);
}

/* Each sector arrived or not. */
static void scatter(struct simimage **m, const struct simfile_change *c, struct simrng *rng)
{
    if (c->kind == CHANGE_PUNCH) {
        punch_some(m, c, rng);
        return;
    }
    bool extend = simrng_coin(rng), garbage = simrng_coin(rng);
    for (size_t done = 0, n; done < c->len; done += n) {
        uint64_t at = c->offset + done;
        n = SIM_SECTOR - (size_t)(at % SIM_SECTOR);
        if (n > c->len - done)
            n = (size_t)c->len - done;
        if (simrng_coin(rng))
            simimage_write(m, at, c->data + done, n);
        else if (extend)
            extend_without_data(m, at, n, garbage, rng);
    }
}

/* A truncation is kept or lost: file systems journal it. A hole may be there in part. */
static void apply_perhaps(struct simimage **m, const struct simfile_change *c, struct simrng *rng)
{
    enum { LOST, KEPT, SCATTERED, TORN, SIZE_ONLY, OUTCOMES };
    static const uint64_t outcomes[] = {
        [CHANGE_WRITE] = OUTCOMES, [CHANGE_TRUNCATE] = KEPT + 1, [CHANGE_PUNCH] = SCATTERED + 1};
    uint64_t outcome = simrng_below(rng, outcomes[c->kind]);
    size_t len = (size_t)c->len;
    if (outcome == KEPT)
        apply(m, c);
    else if (outcome == TORN)
        simimage_write(m, c->offset, c->data, simfile_tear(c->offset, len, rng));
    else if (outcome == SCATTERED)
        scatter(m, c, rng);
    else if (outcome == SIZE_ONLY)
        extend_without_data(m, c->offset, len, simrng_coin(rng), rng);
}

/* Applies a random part of what is pending to `durable`. Left to chance alone, a long list would
 * practically never be lost whole, kept whole or kept up to a point, as a disk that writes in order
 * leaves it: so half of the time it is one of these. */
static void apply_random_part(struct simfile *f, struct simrng *rng)
{
    enum { NONE, ALL, PREFIX, EACH, MOODS = 6 };
    size_t count;
    const struct simfile_change **all = pending_in_order(f, &count);
    uint64_t mood = simrng_below(rng, MOODS);
    uint64_t whole = mood == NONE ? 0 : mood == ALL ? count : 0;
    if (mood == PREFIX)
        whole = simrng_below(rng, count + 1);
    for (size_t i = 0; i < count; i++) {
        if (i < whole)
            apply(&f->durable, all[i]);
        else if (mood >= EACH || (mood == PREFIX && i == whole))
            apply_perhaps(&f->durable, all[i], rng);
    }
    free(all);
}

void simfile_sync_failed(struct simfile *f, struct simrng *rng)
{
    apply_random_part(f, rng);
    drop_pending(f);
    f->diverged = true;
}

void simfile_crash(struct simfile *f, enum sim_crash mode, struct simrng *rng)
{
    if (mode == SIM_KEEP_ALL) {
        simfile_settle(f);
        return;
    }
    if (mode == SIM_RANDOM)
        apply_random_part(f, rng);
    drop_pending(f);
    f->diverged = false;
    simimage_unref(f->now);
    f->now = simimage_ref(f->durable);
}

void simfile_assert_valid(const struct simfile *f)
{
    size_t count;
    assert(f->now && f->durable);
    if (f->diverged)
        return;
    const struct simfile_change **all = pending_in_order(f, &count);
    struct simimage *m = simimage_ref(f->durable);
    for (size_t i = 0; i < count; i++)
        apply(&m, all[i]);
    assert(simimage_equal(m, f->now));
    simimage_unref(m);
    free(all);
}
