#include "engine/hf_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/io.h"
#include "base/json.h"
#include "engine/gguf_impl.h"
#include "engine/hf_config.h"
#include "engine/hf_names.h"
#include "engine/hf_tokenizer.h"
#include "engine/kernels/quant.h"
#include "engine/map.h"
#include "engine/safetensors.h"
#include "engine/show.h"

/*
 * How it works. The metadata are written into memory as a GGUF file without tensors and read back by
 * the ordinary reader; then its table of tensors is filled with entries that point into the
 * safetensors. Nothing behind g4_gguf can tell the difference.
 */

enum { MAX_CONFIG_BYTES = 16 << 20, MAX_TOKENIZER_BYTES = 1 << 30, ARENA_SLACK = 16 << 20 };

struct g4_hf {
    as_arena keep; /* names, vectors, config */
    const char *folder;
    bool is_for_file;
    g4_hf_config config;
    g4_safetensors *weights;
    as_buf image; /* the metadata as a GGUF file */
    g4_gguf *file;
};

/* The texts of the tokenizer while the metadata are made. */
typedef struct texts {
    as_arena keep;
    g4_map map;
    g4_hf_tokenizer t;
    float *scores;
    as_json *config; /* tokenizer_config.json, or NULL */
    as_buf template;
} texts;

static as_code nomem(const g4_hf *h, as_err *err)
{
    return as_fail(err, AS_NOMEM, "%s: not enough memory for the model's tables", h->folder);
}

bool g4_hf_is_folder(const char *path)
{
    as_arena scratch;
    as_arena_init(&scratch, 0);
    const char *config = as_path_join(&scratch, path, "config.json");
    const bool is = config != NULL && as_is_dir(path) && as_file_exists(config);
    as_arena_release(&scratch);
    return is;
}

/* Appends a file of the folder; *is_there false without an error if there is none. */
static as_code read_file(g4_hf *h, const char *name, as_buf *out, const char **path, bool *is_there,
                         as_err *err)
{
    as_buf_init(out, MAX_CONFIG_BYTES);
    *path = as_path_join(&h->keep, h->folder, name);
    if (*path == NULL)
        return nomem(h, err);
    *is_there = as_file_exists(*path);
    return *is_there ? as_read_file(out, *path, err) : AS_OK;
}

static as_code read_configs(g4_hf *h, as_err *err)
{
    as_buf text;
    const char *path = NULL;
    bool is_there = false;
    as_code c = read_file(h, "config.json", &text, &path, &is_there, err);
    if (c == AS_OK && !is_there)
        c = as_fail(err, AS_IO, "%s: there is no such file", path);
    if (c == AS_OK)
        c = g4_hf_config_read(&h->config, path, as_buf_str(&text), &h->keep, err);
    as_buf_release(&text);
    if (c != AS_OK)
        return c;
    c = read_file(h, "generation_config.json", &text, &path, &is_there, err);
    if (c == AS_OK && is_there)
        c = g4_hf_generation_read(&h->config, path, as_buf_str(&text), err);
    as_buf_release(&text);
    return c;
}

/* ---- tokenizer ------------------------------------------------------------------------------- */

/* A string, or the entry named "default" of a list of named templates. */
static bool find_template(const as_json *config, as_str *out)
{
    const as_json *node = as_json_get(config, "chat_template");
    if (as_json_str(node, out))
        return true;
    for (const as_json *x = as_json_first(node); x != NULL; x = as_json_next(x)) {
        as_str name = {0};
        if (as_json_str(as_json_get(x, "name"), &name) && as_str_eq_z(name, "default"))
            return as_json_str(as_json_get(x, "template"), out);
    }
    return false;
}

static as_code read_template(g4_hf *h, texts *t, as_err *err)
{
    const char *path = NULL;
    bool is_there = false;
    AS_TRY(read_file(h, "chat_template.jinja", &t->template, &path, &is_there, err));
    as_str text = {0};
    if (!is_there && find_template(t->config, &text))
        return as_buf_add(&t->template, text) == AS_OK ? AS_OK : nomem(h, err);
    return AS_OK;
}

