#ifndef TYPES_RESPONSE_H
#define TYPES_RESPONSE_H
/*
 * response.h — what came back for one request.
 *
 * A failed request is a response too: finish is AS_FINISH_ERROR, error says of what kind, message
 * holds one sentence. It is stored and shown, and never counted as a wrong answer.
 *
 * Units      tokens: -1 unknown. Times: ns since the request was handed to the backend, -1 unknown.
 * Ownership  texts belong to the backend and are valid in its callback only.
 */
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"
#include "types/sample.h"

typedef enum as_finish {
    AS_FINISH_UNKNOWN,   /* recorded answers often do not say */
    AS_FINISH_STOP,      /* end-of-turn token, or the server's "stop" */
    AS_FINISH_STOP_TEXT, /* one of the request's stop texts */
    AS_FINISH_LENGTH,    /* token limit or context end: truncated */
    AS_FINISH_BLOCKED,   /* refused by a filter */
    AS_FINISH_ERROR,
    AS_FINISH_CANCELLED,
} as_finish;

typedef enum as_error_kind {
    AS_ERROR_NONE,
    AS_ERROR_TRANSPORT, /* no connection, connection lost */
    AS_ERROR_TIMEOUT,
    AS_ERROR_RATE,     /* 429 */
    AS_ERROR_SERVER,   /* 5xx */
    AS_ERROR_REQUEST,  /* the request itself is not acceptable: never retried */
    AS_ERROR_CONTEXT,  /* prompt longer than the window: never retried */
    AS_ERROR_PROTOCOL, /* the reply cannot be understood */
    AS_ERROR_MISSING,  /* a recording or script without this item */
} as_error_kind;

typedef struct as_response {
    as_finish finish;
    as_error_kind error;
    as_str message;         /* of the error */
    as_str text;            /* the answer, without reasoning */
    as_str reasoning;       /* thinking, where the backend tells it apart */
    int http_status;        /* 0: none */
    int64_t retry_after_ms; /* what the server asks for after a failure, -1: nothing */
    int64_t prompt_tokens, completion_tokens, reasoning_tokens, cached_tokens;
    int64_t started_wall_ns; /* since 1970 */
    int64_t queue_ns;        /* waiting for a slot, inside the client */
    int64_t connect_ns;
    int64_t first_token_ns;
    int64_t total_ns;
    int64_t client_cpu_ns;
    as_recorded recorded;
} as_response;

/* Nothing known yet: all counts and times -1. */
void as_response_init(as_response *r);

const char *as_finish_name(as_finish f); /* "stop", "length", … */
bool as_finish_parse(as_finish *out, as_str name);
const char *as_error_kind_name(as_error_kind k);
bool as_error_kind_parse(as_error_kind *out, as_str name);
/* Worth another try: transport, timeout, rate, server, protocol. */
bool as_error_is_transient(as_error_kind k);

#endif
