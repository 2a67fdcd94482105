#ifndef BASE_PROC_H
#define BASE_PROC_H
/*
 * proc.h — run a child program to its end, with a deadline.
 *
 * Standard input is /dev/null; standard output and error are collected up to a limit each (what
 * comes behind it is read and dropped, so the child never blocks). At the deadline the child gets
 * SIGKILL and the result is AS_TIMEOUT.
 *
 * Errors     AS_IO if the program cannot be started (named in the text); an exit code other than 0
 *            is a result, not an error.
 * Threads    safe.
 */
#include "base/buf.h"
#include "base/err.h"

typedef struct as_proc_result {
    int exit_code;   /* or -1 when a signal ended it */
    int term_signal; /* or 0 */
} as_proc_result;

/* argv ends in NULL; argv[0] is looked up in PATH. dir NULL: the current folder. out and error may
 * be NULL. */
as_code as_proc_run(const char *const *argv, const char *dir, int64_t deadline_ms, as_buf *out,
                    as_buf *errors, as_proc_result *result, as_err *err);

#endif
