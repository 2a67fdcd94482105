/* engine/kernels: every function of every family against the formula, over awkward shapes. Products
 * of quantised rows must even agree bit for bit between families and between paths. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "cm.h"
#include "engine/kernels/ops.h"
#include "engine/kernels/ref.h"

static as_rng rng;

static float number(float scale)
{
    return scale * (float)(2 * as_rng_f64(&rng) - 1);
}

/* Unaligned on purpose: one float behind what malloc gives. */
static float *numbers(size_t n, float scale)
{
    float *v = (float *)malloc((n + 1) * sizeof *v) + 1;
    for (size_t i = 0; i < n; i++)
        v[i] = number(scale);
    return v;
}

static void drop(float *v)
{
    free(v - 1);
}

static const float scales[] = {0.0F, 1e-30F, 1.0F, 1e15F};
static const int lengths[] = {1, 2, 7, 16, 31, 32, 33, 63, 64, 100, 256, 640, 2049};
enum { N_LENGTHS = sizeof lengths / sizeof lengths[0] };

static void near(const k_ops *ops, const char *what, int i, double got, double want, double allowed)
{
    if (!(fabs(got - want) <= allowed))
        fail_msg("%s %s: element %d is %.9g, want %.9g", ops->name, what, i, got, want);
}

/* Σ|w·x|: what rounding errors of a sum are proportional to. */
static double magnitude(const float *w, const float *x, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += fabs((double)w[i] * (double)x[i]);
    return sum;
}

static void f32_products(void **state)
{
    (void)state;
    enum { ROWS = 9, OUTS = 5, STRIDE = 7 };
    for (int f = 0; k_ops_at(f) != NULL; f++)
        for (int l = 0; l < N_LENGTHS; l++)
            for (size_t s = 0; s < sizeof scales / sizeof scales[0]; s++) {
                const k_ops *ops = k_ops_at(f);
                const int n = lengths[l];
                float *w = numbers((size_t)(OUTS * n), 1.0F);
                float *x = numbers((size_t)(ROWS * n), scales[s]);
                float y[STRIDE * ROWS];
                ops->dot_f32(y, STRIDE, w, OUTS, x, ROWS, n);
                for (int i = 0; i < ROWS * OUTS; i++) {
                    const int r = i / OUTS;
                    const int o = i % OUTS;
                    near(ops, "dot_f32", i, (double)y[STRIDE * r + o],
                         k_dot_ref(w + o * n, x + r * n, n),
                         1e-6 * magnitude(w + o * n, x + r * n, n));
                    float alone;
                    ops->dot_f32(&alone, 1, w + o * n, 1, x + r * n, 1, n);
                    assert_memory_equal(&alone, &y[STRIDE * r + o], sizeof alone);
                }
                drop(w);
                drop(x);
            }
}

static void attention_parts(void **state)
{
    (void)state;
    enum { HEADS = 5, KEYS = 13 };
    for (int f = 0; k_ops_at(f) != NULL; f++)
        for (int l = 0; l < N_LENGTHS; l++) {
            const k_ops *ops = k_ops_at(f);
            const int dh = lengths[l];
            float *q = numbers((size_t)(HEADS * dh), 1.0F);
            float *k = numbers((size_t)(KEYS * dh), 1.0F);
            float *o = numbers((size_t)(HEADS * dh), 1.0F);
            float *start = numbers((size_t)(HEADS * dh), 0.0F);
            memcpy(start, o, (size_t)(HEADS * dh) * sizeof *o);
            float s[HEADS * 16];
            const uint8_t *rows = (const uint8_t *)(const void *)k;
            ops->scores(s, 16, q, HEADS, K_F32, rows, KEYS, dh, 0.5F);
            for (int h = 0; h < HEADS; h++)
                for (int j = 0; j < KEYS; j++)
                    near(ops, "scores", 16 * h + j, (double)s[16 * h + j],
                         0.5 * k_dot_ref(q + h * dh, k + j * dh, dh),
                         1e-6 * magnitude(q + h * dh, k + j * dh, dh) + 1e-30);
            ops->weigh(o, s, 16, HEADS, K_F32, rows, KEYS, dh);
            for (int h = 0; h < HEADS; h++)
                for (int i = 0; i < dh; i++) {
                    double want = (double)start[h * dh + i];
                    double size = fabs(want);
                    for (int j = 0; j < KEYS; j++) {
                        want += (double)s[16 * h + j] * (double)k[j * dh + i];
                        size += fabs((double)s[16 * h + j] * (double)k[j * dh + i]);
                    }
                    near(ops, "weigh", i, (double)o[h * dh + i], want, 1e-6 * size);
                }
            drop(q);
            drop(k);
            drop(o);
            drop(start);
        }
}

