/* table: what was written is what is read: by cursors in every direction, by point reads at every
 * sequence number, with all options; then facts about a table, and files that are not what they
 * should be. Damage in detail is store_table_damage.c's, the checker store_table_check.c's. */
#include "store/table.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "tests/unit/logged.h"
#include "tests/unit/table_maker.h"

/* ---- reading against the model ---- */

static void assert_stands(const struct iter *it, int rc, const struct maker *m, size_t at)
{
    if (at >= m->count) {
        assert_int_equal(rc, 1);
        assert_false(it->valid);
        return;
    }
    assert_int_equal(rc, 0);
    assert_true(it->valid);
    assert_true(maker_same_entry(&it->e, &m->entries[at]));
}

static void walk_forward(const struct maker *m, struct iter *it)
{
    int rc = iter_first(it);
    for (size_t i = 0; i < m->count; i++) {
        assert_stands(it, rc, m, i);
        rc = iter_next(it);
    }
    assert_stands(it, rc, m, m->count);
}

static void walk_backward(const struct maker *m, struct iter *it)
{
    int rc = iter_last(it);
    for (size_t i = m->count; i-- > 0;) {
        assert_stands(it, rc, m, i);
        rc = iter_prev(it);
    }
    assert_stands(it, rc, m, m->count);
}

/* Seeks at random, to keys that are there and others, and goes some steps to and fro. */
static void wander(const struct maker *m, struct iter *it, struct simrng *rng)
{
    char name[64];
    for (int n = 0; n < 100; n++) {
        maker_random_key(rng, name);
        struct slice key = slice_str(name);
        if (m->count > 0 && simrng_coin(rng))
            key = m->entries[simrng_below(rng, m->count)].key;
        uint64_t seq = simrng_below(rng, m->count + 10);
        size_t at = maker_find(m, key, seq);
        int rc = iter_seek(it, key, seq);
        assert_stands(it, rc, m, at);
        while (rc == 0 && simrng_below(rng, 20) != 0) {
            bool forward = simrng_coin(rng);
            rc = forward ? iter_next(it) : iter_prev(it);
            at = forward ? at + 1 : at == 0 ? m->count : at - 1;
            assert_stands(it, rc, m, at);
        }
        if (rc == 0) { /* a seek by the cursor's own key, and to somewhere else by a part of it */
            key = slice_of(it->e.key.data, simrng_below(rng, it->e.key.len + 1));
            at = maker_find(m, key, SEQ_MAX);
            assert_stands(it, iter_seek(it, key, SEQ_MAX), m, at);
        }
    }
}

static void read_all(const struct maker *m, struct table *t, struct simrng *rng)
{
    for (int flags = 0; flags < 4; flags++) {
        struct iter *it = table_iter_new(t, flags);
        walk_forward(m, it);
        walk_backward(m, it);
        wander(m, it, rng);
        walk_forward(m, it);
        iter_free(it);
    }
}

static void get_one(const struct maker *m, struct table *t, struct slice key, uint64_t read_seq)
{
    struct lookup l;
    struct maker_answer a = maker_lookup(m, key, read_seq);
    lookup_init(&l, key, read_seq);
    assert_ok(table_get(t, &l));
    assert_int_equal(l.cover_seq, maker_cover(m, key, read_seq));
    assert_true(maker_same_answer(&l, &a));
    lookup_release(&l, m->cache);
}

/* Each entry's key at the number that just sees it, at the one that just does not, and at random.
 */
static void get_all(const struct maker *m, struct table *t, struct simrng *rng)
{
    char name[64];
    for (size_t i = 0; i < m->count; i++) {
        const struct entry *e = &m->entries[i];
        get_one(m, t, e->key, e->seq + 1);
        get_one(m, t, e->key, e->seq);
        get_one(m, t, e->key, 1 + simrng_below(rng, m->count * 2));
        get_one(m, t, e->key, SEQ_MAX);
    }
    for (int i = 0; i < 200; i++) {
        maker_random_key(rng, name);
        get_one(m, t, slice_str(name), 1 + simrng_below(rng, m->count * 2 + 1));
    }
}

