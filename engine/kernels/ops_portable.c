/* ops_portable.c — the inner loops in plain C: correct everywhere, fast nowhere. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "engine/kernels/families.h"
#include "engine/kernels/ref.h"

/* ---- f32 ------------------------------------------------------------------------------------- */

static float dot(const float *a, const float *b, int n)
{
    float lane[32] = {0};
    int i = 0;
    for (; i + 32 <= n; i += 32)
        for (int l = 0; l < 32; l++)
            lane[l] += a[i + l] * b[i + l];
    for (int l = 0; i < n; i++, l++)
        lane[l] += a[i] * b[i];
    for (int width = 16; width > 0; width /= 2)
        for (int l = 0; l < width; l++)
            lane[l] += lane[l + width];
    return lane[0];
}

static void dot_f32(float *y, size_t y_stride, const float *w, int outs, const float *x, int rows,
                    int n)
{
    for (int r = 0; r < rows; r++)
        for (int o = 0; o < outs; o++)
            y[(size_t)r * y_stride + (size_t)o] =
                dot(w + (size_t)o * (size_t)n, x + (size_t)r * (size_t)n, n);
}

/* ---- keys and values ------------------------------------------------------------------------- */

enum { MAX_ROW = 4096 }; /* the longest head that config.c lets through */

static void scores(float *s, size_t s_stride, const float *q, int heads, uint32_t type,
                   const uint8_t *k, int n_keys, int dh, float scale)
{
    assert(dh <= MAX_ROW);
    const size_t row_bytes = k_row_bytes(type, dh);
    for (int j = 0; j < n_keys; j++) {
        float key[MAX_ROW];
        k_dequant_ref(key, type, k + (size_t)j * row_bytes, dh);
        for (int h = 0; h < heads; h++)
            s[(size_t)h * s_stride + (size_t)j] = scale * dot(q + (size_t)h * (size_t)dh, key, dh);
    }
}

static void weigh(float *o, const float *p, size_t p_stride, int heads, uint32_t type,
                  const uint8_t *v, int n_keys, int dh)
{
    assert(dh <= MAX_ROW);
    const size_t row_bytes = k_row_bytes(type, dh);
    for (int j = 0; j < n_keys; j++) {
        float value[MAX_ROW];
        k_dequant_ref(value, type, v + (size_t)j * row_bytes, dh);
        for (int h = 0; h < heads; h++) {
            const float weight = p[(size_t)h * p_stride + (size_t)j];
            float *out = o + (size_t)h * (size_t)dh;
            for (int i = 0; i < dh; i++)
                out[i] += weight * value[i];
        }
    }
}

static void put_u16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

void k_store_q8_0(uint8_t *row, const float *x, int n,
                  void (*quantize)(const k_q8 *out, int r, const float *x))
{
    for (int b = 0; b < n / K_BLOCK; b++, row += 2 + K_BLOCK) {
        int8_t q[K_BLOCK];
        float d;
        float ds;
        int32_t sum16[2];
        const k_q8 block = {.n = K_BLOCK, .q = q, .d = &d, .ds = &ds, .sum16 = sum16};
        quantize(&block, 0, x + b * K_BLOCK);
        put_u16(row, k_f32_to_f16(d));
        memcpy(row + 2, q, sizeof q);
    }
}

static void store(uint8_t *row, uint32_t type, const float *x, int n)
{
    if (type == K_F32)
        memcpy(row, x, (size_t)n * sizeof *x);
    else if (type == K_Q8_0)
        k_store_q8_0(row, x, n, k_quantize_portable);
    else
        for (int i = 0; i < n; i++)
            put_u16(row + 2 * (size_t)i, k_f32_to_f16(x[i]));
}

/* ---- quantised rows -------------------------------------------------------------------------- */

void k_quantize_portable(const k_q8 *out, int r, const float *x)
{
    const int n = out->n;
    int8_t *q = out->q + (size_t)r * (size_t)n;
    float *d = out->d + (size_t)r * (size_t)(n / 32);
    float *ds = out->ds + (size_t)r * (size_t)(n / 32);
    int32_t *sum16 = out->sum16 + (size_t)r * (size_t)(n / 16);
    for (int b = 0; b < n / 32; b++) {
        float max = 0;
        bool is_finite = true;
        for (int i = 0; i < 32; i++) {
            max = fmaxf(max, fabsf(x[32 * b + i]));
            is_finite = is_finite && isfinite(x[32 * b + i]);
        }
        /* Below the smallest normal float 1/d could overflow; such a block counts as zero. */
        d[b] = !is_finite ? NAN : max / 127.0F < 0x1p-126F ? 0.0F : max / 127.0F;
        const float inverse = d[b] > 0 ? 1.0F / d[b] : 0.0F;
        int32_t sum[2] = {0, 0};
        for (int i = 0; i < 32; i++) {
            const float scaled = is_finite ? x[32 * b + i] * inverse : 0.0F;
            const int32_t v = (int32_t)(scaled + copysignf(0.5F, scaled));
            q[32 * b + i] = (int8_t)v;
            sum[i / 16] += v;
        }
        sum16[2 * b] = sum[0];
        sum16[2 * b + 1] = sum[1];
        ds[b] = d[b] * (float)(sum[0] + sum[1]);
    }
}

