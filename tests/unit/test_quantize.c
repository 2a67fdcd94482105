/* Quantising: exact blocks where a formula gives them, errors of the searched ones against plain
 * rounding, the types of the recipes, and a file that runs. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "engine/gguf.h"
#include "engine/kernels/quant.h"
#include "engine/quantize/encode.h"
#include "engine/quantize/recipe.h"
#include "engine_support.h"
#include "hf_support.h"

/* The vectors of gemma4-text.md, appendix B: x[i] = ((7i) mod 32 - 13)/8. */
static void known_blocks(void **state)
{
    (void)state;
    static const uint8_t q4_0[18] = {0x80, 0xb4, 0x7e, 0x4b, 0x08, 0xc4, 0x81, 0x5c, 0x29,
                                     0xd6, 0xa3, 0x70, 0x4b, 0x18, 0xc5, 0x92, 0x6d, 0x3a};
    static const int8_t q8_0[32] = {-92, -42, 7,   56,  106, -71, -21, 28,  78,  127, -49,
                                    0,   49,  99,  -78, -28, 21,  71,  120, -56, -7,  42,
                                    92,  -85, -35, 14,  64,  113, -64, -14, 35,  85};
    float x[32];
    for (int i = 0; i < 32; i++)
        x[i] = (float)(7 * i % 32 - 13) / 8;
    uint8_t out[34];
    g4_encode_row(out, K_Q4_0, x, 32);
    assert_memory_equal(out, q4_0, sizeof q4_0);
    g4_encode_row(out, K_Q8_0, x, 32);
    assert_int_equal(out[0], 0x89);
    assert_int_equal(out[1], 0x24);
    assert_memory_equal(out + 2, q8_0, sizeof q8_0);
}

static void single_elements(void **state)
{
    (void)state;
    static const struct {
        float x;
        uint16_t f16, bf16;
    } rows[] = {
        {0, 0, 0},
        {1, 0x3C00, 0x3F80},
        {-2, 0xC000, 0xC000},
        {1.00390625F, 0x3C04, 0x3F80}, /* half way, to even */
        {1.01171875F, 0x3C0C, 0x3F82}, /* half way, to even */
        {65504, 0x7BFF, 0x4780},
        {1e-8F, 0, 0x322C},
        {INFINITY, 0x7C00, 0x7F80},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t out[2];
        g4_encode_row(out, K_F16, &rows[i].x, 1);
        assert_int_equal(k_load_u16(out), rows[i].f16);
        g4_encode_row(out, K_BF16, &rows[i].x, 1);
        assert_int_equal(k_load_u16(out), rows[i].bf16);
    }
    const float nan = NAN;
    uint8_t out[2];
    g4_encode_row(out, K_BF16, &nan, 1);
    assert_int_equal(k_load_u16(out) & 0x7FC0, 0x7FC0);
}

static uint64_t next(uint64_t *s)
{
    *s = *s * 6364136223846793005u + 1442695040888963407u;
    return *s >> 33;
}

/* About normal: the sum of 12 uniform numbers. */
static float normal(uint64_t *s)
{
    double v = -6;
    for (int i = 0; i < 12; i++)
        v += (double)next(s) / 2147483648.0;
    return (float)v;
}

/* Root mean squared error over that of the values. */
static double error_of(uint32_t type, const float *x, int n)
{
    uint8_t *row = calloc(1, k_row_bytes(type, n) + 1);
    float *y = calloc((size_t)n, sizeof *y);
    assert_true(row != NULL && y != NULL);
    g4_encode_row(row, type, x, n);
    assert_int_equal(row[k_row_bytes(type, n)], 0);
    k_dequant_ref(y, type, row, n);
    double e = 0;
    double all = 0;
    for (int i = 0; i < n; i++) {
        const double d = (double)y[i] - (double)x[i];
        e += d * d;
        all += (double)x[i] * (double)x[i];
    }
    free(row);
    free(y);
    return all > 0 ? sqrt(e / all) : sqrt(e);
}

