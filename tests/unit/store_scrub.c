/* scrub: it meets any damage of any file, repairs what can be, goes on where it stood, and leaves a
 * sound store as it is. On the simulated disk, through the door. */
#include "tests/unit/store_rig.h"

#include "store/store_priv.h"

enum { KEYS = 300, SMALL = 100, LARGE = 6000, LARGE_KEYS = 40 };

struct heard {
    int count;
    char file[64];
    uint64_t offset;
};

static int hear(void *ctx, const struct store_finding *f)
{
    struct heard *h = ctx;
    assert_int_equal(f->code, FINDING_SCRUB);
    assert_int_equal(f->severity, STORE_DAMAGE);
    h->count++;
    snprintf(h->file, sizeof h->file, "%s", f->file);
    h->offset = f->offset;
    return 0;
}

static void fill(struct rig *r)
{
    rig_fill(r, 0, KEYS, SMALL, 0);
    rig_fill(r, 1000, 1000 + LARGE_KEYS, LARGE, 0);
    rig_compact(r);
    rig_fill(r, KEYS, 2 * KEYS, SMALL, 0);
    rig_fill(r, 2000, 2000 + LARGE_KEYS, LARGE, 0);
    assert_ok(store_flush(r->s));
}

static void assert_all(struct rig *r)
{
    rig_assert_fill(r, 0, 2 * KEYS, SMALL, 0);
    rig_assert_fill(r, 1000, 1000 + LARGE_KEYS, LARGE, 0);
    rig_assert_fill(r, 2000, 2000 + LARGE_KEYS, LARGE, 0);
}

static struct store_scrub_status status(struct rig *r)
{
    struct store_scrub_status st;
    store_scrub_status(r->s, &st);
    return st;
}

static void steps(struct rig *r)
{
    int err;
    while ((err = store_scrub_step(r->s)) == 0)
        ;
    assert_int_equal(err, 1);
}

static struct store_scrub_status pass(struct rig *r, struct heard *h)
{
    *h = (struct heard){0};
    store_scrub_listen(r->s, hear, h);
    assert_ok(store_scrub_start(r->s));
    assert_true(status(r).running);
    steps(r);
    store_scrub_listen(r->s, NULL, NULL);
    assert_false(status(r).running);
    return status(r);
}

static void make(struct rig *r)
{
    r->opt.scrub_rate = 0;
    rig_open(r);
    fill(r);
}

/* ---- sound stores ---- */

static void test_sound_store(void **state)
{
    struct rig *r = *state;
    struct heard h;
    make(r);
    rig_fill(r, 3000, 3050, SMALL, 0); /* in the log */
    rig_fill(r, 4000, 4010, LARGE, 0); /* in a memtable's blob file */
    struct store_scrub_status st = pass(r, &h);
    assert_int_equal(st.damaged, 0);
    assert_int_equal(st.repaired, 0);
    assert_int_equal(h.count, 0);
    assert_int_equal(st.passes, 1);
    assert_true(st.started_ns > 0 && st.ended_ns >= st.started_ns);
    assert_int_equal(st.done_bytes, st.total_bytes);
    /* It has read nearly everything: all but headers and footers. */
    uint64_t all = rig_volume_bytes(r);
    assert_true(st.done_bytes > all - all / 20 && st.done_bytes <= all);
    assert_int_equal(pass(r, &h).passes, 2);
    assert_all(r);
    rig_close_clean(r);
}

static void test_not_when_read_only(void **state)
{
    struct rig *r = *state;
    make(r);
    rig_close(r);
    uint64_t digest = simdisk_digest(r->disk);
    r->opt.read_only = true;
    rig_open(r);
    assert_errno(store_scrub_start(r->s), EROFS);
    assert_errno(store_scrub_step(r->s), EROFS);
    rig_close(r);
    assert_int_equal(simdisk_digest(r->disk), digest);
}

