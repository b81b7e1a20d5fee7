/* control_compact: the attribute of the root folder by which a mounted volume is compacted on
 * demand. Written, it starts and gives up; read, it tells how far it is, as numbers in the order of
 * struct control_compact_status. Not listed, so no copy of the tree carries it.
 *
 * Invariants:
 *  1. `running` is set before the thread is made and cleared by it as the last thing it does with
 * the lock; `thread` is to be joined as long as `made` is set.
 *  2. Whoever clears `made` joins the thread, without the lock, which the thread takes.
 *  3. Requests wait only while `running` is set: the thread answers them when it clears it. */
#include "mount/control.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct control_compact {
    struct fs *fs; /* constant */
    pthread_mutex_t lock;
    pthread_t thread;                     /* [lock] */
    bool made;                            /* [lock] the thread is to be joined */
    bool stop, ended;                     /* [lock] */
    struct control_compact_status status; /* [lock] */
    struct trim *trims;                   /* [lock] */
};

/* A request that waits for the end. */
struct trim {
    struct trim *next;
    fuse_req_t req;
};

struct control_compact *control_compact_new(struct fs *fs)
{
    struct control_compact *c = mem_zalloc(sizeof *c);
    assert(fs);
    c->fs = fs;
    pthread_mutex_init(&c->lock, NULL);
    return c;
}

void control_compact_free(struct control_compact *c)
{
    if (!c)
        return;
    assert(!c->made && !c->status.running);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

/* What the volume takes on disk; 0 if that cannot be told. */
static uint64_t used_bytes(struct fs *fs)
{
    struct fs_stats stats;
    return fs_get_stats(fs, &stats) == 0 ? stats.store.space_used_bytes : 0;
}

/* ---- the thread ---- */

static int on_progress(void *ctx, const struct store_compaction *told)
{
    struct control_compact *c = ctx;
    pthread_mutex_lock(&c->lock);
    c->status.jobs = told->jobs;
    c->status.done_bytes = told->done_bytes;
    c->status.total_bytes = told->total_bytes;
    bool stop = c->stop;
    pthread_mutex_unlock(&c->lock);
    return stop;
}

static void answer_trims(struct trim *list, int err, uint64_t freed)
{
    while (list) {
        struct trim *next = list->next;
        const struct fstrim_range range = {.len = freed};
        if (err < 0)
            reply_status(list->req, err);
        else
            fuse_reply_ioctl(list->req, 0, &range, sizeof range);
        free(list);
        list = next;
    }
}

static void *compact_main(void *arg)
{
    struct control_compact *c = arg;
    thread_begin("varve-compact");
    uint64_t before = used_bytes(c->fs);
    pthread_mutex_lock(&c->lock);
    c->status.before_bytes = before;
    pthread_mutex_unlock(&c->lock);
    int err = fs_compact_watched(c->fs, on_progress, c);
    uint64_t after = used_bytes(c->fs);
    pthread_mutex_lock(&c->lock);
    c->status.after_bytes = after;
    c->status.result = err;
    c->status.running = false;
    struct trim *trims = c->trims;
    c->trims = NULL;
    pthread_mutex_unlock(&c->lock);
    answer_trims(trims, err, before > after ? before - after : 0);
    return NULL;
}

/* Joins the thread of one that has ended, or is to end. [lock held; left meanwhile] */
static void join(struct control_compact *c)
{
    pthread_t thread = c->thread;
    if (!c->made)
        return;
    c->made = false;
    pthread_mutex_unlock(&c->lock);
    pthread_join(thread, NULL);
    pthread_mutex_lock(&c->lock);
}

/* [lock held; left meanwhile] */
static int start(struct control_compact *c)
{
    if (!c->status.running)
        join(c);
    if (c->ended)
        return -ENOTCONN;
    if (c->status.running)
        return c->stop ? -EAGAIN : 0;
    struct control_compact_status before = c->status;
    c->status = (struct control_compact_status){.running = true, .number = before.number + 1};
    c->stop = false;
    int err = -pthread_create(&c->thread, NULL, compact_main, c);
    c->made = err == 0;
    if (err < 0)
        c->status = before;
    return err;
}

/* ---- what is asked of it ---- */

void control_compact_end(struct control_compact *c)
{
    pthread_mutex_lock(&c->lock);
    c->ended = true;
    c->stop = true;
    join(c);
    pthread_mutex_unlock(&c->lock);
}

bool control_is_compact(uint64_t ino, const char *name)
{
    return ino == FS_INO_ROOT && strcmp(name, CONTROL_XATTR_COMPACT) == 0;
}

int control_compact_set(struct control_compact *c, const char *value, size_t len)
{
    bool starts = len == 5 && memcmp(value, "start", len) == 0;
    bool stops = len == 4 && memcmp(value, "stop", len) == 0;
    int err = starts || stops ? 0 : -EINVAL;
    pthread_mutex_lock(&c->lock);
    if (starts)
        err = start(c);
    else if (stops && c->status.running)
        c->stop = true;
    pthread_mutex_unlock(&c->lock);
    return err;
}

int control_compact_trim(struct control_compact *c, fuse_req_t req)
{
    pthread_mutex_lock(&c->lock);
    int err = start(c);
    if (err == 0) {
        struct trim *t = mem_zalloc(sizeof *t);
        *t = (struct trim){.next = c->trims, .req = req};
        c->trims = t;
    }
    pthread_mutex_unlock(&c->lock);
    return err;
}

void control_compact_get(struct control_compact *c, struct control_compact_status *out)
{
    pthread_mutex_lock(&c->lock);
    *out = c->status;
    pthread_mutex_unlock(&c->lock);
    if (out->running)
        out->after_bytes = used_bytes(c->fs);
}

void control_compact_print(const struct control_compact_status *s,
                           char text[CONTROL_COMPACT_TEXT_MAX])
{
    int len = snprintf(text, CONTROL_COMPACT_TEXT_MAX,
                       "%d %" PRIu64 " %d %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64,
                       s->running, s->number, s->result, s->jobs, s->done_bytes, s->total_bytes,
                       s->before_bytes, s->after_bytes);
    assert(len > 0 && len < CONTROL_COMPACT_TEXT_MAX);
    (void)len;
}

int control_compact_parse(const char *text, struct control_compact_status *s)
{
    int running, used = 0;
    *s = (struct control_compact_status){0};
    int got = sscanf(
        text, "%d %" SCNu64 " %d %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 "%n",
        &running, &s->number, &s->result, &s->jobs, &s->done_bytes, &s->total_bytes,
        &s->before_bytes, &s->after_bytes, &used);
    s->running = running == 1;
    return got == 8 && text[used] == 0 && s->result <= 0 && s->done_bytes <= s->total_bytes
               ? 0
               : -EINVAL;
}
