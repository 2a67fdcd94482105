#ifndef SCORERS_SCORER_H
#define SCORERS_SCORER_H
/*
 * scorer.h — the interface of a scorer: (sample, response) → score.
 *
 * Rules      no I/O; same input, same score; a response that failed, was cut or is empty never
 *            reaches `score`: sc_judge settles it first, the same way for all scorers.
 * Version    changes whenever a verdict could change; scores of different versions are stored side
 *            by side.
 * Ownership  texts of the score live in the arena, or borrow from sample and response.
 * Threads    pure. A session is opened and closed by one thread; between, score_in, cancel and
 *            n_at_once may be called by any number of threads at once (run/judges.h does).
 */
#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/log.h"
#include "types/response.h"
#include "types/sample.h"
#include "types/score.h"

/* What scorers that run programs need. */
typedef struct sc_options {
    const char *cache_dir; /* compiled programs are kept below it; NULL: in memory */
    int n_slots;           /* programs judged at once; 0: one a processor */
    bool is_unsafe;        /* programs run without a sandbox: the caller must have told the user */
    const as_log *log;
} sc_options;

typedef struct sc_scorer {
    const char *name;
    int version;
    /* Scorers with open get its session in score; it is opened once before any answer is judged,
     * and fails with AS_TIMEOUT (the environment: exit code 5) and the remedy where they cannot be run. */
    as_code (*open)(void **session, const sc_options *options, as_err *err);
    void (*close)(void *session);
    /* Ends what score_in is doing; it fails with AS_CANCELLED then, and from now on. */
    void (*cancel)(void *session);
    /* How many answers the session can make progress with at once. */
    int (*n_at_once)(const void *session);
    as_code (*score_in)(void *session, const as_sample *sample, const as_response *response,
                        as_score *out, as_arena *arena, as_err *err);
    /* Sets verdict (RIGHT, WRONG, UNPARSED or UNGRADED), value, prediction, target, rule. */
    as_code (*score)(const as_sample *sample, const as_response *response, as_score *out,
                     as_arena *arena, as_err *err);
} sc_scorer;

/* The common rules around a scorer:
 *   failed request → error; blocked → refused; no text → truncated if the limit ended it, else
 *   empty; otherwise the scorer's verdict, except that a wrong or unparsed answer that the token
 *   limit ended is truncated. Values of all but the scorer's own verdicts are 0.
 * The response's recorded key, where it has one, replaces the sample's. */
as_code sc_judge_in(const sc_scorer *scorer, void *session, const as_sample *sample,
                    const as_response *response, as_score *out, as_arena *arena, as_err *err);
/* These rules alone settle it: no scorer sees the response. */
bool sc_is_settled(const as_response *response);
/* For scorers without a session, and for settled responses. */
as_code sc_judge(const sc_scorer *scorer, const as_sample *sample, const as_response *response,
                 as_score *out, as_arena *arena, as_err *err);

const sc_scorer *sc_find(const sc_scorer *const *scorers, const char *name); /* NULL: none */

#endif