/* 16 bytes of nibbles to 32 values in the order of the formats of 32. */
static void nibbles(uint8_t u[32], const uint8_t *qs)
{
    for (int j = 0; j < 16; j++) {
        u[j] = qs[j] & 15;
        u[j + 16] = qs[j] >> 4;
    }
}

static void fifth_bits(uint8_t u[32], uint32_t qh)
{
    for (int j = 0; j < 32; j++)
        u[j] |= (uint8_t)((qh >> j & 1) << 4);
}

static void unpack_k4(const uint8_t *block, const uint8_t *qs, const uint8_t *qh, int sub,
                      uint8_t u[32], float scale[2], float *min)
{
    uint8_t s[8];
    uint8_t m[8];
    k_scales_k4(s, m, block + 4);
    scale[0] = k_f16_to_f32(k_load_u16(block)) * (float)s[sub];
    *min = -(k_f16_to_f32(k_load_u16(block + 2)) * (float)m[sub]);
    for (int i = 0; i < 32; i++) {
        const uint8_t v = qs[32 * (sub / 2) + i];
        u[i] = sub % 2 == 0 ? v & 15 : v >> 4;
        if (qh != NULL)
            u[i] |= (uint8_t)((qh[i] >> sub & 1) << 4);
    }
}

/* Values u of 32 elements and their scales, as k_i8_format has it; the portable unpacking. sub is
 * the block of 32 within the format's block (0 for formats of 32). scale: [2], both used by halved
 * formats; *min is 0 without has_min. */
static void k_unpack32(const k_i8_format *f, const uint8_t *block, int sub, uint8_t u[32],
                       float scale[2], float *min)
{
    *min = 0;
    scale[0] = scale[1] = k_f16_to_f32(k_load_u16(block));
    switch (f->type) {
    case K_Q4_0:
        nibbles(u, block + 2);
        break;
    case K_Q4_1:
        *min = k_f16_to_f32(k_load_u16(block + 2));
        nibbles(u, block + 4);
        break;
    case K_Q5_0:
        nibbles(u, block + 6);
        fifth_bits(u, k_load_u32(block + 2));
        break;
    case K_Q5_1:
        *min = k_f16_to_f32(k_load_u16(block + 2));
        nibbles(u, block + 8);
        fifth_bits(u, k_load_u32(block + 4));
        break;
    case K_Q8_0:
        for (int i = 0; i < 32; i++)
            u[i] = block[2 + i] ^ 0x80;
        break;
    case K_Q4_K:
        unpack_k4(block, block + 16, NULL, sub, u, scale, min);
        break;
    case K_Q5_K:
        unpack_k4(block, block + 48, block + 16, sub, u, scale, min);
        break;
    case K_Q6_K: {
        const float d = k_f16_to_f32(k_load_u16(block + 208));
        const int h = sub / 4;
        const int g = sub % 4;
        for (int l = 0; l < 32; l++) {
            const uint8_t v = block[64 * h + 32 * (g & 1) + l];
            u[l] =
                (uint8_t)((g < 2 ? v & 15 : v >> 4) | (block[128 + 32 * h + l] >> 2 * g & 3) << 4);
        }
        scale[0] = d * (float)(int8_t)block[192 + 2 * sub];
        scale[1] = d * (float)(int8_t)block[193 + 2 * sub];
        break;
    }
    default:
        assert(false); /* k_i8_format_of knows no other */
    }
}

/* The one order of additions of all families: see ops.h. */
static float add_block(float acc, const k_i8_format *f, const int32_t sum[2], const float scale[2],
                       float min, float d, float ds)
{
    if (f->is_halved) {
        acc = fmaf((float)sum[0], scale[0] * d, acc);
        acc = fmaf((float)sum[1], scale[1] * d, acc);
    } else {
        acc = fmaf((float)(sum[0] + sum[1]), scale[0] * d, acc);
    }
    return f->has_min ? fmaf(min, ds, acc) : acc;
}

