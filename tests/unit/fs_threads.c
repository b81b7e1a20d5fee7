/* Several threads in the same folders, on the real system with background workers: nothing hangs,
 * what is atomic is seen whole, and at the end the verifier has nothing to say. ROUNDS=n sets how
 * much each thread does. */
#include "tests/unit/vol_real.h"

#define ROOT FS_INO_ROOT

enum { THREADS = 4, DIRS = 5, NAMES = 6, FILE_BYTES = 40000 };

/* ---- a volume in a real folder ---- */

struct real {
    struct vol_real vol;
    struct fs *fs; /* vol.fs */
    uint64_t dirs[DIRS];
    uint64_t shared; /* a file that is always of one byte value */
    bool stop;       /* atomic */
};

static void real_make(struct real *v)
{
    *v = (struct real){0};
    vol_real_make(&v->vol, 16 << 10, 4000);
    v->fs = v->vol.fs;
}

static void real_reopen(struct real *v)
{
    assert_ok(fs_close(v->fs));
    vol_real_open(&v->vol);
    v->fs = v->vol.fs;
}

/* ---- what threads do; failures are counted, cmocka is for the main thread ---- */

struct thread {
    pthread_t id;
    struct real *v;
    struct simrng rng;
    const char *failed; /* NULL: all was well */
    int err;
};

static bool expect(struct thread *t, int err, const char *what, const int *allowed)
{
    if (err == 0)
        return true;
    for (; *allowed; allowed++)
        if (err == -*allowed)
            return false;
    t->failed = what;
    t->err = err;
    return false;
}

static const int by_chance[] = {EEXIST, ENOENT, ENOTEMPTY, ENOTDIR, EISDIR, EINVAL, EPERM, 0};
static const int no_such[] = {ENOENT, ESTALE, 0};
static const int none[] = {0};

static const char *random_name(struct thread *t, char room[24])
{
    snprintf(room, 24, "%d", (int)simrng_below(&t->rng, NAMES));
    return room;
}

/* One of the folders, or one that is found in one. */
static uint64_t random_dir(struct thread *t)
{
    struct real *v = t->v;
    uint64_t dir = v->dirs[simrng_below(&t->rng, DIRS)];
    for (uint64_t depth = simrng_below(&t->rng, 3); depth > 0; depth--) {
        char name[24];
        struct fs_attr a;
        if (fs_lookup(v->fs, dir, random_name(t, name), &a) != 0 || !S_ISDIR(a.mode))
            break;
        dir = a.ino;
    }
    return dir;
}

static void do_make(struct thread *t)
{
    char name[24];
    struct fs_attr a;
    static uint8_t data[FILE_BYTES];
    uint64_t dir = random_dir(t);
    random_name(t, name);
    int err = simrng_coin(&t->rng)
                  ? fs_mkdir(t->v->fs, dir, name, 0755, &vol_cred, &a)
                  : fs_mknod(t->v->fs, dir, name, S_IFREG | 0644, 0, &vol_cred, &a);
    if (!expect(t, err, "make", by_chance) || !S_ISREG(a.mode))
        return;
    err = fs_write(t->v->fs, a.ino, simrng_below(&t->rng, 9000), data,
                   simrng_below(&t->rng, FILE_BYTES));
    expect(t, err, "write", no_such);
}

static void do_remove(struct thread *t)
{
    char name[24];
    struct fs_attr a;
    uint64_t dir = random_dir(t);
    random_name(t, name);
    if (!expect(t, fs_lookup(t->v->fs, dir, name, &a), "lookup", by_chance))
        return;
    int err = S_ISDIR(a.mode) ? fs_rmdir(t->v->fs, dir, name) : fs_unlink(t->v->fs, dir, name);
    if (expect(t, err, "remove", by_chance) && simrng_below(&t->rng, 4))
        fs_forget(t->v->fs, a.ino);
}

