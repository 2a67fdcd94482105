/*
 * dialect_ollama.c — ollama: Ollama by its own routes, which take what /v1 ignores (the window, top_k,
 * min_p) and tell what it hides (durations, how much was loaded).
 *
 * Chats      /api/chat. Streams are JSON lines, the last with "done": true and the totals.
 * Texts      /api/generate with "raw": no template.
 * Never      the front of a long prompt cut off in silence ("truncate"), nor the window shifted
 *            ("shift"): both are on unless they are refused.
 * Scoring    the log-probabilities of the one token made are those of the 20 likeliest. So a
 *            continuation that is one of them is scored exactly, and for any other there is an upper
 *            bound (is_bound): its first token is one of the told ones that it begins with, or less
 *            likely than the twentieth.
 * Repetition the server ends a stream without "done" when some thirty pieces are equal: that is the
 *            model's end, not a broken reply, and the text counts.
 */
#include <math.h>
#include <string.h>

#include "backend/drivers.h"
#include "backend/http/chat.h"
#include "backend/http/ollama.h"
#include "backend/http/score.h"

enum {
    REPEATED = 30,   /* equal pieces in a row after which the server gives up */
    MAX_PERIOD = 64, /* bytes of such a piece */
    BYTES_PER_TOKEN = 4,
};

/* ---- requests -----------------------------------------------------------------------------------
 */

static void put_common(const ht_driver *d, as_jw *w, bool is_stream)
{
    as_jw_put_str(w, "model", d->model);
    as_jw_put_bool(w, "stream", is_stream);
    as_jw_key(w, "keep_alive");
    as_jw_raw(w, ollama_of(d)->keep_alive);
    as_jw_put_bool(w, "truncate", false);
    as_jw_put_bool(w, "shift", false);
}

static void begin_options(const ht_driver *d, as_jw *w, int max_tokens)
{
    as_jw_key(w, "options");
    as_jw_begin_object(w);
    if (d->info.n_ctx > 0)
        as_jw_put_i64(w, "num_ctx", d->info.n_ctx);
    as_jw_put_i64(w, "num_predict", max_tokens);
    /* No request asks for one; older servers and some models' own parameters have 1.1. */
    as_jw_put_i64(w, "repeat_penalty", 1);
}

static as_code put_media(const ht_driver *d, const as_message *m, as_jw *w, as_err *err)
{
    as_jw_key(w, "images"); /* sounds too: told apart by their bytes */
    as_jw_begin_array(w);
    for (int i = 0; i < m->n_media; i++) {
        const unsigned need = m->media[i].is_audio ? BE_CAN_AUDIO : BE_CAN_IMAGE;
        if ((d->caps & need) == 0)
            return as_fail(err, AS_UNSUPPORTED, "the model does not take %s",
                           m->media[i].is_audio ? "audio" : "images");
        ht_put_base64(w, (as_str){0}, m->media[i].bytes);
    }
    as_jw_end_array(w);
    return AS_OK;
}

static as_code put_messages(const ht_driver *d, const as_request *rq, as_jw *w, as_err *err)
{
    as_jw_key(w, "messages");
    as_jw_begin_array(w);
    for (int i = 0; i < rq->n_messages; i++) {
        const as_message *m = &rq->messages[i];
        as_jw_begin_object(w);
        as_jw_put_str(w, "role", m->role);
        as_jw_put_str(w, "content", m->text);
        if (m->n_media != 0)
            AS_TRY(put_media(d, m, w, err));
        as_jw_end_object(w);
    }
    as_jw_end_array(w);
    return AS_OK;
}

/* "think": true is refused for models that cannot, false is taken by all. */
static void put_think(const ht_driver *d, ht_job *job, as_jw *w)
{
    const as_request *rq = job->rq;
    bool is_on = rq->think == AS_THINK_ON;
    if (is_on && (d->caps & BE_CAN_THINK) == 0) {
        job->r.dropped |= AS_DROPPED_THINK;
        is_on = false;
    } else if (!is_on && ollama_of(d)->must_think) {
        job->r.dropped |= rq->think == AS_THINK_OFF ? (unsigned)AS_DROPPED_THINK : 0;
        is_on = true;
    }
    as_jw_put_bool(w, "think", is_on);
    if (rq->reasoning_tokens > 0)
        job->r.dropped |= AS_DROPPED_THINK_BUDGET;
}

