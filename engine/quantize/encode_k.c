/*
 * The formats of 256 elements: sub-blocks whose scales are integers times a common factor.
 *
 * Three steps each. The sub-blocks are fitted alone (fit.h). Their scales and minima become integers
 * of the largest one. The elements are rounded again, with what those integers say.
 */
#include <math.h>
#include <string.h>

#include "engine/kernels/quant.h"
#include "engine/quantize/encode.h"
#include "engine/quantize/fit.h"

enum { SUBS_MAX = 16 };

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

/* ---- scales only: Q3_K, Q6_K ----------------------------------------------------------------- */

/* x[i] ≈ d · scale[i/16] · q[i] */
typedef struct scaled {
    float d;
    int scale[16]; /* lowest .. -lowest - 1 */
    float q[K_QK]; /* -half .. half - 1 */
} scaled;

typedef float scale_fitter(float *q, const float *x, int n, int half);

/* False for a block of nothing, whose bytes are all zero. */
static bool fit_scaled(scaled *b, const float *x, scale_fitter *fit, int lowest, int half)
{
    float fitted[16];
    float largest = 0;
    *b = (scaled){0};
    for (size_t j = 0; j < 16; j++) {
        fitted[j] = fit(b->q + j * 16, x + j * 16, 16, half);
        if (fabsf(fitted[j]) > fabsf(largest))
            largest = fitted[j];
    }
    if (fabsf(largest) < 1e-15F)
        return false;
    const float inv = (float)lowest / largest;
    b->d = as_f16(1 / inv);
    for (int j = 0; j < 16; j++) {
        b->scale[j] = (int)g4_fit_code(inv * fitted[j], (float)lowest, (float)(-lowest - 1));
        const float d = b->d * (float)b->scale[j];
        for (int i = 16 * j; (d > 0 || d < 0) && i < 16 * j + 16; i++)
            b->q[i] = g4_fit_code(x[i] / d, (float)-half, (float)(half - 1));
    }
    return true;
}

void g4_encode_q6_k(uint8_t *out, const float *x)
{
    scaled b;
    memset(out, 0, 210);
    if (!fit_scaled(&b, x, g4_fit_scale, -128, 32))
        return;
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
    memset(out, 0, 110);
    if (!fit_scaled(&b, x, g4_fit_descent, -32, 4))
        return;
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
    int hi;      /* of q */
    float d, dmin;
    int scale[SUBS_MAX], min[SUBS_MAX];
    float q[K_QK];
} ranged;

/* |x|, and the sub-block's root mean square if the format has blocks large enough to have one. */
static void weigh(float *w, const float *x, int n, bool with_rms)
{
    float squares = 0;
    for (int i = 0; i < n; i++)
        squares += x[i] * x[i];
    const float rms = with_rms ? sqrtf(squares / (float)n) : 0;
    for (int i = 0; i < n; i++)
        w[i] = rms + fabsf(x[i]);
}

/* Scales as integers of the largest, 0 .. top; gives the factor. */
static float to_integers(int *out, const float *v, int n, float largest, int top)
{
    const float inv = largest > 0 ? (float)top / largest : 0;
    for (int j = 0; j < n; j++)
        out[j] = (int)g4_fit_code(inv * v[j], 0, (float)top);
    return as_f16(largest / (float)top);
}

static void fit_ranged(ranged *b, const float *x, const g4_fit_ladder *ladder, bool with_rms)
{
    float w[K_QK];
    float scales[SUBS_MAX];
    float mins[SUBS_MAX];
    float largest = 0;
    float deepest = 0;
    for (int j = 0, at = 0; j < b->subs; j++, at += b->n)
        weigh(w + at, x + at, b->n, with_rms);
    for (int j = 0, at = 0; j < b->subs; j += G4_FIT_SUBS, at += G4_FIT_SUBS * b->n)
        g4_fit_ranges(b->q + at, scales + j, mins + j, x + at, w + at, b->n, b->hi, ladder);
    for (int j = 0; j < b->subs; j++) {
        largest = scales[j] > largest ? scales[j] : largest;
        deepest = mins[j] > deepest ? mins[j] : deepest;
    }
    b->d = to_integers(b->scale, scales, b->subs, largest, b->top);
    b->dmin = to_integers(b->min, mins, b->subs, deepest, b->top);
    for (int i = 0; i < K_QK; i++) {
        const int j = i / b->n;
        const float d = b->d * (float)b->scale[j];
        if (d > 0)
            b->q[i] = g4_fit_code((x[i] + b->dmin * (float)b->min[j]) / d, 0, (float)b->hi);
    }
}

void g4_encode_q2_k(uint8_t *out, const float *x)
{
    ranged b = {.n = 16, .subs = 16, .top = 15, .hi = 3};
    fit_ranged(&b, x, &(g4_fit_ladder){-0.5F, 0.1F, 15, G4_FIT_DISTANCES}, false);
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
    fit_ranged(&b, x, &(g4_fit_ladder){-1, 0.1F, 20, G4_FIT_SQUARES}, true);
    memset(out, 0, 144);
    put_f16(out, b.d);
    put_f16(out + 2, b.dmin);
    put_pairs(out + 4, &b);
    put_nibbles(out + 16, &b);
}

void g4_encode_q5_k(uint8_t *out, const float *x)
{
    ranged b = {.n = 32, .subs = 8, .top = 63, .hi = 31};
    fit_ranged(&b, x, &(g4_fit_ladder){-0.5F, 0.1F, 15, G4_FIT_SQUARES}, true);
    memset(out, 0, 176);
    put_f16(out, b.d);
    put_f16(out + 2, b.dmin);
    put_pairs(out + 4, &b);
    for (int i = 0; i < K_QK; i++)
        out[16 + i % 32] |= (uint8_t)(((int)b.q[i] >> 4) << i / 32);
    put_nibbles(out + 48, &b);
}
