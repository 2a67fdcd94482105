/* chat_read.c — the reading half of chat.h. */
#include <math.h>
#include <string.h>

#include "backend/http/chat.h"

enum { MAX_TOP = 1024, MAX_TOKEN_BYTES = 4096 };

/* Stand-ins for the logarithm of zero: llama.cpp and Ollama −FLT_MAX, vLLM's chat −9999. */
static const double ZERO_BELOW = -1e30, VLLM_MISSING = -9999.0;

as_str ht_json_text(const as_json *object, const char *key)
{
    as_str s = {0};
    (void)as_json_str(as_json_get(object, key), &s);
    return s;
}

double ht_logprob_of(const as_json *number)
{
    double v = 0;
    if (!as_json_f64(number, &v))
        return (double)NAN;
    return v <= ZERO_BELOW || v == VLLM_MISSING ? (double)-INFINITY : v;
}

static void read_count(int64_t *to, const as_json *object, const char *key)
{
    int64_t v = 0;
    if (as_json_i64(as_json_get(object, key), &v) && v >= 0)
        *to = v;
}

void ht_read_usage(ht_job *job, const as_json *usage)
{
    if (as_json_type(usage) != AS_JSON_OBJECT)
        return;
    as_response *r = &job->r;
    read_count(&r->prompt_tokens, usage, "prompt_tokens");
    read_count(&r->completion_tokens, usage, "completion_tokens");
    read_count(&r->reasoning_tokens, usage, "reasoning_tokens");
    read_count(&r->cached_tokens, as_json_get(usage, "prompt_tokens_details"), "cached_tokens");
    read_count(&r->reasoning_tokens, as_json_get(usage, "completion_tokens_details"),
               "reasoning_tokens");
}

static int64_t ns_of_ms(const as_json *object, const char *key)
{
    double ms = 0;
    return as_json_f64(as_json_get(object, key), &ms) && ms >= 0 && ms < 1e12 ? (int64_t)(ms * 1e6)
                                                                              : -1;
}

void ht_read_timings(ht_job *job, const as_json *timings)
{
    if (as_json_type(timings) != AS_JSON_OBJECT)
        return;
    as_response *r = &job->r;
    r->server_prompt_ns = ns_of_ms(timings, "prompt_ms");
    r->server_generation_ns = ns_of_ms(timings, "predicted_ms");
    read_count(&r->cached_tokens, timings, "cache_n");
}

/* vLLM's, where it was started with --enable-per-request-metrics. */
static void read_metrics(ht_job *job, const as_json *metrics)
{
    if (as_json_type(metrics) != AS_JSON_OBJECT)
        return;
    as_response *r = &job->r;
    r->server_queue_ns = ns_of_ms(metrics, "queue_time_ms");
    r->server_generation_ns = ns_of_ms(metrics, "generation_time_ms");
    const int64_t first = ns_of_ms(metrics, "time_to_first_token_ms");
    if (first >= 0)
        r->server_prompt_ns = r->server_queue_ns >= 0 && first > r->server_queue_ns
                                  ? first - r->server_queue_ns
                                  : first;
}

void ht_read_identity(ht_job *job, const as_json *reply)
{
    if (job->model.n == 0)
        ht_job_keep(&job->model, ht_json_text(reply, "model"));
    if (job->fingerprint.n == 0)
        ht_job_keep(&job->fingerprint, ht_json_text(reply, "system_fingerprint"));
}

/* ---- log-probabilities --------------------------------------------------------------------------
 */

/* The token's bytes: "bytes" where it is told, for tokens that are a part of a character. */
static as_str token_text(ht_job *job, const as_json *entry)
{
    const as_json *bytes = as_json_get(entry, "bytes");
    const size_t n = as_json_type(bytes) == AS_JSON_ARRAY ? as_json_count(bytes) : 0;
    char *p = n != 0 && n <= MAX_TOKEN_BYTES ? as_arena_alloc(&job->arena, n, 1) : NULL;
    if (p == NULL)
        return ht_json_text(entry, "token");
    size_t k = 0;
    for (const as_json *b = as_json_first(bytes); b != NULL && k < n; b = as_json_next(b)) {
        int64_t v = 0;
        if (!as_json_i64(b, &v) || v < 0 || v > 255)
            return ht_json_text(entry, "token");
        p[k++] = (char)(unsigned char)v;
    }
    return (as_str){p, k};
}

static as_token read_token(ht_job *job, const as_json *entry)
{
    int64_t id = -1;
    as_token t = {.id = -1, .text = token_text(job, entry)};
    if (as_json_i64(as_json_get(entry, "id"), &id) && id >= 0 && id <= INT32_MAX)
        t.id = (int32_t)id;
    t.logprob = ht_logprob_of(as_json_get(entry, "logprob"));
    return t;
}

void ht_read_logprob(ht_job *job, const as_json *entry)
{
    as_token_logprob lp = {.token = read_token(job, entry)};
    const as_json *list = as_json_get(entry, "top_logprobs");
    size_t n = as_json_type(list) == AS_JSON_ARRAY ? as_json_count(list) : 0;
    as_token *top = n != 0 && n <= HT_MAX_LOGPROBS ? as_new(&job->arena, as_token, n) : NULL;
    n = 0;
    for (const as_json *t = as_json_first(list); top != NULL && t != NULL; t = as_json_next(t))
        top[n++] = read_token(job, t);
    lp.top = top;
    lp.n_top = (int)n;
    if (n != 0)
        lp.is_greedy = lp.token.id >= 0 && top[0].id >= 0 ? lp.token.id == top[0].id
                                                          : as_str_eq(lp.token.text, top[0].text);
    ht_job_add_logprob(job, &lp);
}

