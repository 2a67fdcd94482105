#ifndef ENGINE_KERNELS_X86_H
#define ENGINE_KERNELS_X86_H
/*
 * x86.h — what the AVX2 and AVX-512 families share: unpacking of quantised blocks into 32 unsigned
 * bytes, scales of eight rows at once, sums of eight rows at once, packing of tiles, exp.
 *
 * Everything here is inlined into functions of either family; `type` is a constant at each use, so
 * the switches vanish. Layouts of the formats: quant.c.
 */
#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "engine/kernels/families.h"

#define K_AVX2   __attribute__((target("avx2,fma,f16c")))
#define K_INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define K_UNROLL _Pragma("unroll")
#else
#define K_UNROLL _Pragma("GCC unroll 16")
#endif

/* ---- unpacking ------------------------------------------------------------------------------- */

K_AVX2 K_INLINE __m256i k_load16x2(const uint8_t *lo, const uint8_t *hi)
{
    return _mm256_set_m128i(_mm_loadu_si128((const __m128i *)(const void *)hi),
                            _mm_loadu_si128((const __m128i *)(const void *)lo));
}

K_AVX2 K_INLINE __m256i k_load_ymm(const void *p)
{
    return _mm256_loadu_si256((const __m256i *)p);
}

/* 16 bytes: low nibbles to elements 0-15, high ones to 16-31. */
K_AVX2 K_INLINE __m256i k_nibbles(const uint8_t *qs)
{
    const __m128i v = _mm_loadu_si128((const __m128i *)(const void *)qs);
    return _mm256_and_si256(_mm256_set_m128i(_mm_srli_epi16(v, 4), v), _mm256_set1_epi8(15));
}

/* 16 in byte i where bit i of qh is set. */
K_AVX2 K_INLINE __m256i k_fifth_bits(uint32_t qh)
{
    const __m256i which =
        _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201ULL);
    const __m256i v = _mm256_shuffle_epi8(_mm256_set1_epi32((int)qh), which);
    return _mm256_and_si256(_mm256_cmpeq_epi8(_mm256_and_si256(v, bit), bit), _mm256_set1_epi8(16));
}

/* The 32 values u of sub-block sub. */
K_AVX2 K_INLINE __m256i k_load_u32x(uint32_t type, const uint8_t *b, int sub)
{
    const __m256i low4 = _mm256_set1_epi8(15);
    switch (type) {
    case K_Q4_0:
        return k_nibbles(b + 2);
    case K_Q4_1:
        return k_nibbles(b + 4);
    case K_Q5_0:
        return _mm256_or_si256(k_nibbles(b + 6), k_fifth_bits(k_load_u32(b + 2)));
    case K_Q5_1:
        return _mm256_or_si256(k_nibbles(b + 8), k_fifth_bits(k_load_u32(b + 4)));
    case K_Q8_0:
        return _mm256_xor_si256(k_load_ymm(b + 2), _mm256_set1_epi8((char)0x80));
    case K_Q4_K: {
        const __m256i v = k_load_ymm(b + 16 + 32 * (sub / 2));
        return _mm256_and_si256(sub % 2 == 0 ? v : _mm256_srli_epi16(v, 4), low4);
    }
    case K_Q5_K: {
        const __m256i v = k_load_ymm(b + 48 + 32 * (sub / 2));
        const __m256i low = _mm256_and_si256(sub % 2 == 0 ? v : _mm256_srli_epi16(v, 4), low4);
        const __m256i bit = _mm256_set1_epi8((char)(1 << sub));
        const __m256i has = _mm256_cmpeq_epi8(_mm256_and_si256(k_load_ymm(b + 16), bit), bit);
        return _mm256_or_si256(low, _mm256_and_si256(has, _mm256_set1_epi8(16)));
    }
    default: { /* K_Q6_K */
        const int h = sub / 4;
        const int g = sub % 4;
        const __m256i v = k_load_ymm(b + 64 * h + 32 * (g & 1));
        const __m256i low = _mm256_and_si256(g < 2 ? v : _mm256_srli_epi16(v, 4), low4);
        const __m256i w = k_load_ymm(b + 128 + 32 * h);
        const __m256i pair =
            _mm256_and_si256(_mm256_srl_epi16(w, _mm_cvtsi32_si128(2 * g)), _mm256_set1_epi8(3));
        return _mm256_or_si256(low, _mm256_slli_epi16(pair, 4));
    }
    }
}

