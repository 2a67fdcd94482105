#include "hf_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/io.h"
#include "base/proc.h"
#include "engine/kernels/quant.h"

enum { PIECES = 300, MAX_TENSORS = 96 };

static char root[64];

static const char *join(const char *a, const char *b)
{
    static char paths[64][256];
    static int n;
    char *p = paths[n++ % 64];
    snprintf(p, 256, "%s/%s", a, b);
    return p;
}

const char *t_hf_path(const char *name)
{
    if (root[0] == '\0') {
        snprintf(root, sizeof root, "/tmp/assay-hf-XXXXXX");
        assert_non_null(mkdtemp(root));
    }
    return join(root, name);
}

void t_hf_write(const char *folder, const char *name, as_str bytes)
{
    as_err err = {0};
    if (as_write_file(join(folder, name), bytes, &err) != AS_OK)
        fail_msg("%s", err.text);
}

int t_hf_done(void **state)
{
    (void)state;
    if (root[0] == '\0')
        return 0;
    const char *const argv[] = {"rm", "-rf", root, NULL};
    as_proc_result result;
    const as_code c = as_proc_run(argv, NULL, 10000, NULL, NULL, &result, NULL);
    root[0] = '\0';
    return c == AS_OK ? 0 : -1;
}

/* ---- weights --------------------------------------------------------------------------------- */

typedef struct tensor {
    char name[96];
    int n_dims;
    int shape[3];
} tensor;

typedef struct tensors {
    tensor at[MAX_TENSORS];
    int n;
} tensors;

static void add(tensors *t, const char *name, int n_dims, int a, int b)
{
    assert_true(t->n < MAX_TENSORS);
    tensor *x = &t->at[t->n++];
    snprintf(x->name, sizeof x->name, "%s", name);
    x->n_dims = n_dims;
    x->shape[0] = a;
    x->shape[1] = b;
}

static void add_layer(tensors *t, int i, const char *tail, int n_dims, int a, int b)
{
    char name[96];
    snprintf(name, sizeof name, "model.layers.%d.%s", i, tail);
    add(t, name, n_dims, a, b);
}

static void list_tensors(tensors *t, bool is_gemma4)
{
    static const char *const norms[] = {"input_layernorm.weight", "post_attention_layernorm.weight",
                                        "pre_feedforward_layernorm.weight",
                                        "post_feedforward_layernorm.weight"};
    const int n_layers = is_gemma4 ? 3 : 2;
    add(t, "model.embed_tokens.weight", 2, PIECES, 32);
    add(t, "model.norm.weight", 1, 32, 0);
    for (int i = 0; i < n_layers; i++) {
        for (size_t k = 0; k < 4; k++)
            add_layer(t, i, norms[k], 1, 32, 0);
        add_layer(t, i, "self_attn.q_proj.weight", 2, 64, 32);
        add_layer(t, i, "self_attn.k_proj.weight", 2, 32, 32);
        add_layer(t, i, "self_attn.v_proj.weight", 2, 32, 32);
        add_layer(t, i, "self_attn.o_proj.weight", 2, 32, 64);
        add_layer(t, i, "self_attn.q_norm.weight", 1, 32, 0);
        add_layer(t, i, "self_attn.k_norm.weight", 1, 32, 0);
        add_layer(t, i, "mlp.gate_proj.weight", 2, 64, 32);
        add_layer(t, i, "mlp.up_proj.weight", 2, 64, 32);
        add_layer(t, i, "mlp.down_proj.weight", 2, 32, 64);
        if (!is_gemma4)
            continue;
        add_layer(t, i, "layer_scalar", 1, 1, 0);
        add_layer(t, i, "per_layer_input_gate.weight", 2, 32, 32);
        add_layer(t, i, "per_layer_projection.weight", 2, 32, 32);
        add_layer(t, i, "post_per_layer_input_norm.weight", 1, 32, 0);
    }
    if (!is_gemma4)
        return;
    add(t, "model.embed_tokens_per_layer.weight", 2, PIECES, 96);
    add(t, "model.per_layer_model_projection.weight", 2, 96, 32);
    add(t, "model.per_layer_projection_norm.weight", 1, 32, 0);
    add(t, "model.vision_tower.patch.weight", 2, 2, 2);
}

