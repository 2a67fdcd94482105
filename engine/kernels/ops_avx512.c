/* ops_avx512.c — the inner loops for AVX-512 (F, BW, DQ, VL) with VNNI. */
#include "engine/kernels/ops.h"

#if defined(__x86_64__)
#include <assert.h>

#include "engine/kernels/x86.h"

#define K_AVX512                                                                                   \
    __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))

/* ---- f32 products ---------------------------------------------------------------------------- */

K_AVX512 K_INLINE __mmask16 first_lanes(int n)
{
    return (__mmask16)(n >= 16 ? 0xFFFF : n <= 0 ? 0 : (1U << n) - 1);
}

/* The tree of dot_f32: 32 lanes in two registers. */
K_AVX512 K_INLINE float sum32(__m512 a, __m512 b)
{
    const __m512 v16 = _mm512_add_ps(a, b);
    const __m256 v8 = _mm256_add_ps(_mm512_castps512_ps256(v16), _mm512_extractf32x8_ps(v16, 1));
    const __m128 v4 = _mm_add_ps(_mm256_castps256_ps128(v8), _mm256_extractf128_ps(v8, 1));
    const __m128 v2 = _mm_add_ps(v4, _mm_movehl_ps(v4, v4));
    return _mm_cvtss_f32(_mm_add_ss(v2, _mm_movehdup_ps(v2)));
}

/* Elements [i, i + 16) of a row of weights, keys or values; type is a constant. Rows of Q8_0 are
 * whole blocks of 32: no mask. */
K_AVX512 K_INLINE __m512 row16(uint32_t type, const uint8_t *row, int i, __mmask16 m)
{
    if (type == K_F16)
        return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(m, row + 2 * (size_t)i));
    if (type == K_Q8_0) {
        const uint8_t *block = row + (size_t)(i / 32) * 34;
        const __m128i q = _mm_loadu_si128((const __m128i *)(const void *)(block + 2 + i % 32));
        return _mm512_mul_ps(_mm512_set1_ps(k_f16_at(block)),
                             _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(q)));
    }
    return _mm512_maskz_loadu_ps(m, row + 4 * (size_t)i);
}

/* O rows of w times R rows of x at once; type, O and R are constants, O·R·2 registers of sums. */
K_AVX512 K_INLINE void dot_block(float *y, size_t y_stride, uint32_t type, const uint8_t *w, int O,
                                 const float *x, int R, int n)
{
    const size_t row_bytes = k_row_bytes(type, n);
    __m512 a[2][4];
    __m512 b[2][4];
    K_UNROLL for (int o = 0; o < O; o++)
    {
        K_UNROLL for (int r = 0; r < R; r++) a[o][r] = b[o][r] = _mm512_setzero_ps();
    }
    for (int i = 0; i < n; i += 32) {
        /* whole registers but in the last step: a masked load of all lanes costs nothing more */
        const __mmask16 m0 = first_lanes(n - i);
        const __mmask16 m1 = first_lanes(n - i - 16);
        __m512 w0[2];
        __m512 w1[2];
        K_UNROLL for (int o = 0; o < O; o++)
        {
            w0[o] = row16(type, w + (size_t)o * row_bytes, i, m0);
            w1[o] = row16(type, w + (size_t)o * row_bytes, i + 16, m1);
        }
        K_UNROLL for (int r = 0; r < R; r++)
        {
            const float *row = x + (size_t)r * (size_t)n + i;
            const __m512 x0 = _mm512_maskz_loadu_ps(m0, row);
            const __m512 x1 = _mm512_maskz_loadu_ps(m1, row + 16);
            K_UNROLL for (int o = 0; o < O; o++)
            {
                a[o][r] = _mm512_fmadd_ps(w0[o], x0, a[o][r]);
                b[o][r] = _mm512_fmadd_ps(w1[o], x1, b[o][r]);
            }
        }
    }
    K_UNROLL for (int r = 0; r < R; r++)
    {
        K_UNROLL for (int o = 0; o < O; o++) y[(size_t)r * y_stride + (size_t)o] =
            sum32(a[o][r], b[o][r]);
    }
}

