/* Any bytes as a GGUF file: an error with a sentence, or a file all of whose tensors lie inside it
 * and all of whose values, vocabulary included, can be read. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "engine/gguf.h"
#include "engine/tokenizer.h"

static void check(bool is_true)
{
    if (!is_true)
        abort();
}

static uint64_t read_values(const g4_gguf *f)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < g4_gguf_n_values(f); i++) {
        const g4_value *v = g4_gguf_value(f, i);
        for (size_t k = 0; k <= v->n && k < 300; k++) {
            int64_t whole = 0;
            double number = 0;
            bool flag = false;
            sum += g4_value_i64(v, k, &whole) ? (uint64_t)whole : 1;
            sum += g4_value_f64(v, k, &number) && number > 0 ? 1 : 0;
            sum += g4_value_bool(v, k, &flag) && flag ? 1 : 0;
        }
        as_str s = {0};
        for (g4_strs it = g4_value_strs(v); g4_strs_next(&it, &s);)
            for (size_t k = 0; k < s.n; k++)
                sum += (unsigned char)s.p[k];
    }
    return sum;
}

static void check_tensors(const g4_gguf *f, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < g4_gguf_n_tensors(f); i++) {
        const g4_tensor *t = g4_gguf_tensor(f, i);
        check(t->data >= data && t->bytes <= size && t->data <= data + (size - t->bytes));
        check(t->bytes != 0 && t->n_elements > 0);
        char name[64] = {0};
        check(t->name.n < sizeof name);
        memcpy(name, t->name.p, t->name.n);
        if (strlen(name) == t->name.n)
            check(g4_gguf_find_tensor(f, name) == t);
    }
}

static void use_vocab(const g4_vocab *v, const uint8_t *data, size_t size)
{
    int32_t *ids = NULL;
    size_t n = 0;
    const as_str text = {(const char *)data, size < 200 ? size : 200};
    if (g4_vocab_encode(v, text, G4_TOK_SPECIAL | G4_TOK_BOS, &ids, &n, NULL) == AS_OK) {
        as_buf out;
        as_buf_init(&out, 0);
        check(g4_vocab_decode(v, ids, n, G4_TOK_SPECIAL, &out, NULL) == AS_OK);
        as_buf_release(&out);
    }
    free(ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g4_gguf *f = NULL;
    as_err err = {0};
    if (g4_gguf_open_memory(&f, (as_str){(const char *)data, size}, "fuzz", &err) != AS_OK) {
        check(f == NULL && strncmp(err.text, "fuzz: ", 6) == 0);
        return 0;
    }
    check(read_values(f) != UINT64_MAX);
    check_tensors(f, data, size);
    uint32_t each[8];
    bool flags[8];
    (void)g4_gguf_need_u32_each(f, "a", 8, each, &err);
    (void)g4_gguf_need_flag_each(f, "a", 8, flags, &err);
    g4_vocab *v = NULL;
    if (g4_vocab_open(&v, f, &err) == AS_OK)
        use_vocab(v, data, size);
    else
        check(v == NULL && strncmp(err.text, "fuzz: ", 6) == 0);
    g4_vocab_close(v);
    g4_gguf_close(f);
    return 0;
}
