#include "backend/http/job.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "base/utf8.h"

enum { KEPT_BYTES = 1 << 20, MAX_WORD = 4096, MAX_GAPS = 1 << 20 };

static bool on_event(void *user, as_str name, as_str data)
{
    ht_job *job = user;
    if (as_str_eq(data, AS_STR("[DONE]"))) {
        job->has_done = true;
        return true;
    }
    as_json *tree = NULL;
    if (as_json_parse(&tree, data, NULL) != AS_OK) {
        ht_job_fail(job, AS_ERROR_PROTOCOL, "an event of the stream is not JSON: %.*s",
                    AS_ARG(as_utf8_cut(data, 80)));
        return false;
    }
    if (as_json_type(tree) == AS_JSON_OBJECT) {
        if (as_json_type(as_json_get(tree, "error")) > AS_JSON_NULL ||
            as_str_eq(name, AS_STR("error"))) {
            ht_error e;
            ht_error_parse(&e, 200, (as_str){0}, data, as_wall_ns());
            ht_job_fail_with(job, &e);
        } else {
            job->driver->dialect->read_event(job->driver, job, name, tree);
        }
    }
    as_json_free(tree);
    if (job->r.finish == AS_FINISH_ERROR)
        return false;
    ht_job_tell(job);
    return !job->is_cancelled;
}

ht_job *ht_job_new(ht_driver *d, const as_request *rq)
{
    ht_job *job = d->pool;
    if (job != NULL) {
        d->pool = job->next;
    } else {
        job = calloc(1, sizeof *job);
        if (job == NULL)
            return NULL;
        job->driver = d;
        as_arena_init(&job->arena, 0);
        as_buf_init(&job->body, HT_MAX_REQUEST);
        as_buf_init(&job->plain, HT_MAX_BODY);
        as_buf_init(&job->text, HT_MAX_TEXT);
        as_buf_init(&job->reasoning, HT_MAX_TEXT);
        as_buf_init(&job->message, MAX_WORD);
        as_buf_init(&job->finish_raw, MAX_WORD);
        as_buf_init(&job->model, MAX_WORD);
        as_buf_init(&job->fingerprint, MAX_WORD);
        ht_markup_init(&job->markup);
        ht_sse_init(&job->sse, d->dialect->is_json_lines, on_event, job);
    }
    job->next = NULL;
    job->rq = rq;
    as_response_init(&job->r);
    return job;
}

static void shrink(as_buf *b)
{
    as_buf_reset(b);
    if (b->cap > KEPT_BYTES)
        as_buf_release(b);
}

void ht_job_recycle(ht_job *job)
{
    ht_driver *d = job->driver;
    as_buf *const bufs[] = {&job->body,    &job->plain,      &job->text,  &job->reasoning,
                            &job->message, &job->finish_raw, &job->model, &job->fingerprint};
    for (size_t i = 0; i < sizeof bufs / sizeof bufs[0]; i++)
        shrink(bufs[i]);
    ht_sse_reset(&job->sse);
    shrink(&job->sse.line);
    shrink(&job->sse.data);
    shrink(&job->markup.held);
    as_arena_rewind(&job->arena, 0);
    job->endpoint = NULL;
    job->call = NULL;
    job->step = 0;
    job->is_ended = job->is_cancelled = job->has_finish = job->has_done = false;
    job->sent_ns = job->event_ns = job->last_piece_ns = job->cpu_ns = 0;
    job->estimate = 0;
    job->told_text = job->told_reasoning = 0;
    job->told_logprobs = 0;
    job->logprobs = NULL;
    job->n_logprobs = job->cap_logprobs = 0;
    job->gaps = NULL;
    job->n_gaps = job->cap_gaps = 0;
    job->score = (ht_score){0};
    job->next = d->pool;
    d->pool = job;
}

void ht_job_free(ht_job *job)
{
    as_buf *const bufs[] = {&job->body,    &job->plain,      &job->text,  &job->reasoning,
                            &job->message, &job->finish_raw, &job->model, &job->fingerprint};
    for (size_t i = 0; i < sizeof bufs / sizeof bufs[0]; i++)
        as_buf_release(bufs[i]);
    ht_sse_release(&job->sse);
    ht_markup_release(&job->markup);
    as_arena_release(&job->arena);
    free(job);
}

