/* control: see control.h.
 *
 * How a flush knows that it has everything. (1) syncfs(2) on our own mount makes the kernel send
 * all dirty pages; but not on every kernel does it wait for the answers (Linux 6.1 does not for
 * FUSE). (2) Writes of the cache are "background" requests, which the kernel sends in the order in
 * which they were queued; so is the read of a page that is not cached. We read a fresh page of the
 * fence: once that read reaches the daemon, all the writes have been read by workers. (3)
 * session_quiesce() waits until what they have read is done.
 *
 * Invariants:
 *  1. Jobs are done one after the other, by one thread that is not a worker: so however many wait,
 * all the workers serve.
 *  2. Each read of the fence is of a page that was never read before, so it cannot come from the
 * cache.
 *  3. What is read must be our cookie: a path that leads elsewhere by now is not taken for our
 * mount. */
#include "mount/control.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

enum job_kind { JOB_SNAPSHOT, JOB_AFTER, JOB_CHECKPOINT, JOB_DROP };

struct job {
    struct job *next;
    enum job_kind kind;
    fuse_req_t req;             /* NULL: JOB_DROP */
    char name[FS_NAME_MAX + 1]; /* JOB_SNAPSHOT */
    uint32_t mode;
    uint64_t ino;   /* JOB_DROP */
    control_fn *fn; /* JOB_AFTER */
    _Alignas(max_align_t) uint8_t args[CONTROL_ARGS_MAX];
    char *value; /* JOB_CHECKPOINT: malloc'd */
    size_t value_len;
};

static void job_free(struct job *job)
{
    free(job->value);
    free(job);
}

enum { COOKIE_BYTES = 16, FENCE_PAGE = 4096 };
#define FENCE_PAGES (UINT64_C(1) << 40)

struct control {
    struct mount *mount;
    struct session *session;
    char *path; /* of the mount */
    pthread_t thread;
    bool started;
    pthread_mutex_t lock;
    pthread_cond_t wanted;
    struct job *first, **last; /* [lock] */
    bool stop;                 /* [lock] */
    pthread_mutex_t flushing;  /* one flush at a time */
    uint64_t page;             /* [flushing] the next of the fence */
    uint8_t cookie[COOKIE_BYTES];
    bool any_checkpoint;                /* [lock] */
    struct store_checkpoint checkpoint; /* [lock] the last */
    struct control_compact *compact;    /* owned; constant */
};

struct control *control_new(struct mount *m, const char *mount_path)
{
    struct control *c = mem_zalloc(sizeof *c);
    assert(m && *mount_path == '/');
    c->mount = m;
    c->path = mem_strdup(mount_path);
    c->last = &c->first;
    c->compact = control_compact_new(m->fs);
    pthread_mutex_init(&c->lock, NULL);
    pthread_mutex_init(&c->flushing, NULL);
    pthread_cond_init(&c->wanted, NULL);
    if (getrandom(c->cookie, sizeof c->cookie, 0) != sizeof c->cookie)
        memcpy(c->cookie, &c, sizeof c); /* it need not be secret, only ours */
    return c;
}

void control_free(struct control *c)
{
    if (!c)
        return;
    assert(!c->started && !c->first);
    control_compact_end(c->compact);
    control_compact_free(c->compact);
    pthread_mutex_destroy(&c->lock);
    pthread_mutex_destroy(&c->flushing);
    pthread_cond_destroy(&c->wanted);
    free(c->path);
    free(c);
}

struct control_compact *control_compact_of(struct mount *m)
{
    assert(m->control);
    return m->control->compact;
}

/* ---- the fence ---- */

void control_fence_attr(struct fs_attr *attr)
{
    *attr = (struct fs_attr){.ino = CONTROL_INO_FENCE,
                             .size = FENCE_PAGES * FENCE_PAGE,
                             .mode = S_IFREG | 0400,
                             .nlink = 1,
                             .uid = geteuid(),
                             .gid = getegid(),
                             .block_bytes = FENCE_PAGE};
}

