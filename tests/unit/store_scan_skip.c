/* What a scan does not look at. It is counted in blocks that are asked of the cache, hit or miss,
 * as time would not tell reliably: a step through the dead would ask for thousands. */
#include "store/scan.h"
#include "tests/unit/view_maker.h"

enum { DEAD = 200000, BLOCKS_FEW = 60 };

static struct slice number_key(uint64_t i, uint8_t room[9])
{
    room[0] = 'k';
    put_be64(room + 1, i);
    return slice_of(room, 9);
}

/* Keys `from` to `to` (exclusive) with numbers from `seq` on, as one table. */
static void put_table(struct world *w, int level, uint64_t from, uint64_t to, uint64_t seq)
{
    uint8_t room[9];
    struct table_writer *t;
    struct table_meta *meta;
    struct version *next;
    struct edit edit;
    edit_init(&edit);
    assert_ok(table_create(w->env, WORLD_DIR, w->next_file++, world_uuid, &w->table, &t));
    for (uint64_t i = from; i < to; i++) {
        struct entry e = {number_key(i, room), seq + i - from, ENTRY_PUT, 0, slice_str("value")};
        assert_ok(table_add(t, &e));
    }
    assert_ok(table_finish(t, &meta));
    edit_add_table(&edit, level, meta);
    table_meta_unref(meta);
    assert_ok(version_apply(w->version, &edit, NULL, 0, &next));
    version_unref(w->version);
    w->version = next;
    edit_release(&edit);
}

static uint64_t blocks_asked(const struct world *w)
{
    struct cache_stats stats;
    cache_stats(w->cache, &stats);
    return stats.hits + stats.misses;
}

static void init(struct world *w)
{
    world_init(w, 64 << 20);
    w->table.block_bytes = 1024;
}

/* The history's ranges are not used here: a tombstone over [from, to). */
static void delete_range(struct world *w, uint64_t from, uint64_t to, uint64_t seq)
{
    uint8_t room[2][9];
    struct slice start = number_key(from, room[0]), end = number_key(to, room[1]);
    memtable_add_rangedel(w->gens[w->gen_count - 1]->mem, start, end, seq);
}

static void delete_range_in_table(struct world *w, uint64_t from, uint64_t to, uint64_t seq)
{
    uint8_t room[2][9];
    history_add(&w->h, number_key(from, room[0]), seq, ENTRY_RANGE_DELETE, number_key(to, room[1]));
    world_place_tables(w, 1, 0, NULL, 0);
}

/* The scan sees just the keys `first` and `last`, and asks for few blocks to find that out. */
static void check_crossing(struct world *w, uint64_t first, uint64_t last, uint64_t read_seq)
{
    uint8_t room[9];
    struct slice none = {0};
    struct view *view = world_view(w);
    struct scan *s = scan_new(view, &w->ctx, read_seq, none, none, SCAN_FILL_CACHE);
    uint64_t before = blocks_asked(w);
    assert_ok(scan_first(s));
    assert_slice(scan_key(s), number_key(first, room).data, 9);
    assert_ok(scan_next(s));
    assert_slice(scan_key(s), number_key(last, room).data, 9);
    assert_absent(scan_next(s));
    assert_in_range(blocks_asked(w) - before, 0, BLOCKS_FEW);
    before = blocks_asked(w);
    assert_ok(scan_last(s));
    assert_slice(scan_key(s), number_key(last, room).data, 9);
    assert_ok(scan_prev(s));
    assert_slice(scan_key(s), number_key(first, room).data, 9);
    assert_absent(scan_prev(s));
    assert_in_range(blocks_asked(w) - before, 0, 2 * BLOCKS_FEW);
    before = blocks_asked(w);
    for (uint64_t i = 1; i < DEAD; i += DEAD / 20) {
        assert_ok(scan_seek(s, number_key(first + i, room)));
        assert_slice(scan_key(s), number_key(last, room).data, 9);
        assert_ok(scan_seek_for_prev(s, number_key(first + i, room)));
        assert_slice(scan_key(s), number_key(first, room).data, 9);
    }
    assert_in_range(blocks_asked(w) - before, 0, 40 * BLOCKS_FEW);
    scan_free(s);
    view_unref(view);
}

/* The counting can tell: without the tombstone the scan asks for every block. */
static void without_a_tombstone_every_block_is_read(void **state)
{
    (void)state;
    struct world w;
    struct slice none = {0};
    init(&w);
    put_table(&w, 6, 0, DEAD, 1);
    struct view *view = world_view(&w);
    struct scan *s = scan_new(view, &w.ctx, DEAD + 1, none, none, SCAN_FILL_CACHE);
    uint64_t n = 0;
    for (int status = scan_first(s); status == 0; status = scan_next(s))
        n++;
    assert_int_equal(n, DEAD);
    assert_true(blocks_asked(&w) > 30 * BLOCKS_FEW);
    scan_free(s);
    view_unref(view);
    world_release(&w);
}

