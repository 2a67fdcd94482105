#ifndef SCORERS_CODE_EXECS_H
#define SCORERS_CODE_EXECS_H
/*
 * execs.h — what the sandbox ran to judge one answer, as rows for the store (as_exec).
 *
 * Rows       one a process, in order: the compiler's first, then the program's. A compiler's whose
 *            result came from a cache has no times.
 * Ownership  texts and the array live in the arena.
 * Threads    pure.
 */
#include "scorers/sandbox/sandbox.h"
#include "types/score.h"

typedef struct sc_execs {
    as_exec *of;
    int n, cap;
} sc_execs;

/* Appends a row for the process of one test result, which was given the tests [first, first + n),
 * counted from 0. Verdict and detail are t's; codes are empty until sc_execs_codes. */
as_code sc_execs_add(sc_execs *e, const sb_result *r, const sb_test_result *t,
                     const sb_limits *limits, size_t first, size_t n, as_arena *arena, as_err *err);
/* Appends the compiler's row. */
as_code sc_execs_add_compiler(sc_execs *e, const sb_result *r, as_arena *arena, as_err *err);
/* The codes of the newest row's tests. */
as_code sc_execs_codes(sc_execs *e, const int *codes, size_t n, as_arena *arena, as_err *err);

#endif
