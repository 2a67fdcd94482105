#include "synthetic.h"

#include "base/hash.h"

enum { V = S_VOCAB, D = 32, L = 6, H = 4, P = 4, E = 8, USED = 3, FE = 8, WINDOW = 4 };

const int32_t s_tokens[S_TOKENS] = {2, 5, 17, 63, 0, 31, 5, 44, 8, 23};

static uint64_t mix(uint64_t x)
{
    x += 0x9E3779B97F4A7C15U;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9U;
    x = (x ^ x >> 27) * 0x94D049BB133111EBU;
    return x ^ x >> 31;
}

static float element(const char *name, size_t i, double scale, double off)
{
    const uint64_t bits = mix(as_fnv1a(as_str_of(name)) + i) >> 40;
    return (float)(off + scale * ((double)bits - 0x1p23) / 0x1p23);
}

typedef struct maker {
    const s_options *o;
    gw w;
    int layer;
    bool is_gemma4;
} maker;

static bool is_named(const char *a, const char *b)
{
    return a != NULL && strcmp(a, b) == 0;
}

float *s_values(const char *hf, size_t n, double scale, double off)
{
    float *v = malloc(n * sizeof *v);
    assert_non_null(v);
    for (size_t i = 0; i < n; i++)
        v[i] = element(hf, i, scale, off);
    return v;
}

/* Blocks of Q8_0 by spec 9.4. */
static uint8_t *to_q8_0(const float *v, size_t n)
{
    uint8_t *out = malloc(n / 32 * 34);
    assert_non_null(out);
    for (size_t b = 0; b < n / 32; b++) {
        float max = 0;
        for (size_t i = 0; i < 32; i++)
            max = v[32 * b + i] > max ? v[32 * b + i] : -v[32 * b + i] > max ? -v[32 * b + i] : max;
        const float d = max / 127;
        const uint16_t h = k_f32_to_f16(d);
        out[34 * b] = (uint8_t)h;
        out[34 * b + 1] = (uint8_t)(h >> 8);
        for (size_t i = 0; i < 32; i++) {
            const float q = d > 0 ? v[32 * b + i] / d : 0;
            out[34 * b + 2 + i] = (uint8_t)(int8_t)(q + (q < 0 ? -0.5F : 0.5F));
        }
    }
    return out;
}

static void put(maker *m, const char *gguf, const float *v, int64_t in, int64_t out, int64_t mats)
{
    if (is_named(m->o->skip, gguf))
        return;
    int64_t ne[3] = {in, out, mats};
    const size_t n = (size_t)(in * out * mats);
    if (is_named(m->o->bad_shape, gguf)) {
        ne[0] *= 2;
        ne[1] /= 2;
    }
    const int n_dims = mats > 1 ? 3 : out > 1 ? 2 : 1;
    const bool is_typed = is_named(m->o->type_of, gguf);
    if (m->o->is_q8 && out > 1 && in % 32 == 0) {
        uint8_t *blocks = to_q8_0(v, n);
        gw_tensor(&m->w, gguf, K_Q8_0, ne, n_dims, blocks, n / 32 * 34);
        free(blocks);
        return;
    }
    gw_tensor(&m->w, gguf, is_typed ? m->o->type : K_F32, ne, n_dims, v, n * sizeof *v);
}

static void tensor(maker *m, const char *gguf, const char *hf, int64_t in, int64_t out,
                   int64_t mats, double scale, double off)
{
    float *v = s_values(hf, (size_t)(in * out * mats), scale, off);
    put(m, gguf, v, in, out, mats);
    free(v);
}

/* "blk.N.<gguf>" from "model.layers.N.<hf>" */
static void layer_tensor(maker *m, const char *gguf, const char *hf, int64_t in, int64_t out,
                         int64_t mats, double scale, double off)
{
    char a[96];
    char b[96];
    snprintf(a, sizeof a, "blk.%d.%s", m->layer, gguf);
    snprintf(b, sizeof b, "model.layers.%d.%s", m->layer, hf);
    tensor(m, a, b, in, out, mats, scale, off);
}

static void matrix(maker *m, const char *gguf, const char *hf, int in, int out)
{
    layer_tensor(m, gguf, hf, in, out, 1, 0.25, 0);
}

/* Norm weights are 1 + something for both: Gemma 3's GGUF stores w + 1. */
static void norm(maker *m, const char *gguf, const char *hf, int n)
{
    layer_tensor(m, gguf, hf, n, 1, 1, 0.25, 1);
}

static bool is_full(int layer)
{
    return layer % 3 == 2;
}

