#include <errno.h>

#include "tests/unit/logged.h"
#include "tests/unit/view_maker.h"

static const struct history_mix all_kinds = {
    .of = {[ENTRY_DELETE] = 3,
           [ENTRY_PUT] = 10,
           [ENTRY_MERGE] = 5,
           [ENTRY_PUT_BLOB] = 4,
           [ENTRY_MERGE_BLOB] = 2,
           [ENTRY_RANGE_DELETE] = 2},
    .keys = 30,
    .value_max = 60,
};

static uint64_t misses(const struct world *w)
{
    struct cache_stats stats;
    cache_stats(w->cache, &stats);
    return stats.misses;
}

/* ---- against the model ---- */

static void check_key(struct world *w, struct view *view, struct slice key, uint64_t read_seq,
                      struct store_value *v)
{
    struct buf want = {0};
    bool there = history_read(&w->h, key, read_seq, &want);
    uint64_t blobs_read = world_insight(w).blobs_read;
    assert_int_equal(view_has(view, &w->ctx, key, read_seq), there ? 0 : 1);
    assert_int_equal(world_insight(w).blobs_read, blobs_read);
    assert_int_equal(view_get(view, &w->ctx, key, read_seq, v), there ? 0 : 1);
    assert_slice(v->data, want.data, want.len);
    buf_release(&want);
}

static void check_all(struct world *w, struct view *view, const struct history_mix *mix)
{
    uint8_t room[HISTORY_KEY_MAX];
    struct store_value v = {0};
    for (uint64_t seq = 1; seq <= w->h.count + 1; seq += 1 + seq % 3)
        for (size_t k = 0; k <= mix->keys; k++)
            check_key(w, view, history_key(k, room), seq, &v);
    for (size_t k = 0; k <= mix->keys; k++)
        check_key(w, view, history_key(k, room), w->h.count + 1, &v);
    store_value_release(&v);
}

static void random_round(struct simrng *rng, uint64_t cache_bytes)
{
    struct world w;
    world_init(&w, cache_bytes);
    history_random(&w.h, rng, &all_kinds, simrng_below(rng, 200));
    world_place_random(&w, rng, all_kinds.keys);
    struct view *view = world_view(&w);
    check_all(&w, view, &all_kinds);
    view_unref(view);
    world_release(&w);
}

static void reads_what_the_model_reads(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    for (int i = 0; i < 60; i++)
        random_round(&rng, i % 3 ? 1 << 20 : 0);
}

/* ---- results ---- */

/* One blob value in the deepest level, another above it, and small ones. */
static void small_world(struct world *w)
{
    world_init(w, 1 << 20);
    history_add(&w->h, slice_str("a"), 1, ENTRY_PUT, slice_str("old a"));
    history_add(&w->h, slice_str("b"), 2, ENTRY_PUT_BLOB, slice_str("blob b"));
    history_add(&w->h, slice_str("m"), 3, ENTRY_MERGE, slice_str("one "));
    world_place_tables(w, 3, 6, NULL, 0);
    history_add(&w->h, slice_str("a"), 4, ENTRY_PUT, slice_str("new a"));
    history_add(&w->h, slice_str("m"), 5, ENTRY_MERGE_BLOB, slice_str("two "));
    world_place_tables(w, 2, 0, NULL, 0);
    history_add(&w->h, slice_str("m"), 6, ENTRY_MERGE, slice_str("three"));
    history_add(&w->h, slice_str("p"), 7, ENTRY_PUT, slice_str("in memory"));
    history_add(&w->h, slice_str("q"), 8, ENTRY_PUT_BLOB, slice_str("blob q"));
    world_place_gen(w, 3);
}

