/* env_posix: the real system behind env.h: folders, locks, space, clocks, randomness, threads.
 * Files are in env_posix_file.c.
 *
 * Guarantees: no call returns early because of a signal; no descriptor survives exec(2); threads
 * started here never run a handler of the process's signals.
 *
 * Invariants:
 *  1. A lock is flock(2) on a description of its own, opened by lock() and closed by unlock(): so
 *     it excludes other holders in this process as well, and ends with the process.
 *  2. The lock file is never removed: two processes could hold locks on two files of the same name.
 *  3. The table is constant and has no state. */
#include "store/env_posix.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "store/bytes.h"
#include "store/fd_pool.h"
#include "store/timed.h"

struct env_lock {
    int fd;
    bool exclusive;
};

struct env_thread {
    pthread_t id;
    void (*fn)(void *arg);
    void *arg;
};

static int posix_remove(struct env *env, const char *path)
{
    (void)env;
    return unlink(path) ? -errno : 0;
}

static int posix_rename(struct env *env, const char *from, const char *to)
{
    (void)env;
    return rename(from, to) ? -errno : 0;
}

static int posix_link(struct env *env, const char *from, const char *to)
{
    (void)env;
    return link(from, to) ? -errno : 0;
}

static int posix_mkdir(struct env *env, const char *path)
{
    (void)env;
    return mkdir(path, 0700) ? -errno : 0;
}

static int list_entries(DIR *dir, env_list_fn *fn, void *fn_ctx)
{
    assert(dir && fn);
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (!entry)
            return -errno;
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        int stop = fn(fn_ctx, entry->d_name);
        if (stop)
            return stop;
    }
}

