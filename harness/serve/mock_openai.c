/* mock_openai.c — OpenAI's chat and text completions, with what llama.cpp, vLLM and LM Studio add;
 * LM Studio's own v1 chat. */
#include <stdio.h>

#include "base/time.h"
#include "base/toymodel.h"
#include "serve/mock_impl.h"

enum { CREATED = 1700000000, MAX_BATCH = 4096 };

static void put_usage(as_jw *w, const mk_answer *a)
{
    as_jw_key(w, "usage");
    as_jw_begin_object(w);
    as_jw_put_i64(w, "prompt_tokens", a->prompt_tokens);
    as_jw_put_i64(w, "completion_tokens", a->completion_tokens);
    as_jw_put_i64(w, "total_tokens", a->prompt_tokens + a->completion_tokens);
    as_jw_key(w, "prompt_tokens_details");
    as_jw_begin_object(w);
    as_jw_put_i64(w, "cached_tokens", a->cached_tokens);
    as_jw_end_object(w);
    as_jw_key(w, "completion_tokens_details");
    as_jw_begin_object(w);
    as_jw_put_i64(w, "reasoning_tokens", a->reasoning_tokens);
    as_jw_end_object(w);
    as_jw_end_object(w);
}

static void put_timings(as_jw *w, const mk_answer *a)
{
    const double prompt_ms = a->times.head_ms + a->times.first_ms;
    const double gen_ms = a->times.token_ms * (double)a->completion_tokens;
    as_jw_key(w, "timings");
    as_jw_begin_object(w);
    as_jw_put_i64(w, "cache_n", a->cached_tokens);
    as_jw_put_i64(w, "prompt_n", a->prompt_tokens - a->cached_tokens);
    as_jw_put_f64(w, "prompt_ms", prompt_ms);
    as_jw_put_i64(w, "predicted_n", a->completion_tokens);
    as_jw_put_f64(w, "predicted_ms", gen_ms);
    as_jw_end_object(w);
}

/* LM Studio's additions on /api/v0. */
static void put_stats(as_jw *w, const mk_answer *a)
{
    as_jw_key(w, "stats");
    as_jw_begin_object(w);
    as_jw_put_f64(w, "tokens_per_second", a->times.token_ms > 0 ? 1000 / a->times.token_ms : 1000);
    as_jw_put_f64(w, "time_to_first_token", (a->times.head_ms + a->times.first_ms) / 1000);
    as_jw_put_f64(w, "generation_time", a->times.token_ms * (double)a->completion_tokens / 1000);
    as_jw_put_str(w, "stop_reason",
                  as_str_eq_z(as_str_of(a->finish), "length") ? AS_STR("maxPredictedTokensReached")
                                                              : AS_STR("eosFound"));
    as_jw_end_object(w);
    as_jw_key(w, "model_info");
    as_jw_raw(
        w,
        AS_STR(
            "{\"arch\":\"mock\",\"quant\":\"none\",\"format\":\"gguf\",\"context_length\":4096}"));
    as_jw_key(w, "runtime");
    as_jw_raw(
        w, AS_STR("{\"name\":\"assay-mock\",\"version\":\"1\",\"supported_formats\":[\"gguf\"]}"));
}

static void put_extras(as_jw *w, const mk_answer *a)
{
    if (as_str_starts(a->head->path, AS_STR("/api/v0/")))
        put_stats(w, a);
    else if ((a->script->servers & MK_LLAMACPP) != 0)
        put_timings(w, a);
}

static void put_bytes(as_jw *w, as_str text)
{
    as_jw_key(w, "bytes");
    as_jw_begin_array(w);
    for (size_t i = 0; i < text.n; i++)
        as_jw_i64(w, (unsigned char)text.p[i]);
    as_jw_end_array(w);
}

static void put_one(as_jw *w, int32_t id, as_str text, double logprob)
{
    as_jw_put_i64(w, "id", id);
    as_jw_put_str(w, "token", text);
    put_bytes(w, text);
    as_jw_put_f64(w, "logprob", logprob);
}

