#ifndef TYPES_REQUEST_H
#define TYPES_REQUEST_H
/*
 * request.h — what a backend is asked.
 *
 * The prompt is one of three: a text (prefix followed by prompt; the prefix is what many requests of
 * a task share, such as few-shot examples), exact token ids, or a list of chat messages. The backend
 * gets the item's identity too: recorded and scripted backends answer by it, others must ignore it.
 *
 * What a backend cannot honour it leaves out and names in as_response.dropped; what it cannot do at
 * all (a prompt of ids, scoring) is a response with AS_ERROR_UNSUPPORTED.
 *
 * Ownership  borrowed by the backend until it has reported the request as done.
 */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

/* A piece of a message that is not text: the file's bytes as they are (PNG, JPEG, WebP; WAV, MP3,
 * FLAC). It stands before the message's text. */
typedef struct as_media {
    bool is_audio;
    as_str mime; /* "image/png", "audio/wav" */
    as_str bytes;
} as_media;

/* A last message of the assistant is the beginning of the reply: the model goes on from there, and
 * the response holds only what it added. */
typedef struct as_message {
    as_str role; /* "system", "user", "assistant" */
    as_str text;
    const as_media *media;
    int n_media;
} as_message;

typedef enum as_think { AS_THINK_AUTO, AS_THINK_OFF, AS_THINK_ON } as_think;

/* Unset fields (NAN, or negative for integers) leave the choice to the backend's default. */
typedef struct as_sampling {
    double temperature; /* 0 is greedy */
    double top_p, min_p;
    int top_k; /* 0: all */
} as_sampling;

#define AS_SAMPLING_UNSET  ((as_sampling){(double)NAN, (double)NAN, (double)NAN, -1})
#define AS_SAMPLING_GREEDY ((as_sampling){0, (double)NAN, (double)NAN, -1})

enum { AS_MAX_STOP = 8 };

/* GENERATE continues the prompt. SCORE asks how likely a given continuation of the prompt is: no
 * token is made, and response.logprobs has one entry for each token of the continuation. */
typedef enum as_ask { AS_ASK_GENERATE, AS_ASK_SCORE } as_ask;

/* A piece of a reply while it comes. Called from the backend's poll, before done; the texts are
 * valid in the call only. A request that fails after pieces came is tried again from its start. */
typedef struct as_token_logprob as_token_logprob; /* response.h */
typedef struct as_delta {
    as_str text, reasoning; /* either may be empty */
    /* Of the tokens made since the last piece, with top_logprobs; a backend may keep them all, or
     * the last ones, for the response. */
    const as_token_logprob *logprobs;
    int n_logprobs;
} as_delta;
typedef void (*as_on_delta)(void *user, const as_delta *delta);

typedef struct as_request {
    as_ask ask;
    uint64_t job; /* chosen by the caller, echoed with the response */
    as_str suite; /* identity: suite, item, repeat, try */
    as_str item;
    int repeat; /* 0 … repeats-1 */
    int try_no; /* 0, then 1, 2 … after failures */
    bool is_chat;
    as_str prefix, prompt; /* !is_chat, n_ids == 0 */
    const int32_t *ids;    /* !is_chat: exact prompt, nothing is added (no BOS either) */
    int n_ids;
    const as_message *messages; /* is_chat */
    int n_messages;
    as_sampling sampling;
    int max_tokens;           /* > 0 */
    as_str stop[AS_MAX_STOP]; /* the reply ends before the first of them; not part of it */
    int n_stop;
    uint64_t seed; /* of this request */
    as_think think;
    int reasoning_tokens;            /* budget, 0: none set */
    as_str continuation;             /* SCORE after a text … */
    const int32_t *continuation_ids; /* … or after ids */
    int n_continuation_ids;
    int top_logprobs;     /* GENERATE: 0 none, n: of each token made and of the n likeliest there.
                         SCORE: n likeliest for each token of the continuation, at least the best */
    bool whole;           /* ask for the reply in one piece: no times of tokens, but fewer bytes */
    bool ignore_eos;      /* go on past end tokens, for measurements */
    bool no_cache;        /* compute the whole prompt anew */
    as_str lora;          /* the adapter for this request, by the backend's name; empty: none */
    as_on_delta on_delta; /* NULL: not wanted */
    void *delta_user;
} as_request;

#endif
