/* daemon: see daemon.h.
 *
 * Order of things. The process forks first, because threads do not survive a fork; the child opens
 * the volume, mounts, starts its threads, and says so over a pipe; the parent then asks for the
 * root folder's attributes, which the kernel answers only when the daemon does, and ends. Until the
 * child has said that all is well its messages go to the parent's terminal, afterwards to the log.
 *
 * How it ends. By umount(8) or fusermount3: the kernel has written everything back and closes the
 * connection, the workers end. By a signal: the same, called by us; where files are still open,
 * what was written is fetched first, and then the connection is cut.
 *
 * Invariants:
 *  1. SIGTERM, SIGINT and SIGHUP are blocked in every thread and taken by one, which does nothing
 * else.
 *  2. The connection is closed only when no thread can write to it any more: a stale answer could
 * end up in another file that got its number.
 *  3. The volume is closed after the last request, and the process ends after that.
 *  4. From before the first thread to after the connection's end a guard runs beside (guard.h). */
#include "mount/daemon_priv.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "mount/control.h"
#include "mount/explain.h"
#include "mount/guard.h"
#include "mount/keeper.h"
#include "mount/live.h"
#include "mount/log.h"
#include "mount/mounts.h"
#include "mount/ops.h"
#include "mount/raw.h"
#include "mount/session.h"
#include "mount/settle.h"
#include "mount/tell.h"
#include "mount/temp.h"
#include "mount/times.h"
#include "mount/wire.h"

enum { WORKERS = 16, GRACE_MS = 2000 };

struct daemon {
    const struct daemon_config *config;
    struct mount mount;
    struct fuse_session *fuse;
    struct session *session;
    struct rings *rings; /* NULL: none */
    pthread_t signals;
    bool watching;
    bool over; /* atomic: all workers have ended */
};

/* ---- signals ---- */

static void wait_until_over(struct daemon *d, int ms)
{
    const struct timespec step = {.tv_nsec = 10 * 1000 * 1000};
    for (; ms > 0 && !__atomic_load_n(&d->over, __ATOMIC_ACQUIRE); ms -= 10)
        nanosleep(&step, NULL);
}

/* Those that ask the kernel for something, which may need an answer from a worker: so they end
 * while there are workers, or when the connection has ended. */
static void stop_threads(struct daemon *d)
{
    keeper_stop(d->mount.keeper);
    if (d->mount.control)
        control_stop(d->mount.control);
    if (d->mount.settle)
        settle_stop(d->mount.settle);
}

static void end_mount(struct daemon *d)
{
    const char *dir = d->config->mount_dir;
    assert(d->session && *dir == '/');
    int err = control_flush(d->mount.control);
    /* The flush has shown that the path leads to our mount. */
    if (err >= 0)
        err = mounts_unmount(dir, false);
    if (err == 0)
        wait_until_over(d, GRACE_MS);
    if (__atomic_load_n(&d->over, __ATOMIC_ACQUIRE))
        return;
    log_message(LOG_INFO, "%s: still in use; ended all the same", dir);
    stop_threads(d);
    session_stop(d->session);
}

static void *watch_signals(void *arg)
{
    struct daemon *d = arg;
    sigset_t set;
    daemon_signals(&set);
    for (;;) {
        int number = sigwaitinfo(&set, NULL);
        if (__atomic_load_n(&d->over, __ATOMIC_ACQUIRE))
            return NULL;
        if (number < 0)
            continue;
        log_message(LOG_INFO, "%s: ends because of signal %d", d->config->mount_dir, number);
        end_mount(d);
    }
}

/* ---- starting ---- */

