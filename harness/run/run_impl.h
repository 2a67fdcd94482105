#ifndef RUN_RUN_IMPL_H
#define RUN_RUN_IMPL_H
/*
 * run_impl.h — what the files of the scheduler share. Nobody else includes it.
 */
#include "run/concurrency.h"
#include "run/run.h"

typedef enum slot_state { SLOT_FREE, SLOT_FLIGHT, SLOT_PAUSE } slot_state;

typedef struct slot {
    slot_state state;
    as_arena arena; /* the sample's: request, failed tries, score */
    as_request request;
    const run_task *task;
    int64_t task_id;
    size_t position;
    int repeat;
    db_try *failed; /* [n_failed], room for max_tries */
    int n_failed;
    int64_t resume_ns; /* SLOT_PAUSE: when the next try is due */
} slot;

enum { MAX_ENDPOINTS = 64, MAX_CHANGES = 100 };

/* One of several servers, as their answers name it; an empty name where there is but one. */
typedef struct endpoint {
    as_str name, model, fingerprint; /* in runner.names */
    bool is_down;
} endpoint;

/* Why no more requests are begun; those in flight are waited for. */
typedef enum stop_reason { STOP_NOT, STOP_CANCEL, STOP_PAUSE, STOP_REFUSED } stop_reason;

typedef struct runner {
    const run_plan *plan;
    const run_execution *how;
    const be_driver *driver;
    be_backend *be;
    db_store *db;
    int64_t run_id;
    slot *slots;
    int n_slots;
    int n_busy; /* slots in flight or pausing */
    bool is_adaptive;
    run_pace pace;     /* is_adaptive: how many may be busy */
    int64_t *task_ids; /* [plan->n_tasks] */
    void **sessions;   /* [plan->n_tasks] of the tasks' scorers; tasks with one scorer share it */
    bool **done;       /* [plan->n_tasks][position * repeats + repeat] */
    int at_task;       /* the next attempt to start */
    size_t at_attempt;
    run_tick tick;
    int64_t started_ns;
    int64_t n_answers, n_failures; /* this time */
    int64_t n_not_found;
    int64_t n_unreached; /* transport failures in a row */
    stop_reason stop;
    as_err stop_words;
    endpoint endpoints[MAX_ENDPOINTS];
    int n_endpoints, n_changes;
    as_arena names;
    int64_t work_ns, cpu_ns;      /* of the scheduler's loop */
    int64_t latency_ns, queue_ns; /* sums over answers */
    as_err fatal;                 /* first error inside a callback */
} runner;

/* ---- run.c */
void run_count(runner *r, const as_score *score);

/* ---- attempts.c: asks what the store does not have, until there is nothing left or a reason to
 * stop. */
bool run_has_next(runner *r);
as_code run_work(runner *r, as_err *err);

/* ---- watch.c: what is worth telling about a run */
/* Stores an event with the run; levels "warn" and "error" are logged too. */
as_code run_note(runner *r, const char *level, const char *kind, as_str text, as_err *err);
/* Who answered what is stored already. */
as_code run_know_answerers(runner *r, as_err *err);
/* Up and down of the endpoint that answered or failed, and another model behind it than before. */
as_code run_watch_endpoint(runner *r, const as_response *response, as_err *err);
/* Our own CPU time and queueing against the latencies of this session. */
as_code run_note_client(runner *r, as_err *err);
as_code run_note_pace(runner *r, as_err *err);
/* The server's counters, where it has any; failing to read them is no error. */
as_code run_put_server(runner *r, int sample, as_err *err);

#endif
