/* daemon_process: the daemon as a process: forked off, cut loose from its terminal, and waited for
 * until it serves. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mount/daemon_priv.h"
#include "mount/tell.h"

void daemon_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, set, NULL);
}

static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        log_message(LOG_DEBUG, "the limit of open files stays as it is");
}

/* What the shell had open is not kept open (a lock, a pipe that someone reads to its end). */
static void leave_terminal(int ready_fd)
{
    const unsigned kept = (unsigned)ready_fd, first = STDERR_FILENO + 1;
    setsid();
    if (kept > first)
        close_range(first, kept - 1, 0);
    close_range(kept + 1, ~0U, 0);
}

void daemon_close_stdio(void)
{
    int fd = open("/dev/null", O_RDWR);
    for (int i = 0; fd >= 0 && i <= STDERR_FILENO; i++)
        dup2(fd, i);
    if (fd > STDERR_FILENO)
        close(fd);
}

/* Memory that malloc() has had goes back to the system once it is free: jobs take some MiB for a
 * while, and other threads other such. By default each of up to eight arenas a processor keeps what
 * its largest had, and what comes from the system by itself is decided by what was freed before. */
static void bound_malloc(void)
{
    enum { ARENAS = 4, MAPPED_FROM = 512 << 10, KEPT = 1 << 20 };
    mallopt(M_ARENA_MAX, ARENAS);
    mallopt(M_MMAP_THRESHOLD, MAPPED_FROM);
    mallopt(M_TRIM_THRESHOLD, KEPT);
}

void daemon_prepare(int ready_fd)
{
    sigset_t set;
    bound_malloc();
    daemon_signals(&set);
    signal(SIGPIPE, SIG_IGN);
    umask(0);
    raise_file_limit();
    if (ready_fd >= 0)
        leave_terminal(ready_fd);
    if (chdir("/") != 0)
        log_message(LOG_WARNING, "stays in its folder, which keeps the disk below busy");
}

static int tell_death(pid_t pid)
{
    int status = 0;
    pid_t waited;
    do
        waited = waitpid(pid, &status, 0);
    while (waited < 0 && errno == EINTR);
    if (waited == pid && WIFSIGNALED(status))
        return tell_error("the daemon ended by signal %d (%s) before it was ready",
                          WTERMSIG(status), strsignal(WTERMSIG(status)));
    return tell_error("the daemon ended before it was ready");
}

static int await(const struct daemon_config *c, int fd, pid_t pid)
{
    unsigned char byte = 0;
    struct stat st;
    ssize_t n;
    do
        n = read(fd, &byte, 1);
    while (n < 0 && errno == EINTR);
    if (n != 1)
        return tell_death(pid);
    if (byte != DAEMON_READY)
        return byte;
    if (stat(c->mount_dir, &st) != 0)
        return tell_error("%s: mounted, but it does not answer (%s); the system log may say more",
                          c->mount_dir, strerror(errno));
    return 0;
}

int daemon_mount(struct daemon_config *c)
{
    int fds[2];
    assert(*c->volume == '/' && *c->mount_dir == '/');
    if (c->foreground)
        return daemon_serve(c, -1);
    if (pipe2(fds, O_CLOEXEC) != 0)
        return tell_error("cannot make a pipe: %s", strerror(errno));
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0)
        return tell_error("cannot start a process: %s", strerror(errno));
    if (pid == 0) {
        close(fds[0]);
        return daemon_serve(c, fds[1]);
    }
    passphrase_wipe(&c->passphrase);
    close(fds[1]);
    int status = await(c, fds[0], pid);
    close(fds[0]);
    return status;
}
