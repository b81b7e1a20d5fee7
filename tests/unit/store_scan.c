#include <errno.h>

#include "store/scan.h"
#include "tests/unit/logged.h"
#include "tests/unit/view_maker.h"

/* ---- what a scan must give ---- */

struct pair {
    uint8_t room[HISTORY_KEY_MAX];
    struct slice key;
    struct buf value;
};

/* The keys within bounds that a read sees, ascending. */
struct answer {
    struct pair *pairs;
    size_t count;
};

static struct answer answer_of(const struct world *w, size_t keys, uint64_t read_seq,
                               struct slice lower, struct slice upper)
{
    struct answer a = {.pairs = mem_zalloc((keys + 1) * sizeof *a.pairs)};
    for (size_t k = 0; k <= keys; k++) {
        struct pair *p = &a.pairs[a.count];
        p->key = history_key(k, p->room);
        bool inside = slice_cmp(p->key, lower) >= 0 && (!upper.len || slice_cmp(p->key, upper) < 0);
        a.count += inside && history_read(&w->h, p->key, read_seq, &p->value);
    }
    return a;
}

static void answer_release(struct answer *a, size_t keys)
{
    for (size_t k = 0; k <= keys; k++)
        buf_release(&a->pairs[k].value);
    free(a->pairs);
}

/* Index of the first key >= `key`. */
static size_t answer_find(const struct answer *a, struct slice key)
{
    size_t i = 0;
    while (i < a->count && slice_cmp(a->pairs[i].key, key) < 0)
        i++;
    return i;
}

/* ---- random walks ---- */

struct walk {
    struct simrng *rng;
    const struct answer *a;
    struct scan *s;
    size_t keys;
    size_t at; /* index in the answer; a->count and SIZE_MAX: off either end */
};

static bool walk_stands(const struct walk *w)
{
    return w->at < w->a->count;
}

static int walk_seek(struct walk *w)
{
    uint8_t room[HISTORY_KEY_MAX];
    struct slice key = history_key(simrng_below(w->rng, w->keys + 1), room);
    if (walk_stands(w) && simrng_below(w->rng, 4) == 0)
        key = scan_key(w->s);
    size_t first = answer_find(w->a, key);
    bool equal = first < w->a->count && slice_eq(w->a->pairs[first].key, key);
    switch (simrng_below(w->rng, 8)) {
    case 0:
        w->at = 0;
        return scan_first(w->s);
    case 1:
        w->at = w->a->count - 1;
        return scan_last(w->s);
    case 2:
    case 3:
    case 4:
        w->at = first - !equal;
        return scan_seek_for_prev(w->s, key);
    default:
        w->at = first;
        return scan_seek(w->s, key);
    }
}

static void walk_step(struct walk *w, bool forwards)
{
    struct slice value;
    int status;
    if (!walk_stands(w) || simrng_below(w->rng, 16) == 0) {
        status = walk_seek(w);
    } else {
        w->at += forwards ? 1 : SIZE_MAX;
        status = forwards ? scan_next(w->s) : scan_prev(w->s);
    }
    assert_int_equal(status, walk_stands(w) ? 0 : 1);
    if (status != 0)
        return;
    const struct pair *p = &w->a->pairs[w->at];
    assert_slice(scan_key(w->s), p->key.data, p->key.len);
    if (simrng_coin(w->rng)) {
        assert_ok(scan_value(w->s, &value));
        assert_slice(value, p->value.data, p->value.len);
    }
}

/* Something newer than every read, in the memtable that is being scanned. */
static void grow(struct world *w, struct simrng *rng, size_t keys, uint64_t *seq)
{
    uint8_t room[2][HISTORY_KEY_MAX];
    struct memtable *mem = w->gens[w->gen_count - 1]->mem;
    size_t k = simrng_below(rng, keys);
    struct entry e = {.key = history_key(k, room[0]), .seq = ++*seq, .type = ENTRY_PUT};
    if (simrng_coin(rng))
        memtable_add(mem, &e);
    else
        memtable_add_rangedel(mem, e.key, history_key(k + 1 + *seq % 5, room[1]), *seq);
}

