#include "engine/hf_config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "engine/show.h"

enum { MAX_LAYERS = 1024, GEMMA3_PERIOD = 6, LARGEST_GEMMA3_LAYERS = 62 };

typedef struct reader {
    const char *name;
    const as_json *root; /* the whole file */
    const as_json *text; /* text_config, or the file */
    as_arena *keep;
    g4_hf_config *c;
} reader;

/* ---- keys ------------------------------------------------------------------------------------ */

static as_code fail_key(const reader *r, const char *key, const char *what, as_err *err)
{
    return as_fail(err, AS_PARSE, "%s: \"%s\" %s", r->name, key, what);
}

static bool is_there(const as_json *node)
{
    const as_json_kind kind = as_json_type(node);
    return kind != AS_JSON_NONE && kind != AS_JSON_NULL;
}

/* A whole number, 0 ≤ v < 2^31. */
static as_code int_of(const reader *r, const as_json *node, const char *key, int64_t *out,
                      as_err *err)
{
    int64_t v = 0;
    if (!as_json_i64(node, &v) || v < 0 || v > INT32_MAX)
        return fail_key(r, key, "must be a whole number", err);
    *out = v;
    return AS_OK;
}

static as_code need_int(const reader *r, const char *key, int64_t *out, as_err *err)
{
    const as_json *node = as_json_get(r->text, key);
    if (!is_there(node))
        return fail_key(r, key, "is missing", err);
    return int_of(r, node, key, out, err);
}

/* Absent or null: fallback. */
static as_code opt_int(const reader *r, const char *key, int64_t fallback, int64_t *out,
                       as_err *err)
{
    *out = fallback;
    const as_json *node = as_json_get(r->text, key);
    return is_there(node) ? int_of(r, node, key, out, err) : AS_OK;
}

/* Gemma 3's files may leave it out. */
static as_code need_int_or(const reader *r, const char *key, int64_t gemma3, int64_t *out,
                           as_err *err)
{
    return r->c->arch == G4_GEMMA3 ? opt_int(r, key, gemma3, out, err) : need_int(r, key, out, err);
}

static as_code opt_number(const reader *r, const as_json *object, const char *key, double fallback,
                          double *out, as_err *err)
{
    *out = fallback;
    const as_json *node = as_json_get(object, key);
    if (!is_there(node))
        return AS_OK;
    if (!as_json_f64(node, out) || !isfinite(*out))
        return fail_key(r, key, "must be a number", err);
    return AS_OK;
}

static as_code opt_bool(const reader *r, const char *key, bool fallback, bool *out, as_err *err)
{
    *out = fallback;
    const as_json *node = as_json_get(r->text, key);
    if (is_there(node) && !as_json_bool(node, out))
        return fail_key(r, key, "must be true or false", err);
    return AS_OK;
}

/* A key that may only say what the engine does anyway. */
static as_code want_text(const reader *r, const char *key, const char *want, as_err *err)
{
    const as_json *node = as_json_get(r->text, key);
    as_str text = {0};
    if (!is_there(node) || (as_json_str(node, &text) && as_str_eq_z(text, want)))
        return AS_OK;
    return as_fail(err, AS_UNSUPPORTED, "%s: \"%s\" is \"%s\", this engine knows \"%s\"", r->name,
                   key, g4_show(text).z, want);
}

/* null, false, or "vision", which concerns images alone. */
static as_code want_causal(const reader *r, as_err *err)
{
    const as_json *node = as_json_get(r->text, "use_bidirectional_attention");
    as_str text = {0};
    bool is_on = false;
    if (!is_there(node) || (as_json_bool(node, &is_on) && !is_on) ||
        (as_json_str(node, &text) && as_str_eq_z(text, "vision")))
        return AS_OK;
    return as_fail(err, AS_UNSUPPORTED,
                   "%s: \"use_bidirectional_attention\" makes this an encoder, this engine's text "
                   "attention is causal",
                   r->name);
}

