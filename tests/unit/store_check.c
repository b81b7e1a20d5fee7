/* check: the verifier has nothing to say of a sound store, and finds what was damaged in any of its
 * files. On the simulated disk. */
#include "tests/unit/store_rig.h"

#include "store/batch.h"
#include "store/manifest.h"
#include "store/store_priv.h"

/* ---- a store with some of everything ---- */

/* Tables on several levels with tombstones and held entries, values in both kinds of blob files, a
 * pin, and a log that was not flushed, with its blob file. Left as a killed process leaves it. */
static struct rig *make_rich(struct rig *r)
{
    struct store_pin p;
    rig_open(r);
    rig_fill(r, 0, 600, 200, 0);
    rig_fill(r, 600, 640, 1500, 0);
    rig_fill(r, 640, 660, 6000, 0);
    rig_compact(r);
    assert_ok(store_pin_create(r->s, "pin", 0, &p));
    rig_delete_range(r, rig_key(100), rig_key(200));
    rig_delete_range(r, rig_key(610), rig_key(620));
    rig_merge_op(r, "m", "x");
    assert_ok(store_flush(r->s));
    rig_fill(r, 300, 330, 200, 1);
    rig_delete(r, rig_key(650));
    assert_ok(store_flush(r->s));
    rig_fill(r, 700, 705, 200, 0);
    rig_fill(r, 705, 710, 6000, 0);
    return rig_kill(r);
}

static struct rig_findings check_closed(struct rig *k)
{
    struct rig_findings found = {0};
    assert_ok(store_check_closed(k->dir, &k->opt, rig_note_finding, &found));
    return found;
}

/* What the verifier finds; if the store does not open, what is said of a closed one. */
static struct rig_findings look(struct rig *k, bool *opened)
{
    struct store_options o = k->opt;
    struct store *s;
    o.read_only = true;
    int err = store_open(k->dir, &o, &s);
    *opened = err == 0;
    if (err == 0) {
        struct rig_findings found = {0};
        assert_ok(store_check(s, rig_note_finding, NULL, &found));
        assert_ok(store_close(s));
        return found;
    }
    assert_true(err == -EIO || err == -EPROTONOSUPPORT || err == -ENOENT);
    return check_closed(k);
}

/* ---- sound ---- */

struct progress {
    uint64_t done, total;
    int calls;
};

static void note_progress(void *ctx, uint64_t done, uint64_t total)
{
    struct progress *p = ctx;
    assert_true(done >= p->done && done <= total);
    assert_true(p->calls == 0 || p->total == total);
    *p = (struct progress){done, total, p->calls + 1};
}

static int no_finding(void *ctx, const struct store_finding *f)
{
    (void)ctx;
    fail_msg("%d %s: %s", f->code, f->file, f->text);
    return 0;
}

static void test_sound_store(void **state)
{
    struct rig *r = *state;
    struct rig *k = make_rich(r);
    struct progress p = {0};
    struct store *s;
    k->opt.read_only = true;
    uint64_t digest = simdisk_digest(k->disk);
    assert_ok(store_open(k->dir, &k->opt, &s));
    assert_ok(store_check(s, no_finding, note_progress, &p));
    assert_ok(store_check(s, no_finding, NULL, NULL));
    assert_ok(store_close(s));
    assert_true(p.calls > 5 && p.done > p.total / 2);
    assert_int_equal(simdisk_digest(k->disk), digest);
    rig_drop(k);
    rig_close_clean(r);
}

static void test_empty_store(void **state)
{
    struct rig *r = *state;
    struct rig_findings found = rig_check(r);
    assert_int_equal(found.damage + found.warnings + found.notes, 0);
}

static int stop_at_second(void *ctx, const struct store_finding *f)
{
    int *calls = ctx;
    (void)f;
    return ++*calls == 2 ? 5 : 0;
}

static void test_findings_can_be_stopped(void **state)
{
    struct rig *r = *state;
    struct rig *k = make_rich(r);
    struct store *s;
    int calls = 0;
    for (int i = 0; i < 5; i++) {
        char name[16];
        snprintf(name, sizeof name, "mine%d", i);
        assert_ok(simdisk_put(k->disk, rig_path(k, name), slice_str("")));
    }
    k->opt.read_only = true;
    assert_ok(store_open(k->dir, &k->opt, &s));
    assert_ok(store_check(s, stop_at_second, NULL, &calls));
    assert_int_equal(calls, 2);
    assert_ok(store_close(s));
    rig_drop(k);
    rig_close(r);
}

