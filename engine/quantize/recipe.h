#ifndef ENGINE_QUANTIZE_RECIPE_H
#define ENGINE_QUANTIZE_RECIPE_H
/*
 * recipe.h — which format each tensor of a model gets, by llama.cpp's rules.
 *
 * Rules      vectors, norms, the router, per_layer_model_proj and what is not called …weight stay as
 *            they are. The embedding that is also the head gets Q6_K (Q8_0 if its rows do not divide
 *            into 256). In the mixed recipes value and down projections of the first and last eighth
 *            and of every third layer between get more bits. A row that a format cannot take gets
 *            the nearest of 32 elements; one of neither, F16.
 * Source     read from llama.cpp's quantize at the end of 2026; test_quantize.c holds the types of
 *            Gemma 3 270M's published Q4_K_M file.
 * Threads    pure.
 */
#include <stdint.h>

#include "engine/config.h"
#include "engine/gguf.h"

typedef struct g4_recipe {
    const char *name;
    uint32_t file_type; /* general.file_type */
    uint32_t base;      /* type of the tensors without a rule of their own */
} g4_recipe;

/* By name, without regard to case; NULL if there is none. */
const g4_recipe *g4_recipe_find(const char *name);
const g4_recipe *g4_recipe_nth(int i); /* NULL behind the last */

/* What the rules want to know of the model. */
typedef struct g4_recipe_model {
    const g4_gguf *file;
    const g4_config *config;
    bool is_tied;
    int n_values; /* layers with a value projection */
} g4_recipe_model;

g4_recipe_model g4_recipe_model_of(const g4_gguf *file, const g4_config *config);
/* The type t is to have: its own if it stays. */
uint32_t g4_recipe_type(const g4_recipe *r, const g4_recipe_model *m, const g4_tensor *t);

#endif
