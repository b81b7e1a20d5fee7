/* store: the door: making, opening, writing and reading, on the simulated disk. */
#include "tests/unit/store_rig.h"

#include "store/batch.h"
#include "store/manifest.h"

/* ---- making and opening ---- */

static void test_create_makes_an_empty_store(void **state)
{
    struct rig *r = *state;
    uint8_t first[16], again[16], other[16];
    rig_open(r);
    store_uuid(r->s, first);
    assert_int_equal(rig_count(r), 0);
    assert_int_equal(rig_stats(r).seq, 0);
    rig_assert(r, "a", NULL);
    rig_reopen(r);
    store_uuid(r->s, again);
    assert_memory_equal(first, again, 16);
    rig_close_clean(r);
    struct rig second = *r;
    strcpy(second.dir, "/other");
    assert_ok(store_create(second.dir, &second.opt));
    rig_open(&second);
    store_uuid(second.s, other);
    assert_memory_not_equal(first, other, 16);
    rig_close(&second);
}

static void test_create_refuses(void **state)
{
    struct rig *r = *state;
    assert_errno(store_create(r->dir, &r->opt), ENOTEMPTY);
    assert_errno(store_create("/no/such", &r->opt), ENOENT);
    assert_ok(simdisk_put(r->disk, "/file", slice_str("x")));
    assert_errno(store_create("/file", &r->opt), ENOTDIR);
    assert_ok(r->env->mkdir(r->env, "/folder"));
    assert_ok(simdisk_put(r->disk, "/folder/mine", slice_str("x")));
    assert_errno(store_create("/folder", &r->opt), ENOTEMPTY);
}

/* What fails can be tried again in the same folder. */
static void test_create_again_after_a_failure(void **state)
{
    struct rig *r = *state;
    static const enum sim_call calls[] = {SIM_CREATE, SIM_WRITE, SIM_SYNC, SIM_SYNC_DIR};
    for (size_t c = 0; c < sizeof calls / sizeof *calls; c++) {
        char dir[32];
        snprintf(dir, sizeof dir, "/new%zu", c);
        simdisk_fail(r->disk, &(struct sim_fault){
                                  .call = calls[c], .path_part = dir, .after = 1, .err = -ENOSPC});
        int err = store_create(dir, &r->opt);
        simdisk_heal(r->disk);
        if (err == 0)
            continue; /* so many calls it does not make */
        uint64_t size;
        char current[64];
        snprintf(current, sizeof current, "%s/CURRENT", dir);
        if (r->env->file_size(r->env, current, &size) == -ENOENT)
            assert_ok(store_create(dir, &r->opt));
    }
}

static void test_open_what_is_no_store(void **state)
{
    struct rig *r = *state;
    struct store *s;
    assert_errno(store_open("/nowhere", &r->opt, &s), ENOENT);
    assert_null(s);
    assert_ok(r->env->mkdir(r->env, "/folder"));
    uint64_t before = simdisk_digest(r->disk);
    assert_errno(store_open("/folder", &r->opt, &s), ENOENT);
    assert_int_equal(simdisk_digest(r->disk), before);
    assert_ok(simdisk_put(r->disk, "/file", slice_str("x")));
    assert_true(store_open("/file", &r->opt, &s) < 0);
}

static void test_open_twice(void **state)
{
    struct rig *r = *state;
    struct store *second;
    struct store_options o = r->opt;
    rig_open(r);
    assert_errno(store_open(r->dir, &r->opt, &second), EAGAIN);
    o.read_only = true;
    assert_errno(store_open(r->dir, &o, &second), EAGAIN);
    rig_put(r, "a", "1");
    rig_reopen(r);
    rig_assert(r, "a", "1");
    rig_close(r);
}

static void test_open_damaged(void **state)
{
    struct rig *r = *state;
    struct store *s;
    struct rig *k = rig_kill(r);
    assert_ok(simdisk_flip(k->disk, rig_path(k, "CURRENT"), 20, 1));
    assert_errno(store_open(k->dir, &k->opt, &s), EIO);
    rig_drop(k);
    k = rig_kill(r);
    assert_ok(k->env->remove(k->env, rig_file(k, FILE_MANIFEST, 1)));
    rig_log_reset();
    assert_errno(store_open(k->dir, &k->opt, &s), EIO);
    assert_true(rig_logged("missing"));
    rig_drop(k);
}