/* What a power cut left behind the frames of a blob file or in a log is no damage. */
static void test_torn_tails_are_no_damage(void **state)
{
    struct rig *r = *state;
    struct heard h;
    make(r);
    rig_fill(r, 4000, 4010, LARGE, 0);
    assert_ok(store_sync(r->s));
    uint64_t log_bytes = rig_stats(r).log_bytes; /* behind them are zeros */
    struct rig *k = rig_kill(r);
    struct rig_names logs = rig_files(k, FILE_LOG), blobs = rig_files(k, FILE_BLOB);
    const char *log = rig_file(k, FILE_LOG, logs.number[logs.count - 1]);
    const char *blob = rig_file(k, FILE_BLOB, blobs.number[blobs.count - 1]);
    assert_ok(simdisk_truncate(k->disk, log, log_bytes - 5));
    assert_ok(simdisk_truncate(k->disk, blob, rig_file_bytes(k, blob) - 5));
    rig_open(k);
    assert_int_equal(pass(k, &h).damaged, 0); /* from the log still */
    assert_ok(store_flush(k->s));
    assert_int_equal(pass(k, &h).damaged, 0); /* named by the manifest */
    assert_int_equal(rig_count(k), 2 * KEYS + 2 * LARGE_KEYS + 9);
    rig_close_clean(k);
    rig_drop(k);
}

/* ---- damage ---- */

/* One byte of the file at `at` is wrong: the pass names it. */
static void one_byte(const struct rig *r, enum file_kind kind, uint64_t number, uint64_t at)
{
    struct rig *k = rig_kill(r);
    struct heard h;
    char name[64];
    rig_open(k);
    snprintf(name, sizeof name, "%06" PRIu64 ".%s", number, kind == FILE_TABLE ? "table" : "blob");
    assert_ok(simdisk_flip(k->disk, rig_file(k, kind, number), at, 1));
    struct store_scrub_status st = pass(k, &h);
    if (st.damaged != 1 || h.count != 1)
        fail_msg("%s: damage at %" PRIu64 " was met %" PRIu64 " times", name, at, st.damaged);
    assert_string_equal(h.file, name);
    assert_true(h.offset <= at);
    assert_int_equal(st.repaired, 0);
    assert_int_equal(pass(k, &h).damaged, 1);
    rig_close(k);
    rig_drop(k);
}

static void test_any_byte_is_met(void **state)
{
    struct rig *r = *state;
    static const enum file_kind kinds[] = {FILE_TABLE, FILE_BLOB};
    struct simrng rng = {unit_seed()};
    make(r);
    rig_close(r);
    for (int k = 0; k < 2; k++) {
        struct rig_names n = rig_files(r, kinds[k]);
        for (int i = 0; i < n.count; i++) {
            uint64_t size = rig_file_bytes(r, rig_file(r, kinds[k], n.number[i]));
            one_byte(r, kinds[k], n.number[i], simrng_below(&rng, FILE_HEADER_SIZE));
            one_byte(r, kinds[k], n.number[i], FILE_HEADER_SIZE + simrng_below(&rng, 24));
            one_byte(r, kinds[k], n.number[i], size - 1 - simrng_below(&rng, 60));
            for (int j = 0; j < 5; j++)
                one_byte(r, kinds[k], n.number[i], simrng_below(&rng, size));
        }
    }
}

static void test_missing_file_is_told(void **state)
{
    struct rig *r = *state;
    struct heard h;
    make(r);
    struct rig_names n = rig_files(r, FILE_BLOB);
    assert_ok(r->env->remove(r->env, rig_file(r, FILE_BLOB, n.number[0])));
    assert_int_equal(pass(r, &h).damaged, 1);
    assert_true(rig_logged("the file is missing"));
    rig_close(r);
}

/* With parity, damage is gone after the pass and the healing that it asks for. */
static void test_damage_is_healed(void **state)
{
    struct rig *r = *state;
    static const enum file_kind kinds[] = {FILE_TABLE, FILE_BLOB, FILE_PARITY};
    struct simrng rng = {unit_seed()};
    struct heard h;
    r->opt.parity_data = 8;
    r->opt.parity_shards = 2;
    make(r);
    rig_close(r);
    for (int kind = 0; kind < 3; kind++) {
        struct rig_names n = rig_files(r, kinds[kind]);
        for (int i = 0; i < n.count; i++) {
            struct rig *k = rig_kill(r);
            const char *path = rig_file(k, kinds[kind], n.number[i]);
            rig_open(k);
            assert_ok(simdisk_flip(k->disk, path, simrng_below(&rng, rig_file_bytes(k, path)), 8));
            struct store_scrub_status st = pass(k, &h);
            assert_int_equal(st.damaged, 0);
            assert_int_equal(h.count, 0);
            if (kinds[kind] == FILE_PARITY)
                assert_int_equal(st.parity_made, 1);
            else
                assert_true(rig_stats(k).repairs > 0);
            assert_int_equal(rig_stats(k).files_to_heal, 0);
            assert_int_equal(rig_stats(k).files_healed, kinds[kind] == FILE_PARITY ? 0 : 1);
            st = pass(k, &h);
            assert_int_equal(st.repaired + st.damaged + st.parity_made, 0);
            assert_all(k);
            rig_close_clean(k);
            rig_drop(k);
        }
    }
}

