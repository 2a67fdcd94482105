#include "engine/weights.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* ---- the registry ---------------------------------------------------------------------------- */

typedef enum dim {
    ONE,
    WIDTH,    /* D */
    HEAD,     /* Dh of the layer */
    QUERY,    /* H·Dh */
    KEY,      /* KV·Dh */
    FF,       /* F of the layer */
    PLE,      /* P */
    PLE_ALL,  /* L·P */
    VOCAB,    /* V */
    EXPERTS,  /* E */
    EXPERT_FF /* Fe */
} dim;

/* When a tensor must be there. Where its condition does not hold it is not looked at: files carry
 * dead key and value tensors in layers that share another's. */
typedef enum when {
    ALWAYS,
    IF_OWNS_KV,
    IF_HAS_V,
    IF_GEMMA4,
    IF_PLE,
    IF_EXPERTS,
} when;

typedef enum kind { VECTOR, MATRIX } kind;

typedef struct entry {
    const char *name;
    kind kind;
    when when;
    dim in, out, mats;
    size_t offset; /* of the field in g4_layer_weights or g4_weights */
} entry;

#define LAYER(field) offsetof(g4_layer_weights, field)
#define MODEL(field) offsetof(g4_weights, field)

static const entry model_entries[] = {
    {"token_embd.weight", MATRIX, ALWAYS, WIDTH, VOCAB, ONE, MODEL(embedding)},
    {"output_norm.weight", VECTOR, ALWAYS, WIDTH, ONE, ONE, MODEL(out_norm)},
    {"per_layer_token_embd.weight", MATRIX, IF_PLE, PLE_ALL, VOCAB, ONE, MODEL(ple_embedding)},
    {"per_layer_model_proj.weight", MATRIX, IF_PLE, WIDTH, PLE_ALL, ONE, MODEL(ple_model_proj)},
    {"per_layer_proj_norm.weight", VECTOR, IF_PLE, PLE, ONE, ONE, MODEL(ple_norm)},
};

static const entry layer_entries[] = {
    {"attn_norm.weight", VECTOR, ALWAYS, WIDTH, ONE, ONE, LAYER(attn_norm)},
    {"attn_q_norm.weight", VECTOR, ALWAYS, HEAD, ONE, ONE, LAYER(q_norm)},
    {"attn_k_norm.weight", VECTOR, IF_OWNS_KV, HEAD, ONE, ONE, LAYER(k_norm)},
    {"post_attention_norm.weight", VECTOR, ALWAYS, WIDTH, ONE, ONE, LAYER(post_attn_norm)},
    {"ffn_norm.weight", VECTOR, ALWAYS, WIDTH, ONE, ONE, LAYER(ffn_norm)},
    {"post_ffw_norm.weight", VECTOR, ALWAYS, WIDTH, ONE, ONE, LAYER(post_ffn_norm)},
    {"layer_output_scale.weight", VECTOR, IF_GEMMA4, ONE, ONE, ONE, LAYER(out_scale)},
    {"attn_output.weight", MATRIX, ALWAYS, QUERY, WIDTH, ONE, LAYER(o)},
    {"ffn_gate.weight", MATRIX, ALWAYS, WIDTH, FF, ONE, LAYER(gate)},
    {"ffn_up.weight", MATRIX, ALWAYS, WIDTH, FF, ONE, LAYER(up)},
    {"ffn_down.weight", MATRIX, ALWAYS, FF, WIDTH, ONE, LAYER(down)},
    {"post_ffw_norm_1.weight", VECTOR, IF_EXPERTS, WIDTH, ONE, ONE, LAYER(post_ffn_norm_1)},
    {"pre_ffw_norm_2.weight", VECTOR, IF_EXPERTS, WIDTH, ONE, ONE, LAYER(pre_ffn_norm_2)},
    {"post_ffw_norm_2.weight", VECTOR, IF_EXPERTS, WIDTH, ONE, ONE, LAYER(post_ffn_norm_2)},
    {"ffn_gate_inp.weight", MATRIX, IF_EXPERTS, WIDTH, EXPERTS, ONE, LAYER(router)},
    {"ffn_gate_inp.scale", VECTOR, IF_EXPERTS, WIDTH, ONE, ONE, LAYER(router_scale)},
    {"ffn_down_exps.scale", VECTOR, IF_EXPERTS, EXPERTS, ONE, ONE, LAYER(expert_scale)},
    {"ffn_down_exps.weight", MATRIX, IF_EXPERTS, EXPERT_FF, WIDTH, EXPERTS, LAYER(expert_down)},
    {"inp_gate.weight", MATRIX, IF_PLE, WIDTH, PLE, ONE, LAYER(ple_gate)},
    {"proj.weight", MATRIX, IF_PLE, PLE, WIDTH, ONE, LAYER(ple_up)},
    {"post_norm.weight", VECTOR, IF_PLE, WIDTH, ONE, ONE, LAYER(ple_post_norm)},
};

