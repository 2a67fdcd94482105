/* Adapters of the embedding table: x = (W[token] + s · B·A[:, token]) · sqrt(D), in GGUF with A
 * transposed, in PEFT's two conventions about sqrt(D); the tied head keeps the table's rows. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/kernels/quant.h"
#include "engine/session_impl.h"
#include "engine_support.h"
#include "gguf_writer.h"
#include "hf_support.h"

enum { V = 300, D = 32, RANK = 2, N = 5 };

static const int32_t ids[N] = {2, 10, 299, 10, 57};

static float a_of(int k, int token)
{
    return 0.01F * (float)((7 * token + 13 * k) % 31 - 15);
}

static float b_of(int o, int k)
{
    return 0.05F * (float)((11 * o + 5 * k) % 17 - 8);
}

static const char *write_gguf(const char *base, int rows)
{
    static float a[V * RANK];
    static float b[D * RANK];
    for (int t = 0; t < rows; t++)
        for (int k = 0; k < RANK; k++)
            a[t * RANK + k] = a_of(k, t);
    for (int o = 0; o < D; o++)
        for (int k = 0; k < RANK; k++)
            b[o * RANK + k] = b_of(o, k);
    gw w;
    gw_init(&w);
    gw_str(&w, "general.type", "adapter");
    gw_str(&w, "general.architecture", "gemma4");
    gw_str(&w, "adapter.type", "lora");
    gw_f32(&w, "adapter.lora.alpha", 3);
    char name[80];
    snprintf(name, sizeof name, "%s.lora_a", base);
    gw_tensor(&w, name, 0, (const int64_t[]){RANK, rows}, 2, a,
              sizeof(float) * RANK * (size_t)rows);
    snprintf(name, sizeof name, "%s.lora_b", base);
    gw_tensor(&w, name, 0, (const int64_t[]){RANK, D}, 2, b, sizeof b);
    const char *path = t_hf_path("embedding.gguf");
    gw_write(&w, path);
    gw_release(&w);
    return path;
}

/* members stand in front of the usual ones in adapter_config.json; tail: "" or ".default". */
static const char *write_peft(const char *members, const char *tail)
{
    const char *folder = t_hf_path("peft");
    (void)mkdir(folder, 0700);
    as_buf b;
    as_buf_init(&b, 0);
    as_buf_printf(&b, "{%s\"peft_type\":\"LORA\",\"r\":%d,\"lora_alpha\":3}", members, RANK);
    t_hf_write(folder, "adapter_config.json", as_buf_str(&b));
    b.n = 0;
    const char *module = "base_model.model.model.embed_tokens.lora_embedding_";
    char header[1024];
    const int n =
        snprintf(header, sizeof header,
                 "{\"%sA%s\":{\"dtype\":\"F32\",\"shape\":[%d,%d],\"data_offsets\":[0,%d]},"
                 "\"%sB%s\":{\"dtype\":\"F32\",\"shape\":[%d,%d],\"data_offsets\":[%d,%d]}}",
                 module, tail, RANK, V, 4 * RANK * V, module, tail, D, RANK, 4 * RANK * V,
                 4 * RANK * (V + D));
    gw_number(&b, (uint64_t)n, 8);
    gw_bytes(&b, header, (size_t)n);
    for (int k = 0; k < RANK; k++)
        for (int t = 0; t < V; t++)
            gw_bytes(&b, &(float){a_of(k, t)}, 4);
    for (int o = 0; o < D; o++)
        for (int k = 0; k < RANK; k++)
            gw_bytes(&b, &(float){b_of(o, k)}, 4);
    t_hf_write(folder, "adapter_model.safetensors", as_buf_str(&b));
    as_buf_release(&b);
    return folder;
}

typedef struct outcome {
    float x[N][D];   /* scaled embedding */
    float last[D];   /* of the last row, the final norm's output */
    float logits[V]; /* of the last row */
} outcome;

static outcome run(const g4_model *m, const g4_adapter *a, double scale)
{
    g4_session *s =
        t_session(m, (g4_session_options){.n_ctx = 16, .keep_hidden = true, .precision = G4_F32});
    const int seq = t_seq(s);
    as_err err = {0};
    if (g4_seq_set_adapter(s, seq, a, scale, &err) != AS_OK)
        fail_msg("%s", err.text);
    g4_row rows[N];
    for (int i = 0; i < N; i++)
        rows[i] = (g4_row){.seq = seq, .token = ids[i], .pos = i, .want_logits = i == N - 1};
    const g4_result r = t_decode(s, rows, N);
    outcome out;
    const int layers = g4_model_info(m)->n_layers;
    memcpy(out.x, r.hidden, sizeof out.x);
    memcpy(out.last, r.hidden + ((size_t)layers * N + N - 1) * D, sizeof out.last);
    memcpy(out.logits, r.logits, sizeof out.logits);
    g4_session_close(s);
    return out;
}

