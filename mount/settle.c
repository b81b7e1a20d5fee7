/* settle: see settle.h.
 *
 * Why it cannot block for good: the kernel takes pages, one after the other, and waits for the
 * answers to the writes, which workers give. No worker waits for this thread, and who has a page
 * locked waits, if at all, for a worker. */
#include "mount/settle.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "mount/jobs.h"
#include "mount/reply.h"

struct waiting {
    struct job job;
    fuse_req_t req;
    uint64_t ino;
    settle_fn *fn;
    void *args;
};

struct settle {
    struct session *session;
    struct jobs *jobs;
};

static void go_on(void *ctx, struct job *job)
{
    struct settle *t = ctx;
    struct waiting *w = (struct waiting *)job;
    session_drop_pages(t->session, w->ino);
    w->fn(w->req, w->args);
    free(w);
}

static void refuse(void *ctx, struct job *job)
{
    struct waiting *w = (struct waiting *)job;
    (void)ctx;
    reply_status(w->req, -ENOTCONN);
    free(w->args);
    free(w);
}

struct settle *settle_new(void)
{
    struct settle *t = mem_zalloc(sizeof *t);
    t->jobs = jobs_new(go_on, refuse, t);
    return t;
}

void settle_free(struct settle *t)
{
    if (!t)
        return;
    jobs_free(t->jobs);
    free(t);
}

void settle_first(struct settle *t, fuse_req_t req, uint64_t ino, settle_fn *fn, void *args)
{
    struct waiting *w = mem_alloc(sizeof *w);
    assert(ino != 0 && fn);
    *w = (struct waiting){.req = req, .ino = ino, .fn = fn, .args = args};
    jobs_add(t->jobs, &w->job);
}

int settle_start(struct settle *t, struct session *s)
{
    t->session = s;
    return jobs_start(t->jobs);
}

void settle_stop(struct settle *t)
{
    jobs_stop(t->jobs);
}
