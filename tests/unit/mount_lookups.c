/* The count of what the kernel knows, against an array; and from several threads. */
#include "mount/lookups.h"

#include <pthread.h>

#include "fs/fs.h"
#include "tests/unit/unit.h"

static uint64_t next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed >> 33;
}

static void counts(void **state)
{
    struct lookups *t = lookups_new(NULL, NULL);
    (void)state;
    lookups_add(t, 100);
    lookups_add(t, 100);
    lookups_add(t, 101);
    assert_int_equal(lookups_count(t), 2);
    assert_false(lookups_forget(t, 100, 1));
    assert_true(lookups_forget(t, 100, 1));
    assert_false(lookups_forget(t, 100, 1)); /* unknown by now */
    assert_true(lookups_forget(t, 101, 5));  /* more than there are */
    assert_int_equal(lookups_count(t), 0);
    lookups_free(t);
    lookups_free(NULL);
}

/* What cannot be forgotten takes no memory. */
static void fixed_ones(void **state)
{
    static const uint64_t fixed[] = {FS_INO_ROOT,
                                     FS_INO_CONTROL,
                                     FS_INO_SNAPSHOTS,
                                     4,
                                     15,
                                     UINT64_C(1) << FS_INO_BITS | 1,
                                     UINT64_C(7) << FS_INO_BITS | 1000};
    struct lookups *t = lookups_new(NULL, NULL);
    (void)state;
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) {
        lookups_add(t, fixed[i]);
        lookups_open(t, fixed[i]);
        assert_false(lookups_has_writer(t, fixed[i]));
        lookups_close(t, fixed[i]);
        assert_false(lookups_forget(t, fixed[i], 1));
    }
    assert_int_equal(lookups_count(t), 0);
    lookups_free(t);
}

static void writers(void **state)
{
    struct lookups *t = lookups_new(NULL, NULL);
    (void)state;
    lookups_open(t, 50); /* unknown: nothing happens */
    assert_false(lookups_has_writer(t, 50));
    lookups_add(t, 50);
    assert_false(lookups_has_writer(t, 50));
    lookups_close(t, 50); /* one too many: it stays at none */
    assert_false(lookups_has_writer(t, 50));
    lookups_open(t, 50);
    lookups_open(t, 50);
    lookups_close(t, 50);
    assert_true(lookups_has_writer(t, 50));
    lookups_add(t, 50);
    assert_false(lookups_forget(t, 50, 1));
    assert_true(lookups_has_writer(t, 50));
    lookups_close(t, 50);
    assert_false(lookups_has_writer(t, 50));
    assert_true(lookups_forget(t, 50, 1));
    lookups_free(t);
}

/* Numbers as the file system gives them out, and ones that collide; few of them are asked for so
 * often that their counts do not fit beside their neighbours'. */
enum { INODES = 3000, HOT = 40, ROUNDS = 300000 };

static uint64_t number(uint64_t i)
{
    return i % 2 ? FS_INO_FIRST + 1 + i / 2 : (i << 32) + FS_INO_FIRST;
}

static void against_array(void **state)
{
    static uint64_t model[INODES], open[INODES];
    uint64_t seed = unit_seed(), most = 0;
    struct lookups *t = lookups_new(NULL, NULL);
    size_t known = 0;
    (void)state;
    memset(model, 0, sizeof model);
    memset(open, 0, sizeof open);
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t i = next_random(&seed) % (next_random(&seed) % 4 ? INODES : HOT);
        uint64_t what = next_random(&seed) % 100;
        /* In phases it grows and shrinks. */
        if (what < (round / 50000 % 2 ? 30u : 60u)) {
            lookups_add(t, number(i));
            known += model[i]++ == 0;
        } else if (what < 70) {
            uint64_t count = next_random(&seed) % 3 + 1;
            bool last = model[i] > 0 && model[i] <= count;
            assert_int_equal(lookups_forget(t, number(i), count), last);
            model[i] = model[i] > count ? model[i] - count : 0;
            open[i] = model[i] ? open[i] : 0;
            known -= last;
        } else if (what < 85) {
            lookups_open(t, number(i));
            open[i] += model[i] > 0;
        } else {
            lookups_close(t, number(i));
            open[i] -= open[i] > 0;
        }
        assert_int_equal(lookups_has_writer(t, number(i)), open[i] > 0);
        most = model[i] > most ? model[i] : most;
        if (round % 1000 == 0)
            assert_int_equal(lookups_count(t), known);
    }
    assert_true(most > 100);
    for (uint64_t i = 0; i < INODES; i++)
        assert_int_equal(lookups_forget(t, number(i), UINT64_MAX), model[i] > 0);
    assert_int_equal(lookups_count(t), 0);
    lookups_free(t);
}

