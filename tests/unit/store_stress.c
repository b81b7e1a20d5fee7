/* store_stress: writers, readers, snapshots and background work on the real system for a few
 * seconds, with invariants that every read has to find true. STRESS_SECONDS=n makes it longer. */
#include "tests/unit/store_rig.h"

enum {
    WRITERS = 3,
    READERS = 2,
    ACCOUNTS = 60, /* of each writer */
    START = 1000,  /* on each account */
    SCRATCH = 50,  /* keys that come and go */
    PINS = 4,
};

/* What a writer keeps true, in every batch: its accounts add up to ACCOUNTS * START; the scratch
 * keys are as many as the marker says; the merged key is a row of "abcd". */
struct actor {
    struct rig *rig;
    int id;
    uint64_t seed;
    uint64_t rounds;
    pthread_t thread;
};

static int stop; /* atomic */

static void give_up(const char *what, int id, uint64_t seq)
{
    fprintf(stderr, "stress: %s (writer %d, read at %" PRIu64 ")\n", what, id, seq);
    abort();
}

static struct slice key_of(char kind, int id, int i)
{
    static _Thread_local char keys[4][24];
    static _Thread_local int next;
    char *key = keys[next++ % 4];
    int len = snprintf(key, sizeof keys[0], "%c%02d-%05d", kind, id, i);
    return slice_of(key, (size_t)len);
}

/* ---- writing ---- */

/* The amount in 16 digits, and a tail of any length: inline, separated at flush, or at commit. */
static void put_amount(struct store_batch *b, struct simrng *rng, struct slice key, int amount,
                       struct buf *room)
{
    uint64_t dice = simrng_below(rng, 30);
    size_t tail = dice == 0  ? 4000 + (size_t)simrng_below(rng, 3000)
                  : dice < 4 ? 500 + (size_t)simrng_below(rng, 500)
                             : (size_t)simrng_below(rng, 100);
    rig_value(simrng_next(rng), 16 + tail, room);
    char text[17];
    snprintf(text, sizeof text, "%016d", amount);
    memcpy(room->data, text, 16);
    store_batch_put(b, key, buf_slice(room));
}

static void add_scratch(struct actor *a, struct simrng *rng, struct store_batch *b, int *there,
                        struct buf *room)
{
    store_batch_delete_range(b, key_of('s', a->id, 0), key_of('s', a->id, SCRATCH));
    *there = (int)simrng_below(rng, SCRATCH);
    for (int i = 0; i < *there; i++)
        store_batch_put(b, key_of('s', a->id, i), slice_str("scratch"));
    put_amount(b, rng, key_of('n', a->id, 0), *there, room);
}

static void add_merge(struct actor *a, struct simrng *rng, struct store_batch *b)
{
    if (simrng_below(rng, 50) == 0)
        store_batch_delete(b, key_of('m', a->id, 0));
    store_batch_merge(b, key_of('m', a->id, 0), slice_str("abcd"));
}

static void *write_on(void *arg)
{
    struct actor *a = arg;
    struct simrng rng = {a->seed};
    struct store_batch *b = store_batch_new(a->rig->s);
    struct buf room = {0};
    int amounts[ACCOUNTS], there = 0;
    for (int i = 0; i < ACCOUNTS; i++)
        amounts[i] = START;
    for (; !__atomic_load_n(&stop, __ATOMIC_RELAXED); a->rounds++) {
        store_batch_clear(b);
        for (uint64_t moves = 1 + simrng_below(&rng, 3); moves > 0; moves--) {
            int from = (int)simrng_below(&rng, ACCOUNTS), to = (int)simrng_below(&rng, ACCOUNTS);
            int amount = (int)simrng_below(&rng, 100);
            amounts[from] -= amount;
            amounts[to] += amount;
            put_amount(b, &rng, key_of('a', a->id, from), amounts[from], &room);
            put_amount(b, &rng, key_of('a', a->id, to), amounts[to], &room);
        }
        if (simrng_below(&rng, 10) == 0)
            add_scratch(a, &rng, b, &there, &room);
        if (simrng_below(&rng, 4) == 0)
            add_merge(a, &rng, b);
        if (store_write(a->rig->s, b, simrng_below(&rng, 100) ? 0 : STORE_SYNC) != 0)
            give_up("a write failed", a->id, 0);
    }
    store_batch_free(b);
    buf_release(&room);
    return NULL;
}

/* ---- reading ---- */

static int amount_of(struct slice value, int id, uint64_t seq)
{
    char text[17];
    if (value.len < 16)
        give_up("an amount is too short", id, seq);
    memcpy(text, value.data, 16);
    text[16] = 0;
    return atoi(text);
}

