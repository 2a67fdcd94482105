#ifndef BACKEND_HTTP_ERRORS_H
#define BACKEND_HTTP_ERRORS_H
/*
 * errors.h — what a server's refusal means: one reader for every form seen in the wild.
 *
 * Bodies     {"error": {"message", "type", "code", …}}, {"error": "text"}, the same in an array,
 *            flat {"object": "error", "message", "code"}, {"detail": "text" | [{"msg"}]}, or any
 *            text (HTML of a proxy). "code" may be a number, a text or null.
 * Class      by the words first, then by the code in the body, then by the HTTP status: servers
 *            answer 500 to requests that are wrong, and 400 to prompts that are too long.
 * Limits     the message keeps HT_MAX_ERROR_TEXT bytes, cut at a character.
 * Threads    pure.
 */
#include "types/response.h"

enum { HT_MAX_ERROR_TEXT = 512, HT_QUOTA_FROM_MS = 600000 };

typedef struct ht_error {
    as_error_kind kind;
    bool is_overload; /* the server is busy or not ready: counts against its health */
    int64_t retry_after_ms;
    int status;                          /* HTTP's, or the one the body names in a stream */
    char message[HT_MAX_ERROR_TEXT + 1]; /* NUL-terminated */
} ht_error;

/* status 200 or 0: an error inside a stream. wall_ns: now, since 1970, for dates in the head. */
void ht_error_parse(ht_error *out, int status, as_str head, as_str body, int64_t wall_ns);

#endif
