/* Tests of store/compact_pick.h: what is reclaimed when no level presses: what was held for pins
 * that are gone, and what tombstones hide. */
#include "tests/unit/pick_tree.h"

/* ---- held for pins ---- */

static void test_held(void **state)
{
    struct fixture *x = *state;
    add_pin(x, 5);
    add_held(x, 6, 1, "a", "b", 5, 3000); /* its pin is there */
    add_held(x, 6, 2, "b", "c", 6, 200);  /* too little */
    build(x);
    assert_absent(pick(x));
    add_pin(x, 5);
    add_held(x, 6, 1, "a", "b", 5, 3000);
    add_held(x, 6, 2, "b", "c", 6, 201);
    add_held(x, 6, 3, "c", "d", 7, 202);
    build(x);
    assert_ok(pick(x));
    assert_job(x, PICK_HELD, 6, 6, (3), ());
    assert_false(x->pick.trivial_move);
    assert_int_equal(x->pick.input_bytes, 3200);
    find(x, 3)->busy = true;
    assert_ok(pick(x));
    assert_job(x, PICK_HELD, 6, 6, (2), ());
    /* On level 0, too: in a volume that nobody writes to it would not be merged otherwise. */
    add_held(x, 6, 1, "a", "b", 5, 1);
    add_held(x, 0, 2, "b", "c", 6, 3000);
    build(x);
    assert_ok(pick(x));
    assert_job(x, PICK_TOMBSTONES, 0, 6, (2), ());
    add_held(x, 0, 2, "b", "c", 6, 1);
    build(x);
    assert_absent(pick(x));
}

static void add_deletes(struct fixture *x, int level, uint64_t number, const char *smallest,
                        const char *limit, uint64_t deletes)
{
    struct table_meta *m = maker_meta(number, smallest, limit, 90, 100, 100);
    m->delete_count = deletes;
    add_meta(x, level, m);
}

static void test_order_of_reclaiming(void **state)
{
    struct fixture *x = *state;
    for (uint64_t gone = 400; gone <= 401; gone++) {
        add(x, 6, 1, "k", "l", 1000);
        add(x, 6, 4, "x", "y", 9000);
        add_deletes(x, 5, 2, "k", "l", 10);
        add_held(x, 6, 3, "m", "n", 7, gone); /* 401 is more than an eighth */
        build(x);
        assert_ok(pick(x));
        if (gone == 400)
            assert_job(x, PICK_TOMBSTONES, 5, 6, (2), (1));
        else
            assert_job(x, PICK_HELD, 6, 6, (3), ());
    }
}

/* ---- deletions of single keys ---- */

static void test_deletes(void **state)
{
    struct fixture *x = *state;
    add(x, 6, 1, "k", "l", 1000); /* ten entries: a deletion frees 100, of 1100 to rewrite */
    add_deletes(x, 5, 2, "k", "l", 10);
    add(x, 6, 3, "x", "y", 9000);
    build(x);
    assert_ok(pick(x));
    assert_job(x, PICK_TOMBSTONES, 5, 6, (2), (1));
    /* Too few of the table's entries. */
    add(x, 6, 1, "k", "l", 1000);
    add_deletes(x, 5, 2, "k", "l", 4);
    add(x, 6, 3, "x", "y", 9000);
    build(x);
    assert_absent(pick(x));
    /* Too little of what is below. */
    struct table_meta *m = maker_meta(1, "k", "l", 1, 10, 1000);
    m->entry_count = 100;
    add_meta(x, 6, m);
    add_deletes(x, 5, 2, "k", "l", 10);
    add(x, 6, 3, "x", "y", 9000);
    build(x);
    assert_absent(pick(x));
    /* Nothing below. */
    add_deletes(x, 5, 2, "k", "l", 10);
    add(x, 6, 3, "x", "y", 9000);
    build(x);
    assert_absent(pick(x));
}

/* Entries 1..50 below, deletions at 100: pins in between keep what they see. */
static void test_deletes_and_pins(void **state)
{
    static const struct {
        uint64_t pin;
        bool sinks;
    } cases[] = {{100, false}, {101, true}, {60, false}, {51, false},
                 {20, true},   {46, false}, {1, true}};
    struct fixture *x = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        add_meta(x, 6, maker_meta(1, "k", "l", 1, 50, 1000));
        add_deletes(x, 5, 2, "k", "l", 10);
        add(x, 6, 3, "x", "y", 9000);
        add_pin(x, cases[i].pin);
        build(x);
        assert_int_equal(pick(x), cases[i].sinks ? 0 : 1);
    }
}

