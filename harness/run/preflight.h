#ifndef RUN_PREFLIGHT_H
#define RUN_PREFLIGHT_H
/*
 * preflight.h — does the server do what the run asks for? Asked before hours are spent.
 *
 * How it works
 *   Without a request: do several servers agree (another model was refused at open), is the model
 *   known by a hash, is its template, does the longest prompt with its token limit fit the window.
 *   With one: is there an answer, is thinking as asked for, what was left out (dropped), how long
 *   will the plan take. With three more, where the run samples: does the seed decide. With a long
 *   one: did the server read all of the prompt.
 *
 * Findings   each one sentence: thing, evidence, remedy. They go with the run as events.
 * Errors     what cannot work fails: window known too small, key refused, no such model (AS_RANGE),
 *            nobody there (AS_TIMEOUT).
 * Bounds     at most 6 requests, each tried as often as the run would try it and cancelled after
 *            ANSWER_LIMIT_S seconds.
 */
#include <signal.h>

#include "run/plan.h"

typedef enum run_level { RUN_INFO, RUN_WARN } run_level;

const char *run_level_name(run_level level); /* "info", "warn" */

typedef struct run_finding {
    run_level level;
    const char
        *kind; /* "endpoints", "model", "template", "context", "empty", "think", "dropped", "seed",
                         "truncation", "counts", "failed", "time" */
    as_str text;
} run_finding;

enum { RUN_MAX_FINDINGS = 32 };

typedef struct run_findings {
    run_finding of[RUN_MAX_FINDINGS];
    int n;
} run_findings;

/* Worth it: a server is asked, and more than a few requests. */
bool run_preflight_is_due(const run_plan *plan);
/* Texts live in keep. cancel may be NULL; cancelled is AS_CANCELLED. */
as_code run_preflight(const run_plan *plan, const volatile sig_atomic_t *cancel, run_findings *out,
                      as_arena *keep, as_err *err);

#endif