/* Rewrites the manifest with these feature bits. */
static void set_features(struct rig *r, uint64_t features)
{
    uint8_t uuid[UUID_SIZE];
    struct version_source src = {.env = r->env, .dir = r->dir, .uuid = uuid};
    struct version *v;
    struct manifest *m;
    uint64_t number;
    enum journal_end end;
    assert_ok(manifest_read(&src, uuid, &v, &number, &end));
    v->features = features;
    assert_ok(manifest_start(r->env, r->dir, number + 1, v, &m));
    manifest_free(m);
    version_unref(v);
}

static void test_open_newer(void **state)
{
    struct rig *r = *state;
    struct store *s;
    struct rig *k = rig_kill(r);
    set_features(k, 4);
    rig_log_reset();
    assert_errno(store_open(k->dir, &k->opt, &s), EPROTONOSUPPORT);
    assert_true(rig_logged("0x4"));
    rig_drop(k);

    k = rig_kill(r);
    struct buf bytes = {0};
    struct file_header h;
    const char *path = rig_file(k, FILE_MANIFEST, 1);
    assert_ok(simdisk_get(k->disk, path, &bytes));
    assert_int_equal(file_header_decode(buf_slice(&bytes), &h), HEADER_OK);
    h.version = FORMAT_VERSION + 1;
    file_header_encode(&h, bytes.data);
    assert_ok(simdisk_put(k->disk, path, buf_slice(&bytes)));
    rig_log_reset();
    assert_errno(store_open(k->dir, &k->opt, &s), EPROTONOSUPPORT);
    assert_true(rig_logged("newer") || rig_logged("later"));
    buf_release(&bytes);
    rig_drop(k);
}

static void test_open_with_senseless_options(void **state)
{
    struct rig *r = *state;
    struct store *s;
    static const struct {
        uint64_t memtable, table, blob, reserve;
        uint32_t memtables, block, direct, workers;
        int zstd;
    } bad[] = {
        {0, 1, 1, 0, 2, 1, 1, 0, 1},          {1, 0, 1, 0, 2, 1, 1, 0, 1},
        {1, 1, 0, 0, 2, 1, 1, 0, 1},          {1, 1, 1, UINT64_MAX, 2, 1, 1, 0, 1},
        {1, 1, 1, 0, 1, 1, 1, 0, 1},          {1, 1, 1, 0, 2, 0, 1, 0, 1},
        {1, 1, 1, 0, 2, 1, 0, 0, 1},          {1, 1, 1, 0, 2, 1, 1, 100000, 1},
        {1, 1, 1, 0, 2, 1, 1, 0, 20},         {1, 1, 1, 0, 2, 1, 1, 0, -1},
        {1, UINT64_MAX, 1, 0, 2, 1, 1, 0, 1},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct store_options o = r->opt;
        o.memtable_bytes = bad[i].memtable;
        o.table_bytes = bad[i].table;
        o.blob_bytes = bad[i].blob;
        o.reserve_bytes = bad[i].reserve;
        o.memtables_max = bad[i].memtables;
        o.block_bytes = bad[i].block;
        o.direct_min = bad[i].direct;
        o.workers = bad[i].workers;
        o.zstd_level = bad[i].zstd;
        assert_errno(store_open(r->dir, &o, &s), EINVAL);
        assert_null(s);
    }
    struct store_options o = r->opt;
    o.block_bytes = 1 << 30;
    assert_errno(store_open(r->dir, &o, &s), EINVAL);
    o = r->opt;
    o.filter_one_in = 65537;
    assert_errno(store_open(r->dir, &o, &s), EINVAL);
}

/* The smallest and the oddest sizes that are allowed work. */
static void test_extreme_options(void **state)
{
    struct rig *r = *state;
    r->opt.memtable_bytes = r->opt.table_bytes = r->opt.blob_bytes = r->opt.block_bytes = 1;
    r->opt.memtables_max = 2;
    r->opt.direct_min = 1;
    r->opt.separate_min = 0;
    r->opt.cache_bytes = 0;
    r->opt.filter_one_in = 0;
    r->opt.zstd_level = 0;
    rig_open(r);
    rig_fill(r, 0, 20, 30, 0);
    rig_reopen(r);
    r->opt.filter_one_in = 1;
    rig_reopen(r);
    rig_fill(r, 20, 40, 30, 0);
    rig_put(r, "empty", "");
    rig_work(r);
    rig_assert_fill(r, 0, 40, 30, 0);
    rig_reopen(r);
    rig_assert_fill(r, 0, 40, 30, 0);
    rig_assert(r, "empty", "");
    rig_close_clean(r);
}

