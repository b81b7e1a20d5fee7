/* jobs: see jobs.h. */
#include "mount/jobs.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "fs/fs.h"

struct jobs {
    job_fn *run, *refuse;
    void *ctx;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wanted;
    bool started, stop;        /* [lock] */
    struct job *first, **last; /* [lock] */
};

struct jobs *jobs_new(job_fn *run, job_fn *refuse, void *ctx)
{
    struct jobs *j = mem_zalloc(sizeof *j);
    *j = (struct jobs){.run = run, .refuse = refuse, .ctx = ctx};
    j->last = &j->first;
    pthread_mutex_init(&j->lock, NULL);
    pthread_cond_init(&j->wanted, NULL);
    return j;
}

void jobs_free(struct jobs *j)
{
    if (!j)
        return;
    assert(!j->started && !j->first);
    pthread_mutex_destroy(&j->lock);
    pthread_cond_destroy(&j->wanted);
    free(j);
}

/* Takes the next job, waiting for one; NULL at the end. */
static struct job *next_job(struct jobs *j)
{
    pthread_mutex_lock(&j->lock);
    while (!j->first && !j->stop)
        pthread_cond_wait(&j->wanted, &j->lock);
    struct job *job = j->stop ? NULL : j->first;
    if (job) {
        j->first = job->next;
        if (!j->first)
            j->last = &j->first;
    }
    pthread_mutex_unlock(&j->lock);
    return job;
}

static void *jobs_main(void *arg)
{
    struct jobs *j = arg;
    struct job *job;
    while ((job = next_job(j)))
        j->run(j->ctx, job);
    return NULL;
}

int jobs_start(struct jobs *j)
{
    pthread_mutex_lock(&j->lock);
    assert(!j->started);
    int err = -pthread_create(&j->thread, NULL, jobs_main, j);
    j->started = err == 0;
    pthread_mutex_unlock(&j->lock);
    return err;
}

void jobs_add(struct jobs *j, struct job *job)
{
    job->next = NULL;
    pthread_mutex_lock(&j->lock);
    bool stop = j->stop;
    if (!stop) {
        *j->last = job;
        j->last = &job->next;
        pthread_cond_signal(&j->wanted);
    }
    pthread_mutex_unlock(&j->lock);
    if (stop)
        j->refuse(j->ctx, job);
}

void jobs_stop(struct jobs *j)
{
    pthread_mutex_lock(&j->lock);
    bool started = j->started;
    j->started = false;
    j->stop = true;
    struct job *refused = j->first;
    j->first = NULL;
    j->last = &j->first;
    pthread_cond_signal(&j->wanted);
    pthread_mutex_unlock(&j->lock);
    while (refused) {
        struct job *next = refused->next;
        j->refuse(j->ctx, refused);
        refused = next;
    }
    if (started)
        pthread_join(j->thread, NULL);
}
