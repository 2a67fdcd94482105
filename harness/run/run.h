#ifndef RUN_RUN_H
#define RUN_RUN_H
/*
 * run.h — carries a plan out: ask, score, store; continue, retry, cancel.
 *
 * How it works
 *   Slots each hold one attempt: its arena, its request, the tries that failed so far. A free slot
 *   takes the next attempt that the store does not have; the backend's poll hands responses to
 *   on_done, which scores and stores them, or sets a time for the next try. Nothing is decided by
 *   arrival order, so a run that was killed and begun again ends like one that was not. With `-j
 *   auto` on a server, concurrency.c says how many slots may be busy.
 *
 * Judging    Answers whose scorer runs programs are stored at once, without a verdict, and go to the
 *            judges (judges.h) with their slot, which does not count as busy: there are more slots
 *            than requests at once, and when all are taken nothing new is begun until a verdict frees
 *            one. A backend that needs all cores itself is let finish first; the answers are judged
 *            from the store then.
 * Continuing what is stored is not asked again; what is stored without a verdict is judged again, once a
 *            call, if its scorer has a session: killed, interrupted and failed judgings alike.
 * Threads    the caller's does everything but judging.
 * Failures   retry.h says what is tried again and when. A quota ends the run like an interruption
 *            (outcome.is_paused); a refused key or an unknown model fails it.
 * Events     warnings of the preflight, resumes, endpoints that come and go, what the client itself
 *            cost: stored with the run (db_put_event).
 * Cancel     *options.cancel set: what is in flight or being judged is given up, what is stored stays;
 *            the same command continues.
 * Errors     a failed request is a result (verdict error). run_execute itself fails when the store
 * or the backend as a whole cannot go on.
 */
#include <signal.h>

#include "run/plan.h"
#include "run/preflight.h"
#include "store/query.h"
#include "store/store.h"

/* The state of things, for whoever shows it. */
typedef struct run_tick {
    const run_task *task;              /* of the newest result; NULL before the first */
    int64_t n_done, n_total, n_before; /* attempts; n_before were in the store already */
    int n_flight, concurrency;         /* requests in flight; how many may be */
    int n_judging;                     /* answers waiting for a verdict or being judged */
    double score_sum;                  /* of all done attempts with a verdict */
    int64_t n_scored;
    int64_t anatomy[AS_N_VERDICTS];
    int64_t prompt_tokens, completion_tokens; /* this time */
    int64_t n_retries;
    int64_t elapsed_ns;
    bool is_last;
} run_tick;

typedef struct run_execution {
    db_store *db;
    bool fresh;                         /* a new run even if one with this configuration is there */
    as_str host_json, build_json, argv; /* provenance, see store.h */
    const volatile sig_atomic_t *cancel;            /* may be NULL */
    void (*tick)(void *user, const run_tick *tick); /* may be NULL; called often */
    void *tick_user;
    const run_finding *findings; /* of the preflight; stored with the run */
    int n_findings;
    bool is_prepared;                   /* run_prepare was called */
    void (*ready)(const be_info *info); /* may be NULL; once, before the first request */
} run_execution;

typedef struct run_outcome {
    int64_t run_id;
    bool is_resumed, was_complete; /* it was in the store, and whole, before this call */
    bool is_interrupted;
    bool is_paused; /* the server's allowance was used up; pause_words says so in a sentence */
    as_err pause_words;
    int concurrency;              /* at the end */
    int64_t n_planned, n_done;    /* n_done: stored, of these: */
    int64_t n_errors, n_ungraded; /* failed; without a verdict */
} run_outcome;

/* Tells the backend what is coming; once, before its first request. run_execute does it unless told
 * that it was done. */
as_code run_prepare(const run_plan *plan, as_err *err);
as_code run_execute(const run_plan *plan, const run_execution *how, run_outcome *out, as_err *err);

/* Sums the stored results of one task up again and stores the summary. */
as_code run_summarise(db_store *db, const su_task *task, int64_t task_id, const char *scorer,
                      int scorer_version, as_err *err);

#endif
