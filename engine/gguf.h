#ifndef ENGINE_GGUF_H
#define ENGINE_GGUF_H
/*
 * gguf.h — reader of GGUF, the container of metadata and tensors; trusts nothing in the file.
 *
 * Format     all little-endian, nothing aligned but the data:
 *
 *     "GGUF"  u32 version (2 or 3)  i64 n_tensors  i64 n_values
 *     n_values  × { str key ; u32 type ; value }
 *     n_tensors × { str name ; u32 n_dims ; i64 ne[n_dims] ; u32 type ; u64 offset }
 *     zeros to a multiple of general.alignment (32 unless stated), then the data;
 *     tensor bytes start at data + offset
 *     str = u64 n, then n bytes;  array = u32 element type, u64 n, then n elements
 *
 *     ne[0] runs fastest: a matrix [out, in] has ne = {in, out}. A set in parts
 *     (name-00001-of-00005.gguf) is opened by its first file, which holds the metadata.
 *
 * Checked    every count against the bytes that are left before anything is allocated; sizes
 *            against overflow; names and keys for duplicates; offsets for alignment and for staying
 *            inside the file; elements of ne[0] against the block size.
 * Cost       reads the header only; tensor data is mapped, not touched. Arrays are not copied.
 * Errors     one sentence naming file, place and remedy. A file that shrinks while it is mapped is
 *            out of scope (the system then ends the process).
 * Ownership  texts, values and data pointers are borrowed from the map: valid until g4_gguf_close.
 *            Data pointers are aligned to general.alignment, at least to 1; values to nothing, so
 *            read them with the functions below.
 * Threads    immutable once open: any number of threads may read it.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

typedef struct g4_gguf g4_gguf;

/* path: the file, or the first file of a set in parts. */
as_code g4_gguf_open(g4_gguf **out, const char *path, as_err *err);
/* A whole file in memory, which stays the caller's and must outlive *out. name is for messages.
 * Sets in parts are refused. */
as_code g4_gguf_open_memory(g4_gguf **out, as_str bytes, const char *name, as_err *err);
void g4_gguf_close(g4_gguf *f); /* NULL is fine */

const char *g4_gguf_path(const g4_gguf *f);
int64_t g4_gguf_file_bytes(const g4_gguf *f); /* of all parts together */

/* ---- tensors --------------------------------------------------------------------------------- */

/* Numbers as in the file. The container knows more types than the engine can compute with. */
typedef enum g4_type {
    G4_TYPE_F32 = 0,
    G4_TYPE_F16 = 1,
    G4_TYPE_Q4_0 = 2,
    G4_TYPE_Q4_1 = 3,
    G4_TYPE_Q5_0 = 6,
    G4_TYPE_Q5_1 = 7,
    G4_TYPE_Q8_0 = 8,
    G4_TYPE_Q8_1 = 9, /* activations only */
    G4_TYPE_Q2_K = 10,
    G4_TYPE_Q3_K = 11,
    G4_TYPE_Q4_K = 12,
    G4_TYPE_Q5_K = 13,
    G4_TYPE_Q6_K = 14,
    G4_TYPE_Q8_K = 15, /* activations only */
    G4_TYPE_IQ2_XXS = 16,
    G4_TYPE_IQ2_XS = 17,
    G4_TYPE_IQ3_XXS = 18,
    G4_TYPE_IQ1_S = 19,
    G4_TYPE_IQ4_NL = 20,
    G4_TYPE_IQ3_S = 21,
    G4_TYPE_IQ2_S = 22,
    G4_TYPE_IQ4_XS = 23,
    G4_TYPE_I8 = 24,
    G4_TYPE_I16 = 25,
    G4_TYPE_I32 = 26,
    G4_TYPE_I64 = 27,
    G4_TYPE_F64 = 28,
    G4_TYPE_IQ1_M = 29,
    G4_TYPE_BF16 = 30,
    G4_TYPE_TQ1_0 = 34,
    G4_TYPE_TQ2_0 = 35,
    G4_TYPE_MXFP4 = 39,
    G4_TYPE_NVFP4 = 40,
    G4_TYPE_END = 41, /* one more than the largest */
} g4_type;

typedef struct g4_type_info {
    const char *name; /* "Q4_K" */
    int block_elements;
    int block_bytes;
} g4_type_info;

/* NULL for a number that is no type. */
const g4_type_info *g4_type_find(uint32_t type);
/* Bytes of n elements in a row; false on overflow, a bad type or n not divisible by the block. */
bool g4_type_row_bytes(g4_type type, int64_t n, size_t *out);

enum { G4_MAX_DIMS = 4 };

typedef struct g4_tensor {
    as_str name; /* 1..63 bytes */
    g4_type type;
    int n_dims;              /* 1..4 */
    int64_t ne[G4_MAX_DIMS]; /* each ≥ 1; 1 behind n_dims */
    int64_t n_elements;
    const uint8_t *data; /* in the map */
    size_t bytes;        /* row_bytes * ne[1] * ne[2] * ne[3] */
    size_t row_bytes;    /* of ne[0] elements */
    int part;            /* which file of the set, from 0 */
} g4_tensor;