static void assert_read_only(struct rig *r, struct store *s)
{
    struct store_pin pin;
    struct store_batch *b = store_batch_new(s);
    store_batch_put(b, slice_str("x"), slice_str("y"));
    assert_errno(store_write(s, b, 0), EROFS);
    store_batch_free(b);
    assert_errno(store_sync(s), EROFS);
    assert_errno(store_flush(s), EROFS);
    assert_errno(store_compact(s, (struct slice){0}, (struct slice){0}), EROFS);
    assert_errno(store_pin_create(s, "p", 0, &pin), EROFS);
    assert_errno(store_pin_delete(s, "p"), EROFS);
    assert_errno(store_pin_rename(s, "p", "q"), EROFS);
    assert_int_equal(store_work(s), 1);
    assert_null(store_failure(s));
    (void)r;
}

/* Nothing on the disk changes, whatever is there to be replayed or removed. */
static void test_read_only(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    rig_fill(r, 0, 50, 100, 0);
    assert_ok(store_flush(r->s));
    rig_fill(r, 50, 100, 100, 0);
    struct rig *k = rig_kill(r);
    assert_ok(simdisk_put(k->disk, rig_path(k, "009999.table"), slice_str("left over")));
    assert_ok(simdisk_put(k->disk, rig_path(k, "notes.txt"), slice_str("mine")));
    uint64_t before = simdisk_digest(k->disk), ops = simdisk_ops(k->disk);
    k->opt.read_only = true;
    for (int i = 0; i < 2; i++) {
        rig_open(k);
        rig_assert_fill(k, 0, 100, 100, 0);
        assert_int_equal(rig_count(k), 100);
        assert_read_only(k, k->s);
        rig_close(k);
    }
    assert_int_equal(simdisk_digest(k->disk), before);
    assert_int_equal(simdisk_ops(k->disk), ops);
    rig_drop(k);
    rig_close_clean(r);
}

/* ---- batches ---- */

static void test_batch(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    struct store_batch *b = store_batch_new(r->s);
    assert_ok(store_write(r->s, b, 0));
    assert_ok(store_write(r->s, b, STORE_SYNC));
    assert_int_equal(rig_stats(r).seq, 0);
    store_batch_put(b, slice_str("a"), slice_str("1"));
    store_batch_put(b, slice_str("b"), slice_str("2"));
    store_batch_delete_range(b, slice_str("a"), slice_str("c"));
    store_batch_put(b, slice_str("b"), slice_str("3"));
    store_batch_merge(b, slice_str("b"), slice_str("4"));
    store_batch_delete_range(b, slice_str("x"), slice_str("x"));
    store_batch_delete(b, slice_str("none"));
    assert_int_equal(store_batch_count(b), 6);
    assert_int_equal(store_batch_bytes(b), 2 + 2 + 2 + 2 + 2 + 4);
    assert_ok(store_write(r->s, b, 0));
    assert_int_equal(rig_stats(r).seq, 6);
    rig_assert(r, "a", NULL);
    rig_assert(r, "b", "34");
    store_batch_clear(b);
    assert_int_equal(store_batch_count(b), 0);
    store_batch_put(b, slice_str("a"), slice_str("5"));
    assert_ok(store_write(r->s, b, STORE_SYNC));
    assert_ok(store_write(r->s, b, 0)); /* it stays the caller's */
    store_batch_free(b);
    store_batch_free(NULL);
    rig_assert(r, "a", "5");
    rig_reopen(r);
    rig_assert(r, "a", "5");
    rig_assert(r, "b", "34");
    assert_int_equal(rig_count(r), 2);
    rig_close_clean(r);
}

static void test_batch_too_big(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    struct store_batch *b = store_batch_new(r->s);
    struct buf value = {0};
    memset(buf_reserve(&value, 4000), 'v', 4000);
    value.len = 4000;
    while (store_batch_bytes(b) <= STORE_BATCH_MAX)
        store_batch_put(b, slice_str("key"), buf_slice(&value));
    assert_errno(store_write(r->s, b, 0), E2BIG);
    store_batch_clear(b);
    store_batch_put(b, slice_str("key"), slice_str("small"));
    assert_ok(store_write(r->s, b, 0));
    rig_assert(r, "key", "small");
    assert_int_equal(rig_stats(r).seq, 1);
    buf_release(&value);
    store_batch_free(b);
    rig_close(r);
}

/* A record is larger than keys and values: of a great many small operations, too large for a
 * frame. */
