/* Adapters at work: PEFT's logits on tiny models, the specification's T5 in every form a file may
 * have, one bit pattern per sequence whatever the batch. Where the numbers come from:
 * tests/fixtures/engine/lora/.source. */
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "adapter_support.h"
#include "base/rng.h"
#include "engine/session_impl.h"
#include "engine_support.h"

enum { V = S_VOCAB, LONG = 40 };

static g4_adapter *opened(const g4_model *m, const char *path)
{
    as_err err = {0};
    g4_adapter *a = NULL;
    if (g4_adapter_open(&a, m, path, &err) != AS_OK)
        fail_msg("%s", err.text);
    return a;
}

static void set(g4_session *s, int seq, const g4_adapter *a, double scale)
{
    as_err err = {0};
    if (g4_seq_set_adapter(s, seq, a, scale, &err) != AS_OK)
        fail_msg("%s", err.text);
}

static g4_model *made(s_kind kind, bool is_q8)
{
    const char *path = ad_path("model.gguf");
    s_write(&(s_options){.kind = kind, .is_q8 = is_q8}, path);
    g4_model *m = t_model(path);
    unlink(path);
    return m;
}

/* ---- golden logits --------------------------------------------------------------------------- */

typedef struct golden {
    const g4_model *model;
    const float *want; /* of the case */
    int n_vocab;
    int *stored; /* index among the stored rows, or -1: [n_ids] */
    const double *gap;
    const int32_t *argmax;
    double worst;
} golden;

static void see_golden(void *user, int i, const float *logits)
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

/* Difference over tolerance. */
static double check_case(const g4_model *m, const g4_adapter *a, const as_json *c, const float *out,
                         double *difference)
{
    int n = 0;
    int n_rows = 0;
    int n_gaps = 0;
    int32_t *ids = t_ids(as_json_get(c, "ids"), &n);
    int32_t *rows = t_ids(as_json_get(c, "rows"), &n_rows);
    int32_t *argmax = t_ids(as_json_get(c, "argmax"), &n_gaps);
    double *gap = t_numbers(as_json_get(c, "gap"), &n_gaps);
    const double tolerance = fmax(1e-4, 6 * t_number(c, "noise", 0));
    golden g = {.model = m,
                .n_vocab = g4_model_info(m)->n_vocab,
                .gap = gap,
                .argmax = argmax,
                .stored = malloc((size_t)n * sizeof(int))};
    assert_non_null(g.stored);
    g.want = out + (size_t)t_number(as_json_get(c, "logits"), "offset", 0) / sizeof(float);
    for (int i = 0; i < n; i++)
        g.stored[i] = -1;
    for (int i = 0; i < n_rows; i++)
        g.stored[rows[i]] = i;
    for (int piece = 7; piece <= 256; piece += 249) { /* in pieces, and all at once */
        g4_session *s = t_session(m, (g4_session_options){.precision = G4_F32, .n_ctx = 512});
        const int seq = t_seq(s);
        set(s, seq, a, t_number(c, "scale", 1));
        t_feed(s, seq, ids, n, 0, piece, NULL, see_golden, &g);
        g4_session_close(s);
    }
    free(ids);
    free(rows);
    free(argmax);
    free(gap);
    free(g.stored);
    *difference = fmax(*difference, g.worst);
    return g.worst / tolerance;
}

static void check_adapter(const char *base, const char *adapter, const as_json *cases,
                          const float *out, const char *what)
{
    g4_model *m = t_model(base);
    g4_adapter *a = opened(m, adapter);
    double difference = 0;
    double worst = 0;
    for (const as_json *c = as_json_first(as_json_get(cases, "cases")); c != NULL;
         c = as_json_next(c))
        worst = fmax(worst, check_case(m, a, c, out, &difference));
    print_message("    %s: off by %.2g, %.2f of the tolerance\n", what, difference, worst);
    assert_true(worst <= 1);
    g4_adapter_close(a);
    g4_model_close(m);
}

