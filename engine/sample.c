/*
 * sample.c — one row of logits to one token.
 *
 * Order      temperature, top-k, top-p, min-p, as transformers has it: each filter works on the
 *            softmax of what the one before left over. The most probable token always stays.
 * Ties       larger logit first, then lower id.
 * Cost       greedy and log-probability one pass. Sampling keeps a heap of the best candidates
 *            (top-k of them, or as many as top-p needs), so that nothing sorts the vocabulary.
 */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "engine/engine.h"

typedef struct candidate {
    float logit;
    int32_t id;
} candidate;

struct g4_sampler {
    g4_sampling options;
    as_rng rng;
    candidate *heap; /* [cap] the best first, as a binary heap */
    double *weight;  /* [cap] of the kept candidates, in order */
    int cap;
};

g4_sampler *g4_sampler_new(const g4_sampling *options)
{
    g4_sampler *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    s->options = *options;
    as_rng_init(&s->rng, options->seed, AS_STR("sampling"));
    return s;
}

void g4_sampler_free(g4_sampler *sampler)
{
    if (sampler == NULL)
        return;
    free(sampler->heap);
    free(sampler->weight);
    free(sampler);
}

static bool is_better(candidate a, candidate b)
{
    return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

static int32_t best_of(const float *logits, int n)
{
    int32_t best = 0;
    for (int32_t i = 1; i < n; i++)
        if (logits[i] > logits[best] || isnan(logits[best]))
            best = i;
    return best;
}

double g4_logprob(const float *logits, int n_vocab, int32_t token)
{
    float max = -INFINITY;
    for (int i = 0; i < n_vocab; i++)
        max = logits[i] > max ? logits[i] : max;
    double sum = 0;
    for (int i = 0; i < n_vocab; i++)
        sum += exp((double)logits[i] - (double)max);
    return (double)logits[token] - (double)max - log(sum);
}

/* ---- the heap: the best candidate at the root ------------------------------------------------ */

static void sink(candidate *heap, int n, int i)
{
    for (;;) {
        int top = i;
        for (int child = 2 * i + 1; child <= 2 * i + 2 && child < n; child++)
            if (is_better(heap[child], heap[top]))
                top = child;
        if (top == i)
            return;
        const candidate t = heap[i];
        heap[i] = heap[top];
        heap[top] = t;
        i = top;
    }
}

static candidate pop(candidate *heap, int *n)
{
    const candidate best = heap[0];
    heap[0] = heap[--*n];
    sink(heap, *n, 0);
    return best;
}

static bool reserve(g4_sampler *s, int n)
{
    if (s->cap >= n)
        return true;
    candidate *heap = realloc(s->heap, (size_t)n * sizeof *heap);
    if (heap != NULL)
        s->heap = heap;
    double *weight = realloc(s->weight, (size_t)n * sizeof *weight);
    if (weight != NULL)
        s->weight = weight;
    if (heap == NULL || weight == NULL)
        return false;
    s->cap = n;
    return true;
}

/* Draws in proportion to weight[0..n-1], whose sum is total. */
static int draw(g4_sampler *s, const double *weight, int n, double total)
{
    double point = as_rng_f64(&s->rng) * total;
    for (int i = 0; i < n - 1; i++) {
        point -= weight[i];
        if (point < 0)
            return i;
    }
    return n - 1;
}

/* Candidates leave the heap best first until a filter says enough; then one of them is drawn.
 * popped[] grows from the end of the heap's memory, into the places that popping frees. */
static int32_t sample_filtered(g4_sampler *s, const float *logits, int n_vocab)
{
    const g4_sampling *o = &s->options;
    candidate *heap = s->heap;
    int n = 0;
    float max = -INFINITY;
    for (int32_t i = 0; i < n_vocab; i++)
        max = logits[i] > max ? logits[i] : max;
    double all = 0; /* of every candidate, unless top-k cuts */
    const bool has_k = o->top_k > 0 && o->top_k < n_vocab;
    for (int32_t i = 0; i < n_vocab; i++) {
        if (!(logits[i] > -INFINITY))
            continue; /* -inf is excluded, NaN cannot be drawn */
        heap[n++] = (candidate){logits[i], i};
        if (!has_k)
            all += exp(((double)logits[i] - (double)max) / o->temperature);
    }
    if (n == 0)
        return best_of(logits, n_vocab);
    for (int i = n / 2 - 1; i >= 0; i--)
        sink(heap, n, i);

    const int n_all = n;
    const int k = has_k && o->top_k < n ? o->top_k : n;
    const bool has_p = o->top_p > 0 && o->top_p < 1;
    int kept = 0;
    if (has_k)
        all = 0;
    /* Without top-k the mass of all is known and popping stops at top-p or min-p. With it the k
     * best are popped first, for top-p is a share of their mass. */
    double mass = 0;
    while (kept < k) {
        const candidate c = pop(heap, &n);
        heap[n_all - 1 - kept] = c;
        const double w = exp(((double)c.logit - (double)max) / o->temperature);
        if (!has_k && kept > 0 && ((has_p && mass >= o->top_p * all) || w < o->min_p))
            break;
        s->weight[kept++] = w;
        mass += w;
    }
    if (has_k && has_p) {
        double so_far = 0;
        int cut = 0;
        while (cut < kept && (cut == 0 || so_far < o->top_p * mass))
            so_far += s->weight[cut++];
        kept = cut;
        mass = so_far;
    }
    if (o->min_p > 0) /* the best weighs 1 */
        while (kept > 1 && s->weight[kept - 1] < o->min_p)
            mass -= s->weight[--kept];
    return heap[n_all - 1 - draw(s, s->weight, kept, mass)].id;
}

/* No filter: one walk through the cumulated probabilities, in the order of ids. */
static int32_t sample_all(g4_sampler *s, const float *logits, int n_vocab)
{
    float max = -INFINITY;
    for (int i = 0; i < n_vocab; i++)
        max = logits[i] > max ? logits[i] : max;
    double total = 0;
    for (int i = 0; i < n_vocab; i++)
        total += exp(((double)logits[i] - (double)max) / s->options.temperature);
    double point = as_rng_f64(&s->rng) * total;
    int32_t last = best_of(logits, n_vocab);
    for (int32_t i = 0; i < n_vocab; i++) {
        const double w = exp(((double)logits[i] - (double)max) / s->options.temperature);
        if (w > 0)
            last = i;
        point -= w;
        if (point < 0)
            return i;
    }
    return last;
}

int32_t g4_sample(g4_sampler *sampler, const float *logits, int n_vocab, double *logprob)
{
    assert(n_vocab > 0);
    const g4_sampling *o = &sampler->options;
    const bool is_filtered = o->top_k > 0 || (o->top_p > 0 && o->top_p < 1) || o->min_p > 0;
    int32_t id;
    if (o->temperature <= 0 || o->top_k == 1)
        id = best_of(logits, n_vocab);
    else if (is_filtered) /* out of memory: the best token is within every filter */
        id = reserve(sampler, n_vocab) ? sample_filtered(sampler, logits, n_vocab)
                                       : best_of(logits, n_vocab);
    else
        id = sample_all(sampler, logits, n_vocab);
    if (logprob != NULL)
        *logprob = g4_logprob(logits, n_vocab, id);
    return id;
}
