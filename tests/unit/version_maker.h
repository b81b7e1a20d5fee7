/* version_maker: a fixture: table properties and edits made by hand or at random, for tests of what
 * stands on them. No file is behind them. */
#ifndef VARVE_UNIT_VERSION_MAKER_H
#define VARVE_UNIT_VERSION_MAKER_H

#include <stdio.h>

#include "store/version.h"
#include "tests/sim/simrng.h"
#include "tests/unit/unit.h"

/* A table over [smallest, limit) with ten entries; the caller's reference. */
static inline struct table_meta *maker_meta(uint64_t number, const char *smallest,
                                            const char *limit, uint64_t min_seq, uint64_t max_seq,
                                            uint64_t size_bytes)
{
    struct table_meta *m = table_meta_new();
    m->number = number;
    m->size_bytes = size_bytes;
    m->tag = number * 31;
    buf_set(&m->smallest, slice_str(smallest));
    buf_set(&m->limit, slice_str(limit));
    m->min_seq = min_seq;
    m->max_seq = max_seq;
    m->entry_count = 10;
    m->raw_bytes = size_bytes * 2;
    return m;
}

static inline void maker_held(struct table_meta *m, uint64_t pin, uint64_t bytes)
{
    assert_true(m->held_count == 0 || m->held[m->held_count - 1].pin < pin);
    m->held = mem_realloc(m->held, (m->held_count + 1) * sizeof *m->held);
    m->held[m->held_count++] = (struct table_held){pin, bytes};
}

/* Adds a table as above to the edit. */
static inline void maker_add(struct edit *e, int level, uint64_t number, const char *smallest,
                             const char *limit, uint64_t max_seq)
{
    struct table_meta *m = maker_meta(number, smallest, limit, 1, max_seq, 1000);
    edit_add_table(e, level, m);
    table_meta_unref(m);
}

static inline struct pin maker_pin(uint64_t seq, char *name)
{
    return (struct pin){.seq = seq, .tag = seq ^ 0xabcd, .created_ns = -(int64_t)seq, .name = name};
}

/* ---- at random ---- */

static inline struct table_meta *maker_random_meta(struct simrng *rng, uint64_t number)
{
    char a[32], b[32];
    uint64_t at = simrng_below(rng, 1000), seq = 1 + simrng_below(rng, 1000);
    snprintf(a, sizeof a, "%04d", (int)at);
    snprintf(b, sizeof b, "%04d-", (int)(at + simrng_below(rng, 20)));
    struct table_meta *m =
        maker_meta(number, a, b, seq, seq + simrng_below(rng, 100), simrng_below(rng, 1 << 20));
    m->delete_count = simrng_below(rng, 11);
    m->rangedel_count = simrng_below(rng, 3);
    m->created_ns = simrng_next(rng);
    for (uint64_t i = simrng_below(rng, 3); i > 0; i--)
        table_meta_add_share(m, 1 + simrng_below(rng, 50), 1, simrng_below(rng, 100000));
    for (uint64_t i = simrng_below(rng, 3), pin = 0; i > 0; i--)
        maker_held(m, pin += 1 + simrng_below(rng, 1000), simrng_below(rng, 100000));
    return m;
}

/* Some of everything; it need not fit any version. */
static inline void maker_random_edit(struct simrng *rng, struct edit *e)
{
    char name[PIN_NAME_MAX + 1];
    e->has_uuid = simrng_coin(rng);
    e->has_next_file = simrng_coin(rng);
    e->has_flushed = simrng_coin(rng);
    e->has_log = simrng_coin(rng);
    for (int i = 0; i < UUID_SIZE && e->has_uuid; i++)
        e->uuid[i] = (uint8_t)simrng_next(rng);
    e->features = e->has_uuid ? simrng_next(rng) : 0;
    e->next_file = e->has_next_file ? simrng_next(rng) : 0;
    e->flushed_seq = e->has_flushed ? simrng_below(rng, SEQ_MAX + 1) : 0;
    e->log_number = e->has_log ? simrng_below(rng, 100) : 0;
    for (uint64_t i = simrng_below(rng, 12); i > 0; i--) {
        struct table_meta *m = maker_random_meta(rng, 1 + simrng_below(rng, 1 << 20));
        edit_add_table(e, (int)simrng_below(rng, LEVEL_COUNT), m);
        table_meta_unref(m);
    }
    for (uint64_t i = simrng_below(rng, 12); i > 0; i--)
        edit_remove_table(e, (int)simrng_below(rng, LEVEL_COUNT), 1 + simrng_below(rng, 1000));
    for (uint64_t i = simrng_below(rng, 6); i > 0; i--) {
        uint64_t number = 1 + simrng_below(rng, 1000);
        edit_add_blob(e, number, simrng_below(rng, 1000), simrng_next(rng), simrng_next(rng));
        edit_set_blob_key(e, number, (uint32_t)simrng_below(rng, 3), simrng_next(rng));
    }
    for (uint64_t i = simrng_below(rng, 10); i > 0; i--)
        edit_add_garbage(e, 1 + simrng_below(rng, 20), simrng_below(rng, 10),
                         simrng_below(rng, 1000));
    for (uint64_t i = simrng_below(rng, 4); i > 0; i--)
        edit_remove_blob(e, 1 + simrng_below(rng, 1000));
    for (uint64_t i = simrng_below(rng, 5); i > 0; i--) {
        size_t len = 1 + simrng_below(rng, simrng_coin(rng) ? 10 : PIN_NAME_MAX);
        memset(name, (int)('a' + simrng_below(rng, 26)), len);
        name[len] = 0;
        struct pin p = maker_pin(1 + simrng_below(rng, SEQ_MAX), name);
        if (simrng_coin(rng))
            edit_add_pin(e, &p);
        else
            edit_remove_pin(e, name);
    }
}

/* The version as the bytes of its edit: equal for equal versions. */
static inline struct buf maker_bytes(const struct version *v)
{
    struct buf bytes = {0};
    struct edit e;
    edit_init(&e);
    version_to_edit(v, &e);
    edit_encode(&e, &bytes);
    edit_release(&e);
    return bytes;
}

#endif