/* ---- parts ----------------------------------------------------------------------------------- */

static as_code read_type(reader *r, as_err *err)
{
    static const struct {
        const char *name;
        g4_arch arch;
    } types[] = {
        {"gemma3", G4_GEMMA3},         {"gemma3_text", G4_GEMMA3},
        {"gemma4", G4_GEMMA4},         {"gemma4_text", G4_GEMMA4},
        {"gemma4_unified", G4_GEMMA4}, {"gemma4_unified_text", G4_GEMMA4},
    };
    const as_json *nested = as_json_get(r->root, "text_config");
    r->text = is_there(nested) ? nested : r->root;
    if (as_json_type(r->text) != AS_JSON_OBJECT)
        return as_fail(err, AS_PARSE, "%s: want an object", r->name);
    as_str type = {0};
    if (!as_json_str(as_json_get(r->root, "model_type"), &type) &&
        !as_json_str(as_json_get(r->text, "model_type"), &type))
        return fail_key(r, "model_type", "is missing", err);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (as_str_eq_z(type, types[i].name)) {
            r->c->arch = types[i].arch;
            return AS_OK;
        }
    return as_fail(err, AS_UNSUPPORTED,
                   "%s: \"model_type\" is \"%s\", this engine runs gemma3, gemma3_text, gemma4, "
                   "gemma4_text and gemma4_unified",
                   r->name, g4_show(type).z);
}

static as_code read_sizes(reader *r, as_err *err)
{
    g4_hf_config *c = r->c;
    AS_TRY(need_int(r, "num_hidden_layers", &c->n_layers, err));
    if (c->n_layers < 1 || c->n_layers > MAX_LAYERS)
        return fail_key(r, "num_hidden_layers", "must be 1 to 1024", err);
    AS_TRY(need_int(r, "hidden_size", &c->width, err));
    AS_TRY(need_int(r, "sliding_window", &c->window, err));
    AS_TRY(need_int_or(r, "num_attention_heads", 8, &c->n_heads, err));
    AS_TRY(need_int_or(r, "max_position_embeddings", 131072, &c->n_ctx, err));
    AS_TRY(need_int_or(r, "head_dim", 256, &c->head_dim_sliding, err));
    AS_TRY(opt_int(r, "global_head_dim", c->head_dim_sliding, &c->head_dim_full, err));
    AS_TRY(opt_int(r, "vocab_size", 0, &c->n_vocab, err));
    AS_TRY(opt_number(r, r->text, "rms_norm_eps", 1e-6, &c->eps, err));
    AS_TRY(opt_number(r, r->text, "final_logit_softcapping", 0, &c->softcap, err));
    AS_TRY(opt_bool(r, "tie_word_embeddings", true, &c->is_tied, err));
    AS_TRY(want_text(r, "hidden_activation", "gelu_pytorch_tanh", err));
    bool has_bias = false;
    AS_TRY(opt_bool(r, "attention_bias", false, &has_bias, err));
    if (has_bias)
        return fail_key(r, "attention_bias", "is true, this engine's attention has none", err);
    AS_TRY(want_causal(r, err));
    if (is_there(as_json_get(r->text, "attn_logit_softcapping")))
        return fail_key(r, "attn_logit_softcapping", "is set, this engine has no such cap", err);
    if (c->arch == G4_GEMMA3)
        return opt_int(r, "query_pre_attn_scalar", 256, &c->query_scalar, err);
    return AS_OK;
}

