#include "engine/config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Far above every released model, low enough that products of two fit an int. */
enum {
    MAX_LAYERS = 1024,
    MAX_WIDTH = 1 << 16,
    MAX_HEADS = 1024,
    MAX_HEAD_DIM = 1 << 12,
    MAX_FF = 1 << 20,
    MAX_VOCAB = 1 << 22,
    MAX_POSITIONS = 1 << 24, /* f32 counts exactly up to here */
    MAX_EXPERTS = 1 << 12,
    GEMMA3_PERIOD = 6, /* every sixth layer is full unless the file says otherwise */
};

typedef struct reader {
    const g4_gguf *f;
    const char *arch;
    char key[96];
} reader;

/* "arch.name", valid until the next call. */
static const char *key_of(reader *r, const char *name)
{
    snprintf(r->key, sizeof r->key, "%s.%s", r->arch, name);
    return r->key;
}

static as_code need_int(reader *r, const char *name, int max, int *out, as_err *err)
{
    int64_t v = 0;
    AS_TRY(g4_gguf_need_i64(r->f, key_of(r, name), 1, max, &v, err));
    *out = (int)v;
    return AS_OK;
}

/* Absent: fallback, which may lie outside the limits. */
static as_code opt_int(reader *r, const char *name, int min, int max, int fallback, int *out,
                       as_err *err)
{
    int64_t v = 0;
    *out = fallback;
    if (g4_gguf_find(r->f, key_of(r, name)) == NULL)
        return AS_OK;
    AS_TRY(g4_gguf_need_i64(r->f, r->key, min, max, &v, err));
    *out = (int)v;
    return AS_OK;
}

static as_code opt_float(reader *r, const char *name, float min, float max, float fallback,
                         float *out, as_err *err)
{
    AS_TRY(g4_gguf_opt_f32(r->f, key_of(r, name), fallback, out, err));
    if (!(*out >= min && *out <= max))
        return as_fail(err, AS_RANGE, "%s: %s is %g, want %g to %g", g4_gguf_path(r->f), r->key,
                       (double)*out, (double)min, (double)max);
    return AS_OK;
}

/* Per-layer counts: a scalar for all or one per layer, each 1..max. values: [n_layers]. */
static as_code need_each(reader *r, const char *name, int n_layers, int max, uint32_t *values,
                         as_err *err)
{
    AS_TRY(g4_gguf_need_u32_each(r->f, key_of(r, name), (size_t)n_layers, values, err));
    for (int i = 0; i < n_layers; i++)
        if (values[i] < 1 || values[i] > (uint32_t)max)
            return as_fail(err, AS_RANGE, "%s: %s is %u for layer %d, want 1 to %d",
                           g4_gguf_path(r->f), r->key, values[i], i, max);
    return AS_OK;
}

static as_code read_arch(reader *r, g4_config *c, as_err *err)
{
    as_str arch = {0};
    AS_TRY(g4_gguf_need_str(r->f, "general.architecture", &arch, err));
    if (as_str_eq_z(arch, "gemma3"))
        c->arch = G4_GEMMA3;
    else if (as_str_eq_z(arch, "gemma4"))
        c->arch = G4_GEMMA4;
    else
        return as_fail(err, AS_UNSUPPORTED,
                       "%s: general.architecture is \"%.*s\", this engine runs gemma3 and gemma4",
                       g4_gguf_path(r->f), AS_ARG(arch));
    r->arch = c->arch == G4_GEMMA3 ? "gemma3" : "gemma4";
    return AS_OK;
}

static as_code read_sizes(reader *r, g4_config *c, as_err *err)
{
    AS_TRY(need_int(r, "block_count", MAX_LAYERS, &c->n_layers, err));
    AS_TRY(need_int(r, "embedding_length", MAX_WIDTH, &c->width, err));
    AS_TRY(need_int(r, "context_length", MAX_POSITIONS, &c->n_ctx_train, err));
    AS_TRY(need_int(r, "attention.sliding_window", MAX_POSITIONS, &c->window, err));
    AS_TRY(opt_int(r, "embedding_length_per_layer_input", 0, MAX_WIDTH, 0, &c->ple_width, err));
    AS_TRY(opt_int(r, "expert_count", 0, MAX_EXPERTS, 0, &c->n_experts, err));
    if (c->n_experts > 0) {
        AS_TRY(need_int(r, "expert_used_count", c->n_experts, &c->n_experts_used, err));
        AS_TRY(need_int(r, "expert_feed_forward_length", MAX_FF, &c->expert_ff, err));
    }
    if (c->arch == G4_GEMMA3 && (c->ple_width > 0 || c->n_experts > 0))
        return as_fail(err, AS_UNSUPPORTED,
                       "%s: per-layer embeddings or experts in a gemma3 file, which has none",
                       g4_gguf_path(r->f));
    const g4_tensor *embedding = NULL;
    AS_TRY(g4_gguf_need_tensor(r->f, "token_embd.weight", &embedding, err));
    if (embedding->ne[1] > MAX_VOCAB)
        return as_fail(err, AS_RANGE, "%s: token_embd.weight has %lld rows, want at most %d",
                       g4_gguf_path(r->f), (long long)embedding->ne[1], MAX_VOCAB);
    c->n_vocab = (int)embedding->ne[1];
    return AS_OK;
}

