/* Rows: records of a log that go to its file as one compressed frame. Whatever TAIL and the file
 * hold of them at a kill, each record is read once. On the simulated disk. */
#include "store/journal.h"

#include "store/logtail.h"
#include "tests/sim/simrng.h"
#include "tests/unit/on_disk.h"

#include <errno.h>

#define PATH "vol/000003.log"
#define TAIL "vol/TAIL"

enum { ROW_MIN = 512, RECORDS_MAX = 700 };

struct fixture {
    struct on_disk on;
    struct logtail *tail;
    struct journal_writer *w;
    struct buf records[RECORDS_MAX]; /* that were acknowledged */
    size_t count;
};

static int setup(void **state)
{
    struct fixture *x = mem_zalloc(sizeof *x);
    *state = x;
    return on_disk_begin(&x->on);
}

static int teardown(void **state)
{
    struct fixture *x = *state;
    journal_writer_free(x->w);
    logtail_free(x->tail, false);
    for (size_t i = 0; i < x->count; i++)
        buf_release(&x->records[i]);
    bool leaked = on_disk_end(&x->on);
    free(x);
    return leaked;
}

static void start(struct fixture *x, int level)
{
    assert_ok(logtail_open(x->on.env, DIR, &x->tail));
    assert_ok(journal_create(x->on.env, DIR, FILE_LOG, 3, uuid, &x->w));
    journal_use_tail(x->w, x->tail);
    journal_use_rows(x->w, level, ROW_MIN);
}

/* Adds a record of `len` bytes that compresses, or not. */
static void add(struct fixture *x, size_t len, bool random)
{
    struct simrng rng = {1000 + x->count};
    assert_true(x->count < RECORDS_MAX);
    struct buf *b = &x->records[x->count++];
    buf_reserve(b, len);
    for (size_t i = 0; i < len; i++)
        b->data[i] = random ? (uint8_t)simrng_next(&rng) : (uint8_t)('a' + x->count % 26);
    b->len = len;
    journal_add(x->w, buf_slice(b));
}

static void put(struct fixture *x, size_t len, bool random)
{
    add(x, len, random);
    assert_ok(journal_write(x->w));
}

static void put_many(struct fixture *x, size_t count)
{
    for (size_t i = 0; i < count; i++)
        put(x, 40, false);
}

/* A reader finds just what was acknowledged. Returns how many frames that were. */
static size_t assert_reads(struct fixture *x)
{
    struct journal_reader *r;
    struct slice payload;
    uint64_t at = 0;
    size_t frames = 0;
    assert_ok(journal_open(x->on.env, DIR, FILE_LOG, 3, uuid, &r));
    for (size_t i = 0; i < x->count; i++) {
        assert_ok(journal_next(r, &payload));
        assert_slice(payload, x->records[i].data, x->records[i].len);
        assert_true(journal_offset(r) >= at);
        frames += journal_offset(r) > at;
        at = journal_offset(r);
    }
    assert_absent(journal_next(r, &payload));
    assert_int_equal(journal_end(r), JOURNAL_CLEAN);
    journal_reader_free(r);
    return frames;
}

static uint64_t file_bytes(struct fixture *x)
{
    uint64_t size;
    assert_ok(x->on.env->file_size(x->on.env, PATH, &size));
    return size;
}

static struct buf save(struct fixture *x, const char *path)
{
    struct buf bytes = {0};
    assert_ok(simdisk_get(x->on.disk, path, &bytes));
    return bytes;
}

static void load(struct fixture *x, const char *path, struct buf *bytes)
{
    assert_ok(simdisk_put(x->on.disk, path, buf_slice(bytes)));
    buf_release(bytes);
}

/* ---- as it should be ---- */

static void what_tail_held_becomes_a_row(void **state)
{
    struct fixture *x = *state;
    start(x, 1);
    put_many(x, 100);
    assert_int_equal(assert_reads(x), 100); /* in TAIL they are for themselves */
    assert_int_equal(journal_in_tail(x->w), 100 * (40 + FRAME_HEADER_SIZE));
    assert_ok(journal_flush(x->w));
    assert_int_equal(journal_in_tail(x->w), 0);
    assert_int_equal(journal_take_written(x->w), journal_size(x->w) - FILE_HEADER_SIZE);
    assert_true(journal_size(x->w) < FILE_HEADER_SIZE + 100 * 40 / 2);
    assert_int_equal(assert_reads(x), 1);
    put_many(x, 3);
    assert_int_equal(assert_reads(x), 4);
    put_many(x, 50);
    assert_ok(journal_sync(x->w));
    put_many(x, 50);
    assert_ok(journal_seal(x->w));
    assert_int_equal(assert_reads(x), 3);
    assert_int_equal(file_bytes(x), journal_size(x->w));
}

