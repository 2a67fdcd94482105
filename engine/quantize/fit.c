#include "engine/quantize/fit.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

/* Below this nothing is worth a scale. */
static const float nothing = 1e-15F;

/* What can be computed side by side lies side by side, for the compiler to use vectors: the candidates
 * of one sub-block, or the sub-blocks of one block. Each sum still runs over its elements in order,
 * which is what fixes its bits. */

/* The first signed element of largest magnitude. */
static float largest(const float *x, int n)
{
    float best = 0;
    for (int i = 0; i < n; i++)
        if (fabsf(x[i]) > fabsf(best))
            best = x[i];
    return best;
}

static float all_lowest(float *q, int n, float lo)
{
    for (int i = 0; i < n; i++)
        q[i] = lo;
    return 0;
}

/* ---- without a minimum ----------------------------------------------------------------------- */

float g4_fit_scale(float *q, const float *x, int n, int half)
{
    enum { STEPS = 9, LANES = 24 };
    const float m = largest(x, n);
    const float lo = (float)-half;
    const float hi = (float)(half - 1);
    float inv[LANES] = {0};
    float xq[LANES] = {0};
    float qq[LANES] = {0};
    float code[G4_FIT_MAX][LANES];
    if (fabsf(m) < nothing)
        return all_lowest(q, n, lo);
    /* Rung 0 takes the largest element to the lowest code, of which there is one more; the others
     * a tenth of a code and more beside it. */
    inv[0] = lo / m;
    for (int k = -STEPS, r = 1; k <= STEPS; k++)
        if (k != 0)
            inv[r++] = -((float)half + 0.1F * (float)k) / m;
    for (int i = 0; i < n; i++) {
        const float w = x[i] * x[i];
        const float wx = w * x[i];
        for (int r = 0; r < LANES; r++) {
            const float c = g4_fit_code(inv[r] * x[i], lo, hi);
            code[i][r] = c;
            xq[r] += wx * c;
            qq[r] += w * c * c;
        }
    }
    int best = 0;
    float scale = qq[0] > 0 ? xq[0] / qq[0] : 0;
    float gain = scale * xq[0];
    for (int r = 1; r <= 2 * STEPS; r++)
        if (qq[r] > 0 && xq[r] * xq[r] > gain * qq[r]) {
            best = r;
            scale = xq[r] / qq[r];
            gain = scale * xq[r];
        }
    for (int i = 0; i < n; i++)
        q[i] = code[i][best];
    return scale;
}

float g4_fit_descent(float *q, const float *x, int n, int half)
{
    enum { ROUNDS = 5 };
    const float m = largest(x, n);
    const float lo = (float)-half;
    const float hi = (float)(half - 1);
    float xq = 0; /* Σ w·x·q */
    float qq = 0; /* Σ w·q² */
    if (fabsf(m) < nothing)
        return all_lowest(q, n, lo);
    const float inv = lo / m;
    for (int i = 0; i < n; i++) {
        const float w = x[i] * x[i];
        q[i] = g4_fit_code(inv * x[i], lo, hi);
        xq += w * x[i] * q[i];
        qq += w * q[i] * q[i];
    }
    for (int round = 0; round < ROUNDS; round++) {
        bool has_moved = false;
        for (int i = 0; i < n; i++) {
            /* Without element i the scale would be xq/qq: where does that put i? */
            const float w = x[i] * x[i];
            float rest_xq = xq - w * x[i] * q[i];
            float rest_qq = qq - w * q[i] * q[i];
            if (!(rest_xq > 0))
                continue;
            const float c = g4_fit_code(x[i] * rest_qq / rest_xq, lo, hi);
            const bool is_same = !(c < q[i] || c > q[i]);
            rest_xq += w * x[i] * c;
            rest_qq += w * c * c;
            if (is_same || !(rest_qq > 0) || !(rest_xq * rest_xq * qq > xq * xq * rest_qq))
                continue;
            q[i] = c;
            xq = rest_xq;
            qq = rest_qq;
            has_moved = true;
        }
        if (!has_moved)
            break;
    }
    return qq > 0 ? xq / qq : 0;
}

/* ---- with a minimum -------------------------------------------------------------------------- */

enum { SUBS = G4_FIT_SUBS };

/* One number of each sub-block, and a rounding of all of them. */
typedef struct lane {
    float v[SUBS];
} lane;

typedef struct solution {
    lane scale, low; /* x ≈ scale·code + low */
    lane error;
    lane code[G4_FIT_MAX];
} solution;

typedef struct job {
    int n;
    float hi;
    bool by_distance;
    lane x[G4_FIT_MAX], w[G4_FIT_MAX];
    lane low, high;             /* of the elements, low at most 0 */
    lane sum_w, sum_wx;         /* Σ w, Σ w·x */
    lane sum_q, sum_qq, sum_xq; /* of a rounding: Σ w·q, Σ w·q², Σ w·x·q */
} job;

