/* timed: see timed.h. */
#include "store/timed.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

enum { SECOND = 1000000000 };

uint64_t timed_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

void timed_init(pthread_cond_t *c)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(c, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

bool timed_wait(pthread_cond_t *c, pthread_mutex_t *lock, uint64_t until)
{
    const struct timespec t = {.tv_sec = (time_t)(until / SECOND),
                               .tv_nsec = (long)(until % SECOND)};
    int err = pthread_cond_timedwait(c, lock, &t);
    assert(err == 0 || err == ETIMEDOUT);
    return err == 0;
}

void thread_begin(const char *name)
{
    enum { PROCESSORS = 8192 };
    _Alignas(cpu_set_t) unsigned char set[PROCESSORS / 8];
    pthread_setname_np(pthread_self(), name);
    if (sched_getaffinity(getpid(), sizeof set, (cpu_set_t *)(void *)set) == 0)
        sched_setaffinity(0, sizeof set, (cpu_set_t *)(void *)set);
}
