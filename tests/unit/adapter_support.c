#include "adapter_support.h"

#include <math.h>
#include <unistd.h>

#include "engine/kernels/quant.h"

enum { D = 32, L = 6, H = 4, P = 4, E = 8, FE = 8 };

/* One adapted tensor: A [mats, rank, in], B [mats, out, rank]. */
typedef struct pair {
    char gguf[96]; /* "blk.0.attn_q.weight" */
    char hf[96];   /* "model.layers.0.self_attn.q_proj" */
    int in, out, mats;
    float *a, *b;
} pair;

typedef struct maker {
    const ad_options *o;
    int rank;
    bool is_gguf;
    gw gguf;
    as_buf header, data; /* of safetensors */
} maker;

static bool is_named(const char *a, const char *b)
{
    return a != NULL && strcmp(a, b) == 0;
}

const char *ad_path(const char *name)
{
    static char paths[256][160];
    static int n;
    assert_true(n < 256);
    snprintf(paths[n], sizeof paths[n], "/tmp/as_adapter_%d", (int)getpid());
    assert_int_equal(as_make_dirs(paths[n], NULL), AS_OK);
    snprintf(paths[n], sizeof paths[n], "/tmp/as_adapter_%d/%s", (int)getpid(), name);
    return paths[n++];
}

int ad_done(void **state)
{
    (void)state;
    char command[96];
    snprintf(command, sizeof command, "rm -rf /tmp/as_adapter_%d", (int)getpid());
    return system(command) == 0 ? 0 : -1;
}

/* ---- tensors --------------------------------------------------------------------------------- */

static uint32_t type_of(const maker *m)
{
    return is_named(m->o->type, "F16") ? K_F16 : is_named(m->o->type, "BF16") ? K_BF16 : K_F32;
}

static uint16_t to_bf16(float v)
{
    uint32_t bits = 0;
    memcpy(&bits, &v, sizeof bits);
    return (uint16_t)(bits >> 16);
}

/* n values in the file's type; returns the bytes. */
static size_t encode(const maker *m, void *out, const float *v, size_t n)
{
    const uint32_t type = type_of(m);
    for (size_t i = 0; i < n; i++) {
        const uint16_t half = type == K_F16 ? k_f32_to_f16(v[i]) : to_bf16(v[i]);
        if (type == K_F32)
            memcpy((float *)out + i, &v[i], sizeof v[i]);
        else
            memcpy((uint16_t *)out + i, &half, sizeof half);
    }
    return n * (type == K_F32 ? 4 : 2);
}

/* rows × cols, of mats matrices; name as the file has it. */
static void put(maker *m, const char *name, const float *v, int cols, int rows, int mats)
{
    if (is_named(m->o->skip, name))
        return;
    const int kept = is_named(m->o->bad_shape, name) ? rows - 1 : rows;
    const size_t n = (size_t)cols * (size_t)kept * (size_t)mats;
    void *bytes = malloc(n * 4 + 4);
    assert_non_null(bytes);
    const size_t n_bytes = encode(m, bytes, v, n);
    if (m->is_gguf) {
        const int64_t ne[3] = {cols, kept, mats};
        gw_tensor(&m->gguf, name, type_of(m), ne, mats > 1 ? 3 : 2, bytes, n_bytes);
    } else {
        assert_int_equal(mats, 1);
        const char *type = m->o->type != NULL ? m->o->type : "F32";
        as_buf_printf(
            &m->header, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[%d,%d],\"data_offsets\":[%zu,%zu]}",
            m->header.n > 1 ? "," : "", name, type, kept, cols, m->data.n, m->data.n + n_bytes);
        gw_bytes(&m->data, bytes, n_bytes);
    }
    free(bytes);
}

static float *permuted(const float *v, int n0, int n1, int n2, int to0, int to1, int to2)
{
    float *out = malloc((size_t)(n0 * n1 * n2) * sizeof *out);
    assert_non_null(out);
    for (int i = 0; i < n0; i++)
        for (int j = 0; j < n1; j++)
            for (int k = 0; k < n2; k++)
                out[i * to0 + j * to1 + k * to2] = v[(i * n1 + j) * n2 + k];
    return out;
}

/* Experts as PEFT keeps them: [E·r, x] with rows e·r + k, and [y, E·r] with columns k·E + e. */
static void put_wrapped(maker *m, const pair *p, const char *a, const char *b)
{
    const int r = m->rank;
    const int wide = E * r;
    if (!m->o->is_legacy) {
        float *minor = permuted(p->b, E, p->out, r, 1, wide, E);
        put(m, a, p->a, p->in, wide, 1);
        put(m, b, minor, wide, p->out, 1);
        free(minor);
        return;
    }
    float *rows = permuted(p->b, E, p->out, r, r * p->out, 1, p->out); /* [e·r + k][o] */
    float *columns = permuted(p->a, E, r, p->in, 1, E, wide);          /* [i][k·E + e] */
    put(m, a, rows, p->out, wide, 1);
    put(m, b, columns, wide, p->in, 1);
    free(rows);
    free(columns);
}

