#include "engine/kernels/quant.h"

#include <assert.h>
#include <string.h>

/* ---- numbers --------------------------------------------------------------------------------- */

static float float_of_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static uint32_t bits_of_float(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

float k_f16_to_f32(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000) << 16;
    const uint32_t exponent = (h >> 10) & 31;
    const uint32_t fraction = h & 0x3FF;
    if (exponent == 0) {
        const float f = (float)fraction * 0x1p-24F; /* exact */
        return sign != 0 ? -f : f;
    }
    if (exponent == 31)
        return float_of_bits(sign | 0x7F800000U | fraction << 13);
    return float_of_bits(sign | (exponent + 112) << 23 | fraction << 13);
}

uint16_t k_f32_to_f16(float f)
{
    const uint32_t bits = bits_of_float(f);
    const uint32_t sign = (bits >> 16) & 0x8000;
    const uint32_t magnitude = bits & 0x7FFFFFFFU;
    if (magnitude > 0x7F800000U)
        return (uint16_t)(sign | 0x7E00);
    if (magnitude >= 0x477FF000U) /* 65520 and above round to infinity */
        return (uint16_t)(sign | 0x7C00);
    if (magnitude < 0x38800000U) { /* below the smallest normal half: count units of 2^-24 */
        const float units = float_of_bits(magnitude) * 0x1p24F;
        uint32_t whole = (uint32_t)units;
        const float rest = units - (float)whole;
        if (rest > 0.5F || (rest == 0.5F && (whole & 1) != 0))
            whole++;
        return (uint16_t)(sign | whole);
    }
    const uint32_t odd = (magnitude >> 13) & 1;
    return (uint16_t)(sign | ((magnitude - 0x38000000U + 0xFFF + odd) >> 13));
}

static float f16_at(const uint8_t *p)
{
    return k_f16_to_f32(k_load_u16(p));
}

static int lo(uint8_t b)
{
    return b & 15;
}

static int hi(uint8_t b)
{
    return b >> 4;
}

/* ---- one function per format ----------------------------------------------------------------- */

static void dequant_f32(float *y, const uint8_t *b)
{
    *y = float_of_bits(k_load_u32(b));
}

static void dequant_f16(float *y, const uint8_t *b)
{
    *y = f16_at(b);
}

static void dequant_bf16(float *y, const uint8_t *b)
{
    *y = float_of_bits((uint32_t)k_load_u16(b) << 16);
}

/* d f16 at 0, 16 bytes of nibbles at 2. */
static void dequant_q4_0(float *y, const uint8_t *b)
{
    const float d = f16_at(b);
    for (int j = 0; j < 16; j++) {
        y[j] = d * (float)(lo(b[2 + j]) - 8);
        y[j + 16] = d * (float)(hi(b[2 + j]) - 8);
    }
}

/* d, m f16 at 0, 2; nibbles at 4. */
static void dequant_q4_1(float *y, const uint8_t *b)
{
    const float d = f16_at(b);
    const float m = f16_at(b + 2);
    for (int j = 0; j < 16; j++) {
        y[j] = d * (float)lo(b[4 + j]) + m;
        y[j + 16] = d * (float)hi(b[4 + j]) + m;
    }
}

/* d f16 at 0, fifth bits u32 at 2, nibbles at 6. */
static void dequant_q5_0(float *y, const uint8_t *b)
{
    const float d = f16_at(b);
    const uint32_t qh = k_load_u32(b + 2);
    for (int j = 0; j < 16; j++) {
        y[j] = d * (float)((lo(b[6 + j]) | (int)(qh >> j & 1) << 4) - 16);
        y[j + 16] = d * (float)((hi(b[6 + j]) | (int)(qh >> (j + 16) & 1) << 4) - 16);
    }
}

/* d, m f16 at 0, 2; fifth bits u32 at 4; nibbles at 8. */
static void dequant_q5_1(float *y, const uint8_t *b)
{
    const float d = f16_at(b);
    const float m = f16_at(b + 2);
    const uint32_t qh = k_load_u32(b + 4);
    for (int j = 0; j < 16; j++) {
        y[j] = d * (float)(lo(b[8 + j]) | (int)(qh >> j & 1) << 4) + m;
        y[j + 16] = d * (float)(hi(b[8 + j]) | (int)(qh >> (j + 16) & 1) << 4) + m;
    }
}

