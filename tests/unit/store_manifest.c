/* Tests of store/manifest.h: what is appended is read, after any power cut and whatever is damaged,
 * or it is said what is wrong. */
#include "store/manifest.h"

#include "tests/sim/simdisk.h"
#include "tests/unit/logged.h"
#include "tests/unit/version_maker.h"

#include <errno.h>

#define DIR     "vol"
#define CURRENT DIR "/CURRENT"

struct fixture {
    struct simdisk *disk;
    struct env *env;
    uint8_t uuid[UUID_SIZE]; /* what is read */
    struct version_source source;
};

static const uint8_t our_uuid[UUID_SIZE] = "this volume's id";

static void use_disk(struct fixture *x, struct simdisk *disk)
{
    x->disk = disk;
    x->env = simdisk_env(disk);
    x->source = (struct version_source){.env = x->env, .dir = DIR, .uuid = x->uuid};
}

static int setup(void **state)
{
    struct fixture *x = mem_zalloc(sizeof *x);
    use_disk(x, simdisk_new(1));
    logged_reset();
    *state = x;
    return x->env->mkdir(x->env, DIR) || x->env->sync_dir(x->env, "/");
}

static int teardown(void **state)
{
    struct fixture *x = *state;
    bool leaked = simdisk_open_files(x->disk) > 0;
    simdisk_free(x->disk);
    free(x);
    return leaked;
}

/* ---- a history of versions ---- */

/* An empty store. */
static struct version *first_version(struct fixture *x)
{
    struct version *v = version_new(&x->source);
    memcpy(v->uuid, our_uuid, UUID_SIZE);
    v->flushed_seq = 1;
    v->next_file = 100;
    return v;
}

/* The i-th edit of the history: a table comes, an older one moves; blob files and pins do
 * something. */
static void history_edit(uint64_t i, struct edit *e)
{
    char a[16], b[16], name[16];
    snprintf(a, sizeof a, "%04d", (int)i);
    snprintf(b, sizeof b, "%04d", (int)i + 1);
    e->has_next_file = e->has_flushed = true;
    e->next_file = 1000 + i;
    e->flushed_seq = 10 * i;
    maker_add(e, 0, 200 + i, a, b, 10 * i);
    edit_add_blob(e, 500 + i, 2, 64, 200);
    snprintf(name, sizeof name, "pin %d", (int)i);
    struct pin pin = maker_pin(i, name);
    edit_add_pin(e, &pin);
    if (i < 2)
        return;
    snprintf(a, sizeof a, "%04d", (int)i - 1);
    snprintf(b, sizeof b, "%04d", (int)i);
    snprintf(name, sizeof name, "pin %d", (int)i - 1);
    edit_remove_table(e, 0, 200 + i - 1);
    maker_add(e, 6, 200 + i - 1, a, b, 10 * (i - 1));
    edit_add_garbage(e, 500 + i - 1, i % 3, 32);
    edit_remove_pin(e, name);
}

static struct version *next_version(struct version *base, uint64_t i)
{
    struct version *next;
    struct edit e;
    edit_init(&e);
    history_edit(i, &e);
    assert_ok(version_apply(base, &e, NULL, 0, &next));
    edit_release(&e);
    return next;
}

enum { HISTORY = 12 };

struct history {
    struct version *v[HISTORY + 1];
    struct buf bytes[HISTORY + 1];
};

static void history_init(struct history *h, struct fixture *x)
{
    h->v[0] = first_version(x);
    for (uint64_t i = 0; i <= HISTORY; i++) {
        if (i > 0)
            h->v[i] = next_version(h->v[i - 1], i);
        h->bytes[i] = maker_bytes(h->v[i]);
    }
}

static void history_release(struct history *h)
{
    for (int i = 0; i <= HISTORY; i++) {
        version_unref(h->v[i]);
        buf_release(&h->bytes[i]);
    }
}

/* Which of the history's versions `v` is. */
static int history_find(const struct history *h, const struct version *v)
{
    struct buf bytes = maker_bytes(v);
    int found = -1;
    for (int i = 0; i <= HISTORY; i++)
        if (slice_eq(buf_slice(&bytes), buf_slice(&h->bytes[i])))
            found = i;
    buf_release(&bytes);
    return found;
}

