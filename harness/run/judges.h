#ifndef RUN_JUDGES_H
#define RUN_JUDGES_H
/*
 * judges.h — judges answers beside the thread that brings them: a run's, and `assay score`'s.
 *
 * How it works
 *   Scorers that run programs have a session (scorer.h) and take seconds; a few threads judge for
 *   them, as many as their sessions can make use of and two more, which read tests and compare
 *   values meanwhile. Other scorers, and answers that the common rules settle, are judged where they
 *   come in: run_judges_wants says which is which. The owner puts a judging, goes on, and takes back
 *   what is done, in any order; what it does with the results must not depend on that order.
 *
 * Bound      run_judges_room is how many judgings may be out: enough that the threads never wait for
 *            the owner. Who has none left asks no more until one comes back.
 * Memory     the tests of as many problems as there are threads, and what their programs print.
 * Ownership  a judging, and what it points to, belongs to the judges from put to take.
 * Threads    one owner calls all functions. score_in runs on several threads at once, each with its
 *            judging's arena; the threads touch no store, no backend and nothing else of a run.
 * Cancel     run_judges_cancel ends what is being judged; all that is out comes back soon, with
 *            AS_CANCELLED where no verdict was reached.
 */
#include "base/pool.h"
#include "scorers/scorer.h"

typedef struct run_judges run_judges;

typedef struct run_judging {
    as_job job; /* first: the pool's */
    run_judges *judges;
    void *user; /* the owner's */
    const sc_scorer *scorer;
    const as_sample *sample;
    const as_response *response;
    as_arena *arena; /* the score's texts; nobody else's until take */
    /* Out: the score if code is AS_OK. */
    as_score score;
    as_code code;
    as_err err;
} run_judging;

as_code run_judges_open(run_judges **out, const sc_options *options, as_err *err);
/* Makes ready for answers of this scorer: opens its session, if it has one, and starts threads. Again
 * for the same scorer: nothing. Errors are the scorer's. */
as_code run_judges_add(run_judges *j, const sc_scorer *scorer, as_err *err);
/* 0: no scorer with a session was added. */
int run_judges_room(const run_judges *j);
/* This answer is for the threads; else sc_judge settles it at once. */
bool run_judges_wants(const sc_scorer *scorer, const as_response *response);
/* scorer, sample, response, arena and user are set. */
void run_judges_put(run_judges *j, run_judging *one);
/* NULL: none ended within wait_ms (below 0: waits as long as one is out). */
run_judging *run_judges_take(run_judges *j, int wait_ms);
void run_judges_cancel(run_judges *j);
/* Cancels what is still out. NULL is allowed. */
void run_judges_close(run_judges *j);

/* What the threads did, for whoever tells how a run went. */
typedef struct run_judges_count {
    int n_threads;
    int64_t n_judged;
    int most_at_once; /* answers being judged */
    int most_out;     /* answers waiting or being judged */
} run_judges_count;

run_judges_count run_judges_counts(run_judges *j);

#endif