static as_code read_texts(g4_hf *h, texts *t, as_err *err)
{
    as_buf config;
    const char *path = NULL;
    bool is_there = false;
    as_code c = read_file(h, "tokenizer_config.json", &config, &path, &is_there, err);
    if (c == AS_OK && is_there &&
        (c = as_json_parse(&t->config, as_buf_str(&config), err)) != AS_OK)
        (void)as_wrap(err, "%s", path);
    as_buf_release(&config);
    if (c == AS_OK)
        c = read_template(h, t, err);
    if (c != AS_OK)
        return c;
    path = as_path_join(&h->keep, h->folder, "tokenizer.json");
    if (path == NULL)
        return nomem(h, err);
    AS_TRY(g4_map_open(&t->map, path, err));
    if (t->map.n > MAX_TOKENIZER_BYTES)
        return as_fail(err, AS_RANGE, "%s: has %s bytes, at most 1 GiB are read", path,
                       g4_show_count(t->map.n).z);
    as_arena_init(&t->keep, t->map.n * 8 + ARENA_SLACK);
    AS_TRY(g4_hf_tokenizer_read(&t->t, path, g4_map_str(&t->map), &t->keep, err));
    if (h->is_for_file && h->config.arch == G4_GEMMA3)
        return g4_hf_tokenizer_scores(&t->t, &t->keep, &t->scores, err);
    return AS_OK;
}

static void release_texts(texts *t)
{
    as_json_free(t->config);
    as_buf_release(&t->template);
    g4_map_close(&t->map);
    as_arena_release(&t->keep);
}

/* By tokenizer_config.json ("<bos>" or { "content": "<bos>" }), else config.json's number. */
static int32_t special_id(const texts *t, const char *key, int32_t fallback)
{
    const as_json *node = as_json_get(t->config, key);
    as_str text = {0};
    if (!as_json_str(node, &text) && !as_json_str(as_json_get(node, "content"), &text))
        return fallback;
    const int32_t id = g4_hf_tokenizer_find(&t->t, text);
    return id >= 0 ? id : fallback;
}

static void put_special_ids(const g4_hf *h, const texts *t, g4_gguf_values *v)
{
    const g4_hf_config *c = &h->config;
    const struct {
        const char *gguf, *hf;
        int32_t fallback;
    } ids[] = {
        {"tokenizer.ggml.bos_token_id", "bos_token", c->bos},
        {"tokenizer.ggml.eos_token_id", "eos_token", c->eos},
        {"tokenizer.ggml.unknown_token_id", "unk_token", g4_hf_tokenizer_find(&t->t, t->t.unknown)},
        {"tokenizer.ggml.padding_token_id", "pad_token", c->pad},
        {"tokenizer.ggml.mask_token_id", "mask_token", -1},
    };
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        const int32_t id = special_id(t, ids[i].hf, ids[i].fallback);
        if (id >= 0 && (size_t)id < t->t.n_pieces)
            g4_gguf_put_u32(v, ids[i].gguf, (uint32_t)id);
    }
}

static void put_tokenizer(const g4_hf *h, const texts *t, size_t n_rows, g4_gguf_values *v)
{
    const g4_hf_config *c = &h->config;
    const bool has_scores = t->scores != NULL;
    if (has_scores)
        g4_gguf_put_str(v, "tokenizer.ggml.pre", AS_STR("default"));
    g4_hf_tokenizer_put(&t->t, has_scores, n_rows, t->scores, v);
    put_special_ids(h, t, v);
    g4_gguf_put_bool(v, "tokenizer.ggml.add_bos_token", true);
    g4_gguf_put_bool(v, "tokenizer.ggml.add_space_prefix", false);
    if (t->template.n != 0)
        g4_gguf_put_str(v, "tokenizer.chat_template", as_buf_str(&t->template));
    if (c->n_suppressed > 0) {
        g4_gguf_put_array(v, "tokenizer.ggml.suppress_tokens", G4_VALUE_I32,
                          (uint64_t)c->n_suppressed);
        for (int i = 0; i < c->n_suppressed; i++)
            g4_gguf_add_i32(v, c->suppressed[i]);
    }
}

