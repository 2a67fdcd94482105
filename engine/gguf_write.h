#ifndef ENGINE_GGUF_WRITE_H
#define ENGINE_GGUF_WRITE_H
/*
 * gguf_write.h — writing GGUF version 3 (the format is described in gguf.h).
 *
 * Use        collect values with the g4_gguf_put_* calls, describe the tensors, and let
 *            g4_gguf_write fetch each tensor's bytes in turn; or take the metadata alone as a file
 *            image without tensors (g4_gguf_image).
 * Atomicity  written beside the target as PATH.part, synced and renamed: a reader sees the old file
 *            or the whole new one. On failure the part is removed and the old file stays.
 * Checked    free space before the first byte; each tensor's byte count.
 * Errors     one sentence naming the path. The put calls cannot fail; running out of memory shows
 *            when the values are used.
 * Threads    one writer, one thread.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "engine/gguf.h"

typedef struct g4_gguf_values {
    as_buf bytes; /* the values as they stand in the file */
    uint64_t n;
} g4_gguf_values;

void g4_gguf_values_init(g4_gguf_values *v, size_t max_bytes);
void g4_gguf_values_release(g4_gguf_values *v);

void g4_gguf_put_str(g4_gguf_values *v, const char *key, as_str text);
void g4_gguf_put_u32(g4_gguf_values *v, const char *key, uint32_t value);
void g4_gguf_put_i32(g4_gguf_values *v, const char *key, int32_t value);
void g4_gguf_put_f32(g4_gguf_values *v, const char *key, float value);
void g4_gguf_put_bool(g4_gguf_values *v, const char *key, bool value);
/* An array of n elements, which the caller adds with exactly n calls of g4_gguf_add_*. */
void g4_gguf_put_array(g4_gguf_values *v, const char *key, g4_value_type type, uint64_t n);
void g4_gguf_add_str(g4_gguf_values *v, as_str text);
void g4_gguf_add_str_pair(g4_gguf_values *v, as_str left, as_str right); /* "left right" */
void g4_gguf_add_i32(g4_gguf_values *v, int32_t value);
void g4_gguf_add_f32(g4_gguf_values *v, float value);
void g4_gguf_add_bool(g4_gguf_values *v, bool value);
/* A value of an open file as it is. */
void g4_gguf_put_value(g4_gguf_values *v, const g4_value *value);

/* Appends the image of a file of these values and no tensor. */
as_code g4_gguf_image(as_buf *out, const g4_gguf_values *v, as_err *err);

typedef struct g4_gguf_sink g4_gguf_sink;

as_code g4_gguf_sink_add(g4_gguf_sink *sink, const void *p, size_t n, as_err *err);

/* Hands all bytes of tensor i to the sink. */
typedef as_code (*g4_gguf_fill)(void *user, size_t i, g4_gguf_sink *sink, as_err *err);

/* Of a tensor, name, type, n_dims, ne and bytes are used. */
as_code g4_gguf_write(const char *path, const g4_gguf_values *v, const g4_tensor *tensors, size_t n,
                      g4_gguf_fill fill, void *user, as_err *err);

#endif
