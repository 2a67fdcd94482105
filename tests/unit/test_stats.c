/*
 * test_stats.c — intervals and estimators against independent programs: statsmodels 0.14
 * (proportion_confint, method="wilson"), NumPy (std with ddof=1, quantile), and worked values of
 * the pass@k paper's formula.
 */
#include <math.h>
#include <stdio.h>

#include "base/rng.h"
#include "base/stats.h"
#include "unit/cm.h"

static void near(const char *why, double got, double want)
{
    if (!(fabs(got - want) <= 1e-9 * fmax(1, fabs(want))))
        fail_msg("%s: got %.17g, want %.17g", why, got, want);
}

static void wilson_intervals_agree_with_statsmodels(void **state)
{
    (void)state;
    static const struct {
        double k, n, lo, hi;
    } rows[] = {
        {0, 10, 0.0, 0.27753279986288926},
        {10, 10, 0.7224672001371106, 1.0},
        {3, 10, 0.10779126740630104, 0.6032218525388546},
        {8441, 12020, 0.6940080413666289, 0.7103552410877682},
        {1, 2, 0.09453120573423068, 0.9054687942657693},
        {107, 120, 0.8234463978470834, 0.9355885884582658},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const as_interval got = as_wilson(rows[i].k, rows[i].n, AS_Z95);
        near("low end", got.lo, rows[i].lo);
        near("high end", got.hi, rows[i].hi);
    }
    const as_interval none = as_wilson(0, 0, AS_Z95);
    assert_true(none.lo == 0 && none.hi == 1);
}

/* A 95 % interval must cover the truth in 94 to 96 % of experiments; Wilson's does so on average
 * over p. Simulated, seeded. */
static void wilson_intervals_cover(void **state)
{
    (void)state;
    as_rng r;
    as_rng_init(&r, 20261124, AS_STR("coverage"));
    int covered = 0;
    enum { TRIALS = 20000, N = 198 };
    for (int t = 0; t < TRIALS; t++) {
        const double p = 0.05 + 0.9 * as_rng_f64(&r);
        int k = 0;
        for (int i = 0; i < N; i++)
            k += as_rng_f64(&r) < p ? 1 : 0;
        const as_interval i = as_wilson(k, N, AS_Z95);
        covered += i.lo <= p && p <= i.hi ? 1 : 0;
    }
    const double share = (double)covered / TRIALS;
    if (share < 0.94 || share > 0.96)
        fail_msg("covers %.4f", share);
}

static void means_and_quantiles_agree_with_numpy(void **state)
{
    (void)state;
    const double x[] = {0.1, 0.5, 0.25, 1, 0.75};
    const double sorted[] = {0.1, 0.25, 0.5, 0.75, 1};
    near("mean", as_mean(x, 5), 0.52);
    near("standard error", as_mean_se(x, 5), 0.16324827717314508);
    near("10 %", as_quantile_sorted(sorted, 5, 0.1), 0.16);
    near("90 %", as_quantile_sorted(sorted, 5, 0.9), 0.9);
    near("100 %", as_quantile_sorted(sorted, 5, 1), 1);
    assert_true(isnan(as_mean(x, 0)));
    assert_true(as_mean_se(x, 1) == 0);
    const double wide[] = {1e16, 1, -1e16};
    near("compensated", as_mean(wide, 3), 1.0 / 3);
}

static void pass_at_k_is_unbiased(void **state)
{
    (void)state;
    near("n=10 c=3 k=1", as_pass_at_k(10, 3, 1), 0.3);
    near("n=10 c=3 k=5", as_pass_at_k(10, 3, 5), 11.0 / 12);
    near("n=16 c=4 k=8", as_pass_at_k(16, 4, 8), 0.9615384615384615);
    near("all right", as_pass_at_k(4, 4, 1), 1);
    near("none right", as_pass_at_k(4, 0, 4), 0);
    assert_true(isnan(as_pass_at_k(4, 5, 1)));
    assert_true(isnan(as_pass_at_k(4, 1, 5)));
    assert_true(isnan(as_pass_at_k(4, 1, 0)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wilson_intervals_agree_with_statsmodels),
        cmocka_unit_test(wilson_intervals_cover),
        cmocka_unit_test(means_and_quantiles_agree_with_numpy),
        cmocka_unit_test(pass_at_k_is_unbiased),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
