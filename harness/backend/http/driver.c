/*
 * driver.c — requests over HTTP: queue, endpoints, calls, ends. What differs between servers is in
 * the dialects.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/http/hints.h"
#include "backend/http/job.h"
#include "base/time.h"

enum { MS = 1000000, BYTES_PER_TOKEN = 4 };

static ht_driver *driver_of(be_backend *be)
{
    return (ht_driver *)be;
}

/* ---- lists --------------------------------------------------------------------------------------
 */

static void push_waiting(ht_driver *d, ht_job *job)
{
    job->next = NULL;
    if (d->last != NULL)
        d->last->next = job;
    else
        d->first = job;
    d->last = job;
}

static ht_job *pop_waiting(ht_driver *d)
{
    ht_job *job = d->first;
    d->first = job->next;
    if (d->first == NULL)
        d->last = NULL;
    return job;
}

static void remove_flying(ht_driver *d, ht_job *job)
{
    if (job->prev != NULL)
        job->prev->next = job->next;
    else
        d->flying = job->next;
    if (job->next != NULL)
        job->next->prev = job->prev;
    job->next = job->prev = NULL;
}

static void push_flying(ht_driver *d, ht_job *job)
{
    job->prev = NULL;
    job->next = d->flying;
    if (d->flying != NULL)
        d->flying->prev = job;
    d->flying = job;
}

static void push_ended(ht_driver *d, ht_job *job)
{
    ht_job_seal(job, as_now_ns());
    job->next = NULL;
    if (d->ended_last != NULL)
        d->ended_last->next = job;
    else
        d->ended = job;
    d->ended_last = job;
}

/* A job that was sent is over: its place at the endpoint is free. */
static void land(ht_driver *d, ht_job *job)
{
    job->call = NULL;
    job->endpoint->n_running--;
    remove_flying(d, job);
    if (d->has_limits && job->r.prompt_tokens >= 0 && job->r.completion_tokens >= 0)
        ht_limiter_settle(&d->limiter, job->estimate,
                          (double)(job->r.prompt_tokens + job->r.completion_tokens));
    push_ended(d, job);
}

/* ---- replies ------------------------------------------------------------------------------------
 */

static bool take_data(ht_job *job, as_str bytes)
{
    if (!job->has_type) {
        const as_str type = ht_head_get(ht_call_head(job->call), "content-type");
        job->is_plain = !job->driver->dialect->is_json_lines &&
                        as_str_find(type, AS_STR("application/json")) != SIZE_MAX;
        job->has_type = true;
    }
    if (job->is_plain)
        return as_buf_add(&job->plain, bytes) == AS_OK;
    as_err err = {0};
    const as_code c = ht_sse_feed(&job->sse, bytes, &err);
    if (c != AS_OK && c != AS_CANCELLED)
        ht_job_fail(job, AS_ERROR_PROTOCOL, "%s", err.text);
    return c == AS_OK && !job->is_cancelled;
}

static bool on_data(void *user, as_str bytes, int64_t now_ns)
{
    ht_job *job = user;
    job->event_ns = now_ns;
    job->driver->is_reading = true;
    const bool goes_on = take_data(job, bytes);
    job->driver->is_reading = false;
    job->cpu_ns += as_now_ns() - now_ns;
    return goes_on;
}

static void read_whole(ht_driver *d, ht_job *job, as_str body)
{
    as_json *tree = NULL;
    as_err err = {0};
    if (as_json_parse(&tree, body, &err) != AS_OK) {
        ht_job_fail(job, AS_ERROR_PROTOCOL, "the reply is not JSON: %s", err.text);
        return;
    }
    if (as_json_type(tree) == AS_JSON_OBJECT &&
        as_json_type(as_json_get(tree, "error")) > AS_JSON_NULL) {
        ht_error e;
        ht_error_parse(&e, 200, (as_str){0}, body, as_wall_ns());
        ht_job_fail_with(job, &e);
    } else {
        d->dialect->read(d, job, tree);
    }
    as_json_free(tree);
}

