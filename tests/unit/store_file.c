/* Tests of store/file.h: the right file opens, every other one is refused with a message that says
 * why, and a damaged reference is an error and nothing worse. */
#include "store/file.h"

#include "tests/sim/simrng.h"
#include "tests/unit/on_disk.h"

#include <errno.h>
#include <xxhash.h>

static const uint8_t other_uuid[UUID_SIZE] = "another volume's";
#define PATH "vol/000007.table"

/* Table 7 with one frame, whose place is returned. */
static struct frame_ref make_table(struct on_disk *x, struct slice value)
{
    struct file f;
    struct buf frame = {0};
    assert_ok(file_create(x->env, DIR, FILE_TABLE, 7, uuid, &f));
    struct frame_ref where = {FILE_HEADER_SIZE, frame_pack(value, 3, &frame)};
    frame_seal(&f.codec, where.offset, frame.data, frame.len);
    assert_ok(f.io->ops->write(f.io, where.offset, frame.data, frame.len));
    file_close(&f);
    buf_release(&frame);
    return where;
}

static int open_table(struct on_disk *x, struct file *f)
{
    return file_open(x->env, DIR, FILE_TABLE, 7, uuid, f);
}

static void a_created_file_opens(void **state)
{
    struct on_disk *x = *state;
    struct file a, b;
    assert_ok(file_create(x->env, DIR, FILE_TABLE, 7, uuid, &a));
    assert_string_equal(a.path, PATH);
    assert_ok(open_table(x, &b));
    assert_int_equal(b.header.kind, FILE_TABLE);
    assert_int_equal(b.header.number, 7);
    assert_int_equal(b.header.version, FORMAT_VERSION);
    assert_memory_equal(b.header.uuid, uuid, UUID_SIZE);
    assert_memory_equal(b.header.salt, a.header.salt, SALT_SIZE);
    assert_true(a.codec.seed == b.codec.seed);
    file_close(&a);
    file_close(&b);
    file_close(&b);
    assert_ok(file_open(x->env, DIR, FILE_TABLE, 7, NULL, &b));
    file_close(&b);
    assert_int_equal(logged.count, 0);
}

static void every_file_has_its_own_salt(void **state)
{
    struct on_disk *x = *state;
    struct file a, b;
    assert_ok(file_create(x->env, DIR, FILE_TABLE, 7, uuid, &a));
    assert_ok(x->env->remove(x->env, PATH));
    assert_ok(file_create(x->env, DIR, FILE_TABLE, 7, uuid, &b));
    assert_memory_not_equal(a.header.salt, b.header.salt, SALT_SIZE);
    assert_true(a.codec.seed != b.codec.seed);
    file_close(&a);
    file_close(&b);
}

static void an_existing_file_is_not_replaced(void **state)
{
    struct on_disk *x = *state;
    struct file f;
    struct buf before = {0}, after = {0};
    make_table(x, slice_str("hello"));
    assert_ok(simdisk_get(x->disk, PATH, &before));
    assert_errno(file_create(x->env, DIR, FILE_TABLE, 7, uuid, &f), EEXIST);
    assert_null(f.io);
    assert_null(f.path);
    assert_ok(simdisk_get(x->disk, PATH, &after));
    assert_slice(buf_slice(&after), before.data, before.len);
    buf_release(&before);
    buf_release(&after);
}

static void a_creation_that_fails_leaves_nothing(void **state)
{
    struct on_disk *x = *state;
    static const enum sim_call calls[] = {SIM_CREATE, SIM_RANDOM_BYTES, SIM_WRITE};
    for (size_t i = 0; i < 3; i++) {
        struct file f;
        uint64_t size;
        struct sim_fault fault = {.call = calls[i], .err = -ENOSPC};
        simdisk_fail(x->disk, &fault);
        logged_reset();
        assert_errno(file_create(x->env, DIR, FILE_TABLE, 7, uuid, &f), ENOSPC);
        assert_null(f.io);
        assert_logged(PATH);
        assert_errno(x->env->file_size(x->env, PATH, &size), ENOENT);
        assert_int_equal(simdisk_open_files(x->disk), 0);
    }
}

static void a_missing_file_is_corruption(void **state)
{
    struct on_disk *x = *state;
    struct file f;
    assert_errno(file_open_maybe(x->env, DIR, FILE_TABLE, 7, uuid, &f), ENOENT);
    assert_int_equal(logged.count, 0);
    assert_errno(open_table(x, &f), EIO);
    assert_logged(PATH);
    assert_logged("missing");
    assert_null(f.io);
}

