#ifndef SUITES_PROMPT_H
#define SUITES_PROMPT_H
/*
 * prompt.h — pieces of prompts that suites share, and reading rows into samples.
 *
 * Text is collected in an as_buf and moved into an arena at the end.
 */
#include "base/json.h"
#include "suites/suite.h"

/* One worked answer of a few-shot prompt. */
typedef struct su_example {
    as_str group; /* whose questions it stands before; empty: all */
    as_str question;
    const as_str *choices;
    int n_choices;
    as_str answer; /* the worked solution, in the dataset's form */
} su_example;

/* "A. first\nB. second\n…" */
void su_prompt_options(as_buf *b, const as_str *choices, int n);
void su_prompt_add(as_buf *b, const char *before, as_str text, const char *behind);
/* All occurrences of `from` in text replaced. */
void su_prompt_replace(as_buf *b, as_str text, as_str from, as_str to);

/* The text moves into the arena, the buffer is released, also on failure. */
as_code su_prompt_keep(as_str *out, as_buf *b, as_arena *arena, as_err *err);
/* One user message. */
as_code su_prompt_user(as_request *out, as_str text, as_arena *arena, as_err *err);

/* Copies of a row's texts. */
as_code su_row_str(as_str *out, const as_json *row, const char *key, as_arena *keep, as_err *err);
as_code su_row_strs(const as_str **out, int *n, const as_json *row, const char *key, as_arena *keep,
                    as_err *err);

/* The dataset reduced to the splits that a task uses: its hash must not change when a split that
 * has nothing to do with the task is imported. names ends in NULL. */
as_code su_only_splits(ds_info *info, const char *const *names, as_arena *keep, as_err *err);

#endif
