/* The models of spec gemma4-text.md, appendix A: written as GGUF, opened the normal way, compared
 * with numbers of a double-precision implementation; in pieces, forked, fused, split. */
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "engine/session_impl.h"
#include "engine_support.h"
#include "synthetic.h"

enum { D = 32, L = 6 };

static const struct vector {
    s_kind kind;
    int argmax[S_TOKENS];
    double sum, sumsq; /* over all positions */
    double first[4];   /* logits at position 0 */
    struct {
        int layer;
        double x[4]; /* the stream after the layer, position 9 */
    } out[6];
    int n_out;
    double logits[S_VOCAB]; /* position 9 */
} vectors[] = {
    {S_T1,
     {45, 20, 9, 37, 37, 24, 35, 44, 44, 35},
     -37.744053,
     441.632803,
     {-1.498868, -0.301300, 0.902250, -0.207639},
     {{0, {4.335675, -0.717454, -4.399554, -1.177924}},
      {1, {5.583550, -4.346401, -2.279889, -2.517943}},
      {2, {8.013001, -6.609075, -3.558804, -2.381417}},
      {3, {10.415842, -6.798419, -4.116446, -3.967353}},
      {4, {11.136380, -10.760910, -3.069703, -8.730537}},
      {5, {11.541186, -12.998400, -3.961731, -9.385136}}},
     6,
     {0.901296,  0.956517,  0.763736,  0.057122,  0.283453,  0.457020,  -1.379913, -0.151696,
      -1.296487, 0.376316,  -0.039688, 0.317140,  -0.450652, 1.720939,  -1.988258, -1.030111,
      -1.156523, -0.153054, 0.623577,  -0.683275, 1.768771,  0.595430,  -0.175366, 1.359828,
      -0.742203, 0.172049,  -0.131633, -1.287694, 0.776989,  1.241327,  -0.285950, 0.213215,
      0.645737,  0.993514,  -0.893492, 1.972805,  -0.352335, 0.035003,  1.065781,  -0.191474,
      0.097441,  0.533346,  0.310269,  0.982140,  -0.757759, -1.593275, 0.544822,  0.634001,
      0.509937,  -0.937452, 1.607241,  0.346140,  -0.275408, 0.139980,  -0.893931, 0.077508,
      0.111034,  -1.479524, 0.576682,  -1.046905, 0.470636,  0.012651,  -0.016351, 0.393134}},
    {S_T2,
     {8, 6, 21, 11, 25, 53, 27, 3, 50, 23},
     18.887245,
     423.549508,
     {-1.497291, 1.148773, 1.487253, -0.753661},
     {{0, {1.694079, -0.460544, -3.120136, -0.601431}},
      {5, {1.326444, 5.987164, -9.278592, 3.140957}}},
     2,
     {0.661066,  -0.469140, 1.499969,  -0.386959, -0.197208, -0.627061, -1.435716, -0.720098,
      0.305999,  -0.119555, 0.498845,  -0.389244, -0.455062, 1.203554,  0.488413,  -0.763741,
      0.462244,  -0.108637, 1.447936,  1.755487,  -0.193452, 0.026630,  -1.260816, 2.322856,
      0.112050,  0.509421,  -0.136848, -0.977856, -0.198215, -1.326517, 0.205648,  -1.469424,
      0.502214,  1.059266,  -0.636423, -1.059882, -1.103831, -0.158780, 0.008193,  1.062856,
      0.135583,  -1.714511, -0.322555, -0.125135, -0.394478, 0.782346,  -0.059988, -0.386345,
      0.647658,  -0.259341, 0.024878,  0.359571,  0.759081,  0.423359,  0.287756,  1.178768,
      -0.726693, 0.818054,  1.027533,  -0.364908, 0.487070,  0.599400,  0.418705,  -0.114459}},
    {S_T3,
     {2, 47, 21, 39, 60, 21, 7, 37, 8, 33},
     38.908086,
     453.296695,
     {-1.179156, 0.920146, 2.075082, 0.275211},
     {{0, {2.186735, -0.393102, -2.971169, -0.688102}},
      {5, {6.548378, -4.330114, -2.576281, -0.739397}}},
     2,
     {0.538585,  -1.966899, 0.887332,  -0.807600, -0.019920, -1.080514, -1.345528, -0.559749,
      0.546188,  0.604421,  -0.053717, -0.270507, -0.216522, -0.207423, 0.364870,  0.257550,
      -1.328152, 0.910001,  -0.004060, 0.173479,  -0.537060, 1.088494,  0.511654,  0.431183,
      0.371618,  0.960799,  0.089133,  -0.609584, 0.331450,  -0.670031, -0.187571, -0.520714,
      0.719013,  2.001520,  0.020839,  -0.325715, -1.040958, 0.006094,  -0.499019, -0.874250,
      0.169672,  0.006712,  -0.172329, 0.163915,  -0.717123, -0.035447, 0.435562,  -0.899280,
      0.601027,  -0.368957, 0.728574,  -1.336160, -0.490573, 0.666768,  -1.351464, 0.942616,
      -0.304121, -1.120934, 0.068805,  -0.075508, 1.158698,  -0.500368, -0.564680, -0.800911}},
    {S_T4,
     {2, 5, 35, 63, 37, 63, 5, 37, 53, 60},
     -12.680724,
     472.998596,
     {-0.584468, 0.005986, 2.385346, 0.222335},
     {{0, {2.120672, -0.664166, -3.307648, -1.058486}},
      {5, {-0.630371, -3.794006, 0.671866, 0.952847}}},
     2,
     {0.530727,  -2.221312, 0.297806,  -0.854151, 0.652211,  0.390655,  -1.228682, -0.202352,
      0.001829,  0.372132,  0.949563,  -0.257234, -0.249696, 0.204095,  -0.021480, 0.086830,
      -1.144354, 1.399718,  0.697374,  1.141360,  -0.223466, 0.775342,  -0.638457, 1.337073,
      -0.805386, 0.995611,  -0.140643, -1.514181, 0.459006,  -1.310040, -0.670446, 0.212881,
      -0.048220, 0.760851,  0.702613,  0.189235,  -1.175711, 0.523564,  -0.851455, 0.541153,
      0.272384,  0.069160,  -0.892993, 0.452463,  0.021813,  0.192154,  0.008925,  0.222753,
      -0.157742, 0.884470,  0.496495,  -0.770166, -0.919620, 0.742307,  -0.744212, 1.300600,
      -0.674187, -1.469643, -0.532720, -0.523423, 1.822767,  -0.058445, -1.317632, 1.241260}},
};

