/* job.c — one request on its way through the bridge: its pieces, its times, its end. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/bridge/bridge_impl.h"
#include "base/time.h"

bridge_job *bridge_job_new(const as_request *rq)
{
    bridge_job *j = calloc(1, sizeof *j);
    if (j == NULL)
        return NULL;
    j->rq = rq;
    j->submitted_ns = as_now_ns();
    as_buf_init(&j->new_text, BRIDGE_MAX_TEXT);
    as_buf_init(&j->new_reasoning, BRIDGE_MAX_TEXT);
    as_arena_init(&j->keep, 0);
    as_response_init(&j->reply);
    return j;
}

void bridge_job_free(bridge_job *j)
{
    as_buf_release(&j->new_text);
    as_buf_release(&j->new_reasoning);
    as_arena_release(&j->keep);
    free(j->logprobs);
    free(j->gaps_ns);
    free(j);
}

void bridge_job_fail(bridge_job *j, as_error_kind kind, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(j->message, sizeof j->message, fmt, args);
    va_end(args);
    as_response_init(&j->reply);
    j->n_logprobs = 0;
    j->reply.finish = AS_FINISH_ERROR;
    j->reply.error = kind;
    j->reply.message = as_str_of(j->message);
    j->is_done = true;
}

as_token_logprob *bridge_job_place(bridge_job *j)
{
    void *p = j->n_logprobs < BRIDGE_MAX_TOKENS ? as_grow(j->logprobs, (size_t)j->n_logprobs,
                                                          &j->cap_logprobs, sizeof *j->logprobs)
                                                : NULL;
    if (p == NULL) {
        bridge_job_fail(j, AS_ERROR_PROTOCOL,
                        "the bridge told of more than %d tokens, or memory "
                        "ran out",
                        (int)BRIDGE_MAX_TOKENS);
        return NULL;
    }
    j->logprobs = p;
    as_token_logprob *place = &j->logprobs[j->n_logprobs++];
    *place = (as_token_logprob){.token = {.id = -1}};
    return place;
}

void bridge_job_note_piece(bridge_job *j, bool is_answer)
{
    const int64_t now = as_now_ns();
    void *p = j->last_token_ns != 0 && j->n_gaps < BRIDGE_MAX_TOKENS
                  ? as_grow(j->gaps_ns, (size_t)j->n_gaps, &j->cap_gaps, sizeof *j->gaps_ns)
                  : NULL;
    if (p != NULL) {
        j->gaps_ns = p;
        j->gaps_ns[j->n_gaps++] = now - j->last_token_ns;
    }
    j->first_token_ns = j->first_token_ns != 0 ? j->first_token_ns : now;
    if (is_answer && j->first_answer_ns == 0)
        j->first_answer_ns = now;
    j->last_token_ns = now;
}

void bridge_job_flush(bridge_job *j)
{
    const as_delta delta = {.text = as_buf_str(&j->new_text),
                            .reasoning = as_buf_str(&j->new_reasoning)};
    if (j->rq->on_delta != NULL && delta.text.n + delta.reasoning.n != 0)
        j->rq->on_delta(j->rq->delta_user, &delta);
    as_buf_reset(&j->new_text);
    as_buf_reset(&j->new_reasoning);
}

static int64_t since(const bridge_job *j, int64_t at_ns)
{
    return at_ns != 0 ? at_ns - j->submitted_ns : -1;
}

void bridge_job_deliver(bridge_job *j, be_done done, void *user, as_str model)
{
    as_response *r = &j->reply;
    r->total_ns = since(j, as_now_ns());
    r->started_wall_ns = as_wall_ns() - r->total_ns;
    r->queue_ns = j->sent_ns != 0 ? since(j, j->sent_ns) : r->total_ns;
    r->first_byte_ns = r->first_token_ns = since(j, j->first_token_ns);
    r->first_answer_ns = since(j, j->first_answer_ns);
    r->last_token_ns = since(j, j->last_token_ns);
    r->gaps_ns = j->gaps_ns;
    r->n_gaps = j->n_gaps;
    r->logprobs = j->logprobs;
    r->n_logprobs = j->n_logprobs;
    r->dropped |= j->dropped;
    r->model = model;
    done(user, j->rq, r);
    bridge_job_free(j);
}