/* The reply's beginning that the request gave, where the server says it again. */
static as_str repeated_prefill(const ht_job *job)
{
    const as_request *rq = job->rq;
    if (!job->driver->profile.repeats_prefill || !rq->is_chat || rq->n_messages == 0)
        return (as_str){0};
    const as_message *last = &rq->messages[rq->n_messages - 1];
    return as_str_eq_z(last->role, "assistant") ? last->text : (as_str){0};
}

void ht_job_begin_call(ht_job *job)
{
    ht_sse_reset(&job->sse);
    as_buf_reset(&job->plain);
    job->is_plain = job->has_type = job->has_done = job->has_finish = false;
    ht_markup_reset(&job->markup, repeated_prefill(job), job->rq->is_chat);
}

/* ---- what a reply says --------------------------------------------------------------------------
 */

static void no_room(ht_job *job)
{
    ht_job_fail(job, AS_ERROR_PROTOCOL, "the reply is longer than %d bytes", HT_MAX_TEXT);
}

static void *grow(as_arena *a, const void *old, int n, int *cap, size_t size)
{
    const int want = *cap != 0 ? *cap * 2 : 64;
    void *p = as_arena_alloc_n(a, (size_t)want, size, 16);
    if (p == NULL)
        return NULL;
    if (n != 0)
        memcpy(p, old, (size_t)n * size);
    *cap = want;
    return p;
}

static void note_piece(ht_job *job)
{
    const int64_t at = job->event_ns - job->submitted_ns;
    if (job->r.first_token_ns < 0) {
        job->r.first_token_ns = at;
        if (job->call != NULL)
            ht_call_progress(job->call);
    } else if (job->n_gaps < MAX_GAPS) {
        if (job->n_gaps == job->cap_gaps) {
            int64_t *gaps = grow(&job->arena, job->gaps, job->n_gaps, &job->cap_gaps, sizeof *gaps);
            if (gaps == NULL) {
                no_room(job);
                return;
            }
            job->gaps = gaps;
        }
        job->gaps[job->n_gaps++] = job->event_ns - job->last_piece_ns;
    }
    job->last_piece_ns = job->event_ns;
    job->r.last_token_ns = at;
}

void ht_job_add_text(ht_job *job, as_str answer, as_str reasoning)
{
    if (answer.n == 0 && reasoning.n == 0)
        return;
    if (job->is_stream && !job->is_plain)
        note_piece(job);
    as_code c = as_buf_add(&job->reasoning, reasoning);
    if (c == AS_OK && answer.n != 0)
        c = ht_markup_feed(&job->markup, answer, &job->text, &job->reasoning);
    if (c != AS_OK)
        no_room(job);
    if (job->r.first_answer_ns < 0 && job->text.n != 0 && job->is_stream && !job->is_plain)
        job->r.first_answer_ns = job->event_ns - job->submitted_ns;
}

void ht_job_add_logprob(ht_job *job, const as_token_logprob *lp)
{
    if (job->n_logprobs == HT_MAX_LOGPROBS)
        return;
    if (job->n_logprobs == job->cap_logprobs) {
        as_token_logprob *all =
            grow(&job->arena, job->logprobs, job->n_logprobs, &job->cap_logprobs, sizeof *all);
        if (all == NULL) {
            no_room(job);
            return;
        }
        job->logprobs = all;
    }
    as_token_logprob *to = &job->logprobs[job->n_logprobs];
    *to = *lp;
    as_token *top = as_new(&job->arena, as_token, lp->n_top + 1);
    to->token.text = as_arena_str(&job->arena, lp->token.text);
    if (top == NULL || !as_str_is_set(to->token.text)) {
        no_room(job);
        return;
    }
    for (int i = 0; i < lp->n_top; i++) {
        top[i] = lp->top[i];
        top[i].text = as_arena_str(&job->arena, lp->top[i].text);
    }
    to->top = top;
    job->n_logprobs++;
}

void ht_job_keep(as_buf *to, as_str text)
{
    if (to->n == 0)
        (void)as_buf_add(to, as_utf8_cut(text, MAX_WORD / 2));
}