static void mul_one(float *y, const k_i8_format *f, const uint8_t *w, size_t row_bytes, int n_out,
                    const k_q8 *x, int r)
{
    const int n = x->n;
    const int8_t *q = x->q + (size_t)r * (size_t)n;
    const float *d = x->d + (size_t)r * (size_t)(n / 32);
    const float *ds = x->ds + (size_t)r * (size_t)(n / 32);
    const int32_t *sum16 = x->sum16 + (size_t)r * (size_t)(n / 16);
    for (int o = 0; o < n_out; o++) {
        const uint8_t *row = w + (size_t)o * row_bytes;
        float acc = 0;
        for (int b = 0; b < n / 32; b++) {
            const int subs = f->block_n / 32;
            uint8_t u[32];
            float scale[2];
            float min;
            k_unpack32(f, row + (size_t)(b / subs) * (size_t)f->block_bytes, b % subs, u, scale,
                       &min);
            int32_t sum[2] = {-f->offset * sum16[2 * b], -f->offset * sum16[2 * b + 1]};
            for (int i = 0; i < 32; i++)
                sum[i / 16] += u[i] * q[32 * b + i];
            acc = add_block(acc, f, sum, scale, min, d[b], ds[b]);
        }
        y[o] = acc;
    }
}

static void pack(k_tile *t, const uint8_t *w, size_t row_bytes, int n_out)
{
    const k_i8_format *f = t->format;
    const int subs = f->block_n / 32;
    for (int b = 0; b < t->n / 32; b++)
        for (int o = 0; o < K_TILE; o++) {
            uint8_t u[32] = {0};
            float scale[2] = {0, 0};
            float min = 0;
            if (o < n_out)
                k_unpack32(f,
                           w + (size_t)o * row_bytes + (size_t)(b / subs) * (size_t)f->block_bytes,
                           b % subs, u, scale, &min);
            for (int k = 0; k < 8; k++)
                memcpy(t->u + ((size_t)(8 * b + k) * K_TILE + (size_t)o) * 4, u + 4 * k, 4);
            if (f->is_halved) {
                t->scale[(size_t)(2 * b) * K_TILE + (size_t)o] = scale[0];
                t->scale[(size_t)(2 * b + 1) * K_TILE + (size_t)o] = scale[1];
            } else {
                t->scale[(size_t)b * K_TILE + (size_t)o] = scale[0];
            }
            if (f->has_min)
                t->min[(size_t)b * K_TILE + (size_t)o] = min;
        }
}

static void mul_tile(float *y, size_t y_stride, const k_tile *t, int n_out, const k_q8 *x, int r0,
                     int rows)
{
    const k_i8_format *f = t->format;
    const int n = t->n;
    for (int r = 0; r < rows; r++) {
        const size_t row = (size_t)(r0 + r);
        const int8_t *q = x->q + row * (size_t)n;
        const int32_t *sum16 = x->sum16 + row * (size_t)(n / 16);
        for (int o = 0; o < n_out; o++) {
            float acc = 0;
            for (int b = 0; b < n / 32; b++) {
                int32_t sum[2] = {-f->offset * sum16[2 * b], -f->offset * sum16[2 * b + 1]};
                for (int i = 0; i < 32; i++)
                    sum[i / 16] +=
                        t->u[((size_t)(8 * b + i / 4) * K_TILE + (size_t)o) * 4 + (size_t)(i % 4)] *
                        q[32 * b + i];
                const float *s = t->scale + (size_t)b * (f->is_halved ? 2 : 1) * K_TILE + o;
                const float scale[2] = {s[0], f->is_halved ? s[K_TILE] : 0.0F};
                const float min = f->has_min ? t->min[(size_t)b * K_TILE + (size_t)o] : 0.0F;
                acc = add_block(acc, f, sum, scale, min, x->d[row * (size_t)(n / 32) + (size_t)b],
                                x->ds[row * (size_t)(n / 32) + (size_t)b]);
            }
            y[(size_t)r * y_stride + (size_t)o] = acc;
        }
    }
}

const k_ops k_ops_portable = {
    .name = "portable",
    .dequant = k_dequant_ref,
    .dot_f32 = dot_f32,
    .quantize = k_quantize_portable,
    .mul_one = mul_one,
    .pack = pack,
    .mul_tile = mul_tile,
    .store = store,
    .scores = scores,
    .weigh = weigh,
    .softmax = k_softmax_ref,
    .gelu_mul = k_gelu_mul_ref,
};