/* One entry of logprobs.content: the token, and as top the greedy choice and then the token. */
static void put_logprob(as_jw *w, const mk_answer *a, const mk_token *t)
{
    as_jw_begin_object(w);
    put_one(w, t->id, t->text, as_toy_logprob(t->prev, t->id));
    as_jw_key(w, "top_logprobs");
    as_jw_begin_array(w);
    const int32_t greedy = as_toy_greedy(t->prev);
    if (a->top > 0) {
        char piece[16];
        const int n = as_toy_piece(piece, greedy);
        as_jw_begin_object(w);
        put_one(w, greedy, greedy == t->id ? t->text : (as_str){piece, (size_t)n},
                as_toy_logprob(t->prev, greedy));
        as_jw_end_object(w);
    }
    if (a->top > 1 && greedy != t->id) {
        as_jw_begin_object(w);
        put_one(w, t->id, t->text, as_toy_logprob(t->prev, t->id));
        as_jw_end_object(w);
    }
    as_jw_end_array(w);
    as_jw_end_object(w);
}

static void put_logprobs(as_jw *w, const mk_answer *a, int from, int to)
{
    as_jw_key(w, "logprobs");
    if (!a->wants_logprobs) {
        as_jw_null(w);
        return;
    }
    as_jw_begin_object(w);
    as_jw_key(w, "content");
    as_jw_begin_array(w);
    for (int i = from; i < to; i++)
        put_logprob(w, a, &a->tokens[i]);
    as_jw_end_array(w);
    as_jw_end_object(w);
}

static void put_start(as_jw *w, const mk_answer *a, const char *id, const char *object)
{
    char text[48];
    (void)snprintf(text, sizeof text, "%s-%llu", id, (unsigned long long)a->n);
    as_jw_begin_object(w);
    as_jw_put_str(w, "id", as_str_of(text));
    as_jw_put_str(w, "object", as_str_of(object));
    as_jw_put_i64(w, "created", CREATED);
    as_jw_put_str(w, "model", a->model);
    as_jw_put_str(w, "system_fingerprint", AS_STR("mock-1"));
}

/* ---- chat -------------------------------------------------------------------------------------- */

static void chat_whole(mk_play *p, const mk_answer *a)
{
    as_jw *w = mk_event(p);
    put_start(w, a, "chatcmpl", "chat.completion");
    as_jw_key(w, "choices");
    as_jw_begin_array(w);
    as_jw_begin_object(w);
    as_jw_put_i64(w, "index", 0);
    as_jw_key(w, "message");
    as_jw_begin_object(w);
    as_jw_put_str(w, "role", AS_STR("assistant"));
    as_jw_put_str(w, "content", mk_join(a, false));
    const as_str reasoning = mk_join(a, true);
    if (reasoning.n != 0) {
        as_jw_key_str(w, a->reasoning_field);
        as_jw_str(w, reasoning);
    }
    as_jw_end_object(w);
    as_jw_put_str(w, "finish_reason", as_str_of(a->finish));
    put_logprobs(w, a, 0, a->n_tokens);
    as_jw_end_object(w);
    as_jw_end_array(w);
    if (a->has_usage)
        put_usage(w, a);
    put_extras(w, a);
    as_jw_end_object(w);
    mk_whole(p, a);
}

static as_jw *chunk_start(mk_play *p, const mk_answer *a)
{
    as_jw *w = mk_event(p);
    put_start(w, a, "chatcmpl", "chat.completion.chunk");
    as_jw_key(w, "choices");
    as_jw_begin_array(w);
    as_jw_begin_object(w);
    as_jw_put_i64(w, "index", 0);
    as_jw_key(w, "delta");
    as_jw_begin_object(w);
    return w;
}

static void chunk_end(as_jw *w, const char *finish)
{
    as_jw_put_z(w, "finish_reason", finish);
    as_jw_end_object(w);
    as_jw_end_array(w);
    as_jw_end_object(w);
}

static void stream_head(mk_play *p, const mk_answer *a)
{
    as_buf headers;
    as_buf_init(&headers, 0);
    mk_play_stream(p, 200, "text/event-stream",
                   mk_headers_of(as_json_get(a->reply, "headers"), &headers), a->times.head_ms);
    as_buf_release(&headers);
}

static void stream_tail(mk_play *p, const mk_answer *a, const char *id, const char *object)
{
    if (a->has_usage && a->wants_stream_usage) {
        as_jw *w = mk_event(p);
        put_start(w, a, id, object);
        as_jw_key(w, "choices");
        as_jw_begin_array(w);
        as_jw_end_array(w);
        put_usage(w, a);
        put_extras(w, a);
        as_jw_end_object(w);
        mk_event_sse(p, 0, MK_PLAIN);
    }
    mk_done(p);
    mk_play_end(p);
}

