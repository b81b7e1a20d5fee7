/* env_posix: what the real system adds to the contract of env.h: modes, other processes, signals,
 * limits.
 */
#include "store/env_posix.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/unit/env_place.h"

static unsigned mode_of(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 07777;
}

static void test_modes(void **state)
{
    struct place *p = *state;
    struct env_lock *lock;
    mode_t before = umask(0);
    file_make(p->env, in(p, "a"), "");
    assert_ok(p->env->mkdir(p->env, in(p, "sub")));
    assert_ok(p->env->lock(p->env, in(p, "LOCK"), &lock));
    umask(before);
    assert_int_equal(mode_of(in(p, "a")), 0600);
    assert_int_equal(mode_of(in(p, "sub")), 0700);
    assert_int_equal(mode_of(in(p, "LOCK")), 0600);
    p->env->unlock(p->env, lock);
}

/* What is open in this process is not open in a program that it runs. */
static int inherited_descriptors(void)
{
    int count = 0;
    for (int fd = 3; fd < 256; fd++) {
        int flags = fcntl(fd, F_GETFD);
        count += flags >= 0 && !(flags & FD_CLOEXEC);
    }
    return count;
}

static int check_descriptors(void *ctx, const char *name)
{
    (void)name;
    assert_int_equal(inherited_descriptors(), *(int *)ctx);
    return 0;
}

static void test_close_on_exec(void **state)
{
    struct place *p = *state;
    int before = inherited_descriptors();
    struct env_lock *lock;
    struct env_file *w = file_open(p->env, in(p, "a"), ENV_OPEN_CREATE);
    struct env_file *r = file_open(p->env, in(p, "a"), ENV_OPEN_READ);
    assert_ok(p->env->lock(p->env, in(p, "LOCK"), &lock));
    assert_ok(p->env->list(p->env, p->folder, check_descriptors, &before));
    p->env->unlock(p->env, lock);
    w->ops->close(w);
    r->ops->close(r);
}

static void test_not_a_regular_file(void **state)
{
    struct place *p = *state;
    struct env_file *f;
    uint64_t size;
    assert_errno(p->env->open(p->env, "/dev/null", ENV_OPEN_READ, &f), EINVAL);
    assert_errno(p->env->file_size(p->env, "/dev/null", &size), EINVAL);
    assert_int_equal(mkfifo(in(p, "fifo"), 0600), 0);
    assert_errno(p->env->open(p->env, in(p, "fifo"), ENV_OPEN_READ, &f), EINVAL);
}

static void read_pid(const char *path, char *text, size_t size)
{
    struct env_file *f = file_open(env_posix(), path, ENV_OPEN_READ);
    size_t got;
    assert_ok(f->ops->read(f, 0, text, size - 1, &got));
    text[got] = 0;
    f->ops->close(f);
}

/* The exit status of a child that tries to take the lock: 0, or the errno. */
static int lock_in_child(const char *path)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        struct env_lock *lock;
        _exit(-env_posix()->lock(env_posix(), path, &lock));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* Not even its times. */
static void test_lock_read_leaves_no_trace(void **state)
{
    struct place *p = *state;
    struct env_lock *lock;
    struct stat before, after;
    file_make(p->env, in(p, "LOCK"), "12345\n");
    assert_int_equal(chmod(in(p, "LOCK"), 0400), 0);
    assert_int_equal(stat(in(p, "LOCK"), &before), 0);
    assert_ok(p->env->lock_read(p->env, in(p, "LOCK"), &lock));
    assert_int_equal(lock_in_child(in(p, "LOCK")), EAGAIN);
    p->env->unlock(p->env, lock);
    assert_int_equal(stat(in(p, "LOCK"), &after), 0);
    assert_memory_equal(&before.st_mtim, &after.st_mtim, sizeof before.st_mtim);
    assert_memory_equal(&before.st_ctim, &after.st_ctim, sizeof before.st_ctim);
    file_assert_at(p->env, in(p, "LOCK"), "12345\n");
}

static void test_lock_and_processes(void **state)
{
    struct place *p = *state;
    struct env_lock *lock;
    char text[32], own[32];
    snprintf(own, sizeof own, "%ld\n", (long)getpid());
    assert_int_equal(lock_in_child(in(p, "LOCK")), 0); /* which ended, and the lock with it */
    assert_ok(p->env->lock(p->env, in(p, "LOCK"), &lock));
    read_pid(in(p, "LOCK"), text, sizeof text);
    assert_string_equal(text, own);
    assert_int_equal(lock_in_child(in(p, "LOCK")), EAGAIN);
    read_pid(in(p, "LOCK"), text, sizeof text);
    assert_string_equal(text, own);
    p->env->unlock(p->env, lock);
    read_pid(in(p, "LOCK"), text, sizeof text);
    assert_string_equal(text, "");
    assert_int_equal(lock_in_child(in(p, "LOCK")), 0);
}

