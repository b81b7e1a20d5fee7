/* jobs: a queue with a thread of its own, for what may not be done by a worker: because it waits
 * for the kernel, which may wait for workers. */
#ifndef VARVE_MOUNT_JOBS_H
#define VARVE_MOUNT_JOBS_H

struct jobs;

/* The first member of whatever is queued. */
struct job {
    struct job *next;
};
/* Does the job, or says that it will not be done; frees it. */
typedef void job_fn(void *ctx, struct job *job);

/* `run` is called from the thread, one job after the other, in the order in which they came;
 * `refuse`, from any thread, for those that come, or still wait, when it stops. */
struct jobs *jobs_new(job_fn *run, job_fn *refuse, void *ctx);
/* Starts the thread; what was added before is done then. 0 or a negative errno. */
int jobs_start(struct jobs *j);
/* Takes the job over. */
void jobs_add(struct jobs *j, struct job *job);
/* Finishes the job in hand, refuses the others, ends the thread. May be called twice, and without a
 * thread. */
void jobs_stop(struct jobs *j);
/* Of one that is stopped or was never started, and has no job. NULL is fine. */
void jobs_free(struct jobs *j);

#endif