static void test_random_tables(void **state)
{
    static const uint32_t block_bytes[] = {1, 64, 300, 1000, 4096, 1 << 20};
    static const uint32_t filters[] = {0, 2, 100};
    struct simrng rng = {unit_seed()};
    struct maker m;
    (void)state;
    maker_init(&m, 1 << 20);
    for (int round = 0; round < 60; round++) {
        size_t count = 1 + simrng_below(&rng, round % 10 ? 300 : 5);
        size_t keys = 1 + simrng_below(&rng, round % 3 ? count * 2 : 4);
        struct table *t;
        m.opt.block_bytes = block_bytes[simrng_below(&rng, 6)];
        m.opt.strength = strength_plain(simrng_coin(&rng) ? 1 : 0);
        m.opt.filter_one_in = filters[simrng_below(&rng, 3)];
        m.opt.filter_whole_keys = simrng_coin(&rng) ? 1 + (uint32_t)simrng_below(&rng, 40) : 0;
        m.opt.index_whole_bytes = simrng_coin(&rng) ? 1 + (uint32_t)simrng_below(&rng, 400) : 0;
        cache_set_capacity(m.cache, simrng_below(&rng, 4) ? 1 << 20 : 0);
        maker_fill(&m, &rng, count, keys, simrng_below(&rng, 10));
        assert_ok(maker_write(&m));
        assert_ok(simrng_coin(&rng) ? maker_open(&m, &t) : maker_open_file(&m, &t));
        read_all(&m, t, &rng);
        get_all(&m, t, &rng);
        table_unref(t);
        maker_clear(&m);
    }
    maker_release(&m);
}

/* All versions of few keys, which go on for many blocks. */
static void test_versions_over_many_blocks(void **state)
{
    struct simrng rng = {1};
    struct maker m;
    struct table *t;
    (void)state;
    maker_init(&m, 1 << 20);
    m.opt.block_bytes = 100;
    for (const char *key = "a\0b\0c\0"; *key; key += 2)
        for (uint64_t seq = 300; seq > 0; seq--)
            maker_add(&m, slice_str(key), seq * 3 + (uint64_t)(*key - 'a'),
                      seq % 7 ? ENTRY_MERGE : ENTRY_PUT, slice_str("0123456789"));
    assert_ok(maker_write(&m));
    assert_ok(maker_open(&m, &t));
    read_all(&m, t, &rng);
    get_all(&m, t, &rng);
    for (uint64_t seq = 1; seq < 1000; seq++)
        get_one(&m, t, slice_str("b"), seq);
    get_one(&m, t, slice_str("aa"), SEQ_MAX);
    get_one(&m, t, slice_str(""), SEQ_MAX);
    get_one(&m, t, slice_str("d"), SEQ_MAX);
    table_unref(t);
    maker_release(&m);
}

