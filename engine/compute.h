#ifndef ENGINE_COMPUTE_H
#define ENGINE_COMPUTE_H
/*
 * compute.h — matrix products of one session: kernels, threads, and the 8-bit form of the input.
 *
 * Use        g4_input_begin says how long the rows are that come next; g4_input_set rounds one row
 *            (rows may be set by several threads); g4_multiply then computes any number of
 *            products with the same input, split over the threads by 16 outputs.
 * Precision  is_f32: weights to f32, no rounding of the input. Otherwise types with an integer
 *            product use it, the rest are as with is_f32. A fine input keeps what rounding to 8 bits
 *            left over as a second 8-bit row: 16 bits for twice the arithmetic and the same reads
 *            of memory.
 * Order      an output's sum is the same however many rows there are and whoever computes it.
 * Cost       a weight row is read once per call, unpacked once, and used for all rows.
 * Threads    one caller; g4_input_set may run inside a team's job.
 */
#include <stdbool.h>
#include <stdint.h>

#include "engine/kernels/ops.h"
#include "engine/team.h"
#include "engine/weights.h"

typedef struct g4_compute {
    const k_ops *ops;
    g4_team *team;
    bool is_f32;
    /* memory of the session's scratch */
    k_q8 q8; /* the input, rounded: [2, max_rows], the second half for fine inputs */
    int max_rows;
    bool is_fine;         /* the input at work */
    uint8_t *scratch;     /* [threads, scratch_bytes] */
    size_t scratch_bytes; /* of one thread: g4_compute_scratch_bytes and more */
    /* what was done since they were set to 0 */
    int64_t weight_bytes, flops;
} g4_compute;

/* y[r·y_stride + o] = W[mat] row o · x_r */
typedef struct g4_product {
    const g4_matrix *w;
    int slot;      /* g4_slot of w, for adapters; 0: never adapted */
    int mat;       /* which matrix of w */
    bool want_f32; /* whatever the session's precision */
    float *y;
    size_t y_stride;
} g4_product;

/* What g4_multiply needs for one thread, for rows of at most n elements. */
size_t g4_compute_scratch_bytes(int n);

static inline uint8_t *g4_scratch(const g4_compute *cx, int thread)
{
    return cx->scratch + (size_t)thread * cx->scratch_bytes;
}

void g4_input_begin(g4_compute *cx, int n);
void g4_input_begin_fine(g4_compute *cx, int n);
void g4_input_set(g4_compute *cx, int row, const float *x);

/* x: [rows, n_in], set as input row by row before. All jobs share n_in; n_jobs ≤ 4. */
void g4_multiply(g4_compute *cx, const g4_product *jobs, int n_jobs, const float *x, int rows);

#endif