/* Instead of these three a file may have one attn_qkv: rows of q, then k, then v. */
static const entry q_entry = {"attn_q.weight", MATRIX, ALWAYS, WIDTH, QUERY, ONE, LAYER(q)};
static const entry k_entry = {"attn_k.weight", MATRIX, IF_OWNS_KV, WIDTH, KEY, ONE, LAYER(k)};
static const entry v_entry = {"attn_v.weight", MATRIX, IF_HAS_V, WIDTH, KEY, ONE, LAYER(v)};

/* Instead of these two a file may have one ffn_gate_up_exps: per expert the rows of gate, then up.
 */
static const entry expert_gate_entry = {
    "ffn_gate_exps.weight", MATRIX, IF_EXPERTS, WIDTH, EXPERT_FF, EXPERTS, LAYER(expert_gate)};
static const entry expert_up_entry = {
    "ffn_up_exps.weight", MATRIX, IF_EXPERTS, WIDTH, EXPERT_FF, EXPERTS, LAYER(expert_up)};

/* ---- reading --------------------------------------------------------------------------------- */

typedef struct reader {
    const g4_config *c;
    const g4_gguf *f;
    as_arena *keep;
    g4_weights *w;
    int layer; /* -1: tensors of the model */
} reader;

enum { NAME_MAX = 96 };

static void full_name(char name[NAME_MAX], const reader *r, const char *tail)
{
    if (r->layer < 0)
        snprintf(name, NAME_MAX, "%s", tail);
    else
        snprintf(name, NAME_MAX, "blk.%d.%s", r->layer, tail);
}

/* Of the layer at work; all zero for tensors of the model, whose rows ask for nothing of it. */
static const g4_layer_config *layer_of(const reader *r)
{
    static const g4_layer_config none;
    return r->layer >= 0 ? &r->c->layers[r->layer] : &none;
}

static bool is_wanted(const reader *r, when condition)
{
    const g4_layer_config *layer = layer_of(r);
    switch (condition) {
    case ALWAYS:
        return true;
    case IF_OWNS_KV:
        return layer->owns_kv;
    case IF_HAS_V:
        return layer->owns_kv && !layer->is_v_from_k;
    case IF_GEMMA4:
        return r->c->arch == G4_GEMMA4;
    case IF_PLE:
        return r->c->ple_width > 0;
    case IF_EXPERTS:
        return r->c->n_experts > 0;
    }
    return false;
}

static int64_t size_of(const reader *r, dim d)
{
    const g4_config *c = r->c;
    const g4_layer_config *layer = layer_of(r);
    switch (d) {
    case ONE:
        return 1;
    case WIDTH:
        return c->width;
    case HEAD:
        return layer->head_dim;
    case QUERY:
        return (int64_t)c->n_heads * layer->head_dim;
    case KEY:
        return (int64_t)layer->n_kv * layer->head_dim;
    case FF:
        return layer->ff;
    case PLE:
        return c->ple_width;
    case PLE_ALL:
        return (int64_t)c->n_layers * c->ple_width;
    case VOCAB:
        return c->n_vocab;
    case EXPERTS:
        return c->n_experts;
    case EXPERT_FF:
        return c->expert_ff;
    }
    return 0;
}

static as_code check_tensor(const reader *r, const g4_tensor *t, int64_t in, int64_t out,
                            int64_t mats, as_err *err)
{
    if (k_type_info_of(t->type) == NULL) {
        const g4_type_info *info = g4_type_find(t->type);
        return as_fail(err, AS_UNSUPPORTED,
                       "%s: tensor %.*s is of type %s, which this engine cannot compute with "
                       "(it can: F32 F16 BF16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K to Q6_K IQ4_NL IQ4_XS "
                       "MXFP4)",
                       g4_gguf_path(r->f), AS_ARG(t->name), info != NULL ? info->name : "unknown");
    }
    if (t->ne[0] != in || t->ne[1] != out || t->ne[2] != mats || t->ne[3] != 1)
        return as_fail(err, AS_RANGE,
                       "%s: tensor %.*s has shape {%lld, %lld, %lld, %lld}, the metadata want "
                       "{%lld, %lld, %lld, 1}",
                       g4_gguf_path(r->f), AS_ARG(t->name), (long long)t->ne[0],
                       (long long)t->ne[1], (long long)t->ne[2], (long long)t->ne[3], (long long)in,
                       (long long)out, (long long)mats);
    return AS_OK;
}