static int sum_by_get(const struct store_read *read, int id, struct store_value *v)
{
    int sum = 0;
    for (int i = 0; i < ACCOUNTS; i++) {
        int err = store_get(read, key_of('a', id, i), v);
        if (err != 0)
            give_up("an account is gone", id, read->seq);
        sum += amount_of(v->data, id, read->seq);
    }
    return sum;
}

static int sum_by_cursor(const struct store_read *read, int id, bool backwards)
{
    struct store_iter *it = store_iter_new(read, key_of('a', id, 0), key_of('a', id, ACCOUNTS));
    int sum = 0, count = 0, err = backwards ? store_iter_last(it) : store_iter_first(it);
    while (err == 0) {
        struct slice value;
        if (store_iter_value(it, &value) != 0)
            give_up("a cursor has no value", id, read->seq);
        sum += amount_of(value, id, read->seq);
        count++;
        err = backwards ? store_iter_prev(it) : store_iter_next(it);
    }
    if (err != 1 || count != ACCOUNTS)
        give_up("a cursor does not find all accounts", id, read->seq);
    store_iter_free(it);
    return sum;
}

static void check_scratch(const struct store_read *read, int id, struct store_value *v)
{
    int err = store_get(read, key_of('n', id, 0), v), count = 0;
    int expected = err == 0 ? amount_of(v->data, id, read->seq) : 0;
    struct store_iter *it = store_iter_new(read, key_of('s', id, 0), key_of('s', id, SCRATCH));
    for (err = store_iter_first(it); err == 0; err = store_iter_next(it))
        count++;
    store_iter_free(it);
    if (err != 1 || count != expected)
        give_up("the scratch keys are not those of the marker", id, read->seq);
}

static void check_merged(const struct store_read *read, int id, struct store_value *v)
{
    int err = store_get(read, key_of('m', id, 0), v);
    if (err == 1)
        return;
    bool good = err == 0 && v->data.len % 4 == 0 && v->data.len > 0;
    for (size_t i = 0; good && i < v->data.len; i++)
        good = v->data.data[i] == "abcd"[i % 4];
    if (!good)
        give_up("the merged key is wrong", id, read->seq);
}

static void check_read(const struct store_read *read, struct simrng *rng, struct store_value *v)
{
    int id = (int)simrng_below(rng, WRITERS);
    uint64_t dice = simrng_below(rng, 3);
    int sum = dice == 0 ? sum_by_get(read, id, v) : sum_by_cursor(read, id, dice == 1);
    if (sum != ACCOUNTS * START)
        give_up("the accounts do not add up", id, read->seq);
    check_scratch(read, id, v);
    check_merged(read, id, v);
}

static void *read_on(void *arg)
{
    struct actor *a = arg;
    struct simrng rng = {a->seed};
    struct store_value v = {0};
    for (; !__atomic_load_n(&stop, __ATOMIC_RELAXED); a->rounds++) {
        struct store_read read;
        store_read_begin(a->rig->s, &read);
        check_read(&read, &rng, &v);
        if (simrng_below(&rng, 5) == 0) {
            usleep(1000 * (useconds_t)simrng_below(&rng, 20));
            check_read(&read, &rng, &v); /* still the same state */
        }
        store_read_end(&read);
    }
    store_value_release(&v);
    return NULL;
}

/* ---- snapshots and work on demand ---- */

static void *pin_on(void *arg)
{
    struct actor *a = arg;
    struct store *s = a->rig->s;
    struct simrng rng = {a->seed};
    struct store_value v = {0};
    uint64_t seqs[PINS] = {0};
    for (; !__atomic_load_n(&stop, __ATOMIC_RELAXED); a->rounds++) {
        uint64_t i = simrng_below(&rng, PINS);
        char name[16], other[16];
        struct store_pin pin;
        snprintf(name, sizeof name, "pin%d", (int)i);
        snprintf(other, sizeof other, "was%d", (int)i);
        if (!seqs[i]) {
            if (store_pin_create(s, name, i, &pin) != 0)
                give_up("a pin cannot be made", 0, 0);
            seqs[i] = pin.seq;
        } else if (simrng_below(&rng, 4) == 0) {
            if (store_pin_rename(s, name, other) != 0 || store_pin_delete(s, other) != 0)
                give_up("a pin cannot be deleted", 0, seqs[i]);
            seqs[i] = 0;
            continue;
        }
        struct store_read read;
        store_read_begin_at(s, seqs[i], &read);
        check_read(&read, &rng, &v);
        store_read_end(&read);
    }
    store_value_release(&v);
    return NULL;
}

