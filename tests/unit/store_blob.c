/* Tests of store/blob.h: a reference gives back the value it was made for, or an error that names
 * the file; never another value, whatever was damaged. */
#include "store/blob.h"

#include "tests/sim/simrng.h"
#include "tests/unit/on_disk.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#define PATH "vol/000005.blob"

static struct blob_writer *create(struct on_disk *x)
{
    struct blob_writer *w;
    assert_ok(blob_create(x->env, DIR, 5, uuid, &w));
    assert_int_equal(blob_number(w), 5);
    return w;
}

static struct blob_reader *open_blob(struct on_disk *x)
{
    struct blob_reader *r;
    assert_ok(blob_open(x->env, DIR, 5, uuid, &r));
    return r;
}

/* ---- values ---- */

enum { VALUES = 12, VALUE_MAX = 200 };

struct values {
    uint8_t data[VALUES][VALUE_MAX];
    size_t len[VALUES];
    struct blob_ref ref[VALUES];
};

static void value_fill(struct simrng *rng, uint8_t *out, size_t len)
{
    bool text = simrng_coin(rng); /* which zstd shrinks */
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)(text ? 'a' + i % 7 : simrng_next(rng));
}

static struct blob_ref add(struct blob_writer *w, struct slice value, int level)
{
    struct buf frame = {0};
    struct blob_ref ref;
    frame_pack(value, level, &frame);
    uint64_t at = blob_size(w) + blob_pending(w);
    blob_add(w, buf_slice(&frame), (uint32_t)value.len, &ref);
    assert_true(ref.file == blob_number(w));
    assert_true(ref.where.offset == at);
    assert_int_equal(ref.where.len, frame.len);
    assert_int_equal(ref.raw_len, value.len);
    assert_true(blob_size(w) + blob_pending(w) == at + frame.len);
    buf_release(&frame);
    return ref;
}

/* A file of small values, with an empty one. */
static void small_blob(struct on_disk *x, struct values *v, struct simrng *rng)
{
    struct blob_writer *w = create(x);
    for (size_t i = 0; i < VALUES; i++) {
        v->len[i] = i == 3 ? 0 : 1 + simrng_below(rng, VALUE_MAX);
        value_fill(rng, v->data[i], v->len[i]);
        v->ref[i] = add(w, slice_of(v->data[i], v->len[i]), 3);
        if (i % 4 == 3)
            assert_ok(blob_write(w));
    }
    assert_int_equal(blob_pending(w), 0);
    blob_writer_free(w);
}

static void assert_value(struct blob_reader *r, const struct blob_ref *ref, const void *data,
                         size_t len)
{
    uint8_t *value;
    struct buf frame = {0};
    assert_ok(blob_read(r, ref, &value));
    assert_non_null(value);
    assert_int_equal(ref->raw_len, len);
    assert_slice(slice_of(value, ref->raw_len), data, len);
    free(value);
    assert_ok(blob_probe(r, ref));
    assert_ok(blob_read_frame(r, ref, &frame));
    assert_int_equal(frame.len, ref->where.len);
    buf_release(&frame);
}

static void assert_no_value(struct blob_reader *r, const struct blob_ref *ref)
{
    uint8_t *value = (uint8_t *)r;
    struct buf frame = {0};
    logged_reset();
    assert_absent(blob_probe(r, ref));
    assert_int_equal(logged.count, 0);
    assert_errno(blob_read(r, ref, &value), EIO);
    assert_null(value);
    assert_logged(PATH " is damaged at offset");
    assert_errno(blob_read_frame(r, ref, &frame), EIO);
    assert_int_equal(frame.len, 0);
    assert_int_equal(logged.count, 2);
    buf_release(&frame);
}

static void values_come_back(void **state)
{
    struct on_disk *x = *state;
    struct simrng rng = {unit_seed()};
    enum { COUNT = 100 };
    static const size_t lens[] = {0, 1, 63, 64, 3 << 20};
    struct blob_ref refs[COUNT];
    struct buf values[COUNT] = {{0}};
    struct blob_writer *w = create(x);
    for (size_t i = 0; i < COUNT; i++) {
        size_t len = i < 5 ? lens[i] : simrng_below(&rng, 200000);
        value_fill(&rng, buf_reserve(&values[i], len), len);
        values[i].len = len;
        refs[i] = add(w, buf_slice(&values[i]), (int)simrng_below(&rng, 4));
        if (simrng_below(&rng, 5) == 0)
            assert_ok(blob_write(w));
    }
    assert_ok(blob_write(w));
    struct blob_reader *r = open_blob(x);
    uint64_t size;
    assert_ok(blob_reader_size(r, &size));
    assert_true(size == blob_size(w));
    for (size_t i = 0; i < COUNT; i++) {
        assert_value(r, &refs[i], values[i].data, values[i].len);
        buf_release(&values[i]);
    }
    assert_int_equal(logged.count, 0);
    blob_reader_free(r);
    blob_writer_free(w);
}

