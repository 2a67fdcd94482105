/* ops_avx2.c — the inner loops for AVX2 with FMA and F16C. */
#include "engine/kernels/ops.h"

#if defined(__x86_64__)
#include <assert.h>

#include "engine/kernels/ref.h"
#include "engine/kernels/x86.h"

/* ---- unpacking to f32 ------------------------------------------------------------------------ */

K_AVX2 K_INLINE void store_scaled(float *y, __m128i u8, int offset, float scale, float min,
                                  bool has_min)
{
    const __m256i u = _mm256_sub_epi32(_mm256_cvtepu8_epi32(u8), _mm256_set1_epi32(offset));
    __m256 v = _mm256_mul_ps(_mm256_set1_ps(scale), _mm256_cvtepi32_ps(u));
    if (has_min)
        v = _mm256_add_ps(v, _mm256_set1_ps(min));
    _mm256_storeu_ps(y, v);
}

K_AVX2 K_INLINE void dequant_type(float *y, uint32_t type, const uint8_t *row, int n)
{
    const k_i8_format *f = k_i8_format_of(type);
    const bool has_min = k_has_min(type);
    const int subs = f->block_n / 32;
    for (int b = 0; b < n / f->block_n; b++, row += f->block_bytes) {
        float scale[16];
        float min[8] = {0};
        if (type == K_Q4_K || type == K_Q5_K) {
            __m256 s;
            __m256 m;
            k_scales_k4_ps(row + 4, &s, &m);
            _mm256_storeu_ps(scale, _mm256_mul_ps(_mm256_set1_ps(k_f16_at(row)), s));
            m = _mm256_mul_ps(_mm256_set1_ps(k_f16_at(row + 2)), m);
            _mm256_storeu_ps(min, _mm256_sub_ps(_mm256_setzero_ps(), m));
        } else if (type == K_Q6_K) {
            for (int g = 0; g < 16; g++)
                scale[g] = k_f16_at(row + 208) * (float)(int8_t)row[192 + g];
        } else {
            scale[0] = k_f16_at(row);
            if (has_min)
                min[0] = k_f16_at(row + 2);
        }
        for (int sub = 0; sub < subs; sub++, y += 32) {
            const __m256i u = k_load_u32x(type, row, sub);
            const __m128i part[2] = {_mm256_castsi256_si128(u), _mm256_extracti128_si256(u, 1)};
            for (int i = 0; i < 4; i++) {
                const __m128i bytes = i % 2 == 0 ? part[i / 2] : _mm_srli_si128(part[i / 2], 8);
                const float s = type == K_Q6_K ? scale[2 * sub + i / 2] : scale[sub];
                store_scaled(y + 8 * i, bytes, f->offset, s, min[sub], has_min);
            }
        }
    }
}

K_AVX2 void k_avx2_dequant(float *y, uint32_t type, const uint8_t *row, int n)
{
    if (type == K_F32) {
        memcpy(y, row, (size_t)n * sizeof(float));
    } else if (type == K_F16) {
        int i = 0;
        for (; i + 8 <= n; i += 8)
            _mm256_storeu_ps(y + i, _mm256_cvtph_ps(_mm_loadu_si128(
                                        (const __m128i *)(const void *)(row + 2 * i))));
        k_dequant_ref(y + i, type, row + 2 * (size_t)i, n - i);
    } else if (type == K_BF16) {
        int i = 0;
        for (; i + 8 <= n; i += 8) {
            const __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(row + 2 * i));
            _mm256_storeu_si256((__m256i *)(void *)(y + i),
                                _mm256_slli_epi32(_mm256_cvtepu16_epi32(v), 16));
        }
        k_dequant_ref(y + i, type, row + 2 * (size_t)i, n - i);
    } else if (k_i8_format_of(type) != NULL) {
#define ONE(t) dequant_type(y, t, row, n)
        K_EACH_TYPE(type, ONE)
#undef ONE
    } else {
        k_dequant_ref(y, type, row, n);
    }
}

/* ---- f32 products ---------------------------------------------------------------------------- */

/* The tree of k_dot_f32: 32 lanes in four registers. */
K_AVX2 K_INLINE float sum32(const __m256 a[4])
{
    const __m256 v8 = _mm256_add_ps(_mm256_add_ps(a[0], a[2]), _mm256_add_ps(a[1], a[3]));
    const __m128 v4 = _mm_add_ps(_mm256_castps256_ps128(v8), _mm256_extractf128_ps(v8, 1));
    const __m128 v2 = _mm_add_ps(v4, _mm_movehl_ps(v4, v4));
    return _mm_cvtss_f32(_mm_add_ss(v2, _mm_movehdup_ps(v2)));
}

