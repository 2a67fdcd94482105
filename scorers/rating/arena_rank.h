#ifndef SCORERS_RATING_ARENA_RANK_H
#define SCORERS_RATING_ARENA_RANK_H
/*
 * arena_rank.h — ratings from pairwise battles: Bradley–Terry, ties as half a win for each.
 *
 * Model      P(a beats b) = 1 / (1 + exp(r_b - r_a)); the r that maximise the likelihood, mean 0;
 *            shown as 400 / ln 10 · r + 1000.
 * Weights    unweighted: each battle counts 1. Reweighted: each battle of a pair counts
 *            1 / max(battles of the pair, 50), so that pairs that met often do not dominate.
 * Intervals  95 %, "sandwich": H^-1 G H^-1 with H = Σ w p (1-p) E, G = Σ (w (y-p))² / c · E over
 *            rows of c equal battles of weight w together; H's diagonal gets 1e-5, times the number
 *            of battles when unweighted. Definitions: lmarena/arena-rank, commit 3900eae6.
 * Rank       1 + how many models' lower bound lies above this one's upper bound.
 * Errors     AS_RANGE when no finite maximum exists: the models must hang together, each set of
 *            them having won or tied against the rest (Ford 1957); the text names a model.
 * Limits     SC_MAX_MODELS models: the fit is dense, n³ a step.
 * Ownership  results lie in the arrays given.
 * Threads    pure.
 */
#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"

enum { SC_MAX_MODELS = 1000 };

typedef struct sc_battles {
    int a, b;
    double outcome; /* of a: 1 won, 0.5 tie, 0 lost */
    double count;   /* > 0 */
} sc_battles;

typedef struct sc_arena_rank {
    double *rating; /* [n_models] */
    double *half;   /* [n_models] half width of the 95 % interval */
    int *rank;      /* [n_models] */
} sc_arena_rank;

as_code sc_arena_fit(sc_arena_rank *out, const char *const *names, int n_models,
                     const sc_battles *rows, size_t n, bool is_reweighted, as_arena *keep,
                     as_err *err);

#endif
