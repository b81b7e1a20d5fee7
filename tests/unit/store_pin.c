/* store_pin: durable snapshots: names, what they hold, and that they hold it against everything
 * that goes on beside them. */
#include "tests/unit/store_rig.h"

/* ---- short words ---- */

static struct store_pin pin(struct rig *r, const char *name)
{
    struct store_pin p;
    assert_ok(store_pin_create(r->s, name, 7, &p));
    return p;
}

struct names {
    char text[512];
    uint64_t seq_before;
    int stop_after;
};

static int note_pin(void *ctx, const struct store_pin *p)
{
    struct names *n = ctx;
    assert_true(p->seq >= n->seq_before && p->created_ns > 0);
    n->seq_before = p->seq;
    strcat(n->text, p->name);
    strcat(n->text, " ");
    return n->stop_after && --n->stop_after == 0 ? 42 : 0;
}

static void assert_pins(struct rig *r, const char *names)
{
    struct names n = {0};
    assert_ok(store_pin_list(r->s, note_pin, &n));
    assert_string_equal(n.text, names);
}

static int find_seq(void *ctx, const struct store_pin *p)
{
    struct store_pin *wanted = ctx;
    if (strcmp(p->name, wanted->name) != 0)
        return 0;
    wanted->seq = p->seq;
    wanted->tag = p->tag;
    return 1;
}

static struct store_read at_pin(struct rig *r, const char *name)
{
    struct store_pin wanted = {.name = name};
    struct store_read read;
    assert_absent(store_pin_list(r->s, find_seq, &wanted)); /* 1: found */
    assert_int_equal(wanted.tag, 7);
    store_read_begin_at(r->s, wanted.seq, &read);
    return read;
}

/* ---- names ---- */

static void test_names(void **state)
{
    struct rig *r = *state;
    struct store_pin p;
    char longest[STORE_NAME_MAX + 2];
    rig_open(r);
    assert_pins(r, "");
    pin(r, "b");
    pin(r, "a"); /* of the same moment */
    rig_put(r, "x", "1");
    pin(r, "0");
    assert_pins(r, "b a 0 ");
    assert_errno(store_pin_create(r->s, "a", 0, &p), EEXIST);
    assert_errno(store_pin_create(r->s, "", 0, &p), EINVAL);
    memset(longest, 'n', sizeof longest);
    longest[STORE_NAME_MAX + 1] = 0;
    assert_errno(store_pin_create(r->s, longest, 0, &p), ENAMETOOLONG);
    assert_errno(store_pin_rename(r->s, "a", longest), ENAMETOOLONG);
    longest[STORE_NAME_MAX] = 0;
    pin(r, longest);
    assert_absent(store_pin_delete(r->s, "none"));
    assert_absent(store_pin_rename(r->s, "none", "other"));
    assert_errno(store_pin_rename(r->s, "a", "b"), EEXIST);
    assert_errno(store_pin_rename(r->s, "a", ""), EINVAL);
    assert_ok(store_pin_rename(r->s, "a", "a"));
    assert_ok(store_pin_rename(r->s, "a", "c"));
    assert_ok(store_pin_delete(r->s, longest));
    assert_pins(r, "b c 0 ");
    rig_reopen(r);
    assert_pins(r, "b c 0 ");
    assert_int_equal(rig_stats(r).pins, 3);
    struct names n = {.stop_after = 2};
    assert_int_equal(store_pin_list(r->s, note_pin, &n), 42);
    assert_string_equal(n.text, "b c ");
    assert_ok(store_pin_delete(r->s, "b"));
    assert_ok(store_pin_delete(r->s, "c"));
    assert_ok(store_pin_delete(r->s, "0"));
    assert_pins(r, "");
    rig_close_clean(r);
}

/* ---- what they hold ---- */

static void assert_state_one(struct rig *r)
{
    struct store_read read = at_pin(r, "one");
    rig_assert_at(&read, "a", "1");
    rig_assert_at(&read, "m", "xy");
    rig_assert_at(&read, "later", NULL);
    rig_assert_fill_at(&read, 0, 300, 700, 0);
    store_read_end(&read);
}

