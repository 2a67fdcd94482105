#include "engine/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/io.h"
#include "engine/jscan.h"
#include "engine/map.h"
#include "engine/show.h"

enum {
    MAX_HEADER_BYTES = 100 * 1000 * 1000,
    MAX_INDEX_BYTES = 100 * 1000 * 1000,
    MAX_PARTS = 1000,
    ARENA_SLACK = 16 << 20,
};

#define DAMAGED "the download is incomplete or the file is damaged, fetch it again"

typedef struct st_part {
    const char *path; /* in keep */
    g4_map map;
    bool is_mapped; /* ours to unmap */
} st_part;

struct g4_safetensors {
    as_arena keep; /* paths and unescaped names */
    st_part *parts;
    size_t n_parts, parts_cap;
    g4_st_tensor *tensors;
    size_t n_tensors, tensors_cap;
    const g4_st_tensor **by_name;
    int64_t file_bytes;
};

static const struct {
    const char *name;
    int bytes;
} dtypes[] = {
    [G4_ST_F64] = {"F64", 8},         [G4_ST_F32] = {"F32", 4},         [G4_ST_F16] = {"F16", 2},
    [G4_ST_BF16] = {"BF16", 2},       [G4_ST_F8_E4M3] = {"F8_E4M3", 1}, [G4_ST_I64] = {"I64", 8},
    [G4_ST_F8_E5M2] = {"F8_E5M2", 1}, [G4_ST_I32] = {"I32", 4},         [G4_ST_I16] = {"I16", 2},
    [G4_ST_I8] = {"I8", 1},           [G4_ST_U64] = {"U64", 8},         [G4_ST_U32] = {"U32", 4},
    [G4_ST_U16] = {"U16", 2},         [G4_ST_U8] = {"U8", 1},           [G4_ST_BOOL] = {"BOOL", 1},
};

enum { N_DTYPES = sizeof dtypes / sizeof dtypes[0] };

const char *g4_st_dtype_name(g4_st_dtype dtype)
{
    return (unsigned)dtype < N_DTYPES ? dtypes[dtype].name : "unknown";
}

/* ---- the header ------------------------------------------------------------------------------ */

/* One entry as it stands in the header, before it is checked. */
typedef struct entry {
    as_str dtype;
    int n_dims;
    uint64_t shape[G4_ST_MAX_DIMS];
    uint64_t begin, end;
    bool has_dtype, has_shape, has_offsets;
} entry;

static as_code nomem(const char *path, as_err *err)
{
    return as_fail(err, AS_NOMEM, "%s: not enough memory for the file's tables", path);
}

static as_code read_shape(g4_jscan *j, entry *e, as_err *err)
{
    AS_TRY(g4_jscan_begin(j, '[', err));
    for (bool more = false;;) {
        AS_TRY(g4_jscan_more(j, &more, err));
        if (!more)
            return AS_OK;
        if (e->n_dims == G4_ST_MAX_DIMS)
            return g4_jscan_fail(j, "a shape has more than 8 dimensions", err);
        AS_TRY(g4_jscan_u64(j, &e->shape[e->n_dims++], err));
    }
}

static as_code read_offsets(g4_jscan *j, entry *e, as_err *err)
{
    uint64_t *const both[] = {&e->begin, &e->end};
    bool more = false;
    AS_TRY(g4_jscan_begin(j, '[', err));
    for (int i = 0; i < 2; i++) {
        AS_TRY(g4_jscan_more(j, &more, err));
        if (!more)
            return g4_jscan_fail(j, "want two data_offsets", err);
        AS_TRY(g4_jscan_u64(j, both[i], err));
    }
    AS_TRY(g4_jscan_more(j, &more, err));
    return more ? g4_jscan_fail(j, "want two data_offsets", err) : AS_OK;
}

