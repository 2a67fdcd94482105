/* mock_forms.c — Ollama's, Gemini's and llama.cpp's own forms; errors in each server's form. */
#include <string.h>

#include "base/time.h"
#include "base/toymodel.h"
#include "serve/mock_impl.h"

static bool is_length(const mk_answer *a)
{
    return strcmp(a->finish, "length") == 0;
}

as_str mk_headers_of(const as_json *node, as_buf *into)
{
    for (const as_json *h = as_json_first(node); h != NULL; h = as_json_next(h)) {
        as_str value;
        double number = 0;
        if (as_json_str(h, &value))
            (void)as_buf_printf(into, "%.*s: %.*s\r\n", AS_ARG(as_json_key(h)), AS_ARG(value));
        else if (as_json_f64(h, &number))
            (void)as_buf_printf(into, "%.*s: %g\r\n", AS_ARG(as_json_key(h)), number);
    }
    return as_buf_str(into);
}

void mk_whole(mk_play *p, const mk_answer *a)
{
    as_buf headers;
    as_buf_init(&headers, 0);
    mk_play_whole(p, 200, AS_STR("application/json"),
                  mk_headers_of(as_json_get(a->reply, "headers"), &headers), as_buf_str(&p->ev),
                  a->times.head_ms, a->times.first_ms + a->times.token_ms * a->n_tokens);
    as_buf_release(&headers);
}

static void stream(mk_play *p, const mk_answer *a, const char *type)
{
    as_buf headers;
    as_buf_init(&headers, 0);
    mk_play_stream(p, 200, type, mk_headers_of(as_json_get(a->reply, "headers"), &headers),
                   a->times.head_ms);
    as_buf_release(&headers);
}

/* ---- Ollama ------------------------------------------------------------------------------------ */

static void ollama_logprobs(as_jw *w, const mk_answer *a, int from, int to)
{
    if (!a->wants_logprobs || from == to)
        return;
    as_jw_key(w, "logprobs");
    as_jw_begin_array(w);
    for (int i = from; i < to; i++) {
        const mk_token *t = &a->tokens[i];
        as_jw_begin_object(w);
        as_jw_put_str(w, "token", t->text);
        as_jw_put_f64(w, "logprob", as_toy_logprob(t->prev, t->id));
        as_jw_key(w, "top_logprobs");
        as_jw_begin_array(w);
        if (a->top > 0) {
            char piece[16];
            const int32_t greedy = as_toy_greedy(t->prev);
            as_jw_begin_object(w);
            as_jw_put_str(w, "token", (as_str){piece, (size_t)as_toy_piece(piece, greedy)});
            as_jw_put_f64(w, "logprob", as_toy_logprob(t->prev, greedy));
            as_jw_end_object(w);
        }
        as_jw_end_array(w);
        as_jw_end_object(w);
    }
    as_jw_end_array(w);
}

static void ollama_start(as_jw *w, const mk_answer *a, bool is_chat, as_str text, as_str thinking)
{
    as_jw_begin_object(w);
    as_jw_put_str(w, "model", a->model);
    as_jw_put_str(w, "created_at", AS_STR("2026-11-01T10:00:00Z"));
    if (is_chat) {
        as_jw_key(w, "message");
        as_jw_begin_object(w);
        as_jw_put_str(w, "role", AS_STR("assistant"));
        as_jw_put_str(w, "content", text);
    } else {
        as_jw_put_str(w, "response", text);
    }
    if (thinking.n != 0)
        as_jw_put_str(w, "thinking", thinking);
    if (is_chat)
        as_jw_end_object(w);
}

static void ollama_end(as_jw *w, const mk_answer *a)
{
    const double prompt_ns = (a->times.head_ms + a->times.first_ms) * 1e6;
    const double eval_ns = a->times.token_ms * (double)a->n_tokens * 1e6;
    as_jw_put_bool(w, "done", true);
    as_jw_put_str(w, "done_reason", as_str_of(a->finish));
    as_jw_put_i64(w, "total_duration", (int64_t)(prompt_ns + eval_ns) + 2000000);
    as_jw_put_i64(w, "load_duration", 1000000);
    if (a->has_usage) { /* zero counts are left out, as the real one does */
        if (a->prompt_tokens != 0)
            as_jw_put_i64(w, "prompt_eval_count", a->prompt_tokens);
        if (a->completion_tokens != 0)
            as_jw_put_i64(w, "eval_count", a->completion_tokens);
    }
    as_jw_put_i64(w, "prompt_eval_duration", (int64_t)prompt_ns + 1);
    as_jw_put_i64(w, "eval_duration", (int64_t)eval_ns + 1);
    as_jw_end_object(w);
}

