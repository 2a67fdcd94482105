/* The whole decoder against Hugging Face in float32, on tiny random models: logits, hidden states,
 * router choices, greedy continuations. Numbers: tests/fixtures/engine/.source. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/session_impl.h"
#include "engine_support.h"

enum { N_CTX = 1024, MAX_ROUTES = 64 };

typedef struct route {
    int layer, row;
    int experts[8];
    float weights[8];
} route;

typedef struct golden {
    const char *folder;
    g4_model *model;
    as_json *cases;
    float *out;
    int n_vocab;
    const as_json *at; /* the case at work */
    const float *want; /* its logits */
    int *stored;       /* index among the stored rows, or -1: [n_ids] */
    const double *gap;
    const int32_t *argmax;
    double tolerance, worst;
    route *routes;
    int n_routes;
} golden;

static const float *array_at(const golden *g, const as_json *reference)
{
    return g->out + (size_t)t_number(reference, "offset", 0) / sizeof(float);
}

static bool open_golden(golden *g, const char *name)
{
    *g = (golden){.folder = t_golden(name)};
    if (g->folder == NULL) {
        print_message("%s: not among the fixtures, and AS_SHARED is not set\n", name);
        return false;
    }
    char path[512];
    snprintf(path, sizeof path, "%s/model.gguf", g->folder);
    g->model = t_model(path);
    g->n_vocab = g4_model_info(g->model)->n_vocab;
    snprintf(path, sizeof path, "%s/cases.json", g->folder);
    g->cases = t_json(path);
    snprintf(path, sizeof path, "%s/out.f32", g->folder);
    g->out = t_floats(path, NULL);
    return true;
}

static void close_golden(golden *g)
{
    as_json_free(g->cases);
    free(g->out);
    g4_model_close(g->model);
}

static void name_of(const as_json *c, char name[64])
{
    as_str s = {0};
    assert_true(as_json_str(as_json_get(c, "name"), &s));
    snprintf(name, 64, "%.*s", AS_ARG(s));
}

static void see_logits(void *user, int i, const float *logits)
{
    golden *g = user;
    if (g->gap[i] > 1e-3)
        assert_int_equal(t_argmax(logits, g->n_vocab), g->argmax[i]);
    if (g->stored[i] < 0)
        return;
    const float *want = g->want + (size_t)g->stored[i] * (size_t)g->n_vocab;
    for (int v = 0; v < g->n_vocab; v++)
        g->worst = fmax(g->worst, fabs((double)logits[v] - (double)want[v]));
}

static void check_hidden(const golden *g, const as_json *c, const int32_t *ids, int n,
                         int32_t first)
{
    g4_session *s = t_session(
        g->model, (g4_session_options){
                      .precision = G4_F32, .n_ctx = N_CTX, .n_batch = n, .keep_hidden = true});
    const int seq = t_seq(s);
    g4_row *rows = calloc((size_t)n, sizeof *rows);
    for (int i = 0; i < n; i++)
        rows[i] = (g4_row){.seq = seq, .pos = first + i, .token = ids[i]};
    const g4_result out = t_decode(s, rows, n);
    assert_int_equal(out.n_logits, 0);
    const size_t cells = (size_t)n * (size_t)g4_model_info(g->model)->width;
    const float *got = out.hidden;
    int layer = 0;
    double worst = 0;
    for (const as_json *h = as_json_first(as_json_get(c, "hidden")); h != NULL;
         h = as_json_next(h), layer++, got += cells) {
        const float *want = array_at(g, h);
        double largest = 0;
        double difference = 0;
        for (size_t i = 0; i < cells; i++) {
            largest = fmax(largest, fabs((double)want[i]));
            difference = fmax(difference, fabs((double)want[i] - (double)got[i]));
        }
        worst = fmax(worst, difference / largest);
        if (!(difference <= 1e-4 * largest))
            fail_msg("hidden %d: off by %g of %g", layer, difference, largest);
    }
    assert_int_equal(layer, g4_model_info(g->model)->n_layers + 1);
    print_message("    hidden states: %.2g of the largest\n", worst);
    free(rows);
    g4_session_close(s);
}

static void note_route(void *user, int layer, int row, const int *experts, const float *weights)
{
    golden *g = user;
    const size_t k = (size_t)g4_model_info(g->model)->n_experts_used;
    route *r = &g->routes[g->n_routes++];
    r->layer = layer;
    r->row = row;
    memcpy(r->experts, experts, k * sizeof *experts);
    memcpy(r->weights, weights, k * sizeof *weights);
}

