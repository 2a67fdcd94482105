/* Any bytes as a safetensors file, as tokenizer.json and as config.json: an error with a sentence, or
 * tensors that lie inside the file, pieces and merges that can be read, metadata that can be put. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "engine/hf_config.h"
#include "engine/hf_names.h"
#include "engine/hf_tokenizer.h"
#include "engine/safetensors.h"

static void check(bool is_true)
{
    if (!is_true)
        abort();
}

static void use_container(as_str bytes)
{
    g4_safetensors *s = NULL;
    as_err err = {0};
    if (g4_safetensors_open_memory(&s, bytes, "fuzz", &err) != AS_OK) {
        check(s == NULL && strncmp(err.text, "fuzz: ", 6) == 0);
        return;
    }
    const uint8_t *data = (const uint8_t *)bytes.p;
    for (size_t i = 0; i < g4_safetensors_n(s); i++) {
        const g4_st_tensor *t = g4_safetensors_at(s, i);
        check(t->data >= data && t->bytes <= bytes.n && t->data <= data + (bytes.n - t->bytes));
        check(g4_safetensors_find(s, t->name) == t);
        check(strlen(g4_hf_name_of(t->name).gguf) < 64);
    }
    g4_safetensors_close(s);
}

static void use_tokenizer(as_str text)
{
    as_arena keep;
    as_arena_init(&keep, 64u << 20);
    g4_hf_tokenizer t;
    as_err err = {0};
    if (g4_hf_tokenizer_read(&t, "fuzz", text, &keep, &err) == AS_OK) {
        float *scores = NULL;
        g4_gguf_values v;
        g4_gguf_values_init(&v, 64u << 20);
        if (g4_hf_tokenizer_scores(&t, &keep, &scores, &err) == AS_OK)
            g4_hf_tokenizer_put(&t, true, t.n_pieces + 3, scores, &v);
        g4_hf_tokenizer_put(&t, false, 0, NULL, &v);
        check(g4_hf_tokenizer_find(&t, AS_STR("\x01 no such piece")) < 0);
        g4_gguf_values_release(&v);
    } else {
        check(strncmp(err.text, "fuzz: ", 6) == 0);
    }
    as_arena_release(&keep);
}

static void use_config(as_str text)
{
    as_arena keep;
    as_arena_init(&keep, 1u << 20);
    g4_hf_config c;
    as_err err = {0};
    if (g4_hf_config_read(&c, "fuzz", text, &keep, &err) == AS_OK) {
        g4_gguf_values v;
        g4_gguf_values_init(&v, 1u << 20);
        (void)g4_hf_generation_read(&c, "fuzz", text, &err);
        g4_hf_config_put(&c, 0, &v);
        check(v.n > 10);
        g4_gguf_values_release(&v);
    } else {
        check(strncmp(err.text, "fuzz: ", 6) == 0);
    }
    as_arena_release(&keep);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first byte chooses the reader, so that each gets its own seeds. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    const as_str rest = {(const char *)data + 1, size - 1};
    switch (data[0] % 3) {
    case 0:
        use_container(rest);
        break;
    case 1:
        use_tokenizer(rest);
        break;
    default:
        use_config(rest);
        break;
    }
    return 0;
}