/* Keys with all the bytes that separators may stumble over. */
static void test_separators(void **state)
{
    static const uint8_t bytes[] = {0, 1, 2, 0x7f, 0x80, 0xfe, 0xff};
    static const uint8_t ones[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                   0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    struct simrng rng = {2};
    struct maker m;
    struct table *t;
    (void)state;
    maker_init(&m, 1 << 20);
    m.opt.block_bytes = 1;                    /* one entry a block */
    for (size_t head = 0; head < 2; head++) { /* with and without bytes that all keys share */
        for (size_t n = 0; n < 7 * 7 * 7; n++) {
            uint8_t key[8] = {'x', bytes[n / 49], bytes[n / 7 % 7], bytes[n % 7]};
            maker_add(&m, slice_of(key + head, 4 - head), n + 1, ENTRY_PUT, slice_of(key, 4));
            uint8_t longer[12] = {'x', key[1], key[2], key[3], 0, 0, 0, 0, 0, 0, 0, 0};
            maker_add(&m, slice_of(longer + head, 12 - head), n + 1, ENTRY_PUT, slice_of(key, 4));
        }
        for (size_t len = 5; len <= sizeof ones; len++) /* words of the index that are all ones */
            maker_add(&m, slice_of(ones, len), len, ENTRY_PUT, slice_of(ones, len));
        qsort(m.entries, m.count, sizeof *m.entries, maker_compare_entries);
        assert_ok(maker_write(&m));
        assert_ok(maker_open(&m, &t));
        read_all(&m, t, &rng);
        get_all(&m, t, &rng);
        table_unref(t);
        maker_clear(&m);
    }
    maker_release(&m);
}

static void test_tombstones_only(void **state)
{
    struct simrng rng = {3};
    struct maker m;
    struct table *t;
    (void)state;
    maker_init(&m, 1 << 20);
    maker_tombstone(&m, "b", "d", 5);
    maker_tombstone(&m, "c", "f", 9);
    assert_ok(maker_write(&m));
    assert_int_equal(m.meta->entry_count, 0);
    assert_int_equal(m.meta->rangedel_count, 3);
    assert_int_equal(m.meta->min_seq, 5);
    assert_int_equal(m.meta->max_seq, 9);
    assert_slice_str(buf_slice(&m.meta->smallest), "b");
    assert_slice_str(buf_slice(&m.meta->limit), "f");
    assert_ok(maker_open_file(&m, &t));
    read_all(&m, t, &rng);
    for (const char *key = "a\0b\0c\0d\0e\0f\0"; *key; key += 2)
        for (uint64_t seq = 1; seq < 12; seq++)
            get_one(&m, t, slice_str(key), seq);
    assert_int_equal(table_range_bytes(t, slice_str(""), slice_str("")), 0);
    table_unref(t);
    maker_release(&m);
}

/* Enough for several pieces to be written, and to be read ahead; from which a seek may leap. */
static void test_long_scan(void **state)
{
    struct simrng rng = {9};
    struct maker m;
    struct table *t;
    uint8_t key[8], value[1000];
    (void)state;
    maker_init(&m, 1 << 20);
    for (uint64_t i = 0; i < 4000; i++) {
        for (size_t k = 0; k < sizeof value; k++)
            value[k] = (uint8_t)simrng_next(&rng);
        put_be64(key, i * 3);
        maker_add(&m, slice_of(key, 8), 1 + i % 7, ENTRY_PUT, slice_of(value, sizeof value));
    }
    assert_ok(maker_write(&m));
    assert_true(m.meta->size_bytes > 4000000);
    assert_ok(maker_open(&m, &t));
    for (int flags = 0; flags < 4; flags++) {
        struct iter *it = table_iter_new(t, flags);
        walk_forward(&m, it);
        walk_backward(&m, it);
        for (int n = 0; n < 30; n++) {
            size_t at = simrng_below(&rng, m.count);
            int rc = iter_seek(it, m.entries[at].key, SEQ_MAX);
            for (size_t steps = simrng_below(&rng, 1500); rc == 0 && steps > 0; steps--) {
                assert_stands(it, rc, &m, at++);
                rc = iter_next(it);
            }
            assert_stands(it, rc, &m, at);
        }
        iter_free(it);
    }
    table_unref(t);
    maker_release(&m);
}

/* ---- facts about a table ---- */

static void test_meta_of_table(void **state)
{
    struct maker m;
    struct table_writer *w;
    struct table *t;
    uint64_t size;
    (void)state;
    maker_init(&m, 1 << 20);
    maker_put(&m, "d", 40, "1");
    maker_add(&m, slice_str("e"), 50, ENTRY_DELETE, slice_str(""));
    maker_put_blob(&m, slice_str("f"), 60, ENTRY_PUT_BLOB, 9, 100);
    maker_put_blob(&m, slice_str("g"), 70, ENTRY_MERGE_BLOB, 4, 1000);
    maker_put_blob(&m, slice_str("g"), 30, ENTRY_PUT_BLOB, 9, 10);
    maker_tombstone(&m, "dd", "ee", 80);
    assert_ok(table_create(m.env, "vol", 12, maker_uuid, &m.opt, &w));
    table_add_held(w, 77, 5);
    table_add_held(w, 66, 1);
    table_add_held(w, 77, 10);
    uint64_t before = table_estimate_bytes(w);
    assert_ok(maker_write_to(&m, w));
    assert_ok(m.env->file_size(m.env, MAKER_PATH, &size));
    assert_true(before <= size);
    assert_ok(m.env->sync_dir(m.env, "vol")); /* all that is left to the caller */
    assert_true(simdisk_is_durable(m.disk, MAKER_PATH));
    for (int from_file = 0; from_file < 2; from_file++) {
        assert_ok(from_file ? maker_open_file(&m, &t) : maker_open(&m, &t));
        const struct table_meta *meta = table_get_meta(t);
        assert_true(from_file || meta == m.meta);
        assert_int_equal(meta->number, 12);
        assert_int_equal(meta->size_bytes, size);
        assert_int_equal(meta->tag, m.meta->tag);
        assert_slice_str(buf_slice(&meta->smallest), "d");
        assert_slice(buf_slice(&meta->limit), "g", 2);
        assert_int_equal(meta->min_seq, 30);
        assert_int_equal(meta->max_seq, 80);
        assert_int_equal(meta->entry_count, 5);
        assert_int_equal(meta->delete_count, 1);
        assert_int_equal(meta->rangedel_count, 1);
        assert_true(meta->raw_bytes > 0 && meta->raw_bytes < 300);
        assert_true(meta->created_ns > 0);
        assert_int_equal(meta->share_count, 2);
        assert_int_equal(meta->shares[0].file, 4);
        assert_int_equal(meta->shares[0].count, 1);
        assert_int_equal(meta->shares[0].bytes, 1000);
        assert_int_equal(meta->shares[1].file, 9);
        assert_int_equal(meta->shares[1].count, 2);
        assert_int_equal(meta->shares[1].bytes, 110);
        assert_int_equal(meta->held_count, 2);
        assert_int_equal(meta->held[0].pin, 66);
        assert_int_equal(meta->held[0].bytes, 1);
        assert_int_equal(meta->held[1].pin, 77);
        assert_int_equal(meta->held[1].bytes, 15);
        assert_true(table_memory_bytes(t) > 0);
        table_unref(t);
    }
    maker_release(&m);
}

/* The span is that of tombstones where they reach further than the keys, on either side. */
static void test_span(void **state)
{
    static const struct {
        const char *start, *end, *smallest, *limit;
        size_t limit_len;
    } cases[] = {
        {"k", "l", "k", "mm", 3}, {"m", "z", "l", "z", 1},   {"a", "b", "a", "mm", 3},
        {"a", "z", "a", "z", 1},  {"l", "mm", "l", "mm", 3},
    };
    struct maker m;
    (void)state;
    maker_init(&m, 1 << 20);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        maker_put(&m, "l", 5, "");
        maker_put(&m, "mm", 6, "");
        maker_tombstone(&m, cases[i].start, cases[i].end, 7);
        maker_tombstone(&m, cases[i].start, cases[i].end, 3);
        assert_ok(maker_write(&m));
        assert_int_equal(m.meta->min_seq, 3);
        assert_int_equal(m.meta->max_seq, 7);
        assert_slice_str(buf_slice(&m.meta->smallest), cases[i].smallest);
        assert_slice(buf_slice(&m.meta->limit), cases[i].limit, cases[i].limit_len);
        maker_clear(&m);
    }
    maker_release(&m);
}

