/* Tests of store/version.h: what a version holds and answers, what versions share, and opening
 * files from many threads. */
#include "tests/unit/version_model.h"

#include "store/env_posix.h"
#include "tests/sim/simdisk.h"

#include <errno.h>
#include <unistd.h>

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

/* Adds what is left of table 5, made by maker_add(), behind a slice. */
static void add_rest(struct edit *e, const char *smallest, uint64_t front)
{
    struct table_meta *m = maker_meta(5, smallest, "z", 1, 50, 1000);
    m->front = front;
    m->entry_count = 5;
    edit_add_table(e, 2, m);
    table_meta_unref(m);
}

/* A cut table is another object; the old one keeps it alive, and when nobody has that any more what
 * it saw is told. The file is told dead once, after all of them. */
static void test_cut_in_front(void **state)
{
    struct fixture *x = *state;
    struct edit e;
    edit_init(&e);
    maker_add(&e, 2, 5, "a", "z", 50);
    maker_add(&e, 2, 6, "z", "zz", 50);
    struct version *v = step(version_new(&x->source), &e), *first = version_ref(v);
    v->levels[2].tables[0]->heal = true;
    edit_remove_table(&e, 2, 5);
    maker_add(&e, 3, 7, "a", "c", 50);
    add_rest(&e, "c", 200);
    v = step(v, &e);
    struct version *second = version_ref(v);
    assert_ptr_not_equal(v->levels[2].tables[0], first->levels[2].tables[0]);
    assert_ptr_equal(v->levels[2].tables[1], first->levels[2].tables[1]);
    assert_ptr_equal(first->levels[2].tables[0]->rest, v->levels[2].tables[0]);
    assert_true(v->levels[2].tables[0]->heal);
    assert_false(first->levels[2].tables[0]->dead);
    edit_remove_table(&e, 2, 5);
    add_rest(&e, "m", 400);
    v = step(v, &e);
    version_unref(second); /* the one before it is still read */
    assert_int_equal(x->cuts[5], 0);
    version_unref(first);
    assert_int_equal(x->cuts[5], 2);
    assert_int_equal(x->fronts[5], 400);
    second = version_ref(v);
    edit_remove_table(&e, 2, 5);
    v = step(v, &e);
    assert_int_equal(x->table_deaths[5], 0);
    version_unref(second);
    assert_int_equal(x->table_deaths[5], 1);
    assert_int_equal(x->cuts[5], 2);
    version_unref(v);
}

/* Nothing is punched in a file that goes anyway. */
static void test_cut_then_dropped(void **state)
{
    struct fixture *x = *state;
    struct edit e;
    edit_init(&e);
    maker_add(&e, 2, 5, "a", "z", 50);
    struct version *v = step(version_new(&x->source), &e), *first = version_ref(v);
    edit_remove_table(&e, 2, 5);
    add_rest(&e, "c", 200);
    v = step(v, &e);
    edit_remove_table(&e, 2, 5);
    v = step(v, &e);
    assert_int_equal(x->table_deaths[5], 0);
    version_unref(first);
    assert_int_equal(x->table_deaths[5], 1);
    assert_int_equal(x->cuts[5], 0);
    version_unref(v);
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
    struct table_options opt = {
        .block_bytes = 4096, .strength = strength_plain(1), .filter_one_in = 0};
    struct table_writer *w;
    struct version_source *s = &x->source;
    struct entry e = {slice_str("key"), 7, ENTRY_PUT, 0, slice_str("value")};
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
        TEST(test_order),         TEST(test_move_keeps_object),
        TEST(test_cut_in_front),  TEST(test_cut_then_dropped),
        TEST(test_shares_levels), TEST(test_held_count),
        TEST(test_numbers),       TEST(test_blobs),
        TEST(test_pins),          TEST(test_find_and_overlaps),
        TEST(test_open_failures), TEST(test_open_race),
        TEST(test_sharing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