void mk_openai_chat(mk_play *p, const mk_answer *a)
{
    if (!a->is_stream) {
        chat_whole(p, a);
        return;
    }
    stream_head(p, a);
    as_jw *w = chunk_start(p, a);
    as_jw_put_str(w, "role", AS_STR("assistant"));
    as_jw_put_str(w, "content", AS_STR(""));
    as_jw_end_object(w);
    chunk_end(w, NULL);
    mk_event_sse(p, 0, MK_PLAIN);
    for (int i = 0; i < a->n_tokens; i++) {
        const mk_token *t = &a->tokens[i];
        w = chunk_start(p, a);
        if (t->is_reasoning)
            as_jw_key_str(w, a->reasoning_field);
        else
            as_jw_key(w, "content");
        as_jw_str(w, t->text);
        as_jw_end_object(w);
        if (a->wants_logprobs)
            put_logprobs(w, a, i, i + 1);
        chunk_end(w, NULL);
        mk_event_sse(p, mk_token_delay(a, i), MK_TOKEN);
    }
    w = chunk_start(p, a);
    as_jw_end_object(w);
    chunk_end(w, a->finish);
    mk_event_sse(p, 0, MK_LAST);
    stream_tail(p, a, "chatcmpl", "chat.completion.chunk");
}

/* ---- text -------------------------------------------------------------------------------------- */

/* The prompt's tokens (with echo) and the answer's, in the classic arrays. */
static void put_classic(as_jw *w, const mk_answer *a, const int32_t *ids, int n)
{
    char piece[16];
    as_jw_key(w, "logprobs");
    as_jw_begin_object(w);
    as_jw_key(w, "tokens");
    as_jw_begin_array(w);
    for (int i = 0; i < n; i++)
        as_jw_str(w, (as_str){piece, (size_t)as_toy_piece(piece, ids[i])});
    for (int i = 0; i < a->n_tokens; i++)
        as_jw_str(w, a->tokens[i].text);
    as_jw_end_array(w);
    as_jw_key(w, "token_logprobs");
    as_jw_begin_array(w);
    for (int i = 0; i < n; i++)
        if (i == 0)
            as_jw_null(w);
        else
            as_jw_f64(w, as_toy_logprob(ids[i - 1], ids[i]));
    for (int i = 0; i < a->n_tokens; i++)
        as_jw_f64(w, as_toy_logprob(a->tokens[i].prev, a->tokens[i].id));
    as_jw_end_array(w);
    as_jw_key(w, "text_offset");
    as_jw_begin_array(w);
    int64_t at = 0;
    for (int i = 0; i < n; i++) {
        as_jw_i64(w, at);
        at += as_toy_piece(piece, ids[i]);
    }
    for (int i = 0; i < a->n_tokens; i++) {
        as_jw_i64(w, at);
        at += (int64_t)a->tokens[i].text.n;
    }
    as_jw_end_array(w);
    as_jw_key(w, "top_logprobs");
    as_jw_begin_array(w);
    for (int i = 0; i < n + a->n_tokens; i++) {
        const mk_token *t = i >= n ? &a->tokens[i - n] : NULL;
        if (i == 0 && n != 0) {
            as_jw_null(w);
            continue;
        }
        const int32_t prev = t != NULL ? t->prev : ids[i - 1];
        const int32_t id = t != NULL ? t->id : ids[i];
        const int32_t greedy = as_toy_greedy(prev);
        as_jw_begin_object(w);
        if (greedy != id && a->top > 0) {
            as_jw_key_str(w, (as_str){piece, (size_t)as_toy_piece(piece, greedy)});
            as_jw_f64(w, as_toy_logprob(prev, greedy));
        }
        as_jw_key_str(w, t != NULL ? t->text : (as_str){piece, (size_t)as_toy_piece(piece, id)});
        as_jw_f64(w, as_toy_logprob(prev, id));
        as_jw_end_object(w);
    }
    as_jw_end_array(w);
    as_jw_end_object(w);
}