/* Rows of keys and values in each format: what is stored is the nearest, the same in all families,
 * and scores and sums have the bits that the same values as f32 give. */
static void check_cache(const k_ops *ops, uint32_t type, int dh, float scale)
{
    enum { HEADS = 7, KEYS = 13 };
    const size_t row_bytes = k_row_bytes(type, dh);
    const size_t n = (size_t)KEYS * (size_t)dh;
    float *x = numbers(n, scale);
    float *plain_rows = numbers(n, 0.0F);
    float *q = numbers((size_t)(HEADS * dh), 1.0F);
    uint8_t *rows = malloc(KEYS * row_bytes); /* exact: the sanitizer sees a read behind it */
    uint8_t *first = malloc(KEYS * row_bytes);
    for (size_t j = 0; j < KEYS; j++) {
        ops->store(rows + j * row_bytes, type, x + j * (size_t)dh, dh);
        k_ops_at(0)->store(first + j * row_bytes, type, x + j * (size_t)dh, dh);
        k_dequant_ref(plain_rows + j * (size_t)dh, type, rows + j * row_bytes, dh);
    }
    assert_memory_equal(rows, first, KEYS * row_bytes);
    const double step = type == K_Q8_0 ? 0.51 / 127 + 0x1p-11 : 0x1p-11; /* of the largest */
    for (size_t i = 0; i < n; i++)
        near(ops, "store", (int)i, (double)plain_rows[i], (double)x[i],
             step * (double)scale + 0x1p-18);
    const uint8_t *as_f32 = (const uint8_t *)(const void *)plain_rows;
    float s[2][HEADS * 16];
    ops->scores(s[0], 16, q, HEADS, type, rows, KEYS, dh, 0.5F);
    ops->scores(s[1], 16, q, HEADS, K_F32, as_f32, KEYS, dh, 0.5F);
    for (size_t h = 0; h < HEADS; h++)
        assert_memory_equal(s[0] + 16 * h, s[1] + 16 * h, KEYS * sizeof(float));
    float *o[2] = {numbers((size_t)(HEADS * dh), 1.0F), numbers((size_t)(HEADS * dh), 1.0F)};
    memcpy(o[1], o[0], (size_t)(HEADS * dh) * sizeof(float));
    ops->weigh(o[0], s[0], 16, HEADS, type, rows, KEYS, dh);
    ops->weigh(o[1], s[0], 16, HEADS, K_F32, as_f32, KEYS, dh);
    assert_memory_equal(o[0], o[1], (size_t)(HEADS * dh) * sizeof(float));
    drop(o[0]);
    drop(o[1]);
    drop(q);
    drop(x);
    drop(plain_rows);
    free(rows);
    free(first);
}

static void formats_of_the_cache(void **state)
{
    (void)state;
    static const uint32_t types[] = {K_F32, K_F16, K_Q8_0};
    static const int blocks[] = {32, 64, 96, 256, 512};
    for (int f = 0; k_ops_at(f) != NULL; f++)
        for (size_t t = 0; t < 3; t++)
            for (size_t s = 0; s < 3; s++) { /* no f16 holds the largest scale */
                for (int l = 0; l < N_LENGTHS && types[t] != K_Q8_0; l++)
                    check_cache(k_ops_at(f), types[t], lengths[l], scales[s]);
                for (int l = 0; l < 5; l++)
                    check_cache(k_ops_at(f), types[t], blocks[l], scales[s]);
            }
    /* what a half cannot hold shows */
    for (int f = 0; k_ops_at(f) != NULL; f++) {
        const float bad[32] = {1e6F, -1e6F, NAN, INFINITY, 65504, 65519, 65520, 6e-8F, 2e-8F};
        uint8_t row[64];
        float back[32];
        k_ops_at(f)->store(row, K_F16, bad, 32);
        k_dequant_ref(back, K_F16, row, 32);
        assert_true(isinf(back[0]) && back[1] == -INFINITY && isnan(back[2]) && isinf(back[3]));
        assert_true(back[4] == 65504 && back[5] == 65504 && isinf(back[6]));
        assert_true(back[7] == 0x1p-24F && back[8] == 0);
        k_ops_at(f)->store(row, K_Q8_0, bad, 32);
        k_dequant_ref(back, K_Q8_0, row, 32);
        assert_true(isnan(back[0]) && isnan(back[31]));
    }
}

