#include "engine/gguf.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/gguf_impl.h"
#include "engine/show.h"

/*
 * How it works. A part of the set is mapped and read from front to back by a cursor that knows its
 * end. Metadata values become records that point into the map, tensors likewise. Tables grow as
 * entries are read, so a count that lies costs nothing: it runs into the end of the file first.
 * When all parts are read, both tables get an index sorted by name, which finds duplicates and
 * serves look-ups. Sorting, not hashing, because names are the attacker's to choose.
 */

enum {
    HEADER_BYTES = 4 + 4 + 8 + 8,
    MIN_VALUE_BYTES = 8 + 1 + 4 + 1,          /* key of one byte, a value of one byte */
    MIN_TENSOR_BYTES = 8 + 1 + 4 + 8 + 4 + 8, /* name of one byte, one dimension */
    MAX_NAME_BYTES = 63,
    MAX_KEY_BYTES = 65535,
    MAX_NESTING = 4, /* arrays of arrays; none are in use */
    DEFAULT_ALIGNMENT = 32,
    MAX_PARTS = 1000,
};

static const char damaged[] = "the download is incomplete or the file is damaged, fetch it again";

typedef struct cursor {
    const char *path;
    const uint8_t *base;
    size_t n;
    size_t at;
} cursor;

static size_t left(const cursor *c)
{
    return c->n - c->at;
}

/* The next n bytes, or NULL with the error set; what says what was being read. */
static const uint8_t *take(cursor *c, size_t n, const char *what, as_err *err)
{
    if (n > left(c)) {
        as_fail(err, AS_PARSE, "%s: ends inside %s (at byte %s): %s", c->path, what,
                g4_show_count(c->at).z, damaged);
        return NULL;
    }
    const uint8_t *p = c->base + c->at;
    c->at += n;
    return p;
}

static as_code take_u32(cursor *c, uint32_t *out, const char *what, as_err *err)
{
    const uint8_t *p = take(c, 4, what, err);
    if (p == NULL)
        return AS_PARSE;
    *out = gguf_u32(p);
    return AS_OK;
}

static as_code take_u64(cursor *c, uint64_t *out, const char *what, as_err *err)
{
    const uint8_t *p = take(c, 8, what, err);
    if (p == NULL)
        return AS_PARSE;
    *out = gguf_u64(p);
    return AS_OK;
}

static as_code take_str(cursor *c, as_str *out, const char *what, as_err *err)
{
    uint64_t n = 0;
    AS_TRY(take_u64(c, &n, what, err));
    if (n > left(c))
        return as_fail(err, AS_PARSE,
                       "%s: %s at byte %s claims %s bytes, %s are left in the file: %s", c->path,
                       what, g4_show_count(c->at - 8).z, g4_show_count(n).z,
                       g4_show_count(left(c)).z, damaged);
    *out = (as_str){(const char *)c->base + c->at, (size_t)n};
    c->at += (size_t)n;
    return AS_OK;
}

/* ---- header ---------------------------------------------------------------------------------- */

typedef struct header {
    uint64_t n_tensors, n_values;
} header;

static as_code check_version(const cursor *c, uint32_t version, as_err *err)
{
    if (version == 2 || version == 3)
        return AS_OK;
    if (version == 1)
        return as_fail(err, AS_UNSUPPORTED,
                       "%s: is GGUF version 1, versions 2 and 3 are read: convert the model again",
                       c->path);
    if (version != 0 && (version & 0xffff) == 0)
        return as_fail(err, AS_UNSUPPORTED,
                       "%s: is a big-endian GGUF file, only little-endian ones are read: convert "
                       "the model for this kind of machine",
                       c->path);
    return as_fail(err, AS_UNSUPPORTED, "%s: is GGUF version %s, versions 2 and 3 are read",
                   c->path, g4_show_count(version).z);
}

