/* Files of adapters: what is refused and with which sentence, how PEFT's rules give rank and
 * strength, cut and damaged files, memory that runs out. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "adapter_support.h"
#include "base/rng.h"
#include "engine/adapter.h"
#include "engine/peft_config.h"
#include "engine/session_impl.h"
#include "engine_support.h"

static g4_model *models[S_T4 + 1];

static g4_model *model(s_kind kind)
{
    if (models[kind] == NULL) {
        const char *path = ad_path("model.gguf");
        s_write(&(s_options){.kind = kind}, path);
        models[kind] = t_model(path);
    }
    return models[kind];
}

static int done(void **state)
{
    for (int i = 0; i <= S_T4; i++)
        g4_model_close(models[i]);
    return ad_done(state);
}

static bool is_one_sentence(const char *text)
{
    return text[0] != '\0' && strchr(text, '\n') == NULL;
}

static void check_refused(const g4_model *m, const char *path, const char *want, const char *why)
{
    as_err err = {0};
    g4_adapter *a = NULL;
    const as_code code = g4_adapter_open(&a, m, path, &err);
    if (code == AS_OK || a != NULL)
        fail_msg("%s: was opened", why);
    if (strstr(err.text, want) == NULL || !is_one_sentence(err.text))
        fail_msg("%s: \"%s\" does not say \"%s\"", why, err.text, want);
}

/* ---- tables ---------------------------------------------------------------------------------- */

#define GGUF_Q0 "blk.0.attn_q.weight.lora_a"

static void gguf_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        ad_options o;
        const char *want;
    } rows[] = {
        {"no partner", {.kind = S_T2, .skip = "blk.0.attn_q.weight.lora_b"}, "has no partner"},
        {"no partner", {.kind = S_T2, .skip = GGUF_Q0}, "has no partner"},
        {"rank differs", {.kind = S_T2, .bad_shape = GGUF_Q0}, "its partner 2"},
        {"shape", {.kind = S_T2, .bad_shape = "blk.3.ffn_up.weight.lora_b"}, "another model"},
        {"experts' shape",
         {.kind = S_T2, .bad_shape = "blk.3.ffn_down_exps.weight.lora_b"},
         "another model"},
        {"another model's matrix", {.kind = S_T1}, "another model"},
        {"embedding", {.kind = S_T2, .extra = "token_embd.weight.lora_a"}, "no partner"},
        {"unknown suffix", {.kind = S_T2, .extra = "blk.0.attn_q.bias"}, "neither .lora_a nor"},
        {"architecture", {.kind = S_T2, .arch = "llama"}, "want \"gemma4\""},
        {"no architecture", {.kind = S_T2, .no_key = "general.architecture"}, "architecture"},
        {"no type", {.kind = S_T2, .no_key = "general.type"}, "general.type"},
        {"no kind", {.kind = S_T2, .no_key = "adapter.type"}, "adapter.type"},
        {"no alpha", {.kind = S_T2, .no_key = "adapter.lora.alpha"}, "adapter.lora.alpha"},
        {"activated", {.kind = S_T2, .key = "adapter.alora.invocation_tokens"}, "activated LoRA"},
        {"NaN", {.kind = S_T2, .poison = NAN}, "infinity or NaN"},
        {"infinity", {.kind = S_T2, .poison = INFINITY}, "infinity or NaN"},
        {"nothing in it", {.kind = S_T2, .only = "nothing"}, "nothing that changes"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const bool is_other = strcmp(rows[i].why, "another model's matrix") == 0;
        check_refused(model(is_other ? S_T3 : S_T2), ad_write_gguf(&rows[i].o), rows[i].want,
                      rows[i].why);
    }
    check_refused(model(S_T4), ad_write_gguf(&(ad_options){.kind = S_T2}), "want \"gemma3\"",
                  "Gemma 4's on Gemma 3");
    check_refused(model(S_T2), ad_path("none.gguf"), "none.gguf", "no file");
    check_refused(model(S_T2), "/dev/null", "/dev/null", "a device");
}