static void *work_on(void *arg)
{
    struct actor *a = arg;
    struct simrng rng = {a->seed};
    for (; !__atomic_load_n(&stop, __ATOMIC_RELAXED); a->rounds++) {
        struct store_stats st;
        int id = (int)simrng_below(&rng, WRITERS);
        int err = simrng_below(&rng, 2)
                      ? store_flush(a->rig->s)
                      : store_compact(a->rig->s, key_of('a', id, 0), key_of('a', id, ACCOUNTS));
        if (err != 0 || store_get_stats(a->rig->s, &st) != 0)
            give_up("work on demand failed", id, 0);
        usleep(1000 * (useconds_t)simrng_below(&rng, 100));
    }
    return NULL;
}

/* ---- all of it ---- */

static void make_accounts(struct rig *r)
{
    struct store_batch *b = store_batch_new(r->s);
    struct simrng rng = {1};
    struct buf room = {0};
    for (int id = 0; id < WRITERS; id++)
        for (int i = 0; i < ACCOUNTS; i++)
            put_amount(b, &rng, key_of('a', id, i), START, &room);
    assert_ok(rig_write(r, b, 0));
    buf_release(&room);
}

static void check_all(struct rig *r)
{
    struct simrng rng = {2};
    struct store_value v = {0};
    struct store_read read;
    store_read_begin(r->s, &read);
    for (int i = 0; i < 20; i++)
        check_read(&read, &rng, &v);
    store_read_end(&read);
    store_value_release(&v);
}

static int check_pin(void *ctx, const struct store_pin *pin)
{
    struct rig *r = ctx;
    struct simrng rng = {3};
    struct store_value v = {0};
    struct store_read read;
    store_read_begin_at(r->s, pin->seq, &read);
    for (int i = 0; i < 20; i++)
        check_read(&read, &rng, &v);
    store_read_end(&read);
    store_value_release(&v);
    return 0;
}

static void start(struct actor *a, struct rig *r, int id, uint64_t seed, void *(*fn)(void *arg))
{
    *a = (struct actor){.rig = r, .id = id, .seed = seed + (uint64_t)id};
    assert_int_equal(pthread_create(&a->thread, NULL, fn, a), 0);
}

static void one_life(struct rig *r, uint64_t seed, unsigned ms)
{
    struct actor actors[WRITERS + READERS + 2];
    int count = 0;
    __atomic_store_n(&stop, 0, __ATOMIC_RELAXED);
    for (int i = 0; i < WRITERS; i++, count++)
        start(&actors[count], r, i, seed, write_on);
    for (int i = 0; i < READERS; i++, count++)
        start(&actors[count], r, count, seed, read_on);
    start(&actors[count], r, count, seed, pin_on);
    count++;
    start(&actors[count], r, count, seed, work_on);
    count++;
    usleep(1000 * ms);
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (int i = 0; i < count; i++)
        pthread_join(actors[i].thread, NULL);
    for (int i = 0; i < count; i++)
        if (actors[i].rounds == 0)
            fail_msg("thread %d did nothing", i);
}

/* Several lives: each writer begins with accounts as they were at the start. */
static void test_stress(void **state)
{
    struct rig *r = *state;
    uint64_t seed = unit_seed();
    const char *given = getenv("STRESS_SECONDS");
    unsigned seconds = given ? (unsigned)atoi(given) : 3;
    r->opt.workers = 2;
    r->opt.memtable_bytes = 32 << 10;
    r->opt.blob_bytes = 128 << 10;
    r->opt.table_bytes = 16 << 10;
    r->opt.index_whole_bytes = 200; /* in parts */
    r->opt.cache_bytes = 64 << 10;
    r->opt.idle_flush_ns = 50000000;
    rig_open(r);
    for (unsigned life = 0; life < 3; life++) {
        make_accounts(r);
        one_life(r, seed + life * 100, seconds * 1000 / 3);
        check_all(r);
        struct store_pin pin;
        char name[16];
        snprintf(name, sizeof name, "life%u", life);
        assert_ok(store_pin_create(r->s, name, 0, &pin));
        for (int i = 0; i < PINS; i++) {
            snprintf(name, sizeof name, "pin%d", i);
            assert_true(store_pin_delete(r->s, name) >= 0);
        }
        rig_close_clean(r);
        rig_open(r);
        check_all(r);
        assert_ok(store_pin_list(r->s, check_pin, r));
    }
    rig_compact(r);
    check_all(r);
    assert_ok(store_pin_list(r->s, check_pin, r));
    struct store_stats st = rig_stats(r);
    assert_true(st.seq > 1000);
    rig_close_clean(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_POSIX(test_stress),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
