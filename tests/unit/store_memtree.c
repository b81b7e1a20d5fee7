/* memtree: against a sorted array, in every order of insertion that is special to a B+-tree;
 * positions that are held across insertions; marks against counters; and threads. */
#include "store/memtree.h"

#include <pthread.h>

#include "tests/unit/unit.h"

enum { KEY_MAX = 40 };

struct item {
    uint8_t key[KEY_MAX];
    size_t len;
    uint64_t seq;
};

static uint64_t rng;

static uint64_t rand_below(uint64_t n)
{
    rng = rng * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (rng >> 33) % n;
}

static struct slice item_key(const struct item *it)
{
    return slice_of(it->key, it->len);
}

static int item_cmp(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    return entry_cmp(item_key(x), x->seq, item_key(y), y->seq);
}

static void item_insert(struct memtree *t, const struct item *it)
{
    uint8_t value[16];
    put_be64(value, it->seq);
    struct entry e = {.key = item_key(it), .seq = it->seq, .type = ENTRY_PUT};
    e.value = slice_of(value, it->seq % 9);
    memtree_insert(t, &e);
}

static bool stands_on(const struct memtree_pos *pos, const struct item *it)
{
    uint8_t value[16];
    struct entry e;
    put_be64(value, it->seq);
    memrec_entry(pos->rec, &e);
    return slice_eq(e.key, item_key(it)) && e.seq == it->seq && e.type == ENTRY_PUT &&
           slice_eq(e.value, slice_of(value, it->seq % 9));
}

/* ---- kinds of keys ---- */

typedef void make_fn(struct item *it, uint64_t i, uint64_t count);

static void make_u64(struct item *it, uint64_t n)
{
    put_be64(it->key, n);
    it->len = 8;
}
static void make_ascending(struct item *it, uint64_t i, uint64_t count)
{
    (void)count;
    make_u64(it, i);
}
static void make_descending(struct item *it, uint64_t i, uint64_t count)
{
    make_u64(it, count - i);
}
/* From both ends towards the middle. */
static void make_inwards(struct item *it, uint64_t i, uint64_t count)
{
    make_u64(it, i % 2 ? i : 2 * count - i);
}
static void make_random(struct item *it, uint64_t i, uint64_t count)
{
    (void)i, (void)count;
    make_u64(it, rand_below(UINT32_MAX) << 32 | rand_below(UINT32_MAX));
}
/* Ascending runs in random places. */
static void make_runs(struct item *it, uint64_t i, uint64_t count)
{
    static uint64_t base;
    (void)count;
    if (i % 100 == 0)
        base = rand_below(1 << 20) << 16;
    make_u64(it, base + i % 100);
}
/* Few keys with many versions. */
static void make_versions(struct item *it, uint64_t i, uint64_t count)
{
    (void)i, (void)count;
    make_u64(it, rand_below(10));
}
/* All alike up to far into the key. */
static void make_prefixed(struct item *it, uint64_t i, uint64_t count)
{
    (void)i, (void)count;
    memset(it->key, 7, 30);
    it->len = 22 + rand_below(4);
    for (size_t at = 20; at < it->len; at++)
        it->key[at] = (uint8_t)rand_below(5);
}
/* Any length, with many zeros. */
static void make_zeros(struct item *it, uint64_t i, uint64_t count)
{
    (void)i, (void)count;
    it->len = rand_below(KEY_MAX + 1);
    for (size_t at = 0; at < it->len; at++)
        it->key[at] = rand_below(8) ? 0 : (uint8_t)rand_below(3);
}
/* As a file system's: few inodes, kinds, chunk numbers. */
static void make_inodes(struct item *it, uint64_t i, uint64_t count)
{
    (void)i, (void)count;
    put_be64(it->key, 1000 + rand_below(20));
    it->key[8] = (uint8_t)rand_below(4);
    put_be64(it->key + 9, rand_below(it->key[8] == 2 ? UINT32_MAX : 50));
    it->len = it->key[8] ? 17 : 9;
}

