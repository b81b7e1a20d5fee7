/* version_model: a fixture: versions whose tables and blob files have no files behind them, a model
 * of them in plain arrays that makes random edits, and what the model says of a version. */
#ifndef VARVE_UNIT_VERSION_MODEL_H
#define VARVE_UNIT_VERSION_MODEL_H

#include "store/version.h"
#include "tests/unit/logged.h"
#include "tests/unit/version_maker.h"

enum { NUMBER_MAX = 20000 };

/* What died, and where files come from. */
struct fixture {
    struct version_source source;
    uint8_t uuid[UUID_SIZE];
    unsigned table_deaths[NUMBER_MAX], blob_deaths[NUMBER_MAX];
    unsigned cuts[NUMBER_MAX];
    uint64_t fronts[NUMBER_MAX]; /* as the last cut told */
};

static inline void on_death(void *ctx, enum file_kind kind, uint64_t number, struct table *table)
{
    struct fixture *x = ctx;
    assert_true(number < NUMBER_MAX && (kind == FILE_TABLE || kind == FILE_BLOB));
    table_unref(table);
    (kind == FILE_TABLE ? x->table_deaths : x->blob_deaths)[number]++;
}

static inline void on_cut(void *ctx, const struct table_meta *left)
{
    struct fixture *x = ctx;
    assert_true(left->number < NUMBER_MAX && left->front >= x->fronts[left->number]);
    assert_int_equal(x->table_deaths[left->number], 0);
    x->cuts[left->number]++;
    x->fronts[left->number] = left->front;
}

static inline int setup(void **state)
{
    struct fixture *x = mem_zalloc(sizeof *x);
    memcpy(x->uuid, "the store's uuid", UUID_SIZE);
    x->source = (struct version_source){
        .dir = "vol", .uuid = x->uuid, .on_death = on_death, .on_cut = on_cut, .death_ctx = x};
    logged_reset();
    *state = x;
    return 0;
}

static inline int teardown(void **state)
{
    free(*state);
    return 0;
}

/* Applies `e` and releases both it and the base, which is marked and let go. */
static inline struct version *step(struct version *base, struct edit *e)
{
    struct version *next;
    assert_ok(version_apply(base, e, NULL, 0, &next));
    version_assert_valid(next);
    version_mark_dead(base, next);
    version_unref(base);
    edit_release(e);
    return next;
}

/* ---- against a model ---- */

struct model_table {
    uint64_t number, max_seq, size;
    int level; /* -1: gone */
    int start, end;
};
struct model_blob {
    uint64_t number, count, garbage;
};
struct model {
    struct simrng rng;
    struct model_table *tables;
    uint32_t table_count, table_cap;
    struct model_blob blobs[64];
    uint32_t blob_count;
    char pins[32][16];
    uint64_t pin_seqs[32];
    uint32_t pin_count;
    uint64_t next;
};

static inline struct table_meta *model_meta(const struct model_table *t)
{
    char a[16], b[16];
    snprintf(a, sizeof a, "%06d", t->start);
    snprintf(b, sizeof b, "%06d", t->end);
    return maker_meta(t->number, a, b, 1, t->max_seq, t->size);
}

static inline bool model_fits(const struct model *m, int level, int start, int end)
{
    for (uint32_t i = 0; i < m->table_count && level > 0; i++) {
        const struct model_table *t = &m->tables[i];
        if (t->level == level && t->start < end && start < t->end)
            return false;
    }
    return true;
}

static inline void model_enter(struct edit *e, const struct model_table *t)
{
    struct table_meta *meta = model_meta(t);
    edit_add_table(e, t->level, meta);
    table_meta_unref(meta);
}

static inline void model_change_tables(struct model *m, struct edit *e)
{
    struct simrng *rng = &m->rng;
    for (uint32_t i = 0; i < m->table_count; i++) {
        struct model_table *t = &m->tables[i];
        if (t->level < 0 || simrng_below(rng, 12) > 0)
            continue;
        int to = (int)simrng_below(rng, LEVEL_COUNT);
        edit_remove_table(e, t->level, t->number);
        t->level = -1;
        if (simrng_coin(rng) && model_fits(m, to, t->start, t->end)) {
            t->level = to;
            model_enter(e, t);
        }
    }
    for (uint64_t n = simrng_below(rng, 10); n > 0; n--) {
        int start = (int)simrng_below(rng, 100000), level = (int)simrng_below(rng, LEVEL_COUNT);
        int end = start + 1 + (int)simrng_below(rng, 9000);
        if (!model_fits(m, level, start, end))
            continue;
        if (m->table_count == m->table_cap) {
            m->table_cap = m->table_cap ? m->table_cap * 2 : 64;
            m->tables = mem_realloc(m->tables, m->table_cap * sizeof *m->tables);
        }
        m->tables[m->table_count++] = (struct model_table){
            m->next++, 1 + simrng_below(rng, 40), simrng_below(rng, 9999), level, start, end};
        model_enter(e, &m->tables[m->table_count - 1]);
    }
}