/* Limits: about 2 % above what this code gives, which test_quantize_peer.c holds to ggml's bytes. */
static void errors_of_formats(void **state)
{
    (void)state;
    static const struct {
        uint32_t type;
        double most;
    } rows[] = {
        {K_F32, 0},       {K_F16, 3e-4},    {K_BF16, 2e-3},   {K_Q8_0, 0.0055},   {K_Q5_1, 0.0384},
        {K_Q5_0, 0.0433}, {K_Q4_1, 0.0795}, {K_Q4_0, 0.0875}, {K_Q6_K, 0.0179},   {K_Q5_K, 0.0364},
        {K_Q4_K, 0.0713}, {K_Q3_K, 0.1524}, {K_Q2_K, 0.2986}, {K_IQ4_NL, 0.0757},
    };
    enum { N = 256 * 200 };
    float *x = calloc(N, sizeof *x);
    assert_non_null(x);
    uint64_t s = 7;
    for (int i = 0; i < N; i++)
        x[i] = 0.02F * normal(&s);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_true(g4_can_encode(rows[i].type));
        const double e = error_of(rows[i].type, x, N);
        print_message("  %-7s %.5f\n", k_type_info_of(rows[i].type)->name, e);
        if (!(e <= rows[i].most))
            fail_msg("%s: error %g, at most %g", k_type_info_of(rows[i].type)->name, e,
                     rows[i].most);
    }
    free(x);
}

/* Blocks that could divide by zero or overflow give finite values near the right ones. */
static void odd_blocks(void **state)
{
    (void)state;
    static const uint32_t types[] = {K_Q4_0, K_Q4_1, K_Q5_0, K_Q5_1, K_Q8_0,  K_Q2_K,
                                     K_Q3_K, K_Q4_K, K_Q5_K, K_Q6_K, K_IQ4_NL};
    float x[256];
    for (size_t t = 0; t < sizeof types / sizeof types[0]; t++) {
        memset(x, 0, sizeof x);
        assert_true(error_of(types[t], x, 256) <= 0);
        x[100] = 3;
        assert_true(error_of(types[t], x, 256) < 0.05); /* IQ4_NL has no level for 0 */
        x[101] = -65504;
        assert_true(isfinite(error_of(types[t], x, 256)));
        for (int i = 0; i < 256; i++)
            x[i] = 1e-30F * (float)(i % 7);
        assert_true(isfinite(error_of(types[t], x, 256)));
        for (int i = 0; i < 256; i++)
            x[i] = i % 2 == 0 ? 1.0F : -1.0F;
        assert_true(error_of(types[t], x, 256) < 0.35);
        for (int i = 0; i < 256; i++)
            x[i] = 5; /* all above zero: a minimum would have to be negative */
        assert_true(error_of(types[t], x, 256) < 0.02);
        for (int i = 0; i < 256; i++)
            x[i] = -5;
        assert_true(error_of(types[t], x, 256) < 0.02);
    }
}

/* ---- recipes --------------------------------------------------------------------------------- */

static void recipe_names(void **state)
{
    (void)state;
    assert_int_equal(g4_recipe_find("Q4_K_M")->file_type, 15);
    assert_ptr_equal(g4_recipe_find("q4_k"), g4_recipe_find("Q4_K_M"));
    assert_null(g4_recipe_find("Q4_K_XL"));
    int n = 0;
    while (g4_recipe_at(n) != NULL)
        n++;
    assert_int_equal(n, 18);
    as_err err = {0};
    assert_int_equal(g4_quantize("x.gguf", "y.gguf", "Q9_K", 1, &err), AS_RANGE);
    assert_non_null(strstr(err.text, "Q4_K_M"));
}

static const struct {
    const char *recipe, *tensor;
    uint32_t type;
} wanted[] = {
    /* of 26 layers with 5 attention values to a key; rows of 2048 unless said */
    {"Q4_K_M", "blk.0.attn_v.weight", K_Q6_K},
    {"Q4_K_M", "blk.3.attn_v.weight", K_Q4_K},
    {"Q4_K_M", "blk.5.attn_v.weight", K_Q6_K},
    {"Q4_K_M", "blk.22.ffn_down.weight", K_Q6_K},
    {"Q4_K_M", "blk.4.ffn_down.weight", K_Q4_K},
    {"Q4_K_M", "blk.4.ffn_up.weight", K_Q4_K},
    {"Q4_K_M", "token_embd.weight", K_Q6_K},
    {"Q4_K_M", "blk.4.attn_norm.weight", K_F32},
    {"Q4_K_S", "blk.3.attn_v.weight", K_Q5_K},
    {"Q4_K_S", "blk.4.attn_v.weight", K_Q4_K},
    {"Q4_K_S", "blk.2.ffn_down.weight", K_Q5_K},
    {"Q3_K_M", "blk.1.attn_v.weight", K_Q5_K},
    {"Q3_K_M", "blk.2.attn_v.weight", K_Q4_K},
    {"Q3_K_M", "blk.1.ffn_down.weight", K_Q4_K},
    {"Q3_K_L", "blk.9.attn_output.weight", K_Q5_K},
    {"Q2_K", "blk.9.attn_output.weight", K_Q3_K},
    {"Q2_K", "blk.9.attn_v.weight", K_Q4_K},
    {"Q8_0", "token_embd.weight", K_Q8_0},
    {"Q4_0", "token_embd.weight", K_Q6_K},
    {"F16", "blk.4.ffn_up.weight", K_F16},
    {"F16", "blk.4.ffn_gate_inp.weight", K_F32},
    {"Q4_K_M", "narrow.ffn_up.weight", K_Q5_0}, /* rows of 96 */
    {"Q3_K_S", "narrow.ffn_up.weight", K_Q4_0},
    {"Q5_K_S", "narrow.ffn_up.weight", K_Q5_1},
    {"Q6_K", "narrow.ffn_up.weight", K_Q8_0},
    {"Q4_K_M", "odd.ffn_up.weight", K_F16}, /* 40 */
};

