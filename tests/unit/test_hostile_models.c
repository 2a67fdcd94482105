/* Models and adapters that lie: what is said of each. The inputs are the seeds of the fuzz targets, made
 * by tests/tools/make_model_seeds.py; "" is for those that are right. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "engine/config.h"
#include "engine/gguf.h"
#include "engine/hf_model.h"
#include "engine/weights.h"
#include "engine_support.h"
#include "hf_support.h"

typedef struct row {
    const char *seed, *sentence; /* behind the name of the file */
} row;

static as_buf read_seed(const char *target, const char *name)
{
    static const char *corpus;
    char path[512];
    if (corpus == NULL)
        corpus = t_fixture("../fuzz/corpus");
    (void)snprintf(path, sizeof path, "%s/%s/%s", corpus, target, name);
    as_buf b;
    as_buf_init(&b, 0);
    as_err err = {0};
    if (as_read_file(&b, path, &err) != AS_OK)
        fail_msg("%s", err.text);
    return b;
}

static int n_wrong;

static void expect(const row *r, const char *prefix, as_code code, const as_err *err)
{
    const char *got = code == AS_OK ? "" : err->text;
    if (code != AS_OK && strncmp(got, prefix, strlen(prefix)) == 0)
        got += strlen(prefix);
    if (strcmp(got, r->sentence) == 0)
        return;
    print_message("  %s: \"%s\"\n    want \"%s\"\n", r->seed, got, r->sentence);
    n_wrong++;
}

static as_code read_model(const g4_gguf *f, as_err *err)
{
    as_arena keep;
    as_arena_init(&keep, 0);
    g4_config c;
    g4_weights w;
    as_code code = g4_config_read(&c, f, &keep, err);
    if (code == AS_OK)
        code = g4_weights_read(&w, &c, f, &keep, err);
    as_arena_release(&keep);
    return code;
}

/* ---- GGUF files ------------------------------------------------------------------------------ */

static const row files[] = {
    {"all_shared", "metadata \"gemma4.attention.shared_kv_layers\": want a number from 0 to 1, "
                   "found another: convert the model again"},
    {"eps_nan", "gemma4.attention.layer_norm_rms_epsilon is nan, want 0 to 1"},
    {"experts_beyond", "metadata \"gemma4.expert_used_count\": want a number from 1 to 2, found "
                       "another: convert the model again"},
    {"experts_huge", "metadata \"gemma4.expert_count\": want a number from 0 to 4096, found "
                     "another: convert the model again"},
    {"experts_none_used", "metadata \"gemma4.expert_used_count\": want a number from 1 to 4, found "
                          "another: convert the model again"},
    {"heads_differ", "gemma4.attention.head_count differs between layers 0 and 1 (2, 4); this "
                     "engine wants one number"},
    {"huge_heads", "gemma4.attention.head_count is 4294967295 for layer 0, want 1 to 1024"},
    {"kv_beyond_heads", "layer 1: 2 query heads for 3 key heads, want a multiple"},
    {"kv_none", "gemma4.attention.head_count_kv is 0 for layer 1, want 1 to 1024"},
    {"kv_too_few", "metadata \"gemma4.attention.head_count_kv\" has 1 entries, want one for each "
                   "of 2 layers: convert the model again"},
    {"layers_per_layer", "metadata \"gemma4.block_count\": want a whole number, found an array of "
                         "u32: convert the model again"},
    {"many_layers", "metadata \"gemma4.attention.sliding_window_pattern\" has 2 entries, want one "
                    "for each of 1000 layers: convert the model again"},
    {"negative_width", "metadata \"gemma4.embedding_length\": want a number from 1 to 65536, found "
                       "another: convert the model again"},
    {"no_embedding",
     "has no tensor token_embd.weight: the file is not a complete model of this kind"},
    {"no_heads", "gemma4.attention.head_count is 0 for layer 0, want 1 to 1024"},
    {"no_layers", "metadata \"gemma4.block_count\": want a number from 1 to 1024, found another: "
                  "convert the model again"},
    {"no_query",
     "has no tensor blk.1.attn_q.weight: the file is not a complete model of this kind"},
    {"odd_key", "key lengths are 3 (full) and 3 (sliding), want even"},
    {"overlapping", "its tensors overlap: they have more bytes than the file's 11104"},
    {"layers_beyond_tensors", "the metadata tell of 500 layers, but there are only 30 tensors"},
    {"pattern_numbers", "metadata \"gemma4.attention.sliding_window_pattern\": want true or false "
                        "for each layer, found an array of u32: convert the model again"},
    {"pattern_short", "metadata \"gemma4.attention.sliding_window_pattern\" has 1 entries, want "
                      "one for each of 2 layers: convert the model again"},
    {"ple_huge", "metadata \"gemma4.embedding_length_per_layer_input\": want a number from 0 to "
                 "65536, found another: convert the model again"},
    {"right_experts", ""},
    {"right_gemma3", ""},
    {"right_gemma4", ""},
    {"right_k_is_v", ""},
    {"right_shared", ""},
    {"scaling_unknown", "gemma4.rope.scaling.type is \"yarn\", want none or linear"},
    {"shared_of_no_kind",
     "gemma4.attention.shared_kv_layers is 1, but none of the first 1 layers is of layer 1's kind"},
    {"value_differs", "gemma4.attention.value_length is 4, want 2, the length of a key"},
    {"width_differs",
     "tensor token_embd.weight has shape {4, 3, 1, 1}, the metadata want {8, 3, 1, 1}"},
    {"window_huge", "metadata \"gemma4.attention.sliding_window\": want a number from 1 to "
                    "16777216, found another: convert the model again"},
    {"window_none", "metadata \"gemma4.attention.sliding_window\": want a number from 1 to "
                    "16777216, found another: convert the model again"},
};

