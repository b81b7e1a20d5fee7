/* throttle: what is written in the background, by a clock of the test's own; and who need not wait.
 */
#include "tests/unit/env_alone.h"
#include "tests/unit/store_rig.h"

#include "store/store_priv.h"
#include "store/throttle.h"

enum { MIB = 1 << 20 };
#define SECOND UINT64_C(1000000000)

/* A clock that goes on by `step` with each look; threads that are never started. */
static struct {
    struct env env;
    uint64_t now, step; /* atomic */
} slow;

static uint64_t slow_monotonic(struct env *env)
{
    (void)env;
    return __atomic_fetch_add(&slow.now, __atomic_load_n(&slow.step, __ATOMIC_RELAXED),
                              __ATOMIC_RELAXED);
}

static void begin(struct rig *r, uint64_t rate)
{
    slow.env = *env_posix();
    slow.env.monotonic_ns = slow_monotonic;
    env_alone(&slow.env);
    slow.now = 10 * SECOND;
    slow.step = SECOND / 10;
    r->opt.env = &slow.env;
    r->opt.workers = 1;
    r->opt.background_rate = rate;
    rig_open(r);
}

/* By the test's clock. */
static uint64_t took(struct rig *r, uint64_t bytes, bool urgent)
{
    uint64_t before = __atomic_load_n(&slow.now, __ATOMIC_RELAXED);
    throttle_take(&r->s->tree, bytes, urgent);
    return __atomic_load_n(&slow.now, __ATOMIC_RELAXED) - before;
}

static void set(struct rig *r, const char *name, const char *value)
{
    char message[STORE_MESSAGE_MAX];
    assert_ok(store_set(r->s, name, value, message));
}

static void test_rate(void **state)
{
    struct rig *r = *state;
    begin(r, MIB);
    uint64_t sum = 0;
    for (int i = 0; i < 10; i++)
        sum += took(r, MIB / 2, false);
    assert_in_range(sum, 47 * SECOND / 10, 60 * SECOND / 10);
    /* What was not used is not saved up. */
    __atomic_fetch_add(&slow.now, 100 * SECOND, __ATOMIC_RELAXED);
    assert_true(took(r, 2 * MIB, false) >= 18 * SECOND / 10);
    set(r, "background.rate", "2M");
    assert_in_range(took(r, 8 * MIB, false), 38 * SECOND / 10, 48 * SECOND / 10);
    set(r, "background.rate", "0");
    assert_int_equal(took(r, 1000 * MIB, false), 0);
    set(r, "background.rate", "1M"); /* of before nothing is owed */
    assert_true(took(r, 1, false) < SECOND);
    rig_close(r);
}

static void test_what_is_urgent(void **state)
{
    struct rig *r = *state;
    begin(r, MIB);
    assert_true(took(r, 100 * MIB, true) <= 3 * SECOND / 10);
    assert_in_range(took(r, 1, false), 6 * SECOND / 10, 13 * SECOND / 10); /* but not 100 s */
    /* Nobody waits while level 0 presses. */
    while (rig_stats(r).level_tables[0] < r->opt.level0_tables) {
        assert_true(took(r, MIB, false) >= 8 * SECOND / 10);
        rig_put(r, rig_key(rig_stats(r).level_tables[0]), "v");
        assert_ok(store_flush(r->s));
    }
    assert_true(took(r, 100 * MIB, false) <= 3 * SECOND / 10);
    rig_close(r);
}

/* ---- being woken ---- */

struct sleeper {
    struct rig *r;
    pthread_t thread;
    int done; /* atomic */
};

static void *sleep_long(void *arg)
{
    struct sleeper *s = arg;
    throttle_take(&s->r->s->tree, 1000 * (uint64_t)MIB, false);
    __atomic_store_n(&s->done, 1, __ATOMIC_RELEASE);
    return NULL;
}

static void start(struct sleeper *s, struct rig *r)
{
    *s = (struct sleeper){.r = r};
    slow.step = 0; /* time stands still */
    assert_int_equal(pthread_create(&s->thread, NULL, sleep_long, s), 0);
    usleep(50000);
    assert_false(__atomic_load_n(&s->done, __ATOMIC_ACQUIRE));
}

static void test_lifting_wakes(void **state)
{
    struct rig *r = *state;
    struct sleeper s;
    begin(r, MIB);
    start(&s, r);
    set(r, "background.rate", "0");
    pthread_join(s.thread, NULL);
    rig_close(r);
}

static void test_failing_wakes(void **state)
{
    struct rig *r = *state;
    struct sleeper s;
    begin(r, MIB);
    start(&s, r);
    tree_fail(&r->s->tree, -EIO, "the test wants it");
    pthread_join(s.thread, NULL);
    store_close(r->s);
    r->s = NULL;
}

/* A real worker in a real compaction that would take a day. */
static void test_closing_interrupts(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    rig_fill(r, 0, 3000, 300, 0);
    rig_compact(r);
    for (uint64_t i = 1; i < 4; i++) {
        rig_fill(r, 0, 3000, 300, i);
        assert_ok(store_flush(r->s));
    }
    rig_close(r);
    r->opt.workers = 1;
    r->opt.background_rate = 1;
    rig_open(r);
    r->opt.level0_tables = 64;
    set(r, "compaction.level0_tables", "64");
    struct sleeper s = {.r = r};
    assert_int_equal(pthread_create(&s.thread, NULL, sleep_long, &s), 0);
    usleep(20000);
    pthread_mutex_lock(&r->s->tree.lock);
    __atomic_store_n(&r->s->tree.closing, true, __ATOMIC_RELEASE);
    pthread_cond_broadcast(&r->s->tree.changed);
    pthread_mutex_unlock(&r->s->tree.lock);
    pthread_join(s.thread, NULL);
    rig_close_clean(r);
    r->opt.background_rate = 0;
    rig_open(r);
    rig_assert_fill(r, 0, 3000, 300, 3);
    rig_close(r);
}

/* A store whose owner pulls the work has nobody to keep waiting. */
static void test_pulled(void **state)
{
    struct rig *r = *state;
    r->opt.background_rate = 1;
    rig_open(r);
    rig_fill(r, 0, 1000, 300, 0);
    rig_compact(r);
    rig_assert_fill(r, 0, 1000, 300, 0);
    rig_close_clean(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_POSIX(test_rate),
        RIG_POSIX(test_what_is_urgent),
        RIG_POSIX(test_lifting_wakes),
        RIG_POSIX(test_failing_wakes),
        RIG_POSIX(test_closing_interrupts),
        RIG_SIM(test_pulled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