static void a_value_outlives_the_cache_and_is_reused(void **state)
{
    (void)state;
    struct world w;
    struct store_value v = {0}, u = {0};
    small_world(&w);
    struct view *view = world_view(&w);
    assert_ok(view_get(view, &w.ctx, slice_str("a"), 9, &v));
    cache_set_capacity(w.cache, 0);
    assert_ok(view_get(view, &w.ctx, slice_str("a"), 4, &u));
    assert_slice_str(v.data, "new a");
    assert_slice_str(u.data, "old a");
    assert_ok(view_get(view, &w.ctx, slice_str("m"), 9, &v));
    assert_slice_str(v.data, "one two three");
    assert_ok(view_get(view, &w.ctx, slice_str("b"), 9, &v));
    assert_slice_str(v.data, "blob b");
    assert_ok(view_get(view, &w.ctx, slice_str("q"), 9, &v));
    assert_slice_str(v.data, "blob q");
    assert_ok(view_get(view, &w.ctx, slice_str("p"), 9, &v));
    assert_slice_str(v.data, "in memory");
    assert_absent(view_get(view, &w.ctx, slice_str("none"), 9, &v));
    assert_int_equal(v.data.len, 0);
    assert_int_equal(world_insight(&w).blobs_read, 3);
    store_value_release(&v);
    store_value_release(&u);
    view_unref(view);
    world_release(&w);
}

static void without_an_operator_only_merged_keys_fail(void **state)
{
    (void)state;
    struct world w;
    struct store_value v = {0};
    small_world(&w);
    w.ctx.merge = NULL;
    struct view *view = world_view(&w);
    logged_reset();
    assert_errno(view_get(view, &w.ctx, slice_str("m"), 9, &v), EIO);
    assert_logged("no operator");
    assert_ok(view_has(view, &w.ctx, slice_str("m"), 9));
    assert_ok(view_get(view, &w.ctx, slice_str("a"), 9, &v));
    assert_slice_str(v.data, "new a");
    store_value_release(&v);
    view_unref(view);
    world_release(&w);
}

static int refuses(void *ctx, struct slice key, const struct slice *base,
                   const struct slice *operands, size_t count, struct buf *out)
{
    (void)ctx, (void)key, (void)base, (void)operands, (void)count;
    buf_put_u8(out, 7);
    return -EIO;
}

static void an_operator_may_refuse(void **state)
{
    (void)state;
    struct world w;
    struct store_value v = {0};
    const struct store_merge merge = {.full = refuses};
    small_world(&w);
    w.ctx.merge = &merge;
    struct view *view = world_view(&w);
    assert_errno(view_get(view, &w.ctx, slice_str("m"), 9, &v), EIO);
    assert_int_equal(v.data.len, 0);
    store_value_release(&v);
    view_unref(view);
    world_release(&w);
}

/* ---- damage ---- */

static void a_missing_blob_file_is_damage(void **state)
{
    (void)state;
    struct world w;
    struct store_value v = {0};
    small_world(&w);
    char *path = name_file(WORLD_DIR, FILE_BLOB, w.version->blobs[0].blob->number);
    assert_ok(w.env->remove(w.env, path));
    struct view *view = world_view(&w);
    logged_reset();
    assert_errno(view_get(view, &w.ctx, slice_str("b"), 9, &v), EIO);
    assert_logged(path);
    assert_ok(view_has(view, &w.ctx, slice_str("b"), 9));
    assert_int_equal(world_insight(&w).blobs_read, 0);
    assert_ok(view_get(view, &w.ctx, slice_str("a"), 9, &v));
    store_value_release(&v);
    view_unref(view);
    free(path);
    world_release(&w);
}

static void a_blob_file_that_nothing_names_is_damage(void **state)
{
    (void)state;
    struct world w;
    struct buf ref = {0};
    struct cache_item *value;
    small_world(&w);
    struct view *view = world_view(&w);
    const struct blob_ref stray = {.file = 999, .where = {96, 50}, .raw_len = 10};
    blob_ref_encode(&stray, &ref);
    logged_reset();
    assert_errno(view_read_blob(view, &w.ctx, buf_slice(&ref), true, &value), EIO);
    assert_logged("000999.blob");
    assert_null(value);
    assert_errno(view_read_blob(view, &w.ctx, slice_str("\xff"), true, &value), EIO);
    buf_release(&ref);
    view_unref(view);
    world_release(&w);
}