K_AVX512 K_INLINE void dot_rows(float *y, size_t y_stride, uint32_t type, const uint8_t *w,
                                int outs, const float *x, int R, int n)
{
    const size_t row_bytes = k_row_bytes(type, n);
    int o = 0;
    for (; o + 2 <= outs; o += 2)
        dot_block(y + o, y_stride, type, w + (size_t)o * row_bytes, 2, x, R, n);
    if (o < outs)
        dot_block(y + o, y_stride, type, w + (size_t)o * row_bytes, 1, x, R, n);
}

K_AVX512 K_INLINE void dot_type(float *y, size_t y_stride, uint32_t type, const uint8_t *w,
                                int outs, const float *x, int rows, int n)
{
    int r = 0;
    for (; r + 4 <= rows; r += 4)
        dot_rows(y + (size_t)r * y_stride, y_stride, type, w, outs, x + (size_t)r * (size_t)n, 4,
                 n);
    for (; r < rows; r++)
        dot_rows(y + (size_t)r * y_stride, y_stride, type, w, outs, x + (size_t)r * (size_t)n, 1,
                 n);
}

K_AVX512 static void dot_f32(float *y, size_t y_stride, const float *w, int outs, const float *x,
                             int rows, int n)
{
    dot_type(y, y_stride, K_F32, (const uint8_t *)(const void *)w, outs, x, rows, n);
}

/* ---- keys and values ------------------------------------------------------------------------- */

K_AVX512 static void scores(float *s, size_t s_stride, const float *q, int heads, uint32_t type,
                            const uint8_t *k, int n_keys, int dh, float scale)
{
#define ONE(t) dot_type(s, s_stride, t, k, n_keys, q, heads, dh)
    K_EACH_CACHE_TYPE(type, ONE)
#undef ONE
    for (int h = 0; h < heads; h++)
        for (int j = 0; j < n_keys; j++)
            s[(size_t)h * s_stride + (size_t)j] *= scale;
}

/* Elements [i, i + 16·K) of R heads, the last 16 masked; type, R and K are constants. */
K_AVX512 K_INLINE void weigh_part(float *o, const float *p, size_t p_stride, int R, uint32_t type,
                                  const uint8_t *v, int n_keys, int dh, int i, int K)
{
    const size_t row_bytes = k_row_bytes(type, dh);
    const __mmask16 last = first_lanes(dh - i - 16 * (K - 1));
    __m512 a[4][4];
    K_UNROLL for (int r = 0; r < R; r++)
    {
        K_UNROLL for (int k = 0; k < K; k++) a[r][k] = _mm512_maskz_loadu_ps(
            k + 1 == K ? last : 0xFFFF, o + (size_t)r * (size_t)dh + i + 16 * k);
    }
    for (int j = 0; j < n_keys; j++, v += row_bytes) {
        __m512 value[4];
        K_UNROLL for (int k = 0; k < K; k++) value[k] =
            row16(type, v, i + 16 * k, k + 1 == K ? last : 0xFFFF);
        K_UNROLL for (int r = 0; r < R; r++)
        {
            const __m512 w = _mm512_set1_ps(p[(size_t)r * p_stride + (size_t)j]);
            K_UNROLL for (int k = 0; k < K; k++) a[r][k] = _mm512_fmadd_ps(w, value[k], a[r][k]);
        }
    }
    K_UNROLL for (int r = 0; r < R; r++)
    {
        K_UNROLL for (int k = 0; k < K; k++) _mm512_mask_storeu_ps(
            o + (size_t)r * (size_t)dh + i + 16 * k, k + 1 == K ? last : 0xFFFF, a[r][k]);
    }
}

K_AVX512 K_INLINE void weigh_heads(float *o, const float *p, size_t p_stride, int R, uint32_t type,
                                   const uint8_t *v, int n_keys, int dh)
{
    int i = 0;
    for (; i + 64 <= dh; i += 64)
        weigh_part(o, p, p_stride, R, type, v, n_keys, dh, i, 4);
    for (; i < dh; i += 16)
        weigh_part(o, p, p_stride, R, type, v, n_keys, dh, i, 1);
}

