/* fd_pool: see fd_pool.h.
 *
 * Guarantees: a pinned descriptor is never closed; a file is read through the same inode for as
 * long as it is open; the pool's own descriptors stay within the limit except for those pinned.
 *
 * Invariants:
 *  1. `state` is ABSENT or a number of pins. It leaves ABSENT, and becomes ABSENT, only under the
 *     mutex; it becomes ABSENT only from 0 pins. So whoever has added a pin owns the use of `fd`
 *     until the pin is taken off, without the mutex.
 *  2. A file is in the ring exactly if it is not ABSENT; `count` is the length of the ring.
 *  3. `hand` points into the ring, or is NULL when the ring is empty.
 *  4. `fd` is written before the release that makes `state` leave ABSENT, and read after the
 *     acquire that adds a pin. */
#include "store/fd_pool.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/bytes.h"
#include "store/err.h"

#define ABSENT UINT_MAX

static struct {
    pthread_mutex_t mutex; /* protects all of this, and what fd_pool_file says it does */
    pthread_once_t once;
    struct fd_pool_file *hand;
    size_t count, limit;
} pool = {.mutex = PTHREAD_MUTEX_INITIALIZER, .once = PTHREAD_ONCE_INIT};

static void pool_init(void)
{
    struct rlimit r;
    uint64_t own = 256; /* what any system gives, if this one does not say */
    if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
        rlim_t soft = r.rlim_cur;
        r.rlim_cur = r.rlim_max;
        own = setrlimit(RLIMIT_NOFILE, &r) == 0 ? r.rlim_max : soft;
    }
    own /= 2;
    pool.limit = own > FD_POOL_LIMIT_MAX ? FD_POOL_LIMIT_MAX : own < 1 ? 1 : (size_t)own;
}

static void pool_lock(void)
{
    pthread_once(&pool.once, pool_init);
    pthread_mutex_lock(&pool.mutex);
    assert(pool.limit >= 1);
    assert((pool.count == 0) == (pool.hand == NULL));
}

static void pool_unlock(void)
{
    pthread_mutex_unlock(&pool.mutex);
}

/* Just behind the hand, so that the others are looked at first. */
static void ring_insert(struct fd_pool_file *f)
{
    assert(!f->next && !f->prev);
    if (pool.hand) {
        f->next = pool.hand;
        f->prev = pool.hand->prev;
        f->prev->next = f;
        f->next->prev = f;
    } else {
        pool.hand = f->next = f->prev = f;
    }
    pool.count++;
}

static void ring_remove(struct fd_pool_file *f)
{
    assert(f->next && f->prev && pool.count > 0);
    if (pool.hand == f)
        pool.hand = f->next == f ? NULL : f->next;
    f->prev->next = f->next;
    f->next->prev = f->prev;
    f->next = f->prev = NULL;
    pool.count--;
}

/* With the mutex held and `state` ABSENT or private to the caller. */
static void drop_descriptor(struct fd_pool_file *f)
{
    assert(f->fd >= 0);
    ring_remove(f);
    close(f->fd);
    f->fd = -1;
}

/* Closes one idle descriptor: the first under the hand that was not used since the last round. Two
 * rounds, because the first may only clear marks. False: all are pinned. */
static bool evict_one(void)
{
    for (size_t steps = 2 * pool.count; steps > 0; steps--) {
        struct fd_pool_file *f = pool.hand;
        pool.hand = f->next;
        if (atomic_exchange_explicit(&f->used, false, memory_order_relaxed))
            continue;
        unsigned idle = 0;
        if (atomic_compare_exchange_strong_explicit(&f->state, &idle, ABSENT, memory_order_acquire,
                                                    memory_order_relaxed)) {
            drop_descriptor(f);
            return true;
        }
    }
    return false;
}

/* With the mutex held. */
static void evict_to(size_t count)
{
    while (pool.count > count && evict_one())
        ;
}

static int open_once(const char *path, int flags, mode_t mode)
{
    int fd;
    do
        fd = open(path, flags | O_CLOEXEC | O_NOCTTY, mode);
    while (fd < 0 && errno == EINTR);
    return fd < 0 ? -errno : fd;
}

/* With the mutex held: gives descriptors up as long as the system has none. */
static int open_insisting(const char *path, int flags, mode_t mode)
{
    for (;;) {
        int fd = open_once(path, flags, mode);
        if ((fd != -EMFILE && fd != -ENFILE) || !evict_one())
            return fd;
    }
}

int fd_pool_open_other(const char *path, int flags, mode_t mode)
{
    int fd = open_once(path, flags, mode);
    if (fd != -EMFILE && fd != -ENFILE)
        return fd;
    pool_lock();
    fd = open_insisting(path, flags, mode);
    pool_unlock();
    return fd;
}

