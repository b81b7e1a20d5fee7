/* Copying from file to file: against plain bytes, in random places; holes stay holes; errors. */
#include "tests/unit/vol.h"

#include "tests/sim/simrng.h"

#define ROOT FS_INO_ROOT
enum { C = 16 << 10, SIZE_MAX_ = 12 * C };

/* ---- against a model ---- */

struct plain {
    uint8_t bytes[SIZE_MAX_];
    uint64_t size;
    uint64_t ino;
};

static void put(struct plain *p, uint64_t at, const void *data, size_t len)
{
    memcpy(p->bytes + at, data, len);
    if (len && at + len > p->size)
        p->size = at + len;
}

static void assert_same(struct vol *v, const struct plain *p)
{
    uint8_t *data = malloc(SIZE_MAX_ + 1);
    size_t got;
    assert_ok(fs_read(v->fs, p->ino, 0, data, SIZE_MAX_ + 1, &got));
    assert_int_equal(got, p->size);
    for (size_t i = 0; i < got; i++)
        if (data[i] != p->bytes[i])
            fail_msg("byte %zu is %#x instead of %#x", i, data[i], p->bytes[i]);
    free(data);
}

static uint64_t place(struct simrng *r)
{
    uint64_t at = simrng_below(r, SIZE_MAX_);
    return simrng_coin(r) ? at : at / C * C;
}

static void random_write(struct vol *v, struct plain *p, struct simrng *r)
{
    uint64_t at = place(r), len = 1 + simrng_below(r, 2 * C);
    if (len > SIZE_MAX_ - at)
        len = SIZE_MAX_ - at;
    uint8_t *data = malloc(len);
    memset(data, (int)(1 + simrng_below(r, 255)), len);
    assert_ok(fs_write(v->fs, p->ino, at, data, len));
    put(p, at, data, len);
    free(data);
}

static void random_hole(struct vol *v, struct plain *p, struct simrng *r)
{
    uint64_t at = place(r), len = 1 + simrng_below(r, 4 * C);
    assert_ok(
        fs_fallocate(v->fs, p->ino, FS_FALLOCATE_KEEP_SIZE | FS_FALLOCATE_PUNCH_HOLE, at, len));
    for (uint64_t i = at; i < at + len && i < p->size; i++)
        p->bytes[i] = 0;
}

static void random_copy(struct vol *v, const struct plain *from, struct plain *to, struct simrng *r)
{
    uint64_t at = place(r), to_at = place(r), len = simrng_below(r, 6 * C), copied = 77;
    if (simrng_below(r, 3) == 0)
        to_at = at; /* the most common */
    if (len > SIZE_MAX_ - to_at)
        len = SIZE_MAX_ - to_at;
    if (from == to && at < to_at + len && to_at < at + len) {
        assert_errno(fs_copy(v->fs, from->ino, at, to->ino, to_at, len, &copied), EINVAL);
        assert_int_equal(copied, 0);
        return;
    }
    uint64_t expected = at >= from->size ? 0 : from->size - at < len ? from->size - at : len;
    assert_ok(fs_copy(v->fs, from->ino, at, to->ino, to_at, len, &copied));
    assert_int_equal(copied, expected);
    put(to, to_at, from->bytes + (at < SIZE_MAX_ ? at : 0), expected);
}

static void test_random(void **state)
{
    (void)state;
    struct simrng r = {unit_seed()};
    for (int round = 0; round < 20; round++) {
        struct vol v;
        struct plain *p = calloc(2, sizeof *p);
        vol_make(&v, C);
        for (int i = 0; i < 2; i++)
            p[i].ino = vol_file(&v, ROOT, i ? "b" : "a");
        for (int i = 0; i < 100; i++) {
            struct plain *one = &p[simrng_below(&r, 2)], *other = &p[simrng_below(&r, 2)];
            if (simrng_below(&r, 3) == 0)
                random_write(&v, one, &r);
            else if (simrng_below(&r, 3) == 0)
                random_hole(&v, one, &r);
            else
                random_copy(&v, one, other, &r);
            if (i % 10 == 0)
                assert_true(fs_work(v.fs) >= 0);
            assert_same(&v, one);
            assert_same(&v, other);
        }
        vol_free(&v); /* the verifier counts the chunks */
        free(p);
    }
}

/* ---- holes ---- */

static void test_holes_stay_holes(void **state)
{
    (void)state;
    struct vol v;
    struct fs_attr a, want = {.size = UINT64_C(1) << 40};
    uint64_t copied, found;
    vol_make(&v, C);
    uint64_t from = vol_text(&v, ROOT, "from", "begins"), to = vol_file(&v, ROOT, "to");
    assert_ok(fs_write(v.fs, from, UINT64_C(1) << 35, "middle", 6));
    assert_ok(fs_setattr(v.fs, from, FS_SET_SIZE, &want, &a));
    assert_ok(fs_write(v.fs, to, UINT64_C(1) << 30, "goes", 4));
    assert_ok(fs_copy(v.fs, from, 0, to, 0, INT64_MAX, &copied));
    assert_true(copied == UINT64_C(1) << 40);
    a = vol_attr(&v, to);
    assert_true(a.size == UINT64_C(1) << 40);
    assert_int_equal(a.blocks, 2 * C / 512);
    assert_ok(fs_seek_data(v.fs, to, C, &found));
    assert_true(found == UINT64_C(1) << 35);
    vol_free(&v);
}