/* "stop", "length", … as servers say it. */
static as_finish ht_finish_of(as_str word)
{
    static const struct {
        const char *word;
        as_finish finish;
    } words[] = {
        {"stop", AS_FINISH_STOP},         {"eos", AS_FINISH_STOP},
        {"end_turn", AS_FINISH_STOP},     {"word", AS_FINISH_STOP_TEXT},
        {"length", AS_FINISH_LENGTH},     {"limit", AS_FINISH_LENGTH},
        {"max_tokens", AS_FINISH_LENGTH}, {"content_filter", AS_FINISH_BLOCKED},
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (as_str_eq_z(word, words[i].word))
            return words[i].finish;
    return AS_FINISH_UNKNOWN; /* tool_calls, abort, repetition …: the word itself is kept */
}

void ht_job_finish_raw(ht_job *job, as_str word)
{
    job->has_finish = true;
    as_buf_reset(&job->finish_raw);
    (void)as_buf_add(&job->finish_raw, as_utf8_cut(word, MAX_WORD / 2));
    job->r.finish = ht_finish_of(word);
}

void ht_job_end(ht_job *job)
{
    job->is_ended = true;
}

void ht_job_fail(ht_job *job, as_error_kind kind, const char *fmt, ...)
{
    char text[HT_MAX_ERROR_TEXT + 1];
    if (job->r.finish == AS_FINISH_ERROR)
        return; /* the first reason counts */
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    as_buf_reset(&job->message);
    (void)as_buf_add_z(&job->message, text);
    job->r.finish = AS_FINISH_ERROR;
    job->r.error = kind;
    job->is_ended = true;
}

void ht_job_fail_with(ht_job *job, const ht_error *e)
{
    if (job->r.finish == AS_FINISH_ERROR)
        return;
    job->r.retry_after_ms = e->retry_after_ms;
    ht_job_fail(job, e->kind, "%s", e->message);
}

void ht_job_tell(ht_job *job)
{
    const as_request *rq = job->rq;
    if (rq->on_delta == NULL ||
        (job->text.n == job->told_text && job->reasoning.n == job->told_reasoning))
        return;
    const int n_made = job->n_logprobs - job->told_logprobs;
    const as_delta delta = {
        .text = as_str_sub(as_buf_str(&job->text), job->told_text, job->text.n),
        .reasoning = as_str_sub(as_buf_str(&job->reasoning), job->told_reasoning, job->reasoning.n),
        .logprobs = n_made > 0 ? job->logprobs + job->told_logprobs : NULL,
        .n_logprobs = n_made > 0 ? n_made : 0,
    };
    job->told_logprobs = job->n_logprobs;
    job->told_text = job->text.n;
    job->told_reasoning = job->reasoning.n;
    rq->on_delta(rq->delta_user, &delta);
}

void ht_job_seal(ht_job *job, int64_t now_ns)
{
    as_response *r = &job->r;
    if (ht_markup_end(&job->markup, &job->text, &job->reasoning) != AS_OK)
        no_room(job);
    if (r->finish != AS_FINISH_ERROR && !job->is_cancelled)
        ht_job_tell(job);
    r->text = as_buf_str(&job->text);
    r->reasoning = as_str_trim(as_buf_str(&job->reasoning));
    r->message = as_buf_str(&job->message);
    r->finish_raw = as_buf_str(&job->finish_raw);
    r->model = as_buf_str(&job->model);
    r->fingerprint = as_buf_str(&job->fingerprint);
    r->endpoint = job->endpoint != NULL ? job->endpoint->url : (as_str){0};
    if (!as_utf8_is_valid(r->text) || !as_utf8_is_valid(r->reasoning))
        as_log_line(job->driver->log, AS_LOG_WARN, "%s: a reply is not valid UTF-8",
                    job->driver->dialect->driver->scheme);
    r->logprobs = job->logprobs;
    r->n_logprobs = job->n_logprobs;
    r->gaps_ns = job->gaps;
    r->n_gaps = job->n_gaps;
    r->total_ns = now_ns - job->submitted_ns;
    r->queue_ns = (job->sent_ns != 0 ? job->sent_ns : now_ns) - job->submitted_ns;
    r->client_cpu_ns = job->cpu_ns;
    if (job->is_cancelled) {
        r->finish = AS_FINISH_CANCELLED;
        r->error = AS_ERROR_NONE;
        r->message = (as_str){0};
    }
}
