/* Metadata of an open GGUF file: look-up by key, typed access, sentences for what is missing. */
#include "engine/gguf_impl.h"

#include <stdlib.h>
#include <string.h>

#include "engine/show.h"

enum { N_VALUE_TYPES = G4_VALUE_F64 + 1 };

static const struct {
    const char *name;
    size_t bytes; /* 0: not of fixed size */
} value_types[N_VALUE_TYPES] = {
    [G4_VALUE_U8] = {"u8", 1},       [G4_VALUE_I8] = {"i8", 1},     [G4_VALUE_U16] = {"u16", 2},
    [G4_VALUE_I16] = {"i16", 2},     [G4_VALUE_U32] = {"u32", 4},   [G4_VALUE_I32] = {"i32", 4},
    [G4_VALUE_F32] = {"f32", 4},     [G4_VALUE_BOOL] = {"bool", 1}, [G4_VALUE_STR] = {"string", 0},
    [G4_VALUE_ARRAY] = {"array", 0}, [G4_VALUE_U64] = {"u64", 8},   [G4_VALUE_I64] = {"i64", 8},
    [G4_VALUE_F64] = {"f64", 8},
};

size_t gguf_value_type_bytes(uint32_t type)
{
    return type < N_VALUE_TYPES ? value_types[type].bytes : 0;
}

/* "u32", "string", … */
static const char *g4_value_type_name(g4_value_type type)
{
    return (uint32_t)type < N_VALUE_TYPES ? value_types[type].name : "unknown";
}

static int compare_with_key(const void *key, const void *entry)
{
    return as_str_cmp(*(const as_str *)key, (*(const g4_value *const *)entry)->key);
}

const g4_value *gguf_values_find(const gguf_values *values, as_str key)
{
    if (values->n == 0)
        return NULL;
    const g4_value **hit =
        bsearch(&key, values->by_key, values->n, sizeof *values->by_key, compare_with_key);
    return hit != NULL ? *hit : NULL;
}

size_t g4_gguf_n_values(const g4_gguf *f)
{
    return f->values.n;
}

const g4_value *g4_gguf_value(const g4_gguf *f, size_t i)
{
    return i < f->values.n ? &f->values.v[i] : NULL;
}

const g4_value *g4_gguf_find(const g4_gguf *f, const char *key)
{
    return gguf_values_find(&f->values, as_str_of(key));
}

/* ---- elements -------------------------------------------------------------------------------- */

/* Element i of a type of fixed size, zero-extended; false beyond the end. */
static bool load(const g4_value *v, size_t i, uint64_t *out)
{
    const size_t size = v != NULL ? gguf_value_type_bytes((uint32_t)v->type) : 0;
    if (size == 0 || i >= v->n)
        return false;
    const uint8_t *p = v->p + i * size;
    uint64_t bits = 0;
    for (size_t b = 0; b < size; b++)
        bits |= (uint64_t)p[b] << 8 * b;
    *out = bits;
    return true;
}

/* Two's complement of the low `bytes` bytes. */
static int64_t sign_extend(uint64_t bits, unsigned bytes)
{
    const uint64_t sign = (uint64_t)1 << (8 * bytes - 1);
    const uint64_t wide = (bits ^ sign) - sign;
    int64_t out = 0;
    memcpy(&out, &wide, sizeof out);
    return out;
}

bool g4_value_i64(const g4_value *v, size_t i, int64_t *out)
{
    uint64_t bits = 0;
    if (!load(v, i, &bits))
        return false;
    switch (v->type) {
    case G4_VALUE_U8:
    case G4_VALUE_U16:
    case G4_VALUE_U32:
        *out = (int64_t)bits;
        return true;
    case G4_VALUE_U64:
        if (bits > INT64_MAX)
            return false;
        *out = (int64_t)bits;
        return true;
    case G4_VALUE_I8:
        *out = sign_extend(bits, 1);
        return true;
    case G4_VALUE_I16:
        *out = sign_extend(bits, 2);
        return true;
    case G4_VALUE_I32:
        *out = sign_extend(bits, 4);
        return true;
    case G4_VALUE_I64:
        *out = sign_extend(bits, 8);
        return true;
    case G4_VALUE_F32:
    case G4_VALUE_F64:
    case G4_VALUE_BOOL:
    case G4_VALUE_STR:
    case G4_VALUE_ARRAY:
        return false;
    }
    return false;
}

bool g4_value_f64(const g4_value *v, size_t i, double *out)
{
    uint64_t bits = 0;
    if (!load(v, i, &bits))
        return false;
    if (v->type == G4_VALUE_F32) {
        const uint32_t low = (uint32_t)bits;
        float x = 0;
        memcpy(&x, &low, sizeof x);
        *out = (double)x;
        return true;
    }
    if (v->type == G4_VALUE_F64) {
        memcpy(out, &bits, sizeof *out);
        return true;
    }
    int64_t whole = 0;
    if (!g4_value_i64(v, i, &whole))
        return false;
    *out = (double)whole;
    return true;
}

