#ifndef ENGINE_QUANTIZE_ENCODE_H
#define ENGINE_QUANTIZE_ENCODE_H
/*
 * encode.h — float32 rows as blocks of a format; the inverse of kernels/quant.h.
 *
 * Formats    F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K to Q6_K, IQ4_NL.
 * Accuracy   F16, BF16 round to nearest even. The blocks have the bytes of ggml_quantize_chunk without
 *            importance matrix (test_quantize_peer.c). The K formats and IQ4_NL search: fit.h.
 * Errors     none: values must be finite and below 65,504 in magnitude, which the caller checks.
 * Threads    pure.
 */
#include <stdbool.h>
#include <stdint.h>

/* Whether g4_encode_row knows the type (a k_type number). */
bool g4_can_encode(uint32_t type);
/* out: the row's bytes; x: [n], n a multiple of the block. */
void g4_encode_row(uint8_t *out, uint32_t type, const float *x, int n);

/* One block each; encode_k.c. */
void g4_encode_q2_k(uint8_t *out, const float *x);
void g4_encode_q3_k(uint8_t *out, const float *x);
void g4_encode_q4_k(uint8_t *out, const float *x);
void g4_encode_q5_k(uint8_t *out, const float *x);
void g4_encode_q6_k(uint8_t *out, const float *x);

#endif