/* Of what a walk told, most is forgotten, then all but one of each sixteen neighbours. */
static void forget_in_parts(struct lookups *t, size_t empty, uint64_t known, uint64_t left)
{
    enum { GROUP = 16, BYTES_SHARED = 4, BYTES_SINGLE = 64 };
    assert_true(known % GROUP == 0 && left % GROUP == 0 && FS_INO_FIRST % GROUP == 0);
    for (uint64_t i = left; i < known; i++)
        assert_true(lookups_forget(t, FS_INO_FIRST + i, 2));
    assert_int_equal(lookups_count(t), left);
    assert_true(lookups_bytes(t) - empty <= left * BYTES_SHARED);
    for (uint64_t i = 0; i < left; i++)
        assert_true(i % GROUP == 7 || lookups_forget(t, FS_INO_FIRST + i, 2));
    assert_int_equal(lookups_count(t), left / GROUP);
    assert_true(lookups_bytes(t) - empty <= left / GROUP * BYTES_SINGLE);
    for (uint64_t i = 7; i < left; i += GROUP)
        assert_true(lookups_forget(t, FS_INO_FIRST + i, 2));
    assert_int_equal(lookups_count(t), 0);
}

static void on_memory(void *ctx, size_t bytes)
{
    size_t *told = ctx;
    *told = bytes;
}

/* A walk through everything. */
static void memory(void **state)
{
    enum { MANY = 1000 * 1000, LEFT = 200 * 1000, FEW = 1000, BYTES = 3, BYTES_SINGLE = 43 };
    size_t told = 0;
    struct lookups *t = lookups_new(on_memory, &told);
    size_t empty = lookups_bytes(t);
    (void)state;
    for (uint64_t i = 0; i < MANY; i++) {
        lookups_add(t, FS_INO_FIRST + i); /* created */
        lookups_open(t, FS_INO_FIRST + i);
        lookups_close(t, FS_INO_FIRST + i);
        lookups_add(t, FS_INO_FIRST + i); /* listed */
    }
    assert_int_equal(lookups_count(t), MANY);
    assert_true(lookups_bytes(t) - empty <= (size_t)MANY * BYTES);
    assert_true(told > (size_t)MANY);
    assert_int_equal(told, lookups_bytes(t));
    forget_in_parts(t, empty, MANY, LEFT);
    assert_int_equal(told, lookups_bytes(t));
    size_t least = lookups_bytes(t);
    for (uint64_t i = 0; i < FEW; i++)
        lookups_add(t, FS_INO_FIRST + i * 1000);
    assert_true(least < (size_t)MANY / 10);
    assert_true(lookups_bytes(t) - empty <= (size_t)FEW * BYTES_SINGLE + least);
    lookups_free(t);
}

struct helper {
    struct lookups *table;
    uint64_t forgotten; /* how often this thread was told "the last" */
};

enum { THREADS = 4, SHARED = 500, EACH = 40 };

/* Adds and takes back each number in turn: all in all every count ends at none. */
static void *add_and_forget(void *arg)
{
    struct helper *h = arg;
    for (uint64_t round = 0; round < EACH; round++) {
        for (uint64_t ino = 0; ino < SHARED; ino++) {
            lookups_add(h->table, FS_INO_FIRST + ino);
            lookups_open(h->table, FS_INO_FIRST + ino);
        }
        for (uint64_t ino = 0; ino < SHARED; ino++) {
            lookups_close(h->table, FS_INO_FIRST + ino);
            h->forgotten += lookups_forget(h->table, FS_INO_FIRST + ino, 1);
        }
    }
    return NULL;
}

static void threads(void **state)
{
    struct lookups *t = lookups_new(NULL, NULL);
    struct helper helpers[THREADS];
    pthread_t ids[THREADS];
    uint64_t forgotten = 0;
    (void)state;
    for (int i = 0; i < THREADS; i++) {
        helpers[i] = (struct helper){.table = t};
        assert_int_equal(pthread_create(&ids[i], NULL, add_and_forget, &helpers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(ids[i], NULL);
        forgotten += helpers[i].forgotten;
    }
    assert_int_equal(lookups_count(t), 0);
    assert_true(forgotten >= SHARED && forgotten <= (uint64_t)THREADS * SHARED * EACH);
    lookups_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts),        cmocka_unit_test(fixed_ones), cmocka_unit_test(writers),
        cmocka_unit_test(against_array), cmocka_unit_test(memory),     cmocka_unit_test(threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
