/* cmd_umount: takes a mount down and waits until its daemon has ended, which is when everything is
 * on disk. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "fs/fs.h"
#include "mount/cmd.h"
#include "mount/control.h"
#include "mount/explain.h"
#include "mount/mounts.h"
#include "mount/options.h"
#include "mount/tell.h"

static const char usage[] =
    "usage: varvefs umount [options] MOUNTPOINT\n"
    "\n"
    "Takes the mount down and returns when everything is on disk and the daemon has ended.\n"
    "\n"
    "  --timeout=SECONDS     do not wait longer than this for the daemon's end; then the status is "
    "1,\n"
    "                        and it goes on by itself\n"
    "  -h, --help            print this\n"
    "  -V, --version         print the version\n";

enum { OPT_TIMEOUT = CMD_OPTION };
enum { PATIENCE_MS = 3000, POLL_MS = 50 };

static const struct option longs[] = {
    {"timeout", required_argument, NULL, OPT_TIMEOUT},
    CMD_COMMON,
    {0},
};

/* What tells that the daemon has ended: its process, and the lock on its volume, for the case that
 * the process cannot be seen (another container's). A mount that only reads shares the lock with
 * others who do, and its number is not in the file: the mount tells it. */
struct watch {
    int process_fd, lock_fd; /* -1: none */
};

/* 0: it is not known here. */
static pid_t process_of(const char *dir)
{
    char text[128], own[64] = "", space[64] = "";
    long pid = 0;
    ssize_t len = getxattr(dir, CONTROL_XATTR_PROCESS, text, sizeof text - 1);
    ssize_t own_len = readlink("/proc/self/ns/pid", own, sizeof own - 1);
    text[len > 0 ? len : 0] = own[own_len > 0 ? own_len : 0] = 0;
    bool known = sscanf(text, "%ld %63s", &pid, space) == 2 && strcmp(space, own) == 0;
    return known && pid > 0 ? (pid_t)pid : 0;
}

static void watch_begin(struct watch *w, const char *volume, const char *dir)
{
    pid_t pid = 0;
    char *path = mem_printf("%s/LOCK", volume);
    *w = (struct watch){.process_fd = -1, .lock_fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    /* The number in the file is the daemon's only while the lock is held. */
    if (w->lock_fd >= 0 && flock(w->lock_fd, LOCK_SH | LOCK_NB) != 0) {
        pid = explain_holder(volume);
    } else {
        if (w->lock_fd >= 0)
            flock(w->lock_fd, LOCK_UN);
        pid = process_of(dir);
    }
    if (pid > 0)
        w->process_fd = (int)syscall(SYS_pidfd_open, pid, 0);
    free(path);
}

static void watch_end(struct watch *w)
{
    if (w->process_fd >= 0)
        close(w->process_fd);
    if (w->lock_fd >= 0)
        close(w->lock_fd);
}

/* Waits up to POLL_MS. */
static bool has_ended(const struct watch *w)
{
    assert(w->process_fd >= -1 && w->lock_fd >= -1);
    struct pollfd process = {.fd = w->process_fd, .events = POLLIN};
    if (w->process_fd >= 0)
        return poll(&process, 1, POLL_MS) > 0;
    if (w->lock_fd < 0)
        return true;
    if (flock(w->lock_fd, LOCK_SH | LOCK_NB) == 0) {
        flock(w->lock_fd, LOCK_UN);
        return true;
    }
    poll(NULL, 0, POLL_MS);
    return false;
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* timeout_ms < 0: as long as it takes. */
static int wait_for_end(const struct watch *w, const char *dir, int64_t timeout_ms)
{
    char *what = mem_printf("%s: taken down; waiting until everything is on disk", dir);
    int64_t start = now_ms();
    int status = TELL_OK;
    while (!has_ended(w) && status == TELL_OK) {
        int64_t waited = now_ms() - start;
        if (waited >= PATIENCE_MS)
            tell_progress(what, 0, 0);
        if (timeout_ms >= 0 && waited >= timeout_ms)
            status = tell_error(
                "%s: taken down, but its daemon still works on what is to be written", dir);
    }
    tell_progress_end();
    free(what);
    return status;
}

static int take_down(const struct mount_point *m, int64_t timeout_ms)
{
    struct watch w;
    assert(mounts_is_ours(m) && *m->dir == '/');
    bool dead = mounts_is_dead(m->dir);
    watch_begin(&w, m->source, m->dir);
    /* Behind a dead mount there is nothing to wait for, so it goes even while in use. */
    int err = mounts_unmount(m->dir, dead);
    int status = err < 0 ? explain_unmount(m->dir, err) : TELL_OK;
    if (err == 0 && dead)
        tell_note(
            "%s: taken down; its daemon had been killed: what programs wrote is safe, the volume "
            "recovers when it is mounted next",
            m->dir);
    else if (err == 0)
        status = wait_for_end(&w, m->dir, timeout_ms);
    watch_end(&w);
    return status;
}

static int not_mounted(const char *path, const char *real)
{
    struct mount_point m = {0};
    int status;
    if (real && mounts_of_volume(real, &m) == 0)
        status =
            tell_error("%s: a volume; it is mounted at %s: varvefs umount %s", path, m.dir, m.dir);
    else if (real && mounts_at(real, &m) == 0)
        status = tell_error("%s: a file system of type %s is mounted here, not a varvefs volume",
                            path, m.type);
    else if (real && access(real, F_OK) != 0)
        status = tell_error("%s: %s", path, strerror(errno));
    else
        status = tell_error("%s: nothing is mounted here", path);
    mounts_release(&m);
    return status;
}

static int set_timeout(const char *text, int64_t *ms)
{
    char *end;
    errno = 0;
    long seconds = strtol(text, &end, 10);
    if (end == text || *end || errno || seconds < 0 || seconds > 1000000)
        return tell_usage("umount", "'%s' is no number of seconds", text);
    *ms = (int64_t)seconds * 1000;
    return 0;
}

int cmd_umount(int argc, char **argv)
{
    const struct cmd_line line = {.name = "umount",
                                  .usage = usage,
                                  .shorts = ":hV",
                                  .longs = longs,
                                  .argc = argc,
                                  .argv = argv,
                                  .usage_status = TELL_USAGE};
    struct mount_point m = {0};
    int64_t timeout_ms = -1;
    int option, status = 0;
    while ((option = cmd_next(&line, &status)) != CMD_END) {
        if (option == OPT_TIMEOUT)
            status = set_timeout(optarg, &timeout_ms);
        if (option == CMD_EXIT || status != 0)
            return status;
    }
    status = cmd_operands(&line, 1, 1, "MOUNTPOINT");
    if (status != 0)
        return status;
    char *real = mounts_real_path(argv[optind]);
    if (real && mounts_at(real, &m) == 0 && mounts_is_ours(&m))
        status = take_down(&m, timeout_ms);
    else
        status = not_mounted(argv[optind], real);
    mounts_release(&m);
    free(real);
    return status;
}