/* Parity that is asked for later comes with the next scrub. */
static void test_parity_is_made_for_old_files(void **state)
{
    struct rig *r = *state;
    struct heard h;
    make(r);
    rig_close(r);
    assert_int_equal(rig_files(r, FILE_PARITY).count, 0);
    r->opt.parity_shards = 1;
    rig_open(r);
    int files = rig_files(r, FILE_TABLE).count + rig_files(r, FILE_BLOB).count;
    assert_int_equal(pass(r, &h).parity_made, files);
    assert_int_equal(rig_files(r, FILE_PARITY).count, files);
    assert_int_equal(pass(r, &h).parity_made, 0);
    rig_close_clean(r);
}

/* The manifest and the log are in memory as well: they are written anew. */
static void test_damaged_manifest_is_renewed(void **state)
{
    struct rig *r = *state;
    struct heard h;
    make(r);
    rig_put(r, "x", "y");
    assert_ok(store_flush(r->s)); /* an edit behind the base */
    rig_put(r, "x", "z");
    uint64_t number = tree_manifest_number(&r->s->tree);
    assert_ok(simdisk_flip(r->disk, rig_file(r, FILE_MANIFEST, number), FILE_HEADER_SIZE + 30, 1));
    struct store_scrub_status st = pass(r, &h);
    assert_int_equal(st.damaged, 0);
    assert_int_equal(st.repaired, 1);
    assert_true(tree_manifest_number(&r->s->tree) != number);
    struct rig *k = rig_kill(r);
    rig_open(k);
    rig_assert(k, "x", "z");
    assert_all(k);
    rig_close_clean(k);
    rig_drop(k);
    rig_close_clean(r);
}

static void test_damaged_log_is_flushed(void **state)
{
    struct rig *r = *state;
    struct heard h;
    make(r);
    rig_fill(r, 3000, 3050, SMALL, 0);
    assert_ok(store_sync(r->s));
    struct rig_names logs = rig_files(r, FILE_LOG);
    uint64_t number = logs.number[logs.count - 1];
    assert_ok(simdisk_flip(r->disk, rig_file(r, FILE_LOG, number), 2000, 1));
    struct store_scrub_status st = pass(r, &h);
    assert_int_equal(st.damaged, 0);
    assert_true(st.repaired >= 1);
    struct rig *k = rig_kill(r);
    rig_open(k);
    rig_assert_fill(k, 3000, 3050, SMALL, 0);
    rig_close_clean(k);
    rig_drop(k);
    rig_close_clean(r);
}

/* ---- going on ---- */

static void test_goes_on_where_it_stood(void **state)
{
    struct rig *r = *state;
    make(r);
    struct heard h;
    uint64_t whole = pass(r, &h).frames;
    assert_ok(store_scrub_start(r->s));
    int lives = 0;
    while (status(r).running && lives < 1000) {
        struct store_scrub_status before = status(r);
        assert_ok(store_scrub_step(r->s));
        struct store_scrub_status after = status(r);
        assert_true(after.file > before.file || after.offset > before.offset || !after.running);
        if (!after.running)
            break;
        rig_reopen(r);
        assert_int_equal(status(r).file, after.file);
        assert_int_equal(status(r).offset, after.offset);
        assert_int_equal(status(r).frames, after.frames);
        assert_true(status(r).running);
        lives++;
    }
    assert_int_equal(status(r).passes, 2);
    assert_true(lives > 3);
    assert_true(status(r).frames >= whole / 2);
    rig_close_clean(r);
}

