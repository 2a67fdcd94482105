#include "serve/serve_write.h"

#include <assert.h>
#include <stdio.h>

static const char *finish_word(as_finish f)
{
    return f == AS_FINISH_LENGTH      ? "length"
           : f == AS_FINISH_BLOCKED   ? "content_filter"
           : f == AS_FINISH_CANCELLED ? "abort"
                                      : "stop";
}

static int status_of(as_error_kind kind)
{
    switch (kind) {
    case AS_ERROR_REQUEST:
    case AS_ERROR_CONTEXT:
    case AS_ERROR_UNSUPPORTED:
        return 400;
    case AS_ERROR_RATE:
    case AS_ERROR_QUOTA:
        return 429;
    case AS_ERROR_NOT_FOUND:
    case AS_ERROR_MISSING:
        return 404;
    case AS_ERROR_TRANSPORT:
    case AS_ERROR_PROTOCOL:
        return 502;
    case AS_ERROR_TIMEOUT:
        return 504;
    case AS_ERROR_NONE:
    case AS_ERROR_SERVER:
    case AS_ERROR_AUTH:
        break;
    }
    return 500;
}

int sv_failure(const sv_task *task, as_str *message, int64_t *retry_after_ms)
{
    *retry_after_ms = -1;
    if (task->fail_status != 0) {
        *message = as_str_of(task->failure.text);
        return task->fail_status;
    }
    for (int i = 0; i < task->n_parts; i++) {
        const as_response *const both[] = {&task->parts[i].reply, &task->parts[i].score};
        for (int k = 0; k < 2; k++) {
            if (both[k]->finish == AS_FINISH_CANCELLED) {
                *message = AS_STR("the request was cancelled: this server is stopping");
                return 503;
            }
            if (both[k]->finish != AS_FINISH_ERROR)
                continue;
            *message = both[k]->message.n != 0 ? both[k]->message : AS_STR("the backend failed");
            *retry_after_ms = both[k]->retry_after_ms;
            return status_of(both[k]->error);
        }
    }
    return 0;
}

/* ---- shared ------------------------------------------------------------------------------------ */

static void put_start(as_jw *w, const sv_task *task, const char *object, as_str model)
{
    char id[48];
    (void)snprintf(id, sizeof id, "%s-%016llx", task->rq.route == AP_CHAT ? "chatcmpl" : "cmpl",
                   (unsigned long long)task->id);
    as_jw_begin_object(w);
    as_jw_put_str(w, "id", as_str_of(id));
    as_jw_put_str(w, "object", as_str_of(object));
    as_jw_put_i64(w, "created", task->created);
    as_jw_put_str(w, "model", model);
    as_jw_put_str(w, "system_fingerprint", AS_STR("assay"));
}

static int64_t at_least_0(int64_t v)
{
    return v > 0 ? v : 0;
}

static int64_t prompt_tokens(const sv_part *p)
{
    return p->n_ids > 0 ? p->n_ids : at_least_0(p->reply.prompt_tokens);
}

static void put_usage(as_jw *w, const sv_task *task)
{
    int64_t prompt = 0, completion = 0, cached = 0, reasoning = 0;
    for (int i = 0; i < task->n_parts; i++) {
        const sv_part *p = &task->parts[i];
        prompt += prompt_tokens(p);
        completion += at_least_0(p->reply.completion_tokens);
        cached += at_least_0(p->reply.cached_tokens);
        reasoning += at_least_0(p->reply.reasoning_tokens);
    }
    as_jw_key(w, "usage");
    as_jw_begin_object(w);
    as_jw_put_i64(w, "prompt_tokens", prompt);
    as_jw_put_i64(w, "completion_tokens", completion);
    as_jw_put_i64(w, "total_tokens", prompt + completion);
    as_jw_key(w, "prompt_tokens_details");
    as_jw_begin_object(w);
    as_jw_put_i64(w, "cached_tokens", cached);
    as_jw_end_object(w);
    as_jw_key(w, "completion_tokens_details");
    as_jw_begin_object(w);
    as_jw_put_i64(w, "reasoning_tokens", reasoning);
    as_jw_end_object(w);
    as_jw_end_object(w);
}

static double per(double a, double b)
{
    return b > 0 ? a / b : 0;
}

