/* simdisk: counting, capacity, handles, clones and tampering. What it shares with the real system
 * is tested in store_env*.c; the rest, in store_simdisk_*.c. */
#include "tests/sim/simdisk.h"

#include <errno.h>

#include "tests/unit/env_place.h"

static void put_text(struct place *p, const char *name, const char *text)
{
    assert_ok(simdisk_put(p->disk, in(p, name), slice_str(text)));
}

static void test_ops_are_changes(void **state)
{
    struct place *p = *state;
    struct env *e = p->env;
    uint64_t before = simdisk_ops(p->disk), size;
    struct env_file *f = file_open(e, in(p, "a"), ENV_OPEN_CREATE);
    file_write(f, 0, "text");
    assert_ok(f->ops->truncate(f, 2));
    assert_ok(f->ops->sync(f));
    assert_ok(e->sync_dir(e, p->folder));
    assert_ok(e->rename(e, in(p, "a"), in(p, "b")));
    assert_ok(e->remove(e, in(p, "b")));
    assert_ok(e->mkdir(e, in(p, "c")));
    assert_errno(e->mkdir(e, in(p, "c")), EEXIST);
    assert_int_equal(simdisk_ops(p->disk) - before, 9);
    file_assert(f, "te");
    assert_ok(f->ops->allocate(f, 0, 4096));
    assert_errno(e->file_size(e, in(p, "a"), &size), ENOENT);
    f->ops->close(f);
    assert_int_equal(simdisk_ops(p->disk) - before, 9);
}

static void test_capacity(void **state)
{
    enum { CHUNK = 4096, SIZE = 10 * CHUNK };
    struct place *p = *state;
    struct env_space s;
    uint64_t size;
    uint8_t data[SIZE] = {1};
    simdisk_set_capacity(p->disk, SIZE);
    struct env_file *f = file_open(p->env, in(p, "a"), ENV_OPEN_CREATE);
    assert_ok(f->ops->write(f, 0, data, 5 * CHUNK));
    assert_ok(p->env->space(p->env, p->folder, &s));
    assert_int_equal(s.total_bytes, SIZE);
    assert_int_equal(s.free_bytes, 5 * CHUNK);
    assert_errno(f->ops->write(f, 5 * CHUNK, data, 6 * CHUNK), ENOSPC);
    assert_ok(f->ops->size(f, &size));
    assert_int_equal(size, SIZE); /* as much as fits was written */
    assert_ok(f->ops->write(f, 0, data, SIZE));
    assert_errno(f->ops->write(f, SIZE, data, 1), ENOSPC);
    assert_ok(f->ops->truncate(f, 4 * CHUNK + 1));
    assert_int_equal(simdisk_used_bytes(p->disk), 5 * CHUNK);
    assert_errno(f->ops->allocate(f, 0, SIZE + 1), ENOSPC);
    assert_ok(f->ops->allocate(f, 0, SIZE));
    assert_int_equal(simdisk_used_bytes(p->disk), SIZE);
    file_make(p->env, in(p, "b"), "");
    struct env_file *b = file_open(p->env, in(p, "b"), ENV_OPEN_WRITE);
    assert_errno(b->ops->write(b, 0, data, 1), ENOSPC);
    assert_ok(f->ops->write(f, SIZE - 1, data, 1)); /* into what it has reserved */
    assert_ok(p->env->remove(p->env, in(p, "a")));
    assert_errno(b->ops->write(b, 0, data, 1), ENOSPC); /* still open */
    f->ops->close(f);
    assert_ok(b->ops->write(b, 0, data, SIZE));
    b->ops->close(b);
}

/* A hole gives its units back; after a power cut it is there, not there, or in part, and nothing
 * else is changed. */
