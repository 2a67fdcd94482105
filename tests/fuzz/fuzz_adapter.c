/* Any bytes as a LoRA adapter of one of two tiny models: a GGUF file, or adapter_config.json and
 * adapter_model.safetensors of a folder. An error with a sentence that names the file, or factors of
 * the model's shapes that take at most twice what the file holds. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "engine/adapter.h"
#include "engine/session_impl.h"

static void check(bool is_true)
{
    if (!is_true)
        abort();
}

static char root[64];

static const char *path_of(const char *name)
{
    static char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", root, name);
    return path;
}

static void remove_root(void)
{
    static const char *const names[] = {"a.gguf", "peft/adapter_config.json",
                                        "peft/adapter_model.safetensors"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        (void)unlink(path_of(names[i]));
    (void)rmdir(path_of("peft"));
    (void)rmdir(root);
}

/* 0: dense with per-layer embeddings; 1: with experts and K = V. */
static const g4_model *model_of(int which)
{
    static g4_model *models[2];
    static const char *const paths[2] = {FUZZ_MODELS "/folder", FUZZ_MODELS "/moe/model.gguf"};
    if (root[0] == '\0') {
        (void)snprintf(root, sizeof root, "%s",
                       access("/dev/shm", W_OK) == 0 ? "/dev/shm/assay-fuzz-XXXXXX"
                                                     : "/tmp/assay-fuzz-XXXXXX");
        check(mkdtemp(root) != NULL && atexit(remove_root) == 0);
        check(mkdir(path_of("peft"), 0700) == 0);
    }
    if (models[which] == NULL)
        check(g4_model_open(&models[which], paths[which], NULL, NULL) == AS_OK);
    return models[which];
}

static float read_all(const g4_adapter *a)
{
    float sum = 0;
    for (int layer = 0; layer <= a->model->config.n_layers; layer++)
        for (int slot = 0; slot < G4_SLOT_END; slot++) {
            const g4_lora *l = &a->loras[(size_t)layer * G4_SLOT_END + (size_t)slot];
            if (l->a == NULL)
                continue;
            check(l->rank >= 1 && l->rank <= G4_MAX_RANK && l->n_in >= 1 && l->n_out >= 1);
            sum += l->a[(size_t)l->rank * (size_t)l->n_in - 1];
            sum += l->b[(size_t)l->rank * (size_t)l->n_out - 1];
        }
    return sum;
}

static void open_adapter(const g4_model *m, const char *path, size_t bytes)
{
    g4_adapter *a = NULL;
    as_err err = {0};
    if (g4_adapter_open(&a, m, path, &err) == AS_OK) {
        check(a->info.n_matrices >= 1 && a->info.bytes <= 2 * (int64_t)bytes);
        check(read_all(a) < INFINITY);
    } else {
        check(a == NULL && err.code != AS_NOMEM && strncmp(err.text, root, strlen(root)) == 0);
    }
    g4_adapter_close(a);
}

static void write_file(const char *name, const uint8_t *data, size_t n)
{
    check(as_write_file(path_of(name), (as_str){(const char *)data, n}, NULL) == AS_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Byte 0: which model (bit 0), which form (bit 1). PEFT: bytes 1 and 2 are the length of the config. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    const g4_model *m = model_of(data[0] & 1);
    if ((data[0] & 2) == 0) {
        write_file("a.gguf", data + 1, size - 1);
        open_adapter(m, path_of("a.gguf"), size - 1);
        return 0;
    }
    size_t n = (size_t)(data[1] | data[2] << 8);
    if (n > size - 3)
        n = size - 3;
    write_file("peft/adapter_config.json", data + 3, n);
    write_file("peft/adapter_model.safetensors", data + 3 + n, size - 3 - n);
    open_adapter(m, path_of("peft"), size - 3 - n);
    return 0;
}