static void read_end_of_stream(ht_driver *d, ht_job *job)
{
    as_err err = {0};
    if (job->is_plain) {
        read_whole(d, job, as_buf_str(&job->plain));
        return;
    }
    job->event_ns = as_now_ns();
    const as_code c = ht_sse_end(&job->sse, &err);
    if (c != AS_OK && c != AS_CANCELLED)
        ht_job_fail(job, AS_ERROR_PROTOCOL, "%s", err.text);
    if (!job->has_finish && !job->has_done &&
        (d->dialect->broke_off == NULL || !d->dialect->broke_off(d, job)))
        ht_job_fail(job, AS_ERROR_PROTOCOL,
                    "the stream ended before the reply did, after %zu bytes of text",
                    job->text.n + job->reasoning.n);
    ht_job_end(job);
}

static as_error_kind kind_of_end(ht_end end)
{
    switch (end) {
    case HT_END_CONNECT:
    case HT_END_LOST:
        return AS_ERROR_TRANSPORT;
    case HT_END_FIRST:
    case HT_END_IDLE:
    case HT_END_TOTAL:
        return AS_ERROR_TIMEOUT;
    case HT_END_REPLY:
    case HT_END_TOO_LARGE:
    case HT_END_STOPPED:
    case HT_END_BROKEN:
        break;
    }
    return AS_ERROR_PROTOCOL;
}

/* Failures that say something of the server, not of the request. */
static void note_failure(ht_driver *d, ht_endpoint *e, const char *why)
{
    (void)snprintf(d->last_failure, sizeof d->last_failure, "%s", why);
    if (ht_endpoint_failed(e, as_now_ns()))
        as_log_line(d->log, AS_LOG_WARN,
                    "%s: %.*s has failed %d times in a row and is asked again when it is healthy: "
                    "%s",
                    d->dialect->driver->scheme, AS_ARG(e->url), HT_BREAK_AFTER, why);
}

static void read_refusal(ht_driver *d, ht_job *job, const ht_reply *reply)
{
    ht_error e;
    ht_error_parse(&e, reply->status, reply->head, reply->body, as_wall_ns());
    if (e.is_overload)
        note_failure(d, job->endpoint, e.message);
    else
        ht_endpoint_worked(job->endpoint);
    if (e.kind == AS_ERROR_RATE && e.retry_after_ms > 0)
        ht_endpoint_pause(job->endpoint, as_now_ns() + e.retry_after_ms * MS);
    if (d->dialect->refused != NULL && d->dialect->refused(d, job, &e))
        return;
    job->r.http_status = e.status;
    ht_job_fail_with(job, &e);
}

static void read_bad_end(ht_driver *d, ht_job *job, const ht_reply *reply)
{
    char why[HT_MAX_ERROR_TEXT];
    (void)snprintf(why, sizeof why, "%.*s: %s", AS_ARG(job->endpoint->url), reply->message);
    if (reply->end == HT_END_CONNECT || (reply->end == HT_END_LOST && reply->first_byte_ns == 0))
        note_failure(d, job->endpoint, why);
    if (reply->end == HT_END_STOPPED && job->plain.is_full)
        ht_job_fail(job, AS_ERROR_PROTOCOL, "the reply is longer than %d bytes", HT_MAX_BODY);
    ht_job_fail(job, kind_of_end(reply->end), "%s", why);
}

static void start_call(ht_driver *d, ht_job *job);

static void on_end(void *user, const ht_reply *reply)
{
    ht_job *job = user;
    ht_driver *d = job->driver;
    const int64_t from = as_now_ns();
    job->call = NULL;
    job->r.http_status = reply->status;
    if (job->r.connect_ns < 0)
        job->r.connect_ns = reply->connect_ns;
    if (job->r.first_byte_ns < 0 && reply->first_byte_ns != 0)
        job->r.first_byte_ns = reply->first_byte_ns - job->submitted_ns;
    if (reply->end != HT_END_REPLY) {
        read_bad_end(d, job, reply);
    } else if (reply->status < 200 || reply->status >= 300) {
        read_refusal(d, job, reply);
    } else {
        ht_endpoint_worked(job->endpoint);
        if (job->is_stream)
            read_end_of_stream(d, job);
        else
            read_whole(d, job, reply->body);
    }
    job->cpu_ns += as_now_ns() - from;
    if (job->is_ended)
        land(d, job);
    else
        start_call(d, job); /* the next step, at the same endpoint */
}

