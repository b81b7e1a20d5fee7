/* store_relocate: values are moved out of blob files that are mostly garbage, so that the space
 * comes back, is bounded, and nothing is lost. On the simulated disk. */
#include "store/codec.h"
#include "tests/unit/store_rig.h"

enum { MIB = 1 << 20, LEN = 6000 };

/* ---- short words ---- */

/* How much larger the blob files are than what is in use in them. */
static double blob_amp(struct rig *r)
{
    struct store_stats st = rig_stats(r);
    return (double)st.blob_bytes / (double)(st.blob_bytes - st.blob_garbage_bytes);
}

static void settle(struct rig *r)
{
    assert_ok(store_flush(r->s));
    rig_work(r);
}

/* ---- space ---- */

/* Overwritten over and over, at random: the files never hold much more than what is in use, and
 * moving it costs less than a write for each. */
static void overwrite(struct rig *r, size_t len, uint64_t keys)
{
    struct simrng rng = {unit_seed()};
    struct buf room = {0};
    uint64_t *salts = mem_zalloc(keys * sizeof *salts);
    r->opt.blob_bytes = 64 << 10;
    rig_open(r);
    rig_fill(r, 0, keys, len, 0);
    settle(r);
    for (uint64_t i = 0; i < 6 * keys; i++) {
        uint64_t key = simrng_below(&rng, keys);
        salts[key] = (i + 1) * keys;
        assert_ok(rig_try_put(r, rig_key(key), rig_value(key + salts[key], len, &room), 0));
        if (i % 10 == 0)
            rig_work(r);
        if (i % keys == keys - 1) {
            settle(r);
            double amp = blob_amp(r);
            if (amp > 1.45)
                fail_msg("the blob files are %.2f times what is in use", amp);
        }
    }
    struct store_stats st = rig_stats(r);
    if (st.bytes_moved_blob == 0 || st.bytes_moved_blob > st.bytes_written_blob / 10 * 6)
        fail_msg("%" PRIu64 " bytes were moved, of %" PRIu64 " written", st.bytes_moved_blob,
                 st.bytes_written_blob);
    for (uint64_t key = 0; key < keys; key++)
        rig_assert_fill(r, key, key + 1, len, salts[key]);
    rig_close_clean(r);
    free(salts);
    buf_release(&room);
}

static void test_direct_values(void **state)
{
    overwrite(*state, LEN, 300);
}

static void test_separated_values(void **state)
{
    overwrite(*state, 1000, 1000);
}

/* Picking ends by itself, soon, and what is moved once stays: nobody writes. */
static void test_it_ends(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    rig_fill(r, 0, 600, LEN, 0);
    rig_compact(r);
    for (uint64_t i = 0; i < 600; i++)
        if (i % 3)
            rig_delete(r, rig_key(i));
    assert_ok(store_flush(r->s));
    int steps = 0;
    while (store_work(r->s) == 0)
        if (++steps > 100)
            fail_msg("it does not end");
    rig_compact(r);
    rig_work(r);
    struct store_stats before = rig_stats(r);
    assert_in_range(before.bytes_moved_blob, 1, before.bytes_written_blob / 3);
    assert_true(blob_amp(r) < 1.34);
    rig_compact(r);
    rig_work(r);
    rig_reopen(r);
    rig_work(r);
    assert_int_equal(rig_stats(r).bytes_moved_blob, 0);
    assert_int_equal(rig_stats(r).compactions, 0);
    for (uint64_t i = 0; i < 600; i += 3)
        rig_assert_fill(r, i, i + 1, LEN, 0);
    rig_close_clean(r);
}

/* What only a snapshot sees moves, too. */
static void test_snapshots_keep_what_moves(void **state)
{
    struct rig *r = *state;
    struct store_pin pin;
    struct store_read read;
    rig_open(r);
    rig_fill(r, 0, 300, LEN, 0);
    rig_compact(r);
    for (uint64_t i = 0; i < 300; i++)
        if (i % 4)
            rig_delete(r, rig_key(i));
    assert_ok(store_pin_create(r->s, "p", 0, &pin));
    rig_delete_range(r, rig_key(0), rig_key(300));
    rig_compact(r);
    rig_work(r);
    assert_true(rig_stats(r).bytes_moved_blob > 50 * LEN / 2);
    assert_true(blob_amp(r) < 1.34);
    assert_int_equal(rig_count(r), 0);
    store_read_begin_at(r->s, pin.seq, &read);
    for (uint64_t i = 0; i < 300; i += 4)
        rig_assert_fill_at(&read, i, i + 1, LEN, 0);
    store_read_end(&read);
    rig_close_clean(r);
    rig_open(r);
    assert_ok(store_pin_delete(r->s, "p"));
    rig_compact(r);
    rig_work(r);
    assert_int_equal(rig_stats(r).blob_files, 0);
    rig_close_clean(r);
}