static void files_that_lie(void **state)
{
    (void)state;
    n_wrong = 0;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        as_buf b = read_seed("fuzz_model", files[i].seed);
        g4_gguf *f = NULL;
        as_err err = {0};
        assert_int_equal(g4_gguf_open_memory(&f, as_buf_str(&b), "m", &err), AS_OK);
        const as_code code = read_model(f, &err);
        expect(&files[i], "m: ", code, &err);
        g4_gguf_close(f);
        as_buf_release(&b);
    }
    assert_int_equal(n_wrong, 0);
}

/* ---- config.json ----------------------------------------------------------------------------- */

static const row configs[] = {
    {"config_gemma3", "/config.json: \"hidden_size_per_layer_input\" is missing, but the model has "
                      "per-layer embeddings"},
    {"config_nested", ""},
    {"config_newer", ""},
    {"config_other_experts", "/config.json: \"top_k_experts\" is missing"},
    {"config_other_kind", "/config.json: \"hidden_size\" must be a whole number"},
    {"config_other_layers", "/config.json: \"num_hidden_layers\" must be 1 to 1024"},
    {"config_other_none", "/config.json: \"hidden_size\" is missing"},
    {"config_other_shared",
     "/config.json: \"num_kv_shared_layers\" must be less than \"num_hidden_layers\""},
    {"config_other_types",
     "/config.json: \"layer_types\" has 3 entries, \"num_hidden_layers\" is 2"},
    {"config_other_vocabulary",
     "/config.json: \"vocab_size\" is 9, embed_tokens.weight has 300 rows"},
    {"config_other_width",
     ": tensor token_embd.weight has shape {32, 300, 1, 1}, the metadata want {64, 300, 1, 1}"},
    {"config_right", ""},
    {"config_without_head_dim", "/config.json: \"head_dim\" is missing"},
    {"config_without_hidden_size", "/config.json: \"hidden_size\" is missing"},
    {"config_without_layer_types", "/config.json: \"layer_types\" is missing"},
    {"config_without_model_type", "/config.json: \"model_type\" is missing"},
    {"config_without_num_hidden_layers", "/config.json: \"num_hidden_layers\" is missing"},
    {"config_without_rope_parameters",
     "/config.json: \"rope_parameters.full_attention\" is missing"},
};

