#ifndef RUN_RUN_IMPL_H
#define RUN_RUN_IMPL_H
/*
 * run_impl.h — what the files of the scheduler share. Nobody else includes it.
 */
#include "run/concurrency.h"
#include "run/judges.h"
#include "run/run.h"

typedef enum slot_state { SLOT_FREE, SLOT_FLIGHT, SLOT_PAUSE, SLOT_JUDGE } slot_state;

/* What is to be done about an attempt that nobody has taken up. */
typedef enum todo { TODO_ASK, TODO_JUDGE, TODO_NOTHING } todo;

/* A place in the plan: task, and position * repeats + repeat. */
typedef struct cursor {
    int task;
    size_t attempt;
} cursor;

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
    int64_t resume_ns;    /* SLOT_PAUSE: when the next try is due */
    as_response response; /* SLOT_JUDGE: texts in arena, which is the judges' meanwhile */
    run_judging judging;
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
    int n_slots;     /* for requests and for answers that wait for their verdict */
    int most_flight; /* requests at once */
    int n_busy;      /* slots in flight or pausing */
    int n_judging;   /* slots with the judges */
    run_judges *judges;
    bool
        judges_last; /* programs would fight with the backend for the cores: judged when it is done */
    bool is_flushed;           /* readers see the answers that are still to be judged */
    int64_t n_cut;             /* judgings that were interrupted */
    int64_t n_begun_meanwhile; /* requests begun while answers were judged */
    bool is_adaptive;
    run_pace pace;        /* is_adaptive: how many may be busy */
    int64_t *task_ids;    /* [plan->n_tasks] */
    unsigned char **todo; /* [plan->n_tasks][position * repeats + repeat]; todo */
    cursor to_ask, to_judge;
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
/* Moves the cursor to the next attempt of that kind, which may be where it stands; false: none. */
bool run_next(const runner *r, cursor *at, todo what);
unsigned char *run_todo_of(const runner *r, const slot *s);
as_code run_work(runner *r, as_err *err);

/* ---- verdicts.c */
/* Stores the slot's answer, with its verdict or on its way to it (SLOT_JUDGE). */
as_code run_take_answer(runner *r, slot *s, const as_response *response, as_err *err);
/* Hands the stored answer to the slot's attempt to the judges. */
as_code run_judge_stored(runner *r, slot *s, as_err *err);
/* Stores verdicts that have come in, and frees their slots; waits for the first up to wait_ms. */
as_code run_collect_verdicts(runner *r, int wait_ms, as_err *err);

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
/* How judging went beside asking; nothing where there was none. */
as_code run_note_judging(runner *r, as_err *err);
/* The server's counters, where it has any; failing to read them is no error. */
as_code run_put_server(runner *r, int sample, as_err *err);

#endif