/* m[i][j] of 32-bit elements becomes m[j][i]. */
K_AVX2 K_INLINE void k_transpose8(__m256i m[8])
{
    __m256i a[8];
    K_UNROLL for (int i = 0; i < 8; i += 2)
    {
        a[i] = _mm256_unpacklo_epi32(m[i], m[i + 1]);
        a[i + 1] = _mm256_unpackhi_epi32(m[i], m[i + 1]);
    }
    __m256i c[8];
    K_UNROLL for (int i = 0; i < 8; i += 4)
    {
        c[i] = _mm256_unpacklo_epi64(a[i], a[i + 2]);
        c[i + 1] = _mm256_unpackhi_epi64(a[i], a[i + 2]);
        c[i + 2] = _mm256_unpacklo_epi64(a[i + 1], a[i + 3]);
        c[i + 3] = _mm256_unpackhi_epi64(a[i + 1], a[i + 3]);
    }
    K_UNROLL for (int i = 0; i < 4; i++)
    {
        m[i] = _mm256_permute2x128_si256(c[i], c[i + 4], 0x20);
        m[i + 4] = _mm256_permute2x128_si256(c[i], c[i + 4], 0x31);
    }
}

K_AVX2 K_INLINE __m256 k_f16x8(const uint8_t *const w[8], int offset)
{
    return _mm256_cvtph_ps(
        _mm_setr_epi16((short)k_load_u16(w[0] + offset), (short)k_load_u16(w[1] + offset),
                       (short)k_load_u16(w[2] + offset), (short)k_load_u16(w[3] + offset),
                       (short)k_load_u16(w[4] + offset), (short)k_load_u16(w[5] + offset),
                       (short)k_load_u16(w[6] + offset), (short)k_load_u16(w[7] + offset)));
}

K_AVX2 K_INLINE float k_f16_at(const uint8_t *p)
{
    return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(k_load_u16(p))));
}

/* The eight scales and minima of a Q4_K or Q5_K block as floats, not yet times d and dmin. */
K_AVX2 K_INLINE void k_scales_k4_ps(const uint8_t *sc, __m256 *scale, __m256 *min)
{
    const uint32_t a = k_load_u32(sc);
    const uint32_t b = k_load_u32(sc + 4);
    const uint32_t c = k_load_u32(sc + 8);
    const uint64_t s =
        (a & 0x3F3F3F3FU) | (uint64_t)((c & 0x0F0F0F0FU) | (a >> 6 & 0x03030303U) << 4) << 32;
    const uint64_t m =
        (b & 0x3F3F3F3FU) | (uint64_t)((c >> 4 & 0x0F0F0F0FU) | (b >> 6 & 0x03030303U) << 4) << 32;
    *scale = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)s)));
    *min = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)m)));
}

K_INLINE bool k_has_min(uint32_t type)
{
    return type == K_Q4_1 || type == K_Q5_1 || type == K_Q4_K || type == K_Q5_K;
}

/* scale[g]: the scales of group g of eight rows' current blocks; min[g] likewise. */
K_AVX2 K_INLINE void k_scales8(uint32_t type, const uint8_t *const w[8], __m256 scale[16],
                               __m256 min[8])
{
    switch (type) {
    case K_Q4_1:
    case K_Q5_1:
        scale[0] = k_f16x8(w, 0);
        min[0] = k_f16x8(w, 2);
        break;
    case K_Q4_K:
    case K_Q5_K: {
        __m256i s[8];
        __m256i m[8];
        for (int r = 0; r < 8; r++) {
            __m256 a;
            __m256 b;
            k_scales_k4_ps(w[r] + 4, &a, &b);
            s[r] = _mm256_castps_si256(_mm256_mul_ps(_mm256_set1_ps(k_f16_at(w[r])), a));
            m[r] = _mm256_castps_si256(_mm256_sub_ps(
                _mm256_setzero_ps(), _mm256_mul_ps(_mm256_set1_ps(k_f16_at(w[r] + 2)), b)));
        }
        k_transpose8(s);
        k_transpose8(m);
        for (int g = 0; g < 8; g++) {
            scale[g] = _mm256_castsi256_ps(s[g]);
            min[g] = _mm256_castsi256_ps(m[g]);
        }
        break;
    }
    case K_Q6_K:
        for (int part = 0; part < 2; part++) {
            __m256i s[8];
            for (int r = 0; r < 8; r++) {
                const __m128i sc =
                    _mm_loadl_epi64((const __m128i *)(const void *)(w[r] + 192 + 8 * part));
                s[r] = _mm256_castps_si256(
                    _mm256_mul_ps(_mm256_set1_ps(k_f16_at(w[r] + 208)),
                                  _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(sc))));
            }
            k_transpose8(s);
            for (int g = 0; g < 8; g++)
                scale[8 * part + g] = _mm256_castsi256_ps(s[g]);
        }
        break;
    default:
        scale[0] = k_f16x8(w, 0);
        break;
    }
}

/* p[r]: partial sums of row r. lo and hi: per row the sum of p's lower and of its upper half. */
K_AVX2 K_INLINE void k_sum8(const __m256i p[8], __m256i *lo, __m256i *hi)
{
    const __m256i abcd =
        _mm256_hadd_epi32(_mm256_hadd_epi32(p[0], p[1]), _mm256_hadd_epi32(p[2], p[3]));
    const __m256i efgh =
        _mm256_hadd_epi32(_mm256_hadd_epi32(p[4], p[5]), _mm256_hadd_epi32(p[6], p[7]));
    *lo = _mm256_permute2x128_si256(abcd, efgh, 0x20);
    *hi = _mm256_permute2x128_si256(abcd, efgh, 0x31);
}

