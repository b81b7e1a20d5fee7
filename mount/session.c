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
 *  4. The kernel never loses a request by EINTR: it is taken off its queue only when the wait for
 * it is over. */
#include "mount/session.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#include "fs/fs.h"

enum { WAKE_SIGNAL = SIGUSR1, WAKE_PERIOD_NS = 200 * 1000 };

struct worker {
    struct session *session;
    pthread_t thread;
    uint64_t passes; /* atomic */
    bool busy;       /* atomic: has a request in hand. A hint: who is busy is not worth waking */
    bool ended;      /* atomic */
};

struct session {
    struct fuse_session *fuse;
    sem_t ended; /* posted by each worker at its end */
    unsigned count;
    struct worker workers[];
};

static void *work(void *arg)
{
    struct worker *w = arg;
    struct fuse_session *fuse = w->session->fuse;
    struct fuse_buf request = {0};
    while (!fuse_session_exited(fuse)) {
        __atomic_store_n(&w->busy, false, __ATOMIC_RELAXED);
        __atomic_add_fetch(&w->passes, 1, __ATOMIC_SEQ_CST);
        int len = fuse_session_receive_buf(fuse, &request);
        if (len == -EINTR || len == -EAGAIN)
            continue;
        if (len <= 0) /* the connection is over */
            break;
        __atomic_store_n(&w->busy, true, __ATOMIC_RELAXED);
        fuse_session_process_buf(fuse, &request);
    }
    fuse_session_exit(fuse);
    free(request.mem);
    __atomic_store_n(&w->ended, true, __ATOMIC_SEQ_CST);
    sem_post(&w->session->ended);
    return NULL;
}

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

int session_start(struct fuse_session *se, unsigned threads, struct session **out)
{
    assert(threads > 0);
    struct session *s = mem_zalloc(sizeof *s + threads * sizeof s->workers[0]);
    int err = 0;
    *out = NULL;
    install_wake_handler();
    s->fuse = se;
    sem_init(&s->ended, 0, 0);
    for (; s->count < threads && err == 0; s->count += err == 0) {
        s->workers[s->count].session = s;
        err = -pthread_create(&s->workers[s->count].thread, NULL, work, &s->workers[s->count]);
    }
    if (s->count == 0) {
        sem_destroy(&s->ended);
        free(s);
        return err;
    }
    *out = s; /* with fewer threads than wanted it is slower, and works */
    return 0;
}

static void wake(struct worker *w)
{
    if (!__atomic_load_n(&w->busy, __ATOMIC_RELAXED) &&
        !__atomic_load_n(&w->ended, __ATOMIC_SEQ_CST))
        pthread_kill(w->thread, WAKE_SIGNAL);
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
    fuse_session_exit(s->fuse);
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
    }
    sem_destroy(&s->ended);
    free(s);
}

void session_quiesce(struct session *s)
{
    for (unsigned i = 0; i < s->count; i++) {
        struct worker *w = &s->workers[i];
        assert(!pthread_equal(pthread_self(), w->thread));
        uint64_t seen = __atomic_load_n(&w->passes, __ATOMIC_SEQ_CST);
        while (__atomic_load_n(&w->passes, __ATOMIC_SEQ_CST) == seen &&
               !__atomic_load_n(&w->ended, __ATOMIC_SEQ_CST)) {
            wake(w);
            pause_briefly();
        }
    }
}
