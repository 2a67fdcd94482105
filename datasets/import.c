#define _GNU_SOURCE /* renameat2 */
#include "datasets/dataset.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/jsonl.h"
#include "base/time.h"
#include "datasets/dataset_impl.h"
#include "datasets/import_impl.h"

/*
 * How an import works. Rows are written to ROOT/.NAME.new-XXXXXX/SPLIT.jsonl as they come, one line
 * each, and remembered by id, place in the input and place in the file. When all files are read,
 * ids are checked, splits that came in pages are put in order, the splits that this import did not
 * bring are copied from the dataset as it is, and the manifest is written. Then the folder changes
 * places with ROOT/NAME in one system call, and what was there is removed. Until that call nothing
 * but the new folder was touched; on any failure it is removed.
 */

enum { MAX_ORDERED_BYTES = 1 << 30, COPY_BYTES = 1 << 20 };
static const size_t arena_bytes = (size_t)4 << 30;

/* ---------------------------------------------------------------------------- one row */

as_str ds_job_where(ds_job *job)
{
    as_str s = as_arena_printf(&job->keep, "%s", job->path);
    if (job->line_no != 0 && job->row_no != 0)
        s = as_arena_printf(&job->keep, "%s: line %zu, row %zu", job->path, job->line_no,
                            job->row_no);
    else if (job->line_no != 0)
        s = as_arena_printf(&job->keep, "%s: line %zu", job->path, job->line_no);
    else if (job->row_no != 0)
        s = as_arena_printf(&job->keep, "%s: row %zu", job->path, job->row_no);
    return s.p != NULL ? s : AS_STR("?");
}

as_code ds_job_split(ds_job *job, as_str name, ds_out_split **out, as_err *err)
{
    for (int i = 0; i < job->n_splits; i++) {
        if (as_str_eq(job->splits[i].name, name)) {
            *out = &job->splits[i];
            return AS_OK;
        }
    }
    if (!ds_is_name(name) || name.n > DS_MAX_NAME - 6)
        return as_fail(err, AS_RANGE, "\"%.*s\" cannot be the name of a split", AS_ARG(name));
    if (job->n_splits == DS_MAX_SPLITS)
        return as_fail(err, AS_RANGE, "more than %d splits", DS_MAX_SPLITS);
    const as_str file = as_arena_printf(&job->keep, "%.*s.jsonl", AS_ARG(name));
    ds_out_split s = {.name = as_arena_str(&job->keep, name), .n_total = -1, .from_pages = true};
    s.path = file.p != NULL ? as_path_join(&job->keep, job->dir, file.p) : NULL;
    if (s.name.p == NULL || s.path == NULL)
        return as_nomem(err);
    s.file = fopen(s.path, "wbe");
    if (s.file == NULL)
        return as_fail_sys(err, "%s", s.path);
    *out = &job->splits[job->n_splits];
    job->splits[job->n_splits++] = s;
    return AS_OK;
}

as_code ds_row_id(as_str *out, as_str json, as_arena *keep, as_err *err)
{
    as_json *tree = NULL;
    as_str id = {0};
    if (as_json_parse(&tree, json, NULL) != AS_OK || !as_json_str(as_json_get(tree, "id"), &id)) {
        as_json_free(tree);
        return as_fail(err, AS_BUG, "the importer made a row without \"id\"");
    }
    *out = as_arena_str(keep, id);
    as_json_free(tree);
    return out->p != NULL ? AS_OK : as_nomem(err);
}

as_code ds_job_remember(ds_job *job, ds_out_split *s, as_str id, size_t bytes, int64_t row_idx,
                        as_err *err)
{
    ds_in_row *rows = as_grow(s->rows, s->n, &s->cap, sizeof *rows);
    if (rows == NULL)
        return as_nomem(err);
    s->rows = rows;
    ds_in_row row = {
        .where = ds_job_where(job), .row_idx = row_idx, .at = s->bytes, .bytes = bytes, .id = id};
    s->rows[s->n++] = row;
    s->bytes += bytes;
    s->from_pages = s->from_pages && row_idx >= 0;
    return AS_OK;
}