static void a_damaged_table_is_damage(void **state)
{
    (void)state;
    struct world w;
    struct store_value v = {0};
    small_world(&w);
    char *path = name_file(WORLD_DIR, FILE_TABLE, w.version->levels[6].tables[0]->number);
    assert_ok(simdisk_flip(w.disk, path, FILE_HEADER_SIZE + FRAME_HEADER_SIZE + 5, 0x10));
    struct view *view = world_view(&w);
    logged_reset();
    assert_errno(view_get(view, &w.ctx, slice_str("b"), 9, &v), EIO);
    assert_logged(path);
    assert_errno(view_has(view, &w.ctx, slice_str("b"), 9), EIO);
    assert_int_equal(v.data.len, 0);
    assert_ok(view_get(view, &w.ctx, slice_str("a"), 9, &v)); /* answered above it */
    assert_errno(view_get(view, &w.ctx, slice_str("a"), 4, &v), EIO);
    assert_ok(w.env->remove(w.env, path));
    store_value_release(&v);
    view_unref(view);
    free(path);
    world_release(&w);
}

static void a_missing_table_is_damage(void **state)
{
    (void)state;
    struct world w;
    struct store_value v = {0};
    small_world(&w);
    char *path = name_file(WORLD_DIR, FILE_TABLE, w.version->levels[6].tables[0]->number);
    assert_ok(w.env->remove(w.env, path));
    struct view *view = world_view(&w);
    logged_reset();
    assert_errno(view_get(view, &w.ctx, slice_str("b"), 9, &v), EIO);
    assert_logged(path);
    assert_absent(view_get(view, &w.ctx, slice_str("zz"), 9, &v)); /* beyond its span */
    store_value_release(&v);
    view_unref(view);
    free(path);
    world_release(&w);
}

/* ---- what is not looked at ---- */

/* A tombstone hides whatever older sources have of the key, so they are not asked: not even opened.
 */
static void a_tombstone_ends_the_walk(void **state)
{
    (void)state;
    struct world w;
    struct store_value v = {0};
    world_init(&w, 1 << 20);
    history_add(&w.h, slice_str("a"), 1, ENTRY_PUT, slice_str("1"));
    history_add(&w.h, slice_str("b"), 2, ENTRY_PUT, slice_str("2"));
    history_add(&w.h, slice_str("z"), 3, ENTRY_PUT, slice_str("3"));
    world_place_tables(&w, 3, 6, NULL, 0);
    history_add(&w.h, slice_str("a"), 4, ENTRY_RANGE_DELETE, slice_str("c"));
    history_add(&w.h, slice_str("b"), 5, ENTRY_MERGE, slice_str("5"));
    world_place_gen(&w, 2);
    struct view *view = world_view(&w);
    assert_absent(view_get(view, &w.ctx, slice_str("a"), 6, &v));
    assert_ok(view_get(view, &w.ctx, slice_str("b"), 6, &v));
    assert_slice_str(v.data, "5");
    assert_null(version_table_opened(w.version->levels[6].tables[0]));
    assert_int_equal(misses(&w), 0);
    assert_ok(view_get(view, &w.ctx, slice_str("a"), 4, &v)); /* older than the tombstone */
    assert_slice_str(v.data, "1");
    assert_int_equal(misses(&w), 1);
    store_value_release(&v);
    view_unref(view);
    world_release(&w);
}

static void an_old_read_sees_nothing(void **state)
{
    (void)state;
    struct world w;
    struct store_value v = {0};
    small_world(&w);
    struct view *view = world_view(&w);
    assert_absent(view_get(view, &w.ctx, slice_str("a"), 1, &v));
    assert_absent(view_has(view, &w.ctx, slice_str("m"), 3));
    store_value_release(&v);
    view_unref(view);
    world_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_the_model_reads),
        cmocka_unit_test(a_value_outlives_the_cache_and_is_reused),
        cmocka_unit_test(without_an_operator_only_merged_keys_fail),
        cmocka_unit_test(an_operator_may_refuse),
        cmocka_unit_test(a_missing_blob_file_is_damage),
        cmocka_unit_test(a_blob_file_that_nothing_names_is_damage),
        cmocka_unit_test(a_damaged_table_is_damage),
        cmocka_unit_test(a_missing_table_is_damage),
        cmocka_unit_test(a_tombstone_ends_the_walk),
        cmocka_unit_test(an_old_read_sees_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