static void test_range_bytes(void **state)
{
    struct simrng rng = {unit_seed()};
    struct maker m;
    struct table *t;
    char a[64], b[64];
    (void)state;
    maker_init(&m, 1 << 20);
    maker_fill(&m, &rng, 400, 800, 0);
    assert_ok(maker_write(&m));
    assert_ok(maker_open(&m, &t));
    uint64_t all = table_range_bytes(t, slice_str(""), slice_str(""));
    assert_true(all > 0 && all < m.meta->size_bytes);
    assert_int_equal(table_range_bytes(t, slice_str("zz"), slice_str("")), 0);
    assert_int_equal(table_range_bytes(t, slice_str(""), slice_str("zz")), all);
    for (int i = 0; i < 200; i++) {
        maker_random_key(&rng, a);
        maker_random_key(&rng, b);
        bool order = strcmp(a, b) <= 0;
        struct slice lo = slice_str(order ? a : b), hi = slice_str(order ? b : a), end = {0};
        assert_int_equal(table_range_bytes(t, end, lo) + table_range_bytes(t, lo, hi) +
                             table_range_bytes(t, hi, end),
                         all);
        assert_int_equal(table_range_bytes(t, hi, lo), 0);
    }
    table_unref(t);
    maker_release(&m);
}

/* The cache holds what cursors are told to put there, and what point reads read. */
static void test_cache_use(void **state)
{
    struct simrng rng = {4};
    struct cache_stats stats;
    struct maker m;
    struct table *t;
    (void)state;
    maker_init(&m, 1 << 20);
    maker_fill(&m, &rng, 300, 300, 0);
    assert_ok(maker_write(&m));
    assert_ok(maker_open(&m, &t));
    struct iter *it = table_iter_new(t, TABLE_ITER_READAHEAD);
    walk_forward(&m, it);
    cache_stats(m.cache, &stats);
    assert_int_equal(stats.items, 0);
    get_one(&m, t, m.entries[0].key, SEQ_MAX);
    cache_stats(m.cache, &stats);
    assert_int_equal(stats.items, 1);
    iter_free(it);
    it = table_iter_new(t, TABLE_ITER_FILL_CACHE);
    walk_forward(&m, it);
    cache_stats(m.cache, &stats);
    assert_true(stats.items > 20);
    iter_free(it);
    uint64_t misses = stats.misses;
    get_all(&m, t, &rng);
    cache_stats(m.cache, &stats);
    assert_int_equal(stats.misses, misses);
    table_unref(t);
    maker_release(&m);
}

