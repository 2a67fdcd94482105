#ifndef ENGINE_QUANTIZE_FIT_H
#define ENGINE_QUANTIZE_FIT_H
/*
 * fit.h — scales (and minima) of one sub-block for which rounding costs little.
 *
 *     g4_fit_scale    x[i] ≈ s·q[i],      -half ≤ q < half, candidates around the largest element
 *     g4_fit_descent  the same form, one element at a time
 *     g4_fit_ranges   x[i] ≈ s·q[i] - m,  0 ≤ q ≤ hi, m ≥ 0
 *
 * Method     For a given rounding q the best s (and m) solve a small linear system of weighted least
 *            squares; for given s and m the best q is rounding. scale and ranges try a fixed ladder of
 *            first scales and keep the best solution; descent starts from the one that just reaches
 *            the largest element and moves single codes while the fit gets better.
 * Source     the search that ggml's K formats are published with. Ladders, weights and the order of
 *            every float32 sum are the same on purpose, so that the bytes are (test_quantize_peer.c).
 *            Longer searches: README.md.
 * Shapes     n at most 32. q is float because it is multiplied.
 * Errors     none; x that is all zero, or nearly, gives s = 0 and the lowest q.
 * Threads    pure.
 */

enum { G4_FIT_MAX = 32, G4_FIT_SUBS = 8 };

/* Weights x². */
float g4_fit_scale(float *q, const float *x, int n, int half);
float g4_fit_descent(float *q, const float *x, int n, int half);

typedef struct g4_fit_ladder {
    float first, step; /* steps on the axis of the highest code: hi + first + step·k */
    int n;             /* k = 0 .. n */
    enum { G4_FIT_SQUARES, G4_FIT_DISTANCES } error; /* what the best solution has least of */
} g4_fit_ladder;

/* Eight sub-blocks at once: q, x, w: [8, n]. */
void g4_fit_ranges(float *q, float scale[G4_FIT_SUBS], float min[G4_FIT_SUBS], const float *x,
                   const float *w, int n, int hi, const g4_fit_ladder *ladder);

/* v to the nearest integer, ties to even, for |v| ≤ 2^22; then into lo..hi. */
static inline float g4_fit_code(float v, float lo, float hi)
{
    const float magic = 0x1.8p23F;
    v = (v + magic) - magic;
    v = v < lo ? lo : v;
    return v > hi ? hi : v;
}

#endif
