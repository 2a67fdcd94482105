/*
 * adapter_peft.c — adapters as PEFT saves them: adapter_config.json, adapter_model.safetensors.
 *
 * Names      base_model.model. + path of the module + .lora_A[.ADAPTER].weight [rank, in] or
 *            .lora_B[.ADAPTER].weight [out, rank].
 * Experts    are bare parameters, so PEFT wraps them twice: layers.N.experts.base_layer.lora_A and
 *            layers.N.experts.lora_A. Which wrapper is for which parameter and in which of two
 *            conventions (gemma4-text.md 6.3) is decided by the shapes, E experts of rank r:
 *
 *                            gate_up A        gate_up B        down A         down B
 *                modern      [E·r, D]         [2·Fe, E·r]      [E·r, Fe]      [D, E·r]
 *                legacy      [E·r, 2·Fe]      [D, E·r]         [E·r, D]       [Fe, E·r]
 *
 *            A's rows are e·r + k, B's columns k·E + e. Legacy swaps the roles: the factor that
 *            meets the input is B transposed. The parameter always follows from the shape; the
 *            convention may not (D = 2·Fe or D = Fe), then one wrapper of the file decides for all,
 *            and if none does, PEFT's version: 0.19.1 brought the modern one.
 * Embedding  .lora_embedding_A[.ADAPTER] [rank, V] and .lora_embedding_B[.ADAPTER] [D, rank]. Gemma's table
 *            multiplies by sqrt(D) what it gives; PEFT does so with the adapter's part from 0.18 on
 *            (its pull request 2825), so the version that trained decides.
 * Ignored    tensors of the vision and audio side.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/io.h"
#include "engine/adapter.h"
#include "engine/hf_names.h"
#include "engine/peft_config.h"
#include "engine/safetensors.h"
#include "engine/session_impl.h"

enum { MAX_NAME = 512, MODERN = 1, LEGACY = 2 };

typedef struct reader {
    g4_adapter *a;
    g4_safetensors *file;
    g4_peft_config config;
    unsigned conventions;        /* of the expert tensors: those that all their shapes allow */
    const g4_st_tensor *experts; /* one of them; NULL: there are none */
} reader;

/* A tensor's name, taken apart. */
typedef struct part {
    as_str path; /* of the module, without base_model.model. */
    bool is_a;
    bool is_experts; /* a wrapper of expert tensors */
    bool is_table;   /* of an embedding */
    char partner[MAX_NAME];
} part;

/* The two factors of a pair as they stand in the file. */
typedef struct factors {
    const g4_st_tensor *a, *b;
} factors;

static as_code bad_tensor(const reader *r, const g4_st_tensor *t, const char *why, as_err *err)
{
    return as_fail(err, AS_RANGE, "%s: %.*s %s", r->a->path, AS_ARG(t->name), why);
}

/* ---- names ----------------------------------------------------------------------------------- */

static as_str without_prefix(as_str name)
{
    const as_str prefix = AS_STR("base_model.model.");
    return as_str_starts(name, prefix) ? as_str_sub(name, prefix.n, name.n) : name;
}

static bool is_of_tower(as_str name)
{
    return g4_hf_name_of(without_prefix(name)).kind == G4_HF_OTHER;
}

static as_code cut_table_name(const reader *r, const g4_st_tensor *t, size_t at, part *out,
                              as_err *err)
{
    const as_str mark = AS_STR(".lora_embedding_");
    const as_str tail = as_str_sub(t->name, at + mark.n, t->name.n); /* "A" or "A.default" */
    const bool is_a = as_str_starts(tail, AS_STR("A"));
    if ((!is_a && !as_str_starts(tail, AS_STR("B"))) || (tail.n > 1 && tail.p[1] != '.'))
        return bad_tensor(r, t, "does not end in .lora_embedding_A or .lora_embedding_B", err);
    out->is_a = is_a;
    out->is_table = true;
    out->is_experts = false;
    out->path = as_str_sub(t->name, 0, at);
    (void)snprintf(out->partner, sizeof out->partner, "%.*s%s%c%.*s", AS_ARG(out->path), mark.p,
                   is_a ? 'B' : 'A', AS_ARG(as_str_sub(tail, 1, tail.n)));
    out->path = without_prefix(out->path);
    return AS_OK;
}

