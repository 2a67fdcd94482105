/* g4_quantize: a whole file, tensor after tensor, rows in parallel. */
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "engine/complete.h"
#include "engine/config.h"
#include "engine/engine.h"
#include "engine/gguf_write.h"
#include "engine/hf_model.h"
#include "engine/kernels/ops.h"
#include "engine/quantize/encode.h"
#include "engine/quantize/recipe.h"
#include "engine/show.h"
#include "engine/team.h"

enum { CHUNK_BYTES = 32 << 20, GRAIN_ELEMENTS = 1 << 15 };

#define LARGEST_VALUE 65504.0F /* of an f16, which scales are kept in */

typedef struct work {
    g4_hf *folder; /* NULL: file is ours */
    const g4_gguf *file;
    as_arena keep;
    g4_config config;
    const g4_recipe *recipe;
    g4_tensor *out; /* as they will be written: [n] */
    size_t n;
    g4_team *team;
    const k_ops *ops;
    float *rows;    /* [threads, widest row] */
    size_t row_len; /* floats of one thread */
    uint8_t *chunk;
    /* the chunk at work */
    const g4_tensor *from, *to;
    int64_t first_row;
    atomic_bool is_bad;
} work;

static as_code open_source(work *w, const char *path, as_err *err)
{
    if (g4_hf_is_folder(path)) {
        AS_TRY(g4_hf_open(&w->folder, path, &(g4_hf_options){.is_for_file = true}, err));
        w->file = g4_hf_file(w->folder);
        return AS_OK;
    }
    g4_gguf *f = NULL;
    AS_TRY(g4_gguf_open(&f, path, err));
    w->file = f;
    return AS_OK;
}

static void close_source(work *w)
{
    union {
        const g4_gguf *in;
        g4_gguf *out;
    } f = {w->file};
    if (w->folder != NULL)
        g4_hf_close(w->folder);
    else
        g4_gguf_close(f.out);
}

/* ---- the table of tensors -------------------------------------------------------------------- */

static as_code plan_tensor(work *w, const g4_recipe_model *m, const g4_tensor *t, g4_tensor *out,
                           as_err *err)
{
    *out = *t;
    out->type = (g4_type)g4_recipe_type(w->recipe, m, t);
    if (out->type == t->type)
        return AS_OK;
    if (k_type_info_of((uint32_t)t->type) == NULL || t->ne[0] > INT32_MAX)
        return as_fail(err, AS_UNSUPPORTED,
                       "%s: tensor %s is of type %s, which cannot be read here",
                       g4_gguf_path(w->file), g4_show(t->name).z, g4_type_find(t->type)->name);
    (void)g4_type_row_bytes(out->type, t->ne[0], &out->row_bytes);
    out->bytes = out->row_bytes * (size_t)(t->n_elements / t->ne[0]);
    if ((size_t)t->ne[0] > w->row_len)
        w->row_len = (size_t)t->ne[0];
    return AS_OK;
}

static as_code plan(work *w, as_err *err)
{
    const g4_recipe_model m = g4_recipe_model_of(w->file, &w->config);
    w->n = g4_gguf_n_tensors(w->file);
    w->out = as_new(&w->keep, g4_tensor, w->n);
    if (w->out == NULL)
        return as_nomem(err);
    for (size_t i = 0; i < w->n; i++)
        AS_TRY(plan_tensor(w, &m, g4_gguf_tensor(w->file, i), &w->out[i], err));
    return AS_OK;
}

/* Everything but what describes the old file alone. */
static void copy_values(const work *w, g4_gguf_values *v)
{
    static const char *const own[] = {"general.file_type", "general.quantization_version",
                                      "general.alignment", "split.no",
                                      "split.count",       "split.tensors.count"};
    for (size_t i = 0; i < g4_gguf_n_values(w->file); i++) {
        const g4_value *value = g4_gguf_value(w->file, i);
        bool is_own = false;
        for (size_t k = 0; k < sizeof own / sizeof own[0]; k++)
            is_own = is_own || as_str_eq_z(value->key, own[k]);
        if (!is_own)
            g4_gguf_put_value(v, value);
    }
    g4_gguf_put_u32(v, "general.quantization_version", 2);
    g4_gguf_put_u32(v, "general.file_type", w->recipe->file_type);
}

/* ---- rows ------------------------------------------------------------------------------------ */

static bool is_sound(const float *x, int n)
{
    bool is = true;
    for (int i = 0; i < n; i++)
        is = is && x[i] >= -LARGEST_VALUE && x[i] <= LARGEST_VALUE; /* false for NaN too */
    return is;
}

