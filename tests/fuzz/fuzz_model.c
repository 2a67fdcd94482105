/* Any bytes as a model: as a GGUF file (hyper-parameters, table of weights), or as the config.json of
 * a folder whose tensors are fixed. An error with a sentence, or numbers that keep config.h's word and
 * matrices that lie inside the file; and no more memory than the file's size justifies. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "engine/config.h"
#include "engine/hf_model.h"
#include "engine/weights.h"

static void check(bool is_true)
{
    if (!is_true)
        abort();
}

static void check_config(const g4_config *c)
{
    check(c->n_layers >= 1 && c->n_layers <= 1024 && c->width >= 1 && c->n_heads >= 1);
    check(c->window >= 1 && c->n_ctx_train >= 1 && c->n_vocab >= 1);
    check(c->first_shared >= 1 && c->first_shared <= c->n_layers);
    check(c->n_experts == 0 ||
          (c->n_experts_used >= 1 && c->n_experts_used <= c->n_experts && c->expert_ff >= 1));
    for (int i = 0; i < c->n_layers; i++) {
        const g4_layer_config *l = &c->layers[i];
        const g4_layer_config *donor = &c->layers[l->donor];
        check(l->n_kv >= 1 && c->n_heads % l->n_kv == 0 && l->ff >= 1);
        check(l->head_dim >= 2 && l->head_dim % 2 == 0);
        check(l->donor >= 0 && l->donor <= i && donor->owns_kv && donor->n_kv == l->n_kv);
        check(donor->is_sliding == l->is_sliding && l->owns_kv == (l->donor == i));
        check(c->n_heads * l->head_dim <= c->max_q && l->n_kv * l->head_dim <= c->max_kv);
        check(l->ff <= c->max_ff);
    }
}

/* The first and the last byte of a matrix can be read. */
static unsigned touch(const g4_matrix *m)
{
    if (m->data == NULL)
        return 0;
    return m->data[0] +
           m->data[m->mat_bytes * (size_t)(m->n_mats - 1) + m->row_bytes * (size_t)m->n_out - 1];
}

static void check_weights(const g4_weights *w, const g4_config *c)
{
    unsigned sum = touch(&w->embedding) + touch(&w->head) + touch(&w->ple_embedding);
    for (int i = 0; i < c->n_layers; i++) {
        const g4_layer_weights *l = &w->layers[i];
        const g4_matrix *all[] = {&l->q,           &l->k,         &l->v,          &l->o,
                                  &l->gate,        &l->up,        &l->down,       &l->router,
                                  &l->expert_gate, &l->expert_up, &l->expert_down};
        for (size_t k = 0; k < sizeof all / sizeof all[0]; k++)
            sum += touch(all[k]);
    }
    check(sum < UINT32_MAX);
}

/* Vectors become f32: from Q2_K twelve times as long. The arena may leave a chunk's end unused. */
static void use_file(const g4_gguf *f, size_t bytes, const char *name)
{
    as_arena keep;
    as_arena_init(&keep, 32 * bytes + ((size_t)3 << 20));
    g4_config c;
    g4_weights w;
    as_err err = {0};
    as_code code = g4_config_read(&c, f, &keep, &err);
    if (code == AS_OK) {
        check_config(&c);
        code = g4_weights_read(&w, &c, f, &keep, &err);
        if (code == AS_OK)
            check_weights(&w, &c);
    }
    check(code == AS_OK || (code != AS_NOMEM && strncmp(err.text, name, strlen(name)) == 0));
    as_arena_release(&keep);
}

static void use_bytes(as_str bytes)
{
    g4_gguf *f = NULL;
    as_err err = {0};
    if (g4_gguf_open_memory(&f, bytes, "fuzz", &err) != AS_OK)
        return; /* fuzz_gguf looks at this */
    use_file(f, bytes.n, "fuzz: ");
    g4_gguf_close(f);
}

/* ---- a folder -------------------------------------------------------------------------------- */

static char folder[64];

static void remove_folder(void)
{
    static const char *const names[] = {
        "config.json", "tokenizer.json", "model.safetensors.index.json",
        "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[128];
        (void)snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        (void)unlink(path);
    }
    (void)rmdir(folder);
}

/* A folder with links to the fixture's files; the config.json is written anew each time. */
static void make_folder(void)
{
    static const char *const names[] = {"tokenizer.json", "model.safetensors.index.json",
                                        "model-00001-of-00002.safetensors",
                                        "model-00002-of-00002.safetensors"};
    (void)snprintf(folder, sizeof folder, "%s",
                   access("/dev/shm", W_OK) == 0 ? "/dev/shm/assay-fuzz-XXXXXX"
                                                 : "/tmp/assay-fuzz-XXXXXX");
    check(mkdtemp(folder) != NULL);
    check(atexit(remove_folder) == 0);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char from[512];
        char to[128];
        (void)snprintf(from, sizeof from, "%s/folder/%s", FUZZ_MODELS, names[i]);
        (void)snprintf(to, sizeof to, "%s/%s", folder, names[i]);
        check(symlink(from, to) == 0);
    }
}

static void use_config(as_str text)
{
    char path[128];
    as_err err = {0};
    if (folder[0] == '\0')
        make_folder();
    (void)snprintf(path, sizeof path, "%s/config.json", folder);
    check(as_write_file(path, text, &err) == AS_OK);
    g4_hf *h = NULL;
    if (g4_hf_open(&h, folder, NULL, &err) == AS_OK) {
        use_file(g4_hf_file(h), (size_t)g4_gguf_file_bytes(g4_hf_file(h)), folder);
        g4_hf_close(h);
    } else {
        check(h == NULL && err.code != AS_NOMEM && strncmp(err.text, folder, strlen(folder)) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A text is a config.json, anything else a GGUF file. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const as_str bytes = {(const char *)data, size};
    if (size > 0 && data[0] == '{')
        use_config(bytes);
    else
        use_bytes(bytes);
    return 0;
}
