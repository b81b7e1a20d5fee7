/* squad: see squad.h.
 *
 * Invariants:
 *   1. A task is in the list exactly from squad_join() to squad_leave(), and what a helper uses of
 *      it is not freed before: it counts in `working` while it is outside the lock.
 *   2. A helper holds nothing that a job could wait for but the piece of work that it runs. */
#include "store/squad.h"

#include <assert.h>
#include <time.h>

#include "store/timed.h"

enum {
    PIECES = 256, /* of work, until a helper looks whether something else is to be done */
    WAIT_NS = 2 * 1000 * 1000,      /* for work, while there are tasks */
    FEEL_NS = 10 * 1000 * 1000,     /* of work tell how it goes */
    CROWDED_A_SECOND = 50,          /* preemptions, from which on it is crowded */
    CROWDED_NS = 100 * 1000 * 1000, /* after such a time it is taken to go on */
};

void squad_init(struct squad *s, void (*wake)(void *ctx), void *ctx)
{
    *s = (struct squad){.wake = wake, .wake_ctx = ctx};
    pthread_mutex_init(&s->lock, NULL);
    timed_init(&s->work);
    timed_init(&s->ended);
}

void squad_release(struct squad *s)
{
    assert(!s->tasks && s->helping == 0);
    pthread_cond_destroy(&s->work);
    pthread_cond_destroy(&s->ended);
    pthread_mutex_destroy(&s->lock);
}

void squad_join(struct squad *s, struct squad_task *task)
{
    assert(task->take && task->run && task->done && task->working == 0);
    pthread_mutex_lock(&s->lock);
    task->next = s->tasks;
    s->tasks = task;
    uint32_t before = s->task_count;
    __atomic_store_n(&s->task_count, before + 1, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&s->lock);
    if (before == 0 && s->wake)
        s->wake(s->wake_ctx);
}

void squad_leave(struct squad *s, struct squad_task *task)
{
    struct squad_task **at = &s->tasks;
    pthread_mutex_lock(&s->lock);
    while (*at != task) {
        assert(*at);
        at = &(*at)->next;
    }
    *at = task->next;
    __atomic_store_n(&s->task_count, s->task_count - 1, __ATOMIC_RELAXED);
    while (task->working > 0)
        pthread_cond_wait(&s->ended, &s->lock);
    pthread_mutex_unlock(&s->lock);
}

uint64_t squad_helped(struct squad *s)
{
    pthread_mutex_lock(&s->lock);
    uint64_t n = s->helped;
    pthread_mutex_unlock(&s->lock);
    return n;
}

/* [lock held] */
static void *take(struct squad *s, struct squad_task **task)
{
    void *work = NULL;
    for (*task = s->tasks; *task; *task = (*task)->next)
        if ((work = (*task)->take(*task)))
            break;
    return work;
}

/* [lock held, but not while it works] */
static void do_piece(struct squad *s, struct squad_task *task, void *work)
{
    task->working++;
    pthread_mutex_unlock(&s->lock);
    task->run(task, work);
    pthread_mutex_lock(&s->lock);
    task->done(task, work);
    task->working--;
    s->helped++;
    pthread_cond_broadcast(&s->ended);
}

/* Until there is work, or a moment has passed. [lock held] */
static void wait_for_work(struct squad *s)
{
    s->waiting++;
    timed_wait(&s->work, &s->lock, timed_now() + WAIT_NS);
    s->waiting--;
}

bool squad_crowded(struct squad *s)
{
    uint64_t until = __atomic_load_n(&s->crowded_until, __ATOMIC_RELAXED);
    return until != 0 && timed_now() < until;
}

void squad_note(struct squad *s, uint64_t preemptions, uint64_t ns)
{
    if ((double)preemptions * 1e9 > (double)CROWDED_A_SECOND * (double)ns)
        __atomic_store_n(&s->crowded_until, timed_now() + CROWDED_NS, __ATOMIC_RELAXED);
}

void squad_feel(struct squad *s, struct env *env, struct squad_feeling *f)
{
    uint64_t now = env->monotonic_ns(env);
    if (f->since_ns != 0 && now - f->since_ns < FEEL_NS)
        return;
    uint64_t preemptions = env->preemptions(env);
    if (f->since_ns != 0)
        squad_note(s, preemptions - f->preemptions, now - f->since_ns);
    *f = (struct squad_feeling){now, preemptions};
}

int squad_help(struct squad *s, uint32_t most)
{
    struct squad_task *task;
    void *work;
    if (__atomic_load_n(&s->task_count, __ATOMIC_RELAXED) == 0 || squad_crowded(s))
        return 1;
    pthread_mutex_lock(&s->lock);
    bool go = s->tasks && s->helping < most;
    if (go) {
        s->helping++;
        work = take(s, &task);
        if (!work) {
            wait_for_work(s);
            work = take(s, &task);
        }
        for (int i = 0; work && i < PIECES; i++) {
            do_piece(s, task, work);
            work = i + 1 < PIECES ? take(s, &task) : NULL;
        }
        s->helping--;
    }
    pthread_mutex_unlock(&s->lock);
    return go ? 0 : 1;
}