/* What is read may not exceed the file, in which tensors could share bytes: copies of vectors and the
 * layers' own memory are bounded by it. Twice, because a folder's view has its vectors as f32. */
static as_code check_total(const reader *r, as_err *err)
{
    const int64_t have = g4_gguf_file_bytes(r->f);
    if (r->w->bytes / 2 <= have)
        return AS_OK;
    return as_fail(err, AS_RANGE,
                   "%s: its tensors overlap: they have more bytes than the file's %lld",
                   g4_gguf_path(r->f), (long long)have);
}

static as_code check_layers(const reader *r, as_err *err)
{
    if ((size_t)r->c->n_layers <= g4_gguf_n_tensors(r->f))
        return AS_OK;
    return as_fail(err, AS_RANGE,
                   "%s: the metadata tell of %d layers, but there are only %zu tensors",
                   g4_gguf_path(r->f), r->c->n_layers, g4_gguf_n_tensors(r->f));
}

/* counts: parameters of one token's path are n_experts_used of n_experts for expert tensors. */
static void count(reader *r, const g4_tensor *t)
{
    g4_weights *w = r->w;
    w->n_params += t->n_elements;
    w->n_params_active +=
        t->ne[2] > 1 ? t->n_elements / r->c->n_experts * r->c->n_experts_used : t->n_elements;
    if (!as_str_eq_z(t->name, "per_layer_token_embd.weight"))
        w->n_params_effective += t->n_elements;
    w->bytes += (int64_t)t->bytes;
    w->bytes_by_type[t->type] += (int64_t)t->bytes;
}

static g4_matrix matrix_of(const g4_tensor *t, int n_in, int n_out, int n_mats)
{
    return (g4_matrix){
        .data = t->data,
        .type = t->type,
        .n_in = n_in,
        .n_out = n_out,
        .n_mats = n_mats,
        .row_bytes = t->row_bytes,
        .mat_bytes = t->row_bytes * (size_t)n_out,
        .i8 = k_i8_format_of(t->type),
    };
}

static as_code read_vector(reader *r, const g4_tensor *t, const float **out, as_err *err)
{
    float *v = as_arena_alloc_n(r->keep, (size_t)t->ne[0], sizeof *v, K_ALIGN);
    if (v == NULL)
        return as_nomem(err);
    k_dequant_ref(v, t->type, t->data, (int)t->ne[0]);
    *out = v;
    return AS_OK;
}

static as_code read_entry(reader *r, const entry *e, void *base, as_err *err)
{
    if (!is_wanted(r, e->when))
        return AS_OK;
    char name[NAME_MAX];
    full_name(name, r, e->name);
    const g4_tensor *t = NULL;
    AS_TRY(g4_gguf_need_tensor(r->f, name, &t, err));
    const int64_t in = size_of(r, e->in);
    const int64_t out = size_of(r, e->out);
    const int64_t mats = size_of(r, e->mats);
    AS_TRY(check_tensor(r, t, in, out, mats, err));
    count(r, t);
    AS_TRY(check_total(r, err));
    char *field = (char *)base + e->offset;
    if (e->kind == VECTOR)
        return read_vector(r, t, (const float **)(void *)field, err);
    const g4_matrix m = matrix_of(t, (int)in, (int)out, (int)mats);
    memcpy(field, &m, sizeof m);
    return AS_OK;
}

/* Rows [from, from + n_out) of each of t's matrices. */
static g4_matrix rows_of(const g4_matrix *t, int from, int n_out)
{
    g4_matrix m = *t;
    m.data += (size_t)from * t->row_bytes;
    m.n_out = n_out;
    return m;
}