/* d f16 at 0, 32 signed bytes at 2. */
static void dequant_q8_0(float *y, const uint8_t *b)
{
    const float d = f16_at(b);
    for (int i = 0; i < 32; i++)
        y[i] = d * (float)(int8_t)b[2 + i];
}

/* In the 256-element formats i = 128 h + 32 g + l. */

/* 16 bytes (scale, min nibbles) at 0, 2-bit values at 16, d, dmin f16 at 80, 82. */
static void dequant_q2_k(float *y, const uint8_t *b)
{
    const uint8_t *qs = b + 16;
    const float d = f16_at(b + 80);
    const float dmin = f16_at(b + 82);
    for (int i = 0; i < K_QK; i++) {
        const int h = i / 128;
        const int g = i / 32 % 4;
        const int q = qs[32 * h + i % 32] >> 2 * g & 3;
        const uint8_t s = b[i / 16];
        y[i] = d * (float)lo(s) * (float)q - dmin * (float)hi(s);
    }
}

/* high-bit mask 32 at 0, 2-bit values 64 at 32, scales 12 at 96, d f16 at 108. */
static void dequant_q3_k(float *y, const uint8_t *b)
{
    const uint8_t *qs = b + 32;
    const uint8_t *sc = b + 96;
    const float d = f16_at(b + 108);
    for (int i = 0; i < K_QK; i++) {
        const int h = i / 128;
        const int g = i / 32 % 4;
        const int l = i % 32;
        const int j = i / 16;
        const int low = j < 8 ? lo(sc[j]) : hi(sc[j - 8]);
        const int scale = (low | (sc[8 + j % 4] >> 2 * (j / 4) & 3) << 4) - 32;
        const int q = (qs[32 * h + l] >> 2 * g & 3) - ((b[l] >> (4 * h + g) & 1) != 0 ? 0 : 4);
        y[i] = d * (float)scale * (float)q;
    }
}

void k_scales_k4(uint8_t scale[8], uint8_t min[8], const uint8_t sc[12])
{
    for (int j = 0; j < 4; j++) {
        scale[j] = sc[j] & 63;
        min[j] = sc[j + 4] & 63;
        scale[j + 4] = (uint8_t)((sc[j + 8] & 15) | (sc[j] >> 6) << 4);
        min[j + 4] = (uint8_t)((sc[j + 8] >> 4) | (sc[j + 4] >> 6) << 4);
    }
}

/* d, dmin f16 at 0, 2; 12 bytes of scales at 4; nibbles at 16. */
static void dequant_q4_k(float *y, const uint8_t *b)
{
    const float d = f16_at(b);
    const float dmin = f16_at(b + 2);
    uint8_t scale[8];
    uint8_t min[8];
    k_scales_k4(scale, min, b + 4);
    for (int i = 0; i < K_QK; i++) {
        const int j = i / 32;
        const uint8_t v = b[16 + 32 * (j / 2) + i % 32];
        const int q = j % 2 == 0 ? lo(v) : hi(v);
        y[i] = d * (float)scale[j] * (float)q - dmin * (float)min[j];
    }
}

/* As Q4_K, with fifth bits 32 at 16 and nibbles at 48. */
static void dequant_q5_k(float *y, const uint8_t *b)
{
    const float d = f16_at(b);
    const float dmin = f16_at(b + 2);
    uint8_t scale[8];
    uint8_t min[8];
    k_scales_k4(scale, min, b + 4);
    for (int i = 0; i < K_QK; i++) {
        const int j = i / 32;
        const uint8_t v = b[48 + 32 * (j / 2) + i % 32];
        const int q = (j % 2 == 0 ? lo(v) : hi(v)) + 16 * (b[16 + i % 32] >> j & 1);
        y[i] = d * (float)scale[j] * (float)q - dmin * (float)min[j];
    }
}

/* low nibbles 128 at 0, high pairs 64 at 128, 16 signed scales at 192, d f16 at 208. */
static void dequant_q6_k(float *y, const uint8_t *b)
{
    const float d = f16_at(b + 208);
    for (int i = 0; i < K_QK; i++) {
        const int h = i / 128;
        const int g = i / 32 % 4;
        const int l = i % 32;
        const uint8_t v = b[64 * h + 32 * (g & 1) + l];
        const int low = g < 2 ? lo(v) : hi(v);
        const int high = b[128 + 32 * h + l] >> 2 * g & 3;
        y[i] = d * (float)(int8_t)b[192 + i / 16] * (float)((low | high << 4) - 32);
    }
}