static void one_tombstone_in_a_memtable(void **state)
{
    (void)state;
    struct world w;
    init(&w);
    put_table(&w, 6, 0, DEAD, 1);
    put_table(&w, 0, DEAD / 2, DEAD, DEAD + 1);
    world_place_gen(&w, 0);
    delete_range(&w, 1, DEAD - 1, 3 * DEAD);
    check_crossing(&w, 0, DEAD - 1, 3 * DEAD + 1);
    world_release(&w);
}

static void one_tombstone_in_a_table(void **state)
{
    (void)state;
    struct world w;
    init(&w);
    put_table(&w, 6, 0, DEAD, 1);
    put_table(&w, 3, 100, DEAD, DEAD + 1);
    delete_range_in_table(&w, 1, DEAD - 1, 3 * DEAD);
    check_crossing(&w, 0, DEAD - 1, 3 * DEAD + 1);
    world_release(&w);
}

/* Tables that are wholly covered are not even opened. */
static void tables_under_a_tombstone_stay_closed(void **state)
{
    (void)state;
    struct world w;
    uint64_t part = DEAD / 10;
    init(&w);
    for (uint64_t i = 0; i < 10; i++)
        put_table(&w, 6, i * part, (i + 1) * part, 1 + i * part);
    world_place_gen(&w, 0);
    delete_range(&w, 1, DEAD - 1, 2 * DEAD);
    struct slice none = {0};
    struct view *view = world_view(&w);
    struct scan *s = scan_new(view, &w.ctx, 2 * DEAD + 1, none, none, 0);
    assert_ok(scan_first(s));
    assert_ok(scan_next(s));
    assert_absent(scan_next(s));
    assert_ok(scan_last(s));
    assert_ok(scan_prev(s));
    scan_free(s);
    for (uint32_t i = 0; i < 10; i++)
        assert_int_equal(version_table_opened(w.version->levels[6].tables[i]) != NULL,
                         i == 0 || i == 9);
    view_unref(view);
    world_release(&w);
}

/* One tombstone, cut by the ends of the tables that hold it. */
static void pieces_of_a_tombstone_in_the_tables_of_a_level(void **state)
{
    (void)state;
    struct world w;
    uint8_t room[2][9], cut_room[10][9];
    struct slice cuts[10];
    init(&w);
    put_table(&w, 6, 0, DEAD, 1);
    for (uint64_t i = 0; i < 10; i++)
        cuts[i] = number_key(DEAD / 20 + i * (DEAD / 10), cut_room[i]);
    history_add(&w.h, number_key(1, room[0]), 3 * DEAD, ENTRY_RANGE_DELETE,
                number_key(DEAD - 1, room[1]));
    world_place_tables(&w, 1, 4, cuts, 10);
    check_crossing(&w, 0, DEAD - 1, 3 * DEAD + 1);
    world_release(&w);
}

/* As when many files are removed: thousands of small intervals, one after the other. */
static void a_chain_of_small_tombstones(void **state)
{
    (void)state;
    struct world w;
    init(&w);
    put_table(&w, 6, 0, DEAD, 1);
    world_place_gen(&w, 0);
    for (uint64_t i = 1; i < DEAD - 1; i += 50)
        delete_range(&w, i, i + 50 < DEAD - 1 ? i + 50 : DEAD - 1, DEAD + i);
    struct slice none = {0};
    struct view *view = world_view(&w);
    struct scan *s = scan_new(view, &w.ctx, SEQ_MAX, none, none, SCAN_FILL_CACHE);
    uint64_t before = blocks_asked(&w);
    assert_ok(scan_first(s));
    assert_ok(scan_next(s));
    assert_absent(scan_next(s));
    assert_in_range(blocks_asked(&w) - before, 0, BLOCKS_FEW);
    scan_free(s);
    view_unref(view);
    world_release(&w);
}

/* A read that does not see the tombstone sees all, one that sees only the tombstone sees none. */
static void an_old_read_sees_what_a_tombstone_hid_later(void **state)
{
    (void)state;
    struct world w;
    struct slice none = {0};
    init(&w);
    put_table(&w, 6, 0, 1000, 1);
    world_place_gen(&w, 0);
    delete_range(&w, 0, 1000, 2000);
    struct view *view = world_view(&w);
    struct scan *s = scan_new(view, &w.ctx, 2000, none, none, 0);
    uint64_t n = 0;
    for (int status = scan_last(s); status == 0; status = scan_prev(s))
        n++;
    assert_int_equal(n, 1000);
    scan_free(s);
    s = scan_new(view, &w.ctx, 2001, none, none, 0);
    assert_absent(scan_first(s));
    assert_absent(scan_last(s));
    scan_free(s);
    view_unref(view);
    world_release(&w);
}

