/* session: see session.h.
 *
 * Invariants:
 *  1. `passes` of a worker grows by one each time before it reads a request, when it has none in
 * hand. So a worker whose count has grown since some moment is done with what it had read at that
 * moment; one that has ended is, too.
 *  2. A worker that waits for a request has nothing in hand, but cannot be told from one whose read
 * has just returned. So it is woken by a signal, whose handler does nothing: the read ends with
 * EINTR, and the count grows. A signal that comes just before the read is lost, and sent again.
 *  3. Threads are joined, and memory freed, only by session_free(): until then any thread may look
 * at a worker and signal it.
 *  4. At most READERS_MAX workers wait for requests, the others are parked; and while requests are
 * handled some worker waits for the next, unless all are busy. With all of them waiting, each
 * request would wake the one that has slept longest, on a cold and sleeping CPU: measured, that
 * cost a client that creates files a third of its speed. The worker that was parked last is the
 * first to go on, so that only as many as there is work for are ever used: each has memory for a
 * request, and contexts to compress with.
 *  5. Where there are rings, each has a worker, which has it to itself: it waits there, takes no
 * turns, and is woken by its ring. Until the kernel uses them it counts as parked; where the kernel
 * does not, it ends. The workers of the device go on: some requests always come there.
 *  6. The kernel never loses a request by EINTR: it is taken off its queue only when the wait for
 * it is over. */
#include "mount/session.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fs/fs.h"
#include "mount/wire.h"

enum { WAKE_SIGNAL = SIGUSR1, WAKE_PERIOD_NS = 200 * 1000, READERS_MAX = 3 };

struct worker {
    struct session *session;
    pthread_t thread;
    pthread_cond_t turn;  /* it is called */
    struct worker *below; /* [lock] of those that are parked: the next */
    bool called;          /* [lock] its turn has come */
    struct ring *ring;    /* NULL: it reads from the device */
    uint64_t passes;      /* atomic */
    bool busy;   /* atomic: has a request in hand. A hint: who is busy is not worth waking */
    bool parked; /* atomic: waits for its turn to read; has nothing in hand */
    bool ended;  /* atomic */
};

struct session {
    struct fuse_session *fuse;
    session_raw_fn *raw; /* with raw_ctx: may be NULL */
    void *raw_ctx;
    struct rings *rings; /* NULL: there are none */
    sem_t ended;         /* posted by each worker at its end */
    pthread_mutex_t lock;
    struct worker *parked; /* [lock] workers that wait for their turn to read, the last first */
    unsigned reading;      /* [lock] those that wait for a request, or are called to */
    unsigned count;
    struct worker workers[];
};

/* Returns when it is this worker's turn, and it is counted among those that read. [lock held] */
static void park(struct worker *w)
{
    struct session *s = w->session;
    w->below = s->parked;
    w->called = false;
    s->parked = w;
    __atomic_store_n(&w->parked, true, __ATOMIC_SEQ_CST);
    while (!w->called)
        pthread_cond_wait(&w->turn, &s->lock);
    __atomic_store_n(&w->parked, false, __ATOMIC_SEQ_CST);
}

/* Hands the turn over: whoever is called reads from now on, also while it has yet to wake up. So
 * nobody takes the turn before it, and no second one is called. [lock held; one is parked] */
static void call_one(struct session *s)
{
    struct worker *w = s->parked;
    assert(w && !w->called);
    s->parked = w->below;
    w->called = true;
    s->reading++;
    pthread_cond_signal(&w->turn);
}

/* Waits until it is this worker's turn to read. */
static void begin_reading(struct worker *w)
{
    struct session *s = w->session;
    pthread_mutex_lock(&s->lock);
    if (s->reading >= READERS_MAX && !fuse_session_exited(s->fuse))
        park(w);
    else
        s->reading++;
    pthread_mutex_unlock(&s->lock);
}