static as_code read_header(cursor *c, header *out, as_err *err)
{
    if (c->n < 4 || memcmp(c->base, "GGUF", 4) != 0) {
        enum { HINT_BYTES = 16 };
        const as_str start = {(const char *)c->base, c->n < HINT_BYTES ? c->n : HINT_BYTES};
        if (c->n == 0)
            return as_fail(err, AS_PARSE, "%s: is not a GGUF file: it is empty", c->path);
        return as_fail(err, AS_PARSE,
                       "%s: is not a GGUF file: it begins with \"%s\"; give the path of a model "
                       "file that ends in .gguf",
                       c->path, g4_show(start).z);
    }
    c->at = 4;
    uint32_t version = 0;
    AS_TRY(take_u32(c, &version, "the header", err));
    AS_TRY(check_version(c, version, err));
    AS_TRY(take_u64(c, &out->n_tensors, "the header", err));
    AS_TRY(take_u64(c, &out->n_values, "the header", err));
    if (out->n_values > left(c) / MIN_VALUE_BYTES)
        return as_fail(err, AS_PARSE,
                       "%s: claims %s metadata values, more than the file can hold: %s", c->path,
                       g4_show_count(out->n_values).z, damaged);
    if (out->n_tensors > left(c) / MIN_TENSOR_BYTES)
        return as_fail(err, AS_PARSE, "%s: claims %s tensors, more than the file can hold: %s",
                       c->path, g4_show_count(out->n_tensors).z, damaged);
    return AS_OK;
}

/* ---- metadata -------------------------------------------------------------------------------- */

static as_code fail_value(const cursor *c, as_str key, const char *what, as_err *err)
{
    return as_fail(err, AS_PARSE, "%s: metadata \"%s\": %s (at byte %s): %s", c->path,
                   g4_show(key).z, what, g4_show_count(c->at).z, damaged);
}

/* Skips n elements of a type; the recursion ends at MAX_NESTING. */
static as_code skip_elements(cursor *c, as_str key, uint32_t type, uint64_t n, int depth,
                             as_err *err)
{
    const size_t size = gguf_value_type_bytes(type);
    if (size != 0) {
        if (n > left(c) / size)
            return fail_value(c, key, "reaches beyond the end of the file", err);
        c->at += (size_t)n * size;
        return AS_OK;
    }
    if (type == G4_VALUE_STR) {
        if (n > left(c) / 8)
            return fail_value(c, key, "claims more strings than the file can hold", err);
        for (uint64_t i = 0; i < n; i++) {
            const size_t room = left(c);
            const uint64_t len = room >= 8 ? gguf_u64(c->base + c->at) : UINT64_MAX;
            if (room < 8 || len > room - 8)
                return fail_value(c, key, "holds a string that reaches beyond the end of the file",
                                  err);
            c->at += 8 + (size_t)len;
        }
        return AS_OK;
    }
    if (type != G4_VALUE_ARRAY)
        return fail_value(c, key, "is of no known type", err);
    if (depth >= MAX_NESTING)
        return fail_value(c, key, "nests arrays too deeply", err);
    if (n > left(c) / 12)
        return fail_value(c, key, "claims more arrays than the file can hold", err);
    for (uint64_t i = 0; i < n; i++) {
        if (left(c) < 12)
            return fail_value(c, key, "reaches beyond the end of the file", err);
        const uint32_t inner = gguf_u32(c->base + c->at);
        const uint64_t inner_n = gguf_u64(c->base + c->at + 4);
        c->at += 12;
        AS_TRY(skip_elements(c, key, inner, inner_n, depth + 1, err));
    }
    return AS_OK;
}

static as_code read_value(cursor *c, g4_value *out, as_err *err)
{
    as_str key = {0};
    AS_TRY(take_str(c, &key, "a metadata key", err));
    if (key.n == 0 || key.n > MAX_KEY_BYTES)
        return as_fail(
            err, AS_PARSE, "%s: a metadata key at byte %s has %s bytes, want 1 to %d: %s", c->path,
            g4_show_count(c->at - key.n).z, g4_show_count(key.n).z, MAX_KEY_BYTES, damaged);
    uint32_t type = 0;
    AS_TRY(take_u32(c, &type, "the type of a metadata value", err));
    uint64_t n = 1;
    const bool is_array = type == G4_VALUE_ARRAY;
    if (is_array) {
        AS_TRY(take_u32(c, &type, "the element type of a metadata array", err));
        AS_TRY(take_u64(c, &n, "the length of a metadata array", err));
    }
    const size_t start = c->at;
    AS_TRY(skip_elements(c, key, type, n, is_array ? 1 : 0, err));
    *out = (g4_value){.key = key,
                      .type = (g4_value_type)type,
                      .is_array = is_array,
                      .n = (size_t)n, /* fits: every element took a byte or more */
                      .p = c->base + start,
                      .bytes = c->at - start};
    return AS_OK;
}