/* Pairs of names that are well-formed and not to be adapted. */
static void names_that_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name, *want;
    } rows[] = {
        {"token_embd.weight", "has shape"}, /* of two rows */
        {"per_layer_token_embd.weight", "embedding table"},
        {"blk.1.ffn_gate_inp.weight", "router"},
        {"blk.1.attn_norm.weight", "norm"},
        {"output_norm.weight", "norm"},
        {"blk.6.attn_q.weight", "of a layer this model has not"},
        {"blk.-1.attn_q.weight", "of a layer this model has not"},
        {"blk.99999999999999999999.attn_q.weight", "of a layer this model has not"},
        {"blk.1.attn_sink.weight", "names no matrix of a gemma4 model"},
        {"blk.2.attn_v.weight", "matrix this model has not"}, /* K = V */
        {"blk.1.inp_gate.weight", "matrix this model has not"},
        {"per_layer_model_proj.weight", "matrix this model has not"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        static const float two[4] = {1, 2, 3, 4};
        const int64_t ne[2] = {2, 2};
        gw w;
        char name[80];
        gw_init(&w);
        gw_str(&w, "general.type", "adapter");
        gw_str(&w, "general.architecture", "gemma4");
        gw_str(&w, "adapter.type", "lora");
        gw_f32(&w, "adapter.lora.alpha", 4);
        for (int k = 0; k < 2; k++) {
            snprintf(name, sizeof name, "%s.lora_%c", rows[i].name, 'a' + k);
            gw_tensor(&w, name, K_F32, ne, 2, two, sizeof two);
        }
        gw_write(&w, ad_path("names.gguf"));
        gw_release(&w);
        check_refused(model(S_T2), ad_path("names.gguf"), rows[i].want, rows[i].name);
    }
}

#define PEFT_Q0 "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
#define PEFT_E3 "base_model.model.model.layers.3.experts"

