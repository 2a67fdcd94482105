/* Saved sequences with an adapter at work: restored they go on with the same bits, and with another
 * adapter, another strength or none they are refused. Adapters of PEFT's, and synthetic ones. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "adapter_support.h"
#include "base/io.h"
#include "engine_support.h"

enum { MAX_IDS = 96, MAX_VOCAB = 512 };

static g4_adapter *opened(const g4_model *m, const char *path)
{
    as_err err = {0};
    g4_adapter *a = NULL;
    if (g4_adapter_open(&a, m, path, &err) != AS_OK)
        fail_msg("%s", err.text);
    return a;
}

static int seq_with(g4_session *s, const g4_adapter *a, double scale)
{
    as_err err = {0};
    const int seq = t_seq(s);
    if (a != NULL && g4_seq_set_adapter(s, seq, a, scale, &err) != AS_OK)
        fail_msg("%s", err.text);
    return seq;
}

typedef struct kept {
    int n_vocab, n;
    float rows[MAX_IDS][MAX_VOCAB];
} kept;

static void keep_row(void *user, int i, const float *logits)
{
    (void)i;
    kept *k = user;
    memcpy(k->rows[k->n++], logits, (size_t)k->n_vocab * sizeof *logits);
}

/* n ids, the same in each test; the first of them is <bos>. */
static void some_ids(int32_t *ids, int n, int n_vocab)
{
    for (int i = 0; i < n; i++)
        ids[i] = i == 0 ? 2 : (int32_t)((i * 37 + i * i * 11 + 5) % n_vocab);
}

static void refuse(g4_session *s, int seq, as_str state)
{
    as_err err = {0};
    if (g4_state_load(s, seq, state, NULL, &err) == AS_OK ||
        strstr(err.text, "another adapter") == NULL)
        fail_msg("another adapter is not refused: \"%s\"", err.text);
    assert_int_equal(g4_seq_length(s, seq), 0);
}

/* n ids, saved behind the first `head` and restored in a new session. other: NULL, or to refuse. */
static void goes_on(const g4_model *m, const g4_adapter *a, const g4_adapter *other,
                    g4_session_options options, int n, int head)
{
    static kept whole, restored;
    whole.n_vocab = restored.n_vocab = g4_model_info(m)->n_vocab;
    whole.n = restored.n = 0;
    assert_true(whole.n_vocab <= MAX_VOCAB && n <= MAX_IDS);
    int32_t ids[MAX_IDS];
    some_ids(ids, n, whole.n_vocab);
    as_err err = {0};
    as_buf saved;
    as_buf bare;
    as_buf_init(&saved, 0);
    as_buf_init(&bare, 0);
    g4_session *s = t_session(m, options);
    const int seq = seq_with(s, a, 0.5);
    t_feed(s, seq, ids, head, 0, 7, NULL, NULL, NULL);
    if (g4_state_save(s, seq, (as_str){0}, &saved, &err) != AS_OK)
        fail_msg("%s", err.text);
    t_feed(s, seq, ids + head, n - head, head, 7, NULL, keep_row, &whole);
    const int plain = seq_with(s, NULL, 0);
    t_feed(s, plain, ids, head, 0, 7, NULL, NULL, NULL);
    assert_int_equal(g4_state_save(s, plain, (as_str){0}, &bare, &err), AS_OK);
    g4_session_close(s);

    s = t_session(m, options);
    refuse(s, seq_with(s, NULL, 0), as_buf_str(&saved));
    refuse(s, seq_with(s, a, 1), as_buf_str(&saved));
    if (other != NULL)
        refuse(s, seq_with(s, other, 0.5), as_buf_str(&saved));
    const int again = seq_with(s, a, 0.5);
    refuse(s, again, as_buf_str(&bare));
    if (g4_state_load(s, again, as_buf_str(&saved), NULL, &err) != AS_OK)
        fail_msg("%s", err.text);
    t_feed(s, again, ids + head, n - head, head, 5, NULL, keep_row, &restored);
    assert_int_equal(whole.n, restored.n);
    for (int i = 0; i < whole.n; i++)
        assert_memory_equal(whole.rows[i], restored.rows[i], (size_t)whole.n_vocab * sizeof(float));
    g4_session_close(s);
    as_buf_release(&bare);
    as_buf_release(&saved);
}

