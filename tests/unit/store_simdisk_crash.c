/* simdisk: what the three kinds of crash leave of files and names, and that seeds decide it.
 * Contents after a random crash are tested in store_simdisk_random.c, cuts in store_simdisk_cut.c.
 */
#include <errno.h>

#include "tests/sim/simdisk.h"
#include "tests/unit/env_place.h"

enum { SEEDS = 600 };

static void sync_all_names(struct place *p)
{
    assert_ok(p->env->sync_dir(p->env, "/"));
    assert_ok(p->env->sync_dir(p->env, p->folder));
}

/* A durable file. */
static void keep(struct place *p, const char *name, const char *text)
{
    file_make(p->env, in(p, name), text);
    file_sync(p->env, in(p, name));
    sync_all_names(p);
}

static void crash(struct place *p, enum sim_crash mode, uint64_t seed)
{
    simdisk_crash(p->disk, mode, seed);
    simdisk_assert_valid(p->disk);
}

static bool exists(struct env *e, const char *path)
{
    uint64_t size;
    return e->file_size(e, path, &size) == 0;
}

static void change_everything(struct place *p)
{
    keep(p, "written", "old");
    keep(p, "cut", "long text");
    keep(p, "removed", "old");
    keep(p, "renamed", "old");
    file_make(p->env, in(p, "empty"), "contents were not synced");
    sync_all_names(p);
    struct env_file *f = file_open(p->env, in(p, "written"), ENV_OPEN_WRITE);
    file_write(f, 0, "new and longer");
    f->ops->close(f);
    f = file_open(p->env, in(p, "cut"), ENV_OPEN_WRITE);
    assert_ok(f->ops->truncate(f, 4));
    f->ops->close(f);
    file_make(p->env, in(p, "made"), "name was not synced");
    file_sync(p->env, in(p, "made"));
    assert_ok(p->env->remove(p->env, in(p, "removed")));
    assert_ok(p->env->rename(p->env, in(p, "renamed"), in(p, "moved")));
    simdisk_assert_valid(p->disk);
}

static void test_keep_synced(void **state)
{
    struct place *p = *state;
    change_everything(p);
    crash(p, SIM_KEEP_SYNCED, 0);
    file_assert_at(p->env, in(p, "written"), "old");
    file_assert_at(p->env, in(p, "cut"), "long text");
    file_assert_at(p->env, in(p, "removed"), "old");
    file_assert_at(p->env, in(p, "renamed"), "old");
    file_assert_at(p->env, in(p, "empty"), "");
    file_assert_none(p->env, in(p, "made"));
    file_assert_none(p->env, in(p, "moved"));
}

static void test_keep_all(void **state)
{
    struct place *p = *state;
    change_everything(p);
    uint64_t digest = simdisk_digest(p->disk);
    crash(p, SIM_KEEP_ALL, 0);
    assert_int_equal(simdisk_digest(p->disk), digest);
    crash(p, SIM_KEEP_SYNCED, 0); /* what survived a crash is durable */
    assert_int_equal(simdisk_digest(p->disk), digest);
    file_assert_at(p->env, in(p, "written"), "new and longer");
    file_assert_at(p->env, in(p, "moved"), "old");
    file_assert_none(p->env, in(p, "removed"));
}

static void test_all_synced_survives_anything(void **state)
{
    struct place *p = *state;
    change_everything(p);
    file_sync(p->env, in(p, "written"));
    file_sync(p->env, in(p, "cut"));
    file_sync(p->env, in(p, "empty"));
    sync_all_names(p);
    uint64_t digest = simdisk_digest(p->disk);
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct simdisk *copy = simdisk_clone(p->disk);
        simdisk_crash(copy, SIM_RANDOM, seed);
        assert_int_equal(simdisk_digest(copy), digest);
        simdisk_free(copy);
    }
}

