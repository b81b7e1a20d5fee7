/* since: what has changed between two moments, against a model of the past; what it costs; when it
 * is refused. */
#include "tests/unit/past.h"

/* ---- against the model ---- */

static void random_bounds(struct past *p, size_t *lo, size_t *hi)
{
    *lo = 0;
    *hi = PAST_KEYS;
    if (simrng_coin(&p->rng))
        return;
    *lo = (size_t)simrng_below(&p->rng, PAST_KEYS);
    *hi = *lo + (size_t)simrng_below(&p->rng, PAST_KEYS - *lo + 1);
}

/* From a pin, or from before everything, to a later pin or the present: always told. */
static void check_pinned(struct past *p)
{
    struct store_read read;
    size_t lo, hi;
    uint64_t from = simrng_below(&p->rng, 6) ? past_some_pin(p) : 1, to = past_some_pin(p);
    random_bounds(p, &lo, &hi);
    if (to >= from && to && simrng_coin(&p->rng))
        store_read_begin_at(p->r->s, to, &read);
    else
        store_read_begin(p->r->s, &read);
    assert_ok(
        past_check_since(p, &read, from, simrng_coin(&p->rng) ? STORE_SINCE_KEYS : 0, lo, hi));
    store_read_end(&read);
}

/* From any moment: told rightly, or refused. */
static bool check_any(struct past *p)
{
    struct store_read read;
    uint64_t back = 1 + simrng_below(&p->rng, simrng_coin(&p->rng) ? 4 : p->count);
    uint64_t from = p->states[back < p->count ? p->count - 1 - back : 0].seq;
    store_read_begin(p->r->s, &read);
    int err = past_check_since(p, &read, from, 0, 0, PAST_KEYS);
    store_read_end(&read);
    if (err != -ESTALE)
        assert_ok(err);
    return err == 0;
}

static void test_random_histories(void **state)
{
    struct rig *r = *state;
    struct past p;
    uint64_t told = 0, refused = 0;
    past_init(&p, r, unit_seed());
    r->opt.memtable_bytes = 16 << 10;
    r->opt.table_bytes = 8 << 10;
    r->opt.block_bytes = 256;
    r->opt.index_whole_bytes = 200; /* in parts */
    rig_open(r);
    for (int i = 0; i < 2500; i++) {
        past_step(&p);
        if (i % 5 == 0)
            check_pinned(&p);
        if (i % 5 == 1) {
            bool ok = check_any(&p);
            told += ok;
            refused += !ok;
        }
    }
    assert_true(told > 20 && refused > 20);
    past_assert_all(&p, r->s);
    rig_close_clean(r);
    past_release(&p);
}

/* ---- what it costs ---- */

static struct store_effort effort_of(struct rig *r, uint64_t from, uint64_t *changes)
{
    struct store_read read;
    struct store_since *s;
    struct store_change c;
    struct store_effort e;
    store_read_begin(r->s, &read);
    assert_ok(store_since_new(&read, from, (struct slice){0}, (struct slice){0}, 0, &s));
    for (*changes = 0; store_since_next(s, &c) == 0; ++*changes)
        ;
    store_since_effort(s, &e);
    store_since_free(s);
    store_read_end(&read);
    return e;
}

/* Few changes in a large store: most of it is not read. */
static void test_skips_by_bounds(void **state)
{
    struct rig *r = *state;
    struct store_pin pin;
    uint64_t changes;
    rig_open(r);
    rig_fill(r, 0, 6000, 100, 0);
    rig_compact(r);
    assert_ok(store_pin_create(r->s, "p", 0, &pin));
    rig_put(r, rig_key(3000), "changed");
    rig_put(r, rig_key(3001), "changed");
    rig_delete_range(r, rig_key(5000), rig_key(5100));
    rig_compact(r);
    struct store_stats st = rig_stats(r);
    assert_true(st.level_tables[6] > 10);
    struct store_effort e = effort_of(r, pin.seq, &changes);
    assert_int_equal(changes, 3);
    assert_int_equal(e.tables_read + e.tables_skipped, st.level_tables[6]);
    assert_true(e.tables_read <= 3);
    assert_true(e.blocks_read <= 2 && e.blocks_skipped > 5);
    e = effort_of(r, 1, &changes);
    assert_int_equal(changes, 6000 - 100 + 1);
    assert_int_equal(e.blocks_skipped, 0);
    uint64_t now;
    struct store_read read;
    store_read_begin(r->s, &read);
    now = read.seq;
    store_read_end(&read);
    e = effort_of(r, now, &changes);
    assert_int_equal(changes + e.blocks_read + e.tables_read, 0);
    rig_close_clean(r);
}

/* ---- when it is refused ---- */

static int open_since(struct rig *r, uint64_t from)
{
    struct store_read read;
    struct store_since *s;
    store_read_begin(r->s, &read);
    int err = store_since_new(&read, from, (struct slice){0}, (struct slice){0}, 0, &s);
    assert_true((err == 0) == (s != NULL));
    store_since_free(s);
    store_read_end(&read);
    return err;
}

