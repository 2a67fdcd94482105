/* Samplers: the filters one by one against a plain sort, greedy ties, seeds, log-probabilities. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "cm.h"
#include "engine/engine.h"

enum { V = 50 };

static void random_logits(as_rng *rng, float *x, int n)
{
    for (int i = 0; i < n; i++)
        x[i] = (float)(as_rng_f64(rng) * 12 - 6);
}

/* transformers' order by full sort: probabilities after all filters. */
static void filtered(const g4_sampling *o, const float *logits, double p[V])
{
    int order[V];
    for (int i = 0; i < V; i++)
        order[i] = i;
    for (int i = 0; i < V; i++)
        for (int j = i + 1; j < V; j++)
            if (logits[order[j]] > logits[order[i]] ||
                (logits[order[j]] == logits[order[i]] && order[j] < order[i])) {
                const int t = order[i];
                order[i] = order[j];
                order[j] = t;
            }
    double w[V];
    int n = o->top_k > 0 && o->top_k < V ? o->top_k : V;
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += w[i] = exp(((double)logits[order[i]] - (double)logits[order[0]]) / o->temperature);
    if (o->top_p > 0 && o->top_p < 1) {
        double mass = 0;
        int k = 0;
        while (k < n && (k == 0 || mass < o->top_p * sum))
            mass += w[k++];
        n = k;
    }
    while (n > 1 && w[n - 1] < o->min_p)
        n--;
    sum = 0;
    for (int i = 0; i < n; i++)
        sum += w[i];
    memset(p, 0, V * sizeof *p);
    for (int i = 0; i < n; i++)
        p[order[i]] = w[i] / sum;
}

static void draws_follow_the_filters(void **state)
{
    (void)state;
    static const g4_sampling rows[] = {
        {.temperature = 1},
        {.temperature = 0.3},
        {.temperature = 3},
        {.temperature = 1, .top_k = 5},
        {.temperature = 1, .top_k = V + 5},
        {.temperature = 1, .top_p = 0.7},
        {.temperature = 1, .top_p = 1e-9},
        {.temperature = 1, .min_p = 0.1},
        {.temperature = 1, .min_p = 1},
        {.temperature = 2, .top_k = 20, .top_p = 0.8, .min_p = 0.05},
        {.temperature = 1.5, .top_p = 0.9, .min_p = 0.02},
        {.temperature = 1, .top_k = 64, .top_p = 0.95},
    };
    as_rng rng;
    as_rng_init(&rng, 1, AS_STR("logits"));
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        enum { DRAWS = 20000 };
        float logits[V];
        random_logits(&rng, logits, V);
        double p[V];
        filtered(&rows[r], logits, p);
        g4_sampler *s = g4_sampler_new(&rows[r]);
        int count[V] = {0};
        for (int i = 0; i < DRAWS; i++)
            count[g4_sample(s, logits, V, NULL)]++;
        double chi = 0;
        int kinds = 0;
        for (int i = 0; i < V; i++) {
            if (p[i] == 0 && count[i] > 0)
                fail_msg("row %zu: token %d is filtered out but was drawn", r, i);
            if (p[i] * DRAWS > 5) {
                chi += pow(count[i] - p[i] * DRAWS, 2) / (p[i] * DRAWS);
                kinds++;
            }
        }
        /* far beyond any quantile that matters: 3 + 6 sigma */
        if (chi > kinds + 3 + 6 * sqrt(2.0 * kinds))
            fail_msg("row %zu: chi-square %.1f of %d", r, chi, kinds);
        g4_sampler_free(s);
    }
}

static void greedy_takes_the_lowest_of_the_largest(void **state)
{
    (void)state;
    float logits[5] = {1, 7, 3, 7, 7};
    g4_sampler *s = g4_sampler_new(&(g4_sampling){.temperature = 0, .top_k = 3, .seed = 9});
    double logprob = 0;
    assert_int_equal(g4_sample(s, logits, 5, &logprob), 1);
    assert_true(fabs(logprob - (7 - log(3 * exp(7) + exp(3) + exp(1)))) < 1e-12);
    logits[0] = NAN;
    assert_int_equal(g4_sample(s, logits, 5, NULL), 1);
    g4_sampler_free(s);
    s = g4_sampler_new(&(g4_sampling){.temperature = 1, .top_k = 1});
    assert_int_equal(g4_sample(s, logits, 5, NULL), 1);
    g4_sampler_free(s);
    /* a tie at the border of top-k: the lower id stays */
    s = g4_sampler_new(&(g4_sampling){.temperature = 1, .top_k = 2});
    for (int i = 0; i < 100; i++) {
        const int32_t id = g4_sample(s, logits, 5, NULL);
        assert_true(id == 1 || id == 3);
    }
    g4_sampler_free(s);
}

static void excluded_tokens_are_never_drawn(void **state)
{
    (void)state;
    float logits[4] = {-INFINITY, 0, NAN, 0};
    const g4_sampling rows[] = {{.temperature = 1}, {.temperature = 1, .top_k = 4, .top_p = 0.99}};
    for (int r = 0; r < 2; r++) {
        g4_sampler *s = g4_sampler_new(&rows[r]);
        for (int i = 0; i < 200; i++) {
            const int32_t id = g4_sample(s, logits, 4, NULL);
            assert_true(id == 1 || id == 3);
        }
        g4_sampler_free(s);
    }
    const float none[2] = {-INFINITY, -INFINITY};
    g4_sampler *s = g4_sampler_new(&rows[1]);
    assert_in_range(g4_sample(s, none, 2, NULL), 0, 1);
    g4_sampler_free(s);
}

static void seeds_repeat(void **state)
{
    (void)state;
    as_rng rng;
    as_rng_init(&rng, 4, AS_STR("logits"));
    float logits[V];
    random_logits(&rng, logits, V);
    int different = 0;
    for (uint64_t seed = 0; seed < 8; seed++) {
        const g4_sampling o = {.temperature = 1, .top_p = 0.95, .seed = seed};
        g4_sampler *a = g4_sampler_new(&o);
        g4_sampler *b = g4_sampler_new(&o);
        g4_sampler *c = g4_sampler_new(&(g4_sampling){.temperature = 1, .top_p = 0.95, .seed = 99});
        for (int i = 0; i < 50; i++) {
            const int32_t id = g4_sample(a, logits, V, NULL);
            assert_int_equal(id, g4_sample(b, logits, V, NULL));
            different += id != g4_sample(c, logits, V, NULL);
        }
        g4_sampler_free(a);
        g4_sampler_free(b);
        g4_sampler_free(c);
    }
    assert_true(different > 100);
}

static void large_vocabularies_work(void **state)
{
    (void)state;
    enum { N = 262144 };
    as_rng rng;
    as_rng_init(&rng, 5, AS_STR("logits"));
    float *logits = malloc(N * sizeof *logits);
    random_logits(&rng, logits, N);
    logits[200000] = 20;
    g4_sampler *s = g4_sampler_new(&(g4_sampling){.temperature = 1, .top_k = 64, .top_p = 0.95});
    double logprob = 0;
    assert_int_equal(g4_sample(s, logits, N, &logprob), 200000);
    assert_true(fabs(logprob - g4_logprob(logits, N, 200000)) == 0);
    assert_true(logprob < 0 && logprob > -0.05);
    g4_sampler_free(s);
    free(logits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws_follow_the_filters),
        cmocka_unit_test(greedy_takes_the_lowest_of_the_largest),
        cmocka_unit_test(excluded_tokens_are_never_drawn),
        cmocka_unit_test(seeds_repeat),
        cmocka_unit_test(large_vocabularies_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
