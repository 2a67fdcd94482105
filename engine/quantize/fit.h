#ifndef ENGINE_QUANTIZE_FIT_H
#define ENGINE_QUANTIZE_FIT_H
/*
 * fit.h — scales (and minima) for which rounding costs the least weighted squared error.
 *
 *     g4_fit_scale    x[i] ≈ s·q[i],      lo ≤ q ≤ hi
 *     g4_fit_affine   x[i] ≈ s·q[i] - m,  0 ≤ q ≤ hi, m ≥ 0
 *     least           Σ w[i]·(x[i] - …)²
 *
 * Method     For a given rounding q the best s (and m) are a small linear system; for given s and m
 *            the best q is rounding. Candidates for the first rounding lie around the scale that
 *            just reaches the largest element; the best of them is improved by a few turns of
 *            solving and rounding.
 * Shapes     n is a multiple of 8, at most 32. q is float because it is multiplied.
 * Errors     none; all-zero x gives s = 0.
 * Threads    pure.
 */

enum { G4_FIT_MAX = 32 };

float g4_fit_scale(float *q, const float *x, const float *w, int n, float lo, float hi);
float g4_fit_affine(float *q, float *m, const float *x, const float *w, int n, float hi);

/* Rounds x to s·q - m; returns the weighted squared error. */
float g4_fit_round(float *q, const float *x, const float *w, int n, float s, float m, float lo,
                   float hi);

#endif
