/* model_memory.c — the memory of a session and the types of a model's weights, told to people and
 * programs. */
#include <stdio.h>
#include <string.h>

#include "cli/cmd_model.h"

as_code cli_engine_options(g4_session_options *out, const cli_engine *e, as_err *err)
{
    *out = (g4_session_options){
        .n_seqs = 1,
        .n_batch = CLI_ROWS,
        .n_threads = (int)e->threads,
        .memory_limit = e->memory,
    };
    if (e->precision != NULL && strcmp(e->precision, "f32") == 0)
        out->precision = G4_F32;
    else if (e->precision != NULL && strcmp(e->precision, "auto") != 0)
        return as_fail(err, AS_RANGE, "--precision %s: want f32 or auto", e->precision);
    if (e->kv != NULL && !g4_kv_parse(as_str_of(e->kv), &out->kv))
        return as_fail(err, AS_RANGE, "--kv %s: want f32, f16 or q8_0", e->kv);
    return AS_OK;
}

void cli_tell_memory(const g4_memory *m)
{
    as_buf text;
    as_buf_init(&text, 0);
    g4_memory_text(m, &text);
    (void)fprintf(stderr, "assay: memory: %.*s\n", AS_ARG(as_buf_str(&text)));
    as_buf_release(&text);
}

void cli_put_memory(as_jw *w, const g4_memory *m, int64_t available)
{
    const struct {
        const char *key;
        int64_t value;
    } numbers[] = {
        {"context", m->n_ctx},
        {"sequences", m->n_seqs},
        {"batch", m->n_batch},
        {"weights_bytes", m->weights_bytes},
        {"kv_full_bytes", m->kv_full_bytes},
        {"kv_sliding_bytes", m->kv_sliding_bytes},
        {"kv_bytes", m->kv_bytes},
        {"kv_bytes_per_token", m->kv_bytes_per_token},
        {"kv_full_bytes_per_token", m->kv_full_bytes_per_token},
        {"scratch_bytes", m->scratch_bytes},
        {"total_bytes", m->weights_bytes + m->kv_bytes + m->scratch_bytes},
        {"available_bytes", available},
    };
    as_jw_key(w, "memory");
    as_jw_begin_object(w);
    as_jw_put_z(w, "kv", g4_kv_name(m->kv));
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        as_jw_put_i64(w, numbers[i].key, numbers[i].value);
    as_jw_put_bool(w, "fits", available < 0 || m->kv_bytes + m->scratch_bytes <= available);
    as_jw_end_object(w);
}

void cli_put_types(as_jw *w, const g4_model *m)
{
    g4_type_bytes type;
    as_jw_key(w, "types");
    as_jw_begin_object(w);
    for (int i = 0; g4_model_type_at(m, i, &type); i++) {
        as_jw_key(w, type.name);
        as_jw_begin_object(w);
        as_jw_put_i64(w, "tensors", type.n_tensors);
        as_jw_put_i64(w, "elements", type.n_elements);
        as_jw_put_i64(w, "bytes", type.bytes);
        as_jw_end_object(w);
    }
    as_jw_end_object(w);
}