static const char *lora_folder(const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "engine/lora/%s", name);
    const char *own = t_fixture(path);
    if (as_is_dir(own))
        return own;
    static char other[512];
    const char *shared = getenv("AS_SHARED");
    snprintf(other, sizeof other, "%s/golden/lora/%s", shared != NULL ? shared : "", name);
    return shared != NULL && as_is_dir(other) ? other : NULL;
}

/* False: the files are not here. */
static bool check_golden(const char *name)
{
    const char *folder = lora_folder(name);
    if (folder == NULL)
        return false;
    char path[600];
    char base[600];
    snprintf(path, sizeof path, "%s/cases.json", folder);
    as_json *cases = t_json(path);
    snprintf(path, sizeof path, "%s/out.f32", folder);
    float *out = t_floats(path, NULL);
    as_str base_name = {0};
    assert_true(as_json_str(as_json_get(cases, "base"), &base_name));
    const char *text = t_golden(base_name.p);
    bool is_here = text != NULL;
    if (is_here) {
        print_message("  %s\n", name);
        snprintf(base, sizeof base, "%s/model.gguf", text);
        check_adapter(base, folder, cases, out, "PEFT on GGUF");
        snprintf(path, sizeof path, "%s/adapter.gguf", folder);
        if (as_file_exists(path))
            check_adapter(base, path, cases, out, "GGUF on GGUF");
        const char *shared = getenv("AS_SHARED");
        if (shared != NULL) {
            snprintf(base, sizeof base, "%s/golden/text/%.*s", shared, AS_ARG(base_name));
            check_adapter(base, folder, cases, out, "PEFT on safetensors");
        }
    }
    as_json_free(cases);
    free(out);
    return is_here;
}

static void golden_logits(void **state)
{
    (void)state;
    static const char *const own[] = {"moe-attention", "moe-experts", "moe-experts-legacy"};
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        assert_true(check_golden(own[i]));
}

static void golden_logits_of_others(void **state)
{
    (void)state;
    static const char *const others[] = {"dense-all", "dense-rslora-patterns", "e2b-ple"};
    bool is_all = true;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        is_all = check_golden(others[i]) && is_all;
    if (!is_all) {
        print_message("  some are not among the fixtures, and AS_SHARED is not set\n");
        skip();
    }
}

/* ---- T5 -------------------------------------------------------------------------------------- */

typedef struct t5 {
    double sum, sumsq, worst;
} t5;

static void see_t5(void *user, int i, const float *logits)
{
    static const double last[8] = {0.686118, -0.635837, 1.250902,  -0.525215,
                                   0.386816, -0.884836, -1.183293, -1.080069};
    static const double first[4] = {-1.654305, 0.859444, 1.603434, -1.270141};
    t5 *t = user;
    for (int v = 0; v < V; v++) {
        t->sum += (double)logits[v];
        t->sumsq += (double)logits[v] * (double)logits[v];
    }
    for (int v = 0; i == 0 && v < 4; v++)
        t->worst = fmax(t->worst, fabs((double)logits[v] - first[v]));
    for (int v = 0; i == S_TOKENS - 1 && v < 8; v++)
        t->worst = fmax(t->worst, fabs((double)logits[v] - last[v]));
    if (i == S_TOKENS - 1)
        assert_int_equal(t_argmax(logits, V), 23);
}

static void see_route(void *user, int layer, int row, const int *experts, const float *weights)
{
    static const int want[3] = {5, 1, 6};
    static const double weight[3] = {0.847563, 0.101797, 0.113921};
    if (layer != 0 || row != S_TOKENS - 1)
        return;
    ++*(int *)user;
    for (int j = 0; j < 3; j++) {
        assert_int_equal(experts[j], want[j]);
        assert_true(fabs((double)weights[j] - weight[j]) < 2e-6);
    }
}