static void put_prompt_entry(as_jw *w, int32_t prev, int32_t id)
{
    char key[16], piece[16];
    (void)snprintf(key, sizeof key, "%d", (int)id);
    as_jw_key(w, key);
    as_jw_begin_object(w);
    as_jw_put_f64(w, "logprob", as_toy_logprob(prev, id));
    as_jw_put_i64(w, "rank", as_toy_rank(prev, id));
    as_jw_put_str(w, "decoded_token", (as_str){piece, (size_t)as_toy_piece(piece, id)});
    as_jw_end_object(w);
}

/* vLLM's prompt_logprobs: null, then an object by token id for each token. */
static void put_prompt_logprobs(as_jw *w, const int32_t *ids, int n, int top)
{
    as_jw_key(w, "prompt_logprobs");
    as_jw_begin_array(w);
    for (int i = 0; i < n; i++) {
        if (i == 0) {
            as_jw_null(w);
            continue;
        }
        const int32_t greedy = as_toy_greedy(ids[i - 1]);
        as_jw_begin_object(w);
        put_prompt_entry(w, ids[i - 1], ids[i]);
        if (top > 0 && greedy != ids[i])
            put_prompt_entry(w, ids[i - 1], greedy);
        as_jw_end_object(w);
    }
    as_jw_end_array(w);
}

static void put_text_choice(as_jw *w, const mk_answer *a, const as_json *prompt, int index)
{
    int n = 0;
    const int32_t *ids = mk_prompt_ids(a, prompt, &n);
    const bool echo = mk_flag(a->body, "echo", false);
    as_buf text;
    as_buf_init(&text, 0);
    if (echo)
        for (int i = 0; i < n; i++)
            if (ids[i] < 256)
                (void)as_buf_add_byte(&text, (char)ids[i]);
    (void)as_buf_add(&text, mk_join(a, false));
    as_jw_begin_object(w);
    as_jw_put_i64(w, "index", index);
    as_jw_put_str(w, "text", as_buf_str(&text));
    as_buf_release(&text);
    as_jw_put_str(w, "finish_reason", as_str_of(a->finish));
    as_jw_key(w, "stop_reason");
    as_jw_null(w);
    if (a->wants_logprobs) {
        put_classic(w, a, ids, echo ? n : 0);
    } else {
        as_jw_key(w, "logprobs");
        as_jw_null(w);
    }
    const double prompt_top = mk_number(a->body, "prompt_logprobs", -1);
    if (prompt_top >= 0)
        put_prompt_logprobs(w, ids, n, (int)prompt_top);
    if (mk_flag(a->body, "return_token_ids", false)) {
        as_jw_put_ids(w, "prompt_token_ids", ids, n);
        as_jw_key(w, "token_ids");
        as_jw_begin_array(w);
        for (int i = 0; i < a->n_tokens; i++)
            as_jw_i64(w, a->tokens[i].id);
        as_jw_end_array(w);
    }
    as_jw_end_object(w);
}

static void text_whole(mk_play *p, const mk_answer *a)
{
    const as_json *prompt = as_json_get(a->body, "prompt");
    const as_json *first = as_json_first(prompt);
    const bool is_batch =
        as_json_type(prompt) == AS_JSON_ARRAY &&
        (as_json_type(first) == AS_JSON_STRING || as_json_type(first) == AS_JSON_ARRAY);
    as_jw *w = mk_event(p);
    put_start(w, a, "cmpl", "text_completion");
    as_jw_key(w, "choices");
    as_jw_begin_array(w);
    int n = 0;
    if (is_batch)
        for (const as_json *one = first; one != NULL && n < MAX_BATCH; one = as_json_next(one))
            put_text_choice(w, a, one, n++);
    else
        put_text_choice(w, a, prompt, 0);
    as_jw_end_array(w);
    if (a->has_usage)
        put_usage(w, a);
    put_extras(w, a);
    as_jw_end_object(w);
    mk_whole(p, a);
}