/* Elements [i, i + 8) of a row of weights, keys or values; type is a constant. */
K_AVX2 K_INLINE __m256 row8(uint32_t type, const uint8_t *row, int i)
{
    if (type == K_F16)
        return _mm256_cvtph_ps(
            _mm_loadu_si128((const __m128i *)(const void *)(row + 2 * (size_t)i)));
    if (type == K_Q8_0) {
        const uint8_t *block = row + (size_t)(i / 32) * 34;
        const __m128i q = _mm_loadl_epi64((const __m128i *)(const void *)(block + 2 + i % 32));
        return _mm256_mul_ps(_mm256_set1_ps(k_f16_at(block)),
                             _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(q)));
    }
    return _mm256_loadu_ps((const float *)(const void *)(row + 4 * (size_t)i));
}

/* One element of a row of f32 or f16. */
K_AVX2 K_INLINE float row1(uint32_t type, const uint8_t *row, int i)
{
    float v;
    if (type == K_F16)
        return k_f16_at(row + 2 * (size_t)i);
    memcpy(&v, row + 4 * (size_t)i, sizeof v);
    return v;
}

/* R rows of x at once; type and R are constants. */
K_AVX2 K_INLINE void dot_rows(float *y, size_t y_stride, uint32_t type, const uint8_t *w,
                              const float *x, int R, int n)
{
    __m256 acc[2][4];
    for (int r = 0; r < R; r++)
        for (int k = 0; k < 4; k++)
            acc[r][k] = _mm256_setzero_ps();
    int i = 0;
    for (; i + 32 <= n; i += 32) {
        K_UNROLL for (int k = 0; k < 4; k++)
        {
            const __m256 v = row8(type, w, i + 8 * k);
            K_UNROLL for (int r = 0; r < R; r++)
            {
                acc[r][k] = _mm256_fmadd_ps(
                    v, _mm256_loadu_ps(x + (size_t)r * (size_t)n + i + 8 * k), acc[r][k]);
            }
        }
    }
    if (i < n)
        for (int r = 0; r < R; r++) {
            float tail[2][32] = {{0}};
            for (int l = 0; l < n - i; l++)
                tail[0][l] = row1(type, w, i + l);
            memcpy(tail[1], x + (size_t)r * (size_t)n + i, (size_t)(n - i) * sizeof(float));
            for (int k = 0; k < 4; k++)
                acc[r][k] = _mm256_fmadd_ps(_mm256_loadu_ps(tail[0] + 8 * k),
                                            _mm256_loadu_ps(tail[1] + 8 * k), acc[r][k]);
        }
    for (int r = 0; r < R; r++)
        y[(size_t)r * y_stride] = sum32(acc[r]);
}

K_AVX2 K_INLINE void dot_type(float *y, size_t y_stride, uint32_t type, const uint8_t *w, int outs,
                              const float *x, int rows, int n)
{
    const size_t row_bytes = k_row_bytes(type, n);
    int r = 0;
    for (; r + 2 <= rows; r += 2)
        for (int o = 0; o < outs; o++)
            dot_rows(y + (size_t)r * y_stride + o, y_stride, type, w + (size_t)o * row_bytes,
                     x + (size_t)r * (size_t)n, 2, n);
    for (; r < rows; r++)
        for (int o = 0; o < outs; o++)
            dot_rows(y + (size_t)r * y_stride + o, y_stride, type, w + (size_t)o * row_bytes,
                     x + (size_t)r * (size_t)n, 1, n);
}

K_AVX2 static void dot_f32(float *y, size_t y_stride, const float *w, int outs, const float *x,
                           int rows, int n)
{
    dot_type(y, y_stride, K_F32, (const uint8_t *)(const void *)w, outs, x, rows, n);
}

/* ---- keys and values ------------------------------------------------------------------------- */

K_AVX2 void k_avx2_store(uint8_t *row, uint32_t type, const float *x, int n)
{
    if (type == K_F32) {
        memcpy(row, x, (size_t)n * sizeof *x);
    } else if (type == K_Q8_0) {
        k_store_q8_0(row, x, n, k_avx2_quantize);
    } else {
        int i = 0;
        for (; i + 8 <= n; i += 8)
            _mm_storeu_si128((__m128i *)(void *)(row + 2 * (size_t)i),
                             _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT));
        k_ops_portable.store(row + 2 * (size_t)i, K_F16, x + i, n - i);
    }
}

