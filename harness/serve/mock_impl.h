#ifndef SERVE_MOCK_IMPL_H
#define SERVE_MOCK_IMPL_H
/*
 * mock_impl.h — what the files of `assay mock` share.
 *
 *   mock_script.c   the script: rules, and which of them a request meets
 *   mock_routes.c   path → route, and the routes that answer without a rule
 *   mock_answer.c   a rule's "reply" and the request's body → tokens, counts, numbers
 *   mock_openai.c, mock_forms.c   an answer in the form of its route, as a play
 *   mock_play.c     a play: bytes, pauses between them, and faults; how it is performed
 *   mock.c          the server: counters, the record of requests
 */
#include "base/arena.h"
#include "base/json.h"
#include "base/regex.h"
#include "base/rng.h"
#include "serve/http.h"
#include "serve/mock.h"

/* ---- script ------------------------------------------------------------------------------------ */

enum { MK_NONE = -1, MK_HEAD = -2, MK_HALF = -3 }; /* places in a reply, besides byte counts */

typedef struct mk_times {
    double head_ms, first_ms, token_ms, jitter_ms;
} mk_times;

typedef struct mk_fault {
    int64_t cut_after, reset_after, stall_after; /* bytes of the whole reply, or MK_… */
    double stall_ms;                             /* 0: for ever */
    double ping_ms;                              /* 0: no comments while stalled */
    int64_t long_line;                           /* 0: none */
    bool bad_utf8, bad_json, no_done, no_last_line, no_finish, two_finish, endless, close;
} mk_fault;

typedef struct mk_rule {
    as_str method, path; /* empty: any; path may end in "*" */
    as_regex *match;     /* on the whole body */
    as_str at;           /* JSON pointer */
    const as_json *equals;
    as_regex *like;
    int64_t nth_from, nth_to, nth_every; /* 1-based among the calls that meet the rest; 0: any */
    double share;                        /* 1: all */
    const as_json *reply, *raw;          /* one of them, or neither: the route's own reply */
    mk_times times;
    mk_fault fault;
    int64_t piece_bytes; /* 0: as they come */
    double piece_ms;
    int64_t n_met, n_played;
} mk_rule;

typedef struct mk_script {
    as_buf text;
    as_json *tree;
    as_str dir; /* of the script, for "file" */
    mk_rule *rules;
    int n_rules;
    mk_rule otherwise; /* "default" */
    uint64_t seed;
    as_str model, server, key;
    unsigned servers; /* MK_… bits */
    int64_t n_ctx, slots, close_after_replies, idle_ms, keep_requests;
    double accept_pause_ms;
    as_arena keep;
} mk_script;

as_code mk_script_load(mk_script *s, const char *path, as_err *err);
void mk_script_release(mk_script *s);
/* The first rule that the request meets; counts. Never NULL. */
mk_rule *mk_script_find(mk_script *s, const sv_head *head, as_str body, const as_json *tree);
double mk_number(const as_json *object, const char *key, double otherwise);
as_str mk_text(const as_json *object, const char *key, const char *otherwise);
bool mk_flag(const as_json *object, const char *key, bool otherwise);

/* ---- routes ------------------------------------------------------------------------------------ */

enum {
    MK_OPENAI = 1,
    MK_OLLAMA = 2,
    MK_GEMINI = 4,
    MK_LLAMACPP = 8,
    MK_VLLM = 16,
    MK_LMSTUDIO = 32,
    MK_ALL = 63,
};

typedef struct mk_play mk_play;
typedef struct mk_answer mk_answer;

typedef struct mk_route {
    const char *method, *path; /* path: exact, or "…*…" with one star */
    unsigned servers;
    void (*answer)(mk_play *p, const mk_answer *a); /* a generation … */
    void (*tell)(mk_play *p, const mk_answer *a);   /* … or a fact about the server, as JSON */
    as_str type;                                    /* of tell; empty: JSON */
} mk_route;

/* NULL: no such route on the scripted server. */
const mk_route *mk_route_find(const mk_script *s, const sv_head *head);