/* Whoever reads while values move reads on from where they were. */
static void test_readers_keep_the_old_place(void **state)
{
    struct rig *r = *state;
    struct store_read read;
    rig_open(r);
    rig_fill(r, 0, 300, LEN, 0);
    rig_compact(r);
    int before = rig_files(r, FILE_BLOB).count;
    for (uint64_t i = 0; i < 300; i++)
        if (i % 4)
            rig_delete(r, rig_key(i));
    store_read_begin(r->s, &read);
    settle(r);
    rig_compact(r);
    rig_work(r);
    assert_true(rig_stats(r).bytes_moved_blob > 0);
    for (uint64_t i = 0; i < 300; i += 4)
        rig_assert_fill_at(&read, i, i + 1, LEN, 0);
    assert_true(rig_files(r, FILE_BLOB).count >= before);
    store_read_end(&read);
    rig_compact(r);
    rig_close_clean(r);
    rig_open(r);
    assert_true(rig_files(r, FILE_BLOB).count < before);
    rig_close(r);
}

/* ---- what is moved ---- */

/* The stored bytes of all frames in blob files behind their headers, added up: the same values
 * compressed at another level would give another sum. */
static uint64_t frames_sum(struct rig *r, uint32_t *count)
{
    struct rig_names n = rig_files(r, FILE_BLOB);
    struct buf file = {0};
    uint64_t sum = 0;
    *count = 0;
    for (int i = 0; i < n.count; i++) {
        assert_ok(simdisk_get(r->disk, rig_file(r, FILE_BLOB, n.number[i]), &file));
        for (size_t at = FILE_HEADER_SIZE; at < file.len; ++*count) {
            struct frame_header h;
            frame_header_decode(file.data + at, &h);
            at += FRAME_HEADER_SIZE;
            for (uint32_t k = 0; k < h.stored_len; k++)
                sum += (uint64_t)file.data[at + k] * (k + 1);
            at += h.stored_len;
        }
    }
    buf_release(&file);
    return sum;
}

/* Neither decoded nor compressed again, and in the order of the keys. */
static void test_frames_move_as_they_are(void **state)
{
    struct rig *r = *state;
    uint32_t count, moved_count;
    char message[STORE_MESSAGE_MAX];
    r->opt.blob_bytes = 4 * MIB;
    rig_open(r);
    for (uint64_t i = 0; i < 100; i++) /* not in order */
        rig_fill(r, i * 37 % 100, i * 37 % 100 + 1, LEN, 0);
    rig_compact(r);
    uint64_t sum = frames_sum(r, &count);
    assert_int_equal(count, 100);
    /* As much again that goes, in the same file. */
    rig_fill(r, 100, 300, LEN, 0);
    rig_compact(r);
    rig_delete_range(r, rig_key(100), rig_key(300));
    assert_ok(store_set(r->s, "compression.level", "9", message));
    rig_compact(r);
    rig_work(r);
    rig_close_clean(r);
    uint64_t moved_sum = frames_sum(r, &moved_count);
    assert_int_equal(moved_count, 100);
    assert_int_equal(moved_sum, sum);
    rig_open(r);
    rig_assert_fill(r, 0, 100, LEN, 0);
    rig_close(r);
}

