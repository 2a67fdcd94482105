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
 *              token_ms        for requests that want pieces: pause between the words of the reply
 *            "seed": number. "counts": true tells token counts (bytes) where a reply has none. An empty name answers "The answer is ({letter})." at once.
 * Scores     ids, log-probabilities and SCORE are those of base/toymodel.h: a byte is a token, behind
 *            <bos>. Stop texts and, in tokens, max_tokens cut the reply where log-probabilities or
 *            counts are told.
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
#include "base/toymodel.h"

enum { SCRIPT_MAX_BYTES = 64 << 20 };

static const char builtin_script[] = "{\"default\":{\"text\":\"The answer is ({letter}).\"}}";

typedef struct null_job {
    const as_request *request;
    int64_t submitted_ns, due_ns;
    int64_t first_ns; /* of the first piece, 0: none yet */
    char *bytes;      /* reasoning, then text; NULL until the first piece */
    as_str reasoning, text;
    size_t n_sent_reasoning, n_sent_text;
    as_finish finish;
    bool is_cancelled;
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
    bool tells_counts;
    as_buf reply;     /* text of the answer under way */
    as_arena scratch; /* of the response under way */
    char sha[AS_SHA256_HEX];
} null_backend;

static const as_json *reply_for(const null_backend *be, const as_request *rq)
{
    char key[256];
    const as_json *items = as_json_get(be->script, "items");
    const as_json *reply = NULL;
    if (rq->item.n != 0 && rq->item.n < sizeof key) {
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

/* ---- the toy model ----------------------------------------------------------------------------- */

static int n_prompt_ids(const as_request *rq)
{
    if (rq->ids != NULL)
        return rq->n_ids;
    size_t n = 1 + rq->prefix.n + rq->prompt.n;
    for (int i = 0; rq->is_chat && i < rq->n_messages; i++)
        n += rq->messages[i].text.n;
    return n < INT32_MAX ? (int)n : INT32_MAX;
}

/* The token that the reply, or the continuation, follows. */
static int32_t last_prompt_id(const as_request *rq)
{
    if (rq->ids != NULL && rq->n_ids > 0)
        return rq->ids[rq->n_ids - 1];
    const as_str text = rq->is_chat ? (as_str){0} : rq->prompt.n != 0 ? rq->prompt : rq->prefix;
    return text.n != 0 ? (unsigned char)text.p[text.n - 1] : AS_TOY_BOS;
}

static as_token toy_token(null_backend *be, int32_t prev, int32_t id)
{
    char piece[16];
    const int n = as_toy_piece(piece, id);
    return (as_token){.id = id,
                      .text = as_arena_str(&be->scratch, (as_str){piece, (size_t)n}),
                      .logprob = as_toy_logprob(prev, id)};
}

/* Of n tokens, ids or bytes; out of memory there are none. */
static void add_logprobs(null_backend *be, as_response *r, int32_t prev, const int32_t *ids,
                         as_str bytes, int n)
{
    as_token_logprob *all = as_new(&be->scratch, as_token_logprob, n);
    as_token *tops = as_new(&be->scratch, as_token, n);
    if (all == NULL || tops == NULL)
        return;
    for (int i = 0; i < n; i++) {
        const int32_t id = ids != NULL ? ids[i] : (int32_t)(unsigned char)bytes.p[i];
        as_token *top = &tops[i];
        const int32_t greedy = as_toy_greedy(prev);
        *top = toy_token(be, prev, greedy);
        all[i] = (as_token_logprob){
            .token = toy_token(be, prev, id), .top = top, .n_top = 1, .is_greedy = id == greedy};
        prev = id;
    }
    r->logprobs = all;
    r->n_logprobs = n;
}

static void score(null_backend *be, const as_request *rq, as_response *r)
{
    const bool by_id = rq->continuation_ids != NULL;
    const int n = by_id ? rq->n_continuation_ids : (int)rq->continuation.n;
    r->finish = AS_FINISH_STOP;
    r->prompt_tokens = n_prompt_ids(rq);
    r->completion_tokens = 0;
    add_logprobs(be, r, last_prompt_id(rq), by_id ? rq->continuation_ids : NULL, rq->continuation,
                 n);
}

/* ---- answers ----------------------------------------------------------------------------------- */

/* The scripted text as the request cuts it. */
static as_str cut_text(const null_backend *be, const as_request *rq, as_str text, as_finish *finish)
{
    for (int i = 0; i < rq->n_stop; i++) {
        const size_t at = rq->stop[i].n != 0 ? as_str_find(text, rq->stop[i]) : SIZE_MAX;
        if (at != SIZE_MAX) {
            text.n = at;
            *finish = AS_FINISH_STOP_TEXT;
        }
    }
    const bool counts = be->tells_counts || rq->top_logprobs > 0;
    if (counts && rq->max_tokens > 0 && text.n > (size_t)rq->max_tokens) {
        text.n = (size_t)rq->max_tokens;
        *finish = AS_FINISH_LENGTH;
    }
    return text;
}

/* Makes the job's own copy of what it will say. */
static bool prepare_text(null_backend *be, null_job *job)
{
    if (job->text.p != NULL)
        return true;
    const as_json *reply = reply_for(be, job->request);
    fill_template(be, job->request, text_or(reply, "text", AS_STR("")));
    if (!as_finish_parse(&job->finish, text_or(reply, "finish", AS_STR("stop"))))
        job->finish = AS_FINISH_STOP;
    const as_str text = cut_text(be, job->request, as_buf_str(&be->reply), &job->finish);
    const as_str reasoning = text_or(reply, "reasoning", (as_str){0});
    char *copy = malloc(reasoning.n + text.n + 1);
    if (copy == NULL)
        return false;
    if (reasoning.n != 0)
        memcpy(copy, reasoning.p, reasoning.n);
    memcpy(copy + reasoning.n, text.p, text.n);
    job->bytes = copy;
    job->reasoning = (as_str){copy, reasoning.n};
    job->text = (as_str){copy + reasoning.n, text.n};
    return true;
}

static void count(const null_backend *be, const null_job *job, const as_json *reply, as_response *r)
{
    const bool all = be->tells_counts || job->request->top_logprobs > 0;
    const double n_prompt = all ? n_prompt_ids(job->request) : -1;
    const double n_text = all ? (double)(job->text.n + job->reasoning.n) : -1;
    r->prompt_tokens = (int64_t)number_or(reply, "prompt_tokens", n_prompt);
    r->completion_tokens = (int64_t)number_or(reply, "completion_tokens", n_text);
    if (all && job->reasoning.n != 0)
        r->reasoning_tokens = (int64_t)job->reasoning.n;
}

static void answer(null_backend *be, null_job *job, as_response *r)
{
    const as_request *rq = job->request;
    const as_json *reply = reply_for(be, rq);
    as_response_init(r);
    const int64_t now = as_now_ns();
    r->started_wall_ns = as_wall_ns() - (now - job->submitted_ns);
    r->total_ns = now - job->submitted_ns;
    r->queue_ns = 0;
    if (be->is_cancelled || job->is_cancelled) {
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
    if (rq->ask == AS_ASK_SCORE) {
        score(be, rq, r);
        return;
    }
    if (!prepare_text(be, job)) {
        r->finish = AS_FINISH_ERROR;
        r->error = AS_ERROR_SERVER;
        r->message = AS_STR("out of memory");
        return;
    }
    r->text = job->text;
    r->reasoning = job->reasoning;
    r->finish = job->finish;
    count(be, job, reply, r);
    if (rq->top_logprobs > 0)
        add_logprobs(be, r, last_prompt_id(rq), NULL, r->text, (int)r->text.n);
    r->first_token_ns = job->first_ns != 0 ? job->first_ns - job->submitted_ns : r->total_ns;
}

/* The next word, or byte by byte if its log-probability is told; true while there is more. */
static bool send_piece(null_backend *be, null_job *job)
{
    const as_request *rq = job->request;
    if (rq->on_delta == NULL || rq->ask != AS_ASK_GENERATE || be->is_cancelled ||
        job->is_cancelled || fails_now(be, rq, reply_for(be, rq)) || !prepare_text(be, job))
        return false;
    const bool is_thinking = job->n_sent_reasoning < job->reasoning.n;
    const as_str all = is_thinking ? job->reasoning : job->text;
    size_t *sent = is_thinking ? &job->n_sent_reasoning : &job->n_sent_text;
    if (*sent == all.n)
        return false;
    size_t n = 1;
    while (*sent + n < all.n && all.p[*sent + n] != ' ')
        n++;
    const as_str piece = as_str_sub(all, *sent, *sent + n);
    *sent += n;
    if (job->first_ns == 0)
        job->first_ns = as_now_ns();
    const as_delta delta = {.text = is_thinking ? AS_STR("") : piece,
                            .reasoning = is_thinking ? piece : AS_STR("")};
    rq->on_delta(rq->delta_user, &delta);
    return job->n_sent_reasoning < job->reasoning.n || job->n_sent_text < job->text.n;
}

static as_code null_submit(be_backend *base, const as_request *rq, as_err *err)
{
    null_backend *be = (null_backend *)base;
    null_job *jobs = as_grow(be->jobs, be->n_jobs, &be->cap_jobs, sizeof *jobs);
    if (jobs == NULL)
        return as_nomem(err);
    be->jobs = jobs;
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
    if (!be->is_cancelled && wait_ns > 0)
        as_sleep_ns(wait_ns);
    const int64_t now = as_now_ns();
    for (size_t i = 0; i < be->n_jobs;) {
        null_job *at = &be->jobs[i];
        const bool is_over = be->is_cancelled || at->is_cancelled;
        if (at->due_ns > now && !is_over) {
            i++;
            continue;
        }
        if (send_piece(be, at)) {
            const double pause_ms = number_or(reply_for(be, at->request), "token_ms", 0);
            at->due_ns = now + (int64_t)(pause_ms * 1e6);
            continue; /* the same one again, if it is due */
        }
        null_job job = *at;
        be->jobs[i] = be->jobs[--be->n_jobs];
        const size_t mark = as_arena_mark(&be->scratch);
        as_response r;
        answer(be, &job, &r);
        done(user, job.request, &r); /* may submit again: jobs may have moved */
        as_arena_rewind(&be->scratch, mark);
        free(job.bytes);
    }
    return AS_OK;
}

static void null_cancel_one(be_backend *base, uint64_t id)
{
    null_backend *be = (null_backend *)base;
    for (size_t i = 0; i < be->n_jobs; i++)
        if (be->jobs[i].request->job == id) {
            be->jobs[i].is_cancelled = true;
            be->jobs[i].due_ns = 0;
        }
}

static as_code null_tokenize(be_backend *base, as_str text, bool is_prompt, int32_t **ids, int *n,
                             as_arena *keep, as_err *err)
{
    (void)base;
    if (text.n > INT32_MAX - 1)
        return as_fail(err, AS_RANGE, "the text is too long");
    *ids = as_new(keep, int32_t, text.n + 1);
    if (*ids == NULL)
        return as_nomem(err);
    *n = 0;
    if (is_prompt)
        (*ids)[(*n)++] = AS_TOY_BOS;
    for (size_t i = 0; i < text.n; i++)
        (*ids)[(*n)++] = (unsigned char)text.p[i];
    return AS_OK;
}

static as_code null_detokenize(be_backend *base, const int32_t *ids, int n, as_str *text,
                               as_arena *keep, as_err *err)
{
    (void)base;
    char *all = as_new(keep, char, (size_t)n * 16 + 1);
    if (all == NULL)
        return as_nomem(err);
    size_t at = 0;
    for (int i = 0; i < n; i++)
        at += (size_t)as_toy_piece(all + at, ids[i]);
    *text = (as_str){all, at};
    return AS_OK;
}

static as_code null_render(be_backend *base, const as_request *rq, as_str *prompt, as_arena *keep,
                           as_err *err)
{
    (void)base;
    as_buf text;
    as_buf_init(&text, 0);
    for (int i = 0; i < rq->n_messages; i++)
        (void)as_buf_printf(&text, "<%.*s>%.*s\n", AS_ARG(rq->messages[i].role),
                            AS_ARG(rq->messages[i].text));
    (void)as_buf_add_z(&text, "<assistant>");
    *prompt = as_arena_str(keep, as_buf_str(&text));
    as_code c = as_buf_ok(&text, err);
    as_buf_release(&text);
    return c != AS_OK ? c : as_str_is_set(*prompt) ? AS_OK : as_nomem(err);
}

static void null_cancel(be_backend *base)
{
    ((null_backend *)base)->is_cancelled = true;
}

static unsigned null_caps(const be_backend *base)
{
    (void)base;
    return BE_CAN_CHAT | BE_CAN_TEXT | BE_CAN_SEED | BE_CAN_IDS | BE_CAN_LOGPROBS | BE_CAN_SCORE |
           BE_CAN_TOKENIZE | BE_CAN_RENDER;
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
    for (size_t i = 0; i < be->n_jobs; i++)
        free(be->jobs[i].bytes);
    as_arena_release(&be->scratch);
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
    as_arena_init(&be->scratch, 0);
    const as_code c = load_script(be, config->name, err);
    if (c != AS_OK) {
        (void)as_wrap(err, "null:%.*s", AS_ARG(config->name));
        null_close(&be->base);
        return c;
    }
    const as_sha256 h = as_sha256_of(as_buf_str(&be->script_text));
    as_sha256_hex(be->sha, &h);
    be->seed = (uint64_t)number_or(be->script, "seed", 0);
    (void)as_json_bool(as_json_get(be->script, "counts"), &be->tells_counts);
    be->info = (be_info){
        .model_name = AS_STR("null"),
        .sha256 = as_str_of(be->sha),
        BE_INFO_UNKNOWN,
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
    .cancel_one = null_cancel_one,
    .tokenize = null_tokenize,
    .detokenize = null_detokenize,
    .render = null_render,
};