static void a_file_cut_within_its_header_is_told_apart(void **state)
{
    struct on_disk *x = *state;
    struct file f;
    uint8_t zeros[FILE_HEADER_SIZE + 50] = {0};
    for (size_t len = 0; len < FILE_HEADER_SIZE; len++) {
        make_table(x, slice_str("hello"));
        assert_ok(simdisk_truncate(x->disk, PATH, len));
        assert_absent(file_open_maybe(x->env, DIR, FILE_TABLE, 7, uuid, &f));
        assert_int_equal(logged.count, 0);
        assert_errno(open_table(x, &f), EIO);
        assert_logged("no header");
        assert_ok(x->env->remove(x->env, PATH));
        logged_reset();
    }
    for (size_t len = 0; len < sizeof zeros; len++) {
        assert_ok(simdisk_put(x->disk, PATH, slice_of(zeros, len)));
        assert_absent(file_open_maybe(x->env, DIR, FILE_TABLE, 7, uuid, &f));
        assert_null(f.path);
    }
}

static void any_damage_to_the_header_is_seen(void **state)
{
    struct on_disk *x = *state;
    struct file f;
    make_table(x, slice_str("hello"));
    for (uint64_t bit = 0; bit < 8 * FILE_HEADER_SIZE; bit++) {
        logged_reset();
        assert_ok(simdisk_flip(x->disk, PATH, bit / 8, (uint8_t)(1 << bit % 8)));
        assert_errno(file_open_maybe(x->env, DIR, FILE_TABLE, 7, uuid, &f), EIO);
        assert_logged(PATH);
        assert_logged(bit < 64 ? "not a file of varvefs" : "checksum of the file header");
        assert_ok(simdisk_flip(x->disk, PATH, bit / 8, (uint8_t)(1 << bit % 8)));
    }
    assert_ok(open_table(x, &f));
    file_close(&f);
}

static void a_file_in_a_wrong_place_is_refused(void **state)
{
    struct on_disk *x = *state;
    struct file f;
    struct buf bytes = {0};
    make_table(x, slice_str("hello"));
    assert_ok(simdisk_get(x->disk, PATH, &bytes));
    assert_ok(simdisk_put(x->disk, "vol/000008.table", buf_slice(&bytes)));
    assert_ok(simdisk_put(x->disk, "vol/000007.blob", buf_slice(&bytes)));
    assert_errno(file_open(x->env, DIR, FILE_TABLE, 8, uuid, &f), EIO);
    assert_logged("vol/000008.table");
    assert_logged("swapped or renamed: it was written as number 7");
    assert_errno(file_open(x->env, DIR, FILE_BLOB, 7, uuid, &f), EIO);
    assert_logged("that of a table and not of a blob file");
    assert_errno(file_open(x->env, DIR, FILE_TABLE, 7, other_uuid, &f), EIO);
    assert_logged("another volume");
    buf_release(&bytes);
}

/* Writes a sound header for table 7 with one byte changed. */
static void put_header_with(struct on_disk *x, size_t at, uint8_t value)
{
    struct file_header h = {.kind = FILE_TABLE, .version = FORMAT_VERSION, .number = 7};
    uint8_t bytes[FILE_HEADER_SIZE];
    memcpy(h.uuid, uuid, UUID_SIZE);
    file_header_encode(&h, bytes);
    bytes[at] = value;
    put_u64(bytes + 88, XXH3_64bits(bytes, 88));
    assert_ok(simdisk_put(x->disk, PATH, slice_of(bytes, sizeof bytes)));
    logged_reset();
}

static void a_newer_file_is_refused_as_such(void **state)
{
    struct on_disk *x = *state;
    struct file f;
    put_header_with(x, 8, 2);
    assert_errno(open_table(x, &f), EPROTONOSUPPORT);
    assert_logged(PATH);
    assert_logged("later format version (2)");
    put_header_with(x, 16, 4);
    assert_errno(open_table(x, &f), EPROTONOSUPPORT);
    assert_logged("unknown features (4)");
    put_header_with(x, 11, 2);
    assert_errno(open_table(x, &f), EPROTONOSUPPORT);
    assert_logged("unknown cipher (2)");
    put_header_with(x, 8, 1);
    assert_ok(open_table(x, &f));
    file_close(&f);
}