static void peft_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        ad_options o;
        const char *want;
    } rows[] = {
        {"no partner", {.skip = PEFT_Q0}, "has no partner"},
        {"rank", {.bad_shape = PEFT_Q0}, "want [2, 32]"},
        {"experts' rows", {.bad_shape = PEFT_E3 ".lora_A.weight"}, "want 8 times"},
        {"experts' inner side", {.bad_shape = PEFT_E3 ".lora_B.weight"}, "fits neither"},
        {"embedding",
         {.extra = "base_model.model.model.embed_tokens.lora_embedding_A"},
         "no partner"},
        {"a whole module",
         {.extra = "base_model.model.model.embed_tokens.weight"},
         "no factor of LoRA"},
        {"a DoRA vector",
         {.extra = "base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector"},
         "no factor of LoRA"},
        {"a bias",
         {.extra = "base_model.model.model.layers.0.self_attn.q_proj.lora_B.bias"},
         "does not end in"},
        {"type", {.type = "I32"}, "I32"},
        {"another rank", {.config = "\"r\":3,"}, "want [3, 32]"},
        {"no whole rank", {.config = "\"r\":1.5,"}, "whole number"},
        {"rank 0", {.config = "\"r\":0,"}, "whole number"},
        {"huge rank", {.config = "\"r\":1e300,"}, "whole number"},
        {"rank is text", {.config = "\"r\":\"2\","}, "want a number"},
        {"alpha is null", {.config = "\"lora_alpha\":null,"}, "want a number"},
        {"huge alpha", {.config = "\"lora_alpha\":1e308,"}, "strength"},
        {"IA3", {.config = "\"peft_type\":\"IA3\","}, "\"LORA\" only"},
        {"DoRA", {.config = "\"use_dora\":true,"}, "DoRA"},
        {"bias", {.config = "\"bias\":\"all\","}, "adapted biases"},
        {"lora_bias", {.config = "\"lora_bias\":true,"}, "with a bias"},
        {"fan_in_fan_out", {.config = "\"fan_in_fan_out\":true,"}, "transposed"},
        {"modules_to_save", {.config = "\"modules_to_save\":[\"lm_head\"],"}, "saved whole"},
        {"token indices", {.config = "\"trainable_token_indices\":[1],"}, "embedding"},
        {"activated", {.config = "\"alora_invocation_tokens\":[1],"}, "activated LoRA"},
        {"PiSSA", {.config = "\"init_lora_weights\":\"pissa_niter_4\","}, "pissa_niter_4"},
        {"bad pattern", {.config = "\"rank_pattern\":{\"(\":2},"}, "rank_pattern"},
        {"pattern's value", {.config = "\"alpha_pattern\":{\"q_proj\":[]},"}, "q_proj"},
        {"patterns are a list", {.config = "\"alpha_pattern\":[1],"}, "want an object"},
        {"endless pattern", {.config = "\"rank_pattern\":{\"([a-z0-9_.]+)+[A-Z]\":2},"}, "gave up"},
        {"config is no JSON", {.config = "{"}, "adapter_config.json"},
        {"nothing in it", {.only = "nothing"}, "nothing that changes"},
        {"NaN", {.poison = INFINITY}, "infinity or NaN"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ad_options o = rows[i].o;
        o.kind = S_T2;
        check_refused(model(S_T2), ad_write_peft(&o), rows[i].want, rows[i].why);
    }
    check_refused(model(S_T3), ad_write_peft(&(ad_options){.kind = S_T2, .only = "exps"}),
                  "which this model has not", "experts on a dense model");
    const char *folder = ad_path("bin");
    assert_int_equal(as_make_dirs(folder, NULL), AS_OK);
    check_refused(model(S_T2), folder, "adapter_config.json", "empty folder");
    check_refused(model(S_T2), ad_path(""), "adapter_config.json", "empty folder, with a slash");
    const as_str config = AS_STR("{\"peft_type\":\"LORA\",\"r\":2,\"lora_alpha\":4}");
    assert_int_equal(as_write_file(ad_path("bin/adapter_config.json"), config, NULL), AS_OK);
    check_refused(model(S_T2), folder, "adapter_model.safetensors", "a pickle instead");
}

static void towers_are_ignored(void **state)
{
    (void)state;
    static const char *const names[] = {
        "base_model.model.model.vision_tower.layers.0.self_attn.q_proj.linear.lora_A.weight",
        "base_model.model.model.audio_tower.x.lora_B.weight",
        "base_model.model.vision_tower.x.weight",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        as_err err = {0};
        g4_adapter *a = NULL;
        const ad_options o = {.kind = S_T2, .extra = names[i]};
        if (g4_adapter_open(&a, model(S_T2), ad_write_peft(&o), &err) != AS_OK)
            fail_msg("%s", err.text);
        assert_int_equal(g4_adapter_info_of(a)->n_matrices, 58);
        g4_adapter_close(a);
    }
}

/* ---- PEFT's rules ---------------------------------------------------------------------------- */

