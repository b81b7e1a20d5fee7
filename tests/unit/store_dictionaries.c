/* Dictionaries in a store: when compaction makes and replaces them, and that whatever is done with
 * a volume is done with its dictionaries. */
#include "store/store_priv.h"
#include "tests/unit/dict_maker.h"
#include "tests/unit/secret_rig.h"

enum { KEYS = 6000 };

static char message[STORE_MESSAGE_MAX];

static void use_dictionaries(struct rig *r)
{
    r->opt.block_bytes = 2048;
    r->opt.table_bytes = 256 << 10;
    r->opt.memtable_bytes = 256 << 10;
    r->opt.dict_bytes = 1024;
}

static void record(int kind, uint64_t i, uint8_t out[RECORD_BYTES])
{
    struct simrng rng = {i + 1};
    record_fill(&rng, kind, out);
}

static void fill(struct rig *r, int kind, uint64_t from, uint64_t to)
{
    uint8_t value[RECORD_BYTES];
    for (uint64_t i = from; i < to; i += 100) {
        struct store_batch *b = store_batch_new(r->s);
        for (uint64_t k = i; k < i + 100; k++) {
            record(kind, k, value);
            store_batch_put(b, slice_str(rig_key(k)), slice_of(value, sizeof value));
        }
        assert_ok(rig_write(r, b, 0));
        rig_work(r);
    }
}

/* Twice, so that tables are merged, and do not just move. */
static void rewrite(struct rig *r, int kind, uint64_t from, uint64_t to)
{
    for (int i = 0; i < 2; i++) {
        fill(r, kind, from, to);
        assert_ok(store_flush(r->s));
    }
    rig_compact(r);
}

static void assert_filled(struct rig *r, int kind, uint64_t from, uint64_t to)
{
    struct store_read read;
    struct store_value v = {0};
    uint8_t value[RECORD_BYTES];
    store_read_begin(r->s, &read);
    for (uint64_t i = from; i < to; i++) {
        record(kind, i, value);
        assert_ok(store_get(&read, slice_str(rig_key(i)), &v));
        assert_slice(v.data, value, sizeof value);
    }
    store_value_release(&v);
    store_read_end(&read);
}

static struct version *version_of(struct rig *r)
{
    return viewbox_peek(r->s->tree.box)->version;
}

/* How many tables there are, with a dictionary or not. */
static uint32_t tables(struct rig *r, bool with)
{
    uint32_t n = 0;
    for (int level = 0; level < LEVEL_COUNT; level++)
        for (uint32_t i = 0; i < version_of(r)->levels[level].count; i++)
            n += (version_of(r)->levels[level].tables[i]->meta->dict_len > 0) == with;
    return n;
}

static struct dicts_stats stats_of(struct rig *r)
{
    struct dicts_stats stats;
    dicts_stats(r->s->tree.dicts, &stats);
    return stats;
}

/* Keys [0, KEYS) of kind 0 on the last level, in tables that have a dictionary. */
static void make(struct rig *r)
{
    use_dictionaries(r);
    rig_open(r);
    rewrite(r, 0, 0, KEYS);
    assert_true(tables(r, true) > 0);
    assert_filled(r, 0, 0, KEYS);
}

static void compaction_makes_one(void **state)
{
    struct rig *r = *state;
    make(r);
    assert_true(stats_of(r).trained >= 1);
    uint64_t with = rig_stats(r).level_bytes[6];
    rig_reopen(r);
    assert_filled(r, 0, 0, KEYS);
    /* What is rewritten goes on with the one that is there. */
    rewrite(r, 0, 0, KEYS);
    assert_int_equal(stats_of(r).trained, 0);
    assert_true(stats_of(r).chosen > 0 && tables(r, true) > 0);
    assert_int_equal(codec_dict_shared_count(), 1);
    /* Not any more, live. */
    assert_ok(store_set(r->s, "dictionary.bytes", "0", message));
    rewrite(r, 0, 0, KEYS);
    assert_int_equal(tables(r, true), 0);
    assert_true(rig_stats(r).level_bytes[6] > with + with / 20);
    assert_filled(r, 0, 0, KEYS);
    rig_close_clean(r);
    assert_int_equal(codec_dict_shared_count(), 0);
}

