#ifndef ENGINE_SESSION_IMPL_H
#define ENGINE_SESSION_IMPL_H
/*
 * session_impl.h — what the files of the engine share about models and sessions.
 *
 * Shapes     B rows of one call (the session's n_batch at most); the other letters: README.md.
 *            Buffers are row-major and reused by each layer.
 */
#include "base/arena.h"
#include "engine/compute.h"
#include "engine/config.h"
#include "engine/engine.h"
#include "engine/gguf.h"
#include "engine/hf_model.h"
#include "engine/kv.h"
#include "engine/template/template.h"
#include "engine/tokenizer.h"
#include "engine/weights.h"

struct g4_model {
    as_arena keep; /* config, weights' vectors */
    g4_hf *folder; /* NULL unless opened from one; then file is lent by it */
    g4_gguf *file;
    g4_vocab *vocab;
    bool has_weights;
    g4_config config;
    g4_weights weights;
    g4_info info;
    tp_template *chat; /* NULL: none, or it cannot be parsed; then chat_fault says why */
    char chat_fault[256];
    as_buf bos_text, eos_text; /* as they stand in rendered chats */
};

typedef struct g4_buffers {
    float *x;                            /* [B, D] the residual stream */
    float *h;                            /* [B, D] its normed form, input of the products */
    float *t;                            /* [B, D] output of a branch */
    float *q, *att;                      /* [B, max H·Dh] */
    float *k, *v;                        /* [B, max KV·Dh] */
    float *gate, *up;                    /* [B, max F] */
    float *cos_full, *sin_full;          /* [B, Dh/2] of the full layers */
    float *cos_sliding, *sin_sliding;    /* [B, Dh/2] of the sliding layers */
    float *ple;                          /* [B, L·P] */
    float *ple_gate;                     /* [B, P] */
    float *router;                       /* [B, E] */
    int *experts;                        /* [B, k] chosen, by falling probability */
    float *expert_weights;               /* [B, k] */
    int *expert_rows;                    /* [B] rows of the expert at work */
    float *expert_in, *expert_out, *moe; /* [B, D] */
    float *expert_gate, *expert_up;      /* [B, Fe] */
    int *row_of;                         /* [B] which row of the call a row of x is */
    float *logits;                       /* [B, V] */
    float *hidden;                       /* [L+1, B, D] with keep_hidden */
} g4_buffers;

/* chat.c: parses the model's template, or the family's; a bad one is no error of opening. */
as_code g4_chat_open(g4_model *m, as_err *err);
void g4_chat_close(g4_model *m);

struct g4_session {
    const g4_model *model;
    g4_session_options options; /* with the defaults filled in */
    g4_memory memory;
    g4_compute compute;
    g4_kv *kv;
    uint8_t *scratch; /* all buffers, one mapping */
    size_t scratch_bytes;
    g4_buffers b;
    float *freq_full, *freq_sliding; /* [Dh/2] radians per position */
    struct g4_adapt *adapt;          /* adapters of the sequences; NULL until there is one */
    int *seq_rows;                   /* [n_seqs] rows of this call */
    int32_t *seq_first;              /* [n_seqs] their first position */
    /* Tests look at the router through this; NULL otherwise. */
    void (*on_route)(void *user, int layer, int row, const int *experts, const float *weights);
    void *on_route_user;
};

/* f32 counts exactly up to here; a sequence may start anywhere below. */
enum { G4_MAX_POSITION = 1 << 24 };

/* One pass through the model. */
typedef struct g4_pass {
    g4_session *s;
    const g4_config *c;
    const g4_weights *w;
    const g4_row *rows; /* [n_rows] of the call */
    int n_rows;
    int n_live; /* rows still computed; row_of tells which */
    int n_logits;
    bool is_adapted; /* some row runs with an adapter */
    /* the layer at work */
    int layer;
    const g4_layer_config *lc;
    const g4_layer_weights *lw;
} g4_pass;

/* Rows are checked and have their places in the cache. */
void g4_forward(g4_pass *p);

/* forward.c's parts in files of their own */
void g4_attend(g4_pass *p);  /* q and the cache → att */
void g4_experts(g4_pass *p); /* x → moe, router included */
size_t g4_attend_scratch_bytes(const g4_config *c, int n_ctx);

/* What kernels call the format; not of G4_KV_DEFAULT. */
static inline uint32_t g4_kv_row_type(g4_kv_type kv)
{
    return kv == G4_KV_F16 ? K_F16 : kv == G4_KV_Q8_0 ? K_Q8_0 : K_F32;
}

/* Runs job over the live rows. */
void g4_over_rows(g4_pass *p, g4_job job);

#endif