static void assert_state_two(struct rig *r)
{
    struct store_read read = at_pin(r, "two");
    rig_assert_at(&read, "a", "2");
    rig_assert_at(&read, "m", "xyz");
    rig_assert_at(&read, "later", "l");
    rig_assert_at(&read, rig_key(0), NULL);
    rig_assert_at(&read, rig_key(299), NULL);
    store_read_end(&read);
}

/* As the present state is replaced, flushed, compacted, closed, killed. */
static void test_pins_hold(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    rig_fill(r, 0, 300, 700, 0);
    rig_put(r, "a", "1");
    rig_merge_op(r, "m", "x");
    rig_merge_op(r, "m", "y");
    assert_true(pin(r, "one").seq == 304);
    assert_state_one(r);
    rig_delete_range(r, "k", "l");
    rig_put(r, "a", "2");
    rig_merge_op(r, "m", "z");
    rig_put(r, "later", "l");
    pin(r, "two");
    rig_delete_range(r, "a", "z");
    rig_put(r, "a", "3");
    for (int round = 0; round < 6; round++) {
        assert_state_one(r);
        assert_state_two(r);
        rig_assert(r, "a", "3");
        rig_assert(r, "m", NULL);
        assert_int_equal(rig_count(r), 1);
        if (round == 0) {
            assert_ok(store_flush(r->s));
        } else if (round < 3) {
            rig_compact(r);
        } else if (round == 3) {
            rig_reopen(r);
        } else {
            simdisk_crash(r->disk, SIM_KEEP_SYNCED, 1);
            store_close(r->s);
            r->s = NULL;
            rig_open(r);
            rig_work(r);
        }
    }
    rig_close_clean(r);
}

/* A power cut right after it was acknowledged, with nothing else synced. */
static void test_pin_is_durable(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    rig_fill(r, 0, 100, 50, 0);
    rig_fill(r, 100, 110, 5000, 0);
    pin(r, "one");
    rig_fill(r, 200, 300, 50, 0);
    struct rig *k = rig_kill(r);
    simdisk_crash(k->disk, SIM_KEEP_SYNCED, 1);
    rig_open(k);
    struct store_read read = at_pin(k, "one");
    rig_assert_fill_at(&read, 0, 100, 50, 0);
    rig_assert_fill_at(&read, 100, 110, 5000, 0);
    rig_assert_at(&read, rig_key(200), NULL);
    store_read_end(&read);
    assert_true(rig_count(k) >= 110);
    rig_close_clean(k);
    rig_drop(k);
    rig_close(r);
}

/* ---- space ---- */

/* What only a pin held goes when it goes. */
static void test_space_comes_back(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    rig_fill(r, 0, 2000, 300, 0);     /* in tables */
    rig_fill(r, 2000, 2100, 3000, 0); /* separated */
    rig_fill(r, 2100, 2200, 9000, 0); /* straight to blob files */
    rig_compact(r);
    uint64_t full = rig_volume_bytes(r);
    pin(r, "one");
    rig_fill(r, 5000, 5010, 100, 0);
    rig_delete_range(r, rig_key(0), rig_key(5000));
    rig_compact(r);
    rig_work(r);
    assert_true(rig_volume_bytes(r) > full / 2);
    struct store_read read = at_pin(r, "one");
    rig_assert_fill_at(&read, 0, 2000, 300, 0);
    rig_assert_fill_at(&read, 2000, 2100, 3000, 0);
    rig_assert_fill_at(&read, 2100, 2200, 9000, 0);
    store_read_end(&read);
    assert_ok(store_pin_delete(r->s, "one"));
    rig_work(r);
    rig_work(r);
    if (rig_volume_bytes(r) > 20000)
        fail_msg("%" PRIu64 " bytes of %" PRIu64 " are left", rig_volume_bytes(r), full);
    rig_assert_fill(r, 5000, 5010, 100, 0);
    assert_int_equal(rig_count(r), 10);
    rig_close_clean(r);
}