K_AVX512 K_INLINE void weigh_type(float *o, const float *p, size_t p_stride, int heads,
                                  uint32_t type, const uint8_t *v, int n_keys, int dh)
{
    int h = 0;
    for (; h + 4 <= heads; h += 4)
        weigh_heads(o + (size_t)h * (size_t)dh, p + (size_t)h * p_stride, p_stride, 4, type, v,
                    n_keys, dh);
    for (; h < heads; h++)
        weigh_heads(o + (size_t)h * (size_t)dh, p + (size_t)h * p_stride, p_stride, 1, type, v,
                    n_keys, dh);
}

K_AVX512 static void weigh(float *o, const float *p, size_t p_stride, int heads, uint32_t type,
                           const uint8_t *v, int n_keys, int dh){
#define ONE(t) weigh_type(o, p, p_stride, heads, t, v, n_keys, dh)
    K_EACH_CACHE_TYPE(type, ONE)
#undef ONE
}

/* ---- exp and its users ----------------------------------------------------------------------- */

/* As exp8 of ops_avx2.c. */
K_AVX512 K_INLINE __m512 exp16(__m512 x)
{
    x = _mm512_max_ps(_mm512_set1_ps(K_EXP_MIN), _mm512_min_ps(_mm512_set1_ps(K_EXP_MAX), x));
    /* To the nearest integer; by way of int32, since the direct one is a macro that gcc -O0 warns
     * about. */
    const __m512i whole = _mm512_cvtps_epi32(_mm512_mul_ps(x, _mm512_set1_ps(K_LOG2E)));
    const __m512 n = _mm512_cvtepi32_ps(whole);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(K_LN2_HI), x);
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(K_LN2_LO), r);
    __m512 p = _mm512_set1_ps(1.0F / 5040);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0F / 720));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0F / 120));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0F / 24));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0F / 6));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.5F));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0F));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0F));
    const __m512i power =
        _mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127)), 23);
    return _mm512_mul_ps(p, _mm512_castsi512_ps(power));
}

K_AVX512 static float softmax(float *s, int n)
{
    __m512 top = _mm512_set1_ps(-INFINITY);
    for (int j = 0; j < n; j += 16)
        top = _mm512_mask_max_ps(top, first_lanes(n - j), top,
                                 _mm512_maskz_loadu_ps(first_lanes(n - j), s + j));
    const __m512 max = _mm512_set1_ps(_mm512_reduce_max_ps(top));
    __m512d sum[2] = {_mm512_setzero_pd(), _mm512_setzero_pd()};
    for (int j = 0; j < n; j += 16) {
        const __mmask16 m = first_lanes(n - j);
        const __m512 e =
            _mm512_maskz_mov_ps(m, exp16(_mm512_sub_ps(_mm512_maskz_loadu_ps(m, s + j), max)));
        _mm512_mask_storeu_ps(s + j, m, e);
        sum[0] = _mm512_add_pd(sum[0], _mm512_cvtps_pd(_mm512_castps512_ps256(e)));
        sum[1] = _mm512_add_pd(sum[1], _mm512_cvtps_pd(_mm512_extractf32x8_ps(e, 1)));
    }
    return (float)_mm512_reduce_add_pd(_mm512_add_pd(sum[0], sum[1]));
}

K_AVX512 static void gelu_mul(float *y, const float *gate, const float *up, int n)
{
    for (int i = 0; i < n; i += 16) {
        const __mmask16 m = first_lanes(n - i);
        const __m512 z = _mm512_maskz_loadu_ps(m, gate + i);
        const __m512 cube = _mm512_mul_ps(_mm512_mul_ps(z, z), z);
        const __m512 u = _mm512_mul_ps(_mm512_set1_ps(-2.0F * 0.797884561F),
                                       _mm512_fmadd_ps(_mm512_set1_ps(0.044715F), cube, z));
        const __m512 g = _mm512_div_ps(z, _mm512_add_ps(_mm512_set1_ps(1.0F), exp16(u)));
        _mm512_mask_storeu_ps(y + i, m, _mm512_mul_ps(g, _mm512_maskz_loadu_ps(m, up + i)));
    }
}

/* ---- quantised rows -------------------------------------------------------------------------- */

