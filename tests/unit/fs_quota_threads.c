/* Limits while several threads use what they are for, on the real system with background workers:
 * sums are exact in the end, and no limit was ever exceeded. ROUNDS=n sets how much each does. */
#include "tests/unit/vol_real.h"

#define ROOT FS_INO_ROOT

enum { THREADS = 3, NAMES = 12, CHUNK = 16 << 10, LIMIT = 12 * CHUNK, TREES = 2 };

struct real {
    struct vol_real vol;
    struct fs *fs;                              /* vol.fs */
    uint64_t trees[TREES + 1], subs[TREES + 1]; /* the last has no limit */
    bool stop;                                  /* atomic */
};

static void real_make(struct real *v)
{
    vol_real_make(&v->vol, CHUNK, 3000);
    v->fs = v->vol.fs;
    v->stop = false;
    for (int i = 0; i <= TREES; i++) {
        char name[16];
        struct fs_attr a;
        snprintf(name, sizeof name, "t%d", i);
        assert_ok(fs_mkdir(v->fs, ROOT, name, 0755, &vol_cred, &a));
        v->trees[i] = a.ino;
        assert_ok(fs_mkdir(v->fs, a.ino, "sub", 0755, &vol_cred, &a));
        v->subs[i] = a.ino;
    }
}

/* ---- what threads do; failures are counted, cmocka is for the main thread ---- */

struct thread {
    pthread_t id;
    struct real *v;
    struct simrng rng;
    int err;         /* that should not have come */
    size_t refusals; /* for a limit */
};

static void expect(struct thread *t, int err)
{
    static const int allowed[] = {0, -EEXIST, -ENOENT, -EXDEV, -ESTALE};
    t->refusals += err == -EDQUOT;
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++)
        if (err == allowed[i] || err == -EDQUOT)
            return;
    t->err = err;
}

static uint64_t random_dir(struct thread *t)
{
    uint64_t i = simrng_below(&t->rng, TREES + 1);
    return simrng_coin(&t->rng) ? t->v->trees[i] : t->v->subs[i];
}

static void one_act(struct thread *t)
{
    static const uint8_t data[3 * CHUNK];
    struct fs *fs = t->v->fs;
    char name[16], other[16];
    struct fs_attr a, want = {.size = simrng_below(&t->rng, 3 * CHUNK)};
    uint64_t dir = random_dir(t);
    snprintf(name, sizeof name, "%d", (int)simrng_below(&t->rng, NAMES));
    snprintf(other, sizeof other, "%d", (int)simrng_below(&t->rng, NAMES));
    switch (simrng_below(&t->rng, 6)) {
    case 0:
        expect(t, fs_mknod(fs, dir, name, S_IFREG | 0644, 0, &vol_cred, &a));
        break;
    case 1:
        if (fs_lookup(fs, dir, name, &a) == 0)
            expect(t, fs_write(fs, a.ino, simrng_below(&t->rng, CHUNK), data, sizeof data));
        break;
    case 2:
        if (fs_lookup(fs, dir, name, &a) == 0)
            expect(t, fs_setattr(fs, a.ino, FS_SET_SIZE, &want, &a));
        break;
    case 3:
        expect(t, fs_rename(fs, dir, name, random_dir(t), other, 0));
        break;
    case 4:
        if (fs_lookup(fs, dir, name, &a) == 0)
            expect(t, fs_link(fs, a.ino, random_dir(t), other, &a));
        break;
    default:
        if (fs_lookup(fs, dir, name, &a) == 0) {
            expect(t, fs_unlink(fs, dir, name));
            if (simrng_below(&t->rng, 4))
                fs_forget(fs, a.ino);
        }
    }
}

static void *mess_about(void *arg)
{
    struct thread *t = arg;
    for (size_t i = 0; i < t->v->vol.rounds && t->err == 0; i++)
        one_act(t);
    return NULL;
}

/* Looks all the time: never more than the limit, once all of a tree has come under it. */
static void *watch(void *arg)
{
    struct thread *t = arg;
    while (!__atomic_load_n(&t->v->stop, __ATOMIC_RELAXED)) {
        struct fs_quota q;
        int err = fs_get_quota(t->v->fs, t->v->trees[0], &q);
        if (err < 0 || (err == 0 && q.used_bytes > LIMIT))
            t->err = err ? err : -ERANGE;
    }
    return NULL;
}

static void test_limits_among_threads(void **state)
{
    (void)state;
    struct real v;
    struct thread threads[THREADS], watcher = {.v = &v};
    size_t refusals = 0;
    real_make(&v);
    assert_ok(fs_set_quota(v.fs, v.trees[0], LIMIT)); /* the other while it is in use */
    for (size_t i = 0; i < THREADS; i++) {
        threads[i] = (struct thread){.v = &v, .rng = {v.vol.seed + i}};
        assert_int_equal(pthread_create(&threads[i].id, NULL, mess_about, &threads[i]), 0);
    }
    assert_int_equal(pthread_create(&watcher.id, NULL, watch, &watcher), 0);
    for (int i = 0; i < 20; i++) {
        assert_ok(fs_set_quota(v.fs, v.trees[1], i % 2 ? LIMIT : 2 * LIMIT));
        if (i == 10)
            assert_ok(fs_set_quota(v.fs, v.subs[1], LIMIT));
        usleep(1000);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i].id, NULL);
        assert_int_equal(threads[i].err, 0);
        refusals += threads[i].refusals;
    }
    __atomic_store_n(&v.stop, true, __ATOMIC_RELAXED);
    pthread_join(watcher.id, NULL);
    assert_int_equal(watcher.err, 0);
    print_message("%zu operations were refused for a limit\n", refusals);
    vol_real_end(&v.vol);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limits_among_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
