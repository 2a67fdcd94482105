#include "engine/gguf.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "engine/gguf_impl.h"
#include "engine/show.h"

/*
 * Reads one file: a cursor that knows its end goes from front to back. Metadata values become
 * records that point into the map, tensors likewise. Tables grow as entries are read, so a count
 * that lies costs nothing: it runs into the end of the file first. The index is sorted, not hashed,
 * because names are the attacker's to choose.
 */

enum {
    MIN_VALUE_BYTES = 8 + 1 + 4 + 1,          /* key of one byte, a value of one byte */
    MIN_TENSOR_BYTES = 8 + 1 + 4 + 8 + 4 + 8, /* name of one byte, one dimension */
    MAX_NAME_BYTES = 63,
    MAX_KEY_BYTES = 65535,
    MAX_NESTING = 4, /* arrays of arrays; none are in use */
    DEFAULT_ALIGNMENT = 32,
};

static const char damaged[] = GGUF_DAMAGED;

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

as_code gguf_nomem(const char *path, as_err *err)
{
    return as_fail(err, AS_NOMEM, "%s: not enough memory for the file's tables", path);
}

static int compare_keys(const void *a, const void *b)
{
    return as_str_cmp((*(const g4_value *const *)a)->key, (*(const g4_value *const *)b)->key);
}

static as_code index_values(const char *path, gguf_values *values, as_err *err)
{
    values->by_key = calloc(values->n + 1, sizeof *values->by_key);
    if (values->by_key == NULL)
        return gguf_nomem(path, err);
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
        void *p = as_grow(out->v, out->n, &out->cap, sizeof *out->v);
        if (p == NULL)
            return gguf_nomem(c->path, err);
        out->v = p;
        out->v[out->n++] = v;
    }
    return index_values(c->path, out, err);
}

void gguf_release_values(gguf_values *values)
{
    free(values->v);
    free(values->by_key);
}

/* ---- tensors ----------------------------------------------------------------------------------
 */

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
    return as_fail(err, AS_PARSE,
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
        return gguf_nomem(c->path, err);
    const size_t first = f->n_tensors;
    as_code code = AS_OK;
    for (size_t i = 0; code == AS_OK && i < n; i++) {
        void *p = as_grow(f->tensors, f->n_tensors, &f->tensors_cap, sizeof *f->tensors);
        if (p == NULL) {
            code = gguf_nomem(c->path, err);
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

as_code gguf_read_part(g4_gguf *f, int part, gguf_values *values, as_err *err)
{
    const gguf_part *p = &f->parts[part];
    cursor c = {.path = p->path, .base = p->base, .n = p->n_bytes};
    header h = {0};
    AS_TRY(read_header(&c, &h, err));
    AS_TRY(read_values(&c, h.n_values, values, err));
    size_t alignment = 0;
    AS_TRY(alignment_of(&c, values, &alignment, err));
    return read_tensors(f, &c, h.n_tensors, alignment, part, err);
}