/* Room for one more entry: doubles, so that memory follows what was really read. */
static bool grow(void **p, size_t n, size_t *cap, size_t size)
{
    if (n < *cap)
        return true;
    const size_t want = *cap == 0 ? 64 : *cap * 2;
    size_t bytes = 0;
    if (!as_mul_size(want, size, &bytes))
        return false;
    void *grown = realloc(*p, bytes);
    if (grown == NULL)
        return false;
    *p = grown;
    *cap = want;
    return true;
}

static as_code nomem(const char *path, as_err *err)
{
    return as_fail(err, AS_NOMEM, "%s: not enough memory for the file's tables", path);
}

static int compare_keys(const void *a, const void *b)
{
    return as_str_cmp((*(const g4_value *const *)a)->key, (*(const g4_value *const *)b)->key);
}

static int compare_names(const void *a, const void *b)
{
    return as_str_cmp((*(const g4_tensor *const *)a)->name, (*(const g4_tensor *const *)b)->name);
}

static as_code index_values(const char *path, gguf_values *values, as_err *err)
{
    values->by_key = calloc(values->n + 1, sizeof *values->by_key);
    if (values->by_key == NULL)
        return nomem(path, err);
    for (size_t i = 0; i < values->n; i++)
        values->by_key[i] = &values->v[i];
    qsort(values->by_key, values->n, sizeof *values->by_key, compare_keys);
    for (size_t i = 1; i < values->n; i++)
        if (as_str_eq(values->by_key[i - 1]->key, values->by_key[i]->key))
            return as_fail(err, AS_PARSE,
                           "%s: metadata key \"%s\" is there twice: the file was "
                           "written wrongly, fetch or convert the model again",
                           path, g4_show(values->by_key[i]->key).z);
    return AS_OK;
}

static as_code read_values(cursor *c, uint64_t n, gguf_values *out, as_err *err)
{
    for (uint64_t i = 0; i < n; i++) {
        g4_value v;
        AS_TRY(read_value(c, &v, err));
        void *p = out->v;
        if (!grow(&p, out->n, &out->cap, sizeof *out->v))
            return nomem(c->path, err);
        out->v = p;
        out->v[out->n++] = v;
    }
    return index_values(c->path, out, err);
}

static void release_values(gguf_values *values)
{
    free(values->v);
    free(values->by_key);
}

/* ---- tensors --------------------------------------------------------------------------------- */

