/* arena: pieces are aligned and do not overlap, whatever their sizes and whoever asks for them. */
#include "store/arena.h"

#include <pthread.h>

#include "tests/unit/unit.h"

static uint64_t rand_below(uint64_t *rng, uint64_t n)
{
    *rng = *rng * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (*rng >> 33) % n;
}

static void test_empty(void **state)
{
    (void)state;
    struct arena *a = arena_new();
    assert_true(arena_bytes(a) < 4096);
    arena_free(a);
    arena_free(NULL);
}

static void test_small_is_small(void **state)
{
    (void)state;
    struct arena *a = arena_new();
    memset(arena_alloc(a, 100), 1, 100);
    assert_true(arena_bytes(a) < 16 * 1024);
    arena_free(a);
}

static void test_large(void **state)
{
    (void)state;
    struct arena *a = arena_new();
    uint8_t *small = arena_alloc(a, 8), *large = arena_alloc_line(a, 3 << 20);
    memset(large, 1, 3 << 20);
    memset(small, 2, 8);
    uint8_t *behind = arena_alloc(a, 8);
    assert_true(behind == small + 8); /* the chunk in use stays in use */
    assert_true(arena_bytes(a) > 3 << 20);
    arena_free(a);
}

static void test_bytes(void **state)
{
    (void)state;
    enum { COUNT = 100000, EACH = 200 };
    struct arena *a = arena_new();
    for (int i = 0; i < COUNT; i++)
        arena_alloc(a, EACH);
    assert_in_range(arena_bytes(a), COUNT * EACH, COUNT * EACH * 11 / 10);
    arena_free(a);
}

/* ---- pieces with a pattern ---- */

enum { PIECES = 4000, THREADS = 12 };

struct piece {
    uint8_t *data;
    size_t len;
};

struct filler {
    struct arena *arena;
    uint64_t rng;
    uint8_t pattern;
    pthread_t thread;
    struct piece pieces[PIECES];
};

static void *fill(void *arg)
{
    struct filler *f = arg;
    for (int i = 0; i < PIECES; i++) {
        struct piece *p = &f->pieces[i];
        bool line = rand_below(&f->rng, 4) == 0;
        p->len = 1 + rand_below(&f->rng, rand_below(&f->rng, 100) ? 300 : 40000);
        p->data = line ? arena_alloc_line(f->arena, p->len) : arena_alloc(f->arena, p->len);
        if ((uintptr_t)p->data % (line ? ARENA_LINE : ARENA_ALIGN))
            p->len = 0;
        memset(p->data, f->pattern, p->len);
    }
    return NULL;
}

static bool is_whole(const struct filler *f)
{
    for (int i = 0; i < PIECES; i++) {
        const struct piece *p = &f->pieces[i];
        for (size_t at = 0; at < p->len; at++)
            if (p->data[at] != f->pattern)
                return false;
        if (p->len == 0)
            return false;
    }
    return true;
}

/* More threads than slots, so that some share a chunk. */
static void test_threads(void **state)
{
    (void)state;
    uint64_t seed = unit_seed();
    struct arena *a = arena_new();
    struct filler *fillers = mem_zalloc(THREADS * sizeof *fillers);
    for (unsigned i = 0; i < THREADS; i++) {
        fillers[i].arena = a;
        fillers[i].rng = seed + i;
        fillers[i].pattern = (uint8_t)(i + 1);
        assert_int_equal(pthread_create(&fillers[i].thread, NULL, fill, &fillers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(fillers[i].thread, NULL);
    for (unsigned i = 0; i < THREADS; i++)
        assert_true(is_whole(&fillers[i]));
    free(fillers);
    arena_free(a);
}

static void test_slot(void **state)
{
    (void)state;
    assert_in_range(arena_slot(), 0, ARENA_SLOTS - 1);
    assert_int_equal(arena_slot(), arena_slot());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty), cmocka_unit_test(test_small_is_small),
        cmocka_unit_test(test_large), cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_slot),  cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
