/* store_blob_account: the account of blob garbage is exact, whatever drops a value: overwriting, a
 * deletion, a range tombstone, a table that is dropped unread, operands that are folded, a snapshot
 * that goes, a flush, a compaction, a move, a crash. The verifier compares it with a scan (findings
 * 132 to 135), and at the end nothing is left. On the simulated disk. */
#include "tests/unit/store_rig.h"

enum { KEYS = 240, PINS_MAX = 4, VALUE_MAX = 24 << 10 };

/* What the store should hold, now or at a pin. */
struct model {
    struct buf values[KEYS];
    bool there[KEYS];
};
struct snapshot {
    bool used;
    struct store_pin pin;
    struct model model;
};
struct play {
    struct rig *r;
    struct simrng rng;
    struct model now;
    struct snapshot snapshots[PINS_MAX];
    uint64_t salt;
};

static void model_copy(struct model *to, const struct model *from)
{
    for (int i = 0; i < KEYS; i++) {
        buf_set(&to->values[i], buf_slice(&from->values[i]));
        to->there[i] = from->there[i];
    }
}

static void model_release(struct model *m)
{
    for (int i = 0; i < KEYS; i++)
        buf_release(&m->values[i]);
}

static void model_assert(const struct model *m, const struct store_read *read)
{
    struct store_value v = {0};
    for (int i = 0; i < KEYS; i++) {
        int err = store_get(read, slice_str(rig_key((uint64_t)i)), &v);
        if (err != (m->there[i] ? 0 : 1))
            fail_msg("key %d: %d", i, err);
        if (err == 0 && !slice_eq(v.data, buf_slice(&m->values[i])))
            fail_msg("key %d has another value", i);
    }
    store_value_release(&v);
}

/* ---- operations ---- */

/* Inline, separated at flush, or written straight to a blob file. */
static size_t random_len(struct simrng *rng)
{
    switch (simrng_below(rng, 3)) {
    case 0:
        return simrng_below(rng, 500);
    case 1:
        return 512 + simrng_below(rng, 3000);
    default:
        return (4 << 10) + simrng_below(rng, 5000);
    }
}

static void play_put(struct play *p, int key, bool merge)
{
    struct buf room = {0};
    struct slice value = rig_value(p->salt++, random_len(&p->rng), &room);
    if (value.len)
        room.data[0] = 'v'; /* and not '!', which the operator takes for damage */
    struct store_batch *b = store_batch_new(p->r->s);
    struct buf *held = &p->now.values[key];
    if (!p->now.there[key] || !merge)
        held->len = 0;
    buf_append(held, value);
    p->now.there[key] = true;
    if (merge)
        store_batch_merge(b, slice_str(rig_key((uint64_t)key)), value);
    else
        store_batch_put(b, slice_str(rig_key((uint64_t)key)), value);
    assert_ok(rig_write(p->r, b, 0));
    buf_release(&room);
}

static void play_delete(struct play *p, int from, int to, bool range)
{
    if (range)
        rig_delete_range(p->r, rig_key((uint64_t)from), rig_key((uint64_t)to));
    for (int i = from; i < to; i++) {
        if (!range)
            rig_delete(p->r, rig_key((uint64_t)i));
        p->now.there[i] = false;
        p->now.values[i].len = 0;
    }
}

static void play_pin(struct play *p)
{
    int i = (int)simrng_below(&p->rng, PINS_MAX);
    struct snapshot *s = &p->snapshots[i];
    char name[8];
    snprintf(name, sizeof name, "p%d", i);
    if (s->used) {
        assert_ok(store_pin_delete(p->r->s, name));
    } else {
        assert_ok(store_pin_create(p->r->s, name, 0, &s->pin));
        model_copy(&s->model, &p->now);
    }
    s->used = !s->used;
}