static void attention(maker *m)
{
    const s_kind kind = m->o->kind;
    const bool full = is_full(m->layer);
    const int dh = full && m->is_gemma4 ? 16 : 8;
    const int kv = full && (kind == S_T2 || kind == S_T3) ? 1 : 2;
    const bool owns = kind != S_T1 || m->layer < 3;
    const bool has_v = owns && !(full && (kind == S_T2 || kind == S_T3));
    if (m->o->is_qkv_fused) {
        const size_t q_n = (size_t)(H * dh) * D;
        const size_t kv_n = (size_t)(kv * dh) * D;
        float *all = malloc((q_n + 2 * kv_n) * sizeof *all);
        assert_non_null(all);
        static const char *const parts[] = {"q", "k", "v"};
        float *at = all;
        for (int i = 0; i < 3; i++) {
            char hf[96];
            snprintf(hf, sizeof hf, "model.layers.%d.self_attn.%s_proj.weight", m->layer, parts[i]);
            const size_t n = i == 0 ? q_n : kv_n;
            float *v = s_values(hf, n, 0.25, 0);
            memcpy(at, v, n * sizeof *v);
            at += n;
            free(v);
        }
        char name[96];
        snprintf(name, sizeof name, "blk.%d.attn_qkv.weight", m->layer);
        put(m, name, all, D, (H + 2 * kv) * dh, 1);
        free(all);
    } else {
        matrix(m, "attn_q.weight", "self_attn.q_proj.weight", D, H * dh);
        if (owns)
            matrix(m, "attn_k.weight", "self_attn.k_proj.weight", D, kv * dh);
        if (has_v)
            matrix(m, "attn_v.weight", "self_attn.v_proj.weight", D, kv * dh);
    }
    matrix(m, "attn_output.weight", "self_attn.o_proj.weight", H * dh, D);
    norm(m, "attn_norm.weight", "input_layernorm.weight", D);
    norm(m, "attn_q_norm.weight", "self_attn.q_norm.weight", dh);
    if (owns)
        norm(m, "attn_k_norm.weight", "self_attn.k_norm.weight", dh);
    norm(m, "post_attention_norm.weight", "post_attention_layernorm.weight", D);
}

static int ff_of(s_kind kind, int layer)
{
    if (kind == S_T2)
        return 24;
    return kind == S_T1 && layer >= 3 ? 96 : 48;
}

static void experts(maker *m)
{
    layer_tensor(m, "ffn_gate_inp.weight", "router.proj.weight", D, E, 1, 2.0, 0);
    layer_tensor(m, "ffn_gate_inp.scale", "router.scale", D, 1, 1, 0.25, 1);
    layer_tensor(m, "ffn_down_exps.scale", "router.per_expert_scale", E, 1, 1, 0.5, 1);
    layer_tensor(m, "ffn_down_exps.weight", "experts.down_proj", FE, D, E, 0.25, 0);
    norm(m, "post_ffw_norm_1.weight", "post_feedforward_layernorm_1.weight", D);
    norm(m, "pre_ffw_norm_2.weight", "pre_feedforward_layernorm_2.weight", D);
    norm(m, "post_ffw_norm_2.weight", "post_feedforward_layernorm_2.weight", D);
    if (!m->o->has_split_experts) {
        layer_tensor(m, "ffn_gate_up_exps.weight", "experts.gate_up_proj", D, 2 * FE, E, 0.25, 0);
        return;
    }
    char hf[96];
    snprintf(hf, sizeof hf, "model.layers.%d.experts.gate_up_proj", m->layer);
    float *both = s_values(hf, (size_t)(E * 2 * FE * D), 0.25, 0);
    float *part = malloc((size_t)(E * FE * D) * sizeof *part);
    assert_non_null(part);
    for (int half = 0; half < 2; half++) {
        for (int e = 0; e < E; e++)
            memcpy(part + e * FE * D, both + (2 * e + half) * FE * D, FE * D * sizeof *part);
        char name[96];
        snprintf(name, sizeof name, "blk.%d.ffn_%s_exps.weight", m->layer,
                 half == 0 ? "gate" : "up");
        put(m, name, part, D, FE, E);
    }
    free(part);
    free(both);
}

static void feed_forward(maker *m)
{
    const int ff = ff_of(m->o->kind, m->layer);
    matrix(m, "ffn_gate.weight", "mlp.gate_proj.weight", D, ff);
    matrix(m, "ffn_up.weight", "mlp.up_proj.weight", D, ff);
    matrix(m, "ffn_down.weight", "mlp.down_proj.weight", ff, D);
    norm(m, "ffn_norm.weight", "pre_feedforward_layernorm.weight", D);
    norm(m, "post_ffw_norm.weight", "post_feedforward_layernorm.weight", D);
    if (m->is_gemma4)
        layer_tensor(m, "layer_output_scale.weight", "layer_scalar", 1, 1, 1, 0.25, 1);
    if (m->o->kind == S_T2)
        experts(m);
    if (m->o->kind == S_T1) {
        matrix(m, "inp_gate.weight", "per_layer_input_gate.weight", D, P);
        matrix(m, "proj.weight", "per_layer_projection.weight", P, D);
        norm(m, "post_norm.weight", "post_per_layer_input_norm.weight", D);
    }
}

