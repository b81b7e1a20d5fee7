/* test_replace_power: files are replaced as programs do it, without fsync: a new one is written
 * under another name, closed, and renamed over the old one. The power is cut at every call that
 * changes the disk. What is found under the name is then one of the versions, whole, never an empty
 * file or a part of one; and if its renaming had been acknowledged longer ago than commit.interval,
 * that one or a later one.
 *
 * ROUNDS=n tries more histories; SEED=n repeats one. */
#include <sys/stat.h>

#include "tests/sim/fspower.h"

static const char *const DIR = "/volume";
enum { NAMES = 3, REPLACEMENTS = 60, PIECE = 5000 };
#define SEC      UINT64_C(1000000000)
#define INTERVAL (5 * SEC)
#define GRACE    (2 * SEC) /* work is pulled at least so often */

/* One name, and what became of it. */
struct target {
    uint64_t tried;                      /* the last version that was begun to be put there */
    uint64_t acked;                      /* that is known to be there */
    uint64_t acked_ns[REPLACEMENTS + 1]; /* when, by version */
};

struct play {
    struct simdisk *disk;
    struct fs *fs;
    struct simrng rng;
    struct target targets[NAMES];
};

static const char *target_name(int i)
{
    static const char *const names[NAMES] = {"a", "b", "c"};
    return names[i];
}

/* In memory, in the tree, in a blob file at the flush, at once, and of several chunks. */
static size_t version_len(uint64_t version)
{
    static const size_t lens[] = {17, 200, 1500, 9000, 40000};
    return lens[version * 7 % 5] + version;
}

/* What a version of a name is made of; no other has a piece of it. */
static void version_bytes(int name, uint64_t version, struct buf *out)
{
    struct simrng r = {version * NAMES + (uint64_t)name + 1};
    buf_clear(out);
    while (out->len < version_len(version))
        buf_put_u64(out, simrng_next(&r));
    out->len = version_len(version);
}

static uint64_t now_ns(struct play *p)
{
    struct env *env = simdisk_env(p->disk);
    return env->monotonic_ns(env);
}

/* As the kernel writes a file back: in pieces, in any order. */
static int write_pieces(struct play *p, uint64_t ino, struct slice data)
{
    size_t pieces = (data.len + PIECE - 1) / PIECE, first = simrng_below(&p->rng, pieces);
    int err = 0;
    for (size_t i = 0; i < pieces && err == 0; i++) {
        size_t at = (first + i) % pieces * PIECE, left = data.len - at;
        err = fs_write_back(p->fs, ino, at, data.data + at, left < PIECE ? left : PIECE);
    }
    return err;
}

static int replace(struct play *p, int name)
{
    static const struct fs_cred cred = {.uid = 7, .gid = 8};
    struct target *t = &p->targets[name];
    struct fs_attr a;
    struct buf data = {0};
    uint64_t version = ++t->tried;
    version_bytes(name, version, &data);
    int err = fs_mknod(p->fs, FS_INO_ROOT, "new", S_IFREG | 0644, 0, &cred, &a);
    if (err == 0)
        err = write_pieces(p, a.ino, buf_slice(&data));
    if (err == 0)
        err = fs_rename(p->fs, FS_INO_ROOT, "new", FS_INO_ROOT, target_name(name), 0);
    buf_release(&data);
    if (err < 0)
        return err;
    t->acked = version;
    t->acked_ns[version] = now_ns(p);
    return 0;
}

static int pull(struct play *p)
{
    int err;
    while ((err = fs_work(p->fs)) == 0)
        ;
    return err < 0 ? err : 0;
}

/* Until the end, or until the power is cut. */
static void play(struct play *p, struct simdisk *disk, uint64_t seed)
{
    struct fs_options o;
    struct store_options store;
    *p = (struct play){.disk = disk, .rng = {seed}};
    fspower_options(&o, &store, disk);
    store.commit_ns = INTERVAL;
    int err = fs_open(DIR, &o, &p->fs);
    for (int i = 0; i < REPLACEMENTS && err == 0; i++) {
        err = replace(p, (int)simrng_below(&p->rng, NAMES));
        if (err < 0)
            break;
        simdisk_advance(disk, SEC / 2 + simrng_below(&p->rng, SEC));
        err = pull(p);
    }
    assert_true(err == 0 || simdisk_is_cut(disk));
}