static void softmax_and_gelu(void **state)
{
    (void)state;
    for (int f = 0; k_ops_at(f) != NULL; f++)
        for (int l = 0; l < N_LENGTHS; l++)
            for (int range = 1; range <= 200; range *= 5) {
                const k_ops *ops = k_ops_at(f);
                const int n = lengths[l];
                float *a = numbers((size_t)n, (float)range);
                float *b = numbers((size_t)n, 0.0F);
                float *up = numbers((size_t)n, 3.0F);
                memcpy(b, a, (size_t)n * sizeof *a);
                near(ops, "softmax sum", 0, (double)ops->softmax(a, n), (double)k_softmax_ref(b, n),
                     3e-7 * n);
                for (int i = 0; i < n; i++)
                    near(ops, "softmax", i, (double)a[i], (double)b[i],
                         (4e-7 + 2.4e-7 * range) * (double)b[i] + 2e-38); /* s - max is rounded */
                float *gate = numbers((size_t)n, (float)range);
                ops->gelu_mul(a, gate, up, n);
                k_gelu_mul_ref(b, gate, up, n);
                for (int i = 0; i < n; i++)
                    near(ops, "gelu", i, (double)a[i], (double)b[i],
                         4e-7 * fabs((double)gate[i] * (double)up[i]) + 1e-30);
                drop(gate);
                drop(a);
                drop(b);
                drop(up);
            }
}

static void special_numbers(void **state)
{
    (void)state;
    for (int f = 0; k_ops_at(f) != NULL; f++) {
        const k_ops *ops = k_ops_at(f);
        float s[3] = {NAN, 1, 2};
        ops->softmax(s, 3);
        assert_true(isnan(s[0]));
        float gate[4] = {INFINITY, -INFINITY, NAN, 1e30F};
        const float up[4] = {1, 1, 1, 1};
        ops->gelu_mul(gate, gate, up, 4);
        assert_true(isinf(gate[0]) && isnan(gate[2]) && gate[3] == 1e30F);
    }
}

static void norms_and_rotation(void **state)
{
    (void)state;
    for (int l = 0; l < N_LENGTHS; l++)
        for (size_t s = 0; s < sizeof scales / sizeof scales[0]; s++) {
            const int n = lengths[l];
            float *x = numbers((size_t)n, scales[s]);
            float *w = numbers((size_t)n, 2.0F);
            float *y = numbers((size_t)n, 0.0F);
            float *want = numbers((size_t)n, 0.0F);
            for (int with = 0; with < 2; with++) {
                k_rms(y, x, with != 0 ? w : NULL, n, 1e-6F);
                k_rms_ref(want, x, with != 0 ? w : NULL, n, 1e-6F);
                for (int i = 0; i < n; i++)
                    near(k_ops_at(0), "rms", i, (double)y[i], (double)want[i],
                         3e-7 * fabs((double)want[i]));
            }
            drop(x);
            drop(w);
            drop(y);
            drop(want);
        }
    /* spec appendix A.3: a sliding head of 8 with input (1…8)/8 at position 9, theta 10,000 */
    static const double turned[8] = {-0.371465, -0.432093, 0.294839, 0.490980,
                                     -0.517942, 0.662039,  0.905163, 1.004459};
    float x[8];
    float c[4];
    float s[4];
    for (int i = 0; i < 8; i++)
        x[i] = (float)(i + 1) / 8;
    for (int i = 0; i < 4; i++) {
        c[i] = (float)cos(9 * pow(10000, -i / 4.0));
        s[i] = (float)sin(9 * pow(10000, -i / 4.0));
    }
    k_rope(x, c, s, 8);
    for (int i = 0; i < 8; i++)
        near(k_ops_at(0), "rope", i, (double)x[i], turned[i], 1e-6);
}

/* ---- quantised products ---------------------------------------------------------------------- */

static k_q8 q8_new(int rows, int n)
{
    return (k_q8){
        .n = n,
        .q = calloc((size_t)rows * (size_t)n, 1),
        .d = calloc((size_t)rows * (size_t)n / 32, sizeof(float)),
        .ds = calloc((size_t)rows * (size_t)n / 32, sizeof(float)),
        .sum16 = calloc((size_t)rows * (size_t)n / 16, sizeof(int32_t)),
    };
}

static void q8_free(k_q8 *x)
{
    free(x->q);
    free(x->d);
    free(x->ds);
    free(x->sum16);
}

