#include "engine/compute.h"

#include <assert.h>

enum {
    MAX_JOBS = 4,
    TILE_ROWS = 3, /* from so many rows on, packing a tile pays */
    RUNS_PER_THREAD = 8,
};

typedef struct task {
    const g4_compute *cx;
    const g4_product *jobs;
    int n_jobs;
    int first_tile[MAX_JOBS + 1];
    const float *x;
    int rows;
} task;

size_t g4_compute_scratch_bytes(int n)
{
    const size_t padded = ((size_t)n + 255) / 256 * 256;
    const size_t f32 = padded * K_TILE * sizeof(float);
    const size_t tile = k_tile_bytes((int)padded);
    return f32 > tile ? f32 : tile;
}

void g4_input_begin(g4_compute *cx, int n)
{
    cx->q8.n = n;
}

void g4_input_set(g4_compute *cx, int row, const float *x)
{
    if (!cx->is_f32 && cx->q8.n % K_BLOCK == 0)
        cx->ops->quantize(&cx->q8, row, x);
}

/* Outputs [o, o + n_out) by the integer product. */
static void tile_i8(const task *t, const g4_product *job, uint8_t *scratch, const uint8_t *w, int o,
                    int n_out)
{
    const k_ops *ops = t->cx->ops;
    const g4_matrix *m = job->w;
    if (t->rows < TILE_ROWS) {
        for (int r = 0; r < t->rows; r++)
            ops->mul_one(job->y + (size_t)r * job->y_stride + o, m->i8, w, m->row_bytes, n_out,
                         &t->cx->q8, r);
        return;
    }
    k_tile tile = {.format = m->i8};
    k_tile_place(&tile, scratch, m->n_in);
    ops->pack(&tile, w, m->row_bytes, n_out);
    ops->mul_tile(job->y + o, job->y_stride, &tile, n_out, &t->cx->q8, 0, t->rows);
}

/* The same with weights as f32. */
static void tile_f32(const task *t, const g4_product *job, uint8_t *scratch, const uint8_t *w,
                     int o, int n_out)
{
    const k_ops *ops = t->cx->ops;
    const g4_matrix *m = job->w;
    const size_t n = (size_t)m->n_in;
    float *rows = (float *)(void *)scratch;
    if (t->rows < TILE_ROWS) { /* one weight row at a time stays in the first cache */
        for (int i = 0; i < n_out; i++) {
            ops->dequant(rows, m->type, w + (size_t)i * m->row_bytes, m->n_in);
            ops->dot_f32(job->y + o + i, job->y_stride, rows, 1, t->x, t->rows, m->n_in);
        }
        return;
    }
    for (int i = 0; i < n_out; i++)
        ops->dequant(rows + (size_t)i * n, m->type, w + (size_t)i * m->row_bytes, m->n_in);
    ops->dot_f32(job->y + o, job->y_stride, rows, n_out, t->x, t->rows, m->n_in);
}

static void multiply_tiles(void *user, int thread, int64_t begin, int64_t end)
{
    const task *t = user;
    uint8_t *scratch = g4_scratch(t->cx, thread);
    int j = 0;
    for (int64_t i = begin; i < end; i++) {
        while (i >= t->first_tile[j + 1])
            j++;
        const g4_product *job = &t->jobs[j];
        const g4_matrix *m = job->w;
        const int o = (int)(i - t->first_tile[j]) * K_TILE;
        const int n_out = m->n_out - o < K_TILE ? m->n_out - o : K_TILE;
        const uint8_t *w = m->data + (size_t)job->mat * m->mat_bytes + (size_t)o * m->row_bytes;
        if (t->cx->is_f32 || job->want_f32 || m->i8 == NULL)
            tile_f32(t, job, scratch, w, o, n_out);
        else
            tile_i8(t, job, scratch, w, o, n_out);
    }
}

void g4_multiply(g4_compute *cx, const g4_product *jobs, int n_jobs, const float *x, int rows)
{
    assert(n_jobs >= 1 && n_jobs <= MAX_JOBS);
    if (rows == 0)
        return;
    task t = {.cx = cx, .jobs = jobs, .n_jobs = n_jobs, .x = x, .rows = rows};
    for (int j = 0; j < n_jobs; j++) {
        const g4_matrix *m = jobs[j].w;
        assert(m->n_in == cx->q8.n);
        t.first_tile[j + 1] = t.first_tile[j] + (m->n_out + K_TILE - 1) / K_TILE;
        cx->weight_bytes += (int64_t)(m->row_bytes * (size_t)m->n_out);
        cx->flops += (int64_t)2 * m->n_in * m->n_out * rows;
    }
    const int64_t n_tiles = t.first_tile[n_jobs];
    const int64_t runs = (int64_t)g4_team_size(cx->team) * RUNS_PER_THREAD;
    const int64_t grain = n_tiles / runs;
    g4_team_run(cx->team, n_tiles, grain > 0 ? grain : 1, multiply_tiles, &t);
}