/* As llama.cpp tells them: computed prompt tokens only; generation from the first token on. */
static void put_timings(as_jw *w, const sv_task *task)
{
    const as_response *r = &task->parts[0].reply;
    if (task->n_parts != 1 || r->first_token_ns < 0 || r->completion_tokens < 0)
        return;
    const int64_t cached = at_least_0(r->cached_tokens);
    const double n_prompt = (double)at_least_0(r->prompt_tokens - cached);
    const double prompt_ms = (double)(r->first_token_ns - at_least_0(r->queue_ns)) / 1e6;
    const int64_t last_ns = r->last_token_ns >= 0 ? r->last_token_ns : r->total_ns;
    const double gen_ms = (double)at_least_0(last_ns - r->first_token_ns) / 1e6;
    const double n_gaps = (double)at_least_0(r->completion_tokens - 1);
    as_jw_key(w, "timings");
    as_jw_begin_object(w);
    as_jw_put_i64(w, "cache_n", cached);
    as_jw_put_i64(w, "prompt_n", (int64_t)n_prompt);
    as_jw_put_f64(w, "prompt_ms", prompt_ms);
    as_jw_put_f64(w, "prompt_per_token_ms", per(prompt_ms, n_prompt));
    as_jw_put_f64(w, "prompt_per_second", per(n_prompt * 1000, prompt_ms));
    as_jw_put_i64(w, "predicted_n", r->completion_tokens);
    as_jw_put_f64(w, "predicted_ms", gen_ms);
    as_jw_put_f64(w, "predicted_per_token_ms", per(gen_ms, n_gaps));
    as_jw_put_f64(w, "predicted_per_second", per(n_gaps * 1000, gen_ms));
    as_jw_put_f64(w, "queue_ms", (double)at_least_0(r->queue_ns) / 1e6);
    as_jw_end_object(w);
}

/* ---- chat -------------------------------------------------------------------------------------- */

static void put_token(as_jw *w, const as_token *t)
{
    as_jw_put_str(w, "token", t->text);
    as_jw_put_f64(w, "logprob", t->logprob);
    as_jw_key(w, "bytes");
    as_jw_begin_array(w);
    for (size_t i = 0; i < t->text.n; i++)
        as_jw_i64(w, (unsigned char)t->text.p[i]);
    as_jw_end_array(w);
    if (t->id >= 0)
        as_jw_put_i64(w, "id", t->id);
}

static void put_chat_logprobs(as_jw *w, const sv_task *task, const as_token_logprob *made,
                              int n_made)
{
    as_jw_key(w, "logprobs");
    if (!task->rq.wants_logprobs) {
        as_jw_null(w);
        return;
    }
    as_jw_begin_object(w);
    as_jw_key(w, "content");
    as_jw_begin_array(w);
    for (int i = 0; i < n_made; i++) {
        const as_token_logprob *t = &made[i];
        as_jw_begin_object(w);
        put_token(w, &t->token);
        as_jw_key(w, "top_logprobs");
        as_jw_begin_array(w);
        for (int k = 0; k < t->n_top && k < task->rq.top_logprobs; k++) {
            as_jw_begin_object(w);
            put_token(w, &t->top[k]);
            as_jw_end_object(w);
        }
        as_jw_end_array(w);
        as_jw_end_object(w);
    }
    as_jw_end_array(w);
    as_jw_end_object(w);
}

void sv_write_chat(as_buf *out, const sv_task *task, as_str model)
{
    const as_response *r = &task->parts[0].reply;
    as_jw w;
    as_jw_init(&w, out);
    put_start(&w, task, "chat.completion", model);
    as_jw_key(&w, "choices");
    as_jw_begin_array(&w);
    as_jw_begin_object(&w);
    as_jw_put_i64(&w, "index", 0);
    as_jw_key(&w, "message");
    as_jw_begin_object(&w);
    as_jw_put_str(&w, "role", AS_STR("assistant"));
    as_jw_put_str(&w, "content", r->text);
    if (r->reasoning.n != 0)
        as_jw_put_str(&w, "reasoning_content", r->reasoning);
    as_jw_end_object(&w);
    put_chat_logprobs(&w, task, r->logprobs, r->n_logprobs);
    as_jw_put_str(&w, "finish_reason", as_str_of(finish_word(r->finish)));
    as_jw_end_object(&w);
    as_jw_end_array(&w);
    put_usage(&w, task);
    put_timings(&w, task);
    as_jw_end_object(&w);
}