static make_fn *const makers[] = {make_ascending, make_descending, make_inwards,
                                  make_random,    make_runs,       make_versions,
                                  make_prefixed,  make_zeros,      make_inodes};
enum { MAKERS = sizeof makers / sizeof *makers };

/* The first item at or after (key, seq). */
static size_t lower_bound(const struct item *items, size_t count, const struct item *at)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (item_cmp(&items[middle], at) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void check_walks(const struct memtree *t, const struct item *sorted, size_t count)
{
    struct memtree_pos pos;
    size_t at = 0;
    for (bool on = memtree_first(t, &pos); on; on = memtree_next(t, &pos)) {
        assert_true(at < count);
        assert_true(stands_on(&pos, &sorted[at]));
        at++;
    }
    assert_int_equal(at, count);
    for (bool on = memtree_last(t, &pos); on; on = memtree_prev(t, &pos))
        assert_true(at > 0 && stands_on(&pos, &sorted[--at]));
    assert_int_equal(at, 0);
}

static void check_find(const struct memtree *t, const struct item *sorted, size_t count,
                       const struct item *target, size_t at)
{
    struct memtree_pos pos;
    bool expected = at < count && slice_eq(item_key(&sorted[at]), item_key(target));
    assert_int_equal(memtree_find(t, item_key(target), target->seq, &pos), expected);
    if (expected)
        assert_true(stands_on(&pos, &sorted[at]));
}

static void check_seek(const struct memtree *t, const struct item *sorted, size_t count,
                       const struct item *target)
{
    struct memtree_pos pos;
    size_t at = lower_bound(sorted, count, target);
    assert_int_equal(memtree_seek(t, item_key(target), target->seq, &pos), at < count);
    check_find(t, sorted, count, target, at);
    if (at == count)
        return;
    assert_true(stands_on(&pos, &sorted[at]));
    struct memtree_pos other = pos;
    assert_int_equal(memtree_next(t, &other), at + 1 < count);
    if (at + 1 < count)
        assert_true(stands_on(&other, &sorted[at + 1]));
    assert_int_equal(memtree_prev(t, &pos), at > 0);
    if (at > 0)
        assert_true(stands_on(&pos, &sorted[at - 1]));
}

static void check_all(const struct memtree *t, struct item *items, size_t count, make_fn *make)
{
    qsort(items, count, sizeof *items, item_cmp);
    memtree_assert_valid(t);
    check_walks(t, items, count);
    for (int i = 0; i < 500; i++) {
        struct item target = {.seq = rand_below(count + 2)};
        if (rand_below(2) && count)
            target = items[rand_below(count)];
        else
            make(&target, rand_below(count + 2), count);
        check_seek(t, items, count, &target);
        target.seq += rand_below(3);
        check_seek(t, items, count, &target);
    }
}

static void test_against_array(void **state)
{
    (void)state;
    static const size_t counts[] = {0, 1, 31, 32, 33, 64, 100, 1000, 20000};
    rng = unit_seed();
    for (size_t m = 0; m < MAKERS; m++) {
        for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
            struct arena *arena = arena_new();
            struct memtree t;
            struct item *items = mem_zalloc((counts[c] + 1) * sizeof *items);
            memtree_init(&t, arena, false);
            for (size_t i = 0; i < counts[c]; i++) {
                makers[m](&items[i], i, counts[c]);
                items[i].seq = i + 1;
                item_insert(&t, &items[i]);
            }
            check_all(&t, items, counts[c], makers[m]);
            free(items);
            arena_free(arena);
        }
    }
}

