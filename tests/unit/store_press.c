/* press and squad: blocks go out in their order, each packed as it would be alone, whoever helps;
 * and nobody waits for help. */
#include "store/press.h"
#include "tests/unit/dict_maker.h"

#include <errno.h>
#include <pthread.h>

enum { BLOCKS = 600 };

struct sink {
    struct press *press;
    uint32_t count, fail_at;
    struct buf all; /* every frame, one behind the other */
    uint64_t first_dict;
};

static int take(void *ctx, struct press_block *b)
{
    struct sink *s = ctx;
    assert_int_equal(b->last_seq, s->count); /* in order */
    s->count++;
    buf_append(&s->all, buf_slice(&b->packed));
    return s->fail_at && s->count == s->fail_at ? -ENOSPC : 0;
}

/* Block i of a stream: records, but some of it random bytes. */
static void fill_block(uint64_t i, struct press_block *b)
{
    struct simrng rng = {i / 50 % 3 == 1 ? i + 77 : i % 7};
    size_t len = 500 + (size_t)(i * 37 % 3000);
    uint8_t *bytes = buf_reserve(&b->raw, len);
    if (i / 50 % 3 == 1)
        for (size_t k = 0; k < len; k++)
            bytes[k] = (uint8_t)simrng_next(&rng);
    else
        records_fill(&rng, 0, bytes, len);
    b->raw.len = len;
    b->zstd_level = i % 11 == 0 ? 0 : 1 + (int)(i % 5);
    b->last_seq = i;
}

static int run(const struct press_options *opt, uint64_t blocks, uint32_t fail_at, struct sink *s)
{
    int rc = 0;
    *s = (struct sink){.fail_at = fail_at};
    s->press = press_new(opt, take, s);
    for (uint64_t i = 0; i < blocks && rc == 0; i++) {
        struct press_block *b = press_block(s->press);
        fill_block(i, b);
        rc = press_add(s->press, b);
    }
    if (rc == 0)
        rc = press_finish(s->press);
    if (rc == 0)
        assert_int_equal(press_pending_bytes(s->press, 0), 0);
    s->first_dict = press_dict(s->press) != NULL;
    press_free(s->press);
    return rc;
}

static struct codec_dict *dict_new(void)
{
    struct simrng rng = {5};
    struct buf content = {0};
    struct codec_dict *dict;
    dict_train(&rng, 0, &content);
    assert_ok(codec_dict_new(1, buf_slice(&content), &dict));
    buf_release(&content);
    return dict;
}

static void alone(void **state)
{
    (void)state;
    struct codec_dict *dict = dict_new();
    struct sink without, with, few;
    struct press_options opt = {.dict = NULL};
    assert_ok(run(&opt, BLOCKS, 0, &without));
    assert_int_equal(without.count, BLOCKS);
    opt = (struct press_options){.dict = dict, .dict_from_bytes = 100000};
    assert_ok(run(&opt, BLOCKS, 0, &with));
    assert_int_equal(with.count, BLOCKS);
    assert_true(with.first_dict && with.all.len < without.all.len);
    /* Too little for a dictionary: as if there were none. */
    assert_ok(run(&opt, 20, 0, &few));
    assert_int_equal(few.count, 20);
    assert_false(few.first_dict);
    assert_memory_equal(few.all.data, without.all.data, few.all.len);
    buf_release(&few.all);
    assert_ok(run(&opt, 0, 0, &few));
    assert_int_equal(few.count, 0);
    buf_release(&without.all);
    buf_release(&with.all);
    codec_dict_unref(dict);
}

static void an_error_ends_it(void **state)
{
    (void)state;
    struct squad squad;
    struct sink s;
    squad_init(&squad, NULL, NULL);
    for (int helped = 0; helped < 2; helped++) {
        struct press_options opt = {.squad = helped ? &squad : NULL};
        assert_errno(run(&opt, BLOCKS, 100, &s), ENOSPC);
        assert_int_equal(s.count, 100);
        buf_release(&s.all);
    }
    squad_release(&squad);
}

/* ---- helpers ---- */

struct helping {
    struct squad squad;
    bool stop; /* atomic */
    uint32_t woken;
};

static void *helper(void *arg)
{
    struct helping *h = arg;
    while (!__atomic_load_n(&h->stop, __ATOMIC_ACQUIRE))
        if (squad_help(&h->squad, 2) == 1)
            sched_yield();
    return NULL;
}