static as_code read_gemma4_parts(reader *r, as_err *err)
{
    g4_hf_config *c = r->c;
    if (c->arch != G4_GEMMA4)
        return AS_OK;
    c->has_ple_key = as_json_get(r->text, "hidden_size_per_layer_input") != NULL;
    AS_TRY(opt_int(r, "hidden_size_per_layer_input", 0, &c->ple_width, err));
    AS_TRY(opt_int(r, "num_kv_shared_layers", 0, &c->n_shared, err));
    AS_TRY(opt_bool(r, "attention_k_eq_v", false, &c->is_v_from_k, err));
    if (c->n_shared >= c->n_layers)
        return fail_key(r, "num_kv_shared_layers", "must be less than \"num_hidden_layers\"", err);
    bool has_experts = false;
    AS_TRY(opt_bool(r, "enable_moe_block", false, &has_experts, err));
    if (!has_experts)
        return AS_OK;
    AS_TRY(need_int(r, "num_experts", &c->n_experts, err));
    AS_TRY(need_int(r, "top_k_experts", &c->n_experts_used, err));
    if (is_there(as_json_get(r->text, "expert_intermediate_size")))
        return need_int(r, "expert_intermediate_size", &c->expert_ff, err);
    return need_int(r, "moe_intermediate_size", &c->expert_ff, err);
}

static as_code read_kinds(reader *r, as_err *err)
{
    g4_hf_config *c = r->c;
    const as_json *list = as_json_get(r->text, "layer_types");
    if (!is_there(list) && c->arch == G4_GEMMA3) {
        int64_t period = GEMMA3_PERIOD;
        AS_TRY(opt_int(r, "_sliding_window_pattern", GEMMA3_PERIOD, &period, err));
        AS_TRY(opt_int(r, "sliding_window_pattern", period, &period, err));
        for (int64_t i = 0; i < c->n_layers; i++)
            c->is_sliding[i] = period == 0 || (i + 1) % period != 0;
        return AS_OK;
    }
    if (as_json_type(list) != AS_JSON_ARRAY)
        return fail_key(r, "layer_types", is_there(list) ? "must be a list" : "is missing", err);
    int64_t n = 0;
    for (const as_json *x = as_json_first(list); x != NULL; x = as_json_next(x), n++) {
        as_str kind = {0};
        (void)as_json_str(x, &kind);
        const bool is_sliding = as_str_eq_z(kind, "sliding_attention");
        if (!is_sliding && !as_str_eq_z(kind, "full_attention"))
            return fail_key(r, "layer_types",
                            "holds something else than sliding_attention and full_attention", err);
        if (n < c->n_layers)
            c->is_sliding[n] = is_sliding;
    }
    if (n != c->n_layers)
        return as_fail(err, AS_PARSE,
                       "%s: \"layer_types\" has %s entries, \"num_hidden_layers\" is %lld", r->name,
                       g4_show_count((uint64_t)n).z, (long long)c->n_layers);
    if (c->arch == G4_GEMMA4) /* as transformers, whatever the list says */
        c->is_sliding[n - 1] = false;
    return AS_OK;
}

/* One layer of per_layer_config. Its head_dim is the kind's. */
static as_code read_override(reader *r, const as_json *layer, bool *has_full_dim, as_err *err)
{
    g4_hf_config *c = r->c;
    int64_t i = -1;
    if (!as_parse_i64(as_json_key(layer), 0, c->n_layers - 1, &i) ||
        as_json_type(layer) != AS_JSON_OBJECT)
        return fail_key(r, "per_layer_config", "must map numbers of layers to objects", err);
    for (const as_json *x = as_json_first(layer); x != NULL; x = as_json_next(x)) {
        const as_str key = as_json_key(x);
        int64_t v = 0;
        if (as_str_eq_z(key, "head_dim")) {
            AS_TRY(int_of(r, x, "per_layer_config.head_dim", &v, err));
            if (c->is_sliding[i] ? v != c->head_dim_sliding
                                 : *has_full_dim && v != c->head_dim_full)
                return fail_key(r, "per_layer_config",
                                "gives layers of one kind different values of \"head_dim\"", err);
            if (!c->is_sliding[i]) {
                c->head_dim_full = v;
                *has_full_dim = true;
            }
        } else if (as_str_eq_z(key, "num_key_value_heads")) {
            AS_TRY(int_of(r, x, "per_layer_config.num_key_value_heads", &c->n_kv[i], err));
        } else if (as_str_eq_z(key, "intermediate_size")) {
            AS_TRY(int_of(r, x, "per_layer_config.intermediate_size", &c->ff[i], err));
        } else if (as_str_eq_z(key, "num_attention_heads")) {
            AS_TRY(int_of(r, x, "per_layer_config.num_attention_heads", &v, err));
            if (v != c->n_heads)
                return fail_key(r, "per_layer_config",
                                "changes \"num_attention_heads\", this engine wants one number",
                                err);
        } else {
            return as_fail(err, AS_UNSUPPORTED,
                           "%s: \"per_layer_config\" changes \"%s\", which is not known here",
                           r->name, g4_show(key).z);
        }
    }
    return AS_OK;
}