static void do_rename(struct thread *t)
{
    char name[24], new_name[24];
    uint64_t dir = random_dir(t), new_dir = random_dir(t);
    unsigned flags = (unsigned)simrng_below(&t->rng, 3);
    int err =
        fs_rename(t->v->fs, dir, random_name(t, name), new_dir, random_name(t, new_name), flags);
    expect(t, err, "rename", by_chance);
}

static void do_link(struct thread *t)
{
    char name[24];
    struct fs_attr a;
    if (expect(t, fs_lookup(t->v->fs, random_dir(t), random_name(t, name), &a), "lookup",
               by_chance))
        expect(t, fs_link(t->v->fs, a.ino, random_dir(t), random_name(t, name), &a), "link",
               by_chance);
}

static int touch_entry(void *ctx, const char *name, const struct fs_attr *attr, uint64_t next)
{
    *(uint64_t *)ctx += strlen(name) + attr->nlink + next;
    return 0;
}

static void do_change(struct thread *t)
{
    char name[24];
    struct fs_attr a, want = {.size = simrng_below(&t->rng, FILE_BYTES), .mode = 0640};
    struct fs *fs = t->v->fs;
    if (!expect(t, fs_lookup(fs, random_dir(t), random_name(t, name), &a), "lookup", by_chance))
        return;
    unsigned set = S_ISREG(a.mode) ? FS_SET_SIZE | FS_SET_MODE : FS_SET_MODE;
    expect(t, fs_setattr(fs, a.ino, set, &want, &a), "setattr", no_such);
    expect(t, fs_setxattr(fs, a.ino, "user.a", name, strlen(name), 0), "setxattr", no_such);
}

static void do_list(struct thread *t)
{
    uint64_t sum = 0;
    expect(t, fs_readdir(t->v->fs, random_dir(t), 0, true, touch_entry, &sum), "readdir", no_such);
}

/* The shared file is written whole, and read whole: never a mixture. */
static void do_shared(struct thread *t)
{
    uint8_t data[FILE_BYTES];
    size_t got;
    if (simrng_coin(&t->rng)) {
        memset(data, (int)simrng_next(&t->rng), sizeof data);
        expect(t, fs_write(t->v->fs, t->v->shared, 0, data, sizeof data), "shared write", none);
        return;
    }
    if (!expect(t, fs_read(t->v->fs, t->v->shared, 0, data, sizeof data, &got), "shared read",
                none))
        return;
    for (size_t i = 1; i < got; i++)
        if (data[i] != data[0] || got != sizeof data)
            t->failed = "a mixture of two writes";
}

static void *mess_about(void *arg)
{
    static void (*const acts[])(struct thread *) = {
        do_make, do_make, do_remove, do_remove, do_rename, do_link, do_change, do_list, do_shared};
    struct thread *t = arg;
    for (size_t i = 0; i < t->v->vol.rounds && !t->failed; i++)
        acts[simrng_below(&t->rng, sizeof acts / sizeof *acts)](t);
    return NULL;
}

/* ---- snapshots meanwhile ---- */

struct children {
    uint64_t ino[64];
    size_t count;
};

static int note_child(void *ctx, const char *name, const struct fs_attr *attr, uint64_t next)
{
    struct children *c = ctx;
    (void)next;
    if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && c->count < 64)
        c->ino[c->count++] = attr->ino;
    return 0;
}

/* Reads all below; the snapshot may go at any moment. */
static uint64_t walk(struct thread *t, uint64_t dir, int depth)
{
    struct children c = {0};
    struct fs *fs = t->v->fs;
    uint64_t sum = 0;
    if (depth > 12 || !expect(t, fs_readdir(fs, dir, 0, true, note_child, &c), "walk", no_such))
        return 0;
    for (size_t i = 0; i < c.count && !t->failed; i++) {
        struct fs_attr a;
        uint8_t data[4096];
        size_t got;
        if (!expect(t, fs_getattr(fs, c.ino[i], &a), "getattr in a snapshot", no_such))
            continue;
        if (S_ISDIR(a.mode))
            sum += walk(t, a.ino, depth + 1);
        else if (expect(t, fs_read(fs, a.ino, 0, data, sizeof data, &got), "read", no_such))
            sum += got;
    }
    return sum;
}

