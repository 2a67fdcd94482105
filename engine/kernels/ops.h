#ifndef ENGINE_KERNELS_OPS_H
#define ENGINE_KERNELS_OPS_H
/*
 * ops.h — the inner loops, one table of functions per instruction set, chosen at run time.
 *
 * Families   "portable" (C11), "avx2" (AVX2, FMA, F16C), "avx512-vnni" (F, BW, VL, VNNI).
 * Order      Each result has one order of additions, whatever the batch or thread count:
 *              k_dot_f32    32 lanes, lane i%32 adds element i in turn, then a fixed tree;
 *              products of quantised rows
 *                           per block of 32 (or its halves of 16) an exact integer sum, then
 *                           acc = fma(sum, scale·d, acc) from the first block to the last.
 *            The second order is the same in all families, so their results are equal bit for bit.
 *            In f32 products the portable family multiplies and adds, the others fuse.
 * Shapes     weights [n_out, n] in rows of row_bytes; activations [rows, n]; results y[row, out]
 *            with y_stride floats between rows.
 * Errors     none; shapes are asserted by the callers.
 * Threads    pure.
 * Testing    every function of every family against the _ref functions of ref.h (test_kernels.c).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/kernels/quant.h"

enum {
    K_TILE = 16,  /* weight rows of one packed tile */
    K_STRIP = 8,  /* weight rows of one step of mul_one */
    K_ALIGN = 64, /* bytes; of all buffers that the engine itself allocates */
};

/* Activations rounded to 8 bits in blocks of 32: x[i] ≈ d[i/32] · q[i]. Arrays are [rows, n/…]. */
typedef struct k_q8 {
    int n;          /* elements of a row, a multiple of 32 */
    int8_t *q;      /* [rows, n], -127 .. 127 */
    float *d;       /* [rows, n/32] */
    float *ds;      /* [rows, n/32]: d times the sum of the block's q */
    int32_t *sum16; /* [rows, n/16]: sums of 16 consecutive q */
} k_q8;

/* How a quantised format enters an integer product: w[i] = scale·(u - offset) + min, u unsigned. */
typedef struct k_i8_format {
    uint32_t type;
    int block_n, block_bytes;
    int offset;     /* 0, 8, 16, 32 or 128 */
    bool is_halved; /* a scale for each 16 elements instead of 32 */
    bool has_min;
} k_i8_format;

/* NULL: this type has no integer product; de-quantise and use f32. */
const k_i8_format *k_i8_format_of(uint32_t type);

static inline size_t k_row_bytes_of(const k_i8_format *f, int n)
{
    return (size_t)(n / f->block_n) * (size_t)f->block_bytes;
}

/* Sixteen weight rows made ready for many activation rows. Rows beyond n_out hold anything. */
typedef struct k_tile {
    const k_i8_format *format;
    int n;
    uint8_t *u;   /* [n/4, 16, 4] */
    float *scale; /* [n/32, 16], halved formats [n/16, 16] */
    float *min;   /* [n/32, 16], only with has_min */
} k_tile;

/* Bytes behind u, scale and min for rows of n elements: multiples of K_ALIGN. */
size_t k_tile_bytes(int n);
void k_tile_place(k_tile *t, uint8_t *memory, int n);

typedef struct k_ops {
    const char *name;

    /* y: [n], exactly k_dequant_ref. */
    void (*dequant)(float *y, uint32_t type, const uint8_t *row, int n);
    /* y[r·y_stride + o] = w_o · x_r: w: [outs, n], x: [rows, n]. Four rows of x are read for each
     * row of w, so keep w within the second cache. */
    void (*dot_f32)(float *y, size_t y_stride, const float *w, int outs, const float *x, int rows,
                    int n);

    /* Row r of out from x: [n]. d = max|x|/127, q = round-half-away(x · 1/d). A block with an
     * infinity or NaN gets d = NaN, so that the damage shows in every product. */
    void (*quantize)(const k_q8 *out, int r, const float *x);
    /* y[o] = w_o · x_r for o = 0 .. n_out-1 */
    void (*mul_one)(float *y, const k_i8_format *f, const uint8_t *w, size_t row_bytes, int n_out,
                    const k_q8 *x, int r);
    /* Fills a tile from n_out ≤ 16 rows, then y[r·y_stride + o] for rows r0 .. r0+rows-1 of x;
     * y is row r0's. */
    void (*pack)(k_tile *t, const uint8_t *w, size_t row_bytes, int n_out);
    void (*mul_tile)(float *y, size_t y_stride, const k_tile *t, int n_out, const k_q8 *x, int r0,
                     int rows);

    /* Rows of keys and values are stored as K_F32, K_F16 or K_Q8_0 (then dh is a multiple of 32),
     * one behind the other. Each function gives the bits that it gives for the same values as f32. */
    /* row from x: [n]: to the nearest half, ties to even, or by the rule of quantize. */
    void (*store)(uint8_t *row, uint32_t type, const float *x, int n);
    /* s[h·s_stride + j] = scale · (q_h · k_j): q: [heads, dh], k: [n_keys, dh] */
    void (*scores)(float *s, size_t s_stride, const float *q, int heads, uint32_t type,
                   const uint8_t *k, int n_keys, int dh, float scale);
    /* o_h += Σ_j p[h·p_stride + j] · v_j, in the order of j: o: [heads, dh], v: [n_keys, dh] */
    void (*weigh)(float *o, const float *p, size_t p_stride, int heads, uint32_t type,
                  const uint8_t *v, int n_keys, int dh);
    /* s[j] = exp(s[j] - max s), returns their sum */
    float (*softmax)(float *s, int n);
    /* y[i] = gelu_tanh(gate[i]) · up[i]; y may be gate or up */
    void (*gelu_mul)(float *y, const float *gate, const float *up, int n);
} k_ops;

/* The fastest family this processor can run. */
const k_ops *k_ops_best(void);
/* Families this processor can run, the portable one first; NULL behind the last. */
const k_ops *k_ops_at(int i);

/* ---- the same everywhere --------------------------------------------------------------------- */

/* y[i] = x[i] · (mean x² + eps)^(-1/2) · w[i]; w NULL: without weight. Sum in f64. y may be x. */
void k_rms(float *y, const float *x, const float *w, int n, float eps);

/* Half-split rotation of x: [dh] in place: pairs (i, i + dh/2), angles as cos and sin: [dh/2]. */
void k_rope(float *x, const float *cos, const float *sin, int dh);

#endif
