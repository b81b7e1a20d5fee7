/* settle: see settle.h.
 *
 * Why it cannot block for good: the kernel takes pages, one after the other, and waits for the
 * answers to the writes, which workers give. No worker waits for this thread, and who has a page
 * locked waits, if at all, for a worker. */
#include "mount/settle.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "mount/reply.h"

struct waiting {
    struct waiting *next;
    fuse_req_t req;
    uint64_t ino;
    settle_fn *fn;
    void *args;
};

struct settle {
    struct session *session;
    pthread_t thread;
    bool started; /* the starter's and stopper's */
    pthread_mutex_t lock;
    pthread_cond_t wanted;
    struct waiting *first, **last; /* [lock] */
    bool stop;                     /* [lock] */
};

struct settle *settle_new(void)
{
    struct settle *t = mem_zalloc(sizeof *t);
    t->last = &t->first;
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->wanted, NULL);
    return t;
}

void settle_free(struct settle *t)
{
    if (!t)
        return;
    assert(!t->started && !t->first);
    pthread_cond_destroy(&t->wanted);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

/* Takes the next one, waiting for it; NULL at the end. */
static struct waiting *next_waiting(struct settle *t)
{
    pthread_mutex_lock(&t->lock);
    while (!t->first && !t->stop)
        pthread_cond_wait(&t->wanted, &t->lock);
    struct waiting *w = t->stop ? NULL : t->first;
    if (w) {
        t->first = w->next;
        if (!t->first)
            t->last = &t->first;
    }
    pthread_mutex_unlock(&t->lock);
    return w;
}

static void *settle_main(void *arg)
{
    struct settle *t = arg;
    struct waiting *w;
    while ((w = next_waiting(t))) {
        session_drop_pages(t->session, w->ino);
        w->fn(w->req, w->args);
        free(w);
    }
    return NULL;
}

static void refuse(struct waiting *w)
{
    reply_status(w->req, -ENOTCONN);
    free(w->args);
    free(w);
}

void settle_first(struct settle *t, fuse_req_t req, uint64_t ino, settle_fn *fn, void *args)
{
    struct waiting *w = mem_alloc(sizeof *w);
    assert(ino != 0 && fn);
    *w = (struct waiting){.req = req, .ino = ino, .fn = fn, .args = args};
    pthread_mutex_lock(&t->lock);
    bool stop = t->stop;
    if (!stop) {
        *t->last = w;
        t->last = &w->next;
        pthread_cond_signal(&t->wanted);
    }
    pthread_mutex_unlock(&t->lock);
    if (stop)
        refuse(w);
}

int settle_start(struct settle *t, struct session *s)
{
    assert(!t->started);
    t->session = s;
    int err = -pthread_create(&t->thread, NULL, settle_main, t);
    t->started = err == 0;
    return err;
}

void settle_stop(struct settle *t)
{
    pthread_mutex_lock(&t->lock);
    bool started = t->started;
    t->started = false;
    t->stop = true;
    struct waiting *refused = t->first;
    t->first = NULL;
    t->last = &t->first;
    pthread_cond_signal(&t->wanted);
    pthread_mutex_unlock(&t->lock);
    while (refused) {
        struct waiting *next = refused->next;
        refuse(refused);
        refused = next;
    }
    if (started)
        pthread_join(t->thread, NULL);
}
