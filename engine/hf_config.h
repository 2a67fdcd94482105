#ifndef ENGINE_HF_CONFIG_H
#define ENGINE_HF_CONFIG_H
/*
 * hf_config.h — config.json and generation_config.json of a model folder, as GGUF metadata.
 *
 * Spellings  released (global_head_dim, num_global_key_value_heads, rope_parameters per layer
 *            type), saved by transformers 5.15 and later (per_layer_config of the full-attention
 *            layers), and Gemma 3's older one (rope_theta, rope_local_base_freq, rope_scaling,
 *            sliding_window_pattern). text_config may hold it all or be absent.
 * Types      model_type gemma3, gemma3_text, gemma4, gemma4_text, gemma4_unified and
 *            gemma4_unified_text.
 * Missing    Gemma 4 states everything that has no neutral value, so a missing key is an error.
 *            Gemma 3's small files leave out what is as in transformers' class: 8 heads, 4 key
 *            heads of 256, eps 1e-6, 131,072 positions, rope bases 1e6 and 1e4.
 * Errors     one sentence naming file and key. What is only out of range is left to g4_config_read.
 * Ownership  everything lives in the arena passed in.
 * Threads    pure.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "engine/config.h"
#include "engine/gguf_write.h"

enum { G4_HF_MAX_STOPS = 16, G4_HF_MAX_SUPPRESSED = 64 };

typedef struct g4_hf_config {
    const char *name; /* of the file, for messages */
    g4_arch arch;
    int64_t n_layers, width, n_heads, n_ctx, window;
    int64_t head_dim_full, head_dim_sliding;
    int64_t n_shared, ple_width;
    bool has_ple_key; /* hidden_size_per_layer_input is there */
    bool is_v_from_k; /* attention_k_eq_v: full layers have no value projection */
    bool is_tied;
    int64_t n_experts, n_experts_used, expert_ff;
    int64_t n_vocab;      /* 0: not stated */
    int64_t query_scalar; /* Gemma 3: query_pre_attn_scalar */
    double eps, softcap;  /* softcap 0: none */
    double rope_full, rope_sliding;
    double rope_factor;    /* linear scaling of the full layers; 1: none */
    double rope_partial;   /* share of the full layers' pairs that rotates */
    bool *is_sliding;      /* [n_layers] */
    int64_t *n_kv, *ff;    /* [n_layers] */
    int32_t bos, eos, pad; /* -1: not stated */
    /* generation_config.json */
    int32_t stops[G4_HF_MAX_STOPS];
    int n_stops;
    int32_t suppressed[G4_HF_MAX_SUPPRESSED];
    int n_suppressed;
    double temperature, top_p; /* < 0: not stated */
    int64_t top_k;             /* < 0: not stated */
} g4_hf_config;

/* text is config.json, name its path. */
as_code g4_hf_config_read(g4_hf_config *out, const char *name, as_str text, as_arena *keep,
                          as_err *err);
/* Adds what generation_config.json says. */
as_code g4_hf_generation_read(g4_hf_config *c, const char *name, as_str text, as_err *err);

/* Hyper-parameters as llama.cpp's converter writes them, "gemma4.block_count" and so on. */
void g4_hf_config_put(const g4_hf_config *c, uint32_t file_type, g4_gguf_values *v);

#endif