static g4_adapter *opened(const g4_model *m, const char *path)
{
    g4_adapter *a = NULL;
    as_err err = {0};
    if (g4_adapter_open(&a, m, path, &err) != AS_OK)
        fail_msg("%s", err.text);
    return a;
}

static double change_of(int token, int o)
{
    double sum = 0;
    for (int k = 0; k < RANK; k++)
        sum += (double)b_of(o, k) * (double)a_of(k, token);
    return sum;
}

static void expect_change(const outcome *base, const outcome *got, double factor)
{
    for (int i = 0; i < N; i++)
        for (int o = 0; o < D; o++) {
            const double want = (double)base->x[i][o] + factor * change_of(ids[i], o);
            if (!(fabs((double)got->x[i][o] - want) < 2e-6))
                fail_msg("row %d, element %d: %g, want %g", i, o, (double)got->x[i][o], want);
        }
}

static void rows_of_the_table_change(void **state)
{
    (void)state;
    g4_model *m = t_model(t_fixture("engine/folder"));
    const outcome base = run(m, NULL, 1);
    g4_adapter *a = opened(m, write_gguf("token_embd.weight", V));
    assert_int_equal(g4_adapter_info_of(a)->n_params, RANK * (V + D));
    const outcome half = run(m, a, 0.5);
    expect_change(&base, &half, 0.5 * 3 / RANK * sqrt((double)D));
    assert_memory_not_equal(base.logits, half.logits, sizeof base.logits);
    const outcome none = run(m, a, 0);
    assert_memory_equal(base.logits, none.logits, sizeof base.logits);
    g4_adapter_close(a);

    /* PEFT from 0.18 on: the same bits. Before: sqrt(D) times less. */
    a = opened(m, write_peft("\"peft_version\":\"0.18.0\",", ""));
    const outcome newer = run(m, a, 0.5);
    assert_memory_equal(half.logits, newer.logits, sizeof half.logits);
    g4_adapter_close(a);
    a = opened(m, write_peft("\"peft_version\":\"0.17.1\",", ".default"));
    const outcome older = run(m, a, 1);
    expect_change(&base, &older, 3.0 / RANK);
    g4_adapter_close(a);
    g4_model_close(m);
}

/* The head multiplies with the rows of the table as the file has them. */
static void the_tied_head_stays(void **state)
{
    (void)state;
    g4_model *m = t_model(t_fixture("engine/folder"));
    g4_adapter *a = opened(m, write_gguf("token_embd.weight", V));
    const outcome got = run(m, a, 1);
    const g4_matrix *table = &m->weights.embedding;
    for (int v = 0; v < V; v++) {
        float row[D];
        double sum = 0;
        k_dequant_ref(row, table->type, table->data + (size_t)v * table->row_bytes, D);
        for (int i = 0; i < D; i++)
            sum += (double)row[i] * (double)got.last[i];
        const double want = 30 * tanh(sum / 30);
        if (!(fabs((double)got.logits[v] - want) < 1e-4))
            fail_msg("logit %d is %g, want %g", v, (double)got.logits[v], want);
    }
    g4_adapter_close(a);
    g4_model_close(m);
}

static void refusals(void **state)
{
    (void)state;
    g4_model *m = t_model(t_fixture("engine/folder"));
    g4_adapter *a = NULL;
    as_err err = {0};
    assert_int_equal(g4_adapter_open(&a, m, write_gguf("token_embd.weight", V - 1), &err),
                     AS_RANGE);
    assert_non_null(strstr(err.text,
                           "token_embd.weight.lora_a has shape {2, 299, 1, 1}, this model "
                           "wants {2, 300, 1, 1}"));
    assert_int_equal(g4_adapter_open(&a, m, write_peft("", ""), &err), AS_RANGE);
    assert_non_null(strstr(err.text, "does not state \"peft_version\""));
    g4_model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_of_the_table_change),
        cmocka_unit_test(the_tied_head_stays),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, t_hf_done);
}