static void walk_at(struct world *w, struct view *view, struct simrng *rng, size_t keys,
                    uint64_t *newest)
{
    uint8_t room[2][HISTORY_KEY_MAX];
    uint64_t read_seq = 1 + simrng_below(rng, w->h.count + 1);
    struct slice lower = {0}, upper = {0};
    if (simrng_coin(rng))
        read_seq = w->h.count + 1;
    if (simrng_coin(rng))
        lower = history_key(simrng_below(rng, keys), room[0]);
    if (simrng_coin(rng))
        upper = history_key(simrng_below(rng, keys + 5), room[1]);
    struct answer a = answer_of(w, keys, read_seq, lower, upper);
    struct walk walk = {.rng = rng, .a = &a, .keys = keys, .at = SIZE_MAX};
    walk.s =
        scan_new(view, &w->ctx, read_seq, lower, upper, simrng_coin(rng) ? SCAN_FILL_CACHE : 0);
    bool forwards = true;
    for (int i = 0; i < 120; i++) {
        forwards = simrng_below(rng, 5) ? forwards : !forwards;
        walk_step(&walk, forwards);
        if (simrng_below(rng, 40) == 0)
            grow(w, rng, keys, newest);
    }
    scan_free(walk.s);
    answer_release(&a, keys);
}

static void random_round(struct simrng *rng, const struct history_mix *mix, uint64_t cache_bytes)
{
    struct world w;
    world_init(&w, cache_bytes);
    history_random(&w.h, rng, mix, simrng_below(rng, 300));
    world_place_random(&w, rng, mix->keys);
    uint64_t newest = w.h.count + 1;
    struct view *view = world_view(&w);
    for (int i = 0; i < 12; i++)
        walk_at(&w, view, rng, mix->keys, &newest);
    view_unref(view);
    world_release(&w);
}

static void walks_as_the_model_does(void **state)
{
    (void)state;
    const struct history_mix mix = {.of = {[ENTRY_DELETE] = 3,
                                           [ENTRY_PUT] = 10,
                                           [ENTRY_MERGE] = 4,
                                           [ENTRY_PUT_BLOB] = 3,
                                           [ENTRY_MERGE_BLOB] = 1,
                                           [ENTRY_RANGE_DELETE] = 2},
                                    .keys = 40,
                                    .value_max = 60};
    struct simrng rng = {unit_seed()};
    for (int i = 0; i < 100; i++)
        random_round(&rng, &mix, i % 3 ? 1 << 20 : 0);
}

/* Many versions of few keys, most of them dead: the ways of passing over them. */
static void walks_among_many_versions(void **state)
{
    (void)state;
    const struct history_mix mix = {
        .of = {[ENTRY_DELETE] = 6, [ENTRY_PUT] = 10, [ENTRY_MERGE] = 4, [ENTRY_RANGE_DELETE] = 6},
        .keys = 7,
        .value_max = 10};
    struct simrng rng = {unit_seed()};
    for (int i = 0; i < 100; i++)
        random_round(&rng, &mix, 1 << 20);
}

static void an_empty_view_has_nothing(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 1 << 20);
    struct view *view = world_view(&w);
    struct scan *s = scan_new(view, &w.ctx, 1, slice_str("b"), slice_str("a"), 0);
    assert_absent(scan_first(s));
    assert_absent(scan_last(s));
    assert_absent(scan_seek(s, slice_str("x")));
    assert_absent(scan_seek_for_prev(s, slice_str("x")));
    scan_free(s);
    s = scan_new(view, &w.ctx, 100, (struct slice){0}, (struct slice){0}, 0);
    assert_absent(scan_first(s));
    assert_absent(scan_last(s));
    scan_free(s);
    view_unref(view);
    world_release(&w);
}

/* ---- damage ---- */

static void put(struct world *w, uint64_t seq, const char *key, enum entry_type type)
{
    history_add(&w->h, slice_str(key), seq, type, slice_str("a value"));
}

/* Three tables on level 5: [a, b], [m] and [x, y]; above them m, as a blob, and z. */
static void damage_world(struct world *w)
{
    const struct slice cuts[] = {slice_str("k"), slice_str("w")};
    world_init(w, 1 << 20);
    put(w, 1, "a", ENTRY_PUT);
    put(w, 2, "b", ENTRY_PUT);
    put(w, 3, "m", ENTRY_PUT);
    put(w, 4, "x", ENTRY_PUT);
    put(w, 5, "y", ENTRY_PUT);
    world_place_tables(w, 5, 5, cuts, 2);
    put(w, 6, "ma", ENTRY_PUT_BLOB);
    put(w, 7, "z", ENTRY_PUT);
    world_place_tables(w, 2, 0, NULL, 0);
    world_place_gen(w, 0);
}

