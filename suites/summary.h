#ifndef SUITES_SUMMARY_H
#define SUITES_SUMMARY_H
/*
 * summary.h — the part of the arithmetic that all suites share.
 *
 * su_summary_basic  n, score (mean of value over attempts), anatomy, groups in order of name, and
 *            the 95 % interval: Wilson on the attempts for one attempt per item; with repeats, the
 *            items are the sampling unit: standard error of the per-item means, and a normal
 *            interval clipped to [0, 1].
 */
#include "suites/suite.h"

as_code su_summary_basic(const as_result *rows, size_t n, as_summary *out, as_arena *keep,
                         as_err *err);

#endif