/* ---- text -------------------------------------------------------------------------------------- */

static as_str first_token_text(const sv_part *p, char z[32])
{
    if (p->begins_with_bos)
        return AS_STR("<bos>");
    assert(p->ids != NULL); /* asked for with an echo alone, whose prompt has been tokenised */
    (void)snprintf(z, 32, "token_id:%d", (int)p->ids[0]);
    return as_str_of(z);
}

/* Token i of the prompt (from 1; told by the score) or of the reply behind it. */
static const as_token_logprob *token_at(const sv_part *p, int n_prompt, int i)
{
    const as_response *r = i < n_prompt ? &p->score : &p->reply;
    const int at = i < n_prompt ? i - 1 : i - n_prompt;
    return at < r->n_logprobs ? &r->logprobs[at] : NULL;
}

static void put_top(as_jw *w, const as_token_logprob *t, int n_top)
{
    bool has_own = false;
    as_jw_begin_object(w);
    for (int k = 0; k < t->n_top && k < n_top; k++) {
        as_jw_key_str(w, t->top[k].text);
        as_jw_f64(w, t->top[k].logprob);
        has_own = has_own || t->top[k].id == t->token.id;
    }
    if (!has_own) {
        as_jw_key_str(w, t->token.text);
        as_jw_f64(w, t->token.logprob);
    }
    as_jw_end_object(w);
}

/* The classic arrays: of the prompt's n_prompt tokens (with echo) and of the reply. offset: bytes of
 * the tokens before them. */
static void put_classic(as_jw *w, const sv_task *task, const sv_part *p, int n_prompt,
                        int64_t offset)
{
    char z[32];
    const int n = n_prompt + (task->rq.wants_logprobs ? p->reply.n_logprobs : 0);
    as_jw_key(w, "logprobs");
    as_jw_begin_object(w);
    as_jw_key(w, "tokens");
    as_jw_begin_array(w);
    for (int i = 0; i < n; i++) {
        const as_token_logprob *t = i == 0 && n_prompt > 0 ? NULL : token_at(p, n_prompt, i);
        as_jw_str(w, t != NULL ? t->token.text : first_token_text(p, z));
    }
    as_jw_end_array(w);
    as_jw_key(w, "token_logprobs");
    as_jw_begin_array(w);
    for (int i = 0; i < n; i++) {
        const as_token_logprob *t = i == 0 && n_prompt > 0 ? NULL : token_at(p, n_prompt, i);
        if (t != NULL)
            as_jw_f64(w, t->token.logprob);
        else
            as_jw_null(w);
    }
    as_jw_end_array(w);
    as_jw_key(w, "text_offset");
    as_jw_begin_array(w);
    int64_t at = offset;
    for (int i = 0; i < n; i++) {
        const as_token_logprob *t = i == 0 && n_prompt > 0 ? NULL : token_at(p, n_prompt, i);
        as_jw_i64(w, at);
        at += t != NULL ? (int64_t)t->token.text.n : 0; /* the text does not show the first */
    }
    as_jw_end_array(w);
    as_jw_key(w, "top_logprobs");
    as_jw_begin_array(w);
    for (int i = 0; i < n; i++) {
        const as_token_logprob *t = i == 0 && n_prompt > 0 ? NULL : token_at(p, n_prompt, i);
        if (t != NULL)
            put_top(w, t, task->rq.top_logprobs);
        else
            as_jw_null(w);
    }
    as_jw_end_array(w);
    as_jw_end_object(w);
}

static void put_ranked(as_jw *w, const as_token *t, int rank)
{
    char key[16];
    (void)snprintf(key, sizeof key, "%d", (int)t->id);
    as_jw_key(w, key);
    as_jw_begin_object(w);
    as_jw_put_f64(w, "logprob", t->logprob);
    as_jw_key(w, "rank");
    if (rank > 0)
        as_jw_i64(w, rank);
    else
        as_jw_null(w); /* below the alternatives told */
    as_jw_put_str(w, "decoded_token", t->text);
    as_jw_end_object(w);
}