static void test_batch_of_too_many(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    struct store_batch *b = store_batch_new(r->s);
    store_batch_put(b, slice_str("key"), slice_str("value"));
    b->count = 25000000; /* as if: it is refused before anybody looks */
    assert_errno(store_write(r->s, b, 0), E2BIG);
    b->count = 1;
    assert_ok(store_write(r->s, b, 0));
    store_batch_free(b);
    rig_close(r);
}

static void test_merge_without_operator(void **state)
{
    struct rig *r = *state;
    r->opt.merge = NULL;
    rig_open(r);
    struct store_batch *b = store_batch_new(r->s);
    store_batch_put(b, slice_str("a"), slice_str("1"));
    store_batch_merge(b, slice_str("a"), slice_str("2"));
    assert_errno(store_write(r->s, b, 0), EINVAL);
    store_batch_free(b);
    rig_assert(r, "a", NULL);
    rig_close(r);
}

static void test_largest_keys_and_values(void **state)
{
    struct rig *r = *state;
    struct buf key = {0}, value = {0};
    rig_open(r);
    memset(buf_reserve(&key, STORE_KEY_MAX), 'k', STORE_KEY_MAX);
    key.len = STORE_KEY_MAX;
    rig_value(7, STORE_VALUE_MAX, &value);
    struct store_batch *b = store_batch_new(r->s);
    store_batch_put(b, buf_slice(&key), buf_slice(&value));
    assert_ok(rig_write(r, b, 0));
    for (int round = 0; round < 3; round++) {
        struct store_read read;
        struct store_value v = {0};
        store_read_begin(r->s, &read);
        assert_ok(store_get(&read, buf_slice(&key), &v));
        assert_true(slice_eq(v.data, buf_slice(&value)));
        store_value_release(&v);
        store_read_end(&read);
        if (round == 0)
            rig_reopen(r);
        else if (round == 1)
            rig_compact(r);
    }
    buf_release(&key);
    buf_release(&value);
    rig_close_clean(r);
}

/* ---- reading ---- */

static struct slice last_key(struct store_iter *it)
{
    assert_ok(store_iter_last(it));
    return store_iter_key(it);
}

static void assert_value_here(struct store_iter *it, const char *value)
{
    struct slice v;
    assert_ok(store_iter_value(it, &v));
    assert_slice_str(v, value);
}

/* b, d, f, h are there; c and g were. */
static void check_cursor(struct rig *r)
{
    struct store_read read;
    store_read_begin(r->s, &read);
    struct store_iter *it = store_iter_new(&read, slice_str("b"), slice_str("h"));
    assert_ok(store_iter_first(it));
    assert_slice_str(store_iter_key(it), "b");
    assert_value_here(it, "B");
    assert_ok(store_iter_next(it));
    assert_slice_str(store_iter_key(it), "d");
    assert_ok(store_iter_next(it));
    assert_slice_str(store_iter_key(it), "f");
    assert_ok(store_iter_prev(it));
    assert_slice_str(store_iter_key(it), "d");
    assert_value_here(it, "D");
    assert_slice_str(last_key(it), "f");
    assert_absent(store_iter_next(it));
    assert_ok(store_iter_seek(it, slice_str("c")));
    assert_slice_str(store_iter_key(it), "d");
    assert_ok(store_iter_seek(it, slice_str("")));
    assert_slice_str(store_iter_key(it), "b");
    assert_absent(store_iter_seek(it, slice_str("g")));
    assert_ok(store_iter_seek_for_prev(it, slice_str("g")));
    assert_slice_str(store_iter_key(it), "f");
    assert_ok(store_iter_seek_for_prev(it, slice_str("z")));
    assert_slice_str(store_iter_key(it), "f");
    assert_absent(store_iter_seek_for_prev(it, slice_str("a")));
    store_iter_free(it);
    it = store_iter_new(&read, slice_str("c"), (struct slice){0});
    assert_ok(store_iter_first(it));
    assert_slice_str(store_iter_key(it), "d");
    assert_slice_str(last_key(it), "h");
    store_iter_free(it);
    it = store_iter_new(&read, slice_str("x"), slice_str("c"));
    assert_absent(store_iter_first(it));
    assert_absent(store_iter_last(it));
    store_iter_free(it);
    store_iter_free(NULL);
    store_read_end(&read);
}

