#include <pthread.h>

#include "store/scan.h"
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

/* One walk. `newest`: the number given out last, to make the memtable grow; NULL: it does not. */
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
        if (newest && simrng_below(rng, 40) == 0)
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
    for (int i = 0; i < 60; i++)
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
    for (int i = 0; i < 60; i++)
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

/* ---- beside writers ---- */

struct writer {
    struct world *w;
    struct simrng rng;
    size_t keys;
    uint64_t newest;
    bool done; /* atomic */
};

static void *write_on(void *arg)
{
    struct writer *writer = arg;
    for (int i = 0; i < 20000 && !__atomic_load_n(&writer->done, __ATOMIC_ACQUIRE); i++)
        grow(writer->w, &writer->rng, writer->keys, &writer->newest);
    return NULL;
}

static void others_may_write_meanwhile(void **state)
{
    (void)state;
    const struct history_mix mix = {
        .of = {[ENTRY_DELETE] = 3, [ENTRY_PUT] = 10, [ENTRY_MERGE] = 4, [ENTRY_RANGE_DELETE] = 2},
        .keys = 60,
        .value_max = 20};
    struct simrng rng = {unit_seed()};
    struct world w;
    pthread_t thread;
    world_init(&w, 1 << 20);
    history_random(&w.h, &rng, &mix, 300);
    world_place_random(&w, &rng, mix.keys);
    struct writer writer = {&w, {simrng_next(&rng)}, mix.keys, w.h.count + 1, false};
    struct view *view = world_view(&w);
    assert_ok(pthread_create(&thread, NULL, write_on, &writer));
    for (int i = 0; i < 60; i++)
        walk_at(&w, view, &rng, mix.keys, NULL);
    __atomic_store_n(&writer.done, true, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    view_unref(view);
    world_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(walks_as_the_model_does),
        cmocka_unit_test(walks_among_many_versions),
        cmocka_unit_test(others_may_write_meanwhile),
        cmocka_unit_test(an_empty_view_has_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