K_AVX512 K_INLINE void strip(float *y, uint32_t type, const uint8_t *const rows[8], const k_q8 *x,
                             int r, int n_out)
{
    const int subs = type == K_Q4_K || type == K_Q5_K || type == K_Q6_K ? 8 : 1;
    const bool has_min = k_has_min(type);
    const k_i8_format *f = k_i8_format_of(type);
    const int8_t *q = x->q + (size_t)r * (size_t)x->n;
    const float *d = x->d + (size_t)r * (size_t)(x->n / 32);
    const float *ds = x->ds + (size_t)r * (size_t)(x->n / 32);
    const int32_t *sum16 = x->sum16 + (size_t)r * (size_t)(x->n / 16);
    const int offset = f->offset;
    const uint8_t *w[8];
    K_UNROLL for (int o = 0; o < 8; o++) w[o] = rows[o];
    const uint8_t *next = rows[0] + K_STRIP * k_row_bytes_of(f, x->n);
    __m256 acc = _mm256_setzero_ps();
    for (int b = 0; b < x->n / 32; b += subs) {
        __m256 scale[16];
        __m256 min[8];
        k_prefetch(next, K_STRIP * (size_t)f->block_bytes);
        next += K_STRIP * (size_t)f->block_bytes;
        k_scales8(type, w, scale, min);
        K_UNROLL for (int sub = 0; sub < subs; sub++)
        {
            const int at = b + sub;
            const __m256i v = k_load_ymm(q + 32 * at);
            __m256i p[8];
            K_UNROLL for (int o = 0; o < 8; o++)
            {
                p[o] = _mm256_dpbusd_epi32(_mm256_setzero_si256(), k_load_u32x(type, w[o], sub), v);
            }
            __m256i lo;
            __m256i hi;
            k_sum8(p, &lo, &hi);
            const __m256 dx = _mm256_set1_ps(d[at]);
            if (type == K_Q6_K) {
                lo = _mm256_sub_epi32(lo, _mm256_set1_epi32(offset * sum16[2 * at]));
                hi = _mm256_sub_epi32(hi, _mm256_set1_epi32(offset * sum16[2 * at + 1]));
                acc =
                    _mm256_fmadd_ps(_mm256_cvtepi32_ps(lo), _mm256_mul_ps(scale[2 * sub], dx), acc);
                acc = _mm256_fmadd_ps(_mm256_cvtepi32_ps(hi), _mm256_mul_ps(scale[2 * sub + 1], dx),
                                      acc);
            } else {
                __m256i s = _mm256_add_epi32(lo, hi);
                if (!has_min)
                    s = _mm256_sub_epi32(
                        s, _mm256_set1_epi32(offset * (sum16[2 * at] + sum16[2 * at + 1])));
                acc = _mm256_fmadd_ps(_mm256_cvtepi32_ps(s), _mm256_mul_ps(scale[sub], dx), acc);
            }
            if (has_min)
                acc = _mm256_fmadd_ps(min[sub], _mm256_set1_ps(ds[at]), acc);
        }
        K_UNROLL for (int o = 0; o < 8; o++) w[o] += f->block_bytes;
    }
    _mm256_mask_storeu_ps(y, (__mmask8)first_lanes(n_out), acc);
}

K_AVX512 static void mul_one(float *y, const k_i8_format *f, const uint8_t *w, size_t row_bytes,
                             int n_out, const k_q8 *x, int r)
{
    for (int o = 0; o < n_out; o += K_STRIP) {
        const int part = n_out - o < K_STRIP ? n_out - o : K_STRIP;
        const uint8_t *rows[8];
        for (int i = 0; i < 8; i++)
            rows[i] = w + (size_t)(o + (i < part ? i : part - 1)) * row_bytes;
#define ONE(type) strip(y + o, type, rows, x, r, part)
        K_EACH_TYPE(f->type, ONE)
#undef ONE
    }
}

K_AVX512 K_INLINE __m512i broadcast4(const int8_t *q)
{
    int32_t four;
    memcpy(&four, q, sizeof four);
    return _mm512_set1_epi32(four);
}