/* The engine's table; sizes of the types it does not compute with are from ggml's block structs. */
static const g4_type_info types[G4_TYPE_END] = {
    [G4_TYPE_F32] = {"F32", 1, 4},
    [G4_TYPE_F16] = {"F16", 1, 2},
    [G4_TYPE_Q4_0] = {"Q4_0", 32, 18},
    [G4_TYPE_Q4_1] = {"Q4_1", 32, 20},
    [G4_TYPE_Q5_0] = {"Q5_0", 32, 22},
    [G4_TYPE_Q5_1] = {"Q5_1", 32, 24},
    [G4_TYPE_Q8_0] = {"Q8_0", 32, 34},
    [G4_TYPE_Q8_1] = {"Q8_1", 32, 36},
    [G4_TYPE_Q2_K] = {"Q2_K", 256, 84},
    [G4_TYPE_Q3_K] = {"Q3_K", 256, 110},
    [G4_TYPE_Q4_K] = {"Q4_K", 256, 144},
    [G4_TYPE_Q5_K] = {"Q5_K", 256, 176},
    [G4_TYPE_Q6_K] = {"Q6_K", 256, 210},
    [G4_TYPE_Q8_K] = {"Q8_K", 256, 292},
    [G4_TYPE_IQ2_XXS] = {"IQ2_XXS", 256, 66},
    [G4_TYPE_IQ2_XS] = {"IQ2_XS", 256, 74},
    [G4_TYPE_IQ3_XXS] = {"IQ3_XXS", 256, 98},
    [G4_TYPE_IQ1_S] = {"IQ1_S", 256, 50},
    [G4_TYPE_IQ4_NL] = {"IQ4_NL", 32, 18},
    [G4_TYPE_IQ3_S] = {"IQ3_S", 256, 110},
    [G4_TYPE_IQ2_S] = {"IQ2_S", 256, 82},
    [G4_TYPE_IQ4_XS] = {"IQ4_XS", 256, 136},
    [G4_TYPE_I8] = {"I8", 1, 1},
    [G4_TYPE_I16] = {"I16", 1, 2},
    [G4_TYPE_I32] = {"I32", 1, 4},
    [G4_TYPE_I64] = {"I64", 1, 8},
    [G4_TYPE_F64] = {"F64", 1, 8},
    [G4_TYPE_IQ1_M] = {"IQ1_M", 256, 56},
    [G4_TYPE_BF16] = {"BF16", 1, 2},
    [G4_TYPE_TQ1_0] = {"TQ1_0", 256, 54},
    [G4_TYPE_TQ2_0] = {"TQ2_0", 256, 66},
    [G4_TYPE_MXFP4] = {"MXFP4", 32, 17},
    [G4_TYPE_NVFP4] = {"NVFP4", 64, 36},
};

const g4_type_info *g4_type_find(uint32_t type)
{
    return type < G4_TYPE_END && types[type].name != NULL ? &types[type] : NULL;
}

bool g4_type_row_bytes(g4_type type, int64_t n, size_t *out)
{
    const g4_type_info *info = g4_type_find((uint32_t)type);
    if (info == NULL || n < 0 || n % info->block_elements != 0)
        return false;
    const uint64_t blocks = (uint64_t)n / (uint64_t)info->block_elements;
    return blocks <= SIZE_MAX && as_mul_size((size_t)blocks, (size_t)info->block_bytes, out);
}

static as_code fail_tensor(const cursor *c, const g4_tensor *t, const char *what, as_err *err)
{
    return as_fail(err, AS_PARSE, "%s: tensor %s: %s: %s", c->path, g4_show(t->name).z, what,
                   damaged);
}

static as_code read_shape(cursor *c, g4_tensor *t, as_err *err)
{
    uint32_t n_dims = 0;
    AS_TRY(take_u32(c, &n_dims, "a tensor's shape", err));
    if (n_dims < 1 || n_dims > G4_MAX_DIMS)
        return as_fail(err, AS_PARSE, "%s: tensor %s: has %s dimensions, want 1 to %d: %s", c->path,
                       g4_show(t->name).z, g4_show_count(n_dims).z, G4_MAX_DIMS, damaged);
    t->n_dims = (int)n_dims;
    t->n_elements = 1;
    for (int i = 0; i < G4_MAX_DIMS; i++) {
        uint64_t ne = 1;
        if (i < t->n_dims)
            AS_TRY(take_u64(c, &ne, "a tensor's shape", err));
        if (ne == 0 || ne > INT64_MAX || (uint64_t)t->n_elements > INT64_MAX / ne)
            return fail_tensor(c, t, "has an impossible shape", err);
        t->ne[i] = (int64_t)ne;
        t->n_elements *= (int64_t)ne;
    }
    return AS_OK;
}

