#ifndef SCORERS_CODE_TESTS_H
#define SCORERS_CODE_TESTS_H
/*
 * tests.h — the tests of one problem, read from the dataset when an answer is judged.
 *
 * Form       a line of SPLIT.tests: {"public_test_cases", "private_test_cases", "id"} as in
 *            LiveCodeBench (lists in JSON texts; the private one may be the cell of cell.h), or
 *            {"tests": [...], "id"}; each test {"input": text, "output": text}. Public ones first.
 * Memory     the line, the lists as text, and two pointers a test: what is expected is decoded when
 *            its test is compared.
 * Limits     SC_MAX_CELL_JSON a list, SB_MAX_TESTS tests.
 * Errors     AS_INTEGRITY: the line is not what its hash says. AS_PARSE, AS_RANGE: what is wrong.
 * Ownership  tests borrow from the struct, until sc_tests_release.
 */
#include "base/buf.h"
#include "scorers/code/judge.h"
#include "types/sample.h"

typedef struct sc_tests {
    sc_lcb_test *tests;
    size_t n, cap;
    as_buf line, public_list, private_list;
} sc_tests;

as_code sc_tests_read(sc_tests *out, const as_tests *place, as_err *err);
/* The same from a line in memory. */
as_code sc_tests_parse(sc_tests *out, as_str line, as_err *err);
void sc_tests_release(sc_tests *t);

#endif
