/*
 * forward.c — the model, from tokens to logits; reads like spec 2 (Gemma 4) and 7 (Gemma 3).
 *
 *     x = embedding(token) · sqrt(D)
 *     per layer
 *         h = N(x, attn_norm)
 *         q = rope(N(W_q h, q_norm))   k = rope(N(W_k h, k_norm))   v = rms(W_v h), or rms(W_k h)
 *         x = x + N(W_o attend(q, k, v), post_attn_norm)
 *         x = x + N(mlp(N(x, ffn_norm)) [and experts], post_ffn_norm)
 *         x = x + N(W_up (gelu(W_gate x) ⊙ ple), ple_post_norm)        with per-layer embeddings
 *         x = x · out_scale                                            Gemma 4
 *     logits = softcap(W_head N(x, out_norm))
 *
 * Each W may have an adapter's product added, row by row (adapt.h); where V is the raw key
 * projection, it is the adapted one.
 *
 * Rows that want no logits are dropped as soon as nothing that others need depends on them: after
 * the last layer that owns keys has written its own (in E2B more than half of the layers follow).
 *
 * Each function below is either a verb of the list or a job over rows. Jobs write only their own
 * rows, so threads need no locks.
 */
#include <math.h>
#include <string.h>

#include "engine/adapt.h"
#include "engine/session_impl.h"

void g4_over_rows(g4_pass *p, g4_job job)
{
    enum { GRAIN = 4 };
    g4_team_run(p->s->compute.team, p->n_live, GRAIN, job, p);
}

/* y: [n_live, n_out] */
static void multiply(g4_pass *p, g4_slot slot, const g4_matrix *w, float *y, const float *x)
{
    g4_product job = {.w = w, .slot = (int)slot, .y_stride = (size_t)w->n_out};
    job.y = y;
    g4_project(p, &job, 1, x, NULL, p->n_live);
}

static void add(float *x, const float *y, int n)
{
    for (int i = 0; i < n; i++)
        x[i] += y[i];
}

/* ---- before the first layer ------------------------------------------------------------------ */

static void angles(float *cos_out, float *sin_out, const float *freq, int half, int32_t pos)
{
    for (int i = 0; i < half; i++) {
        const float angle = (float)pos * freq[i]; /* f32, as Hugging Face forms it (spec 2.11) */
        cos_out[i] = (float)cos((double)angle);
        sin_out[i] = (float)sin((double)angle);
    }
}

static void embed_rows(void *user, int thread, int64_t begin, int64_t end)
{
    (void)thread;
    const g4_pass *p = user;
    const g4_session *s = p->s;
    const g4_matrix *m = &p->w->embedding;
    const int D = p->c->width;
    const float factor = sqrtf((float)D);
    const int full = p->c->head_dim_full / 2;
    const int sliding = p->c->head_dim_sliding / 2;
    for (int64_t r = begin; r < end; r++) {
        const g4_row *row = &p->rows[r];
        float *x = s->b.x + r * D;
        s->compute.ops->dequant(x, m->type, m->data + (size_t)row->token * m->row_bytes, D);
        if (p->is_adapted)
            g4_adapt_embed(p, (int)r, x);
        for (int i = 0; i < D; i++)
            x[i] *= factor;
        angles(s->b.cos_full + r * full, s->b.sin_full + r * full, s->freq_full, full, row->pos);
        angles(s->b.cos_sliding + r * sliding, s->b.sin_sliding + r * sliding, s->freq_sliding,
               sliding, row->pos);
        s->b.row_of[r] = (int)r;
        if (p->c->ple_width > 0)
            g4_input_set(&p->s->compute, (int)r, x);
    }
}

/* ple = (N(W_model_proj x · D^(-1/2)) + table[token] · sqrt(P)) · 2^(-1/2), per layer (spec 2.4) */
static void finish_ple_rows(void *user, int thread, int64_t begin, int64_t end)
{
    const g4_pass *p = user;
    const g4_session *s = p->s;
    const g4_matrix *table = &p->w->ple_embedding;
    const int P = p->c->ple_width;
    const int all = p->c->n_layers * P;
    const float context_factor = 1.0F / sqrtf((float)p->c->width);
    const float token_factor = sqrtf((float)P);
    float *token = (float *)(void *)g4_scratch(&s->compute, thread);
    for (int64_t r = begin; r < end; r++) {
        float *ple = s->b.ple + r * all;
        s->compute.ops->dequant(token, table->type,
                                table->data + (size_t)p->rows[r].token * table->row_bytes, all);
        for (int i = 0; i < all; i++)
            ple[i] *= context_factor;
        for (int64_t l = 0; l < p->c->n_layers; l++)
            k_rms(ple + l * P, ple + l * P, p->w->ple_norm, P, p->c->eps);
        for (int i = 0; i < all; i++)
            ple[i] = (ple[i] + token[i] * token_factor) * 0.707106781186547524F;
    }
}