static as_code read_size(const cursor *c, g4_tensor *t, uint32_t type, as_err *err)
{
    const g4_type_info *info = g4_type_find(type);
    if (info == NULL)
        return as_fail(err, AS_UNSUPPORTED,
                       "%s: tensor %s: is of type %s, which is not known here: use a model in "
                       "another quantisation",
                       c->path, g4_show(t->name).z, g4_show_count(type).z);
    t->type = (g4_type)type;
    if (t->ne[0] % info->block_elements != 0)
        return as_fail(
            err, AS_PARSE,
            "%s: tensor %s: rows of %s elements do not divide into blocks of %d (%s): %s", c->path,
            g4_show(t->name).z, g4_show_count((uint64_t)t->ne[0]).z, info->block_elements,
            info->name, damaged);
    bool is_ok = g4_type_row_bytes(t->type, t->ne[0], &t->row_bytes);
    t->bytes = t->row_bytes;
    for (int i = 1; is_ok && i < G4_MAX_DIMS; i++)
        is_ok =
            (uint64_t)t->ne[i] <= SIZE_MAX && as_mul_size(t->bytes, (size_t)t->ne[i], &t->bytes);
    return is_ok ? AS_OK : fail_tensor(c, t, "has an impossible shape", err);
}

/* *offset is the tensor's place behind the start of the data, which is not known yet. */
static as_code read_tensor(cursor *c, g4_tensor *out, uint64_t *offset, as_err *err)
{
    *out = (g4_tensor){0};
    AS_TRY(take_str(c, &out->name, "a tensor's name", err));
    if (out->name.n == 0 || out->name.n > MAX_NAME_BYTES)
        return as_fail(err, AS_PARSE,
                       "%s: the name of a tensor at byte %s has %s bytes, want 1 to %d: %s",
                       c->path, g4_show_count(c->at - out->name.n).z, g4_show_count(out->name.n).z,
                       MAX_NAME_BYTES, damaged);
    AS_TRY(read_shape(c, out, err));
    uint32_t type = 0;
    AS_TRY(take_u32(c, &type, "a tensor's type", err));
    AS_TRY(read_size(c, out, type, err));
    return take_u64(c, offset, "a tensor's offset", err);
}

static as_code place_tensor(const cursor *c, g4_tensor *t, uint64_t offset, size_t data_start,
                            size_t alignment, as_err *err)
{
    if (offset % alignment != 0)
        return as_fail(err, AS_PARSE,
                       "%s: tensor %s: its offset %s is not a multiple of the alignment %zu: %s",
                       c->path, g4_show(t->name).z, g4_show_count(offset).z, alignment, damaged);
    const size_t room = data_start < c->n ? c->n - data_start : 0;
    if (offset <= room && t->bytes <= room - (size_t)offset) {
        t->data = c->base + data_start + (size_t)offset;
        return AS_OK;
    }
    if (offset > UINT64_MAX - t->bytes || offset + t->bytes > UINT64_MAX - data_start)
        return fail_tensor(c, t, "lies beyond the end of any file", err);
    return as_fail(err, AS_INTEGRITY,
                   "%s: ends %s bytes before the end of tensor %s: the download is incomplete, "
                   "fetch it again",
                   c->path, g4_show_count(data_start + offset + t->bytes - c->n).z,
                   g4_show(t->name).z);
}

static as_code alignment_of(const cursor *c, const gguf_values *values, size_t *out, as_err *err)
{
    *out = DEFAULT_ALIGNMENT;
    const g4_value *v = gguf_values_find(values, AS_STR("general.alignment"));
    if (v == NULL)
        return AS_OK;
    int64_t n = 0;
    const bool is_number = !v->is_array && g4_value_i64(v, 0, &n);
    if (!is_number || n < 1 || n > UINT32_MAX || (n & (n - 1)) != 0)
        return as_fail(err, AS_PARSE, "%s: general.alignment is not a power of two: %s", c->path,
                       damaged);
    *out = (size_t)n;
    return AS_OK;
}