static as_code cut_name(const reader *r, const g4_st_tensor *t, part *out, as_err *err)
{
    const as_str in_a = AS_STR(".lora_A.");
    const as_str in_b = AS_STR(".lora_B.");
    const size_t at_a = as_str_rfind(t->name, in_a);
    const size_t at = at_a != SIZE_MAX ? at_a : as_str_rfind(t->name, in_b);
    const size_t at_table = as_str_rfind(t->name, AS_STR(".lora_embedding_"));
    if (at == SIZE_MAX && at_table == SIZE_MAX)
        return bad_tensor(r, t, "is no factor of LoRA (.lora_A.weight or .lora_B.weight)", err);
    if (t->name.n >= MAX_NAME)
        return as_fail(err, AS_RANGE, "%s: a tensor's name has %zu bytes, want less than %d",
                       r->a->path, t->name.n, MAX_NAME);
    if (at == SIZE_MAX)
        return cut_table_name(r, t, at_table, out, err);
    as_str tail = as_str_sub(t->name, at + in_a.n, t->name.n); /* "weight" or "default.weight" */
    as_str adapter = {0};
    as_str rest = {0};
    if (as_str_cut(tail, '.', &adapter, &rest))
        tail = rest;
    if (!as_str_eq(tail, AS_STR("weight")))
        return bad_tensor(r, t, "does not end in .lora_A.weight or .lora_B.weight", err);
    out->is_a = at_a != SIZE_MAX;
    out->is_table = false;
    out->path = as_str_sub(t->name, 0, at);
    (void)snprintf(out->partner, sizeof out->partner, "%.*s%s%.*s", AS_ARG(out->path),
                   out->is_a ? in_b.p : in_a.p,
                   AS_ARG(as_str_sub(t->name, at + in_a.n, t->name.n)));
    out->path = without_prefix(out->path);
    as_str module = out->path;
    if (as_str_ends(module, AS_STR(".base_layer")))
        module.n -= strlen(".base_layer");
    out->is_experts = as_str_ends(module, AS_STR(".experts"));
    if (out->is_experts)
        out->path = module;
    return AS_OK;
}

/* path + tail in the engine's terms; a bare text model's path lacks "model." in front. */
static g4_hf_name name_of(as_str path, const char *tail)
{
    char name[MAX_NAME + 32];
    (void)snprintf(name, sizeof name, "model.%.*s%s", AS_ARG(path), tail);
    const g4_hf_name plain = g4_hf_name_of(as_str_of(name + strlen("model.")));
    return plain.kind != G4_HF_UNKNOWN ? plain : g4_hf_name_of(as_str_of(name));
}

/* ---- pairs ----------------------------------------------------------------------------------- */

static as_code type_of(const reader *r, const g4_st_tensor *t, uint32_t *out, as_err *err)
{
    switch (t->dtype) {
    case G4_ST_F32:
        *out = G4_TYPE_F32;
        return AS_OK;
    case G4_ST_F16:
        *out = G4_TYPE_F16;
        return AS_OK;
    case G4_ST_BF16:
        *out = G4_TYPE_BF16;
        return AS_OK;
    default:
        return as_fail(err, AS_UNSUPPORTED, "%s: %.*s is of type %s, want F32, F16 or BF16",
                       r->a->path, AS_ARG(t->name), g4_st_dtype_name(t->dtype));
    }
}

static as_code check_matrix(const reader *r, const g4_st_tensor *t, as_err *err)
{
    if (t->n_dims == 2 && t->shape[0] >= 1 && t->shape[1] >= 1)
        return AS_OK;
    return bad_tensor(r, t, "is no matrix", err);
}

static as_code wrong_shape(const reader *r, const g4_st_tensor *t, int64_t rows, int64_t cols,
                           as_err *err)
{
    return as_fail(
        err, AS_RANGE,
        "%s: %.*s has shape [%lld, %lld], this model and adapter_config.json want [%lld, "
        "%lld]: the adapter is for another model or damaged",
        r->a->path, AS_ARG(t->name), (long long)t->shape[0], (long long)t->shape[1],
        (long long)rows, (long long)cols);
}

static as_code check_shape(const reader *r, const g4_st_tensor *t, int64_t rows, int64_t cols,
                           as_err *err)
{
    return t->shape[0] == rows && t->shape[1] == cols ? AS_OK : wrong_shape(r, t, rows, cols, err);
}

/* In units of the table's rows, which are multiplied by sqrt(D) together with the adapter's part. */
static as_code scale_table(const reader *r, const g4_st_tensor *t, double *scale, as_err *err)
{
    const int *v = r->config.version;
    if (v[0] == 0 && v[1] == 0 && v[2] == 0)
        return bad_tensor(
            r, t,
            "changes the embedding table, and adapter_config.json does not state "
            "\"peft_version\", which decides whether sqrt(width) multiplies the change",
            err);
    if (v[0] == 0 && v[1] < 18)
        *scale /= sqrt((double)r->a->model->config.width);
    return AS_OK;
}