static void check_stream(const g4_model *m, const g4_adapter *a)
{
    static const double out0[4] = {1.722773, -0.359547, -2.952842, -0.558204};
    g4_session *s = t_session(m, (g4_session_options){.precision = G4_F32, .keep_hidden = true});
    const int seq = t_seq(s);
    int n_routes = 0;
    s->on_route = see_route;
    s->on_route_user = &n_routes;
    set(s, seq, a, 1);
    g4_row rows[S_TOKENS];
    for (int i = 0; i < S_TOKENS; i++)
        rows[i] = (g4_row){.seq = seq, .pos = i, .token = s_tokens[i]};
    const g4_result r = t_decode(s, rows, S_TOKENS);
    for (int i = 0; i < 4; i++)
        assert_true(fabs((double)r.hidden[(S_TOKENS + S_TOKENS - 1) * 32 + i] - out0[i]) < 1e-5);
    assert_int_equal(n_routes, 1);
    g4_session_close(s);
}

static void check_t5(const g4_model *m, const char *path, const k_ops *ops)
{
    g4_adapter *a = opened(m, path);
    assert_int_equal(g4_adapter_info_of(a)->rank_min, 2);
    assert_int_equal(g4_adapter_info_of(a)->rank_max, 2);
    assert_int_equal(g4_adapter_info_of(a)->n_matrices, 6 * 10 - 2);
    for (int piece = 1; piece <= S_TOKENS; piece += 3) {
        g4_session *s =
            t_session_ops(m, (g4_session_options){.precision = G4_F32, .n_batch = piece}, ops);
        const int seq = t_seq(s);
        t5 t = {0};
        set(s, seq, a, 1);
        t_feed(s, seq, s_tokens, S_TOKENS, 0, piece, NULL, see_t5, &t);
        if (!(t.worst < 2e-5) || !(fabs(t.sum - 9.791220) < 1e-3) ||
            !(fabs(t.sumsq - 446.260955) < 5e-3))
            fail_msg("%s, %s, pieces of %d: off by %g, sum %.6f, sumsq %.6f", path, ops->name,
                     piece, t.worst, t.sum, t.sumsq);
        g4_session_close(s);
    }
    check_stream(m, a);
    g4_adapter_close(a);
}

static void t5_in_every_form(void **state)
{
    (void)state;
    g4_model *m = made(S_T2, false);
    for (int f = 0; k_ops_at(f) != NULL; f++) {
        const k_ops *ops = k_ops_at(f);
        check_t5(m, ad_write_gguf(&(ad_options){.kind = S_T2}), ops);
        check_t5(m, ad_write_gguf(&(ad_options){.kind = S_T2, .has_split_experts = true}), ops);
        check_t5(m, ad_write_peft(&(ad_options){.kind = S_T2}), ops);
        check_t5(m, ad_write_peft(&(ad_options){.kind = S_T2, .has_adapter_name = true}), ops);
        check_t5(m, ad_write_peft(&(ad_options){.kind = S_T2, .is_legacy = true}), ops);
    }
    g4_model_close(m);
}

/* ---- small promises -------------------------------------------------------------------------- */

typedef struct all_logits {
    float v[LONG][V];
} all_logits;

static void keep(void *user, int i, const float *logits)
{
    memcpy(((all_logits *)user)->v[i], logits, sizeof(float) * V);
}

/* The T2 or T1 model's logits for s_tokens with the adapter (NULL: without). */
static void run(const g4_model *m, const char *path, double scale, all_logits *out)
{
    g4_session *s = t_session(m, (g4_session_options){.precision = G4_F32, .n_ctx = 200});
    g4_adapter *a = path != NULL ? opened(m, path) : NULL;
    const int seq = t_seq(s);
    set(s, seq, a, scale);
    t_feed(s, seq, s_tokens, S_TOKENS, 0, S_TOKENS, NULL, keep, out);
    g4_session_close(s);
    g4_adapter_close(a);
}

static bool is_same(const all_logits *a, const all_logits *b)
{
    return memcmp(a->v, b->v, S_TOKENS * sizeof a->v[0]) == 0;
}