static as_code read_tensors(g4_gguf *f, cursor *c, uint64_t n, size_t alignment, int part,
                            as_err *err)
{
    /* Offsets wait here until the end of the table tells where the data starts. n was checked
     * against the file's size: 8 bytes for at least MIN_TENSOR_BYTES in the file. */
    uint64_t *offsets = malloc(((size_t)n + 1) * sizeof *offsets);
    if (offsets == NULL)
        return nomem(c->path, err);
    const size_t first = f->n_tensors;
    as_code code = AS_OK;
    for (size_t i = 0; code == AS_OK && i < n; i++) {
        void *p = f->tensors;
        if (!grow(&p, f->n_tensors, &f->tensors_cap, sizeof *f->tensors)) {
            code = nomem(c->path, err);
            break;
        }
        f->tensors = p;
        g4_tensor *t = &f->tensors[f->n_tensors];
        code = read_tensor(c, t, &offsets[i], err);
        t->part = part;
        f->n_tensors += code == AS_OK;
    }
    if (code == AS_OK && c->at > SIZE_MAX - alignment)
        code = as_fail(err, AS_RANGE, "%s: general.alignment is too large", c->path);
    const size_t data_start = (c->at + alignment - 1) / alignment * alignment;
    for (size_t i = 0; code == AS_OK && i < n; i++)
        code = place_tensor(c, &f->tensors[first + i], offsets[i], data_start, alignment, err);
    free(offsets);
    return code;
}

static as_code index_tensors(g4_gguf *f, as_err *err)
{
    f->by_name = calloc(f->n_tensors + 1, sizeof *f->by_name);
    if (f->by_name == NULL)
        return nomem(f->parts[0].path, err);
    for (size_t i = 0; i < f->n_tensors; i++)
        f->by_name[i] = &f->tensors[i];
    qsort(f->by_name, f->n_tensors, sizeof *f->by_name, compare_names);
    for (size_t i = 1; i < f->n_tensors; i++)
        if (as_str_eq(f->by_name[i - 1]->name, f->by_name[i]->name))
            return as_fail(err, AS_PARSE,
                           "%s: tensor %s is there twice: the file was written wrongly, fetch or "
                           "convert the model again",
                           f->parts[f->by_name[i]->part].path, g4_show(f->by_name[i]->name).z);
    return AS_OK;
}

/* ---- parts ----------------------------------------------------------------------------------- */

static as_code map_file(gguf_part *part, const char *path, as_err *err)
{
    /* O_NONBLOCK: a named pipe must be refused, not waited for. */
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return as_fail_sys(err, "%s: cannot be opened", path);
    struct stat st;
    as_code c = AS_OK;
    if (fstat(fd, &st) != 0)
        c = as_fail_sys(err, "%s: cannot be opened", path);
    else if (!S_ISREG(st.st_mode))
        c = as_fail(err, AS_IO, "%s: is not a GGUF file: it is a folder or a device", path);
    else if ((uint64_t)st.st_size > SIZE_MAX)
        c = as_fail(err, AS_RANGE, "%s: is larger than this machine can address", path);
    if (c == AS_OK && st.st_size > 0) {
        void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED) {
            c = as_fail_sys(err, "%s: cannot be mapped into memory", path);
        } else {
            part->base = p;
            part->n_bytes = (size_t)st.st_size;
            part->is_mapped = true;
        }
    }
    (void)close(fd);
    return c;
}

/* What the metadata of one file says about its set. */
typedef struct split {
    int64_t no, count, n_tensors; /* n_tensors of the whole set, -1 unknown */
} split;

static as_code split_of(const char *path, const gguf_values *values, split *out, as_err *err)
{
    *out = (split){.no = 0, .count = 1, .n_tensors = -1};
    const struct {
        as_str key;
        int64_t *field;
        int64_t max;
    } fields[] = {{AS_STR("split.no"), &out->no, MAX_PARTS - 1},
                  {AS_STR("split.count"), &out->count, MAX_PARTS},
                  {AS_STR("split.tensors.count"), &out->n_tensors, INT64_MAX}};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        const g4_value *v = gguf_values_find(values, fields[i].key);
        if (v == NULL)
            continue;
        if (v->is_array || !g4_value_i64(v, 0, fields[i].field) || *fields[i].field < 0 ||
            *fields[i].field > fields[i].max)
            return as_fail(err, AS_PARSE, "%s: metadata \"%s\" is not a number from 0 to %lld: %s",
                           path, g4_show(fields[i].key).z, (long long)fields[i].max, damaged);
    }
    if (out->count == 0) /* some tools write 0 for "not split" */
        out->count = 1;
    return AS_OK;
}

