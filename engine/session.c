/* session.c — buffers, sequences and the checks in front of g4_forward. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/time.h"
#include "engine/adapt.h"
#include "engine/plan.h"

enum {
    DEFAULT_BATCH = 256,
    MAX_BATCH = 1 << 14,
    MAX_SEQS = 1 << 12,
    MAX_THREADS = 256,
};

/* ---- options and memory ---------------------------------------------------------------------- */

static as_code check_option(const char *name, int value, int max, as_err *err)
{
    if (value < 0 || value > max)
        return as_fail(err, AS_RANGE, "session: %s is %d, want 0 (default) to %d", name, value,
                       max);
    return AS_OK;
}

/* Which kind of cache, and whether the model's heads go into its blocks. */
static as_code fill_kv(g4_session_options *o, const g4_model *m, as_err *err)
{
    if (o->kv < G4_KV_DEFAULT || o->kv > G4_KV_Q8_0)
        return as_fail(err, AS_RANGE, "session: unknown cache type %d", (int)o->kv);
    if (o->kv == G4_KV_DEFAULT)
        o->kv = o->precision == G4_F32 ? G4_KV_F32 : G4_KV_F16;
    const int layer = g4_kv_unfit_layer(&m->config, g4_kv_row_type(o->kv));
    if (layer >= 0)
        return as_fail(err, AS_UNSUPPORTED,
                       "session: kv %s keeps blocks of %d, but heads of layer %d have %d elements; "
                       "ask for kv f16",
                       g4_kv_name(o->kv), K_BLOCK, layer, m->config.layers[layer].head_dim);
    return AS_OK;
}

as_code g4_fill_options(g4_session_options *out, const g4_model *m,
                        const g4_session_options *options, as_err *err)
{
    g4_session_options o = options != NULL ? *options : (g4_session_options){0};
    if (!m->has_weights)
        return as_fail(err, AS_UNSUPPORTED,
                       "session: the model was opened without weights; open it with them");
    AS_TRY(check_option("n_seqs", o.n_seqs, MAX_SEQS, err));
    AS_TRY(check_option("n_batch", o.n_batch, MAX_BATCH, err));
    AS_TRY(check_option("n_threads", o.n_threads, MAX_THREADS, err));
    if (o.n_ctx < 0 || o.n_ctx > m->config.n_ctx_train)
        return as_fail(err, AS_RANGE,
                       "session: n_ctx is %d, the model was made for %d positions; want 0 to %d",
                       o.n_ctx, m->config.n_ctx_train, m->config.n_ctx_train);
    if (o.precision != G4_AUTO && o.precision != G4_F32)
        return as_fail(err, AS_RANGE, "session: unknown precision %d", (int)o.precision);
    if (o.memory_limit < 0)
        return as_fail(err, AS_RANGE, "session: memory_limit is %lld, want 0 (all) or more",
                       (long long)o.memory_limit);
    AS_TRY(fill_kv(&o, m, err));
    o.n_ctx = o.n_ctx > 0 ? o.n_ctx : m->config.n_ctx_train;
    o.n_seqs = o.n_seqs > 0 ? o.n_seqs : 1;
    o.n_batch = o.n_batch > 0 ? o.n_batch : DEFAULT_BATCH;
    o.n_threads = g4_team_threads(o.n_threads);
    *out = o;
    return AS_OK;
}

/* Hands out aligned pieces; with memory NULL it only counts. */
typedef struct bump {
    uint8_t *memory;
    size_t used;
} bump;

static void *take(bump *b, size_t n, size_t size)
{
    uint8_t *p = b->memory != NULL ? b->memory + b->used : NULL;
    b->used += (n * size + K_ALIGN - 1) / K_ALIGN * K_ALIGN;
    return p;
}

static float *take_floats(bump *b, size_t rows, size_t n)
{
    return take(b, rows * n, sizeof(float));
}

