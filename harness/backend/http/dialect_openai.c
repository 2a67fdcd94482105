/*
 * dialect_openai.c — openai: any server that speaks OpenAI's chat and completion routes.
 *
 * At open    /v1/models says which models there are; then three calls of one token each (left out
 *            with -M probe=off) find out what the profile only hopes: that chat answers, that
 *            log-probabilities come, that "echo" returns those of the prompt. A capability is set
 *            only when a reply held it: servers accept fields and drop them.
 * Scoring    one call with "echo": the classic arrays of the whole text, of which the last tokens
 *            are the continuation. A token that crosses the boundary belongs to it.
 */
#include <math.h>
#include <string.h>

#include "backend/drivers.h"
#include "backend/http/chat.h"

/* ---- at open ------------------------------------------------------------------------------------
 */

static void put_model(const ht_driver *d, as_jw *w)
{
    if (d->model.n == 0)
        return;
    as_jw_put_str(w, "model", d->model);
}

static as_code ask_json(ht_driver *d, const char *path, const as_buf *body, ht_answer *a,
                        as_arena *scratch, as_err *err)
{
    AS_TRY(as_buf_ok(body, err));
    return ht_ask(d, ht_first_endpoint(d), path, as_buf_str(body), a, scratch, err);
}

static bool has_entries(const as_json *reply)
{
    const as_json *lp = as_json_get(as_json_first(as_json_get(reply, "choices")), "logprobs");
    const as_json *list = as_json_get(lp, "content");
    if (as_json_type(list) != AS_JSON_ARRAY)
        list = as_json_get(lp, "token_logprobs");
    double v = 0;
    const as_json *first = as_json_first(list);
    return as_json_f64(first, &v) || as_json_f64(as_json_get(first, "logprob"), &v);
}

/* A chat of one token; with log-probabilities if that is asked. */
static as_code probe_chat(ht_driver *d, bool with_logprobs, ht_answer *a, as_arena *scratch,
                          as_err *err)
{
    as_buf b;
    as_buf_init(&b, 0);
    as_jw w;
    as_jw_init(&w, &b);
    as_jw_begin_object(&w);
    put_model(d, &w);
    as_jw_key(&w, "messages");
    as_jw_raw(&w, AS_STR("[{\"role\":\"user\",\"content\":\"Hi\"}]"));
    as_jw_put_i64(&w, d->profile.max_tokens, 1);
    if (with_logprobs) {
        as_jw_put_bool(&w, "logprobs", true);
        as_jw_put_i64(&w, "top_logprobs", 2);
    }
    as_jw_end_object(&w);
    const as_code c = ask_json(d, "/v1/chat/completions", &b, a, scratch, err);
    as_buf_release(&b);
    return c;
}

/* A text of a few tokens with "echo": are there numbers for more than the one token made? */
static as_code probe_text(ht_driver *d, ht_answer *a, as_arena *scratch, as_err *err)
{
    as_buf b;
    as_buf_init(&b, 0);
    as_jw w;
    as_jw_init(&w, &b);
    as_jw_begin_object(&w);
    put_model(d, &w);
    as_jw_put_z(&w, "prompt", "The capital of France is Paris");
    as_jw_put_i64(&w, "max_tokens", 1);
    if (d->profile.has_echo) {
        as_jw_put_bool(&w, "echo", true);
        as_jw_put_i64(&w, "logprobs", 1);
    }
    as_jw_end_object(&w);
    const as_code c = ask_json(d, "/v1/completions", &b, a, scratch, err);
    as_buf_release(&b);
    return c;
}

static bool echoes(const as_json *reply)
{
    const as_json *lp = as_json_get(as_json_first(as_json_get(reply, "choices")), "logprobs");
    const as_json *values = as_json_get(lp, "token_logprobs");
    int n = 0;
    double v = 0;
    for (const as_json *i = as_json_first(values); i != NULL; i = as_json_next(i))
        n += as_json_f64(i, &v) ? 1 : 0;
    return n >= 4 && as_json_count(as_json_get(lp, "tokens")) == as_json_count(values);
}

static as_code probe_refused(const ht_driver *d, const ht_answer *a, as_err *err)
{
    if (a->error.kind == AS_ERROR_AUTH)
        return as_fail(err, AS_RANGE,
                       "%s: %s; put the key into %s, or name its variable: -M key_env=NAME",
                       d->dialect->driver->scheme, a->error.message, d->dialect->key_env);
    if (a->error.kind == AS_ERROR_NOT_FOUND)
        return as_fail(err, AS_RANGE, "%s:%.*s: %s", d->dialect->driver->scheme, AS_ARG(d->model),
                       a->error.message);
    return AS_OK;
}

static as_code probe_calls(ht_driver *d, as_arena *scratch, as_err *err)
{
    ht_answer a;
    AS_TRY(probe_chat(d, false, &a, scratch, err));
    const bool chats = as_json_count(as_json_get(a.json, "choices")) != 0;
    as_json_free(a.json);
    if (!chats) {
        AS_TRY(probe_refused(d, &a, err));
        as_log_line(d->log, AS_LOG_WARN, "%s: chat is refused: %s", d->dialect->driver->scheme,
                    a.status >= 400 ? a.error.message : "a reply without choices");
        d->caps &= ~(unsigned)BE_CAN_CHAT;
    }
    d->caps &= ~(unsigned)BE_CAN_LOGPROBS;
    if (chats && d->profile.has_logprobs) {
        AS_TRY(probe_chat(d, true, &a, scratch, err));
        d->caps |= has_entries(a.json) ? (unsigned)BE_CAN_LOGPROBS : 0;
        as_json_free(a.json);
    }
    AS_TRY(probe_text(d, &a, scratch, err));
    const bool completes = as_json_count(as_json_get(a.json, "choices")) != 0;
    d->caps &= completes ? ~0u : ~((unsigned)BE_CAN_TEXT | BE_CAN_IDS);
    d->caps |= completes && echoes(a.json) ? (unsigned)BE_CAN_SCORE : 0;
    as_json_free(a.json);
    return AS_OK;
}