static as_code read_entry(g4_jscan *j, entry *e, as_err *err)
{
    AS_TRY(g4_jscan_begin(j, '{', err));
    for (bool more = false;;) {
        AS_TRY(g4_jscan_more(j, &more, err));
        if (!more)
            return AS_OK;
        as_str key = {0};
        AS_TRY(g4_jscan_key(j, &key, err));
        bool *seen = as_str_eq_z(key, "dtype")          ? &e->has_dtype
                     : as_str_eq_z(key, "shape")        ? &e->has_shape
                     : as_str_eq_z(key, "data_offsets") ? &e->has_offsets
                                                        : NULL;
        if (seen == NULL) {
            AS_TRY(g4_jscan_skip(j, NULL, err));
            continue;
        }
        if (*seen)
            return g4_jscan_fail(j, "a tensor has a key twice", err);
        *seen = true;
        if (seen == &e->has_dtype)
            AS_TRY(g4_jscan_str(j, &e->dtype, err));
        else
            AS_TRY(seen == &e->has_shape ? read_shape(j, e, err) : read_offsets(j, e, err));
    }
}

static as_code fail_tensor(const char *path, as_str name, const char *what, as_err *err)
{
    return as_fail(err, AS_PARSE, "%s: tensor %s: %s: %s", path, g4_show(name).z, what, DAMAGED);
}

static as_code check_entry(const char *path, const entry *e, const uint8_t *data, size_t n_data,
                           g4_st_tensor *t, as_err *err)
{
    if (!e->has_dtype || !e->has_shape || !e->has_offsets)
        return fail_tensor(path, t->name, "has not all of dtype, shape and data_offsets", err);
    int dtype = 0;
    while (dtype < N_DTYPES && !as_str_eq_z(e->dtype, dtypes[dtype].name))
        dtype++;
    if (dtype == N_DTYPES)
        return as_fail(err, AS_UNSUPPORTED,
                       "%s: tensor %s: is of type \"%s\", which is not known here", path,
                       g4_show(t->name).z, g4_show(e->dtype).z);
    t->dtype = (g4_st_dtype)dtype;
    t->n_dims = e->n_dims;
    size_t bytes = (size_t)dtypes[dtype].bytes;
    for (int i = 0; i < e->n_dims; i++) {
        if (e->shape[i] > INT64_MAX || e->shape[i] > SIZE_MAX ||
            !as_mul_size(bytes, (size_t)e->shape[i], &bytes))
            return fail_tensor(path, t->name, "has an impossible shape", err);
        t->shape[i] = (int64_t)e->shape[i];
    }
    if (e->begin > e->end || e->end > n_data)
        return as_fail(err, AS_PARSE,
                       "%s: tensor %s: its data_offsets are %s and %s, the file has %s bytes of "
                       "data: %s",
                       path, g4_show(t->name).z, g4_show_count(e->begin).z, g4_show_count(e->end).z,
                       g4_show_count(n_data).z, DAMAGED);
    if (e->end - e->begin != bytes)
        return as_fail(err, AS_PARSE,
                       "%s: tensor %s: its data_offsets span %s bytes, shape and dtype want %s: %s",
                       path, g4_show(t->name).z, g4_show_count(e->end - e->begin).z,
                       g4_show_count(bytes).z, DAMAGED);
    t->data = data + e->begin;
    t->bytes = bytes;
    return AS_OK;
}

static as_code add_tensor(g4_safetensors *s, const g4_st_tensor *t, as_err *err)
{
    void *p = as_grow(s->tensors, s->n_tensors, &s->tensors_cap, sizeof *s->tensors);
    if (p == NULL)
        return nomem(s->parts[t->part].path, err);
    s->tensors = p;
    s->tensors[s->n_tensors++] = *t;
    return AS_OK;
}

