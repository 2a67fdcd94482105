#ifndef SERVE_SERVE_H
#define SERVE_SERVE_H
/*
 * serve.h — a backend behind OpenAI's HTTP interface.
 *
 * Routes, fields and names of metrics are listed in README.md.
 * Safety     loopback unless a key is given; the key is compared without telling how much of it was
 *            right, and is never logged. Bodies, connections and waiting requests are limited.
 * Stopping   when *stop is set: no new connections; requests under way may end within grace_ms, then
 *            they are cancelled; returns AS_OK.
 * Threads    the event loop runs on the caller's thread, the backend on one of its own.
 */
#include <signal.h>

#include "backend/backend.h"

typedef struct sv_options {
    be_backend *backend;
    const char *host;
    int port;                  /* 0: the system chooses */
    const char *key;           /* NULL: none is asked for */
    const char *const *models; /* NULL-terminated, at least one: names of the model */
    int max_connections, max_batch, max_queue;
    int max_body_bytes;
    int request_ms; /* for a whole request to arrive */
    int grace_ms;
    int n_ctx; /* positions of a prompt and its reply; 0 unknown */
    const as_log *log;
    const volatile sig_atomic_t *stop;
    void (*on_ready)(void *user, const char *host, int port);
    void *user;
} sv_options;

as_code sv_check(const sv_options *o, as_err *err); /* address and key alone */
as_code sv_run(const sv_options *o, as_err *err);

#endif
