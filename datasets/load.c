#include "datasets/dataset.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "datasets/dataset_impl.h"

/* One split at a time is in memory. */
static const size_t max_split_bytes = (size_t)8 << 30;

static int by_name(const void *a, const void *b)
{
    return as_str_cmp(((const ds_info *)a)->name, ((const ds_info *)b)->name);
}

/* A folder without a manifest is not ours and is passed over. */
static as_code add_folder(ds_info *out, int *n, const char *root, const char *name, as_arena *keep,
                          as_err *err)
{
    const char *dir = as_path_join(keep, root, name);
    const char *manifest = dir != NULL ? as_path_join(keep, dir, DS_MANIFEST) : NULL;
    if (manifest == NULL)
        return as_nomem(err);
    if (!as_file_exists(manifest))
        return AS_OK;
    AS_TRY(ds_manifest_read(&out[*n], dir, keep, err));
    (*n)++;
    return AS_OK;
}

static as_code read_folders(DIR *dir, const char *root, ds_info **out, int *n, as_arena *keep,
                            as_err *err)
{
    enum { MAX_DATASETS = 1024 };
    ds_info *all = as_new(keep, ds_info, MAX_DATASETS);
    if (all == NULL)
        return as_nomem(err);
    int count = 0;
    for (const struct dirent *e; (e = readdir(dir)) != NULL;) {
        if (!ds_is_name(as_str_of(e->d_name)))
            continue;
        if (count == MAX_DATASETS)
            return as_fail(err, AS_RANGE, "%s: more than %d datasets", root, MAX_DATASETS);
        AS_TRY(add_folder(all, &count, root, e->d_name, keep, err));
    }
    qsort(all, (size_t)count, sizeof all[0], by_name);
    *out = all;
    *n = count;
    return AS_OK;
}

as_code ds_list(const char *root, ds_info **out, int *n, as_arena *keep, as_err *err)
{
    *out = NULL;
    *n = 0;
    DIR *dir = opendir(root);
    if (dir == NULL)
        return errno == ENOENT ? AS_OK : as_fail_sys(err, "%s", root);
    const as_code c = read_folders(dir, root, out, n, keep, err);
    closedir(dir);
    return c;
}

as_code ds_find(const char *root, const char *name, ds_info *out, as_arena *keep, as_err *err)
{
    if (!ds_is_name(as_str_of(name)))
        return as_fail(err, AS_RANGE, "\"%s\" cannot be the name of a dataset", name);
    const char *dir = as_path_join(keep, root, name);
    if (dir == NULL)
        return as_nomem(err);
    as_err why = {0};
    const as_code c = ds_manifest_read(out, dir, keep, &why);
    if (c == AS_IO && (why.sys == ENOENT || why.sys == ENOTDIR))
        return as_fail(err, AS_RANGE,
                       "dataset %s is not in %s: bring it in with `assay data import %s FILE…`",
                       name, root, name);
    if (c != AS_OK && err != NULL)
        *err = why;
    return c;
}

/* ROOT/NAME/FILE of a split, read whole and checked against bytes and hash. */
static as_code ds_split_read(as_buf *out, const char *dir, const ds_split *split, as_err *err)
{
    as_arena scratch;
    as_arena_init(&scratch, 0);
    const char *path = as_path_join(&scratch, dir, split->file.p);
    as_code c = path != NULL ? as_read_file(out, path, err) : as_nomem(err);
    if (c == AS_IO && !as_file_exists(path))
        c = as_fail(err, AS_INTEGRITY, "%s: is missing; import the dataset again", path);
    if (c == AS_OK && out->n != (uint64_t)split->bytes)
        c = as_fail(err, AS_INTEGRITY,
                    "%s: has %zu bytes, the manifest says %lld; import the dataset again", path,
                    out->n, (long long)split->bytes);
    if (c == AS_OK) {
        const as_sha256 h = as_sha256_of(as_buf_str(out));
        if (memcmp(h.b, split->sha256.b, sizeof h.b) != 0)
            c = as_fail(err, AS_INTEGRITY,
                        "%s: SHA-256 differs from the manifest's, the file was changed or damaged; "
                        "import the dataset again",
                        path);
    }
    as_arena_release(&scratch);
    return c;
}

