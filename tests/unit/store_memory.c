/* The store in memory: the same random work as elsewhere, with and without threads. */
#include "tests/sim/workload.h"
#include "tests/unit/past.h"

/* Histories of workload.h, as the power-cut tests play them, from beginning to end. */
static void test_workload(void **state)
{
    (void)state;
    uint64_t seed = unit_seed();
    for (uint64_t round = 0; round < 8; round++) {
        struct memdisk *d = memdisk_new();
        struct store_options o;
        struct workload w;
        struct progress p;
        struct store *s;
        struct store_read read;
        struct model m;
        workload_options(&o, memdisk_env(d));
        assert_ok(store_create("/volume", &o));
        workload_make(&w, seed + round, 400, true);
        progress_init(&p);
        assert_ok(workload_play(&w, 0, memdisk_env(d), "/volume", &p));
        workload_model(&w, p.acked, &m);
        assert_ok(store_open("/volume", &o, &s));
        store_read_begin(s, &read);
        assert_int_equal(model_differs(&m, &read), -1);
        store_read_end(&read);
        assert_ok(store_close(s));
        model_release(&m);
        workload_release(&w);
        assert_true(memdisk_used_bytes(d) > 0);
        memdisk_free(d);
    }
}

static void test_random_histories(void **state)
{
    struct rig *r = *state;
    struct past p;
    past_init(&p, r, unit_seed());
    r->opt.workers = simrng_coin(&p.rng) ? 2 : 0;
    rig_open(r);
    for (int i = 0; i < 1000; i++) {
        uint64_t dice = simrng_below(&p.rng, 20);
        if (dice == 0)
            past_pin(&p);
        else if (dice == 1)
            rig_reopen(r);
        else if (dice == 2)
            assert_ok(store_flush(r->s));
        else
            past_write(&p);
    }
    past_assert_all(&p, r->s);
    rig_compact(r);
    past_assert_all(&p, r->s);
    rig_close_clean(r);
    past_release(&p);
}

struct writer {
    struct rig *rig;
    uint64_t first;
};

static void *fill(void *arg)
{
    struct writer *w = arg;
    for (uint64_t i = 0; i < 1500; i++)
        rig_fill(w->rig, w->first + i, w->first + i + 1, i % 50 ? 80 : 5000, 3);
    return NULL;
}

static void test_writers_and_workers(void **state)
{
    struct rig *r = *state;
    struct writer w[3];
    pthread_t threads[3];
    r->opt.workers = 2;
    rig_open(r);
    for (uint64_t i = 0; i < 3; i++) {
        w[i] = (struct writer){r, i * 10000};
        assert_int_equal(pthread_create(&threads[i], NULL, fill, &w[i]), 0);
    }
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(rig_count(r), 4500);
    rig_reopen(r);
    for (uint64_t i = 0; i < 1500; i++)
        rig_assert_fill(r, 20000 + i, 20001 + i, i % 50 ? 80 : 5000, 3);
    rig_close_clean(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_workload),
        RIG_MEMORY(test_random_histories),
        RIG_MEMORY(test_writers_and_workers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