static as_code read_layers(reader *r, as_err *err)
{
    g4_hf_config *c = r->c;
    int64_t kv = 0;
    int64_t kv_full = 0;
    int64_t ff = 0;
    bool is_double = false;
    AS_TRY(need_int_or(r, "num_key_value_heads", 4, &kv, err));
    AS_TRY(opt_int(r, "num_global_key_value_heads", kv, &kv_full, err));
    if (!c->is_v_from_k) /* as transformers: without attention_k_eq_v the key says nothing */
        kv_full = kv;
    AS_TRY(need_int(r, "intermediate_size", &ff, err));
    AS_TRY(opt_bool(r, "use_double_wide_mlp", false, &is_double, err));
    for (int64_t i = 0; i < c->n_layers; i++) {
        c->n_kv[i] = c->is_sliding[i] ? kv : kv_full;
        c->ff[i] = is_double && i >= c->n_layers - c->n_shared ? 2 * ff : ff;
    }
    bool has_full_dim = is_there(as_json_get(r->text, "global_head_dim"));
    const bool has_global = has_full_dim;
    const as_json *layers = as_json_get(r->text, "per_layer_config");
    if (is_there(layers) && as_json_type(layers) != AS_JSON_OBJECT)
        return fail_key(r, "per_layer_config", "must be an object", err);
    for (const as_json *x = as_json_first(layers); x != NULL; x = as_json_next(x))
        AS_TRY(read_override(r, x, &has_full_dim, err));
    /* per_layer_config lists what differs: full layers it does not name have head_dim. */
    if (c->arch == G4_GEMMA4 && !has_full_dim && !is_there(layers))
        return fail_key(r, "global_head_dim", "is missing (and there is no \"per_layer_config\")",
                        err);
    if (c->is_v_from_k && has_global &&
        is_there(as_json_get(r->text, "num_global_key_value_heads")))
        for (int64_t i = 0; i < c->n_layers; i++)
            if (!c->is_sliding[i] && c->n_kv[i] != kv_full)
                return fail_key(r, "per_layer_config", "contradicts \"num_global_key_value_heads\"",
                                err);
    return AS_OK;
}

/* ---- rope ------------------------------------------------------------------------------------ */

static as_str rope_type_of(const as_json *rope)
{
    as_str type = AS_STR("default");
    if (!as_json_str(as_json_get(rope, "rope_type"), &type))
        (void)as_json_str(as_json_get(rope, "type"), &type);
    return type;
}

static as_code fail_rope(const reader *r, const char *which, as_str type, as_err *err)
{
    return as_fail(err, AS_UNSUPPORTED,
                   "%s: \"rope_type\" of %s is \"%s\", not known for this model", r->name, which,
                   g4_show(type).z);
}

