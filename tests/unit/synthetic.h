#ifndef TESTS_UNIT_SYNTHETIC_H
#define TESTS_UNIT_SYNTHETIC_H
/*
 * synthetic.h — the tiny models of spec gemma4-text.md, appendix A: weights from a formula, written
 * as GGUF through gguf_writer.h.
 *
 * Base       V 64, D 32, L 6, layers S S F S S F, H 4, Dh 8 sliding and 16 full, W 4.
 * Models     T1 like E2B, T2 like 26B-A4B, T3 like 31B, T4 Gemma 3.
 * Knobs      s_options changes one thing at a time, for tests of hostile files.
 */
#include "gguf_writer.h"

#include "engine/kernels/quant.h"

typedef enum s_kind { S_T1 = 1, S_T2, S_T3, S_T4 } s_kind;

typedef struct s_options {
    s_kind kind;
    const char *skip;      /* a tensor or key that is left out */
    const char *bad_shape; /* a tensor whose ne[0] is doubled and ne[1] halved */
    const char *u32_key;   /* a key that gets u32_value instead of its own */
    uint32_t u32_value;
    const char *type_of; /* a tensor whose type becomes… */
    uint32_t type;
    bool is_q8;             /* matrices in Q8_0 (D and Dh·H are multiples of 32) */
    bool is_qkv_fused;      /* T4: attn_qkv */
    bool has_split_experts; /* T2: ffn_gate_exps and ffn_up_exps */
} s_options;

/* Writes the model to path. */
void s_write(const s_options *o, const char *path);

/* n elements of the tensor of that name by the formula of appendix A.1; free them. */
float *s_values(const char *hf, size_t n, double scale, double off);

enum { S_VOCAB = 64, S_TOKENS = 10 };
extern const int32_t s_tokens[S_TOKENS];

#endif
