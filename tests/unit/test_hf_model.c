/* Model folders: the same logits and ids as from GGUF, both spellings of config.json, and a sentence
 * for each thing that can be wrong with one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "engine/session_impl.h"
#include "engine_support.h"
#include "hf_support.h"

static const char *shared_model(const char *name)
{
    static char path[512];
    const char *shared = getenv("AS_SHARED");
    if (shared == NULL) {
        print_message("AS_SHARED is not set\n");
        return NULL;
    }
    snprintf(path, sizeof path, "%s/golden/text/%s", shared, name);
    return as_is_dir(path) ? path : NULL;
}

static float *logits_of(const g4_model *m, const int32_t *ids, int n, int32_t first)
{
    g4_session *s =
        t_session(m, (g4_session_options){.precision = G4_F32, .n_ctx = 1024, .n_batch = n});
    g4_row *rows = calloc((size_t)n, sizeof *rows);
    const int seq = t_seq(s);
    for (int i = 0; i < n; i++)
        rows[i] = (g4_row){.seq = seq, .pos = first + i, .token = ids[i], .want_logits = true};
    const g4_result out = t_decode(s, rows, n);
    const size_t bytes = (size_t)n * (size_t)g4_model_info(m)->n_vocab * sizeof(float);
    float *copy = malloc(bytes);
    assert_non_null(copy);
    memcpy(copy, out.logits, bytes);
    free(rows);
    g4_session_close(s);
    return copy;
}

static void expect_same_logits(const g4_model *a, const g4_model *b, const int32_t *ids, int n,
                               int32_t first)
{
    float *x = logits_of(a, ids, n, first);
    float *y = logits_of(b, ids, n, first);
    assert_int_equal(g4_model_info(a)->n_vocab, g4_model_info(b)->n_vocab);
    assert_memory_equal(x, y, (size_t)n * (size_t)g4_model_info(a)->n_vocab * sizeof(float));
    free(x);
    free(y);
}

static void expect_same_ids(const g4_model *a, const g4_model *b)
{
    static const char *const bits[] = {"the ",   " the",    "\n",           "\n\n\n",    "a",
                                       "<bos>",  "<turn|>", "  ",           "é",         "\xff",
                                       "<0x41>", "ing",     "on",           "<|think|>", "123",
                                       ".",      "er in",   "\xe2\x96\x81", "re",        "<eos>"};
    uint64_t s = 1;
    for (int i = 0; i < 2000; i++) {
        char text[256] = "";
        const int n = (int)(s >> 60);
        for (int k = 0; k < n; k++) {
            s = s * 6364136223846793005u + 1442695040888963407u;
            strcat(text, bits[(s >> 33) % (sizeof bits / sizeof bits[0])]);
        }
        s = s * 6364136223846793005u + 1442695040888963407u;
        for (unsigned flags = 0; flags < 4; flags++) {
            int32_t *x = NULL;
            int32_t *y = NULL;
            size_t nx = 0;
            size_t ny = 0;
            assert_int_equal(g4_tokenize(a, as_str_of(text), flags, &x, &nx, NULL), AS_OK);
            assert_int_equal(g4_tokenize(b, as_str_of(text), flags, &y, &ny, NULL), AS_OK);
            if (nx != ny || memcmp(x, y, nx * sizeof *x) != 0)
                fail_msg("\"%s\" (flags %u) gives other ids", text, flags);
            free(x);
            free(y);
        }
    }
}

static void golden_agrees(void **state)
{
    const char *folder = shared_model(*state);
    if (folder == NULL)
        skip();
    char path[600];
    snprintf(path, sizeof path, "%s/model.gguf", folder);
    g4_model *file = t_model(path);
    g4_model *view = t_model(folder);
    assert_int_equal(g4_model_info(file)->n_params, g4_model_info(view)->n_params);
    snprintf(path, sizeof path, "%s/cases.json", folder);
    as_json *cases = t_json(path);
    int n_cases = 0;
    for (const as_json *c = as_json_first(cases); c != NULL; c = as_json_next(c), n_cases++) {
        int n = 0;
        int32_t *ids = t_ids(as_json_get(c, "ids"), &n);
        expect_same_logits(file, view, ids, n, (int32_t)t_number(c, "first_position", 0));
        free(ids);
    }
    print_message("  %d cases equal bit for bit\n", n_cases);
    as_json_free(cases);
    expect_same_ids(file, view);
    g4_model_close(file);
    g4_model_close(view);
}

/* Halves give the same as the same values in f32; shards the same as one file. */
static void forms_agree(void **state)
{
    (void)state;
    const int32_t ids[] = {2, 270, 265, 283, 290, 7, 9, 281, 100, 1, 2, 3};
    const char *const dtypes[] = {"F32", "F16", "BF16"};
    for (int gemma4 = 0; gemma4 < 2; gemma4++)
        for (int d = 0; d < 3; d++) {
            g4_model *one =
                t_model(t_hf_make(&(t_hf){.is_gemma4 = gemma4 == 1, .dtype = dtypes[d]}));
            g4_model *two = t_model(t_hf_make(
                &(t_hf){.is_gemma4 = gemma4 == 1, .dtype = dtypes[d], .is_sharded = true}));
            expect_same_logits(one, two, ids, 12, 0);
            assert_true(as_str_eq_z(g4_model_info(one)->quantization, dtypes[d]));
            g4_model_close(one);
            g4_model_close(two);
        }
}

