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
    cx->is_fine = false;
}

void g4_input_begin_fine(g4_compute *cx, int n)
{
    cx->q8.n = n;
    cx->is_fine = true;
}

/* Rounds what is left of x after row `row` into row max_rows + row, block by block. */
static void set_rest(const g4_compute *cx, int row, const float *x)
{
    const size_t n = (size_t)cx->q8.n;
    const size_t coarse = (size_t)row;
    const size_t fine = (size_t)cx->max_rows + coarse;
    for (size_t b = 0; b < n / K_BLOCK; b++) {
        const float d = cx->q8.d[coarse * (n / K_BLOCK) + b];
        const int8_t *q = cx->q8.q + coarse * n + b * K_BLOCK;
        float rest[K_BLOCK];
        for (size_t i = 0; i < K_BLOCK; i++)
            rest[i] = x[b * K_BLOCK + i] - d * (float)q[i];
        const k_q8 block = {
            .n = K_BLOCK,
            .q = cx->q8.q + fine * n + b * K_BLOCK,
            .d = cx->q8.d + fine * (n / K_BLOCK) + b,
            .ds = cx->q8.ds + fine * (n / K_BLOCK) + b,
            .sum16 = cx->q8.sum16 + (fine * (n / K_BLOCK) + b) * 2,
        };
        cx->ops->quantize(&block, 0, rest);
    }
}

void g4_input_set(g4_compute *cx, int row, const float *x)
{
    if (cx->is_f32 || cx->q8.n % K_BLOCK != 0)
        return;
    cx->ops->quantize(&cx->q8, row, x);
    if (cx->is_fine)
        set_rest(cx, row, x);
}

static void add_to(float *y, const float *rest, int n)
{
    for (int i = 0; i < n; i++)
        y[i] += rest[i];
}

/* Outputs [o, o + n_out) by the integer product, straight from the blocks. */
static void strip_i8(const task *t, const g4_product *job, const uint8_t *w, int o, int n_out)
{
    const k_ops *ops = t->cx->ops;
    const g4_matrix *m = job->w;
    for (int r = 0; r < t->rows; r++) {
        float *y = job->y + (size_t)r * job->y_stride + o;
        ops->mul_one(y, m->i8, w, m->row_bytes, n_out, &t->cx->q8, r);
        if (t->cx->is_fine) {
            float rest[K_TILE];
            ops->mul_one(rest, m->i8, w, m->row_bytes, n_out, &t->cx->q8, t->cx->max_rows + r);
            add_to(y, rest, n_out);
        }
    }
}

/* The same through a tile that is unpacked once. */
static void tile_i8(const task *t, const g4_product *job, uint8_t *scratch, const uint8_t *w, int o,
                    int n_out)
{
    enum { REST_ROWS = 64 };
    const k_ops *ops = t->cx->ops;
    const g4_matrix *m = job->w;
    k_tile tile = {.format = m->i8};
    k_tile_place(&tile, scratch, m->n_in);
    ops->pack(&tile, w, m->row_bytes, n_out);
    ops->mul_tile(job->y + o, job->y_stride, &tile, n_out, &t->cx->q8, 0, t->rows);
    for (int r = 0; t->cx->is_fine && r < t->rows; r += REST_ROWS) {
        const int part = t->rows - r < REST_ROWS ? t->rows - r : REST_ROWS;
        float rest[REST_ROWS * K_TILE];
        ops->mul_tile(rest, K_TILE, &tile, n_out, &t->cx->q8, t->cx->max_rows + r, part);
        for (int i = 0; i < part; i++)
            add_to(job->y + (size_t)(r + i) * job->y_stride + o, rest + (size_t)i * K_TILE, n_out);
    }
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
        else if (t->rows < TILE_ROWS)
            strip_i8(t, job, w, o, n_out);
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
