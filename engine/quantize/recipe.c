#include "engine/quantize/recipe.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum recipe_id {
    R_F32,
    R_F16,
    R_BF16,
    R_Q8_0,
    R_Q4_0,
    R_Q4_1,
    R_Q5_0,
    R_Q5_1,
    R_Q2_K,
    R_Q3_K_S,
    R_Q3_K_M,
    R_Q3_K_L,
    R_Q4_K_S,
    R_Q4_K_M,
    R_Q5_K_S,
    R_Q5_K_M,
    R_Q6_K,
    R_IQ4_NL,
    N_RECIPES
};

static const g4_recipe recipes[N_RECIPES] = {
    [R_F32] = {"F32", 0, G4_TYPE_F32},         [R_F16] = {"F16", 1, G4_TYPE_F16},
    [R_BF16] = {"BF16", 32, G4_TYPE_BF16},     [R_Q8_0] = {"Q8_0", 7, G4_TYPE_Q8_0},
    [R_Q4_0] = {"Q4_0", 2, G4_TYPE_Q4_0},      [R_Q4_1] = {"Q4_1", 3, G4_TYPE_Q4_1},
    [R_Q5_0] = {"Q5_0", 8, G4_TYPE_Q5_0},      [R_Q5_1] = {"Q5_1", 9, G4_TYPE_Q5_1},
    [R_Q2_K] = {"Q2_K", 10, G4_TYPE_Q2_K},     [R_Q3_K_S] = {"Q3_K_S", 11, G4_TYPE_Q3_K},
    [R_Q3_K_M] = {"Q3_K_M", 12, G4_TYPE_Q3_K}, [R_Q3_K_L] = {"Q3_K_L", 13, G4_TYPE_Q3_K},
    [R_Q4_K_S] = {"Q4_K_S", 14, G4_TYPE_Q4_K}, [R_Q4_K_M] = {"Q4_K_M", 15, G4_TYPE_Q4_K},
    [R_Q5_K_S] = {"Q5_K_S", 16, G4_TYPE_Q5_K}, [R_Q5_K_M] = {"Q5_K_M", 17, G4_TYPE_Q5_K},
    [R_Q6_K] = {"Q6_K", 18, G4_TYPE_Q6_K},     [R_IQ4_NL] = {"IQ4_NL", 25, G4_TYPE_IQ4_NL},
};

const g4_recipe *g4_recipe_find(const char *name)
{
    static const struct {
        const char *name;
        enum recipe_id recipe;
    } short_names[] = {{"Q3_K", R_Q3_K_M}, {"Q4_K", R_Q4_K_M}, {"Q5_K", R_Q5_K_M}};
    for (int i = 0; i < N_RECIPES; i++)
        if (strcasecmp(name, recipes[i].name) == 0)
            return &recipes[i];
    for (size_t i = 0; i < sizeof short_names / sizeof short_names[0]; i++)
        if (strcasecmp(name, short_names[i].name) == 0)
            return &recipes[short_names[i].recipe];
    return NULL;
}

const g4_recipe *g4_recipe_nth(int i)
{
    return i >= 0 && i < N_RECIPES ? &recipes[i] : NULL;
}

/* ---- tensors --------------------------------------------------------------------------------- */

static bool has(const g4_tensor *t, const char *part)
{
    return as_str_find(t->name, as_str_of(part)) != SIZE_MAX;
}

static bool is_value(const g4_tensor *t)
{
    return has(t, "attn_v.weight") || has(t, "attn_qkv.weight");
}

static bool is_embedding(const g4_tensor *t)
{
    return as_str_eq_z(t->name, "token_embd.weight") ||
           as_str_eq_z(t->name, "per_layer_token_embd.weight");
}

static bool may_change(const g4_tensor *t)
{
    return (t->ne[1] > 1 || t->ne[2] > 1) && as_str_ends(t->name, AS_STR("weight")) &&
           !has(t, "_norm.weight") && !has(t, "ffn_gate_inp.weight") &&
           !has(t, "per_layer_model_proj");
}

/* N of "blk.N."; 0 for others. */
static int layer_of(const g4_tensor *t)
{
    as_str number = {0};
    as_str tail = {0};
    int64_t n = 0;
    if (!as_str_starts(t->name, AS_STR("blk.")) ||
        !as_str_cut(as_str_sub(t->name, 4, t->name.n), '.', &number, &tail) ||
        !as_parse_i64(number, 0, 99999, &n))
        return 0;
    return (int)n;
}

static int count_values(const g4_gguf *file, int layers)
{
    int n = 0;
    for (size_t i = 0; i < g4_gguf_n_tensors(file); i++) {
        const g4_tensor *t = g4_gguf_tensor(file, i);
        n += is_value(t) && layer_of(t) < layers;
    }
    return n;
}

g4_recipe_model g4_recipe_model_of(const g4_gguf *file, const g4_config *config)
{
    return (g4_recipe_model){.file = file,
                             .config = config,
                             .is_tied = g4_gguf_find_tensor(file, "output.weight") == NULL,
                             .n_values = count_values(file, INT32_MAX)};
}