static void put_logprobs(const ht_driver *d, ht_job *job, as_jw *w)
{
    const int n = job->rq->top_logprobs;
    if (n <= 0)
        return;
    if ((d->caps & BE_CAN_LOGPROBS) == 0 || n > OLLAMA_TOP)
        job->r.dropped |= AS_DROPPED_LOGPROBS;
    if ((d->caps & BE_CAN_LOGPROBS) == 0)
        return;
    as_jw_put_bool(w, "logprobs", true);
    as_jw_put_i64(w, "top_logprobs", n < OLLAMA_TOP ? n : OLLAMA_TOP);
}

static as_code put_prompt(ht_job *job, as_jw *w, as_str a, as_str b, as_err *err)
{
    as_buf whole;
    as_buf_init(&whole, HT_MAX_REQUEST);
    (void)as_buf_add(&whole, a);
    (void)as_buf_add(&whole, b);
    const as_code c = as_buf_ok(&whole, err);
    job->path = "/api/generate";
    as_jw_put_str(w, "prompt", as_buf_str(&whole));
    as_buf_release(&whole);
    as_jw_put_bool(w, "raw", true);
    return c;
}

static as_code build_generate(ht_driver *d, ht_job *job, as_jw *w, as_err *err)
{
    const as_request *rq = job->rq;
    if (!rq->is_chat && rq->n_ids != 0)
        return as_fail(err, AS_UNSUPPORTED, "the server takes no prompt of token ids");
    job->is_stream = ht_wants_stream(d, job);
    put_common(d, w, job->is_stream);
    if (rq->is_chat) {
        job->path = "/api/chat";
        AS_TRY(put_messages(d, rq, w, err));
        put_think(d, job, w);
    } else {
        AS_TRY(put_prompt(job, w, rq->prefix, rq->prompt, err));
    }
    if (rq->lora.n != 0)
        job->r.dropped |= AS_DROPPED_LORA;
    begin_options(d, w, rq->max_tokens);
    ht_put_sampling(d, job, w);
    as_jw_end_object(w);
    put_logprobs(d, job, w);
    return AS_OK;
}

/* The body that shows a chat's prompt and makes no token; a server that does not know the wish makes
 * one. */
static as_code put_render(const ht_driver *d, ht_job *job, as_jw *w, as_err *err)
{
    put_common(d, w, false);
    AS_TRY(put_messages(d, job->rq, w, err));
    put_think(d, job, w);
    begin_options(d, w, 1);
    as_jw_end_object(w);
    as_jw_put_bool(w, "_debug_render_only", true);
    return AS_OK;
}

static as_code build_score(ht_driver *d, ht_job *job, as_jw *w, as_err *err)
{
    const as_request *rq = job->rq;
    if ((d->caps & BE_CAN_SCORE_FIRST) == 0)
        return as_fail(err, AS_UNSUPPORTED, "the server tells no log-probabilities");
    if (rq->n_ids != 0 || rq->n_continuation_ids != 0)
        return as_fail(err, AS_UNSUPPORTED, "the server takes no token ids");
    if (job->step == 0)
        AS_TRY(ht_score_begin(job, (d->caps & BE_CAN_RENDER) != 0, err));
    job->is_stream = false;
    if (job->step == HT_SCORE_RENDER) {
        job->path = "/api/chat";
        return put_render(d, job, w, err);
    }
    put_common(d, w, false);
    AS_TRY(put_prompt(job, w, job->score.context, (as_str){0}, err));
    begin_options(d, w, 1);
    as_jw_put_i64(w, "temperature", 0);
    as_jw_put_i64(w, "seed", ht_seed_of(rq));
    as_jw_end_object(w);
    as_jw_put_bool(w, "logprobs", true);
    as_jw_put_i64(w, "top_logprobs", OLLAMA_TOP);
    return AS_OK;
}

static as_code build(ht_driver *d, ht_job *job, as_jw *w, as_err *err)
{
    return job->rq->ask == AS_ASK_SCORE ? build_score(d, job, w, err)
                                        : build_generate(d, job, w, err);
}

/* ---- replies ------------------------------------------------------------------------------------
 */