static void replace(char *text, size_t size, const char *from, const char *to)
{
    char *at = strstr(text, from);
    assert_non_null(at);
    char rest[2048];
    snprintf(rest, sizeof rest, "%s", at + strlen(from));
    snprintf(at, size - (size_t)(at - text), "%s%s", to, rest);
}

static void spellings_agree(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        bool is_gemma4;
        const char *from, *to;
    } rows[] = {
        {"per_layer_config instead of global_head_dim", true, "\"global_head_dim\":32,",
         "\"per_layer_config\":{\"1\":{\"head_dim\":32,\"num_key_value_heads\":1},"
         "\"2\":{\"head_dim\":32,\"num_key_value_heads\":1}},"},
        {"per_layer_config without anything that differs", true, "\"global_head_dim\":32,",
         "\"per_layer_config\":{},"},
        {"null for the same number", true, "\"global_head_dim\":32,",
         "\"global_head_dim\":32,\"num_global_key_value_heads\":null,"},
        {"key heads of full layers count where K = V only", true, "\"global_head_dim\":32,",
         "\"global_head_dim\":32,\"num_global_key_value_heads\":2,"},
        {"the last layer is full whatever the list says", true, "\"full_attention\"],",
         "\"sliding_attention\"],"},
        {"bidirectional in images only", true, "\"global_head_dim\":32,",
         "\"global_head_dim\":32,\"use_bidirectional_attention\":\"vision\","},
        {"nested", true, "{\"model_type\":\"gemma4_text\",",
         "{\"model_type\":\"gemma4\",\"vision_config\":null,\"text_config\":{"},
        {"rope per layer type", false,
         "\"rope_theta\":1000000.0,\"rope_local_base_freq\":10000.0,"
         "\"rope_scaling\":{\"factor\":8.0,\"rope_type\":\"linear\"}",
         "\"rope_parameters\":{\"full_attention\":{\"rope_type\":\"linear\",\"factor\":8.0,"
         "\"rope_theta\":1e6},\"sliding_attention\":{\"rope_theta\":1e4}}"},
        {"a period instead of a list", false,
         "\"layer_types\":[\"sliding_attention\",\"full_attention\"]",
         "\"sliding_window_pattern\":2"},
    };
    const int32_t ids[] = {2, 270, 265, 283, 290, 7, 9, 281, 100, 1, 2, 3};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char config[2048];
        snprintf(config, sizeof config, "%s", t_hf_config(rows[i].is_gemma4));
        replace(config, sizeof config, rows[i].from, rows[i].to);
        if (strstr(config, "text_config") != NULL)
            strcat(config, "}");
        g4_model *a = t_model(t_hf_make(&(t_hf){.is_gemma4 = rows[i].is_gemma4}));
        g4_model *b = t_model(t_hf_make(&(t_hf){.is_gemma4 = rows[i].is_gemma4, .config = config}));
        print_message("  %s\n", rows[i].why);
        expect_same_logits(a, b, ids, 12, 0);
        g4_model_close(a);
        g4_model_close(b);
    }
}