static const char *path(void)
{
    static char z[64];
    snprintf(z, sizeof z, "/tmp/as_synthetic_%d.gguf", (int)getpid());
    return z;
}

static g4_model *made(const s_options *o)
{
    s_write(o, path());
    g4_model *m = t_model(path());
    unlink(path());
    return m;
}

typedef struct seen {
    const struct vector *v;
    double sum, sumsq, worst;
} seen;

static void see(void *user, int i, const float *logits)
{
    seen *s = user;
    assert_int_equal(t_argmax(logits, S_VOCAB), s->v->argmax[i]);
    for (int k = 0; k < S_VOCAB; k++) {
        s->sum += (double)logits[k];
        s->sumsq += (double)logits[k] * (double)logits[k];
        if (i == S_TOKENS - 1)
            s->worst = fmax(s->worst, fabs((double)logits[k] - s->v->logits[k]));
        if (i == 0 && k < 4)
            s->worst = fmax(s->worst, fabs((double)logits[k] - s->v->first[k]));
    }
}

static void check_logits(const g4_model *m, const struct vector *v, const k_ops *ops, int piece)
{
    g4_session *s =
        t_session_ops(m, (g4_session_options){.precision = G4_F32, .n_batch = piece}, ops);
    seen got = {.v = v};
    t_feed(s, t_seq(s), s_tokens, S_TOKENS, 0, piece, NULL, see, &got);
    if (!(got.worst < 2e-5) || !(fabs(got.sum - v->sum) < 1e-3) ||
        !(fabs(got.sumsq - v->sumsq) < 5e-3))
        fail_msg("T%d %s, pieces of %d: logits off by %g, sum %.6f, sumsq %.6f", (int)v->kind,
                 ops->name, piece, got.worst, got.sum, got.sumsq);
    g4_session_close(s);
}