K_AVX2 static void scores(float *s, size_t s_stride, const float *q, int heads, uint32_t type,
                          const uint8_t *k, int n_keys, int dh, float scale)
{
#define ONE(t) dot_type(s, s_stride, t, k, n_keys, q, heads, dh)
    K_EACH_CACHE_TYPE(type, ONE)
#undef ONE
    for (int h = 0; h < heads; h++)
        for (int j = 0; j < n_keys; j++)
            s[(size_t)h * s_stride + (size_t)j] *= scale;
}

/* Elements [i, i + 32) of R heads; type and R are constants. */
K_AVX2 K_INLINE void weigh32(float *o, const float *p, size_t p_stride, int R, uint32_t type,
                             const uint8_t *v, int n_keys, int dh, int i)
{
    const size_t row_bytes = k_row_bytes(type, dh);
    __m256 a[2][4];
    K_UNROLL for (int r = 0; r < R; r++)
    {
        K_UNROLL for (int k = 0; k < 4; k++) a[r][k] =
            _mm256_loadu_ps(o + (size_t)r * (size_t)dh + i + 8 * k);
    }
    for (int j = 0; j < n_keys; j++, v += row_bytes)
        K_UNROLL for (int k = 0; k < 4; k++)
        {
            const __m256 value = row8(type, v, i + 8 * k);
            K_UNROLL for (int r = 0; r < R; r++)
            {
                a[r][k] = _mm256_fmadd_ps(_mm256_set1_ps(p[(size_t)r * p_stride + (size_t)j]),
                                          value, a[r][k]);
            }
        }
    K_UNROLL for (int r = 0; r < R; r++)
    {
        K_UNROLL for (int k = 0; k < 4; k++)
            _mm256_storeu_ps(o + (size_t)r * (size_t)dh + i + 8 * k, a[r][k]);
    }
}

K_AVX2 K_INLINE void weigh_type(float *o, const float *p, size_t p_stride, int heads, uint32_t type,
                                const uint8_t *v, int n_keys, int dh)
{
    const size_t row_bytes = k_row_bytes(type, dh);
    int i = 0;
    for (; i + 32 <= dh; i += 32) {
        int h = 0;
        for (; h + 2 <= heads; h += 2)
            weigh32(o + (size_t)h * (size_t)dh, p + (size_t)h * p_stride, p_stride, 2, type, v,
                    n_keys, dh, i);
        if (h < heads)
            weigh32(o + (size_t)h * (size_t)dh, p + (size_t)h * p_stride, p_stride, 1, type, v,
                    n_keys, dh, i);
    }
    for (; i < dh; i++)
        for (int h = 0; h < heads; h++) {
            float a = o[(size_t)h * (size_t)dh + (size_t)i];
            for (int j = 0; j < n_keys; j++)
                a = fmaf(p[(size_t)h * p_stride + (size_t)j],
                         row1(type, v + (size_t)j * row_bytes, i), a);
            o[(size_t)h * (size_t)dh + (size_t)i] = a;
        }
}

K_AVX2 static void weigh(float *o, const float *p, size_t p_stride, int heads, uint32_t type,
                         const uint8_t *v, int n_keys, int dh){
#define ONE(t) weigh_type(o, p, p_stride, heads, t, v, n_keys, dh)
    K_EACH_CACHE_TYPE(type, ONE)
#undef ONE
}

/* ---- exp and its users ----------------------------------------------------------------------- */

/* exp(x) within 2 ulp: x = n·ln 2 + r, |r| ≤ ln 2 / 2, Taylor series of e^r to the 7th power. */
K_AVX2 K_INLINE __m256 exp8(__m256 x)
{
    x = _mm256_max_ps(_mm256_set1_ps(K_EXP_MIN), _mm256_min_ps(_mm256_set1_ps(K_EXP_MAX), x));
    const __m256 n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(K_LOG2E)),
                                     _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(K_LN2_HI), x);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(K_LN2_LO), r);
    __m256 p = _mm256_set1_ps(1.0F / 5040);
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0F / 720));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0F / 120));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0F / 24));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0F / 6));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0.5F));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0F));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0F));
    const __m256i power =
        _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
    return _mm256_mul_ps(p, _mm256_castsi256_ps(power));
}