static void not_of_few_bytes_nor_of_random_ones(void **state)
{
    struct fixture *x = *state;
    start(x, 1);
    put_many(x, 3);
    assert_ok(journal_flush(x->w));
    assert_int_equal(assert_reads(x), 3);
    for (int i = 0; i < 20; i++)
        put(x, 50, true);
    assert_ok(journal_flush(x->w));
    assert_int_equal(assert_reads(x), 23);
    journal_use_rows(x->w, 0, ROW_MIN);
    put_many(x, 20);
    assert_ok(journal_flush(x->w));
    assert_int_equal(assert_reads(x), 43);
}

/* The level changes while something is pending: that stays as it began. */
static void the_level_changes_in_between(void **state)
{
    struct fixture *x = *state;
    start(x, 0);
    put_many(x, 20);
    journal_use_rows(x->w, 3, ROW_MIN);
    put_many(x, 20);
    assert_ok(journal_flush(x->w));
    assert_int_equal(assert_reads(x), 40);
    put_many(x, 20);
    journal_use_rows(x->w, 0, ROW_MIN);
    put_many(x, 20);
    assert_ok(journal_flush(x->w));
    assert_int_equal(assert_reads(x), 41);
    put_many(x, 20);
    assert_ok(journal_flush(x->w));
    assert_int_equal(assert_reads(x), 61);
}

/* What is discarded is in no row. */
static void what_is_discarded_is_gone(void **state)
{
    struct fixture *x = *state;
    start(x, 1);
    put_many(x, 20);
    journal_add(x->w, slice_str("dropped"));
    journal_discard(x->w);
    put_many(x, 20);
    assert_ok(journal_flush(x->w));
    assert_int_equal(assert_reads(x), 1);
}

/* A record that TAIL has no room for takes what is there along. */
static void tail_is_full(void **state)
{
    struct fixture *x = *state;
    start(x, 1);
    put_many(x, 100);
    for (int i = 0; i < 10; i++)
        put_many(x, 5);
    put(x, LOGTAIL_ROOM - 9000, false);
    assert_int_equal(journal_in_tail(x->w), 0);
    assert_int_equal(assert_reads(x), 1);
    put_many(x, 100);
    put(x, LOGTAIL_ROOM, false); /* more, and for so few records too much */
    assert_int_equal(assert_reads(x), 1 + 101);
    for (int i = 0; i < 350; i++)
        add(x, 600, false);
    assert_ok(journal_write(x->w)); /* too much for any */
    assert_int_equal(assert_reads(x), 1 + 101 + 350);
}

/* ---- kills ---- */

/* Between the row and the new beginning of TAIL. */
static void killed_before_tail_began_anew(void **state)
{
    struct fixture *x = *state;
    start(x, 1);
    put_many(x, 30);
    struct buf tail = save(x, TAIL);
    assert_ok(journal_flush(x->w));
    load(x, TAIL, &tail);
    assert_int_equal(assert_reads(x), 1);
}

/* The same, and the row ends just where a frame in TAIL ends: that goes on with records which the
 * row has already. */
static void a_row_as_long_as_some_frames_in_tail(void **state)
{
    struct fixture *x = *state;
    bool met = false;
    for (size_t len = 1; len < 300 && !met; len++) {
        start(x, 1);
        put(x, 600, true);
        put(x, len, false);
        put_many(x, 10);
        struct buf tail = save(x, TAIL);
        assert_ok(journal_flush(x->w));
        met = file_bytes(x) == FILE_HEADER_SIZE + 600 + len + 2 * FRAME_HEADER_SIZE;
        if (met)
            assert_ok(journal_seal(x->w));
        load(x, TAIL, &tail);
        assert_int_equal(assert_reads(x), 1);
        for (size_t i = 0; i < x->count; i++)
            buf_release(&x->records[i]);
        x->count = 0;
        journal_writer_free(x->w);
        logtail_free(x->tail, true);
        x->w = NULL;
        x->tail = NULL;
        assert_ok(x->on.env->remove(x->on.env, PATH));
    }
    assert_true(met);
}

