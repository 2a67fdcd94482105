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
#include "types/request.h"
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
    AS_ERROR_RATE,        /* 429 */
    AS_ERROR_SERVER,      /* 5xx */
    AS_ERROR_REQUEST,     /* the request itself is not acceptable: never retried */
    AS_ERROR_CONTEXT,     /* prompt longer than the window: never retried */
    AS_ERROR_PROTOCOL,    /* the reply cannot be understood */
    AS_ERROR_MISSING,     /* a recording or script without this item */
    AS_ERROR_QUOTA,       /* the day's allowance or the account is used up: a pause does not help */
    AS_ERROR_AUTH,        /* 401, 403: no key or a wrong one */
    AS_ERROR_NOT_FOUND,   /* no such model or route */
    AS_ERROR_UNSUPPORTED, /* the backend cannot do what the request asks */
} as_error_kind;

/* One token of the answer (or of the continuation that was scored). */
typedef struct as_token {
    int32_t id;     /* -1: the backend does not tell */
    as_str text;    /* its bytes; may be part of a character */
    double logprob; /* natural; -INFINITY: given as zero probability; NAN: not told */
} as_token;

struct as_token_logprob {
    as_token token;
    const as_token *top; /* [n_top] the likeliest tokens at this place, best first */
    int n_top;
    bool is_greedy; /* the likeliest of all was this one */
    bool is_bound;  /* logprob is an upper bound: the token was not among those told */
};

/* What a request asked for and the backend left out. */
enum {
    AS_DROPPED_SEED = 1 << 0,
    AS_DROPPED_TOP_K = 1 << 1,
    AS_DROPPED_MIN_P = 1 << 2,
    AS_DROPPED_STOP = 1 << 3, /* more stop texts than it takes */
    AS_DROPPED_THINK = 1 << 4,
    AS_DROPPED_THINK_BUDGET = 1 << 5,
    AS_DROPPED_LOGPROBS = 1 << 6,
    AS_DROPPED_NO_CACHE = 1 << 7,
    AS_DROPPED_MEDIA = 1 << 8,
    AS_DROPPED_LORA = 1 << 9,
    AS_DROPPED_IGNORE_EOS = 1 << 10,
    AS_DROPPED_TOP_P = 1 << 11,
};
enum { AS_N_DROPPED = 12 };

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
    int64_t first_byte_ns;   /* of the reply, its head included */
    int64_t first_token_ns;  /* first piece of text or reasoning: what a user waits for */
    int64_t first_answer_ns; /* first piece of the answer after the reasoning */
    int64_t last_token_ns;
    int64_t total_ns;
    int64_t client_cpu_ns;
    const int64_t *gaps_ns; /* [n_gaps] between pieces that carry text; a piece may hold tokens */
    int n_gaps;
    int64_t server_queue_ns, server_prompt_ns, server_generation_ns, server_load_ns;
    const as_token_logprob *logprobs; /* [n_logprobs] */
    int n_logprobs;
    unsigned dropped;   /* AS_DROPPED_… */
    as_str finish_raw;  /* the server's word */
    as_str model;       /* the model the server says answered */
    as_str fingerprint; /* of the server's build or state */
    as_str endpoint;    /* which of several answered */
    as_recorded recorded;
} as_response;

/* Nothing known yet: all counts and times -1. */
void as_response_init(as_response *r);

const char *as_finish_name(as_finish f); /* "stop", "length", … */
bool as_finish_parse(as_finish *out, as_str name);
/* The name of one AS_DROPPED_ bit, "seed", "top_k", …; bit 0 … AS_N_DROPPED - 1. */
const char *as_dropped_name(int bit);
const char *as_error_kind_name(as_error_kind k);
bool as_error_kind_parse(as_error_kind *out, as_str name);

#endif