static void put_peft(maker *m, const pair *p)
{
    const char *tail = m->o->has_adapter_name ? ".default" : "";
    char module[128];
    snprintf(module, sizeof module, "%s", p->hf);
    if (p->mats > 1) { /* …experts.gate_up_proj: the inner wrapper */
        *strrchr(module, '.') = '\0';
        if (strstr(p->hf, "gate_up") != NULL)
            strcat(module, ".base_layer");
    }
    char a[200];
    char b[200];
    snprintf(a, sizeof a, "base_model.model.%s.lora_A%s.weight", module, tail);
    snprintf(b, sizeof b, "base_model.model.%s.lora_B%s.weight", module, tail);
    if (p->mats > 1) {
        put_wrapped(m, p, a, b);
        return;
    }
    put(m, a, p->a, p->in, m->rank, 1);
    put(m, b, p->b, m->rank, p->out, 1);
}

static void put_gguf(maker *m, const pair *p)
{
    char a[128];
    char b[128];
    if (m->o->has_split_experts && strstr(p->gguf, "gate_up") != NULL) {
        const int half = p->out / 2;
        float *part = malloc((size_t)(E * half * m->rank) * sizeof *part);
        assert_non_null(part);
        for (int h = 0; h < 2; h++) {
            for (int e = 0; e < E; e++)
                memcpy(part + e * half * m->rank, p->b + (2 * e + h) * half * m->rank,
                       (size_t)(half * m->rank) * sizeof *part);
            const int layer = p->gguf[4] - '0';
            const char *name = h == 0 ? "gate" : "up";
            snprintf(a, sizeof a, "blk.%d.ffn_%s_exps.weight.lora_a", layer, name);
            snprintf(b, sizeof b, "blk.%d.ffn_%s_exps.weight.lora_b", layer, name);
            put(m, a, p->a, p->in, m->rank, E);
            put(m, b, part, m->rank, half, E);
        }
        free(part);
        return;
    }
    snprintf(a, sizeof a, "%s.lora_a", p->gguf);
    snprintf(b, sizeof b, "%s.lora_b", p->gguf);
    put(m, a, p->a, p->in, m->rank, p->mats);
    put(m, b, p->b, m->rank, p->out, p->mats);
}

/* ---- the adapter of a model ------------------------------------------------------------------ */

static float *factor(const maker *m, const pair *p, char which, size_t n)
{
    char name[160];
    snprintf(name, sizeof name, "%s%s.%c", m->o->seed != NULL ? m->o->seed : "lora.", p->hf, which);
    float *v = s_values(name, n, 0.1, 0);
    for (size_t i = 0; i < n && m->o->is_rounded; i++) {
        uint32_t bits = (uint32_t)to_bf16(v[i]) << 16;
        memcpy(&v[i], &bits, sizeof bits);
    }
    return v;
}

static void adapt(maker *m, int layer, const char *gguf, const char *hf, int in, int out, int mats)
{
    pair p = {.in = in, .out = out, .mats = mats};
    if (layer < 0) {
        snprintf(p.gguf, sizeof p.gguf, "%s", gguf);
        snprintf(p.hf, sizeof p.hf, "%s", hf);
    } else {
        snprintf(p.gguf, sizeof p.gguf, "blk.%d.%s", layer, gguf);
        snprintf(p.hf, sizeof p.hf, "model.layers.%d.%s", layer, hf);
    }
    if (m->o->only != NULL && strstr(p.gguf, m->o->only) == NULL)
        return;
    p.a = factor(m, &p, 'A', (size_t)(mats * m->rank * in));
    p.b = factor(m, &p, 'B', (size_t)(mats * m->rank * out));
    if (!isfinite(m->o->poison))
        p.a[0] = m->o->poison;
    if (m->is_gguf)
        put_gguf(m, &p);
    else
        put_peft(m, &p);
    free(p.a);
    free(p.b);
}