/* R activation rows, a constant, against the 16 rows of a tile: lanes are weight rows. */
K_AVX512 K_INLINE void tile_rows(float *y, size_t y_stride, const k_tile *t, int n_out,
                                 const k_q8 *x, int r0, int R, int halves, bool has_min)
{
    const size_t n = (size_t)x->n;
    const int offset = t->format->offset;
    const int8_t *q = x->q + (size_t)r0 * n;
    const float *d = x->d + (size_t)r0 * (n / 32);
    const float *ds = x->ds + (size_t)r0 * (n / 32);
    const int32_t *sum16 = x->sum16 + (size_t)r0 * (n / 16);
    __m512 acc[8];
    K_UNROLL for (int r = 0; r < R; r++) acc[r] = _mm512_setzero_ps();
    for (size_t b = 0; b < n / 32; b++) {
        __m512i u[8];
        K_UNROLL for (int k = 0; k < 8; k++) u[k] =
            _mm512_loadu_si512(t->u + (b * 8 + (size_t)k) * K_TILE * 4);
        const float *scale = t->scale + b * (size_t)halves * K_TILE;
        const __m512 s0 = _mm512_loadu_ps(scale);
        const __m512 s1 = halves == 2 ? _mm512_loadu_ps(scale + K_TILE) : s0;
        const __m512 min = has_min ? _mm512_loadu_ps(t->min + b * K_TILE) : s0;
        K_UNROLL for (int r = 0; r < R; r++)
        {
            const size_t row = (size_t)r;
            const int8_t *v = q + row * n + b * 32;
            const int32_t *sum = sum16 + row * (n / 16) + b * 2;
            const __m512 dx = _mm512_set1_ps(d[row * (n / 32) + b]);
            __m512i i0 = _mm512_set1_epi32(-offset * (halves == 2 ? sum[0] : sum[0] + sum[1]));
            __m512i i1 = halves == 2 ? _mm512_set1_epi32(-offset * sum[1]) : _mm512_setzero_si512();
            K_UNROLL for (int k = 0; k < 4; k++)
            {
                i0 = _mm512_dpbusd_epi32(i0, u[k], broadcast4(v + 4 * k));
                i1 = _mm512_dpbusd_epi32(i1, u[k + 4], broadcast4(v + 16 + 4 * k));
            }
            if (halves == 2) {
                acc[r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(i0), _mm512_mul_ps(s0, dx), acc[r]);
                acc[r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(i1), _mm512_mul_ps(s1, dx), acc[r]);
            } else {
                acc[r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_add_epi32(i0, i1)),
                                         _mm512_mul_ps(s0, dx), acc[r]);
            }
            if (has_min)
                acc[r] = _mm512_fmadd_ps(min, _mm512_set1_ps(ds[row * (n / 32) + b]), acc[r]);
        }
    }
    K_UNROLL for (int r = 0; r < R; r++)
        _mm512_mask_storeu_ps(y + (size_t)r * y_stride, first_lanes(n_out), acc[r]);
}

K_AVX512 K_INLINE void tile_all(float *y, size_t y_stride, const k_tile *t, int n_out,
                                const k_q8 *x, int r0, int rows, int halves, bool has_min)
{
    int r = 0;
    for (; r + 8 <= rows; r += 8)
        tile_rows(y + (size_t)r * y_stride, y_stride, t, n_out, x, r0 + r, 8, halves, has_min);
    for (; r + 2 <= rows; r += 2)
        tile_rows(y + (size_t)r * y_stride, y_stride, t, n_out, x, r0 + r, 2, halves, has_min);
    for (; r < rows; r++)
        tile_rows(y + (size_t)r * y_stride, y_stride, t, n_out, x, r0 + r, 1, halves, has_min);
}

K_AVX512 static void mul_tile(float *y, size_t y_stride, const k_tile *t, int n_out, const k_q8 *x,
                              int r0, int rows)
{
    if (t->format->is_halved)
        tile_all(y, y_stride, t, n_out, x, r0, rows, 2, false);
    else if (t->format->has_min)
        tile_all(y, y_stride, t, n_out, x, r0, rows, 1, true);
    else
        tile_all(y, y_stride, t, n_out, x, r0, rows, 1, false);
}

const k_ops k_ops_avx512 = {
    .name = "avx512-vnni",
    .dequant = k_avx2_dequant,
    .dot_f32 = dot_f32,
    .quantize = k_avx2_quantize,
    .mul_one = mul_one,
    .pack = k_avx2_pack,
    .mul_tile = mul_tile,
    .store = k_avx2_store,
    .scores = scores,
    .weigh = weigh,
    .softmax = softmax,
    .gelu_mul = gelu_mul,
};
#endif