static void io_errors_pass_through(void **state)
{
    struct on_disk *x = *state;
    struct file f;
    make_table(x, slice_str("hello"));
    struct sim_fault open_fault = {.call = SIM_OPEN, .err = -EMFILE};
    simdisk_fail(x->disk, &open_fault);
    assert_errno(open_table(x, &f), EMFILE);
    assert_logged(PATH);
    struct sim_fault read_fault = {.call = SIM_READ, .err = -EIO};
    simdisk_fail(x->disk, &read_fault);
    assert_errno(open_table(x, &f), EIO);
    assert_logged("cannot read the header");
    assert_ok(open_table(x, &f));
    uint8_t byte;
    struct buf frame = {0};
    struct frame_header h;
    simdisk_fail(x->disk, &read_fault);
    assert_errno(file_read(&f, 0, &byte, 1), EIO);
    assert_logged("cannot read");
    simdisk_fail(x->disk, &read_fault);
    assert_errno(file_read_frame(&f, &(struct frame_ref){96, 29}, &frame, &h), EIO);
    simdisk_fail(x->disk, &read_fault);
    assert_errno(file_probe_frame(&f, &(struct frame_ref){96, 29}, &frame, &h), EIO);
    struct sim_fault size_fault = {.call = SIM_SIZE, .err = -EIO};
    simdisk_fail(x->disk, &size_fault);
    assert_errno(file_read_frame(&f, &(struct frame_ref){96, 1 << 21}, &frame, &h), EIO);
    assert_logged("cannot get the size");
    buf_release(&frame);
    file_close(&f);
}

static void reading_past_the_end_is_corruption(void **state)
{
    struct on_disk *x = *state;
    struct file f;
    uint8_t bytes[FILE_HEADER_SIZE + 40];
    struct frame_ref where = make_table(x, slice_str("hello"));
    assert_ok(open_table(x, &f));
    assert_ok(file_read(&f, 0, bytes, where.offset + where.len));
    assert_memory_equal(bytes + where.offset + FRAME_HEADER_SIZE, "hello", 5);
    assert_int_equal(logged.count, 0);
    assert_errno(file_read(&f, 0, bytes, where.offset + where.len + 2), EIO);
    assert_logged("2 bytes too early");
    file_close(&f);
}

/* Both ways of reading agree; the one that raises names file and offset. */
static void assert_no_frame(struct file *f, uint64_t offset, uint32_t len, const char *why)
{
    struct buf frame = {0};
    struct frame_header h;
    struct frame_ref where = {offset, len};
    logged_reset();
    assert_absent(file_probe_frame(f, &where, &frame, &h));
    assert_int_equal(frame.len, 0);
    assert_int_equal(logged.count, 0);
    assert_errno(file_read_frame(f, &where, &frame, &h), EIO);
    assert_int_equal(frame.len, 0);
    assert_true(frame.cap <= 2 << 20); /* no more memory than a small constant */
    assert_logged(f->path);
    assert_logged(why);
    char *place = mem_printf("offset %llu", (unsigned long long)offset);
    assert_logged(place);
    free(place);
    buf_release(&frame);
}

static void frames_are_read_by_reference(void **state)
{
    struct on_disk *x = *state;
    struct file f;
    struct buf frame = {0}, value = {0};
    struct frame_header h;
    struct frame_ref where = make_table(x, slice_str("hello"));
    assert_ok(open_table(x, &f));
    assert_ok(file_read_frame(&f, &where, &frame, &h));
    assert_ok(frame_unpack(&f.codec, where.offset, &h, frame_stored(buf_slice(&frame)), &value));
    assert_slice_str(buf_slice(&value), "hello");
    assert_ok(file_probe_frame(&f, &where, &frame, &h));
    assert_int_equal(frame.len, where.len);
    buf_release(&frame);
    buf_release(&value);
    file_close(&f);
}

static void damaged_references_are_corruption(void **state)
{
    struct on_disk *x = *state;
    struct file f;
    struct frame_ref where = make_table(x, slice_str("hello"));
    assert_ok(open_table(x, &f));
    const uint64_t at = where.offset;
    const char *impossible = "no frame can have this place and size";
    assert_no_frame(&f, at, 0, impossible);
    assert_no_frame(&f, at, FRAME_HEADER_SIZE - 1, impossible);
    assert_no_frame(&f, at, FRAME_RAW_MAX + FRAME_HEADER_SIZE + 1, impossible);
    assert_no_frame(&f, at, UINT32_MAX, impossible);
    assert_no_frame(&f, 0, where.len, impossible);
    assert_no_frame(&f, UINT64_MAX - 1, where.len, impossible);
    assert_no_frame(&f, UINT64_C(1) << 63, where.len, impossible);
    assert_no_frame(&f, at, FRAME_RAW_MAX, "the file ends before");
    assert_no_frame(&f, at, where.len + 1, "the file ends before");
    assert_no_frame(&f, UINT64_C(1) << 40, where.len, "the file ends before");
    assert_no_frame(&f, at, where.len - 1, "cut off");
    assert_no_frame(&f, at + 1, where.len - 1, "damaged at");
    file_close(&f);
}