/* ---- rules ----------------------------------------------------------------------------------- */

/* The first and last eighth, and every third layer between. */
static bool gets_more_bits(int i, int n)
{
    return i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2;
}

static bool has_wide_groups(const g4_recipe_model *m)
{
    return m->config->n_heads / m->config->layers[0].n_kv >= 4;
}

/* i: how many value projections lie in earlier layers. */
static uint32_t value_type(enum recipe_id r, const g4_recipe_model *m, int i, uint32_t base)
{
    if (m->config->n_experts == 8)
        return G4_TYPE_Q8_0;
    switch (r) {
    case R_Q2_K:
        return has_wide_groups(m) ? G4_TYPE_Q4_K : G4_TYPE_Q3_K;
    case R_Q3_K_M:
        return i < 2 ? G4_TYPE_Q5_K : G4_TYPE_Q4_K;
    case R_Q3_K_L:
        return G4_TYPE_Q5_K;
    case R_IQ4_NL:
        return has_wide_groups(m) ? G4_TYPE_Q5_K : base;
    case R_Q4_K_M:
    case R_Q5_K_M:
        return gets_more_bits(i, m->n_values) ? G4_TYPE_Q6_K : base;
    case R_Q4_K_S:
        return i < 4 ? G4_TYPE_Q5_K : base;
    default:
        return base;
    }
}

static uint32_t down_type(enum recipe_id r, int i, int n, uint32_t base)
{
    switch (r) {
    case R_Q2_K:
        return G4_TYPE_Q3_K;
    case R_Q3_K_M:
        return i < n / 16 ? G4_TYPE_Q5_K : G4_TYPE_Q4_K;
    case R_Q3_K_L:
        return G4_TYPE_Q5_K;
    case R_Q4_K_M:
    case R_Q5_K_M:
        return gets_more_bits(i, n) ? G4_TYPE_Q6_K : base;
    case R_IQ4_NL:
    case R_Q4_K_S:
        return i < n / 8 ? G4_TYPE_Q5_K : base;
    default:
        return base;
    }
}

static uint32_t attention_output_type(enum recipe_id r, int n_experts, uint32_t base)
{
    const bool is_small = r == R_Q2_K || r == R_Q3_K_S || r == R_Q3_K_M || r == R_IQ4_NL ||
                          r == R_Q4_K_S || r == R_Q4_K_M;
    if (n_experts == 8)
        return is_small ? G4_TYPE_Q5_K : base;
    return r == R_Q2_K     ? G4_TYPE_Q3_K
           : r == R_Q3_K_M ? G4_TYPE_Q4_K
           : r == R_Q3_K_L ? G4_TYPE_Q5_K
                           : base;
}

static uint32_t embedding_type(const g4_tensor *t, uint32_t base)
{
    if (t->ne[0] % g4_type_find(base)->block_elements != 0)
        return G4_TYPE_Q8_0;
    return base == G4_TYPE_Q8_0 ? base : G4_TYPE_Q6_K;
}

static uint32_t wanted_type(const g4_recipe *recipe, const g4_recipe_model *m, const g4_tensor *t)
{
    const enum recipe_id r = (enum recipe_id)(recipe - recipes);
    const uint32_t base = recipe->base;
    if (as_str_eq_z(t->name, "output.weight") || (is_embedding(t) && m->is_tied))
        return embedding_type(t, base);
    if (is_value(t))
        return value_type(r, m, count_values(m->file, layer_of(t)), base);
    if (has(t, "attn_k.weight"))
        return m->config->n_experts == 8 ? G4_TYPE_Q8_0 : base;
    if (has(t, "ffn_down"))
        return down_type(r, layer_of(t), m->config->n_layers, base);
    if (has(t, "attn_output.weight"))
        return attention_output_type(r, m->config->n_experts, base);
    return base;
}

/* The type itself, or what stands in for it where rows do not divide into its blocks. */
static uint32_t fitting(uint32_t type, int64_t n)
{
    if (n % g4_type_find(type)->block_elements == 0)
        return type;
    switch (type) {
    case G4_TYPE_Q2_K:
    case G4_TYPE_Q3_K:
        type = G4_TYPE_Q4_0;
        break;
    case G4_TYPE_Q4_K:
        type = G4_TYPE_Q5_0;
        break;
    case G4_TYPE_Q5_K:
        type = G4_TYPE_Q5_1;
        break;
    case G4_TYPE_Q6_K:
        type = G4_TYPE_Q8_0;
        break;
    default:
        break;
    }
    return n % g4_type_find(type)->block_elements == 0 ? type : G4_TYPE_F16;
}

uint32_t g4_recipe_type(const g4_recipe *r, const g4_recipe_model *m, const g4_tensor *t)
{
    if (!may_change(t))
        return (uint32_t)t->type;
    if (r->base == G4_TYPE_F32 || r->base == G4_TYPE_F16 || r->base == G4_TYPE_BF16)
        return r->base;
    return fitting(wanted_type(r, m, t), t->ne[0]);
}