static void encode_rows(void *user, int thread, int64_t begin, int64_t end)
{
    work *w = user;
    const int n = (int)w->from->ne[0];
    float *x = w->rows + (size_t)thread * w->row_len;
    for (int64_t r = begin; r < end; r++) {
        const uint8_t *row = w->from->data + (size_t)(w->first_row + r) * w->from->row_bytes;
        w->ops->dequant(x, (uint32_t)w->from->type, row, n);
        if (w->to->type != G4_TYPE_F32 && !is_sound(x, n)) {
            atomic_store(&w->is_bad, true);
            return;
        }
        g4_encode_row(w->chunk + (size_t)r * w->to->row_bytes, (uint32_t)w->to->type, x, n);
    }
}

static as_code fill(void *user, size_t i, g4_gguf_sink *sink, as_err *err)
{
    work *w = user;
    w->from = g4_gguf_tensor(w->file, i);
    w->to = &w->out[i];
    if (w->from->type == w->to->type)
        return g4_gguf_sink_add(sink, w->from->data, w->from->bytes, err);
    const int64_t n_rows = w->from->n_elements / w->from->ne[0];
    const int64_t fit = (int64_t)(CHUNK_BYTES / w->to->row_bytes);
    const int64_t grain = GRAIN_ELEMENTS / w->from->ne[0];
    for (w->first_row = 0; w->first_row < n_rows;) {
        const int64_t left = n_rows - w->first_row;
        const int64_t n = left < fit ? left : fit;
        g4_team_run(w->team, n, grain > 0 ? grain : 1, encode_rows, w);
        if (atomic_load(&w->is_bad))
            return as_fail(err, AS_RANGE,
                           "%s: tensor %s holds a NaN, an infinity or a value beyond 65,504, which "
                           "%s cannot hold",
                           g4_gguf_path(w->file), g4_show(w->from->name).z, w->recipe->name);
        AS_TRY(g4_gguf_sink_add(sink, w->chunk, (size_t)n * w->to->row_bytes, err));
        w->first_row += n;
    }
    return AS_OK;
}

/* ---- whole ----------------------------------------------------------------------------------- */

static as_code write_file(work *w, const char *path, int n_threads, as_err *err)
{
    for (size_t i = 0; i < w->n; i++)
        if (w->out[i].row_bytes > CHUNK_BYTES)
            return as_fail(err, AS_RANGE, "%s: tensor %s has rows of %s bytes, too long",
                           g4_gguf_path(w->file), g4_show(w->out[i].name).z,
                           g4_show_count(w->out[i].row_bytes).z);
    w->ops = k_ops_best();
    w->team = g4_team_new(n_threads);
    w->chunk = malloc(CHUNK_BYTES);
    w->row_len = (w->row_len + K_ALIGN) / K_ALIGN * K_ALIGN;
    if (w->team != NULL)
        w->rows = as_arena_alloc_n(&w->keep, w->row_len * (size_t)g4_team_size(w->team),
                                   sizeof *w->rows, K_ALIGN);
    if (w->team == NULL || w->chunk == NULL || w->rows == NULL)
        return as_nomem(err);
    g4_gguf_values v;
    g4_gguf_values_init(&v, (size_t)1 << 31);
    copy_values(w, &v);
    const as_code c = g4_gguf_write(path, &v, w->out, w->n, fill, w, err);
    g4_gguf_values_release(&v);
    return c;
}

as_code g4_quantize(const char *in_path, const char *out_path, const char *recipe, int n_threads,
                    as_err *err)
{
    work w = {.recipe = g4_recipe_find(recipe)};
    if (w.recipe == NULL)
        return as_fail(err, AS_RANGE,
                       "no recipe \"%s\"; there are F32 F16 BF16 Q8_0 Q4_0 Q4_1 Q5_0 Q5_1 Q2_K "
                       "Q3_K_S Q3_K_M Q3_K_L Q4_K_S Q4_K_M Q5_K_S Q5_K_M Q6_K IQ4_NL",
                       g4_show(as_str_of(recipe)).z);
    as_arena_init(&w.keep, 0);
    as_code c = open_source(&w, in_path, err);
    if (c == AS_OK)
        c = g4_check_complete(w.file, err);
    if (c == AS_OK)
        c = g4_config_read(&w.config, w.file, &w.keep, err);
    if (c == AS_OK)
        c = plan(&w, err);
    if (c == AS_OK)
        c = write_file(&w, out_path, n_threads, err);
    close_source(&w);
    g4_team_free(w.team);
    free(w.chunk);
    as_arena_release(&w.keep);
    return c;
}

const char *g4_recipe_at(int i)
{
    const g4_recipe *r = g4_recipe_nth(i);
    return r != NULL ? r->name : NULL;
}