static int append(struct manifest *m, uint64_t i)
{
    struct edit e;
    edit_init(&e);
    history_edit(i, &e);
    int err = manifest_append(m, &e);
    edit_release(&e);
    return err;
}

/* Writes manifest 1 with version 0 as its base and edits up to `last`. */
static void write_history(struct fixture *x, const struct history *h, uint64_t last)
{
    struct manifest *m;
    assert_ok(manifest_start(x->env, DIR, 1, h->v[0], &m));
    for (uint64_t i = 1; i <= last; i++)
        assert_ok(append(m, i));
    manifest_free(m);
}

/* manifest_read(); `*at` is what was read, -1 if nothing. */
static int read_back(struct fixture *x, const struct history *h, int *at, enum journal_end *end)
{
    struct version *v;
    uint64_t number;
    memset(x->uuid, 0, UUID_SIZE);
    int ret = manifest_read(&x->source, x->uuid, &v, &number, end);
    assert_int_equal(ret == 0, v != NULL);
    *at = -1;
    if (v) {
        assert_memory_equal(x->uuid, our_uuid, UUID_SIZE);
        version_assert_valid(v);
        *at = history_find(h, v);
        assert_true(*at >= 0);
        assert_int_equal(v->refs, 1);
    }
    version_unref(v);
    return ret;
}

/* ---- as it should be ---- */

static void test_read_back(void **state)
{
    struct fixture *x = *state;
    struct history h;
    enum journal_end end;
    int at;
    history_init(&h, x);
    assert_absent(read_back(x, &h, &at, &end));
    write_history(x, &h, 0);
    assert_ok(read_back(x, &h, &at, &end));
    assert_int_equal(at, 0);
    assert_int_equal(end, JOURNAL_CLEAN);
    assert_int_equal(logged.count, 0);
    history_release(&h);
}

static void test_edits_and_rotation(void **state)
{
    struct fixture *x = *state;
    struct history h;
    struct manifest *m;
    struct version *v;
    enum journal_end end;
    uint64_t number;
    int at;
    history_init(&h, x);
    write_history(x, &h, 5);
    assert_ok(read_back(x, &h, &at, &end));
    assert_int_equal(at, 5);
    assert_ok(manifest_start(x->env, DIR, 9, h.v[5], &m));
    assert_int_equal(manifest_number(m), 9);
    assert_ok(x->env->remove(x->env, DIR "/000001.manifest"));
    for (uint64_t i = 6; i <= HISTORY; i++) {
        assert_ok(append(m, i));
        assert_true(simdisk_is_durable(x->disk, DIR "/000009.manifest"));
        assert_ok(read_back(x, &h, &at, &end));
        assert_int_equal(at, i);
    }
    assert_true(simdisk_is_durable(x->disk, CURRENT));
    manifest_free(m);
    assert_ok(manifest_read(&x->source, x->uuid, &v, &number, &end));
    assert_int_equal(number, 9);
    version_unref(v);
    assert_int_equal(logged.count, 0);
    history_release(&h);
}

static void test_replaces_a_temporary_file(void **state)
{
    struct fixture *x = *state;
    struct history h;
    enum journal_end end;
    int at;
    history_init(&h, x);
    assert_ok(simdisk_put(x->disk, DIR "/000001.tmp", slice_str("left by an earlier end")));
    write_history(x, &h, 1);
    assert_ok(read_back(x, &h, &at, &end));
    assert_int_equal(at, 1);
    history_release(&h);
}

static uint64_t manifest_bytes(struct fixture *x, const char *path)
{
    uint64_t size;
    assert_ok(x->env->file_size(x->env, path, &size));
    return size;
}

/* Appends `e` over and over until it is time; that must be just when edits outweigh the base. */
static void append_until_rotation(struct fixture *x, const char *path, struct manifest *m,
                                  const struct edit *e)
{
    uint64_t base = manifest_bytes(x, path), edits = 0;
    while (edits <= 4 << 20 || edits <= 4 * base) {
        assert_false(manifest_wants_rotation(m));
        assert_ok(manifest_append(m, e));
        edits = manifest_bytes(x, path) - base;
    }
    assert_true(manifest_wants_rotation(m));
}

