#include "run/judges.h"

#include <stdatomic.h>
#include <stdlib.h>

enum {
    MAX_SESSIONS = 16,
    MORE_THREADS = 2, /* they read tests and compare while the others wait for programs */
    ROOM_PER_THREAD = 8,
    LEAST_ROOM = 64,
};

typedef struct session {
    const sc_scorer *scorer;
    void *of; /* NULL: the scorer needs none */
} session;

struct run_judges {
    sc_options options;
    session sessions[MAX_SESSIONS];
    int n_sessions;
    as_pool *pool;
    int n_threads, n_out;
    atomic_bool is_cancelled;
    atomic_int n_at_once;
    atomic_int most_at_once;
    int64_t n_judged;
    int most_out;
};

as_code run_judges_open(run_judges **out, const sc_options *options, as_err *err)
{
    *out = calloc(1, sizeof **out);
    if (*out == NULL)
        return as_nomem(err);
    (*out)->options = *options;
    atomic_init(&(*out)->is_cancelled, false);
    atomic_init(&(*out)->n_at_once, 0);
    atomic_init(&(*out)->most_at_once, 0);
    return AS_OK;
}

static const session *find(const run_judges *j, const sc_scorer *scorer)
{
    for (int i = 0; i < j->n_sessions; i++)
        if (j->sessions[i].scorer == scorer)
            return &j->sessions[i];
    return NULL;
}

as_code run_judges_add(run_judges *j, const sc_scorer *scorer, as_err *err)
{
    if (scorer->open == NULL || find(j, scorer) != NULL)
        return AS_OK;
    if (j->n_sessions == MAX_SESSIONS)
        return as_fail(err, AS_BUG, "more than %d scorers with a session", MAX_SESSIONS);
    session s = {.scorer = scorer};
    AS_TRY(scorer->open(&s.of, &j->options, err));
    j->sessions[j->n_sessions++] = s;
    const int n = scorer->n_at_once(s.of) + MORE_THREADS;
    if (n <= j->n_threads)
        return AS_OK;
    as_pool_close(j->pool); /* idle: scorers are added before answers come */
    j->pool = NULL;
    j->n_threads = 0;
    AS_TRY(as_pool_open(&j->pool, n, err));
    j->n_threads = n;
    return AS_OK;
}

int run_judges_room(const run_judges *j)
{
    const int n = j->n_threads * ROOM_PER_THREAD;
    return n == 0 || n > LEAST_ROOM ? n : LEAST_ROOM;
}

bool run_judges_wants(const sc_scorer *scorer, const as_response *response)
{
    return scorer->open != NULL && !sc_is_settled(response);
}

static void count_one_more(run_judges *j)
{
    const int n = atomic_fetch_add(&j->n_at_once, 1) + 1;
    int most = atomic_load(&j->most_at_once);
    while (n > most && !atomic_compare_exchange_weak(&j->most_at_once, &most, n))
        continue;
}

static void work(as_job *job)
{
    run_judging *one = (run_judging *)job;
    run_judges *j = one->judges;
    if (atomic_load(&j->is_cancelled)) {
        one->code = as_fail(&one->err, AS_CANCELLED, "interrupted before it was judged");
        return;
    }
    count_one_more(j);
    one->code = sc_judge_in(one->scorer, find(j, one->scorer)->of, one->sample, one->response,
                            &one->score, one->arena, &one->err);
    (void)atomic_fetch_sub(&j->n_at_once, 1);
}

void run_judges_put(run_judges *j, run_judging *one)
{
    one->job.work = work;
    one->judges = j;
    one->err = (as_err){0};
    j->n_out++;
    if (j->n_out > j->most_out)
        j->most_out = j->n_out;
    as_pool_put(j->pool, &one->job);
}

run_judging *run_judges_take(run_judges *j, int wait_ms)
{
    if (j->n_out == 0)
        return NULL;
    run_judging *one = (run_judging *)as_pool_take(j->pool, wait_ms);
    if (one == NULL)
        return NULL;
    j->n_out--;
    j->n_judged += one->code == AS_OK ? 1 : 0;
    return one;
}

void run_judges_cancel(run_judges *j)
{
    if (atomic_exchange(&j->is_cancelled, true))
        return;
    for (int i = 0; i < j->n_sessions; i++)
        j->sessions[i].scorer->cancel(j->sessions[i].of);
}

void run_judges_close(run_judges *j)
{
    if (j == NULL)
        return;
    if (j->n_out != 0)
        run_judges_cancel(j);
    as_pool_close(j->pool);
    for (int i = 0; i < j->n_sessions; i++)
        j->sessions[i].scorer->close(j->sessions[i].of);
    free(j);
}

run_judges_count run_judges_counts(run_judges *j)
{
    return (run_judges_count){.n_threads = j->n_threads,
                              .n_judged = j->n_judged,
                              .most_at_once = atomic_load(&j->most_at_once),
                              .most_out = j->most_out};
}