static size_t max_size(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* The longest input of any product. */
static int widest_input(const g4_config *c)
{
    int n = c->width;
    n = c->max_q > n ? c->max_q : n;
    n = c->max_ff > n ? c->max_ff : n;
    n = c->expert_ff > n ? c->expert_ff : n;
    return c->ple_width > n ? c->ple_width : n;
}

/* The one place that knows the buffers: sizes them or sets the session's pointers. */
static void lay_out(g4_session *s, bump *b)
{
    const g4_config *c = &s->model->config;
    const g4_session_options *o = &s->options;
    const size_t B = (size_t)o->n_batch;
    const size_t D = (size_t)c->width;
    const size_t ple_all = (size_t)c->n_layers * (size_t)c->ple_width;
    const int widest = widest_input(c);
    g4_buffers *f = &s->b;
    f->x = take_floats(b, B, D);
    f->h = take_floats(b, B, D);
    f->t = take_floats(b, B, D);
    f->q = take_floats(b, B, (size_t)c->max_q);
    f->att = take_floats(b, B, (size_t)c->max_q);
    f->k = take_floats(b, B, (size_t)c->max_kv);
    f->v = take_floats(b, B, (size_t)c->max_kv);
    f->gate = take_floats(b, B, (size_t)c->max_ff);
    f->up = take_floats(b, B, (size_t)c->max_ff);
    f->cos_full = take_floats(b, B, (size_t)c->head_dim_full / 2);
    f->sin_full = take_floats(b, B, (size_t)c->head_dim_full / 2);
    f->cos_sliding = take_floats(b, B, (size_t)c->head_dim_sliding / 2);
    f->sin_sliding = take_floats(b, B, (size_t)c->head_dim_sliding / 2);
    f->ple = take_floats(b, B, ple_all);
    f->ple_gate = take_floats(b, B, (size_t)c->ple_width);
    if (c->n_experts > 0) {
        f->router = take_floats(b, B, (size_t)c->n_experts);
        f->experts = take(b, B * (size_t)c->n_experts_used, sizeof(int));
        f->expert_weights = take_floats(b, B, (size_t)c->n_experts_used);
        f->expert_rows = take(b, B, sizeof(int));
        f->expert_in = take_floats(b, B, D);
        f->expert_out = take_floats(b, B, D);
        f->moe = take_floats(b, B, D);
        f->expert_gate = take_floats(b, B, (size_t)c->expert_ff);
        f->expert_up = take_floats(b, B, (size_t)c->expert_ff);
    }
    f->row_of = take(b, B, sizeof(int));
    f->logits = take_floats(b, B, (size_t)c->n_vocab);
    if (o->keep_hidden)
        f->hidden = take_floats(b, (size_t)c->n_layers + 1, B * D);
    s->freq_full = take_floats(b, 1, (size_t)c->head_dim_full / 2);
    s->freq_sliding = take_floats(b, 1, (size_t)c->head_dim_sliding / 2);
    s->seq_rows = take(b, (size_t)o->n_seqs, sizeof(int));
    s->seq_first = take(b, (size_t)o->n_seqs, sizeof(int32_t));

    g4_compute *cx = &s->compute;
    if (o->precision != G4_F32) {
        const size_t blocks = ((size_t)widest + K_BLOCK - 1) / K_BLOCK;
        cx->max_rows = o->n_batch;
        cx->q8.q = take(b, 2 * B * blocks * K_BLOCK, 1);
        cx->q8.d = take_floats(b, 2 * B, blocks);
        cx->q8.ds = take_floats(b, 2 * B, blocks);
        cx->q8.sum16 = take(b, 2 * B * blocks * 2, sizeof(int32_t));
    }
    cx->scratch_bytes =
        max_size(g4_compute_scratch_bytes(widest),
                 max_size(g4_attend_scratch_bytes(c, o->n_ctx), ple_all * sizeof(float)));
    cx->scratch_bytes = (cx->scratch_bytes + K_ALIGN - 1) / K_ALIGN * K_ALIGN;
    cx->scratch = take(b, (size_t)o->n_threads, cx->scratch_bytes);
}

static g4_kv_options kv_options(const g4_session_options *o)
{
    return (g4_kv_options){.n_ctx = o->n_ctx,
                           .n_seqs = o->n_seqs,
                           .n_batch = o->n_batch,
                           .type = g4_kv_row_type(o->kv)};
}

g4_memory g4_plan(const g4_model *m, const g4_session_options *o)
{
    g4_session probe = {.model = m, .options = *o};
    bump count = {0};
    lay_out(&probe, &count);
    const g4_kv_options kv = kv_options(o);
    const int64_t full = g4_kv_bytes(&m->config, &kv, G4_POOL_FULL);
    const int64_t sliding = g4_kv_bytes(&m->config, &kv, G4_POOL_SLIDING);
    const int64_t full_token = g4_kv_bytes_per_token(&m->config, kv.type, G4_POOL_FULL);
    return (g4_memory){
        .weights_bytes = m->weights.bytes,
        .kv_bytes = full + sliding,
        .kv_full_bytes = full,
        .kv_sliding_bytes = sliding,
        .kv_bytes_per_token =
            full_token + g4_kv_bytes_per_token(&m->config, kv.type, G4_POOL_SLIDING),
        .kv_full_bytes_per_token = full_token,
        .scratch_bytes = (int64_t)count.used,
        .kv = o->kv,
        .n_ctx = o->n_ctx,
        .n_seqs = o->n_seqs,
        .n_batch = o->n_batch,
    };
}

/* ---- life ------------------------------------------------------------------------------------ */

/* f_i = 1 / base^(2i/Dh), every step in f32 as Hugging Face forms it (spec 2.11). */
static void fill_frequencies(float *freq, int dh, float base, float divisor, const float *factors)
{
    for (int i = 0; i < dh / 2; i++) {
        const float exponent = (float)(2 * i) / (float)dh;
        freq[i] = 1.0F / (float)pow((double)base, (double)exponent);
        freq[i] /= divisor;
        if (factors != NULL)
            freq[i] /= factors[i];
    }
}

as_code g4_session_open(g4_session **out, const g4_model *m, const g4_session_options *options,
                        as_err *err)
{
    *out = NULL;
    g4_session_options o;
    AS_TRY(g4_fill_options(&o, m, options, err));
    g4_session *s = calloc(1, sizeof *s);
    if (s == NULL)
        return as_nomem(err);
    s->model = m;
    s->options = o;
    s->memory = g4_plan(m, &o);
    s->compute.ops = k_ops_best();
    s->compute.is_f32 = o.precision == G4_F32;
    const g4_kv_options kv = kv_options(&o);
    as_code code = g4_check_memory(m, &o, err);
    if (code == AS_OK)
        code = g4_kv_open(&s->kv, &m->config, &kv, err);
    if (code == AS_OK) {
        s->scratch_bytes = (size_t)s->memory.scratch_bytes;
        void *memory = mmap(NULL, s->scratch_bytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED)
            code = as_fail(err, AS_NOMEM, "session: the system refuses %zu bytes of buffers",
                           s->scratch_bytes);
        else
            s->scratch = memory;
    }
    if (code == AS_OK) {
        s->compute.team = g4_team_new(o.n_threads);
        if (s->compute.team == NULL)
            code = as_nomem(err);
    }
    if (code != AS_OK) {
        g4_session_close(s);
        return code;
    }
    bump place = {.memory = s->scratch};
    lay_out(s, &place);
    assert(place.used == s->scratch_bytes);
    const g4_config *c = &m->config;
    fill_frequencies(s->freq_full, c->head_dim_full, c->rope_base_full, c->rope_divisor,
                     m->weights.rope_freqs);
    fill_frequencies(s->freq_sliding, c->head_dim_sliding, c->rope_base_sliding, 1.0F, NULL);
    *out = s;
    return AS_OK;
}

void g4_session_close(g4_session *s)
{
    if (s == NULL)
        return;
    g4_team_free(s->compute.team);
    g4_adapt_free(s->adapt);
    g4_kv_close(s->kv);
    if (s->scratch != NULL)
        munmap(s->scratch, s->scratch_bytes);
    free(s);
}

g4_memory g4_session_memory(const g4_session *s)
{
    return s->memory;
}

int64_t g4_session_kv_peak(const g4_session *s)
{
    return g4_kv_peak_bytes(s->kv, G4_POOL_FULL) + g4_kv_peak_bytes(s->kv, G4_POOL_SLIDING);
}

const char *g4_session_kernels(const g4_session *s)
{
    return s->compute.ops->name;
}

/* ---- sequences ------------------------------------------------------------------------------- */

as_code g4_seq_new(g4_session *s, int *seq, as_err *err)
{
    const int i = g4_kv_seq_new(s->kv);
    if (i < 0)
        return as_fail(err, AS_RANGE,
                       "session: all %d sequences are in use; free one or open with more",
                       s->options.n_seqs);
    g4_adapt_clear(s->adapt, i);
    *seq = i;
    return AS_OK;
}

as_code g4_seq_fork(g4_session *s, int from, int n_tokens, int *seq, as_err *err)
{
    AS_TRY(g4_kv_seq_fork(s->kv, from, n_tokens, seq, err));
    g4_adapt_copy(s->adapt, from, *seq);
    return AS_OK;
}

void g4_seq_free(g4_session *s, int seq)
{
    g4_kv_seq_free(s->kv, seq);
}

int g4_seq_length(const g4_session *s, int seq)
{
    return g4_kv_seq_rows(s->kv, seq);
}

/* ---- decoding -------------------------------------------------------------------------------- */

/* Fills seq_rows and seq_first. */
static as_code check_rows(g4_session *s, const g4_row *rows, int n_rows, as_err *err)
{
    const g4_config *c = &s->model->config;
    if (n_rows < 1 || n_rows > s->options.n_batch)
        return as_fail(err, AS_RANGE, "decode: %d rows, want 1 to %d (n_batch)", n_rows,
                       s->options.n_batch);
    memset(s->seq_rows, 0, (size_t)s->options.n_seqs * sizeof *s->seq_rows);
    for (int r = 0; r < n_rows; r++) {
        const g4_row *row = &rows[r];
        if (!g4_kv_is_alive(s->kv, row->seq))
            return as_fail(err, AS_RANGE, "decode: row %d: sequence %d is not alive", r, row->seq);
        if (row->token < 0 || row->token >= c->n_vocab)
            return as_fail(err, AS_RANGE, "decode: row %d: token %d, want 0 to %d", r, row->token,
                           c->n_vocab - 1);
        if (row->pos < 0 || row->pos >= G4_MAX_POSITION)
            return as_fail(err, AS_RANGE, "decode: row %d: position %d, want 0 to %d", r, row->pos,
                           G4_MAX_POSITION - 1);
        const int held = g4_kv_seq_rows(s->kv, row->seq);
        const int new_rows = s->seq_rows[row->seq];
        if (new_rows == 0)
            s->seq_first[row->seq] = held > 0 ? g4_kv_seq_next(s->kv, row->seq) : row->pos;
        const int32_t want = s->seq_first[row->seq] + new_rows;
        if (row->pos != want)
            return as_fail(err, AS_RANGE, "decode: row %d: position %d of sequence %d, want %d", r,
                           row->pos, row->seq, want);
        if (held + new_rows >= s->options.n_ctx)
            return as_fail(err, AS_RANGE,
                           "decode: row %d: sequence %d is full with %d positions (n_ctx)", r,
                           row->seq, s->options.n_ctx);
        s->seq_rows[row->seq]++;
    }
    return AS_OK;
}

as_code g4_decode(g4_session *s, const g4_row *rows, int n_rows, g4_result *out, as_err *err)
{
    const int64_t start = as_now_ns();
    *out = (g4_result){0};
    AS_TRY(check_rows(s, rows, n_rows, err));
    for (int r = 0; r < n_rows; r++) {
        const int seq = rows[r].seq;
        if (s->seq_rows[seq] > 0)
            g4_kv_append(s->kv, seq, s->seq_first[seq], s->seq_rows[seq]);
        s->seq_rows[seq] = 0;
    }
    s->compute.weight_bytes = s->compute.flops = 0;
    g4_pass pass = {
        .s = s,
        .c = &s->model->config,
        .w = &s->model->weights,
        .rows = rows,
        .n_rows = n_rows,
        .is_adapted = g4_adapt_any(s->adapt, rows, n_rows),
    };
    g4_forward(&pass);
    *out = (g4_result){
        .logits = s->b.logits,
        .n_logits = pass.n_logits,
        .hidden = s->b.hidden,
        .ns = as_now_ns() - start,
        .weight_bytes = s->compute.weight_bytes,
        .flops = s->compute.flops,
    };
    return AS_OK;
}