static void test_wants_rotation(void **state)
{
    struct fixture *x = *state;
    struct version *empty = first_version(x), *large;
    struct manifest *m;
    struct edit e;
    edit_init(&e);
    for (uint64_t i = 0; i < 60000; i++)
        edit_add_blob(&e, 1 + i, UINT64_MAX, UINT64_MAX, UINT64_MAX);
    assert_ok(manifest_start(x->env, DIR, 1, empty, &m));
    append_until_rotation(x, DIR "/000001.manifest", m, &e);
    manifest_free(m);
    assert_ok(version_apply(empty, &e, NULL, 0, &large));
    assert_ok(manifest_start(x->env, DIR, 2, large, &m));
    assert_true(manifest_bytes(x, DIR "/000002.manifest") > 3 << 19);
    append_until_rotation(x, DIR "/000002.manifest", m, &e);
    manifest_free(m);
    edit_release(&e);
    version_unref(empty);
    version_unref(large);
}

/* ---- damage ---- */

static void test_current(void **state)
{
    struct fixture *x = *state;
    struct history h;
    struct buf text = {0};
    enum journal_end end;
    int at;
    history_init(&h, x);
    write_history(x, &h, 2);
    assert_ok(simdisk_get(x->disk, CURRENT, &text));
    for (size_t i = 0; i < text.len; i++) {
        for (int bit = 0; bit < 8; bit++) {
            assert_ok(simdisk_flip(x->disk, CURRENT, i, (uint8_t)(1 << bit)));
            logged_reset();
            assert_errno(read_back(x, &h, &at, &end), EIO);
            assert_logged("CURRENT");
            assert_ok(simdisk_flip(x->disk, CURRENT, i, (uint8_t)(1 << bit)));
        }
    }
    for (size_t len = 0; len < text.len; len++) {
        assert_ok(simdisk_put(x->disk, CURRENT, slice_of(text.data, len)));
        assert_errno(read_back(x, &h, &at, &end), EIO);
    }
    buf_put_u8(&text, '\n');
    assert_ok(simdisk_put(x->disk, CURRENT, buf_slice(&text)));
    assert_errno(read_back(x, &h, &at, &end), EIO);
    text.len--;
    assert_ok(simdisk_put(x->disk, CURRENT, buf_slice(&text)));
    assert_ok(read_back(x, &h, &at, &end));
    buf_release(&text);
    history_release(&h);
}

static void test_manifest_missing(void **state)
{
    struct fixture *x = *state;
    struct history h;
    enum journal_end end;
    int at;
    history_init(&h, x);
    write_history(x, &h, 2);
    assert_ok(simdisk_truncate(x->disk, DIR "/000001.manifest", FILE_HEADER_SIZE - 1));
    assert_errno(read_back(x, &h, &at, &end), EIO);
    assert_logged("000001.manifest");
    logged_reset();
    assert_ok(x->env->remove(x->env, DIR "/000001.manifest"));
    assert_errno(read_back(x, &h, &at, &end), EIO);
    assert_logged("000001.manifest");
    assert_logged("missing");
    history_release(&h);
}

/* Where each record of manifest 1 begins; at[count] is the end. */
static int record_offsets(struct fixture *x, uint64_t at[HISTORY + 2])
{
    struct journal_reader *r;
    struct slice record;
    int count = 0;
    assert_ok(journal_open(x->env, DIR, FILE_MANIFEST, 1, NULL, &r));
    while (journal_next(r, &record) == 0)
        at[count++] = journal_offset(r);
    at[count] = journal_offset(r);
    journal_reader_free(r);
    return count;
}

