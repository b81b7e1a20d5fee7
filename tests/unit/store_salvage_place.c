/* salvage of what only a manifest knows: the place in history of ingested entries, up to where a
 * checkpoint shares a table, and which key a blob file has. On the simulated disk. */
#include "tests/unit/kin.h"
#include "tests/unit/secret_rig.h"

#include "store/store_priv.h"

enum { KEYS = 100, SMALL = 100, LARGE = 6000 };

struct told {
    int damage;
    int codes[8]; /* from 150 on */
};

static int tell(void *ctx, const struct store_finding *f)
{
    struct told *t = ctx;
    assert_true(f->code > 150 && f->code < 158);
    t->damage += f->severity == STORE_DAMAGE;
    t->codes[f->code - 150]++;
    if (getenv("VERBOSE"))
        fprintf(stderr, "%d %s: %s\n", f->code, f->file, f->text);
    return 0;
}

static struct store_salvage_report report;

static struct told salvage(struct rig *r)
{
    struct told t = {0};
    assert_ok(store_salvage(r->dir, &r->opt, tell, NULL, &t, &report));
    return t;
}

/* But for what salvage has kept under other names. */
static void close_sound(struct rig *r)
{
    rig_close(r);
    struct rig_findings found = rig_check(r);
    if (found.damage || found.warnings != found.codes[FINDING_UNKNOWN_FILE - 100])
        fail_msg("the verifier says: %s", found.text);
}

static void remove_kind(struct rig *r, enum file_kind kind)
{
    struct rig_names n = rig_files(r, kind);
    for (int i = 0; i < n.count; i++)
        assert_ok(r->env->remove(r->env, rig_file(r, kind, n.number[i])));
}

static uint64_t newest(struct rig *r, enum file_kind kind)
{
    struct rig_names n = rig_files(r, kind);
    assert_true(n.count > 0);
    return n.number[n.count - 1];
}

/* The index, and all behind it: every entry can be saved, none found by it. */
static void damage_end(struct rig *r, uint64_t table)
{
    uint64_t size = rig_file_bytes(r, rig_file(r, FILE_TABLE, table));
    rig_flip(r, FILE_TABLE, table, size - 100);
    rig_flip(r, FILE_TABLE, table, size - 50);
}

/* ---- ingested ---- */

/* An ingestion during which its keys are written, too: they come before it, though its file was
 * begun when they were not there. Returns the number of its table. */
static uint64_t ingest_over(struct rig *r)
{
    struct store_ingest *g = store_ingest_new(r->s);
    struct buf room = {0};
    uint64_t table = 0;
    for (uint64_t i = 0; i < KEYS; i++) {
        assert_ok(store_ingest_put(g, slice_str(rig_key(i)), rig_value(i + 1, SMALL, &room)));
        if (i == 0)
            table = newest(r, FILE_TABLE);
    }
    rig_fill(r, 0, KEYS, SMALL, 2);
    assert_ok(store_ingest_finish(g));
    store_ingest_free(g);
    buf_release(&room);
    rig_assert_fill(r, 0, KEYS, SMALL, 1);
    return table;
}

/* A flushed table of its own, whose loss makes the manifest incomplete. */
static uint64_t expendable(struct rig *r)
{
    rig_fill(r, 5000, 5001, SMALL, 0);
    assert_ok(store_flush(r->s));
    return newest(r, FILE_TABLE);
}

static uint64_t ingested(struct rig *r, uint64_t *other)
{
    rig_open(r);
    rig_fill(r, 0, KEYS, SMALL, 3);
    rig_compact(r);
    uint64_t table = ingest_over(r);
    *other = expendable(r);
    rig_close(r);
    return table;
}

static void assert_ingested(struct rig *r)
{
    rig_open(r);
    rig_assert_fill(r, 0, KEYS, SMALL, 1);
    rig_compact(r);
    rig_assert_fill(r, 0, KEYS, SMALL, 1);
    close_sound(r);
}

static void test_damaged_ingested_table(void **state)
{
    struct rig *r = *state;
    uint64_t other, table = ingested(r, &other);
    damage_end(r, table);
    struct told t = salvage(r);
    assert_int_equal(t.codes[FINDING_SALVAGE_TABLE - 150], 1);
    assert_int_equal(t.codes[FINDING_SALVAGE_PLACE - 150], 0);
    assert_ingested(r);
}

