#ifndef CLI_EXEC_H
#define CLI_EXEC_H
/*
 * exec.h — the files behind `assay exec`, and what it prints.
 *
 * Tests      {"tests": [{"input", "output"}…], "limits": {"cpu_ms", "wall_ms", "memory_mb",
 *            "output_kb", "tasks", "fork", "stack_mb", "tmp_mb"}, "comparator", "tolerance",
 *            "fn_name"}; all but the tests may be left out. The names "stdin" and
 *            "expected_stdout" are taken as well, and a bare array of tests.
 * Manifest   {"programs": [{"id", "file", "language", "stdin", "expected_stdout", "limits",
 *            "comparator", "tolerance", "mode", "fn_name", "repeat"}…]}; files lie beside it.
 * Limits     files of at most 256 MB; 100,000 tests, programs or repeats.
 * Errors     name the file and the program.
 */
#include "cli/cli.h"
#include "scorers/sandbox/sandbox.h"

/* Fills tests, limits, rule of the job. Texts live in keep. */
as_code exec_read_tests(sb_job *job, const char *path, as_arena *keep, as_err *err);
void exec_put_result(as_buf *out, const sb_result *r);
as_code exec_manifest(sb_pool *pool, const char *path, bool want_fresh, cli_env *env, as_err *err);

#endif