static void embed(g4_pass *p)
{
    g4_input_begin(&p->s->compute, p->c->width);
    g4_over_rows(p, embed_rows);
    p->s->compute.weight_bytes += p->n_rows * (int64_t)p->w->embedding.row_bytes;
    if (p->c->ple_width == 0)
        return;
    multiply(p, G4_SLOT_PLE_MODEL_PROJ, &p->w->ple_model_proj, p->s->b.ple, p->s->b.x);
    g4_over_rows(p, finish_ple_rows);
    p->s->compute.weight_bytes += p->n_rows * (int64_t)p->w->ple_embedding.row_bytes;
}

/* ---- attention ------------------------------------------------------------------------------- */

static void norm_rows(const g4_pass *p, const float *w, int64_t begin, int64_t end)
{
    const int D = p->c->width;
    for (int64_t r = begin; r < end; r++) {
        k_rms(p->s->b.h + r * D, p->s->b.x + r * D, w, D, p->c->eps);
        g4_input_set(&p->s->compute, (int)r, p->s->b.h + r * D);
    }
}

static void attn_norm_rows(void *user, int thread, int64_t begin, int64_t end)
{
    (void)thread;
    const g4_pass *p = user;
    norm_rows(p, p->lw->attn_norm, begin, end);
}

/* Norms and rotation of one row's heads; keys and values go into the cache. v comes first: where it
 * is made from the raw key, k overwrites what v reads. */
static void place_qkv_rows(void *user, int thread, int64_t begin, int64_t end)
{
    (void)thread;
    const g4_pass *p = user;
    const g4_session *s = p->s;
    const g4_layer_config *lc = p->lc;
    const int dh = lc->head_dim;
    const uint32_t type = g4_kv_row_type(s->options.kv);
    const float *all_cos = lc->is_sliding ? s->b.cos_sliding : s->b.cos_full;
    const float *all_sin = lc->is_sliding ? s->b.sin_sliding : s->b.sin_full;
    for (int64_t r = begin; r < end; r++) {
        const int at = s->b.row_of[r];
        const g4_row *row = &p->rows[at];
        const float *cos = all_cos + (size_t)at * (size_t)(dh / 2);
        const float *sin = all_sin + (size_t)at * (size_t)(dh / 2);
        for (int h = 0; h < p->c->n_heads; h++) {
            float *q = s->b.q + (r * p->c->n_heads + h) * dh;
            k_rms(q, q, p->lw->q_norm, dh, p->c->eps);
            k_rope(q, cos, sin, dh);
        }
        for (int h = 0; lc->owns_kv && h < lc->n_kv; h++) {
            float *k = s->b.k + (r * lc->n_kv + h) * dh;
            float *v = s->b.v + (r * lc->n_kv + h) * dh;
            if (p->c->has_v_norm)
                k_rms(v, lc->is_v_from_k ? k : v, NULL, dh, p->c->eps);
            k_rms(k, k, p->lw->k_norm, dh, p->c->eps);
            k_rope(k, cos, sin, dh);
            s->compute.ops->store(g4_kv_key(s->kv, p->layer, row->seq, row->pos, h), type, k, dh);
            s->compute.ops->store(g4_kv_value(s->kv, p->layer, row->seq, row->pos, h), type, v, dh);
        }
    }
}

static void project_qkv(g4_pass *p)
{
    g4_session *s = p->s;
    g4_input_begin(&s->compute, p->c->width);
    g4_over_rows(p, attn_norm_rows);
    const size_t q = (size_t)p->c->n_heads * (size_t)p->lc->head_dim;
    const size_t kv = (size_t)p->lc->n_kv * (size_t)p->lc->head_dim;
    g4_product jobs[3] = {{.w = &p->lw->q, .slot = G4_SLOT_Q, .y = s->b.q, .y_stride = q}};
    int n = 1;
    if (p->lc->owns_kv) {
        jobs[n++] = (g4_product){.w = &p->lw->k, .slot = G4_SLOT_K, .y = s->b.k, .y_stride = kv};
        if (!p->lc->is_v_from_k)
            jobs[n++] =
                (g4_product){.w = &p->lw->v, .slot = G4_SLOT_V, .y = s->b.v, .y_stride = kv};
    }
    g4_project(p, jobs, n, s->b.h, NULL, p->n_live);
    g4_over_rows(p, place_qkv_rows);
}