static as_code add_row(ds_job *job, const as_json *value, int64_t row_idx, int64_t n_total,
                       as_err *err)
{
    const size_t mark = as_arena_mark(&job->scratch);
    as_buf_reset(&job->line);
    as_jw w;
    as_jw_init(&w, &job->line);
    as_str split = {0};
    ds_out_split *s = NULL;
    as_code c = job->importer->row(value, job->path, &split, &w, &job->scratch, err);
    if (c == AS_OK)
        c = as_buf_ok(&job->line, err);
    if (c == AS_OK)
        c = ds_job_split(job, split, &s, err);
    as_arena_rewind(&job->scratch, mark);
    if (c == AS_OK) {
        (void)as_buf_add_byte(&job->line, '\n');
        as_str id;
        c = ds_row_id(&id, as_buf_str(&job->line), &job->keep, err);
        if (c == AS_OK)
            c = ds_job_remember(job, s, id, job->line.n, row_idx, err);
    }
    if (c != AS_OK)
        return c;
    if (n_total > s->n_total)
        s->n_total = n_total;
    if (fwrite(job->line.p, 1, job->line.n, s->file) != job->line.n)
        return as_fail_sys(err, "%s", s->path);
    return AS_OK;
}

/* --------------------------------------------------------------------------- one file */

static bool is_page(const as_json *value)
{
    const as_json *rows = as_json_get(value, "rows");
    return as_json_type(rows) == AS_JSON_ARRAY && (as_json_get(value, "num_rows_total") != NULL ||
                                                   as_json_get(value, "features") != NULL ||
                                                   as_json_get(as_json_first(rows), "row") != NULL);
}

static as_code check_cells(const as_json *item, as_err *err)
{
    const as_json *cut = as_json_first(as_json_get(item, "truncated_cells"));
    if (cut == NULL)
        return AS_OK;
    as_str name = AS_STR("?");
    (void)as_json_str(cut, &name);
    return as_fail(err, AS_RANGE,
                   "the server cut the cell \"%.*s\" short (truncated_cells): fetch smaller pages "
                   "(length=1), or the dataset's files",
                   AS_ARG(name));
}

static as_code add_page(ds_job *job, const as_json *page, as_err *err)
{
    int64_t n_total = -1;
    bool is_partial = false;
    (void)as_json_i64(as_json_get(page, "num_rows_total"), &n_total);
    if (as_json_bool(as_json_get(page, "partial"), &is_partial) && is_partial)
        (void)as_buf_printf(&job->notes,
                            "%s: the server had indexed only a part of the dataset (\"partial\")\n",
                            job->path);
    for (const as_json *item = as_json_first(as_json_get(page, "rows")); item != NULL;
         item = as_json_next(item)) {
        job->row_no++;
        const as_json *row = as_json_get(item, "row");
        int64_t row_idx = -1;
        if (row == NULL)
            return as_fail(err, AS_PARSE, "\"row\" is missing, want an object");
        AS_TRY(as_json_need_i64(item, "row_idx", 0, INT64_C(1) << 50, &row_idx, err));
        AS_TRY(check_cells(item, err));
        AS_TRY(add_row(job, row, row_idx, n_total, err));
    }
    return AS_OK;
}

static as_code add_value(ds_job *job, const as_json *value, as_err *err)
{
    as_code c = AS_OK;
    job->row_no = 0;
    if (is_page(value)) {
        c = add_page(job, value, err);
    } else if (as_json_type(value) == AS_JSON_ARRAY) {
        for (const as_json *v = as_json_first(value); c == AS_OK && v != NULL;
             v = as_json_next(v)) {
            job->row_no++;
            c = add_row(job, v, -1, -1, err);
        }
    } else {
        c = add_row(job, value, -1, -1, err);
    }
    return c == AS_OK ? AS_OK : as_wrap(err, "%s", ds_job_where(job).p);
}

