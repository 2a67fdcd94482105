#ifndef SERVE_API_H
#define SERVE_API_H
/*
 * api.h — the bodies that `assay serve` takes: OpenAI's, with what vLLM and llama.cpp add.
 *
 * Rules      a field that would change the answer and cannot be honoured is refused, naming it;
 *            fields nobody here knows are ignored, as other servers do. null counts as absent.
 * Errors     the message is one sentence; *problem has the HTTP status and the field.
 * Ownership  everything borrows from the parsed tree or lies in keep.
 * Threads    pure.
 */
#include "base/arena.h"
#include "base/json.h"
#include "types/request.h"

enum {
    AP_MAX_PROMPTS = 1024,
    AP_MAX_IDS = 1 << 20, /* of one request */
    AP_MAX_MESSAGES = 4096,
    AP_MAX_TOP = 100,
    AP_DEFAULT_TEXT_TOKENS = 16, /* OpenAI's own for /v1/completions */
};

typedef enum ap_route { AP_CHAT, AP_TEXT, AP_TOKENIZE, AP_DETOKENIZE, AP_TEMPLATE } ap_route;

typedef struct ap_limits {
    int max_tokens; /* the most a reply may have, and a chat's default */
    bool can_chat, can_logprobs, can_score, can_ids, can_tokenize, can_detokenize;
    bool can_lora;             /* "model" may name an adapter */
    const char *const *models; /* NULL-terminated: the names this model goes by */
} ap_limits;

typedef struct ap_problem {
    int status;
    char param[64]; /* empty: none in particular */
} ap_problem;

typedef struct ap_prompt {
    as_str text;
    const int32_t *ids; /* not NULL: these, not the text */
    int n_ids;
} ap_prompt;

typedef struct ap_request {
    ap_route route;
    as_str model;      /* as the client named it; empty: not named */
    as_request common; /* sampling, stop, seed, messages …; no prompt, no job */
    ap_prompt *prompts;
    int n_prompts;
    bool stream, include_usage;
    bool echo, return_token_ids, add_special_tokens;
    bool wants_logprobs;
    int top_logprobs;    /* alternatives to show */
    int prompt_logprobs; /* -1: not wanted */
    int max_tokens;      /* 0: none are made (echo, prompt_logprobs) */
} ap_request;

as_code ap_parse(ap_request *out, ap_route route, const as_json *body, const ap_limits *limits,
                 as_arena *keep, ap_problem *problem, as_err *err);

/* {"error": {"message", "type", "param", "code"}} */
void ap_write_error(as_buf *out, int status, const char *param, as_str message);

#endif