void mk_openai_text(mk_play *p, const mk_answer *a)
{
    if (!a->is_stream) {
        text_whole(p, a);
        return;
    }
    stream_head(p, a);
    for (int i = 0; i <= a->n_tokens; i++) {
        const bool is_last = i == a->n_tokens;
        as_jw *w = mk_event(p);
        put_start(w, a, "cmpl", "text_completion");
        as_jw_key(w, "choices");
        as_jw_begin_array(w);
        as_jw_begin_object(w);
        as_jw_put_i64(w, "index", 0);
        as_jw_put_str(w, "text", is_last ? AS_STR("") : a->tokens[i].text);
        as_jw_put_z(w, "finish_reason", is_last ? a->finish : NULL);
        as_jw_end_object(w);
        as_jw_end_array(w);
        as_jw_end_object(w);
        mk_event_sse(p, is_last ? 0 : mk_token_delay(a, i), is_last ? MK_LAST : MK_TOKEN);
    }
    stream_tail(p, a, "cmpl", "text_completion");
}

/* ---- LM Studio v1 ------------------------------------------------------------------------------ */

static void put_v1_result(as_jw *w, const mk_answer *a)
{
    as_jw_begin_object(w);
    as_jw_put_str(w, "model_instance_id", a->model);
    as_jw_key(w, "output");
    as_jw_begin_array(w);
    for (int pass = 0; pass < 2; pass++) {
        const as_str text = mk_join(a, pass == 0);
        if (text.n == 0 && pass == 0)
            continue;
        as_jw_begin_object(w);
        as_jw_put_str(w, "type", pass == 0 ? AS_STR("reasoning") : AS_STR("message"));
        as_jw_put_str(w, "content", text);
        as_jw_end_object(w);
    }
    as_jw_end_array(w);
    as_jw_key(w, "stats");
    as_jw_begin_object(w);
    as_jw_put_i64(w, "input_tokens", a->prompt_tokens);
    as_jw_put_i64(w, "total_output_tokens", a->completion_tokens);
    as_jw_put_i64(w, "reasoning_output_tokens", a->reasoning_tokens);
    as_jw_put_f64(w, "tokens_per_second", a->times.token_ms > 0 ? 1000 / a->times.token_ms : 1000);
    as_jw_put_f64(w, "time_to_first_token_seconds", (a->times.head_ms + a->times.first_ms) / 1000);
    as_jw_end_object(w);
    as_jw_end_object(w);
}

static void named_event(mk_play *p, const char *name, double delay_ms, bool is_token)
{
    as_buf line;
    as_buf_init(&line, (size_t)128 << 20);
    (void)as_buf_printf(&line, "event: %s\ndata: ", name);
    (void)as_buf_add(&line, as_buf_str(&p->ev));
    (void)as_buf_add_z(&line, "\n\n");
    mk_play_add(p, as_buf_str(&line), delay_ms, is_token);
    as_buf_release(&line);
}

static void v1_delta(mk_play *p, const char *name, as_str content, double delay_ms)
{
    as_jw *w = mk_event(p);
    as_jw_begin_object(w);
    as_jw_put_str(w, "type", as_str_of(name));
    if (as_str_is_set(content))
        as_jw_put_str(w, "content", content);
    as_jw_end_object(w);
    named_event(p, name, delay_ms, as_str_is_set(content));
}

void mk_lmstudio_v1_chat(mk_play *p, const mk_answer *a)
{
    if (!a->is_stream) {
        put_v1_result(mk_event(p), a);
        mk_play_whole(p, 200, AS_STR("application/json"), AS_STR(""), as_buf_str(&p->ev),
                      a->times.head_ms, a->times.first_ms + a->times.token_ms * a->n_tokens);
        return;
    }
    stream_head(p, a);
    v1_delta(p, "chat.start", (as_str){0}, 0);
    for (int i = 0; i < a->n_tokens; i++) {
        const bool starts = i == 0 || a->tokens[i].is_reasoning != a->tokens[i - 1].is_reasoning;
        if (starts)
            v1_delta(p, a->tokens[i].is_reasoning ? "reasoning.start" : "message.start",
                     (as_str){0}, 0);
        v1_delta(p, a->tokens[i].is_reasoning ? "reasoning.delta" : "message.delta",
                 a->tokens[i].text, mk_token_delay(a, i));
    }
    as_jw *w = mk_event(p);
    as_jw_begin_object(w);
    as_jw_put_str(w, "type", AS_STR("chat.end"));
    as_jw_key(w, "result");
    put_v1_result(w, a);
    as_jw_end_object(w);
    if (!p->fault->no_finish)
        named_event(p, "chat.end", 0, false);
    mk_play_end(p);
}