/* A value that was found outlives its block's place in the cache, and the table. */
static void test_value_stays_pinned(void **state)
{
    struct maker m;
    struct table *t;
    struct lookup l;
    (void)state;
    maker_init(&m, 1 << 20);
    maker_put(&m, "key", 5, "a value that is read while it is kept");
    assert_ok(maker_write(&m));
    assert_ok(maker_open(&m, &t));
    lookup_init(&l, slice_str("key"), SEQ_MAX);
    assert_ok(table_get(t, &l));
    table_unref(t);
    cache_set_capacity(m.cache, 0);
    assert_int_equal(l.state, LOOKUP_FOUND);
    assert_slice_str(l.base, "a value that is read while it is kept");
    lookup_release(&l, m.cache);
    maker_release(&m);
}

/* A point read goes on from what newer sources have gathered. */
static void test_get_with_newer_cover(void **state)
{
    struct maker m;
    struct table *t;
    struct lookup l;
    (void)state;
    maker_init(&m, 1 << 20);
    maker_put(&m, "key", 5, "v");
    assert_ok(maker_write(&m));
    assert_ok(maker_open(&m, &t));
    lookup_init(&l, slice_str("key"), 100);
    lookup_cover(&l, 50);
    assert_ok(table_get(t, &l));
    assert_int_equal(l.state, LOOKUP_ABSENT);
    lookup_release(&l, m.cache);
    table_unref(t);
    maker_release(&m);
}

/* ---- files that are not what they should be ---- */

static void assert_refused(struct maker *m, const char *why)
{
    struct table *t;
    logged_reset();
    assert_errno(maker_open(m, &t), EIO);
    assert_null(t);
    assert_logged("000012.table");
    assert_logged(why);
}