/* The first line is no JSON value. It begins a document of several lines if it opens something that
 * it does not close. */
static bool may_begin_document(as_str line)
{
    const as_str s = as_str_trim(line);
    return s.n != 0 && (s.p[0] == '{' || s.p[0] == '[') && s.p[s.n - 1] != '}' &&
           s.p[s.n - 1] != ']';
}

static as_code add_document(ds_job *job, as_jsonl *in, as_str first, as_err *err)
{
    as_buf text;
    as_buf_init(&text, MAX_ORDERED_BYTES);
    as_json *tree = NULL;
    as_code c = AS_OK;
    as_str line = first;
    for (bool is_end = false; c == AS_OK && !is_end;) {
        (void)as_buf_add(&text, line);
        (void)as_buf_add_byte(&text, '\n');
        c = as_jsonl_next_text(in, &line, &is_end, err);
    }
    if (c == AS_OK)
        c = as_buf_ok(&text, err);
    if (c == AS_OK && (c = as_json_parse(&tree, as_buf_str(&text), err)) != AS_OK)
        as_wrap(err, "%s: read as one document", job->path);
    job->line_no = 0;
    if (c == AS_OK)
        c = add_value(job, tree, err);
    as_json_free(tree);
    as_buf_release(&text);
    return c;
}

static as_code add_line(ds_job *job, as_jsonl *in, as_str line, as_err *err)
{
    job->line_no = as_jsonl_line(in);
    as_json *tree = NULL;
    as_code c = as_json_parse(&tree, line, err);
    if (c != AS_OK && job->line_no == 1 && may_begin_document(line))
        return add_document(job, in, line, err);
    if (c != AS_OK && job->line_no == 1 && as_str_starts(line, AS_STR("PAR1")))
        return as_fail(err, AS_UNSUPPORTED,
                       "%s: is a Parquet file, which is not read here: give JSON Lines, or the row "
                       "pages of datasets-server.huggingface.co",
                       job->path);
    if (c != AS_OK)
        return as_jsonl_wrap(in, err);
    c = add_value(job, tree, err);
    as_json_free(tree);
    return c;
}

static as_code add_file(ds_job *job, const char *path, as_err *err)
{
    if (job->importer->bulky != NULL)
        return ds_job_bulky_file(job, path, err);
    as_jsonl *in = NULL;
    AS_TRY(as_jsonl_open(&in, path, DS_MAX_ROW, err));
    job->path = as_jsonl_path(in);
    as_code c = AS_OK;
    size_t n = 0;
    for (bool is_end = false; c == AS_OK;) {
        as_str line;
        c = as_jsonl_next_text(in, &line, &is_end, err);
        if (c != AS_OK || is_end)
            break;
        c = add_line(job, in, line, err);
        n++;
    }
    if (c == AS_OK && n == 0)
        c = as_fail(err, AS_RANGE, "%s: holds no rows", path);
    as_jsonl_close(in);
    job->path = path;
    return c;
}

/* ------------------------------------------------------------------------- all splits */

static int by_id(const void *a, const void *b)
{
    const ds_in_row *x = a;
    const ds_in_row *y = b;
    const int c = as_str_cmp(x->id, y->id);
    return c != 0 ? c : (x->at > y->at) - (x->at < y->at);
}

