/* times: see times.h.
 *
 * When writing fails (a full disk) nothing is tried before the period is over, however many wait:
 * then new ones are not kept, and reading goes on. */
#include "mount/times.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

enum { MANY = FS_TIMES_MAX / 2, SECOND_NS = 1000000000 };

struct times {
    struct fs *fs;
    unsigned period_s;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wanted;
    bool stop;   /* [lock] */
    bool nudged; /* [lock] */
    bool busy;   /* atomic: it has been nudged, or cannot write: nobody need do it again */
};

static void set_busy(struct times *t, bool busy)
{
    __atomic_store_n(&t->busy, busy, __ATOMIC_RELAXED);
}

/* Until the period is over, or somebody wants something. [lock] */
static void wait_for_work(struct times *t)
{
    uint64_t end = timed_now() + (uint64_t)t->period_s * SECOND_NS;
    t->nudged = false;
    for (bool early = true; early && !t->stop && !t->nudged;)
        early = timed_wait(&t->wanted, &t->lock, end);
}

static void *work(void *arg)
{
    struct times *t = arg;
    pthread_mutex_lock(&t->lock);
    while (!t->stop) {
        wait_for_work(t);
        if (t->stop)
            break;
        pthread_mutex_unlock(&t->lock);
        int err = fs_write_times(t->fs);
        pthread_mutex_lock(&t->lock);
        set_busy(t, err < 0);
    }
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

int times_start(struct fs *fs, unsigned period_s, struct times **out)
{
    struct times *t = mem_zalloc(sizeof *t);
    *out = NULL;
    t->fs = fs;
    t->period_s = period_s;
    pthread_mutex_init(&t->lock, NULL);
    timed_init(&t->wanted);
    int err = -pthread_create(&t->thread, NULL, work, t);
    if (err < 0)
        free(t);
    else
        *out = t;
    return err;
}

void times_stop(struct times *t)
{
    if (!t)
        return;
    pthread_mutex_lock(&t->lock);
    t->stop = true;
    pthread_cond_signal(&t->wanted);
    pthread_mutex_unlock(&t->lock);
    pthread_join(t->thread, NULL);
    pthread_cond_destroy(&t->wanted);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

void times_nudge(struct times *t)
{
    if (!t || fs_times_waiting(t->fs) < MANY || __atomic_load_n(&t->busy, __ATOMIC_RELAXED))
        return;
    pthread_mutex_lock(&t->lock);
    set_busy(t, true);
    t->nudged = true;
    pthread_cond_signal(&t->wanted);
    pthread_mutex_unlock(&t->lock);
}