static void test_cursor_with_bounds(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    rig_put(r, "b", "B");
    rig_put(r, "c", "C");
    rig_put(r, "d", "old");
    assert_ok(store_flush(r->s));
    rig_put(r, "f", "F");
    rig_put(r, "g", "G");
    rig_delete(r, "c");
    rig_put(r, "d", "D");
    rig_put(r, "h", "H");
    rig_delete_range(r, "g", "h");
    check_cursor(r);
    assert_ok(store_flush(r->s));
    check_cursor(r);
    rig_compact(r);
    check_cursor(r);
    rig_reopen(r);
    check_cursor(r);
    rig_close_clean(r);
}

/* The values of several reads at once, from a memtable, a block, and a blob file. */
static void test_values_live(void **state)
{
    struct rig *r = *state;
    struct buf room = {0};
    rig_open(r);
    rig_put(r, "block", "in a block");
    rig_try_put(r, "blob", rig_value(1, 3000, &room), 0);
    assert_ok(store_flush(r->s));
    rig_put(r, "mem", "in memory");
    struct store_read read;
    struct store_value a = {0}, b = {0}, c = {0};
    store_read_begin(r->s, &read);
    assert_ok(store_get(&read, slice_str("block"), &a));
    assert_ok(store_get(&read, slice_str("blob"), &b));
    assert_ok(store_get(&read, slice_str("mem"), &c));
    for (uint64_t i = 0; i < 2000; i++) /* the cache turns over */
        rig_fill(r, i, i + 1, 300, 0);
    rig_compact(r);
    rig_assert_fill(r, 0, 2000, 300, 0);
    assert_slice_str(a.data, "in a block");
    assert_true(slice_eq(b.data, rig_value(1, 3000, &room)));
    assert_slice_str(c.data, "in memory");
    assert_absent(store_get(&read, slice_str("none"), &a));
    assert_int_equal(a.data.len, 0);
    assert_ok(store_get(&read, slice_str("block"), &b));
    assert_slice_str(b.data, "in a block");
    store_value_release(&a);
    store_value_release(&b);
    store_value_release(&c);
    store_read_end(&read);
    buf_release(&room);
    rig_close_clean(r);
}

/* What a read sees does not change, whatever happens meanwhile. */
static void test_reads_are_isolated(void **state)
{
    struct rig *r = *state;
    struct store_read read;
    rig_open(r);
    rig_fill(r, 0, 500, 200, 0);
    rig_put(r, "a", "old");
    rig_merge_op(r, "m", "one");
    store_read_begin(r->s, &read);
    struct store_iter *early = store_iter_new(&read, (struct slice){0}, (struct slice){0});
    assert_ok(store_iter_first(early));
    for (int round = 0; round < 4; round++) {
        rig_assert_at(&read, "a", "old");
        rig_assert_at(&read, "m", "one");
        rig_assert_at(&read, "new", NULL);
        rig_assert_fill_at(&read, 0, 500, 200, 0);
        if (round == 0) {
            rig_put(r, "a", "new");
            rig_put(r, "new", "new");
            rig_merge_op(r, "m", "two");
            rig_delete_range(r, "k", "l");
        } else if (round == 1) {
            assert_ok(store_flush(r->s));
        } else {
            rig_compact(r);
        }
    }
    store_read_end(&read);
    /* A cursor outlives its read, with all that it sees. */
    uint64_t seen = 1;
    int err;
    while ((err = store_iter_next(early)) == 0)
        seen++;
    assert_int_equal(err, 1);
    assert_int_equal(seen, 502);
    assert_ok(store_iter_seek(early, slice_str("k")));
    assert_slice_str(store_iter_key(early), rig_key(0));
    store_iter_free(early);
    rig_assert(r, "a", "new");
    rig_assert(r, "m", "onetwo");
    assert_int_equal(rig_count(r), 3);
    /* Now that nobody sees them any more, the files of the dead keys go. */
    rig_work(r);
    assert_true(rig_volume_bytes(r) < 10000);
    rig_close_clean(r);
}

static void test_merges(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    rig_merge_op(r, "m", "a");
    rig_merge_op(r, "m", "b");
    rig_assert(r, "m", "ab");
    assert_ok(store_flush(r->s));
    rig_merge_op(r, "m", "c");
    rig_assert(r, "m", "abc");
    assert_ok(store_flush(r->s));
    rig_put(r, "m", "base");
    rig_merge_op(r, "m", "d");
    rig_merge_op(r, "gone", "x");
    rig_delete(r, "gone");
    rig_merge_op(r, "gone", "y");
    rig_assert(r, "m", "based");
    rig_assert(r, "gone", "y");
    rig_compact(r);
    rig_assert(r, "m", "based");
    rig_delete_range(r, "a", "z");
    rig_merge_op(r, "m", "e");
    rig_assert(r, "m", "e");
    rig_reopen(r);
    rig_assert(r, "m", "e");
    rig_assert(r, "gone", NULL);
    rig_close_clean(r);
}

