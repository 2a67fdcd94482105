#ifndef TYPES_REQUEST_H
#define TYPES_REQUEST_H
/*
 * request.h — what a backend is asked.
 *
 * The prompt is either one text (prefix followed by prompt; the prefix is what many requests of a
 * task share, such as few-shot examples) or a list of chat messages. The backend gets the item's
 * identity too: recorded and scripted backends answer by it, others must ignore it.
 *
 * Ownership  borrowed by the backend until it has reported the request as done.
 */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

typedef struct as_message {
    as_str role; /* "system", "user", "assistant" */
    as_str text;
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

typedef struct as_request {
    uint64_t job; /* chosen by the caller, echoed with the response */
    as_str suite; /* identity: suite, item, repeat, try */
    as_str item;
    int repeat; /* 0 … repeats-1 */
    int try_no; /* 0, then 1, 2 … after failures */
    bool is_chat;
    as_str prefix, prompt;      /* !is_chat */
    const as_message *messages; /* is_chat */
    int n_messages;
    as_sampling sampling;
    int max_tokens;           /* > 0 */
    as_str stop[AS_MAX_STOP]; /* the reply ends before the first of them; not part of it */
    int n_stop;
    uint64_t seed; /* of this request */
    as_think think;
    int reasoning_tokens; /* budget, 0: none set */
} as_request;

#endif