/* Of many snapshots of one thing that changes, each goes with what only it held. */
static void test_pins_come_and_go(void **state)
{
    struct rig *r = *state;
    char name[16];
    rig_open(r);
    for (uint64_t round = 0; round < 40; round++) {
        rig_fill(r, 0, 50, 400, round * 1000);
        snprintf(name, sizeof name, "p%02d", (int)round);
        pin(r, name);
        if (round >= 5) {
            snprintf(name, sizeof name, "p%02d", (int)round - 5);
            struct store_read read = at_pin(r, name);
            rig_assert_fill_at(&read, 0, 50, 400, (round - 5) * 1000);
            store_read_end(&read);
            assert_ok(store_pin_delete(r->s, name));
        }
        if (round % 3 == 0)
            rig_work(r);
        if (round % 7 == 0)
            rig_reopen(r);
    }
    for (uint64_t round = 35; round < 40; round++) {
        snprintf(name, sizeof name, "p%02d", (int)round);
        struct store_read read = at_pin(r, name);
        rig_assert_fill_at(&read, 0, 50, 400, round * 1000);
        store_read_end(&read);
        assert_ok(store_pin_delete(r->s, name));
    }
    rig_compact(r);
    rig_work(r);
    assert_int_equal(rig_count(r), 50);
    rig_assert_fill(r, 0, 50, 400, 39 * 1000);
    assert_true(rig_volume_bytes(r) < 60000);
    rig_close_clean(r);
}

/* Pins of one kind go together, by age; others stay. */
static void test_expire(void **state)
{
    struct rig *r = *state;
    struct store_pin p[4], other;
    uint64_t count;
    char name[16];
    rig_open(r);
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "e%d", i);
        rig_put(r, "key", name);
        assert_ok(store_pin_create(r->s, name, 99, &p[i]));
    }
    assert_ok(store_pin_create(r->s, "other", 7, &other));
    assert_ok(store_pin_expire(r->s, 99, p[0].created_ns, &count));
    assert_int_equal(count, 0);
    assert_ok(store_pin_expire(r->s, 99, p[2].created_ns, &count));
    assert_int_equal(count, 2);
    assert_ok(store_pin_expire(r->s, 5, INT64_MAX, &count));
    assert_int_equal(count, 0);
    rig_reopen(r);
    rig_compact(r);
    assert_int_equal(rig_stats(r).pins, 3);
    struct store_read read;
    store_read_begin_at(r->s, p[2].seq, &read);
    rig_assert_at(&read, "key", "e2");
    store_read_end(&read);
    assert_ok(store_pin_expire(r->s, 99, INT64_MAX, &count));
    assert_int_equal(count, 2);
    assert_int_equal(rig_stats(r).pins, 1);
    rig_close_clean(r);
}

/* ---- beside everything else ---- */

enum { COUNTERS = 8 };

struct beside {
    struct rig *rig;
    int stop; /* atomic */
    pthread_t thread;
};

/* All counters rise together, one batch each time. */
static void *count_up(void *arg)
{
    struct beside *b = arg;
    struct store_batch *batch = store_batch_new(b->rig->s);
    char value[600];
    memset(value, 'v', sizeof value);
    for (int i = 0; !__atomic_load_n(&b->stop, __ATOMIC_RELAXED); i++) {
        snprintf(value, 16, "%015d", i);
        store_batch_clear(batch);
        for (uint64_t k = 0; k < COUNTERS; k++)
            store_batch_put(batch, slice_str(rig_key(k)), slice_of(value, k % 2 ? 15 : 600));
        if (store_write(b->rig->s, batch, 0) != 0)
            abort();
    }
    store_batch_free(batch);
    return NULL;
}