static void test_holes(void **state)
{
    enum { UNITS = 8 };
    struct place *p = *state;
    uint8_t data[UNITS * ENV_PUNCH_UNIT];
    memset(data, 7, sizeof data);
    struct env_file *f = file_open(p->env, in(p, "a"), ENV_OPEN_CREATE);
    assert_ok(f->ops->write(f, 0, data, sizeof data));
    assert_ok(f->ops->sync(f));
    assert_ok(p->env->sync_dir(p->env, p->folder));
    assert_ok(p->env->sync_dir(p->env, "/"));
    uint64_t used = simdisk_used_bytes(p->disk);
    assert_ok(f->ops->punch(f, ENV_PUNCH_UNIT, 6 * ENV_PUNCH_UNIT));
    assert_int_equal(simdisk_used_bytes(p->disk), used - 6 * ENV_PUNCH_UNIT);
    assert_ok(f->ops->write(f, 2 * ENV_PUNCH_UNIT, data, 1));
    assert_int_equal(simdisk_used_bytes(p->disk), used - 5 * ENV_PUNCH_UNIT);
    f->ops->close(f);
    bool none = false, part = false, whole = false;
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct simdisk *after = simdisk_clone(p->disk);
        struct buf found = {0};
        int holes = 0;
        simdisk_crash(after, SIM_RANDOM, seed);
        assert_ok(simdisk_get(after, in(p, "a"), &found));
        assert_int_equal(found.len, sizeof data);
        for (int unit = 0; unit < UNITS; unit++) {
            const uint8_t *bytes = found.data + unit * ENV_PUNCH_UNIT;
            holes += bytes[100] == 0;
            assert_true(bytes[100] == 7 || (unit >= 1 && unit <= 6));
            assert_memory_equal(bytes + 100, bytes + 101, ENV_PUNCH_UNIT - 101);
        }
        none |= holes == 0;
        part |= holes > 0 && holes < 6;
        whole |= holes == 6;
        buf_release(&found);
        simdisk_free(after);
    }
    assert_true(none && part && whole);
}

static void test_handles_are_counted(void **state)
{
    struct place *p = *state;
    struct env_lock *lock;
    file_make(p->env, in(p, "a"), "text");
    assert_int_equal(simdisk_open_files(p->disk), 0);
    struct env_file *f = file_open(p->env, in(p, "a"), ENV_OPEN_READ);
    struct env_file *g = file_open(p->env, in(p, "a"), ENV_OPEN_WRITE);
    assert_ok(p->env->lock(p->env, in(p, "LOCK"), &lock));
    assert_int_equal(simdisk_open_files(p->disk), 2);
    assert_int_equal(simdisk_locks(p->disk), 1);
    g->ops->close(g);
    assert_int_equal(simdisk_open_files(p->disk), 1);
    struct simdisk *copy = simdisk_clone(p->disk); /* as a new process */
    assert_int_equal(simdisk_open_files(copy) + simdisk_locks(copy), 0);
    simdisk_free(copy);
    p->env->unlock(p->env, lock);
    f->ops->close(f);
}

/* A disk takes along what nobody closed. */
static void test_free_with_open_handles(void **state)
{
    (void)state;
    struct simdisk *d = simdisk_new(0);
    struct env *e = simdisk_env(d);
    struct env_lock *lock;
    struct env_file *f = file_open(e, "a", ENV_OPEN_CREATE);
    file_write(f, 0, "text");
    assert_ok(e->remove(e, "/a"));
    assert_ok(e->lock(e, "./LOCK", &lock));
    simdisk_free(d);
    simdisk_free(NULL);
}

static void test_clones_are_apart(void **state)
{
    struct place *p = *state;
    struct env_file *f = file_open(p->env, in(p, "a"), ENV_OPEN_CREATE);
    file_write(f, 0, "one");
    struct simdisk *copy = simdisk_clone(p->disk);
    struct env *e = simdisk_env(copy);
    assert_int_equal(simdisk_digest(copy), simdisk_digest(p->disk));
    assert_int_equal(e->monotonic_ns(e), p->env->monotonic_ns(p->env));
    file_write(f, 3, " here");
    struct env_file *g = file_open(e, in(p, "a"), ENV_OPEN_WRITE);
    file_write(g, 3, " there");
    file_make(e, in(p, "b"), "");
    file_assert_at(p->env, in(p, "a"), "one here");
    file_assert_none(p->env, in(p, "b"));
    file_assert(g, "one there");
    assert_int_not_equal(simdisk_digest(copy), simdisk_digest(p->disk));
    assert_ok(f->ops->sync(f));
    assert_ok(p->env->sync_dir(p->env, p->folder));
    assert_true(simdisk_is_durable(copy, in(p, "b")) == false);
    g->ops->close(g);
    f->ops->close(f);
    simdisk_assert_valid(copy);
    simdisk_free(copy);
}