/* Reads one part into f; values are the part's own. */
static as_code read_part(g4_gguf *f, int part, gguf_values *values, split *set, as_err *err)
{
    const gguf_part *p = &f->parts[part];
    cursor c = {.path = p->path, .base = p->base, .n = p->n_bytes};
    header h = {0};
    AS_TRY(read_header(&c, &h, err));
    AS_TRY(read_values(&c, h.n_values, values, err));
    AS_TRY(split_of(p->path, values, set, err));
    size_t alignment = 0;
    AS_TRY(alignment_of(&c, values, &alignment, err));
    AS_TRY(read_tensors(f, &c, h.n_tensors, alignment, part, err));
    if (p->n_bytes > (size_t)(INT64_MAX - f->file_bytes))
        return as_fail(err, AS_RANGE, "%s: the set is too large", p->path);
    f->file_bytes += (int64_t)p->n_bytes;
    return AS_OK;
}

enum { SPLIT_SUFFIX = sizeof "-00001-of-00005.gguf" - 1 };

/* "…-00001-of-00005.gguf" with no and count (from 1) into z, which has the length of path. */
static bool is_split_name(const char *path, int64_t no, int64_t count)
{
    const size_t n = strlen(path);
    char want[SPLIT_SUFFIX + 24];
    (void)snprintf(want, sizeof want, "-%05d-of-%05d.gguf", (int)no, (int)count);
    return n > SPLIT_SUFFIX && strcmp(path + n - SPLIT_SUFFIX, want) == 0;
}

/* The path of part no (from 1), malloc'ed. */
static char *split_path(const char *first, int64_t no, int64_t count)
{
    const size_t stem = strlen(first) - SPLIT_SUFFIX;
    char *path = malloc(stem + SPLIT_SUFFIX + 24);
    if (path != NULL) {
        memcpy(path, first, stem);
        (void)snprintf(path + stem, SPLIT_SUFFIX + 24, "-%05d-of-%05d.gguf", (int)no, (int)count);
    }
    return path;
}

static as_code read_other_part(g4_gguf *f, int i, const split *set, as_err *err)
{
    gguf_part *part = &f->parts[i];
    part->path = split_path(f->parts[0].path, i + 1, set->count);
    if (part->path == NULL)
        return nomem(f->parts[0].path, err);
    f->n_parts = (size_t)i + 1;
    if (map_file(part, part->path, err) != AS_OK)
        return as_wrap(err,
                       "part %d of %d of the model is missing or unreadable; put it beside "
                       "the first",
                       i + 1, (int)set->count);
    gguf_values values = {0};
    split own = {0};
    as_code c = read_part(f, i, &values, &own, err);
    if (c == AS_OK && (own.no != i || own.count != set->count))
        c = as_fail(err, AS_INTEGRITY,
                    "%s: says it is part %d of %d, its name says %d of %d: fetch the set again",
                    part->path, (int)own.no + 1, (int)own.count, i + 1, (int)set->count);
    release_values(&values);
    return c;
}

static as_code read_set(g4_gguf *f, as_err *err)
{
    split set = {0};
    AS_TRY(read_part(f, 0, &f->values, &set, err));
    const char *path = f->parts[0].path;
    if (set.count > 1) {
        if (set.no != 0)
            return as_fail(err, AS_RANGE,
                           "%s: is part %d of %d: open the first part, …-00001-of-%05d.gguf", path,
                           (int)set.no + 1, (int)set.count, (int)set.count);
        if (!f->parts[0].is_mapped || !is_split_name(path, 1, set.count))
            return as_fail(err, AS_RANGE,
                           "%s: is the first of %d parts, but its name does not end in "
                           "-00001-of-%05d.gguf, so the others cannot be found: name it so",
                           path, (int)set.count, (int)set.count);
        gguf_part *parts = realloc(f->parts, (size_t)set.count * sizeof *parts);
        if (parts == NULL)
            return nomem(path, err);
        memset(parts + 1, 0, ((size_t)set.count - 1) * sizeof *parts);
        f->parts = parts;
        for (int i = 1; i < set.count; i++)
            AS_TRY(read_other_part(f, i, &set, err));
        if (set.n_tensors >= 0 && (uint64_t)set.n_tensors != f->n_tensors)
            return as_fail(
                err, AS_INTEGRITY,
                "%s: the set should have %lld tensors, its parts have %zu: fetch it again", path,
                (long long)set.n_tensors, f->n_tensors);
    }
    return index_tensors(f, err);
}