static as_code ds_split_scan(const char *dir, const ds_split *split, int64_t *rows, as_err *err)
{
    enum { PIECE = 1 << 20 };
    as_arena scratch;
    as_arena_init(&scratch, 0);
    const char *path = as_path_join(&scratch, dir, split->file.p);
    char *piece = as_arena_alloc(&scratch, PIECE, 1);
    FILE *in = path != NULL ? fopen(path, "rbe") : NULL;
    as_sha256_state *h = as_sha256_new();
    as_code c = AS_OK;
    int64_t bytes = 0;
    *rows = 0;
    if (path == NULL || piece == NULL || h == NULL)
        c = as_nomem(err);
    else if (in == NULL && errno == ENOENT)
        c = as_fail(err, AS_INTEGRITY, "%s: is missing; import the dataset again", path);
    else if (in == NULL)
        c = as_fail_sys(err, "%s", path);
    for (size_t n; c == AS_OK && (n = fread(piece, 1, PIECE, in)) != 0; bytes += (int64_t)n) {
        as_sha256_add(h, (as_str){piece, n});
        for (const char *p = piece; (p = memchr(p, '\n', n - (size_t)(p - piece))) != NULL; p++)
            (*rows)++;
    }
    if (c == AS_OK && ferror(in) != 0)
        c = as_fail_sys(err, "%s", path);
    as_sha256 sum = {{0}};
    if (h != NULL)
        sum = as_sha256_end(h);
    if (c == AS_OK && bytes != split->bytes)
        c = as_fail(err, AS_INTEGRITY,
                    "%s: has %lld bytes, the manifest says %lld; import the dataset again", path,
                    (long long)bytes, (long long)split->bytes);
    if (c == AS_OK && memcmp(sum.b, split->sha256.b, sizeof sum.b) != 0)
        c = as_fail(err, AS_INTEGRITY,
                    "%s: SHA-256 differs from the manifest's, the file was changed or damaged; "
                    "import the dataset again",
                    path);
    if (in != NULL)
        (void)fclose(in);
    as_arena_release(&scratch);
    return c;
}

as_code ds_split_check(const char *dir, const ds_split *split, as_err *err)
{
    int64_t rows = 0;
    return ds_split_scan(dir, split, &rows, err);
}

as_code ds_verify(const char *root, const char *name, as_err *err)
{
    as_arena scratch;
    as_arena_init(&scratch, 0);
    ds_info info;
    as_code c = ds_find(root, name, &info, &scratch, err);
    const char *dir = c == AS_OK ? as_path_join(&scratch, root, name) : NULL;
    if (c == AS_OK && dir == NULL)
        c = as_nomem(err);
    for (int i = 0; c == AS_OK && i < info.n_splits; i++) {
        const ds_split *s = &info.splits[i];
        int64_t n = 0;
        c = ds_split_scan(dir, s, &n, err);
        if (c == AS_OK && n != s->rows)
            c = as_fail(err, AS_INTEGRITY, "%s/%s: has %lld rows, the manifest says %lld", dir,
                        s->file.p, (long long)n, (long long)s->rows);
    }
    as_arena_release(&scratch);
    return c;
}

static as_code parse_rows(ds_rows *out, const ds_split *split, const char *dir, as_err *err)
{
    as_str text = as_buf_str(&out->text);
    out->row = calloc(split->rows > 0 ? (size_t)split->rows : 1, sizeof(as_json *));
    if (out->row == NULL)
        return as_nomem(err);
    for (as_str line; text.n != 0; out->n++) {
        (void)as_str_cut(text, '\n', &line, &text);
        if (out->n == (uint64_t)split->rows)
            return as_fail(err, AS_INTEGRITY, "%s/%s: more rows than the manifest's %lld", dir,
                           split->file.p, (long long)split->rows);
        if (as_json_parse(&out->row[out->n], line, err) != AS_OK)
            return as_wrap(err, "%s/%s: line %zu", dir, split->file.p, out->n + 1);
    }
    if (out->n != (uint64_t)split->rows)
        return as_fail(err, AS_INTEGRITY, "%s/%s: has %zu rows, the manifest says %lld", dir,
                       split->file.p, out->n, (long long)split->rows);
    return AS_OK;
}

static as_code load_split(ds_rows *out, const char *dir, const ds_split *split, as_err *err)
{
    ds_rows rows = {0};
    as_buf_init(&rows.text, max_split_bytes);
    as_code c = ds_split_read(&rows.text, dir, split, err);
    if (c == AS_OK)
        c = parse_rows(&rows, split, dir, err);
    if (c == AS_OK)
        *out = rows;
    else
        ds_rows_free(&rows);
    return c;
}

as_code ds_load(const char *root, const char *name, const char *split, ds_rows *out, as_err *err)
{
    *out = (ds_rows){0};
    as_arena scratch;
    as_arena_init(&scratch, 0);
    ds_info info;
    as_code c = ds_find(root, name, &info, &scratch, err);
    const char *dir = c == AS_OK ? as_path_join(&scratch, root, name) : NULL;
    if (c == AS_OK && dir == NULL)
        c = as_nomem(err);
    for (int i = 0; c == AS_OK && i < info.n_splits; i++) {
        if (!as_str_eq_z(info.splits[i].name, split))
            continue;
        c = load_split(out, dir, &info.splits[i], err);
        break;
    }
    as_arena_release(&scratch);
    return c;
}

void ds_rows_free(ds_rows *rows)
{
    if (rows == NULL)
        return;
    for (size_t i = 0; i < rows->n; i++)
        as_json_free(rows->row[i]);
    free(rows->row);
    as_buf_release(&rows->text);
    *rows = (ds_rows){0};
}