static const int8_t iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                      1,    13,   25,  38,  53,  69,  89,  113};

/* d f16 at 0, nibbles at 2, each an index of iq4_values. */
static void dequant_iq4_nl(float *y, const uint8_t *b)
{
    const float d = f16_at(b);
    for (int j = 0; j < 16; j++) {
        y[j] = d * (float)iq4_values[lo(b[2 + j])];
        y[j + 16] = d * (float)iq4_values[hi(b[2 + j])];
    }
}

/* d f16 at 0, high scale bits u16 at 2, low ones 4 at 4, nibbles 128 at 8. */
static void dequant_iq4_xs(float *y, const uint8_t *b)
{
    const float d = f16_at(b);
    const uint16_t sh = k_load_u16(b + 2);
    for (int i = 0; i < K_QK; i++) {
        const int j = i / 32;
        const int l = i % 32;
        const int scale = (b[4 + j / 2] >> 4 * (j % 2) & 15) | (sh >> 2 * j & 3) << 4;
        const uint8_t v = b[8 + 16 * j + l % 16];
        y[i] = d * (float)(scale - 32) * (float)iq4_values[l < 16 ? lo(v) : hi(v)];
    }
}

static const int8_t fp4_doubled[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/* Exponent byte at 0, nibbles at 1, each twice an E2M1 value. */
static void dequant_mxfp4(float *y, const uint8_t *b)
{
    /* 2^(e - 128): below e = 2 a denormal */
    const uint32_t bits = b[0] < 2 ? 0x00200000U << b[0] : (uint32_t)(b[0] - 1) << 23;
    const float d = float_of_bits(bits);
    for (int j = 0; j < 16; j++) {
        y[j] = d * (float)fp4_doubled[lo(b[1 + j])];
        y[j + 16] = d * (float)fp4_doubled[hi(b[1 + j])];
    }
}

/* ---- the table ------------------------------------------------------------------------------- */

static const k_type_info types[] = {
    [K_F32] = {"F32", 1, 4, dequant_f32},
    [K_F16] = {"F16", 1, 2, dequant_f16},
    [K_Q4_0] = {"Q4_0", 32, 18, dequant_q4_0},
    [K_Q4_1] = {"Q4_1", 32, 20, dequant_q4_1},
    [K_Q5_0] = {"Q5_0", 32, 22, dequant_q5_0},
    [K_Q5_1] = {"Q5_1", 32, 24, dequant_q5_1},
    [K_Q8_0] = {"Q8_0", 32, 34, dequant_q8_0},
    [K_Q2_K] = {"Q2_K", 256, 84, dequant_q2_k},
    [K_Q3_K] = {"Q3_K", 256, 110, dequant_q3_k},
    [K_Q4_K] = {"Q4_K", 256, 144, dequant_q4_k},
    [K_Q5_K] = {"Q5_K", 256, 176, dequant_q5_k},
    [K_Q6_K] = {"Q6_K", 256, 210, dequant_q6_k},
    [K_IQ4_NL] = {"IQ4_NL", 32, 18, dequant_iq4_nl},
    [K_IQ4_XS] = {"IQ4_XS", 256, 136, dequant_iq4_xs},
    [K_BF16] = {"BF16", 1, 2, dequant_bf16},
    [K_MXFP4] = {"MXFP4", 32, 17, dequant_mxfp4},
};

const k_type_info *k_type_info_of(uint32_t type)
{
    if (type >= sizeof types / sizeof types[0] || types[type].name == NULL)
        return NULL;
    return &types[type];
}

size_t k_row_bytes(uint32_t type, int64_t n)
{
    const k_type_info *info = k_type_info_of(type);
    if (info == NULL || n <= 0 || n % info->block_n != 0)
        return 0;
    return (size_t)(n / info->block_n) * (size_t)info->block_bytes;
}

void k_dequant_ref(float *y, uint32_t type, const uint8_t *row, int n)
{
    const k_type_info *info = k_type_info_of(type);
    assert(info != NULL && n % info->block_n == 0);
    for (int i = 0; i < n; i += info->block_n, row += info->block_bytes)
        info->dequant(y + i, row);
}
