/*
 * The formats of 256 elements: sub-blocks whose scales are integers times a common factor.
 *
 * Three steps each. The sub-blocks are fitted alone (fit.h). Their scales and minima become integers
 * of the largest one, and each integer's neighbours are tried with the elements rounded anew. Then
 * the common factors, which until now only served the largest sub-block, are solved for all integers
 * together, and the elements rounded a last time.
 */
#include <math.h>
#include <string.h>

#include "engine/kernels/quant.h"
#include "engine/quantize/encode.h"
#include "engine/quantize/fit.h"

enum { SUBS_MAX = 16, ROUNDS = 2 };

static void put_f16(uint8_t *out, float f)
{
    const uint16_t h = k_f32_to_f16(f);
    out[0] = (uint8_t)(h & 0xFF);
    out[1] = (uint8_t)(h >> 8);
}

static float as_f16(float f)
{
    return k_f16_to_f32(k_f32_to_f16(f));
}

/* ---- weights --------------------------------------------------------------------------------- */

typedef enum weighting { BY_SQUARE, BY_SIZE, BY_SIZE_AND_RMS } weighting;

static void weigh(float *w, const float *x, int n, weighting how)
{
    float rms = 0;
    for (int i = 0; i < n; i++)
        rms += x[i] * x[i];
    rms = sqrtf(rms / (float)n);
    for (int i = 0; i < n; i++)
        w[i] = how == BY_SQUARE ? x[i] * x[i] : fabsf(x[i]) + (how == BY_SIZE ? 0 : rms);
}

/* ---- scales only: Q3_K, Q6_K ----------------------------------------------------------------- */

/* x[i] ≈ d · scale[i/16] · q[i] */
typedef struct scaled {
    float d;
    int scale[16]; /* lowest .. -lowest - 1 */
    float q[K_QK]; /* lo .. hi */
} scaled;

/* Each sub-block's integer scale: the nearest one or a neighbour, whichever rounds best. */
static float choose_scales(scaled *b, const float *x, const float *w, const float fitted[16],
                           int lowest, float lo, float hi)
{
    float total = 0;
    for (int j = 0; j < 16; j++) {
        const float *sub = x + 16 * j;
        const int near = (int)lrintf(fitted[j] / b->d);
        float best = -1;
        for (int s = near - 1; s <= near + 1; s++) {
            if (s < lowest || s > -lowest - 1)
                continue;
            float q[16];
            const float error = g4_fit_round(q, sub, w + 16 * j, 16, b->d * (float)s, 0, lo, hi);
            if (best < 0 || error < best) {
                best = error;
                b->scale[j] = s;
                memcpy(b->q + 16 * j, q, sizeof q);
            }
        }
        total += best;
    }
    return total;
}

/* The common factor of least error for these integers. */
static float solve_factor(const scaled *b, const float *x, const float *w)
{
    double xa = 0;
    double aa = 0;
    for (int i = 0; i < K_QK; i++) {
        const double a = (double)b->scale[i / 16] * (double)b->q[i];
        xa += (double)w[i] * (double)x[i] * a;
        aa += (double)w[i] * a * a;
    }
    return aa > 0 ? (float)(xa / aa) : 0;
}

static void fit_scaled(scaled *out, const float *x, weighting how, int lowest, float lo, float hi)
{
    float w[K_QK];
    float fitted[16];
    float largest = 0;
    weigh(w, x, K_QK, how);
    *out = (scaled){0};
    for (int j = 0; j < 16; j++) {
        fitted[j] = g4_fit_scale(out->q + 16 * j, x + 16 * j, w + 16 * j, 16, lo, hi);
        if (fabsf(fitted[j]) > fabsf(largest))
            largest = fitted[j];
    }
    out->d = as_f16(largest / (float)lowest);
    if (!(out->d > 0 || out->d < 0)) {
        memset(out->q, 0, sizeof out->q);
        return;
    }
    float error = choose_scales(out, x, w, fitted, lowest, lo, hi);
    for (int round = 0; round < ROUNDS; round++) {
        scaled next = *out;
        next.d = as_f16(solve_factor(out, x, w));
        if (!(next.d > 0 || next.d < 0))
            return;
        const float e = choose_scales(&next, x, w, fitted, lowest, lo, hi);
        if (!(e < error))
            return;
        error = e;
        *out = next;
    }
}