/* Loads up to 8 floats, the rest filled. */
K_AVX2 K_INLINE __m256 load_part(const float *x, int n, float fill)
{
    float v[8] = {fill, fill, fill, fill, fill, fill, fill, fill};
    memcpy(v, x, (size_t)n * sizeof(float));
    return _mm256_loadu_ps(v);
}

K_AVX2 K_INLINE void store_part(float *y, __m256 v, int n)
{
    float t[8];
    _mm256_storeu_ps(t, v);
    memcpy(y, t, (size_t)n * sizeof(float));
}

K_AVX2 static float softmax(float *s, int n)
{
    float max = -INFINITY;
    for (int j = 0; j < n; j++)
        max = s[j] > max ? s[j] : max;
    const __m256 m = _mm256_set1_ps(max);
    __m256d sum[2] = {_mm256_setzero_pd(), _mm256_setzero_pd()};
    for (int j = 0; j < n; j += 8) {
        const int part = n - j < 8 ? n - j : 8;
        __m256 e = part == 8 ? _mm256_loadu_ps(s + j) : load_part(s + j, part, max);
        e = exp8(_mm256_sub_ps(e, m));
        store_part(s + j, e, part);
        if (part < 8)
            e = load_part(s + j, part, 0);
        sum[0] = _mm256_add_pd(sum[0], _mm256_cvtps_pd(_mm256_castps256_ps128(e)));
        sum[1] = _mm256_add_pd(sum[1], _mm256_cvtps_pd(_mm256_extractf128_ps(e, 1)));
    }
    double lane[4];
    _mm256_storeu_pd(lane, _mm256_add_pd(sum[0], sum[1]));
    return (float)((lane[0] + lane[2]) + (lane[1] + lane[3]));
}

K_AVX2 K_INLINE __m256 gelu8(__m256 z)
{
    const __m256 cube = _mm256_mul_ps(_mm256_mul_ps(z, z), z);
    const __m256 u = _mm256_mul_ps(_mm256_set1_ps(-2.0F * 0.797884561F),
                                   _mm256_fmadd_ps(_mm256_set1_ps(0.044715F), cube, z));
    return _mm256_div_ps(z, _mm256_add_ps(_mm256_set1_ps(1.0F), exp8(u)));
}

K_AVX2 static void gelu_mul(float *y, const float *gate, const float *up, int n)
{
    for (int i = 0; i < n; i += 8) {
        const int part = n - i < 8 ? n - i : 8;
        if (part == 8)
            _mm256_storeu_ps(
                y + i, _mm256_mul_ps(gelu8(_mm256_loadu_ps(gate + i)), _mm256_loadu_ps(up + i)));
        else
            store_part(
                y + i,
                _mm256_mul_ps(gelu8(load_part(gate + i, part, 0)), load_part(up + i, part, 0)),
                part);
    }
}

/* ---- quantised rows -------------------------------------------------------------------------- */

K_AVX2 K_INLINE int32_t sum_epi32(__m256i v)
{
    const __m128i a = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    const __m128i b = _mm_add_epi32(a, _mm_shuffle_epi32(a, 0x4E));
    return _mm_cvtsi128_si32(_mm_add_epi32(b, _mm_shuffle_epi32(b, 0xB1)));
}