/* ---- metadata -------------------------------------------------------------------------------- */

/* The file type llama.cpp would state: the type of most matrix bytes. */
static uint32_t file_type(const g4_hf *h)
{
    size_t bytes[3] = {0};
    for (size_t i = 0; i < g4_safetensors_n(h->weights); i++) {
        const g4_st_tensor *t = g4_safetensors_at(h->weights, i);
        const g4_hf_kind kind = g4_hf_name_of(t->name).kind;
        if (t->n_dims < 2 || kind != G4_HF_OURS)
            continue;
        bytes[t->dtype == G4_ST_F16 ? 1 : t->dtype == G4_ST_BF16 ? 2 : 0] += t->bytes;
    }
    if (bytes[1] > bytes[0] && bytes[1] >= bytes[2])
        return 1;
    return bytes[2] > bytes[0] ? 32 : 0;
}

static void put_general(const g4_hf *h, as_str name, g4_gguf_values *v)
{
    const g4_hf_config *c = &h->config;
    g4_gguf_put_str(v, "general.architecture",
                    c->arch == G4_GEMMA3 ? AS_STR("gemma3") : AS_STR("gemma4"));
    g4_gguf_put_str(v, "general.type", AS_STR("model"));
    if (c->top_k >= 0)
        g4_gguf_put_i32(v, "general.sampling.top_k", (int32_t)c->top_k);
    if (c->top_p >= 0)
        g4_gguf_put_f32(v, "general.sampling.top_p", (float)c->top_p);
    if (c->temperature >= 0)
        g4_gguf_put_f32(v, "general.sampling.temp", (float)c->temperature);
    g4_gguf_put_str(v, "general.name", name);
}

/* The last part of the folder's path. */
static as_str folder_name(const char *folder)
{
    as_str s = as_str_of(folder);
    while (s.n > 1 && s.p[s.n - 1] == '/')
        s.n--;
    const size_t slash = as_str_rfind(s, AS_STR("/"));
    return slash == SIZE_MAX ? s : as_str_sub(s, slash + 1, s.n);
}

static const g4_st_tensor *find_embedding(const g4_hf *h)
{
    for (size_t i = 0; i < g4_safetensors_n(h->weights); i++) {
        const g4_st_tensor *t = g4_safetensors_at(h->weights, i);
        if (as_str_eq_z(as_str_of(g4_hf_name_of(t->name).gguf), "token_embd.weight"))
            return t;
    }
    return NULL;
}

/* Gemma 3's tokenizer.json has a piece for images that the text-only models have no row for: added
 * pieces beyond the embedding are left out. */
static as_code drop_pieces(const g4_hf *h, g4_hf_tokenizer *t, size_t n_rows, as_err *err)
{
    for (size_t i = n_rows; i < t->n_pieces; i++)
        if (t->types[i] != G4_PIECE_CONTROL && t->types[i] != G4_PIECE_USER)
            return as_fail(err, AS_PARSE,
                           "%s: tokenizer.json has %zu pieces, embed_tokens.weight only %zu rows",
                           h->folder, t->n_pieces, n_rows);
    t->n_pieces = n_rows < t->n_pieces ? n_rows : t->n_pieces;
    return AS_OK;
}

/* Rows of the embedding in the view. llama.cpp cuts Gemma 3's spare rows off and pads the pieces of
 * other models. */
static as_code check_rows(const g4_hf *h, g4_hf_tokenizer *tokenizer, size_t *n_rows, as_err *err)
{
    const g4_st_tensor *t = find_embedding(h);
    if (t == NULL || t->n_dims != 2)
        return as_fail(err, AS_PARSE,
                       "%s: the safetensors have no embed_tokens.weight of two "
                       "dimensions: not a complete model of this kind",
                       h->folder);
    if (h->config.n_vocab != 0 && h->config.n_vocab != t->shape[0])
        return as_fail(err, AS_PARSE,
                       "%s: \"vocab_size\" is %lld, embed_tokens.weight has %lld rows",
                       h->config.name, (long long)h->config.n_vocab, (long long)t->shape[0]);
    *n_rows = (size_t)t->shape[0];
    AS_TRY(drop_pieces(h, tokenizer, *n_rows, err));
    if (h->is_for_file && h->config.arch == G4_GEMMA3)
        *n_rows = tokenizer->n_pieces;
    return AS_OK;
}