static void adapt_layer(maker *m, int i)
{
    const s_kind kind = m->o->kind;
    const bool full = i % 3 == 2;
    const bool is_shared = (kind == S_T2 || kind == S_T3) && full; /* V = K */
    const int dh = full && kind != S_T4 ? 16 : 8;
    const int kv = (is_shared ? 1 : 2) * dh;
    const int ff = kind == S_T2 ? 24 : kind == S_T1 && i >= 3 ? 96 : 48;
    adapt(m, i, "attn_q.weight", "self_attn.q_proj", D, H * dh, 1);
    adapt(m, i, "attn_k.weight", "self_attn.k_proj", D, kv, 1); /* T1, layers 3 to 5: dead */
    if (!is_shared)
        adapt(m, i, "attn_v.weight", "self_attn.v_proj", D, kv, 1);
    adapt(m, i, "attn_output.weight", "self_attn.o_proj", H * dh, D, 1);
    adapt(m, i, "ffn_gate.weight", "mlp.gate_proj", D, ff, 1);
    adapt(m, i, "ffn_up.weight", "mlp.up_proj", D, ff, 1);
    adapt(m, i, "ffn_down.weight", "mlp.down_proj", ff, D, 1);
    if (kind == S_T2) {
        adapt(m, i, "ffn_gate_up_exps.weight", "experts.gate_up_proj", D, 2 * FE, E);
        adapt(m, i, "ffn_down_exps.weight", "experts.down_proj", FE, D, E);
    }
    if (kind == S_T1) {
        adapt(m, i, "inp_gate.weight", "per_layer_input_gate", D, P, 1);
        adapt(m, i, "proj.weight", "per_layer_projection", P, D, 1);
    }
}

static void adapt_model(maker *m)
{
    static const float two[4] = {0.5F, 0.25F, -0.5F, 1};
    if (m->o->only != NULL && strcmp(m->o->only, "output.weight") == 0)
        adapt(m, -1, "output.weight", "lm_head", D, S_VOCAB, 1);
    else
        for (int i = 0; i < L; i++)
            adapt_layer(m, i);
    if (m->o->kind == S_T1)
        adapt(m, -1, "per_layer_model_proj.weight", "model.per_layer_model_projection", D, L * P,
              1);
    if (m->o->extra != NULL)
        put(m, m->o->extra, two, 2, 2, 1);
}

static maker begin(const ad_options *o, bool is_gguf)
{
    maker m = {.o = o, .rank = o->rank != 0 ? o->rank : 2, .is_gguf = is_gguf};
    gw_init(&m.gguf);
    as_buf_init(&m.header, 0);
    as_buf_init(&m.data, 0);
    return m;
}

static void end(maker *m)
{
    gw_release(&m->gguf);
    as_buf_release(&m->header);
    as_buf_release(&m->data);
}

static const char *fresh(const char *what)
{
    static int n;
    char name[32];
    snprintf(name, sizeof name, "%s%d", what, n++);
    return ad_path(name);
}

static void text(maker *m, const char *key, const char *value)
{
    if (!is_named(m->o->no_key, key))
        gw_str(&m->gguf, key, value);
}

const char *ad_write_gguf(const ad_options *o)
{
    maker m = begin(o, true);
    const char *arch = o->kind == S_T4 ? "gemma3" : "gemma4";
    text(&m, "general.type", "adapter");
    text(&m, "general.architecture", o->arch != NULL ? o->arch : arch);
    text(&m, "adapter.type", "lora");
    if (!is_named(o->no_key, "adapter.lora.alpha"))
        gw_f32(&m.gguf, "adapter.lora.alpha", 2.0F * (float)m.rank);
    if (o->key != NULL)
        gw_str(&m.gguf, o->key, "x");
    adapt_model(&m);
    const char *path = fresh("gguf");
    gw_write(&m.gguf, path);
    end(&m);
    return path;
}

const char *ad_write_peft(const ad_options *o)
{
    maker m = begin(o, false);
    const char *folder = fresh("peft");
    char path[200];
    assert_int_equal(as_make_dirs(folder, NULL), AS_OK);
    (void)as_buf_add_byte(&m.header, '{');
    adapt_model(&m);
    (void)as_buf_add_byte(&m.header, '}');
    as_buf all;
    as_buf_init(&all, 0);
    gw_number(&all, m.header.n, 8);
    gw_bytes(&all, m.header.p, m.header.n);
    gw_bytes(&all, m.data.p != NULL ? m.data.p : "", m.data.n);
    snprintf(path, sizeof path, "%s/adapter_model.safetensors", folder);
    assert_int_equal(as_write_file(path, as_buf_str(&all), NULL), AS_OK);
    as_buf_reset(&all);
    as_buf_printf(&all, "{%s\"peft_type\":\"LORA\",\"r\":%d,\"lora_alpha\":%d,\"bias\":\"none\"}",
                  o->config != NULL ? o->config : "", m.rank, 2 * m.rank);
    snprintf(path, sizeof path, "%s/adapter_config.json", folder);
    assert_int_equal(as_write_file(path, as_buf_str(&all), NULL), AS_OK);
    as_buf_release(&all);
    end(&m);
    return folder;
}
