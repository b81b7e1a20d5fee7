/* store_rig: a store for a test of the door, on the simulated disk or on the real system, and short
 * words for what tests do with it. Failures fail the test.
 *
 * Sizes are small, so that a few thousand operations flush, compact and separate values. */
#ifndef VARVE_UNIT_STORE_RIG_H
#define VARVE_UNIT_STORE_RIG_H

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/env_posix.h"
#include "store/format.h"
#include "store/store.h"
#include "tests/sim/memdisk.h"
#include "tests/sim/simdisk.h"
#include "tests/sim/simrng.h"
#include "tests/unit/unit.h"

struct rig {
    struct env *env;
    struct simdisk *disk; /* NULL: the real system, or memory */
    struct memdisk *memory;
    char dir[256];
    struct store_options opt;
    struct store *s;
};

/* ---- messages ---- */

static struct {
    uint32_t count, errors; /* atomic: since rig_log_reset() */
    pthread_mutex_t lock;
    char all[1 << 16]; /* [lock] as far as they fit */
    size_t len;
} rig_log = {.lock = PTHREAD_MUTEX_INITIALIZER};

static inline void rig_log_sink(void *ctx, enum log_level level, const char *text)
{
    (void)ctx;
    if (getenv("VERBOSE"))
        fprintf(stderr, "[%d] %s\n", (int)level, text);
    __atomic_fetch_add(&rig_log.count, 1, __ATOMIC_RELAXED);
    if (level == LOG_ERROR)
        __atomic_fetch_add(&rig_log.errors, 1, __ATOMIC_RELAXED);
    pthread_mutex_lock(&rig_log.lock);
    int room = (int)(sizeof rig_log.all - rig_log.len);
    int n = snprintf(rig_log.all + rig_log.len, (size_t)room, "%s\n", text);
    rig_log.len += (size_t)(n < room ? n : room - 1);
    pthread_mutex_unlock(&rig_log.lock);
}

static inline void rig_log_reset(void)
{
    log_set_sink(rig_log_sink, NULL);
    pthread_mutex_lock(&rig_log.lock);
    rig_log.len = 0;
    rig_log.all[0] = 0;
    pthread_mutex_unlock(&rig_log.lock);
    __atomic_store_n(&rig_log.count, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&rig_log.errors, 0, __ATOMIC_RELAXED);
}

static inline bool rig_logged(const char *part)
{
    pthread_mutex_lock(&rig_log.lock);
    bool found = strstr(rig_log.all, part) != NULL;
    pthread_mutex_unlock(&rig_log.lock);
    return found;
}

/* ---- the merge operator: operands are appended; one that begins with '!' is damaged ---- */

static inline int rig_merge_full(void *ctx, struct slice key, const struct slice *base,
                                 const struct slice *operands, size_t count, struct buf *out)
{
    (void)ctx;
    (void)key;
    if (base)
        buf_append(out, *base);
    for (size_t i = 0; i < count; i++) {
        if (operands[i].len && operands[i].data[0] == '!')
            return -EIO;
        buf_append(out, operands[i]);
    }
    return 0;
}

static inline int rig_merge_partial(void *ctx, struct slice key, const struct slice *operands,
                                    size_t count, struct buf *out)
{
    return rig_merge_full(ctx, key, NULL, operands, count, out);
}

static const struct store_merge rig_merge = {.full = rig_merge_full, .partial = rig_merge_partial};

/* ---- beginning and end ---- */

static inline void rig_options(struct store_options *o, struct env *env)
{
    store_options_init(o);
    o->env = env;
    o->workers = 0;
    o->level0_tables = 4;
    o->memtable_bytes = 64 << 10;
    o->block_bytes = 1 << 10;
    o->table_bytes = 32 << 10;
    o->blob_bytes = 256 << 10;
    o->separate_min = 512;
    o->direct_min = 4 << 10;
    o->cache_bytes = 256 << 10;
    o->reserve_bytes = 0;
    o->events_bytes = 0;
    o->commit_ns = 0;
    o->merge = &rig_merge;
}

static inline void rig_open(struct rig *r)
{
    assert_null(r->s);
    assert_ok(store_open(r->dir, &r->opt, &r->s));
}

static inline void rig_close(struct rig *r)
{
    assert_ok(store_close(r->s));
    r->s = NULL;
}

static inline void rig_reopen(struct rig *r)
{
    rig_close(r);
    rig_open(r);
}

