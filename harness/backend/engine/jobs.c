/* jobs.c — a request becomes token ids. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/engine/engine_impl.h"
#include "base/json.h"
#include "base/time.h"

void job_free(job *j)
{
    if (j == NULL)
        return;
    g4_sampler_free(j->sampler);
    as_buf_release(&j->text);
    as_arena_release(&j->keep);
    free(j->logprobs);
    free(j->gaps_ns);
    free(j->ids);
    free(j);
}

void job_fail(job *j, as_error_kind kind, const char *why)
{
    j->is_done = true;
    j->finish = AS_FINISH_ERROR;
    j->error = kind;
    (void)snprintf(j->message, sizeof j->message, "%s", why);
}

void job_finish(job *j, as_finish how)
{
    j->is_done = true;
    j->finish = how;
}

/* A last message of the assistant is the beginning of the reply. */
static bool has_prefill(const as_request *rq)
{
    return rq->n_messages > 0 &&
           as_str_eq(rq->messages[rq->n_messages - 1].role, AS_STR("assistant"));
}

/* The request as the template wants it: messages, the tokens' names, thinking on or off. */
static as_code chat_request(const as_request *rq, as_buf *out, as_err *err)
{
    as_jw w;
    as_jw_init(&w, out);
    as_jw_begin_object(&w);
    as_jw_key(&w, "messages");
    as_jw_begin_array(&w);
    for (int i = 0; i < rq->n_messages - (has_prefill(rq) ? 1 : 0); i++) {
        as_jw_begin_object(&w);
        as_jw_put_str(&w, "role", rq->messages[i].role);
        as_jw_put_str(&w, "content", rq->messages[i].text);
        as_jw_end_object(&w);
    }
    as_jw_end_array(&w);
    as_jw_put_bool(&w, "add_generation_prompt", true);
    as_jw_key(&w, "vars");
    as_jw_begin_object(&w);
    if (rq->think != AS_THINK_AUTO)
        as_jw_put_bool(&w, "enable_thinking", rq->think == AS_THINK_ON);
    as_jw_end_object(&w);
    as_jw_end_object(&w);
    return as_buf_ok(out, err);
}

as_code job_render(const engine_backend *be, const as_request *rq, as_buf *out, as_err *err)
{
    if (!rq->is_chat) {
        (void)as_buf_add(out, rq->prefix);
        (void)as_buf_add(out, rq->prompt);
        return as_buf_ok(out, err);
    }
    as_buf request;
    as_buf_init(&request, 0);
    as_code c = chat_request(rq, &request, err);
    if (c == AS_OK)
        c = g4_chat_render(be->model, as_buf_str(&request), out, err);
    if (c == AS_OK && has_prefill(rq))
        c = as_buf_add(out, rq->messages[rq->n_messages - 1].text);
    as_buf_release(&request);
    return c == AS_OK ? as_buf_ok(out, err) : c;
}

/* The prompt's text and, behind it, more. */
static as_code tokenize_with(const engine_backend *be, const as_request *rq, as_str more,
                             int32_t **ids, size_t *n, as_err *err)
{
    as_buf text;
    as_buf_init(&text, 0);
    as_code c = job_render(be, rq, &text, err);
    (void)as_buf_add(&text, more);
    if (c == AS_OK)
        c = as_buf_ok(&text, err);
    const unsigned flags = g4_model_info(be->model)->add_bos ? G4_TOK_BOS : 0;
    if (c == AS_OK && rq->is_chat)
        c = g4_chat_tokenize(be->model, as_buf_str(&text), ids, n, err);
    else if (c == AS_OK)
        c = g4_tokenize(be->model, as_buf_str(&text), flags, ids, n, err);
    as_buf_release(&text);
    return c;
}

static as_code copy_ids(const engine_backend *be, const int32_t *a, int n_a, const int32_t *b,
                        int n_b, int32_t **ids, size_t *n, as_err *err)
{
    const int n_vocab = g4_model_info(be->model)->n_vocab;
    for (int i = 0; i < n_a + n_b; i++) {
        const int32_t id = i < n_a ? a[i] : b[i - n_a];
        if (id < 0 || id >= n_vocab)
            return as_fail(err, AS_RANGE,
                           "token %d of the request is %d, the vocabulary ends at %d", i, (int)id,
                           n_vocab - 1);
    }
    *n = (size_t)n_a + (size_t)n_b;
    *ids = malloc((*n != 0 ? *n : 1) * sizeof **ids);
    if (*ids == NULL)
        return as_nomem(err);
    if (n_a > 0)
        memcpy(*ids, a, (size_t)n_a * sizeof *a);
    if (n_b > 0)
        memcpy(*ids + n_a, b, (size_t)n_b * sizeof *b);
    return AS_OK;
}

as_code job_tokenize(const engine_backend *be, const as_request *rq, int32_t **ids, size_t *n,
                     as_err *err)
{
    if (!rq->is_chat && rq->n_ids > 0)
        return copy_ids(be, rq->ids, rq->n_ids, NULL, 0, ids, n, err);
    return tokenize_with(be, rq, AS_STR(""), ids, n, err);
}