static void check_stream(const g4_model *m, const struct vector *v)
{
    g4_session *s = t_session(m, (g4_session_options){.precision = G4_F32, .keep_hidden = true});
    const int seq = t_seq(s);
    g4_row rows[S_TOKENS];
    for (int i = 0; i < S_TOKENS; i++)
        rows[i] = (g4_row){.seq = seq, .pos = i, .token = s_tokens[i], .want_logits = i == 3};
    const g4_result out = t_decode(s, rows, S_TOKENS);
    assert_int_equal(out.n_logits, 1);
    assert_int_equal(t_argmax(out.logits, S_VOCAB), v->argmax[3]);
    for (int k = 0; k < v->n_out; k++) {
        if (v->out[k].layer == L - 1)
            continue; /* hidden keeps the final norm's output in its place */
        const float *x = out.hidden + ((v->out[k].layer + 1) * S_TOKENS + 9) * D;
        for (int i = 0; i < 4; i++)
            assert_true(fabs((double)x[i] - v->out[k].x[i]) < 2e-5);
    }
    g4_session_close(s);
}

static void models_give_the_numbers(void **state)
{
    (void)state;
    for (size_t t = 0; t < sizeof vectors / sizeof vectors[0]; t++) {
        g4_model *m = made(&(s_options){.kind = vectors[t].kind});
        for (int f = 0; k_ops_at(f) != NULL; f++)
            for (int piece = 1; piece <= S_TOKENS; piece += 3)
                check_logits(m, &vectors[t], k_ops_at(f), piece);
        check_stream(m, &vectors[t]);
        g4_model_close(m);
    }
}

static void other_spellings_are_the_same_model(void **state)
{
    (void)state;
    g4_model *fused = made(&(s_options){.kind = S_T4, .is_qkv_fused = true});
    check_logits(fused, &vectors[3], k_ops_best(), 4);
    g4_model_close(fused);
    g4_model *split = made(&(s_options){.kind = S_T2, .has_split_experts = true});
    check_logits(split, &vectors[1], k_ops_best(), 4);
    g4_model_close(split);
    /* without rope_freqs a quarter of the pairs rotates, as it does with them */
    g4_model *bare = made(&(s_options){.kind = S_T3, .skip = "rope_freqs.weight"});
    check_logits(bare, &vectors[2], k_ops_best(), 4);
    g4_model_close(bare);
}

typedef struct routed {
    int experts[3];
    float weights[3];
} routed;

static void note(void *user, int layer, int row, const int *experts, const float *weights)
{
    if (layer != 0 || row != 9)
        return;
    routed *r = user;
    memcpy(r->experts, experts, sizeof r->experts);
    memcpy(r->weights, weights, sizeof r->weights);
}

static void router_chooses(void **state)
{
    (void)state;
    static const double want[3] = {0.830833, 0.114020, 0.113441};
    g4_model *m = made(&(s_options){.kind = S_T2});
    g4_session *s = t_session(m, (g4_session_options){.precision = G4_F32, .keep_hidden = true});
    routed r = {0};
    s->on_route = note;
    s->on_route_user = &r;
    t_feed(s, t_seq(s), s_tokens, S_TOKENS, 0, S_TOKENS, NULL, NULL, NULL);
    assert_int_equal(r.experts[0], 5);
    assert_int_equal(r.experts[1], 1);
    assert_int_equal(r.experts[2], 6);
    for (int i = 0; i < 3; i++)
        assert_true(fabs((double)r.weights[i] - want[i]) < 2e-6);
    g4_session_close(s);
    g4_model_close(m);
}

/* spec 1.2, with the sizes of T1: what is counted, and what the per-layer table is worth */
static void parameters_are_counted(void **state)
{
    (void)state;
    g4_model *m = made(&(s_options){.kind = S_T1});
    const g4_info *info = g4_model_info(m);
    assert_int_equal(info->n_params - info->n_params_effective, 64 * 6 * 4);
    assert_int_equal(info->n_params_active, info->n_params);
    assert_int_equal(info->weight_bytes, 4 * info->n_params);
    assert_true(as_str_eq_z(info->quantization, "F32"));
    g4_model_close(m);
    m = made(&(s_options){.kind = S_T2});
    info = g4_model_info(m);
    const int64_t experts = 6LL * 8 * 3 * 32 * 8;
    assert_int_equal(info->n_params - info->n_params_active, experts / 8 * 5);
    g4_model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(models_give_the_numbers),
        cmocka_unit_test(other_spellings_are_the_same_model),
        cmocka_unit_test(router_chooses),
        cmocka_unit_test(parameters_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