static as_code read_heads(reader *r, g4_config *c, as_err *err)
{
    uint32_t heads[MAX_LAYERS];
    AS_TRY(need_each(r, "attention.head_count", c->n_layers, MAX_HEADS, heads, err));
    c->n_heads = (int)heads[0];
    for (int i = 1; i < c->n_layers; i++)
        if (heads[i] != heads[0])
            return as_fail(err, AS_UNSUPPORTED,
                           "%s: %s differs between layers 0 and %d (%u, %u); this engine wants one "
                           "number",
                           g4_gguf_path(r->f), r->key, i, heads[0], heads[i]);
    int full = 0;
    int sliding = 0;
    if (c->arch == G4_GEMMA4) {
        AS_TRY(need_int(r, "attention.key_length", MAX_HEAD_DIM, &full, err));
        AS_TRY(opt_int(r, "attention.key_length_swa", 1, MAX_HEAD_DIM, full, &sliding, err));
    } else {
        AS_TRY(
            opt_int(r, "attention.key_length", 1, MAX_HEAD_DIM, c->width / c->n_heads, &full, err));
        sliding = full;
    }
    const struct {
        const char *name;
        int want;
    } same[] = {
        {"attention.value_length", full},
        {"attention.value_length_swa", sliding},
        {"rope.dimension_count", full},
        {"rope.dimension_count_swa", sliding},
    };
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        int v = 0;
        AS_TRY(opt_int(r, same[i].name, 0, INT32_MAX, same[i].want, &v, err));
        if (v != same[i].want)
            return as_fail(err, AS_UNSUPPORTED, "%s: %s is %d, want %d, the length of a key",
                           g4_gguf_path(r->f), r->key, v, same[i].want);
    }
    if (full < 2 || full % 2 != 0 || sliding < 2 || sliding % 2 != 0)
        return as_fail(err, AS_RANGE, "%s: key lengths are %d (full) and %d (sliding), want even",
                       g4_gguf_path(r->f), full, sliding);
    c->head_dim_full = full;
    c->head_dim_sliding = sliding;
    return AS_OK;
}

static as_code read_numbers(reader *r, g4_config *c, as_err *err)
{
    const bool is_gemma4 = c->arch == G4_GEMMA4;
    AS_TRY(opt_float(r, "attention.layer_norm_rms_epsilon", 0.0F, 1.0F, 1e-6F, &c->eps, err));
    AS_TRY(opt_float(r, "final_logit_softcapping", 0.0F, 1e6F, 0.0F, &c->softcap, err));
    AS_TRY(opt_float(r, "rope.freq_base", 1.0F, 1e12F, 1e6F, &c->rope_base_full, err));
    AS_TRY(opt_float(r, "rope.freq_base_swa", 1.0F, 1e12F, 1e4F, &c->rope_base_sliding, err));
    c->has_v_norm = is_gemma4;
    c->rope_divisor = 1.0F;
    /* Gemma 4 fixes the scale; Gemma 3 takes 1/sqrt(D/H) in its largest model (62 layers), else
     * 1/sqrt(Dh). A file may state it. */
    const float scale = is_gemma4           ? 1.0F
                        : c->n_layers == 62 ? 1.0F / sqrtf((float)c->width / (float)c->n_heads)
                                            : 1.0F / sqrtf((float)c->head_dim_full);
    AS_TRY(opt_float(r, "attention.scale", 1e-6F, 1e6F, scale, &c->attention_scale, err));

    as_str scaling = {0};
    AS_TRY(g4_gguf_opt_str(r->f, key_of(r, "rope.scaling.type"), AS_STR("none"), &scaling, err));
    if (as_str_eq_z(scaling, "linear"))
        return opt_float(r, "rope.scaling.factor", 1e-3F, 1e6F, 1.0F, &c->rope_divisor, err);
    if (!as_str_eq_z(scaling, "none"))
        return as_fail(err, AS_UNSUPPORTED, "%s: %s is \"%.*s\", want none or linear",
                       g4_gguf_path(r->f), r->key, AS_ARG(scaling));
    return AS_OK;
}