static void test_cut_off(void **state)
{
    struct fixture *x = *state;
    struct history h;
    struct buf whole = {0};
    uint64_t at[HISTORY + 2];
    enum journal_end end;
    history_init(&h, x);
    write_history(x, &h, 4);
    assert_ok(simdisk_get(x->disk, DIR "/000001.manifest", &whole));
    assert_int_equal(record_offsets(x, at), 5);
    for (size_t len = 0; len <= whole.len; len++) {
        int got, last = -1;
        while (last < 4 && len >= at[last + 2])
            last++;
        assert_ok(simdisk_put(x->disk, DIR "/000001.manifest", slice_of(whole.data, len)));
        int ret = read_back(x, &h, &got, &end);
        assert_int_equal(got, last);
        assert_int_equal(ret, last < 0 ? -EIO : 0);
        if (last >= 0)
            assert_int_equal(end, len == at[last + 1] ? JOURNAL_CLEAN : JOURNAL_TORN);
    }
    buf_release(&whole);
    history_release(&h);
}

/* A flipped bit ends the history before the record that it is in; in the header or the base it is
 * damage. */
static void test_flips(void **state)
{
    struct fixture *x = *state;
    struct history h;
    uint64_t at[HISTORY + 2];
    enum journal_end end;
    history_init(&h, x);
    write_history(x, &h, 3);
    assert_int_equal(record_offsets(x, at), 4);
    for (uint64_t i = 0; i < at[4]; i++) {
        uint8_t mask = (uint8_t)(1 << (i % 8));
        int got, last = -1;
        while (i >= at[last + 2])
            last++;
        assert_ok(simdisk_flip(x->disk, DIR "/000001.manifest", i, mask));
        logged_reset();
        int ret = read_back(x, &h, &got, &end);
        assert_int_equal(got, last);
        assert_int_equal(ret, last < 0 ? -EIO : 0);
        if (last < 0)
            assert_logged("000001.manifest");
        else
            assert_int_equal(end, JOURNAL_TORN);
        assert_ok(simdisk_flip(x->disk, DIR "/000001.manifest", i, mask));
    }
    history_release(&h);
}

/* ---- records that verify, and yet are wrong ---- */

/* Puts a manifest of these two records in force. */
static void forge(struct fixture *x, const struct edit *base, struct slice second)
{
    struct journal_writer *w;
    struct buf bytes = {0};
    x->env->remove(x->env, DIR "/000007.manifest");
    assert_ok(journal_create(x->env, DIR, FILE_MANIFEST, 7, our_uuid, &w));
    edit_encode(base, &bytes);
    journal_add(w, buf_slice(&bytes));
    if (second.len)
        journal_add(w, second);
    assert_ok(journal_write(w));
    journal_writer_free(w);
    buf_clear(&bytes);
    current_encode(7, &bytes);
    assert_ok(simdisk_put(x->disk, CURRENT, buf_slice(&bytes)));
    buf_release(&bytes);
    logged_reset();
}

static void test_wrong_records(void **state)
{
    struct fixture *x = *state;
    struct history h;
    struct version *v = first_version(x);
    struct edit e;
    enum journal_end end;
    int at;
    history_init(&h, x);
    edit_init(&e);
    version_to_edit(v, &e);
    forge(x, &e, slice_str(""));
    assert_ok(read_back(x, &h, &at, &end));
    forge(x, &e, slice_str("\x31\x01x"));
    assert_errno(read_back(x, &h, &at, &end), EPROTONOSUPPORT);
    assert_logged("made by a newer varvefs");
    assert_logged("upgrade varvefs");
    forge(x, &e, slice_str("no edit"));
    assert_errno(read_back(x, &h, &at, &end), EIO);
    assert_logged("no edit");
    forge(x, &e, slice_str("\x13\x02no"));
    assert_errno(read_back(x, &h, &at, &end), EIO);
    assert_logged("does not fit");
    e.features = 1;
    forge(x, &e, slice_str(""));
    assert_errno(read_back(x, &h, &at, &end), EPROTONOSUPPORT);
    assert_logged("made by a newer varvefs");
    assert_logged("0x1");
    e.features = 0;
    e.uuid[3] ^= 1;
    forge(x, &e, slice_str(""));
    assert_errno(read_back(x, &h, &at, &end), EIO);
    assert_logged("another volume");
    e.has_uuid = false;
    forge(x, &e, slice_str(""));
    assert_errno(read_back(x, &h, &at, &end), EIO);
    assert_logged("base state is missing");
    edit_release(&e);
    version_unref(v);
    history_release(&h);
}

