/*
 * identity.c — which model this is: one hash over the folder's texts and the graphs in onnx/.
 *
 * A repository holds its graphs once for each number format, told apart by the end of the name
 * (transformers.js, src/utils/dtypes.js); only those that are run count.
 */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "backend/bridge/bridge_impl.h"
#include "backend/file_hash.h"
#include "base/io.h"

static const struct {
    const char *dtype, *suffix;
} formats[] = {
    {"fp32", ""},  {"fp16", "_fp16"},   {"q8", "_quantized"}, {"int8", "_int8"},
    {"q4", "_q4"}, {"q4f16", "_q4f16"}, {"uint8", "_uint8"},  {"bnb4", "_bnb4"},
};
enum { N_FORMATS = sizeof formats / sizeof formats[0] };

/* The name up to ".onnx": model_q4.onnx, model_q4.onnx_data, model_q4.onnx_data_1. */
static as_str stem_of(const char *name)
{
    const as_str s = as_str_of(name);
    const size_t at = as_str_find(s, AS_STR(".onnx"));
    return at == SIZE_MAX ? (as_str){0} : as_str_sub(s, 0, at);
}

static bool is_run(const char *name, const char *dtype)
{
    const as_str stem = stem_of(name);
    const char *suffix = "";
    if (stem.n == 0)
        return false;
    for (size_t i = 0; i < N_FORMATS; i++)
        if (formats[i].suffix[0] != '\0' && as_str_ends(stem, as_str_of(formats[i].suffix)))
            suffix = formats[i].suffix;
    for (size_t i = 0; i < N_FORMATS; i++)
        if (strcmp(formats[i].dtype, dtype) == 0)
            return strcmp(suffix, formats[i].suffix) == 0;
    return true; /* "auto": any of them */
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static as_code add_graphs(bridge_backend *be, const char *dir, struct dirent **entries, int n,
                          as_buf *all, as_str cache_dir, as_err *err)
{
    int n_run = 0;
    for (int i = 0; i < n; i++) {
        char hex[AS_SHA256_HEX];
        if (!is_run(entries[i]->d_name, be->dtype))
            continue;
        const char *file = as_path_join(&be->keep, dir, entries[i]->d_name);
        if (file == NULL)
            return as_nomem(err);
        AS_TRY(be_file_sha256(hex, file, cache_dir, err));
        AS_TRY(as_buf_printf(all, "%s %s\n", entries[i]->d_name, hex));
        n_run++;
    }
    return n_run > 0 ? AS_OK
                     : as_fail(err, AS_RANGE, "%s: no graph for -M dtype=%s in it", dir, be->dtype);
}

as_code bridge_identity(bridge_backend *be, as_str cache_dir, as_err *err)
{
    const char *folder = as_path_join(&be->keep, be->models_dir, be->model);
    const char *dir = folder != NULL ? as_path_join(&be->keep, folder, "onnx") : NULL;
    if (dir == NULL)
        return as_nomem(err);
    char hex[AS_SHA256_HEX];
    AS_TRY(be_model_sha256(hex, folder, cache_dir, err));
    struct dirent **entries = NULL;
    const int n = scandir(dir, &entries, NULL, by_name);
    if (n < 0)
        return as_fail_sys(err, "%s", dir);
    as_buf all;
    as_buf_init(&all, 1 << 20);
    as_code c = as_buf_printf(&all, "%s\n", hex);
    if (c == AS_OK)
        c = add_graphs(be, dir, entries, n, &all, cache_dir, err);
    for (int i = 0; i < n; i++)
        free(entries[i]);
    free(entries);
    if (c == AS_OK) {
        const as_sha256 h = as_sha256_of(as_buf_str(&all));
        as_sha256_hex(be->sha, &h);
    }
    as_buf_release(&all);
    return c;
}
