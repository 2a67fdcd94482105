#ifndef SERVE_MOCK_H
#define SERVE_MOCK_H
/*
 * mock.h — a scripted server that answers as real ones do, and fails as they do.
 *
 * The script's form is in mk_format (printed by `assay mock --help`) and README.md.
 * Threads    one loop on the caller's thread; returns when *stop is set or a signal's handler has
 *            set it.
 */
#include <signal.h>

#include "base/err.h"
#include "base/log.h"

extern const char mk_format[]; /* the script's form, one screen */

typedef struct mk_options {
    const char *path; /* of the script; "-": standard input */
    const char *host;
    int port;
    int64_t piece_bytes; /* a write, for every reply; 0: as the script says; -1: whole */
    const as_log *log;
    const volatile sig_atomic_t *stop;
    void (*on_ready)(void *user, const char *host, int port);
    void *user;
} mk_options;

as_code mk_run(const mk_options *o, as_err *err);

#endif