void control_fence_read(fuse_req_t req, size_t size)
{
    struct control *c = mount_of(req)->control;
    assert(c);
    uint8_t *page = reply_buffer(size);
    memset(page, 0, size);
    for (size_t at = 0; at + COOKIE_BYTES <= size; at += FENCE_PAGE)
        memcpy(page + at, c->cookie, COOKIE_BYTES);
    fuse_reply_buf(req, (const char *)page, size);
}

/* [flushing held] */
static int pass_fence(struct control *c, int fd)
{
    uint8_t cookie[COOKIE_BYTES];
    off_t offset = (off_t)(c->page++ % FENCE_PAGES * FENCE_PAGE);
    posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM); /* one page, without its neighbours */
    ssize_t n = pread(fd, cookie, sizeof cookie, offset);
    posix_fadvise(fd, offset, FENCE_PAGE, POSIX_FADV_DONTNEED);
    if (n < 0)
        return -errno;
    return n == sizeof cookie && memcmp(cookie, c->cookie, sizeof cookie) == 0 ? 0 : -ESTALE;
}

/* A descriptor or a negative errno. For the moment only: one that is kept would keep the mount
 * busy. */
static int open_fence(const struct control *c)
{
    char *path = mem_printf("%s/%s/%s", c->path, FS_CONTROL_NAME, CONTROL_FENCE_NAME);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    int err = fd < 0 ? errno : 0;
    free(path);
    if (fd >= 0)
        return fd;
    return err == ENOENT || err == ENOTDIR ? -ESTALE : -err;
}

int control_flush(struct control *c)
{
    int err = 0;
    assert(c->session);
    pthread_mutex_lock(&c->flushing);
    int fd = open_fence(c);
    if (fd < 0)
        err = fd;
    bool refused = err == 0 && syncfs(fd) != 0;
    if (err == 0)
        err = pass_fence(c, fd);
    if (fd >= 0)
        close(fd);
    if (err == 0)
        session_quiesce(c->session);
    pthread_mutex_unlock(&c->flushing);
    if (err < 0)
        log_message(LOG_ERROR, "what the kernel still holds cannot be fetched through %s: %s",
                    c->path, err == -ESTALE ? "that path leads elsewhere by now" : strerror(-err));
    return err == 0 && refused ? 1 : err;
}

/* ---- jobs ---- */

static void do_snapshot(struct control *c, const struct job *job)
{
    struct fs_cred cred = reply_cred(job->req);
    struct fs_attr attr;
    assert(job->kind == JOB_SNAPSHOT && *job->name);
    int err = control_flush(c);
    if (err >= 0)
        err = fs_mkdir(c->mount->fs, FS_INO_SNAPSHOTS, job->name, job->mode, &cred, &attr);
    reply_entry(job->req, err, &attr);
}

static void do_checkpoint(struct control *c, const struct job *job)
{
    struct store_checkpoint made = {0};
    const char *dir, *snapshot;
    int err = control_checkpoint_take(job->value, job->value_len, &dir, &snapshot);
    if (err == 0)
        err = control_flush(c);
    if (err >= 0)
        err = control_checkpoint_make(c->mount, c->path, dir, snapshot, &made);
    if (err == 0) {
        pthread_mutex_lock(&c->lock);
        c->any_checkpoint = true;
        c->checkpoint = made;
        pthread_mutex_unlock(&c->lock);
    }
    reply_status(job->req, err);
}

static void do_job(struct control *c, const struct job *job)
{
    if (job->kind == JOB_SNAPSHOT) {
        do_snapshot(c, job);
        return;
    }
    if (job->kind == JOB_CHECKPOINT) {
        do_checkpoint(c, job);
        return;
    }
    if (job->kind == JOB_DROP)
        session_drop_pages(c->session, job->ino);
    else
        job->fn(job->req, control_flush(c), job->args);
}

/* Takes the next job, waiting for one; NULL at the end. */
static struct job *next_job(struct control *c)
{
    pthread_mutex_lock(&c->lock);
    while (!c->first && !c->stop)
        pthread_cond_wait(&c->wanted, &c->lock);
    struct job *job = c->stop ? NULL : c->first;
    if (job) {
        c->first = job->next;
        if (!c->first)
            c->last = &c->first;
    }
    pthread_mutex_unlock(&c->lock);
    return job;
}