/* Blob bytes count as freed, and are no cost. */
static void test_blob_bytes_count(void **state)
{
    struct fixture *x = *state;
    for (int blobs = 0; blobs < 2; blobs++) {
        struct table_meta *m = maker_meta(1, "k", "l", 1, 10, 1000);
        m->entry_count = 100;
        if (blobs)
            table_meta_add_share(m, 9, 50, 10000);
        add_meta(x, 6, m);
        add_deletes(x, 5, 2, "k", "l", 10);
        add(x, 6, 3, "x", "y", 9000);
        build(x);
        assert_int_equal(pick(x), blobs ? 0 : 1);
    }
}

static void test_deletes_sink_freely(void **state)
{
    struct fixture *x = *state;
    x->opt.base_bytes = 100;
    struct table_meta *m = maker_meta(1, "k", "l", 1, 10, 20000);
    m->entry_count = 10000;
    add_meta(x, 6, m);
    add_deletes(x, 4, 2, "k", "l", 10);
    build(x);
    assert_int_equal(compact_debt(x->v, &x->opt), 0);
    assert_ok(pick(x));
    assert_job(x, PICK_TOMBSTONES, 4, 5, (2), ());
    assert_true(x->pick.trivial_move);
}

/* ---- range tombstones: of real tables ---- */

struct real {
    struct fixture *x;
    struct simdisk *disk;
};

static void real_init(struct real *r, struct fixture *x)
{
    *r = (struct real){x, simdisk_new(1)};
    x->source.env = simdisk_env(r->disk);
    x->source.uuid = (const uint8_t *)"a volume's uuid ";
    x->source.cache = cache_new(0);
    assert_ok(x->source.env->mkdir(x->source.env, "vol"));
}

static void real_release(struct real *r)
{
    pick_release(&r->x->pick);
    version_unref(r->x->v);
    r->x->v = NULL;
    edit_release(&r->x->e);
    cache_free(r->x->source.cache);
    simdisk_free(r->disk);
}

/* A table with tombstones only, `count` of them, each "start", "end". */
static void add_tombstones(struct real *r, int level, uint64_t number, uint64_t seq,
                           const char *const (*list)[2], size_t count)
{
    const struct version_source *s = &r->x->source;
    struct table_options opt = {.block_bytes = 4096};
    struct rangedel_builder *b = rangedel_builder_new();
    struct table_writer *w;
    struct table_meta *meta;
    for (size_t i = 0; i < count; i++)
        rangedel_builder_add(b, slice_str(list[i][0]), slice_str(list[i][1]), seq + i);
    struct rangedel *dels = rangedel_build(b);
    assert_ok(table_create(s->env, s->dir, number, s->uuid, &opt, &w));
    table_set_rangedel(w, dels);
    assert_ok(table_finish(w, &meta));
    add_meta(r->x, level, meta);
    rangedel_unref(dels);
    rangedel_builder_free(b);
}

#define TOMBSTONES(r, level, number, seq, ...)                                     \
    do {                                                                           \
        static const char *const list[][2] = {__VA_ARGS__};                        \
        add_tombstones(r, level, number, seq, list, sizeof list / sizeof list[0]); \
    } while (0)

static void test_tombstones_sink(void **state)
{
    struct fixture *x = *state;
    struct real r;
    real_init(&r, x);
    x->opt.base_bytes = 100000;
    add(x, 6, 1, "k", "l", 10000);
    add(x, 6, 2, "l", "m", 10000);
    add(x, 6, 3, "m", "n", 500000);
    add(x, 5, 8, "a", "b", 50000); /* keeps the level in use */
    TOMBSTONES(&r, 5, 9, 100, {"k", "l"}, {"l", "la"});
    build(x);
    compact_pick_prepare(x->v, &x->opt);
    assert_non_null(version_table_opened(find(x, 9)));
    assert_null(version_table_opened(find(x, 8)));
    assert_ok(pick(x));
    assert_job(x, PICK_TOMBSTONES, 5, 6, (9), (1, 2));
    find(x, 2)->busy = true;
    assert_absent(pick(x));
    real_release(&r);
}