static as_code read_full_rope(reader *r, const as_json *rope, double base, as_err *err)
{
    g4_hf_config *c = r->c;
    AS_TRY(opt_number(r, rope, "rope_theta", base, &c->rope_full, err));
    if (!(c->rope_full > 0))
        return fail_key(r, "rope_parameters.full_attention.rope_theta", "is missing", err);
    const as_str type = rope_type_of(rope);
    if (c->arch == G4_GEMMA3 && as_str_eq_z(type, "linear")) {
        AS_TRY(opt_number(r, rope, "factor", 0, &c->rope_factor, err));
        return c->rope_factor > 0 ? AS_OK : fail_key(r, "factor", "is missing in the rope", err);
    }
    if (c->arch == G4_GEMMA4 && as_str_eq_z(type, "proportional")) {
        AS_TRY(opt_number(r, rope, "partial_rotary_factor", 1, &c->rope_partial, err));
        if (!(c->rope_partial >= 0 && c->rope_partial <= 1))
            return fail_key(r, "partial_rotary_factor", "must be 0 to 1", err);
        return AS_OK;
    }
    return as_str_eq_z(type, "default") ? AS_OK : fail_rope(r, "full_attention", type, err);
}

static as_code read_rope(reader *r, as_err *err)
{
    g4_hf_config *c = r->c;
    c->rope_factor = 1;
    c->rope_partial = 1;
    const as_json *both = as_json_get(r->text, "rope_parameters");
    const as_json *full = as_json_get(both, "full_attention");
    const as_json *sliding = as_json_get(both, "sliding_attention");
    if (c->arch == G4_GEMMA4) {
        if (!is_there(full) || !is_there(sliding))
            return fail_key(r,
                            is_there(full) ? "rope_parameters.sliding_attention"
                                           : "rope_parameters.full_attention",
                            "is missing", err);
        AS_TRY(read_full_rope(r, full, 0, err));
        AS_TRY(opt_number(r, sliding, "rope_theta", 0, &c->rope_sliding, err));
    } else {
        double base = 0;
        double local = 0;
        AS_TRY(opt_number(r, r->text, "rope_theta", 1e6, &base, err));
        AS_TRY(opt_number(r, r->text, "rope_local_base_freq", 1e4, &local, err));
        if (!is_there(full)) /* the older spelling */
            full = is_there(both) ? both : as_json_get(r->text, "rope_scaling");
        AS_TRY(read_full_rope(r, full, base, err));
        AS_TRY(opt_number(r, sliding, "rope_theta", local, &c->rope_sliding, err));
    }
    if (!(c->rope_sliding > 0))
        return fail_key(r, "rope_parameters.sliding_attention.rope_theta", "is missing", err);
    const as_str type = rope_type_of(sliding);
    double partial = 1;
    AS_TRY(opt_number(r, sliding, "partial_rotary_factor", 1, &partial, err));
    if (!as_str_eq_z(type, "default") || partial < 1 || partial > 1)
        return fail_rope(r, "sliding_attention", type, err);
    return AS_OK;
}

/* ---- ids ------------------------------------------------------------------------------------- */

/* A number, or a list of them (the first counts for *one). */
static as_code read_ids(const char *name, const as_json *node, const char *key, int32_t *ids,
                        int max, int *n, as_err *err)
{
    *n = 0;
    if (!is_there(node))
        return AS_OK;
    const bool is_list = as_json_type(node) == AS_JSON_ARRAY;
    for (const as_json *x = is_list ? as_json_first(node) : node; x != NULL && *n < max;
         x = is_list ? as_json_next(x) : NULL) {
        if (!as_json_id(x, &ids[*n]))
            return as_fail(err, AS_PARSE, "%s: \"%s\" must be an id or a list of ids", name, key);
        ++*n;
    }
    return AS_OK;
}

static as_code read_token_ids(reader *r, as_err *err)
{
    const struct {
        const char *key;
        int32_t *id;
    } keys[] = {
        {"bos_token_id", &r->c->bos}, {"eos_token_id", &r->c->eos}, {"pad_token_id", &r->c->pad}};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const as_json *node = as_json_get(r->text, keys[i].key);
        if (!is_there(node))
            node = as_json_get(r->root, keys[i].key);
        int32_t ids[G4_HF_MAX_STOPS];
        int n = 0;
        AS_TRY(read_ids(r->name, node, keys[i].key, ids, G4_HF_MAX_STOPS, &n, err));
        *keys[i].id = n > 0 ? ids[0] : -1;
        if (keys[i].id == &r->c->eos) {
            memcpy(r->c->stops, ids, (size_t)n * sizeof ids[0]);
            r->c->n_stops = n;
        }
    }
    return AS_OK;
}