static void rounding_of_activations(void **state)
{
    (void)state;
    enum { N = 64 };
    static const float sizes[] = {0.0F, 1e-44F, 1e-36F, 1.0F, 1e38F};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
        for (int bad = 0; bad < 3; bad++) {
            float *x = numbers(N, sizes[s]);
            if (bad > 0)
                x[40] = bad == 1 ? NAN : INFINITY;
            k_q8 first = q8_new(1, N);
            k_ops_at(0)->quantize(&first, 0, x);
            for (int i = 0; i < N && bad == 0; i++)
                near(k_ops_at(0), "quantize", i, (double)first.q[i] * (double)first.d[i / 32],
                     (double)x[i], 0.51 * (double)first.d[i / 32] + 0x1p-118);
            assert_true(bad == 0 || isnan(first.d[1]));
            assert_true(!isnan(first.d[0]));
            for (int f = 1; k_ops_at(f) != NULL; f++) {
                k_q8 other = q8_new(1, N);
                k_ops_at(f)->quantize(&other, 0, x);
                assert_memory_equal(first.q, other.q, N);
                assert_memory_equal(first.sum16, other.sum16, N / 16 * sizeof(int32_t));
                for (int b = 0; b < N / 32; b++)
                    assert_true(first.d[b] == other.d[b] ||
                                (isnan(first.d[b]) && isnan(other.d[b])));
                q8_free(&other);
            }
            q8_free(&first);
            drop(x);
        }
    /* spec appendix B: x_i = ((7i) mod 32 - 13)/8 */
    static const int8_t want[32] = {-92, -42, 7,   56,  106, -71, -21, 28,  78,  127, -49,
                                    0,   49,  99,  -78, -28, 21,  71,  120, -56, -7,  42,
                                    92,  -85, -35, 14,  64,  113, -64, -14, 35,  85};
    float x[32];
    for (int i = 0; i < 32; i++)
        x[i] = (float)(7 * i % 32 - 13) / 8;
    k_q8 q = q8_new(1, 32);
    k_ops_best()->quantize(&q, 0, x);
    assert_memory_equal(q.q, want, 32);
    assert_int_equal(k_f32_to_f16(q.d[0]), 0x2489);
    q8_free(&q);
}

/* Random bytes with small finite scales, so that results can be compared with a plain sum. */
static void random_rows(uint8_t *w, const k_i8_format *f, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        w[i] = (uint8_t)as_rng_below(&rng, 256);
    for (size_t at = 0; at < bytes; at += (size_t)f->block_bytes) {
        const uint16_t d = k_f32_to_f16(number(0.1F));
        const uint16_t m = k_f32_to_f16(number(0.1F));
        uint8_t *b = w + at + (f->type == K_Q6_K ? 208 : 0);
        b[0] = (uint8_t)d;
        b[1] = (uint8_t)(d >> 8);
        if (f->has_min) {
            b[2] = (uint8_t)m;
            b[3] = (uint8_t)(m >> 8);
        }
    }
}

/* By the definition: de-quantised weights times rounded activations. */
static double plain(const k_i8_format *f, const uint8_t *row, const k_q8 *x, int r, double *size)
{
    float *w = malloc((size_t)x->n * sizeof *w);
    k_dequant_ref(w, f->type, row, x->n);
    double sum = 0;
    *size = 0;
    for (int i = 0; i < x->n; i++) {
        const double v =
            (double)w[i] * (double)x->q[r * x->n + i] * (double)x->d[(r * x->n + i) / 32];
        sum += v;
        *size += fabs(v);
    }
    free(w);
    return sum;
}

