/* Scans over tables and blob files that are damaged or gone. */
#include <errno.h>

#include "store/scan.h"
#include "tests/unit/logged.h"
#include "tests/unit/view_maker.h"

static void put(struct world *w, uint64_t seq, const char *key, enum entry_type type)
{
    history_add(&w->h, slice_str(key), seq, type, slice_str("a value"));
}

/* Three tables on level 5: [a, b], [m] and [x, y]; above them m, as a blob, and z. */
static void damage_world(struct world *w)
{
    const struct slice cuts[] = {slice_str("k"), slice_str("w")};
    world_init(w, 1 << 20);
    put(w, 1, "a", ENTRY_PUT);
    put(w, 2, "b", ENTRY_PUT);
    put(w, 3, "m", ENTRY_PUT);
    put(w, 4, "x", ENTRY_PUT);
    put(w, 5, "y", ENTRY_PUT);
    world_place_tables(w, 5, 5, cuts, 2);
    put(w, 6, "ma", ENTRY_PUT_BLOB);
    put(w, 7, "z", ENTRY_PUT);
    world_place_tables(w, 2, 0, NULL, 0);
    world_place_gen(w, 0);
}

static void check_around_damage(struct world *w)
{
    struct view *view = world_view(w);
    struct slice none = {0}, value;
    struct scan *s = scan_new(view, &w->ctx, 8, none, none, SCAN_FILL_CACHE);
    assert_ok(scan_first(s));
    assert_ok(scan_next(s));
    assert_slice_str(scan_key(s), "b");
    assert_errno(scan_next(s), EIO);
    assert_errno(scan_seek(s, slice_str("k")), EIO);
    assert_ok(scan_seek(s, slice_str("w")));
    assert_slice_str(scan_key(s), "x");
    assert_errno(scan_prev(s), EIO);
    assert_ok(scan_last(s));
    assert_slice_str(scan_key(s), "z");
    assert_ok(scan_value(s, &value));
    assert_slice_str(value, "a value");
    assert_errno(scan_seek_for_prev(s, slice_str("n")), EIO);
    assert_ok(scan_seek_for_prev(s, slice_str("aa")));
    assert_slice_str(scan_key(s), "a");
    assert_ok(scan_next(s));
    assert_slice_str(scan_key(s), "b");
    scan_free(s);
    view_unref(view);
}

static void a_damaged_table_stops_only_who_needs_it(void **state)
{
    (void)state;
    struct world w;
    damage_world(&w);
    char *path = name_file(WORLD_DIR, FILE_TABLE, w.version->levels[5].tables[1]->number);
    assert_ok(simdisk_flip(w.disk, path, FILE_HEADER_SIZE + FRAME_HEADER_SIZE + 3, 1));
    logged_reset();
    check_around_damage(&w);
    assert_logged(path);
    free(path);
    world_release(&w);
}

static void a_missing_table_stops_only_who_needs_it(void **state)
{
    (void)state;
    struct world w;
    damage_world(&w);
    char *path = name_file(WORLD_DIR, FILE_TABLE, w.version->levels[5].tables[1]->number);
    assert_ok(w.env->remove(w.env, path));
    logged_reset();
    check_around_damage(&w);
    assert_logged(path);
    free(path);
    world_release(&w);
}

static void a_missing_table_of_level_0_stops_every_move(void **state)
{
    (void)state;
    struct world w;
    struct slice none = {0};
    damage_world(&w);
    char *path = name_file(WORLD_DIR, FILE_TABLE, w.version->levels[0].tables[0]->number);
    assert_ok(w.env->remove(w.env, path));
    logged_reset();
    struct view *view = world_view(&w);
    struct scan *s = scan_new(view, &w.ctx, 8, none, none, 0);
    assert_errno(scan_first(s), EIO);
    assert_errno(scan_last(s), EIO);
    assert_logged(path);
    scan_free(s);
    s = scan_new(view, &w.ctx, 8, none, slice_str("c"), 0); /* its span is not needed here */
    assert_ok(scan_last(s));
    assert_slice_str(scan_key(s), "b");
    scan_free(s);
    view_unref(view);
    free(path);
    world_release(&w);
}

static void a_missing_blob_file_fails_the_value_only(void **state)
{
    (void)state;
    struct world w;
    struct slice none = {0}, value;
    damage_world(&w);
    char *path = name_file(WORLD_DIR, FILE_BLOB, w.version->blobs[0].blob->number);
    assert_ok(w.env->remove(w.env, path));
    logged_reset();
    struct view *view = world_view(&w);
    struct scan *s = scan_new(view, &w.ctx, 8, none, none, 0);
    assert_ok(scan_seek(s, slice_str("m")));
    assert_ok(scan_next(s));
    assert_slice_str(scan_key(s), "ma");
    assert_errno(scan_value(s, &value), EIO);
    assert_int_equal(value.len, 0);
    assert_logged(path);
    assert_ok(scan_next(s));
    assert_ok(scan_prev(s));
    assert_errno(scan_value(s, &value), EIO); /* the same on the way back */
    assert_ok(scan_prev(s));
    assert_ok(scan_value(s, &value));
    assert_slice_str(value, "a value");
    scan_free(s);
    view_unref(view);
    free(path);
    world_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_damaged_table_stops_only_who_needs_it),
        cmocka_unit_test(a_missing_table_stops_only_who_needs_it),
        cmocka_unit_test(a_missing_table_of_level_0_stops_every_move),
        cmocka_unit_test(a_missing_blob_file_fails_the_value_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