static void halves_are_read_exactly(void **state)
{
    (void)state;
    static all_logits want;
    static all_logits got;
    g4_model *m = made(S_T2, false);
    ad_options o = {.kind = S_T2, .is_rounded = true};
    run(m, ad_write_gguf(&o), 1, &want);
    for (int i = 0; i < 2; i++) {
        o.type = i == 0 ? "F16" : "BF16";
        run(m, ad_write_gguf(&o), 1, &got);
        assert_true(is_same(&got, &want));
        run(m, ad_write_peft(&o), 1, &got);
        assert_true(is_same(&got, &want));
    }
    g4_model_close(m);
}

/* Key and value factors of T1's layers 3 to 5, which read the cache of others, change nothing. */
static void dead_factors_are_dropped(void **state)
{
    (void)state;
    static all_logits want;
    static all_logits got;
    g4_model *m = made(S_T1, false);
    as_err err = {0};
    g4_adapter *a = NULL;
    assert_int_equal(
        g4_adapter_open(&a, m, ad_write_gguf(&(ad_options){.kind = S_T1, .only = "blk.4.attn_k"}),
                        &err),
        AS_RANGE);
    assert_non_null(strstr(err.text, "nothing that changes this model"));
    run(m, ad_write_gguf(&(ad_options){.kind = S_T1}), 1, &want);
    run(m, ad_write_gguf(&(ad_options){.kind = S_T1, .bad_shape = "blk.4.attn_v.weight.lora_b"}), 1,
        &got);
    assert_true(is_same(&got, &want));
    g4_model_close(m);
}

static void every_matrix_counts(void **state)
{
    (void)state;
    static const struct {
        s_kind kind;
        const char *only;
    } rows[] = {
        {S_T1, "attn_q"},       {S_T1, "attn_k"},        {S_T1, "attn_v"},
        {S_T1, "attn_output"},  {S_T1, "ffn_gate"},      {S_T1, "ffn_up"},
        {S_T1, "ffn_down"},     {S_T1, "inp_gate"},      {S_T1, ".proj.wei"},
        {S_T1, "per_layer"},    {S_T2, "ffn_gate_up_e"}, {S_T2, "ffn_down_exps"},
        {S_T2, "blk.2.attn_k"}, /* K = V */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        static all_logits base;
        static all_logits one;
        static all_logits none;
        g4_model *m = made(rows[i].kind, false);
        const char *path = ad_write_gguf(&(ad_options){.kind = rows[i].kind, .only = rows[i].only});
        run(m, NULL, 1, &base);
        run(m, path, 1, &one);
        run(m, path, 0, &none);
        if (is_same(&one, &base) || !is_same(&none, &base))
            fail_msg("%s: %s", rows[i].only,
                     is_same(&one, &base) ? "changes nothing" : "scale 0 changes something");
        g4_model_close(m);
    }
}

/* Gemma 3 has no soft cap: with an adapter of the head alone the logits differ by s·B·(A·h). */
static void the_head_may_have_one(void **state)
{
    (void)state;
    g4_model *m = made(S_T4, false);
    g4_adapter *a = opened(m, ad_write_peft(&(ad_options){.kind = S_T4, .only = "output.weight"}));
    g4_session *s =
        t_session(m, (g4_session_options){.precision = G4_F32, .n_seqs = 2, .keep_hidden = true});
    const int seqs[2] = {t_seq(s), t_seq(s)};
    set(s, seqs[1], a, -0.5);
    g4_row rows[2];
    for (int i = 0; i < 2; i++)
        rows[i] = (g4_row){.seq = seqs[i], .token = 5, .want_logits = true};
    const g4_result r = t_decode(s, rows, 2);
    const float *h = r.hidden + 6 * 2 * 32;
    assert_memory_equal(h, h + 32, 32 * sizeof *h);
    float *fa = s_values("lora.lm_head.A", 2 * 32, 0.1, 0);
    float *fb = s_values("lora.lm_head.B", 2 * V, 0.1, 0);
    for (int v = 0; v < V; v++) {
        double want = 0;
        for (int k = 0; k < 2; k++) {
            double u = 0;
            for (int i = 0; i < 32; i++)
                u += (double)fa[k * 32 + i] * (double)h[i];
            want += -0.5 * 2 * (double)fb[v * 2 + k] * u;
        }
        assert_true(fabs((double)r.logits[V + v] - (double)r.logits[v] - want) < 1e-5);
    }
    free(fa);
    free(fb);
    g4_session_close(s);
    g4_adapter_close(a);
    g4_model_close(m);
}