static as_code probe(ht_driver *d, as_err *err)
{
    const ht_profile *p = &d->profile;
    d->caps = BE_CAN_CHAT | BE_CAN_TEXT | (p->has_seed ? (unsigned)BE_CAN_SEED : 0) |
              (p->has_images ? (unsigned)BE_CAN_IMAGE : 0) |
              (p->has_audio ? (unsigned)BE_CAN_AUDIO : 0) |
              (p->has_logprobs ? (unsigned)BE_CAN_LOGPROBS : 0) |
              (p->think != HT_THINK_NONE ? (unsigned)BE_CAN_THINK : 0) |
              (p->no_cache != HT_NO_CACHE_NONE ? (unsigned)BE_CAN_NO_CACHE : 0);
    AS_TRY(ht_models_ask(d, err));
    if (!d->is_probing)
        return AS_OK;
    as_arena scratch;
    as_arena_init(&scratch, 0);
    const as_code c = probe_calls(d, &scratch, err);
    as_arena_release(&scratch);
    return c;
}

/* ---- scoring by echo ----------------------------------------------------------------------------
 */

static as_code build_score(ht_driver *d, ht_job *job, as_jw *w, as_err *err)
{
    const as_request *rq = job->rq;
    if ((d->caps & BE_CAN_SCORE) == 0)
        return as_fail(err, AS_UNSUPPORTED,
                       "the server does not tell how likely a given text is (no \"echo\" with "
                       "log-probabilities)");
    if (rq->is_chat || rq->n_ids != 0 || rq->continuation.n == 0)
        return as_fail(err, AS_UNSUPPORTED,
                       "this server scores a text after a text, not chats or token ids");
    job->path = "/v1/completions";
    job->is_stream = false;
    put_model(d, w);
    as_buf b;
    as_buf_init(&b, HT_MAX_REQUEST);
    (void)as_buf_add(&b, rq->prefix);
    (void)as_buf_add(&b, rq->prompt);
    (void)as_buf_add(&b, rq->continuation);
    as_code c = as_buf_ok(&b, err);
    as_jw_put_str(w, "prompt", as_buf_str(&b));
    as_buf_release(&b);
    as_jw_put_bool(w, "echo", true);
    as_jw_put_i64(w, "logprobs", rq->top_logprobs > 1 ? rq->top_logprobs : 1);
    as_jw_put_i64(w, "max_tokens", 1);
    as_jw_put_i64(w, "temperature", 0);
    return c;
}

/* Keeps of all tokens the ones of the continuation: of the prompt's tokens the last whose texts make
 * it up. Offsets are not used: servers count them in characters, and over marks that are not shown. */
static void keep_continuation(ht_job *job)
{
    const as_str want = job->rq->continuation;
    const int n_made = job->r.completion_tokens > 0 ? (int)job->r.completion_tokens : 1;
    const int n = job->n_logprobs - n_made;
    size_t n_bytes = 0;
    int from = n;
    while (from > 0 && n_bytes < want.n)
        n_bytes += job->logprobs[--from].token.text.n;
    if (n <= 0 || n_bytes < want.n) {
        ht_job_fail(job, AS_ERROR_PROTOCOL, "the echoed tokens do not hold the continuation");
        return;
    }
    size_t at = want.n; /* compared from the end; only the first token may stick out */
    for (int i = n; i-- > from;) {
        const as_str t = job->logprobs[i].token.text;
        const size_t k = t.n < at ? t.n : at;
        if (!as_str_eq(as_str_sub(t, t.n - k, t.n), as_str_sub(want, at - k, at))) {
            ht_job_fail(job, AS_ERROR_PROTOCOL, "the echoed tokens are not the continuation's");
            return;
        }
        at -= k;
    }
    for (int i = from; i < n; i++)
        if (isnan(job->logprobs[i].token.logprob)) {
            ht_job_fail(job, AS_ERROR_PROTOCOL,
                        "the server tells no log-probability for token %d of the continuation",
                        i - from + 1);
            return;
        }
    job->logprobs += from;
    job->n_logprobs = n - from;
    as_buf_reset(&job->text);
    job->r.completion_tokens = 0;
    job->r.finish = AS_FINISH_STOP;
}

static as_code build(ht_driver *d, ht_job *job, as_jw *w, as_err *err)
{
    return job->rq->ask == AS_ASK_SCORE ? build_score(d, job, w, err)
                                        : ht_chat_build(d, job, w, err);
}

static void read(ht_driver *d, ht_job *job, const as_json *reply)
{
    ht_chat_read(d, job, reply);
    if (job->rq->ask == AS_ASK_SCORE && job->r.finish != AS_FINISH_ERROR)
        keep_continuation(job);
}

static const ht_dialect openai = {
    .driver = &be_openai,
    .key_env = "OPENAI_API_KEY",
    .key_header = "Authorization: Bearer ",
    .health_path = "/v1/models",
    .profile = "generic",
    .needs_model = true,
    .probe = probe,
    .build = build,
    .read = read,
    .read_event = ht_chat_read_event,
};

static as_code openai_open(be_backend **out, const be_config *config, as_err *err)
{
    return ht_open(out, &openai, config, err);
}

const be_driver be_openai = {
    .scheme = "openai",
    .title = "any server that speaks OpenAI's chat routes",
    .open = openai_open,
    HT_DRIVER_FUNCTIONS,
};
