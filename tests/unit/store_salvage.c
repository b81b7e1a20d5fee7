/* salvage: of any volume of which something is lost or damaged it makes one that opens, with all
 * that could be read, nothing wrong, and nothing removed. On the simulated disk. */
#include "tests/unit/store_rig.h"

enum { KEYS = 300, SMALL = 100, LARGE = 6000, LARGE_KEYS = 30, LOGGED = 20 };

/* Values on several levels, in blob files and in the log; overwritten, deleted and folded ones. */
static void fill(struct rig *r)
{
    struct store_pin pin;
    rig_open(r);
    rig_fill(r, 0, KEYS, SMALL, 77);
    rig_fill(r, 1000, 1000 + LARGE_KEYS, LARGE, 77);
    rig_fill(r, 5000, 5000 + KEYS, SMALL, 0); /* deleted below */
    rig_put(r, "merged", "a");
    rig_compact(r);
    assert_ok(store_pin_create(r->s, "old", 1, &pin));
    rig_fill(r, 0, KEYS, SMALL, 0);
    rig_merge_op(r, "merged", "b");
    assert_ok(store_flush(r->s));
    rig_fill(r, 1000, 1000 + LARGE_KEYS, LARGE, 0);
    rig_delete_range(r, "k00005000", "k00006000");
    rig_merge_op(r, "merged", "c");
    assert_ok(store_flush(r->s));
    rig_fill(r, 2000, 2000 + LOGGED, SMALL, 0);
    rig_fill(r, 3000, 3000 + LOGGED, LARGE, 0);
    assert_ok(store_sync(r->s));
}

static void assert_all(struct rig *r)
{
    rig_assert_fill(r, 0, KEYS, SMALL, 0);
    rig_assert_fill(r, 1000, 1000 + LARGE_KEYS, LARGE, 0);
    rig_assert_fill(r, 2000, 2000 + LOGGED, SMALL, 0);
    rig_assert_fill(r, 3000, 3000 + LOGGED, LARGE, 0);
    rig_assert(r, "merged", "abc");
    assert_int_equal(rig_count(r), KEYS + LARGE_KEYS + 2 * LOGGED + 1);
}

/* What is there is right, though something may be missing. Returns how many keys are. */
static uint64_t assert_nothing_wrong(struct rig *r)
{
    struct store_read read;
    struct store_value v = {0};
    struct buf room = {0};
    uint64_t found = 0;
    store_read_begin(r->s, &read);
    for (uint64_t i = 0; i < 6000; i++) {
        size_t len = (i >= 1000 && i < 2000) || (i >= 3000 && i < 4000) ? LARGE : SMALL;
        int err = store_get(&read, slice_str(rig_key(i)), &v);
        assert_true(err == 0 || err == 1 || err == -EIO);
        if (err != 0)
            continue;
        found++;
        /* An older value where the newer one is lost; a deleted one where its deletion is. */
        if (!slice_eq(v.data, rig_value(i, len, &room)) &&
            !slice_eq(v.data, rig_value(i + 77, len, &room)))
            fail_msg("key %" PRIu64 " has a value that it never had", i);
    }
    store_value_release(&v);
    store_read_end(&read);
    buf_release(&room);
    return found;
}

struct told {
    int count, damage;
    int codes[8]; /* from 150 on */
};

static int tell(void *ctx, const struct store_finding *f)
{
    struct told *t = ctx;
    assert_true(f->code > 150 && f->code < 158);
    t->count++;
    t->damage += f->severity == STORE_DAMAGE;
    t->codes[f->code - 150]++;
    if (getenv("VERBOSE"))
        fprintf(stderr, "%d %s: %s\n", f->code, f->file, f->text);
    return 0;
}

static struct store_salvage_report report;

static int salvage(struct rig *r, struct told *t)
{
    *t = (struct told){0};
    return store_salvage(r->dir, &r->opt, tell, NULL, t, &report);
}

static int try_open(struct rig *r)
{
    rig_log_reset();
    return store_open(r->dir, &r->opt, &r->s);
}

static void remove_kind(struct rig *r, enum file_kind kind)
{
    struct rig_names n = rig_files(r, kind);
    for (int i = 0; i < n.count; i++)
        assert_ok(r->env->remove(r->env, rig_file(r, kind, n.number[i])));
}

static void remove_current(struct rig *r)
{
    assert_ok(r->env->remove(r->env, rig_path(r, "CURRENT")));
}

/* ---- nothing is lost ---- */