/* The manifest is no base, but what it says of the tables holds. */
static void test_rebuilt_with_an_ingested_table(void **state)
{
    for (int damaged = 0; damaged < 2; damaged++) {
        struct rig *r = *state, *k;
        uint64_t other, table;
        k = rig_kill(r);
        table = ingested(k, &other);
        assert_ok(k->env->remove(k->env, rig_file(k, FILE_TABLE, other)));
        if (damaged)
            damage_end(k, table);
        struct told t = salvage(k);
        assert_int_equal(t.codes[FINDING_SALVAGE_PLACE - 150], 0);
        assert_int_equal(report.tables_rebuilt, damaged);
        assert_ingested(k);
        rig_drop(k);
    }
}

/* An ingested table that a compaction has replaced, and that is still there: its entries are those
 * that the compaction has passed on, and not older ones that a snapshot would see. */
static void test_leftover_ingested_table(void **state)
{
    struct rig *r = *state;
    struct store_pin pin;
    struct store_read read;
    struct sim_fault fault = {.call = SIM_REMOVE, .err = -EACCES, .sticky = true};
    rig_open(r);
    struct store_ingest *g = store_ingest_new(r->s);
    struct buf room = {0};
    for (uint64_t i = 0; i < KEYS; i++)
        assert_ok(store_ingest_put(g, slice_str(rig_key(i)), rig_value(i + 1, SMALL, &room)));
    assert_ok(store_pin_create(r->s, "before", 0, &pin));
    rig_fill(r, 2000, 2001, SMALL, 0);
    assert_ok(store_pin_create(r->s, "before too", 0, &pin));
    assert_ok(store_ingest_finish(g));
    store_ingest_free(g);
    buf_release(&room);
    rig_fill(r, 0, 10, SMALL, 4);
    simdisk_fail(r->disk, &fault);
    rig_compact(r);
    uint64_t other = expendable(r);
    rig_close(r);
    simdisk_heal(r->disk);
    assert_ok(r->env->remove(r->env, rig_file(r, FILE_TABLE, other)));
    struct told t = salvage(r);
    assert_int_equal(t.codes[FINDING_SALVAGE_PLACE - 150], 0);
    rig_open(r);
    rig_assert_fill(r, 0, 10, SMALL, 4);
    rig_assert_fill(r, 10, KEYS, SMALL, 1);
    store_read_begin_at(r->s, pin.seq, &read);
    rig_assert_at(&read, rig_key(5), NULL);
    rig_assert_at(&read, rig_key(50), NULL);
    store_read_end(&read);
    close_sound(r);
}

/* No manifest: what cannot be known is said. */
static void test_nobody_knows_when_it_was_ingested(void **state)
{
    for (int damaged = 0; damaged < 2; damaged++) {
        struct rig *k = rig_kill(*state);
        uint64_t other, table = ingested(k, &other);
        remove_kind(k, FILE_MANIFEST);
        if (damaged) /* its properties are sound: they say what kind of table it is */
            rig_flip(k, FILE_TABLE, table, rig_file_bytes(k, rig_file(k, FILE_TABLE, table)) - 50);
        struct told t = salvage(k);
        assert_int_equal(t.codes[FINDING_SALVAGE_PLACE - 150], 1);
        assert_true(report.losses > 0);
        rig_open(k);
        assert_int_equal(rig_count(k), KEYS + 1);
        close_sound(k);
        rig_drop(k);
    }
}

/* ---- cut ---- */

/* A checkpoint at a pin in the middle of what its tables hold, with files of its own. */
static struct rig cut(struct rig *r)
{
    struct rig other = kin_beside(r, "-copy");
    struct store_pin pin;
    rig_open(r);
    rig_fill(r, 0, KEYS, SMALL, 0);
    rig_fill(r, 100, 110, LARGE, 0);
    assert_ok(store_pin_create(r->s, "p", 0, &pin));
    rig_fill(r, KEYS / 2, 2 * KEYS, SMALL, 1);
    rig_fill(r, 100, 120, LARGE, 1);
    rig_delete_range(r, rig_key(0), rig_key(20));
    rig_compact(r);
    kin_make(r, &other, "p");
    rig_close(r);
    rig_open(&other);
    rig_fill(&other, 1000, 1010, SMALL, 0);
    assert_ok(store_flush(other.s));
    rig_close(&other);
    return other;
}