/* Keeps only the rows that want logits; their x and q move together. */
static void drop_rows(g4_pass *p)
{
    g4_buffers *b = &p->s->b;
    const size_t D = (size_t)p->c->width;
    const size_t q = (size_t)p->c->n_heads * (size_t)p->lc->head_dim;
    int n = 0;
    for (int r = 0; r < p->n_live; r++) {
        if (!p->rows[b->row_of[r]].want_logits)
            continue;
        if (r != n) {
            memcpy(b->x + (size_t)n * D, b->x + (size_t)r * D, D * sizeof(float));
            memcpy(b->q + (size_t)n * q, b->q + (size_t)r * q, q * sizeof(float));
        }
        b->row_of[n++] = b->row_of[r];
    }
    p->n_live = n;
}

static void set_att_rows(void *user, int thread, int64_t begin, int64_t end)
{
    (void)thread;
    const g4_pass *p = user;
    const int q = p->c->n_heads * p->lc->head_dim;
    for (int64_t r = begin; r < end; r++)
        g4_input_set(&p->s->compute, (int)r, p->s->b.att + r * q);
}

/* x += N(t, post_attn_norm), then the input of the MLP. */
static void after_attention_rows(void *user, int thread, int64_t begin, int64_t end)
{
    (void)thread;
    const g4_pass *p = user;
    const int D = p->c->width;
    for (int64_t r = begin; r < end; r++) {
        float *t = p->s->b.t + r * D;
        k_rms(t, t, p->lw->post_attn_norm, D, p->c->eps);
        add(p->s->b.x + r * D, t, D);
    }
    norm_rows(p, p->lw->ffn_norm, begin, end);
}

static void attention(g4_pass *p)
{
    g4_session *s = p->s;
    project_qkv(p);
    if (p->layer == p->c->first_shared - 1 && !s->options.keep_hidden)
        drop_rows(p);
    g4_attend(p);
    g4_input_begin(&s->compute, p->c->n_heads * p->lc->head_dim);
    g4_over_rows(p, set_att_rows);
    multiply(p, G4_SLOT_O, &p->lw->o, s->b.t, s->b.att);
    g4_input_begin(&s->compute, p->c->width);
    g4_over_rows(p, after_attention_rows);
}

/* ---- feed-forward ---------------------------------------------------------------------------- */

static void gelu_rows(void *user, int thread, int64_t begin, int64_t end)
{
    (void)thread;
    const g4_pass *p = user;
    const int F = p->lc->ff;
    for (int64_t r = begin; r < end; r++) {
        float *y = p->s->b.gate + r * F;
        p->s->compute.ops->gelu_mul(y, y, p->s->b.up + r * F, F);
        g4_input_set(&p->s->compute, (int)r, y);
    }
}

/* t = W_down (gelu(W_gate h) ⊙ W_up h) */
static void dense_mlp(g4_pass *p)
{
    g4_session *s = p->s;
    const size_t F = (size_t)p->lc->ff;
    const g4_product wide[] = {
        {.w = &p->lw->gate, .slot = G4_SLOT_GATE, .y = s->b.gate, .y_stride = F},
        {.w = &p->lw->up, .slot = G4_SLOT_UP, .y = s->b.up, .y_stride = F},
    };
    g4_project(p, wide, 2, s->b.h, NULL, p->n_live);
    g4_input_begin_fine(&s->compute, p->lc->ff); /* products of two activations: wide ranges */
    g4_over_rows(p, gelu_rows);
    multiply(p, G4_SLOT_DOWN, &p->lw->down, s->b.t, s->b.gate);
}

/* x += N(f, post_ffn_norm), f = t, or N(t, post_ffn_norm_1) + N(moe, post_ffn_norm_2) */
static void after_mlp_rows(void *user, int thread, int64_t begin, int64_t end)
{
    (void)thread;
    const g4_pass *p = user;
    const int D = p->c->width;
    const float eps = p->c->eps;
    for (int64_t r = begin; r < end; r++) {
        float *t = p->s->b.t + r * D;
        if (p->c->n_experts > 0) {
            float *moe = p->s->b.moe + r * D;
            k_rms(t, t, p->lw->post_ffn_norm_1, D, eps);
            k_rms(moe, moe, p->lw->post_ffn_norm_2, D, eps);
            add(t, moe, D);
        }
        k_rms(t, t, p->lw->post_ffn_norm, D, eps);
        add(p->s->b.x + r * D, t, D);
    }
}

static void feed_forward(g4_pass *p)
{
    dense_mlp(p);
    if (p->c->n_experts > 0)
        g4_experts(p);
    g4_over_rows(p, after_mlp_rows);
}

/* ---- per-layer embedding --------------------------------------------------------------------- */