/* Reads whatever snapshot there is. */
static void *read_snapshots(void *arg)
{
    struct thread *t = arg;
    while (!__atomic_load_n(&t->v->stop, __ATOMIC_RELAXED) && !t->failed) {
        struct children c = {0};
        expect(t, fs_readdir(t->v->fs, FS_INO_SNAPSHOTS, 0, true, note_child, &c), "list", none);
        for (size_t i = 0; i < c.count && !t->failed; i++)
            walk(t, c.ino[i], 0);
    }
    return NULL;
}

/* Makes, renames and drops them, with readers all the time. */
static void *take_snapshots(void *arg)
{
    struct thread *t = arg;
    struct fs_attr a;
    for (int i = 0; !__atomic_load_n(&t->v->stop, __ATOMIC_RELAXED) && !t->failed; i++) {
        char young[24], name[24], old[24];
        snprintf(young, sizeof young, "young%d", i);
        snprintf(name, sizeof name, "kept%d", i);
        snprintf(old, sizeof old, "kept%d", i - 3);
        expect(t, fs_snapshot_create(t->v->fs, young), "create a snapshot", none);
        expect(t, fs_lookup(t->v->fs, FS_INO_SNAPSHOTS, young, &a), "find a snapshot", none);
        expect(t, fs_snapshot_rename(t->v->fs, young, name), "rename a snapshot", none);
        if (i >= 3)
            expect(t, fs_snapshot_delete(t->v->fs, old), "delete a snapshot", none);
        if (i % 8 == 7)
            expect(t, fs_compact(t->v->fs), "compact", none);
    }
    return NULL;
}

/* ---- the tests ---- */

static void start(struct thread *t, struct real *v, int i, void *(*fn)(void *))
{
    *t = (struct thread){.v = v, .rng = {v->vol.seed + (uint64_t)i}};
    assert_int_equal(pthread_create(&t->id, NULL, fn, t), 0);
}

static void join(struct thread *t)
{
    pthread_join(t->id, NULL);
    if (t->failed)
        fail_msg("%s: %d", t->failed, t->err);
}

static void test_shared_folders(void **state)
{
    (void)state;
    struct real v;
    struct fs_attr a;
    struct thread t[THREADS], reader, maker;
    uint8_t *data = calloc(1, FILE_BYTES);
    real_make(&v);
    for (int i = 0; i < DIRS; i++) {
        char name[24];
        snprintf(name, sizeof name, "dir%d", i);
        assert_ok(fs_mkdir(v.fs, i < 3 ? ROOT : v.dirs[i - 3], name, 0755, &vol_cred, &a));
        v.dirs[i] = a.ino;
    }
    assert_ok(fs_mknod(v.fs, ROOT, "shared", S_IFREG | 0644, 0, &vol_cred, &a));
    v.shared = a.ino;
    assert_ok(fs_write(v.fs, v.shared, 0, data, FILE_BYTES));
    for (int i = 0; i < THREADS; i++)
        start(&t[i], &v, i, mess_about);
    start(&reader, &v, THREADS, read_snapshots);
    start(&maker, &v, THREADS + 1, take_snapshots);
    for (int i = 0; i < THREADS; i++)
        join(&t[i]);
    __atomic_store_n(&v.stop, true, __ATOMIC_RELAXED);
    join(&reader);
    join(&maker);
    free(data);
    vol_real_end(&v.vol);
}

/* Names that are all different, made in one folder at once. */
enum { EACH = 200 };
static uint64_t made[THREADS][EACH];

static void *make_many(void *arg)
{
    struct thread *t = arg;
    size_t me = t->rng.state - t->v->vol.seed;
    for (size_t i = 0; i < EACH && !t->failed; i++) {
        char name[48];
        struct fs_attr a;
        snprintf(name, sizeof name, "%zu by %zu", i, me);
        int err = fs_mknod(t->v->fs, ROOT, name, S_IFREG | 0644, 0, &vol_cred, &a);
        expect(t, err, "make", none);
        made[me][i] = err == 0 ? a.ino : 0;
    }
    return NULL;
}

