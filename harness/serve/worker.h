#ifndef SERVE_WORKER_H
#define SERVE_WORKER_H
/*
 * worker.h — the thread that owns the backend, and what passes between it and the event loop.
 *
 *   loop ── sv_worker_submit, sv_worker_cancel ──▶ worker ── be_submit, be_poll ──▶ backend
 *   loop ◀── sv_worker_take (after notify) ─────── worker
 *
 * A task is one HTTP request; it has a part for each prompt, and a part asks the backend for a
 * reply, a score of its prompt, or both. The worker keeps at most max_batch backend requests in
 * flight, in order of arrival; while there are any it polls, else it sleeps until it is called.
 *
 * Ownership  from submit until its SV_DONE event a task is the worker's, except for the fields
 *            marked "loop"; every task gets exactly one SV_DONE, also after a cancel.
 * Bounds     sv_worker_load tells how many parts there are, so that the caller can refuse more;
 *            events are bounded by the tokens made.
 * Threads    all calls on the loop's thread; notify comes on the worker's.
 */
#include "backend/backend.h"
#include "serve/api.h"

typedef struct sv_worker sv_worker;
typedef struct sv_task sv_task;

typedef struct sv_part {
    sv_task *task;
    struct sv_part *next;
    int index;
    bool wants_reply, wants_score, is_started;
    int n_open;         /* backend requests in flight */
    const int32_t *ids; /* the prompt's tokens, where they are known */
    int n_ids;          /* 0: not known */
    bool begins_with_bos;
    as_request ask_reply, ask_score;
    as_response reply, score;
    bool has_lost_logprobs;          /* no memory for a piece's: the last piece has the rest */
    size_t n_sent, n_sent_reasoning; /* loop: bytes of the reply streamed */
    int n_sent_logprobs;             /* loop */
    int64_t sent_offset;             /* loop: bytes of their tokens */
} sv_part;

struct sv_task {
    sv_task *next;
    ap_request rq;
    as_json *body; /* rq borrows from it */
    as_arena keep; /* rq and all results */
    sv_part *parts;
    int n_parts, n_left;
    sv_worker *worker;
    as_str rendered; /* AP_TEMPLATE, AP_DETOKENIZE, and AP_TOKENIZE of messages */
    int fail_status; /* 0: fine */
    as_err failure;
    void *conn;        /* loop: NULL when the client left */
    bool is_streaming; /* loop */
    uint64_t id;
    int64_t created, received_ns;
};

typedef enum sv_event_kind { SV_DELTA, SV_DONE } sv_event_kind;

typedef struct sv_event {
    struct sv_event *next;
    sv_event_kind kind;
    sv_task *task;
    int part;
    as_str text, reasoning;           /* behind the event, freed with it */
    const as_token_logprob *logprobs; /* in the task's keep */
    int n_logprobs;
} sv_event;

typedef struct sv_totals {
    int running, waiting; /* parts */
    int64_t prompt_tokens, cached_tokens, generated_tokens;
    int64_t n_replies, n_scores, n_failed, n_cancelled;
    double first_token_seconds, prompt_seconds, generation_seconds;
    int64_t n_first_tokens;
    bool is_broken; /* the backend as a whole can do no more */
} sv_totals;

as_code sv_worker_open(sv_worker **out, be_backend *backend, int max_batch, const as_log *log,
                       void (*notify)(void *user), void *user, as_err *err);
/* Cancels what is in flight, waits for the thread. The backend stays the caller's. */
void sv_worker_close(sv_worker *w);
void sv_worker_submit(sv_worker *w, sv_task *task);
void sv_worker_cancel(sv_worker *w, sv_task *task);
void sv_worker_cancel_all(sv_worker *w);
/* The events so far, oldest first; the caller frees each. */
sv_event *sv_worker_take(sv_worker *w);
int sv_worker_load(sv_worker *w);
void sv_worker_totals(sv_worker *w, sv_totals *out);

void sv_task_free(sv_task *task);

#endif