static void set_x_rows(void *user, int thread, int64_t begin, int64_t end)
{
    (void)thread;
    const g4_pass *p = user;
    for (int64_t r = begin; r < end; r++)
        g4_input_set(&p->s->compute, (int)r, p->s->b.x + r * p->c->width);
}

static void ple_gate_rows(void *user, int thread, int64_t begin, int64_t end)
{
    (void)thread;
    const g4_pass *p = user;
    const int P = p->c->ple_width;
    for (int64_t r = begin; r < end; r++) {
        float *g = p->s->b.ple_gate + r * P;
        const float *ple =
            p->s->b.ple + ((int64_t)p->s->b.row_of[r] * p->c->n_layers + p->layer) * P;
        p->s->compute.ops->gelu_mul(g, g, ple, P);
        g4_input_set(&p->s->compute, (int)r, g);
    }
}

static void add_ple_rows(void *user, int thread, int64_t begin, int64_t end)
{
    (void)thread;
    const g4_pass *p = user;
    const int D = p->c->width;
    for (int64_t r = begin; r < end; r++) {
        float *t = p->s->b.t + r * D;
        k_rms(t, t, p->lw->ple_post_norm, D, p->c->eps);
        add(p->s->b.x + r * D, t, D);
    }
}

/* x += N(W_up (gelu(W_gate x) ⊙ ple), ple_post_norm): the stream itself, without a norm before */
static void inject_ple(g4_pass *p)
{
    g4_session *s = p->s;
    g4_input_begin(&s->compute, p->c->width);
    g4_over_rows(p, set_x_rows);
    multiply(p, G4_SLOT_PLE_GATE, &p->lw->ple_gate, s->b.ple_gate, s->b.x);
    g4_input_begin(&s->compute, p->c->ple_width);
    g4_over_rows(p, ple_gate_rows);
    multiply(p, G4_SLOT_PLE_UP, &p->lw->ple_up, s->b.t, s->b.ple_gate);
    g4_over_rows(p, add_ple_rows);
}

/* ---- the whole ------------------------------------------------------------------------------- */

static void scale_stream(g4_pass *p)
{
    const size_t n = (size_t)p->n_live * (size_t)p->c->width;
    const float scale = p->lw->out_scale[0];
    for (size_t i = 0; i < n; i++)
        p->s->b.x[i] *= scale;
}

static void keep_hidden(g4_pass *p, int index, const float *x)
{
    if (!p->s->options.keep_hidden)
        return;
    const size_t n = (size_t)p->n_rows * (size_t)p->c->width;
    memcpy(p->s->b.hidden + (size_t)index * n, x, n * sizeof(float));
}

static void block(g4_pass *p, int layer)
{
    p->layer = layer;
    p->lc = &p->c->layers[layer];
    p->lw = &p->w->layers[layer];
    attention(p);
    if (p->n_live == 0)
        return;
    feed_forward(p);
    if (p->c->ple_width > 0)
        inject_ple(p);
    if (p->lw->out_scale != NULL)
        scale_stream(p);
}

static void out_norm_rows(void *user, int thread, int64_t begin, int64_t end)
{
    (void)thread;
    const g4_pass *p = user;
    norm_rows(p, p->w->out_norm, begin, end);
}

static void softcap_items(void *user, int thread, int64_t begin, int64_t end)
{
    (void)thread;
    const g4_pass *p = user;
    const float cap = p->c->softcap;
    for (int64_t i = begin; i < end; i++)
        p->s->b.logits[i] = cap * tanhf(p->s->b.logits[i] / cap);
}

static void head(g4_pass *p)
{
    enum { SOFTCAP_GRAIN = 16384 };
    g4_session *s = p->s;
    g4_input_begin_fine(&s->compute, p->c->width); /* its error is the logits' own */
    g4_over_rows(p, out_norm_rows);
    keep_hidden(p, p->c->n_layers, s->b.h);
    if (s->options.keep_hidden) { /* all rows came this far; now only some count */
        drop_rows(p);
        g4_over_rows(p, out_norm_rows);
    }
    p->n_logits = p->n_live;
    multiply(p, G4_SLOT_HEAD, &p->w->head, s->b.logits, s->b.h);
    if (p->c->softcap > 0)
        g4_team_run(s->compute.team, (int64_t)p->n_logits * p->c->n_vocab, SOFTCAP_GRAIN,
                    softcap_items, p);
}

void g4_forward(g4_pass *p)
{
    p->n_live = p->n_rows;
    embed(p);
    for (int layer = 0; layer < p->c->n_layers && p->n_live > 0; layer++) {
        keep_hidden(p, layer, p->s->b.x);
        block(p, layer);
    }
    if (p->n_live > 0)
        head(p);
}
