/*
 * reply.c — what a plugin says of its jobs, checked and copied.
 *
 * Nothing here trusts the plugin further than C must: pointers that it gives are read with their
 * lengths. What makes no sense becomes an error response of the job it was said of; what is said of
 * no job of ours is logged once and otherwise ignored.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "backend/plugin/plugin_impl.h"
#include "base/time.h"

/* Enums of the two headers have the same numbers, so that nothing needs a table. */
_Static_assert((int)ASSAY_FINISH_ERROR == (int)AS_FINISH_ERROR &&
                   (int)ASSAY_FINISH_BLOCKED == (int)AS_FINISH_BLOCKED &&
                   (int)ASSAY_FINISH_STOP_TEXT == (int)AS_FINISH_STOP_TEXT,
               "finish");
_Static_assert((int)ASSAY_ERROR_UNSUPPORTED == (int)AS_ERROR_UNSUPPORTED &&
                   (int)ASSAY_ERROR_CONTEXT == (int)AS_ERROR_CONTEXT &&
                   (int)ASSAY_ERROR_MISSING == (int)AS_ERROR_MISSING,
               "error");
_Static_assert((int)ASSAY_DROPPED_TOP_P == (int)AS_DROPPED_TOP_P &&
                   (int)ASSAY_DROPPED_TEMPERATURE == (int)AS_DROPPED_TEMPERATURE &&
                   (int)ASSAY_DROPPED_MEDIA == (int)AS_DROPPED_MEDIA &&
                   (int)ASSAY_DROPPED_LOGPROBS == (int)AS_DROPPED_LOGPROBS,
               "dropped");

void plugin_job_fail(plugin_job *j, as_error_kind kind, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(j->message, sizeof j->message, fmt, args);
    va_end(args);
    as_arena_rewind(&j->keep, 0);
    as_response_init(&j->reply);
    j->reply.finish = AS_FINISH_ERROR;
    j->reply.error = kind;
    j->reply.message = as_str_of(j->message);
    j->is_done = true;
}

static plugin_job *find_job(plugin_backend *be, uint64_t ticket, const char *what)
{
    for (plugin_job *j = be->first; j != NULL; j = j->next)
        if (j->ticket == ticket)
            return j;
    const bool is_late = ticket >= 1 && ticket <= be->last_ticket;
    bool *is_warned = is_late ? &be->is_warned_late : &be->is_warned_unknown;
    if (!*is_warned)
        as_log_line(be->log, is_late ? AS_LOG_INFO : AS_LOG_WARN,
                    "plugin: %s for job %llu, which %s; ignored, and so are others", what,
                    (unsigned long long)ticket,
                    is_late ? "has ended before" : "it was never given");
    *is_warned = true;
    return NULL;
}

/* Copies a text; false, with the job failed, if it is too long or memory runs out. */
static bool copy_text(plugin_job *j, as_str *out, assay_text told, const char *what)
{
    if (told.n > PLUGIN_MAX_TEXT || (told.p == NULL && told.n != 0)) {
        plugin_job_fail(j, AS_ERROR_PROTOCOL, "the plugin's %s has %zu bytes%s", what, told.n,
                        told.p == NULL ? " at no address" : ", more than 64 MiB");
        return false;
    }
    *out = told.p != NULL ? as_arena_str(&j->keep, plugin_str(told)) : (as_str){0};
    if (told.p == NULL || as_str_is_set(*out))
        return true;
    plugin_job_fail(j, AS_ERROR_SERVER, "out of memory for the plugin's %s", what);
    return false;
}

static bool copy_token(plugin_job *j, as_token *out, const assay_token *t)
{
    /* A rounding above 0 may come out of a softmax in single precision. */
    if (isnan(t->logprob) || t->logprob > 1e-3) {
        plugin_job_fail(j, AS_ERROR_PROTOCOL, "the plugin tells a log-probability of %g",
                        t->logprob);
        return false;
    }
    *out = (as_token){.id = t->id, .logprob = t->logprob};
    return copy_text(j, &out->text, t->text, "token");
}

static bool copy_place(plugin_job *j, as_token_logprob *out, const assay_token_place *p)
{
    *out = (as_token_logprob){.is_greedy = p->is_greedy != 0};
    if (!copy_token(j, &out->token, &p->token))
        return false;
    if (p->n_top > PLUGIN_MAX_TOP || (p->n_top != 0 && p->top == NULL)) {
        plugin_job_fail(j, AS_ERROR_PROTOCOL,
                        "the plugin tells %zu likeliest tokens in one place, at most %d are taken",
                        p->n_top, (int)PLUGIN_MAX_TOP);
        return false;
    }
    as_token *top = as_new(&j->keep, as_token, p->n_top + 1);
    if (top == NULL) {
        plugin_job_fail(j, AS_ERROR_SERVER, "out of memory for the plugin's tokens");
        return false;
    }
    for (size_t i = 0; i < p->n_top; i++)
        if (!copy_token(j, &top[i], &p->top[i]))
            return false;
    out->top = top;
    out->n_top = (int)p->n_top;
    return true;
}

static bool copy_places(plugin_job *j, const assay_reply *r)
{
    if (r->n_places > PLUGIN_MAX_PLACES || (r->n_places != 0 && r->places == NULL)) {
        plugin_job_fail(j, AS_ERROR_PROTOCOL,
                        "the plugin tells of %zu tokens, at most %d are taken", r->n_places,
                        (int)PLUGIN_MAX_PLACES);
        return false;
    }
    as_token_logprob *places = as_new(&j->keep, as_token_logprob, r->n_places + 1);
    if (places == NULL) {
        plugin_job_fail(j, AS_ERROR_SERVER, "out of memory for the plugin's tokens");
        return false;
    }
    for (size_t i = 0; i < r->n_places; i++)
        if (!copy_place(j, &places[i], &r->places[i]))
            return false;
    j->reply.logprobs = places;
    j->reply.n_logprobs = (int)r->n_places;
    return true;
}