/* A damaged operand is the affair of who reads that key: all else is flushed and compacted. */
static void test_merge_that_fails(void **state)
{
    struct rig *r = *state;
    struct store_read read;
    struct store_value v = {0};
    rig_open(r);
    rig_put(r, "m", "base");
    rig_merge_op(r, "m", "!");
    rig_fill(r, 0, 100, 50, 0);
    for (int round = 0; round < 3; round++) {
        store_read_begin(r->s, &read);
        assert_errno(store_get(&read, slice_str("m"), &v), EIO);
        assert_ok(store_has(&read, slice_str("m")));
        store_read_end(&read);
        rig_assert_fill(r, 0, 100, 50, 0);
        if (round == 0)
            assert_ok(store_flush(r->s));
        else
            rig_compact(r);
    }
    store_value_release(&v);
    rig_put(r, "m", "mended");
    rig_compact(r);
    rig_assert(r, "m", "mended");
    rig_close_clean(r);
}

static void test_zstd_level(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    char message[STORE_MESSAGE_MAX];
    rig_fill(r, 0, 300, 200, 0);
    assert_ok(store_flush(r->s));
    uint64_t packed = rig_stats(r).level_bytes[0];
    assert_ok(store_set(r->s, "compression.level", "0", message));
    rig_fill(r, 1000, 1300, 200, 0);
    assert_ok(store_flush(r->s));
    assert_true(rig_stats(r).level_bytes[0] > packed * 5 / 4);
    rig_assert_fill(r, 0, 300, 200, 0);
    rig_assert_fill(r, 1000, 1300, 200, 0);
    rig_close_clean(r);
}

static void test_stats(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    rig_fill(r, 0, 100, 100, 0);
    struct store_stats st = rig_stats(r);
    assert_int_equal(st.seq, 100);
    assert_true(st.memtable_bytes > 10000 && st.log_bytes > 10000);
    assert_int_equal(st.bytes_written_user, 100 * 109);
    assert_int_equal(st.table_entries, 0);
    rig_delete_range(r, "x", "y");
    rig_fill(r, 100, 110, 1000, 0);
    rig_fill(r, 110, 120, 5000, 0);
    st = rig_stats(r);
    assert_int_equal(st.blob_files, 1);
    assert_true(st.blob_bytes > 10 * 2000 && st.bytes_written_blob > 10 * 2000);
    assert_ok(store_flush(r->s));
    st = rig_stats(r);
    assert_int_equal(st.flushes, 1);
    assert_int_equal(st.level_tables[0], 1);
    assert_int_equal(st.table_entries, 120);
    assert_int_equal(st.table_rangedels, 0); /* it hides nothing */
    assert_int_equal(st.blob_files, 2);
    assert_int_equal(st.blob_garbage_bytes, 0);
    assert_int_equal(st.sealed_memtables, 0);
    rig_fill(r, 105, 115, 10, 0);
    rig_compact(r);
    st = rig_stats(r);
    assert_true(st.blob_garbage_bytes > 5 * 2000);
    assert_int_equal(st.table_entries, 120);
    assert_true(st.compactions > 0 && st.bytes_written_compaction > 0);
    assert_true(st.disk_usable_bytes <= st.disk_free_bytes);
    rig_close_clean(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_SIM(test_create_makes_an_empty_store),
        RIG_SIM(test_create_refuses),
        RIG_SIM(test_create_again_after_a_failure),
        RIG_SIM(test_open_what_is_no_store),
        RIG_SIM(test_open_twice),
        RIG_SIM(test_open_damaged),
        RIG_SIM(test_open_newer),
        RIG_SIM(test_open_with_senseless_options),
        RIG_SIM(test_extreme_options),
        RIG_SIM(test_read_only),
        RIG_SIM(test_batch),
        RIG_SIM(test_batch_too_big),
        RIG_SIM(test_batch_of_too_many),
        RIG_SIM(test_merge_without_operator),
        RIG_SIM(test_largest_keys_and_values),
        RIG_SIM(test_cursor_with_bounds),
        RIG_SIM(test_values_live),
        RIG_SIM(test_reads_are_isolated),
        RIG_SIM(test_merges),
        RIG_SIM(test_merge_that_fails),
        RIG_SIM(test_zstd_level),
        RIG_SIM(test_stats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