void g4_encode_q6_k(uint8_t *out, const float *x)
{
    scaled b;
    fit_scaled(&b, x, BY_SQUARE, -128, -32, 31);
    memset(out, 0, 210);
    for (int i = 0; i < K_QK; i++) {
        const int q = (int)b.q[i] + 32;
        const int h = i / 128;
        const int g = i / 32 % 4;
        const int l = i % 32;
        out[64 * h + 32 * (g & 1) + l] |= (uint8_t)((q & 15) << (g < 2 ? 0 : 4));
        out[128 + 32 * h + l] |= (uint8_t)((q >> 4) << 2 * g);
    }
    for (int j = 0; j < 16; j++)
        out[192 + j] = (uint8_t)(b.scale[j] & 0xFF);
    put_f16(out + 208, b.d);
}

void g4_encode_q3_k(uint8_t *out, const float *x)
{
    scaled b;
    fit_scaled(&b, x, BY_SIZE, -32, -4, 3);
    memset(out, 0, 110);
    for (int i = 0; i < K_QK; i++) {
        const int q = (int)b.q[i] + 4; /* 0 .. 7, the third bit in the mask */
        const int h = i / 128;
        const int g = i / 32 % 4;
        const int l = i % 32;
        out[l] |= (uint8_t)((q >> 2) << (4 * h + g));
        out[32 + 32 * h + l] |= (uint8_t)((q & 3) << 2 * g);
    }
    uint8_t *sc = out + 96;
    for (int j = 0; j < 16; j++) {
        const int s = b.scale[j] + 32;
        sc[j % 8] |= (uint8_t)((s & 15) << (j < 8 ? 0 : 4));
        sc[8 + j % 4] |= (uint8_t)((s >> 4) << 2 * (j / 4));
    }
    put_f16(out + 108, b.d);
}

/* ---- scales and minima: Q2_K, Q4_K, Q5_K ----------------------------------------------------- */

/* x[i] ≈ d · scale[i/n] · q[i] - dmin · min[i/n] */
typedef struct ranged {
    int n, subs; /* elements of a sub-block, sub-blocks */
    int top;     /* of scale and min */
    float hi;    /* of q */
    float d, dmin;
    int scale[SUBS_MAX], min[SUBS_MAX];
    float q[K_QK];
} ranged;

static int clamp(int v, int hi)
{
    return v < 0 ? 0 : v > hi ? hi : v;
}

static int near_integer(float v, float unit)
{
    return unit > 0 ? (int)lrintf(v / unit) : 0;
}

static float choose_pairs(ranged *b, const float *x, const float *w, const float *scales,
                          const float *mins)
{
    float total = 0;
    for (int j = 0; j < b->subs; j++) {
        const int at = b->n * j;
        const int near_s = clamp(near_integer(scales[j], b->d), b->top);
        const int near_m = clamp(near_integer(mins[j], b->dmin), b->top);
        float best = -1;
        for (int s = clamp(near_s - 1, b->top); s <= clamp(near_s + 1, b->top); s++)
            for (int m = clamp(near_m - 1, b->top); m <= clamp(near_m + 1, b->top); m++) {
                float q[G4_FIT_MAX];
                const float error = g4_fit_round(q, x + at, w + at, b->n, b->d * (float)s,
                                                 b->dmin * (float)m, 0, b->hi);
                if (best < 0 || error < best) {
                    best = error;
                    b->scale[j] = s;
                    b->min[j] = m;
                    memcpy(b->q + at, q, (size_t)b->n * sizeof q[0]);
                }
            }
        total += best;
    }
    return total;
}