static void test_wrong_file(void **state)
{
    static const uint8_t other_uuid[UUID_SIZE] = "another volume";
    struct maker m;
    struct table *t;
    (void)state;
    maker_init(&m, 1 << 20);
    maker_put(&m, "key", 5, "v");
    assert_ok(maker_write(&m));
    logged_reset();
    assert_errno(table_open(m.env, "vol", m.meta, other_uuid, m.cache, &t), EIO);
    assert_logged("another volume");
    m.meta->tag++;
    assert_refused(&m, "older or a foreign");
    m.meta->tag--;
    m.meta->size_bytes++;
    assert_refused(&m, "bytes and should have");
    m.meta->size_bytes--;
    m.meta->entry_count = 0;
    assert_refused(&m, "number of entries");
    m.meta->entry_count = 1;
    m.meta->rangedel_count = 1;
    assert_refused(&m, "range tombstones");
    m.meta->rangedel_count = 0;
    assert_ok(maker_open(&m, &t));
    table_unref(t);
    struct buf bytes = maker_bytes(&m);
    assert_ok(m.env->remove(m.env, MAKER_PATH));
    assert_refused(&m, "missing");
    assert_ok(simdisk_put(m.disk, MAKER_PATH, buf_slice(&bytes)));
    assert_ok(simdisk_put(m.disk, "vol/000013.table", buf_slice(&bytes)));
    logged_reset();
    assert_errno(table_open_file(m.env, "vol", 13, maker_uuid, m.cache, &t), EIO);
    buf_release(&bytes);
    maker_release(&m);
}

/* ---- writing that fails ---- */

static void test_write_faults(void **state)
{
    static const enum sim_call calls[] = {SIM_CREATE, SIM_WRITE, SIM_SYNC, SIM_RANDOM_BYTES};
    struct simrng rng = {5};
    struct maker m;
    (void)state;
    maker_init(&m, 1 << 20);
    maker_fill(&m, &rng, 10, 10, 3);
    uint8_t noise[3000];
    for (int i = 0; i < 500; i++) { /* more than one piece is written */
        for (size_t k = 0; k < sizeof noise; k++)
            noise[k] = (uint8_t)simrng_next(&rng);
        put_be64(noise, (uint64_t)i | UINT64_C(1) << 63);
        maker_add(&m, slice_of(noise, 8), 1000, ENTRY_PUT, slice_of(noise, sizeof noise));
    }
    logged_reset();
    int failed = 0;
    for (size_t c = 0; c < sizeof calls / sizeof *calls; c++) {
        for (uint64_t after = 0;; after++) {
            uint64_t size;
            simdisk_fail(m.disk, &(struct sim_fault){calls[c], ".table", after, -EDQUOT, true});
            if (calls[c] == SIM_RANDOM_BYTES)
                simdisk_fail(m.disk, &(struct sim_fault){calls[c], NULL, after, -EDQUOT, true});
            int rc = maker_write(&m);
            simdisk_heal(m.disk);
            if (rc == 0) {
                assert_ok(m.env->remove(m.env, MAKER_PATH));
                table_meta_unref(m.meta);
                m.meta = NULL;
                break;
            }
            assert_true(rc == -EDQUOT || rc == -EIO);
            assert_null(m.meta);
            assert_errno(m.env->file_size(m.env, MAKER_PATH, &size), ENOENT);
            assert_int_equal(simdisk_open_files(m.disk), 0);
            failed++;
        }
    }
    assert_true(failed >= 7);
    simdisk_set_capacity(m.disk, 1 << 20);
    assert_errno(maker_write(&m), ENOSPC);
    simdisk_set_capacity(m.disk, 1 << 30);
    assert_ok(maker_write(&m));
    maker_release(&m);
}

static void test_abandon(void **state)
{
    struct table_writer *w;
    struct maker m;
    uint64_t size;
    (void)state;
    maker_init(&m, 1 << 20);
    table_abandon(NULL);
    assert_ok(table_create(m.env, "vol", 12, maker_uuid, &m.opt, &w));
    assert_ok(table_add(w, &(struct entry){slice_str("k"), 1, ENTRY_PUT, 0, slice_str("v")}));
    assert_int_equal(table_entry_count(w), 1);
    logged_reset();
    struct table_writer *twice;
    assert_errno(table_create(m.env, "vol", 12, maker_uuid, &m.opt, &twice), EEXIST);
    assert_null(twice);
    assert_errno(
        table_add(w, &(struct entry){slice_str("l"), 2, ENTRY_PUT_BLOB, 0, slice_str("no ref")}),
        EIO);
    table_abandon(w);
    assert_errno(m.env->file_size(m.env, MAKER_PATH, &size), ENOENT);
    maker_release(&m);
}

