#ifndef BASE_LOG_H
#define BASE_LOG_H
/*
 * log.h — one line of what happened: "module: what: details", to a sink that the program sets.
 *
 * Use        libraries take a const as_log * in their options and pass it on; NULL is silent.
 *            No colours, no progress bars, never a secret.
 * Threads    as_log_line formats on the caller's stack; the sink must be thread-safe (the stderr
 *            sink writes each line with one call).
 */
#include "base/err.h"
#include "base/str.h"

typedef enum as_log_level { AS_LOG_ERROR, AS_LOG_WARN, AS_LOG_INFO, AS_LOG_DEBUG } as_log_level;

typedef struct as_log {
    as_log_level level; /* lines above it are dropped */
    void (*sink)(void *user, as_log_level level, as_str line);
    void *user;
} as_log;

void as_log_line(const as_log *log, as_log_level level, const char *fmt, ...) AS_PRINTF(3, 4);

const char *as_log_level_name(as_log_level level);

#endif
