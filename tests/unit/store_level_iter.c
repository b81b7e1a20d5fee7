#include <errno.h>

#include "store/scan.h"
#include "tests/unit/logged.h"
#include "tests/unit/view_maker.h"

enum { LEVEL = 3 };

static const struct history_mix mix = {
    .of = {[ENTRY_DELETE] = 1, [ENTRY_PUT] = 4, [ENTRY_MERGE] = 1, [ENTRY_RANGE_DELETE] = 1},
    .keys = 30,
    .value_max = 30,
};

/* The level's entries in internal order: what the cursor must give, and where it stands. */
struct walk {
    struct entry *list;
    size_t count, at;
    struct iter *it;
};

static size_t position(const struct walk *w, struct slice key, uint64_t seq)
{
    size_t i = 0;
    while (i < w->count && entry_cmp(w->list[i].key, w->list[i].seq, key, seq) < 0)
        i++;
    return i;
}

static int seek(struct walk *w, struct simrng *rng)
{
    uint8_t room[HISTORY_KEY_MAX];
    struct slice key = history_key(simrng_below(rng, mix.keys + 2), room);
    uint64_t seq = simrng_below(rng, 120);
    if (w->at < w->count && simrng_coin(rng)) { /* its own key */
        key = w->it->e.key;
        seq = w->it->e.seq - (seq & 1);
    }
    switch (simrng_below(rng, 6)) {
    case 0:
        w->at = 0;
        return iter_first(w->it);
    case 1:
        w->at = w->count - 1;
        return iter_last(w->it);
    case 2:
        w->at = position(w, key, SEQ_MAX) - 1;
        return iter_seek_before(w->it, key);
    default:
        w->at = position(w, key, seq);
        return iter_seek(w->it, key, seq);
    }
}

static void step(struct walk *w, struct simrng *rng)
{
    int status;
    if (w->at >= w->count || simrng_below(rng, 8) == 0) {
        status = seek(w, rng);
    } else if (simrng_coin(rng)) {
        w->at++;
        status = iter_next(w->it);
    } else {
        w->at--;
        status = iter_prev(w->it);
    }
    assert_int_equal(status, w->at < w->count ? 0 : 1);
    assert_int_equal(w->it->valid, status == 0);
    if (status != 0)
        return;
    const struct entry *want = &w->list[w->at], *e = &w->it->e;
    assert_slice(e->key, want->key.data, want->key.len);
    assert_slice(e->value, want->value.data, want->value.len);
    assert_true(e->seq == want->seq && e->type == want->type);
}

static void moves_as_one_sorted_list(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    for (int round = 0; round < 60; round++) {
        struct world w;
        world_init(&w, 1 << 16);
        size_t count = simrng_below(&rng, 100);
        history_random(&w.h, &rng, &mix, count);
        struct walk walk = {.list = mem_alloc(count * sizeof *walk.list), .at = SIZE_MAX};
        for (size_t i = 0; i < count; i++)
            if (w.h.ops[i].type != ENTRY_RANGE_DELETE)
                walk.list[walk.count++] = w.h.ops[i];
        qsort(walk.list, walk.count, sizeof *walk.list, world_compare);
        if (count > 0)
            world_place_level(&w, &rng, mix.keys, count, LEVEL);
        walk.it = level_iter_new(w.version, LEVEL, TABLE_ITER_FILL_CACHE);
        for (int i = 0; i < 300; i++)
            step(&walk, &rng);
        iter_free(walk.it);
        free(walk.list);
        world_release(&w);
    }
}

/* It may be freed after the version's other holders are gone, and after an error it can be sought.
 */
static void outlives_its_version_and_its_errors(void **state)
{
    (void)state;
    struct world w;
    const struct slice cut = slice_str("m");
    world_init(&w, 1 << 20);
    history_add(&w.h, slice_str("a"), 1, ENTRY_PUT, slice_str("1"));
    history_add(&w.h, slice_str("z"), 2, ENTRY_PUT, slice_str("2"));
    world_place_tables(&w, 2, LEVEL, &cut, 1);
    struct iter *it = level_iter_new(w.version, LEVEL, 0);
    char *path = name_file(WORLD_DIR, FILE_TABLE, w.version->levels[LEVEL].tables[1]->number);
    version_unref(w.version);
    w.version = version_new(&w.source);
    assert_ok(w.env->remove(w.env, path));
    logged_reset();
    assert_ok(iter_first(it));
    assert_errno(iter_next(it), EIO);
    assert_false(it->valid);
    assert_logged(path);
    assert_errno(iter_last(it), EIO);
    assert_ok(iter_seek(it, slice_str("a"), 5));
    assert_slice_str(it->e.value, "1");
    assert_absent(iter_prev(it));
    iter_free(it);
    free(path);
    world_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moves_as_one_sorted_list),
        cmocka_unit_test(outlives_its_version_and_its_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
