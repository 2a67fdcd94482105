#include "engine/adapt.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    PART_ROWS = 256,      /* rows that u has room for; longer products go in parts */
    SPAN_ROWS = 8,        /* rows of one work item: B is read once for all of them */
    RANK_STEP = 4,        /* rows of A of one work item */
    ITEM_WORK = 32 << 10, /* multiply-adds worth handing to another thread */
};

/* Consecutive rows that use the same factors. */
typedef struct span {
    const g4_lora *lora;
    int row, n;
} span;

typedef struct choice {
    const g4_adapter *adapter; /* NULL: none */
    float scale;
} choice;

struct g4_adapt {
    choice *of; /* [n_seqs] */
    int max_rank;
    float *u;                   /* [PART_ROWS, max_rank] A·x */
    float row_scale[PART_ROWS]; /* of the part at work */
    span spans[PART_ROWS];
};

/* ---- which sequence has which ---------------------------------------------------------------- */

void g4_adapt_free(g4_adapt *adapt)
{
    if (adapt == NULL)
        return;
    free(adapt->of);
    free(adapt->u);
    free(adapt);
}

const g4_adapter *g4_adapt_of(const g4_adapt *adapt, int seq, float *scale)
{
    *scale = adapt != NULL ? adapt->of[seq].scale : 0;
    return adapt != NULL ? adapt->of[seq].adapter : NULL;
}

void g4_adapt_clear(g4_adapt *adapt, int seq)
{
    if (adapt != NULL)
        adapt->of[seq] = (choice){0};
}

void g4_adapt_copy(g4_adapt *adapt, int from, int to)
{
    if (adapt != NULL)
        adapt->of[to] = adapt->of[from];
}

bool g4_adapt_any(const g4_adapt *adapt, const g4_row *rows, int n_rows)
{
    for (int r = 0; adapt != NULL && r < n_rows; r++)
        if (adapt->of[rows[r].seq].adapter != NULL)
            return true;
    return false;
}

static g4_adapt *adapt_new(int n_seqs)
{
    g4_adapt *adapt = calloc(1, sizeof *adapt);
    if (adapt == NULL)
        return NULL;
    adapt->of = calloc((size_t)n_seqs, sizeof *adapt->of);
    if (adapt->of != NULL)
        return adapt;
    g4_adapt_free(adapt);
    return NULL;
}

static as_code grow(g4_adapt *adapt, int rank, as_err *err)
{
    if (rank <= adapt->max_rank)
        return AS_OK;
    float *u = malloc((size_t)PART_ROWS * (size_t)rank * sizeof *u);
    if (u == NULL)
        return as_nomem(err);
    free(adapt->u);
    adapt->u = u;
    adapt->max_rank = rank;
    return AS_OK;
}

as_code g4_seq_set_adapter(g4_session *s, int seq, const g4_adapter *a, double scale, as_err *err)
{
    if (!g4_kv_is_alive(s->kv, seq))
        return as_fail(err, AS_RANGE, "session: sequence %d is not alive", seq);
    if (g4_kv_seq_rows(s->kv, seq) > 0)
        return as_fail(err, AS_RANGE,
                       "session: sequence %d already holds %d rows; choose its adapter before its "
                       "first row",
                       seq, g4_kv_seq_rows(s->kv, seq));
    if (a == NULL) {
        g4_adapt_clear(s->adapt, seq);
        return AS_OK;
    }
    if (a->model != s->model)
        return as_fail(err, AS_RANGE, "session: the adapter %s was opened for another model",
                       a->path);
    if (!isfinite((float)scale))
        return as_fail(err, AS_RANGE, "session: an adapter's scale of %g, want a finite number",
                       scale);
    if (s->adapt == NULL)
        s->adapt = adapt_new(s->options.n_seqs);
    if (s->adapt == NULL)
        return as_nomem(err);
    AS_TRY(grow(s->adapt, a->info.rank_max, err));
    s->adapt->of[seq] = (choice){.adapter = a, .scale = (float)scale};
    return AS_OK;
}

/* ---- products -------------------------------------------------------------------------------- */

void g4_adapt_embed(const g4_pass *p, int row, float *x)
{
    const choice *of = &p->s->adapt->of[p->rows[row].seq];
    if (of->adapter == NULL)
        return;
    const g4_lora *l = g4_adapter_lora(of->adapter, 0, G4_SLOT_EMBEDDING);
    if (l->a == NULL)
        return;
    const float scale = l->scale * of->scale;
    const float *u = l->a + (size_t)p->rows[row].token * (size_t)l->rank;
    for (int o = 0; o < l->n_out; o += G4_PANEL) {
        const int width = l->n_out - o < G4_PANEL ? l->n_out - o : G4_PANEL;
        const float *b = g4_lora_b(l, 0, o);
        float sum[G4_PANEL] = {0};
        for (int k = 0; k < l->rank; k++)
            for (int j = 0; j < width; j++)
                sum[j] += u[k] * b[(size_t)k * (size_t)width + (size_t)j];
        for (int j = 0; j < width; j++)
            x[o + j] += scale * sum[j];
    }
}

typedef struct task {
    const g4_compute *cx;
    const g4_adapt *adapt;
    const g4_product *job;
    const float *x;
    int first; /* row of the call that is the part's first */
    int steps; /* work items of a span */
} task;

