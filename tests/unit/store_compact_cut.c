/* compact_cut, and compact_run with it: a large job in parts that run side by side: the same
 * result, one edit, and nothing of it when a part fails. */
#include "tests/unit/env_alone.h"
#include "tests/unit/store_rig.h"

#include "store/compact_cut.h"
#include "store/store_priv.h"

enum { KEYS = 3000 };

/* ---- cutting ---- */

/* All of level 0, as a job. */
static struct pick whole(struct rig *r)
{
    struct pick_options opt = {.level0_trigger = 1,
                               .base_bytes = 1 << 20,
                               .fanout = 10,
                               .table_bytes = 1 << 20,
                               .inputs_bytes_max = 1 << 30};
    struct pick p;
    assert_ok(compact_pick(viewbox_peek(r->s->tree.box)->version, &opt, &p));
    return p;
}

static void test_cuts_are_even(void **state)
{
    struct rig *r = *state;
    struct buf cuts[COMPACT_PARTS_MAX - 1];
    r->opt.level0_tables = 64;
    rig_open(r);
    for (uint64_t i = 0; i < 3; i++) {
        rig_fill(r, i * 100, KEYS, 300, i);
        assert_ok(store_flush(r->s));
    }
    struct pick p = whole(r);
    assert_int_equal(compact_cut(&p, 1, cuts), 1);
    for (uint32_t wanted = 2; wanted <= COMPACT_PARTS_MAX; wanted++) {
        uint64_t before = 0;
        assert_int_equal(compact_cut(&p, wanted, cuts), wanted);
        for (uint32_t i = 0; i < wanted - 1; i++) {
            /* Key k00000NNN: where the number comes to. */
            char text[16] = {0};
            memcpy(text, cuts[i].data, cuts[i].len < 9 ? cuts[i].len : 9);
            for (int k = 1; k < 9; k++)
                text[k] = text[k] < '0' ? '0' : text[k] > '9' ? '9' : text[k];
            uint64_t at = strtoull(text + 1, NULL, 10);
            assert_in_range(at - before, KEYS / wanted * 8 / 10, KEYS / wanted * 13 / 10);
            before = at;
            buf_release(&cuts[i]);
        }
    }
    pick_release(&p);
    rig_close_clean(r);
}

static void test_one_key_is_not_cut(void **state)
{
    struct rig *r = *state;
    struct buf cuts[COMPACT_PARTS_MAX - 1];
    r->opt.level0_tables = 64;
    rig_open(r);
    for (uint64_t i = 0; i < 4; i++) {
        rig_fill(r, 7, 8, 300, i);
        assert_ok(store_flush(r->s));
    }
    struct pick p = whole(r);
    uint32_t parts = compact_cut(&p, 4, cuts);
    assert_true(parts <= 2); /* and then one of them is empty */
    for (uint32_t i = 0; i + 1 < parts; i++)
        buf_release(&cuts[i]);
    pick_release(&p);
    rig_close_clean(r);
}

/* ---- the first piece ---- */

static uint64_t below(const struct pick *p, struct slice key)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < p->upper_count; i++) {
        struct table *t = version_table_opened(p->upper[i]);
        assert_non_null(t);
        bytes += table_range_bytes(t, (struct slice){0}, key);
    }
    return bytes;
}

/* No more than was asked for, and most of that. */
static void assert_pieces(struct rig *r)
{
    struct buf key = {0};
    struct pick p = whole(r);
    uint64_t all = 0, before = 0;
    for (uint64_t most = 16 << 10; most < 512 << 10; most *= 2) {
        assert_ok(compact_cut_below(&p, most, &key));
        all = below(&p, (struct slice){0});
        uint64_t bytes = below(&p, buf_slice(&key));
        assert_true(bytes <= most && bytes >= most / 2 && bytes > before && bytes < all);
        assert_true(key.len < 64);
        before = bytes;
    }
    assert_absent(compact_cut_below(&p, 100, &key)); /* less than a block */
    pick_release(&p);
    buf_release(&key);
}

static void put_key(struct rig *r, const struct buf *key, uint64_t salt)
{
    struct buf room = {0};
    struct store_batch *b = store_batch_new(r->s);
    store_batch_put(b, buf_slice(key), rig_value(salt, 300, &room));
    assert_ok(rig_write(r, b, 0));
    buf_release(&room);
}

/* However the keys lie: here nearly all are behind one that shares no more than its first letter
 * with them, and they differ late. */