/* Contents belong to the file, names each to themselves. */
static void test_links(void **state)
{
    struct place *p = *state;
    struct env *e = p->env;
    bool seen[2][2] = {{false}};
    keep(p, "a", "old");
    assert_ok(e->link(e, in(p, "a"), in(p, "b")));
    assert_false(simdisk_is_durable(p->disk, in(p, "b")));
    assert_true(simdisk_is_durable(p->disk, in(p, "a")));
    struct simdisk *copy = simdisk_clone(p->disk);
    simdisk_crash(copy, SIM_KEEP_SYNCED, 0);
    file_assert_none(simdisk_env(copy), in(p, "b"));
    simdisk_free(copy);
    struct env_file *f = file_open(e, in(p, "b"), ENV_OPEN_WRITE);
    file_write(f, 0, "NEW");
    assert_ok(f->ops->sync(f));
    f->ops->close(f);
    assert_int_equal(simdisk_used_bytes(p->disk), 4096); /* once, whatever its names are */
    assert_ok(e->remove(e, in(p, "a")));
    for (uint64_t seed = 0; seed < 100; seed++) {
        copy = simdisk_clone(p->disk);
        simdisk_crash(copy, SIM_RANDOM, seed);
        simdisk_assert_valid(copy);
        struct env *then = simdisk_env(copy);
        bool a = exists(then, in(p, "a")), b = exists(then, in(p, "b"));
        seen[a][b] = true;
        if (a)
            file_assert_at(then, in(p, "a"), "NEW");
        if (b)
            file_assert_at(then, in(p, "b"), "NEW");
        simdisk_free(copy);
    }
    assert_true(seen[0][1] && seen[1][0] && seen[1][1] && seen[0][0]);
    sync_all_names(p);
    crash(p, SIM_KEEP_SYNCED, 0);
    file_assert_none(e, in(p, "a"));
    file_assert_at(e, in(p, "b"), "NEW");
}

static void test_handles_die(void **state)
{
    struct place *p = *state;
    struct env_file *f = file_open(p->env, in(p, "a"), ENV_OPEN_CREATE);
    struct env_lock *old, *fresh;
    uint64_t size;
    size_t got;
    char byte;
    assert_ok(p->env->lock(p->env, in(p, "LOCK"), &old));
    crash(p, SIM_KEEP_ALL, 0);
    assert_int_equal(simdisk_open_files(p->disk) + simdisk_locks(p->disk), 0);
    assert_errno(f->ops->read(f, 0, &byte, 1, &got), EIO);
    assert_errno(f->ops->write(f, 0, "x", 1), EIO);
    assert_errno(f->ops->sync(f), EIO);
    assert_errno(f->ops->truncate(f, 0), EIO);
    assert_errno(f->ops->size(f, &size), EIO);
    assert_ok(p->env->lock(p->env, in(p, "LOCK"), &fresh));
    f->ops->close(f);
    p->env->unlock(p->env, old);
    assert_int_equal(simdisk_locks(p->disk), 1);
    p->env->unlock(p->env, fresh);
}

static void test_names_go_with_their_folder(void **state)
{
    struct place *p = *state;
    sync_all_names(p);
    assert_ok(p->env->mkdir(p->env, in(p, "sub")));
    file_make(p->env, in(p, "sub/a"), "text");
    file_sync(p->env, in(p, "sub/a"));
    assert_ok(p->env->mkdir(p->env, in(p, "sub/sub")));
    file_make(p->env, in(p, "sub/sub/b"), "text");
    assert_ok(p->env->sync_dir(p->env, in(p, "sub/sub"))); /* durable before its folder */
    assert_ok(p->env->sync_dir(p->env, in(p, "sub")));
    struct simdisk *copy = simdisk_clone(p->disk);
    simdisk_crash(copy, SIM_KEEP_SYNCED, 0);
    simdisk_assert_valid(copy);
    assert_ok(simdisk_env(copy)->mkdir(simdisk_env(copy), in(p, "sub")));
    assert_false(exists(simdisk_env(copy), in(p, "sub/a")));
    assert_ok(simdisk_env(copy)->mkdir(simdisk_env(copy), in(p, "sub/sub")));
    assert_false(exists(simdisk_env(copy), in(p, "sub/sub/b")));
    simdisk_free(copy);
    assert_ok(p->env->sync_dir(p->env, p->folder));
    crash(p, SIM_KEEP_SYNCED, 0);
    file_assert_at(p->env, in(p, "sub/a"), "text");
}