static const char *const linked[] = {"tokenizer.json", "model.safetensors.index.json",
                                     "model-00001-of-00002.safetensors",
                                     "model-00002-of-00002.safetensors"};

static void configs_that_lie(void **state)
{
    (void)state;
    n_wrong = 0;
    const char *folder = t_hf_path("linked");
    assert_int_equal(mkdir(folder, 0700), 0);
    for (size_t i = 0; i < sizeof linked / sizeof linked[0]; i++) {
        char from[512];
        char to[256];
        (void)snprintf(from, sizeof from, "engine/folder/%s", linked[i]);
        (void)snprintf(to, sizeof to, "%s/%s", folder, linked[i]);
        char *whole = realpath(t_fixture(from), NULL);
        assert_non_null(whole);
        assert_int_equal(symlink(whole, to), 0);
        free(whole);
    }
    char prefix[256];
    (void)snprintf(prefix, sizeof prefix, "%s", folder);
    for (size_t i = 0; i < sizeof configs / sizeof configs[0]; i++) {
        as_buf b = read_seed("fuzz_model", configs[i].seed);
        t_hf_write(folder, "config.json", as_buf_str(&b));
        g4_hf *h = NULL;
        as_err err = {0};
        as_code code = g4_hf_open(&h, folder, NULL, &err);
        if (code == AS_OK)
            code = read_model(g4_hf_file(h), &err);
        expect(&configs[i], prefix, code, &err);
        g4_hf_close(h);
        as_buf_release(&b);
    }
    assert_int_equal(n_wrong, 0);
}

/* ---- adapters -------------------------------------------------------------------------------- */

static const row adapters[] = {
    {"gguf_alone", ": blk.0.attn_q.weight.lora_a has no partner blk.0.attn_q.weight.lora_b"},
    {"gguf_alora", ": adapter.type is \"alora\", want \"lora\""},
    {"gguf_embedding", ""},
    {"gguf_embedding_untransposed", ": token_embd.weight.lora_a has rank 300, its partner 2"},
    {"gguf_far_layer", ": blk.77.attn_q.weight.lora_a is of a layer this model has not (it has 2): "
                       "the adapter is for another model"},
    {"gguf_gemma3", ": general.architecture is \"gemma3\", want \"gemma4\""},
    {"gguf_huge_rank", ": blk.0.attn_q.weight.lora_b has rank 5000, want 1 to 4096"},
    {"gguf_norm",
     ": blk.0.attn_norm.weight.lora_a changes a norm, which this engine does not adapt"},
    {"gguf_other_model", ": blk.0.attn_q.weight.lora_a has shape {32, 2, 1, 1}, this model wants "
                         "{64, 2, 1, 1}: the adapter is for another model"},
    {"gguf_ranks_differ", ": blk.0.attn_q.weight.lora_a has rank 2, its partner 3"},
    {"gguf_right", ""},
    {"gguf_wrong_shape", ": blk.0.attn_q.weight.lora_b has shape {2, 63, 1, 1}, this model wants "
                         "{2, 64, 1, 1}: the adapter is for another model"},
    {"peft_alone", ": base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight has no "
                   "partner base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"},
    {"peft_alpha", ": base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight has a "
                   "strength (alpha over rank) of 5e+299"},
    {"peft_dora", "/adapter_config.json: \"use_dora\" is set: this engine does not run DoRA; merge "
                  "the adapter into the model or train it without"},
    {"peft_embedding", ""},
    {"peft_embedding_of_no_version",
     ": base_model.model.model.embed_tokens.lora_embedding_A changes the embedding table, and "
     "adapter_config.json does not state \"peft_version\", which decides whether sqrt(width) "
     "multiplies the change"},
    {"peft_embedding_as_matrix", ": base_model.model.model.embed_tokens.lora_A.weight is for a "
                                 "matrix, but its module is an embedding table"},
    {"peft_matrix_as_embedding",
     ": base_model.model.model.layers.0.self_attn.q_proj.lora_embedding_A is for an embedding "
     "table, but its module is none"},
    {"peft_experts",
     ": base_model.model.model.layers.0.experts.lora_A.weight and its partner are for 24 and 64 "
     "elements, which fits neither gate_up_proj nor down_proj of this model"},
    {"peft_ia3", "/adapter_config.json: \"peft_type\" is \"IA3\", this engine runs \"LORA\" only"},
    {"peft_no_module", ": base_model.model.model.layers.0.self_attn.z_proj.lora_A.weight names no "
                       "matrix of a Gemma model"},
    {"peft_other_model",
     ": base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight has shape [2, 32], this "
     "model and adapter_config.json want [2, 64]: the adapter is for another model or damaged"},
    {"peft_pattern", ""},
    {"peft_pattern_bad", "/adapter_config.json: \"rank_pattern\": regular expression "
                         "^(.*\\.)?(()$: at character 12: missing closing parenthesis"},
    {"peft_rank_half", "/adapter_config.json: \"r\" is 1.5, want a whole number from 1 to 1048576"},
    {"peft_rank_huge",
     "/adapter_config.json: \"r\" is 1e+09, want a whole number from 1 to 1048576"},
    {"peft_rank_none", "/adapter_config.json: \"r\" is 0, want a whole number from 1 to 1048576"},
    {"peft_rank_text", "/adapter_config.json: \"r\": want a number, found a string"},
    {"peft_right", ""},
    {"peft_rslora", ""},
    {"peft_wrong_shape",
     ": base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight has shape [32, 2], this "
     "model and adapter_config.json want [64, 2]: the adapter is for another model or damaged"},
};