/* A disk that does not answer is an error of its own, everywhere, and leaves nothing open. */
static void test_read_faults(void **state)
{
    struct simrng rng = {6};
    struct maker m;
    struct table *t;
    (void)state;
    maker_init(&m, 0);
    maker_fill(&m, &rng, 100, 100, 3);
    assert_ok(maker_write(&m));
    logged_reset();
    for (uint64_t after = 0;; after++) {
        simdisk_fail(m.disk, &(struct sim_fault){SIM_READ, ".table", after, -EREMOTEIO, true});
        int rc = maker_open(&m, &t);
        simdisk_heal(m.disk);
        if (rc == 0)
            break;
        assert_errno(rc, EREMOTEIO);
        assert_int_equal(simdisk_open_files(m.disk), 0);
    }
    for (int flags = 0; flags < 4; flags++) {
        struct iter *it = table_iter_new(t, flags);
        struct lookup l;
        lookup_init(&l, m.entries[0].key, SEQ_MAX);
        cache_set_capacity(m.cache, 0);
        simdisk_fail(m.disk, &(struct sim_fault){SIM_READ, NULL, 0, -EREMOTEIO, true});
        assert_errno(iter_first(it), EREMOTEIO);
        assert_false(it->valid);
        assert_errno(iter_last(it), EREMOTEIO);
        assert_errno(iter_seek(it, slice_str("b"), 5), EREMOTEIO);
        assert_errno(table_get(t, &l), EREMOTEIO);
        simdisk_heal(m.disk);
        walk_forward(&m, it); /* the cursor is as good as new */
        assert_ok(table_get(t, &l));
        lookup_release(&l, m.cache);
        iter_free(it);
    }
    table_unref(t);
    maker_release(&m);
}

/* ---- threads ---- */

struct reader {
    struct maker *m;
    struct table *t;
    uint64_t seed;
};

static void *read_in_thread(void *arg)
{
    struct reader *r = arg;
    struct simrng rng = {r->seed};
    for (int i = 0; i < 3; i++) {
        struct table *t = table_ref(r->t);
        get_all(r->m, t, &rng);
        read_all(r->m, t, &rng);
        table_unref(t);
    }
    return NULL;
}

static void test_threads(void **state)
{
    char dir[] = "/tmp/varve-table-XXXXXX";
    struct simrng rng = {unit_seed()};
    struct reader readers[4];
    pthread_t threads[4];
    struct maker m;
    struct table *t;
    (void)state;
    maker_init(&m, 8 << 10); /* blocks come and go */
    struct env *env = env_posix();
    assert_non_null(mkdtemp(dir));
    maker_fill(&m, &rng, 300, 200, 6);
    struct table_writer *w;
    assert_ok(table_create(env, dir, 12, maker_uuid, &m.opt, &w));
    assert_ok(maker_write_to(&m, w));
    assert_ok(table_open(env, dir, m.meta, maker_uuid, m.cache, &t));
    for (size_t i = 0; i < 4; i++) {
        readers[i] = (struct reader){&m, t, simrng_next(&rng)};
        assert_int_equal(pthread_create(&threads[i], NULL, read_in_thread, &readers[i]), 0);
    }
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    table_unref(t);
    char *path = name_file(dir, FILE_TABLE, 12);
    assert_ok(env->remove(env, path));
    free(path);
    assert_int_equal(rmdir(dir), 0);
    table_meta_unref(m.meta);
    m.meta = NULL;
    maker_release(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_tables),
        cmocka_unit_test(test_versions_over_many_blocks),
        cmocka_unit_test(test_separators),
        cmocka_unit_test(test_tombstones_only),
        cmocka_unit_test(test_long_scan),
        cmocka_unit_test(test_meta_of_table),
        cmocka_unit_test(test_span),
        cmocka_unit_test(test_range_bytes),
        cmocka_unit_test(test_cache_use),
        cmocka_unit_test(test_value_stays_pinned),
        cmocka_unit_test(test_get_with_newer_cover),
        cmocka_unit_test(test_wrong_file),
        cmocka_unit_test(test_write_faults),
        cmocka_unit_test(test_abandon),
        cmocka_unit_test(test_read_faults),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
