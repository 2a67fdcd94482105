#ifndef BASE_POOL_H
#define BASE_POOL_H
/*
 * pool.h — a fixed set of threads that do jobs and hand them back.
 *
 * How it works
 *   The owner puts jobs in and takes them back. Jobs begin in the order they were put and come back
 *   as they end, so their order is lost on purpose: who needs one keeps it beside the jobs.
 *
 * Bound      put never blocks; how many jobs there are is the owner's affair (a run's slots, a ring).
 * Errors     what goes wrong in a job stays in the job.
 * Ownership  a job belongs to the pool between put and take.
 * Threads    put, take and close: one thread, the owner. A job's work runs on a thread of the pool; it
 *            sees all that was written before put, the owner all that it wrote after take.
 */
#include "base/err.h"

/* The first member of what is to be done. */
typedef struct as_job {
    void (*work)(struct as_job *job);
    struct as_job *next; /* the pool's */
} as_job;

typedef struct as_pool as_pool;

as_code as_pool_open(as_pool **out, int n_threads, as_err *err);
void as_pool_put(as_pool *pool, as_job *job);
/* One that is done, oldest end first. NULL: none ended within wait_ms (below 0: waits as long as
 * there is one to wait for). */
as_job *as_pool_take(as_pool *pool, int wait_ms);
/* Waits for the jobs under way; those that nobody has begun are dropped. NULL is allowed. */
void as_pool_close(as_pool *pool);

#endif
