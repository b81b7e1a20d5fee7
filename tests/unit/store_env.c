/* env: the contract of files, on the real system, on the simulated disk and in memory alike. What
 * each adds is tested in store_env_posix.c, store_fd_pool.c and store_simdisk*.c. */
#include "store/env.h"

#include <errno.h>

#include "tests/sim/simrng.h"
#include "tests/unit/env_place.h"

static void test_open_modes(void **state)
{
    struct place *p = *state;
    struct env *e = p->env;
    struct env_file *f = (struct env_file *)p;
    assert_errno(e->open(e, in(p, "a"), ENV_OPEN_READ, &f), ENOENT);
    assert_null(f);
    assert_errno(e->open(e, in(p, "a"), ENV_OPEN_WRITE, &f), ENOENT);
    file_make(e, in(p, "a"), "first");
    assert_errno(e->open(e, in(p, "a"), ENV_OPEN_CREATE, &f), EEXIST);
    assert_null(f);
    f = file_open(e, in(p, "a"), ENV_OPEN_WRITE);
    file_write(f, 5, " light");
    file_assert(f, "first light");
    f->ops->close(f);
    file_assert_at(e, in(p, "a"), "first light");
}

static void test_open_what_is_no_file(void **state)
{
    struct place *p = *state;
    struct env *e = p->env;
    struct env_file *f;
    uint64_t size;
    assert_ok(e->mkdir(e, in(p, "sub")));
    file_make(e, in(p, "a"), "");
    assert_errno(e->open(e, in(p, "sub"), ENV_OPEN_READ, &f), EISDIR);
    assert_errno(e->open(e, in(p, "sub"), ENV_OPEN_WRITE, &f), EISDIR);
    assert_errno(e->open(e, in(p, "sub"), ENV_OPEN_CREATE, &f), EEXIST);
    assert_errno(e->file_size(e, in(p, "sub"), &size), EISDIR);
    assert_errno(e->remove(e, in(p, "sub")), EISDIR);
    assert_errno(e->open(e, in(p, "a/b"), ENV_OPEN_READ, &f), ENOTDIR);
    assert_errno(e->open(e, in(p, "a/b"), ENV_OPEN_CREATE, &f), ENOTDIR);
    assert_errno(e->open(e, in(p, "none/b"), ENV_OPEN_CREATE, &f), ENOENT);
    assert_errno(e->file_size(e, in(p, "a/b"), &size), ENOTDIR);
}

static void test_read_at_the_end(void **state)
{
    struct place *p = *state;
    char data[16];
    size_t got = 99;
    file_make(p->env, in(p, "a"), "0123456789");
    struct env_file *f = file_open(p->env, in(p, "a"), ENV_OPEN_READ);
    assert_ok(f->ops->read(f, 3, data, 4, &got));
    assert_slice_str(slice_of(data, got), "3456");
    assert_ok(f->ops->read(f, 7, data, sizeof data, &got));
    assert_slice_str(slice_of(data, got), "789");
    assert_ok(f->ops->read(f, 10, data, sizeof data, &got));
    assert_int_equal(got, 0);
    static const uint64_t far[] = {11,        1 << 20,        INT64_MAX - 1,
                                   INT64_MAX, UINT64_MAX - 3, UINT64_MAX};
    for (size_t i = 0; i < sizeof far / sizeof far[0]; i++) {
        got = 99;
        assert_ok(f->ops->read(f, far[i], data, sizeof data, &got));
        assert_int_equal(got, 0);
    }
    f->ops->close(f);
}

static void test_holes_and_truncation(void **state)
{
    struct place *p = *state;
    struct env_file *f = file_open(p->env, in(p, "a"), ENV_OPEN_CREATE);
    uint8_t data[32];
    size_t got;
    uint64_t size;
    file_write(f, 100000, "end");
    assert_ok(f->ops->read(f, 99990, data, sizeof data, &got));
    assert_slice(slice_of(data, got), "\0\0\0\0\0\0\0\0\0\0end", 13);
    file_write(f, 0, "abcdef");
    assert_ok(f->ops->truncate(f, 3));
    file_assert(f, "abc");
    assert_ok(f->ops->truncate(f, 8)); /* what was cut off does not come back */
    assert_ok(f->ops->read(f, 0, data, sizeof data, &got));
    assert_slice(slice_of(data, got), "abc\0\0\0\0\0", 8);
    assert_ok(f->ops->truncate(f, UINT64_C(1) << 33));
    assert_ok(f->ops->size(f, &size));
    assert_int_equal(size, UINT64_C(1) << 33);
    assert_ok(f->ops->read(f, size - 4, data, sizeof data, &got));
    assert_slice(slice_of(data, got), "\0\0\0\0", 4);
    assert_ok(f->ops->truncate(f, 0));
    file_assert(f, "");
    f->ops->close(f);
}

static void test_too_far(void **state)
{
    struct place *p = *state;
    struct env_file *f = file_open(p->env, in(p, "a"), ENV_OPEN_CREATE);
    assert_errno(f->ops->write(f, INT64_MAX - 1, "xx", 2), EFBIG);
    assert_errno(f->ops->write(f, UINT64_MAX, "xx", 2), EFBIG);
    assert_errno(f->ops->truncate(f, UINT64_MAX), EFBIG);
    assert_errno(f->ops->allocate(f, INT64_MAX, 2), EFBIG);
    file_assert(f, "");
    f->ops->close(f);
}