/* In the midst of the row: of the file's part any bytes are there, and TAIL is as it was. */
static void killed_within_the_row(void **state)
{
    struct fixture *x = *state;
    start(x, 1);
    put_many(x, 30);
    struct buf tail = save(x, TAIL), whole;
    uint64_t before = FILE_HEADER_SIZE;
    assert_ok(journal_flush(x->w));
    whole = save(x, PATH);
    for (uint64_t len = before; len < journal_size(x->w); len++) {
        struct buf part = {0};
        buf_append_bytes(&part, whole.data, (size_t)len);
        assert_ok(simdisk_put(x->on.disk, TAIL, buf_slice(&tail)));
        load(x, PATH, &part);
        assert_int_equal(assert_reads(x), 30);
    }
    buf_release(&whole);
    buf_release(&tail);
}

/* A row that cannot be written: what is in TAIL stays there, and goes to the file the next time. */
static void a_row_cannot_be_written(void **state)
{
    struct fixture *x = *state;
    struct sim_fault fault = {.call = SIM_WRITE, .path_part = ".log", .err = -ENOSPC};
    start(x, 1);
    for (int i = 0; i < 5; i++) {
        put_many(x, 20);
        simdisk_fail(x->on.disk, &fault);
        assert_errno(journal_flush(x->w), ENOSPC);
        assert_reads(x);
        simdisk_fail(x->on.disk, &fault);
        journal_add(x->w, slice_str("in vain"));
        journal_discard(x->w);
        assert_errno(journal_sync(x->w), ENOSPC);
        assert_reads(x);
    }
    assert_ok(journal_flush(x->w));
    assert_int_equal(assert_reads(x), 1);
}

/* ---- rows that nobody wrote ---- */

static void a_malformed_row_is_damage(void **state)
{
    struct fixture *x = *state;
    static const char *const rows[] = {"\x7f", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
                                       "\x02"};
    for (size_t i = 0; i < 3; i++) {
        struct buf bytes = {0}, row = {0}, frame = {0};
        struct codec_file cf;
        struct journal_reader *r;
        struct slice payload;
        start(x, 1);
        put(x, 100, false);
        assert_ok(journal_seal(x->w));
        assert_ok(journal_open(x->on.env, DIR, FILE_LOG, 3, uuid, &r));
        codec_file_init(&cf, journal_header(r));
        journal_reader_free(r);
        for (int j = 0; j < 100; j++)
            buf_put_lenbytes(&row, slice_str("good"));
        buf_append(&row, slice_str(rows[i]));
        frame_pack(buf_slice(&row), 1, &frame);
        bytes = save(x, PATH);
        frame_seal(&cf, bytes.len, frame.data, frame.len);
        buf_append(&bytes, buf_slice(&frame));
        uint64_t at = bytes.len - frame.len;
        load(x, PATH, &bytes);
        assert_ok(journal_open(x->on.env, DIR, FILE_LOG, 3, uuid, &r));
        for (int j = 0; j < 101; j++)
            assert_ok(journal_next(r, &payload));
        for (int again = 0; again < 2; again++) {
            assert_errno(journal_next(r, &payload), EIO);
            assert_true(journal_offset(r) == at);
        }
        assert_logged("malformed row");
        journal_reader_free(r);
        journal_writer_free(x->w);
        logtail_free(x->tail, true);
        x->w = NULL;
        x->tail = NULL;
        assert_ok(x->on.env->remove(x->on.env, PATH));
        buf_release(&x->records[--x->count]);
        buf_release(&row);
        buf_release(&frame);
    }
}

int main(void)
{
#define ROW_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        ROW_TEST(what_tail_held_becomes_a_row),
        ROW_TEST(not_of_few_bytes_nor_of_random_ones),
        ROW_TEST(the_level_changes_in_between),
        ROW_TEST(what_is_discarded_is_gone),
        ROW_TEST(tail_is_full),
        ROW_TEST(killed_before_tail_began_anew),
        ROW_TEST(a_row_as_long_as_some_frames_in_tail),
        ROW_TEST(killed_within_the_row),
        ROW_TEST(a_row_cannot_be_written),
        ROW_TEST(a_malformed_row_is_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