/* from → to in config.json gives a sentence with want in it. */
static void wrong_configs(void **state)
{
    (void)state;
    static const struct {
        bool is_gemma4;
        const char *from, *to, *want;
    } rows[] = {
        {true, "{\"model_type\"", "\"model_type\"", "config.json: not JSON"},
        {true, "\"gemma4_text\"", "\"llama\"", "\"model_type\" is \"llama\""},
        {true, "\"model_type\":\"gemma4_text\",", "", "\"model_type\" is missing"},
        {true, "\"hidden_size\":32,", "", "\"hidden_size\" is missing"},
        {true, "\"hidden_size\":32,", "\"hidden_size\":\"x\",", "\"hidden_size\" must be a whole"},
        {true, "\"hidden_size\":32,", "\"hidden_size\":64,", "token_embd.weight has shape"},
        {true, "\"num_attention_heads\":2,", "", "\"num_attention_heads\" is missing"},
        {true, "\"num_key_value_heads\":1,", "", "\"num_key_value_heads\" is missing"},
        {true, "\"num_key_value_heads\":1,", "\"num_key_value_heads\":-1,", "must be a whole"},
        {true, "\"head_dim\":32,", "", "\"head_dim\" is missing"},
        {true, "\"global_head_dim\":32,", "", "\"global_head_dim\" is missing"},
        {true, "\"intermediate_size\":64,", "", "\"intermediate_size\" is missing"},
        {true, "\"sliding_window\":8,", "", "\"sliding_window\" is missing"},
        {true, "\"sliding_window\":8,", "\"sliding_window\":0,", "sliding_window"},
        {true, "\"num_hidden_layers\":3", "\"num_hidden_layers\":2000000", "1 to 1024"},
        {true, "\"num_hidden_layers\":3", "\"num_hidden_layers\":4", "\"layer_types\" has 3"},
        {true, "\"num_hidden_layers\":3", "\"num_hidden_layers\":1e300", "must be a whole"},
        {true, "\"layer_types\":[", "\"layer_typos\":[", "\"layer_types\" is missing"},
        {true, "[\"sliding_attention\"", "[\"chunked_attention\"", "something else than"},
        {true, "\"vocab_size\":300", "\"vocab_size\":299", "\"vocab_size\" is 299"},
        {true, "\"num_kv_shared_layers\":1", "\"num_kv_shared_layers\":3", "must be less than"},
        {true, "\"hidden_size_per_layer_input\":32,", "",
         "\"hidden_size_per_layer_input\" is missing"},
        {true, "\"rope_parameters\"", "\"rope_params\"", "rope_parameters.full_attention"},
        {true, "\"proportional\"", "\"yarn\"", "\"rope_type\" of full_attention is \"yarn\""},
        {true, "\"rope_theta\":1000000.0,", "", "full_attention.rope_theta"},
        {true, "\"partial_rotary_factor\":0.25", "\"partial_rotary_factor\":3", "must be 0 to 1"},
        {true, "\"global_head_dim\":32,", "\"global_head_dim\":32,\"attention_bias\":true,",
         "attention_bias"},
        {true, "\"global_head_dim\":32,", "\"global_head_dim\":32,\"hidden_activation\":\"silu\",",
         "hidden_activation"},
        {true, "\"global_head_dim\":32,",
         "\"global_head_dim\":32,\"use_bidirectional_attention\":\"all\",", "causal"},
        {false, "\"eos_token_id\":1,", "\"eos_token_id\":1,\"use_bidirectional_attention\":true,",
         "causal"},
        {true, "\"global_head_dim\":32,", "\"global_head_dim\":32,\"tie_word_embeddings\":false,",
         "lm_head"},
        {true, "\"global_head_dim\":32,", "\"global_head_dim\":32,\"enable_moe_block\":true,",
         "\"num_experts\" is missing"},
        {true, "\"global_head_dim\":32,",
         "\"global_head_dim\":32,\"per_layer_config\":{\"1\":{\"head_dim\":16}},",
         "different values"},
        {true, "\"global_head_dim\":32,",
         "\"global_head_dim\":32,\"per_layer_config\":{\"7\":{\"head_dim\":32}},",
         "numbers of layers"},
        {true, "\"global_head_dim\":32,",
         "\"global_head_dim\":32,\"per_layer_config\":{\"1\":{\"magic\":1}},", "\"magic\""},
        {false, "\"rope_type\":\"linear\"", "\"rope_type\":\"dynamic\"", "\"dynamic\""},
        {false, "\"factor\":8.0,", "", "\"factor\" is missing"},
        {false, "\"eos_token_id\":1,", "\"eos_token_id\":\"x\",", "must be an id"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char config[2048];
        snprintf(config, sizeof config, "%s", t_hf_config(rows[i].is_gemma4));
        replace(config, sizeof config, rows[i].from, rows[i].to);
        const char *folder = t_hf_make(&(t_hf){.is_gemma4 = rows[i].is_gemma4, .config = config});
        g4_model *m = NULL;
        as_err err = {0};
        if (g4_model_open(&m, folder, NULL, &err) == AS_OK)
            fail_msg("%s: opened, want \"%s\"", rows[i].to, rows[i].want);
        if (strstr(err.text, rows[i].want) == NULL)
            fail_msg("\"%s\": want \"%s\"", err.text, rows[i].want);
        assert_null(m);
    }
}

static void wrong_tensors(void **state)
{
    (void)state;
    static const struct {
        const char *without, *extra, *want;
    } rows[] = {
        {"model.layers.1.self_attn.v_proj.weight", NULL, "no self_attn.v_proj.weight"},
        {"model.embed_tokens.weight", NULL, "no embed_tokens.weight"},
        {"model.layers.0.mlp.up_proj.weight", NULL, "no tensor blk.0.ffn_up.weight"},
        {NULL, "model.layers.0.self_attn.z_proj.weight", "is not known"},
        {NULL, "model.layers.9.mlp.up_proj.weight", "beyond \"num_hidden_layers\""},
        {NULL, "model.language_model.norm.weight", "two tensors of the folder"},
        {NULL, "nonsense", "is not known"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *folder = t_hf_make(
            &(t_hf){.is_gemma4 = true, .without = rows[i].without, .extra = rows[i].extra});
        g4_model *m = NULL;
        as_err err = {0};
        assert_int_not_equal(g4_model_open(&m, folder, NULL, &err), AS_OK);
        if (strstr(err.text, rows[i].want) == NULL)
            fail_msg("\"%s\": want \"%s\"", err.text, rows[i].want);
    }
}

static void wrong_tokenizers(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } rows[] = {
        {"", "want an object"},
        {"{\"model\":{\"vocab\":{\"a\":0}}}", "no \"model\" with"},
        {"{\"model\":{\"vocab\":{\"a\":0},\"merges\":[]}}", "\"normalizer\" is not Gemma's"},
        {"{\"model\":{\"vocab\":{\"a\":4000000000},\"merges\":[]}}", "beyond 16,777,215"},
        {"{\"model\":{\"vocab\":{\"a\":900000},\"merges\":[]},\"normalizer\":{\"type\":\"Replace\","
         "\"pattern\":{\"String\":\" \"},\"content\":\"\\u2581\"}}",
         "ids reach 900,000"},
        {"{\"model\":{\"vocab\":{\"a\":0,\"b\":0},\"merges\":[]},\"normalizer\":{\"type\":"
         "\"Replace\","
         "\"pattern\":{\"String\":\" \"},\"content\":\"\\u2581\"}}",
         "id 0 is there twice"},
        {"{\"model\":{\"merges\":[\"ab\"]}}", "without a space"},
        {"{\"model\":{\"merges\":[[\"a\"]]}}", "two texts"},
        {"{\"model\":{\"merges\":[[\"a\",\"b\",\"c\"]]}}", "two texts"},
        {"{\"model\":{\"type\":\"WordPiece\",\"vocab\":{\"a\":0},\"merges\":[]}}", "WordPiece"},
        {"{\"added_tokens\":[{\"id\":3}]}", "without id or content"},
        {"{\"model\":{\"vocab\":{\"a\":\"b\"}}}", "want a whole number"},
        {"{\"model\":{\"vocab\":{\"a\\u12\":1}}}", "wrong escape"},
        {"{\"x\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
         "nested too deeply"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *folder = t_hf_make(&(t_hf){.is_gemma4 = true});
        t_hf_write(folder, "tokenizer.json", as_str_of(rows[i].text));
        g4_model *m = NULL;
        as_err err = {0};
        assert_int_not_equal(g4_model_open(&m, folder, NULL, &err), AS_OK);
        if (strstr(err.text, rows[i].want) == NULL || strstr(err.text, "tokenizer.json") == NULL)
            fail_msg("\"%s\": want \"%s\"", err.text, rows[i].want);
    }
}

static void texts_beside_the_weights(void **state)
{
    (void)state;
    const char *folder = t_hf_make(&(t_hf){
        .is_gemma4 = true, .generation = "{\"eos_token_id\":[1,3,4],\"top_k\":64,\"top_p\":0.95}"});
    t_hf_write(folder, "tokenizer_config.json",
               AS_STR("{\"bos_token\":\"<bos>\",\"eos_token\":{\"content\":\"<eos>\"},"
                      "\"chat_template\":[{\"name\":\"x\",\"template\":\"no\"},"
                      "{\"name\":\"default\",\"template\":\"yes\"}]}"));
    g4_model *m = t_model(folder);
    const g4_info *info = g4_model_info(m);
    assert_int_equal(info->bos, 2);
    assert_int_equal(info->eos, 1);
    assert_true(as_str_eq_z(info->chat_template, "yes"));
    assert_int_equal(info->n_stop, 3);
    assert_int_equal(info->stop[0], 1);
    assert_int_equal(info->stop[1], 3);
    assert_int_equal(info->stop[2], 4);
    g4_model_close(m);
    t_hf_write(folder, "chat_template.jinja", AS_STR("newer"));
    m = t_model(folder);
    assert_true(as_str_eq_z(g4_model_info(m)->chat_template, "newer"));
    g4_model_close(m);
}

static char models[][8] = {"dense", "moe", "e2b", "e4b", "gemma3"};

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"dense as from GGUF", golden_agrees, NULL, NULL, models[0]},
        {"moe as from GGUF", golden_agrees, NULL, NULL, models[1]},
        {"e2b as from GGUF", golden_agrees, NULL, NULL, models[2]},
        {"e4b as from GGUF", golden_agrees, NULL, NULL, models[3]},
        {"gemma3 as from GGUF", golden_agrees, NULL, NULL, models[4]},
        cmocka_unit_test(forms_agree),
        cmocka_unit_test(spellings_agree),
        cmocka_unit_test(wrong_configs),
        cmocka_unit_test(wrong_tensors),
        cmocka_unit_test(wrong_tokenizers),
        cmocka_unit_test(texts_beside_the_weights),
    };
    return cmocka_run_group_tests(tests, NULL, t_hf_done);
}