/* Versions of one key, from number 2 on, between two keys that were put before. */
static void many_versions(struct world *w, uint64_t count)
{
    uint8_t room[9];
    struct table_writer *t;
    struct table_meta *meta;
    struct version *next;
    struct edit edit;
    struct entry e = {number_key(0, room), 1, ENTRY_PUT, 0, slice_str("value")};
    edit_init(&edit);
    assert_ok(table_create(w->env, WORLD_DIR, w->next_file++, world_uuid, &w->table, &t));
    assert_ok(table_add(t, &e));
    e.key = number_key(1, room);
    for (e.seq = count + 1; e.seq >= 2; e.seq--)
        assert_ok(table_add(t, &e));
    e.key = number_key(2, room);
    assert_ok(table_add(t, &e));
    assert_ok(table_finish(t, &meta));
    edit_add_table(&edit, 0, meta);
    table_meta_unref(meta);
    assert_ok(version_apply(w->version, &edit, NULL, 0, &next));
    version_unref(w->version);
    w->version = next;
    edit_release(&edit);
}

static void the_versions_of_a_key_are_passed_by_a_seek(void **state)
{
    (void)state;
    struct world w;
    uint8_t room[9];
    struct slice none = {0};
    init(&w);
    many_versions(&w, DEAD);
    struct view *view = world_view(&w);
    for (uint64_t read_seq = 3; read_seq <= DEAD + 2; read_seq += DEAD / 4) {
        struct scan *s = scan_new(view, &w.ctx, read_seq, none, none, SCAN_FILL_CACHE);
        uint64_t before = blocks_asked(&w);
        assert_ok(scan_first(s));
        for (uint64_t i = 1; i < 3; i++) {
            assert_ok(scan_next(s));
            assert_slice(scan_key(s), number_key(i, room).data, 9);
        }
        assert_absent(scan_next(s));
        assert_ok(scan_last(s));
        for (uint64_t i = 2; i-- > 0;) {
            assert_ok(scan_prev(s));
            assert_slice(scan_key(s), number_key(i, room).data, 9);
        }
        assert_absent(scan_prev(s));
        assert_in_range(blocks_asked(&w) - before, 0, BLOCKS_FEW);
        scan_free(s);
    }
    view_unref(view);
    world_release(&w);
}

/* Bounds leave out whole sources. */
static void tables_outside_the_bounds_stay_closed(void **state)
{
    (void)state;
    struct world w;
    uint8_t room[2][9];
    init(&w);
    put_table(&w, 6, 0, 100, 1);
    put_table(&w, 5, 300, 400, 101);
    put_table(&w, 0, 500, 600, 201);
    struct view *view = world_view(&w);
    struct scan *s = scan_new(view, &w.ctx, 1000, number_key(50, room[0]), number_key(300, room[1]),
                              SCAN_FILL_CACHE);
    assert_ok(scan_last(s));
    assert_slice(scan_key(s), number_key(99, room[0]).data, 9);
    assert_non_null(version_table_opened(w.version->levels[6].tables[0]));
    assert_null(version_table_opened(w.version->levels[5].tables[0]));
    assert_null(version_table_opened(w.version->levels[0].tables[0]));
    scan_free(s);
    view_unref(view);
    world_release(&w);
}

/* ---- what a source's own tombstone hides ---- */

enum { STEPS_FEW = 600 };

/* The scan sees just the keys at `expected`, and steps over few others. */
static void check_steps(struct world *w, const uint64_t *expected, size_t count)
{
    uint8_t room[9];
    struct slice none = {0};
    struct counters counters;
    struct store_insight seen = {0};
    counters_init(&counters);
    w->ctx.counters = &counters;
    struct view *view = world_view(w);
    struct scan *s = scan_new(view, &w->ctx, SEQ_MAX, none, none, SCAN_FILL_CACHE);
    int status = scan_first(s);
    for (size_t i = 0; i < count; i++) {
        assert_ok(status);
        assert_slice(scan_key(s), number_key(expected[i], room).data, 9);
        status = scan_next(s);
    }
    assert_absent(status);
    scan_free(s);
    counters_read(&counters, &seen);
    assert_in_range(seen.passed, 1, STEPS_FEW);
    view_unref(view);
    w->ctx.counters = NULL;
    counters_release(&counters);
}

static void add_to_memtable(struct world *w, uint64_t i, uint64_t seq)
{
    uint8_t room[9];
    struct entry e = {number_key(i, room), seq, ENTRY_PUT, 0, slice_str("value")};
    memtable_add(w->gens[w->gen_count - 1]->mem, &e);
}