static inline void rig_make(struct rig *r)
{
    rig_log_reset();
    rig_options(&r->opt, r->env);
    assert_ok(store_create(r->dir, &r->opt));
}

static inline int rig_sim(void **state)
{
    struct rig *r = mem_zalloc(sizeof *r);
    r->disk = simdisk_new(1);
    r->env = simdisk_env(r->disk);
    strcpy(r->dir, "/vol");
    rig_make(r);
    *state = r;
    return 0;
}

static inline int rig_memory(void **state)
{
    struct rig *r = mem_zalloc(sizeof *r);
    r->memory = memdisk_new();
    r->env = memdisk_env(r->memory);
    strcpy(r->dir, "/vol");
    rig_make(r);
    *state = r;
    return 0;
}

/* In memory where the system has such a place: the disk's speed is not what is tested. */
static inline int rig_posix(void **state)
{
    struct rig *r = mem_zalloc(sizeof *r);
    const char *tmp = getenv("TMPDIR");
    if (!tmp)
        tmp = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    r->env = env_posix();
    snprintf(r->dir, sizeof r->dir, "%s/varve-store-XXXXXX", tmp);
    assert_non_null(mkdtemp(r->dir));
    rig_make(r);
    *state = r;
    return 0;
}

static inline int rig_remove_entry(void *dir, const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", (const char *)dir, name);
    return unlink(path) ? -errno : 0;
}

static inline int rig_leave(void **state)
{
    struct rig *r = *state;
    if (r->s)
        store_close(r->s); /* of a test that failed */
    if (r->disk) {
        simdisk_assert_valid(r->disk);
        assert_int_equal(simdisk_open_files(r->disk), 0);
        assert_int_equal(simdisk_locks(r->disk), 0);
        simdisk_free(r->disk);
    } else if (r->memory) {
        memdisk_free(r->memory); /* asserts that nothing is open or locked */
    } else {
        assert_ok(r->env->list(r->env, r->dir, rig_remove_entry, r->dir));
        assert_ok(rmdir(r->dir));
    }
    log_set_sink(NULL, NULL);
    free(r);
    return 0;
}

#define RIG_SIM(test)                                 \
    {                                                 \
        "sim: " #test, test, rig_sim, rig_leave, NULL \
    }
#define RIG_MEMORY(test)                                    \
    {                                                       \
        "memory: " #test, test, rig_memory, rig_leave, NULL \
    }
#define RIG_POSIX(test)                                   \
    {                                                     \
        "posix: " #test, test, rig_posix, rig_leave, NULL \
    }

/* What a process would find if the one that has `r` open were killed now: another rig, opened with
 * the same options. On the simulated disk. rig_drop() ends it. */
static inline struct rig *rig_kill(const struct rig *r)
{
    struct rig *k = mem_zalloc(sizeof *k);
    *k = *r;
    k->disk = simdisk_clone(r->disk);
    k->env = k->opt.env = simdisk_env(k->disk);
    k->s = NULL;
    return k;
}

static inline void rig_drop(struct rig *k)
{
    if (k->s)
        assert_ok(store_close(k->s));
    simdisk_free(k->disk);
    free(k);
}

/* ---- files ---- */

/* The path of `name`; valid for the next three calls. */
static inline const char *rig_path(const struct rig *r, const char *name)
{
    static char paths[4][512];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", r->dir, name);
    return path;
}

struct rig_names {
    uint64_t number[4096];
    int count;
    enum file_kind kind;
};

static inline int rig_note_name(void *ctx, const char *name)
{
    struct rig_names *n = ctx;
    enum file_kind kind;
    uint64_t number;
    if (name_parse(name, &kind, &number) == 0 && kind == n->kind && n->count < 4096)
        n->number[n->count++] = number;
    return 0;
}

