/* guard: see guard.h.
 *
 * What it is for. Some threads of the daemon ask the kernel for something that it does by asking
 * the daemon: to write back a file's pages (settle), or to do something on our own mount (control).
 * There they wait where no signal reaches them. If the daemon is killed then, those who would
 * answer are gone, and the one who waits keeps the process, and /dev/fuse open, so that the kernel
 * goes on waiting for answers: for ever, and with it every program on the mount. Nobody within the
 * process can change that.
 *
 * How it knows. The kernel signals a child when the thread that made it ends (PR_SET_PDEATHSIG),
 * which is not the end of the process: a thread that waits as above survives the main thread. A
 * process that crashes is worse: all its threads wait for the last before they end, so that a core
 * can be dumped, also where none is wanted. So what crashes says so itself before. With io_uring
 * cutting does not help then: a request on its way to the thread of a ring stays where it is until
 * that thread goes on or ends (Linux 6.18). So there no core is dumped.
 *
 * Invariants:
 *  1. It cuts nothing but the connection of its own mount: it has the number from the time when
 * that was made, it is ended when that is closed, and it looks whether somebody else has the
 * number.
 *  2. It touches nothing on the mount: that would wait as all others do.
 *  3. It has no file of the daemon's open, no terminal, no folder, and none of its secrets.
 *  4. All its signals are blocked; it takes two of them where it waits for them. Only a signal that
 * the daemon sent counts as the daemon's. */
#include "mount/guard.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/fs.h"
#include "mount/log.h"
#include "mount/mounts.h"

enum { DEATH_SIGNAL = SIGUSR1, PATIENCE_MS = 1000, CUT_MS = 5000, PROCESS_FD = 3 };

static const char name[] = "varvefs-guard";

static pid_t guard;       /* atomic; 0: there is none */
static unsigned *device;  /* atomic; shared with the guard: the mount's minor number; 0: no mount */
static bool without_core; /* set before other threads run */

/* ---- in the guard: what it is not to have ---- */

/* Leaves PROCESS_FD, which tells of the daemon's end, and nothing else. */
static void leave_files(int process)
{
    dup2(process, PROCESS_FD);
    close_range(PROCESS_FD + 1, ~0U, 0);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd < PROCESS_FD; fd++)
        if (null < 0 || dup2(null, fd) < 0)
            close(fd);
    if (null > PROCESS_FD)
        close(null);
}

/* Those who look for a daemon look for the paths in its command line. The strings that argv points
 * to are one after the other, and the name of the program is the first. */
static void leave_arguments(void)
{
    char piece[512], *args = program_invocation_name;
    size_t len = 0;
    ssize_t n;
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && (n = read(fd, piece, sizeof piece)) > 0)
        len += (size_t)n;
    if (fd >= 0)
        close(fd);
    if (len > 0) {
        memset(args, 0, len);
        memcpy(args, name, len < sizeof name ? len - 1 : sizeof name - 1);
    }
    (void)prctl(PR_SET_NAME, name, 0, 0, 0);
}

/* ---- in the guard: cutting ---- */

static int write_abort(int folder, const char *path)
{
    int fd = openat(folder, path, O_WRONLY | O_CLOEXEC);
    int err = fd < 0 || write(fd, "1", 1) != 1 ? -errno : 0;
    if (fd >= 0)
        close(fd);
    return err;
}

/* The file system of the kernel's FUSE connections, in no folder and visible to nobody else: its
 * top folder, or a negative errno. */
static int open_connections(void)
{
    int top = -1;
    int fs = (int)syscall(SYS_fsopen, "fusectl", FSOPEN_CLOEXEC);
    if (fs >= 0 && syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
        top = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, 0);
    int err = -errno;
    if (fs >= 0)
        close(fs);
    return top >= 0 ? top : err;
}

static int cut(unsigned number)
{
    char *path = mem_printf("/sys/fs/fuse/connections/%u/abort", number);
    int err = write_abort(AT_FDCWD, path);
    free(path);
    if (err != -ENOENT)
        return err;
    int top = open_connections();
    if (top < 0)
        return top;
    path = mem_printf("%u/abort", number);
    err = write_abort(top, path);
    free(path);
    close(top);
    return err;
}

/* A number that is free again goes to the next that asks. A mount that is not to be found may have
 * been taken down while in use. */
static bool is_of_another(unsigned number, const char *volume)
{
    const struct mount_point wanted = {.minor = number, .root = (char[]){""}};
    struct mount_point m;
    bool found = mounts_whole(&wanted, &m) == 0;
    bool another = found && (!mounts_is_ours(&m) || strcmp(m.source, volume) != 0);
    mounts_release(&m);
    return another;
}

/* False: it has not within that time. */
static bool has_ended(int ms)
{
    struct pollfd process = {.fd = PROCESS_FD, .events = POLLIN};
    return poll(&process, 1, ms) > 0;
}

