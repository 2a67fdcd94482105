/*
 * adapter_gguf.c — adapters as llama.cpp's converter writes them.
 *
 * Metadata   general.type "adapter", general.architecture the model's, adapter.type "lora",
 *            adapter.lora.alpha (0: strength 1 whatever the rank).
 * Tensors    the model's full name, then .lora_a with ne {in, rank} or .lora_b with {rank, out};
 *            for experts {in, rank, E} and {rank, out, E}; for token_embd A is transposed: {rank, V}.
 * Refused    activated LoRA (adapter.alora.*), which counts from an invocation on only.
 */
#include <math.h>
#include <stdio.h>

#include "engine/adapter.h"
#include "engine/session_impl.h"

typedef struct reader {
    g4_adapter *a;
    g4_gguf *f;
    double alpha;
} reader;

static as_code want_text(const reader *r, const char *key, as_str want, as_err *err)
{
    as_str got = {0};
    AS_TRY(g4_gguf_need_str(r->f, key, &got, err));
    if (as_str_eq(got, want))
        return AS_OK;
    return as_fail(err, AS_RANGE, "%s: %s is \"%.*s\", want \"%.*s\"", r->a->path, key, AS_ARG(got),
                   AS_ARG(want));
}

static as_code read_metadata(reader *r, as_err *err)
{
    AS_TRY(want_text(r, "general.type", AS_STR("adapter"), err));
    AS_TRY(want_text(r, "general.architecture", r->a->model->info.architecture, err));
    AS_TRY(want_text(r, "adapter.type", AS_STR("lora"), err));
    if (g4_gguf_find(r->f, "adapter.alora.invocation_tokens") != NULL)
        return as_fail(err, AS_UNSUPPORTED,
                       "%s: is an activated LoRA (adapter.alora.invocation_tokens), which this "
                       "engine does not run",
                       r->a->path);
    float alpha = 0;
    AS_TRY(g4_gguf_need_f32(r->f, "adapter.lora.alpha", &alpha, err));
    if (!isfinite(alpha))
        return as_fail(err, AS_RANGE, "%s: adapter.lora.alpha is not finite", r->a->path);
    r->alpha = (double)alpha;
    as_str name = {0};
    AS_TRY(g4_gguf_opt_str(r->f, "general.name", (as_str){0}, &name, err));
    if (name.n == 0)
        return AS_OK;
    r->a->info.name = as_arena_str(&r->a->keep, name);
    return r->a->info.name.p != NULL ? AS_OK : as_nomem(err);
}

static as_code check_type(const reader *r, const g4_tensor *t, as_err *err)
{
    if (t->type == G4_TYPE_F32 || t->type == G4_TYPE_F16 || t->type == G4_TYPE_BF16)
        return AS_OK;
    const g4_type_info *info = g4_type_find(t->type);
    return as_fail(err, AS_UNSUPPORTED, "%s: %.*s is of type %s, want F32, F16 or BF16", r->a->path,
                   AS_ARG(t->name), info != NULL ? info->name : "unknown");
}

static as_code check_shape(const reader *r, const g4_tensor *t, int64_t n0, int64_t n1,
                           int64_t mats, as_err *err)
{
    if (t->ne[0] == n0 && t->ne[1] == n1 && t->ne[2] == mats && t->ne[3] == 1)
        return AS_OK;
    return as_fail(err, AS_RANGE,
                   "%s: %.*s has shape {%lld, %lld, %lld, %lld}, this model wants {%lld, %lld, "
                   "%lld, 1}: the adapter is for another model",
                   r->a->path, AS_ARG(t->name), (long long)t->ne[0], (long long)t->ne[1],
                   (long long)t->ne[2], (long long)t->ne[3], (long long)n0, (long long)n1,
                   (long long)mats);
}

static g4_factor factor_of(const g4_tensor *t)
{
    return (g4_factor){
        .data = t->data, .type = t->type, .mat = t->ne[0] * t->ne[1], .row = t->ne[0], .col = 1};
}