/* A file that has value projections in the layers where values[i] is not '-'. */
static g4_gguf *file_of_values(as_buf *b, const char *values, int n_layers)
{
    char head[24] = {'G', 'G', 'U', 'F', 3};
    for (int i = 0; i < n_layers; i++)
        head[8] = (char)(head[8] + (values[i] != '-'));
    as_buf_add(b, (as_str){head, sizeof head});
    for (int i = 0; i < n_layers; i++) {
        if (values[i] == '-')
            continue;
        char name[64];
        const int n = snprintf(name, sizeof name, "blk.%d.attn_v.weight", i);
        const char length[8] = {(char)n};
        const char tail[4 + 8 + 4 + 8] = {1, 0, 0, 0, 1};
        as_buf_add(b, (as_str){length, 8});
        as_buf_add(b, (as_str){name, (size_t)n});
        as_buf_add(b, (as_str){tail, sizeof tail});
    }
    while (b->n % 32 != 8)
        as_buf_add_byte(b, 0);
    for (int i = 0; i < 64; i++)
        as_buf_add_byte(b, 0);
    g4_gguf *f = NULL;
    as_err err = {0};
    if (g4_gguf_open_memory(&f, as_buf_str(b), "made", &err) != AS_OK)
        fail_msg("%s", err.text);
    return f;
}

static void recipe_types(void **state)
{
    (void)state;
    g4_layer_config layers[26];
    for (int i = 0; i < 26; i++)
        layers[i] = (g4_layer_config){.n_kv = 2};
    const g4_config config = {.n_layers = 26, .n_heads = 8, .layers = layers};
    as_buf b;
    as_buf_init(&b, 0);
    g4_gguf *f = file_of_values(&b, "vvvvvvvvvvvvvvvvvvvvvvvvvv", 26);
    const g4_recipe_model m = g4_recipe_model_of(f, &config);
    assert_true(m.is_tied);
    assert_int_equal(m.n_values, 26);
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        const char *name = wanted[i].tensor;
        const int64_t width = strncmp(name, "narrow.", 7) == 0 ? 96
                              : strncmp(name, "odd.", 4) == 0  ? 40
                                                               : 2048;
        const g4_tensor t = {.name = as_str_of(name),
                             .type = G4_TYPE_F32,
                             .n_dims = 2,
                             .ne = {width, strstr(name, "norm") != NULL ? 1 : 64, 1, 1}};
        const uint32_t got = g4_recipe_type(g4_recipe_find(wanted[i].recipe), &m, &t);
        if (got != wanted[i].type)
            fail_msg("%s: %s is %s", wanted[i].recipe, name, g4_type_find(got)->name);
    }
    g4_gguf_close(f);
    as_buf_release(&b);
}

/* ---- the released shapes ---------------------------------------------------------------------- */

/* types.txt holds llama.cpp's own choices; its form is told in tests/tools/peer_types.py. */
typedef struct shape {
    char name[32];
    g4_config config;
    g4_layer_config layers[64];
    g4_recipe_model model;
    g4_gguf *file;
    as_buf bytes; /* of the file */
    int n_checked;
} shape;

