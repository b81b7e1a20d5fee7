/* Tests of store/version.h: edits against a model, what does not fit, life and death of files, and
 * opening them from many threads. */
#include "store/version.h"

#include "store/env_posix.h"
#include "tests/sim/simdisk.h"
#include "tests/unit/logged.h"
#include "tests/unit/version_maker.h"

#include <errno.h>
#include <unistd.h>

enum { NUMBER_MAX = 20000 };

/* What died, and where files come from. */
struct fixture {
    struct version_source source;
    uint8_t uuid[UUID_SIZE];
    unsigned table_deaths[NUMBER_MAX], blob_deaths[NUMBER_MAX];
};

static void on_death(void *ctx, enum file_kind kind, uint64_t number)
{
    struct fixture *x = ctx;
    assert_true(number < NUMBER_MAX && (kind == FILE_TABLE || kind == FILE_BLOB));
    (kind == FILE_TABLE ? x->table_deaths : x->blob_deaths)[number]++;
}

static int setup(void **state)
{
    struct fixture *x = mem_zalloc(sizeof *x);
    memcpy(x->uuid, "the store's uuid", UUID_SIZE);
    x->source = (struct version_source){
        .dir = "vol", .uuid = x->uuid, .on_death = on_death, .death_ctx = x};
    logged_reset();
    *state = x;
    return 0;
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

/* Applies `e` and releases both it and the base, which is marked and let go. */
static struct version *step(struct version *base, struct edit *e)
{
    struct version *next;
    assert_ok(version_apply(base, e, NULL, 0, &next));
    version_assert_valid(next);
    version_mark_dead(base, next);
    version_unref(base);
    edit_release(e);
    return next;
}

static void assert_level(const struct version *v, int level, const uint64_t *numbers,
                         uint32_t count)
{
    assert_int_equal(v->levels[level].count, count);
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(v->levels[level].tables[i]->number, numbers[i]);
}

/* ---- by hand ---- */

static void test_order(void **state)
{
    struct fixture *x = *state;
    struct edit e;
    edit_init(&e);
    maker_add(&e, 0, 5, "a", "z", 50);
    maker_add(&e, 0, 7, "a", "z", 70);
    maker_add(&e, 0, 6, "b", "c", 60);
    maker_add(&e, 0, 9, "b", "c", 60);
    maker_add(&e, 2, 3, "m", "p", 30);
    maker_add(&e, 2, 2, "p", "q", 20);
    maker_add(&e, 2, 4, "a", "m", 40);
    struct version *v = step(version_new(&x->source), &e);
    assert_level(v, 0, (uint64_t[]){7, 9, 6, 5}, 4);
    assert_level(v, 2, (uint64_t[]){4, 3, 2}, 3);
    assert_int_equal(v->next_file, 10);
    assert_int_equal(v->levels[0].bytes, 4000);
    version_unref(v);
}

static void test_move_keeps_object(void **state)
{
    struct fixture *x = *state;
    struct edit e;
    edit_init(&e);
    maker_add(&e, 0, 5, "a", "c", 50);
    maker_add(&e, 3, 2, "a", "z", 20);
    struct version *v = step(version_new(&x->source), &e);
    struct version_table *t = v->levels[0].tables[0];
    edit_remove_table(&e, 0, 5);
    maker_add(&e, 2, 5, "a", "c", 50);
    v = step(v, &e);
    assert_ptr_equal(v->levels[2].tables[0], t);
    assert_int_equal(v->levels[0].count, 0);
    assert_int_equal(v->levels[2].bytes, 1000);
    assert_int_equal(x->table_deaths[5], 0);
    assert_false(t->dead);
    edit_remove_table(&e, 2, 5);
    v = step(v, &e);
    assert_int_equal(x->table_deaths[5], 1);
    assert_int_equal(x->table_deaths[2], 0);
    version_unref(v);
    assert_int_equal(x->table_deaths[2], 0);
}

static void test_shares_levels(void **state)
{
    struct fixture *x = *state;
    struct edit e;
    edit_init(&e);
    maker_add(&e, 5, 5, "a", "c", 50);
    maker_add(&e, 6, 6, "a", "c", 40);
    struct pin pin = maker_pin(5, (char[]){"p"});
    edit_add_pin(&e, &pin);
    struct version *a = step(version_new(&x->source), &e), *b;
    maker_add(&e, 5, 7, "d", "f", 40);
    assert_ok(version_apply(a, &e, NULL, 0, &b));
    assert_ptr_equal(a->levels[6].tables, b->levels[6].tables);
    assert_ptr_equal(a->pins, b->pins);
    assert_ptr_not_equal(a->levels[5].tables, b->levels[5].tables);
    assert_ptr_equal(a->levels[5].tables[0], b->levels[5].tables[0]);
    version_unref(a);
    version_assert_valid(b);
    version_unref(b);
    edit_release(&e);
}

static void test_held_count(void **state)
{
    struct fixture *x = *state;
    struct edit e;
    edit_init(&e);
    struct table_meta *m = maker_meta(4, "a", "b", 1, 2, 100);
    maker_held(m, 7, 50);
    edit_add_table(&e, 4, m);
    table_meta_unref(m);
    maker_add(&e, 4, 5, "b", "c", 9);
    struct version *v = step(version_new(&x->source), &e);
    assert_int_equal(v->levels[4].held_count, 1);
    edit_remove_table(&e, 4, 4);
    v = step(v, &e);
    assert_int_equal(v->levels[4].held_count, 0);
    version_unref(v);
}

static void test_numbers(void **state)
{
    struct fixture *x = *state;
    struct edit e;
    edit_init(&e);
    e.has_uuid = e.has_next_file = e.has_flushed = e.has_log = true;
    memset(e.uuid, 'u', UUID_SIZE);
    e.features = 4;
    e.next_file = 100;
    e.flushed_seq = 10;
    e.log_number = 3;
    struct version *v = step(version_new(&x->source), &e);
    assert_memory_equal(v->uuid, "uuuuuuuuuuuuuuuu", UUID_SIZE);
    e.has_next_file = true;
    e.next_file = 50;
    maker_add(&e, 1, 200, "a", "b", 9);
    v = step(v, &e);
    assert_int_equal(v->next_file, 201);
    edit_add_blob(&e, 300, 1, 1, 100);
    v = step(v, &e);
    assert_int_equal(v->next_file, 301);
    e.has_next_file = true;
    e.next_file = 300;
    v = step(v, &e);
    assert_int_equal(v->next_file, 301);
    assert_int_equal(v->flushed_seq, 10);
    assert_int_equal(v->log_number, 3);
    assert_int_equal(v->features, 4);
    version_unref(v);
}

static void test_blobs(void **state)
{
    struct fixture *x = *state;
    struct edit e;
    struct version *v = version_new(&x->source), *next;
    struct version_blob *active = version_blob_new(&x->source, 12);
    edit_init(&e);
    edit_add_blob(&e, 12, 3, 300, 400);
    edit_add_blob(&e, 11, 2, 200, 300);
    edit_add_garbage(&e, 12, 1, 100);
    assert_ok(version_apply(v, &e, &active, 1, &next));
    edit_release(&e);
    version_unref(v);
    v = next;
    version_assert_valid(v);
    assert_int_equal(v->blob_count, 2);
    assert_ptr_equal(v->blobs[1].blob, active);
    assert_int_equal(active->refs, 2);
    assert_ptr_equal(version_find_blob(v, 11), &v->blobs[0]);
    assert_null(version_find_blob(v, 10));
    assert_null(version_find_blob(v, 13));
    assert_int_equal(version_find_blob(v, 12)->garbage_bytes, 100);
    /* The rest of it dies; another one is removed, one comes and is all garbage at once. */
    edit_add_garbage(&e, 12, 2, 200);
    edit_remove_blob(&e, 11);
    edit_add_blob(&e, 13, 1, 10, 20);
    edit_add_garbage(&e, 13, 1, 10);
    v = step(v, &e);
    assert_int_equal(v->blob_count, 0);
    assert_int_equal(x->blob_deaths[11], 1);
    assert_int_equal(x->blob_deaths[12], 0);
    version_blob_unref(active);
    assert_int_equal(x->blob_deaths[12], 1);
    assert_int_equal(x->blob_deaths[13], 0);
    version_unref(v);
}

static void test_pins(void **state)
{
    struct fixture *x = *state;
    struct edit e;
    edit_init(&e);
    struct pin late = maker_pin(70, (char[]){"late"}), early = maker_pin(40, (char[]){"early"});
    edit_add_pin(&e, &late);
    edit_add_pin(&e, &early);
    struct version *v = step(version_new(&x->source), &e);
    assert_int_equal(v->pin_count, 2);
    assert_string_equal(v->pins[0].name, "early");
    assert_ptr_equal(version_find_pin(v, "late"), &v->pins[1]);
    assert_null(version_find_pin(v, "later"));
    assert_true(version_has_pin(v, 40) && version_has_pin(v, 70));
    assert_false(version_has_pin(v, 39) || version_has_pin(v, 41) || version_has_pin(v, 71));
    /* Renamed, in one edit; and a second one of the same moment. */
    struct pin renamed = maker_pin(40, (char[]){"first"}),
               same = maker_pin(70, (char[]){"as late"});
    edit_remove_pin(&e, "early");
    edit_add_pin(&e, &renamed);
    edit_add_pin(&e, &same);
    v = step(v, &e);
    assert_int_equal(v->pin_count, 3);
    assert_string_equal(v->pins[0].name, "first");
    assert_int_equal(v->pins[0].tag, 40 ^ 0xabcd);
    version_unref(v);
}

/* ---- what does not fit ---- */

static struct version *misfit_base(struct fixture *x)
{
    struct edit e;
    edit_init(&e);
    e.has_flushed = e.has_log = true;
    e.flushed_seq = 10;
    e.log_number = 5;
    maker_add(&e, 0, 5, "a", "c", 50);
    maker_add(&e, 3, 6, "c", "e", 40);
    maker_add(&e, 3, 7, "g", "k", 30);
    edit_add_blob(&e, 8, 10, 1000, 1100);
    edit_add_garbage(&e, 8, 9, 100);
    struct pin pin = maker_pin(5, (char[]){"p"});
    edit_add_pin(&e, &pin);
    return step(version_new(&x->source), &e);
}

static void remove_absent(struct edit *e)
{
    edit_remove_table(e, 3, 99);
}
static void remove_elsewhere(struct edit *e)
{
    edit_remove_table(e, 3, 5);
}
static void remove_twice(struct edit *e)
{
    edit_remove_table(e, 3, 6);
    edit_remove_table(e, 3, 6);
}
static void add_present(struct edit *e)
{
    maker_add(e, 5, 5, "a", "c", 50);
}
static void add_present_same_level(struct edit *e)
{
    maker_add(e, 0, 5, "a", "c", 50);
}
static void add_twice(struct edit *e)
{
    maker_add(e, 5, 20, "a", "c", 50);
    maker_add(e, 4, 20, "a", "c", 50);
}
static void add_absurd(struct edit *e)
{
    maker_add(e, 5, UINT64_MAX, "a", "c", 50);
}
static void move_changed(struct edit *e)
{
    edit_remove_table(e, 0, 5);
    maker_add(e, 2, 5, "a", "d", 50);
}
static void overlap_left(struct edit *e)
{
    maker_add(e, 3, 20, "a", "ca", 50);
}
static void overlap_right(struct edit *e)
{
    maker_add(e, 3, 20, "f", "ga", 50);
}
static void overlap_inside(struct edit *e)
{
    maker_add(e, 3, 20, "h", "i", 50);
}
static void overlap_around(struct edit *e)
{
    maker_add(e, 3, 20, "a", "z", 50);
}
static void overlap_fresh(struct edit *e)
{
    maker_add(e, 2, 20, "a", "d", 50);
    maker_add(e, 2, 21, "c", "e", 50);
}
static void overlap_moved(struct edit *e)
{
    edit_remove_table(e, 0, 5);
    maker_add(e, 4, 5, "a", "c", 50);
    maker_add(e, 4, 21, "b", "e", 50);
}
static void garbage_unknown(struct edit *e)
{
    edit_add_garbage(e, 9, 1, 1);
}
static void garbage_count(struct edit *e)
{
    edit_add_garbage(e, 8, 2, 1);
}
static void garbage_bytes(struct edit *e)
{
    edit_add_garbage(e, 8, 0, 901);
}
static void garbage_huge(struct edit *e)
{
    edit_add_garbage(e, 8, 1, UINT64_MAX);
}
static void blob_present(struct edit *e)
{
    edit_add_blob(e, 8, 1, 1, 1);
}
static void blob_twice(struct edit *e)
{
    edit_add_blob(e, 9, 1, 1, 1);
    edit_add_blob(e, 9, 1, 1, 1);
}
static void blob_remove_absent(struct edit *e)
{
    edit_remove_blob(e, 9);
}
static void pin_present(struct edit *e)
{
    struct pin p = maker_pin(9, (char[]){"p"});
    edit_add_pin(e, &p);
}
static void pin_twice(struct edit *e)
{
    struct pin p = maker_pin(9, (char[]){"q"}), q = maker_pin(10, (char[]){"q"});
    edit_add_pin(e, &p);
    edit_add_pin(e, &q);
}
static void pin_remove_absent(struct edit *e)
{
    edit_remove_pin(e, "q");
}
static void pin_remove_twice(struct edit *e)
{
    edit_remove_pin(e, "p");
    edit_remove_pin(e, "p");
}
static void flushed_falls(struct edit *e)
{
    e->has_flushed = true;
    e->flushed_seq = 9;
}
static void log_falls(struct edit *e)
{
    e->has_log = true;
    e->log_number = 4;
}

static void test_misfits(void **state)
{
    static const struct {
        void (*make)(struct edit *e);
        const char *log;
    } cases[] = {
        {remove_absent, "removes table 99, which level 3 does not have"},
        {remove_elsewhere, "removes table 5, which level 3 does not have"},
        {remove_twice, "removes table 6 twice"},
        {add_present, "adds table 5, which is there already"},
        {add_present_same_level, "adds table 5, which is there already"},
        {add_twice, "adds table 20 twice"},
        {add_absurd, "absurd"},
        {move_changed, "moves table 5 and changes it"},
        {overlap_left, "tables 20 and 6 would overlap on level 3"},
        {overlap_right, "tables 20 and 7 would overlap on level 3"},
        {overlap_inside, "tables 7 and 20 would overlap on level 3"},
        {overlap_around, "tables 20 and 6 would overlap on level 3"},
        {overlap_fresh, "tables 20 and 21 would overlap on level 2"},
        {overlap_moved, "tables 5 and 21 would overlap on level 4"},
        {garbage_unknown, "garbage in blob file 9, which is not there"},
        {garbage_count, "blob file 8 would have more garbage than contents"},
        {garbage_bytes, "blob file 8 would have more garbage than contents"},
        {garbage_huge, "blob file 8 would have more garbage than contents"},
        {blob_present, "adds blob file 8, which is there already"},
        {blob_twice, "adds blob file 9, which is there already"},
        {blob_remove_absent, "removes blob file 9, which is not there"},
        {pin_present, "two pins \"p\""},
        {pin_twice, "two pins \"q\""},
        {pin_remove_absent, "removes a pin which is not there"},
        {pin_remove_twice, "removes pin \"p\" twice"},
        {flushed_falls, "the flushed sequence number would fall from 10 to 9"},
        {log_falls, "the log number would fall from 5 to 4"},
    };
    struct fixture *x = *state;
    struct version *base = misfit_base(x), *next;
    struct buf before = maker_bytes(base);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct edit e;
        edit_init(&e);
        cases[i].make(&e);
        logged_reset();
        assert_errno(version_apply(base, &e, NULL, 0, &next), EIO);
        assert_null(next);
        assert_logged(cases[i].log);
        edit_release(&e);
    }
    struct buf after = maker_bytes(base);
    assert_slice(buf_slice(&after), before.data, before.len);
    for (int l = 0; l < LEVEL_COUNT; l++)
        for (uint32_t i = 0; i < base->levels[l].count; i++)
            assert_int_equal(base->levels[l].tables[i]->refs, 1);
    buf_release(&before);
    buf_release(&after);
    version_unref(base);
}