static void assert_cut(struct rig *r)
{
    rig_open(r);
    for (int round = 0; round < 2; round++) {
        rig_assert_fill(r, 0, KEYS, SMALL, 0);
        rig_assert_fill(r, 100, 110, LARGE, 0);
        rig_assert_fill(r, 1000, 1010, SMALL, 0);
        assert_int_equal(rig_count(r), KEYS + 20);
        rig_compact(r);
    }
    close_sound(r);
}

static void test_damaged_table_that_was_cut(void **state)
{
    struct rig *r = *state, other = cut(r);
    damage_end(&other, rig_files(&other, FILE_TABLE).number[0]);
    struct told t = salvage(&other);
    assert_int_equal(t.codes[FINDING_SALVAGE_TABLE - 150], 1);
    assert_cut(&other);
    /* The other store has the same damage, and what it has lost is nothing to it. */
    salvage(r);
    rig_open(r);
    rig_assert_fill(r, KEYS / 2, 100, SMALL, 1);
    rig_assert_fill(r, 100, 120, LARGE, 1);
    rig_assert(r, rig_key(5), NULL);
    close_sound(r);
}

static void test_rebuilt_from_tables_that_were_cut(void **state)
{
    for (int damaged = 0; damaged < 2; damaged++) {
        struct rig *k = rig_kill(*state), other = cut(k);
        rig_open(&other);
        uint64_t lost = expendable(&other);
        rig_close(&other);
        assert_ok(k->env->remove(k->env, rig_file(&other, FILE_TABLE, lost)));
        if (damaged)
            damage_end(&other, rig_files(&other, FILE_TABLE).number[0]);
        struct told t = salvage(&other);
        assert_int_equal(t.codes[FINDING_SALVAGE_PLACE - 150], 0);
        assert_cut(&other);
        rig_drop(k);
    }
}

/* ---- shared ---- */

static struct rig shared(struct rig *r)
{
    struct rig other = kin_beside(r, "-copy");
    rig_open(r);
    rig_fill(r, 0, KEYS, SMALL, 0);
    rig_fill(r, 100, 110, LARGE, 0);
    kin_make(r, &other, NULL);
    rig_close(r);
    rig_open(&other);
    rig_fill(&other, 1000, 1010, SMALL, 0);
    rig_fill(&other, 50, 60, SMALL, 0);
    assert_ok(store_flush(other.s));
    rig_close(&other);
    return other;
}

static void test_checkpoint_without_current(void **state)
{
    struct rig *r = *state, other = shared(r);
    assert_absent(store_salvage(other.dir, &other.opt, tell, NULL, &(struct told){0}, &report));
    assert_ok(r->env->remove(r->env, rig_path(&other, "CURRENT")));
    assert_int_equal(salvage(&other).damage, 0);
    assert_cut(&other);
}

static void test_checkpoint_without_a_manifest(void **state)
{
    struct rig *r = *state, other = shared(r);
    remove_kind(&other, FILE_MANIFEST);
    struct told t = salvage(&other);
    assert_true(t.codes[FINDING_SALVAGE_PLACE - 150] > 1); /* what was not cut cannot be known */
    assert_true(report.losses > 0);
    assert_cut(&other);
    rig_open(r);
    rig_assert_fill(r, 0, KEYS, SMALL, 0);
    close_sound(r);
}

static void test_checkpoint_that_was_not_finished(void **state)
{
    struct rig *r = *state, other = shared(r);
    struct told t = {0};
    assert_ok(simdisk_put(r->disk, rig_path(&other, "INCOMPLETE"), slice_str("")));
    assert_ok(r->env->remove(r->env, rig_path(&other, "CURRENT")));
    uint64_t digest = simdisk_digest(r->disk);
    assert_errno(store_salvage(other.dir, &other.opt, tell, NULL, &t, &report), EUCLEAN);
    assert_int_equal(simdisk_digest(r->disk), digest);
}

/* ---- the past ---- */

/* Nobody can say what has changed since a moment before the salvage. */
static void test_history_is_not_whole_any_more(void **state)
{
    struct rig *r = *state;
    struct store_read read;
    struct store_since *since;
    rig_open(r);
    rig_fill(r, 0, KEYS, SMALL, 0);
    assert_ok(store_flush(r->s));
    rig_close(r);
    for (int manifest = 1; manifest >= 0; manifest--) {
        if (manifest)
            rig_flip(r, FILE_TABLE, newest(r, FILE_TABLE), FILE_HEADER_SIZE + 30);
        else
            remove_kind(r, FILE_MANIFEST);
        salvage(r);
        rig_open(r);
        store_read_begin(r->s, &read);
        assert_errno(store_since_new(&read, 5, (struct slice){0}, (struct slice){0}, 0, &since),
                     ESTALE);
        store_read_end(&read);
        rig_close(r);
    }
}

