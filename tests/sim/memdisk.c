/* memdisk: see memdisk.h.
 *
 * Guarantees: each call answers as env_posix does (tests/unit/store_env.c runs the same tests on
 * both).
 *
 * Invariants:
 *   1. `names` ascends bytewise by path; the folder of each name is there, before it.
 *   2. A node lives as long as a name, an open file or a lock refers to it.
 *   3. Lock order: `names_lock`, then a node's. */
#include "tests/sim/memdisk.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "store/bytes.h"

struct memnode {
    unsigned refs; /* [names_lock] names, files and locks */
    bool is_folder;
    unsigned readers; /* [names_lock] locks for reading */
    bool writer;      /* [names_lock] an exclusive lock */
    pthread_rwlock_t lock;
    uint64_t size;    /* [lock] */
    struct buf bytes; /* [lock] the beginning; what is missing up to `size` reads as zeros */
};

struct memname {
    char *path; /* "/a/b"; the root, "", has no entry */
    struct memnode *node;
};

struct memdisk {
    struct env env; /* ctx points back to the disk */
    pthread_mutex_t names_lock;
    struct memname *names; /* [names_lock] */
    size_t count, cap;
    size_t open; /* [names_lock] files and locks */
};

struct memfile {
    struct env_file base;
    struct memdisk *disk;
    struct memnode *node; /* a reference */
    bool writable;
};

struct env_lock {
    struct memnode *node; /* a reference */
    bool exclusive;
};

static struct memdisk *disk_of(struct env *env)
{
    return env->ctx;
}

/* ---- names ---- */

/* "/a//b/./c" and "a/b/c" are "/a/b/c". malloc'd. */
static char *normalized(const char *path)
{
    struct buf out = {0};
    while (*path) {
        path += strspn(path, "/");
        size_t len = strcspn(path, "/");
        if (len > 0 && !(len == 1 && *path == '.')) {
            buf_put_u8(&out, '/');
            buf_append_bytes(&out, path, len);
        }
        path += len;
    }
    buf_put_u8(&out, 0);
    return (char *)out.data;
}