/* Both common factors of least error for these integers; false if they cannot be told apart. */
static bool solve_factors(ranged *b, const float *x, const float *w)
{
    double aa = 0;
    double ab = 0;
    double bb = 0;
    double xa = 0;
    double xb = 0;
    for (int i = 0; i < K_QK; i++) {
        const double a = (double)b->scale[i / b->n] * (double)b->q[i];
        const double m = (double)b->min[i / b->n];
        const double wx = (double)w[i] * (double)x[i];
        aa += (double)w[i] * a * a;
        ab += (double)w[i] * a * m;
        bb += (double)w[i] * m * m;
        xa += wx * a;
        xb += wx * m;
    }
    const double det = aa * bb - ab * ab;
    if (!(det > 1e-9 * aa * bb))
        return false;
    b->d = as_f16((float)((xa * bb - xb * ab) / det));
    b->dmin = as_f16((float)((xa * ab - xb * aa) / det));
    return b->d > 0 && b->dmin >= 0;
}

static void fit_ranged(ranged *b, const float *x, weighting how)
{
    float w[K_QK];
    float scales[SUBS_MAX];
    float mins[SUBS_MAX];
    float largest = 0;
    float deepest = 0;
    for (int j = 0; j < b->subs; j++) {
        const int at = b->n * j;
        weigh(w + at, x + at, b->n, how);
        scales[j] = g4_fit_affine(b->q + at, &mins[j], x + at, w + at, b->n, b->hi);
        largest = scales[j] > largest ? scales[j] : largest;
        deepest = mins[j] > deepest ? mins[j] : deepest;
    }
    b->d = as_f16(largest / (float)b->top);
    b->dmin = as_f16(deepest / (float)b->top);
    float error = choose_pairs(b, x, w, scales, mins);
    for (int round = 0; round < ROUNDS; round++) {
        ranged next = *b;
        if (!solve_factors(&next, x, w))
            return;
        const float e = choose_pairs(&next, x, w, scales, mins);
        if (!(e < error))
            return;
        error = e;
        *b = next;
    }
}

void g4_encode_q2_k(uint8_t *out, const float *x)
{
    ranged b = {.n = 16, .subs = 16, .top = 15, .hi = 3};
    fit_ranged(&b, x, BY_SIZE);
    memset(out, 0, 84);
    for (int j = 0; j < 16; j++)
        out[j] = (uint8_t)(b.scale[j] | b.min[j] << 4);
    for (int i = 0; i < K_QK; i++)
        out[16 + 32 * (i / 128) + i % 32] |= (uint8_t)((int)b.q[i] << 2 * (i / 32 % 4));
    put_f16(out + 80, b.d);
    put_f16(out + 82, b.dmin);
}

/* The 12 bytes of eight 6-bit pairs that Q4_K and Q5_K have. */
static void put_pairs(uint8_t *sc, const ranged *b)
{
    for (int j = 0; j < 4; j++) {
        const int s = b->scale[j + 4];
        const int m = b->min[j + 4];
        sc[j] = (uint8_t)(b->scale[j] | (s >> 4) << 6);
        sc[j + 4] = (uint8_t)(b->min[j] | (m >> 4) << 6);
        sc[j + 8] = (uint8_t)((s & 15) | (m & 15) << 4);
    }
}

static void put_nibbles(uint8_t *qs, const ranged *b)
{
    for (int i = 0; i < K_QK; i++) {
        const int j = i / 32;
        qs[32 * (j / 2) + i % 32] |= (uint8_t)(((int)b->q[i] & 15) << (j % 2 == 0 ? 0 : 4));
    }
}

void g4_encode_q4_k(uint8_t *out, const float *x)
{
    ranged b = {.n = 32, .subs = 8, .top = 63, .hi = 15};
    fit_ranged(&b, x, BY_SIZE_AND_RMS);
    memset(out, 0, 144);
    put_f16(out, b.d);
    put_f16(out + 2, b.dmin);
    put_pairs(out + 4, &b);
    put_nibbles(out + 16, &b);
}

void g4_encode_q5_k(uint8_t *out, const float *x)
{
    ranged b = {.n = 32, .subs = 8, .top = 63, .hi = 31};
    fit_ranged(&b, x, BY_SIZE_AND_RMS);
    memset(out, 0, 176);
    put_f16(out, b.d);
    put_f16(out + 2, b.dmin);
    put_pairs(out + 4, &b);
    for (int i = 0; i < K_QK; i++)
        out[16 + i % 32] |= (uint8_t)(((int)b.q[i] >> 4) << i / 32);
    put_nibbles(out + 48, &b);
}
