#ifndef DATASETS_DATASET_H
#define DATASETS_DATASET_H
/*
 * dataset.h — the datasets on this machine: import, list, verify, read.
 *
 * Layout     ROOT/NAME/manifest.json and ROOT/NAME/SPLIT.jsonl. A dataset is complete or absent:
 *            it is built in a folder beside its place and renamed.
 * Manifest   {"name","licence","revision","source","imported_at","splits":[{"split","file","rows",
 *            "bytes","sha256"}]}; the dataset's own hash is SHA-256 over the sorted split hashes
 *            (their 32 bytes each, one after the other).
 * Rows       each row is one JSON object a line, in the suite's own fields (each suite documents
 *            them); "id" is a string in all of them, unique in its split. The importer of a suite
 *            turns what people have into that form.
 * Input      a file, gzip'd or not, holds JSON Lines or one JSON document (an array of rows); in
 *            place of a row there may be a page of Hugging Face's datasets-server,
 *            {"rows":[{"row_idx","row","truncated_cells"}…],"partial"}. Pages may come in any
 *            order: a split that came from pages alone is sorted by row_idx. Pages with cut cells
 *            are refused.
 * Splits     an import replaces the splits it brings and keeps the others, after checking them.
 * Errors     name file, line and remedy. A failed import leaves the store as it was.
 * Ownership  infos live in the arena passed in; rows are freed with ds_rows_free.
 * Threads    distinct objects may be used at once. Two imports of one dataset: the later rename
 *            wins, both are whole.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/json.h"

typedef struct ds_split {
    as_str name; /* "test", "validation" */
    as_str file;
    int64_t rows, bytes;
    as_sha256 sha256;
} ds_split;

typedef struct ds_info {
    as_str name, licence, revision, source, imported_at;
    const ds_split *splits;
    int n_splits;
    as_sha256 sha256;
    bool is_builtin; /* ships with the program: no files */
    as_str notes;    /* after ds_import: what a person should know (splits replaced, rows missing),
                        one sentence a line; else empty */
} ds_info;

/* One reader of a suite's files, registered by the program. */
typedef struct ds_importer {
    const char *name;    /* dataset name: "mmlu_pro", "aime" */
    const char *licence; /* default licence text for the manifest */
    const char *source;
    /* One value of an input file in any accepted form → one canonical row and its split. Called for
     * every row; the writer is positioned at a fresh object's place. */
    as_code (*row)(const as_json *value, const char *path, as_str *split, as_jw *out,
                   as_arena *scratch, as_err *err);
    /* For rows too long to hold, such as the tests of programs: the members of these names are not
     * parsed but copied as they come into the split "SPLIT.tests", where each row becomes a line
     * {member: …, "id"}. `row` gets the others, and the row it makes gets one more member, "tests":
     * {"at","bytes","sha256"} of that line. Input: JSON objects one after another, in files of any
     * size; memory is one row without these members, DS_MAX_SMALL bytes at the most. */
    const char *const *bulky; /* NULL-terminated; NULL: none */
    /* With bulky: the split of all rows of a file, and how many rows it is known to have, 0: not
     * known. */
    as_code (*split)(const char *path, as_str *out, int64_t *n_rows, as_arena *keep, as_err *err);
} ds_importer;

enum { DS_MAX_SMALL = 16 << 20, DS_MAX_BULKY = 1 << 30 /* a line of SPLIT.tests */ };

as_code ds_import(const ds_importer *importer, const char *root, const char *const *files,
                  int n_files, ds_info *out, as_arena *keep, as_err *err);

/* All datasets under root, by name. A folder with a damaged manifest is an error naming it. */
as_code ds_list(const char *root, ds_info **out, int *n, as_arena *keep, as_err *err);
/* AS_RANGE with the remedy when it is not there. */
as_code ds_find(const char *root, const char *name, ds_info *out, as_arena *keep, as_err *err);
/* Reads every split and compares rows, bytes and SHA-256 with the manifest: AS_INTEGRITY. */
as_code ds_verify(const char *root, const char *name, as_err *err);

/* The rows of one split, hash checked while reading. *n_rows 0 and AS_OK when the dataset is there
 * but has no such split. Each row's tree lives until ds_rows_free. */
typedef struct ds_rows {
    as_json **row;
    size_t n;
    as_buf text; /* the split's bytes, held while rows borrow from it */
} ds_rows;

as_code ds_load(const char *root, const char *name, const char *split, ds_rows *out, as_err *err);
void ds_rows_free(ds_rows *rows);

/* The dataset's own hash from those of its splits, in any order. */
as_code ds_sha256(as_sha256 *out, const ds_split *splits, int n, as_err *err);

#endif
