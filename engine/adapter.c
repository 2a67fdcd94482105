#include "engine/adapter.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "engine/session_impl.h"

/* ---- which matrices -------------------------------------------------------------------------- */

typedef struct entry {
    const char *name; /* behind "blk.N." for those of a layer */
    g4_slot slots[2]; /* the second G4_SLOT_NONE: one only */
} entry;

static const entry layer_entries[] = {
    {"attn_q.weight", {G4_SLOT_Q}},
    {"attn_k.weight", {G4_SLOT_K}},
    {"attn_v.weight", {G4_SLOT_V}},
    {"attn_output.weight", {G4_SLOT_O}},
    {"ffn_gate.weight", {G4_SLOT_GATE}},
    {"ffn_up.weight", {G4_SLOT_UP}},
    {"ffn_down.weight", {G4_SLOT_DOWN}},
    {"ffn_gate_up_exps.weight", {G4_SLOT_EXPERT_GATE, G4_SLOT_EXPERT_UP}},
    {"ffn_gate_exps.weight", {G4_SLOT_EXPERT_GATE}},
    {"ffn_up_exps.weight", {G4_SLOT_EXPERT_UP}},
    {"ffn_down_exps.weight", {G4_SLOT_EXPERT_DOWN}},
    {"inp_gate.weight", {G4_SLOT_PLE_GATE}},
    {"proj.weight", {G4_SLOT_PLE_UP}},
};

static const entry model_entries[] = {
    {"per_layer_model_proj.weight", {G4_SLOT_PLE_MODEL_PROJ}},
    {"output.weight", {G4_SLOT_HEAD}},
    {"token_embd.weight", {G4_SLOT_EMBEDDING}},
};

/* Tensors that models have and adapters may not change here, and why. */
static const struct {
    const char *name, *why;
} refused[] = {
    {"per_layer_token_embd.weight",
     "changes the per-layer embedding table, which this engine does not adapt"},
    {"ffn_gate_inp.weight", "changes the router, which this engine keeps frozen"},
    {"ffn_gate_inp.scale", "changes the router, which this engine keeps frozen"},
    {"ffn_down_exps.scale", "changes the experts' scales, which this engine keeps frozen"},
};

static const g4_matrix *matrix_at(const g4_model *m, int layer, g4_slot slot)
{
    const g4_weights *w = &m->weights;
    const g4_layer_weights *lw = layer >= 0 ? &w->layers[layer] : NULL;
    switch (slot) {
    case G4_SLOT_Q:
        return &lw->q;
    case G4_SLOT_K:
        return &lw->k;
    case G4_SLOT_V:
        return &lw->v;
    case G4_SLOT_O:
        return &lw->o;
    case G4_SLOT_GATE:
        return &lw->gate;
    case G4_SLOT_UP:
        return &lw->up;
    case G4_SLOT_DOWN:
        return &lw->down;
    case G4_SLOT_EXPERT_GATE:
        return &lw->expert_gate;
    case G4_SLOT_EXPERT_UP:
        return &lw->expert_up;
    case G4_SLOT_EXPERT_DOWN:
        return &lw->expert_down;
    case G4_SLOT_PLE_GATE:
        return &lw->ple_gate;
    case G4_SLOT_PLE_UP:
        return &lw->ple_up;
    case G4_SLOT_PLE_MODEL_PROJ:
        return &w->ple_model_proj;
    case G4_SLOT_HEAD:
        return &w->head;
    case G4_SLOT_EMBEDDING:
        return &w->embedding;
    case G4_SLOT_NONE:
    case G4_SLOT_END:
        break;
    }
    assert(false);
    return NULL;
}

/* "blk.7.attn_q.weight" → 7 and the rest; *layer -1 for other names. False: no such layer. */
static bool cut_layer(as_str name, int n_layers, int *layer, as_str *tail)
{
    *layer = -1;
    *tail = name;
    if (!as_str_starts(name, AS_STR("blk.")))
        return true;
    as_str number = {0};
    int64_t i = 0;
    if (!as_str_cut(as_str_sub(name, 4, name.n), '.', &number, tail) ||
        !as_parse_i64(number, 0, n_layers - 1, &i))
        return false;
    *layer = (int)i;
    return true;
}

static const entry *find_entry(int layer, as_str tail)
{
    const entry *table = layer < 0 ? model_entries : layer_entries;
    const size_t n = layer < 0 ? sizeof model_entries / sizeof model_entries[0]
                               : sizeof layer_entries / sizeof layer_entries[0];
    for (size_t i = 0; i < n; i++)
        if (as_str_eq_z(tail, table[i].name))
            return &table[i];
    return NULL;
}