static void a_reader_sees_what_is_appended_later(void **state)
{
    struct on_disk *x = *state;
    struct blob_writer *w = create(x);
    struct blob_reader *r = open_blob(x);
    char text[32];
    for (int i = 0; i < 50; i++) {
        int len = snprintf(text, sizeof text, "value %d", i);
        struct blob_ref ref = add(w, slice_of(text, (size_t)len), 3);
        assert_no_value(r, &ref); /* not yet written */
        assert_ok(blob_write(w));
        assert_value(r, &ref, text, (size_t)len);
    }
    blob_reader_free(r);
    blob_writer_free(w);
}

static void discarded_values_take_no_place(void **state)
{
    struct on_disk *x = *state;
    struct blob_writer *w = create(x);
    struct blob_ref gone = add(w, slice_str("gone"), 0);
    blob_discard(w);
    assert_int_equal(blob_pending(w), 0);
    assert_ok(blob_write(w));
    assert_int_equal(blob_size(w), FILE_HEADER_SIZE);
    struct blob_ref kept = add(w, slice_str("kept"), 0);
    assert_true(kept.where.offset == gone.where.offset);
    assert_ok(blob_write(w));
    struct blob_reader *r = open_blob(x);
    assert_value(r, &kept, "kept", 4);
    blob_reader_free(r);
    blob_writer_free(w);
    blob_writer_free(NULL);
    blob_reader_free(NULL);
}

/* ---- damage ---- */

static void flip_every_bit(void **state)
{
    struct on_disk *x = *state;
    struct simrng rng = {unit_seed()};
    struct values v;
    small_blob(x, &v, &rng);
    struct blob_reader *r = open_blob(x);
    for (size_t i = 0; i < VALUES; i++) {
        uint64_t start = v.ref[i].where.offset;
        for (uint64_t bit = 0; bit < 8 * v.ref[i].where.len; bit++) {
            assert_ok(simdisk_flip(x->disk, PATH, start + bit / 8, (uint8_t)(1 << bit % 8)));
            assert_no_value(r, &v.ref[i]);
            assert_ok(simdisk_flip(x->disk, PATH, start + bit / 8, (uint8_t)(1 << bit % 8)));
        }
        assert_value(r, &v.ref[i], v.data[i], v.len[i]);
    }
    blob_reader_free(r);
}

static void cut_at_every_byte(void **state)
{
    struct on_disk *x = *state;
    struct simrng rng = {unit_seed()};
    struct values v;
    struct buf whole = {0};
    small_blob(x, &v, &rng);
    assert_ok(simdisk_get(x->disk, PATH, &whole));
    for (size_t len = 0; len <= whole.len; len++) {
        struct blob_reader *r;
        assert_ok(simdisk_put(x->disk, PATH, slice_of(whole.data, len)));
        if (len < FILE_HEADER_SIZE) {
            assert_errno(blob_open(x->env, DIR, 5, uuid, &r), EIO);
            assert_null(r);
            continue;
        }
        r = open_blob(x);
        for (size_t i = 0; i < VALUES; i++) {
            if (v.ref[i].where.offset + v.ref[i].where.len <= len)
                assert_value(r, &v.ref[i], v.data[i], v.len[i]);
            else
                assert_no_value(r, &v.ref[i]);
        }
        blob_reader_free(r);
    }
    buf_release(&whole);
}

static void damaged_references_find_nothing(void **state)
{
    struct on_disk *x = *state;
    struct simrng rng = {unit_seed()};
    struct values v;
    small_blob(x, &v, &rng);
    struct blob_reader *r = open_blob(x);
    for (size_t i = 0; i < VALUES; i++) {
        for (unsigned bit = 0; bit < 64; bit++) {
            struct blob_ref bad = v.ref[i];
            bad.where.offset ^= UINT64_C(1) << bit;
            assert_no_value(r, &bad);
        }
        for (unsigned bit = 0; bit < 32; bit++) {
            struct blob_ref bad = v.ref[i];
            bad.where.len ^= UINT32_C(1) << bit;
            assert_no_value(r, &bad);
            bad = v.ref[i];
            bad.raw_len ^= UINT32_C(1) << bit;
            assert_no_value(r, &bad);
        }
    }
    for (int i = 0; i < 5000; i++) {
        struct blob_ref bad = {
            .file = 5,
            .where = {simrng_next(&rng) >> simrng_below(&rng, 64),
                      (uint32_t)(simrng_next(&rng) >> (32 + simrng_below(&rng, 32)))},
            .raw_len = (uint32_t)simrng_next(&rng)};
        assert_no_value(r, &bad);
    }
    blob_reader_free(r);
}

