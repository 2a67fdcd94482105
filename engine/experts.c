/*
 * experts.c — mixture of experts beside the dense MLP (Gemma 4 26B-A4B; spec 2.12).
 *
 *     r   = rms(x) ⊙ router_scale · D^(-1/2)          z = W_router · r      (always f32)
 *     S   = the k largest of softmax(z), lower index on ties
 *     w_e = p_e / Σ_S p · expert_scale_e
 *     y   = RMSNorm(x, pre_ffn_norm_2)
 *     moe = Σ_{e ∈ S} w_e · W_down_e · (gelu(W_gate_e · y) ⊙ W_up_e · y)
 *
 * An adapter changes the three products inside the expert, so w_e weighs its part too (6.3).
 *
 * Rows are gathered per expert, so that an expert's weights are read once a call. A row adds its
 * experts in the order of their numbers, whatever other rows there are.
 */
#include <math.h>
#include <string.h>

#include "engine/adapt.h"
#include "engine/kernels/ref.h"
#include "engine/session_impl.h"

static void router_input(void *user, int thread, int64_t begin, int64_t end)
{
    (void)thread;
    const g4_pass *p = user;
    const int D = p->c->width;
    const float factor = 1.0F / sqrtf((float)D);
    for (int64_t r = begin; r < end; r++) {
        float *h = p->s->b.h + r * D;
        k_rms(h, p->s->b.x + r * D, NULL, D, p->c->eps);
        for (int i = 0; i < D; i++)
            h[i] = h[i] * p->lw->router_scale[i] * factor;
    }
}

/* The k largest of p[E] by falling value, then their final weights. */
static void choose(const g4_pass *p, int row)
{
    const int E = p->c->n_experts;
    const int k = p->c->n_experts_used;
    float *prob = p->s->b.router + (size_t)row * (size_t)E;
    int *chosen = p->s->b.experts + (size_t)row * (size_t)k;
    float *weight = p->s->b.expert_weights + (size_t)row * (size_t)k;
    k_softmax_ref(prob, E);
    float sum = 0;
    for (int j = 0; j < k; j++) {
        int best = -1;
        for (int e = 0; e < E; e++)
            if (!(prob[e] < 0) && (best < 0 || prob[e] > prob[best]))
                best = e;
        chosen[j] = best >= 0 ? best : 0; /* NaN everywhere still gives an index */
        weight[j] = prob[chosen[j]];
        sum += weight[j];
        prob[chosen[j]] = -1; /* taken */
    }
    for (int j = 0; j < k; j++)
        weight[j] = weight[j] / sum * p->lw->expert_scale[chosen[j]];
}

static void choose_rows(void *user, int thread, int64_t begin, int64_t end)
{
    (void)thread;
    const g4_pass *p = user;
    for (int64_t r = begin; r < end; r++)
        choose(p, (int)r);
}

static void expert_input(void *user, int thread, int64_t begin, int64_t end)
{
    (void)thread;
    const g4_pass *p = user;
    const int D = p->c->width;
    for (int64_t r = begin; r < end; r++) {
        k_rms(p->s->b.h + r * D, p->s->b.x + r * D, p->lw->pre_ffn_norm_2, D, p->c->eps);
        memset(p->s->b.moe + r * D, 0, (size_t)D * sizeof(float));
    }
}

/* The weight that row r gives expert e; false if it did not choose it. */
static bool weight_of(const g4_pass *p, int r, int e, float *weight)
{
    const int k = p->c->n_experts_used;
    for (int j = 0; j < k; j++)
        if (p->s->b.experts[(size_t)r * (size_t)k + (size_t)j] == e) {
            *weight = p->s->b.expert_weights[(size_t)r * (size_t)k + (size_t)j];
            return true;
        }
    return false;
}

static void run_expert(g4_pass *p, int e)
{
    g4_session *s = p->s;
    g4_buffers *b = &s->b;
    const int D = p->c->width;
    const int ff = p->c->expert_ff;
    int n = 0;
    float weight = 0;
    g4_input_begin(&s->compute, D);
    for (int r = 0; r < p->n_live; r++)
        if (weight_of(p, r, e, &weight)) {
            float *in = b->expert_in + (size_t)n * (size_t)D;
            memcpy(in, b->h + (size_t)r * (size_t)D, (size_t)D * sizeof *in);
            g4_input_set(&s->compute, n, in);
            b->expert_rows[n++] = r;
        }
    if (n == 0)
        return;
    const g4_product wide[] = {
        {.w = &p->lw->expert_gate,
         .slot = G4_SLOT_EXPERT_GATE,
         .mat = e,
         .y = b->expert_gate,
         .y_stride = (size_t)ff},
        {.w = &p->lw->expert_up,
         .slot = G4_SLOT_EXPERT_UP,
         .mat = e,
         .y = b->expert_up,
         .y_stride = (size_t)ff},
    };
    g4_project(p, wide, 2, b->expert_in, b->expert_rows, n);
    g4_input_begin_fine(&s->compute, ff);
    for (int i = 0; i < n; i++) {
        float *y = b->expert_gate + (size_t)i * (size_t)ff;
        s->compute.ops->gelu_mul(y, y, b->expert_up + (size_t)i * (size_t)ff, ff);
        g4_input_set(&s->compute, i, y);
    }
    const g4_product down = {.w = &p->lw->expert_down,
                             .slot = G4_SLOT_EXPERT_DOWN,
                             .mat = e,
                             .y = b->expert_out,
                             .y_stride = (size_t)D};
    g4_project(p, &down, 1, b->expert_gate, b->expert_rows, n);
    for (int i = 0; i < n; i++) {
        const int r = b->expert_rows[i];
        weight_of(p, r, e, &weight);
        float *sum = b->moe + (size_t)r * (size_t)D;
        const float *out = b->expert_out + (size_t)i * (size_t)D;
        for (int j = 0; j < D; j++)
            sum[j] += weight * out[j];
    }
}

void g4_experts(g4_pass *p)
{
    g4_session *s = p->s;
    const int k = p->c->n_experts_used;
    g4_over_rows(p, router_input);
    g4_input_begin(&s->compute, p->c->width);
    const g4_product route = {.w = &p->lw->router,
                              .want_f32 = true,
                              .y = s->b.router,
                              .y_stride = (size_t)p->c->n_experts};
    g4_multiply(&s->compute, &route, 1, s->b.h, p->n_live);
    g4_over_rows(p, choose_rows);
    if (s->on_route != NULL)
        for (int r = 0; r < p->n_live; r++)
            s->on_route(s->on_route_user, p->layer, s->b.row_of[r],
                        s->b.experts + (size_t)r * (size_t)k,
                        s->b.expert_weights + (size_t)r * (size_t)k);
    g4_over_rows(p, expert_input);
    for (int e = 0; e < p->c->n_experts; e++)
        run_expert(p, e);
}