/* ---- calls --------------------------------------------------------------------------------------
 */

static as_code build_call(ht_driver *d, ht_job *job, as_err *err)
{
    as_jw w;
    as_buf_reset(&job->body);
    as_jw_init(&w, &job->body);
    as_jw_begin_object(&w);
    AS_TRY(d->dialect->build(d, job, &w, err));
    as_jw_end_object(&w);
    AS_TRY(as_buf_ok(&job->body, err));
    job->url = ht_endpoint_url(job->endpoint, job->path, &job->arena);
    return as_str_is_set(job->url) ? AS_OK : as_nomem(err);
}

/* Errors end the job, since it is under way already. */
static void start_call(ht_driver *d, ht_job *job)
{
    as_err err = {0};
    const int64_t from = as_now_ns();
    as_code c = build_call(d, job, &err);
    if (c == AS_OK) {
        ht_job_begin_call(job);
        const ht_spec spec = {
            .url = job->url.p,
            .headers = d->headers,
            .is_post = true,
            .body = as_buf_str(&job->body),
            .connect_ms = d->connect_ms,
            .first_ms = d->first_ms,
            .idle_ms = d->idle_ms,
            .total_ms = d->total_ms,
            .on_data = job->is_stream ? on_data : NULL,
            .on_end = on_end,
            .user = job,
        };
        c = ht_loop_start(d->loop, &spec, &job->call, &err);
    }
    const int64_t now = as_now_ns();
    job->cpu_ns += now - from;
    if (job->sent_ns == 0) {
        job->sent_ns = now;
        job->r.started_wall_ns = as_wall_ns();
    }
    if (c != AS_OK) {
        ht_job_fail(job, c == AS_UNSUPPORTED ? AS_ERROR_UNSUPPORTED : AS_ERROR_REQUEST, "%s",
                    err.text);
        land(d, job);
    }
}

static double estimate_tokens(const as_request *rq)
{
    size_t n = rq->prefix.n + rq->prompt.n + rq->continuation.n;
    for (int i = 0; i < rq->n_messages; i++)
        n += rq->messages[i].text.n;
    return (double)n / BYTES_PER_TOKEN + rq->n_ids + rq->max_tokens;
}

/* Sends what may be sent; *wake_ns is lowered to when the next may. */
static void send_waiting(ht_driver *d, int64_t *wake_ns)
{
    while (d->first != NULL) {
        const int64_t now = as_now_ns();
        const double tokens = d->has_limits ? estimate_tokens(d->first->rq) : 0;
        if (d->has_limits) {
            const int64_t wait = ht_limiter_wait_ns(&d->limiter, tokens, now);
            if (wait > 0) {
                if (now + wait < *wake_ns)
                    *wake_ns = now + wait;
                return;
            }
        }
        ht_endpoint *e = ht_endpoints_choose(&d->endpoints, d->max_each, now, wake_ns);
        if (e == NULL)
            return;
        ht_job *job = pop_waiting(d);
        if (d->has_limits)
            ht_limiter_take(&d->limiter, tokens);
        job->estimate = tokens;
        job->endpoint = e;
        e->n_running++;
        push_flying(d, job);
        start_call(d, job);
    }
}

/* ---- health -------------------------------------------------------------------------------------
 */

static void on_health(void *user, const ht_reply *reply)
{
    ht_endpoint *e = user;
    e->is_asked = false;
    if (reply->end == HT_END_REPLY && reply->status >= 200 && reply->status < 300)
        ht_endpoint_worked(e);
    else
        e->ask_at_ns = as_now_ns() + (int64_t)HT_HEALTH_EVERY_MS * MS;
}