static int compare_data(const void *a, const void *b)
{
    const g4_st_tensor *x = *(const g4_st_tensor *const *)a;
    const g4_st_tensor *y = *(const g4_st_tensor *const *)b;
    if (x->data != y->data)
        return x->data < y->data ? -1 : 1;
    return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

/* Of the tensors from `first` on, which are those of one file. */
static as_code check_overlap(const g4_safetensors *s, size_t first, as_err *err)
{
    const size_t n = s->n_tensors - first;
    const g4_st_tensor **sorted = calloc(n + 1, sizeof *sorted);
    if (sorted == NULL)
        return nomem(s->parts[s->n_parts - 1].path, err);
    for (size_t i = 0; i < n; i++)
        sorted[i] = &s->tensors[first + i];
    qsort(sorted, n, sizeof *sorted, compare_data);
    as_code c = AS_OK;
    for (size_t i = 1; c == AS_OK && i < n; i++)
        if (sorted[i - 1]->data + sorted[i - 1]->bytes > sorted[i]->data)
            c = as_fail(err, AS_PARSE, "%s: tensors %s and %s share bytes: %s",
                        s->parts[sorted[i]->part].path, g4_show(sorted[i - 1]->name).z,
                        g4_show(sorted[i]->name).z, DAMAGED);
    free(sorted);
    return c;
}

/* Reads the header of the last part. */
static as_code read_part(g4_safetensors *s, as_err *err)
{
    const st_part *part = &s->parts[s->n_parts - 1];
    const g4_map *m = &part->map;
    if (m->n < 8)
        return as_fail(err, AS_PARSE, "%s: is not a safetensors file: it has %zu bytes", part->path,
                       m->n);
    uint64_t n_header = 0;
    for (int i = 0; i < 8; i++)
        n_header |= (uint64_t)m->p[i] << 8 * i;
    if (n_header > MAX_HEADER_BYTES || n_header > m->n - 8)
        return as_fail(err, AS_PARSE,
                       "%s: claims a header of %s bytes, the file has %s (and 100,000,000 are the "
                       "most): %s",
                       part->path, g4_show_count(n_header).z, g4_show_count(m->n).z, DAMAGED);
    const as_str text = {(const char *)m->p + 8, (size_t)n_header};
    const uint8_t *data = m->p + 8 + n_header;
    const size_t n_data = m->n - 8 - (size_t)n_header;
    g4_jscan j;
    g4_jscan_init(&j, part->path, text, &s->keep);
    const size_t first = s->n_tensors;
    AS_TRY(g4_jscan_begin(&j, '{', err));
    for (bool more = false;;) {
        AS_TRY(g4_jscan_more(&j, &more, err));
        if (!more)
            break;
        g4_st_tensor t = {.part = (int)s->n_parts - 1};
        AS_TRY(g4_jscan_key(&j, &t.name, err));
        if (as_str_eq_z(t.name, "__metadata__")) {
            AS_TRY(g4_jscan_skip(&j, NULL, err));
            continue;
        }
        entry e = {0};
        AS_TRY(read_entry(&j, &e, err));
        AS_TRY(check_entry(part->path, &e, data, n_data, &t, err));
        AS_TRY(add_tensor(s, &t, err));
    }
    AS_TRY(g4_jscan_end(&j, err));
    s->file_bytes += (int64_t)m->n;
    return check_overlap(s, first, err);
}

/* ---- files ----------------------------------------------------------------------------------- */

static as_code add_part(g4_safetensors *s, const char *path, const as_str *bytes, as_err *err)
{
    const as_str copy = as_arena_str(&s->keep, as_str_of(path));
    void *p =
        copy.p != NULL ? as_grow(s->parts, s->n_parts, &s->parts_cap, sizeof *s->parts) : NULL;
    if (p == NULL)
        return nomem(path, err);
    s->parts = p;
    st_part part = {.path = copy.p, .is_mapped = bytes == NULL};
    if (bytes != NULL)
        part.map = (g4_map){(const uint8_t *)bytes->p, bytes->n};
    else
        AS_TRY(g4_map_open(&part.map, copy.p, err));
    s->parts[s->n_parts++] = part;
    return read_part(s, err);
}

static int compare_names(const void *a, const void *b)
{
    return as_str_cmp((*(const g4_st_tensor *const *)a)->name,
                      (*(const g4_st_tensor *const *)b)->name);
}

static as_code index_names(g4_safetensors *s, as_err *err)
{
    s->by_name = calloc(s->n_tensors + 1, sizeof *s->by_name);
    if (s->by_name == NULL)
        return nomem(s->parts[0].path, err);
    for (size_t i = 0; i < s->n_tensors; i++)
        s->by_name[i] = &s->tensors[i];
    qsort(s->by_name, s->n_tensors, sizeof *s->by_name, compare_names);
    for (size_t i = 1; i < s->n_tensors; i++)
        if (as_str_eq(s->by_name[i - 1]->name, s->by_name[i]->name))
            return as_fail(err, AS_PARSE, "%s: tensor %s is there twice: fetch the model again",
                           s->parts[s->by_name[i]->part].path, g4_show(s->by_name[i]->name).z);
    return AS_OK;
}

static as_code open_with(g4_safetensors **out,
                         as_code (*read)(g4_safetensors *s, const char *path, const as_str *bytes,
                                         as_err *err),
                         const char *path, const as_str *bytes, as_err *err)
{
    *out = NULL;
    g4_safetensors *s = calloc(1, sizeof *s);
    if (s == NULL)
        return as_nomem(err);
    as_arena_init(&s->keep, (size_t)MAX_HEADER_BYTES * 4 + ARENA_SLACK);
    as_code c = read(s, path, bytes, err);
    if (c == AS_OK)
        c = index_names(s, err);
    if (c != AS_OK) {
        g4_safetensors_close(s);
        return c;
    }
    *out = s;
    return AS_OK;
}

as_code g4_safetensors_open(g4_safetensors **out, const char *path, as_err *err)
{
    return open_with(out, add_part, path, NULL, err);
}

as_code g4_safetensors_open_memory(g4_safetensors **out, as_str bytes, const char *name,
                                   as_err *err)
{
    return open_with(out, add_part, name, &bytes, err);
}

/* ---- an index -------------------------------------------------------------------------------- */

/* In the folder itself, and fit for a message of one line. */
static bool is_file_name(as_str name)
{
    for (size_t i = 0; i < name.n; i++)
        if ((unsigned char)name.p[i] < 0x20 || name.p[i] == 0x7f)
            return false;
    return name.n != 0 && name.n < 256 && memchr(name.p, '/', name.n) == NULL &&
           memchr(name.p, '\\', name.n) == NULL && name.p[0] != '.';
}

/* The part of a file name, opened if it is new. */
static as_code part_of(g4_safetensors *s, const char *folder, as_str file, int *out, as_err *err)
{
    for (size_t i = 0; i < s->n_parts; i++)
        if (as_str_eq_z(file, as_path_base(s->parts[i].path))) {
            *out = (int)i;
            return AS_OK;
        }
    if (s->n_parts == MAX_PARTS)
        return as_fail(err, AS_RANGE, "%s: the index names more than %d files", folder, MAX_PARTS);
    *out = (int)s->n_parts;
    const as_str name = as_arena_str(&s->keep, file);
    const char *path = name.p != NULL ? as_path_join(&s->keep, folder, name.p) : NULL;
    if (path == NULL)
        return nomem(folder, err);
    return add_part(s, path, NULL, err);
}

typedef struct place {
    as_str name;
    int part;
} place;

static as_code read_weight_map(g4_safetensors *s, g4_jscan *j, const char *folder, place **places,
                               size_t *n, as_err *err)
{
    size_t cap = 0;
    AS_TRY(g4_jscan_begin(j, '{', err));
    for (bool more = false;;) {
        AS_TRY(g4_jscan_more(j, &more, err));
        if (!more)
            return AS_OK;
        void *p = as_grow(*places, *n, &cap, sizeof **places);
        if (p == NULL)
            return nomem(j->name, err);
        *places = p;
        place *at = &(*places)[*n];
        as_str file = {0};
        AS_TRY(g4_jscan_key(j, &at->name, err));
        AS_TRY(g4_jscan_str(j, &file, err));
        if (!is_file_name(file))
            return as_fail(err, AS_PARSE,
                           "%s: tensor %s is said to be in \"%s\", which is no plain file name",
                           j->name, g4_show(at->name).z, g4_show(file).z);
        AS_TRY(part_of(s, folder, file, &at->part, err));
        (*n)++;
    }
}

static as_code read_index_text(g4_safetensors *s, const char *path, const char *folder, as_str text,
                               as_err *err)
{
    g4_jscan j;
    g4_jscan_init(&j, path, text, &s->keep);
    place *places = NULL;
    size_t n = 0;
    as_code c = g4_jscan_begin(&j, '{', err);
    bool has_map = false;
    for (bool more = false; c == AS_OK;) {
        c = g4_jscan_more(&j, &more, err);
        if (c != AS_OK || !more)
            break;
        as_str key = {0};
        c = g4_jscan_key(&j, &key, err);
        if (c != AS_OK)
            break;
        if (as_str_eq_z(key, "weight_map") && !has_map) {
            has_map = true;
            c = read_weight_map(s, &j, folder, &places, &n, err);
        } else {
            c = g4_jscan_skip(&j, NULL, err);
        }
    }
    if (c == AS_OK)
        c = g4_jscan_end(&j, err);
    if (c == AS_OK && n == 0)
        c = as_fail(err, AS_PARSE, "%s: has no \"weight_map\" that names a tensor", path);
    if (c == AS_OK)
        c = index_names(s, err);
    for (size_t i = 0; c == AS_OK && i < n; i++) {
        const g4_st_tensor *t = g4_safetensors_find(s, places[i].name);
        if (t == NULL || t->part != places[i].part)
            c = as_fail(err, AS_PARSE,
                        "%s: tensor %s is said to be in %s, which does not hold it: fetch the "
                        "model again",
                        path, g4_show(places[i].name).z, s->parts[places[i].part].path);
    }
    free(places);
    free(s->by_name); /* made again by the caller, for files without an index too */
    s->by_name = NULL;
    return c;
}

static as_code read_folder(g4_safetensors *s, const char *folder, const as_str *bytes, as_err *err)
{
    (void)bytes;
    const char *index = as_path_join(&s->keep, folder, "model.safetensors.index.json");
    const char *single = as_path_join(&s->keep, folder, "model.safetensors");
    if (index == NULL || single == NULL)
        return nomem(folder, err);
    if (!as_file_exists(index)) {
        if (!as_file_exists(single))
            return as_fail(err, AS_IO,
                           "%s: has no model.safetensors and no model.safetensors.index.json",
                           folder);
        return add_part(s, single, NULL, err);
    }
    g4_map map;
    AS_TRY(g4_map_open(&map, index, err));
    as_code c = AS_OK;
    if (map.n > MAX_INDEX_BYTES)
        c = as_fail(err, AS_RANGE, "%s: has %s bytes, at most 100,000,000 are read", index,
                    g4_show_count(map.n).z);
    if (c == AS_OK)
        c = read_index_text(s, index, folder, g4_map_str(&map), err);
    g4_map_close(&map);
    return c;
}

as_code g4_safetensors_open_folder(g4_safetensors **out, const char *folder, as_err *err)
{
    return open_with(out, read_folder, folder, NULL, err);
}

void g4_safetensors_close(g4_safetensors *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->n_parts; i++)
        if (s->parts[i].is_mapped)
            g4_map_close(&s->parts[i].map);
    free(s->parts);
    free(s->tensors);
    free(s->by_name);
    as_arena_release(&s->keep);
    free(s);
}

/* ---- look-up --------------------------------------------------------------------------------- */

size_t g4_safetensors_n(const g4_safetensors *s)
{
    return s->n_tensors;
}

const g4_st_tensor *g4_safetensors_at(const g4_safetensors *s, size_t i)
{
    return i < s->n_tensors ? &s->tensors[i] : NULL;
}

const g4_st_tensor *g4_safetensors_find(const g4_safetensors *s, as_str name)
{
    const g4_st_tensor wanted = {.name = name};
    const g4_st_tensor *key = &wanted;
    const g4_st_tensor **hit = s->n_tensors == 0 ? NULL
                                                 : bsearch(&key, s->by_name, s->n_tensors,
                                                           sizeof *s->by_name, compare_names);
    return hit != NULL ? *hit : NULL;
}

const char *g4_safetensors_path(const g4_safetensors *s, int part)
{
    return s->parts[part].path;
}

int64_t g4_safetensors_file_bytes(const g4_safetensors *s)
{
    return s->file_bytes;
}