static void test_sound_store_is_left_alone(void **state)
{
    struct rig *r = *state;
    struct told t;
    fill(r);
    assert_errno(salvage(r, &t), EAGAIN); /* it is open */
    rig_close(r);
    uint64_t digest = simdisk_digest(r->disk);
    assert_absent(salvage(r, &t));
    assert_int_equal(t.count, 0);
    assert_int_equal(simdisk_digest(r->disk), digest);
    rig_open(r);
    assert_all(r);
    rig_close_clean(r);
}

static void test_lost_current(void **state)
{
    struct rig *r = *state;
    struct told t;
    fill(r);
    struct rig *k = rig_kill(r);
    remove_current(k);
    assert_errno(try_open(k), ENOENT);
    assert_ok(salvage(k, &t));
    assert_int_equal(t.damage, 0);
    rig_open(k);
    assert_all(k);
    assert_int_equal(rig_stats(k).pins, 1);
    rig_close_clean(k);
    rig_drop(k);
}

static void test_lost_manifest(void **state)
{
    struct rig *r = *state;
    struct told t;
    fill(r);
    struct rig *k = rig_kill(r);
    remove_kind(k, FILE_MANIFEST);
    assert_errno(try_open(k), EIO);
    assert_ok(salvage(k, &t));
    assert_int_equal(report.losses, 0);
    assert_true(report.pins_lost);
    assert_int_equal(t.codes[FINDING_SALVAGE_PINS - 150], 1);
    assert_true(report.operations > 0 && report.logs > 0 && report.tables_kept > 2);
    rig_open(k);
    assert_all(k);
    rig_close_clean(k);
    rig_open(k); /* and it works on */
    rig_compact(k);
    assert_all(k);
    rig_fill(k, 0, KEYS, SMALL, 0);
    rig_compact(k);
    assert_all(k);
    rig_close_clean(k);
    rig_drop(k);
}

/* Any byte of the manifest: the store opens, with all or with what a power cut could explain, or it
 * says what is wrong; salvage then finds everything. */
static void test_any_byte_of_the_manifest(void **state)
{
    struct rig *r = *state;
    struct told t;
    fill(r);
    struct rig_names n = rig_files(r, FILE_MANIFEST);
    assert_int_equal(n.count, 1);
    uint64_t size = rig_file_bytes(r, rig_file(r, FILE_MANIFEST, n.number[0]));
    for (uint64_t at = 0; at < size; at += at < 130 ? 3 : 41) {
        struct rig *k = rig_kill(r);
        assert_ok(simdisk_flip(k->disk, rig_file(k, FILE_MANIFEST, n.number[0]), at, 0x40));
        int err = salvage(k, &t);
        assert_true(err == 0 || err == 1);
        rig_open(k);
        if (err == 0)
            assert_all(k);
        rig_close(k);
        rig_drop(k);
    }
}

/* Files of the past that were not removed yet change nothing. */
static void test_leftovers_are_no_harm(void **state)
{
    struct rig *r = *state;
    struct told t;
    struct sim_fault fault = {.call = SIM_REMOVE, .err = -EACCES, .sticky = true};
    rig_open(r);
    simdisk_fail(r->disk, &fault);
    for (int round = 0; round < 6; round++) {
        rig_fill(r, 0, KEYS, SMALL, 77 * (5 - (uint64_t)round));
        rig_merge_op(r, "merged", round == 0 ? "a" : "b");
        rig_fill(r, 1000, 1000 + LARGE_KEYS, LARGE, 77 * (5 - (uint64_t)round));
        if (round % 2)
            rig_compact(r);
        else
            assert_ok(store_flush(r->s));
    }
    struct rig *k = rig_kill(r);
    simdisk_heal(k->disk);
    assert_true(rig_files(k, FILE_TABLE).count > 8);
    remove_kind(k, FILE_MANIFEST);
    assert_ok(salvage(k, &t));
    assert_int_equal(report.losses, 0);
    rig_open(k);
    rig_assert_fill(k, 0, KEYS, SMALL, 0);
    rig_assert_fill(k, 1000, 1000 + LARGE_KEYS, LARGE, 0);
    assert_int_equal(rig_count(k), KEYS + LARGE_KEYS + 1);
    rig_close_clean(k);
    rig_drop(k);
}

static void test_unknown_files_are_left_alone(void **state)
{
    struct rig *r = *state;
    struct told t;
    struct buf b = {0};
    fill(r);
    struct rig *k = rig_kill(r);
    static const char *const names[] = {"/vol/notes.txt", "/vol/000001.table.bak", "/vol/12.table"};
    for (int i = 0; i < 3; i++)
        assert_ok(simdisk_put(k->disk, names[i], slice_str("mine")));
    remove_kind(k, FILE_MANIFEST);
    assert_ok(salvage(k, &t));
    rig_open(k);
    assert_all(k);
    rig_close(k);
    for (int i = 0; i < 3; i++) {
        assert_ok(simdisk_get(k->disk, names[i], &b));
        assert_slice_str(buf_slice(&b), "mine");
    }
    assert_int_equal(rig_check(k).codes[FINDING_UNKNOWN_FILE - 100], 3);
    buf_release(&b);
    rig_drop(k);
}