/* Syncing the folder that a file was moved to takes along the other half, and what came before. */
static void test_sync_dir_and_moves(void **state)
{
    struct place *p = *state;
    assert_ok(p->env->mkdir(p->env, in(p, "sub")));
    keep(p, "kept", "");
    file_make(p->env, in(p, "a"), "");
    file_make(p->env, in(p, "unrelated"), "");
    assert_ok(p->env->rename(p->env, in(p, "a"), in(p, "sub/a")));
    assert_ok(p->env->rename(p->env, in(p, "kept"), in(p, "sub/kept")));
    assert_ok(p->env->sync_dir(p->env, in(p, "sub")));
    simdisk_assert_valid(p->disk);
    crash(p, SIM_KEEP_SYNCED, 0);
    assert_true(exists(p->env, in(p, "sub/a")) && exists(p->env, in(p, "sub/kept")));
    assert_false(exists(p->env, in(p, "a")) || exists(p->env, in(p, "kept")));
    assert_false(exists(p->env, in(p, "unrelated")));
}

/* A file that is renamed is always under one name, and the one it replaces is there until then. */
static void test_random_renames(void **state)
{
    static const char *const names[] = {"a", "b", "c"};
    struct place *p = *state;
    int seen[3] = {0}, old = 0;
    keep(p, "a", "A");
    keep(p, "CURRENT", "old");
    file_make(p->env, in(p, "temporary"), "new");
    file_sync(p->env, in(p, "temporary"));
    assert_ok(p->env->rename(p->env, in(p, "temporary"), in(p, "CURRENT")));
    assert_ok(p->env->rename(p->env, in(p, "a"), in(p, "b")));
    assert_ok(p->env->rename(p->env, in(p, "b"), in(p, "c")));
    struct buf b = {0};
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct simdisk *copy = simdisk_clone(p->disk);
        simdisk_crash(copy, SIM_RANDOM, seed);
        simdisk_assert_valid(copy);
        int count = 0;
        for (int i = 0; i < 3; i++)
            if (exists(simdisk_env(copy), in(p, names[i]))) {
                seen[i]++;
                count++;
            }
        assert_int_equal(count, 1);
        assert_ok(simdisk_get(copy, in(p, "CURRENT"), &b));
        bool is_old = slice_eq(buf_slice(&b), slice_str("old"));
        assert_true(is_old || slice_eq(buf_slice(&b), slice_str("new")));
        old += is_old;
        simdisk_free(copy);
    }
    assert_true(seen[0] && seen[1] && seen[2] && old && old < SEEDS);
    buf_release(&b);
}

static void test_same_seed_same_crash(void **state)
{
    struct place *p = *state;
    uint64_t first = 0;
    int other = 0;
    change_everything(p);
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct simdisk *a = simdisk_clone(p->disk), *b = simdisk_clone(p->disk);
        simdisk_crash(a, SIM_RANDOM, seed);
        simdisk_crash(b, SIM_RANDOM, seed);
        uint64_t digest = simdisk_digest(a);
        assert_int_equal(simdisk_digest(b), digest);
        first = seed ? first : digest;
        other += digest != first;
        simdisk_free(a);
        simdisk_free(b);
    }
    assert_true(other > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLACE_SIM(test_keep_synced),
        PLACE_SIM(test_keep_all),
        PLACE_SIM(test_all_synced_survives_anything),
        PLACE_SIM(test_links),
        PLACE_SIM(test_handles_die),
        PLACE_SIM(test_names_go_with_their_folder),
        PLACE_SIM(test_sync_dir_and_moves),
        PLACE_SIM(test_random_renames),
        PLACE_SIM(test_same_seed_same_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