static void ollama(mk_play *p, const mk_answer *a, bool is_chat)
{
    if (!a->is_stream) {
        as_jw *w = mk_event(p);
        ollama_start(w, a, is_chat, mk_join(a, false), mk_join(a, true));
        ollama_logprobs(w, a, 0, a->n_tokens);
        ollama_end(w, a);
        mk_whole(p, a);
        return;
    }
    stream(p, a, "application/x-ndjson");
    for (int i = 0; i < a->n_tokens; i++) {
        const mk_token *t = &a->tokens[i];
        as_jw *w = mk_event(p);
        ollama_start(w, a, is_chat, t->is_reasoning ? AS_STR("") : t->text,
                     t->is_reasoning ? t->text : AS_STR(""));
        as_jw_put_bool(w, "done", false);
        ollama_logprobs(w, a, i, i + 1);
        as_jw_end_object(w);
        mk_event_line(p, mk_token_delay(a, i), MK_TOKEN);
    }
    as_jw *w = mk_event(p);
    ollama_start(w, a, is_chat, AS_STR(""), AS_STR(""));
    ollama_end(w, a);
    mk_event_line(p, 0, MK_LAST);
    mk_play_end(p);
}

void mk_ollama_chat(mk_play *p, const mk_answer *a)
{
    ollama(p, a, true);
}

void mk_ollama_generate(mk_play *p, const mk_answer *a)
{
    ollama(p, a, false);
}

/* ---- Gemini ------------------------------------------------------------------------------------ */

static void gemini_part(as_jw *w, as_str text, bool is_thought)
{
    as_jw_begin_object(w);
    as_jw_put_str(w, "text", text);
    if (is_thought)
        as_jw_put_bool(w, "thought", true);
    as_jw_end_object(w);
}

static const char *gemini_finish(const mk_answer *a)
{
    return strcmp(a->finish, "stop") == 0 ? "STOP" : is_length(a) ? "MAX_TOKENS" : a->finish;
}

/* Tokens from … to as one response; is_last tells the finish reason. */
static void gemini_body(as_jw *w, const mk_answer *a, int from, int to, bool is_last)
{
    const as_str blocked = mk_text(a->reply, "blocked", "");
    as_jw_begin_object(w);
    if (blocked.n != 0) {
        as_jw_key(w, "promptFeedback");
        as_jw_begin_object(w);
        as_jw_put_str(w, "blockReason", blocked);
        as_jw_end_object(w);
    } else {
        as_jw_key(w, "candidates");
        as_jw_begin_array(w);
        as_jw_begin_object(w);
        as_jw_put_i64(w, "index", 0);
        as_jw_key(w, "content");
        as_jw_begin_object(w);
        as_jw_put_str(w, "role", AS_STR("model"));
        if (from < to) { /* an empty candidate has no parts at all */
            as_jw_key(w, "parts");
            as_jw_begin_array(w);
            if (to - from == 1) {
                gemini_part(w, a->tokens[from].text, a->tokens[from].is_reasoning);
            } else {
                const as_str thought = mk_join(a, true), text = mk_join(a, false);
                if (thought.n != 0)
                    gemini_part(w, thought, true);
                if (text.n != 0)
                    gemini_part(w, text, false);
            }
            as_jw_end_array(w);
        }
        as_jw_end_object(w);
        if (is_last)
            as_jw_put_str(w, "finishReason", as_str_of(gemini_finish(a)));
        as_jw_end_object(w);
        as_jw_end_array(w);
    }
    if (a->has_usage) {
        as_jw_key(w, "usageMetadata");
        as_jw_begin_object(w);
        as_jw_put_i64(w, "promptTokenCount", a->prompt_tokens);
        const int64_t answer = a->completion_tokens - a->reasoning_tokens;
        if (is_last && answer > 0)
            as_jw_put_i64(w, "candidatesTokenCount", answer);
        if (is_last && a->reasoning_tokens > 0)
            as_jw_put_i64(w, "thoughtsTokenCount", a->reasoning_tokens);
        as_jw_put_i64(w, "totalTokenCount",
                      a->prompt_tokens + (is_last ? a->completion_tokens : 0));
        as_jw_end_object(w);
    }
    as_jw_put_str(w, "modelVersion", a->script->model);
    as_jw_put_str(w, "responseId", AS_STR("mock-response"));
    as_jw_end_object(w);
}