/* u = A·x; items are spans times steps of the rank. */
static void down_items(void *user, int thread, int64_t begin, int64_t end)
{
    (void)thread;
    const task *t = user;
    for (int64_t i = begin; i < end; i++) {
        const span *g = &t->adapt->spans[i / t->steps];
        const g4_lora *l = g->lora;
        const int k = (int)(i % t->steps) * RANK_STEP;
        const int n = l->rank - k < RANK_STEP ? l->rank - k : RANK_STEP;
        if (n <= 0) /* another span has a higher rank */
            continue;
        const size_t stride = (size_t)t->adapt->max_rank;
        t->cx->ops->dot_f32(t->adapt->u + (size_t)g->row * stride + k, stride,
                            g4_lora_a(l, t->job->mat) + (size_t)k * (size_t)l->n_in, n,
                            t->x + (size_t)(t->first + g->row) * (size_t)l->n_in, g->n, l->n_in);
    }
}

/* y += s·(B·u); items are spans times panels of the outputs. */
static void up_items(void *user, int thread, int64_t begin, int64_t end)
{
    (void)thread;
    const task *t = user;
    const size_t stride = (size_t)t->adapt->max_rank;
    for (int64_t i = begin; i < end; i++) {
        const span *g = &t->adapt->spans[i / t->steps];
        const g4_lora *l = g->lora;
        const int o = (int)(i % t->steps) * G4_PANEL;
        const int width = l->n_out - o < G4_PANEL ? l->n_out - o : G4_PANEL;
        float sum[SPAN_ROWS * G4_PANEL] = {0};
        t->cx->ops->weigh(sum, t->adapt->u + (size_t)g->row * stride, stride, g->n, K_F32,
                          (const uint8_t *)(const void *)g4_lora_b(l, t->job->mat, o), l->rank,
                          width);
        for (int r = 0; r < g->n; r++) {
            const float scale = l->scale * t->adapt->row_scale[g->row + r];
            float *y = t->job->y + (size_t)(t->first + g->row + r) * t->job->y_stride + o;
            for (int j = 0; j < width; j++)
                y[j] += scale * sum[(size_t)r * (size_t)width + (size_t)j];
        }
    }
}

/* Finds the spans of rows [first, first + n) of the call; returns how many. */
static int find_spans(const g4_pass *p, g4_adapt *adapt, const g4_product *job, const int *live,
                      int first, int n)
{
    int n_spans = 0;
    const g4_lora *last = NULL;
    for (int i = 0; i < n; i++) {
        const int row = live != NULL ? live[first + i] : first + i;
        const choice *of = &adapt->of[p->rows[p->s->b.row_of[row]].seq];
        const g4_lora *l =
            of->adapter != NULL ? g4_adapter_lora(of->adapter, p->layer, (g4_slot)job->slot) : NULL;
        if (l != NULL && l->a == NULL)
            l = NULL;
        adapt->row_scale[i] = of->scale;
        if (l != NULL && l == last && adapt->spans[n_spans - 1].n < SPAN_ROWS)
            adapt->spans[n_spans - 1].n++;
        else if (l != NULL)
            adapt->spans[n_spans++] = (span){.lora = l, .row = i, .n = 1};
        last = l;
    }
    return n_spans;
}

static void run(const task *t, int n_spans, int64_t work, g4_job job)
{
    const int64_t n_items = (int64_t)n_spans * t->steps;
    const int64_t grain = n_items * ITEM_WORK / (work + 1) + 1;
    task copy = *t;
    g4_team_run(t->cx->team, n_items, grain, job, &copy);
}

static void add_part(g4_pass *p, const g4_product *job, const float *x, const int *live, int first,
                     int n)
{
    g4_adapt *adapt = p->s->adapt;
    g4_compute *cx = &p->s->compute;
    const int n_spans = find_spans(p, adapt, job, live, first, n);
    if (n_spans == 0)
        return;
    int rank = 0;
    int64_t down = 0;
    int64_t up = 0;
    for (int i = 0; i < n_spans; i++) {
        const g4_lora *l = adapt->spans[i].lora;
        assert(l->n_in == job->w->n_in && l->n_out == job->w->n_out);
        rank = l->rank > rank ? l->rank : rank;
        down += (int64_t)l->rank * l->n_in * adapt->spans[i].n;
        up += (int64_t)l->rank * l->n_out * adapt->spans[i].n;
        if (i == 0 || l != adapt->spans[i - 1].lora)
            cx->weight_bytes += (int64_t)sizeof(float) * l->rank * ((int64_t)l->n_in + l->n_out);
    }
    cx->flops += 2 * (down + up);
    task t = {.cx = cx, .adapt = adapt, .job = job, .x = x, .first = first};
    t.steps = (rank + RANK_STEP - 1) / RANK_STEP;
    run(&t, n_spans, down, down_items);
    t.steps = (job->w->n_out + G4_PANEL - 1) / G4_PANEL;
    run(&t, n_spans, up, up_items);
}

void g4_project(g4_pass *p, const g4_product *jobs, int n_jobs, const float *x, const int *live,
                int rows)
{
    g4_multiply(&p->s->compute, jobs, n_jobs, x, rows);
    if (!p->is_adapted)
        return;
    for (int j = 0; j < n_jobs; j++)
        for (int r = 0; jobs[j].slot != G4_SLOT_NONE && r < rows; r += PART_ROWS)
            add_part(p, &jobs[j], x, live, r, rows - r < PART_ROWS ? rows - r : PART_ROWS);
}