static void of_each_cache(const g4_model *m, const g4_adapter *a, const g4_adapter *other, int n,
                          int head)
{
    static const g4_kv_type kinds[] = {G4_KV_F32, G4_KV_F16}; /* heads of 16: no Q8_0 */
    goes_on(m, a, other, (g4_session_options){.precision = G4_F32, .n_ctx = MAX_IDS, .n_seqs = 4},
            n, head);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        goes_on(m, a, other, (g4_session_options){.kv = kinds[i], .n_ctx = MAX_IDS, .n_seqs = 4}, n,
                head);
}

/* The folder of one of PEFT's adapters: among the fixtures or under AS_SHARED. False: neither. */
static bool find_lora(char path[600], const char *name)
{
    char own[300];
    snprintf(own, sizeof own, "engine/lora/%s", name);
    snprintf(path, 600, "%s", t_fixture(own));
    const char *shared = getenv("AS_SHARED");
    if (!as_is_dir(path) && shared != NULL)
        snprintf(path, 600, "%s/golden/lora/%s", shared, name);
    return as_is_dir(path);
}

static void adapters_of_peft(void **state)
{
    (void)state;
    static const struct {
        const char *base, *name, *other;
    } rows[] = {
        {"moe", "moe-attention", "moe-experts"},
        {"moe", "moe-experts", "moe-attention"},
        {"dense", "dense-all", "dense-rslora-patterns"},
        {"e2b", "e2b-ple", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *base = t_golden(rows[i].base);
        char name[600];
        char other[600];
        const bool has_other = rows[i].other != NULL && find_lora(other, rows[i].other);
        if (base == NULL || !find_lora(name, rows[i].name)) {
            print_message("  %s: not among the fixtures, and AS_SHARED is not set\n", rows[i].name);
            continue;
        }
        char path[700];
        snprintf(path, sizeof path, "%s/model.gguf", base);
        g4_model *m = t_model(path);
        g4_adapter *a = opened(m, name);
        g4_adapter *b = has_other ? opened(m, other) : NULL;
        print_message("  %s\n", rows[i].name);
        of_each_cache(m, a, b, 80, 50); /* the window is 32 */
        g4_adapter_close(b);
        g4_adapter_close(a);
        g4_model_close(m);
    }
}

/* One value of the last expert tells two adapters apart. */
static void adapters_that_differ_in_one_expert(void **state)
{
    (void)state;
    const char *path = ad_path("model.gguf");
    s_write(&(s_options){.kind = S_T2}, path);
    g4_model *m = t_model(path);
    const char *whole = ad_write_peft(&(ad_options){.kind = S_T2, .only = "exps"});
    g4_adapter *a = opened(m, whole);
    char file[600];
    snprintf(file, sizeof file, "%s/adapter_model.safetensors", whole);
    as_buf bytes;
    as_err err = {0};
    as_buf_init(&bytes, 0);
    assert_int_equal(as_read_file(&bytes, file, &err), AS_OK);
    /* the file's last float is the last expert's */
    float last;
    memcpy(&last, bytes.p + bytes.n - sizeof last, sizeof last);
    last += 0.5F;
    memcpy(bytes.p + bytes.n - sizeof last, &last, sizeof last);
    assert_int_equal(as_write_file(file, as_buf_str(&bytes), &err), AS_OK);
    g4_adapter *b = opened(m, whole);
    goes_on(m, a, b, (g4_session_options){.precision = G4_F32, .n_ctx = MAX_IDS, .n_seqs = 4}, 12,
            7);
    as_buf_release(&bytes);
    g4_adapter_close(b);
    g4_adapter_close(a);
    g4_model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adapters_of_peft),
        cmocka_unit_test(adapters_that_differ_in_one_expert),
    };
    return cmocka_run_group_tests(tests, NULL, ad_done);
}