/* Opens a file of the mount, so that the kernel learns at once that it need not ask (ops_open()).
 */
static void open_once(const struct control *c)
{
    int fd = open_fence(c);
    if (fd >= 0)
        close(fd);
}

static void *control_main(void *arg)
{
    struct control *c = arg;
    struct job *job;
    while ((job = next_job(c))) {
        do_job(c, job);
        job_free(job);
    }
    return NULL;
}

static void refuse(struct job *job)
{
    if (job->req)
        reply_status(job->req, -ENOTCONN);
    job_free(job);
}

static void add_job_to(struct control *c, const struct job *wanted)
{
    assert(!wanted->next);
    struct job *job = mem_dup(wanted, sizeof *wanted);
    pthread_mutex_lock(&c->lock);
    bool stop = c->stop;
    if (!stop) {
        *c->last = job;
        c->last = &job->next;
        pthread_cond_signal(&c->wanted);
    }
    pthread_mutex_unlock(&c->lock);
    if (stop)
        refuse(job);
}

static void add_job(const struct job *wanted)
{
    assert(wanted->req);
    add_job_to(mount_of(wanted->req)->control, wanted);
}

void control_drop_pages(struct control *c, uint64_t ino)
{
    const struct job job = {.kind = JOB_DROP, .ino = ino};
    add_job_to(c, &job);
}

void control_snapshot(fuse_req_t req, const char *name, uint32_t mode)
{
    struct job job = {.kind = JOB_SNAPSHOT, .req = req, .mode = mode};
    if (strlen(name) > FS_NAME_MAX) {
        reply_status(req, -ENAMETOOLONG);
        return;
    }
    memcpy(job.name, name, strlen(name) + 1);
    add_job(&job);
}

void control_after_flush(fuse_req_t req, control_fn *fn, const void *args, size_t len)
{
    struct job job = {.kind = JOB_AFTER, .req = req, .fn = fn};
    assert(fn && len <= sizeof job.args);
    if (len)
        memcpy(job.args, args, len);
    add_job(&job);
}

void control_checkpoint(fuse_req_t req, const char *value, size_t len)
{
    struct job job = {.kind = JOB_CHECKPOINT, .req = req, .value_len = len};
    uint32_t uid = reply_cred(req).uid;
    if (uid != 0 && uid != geteuid()) {
        reply_status(req, -EPERM);
        return;
    }
    if (len >= CONTROL_CHECKPOINT_VALUE_MAX) {
        reply_status(req, -EINVAL);
        return;
    }
    job.value = mem_zalloc(len + 1);
    memcpy(job.value, value, len);
    add_job(&job);
}

void control_checkpoint_get(struct mount *m, char text[CONTROL_CHECKPOINT_TEXT_MAX])
{
    struct control *c = m->control;
    text[0] = 0;
    pthread_mutex_lock(&c->lock);
    if (c->any_checkpoint)
        control_checkpoint_print(&c->checkpoint, text);
    pthread_mutex_unlock(&c->lock);
}

int control_start(struct control *c, struct session *s)
{
    assert(!c->started);
    c->session = s;
    if (c->mount->quick_open)
        open_once(c); /* before anybody is told that it is mounted: it is in use meanwhile */
    int err = -pthread_create(&c->thread, NULL, control_main, c);
    c->started = err == 0;
    return err;
}

void control_stop(struct control *c)
{
    control_compact_end(c->compact);
    pthread_mutex_lock(&c->lock);
    bool started = c->started;
    c->started = false;
    c->stop = true;
    struct job *refused = c->first;
    c->first = NULL;
    c->last = &c->first;
    pthread_cond_signal(&c->wanted);
    pthread_mutex_unlock(&c->lock);
    while (refused) {
        struct job *next = refused->next;
        refuse(refused);
        refused = next;
    }
    if (started)
        pthread_join(c->thread, NULL);
}