static as_code make_metadata(g4_hf *h, const texts *t, as_str name, size_t n_rows, as_err *err)
{
    g4_gguf_values v;
    g4_gguf_values_init(&v, t->map.n * 4 + (h->is_for_file ? n_rows * 32 : 0) + t->template.n +
                                MAX_CONFIG_BYTES);
    put_general(h, name.n != 0 ? name : folder_name(h->folder), &v);
    g4_hf_config_put(&h->config, file_type(h), &v);
    g4_gguf_put_u32(&v, "general.quantization_version", 2);
    put_tokenizer(h, t, h->is_for_file ? n_rows : 0, &v);
    as_buf_init(&h->image, v.bytes.n + 64);
    as_code c = g4_gguf_image(&h->image, &v, err);
    g4_gguf_values_release(&v);
    if (c == AS_OK)
        c = g4_gguf_open_memory(&h->file, as_buf_str(&h->image), h->folder, err);
    return c;
}

/* ---- tensors --------------------------------------------------------------------------------- */

static as_code fail_tensor(const g4_hf *h, const g4_st_tensor *t, const char *what, as_err *err)
{
    return as_fail(err, AS_UNSUPPORTED, "%s: tensor %s: %s",
                   g4_safetensors_path(h->weights, t->part), g4_show(t->name).z, what);
}

/* Whether the model has the tensor but never looks at it. */
static bool is_dead(const g4_hf *h, const g4_hf_name *n)
{
    const g4_hf_config *c = &h->config;
    if (n->layer < 0 || !n->is_kv)
        return false;
    return n->layer >= c->n_layers - c->n_shared ||
           (n->is_value && c->is_v_from_k && !c->is_sliding[n->layer]);
}

/* Values as float32, 1 added to norm weights of Gemma 3. */
static as_code as_vector(g4_hf *h, const g4_st_tensor *t, bool is_shifted, g4_tensor *out,
                         as_err *err)
{
    if (out->n_elements > INT32_MAX / 4)
        return fail_tensor(h, t, "is too long", err);
    float *v = as_arena_alloc_n(&h->keep, (size_t)out->n_elements, sizeof *v, sizeof *v);
    if (v == NULL)
        return nomem(h, err);
    k_dequant_ref(v, (uint32_t)out->type, t->data, (int)out->n_elements);
    for (int64_t i = 0; is_shifted && i < out->n_elements; i++)
        v[i] = v[i] + 1.0F;
    out->type = G4_TYPE_F32;
    out->data = (const uint8_t *)v;
    return AS_OK;
}

static as_code set_shape(const g4_hf *h, const g4_st_tensor *t, g4_tensor *out, as_err *err)
{
    if (t->n_dims < 1 || t->n_dims > G4_MAX_DIMS)
        return fail_tensor(h, t, "want 1 to 4 dimensions", err);
    out->n_dims = t->n_dims;
    out->n_elements = 1;
    for (int i = 0; i < G4_MAX_DIMS; i++) {
        out->ne[i] = i < t->n_dims ? t->shape[t->n_dims - 1 - i] : 1;
        if (out->ne[i] < 1)
            return fail_tensor(h, t, "has no elements", err);
        out->n_elements *= out->ne[i]; /* the product was checked against the file's size */
    }
    switch (t->dtype) {
    case G4_ST_F32:
        out->type = G4_TYPE_F32;
        return AS_OK;
    case G4_ST_F16:
        out->type = G4_TYPE_F16;
        return AS_OK;
    case G4_ST_BF16:
        out->type = G4_TYPE_BF16;
        return AS_OK;
    default:
        return as_fail(err, AS_UNSUPPORTED,
                       "%s: tensor %s is of type %s, read are F32, F16 and BF16",
                       g4_safetensors_path(h->weights, t->part), g4_show(t->name).z,
                       g4_st_dtype_name(t->dtype));
    }
}