/* Prompt and continuation as ids. Of two texts the continuation begins where the ids of the whole
 * part from the prompt's own: a token over the seam is scored as part of it. */
static as_code scored_ids(const engine_backend *be, const as_request *rq, job *j, size_t *n_prompt,
                          size_t *n, as_err *err)
{
    if (rq->n_ids > 0) {
        *n_prompt = (size_t)rq->n_ids;
        return copy_ids(be, rq->ids, rq->n_ids, rq->continuation_ids, rq->n_continuation_ids,
                        &j->ids, n, err);
    }
    int32_t *head = NULL;
    size_t n_head = 0;
    AS_TRY(tokenize_with(be, rq, AS_STR(""), &head, &n_head, err));
    const as_code c = tokenize_with(be, rq, rq->continuation, &j->ids, n, err);
    size_t k = 0;
    while (c == AS_OK && k < n_head && k < *n && head[k] == j->ids[k])
        k++;
    free(head);
    *n_prompt = k;
    return c;
}

static as_code make_ids(engine_backend *be, job *j, as_err *err)
{
    const bool is_score = j->rq->ask == AS_ASK_SCORE;
    size_t n = 0, n_prompt = 0;
    if (is_score) {
        AS_TRY(scored_ids(be, j->rq, j, &n_prompt, &n, err));
    } else {
        AS_TRY(job_tokenize(be, j->rq, &j->ids, &n, err));
        n_prompt = n;
    }
    if (n > INT32_MAX / 2)
        return as_fail(err, AS_RANGE, "the prompt has %zu tokens, more than any model takes", n);
    if (n_prompt == 0)
        return as_fail(err, AS_RANGE,
                       is_score
                           ? "a continuation needs a token before it; put the start token there"
                           : "the prompt is empty and the model has no start token");
    if (is_score && n == n_prompt)
        return as_fail(err, AS_RANGE, "the continuation is empty: there is nothing to score");
    j->n_ids = (int)n;
    j->n_prompt = (int)n_prompt;
    j->n_rows = is_score ? j->n_ids - 1 : j->n_prompt;
    return AS_OK;
}

static const adapter *find_adapter(const engine_backend *be, as_str name)
{
    for (int i = 0; i < be->n_adapters; i++)
        if (as_str_eq(g4_adapter_info_of(be->adapters[i].g4)->name, name))
            return &be->adapters[i];
    return NULL;
}

/* What cannot be done at all fails the job; what cannot be honoured is noted. */
static void check_wishes(const engine_backend *be, job *j)
{
    const as_request *rq = j->rq;
    for (int i = 0; i < rq->n_messages; i++)
        if (rq->messages[i].n_media != 0)
            job_fail(j, AS_ERROR_UNSUPPORTED,
                     "the engine takes text only; ask without images and "
                     "sound, or a server that sees and hears");
    if (rq->reasoning_tokens > 0)
        j->dropped |= AS_DROPPED_THINK_BUDGET;
    const g4_info *info = g4_model_info(be->model);
    if (rq->is_chat && rq->think != AS_THINK_AUTO && as_str_is_set(info->chat_template) &&
        as_str_find(info->chat_template, AS_STR("enable_thinking")) == SIZE_MAX)
        j->dropped |= AS_DROPPED_THINK;
    if (rq->lora.n > 0) {
        j->adapter = find_adapter(be, rq->lora);
        if (j->adapter == NULL) {
            char why[200];
            (void)snprintf(why, sizeof why, "no adapter named %.*s; -M loras=FILE loads one",
                           (int)(rq->lora.n < 80 ? rq->lora.n : 80), rq->lora.p);
            job_fail(j, AS_ERROR_NOT_FOUND, why);
        }
    } else if (be->has_default_adapter) {
        j->adapter = &be->adapters[0];
    }
}

static g4_sampling sampling_of(const as_request *rq)
{
    const as_sampling *s = &rq->sampling;
    return (g4_sampling){
        .temperature = isnan(s->temperature) ? 0 : s->temperature,
        .top_k = s->top_k > 0 ? s->top_k : 0,
        .top_p = isnan(s->top_p) ? 0 : s->top_p,
        .min_p = isnan(s->min_p) ? 0 : s->min_p,
        .seed = rq->seed,
    };
}

as_code job_new(engine_backend *be, const as_request *rq, job **out, as_err *err)
{
    job *j = calloc(1, sizeof *j);
    if (j == NULL)
        return as_nomem(err);
    j->rq = rq;
    j->seq = -1;
    j->submitted_ns = as_now_ns();
    as_buf_init(&j->text, 0);
    as_arena_init(&j->keep, 0);
    const g4_sampling s = sampling_of(rq);
    j->sampler = g4_sampler_new(&s);
    if (j->sampler == NULL) {
        job_free(j);
        return as_nomem(err);
    }
    as_err why = {0};
    check_wishes(be, j);
    if (!j->is_done && make_ids(be, j, &why) != AS_OK)
        job_fail(j, AS_ERROR_REQUEST, why.text);
    *out = j;
    return AS_OK;
}
