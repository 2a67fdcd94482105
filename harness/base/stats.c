#include "base/stats.h"

#include <math.h>

as_interval as_wilson(double k, double n, double z)
{
    if (n <= 0)
        return (as_interval){0, 1};
    const double p = k / n;
    const double zz = z * z;
    const double middle = (p + zz / (2 * n)) / (1 + zz / n);
    const double half = z / (1 + zz / n) * sqrt(p * (1 - p) / n + zz / (4 * n * n));
    /* The ends are exact at p = 0 and p = 1; rounding must not push them outside. */
    return (as_interval){k <= 0 ? 0 : fmax(0, middle - half), k >= n ? 1 : fmin(1, middle + half)};
}

double as_mean(const double *x, size_t n)
{
    if (n == 0)
        return (double)NAN;
    double sum = 0;
    double lost = 0;
    for (size_t i = 0; i < n; i++) {
        const double t = sum + x[i];
        lost += fabs(sum) >= fabs(x[i]) ? (sum - t) + x[i] : (x[i] - t) + sum;
        sum = t;
    }
    return (sum + lost) / (double)n;
}

double as_mean_se(const double *x, size_t n)
{
    if (n < 2)
        return 0;
    const double m = as_mean(x, n);
    double ss = 0;
    for (size_t i = 0; i < n; i++)
        ss += (x[i] - m) * (x[i] - m);
    return sqrt(ss / (double)(n - 1) / (double)n);
}

double as_pass_at_k(int n, int c, int k)
{
    if (c < 0 || c > n || k < 1 || k > n)
        return (double)NAN;
    if (n - c < k)
        return 1;
    double miss = 1;
    for (int i = n - c + 1; i <= n; i++)
        miss *= 1 - (double)k / i;
    return 1 - miss;
}

double as_quantile_sorted(const double *x, size_t n, double q)
{
    if (n == 0)
        return (double)NAN;
    const double at = q * (double)(n - 1);
    const size_t i = (size_t)at;
    if (i + 1 >= n)
        return x[n - 1];
    return x[i] + (at - (double)i) * (x[i + 1] - x[i]);
}