static inline int rig_compare_numbers(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* The numbers of all files of the kind, ascending. */
static inline struct rig_names rig_files(const struct rig *r, enum file_kind kind)
{
    struct rig_names n = {.kind = kind};
    assert_ok(r->env->list(r->env, r->dir, rig_note_name, &n));
    qsort(n.number, (size_t)n.count, sizeof n.number[0], rig_compare_numbers);
    return n;
}

static inline const char *rig_file(const struct rig *r, enum file_kind kind, uint64_t number)
{
    char name[64];
    snprintf(name, sizeof name, "%06" PRIu64 ".%s", number,
             kind == FILE_LOG        ? "log"
             : kind == FILE_TABLE    ? "table"
             : kind == FILE_BLOB     ? "blob"
             : kind == FILE_MANIFEST ? "manifest"
             : kind == FILE_PARITY   ? "parity"
                                     : "tmp");
    return rig_path(r, name);
}

static inline uint64_t rig_file_bytes(const struct rig *r, const char *path)
{
    uint64_t size;
    assert_ok(r->env->file_size(r->env, path, &size));
    return size;
}

/* Changes a byte of a file under all its names, as a disk does. */
static inline void rig_flip(struct rig *r, enum file_kind kind, uint64_t number, uint64_t at)
{
    struct env_file *f;
    uint8_t byte;
    size_t got;
    assert_ok(r->env->open(r->env, rig_file(r, kind, number), ENV_OPEN_WRITE, &f));
    assert_ok(f->ops->read(f, at, &byte, 1, &got));
    assert_int_equal(got, 1);
    byte ^= 0x20;
    assert_ok(f->ops->write(f, at, &byte, 1));
    assert_ok(f->ops->sync(f));
    f->ops->close(f);
}

/* All files of the store but the lock's, in bytes; workers may remove some meanwhile. */
static inline uint64_t rig_volume_bytes(const struct rig *r)
{
    static const enum file_kind kinds[] = {FILE_LOG, FILE_TABLE, FILE_BLOB, FILE_MANIFEST};
    uint64_t total = 0;
    for (int k = 0; k < 4; k++) {
        struct rig_names n = rig_files(r, kinds[k]);
        for (int i = 0; i < n.count; i++) {
            uint64_t size = 0;
            int err = r->env->file_size(r->env, rig_file(r, kinds[k], n.number[i]), &size);
            assert_true(err == 0 || err == -ENOENT);
            total += size;
        }
    }
    return total;
}

/* ---- operations ---- */

static inline int rig_write(struct rig *r, struct store_batch *b, int flags)
{
    int err = store_write(r->s, b, flags);
    store_batch_free(b);
    return err;
}

static inline int rig_try_put(struct rig *r, const char *key, struct slice value, int flags)
{
    struct store_batch *b = store_batch_new(r->s);
    store_batch_put(b, slice_str(key), value);
    return rig_write(r, b, flags);
}

static inline void rig_put(struct rig *r, const char *key, const char *value)
{
    assert_ok(rig_try_put(r, key, slice_str(value), 0));
}

static inline void rig_merge_op(struct rig *r, const char *key, const char *operand)
{
    struct store_batch *b = store_batch_new(r->s);
    store_batch_merge(b, slice_str(key), slice_str(operand));
    assert_ok(rig_write(r, b, 0));
}

static inline void rig_delete(struct rig *r, const char *key)
{
    struct store_batch *b = store_batch_new(r->s);
    store_batch_delete(b, slice_str(key));
    assert_ok(rig_write(r, b, 0));
}

static inline int rig_try_delete_range(struct rig *r, const char *start, const char *end, int flags)
{
    struct store_batch *b = store_batch_new(r->s);
    store_batch_delete_range(b, slice_str(start), slice_str(end));
    return rig_write(r, b, flags);
}

static inline void rig_delete_range(struct rig *r, const char *start, const char *end)
{
    assert_ok(rig_try_delete_range(r, start, end, 0));
}

/* Key number `i`: all have nine bytes, so they are in the order of their numbers. */
static inline const char *rig_key(uint64_t i)
{
    static _Thread_local char keys[4][24];
    static _Thread_local int next;
    char *key = keys[next++ % 4];
    snprintf(key, sizeof keys[0], "k%08" PRIu64, i);
    return key;
}

/* A value of `len` bytes that follows from `i`, half compressible. Into a buffer of the caller's.
 */
static inline struct slice rig_value(uint64_t i, size_t len, struct buf *room)
{
    struct simrng rng = {i};
    buf_clear(room);
    while (room->len < len) {
        buf_put_u64(room, simrng_next(&rng));
        buf_put_u64(room, i);
    }
    room->len = len;
    return buf_slice(room);
}

/* Keys [from, to), each with a value of `len` bytes; `salt` makes values differ. */
static inline int rig_try_fill(struct rig *r, uint64_t from, uint64_t to, size_t len, uint64_t salt,
                               int flags)
{
    struct buf room = {0};
    int err = 0;
    for (uint64_t i = from; i < to && err == 0; i++)
        err = rig_try_put(r, rig_key(i), rig_value(i + salt, len, &room), flags);
    buf_release(&room);
    return err;
}

static inline void rig_fill(struct rig *r, uint64_t from, uint64_t to, size_t len, uint64_t salt)
{
    assert_ok(rig_try_fill(r, from, to, len, salt, 0));
}

static inline void rig_work(struct rig *r)
{
    int err;
    while ((err = store_work(r->s)) == 0)
        ;
    assert_int_equal(err, 1);
}

static inline void rig_compact(struct rig *r)
{
    assert_ok(store_compact(r->s, (struct slice){0}, (struct slice){0}));
}

static inline struct store_stats rig_stats(struct rig *r)
{
    struct store_stats st;
    assert_ok(store_get_stats(r->s, &st));
    return st;
}

/* ---- assertions ---- */

/* What `read` has under `key`: NULL: nothing. */
static inline void rig_assert_at(const struct store_read *read, const char *key, const char *value)
{
    struct store_value v = {0};
    int err = store_get(read, slice_str(key), &v), has = store_has(read, slice_str(key));
    if (err < 0 || err != has || err != (value ? 0 : 1))
        fail_msg("key %s: get %d, has %d, but %s", key, err, has, value ? "it is there" : "not");
    if (value)
        assert_slice_str(v.data, value);
    store_value_release(&v);
}

static inline void rig_assert(struct rig *r, const char *key, const char *value)
{
    struct store_read read;
    store_read_begin(r->s, &read);
    rig_assert_at(&read, key, value);
    store_read_end(&read);
}

/* Keys [from, to) are there as rig_fill() made them. */
static inline void rig_assert_fill_at(const struct store_read *read, uint64_t from, uint64_t to,
                                      size_t len, uint64_t salt)
{
    struct store_value v = {0};
    struct buf room = {0};
    for (uint64_t i = from; i < to; i++) {
        int err = store_get(read, slice_str(rig_key(i)), &v);
        if (err != 0)
            fail_msg("key %" PRIu64 ": %d", i, err);
        if (!slice_eq(v.data, rig_value(i + salt, len, &room)))
            fail_msg("key %" PRIu64 " has another value", i);
    }
    store_value_release(&v);
    buf_release(&room);
}

static inline void rig_assert_fill(struct rig *r, uint64_t from, uint64_t to, size_t len,
                                   uint64_t salt)
{
    struct store_read read;
    store_read_begin(r->s, &read);
    rig_assert_fill_at(&read, from, to, len, salt);
    store_read_end(&read);
}

/* How many keys a cursor finds in all. */
static inline uint64_t rig_count(struct rig *r)
{
    struct store_read read;
    uint64_t count = 0;
    store_read_begin(r->s, &read);
    struct store_iter *it = store_iter_new(&read, (struct slice){0}, (struct slice){0});
    int err = store_iter_first(it);
    for (; err == 0; err = store_iter_next(it))
        count++;
    assert_int_equal(err, 1);
    store_iter_free(it);
    store_read_end(&read);
    return count;
}

struct rig_findings {
    int damage, warnings, notes;
    int codes[64]; /* how often each code - 100 */
    char text[400];
};

static inline int rig_note_finding(void *ctx, const struct store_finding *f)
{
    struct rig_findings *n = ctx;
    n->damage += f->severity == STORE_DAMAGE;
    n->warnings += f->severity == STORE_WARNING;
    n->notes += f->severity == STORE_NOTE;
    if (f->code > 100 && f->code < 164)
        n->codes[f->code - 100]++;
    if (f->severity != STORE_NOTE)
        snprintf(n->text, sizeof n->text, "%d %s: %s", f->code, f->file, f->text);
    return 0;
}

/* The verifier on the store, which must be closed. */
static inline struct rig_findings rig_check(struct rig *r)
{
    struct rig_findings found = {0};
    struct store_options o = r->opt;
    struct store *s;
    o.read_only = true;
    assert_null(r->s);
    assert_ok(store_open(r->dir, &o, &s));
    assert_ok(store_check(s, rig_note_finding, NULL, &found));
    assert_ok(store_close(s));
    return found;
}

/* Closes the store; the verifier has nothing to say. */
static inline void rig_close_clean(struct rig *r)
{
    rig_close(r);
    struct rig_findings found = rig_check(r);
    if (found.damage || found.warnings)
        fail_msg("the verifier says: %s", found.text);
}

#endif