static void test_newer_header(void **state)
{
    struct fixture *x = *state;
    struct history h;
    struct buf bytes = {0};
    enum journal_end end;
    int at;
    history_init(&h, x);
    write_history(x, &h, 1);
    assert_ok(simdisk_get(x->disk, DIR "/000001.manifest", &bytes));
    struct file_header header;
    assert_int_equal(file_header_decode(buf_slice(&bytes), &header), HEADER_OK);
    header.version = FORMAT_VERSION + 1;
    file_header_encode(&header, bytes.data);
    assert_ok(simdisk_put(x->disk, DIR "/000001.manifest", buf_slice(&bytes)));
    assert_errno(read_back(x, &h, &at, &end), EPROTONOSUPPORT);
    assert_logged("newer varvefs");
    buf_release(&bytes);
    history_release(&h);
}

/* ---- a disk that fails ---- */

/* What a workload was told: versions up to `acked` are durable, none after `tried` was begun. */
struct progress {
    int acked, tried;
};

/* The whole history, with a rotation in the middle. Ends at the first failure. */
static int run_history(struct env *env, const struct history *h, struct progress *p)
{
    struct manifest *m = NULL, *fresh = NULL;
    *p = (struct progress){-1, 0};
    int err = manifest_start(env, DIR, 1, h->v[0], &m);
    if (err == 0)
        p->acked = 0;
    for (int i = 1; i <= HISTORY && err == 0; i++) {
        p->tried = i;
        err = append(m, (uint64_t)i);
        if (err == 0)
            p->acked = i;
        if (err == 0 && i == HISTORY / 2) {
            err = manifest_start(env, DIR, 2, h->v[i], &fresh);
            manifest_free(m);
            m = fresh;
            if (err == 0)
                err = env->remove(env, DIR "/000001.manifest");
        }
    }
    manifest_free(m);
    return err;
}

/* After a crash: just a version that was begun, and none before what was acknowledged. */
static void assert_survives(struct fixture *x, const struct history *h, const struct progress *p)
{
    enum journal_end end;
    int at, ret = read_back(x, h, &at, &end);
    assert_int_equal(ret, at < 0 ? 1 : 0);
    assert_true(at >= p->acked && at <= p->tried);
}

static void test_power_cuts(void **state)
{
    struct fixture *x = *state;
    struct simrng rng = {unit_seed()};
    struct history h;
    struct simdisk *fresh = x->disk;
    history_init(&h, x);
    bool cut = true;
    for (uint64_t n = 1; cut; n++) {
        for (int how = SIM_CUT_BEFORE; how <= SIM_CUT_WITHIN; how++) {
            struct simdisk *disk = simdisk_clone(fresh);
            struct progress p;
            simdisk_cut_at(disk, n, (enum sim_cut)how);
            int err = run_history(simdisk_env(disk), &h, &p);
            cut = simdisk_is_cut(disk);
            assert_int_equal(err != 0, cut);
            for (int k = 0; k < 6; k++) {
                struct simdisk *after = simdisk_clone(disk);
                simdisk_crash(after,
                              k == 0   ? SIM_KEEP_SYNCED
                              : k == 1 ? SIM_KEEP_ALL
                                       : SIM_RANDOM,
                              simrng_next(&rng));
                use_disk(x, after);
                assert_survives(x, &h, &p);
                assert_int_equal(simdisk_open_files(after), 0);
                simdisk_free(after);
            }
            simdisk_free(disk);
        }
    }
    use_disk(x, fresh);
    history_release(&h);
}

static bool has_file(struct fixture *x, const char *path)
{
    struct buf bytes = {0};
    bool has = simdisk_get(x->disk, path, &bytes) == 0;
    buf_release(&bytes);
    return has;
}

/* After an error: what a process sees that goes on, and what one sees after the machine went down.
 */
