/*
 * backend_null.c — answers from a script, without any model: for tests, and to try a run out.
 *
 * Script     a JSON object; README.md of this folder shows one. "default" is the reply to every
 *            item, "items" has replies by item id (an array: one per repeat, the last one goes on).
 *            A reply:
 *              text            the answer; "{letter}" becomes a letter A–J and "{number}" a number
 *                              0–999, both drawn by hash of (seed, suite, item, repeat)
 *              reasoning       thinking text
 *              finish          "stop" (default), "length", "blocked", "stop_text"
 *              delay_ms        time until the answer; jitter_ms: plus up to so much, by hash
 *              prompt_tokens, completion_tokens
 *              error           "transport", "timeout", "rate", "server", "request", "context",
 *                              "protocol": the request fails so
 *              fail_tries      the first so many tries fail, later ones answer (default: all)
 *              fail_share      0 … 1: which share of (item, repeat) pairs fail at all, by hash
 *              http_status, retry_after_ms, message
 *            "seed": number. An empty name answers "The answer is ({letter})." at once.
 * Repeatable every reply depends on (script, suite, item, repeat, try) alone.
 */
#include "backend/drivers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/io.h"
#include "base/json.h"
#include "base/rng.h"
#include "base/time.h"

enum { SCRIPT_MAX_BYTES = 64 << 20 };

static const char builtin_script[] = "{\"default\":{\"text\":\"The answer is ({letter}).\"}}";

typedef struct null_job {
    const as_request *request;
    int64_t submitted_ns, due_ns;
} null_job;

typedef struct null_backend {
    be_backend base;
    be_info info;
    as_json *script;
    as_buf script_text;
    uint64_t seed;
    null_job *jobs; /* unordered */
    size_t n_jobs, cap_jobs;
    bool is_cancelled;
    as_buf reply; /* text of the answer under way */
    char sha[AS_SHA256_HEX];
} null_backend;

static const as_json *reply_for(const null_backend *be, const as_request *rq)
{
    char key[256];
    const as_json *items = as_json_get(be->script, "items");
    const as_json *reply = NULL;
    if (rq->item.n < sizeof key) {
        memcpy(key, rq->item.p, rq->item.n);
        key[rq->item.n] = '\0';
        reply = as_json_get(items, key);
    }
    if (as_json_type(reply) == AS_JSON_ARRAY) {
        const as_json *r = as_json_first(reply);
        for (int i = 0; i < rq->repeat && as_json_next(r) != NULL; i++)
            r = as_json_next(r);
        reply = r;
    }
    return reply != NULL ? reply : as_json_get(be->script, "default");
}

/* Numbers that depend on who asks, and on what for. */
static as_rng rng_for(const null_backend *be, const as_request *rq, const char *purpose)
{
    char name[512];
    const int n = snprintf(name, sizeof name, "%s/%.*s/%.*s/%d", purpose, AS_ARG(rq->suite),
                           AS_ARG(rq->item), rq->repeat);
    as_rng rng;
    as_rng_init(&rng, be->seed,
                (as_str){name, n < 0                     ? 0
                               : (size_t)n < sizeof name ? (size_t)n
                                                         : sizeof name - 1});
    return rng;
}

static double number_or(const as_json *reply, const char *key, double otherwise)
{
    double v = otherwise;
    return as_json_f64(as_json_get(reply, key), &v) ? v : otherwise;
}

static as_str text_or(const as_json *reply, const char *key, as_str otherwise)
{
    as_str s;
    return as_json_str(as_json_get(reply, key), &s) ? s : otherwise;
}

static void fill_template(null_backend *be, const as_request *rq, as_str text)
{
    as_buf_reset(&be->reply);
    while (text.n != 0) {
        const size_t at = as_str_find(text, AS_STR("{"));
        if (at == SIZE_MAX)
            break;
        (void)as_buf_add(&be->reply, as_str_sub(text, 0, at));
        text = as_str_sub(text, at, text.n);
        if (as_str_starts(text, AS_STR("{letter}"))) {
            as_rng rng = rng_for(be, rq, "letter");
            (void)as_buf_add_byte(&be->reply, (char)('A' + (int)as_rng_below(&rng, 10)));
            text = as_str_sub(text, strlen("{letter}"), text.n);
        } else if (as_str_starts(text, AS_STR("{number}"))) {
            as_rng rng = rng_for(be, rq, "number");
            (void)as_buf_printf(&be->reply, "%d", (int)as_rng_below(&rng, 1000));
            text = as_str_sub(text, strlen("{number}"), text.n);
        } else {
            (void)as_buf_add_byte(&be->reply, '{');
            text = as_str_sub(text, 1, text.n);
        }
    }
    (void)as_buf_add(&be->reply, text);
}