static int posix_list(struct env *env, const char *path, env_list_fn *fn, void *fn_ctx)
{
    (void)env;
    int fd = fd_pool_open_other(path, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return fd;
    DIR *dir = fdopendir(fd);
    if (!dir) {
        int err = -errno;
        close(fd);
        return err;
    }
    int err = list_entries(dir, fn, fn_ctx);
    closedir(dir);
    return err;
}

static int posix_sync_dir(struct env *env, const char *path)
{
    (void)env;
    int fd = fd_pool_open_other(path, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return fd;
    int err;
    do
        err = fsync(fd) ? -errno : 0;
    while (err == -EINTR);
    close(fd);
    return err;
}

static int stat_file(const char *path, struct stat *st)
{
    if (stat(path, st))
        return -errno;
    if (!S_ISREG(st->st_mode))
        return S_ISDIR(st->st_mode) ? -EISDIR : -EINVAL;
    return 0;
}

static int posix_file_size(struct env *env, const char *path, uint64_t *size)
{
    (void)env;
    struct stat st;
    *size = 0;
    int err = stat_file(path, &st);
    if (err)
        return err;
    assert(st.st_size >= 0);
    *size = (uint64_t)st.st_size;
    return 0;
}

static int posix_file_usage(struct env *env, const char *path, struct env_usage *out)
{
    enum { BLOCK_BYTES = 512 }; /* the unit of st_blocks, whatever the file system's is */
    (void)env;
    struct stat st;
    *out = (struct env_usage){0};
    int err = stat_file(path, &st);
    if (err)
        return err;
    assert(st.st_blocks >= 0);
    *out = (struct env_usage){.links = st.st_nlink,
                              .stored_bytes = (uint64_t)st.st_blocks * BLOCK_BYTES};
    return 0;
}

/* For people who wonder who has it. Nothing depends on it, so a full disk is no reason to fail. */
static void write_pid(int fd)
{
    char text[32];
    int len = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    assert(len > 0 && (size_t)len < sizeof text);
    if (ftruncate(fd, 0) || pwrite(fd, text, (size_t)len, 0) != len)
        return;
}

/* `how` is LOCK_EX or LOCK_SH. */
static int lock_file(const char *path, int open_flags, int how, struct env_lock **out)
{
    *out = NULL;
    int fd = fd_pool_open_other(path, open_flags, 0600);
    if (fd < 0)
        return fd;
    int err;
    do
        err = flock(fd, how | LOCK_NB) ? -errno : 0;
    while (err == -EINTR);
    if (err) {
        close(fd);
        return err == -EWOULDBLOCK ? -EAGAIN : err;
    }
    *out = mem_zalloc(sizeof **out);
    **out = (struct env_lock){.fd = fd, .exclusive = how == LOCK_EX};
    return 0;
}

static int posix_lock(struct env *env, const char *path, struct env_lock **out)
{
    (void)env;
    int err = lock_file(path, O_RDWR | O_CREAT, LOCK_EX, out);
    if (!err)
        write_pid((*out)->fd);
    return err;
}

static int posix_lock_read(struct env *env, const char *path, struct env_lock **out)
{
    (void)env;
    return lock_file(path, O_RDONLY, LOCK_SH, out);
}

/* The explicit LOCK_UN matters where a child that was forked meanwhile shares the description. */
static void posix_unlock(struct env *env, struct env_lock *lock)
{
    (void)env;
    assert(lock && lock->fd >= 0);
    if (lock->exclusive) {
        int ignored = ftruncate(lock->fd, 0); /* or an old number stays in it: no harm */
        (void)ignored;
    }
    flock(lock->fd, LOCK_UN);
    close(lock->fd);
    free(lock);
}

static int posix_space(struct env *env, const char *path, struct env_space *out)
{
    (void)env;
    struct statvfs st;
    *out = (struct env_space){0};
    int err;
    do
        err = statvfs(path, &st) ? -errno : 0;
    while (err == -EINTR);
    if (err)
        return err;
    uint64_t unit_bytes = st.f_frsize ? st.f_frsize : st.f_bsize;
    out->total_bytes = unit_bytes * st.f_blocks;
    out->free_bytes = unit_bytes * (geteuid() == 0 ? st.f_bfree : st.f_bavail);
    return 0;
}

static uint64_t clock_ns(clockid_t id)
{
    struct timespec t;
    int err = clock_gettime(id, &t);
    assert(err == 0 && t.tv_sec >= 0);
    (void)err;
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int64_t posix_realtime_ns(struct env *env)
{
    (void)env;
    return (int64_t)clock_ns(CLOCK_REALTIME_COARSE);
}

static uint64_t posix_monotonic_ns(struct env *env)
{
    (void)env;
    return clock_ns(CLOCK_MONOTONIC);
}

static uint64_t posix_preemptions(struct env *env)
{
    struct rusage usage;
    (void)env;
    return getrusage(RUSAGE_THREAD, &usage) == 0 ? (uint64_t)usage.ru_nivcsw : 0;
}

static uint32_t posix_processors(struct env *env)
{
    cpu_set_t set;
    (void)env;
    int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 0;
    return count > 0 ? (uint32_t)count : 1; /* more than the set has room for, or not known */
}

/* Priorities are of threads, whatever POSIX says: setpriority(2). */
static void posix_give_way(struct env *env)
{
    enum { NICE = 10 };
    (void)env;
    setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICE);
}

static int posix_random(struct env *env, void *out, size_t len)
{
    (void)env;
    for (size_t done = 0; done < len;) {
        ssize_t n = getrandom((uint8_t *)out + done, len - done, 0);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0)
            done += (size_t)n;
    }
    return 0;
}

static void *thread_main(void *arg)
{
    struct env_thread *t = arg;
    assert(t && t->fn);
    thread_begin("varve-store");
    t->fn(t->arg);
    return NULL;
}

/* All signals but those that a thread raises by its own fault: blocked, they would end the process
 * without the report that a handler (a sanitizer's, say) has to give. */
static void signals_to_block(sigset_t *set)
{
    static const int own_fault[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT};
    sigfillset(set);
    for (size_t i = 0; i < sizeof own_fault / sizeof own_fault[0]; i++)
        sigdelset(set, own_fault[i]);
}

static int posix_thread_start(struct env *env, void (*fn)(void *arg), void *arg,
                              struct env_thread **out)
{
    (void)env;
    assert(fn);
    *out = NULL;
    struct env_thread *t = mem_zalloc(sizeof *t);
    t->fn = fn;
    t->arg = arg;
    /* A thread inherits the mask of its maker: blocked before, there is no moment without it. */
    sigset_t blocked, before;
    signals_to_block(&blocked);
    pthread_sigmask(SIG_BLOCK, &blocked, &before);
    int err = pthread_create(&t->id, NULL, thread_main, t);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (err) {
        free(t);
        return -err;
    }
    *out = t;
    return 0;
}

static void posix_thread_join(struct env *env, struct env_thread *thread)
{
    (void)env;
    int err = pthread_join(thread->id, NULL);
    assert(err == 0);
    (void)err;
    free(thread);
}

struct env *env_posix(void)
{
    static struct env env = {
        .open = env_posix_open,
        .remove = posix_remove,
        .rename = posix_rename,
        .link = posix_link,
        .mkdir = posix_mkdir,
        .list = posix_list,
        .sync_dir = posix_sync_dir,
        .file_size = posix_file_size,
        .file_usage = posix_file_usage,
        .lock = posix_lock,
        .lock_read = posix_lock_read,
        .unlock = posix_unlock,
        .space = posix_space,
        .realtime_ns = posix_realtime_ns,
        .monotonic_ns = posix_monotonic_ns,
        .preemptions = posix_preemptions,
        .processors = posix_processors,
        .give_way = posix_give_way,
        .random = posix_random,
        .thread_start = posix_thread_start,
        .thread_join = posix_thread_join,
    };
    return &env;
}