/* What the kind of request needs is there. */
static bool is_complete(plugin_job *j, const assay_reply *r)
{
    const as_request *rq = j->rq;
    if (rq->ask == AS_ASK_GENERATE && r->text.p == NULL) {
        plugin_job_fail(j, AS_ERROR_PROTOCOL, "the plugin ended the job without a text");
        return false;
    }
    if (rq->ask != AS_ASK_SCORE)
        return true;
    const size_t wanted = (size_t)rq->n_continuation_ids;
    if (r->n_places == 0 || (wanted != 0 && r->n_places != wanted)) {
        plugin_job_fail(j, AS_ERROR_PROTOCOL,
                        "the plugin scored %zu tokens of a continuation of %zu", r->n_places,
                        wanted);
        return false;
    }
    return true;
}

static void take_counts(plugin_job *j, const assay_reply *r)
{
    as_response *out = &j->reply;
    if (r->has_counts != 0) {
        out->prompt_tokens = r->prompt_tokens;
        out->completion_tokens = r->completion_tokens;
        out->reasoning_tokens = r->reasoning_tokens;
        out->cached_tokens = r->cached_tokens;
    }
    if (r->prompt_ns > 0)
        out->server_prompt_ns = r->prompt_ns;
    if (r->generation_ns > 0)
        out->server_generation_ns = r->generation_ns;
}

static void take_reply(plugin_job *j, const assay_reply *r)
{
    as_response_init(&j->reply);
    if (r->finish > ASSAY_FINISH_ERROR) {
        plugin_job_fail(j, AS_ERROR_PROTOCOL,
                        "the plugin ended the job for reason %u, unknown here",
                        (unsigned)r->finish);
        return;
    }
    if (r->finish == ASSAY_FINISH_ERROR) {
        const bool is_known = r->error > ASSAY_ERROR_NONE && r->error <= ASSAY_ERROR_UNSUPPORTED;
        const as_str said = plugin_str(r->message);
        plugin_job_fail(j, is_known ? (as_error_kind)r->error : AS_ERROR_PROTOCOL, "%.*s",
                        AS_ARG(said.n != 0 ? said : AS_STR("the plugin failed without a reason")));
        if (r->retry_after_ms > 0)
            j->reply.retry_after_ms = r->retry_after_ms;
        return;
    }
    j->reply.finish = (as_finish)r->finish;
    j->reply.dropped = r->dropped & ((1u << AS_N_DROPPED) - 1u);
    take_counts(j, r);
    const bool is_whole = is_complete(j, r) && copy_text(j, &j->reply.text, r->text, "text") &&
                          copy_text(j, &j->reply.reasoning, r->reasoning, "reasoning") &&
                          copy_places(j, r);
    (void)is_whole; /* else it has failed on the way, which is an end too */
    j->is_done = true;
}

/* Calls from another thread could race with everything here: they are dropped, and said so once. */
static bool is_foreign(plugin_backend *be, const char *what)
{
    if (pthread_equal(pthread_self(), be->owner) != 0)
        return false;
    if (!atomic_exchange(&be->is_warned_thread, true))
        as_log_line(be->log, AS_LOG_WARN,
                    "plugin: %s from a thread other than poll's; ignored, and so are others", what);
    return true;
}

void plugin_on_done(void *user, uint64_t ticket, const assay_reply *reply)
{
    plugin_backend *be = user;
    plugin_job *j = is_foreign(be, "an answer") ? NULL : find_job(be, ticket, "an answer");
    if (j == NULL)
        return;
    assay_reply r = {0};
    if (!be->is_polling) {
        plugin_job_fail(j, AS_ERROR_PROTOCOL, "the plugin answered outside of poll");
    } else if (j->is_done) {
        plugin_job_fail(j, AS_ERROR_PROTOCOL, "the plugin answered the job twice");
    } else if (reply == NULL || reply->size < offsetof(assay_reply, places)) {
        plugin_job_fail(j, AS_ERROR_PROTOCOL, "the plugin ended the job without a reply");
    } else {
        memcpy(&r, reply, reply->size < sizeof r ? reply->size : sizeof r);
        take_reply(j, &r);
    }
}

void plugin_on_delta(void *user, uint64_t ticket, assay_text text, assay_text reasoning)
{
    plugin_backend *be = user;
    const char *what = "a piece of text";
    plugin_job *j = is_foreign(be, what) ? NULL : find_job(be, ticket, what);
    if (j == NULL || j->is_done)
        return;
    if (!be->is_polling) {
        plugin_job_fail(j, AS_ERROR_PROTOCOL, "the plugin sent a piece of text outside of poll");
        return;
    }
    const as_delta delta = {.text = plugin_str(text), .reasoning = plugin_str(reasoning)};
    if (delta.text.n + delta.reasoning.n == 0)
        return;
    const int64_t now = as_now_ns();
    j->first_token_ns = j->first_token_ns != 0 ? j->first_token_ns : now;
    if (j->first_answer_ns == 0 && delta.text.n != 0)
        j->first_answer_ns = now;
    j->last_token_ns = now;
    if (j->rq->on_delta != NULL)
        j->rq->on_delta(j->rq->delta_user, &delta);
}