K_AVX2 void k_avx2_quantize(const k_q8 *out, int r, const float *x)
{
    const int n = out->n;
    int8_t *q = out->q + (size_t)r * (size_t)n;
    float *d = out->d + (size_t)r * (size_t)(n / 32);
    float *ds = out->ds + (size_t)r * (size_t)(n / 32);
    int32_t *sum16 = out->sum16 + (size_t)r * (size_t)(n / 16);
    const __m256i magnitude = _mm256_set1_epi32(0x7FFFFFFF);
    for (int b = 0; b < n / 32; b++, x += 32) {
        __m256 v[4];
        __m256i top = _mm256_setzero_si256(); /* |x| as integers: same order, and NaN on top */
        for (int k = 0; k < 4; k++) {
            v[k] = _mm256_loadu_ps(x + 8 * k);
            top = _mm256_max_epi32(top, _mm256_and_si256(_mm256_castps_si256(v[k]), magnitude));
        }
        __m128i t = _mm_max_epi32(_mm256_castsi256_si128(top), _mm256_extracti128_si256(top, 1));
        t = _mm_max_epi32(t, _mm_shuffle_epi32(t, 0x4E));
        t = _mm_max_epi32(t, _mm_shuffle_epi32(t, 0xB1));
        const bool is_finite = _mm_cvtsi128_si32(t) < 0x7F800000;
        const float scale = _mm_cvtss_f32(_mm_castsi128_ps(t)) / 127.0F;
        d[b] = !is_finite ? NAN : scale < 0x1p-126F ? 0.0F : scale;
        const float inverse = is_finite && d[b] > 0 ? 1.0F / d[b] : 0.0F;
        const __m256 factor = _mm256_set1_ps(inverse);
        const __m256 sign = _mm256_set1_ps(-0.0F);
        const __m256 half = _mm256_set1_ps(0.5F);
        __m256i w[4];
        for (int k = 0; k < 4; k++) {
            const __m256 s = is_finite ? _mm256_mul_ps(v[k], factor) : _mm256_setzero_ps();
            w[k] =
                _mm256_cvttps_epi32(_mm256_add_ps(s, _mm256_or_ps(_mm256_and_ps(s, sign), half)));
        }
        sum16[2 * b] = sum_epi32(_mm256_add_epi32(w[0], w[1]));
        sum16[2 * b + 1] = sum_epi32(_mm256_add_epi32(w[2], w[3]));
        ds[b] = d[b] * (float)(sum16[2 * b] + sum16[2 * b + 1]);
        /* packs work per half register; the permutation puts the groups of four in order */
        const __m256i bytes =
            _mm256_packs_epi16(_mm256_packs_epi32(w[0], w[1]), _mm256_packs_epi32(w[2], w[3]));
        _mm256_storeu_si256(
            (__m256i *)(void *)(q + 32 * b),
            _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)));
    }
}

K_AVX2 void k_avx2_pack(k_tile *t, const uint8_t *w, size_t row_bytes, int n_out){
#define ONE(type) k_pack_type(t, type, w, row_bytes, n_out)
    K_EACH_TYPE(t->format->type, ONE)
#undef ONE
}

/* Sums of four products u·x in each 32-bit lane. Up to 6-bit u pairs of products fit in 16 bits;
 * 8-bit values enter signed, as |w| · sign(w)·x, whose pairs fit as well (2·128·127 < 2^15). */
K_AVX2 K_INLINE __m256i dot4(uint32_t type, __m256i u, __m256i x)
{
    const __m256i ones = _mm256_set1_epi16(1);
    if (type == K_Q8_0) {
        const __m256i w = _mm256_xor_si256(u, _mm256_set1_epi8((char)0x80));
        return _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w)),
                                 ones);
    }
    return _mm256_madd_epi16(_mm256_maddubs_epi16(u, x), ones);
}

K_AVX2 K_INLINE void strip(float *y, uint32_t type, const uint8_t *const rows[8], const k_q8 *x,
                           int r, int n_out)
{
    const int subs = type == K_Q4_K || type == K_Q5_K || type == K_Q6_K ? 8 : 1;
    const k_i8_format *f = k_i8_format_of(type);
    const int offset = type == K_Q8_0 ? 0 : f->offset; /* dot4 takes Q8_0 as signed */
    const int8_t *q = x->q + (size_t)r * (size_t)x->n;
    const float *d = x->d + (size_t)r * (size_t)(x->n / 32);
    const float *ds = x->ds + (size_t)r * (size_t)(x->n / 32);
    const int32_t *sum16 = x->sum16 + (size_t)r * (size_t)(x->n / 16);
    const uint8_t *w[8];
    for (int o = 0; o < 8; o++)
        w[o] = rows[o];
    const uint8_t *next = rows[0] + K_STRIP * k_row_bytes_of(f, x->n);
    __m256 acc = _mm256_setzero_ps();
    for (int b = 0; b < x->n / 32; b += subs) {
        __m256 scale[16];
        __m256 min[8];
        k_prefetch(next, K_STRIP * (size_t)f->block_bytes);
        next += K_STRIP * (size_t)f->block_bytes;
        k_scales8(type, w, scale, min);
        for (int sub = 0; sub < subs; sub++) {
            const int at = b + sub;
            const __m256i v = k_load_ymm(q + 32 * at);
            __m256i p[8];
            K_UNROLL for (int o = 0; o < 8; o++)
            {
                p[o] = dot4(type, k_load_u32x(type, w[o], sub), v);
            }
            __m256i lo;
            __m256i hi;
            k_sum8(p, &lo, &hi);
            lo = _mm256_sub_epi32(lo, _mm256_set1_epi32(offset * sum16[2 * at]));
            hi = _mm256_sub_epi32(hi, _mm256_set1_epi32(offset * sum16[2 * at + 1]));
            const __m256 dx = _mm256_set1_ps(d[at]);
            if (type == K_Q6_K) {
                acc =
                    _mm256_fmadd_ps(_mm256_cvtepi32_ps(lo), _mm256_mul_ps(scale[2 * sub], dx), acc);
                acc = _mm256_fmadd_ps(_mm256_cvtepi32_ps(hi), _mm256_mul_ps(scale[2 * sub + 1], dx),
                                      acc);
            } else {
                acc = _mm256_fmadd_ps(_mm256_cvtepi32_ps(_mm256_add_epi32(lo, hi)),
                                      _mm256_mul_ps(scale[sub], dx), acc);
            }
            if (k_has_min(type))
                acc = _mm256_fmadd_ps(min[sub], _mm256_set1_ps(ds[at]), acc);
        }
        for (int o = 0; o < 8; o++)
            w[o] += f->block_bytes;
    }
    store_part(y, acc, n_out);
}