static int by_number(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void test_one_folder(void **state)
{
    (void)state;
    struct real v;
    struct fs_attr a;
    struct thread t[THREADS];
    real_make(&v);
    for (int i = 0; i < THREADS; i++)
        start(&t[i], &v, i, make_many);
    for (int i = 0; i < THREADS; i++)
        join(&t[i]);
    assert_ok(fs_getattr(v.fs, ROOT, &a));
    assert_int_equal(a.size, THREADS * EACH);
    qsort(made, THREADS * EACH, sizeof made[0][0], by_number);
    for (size_t i = 1; i < THREADS * EACH; i++)
        assert_true(((uint64_t *)made)[i] > ((uint64_t *)made)[i - 1]);
    vol_real_end(&v.vol);
}

/* Two folders are moved at once, each into the other, by threads that share no folder: one of them
 * has to be refused. */
struct mover {
    struct real *v;
    pthread_barrier_t *barrier;
    uint64_t from, to;
    const char *name;
    int err;
};

static void *move_when_both_are_ready(void *arg)
{
    struct mover *m = arg;
    pthread_barrier_wait(m->barrier);
    m->err = fs_rename(m->v->fs, m->from, m->name, m->to, m->name, 0);
    return NULL;
}

static uint64_t make_dir(struct real *v, uint64_t dir, const char *name)
{
    struct fs_attr a;
    assert_ok(fs_mkdir(v->fs, dir, name, 0755, &vol_cred, &a));
    return a.ino;
}

static void test_no_circle_at_once(void **state)
{
    (void)state;
    struct real v;
    pthread_barrier_t barrier;
    real_make(&v);
    pthread_barrier_init(&barrier, NULL, 2);
    uint64_t p = make_dir(&v, ROOT, "p"), q = make_dir(&v, ROOT, "q");
    uint64_t a = make_dir(&v, p, "a"), b = make_dir(&v, q, "b");
    uint64_t in_a = make_dir(&v, a, "in"), in_b = make_dir(&v, b, "in");
    for (size_t i = 0; i < v.vol.rounds / 2; i++) {
        struct mover m[2] = {{&v, &barrier, p, in_b, "a", 0}, {&v, &barrier, q, in_a, "b", 0}};
        pthread_t id;
        assert_int_equal(pthread_create(&id, NULL, move_when_both_are_ready, &m[0]), 0);
        move_when_both_are_ready(&m[1]);
        pthread_join(id, NULL);
        bool first = m[0].err == 0;
        assert_int_equal(m[first].err, -EINVAL);
        assert_int_equal(m[!first].err, 0);
        assert_ok(fs_rename(v.fs, m[!first].to, m[!first].name, m[!first].from, m[!first].name, 0));
    }
    pthread_barrier_destroy(&barrier);
    vol_real_end(&v.vol);
}

/* ---- access times ---- */

/* Each reads what the others read: nobody may see an access time go back. */
static void *read_and_look(void *arg)
{
    struct thread *t = arg;
    struct real *v = t->v;
    for (size_t i = 0; i < v->vol.rounds && !t->failed; i++) {
        uint64_t ino = v->dirs[simrng_below(&t->rng, DIRS)];
        struct fs_attr before, after;
        char data[8];
        size_t got;
        if (!expect(t, fs_getattr(v->fs, ino, &before), "getattr", none) ||
            !expect(t, fs_read(v->fs, ino, 0, data, sizeof data, &got), "read", none) ||
            !expect(t, fs_getattr(v->fs, ino, &after), "getattr", none))
            break;
        if (vol_ns(after.atime) < vol_ns(before.atime))
            t->failed = "an access time went back";
    }
    return NULL;
}

static void *write_times(void *arg)
{
    struct thread *t = arg;
    struct real *v = t->v;
    while (!__atomic_load_n(&v->stop, __ATOMIC_ACQUIRE) && !t->failed)
        if (expect(t, fs_write_times(v->fs), "writing times", none))
            expect(t, fs_write(v->fs, v->dirs[0], 0, "y", 1), "writing", none);
    return NULL;
}

static void test_access_times(void **state)
{
    (void)state;
    struct real v;
    struct thread t[THREADS];
    struct fs_attr a, again;
    real_make(&v);
    v.vol.options.atime = FS_ATIME_STRICT;
    real_reopen(&v);
    for (int i = 0; i < DIRS; i++) {
        char name[24];
        snprintf(name, sizeof name, "f%d", i);
        assert_ok(fs_mknod(v.fs, ROOT, name, S_IFREG | 0644, 0, &vol_cred, &a));
        assert_ok(fs_write(v.fs, a.ino, 0, "text", 4));
        v.dirs[i] = a.ino; /* files, here */
    }
    for (int i = 0; i < THREADS; i++) {
        t[i] = (struct thread){.v = &v, .rng = {v.vol.seed + (uint64_t)i}};
        assert_int_equal(
            pthread_create(&t[i].id, NULL, i == 0 ? write_times : read_and_look, &t[i]), 0);
    }
    for (int i = 1; i < THREADS; i++)
        pthread_join(t[i].id, NULL);
    __atomic_store_n(&v.stop, true, __ATOMIC_RELEASE);
    pthread_join(t[0].id, NULL);
    for (int i = 0; i < THREADS; i++)
        if (t[i].failed)
            fail_msg("%s (%d)", t[i].failed, t[i].err);
    assert_ok(fs_getattr(v.fs, v.dirs[3], &a));
    real_reopen(&v);
    assert_ok(fs_getattr(v.fs, v.dirs[3], &again));
    assert_true(vol_same_attr(&a, &again));
    vol_real_end(&v.vol);
}

/* Two files with neighbouring numbers, whose compressions may be one record: one goes while the
 * other is set. */
struct setter {
    struct real *v;
    pthread_barrier_t *barrier;
    uint64_t file;
    int level, err;
};

static void *set_when_both_are_ready(void *arg)
{
    struct setter *s = arg;
    pthread_barrier_wait(s->barrier);
    s->err = fs_set_compression(s->v->fs, s->file, s->level);
    return NULL;
}

static uint64_t make_file(struct real *v, const char *name)
{
    struct fs_attr a;
    assert_ok(fs_mknod(v->fs, ROOT, name, S_IFREG | 0644, 0, &vol_cred, &a));
    return a.ino;
}

static void test_neighbours_compressions(void **state)
{
    (void)state;
    struct real v;
    pthread_barrier_t barrier;
    real_make(&v);
    pthread_barrier_init(&barrier, NULL, 2);
    for (size_t i = 0; i < v.vol.rounds / 8; i++) {
        char name[32];
        int level = 5 + (int)(i % 2); /* another than that of the files before */
        pthread_t id;
        snprintf(name, sizeof name, "stays%zu", i);
        uint64_t goes = make_file(&v, "goes"), stays = make_file(&v, name);
        struct setter s = {&v, &barrier, stays, level, 0};
        assert_ok(fs_set_compression(v.fs, goes, level));
        assert_ok(fs_unlink(v.fs, ROOT, "goes"));
        assert_int_equal(pthread_create(&id, NULL, set_when_both_are_ready, &s), 0);
        pthread_barrier_wait(&barrier);
        fs_forget(v.fs, goes);
        pthread_join(id, NULL);
        assert_ok(s.err);
    }
    pthread_barrier_destroy(&barrier);
    vol_real_end(&v.vol);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shared_folders),    cmocka_unit_test(test_one_folder),
        cmocka_unit_test(test_no_circle_at_once), cmocka_unit_test(test_neighbours_compressions),
        cmocka_unit_test(test_access_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