static void first_piece(struct rig *r, const char *last)
{
    struct buf key = {0};
    r->opt.level0_tables = 64;
    rig_open(r);
    for (uint64_t f = 0; f < 3; f++) {
        rig_put(r, "a", "first");
        if (last)
            rig_put(r, last, "last");
        for (uint64_t i = 0; i < 1000; i++) {
            char name[80];
            snprintf(name, sizeof name, "many keys that differ only at their ends%08" PRIu64, i);
            buf_set(&key, slice_str(name));
            put_key(r, &key, i + f);
        }
        assert_ok(store_flush(r->s));
    }
    assert_pieces(r);
    buf_release(&key);
    rig_close_clean(r);
}

static void test_first_piece(void **state)
{
    first_piece(*state, "z");
}

/* All of it begins as the limit does. */
static void test_first_piece_is_last(void **state)
{
    first_piece(*state, NULL);
}

static void inode_key(struct buf *key, uint64_t inode, uint8_t kind)
{
    buf_clear(key);
    buf_put_be64(key, inode);
    buf_append_bytes(key, &kind, 1);
}

/* As a file system has them: a small file, and one that is large. */
static void large_file(struct rig *r, uint64_t small, uint64_t large)
{
    struct buf key = {0};
    r->opt.level0_tables = 64;
    rig_open(r);
    for (uint64_t f = 0; f < 3; f++) {
        inode_key(&key, small, 0);
        put_key(r, &key, f);
        for (uint64_t i = 0; i < 1000; i++) {
            inode_key(&key, large, 3);
            buf_put_be64(&key, i);
            put_key(r, &key, i + f);
        }
        assert_ok(store_flush(r->s));
    }
    assert_pieces(r);
    buf_release(&key);
    rig_close_clean(r);
}

static void test_large_file(void **state)
{
    large_file(*state, 1, 2);
}

static void test_large_file_far_off(void **state)
{
    large_file(*state, UINT64_C(77) << 40, (UINT64_C(77) << 40) + (UINT64_C(1) << 33));
}

static void test_large_file_at_the_end(void **state)
{
    large_file(*state, 5, UINT64_MAX - 1);
}

/* ---- the same as without ---- */

static void mix(struct rig *r, struct simrng *rng)
{
    for (int i = 0; i < 200; i++) {
        uint64_t key = simrng_below(rng, KEYS);
        switch (simrng_below(rng, 8)) {
        case 0:
            rig_delete(r, rig_key(key));
            break;
        case 1:
            rig_delete_range(r, rig_key(key), rig_key(key + 1 + simrng_below(rng, 300)));
            break;
        case 2:
            rig_merge_op(r, rig_key(key), "more");
            break;
        default:
            rig_fill(r, key, key + 1 + simrng_below(rng, 20), simrng_coin(rng) ? 300 : 900,
                     simrng_below(rng, 100));
        }
    }
}

/* Two stores of the same history, one with a worker and one with four, read alike at each pin. */
static void assert_same(struct rig *a, struct rig *b, uint64_t seq)
{
    struct store_read reads[2];
    struct store_iter *its[2];
    struct rig *rigs[2] = {a, b};
    for (int i = 0; i < 2; i++) {
        if (seq)
            store_read_begin_at(rigs[i]->s, seq, &reads[i]);
        else
            store_read_begin(rigs[i]->s, &reads[i]);
        its[i] = store_iter_new(&reads[i], (struct slice){0}, (struct slice){0});
    }
    int err[2] = {store_iter_first(its[0]), store_iter_first(its[1])};
    while (err[0] == 0 && err[1] == 0) {
        struct slice values[2];
        assert_true(slice_eq(store_iter_key(its[0]), store_iter_key(its[1])));
        for (int i = 0; i < 2; i++)
            assert_ok(store_iter_value(its[i], &values[i]));
        assert_true(slice_eq(values[0], values[1]));
        for (int i = 0; i < 2; i++)
            err[i] = store_iter_next(its[i]);
    }
    assert_true(err[0] == 1 && err[1] == 1);
    for (int i = 0; i < 2; i++) {
        store_iter_free(its[i]);
        store_read_end(&reads[i]);
    }
}

static uint64_t never(struct env *env)
{
    (void)env;
    return 0;
}

