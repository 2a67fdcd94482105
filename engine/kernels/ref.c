#include "engine/kernels/ref.h"

#include <math.h>
#include <stddef.h>

double k_dot_ref(const float *w, const float *x, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += (double)w[i] * (double)x[i];
    return sum;
}

void k_rms_ref(float *y, const float *x, const float *w, int n, float eps)
{
    const double factor = 1.0 / sqrt(k_dot_ref(x, x, n) / n + (double)eps);
    for (int i = 0; i < n; i++)
        y[i] = (float)((double)x[i] * factor * (w != NULL ? (double)w[i] : 1.0));
}

float k_softmax_ref(float *s, int n)
{
    float max = -INFINITY;
    for (int j = 0; j < n; j++)
        max = fmaxf(max, s[j]);
    double sum = 0;
    for (int j = 0; j < n; j++) {
        s[j] = (float)exp((double)s[j] - (double)max);
        sum += (double)s[j];
    }
    return (float)sum;
}

void k_gelu_mul_ref(float *y, const float *gate, const float *up, int n)
{
    const double root = 0.79788456080286535588; /* sqrt(2/π) */
    for (int i = 0; i < n; i++) {
        const double z = (double)gate[i];
        const double u = root * (z + 0.044715 * z * z * z);
        y[i] = (float)(z / (1.0 + exp(-2.0 * u)) * (double)up[i]);
    }
}
