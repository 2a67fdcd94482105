/* The threads of base/pool: every job is done once and comes back, waiting ends, closing drops. */
#include <stdatomic.h>
#include <stdbool.h>

#include "base/pool.h"
#include "base/time.h"
#include "unit/cm.h"

enum { JOBS = 200, THREADS = 4 };

typedef struct sum_job {
    as_job job;
    int in, out;
    atomic_bool *gate; /* NULL: none; else work waits until it is open */
    atomic_int *n_begun;
} sum_job;

static void square(as_job *job)
{
    sum_job *s = (sum_job *)job;
    if (s->n_begun != NULL)
        (void)atomic_fetch_add(s->n_begun, 1);
    for (int i = 0; s->gate != NULL && i < 10000 && !atomic_load(s->gate); i++)
        as_sleep_ns(1000000);
    s->out += s->in * s->in;
}

static void does_every_job_once(void **state)
{
    (void)state;
    static sum_job jobs[JOBS];
    as_pool *pool = NULL;
    assert_int_equal(as_pool_open(&pool, THREADS, NULL), AS_OK);
    assert_null(as_pool_take(pool, -1)); /* nothing is out */
    for (int i = 0; i < JOBS; i++) {
        jobs[i] = (sum_job){.job.work = square, .in = i};
        as_pool_put(pool, &jobs[i].job);
    }
    int n = 0;
    while (as_pool_take(pool, -1) != NULL)
        n++;
    assert_int_equal(n, JOBS);
    for (int i = 0; i < JOBS; i++)
        assert_int_equal(jobs[i].out, i * i);
    as_pool_close(pool);
}

static void does_several_at_once(void **state)
{
    (void)state;
    sum_job jobs[THREADS];
    atomic_bool gate;
    atomic_int n_begun;
    atomic_init(&gate, false);
    atomic_init(&n_begun, 0);
    as_pool *pool = NULL;
    assert_int_equal(as_pool_open(&pool, THREADS, NULL), AS_OK);
    for (int i = 0; i < THREADS; i++) {
        jobs[i] = (sum_job){.job.work = square, .in = 1, .gate = &gate, .n_begun = &n_begun};
        as_pool_put(pool, &jobs[i].job);
    }
    assert_null(as_pool_take(pool, 0));
    assert_null(as_pool_take(pool, 5));
    for (int i = 0; i < 10000 && atomic_load(&n_begun) < THREADS; i++)
        as_sleep_ns(1000000);
    assert_int_equal(atomic_load(&n_begun), THREADS); /* all, and none has ended */
    atomic_store(&gate, true);
    for (int i = 0; i < THREADS; i++)
        assert_non_null(as_pool_take(pool, -1));
    as_pool_close(pool);
}

static void closing_waits_for_what_is_begun_only(void **state)
{
    (void)state;
    sum_job jobs[3];
    atomic_bool gate;
    atomic_int n_begun;
    atomic_init(&gate, false);
    atomic_init(&n_begun, 0);
    as_pool *pool = NULL;
    assert_int_equal(as_pool_open(&pool, 1, NULL), AS_OK);
    for (int i = 0; i < 3; i++) {
        jobs[i] = (sum_job){.job.work = square, .in = 1, .gate = &gate, .n_begun = &n_begun};
        as_pool_put(pool, &jobs[i].job);
    }
    for (int i = 0; i < 10000 && atomic_load(&n_begun) < 1; i++)
        as_sleep_ns(1000000);
    atomic_store(&gate, true);
    as_pool_close(pool);
    assert_int_equal(jobs[0].out, 1);
    assert_int_equal(jobs[0].out + jobs[1].out + jobs[2].out, atomic_load(&n_begun));
    as_pool_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(does_every_job_once),
        cmocka_unit_test(does_several_at_once),
        cmocka_unit_test(closing_waits_for_what_is_begun_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
