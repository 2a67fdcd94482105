#ifndef ENGINE_KERNELS_FAMILIES_H
#define ENGINE_KERNELS_FAMILIES_H
/* families.h — the tables that ops.c chooses from; nobody else includes it. */
#include "engine/kernels/ops.h"

extern const k_ops k_ops_portable;
#if defined(__x86_64__)
extern const k_ops k_ops_avx2;
extern const k_ops k_ops_avx512;
#endif

/* Shared by families that have no faster one. */
void k_quantize_portable(const k_q8 *out, int r, const float *x);

/* A row of Q8_0 blocks from x: [n], each rounded by quantize. */
void k_store_q8_0(uint8_t *row, const float *x, int n,
                  void (*quantize)(const k_q8 *out, int r, const float *x));

#endif