/* vLLM's: null, then for each token an object by id. */
static void put_prompt_logprobs(as_jw *w, const sv_part *p, int n_top)
{
    as_jw_key(w, "prompt_logprobs");
    as_jw_begin_array(w);
    as_jw_null(w);
    for (int i = 0; i < p->score.n_logprobs; i++) {
        const as_token_logprob *t = &p->score.logprobs[i];
        int own = 0;
        for (int k = 0; k < t->n_top; k++)
            if (t->top[k].id == t->token.id)
                own = k + 1;
        as_jw_begin_object(w);
        put_ranked(w, &t->token, own);
        for (int k = 0; k < t->n_top && k < n_top; k++)
            if (k + 1 != own)
                put_ranked(w, &t->top[k], k + 1);
        as_jw_end_object(w);
    }
    as_jw_end_array(w);
}

static void put_text(as_jw *w, const sv_task *task, const sv_part *p)
{
    as_jw_key(w, "text");
    if (!task->rq.echo) {
        as_jw_str(w, p->reply.text);
        return;
    }
    as_buf text;
    as_buf_init(&text, 0);
    if (task->rq.prompts[p->index].ids == NULL)
        (void)as_buf_add(&text, task->rq.prompts[p->index].text);
    else
        for (int i = 0; i < p->score.n_logprobs; i++)
            (void)as_buf_add(&text, p->score.logprobs[i].token.text);
    (void)as_buf_add(&text, p->reply.text);
    as_jw_str(w, as_buf_str(&text));
    as_buf_release(&text);
}

static void put_choice(as_jw *w, const sv_task *task, const sv_part *p)
{
    const ap_request *rq = &task->rq;
    as_jw_begin_object(w);
    as_jw_put_i64(w, "index", p->index);
    put_text(w, task, p);
    if (rq->wants_logprobs) {
        put_classic(w, task, p, rq->echo ? p->n_ids : 0, 0);
    } else {
        as_jw_key(w, "logprobs");
        as_jw_null(w);
    }
    as_jw_put_str(w, "finish_reason",
                  as_str_of(rq->max_tokens == 0 ? "length" : finish_word(p->reply.finish)));
    if (rq->prompt_logprobs >= 0)
        put_prompt_logprobs(w, p, rq->prompt_logprobs);
    if (rq->return_token_ids) {
        as_jw_key(w, "prompt_token_ids");
        as_jw_begin_array(w);
        for (int i = 0; i < p->n_ids; i++)
            as_jw_i64(w, p->ids[i]);
        as_jw_end_array(w);
        if (rq->wants_logprobs) {
            as_jw_key(w, "token_ids");
            as_jw_begin_array(w);
            for (int i = 0; i < p->reply.n_logprobs; i++)
                as_jw_i64(w, p->reply.logprobs[i].token.id);
            as_jw_end_array(w);
        }
    }
    as_jw_end_object(w);
}

void sv_write_text(as_buf *out, const sv_task *task, as_str model)
{
    as_jw w;
    as_jw_init(&w, out);
    put_start(&w, task, "text_completion", model);
    as_jw_key(&w, "choices");
    as_jw_begin_array(&w);
    for (int i = 0; i < task->n_parts; i++)
        put_choice(&w, task, &task->parts[i]);
    as_jw_end_array(&w);
    put_usage(&w, task);
    put_timings(&w, task);
    as_jw_end_object(&w);
}

void sv_write_tokens(as_buf *out, const sv_task *task, int n_ctx)
{
    const sv_part *p = &task->parts[0];
    as_jw w;
    as_jw_init(&w, out);
    as_jw_begin_object(&w);
    as_jw_put_i64(&w, "count", p->n_ids);
    as_jw_put_i64(&w, "max_model_len", n_ctx);
    as_jw_key(&w, "tokens");
    as_jw_begin_array(&w);
    for (int i = 0; i < p->n_ids; i++)
        as_jw_i64(&w, p->ids[i]);
    as_jw_end_array(&w);
    as_jw_key(&w, "token_strs");
    as_jw_null(&w);
    as_jw_end_object(&w);
}

