/* env: the contract of folders, names, locks, space, clocks and randomness, on the real system and
 * on the simulated disk alike. */
#include "store/env.h"

#include <errno.h>

#include "tests/unit/env_place.h"

static void test_rename(void **state)
{
    struct place *p = *state;
    struct env *e = p->env;
    assert_errno(e->rename(e, in(p, "none"), in(p, "b")), ENOENT);
    file_make(e, in(p, "a"), "new");
    file_make(e, in(p, "b"), "old");
    assert_ok(e->mkdir(e, in(p, "sub")));
    struct env_file *old = file_open(e, in(p, "b"), ENV_OPEN_WRITE);
    assert_errno(e->rename(e, in(p, "a"), in(p, "none/a")), ENOENT);
    assert_errno(e->rename(e, in(p, "a"), in(p, "b/a")), ENOTDIR);
    assert_errno(e->rename(e, in(p, "a"), in(p, "sub")), EISDIR);
    assert_ok(e->rename(e, in(p, "b"), in(p, "b")));
    place_check(p);
    assert_ok(e->rename(e, in(p, "a"), in(p, "b")));
    place_check(p);
    file_assert_none(e, in(p, "a"));
    file_assert_at(e, in(p, "b"), "new");
    file_assert(old, "old");
    old->ops->close(old);
    assert_ok(e->rename(e, in(p, "b"), in(p, "sub/c")));
    file_assert_none(e, in(p, "b"));
    file_assert_at(e, in(p, "sub/c"), "new");
}

static void test_link(void **state)
{
    struct place *p = *state;
    struct env *e = p->env;
    assert_errno(e->link(e, in(p, "none"), in(p, "b")), ENOENT);
    file_make(e, in(p, "a"), "first");
    file_make(e, in(p, "taken"), "other");
    assert_ok(e->mkdir(e, in(p, "sub")));
    assert_errno(e->link(e, in(p, "a"), in(p, "taken")), EEXIST);
    assert_errno(e->link(e, in(p, "a"), in(p, "a")), EEXIST);
    assert_errno(e->link(e, in(p, "a"), in(p, "none/b")), ENOENT);
    assert_true(e->link(e, in(p, "sub"), in(p, "other")) < 0);
    file_assert_at(e, in(p, "taken"), "other");
    assert_ok(e->link(e, in(p, "a"), in(p, "sub/b")));
    place_check(p);
    struct env_file *f = file_open(e, in(p, "sub/b"), ENV_OPEN_WRITE);
    file_write(f, 5, " light");
    file_assert_at(e, in(p, "a"), "first light");
    /* Two names of one file: renaming one to the other does nothing. */
    assert_ok(e->rename(e, in(p, "a"), in(p, "sub/b")));
    file_assert_at(e, in(p, "a"), "first light");
    assert_ok(e->remove(e, in(p, "a")));
    place_check(p);
    file_assert_none(e, in(p, "a"));
    file_assert_at(e, in(p, "sub/b"), "first light");
    assert_ok(e->rename(e, in(p, "taken"), in(p, "sub/b")));
    place_check(p);
    file_assert(f, "first light");
    f->ops->close(f);
    file_assert_at(e, in(p, "sub/b"), "other");
}

struct listing {
    int count, stop_at, stop_with;
    bool seen[64];
    struct place *place;
};

/* Names are numbers; each is removed when it is seen, if `place` is given. */
static int on_name(void *ctx, const char *name)
{
    struct listing *l = ctx;
    int number = atoi(name);
    assert_true(number >= 0 && number < 64);
    assert_false(l->seen[number]);
    l->seen[number] = true;
    if (l->place)
        assert_ok(l->place->env->remove(l->place->env, in(l->place, name)));
    return ++l->count == l->stop_at ? l->stop_with : 0;
}

static void test_list(void **state)
{
    struct place *p = *state;
    struct env *e = p->env;
    char name[16];
    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "%d", i);
        file_make(e, in(p, name), "");
    }
    assert_ok(e->mkdir(e, in(p, "40")));
    file_make(e, in(p, "40/50"), "");
    struct listing all = {0}, some = {.stop_at = 7, .stop_with = -77};
    assert_ok(e->list(e, p->folder, on_name, &all));
    assert_int_equal(all.count, 41);
    assert_true(all.seen[40] && !all.seen[50]);
    assert_int_equal(e->list(e, p->folder, on_name, &some), -77);
    assert_int_equal(some.count, 7);
    assert_errno(e->list(e, in(p, "none"), on_name, &all), ENOENT);
    assert_errno(e->list(e, in(p, "1"), on_name, &all), ENOTDIR);
    assert_ok(e->rename(e, in(p, "40/50"), in(p, "50")));
    struct listing below = {0};
    assert_ok(e->list(e, in(p, "40"), on_name, &below));
    assert_int_equal(below.count, 0);
}

static void test_remove_while_listing(void **state)
{
    struct place *p = *state;
    char name[16];
    for (int i = 0; i < 60; i++) {
        snprintf(name, sizeof name, "%d", i);
        file_make(p->env, in(p, name), "");
    }
    struct listing all = {.place = p}, none = {0};
    assert_ok(p->env->list(p->env, p->folder, on_name, &all));
    assert_int_equal(all.count, 60);
    assert_ok(p->env->list(p->env, p->folder, on_name, &none));
    assert_int_equal(none.count, 0);
}

