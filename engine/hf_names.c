#include "engine/hf_names.h"

#include <stdio.h>

enum { NORM = 1, F32 = 2, KV = 4, VALUE = 8 };

typedef struct pair {
    const char *hf, *gguf;
    int flags;
} pair;

static const pair of_model[] = {
    {"embed_tokens.weight", "token_embd.weight", 0},
    {"norm.weight", "output_norm.weight", NORM},
    {"embed_tokens_per_layer.weight", "per_layer_token_embd.weight", 0},
    {"per_layer_model_projection.weight", "per_layer_model_proj.weight", 0},
    {"per_layer_projection_norm.weight", "per_layer_proj_norm.weight", NORM},
};

/* behind "layers.N." and "blk.N." */
static const pair of_layer[] = {
    {"input_layernorm.weight", "attn_norm.weight", NORM},
    {"self_attn.q_proj.weight", "attn_q.weight", 0},
    {"self_attn.k_proj.weight", "attn_k.weight", KV},
    {"self_attn.v_proj.weight", "attn_v.weight", KV | VALUE},
    {"self_attn.o_proj.weight", "attn_output.weight", 0},
    {"self_attn.q_norm.weight", "attn_q_norm.weight", NORM},
    {"self_attn.k_norm.weight", "attn_k_norm.weight", NORM | KV},
    {"post_attention_layernorm.weight", "post_attention_norm.weight", NORM},
    {"pre_feedforward_layernorm.weight", "ffn_norm.weight", NORM},
    {"post_feedforward_layernorm.weight", "post_ffw_norm.weight", NORM},
    {"mlp.gate_proj.weight", "ffn_gate.weight", 0},
    {"mlp.up_proj.weight", "ffn_up.weight", 0},
    {"mlp.down_proj.weight", "ffn_down.weight", 0},
    {"layer_scalar", "layer_output_scale.weight", F32},
    {"per_layer_input_gate.weight", "inp_gate.weight", 0},
    {"per_layer_projection.weight", "proj.weight", 0},
    {"post_per_layer_input_norm.weight", "post_norm.weight", NORM},
    {"router.proj.weight", "ffn_gate_inp.weight", F32},
    {"router.scale", "ffn_gate_inp.scale", F32},
    {"router.per_expert_scale", "ffn_down_exps.scale", F32},
    {"experts.gate_up_proj", "ffn_gate_up_exps.weight", 0},
    {"experts.down_proj", "ffn_down_exps.weight", 0},
    {"pre_feedforward_layernorm_2.weight", "pre_ffw_norm_2.weight", NORM},
    {"post_feedforward_layernorm_1.weight", "post_ffw_norm_1.weight", NORM},
    {"post_feedforward_layernorm_2.weight", "post_ffw_norm_2.weight", NORM},
};

/* In front of the text model's names; the longest first. */
static const char *const prefixes[] = {"model.language_model.", "language_model.model.", "model."};

static const char *const others[] = {
    "model.vision_tower.",    "vision_tower.",
    "model.audio_tower.",     "audio_tower.",
    "model.embed_vision.",    "embed_vision.",
    "model.embed_audio.",     "embed_audio.",
    "model.vision_embedder.", "model.multi_modal_projector.",
    "multi_modal_projector.",
};

static const char *const heads[] = {"lm_head.weight", "language_model.lm_head.weight",
                                    "model.lm_head.weight"};

static g4_hf_name found(const pair *p, int layer)
{
    g4_hf_name n = {.kind = G4_HF_OURS,
                    .layer = layer,
                    .is_norm = (p->flags & NORM) != 0,
                    .is_f32 = (p->flags & F32) != 0,
                    .is_kv = (p->flags & KV) != 0,
                    .is_value = (p->flags & VALUE) != 0};
    if (layer < 0)
        (void)snprintf(n.gguf, sizeof n.gguf, "%s", p->gguf);
    else
        (void)snprintf(n.gguf, sizeof n.gguf, "blk.%d.%s", layer, p->gguf);
    return n;
}

static g4_hf_name find_tail(as_str tail)
{
    const pair *table = of_model;
    size_t n = sizeof of_model / sizeof of_model[0];
    int layer = -1;
    if (as_str_starts(tail, AS_STR("layers."))) {
        as_str number = {0};
        int64_t i = 0;
        if (!as_str_cut(as_str_sub(tail, 7, tail.n), '.', &number, &tail) ||
            !as_parse_i64(number, 0, 99999, &i))
            return (g4_hf_name){.layer = -1};
        layer = (int)i;
        table = of_layer;
        n = sizeof of_layer / sizeof of_layer[0];
    }
    for (size_t i = 0; i < n; i++)
        if (as_str_eq_z(tail, table[i].hf))
            return found(&table[i], layer);
    return (g4_hf_name){.layer = -1};
}

g4_hf_name g4_hf_name_of(as_str name)
{
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++)
        if (as_str_eq_z(name, heads[i]))
            return (g4_hf_name){.kind = G4_HF_HEAD, .layer = -1, .gguf = "output.weight"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (as_str_starts(name, as_str_of(others[i])))
            return (g4_hf_name){.kind = G4_HF_OTHER, .layer = -1};
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
        const as_str prefix = as_str_of(prefixes[i]);
        if (as_str_starts(name, prefix))
            return find_tail(as_str_sub(name, prefix.n, name.n));
    }
    return (g4_hf_name){.layer = -1};
}