static void test_durable(void **state)
{
    struct place *p = *state;
    file_make(p->env, in(p, "a"), "text");
    assert_false(simdisk_is_durable(p->disk, in(p, "a")));
    file_sync(p->env, in(p, "a"));
    assert_false(simdisk_is_durable(p->disk, in(p, "a")));
    assert_ok(p->env->sync_dir(p->env, p->folder));
    assert_false(simdisk_is_durable(p->disk, in(p, "a"))); /* the folder is not */
    assert_ok(p->env->sync_dir(p->env, "/"));
    assert_true(simdisk_is_durable(p->disk, in(p, "a")));
    struct env_file *f = file_open(p->env, in(p, "a"), ENV_OPEN_WRITE);
    file_write(f, 0, "more");
    assert_false(simdisk_is_durable(p->disk, in(p, "a")));
    assert_ok(f->ops->sync(f));
    f->ops->close(f);
    assert_true(simdisk_is_durable(p->disk, in(p, "a")));
    assert_ok(p->env->rename(p->env, in(p, "a"), in(p, "b"))); /* there and back: it may be at b */
    assert_ok(p->env->rename(p->env, in(p, "b"), in(p, "a")));
    assert_false(simdisk_is_durable(p->disk, in(p, "a")));
    assert_ok(p->env->sync_dir(p->env, p->folder));
    assert_ok(p->env->rename(p->env, in(p, "a"), in(p, "b")));
    assert_false(simdisk_is_durable(p->disk, in(p, "b")));
    assert_false(simdisk_is_durable(p->disk, in(p, "a")));
}

static int append_path(void *ctx, const char *path)
{
    buf_append(ctx, slice_str(path));
    buf_append_bytes(ctx, " ", 1);
    return 0;
}

static void test_tampering(void **state)
{
    struct place *p = *state;
    struct buf b = {0};
    uint64_t ops = simdisk_ops(p->disk);
    put_text(p, "b", "right");
    put_text(p, "a", "left");
    assert_ok(simdisk_flip(p->disk, in(p, "a"), 0, 'l' ^ 'c'));
    file_assert_at(p->env, in(p, "a"), "ceft");
    assert_errno(simdisk_flip(p->disk, in(p, "a"), 4, 1), ERANGE);
    assert_errno(simdisk_flip(p->disk, in(p, "none"), 4, 1), ENOENT);
    assert_errno(simdisk_put(p->disk, in(p, "none/a"), slice_str("")), ENOENT);
    assert_errno(simdisk_put(p->disk, p->folder, slice_str("")), EISDIR);
    assert_ok(simdisk_swap(p->disk, in(p, "a"), in(p, "b")));
    file_assert_at(p->env, in(p, "b"), "ceft");
    assert_ok(simdisk_truncate(p->disk, in(p, "a"), 2));
    assert_ok(simdisk_get(p->disk, in(p, "a"), &b));
    assert_slice_str(buf_slice(&b), "ri");
    put_text(p, "b", "");
    file_assert_at(p->env, in(p, "b"), "");
    assert_int_equal(simdisk_ops(p->disk), ops);
    buf_clear(&b);
    assert_ok(simdisk_files(p->disk, append_path, &b));
    assert_slice_str(buf_slice(&b), "/vol/a /vol/b ");
    assert_ok(p->env->sync_dir(p->env, "/"));
    simdisk_crash(p->disk, SIM_KEEP_SYNCED, 0);
    file_assert_at(p->env, in(p, "a"), "ri");
    buf_release(&b);
}

static void test_clock_and_threads(void **state)
{
    struct place *p = *state;
    struct env_thread *t = (struct env_thread *)p;
    uint64_t before = p->env->monotonic_ns(p->env);
    simdisk_advance(p->disk, UINT64_C(3600) * 1000000000);
    uint64_t after = p->env->monotonic_ns(p->env);
    assert_true(after > before + UINT64_C(3600) * 1000000000);
    assert_true(after < before + UINT64_C(3601) * 1000000000);
    assert_errno(p->env->thread_start(p->env, NULL, NULL, &t), ENOSYS);
    assert_null(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLACE_SIM(test_ops_are_changes),
        PLACE_SIM(test_capacity),
        PLACE_SIM(test_holes),
        PLACE_SIM(test_handles_are_counted),
        cmocka_unit_test(test_free_with_open_handles),
        PLACE_SIM(test_clones_are_apart),
        PLACE_SIM(test_durable),
        PLACE_SIM(test_tampering),
        PLACE_SIM(test_clock_and_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