static void read_number(int64_t *to, const as_json *o, const char *key)
{
    int64_t v = 0;
    if (as_json_i64(as_json_get(o, key), &v) && v >= 0)
        *to = v;
}

static int64_t text_bytes(const as_request *rq)
{
    size_t n = rq->prefix.n + rq->prompt.n;
    for (int i = 0; i < rq->n_messages; i++)
        n += rq->messages[i].text.n;
    return (int64_t)n;
}

/* Servers that do not know "truncate": false keep about half of the window, and say 200. */
static void warn_if_cut(ht_driver *d, const ht_job *job)
{
    ollama *o = ollama_of(d);
    const int64_t n_ctx = d->info.n_ctx, n = job->r.prompt_tokens;
    const int64_t guess = text_bytes(job->rq) / BYTES_PER_TOKEN;
    if (o->has_warned || n_ctx <= 0 || n < 0 || guess <= n_ctx || n * 10 > n_ctx * 7)
        return;
    o->has_warned = true;
    as_log_line(
        d->log, AS_LOG_WARN,
        "ollama: a prompt of about %lld tokens was counted as %lld, near half of the window "
        "of %lld: the server seems to have cut it; raise -M ctx",
        (long long)guess, (long long)n, (long long)n_ctx);
}

/* Durations are nanoseconds; whatever is 0 is left out. */
static void read_totals(ht_driver *d, ht_job *job, const as_json *o)
{
    as_response *r = &job->r;
    read_number(&r->prompt_tokens, o, "prompt_eval_count");
    read_number(&r->completion_tokens, o, "eval_count");
    read_number(&r->server_load_ns, o, "load_duration");
    read_number(&r->server_prompt_ns, o, "prompt_eval_duration");
    read_number(&r->server_generation_ns, o, "eval_duration");
    const as_str reason = ht_json_text(o, "done_reason");
    if (reason.n != 0)
        ht_job_finish_raw(job, reason);
    else
        job->has_done = true;
    warn_if_cut(d, job);
}

static void read_line(ht_driver *d, ht_job *job, const as_json *o)
{
    const as_json *message = as_json_get(o, "message");
    const bool is_chat = as_json_type(message) == AS_JSON_OBJECT;
    bool is_done = false;
    ht_job_add_text(job, ht_json_text(is_chat ? message : o, is_chat ? "content" : "response"),
                    ht_json_text(is_chat ? message : o, "thinking"));
    const as_json *list = as_json_get(o, "logprobs");
    if (as_json_type(list) == AS_JSON_ARRAY)
        for (const as_json *e = as_json_first(list); e != NULL; e = as_json_next(e))
            ht_read_logprob(job, e);
    ht_read_identity(job, o);
    if (as_json_bool(as_json_get(o, "done"), &is_done) && is_done)
        read_totals(d, job, o);
}

static void read_event(ht_driver *d, ht_job *job, as_str name, const as_json *event)
{
    (void)name;
    read_line(d, job, event);
}

/* The number of the continuation among the told ones, or the least upper bound of it. */
static bool find_continuation(const as_token_logprob *lp, as_str want, double *out)
{
    double bound = lp->n_top != 0 ? lp->top[lp->n_top - 1].logprob : (double)NAN;
    for (int i = 0; i < lp->n_top; i++) {
        const as_token *t = &lp->top[i];
        if (as_str_eq(t->text, want)) {
            *out = t->logprob;
            return true;
        }
        if (t->text.n != 0 && as_str_starts(want, t->text) && t->logprob > bound)
            bound = t->logprob;
    }
    *out = bound;
    return false;
}

static void read_score(ht_driver *d, ht_job *job, const as_json *o)
{
    const as_json *entry = as_json_first(as_json_get(o, "logprobs"));
    if (entry != NULL)
        ht_read_logprob(job, entry);
    read_totals(d, job, o);
    ht_read_identity(job, o);
    if (job->n_logprobs != 1 || job->logprobs[0].n_top == 0) {
        ht_job_fail(job, AS_ERROR_UNSUPPORTED,
                    "the server told no log-probabilities for the token after this prompt");
        return;
    }
    as_token_logprob *lp = &job->logprobs[0];
    const as_str want = job->rq->continuation;
    lp->is_bound = !find_continuation(lp, want, &lp->token.logprob);
    lp->is_greedy = as_str_eq(lp->top[0].text, want);
    lp->token.id = -1;
    lp->token.text = as_arena_str(&job->arena, want);
    if (!as_str_is_set(lp->token.text))
        ht_job_fail(job, AS_ERROR_PROTOCOL, "out of memory");
    job->r.completion_tokens = 0;
    job->r.finish = AS_FINISH_STOP;
    ht_job_end(job);
}