static void end_reading(struct session *s)
{
    pthread_mutex_lock(&s->lock);
    assert(s->reading > 0);
    s->reading--;
    if (s->reading == 0 && s->parked)
        call_one(s);
    pthread_mutex_unlock(&s->lock);
}

static void wake(struct worker *w)
{
    if (__atomic_load_n(&w->busy, __ATOMIC_RELAXED) || __atomic_load_n(&w->ended, __ATOMIC_SEQ_CST))
        return;
    if (w->ring)
        ring_wake(w->ring);
    else
        pthread_kill(w->thread, WAKE_SIGNAL);
}

/* From here on nobody waits for a turn. */
static void end_turns(struct session *s)
{
    fuse_session_exit(s->fuse);
    pthread_mutex_lock(&s->lock);
    while (s->parked)
        call_one(s);
    pthread_mutex_unlock(&s->lock);
    for (unsigned i = 0; s->rings && i < rings_count(s->rings); i++)
        ring_wake(rings_get(s->rings, i));
}

static void handle(struct session *s, const struct fuse_buf *request, size_t len)
{
    bool in_memory = !(request->flags & FUSE_BUF_IS_FD);
    if (!s->raw || !in_memory || !s->raw(s->raw_ctx, s->fuse, request->mem, len))
        fuse_session_process_buf(s->fuse, request);
}

/* One request, if one comes. 0, or -ENODEV when the connection is over. */
static int serve_one(struct worker *w, struct fuse_buf *request)
{
    struct fuse_session *fuse = w->session->fuse;
    __atomic_store_n(&w->busy, false, __ATOMIC_RELAXED);
    __atomic_add_fetch(&w->passes, 1, __ATOMIC_SEQ_CST);
    begin_reading(w);
    int len = fuse_session_receive_buf(fuse, request);
    __atomic_store_n(&w->busy, len > 0, __ATOMIC_RELAXED);
    end_reading(w->session);
    if (len > 0)
        handle(w->session, request, (size_t)len);
    return len > 0 || len == -EINTR || len == -EAGAIN ? 0 : -ENODEV;
}

static void end_worker(struct worker *w)
{
    __atomic_store_n(&w->ended, true, __ATOMIC_SEQ_CST);
    sem_post(&w->session->ended);
}

static void *work(void *arg)
{
    struct worker *w = arg;
    struct fuse_buf request = {0};
    int err = 0;
    while (err == 0 && !fuse_session_exited(w->session->fuse))
        err = serve_one(w, &request);
    end_turns(w->session);
    free(request.mem);
    end_worker(w);
    return NULL;
}

/* ---- workers with rings ---- */

static int serve_ring(struct worker *w)
{
    void *data;
    __atomic_store_n(&w->busy, false, __ATOMIC_RELAXED);
    __atomic_add_fetch(&w->passes, 1, __ATOMIC_SEQ_CST);
    ssize_t len = ring_next(w->ring, &data);
    if (len <= 0)
        return (int)len;
    __atomic_store_n(&w->busy, true, __ATOMIC_RELAXED);
    size_t size = wire_look(data, (size_t)len);
    const struct fuse_buf request = {.mem = data, .size = size};
    handle(w->session, &request, size);
    ring_done(w->ring);
    return 0;
}

static void *work_ring(void *arg)
{
    struct worker *w = arg;
    int err = ring_begin(w->ring);
    if (err == 0)
        __atomic_store_n(&w->parked, false, __ATOMIC_SEQ_CST);
    while (err == 0 && !fuse_session_exited(w->session->fuse))
        err = serve_ring(w);
    if (err < 0 && err != -ENODEV && err != -ECANCELED)
        log_message(LOG_WARNING, "io_uring: %s; one thread less takes requests", strerror(-err));
    end_worker(w);
    return NULL;
}

/* ---- */

static void wake_handler(int signal_number)
{
    (void)signal_number;
}

