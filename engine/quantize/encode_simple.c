/* The formats of 1 and 32 elements, and the table of all. */
#include "engine/quantize/encode.h"

#include <math.h>
#include <string.h>

#include "engine/kernels/quant.h"

static void put_f16(uint8_t *out, float f)
{
    const uint16_t h = k_f32_to_f16(f);
    out[0] = (uint8_t)(h & 0xFF);
    out[1] = (uint8_t)(h >> 8);
}

static void put_u32(uint8_t *out, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(v >> 8 * i & 0xFF);
}

static uint32_t bits_of(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

/* ---- single elements ------------------------------------------------------------------------- */

static void encode_f32(uint8_t *out, const float *x)
{
    put_u32(out, bits_of(*x));
}

static void encode_f16(uint8_t *out, const float *x)
{
    put_f16(out, *x);
}

/* To nearest, ties to even; a NaN stays one. */
static void encode_bf16(uint8_t *out, const float *x)
{
    const uint32_t bits = bits_of(*x);
    const bool is_nan = (bits & 0x7FFFFFFFU) > 0x7F800000U;
    const uint32_t h = is_nan ? bits >> 16 | 64 : (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
    out[0] = (uint8_t)(h & 0xFF);
    out[1] = (uint8_t)(h >> 8 & 0xFF);
}

/* ---- blocks of 32 ---------------------------------------------------------------------------- */

/* The first element of the largest magnitude, with its sign. */
static float largest(const float *x)
{
    float best = 0;
    float magnitude = 0;
    for (int i = 0; i < K_BLOCK; i++)
        if (fabsf(x[i]) > magnitude) {
            magnitude = fabsf(x[i]);
            best = x[i];
        }
    return best;
}

/* q of 0 .. top with top/2 in the middle: (int)(x/d + middle + 0.5). */
static int code_of(float x, float inv, float middle, int top)
{
    const int q = (int)(x * inv + middle + 0.5F);
    return q > top ? top : q;
}

static void put_nibbles(uint8_t *out, const int q[K_BLOCK])
{
    for (int j = 0; j < 16; j++)
        out[j] = (uint8_t)((q[j] & 15) | (q[j + 16] & 15) << 4);
}

static void put_fifth_bits(uint8_t *out, const int q[K_BLOCK])
{
    uint32_t bits = 0;
    for (int j = 0; j < K_BLOCK; j++)
        bits |= (uint32_t)(q[j] >> 4 & 1) << j;
    put_u32(out, bits);
}

/* Q4_0 and Q5_0: the largest element becomes the lowest code. */
static void code_centred(int q[K_BLOCK], uint8_t *d_out, const float *x, int middle)
{
    const float d = largest(x) / (float)-middle;
    const float inv = d > 0 || d < 0 ? 1 / d : 0;
    put_f16(d_out, d);
    for (int i = 0; i < K_BLOCK; i++)
        q[i] = code_of(x[i], inv, (float)middle, 2 * middle - 1);
}

static void encode_q4_0(uint8_t *out, const float *x)
{
    int q[K_BLOCK];
    code_centred(q, out, x, 8);
    put_nibbles(out + 2, q);
}

static void encode_q5_0(uint8_t *out, const float *x)
{
    int q[K_BLOCK];
    code_centred(q, out, x, 16);
    put_fifth_bits(out + 2, q);
    put_nibbles(out + 6, q);
}

/* Q4_1 and Q5_1: from the smallest to the largest element. */
static void code_ranged(int q[K_BLOCK], uint8_t *out, const float *x, int top)
{
    float low = x[0];
    float high = x[0];
    for (int i = 1; i < K_BLOCK; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
    }
    const float d = (high - low) / (float)top;
    const float inv = d > 0 ? 1 / d : 0;
    put_f16(out, d);
    put_f16(out + 2, low);
    for (int i = 0; i < K_BLOCK; i++)
        q[i] = code_of(x[i] - low, inv, 0, top);
}

static void encode_q4_1(uint8_t *out, const float *x)
{
    int q[K_BLOCK];
    code_ranged(q, out, x, 15);
    put_nibbles(out + 4, q);
}

static void encode_q5_1(uint8_t *out, const float *x)
{
    int q[K_BLOCK];
    code_ranged(q, out, x, 31);
    put_fifth_bits(out + 4, q);
    put_nibbles(out + 8, q);
}

static void encode_q8_0(uint8_t *out, const float *x)
{
    const float d = fabsf(largest(x)) / 127;
    const float inv = d > 0 ? 1 / d : 0;
    put_f16(out, d);
    for (int i = 0; i < K_BLOCK; i++)
        out[2 + i] = (uint8_t)((int)roundf(x[i] * inv) & 0xFF);
}

/* ---- IQ4_NL ---------------------------------------------------------------------------------- */

static const float iq4_levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                     1,    13,   25,  38,  53,  69,  89,  113};

/* The level next to v, the upper one of two equally near. */
static int level_of(float v)
{
    int q = 0;
    while (q < 15 && !(v < iq4_levels[q + 1]))
        q++;
    return q < 15 && !(v - iq4_levels[q] < iq4_levels[q + 1] - v) ? q + 1 : q;
}

/* Σ w·x·level and Σ w·level² with w = x², when x·inv is taken to the levels. */
static void try_levels(const float *x, float inv, float *xl, float *ll)
{
    *xl = 0;
    *ll = 0;
    for (int i = 0; i < K_BLOCK; i++) {
        const float w = x[i] * x[i];
        const float l = iq4_levels[level_of(x[i] * inv)];
        *xl += w * l * x[i];
        *ll += w * l * l;
    }
}

/* The largest element at the highest level's magnitude, or at the lowest level or near it; as in
 * fit.h, the sums' order makes the bytes ggml's. More candidates and rounds of solving lower the error
 * by 2 %, and made Gemma 3 270M worse (KL from the f32 model .144 instead of .134). */
static void encode_iq4_nl(uint8_t *out, const float *x)
{
    enum { STEPS = 7 };
    const float m = largest(x);
    int q[K_BLOCK];
    float scale = 0;
    float best = 0;
    for (int k = -STEPS - 1; k <= STEPS && !(fabsf(m) < 1e-15F); k++) {
        float xl;
        float ll;
        const bool is_first = k < -STEPS;
        try_levels(x, is_first ? 1 / (-m / iq4_levels[0]) : ((float)k + iq4_levels[0]) / m, &xl,
                   &ll);
        if (is_first || (ll > 0 && xl * xl > best * ll)) {
            scale = xl / ll;
            best = scale * xl;
        }
    }
    put_f16(out, scale);
    const float inv = scale > 0 || scale < 0 ? 1 / scale : 0;
    for (int i = 0; i < K_BLOCK; i++)
        q[i] = level_of(x[i] * inv);
    put_nibbles(out + 2, q);
}

/* ---- the table ------------------------------------------------------------------------------- */

static void (*const encoders[])(uint8_t *out, const float *x) = {
    [K_F32] = encode_f32,      [K_F16] = encode_f16,      [K_BF16] = encode_bf16,
    [K_Q4_0] = encode_q4_0,    [K_Q4_1] = encode_q4_1,    [K_Q5_0] = encode_q5_0,
    [K_Q5_1] = encode_q5_1,    [K_Q8_0] = encode_q8_0,    [K_IQ4_NL] = encode_iq4_nl,
    [K_Q2_K] = g4_encode_q2_k, [K_Q3_K] = g4_encode_q3_k, [K_Q4_K] = g4_encode_q4_k,
    [K_Q5_K] = g4_encode_q5_k, [K_Q6_K] = g4_encode_q6_k,
};

bool g4_can_encode(uint32_t type)
{
    return type < sizeof encoders / sizeof encoders[0] && encoders[type] != NULL;
}

void g4_encode_row(uint8_t *out, uint32_t type, const float *x, int n)
{
    const k_type_info *info = k_type_info_of(type);
    for (int i = 0; i < n; i += info->block_n, out += info->block_bytes)
        encoders[type](out, x + i);
}
