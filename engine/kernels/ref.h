#ifndef ENGINE_KERNELS_REF_H
#define ENGINE_KERNELS_REF_H
/*
 * ref.h — the formulas and nothing else. Slow; every faster variant is tested against them.
 *
 * Accuracy   sums in f64, in the order of the indices.
 * Shapes     as the functions of the same name in ops.h.
 * Threads    pure.
 */
#include <stdint.h>

/* w · x */
double k_dot_ref(const float *w, const float *x, int n);
/* x[i] · (mean x² + eps)^(-1/2) · w[i], w NULL for 1 */
void k_rms_ref(float *y, const float *x, const float *w, int n, float eps);
/* s[j] = exp(s[j] - max s); returns the sum */
float k_softmax_ref(float *s, int n);
/* 0.5·z·(1 + tanh(sqrt(2/π)·(z + 0.044715·z³))) · up, z = gate[i]; written as z / (1 + exp(-2u)),
 * which is the same and loses nothing where tanh is near -1 */
void k_gelu_mul_ref(float *y, const float *gate, const float *up, int n);

#endif