/* base: the name of the model's tensor. */
static as_code add_pair(const reader *r, as_str base, const g4_tensor *a, const g4_tensor *b,
                        as_err *err)
{
    g4_pair pair = {.tensor = a->name};
    AS_TRY(g4_target_find(&pair.target, r->a, base, a->name, err));
    if (pair.target.is_dead)
        return AS_OK;
    AS_TRY(check_type(r, a, err));
    AS_TRY(check_type(r, b, err));
    const int64_t rank = b->ne[0];
    AS_TRY(g4_adapter_check_rank(r->a, b->name, rank, err));
    const bool is_table = pair.target.slots[0] == G4_SLOT_EMBEDDING;
    const int64_t rank_of_a = a->ne[is_table ? 0 : 1];
    if (rank_of_a != rank)
        return as_fail(err, AS_RANGE, "%s: %.*s has rank %lld, its partner %lld", r->a->path,
                       AS_ARG(a->name), (long long)rank_of_a, (long long)rank);
    AS_TRY(check_shape(r, a, is_table ? rank : pair.target.n_in, is_table ? pair.target.n_in : rank,
                       pair.target.n_mats, err));
    AS_TRY(check_shape(r, b, rank, pair.target.n_out, pair.target.n_mats, err));
    pair.rank = (int)rank;
    pair.scale = r->alpha < 0 || r->alpha > 0 ? r->alpha / (double)rank : 1;
    pair.a = factor_of(a);
    pair.b = factor_of(b);
    if (is_table) {
        pair.a.row = 1;
        pair.a.col = rank;
    }
    return g4_adapter_add(r->a, &pair, err);
}

static as_code read_tensor(const reader *r, const g4_tensor *t, as_err *err)
{
    const as_str of_a = AS_STR(".lora_a");
    const as_str of_b = AS_STR(".lora_b");
    const bool is_a = as_str_ends(t->name, of_a);
    if (!is_a && !as_str_ends(t->name, of_b))
        return as_fail(err, AS_UNSUPPORTED, "%s: %.*s is neither .lora_a nor .lora_b", r->a->path,
                       AS_ARG(t->name));
    const as_str base = as_str_sub(t->name, 0, t->name.n - of_a.n);
    char partner[80]; /* names have 63 bytes at most */
    (void)snprintf(partner, sizeof partner, "%.*s%s", AS_ARG(base), is_a ? of_b.p : of_a.p);
    const g4_tensor *other = g4_gguf_find_tensor(r->f, partner);
    if (other == NULL)
        return as_fail(err, AS_RANGE, "%s: %.*s has no partner %s", r->a->path, AS_ARG(t->name),
                       partner);
    return is_a ? add_pair(r, base, t, other, err) : AS_OK;
}

/* The container lets tensors share bytes; what is read may not exceed the file. */
static as_code check_bytes(const reader *r, as_err *err)
{
    const int64_t have = g4_gguf_file_bytes(r->f);
    int64_t left = have;
    for (size_t i = 0; i < g4_gguf_n_tensors(r->f); i++) {
        const size_t bytes = g4_gguf_tensor(r->f, i)->bytes;
        if (bytes > (size_t)left)
            return as_fail(err, AS_RANGE, "%s: its tensors overlap", r->a->path);
        left -= (int64_t)bytes;
    }
    g4_adapter_limit(r->a, have);
    return AS_OK;
}

static as_code read_file(reader *r, as_err *err)
{
    AS_TRY(read_metadata(r, err));
    AS_TRY(check_bytes(r, err));
    for (size_t i = 0; i < g4_gguf_n_tensors(r->f); i++)
        AS_TRY(read_tensor(r, g4_gguf_tensor(r->f, i), err));
    return AS_OK;
}

as_code g4_adapter_read_gguf(g4_adapter *a, as_err *err)
{
    reader r = {.a = a};
    AS_TRY(g4_gguf_open(&r.f, a->path, err));
    const as_code code = read_file(&r, err);
    g4_gguf_close(r.f);
    return code;
}