/* ---- damaged bytes ---- */

/* Flips in every file of the kind, some dozens in each. Each is found; `note_is_enough` if a power
 * cut explains it. */
static void flip_all(struct rig *r, enum file_kind kind, bool note_is_enough)
{
    struct rig *k = make_rich(r);
    struct rig_names files = rig_files(k, kind);
    assert_true(files.count > 0);
    for (int i = 0; i < files.count; i++) {
        const char *path = rig_file(k, kind, files.number[i]);
        uint64_t bytes = rig_file_bytes(k, path), step = bytes / 60 + 1;
        for (uint64_t at = 0; at < bytes; at += step) {
            bool opened;
            struct rig *d = rig_kill(k);
            assert_ok(simdisk_flip(d->disk, rig_file(d, kind, files.number[i]), at, 0x10));
            struct rig_findings found = look(d, &opened);
            int all = found.damage + found.warnings + found.notes;
            if (note_is_enough ? all == 0 : found.damage + found.warnings == 0)
                fail_msg("a flip in %s at %" PRIu64 " of %" PRIu64 " is not found", path, at,
                         bytes);
            rig_drop(d);
        }
    }
    rig_drop(k);
    rig_close(r);
}

static void test_flips_in_tables(void **state)
{
    flip_all(*state, FILE_TABLE, false);
}

static void test_flips_in_logs(void **state)
{
    flip_all(*state, FILE_LOG, true);
}

static void test_flips_in_manifests(void **state)
{
    flip_all(*state, FILE_MANIFEST, false);
}

/* Values that nothing refers to any more are not looked at; there are none here. */
static void test_flips_in_blob_files(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    rig_fill(r, 0, 20, 1500, 0);
    rig_fill(r, 20, 30, 6000, 0);
    assert_ok(store_flush(r->s));
    rig_close(r);
    struct rig_names files = rig_files(r, FILE_BLOB);
    assert_int_equal(files.count, 2);
    for (int i = 0; i < 2; i++) {
        uint64_t bytes = rig_file_bytes(r, rig_file(r, FILE_BLOB, files.number[i]));
        for (uint64_t at = 0; at < bytes; at += bytes / 100) {
            bool opened;
            struct rig *k = rig_kill(r);
            assert_ok(simdisk_flip(k->disk, rig_file(k, FILE_BLOB, files.number[i]), at, 2));
            struct rig_findings found = look(k, &opened);
            assert_true(opened);
            if (found.damage == 0)
                fail_msg("a flip at %" PRIu64 " is not found", at);
            rig_drop(k);
        }
    }
}

static void test_flips_in_current(void **state)
{
    struct rig *r = *state;
    struct rig *k = make_rich(r);
    uint64_t bytes = rig_file_bytes(k, rig_path(k, "CURRENT"));
    for (uint64_t at = 0; at < bytes; at++) {
        bool opened;
        struct rig *d = rig_kill(k);
        assert_ok(simdisk_flip(d->disk, rig_path(d, "CURRENT"), at, 1));
        struct rig_findings found = look(d, &opened);
        assert_false(opened);
        assert_true(found.codes[FINDING_CURRENT - 100] == 1);
        rig_drop(d);
    }
    rig_drop(k);
    rig_close(r);
}

/* ---- files that are missing, swapped, or too many ---- */