/* Frames that changed places within the file, or came from another one. */
static void moved_frames_are_no_values(void **state)
{
    struct on_disk *x = *state;
    struct blob_writer *w = create(x), *other;
    assert_ok(blob_create(x->env, DIR, 6, uuid, &other));
    struct blob_ref a = add(w, slice_str("aaaa"), 0), b = add(w, slice_str("bbbb"), 0);
    struct blob_ref c = add(other, slice_str("cccc"), 0);
    assert_ok(blob_write(w));
    assert_ok(blob_write(other));
    blob_writer_free(w);
    blob_writer_free(other);
    struct buf bytes = {0}, foreign = {0};
    assert_ok(simdisk_get(x->disk, PATH, &bytes));
    assert_ok(simdisk_get(x->disk, "vol/000006.blob", &foreign));
    uint8_t *first = bytes.data + a.where.offset, *second = bytes.data + b.where.offset;
    uint8_t kept[64];
    memcpy(kept, first, a.where.len);
    memcpy(first, second, b.where.len);
    memcpy(second, kept, a.where.len);
    assert_ok(simdisk_put(x->disk, PATH, buf_slice(&bytes)));
    struct blob_reader *r = open_blob(x);
    assert_no_value(r, &a);
    assert_no_value(r, &b);
    blob_reader_free(r);
    assert_true(c.where.offset == a.where.offset);
    memcpy(first, foreign.data + c.where.offset, c.where.len);
    assert_ok(simdisk_put(x->disk, PATH, buf_slice(&bytes)));
    r = open_blob(x);
    assert_no_value(r, &a);
    blob_reader_free(r);
    assert_ok(simdisk_swap(x->disk, PATH, "vol/000006.blob"));
    assert_errno(blob_open(x->env, DIR, 5, uuid, &r), EIO);
    assert_logged("written as number 6");
    buf_release(&bytes);
    buf_release(&foreign);
}

static void a_value_that_does_not_decode_is_corruption(void **state)
{
    struct on_disk *x = *state;
    struct blob_writer *w = create(x);
    uint8_t zeros[1000] = {0}, *value;
    struct buf frame = {0};
    struct blob_ref ref;
    frame_pack(slice_of(zeros, sizeof zeros), 3, &frame);
    frame.data[8] = 99; /* a codec that there is not */
    blob_add(w, buf_slice(&frame), sizeof zeros, &ref);
    assert_ok(blob_write(w));
    struct blob_reader *r = open_blob(x);
    assert_ok(blob_probe(r, &ref));
    assert_errno(blob_read(r, &ref, &value), EIO);
    assert_null(value);
    assert_logged("codec 99");
    blob_reader_free(r);
    blob_writer_free(w);
    buf_release(&frame);
}

static void other_files_are_refused(void **state)
{
    struct on_disk *x = *state;
    static const uint8_t foreign[UUID_SIZE] = "another volume's";
    struct blob_reader *r;
    struct blob_writer *second, *w = create(x);
    assert_errno(blob_create(x->env, DIR, 5, uuid, &second), EEXIST);
    assert_null(second);
    blob_writer_free(w);
    assert_errno(blob_open(x->env, DIR, 6, uuid, &r), EIO);
    assert_logged("vol/000006.blob is damaged: the file is missing");
    assert_null(r);
    assert_errno(blob_open(x->env, DIR, 5, foreign, &r), EIO);
    assert_logged("another volume");
}

static void io_errors_pass_through(void **state)
{
    struct on_disk *x = *state;
    struct blob_writer *w = create(x);
    struct blob_ref ref = add(w, slice_str("value"), 0);
    uint8_t *value;
    struct buf frame = {0};
    assert_ok(blob_write(w));
    struct blob_reader *r = open_blob(x);
    struct sim_fault fault = {.call = SIM_READ, .err = -ESTALE};
    simdisk_fail(x->disk, &fault);
    assert_errno(blob_read(r, &ref, &value), ESTALE);
    assert_null(value);
    simdisk_fail(x->disk, &fault);
    assert_errno(blob_read_frame(r, &ref, &frame), ESTALE);
    simdisk_fail(x->disk, &fault);
    assert_errno(blob_probe(r, &ref), ESTALE);
    assert_value(r, &ref, "value", 5);
    buf_release(&frame);
    blob_reader_free(r);
    blob_writer_free(w);
}