static void ask_health(ht_driver *d, int64_t *wake_ns)
{
    const int64_t now = as_now_ns();
    for (int i = 0; i < d->endpoints.n; i++) {
        ht_endpoint *e = &d->endpoints.at[i];
        if (!e->is_out || e->is_asked)
            continue;
        if (e->ask_at_ns > now) {
            if (e->ask_at_ns < *wake_ns)
                *wake_ns = e->ask_at_ns;
            continue;
        }
        if (!as_str_is_set(d->health_urls[i]))
            d->health_urls[i] = ht_endpoint_url(e, d->dialect->health_path, &d->keep);
        const ht_spec spec = {
            .url = d->health_urls[i].p,
            .headers = d->get_headers,
            .connect_ms = d->connect_ms,
            .first_ms = HT_HEALTH_EVERY_MS,
            .max_body = HT_MAX_ERROR_BODY,
            .on_end = on_health,
            .user = e,
        };
        ht_call *call = NULL;
        e->is_asked = ht_loop_start(d->loop, &spec, &call, NULL) == AS_OK;
        if (!e->is_asked)
            e->ask_at_ns = now + (int64_t)HT_HEALTH_EVERY_MS * MS;
    }
}

/* Nobody is there to take the waiting jobs: they fail when their patience is over. */
static void end_impatient(ht_driver *d, int64_t *wake_ns)
{
    if (d->first == NULL || !ht_endpoints_all_out(&d->endpoints))
        return;
    const int64_t now = as_now_ns();
    while (d->first != NULL) {
        const int64_t at = d->first->submitted_ns + (int64_t)d->patience_ms * MS;
        if (at > now) {
            if (at < *wake_ns)
                *wake_ns = at;
            return;
        }
        ht_job *job = pop_waiting(d);
        ht_job_fail(job, AS_ERROR_TRANSPORT,
                    "no endpoint was healthy for %g s; the last failure: %s",
                    d->patience_ms / 1000.0, d->last_failure);
        push_ended(d, job);
    }
}

/* ---- the interface ------------------------------------------------------------------------------
 */

as_code ht_submit(be_backend *be, const as_request *rq, as_err *err)
{
    ht_driver *d = driver_of(be);
    ht_job *job = ht_job_new(d, rq);
    if (job == NULL)
        return as_nomem(err);
    job->submitted_ns = as_now_ns();
    job->r.started_wall_ns = 0;
    push_waiting(d, job);
    return AS_OK;
}

static void report_ended(ht_driver *d, be_done done, void *user)
{
    ht_job *job = d->ended; /* done may submit, and that may not end here again */
    d->ended = d->ended_last = NULL;
    while (job != NULL) {
        ht_job *next = job->next;
        done(user, job->rq, &job->r);
        ht_job_recycle(job);
        job = next;
    }
}

static int ms_until(int64_t at_ns, int64_t now_ns)
{
    const int64_t ms = (at_ns - now_ns + MS - 1) / MS;
    return ms < 0 ? 0 : ms > INT32_MAX ? INT32_MAX : (int)ms;
}

/* Asked for while a reply is being read (by on_delta), it waits until libcurl is out of the way. */
static void cancel_flying(ht_driver *d, ht_job *job)
{
    job->is_cancelled = true;
    if (d->is_reading) {
        d->has_marked = true;
        return;
    }
    if (job->call != NULL)
        ht_loop_cancel(d->loop, job->call);
    land(d, job);
}

static void cancel_marked(ht_driver *d)
{
    if (!d->has_marked)
        return;
    d->has_marked = false;
    for (ht_job *job = d->flying, *next; job != NULL; job = next) {
        next = job->next;
        if (job->is_cancelled)
            cancel_flying(d, job);
    }
}

as_code ht_poll(be_backend *be, int wait_ms, be_done done, void *user, as_err *err)
{
    ht_driver *d = driver_of(be);
    const int64_t until = as_now_ns() + (int64_t)wait_ms * MS;
    for (;;) {
        int64_t wake = until;
        ask_health(d, &wake);
        send_waiting(d, &wake);
        end_impatient(d, &wake);
        const int64_t now = as_now_ns();
        AS_TRY(ht_loop_turn(d->loop, d->ended != NULL ? 0 : ms_until(wake, now), err));
        cancel_marked(d);
        if (d->ended != NULL || as_now_ns() >= until)
            break;
    }
    report_ended(d, done, user);
    return AS_OK;
}

