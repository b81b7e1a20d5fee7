/* A store that is opened read-only: nothing is created, changed or deleted, whatever state it is in
 * and whatever is asked of it. On the simulated disk the proof is that no call that changes
 * anything is made, not even one that fails. */
#include "tests/unit/past.h"

#include <fcntl.h>
#include <sys/wait.h>

/* ---- everything that can be asked ---- */

static int ignore_pin(void *ctx, const struct store_pin *pin)
{
    (void)ctx;
    (void)pin;
    return 0;
}

static int ignore_finding(void *ctx, const struct store_finding *f)
{
    (void)ctx;
    (void)f;
    return 0;
}

static void read_all(struct store *s)
{
    struct store_read read;
    struct store_since *since;
    struct store_change change;
    struct slice value;
    struct store_stats st;
    store_read_begin(s, &read);
    struct store_iter *it = store_iter_new(&read, (struct slice){0}, (struct slice){0});
    for (int err = store_iter_first(it); err == 0; err = store_iter_next(it))
        assert_ok(store_iter_value(it, &value));
    for (int err = store_iter_last(it); err == 0; err = store_iter_prev(it))
        ;
    store_iter_free(it);
    assert_ok(
        store_since_new(&read, 1, (struct slice){0}, (struct slice){0}, STORE_SINCE_KEYS, &since));
    while (store_since_next(since, &change) == 0)
        ;
    store_since_free(since);
    store_read_end(&read);
    assert_ok(store_pin_list(s, ignore_pin, NULL));
    assert_ok(store_get_stats(s, &st));
    assert_ok(store_check(s, ignore_finding, NULL, NULL));
}

static void write_all(struct store *s)
{
    struct store_pin pin;
    struct store_checkpoint c;
    struct store_batch *b = store_batch_new(s);
    store_batch_put(b, slice_str("k"), slice_str("v"));
    assert_errno(store_write(s, b, STORE_SYNC | STORE_RESERVE), EROFS);
    store_batch_free(b);
    assert_errno(store_sync(s), EROFS);
    assert_errno(store_flush(s), EROFS);
    assert_errno(store_compact(s, (struct slice){0}, (struct slice){0}), EROFS);
    assert_absent(store_work(s));
    assert_errno(store_pin_create(s, "new", 0, &pin), EROFS);
    assert_errno(store_pin_delete(s, "p0"), EROFS);
    assert_errno(store_pin_rename(s, "p0", "q"), EROFS);
    assert_errno(store_checkpoint(s, "/elsewhere", NULL, &c), EROFS);
    struct store_ingest *g = store_ingest_new(s);
    assert_errno(store_ingest_put(g, slice_str("k"), slice_str("v")), EROFS);
    assert_errno(store_ingest_finish(g), EROFS);
    store_ingest_free(g);
}

/* Opens it so, with `expected` as the result, and does all of that. */
static void look(struct rig *r, int expected)
{
    struct store_options o = r->opt;
    struct store *s;
    uint64_t before = simdisk_digest(r->disk), calls = simdisk_ops(r->disk);
    o.read_only = true;
    assert_int_equal(store_open(r->dir, &o, &s), expected);
    if (s) {
        read_all(s);
        write_all(s);
        assert_ok(store_close(s));
    }
    assert_int_equal(simdisk_ops(r->disk), calls);
    assert_true(simdisk_digest(r->disk) == before);
}

/* ---- states that it may be in ---- */

static void test_clean(void **state)
{
    struct rig *r = *state;
    struct past p;
    look(r, 0); /* empty */
    past_init(&p, r, unit_seed());
    rig_open(r);
    for (int i = 0; i < 200; i++)
        past_step(&p);
    rig_close_clean(r);
    look(r, 0);
    assert_ok(r->env->remove(r->env, rig_path(r, "LOCK")));
    look(r, 0);
    past_release(&p);
}

/* As a process that was killed leaves it: logs to replay, with values in blob files, half-written
 * outputs; and as a power cut does. */
static void test_dirty(void **state)
{
    struct rig *r = *state;
    struct past p;
    uint64_t seed = unit_seed();
    past_init(&p, r, seed);
    rig_open(r);
    for (int i = 0; i < 300; i++) {
        past_step(&p);
        if (i % 10)
            continue;
        struct rig *k = rig_kill(r);
        if (i % 20)
            simdisk_crash(k->disk, SIM_RANDOM, seed + (uint64_t)i);
        look(k, 0);
        rig_open(k); /* what it is needs a writer is done by a writer */
        rig_drop(k);
    }
    rig_close_clean(r);
    past_release(&p);
}

/* Files that nothing names, of every kind, and files that are none of ours. */
static void test_leftovers(void **state)
{
    struct rig *r = *state;
    static const char *const names[] = {"000900.table", "000901.blob",     "000902.log",
                                        "000903.tmp",   "000904.manifest", "notes.txt",
                                        "KEYS.tmp"};
    rig_open(r);
    rig_fill(r, 0, 200, 600, 0);
    rig_close_clean(r);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_ok(simdisk_put(r->disk, rig_path(r, names[i]), slice_str("left over")));
    look(r, 0);
    assert_ok(r->env->remove(r->env, rig_path(r, "notes.txt")));
    assert_ok(r->env->remove(r->env, rig_path(r, "KEYS.tmp")));
    rig_open(r); /* a writer removes the rest */
    rig_close_clean(r);
}

