/* engine/kernels/quant.h: block formats, bit for bit. Numbers: spec gemma4-text.md, appendix B,
 * computed with ggml's own routines on blocks of bytes (37 i + 11) mod 256. */
#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "cm.h"
#include "engine/gguf.h"
#include "engine/kernels/ops.h"

typedef struct spot {
    int i;
    double y;
} spot;

static const struct {
    uint32_t type;
    int d_at, m_at; /* where f16 0.5 and 0.25 go; -1: nowhere */
    double sum, weighted;
    spot spots[9];
    int n_spots;
} rows[] = {
    {K_Q4_0, 0, -1, -10.5, -259, {{0, -1.5}, {1, 1}, {16, -1.5}, {31, 0}}, 4},
    {K_Q4_1, 0, 2, 130.5, 2123.5, {{0, 7.75}, {1, 2.25}, {16, 4.75}, {31, 6.25}}, 4},
    {K_Q5_0, 0, -1, 7.5, 56, {{0, 4.5}, {1, -1}, {16, 7}, {31, 0.5}}, 4},
    {K_Q5_1, 0, 2, 260.5, 4082.5, {{0, 9.75}, {1, 12.25}, {16, 9.75}, {31, 2.75}}, 4},
    {K_Q8_0, 0, -1, -88, -4040, {{0, 42.5}, {1, 61}, {16, -45.5}, {31, -24}}, 4},
    {K_Q2_K,
     80,
     82,
     1029.5,
     121565,
     {{0, 16.5},
      {1, 0},
      {16, -0.75},
      {31, -0.75},
      {32, 3.75},
      {100, 10},
      {130, 0.75},
      {200, 4},
      {255, 2.25}},
     9},
    {K_Q3_K,
     108,
     -1,
     479,
     88572.5,
     {{0, 40.5},
      {1, -54},
      {16, -48},
      {31, 32},
      {32, -11},
      {100, 0},
      {130, -1},
      {200, 12.5},
      {255, 21}},
     9},
    {K_Q4_K,
     0,
     2,
     27220,
     3786420,
     {{0, 157.75},
      {1, -12.75},
      {16, 157.75},
      {31, 80.25},
      {32, 4},
      {100, 47.5},
      {130, 94.5},
      {200, 69.25},
      {255, 24.25}},
     9},
    {K_Q5_K,
     0,
     2,
     58108,
     8013724,
     {{0, 405.75},
      {1, -12.75},
      {16, 405.75},
      {31, 80.25},
      {32, 56},
      {100, 117.5},
      {130, 94.5},
      {200, 69.25},
      {255, 54.25}},
     9},
    {K_Q6_K,
     208,
     -1,
     2306,
     392210,
     {{0, -715.5},
      {1, 848},
      {16, -216},
      {31, -48},
      {32, 115.5},
      {100, 1261.5},
      {130, 71.5},
      {200, 544.5},
      {255, -30}},
     9},
    {K_IQ4_NL, 0, -1, -128.5, -3459.5, {{0, -17.5}, {1, 12.5}, {16, -17.5}, {31, 0.5}}, 4},
    {K_IQ4_XS,
     0,
     -1,
     -5502.5,
     -1045567,
     {{0, 32.5},
      {1, -0.5},
      {16, 32.5},
      {31, 17.5},
      {32, 227.5},
      {100, 20},
      {130, 310.5},
      {200, 570},
      {255, -8}},
     9},
    {K_MXFP4, -1, -1, 50, 1276, {{0, 0}, {1, 12}, {16, 6}, {31, 12}}, 4},
};