static as_code add_tensor(g4_hf *h, const g4_st_tensor *t, const g4_hf_name *name, size_t n_rows,
                          as_err *err)
{
    g4_tensor out = {.name = as_arena_str(&h->keep, as_str_of(name->gguf)), .data = t->data};
    if (out.name.p == NULL)
        return nomem(h, err);
    AS_TRY(set_shape(h, t, &out, err));
    const bool is_by_piece = as_str_eq_z(out.name, "token_embd.weight") || name->kind == G4_HF_HEAD;
    if (is_by_piece && out.n_dims == 2 && (size_t)out.ne[1] > n_rows) {
        out.n_elements = out.n_elements / out.ne[1] * (int64_t)n_rows;
        out.ne[1] = (int64_t)n_rows;
    }
    if (out.n_dims == 1 || name->is_f32 || name->is_norm)
        AS_TRY(as_vector(h, t, name->is_norm && h->config.arch == G4_GEMMA3, &out, err));
    (void)g4_type_row_bytes(out.type, out.ne[0], &out.row_bytes);
    out.bytes = out.row_bytes * (size_t)(out.n_elements / out.ne[0]);
    h->file->tensors[h->file->n_tensors++] = out;
    return AS_OK;
}

/* Divisors of the full layers' angles: 1 for the pairs that rotate, 1e30 for the others. */
static as_code add_rope_freqs(g4_hf *h, as_err *err)
{
    const int64_t half = h->config.head_dim_full / 2;
    if (h->config.arch != G4_GEMMA4)
        return AS_OK;
    if (half < 1 || half > 4096)
        return as_fail(err, AS_RANGE, "%s: \"global_head_dim\" is %lld, want 2 to 8192",
                       h->config.name, (long long)h->config.head_dim_full);
    float *v = as_new(&h->keep, float, half);
    if (v == NULL)
        return nomem(h, err);
    const int64_t rotating =
        (int64_t)((double)h->config.head_dim_full * h->config.rope_partial / 2);
    for (int64_t i = 0; i < half; i++)
        v[i] = i < rotating ? 1.0F : 1e30F;
    h->file->tensors[h->file->n_tensors++] = (g4_tensor){
        .name = AS_STR("rope_freqs.weight"),
        .type = G4_TYPE_F32,
        .n_dims = 1,
        .ne = {half, 1, 1, 1},
        .n_elements = half,
        .data = (const uint8_t *)v,
        .bytes = (size_t)half * sizeof *v,
        .row_bytes = (size_t)half * sizeof *v,
    };
    return AS_OK;
}

static as_code add_tensors(g4_hf *h, size_t n_rows, as_err *err)
{
    const size_t n = g4_safetensors_n(h->weights);
    h->file->tensors = calloc(n + 1, sizeof *h->file->tensors);
    if (h->file->tensors == NULL)
        return nomem(h, err);
    AS_TRY(add_rope_freqs(h, err));
    bool has_ple = false;
    bool has_head = false;
    for (size_t i = 0; i < n; i++) {
        const g4_st_tensor *t = g4_safetensors_at(h->weights, i);
        const g4_hf_name name = g4_hf_name_of(t->name);
        if (name.kind == G4_HF_UNKNOWN)
            return fail_tensor(h, t, "is not known in this kind of model", err);
        if (name.layer >= h->config.n_layers)
            return fail_tensor(h, t, "is of a layer beyond \"num_hidden_layers\"", err);
        if (name.kind == G4_HF_OTHER || (name.kind == G4_HF_HEAD && h->config.is_tied) ||
            is_dead(h, &name))
            continue;
        has_head = has_head || name.kind == G4_HF_HEAD;
        has_ple = has_ple || as_str_eq_z(as_str_of(name.gguf), "per_layer_token_embd.weight");
        AS_TRY(add_tensor(h, t, &name, n_rows, err));
    }
    if (!has_head && !h->config.is_tied)
        return as_fail(err, AS_PARSE,
                       "%s: \"tie_word_embeddings\" is false, but the model has no lm_head.weight",
                       h->config.name);
    if (has_ple && !h->config.has_ple_key)
        return as_fail(
            err, AS_PARSE,
            "%s: \"hidden_size_per_layer_input\" is missing, but the model has per-layer "
            "embeddings",
            h->config.name);
    return AS_OK;
}