void mk_gemini_whole(mk_play *p, const mk_answer *a)
{
    gemini_body(mk_event(p), a, 0, a->n_tokens, true);
    mk_whole(p, a);
}

/* Without alt=sse the stream is one JSON array, an element at a time. */
void mk_gemini_stream(mk_play *p, const mk_answer *a)
{
    const bool is_sse = as_str_eq_z(sv_query_get(a->head->query, "alt"), "sse");
    stream(p, a, is_sse ? "text/event-stream" : "application/json");
    const int n = a->n_tokens > 0 ? a->n_tokens : 1;
    for (int i = 0; i < n; i++) {
        const bool is_last = i == n - 1;
        gemini_body(mk_event(p), a, i, i < a->n_tokens ? i + 1 : i,
                    is_last && !p->fault->no_finish);
        if (is_sse) {
            mk_event_sse(p, mk_token_delay(a, i), MK_TOKEN);
            continue;
        }
        as_buf piece;
        as_buf_init(&piece, (size_t)128 << 20);
        (void)as_buf_add_z(&piece, i == 0 ? "[" : ",\r\n");
        (void)as_buf_add(&piece, as_buf_str(&p->ev));
        mk_play_add(p, as_buf_str(&piece), mk_token_delay(a, i), true);
        as_buf_release(&piece);
    }
    if (!is_sse && !p->fault->no_done)
        mk_play_add(p, AS_STR("]"), 0, false);
    mk_play_end(p);
}

/* ---- llama.cpp --------------------------------------------------------------------------------- */

static void lcpp_probability(as_jw *w, int32_t id, as_str text, double logprob)
{
    as_jw_put_i64(w, "id", id);
    as_jw_put_str(w, "token", text);
    as_jw_key(w, "bytes");
    as_jw_begin_array(w);
    for (size_t i = 0; i < text.n; i++)
        as_jw_i64(w, (unsigned char)text.p[i]);
    as_jw_end_array(w);
    as_jw_put_f64(w, "logprob", logprob);
}

static void lcpp_probabilities(as_jw *w, const mk_answer *a, int from, int to)
{
    if (!a->wants_logprobs || from == to)
        return;
    as_jw_key(w, "completion_probabilities");
    as_jw_begin_array(w);
    for (int i = from; i < to; i++) {
        const mk_token *t = &a->tokens[i];
        const int32_t greedy = as_toy_greedy(t->prev);
        char piece[16];
        as_jw_begin_object(w);
        lcpp_probability(w, t->id, t->text, as_toy_logprob(t->prev, t->id));
        as_jw_key(w, "top_logprobs");
        as_jw_begin_array(w);
        as_jw_begin_object(w);
        lcpp_probability(w, greedy, (as_str){piece, (size_t)as_toy_piece(piece, greedy)},
                         as_toy_logprob(t->prev, greedy));
        as_jw_end_object(w);
        as_jw_end_array(w);
        as_jw_end_object(w);
    }
    as_jw_end_array(w);
}

static void lcpp_tokens(as_jw *w, const mk_answer *a, int from, int to)
{
    as_jw_key(w, "tokens");
    as_jw_begin_array(w);
    for (int i = from; i < to; i++)
        as_jw_i64(w, a->tokens[i].id);
    as_jw_end_array(w);
}

static void lcpp_end(as_jw *w, const mk_answer *a)
{
    const char *type = is_length(a)                          ? "limit"
                       : strcmp(a->finish, "stop_text") == 0 ? "word"
                                                             : "eos";
    as_jw_put_bool(w, "stop", true);
    as_jw_put_str(w, "model", a->model);
    as_jw_put_i64(w, "tokens_predicted", a->completion_tokens);
    as_jw_put_i64(w, "tokens_evaluated", a->prompt_tokens);
    as_jw_put_i64(w, "tokens_cached", a->prompt_tokens + a->completion_tokens);
    as_jw_put_bool(w, "truncated", false);
    as_jw_put_str(w, "stop_type", as_str_of(type));
    as_jw_put_str(w, "stopping_word", AS_STR(""));
    as_jw_key(w, "timings");
    as_jw_begin_object(w);
    as_jw_put_i64(w, "cache_n", a->cached_tokens);
    as_jw_put_i64(w, "prompt_n", a->prompt_tokens - a->cached_tokens);
    as_jw_put_f64(w, "prompt_ms", a->times.head_ms + a->times.first_ms);
    as_jw_put_i64(w, "predicted_n", a->completion_tokens);
    as_jw_put_f64(w, "predicted_ms", a->times.token_ms * (double)a->completion_tokens);
    as_jw_end_object(w);
}