/* ---- relocation ---- */

/* A frame moves to another file as it is: sealed again, not compressed again. */
static void frames_can_be_relocated(void **state)
{
    struct on_disk *x = *state;
    struct simrng rng = {unit_seed()};
    struct values v;
    struct blob_writer *w;
    small_blob(x, &v, &rng);
    struct blob_reader *r = open_blob(x), *moved;
    assert_ok(blob_create(x->env, DIR, 6, uuid, &w));
    add(w, slice_str("shifts the offsets"), 0);
    struct buf frame = {0}, again = {0};
    struct blob_ref refs[VALUES];
    for (size_t i = 0; i < VALUES; i++) {
        assert_ok(blob_read_frame(r, &v.ref[i], &frame));
        blob_add(w, buf_slice(&frame), v.ref[i].raw_len, &refs[i]);
    }
    assert_ok(blob_write(w));
    assert_ok(blob_open(x->env, DIR, 6, uuid, &moved));
    for (size_t i = 0; i < VALUES; i++) {
        assert_value(moved, &refs[i], v.data[i], v.len[i]);
        assert_ok(blob_read_frame(r, &v.ref[i], &frame));
        assert_ok(blob_read_frame(moved, &refs[i], &again));
        struct slice stored = frame_stored(buf_slice(&frame));
        assert_slice(frame_stored(buf_slice(&again)), stored.data, stored.len);
    }
    buf_release(&frame);
    buf_release(&again);
    blob_reader_free(r);
    blob_reader_free(moved);
    blob_writer_free(w);
}

/* ---- faults ---- */

static void fail_next(struct on_disk *x, enum sim_call call)
{
    struct sim_fault fault = {.call = call, .err = -ENOSPC};
    simdisk_fail(x->disk, &fault);
}

static void a_failed_write_leaves_nothing(void **state)
{
    struct on_disk *x = *state;
    struct blob_writer *w = create(x);
    struct blob_reader *r = open_blob(x);
    uint8_t value[3000];
    uint64_t size;
    for (int i = 0; i < 20; i++) {
        memset(value, i, sizeof value);
        struct blob_ref lost = add(w, slice_of(value, sizeof value), 0);
        add(w, slice_of(value, sizeof value), 0);
        uint64_t before = blob_size(w);
        fail_next(x, SIM_WRITE);
        assert_errno(blob_write(w), ENOSPC);
        assert_int_equal(blob_pending(w), 0);
        assert_true(blob_size(w) == before);
        assert_no_value(r, &lost);
        assert_ok(blob_reader_size(r, &size));
        assert_true(size == before);
        memset(value, 100 + i, sizeof value);
        struct blob_ref kept = add(w, slice_of(value, sizeof value), 0);
        assert_true(kept.where.offset == lost.where.offset);
        assert_ok(blob_write(w));
        assert_value(r, &kept, value, sizeof value);
    }
    blob_reader_free(r);
    blob_writer_free(w);
}

static void syncs_only_what_was_written(void **state)
{
    struct on_disk *x = *state;
    struct blob_writer *w = create(x);
    assert_ok(x->env->sync_dir(x->env, DIR));
    assert_ok(blob_sync(w));
    fail_next(x, SIM_SYNC);
    assert_ok(blob_sync(w)); /* nothing to do: the fault is not met */
    add(w, slice_str("value"), 0);
    assert_ok(blob_sync(w));
    assert_ok(blob_write(w));
    assert_errno(blob_sync(w), ENOSPC);
    assert_errno(blob_sync(w), EIO); /* it cannot be repaired by trying again */
    add(w, slice_str("value"), 0);
    assert_errno(blob_write(w), EIO);
    blob_writer_free(w);
}