static int compare_names(const void *a, const void *b)
{
    return as_str_cmp((*(const g4_tensor *const *)a)->name, (*(const g4_tensor *const *)b)->name);
}

static as_code index_tensors(g4_hf *h, as_err *err)
{
    g4_gguf *f = h->file;
    free(f->by_name);
    f->by_name = calloc(f->n_tensors + 1, sizeof *f->by_name);
    if (f->by_name == NULL)
        return nomem(h, err);
    for (size_t i = 0; i < f->n_tensors; i++)
        f->by_name[i] = &f->tensors[i];
    qsort(f->by_name, f->n_tensors, sizeof *f->by_name, compare_names);
    for (size_t i = 1; i < f->n_tensors; i++)
        if (as_str_eq(f->by_name[i - 1]->name, f->by_name[i]->name))
            return as_fail(err, AS_PARSE, "%s: two tensors of the folder are %s", h->folder,
                           g4_show(f->by_name[i]->name).z);
    f->file_bytes = g4_safetensors_file_bytes(h->weights);
    return AS_OK;
}

/* A full layer without a value projection takes its keys, if the config says so. */
static as_code check_values(const g4_hf *h, as_err *err)
{
    const g4_hf_config *c = &h->config;
    for (int64_t i = 0; i < c->n_layers - c->n_shared; i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "blk.%lld.attn_v.weight", (long long)i);
        if (!(c->is_v_from_k && !c->is_sliding[i]) && g4_gguf_find_tensor(h->file, name) == NULL)
            return as_fail(
                err, AS_PARSE,
                "%s: layer %lld has no self_attn.v_proj.weight, and \"attention_k_eq_v\" "
                "of config.json does not explain it",
                h->folder, (long long)i);
    }
    return AS_OK;
}

static as_code open_folder(g4_hf *h, const g4_hf_options *o, as_err *err)
{
    AS_TRY(read_configs(h, err));
    AS_TRY(g4_safetensors_open_folder(&h->weights, h->folder, err));
    texts t = {0};
    as_arena_init(&t.keep, 0);
    as_buf_init(&t.template, MAX_CONFIG_BYTES);
    size_t n_rows = 0;
    as_code c = read_texts(h, &t, err);
    if (c == AS_OK)
        c = check_rows(h, &t.t, &n_rows, err);
    if (c == AS_OK)
        c = make_metadata(h, &t, o->name, n_rows, err);
    release_texts(&t);
    if (c == AS_OK)
        c = add_tensors(h, n_rows, err);
    if (c == AS_OK)
        c = index_tensors(h, err);
    return c == AS_OK ? check_values(h, err) : c;
}

as_code g4_hf_open(g4_hf **out, const char *folder, const g4_hf_options *options, as_err *err)
{
    *out = NULL;
    const g4_hf_options o = options != NULL ? *options : (g4_hf_options){0};
    g4_hf *h = calloc(1, sizeof *h);
    if (h == NULL)
        return as_nomem(err);
    as_arena_init(&h->keep, 0);
    as_buf_init(&h->image, 0);
    h->is_for_file = o.is_for_file;
    h->folder = as_arena_str(&h->keep, as_str_of(folder)).p;
    const as_code c = h->folder != NULL ? open_folder(h, &o, err) : as_nomem(err);
    if (c != AS_OK) {
        g4_hf_close(h);
        return c;
    }
    *out = h;
    return AS_OK;
}

void g4_hf_close(g4_hf *h)
{
    if (h == NULL)
        return;
    g4_gguf_close(h->file);
    as_buf_release(&h->image);
    g4_safetensors_close(h->weights);
    as_arena_release(&h->keep);
    free(h);
}

g4_gguf *g4_hf_file(g4_hf *h)
{
    return h->file;
}

int g4_hf_stops(const g4_hf *h, const int32_t **ids)
{
    *ids = h->config.stops;
    return h->config.n_stops;
}