static int open_volume(struct daemon *d)
{
    const struct options_mount *opt = &d->config->options;
    struct fs_options o;
    fs_options_init(&o);
    o.read_only = opt->read_only;
    o.cache_bytes = opt->cache_bytes;
    o.memtable_bytes = opt->memtable_bytes;
    o.zstd_level = opt->zstd_level;
    o.store = &opt->store;
    o.workers = opt->store.workers;
    o.recovery = opt->recovery;
    o.snapshot = opt->snapshot;
    o.secret = &d->config->passphrase.secret;
    o.atime = opt->atime;
    o.no_dir_atime = opt->no_dir_atime;
    d->mount.read_only = opt->read_only;
    d->mount.allow_root = opt->allow_root;
    d->mount.quick_open =
        opt->open == OPEN_QUICK || (opt->open == OPEN_BY_ITSELF && opt->read_only);
    int err = fs_open(d->config->volume, &o, &d->mount.fs);
    assert((err == 0) == (d->mount.fs != NULL));
    if (err == 0 && !opt->read_only)
        temp_sweep(d->config->volume);
    if (err == -ENODATA)
        return tell_error("%s: there is no snapshot '%s'; those that there are: varvefs snapshot "
                          "list %s",
                          d->config->volume, opt->snapshot, d->config->volume);
    return err < 0 ? explain_volume(d->config->volume, err) : 0;
}

static struct fuse_session *new_fuse(struct daemon *d)
{
    const struct daemon_config *c = d->config;
    struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
    char *list = NULL, *source = mem_printf("fsname=%s", c->volume);
    fuse_opt_add_opt_escaped(&list, source);
    fuse_opt_add_opt(&list, "subtype=varvefs,default_permissions");
    if (c->options.kernel.len) {
        char *kernel =
            mem_printf("%.*s", (int)c->options.kernel.len, (const char *)c->options.kernel.data);
        fuse_opt_add_opt(&list, kernel);
        free(kernel);
    }
    fuse_opt_add_arg(&args, "varvefs");
    fuse_opt_add_arg(&args, "-o");
    fuse_opt_add_arg(&args, list);
    struct fuse_session *fuse = fuse_session_new(&args, &ops_table, sizeof ops_table, &d->mount);
    fuse_opt_free_args(&args);
    free(source);
    free(list);
    return fuse;
}

static int mount_fuse(struct daemon *d)
{
    bool mounted = false;
    log_keep_begin();
    d->fuse = new_fuse(d);
    d->mount.fuse = d->fuse;
    if (d->fuse)
        mounted = fuse_session_mount(d->fuse, d->config->mount_dir) == 0;
    char *said = log_keep_end();
    int status = mounted ? 0 : explain_mount(d->config->mount_dir, said);
    free(said);
    if (mounted && wire_attach(d->fuse) != 0)
        status = tell_error("this libfuse does not let its messages be looked at");
    return status;
}

/* What the kernel offers it says when the mount is made: so this is before. */
static int allow_rings(const struct daemon *d)
{
    if (d->config->options.io_uring != IO_URING_ON || rings_are_allowed())
        return 0;
    int err = rings_allow();
    if (err == -ENOENT)
        return tell_error("io_uring=on: this kernel does not have it for FUSE (Linux 6.14 has)");
    if (err < 0)
        return tell_error("io_uring=on: it is off in this kernel; as root: "
                          "echo 1 > /sys/module/fuse/parameters/enable_uring");
    log_message(LOG_INFO, "the kernel's fuse.enable_uring is on now, for all mounts");
    return 0;
}

/* Rings for the session, if they are wanted and to be had. */
static int make_rings(struct daemon *d)
{
    enum options_io_uring how = d->config->options.io_uring;
    if (how == IO_URING_OFF || !rings_are_allowed())
        return 0;
    int err = rings_new(fuse_session_fd(d->fuse), &d->rings);
    if (err == 0 || how == IO_URING_AUTO)
        return 0;
    return tell_error("io_uring=on: it cannot be set up: %s", strerror(-err));
}

static bool serve_raw(void *ctx, struct fuse_session *fuse, const void *data, size_t len)
{
    struct daemon *d = ctx;
    return raw_serve(&d->mount, fuse_session_fd(fuse), data, len);
}

static int start_threads(struct daemon *d)
{
    assert(d->fuse && d->mount.fs && d->mount.lookups && d->mount.control);
    bool lazy = d->config->options.lazytime;
    int err = times_start(d->mount.fs, lazy ? TIMES_LAZY_S : TIMES_PERIOD_S, &d->mount.times);
    if (err == 0)
        err = session_start(d->fuse, WORKERS, d->rings, serve_raw, d, &d->session);
    if (err == 0)
        err = settle_start(d->mount.settle, d->session);
    if (err == 0)
        err = control_start(d->mount.control, d->session);
    if (err == 0)
        err = keeper_start(d->mount.keeper);
    if (err == 0)
        err = -pthread_create(&d->signals, NULL, watch_signals, d);
    d->watching = err == 0;
    if (err < 0)
        return tell_error("cannot start threads: %s", strerror(-err));
    return 0;
}