/* ---- something is lost ---- */

/* A byte of a table, with the manifest and without. */
static void one_byte(const struct rig *r, uint64_t number, uint64_t at, bool manifest)
{
    struct rig *k = rig_kill(r);
    struct told t;
    char kept[64];
    uint64_t size;
    assert_ok(simdisk_flip(k->disk, rig_file(k, FILE_TABLE, number), at, 0x08));
    if (!manifest)
        remove_kind(k, FILE_MANIFEST);
    assert_ok(salvage(k, &t));
    assert_int_equal(t.codes[FINDING_SALVAGE_TABLE - 150], 1);
    assert_int_equal(report.tables_rebuilt, 1);
    rig_open(k);
    assert_true(assert_nothing_wrong(k) >= KEYS / 2);
    assert_int_equal(rig_stats(k).pins, manifest ? 1 : 0);
    rig_compact(k);
    rig_work(k);
    assert_nothing_wrong(k);
    snprintf(kept, sizeof kept, "%06" PRIu64 ".table.damaged", number);
    assert_ok(k->env->file_size(k->env, rig_path(k, kept), &size));
    rig_close(k);
    struct rig_findings found = rig_check(k);
    if (found.damage)
        fail_msg("damage at %" PRIu64 " of table %" PRIu64 ": %s", at, number, found.text);
    rig_drop(k);
}

static void test_any_byte_of_a_table(void **state)
{
    struct rig *r = *state;
    struct simrng rng = {unit_seed()};
    fill(r);
    struct rig_names n = rig_files(r, FILE_TABLE);
    for (int i = 0; i < n.count; i++) {
        uint64_t size = rig_file_bytes(r, rig_file(r, FILE_TABLE, n.number[i]));
        for (int manifest = 0; manifest < 2; manifest++) {
            one_byte(r, n.number[i], FILE_HEADER_SIZE + simrng_below(&rng, 24), manifest);
            one_byte(r, n.number[i], size - 1 - simrng_below(&rng, 96), manifest);
            one_byte(r, n.number[i], size - 97 - simrng_below(&rng, 30), manifest);
            for (int j = 0; j < 4; j++)
                one_byte(r, n.number[i],
                         FILE_HEADER_SIZE + simrng_below(&rng, size - FILE_HEADER_SIZE), manifest);
        }
    }
}

static void damage_indexes(struct rig *r)
{
    struct told t;
    struct rig_names n = rig_files(r, FILE_TABLE);
    for (int i = 0; i < n.count; i++) {
        struct rig *k = rig_kill(r);
        uint64_t size = rig_file_bytes(k, rig_file(k, FILE_TABLE, n.number[i]));
        assert_ok(simdisk_flip(k->disk, rig_file(k, FILE_TABLE, n.number[i]), size - 100, 1));
        assert_ok(simdisk_flip(k->disk, rig_file(k, FILE_TABLE, n.number[i]), size - 50, 1));
        assert_ok(salvage(k, &t));
        assert_int_equal(report.tables_rebuilt, 1);
        rig_open(k);
        assert_all(k);
        rig_close(k);
        assert_int_equal(rig_check(k).damage, 0);
        rig_drop(k);
    }
}

/* If only index, filter, properties or footer are damaged, every entry is saved. */
static void test_damaged_index_loses_nothing(void **state)
{
    struct rig *r = *state;
    fill(r);
    damage_indexes(r);
}

/* Parts of an index are no entries, though separators between versions of a key look like some. */
static void test_damaged_index_in_parts(void **state)
{
    struct rig *r = *state;
    r->opt.index_whole_bytes = 1;
    r->opt.block_bytes = 64;
    fill(r);
    rig_compact(r);
    damage_indexes(r);
}

static void test_lost_blob_file(void **state)
{
    struct rig *r = *state;
    struct told t;
    fill(r);
    struct rig *k = rig_kill(r);
    struct rig_names n = rig_files(k, FILE_BLOB);
    assert_ok(k->env->remove(k->env, rig_file(k, FILE_BLOB, n.number[0])));
    remove_kind(k, FILE_MANIFEST);
    assert_ok(salvage(k, &t));
    assert_true(report.losses > 0);
    assert_int_equal(t.codes[FINDING_SALVAGE_BLOB - 150], 1);
    rig_open(k);
    assert_nothing_wrong(k);
    rig_compact(k); /* the values that are gone leave with what refers to them */
    rig_fill(k, 1000, 1000 + LARGE_KEYS, LARGE, 0);
    rig_compact(k);
    assert_all(k);
    rig_close_clean(k);
    rig_drop(k);
}