static void test_files_missing(void **state)
{
    struct rig *r = *state;
    struct rig *k = make_rich(r);
    static const enum file_kind kinds[] = {FILE_TABLE, FILE_BLOB, FILE_LOG, FILE_MANIFEST};
    for (int t = 0; t < 4; t++) {
        struct rig_names files = rig_files(k, kinds[t]);
        for (int i = 0; i < files.count; i++) {
            bool opened;
            struct rig *d = rig_kill(k);
            assert_ok(d->env->remove(d->env, rig_file(d, kinds[t], files.number[i])));
            struct rig_findings found = look(d, &opened);
            if (kinds[t] == FILE_TABLE)
                assert_int_equal(found.codes[FINDING_TABLE_OPEN - 100], 1);
            else if (kinds[t] == FILE_MANIFEST)
                assert_int_equal(found.codes[FINDING_MANIFEST - 100], 1);
            else if (kinds[t] == FILE_BLOB && i + 1 < files.count)
                assert_int_equal(found.codes[FINDING_BLOB_OPEN - 100], 1);
            else if (kinds[t] == FILE_BLOB)
                assert_int_equal(found.codes[FINDING_LOG_TAIL - 100], 1); /* the log's */
            rig_drop(d);
        }
    }
    struct rig *d = rig_kill(k);
    bool opened;
    assert_ok(d->env->remove(d->env, rig_path(d, "CURRENT")));
    assert_int_equal(look(d, &opened).codes[FINDING_CURRENT - 100], 1);
    rig_drop(d);
    rig_drop(k);
    rig_close(r);
}

static void test_files_swapped(void **state)
{
    struct rig *r = *state;
    struct rig *k = make_rich(r);
    static const enum file_kind kinds[] = {FILE_TABLE, FILE_BLOB};
    static const int codes[] = {FINDING_TABLE_OPEN, FINDING_BLOB_OPEN};
    for (int t = 0; t < 2; t++) {
        bool opened;
        struct rig *d = rig_kill(k);
        struct rig_names files = rig_files(d, kinds[t]);
        assert_ok(simdisk_swap(d->disk, rig_file(d, kinds[t], files.number[0]),
                               rig_file(d, kinds[t], files.number[1])));
        assert_int_equal(look(d, &opened).codes[codes[t] - 100], 2);
        rig_drop(d);
    }
    rig_drop(k);
    rig_close(r);
}

static void test_files_too_many(void **state)
{
    struct rig *r = *state;
    struct rig *k = make_rich(r);
    bool opened;
    assert_ok(simdisk_put(k->disk, rig_path(k, "notes.txt"), slice_str("mine")));
    assert_ok(simdisk_put(k->disk, rig_path(k, "000777.table"), slice_str("")));
    assert_ok(simdisk_put(k->disk, rig_path(k, "000778.tmp"), slice_str("")));
    struct rig_findings found = look(k, &opened);
    assert_true(opened);
    assert_int_equal(found.damage, 0);
    assert_int_equal(found.codes[FINDING_UNKNOWN_FILE - 100], 1);
    assert_int_equal(found.codes[FINDING_UNNAMED_FILE - 100], 2);
    rig_drop(k);
    rig_close(r);
}

/* A log that lost its end, and one that would have gone on from there. */
static void test_log_that_is_left_out(void **state)
{
    struct rig *r = *state;
    bool opened;
    rig_open(r);
    rig_fill(r, 0, 10, 100, 0);
    assert_ok(commit_seal(&r->s->commit));
    rig_fill(r, 10, 20, 100, 0);
    struct rig *k = rig_kill(r);
    struct rig_names logs = rig_files(k, FILE_LOG);
    const char *first = rig_file(k, FILE_LOG, logs.number[0]);
    assert_ok(simdisk_truncate(k->disk, first, rig_file_bytes(k, first) - 5));
    struct rig_findings found = look(k, &opened);
    assert_true(opened);
    assert_int_equal(found.codes[FINDING_LOG_TAIL - 100], 1);
    assert_int_equal(found.codes[FINDING_LOG - 100], 1);
    assert_int_equal(found.warnings, 1);
    rig_drop(k);
    rig_close(r);
}

/* ---- a manifest that is well formed and wrong ---- */

/* A new manifest with what `change` makes of the state. */
static void forge_manifest(struct rig *k, void (*change)(struct version *v))
{
    uint8_t uuid[UUID_SIZE];
    struct version_source src = {.env = k->env, .dir = k->dir, .uuid = uuid};
    struct version *v;
    struct manifest *m;
    uint64_t number;
    enum journal_end end;
    assert_ok(manifest_read(&src, uuid, &v, &number, &end));
    change(v);
    assert_ok(manifest_start(k->env, k->dir, 5000, v, &m));
    manifest_free(m);
    version_unref(v);
    assert_ok(k->env->remove(k->env, rig_file(k, FILE_MANIFEST, number)));
}

static void more_garbage(struct version *v)
{
    v->blobs[0].garbage_count++;
    v->blobs[0].garbage_bytes++;
    v->blob_garbage_bytes++;
}