static void gives_the_values_of_ggml(void **state)
{
    (void)state;
    for (size_t t = 0; t < sizeof rows / sizeof rows[0]; t++) {
        const k_type_info *info = k_type_info_of(rows[t].type);
        uint8_t block[256];
        for (int i = 0; i < 256; i++)
            block[i] = (uint8_t)(37 * i + 11);
        if (rows[t].d_at >= 0)
            memcpy(block + rows[t].d_at, "\x00\x38", 2);
        if (rows[t].m_at >= 0)
            memcpy(block + rows[t].m_at, "\x00\x34", 2);
        if (rows[t].type == K_MXFP4)
            block[0] = 129;
        float y[K_QK];
        k_dequant_ref(y, rows[t].type, block, info->block_n);
        double sum = 0;
        double weighted = 0;
        for (int i = 0; i < info->block_n; i++) {
            sum += (double)y[i];
            weighted += (i + 1) * (double)y[i];
        }
        if (sum != rows[t].sum || weighted != rows[t].weighted)
            fail_msg("%s: sums %.9g %.9g", info->name, sum, weighted);
        for (int i = 0; i < rows[t].n_spots; i++)
            if ((double)y[rows[t].spots[i].i] != rows[t].spots[i].y)
                fail_msg("%s: element %d is %g", info->name, rows[t].spots[i].i,
                         (double)y[rows[t].spots[i].i]);
    }
}

/* Every family unpacks random blocks to the same bits, unaligned and with all scales. */
static void families_agree_bit_for_bit(void **state)
{
    (void)state;
    enum { N = 3 * K_QK };
    as_rng rng;
    as_rng_init(&rng, 1, AS_STR("dequant"));
    for (uint32_t type = 0; type < 64; type++) {
        if (k_type_info_of(type) == NULL)
            continue;
        uint8_t memory[N * 4 + 64];
        for (int shift = 0; shift < 2; shift++) {
            uint8_t *row = memory + shift;
            for (size_t i = 0; i < sizeof memory; i++)
                memory[i] = (uint8_t)as_rng_below(&rng, 256);
            if (type == K_F16 || type == K_F32 || type == K_BF16) /* no NaN: bits may differ */
                for (size_t i = 0; i < sizeof memory; i++)
                    memory[i] &= 0x3F;
            float want[N];
            k_dequant_ref(want, type, row, N);
            for (int f = 0; k_ops_at(f) != NULL; f++) {
                float got[N];
                k_ops_at(f)->dequant(got, type, row, N);
                for (int i = 0; i < N; i++)
                    if (memcmp(&got[i], &want[i], sizeof got[i]) != 0 &&
                        !(isnan(got[i]) && isnan(want[i])))
                        fail_msg("%s %s: element %d is %g, want %g", k_ops_at(f)->name,
                                 k_type_info_of(type)->name, i, (double)got[i], (double)want[i]);
            }
        }
    }
}

static void halves_survive_a_round_trip(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 0x10000; h++) {
        const float f = k_f16_to_f32((uint16_t)h);
        if (isnan(f))
            continue;
        assert_int_equal(k_f32_to_f16(f), h);
    }
    assert_int_equal(k_f32_to_f16(65519.0F), 0x7BFF);
    assert_int_equal(k_f32_to_f16(65520.0F), 0x7C00);
    assert_int_equal(k_f32_to_f16(0x1p-25F), 0); /* a tie goes to even */
    assert_int_equal(k_f32_to_f16(0x1.000002p-25F), 1);
    assert_int_equal(k_f32_to_f16(1.0F + 0x1p-11F), 0x3C00); /* a tie goes to even */
}

static void both_type_tables_agree(void **state)
{
    (void)state;
    for (uint32_t type = 0; type < 64; type++) {
        const k_type_info *k = k_type_info_of(type);
        const g4_type_info *g = g4_type_find(type);
        if (k == NULL)
            continue;
        assert_non_null(g);
        assert_string_equal(k->name, g->name);
        assert_int_equal(k->block_n, g->block_elements);
        assert_int_equal(k->block_bytes, g->block_bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_the_values_of_ggml),
        cmocka_unit_test(families_agree_bit_for_bit),
        cmocka_unit_test(halves_survive_a_round_trip),
        cmocka_unit_test(both_type_tables_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