/* What is inserted in order leaves full leaves behind: few bytes of tree for an entry. */
static void test_full_leaves(void **state)
{
    (void)state;
    enum { COUNT = 50000, RECORD_MEAN = 16 + 8 + 7, TREE_MAX = 30 };
    make_fn *const ordered[] = {make_ascending, make_descending};
    rng = unit_seed();
    for (size_t m = 0; m < sizeof ordered / sizeof *ordered; m++) {
        struct arena *arena = arena_new();
        struct memtree t;
        memtree_init(&t, arena, false);
        for (size_t i = 0; i < COUNT; i++) {
            struct item it = {.seq = i + 1};
            ordered[m](&it, i, COUNT);
            item_insert(&t, &it);
        }
        assert_true(arena_bytes(arena) < COUNT * (RECORD_MEAN + TREE_MAX));
        arena_free(arena);
    }
}

/* Positions stay good while leaves fill and split under them. */
static void test_held_positions(void **state)
{
    (void)state;
    enum { COUNT = 3000, HELD = 20 };
    rng = unit_seed();
    for (size_t m = 0; m < MAKERS; m++) {
        struct arena *arena = arena_new();
        struct memtree t;
        struct item *items = mem_zalloc(COUNT * sizeof *items);
        struct memtree_pos held[HELD];
        struct item on[HELD];
        memtree_init(&t, arena, false);
        for (size_t i = 0; i < COUNT; i++) {
            struct item fresh = {.seq = i + 1};
            makers[m](&fresh, i, COUNT);
            item_insert(&t, &fresh);
            size_t at = lower_bound(items, i, &fresh);
            memmove(&items[at + 1], &items[at], (i - at) * sizeof *items);
            items[at] = fresh;

            size_t h = rand_below(HELD);
            if (i < HELD || rand_below(10) == 0) {
                h = i < HELD ? i : h;
                on[h] = items[rand_below(i + 1)];
                assert_true(memtree_seek(&t, item_key(&on[h]), on[h].seq, &held[h]));
                continue;
            }
            bool forward = rand_below(2);
            size_t from = lower_bound(items, i + 1, &on[h]);
            bool there = forward ? from < i : from > 0;
            struct memtree_pos pos = held[h];
            assert_int_equal(forward ? memtree_next(&t, &pos) : memtree_prev(&t, &pos), there);
            if (there)
                assert_true(stands_on(&pos, &items[forward ? from + 1 : from - 1]));
        }
        free(items);
        arena_free(arena);
    }
}

/* ---- marks: here numbers, so that their sum over a key says how often it was marked ---- */

static void *mark_more(void *ctx, void *mark)
{
    unsigned *places = ctx;
    (*places)++;
    return (void *)((uintptr_t)mark + 1);
}

enum { DOMAIN = 1500 };

struct model {
    bool is_key[DOMAIN + 1];
    unsigned marked[DOMAIN + 1];
};

static struct slice domain_key(uint8_t *bytes, uint64_t n)
{
    put_be64(bytes, n * 1000);
    return slice_of(bytes, 8);
}

static void ensure_key(struct memtree *t, struct model *model, uint64_t n)
{
    struct item it = {.seq = 1};
    if (model->is_key[n])
        return;
    model->is_key[n] = true;
    make_u64(&it, n * 1000);
    item_insert(t, &it);
}

static void check_marks(const struct memtree *t, const struct model *model, uint64_t n)
{
    uint8_t bytes[8];
    void *marks[MEMTREE_LEVELS_MAX];
    struct slice lo, hi;
    uintptr_t sum = 0;
    unsigned count = memtree_marks(t, domain_key(bytes, n), marks, &lo, &hi);
    for (unsigned i = 0; i < count; i++) {
        assert_non_null(marks[i]);
        sum += (uintptr_t)marks[i];
    }
    assert_int_equal(sum, model->marked[n]);

    uint64_t low = n, high = n + 1;
    while (low > 0 && !model->is_key[low])
        low--;
    while (high <= DOMAIN && !model->is_key[high])
        high++;
    assert_slice(lo, domain_key(bytes, low).data, model->is_key[low] ? 8 : 0);
    assert_slice(hi, domain_key(bytes, high).data, high <= DOMAIN ? 8 : 0);
}