/* A value that cannot be read stays where it is, its file with it; the others move. */
static void test_damage_stays(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    rig_fill(r, 0, 200, LEN, 0);
    rig_compact(r);
    struct rig_names n = rig_files(r, FILE_BLOB);
    rig_close(r);
    assert_true(n.count >= 2);
    assert_ok(simdisk_flip(r->disk, rig_file(r, FILE_BLOB, n.number[0]), 96 + 24 + 10, 1));
    rig_open(r);
    for (uint64_t i = 0; i < 200; i++)
        if (i % 40)
            rig_delete(r, rig_key(i));
    /* Nearly all that is left is garbage, and will stay so: it is not tried for ever. */
    assert_ok(store_flush(r->s));
    int steps = 0;
    while (store_work(r->s) == 0)
        if (++steps > 100)
            fail_msg("it does not end");
    rig_compact(r);
    rig_work(r);
    struct store_value v = {0};
    struct store_read read;
    store_read_begin(r->s, &read);
    assert_errno(store_get(&read, slice_str(rig_key(0)), &v), EIO);
    store_read_end(&read);
    store_value_release(&v);
    for (uint64_t i = 40; i < 200; i += 40)
        rig_assert_fill(r, i, i + 1, LEN, 0);
    rig_close(r);
    struct rig_findings found = rig_check(r);
    assert_int_equal(found.damage, 1);
    assert_int_equal(found.codes[FINDING_BLOB_FRAME - 100], 1);
    n = rig_files(r, FILE_BLOB);
    assert_in_range(n.count, 1, 2);
}

/* Small files, of which each flush leaves one, are gathered when their values pass. */
static void test_small_files_are_gathered(void **state)
{
    struct rig *r = *state;
    r->opt.blob_bytes = MIB;
    rig_open(r);
    for (uint64_t i = 0; i < 200; i++) {
        rig_fill(r, i * 31 % 200, i * 31 % 200 + 1, LEN, 0);
        settle(r);
    }
    rig_compact(r);
    struct store_stats st = rig_stats(r);
    if (st.blob_files > 40 || st.bytes_moved_blob > 4 * st.blob_bytes)
        fail_msg("%" PRIu64 " files, %" PRIu64 " bytes moved of %" PRIu64, st.blob_files,
                 st.bytes_moved_blob, st.blob_bytes);
    rig_assert_fill(r, 0, 200, LEN, 0);
    rig_close_clean(r);
}

/* ---- a disk that is nearly full ---- */

/* Some values go from each file, and none of the files is dead: the space comes back all the same.
 */
static void free_by_scattered_deletes(struct rig *r, uint64_t capacity)
{
    struct buf room = {0};
    int err = 0;
    uint64_t end = 0;
    r->opt.reserve_bytes = 256 << 10;
    simdisk_set_capacity(r->disk, capacity);
    rig_open(r);
    for (; err == 0; end++) {
        err = rig_try_put(r, rig_key(end), rig_value(end, LEN, &room), 0);
        if (end % 50 == 0)
            rig_work(r);
    }
    assert_int_equal(err, -ENOSPC);
    end--;
    buf_release(&room);
    uint64_t before = rig_stats(r).disk_free_bytes, used = rig_stats(r).blob_bytes;
    for (uint64_t i = 0; i < end; i++) {
        if (i % 3 == 0)
            continue;
        struct store_batch *b = store_batch_new(r->s);
        store_batch_delete(b, slice_str(rig_key(i)));
        assert_ok(rig_write(r, b, STORE_RESERVE));
    }
    settle(r);
    rig_compact(r);
    rig_work(r);
    uint64_t after = rig_stats(r).disk_free_bytes;
    if (after < before + used / 2)
        fail_msg("%" PRIu64 " bytes are free, %" PRIu64 " were, of %" PRIu64 " in blobs", after,
                 before, used);
    for (uint64_t i = 0; i < end; i += 3)
        rig_assert_fill(r, i, i + 1, LEN, 0);
    rig_close_clean(r);
}

static void test_full_disk_is_freed(void **state)
{
    free_by_scattered_deletes(*state, 6 * MIB);
}

/* Blob files as large as the disk would leave no room to move their values. */
static void test_full_disk_with_large_files_is_freed(void **state)
{
    struct rig *r = *state;
    r->opt.blob_bytes = 256 * MIB;
    r->opt.memtable_bytes = 8 * MIB;
    free_by_scattered_deletes(r, 24 * MIB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_SIM(test_direct_values),
        RIG_SIM(test_separated_values),
        RIG_SIM(test_it_ends),
        RIG_SIM(test_snapshots_keep_what_moves),
        RIG_SIM(test_readers_keep_the_old_place),
        RIG_SIM(test_frames_move_as_they_are),
        RIG_SIM(test_damage_stays),
        RIG_SIM(test_small_files_are_gathered),
        RIG_SIM(test_full_disk_is_freed),
        RIG_SIM(test_full_disk_with_large_files_is_freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
