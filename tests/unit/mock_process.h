#ifndef TESTS_UNIT_MOCK_PROCESS_H
#define TESTS_UNIT_MOCK_PROCESS_H
/*
 * mock_process.h — `assay mock` as a process of its own, for tests that drive clients against it.
 *
 * Use        ctest sets AS_PROGRAM and AS_FIXTURES. Every failure ends the test; stopping fails it
 *            too if the mock did not end well (a sanitizer's report, a crash).
 */
#include <sys/types.h>

#include "base/buf.h"

typedef struct mock_process {
    pid_t pid;
    char url[64];
} mock_process;

/* script: beside tests/fixtures/mock/; chunk: "1", "7", "whole", or NULL: as the script says. */
void mock_start(mock_process *m, const char *script, const char *chunk);
/* The body of a reply to GET path, NUL-terminated. */
void mock_get(const mock_process *m, const char *path, as_buf *body);
/* A number of /_mock/stats. */
double mock_stat(const mock_process *m, const char *key);
void mock_stop(mock_process *m);

#endif