static void damaged_frames_are_corruption(void **state)
{
    struct on_disk *x = *state;
    struct file f;
    static const uint8_t zeros[100];
    struct frame_ref where = make_table(x, slice_str("hello"));
    assert_ok(open_table(x, &f));
    for (uint64_t bit = 0; bit < 8 * where.len; bit++) {
        assert_ok(simdisk_flip(x->disk, PATH, where.offset + bit / 8, (uint8_t)(1 << bit % 8)));
        assert_no_frame(&f, where.offset, where.len, "frame");
        assert_ok(simdisk_flip(x->disk, PATH, where.offset + bit / 8, (uint8_t)(1 << bit % 8)));
    }
    struct buf bytes = {0}; /* a sound frame with more behind it: the reference is wrong */
    assert_ok(simdisk_get(x->disk, PATH, &bytes));
    buf_append_bytes(&bytes, zeros, 10);
    assert_ok(simdisk_put(x->disk, PATH, buf_slice(&bytes)));
    file_close(&f);
    assert_ok(open_table(x, &f));
    assert_no_frame(&f, where.offset, where.len + 1, "another length");
    memset(bytes.data + FILE_HEADER_SIZE, 0, bytes.len - FILE_HEADER_SIZE);
    file_close(&f);
    assert_ok(simdisk_put(x->disk, PATH, buf_slice(&bytes)));
    assert_ok(open_table(x, &f));
    assert_no_frame(&f, where.offset, where.len, "zeros");
    buf_release(&bytes);
    file_close(&f);
}

static void large_frames_are_read(void **state)
{
    struct on_disk *x = *state;
    struct simrng rng = {unit_seed()};
    struct file f;
    struct buf frame = {0};
    struct frame_header h;
    size_t len = 3 << 20;
    uint8_t *value = mem_alloc(len);
    for (size_t i = 0; i < len; i++)
        value[i] = (uint8_t)simrng_next(&rng);
    struct frame_ref where = make_table(x, slice_of(value, len));
    assert_ok(open_table(x, &f));
    assert_ok(file_read_frame(&f, &where, &frame, &h));
    assert_slice(frame_stored(buf_slice(&frame)), value, len);
    assert_no_frame(&f, where.offset, where.len + 1, "the file ends before");
    free(value);
    buf_release(&frame);
    file_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_created_file_opens, on_disk_setup, on_disk_teardown),
        cmocka_unit_test_setup_teardown(every_file_has_its_own_salt, on_disk_setup,
                                        on_disk_teardown),
        cmocka_unit_test_setup_teardown(an_existing_file_is_not_replaced, on_disk_setup,
                                        on_disk_teardown),
        cmocka_unit_test_setup_teardown(a_creation_that_fails_leaves_nothing, on_disk_setup,
                                        on_disk_teardown),
        cmocka_unit_test_setup_teardown(a_missing_file_is_corruption, on_disk_setup,
                                        on_disk_teardown),
        cmocka_unit_test_setup_teardown(a_file_cut_within_its_header_is_told_apart, on_disk_setup,
                                        on_disk_teardown),
        cmocka_unit_test_setup_teardown(any_damage_to_the_header_is_seen, on_disk_setup,
                                        on_disk_teardown),
        cmocka_unit_test_setup_teardown(a_file_in_a_wrong_place_is_refused, on_disk_setup,
                                        on_disk_teardown),
        cmocka_unit_test_setup_teardown(a_newer_file_is_refused_as_such, on_disk_setup,
                                        on_disk_teardown),
        cmocka_unit_test_setup_teardown(io_errors_pass_through, on_disk_setup, on_disk_teardown),
        cmocka_unit_test_setup_teardown(reading_past_the_end_is_corruption, on_disk_setup,
                                        on_disk_teardown),
        cmocka_unit_test_setup_teardown(frames_are_read_by_reference, on_disk_setup,
                                        on_disk_teardown),
        cmocka_unit_test_setup_teardown(damaged_references_are_corruption, on_disk_setup,
                                        on_disk_teardown),
        cmocka_unit_test_setup_teardown(damaged_frames_are_corruption, on_disk_setup,
                                        on_disk_teardown),
        cmocka_unit_test_setup_teardown(large_frames_are_read, on_disk_setup, on_disk_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
