#ifndef DATASETS_IMPORT_IMPL_H
#define DATASETS_IMPORT_IMPL_H
/*
 * import_impl.h — an import under way, shared by import.c and bulky.c.
 */
#include <stdio.h>

#include "base/buf.h"
#include "datasets/dataset.h"
#include "datasets/dataset_impl.h"

enum { DS_MAX_ROW = 256 << 20 };

typedef struct ds_in_row {
    as_str id;
    as_str where;    /* "mmlu.jsonl: line 7" */
    int64_t row_idx; /* of a page, or -1 */
    size_t at, bytes;
} ds_in_row;

typedef struct ds_out_split {
    as_str name;
    const char *path;
    FILE *file;
    ds_in_row *rows;
    size_t n, cap;
    size_t bytes;
    int64_t n_total; /* what the pages say the split has, or -1 */
    bool from_pages; /* every row so far */
} ds_out_split;

typedef struct ds_job {
    const ds_importer *importer;
    const char *dir; /* being built */
    as_arena keep;   /* ids and places, until the end */
    as_arena scratch;
    as_buf line;
    as_buf notes;
    ds_out_split splits[DS_MAX_SPLITS];
    int n_splits;
    const char *path; /* of the file being read */
    size_t line_no;   /* 0: the file is one document */
    size_t row_no;    /* in an array or page, from 1; 0: neither */
} ds_job;

/* The split of that name, begun when it is new. */
as_code ds_job_split(ds_job *job, as_str name, ds_out_split **out, as_err *err);
/* Notes a row of `bytes` that is about to be written behind the split's others. id lives in
 * job->keep. */
as_code ds_job_remember(ds_job *job, ds_out_split *s, as_str id, size_t bytes, int64_t row_idx,
                        as_err *err);
/* "mmlu.jsonl: line 7", of the row being read. */
as_str ds_job_where(ds_job *job);
as_code ds_row_id(as_str *out, as_str json, as_arena *keep, as_err *err);

/* bulky.c: a whole file of an importer with bulky members. */
as_code ds_job_bulky_file(ds_job *job, const char *path, as_err *err);

#endif