static void put_value(as_buf *data, const char *dtype, float v)
{
    uint32_t bits = 0;
    memcpy(&bits, &v, sizeof bits);
    size_t n = 4;
    if (strcmp(dtype, "F32") != 0) {
        bits = strcmp(dtype, "F16") == 0 ? k_f32_to_f16(v) : bits >> 16;
        n = 2;
    }
    char z[4];
    for (size_t i = 0; i < n; i++)
        z[i] = (char)(bits >> 8 * i & 0xFF);
    assert_int_equal(as_buf_add(data, (as_str){z, n}), AS_OK);
}

/* Tensors from..to of the list as one file. */
static void write_weights(const char *folder, const char *file, const tensors *t, int from, int to,
                          const char *dtype)
{
    as_buf header;
    as_buf data;
    as_buf_init(&header, 0);
    as_buf_init(&data, 0);
    as_buf_add_z(&header, "{\"__metadata__\":{\"format\":\"pt\"}");
    for (int i = from; i < to; i++) {
        const tensor *x = &t->at[i];
        const size_t begin = data.n;
        const size_t n = (size_t)x->shape[0] * (size_t)(x->n_dims > 1 ? x->shape[1] : 1);
        uint64_t s = as_fnv1a(as_str_of(x->name));
        const bool is_norm = x->n_dims == 1;
        for (size_t k = 0; k < n; k++) {
            s = s * 6364136223846793005u + 1442695040888963407u;
            const float u = (float)((int64_t)(s >> 40) - (1 << 23)) / (float)(1 << 23);
            put_value(&data, dtype, is_norm ? 1.0F + 0.25F * u : 0.25F * u);
        }
        as_buf_printf(&header, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[%d", x->name, dtype,
                      x->shape[0]);
        if (x->n_dims > 1)
            as_buf_printf(&header, ",%d", x->shape[1]);
        as_buf_printf(&header, "],\"data_offsets\":[%zu,%zu]}", begin, data.n);
    }
    as_buf_add_z(&header, "}");
    as_buf whole;
    as_buf_init(&whole, 0);
    char z[8] = {0};
    for (int i = 0; i < 8; i++)
        z[i] = (char)(header.n >> 8 * i & 0xFF);
    as_buf_add(&whole, (as_str){z, 8});
    as_buf_add(&whole, as_buf_str(&header));
    as_buf_add(&whole, as_buf_str(&data));
    t_hf_write(folder, file, as_buf_str(&whole));
    as_buf_release(&header);
    as_buf_release(&data);
    as_buf_release(&whole);
}

static void write_index(const char *folder, const tensors *t, int cut)
{
    as_buf b;
    as_buf_init(&b, 0);
    as_buf_add_z(&b, "{\"metadata\":{\"total_size\":1},\"weight_map\":{");
    for (int i = 0; i < t->n; i++)
        as_buf_printf(&b, "%s\"%s\":\"model-0000%d-of-00002.safetensors\"", i == 0 ? "" : ",",
                      t->at[i].name, i < cut ? 1 : 2);
    as_buf_add_z(&b, "}}");
    t_hf_write(folder, "model.safetensors.index.json", as_buf_str(&b));
    as_buf_release(&b);
}

/* ---- texts ----------------------------------------------------------------------------------- */

const char *t_hf_config(bool is_gemma4)
{
    return is_gemma4
               ? "{\"model_type\":\"gemma4_text\",\"num_hidden_layers\":3,\"hidden_size\":32,"
                 "\"num_attention_heads\":2,\"num_key_value_heads\":1,\"head_dim\":32,"
                 "\"global_head_dim\":32,\"intermediate_size\":64,\"sliding_window\":8,"
                 "\"max_position_embeddings\":1024,\"vocab_size\":300,\"rms_norm_eps\":1e-6,"
                 "\"final_logit_softcapping\":30.0,\"hidden_size_per_layer_input\":32,"
                 "\"num_kv_shared_layers\":1,\"bos_token_id\":2,\"eos_token_id\":[1,4],"
                 "\"layer_types\":[\"sliding_attention\",\"full_attention\",\"full_attention\"],"
                 "\"rope_parameters\":{\"full_attention\":{\"rope_type\":\"proportional\","
                 "\"rope_theta\":1000000.0,\"partial_rotary_factor\":0.25},"
                 "\"sliding_attention\":{\"rope_type\":\"default\",\"rope_theta\":10000.0}}}"
               : "{\"model_type\":\"gemma3_text\",\"num_hidden_layers\":2,\"hidden_size\":32,"
                 "\"num_attention_heads\":2,\"num_key_value_heads\":1,\"head_dim\":32,"
                 "\"query_pre_attn_scalar\":32,\"intermediate_size\":64,\"sliding_window\":8,"
                 "\"max_position_embeddings\":1024,\"vocab_size\":300,\"bos_token_id\":2,"
                 "\"eos_token_id\":1,\"pad_token_id\":0,"
                 "\"layer_types\":[\"sliding_attention\",\"full_attention\"],"
                 "\"rope_theta\":1000000.0,\"rope_local_base_freq\":10000.0,"
                 "\"rope_scaling\":{\"factor\":8.0,\"rope_type\":\"linear\"}}";
}

/* 5 markup pieces, 256 bytes, letters, "▁", and a few merges: 290 pieces, 10 rows to spare. */
static void write_tokenizer(const char *folder)
{
    static const char *const markup[] = {"<pad>", "<eos>", "<bos>", "<unk>", "<turn|>"};
    static const char *const merged[] = {"th", "the", "\\u2581th", "\\u2581the", "ab", "\\n\\n"};
    as_buf b;
    as_buf_init(&b, 0);
    as_buf_add_z(&b, "{\"version\":\"1.0\",\"added_tokens\":[");
    for (int i = 0; i < 5; i++)
        as_buf_printf(&b, "%s{\"id\":%d,\"content\":\"%s\",\"special\":true}", i == 0 ? "" : ",", i,
                      markup[i]);
    as_buf_add_z(&b, "],\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},"
                     "\"content\":\"\\u2581\"},\"model\":{\"type\":\"BPE\",\"unk_token\":\"<unk>\","
                     "\"byte_fallback\":true,\"vocab\":{");
    int id = 0;
    for (; id < 5; id++)
        as_buf_printf(&b, "\"%s\":%d,", markup[id], id);
    for (int i = 0; i < 256; i++)
        as_buf_printf(&b, "\"<0x%02X>\":%d,", (unsigned)i, id++);
    for (int c = 'a'; c <= 'u'; c++)
        as_buf_printf(&b, "\"%c\":%d,", c, id++);
    as_buf_printf(&b, "\"\\u2581\":%d,\"\\n\":%d", id, id + 1);
    id += 2;
    for (int i = 0; i < 6; i++)
        as_buf_printf(&b, ",\"%s\":%d", merged[i], id++);
    assert_int_equal(id, 290);
    as_buf_add_z(&b, "},\"merges\":[[\"\\n\",\"\\n\"],[\"t\",\"h\"],[\"th\",\"e\"],"
                     "[\"\\u2581\",\"th\"],[\"\\u2581th\",\"e\"],[\"\\u2581\",\"the\"],"
                     "[\"a\",\"b\"]]}}");
    t_hf_write(folder, "tokenizer.json", as_buf_str(&b));
    as_buf_release(&b);
}

const char *t_hf_make(const t_hf *o)
{
    static int n_made;
    char name[32];
    snprintf(name, sizeof name, "model%d", n_made++);
    const char *folder = t_hf_path(name);
    assert_int_equal(mkdir(folder, 0755), 0);
    tensors all = {.n = 0};
    tensors t = {.n = 0};
    list_tensors(&all, o->is_gemma4);
    for (int i = 0; i < all.n; i++)
        if (o->without == NULL || strcmp(all.at[i].name, o->without) != 0)
            t.at[t.n++] = all.at[i];
    if (o->extra != NULL)
        add(&t, o->extra, 2, 2, 2);
    const char *dtype = o->dtype != NULL ? o->dtype : "F32";
    if (o->is_sharded) {
        const int cut = t.n / 2;
        write_weights(folder, "model-00001-of-00002.safetensors", &t, 0, cut, dtype);
        write_weights(folder, "model-00002-of-00002.safetensors", &t, cut, t.n, dtype);
        write_index(folder, &t, cut);
    } else {
        write_weights(folder, "model.safetensors", &t, 0, t.n, dtype);
    }
    write_tokenizer(folder);
    const char *config = o->config != NULL ? o->config : t_hf_config(o->is_gemma4);
    t_hf_write(folder, "config.json", as_str_of(config));
    if (o->generation != NULL)
        t_hf_write(folder, "generation_config.json", as_str_of(o->generation));
    return folder;
}
