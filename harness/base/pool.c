#include "base/pool.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#include "base/arena.h"
#include "base/time.h"

typedef struct job_list {
    as_job *head, *tail;
} job_list;

struct as_pool {
    pthread_mutex_t lock; /* guards all but threads */
    pthread_cond_t has_work, has_done;
    job_list waiting, done;
    int n_out; /* put and not yet taken */
    bool is_closing;
    int n_threads;
    pthread_t threads[]; /* [n_threads] */
};

static void append(job_list *l, as_job *job)
{
    job->next = NULL;
    if (l->tail != NULL)
        l->tail->next = job;
    else
        l->head = job;
    l->tail = job;
}

static as_job *pop(job_list *l)
{
    as_job *job = l->head;
    if (job == NULL)
        return NULL;
    l->head = job->next;
    if (l->head == NULL)
        l->tail = NULL;
    job->next = NULL;
    return job;
}

static void *worker(void *user)
{
    as_pool *pool = user;
    (void)pthread_mutex_lock(&pool->lock);
    for (;;) {
        while (pool->waiting.head == NULL && !pool->is_closing)
            (void)pthread_cond_wait(&pool->has_work, &pool->lock);
        if (pool->is_closing)
            break;
        as_job *job = pop(&pool->waiting);
        (void)pthread_mutex_unlock(&pool->lock);
        job->work(job);
        (void)pthread_mutex_lock(&pool->lock);
        append(&pool->done, job);
        (void)pthread_cond_signal(&pool->has_done);
    }
    (void)pthread_mutex_unlock(&pool->lock);
    return NULL;
}

as_code as_pool_open(as_pool **out, int n_threads, as_err *err)
{
    *out = NULL;
    as_pool *pool = calloc(1, sizeof *pool + (size_t)n_threads * sizeof pool->threads[0]);
    if (pool == NULL)
        return as_nomem(err);
    pthread_condattr_t monotonic;
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&pool->lock, NULL);
    (void)pthread_cond_init(&pool->has_work, NULL);
    (void)pthread_cond_init(&pool->has_done, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    while (pool->n_threads < n_threads &&
           pthread_create(&pool->threads[pool->n_threads], NULL, worker, pool) == 0)
        pool->n_threads++;
    if (pool->n_threads < n_threads) {
        as_pool_close(pool);
        return as_fail(err, AS_NOMEM, "cannot start a thread");
    }
    *out = pool;
    return AS_OK;
}

void as_pool_put(as_pool *pool, as_job *job)
{
    (void)pthread_mutex_lock(&pool->lock);
    append(&pool->waiting, job);
    pool->n_out++;
    (void)pthread_cond_signal(&pool->has_work);
    (void)pthread_mutex_unlock(&pool->lock);
}

as_job *as_pool_take(as_pool *pool, int wait_ms)
{
    const int64_t due_ns = as_now_ns() + (int64_t)wait_ms * 1000000;
    const struct timespec due = {(time_t)(due_ns / 1000000000), (long)(due_ns % 1000000000)};
    bool is_late = wait_ms == 0;
    (void)pthread_mutex_lock(&pool->lock);
    while (pool->done.head == NULL && pool->n_out != 0 && !is_late) {
        if (wait_ms < 0)
            (void)pthread_cond_wait(&pool->has_done, &pool->lock);
        else
            is_late = pthread_cond_timedwait(&pool->has_done, &pool->lock, &due) != 0;
    }
    as_job *job = pop(&pool->done);
    pool->n_out -= job != NULL ? 1 : 0;
    (void)pthread_mutex_unlock(&pool->lock);
    return job;
}

void as_pool_close(as_pool *pool)
{
    if (pool == NULL)
        return;
    (void)pthread_mutex_lock(&pool->lock);
    pool->is_closing = true;
    (void)pthread_cond_broadcast(&pool->has_work);
    (void)pthread_mutex_unlock(&pool->lock);
    for (int i = 0; i < pool->n_threads; i++)
        (void)pthread_join(pool->threads[i], NULL);
    (void)pthread_cond_destroy(&pool->has_done);
    (void)pthread_cond_destroy(&pool->has_work);
    (void)pthread_mutex_destroy(&pool->lock);
    free(pool);
}
