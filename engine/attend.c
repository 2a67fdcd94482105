/*
 * attend.c — attention of one layer over the pages of the cache.
 *
 *     s_j = scale · q·k_j   over the allowed positions j
 *     o   = Σ_j softmax(s)_j · v_j
 *
 * One item of work is one row and some query heads that share a key head: a key is read once for
 * all of them. Scores of one row's whole context are kept per thread; there is no T×T buffer.
 * Everything runs in the order of positions, so the result does not depend on pages or batches.
 */
#include <string.h>

#include "engine/session_impl.h"

enum { SCORE_ALIGN = 16 };

static int score_stride(int n_keys)
{
    return (n_keys + SCORE_ALIGN - 1) / SCORE_ALIGN * SCORE_ALIGN;
}

size_t g4_attend_scratch_bytes(const g4_config *c, int n_ctx)
{
    size_t most = 0;
    for (int i = 0; i < c->n_layers; i++) {
        const int keys = c->layers[i].is_sliding && c->window < n_ctx ? c->window : n_ctx;
        const size_t heads = (size_t)(c->n_heads / c->layers[i].n_kv);
        const size_t bytes = heads * (size_t)score_stride(keys) * sizeof(float);
        most = bytes > most ? bytes : most;
    }
    return most;
}

typedef struct task {
    const g4_pass *p;
    int heads; /* query heads of one item */
} task;

/* Heads [head, head + n) of row r, which share key head kv. */
static void attend(const g4_pass *p, float *s, int r, int kv, int head, int n)
{
    const g4_session *session = p->s;
    const k_ops *ops = session->compute.ops;
    const g4_layer_config *lc = p->lc;
    const int dh = lc->head_dim;
    const uint32_t type = g4_kv_row_type(session->options.kv);
    const g4_row *row = &p->rows[session->b.row_of[r]];
    const size_t at = ((size_t)r * (size_t)p->c->n_heads + (size_t)head) * (size_t)dh;
    const float *q = session->b.q + at;
    float *o = session->b.att + at;

    int32_t from = g4_kv_seq_start(session->kv, row->seq);
    if (lc->is_sliding && row->pos - from >= p->c->window)
        from = row->pos - p->c->window + 1;
    const int n_keys = row->pos - from + 1;
    const size_t stride = (size_t)score_stride(n_keys);

    for (int32_t pos = from, run; pos <= row->pos; pos += run) {
        run = G4_PAGE - pos % G4_PAGE;
        run = run < row->pos - pos + 1 ? run : row->pos - pos + 1;
        ops->scores(s + (pos - from), stride, q, n, type,
                    g4_kv_key(session->kv, lc->donor, row->seq, pos, kv), run, dh,
                    p->c->attention_scale);
    }
    float sum[64];
    for (int h = 0; h < n; h++)
        sum[h] = ops->softmax(s + (size_t)h * stride, n_keys);
    memset(o, 0, (size_t)n * (size_t)dh * sizeof *o);
    for (int32_t pos = from, run; pos <= row->pos; pos += run) {
        run = G4_PAGE - pos % G4_PAGE;
        run = run < row->pos - pos + 1 ? run : row->pos - pos + 1;
        ops->weigh(o, s + (pos - from), stride, n, type,
                   g4_kv_value(session->kv, lc->donor, row->seq, pos, kv), run, dh);
    }
    for (int h = 0; h < n; h++)
        for (int i = 0; i < dh; i++)
            o[h * dh + i] /= sum[h];
}

static void attend_items(void *user, int thread, int64_t begin, int64_t end)
{
    const task *t = user;
    const g4_pass *p = t->p;
    float *s = (float *)(void *)g4_scratch(&p->s->compute, thread);
    const int group = p->c->n_heads / p->lc->n_kv;
    const int per_group = (group + t->heads - 1) / t->heads;
    const int per_row = p->lc->n_kv * per_group;
    for (int64_t i = begin; i < end; i++) {
        const int r = (int)(i / per_row);
        const int kv = (int)(i % per_row) / per_group;
        const int first = (int)(i % per_group) * t->heads;
        const int n = group - first < t->heads ? group - first : t->heads;
        attend(p, s, r, kv, kv * group + first, n);
    }
}

void g4_attend(g4_pass *p)
{
    enum { MAX_HEADS_OF_ITEM = 16 };
    const int group = p->c->n_heads / p->lc->n_kv;
    const int threads = g4_team_size(p->s->compute.team);
    task t = {.p = p, .heads = group < MAX_HEADS_OF_ITEM ? group : MAX_HEADS_OF_ITEM};
    /* few rows: split the heads, so that every thread has work */
    if ((int64_t)p->n_live * p->lc->n_kv < threads && t.heads > 1)
        t.heads = (t.heads + threads - 1) / threads;
    const int64_t items = (int64_t)p->n_live * p->lc->n_kv * ((group + t.heads - 1) / t.heads);
    g4_team_run(p->s->compute.team, items, 1, attend_items, &t);
}
