#ifndef TESTS_UNIT_GGUF_WRITER_H
#define TESTS_UNIT_GGUF_WRITER_H
/*
 * gguf_writer.h — writes small GGUF files for tests: values, then tensors, then the data.
 *
 * Use        gw_init; gw_u32 …; gw_tensor …; gw_write. Tensor data are copied.
 * Format     version 3, alignment 32; see engine/gguf.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cm.h"

#include "base/buf.h"
#include "base/io.h"

typedef struct gw {
    as_buf values, infos, data;
    uint64_t n_values, n_tensors;
} gw;

static inline void gw_init(gw *w)
{
    *w = (gw){0};
    as_buf_init(&w->values, 0);
    as_buf_init(&w->infos, 0);
    as_buf_init(&w->data, 0);
}

static inline void gw_release(gw *w)
{
    as_buf_release(&w->values);
    as_buf_release(&w->infos);
    as_buf_release(&w->data);
}

static inline void gw_bytes(as_buf *b, const void *p, size_t n)
{
    assert_int_equal(as_buf_add(b, (as_str){p, n}), AS_OK);
}

static inline void gw_number(as_buf *b, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        assert_int_equal(as_buf_add_byte(b, (char)(unsigned char)(v >> 8 * i)), AS_OK);
}

static inline void gw_text(as_buf *b, const char *z)
{
    gw_number(b, strlen(z), 8);
    gw_bytes(b, z, strlen(z));
}

static inline void gw_key(gw *w, const char *key, uint32_t type)
{
    gw_text(&w->values, key);
    gw_number(&w->values, type, 4);
    w->n_values++;
}

static inline void gw_u32(gw *w, const char *key, uint32_t v)
{
    gw_key(w, key, 4);
    gw_number(&w->values, v, 4);
}

static inline void gw_f32(gw *w, const char *key, float v)
{
    gw_key(w, key, 6);
    gw_bytes(&w->values, &v, sizeof v);
}

static inline void gw_str(gw *w, const char *key, const char *v)
{
    gw_key(w, key, 8);
    gw_text(&w->values, v);
}

static inline void gw_array(gw *w, const char *key, uint32_t type, uint64_t n)
{
    gw_key(w, key, 9);
    gw_number(&w->values, type, 4);
    gw_number(&w->values, n, 8);
}

static inline void gw_u32s(gw *w, const char *key, const uint32_t *v, size_t n)
{
    gw_array(w, key, 4, n);
    for (size_t i = 0; i < n; i++)
        gw_number(&w->values, v[i], 4);
}

static inline void gw_bools(gw *w, const char *key, const bool *v, size_t n)
{
    gw_array(w, key, 7, n);
    for (size_t i = 0; i < n; i++)
        gw_number(&w->values, v[i], 1);
}

/* ne: n_dims entries, the contiguous one first. */
static inline void gw_tensor(gw *w, const char *name, uint32_t type, const int64_t *ne, int n_dims,
                             const void *data, size_t bytes)
{
    while (w->data.n % 32 != 0)
        gw_number(&w->data, 0, 1);
    gw_text(&w->infos, name);
    gw_number(&w->infos, (uint64_t)n_dims, 4);
    for (int i = 0; i < n_dims; i++)
        gw_number(&w->infos, (uint64_t)ne[i], 8);
    gw_number(&w->infos, type, 4);
    gw_number(&w->infos, w->data.n, 8);
    gw_bytes(&w->data, data, bytes);
    w->n_tensors++;
}

/* A vocabulary of n pieces: <pad> <eos> <bos> <unk>, the rest p4, p5, …; by scores. */
static inline void gw_vocab(gw *w, int n)
{
    gw_str(w, "tokenizer.ggml.model", "llama");
    gw_array(w, "tokenizer.ggml.tokens", 8, (uint64_t)n);
    for (int i = 0; i < n; i++) {
        static const char *const first[] = {"<pad>", "<eos>", "<bos>", "<unk>"};
        char piece[16];
        snprintf(piece, sizeof piece, "p%d", i);
        gw_text(&w->values, i < 4 ? first[i] : piece);
    }
    gw_array(w, "tokenizer.ggml.scores", 6, (uint64_t)n);
    for (int i = 0; i < n; i++) {
        const float score = (float)-i;
        gw_bytes(&w->values, &score, sizeof score);
    }
    gw_array(w, "tokenizer.ggml.token_type", 5, (uint64_t)n);
    for (int i = 0; i < n; i++)
        gw_number(&w->values, i < 4 ? 3 : 1, 4);
    gw_u32(w, "tokenizer.ggml.bos_token_id", 2);
    gw_u32(w, "tokenizer.ggml.eos_token_id", 1);
}

static inline void gw_write(const gw *w, const char *path)
{
    as_buf all;
    as_buf_init(&all, 0);
    gw_bytes(&all, "GGUF", 4);
    gw_number(&all, 3, 4);
    gw_number(&all, w->n_tensors, 8);
    gw_number(&all, w->n_values, 8);
    gw_bytes(&all, w->values.p, w->values.n);
    gw_bytes(&all, w->infos.p, w->infos.n);
    while (all.n % 32 != 0)
        gw_number(&all, 0, 1);
    gw_bytes(&all, w->data.p, w->data.n);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(all.p, 1, all.n, f), all.n);
    assert_int_equal(fclose(f), 0);
    as_buf_release(&all);
}

#endif
