#include "scorers/rating/arena_rank.h"

#include <math.h>
#include <string.h>

#include "base/stats.h"

enum { MAX_STEPS = 60, MAX_HALVINGS = 60 };
static const double ridge = 1e-5;    /* arena-rank's, on H's diagonal for the intervals */
static const double pair_floor = 50; /* and on the number of battles of a pair */
static const double flat = 1e-17;    /* gradient a unit of weight at which the fit is done */

typedef struct fit {
    int n;
    const sc_battles *rows;
    double *weight; /* [n_rows] of a row's battles together */
    size_t n_rows;
    double total; /* sum of weights */
    double *r;    /* [n] */
    double *try_r, *step, *g;
    double *h; /* [n, n] */
} fit;

static double p_win(const fit *f, const double *r, size_t i)
{
    return 1 / (1 + exp(r[f->rows[i].b] - r[f->rows[i].a]));
}

static double log1pexp(double x)
{
    return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

static double likelihood(const fit *f, const double *r)
{
    double sum = 0;
    for (size_t i = 0; i < f->n_rows; i++) {
        const double d = r[f->rows[i].a] - r[f->rows[i].b];
        const double y = f->rows[i].outcome;
        sum -= f->weight[i] * (y * log1pexp(-d) + (1 - y) * log1pexp(d));
    }
    return sum;
}

/* m[a][a] += v, m[b][b] += v, m[a][b] -= v, m[b][a] -= v */
static void add_pair(double *m, int n, const sc_battles *row, double v)
{
    const size_t w = (size_t)n;
    const size_t a = (size_t)row->a;
    const size_t b = (size_t)row->b;
    m[a * w + a] += v;
    m[b * w + b] += v;
    m[a * w + b] -= v;
    m[b * w + a] -= v;
}

static void derivatives(fit *f)
{
    const size_t n = (size_t)f->n;
    memset(f->g, 0, n * sizeof *f->g);
    memset(f->h, 0, n * n * sizeof *f->h);
    for (size_t i = 0; i < f->n_rows; i++) {
        const double p = p_win(f, f->r, i);
        const double e = f->weight[i] * (f->rows[i].outcome - p);
        f->g[f->rows[i].a] += e;
        f->g[f->rows[i].b] -= e;
        add_pair(f->h, f->n, &f->rows[i], f->weight[i] * p * (1 - p));
    }
}

/* Cholesky of the positive definite m [n, n] in place (lower half); false if it is not. */
static bool factor(double *m, int n)
{
    const size_t w = (size_t)n;
    for (size_t i = 0; i < w; i++)
        for (size_t k = 0; k <= i; k++) {
            double s = m[i * w + k];
            for (size_t j = 0; j < k; j++)
                s -= m[i * w + j] * m[k * w + j];
            if (i != k)
                m[i * w + k] = s / m[k * w + k];
            else if (s > 0)
                m[i * w + i] = sqrt(s);
            else
                return false;
        }
    return true;
}

static void solve(const double *m, int n, double *x)
{
    const size_t w = (size_t)n;
    for (size_t i = 0; i < w; i++) {
        for (size_t k = 0; k < i; k++)
            x[i] -= m[i * w + k] * x[k];
        x[i] /= m[i * w + i];
    }
    for (size_t i = w; i-- > 0;) {
        for (size_t k = i + 1; k < w; k++)
            x[i] -= m[k * w + i] * x[k];
        x[i] /= m[i * w + i];
    }
}

static double largest(const double *x, int n)
{
    double most = 0;
    for (int i = 0; i < n; i++)
        most = fabs(x[i]) > most ? fabs(x[i]) : most;
    return most;
}

/* One Newton step, halved until the likelihood does not fall; false when nothing is left to gain. */
static bool newton(fit *f)
{
    const size_t n = (size_t)f->n;
    derivatives(f);
    if (largest(f->g, f->n) <= flat * f->total)
        return false;
    /* H is singular along (1, …, 1), where the gradient has no part: any addition there fixes the
     * mean of the step at 0. */
    for (size_t i = 0; i < n * n; i++)
        f->h[i] += f->total / (double)(n * n);
    if (!factor(f->h, f->n))
        return false;
    memcpy(f->step, f->g, n * sizeof *f->g);
    solve(f->h, f->n, f->step);
    /* This near, full steps double the digits each time, and rounding would hide their gain. */
    const double length = largest(f->step, f->n);
    const double before = length < 1e-4 ? 0 : likelihood(f, f->r);
    double scale = 1;
    for (int k = 0; k < MAX_HALVINGS; k++, scale /= 2) {
        for (size_t i = 0; i < n; i++)
            f->try_r[i] = f->r[i] + scale * f->step[i];
        if (length < 1e-4 || likelihood(f, f->try_r) >= before)
            break;
    }
    memcpy(f->r, f->try_r, n * sizeof *f->r);
    return length > 1e-13;
}

static void centre(fit *f)
{
    double mean = 0;
    for (int i = 0; i < f->n; i++)
        mean += f->r[i] / f->n;
    for (int i = 0; i < f->n; i++)
        f->r[i] -= mean;
}

/* ------------------------------------------------------------------------- existence */

/* h[a, b] becomes what a won against b. */
static void count_wins(fit *f)
{
    const size_t n = (size_t)f->n;
    memset(f->h, 0, n * n * sizeof *f->h);
    for (size_t i = 0; i < f->n_rows; i++) {
        const sc_battles *row = &f->rows[i];
        f->h[(size_t)row->a * n + (size_t)row->b] += row->count * row->outcome;
        f->h[(size_t)row->b * n + (size_t)row->a] += row->count * (1 - row->outcome);
    }
}

/* A model that cannot be reached from the first one by wins (is_back: by losses); -1: none. */
static int unreached(const fit *f, bool is_back, bool *seen, int *queue)
{
    memset(seen, 0, (size_t)f->n * sizeof *seen);
    int head = 0;
    int tail = 0;
    queue[tail++] = 0;
    seen[0] = true;
    while (head < tail) {
        const int at = queue[head++];
        for (int i = 0; i < f->n; i++) {
            const int winner = is_back ? i : at;
            const int loser = is_back ? at : i;
            if (!seen[i] && f->h[(size_t)winner * (size_t)f->n + (size_t)loser] > 0) {
                seen[i] = true;
                queue[tail++] = i;
            }
        }
    }
    for (int i = 0; i < f->n; i++)
        if (!seen[i])
            return i;
    return -1;
}

static as_code check_finite(fit *f, const char *const *names, as_arena *scratch, as_err *err)
{
    bool *seen = as_new(scratch, bool, f->n);
    int *queue = as_new(scratch, int, f->n);
    if (seen == NULL || queue == NULL)
        return as_nomem(err);
    count_wins(f);
    const int lost = unreached(f, false, seen, queue);
    const int won = lost < 0 ? unreached(f, true, seen, queue) : -1;
    if (lost < 0 && won < 0)
        return AS_OK;
    return as_fail(err, AS_RANGE,
                   "no finite rating: %s and %s are not tied together by wins or ties in both "
                   "directions (a model that only wins or only loses, or groups that never met); "
                   "leave such models out or add battles",
                   names[0], names[lost >= 0 ? lost : won]);
}

/* ------------------------------------------------------------------------- intervals */

/* half = z · sqrt of the diagonal of H^-1 G H^-1, column by column. */
static as_code sandwich(fit *f, bool is_reweighted, double n_battles, double *half,
                        as_arena *scratch, as_err *err)
{
    const size_t n = (size_t)f->n;
    double *g = as_new(scratch, double, n *n);
    double *x = as_new(scratch, double, n);
    double *y = as_new(scratch, double, n);
    if (g == NULL || x == NULL || y == NULL)
        return as_nomem(err);
    derivatives(f);
    for (size_t i = 0; i < f->n_rows; i++) {
        const double e = f->weight[i] * (f->rows[i].outcome - p_win(f, f->r, i));
        add_pair(g, f->n, &f->rows[i], e * e / f->rows[i].count);
    }
    /* Rows of G sum to 0, so what H^-1 does along (1, …, 1) has no part in the result; a stiff H
     * there keeps rounding out of it (the plain ridge alone costs half of the digits). */
    for (size_t i = 0; i < n * n; i++)
        f->h[i] += f->total / (double)(n * n);
    for (size_t i = 0; i < n; i++)
        f->h[i * n + i] += is_reweighted ? ridge : ridge * n_battles;
    if (!factor(f->h, f->n))
        return as_fail(err, AS_RANGE, "the ratings have no finite interval");
    for (size_t i = 0; i < n; i++) {
        memset(x, 0, n * sizeof *x);
        x[i] = 1;
        solve(f->h, f->n, x); /* column i of H^-1, which is symmetric */
        double v = 0;
        for (size_t a = 0; a < n; a++) {
            y[a] = 0;
            for (size_t b = 0; b < n; b++)
                y[a] += g[a * n + b] * x[b];
            v += y[a] * x[a];
        }
        half[i] = AS_Z95 * sqrt(v) * 400 / log(10);
    }
    return AS_OK;
}

static void weigh(fit *f, bool is_reweighted)
{
    const size_t n = (size_t)f->n;
    count_wins(f);
    f->total = 0;
    for (size_t i = 0; i < f->n_rows; i++) {
        const size_t a = (size_t)f->rows[i].a;
        const size_t b = (size_t)f->rows[i].b;
        const double met = f->h[a * n + b] + f->h[b * n + a];
        const double each = is_reweighted ? 1 / (met > pair_floor ? met : pair_floor) : 1;
        f->weight[i] = f->rows[i].count * each;
        f->total += f->weight[i];
    }
}

static as_code check_rows(const sc_battles *rows, size_t n, int n_models, as_err *err)
{
    if (n_models < 2 || n_models > SC_MAX_MODELS)
        return as_fail(err, AS_RANGE, "%d models: want 2 to %d", n_models, SC_MAX_MODELS);
    for (size_t i = 0; i < n; i++) {
        const sc_battles *r = &rows[i];
        if (r->a == r->b || r->a < 0 || r->b < 0 || r->a >= n_models || r->b >= n_models)
            return as_fail(err, AS_RANGE, "battle %zu: not between two of the models", i + 1);
        if (!(r->outcome >= 0 && r->outcome <= 1) || !(r->count > 0 && r->count <= 1e12))
            return as_fail(err, AS_RANGE,
                           "battle %zu: want an outcome from 0 to 1 and a count above 0", i + 1);
    }
    return AS_OK;
}

as_code sc_arena_fit(sc_arena_rank *out, const char *const *names, int n_models,
                     const sc_battles *rows, size_t n, bool is_reweighted, as_arena *keep,
                     as_err *err)
{
    AS_TRY(check_rows(rows, n, n_models, err));
    const size_t m = (size_t)n_models;
    fit f = {.n = n_models,
             .rows = rows,
             .n_rows = n,
             .weight = as_new(keep, double, n),
             .r = as_new(keep, double, m),
             .try_r = as_new(keep, double, m),
             .step = as_new(keep, double, m),
             .g = as_new(keep, double, m),
             .h = as_new(keep, double, m *m)};
    const sc_arena_rank made = {f.r, as_new(keep, double, m), as_new(keep, int, m)};
    if (f.weight == NULL || f.r == NULL || f.try_r == NULL || f.step == NULL || f.g == NULL ||
        f.h == NULL || made.half == NULL || made.rank == NULL)
        return as_nomem(err);
    AS_TRY(check_finite(&f, names, keep, err));
    weigh(&f, is_reweighted);
    double n_battles = 0;
    for (size_t i = 0; i < n; i++)
        n_battles += rows[i].count;
    for (int i = 0; i < MAX_STEPS && newton(&f); i++)
        ;
    centre(&f);
    AS_TRY(sandwich(&f, is_reweighted, n_battles, made.half, keep, err));
    for (size_t i = 0; i < m; i++)
        f.r[i] = f.r[i] * 400 / log(10) + 1000;
    for (size_t i = 0; i < m; i++) {
        made.rank[i] = 1;
        for (size_t k = 0; k < m; k++)
            made.rank[i] += f.r[k] - made.half[k] > f.r[i] + made.half[i] ? 1 : 0;
    }
    *out = made;
    return AS_OK;
}