static void count_wake(void *ctx)
{
    struct helping *h = ctx;
    __atomic_fetch_add(&h->woken, 1, __ATOMIC_RELAXED);
}

/* Nobody comes: it goes on all the same, to the same result. */
static void nobody_waits_for_help(void **state)
{
    (void)state;
    struct helping h = {.stop = false};
    struct codec_dict *dict = dict_new();
    struct sink one, other;
    squad_init(&h.squad, count_wake, &h);
    struct press_options opt = {.dict = dict, .dict_from_bytes = 50000};
    assert_ok(run(&opt, BLOCKS, 0, &one));
    assert_int_equal(squad_help(&h.squad, 2), 1); /* there is nothing to do */
    opt.squad = &h.squad;
    assert_ok(run(&opt, BLOCKS, 0, &other));
    assert_int_equal(h.woken, 1);
    assert_int_equal(squad_helped(&h.squad), 0);
    assert_int_equal(one.all.len, other.all.len);
    buf_release(&one.all);
    buf_release(&other.all);
    codec_dict_unref(dict);
    squad_release(&h.squad);
}

/* Several presses and helpers at once: what comes out is what comes out alone, to the byte. */
static void *press_thread(void *arg)
{
    struct helping *h = arg;
    struct codec_dict *dict = dict_new();
    struct sink alone, helped;
    struct press_options opt = {.dict = dict, .dict_from_bytes = 50000};
    assert_ok(run(&opt, BLOCKS, 0, &alone));
    opt.squad = &h->squad;
    for (int i = 0; i < 10; i++) {
        assert_ok(run(&opt, BLOCKS, 0, &helped));
        assert_int_equal(helped.count, BLOCKS);
        assert_int_equal(helped.all.len, alone.all.len);
        assert_memory_equal(helped.all.data, alone.all.data, alone.all.len);
        buf_release(&helped.all);
        assert_errno(run(&opt, BLOCKS, 1 + (uint32_t)i * 50, &helped), ENOSPC);
        buf_release(&helped.all);
    }
    buf_release(&alone.all);
    codec_dict_unref(dict);
    return NULL;
}

static void with_helpers_it_is_the_same(void **state)
{
    (void)state;
    struct helping h = {.stop = false};
    pthread_t helpers[3], pressers[2];
    squad_init(&h.squad, count_wake, &h);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&helpers[i], NULL, helper, &h), 0);
    do {
        for (int i = 0; i < 2; i++)
            assert_int_equal(pthread_create(&pressers[i], NULL, press_thread, &h), 0);
        for (int i = 0; i < 2; i++)
            pthread_join(pressers[i], NULL);
    } while (squad_helped(&h.squad) == 0); /* on one core they may come too late once */
    __atomic_store_n(&h.stop, true, __ATOMIC_RELEASE);
    for (int i = 0; i < 3; i++)
        pthread_join(helpers[i], NULL);
    assert_true(h.woken > 0);
    squad_release(&h.squad);
}

/* Where threads are kept from their processors nobody helps. */
static void a_crowd_is_not_joined(void **state)
{
    static const uint64_t ms = 1000 * 1000;
    struct squad s;
    struct squad_feeling f = {0};
    struct press_options opt = {.squad = &s};
    struct sink sink = {0};
    (void)state;
    squad_init(&s, NULL, NULL);
    sink.press = press_new(&opt, take, &sink); /* a task, with nothing to do yet */
    assert_false(squad_crowded(&s));
    squad_note(&s, 0, 100 * ms);
    squad_note(&s, 4, 100 * ms);
    assert_false(squad_crowded(&s));
    assert_int_equal(squad_help(&s, 1), 0);
    squad_note(&s, 10, 100 * ms);
    assert_true(squad_crowded(&s));
    assert_int_equal(squad_help(&s, 1), 1);
    s.crowded_until = 1; /* that is over */
    assert_int_equal(squad_help(&s, 1), 0);
    f = (struct squad_feeling){.since_ns = 1, .preemptions = UINT64_MAX / 2}; /* long ago */
    squad_feel(&s, env_posix(), &f);
    assert_true(f.since_ns > 1 && f.preemptions < UINT64_MAX / 2);
    press_free(sink.press);
    squad_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alone),
        cmocka_unit_test(an_error_ends_it),
        cmocka_unit_test(nobody_waits_for_help),
        cmocka_unit_test(with_helpers_it_is_the_same),
        cmocka_unit_test(a_crowd_is_not_joined),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