/* ---- sessions -------------------------------------------------------------------------------- */

static void it_is_chosen_before_the_first_row(void **state)
{
    (void)state;
    g4_model *m = made(S_T2, false);
    g4_model *other = made(S_T2, false);
    g4_adapter *a = opened(m, ad_write_gguf(&(ad_options){.kind = S_T2}));
    g4_session *s = t_session(m, (g4_session_options){.precision = G4_F32, .n_seqs = 3});
    g4_session *strange = t_session(other, (g4_session_options){.precision = G4_F32});
    static all_logits want;
    static all_logits got;
    as_err err = {0};
    const int seq = t_seq(s);
    assert_int_equal(g4_seq_set_adapter(s, 2, a, 1, &err), AS_RANGE);
    assert_non_null(strstr(err.text, "not alive"));
    assert_int_equal(g4_seq_set_adapter(s, seq, a, (double)NAN, &err), AS_RANGE);
    assert_int_equal(g4_seq_set_adapter(s, seq, a, 1e300, &err), AS_RANGE);
    assert_int_equal(g4_seq_set_adapter(strange, t_seq(strange), a, 1, &err), AS_RANGE);
    assert_non_null(strstr(err.text, "another model"));
    set(s, seq, a, 1);
    t_feed(s, seq, s_tokens, S_TOKENS, 0, 4, NULL, keep, &want);
    assert_int_equal(g4_seq_set_adapter(s, seq, NULL, 1, &err), AS_RANGE);
    assert_non_null(strstr(err.text, "before its first row"));

    int fork = -1; /* a fork inherits it */
    assert_int_equal(g4_seq_fork(s, seq, 9, &fork, &err), AS_OK);
    t_feed(s, fork, s_tokens + 9, 1, 9, 1, NULL, keep, &got);
    assert_memory_equal(got.v[0], want.v[9], sizeof got.v[0]);
    g4_seq_free(s, fork);
    g4_seq_free(s, seq);

    const int again = t_seq(s); /* the number of a freed sequence starts without */
    t_feed(s, again, s_tokens, S_TOKENS, 0, 4, NULL, keep, &got);
    run(m, NULL, 1, &want);
    assert_true(is_same(&got, &want));
    g4_session_close(s);
    g4_session_close(strange);
    g4_adapter_close(a);
    g4_model_close(m);
    g4_model_close(other);
}

/* Six sequences with two adapters, scales and without any, fed in pieces of random length and mixed
 * at random: each row has the bits of the lonely run on one thread, and rows without an adapter
 * those of a session that never saw one. */
enum { SEQS = 6, ROWS = 40 };

typedef struct mix {
    const g4_adapter *of[SEQS];
    double scale[SEQS];
    int32_t ids[SEQS][LONG];
    all_logits want[SEQS];
} mix;

static void run_alone(const g4_model *m, g4_session_options o, const k_ops *ops, mix *x)
{
    o.n_threads = 1;
    for (int q = 0; q < SEQS; q++) {
        g4_session *s = t_session_ops(m, o, ops);
        const int seq = t_seq(s);
        if (x->of[q] != NULL)
            set(s, seq, x->of[q], x->scale[q]);
        t_feed(s, seq, x->ids[q], LONG, 0, 1 + 11 * q, NULL, keep, &x->want[q]);
        g4_session_close(s);
    }
}