static as_code read_kinds(reader *r, g4_config *c, as_err *err)
{
    bool sliding[MAX_LAYERS];
    const char *key = key_of(r, "attention.sliding_window_pattern");
    if (c->arch == G4_GEMMA4 || g4_gguf_find(r->f, key) != NULL)
        AS_TRY(g4_gguf_need_flag_each(r->f, key, (size_t)c->n_layers, sliding, err));
    else
        for (int i = 0; i < c->n_layers; i++)
            sliding[i] = (i + 1) % GEMMA3_PERIOD != 0;
    for (int i = 0; i < c->n_layers; i++) {
        c->layers[i].is_sliding = sliding[i];
        c->layers[i].head_dim = sliding[i] ? c->head_dim_sliding : c->head_dim_full;
    }
    return AS_OK;
}

/* The last layer of the same kind before first_shared; -1 if there is none. */
static int donor_of(const g4_config *c, int layer)
{
    for (int i = c->first_shared - 1; i >= 0; i--)
        if (c->layers[i].is_sliding == c->layers[layer].is_sliding)
            return i;
    return -1;
}

static as_code read_sharing(reader *r, g4_config *c, as_err *err)
{
    int n_shared = 0;
    AS_TRY(opt_int(r, "attention.shared_kv_layers", 0, c->n_layers - 1, 0, &n_shared, err));
    c->first_shared = c->n_layers - n_shared;
    for (int i = 0; i < c->n_layers; i++) {
        g4_layer_config *layer = &c->layers[i];
        layer->owns_kv = i < c->first_shared;
        layer->donor = layer->owns_kv ? i : donor_of(c, i);
        if (layer->donor < 0)
            return as_fail(err, AS_RANGE,
                           "%s: %s is %d, but none of the first %d layers is of layer %d's kind",
                           g4_gguf_path(r->f), r->key, n_shared, c->first_shared, i);
    }
    return AS_OK;
}

static as_code read_layers(reader *r, g4_config *c, as_err *err)
{
    uint32_t n_kv[MAX_LAYERS];
    uint32_t ff[MAX_LAYERS];
    AS_TRY(need_each(r, "feed_forward_length", c->n_layers, MAX_FF, ff, err));
    AS_TRY(need_each(r, "attention.head_count_kv", c->n_layers, MAX_HEADS, n_kv, err));
    for (int i = 0; i < c->n_layers; i++) {
        g4_layer_config *layer = &c->layers[i];
        layer->n_kv = (int)n_kv[i];
        layer->ff = (int)ff[i];
        if (c->n_heads % layer->n_kv != 0)
            return as_fail(err, AS_RANGE,
                           "%s: layer %d: %d query heads for %d key heads, want a "
                           "multiple",
                           g4_gguf_path(r->f), i, c->n_heads, layer->n_kv);
        if (layer->n_kv != c->layers[layer->donor].n_kv)
            return as_fail(err, AS_RANGE, "%s: layer %d has %d key heads, its donor %d has %d",
                           g4_gguf_path(r->f), i, layer->n_kv, layer->donor,
                           c->layers[layer->donor].n_kv);
        char name[64];
        snprintf(name, sizeof name, "blk.%d.attn_v.weight", i);
        char fused[64];
        snprintf(fused, sizeof fused, "blk.%d.attn_qkv.weight", i);
        layer->is_v_from_k = c->arch == G4_GEMMA4 && layer->owns_kv && !layer->is_sliding &&
                             g4_gguf_find_tensor(r->f, name) == NULL &&
                             g4_gguf_find_tensor(r->f, fused) == NULL;
        const int q = c->n_heads * layer->head_dim;
        const int kv = layer->n_kv * layer->head_dim;
        c->max_q = q > c->max_q ? q : c->max_q;
        c->max_kv = kv > c->max_kv ? kv : c->max_kv;
        c->max_ff = layer->ff > c->max_ff ? layer->ff : c->max_ff;
    }
    return AS_OK;
}

as_code g4_config_read(g4_config *out, const g4_gguf *f, as_arena *keep, as_err *err)
{
    reader r = {.f = f};
    g4_config c = {0};
    AS_TRY(read_arch(&r, &c, err));
    AS_TRY(read_sizes(&r, &c, err));
    AS_TRY(read_heads(&r, &c, err));
    AS_TRY(read_numbers(&r, &c, err));
    c.layers = as_new(keep, g4_layer_config, c.n_layers);
    if (c.layers == NULL)
        return as_nomem(err);
    AS_TRY(read_kinds(&r, &c, err));
    AS_TRY(read_sharing(&r, &c, err));
    AS_TRY(read_layers(&r, &c, err));
    *out = c;
    return AS_OK;
}