/* What all the counters stand at; the test fails if they differ. */
static int counters_at(struct rig *r, uint64_t seq)
{
    struct store_read read;
    struct store_value v = {0};
    int at = -1;
    store_read_begin_at(r->s, seq, &read);
    for (uint64_t k = 0; k < COUNTERS; k++) {
        int err = store_get(&read, slice_str(rig_key(k)), &v);
        if (err != 0)
            fail_msg("counter %" PRIu64 ": %d", k, err);
        char text[16];
        memcpy(text, v.data.data, 15);
        text[15] = 0;
        int n = atoi(text);
        if (at >= 0 && n != at)
            fail_msg("counter %" PRIu64 " is at %d and not %d", k, n, at);
        at = n;
    }
    store_value_release(&v);
    store_read_end(&read);
    return at;
}

/* Pins are made while memtables are sealed, flushed and compacted; none may lose what it holds. */
static void test_pins_while_working(void **state)
{
    struct rig *r = *state;
    struct beside writer = {.rig = r};
    struct {
        uint64_t seq;
        int at;
    } pins[300];
    char name[16];
    r->opt.workers = 2;
    r->opt.memtable_bytes = 8 << 10;
    rig_open(r);
    rig_fill(r, 0, COUNTERS, 10, 0);
    for (uint64_t k = 0; k < COUNTERS; k++)
        rig_put(r, rig_key(k), "000000000000000");
    assert_int_equal(pthread_create(&writer.thread, NULL, count_up, &writer), 0);
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof name, "p%03d", i);
        pins[i].seq = pin(r, name).seq;
        pins[i].at = counters_at(r, pins[i].seq);
        int old = i - 20;
        if (old < 0)
            continue;
        assert_int_equal(counters_at(r, pins[old].seq), pins[old].at);
        snprintf(name, sizeof name, "p%03d", old);
        assert_ok(store_pin_delete(r->s, name));
    }
    __atomic_store_n(&writer.stop, 1, __ATOMIC_RELAXED);
    pthread_join(writer.thread, NULL);
    rig_compact(r);
    rig_reopen(r);
    for (int i = 280; i < 300; i++)
        assert_int_equal(counters_at(r, pins[i].seq), pins[i].at);
    rig_close_clean(r);
}

struct racer {
    struct rig *rig;
    int results[3]; /* create, rename, delete */
    pthread_t thread;
    pthread_barrier_t *start;
};

static void *race(void *arg)
{
    struct racer *a = arg;
    struct store_pin p;
    pthread_barrier_wait(a->start);
    a->results[0] = store_pin_create(a->rig->s, "one", 0, &p);
    pthread_barrier_wait(a->start);
    a->results[1] = store_pin_rename(a->rig->s, "one", "two");
    pthread_barrier_wait(a->start);
    a->results[2] = store_pin_delete(a->rig->s, "two");
    return NULL;
}

/* Of several who make, rename and delete the same one, one does; the others are told. */
static void test_races_for_a_name(void **state)
{
    struct rig *r = *state;
    static const int otherwise[3] = {-EEXIST, 1, 1};
    pthread_barrier_t start;
    struct racer racers[4];
    rig_open(r);
    rig_log_reset();
    pthread_barrier_init(&start, NULL, 4);
    for (int round = 0; round < 100; round++) {
        for (int i = 0; i < 4; i++) {
            racers[i] = (struct racer){.rig = r, .start = &start};
            assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
        }
        int won[3] = {0};
        for (int i = 0; i < 4; i++) {
            pthread_join(racers[i].thread, NULL);
            for (int k = 0; k < 3; k++) {
                won[k] += racers[i].results[k] == 0;
                if (racers[i].results[k] != 0)
                    assert_int_equal(racers[i].results[k], otherwise[k]);
            }
        }
        for (int k = 0; k < 3; k++)
            assert_int_equal(won[k], 1);
        assert_pins(r, "");
    }
    assert_int_equal(rig_log.errors, 0);
    pthread_barrier_destroy(&start);
    rig_close_clean(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_SIM(test_names),
        RIG_SIM(test_pins_hold),
        RIG_SIM(test_pin_is_durable),
        RIG_SIM(test_space_comes_back),
        RIG_SIM(test_pins_come_and_go),
        RIG_SIM(test_expire),
        RIG_POSIX(test_pins_while_working),
        RIG_POSIX(test_races_for_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