static void test_stop_and_start(void **state)
{
    struct rig *r = *state;
    make(r);
    assert_ok(store_scrub_start(r->s));
    assert_ok(store_scrub_step(r->s));
    assert_ok(store_scrub_stop(r->s));
    struct store_scrub_status at = status(r);
    assert_absent(store_scrub_step(r->s));
    assert_int_equal(status(r).file, at.file);
    assert_false(status(r).running);
    assert_ok(store_scrub_start(r->s));
    assert_int_equal(status(r).file, at.file);
    steps(r);
    assert_int_equal(status(r).passes, 1);
    rig_close_clean(r);
}

static void test_rate(void **state)
{
    struct rig *r = *state;
    make(r);
    rig_fill(r, 5000, 5200, LARGE, 0);
    rig_compact(r);
    rig_close(r);
    r->opt.scrub_rate = 100000;
    rig_open(r);
    uint64_t began = store_monotonic(r->s);
    assert_ok(store_scrub_start(r->s));
    int waits = 0;
    while (status(r).running) {
        int err = store_scrub_step(r->s);
        assert_true(err == 0 || err == 1);
        if (err == 1) {
            simdisk_advance(r->disk, 500000000);
            waits++;
        }
    }
    uint64_t took = store_monotonic(r->s) - began, bytes = status(r).done_bytes;
    assert_true(waits > 2);
    assert_true(took + 2000000000 >= bytes * 10000); /* 10 us a byte, but for the first second */
    rig_close_clean(r);
}

static void test_begins_by_itself_when_due(void **state)
{
    struct rig *r = *state;
    r->opt.scrub_every_ns = UINT64_C(3600) * 1000000000;
    r->opt.scrub_rate = 0;
    rig_open(r);
    fill(r);
    assert_int_equal(status(r).passes, 0);
    for (int i = 0; i < 100 && status(r).passes == 0; i++)
        store_scrub_work(r->s);
    assert_int_equal(status(r).passes, 1);
    assert_absent(store_scrub_work(r->s));
    simdisk_advance(r->disk, UINT64_C(3601) * 1000000000);
    for (int i = 0; i < 100 && status(r).passes == 1; i++)
        store_scrub_work(r->s);
    assert_int_equal(status(r).passes, 2);
    rig_close_clean(r);
}

/* A state that is damaged, or absurd, is not believed. */
static void test_state_file(void **state)
{
    struct rig *r = *state;
    struct scrub_state s = {.passes = 7, .limit = 12, .file = 3, .offset = UINT64_MAX}, again;
    struct buf text = {0};
    scrub_state_encode(&s, &text);
    assert_ok(scrub_state_decode(buf_slice(&text), &again));
    assert_memory_equal(&s, &again, sizeof s);
    for (size_t i = 0; i < text.len; i++) {
        text.data[i] ^= 1;
        assert_errno(scrub_state_decode(buf_slice(&text), &again), EIO);
        text.data[i] ^= 1;
        assert_errno(scrub_state_decode(slice_of(text.data, i), &again), EIO);
    }
    make(r);
    assert_ok(store_scrub_start(r->s));
    assert_ok(store_scrub_step(r->s));
    rig_close(r);
    assert_ok(simdisk_flip(r->disk, "/vol/SCRUB", 20, 1));
    rig_open(r);
    assert_false(status(r).running);
    assert_int_equal(status(r).file, 0);
    rig_close_clean(r);
    buf_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_SIM(test_sound_store),
        RIG_SIM(test_not_when_read_only),
        RIG_SIM(test_torn_tails_are_no_damage),
        RIG_SIM(test_any_byte_is_met),
        RIG_SIM(test_missing_file_is_told),
        RIG_SIM(test_damage_is_healed),
        RIG_SIM(test_parity_is_made_for_old_files),
        RIG_SIM(test_damaged_manifest_is_renewed),
        RIG_SIM(test_damaged_log_is_flushed),
        RIG_SIM(test_goes_on_where_it_stood),
        RIG_SIM(test_stop_and_start),
        RIG_SIM(test_rate),
        RIG_SIM(test_begins_by_itself_when_due),
        RIG_SIM(test_state_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