/* The best comes first; the next best if a running job is in its way. */
static void test_tombstones_best(void **state)
{
    struct fixture *x = *state;
    struct real r;
    real_init(&r, x);
    x->opt.base_bytes = 100000;
    add(x, 6, 1, "c", "d", 10000);
    add(x, 6, 2, "e", "f", 10000);
    add(x, 6, 3, "g", "h", 10000);
    add(x, 6, 4, "x", "y", 500000);
    add(x, 5, 8, "a", "b", 50000);
    TOMBSTONES(&r, 5, 11, 100, {"c", "ca"}, {"cb", "cz"}); /* all but a little */
    TOMBSTONES(&r, 5, 12, 100, {"e", "ep"}, {"ep", "f"});  /* all */
    TOMBSTONES(&r, 5, 13, 100, {"g", "gp"});               /* most */
    build(x);
    assert_ok(pick(x));
    assert_job(x, PICK_TOMBSTONES, 5, 6, (12), (2));
    assert_true(find(x, 12)->gain.freed == 10000 && find(x, 12)->gain.cost == -10000);
    find(x, 2)->busy = true;
    assert_ok(pick(x));
    assert_job(x, PICK_TOMBSTONES, 5, 6, (11), (1));
    find(x, 2)->busy = false;
    find(x, 12)->busy = true;
    assert_ok(pick(x));
    assert_job(x, PICK_TOMBSTONES, 5, 6, (11), (1));
    find(x, 1)->busy = true;
    assert_ok(pick(x));
    assert_job(x, PICK_TOMBSTONES, 5, 6, (13), (3));
    /* A table that is rewritten in place shares what is below with the best. */
    add(x, 6, 2, "e", "h", 10000);
    add(x, 6, 3, "p", "q", 10000);
    add(x, 6, 4, "x", "y", 500000);
    add(x, 5, 9, "g", "h", 50000);
    TOMBSTONES(&r, 5, 14, 100, {"e", "f"}, {"f", "g"});
    TOMBSTONES(&r, 5, 15, 100, {"p", "pm"});
    build(x);
    assert_ok(pick(x));
    assert_job(x, PICK_TOMBSTONES, 5, 6, (14), (2));
    find(x, 9)->busy = true;
    assert_ok(pick(x));
    assert_job(x, PICK_TOMBSTONES, 5, 6, (15), (3));
    real_release(&r);
}

/* Where nothing is in the way the table goes down for nothing, however little it will free. */
static void test_tombstones_move(void **state)
{
    struct fixture *x = *state;
    struct real r;
    real_init(&r, x);
    add(x, 6, 1, "k", "l", 500000);
    TOMBSTONES(&r, 4, 9, 100, {"k", "k1"});
    build(x);
    x->opt.base_bytes = 5000;
    assert_ok(pick(x));
    assert_job(x, PICK_TOMBSTONES, 4, 5, (9), ());
    assert_true(x->pick.trivial_move);
    real_release(&r);
}

/* A part of a table is worth it only if it is enough of what has to be rewritten; two tombstones
 * that meet are as good as one. */
static void test_tombstones_partial(void **state)
{
    struct fixture *x = *state;
    struct real r;
    real_init(&r, x);
    x->opt.base_bytes = 100000;
    for (int i = 0; i < 3; i++) {
        char number = (char)(20 + i);
        add(x, 6, 1, "k0", "k8", 80000);
        add(x, 6, 3, "m", "n", 500000);
        add(x, 5, 8, "a", "b", 50000);
        if (i == 0)
            TOMBSTONES(&r, 5, (uint64_t)number, 100, {"k0", "k1"});
        else if (i == 1)
            TOMBSTONES(&r, 5, (uint64_t)number, 100, {"k0", "k1"}, {"k1", "k2"}, {"k3", "k4"});
        else
            TOMBSTONES(&r, 5, (uint64_t)number, 100, {"k3", "k8"}, {"k2", "k3"}, {"k0", "k2"});
        build(x);
        assert_int_equal(pick(x), i == 0 ? 1 : 0);
    }
    real_release(&r);
}

/* What is wholly covered costs nothing; what the job must rewrite besides does. */
static void test_tombstones_cost(void **state)
{
    struct fixture *x = *state;
    struct real r;
    real_init(&r, x);
    x->opt.base_bytes = 100000;
    for (uint64_t extra = 30000; extra <= 50000; extra += 20000) {
        add(x, 6, 1, "k", "l", 10000);
        add(x, 6, 2, "p", "q", extra); /* in the table's span, under no tombstone */
        add(x, 6, 3, "x", "y", 500000);
        add(x, 5, 8, "a", "b", 50000);
        TOMBSTONES(&r, 5, extra, 100, {"k", "l"}, {"r", "s"});
        build(x);
        assert_int_equal(pick(x), extra > 40000 ? 1 : 0);
    }
    real_release(&r);
}