/* An edit from a damaged manifest: any bytes that still decode either fit or are refused. */
static void test_damaged_edits(void **state)
{
    struct fixture *x = *state;
    struct simrng rng = {unit_seed()};
    struct version *base = misfit_base(x);
    struct buf bytes = maker_bytes(base);
    unsigned fitted = 0, refused = 0;
    for (int round = 0; round < 20000; round++) {
        struct version *from = simrng_coin(&rng) ? base : version_new(&x->source), *next;
        struct buf copy = {0};
        struct edit e;
        buf_append(&copy, buf_slice(&bytes));
        for (uint64_t n = simrng_below(&rng, 4); n > 0; n--)
            copy.data[simrng_below(&rng, copy.len)] ^= (uint8_t)(1 << simrng_below(&rng, 8));
        edit_init(&e);
        if (edit_decode(buf_slice(&copy), &e) == 0) {
            if (version_apply(from, &e, NULL, 0, &next) == 0) {
                version_assert_valid(next);
                version_unref(next);
                fitted++;
            } else {
                refused++;
            }
        }
        edit_release(&e);
        buf_release(&copy);
        if (from != base)
            version_unref(from);
    }
    assert_true(fitted > 100 && refused > 100);
    buf_release(&bytes);
    version_unref(base);
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

static struct table_meta *model_meta(const struct model_table *t)
{
    char a[16], b[16];
    snprintf(a, sizeof a, "%06d", t->start);
    snprintf(b, sizeof b, "%06d", t->end);
    return maker_meta(t->number, a, b, 1, t->max_seq, t->size);
}

static bool model_fits(const struct model *m, int level, int start, int end)
{
    for (uint32_t i = 0; i < m->table_count && level > 0; i++) {
        const struct model_table *t = &m->tables[i];
        if (t->level == level && t->start < end && start < t->end)
            return false;
    }
    return true;
}

static void model_enter(struct edit *e, const struct model_table *t)
{
    struct table_meta *meta = model_meta(t);
    edit_add_table(e, t->level, meta);
    table_meta_unref(meta);
}

static void model_change_tables(struct model *m, struct edit *e)
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

static void model_change_blobs(struct model *m, struct edit *e)
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

static void model_change_pins(struct model *m, struct edit *e)
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

static void model_compare(const struct model *m, const struct version *v)
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

/* The state as an edit, applied to nothing, is the state. */
static void assert_rebuilds(struct fixture *x, const struct version *v)
{
    struct version *empty = version_new(&x->source), *again;
    struct edit e;
    edit_init(&e);
    version_to_edit(v, &e);
    assert_ok(version_apply(empty, &e, NULL, 0, &again));
    version_assert_valid(again);
    struct buf a = maker_bytes(v), b = maker_bytes(again);
    assert_slice(buf_slice(&a), b.data, b.len);
    buf_release(&a);
    buf_release(&b);
    edit_release(&e);
    version_unref(empty);
    version_unref(again);
}

static bool names_table(const struct version *v, uint64_t number)
{
    for (int l = 0; v && l < LEVEL_COUNT; l++)
        for (uint32_t i = 0; i < v->levels[l].count; i++)
            if (v->levels[l].tables[i]->number == number)
                return true;
    return false;
}

enum { HELD_VERSIONS = 6 };

/* A file has died exactly if it once was there and no version that is still held names it. */
static void assert_deaths(const struct fixture *x, const struct model *m,
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

static void test_model(void **state)
{
    struct fixture *x = *state;
    struct model m = {.rng = {unit_seed()}, .next = 1};
    struct version *held[HELD_VERSIONS] = {0}; /* [0]: the current one */
    held[0] = version_new(&x->source);
    for (int round = 0; round < 400; round++) {
        struct edit e;
        struct version *next;
        edit_init(&e);
        model_change_tables(&m, &e);
        model_change_blobs(&m, &e);
        model_change_pins(&m, &e);
        assert_ok(version_apply(held[0], &e, NULL, 0, &next));
        edit_release(&e);
        model_compare(&m, next);
        version_mark_dead(held[0], next);
        uint64_t keep = 1 + simrng_below(&m.rng, HELD_VERSIONS - 1);
        version_unref(held[keep]);
        held[keep] = held[0];
        held[0] = next;
        if (round % 20 == 0) {
            assert_rebuilds(x, next);
            assert_deaths(x, &m, held);
        }
    }
    for (int k = 1; k < HELD_VERSIONS; k++) {
        version_unref(held[k]);
        held[k] = NULL;
    }
    assert_deaths(x, &m, held);
    version_unref(held[0]);
    for (uint32_t i = 0; i < m.table_count; i++)
        assert_int_equal(x->table_deaths[m.tables[i].number], m.tables[i].level < 0);
    free(m.tables);
}

static void test_find_and_overlaps(void **state)
{
    struct fixture *x = *state;
    struct model m = {.rng = {unit_seed()}, .next = 1};
    struct edit e;
    edit_init(&e);
    for (int i = 0; i < 30; i++)
        model_change_tables(&m, &e);
    edit_release(&e);
    edit_init(&e);
    for (uint32_t i = 0; i < m.table_count; i++)
        if (m.tables[i].level >= 0)
            model_enter(&e, &m.tables[i]);
    struct version *v = step(version_new(&x->source), &e);
    for (int round = 0; round < 5000; round++) {
        char a[16], b[16];
        int level = (int)simrng_below(&m.rng, LEVEL_COUNT);
        int start = (int)simrng_below(&m.rng, 110000);
        const struct model_table *some = &m.tables[simrng_below(&m.rng, m.table_count)];
        if (simrng_coin(&m.rng))
            start = simrng_coin(&m.rng) ? some->start : some->end;
        int end = start + 1 + (int)simrng_below(&m.rng, simrng_coin(&m.rng) ? 3 : 5000);
        bool open = simrng_below(&m.rng, 4) == 0, expect = false;
        uint32_t before = 0;
        snprintf(a, sizeof a, "%06d", start);
        snprintf(b, sizeof b, "%06d", end);
        for (uint32_t i = 0; i < m.table_count; i++) {
            const struct model_table *t = &m.tables[i];
            if (t->level != level)
                continue;
            expect |= (open || t->start < end) && start < t->end;
            before += t->end <= start;
        }
        assert_int_equal(
            version_overlaps(v, level, slice_str(a), open ? slice_of(NULL, 0) : slice_str(b)),
            expect);
        if (level > 0)
            assert_int_equal(version_find(&v->levels[level], slice_str(a)), before);
    }
    version_unref(v);
    free(m.tables);
}

/* ---- files ---- */

static void write_table(struct fixture *x, uint64_t number, struct table_meta **meta)
{
    struct table_options opt = {.block_bytes = 4096, .zstd_level = 1, .filter_one_in = 0};
    struct table_writer *w;
    struct version_source *s = &x->source;
    struct entry e = {slice_str("key"), 7, ENTRY_PUT, slice_str("value")};
    assert_ok(table_create(s->env, s->dir, number, x->uuid, &opt, &w));
    assert_ok(table_add(w, &e));
    assert_ok(table_finish(w, meta));
}

static void write_blob(struct fixture *x, uint64_t number)
{
    struct blob_writer *w;
    assert_ok(blob_create(x->source.env, x->source.dir, number, x->uuid, &w));
    blob_writer_free(w);
}

static void test_open_failures(void **state)
{
    struct fixture *x = *state;
    struct simdisk *disk = simdisk_new(1);
    struct table_meta *meta;
    struct table *table;
    struct blob_reader *reader;
    struct buf bytes = {0};
    x->source.env = simdisk_env(disk);
    x->source.cache = cache_new(0);
    assert_ok(x->source.env->mkdir(x->source.env, "vol"));
    write_table(x, 3, &meta);
    assert_ok(simdisk_get(disk, "vol/000003.table", &bytes));
    struct version_table *t = version_table_new(&x->source, meta);
    struct version_blob *b = version_blob_new(&x->source, 4);
    assert_ok(simdisk_truncate(disk, "vol/000003.table", 50));
    assert_null(version_table_opened(t));
    assert_errno(version_table_open(t, &table), EIO);
    assert_logged("000003.table");
    assert_null(table);
    assert_true(t->failed);
    assert_errno(version_blob_open(b, &reader), EIO);
    assert_null(reader);
    assert_ok(simdisk_put(disk, "vol/000003.table", buf_slice(&bytes)));
    write_blob(x, 4);
    assert_ok(version_table_open(t, &table));
    assert_false(t->failed);
    assert_ptr_equal(version_table_opened(t), table);
    assert_ok(version_blob_open(b, &reader));
    t->dead = true;
    version_table_unref(t);
    version_blob_unref(b);
    assert_int_equal(x->table_deaths[3], 1);
    assert_int_equal(x->blob_deaths[4], 0);
    assert_int_equal(simdisk_open_files(disk), 0);
    table_meta_unref(meta);
    buf_release(&bytes);
    cache_free(x->source.cache);
    simdisk_free(disk);
}

enum { THREADS = 8, OBJECTS = 20 };

struct racers {
    struct version_table *tables[OBJECTS];
    struct version_blob *blobs[OBJECTS];
    pthread_barrier_t start;
    struct table *seen[THREADS][OBJECTS];
    struct blob_reader *read[THREADS][OBJECTS];
};
struct racer {
    struct racers *all;
    int id;
};

static void *race(void *arg)
{
    struct racer *r = arg;
    struct racers *all = r->all;
    for (int i = 0; i < OBJECTS; i++) {
        pthread_barrier_wait(&all->start);
        struct version_table *t = version_table_ref(all->tables[i]);
        if (version_table_open(t, &all->seen[r->id][i]) != 0)
            all->seen[r->id][i] = NULL;
        version_table_unref(t);
        struct version_blob *b = version_blob_ref(all->blobs[i]);
        if (version_blob_open(b, &all->read[r->id][i]) != 0)
            all->read[r->id][i] = NULL;
        version_blob_unref(b);
    }
    return NULL;
}

/* The real one, made so slow that the threads really meet. */
static int slow_open(struct env *env, const char *path, enum env_open_mode mode,
                     struct env_file **out)
{
    usleep(500);
    return env_posix()->open(env, path, mode, out);
}

/* Eight threads open the same files at the same time: all get the same object, made once. */
static void test_open_race(void **state)
{
    struct fixture *x = *state;
    char dir[] = "/tmp/varve-version-XXXXXX";
    struct racers all;
    struct racer racers[THREADS];
    pthread_t threads[THREADS];
    assert_non_null(mkdtemp(dir));
    struct env slow = *env_posix();
    slow.open = slow_open;
    x->source.env = &slow;
    x->source.dir = dir;
    x->source.cache = cache_new(1 << 20);
    for (uint64_t i = 0; i < OBJECTS; i++) {
        struct table_meta *meta;
        write_table(x, 2 * i + 1, &meta);
        write_blob(x, 2 * i + 2);
        all.tables[i] = version_table_new(&x->source, meta);
        all.blobs[i] = version_blob_new(&x->source, 2 * i + 2);
        table_meta_unref(meta);
    }
    pthread_barrier_init(&all.start, NULL, THREADS);
    for (int i = 0; i < THREADS; i++) {
        racers[i] = (struct racer){&all, i};
        assert_ok(pthread_create(&threads[i], NULL, race, &racers[i]));
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&all.start);
    for (uint64_t i = 0; i < OBJECTS; i++) {
        for (int k = 0; k < THREADS; k++) {
            assert_non_null(all.seen[k][i]);
            assert_ptr_equal(all.seen[k][i], all.seen[0][i]);
            assert_non_null(all.read[k][i]);
            assert_ptr_equal(all.read[k][i], all.read[0][i]);
        }
        version_table_unref(all.tables[i]);
        version_blob_unref(all.blobs[i]);
        char *table = name_file(dir, FILE_TABLE, 2 * i + 1),
             *blob = name_file(dir, FILE_BLOB, 2 * i + 2);
        assert_ok(x->source.env->remove(x->source.env, table));
        assert_ok(x->source.env->remove(x->source.env, blob));
        free(table);
        free(blob);
    }
    cache_free(x->source.cache);
    assert_ok(rmdir(dir));
}

/* Versions come and go in many threads while one makes new ones: a use for a sanitizer. */
struct sharing {
    pthread_mutex_t lock;
    struct version *current; /* [lock] */
    bool stop;               /* [lock] */
};

static void *share(void *arg)
{
    struct sharing *s = arg;
    for (bool stop = false; !stop;) {
        pthread_mutex_lock(&s->lock);
        struct version *v = version_ref(s->current);
        stop = s->stop;
        pthread_mutex_unlock(&s->lock);
        version_assert_valid(v);
        version_unref(v);
    }
    return NULL;
}

static void test_sharing(void **state)
{
    struct fixture *x = *state;
    struct sharing s = {.lock = PTHREAD_MUTEX_INITIALIZER, .current = version_new(&x->source)};
    struct model m = {.rng = {unit_seed()}, .next = 1};
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        assert_ok(pthread_create(&threads[i], NULL, share, &s));
    for (int round = 0; round < 300; round++) {
        struct edit e;
        struct version *next, *old = s.current;
        edit_init(&e);
        model_change_tables(&m, &e);
        model_change_blobs(&m, &e);
        model_change_pins(&m, &e);
        assert_ok(version_apply(old, &e, NULL, 0, &next));
        edit_release(&e);
        pthread_mutex_lock(&s.lock);
        s.current = next;
        s.stop = round == 299;
        pthread_mutex_unlock(&s.lock);
        version_mark_dead(old, next);
        version_unref(old);
    }
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    model_compare(&m, s.current);
    assert_deaths(x, &m, (struct version *[HELD_VERSIONS]){s.current});
    version_unref(s.current);
    free(m.tables);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_order),      TEST(test_move_keeps_object), TEST(test_shares_levels),
        TEST(test_held_count), TEST(test_numbers),           TEST(test_blobs),
        TEST(test_pins),       TEST(test_misfits),           TEST(test_damaged_edits),
        TEST(test_model),      TEST(test_find_and_overlaps), TEST(test_open_failures),
        TEST(test_open_race),  TEST(test_sharing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