static void free_programs(const struct guard_task *t)
{
    unsigned number = __atomic_load_n(device, __ATOMIC_ACQUIRE);
    if (has_ended(PATIENCE_MS) || number == 0 || is_of_another(number, t->volume))
        return;
    if (log_redirect(t->log_path) < 0)
        (void)log_redirect(NULL);
    int err = cut(number);
    if (err == 0 && has_ended(CUT_MS))
        log_message(LOG_WARNING,
                    "%s: the daemon was killed while it waited for the kernel; its connection, "
                    "number %u, was cut",
                    t->mount_dir, number);
    else
        log_message(LOG_ERROR,
                    "%s: the daemon was killed and cannot end, programs there hang (%s); as root: "
                    "mount -t fusectl none /sys/fs/fuse/connections; "
                    "echo 1 > /sys/fs/fuse/connections/%u/abort",
                    t->mount_dir, err ? strerror(-err) : "though its connection was cut", number);
}

static void wait_for_death(pid_t daemon)
{
    siginfo_t info;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, DEATH_SIGNAL);
    sigaddset(&set, SIGTERM);
    for (;;) {
        int number = sigwaitinfo(&set, &info);
        if (number == SIGTERM)
            _exit(0);
        if (number == DEATH_SIGNAL && info.si_pid == daemon)
            return;
    }
}

_Noreturn static void guard_main(const struct guard_task *t, pid_t daemon, int process)
{
    passphrase_wipe(t->passphrase);
    (void)prctl(PR_SET_PDEATHSIG, DEATH_SIGNAL, 0, 0, 0);
    setsid();
    leave_files(process);
    leave_arguments();
    if (getppid() == daemon) { /* otherwise it died before that was to be told */
        wait_for_death(daemon);
        free_programs(t);
    }
    _exit(0);
}

/* ---- in the daemon ---- */

/* The handler was reset when it was called: what is raised then ends the process as it would have
 * been. */
static void crash_handler(int number)
{
    pid_t pid = __atomic_load_n(&guard, __ATOMIC_ACQUIRE);
    if (pid > 0)
        kill(pid, DEATH_SIGNAL);
    if (without_core)
        (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    raise(number);
}

/* For all signals that have a core dumped, unless somebody else takes them. */
static void tell_crashes(void)
{
    static const int numbers[] = {SIGQUIT, SIGILL, SIGTRAP, SIGABRT,
                                  SIGBUS,  SIGFPE, SIGSEGV, SIGSYS};
    struct sigaction action = {.sa_handler = crash_handler,
                               .sa_flags = (int)(SA_RESETHAND | SA_NODEFER)};
    struct sigaction before;
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (sigaction(numbers[i], NULL, &before) == 0 && before.sa_handler == SIG_DFL)
            (void)sigaction(numbers[i], &action, NULL);
}

/* Signals are blocked from before: one that comes early would end it. */
static int start(const struct guard_task *t, int process)
{
    sigset_t all, before;
    pid_t daemon = getpid();
    device = mmap(NULL, sizeof *device, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (device == MAP_FAILED)
        return -errno;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    pid_t pid = fork();
    int err = pid < 0 ? -errno : 0;
    if (pid == 0)
        guard_main(t, daemon, process);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (err < 0)
        munmap(device, sizeof *device);
    else
        __atomic_store_n(&guard, pid, __ATOMIC_RELEASE);
    return err;
}

void guard_start(const struct guard_task *t)
{
    assert(guard == 0 && *t->volume == '/' && *t->mount_dir == '/');
    int process = (int)syscall(SYS_pidfd_open, getpid(), 0);
    int err = process < 0 ? -errno : start(t, process);
    if (process >= 0)
        close(process);
    if (err == 0)
        tell_crashes();
    else
        log_message(LOG_WARNING,
                    "%s: no guard can be started: %s; should the daemon be killed, programs may "
                    "hang",
                    t->mount_dir, strerror(-err));
}

void guard_mounted(const char *mount_dir, bool rings)
{
    struct mount_point m = {0};
    if (guard == 0)
        return;
    without_core = rings;
    if (mounts_at(mount_dir, &m) == 0 && mounts_is_ours(&m))
        __atomic_store_n(device, m.minor, __ATOMIC_RELEASE);
    else
        log_message(LOG_WARNING, "%s: the guard does not find the mount", mount_dir);
    mounts_release(&m);
}

/* By the signal that also ends what somebody has stopped: it has nothing to tidy up. */
void guard_end(void)
{
    pid_t pid = __atomic_exchange_n(&guard, 0, __ATOMIC_ACQ_REL);
    if (pid == 0)
        return;
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    munmap(device, sizeof *device);
    device = NULL;
}