static void test_same_as_in_one(void **state)
{
    struct rig *r = *state, other = *r;
    struct store_pin pins[3], same;
    uint64_t seed = unit_seed();
    static struct env roomy; /* where nobody else wants the processor */
    roomy = *r->env;
    roomy.preemptions = never;
    r->env = other.env = &roomy;
    rig_options(&r->opt, r->env);
    strcat(other.dir, "-one");
    rig_make(&other);
    struct rig *rigs[2] = {r, &other};
    for (int i = 0; i < 2; i++) {
        struct simrng rng = {seed};
        rigs[i]->opt.level0_tables = 64;
        rigs[i]->opt.workers = i == 0 ? 4 : 1;
        rig_open(rigs[i]);
        rig_fill(rigs[i], 0, KEYS, 300, 0);
        rig_compact(rigs[i]);
        rig_log_reset();
        for (int round = 0; round < 3; round++) {
            char name[16];
            mix(rigs[i], &rng);
            snprintf(name, sizeof name, "%d", round);
            assert_ok(store_pin_create(rigs[i]->s, name, 0, i == 0 ? &pins[round] : &same));
            if (i == 1)
                assert_int_equal(same.seq, pins[round].seq);
            mix(rigs[i], &rng);
            rig_compact(rigs[i]);
        }
        assert_int_equal(rig_logged("in parts"), i == 0);
    }
    assert_same(r, &other, 0);
    for (int round = 0; round < 3; round++)
        assert_same(r, &other, pins[round].seq);
    /* How many entries there are besides those that somebody reads depends on what the workers did
     * meanwhile, by themselves. */
    for (int i = 0; i < 2; i++) {
        for (int round = 0; round < 3; round++) {
            char name[16];
            snprintf(name, sizeof name, "%d", round);
            assert_ok(store_pin_delete(rigs[i]->s, name));
        }
        rig_compact(rigs[i]);
        rig_close_clean(rigs[i]); /* and all accounts are right */
    }
    other.env->list(other.env, other.dir, rig_remove_entry, other.dir);
    rmdir(other.dir);
}

/* Tables that are dropped unread are counted as garbage once, not by each part. */
static void test_dropped_unread_once(void **state)
{
    struct rig *r = *state;
    static struct env alone;
    alone = *env_posix();
    env_alone(&alone); /* no worker takes the job away, and the parts run one by one */
    r->opt.env = &alone;
    r->opt.level0_tables = 64;
    r->opt.workers = 4;
    rig_open(r);
    rig_fill(r, 0, 1000, 900, 0);
    rig_compact(r);
    rig_fill(r, 1500, 4000, 300, 0);
    rig_compact(r);
    rig_log_reset();
    rig_delete_range(r, rig_key(0), rig_key(1001));
    rig_fill(r, 1500, 4000, 300, 1);
    rig_compact(r);
    assert_true(rig_logged("in parts"));
    rig_assert_fill(r, 1500, 4000, 300, 1);
    assert_int_equal(rig_count(r), 2500);
    rig_close_clean(r);
}

/* ---- a part that fails ---- */

static struct {
    struct env env;
    int left, err; /* atomic: tables that can be made */
} poor;

static int poor_open(struct env *env, const char *path, enum env_open_mode mode,
                     struct env_file **out)
{
    (void)env;
    *out = NULL;
    if (mode == ENV_OPEN_CREATE && strstr(path, ".table") &&
        __atomic_sub_fetch(&poor.left, 1, __ATOMIC_RELAXED) < 0)
        return poor.err;
    return env_posix()->open(env_posix(), path, mode, out);
}

static void test_a_part_fails(void **state)
{
    struct rig *r = *state;
    int failed = 0;
    poor.env = *env_posix();
    poor.env.open = poor_open;
    poor.left = 1 << 20;
    poor.err = -EMFILE;
    r->opt.env = &poor.env;
    r->opt.level0_tables = 64;
    rig_open(r);
    for (uint64_t i = 0; i < 3; i++) {
        rig_fill(r, 0, KEYS, i == 1 ? 900 : 300, i);
        assert_ok(store_flush(r->s));
    }
    rig_close(r);
    r->opt.workers = 4;
    rig_open(r);
    int tables = rig_files(r, FILE_TABLE).count, blobs = rig_files(r, FILE_BLOB).count;
    for (int n = 0;; n++) {
        __atomic_store_n(&poor.left, n, __ATOMIC_RELAXED);
        int err = store_compact(r->s, (struct slice){0}, (struct slice){0});
        if (err == 0)
            break;
        assert_errno(err, EMFILE);
        failed++;
        assert_int_equal(rig_files(r, FILE_TABLE).count, tables);
        assert_int_equal(rig_files(r, FILE_BLOB).count, blobs);
        assert_null(store_failure(r->s));
    }
    assert_true(failed >= 3);
    rig_assert_fill(r, 0, KEYS, 300, 2);
    assert_int_equal(rig_stats(r).table_entries, KEYS);
    poor.left = 1 << 20;
    rig_close_clean(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_SIM(test_cuts_are_even),
        RIG_SIM(test_one_key_is_not_cut),
        RIG_SIM(test_first_piece),
        RIG_SIM(test_first_piece_is_last),
        RIG_SIM(test_large_file),
        RIG_SIM(test_large_file_far_off),
        RIG_SIM(test_large_file_at_the_end),
        RIG_POSIX(test_same_as_in_one),
        RIG_POSIX(test_dropped_unread_once),
        RIG_POSIX(test_a_part_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