/* What the kernel knows must be kept; so the cache gives way to it. */
static void lend_memory(void *fs, size_t bytes)
{
    fs_lend_memory(fs, bytes);
}

static int start(struct daemon *d)
{
    const struct daemon_config *c = d->config;
    int status = open_volume(d);
    if (status != 0)
        return status;
    d->mount.lookups = lookups_new(lend_memory, d->mount.fs);
    d->mount.live = live_new(d->mount.fs);
    d->mount.settle = settle_new();
    d->mount.control = control_new(&d->mount, c->mount_dir);
    d->mount.keeper = keeper_new(&d->mount, c->options.keep, &c->options.history);
    status = allow_rings(d);
    if (status == 0)
        status = mount_fuse(d);
    if (status == 0)
        status = make_rings(d);
    if (status == 0)
        guard_mounted(c->mount_dir, d->rings != NULL);
    if (status == 0)
        status = start_threads(d);
    if (status == 0 && (!c->foreground || c->options.log_path)) {
        int err = log_redirect(c->options.log_path);
        if (err < 0)
            status = tell_error("%s: %s", c->options.log_path, strerror(-err));
    }
    return status;
}

static void start_guard(struct daemon_config *c)
{
    const struct guard_task task = {.volume = c->volume,
                                    .mount_dir = c->mount_dir,
                                    .log_path = c->options.log_path,
                                    .passphrase = &c->passphrase};
    guard_start(&task);
}

/* ---- ending ---- */

static int finish(struct daemon *d, int status)
{
    if (d->session && status == 0)
        session_wait(d->session);
    __atomic_store_n(&d->over, true, __ATOMIC_RELEASE);
    if (d->watching) {
        pthread_kill(d->signals, SIGTERM); /* wakes it; it sees that all is over */
        pthread_join(d->signals, NULL);
    }
    stop_threads(d);
    if (d->session && status != 0) {
        session_stop(d->session);
        session_wait(d->session);
    }
    session_free(d->session);
    rings_free(d->rings);
    if (d->fuse) {
        fuse_session_unmount(d->fuse);
        fuse_session_destroy(d->fuse);
    }
    guard_end();
    keeper_free(d->mount.keeper);
    control_free(d->mount.control);
    settle_free(d->mount.settle);
    live_free(d->mount.live);
    times_stop(d->mount.times);
    lookups_free(d->mount.lookups);
    int err = d->mount.fs ? fs_close(d->mount.fs) : 0;
    if (err < 0) {
        log_message(LOG_ERROR, "%s: could not be closed: %s", d->config->volume, strerror(-err));
        status = TELL_FAILED;
    }
    return status;
}

/* False: nobody waits for it any more. */
static bool report(int ready_fd, int status)
{
    unsigned char byte = (unsigned char)status;
    assert(status >= 0 && status <= DAEMON_READY);
    return ready_fd < 0 || write(ready_fd, &byte, 1) == 1;
}

int daemon_serve(struct daemon_config *c, int ready_fd)
{
    struct daemon d = {.config = c};
    log_start(c->options.debug);
    daemon_prepare(ready_fd);
    start_guard(c);
    int status = start(&d);
    passphrase_wipe(&c->passphrase);
    if (status != 0) {
        status = finish(&d, status);
        report(ready_fd, status);
        return status;
    }
    log_message(LOG_INFO, "%s: mounted at %s", c->volume, c->mount_dir);
    if (ready_fd >= 0) {
        daemon_close_stdio();
        if (!report(ready_fd, DAEMON_READY)) {
            log_message(LOG_WARNING, "%s: given up: who mounted it did not wait", c->mount_dir);
            status = TELL_FAILED;
        }
        close(ready_fd);
    }
    return finish(&d, status);
}
