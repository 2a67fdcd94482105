#ifndef SCORERS_RATING_ELO_H
#define SCORERS_RATING_ELO_H
/*
 * elo.h — from contest results to a rating.
 *
 * Expected rank   the rating at which the expected place in a contest is the place reached:
 *                 CodeElo, arXiv:2501.01257, and its code (QwenLM/CodeElo, commit 0bffc84f), whose
 *                 whole-number bisection and rank counted from 0 are kept: sc_codeelo_*.
 * Likelihood      P(solve d | R) = 1 / (1 + 10^((d - R) / 400)); the R that makes the outcomes
 *                 likeliest (sc_elo_ml), or likeliest together with a prior R ~ N(mu, sd^2)
 *                 (sc_elo_map). Outcomes are 0, 1 or pass rates between.
 * Accuracy        the root to the last bit or two of a double; se = 1 / sqrt(information), interval
 *                 95 %, normal. In fractions of a solve the information is that of the mean.
 * Nothing finite  all solved or none: sc_elo_ml has no maximum; value, se, lo and hi are NAN and
 *                 bound says on which side it is open.
 * Threads         pure.
 */
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

/* A participant of a contest, as the official standings have it; best first. */
typedef struct sc_standing {
    double points, penalty;
    double rating; /* before the contest */
} sc_standing;

/* Index of the first row that fewer points, or as many and more penalty, put behind; n if none. */
size_t sc_codeelo_rank(const sc_standing *rows, size_t n, double points, double penalty);
/* AS_RANGE for no rows, a rank beyond them, or ratings that are no numbers up to 1e6. */
as_code sc_codeelo_rating(int *out, const sc_standing *rows, size_t n, size_t rank, as_err *err);

typedef enum sc_bound {
    SC_FINITE,
    SC_ABOVE, /* everything was solved: any higher rating is likelier still */
    SC_BELOW, /* nothing was solved */
} sc_bound;

typedef struct sc_estimate {
    double value, se, lo, hi;
    sc_bound bound;
} sc_estimate;

/* AS_RANGE for n = 0, outcomes outside [0, 1], or difficulties beyond ±1e6. */
as_code sc_elo_ml(sc_estimate *out, const double *difficulty, const double *solved, size_t n,
                  as_err *err);
/* sd > 0. */
as_code sc_elo_map(sc_estimate *out, const double *difficulty, const double *solved, size_t n,
                   double mu, double sd, as_err *err);

#endif