static void test_torn_and_missing_logs(void **state)
{
    struct rig *r = *state;
    struct told t;
    fill(r);
    struct rig *k = rig_kill(r);
    struct rig_names n = rig_files(k, FILE_LOG);
    const char *log = rig_file(k, FILE_LOG, n.number[n.count - 1]);
    assert_ok(simdisk_flip(k->disk, log, rig_file_bytes(k, log) / 2, 1));
    remove_kind(k, FILE_MANIFEST);
    assert_ok(salvage(k, &t));
    assert_int_equal(t.codes[FINDING_SALVAGE_LOG - 150], 1);
    rig_open(k);
    assert_true(assert_nothing_wrong(k) >= KEYS + LARGE_KEYS);
    rig_close(k);
    assert_int_equal(rig_check(k).damage, 0);
    rig_drop(k);
}

static void test_nothing_at_all(void **state)
{
    struct rig *r = *state;
    struct told t;
    struct rig_names n = rig_files(r, FILE_MANIFEST);
    assert_ok(simdisk_flip(r->disk, rig_file(r, FILE_MANIFEST, n.number[0]), 50, 1));
    assert_errno(salvage(r, &t), EIO);
    assert_true(rig_logged("no file of a volume"));
    /* Not even a lock file is made in a folder that has nothing of ours. */
    remove_kind(r, FILE_MANIFEST);
    remove_current(r);
    assert_ok(r->env->remove(r->env, "/vol/LOCK"));
    uint64_t digest = simdisk_digest(r->disk);
    assert_errno(salvage(r, &t), ENOENT);
    assert_int_equal(simdisk_digest(r->disk), digest);
}

/* ---- interrupted ---- */

/* The power is cut at each call that changes the disk: what is there can be salvaged, to the same.
 */
static void test_power_cut_in_the_middle(void **state)
{
    struct rig *r = *state;
    struct told t;
    fill(r);
    struct rig *k = rig_kill(r);
    remove_kind(k, FILE_MANIFEST);
    uint64_t ops = simdisk_ops(k->disk);
    struct rig *whole = rig_kill(k);
    assert_ok(salvage(whole, &t));
    ops = simdisk_ops(whole->disk) - ops;
    rig_drop(whole);
    assert_true(ops > 10);
    for (uint64_t cut = 1; cut <= ops; cut++) {
        struct rig *c = rig_kill(k);
        simdisk_cut_at(c->disk, cut, cut % 2 ? SIM_CUT_BEFORE : SIM_CUT_WITHIN);
        (void)salvage(c, &t);
        simdisk_crash(c->disk, cut % 3 ? SIM_RANDOM : SIM_KEEP_ALL, cut);
        int err = salvage(c, &t);
        assert_true(err == 0 || err == 1);
        rig_open(c);
        assert_all(c);
        rig_close(c);
        assert_int_equal(rig_check(c).damage, 0);
        rig_drop(c);
    }
    rig_drop(k);
}

static void test_no_space(void **state)
{
    struct rig *r = *state;
    struct told t;
    fill(r);
    struct rig *k = rig_kill(r);
    remove_kind(k, FILE_MANIFEST);
    simdisk_set_capacity(k->disk, simdisk_used_bytes(k->disk) + 4096);
    assert_errno(salvage(k, &t), ENOSPC);
    simdisk_set_capacity(k->disk, UINT64_C(1) << 40);
    assert_ok(salvage(k, &t));
    rig_open(k);
    assert_all(k);
    rig_close_clean(k);
    rig_drop(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_SIM(test_sound_store_is_left_alone),
        RIG_SIM(test_lost_current),
        RIG_SIM(test_lost_manifest),
        RIG_SIM(test_any_byte_of_the_manifest),
        RIG_SIM(test_leftovers_are_no_harm),
        RIG_SIM(test_unknown_files_are_left_alone),
        RIG_SIM(test_any_byte_of_a_table),
        RIG_SIM(test_damaged_index_loses_nothing),
        RIG_SIM(test_damaged_index_in_parts),
        RIG_SIM(test_lost_blob_file),
        RIG_SIM(test_torn_and_missing_logs),
        RIG_SIM(test_nothing_at_all),
        RIG_SIM(test_power_cut_in_the_middle),
        RIG_SIM(test_no_space),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