/* Random writes and truncations against an array. */
static void test_like_an_array(void **state)
{
    enum { SIZE_MAX_BYTES = 200000, STEPS = 400 };
    struct place *p = *state;
    struct simrng rng = {unit_seed()};
    struct env_file *f = file_open(p->env, in(p, "a"), ENV_OPEN_CREATE);
    uint8_t *model = mem_zalloc(SIZE_MAX_BYTES), *data = mem_alloc(SIZE_MAX_BYTES);
    size_t size = 0, got;
    for (int step = 0; step < STEPS; step++) {
        size_t from = simrng_below(&rng, SIZE_MAX_BYTES), len = simrng_below(&rng, 20000);
        if (len > SIZE_MAX_BYTES - from)
            len = SIZE_MAX_BYTES - from;
        if (simrng_below(&rng, 8) == 0) {
            assert_ok(f->ops->truncate(f, from));
            memset(model + from, 0, SIZE_MAX_BYTES - from);
            size = from;
        } else {
            memset(model + from, (uint8_t)(step + 1), len);
            assert_ok(f->ops->write(f, from, model + from, len));
            if (len && from + len > size)
                size = from + len;
        }
        assert_ok(f->ops->read(f, 0, data, SIZE_MAX_BYTES, &got));
        assert_int_equal(got, size);
        assert_memory_equal(data, model, size);
    }
    f->ops->close(f);
    free(model);
    free(data);
}

static void test_read_only_handle(void **state)
{
    struct place *p = *state;
    file_make(p->env, in(p, "a"), "text");
    struct env_file *f = file_open(p->env, in(p, "a"), ENV_OPEN_READ);
    assert_errno(f->ops->write(f, 0, "x", 1), EBADF);
    assert_errno(f->ops->truncate(f, 0), EBADF);
    assert_errno(f->ops->allocate(f, 0, 4096), EBADF);
    assert_ok(f->ops->sync(f)); /* recovery syncs what it has only read */
    file_assert(f, "text");
    f->ops->close(f);
}

static void test_several_handles(void **state)
{
    struct place *p = *state;
    struct env_file *w = file_open(p->env, in(p, "a"), ENV_OPEN_CREATE);
    struct env_file *r = file_open(p->env, in(p, "a"), ENV_OPEN_READ);
    file_write(w, 0, "seen");
    file_assert(r, "seen");
    w->ops->close(w);
    file_assert(r, "seen");
    r->ops->close(r);
}

static void test_removed_while_open(void **state)
{
    struct place *p = *state;
    struct env *e = p->env;
    struct env_file *f = file_open(e, in(p, "a"), ENV_OPEN_CREATE);
    file_write(f, 0, "still");
    assert_ok(e->remove(e, in(p, "a")));
    assert_errno(e->remove(e, in(p, "a")), ENOENT);
    file_assert_none(e, in(p, "a"));
    file_make(e, in(p, "a"), "another");
    file_write(f, 5, " here");
    file_assert(f, "still here");
    assert_ok(f->ops->sync(f));
    f->ops->close(f);
    file_assert_at(e, in(p, "a"), "another");
}

static void test_allocate(void **state)
{
    struct place *p = *state;
    struct env_file *f = file_open(p->env, in(p, "a"), ENV_OPEN_CREATE);
    file_write(f, 0, "text");
    int err = f->ops->allocate(f, 0, 1 << 20);
    assert_true(err == 0 || err == -EOPNOTSUPP);
    assert_ok(f->ops->allocate(f, 0, 0));
    file_assert(f, "text");
    file_write(f, 4, " more");
    file_assert(f, "text more");
    f->ops->close(f);
}

/* A hole reads as zeros; size and neighbours stay. What a place can do it says behind the end, too.
 */
static void test_punch(void **state)
{
    enum { UNIT = ENV_PUNCH_UNIT, SIZE = 16 * UNIT + 100 };
    struct place *p = *state;
    static uint8_t data[SIZE], seen[SIZE];
    struct env_usage before, after;
    size_t got;
    uint64_t size;
    memset(data, 'x', sizeof data);
    struct env_file *f = file_open(p->env, in(p, "a"), ENV_OPEN_CREATE);
    assert_ok(f->ops->write(f, 0, data, SIZE));
    assert_ok(f->ops->sync(f));
    assert_ok(p->env->file_usage(p->env, in(p, "a"), &before));
    int can = f->ops->punch(f, (uint64_t)17 * UNIT, UNIT);
    assert_true(can == 0 || can == -EOPNOTSUPP);
    assert_int_equal(f->ops->punch(f, UNIT, (uint64_t)12 * UNIT), can);
    assert_ok(f->ops->punch(f, UNIT, 0));
    if (can == 0)
        memset(data + UNIT, 0, 12 * UNIT);
    assert_ok(f->ops->read(f, 0, seen, SIZE, &got));
    assert_int_equal(got, SIZE);
    assert_memory_equal(seen, data, SIZE);
    assert_ok(f->ops->size(f, &size));
    assert_int_equal(size, SIZE);
    assert_ok(f->ops->sync(f));
    assert_ok(p->env->file_usage(p->env, in(p, "a"), &after));
    assert_true(after.stored_bytes <= before.stored_bytes);
    assert_errno(f->ops->punch(f, 0, (uint64_t)1 << 63), EFBIG);
    f->ops->close(f);
    f = file_open(p->env, in(p, "a"), ENV_OPEN_READ);
    assert_errno(f->ops->punch(f, 0, UNIT), EBADF);
    f->ops->close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLACE_ALL(test_open_modes),
        PLACE_ALL(test_open_what_is_no_file),
        PLACE_ALL(test_read_at_the_end),
        PLACE_ALL(test_holes_and_truncation),
        PLACE_ALL(test_too_far),
        PLACE_ALL(test_like_an_array),
        PLACE_ALL(test_read_only_handle),
        PLACE_ALL(test_several_handles),
        PLACE_ALL(test_removed_while_open),
        PLACE_ALL(test_allocate),
        PLACE_ALL(test_punch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
