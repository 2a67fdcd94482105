#ifndef ENGINE_CONFIG_H
#define ENGINE_CONFIG_H
/*
 * config.h — hyper-parameters of one model, read from metadata and checked once, so that nothing
 * behind it needs to check again.
 *
 * Covers     architectures "gemma3" and "gemma4". What the metadata leave open is filled with what
 *            the architecture fixes; where the presence of a tensor decides (K = V layers), the
 *            tensor is asked.
 * Guaranteed every count is at least 1 and within the limits of config.c; n_heads is a multiple of
 *            each layer's n_kv; head_dim is even; a donor owns keys and values and is of the same
 *            kind as the layer that reads it.
 * Errors     one sentence naming file, key, value and what was expected.
 * Ownership  layers live in the arena passed in.
 * Threads    immutable once read.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "engine/gguf.h"

typedef enum g4_arch { G4_GEMMA3, G4_GEMMA4 } g4_arch;

typedef struct g4_layer_config {
    bool is_sliding;  /* sees the last `window` positions; else all */
    bool owns_kv;     /* false: reads the cache of `donor` */
    bool is_v_from_k; /* no value projection: v is the raw key projection */
    int donor;        /* itself if it owns keys and values */
    int n_kv;         /* key/value heads */
    int head_dim;
    int ff; /* width of the dense MLP */
} g4_layer_config;

typedef struct g4_config {
    g4_arch arch;
    int n_layers, width, n_heads, n_vocab, n_ctx_train, window;
    int first_shared; /* layers from here on own no keys and values; n_layers: all own theirs */
    int ple_width;    /* P, width of the per-layer embedding; 0: none */
    int n_experts, n_experts_used, expert_ff; /* 0: dense only */
    bool has_v_norm;                          /* values are normed without weight */
    float eps, attention_scale;
    float softcap; /* of the logits; 0: none */
    float rope_base_full, rope_base_sliding;
    float rope_divisor; /* of the frequencies of full layers: linear scaling */
    int head_dim_full, head_dim_sliding;
    int max_q, max_kv, max_ff; /* widest over all layers: H·Dh, KV·Dh, F */
    g4_layer_config *layers;   /* [n_layers] */
} g4_config;

as_code g4_config_read(g4_config *out, const g4_gguf *f, as_arena *keep, as_err *err);

#endif
