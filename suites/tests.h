#ifndef SUITES_TESTS_H
#define SUITES_TESTS_H
/*
 * tests.h — what suites of programs share: the place of a problem's tests, pass@k.
 */
#include "base/json.h"
#include "suites/suite.h"

/* A row's "tests" member, of the file at path. spec: names of the row's members that say how to
 * judge, NULL at the end. */
as_code su_row_tests(const as_tests **out, const as_json *row, const char *path,
                     const char *const *spec, as_arena *keep, as_err *err);

/* Adds the metrics pass@1 (mean over items of right / runs), pass@k (unbiased, mean over the items
 * with k runs or more) and k: most, or the runs of the item with most if that is fewer; most 0: all
 * runs. */
as_code su_put_pass_metrics(as_summary *s, const as_result *rows, size_t n, int most,
                            as_arena *keep, as_err *err);

#endif
