#include "scripted.h"

#include <math.h>

#include "base/rng.h"
#include "engine/kernels/quant.h"
#include "gguf_writer.h"

typedef struct shape {
    int layers, D, H, KV, dh_sliding, dh_full, F, window, n_ctx, n_shared;
} shape;

/* w: [out, in], all zeros at first. layer -1: the model's. */
typedef void (*fill_fn)(void *user, const char *name, int layer, float *w, int out, int in);

typedef struct maker {
    gw w;
    shape s;
    fill_fn fill;
    void *user;
} maker;

static void put(maker *m, const char *name, int layer, int out, int in)
{
    char full[96];
    float *v = calloc((size_t)out * (size_t)in, sizeof *v);
    assert_non_null(v);
    m->fill(m->user, name, layer, v, out, in);
    if (layer >= 0)
        snprintf(full, sizeof full, "blk.%d.%s.weight", layer, name);
    else
        snprintf(full, sizeof full, "%s.weight", name);
    const int64_t ne[2] = {in, out};
    gw_tensor(&m->w, full, K_F32, ne, out > 1 ? 2 : 1, v, (size_t)out * (size_t)in * sizeof *v);
    free(v);
}

static bool is_full(const shape *s, int layer)
{
    return s->layers == 2 ? layer == 1 : layer % 3 == 2;
}