static int by_row_idx(const void *a, const void *b)
{
    const ds_in_row *x = a;
    const ds_in_row *y = b;
    if (x->row_idx != y->row_idx)
        return x->row_idx < y->row_idx ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

static as_code check_ids(const ds_out_split *s, as_err *err)
{
    qsort(s->rows, s->n, sizeof s->rows[0], by_id);
    for (size_t i = 1; i < s->n; i++)
        if (as_str_eq(s->rows[i - 1].id, s->rows[i].id))
            return as_fail(err, AS_RANGE,
                           "%s: id \"%.*s\" is in split %.*s already, from %s: every id may occur "
                           "once",
                           s->rows[i].where.p, AS_ARG(s->rows[i].id), AS_ARG(s->name),
                           s->rows[i - 1].where.p);
    return AS_OK;
}

/* Rewrites the file in the order of row_idx unless it is in that order. */
static as_code put_in_order(ds_out_split *s, as_err *err)
{
    qsort(s->rows, s->n, sizeof s->rows[0], by_row_idx);
    bool is_ordered = true;
    for (size_t i = 1; i < s->n; i++)
        is_ordered = is_ordered && s->rows[i - 1].at < s->rows[i].at;
    if (is_ordered)
        return AS_OK;
    as_buf from;
    as_buf to;
    as_buf_init(&from, MAX_ORDERED_BYTES);
    as_buf_init(&to, MAX_ORDERED_BYTES);
    as_code c = as_read_file(&from, s->path, err);
    for (size_t i = 0; c == AS_OK && i < s->n; i++)
        (void)as_buf_add(
            &to, as_str_sub(as_buf_str(&from), s->rows[i].at, s->rows[i].at + s->rows[i].bytes));
    if (c == AS_OK)
        c = as_buf_ok(&to, err);
    if (c == AS_OK)
        c = as_write_file(s->path, as_buf_str(&to), err);
    as_buf_release(&from);
    as_buf_release(&to);
    return c;
}

static as_code finish_split(ds_job *job, ds_out_split *s, as_err *err)
{
    const bool is_written = fflush(s->file) == 0 && fsync(fileno(s->file)) == 0;
    as_code c = is_written ? AS_OK : as_fail_sys(err, "%s", s->path);
    if (fclose(s->file) != 0 && c == AS_OK)
        c = as_fail_sys(err, "%s", s->path);
    s->file = NULL;
    if (c == AS_OK)
        c = check_ids(s, err);
    if (c == AS_OK && s->from_pages)
        c = put_in_order(s, err);
    if (c == AS_OK && s->n_total > (int64_t)s->n)
        (void)as_buf_printf(&job->notes,
                            "split %.*s: %zu of %lld rows; fetch the other pages and import all "
                            "pages together\n",
                            AS_ARG(s->name), s->n, (long long)s->n_total);
    return c;
}

static as_code describe_split(ds_split *out, const ds_out_split *s, as_arena *keep, as_err *err)
{
    *out = (ds_split){
        .name = as_arena_str(keep, s->name),
        .file = as_arena_printf(keep, "%.*s.jsonl", AS_ARG(s->name)),
        .rows = (int64_t)s->n,
        .bytes = (int64_t)s->bytes,
    };
    if (out->name.p == NULL || out->file.p == NULL)
        return as_nomem(err);
    return as_sha256_file(&out->sha256, s->path, err);
}

static as_code copy_file(const char *from, const char *to, as_err *err)
{
    FILE *in = fopen(from, "rbe");
    if (in == NULL)
        return as_fail_sys(err, "%s", from);
    FILE *out = fopen(to, "wbe");
    char *piece = malloc(COPY_BYTES);
    as_code c = out != NULL && piece != NULL ? AS_OK : as_fail_sys(err, "%s", to);
    for (size_t n; c == AS_OK && (n = fread(piece, 1, COPY_BYTES, in)) != 0;)
        if (fwrite(piece, 1, n, out) != n)
            c = as_fail_sys(err, "%s", to);
    if (c == AS_OK && ferror(in) != 0)
        c = as_fail_sys(err, "%s", from);
    if (c == AS_OK && (fflush(out) != 0 || fsync(fileno(out)) != 0))
        c = as_fail_sys(err, "%s", to);
    if (out != NULL && fclose(out) != 0 && c == AS_OK)
        c = as_fail_sys(err, "%s", to);
    (void)fclose(in);
    free(piece);
    return c;
}

static as_code copy_split(ds_job *job, const char *from_dir, const ds_split *s, as_err *err)
{
    const char *from = as_path_join(&job->scratch, from_dir, s->file.p);
    const char *to = as_path_join(&job->scratch, job->dir, s->file.p);
    if (from == NULL || to == NULL)
        return as_nomem(err);
    as_code c = ds_split_check(from_dir, s, err);
    if (c == AS_OK)
        c = copy_file(from, to, err);
    return c == AS_OK ? AS_OK
                      : as_wrap(err,
                                "split %s of the dataset cannot be kept: name its file in this "
                                "import too",
                                s->name.p);
}

/* Adds the splits that the dataset has and this import does not bring. */
static as_code keep_others(ds_job *job, const char *place, ds_split *splits, int *n, as_arena *keep,
                           as_err *err)
{
    ds_info old = {0};
    as_err why = {0};
    const as_code c = ds_manifest_read(&old, place, keep, &why);
    if (c == AS_IO && why.sys == ENOENT)
        return AS_OK;
    if (c != AS_OK) {
        (void)as_buf_printf(&job->notes, "replaced what was there: %s\n", why.text);
        return AS_OK;
    }
    const int n_new = *n;
    for (int i = 0; i < old.n_splits; i++) {
        const ds_split *s = &old.splits[i];
        const ds_split *same = NULL;
        for (int k = 0; k < n_new && same == NULL; k++)
            same = as_str_eq(splits[k].name, s->name) ? &splits[k] : NULL;
        /* The tests of rows that are replaced go with them. */
        for (int k = 0; k < n_new && same == NULL; k++)
            same = s->name.n == splits[k].name.n + 6 && as_str_starts(s->name, splits[k].name) &&
                           as_str_ends(s->name, AS_STR(".tests"))
                       ? &splits[k]
                       : NULL;
        if (same != NULL) {
            (void)as_buf_printf(&job->notes, "split %s: %lld rows replace the %lld of before\n",
                                s->name.p, (long long)same->rows, (long long)s->rows);
            continue;
        }
        if (*n == DS_MAX_SPLITS)
            return as_fail(err, AS_RANGE, "more than %d splits", DS_MAX_SPLITS);
        AS_TRY(copy_split(job, place, s, err));
        splits[(*n)++] = *s;
    }
    return AS_OK;
}

static as_code describe(ds_job *job, const char *place, ds_info *out, as_arena *keep, as_err *err)
{
    ds_split *splits = as_new(keep, ds_split, DS_MAX_SPLITS);
    char now[AS_ISO_TIME];
    as_iso_time(now, as_wall_ns());
    *out = (ds_info){
        .name = as_str_of(job->importer->name),
        .licence = as_str_of(job->importer->licence != NULL ? job->importer->licence : ""),
        .revision = AS_STR(""),
        .source = as_str_of(job->importer->source != NULL ? job->importer->source : ""),
        .imported_at = as_arena_str(keep, as_str_of(now)),
        .splits = splits,
    };
    if (splits == NULL || out->imported_at.p == NULL)
        return as_nomem(err);
    for (int i = 0; i < job->n_splits; i++) {
        AS_TRY(finish_split(job, &job->splits[i], err));
        AS_TRY(describe_split(&splits[out->n_splits++], &job->splits[i], keep, err));
    }
    AS_TRY(keep_others(job, place, splits, &out->n_splits, keep, err));
    AS_TRY(ds_manifest_write(out, job->dir, err));
    out->notes = as_arena_str(keep, as_buf_str(&job->notes));
    return out->notes.p != NULL ? AS_OK : as_nomem(err);
}

/* --------------------------------------------------------------------------- in place */

/* A dataset's folder holds plain files only. */
static void remove_folder(const char *path)
{
    DIR *dir = opendir(path);
    if (dir == NULL)
        return;
    for (const struct dirent *e; (e = readdir(dir)) != NULL;)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            (void)unlinkat(dirfd(dir), e->d_name, 0);
    closedir(dir);
    (void)rmdir(path);
}

/* File systems without the exchange (some network ones) get two renames: for a moment the dataset
 * is absent, never half there. */
static as_code change_places(const char *dir, const char *place, as_arena *scratch, as_err *err)
{
    if (renameat2(AT_FDCWD, dir, AT_FDCWD, place, RENAME_EXCHANGE) == 0)
        return AS_OK;
    if (errno != EINVAL && errno != ENOSYS)
        return as_fail_sys(err, "%s", place);
    const char *aside = as_arena_printf(scratch, "%s-old", dir).p;
    if (aside == NULL)
        return as_nomem(err);
    if (rename(place, aside) != 0)
        return as_fail_sys(err, "%s", place);
    if (rename(dir, place) != 0) {
        const as_code c = as_fail_sys(err, "%s", place);
        (void)rename(aside, place);
        return c;
    }
    remove_folder(aside);
    return AS_OK;
}

static as_code move_in(const char *dir, const char *place, as_arena *scratch, as_err *err)
{
    if (!as_file_exists(place) && rename(dir, place) == 0)
        return AS_OK;
    if (!as_is_dir(place))
        return as_fail(err, AS_IO, "%s: is in the way of the dataset's folder", place);
    AS_TRY(change_places(dir, place, scratch, err));
    remove_folder(dir); /* now what was there before */
    return AS_OK;
}

static as_code run_job(ds_job *job, const char *root, const char *const *files, int n_files,
                       ds_info *out, as_arena *keep, as_err *err)
{
    const char *place = as_path_join(&job->scratch, root, job->importer->name);
    as_str dir = as_arena_printf(&job->scratch, "%s/.%s.new-XXXXXX", root, job->importer->name);
    if (place == NULL || dir.p == NULL)
        return as_nomem(err);
    AS_TRY(as_make_dirs(root, err));
    char *made = as_arena_alloc(&job->scratch, dir.n + 1, 1);
    if (made == NULL)
        return as_nomem(err);
    memcpy(made, dir.p, dir.n + 1);
    if (mkdtemp(made) == NULL)
        return as_fail_sys(err, "%s", root);
    job->dir = made;
    as_code c = chmod(made, 0755) == 0 ? AS_OK : as_fail_sys(err, "%s", made);
    for (int i = 0; c == AS_OK && i < n_files; i++)
        c = add_file(job, files[i], err);
    ds_info info = {0};
    if (c == AS_OK)
        c = describe(job, place, &info, keep, err);
    if (c == AS_OK)
        c = move_in(made, place, &job->scratch, err);
    if (c == AS_OK)
        *out = info;
    else
        remove_folder(made);
    return c;
}

static void release_job(ds_job *job)
{
    for (int i = 0; i < job->n_splits; i++) {
        if (job->splits[i].file != NULL)
            (void)fclose(job->splits[i].file);
        free(job->splits[i].rows);
    }
    as_buf_release(&job->line);
    as_buf_release(&job->notes);
    as_arena_release(&job->keep);
    as_arena_release(&job->scratch);
    free(job);
}

as_code ds_import(const ds_importer *importer, const char *root, const char *const *files,
                  int n_files, ds_info *out, as_arena *keep, as_err *err)
{
    if (!ds_is_name(as_str_of(importer->name)))
        return as_fail(err, AS_RANGE, "\"%s\" cannot be the name of a dataset", importer->name);
    if (n_files <= 0)
        return as_fail(err, AS_RANGE, "no file to import: `assay data import %s FILE…`",
                       importer->name);
    ds_job *job = calloc(1, sizeof *job);
    if (job == NULL)
        return as_nomem(err);
    job->importer = importer;
    as_arena_init(&job->keep, arena_bytes);
    as_arena_init(&job->scratch, arena_bytes);
    as_buf_init(&job->line, DS_MAX_ROW);
    as_buf_init(&job->notes, 1 << 20);
    const as_code c = run_job(job, root, files, n_files, out, keep, err);
    release_job(job);
    if (c != AS_OK && err != NULL) {
        const as_err why = *err;
        (void)as_fail(err, why.code, "%s; nothing was imported", why.text);
        err->sys = why.sys;
    }
    return c;
}