/* ---- answers ----------------------------------------------------------------------------------- */

typedef struct mk_token {
    as_str text;
    int32_t id, prev;
    bool is_reasoning;
} mk_token;

struct mk_answer {
    const mk_script *script;
    const sv_head *head;
    const as_json *body;  /* the request's, may be NULL */
    const as_json *reply; /* of the rule, may be NULL */
    as_str model;
    mk_token *tokens;
    int n_tokens;
    as_str reasoning_field;
    const char *finish; /* "stop", "length", … */
    bool is_stream, has_usage, wants_stream_usage;
    int64_t prompt_tokens, completion_tokens, reasoning_tokens, cached_tokens;
    bool wants_logprobs;
    int top;
    mk_times times;
    uint64_t n; /* number of the request */
    as_arena *scratch;
};

void mk_answer_make(mk_answer *a, mk_rule *rule, const mk_fault *fault);
/* The request's prompt as toy tokens (ids as given, texts as bytes behind <bos>); NULL, 0 without. */
int32_t *mk_prompt_ids(const mk_answer *a, const as_json *prompt, int *n);
as_str mk_join(const mk_answer *a, bool reasoning);

/* ---- plays ------------------------------------------------------------------------------------- */

typedef struct mk_step {
    size_t end;      /* of its bytes */
    double delay_ms; /* before it */
    bool is_token;
} mk_step;

struct mk_play {
    as_buf bytes;
    mk_step *steps;
    int n_steps;
    size_t cap_steps;
    size_t head_end;
    int loop_from, loop_to; /* endless: these steps again and again */
    bool keep_open, is_chunked;
    const mk_fault *fault;
    as_buf ev;      /* the event under construction */
    as_buf pending; /* the event before it, not framed yet */
    double pending_ms;
    bool pending_is_token, has_pending;
    as_jw w;
    int status;
    int n_events; /* with JSON */
};

void mk_play_init(mk_play *p);
void mk_play_release(mk_play *p);
void mk_play_reset(mk_play *p, const mk_fault *fault, bool keep_open);
/* The head; chunked: the bytes that follow are framed. Body length otherwise set at mk_play_whole. */
void mk_play_stream(mk_play *p, int status, const char *type, as_str headers, double delay_ms);
/* A whole reply with its head. */
void mk_play_whole(mk_play *p, int status, as_str type, as_str headers, as_str body, double head_ms,
                   double first_ms);
/* One piece of a stream. */
void mk_play_add(mk_play *p, as_str bytes, double delay_ms, bool is_token);
void mk_play_end(mk_play *p);
as_jw *mk_event(mk_play *p); /* begins an event's JSON */
/* Ends it as "data: …" or as a line; MK_LAST: the one that says how the reply ended. */
typedef enum mk_kind { MK_PLAIN, MK_TOKEN, MK_LAST } mk_kind;
void mk_event_sse(mk_play *p, double delay_ms, mk_kind kind);
void mk_event_line(mk_play *p, double delay_ms, mk_kind kind);
void mk_done(mk_play *p); /* "data: [DONE]" */
double mk_token_delay(const mk_answer *a, int i);

/* ---- forms ------------------------------------------------------------------------------------- */

void mk_openai_chat(mk_play *p, const mk_answer *a);
void mk_openai_text(mk_play *p, const mk_answer *a);
void mk_lmstudio_v1_chat(mk_play *p, const mk_answer *a);
void mk_ollama_chat(mk_play *p, const mk_answer *a);
void mk_ollama_generate(mk_play *p, const mk_answer *a);
void mk_gemini_whole(mk_play *p, const mk_answer *a);
void mk_gemini_stream(mk_play *p, const mk_answer *a);
void mk_llamacpp_completion(mk_play *p, const mk_answer *a);
void mk_error_body(as_buf *out, unsigned servers, as_str path, int status, as_str message);
as_str mk_headers_of(const as_json *node, as_buf *into);
/* What the event holds, as a whole JSON reply with the rule's headers and times. */
void mk_whole(mk_play *p, const mk_answer *a);

#endif
