#ifndef BASE_STATS_H
#define BASE_STATS_H
/*
 * stats.h — the statistics of the reports; pure functions.
 *
 * Sources    Wilson (1927), JASA 22, 209; Chen et al. (2021), arXiv:2107.03374, eq. 1 for pass@k.
 * Threads    pure.
 */
#include <stddef.h>
#include <stdint.h>

typedef struct as_interval {
    double lo, hi;
} as_interval;

/* Wilson score interval of k successes in n trials; z = 1.959963984540054 for 95 %. n = 0 gives
 * [0, 1]. k may be a fraction (a mean of repeats times n). */
as_interval as_wilson(double k, double n, double z);
/* Quantile z for a two-sided 95 % interval. */
#define AS_Z95 1.959963984540054

double as_mean(const double *x, size_t n); /* NAN for n = 0; Neumaier's compensated sum */
/* Standard error of the mean, sqrt(sum (x-m)^2 / (n-1) / n); 0 for n < 2. */
double as_mean_se(const double *x, size_t n);

/* Unbiased pass@k from c right of n samples: 1 - prod_{i=n-c+1..n} (1 - k/i); NAN unless
 * 0 <= c <= n and 1 <= k <= n. */
double as_pass_at_k(int n, int c, int k);

/* Nearest-rank-with-interpolation quantile (type 7) of sorted x; q in [0,1]; NAN for n = 0. */
double as_quantile_sorted(const double *x, size_t n, double q);

#endif