static void synced_values_survive_a_power_cut(void **state)
{
    struct on_disk *x = *state;
    struct simrng rng = {unit_seed()};
    struct blob_writer *w = create(x);
    struct blob_ref refs[40];
    uint8_t value[1500] = {0};
    size_t synced = 0;
    assert_ok(x->env->sync_dir(x->env, ""));
    assert_ok(x->env->sync_dir(x->env, DIR));
    for (size_t i = 0; i < 40; i++) {
        memset(value, (int)i + 1, sizeof value);
        refs[i] = add(w, slice_of(value, sizeof value), 0);
        assert_ok(blob_write(w));
        if (i == 0 || simrng_below(&rng, 10) == 0) {
            assert_ok(blob_sync(w));
            synced = i + 1;
        }
    }
    simdisk_crash(x->disk, SIM_RANDOM, simrng_next(&rng));
    blob_writer_free(w);
    struct blob_reader *r = open_blob(x);
    for (size_t i = 0; i < 40; i++) {
        memset(value, (int)i + 1, sizeof value);
        int rc = blob_probe(r, &refs[i]);
        assert_true(rc == 0 || (rc == 1 && i >= synced));
        if (rc == 0)
            assert_value(r, &refs[i], value, sizeof value);
        else
            assert_no_value(r, &refs[i]);
    }
    blob_reader_free(r);
}

/* ---- threads: many read while one writes, on the real system ---- */

enum { READERS = 3, SHARED = 300 };

struct shared {
    struct blob_reader *reader;
    pthread_mutex_t lock;
    struct blob_ref refs[SHARED]; /* under the lock, the first `count` */
    size_t count;
    bool failed; /* under the lock */
};

static void shared_value(size_t i, uint8_t *out, size_t len)
{
    struct simrng rng = {i};
    value_fill(&rng, out, len);
}

static void *read_in_thread(void *arg)
{
    struct shared *s = arg;
    struct simrng rng = {(uintptr_t)&rng};
    uint8_t expected[5000];
    size_t count = 0;
    while (count < SHARED) {
        pthread_mutex_lock(&s->lock);
        count = s->count;
        size_t i = count ? simrng_below(&rng, count) : 0;
        struct blob_ref ref = s->refs[i];
        pthread_mutex_unlock(&s->lock);
        if (!count)
            continue;
        uint8_t *value;
        shared_value(i, expected, ref.raw_len);
        int err = blob_read(s->reader, &ref, &value);
        bool same = !err && memcmp(value, expected, ref.raw_len) == 0;
        free(value);
        pthread_mutex_lock(&s->lock);
        s->failed |= !same || blob_probe(s->reader, &ref) != 0;
        pthread_mutex_unlock(&s->lock);
    }
    return NULL;
}

static void write_shared(struct shared *s, struct blob_writer *w)
{
    uint8_t value[5000];
    for (size_t i = 0; i < SHARED; i++) {
        size_t len = (i * 37) % sizeof value;
        shared_value(i, value, len);
        struct blob_ref ref = add(w, slice_of(value, len), 3);
        assert_ok(blob_write(w));
        pthread_mutex_lock(&s->lock);
        s->refs[s->count++] = ref;
        pthread_mutex_unlock(&s->lock);
    }
}

static void many_read_while_one_writes(void **state)
{
    (void)state;
    char dir[] = "/tmp/varve-blob.XXXXXX";
    assert_non_null(mkdtemp(dir));
    struct env *env = env_posix();
    struct blob_writer *w;
    struct shared s = {.lock = PTHREAD_MUTEX_INITIALIZER};
    pthread_t threads[READERS];
    assert_ok(blob_create(env, dir, 5, uuid, &w));
    assert_ok(blob_open(env, dir, 5, uuid, &s.reader));
    for (int i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_in_thread, &s), 0);
    write_shared(&s, w);
    for (int i = 0; i < READERS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_false(s.failed);
    blob_reader_free(s.reader);
    blob_writer_free(w);
    char *path = name_file(dir, FILE_BLOB, 5);
    assert_ok(env->remove(env, path));
    assert_int_equal(rmdir(dir), 0);
    free(path);
}

#define test(name) cmocka_unit_test_setup_teardown(name, on_disk_setup, on_disk_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(values_come_back),
        test(a_reader_sees_what_is_appended_later),
        test(discarded_values_take_no_place),
        test(flip_every_bit),
        test(cut_at_every_byte),
        test(damaged_references_find_nothing),
        test(moved_frames_are_no_values),
        test(a_value_that_does_not_decode_is_corruption),
        test(other_files_are_refused),
        test(io_errors_pass_through),
        test(frames_can_be_relocated),
        test(a_failed_write_leaves_nothing),
        test(syncs_only_what_was_written),
        test(synced_values_survive_a_power_cut),
        cmocka_unit_test(many_read_while_one_writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