static void play_one(struct play *p)
{
    int key = (int)simrng_below(&p->rng, KEYS);
    int to = key + 1 + (int)simrng_below(&p->rng, 30);
    switch (simrng_below(&p->rng, 100)) {
    case 0:
        assert_ok(store_flush(p->r->s));
        break;
    case 1:
        rig_work(p->r);
        break;
    case 2:
        play_pin(p);
        break;
    case 3:
        play_delete(p, key, to < KEYS ? to : KEYS, true);
        break;
    case 4:
        if (simrng_below(&p->rng, 8) == 0)
            rig_compact(p->r);
        break;
    case 5:
    case 6:
    case 7:
        play_delete(p, key, key + 1, false);
        break;
    default:
        play_put(p, key, simrng_below(&p->rng, 4) == 0 && p->now.values[key].len < VALUE_MAX);
    }
}

/* ---- checks ---- */

static void play_assert(struct play *p, struct rig *r)
{
    struct store_read read;
    store_read_begin(r->s, &read);
    model_assert(&p->now, &read);
    store_read_end(&read);
    for (int i = 0; i < PINS_MAX; i++) {
        if (!p->snapshots[i].used)
            continue;
        store_read_begin_at(r->s, p->snapshots[i].pin.seq, &read);
        model_assert(&p->snapshots[i].model, &read);
        store_read_end(&read);
    }
}

/* The verifier, and what it does not look for: a blob file that nothing refers to stays in no
 * account. */
static void play_check(struct play *p)
{
    play_assert(p, p->r);
    rig_close_clean(p->r);
    rig_open(p->r);
}

/* A process that is killed now leaves something sound behind. */
static void play_kill(struct play *p)
{
    struct rig *k = rig_kill(p->r);
    rig_open(k);
    play_assert(p, k);
    rig_close_clean(k);
    rig_drop(k);
}

static void play_end(struct play *p)
{
    for (int i = 0; i < PINS_MAX; i++)
        if (p->snapshots[i].used) {
            char name[32];
            snprintf(name, sizeof name, "p%d", i);
            assert_ok(store_pin_delete(p->r->s, name));
            p->snapshots[i].used = false;
        }
    rig_compact(p->r);
    rig_work(p->r);
    play_check(p);
    play_delete(p, 0, KEYS, true);
    rig_compact(p->r);
    rig_work(p->r);
    struct store_stats st = rig_stats(p->r);
    assert_int_equal(st.blob_files, 0);
    assert_int_equal(st.blob_garbage_bytes, 0);
    assert_int_equal(st.table_entries, 0);
    rig_close_clean(p->r);
    assert_int_equal(rig_files(p->r, FILE_BLOB).count, 0);
    rig_open(p->r);
    play_assert(p, p->r);
    rig_close(p->r);
    for (int i = 0; i < PINS_MAX; i++)
        model_release(&p->snapshots[i].model);
    model_release(&p->now);
}

static void test_account_is_exact(void **state)
{
    struct play p = {.r = *state, .rng = {unit_seed()}};
    p.r->opt.blob_bytes = 128 << 10;
    rig_open(p.r);
    uint64_t moved = 0;
    for (int i = 1; i <= 6000; i++) {
        play_one(&p);
        if (i % 1500 == 0) {
            moved += rig_stats(p.r).bytes_moved_blob;
            play_check(&p);
        } else if (i % 750 == 0) {
            play_kill(&p);
        }
    }
    if (moved == 0)
        fail_msg("no value was moved: the test shows less than it should");
    play_end(&p);
}

/* What a table that is dropped unread had in blob files is garbage. */
static void test_tables_dropped_unread(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    rig_fill(r, 0, 400, 1000, 0);
    rig_compact(r);
    assert_true(rig_stats(r).blob_bytes > 100 * 1000);
    rig_put(r, "a", "stays");
    rig_delete_range(r, rig_key(0), rig_key(400));
    rig_compact(r);
    rig_work(r);
    assert_int_equal(rig_stats(r).blob_files, 0);
    rig_assert(r, "a", "stays");
    rig_close_clean(r);
    assert_int_equal(rig_files(r, FILE_BLOB).count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_SIM(test_account_is_exact),
        RIG_SIM(test_tables_dropped_unread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
