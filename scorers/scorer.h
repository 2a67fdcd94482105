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
 * Threads    pure.
 */
#include "base/arena.h"
#include "base/err.h"
#include "types/response.h"
#include "types/sample.h"
#include "types/score.h"

typedef struct sc_scorer {
    const char *name;
    int version;
    /* Sets verdict (RIGHT, WRONG, UNPARSED or UNGRADED), value, prediction, target, rule. */
    as_code (*score)(const as_sample *sample, const as_response *response, as_score *out,
                     as_arena *arena, as_err *err);
} sc_scorer;

/* The common rules around a scorer:
 *   failed request → error; blocked → refused; no text → truncated if the limit ended it, else
 *   empty; otherwise the scorer's verdict, except that a wrong or unparsed answer that the token
 *   limit ended is truncated. Values of all but the scorer's own verdicts are 0.
 * The response's recorded key, where it has one, replaces the sample's. */
as_code sc_judge(const sc_scorer *scorer, const as_sample *sample, const as_response *response,
                 as_score *out, as_arena *arena, as_err *err);

const sc_scorer *sc_find(const sc_scorer *const *scorers, const char *name); /* NULL: none */

#endif