/* Data at 1..50, a tombstone at 100. */
static void test_tombstones_and_pins(void **state)
{
    static const struct {
        uint64_t pins[2];
        bool sinks;
    } cases[] = {
        {{101}, true}, {{100}, false},    {{51}, false},     {{20}, true},
        {{1}, true},   {{20, 101}, true}, {{20, 60}, false}, {{48}, false},
    };
    struct fixture *x = *state;
    struct real r;
    real_init(&r, x);
    x->opt.base_bytes = 100000;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        add_meta(x, 6, maker_meta(1, "k", "l", 1, 50, 10000));
        add(x, 6, 3, "m", "n", 500000);
        add(x, 5, 8, "a", "b", 50000);
        TOMBSTONES(&r, 5, 20 + i, 100, {"k", "l"});
        for (int k = 0; k < 2 && cases[i].pins[k]; k++)
            add_pin(x, cases[i].pins[k]);
        build(x);
        assert_int_equal(pick(x), cases[i].sinks ? 0 : 1);
    }
    real_release(&r);
}

/* Data at 1..40, all under the fragment; what is dead of its 10000 bytes. */
static double dead_bytes(struct real *r, uint64_t number, const uint64_t *seqs,
                         const uint64_t *pins)
{
    struct fixture *x = r->x;
    const struct version_source *s = &x->source;
    struct table_options opt = {.block_bytes = 4096};
    struct rangedel_builder *b = rangedel_builder_new();
    struct table_writer *w;
    struct table_meta *meta;
    for (int i = 0; seqs[i]; i++)
        rangedel_builder_add(b, slice_str("k"), slice_str("l"), seqs[i]);
    struct rangedel *dels = rangedel_build(b);
    assert_ok(table_create(s->env, s->dir, number, s->uuid, &opt, &w));
    table_set_rangedel(w, dels);
    assert_ok(table_finish(w, &meta));
    rangedel_unref(dels);
    rangedel_builder_free(b);
    add_meta(x, 5, meta);
    add_meta(x, 6, maker_meta(1, "k", "l", 1, 40, 10000));
    for (int i = 0; pins[i]; i++)
        add_pin(x, pins[i]);
    build(x);
    compact_pick_prepare(x->v, &x->opt);
    return find(x, number)->gain.freed;
}

/* Tombstones over the same ground, and pins between them: each reader has its own newest. */
static void test_tombstones_stacked(void **state)
{
    struct fixture *x = *state;
    struct real r;
    real_init(&r, x);
    x->opt.base_bytes = 10;
    static const struct {
        uint64_t seqs[4], pins[4];
        double dead;
    } cases[] = {
        {{60}, {0}, 10000},         {{60}, {51}, 0}, /* the pin sees all of it */
        {{60, 50}, {51}, 10000},                     /* the older one hides it from the pin */
        {{60, 50}, {51, 50}, 0},                     /* but not from an older pin */
        {{60, 50}, {55, 31}, 2500},                  /* 31..40 */
        {{60, 50, 45}, {31}, 2500},                  /* once, not three times */
        {{60, 21}, {55}, 5000},                      /* 1..20 */
        {{60, 21}, {55, 11}, 2500},                  /* 11..20 */
        {{60, 21}, {11}, 7500},                      /* 11..40 */
        {{60, 21}, {31, 11}, 5000},                  /* 31..40, 11..20 */
        {{21}, {0}, 10000}, /* what is newer is elsewhere: under it all is older */
        {{21}, {11}, 5000},
    };
    for (uint64_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        double dead = dead_bytes(&r, 20 + i, cases[i].seqs, cases[i].pins);
        if (dead < cases[i].dead - 1 || dead > cases[i].dead + 1)
            fail_msg("case %d: %f instead of %f", (int)i, dead, cases[i].dead);
    }
    real_release(&r);
}

/* ---- what lies under a tombstone ---- */

static struct slice key_of(uint32_t key, uint8_t bytes[8])
{
    put_be64(bytes, key);
    return slice_of(bytes, 8);
}

