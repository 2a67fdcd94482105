/* convert.c — a model folder written down as GGUF: the view of hf_model.h, checked and copied. */
#include "engine/complete.h"
#include "engine/engine.h"
#include "engine/gguf_write.h"
#include "engine/hf_model.h"

static as_code fill(void *user, size_t i, g4_gguf_sink *sink, as_err *err)
{
    const g4_tensor *t = g4_gguf_tensor(user, i);
    return g4_gguf_sink_add(sink, t->data, t->bytes, err);
}

static as_code write_view(g4_gguf *f, const char *path, as_err *err)
{
    g4_gguf_values v;
    g4_gguf_values_init(&v, (size_t)1 << 31);
    for (size_t i = 0; i < g4_gguf_n_values(f); i++)
        g4_gguf_put_value(&v, g4_gguf_value(f, i));
    const as_code c =
        g4_gguf_write(path, &v, g4_gguf_tensor(f, 0), g4_gguf_n_tensors(f), fill, f, err);
    g4_gguf_values_release(&v);
    return c;
}

as_code g4_convert(const char *folder, const char *out_path, const g4_convert_options *options,
                   as_err *err)
{
    const g4_convert_options o = options != NULL ? *options : (g4_convert_options){0};
    if (!g4_hf_is_folder(folder))
        return as_fail(err, AS_IO, "%s: is not a model folder: it has no config.json", folder);
    g4_hf *h = NULL;
    AS_TRY(g4_hf_open(&h, folder, &(g4_hf_options){.is_for_file = true, .name = o.name}, err));
    as_code c = g4_check_complete(g4_hf_file(h), err);
    if (c == AS_OK)
        c = write_view(g4_hf_file(h), out_path, err);
    g4_hf_close(h);
    return c;
}
