/* timed: what threads need of the system besides locks: conditions that are waited for no longer
 * than so long, by the clock that nobody sets (CLOCK_MONOTONIC), in real time, also on a simulated
 * disk; and their processors. */
#ifndef VARVE_STORE_TIMED_H
#define VARVE_STORE_TIMED_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* Nanoseconds by that clock, from some moment on. */
uint64_t timed_now(void);
/* As pthread_cond_init(), for timed_wait(). */
void timed_init(pthread_cond_t *c);
/* Waits until timed_now() is `until`. Like pthread_cond_wait() it may return early without cause.
 * False: the time is over. */
bool timed_wait(pthread_cond_t *c, pthread_mutex_t *lock, uint64_t until);

/* A thread inherits the name of its maker, and its processors, which may be a single one. From here
 * on this one has that name (15 bytes at most), and may use the processors of the process, as its
 * first thread has them. */
void thread_begin(const char *name);

#endif