static void check_around_damage(struct world *w)
{
    struct view *view = world_view(w);
    struct slice none = {0}, value;
    struct scan *s = scan_new(view, &w->ctx, 8, none, none, SCAN_FILL_CACHE);
    assert_ok(scan_first(s));
    assert_ok(scan_next(s));
    assert_slice_str(scan_key(s), "b");
    assert_errno(scan_next(s), EIO);
    assert_errno(scan_seek(s, slice_str("k")), EIO);
    assert_ok(scan_seek(s, slice_str("w")));
    assert_slice_str(scan_key(s), "x");
    assert_errno(scan_prev(s), EIO);
    assert_ok(scan_last(s));
    assert_slice_str(scan_key(s), "z");
    assert_ok(scan_value(s, &value));
    assert_slice_str(value, "a value");
    assert_errno(scan_seek_for_prev(s, slice_str("n")), EIO);
    assert_ok(scan_seek_for_prev(s, slice_str("aa")));
    assert_slice_str(scan_key(s), "a");
    assert_ok(scan_next(s));
    assert_slice_str(scan_key(s), "b");
    scan_free(s);
    view_unref(view);
}

static void a_damaged_table_stops_only_who_needs_it(void **state)
{
    (void)state;
    struct world w;
    damage_world(&w);
    char *path = name_file(WORLD_DIR, FILE_TABLE, w.version->levels[5].tables[1]->number);
    assert_ok(simdisk_flip(w.disk, path, FILE_HEADER_SIZE + FRAME_HEADER_SIZE + 3, 1));
    logged_reset();
    check_around_damage(&w);
    assert_logged(path);
    free(path);
    world_release(&w);
}

static void a_missing_table_stops_only_who_needs_it(void **state)
{
    (void)state;
    struct world w;
    damage_world(&w);
    char *path = name_file(WORLD_DIR, FILE_TABLE, w.version->levels[5].tables[1]->number);
    assert_ok(w.env->remove(w.env, path));
    logged_reset();
    check_around_damage(&w);
    assert_logged(path);
    free(path);
    world_release(&w);
}

static void a_missing_table_of_level_0_stops_every_move(void **state)
{
    (void)state;
    struct world w;
    struct slice none = {0};
    damage_world(&w);
    char *path = name_file(WORLD_DIR, FILE_TABLE, w.version->levels[0].tables[0]->number);
    assert_ok(w.env->remove(w.env, path));
    logged_reset();
    struct view *view = world_view(&w);
    struct scan *s = scan_new(view, &w.ctx, 8, none, none, 0);
    assert_errno(scan_first(s), EIO);
    assert_errno(scan_last(s), EIO);
    assert_logged(path);
    scan_free(s);
    s = scan_new(view, &w.ctx, 8, none, slice_str("c"), 0); /* its span is not needed here */
    assert_ok(scan_last(s));
    assert_slice_str(scan_key(s), "b");
    scan_free(s);
    view_unref(view);
    free(path);
    world_release(&w);
}

static void a_missing_blob_file_fails_the_value_only(void **state)
{
    (void)state;
    struct world w;
    struct slice none = {0}, value;
    damage_world(&w);
    char *path = name_file(WORLD_DIR, FILE_BLOB, w.version->blobs[0].blob->number);
    assert_ok(w.env->remove(w.env, path));
    logged_reset();
    struct view *view = world_view(&w);
    struct scan *s = scan_new(view, &w.ctx, 8, none, none, 0);
    assert_ok(scan_seek(s, slice_str("m")));
    assert_ok(scan_next(s));
    assert_slice_str(scan_key(s), "ma");
    assert_errno(scan_value(s, &value), EIO);
    assert_int_equal(value.len, 0);
    assert_logged(path);
    assert_ok(scan_next(s));
    assert_ok(scan_prev(s));
    assert_errno(scan_value(s, &value), EIO); /* the same on the way back */
    assert_ok(scan_prev(s));
    assert_ok(scan_value(s, &value));
    assert_slice_str(value, "a value");
    scan_free(s);
    view_unref(view);
    free(path);
    world_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(walks_as_the_model_does),
        cmocka_unit_test(walks_among_many_versions),
        cmocka_unit_test(an_empty_view_has_nothing),
        cmocka_unit_test(a_damaged_table_stops_only_who_needs_it),
        cmocka_unit_test(a_missing_table_stops_only_who_needs_it),
        cmocka_unit_test(a_missing_table_of_level_0_stops_every_move),
        cmocka_unit_test(a_missing_blob_file_fails_the_value_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