static as_code read_qkv(reader *r, g4_layer_weights *w, as_err *err)
{
    char name[NAME_MAX];
    full_name(name, r, "attn_qkv.weight");
    const g4_tensor *t = g4_gguf_find_tensor(r->f, name);
    if (t == NULL) {
        AS_TRY(read_entry(r, &q_entry, w, err));
        AS_TRY(read_entry(r, &k_entry, w, err));
        return read_entry(r, &v_entry, w, err);
    }
    const int q = (int)size_of(r, QUERY);
    const int k = (int)size_of(r, KEY);
    const bool has_kv = r->c->layers[r->layer].owns_kv;
    AS_TRY(check_tensor(r, t, r->c->width, has_kv ? q + 2 * k : t->ne[1], 1, err));
    if (t->ne[1] < q)
        return as_fail(err, AS_RANGE, "%s: tensor %s has %lld rows, want at least the %d of q",
                       g4_gguf_path(r->f), name, (long long)t->ne[1], q);
    count(r, t);
    const g4_matrix all = matrix_of(t, r->c->width, (int)t->ne[1], 1);
    w->q = rows_of(&all, 0, q);
    if (has_kv) {
        w->k = rows_of(&all, q, k);
        w->v = rows_of(&all, q + k, k);
    }
    return AS_OK;
}

static as_code read_experts(reader *r, g4_layer_weights *w, as_err *err)
{
    char name[NAME_MAX];
    full_name(name, r, "ffn_gate_up_exps.weight");
    const g4_tensor *t = g4_gguf_find_tensor(r->f, name);
    if (t == NULL) {
        AS_TRY(read_entry(r, &expert_gate_entry, w, err));
        return read_entry(r, &expert_up_entry, w, err);
    }
    const int ff = r->c->expert_ff;
    AS_TRY(check_tensor(r, t, r->c->width, 2 * (int64_t)ff, r->c->n_experts, err));
    count(r, t);
    const g4_matrix all = matrix_of(t, r->c->width, 2 * ff, r->c->n_experts);
    w->expert_gate = rows_of(&all, 0, ff);
    w->expert_up = rows_of(&all, ff, ff);
    return AS_OK;
}

/* The file's own divisors, or the proportional rule: a quarter of the pairs rotates. */
static as_code read_rope_freqs(reader *r, as_err *err)
{
    if (r->c->arch != G4_GEMMA4)
        return AS_OK;
    const int half = r->c->head_dim_full / 2;
    const g4_tensor *t = g4_gguf_find_tensor(r->f, "rope_freqs.weight");
    if (t != NULL) {
        AS_TRY(check_tensor(r, t, half, 1, 1, err));
        return read_vector(r, t, &r->w->rope_freqs, err);
    }
    float *v = as_arena_alloc_n(r->keep, (size_t)half, sizeof *v, K_ALIGN);
    if (v == NULL)
        return as_nomem(err);
    for (int i = 0; i < half; i++)
        v[i] = i < half / 4 ? 1.0F : 1e30F;
    r->w->rope_freqs = v;
    return AS_OK;
}

static as_code read_head(reader *r, as_err *err)
{
    static const entry head = {"output.weight", MATRIX, ALWAYS, WIDTH, VOCAB, ONE, MODEL(head)};
    r->w->head = r->w->embedding;
    if (g4_gguf_find_tensor(r->f, head.name) == NULL)
        return AS_OK;
    return read_entry(r, &head, r->w, err);
}

as_code g4_weights_read(g4_weights *out, const g4_config *c, const g4_gguf *f, as_arena *keep,
                        as_err *err)
{
    g4_weights w = {0};
    reader r = {.c = c, .f = f, .keep = keep, .w = &w, .layer = -1};
    for (size_t i = 0; i < sizeof model_entries / sizeof model_entries[0]; i++)
        AS_TRY(read_entry(&r, &model_entries[i], &w, err));
    AS_TRY(read_head(&r, err));
    AS_TRY(read_rope_freqs(&r, err));
    AS_TRY(check_layers(&r, err));
    w.layers = as_new(keep, g4_layer_weights, c->n_layers);
    if (w.layers == NULL)
        return as_nomem(err);
    for (r.layer = 0; r.layer < c->n_layers; r.layer++) {
        g4_layer_weights *layer = &w.layers[r.layer];
        for (size_t i = 0; i < sizeof layer_entries / sizeof layer_entries[0]; i++)
            AS_TRY(read_entry(&r, &layer_entries[i], layer, err));
        AS_TRY(read_qkv(&r, layer, err));
        if (c->n_experts > 0)
            AS_TRY(read_experts(&r, layer, err));
    }
    *out = w;
    return AS_OK;
}