static void whole_model(maker *m)
{
    tensor(m, "token_embd.weight", "model.embed_tokens.weight", D, V, 1, 0.25, 0);
    tensor(m, "output_norm.weight", "model.norm.weight", D, 1, 1, 0.25, 1);
    if (m->o->kind == S_T1) {
        tensor(m, "per_layer_token_embd.weight", "model.embed_tokens_per_layer.weight", L * P, V, 1,
               0.5, 0);
        tensor(m, "per_layer_model_proj.weight", "model.per_layer_model_projection.weight", D,
               L * P, 1, 0.25, 0);
        tensor(m, "per_layer_proj_norm.weight", "model.per_layer_projection_norm.weight", P, 1, 1,
               0.25, 1);
    }
    if (m->is_gemma4) {
        const float freqs[8] = {1, 1, 1e30F, 1e30F, 1e30F, 1e30F, 1e30F, 1e30F};
        put(m, "rope_freqs.weight", freqs, 8, 1, 1);
    }
    for (m->layer = 0; m->layer < L; m->layer++) {
        attention(m);
        feed_forward(m);
    }
}

static void u32(maker *m, const char *name, uint32_t v)
{
    char key[96];
    snprintf(key, sizeof key, "%s.%s", m->is_gemma4 ? "gemma4" : "gemma3", name);
    if (!is_named(m->o->skip, name))
        gw_u32(&m->w, key, is_named(m->o->u32_key, name) ? m->o->u32_value : v);
}

static void metadata(maker *m)
{
    const s_kind kind = m->o->kind;
    const char *arch = m->is_gemma4 ? "gemma4" : "gemma3";
    char key[96];
    gw_str(&m->w, "general.architecture", arch);
    u32(m, "block_count", L);
    u32(m, "context_length", 1024);
    u32(m, "embedding_length", D);
    u32(m, "attention.head_count", H);
    u32(m, "attention.sliding_window", WINDOW);
    uint32_t ff[L];
    uint32_t kv[L];
    bool sliding[L];
    for (int i = 0; i < L; i++) {
        ff[i] = (uint32_t)ff_of(kind, i);
        kv[i] = is_full(i) && (kind == S_T2 || kind == S_T3) ? 1 : 2;
        sliding[i] = !is_full(i);
    }
    snprintf(key, sizeof key, "%s.feed_forward_length", arch);
    gw_u32s(&m->w, key, ff, L);
    snprintf(key, sizeof key, "%s.attention.head_count_kv", arch);
    gw_u32s(&m->w, key, kv, L);
    if (m->is_gemma4) {
        gw_bools(&m->w, "gemma4.attention.sliding_window_pattern", sliding, L);
        u32(m, "attention.key_length", 16);
        u32(m, "attention.value_length", 16);
        u32(m, "attention.key_length_swa", 8);
        u32(m, "attention.value_length_swa", 8);
        u32(m, "attention.shared_kv_layers", kind == S_T1 ? 3 : 0);
        u32(m, "embedding_length_per_layer_input", kind == S_T1 ? P : 0);
        gw_f32(&m->w, "gemma4.final_logit_softcapping", 30);
        gw_f32(&m->w, "gemma4.rope.freq_base", 1e6F);
        gw_f32(&m->w, "gemma4.rope.freq_base_swa", 1e4F);
        if (kind == S_T2) {
            u32(m, "expert_count", E);
            u32(m, "expert_used_count", USED);
            u32(m, "expert_feed_forward_length", FE);
        }
    } else {
        u32(m, "attention.sliding_window_pattern", 3);
        u32(m, "attention.key_length", 8);
        u32(m, "attention.value_length", 8);
        gw_f32(&m->w, "gemma3.attention.scale", 0.288675135F); /* 12^(-1/2) */
        gw_f32(&m->w, "gemma3.rope.freq_base", 1e6F);
        gw_str(&m->w, "gemma3.rope.scaling.type", "linear");
        gw_f32(&m->w, "gemma3.rope.scaling.factor", 8);
    }
    gw_f32(&m->w,
           m->is_gemma4 ? "gemma4.attention.layer_norm_rms_epsilon"
                        : "gemma3.attention.layer_norm_rms_epsilon",
           1e-6F);
    gw_vocab(&m->w, V);
}

void s_write(const s_options *o, const char *path)
{
    maker m = {.o = o, .is_gemma4 = o->kind != S_T4};
    gw_init(&m.w);
    metadata(&m);
    whole_model(&m);
    gw_write(&m.w, path);
    gw_release(&m.w);
}
