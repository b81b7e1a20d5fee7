/* tombstones: against a list of all of them, at every sequence number. */
#include "store/tombstones.h"

#include <pthread.h>

#include "tests/unit/unit.h"

enum { TOMBSTONES = 400, KEYS = 120, KEY_MAX = 24 };

struct naive {
    unsigned start, end; /* indexes into the keys */
    uint64_t seq;
};

struct world {
    struct arena *arena;
    struct tombstones tombstones;
    uint8_t bytes[KEYS][KEY_MAX];
    struct slice keys[KEYS]; /* ascending; the first is empty */
    struct naive all[TOMBSTONES];
    unsigned count;
    uint64_t next_seq;
};

static uint64_t rng;

static uint64_t rand_below(uint64_t n)
{
    rng = rng * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (rng >> 33) % n;
}

static int slice_order(const void *a, const void *b)
{
    return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

static void make_keys(struct world *w)
{
    bool repeated;
    do {
        for (unsigned i = 1; i < KEYS; i++) {
            size_t len = 1 + rand_below(KEY_MAX);
            memset(w->bytes[i], rand_below(2) ? 3 : 0, KEY_MAX);
            w->bytes[i][len - 1] = (uint8_t)rand_below(256);
            w->bytes[i][rand_below(len)] = (uint8_t)rand_below(256);
            w->keys[i] = slice_of(w->bytes[i], len);
        }
        qsort(w->keys, KEYS, sizeof *w->keys, slice_order);
        repeated = false;
        for (unsigned i = 1; i < KEYS; i++)
            repeated |= slice_eq(w->keys[i - 1], w->keys[i]);
    } while (repeated);
}

static struct world *world_new(void)
{
    struct world *w = mem_zalloc(sizeof *w);
    w->arena = arena_new();
    w->next_seq = 1;
    tombstones_init(&w->tombstones, w->arena);
    make_keys(w);
    return w;
}

static void world_free(struct world *w)
{
    arena_free(w->arena);
    free(w);
}

/* The bytes that are passed do not live on. */
static void add(struct world *w, unsigned start, unsigned end)
{
    assert_true(w->count < TOMBSTONES && start < end && end < KEYS);
    w->next_seq += 1 + rand_below(3);
    w->all[w->count++] = (struct naive){start, end, w->next_seq};
    struct buf s = {0}, e = {0};
    buf_append(&s, w->keys[start]);
    buf_append(&e, w->keys[end]);
    tombstones_add(&w->tombstones, buf_slice(&s), buf_slice(&e), w->next_seq);
    buf_release(&s);
    buf_release(&e);
}

static uint64_t expected(const struct world *w, unsigned key, uint64_t read_seq)
{
    for (unsigned i = w->count; i > 0; i--) {
        const struct naive *n = &w->all[i - 1];
        if (n->seq < read_seq && n->start <= key && key < n->end)
            return n->seq;
    }
    return 0;
}

/* Also that the answer holds for every key from lo to hi. */
static void check(const struct world *w, unsigned key, uint64_t read_seq)
{
    struct rangedel_cover cover;
    tombstones_cover(&w->tombstones, w->keys[key], read_seq, &cover);
    assert_int_equal(cover.seq, expected(w, key, read_seq));
    assert_int_equal(tombstones_seq(&w->tombstones, w->keys[key], read_seq), cover.seq);
    assert_true(slice_cmp(cover.lo, w->keys[key]) <= 0);
    assert_true(cover.hi.len == 0 || slice_cmp(w->keys[key], cover.hi) < 0);
    for (unsigned i = 0; i < KEYS; i++)
        if (slice_cmp(cover.lo, w->keys[i]) <= 0 &&
            (cover.hi.len == 0 || slice_cmp(w->keys[i], cover.hi) < 0))
            assert_int_equal(expected(w, i, read_seq), cover.seq);
}

static void check_all(const struct world *w)
{
    assert_int_equal(tombstones_count(&w->tombstones), w->count);
    for (unsigned key = 0; key < KEYS; key++)
        for (unsigned i = 0; i < 6; i++)
            check(w, key, rand_below(w->next_seq + 3));
    for (unsigned key = 0; key < KEYS; key++) {
        check(w, key, 0);
        check(w, key, w->next_seq);
        check(w, key, UINT64_MAX);
    }
}

static void test_none(void **state)
{
    (void)state;
    rng = 1;
    struct world *w = world_new();
    struct rangedel_cover cover;
    tombstones_cover(&w->tombstones, slice_str("x"), UINT64_MAX, &cover);
    assert_int_equal(cover.seq, 0);
    assert_int_equal(cover.lo.len, 0);
    assert_int_equal(cover.hi.len, 0);
    assert_int_equal(tombstones_count(&w->tombstones), 0);
    world_free(w);
}

static void test_one(void **state)
{
    (void)state;
    rng = unit_seed();
    struct world *w = world_new();
    struct rangedel_cover cover;
    add(w, 10, 20);
    check_all(w);
    tombstones_cover(&w->tombstones, w->keys[9], UINT64_MAX, &cover);
    assert_int_equal(cover.lo.len, 0);
    assert_int_equal(slice_cmp(cover.hi, w->keys[10]), 0);
    tombstones_cover(&w->tombstones, w->keys[10], UINT64_MAX, &cover);
    assert_int_equal(cover.seq, w->next_seq);
    assert_int_equal(slice_cmp(cover.lo, w->keys[10]), 0);
    assert_int_equal(slice_cmp(cover.hi, w->keys[20]), 0);
    tombstones_cover(&w->tombstones, w->keys[20], UINT64_MAX, &cover);
    assert_int_equal(slice_cmp(cover.lo, w->keys[20]), 0);
    assert_int_equal(cover.hi.len, 0);
    world_free(w);
}

/* Shapes: anything, nested, disjoint in order, all the same, everything from the empty key on. */
static void add_shaped(struct world *w, unsigned shape, unsigned i)
{
    unsigned a = (unsigned)rand_below(KEYS - 1), b = (unsigned)rand_below(KEYS - 1);
    if (shape == 0)
        add(w, a < b ? a : b, (a < b ? b : a) + 1);
    else if (shape == 1)
        add(w, KEYS - 2 - i % (KEYS - 2), KEYS - 1);
    else if (shape == 2)
        add(w, i % (KEYS - 1), i % (KEYS - 1) + 1);
    else if (shape == 3)
        add(w, 40, 50);
    else
        add(w, 0, a + 1);
}
enum { SHAPES = 5 };

static void test_random(void **state)
{
    (void)state;
    rng = unit_seed();
    for (int round = 0; round < 12; round++) {
        struct world *w = world_new();
        unsigned shape = (unsigned)rand_below(SHAPES + 1);
        for (unsigned i = 0; i < TOMBSTONES; i++) {
            add_shaped(w, shape == SHAPES ? (unsigned)rand_below(SHAPES) : shape, i);
            check(w, (unsigned)rand_below(KEYS), rand_below(w->next_seq + 2));
            if (i % 200 == 199 || i < 3)
                check_all(w);
        }
        world_free(w);
    }
}

static void test_collect(void **state)
{
    (void)state;
    rng = unit_seed();
    struct world *w = world_new();
    for (unsigned i = 0; i < TOMBSTONES; i++)
        add_shaped(w, (unsigned)rand_below(SHAPES), i);
    struct rangedel_builder *b = rangedel_builder_new();
    tombstones_collect(&w->tombstones, b);
    struct rangedel *r = rangedel_build(b);
    for (unsigned key = 0; key < KEYS; key++) {
        for (uint64_t read_seq = 0; read_seq < w->next_seq + 3; read_seq += 1 + rand_below(9)) {
            struct rangedel_cover cover;
            rangedel_cover(r, w->keys[key], read_seq, &cover);
            assert_int_equal(cover.seq, tombstones_seq(&w->tombstones, w->keys[key], read_seq));
        }
    }
    rangedel_unref(r);
    rangedel_builder_free(b);
    world_free(w);
}

/* A tombstone over very many others takes little, and so do many over one interval. */
static void test_cost(void **state)
{
    (void)state;
    enum { COUNT = 50000 };
    rng = 1;
    struct world *w = world_new();
    uint8_t a[8], b[8];
    uint64_t seq = 1;
    for (uint64_t i = 0; i < COUNT; i++) {
        put_be64(a, i);
        put_be64(b, i + 1);
        tombstones_add(&w->tombstones, slice_of(a, 8), slice_of(b, 8), ++seq);
    }
    size_t bytes = arena_bytes(w->arena);
    assert_true(bytes < COUNT * 300);
    put_be64(a, 1);
    for (uint64_t i = 0; i < COUNT; i++) {
        put_be64(b, COUNT - i % 100);
        tombstones_add(&w->tombstones, slice_of(a, 8), slice_of(b, 8), ++seq);
    }
    assert_true(arena_bytes(w->arena) - bytes < COUNT * 2000);
    put_be64(a, COUNT / 2);
    for (uint64_t read_seq = COUNT + 3; read_seq <= seq + 1; read_seq += 7)
        assert_int_equal(tombstones_seq(&w->tombstones, slice_of(a, 8), read_seq), read_seq - 1);
    world_free(w);
}

/* ---- a thread that adds, and threads that ask ---- */

enum { PAIRS = 40000, READERS = 2 };

/* Tombstone number i covers [4n, 4n + 1) for the n that it is dealt; [4n + 1, 4n + 4) stays bare.
 */
struct pairs {
    struct arena *arena;
    struct tombstones tombstones;
    uint32_t n[PAIRS];
    _Atomic uint64_t published; /* all numbers below are there */
    atomic_uint wrong;
};

static void *add_pairs(void *arg)
{
    struct pairs *p = arg;
    for (uint64_t i = 0; i < PAIRS; i++) {
        uint8_t a[8], b[8];
        put_be64(a, UINT64_C(4) * p->n[i]);
        put_be64(b, UINT64_C(4) * p->n[i] + 1);
        tombstones_add(&p->tombstones, slice_of(a, 8), slice_of(b, 8), i + 1);
        atomic_store_explicit(&p->published, i + 2, memory_order_release);
    }
    return NULL;
}

static unsigned ask(const struct pairs *p, uint64_t key, uint64_t read_seq, uint64_t expected_seq)
{
    uint8_t bytes[8];
    struct rangedel_cover c;
    put_be64(bytes, key);
    struct slice k = slice_of(bytes, 8);
    tombstones_cover(&p->tombstones, k, read_seq, &c);
    return c.seq != expected_seq || slice_cmp(c.lo, k) > 0 ||
           (c.hi.len > 0 && slice_cmp(k, c.hi) >= 0);
}

static void *ask_pairs(void *arg)
{
    struct pairs *p = arg;
    uint64_t seed = (uintptr_t)&seed, read_seq;
    unsigned wrong = 0;
    do {
        read_seq = atomic_load_explicit(&p->published, memory_order_acquire);
        for (int round = 0; round < 500; round++) {
            seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            uint64_t i = (seed >> 33) % PAIRS;
            /* By turns: a tombstone, if it is there for this read; what never has one. */
            if (round % 2)
                wrong += ask(p, UINT64_C(4) * p->n[i], read_seq, i + 1 < read_seq ? i + 1 : 0);
            else
                wrong += ask(p, UINT64_C(4) * p->n[i] + 2, read_seq, 0);
        }
    } while (read_seq <= PAIRS);
    atomic_fetch_add(&p->wrong, wrong);
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    rng = unit_seed();
    for (int round = 0; round < 4; round++) {
        struct pairs *p = mem_zalloc(sizeof *p);
        pthread_t threads[1 + READERS];
        p->arena = arena_new();
        tombstones_init(&p->tombstones, p->arena);
        atomic_init(&p->published, 1);
        for (uint32_t i = 0; i < PAIRS; i++) {
            uint32_t other =
                round % 2 ? i : (uint32_t)rand_below(i + 1); /* in order, or shuffled */
            p->n[i] = p->n[other];
            p->n[other] = i;
        }
        for (int i = 0; i < 1 + READERS; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, i ? ask_pairs : add_pairs, p), 0);
        for (int i = 0; i < 1 + READERS; i++)
            pthread_join(threads[i], NULL);
        assert_int_equal(atomic_load(&p->wrong), 0);
        arena_free(p->arena);
        free(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_none),    cmocka_unit_test(test_one),  cmocka_unit_test(test_random),
        cmocka_unit_test(test_collect), cmocka_unit_test(test_cost), cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
