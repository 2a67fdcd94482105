#ifndef SUITES_SUMMARY_H
#define SUITES_SUMMARY_H
/*
 * summary.h — the part of the arithmetic that all suites share.
 *
 * su_summary_basic  n, score (mean of value over attempts), anatomy, groups in order of name, and
 *            the 95 % interval: Wilson on the attempts for one attempt per item; with repeats, the
 *            items are the sampling unit: standard error of the per-item means, and a normal
 *            interval clipped to [0, 1].
 * Attempts   failed requests and answers that could not be graded say nothing about the model: they
 *            are in the anatomy and nowhere else. n, n_items, score and groups are without them.
 * Nothing    n = 0 gives a score of NAN and the interval [0, 1].
 * Ownership  everything lives in the arena.
 */
#include "suites/suite.h"

as_code su_summary_basic(const as_result *rows, size_t n, as_summary *out, as_arena *keep,
                         as_err *err);

/* Does the attempt count? */
bool su_counts(const as_result *row);

/* Rows by group. Rows that do not count, or have no group, have -1 in `of`. */
typedef struct su_grouping {
    as_str *name; /* [n], in byte order */
    int n;
    int *of; /* [rows] */
} su_grouping;

as_code su_group_rows(su_grouping *out, const as_result *rows, size_t n, as_arena *keep,
                      as_err *err);

/* The end of the run of rows of one item that starts at i. */
size_t su_item_end(const as_result *rows, size_t n, size_t i);

#endif