static void test_folders(void **state)
{
    struct place *p = *state;
    struct env *e = p->env;
    assert_ok(e->mkdir(e, in(p, "sub")));
    assert_errno(e->mkdir(e, in(p, "sub")), EEXIST);
    assert_errno(e->mkdir(e, in(p, "none/sub")), ENOENT);
    assert_ok(e->mkdir(e, in(p, "sub/sub")));
    file_make(e, in(p, "sub/sub/a"), "deep");
    file_assert_at(e, in(p, "sub/sub/a"), "deep");
    file_assert_none(e, in(p, "a"));
    assert_errno(e->mkdir(e, in(p, "sub/sub/a")), EEXIST);
    assert_ok(e->sync_dir(e, in(p, "sub/sub")));
    assert_ok(e->sync_dir(e, p->folder));
    assert_errno(e->sync_dir(e, in(p, "none")), ENOENT);
    assert_errno(e->sync_dir(e, in(p, "sub/sub/a")), ENOTDIR);
}

static void test_file_size(void **state)
{
    struct place *p = *state;
    uint64_t size = 99;
    assert_errno(p->env->file_size(p->env, in(p, "a"), &size), ENOENT);
    assert_int_equal(size, 0);
    file_make(p->env, in(p, "a"), "12345");
    assert_ok(p->env->file_size(p->env, in(p, "a"), &size));
    assert_int_equal(size, 5);
}

static void test_file_usage(void **state)
{
    struct place *p = *state;
    struct env *e = p->env;
    struct env_usage u = {9, 9};
    assert_errno(e->file_usage(e, in(p, "a"), &u), ENOENT);
    assert_int_equal(u.links + u.stored_bytes, 0);
    file_make(e, in(p, "a"), "12345");
    assert_ok(e->file_usage(e, in(p, "a"), &u));
    assert_int_equal(u.links, 1);
    assert_ok(e->mkdir(e, in(p, "sub")));
    assert_errno(e->file_usage(e, in(p, "sub"), &u), EISDIR);
    assert_ok(e->link(e, in(p, "a"), in(p, "sub/b")));
    assert_ok(e->file_usage(e, in(p, "a"), &u));
    assert_int_equal(u.links, 2);
    assert_ok(e->remove(e, in(p, "a")));
    assert_ok(e->file_usage(e, in(p, "sub/b"), &u));
    assert_int_equal(u.links, 1);
}

static void test_lock(void **state)
{
    struct place *p = *state;
    struct env *e = p->env;
    struct env_lock *first, *second, *other;
    assert_errno(e->lock(e, in(p, "none/LOCK"), &first), ENOENT);
    assert_null(first);
    assert_ok(e->lock(e, in(p, "LOCK"), &first));
    assert_errno(e->lock(e, in(p, "LOCK"), &second), EAGAIN);
    assert_null(second);
    assert_ok(e->lock(e, in(p, "OTHER"), &other));
    e->unlock(e, first);
    assert_ok(e->lock(e, in(p, "LOCK"), &second));
    assert_errno(e->lock(e, in(p, "LOCK"), &first), EAGAIN);
    e->unlock(e, second);
    e->unlock(e, other);
}

static void test_lock_read(void **state)
{
    struct place *p = *state;
    struct env *e = p->env;
    struct env_lock *one, *two, *writer;
    assert_errno(e->lock_read(e, in(p, "LOCK"), &one), ENOENT);
    assert_null(one);
    file_assert_none(e, in(p, "LOCK"));
    file_make(e, in(p, "LOCK"), "as it was");
    assert_ok(e->lock_read(e, in(p, "LOCK"), &one));
    assert_ok(e->lock_read(e, in(p, "LOCK"), &two));
    assert_errno(e->lock(e, in(p, "LOCK"), &writer), EAGAIN);
    e->unlock(e, one);
    assert_errno(e->lock(e, in(p, "LOCK"), &writer), EAGAIN);
    e->unlock(e, two);
    file_assert_at(e, in(p, "LOCK"), "as it was");
    assert_ok(e->lock(e, in(p, "LOCK"), &writer));
    assert_errno(e->lock_read(e, in(p, "LOCK"), &one), EAGAIN);
    assert_null(one);
    e->unlock(e, writer);
}

static void test_space(void **state)
{
    struct place *p = *state;
    struct env_space s;
    assert_ok(p->env->space(p->env, p->folder, &s));
    assert_true(s.total_bytes > 0);
    assert_true(s.free_bytes <= s.total_bytes);
    assert_errno(p->env->space(p->env, in(p, "none"), &s), ENOENT);
}

static void test_clocks(void **state)
{
    struct place *p = *state;
    uint64_t before = p->env->monotonic_ns(p->env);
    assert_true(p->env->realtime_ns(p->env) > INT64_C(1600000000) * 1000000000);
    for (int i = 0; i < 100; i++) {
        uint64_t now = p->env->monotonic_ns(p->env);
        assert_true(now >= before);
        before = now;
    }
}

static void test_random(void **state)
{
    struct place *p = *state;
    uint8_t a[1000] = {0}, b[1000] = {0};
    int seen[256] = {0}, distinct = 0;
    assert_ok(p->env->random(p->env, a, sizeof a));
    assert_ok(p->env->random(p->env, b, sizeof b));
    assert_memory_not_equal(a, b, sizeof a);
    for (size_t i = 0; i < sizeof a; i++)
        distinct += seen[a[i]]++ == 0;
    assert_true(distinct > 200);
    assert_ok(p->env->random(p->env, a, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLACE_ALL(test_rename),  PLACE_ALL(test_list),      PLACE_ALL(test_remove_while_listing),
        PLACE_ALL(test_folders), PLACE_ALL(test_file_size), PLACE_ALL(test_lock),
        PLACE_ALL(test_link),    PLACE_ALL(test_lock_read), PLACE_ALL(test_space),
        PLACE_ALL(test_clocks),  PLACE_ALL(test_random),    PLACE_ALL(test_file_usage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