static void ranks_and_strengths_follow_the_patterns(void **state)
{
    (void)state;
    static const struct {
        const char *config, *module;
        int64_t rank;
        double scale;
    } rows[] = {
        {"", "model.layers.3.self_attn.q_proj", 4, 2},
        {"\"use_rslora\":true,", "model.layers.3.self_attn.q_proj", 4, 4},
        {"\"rank_pattern\":{\"q_proj\":16},", "model.layers.3.self_attn.q_proj", 16, 0.5},
        {"\"rank_pattern\":{\"q_proj\":16},\"use_rslora\":true,", "model.layers.3.self_attn.q_proj",
         16, 2},
        {"\"rank_pattern\":{\"_proj\":16},", "model.layers.3.self_attn.q_proj", 4, 2},
        {"\"rank_pattern\":{\".*_proj\":16},", "model.layers.3.self_attn.q_proj", 16, 0.5},
        {"\"rank_pattern\":{\"q_pro\":16},", "model.layers.3.self_attn.q_proj", 4, 2},
        {"\"rank_pattern\":{\"layers.3.self_attn.q_proj\":1},", "model.layers.3.self_attn.q_proj",
         1, 8},
        {"\"rank_pattern\":{\"layers.3.self_attn.q_proj\":1},", "model.layers.13.self_attn.q_proj",
         4, 2},
        {"\"rank_pattern\":{\"model.layers.3.self_attn.q_proj\":1},",
         "model.layers.3.self_attn.q_proj", 1, 8},
        {"\"rank_pattern\":{\"^model\\\\.layers\\\\.[0-3]\\\\..*\":2,\"q_proj\":1},",
         "model.layers.3.self_attn.q_proj", 2, 4},
        {"\"rank_pattern\":{\"k_proj|q_proj\":2},", "model.layers.3.self_attn.q_proj", 2, 4},
        {"\"alpha_pattern\":{\"q_proj\":1.5},", "model.layers.3.self_attn.q_proj", 4, 0.375},
        {"\"alpha_pattern\":{\"experts.down_proj\":1},", "model.layers.3.experts.down_proj", 4,
         0.25},
        {"\"alpha_pattern\":{\"experts.down_proj\":1},", "model.layers.3.mlp.down_proj", 4, 2},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        as_err err = {0};
        g4_peft_config c;
        int64_t rank = 0;
        double scale = 0;
        const ad_options o = {.kind = S_T2, .rank = 4, .config = rows[i].config, .only = "-"};
        char path[256];
        snprintf(path, sizeof path, "%s/adapter_config.json", ad_write_peft(&o));
        if (g4_peft_config_open(&c, path, &err) != AS_OK ||
            g4_peft_module(&c, as_str_of(rows[i].module), &rank, &scale, &err) != AS_OK)
            fail_msg("%s: %s", rows[i].config, err.text);
        if (rank != rows[i].rank || fabs(scale - rows[i].scale) > 1e-12)
            fail_msg("%s %s: rank %lld, strength %g", rows[i].config, rows[i].module,
                     (long long)rank, scale);
        g4_peft_config_release(&c);
    }
}

/* T2 has D = 32, 2·Fe = 16: no shape fits two conventions. The fixtures' model has D = 2·Fe, where
 * down_proj alone decides; with gate_up_proj alone PEFT's version has to. */
