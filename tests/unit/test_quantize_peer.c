/* Blocks beside llama.cpp's: tests/fixtures/quantize holds floats and what ggml_quantize_chunk makes of
 * them. Every format's bytes must be the same, so that a file quantised here loses exactly what one
 * of llama.cpp's own quantiser does. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "engine/kernels/quant.h"
#include "engine/quantize/encode.h"
#include "engine_support.h"

enum { WIDTH = 256, ROWS = 18 };

static const struct {
    const char *file;
    uint32_t type;
} formats[] = {
    {"q4_0", K_Q4_0}, {"q4_1", K_Q4_1}, {"q5_0", K_Q5_0},     {"q5_1", K_Q5_1},
    {"q8_0", K_Q8_0}, {"q2_k", K_Q2_K}, {"q3_k", K_Q3_K},     {"q4_k", K_Q4_K},
    {"q5_k", K_Q5_K}, {"q6_k", K_Q6_K}, {"iq4_nl", K_IQ4_NL},
};

static as_buf read_fixture(const char *name, const char *ending)
{
    char path[64];
    snprintf(path, sizeof path, "quantize/%s.%s", name, ending);
    as_buf b;
    as_buf_init(&b, 0);
    as_err err = {0};
    if (as_read_file(&b, t_fixture(path), &err) != AS_OK)
        fail_msg("%s", err.text);
    return b;
}

static void blocks_are_the_same(void **state)
{
    (void)state;
    as_buf source = read_fixture("blocks", "f32");
    assert_int_equal(source.n, ROWS * WIDTH * sizeof(float));
    float x[ROWS * WIDTH];
    memcpy(x, source.p, sizeof x);
    int n_wrong = 0;
    for (size_t f = 0; f < sizeof formats / sizeof formats[0]; f++) {
        as_buf wanted = read_fixture(formats[f].file, "bin");
        const size_t bytes = k_row_bytes(formats[f].type, WIDTH);
        assert_int_equal(wanted.n, bytes * ROWS);
        for (int r = 0; r < ROWS; r++) {
            uint8_t got[WIDTH * 2];
            const uint8_t *want = (const uint8_t *)wanted.p + bytes * (size_t)r;
            g4_encode_row(got, formats[f].type, x + WIDTH * r, WIDTH);
            size_t at = 0;
            while (at < bytes && got[at] == want[at])
                at++;
            if (at < bytes) {
                print_message("  %s, row %d: byte %zu is %02x, ggml's %02x\n", formats[f].file, r,
                              at, got[at], want[at]);
                n_wrong++;
            }
        }
        as_buf_release(&wanted);
    }
    as_buf_release(&source);
    assert_int_equal(n_wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(blocks_are_the_same)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
