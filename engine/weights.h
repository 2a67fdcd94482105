#ifndef ENGINE_WEIGHTS_H
#define ENGINE_WEIGHTS_H
/*
 * weights.h — the tensors of one model: names, shapes and when they must be there (the registry of
 * weights.c), as pointers into the mapped file.
 *
 * Shapes     in the comments, as [out, in]; shape letters: engine/README.md.
 * Norms      vectors are copied as f32 (they may be stored in halves, and unaligned); matrices
 *            stay in the map in their own format.
 * Errors     one sentence naming file, tensor, its shape or type and what was expected.
 * Ownership  matrices borrow from the g4_gguf; vectors live in the arena passed in.
 * Threads    immutable once read.
 */
#include <stdint.h>

#include "base/arena.h"
#include "engine/config.h"
#include "engine/gguf.h"
#include "engine/kernels/ops.h"

/* One matrix [n_out, n_in], or n_mats of them (experts) mat_bytes apart. data NULL: absent. */
typedef struct g4_matrix {
    const uint8_t *data;
    uint32_t type;
    int n_in, n_out, n_mats;
    size_t row_bytes, mat_bytes;
    const k_i8_format *i8; /* NULL: only f32 products */
} g4_matrix;

typedef struct g4_layer_weights {
    const float *attn_norm;      /* [D] */
    const float *q_norm;         /* [Dh] */
    const float *k_norm;         /* [Dh], layers that own keys */
    const float *post_attn_norm; /* [D] */
    const float *ffn_norm;       /* [D] */
    const float *post_ffn_norm;  /* [D] */
    const float *out_scale;      /* [1] Gemma 4 */
    g4_matrix q;                 /* [H·Dh, D] */
    g4_matrix k, v;              /* [KV·Dh, D], layers that own them; v absent where K = V */
    g4_matrix o;                 /* [D, H·Dh] */
    g4_matrix gate, up;          /* [F, D] */
    g4_matrix down;              /* [D, F] */
    /* experts */
    const float *post_ffn_norm_1, *pre_ffn_norm_2, *post_ffn_norm_2; /* [D] */
    const float *router_scale;                                       /* [D] */
    const float *expert_scale;                                       /* [E] */
    g4_matrix router;                                                /* [E, D] */
    g4_matrix expert_gate, expert_up;                                /* E × [Fe, D] */
    g4_matrix expert_down;                                           /* E × [D, Fe] */
    /* per-layer embeddings */
    g4_matrix ple_gate;         /* [P, D] */
    g4_matrix ple_up;           /* [D, P] */
    const float *ple_post_norm; /* [D] */
} g4_layer_weights;

typedef struct g4_weights {
    g4_matrix embedding;      /* [V, D] */
    g4_matrix head;           /* [V, D]; the embedding unless the file has its own */
    const float *out_norm;    /* [D] */
    const float *rope_freqs;  /* [Dh/2] divisors of the full layers' angles; NULL: none */
    g4_matrix ple_embedding;  /* [V, L·P] */
    g4_matrix ple_model_proj; /* [L·P, D] */
    const float *ple_norm;    /* [P] */
    g4_layer_weights *layers; /* [L] */
    /* sums over the tensors in use */
    int64_t n_params, n_params_active, n_params_effective, bytes;
    int64_t bytes_by_type[G4_TYPE_END];
} g4_weights;

as_code g4_weights_read(g4_weights *out, const g4_config *c, const g4_gguf *f, as_arena *keep,
                        as_err *err);

#endif