/* New data gets a new one, while tables with the old one are there and are read. */
static void one_is_replaced_live(void **state)
{
    struct rig *r = *state;
    make(r);
    uint32_t before = codec_dict_shared_count();
    for (uint64_t at = 10000; at < 40000; at += KEYS) {
        rewrite(r, 1, at, at + KEYS);
    }
    assert_true(stats_of(r).trained >= 2);
    assert_filled(r, 1, 10000, 40000);
    assert_filled(r, 0, 0, KEYS);
    assert_true(codec_dict_shared_count() >= before);
    rig_reopen(r);
    assert_filled(r, 1, 10000, 40000);
    assert_filled(r, 0, 0, KEYS);
    rig_close_clean(r);
}

/* A checkpoint has what its tables have, whatever becomes of the store that it was made of. */
static void a_checkpoint_has_them(void **state)
{
    struct rig *r = *state;
    struct store_checkpoint c;
    make(r);
    assert_ok(store_checkpoint(r->s, "/copy", NULL, &c));
    assert_ok(store_set(r->s, "dictionary.bytes", "0", message));
    rewrite(r, 1, 0, KEYS);
    assert_int_equal(tables(r, true), 0);
    rig_close_clean(r);
    struct rig other = *r;
    other.s = NULL;
    strcpy(other.dir, "/copy");
    rig_open(&other);
    assert_true(tables(&other, true) > 0);
    assert_filled(&other, 0, 0, KEYS);
    rig_close_clean(&other);
}

static void a_new_key_reaches_them(void **state)
{
    struct rig *r = *state;
    struct store_keys keys;
    uint32_t slot;
    make(r);
    rig_close_clean(r);
    assert_ok(store_keys_rotate(r->dir, &r->opt, NULL, NULL, &slot));
    rig_open(r);
    for (int idle = 0, steps = 0; idle < 3; steps++) {
        int err = store_work(r->s);
        assert_true(err == 0 || err == 1);
        assert_true(steps < 10000);
        idle = err == 1 ? idle + 1 : 0;
        simdisk_advance(r->disk, UINT64_C(2000000000));
    }
    struct store_stats s = rig_stats(r);
    assert_int_equal(s.old_key_files, 0);
    assert_int_equal(s.key_generations, 1);
    assert_true(tables(r, true) > 0);
    assert_filled(r, 0, 0, KEYS);
    assert_ok(store_keys_get(r->dir, &r->opt, &keys));
    assert_int_equal(keys.generations, 1);
    rig_close_clean(r);
}

/* ---- idle workers ---- */

static uint64_t helped(struct rig *r, const char *helpers, uint64_t salt)
{
    uint64_t before = squad_helped(r->s->tree.squad);
    assert_ok(store_set(r->s, "compression.helpers", helpers, message));
    rig_fill(r, 0, 3000, 200, salt);
    assert_ok(store_flush(r->s));
    rig_compact(r);
    return squad_helped(r->s->tree.squad) - before;
}

static void idle_workers_help(void **state)
{
    struct rig *r = *state;
    uint64_t salt = 0, blocks = 0;
    use_dictionaries(r);
    r->opt.workers = 3;
    r->opt.zstd_level = 9;
    rig_open(r);
    assert_int_equal(helped(r, "0", salt++), 0);
    while (blocks == 0 && salt < 200) /* they come when they have time */
        blocks = helped(r, "2", salt++);
    assert_true(blocks > 0);
    assert_int_equal(helped(r, "0", salt), 0);
    rig_assert_fill(r, 0, 3000, 200, salt);
    rig_close_clean(r);
}

/* ---- damage ---- */

static const struct table_meta *some_with(struct rig *r, int *level)
{
    for (*level = LEVEL_COUNT - 1; *level >= 0; --*level)
        for (uint32_t i = 0; i < version_of(r)->levels[*level].count; i++)
            if (version_of(r)->levels[*level].tables[i]->meta->dict_len > 0)
                return version_of(r)->levels[*level].tables[i]->meta;
    fail_msg("no table has a dictionary");
    return NULL;
}

static int no_telling(void *ctx, const struct store_finding *f)
{
    (void)ctx;
    if (getenv("VERBOSE"))
        fprintf(stderr, "%d %s: %s\n", f->code, f->file, f->text);
    return 0;
}

/* Of a table whose index is gone salvage finds the blocks, and decodes them with the dictionary, be
 * it the first one or its copy. */