/* Asks for the lines of `bytes` bytes from p on. Strips of eight rows read eight places in turn,
 * which the processor's own prefetcher does not follow well; so each step of a strip asks for its
 * share of the next strip. Addresses behind the end of the weights are harmless. */
K_INLINE void k_prefetch(const uint8_t *p, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += 64)
        _mm_prefetch((const char *)(const void *)(p + i), _MM_HINT_T0);
}

/* ---- packing --------------------------------------------------------------------------------- */

K_AVX2 K_INLINE void k_pack_type(k_tile *t, uint32_t type, const uint8_t *w, size_t row_bytes,
                                 int n_out)
{
    const k_i8_format *f = t->format;
    const int subs = type == K_Q4_K || type == K_Q5_K || type == K_Q6_K ? 8 : 1;
    const int halves = type == K_Q6_K ? 2 : 1;
    for (int part = 0; part < 2; part++) {
        const uint8_t *row[8];
        for (int r = 0; r < 8; r++) {
            const int o = 8 * part + r;
            row[r] = w + (size_t)(o < n_out ? o : n_out - 1) * row_bytes;
        }
        for (int b = 0; b < t->n / 32; b += subs) {
            __m256 scale[16];
            __m256 min[8];
            k_scales8(type, row, scale, min);
            for (int g = 0; g < subs * halves; g++)
                _mm256_storeu_ps(t->scale + (size_t)(b * halves + g) * K_TILE + 8 * part, scale[g]);
            if (k_has_min(type))
                for (int g = 0; g < subs; g++)
                    _mm256_storeu_ps(t->min + (size_t)(b + g) * K_TILE + 8 * part, min[g]);
            for (int sub = 0; sub < subs; sub++) {
                __m256i u[8];
                for (int r = 0; r < 8; r++)
                    u[r] = k_load_u32x(type, row[r], sub);
                k_transpose8(u);
                for (int k = 0; k < 8; k++)
                    _mm256_storeu_si256(
                        (__m256i *)(void *)(t->u + ((size_t)(8 * (b + sub) + k) * K_TILE +
                                                    8 * (size_t)part) *
                                                       4),
                        u[k]);
            }
            for (int r = 0; r < 8; r++)
                row[r] += f->block_bytes;
        }
    }
}

/* Calls one(type, …) with each type as a constant. */
#define K_EACH_TYPE(type, one)                                                                     \
    switch (type) {                                                                                \
    case K_Q4_0:                                                                                   \
        one(K_Q4_0);                                                                               \
        break;                                                                                     \
    case K_Q4_1:                                                                                   \
        one(K_Q4_1);                                                                               \
        break;                                                                                     \
    case K_Q5_0:                                                                                   \
        one(K_Q5_0);                                                                               \
        break;                                                                                     \
    case K_Q5_1:                                                                                   \
        one(K_Q5_1);                                                                               \
        break;                                                                                     \
    case K_Q8_0:                                                                                   \
        one(K_Q8_0);                                                                               \
        break;                                                                                     \
    case K_Q4_K:                                                                                   \
        one(K_Q4_K);                                                                               \
        break;                                                                                     \
    case K_Q5_K:                                                                                   \
        one(K_Q5_K);                                                                               \
        break;                                                                                     \
    default:                                                                                       \
        one(K_Q6_K);                                                                               \
        break;                                                                                     \
    }

/* The same for the formats of keys and values. */
#define K_EACH_CACHE_TYPE(type, one)                                                               \
    switch (type) {                                                                                \
    case K_F32:                                                                                    \
        one(K_F32);                                                                                \
        break;                                                                                     \
    case K_F16:                                                                                    \
        one(K_F16);                                                                                \
        break;                                                                                     \
    default:                                                                                       \
        one(K_Q8_0);                                                                               \
        break;                                                                                     \
    }

/* ---- exp ------------------------------------------------------------------------------------- */

/* Bounds between which exp neither overflows nor leaves the normal numbers. */
#define K_EXP_MIN (-87.0F)
#define K_EXP_MAX 88.0F
#define K_LOG2E   1.44269504F
/* ln 2 in two parts: the first has few bits, so that n times it is exact for |n| < 2^10. */
#define K_LN2_HI 0.693359375F
#define K_LN2_LO (-2.12194440e-4F)

/* Implemented in ops_avx2.c; same results as the others that name it. */
void k_avx2_quantize(const k_q8 *out, int r, const float *x);
void k_avx2_pack(k_tile *t, const uint8_t *w, size_t row_bytes, int n_out);
void k_avx2_dequant(float *y, uint32_t type, const uint8_t *row, int n);
void k_avx2_store(uint8_t *row, uint32_t type, const float *x, int n);

#endif