static as_str rendered(const as_json *reply)
{
    return ht_json_text(as_json_get(reply, "_debug_info"), "rendered_template");
}

static void read(ht_driver *d, ht_job *job, const as_json *reply)
{
    if (job->step == HT_SCORE_RENDER) {
        ht_score_rendered(job, rendered(reply));
        return;
    }
    if (job->rq->ask == AS_ASK_SCORE) {
        read_score(d, job, reply);
        return;
    }
    read_line(d, job, reply);
    if (!job->has_finish && !job->has_done)
        ht_job_fail(job, AS_ERROR_PROTOCOL, "the reply has no \"done\": true");
    ht_job_end(job);
}

/* Do the last bytes say one thing REPEATED times? */
static bool ends_in_repetition(as_str s)
{
    for (size_t period = 1; period <= MAX_PERIOD && period * REPEATED <= s.n; period++) {
        const char *from = s.p + s.n - period * REPEATED;
        if (memcmp(from, from + period, period * (REPEATED - 1)) == 0)
            return true;
    }
    return false;
}

static bool broke_off(ht_driver *d, ht_job *job)
{
    (void)d;
    const as_str s = job->text.n != 0 ? as_buf_str(&job->text) : as_buf_str(&job->reasoning);
    if (job->r.finish == AS_FINISH_ERROR || !ends_in_repetition(s))
        return false;
    ht_job_finish_raw(job, AS_STR("repetition"));
    return true;
}

as_code ollama_render(ht_driver *d, const as_request *rq, as_str *prompt, as_arena *keep,
                      as_err *err)
{
    as_buf b;
    as_buf_init(&b, HT_MAX_REQUEST);
    as_jw w;
    as_jw_init(&w, &b);
    as_jw_begin_object(&w);
    ht_job dummy = {.rq = rq};
    as_arena scratch;
    as_arena_init(&scratch, 0);
    ht_answer a = {0};
    as_code c = put_render(d, &dummy, &w, err);
    as_jw_end_object(&w);
    if (c == AS_OK)
        c = as_buf_ok(&b, err);
    if (c == AS_OK)
        c = ht_ask(d, ht_first_endpoint(d), "/api/chat", as_buf_str(&b), &a, &scratch, err);
    const as_str text = rendered(a.json);
    if (c == AS_OK && text.n == 0)
        c = as_fail(err, AS_UNSUPPORTED, "/api/chat: %s",
                    a.status >= 400 ? a.error.message : "the server does not show the prompt");
    if (c == AS_OK) {
        *prompt = as_arena_str(keep, text);
        c = as_str_is_set(*prompt) ? AS_OK : as_nomem(err);
    }
    as_json_free(a.json);
    as_arena_release(&scratch);
    as_buf_release(&b);
    return c;
}

/* ---- the dialect --------------------------------------------------------------------------------
 */

static const char *const options[] = {"keep_alive", "cloud", NULL};

static const ht_dialect dialect = {
    .driver = &be_ollama,
    .default_url = "http://127.0.0.1:11434",
    .key_env = "OLLAMA_API_KEY",
    .key_header = "Authorization: Bearer ",
    .health_path = "/api/version",
    .profile = "ollama-native",
    .is_json_lines = true,
    .needs_model = true,
    .options = options,
    .take_options = ollama_take_options,
    .probe = ollama_probe,
    .build = build,
    .read = read,
    .read_event = read_event,
    .broke_off = broke_off,
    .prepare = ollama_prepare,
    .render = ollama_render,
    .metrics = ollama_metrics,
};

static as_code ollama_open(be_backend **out, const be_config *config, as_err *err)
{
    return ht_open(out, &dialect, config, err);
}

const be_driver be_ollama = {
    .scheme = "ollama",
    .title = "Ollama, by its own routes: ollama:NAME -M ctx=, keep_alive=, cloud=on",
    .open = ollama_open,
    HT_DRIVER_FUNCTIONS,
};
