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
 * Maps the files of a set, has each read (gguf_read.c), and keeps an index of the tensors by name.
 */

enum { MAX_PARTS = 1000 };

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
                           path, g4_show(fields[i].key).z, (long long)fields[i].max, GGUF_DAMAGED);
    }
    if (out->count == 0) /* some tools write 0 for "not split" */
        out->count = 1;
    return AS_OK;
}

/* Reads one part into f; values are the part's own. */
static as_code read_part(g4_gguf *f, int part, gguf_values *values, split *set, as_err *err)
{
    const gguf_part *p = &f->parts[part];
    AS_TRY(gguf_read_part(f, part, values, err));
    AS_TRY(split_of(p->path, values, set, err));
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
    const size_t room = stem + SPLIT_SUFFIX + 24;
    char *path = malloc(room);
    if (path != NULL)
        (void)snprintf(path, room, "%.*s-%05d-of-%05d.gguf", (int)stem, first, (int)no, (int)count);
    return path;
}

static as_code read_other_part(g4_gguf *f, int i, const split *set, as_err *err)
{
    gguf_part *part = &f->parts[i];
    part->path = split_path(f->parts[0].path, i + 1, set->count);
    if (part->path == NULL)
        return gguf_nomem(f->parts[0].path, err);
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
        c = as_fail(err, AS_PARSE,
                    "%s: says it is part %d of %d, its name says %d of %d: fetch the set again",
                    part->path, (int)own.no + 1, (int)own.count, i + 1, (int)set->count);
    gguf_release_values(&values);
    return c;
}

static int compare_names(const void *a, const void *b)
{
    return as_str_cmp((*(const g4_tensor *const *)a)->name, (*(const g4_tensor *const *)b)->name);
}

static as_code index_tensors(g4_gguf *f, as_err *err)
{
    f->by_name = calloc(f->n_tensors + 1, sizeof *f->by_name);
    if (f->by_name == NULL)
        return gguf_nomem(f->parts[0].path, err);
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
            return gguf_nomem(path, err);
        memset(parts + 1, 0, ((size_t)set.count - 1) * sizeof *parts);
        f->parts = parts;
        for (int i = 1; i < set.count; i++)
            AS_TRY(read_other_part(f, i, &set, err));
        if (set.n_tensors >= 0 && (uint64_t)set.n_tensors != f->n_tensors)
            return as_fail(
                err, AS_PARSE,
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
        return gguf_nomem(path, err);
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
        return gguf_nomem(name, err);
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
    gguf_release_values(&f->values);
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