K_AVX2 static void mul_one(float *y, const k_i8_format *f, const uint8_t *w, size_t row_bytes,
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

/* One activation row against the 16 rows of a tile. */
K_AVX2 K_INLINE void tile_row(float *y, uint32_t type, const k_tile *t, int n_out, const k_q8 *x,
                              int r)
{
    const k_i8_format *f = t->format;
    const int offset = type == K_Q8_0 ? 0 : f->offset;
    const int8_t *q = x->q + (size_t)r * (size_t)x->n;
    const float *d = x->d + (size_t)r * (size_t)(x->n / 32);
    const float *ds = x->ds + (size_t)r * (size_t)(x->n / 32);
    const int32_t *sum16 = x->sum16 + (size_t)r * (size_t)(x->n / 16);
    const int halves = type == K_Q6_K ? 2 : 1;
    __m256 acc[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    for (int b = 0; b < t->n / 32; b++) {
        const uint8_t *u = t->u + (size_t)b * 8 * K_TILE * 4;
        const __m256 dx = _mm256_set1_ps(d[b]);
        for (int half = 0; half < halves; half++) {
            const int32_t sum = halves == 2 ? sum16[2 * b + half] : sum16[2 * b] + sum16[2 * b + 1];
            __m256i s[2] = {_mm256_set1_epi32(-offset * sum), _mm256_set1_epi32(-offset * sum)};
            const int steps = 8 / halves;
            K_UNROLL for (int k = 0; k < steps; k++)
            {
                const int at = half * steps + k;
                int32_t four;
                memcpy(&four, q + 32 * b + 4 * at, sizeof four);
                const __m256i v = _mm256_set1_epi32(four);
                s[0] = _mm256_add_epi32(s[0], dot4(type, k_load_ymm(u + 64 * at), v));
                s[1] = _mm256_add_epi32(s[1], dot4(type, k_load_ymm(u + 64 * at + 32), v));
            }
            const float *scale = t->scale + (size_t)(b * halves + half) * K_TILE;
            for (int i = 0; i < 2; i++)
                acc[i] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(s[i]),
                                         _mm256_mul_ps(_mm256_loadu_ps(scale + 8 * i), dx), acc[i]);
        }
        if (k_has_min(type))
            for (int i = 0; i < 2; i++)
                acc[i] = _mm256_fmadd_ps(_mm256_loadu_ps(t->min + (size_t)b * K_TILE + 8 * i),
                                         _mm256_set1_ps(ds[b]), acc[i]);
    }
    store_part(y, acc[0], n_out < 8 ? n_out : 8);
    if (n_out > 8)
        store_part(y + 8, acc[1], n_out - 8);
}

K_AVX2 static void mul_tile(float *y, size_t y_stride, const k_tile *t, int n_out, const k_q8 *x,
                            int r0, int rows)
{
#define ONE(type)                                                                                  \
    for (int r = 0; r < rows; r++)                                                                 \
    tile_row(y + (size_t)r * y_stride, type, t, n_out, x, r0 + r)
    K_EACH_TYPE(t->format->type, ONE)
#undef ONE
}

const k_ops k_ops_avx2 = {
    .name = "avx2",
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