void mk_llamacpp_completion(mk_play *p, const mk_answer *a)
{
    if (!a->is_stream) {
        as_jw *w = mk_event(p);
        as_jw_begin_object(w);
        as_jw_put_i64(w, "index", 0);
        as_jw_put_str(w, "content", mk_join(a, false));
        lcpp_tokens(w, a, 0, mk_flag(a->body, "return_tokens", false) ? a->n_tokens : 0);
        as_jw_put_i64(w, "id_slot", 0);
        lcpp_end(w, a);
        lcpp_probabilities(w, a, 0, a->n_tokens);
        as_jw_end_object(w);
        mk_whole(p, a);
        return;
    }
    stream(p, a, "text/event-stream");
    for (int i = 0; i < a->n_tokens; i++) {
        as_jw *w = mk_event(p);
        as_jw_begin_object(w);
        as_jw_put_i64(w, "index", 0);
        as_jw_put_str(w, "content", a->tokens[i].text);
        lcpp_tokens(w, a, i, i + 1);
        as_jw_put_bool(w, "stop", false);
        as_jw_put_i64(w, "id_slot", -1);
        as_jw_put_i64(w, "tokens_predicted", i + 1);
        as_jw_put_i64(w, "tokens_evaluated", a->prompt_tokens);
        lcpp_probabilities(w, a, i, i + 1);
        as_jw_end_object(w);
        mk_event_sse(p, mk_token_delay(a, i), MK_TOKEN);
    }
    as_jw *w = mk_event(p);
    as_jw_begin_object(w);
    as_jw_put_i64(w, "index", 0);
    as_jw_put_str(w, "content", AS_STR(""));
    lcpp_tokens(w, a, 0, 0);
    as_jw_put_i64(w, "id_slot", 0);
    lcpp_end(w, a);
    as_jw_end_object(w);
    mk_event_sse(p, 0, MK_LAST); /* no [DONE] on this route */
    mk_play_end(p);
}

/* ---- errors ------------------------------------------------------------------------------------ */

static const char *lcpp_type(int status)
{
    switch (status) {
    case 400:
        return "invalid_request_error";
    case 401:
        return "authentication_error";
    case 403:
        return "permission_error";
    case 404:
        return "not_found_error";
    case 429:
        return "rate_limit_error";
    case 501:
        return "not_supported_error";
    case 503:
        return "unavailable_error";
    default:
        return "server_error";
    }
}

static const char *gemini_status(int status)
{
    switch (status) {
    case 400:
        return "INVALID_ARGUMENT";
    case 403:
        return "PERMISSION_DENIED";
    case 404:
        return "NOT_FOUND";
    case 429:
        return "RESOURCE_EXHAUSTED";
    case 503:
        return "UNAVAILABLE";
    case 504:
        return "DEADLINE_EXCEEDED";
    default:
        return "INTERNAL";
    }
}

void mk_error_body(as_buf *out, unsigned servers, as_str path, int status, as_str message)
{
    as_jw w;
    as_jw_init(&w, out);
    as_jw_begin_object(&w);
    const bool is_ollama =
        as_str_starts(path, AS_STR("/api/")) && !as_str_starts(path, AS_STR("/api/v"));
    if (is_ollama) {
        as_jw_put_str(&w, "error", message);
        as_jw_end_object(&w);
        return;
    }
    as_jw_key(&w, "error");
    as_jw_begin_object(&w);
    as_jw_put_str(&w, "message", message);
    if (as_str_starts(path, AS_STR("/v1beta/"))) {
        as_jw_put_i64(&w, "code", status);
        as_jw_put_str(&w, "status", as_str_of(gemini_status(status)));
    } else {
        as_jw_put_str(&w, "type",
                      as_str_of(servers == MK_VLLM && status == 404  ? "NotFoundError"
                                : servers == MK_VLLM && status < 500 ? "BadRequestError"
                                                                     : lcpp_type(status)));
        as_jw_key(&w, "param");
        as_jw_null(&w);
        as_jw_put_i64(&w, "code", status);
    }
    as_jw_end_object(&w);
    as_jw_end_object(&w);
}