static void blob_forgotten(struct version *v)
{
    struct version_blob_state *last = &v->blobs[--v->blob_count];
    v->blob_file_bytes -= last->file_bytes;
    v->blob_garbage_bytes -= last->garbage_bytes;
    version_blob_unref(last->blob);
}

static void test_wrong_accounts(void **state)
{
    struct rig *r = *state;
    struct rig *k = make_rich(r);
    static void (*const changes[])(struct version *) = {more_garbage, blob_forgotten};
    static const int codes[] = {FINDING_BLOB_GARBAGE, FINDING_BLOB_UNKNOWN};
    for (int i = 0; i < 2; i++) {
        bool opened;
        struct rig *d = rig_kill(k);
        forge_manifest(d, changes[i]);
        struct rig_findings found = look(d, &opened);
        assert_true(opened);
        assert_int_equal(found.codes[codes[i] - 100], 1);
        rig_drop(d);
    }
    rig_drop(k);
    rig_close(r);
}

/* A log in which two entries refer to one value. */
static void test_value_referred_to_twice(void **state)
{
    struct rig *r = *state;
    uint8_t uuid[16];
    bool opened;
    rig_open(r);
    store_uuid(r->s, uuid);
    rig_fill(r, 0, 1, 6000, 0);
    struct rig *k = rig_kill(r);
    struct rig_names logs = rig_files(k, FILE_LOG);
    struct journal_reader *j;
    struct slice record;
    struct buf first = {0}, second = {0};
    assert_ok(journal_open(k->env, k->dir, FILE_LOG, logs.number[0], uuid, &j));
    assert_ok(journal_next(j, &record));
    buf_set(&first, record);
    assert_ok(journal_next(j, &record));
    buf_set(&second, record);
    journal_reader_free(j);
    struct journal_writer *w;
    assert_ok(k->env->remove(k->env, rig_file(k, FILE_LOG, logs.number[0])));
    assert_ok(journal_create(k->env, k->dir, FILE_LOG, logs.number[0], uuid, &w));
    journal_add(w, buf_slice(&first));
    journal_add(w, buf_slice(&second));
    second.data[0]++; /* the sequence number */
    journal_add(w, buf_slice(&second));
    assert_ok(journal_write(w));
    journal_writer_free(w);
    struct rig_findings found = look(k, &opened);
    assert_true(opened);
    assert_int_equal(found.codes[FINDING_BLOB_TWICE - 100], 1);
    buf_release(&first);
    buf_release(&second);
    rig_drop(k);
    rig_close(r);
}

/* ---- a store that does not open ---- */

static void test_closed(void **state)
{
    struct rig *r = *state;
    struct rig *k = make_rich(r);
    struct rig_names logs = rig_files(k, FILE_LOG), tables = rig_files(k, FILE_TABLE);
    /* A damaged log: the manifest is sound, and the header of the log is not. */
    assert_ok(simdisk_flip(k->disk, rig_file(k, FILE_LOG, logs.number[0]), 40, 1));
    assert_ok(simdisk_flip(k->disk, rig_file(k, FILE_TABLE, tables.number[0]), 40, 1));
    struct rig_findings found = check_closed(k);
    assert_int_equal(found.codes[FINDING_LOG - 100], 1);
    assert_int_equal(found.codes[FINDING_FILE_HEADER - 100], 2);
    assert_int_equal(found.codes[FINDING_CURRENT - 100], 0);
    rig_drop(k);
    rig_close(r);
    assert_true(store_check_closed("/nowhere", &r->opt, rig_note_finding, &found) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_SIM(test_sound_store),
        RIG_SIM(test_empty_store),
        RIG_SIM(test_findings_can_be_stopped),
        RIG_SIM(test_flips_in_tables),
        RIG_SIM(test_flips_in_logs),
        RIG_SIM(test_flips_in_manifests),
        RIG_SIM(test_flips_in_blob_files),
        RIG_SIM(test_flips_in_current),
        RIG_SIM(test_files_missing),
        RIG_SIM(test_files_swapped),
        RIG_SIM(test_files_too_many),
        RIG_SIM(test_log_that_is_left_out),
        RIG_SIM(test_wrong_accounts),
        RIG_SIM(test_value_referred_to_twice),
        RIG_SIM(test_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