/* Without SA_RESTART: interrupting is all that the signal is for. */
static void install_wake_handler(void)
{
    struct sigaction action = {.sa_handler = wake_handler};
    sigemptyset(&action.sa_mask);
    int err = sigaction(WAKE_SIGNAL, &action, NULL);
    assert(err == 0);
    (void)err;
}

static int start_worker(struct session *s, struct worker *w, struct ring *ring)
{
    w->session = s;
    w->ring = ring;
    w->parked = ring != NULL;
    pthread_cond_init(&w->turn, NULL);
    int err = -pthread_create(&w->thread, NULL, ring ? work_ring : work, w);
    if (err < 0)
        pthread_cond_destroy(&w->turn);
    return err;
}

int session_start(struct fuse_session *se, unsigned threads, struct rings *rings,
                  session_raw_fn *raw, void *ctx, struct session **out)
{
    assert(threads > 0);
    unsigned wanted = threads + (rings ? rings_count(rings) : 0);
    struct session *s = mem_zalloc(sizeof *s + wanted * sizeof s->workers[0]);
    int err = 0;
    *out = NULL;
    install_wake_handler();
    s->fuse = se;
    s->raw = raw;
    s->raw_ctx = ctx;
    sem_init(&s->ended, 0, 0);
    pthread_mutex_init(&s->lock, NULL);
    s->rings = rings;
    for (; s->count < wanted - threads && err == 0; s->count += err == 0)
        err = start_worker(s, &s->workers[s->count], rings_get(rings, s->count));
    unsigned by_ring = s->count;
    if (rings && err == 0) /* the kernel counts on each of them */
        wire_use_rings(rings);
    for (; s->count < wanted && err == 0; s->count += err == 0)
        err = start_worker(s, &s->workers[s->count], NULL);
    if (s->count == by_ring) {
        session_stop(s);
        session_free(s);
        return err;
    }
    *out = s; /* with fewer threads than wanted it is slower, and works */
    return 0;
}

static void pause_briefly(void)
{
    const struct timespec period = {.tv_nsec = WAKE_PERIOD_NS};
    nanosleep(&period, NULL);
}

void session_wait(struct session *s)
{
    for (unsigned i = 0; i < s->count;)
        if (sem_wait(&s->ended) == 0)
            i++;
}

void session_stop(struct session *s)
{
    end_turns(s);
    for (unsigned i = 0; i < s->count; i++) {
        struct worker *w = &s->workers[i];
        assert(!pthread_equal(pthread_self(), w->thread));
        while (!__atomic_load_n(&w->ended, __ATOMIC_SEQ_CST)) {
            wake(w);
            pause_briefly();
        }
    }
}

void session_free(struct session *s)
{
    if (!s)
        return;
    for (unsigned i = 0; i < s->count; i++) {
        assert(__atomic_load_n(&s->workers[i].ended, __ATOMIC_SEQ_CST));
        pthread_join(s->workers[i].thread, NULL);
        pthread_cond_destroy(&s->workers[i].turn);
    }
    assert(s->reading == 0 && !s->parked);
    sem_destroy(&s->ended);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

void session_drop_pages(struct session *s, uint64_t ino)
{
    fuse_lowlevel_notify_inval_inode(s->fuse, ino, 0, 0);
}

/* Is the worker done with what it had in hand when its count was `seen`? */
static bool has_passed(struct worker *w, uint64_t seen)
{
    return __atomic_load_n(&w->passes, __ATOMIC_SEQ_CST) != seen ||
           __atomic_load_n(&w->parked, __ATOMIC_SEQ_CST) ||
           __atomic_load_n(&w->ended, __ATOMIC_SEQ_CST);
}

void session_quiesce(struct session *s)
{
    for (unsigned i = 0; i < s->count; i++) {
        struct worker *w = &s->workers[i];
        assert(!pthread_equal(pthread_self(), w->thread));
        uint64_t seen = __atomic_load_n(&w->passes, __ATOMIC_SEQ_CST);
        while (!has_passed(w, seen)) {
            wake(w);
            pause_briefly();
        }
    }
}
