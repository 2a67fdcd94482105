#ifndef ENGINE_GGUF_IMPL_H
#define ENGINE_GGUF_IMPL_H
/*
 * gguf_impl.h — what gguf.c (files of a set), gguf_read.c (one file) and gguf_values.c (metadata)
 * share.
 */
#include "engine/gguf.h"

typedef struct gguf_part {
    char *path;          /* owned */
    const uint8_t *base; /* all bytes of the file */
    size_t n_bytes;
    bool is_mapped; /* ours to unmap */
} gguf_part;

typedef struct gguf_values {
    g4_value *v; /* in file order */
    size_t n, cap;
    const g4_value **by_key; /* sorted by key once all are read */
} gguf_values;

struct g4_gguf {
    gguf_part *parts; /* parts[0] is the file that was opened */
    size_t n_parts;
    int64_t file_bytes;
    gguf_values values; /* of the first part */
    g4_tensor *tensors; /* of all parts, in file order */
    size_t n_tensors, tensors_cap;
    const g4_tensor **by_name; /* sorted by name */
};

static inline uint32_t gguf_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t gguf_u64(const uint8_t *p)
{
    return (uint64_t)gguf_u32(p) | (uint64_t)gguf_u32(p + 4) << 32;
}

/* Bytes of one element, 0 for strings, arrays and numbers that are no type. */
size_t gguf_value_type_bytes(uint32_t type);
/* Reads the header of parts[part]: values into *values (with their index), tensors behind those
 * that f has. */
as_code gguf_read_part(g4_gguf *f, int part, gguf_values *values, as_err *err);
void gguf_release_values(gguf_values *values);
as_code gguf_nomem(const char *path, as_err *err);

#define GGUF_DAMAGED "the download is incomplete or the file is damaged, fetch it again"

const g4_value *gguf_values_find(const gguf_values *values, as_str key);

#endif