static g4_gguf *new_gguf(const char *path)
{
    g4_gguf *f = calloc(1, sizeof *f);
    if (f == NULL)
        return NULL;
    f->parts = calloc(1, sizeof *f->parts);
    char *copy = strdup(path);
    if (f->parts == NULL || copy == NULL) {
        free(copy);
        free(f->parts);
        free(f);
        return NULL;
    }
    f->parts[0].path = copy;
    f->n_parts = 1;
    return f;
}

as_code g4_gguf_open(g4_gguf **out, const char *path, as_err *err)
{
    *out = NULL;
    g4_gguf *f = new_gguf(path);
    if (f == NULL)
        return nomem(path, err);
    as_code c = map_file(&f->parts[0], path, err);
    if (c == AS_OK)
        c = read_set(f, err);
    if (c != AS_OK) {
        g4_gguf_close(f);
        return c;
    }
    *out = f;
    return AS_OK;
}

as_code g4_gguf_open_memory(g4_gguf **out, as_str bytes, const char *name, as_err *err)
{
    *out = NULL;
    g4_gguf *f = new_gguf(name);
    if (f == NULL)
        return nomem(name, err);
    f->parts[0].base = (const uint8_t *)bytes.p;
    f->parts[0].n_bytes = bytes.n;
    const as_code c = read_set(f, err);
    if (c != AS_OK) {
        g4_gguf_close(f);
        return c;
    }
    *out = f;
    return AS_OK;
}

void g4_gguf_close(g4_gguf *f)
{
    if (f == NULL)
        return;
    for (size_t i = 0; i < f->n_parts; i++) {
        gguf_part *part = &f->parts[i];
        if (part->is_mapped) {
            union {
                const uint8_t *in;
                void *out;
            } p = {part->base}; /* munmap wants what mmap gave, without const */
            (void)munmap(p.out, part->n_bytes);
        }
        free(part->path);
    }
    free(f->parts);
    release_values(&f->values);
    free(f->tensors);
    free(f->by_name);
    free(f);
}

const char *g4_gguf_path(const g4_gguf *f)
{
    return f->parts[0].path;
}

int64_t g4_gguf_file_bytes(const g4_gguf *f)
{
    return f->file_bytes;
}

size_t g4_gguf_n_tensors(const g4_gguf *f)
{
    return f->n_tensors;
}

const g4_tensor *g4_gguf_tensor(const g4_gguf *f, size_t i)
{
    return i < f->n_tensors ? &f->tensors[i] : NULL;
}

const g4_tensor *g4_gguf_find_tensor(const g4_gguf *f, const char *name)
{
    const g4_tensor wanted = {.name = as_str_of(name)};
    const g4_tensor *key = &wanted;
    const g4_tensor **hit = f->n_tensors == 0 ? NULL
                                              : bsearch(&key, f->by_name, f->n_tensors,
                                                        sizeof *f->by_name, compare_names);
    return hit != NULL ? *hit : NULL;
}

as_code g4_gguf_need_tensor(const g4_gguf *f, const char *name, const g4_tensor **out, as_err *err)
{
    *out = g4_gguf_find_tensor(f, name);
    if (*out == NULL)
        return as_fail(err, AS_PARSE,
                       "%s: has no tensor %s: the file is not a complete model of this kind",
                       g4_gguf_path(f), name);
    return AS_OK;
}