bool g4_value_bool(const g4_value *v, size_t i, bool *out)
{
    uint64_t bits = 0;
    if (!load(v, i, &bits) || v->type != G4_VALUE_BOOL)
        return false;
    *out = bits != 0;
    return true;
}

g4_strs g4_value_strs(const g4_value *v)
{
    if (v == NULL || v->type != G4_VALUE_STR)
        return (g4_strs){0};
    return (g4_strs){v->p, v->n};
}

bool g4_strs_next(g4_strs *it, as_str *out)
{
    if (it->left == 0)
        return false;
    const uint64_t n = gguf_u64(it->p); /* inside the file: checked when it was opened */
    *out = (as_str){(const char *)it->p + 8, (size_t)n};
    it->p += 8 + (size_t)n;
    it->left--;
    return true;
}

/* ---- scalars --------------------------------------------------------------------------------- */

static as_code fail_missing(const g4_gguf *f, const char *key, as_err *err)
{
    return as_fail(err, AS_PARSE,
                   "%s: metadata \"%s\" is missing: the file is not a complete model of this kind",
                   g4_gguf_path(f), key);
}

static as_code fail_kind(const g4_gguf *f, const g4_value *v, const char *want, as_err *err)
{
    return as_fail(err, AS_PARSE,
                   "%s: metadata \"%s\": want %s, found %s%s: convert the model again",
                   g4_gguf_path(f), g4_show(v->key).z, want, v->is_array ? "an array of " : "",
                   g4_value_type_name(v->type));
}

static as_code read_i64(const g4_gguf *f, const g4_value *v, int64_t min, int64_t max, int64_t *out,
                        as_err *err)
{
    int64_t n = 0;
    if (v->is_array || v->type == G4_VALUE_F32 || v->type == G4_VALUE_F64 ||
        v->type == G4_VALUE_BOOL || v->type == G4_VALUE_STR)
        return fail_kind(f, v, "a whole number", err);
    if (!g4_value_i64(v, 0, &n) || n < min || n > max)
        return as_fail(err, AS_RANGE,
                       "%s: metadata \"%s\": want a number from %lld to %lld, found "
                       "another: convert the model again",
                       g4_gguf_path(f), g4_show(v->key).z, (long long)min, (long long)max);
    *out = n;
    return AS_OK;
}

static as_code read_f32(const g4_gguf *f, const g4_value *v, float *out, as_err *err)
{
    double x = 0;
    if (v->is_array || !g4_value_f64(v, 0, &x))
        return fail_kind(f, v, "a number", err);
    *out = (float)x;
    return AS_OK;
}

/* Some converters write flags as 0 and 1. */
static as_code read_bool(const g4_gguf *f, const g4_value *v, bool *out, as_err *err)
{
    int64_t n = 0;
    if (!v->is_array && g4_value_bool(v, 0, out))
        return AS_OK;
    if (v->is_array || !g4_value_i64(v, 0, &n) || (n != 0 && n != 1))
        return fail_kind(f, v, "true or false", err);
    *out = n == 1;
    return AS_OK;
}

static as_code read_str(const g4_gguf *f, const g4_value *v, as_str *out, as_err *err)
{
    g4_strs it = g4_value_strs(v);
    if (v->is_array || !g4_strs_next(&it, out))
        return fail_kind(f, v, "a string", err);
    return AS_OK;
}

as_code g4_gguf_need_i64(const g4_gguf *f, const char *key, int64_t min, int64_t max, int64_t *out,
                         as_err *err)
{
    const g4_value *v = g4_gguf_find(f, key);
    return v != NULL ? read_i64(f, v, min, max, out, err) : fail_missing(f, key, err);
}

as_code g4_gguf_need_u32(const g4_gguf *f, const char *key, uint32_t *out, as_err *err)
{
    int64_t n = 0;
    AS_TRY(g4_gguf_need_i64(f, key, 0, UINT32_MAX, &n, err));
    *out = (uint32_t)n;
    return AS_OK;
}

as_code g4_gguf_need_f32(const g4_gguf *f, const char *key, float *out, as_err *err)
{
    const g4_value *v = g4_gguf_find(f, key);
    return v != NULL ? read_f32(f, v, out, err) : fail_missing(f, key, err);
}

as_code g4_gguf_need_bool(const g4_gguf *f, const char *key, bool *out, as_err *err)
{
    const g4_value *v = g4_gguf_find(f, key);
    return v != NULL ? read_bool(f, v, out, err) : fail_missing(f, key, err);
}

as_code g4_gguf_need_str(const g4_gguf *f, const char *key, as_str *out, as_err *err)
{
    const g4_value *v = g4_gguf_find(f, key);
    return v != NULL ? read_str(f, v, out, err) : fail_missing(f, key, err);
}

as_code g4_gguf_opt_i64(const g4_gguf *f, const char *key, int64_t min, int64_t max,
                        int64_t fallback, int64_t *out, as_err *err)
{
    const g4_value *v = g4_gguf_find(f, key);
    if (v != NULL)
        return read_i64(f, v, min, max, out, err);
    *out = fallback;
    return AS_OK;
}

