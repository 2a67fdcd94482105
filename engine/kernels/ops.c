#include "engine/kernels/ops.h"

#include <math.h>

#include "engine/kernels/families.h"

static const k_i8_format formats[] = {
    {K_Q4_0, 32, 18, 8, false, false},   {K_Q4_1, 32, 20, 0, false, true},
    {K_Q5_0, 32, 22, 16, false, false},  {K_Q5_1, 32, 24, 0, false, true},
    {K_Q8_0, 32, 34, 128, false, false}, {K_Q4_K, 256, 144, 0, false, true},
    {K_Q5_K, 256, 176, 0, false, true},  {K_Q6_K, 256, 210, 32, true, false},
};

const k_i8_format *k_i8_format_of(uint32_t type)
{
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
        if (formats[i].type == type)
            return &formats[i];
    return NULL;
}

static size_t align_up(size_t bytes)
{
    return (bytes + K_ALIGN - 1) / K_ALIGN * K_ALIGN;
}

size_t k_tile_bytes(int n)
{
    const size_t cells = (size_t)n * K_TILE;
    return align_up(cells) + align_up(cells / 16 * sizeof(float)) +
           align_up(cells / 32 * sizeof(float));
}

void k_tile_place(k_tile *t, uint8_t *memory, int n)
{
    const size_t cells = (size_t)n * K_TILE;
    t->n = n;
    t->u = memory;
    t->scale = (float *)(void *)(memory + align_up(cells));
    t->min = (float *)(void *)(memory + align_up(cells) + align_up(cells / 16 * sizeof(float)));
}

const k_ops *k_ops_at(int i)
{
    const k_ops *all[4] = {&k_ops_portable};
    int n = 1;
#if defined(__x86_64__)
    __builtin_cpu_init();
    /* F16C came before AVX2; clang 14 cannot ask for it. */
    const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (has_avx2)
        all[n++] = &k_ops_avx2;
    if (has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vnni"))
        all[n++] = &k_ops_avx512;
#endif
    return i >= 0 && i < n ? all[i] : NULL;
}

const k_ops *k_ops_best(void)
{
    const k_ops *best = NULL;
    for (int i = 0; k_ops_at(i) != NULL; i++)
        best = k_ops_at(i);
    return best;
}

void k_rms(float *y, const float *x, const float *w, int n, float eps)
{
    double lane[8] = {0};
    int i = 0;
    for (; i + 8 <= n; i += 8)
        for (int l = 0; l < 8; l++)
            lane[l] += (double)x[i + l] * (double)x[i + l];
    for (; i < n; i++)
        lane[0] += (double)x[i] * (double)x[i];
    const double sum =
        ((lane[0] + lane[4]) + (lane[1] + lane[5])) + ((lane[2] + lane[6]) + (lane[3] + lane[7]));
    const float factor = (float)(1.0 / sqrt(sum / n + (double)eps));
    if (w != NULL)
        for (i = 0; i < n; i++)
            y[i] = x[i] * factor * w[i];
    else
        for (i = 0; i < n; i++)
            y[i] = x[i] * factor;
}

void k_rope(float *x, const float *cos, const float *sin, int dh)
{
    const int half = dh / 2;
    for (int i = 0; i < half; i++) {
        const float a = x[i];
        const float b = x[i + half];
        x[i] = a * cos[i] - b * sin[i];
        x[i + half] = b * cos[i] + a * sin[i];
    }
}