static as_code read_all(reader *r, as_err *err)
{
    g4_hf_config *c = r->c;
    c->temperature = c->top_p = -1;
    c->top_k = -1;
    AS_TRY(read_type(r, err));
    AS_TRY(read_sizes(r, err));
    AS_TRY(read_gemma4_parts(r, err));
    c->is_sliding = as_new(r->keep, bool, c->n_layers);
    c->n_kv = as_new(r->keep, int64_t, c->n_layers);
    c->ff = as_new(r->keep, int64_t, c->n_layers);
    if (c->is_sliding == NULL || c->n_kv == NULL || c->ff == NULL)
        return as_nomem(err);
    AS_TRY(read_kinds(r, err));
    AS_TRY(read_layers(r, err));
    AS_TRY(read_rope(r, err));
    return read_token_ids(r, err);
}

as_code g4_hf_config_read(g4_hf_config *out, const char *name, as_str text, as_arena *keep,
                          as_err *err)
{
    as_json *root = NULL;
    if (as_json_parse(&root, text, err) != AS_OK)
        return as_wrap(err, "%s", name);
    g4_hf_config c = {.name = name};
    reader r = {.name = name, .root = root, .keep = keep, .c = &c};
    const as_code code = read_all(&r, err);
    as_json_free(root);
    if (code == AS_OK)
        *out = c;
    return code;
}

as_code g4_hf_generation_read(g4_hf_config *c, const char *name, as_str text, as_err *err)
{
    as_json *root = NULL;
    if (as_json_parse(&root, text, err) != AS_OK)
        return as_wrap(err, "%s", name);
    const reader r = {.name = name, .root = root, .text = root};
    int32_t stops[G4_HF_MAX_STOPS];
    int n = 0;
    as_code code = read_ids(name, as_json_get(root, "eos_token_id"), "eos_token_id", stops,
                            G4_HF_MAX_STOPS, &n, err);
    if (code == AS_OK && n > 0) {
        memcpy(c->stops, stops, (size_t)n * sizeof stops[0]);
        c->n_stops = n;
    }
    if (code == AS_OK)
        code = read_ids(name, as_json_get(root, "suppress_tokens"), "suppress_tokens",
                        c->suppressed, G4_HF_MAX_SUPPRESSED, &c->n_suppressed, err);
    if (code == AS_OK)
        code = opt_number(&r, root, "temperature", -1, &c->temperature, err);
    if (code == AS_OK)
        code = opt_number(&r, root, "top_p", -1, &c->top_p, err);
    if (code == AS_OK)
        code = opt_int(&r, "top_k", -1, &c->top_k, err);
    as_json_free(root);
    return code;
}

/* ---- as metadata ----------------------------------------------------------------------------- */

typedef struct putter {
    const g4_hf_config *c;
    g4_gguf_values *v;
    char key[96];
} putter;

static const char *key_of(putter *p, const char *name)
{
    snprintf(p->key, sizeof p->key, "%s.%s", p->c->arch == G4_GEMMA3 ? "gemma3" : "gemma4", name);
    return p->key;
}

static void put_int(putter *p, const char *name, int64_t value)
{
    g4_gguf_put_u32(p->v, key_of(p, name), (uint32_t)value);
}

static void put_number(putter *p, const char *name, double value)
{
    g4_gguf_put_f32(p->v, key_of(p, name), (float)value);
}