static bool fails_now(const null_backend *be, const as_request *rq, const as_json *reply)
{
    if (as_json_get(reply, "error") == NULL)
        return false;
    as_rng rng = rng_for(be, rq, "fail");
    if (as_rng_f64(&rng) >= number_or(reply, "fail_share", 1))
        return false;
    return rq->try_no < (int)number_or(reply, "fail_tries", 1e9);
}

static void answer(null_backend *be, const null_job *job, as_response *r)
{
    const as_request *rq = job->request;
    const as_json *reply = reply_for(be, rq);
    as_response_init(r);
    const int64_t now = as_now_ns();
    r->started_wall_ns = as_wall_ns() - (now - job->submitted_ns);
    r->total_ns = now - job->submitted_ns;
    r->queue_ns = 0;
    if (be->is_cancelled) {
        r->finish = AS_FINISH_CANCELLED;
        return;
    }
    r->http_status = (int)number_or(reply, "http_status", 0);
    if (fails_now(be, rq, reply)) {
        r->finish = AS_FINISH_ERROR;
        (void)as_error_kind_parse(&r->error, text_or(reply, "error", AS_STR("server")));
        r->message = text_or(reply, "message", AS_STR("scripted failure"));
        r->retry_after_ms = (int64_t)number_or(reply, "retry_after_ms", -1);
        return;
    }
    fill_template(be, rq, text_or(reply, "text", AS_STR("")));
    r->text = as_buf_str(&be->reply);
    r->reasoning = text_or(reply, "reasoning", (as_str){0});
    if (!as_finish_parse(&r->finish, text_or(reply, "finish", AS_STR("stop"))))
        r->finish = AS_FINISH_STOP;
    r->prompt_tokens = (int64_t)number_or(reply, "prompt_tokens", -1);
    r->completion_tokens = (int64_t)number_or(reply, "completion_tokens", -1);
    r->first_token_ns = r->total_ns;
}

static as_code null_submit(be_backend *base, const as_request *rq, as_err *err)
{
    null_backend *be = (null_backend *)base;
    if (be->n_jobs == be->cap_jobs) {
        const size_t cap = be->cap_jobs != 0 ? be->cap_jobs * 2 : 16;
        null_job *jobs = realloc(be->jobs, cap * sizeof *jobs);
        if (jobs == NULL)
            return as_nomem(err);
        be->jobs = jobs;
        be->cap_jobs = cap;
    }
    const as_json *reply = reply_for(be, rq);
    as_rng rng = rng_for(be, rq, "jitter");
    const double wait_ms =
        number_or(reply, "delay_ms", 0) + number_or(reply, "jitter_ms", 0) * as_rng_f64(&rng);
    const int64_t now = as_now_ns();
    be->jobs[be->n_jobs++] = (null_job){
        .request = rq,
        .submitted_ns = now,
        .due_ns = now + (wait_ms > 0 ? (int64_t)(wait_ms * 1e6) : 0),
    };
    return AS_OK;
}

static as_code null_poll(be_backend *base, int wait_ms, be_done done, void *user, as_err *err)
{
    (void)err;
    null_backend *be = (null_backend *)base;
    int64_t next_ns = INT64_MAX;
    for (size_t i = 0; i < be->n_jobs; i++)
        if (be->jobs[i].due_ns < next_ns)
            next_ns = be->jobs[i].due_ns;
    int64_t wait_ns = (int64_t)wait_ms * 1000000;
    if (next_ns != INT64_MAX && next_ns - as_now_ns() < wait_ns)
        wait_ns = next_ns - as_now_ns();
    if (!be->is_cancelled)
        as_sleep_ns(wait_ns);
    const int64_t now = as_now_ns();
    for (size_t i = 0; i < be->n_jobs;) {
        if (be->jobs[i].due_ns > now && !be->is_cancelled) {
            i++;
            continue;
        }
        const null_job job = be->jobs[i];
        be->jobs[i] = be->jobs[--be->n_jobs];
        as_response r;
        answer(be, &job, &r);
        done(user, job.request, &r); /* may submit again: jobs may have moved */
    }
    return AS_OK;
}

static void null_cancel(be_backend *base)
{
    ((null_backend *)base)->is_cancelled = true;
}

