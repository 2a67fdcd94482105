#ifndef ENGINE_SAFETENSORS_H
#define ENGINE_SAFETENSORS_H
/*
 * safetensors.h — reader of safetensors, the container of tensors of Hugging Face's tools; trusts
 * nothing in the file.
 *
 * Format     u64 N (little-endian) ; N bytes of JSON ; data
 *
 *     { "NAME": { "dtype": "BF16", "shape": [out, in], "data_offsets": [begin, end] }, …,
 *       "__metadata__": { TEXT: TEXT } }
 *
 *     Offsets count from the first byte behind the JSON. Row-major, the last dimension contiguous,
 *     little-endian. A model in several files has model.safetensors.index.json beside them:
 *     { "metadata": {…}, "weight_map": { "NAME": "model-00001-of-00005.safetensors", … } }
 *
 * Checked    N against the file and against 100 MB; end - begin = product of the shape · size of an
 *            element; data inside the file, no two tensors sharing a byte; names not twice, in all
 *            files together; names of files of an index without a folder.
 * Cost       reads the header only; data is mapped, not touched. Memory: a record per tensor.
 * Errors     one sentence naming file, tensor and what was expected.
 * Ownership  names and data are borrowed from the map: valid until g4_safetensors_close. Data is
 *            aligned to nothing.
 * Threads    immutable once open.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

typedef struct g4_safetensors g4_safetensors;

typedef enum g4_st_dtype {
    G4_ST_F64,
    G4_ST_F32,
    G4_ST_F16,
    G4_ST_BF16,
    G4_ST_F8_E4M3,
    G4_ST_F8_E5M2,
    G4_ST_I64,
    G4_ST_I32,
    G4_ST_I16,
    G4_ST_I8,
    G4_ST_U64,
    G4_ST_U32,
    G4_ST_U16,
    G4_ST_U8,
    G4_ST_BOOL,
} g4_st_dtype;

const char *g4_st_dtype_name(g4_st_dtype dtype); /* "BF16" */

enum { G4_ST_MAX_DIMS = 8 };

typedef struct g4_st_tensor {
    as_str name;
    g4_st_dtype dtype;
    int n_dims;                    /* 0: a scalar */
    int64_t shape[G4_ST_MAX_DIMS]; /* each ≥ 0 */
    const uint8_t *data;
    size_t bytes;
    int part; /* which file, from 0 */
} g4_st_tensor;

/* One file. */
as_code g4_safetensors_open(g4_safetensors **out, const char *path, as_err *err);
/* The model of a folder: model.safetensors.index.json and its files, or model.safetensors. */
as_code g4_safetensors_open_folder(g4_safetensors **out, const char *folder, as_err *err);
/* A whole file in memory, which stays the caller's and must outlive *out. */
as_code g4_safetensors_open_memory(g4_safetensors **out, as_str bytes, const char *name,
                                   as_err *err);
void g4_safetensors_close(g4_safetensors *s); /* NULL is fine */

size_t g4_safetensors_n(const g4_safetensors *s);
const g4_st_tensor *g4_safetensors_at(const g4_safetensors *s, size_t i); /* in file order */
const g4_st_tensor *g4_safetensors_find(const g4_safetensors *s, as_str name);
const char *g4_safetensors_path(const g4_safetensors *s, int part);
int64_t g4_safetensors_file_bytes(const g4_safetensors *s); /* of all files */

#endif