/* A table on the bottom: 2000 small entries, and between them a large file of `blobs` blobs. */
static void add_mixed_table(struct real *r, uint64_t number, uint32_t blobs)
{
    const struct version_source *s = &r->x->source;
    struct table_options opt = {.block_bytes = 1000};
    struct table_writer *w;
    struct table_meta *meta;
    uint8_t value[100] = {0}, key[8];
    struct buf ref = {0};
    assert_ok(table_create(s->env, s->dir, number, s->uuid, &opt, &w));
    for (uint32_t i = 0; i < 2000 + blobs; i++) {
        bool blob = i >= 1000 && i < 1000 + blobs;
        buf_clear(&ref);
        blob_ref_encode(&(struct blob_ref){7, {i * 60000, 60000}, 65536}, &ref);
        struct entry e = {key_of(i, key), 1, blob ? ENTRY_PUT_BLOB : ENTRY_PUT, 0,
                          blob ? buf_slice(&ref) : slice_of(value, sizeof value)};
        assert_ok(table_add(w, &e));
    }
    assert_ok(table_finish(w, &meta));
    add_meta(r->x, 6, meta);
    buf_release(&ref);
}

static void add_tombstone_of_keys(struct real *r, uint64_t number, uint32_t start, uint32_t end)
{
    const struct version_source *s = &r->x->source;
    struct rangedel_builder *b = rangedel_builder_new();
    struct table_options opt = {.block_bytes = 1000};
    struct table_writer *w;
    struct table_meta *meta;
    uint8_t from[8], to[8];
    rangedel_builder_add(b, key_of(start, from), key_of(end, to), 100);
    struct rangedel *dels = rangedel_build(b);
    assert_ok(table_create(s->env, s->dir, number, s->uuid, &opt, &w));
    table_set_rangedel(w, dels);
    assert_ok(table_finish(w, &meta));
    add_meta(r->x, 5, meta);
    rangedel_unref(dels);
    rangedel_builder_free(b);
}

/* The file is 1/20 of the keys, about 1/60 of the table's bytes, and all of the blobs: that only
 * the entries can tell. */
static void test_large_file_among_small(void **state)
{
    static const struct {
        uint32_t start, end;
        bool open, sinks;
    } cases[] = {
        {1000, 1100, true, true}, {1000, 1010, true, true},  {900, 1010, true, true},
        {100, 500, true, false},  {1100, 1300, true, false}, {100, 500, false, true},
    };
    struct fixture *x = *state;
    struct real r;
    real_init(&r, x);
    x->opt.base_bytes = 1000000;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct table *table;
        add_mixed_table(&r, 10 + 2 * i, 100);
        add(x, 6, 1, "x", "y", 5000000);
        add(x, 5, 2, "x", "y", 500000);
        add_tombstone_of_keys(&r, 11 + 2 * i, cases[i].start, cases[i].end);
        build(x);
        if (cases[i].open)
            assert_ok(version_table_open(find(x, 10 + 2 * i), &table));
        assert_int_equal(pick(x), cases[i].sinks ? 0 : 1);
    }
    real_release(&r);
}

/* Of a file of more entries than are looked at the rest is taken to be alike. */
static void test_very_large_file(void **state)
{
    struct fixture *x = *state;
    struct real r;
    struct table *table;
    real_init(&r, x);
    x->opt.base_bytes = 10;
    add_mixed_table(&r, 10, 50000);
    add_tombstone_of_keys(&r, 11, 1000, 26000);
    build(x);
    assert_ok(version_table_open(find(x, 10), &table));
    compact_pick_prepare(x->v, &x->opt);
    double freed = find(x, 11)->gain.freed;
    assert_true(freed > 25000 * 60000.0 * 0.9 && freed < 25000 * 60000.0 * 1.1);
    real_release(&r);
}

/* The same again is not reckoned again; what changes below is noticed. */
static void test_gain_is_remembered(void **state)
{
    struct fixture *x = *state;
    struct real r;
    struct table *table;
    real_init(&r, x);
    x->opt.base_bytes = 1000000;
    add_mixed_table(&r, 10, 100);
    add(x, 6, 1, "x", "y", 5000000);
    add(x, 5, 2, "x", "y", 500000);
    add_tombstone_of_keys(&r, 11, 0, 400);
    build(x);
    struct version_table *t = find(x, 11);
    x->opt.base_bytes = 100000000; /* levels press: nobody will ask */
    compact_pick_prepare(x->v, &x->opt);
    assert_int_equal(t->gain_signature, 0);
    x->opt.base_bytes = 1000000;
    compact_pick_prepare(x->v, &x->opt);
    uint64_t before = t->gain_signature;
    assert_true(before != 0 && t->gain.freed > 1000000 && t->gain.freed < 1300000);
    t->gain.freed = 0;
    assert_absent(pick(x));
    assert_int_equal(t->gain_signature, before);
    assert_ok(version_table_open(find(x, 10), &table)); /* now it is known better */
    assert_absent(pick(x));
    assert_int_not_equal(t->gain_signature, before);
    assert_true(t->gain.freed > 40000 && t->gain.freed < 60000);
    before = t->gain_signature;
    struct edit e;
    struct version *next;
    struct pin pin = maker_pin(50, (char[]){"p"});
    edit_init(&e);
    edit_add_pin(&e, &pin);
    assert_ok(version_apply(x->v, &e, NULL, 0, &next));
    compact_pick_prepare(next, &x->opt);
    assert_int_not_equal(t->gain_signature, before);
    assert_true(t->gain.freed < 1);
    edit_release(&e);
    version_unref(next);
    real_release(&r);
}