static as_code add_linear(reader *r, const part *n, factors f, as_err *err)
{
    g4_pair pair = {.tensor = f.a->name};
    const g4_hf_name name = name_of(n->path, ".weight");
    if (name.kind == G4_HF_UNKNOWN)
        return bad_tensor(r, f.a, "names no matrix of a Gemma model", err);
    AS_TRY(g4_target_find(&pair.target, r->a, as_str_of(name.gguf), f.a->name, err));
    if (pair.target.is_dead)
        return AS_OK;
    if (n->is_table != (pair.target.slots[0] == G4_SLOT_EMBEDDING))
        return bad_tensor(r, f.a,
                          n->is_table ? "is for an embedding table, but its module is none"
                                      : "is for a matrix, but its module is an embedding table",
                          err);
    int64_t rank = 0;
    AS_TRY(g4_peft_module(&r->config, n->path, &rank, &pair.scale, err));
    if (n->is_table)
        AS_TRY(scale_table(r, f.a, &pair.scale, err));
    AS_TRY(g4_adapter_check_rank(r->a, f.a->name, rank, err));
    AS_TRY(check_shape(r, f.a, rank, pair.target.n_in, err));
    AS_TRY(check_shape(r, f.b, pair.target.n_out, rank, err));
    pair.rank = (int)rank;
    pair.a = (g4_factor){.data = f.a->data, .row = pair.target.n_in, .col = 1};
    pair.b = (g4_factor){.data = f.b->data, .row = rank, .col = 1};
    AS_TRY(type_of(r, f.a, &pair.a.type, err));
    AS_TRY(type_of(r, f.b, &pair.b.type, err));
    return g4_adapter_add(r->a, &pair, err);
}

/* ---- experts --------------------------------------------------------------------------------- */

/* The conventions in which the shapes fit a parameter [out, in] of each expert. */
static unsigned conventions_of(factors f, int64_t in, int64_t out)
{
    const int64_t a = f.a->shape[1];
    const int64_t b = f.b->shape[0];
    return (a == in && b == out ? (unsigned)MODERN : 0U) |
           (a == out && b == in ? (unsigned)LEGACY : 0U);
}

/* Which parameter the wrapper is for. */
static as_code identify(const reader *r, factors f, bool *is_down, unsigned *conventions,
                        as_err *err)
{
    const g4_config *c = &r->a->model->config;
    if (c->n_experts == 0)
        return bad_tensor(r, f.a, "changes experts, which this model has not", err);
    if (f.a->shape[0] % c->n_experts != 0 || f.b->shape[1] != f.a->shape[0])
        return as_fail(err, AS_RANGE,
                       "%s: %.*s has %lld rows and its partner %lld columns, want %d times the "
                       "rank: the adapter is for another model",
                       r->a->path, AS_ARG(f.a->name), (long long)f.a->shape[0],
                       (long long)f.b->shape[1], c->n_experts);
    const unsigned down = conventions_of(f, c->expert_ff, c->width);
    const unsigned gate_up = conventions_of(f, c->width, 2 * (int64_t)c->expert_ff);
    if (down == 0 && gate_up == 0)
        return as_fail(
            err, AS_RANGE,
            "%s: %.*s and its partner are for %lld and %lld elements, which fits neither "
            "gate_up_proj nor down_proj of this model",
            r->a->path, AS_ARG(f.a->name), (long long)f.a->shape[1], (long long)f.b->shape[0]);
    *is_down = down != 0;
    *conventions = down != 0 ? down : gate_up;
    return AS_OK;
}

static as_code add_experts(reader *r, const part *n, factors f, as_err *err)
{
    g4_pair pair = {.tensor = f.a->name};
    bool is_down = false;
    unsigned conventions = 0;
    AS_TRY(identify(r, f, &is_down, &conventions, err));
    const char *tail = is_down ? ".down_proj" : ".gate_up_proj";
    const g4_hf_name name = name_of(n->path, tail);
    if (name.kind != G4_HF_OURS)
        return bad_tensor(r, f.a, "names no experts of a Gemma model", err);
    AS_TRY(g4_target_find(&pair.target, r->a, as_str_of(name.gguf), f.a->name, err));
    char parameter[MAX_NAME + 32];
    (void)snprintf(parameter, sizeof parameter, "%.*s%s", AS_ARG(n->path), tail);
    const int64_t E = pair.target.n_mats;
    int64_t rank = 0;
    AS_TRY(g4_peft_module(&r->config, as_str_of(parameter), &rank, &pair.scale, err));
    AS_TRY(g4_adapter_check_rank(r->a, f.a->name, rank, err));
    AS_TRY(check_shape(r, f.a, E * rank, f.a->shape[1], err));
    /* element (e, k, i) of the file's A, element (e, o, k) of its B */
    const g4_factor a = {
        .data = f.a->data, .mat = rank * f.a->shape[1], .row = f.a->shape[1], .col = 1};
    const g4_factor b = {.data = f.b->data, .mat = 1, .row = E * rank, .col = E};
    pair.rank = (int)rank;
    pair.a = a;
    pair.b = b;
    AS_TRY(type_of(r, f.a, &pair.a.type, err));
    AS_TRY(type_of(r, f.b, &pair.b.type, err));
    if (r->conventions == LEGACY) {
        const g4_factor was_a = pair.a;
        pair.a = pair.b;
        pair.b = was_a;
        pair.a.row = b.col;
        pair.a.col = b.row;
        pair.b.row = a.col;
        pair.b.col = a.row;
    }
    return g4_adapter_add(r->a, &pair, err);
}