static void test_refused(void **state)
{
    struct rig *r = *state;
    struct store_pin pin;
    rig_open(r);
    rig_put(r, "a", "1"); /* number 1 */
    rig_put(r, "b", "1");
    rig_put(r, "c", "1");
    assert_errno(open_since(r, 5), EINVAL);
    rig_compact(r); /* nothing was dropped: all of it is history still */
    for (uint64_t from = 0; from <= 4; from++)
        assert_ok(open_since(r, from));
    assert_ok(store_pin_create(r->s, "p", 0, &pin));
    assert_int_equal(pin.seq, 4);
    rig_put(r, "b", "2");
    rig_put(r, "b", "3");
    assert_ok(open_since(r, 5)); /* in memory */
    assert_ok(store_flush(r->s));
    assert_errno(open_since(r, 5), ESTALE); /* the first of the two is gone */
    assert_ok(open_since(r, 6));
    assert_ok(open_since(r, 4));
    assert_errno(open_since(r, 3), ESTALE);
    rig_reopen(r);
    assert_errno(open_since(r, 5), ESTALE);
    assert_ok(open_since(r, 4));
    assert_ok(open_since(r, 1));
    assert_ok(store_pin_delete(r->s, "p"));
    assert_errno(open_since(r, 4), ESTALE);
    rig_close_clean(r);
}

/* Of two tombstones over one key, which lies deeper, the older one is dropped: between the two it
 * looks as if the key had still been there. */
static void test_refused_between_tombstones(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    rig_put(r, "a", "1"); /* number 1 */
    rig_compact(r);
    rig_delete_range(r, "a", "b");
    assert_ok(open_since(r, 3));
    rig_delete_range(r, "a", "b");
    assert_ok(open_since(r, 3));
    assert_ok(store_flush(r->s));
    assert_errno(open_since(r, 3), ESTALE);
    assert_ok(open_since(r, 4));
    rig_close_clean(r);
}

/* A table that is dropped unread takes its past along. */
static void test_refused_after_a_drop(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    rig_fill(r, 0, 1000, 100, 0);
    rig_compact(r);
    assert_ok(open_since(r, 1001));
    rig_delete_range(r, "a", "z");
    assert_ok(open_since(r, 1001));
    rig_compact(r);
    assert_int_equal(rig_volume_bytes(r) < 2000, 1);
    assert_errno(open_since(r, 1001), ESTALE);
    assert_ok(open_since(r, 1002));
    rig_close_clean(r);
}

/* A reader's view is not concerned by what happens after it began. */
static void test_goes_on_from_its_view(void **state)
{
    struct rig *r = *state;
    struct store_pin pin;
    struct store_read read;
    struct store_since *s;
    struct store_change c;
    struct slice value;
    rig_open(r);
    rig_fill(r, 0, 500, 600, 0);
    assert_ok(store_pin_create(r->s, "p", 0, &pin));
    rig_fill(r, 100, 400, 600, 7);
    store_read_begin(r->s, &read);
    assert_ok(store_since_new(&read, pin.seq, (struct slice){0}, (struct slice){0}, 0, &s));
    store_read_end(&read);
    assert_ok(store_since_next(s, &c));
    assert_ok(store_pin_delete(r->s, "p"));
    rig_fill(r, 0, 500, 50, 99);
    rig_compact(r);
    struct buf room = {0};
    uint64_t i = 100;
    do {
        assert_int_equal(c.kind, STORE_CHANGE_CHANGED);
        assert_slice_str(c.key, rig_key(i));
        assert_ok(store_since_value(s, STORE_BEFORE, &value));
        assert_true(slice_eq(value, rig_value(i, 600, &room)));
        assert_ok(store_since_value(s, STORE_AFTER, &value));
        assert_true(slice_eq(value, rig_value(i + 7, 600, &room)));
        i++;
    } while (store_since_next(s, &c) == 0);
    assert_int_equal(i, 400);
    store_since_free(s);
    buf_release(&room);
    rig_close_clean(r);
}

/* Damage in a block that is read is an error, and one in a block that is skipped is not met. */
static void test_damage(void **state)
{
    struct rig *r = *state;
    struct store_pin pin;
    rig_open(r);
    rig_fill(r, 0, 200, 100, 0);
    rig_compact(r);
    assert_ok(store_pin_create(r->s, "p", 0, &pin));
    rig_fill(r, 50, 60, 100, 1);
    assert_ok(store_flush(r->s));
    rig_close(r);
    struct rig_names tables = rig_files(r, FILE_TABLE);
    for (int i = 0; i < tables.count; i++) {
        bool newest = i == tables.count - 1;
        struct store_read read;
        struct store_since *s;
        struct store_change c;
        assert_ok(simdisk_flip(r->disk, rig_file(r, FILE_TABLE, tables.number[i]), 200, 1));
        r->opt.read_only = true;
        rig_open(r);
        store_read_begin(r->s, &read);
        assert_ok(store_since_new(&read, pin.seq, (struct slice){0}, (struct slice){0}, 0, &s));
        int err = store_since_next(s, &c);
        assert_int_equal(err, newest ? -EIO : 0);
        store_since_free(s);
        store_read_end(&read);
        rig_close(r);
        assert_ok(simdisk_flip(r->disk, rig_file(r, FILE_TABLE, tables.number[i]), 200, 1));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_SIM(test_random_histories),
        RIG_SIM(test_skips_by_bounds),
        RIG_SIM(test_refused),
        RIG_SIM(test_refused_between_tombstones),
        RIG_SIM(test_refused_after_a_drop),
        RIG_SIM(test_goes_on_from_its_view),
        RIG_SIM(test_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