static void a_memtables_own_tombstone(void **state)
{
    (void)state;
    struct world w;
    init(&w);
    world_place_gen(&w, 0);
    for (uint64_t i = 0; i < DEAD; i++)
        add_to_memtable(&w, i, 1 + i);
    delete_range(&w, 0, DEAD, DEAD + 10000);
    check_steps(&w, NULL, 0);
    static const uint64_t back[] = {0, 77, DEAD / 2, DEAD - 1};
    for (uint64_t i = 0; i < 4; i++)
        add_to_memtable(&w, back[i], DEAD + 10001 + i);
    check_steps(&w, back, 4);
    world_release(&w);
}

/* Small intervals that touch, each with a tombstone of its own. */
static void a_memtables_own_chain_of_tombstones(void **state)
{
    (void)state;
    struct world w;
    init(&w);
    world_place_gen(&w, 0);
    for (uint64_t i = 0; i < DEAD; i++)
        add_to_memtable(&w, i, 1 + i);
    for (uint64_t i = 0; i < DEAD; i += 50)
        delete_range(&w, i, i + 50, DEAD + 10000 + i);
    add_to_memtable(&w, 100, 3 * DEAD);
    check_steps(&w, (const uint64_t[]){100}, 1);
    world_release(&w);
}

/* Keys `from` to `to` in tables of `each`, under one tombstone of each table, but for a few that
 * are newer. They are there for the sake of a pin. */
static void put_covered_tables(struct world *w, int level, uint64_t count, uint64_t each,
                               const uint64_t *newer, size_t newer_count)
{
    uint8_t room[2][9];
    for (uint64_t from = 0; from < count; from += each) {
        struct rangedel_builder *b = rangedel_builder_new();
        struct table_writer *t;
        struct table_meta *meta;
        struct version *next;
        struct edit edit;
        edit_init(&edit);
        assert_ok(table_create(w->env, WORLD_DIR, w->next_file++, world_uuid, &w->table, &t));
        rangedel_builder_add(b, number_key(from, room[0]), number_key(from + each, room[1]), DEAD);
        struct rangedel *dels = rangedel_build(b);
        table_set_rangedel(t, dels);
        for (uint64_t i = from; i < from + each; i++) {
            uint64_t seq = 1 + i % 1000;
            for (size_t n = 0; n < newer_count; n++)
                seq = newer[n] == i ? DEAD + 1 + n : seq;
            struct entry e = {number_key(i, room[0]), seq, ENTRY_PUT, 0, slice_str("value")};
            assert_ok(table_add(t, &e));
        }
        assert_ok(table_finish(t, &meta));
        edit_add_table(&edit, level, meta);
        assert_ok(version_apply(w->version, &edit, NULL, 0, &next));
        version_unref(w->version);
        w->version = next;
        table_meta_unref(meta);
        edit_release(&edit);
        rangedel_unref(dels);
        rangedel_builder_free(b);
    }
}

static void a_tables_own_tombstone(void **state)
{
    (void)state;
    static const uint64_t newer[] = {0, 5, DEAD / 3, DEAD - 2};
    for (int level = 0; level <= 6; level += 6) {
        for (size_t count = 0; count <= 4; count += 4) {
            struct world w;
            init(&w);
            put_covered_tables(&w, level, DEAD, DEAD, newer, count);
            uint64_t before = blocks_asked(&w);
            check_steps(&w, newer, count);
            assert_in_range(blocks_asked(&w) - before, 1, 12);
            world_release(&w);
        }
    }
}

/* Whole tables of a level are passed by: not opened for more than their tombstones. */
static void a_levels_own_tombstones(void **state)
{
    (void)state;
    static const uint64_t newer[] = {3, DEAD / 2};
    struct world w;
    init(&w);
    put_covered_tables(&w, 5, DEAD, DEAD / 10, newer, 2);
    uint64_t before = blocks_asked(&w);
    check_steps(&w, newer, 2);
    assert_in_range(blocks_asked(&w) - before, 1, 30);
    world_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_tombstone_every_block_is_read),
        cmocka_unit_test(one_tombstone_in_a_memtable),
        cmocka_unit_test(one_tombstone_in_a_table),
        cmocka_unit_test(tables_under_a_tombstone_stay_closed),
        cmocka_unit_test(pieces_of_a_tombstone_in_the_tables_of_a_level),
        cmocka_unit_test(a_chain_of_small_tombstones),
        cmocka_unit_test(an_old_read_sees_what_a_tombstone_hid_later),
        cmocka_unit_test(the_versions_of_a_key_are_passed_by_a_seek),
        cmocka_unit_test(tables_outside_the_bounds_stay_closed),
        cmocka_unit_test(a_memtables_own_tombstone),
        cmocka_unit_test(a_memtables_own_chain_of_tombstones),
        cmocka_unit_test(a_tables_own_tombstone),
        cmocka_unit_test(a_levels_own_tombstones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