static void salvage_finds_it(void **state)
{
    struct rig *r = *state;
    for (int copy = 0; copy < 2; copy++) {
        struct store_salvage_report report;
        int level;
        if (copy == 0)
            make(r);
        else
            rig_open(r);
        rewrite(r, 0, 0, KEYS);
        const struct table_meta *m = some_with(r, &level);
        uint64_t number = m->number, size = m->size_bytes;
        rig_close(r);
        char path[300];
        snprintf(path, sizeof path, "%s", rig_file(r, FILE_TABLE, number));
        assert_ok(simdisk_flip(r->disk, path, size - TABLE_FOOTER_SIZE - 10, 1)); /* the index */
        if (copy)
            assert_ok(simdisk_flip(r->disk, path, FILE_HEADER_SIZE + 100, 1));
        assert_ok(store_salvage(r->dir, &r->opt, no_telling, NULL, NULL, &report));
        assert_int_equal(report.tables_rebuilt, 1);
        rig_open(r);
        assert_filled(r, 0, 0, KEYS);
        rig_compact(r);
        rig_close(r);
    }
}

static int count_what(void *ctx, const struct store_item *item)
{
    int *counts = ctx;
    counts[0] += strcmp(item->what, "dictionary") == 0;
    counts[1] += strcmp(item->what, "entry") == 0;
    counts[2] += strcmp(item->what, "damage") == 0;
    return 0;
}

static void dump_shows_it(void **state)
{
    struct rig *r = *state;
    int level;
    make(r);
    const struct table_meta *m = some_with(r, &level);
    uint64_t number = m->number, entries = m->entry_count;
    rig_close(r);
    static const struct store_dump_options all = {.entries = true, .blocks = true};
    char path[300];
    snprintf(path, sizeof path, "%s", rig_file(r, FILE_TABLE, number));
    for (int damaged = 0; damaged < 2; damaged++) {
        int counts[3] = {0};
        if (damaged)
            assert_ok(simdisk_flip(r->disk, path, FILE_HEADER_SIZE + 100, 1));
        assert_ok(store_dump(r->dir, &r->opt, strrchr(path, '/') + 1, &all, count_what, counts));
        assert_int_equal(counts[0], damaged ? 1 : 2);
        assert_int_equal(counts[1], entries);
        assert_int_equal(counts[2], damaged);
    }
    rig_open(r);
    assert_filled(r, 0, 0, KEYS);
    rig_close(r);
}

/* ---- power cuts ---- */

/* A power cut anywhere in a compaction that makes a dictionary: what had been synced is there. */
static void power_may_be_cut(void **state)
{
    struct rig *r = *state;
    make(r);
    fill(r, 1, 0, KEYS);
    assert_ok(store_sync(r->s));
    uint32_t cuts = 0;
    bool cut = true;
    for (uint64_t after = 1; cut; after += 2, cuts++) {
        struct rig *k = rig_kill(r);
        rig_open(k);
        simdisk_cut_at(k->disk, after, after % 2 ? SIM_CUT_WITHIN : SIM_CUT_BEFORE);
        store_compact(k->s, (struct slice){0}, (struct slice){0});
        store_close(k->s);
        k->s = NULL;
        cut = simdisk_is_cut(k->disk);
        simdisk_crash(k->disk, SIM_RANDOM, after);
        rig_open(k);
        assert_filled(k, 1, 0, KEYS);
        rig_compact(k);
        assert_filled(k, 1, 0, KEYS);
        rig_close_clean(k);
        rig_drop(k);
    }
    assert_true(cuts > 10);
    rig_close(r);
}

#define ENCRYPTED(f) cmocka_unit_test_setup_teardown(f, rig_encrypted, rig_leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_SIM(compaction_makes_one),    RIG_SIM(one_is_replaced_live),
        RIG_SIM(a_checkpoint_has_them),   ENCRYPTED(compaction_makes_one),
        ENCRYPTED(a_checkpoint_has_them), ENCRYPTED(a_new_key_reaches_them),
        RIG_SIM(salvage_finds_it),        ENCRYPTED(salvage_finds_it),
        RIG_SIM(dump_shows_it),           ENCRYPTED(dump_shows_it),
        RIG_SIM(power_may_be_cut),        RIG_POSIX(idle_workers_help),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
