/* heal: with parity, damage anywhere in a table or blob file is made up for when it is read, and
 * gone after a while; without, or beyond what parity can do, it is an error that names file and
 * offset. On the simulated disk, through the door. */
#include "tests/unit/store_rig.h"

#include "store/store_priv.h"

enum { KEYS = 400, SMALL = 100, LARGE = 6000, LARGE_KEYS = 60 };

/* Small values in tables, large ones in blob files, half of all below level 0. */
static void fill(struct rig *r)
{
    rig_fill(r, 0, KEYS, SMALL, 0);
    rig_fill(r, 1000, 1000 + LARGE_KEYS, LARGE, 0);
    rig_compact(r);
    rig_fill(r, KEYS, 2 * KEYS, SMALL, 0);
    rig_fill(r, 2000, 2000 + LARGE_KEYS, LARGE, 0);
    rig_delete_range(r, "k00009000", "k00009999");
    assert_ok(store_flush(r->s));
}

static void assert_all(struct rig *r)
{
    rig_assert_fill(r, 0, 2 * KEYS, SMALL, 0);
    rig_assert_fill(r, 1000, 1000 + LARGE_KEYS, LARGE, 0);
    rig_assert_fill(r, 2000, 2000 + LARGE_KEYS, LARGE, 0);
    assert_int_equal(rig_count(r), 2 * KEYS + 2 * LARGE_KEYS);
}

static void make(struct rig *r, uint32_t data, uint32_t parity)
{
    r->opt.parity_data = data;
    r->opt.parity_shards = parity;
    rig_open(r);
    fill(r);
}

static void contents(struct rig *r, enum file_kind kind, uint64_t number, struct buf *out)
{
    struct env_file *f;
    size_t len = (size_t)rig_file_bytes(r, rig_file(r, kind, number));
    buf_clear(out);
    assert_ok(r->env->open(r->env, rig_file(r, kind, number), ENV_OPEN_READ, &f));
    assert_ok(f->ops->read(f, 0, buf_reserve(out, len), len, &out->len));
    f->ops->close(f);
    assert_int_equal(out->len, len);
}

static uint64_t size_of(struct rig *r, enum file_kind kind, uint64_t number)
{
    return rig_file_bytes(r, rig_file(r, kind, number));
}

static bool parity_is_there(struct rig *r, uint64_t number)
{
    uint64_t size;
    return r->env->file_size(r->env, rig_file(r, FILE_PARITY, number), &size) == 0;
}

/* ---- which files have it ---- */

static void assert_companions(struct rig *r, bool wanted)
{
    static const enum file_kind kinds[] = {FILE_TABLE, FILE_BLOB};
    struct rig_names companions = rig_files(r, FILE_PARITY);
    int files = 0;
    for (int k = 0; k < 2; k++) {
        struct rig_names n = rig_files(r, kinds[k]);
        assert_true(n.count > 0);
        files += n.count;
        for (int i = 0; i < n.count; i++)
            assert_true(parity_is_there(r, n.number[i]) == wanted);
    }
    assert_int_equal(companions.count, wanted ? files : 0);
}

static void test_every_file_has_its_companion(void **state)
{
    struct rig *r = *state;
    make(r, 8, 2);
    assert_companions(r, true);
    struct store_stats st = rig_stats(r);
    assert_true(st.bytes_written_parity > 0);
    rig_close_clean(r);
    rig_open(r);
    assert_companions(r, true);
    rig_fill(r, 0, 2 * KEYS, SMALL, 7); /* old files die, and their companions with them */
    rig_fill(r, 1000, 1000 + LARGE_KEYS, LARGE, 7);
    rig_fill(r, 2000, 2000 + LARGE_KEYS, LARGE, 7);
    rig_compact(r);
    rig_work(r);
    assert_companions(r, true);
    rig_close_clean(r);
}

static void test_off_by_default_and_off_again(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    fill(r);
    assert_companions(r, false);
    assert_int_equal(rig_stats(r).bytes_written_parity, 0);
    rig_close(r);
    r->opt.parity_shards = 33;
    assert_errno(store_open(r->dir, &r->opt, &r->s), EINVAL);
    r->opt.parity_shards = 2;
    r->opt.parity_data = 0;
    assert_errno(store_open(r->dir, &r->opt, &r->s), EINVAL);
    r->opt.parity_data = 8;
    rig_open(r);
    rig_fill(r, 0, 10, SMALL, 0);
    rig_compact(r);
    assert_true(rig_files(r, FILE_PARITY).count > 0);
    rig_close(r);
    r->opt.parity_shards = 0;
    rig_open(r); /* what is there stays in use */
    assert_true(rig_files(r, FILE_PARITY).count > 0);
    rig_close_clean(r);
}