static void end(struct play *p)
{
    simdisk_cut_at(p->disk, 1, SIM_CUT_BEFORE); /* closing would sync */
    if (p->fs)
        fs_close(p->fs);
    p->fs = NULL;
}

/* The last version that nothing may take back. */
static uint64_t promised(const struct target *t, uint64_t now)
{
    uint64_t version = t->acked;
    while (version > 0 && now - t->acked_ns[version] < INTERVAL + GRACE)
        version--;
    return version;
}

/* The version that is there; 0: there is no such name. Fails if it is none. */
static uint64_t version_found(struct fs *fs, int name, uint64_t most, const char *where)
{
    struct fs_attr a;
    struct buf there = {0}, wanted = {0};
    size_t got;
    int err = fs_lookup(fs, FS_INO_ROOT, target_name(name), &a);
    if (err == -ENOENT)
        return 0;
    assert_ok(err);
    uint8_t *room = buf_reserve(&there, a.size + 1);
    assert_ok(fs_read(fs, a.ino, 0, room, a.size + 1, &got));
    assert_int_equal(got, a.size);
    uint64_t version = most;
    for (bool found = false; version > 0 && !found; version -= !found) {
        version_bytes(name, version, &wanted);
        found = slice_eq(slice_of(room, got), buf_slice(&wanted));
    }
    if (version == 0)
        fail_msg("%s: %s has %zu bytes that are no version of it", where, target_name(name), got);
    buf_release(&there);
    buf_release(&wanted);
    return version;
}

/* `*older` counts the names that are less new than what had been acknowledged. */
static void check(struct play *p, uint64_t now, const char *where, uint64_t *older)
{
    struct fs_options o;
    struct store_options store;
    struct fs_check_report report;
    struct fs *fs;
    fspower_options(&o, &store, p->disk);
    assert_ok(fs_check(DIR, &o, true, fspower_on_finding, NULL, (void *)(uintptr_t)where, &report));
    assert_ok(fs_open(DIR, &o, &fs));
    for (int i = 0; i < NAMES; i++) {
        struct target *t = &p->targets[i];
        uint64_t found = version_found(fs, i, t->tried, where);
        if (found < promised(t, now))
            fail_msg("%s: %s is version %llu, but %llu was there %llu ms before the cut", where,
                     target_name(i), (unsigned long long)found,
                     (unsigned long long)promised(t, now),
                     (unsigned long long)((now - t->acked_ns[promised(t, now)]) / 1000000));
        *older += found < t->acked;
    }
    assert_ok(fs_close(fs));
}

static void cut_everywhere(uint64_t seed)
{
    static const enum sim_crash modes[] = {SIM_KEEP_SYNCED, SIM_RANDOM, SIM_KEEP_ALL};
    struct fs_make_options make;
    struct simdisk *fresh = simdisk_new(seed), *d = NULL;
    struct play p;
    uint64_t older = 0;
    fspower_make(fresh, DIR, &make);
    d = simdisk_clone(fresh);
    uint64_t before = simdisk_ops(d);
    play(&p, d, seed);
    uint64_t calls = simdisk_ops(d) - before;
    end(&p);
    simdisk_free(d);
    for (uint64_t at = 1; at <= calls; at++) {
        char where[96];
        d = simdisk_clone(fresh);
        simdisk_cut_at(d, at, at % 2 ? SIM_CUT_BEFORE : SIM_CUT_WITHIN);
        play(&p, d, seed);
        uint64_t now = now_ns(&p);
        end(&p);
        simdisk_crash(d, modes[at % 3], seed ^ at);
        snprintf(where, sizeof where, "seed %llu, cut at call %llu", (unsigned long long)seed,
                 (unsigned long long)at);
        check(&p, now, where, &older);
        simdisk_free(d);
    }
    assert_true(calls > REPLACEMENTS && older > 0); /* there was something to lose */
    simdisk_free(fresh);
}

static void test_cut_at_every_call(void **state)
{
    (void)state;
    uint64_t seed = unit_seed();
    for (size_t round = 0; round < unit_setting("ROUNDS", 1); round++)
        cut_everywhere(seed + round);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cut_at_every_call),
    };
    log_set_sink(unit_log, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