static inline void model_change_blobs(struct model *m, struct edit *e)
{
    struct simrng *rng = &m->rng;
    if (m->blob_count < 64 && simrng_coin(rng)) {
        uint64_t count = 1 + simrng_below(rng, 20);
        m->blobs[m->blob_count++] = (struct model_blob){m->next, count, 0};
        edit_add_blob(e, m->next++, count, count * 100, count * 100 + 96);
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < m->blob_count; i++) {
        struct model_blob *b = &m->blobs[i];
        uint64_t dead = simrng_below(rng, 4);
        if (dead > b->count - b->garbage)
            dead = b->count - b->garbage;
        if (dead > 0)
            edit_add_garbage(e, b->number, dead, dead * 100);
        b->garbage += dead;
        bool removed = simrng_below(rng, 40) == 0;
        if (removed)
            edit_remove_blob(e, b->number);
        if (!removed && b->garbage < b->count)
            m->blobs[kept++] = *b;
    }
    m->blob_count = kept;
}

static inline void model_change_pins(struct model *m, struct edit *e)
{
    struct simrng *rng = &m->rng;
    if (m->pin_count > 0 && simrng_below(rng, 3) == 0) {
        uint32_t i = (uint32_t)simrng_below(rng, m->pin_count);
        edit_remove_pin(e, m->pins[i]);
        m->pin_count--;
        memcpy(m->pins[i], m->pins[m->pin_count], sizeof m->pins[i]);
        m->pin_seqs[i] = m->pin_seqs[m->pin_count];
    }
    if (m->pin_count < 32 && simrng_below(rng, 3) == 0) {
        uint32_t i = m->pin_count++;
        snprintf(m->pins[i], sizeof m->pins[i], "pin %llu", (unsigned long long)m->next++);
        m->pin_seqs[i] = 1 + simrng_below(rng, 100);
        struct pin p = maker_pin(m->pin_seqs[i], m->pins[i]);
        edit_add_pin(e, &p);
    }
}

static inline void model_compare(const struct model *m, const struct version *v)
{
    uint32_t counts[LEVEL_COUNT] = {0};
    uint64_t bytes[LEVEL_COUNT] = {0};
    version_assert_valid(v);
    for (uint32_t i = 0; i < m->table_count; i++) {
        const struct model_table *t = &m->tables[i];
        if (t->level < 0)
            continue;
        counts[t->level]++;
        bytes[t->level] += t->size;
        const struct version_level *l = &v->levels[t->level];
        uint32_t at = 0;
        while (at < l->count && l->tables[at]->number != t->number)
            at++;
        assert_true(at < l->count);
    }
    for (int l = 0; l < LEVEL_COUNT; l++) {
        assert_int_equal(v->levels[l].count, counts[l]);
        assert_int_equal(v->levels[l].bytes, bytes[l]);
    }
    assert_int_equal(v->blob_count, m->blob_count);
    for (uint32_t i = 0; i < m->blob_count; i++) {
        const struct version_blob_state *b = version_find_blob(v, m->blobs[i].number);
        assert_non_null(b);
        assert_int_equal(b->garbage_count, m->blobs[i].garbage);
        assert_int_equal(b->garbage_bytes, m->blobs[i].garbage * 100);
    }
    assert_int_equal(v->pin_count, m->pin_count);
    for (uint32_t i = 0; i < m->pin_count; i++)
        assert_int_equal(version_find_pin(v, m->pins[i])->seq, m->pin_seqs[i]);
}

static inline bool names_table(const struct version *v, uint64_t number)
{
    for (int l = 0; v && l < LEVEL_COUNT; l++)
        for (uint32_t i = 0; i < v->levels[l].count; i++)
            if (v->levels[l].tables[i]->number == number)
                return true;
    return false;
}

enum { HELD_VERSIONS = 6 };

/* A file has died exactly if it once was there and no version that is still held names it. */
static inline void assert_deaths(const struct fixture *x, const struct model *m,
                                 struct version *const *held)
{
    for (uint32_t i = 0; i < m->table_count; i++) {
        bool named = false;
        for (int k = 0; k < HELD_VERSIONS; k++)
            named |= names_table(held[k], m->tables[i].number);
        assert_int_equal(x->table_deaths[m->tables[i].number], !named);
    }
    for (uint64_t n = 1; n < m->next; n++) {
        bool named = false;
        for (int k = 0; k < HELD_VERSIONS; k++)
            named |= held[k] && version_find_blob(held[k], n);
        assert_true(x->blob_deaths[n] <= !named);
    }
}

#endif