static void the_version_decides_where_shapes_do_not(void **state)
{
    (void)state;
    static const struct {
        const char *version;
        const char *want; /* NULL: opens */
        bool is_legacy;
    } rows[] = {
        {"", "two conventions", false},
        {"\"peft_version\":\"0.19.1\",", NULL, false},
        {"\"peft_version\":\"0.19.0\",", NULL, true},
        {"\"peft_version\":\"0.20.0.dev0@x\",", NULL, false},
        {"\"peft_version\":\"1\",", NULL, false},
        {"\"peft_version\":7,", "two conventions", false},
    };
    char base[512];
    snprintf(base, sizeof base, "%s/model.gguf", t_golden("moe"));
    g4_model *m = t_model(base);
    const int E = 16;
    const int wide = 64;
    as_buf file;
    as_buf_init(&file, 0);
    as_buf header;
    as_buf_init(&header, 0);
    const char *const names = "base_model.model.model.layers.0.experts.lora_";
    as_buf_printf(&header,
                  "{\"%sA.weight\":{\"dtype\":\"F32\",\"shape\":[16,64],\"data_offsets\":[0,4096]},"
                  "\"%sB.weight\":{\"dtype\":\"F32\",\"shape\":[64,16],\"data_offsets\":[4096,8192]"
                  "}}",
                  names, names);
    gw_number(&file, header.n, 8);
    gw_bytes(&file, header.p, header.n);
    for (int i = 0; i < 2 * E * wide; i++) {
        const float v = (float)i;
        gw_bytes(&file, &v, sizeof v);
    }
    assert_int_equal(as_make_dirs(ad_path("two"), NULL), AS_OK);
    assert_int_equal(
        as_write_file(ad_path("two/adapter_model.safetensors"), as_buf_str(&file), NULL), AS_OK);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char config[160];
        snprintf(config, sizeof config, "{%s\"peft_type\":\"LORA\",\"r\":1,\"lora_alpha\":1}",
                 rows[i].version);
        assert_int_equal(as_write_file(ad_path("two/adapter_config.json"), as_str_of(config), NULL),
                         AS_OK);
        if (rows[i].want != NULL) {
            check_refused(m, ad_path("two"), rows[i].want, rows[i].version);
            continue;
        }
        as_err err = {0};
        g4_adapter *a = NULL;
        if (g4_adapter_open(&a, m, ad_path("two"), &err) != AS_OK)
            fail_msg("%s: %s", rows[i].version, err.text);
        const g4_lora *l = g4_adapter_lora(a, 0, G4_SLOT_EXPERT_GATE);
        const float want = rows[i].is_legacy ? 1024 + 16 : 1; /* A'(0, 0, 1) */
        assert_true(fabsf(g4_lora_a(l, 0)[1] - want) < 0.5F);
        g4_adapter_close(a);
    }
    as_buf_release(&file);
    as_buf_release(&header);
    g4_model_close(m);
}