static uint32_t type_of_code(char code)
{
    static const char codes[] = "Fabcd823456n";
    static const uint32_t types[] = {K_F32,  K_Q4_0, K_Q4_1, K_Q5_0, K_Q5_1, K_Q8_0,
                                     K_Q2_K, K_Q3_K, K_Q4_K, K_Q5_K, K_Q6_K, K_IQ4_NL};
    const char *at = strchr(codes, code);
    if (at == NULL || code == '\0')
        fail_msg("no type has the code \"%c\"", code);
    return types[at - codes];
}

/* "model NAME layers query-heads key-heads experts VALUES" */
static void read_shape(shape *s, const char *line)
{
    char values[65];
    int n_kv = 0;
    if (s->bytes.n != 0) {
        g4_gguf_close(s->file);
        as_buf_release(&s->bytes);
    }
    *s = (shape){.n_checked = s->n_checked};
    g4_config *c = &s->config;
    if (sscanf(line, "model %31s %d %d %d %d %64s", s->name, &c->n_layers, &c->n_heads, &n_kv,
               &c->n_experts, values) != 6)
        fail_msg("types.txt: %s", line);
    assert_int_equal(strlen(values), c->n_layers);
    c->layers = s->layers;
    for (int i = 0; i < c->n_layers; i++)
        s->layers[i].n_kv = n_kv;
    as_buf_init(&s->bytes, 0);
    s->file = file_of_values(&s->bytes, values, c->n_layers);
    s->model = g4_recipe_model_of(s->file, c);
}

/* "blk.*.NAME:256x32" in every layer that has it, against its row of types. */
static void check_tensor(shape *s, const char *recipe, const char *row, const char *tensor)
{
    char kind[64];
    long long ne[3] = {1, 1, 1};
    assert_true(sscanf(tensor, "%63[^:]:%lldx%lldx%lld", kind, &ne[0], &ne[1], &ne[2]) >= 2);
    const bool is_layer = strncmp(kind, "blk.*.", 6) == 0;
    for (int i = 0; i < (is_layer ? s->config.n_layers : 1); i++) {
        const char code = row[1] == '\0' ? row[0] : row[i];
        char name[96];
        if (code == '-')
            continue;
        if (is_layer)
            snprintf(name, sizeof name, "blk.%d.%s", i, kind + 6);
        else
            snprintf(name, sizeof name, "%s", kind);
        const g4_tensor t = {
            .name = as_str_of(name), .type = G4_TYPE_F32, .ne = {ne[0], ne[1], ne[2], 1}};
        const uint32_t got = g4_recipe_type(g4_recipe_find(recipe), &s->model, &t);
        if (got != type_of_code(code))
            fail_msg("%s %s: %s is %s, llama.cpp's is %s", s->name, recipe, name,
                     g4_type_find(got)->name, g4_type_find(type_of_code(code))->name);
        s->n_checked++;
    }
}

/* "RECIPE ROW TENSOR…" */
static void check_line(shape *s, const char *line)
{
    char recipe[16];
    char row[65];
    char tensor[96];
    int used = 0;
    assert_int_equal(sscanf(line, "%15s %64s%n", recipe, row, &used), 2);
    assert_true(row[1] == '\0' || (int)strlen(row) == s->config.n_layers);
    for (const char *at = line + used; sscanf(at, "%95s%n", tensor, &used) == 1; at += used)
        check_tensor(s, recipe, row, tensor);
}

static void types_of_the_released_shapes(void **state)
{
    (void)state;
    as_buf text;
    as_err err = {0};
    as_buf_init(&text, 0);
    if (as_read_file(&text, t_fixture("quantize/types.txt"), &err) != AS_OK)
        fail_msg("%s", err.text);
    static shape s;
    int n_models = 0;
    char *line = text.p;
    for (char *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        *end = '\0';
        if (strncmp(line, "model ", 6) == 0) {
            read_shape(&s, line);
            n_models++;
        } else {
            check_line(&s, line);
        }
    }
    print_message("  %d models, %d tensors\n", n_models, s.n_checked);
    assert_true(n_models > 0 && s.n_checked > 1000);
    g4_gguf_close(s.file);
    as_buf_release(&s.bytes);
    as_buf_release(&text);
}

