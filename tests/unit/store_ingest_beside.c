/* ingest: what keeps an ingestion and its neighbours apart at the worst moment: a write into its
 * span between the two flushes, a compaction that is running, and one that would begin while levels
 * are chosen. Moments are made by a flush of the test's own, and by an env whose calls wait. */
#include "tests/unit/store_rig.h"

#include "store/ingest.h"
#include "store/store_priv.h"

enum { FIRST = 400, END = 500, NEIGHBOURS = 12 };

static struct ingest *begin(struct rig *r)
{
    struct ingest *g = ingest_new(&r->s->commit);
    struct buf room = {0};
    for (uint64_t i = FIRST; i < END; i++)
        assert_ok(ingest_put(g, slice_str(rig_key(i)), rig_value(i + 1, 60, &room)));
    buf_release(&room);
    return g;
}

static void ingest(struct rig *r)
{
    struct ingest *g = begin(r);
    assert_ok(ingest_finish(g, store_flush_sealed, NULL));
    ingest_free(g);
}

/* ---- a write between the flushes ---- */

static struct rig *racing;
static int flushes;

/* When the first has ended, and before writers are stopped, somebody writes into the span. */
static int flush_and_write(struct tree *t)
{
    int err = store_flush_sealed(t);
    if (++flushes == 1) {
        rig_put(racing, rig_key(FIRST + 7), "older");
        rig_delete_range(racing, rig_key(FIRST + 20), rig_key(FIRST + 30));
    }
    return err;
}

static void test_write_between_the_flushes(void **state)
{
    struct rig *r = racing = *state;
    flushes = 0;
    rig_open(r);
    rig_put(r, rig_key(FIRST), "the oldest");
    struct ingest *g = begin(r);
    assert_ok(ingest_finish(g, flush_and_write, NULL));
    ingest_free(g);
    assert_int_equal(flushes, 2);
    rig_assert_fill(r, FIRST, END, 60, 1);
    rig_reopen(r);
    rig_assert_fill(r, FIRST, END, 60, 1);
    rig_compact(r);
    rig_assert_fill(r, FIRST, END, 60, 1);
    rig_close_clean(r);
}

/* With nothing in the way there is no flush at all. */
static void test_no_flush_for_nothing(void **state)
{
    struct rig *r = racing = *state;
    flushes = 1;
    rig_open(r);
    rig_put(r, rig_key(FIRST - 1), "beside");
    rig_put(r, rig_key(END), "beside");
    struct ingest *g = begin(r);
    assert_ok(ingest_finish(g, flush_and_write, NULL));
    ingest_free(g);
    assert_int_equal(flushes, 1);
    assert_int_equal(rig_stats(r).level_tables[LEVEL_COUNT - 1], 1);
    rig_close_clean(r);
}

/* ---- calls that wait ---- */

/* The first call of the env that the gate is for waits until it is opened. */
struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    const char *part; /* of the path of a file that is created, or opened for writing; NULL: none */
    bool reached, open;
};
static struct gate gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
static struct env gated;

static int gated_open(struct env *env, const char *path, enum env_open_mode mode,
                      struct env_file **out)
{
    (void)env;
    pthread_mutex_lock(&gate.lock);
    if (gate.part && mode != ENV_OPEN_READ && strstr(path, gate.part)) {
        gate.part = NULL;
        gate.reached = true;
        pthread_cond_broadcast(&gate.changed);
        while (!gate.open)
            pthread_cond_wait(&gate.changed, &gate.lock);
    }
    pthread_mutex_unlock(&gate.lock);
    return env_posix()->open(env_posix(), path, mode, out);
}

static void gate_set(struct rig *r, const char *part)
{
    gated = *env_posix();
    gated.open = gated_open;
    r->env = r->opt.env = &gated;
    gate.part = part;
    gate.reached = gate.open = false;
}

static void gate_wait(void)
{
    pthread_mutex_lock(&gate.lock);
    while (!gate.reached)
        pthread_cond_wait(&gate.changed, &gate.lock);
    pthread_mutex_unlock(&gate.lock);
}

static void gate_arm(const char *part)
{
    pthread_mutex_lock(&gate.lock);
    gate.part = part;
    pthread_mutex_unlock(&gate.lock);
}

static void gate_open(void)
{
    pthread_mutex_lock(&gate.lock);
    gate.open = true;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.lock);
}

/* Tables of level 0 on both sides of the span, which a compaction makes one of. */
static void neighbours(struct rig *r)
{
    rig_open(r);
    for (int i = 0; i < NEIGHBOURS; i++) {
        rig_fill(r, i % 2 ? 900 : 0, i % 2 ? 910 : 10, 60, 0);
        assert_ok(store_flush(r->s));
    }
    assert_int_equal(rig_stats(r).level_tables[0], NEIGHBOURS);
}

static void assert_all(struct rig *r)
{
    assert_null(store_failure(r->s));
    for (int round = 0; round < 2; round++) {
        rig_assert_fill(r, 0, 10, 60, 0);
        rig_assert_fill(r, FIRST, END, 60, 1);
        rig_assert_fill(r, 900, 910, 60, 0);
        assert_int_equal(rig_count(r), 20 + END - FIRST);
        rig_compact(r);
    }
    rig_close_clean(r);
}

static void *work(void *arg)
{
    rig_work(arg);
    return NULL;
}

static void *finish(void *arg)
{
    assert_ok(ingest_finish(arg, store_flush_sealed, NULL));
    return NULL;
}

/* The output of a running compaction will lie over the span, on whichever level. */
static void test_beside_a_running_compaction(void **state)
{
    struct rig *r = *state;
    pthread_t thread;
    gate_set(r, NULL);
    neighbours(r);
    gate_arm(".table");
    assert_int_equal(pthread_create(&thread, NULL, work, r), 0);
    gate_wait(); /* it has its inputs, and makes its output */
    ingest(r);
    assert_int_equal(rig_stats(r).level_tables[0], NEIGHBOURS + 1);
    gate_open();
    pthread_join(thread, NULL);
    assert_all(r);
}

/* A level was chosen, and the edit is on its way: a compaction that began now would not know of
 * what is coming, nor the ingestion of that. */
static void test_no_compaction_begins_meanwhile(void **state)
{
    struct rig *r = *state;
    pthread_t thread, other;
    gate_set(r, NULL);
    neighbours(r);
    struct ingest *g = begin(r);
    /* Installing waits for its lock, with the level chosen. */
    pthread_mutex_lock(&r->s->tree.install);
    assert_int_equal(pthread_create(&thread, NULL, finish, g), 0);
    for (bool placing = false; !placing; usleep(1000)) {
        pthread_mutex_lock(&r->s->tree.lock);
        placing = r->s->tree.placing;
        pthread_mutex_unlock(&r->s->tree.lock);
    }
    gate_arm(".table");
    assert_int_equal(pthread_create(&other, NULL, work, r), 0);
    usleep(50000); /* were it not to wait, it would be at work by now */
    bool began = gate.reached;
    gate_open();
    pthread_mutex_unlock(&r->s->tree.install);
    pthread_join(thread, NULL);
    ingest_free(g);
    pthread_join(other, NULL);
    assert_false(began);
    rig_work(r); /* now it does */
    assert_true(gate.reached);
    assert_all(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_SIM(test_write_between_the_flushes),
        RIG_SIM(test_no_flush_for_nothing),
        RIG_POSIX(test_beside_a_running_compaction),
        RIG_POSIX(test_no_compaction_begins_meanwhile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