static as_code refuse_name(const g4_adapter *a, as_str tail, as_str tensor, as_err *err)
{
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        if (as_str_eq_z(tail, refused[i].name))
            return as_fail(err, AS_UNSUPPORTED, "%s: %.*s %s", a->path, AS_ARG(tensor),
                           refused[i].why);
    if (as_str_find(tail, AS_STR("norm")) != SIZE_MAX)
        return as_fail(err, AS_UNSUPPORTED,
                       "%s: %.*s changes a norm, which this engine does not adapt", a->path,
                       AS_ARG(tensor));
    return as_fail(err, AS_RANGE, "%s: %.*s names no matrix of a %s model", a->path, AS_ARG(tensor),
                   a->model->config.arch == G4_GEMMA3 ? "gemma3" : "gemma4");
}

as_code g4_target_find(g4_target *out, const g4_adapter *a, as_str name, as_str tensor, as_err *err)
{
    const g4_model *m = a->model;
    g4_target t = {.layer = -1};
    as_str tail = {0};
    if (!cut_layer(name, m->config.n_layers, &t.layer, &tail))
        return as_fail(err, AS_RANGE,
                       "%s: %.*s is of a layer this model has not (it has %d): the adapter is for "
                       "another model",
                       a->path, AS_ARG(tensor), m->config.n_layers);
    const entry *e = find_entry(t.layer, tail);
    if (e == NULL)
        return refuse_name(a, tail, tensor, err);
    if (t.layer >= 0 && !m->config.layers[t.layer].owns_kv &&
        (e->slots[0] == G4_SLOT_K || e->slots[0] == G4_SLOT_V))
        t.is_dead = true;
    for (int i = 0; i < 2 && e->slots[i] != G4_SLOT_NONE && !t.is_dead; i++) {
        const g4_matrix *w = matrix_at(m, t.layer, e->slots[i]);
        if (w->data == NULL)
            return as_fail(err, AS_RANGE,
                           "%s: %.*s changes a matrix this model has not: the adapter is for "
                           "another model",
                           a->path, AS_ARG(tensor));
        /* A table takes a token's number and gives a row. */
        const bool is_table = e->slots[i] == G4_SLOT_EMBEDDING;
        t.slots[t.n_slots++] = e->slots[i];
        t.n_in = is_table ? w->n_out : w->n_in;
        t.n_out += is_table ? w->n_in : w->n_out;
        t.n_mats = w->n_mats;
    }
    *out = t;
    return AS_OK;
}

as_code g4_adapter_check_rank(const g4_adapter *a, as_str tensor, int64_t rank, as_err *err)
{
    if (rank >= 1 && rank <= G4_MAX_RANK)
        return AS_OK;
    return as_fail(err, AS_RANGE, "%s: %.*s has rank %lld, want 1 to %d", a->path, AS_ARG(tensor),
                   (long long)rank, G4_MAX_RANK);
}

/* Halves become twice as long; the arena may leave as much again unused at the ends of its chunks. */
void g4_adapter_limit(g4_adapter *a, int64_t file_bytes)
{
    const size_t slack = (size_t)2 << 20;
    const size_t n = (size_t)file_bytes;
    a->keep.limit_bytes =
        n < (SIZE_MAX - slack) / 8 ? a->keep.held_bytes + 4 * n + slack : SIZE_MAX;
}

/* ---- copying the factors --------------------------------------------------------------------- */

static g4_lora *lora_at(const g4_adapter *a, int layer, g4_slot slot)
{
    const int row = slot >= G4_SLOT_PLE_MODEL_PROJ ? a->model->config.n_layers : layer;
    return &a->loras[(size_t)row * G4_SLOT_END + slot];
}

const g4_lora *g4_adapter_lora(const g4_adapter *a, int layer, g4_slot slot)
{
    return lora_at(a, layer, slot);
}

static float element(const g4_factor *f, int64_t mat, int64_t row, int64_t col)
{
    const int64_t at = mat * f->mat + row * f->row + col * f->col;
    float v = 0;
    if (f->type == G4_TYPE_F32) {
        memcpy(&v, f->data + at * 4, sizeof v);
        return v;
    }
    k_dequant_ref(&v, f->type, f->data + at * 2, 1);
    return v;
}

/* Returns false at an infinity or NaN. */
static bool copy_a(float *out, const g4_pair *p)
{
    bool is_finite = true;
    for (int e = 0; e < p->target.n_mats; e++)
        for (int k = 0; k < p->rank; k++)
            for (int i = 0; i < p->target.n_in; i++) {
                const float v = element(&p->a, e, k, i);
                is_finite = is_finite && isfinite(v);
                *out++ = v;
            }
    return is_finite;
}

/* The factors of a token side by side. */
static bool copy_table(float *out, const g4_pair *p)
{
    bool is_finite = true;
    for (int token = 0; token < p->target.n_in; token++)
        for (int k = 0; k < p->rank; k++) {
            const float v = element(&p->a, 0, k, token);
            is_finite = is_finite && isfinite(v);
            *out++ = v;
        }
    return is_finite;
}

/* Rows [from, from + n_out) of B, in panels. */
static bool copy_b(float *out, const g4_pair *p, int from, int n_out)
{
    bool is_finite = true;
    for (int e = 0; e < p->target.n_mats; e++)
        for (int o = 0; o < n_out; o += G4_PANEL) {
            const int width = n_out - o < G4_PANEL ? n_out - o : G4_PANEL;
            for (int k = 0; k < p->rank; k++)
                for (int i = 0; i < width; i++) {
                    const float v = element(&p->b, e, from + o + i, k);
                    is_finite = is_finite && isfinite(v);
                    *out++ = v;
                }
        }
    return is_finite;
}