static void run_mixed(const g4_model *m, g4_session_options o, const k_ops *ops, const mix *x,
                      as_rng *rng)
{
    o.n_seqs = SEQS;
    o.n_batch = ROWS;
    g4_session *s = t_session_ops(m, o, ops);
    int seqs[SEQS];
    int fed[SEQS] = {0};
    for (int q = 0; q < SEQS; q++) {
        seqs[q] = t_seq(s);
        if (x->of[q] != NULL)
            set(s, seqs[q], x->of[q], x->scale[q]);
    }
    for (int left = SEQS * LONG; left > 0;) {
        g4_row rows[ROWS];
        int who[ROWS];
        int n = 0;
        const int n_rows = 1 + (int)as_rng_below(rng, ROWS);
        while (n < n_rows && left > 0) {
            const int q = (int)as_rng_below(rng, SEQS);
            int piece = 1 + (int)as_rng_below(rng, 12);
            for (; piece > 0 && n < n_rows && fed[q] < LONG; piece--, left--) {
                who[n] = q;
                rows[n++] = (g4_row){.seq = seqs[q],
                                     .pos = fed[q],
                                     .token = x->ids[q][fed[q]],
                                     .want_logits = as_rng_below(rng, 3) > 0};
                fed[q]++;
            }
        }
        if (n == 0)
            continue;
        const g4_result out = t_decode(s, rows, n);
        for (int r = 0, at = 0; r < n; r++)
            if (rows[r].want_logits)
                assert_memory_equal(out.logits + (size_t)at++ * V, x->want[who[r]].v[rows[r].pos],
                                    V * sizeof(float));
    }
    g4_session_close(s);
}

static void a_row_depends_on_its_sequence_alone(void **state)
{
    (void)state;
    static mix x;
    as_rng rng;
    as_rng_init(&rng, 1, AS_STR("adapters"));
    for (int kind = S_T1; kind <= S_T3; kind++)
        for (int is_q8 = 0; is_q8 < 2; is_q8++) {
            g4_model *m = made((s_kind)kind, is_q8 != 0);
            const ad_options wide = {.kind = (s_kind)kind, .rank = 21, .seed = "wide."};
            g4_adapter *one = opened(m, ad_write_gguf(&(ad_options){.kind = (s_kind)kind}));
            g4_adapter *two = opened(m, ad_write_gguf(&wide));
            const g4_adapter *of[SEQS] = {one, NULL, two, one, NULL, two};
            const double scale[SEQS] = {1, 1, 0.5, -1, 1, 0.25};
            memcpy((void *)x.of, (const void *)of, sizeof of);
            memcpy(x.scale, scale, sizeof scale);
            for (int q = 0; q < SEQS; q++)
                for (int i = 0; i < LONG; i++)
                    x.ids[q][i] = (int32_t)as_rng_below(&rng, V);
            for (int f = 0; k_ops_at(f) != NULL; f++) {
                if (TEST_IS_SLOW_BUILD && k_ops_at(f + 1) != NULL)
                    continue; /* the fastest family only */
                const g4_session_options o = {
                    .precision = is_q8 != 0 ? G4_AUTO : G4_F32, .n_ctx = 200, .n_batch = 128};
                run_alone(m, o, k_ops_at(f), &x);
                for (int threads = 1; threads <= 3; threads += 2) {
                    g4_session_options many = o;
                    many.n_threads = threads;
                    run_mixed(m, many, k_ops_at(f), &x, &rng);
                }
            }
            g4_adapter_close(one);
            g4_adapter_close(two);
            g4_model_close(m);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_logits),
        cmocka_unit_test(golden_logits_of_others),
        cmocka_unit_test(t5_in_every_form),
        cmocka_unit_test(halves_are_read_exactly),
        cmocka_unit_test(dead_factors_are_dropped),
        cmocka_unit_test(every_matrix_counts),
        cmocka_unit_test(the_head_may_have_one),
        cmocka_unit_test(it_is_chosen_before_the_first_row),
        cmocka_unit_test(a_row_depends_on_its_sequence_alone),
    };
    return cmocka_run_group_tests(tests, NULL, ad_done);
}