/* One number if all layers agree, else a list. */
static void put_each(putter *p, const char *name, const int64_t *values)
{
    bool is_one = true;
    for (int64_t i = 1; i < p->c->n_layers; i++)
        is_one = is_one && values[i] == values[0];
    if (is_one) {
        put_int(p, name, values[0]);
        return;
    }
    g4_gguf_put_array(p->v, key_of(p, name), G4_VALUE_I32, (uint64_t)p->c->n_layers);
    for (int64_t i = 0; i < p->c->n_layers; i++)
        g4_gguf_add_i32(p->v, (int32_t)values[i]);
}

static void put_pattern(putter *p)
{
    const g4_hf_config *c = p->c;
    g4_gguf_put_array(p->v, key_of(p, "attention.sliding_window_pattern"), G4_VALUE_BOOL,
                      (uint64_t)c->n_layers);
    for (int64_t i = 0; i < c->n_layers; i++)
        g4_gguf_add_bool(p->v, c->is_sliding[i]);
}

static void put_gemma4(putter *p)
{
    const g4_hf_config *c = p->c;
    put_number(p, "rope.freq_base_swa", c->rope_sliding);
    if (c->n_experts > 0) {
        put_int(p, "expert_count", c->n_experts);
        put_int(p, "expert_used_count", c->n_experts_used);
        put_int(p, "expert_feed_forward_length", c->expert_ff);
    }
    put_int(p, "attention.shared_kv_layers", c->n_shared);
    put_int(p, "embedding_length_per_layer_input", c->ple_width);
    put_pattern(p);
    put_int(p, "attention.key_length_swa", c->head_dim_sliding);
    put_int(p, "attention.value_length_swa", c->head_dim_sliding);
    put_int(p, "rope.dimension_count", c->head_dim_full);
    put_int(p, "rope.dimension_count_swa", c->head_dim_sliding);
}

/* What the architecture implies is not written, as in llama.cpp's files. */
static void put_gemma3(putter *p)
{
    const g4_hf_config *c = p->c;
    bool is_usual = true;
    for (int64_t i = 0; i < c->n_layers; i++)
        is_usual = is_usual && c->is_sliding[i] == ((i + 1) % GEMMA3_PERIOD != 0);
    if (!is_usual)
        put_pattern(p);
    if (c->rope_sliding < 1e4 || c->rope_sliding > 1e4)
        put_number(p, "rope.freq_base_swa", c->rope_sliding);
    const int64_t implied = c->n_layers == LARGEST_GEMMA3_LAYERS && c->n_heads > 0
                                ? c->width / c->n_heads
                                : c->head_dim_full;
    if (c->query_scalar != implied && c->query_scalar > 0)
        put_number(p, "attention.scale", 1 / sqrt((double)c->query_scalar));
}

void g4_hf_config_put(const g4_hf_config *c, uint32_t file_type, g4_gguf_values *v)
{
    putter p = {.c = c, .v = v};
    put_int(&p, "block_count", c->n_layers);
    put_int(&p, "context_length", c->n_ctx);
    put_int(&p, "embedding_length", c->width);
    put_each(&p, "feed_forward_length", c->ff);
    put_int(&p, "attention.head_count", c->n_heads);
    put_each(&p, "attention.head_count_kv", c->n_kv);
    put_number(&p, "rope.freq_base", c->rope_full);
    if (c->rope_factor < 1 || c->rope_factor > 1) {
        g4_gguf_put_str(v, key_of(&p, "rope.scaling.type"), AS_STR("linear"));
        put_number(&p, "rope.scaling.factor", c->rope_factor);
    }
    put_number(&p, "attention.layer_norm_rms_epsilon", c->eps);
    put_int(&p, "attention.key_length", c->head_dim_full);
    put_int(&p, "attention.value_length", c->head_dim_full);
    g4_gguf_put_u32(v, "general.file_type", file_type);
    if (c->softcap > 0)
        put_number(&p, "final_logit_softcapping", c->softcap);
    put_int(&p, "attention.sliding_window", c->window);
    if (c->arch == G4_GEMMA4)
        put_gemma4(&p);
    else
        put_gemma3(&p);
}