/* On level 0 they take all of it along; they count against what is older there, too. */
static void test_tombstones_level0(void **state)
{
    struct fixture *x = *state;
    struct real r;
    real_init(&r, x);
    x->opt.base_bytes = 100000;
    add_meta(x, 0, maker_meta(5, "k", "l", 1, 10, 50000));
    add_meta(x, 0, maker_meta(6, "c", "d", 200, 210, 9000));
    add(x, 6, 3, "m", "n", 50000);
    TOMBSTONES(&r, 0, 20, 100, {"k", "l"});
    build(x);
    assert_ok(pick(x));
    assert_job(x, PICK_TOMBSTONES, 0, 6, (6, 20, 5), ());
    find(x, 6)->busy = true;
    assert_absent(pick(x));
    /* Data that is newer than the tombstone is not under it. */
    add_meta(x, 0, maker_meta(5, "k", "l", 110, 120, 50000));
    add_meta(x, 0, maker_meta(6, "c", "d", 200, 210, 9000));
    add(x, 6, 3, "m", "n", 50000);
    TOMBSTONES(&r, 0, 21, 100, {"k", "l"});
    build(x);
    assert_absent(pick(x));
    real_release(&r);
}

/* Level 0 takes along all of the base level that it spans. */
static void test_tombstones_level0_cost(void **state)
{
    struct fixture *x = *state;
    struct real r;
    real_init(&r, x);
    x->opt.base_bytes = 100000;
    for (uint64_t between = 40000; between <= 41000; between += 1000) {
        add(x, 6, 1, "c", "d", 10000);
        add(x, 6, 2, "e", "f", between);
        add(x, 6, 3, "p", "q", 90000); /* out of it */
        if (between == 40000)
            TOMBSTONES(&r, 0, 20, 100, {"c", "d"}, {"g", "h"});
        else
            TOMBSTONES(&r, 0, 21, 100, {"c", "d"}, {"g", "h"});
        build(x);
        uint64_t own = x->v->levels[0].bytes;
        assert_true(own < 1000);
        find(x, 2)->meta->size_bytes -= own;
        assert_int_equal(pick(x), between == 40000 ? 0 : 1);
    }
    real_release(&r);
}

static void test_tombstones_unreadable(void **state)
{
    struct fixture *x = *state;
    struct real r;
    real_init(&r, x);
    x->opt.base_bytes = 100000;
    add(x, 6, 1, "k", "l", 10000);
    add(x, 6, 3, "m", "n", 500000);
    add(x, 5, 8, "a", "b", 50000);
    TOMBSTONES(&r, 5, 9, 100, {"k", "l"});
    build(x);
    assert_ok(simdisk_flip(r.disk, "vol/000009.table", 100, 1));
    logged_reset();
    compact_pick_prepare(x->v, &x->opt);
    assert_logged("000009.table");
    size_t said = logged.count;
    assert_absent(pick(x));
    compact_pick_prepare(x->v, &x->opt);
    assert_absent(pick(x));
    assert_int_equal(logged.count, said);
    real_release(&r);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_held),
        TEST(test_order_of_reclaiming),
        TEST(test_deletes),
        TEST(test_deletes_and_pins),
        TEST(test_blob_bytes_count),
        TEST(test_deletes_sink_freely),
        TEST(test_tombstones_sink),
        TEST(test_tombstones_best),
        TEST(test_tombstones_move),
        TEST(test_tombstones_partial),
        TEST(test_tombstones_cost),
        TEST(test_tombstones_and_pins),
        TEST(test_tombstones_stacked),
        TEST(test_large_file_among_small),
        TEST(test_very_large_file),
        TEST(test_gain_is_remembered),
        TEST(test_tombstones_level0),
        TEST(test_tombstones_level0_cost),
        TEST(test_tombstones_unreadable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