/* ---- encrypted ---- */

static void assert_keys_are_known(struct rig *r, uint32_t least)
{
    struct view *v = viewbox_get(r->s->tree.box);
    assert_true(v->version->blob_count > 0);
    for (uint32_t i = 0; i < v->version->blob_count; i++) {
        assert_true(v->version->blobs[i].key_epoch >= least);
        assert_true(v->version->blobs[i].header_sum != 0);
    }
    view_unref(v);
}

static void work_it_off(struct rig *r)
{
    for (int idle = 0; idle < 3;) {
        int err = store_work(r->s);
        assert_true(err == 0 || err == 1);
        idle = err == 1 ? idle + 1 : 0;
        simdisk_advance(r->disk, UINT64_C(2000000000));
    }
}

static void fill_encrypted(struct rig *r)
{
    uint32_t slot;
    rig_open(r);
    rig_fill(r, 0, KEYS, 700, 0);
    rig_fill(r, 100, 110, LARGE, 0);
    rig_compact(r);
    rig_close(r);
    assert_ok(store_keys_rotate(r->dir, &r->opt, NULL, NULL, &slot));
    rig_open(r);
    rig_fill(r, 200, 210, LARGE, 0);
    assert_ok(store_flush(r->s));
}

static void assert_encrypted(struct rig *r)
{
    assert_keys_are_known(r, 1);
    for (int round = 0; round < 2; round++) {
        rig_assert_fill(r, 0, KEYS, 700, 0);
        rig_assert_fill(r, 100, 110, LARGE, 0);
        rig_assert_fill(r, 200, 210, LARGE, 0);
        if (round == 0)
            work_it_off(r); /* re-keying goes on, and ends */
    }
    assert_keys_are_known(r, 2);
    assert_int_equal(rig_stats(r).key_generations, 1);
    close_sound(r);
    rig_open(r);
    rig_assert_fill(r, 0, KEYS, 700, 0);
    rig_close(r);
}

static void test_keys_of_blob_files(void **state)
{
    struct rig *r = *state;
    fill_encrypted(r);
    rig_close(r);
    remove_kind(r, FILE_MANIFEST);
    salvage(r);
    assert_int_equal(report.losses, 0);
    rig_open(r);
    assert_encrypted(r);
}

static void test_keys_of_blob_files_in_a_checkpoint(void **state)
{
    struct rig *r = *state, other = kin_beside(r, "-copy");
    fill_encrypted(r);
    kin_make(r, &other, NULL);
    rig_close(r);
    rig_open(&other);
    assert_encrypted(&other);
    rig_open(r);
    assert_encrypted(r);
}

/* A blob file that is gone: the one in its place is of the key that is in force. */
static void test_key_of_a_placeholder(void **state)
{
    struct rig *r = *state;
    fill_encrypted(r);
    rig_close(r);
    remove_kind(r, FILE_MANIFEST);
    struct rig_names n = rig_files(r, FILE_BLOB);
    assert_ok(r->env->remove(r->env, rig_file(r, FILE_BLOB, n.number[n.count - 1])));
    salvage(r);
    assert_true(report.losses > 0);
    rig_open(r);
    assert_keys_are_known(r, 1);
    rig_assert_fill(r, 0, KEYS, 700, 0);
    rig_close(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_SIM(test_damaged_ingested_table),
        RIG_SIM(test_rebuilt_with_an_ingested_table),
        RIG_SIM(test_leftover_ingested_table),
        RIG_SIM(test_nobody_knows_when_it_was_ingested),
        RIG_SIM(test_damaged_table_that_was_cut),
        RIG_SIM(test_rebuilt_from_tables_that_were_cut),
        RIG_SIM(test_checkpoint_without_current),
        RIG_SIM(test_checkpoint_without_a_manifest),
        RIG_SIM(test_checkpoint_that_was_not_finished),
        RIG_SIM(test_history_is_not_whole_any_more),
        RIG_ENCRYPTED(test_keys_of_blob_files),
        RIG_ENCRYPTED(test_keys_of_blob_files_in_a_checkpoint),
        RIG_ENCRYPTED(test_key_of_a_placeholder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
