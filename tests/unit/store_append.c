/* Tests of store/append.h: what was written stays, what failed is gone for good. (What this means
 * for records after power cuts is tested in store_journal.c.) */
#include "store/append.h"

#include "tests/sim/simdisk.h"
#include "tests/sim/simrng.h"
#include "tests/unit/logged.h"

#include <errno.h>

static const uint8_t uuid[UUID_SIZE] = "this volume's id";
#define DIR  "vol"
#define PATH "vol/000009.blob"

struct fixture {
    struct simdisk *disk;
    struct env *env;
    struct append a;
};

static int setup(void **state)
{
    struct fixture *x = mem_zalloc(sizeof *x);
    x->disk = simdisk_new(1);
    x->env = simdisk_env(x->disk);
    *state = x;
    logged_reset();
    assert_ok(x->env->mkdir(x->env, DIR));
    assert_ok(x->env->sync_dir(x->env, ""));
    assert_ok(append_create(x->env, DIR, FILE_BLOB, 9, uuid, &x->a));
    assert_ok(x->env->sync_dir(x->env, DIR));
    return 0;
}

static int teardown(void **state)
{
    struct fixture *x = *state;
    append_close(&x->a);
    append_close(&x->a);
    bool leaked = simdisk_open_files(x->disk) > 0;
    simdisk_free(x->disk);
    free(x);
    return leaked;
}

static struct frame_ref add(struct append *a, struct slice value)
{
    size_t at = a->pending.len;
    struct frame_ref where = {append_offset(a), frame_pack(value, 0, &a->pending)};
    append_seal(a, at);
    return where;
}

static void assert_size(struct fixture *x, uint64_t expected)
{
    uint64_t size;
    assert_ok(x->env->file_size(x->env, PATH, &size));
    assert_true(size == expected);
    assert_true(x->a.size == expected);
}

static int probe(struct fixture *x, struct frame_ref where)
{
    struct file f;
    struct buf frame = {0};
    struct frame_header h;
    assert_ok(file_open(x->env, DIR, FILE_BLOB, 9, uuid, &f));
    int rc = file_probe_frame(&f, &where, &frame, &h);
    file_close(&f);
    buf_release(&frame);
    return rc;
}

static void fail_next(struct fixture *x, enum sim_call call)
{
    struct sim_fault fault = {.call = call, .err = -ENOSPC};
    simdisk_fail(x->disk, &fault);
}

static void frames_are_sealed_for_their_place(void **state)
{
    struct fixture *x = *state;
    struct frame_ref refs[20];
    for (int i = 0; i < 20; i++) {
        refs[i] = add(&x->a, slice_of("0123456789abcdefghij", (size_t)i));
        if (i % 3 == 0)
            assert_ok(append_write(&x->a));
    }
    assert_ok(append_write(&x->a));
    assert_size(x, refs[19].offset + refs[19].len);
    for (int i = 0; i < 20; i++)
        assert_ok(probe(x, refs[i]));
}

static void an_existing_file_is_left_alone(void **state)
{
    struct fixture *x = *state;
    struct append second;
    assert_errno(append_create(x->env, DIR, FILE_BLOB, 9, uuid, &second), EEXIST);
    append_close(&second);
    assert_size(x, FILE_HEADER_SIZE);
}

static void a_failed_write_is_cut_back(void **state)
{
    struct fixture *x = *state;
    struct frame_ref kept = add(&x->a, slice_str("kept"));
    assert_ok(append_write(&x->a));
    struct frame_ref lost = add(&x->a, slice_str("lost"));
    fail_next(x, SIM_WRITE);
    assert_errno(append_write(&x->a), ENOSPC);
    assert_logged(PATH ": cannot write at offset 124");
    assert_int_equal(x->a.pending.len, 0);
    assert_false(x->a.spent);
    assert_size(x, kept.offset + kept.len);
    assert_ok(probe(x, kept));
    assert_absent(probe(x, lost));
}

/* The disk has kept a frame whose write failed, and then loses the one that took its place. */
static void a_dropped_frame_does_not_come_back(void **state)
{
    struct fixture *x = *state;
    uint8_t bytes[600];
    uint64_t seed = unit_seed();
    for (uint64_t i = 0; i < 200; i++) {
        assert_ok(append_sync(&x->a));
        memset(bytes, 'l', sizeof bytes);
        struct frame_ref lost = add(&x->a, slice_of(bytes, sizeof bytes));
        struct slice frame = buf_slice(&x->a.pending);
        uint8_t *copy = mem_dup(frame.data, frame.len);
        fail_next(x, SIM_WRITE);
        assert_errno(append_write(&x->a), ENOSPC);
        memset(bytes, 'n', sizeof bytes);
        struct frame_ref new = add(&x->a, slice_of(bytes, sizeof bytes));
        assert_true(new.offset == lost.offset &&new.len == lost.len);
        assert_ok(append_write(&x->a));
        struct simdisk *after = simdisk_clone(x->disk);
        simdisk_crash(after, SIM_RANDOM, seed + i);
        struct buf found = {0};
        assert_ok(simdisk_get(after, PATH, &found));
        if (found.len >= lost.offset + lost.len)
            assert_memory_not_equal(found.data + lost.offset, copy, lost.len);
        buf_release(&found);
        simdisk_free(after);
        free(copy);
    }
}

static void what_cannot_be_cut_back_is_spent(void **state)
{
    struct fixture *x = *state;
    add(&x->a, slice_str("lost"));
    fail_next(x, SIM_WRITE);
    fail_next(x, SIM_TRUNCATE);
    assert_errno(append_write(&x->a), ENOSPC);
    assert_true(x->a.spent);
    add(&x->a, slice_str("later"));
    assert_errno(append_write(&x->a), EIO);
    assert_int_equal(x->a.pending.len, 0);
    assert_errno(append_sync(&x->a), EIO);
    assert_int_equal(x->a.size, FILE_HEADER_SIZE);
}

static void a_large_group_does_not_stay_in_memory(void **state)
{
    struct fixture *x = *state;
    size_t len = 20 << 20;
    uint8_t *value = mem_zalloc(len);
    struct frame_ref where = add(&x->a, slice_of(value, len));
    assert_ok(append_write(&x->a));
    assert_true(x->a.pending.cap <= 4 << 20);
    assert_ok(probe(x, where));
    free(value);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(frames_are_sealed_for_their_place), test(an_existing_file_is_left_alone),
        test(a_failed_write_is_cut_back),        test(a_dropped_frame_does_not_come_back),
        test(what_cannot_be_cut_back_is_spent),  test(a_large_group_does_not_stay_in_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