/* ---- the file -------------------------------------------------------------------------------- */

typedef as_code (*see_pair)(reader *r, const part *n, factors f, as_err *err);

static as_code each_pair(reader *r, see_pair see, as_err *err)
{
    for (size_t i = 0; i < g4_safetensors_n(r->file); i++) {
        const g4_st_tensor *t = g4_safetensors_at(r->file, i);
        part n;
        if (is_of_tower(t->name))
            continue;
        AS_TRY(cut_name(r, t, &n, err));
        const g4_st_tensor *other = g4_safetensors_find(r->file, as_str_of(n.partner));
        if (other == NULL)
            return as_fail(err, AS_RANGE, "%s: %.*s has no partner %s", r->a->path, AS_ARG(t->name),
                           n.partner);
        if (!n.is_a)
            continue;
        AS_TRY(check_matrix(r, t, err));
        AS_TRY(check_matrix(r, other, err));
        AS_TRY(see(r, &n, (factors){.a = t, .b = other}, err));
    }
    return AS_OK;
}

static as_code see_conventions(reader *r, const part *n, factors f, as_err *err)
{
    bool is_down = false;
    unsigned conventions = 0;
    if (!n->is_experts)
        return AS_OK;
    AS_TRY(identify(r, f, &is_down, &conventions, err));
    r->conventions &= conventions;
    r->experts = f.a;
    return AS_OK;
}

static as_code add_pair(reader *r, const part *n, factors f, as_err *err)
{
    return n->is_experts ? add_experts(r, n, f, err) : add_linear(r, n, f, err);
}

/* One convention for the whole file. */
static as_code choose_convention(reader *r, as_err *err)
{
    r->conventions = MODERN | LEGACY;
    AS_TRY(each_pair(r, see_conventions, err));
    if (r->conventions == 0)
        return as_fail(err, AS_RANGE, "%s: its expert tensors follow two conventions of shape",
                       r->a->path);
    if (r->conventions != (MODERN | LEGACY) || r->experts == NULL)
        return AS_OK;
    const int *v = r->config.version;
    if (v[0] == 0 && v[1] == 0 && v[2] == 0)
        return bad_tensor(r, r->experts,
                          "fits two conventions of shape, and adapter_config.json does not state "
                          "\"peft_version\", which would decide",
                          err);
    const int modern[3] = {0, 19, 1};
    int order = 0;
    for (int i = 0; i < 3 && order == 0; i++)
        order = v[i] - modern[i];
    r->conventions = order >= 0 ? MODERN : LEGACY;
    return AS_OK;
}

static as_code read_folder(reader *r, const char *config, const char *tensors, as_err *err)
{
    AS_TRY(g4_peft_config_open(&r->config, config, err));
    if (!as_file_exists(tensors))
        return as_fail(err, AS_IO,
                       "%s: has no adapter_model.safetensors (adapter_model.bin is not read; save "
                       "the adapter as safetensors)",
                       r->a->path);
    AS_TRY(g4_safetensors_open(&r->file, tensors, err));
    g4_adapter_limit(r->a, g4_safetensors_file_bytes(r->file));
    AS_TRY(choose_convention(r, err));
    return each_pair(r, add_pair, err);
}

as_code g4_adapter_read_peft(g4_adapter *a, as_err *err)
{
    reader r = {.a = a};
    const char *config = as_path_join(&a->keep, a->path, "adapter_config.json");
    const char *tensors = as_path_join(&a->keep, a->path, "adapter_model.safetensors");
    if (config == NULL || tensors == NULL)
        return as_nomem(err);
    const as_code code = read_folder(&r, config, tensors, err);
    g4_safetensors_close(r.file);
    g4_peft_config_release(&r.config);
    return code;
}