/* Also one that cannot be opened is left as it is. */
static void test_damaged(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    rig_fill(r, 0, 200, 600, 0);
    rig_close(r);
    struct rig_names manifests = rig_files(r, FILE_MANIFEST);
    const char *manifest = rig_file(r, FILE_MANIFEST, manifests.number[0]);
    assert_ok(simdisk_flip(r->disk, manifest, 130, 1));
    look(r, -EIO);
    assert_ok(simdisk_flip(r->disk, manifest, 130, 1));
    /* A torn tail, as after a power cut, is left, too. */
    assert_ok(simdisk_truncate(r->disk, manifest, rig_file_bytes(r, manifest) - 3));
    look(r, 0);
    assert_ok(simdisk_flip(r->disk, rig_path(r, "CURRENT"), 20, 1));
    look(r, -EIO);
    assert_ok(r->env->remove(r->env, rig_path(r, "CURRENT")));
    look(r, -ENOENT);
}

/* ---- beside others ---- */

static void test_beside_a_writer(void **state)
{
    struct rig *r = *state;
    struct store_options o = r->opt;
    struct store *first, *second, *writer;
    rig_open(r);
    rig_put(r, "a", "1");
    look(r, -EAGAIN);
    rig_close(r);
    o.read_only = true;
    assert_ok(store_open(r->dir, &o, &first));
    assert_ok(store_open(r->dir, &o, &second)); /* any number may read */
    read_all(first);
    read_all(second);
    assert_errno(store_open(r->dir, &r->opt, &writer), EAGAIN);
    assert_ok(store_close(first));
    assert_errno(store_open(r->dir, &r->opt, &writer), EAGAIN);
    assert_ok(store_close(second));
    rig_open(r);
    rig_close_clean(r);
}

/* ---- on the real system: contents, times, modes ---- */

struct trace {
    struct rig *rig;
    uint64_t hash;
    int count;
};

static int add_trace(void *ctx, const char *name)
{
    struct trace *t = ctx;
    struct stat st;
    uint8_t piece[4096];
    assert_int_equal(stat(rig_path(t->rig, name), &st), 0);
    uint64_t hash = (uint64_t)st.st_size * 31 + (uint64_t)st.st_mtim.tv_nsec * 7 +
                    (uint64_t)st.st_ctim.tv_nsec * 5 + st.st_mode + st.st_ino;
    int fd = open(rig_path(t->rig, name), O_RDONLY);
    assert_true(fd >= 0);
    for (ssize_t n; (n = read(fd, piece, sizeof piece)) > 0;)
        for (ssize_t i = 0; i < n; i++)
            hash = (hash ^ piece[i]) * 1099511628211u;
    close(fd);
    for (const char *c = name; *c; c++)
        hash = (hash ^ (uint8_t)*c) * 1099511628211u;
    t->hash += hash; /* whatever the order */
    t->count++;
    return 0;
}

static struct trace trace_of(struct rig *r)
{
    struct trace t = {.rig = r};
    struct stat st;
    assert_ok(r->env->list(r->env, r->dir, add_trace, &t));
    assert_int_equal(stat(r->dir, &st), 0);
    t.hash += (uint64_t)st.st_mtim.tv_nsec + (uint64_t)st.st_ctim.tv_nsec;
    return t;
}

/* In a child that has no right to write there. */
static int look_without_rights(struct rig *r)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        struct store_options o = r->opt;
        struct store *s;
        o.read_only = true;
        if (geteuid() == 0 && seteuid(65534) != 0)
            _exit(100);
        int err = store_open(r->dir, &o, &s);
        if (err == 0) {
            read_all(s);
            err = store_close(s);
        }
        _exit(-err);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int make_readable(void *ctx, const char *name)
{
    return chmod(rig_path(ctx, name), 0444) ? -errno : 0;
}

static void test_leaves_no_trace(void **state)
{
    struct rig *r = *state;
    struct store_options o = r->opt;
    struct store *s;
    rig_open(r);
    rig_fill(r, 0, 300, 700, 0);
    rig_close(r);
    assert_ok(r->env->list(r->env, r->dir, make_readable, r));
    assert_int_equal(chmod(r->dir, 0555), 0);
    struct trace before = trace_of(r);
    o.read_only = true;
    for (int i = 0; i < 2; i++) {
        assert_ok(store_open(r->dir, &o, &s));
        read_all(s);
        assert_ok(store_close(s));
    }
    assert_int_equal(look_without_rights(r), 0);
    struct trace after = trace_of(r);
    assert_int_equal(after.count, before.count);
    assert_true(after.hash == before.hash);
    assert_int_equal(chmod(r->dir, 0755), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_SIM(test_clean),   RIG_SIM(test_dirty),           RIG_SIM(test_leftovers),
        RIG_SIM(test_damaged), RIG_SIM(test_beside_a_writer), RIG_POSIX(test_leaves_no_trace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