/* Where the path is, or would be. [names_lock] */
static size_t position(const struct memdisk *d, const char *path, bool *found)
{
    size_t lo = 0, hi = d->count;
    *found = false;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int order = strcmp(d->names[mid].path, path);
        if (order == 0) {
            *found = true;
            return mid;
        }
        if (order < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* What is at the normalized path: 0, with NULL for the root; -ENOENT, or -ENOTDIR when a file is on
 * the way. [names_lock] */
static int look(const struct memdisk *d, const char *path, struct memnode **out)
{
    bool found;
    char *above = mem_strdup(path);
    int err = 0;
    *out = NULL;
    for (char *at = strchr(above + (*above == '/'), '/'); at && err == 0;
         at = strchr(at + 1, '/')) {
        *at = 0;
        size_t i = position(d, above, &found);
        err = !found ? -ENOENT : d->names[i].node->is_folder ? 0 : -ENOTDIR;
        *at = '/';
    }
    free(above);
    if (err < 0 || !*path)
        return err;
    size_t i = position(d, path, &found);
    if (!found)
        return -ENOENT;
    *out = d->names[i].node;
    return 0;
}

static int look_for_file(const struct memdisk *d, const char *path, struct memnode **out)
{
    int err = look(d, path, out);
    return err < 0 ? err : !*out || (*out)->is_folder ? -EISDIR : 0;
}

/* Can something be made at the path? 0; -EEXIST; or why not. [names_lock] */
static int look_for_room(const struct memdisk *d, const char *path)
{
    struct memnode *node;
    char *above = mem_strdup(path), *slash = strrchr(above, '/');
    int err = look(d, path, &node);
    if (err == 0) {
        err = -EEXIST;
    } else if (err == -ENOENT && slash) {
        *slash = 0;
        err = look(d, above, &node); /* the folder it would be in */
        if (err == 0 && node && !node->is_folder)
            err = -ENOTDIR;
    }
    free(above);
    return err;
}

static void unref(struct memnode *n)
{
    assert(n->refs > 0);
    if (--n->refs > 0)
        return;
    pthread_rwlock_destroy(&n->lock);
    buf_release(&n->bytes);
    free(n);
}

/* Takes a reference of its own. [names_lock] */
static void name_add(struct memdisk *d, const char *path, struct memnode *node)
{
    bool found;
    size_t i = position(d, path, &found);
    assert(!found);
    if (d->count == d->cap) {
        d->cap = d->cap ? 2 * d->cap : 64;
        d->names = mem_realloc(d->names, d->cap * sizeof *d->names);
    }
    memmove(d->names + i + 1, d->names + i, (d->count - i) * sizeof *d->names);
    d->names[i] = (struct memname){mem_strdup(path), node};
    d->count++;
    node->refs++;
}

/* [names_lock] */
static void name_drop(struct memdisk *d, const char *path)
{
    bool found;
    size_t i = position(d, path, &found);
    assert(found);
    unref(d->names[i].node);
    free(d->names[i].path);
    memmove(d->names + i, d->names + i + 1, (d->count - i - 1) * sizeof *d->names);
    d->count--;
}

/* Not yet referred to. */
static struct memnode *node_new(bool is_folder)
{
    struct memnode *n = mem_zalloc(sizeof *n);
    n->is_folder = is_folder;
    pthread_rwlock_init(&n->lock, NULL);
    return n;
}

/* ---- files ---- */

static struct memfile *file_of(struct env_file *f)
{
    return (struct memfile *)f;
}

static int mem_read(struct env_file *f, uint64_t offset, void *data, size_t len, size_t *got)
{
    struct memnode *n = file_of(f)->node;
    pthread_rwlock_rdlock(&n->lock);
    uint64_t left = offset < n->size ? n->size - offset : 0;
    size_t stored = offset < n->bytes.len ? n->bytes.len - (size_t)offset : 0;
    *got = len < left ? len : (size_t)left;
    stored = stored < *got ? stored : *got;
    if (stored > 0)
        memcpy(data, n->bytes.data + offset, stored);
    if (*got > stored)
        memset((uint8_t *)data + stored, 0, *got - stored);
    pthread_rwlock_unlock(&n->lock);
    return 0;
}

/* Stores zeros up to `end`. [node's lock] */
static void extend(struct memnode *n, size_t end)
{
    if (end > n->bytes.len) {
        memset(buf_reserve(&n->bytes, end - n->bytes.len), 0, end - n->bytes.len);
        n->bytes.len = end;
    }
    if (end > n->size)
        n->size = end;
}

static bool too_far(uint64_t offset, uint64_t len)
{
    return offset > INT64_MAX || len > INT64_MAX - offset;
}

static int mem_write(struct env_file *f, uint64_t offset, const void *data, size_t len)
{
    struct memnode *n = file_of(f)->node;
    if (!file_of(f)->writable)
        return -EBADF;
    if (too_far(offset, len))
        return -EFBIG;
    pthread_rwlock_wrlock(&n->lock);
    if (len > 0) {
        extend(n, (size_t)offset + len);
        memcpy(n->bytes.data + offset, data, len);
    }
    pthread_rwlock_unlock(&n->lock);
    return 0;
}

static int mem_truncate(struct env_file *f, uint64_t size)
{
    struct memnode *n = file_of(f)->node;
    if (!file_of(f)->writable)
        return -EBADF;
    if (too_far(size, 0))
        return -EFBIG;
    pthread_rwlock_wrlock(&n->lock);
    if (n->bytes.len > size)
        n->bytes.len = (size_t)size;
    n->size = size;
    pthread_rwlock_unlock(&n->lock);
    return 0;
}

static int mem_sync(struct env_file *f)
{
    (void)f;
    return 0;
}

static int mem_allocate(struct env_file *f, uint64_t offset, uint64_t len)
{
    if (!file_of(f)->writable)
        return -EBADF;
    return len == 0 ? 0 : too_far(offset, len) ? -EFBIG : -EOPNOTSUPP;
}

/* Storage is given back with the file. */
static int mem_punch(struct env_file *f, uint64_t offset, uint64_t len)
{
    assert(offset % ENV_PUNCH_UNIT == 0 && len % ENV_PUNCH_UNIT == 0);
    if (!file_of(f)->writable)
        return -EBADF;
    return len == 0 ? 0 : too_far(offset, len) ? -EFBIG : -EOPNOTSUPP;
}

static int mem_size(struct env_file *f, uint64_t *size)
{
    struct memnode *n = file_of(f)->node;
    pthread_rwlock_rdlock(&n->lock);
    *size = n->size;
    pthread_rwlock_unlock(&n->lock);
    return 0;
}

static void let_go(struct memdisk *d, struct memnode *n)
{
    assert(d->open > 0);
    d->open--;
    unref(n);
}

static void mem_close(struct env_file *f)
{
    struct memfile *m = file_of(f);
    pthread_mutex_lock(&m->disk->names_lock);
    let_go(m->disk, m->node);
    pthread_mutex_unlock(&m->disk->names_lock);
    free(m);
}

static int mem_open(struct env *env, const char *path, enum env_open_mode mode,
                    struct env_file **out)
{
    static const struct env_file_ops ops = {.read = mem_read,
                                            .write = mem_write,
                                            .sync = mem_sync,
                                            .truncate = mem_truncate,
                                            .allocate = mem_allocate,
                                            .punch = mem_punch,
                                            .size = mem_size,
                                            .close = mem_close};
    struct memdisk *d = disk_of(env);
    struct memnode *node = NULL;
    char *at = normalized(path);
    *out = NULL;
    pthread_mutex_lock(&d->names_lock);
    int err = mode == ENV_OPEN_CREATE ? look_for_room(d, at) : look_for_file(d, at, &node);
    if (err == 0 && mode == ENV_OPEN_CREATE)
        name_add(d, at, node = node_new(false));
    if (err == 0) {
        struct memfile *f = mem_zalloc(sizeof *f);
        *f = (struct memfile){{&ops}, d, node, mode != ENV_OPEN_READ};
        node->refs++;
        d->open++;
        *out = &f->base;
    }
    pthread_mutex_unlock(&d->names_lock);
    free(at);
    return err;
}

/* ---- names: the calls ---- */

static int mem_remove(struct env *env, const char *path)
{
    struct memdisk *d = disk_of(env);
    struct memnode *node;
    char *at = normalized(path);
    pthread_mutex_lock(&d->names_lock);
    int err = look_for_file(d, at, &node);
    if (err == 0)
        name_drop(d, at);
    pthread_mutex_unlock(&d->names_lock);
    free(at);
    return err;
}

/* [names_lock] */
static int rename_file(struct memdisk *d, const char *from, const char *to)
{
    struct memnode *node, *other;
    int err = look_for_file(d, from, &node);
    if (err < 0)
        return err;
    err = look_for_room(d, to);
    if (err == -EEXIST)
        err = look_for_file(d, to, &other);
    else
        other = NULL;
    if (err < 0 || other == node)
        return err;
    if (other)
        name_drop(d, to);
    name_add(d, to, node);
    name_drop(d, from);
    return 0;
}

/* Calls that take two paths. */
static int with_both(struct env *env, const char *from, const char *to,
                     int (*fn)(struct memdisk *d, const char *from, const char *to))
{
    struct memdisk *d = disk_of(env);
    char *a = normalized(from), *b = normalized(to);
    pthread_mutex_lock(&d->names_lock);
    int err = fn(d, a, b);
    pthread_mutex_unlock(&d->names_lock);
    free(a);
    free(b);
    return err;
}

static int mem_rename(struct env *env, const char *from, const char *to)
{
    return with_both(env, from, to, rename_file);
}

static int link_file(struct memdisk *d, const char *from, const char *to)
{
    struct memnode *node;
    int err = look_for_file(d, from, &node);
    if (err == 0)
        err = look_for_room(d, to);
    if (err == 0)
        name_add(d, to, node);
    return err;
}

static int mem_link(struct env *env, const char *from, const char *to)
{
    return with_both(env, from, to, link_file);
}

static int mem_mkdir(struct env *env, const char *path)
{
    struct memdisk *d = disk_of(env);
    char *at = normalized(path);
    pthread_mutex_lock(&d->names_lock);
    int err = look_for_room(d, at);
    if (err == 0)
        name_add(d, at, node_new(true));
    pthread_mutex_unlock(&d->names_lock);
    free(at);
    return err;
}

/* Is there a folder? [names_lock] */
static int look_for_folder(const struct memdisk *d, const char *path)
{
    struct memnode *node;
    int err = look(d, path, &node);
    return err < 0 ? err : node && !node->is_folder ? -ENOTDIR : 0;
}

/* The names in the folder, each with its NUL. [names_lock] */
static void names_in(const struct memdisk *d, const char *folder, struct buf *out)
{
    size_t len = strlen(folder);
    for (size_t i = 0; i < d->count; i++) {
        const char *path = d->names[i].path;
        if (strncmp(path, folder, len) == 0 && path[len] == '/' && !strchr(path + len + 1, '/'))
            buf_append_bytes(out, path + len + 1, strlen(path + len + 1) + 1);
    }
}

/* A copy is walked, since `fn` may change the folder. */
static int mem_list(struct env *env, const char *path, env_list_fn *fn, void *fn_ctx)
{
    struct memdisk *d = disk_of(env);
    struct buf names = {0};
    char *at = normalized(path);
    pthread_mutex_lock(&d->names_lock);
    int err = look_for_folder(d, at);
    if (err == 0)
        names_in(d, at, &names);
    pthread_mutex_unlock(&d->names_lock);
    for (size_t i = 0; err == 0 && i < names.len; i += strlen((char *)names.data + i) + 1)
        err = fn(fn_ctx, (const char *)names.data + i);
    buf_release(&names);
    free(at);
    return err;
}

static int mem_sync_dir(struct env *env, const char *path)
{
    struct memdisk *d = disk_of(env);
    char *at = normalized(path);
    pthread_mutex_lock(&d->names_lock);
    int err = look_for_folder(d, at);
    pthread_mutex_unlock(&d->names_lock);
    free(at);
    return err;
}

static int mem_file_size(struct env *env, const char *path, uint64_t *size)
{
    struct env_file *f;
    *size = 0;
    int err = mem_open(env, path, ENV_OPEN_READ, &f);
    if (err < 0)
        return err;
    mem_size(f, size);
    mem_close(f);
    return 0;
}

static int mem_file_usage(struct env *env, const char *path, struct env_usage *out)
{
    struct memdisk *d = disk_of(env);
    struct memnode *node;
    char *at = normalized(path);
    *out = (struct env_usage){0};
    pthread_mutex_lock(&d->names_lock);
    int err = look_for_file(d, at, &node);
    for (size_t i = 0; i < d->count && err == 0; i++)
        out->links += d->names[i].node == node;
    if (err == 0) {
        pthread_rwlock_rdlock(&node->lock);
        out->stored_bytes = node->bytes.len;
        pthread_rwlock_unlock(&node->lock);
    }
    pthread_mutex_unlock(&d->names_lock);
    free(at);
    return err;
}

/* ---- locks and the rest ---- */

/* [names_lock] */
static int take_lock(struct memdisk *d, struct memnode *node, bool exclusive, struct env_lock **out)
{
    if (node->writer || (exclusive && node->readers > 0))
        return -EAGAIN;
    *out = mem_zalloc(sizeof **out);
    **out = (struct env_lock){node, exclusive};
    node->writer = exclusive;
    node->readers += !exclusive;
    node->refs++;
    d->open++;
    return 0;
}

static int lock_path(struct env *env, const char *path, bool exclusive, struct env_lock **out)
{
    struct memdisk *d = disk_of(env);
    struct memnode *node = NULL;
    char *at = normalized(path);
    *out = NULL;
    pthread_mutex_lock(&d->names_lock);
    int err = look_for_file(d, at, &node);
    if (err == -ENOENT && exclusive) {
        err = look_for_room(d, at);
        if (err == 0)
            name_add(d, at, node = node_new(false));
    }
    if (err == 0)
        err = take_lock(d, node, exclusive, out);
    pthread_mutex_unlock(&d->names_lock);
    free(at);
    return err;
}

static int mem_lock(struct env *env, const char *path, struct env_lock **out)
{
    return lock_path(env, path, true, out);
}

static int mem_lock_read(struct env *env, const char *path, struct env_lock **out)
{
    return lock_path(env, path, false, out);
}

static void mem_unlock(struct env *env, struct env_lock *lock)
{
    struct memdisk *d = disk_of(env);
    pthread_mutex_lock(&d->names_lock);
    assert(lock->exclusive ? lock->node->writer : lock->node->readers > 0);
    if (lock->exclusive)
        lock->node->writer = false;
    else
        lock->node->readers--;
    let_go(d, lock->node);
    pthread_mutex_unlock(&d->names_lock);
    free(lock);
}

uint64_t memdisk_used_bytes(struct memdisk *d)
{
    uint64_t used = 0;
    pthread_mutex_lock(&d->names_lock);
    for (size_t i = 0; i < d->count; i++) {
        size_t first = 0;
        while (d->names[first].node != d->names[i].node)
            first++;
        used += first == i ? d->names[i].node->bytes.len : 0;
    }
    pthread_mutex_unlock(&d->names_lock);
    return used;
}

static int mem_space(struct env *env, const char *path, struct env_space *out)
{
    struct memdisk *d = disk_of(env);
    struct memnode *node;
    char *at = normalized(path);
    *out = (struct env_space){0};
    pthread_mutex_lock(&d->names_lock);
    int err = look(d, at, &node);
    pthread_mutex_unlock(&d->names_lock);
    free(at);
    if (err == 0)
        out->total_bytes = out->free_bytes = UINT64_C(1) << 40;
    return err;
}

static int64_t mem_realtime_ns(struct env *env)
{
    (void)env;
    return env_posix()->realtime_ns(env_posix());
}

static uint64_t mem_monotonic_ns(struct env *env)
{
    (void)env;
    return env_posix()->monotonic_ns(env_posix());
}

static uint64_t mem_preemptions(struct env *env)
{
    (void)env;
    return env_posix()->preemptions(env_posix());
}

static uint32_t mem_processors(struct env *env)
{
    (void)env;
    return env_posix()->processors(env_posix());
}

static void mem_give_way(struct env *env)
{
    (void)env;
    env_posix()->give_way(env_posix());
}

static int mem_random(struct env *env, void *out, size_t len)
{
    (void)env;
    return env_posix()->random(env_posix(), out, len);
}

static int mem_thread_start(struct env *env, void (*fn)(void *arg), void *arg,
                            struct env_thread **out)
{
    (void)env;
    return env_posix()->thread_start(env_posix(), fn, arg, out);
}

static void mem_thread_join(struct env *env, struct env_thread *thread)
{
    (void)env;
    env_posix()->thread_join(env_posix(), thread);
}

struct memdisk *memdisk_new(void)
{
    static const struct env table = {.open = mem_open,
                                     .remove = mem_remove,
                                     .rename = mem_rename,
                                     .link = mem_link,
                                     .mkdir = mem_mkdir,
                                     .list = mem_list,
                                     .sync_dir = mem_sync_dir,
                                     .file_size = mem_file_size,
                                     .file_usage = mem_file_usage,
                                     .lock = mem_lock,
                                     .lock_read = mem_lock_read,
                                     .unlock = mem_unlock,
                                     .space = mem_space,
                                     .realtime_ns = mem_realtime_ns,
                                     .monotonic_ns = mem_monotonic_ns,
                                     .preemptions = mem_preemptions,
                                     .processors = mem_processors,
                                     .give_way = mem_give_way,
                                     .random = mem_random,
                                     .thread_start = mem_thread_start,
                                     .thread_join = mem_thread_join};
    struct memdisk *d = mem_zalloc(sizeof *d);
    d->env = table;
    d->env.ctx = d;
    pthread_mutex_init(&d->names_lock, NULL);
    return d;
}

void memdisk_free(struct memdisk *d)
{
    if (!d)
        return;
    assert(d->open == 0);
    for (size_t i = 0; i < d->count; i++) {
        unref(d->names[i].node);
        free(d->names[i].path);
    }
    free(d->names);
    pthread_mutex_destroy(&d->names_lock);
    free(d);
}

struct env *memdisk_env(struct memdisk *d)
{
    return &d->env;
}