static void check_routes(golden *g, const as_json *c, const int32_t *ids, int n)
{
    const int n_layers = g4_model_info(g->model)->n_layers;
    const size_t k = (size_t)g4_model_info(g->model)->n_experts_used;
    g4_session *s = t_session(
        g->model, (g4_session_options){.precision = G4_F32, .n_ctx = N_CTX, .n_batch = n});
    g->routes = calloc((size_t)(n * n_layers), sizeof *g->routes);
    g->n_routes = 0;
    s->on_route = note_route;
    s->on_route_user = g;
    t_feed(s, t_seq(s), ids, n, 0, n, NULL, NULL, NULL);
    assert_int_equal(g->n_routes, n * n_layers);
    for (int i = 0; i < g->n_routes; i++) {
        const route *r = &g->routes[i];
        char key[64];
        snprintf(key, sizeof key, "model.layers.%d.router", r->layer);
        const as_json *want = as_json_get(as_json_get(c, "router"), key);
        const float *experts = array_at(g, as_json_get(want, "experts")) + (size_t)r->row * k;
        const float *weights = array_at(g, as_json_get(want, "weights")) + (size_t)r->row * k;
        for (size_t j = 0; j < k; j++) {
            assert_int_equal(r->experts[j], (int)experts[j]);
            assert_true(fabsf(r->weights[j] - weights[j]) < 1e-4F);
        }
    }
    free(g->routes);
    g4_session_close(s);
}

/* pieces: the prompt is cut differently than Hugging Face's single pass, and crosses pages. */
static void check_logits(golden *g, const as_json *c, const char *name, int piece)
{
    int n = 0;
    int n_gap = 0;
    int n_rows = 0;
    int32_t *ids = t_ids(as_json_get(c, "ids"), &n);
    int32_t *argmax = t_ids(as_json_get(c, "argmax"), &n_gap);
    double *gap = t_numbers(as_json_get(c, "gap"), &n_gap);
    int32_t *rows = t_ids(as_json_get(c, "rows"), &n_rows);
    assert_int_equal(n, n_gap);
    const int32_t first = (int32_t)t_number(c, "first_position", 0);
    g->stored = malloc((size_t)n * sizeof *g->stored);
    for (int i = 0; i < n; i++)
        g->stored[i] = -1;
    for (int i = 0; i < n_rows; i++)
        g->stored[rows[i]] = i;
    g->want = array_at(g, as_json_get(c, "logits"));
    g->gap = gap;
    g->argmax = argmax;
    g->worst = 0;
    g->tolerance = fmax(1e-4, 6 * t_number(c, "noise", 0));

    g4_session *s = t_session(
        g->model, (g4_session_options){.precision = G4_F32, .n_ctx = N_CTX, .n_batch = piece});
    t_feed(s, t_seq(s), ids, n, first, piece, NULL, see_logits, g);
    g4_session_close(s);
    print_message("  %-12s pieces of %2d: logits off by %.2g, allowed %.2g\n", name, piece,
                  g->worst, g->tolerance);
    if (!(g->worst <= g->tolerance))
        fail_msg("%s: logits off by %g", name, g->worst);

    if (as_json_get(c, "hidden") != NULL)
        check_hidden(g, c, ids, n, first);
    if (as_json_get(c, "router") != NULL)
        check_routes(g, c, ids, n);
    free(g->stored);
    free(ids);
    free(argmax);
    free(gap);
    free(rows);
}

static void check_greedy(const golden *g, const as_json *c, const char *name)
{
    int n = 0;
    int n_more = 0;
    int32_t *ids = t_ids(as_json_get(c, "ids"), &n);
    int32_t *more = t_ids(as_json_get(c, "continuation"), &n_more);
    g4_session *s = t_session(
        g->model, (g4_session_options){.precision = G4_F32, .n_ctx = N_CTX, .n_batch = n});
    const int seq = t_seq(s);
    g4_sampler *greedy = g4_sampler_new(&(g4_sampling){0});
    t_feed(s, seq, ids, n - 1, 0, n, NULL, NULL, NULL);
    int32_t token = ids[n - 1];
    for (int i = 0; i < n_more; i++) {
        const g4_row row = {.seq = seq, .pos = n - 1 + i, .token = token, .want_logits = true};
        const g4_result out = t_decode(s, &row, 1);
        token = g4_sample(greedy, out.logits, g->n_vocab, NULL);
        if (token != more[i])
            fail_msg("%s: step %d gives %d, want %d", name, i, token, more[i]);
    }
    print_message("  %-12s %d ids equal\n", name, n_more);
    g4_sampler_free(greedy);
    g4_session_close(s);
    free(ids);
    free(more);
}

static void agrees(void **state)
{
    golden g;
    if (!open_golden(&g, *state))
        skip();
    for (const as_json *c = as_json_first(g.cases); c != NULL; c = as_json_next(c)) {
        char name[64];
        name_of(c, name);
        if (as_json_get(c, "continuation") != NULL) {
            check_greedy(&g, c, name);
            continue;
        }
        check_logits(&g, c, name, 64);
        if (!TEST_IS_SLOW_BUILD)
            check_logits(&g, c, name, 7);
    }
    close_golden(&g);
}

static char models[][8] = {"e2b", "moe", "dense", "e4b", "gemma3"};

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"e2b agrees", agrees, NULL, NULL, models[0]},
        {"moe agrees", agrees, NULL, NULL, models[1]},
        {"dense agrees", agrees, NULL, NULL, models[2]},
        {"e4b agrees", agrees, NULL, NULL, models[3]},
        {"gemma3 agrees", agrees, NULL, NULL, models[4]},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
