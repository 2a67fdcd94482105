#ifndef BACKEND_HTTP_HINTS_H
#define BACKEND_HTTP_HINTS_H
/*
 * hints.h — how long a server asks to wait, from a reply's head, its JSON and its words.
 *
 * Head       the lines of a reply's head, "name: value", ended by LF or CR LF; names in any case.
 * Order      Retry-After (seconds or an HTTP date), retry-after-ms, Google's RetryInfo.retryDelay,
 *            "retry in 36.9s" in the message, x-ratelimit-reset-requests, -tokens.
 * Units      ms; -1: the server says nothing. Never more than HT_MAX_HINT_MS.
 * Threads    pure.
 */
#include "base/json.h"

enum { HT_MAX_HINT_MS = 7 * 24 * 3600 * 1000 };

/* The value of the last line of that name, trimmed; {NULL, 0} if there is none. */
as_str ht_head_get(as_str head, const char *name);

/* error: the "error" object of the body or NULL. wall_ns: now, since 1970. */
int64_t ht_retry_hint_ms(as_str head, const as_json *error, as_str message, int64_t wall_ns);

/* "1.5s", "6m0s", "120ms", "1h2m"; also a bare number of seconds. -1: not a duration. */
int64_t ht_duration_ms(as_str text);
/* "Wed, 21 Oct 2026 07:28:00 GMT" → seconds since 1970, -1: not such a date. */
int64_t ht_http_date(as_str text);

#endif