void ht_cancel(be_backend *be)
{
    ht_driver *d = driver_of(be);
    for (ht_job *job = d->flying, *next; job != NULL; job = next) {
        next = job->next;
        cancel_flying(d, job);
    }
    while (d->first != NULL) {
        ht_job *job = pop_waiting(d);
        job->is_cancelled = true;
        push_ended(d, job);
    }
}

void ht_cancel_one(be_backend *be, uint64_t id)
{
    ht_driver *d = driver_of(be);
    for (ht_job *job = d->flying; job != NULL; job = job->next)
        if (job->rq->job == id) {
            cancel_flying(d, job);
            return;
        }
    ht_job *before = NULL;
    for (ht_job *job = d->first; job != NULL; before = job, job = job->next) {
        if (job->rq->job != id)
            continue;
        if (before != NULL)
            before->next = job->next;
        else
            d->first = job->next;
        if (d->last == job)
            d->last = before;
        job->is_cancelled = true;
        push_ended(d, job);
        return;
    }
}

as_code ht_prepare(be_backend *be, int max_total_tokens, int concurrency, as_err *err)
{
    ht_driver *d = driver_of(be);
    if (d->dialect->prepare != NULL)
        d->dialect->prepare(d, max_total_tokens);
    if (d->has_max_each || concurrency < 1)
        return AS_OK;
    d->max_each = (concurrency + d->endpoints.n - 1) / d->endpoints.n;
    return ht_loop_limit(d->loop, d->max_each + 1, d->endpoints.n, err);
}

unsigned ht_caps(const be_backend *be)
{
    return ((const ht_driver *)be)->caps;
}

const be_info *ht_info(const be_backend *be)
{
    return &((const ht_driver *)be)->info;
}

static as_code cannot(const ht_driver *d, const char *what, as_err *err)
{
    return as_fail(err, AS_UNSUPPORTED, "%s: this server cannot %s", d->dialect->driver->scheme,
                   what);
}

as_code ht_tokenize(be_backend *be, as_str text, bool is_prompt, int32_t **ids, int *n,
                    as_arena *keep, as_err *err)
{
    ht_driver *d = driver_of(be);
    *ids = NULL;
    *n = 0;
    if ((d->caps & BE_CAN_TOKENIZE) == 0 || d->dialect->tokenize == NULL)
        return cannot(d, "tokenize", err);
    return d->dialect->tokenize(d, text, is_prompt, ids, n, keep, err);
}

as_code ht_render(be_backend *be, const as_request *rq, as_str *prompt, as_arena *keep, as_err *err)
{
    ht_driver *d = driver_of(be);
    *prompt = (as_str){0};
    if ((d->caps & BE_CAN_RENDER) == 0 || d->dialect->render == NULL)
        return cannot(d, "show the prompt its template makes", err);
    return d->dialect->render(d, rq, prompt, keep, err);
}

as_code ht_metrics(be_backend *be, be_metrics *out, as_err *err)
{
    ht_driver *d = driver_of(be);
    if ((d->caps & BE_CAN_METRICS) == 0 || d->dialect->metrics == NULL)
        return cannot(d, "tell metrics", err);
    return d->dialect->metrics(d, out, err);
}

void ht_close(be_backend *be)
{
    ht_driver *d = driver_of(be);
    if (d == NULL)
        return;
    if (d->loop != NULL)
        ht_cancel(be);
    ht_loop_close(d->loop);
    for (ht_job *job = d->ended, *next; job != NULL; job = next) {
        next = job->next;
        ht_job_free(job);
    }
    for (ht_job *job = d->pool, *next; job != NULL; job = next) {
        next = job->next;
        ht_job_free(job);
    }
    ht_headers_free(d->headers);
    ht_headers_free(d->get_headers);
    as_buf_release(&d->identity);
    as_arena_release(&d->keep);
    free(d);
}