/* With the mutex held. Returns a descriptor of a regular file, or a negative errno. Not blocking
 * matters only if it is a pipe: opening that would wait for a writer. */
static int open_regular(const char *path, struct stat *st)
{
    evict_to(pool.limit - 1);
    int fd = open_insisting(path, O_RDONLY | O_NONBLOCK, 0);
    if (fd < 0)
        return fd;
    int err = fstat(fd, st) != 0 ? -errno : 0;
    if (!err && !S_ISREG(st->st_mode))
        err = S_ISDIR(st->st_mode) ? -EISDIR : -EINVAL;
    if (!err)
        return fd;
    close(fd);
    return err;
}

/* With the mutex held: gives an ABSENT file its descriptor, with `pins` pins. */
static void attach(struct fd_pool_file *f, int fd, unsigned pins)
{
    assert(fd >= 0 && f->fd < 0);
    f->fd = fd;
    ring_insert(f);
    atomic_store_explicit(&f->state, pins, memory_order_release);
}

/* With the mutex held: opens an ABSENT file again and pins it. */
static int open_again(struct fd_pool_file *f)
{
    struct stat st;
    int fd = open_regular(f->path, &st);
    if (fd == -ENOENT || fd == -ENOTDIR || fd == -EISDIR || fd == -EINVAL)
        return corrupt(f->path, UINT64_MAX, "removed while it was open");
    if (fd < 0)
        return fd;
    if (st.st_dev != f->dev || st.st_ino != f->ino) {
        close(fd);
        return corrupt(f->path, UINT64_MAX, "replaced while it was open");
    }
    attach(f, fd, 1);
    return 0;
}

int fd_pool_open(struct fd_pool_file *f, const char *path)
{
    struct stat st;
    *f = (struct fd_pool_file){.fd = -1};
    atomic_init(&f->state, ABSENT);
    atomic_init(&f->used, false);
    pool_lock();
    int fd = open_regular(path, &st);
    if (fd >= 0) {
        f->path = mem_strdup(path);
        f->dev = st.st_dev;
        f->ino = st.st_ino;
        attach(f, fd, 0);
    }
    pool_unlock();
    return fd < 0 ? fd : 0;
}

void fd_pool_close(struct fd_pool_file *f)
{
    pool_lock();
    unsigned state = atomic_exchange_explicit(&f->state, ABSENT, memory_order_acquire);
    assert(state == 0 || state == ABSENT);
    if (state == 0)
        drop_descriptor(f);
    pool_unlock();
    free(f->path);
    f->path = NULL;
}

static int pin_slowly(struct fd_pool_file *f)
{
    int err = 0;
    pool_lock();
    /* Somebody else may have opened it meanwhile; by invariant 1 it now stays open. */
    if (atomic_load_explicit(&f->state, memory_order_relaxed) == ABSENT)
        err = open_again(f);
    else
        atomic_fetch_add_explicit(&f->state, 1, memory_order_acquire);
    pool_unlock();
    return err;
}

int fd_pool_pin(struct fd_pool_file *f, int *fd)
{
    *fd = -1;
    unsigned pins = atomic_load_explicit(&f->state, memory_order_relaxed);
    while (pins != ABSENT &&
           !atomic_compare_exchange_weak_explicit(&f->state, &pins, pins + 1, memory_order_acquire,
                                                  memory_order_relaxed))
        ;
    if (pins == ABSENT) {
        /* Not yet `used`: what is read once must not push out what is read often. */
        int err = pin_slowly(f);
        if (err)
            return err;
    } else if (!atomic_load_explicit(&f->used, memory_order_relaxed)) {
        /* Asked first, so that a file that everybody reads is not written to by everybody. */
        atomic_store_explicit(&f->used, true, memory_order_relaxed);
    }
    *fd = f->fd;
    assert(*fd >= 0);
    return 0;
}

void fd_pool_unpin(struct fd_pool_file *f)
{
    unsigned before = atomic_fetch_sub_explicit(&f->state, 1, memory_order_release);
    assert(before != ABSENT && before > 0);
    (void)before;
}

void fd_pool_set_limit(size_t limit)
{
    pool_lock();
    pool.limit = limit ? limit : 1;
    evict_to(pool.limit);
    pool_unlock();
}

size_t fd_pool_limit(void)
{
    pool_lock();
    size_t limit = pool.limit;
    pool_unlock();
    return limit;
}

size_t fd_pool_count(void)
{
    pool_lock();
    size_t count = pool.count;
    pool_unlock();
    return count;
}