static as_token best_of(const as_json *map, int *n_top, ht_job *job, as_token **top)
{
    as_token best = {.id = -1, .logprob = (double)-INFINITY};
    size_t n = as_json_type(map) == AS_JSON_OBJECT ? as_json_count(map) : 0;
    *top = n != 0 && n <= MAX_TOP ? as_new(&job->arena, as_token, n) : NULL;
    *n_top = 0;
    if (*top == NULL)
        return best;
    for (const as_json *m = as_json_first(map); m != NULL; m = as_json_next(m)) {
        const as_token t = {-1, as_json_key(m), ht_logprob_of(m)};
        int at = (*n_top)++;
        for (; at > 0 && (*top)[at - 1].logprob < t.logprob; at--)
            (*top)[at] = (*top)[at - 1];
        (*top)[at] = t;
    }
    return (*top)[0];
}

/* "tokens", "token_logprobs", "top_logprobs": arrays beside each other. */
static void read_classic(ht_job *job, const as_json *logprobs)
{
    const as_json *token = as_json_first(as_json_get(logprobs, "tokens"));
    const as_json *value = as_json_first(as_json_get(logprobs, "token_logprobs"));
    const as_json *map = as_json_first(as_json_get(logprobs, "top_logprobs"));
    for (; token != NULL; token = as_json_next(token)) {
        as_token_logprob lp = {.token = {.id = -1, .logprob = ht_logprob_of(value)}};
        as_token *top = NULL;
        (void)as_json_str(token, &lp.token.text);
        const as_token best = best_of(map, &lp.n_top, job, &top);
        lp.top = top;
        lp.is_greedy = lp.n_top != 0 &&
                       (as_str_eq(best.text, lp.token.text) || lp.token.logprob >= best.logprob);
        ht_job_add_logprob(job, &lp);
        value = as_json_next(value);
        map = as_json_next(map);
    }
}

static void read_logprobs(ht_job *job, const as_json *logprobs)
{
    if (as_json_type(logprobs) != AS_JSON_OBJECT)
        return;
    const as_json *content = as_json_get(logprobs, "content");
    if (as_json_type(content) == AS_JSON_ARRAY)
        for (const as_json *e = as_json_first(content); e != NULL; e = as_json_next(e))
            ht_read_logprob(job, e);
    else
        read_classic(job, logprobs);
}

/* ---- replies ------------------------------------------------------------------------------------
 */

static as_str reasoning_of(const as_json *message)
{
    static const char *const names[] = {"reasoning_content", "reasoning", "reasoning_text",
                                        "thinking"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const as_str s = ht_json_text(message, names[i]);
        if (s.n != 0)
            return s;
    }
    return (as_str){0};
}

static void read_message(ht_job *job, const as_json *message)
{
    const as_json *content = as_json_get(message, "content");
    as_str text = {0};
    (void)as_json_str(content, &text);
    ht_job_add_text(job, text, reasoning_of(message));
    if (as_json_type(content) == AS_JSON_ARRAY)
        for (const as_json *p = as_json_first(content); p != NULL; p = as_json_next(p))
            ht_job_add_text(job, ht_json_text(p, "text"), (as_str){0});
    const as_str refusal = ht_json_text(message, "refusal");
    if (refusal.n != 0 && job->text.n == 0)
        ht_job_add_text(job, refusal, (as_str){0});
}

static void read_choice(ht_job *job, const as_json *choice)
{
    const as_json *delta = as_json_get(choice, "delta");
    const as_json *message = as_json_get(choice, "message");
    as_str s = {0};
    if (as_json_type(delta) == AS_JSON_OBJECT)
        read_message(job, delta);
    else if (as_json_type(message) == AS_JSON_OBJECT)
        read_message(job, message);
    else if (as_json_str(as_json_get(choice, "text"), &s))
        ht_job_add_text(job, s, (as_str){0});
    read_logprobs(job, as_json_get(choice, "logprobs"));
    if (as_json_str(as_json_get(choice, "finish_reason"), &s)) {
        ht_job_finish_raw(job, s);
        /* vLLM names the stop text; a number there is a token id. */
        if (job->r.finish == AS_FINISH_STOP && ht_json_text(choice, "stop_reason").n != 0)
            job->r.finish = AS_FINISH_STOP_TEXT;
    }
}

static void read_common(ht_job *job, const as_json *reply)
{
    ht_read_identity(job, reply);
    for (const as_json *c = as_json_first(as_json_get(reply, "choices")); c != NULL;
         c = as_json_next(c)) {
        int64_t index = 0;
        (void)as_json_i64(as_json_get(c, "index"), &index);
        if (index == 0)
            read_choice(job, c);
    }
    ht_read_usage(job, as_json_get(reply, "usage"));
    ht_read_timings(job, as_json_get(reply, "timings"));
    read_metrics(job, as_json_get(reply, "metrics"));
}

void ht_chat_read_event(ht_driver *d, ht_job *job, as_str name, const as_json *event)
{
    (void)d;
    (void)name;
    read_common(job, event);
}

void ht_chat_read(ht_driver *d, ht_job *job, const as_json *reply)
{
    (void)d;
    if (as_json_type(as_json_get(reply, "choices")) != AS_JSON_ARRAY)
        ht_job_fail(job, AS_ERROR_PROTOCOL, "the reply has no \"choices\"");
    read_common(job, reply);
    ht_job_end(job);
}