/* The published file's types, from its own values as f32 and back. */
static void published_types(void **state)
{
    (void)state;
    const char *path = getenv("AS_MODEL_GEMMA3");
    if (path == NULL) {
        print_message("AS_MODEL_GEMMA3 is not set\n");
        skip();
    }
    as_err err = {0};
    const char *wide = t_hf_path("wide.gguf");
    const char *back = t_hf_path("back.gguf");
    if (g4_quantize(path, wide, "F32", 0, &err) != AS_OK ||
        g4_quantize(wide, back, "Q4_K_M", 0, &err) != AS_OK)
        fail_msg("%s", err.text);
    g4_gguf *a = NULL;
    g4_gguf *b = NULL;
    assert_int_equal(g4_gguf_open(&a, path, &err), AS_OK);
    assert_int_equal(g4_gguf_open(&b, back, &err), AS_OK);
    assert_int_equal(g4_gguf_n_tensors(a), g4_gguf_n_tensors(b));
    size_t n_same = 0;
    for (size_t i = 0; i < g4_gguf_n_tensors(a); i++) {
        const g4_tensor *x = g4_gguf_tensor(a, i);
        const g4_tensor *y = g4_gguf_tensor(b, i);
        assert_true(as_str_eq(x->name, y->name));
        assert_int_equal(x->type, y->type);
        n_same += memcmp(x->data, y->data, x->bytes) == 0;
    }
    print_message("  %zu of %zu tensors have the same bytes again\n", n_same, g4_gguf_n_tensors(a));
    g4_gguf_close(a);
    g4_gguf_close(b);
}

/* ---- files ----------------------------------------------------------------------------------- */

static void expect_equal_files(const char *a, const char *b)
{
    as_err err = {0};
    as_buf x;
    as_buf y;
    as_buf_init(&x, 0);
    as_buf_init(&y, 0);
    assert_int_equal(as_read_file(&x, a, &err), AS_OK);
    assert_int_equal(as_read_file(&y, b, &err), AS_OK);
    assert_int_equal(x.n, y.n);
    assert_memory_equal(x.p, y.p, x.n);
    as_buf_release(&x);
    as_buf_release(&y);
}

static void files_run(void **state)
{
    (void)state;
    const char *out = t_hf_path("small.gguf");
    const char *other = t_hf_path("small3.gguf");
    const char *folder = t_hf_make(&(t_hf){.is_gemma4 = true, .dtype = "BF16"});
    for (int i = 0; g4_recipe_at(i) != NULL; i++) {
        const char *name = g4_recipe_at(i);
        as_err err = {0};
        if (g4_quantize(folder, out, name, 1, &err) != AS_OK)
            fail_msg("%s: %s", name, err.text);
        assert_int_equal(g4_quantize(folder, other, name, 3, &err), AS_OK);
        expect_equal_files(out, other);
        g4_model *m = t_model(out);
        g4_session *s = t_session(m, (g4_session_options){.n_ctx = 16});
        const g4_row row = {.seq = t_seq(s), .token = 2, .want_logits = true};
        const g4_result r = t_decode(s, &row, 1);
        for (int v = 0; v < g4_model_info(m)->n_vocab; v++)
            assert_true(isfinite(r.logits[v]));
        g4_session_close(s);
        g4_model_close(m);
    }
}

/* An infinity in a matrix has no place in a block: a sentence, no file. */
static void refuses_unsound_values(void **state)
{
    (void)state;
    const char *folder = t_hf_make(&(t_hf){0});
    char path[512];
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    as_buf b;
    as_buf_init(&b, 0);
    as_err err = {0};
    assert_int_equal(as_read_file(&b, path, &err), AS_OK);
    memcpy(b.p + b.n - 4, "\0\0\x80\x7f", 4); /* the last element of the last down projection */
    t_hf_write(folder, "model.safetensors", as_buf_str(&b));
    as_buf_release(&b);
    const char *out = t_hf_path("unsound.gguf");
    assert_int_equal(g4_quantize(folder, out, "Q8_0", 2, &err), AS_RANGE);
    assert_non_null(strstr(err.text, "blk.1.ffn_down.weight holds a NaN"));
    assert_false(as_file_exists(out));
    assert_int_equal(g4_quantize(t_hf_path("gone.gguf"), out, "Q8_0", 1, &err), AS_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_blocks),
        cmocka_unit_test(single_elements),
        cmocka_unit_test(errors_of_formats),
        cmocka_unit_test(odd_blocks),
        cmocka_unit_test(recipe_names),
        cmocka_unit_test(recipe_types),
        cmocka_unit_test(types_of_the_released_shapes),
        cmocka_unit_test(published_types),
        cmocka_unit_test(files_run),
        cmocka_unit_test(refuses_unsound_values),
    };
    return cmocka_run_group_tests(tests, NULL, t_hf_done);
}