/* Companions that could not be made do not keep anything from going on. */
static void test_no_parity_is_no_failure(void **state)
{
    struct rig *r = *state;
    r->opt.parity_shards = 2;
    rig_open(r);
    struct sim_fault fault = {
        .call = SIM_CREATE, .path_part = ".parity", .err = -ENOSPC, .sticky = true};
    simdisk_fail(r->disk, &fault);
    fill(r);
    simdisk_heal(r->disk);
    assert_companions(r, false);
    assert_all(r);
    rig_close_clean(r);
}

/* ---- damage that parity makes up for ---- */

/* One byte of one file, on a copy of the disk: all can be read; background work heals it; then
 * there is nothing to be repaired any more. */
static void one_byte(const struct rig *r, enum file_kind kind, uint64_t number, uint64_t at)
{
    struct rig *k = rig_kill(r);
    rig_flip(k, kind, number, at);
    uint64_t digest = simdisk_digest(k->disk);
    k->opt.read_only = true;
    rig_open(k);
    rig_log_reset();
    assert_all(k);
    if (rig_stats(k).repairs == 0)
        fail_msg("%s: damage at %" PRIu64 " was not met", rig_file(k, kind, number), at);
    assert_true(rig_logged(kind == FILE_TABLE ? ".table" : ".blob"));
    assert_int_equal(rig_log.errors, 0);
    rig_close(k);
    assert_int_equal(simdisk_digest(k->disk), digest); /* reading wrote nothing */
    struct rig_findings found = rig_check(k);
    assert_int_equal(found.damage, 0);
    assert_int_equal(found.codes[FINDING_REPAIRED - 100], 1);
    k->opt.read_only = false;
    rig_open(k);
    assert_all(k);
    rig_work(k);
    struct store_stats st = rig_stats(k);
    assert_int_equal(st.files_to_heal, 0);
    assert_int_equal(st.files_healed, 1);
    assert_all(k);
    assert_int_equal(rig_stats(k).files_to_heal, 0);
    rig_close_clean(k);
    rig_drop(k);
}

static void test_any_byte_is_repaired_and_healed(void **state)
{
    struct rig *r = *state;
    static const enum file_kind kinds[] = {FILE_TABLE, FILE_BLOB};
    struct simrng rng = {unit_seed()};
    make(r, 8, 1);
    rig_close(r);
    for (int k = 0; k < 2; k++) {
        struct rig_names n = rig_files(r, kinds[k]);
        for (int i = 0; i < n.count; i++) {
            uint64_t size = size_of(r, kinds[k], n.number[i]);
            one_byte(r, kinds[k], n.number[i], simrng_below(&rng, FILE_HEADER_SIZE));
            one_byte(r, kinds[k], n.number[i], FILE_HEADER_SIZE + simrng_below(&rng, 24));
            one_byte(r, kinds[k], n.number[i], simrng_below(&rng, size));
            if (kinds[k] == FILE_TABLE) {
                one_byte(r, kinds[k], n.number[i], size - 1 - simrng_below(&rng, 16));
                one_byte(r, kinds[k], n.number[i], size - 100 - simrng_below(&rng, 40));
            }
        }
    }
}

/* A table of which the end is cut off opens, is read and healed. */
static void test_cut_off_table(void **state)
{
    struct rig *r = *state;
    make(r, 8, 2);
    rig_close(r);
    struct rig_names n = rig_files(r, FILE_TABLE);
    for (int i = 0; i < n.count; i++) {
        struct rig *k = rig_kill(r);
        uint64_t size = size_of(k, FILE_TABLE, n.number[i]);
        assert_ok(simdisk_truncate(k->disk, rig_file(k, FILE_TABLE, n.number[i]), size - 500));
        rig_open(k);
        assert_all(k);
        assert_true(rig_stats(k).repairs > 0);
        rig_work(k);
        assert_int_equal(rig_stats(k).files_to_heal, 0);
        rig_close_clean(k);
        rig_drop(k);
    }
}

/* A reader that has the file open goes on while it is healed under it, and after it. */
static void test_healing_under_open_readers(void **state)
{
    struct rig *r = *state;
    make(r, 8, 2);
    rig_reopen(r);
    struct rig_names n = rig_files(r, FILE_BLOB);
    struct buf before = {0}, after = {0};
    contents(r, FILE_BLOB, n.number[0], &before);
    for (uint64_t at = 200; at < before.len; at += 40000)
        rig_flip(r, FILE_BLOB, n.number[0], at);
    struct store_read read;
    store_read_begin(r->s, &read);
    struct store_iter *it = store_iter_new(&read, (struct slice){0}, (struct slice){0});
    uint64_t count = 0;
    for (int err = store_iter_first(it); err == 0; err = store_iter_next(it)) {
        struct slice value;
        assert_ok(store_iter_value(it, &value));
        if (++count % 50 == 0)
            rig_work(r);
    }
    store_iter_free(it);
    store_read_end(&read);
    assert_int_equal(count, 2 * KEYS + 2 * LARGE_KEYS);
    rig_work(r);
    assert_all(r);
    assert_int_equal(rig_stats(r).files_to_heal, 0);
    contents(r, FILE_BLOB, n.number[0], &after);
    assert_slice(buf_slice(&after), before.data, before.len);
    buf_release(&before);
    buf_release(&after);
    rig_close_clean(r);
}