static void mark_randomly(struct memtree *t, struct model *model, unsigned *places)
{
    uint8_t a[8], b[8];
    uint64_t width = 1 + rand_below(rand_below(4) ? 10 : DOMAIN);
    uint64_t start = rand_below(DOMAIN), end = start + width;
    end = end > DOMAIN || rand_below(20) == 0 ? DOMAIN : end;
    ensure_key(t, model, end);
    ensure_key(t, model, start);
    memtree_mark(t, domain_key(a, start), domain_key(b, end), mark_more, places);
    for (uint64_t n = start; n < end; n++)
        model->marked[n]++;
}

static void test_marks(void **state)
{
    (void)state;
    rng = unit_seed();
    for (int round = 0; round < 5; round++) {
        struct arena *arena = arena_new();
        struct model *model = mem_zalloc(sizeof *model);
        struct memtree t;
        memtree_init(&t, arena, true);
        for (int i = 0; i < 1500; i++) {
            unsigned places = 0;
            mark_randomly(&t, model, &places);
            assert_in_range(places, 1, 3 * 2 * 33);
            for (int look = 0; look < 20; look++)
                check_marks(&t, model, rand_below(DOMAIN));
        }
        memtree_assert_valid(&t);
        for (uint64_t n = 0; n < DOMAIN; n++)
            check_marks(&t, model, n);
        free(model);
        arena_free(arena);
    }
}

/* ---- threads ---- */

enum { WRITERS = 4, EACH = 8000 };

struct writer {
    struct memtree *tree;
    struct item *items;
    pthread_t thread;
};

static void *write_all(void *arg)
{
    struct writer *w = arg;
    for (size_t i = 0; i < EACH; i++)
        item_insert(w->tree, &w->items[i]);
    return NULL;
}

struct walker {
    const struct memtree *tree;
    atomic_bool stop;
    uint64_t disorder;
    pthread_t thread;
};

static bool precedes(const struct memtree_pos *a, const struct memtree_pos *b)
{
    struct entry x, y;
    memrec_entry(a->rec, &x);
    memrec_entry(b->rec, &y);
    return entry_cmp(x.key, x.seq, y.key, y.seq) < 0;
}

/* Whatever the writers do, a walk is in order. */
static void *walk(void *arg)
{
    struct walker *w = arg;
    struct memtree_pos pos, before;
    while (!atomic_load(&w->stop)) {
        for (bool on = memtree_first(w->tree, &pos); on;) {
            before = pos;
            on = memtree_next(w->tree, &pos);
            w->disorder += on && !precedes(&before, &pos);
        }
        for (bool on = memtree_last(w->tree, &pos); on;) {
            before = pos;
            on = memtree_prev(w->tree, &pos);
            w->disorder += on && !precedes(&pos, &before);
        }
    }
    return NULL;
}

static void run_threads(make_fn *make)
{
    struct arena *arena = arena_new();
    struct memtree t;
    struct item *items = mem_zalloc(WRITERS * EACH * sizeof *items);
    struct writer writers[WRITERS];
    struct walker walker = {.tree = &t};
    memtree_init(&t, arena, false);
    /* Dealt out in turn: the writers are at the same place at the same time. */
    for (size_t i = 0; i < WRITERS * EACH; i++) {
        struct item *it = &items[i % WRITERS * EACH + i / WRITERS];
        make(it, i, WRITERS * EACH);
        it->seq = i + 1;
    }
    assert_int_equal(pthread_create(&walker.thread, NULL, walk, &walker), 0);
    for (size_t i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.tree = &t, .items = items + i * EACH};
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_all, &writers[i]), 0);
    }
    for (size_t i = 0; i < WRITERS; i++)
        pthread_join(writers[i].thread, NULL);
    atomic_store(&walker.stop, true);
    pthread_join(walker.thread, NULL);
    assert_int_equal(walker.disorder, 0);
    check_all(&t, items, WRITERS * EACH, make);
    free(items);
    arena_free(arena);
}

