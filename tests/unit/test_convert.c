/* Converting: the file has the golden file's metadata and tensors, runs like the folder, and an
 * attempt that fails leaves the old file alone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "engine/gguf.h"
#include "engine_support.h"
#include "hf_support.h"

static g4_gguf *open_gguf(const char *path)
{
    g4_gguf *f = NULL;
    as_err err = {0};
    if (g4_gguf_open(&f, path, &err) != AS_OK)
        fail_msg("%s", err.text);
    return f;
}

static void convert(const char *folder, const char *path)
{
    as_err err = {0};
    if (g4_convert(folder, path, NULL, &err) != AS_OK)
        fail_msg("%s", err.text);
}

/* Scores stand for the order of merging, so their numbers may differ; the name is the folder's. */
static bool may_differ(as_str key)
{
    static const char *const keys[] = {"general.name", "tokenizer.chat_template",
                                       "tokenizer.ggml.scores"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (as_str_eq_z(key, keys[i]))
            return true;
    return false;
}

static void expect_same_file(const g4_gguf *want, const g4_gguf *got)
{
    for (size_t i = 0; i < g4_gguf_n_values(want); i++) {
        const g4_value *w = g4_gguf_value(want, i);
        char key[128];
        snprintf(key, sizeof key, "%.*s", AS_ARG(w->key));
        const g4_value *g = g4_gguf_find(got, key);
        if (may_differ(w->key))
            continue;
        if (g == NULL || g->type != w->type || g->is_array != w->is_array || g->n != w->n ||
            g->bytes != w->bytes || memcmp(g->p, w->p, w->bytes) != 0)
            fail_msg("%s differs", key);
    }
    assert_int_equal(g4_gguf_n_tensors(want), g4_gguf_n_tensors(got));
    for (size_t i = 0; i < g4_gguf_n_tensors(want); i++) {
        const g4_tensor *w = g4_gguf_tensor(want, i);
        char name[64];
        snprintf(name, sizeof name, "%.*s", AS_ARG(w->name));
        const g4_tensor *g = g4_gguf_find_tensor(got, name);
        if (g == NULL || g->type != w->type || g->n_dims != w->n_dims ||
            memcmp(g->ne, w->ne, sizeof w->ne) != 0 || memcmp(g->data, w->data, w->bytes) != 0)
            fail_msg("%s differs", name);
    }
}

static void golden_files(void **state)
{
    const char *shared = getenv("AS_SHARED");
    char folder[512];
    snprintf(folder, sizeof folder, "%s/golden/text/%s", shared != NULL ? shared : "",
             (const char *)*state);
    if (shared == NULL || !as_is_dir(folder)) {
        print_message("AS_SHARED is not set\n");
        skip();
    }
    char path[600];
    snprintf(path, sizeof path, "%s/model.gguf", folder);
    g4_gguf *want = open_gguf(path);
    const char *out = t_hf_path("golden.gguf");
    convert(folder, out);
    g4_gguf *got = open_gguf(out);
    expect_same_file(want, got);
    g4_gguf_close(want);
    g4_gguf_close(got);
}

static void expect_same_run(const char *a, const char *b, int n_vocab_b)
{
    static const int32_t ids[] = {2, 270, 265, 283, 289, 7, 9, 281, 100, 1, 2, 3};
    enum { N = sizeof ids / sizeof ids[0] };
    float *logits[2];
    const char *const paths[2] = {a, b};
    int n_vocab[2];
    for (int k = 0; k < 2; k++) {
        g4_model *m = t_model(paths[k]);
        g4_session *s = t_session(m, (g4_session_options){.precision = G4_F32, .n_ctx = 64});
        const int seq = t_seq(s);
        g4_row rows[N];
        for (int i = 0; i < N; i++)
            rows[i] = (g4_row){.seq = seq, .pos = i, .token = ids[i], .want_logits = true};
        const g4_result out = t_decode(s, rows, N);
        n_vocab[k] = g4_model_info(m)->n_vocab;
        const size_t bytes = (size_t)N * (size_t)n_vocab[k] * sizeof(float);
        logits[k] = malloc(bytes);
        assert_non_null(logits[k]);
        memcpy(logits[k], out.logits, bytes);
        int32_t *text_ids = NULL;
        size_t n = 0;
        assert_int_equal(g4_tokenize(m, AS_STR(" the thab\n\n<bos>ethe"), 0, &text_ids, &n, NULL),
                         AS_OK);
        assert_true(n > 3 && text_ids[0] == 287);
        free(text_ids);
        g4_session_close(s);
        g4_model_close(m);
    }
    assert_int_equal(n_vocab[1], n_vocab_b);
    for (int i = 0; i < N; i++)
        assert_memory_equal(logits[0] + i * n_vocab[0], logits[1] + i * n_vocab[1],
                            (size_t)n_vocab_b * sizeof(float));
    free(logits[0]);
    free(logits[1]);
}

/* Gemma 3's rows without a piece are cut off, Gemma 4's get unused pieces. */
static void runs_like_the_folder(void **state)
{
    (void)state;
    const char *const dtypes[] = {"F32", "F16", "BF16"};
    const char *out = t_hf_path("run.gguf");
    for (int d = 0; d < 3; d++)
        for (int gemma4 = 0; gemma4 < 2; gemma4++) {
            const char *folder = t_hf_make(
                &(t_hf){.is_gemma4 = gemma4 == 1, .dtype = dtypes[d], .is_sharded = true});
            convert(folder, out);
            expect_same_run(folder, out, gemma4 == 1 ? 300 : 290);
            g4_gguf *f = open_gguf(out);
            uint32_t type = 99;
            const uint32_t want[] = {0, 1, 32};
            assert_int_equal(g4_gguf_need_u32(f, "general.file_type", &type, NULL), AS_OK);
            assert_int_equal(type, want[d]);
            assert_int_equal(g4_gguf_find(f, "tokenizer.ggml.tokens")->n, gemma4 == 1 ? 300 : 290);
            g4_gguf_close(f);
        }
}

static void what_generation_config_says(void **state)
{
    (void)state;
    const char *folder = t_hf_make(
        &(t_hf){.is_gemma4 = true,
                .generation =
                    "{\"temperature\":1.0,\"top_k\":64,\"top_p\":0.95,\"suppress_tokens\":[5,7]}"});
    const char *out = t_hf_path("generation.gguf");
    as_err err = {0};
    assert_int_equal(g4_convert(folder, out, &(g4_convert_options){.name = AS_STR("Other")}, &err),
                     AS_OK);
    g4_gguf *f = open_gguf(out);
    float v = 0;
    as_str name = {0};
    assert_int_equal(g4_gguf_need_f32(f, "general.sampling.top_p", &v, NULL), AS_OK);
    assert_true(v > 0.9499F && v < 0.9501F);
    assert_int_equal(g4_gguf_need_str(f, "general.name", &name, NULL), AS_OK);
    assert_true(as_str_eq_z(name, "Other"));
    assert_int_equal(g4_gguf_find(f, "tokenizer.ggml.suppress_tokens")->n, 2);
    g4_gguf_close(f);
}

/* llama.cpp caps the logits of a gemma4 file at 30 unless the file says otherwise. */
static void says_that_nothing_caps(void **state)
{
    (void)state;
    char config[2048];
    snprintf(config, sizeof config, "%s", t_hf_config(true));
    char *cap = strstr(config, "30.0,");
    assert_non_null(cap);
    memcpy(cap, "null,", 5);
    const char *folder = t_hf_make(&(t_hf){.is_gemma4 = true, .config = config});
    const char *path = t_hf_path("uncapped.gguf");
    convert(folder, path);
    g4_gguf *f = open_gguf(path);
    float v = 1;
    assert_int_equal(g4_gguf_need_f32(f, "gemma4.final_logit_softcapping", &v, NULL), AS_OK);
    assert_true(v >= 0 && v <= 0);
    g4_gguf_close(f);
    expect_same_run(folder, path, 300);
}

static void leaves_the_old_file(void **state)
{
    (void)state;
    const char *out = t_hf_path("old.gguf");
    t_hf_write(t_hf_path("."), "old.gguf", AS_STR("old"));
    const struct {
        const char *folder, *out, *want;
    } rows[] = {
        {t_hf_path("gone"), out, "no config.json"},
        {t_hf_make(&(t_hf){.without = "model.layers.1.mlp.up_proj.weight"}), out, "ffn_up"},
        {t_hf_make(&(t_hf){.extra = "model.layers.0.self_attn.sinks"}), out, "is not known"},
        {t_hf_make(&(t_hf){0}), t_hf_path("no/such/place.gguf"), "cannot be made"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        as_err err = {0};
        assert_int_not_equal(g4_convert(rows[i].folder, rows[i].out, NULL, &err), AS_OK);
        if (strstr(err.text, rows[i].want) == NULL)
            fail_msg("\"%s\": want \"%s\"", err.text, rows[i].want);
        as_buf b;
        as_buf_init(&b, 0);
        assert_int_equal(as_read_file(&b, out, &err), AS_OK);
        assert_true(as_str_eq_z(as_buf_str(&b), "old"));
        as_buf_release(&b);
        assert_false(as_file_exists(t_hf_path("old.gguf.part")));
    }
}

static char models[][8] = {"dense", "moe", "e2b", "e4b", "gemma3"};

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"dense as golden", golden_files, NULL, NULL, models[0]},
        {"moe as golden", golden_files, NULL, NULL, models[1]},
        {"e2b as golden", golden_files, NULL, NULL, models[2]},
        {"e4b as golden", golden_files, NULL, NULL, models[3]},
        {"gemma3 as golden", golden_files, NULL, NULL, models[4]},
        cmocka_unit_test(runs_like_the_folder),
        cmocka_unit_test(what_generation_config_says),
        cmocka_unit_test(says_that_nothing_caps),
        cmocka_unit_test(leaves_the_old_file),
    };
    return cmocka_run_group_tests(tests, NULL, t_hf_done);
}
