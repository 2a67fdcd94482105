#include "scorers/rating/elo.h"

#include <math.h>

#include "base/stats.h"

static const double max_rating = 1e6;
static const double points_per_decade = 400;

size_t sc_codeelo_rank(const sc_standing *rows, size_t n, double points, double penalty)
{
    for (size_t i = 0; i < n; i++)
        if (rows[i].points < points || (rows[i].points == points && rows[i].penalty > penalty))
            return i;
    return n;
}

static double expected_seed(const sc_standing *rows, size_t n, double rating)
{
    double seed = 1;
    for (size_t i = 0; i < n; i++)
        seed += 1 / (1 + pow(10, (rating - rows[i].rating) / points_per_decade));
    return seed;
}

as_code sc_codeelo_rating(int *out, const sc_standing *rows, size_t n, size_t rank, as_err *err)
{
    if (n == 0)
        return as_fail(err, AS_RANGE, "no participants: an expected rank needs their ratings");
    if (rank > n)
        return as_fail(err, AS_RANGE, "rank %zu, but there are %zu participants", rank, n);
    double most = 0;
    for (size_t i = 0; i < n; i++) {
        if (!(fabs(rows[i].rating) <= max_rating))
            return as_fail(err, AS_RANGE, "participant %zu: no rating between -1e6 and 1e6", i + 1);
        most = rows[i].rating > most || i == 0 ? rows[i].rating : most;
    }
    int lo = 0;
    int hi = (int)most + 100;
    while (hi - lo > 1) {
        const int mid = lo + (hi - lo) / 2;
        if (expected_seed(rows, n, mid) < (double)rank)
            hi = mid;
        else
            lo = mid;
    }
    *out = lo;
    return AS_OK;
}

/* ------------------------------------------------------------------------- likelihood */

typedef struct outcomes {
    const double *difficulty, *solved;
    size_t n;
    double mu, precision; /* of the prior; precision 0: none */
} outcomes;

static double p_solve(double difficulty, double rating)
{
    return 1 / (1 + pow(10, (difficulty - rating) / points_per_decade));
}

/* Derivative of the log-posterior, in units of one natural log a rating point. Falls with rating. */
static double slope(const outcomes *o, double rating)
{
    double sum = 0;
    for (size_t i = 0; i < o->n; i++)
        sum += o->solved[i] - p_solve(o->difficulty[i], rating);
    return log(10) / points_per_decade * sum - (rating - o->mu) * o->precision;
}

static double information(const outcomes *o, double rating)
{
    const double scale = log(10) / points_per_decade;
    double sum = 0;
    for (size_t i = 0; i < o->n; i++) {
        const double p = p_solve(o->difficulty[i], rating);
        sum += p * (1 - p);
    }
    return scale * scale * sum + o->precision;
}

/* Halves until the two ends are neighbours: at most about 1100 steps, some 70 in practice. */
static double root(const outcomes *o)
{
    double lo = 0;
    double hi = 0;
    for (double step = 1024; slope(o, lo) <= 0 && lo > -1e9; step *= 2)
        lo -= step;
    for (double step = 1024; slope(o, hi) >= 0 && hi < 1e9; step *= 2)
        hi += step;
    for (int i = 0; i < 1100; i++) {
        const double mid = lo + (hi - lo) / 2;
        if (mid <= lo || mid >= hi)
            break;
        if (slope(o, mid) > 0)
            lo = mid;
        else
            hi = mid;
    }
    return lo + (hi - lo) / 2;
}

static as_code check(const outcomes *o, as_err *err)
{
    if (o->n == 0)
        return as_fail(err, AS_RANGE, "no problems: a rating needs at least one outcome");
    for (size_t i = 0; i < o->n; i++) {
        if (!(o->solved[i] >= 0 && o->solved[i] <= 1))
            return as_fail(err, AS_RANGE, "outcome %zu is not between 0 and 1", i + 1);
        if (!(fabs(o->difficulty[i]) <= max_rating))
            return as_fail(err, AS_RANGE, "difficulty %zu is not between -1e6 and 1e6", i + 1);
    }
    return AS_OK;
}

static sc_estimate estimate(const outcomes *o)
{
    sc_estimate e = {.value = root(o)};
    e.se = 1 / sqrt(information(o, e.value));
    e.lo = e.value - AS_Z95 * e.se;
    e.hi = e.value + AS_Z95 * e.se;
    return e;
}

as_code sc_elo_ml(sc_estimate *out, const double *difficulty, const double *solved, size_t n,
                  as_err *err)
{
    const outcomes o = {difficulty, solved, n, 0, 0};
    AS_TRY(check(&o, err));
    bool is_all = true;
    bool is_none = true;
    for (size_t i = 0; i < n; i++) {
        is_all = is_all && solved[i] == 1;
        is_none = is_none && solved[i] == 0;
    }
    const double nan = (double)NAN;
    *out = is_all || is_none ? (sc_estimate){nan, nan, nan, nan, is_all ? SC_ABOVE : SC_BELOW}
                             : estimate(&o);
    return AS_OK;
}

as_code sc_elo_map(sc_estimate *out, const double *difficulty, const double *solved, size_t n,
                   double mu, double sd, as_err *err)
{
    const outcomes o = {difficulty, solved, n, mu, 1 / (sd * sd)};
    AS_TRY(check(&o, err));
    if (!(sd > 0) || !(fabs(mu) <= max_rating))
        return as_fail(err, AS_RANGE, "the prior's deviation must be above 0, its mean up to 1e6");
    *out = estimate(&o);
    return AS_OK;
}