static void test_threads(void **state)
{
    (void)state;
    rng = unit_seed();
    for (size_t m = 0; m < MAKERS; m++)
        run_threads(makers[m]);
}

/* ---- skips ---- */

/* Where a skip from item `i` ends. */
static size_t skip_in_array(const struct item *items, size_t count, size_t i, uint64_t seq,
                            struct slice end)
{
    while (i < count && items[i].seq < seq && (!end.len || slice_cmp(item_key(&items[i]), end) < 0))
        i++;
    return i;
}

static void test_skips(void **state)
{
    enum { COUNT = 20000, TRIES = 3000 };
    struct item *items = mem_alloc(COUNT * sizeof *items);
    (void)state;
    rng = unit_seed();
    for (unsigned spread = 1; spread <= COUNT; spread *= 100) { /* how mixed old and new are */
        struct arena *arena = arena_new();
        struct memtree t;
        memtree_init(&t, arena, false);
        for (uint64_t i = 0; i < COUNT; i++) {
            make_u64(&items[i], (i + rand_below(spread)) / 3);
            items[i].seq = i + 1;
            item_insert(&t, &items[i]);
        }
        memtree_assert_valid(&t);
        qsort(items, COUNT, sizeof *items, item_cmp);
        for (int i = 0; i < TRIES; i++) {
            struct item end;
            struct memtree_pos pos;
            uint64_t stepped = 0, seq = 1 + rand_below(COUNT + 2);
            size_t at = rand_below(COUNT);
            make_u64(&end, rand_below(COUNT / 3 + 2));
            struct slice until = rand_below(3) ? item_key(&end) : slice_of(NULL, 0);
            assert_true(memtree_seek(&t, item_key(&items[at]), items[at].seq, &pos));
            size_t to = skip_in_array(items, COUNT, at, seq, until);
            assert_int_equal(memtree_skip(&t, seq, until, &pos, &stepped), to < COUNT);
            assert_true(to == COUNT || stands_on(&pos, &items[to]));
            assert_true(stepped <= to - at);
        }
        arena_free(arena);
    }
    free(items);
}

/* A long stretch of old entries with some new ones in it is crossed by looking at few. */
static void test_skips_are_short(void **state)
{
    enum { COUNT = 300000, NEW = 5, STEPS_FEW = 80 };
    struct arena *arena = arena_new();
    struct memtree t;
    struct memtree_pos pos;
    struct item it;
    uint64_t stepped = 0;
    (void)state;
    memtree_init(&t, arena, false);
    for (uint64_t i = 0; i < COUNT; i++) {
        make_u64(&it, i * 7919 % COUNT * 2);
        it.seq = i + 1;
        item_insert(&t, &it);
    }
    for (uint64_t i = 0; i < NEW; i++) { /* well after, as the inner nodes know numbers by steps */
        make_u64(&it, i * (COUNT / NEW) * 2 + 1);
        it.seq = COUNT + 10000 + i;
        item_insert(&t, &it);
    }
    assert_true(memtree_first(&t, &pos));
    for (uint64_t i = 0; i < NEW; i++) {
        stepped = 0;
        assert_true(memtree_skip(&t, COUNT + 9000, slice_of(NULL, 0), &pos, &stepped));
        make_u64(&it, i * (COUNT / NEW) * 2 + 1);
        it.seq = COUNT + 10000 + i;
        assert_true(stands_on(&pos, &it));
        assert_in_range(stepped, 0, STEPS_FEW);
        memtree_next(&t, &pos);
    }
    assert_false(memtree_skip(&t, COUNT + 9000, slice_of(NULL, 0), &pos, &stepped));
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_array),   cmocka_unit_test(test_full_leaves),
        cmocka_unit_test(test_held_positions),  cmocka_unit_test(test_marks),
        cmocka_unit_test(test_threads),         cmocka_unit_test(test_skips),
        cmocka_unit_test(test_skips_are_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