static void metadata(maker *m)
{
    const shape *s = &m->s;
    bool sliding[16];
    for (int i = 0; i < s->layers; i++)
        sliding[i] = !is_full(s, i);
    gw_str(&m->w, "general.architecture", "gemma4");
    const struct {
        const char *key;
        int value;
    } numbers[] = {
        {"gemma4.block_count", s->layers},
        {"gemma4.context_length", s->n_ctx},
        {"gemma4.embedding_length", s->D},
        {"gemma4.feed_forward_length", s->F},
        {"gemma4.attention.head_count", s->H},
        {"gemma4.attention.head_count_kv", s->KV},
        {"gemma4.attention.sliding_window", s->window},
        {"gemma4.attention.key_length", s->dh_full},
        {"gemma4.attention.value_length", s->dh_full},
        {"gemma4.attention.key_length_swa", s->dh_sliding},
        {"gemma4.attention.value_length_swa", s->dh_sliding},
        {"gemma4.attention.shared_kv_layers", s->n_shared},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        gw_u32(&m->w, numbers[i].key, (uint32_t)numbers[i].value);
    gw_bools(&m->w, "gemma4.attention.sliding_window_pattern", sliding, (size_t)s->layers);
    gw_f32(&m->w, "gemma4.final_logit_softcapping", 30);
    gw_f32(&m->w, "gemma4.rope.freq_base", 1e6F);
    gw_f32(&m->w, "gemma4.rope.freq_base_swa", 1e4F);
    gw_f32(&m->w, "gemma4.attention.layer_norm_rms_epsilon", 1e-6F);
    gw_vocab(&m->w, SC_VOCAB);
}

static void write_model(const shape *s, fill_fn fill, void *user, const char *path)
{
    maker m = {.s = *s, .fill = fill, .user = user};
    gw_init(&m.w);
    metadata(&m);
    put(&m, "token_embd", -1, SC_VOCAB, s->D);
    put(&m, "output_norm", -1, 1, s->D);
    for (int l = 0; l < s->layers; l++) {
        const int dh = is_full(s, l) ? s->dh_full : s->dh_sliding;
        put(&m, "attn_norm", l, 1, s->D);
        put(&m, "attn_q", l, s->H * dh, s->D);
        put(&m, "attn_q_norm", l, 1, dh);
        if (l < s->layers - s->n_shared) {
            put(&m, "attn_k", l, s->KV * dh, s->D);
            put(&m, "attn_v", l, s->KV * dh, s->D);
            put(&m, "attn_k_norm", l, 1, dh);
        }
        put(&m, "attn_output", l, s->D, s->H * dh);
        put(&m, "post_attention_norm", l, 1, s->D);
        put(&m, "ffn_norm", l, 1, s->D);
        put(&m, "ffn_gate", l, s->F, s->D);
        put(&m, "ffn_up", l, s->F, s->D);
        put(&m, "ffn_down", l, s->D, s->F);
        put(&m, "post_ffw_norm", l, 1, s->D);
        put(&m, "layer_output_scale", l, 1, 1);
    }
    gw_write(&m.w, path);
    gw_release(&m.w);
}

/* ---- the copier ------------------------------------------------------------------------------ */

/* Places in the residual stream: this token's code, the code of the one before, ones. */
enum { CODE = 64, EMB = 0, PREV = 64, ONE = 128, WIDTH = 160, SLIDING = 64, FULL = 128 };

static float code(int token, int i)
{
    return __builtin_parity((unsigned)(token & i)) != 0 ? -1.0F : 1.0F;
}

static void fill_all(float *w, int n, float value)
{
    for (int i = 0; i < n; i++)
        w[i] = value;
}

/* Row `to` of w reads element `from`. */
static void read_one(float *w, int in, int to, int from, float value)
{
    w[to * in + from] = value;
}

/* Full heads rotate pairs (i, i + 64) for i < 16; these dimensions stay. */
static int still(int i)
{
    return i < 48 ? 16 + i : 80 + i - 48;
}

static void fill_layer_0(const char *name, float *w, int in)
{
    for (int i = 0; i < CODE / 2; i++) {
        const double f = pow(10000, -2.0 * i / SLIDING);
        if (strcmp(name, "attn_q") == 0)
            read_one(w, in, i, ONE, 1);
        if (strcmp(name, "attn_k") == 0) {
            read_one(w, in, i, ONE, (float)cos(f));
            read_one(w, in, i + SLIDING / 2, ONE, (float)sin(f));
        }
    }
    for (int i = 0; i < CODE; i++) {
        if (strcmp(name, "attn_v") == 0)
            read_one(w, in, i, EMB + i, 1);
        if (strcmp(name, "attn_output") == 0)
            read_one(w, in, PREV + i, i, 1);
    }
    if (strcmp(name, "attn_q_norm") == 0 || strcmp(name, "attn_k_norm") == 0)
        fill_all(w, SLIDING, 6); /* the runner-up is 79 behind in the exponent */
    if (strcmp(name, "post_attention_norm") == 0)
        fill_all(w, WIDTH, sqrtf((float)CODE / WIDTH)); /* entries of ±1 */
}

static void fill_layer_1(const char *name, float *w, int in)
{
    for (int i = 0; i < CODE; i++) {
        if (strcmp(name, "attn_q") == 0)
            read_one(w, in, still(i), EMB + i, 1);
        if (strcmp(name, "attn_k") == 0)
            read_one(w, in, still(i), PREV + i, 1);
        if (strcmp(name, "attn_v") == 0)
            read_one(w, in, i, EMB + i, 1);
        if (strcmp(name, "attn_output") == 0)
            read_one(w, in, EMB + i, i, 1);
    }
    if (strcmp(name, "attn_q_norm") == 0 || strcmp(name, "attn_k_norm") == 0)
        fill_all(w, FULL, 1); /* the same code scores 128, any other 0 */
    if (strcmp(name, "post_attention_norm") == 0)
        fill_all(w, WIDTH, 8 * sqrtf((float)CODE / WIDTH)); /* louder than this token's own code */
}

static void fill_copier(void *user, const char *name, int layer, float *w, int out, int in)
{
    (void)user;
    const float e = 1 / sqrtf(WIDTH); /* times sqrt(D): ones */
    if (strcmp(name, "token_embd") == 0)
        for (int t = 0; t < out; t++) {
            for (int i = 0; i < CODE; i++)
                w[t * in + EMB + i] = e * code(t, i);
            fill_all(w + t * in + ONE, WIDTH - ONE, e);
        }
    else if (strcmp(name, "output_norm") == 0)
        fill_all(w, in, 3);
    else if (strcmp(name, "attn_norm") == 0 || strcmp(name, "ffn_norm") == 0 ||
             strcmp(name, "layer_output_scale") == 0)
        fill_all(w, in, 1);
    else if (layer == 0)
        fill_layer_0(name, w, in);
    else
        fill_layer_1(name, w, in);
}

void sc_write_copier(const char *path, int n_ctx)
{
    const shape s = {.layers = 2,
                     .D = WIDTH,
                     .H = 1,
                     .KV = 1,
                     .dh_sliding = SLIDING,
                     .dh_full = FULL,
                     .F = 32,
                     .window = SC_WINDOW,
                     .n_ctx = n_ctx};
    write_model(&s, fill_copier, NULL, path);
}

/* ---- random weights -------------------------------------------------------------------------- */

static void fill_random(void *user, const char *name, int layer, float *w, int out, int in)
{
    (void)layer;
    as_rng *rng = user;
    const double scale = out > 1 ? 1.7 / sqrt(in) : 0.25;
    for (int i = 0; i < out * in; i++)
        w[i] = (float)(scale * (2 * as_rng_f64(rng) - 1) + (out > 1 ? 0 : 1));
    if (strcmp(name, "attn_q_norm") == 0) /* scores of a few units */
        for (int i = 0; i < in; i++)
            w[i] *= 0.3F;
}

void sc_write_random(const char *path, int n_ctx)
{
    as_rng rng;
    as_rng_init(&rng, 1, AS_STR("scripted"));
    const shape s = {.layers = 6,
                     .D = 64,
                     .H = 4,
                     .KV = 2,
                     .dh_sliding = 32,
                     .dh_full = 64,
                     .F = 96,
                     .window = 40,
                     .n_ctx = n_ctx,
                     .n_shared = 3};
    write_model(&s, fill_random, &rng, path);
}
