#ifndef TESTS_UNIT_ADAPTER_SUPPORT_H
#define TESTS_UNIT_ADAPTER_SUPPORT_H
/*
 * adapter_support.h — LoRA adapters for the synthetic models (spec gemma4-text.md, appendix A, T5),
 * written as GGUF and as PEFT folders, well-formed or with one thing wrong.
 *
 *     A = gen("lora." + b + ".A", [rank, in], 0.1)     B = gen("lora." + b + ".B", [out, rank], 0.1)
 *
 * b is the base tensor's name without ".weight"; expert tensors have [E, rank, in], [E, out, rank].
 *
 * Errors     a call that fails ends the test.
 * Ownership  files lie under a temporary folder that ad_done removes; paths live as long.
 */
#include "synthetic.h"

typedef struct ad_options {
    s_kind kind;
    int rank;               /* 0: 2 */
    const char *seed;       /* in front of the names of the generator; NULL: "lora." */
    bool is_legacy;         /* PEFT: expert tensors in the older convention */
    bool has_split_experts; /* GGUF: ffn_gate_exps and ffn_up_exps */
    bool has_adapter_name;  /* PEFT: .lora_A.default.weight */
    const char *only;       /* tensors whose GGUF name contains it */
    const char *type;       /* "F16", "BF16"; NULL: "F32" */
    bool is_rounded;        /* values that BF16 can hold */
    /* something wrong */
    const char *skip;      /* a tensor left out */
    const char *bad_shape; /* a tensor that loses a row */
    const char *extra;     /* a tensor [2, 2] more */
    const char *config;    /* PEFT: members of adapter_config.json in front of the usual */
    const char *arch;      /* GGUF: general.architecture */
    const char *key;       /* GGUF: one more string value, "x" */
    const char *no_key;    /* GGUF: a value left out */
    float poison;          /* an infinity or NaN: the first element of each A */
} ad_options;

const char *ad_write_gguf(const ad_options *o);
const char *ad_write_peft(const ad_options *o);
/* A path in the temporary folder. */
const char *ad_path(const char *name);
int ad_done(void **state);

#endif