/* ---- much ---- */

static void test_more_than_a_step(void **state)
{
    (void)state;
    enum { LEN = (9 << 20) + 4321 };
    struct vol v;
    uint64_t copied, len = 0;
    size_t got;
    vol_make(&v, 128 << 10);
    uint64_t from = vol_file(&v, ROOT, "from"), to = vol_file(&v, ROOT, "to");
    uint8_t *data = malloc(LEN), *back = malloc(LEN);
    for (size_t i = 0; i < LEN; i++)
        data[i] = (uint8_t)(i / 1000 + i);
    assert_ok(fs_write(v.fs, from, 0, data, LEN));
    for (uint64_t done = 0; done < LEN - 5; done += copied) {
        assert_ok(fs_copy(v.fs, from, 5 + done, to, 777 + done, LEN - 5 - done, &copied));
        assert_true(copied > 0);
        len += copied;
    }
    assert_int_equal(len, LEN - 5);
    assert_ok(fs_read(v.fs, to, 777, back, LEN, &got));
    assert_int_equal(got, LEN - 5);
    assert_memory_equal(back, data + 5, LEN - 5);
    free(data);
    free(back);
    vol_free(&v);
}

static void test_from_a_snapshot(void **state)
{
    (void)state;
    struct vol v;
    uint64_t copied;
    vol_make(&v, C);
    uint64_t f = vol_text(&v, ROOT, "f", "as it was");
    assert_ok(fs_snapshot_create(v.fs, "s"));
    assert_ok(fs_write(v.fs, f, 0, "as it is now", 12));
    uint64_t old = vol_find(&v, vol_find(&v, FS_INO_SNAPSHOTS, "s"), "f");
    uint64_t g = vol_file(&v, ROOT, "g");
    assert_ok(fs_copy(v.fs, old, 0, g, 0, 100, &copied));
    assert_int_equal(copied, 9);
    vol_assert_text(&v, g, "as it was");
    assert_errno(fs_copy(v.fs, f, 0, old, 0, 3, &copied), EROFS);
    vol_free(&v);
}

static void test_times_and_errors(void **state)
{
    (void)state;
    struct vol v;
    struct fs_attr fifo;
    uint64_t copied;
    const uint64_t max = (uint64_t)FS_FILE_SIZE_MAX;
    vol_make(&v, C);
    uint64_t f = vol_text(&v, ROOT, "f", "0123456789"), g = vol_text(&v, ROOT, "g", "abcdef"),
             dir = vol_mkdir(&v, ROOT, "dir");
    assert_ok(fs_mknod(v.fs, ROOT, "fifo", S_IFIFO | 0644, 0, &vol_cred, &fifo));
    struct fs_attr from = vol_attr(&v, f), to = vol_attr(&v, g);
    assert_ok(fs_copy(v.fs, f, 8, g, 3, 100, &copied));
    assert_int_equal(copied, 2);
    vol_assert_text(&v, g, "abc89f");
    struct fs_attr from2 = vol_attr(&v, f), to2 = vol_attr(&v, g);
    assert_true(vol_same_attr(&from, &from2));
    assert_true(vol_ns(to2.mtime) > vol_ns(to.mtime) && vol_same_time(to2.mtime, to2.ctime));
    assert_ok(fs_copy(v.fs, f, 10, g, 0, 100, &copied));
    assert_int_equal(copied, 0);
    assert_ok(fs_copy(v.fs, f, 0, g, 0, 0, &copied));
    assert_ok(fs_copy(v.fs, f, 0, f, 5, 5, &copied));
    vol_assert_text(&v, f, "0123401234");
    assert_errno(fs_copy(v.fs, f, 0, f, 4, 5, &copied), EINVAL);
    assert_ok(fs_copy(v.fs, g, 0, g, 50, 50, &copied)); /* it does not follow its own growth */
    assert_int_equal(copied, 6);
    assert_int_equal(vol_attr(&v, g).size, 56);
    assert_errno(fs_copy(v.fs, f, 0, g, max - 3, 4, &copied), EFBIG);
    assert_errno(fs_copy(v.fs, f, max, g, 0, 1, &copied), EINVAL);
    assert_errno(fs_copy(v.fs, dir, 0, g, 0, 1, &copied), EISDIR);
    assert_errno(fs_copy(v.fs, f, 0, dir, 0, 1, &copied), EISDIR);
    assert_errno(fs_copy(v.fs, fifo.ino, 0, g, 0, 1, &copied), EINVAL);
    assert_errno(fs_copy(v.fs, f, 0, fifo.ino, 0, 1, &copied), EINVAL);
    assert_errno(fs_copy(v.fs, 999, 0, g, 0, 1, &copied), ENOENT);
    assert_errno(fs_copy(v.fs, f, 0, 999, 0, 1, &copied), ENOENT);
    assert_errno(fs_copy(v.fs, FS_INO_SNAPSHOTS, 0, g, 0, 1, &copied), EISDIR);
    assert_errno(fs_copy(v.fs, f, 0, FS_INO_SNAPSHOTS, 0, 1, &copied), EPERM);
    vol_free(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),           cmocka_unit_test(test_holes_stay_holes),
        cmocka_unit_test(test_more_than_a_step), cmocka_unit_test(test_from_a_snapshot),
        cmocka_unit_test(test_times_and_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
