#include "engine/quantize/fit.h"

#include <math.h>

/* Sums run in lanes, so that the compiler can use vectors without changing their order. */
enum { LANES = 8, TURNS = 3 };

typedef struct sums {
    double q, qq, xq; /* Σ w·q, Σ w·q², Σ w·x·q */
} sums;

/* To the nearest integer, ties to even, for |v| < 2^22; larger values stay as they are. */
static inline float nearest(float v)
{
    const float magic = 0x1.8p23F;
    return (v + magic) - magic;
}

static double add_lanes(const float a[LANES])
{
    double s = 0;
    for (int l = 0; l < LANES; l++)
        s += (double)a[l];
    return s;
}

/* q = x·inv + shift, rounded and kept in lo..hi. */
static sums round_to(float *q, const float *x, const float *w, int n, float inv, float shift,
                     float lo, float hi)
{
    float sq[LANES] = {0};
    float sqq[LANES] = {0};
    float sxq[LANES] = {0};
    for (int i = 0; i < n; i += LANES)
        for (int l = 0; l < LANES; l++) {
            float v = nearest(x[i + l] * inv + shift);
            v = v < lo ? lo : v;
            v = v > hi ? hi : v;
            q[i + l] = v;
            const float wq = w[i + l] * v;
            sq[l] += wq;
            sqq[l] += wq * v;
            sxq[l] += wq * x[i + l];
        }
    return (sums){add_lanes(sq), add_lanes(sqq), add_lanes(sxq)};
}

static void copy(float *to, const float *from, int n)
{
    for (int i = 0; i < n; i++)
        to[i] = from[i];
}

/* ---- without a minimum ----------------------------------------------------------------------- */

/* The signed element of largest magnitude. */
static float largest(const float *x, int n)
{
    float best = 0;
    for (int i = 0; i < n; i++)
        if ((x[i] < 0 ? -x[i] : x[i]) > (best < 0 ? -best : best))
            best = x[i];
    return best;
}

/* What the best scale for this rounding explains of Σ w·x². */
static double gain_of(sums s)
{
    return s.qq > 0 ? s.xq * s.xq / s.qq : 0;
}

float g4_fit_scale(float *q, const float *x, const float *w, int n, float lo, float hi)
{
    enum { STEPS = 9 };
    const float m = largest(x, n);
    for (int i = 0; i < n; i++)
        q[i] = 0;
    if (m > -1e-30F && m < 1e-30F)
        return 0;
    float t[G4_FIT_MAX];
    double best_gain = 0;
    float scale = 0;
    const float ends[] = {lo, hi};
    /* The largest element becomes the lowest code, of which there is one more; with few codes the
     * highest is worth trying too. */
    const int n_ends = hi - lo < 16 ? 2 : 1;
    for (int e = 0; e < n_ends; e++)
        for (int k = -STEPS; k <= STEPS; k++) {
            const float inv = (ends[e] + 0.1F * (float)k) / m;
            const sums s = round_to(t, x, w, n, inv, 0, lo, hi);
            const double gain = gain_of(s);
            if (gain > best_gain) {
                best_gain = gain;
                scale = (float)(s.xq / s.qq);
                copy(q, t, n);
            }
        }
    for (int turn = 0; turn < TURNS && (scale > 0 || scale < 0); turn++) {
        const sums s = round_to(t, x, w, n, 1 / scale, 0, lo, hi);
        const double gain = gain_of(s);
        if (!(gain > best_gain))
            break;
        best_gain = gain;
        scale = (float)(s.xq / s.qq);
        copy(q, t, n);
    }
    return scale;
}

/* ---- with a minimum -------------------------------------------------------------------------- */

/* The error of an exact fit is a rounding error and may be below zero. */
typedef struct line {
    double scale, min, error;
} line;

typedef struct totals {
    double w, x, xx; /* Σ w, Σ w·x, Σ w·x² */
} totals;

/* Scale and minimum of least error for this rounding; a negative minimum is not to be had. */
static line solve(sums s, totals t)
{
    line out = {0, 0, t.xx};
    const double det = t.w * s.qq - s.q * s.q;
    if (det > 0) {
        out.scale = (t.w * s.xq - t.x * s.q) / det;
        out.min = (s.q * s.xq - s.qq * t.x) / det;
    }
    if (!(det > 0) || out.min < 0) {
        out.scale = s.qq > 0 ? s.xq / s.qq : 0;
        out.min = 0;
    }
    out.error = out.scale * out.scale * s.qq + out.min * out.min * t.w + t.xx -
                2 * out.scale * out.min * s.q - 2 * out.scale * s.xq + 2 * out.min * t.x;
    return out;
}

float g4_fit_affine(float *q, float *m, const float *x, const float *w, int n, float hi)
{
    enum { STEPS = 12 };
    float low = 0;
    float high = x[0];
    totals t = {0, 0, 0};
    for (int i = 0; i < n; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
        t.w += (double)w[i];
        t.x += (double)w[i] * (double)x[i];
        t.xx += (double)w[i] * (double)x[i] * (double)x[i];
        q[i] = 0;
    }
    *m = -low;
    if (!(high - low > 1e-30F))
        return 0;
    float r[G4_FIT_MAX];
    line best = {0, -(double)low, (double)INFINITY};
    for (int k = -STEPS; k <= STEPS; k++) {
        const float inv = (hi + 0.1F * (float)k) / (high - low);
        const line fit = solve(round_to(r, x, w, n, inv, -low * inv, 0, hi), t);
        if (fit.scale > 0 && fit.error < best.error) {
            best = fit;
            copy(q, r, n);
        }
    }
    for (int turn = 0; turn < TURNS && best.scale > 0; turn++) {
        const float inv = (float)(1 / best.scale);
        const line fit = solve(round_to(r, x, w, n, inv, (float)best.min * inv, 0, hi), t);
        if (!(fit.scale > 0 && fit.error < best.error))
            break;
        best = fit;
        copy(q, r, n);
    }
    *m = (float)best.min;
    return (float)best.scale;
}

float g4_fit_round(float *q, const float *x, const float *w, int n, float s, float m, float lo,
                   float hi)
{
    float error[LANES] = {0};
    const float inv = s > 0 || s < 0 ? 1 / s : 0;
    for (int i = 0; i < n; i += LANES)
        for (int l = 0; l < LANES; l++) {
            float v = nearest((x[i + l] + m) * inv);
            v = v < lo ? lo : v;
            v = v > hi ? hi : v;
            q[i + l] = v;
            const float d = s * v - m - x[i + l];
            error[l] += w[i + l] * d * d;
        }
    return (float)add_lanes(error);
}