/* The seed's bytes as tests/fuzz/fuzz_adapter.c reads them; gives the path of what it wrote. */
static const char *write_adapter(as_str seed)
{
    if ((seed.p[0] & 2) == 0) {
        t_hf_write(t_hf_path("."), "a.gguf", as_str_sub(seed, 1, seed.n));
        return t_hf_path("a.gguf");
    }
    const size_t n = (size_t)(unsigned char)seed.p[1] | (size_t)(unsigned char)seed.p[2] << 8;
    const char *folder = t_hf_path("peft");
    (void)mkdir(folder, 0700);
    t_hf_write(folder, "adapter_config.json", as_str_sub(seed, 3, 3 + n));
    t_hf_write(folder, "adapter_model.safetensors", as_str_sub(seed, 3 + n, seed.n));
    return folder;
}

static void adapters_that_lie(void **state)
{
    (void)state;
    n_wrong = 0;
    g4_model *models[2] = {t_model(t_fixture("engine/folder")),
                           t_model(t_fixture("engine/moe/model.gguf"))};
    for (size_t i = 0; i < sizeof adapters / sizeof adapters[0]; i++) {
        as_buf b = read_seed("fuzz_adapter", adapters[i].seed);
        char path[256];
        (void)snprintf(path, sizeof path, "%s", write_adapter(as_buf_str(&b)));
        g4_adapter *a = NULL;
        as_err err = {0};
        const as_code code = g4_adapter_open(&a, models[b.p[0] & 1], path, &err);
        expect(&adapters[i], path, code, &err);
        g4_adapter_close(a);
        as_buf_release(&b);
    }
    g4_model_close(models[0]);
    g4_model_close(models[1]);
    assert_int_equal(n_wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_that_lie),
        cmocka_unit_test(configs_that_lie),
        cmocka_unit_test(adapters_that_lie),
    };
    return cmocka_run_group_tests(tests, NULL, t_hf_done);
}