static void check_format(const k_i8_format *f, int n, int n_out, int rows)
{
    const size_t row_bytes = k_row_bytes(f->type, n);
    uint8_t *memory = malloc(row_bytes * (size_t)n_out + 1);
    uint8_t *w = memory + 1; /* unaligned */
    random_rows(w, f, row_bytes * (size_t)n_out);
    float *x = numbers((size_t)(rows * n), 2.0F);
    k_q8 q = q8_new(rows, n);
    for (int r = 0; r < rows; r++)
        k_ops_at(0)->quantize(&q, r, x + r * n);
    float *want = malloc((size_t)(rows * n_out) * sizeof *want);
    for (int r = 0; r < rows; r++)
        k_ops_at(0)->mul_one(want + r * n_out, f, w, row_bytes, n_out, &q, r);
    for (int i = 0; i < rows * n_out; i++) {
        double size = 0;
        const double exact = plain(f, w + (size_t)(i % n_out) * row_bytes, &q, i / n_out, &size);
        near(k_ops_at(0), k_type_info_of(f->type)->name, i, (double)want[i], exact,
             3e-6 * size + 1e-30);
    }
    float *got = malloc((size_t)(rows * n_out) * sizeof *got);
    uint8_t *tile_memory = aligned_alloc(K_ALIGN, k_tile_bytes(n));
    for (int k = 0; k_ops_at(k) != NULL; k++) {
        const k_ops *ops = k_ops_at(k);
        for (int r = 0; r < rows; r++)
            ops->mul_one(got + r * n_out, f, w, row_bytes, n_out, &q, r);
        assert_memory_equal(got, want, (size_t)(rows * n_out) * sizeof *got);
        memset(got, 0, (size_t)(rows * n_out) * sizeof *got);
        for (int o = 0; o < n_out; o += K_TILE) {
            const int part = n_out - o < K_TILE ? n_out - o : K_TILE;
            k_tile tile = {.format = f};
            k_tile_place(&tile, tile_memory, n);
            ops->pack(&tile, w + (size_t)o * row_bytes, row_bytes, part);
            ops->mul_tile(got + o, (size_t)n_out, &tile, part, &q, 0, rows);
        }
        if (memcmp(got, want, (size_t)(rows * n_out) * sizeof *got) != 0)
            fail_msg("%s %s: tiles of %d x %d x %d differ", ops->name,
                     k_type_info_of(f->type)->name, n, n_out, rows);
    }
    free(tile_memory);
    free(got);
    free(want);
    free(memory);
    q8_free(&q);
    drop(x);
}

static void quantised_products(void **state)
{
    (void)state;
    for (uint32_t type = 0; type < 64; type++) {
        const k_i8_format *f = k_i8_format_of(type);
        if (f == NULL)
            continue;
        const int block = f->block_n;
        check_format(f, block, 1, 1);
        check_format(f, 3 * block, 17, 3);
        check_format(f, 5 * block, 40, 11);
        check_format(f, 8 * block, 7, 2);
    }
}

/* The largest values of every operand: nothing may saturate. */
static void extremes(void **state)
{
    (void)state;
    enum { N = 256 };
    for (uint32_t type = 0; type < 64; type++) {
        const k_i8_format *f = k_i8_format_of(type);
        if (f == NULL)
            continue;
        for (int fill = 0; fill < 256; fill += 0x7F + (fill != 0)) {
            uint8_t row[N * 2];
            memset(row, fill, sizeof row);
            if (f->has_min || f->block_n == 32)
                for (size_t at = 0; at < k_row_bytes(type, N); at += (size_t)f->block_bytes)
                    memcpy(row + at, "\x00\x3C\x00\x3C", f->has_min ? 4 : 2);
            if (type == K_Q6_K)
                memcpy(row + 208, "\x00\x3C", 2);
            float x[N];
            for (int i = 0; i < N; i++)
                x[i] = i % 3 == 0 ? -127.0F : 127.0F;
            k_q8 q = q8_new(1, N);
            k_ops_at(0)->quantize(&q, 0, x);
            double size = 0;
            const double exact = plain(f, row, &q, 0, &size);
            uint8_t *tile_memory = aligned_alloc(K_ALIGN, k_tile_bytes(N));
            for (int k = 0; k_ops_at(k) != NULL; k++) {
                float y;
                k_ops_at(k)->mul_one(&y, f, row, k_row_bytes(type, N), 1, &q, 0);
                near(k_ops_at(k), "extreme", fill, (double)y, exact, 1e-5 * size);
                k_tile tile = {.format = f};
                k_tile_place(&tile, tile_memory, N);
                k_ops_at(k)->pack(&tile, row, k_row_bytes(type, N), 1);
                k_ops_at(k)->mul_tile(&y, 1, &tile, 1, &q, 0, 1);
                near(k_ops_at(k), "extreme tile", fill, (double)y, exact, 1e-5 * size);
            }
            free(tile_memory);
            q8_free(&q);
        }
    }
}

int main(void)
{
    as_rng_init(&rng, 1, AS_STR("kernels"));
    for (int f = 0; k_ops_at(f) != NULL; f++)
        print_message("family %s\n", k_ops_at(f)->name);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(f32_products),
        cmocka_unit_test(attention_parts),
        cmocka_unit_test(formats_of_the_cache),
        cmocka_unit_test(softmax_and_gelu),
        cmocka_unit_test(special_numbers),
        cmocka_unit_test(norms_and_rotation),
        cmocka_unit_test(rounding_of_activations),
        cmocka_unit_test(quantised_products),
        cmocka_unit_test(extremes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