static unsigned null_caps(const be_backend *base)
{
    (void)base;
    return BE_CAN_CHAT | BE_CAN_TEXT | BE_CAN_SEED;
}

static const be_info *null_info(const be_backend *base)
{
    return &((const null_backend *)base)->info;
}

static void null_close(be_backend *base)
{
    null_backend *be = (null_backend *)base;
    if (be == NULL)
        return;
    as_json_free(be->script);
    as_buf_release(&be->script_text);
    as_buf_release(&be->reply);
    free(be->jobs);
    free(be);
}

static as_code check_reply(const as_json *reply, const char *where, as_err *err)
{
    if (as_json_type(reply) != AS_JSON_OBJECT)
        return as_fail(err, AS_PARSE, "%s: want an object with \"text\" or \"error\"", where);
    as_str name;
    as_error_kind kind;
    if (as_json_str(as_json_get(reply, "error"), &name) && !as_error_kind_parse(&kind, name))
        return as_fail(err, AS_PARSE,
                       "%s: \"error\": \"%.*s\" is none of transport, timeout, rate, server, "
                       "request, context, protocol",
                       where, AS_ARG(name));
    as_finish finish;
    if (as_json_str(as_json_get(reply, "finish"), &name) && !as_finish_parse(&finish, name))
        return as_fail(err, AS_PARSE,
                       "%s: \"finish\": \"%.*s\" is none of stop, stop_text, length, blocked",
                       where, AS_ARG(name));
    return AS_OK;
}

static as_code check_script(const null_backend *be, as_err *err)
{
    const as_json *otherwise = as_json_get(be->script, "default");
    const as_json *items = as_json_get(be->script, "items");
    if (otherwise == NULL && items == NULL)
        return as_fail(err, AS_PARSE, "want an object with \"default\" or \"items\"");
    if (otherwise != NULL)
        AS_TRY(check_reply(otherwise, "\"default\"", err));
    for (const as_json *i = as_json_first(items); i != NULL; i = as_json_next(i)) {
        const bool is_list = as_json_type(i) == AS_JSON_ARRAY;
        for (const as_json *r = is_list ? as_json_first(i) : i; r != NULL;
             r = is_list ? as_json_next(r) : NULL)
            AS_TRY(check_reply(r, as_json_key(i).p, err));
    }
    return AS_OK;
}

static as_code load_script(null_backend *be, as_str name, as_err *err)
{
    as_buf_init(&be->script_text, SCRIPT_MAX_BYTES);
    if (name.n == 0) {
        AS_TRY(as_buf_add_z(&be->script_text, builtin_script));
    } else {
        char path[4096];
        if (name.n >= sizeof path)
            return as_fail(err, AS_RANGE, "null: path of %zu bytes is too long", name.n);
        memcpy(path, name.p, name.n);
        path[name.n] = '\0';
        AS_TRY(as_read_file(&be->script_text, path, err));
    }
    AS_TRY(as_json_parse(&be->script, as_buf_str(&be->script_text), err));
    return check_script(be, err);
}

static as_code null_open(be_backend **out, const be_config *config, as_err *err)
{
    *out = NULL;
    static const char *const known[] = {NULL};
    AS_TRY(be_options_check(config, known, err));
    null_backend *be = calloc(1, sizeof *be);
    if (be == NULL)
        return as_nomem(err);
    be->base.driver = &be_null;
    as_buf_init(&be->reply, 0);
    const as_code c = load_script(be, config->name, err);
    if (c != AS_OK) {
        (void)as_wrap(err, "null:%.*s", AS_ARG(config->name));
        null_close(&be->base);
        return c;
    }
    const as_sha256 h = as_sha256_of(as_buf_str(&be->script_text));
    as_sha256_hex(be->sha, &h);
    be->seed = (uint64_t)number_or(be->script, "seed", 0);
    be->info = (be_info){
        .model_name = AS_STR("null"),
        .sha256 = as_str_of(be->sha),
        .n_params = -1,
        .n_params_active = -1,
        .file_bytes = -1,
        .weights_bytes = -1,
        .kv_bytes = -1,
        .scratch_bytes = -1,
        .json = AS_STR("{}"),
    };
    *out = &be->base;
    return AS_OK;
}

const be_driver be_null = {
    .scheme = "null",
    .title = "answers from a script, without a model",
    .is_in_process = true,
    .open = null_open,
    .close = null_close,
    .caps = null_caps,
    .info = null_info,
    .submit = null_submit,
    .poll = null_poll,
    .cancel = null_cancel,
};