static void count(g4_adapter *a, const g4_pair *p)
{
    g4_adapter_info *info = &a->info;
    info->n_matrices += p->target.n_slots;
    if (info->rank_min == 0 || p->rank < info->rank_min)
        info->rank_min = p->rank;
    if (p->rank > info->rank_max)
        info->rank_max = p->rank;
    const int64_t n =
        (int64_t)p->target.n_mats * p->rank * ((int64_t)p->target.n_in + p->target.n_out);
    info->n_params += n;
    info->bytes += n * (int64_t)sizeof(float);
}

as_code g4_adapter_add(g4_adapter *a, const g4_pair *p, as_err *err)
{
    const g4_target *t = &p->target;
    const size_t thin = (size_t)t->n_mats * (size_t)p->rank;
    if (!isfinite((float)p->scale))
        return as_fail(err, AS_RANGE, "%s: %.*s has a strength (alpha over rank) of %g", a->path,
                       AS_ARG(p->tensor), p->scale);
    float *fa = as_arena_alloc_n(&a->keep, thin * (size_t)t->n_in, sizeof *fa, K_ALIGN);
    if (fa == NULL)
        return as_nomem(err);
    const bool is_table = t->slots[0] == G4_SLOT_EMBEDDING;
    bool is_finite = is_table ? copy_table(fa, p) : copy_a(fa, p);
    int from = 0;
    for (int i = 0; i < t->n_slots; i++) {
        const int n_out = is_table ? t->n_out : matrix_at(a->model, t->layer, t->slots[i])->n_out;
        g4_lora *l = lora_at(a, t->layer, t->slots[i]);
        if (l->a != NULL)
            return as_fail(err, AS_RANGE, "%s: %.*s changes a matrix a second time", a->path,
                           AS_ARG(p->tensor));
        float *fb = as_arena_alloc_n(&a->keep, thin * (size_t)n_out, sizeof *fb, K_ALIGN);
        if (fb == NULL)
            return as_nomem(err);
        is_finite = copy_b(fb, p, from, n_out) && is_finite;
        from += n_out;
        *l = (g4_lora){.a = fa,
                       .b = fb,
                       .rank = p->rank,
                       .n_in = t->n_in,
                       .n_out = n_out,
                       .scale = (float)p->scale};
    }
    if (!is_finite)
        return as_fail(err, AS_RANGE,
                       "%s: %.*s or its partner holds an infinity or NaN: the training diverged, "
                       "or the file is damaged",
                       a->path, AS_ARG(p->tensor));
    count(a, p);
    return AS_OK;
}

/* ---- life ------------------------------------------------------------------------------------ */

static as_code read_adapter(g4_adapter *a, const char *path, as_err *err)
{
    const as_str kept = as_arena_str(&a->keep, as_str_of(path));
    const size_t n = ((size_t)a->model->config.n_layers + 1) * G4_SLOT_END;
    a->loras = as_new(&a->keep, g4_lora, n);
    if (kept.p == NULL || a->loras == NULL)
        return as_nomem(err);
    a->path = kept.p;
    a->info.name = as_str_of(as_path_base(a->path));
    AS_TRY(as_is_dir(path) ? g4_adapter_read_peft(a, err) : g4_adapter_read_gguf(a, err));
    if (a->info.n_matrices == 0)
        return as_fail(err, AS_RANGE, "%s: holds nothing that changes this model", path);
    return AS_OK;
}

as_code g4_adapter_open(g4_adapter **out, const g4_model *m, const char *path, as_err *err)
{
    *out = NULL;
    if (!m->has_weights)
        return as_fail(err, AS_UNSUPPORTED,
                       "%s: the model was opened without weights; open it with them", path);
    g4_adapter *a = calloc(1, sizeof *a);
    if (a == NULL)
        return as_nomem(err);
    a->model = m;
    as_arena_init(&a->keep, SIZE_MAX); /* the readers hold it to the size of the file */
    const as_code code = read_adapter(a, path, err);
    if (code != AS_OK) {
        g4_adapter_close(a);
        return code;
    }
    *out = a;
    return AS_OK;
}

void g4_adapter_close(g4_adapter *a)
{
    if (a == NULL)
        return;
    as_arena_release(&a->keep);
    free(a);
}

const g4_adapter_info *g4_adapter_info_of(const g4_adapter *a)
{
    return &a->info;
}

void g4_adapter_spec(as_str spec, as_str *path, double *scale)
{
    *path = spec;
    *scale = 1;
    for (size_t i = spec.n; i > 1; i--)
        if (spec.p[i - 1] == ':') {
            if (as_parse_f64(as_str_sub(spec, i, spec.n), scale))
                path->n = i - 1;
            return;
        }
}
