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

#include "mount/jobs.h"

enum request_kind { REQUEST_SNAPSHOT, REQUEST_AFTER, REQUEST_CHECKPOINT, REQUEST_DROP };

struct request {
    struct job job;
    enum request_kind kind;
    fuse_req_t req;             /* NULL: REQUEST_DROP */
    char name[FS_NAME_MAX + 1]; /* REQUEST_SNAPSHOT */
    uint32_t mode;
    uint64_t ino;   /* REQUEST_DROP */
    control_fn *fn; /* REQUEST_AFTER */
    _Alignas(max_align_t) uint8_t args[CONTROL_ARGS_MAX];
    char *value; /* REQUEST_CHECKPOINT: malloc'd */
    size_t value_len;
};

static job_fn do_request, refuse;

static void request_free(struct request *r)
{
    free(r->value);
    free(r);
}

enum { COOKIE_BYTES = 16, FENCE_PAGE = 4096 };
#define FENCE_PAGES (UINT64_C(1) << 40)

struct control {
    struct mount *mount;
    struct session *session;
    char *path; /* of the mount */
    struct jobs *jobs;
    pthread_mutex_t lock;
    pthread_mutex_t flushing; /* one flush at a time */
    uint64_t page;            /* [flushing] the next of the fence */
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
    c->jobs = jobs_new(do_request, refuse, c);
    c->compact = control_compact_new(m->fs);
    pthread_mutex_init(&c->lock, NULL);
    pthread_mutex_init(&c->flushing, NULL);
    if (getrandom(c->cookie, sizeof c->cookie, 0) != sizeof c->cookie)
        memcpy(c->cookie, &c, sizeof c); /* it need not be secret, only ours */
    return c;
}

void control_free(struct control *c)
{
    if (!c)
        return;
    control_compact_end(c->compact);
    control_compact_free(c->compact);
    pthread_mutex_destroy(&c->lock);
    pthread_mutex_destroy(&c->flushing);
    jobs_free(c->jobs);
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

static void do_snapshot(struct control *c, const struct request *job)
{
    struct fs_cred cred = reply_cred(job->req);
    struct fs_attr attr;
    assert(job->kind == REQUEST_SNAPSHOT && *job->name);
    int err = control_flush(c);
    if (err >= 0)
        err = fs_mkdir(c->mount->fs, FS_INO_SNAPSHOTS, job->name, job->mode, &cred, &attr);
    reply_entry(job->req, err, &attr);
}

static void do_checkpoint(struct control *c, const struct request *job)
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

static void do_request(void *ctx, struct job *job)
{
    struct control *c = ctx;
    struct request *r = (struct request *)job;
    switch (r->kind) {
    case REQUEST_SNAPSHOT:
        do_snapshot(c, r);
        break;
    case REQUEST_CHECKPOINT:
        do_checkpoint(c, r);
        break;
    case REQUEST_DROP:
        session_drop_pages(c->session, r->ino);
        break;
    case REQUEST_AFTER:
        r->fn(r->req, control_flush(c), r->args);
        break;
    }
    request_free(r);
}

/* Opens a file of the mount, so that the kernel learns at once that it need not ask (ops_open()).
 */
static void open_once(const struct control *c)
{
    int fd = open_fence(c);
    if (fd >= 0)
        close(fd);
}

static void refuse(void *ctx, struct job *job)
{
    struct request *r = (struct request *)job;
    (void)ctx;
    if (r->req)
        reply_status(r->req, -ENOTCONN);
    request_free(r);
}

static void add_to(struct control *c, const struct request *wanted)
{
    struct request *r = mem_dup(wanted, sizeof *wanted);
    jobs_add(c->jobs, &r->job);
}

static void add(const struct request *wanted)
{
    assert(wanted->req);
    add_to(mount_of(wanted->req)->control, wanted);
}

void control_drop_pages(struct control *c, uint64_t ino)
{
    const struct request job = {.kind = REQUEST_DROP, .ino = ino};
    add_to(c, &job);
}

void control_snapshot(fuse_req_t req, const char *name, uint32_t mode)
{
    struct request job = {.kind = REQUEST_SNAPSHOT, .req = req, .mode = mode};
    if (strlen(name) > FS_NAME_MAX) {
        reply_status(req, -ENAMETOOLONG);
        return;
    }
    memcpy(job.name, name, strlen(name) + 1);
    add(&job);
}

void control_after_flush(fuse_req_t req, control_fn *fn, const void *args, size_t len)
{
    struct request job = {.kind = REQUEST_AFTER, .req = req, .fn = fn};
    assert(fn && len <= sizeof job.args);
    if (len)
        memcpy(job.args, args, len);
    add(&job);
}

void control_checkpoint(fuse_req_t req, const char *value, size_t len)
{
    struct request job = {.kind = REQUEST_CHECKPOINT, .req = req, .value_len = len};
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
    add(&job);
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
    c->session = s;
    if (mount_opens_quickly(c->mount))
        open_once(c); /* before anybody is told that it is mounted: it is in use meanwhile */
    return jobs_start(c->jobs);
}

void control_stop(struct control *c)
{
    control_compact_end(c->compact);
    jobs_stop(c->jobs);
}