static void specs_are_cut(void **state)
{
    (void)state;
    static const struct {
        const char *spec, *path;
        double scale;
    } rows[] = {
        {"a.gguf", "a.gguf", 1},
        {"a.gguf:0.5", "a.gguf", 0.5},
        {"a:b", "a:b", 1},
        {"a:b:-1", "a:b", -1},
        {":2", ":2", 1},
        {"a:", "a:", 1},
        {"dir/a:1e-1", "dir/a", 0.1},
        {"a:inf", "a:inf", 1},
        {"", "", 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        as_str path = {0};
        double scale = 0;
        g4_adapter_spec(as_str_of(rows[i].spec), &path, &scale);
        if (!as_str_eq_z(path, rows[i].path) || fabs(scale - rows[i].scale) > 1e-12)
            fail_msg("%s: %.*s, %g", rows[i].spec, AS_ARG(path), scale);
    }
}

/* ---- damage ---------------------------------------------------------------------------------- */

static as_buf file_bytes(const char *path)
{
    as_buf b;
    as_buf_init(&b, 0);
    assert_int_equal(as_read_file(&b, path, NULL), AS_OK);
    return b;
}

/* Opens or refuses, then with words: they may quote a damaged name. */
static void try_open(const char *path)
{
    as_err err = {0};
    g4_adapter *a = NULL;
    if (g4_adapter_open(&a, model(S_T2), path, &err) != AS_OK)
        assert_true(err.text[0] != '\0');
    g4_adapter_close(a);
}

static void damage(const char *adapter, const char *file, as_rng *rng)
{
    const as_buf whole = file_bytes(file);
    for (int round = 0; round < 400; round++) {
        as_buf b = file_bytes(file);
        const size_t near = round % 2 == 0 && b.n > 3000 ? 3000 : b.n; /* mostly headers */
        const int n = 1 + (int)as_rng_below(rng, 4);
        for (int i = 0; i < n; i++)
            b.p[as_rng_below(rng, near)] = (char)(unsigned char)as_rng_below(rng, 256);
        const size_t kept = round % 5 == 0 ? as_rng_below(rng, b.n) : b.n;
        FILE *f = fopen(file, "wb");
        assert_non_null(f);
        assert_int_equal(fwrite(b.p, 1, kept, f), kept);
        assert_int_equal(fclose(f), 0);
        try_open(adapter);
        as_buf_release(&b);
        f = fopen(file, "wb");
        assert_non_null(f);
        assert_int_equal(fwrite(whole.p, 1, whole.n, f), whole.n);
        assert_int_equal(fclose(f), 0);
    }
    as_buf keep = whole;
    as_buf_release(&keep);
}

static void damaged_files_are_survived(void **state)
{
    (void)state;
    as_rng rng;
    as_rng_init(&rng, 3, AS_STR("damage"));
    char path[256];
    const ad_options o = {.kind = S_T2, .only = "blk.2"};
    const char *gguf = ad_write_gguf(&o);
    damage(gguf, gguf, &rng);
    const char *folder = ad_write_peft(&o);
    snprintf(path, sizeof path, "%s/adapter_model.safetensors", folder);
    damage(folder, path, &rng);
    snprintf(path, sizeof path, "%s/adapter_config.json", folder);
    damage(folder, path, &rng);
}

static void cut_files_are_refused(void **state)
{
    (void)state;
    const char *gguf = ad_write_gguf(&(ad_options){.kind = S_T2, .only = "blk.2"});
    as_buf whole = file_bytes(gguf);
    for (size_t n = 0; n < whole.n; n += 1 + whole.n / 97) {
        assert_int_equal(as_write_file(gguf, as_str_sub(as_buf_str(&whole), 0, n), NULL), AS_OK);
        check_refused(model(S_T2), gguf, "gguf", "cut short");
    }
    as_buf_release(&whole);
}

/* Tensors that share bytes would let a small file ask for much memory. */
static void overlapping_tensors_are_refused(void **state)
{
    (void)state;
    const char *gguf = ad_write_gguf(&(ad_options){.kind = S_T2, .rank = 64, .only = "attn_q"});
    as_buf b = file_bytes(gguf);
    /* each record ends in its offset: set all of them to 0, and leave only the first third */
    const as_str name = AS_STR(".weight.lora_");
    size_t n = 0;
    for (size_t at = 0; at + 64 < b.n; at++) {
        if (memcmp(b.p + at, name.p, name.n) != 0)
            continue;
        memset(b.p + at + name.n + 1 + 4 + 16 + 4, 0, 8);
        n++;
    }
    assert_int_equal(n, 12);
    b.n /= 3;
    assert_int_equal(as_write_file(gguf, as_buf_str(&b), NULL), AS_OK);
    as_buf_release(&b);
    check_refused(model(S_T2), gguf, "overlap", "tensors that share bytes");
}

static void memory_may_run_out_anywhere(void **state)
{
    (void)state;
    const ad_options o = {.kind = S_T2, .only = "blk.2"};
    const char *const paths[] = {ad_write_gguf(&o), ad_write_peft(&o)};
    (void)model(S_T2);
    for (int i = 0; i < 2; i++) {
        as_code code = AS_NOMEM;
        for (size_t n = 1; code != AS_OK; n++) {
            as_err err = {0};
            g4_adapter *a = NULL;
            assert_true(n < 1000);
            as_arena_fail_after(n);
            code = g4_adapter_open(&a, model(S_T2), paths[i], &err);
            as_arena_fail_after(0);
            if (code != AS_OK)
                assert_true(a == NULL && is_one_sentence(err.text));
            g4_adapter_close(a);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gguf_refusals),
        cmocka_unit_test(names_that_are_refused),
        cmocka_unit_test(peft_refusals),
        cmocka_unit_test(towers_are_ignored),
        cmocka_unit_test(ranks_and_strengths_follow_the_patterns),
        cmocka_unit_test(the_version_decides_where_shapes_do_not),
        cmocka_unit_test(specs_are_cut),
        cmocka_unit_test(damaged_files_are_survived),
        cmocka_unit_test(cut_files_are_refused),
        cmocka_unit_test(overlapping_tensors_are_refused),
        cmocka_unit_test(memory_may_run_out_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, done);
}
