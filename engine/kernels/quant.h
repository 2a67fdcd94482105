#ifndef ENGINE_KERNELS_QUANT_H
#define ENGINE_KERNELS_QUANT_H
/*
 * quant.h — the block formats of weights and their values as float32.
 *
 * Format     a row of n elements is n / block_n blocks of block_bytes bytes, packed, little-endian,
 *            unaligned. The layout of each format stands beside its function in quant.c.
 * Accuracy   k_dequant evaluates the formula of the format in float32, product by product, and is
 *            the definition: every faster unpacking must give the same bits (test_dequant.c).
 * Errors     none; k_type_info_of gives NULL for a type that the engine does not know.
 * Threads    pure.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The numbers are GGUF's. */
typedef enum k_type {
    K_F32 = 0,
    K_F16 = 1,
    K_Q4_0 = 2,
    K_Q4_1 = 3,
    K_Q5_0 = 6,
    K_Q5_1 = 7,
    K_Q8_0 = 8,
    K_Q2_K = 10,
    K_Q3_K = 11,
    K_Q4_K = 12,
    K_Q5_K = 13,
    K_Q6_K = 14,
    K_IQ4_NL = 20,
    K_IQ4_XS = 23,
    K_BF16 = 30,
    K_MXFP4 = 39,
} k_type;

enum { K_QK = 256, K_BLOCK = 32 };

typedef struct k_type_info {
    const char *name;
    int block_n; /* elements per block: 1, 32 or 256 */
    int block_bytes;
    void (*dequant)(float *y, const uint8_t *block); /* one block; the formula and nothing else */
} k_type_info;

const k_type_info *k_type_info_of(uint32_t type);

/* Bytes of a row of n elements, 0 if n is no multiple of the block. */
size_t k_row_bytes(uint32_t type, int64_t n);

/* y: [n] f32; n a multiple of the block. */
void k_dequant_ref(float *y, uint32_t type, const uint8_t *row, int n);

float k_f16_to_f32(uint16_t h);
/* Round to nearest even; values beyond the range become infinities. */
uint16_t k_f32_to_f16(float f);

static inline uint16_t k_load_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t k_load_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* The 6-bit (scale, minimum) pairs of Q4_K and Q5_K from their 12 bytes. */
void k_scales_k4(uint8_t scale[8], uint8_t min[8], const uint8_t sc[12]);

#endif
