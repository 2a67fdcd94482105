#ifndef ENGINE_HF_NAMES_H
#define ENGINE_HF_NAMES_H
/*
 * hf_names.h — names of tensors in safetensors and in GGUF.
 *
 * Threads    pure.
 */
#include <stdbool.h>

#include "base/str.h"

typedef enum g4_hf_kind {
    G4_HF_UNKNOWN,
    G4_HF_OURS,
    G4_HF_HEAD,  /* lm_head.weight: the embedding again, if tied */
    G4_HF_OTHER, /* of the vision or audio side */
} g4_hf_kind;

typedef struct g4_hf_name {
    g4_hf_kind kind;
    int layer;     /* -1: none */
    char gguf[64]; /* the name in GGUF */
    bool is_norm;  /* Gemma 3 stores its weight minus 1 */
    bool is_f32;   /* kept as F32 whatever its shape */
    bool is_kv;    /* key or value side: dead in layers that share another's */
    bool is_value; /* attn_v */
} g4_hf_name;

g4_hf_name g4_hf_name_of(as_str name);

#endif