/* Under vLLM's name and llama.cpp's. */
void sv_write_detokenized(as_buf *out, const sv_task *task)
{
    as_jw w;
    as_jw_init(&w, out);
    as_jw_begin_object(&w);
    as_jw_put_str(&w, "prompt", task->rendered);
    as_jw_put_str(&w, "content", task->rendered);
    as_jw_end_object(&w);
}

/* ---- streams ----------------------------------------------------------------------------------- */

static void begin_piece(as_jw *w, const sv_task *task, int part, as_str model)
{
    const bool is_chat = task->rq.route == AP_CHAT;
    put_start(w, task, is_chat ? "chat.completion.chunk" : "text_completion", model);
    as_jw_key(w, "choices");
    as_jw_begin_array(w);
    as_jw_begin_object(w);
    as_jw_put_i64(w, "index", part);
}

/* Those of a piece, or with the last one what is left. (With echo they are not streamed.) */
static void put_part_logprobs(as_jw *w, const sv_task *task, const sv_part *p,
                              const as_token_logprob *made, int n_made)
{
    /* A part of their own: while it streams, the reply in p is the worker's to write. */
    const sv_part piece = {.reply = {.logprobs = made, .n_logprobs = n_made}};
    if (task->rq.route == AP_CHAT) {
        put_chat_logprobs(w, task, made, n_made);
    } else if (n_made > 0) {
        put_classic(w, task, &piece, 0, p->sent_offset);
    } else {
        as_jw_key(w, "logprobs");
        as_jw_null(w);
    }
}

void sv_write_piece(as_buf *out, const sv_task *task, int part, as_str model, const sv_piece *piece)
{
    as_jw w;
    as_jw_init(&w, out);
    begin_piece(&w, task, part, model);
    if (task->rq.route == AP_CHAT) {
        as_jw_key(&w, "delta");
        as_jw_begin_object(&w);
        if (piece->has_role)
            as_jw_put_str(&w, "role", AS_STR("assistant"));
        if (piece->reasoning.n != 0)
            as_jw_put_str(&w, "reasoning_content", piece->reasoning);
        if (piece->text.n != 0 || piece->has_role)
            as_jw_put_str(&w, "content", piece->text);
        as_jw_end_object(&w);
    } else {
        as_jw_put_str(&w, "text", piece->text);
    }
    if (task->rq.wants_logprobs && piece->n_made > 0) {
        put_part_logprobs(&w, task, &task->parts[part], piece->made, piece->n_made);
    } else {
        as_jw_key(&w, "logprobs");
        as_jw_null(&w);
    }
    as_jw_key(&w, "finish_reason");
    as_jw_null(&w);
    as_jw_end_object(&w);
    as_jw_end_array(&w);
    as_jw_end_object(&w);
}

/* The log-probabilities that no piece had come with it: of the end token, of a text that was cut. */
void sv_write_last(as_buf *out, const sv_task *task, int part, as_str model)
{
    const sv_part *p = &task->parts[part];
    const int n_left = p->reply.n_logprobs - p->n_sent_logprobs;
    as_jw w;
    as_jw_init(&w, out);
    begin_piece(&w, task, part, model);
    if (task->rq.route == AP_CHAT) {
        as_jw_key(&w, "delta");
        as_jw_begin_object(&w);
        as_jw_end_object(&w);
    } else {
        as_jw_put_str(&w, "text", AS_STR(""));
    }
    put_part_logprobs(&w, task, p, n_left > 0 ? p->reply.logprobs + p->n_sent_logprobs : NULL,
                      n_left > 0 ? n_left : 0);
    as_jw_put_str(&w, "finish_reason", as_str_of(finish_word(p->reply.finish)));
    as_jw_end_object(&w);
    as_jw_end_array(&w);
    if (!task->rq.include_usage)
        put_timings(&w, task);
    as_jw_end_object(&w);
}

void sv_write_usage_piece(as_buf *out, const sv_task *task, as_str model)
{
    as_jw w;
    as_jw_init(&w, out);
    put_start(&w, task, task->rq.route == AP_CHAT ? "chat.completion.chunk" : "text_completion",
              model);
    as_jw_key(&w, "choices");
    as_jw_begin_array(&w);
    as_jw_end_array(&w);
    put_usage(&w, task);
    put_timings(&w, task);
    as_jw_end_object(&w);
}