size_t g4_gguf_n_tensors(const g4_gguf *f);
const g4_tensor *g4_gguf_tensor(const g4_gguf *f, size_t i); /* in file order; i < n_tensors */
/* By name; NULL if there is none. */
const g4_tensor *g4_gguf_find_tensor(const g4_gguf *f, const char *name);
/* The same, absence being an error that names file and tensor. */
as_code g4_gguf_need_tensor(const g4_gguf *f, const char *name, const g4_tensor **out, as_err *err);

/* ---- metadata -------------------------------------------------------------------------------- */

typedef enum g4_value_type {
    G4_VALUE_U8,
    G4_VALUE_I8,
    G4_VALUE_U16,
    G4_VALUE_I16,
    G4_VALUE_U32,
    G4_VALUE_I32,
    G4_VALUE_F32,
    G4_VALUE_BOOL,
    G4_VALUE_STR,
    G4_VALUE_ARRAY,
    G4_VALUE_U64,
    G4_VALUE_I64,
    G4_VALUE_F64,
} g4_value_type;

/* A scalar is an array of one: type is then the element's, n is 1. Arrays of arrays keep
 * type G4_VALUE_ARRAY and can only be skipped. */
typedef struct g4_value {
    as_str key;
    g4_value_type type; /* of the elements */
    bool is_array;
    size_t n;         /* elements */
    const uint8_t *p; /* first element, unaligned */
    size_t bytes;     /* of all elements */
} g4_value;

size_t g4_gguf_n_values(const g4_gguf *f);
const g4_value *g4_gguf_value(const g4_gguf *f, size_t i);       /* in file order */
const g4_value *g4_gguf_find(const g4_gguf *f, const char *key); /* NULL if there is none */

/* Element i of v. False if the element is of another kind or out of range: any integer type is an
 * integer, any integer or float is a double. A bool is its own kind. */
bool g4_value_i64(const g4_value *v, size_t i, int64_t *out);
bool g4_value_f64(const g4_value *v, size_t i, double *out);
bool g4_value_bool(const g4_value *v, size_t i, bool *out);

/* Strings have no index in the file, so they are walked:
 *     for (g4_strs it = g4_value_strs(v); g4_strs_next(&it, &s);) …                          */
typedef struct g4_strs {
    const uint8_t *p;
    size_t left;
} g4_strs;

g4_strs g4_value_strs(const g4_value *v); /* empty if v is NULL or not of strings */
bool g4_strs_next(g4_strs *it, as_str *out);

/* Scalars that must be there and be of the kind. Integers of any width are read; the value must lie
 * in the range of the result, or in min..max. */
as_code g4_gguf_need_u32(const g4_gguf *f, const char *key, uint32_t *out, as_err *err);
as_code g4_gguf_need_i64(const g4_gguf *f, const char *key, int64_t min, int64_t max, int64_t *out,
                         as_err *err);
as_code g4_gguf_need_f32(const g4_gguf *f, const char *key, float *out, as_err *err);
as_code g4_gguf_need_bool(const g4_gguf *f, const char *key, bool *out, as_err *err);
as_code g4_gguf_need_str(const g4_gguf *f, const char *key, as_str *out, as_err *err);

/* Scalars that may be absent: *out is then the fallback. One of the wrong kind is still an error.
 */
as_code g4_gguf_opt_u32(const g4_gguf *f, const char *key, uint32_t fallback, uint32_t *out,
                        as_err *err);
as_code g4_gguf_opt_i64(const g4_gguf *f, const char *key, int64_t min, int64_t max,
                        int64_t fallback, int64_t *out, as_err *err);
as_code g4_gguf_opt_f32(const g4_gguf *f, const char *key, float fallback, float *out, as_err *err);
as_code g4_gguf_opt_bool(const g4_gguf *f, const char *key, bool fallback, bool *out, as_err *err);
as_code g4_gguf_opt_str(const g4_gguf *f, const char *key, as_str fallback, as_str *out,
                        as_err *err);

/* One number for each layer: a scalar holds for all, an array must have n_layers entries. */
as_code g4_gguf_need_u32_each(const g4_gguf *f, const char *key, size_t n_layers, uint32_t *out,
                              as_err *err);
/* sliding_window_pattern: a bool (or 0/1) array as it is; a scalar n as a period: flag i is false
 * for every n-th layer, (i + 1) % n == 0, and true for the others. */
as_code g4_gguf_need_flag_each(const g4_gguf *f, const char *key, size_t n_layers, bool *out,
                               as_err *err);
/* An array whose elements are of the given kind, where any integer type counts as G4_VALUE_I64 and
 * F32 or F64 as G4_VALUE_F64. */
as_code g4_gguf_need_array(const g4_gguf *f, const char *key, g4_value_type kind,
                           const g4_value **out, as_err *err);

#endif