/* A write that the kernel does in part, and then refuses: the limit makes it so. */
static void test_short_write(void **state)
{
    struct place *p = *state;
    struct rlimit before, low;
    uint8_t data[3000] = {1};
    uint64_t size;
    struct env_file *f = file_open(p->env, in(p, "a"), ENV_OPEN_CREATE);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    low = (struct rlimit){1000, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
    int err = f->ops->write(f, 0, data, sizeof data);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, handler);
    assert_errno(err, EFBIG);
    assert_ok(f->ops->size(f, &size));
    assert_int_equal(size, 1000);
    f->ops->close(f);
}

static pthread_t handled_by;
static atomic_int handled;

static void on_signal(int number)
{
    (void)number;
    handled_by = pthread_self();
    atomic_fetch_add(&handled, 1);
}

struct work {
    atomic_int *turn;
    sigset_t mask;
};

static void wait_for_turn(void *arg)
{
    struct work *w = arg;
    pthread_sigmask(SIG_SETMASK, NULL, &w->mask);
    atomic_store(w->turn, 1);
    while (atomic_load(w->turn) != 2)
        usleep(100);
}

/* A signal to the process is handled by a thread of the program, not by one of the env. */
static void test_threads_take_no_signals(void **state)
{
    struct place *p = *state;
    struct env_thread *thread;
    atomic_int turn = 0;
    struct work w = {.turn = &turn};
    struct sigaction action = {.sa_handler = on_signal}, before;
    sigset_t mine, after;
    pthread_sigmask(SIG_SETMASK, NULL, &mine);
    assert_ok(p->env->thread_start(p->env, wait_for_turn, &w, &thread));
    while (atomic_load(&turn) != 1)
        usleep(100);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    sigaction(SIGUSR1, &action, &before);
    for (int i = 1; i <= 20; i++) {
        kill(getpid(), SIGUSR1);
        while (atomic_load(&handled) < i)
            usleep(100);
        assert_true(pthread_equal(handled_by, pthread_self()));
    }
    atomic_store(&turn, 2);
    p->env->thread_join(p->env, thread);
    sigaction(SIGUSR1, &before, NULL);
    static const int some[] = {SIGINT, SIGTERM, SIGHUP, SIGCHLD, SIGUSR1, SIGPIPE, SIGALRM};
    for (size_t i = 0; i < sizeof some / sizeof some[0]; i++) {
        assert_true(sigismember(&w.mask, some[i]));
        assert_int_equal(sigismember(&after, some[i]), sigismember(&mine, some[i]));
    }
    assert_false(sigismember(&w.mask, SIGSEGV));
}

static void count_up(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
}

static void test_threads(void **state)
{
    enum { THREADS = 8 };
    struct place *p = *state;
    struct env_thread *threads[THREADS];
    atomic_int count = 0;
    for (int i = 0; i < THREADS; i++)
        assert_ok(p->env->thread_start(p->env, count_up, &count, &threads[i]));
    for (int i = 0; i < THREADS; i++)
        p->env->thread_join(p->env, threads[i]);
    assert_int_equal(atomic_load(&count), THREADS);
}

struct manners {
    struct env *env;
    int before, after;
    uint64_t preemptions;
};

static void give_way(void *arg)
{
    struct manners *m = arg;
    m->before = getpriority(PRIO_PROCESS, 0);
    m->preemptions = m->env->preemptions(m->env);
    m->env->give_way(m->env);
    m->after = getpriority(PRIO_PROCESS, 0);
}

/* It concerns the thread that asks for it, and no other. */
static void test_threads_give_way(void **state)
{
    struct place *p = *state;
    struct env_thread *thread;
    struct manners m = {.env = p->env};
    int mine = getpriority(PRIO_PROCESS, 0);
    assert_ok(p->env->thread_start(p->env, give_way, &m, &thread));
    p->env->thread_join(p->env, thread);
    assert_int_equal(m.before, mine);
    assert_true(m.after > m.before || m.before >= 10);
    assert_true(m.preemptions < 1000);
    assert_int_equal(getpriority(PRIO_PROCESS, 0), mine);
}

static void test_processors_are_those_the_process_may_use(void **state)
{
    struct place *p = *state;
    cpu_set_t all, one;
    assert_ok(sched_getaffinity(0, sizeof all, &all));
    assert_int_equal(p->env->processors(p->env), CPU_COUNT(&all));
    CPU_ZERO(&one);
    for (size_t i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++)
        if (CPU_ISSET(i, &all))
            CPU_SET(i, &one);
    assert_ok(sched_setaffinity(0, sizeof one, &one));
    assert_int_equal(p->env->processors(p->env), 1);
    assert_ok(sched_setaffinity(0, sizeof all, &all));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLACE_POSIX(test_modes),
        PLACE_POSIX(test_close_on_exec),
        PLACE_POSIX(test_not_a_regular_file),
        PLACE_POSIX(test_lock_read_leaves_no_trace),
        PLACE_POSIX(test_lock_and_processes),
        PLACE_POSIX(test_short_write),
        PLACE_POSIX(test_threads_take_no_signals),
        PLACE_POSIX(test_threads),
        PLACE_POSIX(test_threads_give_way),
        PLACE_POSIX(test_processors_are_those_the_process_may_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