/* ---- damage that is too much ---- */

static void expect_error(struct rig *r, const char *file)
{
    struct store_read read;
    struct store_value v = {0};
    struct buf room = {0};
    int errors = 0;
    rig_log_reset();
    store_read_begin(r->s, &read);
    for (uint64_t i = 0; i < 3000; i++) {
        size_t len = i < 1000 ? SMALL : LARGE;
        int err = store_get(&read, slice_str(rig_key(i)), &v);
        assert_true(err == 0 || err == 1 || err == -EIO);
        errors += err == -EIO;
        if (err == 0)
            assert_true(slice_eq(v.data, rig_value(i, len, &room)));
    }
    store_value_release(&v);
    store_read_end(&read);
    buf_release(&room);
    assert_true(errors > 0);
    assert_true(rig_logged(file) && rig_logged("is damaged at offset"));
}

static void test_beyond_repair(void **state)
{
    struct rig *r = *state;
    static const enum file_kind kinds[] = {FILE_TABLE, FILE_BLOB};
    make(r, 4, 1);
    rig_close(r);
    for (int kind = 0; kind < 2; kind++) {
        struct rig *k = rig_kill(r);
        uint64_t number = rig_files(k, kinds[kind]).number[0];
        uint64_t size = size_of(k, kinds[kind], number);
        for (uint64_t at = 2000; at + 5000 < size; at += 1500)
            rig_flip(k, kinds[kind], number, at);
        rig_open(k);
        expect_error(k, kinds[kind] == FILE_TABLE ? ".table" : ".blob");
        int err;
        while ((err = store_work(k->s)) == 0)
            ;
        expect_error(k, kinds[kind] == FILE_TABLE ? ".table" : ".blob");
        rig_close(k);
        assert_true(rig_check(k).damage > 0);
        rig_drop(k);
    }
}

/* A companion that was swapped with another's gives nothing wrong. */
static void test_foreign_companion(void **state)
{
    struct rig *r = *state;
    make(r, 8, 2);
    struct rig_names n = rig_files(r, FILE_BLOB);
    assert_true(n.count >= 2);
    rig_close(r);
    assert_ok(simdisk_swap(r->disk, rig_file(r, FILE_PARITY, n.number[0]),
                           rig_file(r, FILE_PARITY, n.number[1])));
    rig_flip(r, FILE_BLOB, n.number[0], 3000);
    rig_open(r);
    expect_error(r, ".blob");
    rig_close(r);
}

/* Healing for which there is no space waits, and is done when there is. */
static void test_healing_that_fails_is_tried_again(void **state)
{
    struct rig *r = *state;
    static const enum sim_call calls[] = {SIM_CREATE, SIM_WRITE, SIM_SYNC, SIM_RENAME};
    make(r, 8, 2);
    rig_close(r);
    uint64_t number = rig_files(r, FILE_BLOB).number[0];
    rig_flip(r, FILE_BLOB, number, 3000);
    for (size_t c = 0; c < sizeof calls / sizeof *calls; c++) {
        struct rig *k = rig_kill(r);
        rig_open(k);
        assert_all(k);
        struct sim_fault fault = {.call = calls[c], .path_part = ".tmp", .err = -ENOSPC};
        simdisk_fail(k->disk, &fault);
        int err = store_work(k->s);
        for (int i = 0; i < 20 && err == 0; i++)
            err = store_work(k->s);
        assert_errno(err, ENOSPC);
        assert_int_equal(rig_stats(k).files_to_heal, 1);
        assert_int_equal(rig_files(k, FILE_TEMP).count, 0);
        simdisk_heal(k->disk);
        rig_work(k);
        assert_int_equal(rig_stats(k).files_to_heal, 0);
        assert_all(k);
        rig_close_clean(k);
        rig_drop(k);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_SIM(test_every_file_has_its_companion),
        RIG_SIM(test_off_by_default_and_off_again),
        RIG_SIM(test_no_parity_is_no_failure),
        RIG_SIM(test_any_byte_is_repaired_and_healed),
        RIG_SIM(test_cut_off_table),
        RIG_SIM(test_healing_under_open_readers),
        RIG_POSIX(test_healing_under_open_readers),
        RIG_SIM(test_beyond_repair),
        RIG_SIM(test_foreign_companion),
        RIG_SIM(test_healing_that_fails_is_tried_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