static void lay_out(job *b, const float *x, const float *w)
{
    for (int i = 0; i < b->n; i++)
        for (int j = 0; j < SUBS; j++) {
            b->x[i].v[j] = x[b->n * j + i];
            b->w[i].v[j] = w[b->n * j + i];
        }
    b->low = b->high = b->x[0];
    for (int i = 0; i < b->n; i++)
        for (int j = 0; j < SUBS; j++) {
            const float v = b->x[i].v[j];
            b->low.v[j] = v < b->low.v[j] ? v : b->low.v[j];
            b->high.v[j] = v > b->high.v[j] ? v : b->high.v[j];
            b->sum_w.v[j] += b->w[i].v[j];
            b->sum_wx.v[j] += b->w[i].v[j] * v;
        }
    for (int j = 0; j < SUBS; j++)
        b->low.v[j] = b->low.v[j] > 0 ? 0 : b->low.v[j];
}

static void round_all(job *b, lane *code, const lane *inv, const lane *low)
{
    b->sum_q = b->sum_qq = b->sum_xq = (lane){{0}};
    for (int i = 0; i < b->n; i++)
        for (int j = 0; j < SUBS; j++) {
            const float x = b->x[i].v[j];
            const float c = g4_fit_code(inv->v[j] * (x - low->v[j]), 0, b->hi);
            const float wc = b->w[i].v[j] * c;
            code[i].v[j] = c;
            b->sum_q.v[j] += wc;
            b->sum_qq.v[j] += wc * c;
            b->sum_xq.v[j] += wc * x;
        }
}

/* The best scale and lowest value for the rounding of the sums; a lowest value beyond zero is not to
 * be had. Sub-blocks without a solution get scale 0. */
static void solve_all(const job *b, solution *s)
{
    for (int j = 0; j < SUBS; j++) {
        const float q = b->sum_q.v[j];
        const float qq = b->sum_qq.v[j];
        const float xq = b->sum_xq.v[j];
        const float det = b->sum_w.v[j] * qq - q * q;
        const float scale = (b->sum_w.v[j] * xq - b->sum_wx.v[j] * q) / det;
        const float low = (qq * b->sum_wx.v[j] - q * xq) / det;
        s->scale.v[j] = !(det > 0) ? 0 : low > 0 ? xq / qq : scale;
        s->low.v[j] = !(det > 0) || low > 0 ? 0 : low;
        s->error.v[j] = det > 0 ? 0 : INFINITY;
    }
}

static void measure_all(const job *b, solution *s)
{
    for (int i = 0; i < b->n; i++)
        for (int j = 0; j < SUBS; j++) {
            const float d = s->scale.v[j] * s->code[i].v[j] + s->low.v[j] - b->x[i].v[j];
            s->error.v[j] += b->w[i].v[j] * (b->by_distance ? fabsf(d) : d * d);
        }
}

static void keep_better(const job *b, solution *best, const solution *s)
{
    for (int j = 0; j < SUBS; j++) {
        if (!(s->error.v[j] < best->error.v[j]))
            continue;
        best->scale.v[j] = s->scale.v[j];
        best->low.v[j] = s->low.v[j];
        best->error.v[j] = s->error.v[j];
        for (int i = 0; i < b->n; i++)
            best->code[i].v[j] = s->code[i].v[j];
    }
}

void g4_fit_ranges(float *q, float scale[SUBS], float min[SUBS], const float *x, const float *w,
                   int n, int hi, const g4_fit_ladder *ladder)
{
    job b = {.n = n, .hi = (float)hi, .by_distance = ladder->error == G4_FIT_DISTANCES};
    solution best = {0};
    solution next = {0};
    lane inv;
    lay_out(&b, x, w);
    /* From the lowest to the highest element, taken as it is. */
    for (int j = 0; j < SUBS; j++) {
        const float width = b.high.v[j] - b.low.v[j];
        inv.v[j] = width > 0 ? (float)hi / width : 0;
        best.scale.v[j] = width > 0 ? 1 / inv.v[j] : 0;
    }
    best.low = b.low;
    round_all(&b, best.code, &inv, &best.low);
    measure_all(&b, &best);
    /* The ladder. Each rung starts at the lowest value of the best solution so far. */
    for (int k = 0; k <= ladder->n; k++) {
        const float codes = ladder->first + ladder->step * (float)k + (float)hi;
        for (int j = 0; j < SUBS; j++) {
            const bool is_flat = !(b.high.v[j] > b.low.v[j]);
            inv.v[j] = is_flat ? 0 : codes / (b.high.v[j] - best.low.v[j]);
        }
        round_all(&b, next.code, &inv, &best.low);
        solve_all(&b, &next);
        measure_all(&b, &next);
        keep_better(&b, &best, &next);
    }
    for (int j = 0; j < SUBS; j++) {
        scale[j] = best.scale.v[j];
        min[j] = -best.low.v[j];
        for (int i = 0; i < n; i++)
            q[n * j + i] = best.code[i].v[j];
    }
}
