#ifndef SCORERS_SANDBOX_HELPER_H
#define SCORERS_SANDBOX_HELPER_H
/*
 * helper.h — one helper process as the pool sees it: start, make a box, run tests in it, stop.
 *
 * Errors     AS_IO, AS_TIMEOUT or AS_INTEGRITY when the helper died, hung or broke the protocol: it
 *            must be stopped then, and another may be started. What the box says is a result.
 * Threads    one helper, one thread; only sb_helper_kick may come from another.
 */
#include <stdatomic.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "scorers/sandbox/box/wire.h"

typedef struct sb_helper {
    atomic_int fd; /* socket; -1: not running */
    pid_t pid;
    bool has_box;
    bx_status status; /* of the last box */
    as_buf in;        /* the last frame; texts of a result point into it */
    as_buf shown;     /* with BX_STREAM: the running test's output so far */
    /* With BX_STREAM, set before the test: false ends it. */
    bool (*want_more)(void *user, as_str output, bool is_first);
    void *user;
} sb_helper;

typedef struct sb_box_file {
    const char *name;
    unsigned mode;
    as_str bytes;
} sb_box_file;

typedef struct sb_box_spec {
    bx_kind kind;
    bx_limits limits;
    const sb_box_file *files;
    size_t n_files;
    const char *const *argv; /* NULL-terminated */
} sb_box_spec;

void sb_helper_init(sb_helper *h); /* all-zero is not a valid helper */
as_code sb_helper_start(sb_helper *h, const char *path, as_err *err);
void sb_helper_stop(sb_helper *h);
/* Makes a running call return soon with an error. Any thread. */
void sb_helper_kick(sb_helper *h);

/* AS_OK also when no box could be made: look at h->status.step. */
as_code sb_helper_open(sb_helper *h, const sb_box_spec *spec, as_err *err);
/* output and errors live in h->in until the next call. */
as_code sb_helper_test(sb_helper *h, const bx_limits *limits, as_str input, as_str program,
                       bx_record *record, as_str *output, as_str *errors, as_err *err);
as_code sb_helper_close_box(sb_helper *h, as_err *err);

#endif