static void assert_after_failure(struct fixture *x, const struct history *h,
                                 const struct progress *p, int err)
{
    struct simdisk *failed = x->disk;
    bool nothing_done = err == -ENOSPC;
    simdisk_heal(failed);
    if (nothing_done) {
        enum journal_end end;
        int at, ret = read_back(x, h, &at, &end);
        assert_int_equal(ret, p->acked < 0 ? 1 : 0);
        assert_int_equal(at, p->acked);
        if (p->acked == HISTORY / 2 && p->tried == p->acked)
            assert_false(has_file(x, DIR "/000002.manifest"));
        assert_false(has_file(x, DIR "/000001.tmp") || has_file(x, DIR "/000002.tmp"));
    }
    for (int mode = SIM_KEEP_SYNCED; mode <= SIM_RANDOM; mode++) {
        use_disk(x, simdisk_clone(failed));
        simdisk_crash(x->disk, (enum sim_crash)mode, 7);
        assert_survives(x, h, p);
        simdisk_free(x->disk);
    }
    use_disk(x, failed);
}

/* One call of any kind fails, for lack of space or for no reason. An append that says it lacked
 * space has done nothing; neither has a start. */
static void test_failing_calls(void **state)
{
    static const enum sim_call calls[] = {SIM_CREATE, SIM_WRITE, SIM_SYNC, SIM_SYNC_DIR,
                                          SIM_RENAME};
    struct fixture *x = *state;
    struct history h;
    struct simdisk *fresh = x->disk;
    history_init(&h, x);
    for (size_t c = 0; c < 2 * sizeof calls / sizeof calls[0]; c++) {
        int fault = c % 2 ? -ENOSPC : -EIO, err = fault;
        for (uint64_t after = 0; err != 0; after++) {
            struct progress p;
            use_disk(x, simdisk_clone(fresh));
            simdisk_fail(x->disk, &(struct sim_fault){calls[c / 2], NULL, after, fault, false});
            err = run_history(x->env, &h, &p);
            assert_true(err == 0 || err == -EIO || err == fault);
            assert_after_failure(x, &h, &p, err);
            simdisk_free(x->disk);
        }
    }
    use_disk(x, fresh);
    history_release(&h);
}

/* After -ENOSPC the same manifest goes on. */
static void test_append_again(void **state)
{
    struct fixture *x = *state;
    struct history h;
    struct manifest *m;
    enum journal_end end;
    int at;
    history_init(&h, x);
    assert_ok(manifest_start(x->env, DIR, 1, h.v[0], &m));
    assert_ok(append(m, 1));
    simdisk_fail(x->disk, &(struct sim_fault){SIM_WRITE, NULL, 0, -ENOSPC, false});
    assert_errno(append(m, 2), ENOSPC);
    assert_ok(append(m, 2));
    simdisk_fail(x->disk, &(struct sim_fault){SIM_SYNC, NULL, 0, -ENOSPC, false});
    assert_errno(append(m, 3), EIO);
    assert_errno(append(m, 3), EIO);
    manifest_free(m);
    assert_ok(read_back(x, &h, &at, &end));
    assert_true(at == 2 || at == 3);
    /* A write that cannot be taken back is not merely a lack of space. */
    assert_ok(manifest_start(x->env, DIR, 2, h.v[at], &m));
    simdisk_fail(x->disk, &(struct sim_fault){SIM_WRITE, NULL, 0, -ENOSPC, false});
    simdisk_fail(x->disk, &(struct sim_fault){SIM_TRUNCATE, NULL, 0, -EIO, false});
    assert_errno(append(m, 4), EIO);
    assert_errno(append(m, 4), EIO);
    manifest_free(m);
    history_release(&h);
}

static void test_number_in_use(void **state)
{
    struct fixture *x = *state;
    struct history h;
    struct manifest *m;
    enum journal_end end;
    int at;
    history_init(&h, x);
    write_history(x, &h, 3);
    assert_errno(manifest_start(x->env, DIR, 1, h.v[0], &m), EEXIST);
    assert_null(m);
    assert_ok(read_back(x, &h, &at, &end));
    assert_int_equal(at, 3);
    history_release(&h);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_read_back),
        TEST(test_edits_and_rotation),
        TEST(test_replaces_a_temporary_file),
        TEST(test_wants_rotation),
        TEST(test_current),
        TEST(test_manifest_missing),
        TEST(test_cut_off),
        TEST(test_flips),
        TEST(test_wrong_records),
        TEST(test_newer_header),
        TEST(test_power_cuts),
        TEST(test_failing_calls),
        TEST(test_append_again),
        TEST(test_number_in_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