as_code g4_gguf_opt_u32(const g4_gguf *f, const char *key, uint32_t fallback, uint32_t *out,
                        as_err *err)
{
    int64_t n = 0;
    AS_TRY(g4_gguf_opt_i64(f, key, 0, UINT32_MAX, fallback, &n, err));
    *out = (uint32_t)n;
    return AS_OK;
}

as_code g4_gguf_opt_f32(const g4_gguf *f, const char *key, float fallback, float *out, as_err *err)
{
    const g4_value *v = g4_gguf_find(f, key);
    if (v != NULL)
        return read_f32(f, v, out, err);
    *out = fallback;
    return AS_OK;
}

as_code g4_gguf_opt_bool(const g4_gguf *f, const char *key, bool fallback, bool *out, as_err *err)
{
    const g4_value *v = g4_gguf_find(f, key);
    if (v != NULL)
        return read_bool(f, v, out, err);
    *out = fallback;
    return AS_OK;
}

as_code g4_gguf_opt_str(const g4_gguf *f, const char *key, as_str fallback, as_str *out,
                        as_err *err)
{
    const g4_value *v = g4_gguf_find(f, key);
    if (v != NULL)
        return read_str(f, v, out, err);
    *out = fallback;
    return AS_OK;
}

/* ---- arrays ---------------------------------------------------------------------------------- */

static as_code check_length(const g4_gguf *f, const g4_value *v, size_t n, as_err *err)
{
    if (v->n == n)
        return AS_OK;
    return as_fail(err, AS_RANGE,
                   "%s: metadata \"%s\" has %s entries, want one for each of %zu layers: convert "
                   "the model again",
                   g4_gguf_path(f), g4_show(v->key).z, g4_show_count(v->n).z, n);
}

as_code g4_gguf_need_u32_each(const g4_gguf *f, const char *key, size_t n_layers, uint32_t *out,
                              as_err *err)
{
    const g4_value *v = g4_gguf_find(f, key);
    if (v == NULL)
        return fail_missing(f, key, err);
    if (v->is_array)
        AS_TRY(check_length(f, v, n_layers, err));
    for (size_t i = 0; i < n_layers; i++) {
        int64_t n = 0;
        if (!g4_value_i64(v, v->is_array ? i : 0, &n) || n < 0 || n > UINT32_MAX)
            return fail_kind(f, v, "whole numbers from 0 to 4294967295", err);
        out[i] = (uint32_t)n;
    }
    return AS_OK;
}

as_code g4_gguf_need_flag_each(const g4_gguf *f, const char *key, size_t n_layers, bool *out,
                               as_err *err)
{
    const g4_value *v = g4_gguf_find(f, key);
    if (v == NULL)
        return fail_missing(f, key, err);
    if (!v->is_array) {
        int64_t period = 0;
        AS_TRY(read_i64(f, v, 1, UINT32_MAX, &period, err));
        for (size_t i = 0; i < n_layers; i++)
            out[i] = (i + 1) % (size_t)period != 0;
        return AS_OK;
    }
    AS_TRY(check_length(f, v, n_layers, err));
    for (size_t i = 0; i < n_layers; i++) {
        int64_t n = 0;
        if (g4_value_bool(v, i, &out[i]))
            continue;
        if (!g4_value_i64(v, i, &n) || (n != 0 && n != 1))
            return fail_kind(f, v, "true or false for each layer", err);
        out[i] = n == 1;
    }
    return AS_OK;
}

/* Which of the kinds named in gguf.h a type belongs to. */
static g4_value_type kind_of(g4_value_type type)
{
    switch (type) {
    case G4_VALUE_U8:
    case G4_VALUE_I8:
    case G4_VALUE_U16:
    case G4_VALUE_I16:
    case G4_VALUE_U32:
    case G4_VALUE_I32:
    case G4_VALUE_U64:
    case G4_VALUE_I64:
        return G4_VALUE_I64;
    case G4_VALUE_F32:
    case G4_VALUE_F64:
        return G4_VALUE_F64;
    case G4_VALUE_BOOL:
    case G4_VALUE_STR:
    case G4_VALUE_ARRAY:
        return type;
    }
    return G4_VALUE_ARRAY;
}

as_code g4_gguf_need_array(const g4_gguf *f, const char *key, g4_value_type kind,
                           const g4_value **out, as_err *err)
{
    *out = NULL;
    const g4_value *v = g4_gguf_find(f, key);
    if (v == NULL)
        return fail_missing(f, key, err);
    if (!v->is_array || kind_of(v->type) != kind_of(kind))
        return fail_kind(f, v,
                         kind_of(kind) == G4_VALUE_STR   ? "an array of strings"
                         : kind_of(kind) == G4_VALUE_I64 ? "an array of whole numbers"
                         : kind_of(kind) == G4_VALUE_F64 ? "an array of numbers"
                                                         : "an array of another kind",
                         err);
    *out = v;
    return AS_OK;
}
