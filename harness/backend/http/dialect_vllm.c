/*
 * dialect_vllm.c — vllm: vLLM's OpenAI routes with its own fields.
 *
 * Scoring    one call: the ids of context and continuation as the prompt, "prompt_logprobs". Each
 *            entry of the reply is an object keyed by token id, as a text; the actual token is always
 *            in it, with its rank. The first entry is null.
 * Traps      "stream_options" without "stream" is a 400; unknown fields are ignored in silence;
 *            a LoRA adapter is a model name of its own.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "backend/drivers.h"
#include "backend/http/chat.h"
#include "backend/http/prometheus.h"
#include "backend/http/score.h"

enum { MAX_TOP = 1024 };

static void put_model(const ht_driver *d, as_jw *w)
{
    as_jw_put_str(w, "model", d->model);
}

/* ---- scoring ------------------------------------------------------------------------------------
 */

static void put_tokenize(const ht_driver *d, as_jw *w, as_str text, bool is_prompt)
{
    put_model(d, w);
    as_jw_put_str(w, "prompt", text);
    as_jw_put_bool(w, "add_special_tokens", is_prompt);
}

static void put_prompt_logprobs(ht_driver *d, const ht_job *job, as_jw *w)
{
    const ht_score *s = &job->score;
    int n = job->rq->top_logprobs > 1 ? job->rq->top_logprobs : 1;
    if (n > d->profile.max_top_logprobs)
        n = d->profile.max_top_logprobs;
    as_jw_put_str(w, "model", job->rq->lora.n != 0 ? job->rq->lora : d->model);
    as_jw_key(w, "prompt");
    as_jw_begin_array(w);
    for (int i = 0; i < s->n_context + s->n; i++)
        as_jw_i64(w, s->ids[i]);
    as_jw_end_array(w);
    as_jw_put_bool(w, "add_special_tokens", false);
    as_jw_put_i64(w, "max_tokens", 1);
    as_jw_put_i64(w, "temperature", 0);
    as_jw_put_i64(w, "prompt_logprobs", n);
    as_jw_put_bool(w, "return_token_ids", true);
    if (job->rq->no_cache) {
        char salt[40];
        (void)snprintf(salt, sizeof salt, "assay-%016llx", (unsigned long long)d->salt++);
        as_jw_put_z(w, "cache_salt", salt);
    }
}

static as_code build(ht_driver *d, ht_job *job, as_jw *w, as_err *err)
{
    if (job->rq->ask == AS_ASK_GENERATE) {
        AS_TRY(ht_chat_build(d, job, w, err));
        as_jw_key(w, "include_metrics"); /* told only by servers started for it */
        as_jw_bool(w, true);
        return AS_OK;
    }
    if ((d->caps & BE_CAN_SCORE) == 0)
        return as_fail(err, AS_UNSUPPORTED,
                       "this server returned no \"prompt_logprobs\": nothing can be scored");
    if (job->step == 0)
        AS_TRY(ht_score_begin(job, false, err));
    job->is_stream = false;
    if (job->step == HT_SCORE_FORCE) {
        job->path = "/v1/completions";
        put_prompt_logprobs(d, job, w);
        return AS_OK;
    }
    as_str text;
    job->path = "/tokenize";
    AS_TRY(ht_score_text(job, &text, err));
    put_tokenize(d, w, text, true);
    return AS_OK;
}

static as_token entry_token(const as_json *e)
{
    as_token t = {.id = -1, .logprob = ht_logprob_of(as_json_get(e, "logprob"))};
    int64_t id = -1;
    t.text = ht_json_text(e, "decoded_token");
    if (as_parse_i64(as_json_key(e), 0, INT32_MAX, &id))
        t.id = (int32_t)id;
    return t;
}

/* One position: the object's members are the actual token and the likeliest ones. */
static bool read_position(ht_job *job, const as_json *position, int32_t id)
{
    as_token top[MAX_TOP];
    as_token_logprob lp = {.token = {.id = -1}, .top = top};
    int64_t rank = 0;
    if (as_json_type(position) != AS_JSON_OBJECT)
        return false;
    for (const as_json *e = as_json_first(position); e != NULL; e = as_json_next(e)) {
        const as_token t = entry_token(e);
        if (t.id == id && lp.token.id < 0) {
            lp.token = t;
            (void)as_json_i64(as_json_get(e, "rank"), &rank);
        }
        int at = lp.n_top;
        if (at == MAX_TOP)
            continue;
        for (; at > 0 && top[at - 1].logprob < t.logprob; at--)
            top[at] = top[at - 1];
        top[at] = t;
        lp.n_top++;
    }
    const int asked = job->rq->top_logprobs > 1 ? job->rq->top_logprobs : 1;
    if (lp.n_top > asked)
        lp.n_top = asked; /* the actual token beside the ones asked for */
    lp.is_greedy = rank == 1;
    if (lp.token.id != id || isnan(lp.token.logprob))
        return false;
    ht_job_add_logprob(job, &lp);
    return true;
}

static void read_score(ht_job *job, const as_json *reply)
{
    const ht_score *s = &job->score;
    const as_json *choice = as_json_first(as_json_get(reply, "choices"));
    const as_json *list = as_json_get(choice, "prompt_logprobs");
    if (list == NULL)
        list = as_json_get(reply, "prompt_logprobs");
    const as_json *p = as_json_first(list);
    if (as_json_count(list) != (size_t)s->n_context + (size_t)s->n) {
        ht_job_fail(job, AS_ERROR_PROTOCOL, "\"prompt_logprobs\" has %zu entries for %d tokens",
                    as_json_count(list), s->n_context + s->n);
        return;
    }
    for (int i = 0; i < s->n_context + s->n; i++, p = as_json_next(p))
        if (i >= s->n_context && !read_position(job, p, s->ids[i])) {
            ht_job_fail(job, AS_ERROR_PROTOCOL,
                        "\"prompt_logprobs\" has no number for token %d (id %d)", i, s->ids[i]);
            return;
        }
    ht_read_identity(job, reply);
    ht_read_usage(job, as_json_get(reply, "usage"));
    job->r.completion_tokens = 0;
    job->r.finish = AS_FINISH_STOP;
    ht_job_end(job);
}

static void read(ht_driver *d, ht_job *job, const as_json *reply)
{
    if (job->rq->ask == AS_ASK_GENERATE)
        ht_chat_read(d, job, reply);
    else if (job->step == HT_SCORE_FORCE)
        read_score(job, reply);
    else
        ht_score_tokens(job, as_json_get(reply, "tokens"));
}

/* ---- outside of jobs ----------------------------------------------------------------------------
 */

static as_code tokenize(ht_driver *d, as_str text, bool is_prompt, int32_t **ids, int *n,
                        as_arena *keep, as_err *err)
{
    as_buf b;
    as_buf_init(&b, HT_MAX_REQUEST);
    as_jw w;
    as_jw_init(&w, &b);
    as_jw_begin_object(&w);
    put_tokenize(d, &w, text, is_prompt);
    as_jw_end_object(&w);
    as_arena scratch;
    as_arena_init(&scratch, 0);
    ht_answer a = {0};
    as_code c = as_buf_ok(&b, err);
    if (c == AS_OK)
        c = ht_ask(d, ht_first_endpoint(d), "/tokenize", as_buf_str(&b), &a, &scratch, err);
    if (c == AS_OK && as_json_ids(as_json_get(a.json, "tokens"), ids, n, keep, err) != AS_OK)
        c = as_fail(err, AS_UNSUPPORTED, "/tokenize: %s",
                    a.status >= 400 ? a.error.message : "the reply has no list of ids");
    as_json_free(a.json);
    as_arena_release(&scratch);
    as_buf_release(&b);
    return c;
}

static as_code metrics(ht_driver *d, be_metrics *out, as_err *err)
{
    as_arena scratch;
    as_arena_init(&scratch, 0);
    ht_answer a;
    as_code c = ht_ask(d, ht_first_endpoint(d), "/metrics", (as_str){0}, &a, &scratch, err);
    if (c == AS_OK && a.status >= 400)
        c = as_fail(err, AS_UNSUPPORTED, "/metrics: %s", a.error.message);
    if (c == AS_OK) {
        const as_str t = a.body, m = d->model;
        const char *by = "model_name";
        double kv = ht_prom_sum(t, "vllm:kv_cache_usage_perc", by, m);
        if (isnan(kv)) /* its older name */
            kv = ht_prom_sum(t, "vllm:gpu_cache_usage_perc", by, m);
        *out = (be_metrics){
            .running = ht_prom_sum(t, "vllm:num_requests_running", by, m),
            .waiting = ht_prom_sum(t, "vllm:num_requests_waiting", by, m),
            .prompt_tokens = ht_prom_sum(t, "vllm:prompt_tokens", by, m),
            .generated_tokens = ht_prom_sum(t, "vllm:generation_tokens", by, m),
            .cached_tokens = ht_prom_sum(t, "vllm:prompt_tokens_cached", by, m),
            .prompt_seconds = ht_prom_sum(t, "vllm:request_prefill_time_seconds_sum", by, m),
            .generation_seconds = ht_prom_sum(t, "vllm:request_decode_time_seconds_sum", by, m),
            .kv_used = kv,
            .first_token_seconds = ht_prom_sum(t, "vllm:time_to_first_token_seconds_sum", by, m),
            .first_token_count = ht_prom_sum(t, "vllm:time_to_first_token_seconds_count", by, m),
            .drafted = ht_prom_sum(t, "vllm:spec_decode_num_draft_tokens", by, m),
            .accepted = ht_prom_sum(t, "vllm:spec_decode_num_accepted_tokens", by, m),
            .model_bytes = (double)NAN,
            .gpu_bytes = (double)NAN,
            .resident_bytes = ht_prom_sum(t, "process_resident_memory_bytes", NULL, m),
        };
    }
    as_json_free(a.json);
    as_arena_release(&scratch);
    return c;
}

/* ---- at open ------------------------------------------------------------------------------------
 */

/* "Hello world" as ids, scored: is there a number for its last token? */
static void probe_score(ht_driver *d, const int32_t *ids, int n, as_arena *scratch)
{
    as_buf b;
    as_buf_init(&b, 0);
    as_jw w;
    as_jw_init(&w, &b);
    as_jw_begin_object(&w);
    const as_request rq = {.ask = AS_ASK_SCORE};
    int32_t copy[8];
    const int k = n < 8 ? n : 8;
    memcpy(copy, ids, (size_t)k * sizeof copy[0]);
    const ht_job probe = {.rq = &rq, .score = {.ids = copy, .n_context = k - 1, .n = 1}};
    put_prompt_logprobs(d, &probe, &w);
    as_jw_put_i64(&w, "logprobs", 1);
    as_jw_end_object(&w);
    ht_answer a = {0};
    if (as_buf_ok(&b, NULL) == AS_OK && ht_ask(d, ht_first_endpoint(d), "/v1/completions",
                                               as_buf_str(&b), &a, scratch, NULL) == AS_OK) {
        const as_json *choice = as_json_first(as_json_get(a.json, "choices"));
        const as_json *list = as_json_get(choice, "prompt_logprobs");
        const as_json *made = as_json_get(as_json_get(choice, "logprobs"), "token_logprobs");
        double v = 0;
        if (as_json_count(list) == (size_t)k)
            d->caps |= BE_CAN_SCORE;
        if (as_json_f64(as_json_first(made), &v))
            d->caps |= BE_CAN_LOGPROBS;
        if (choice == NULL)
            as_log_line(d->log, AS_LOG_WARN, "vllm: the probe of log-probabilities failed: %s",
                        a.status >= 400 ? a.error.message : "no choice in the reply");
    }
    as_json_free(a.json);
    as_buf_release(&b);
}

static as_code probe_calls(ht_driver *d, as_arena *scratch, as_err *err)
{
    ht_answer a;
    const int at = ht_first_endpoint(d);
    AS_TRY(ht_ask(d, at, "/version", (as_str){0}, &a, scratch, err));
    ht_identity_add(d, "version", a.json);
    as_json_free(a.json);
    AS_TRY(ht_ask(d, at, "/metrics", (as_str){0}, &a, scratch, err));
    if (a.status == 200 && as_str_find(a.body, AS_STR("vllm:")) != SIZE_MAX)
        d->caps |= BE_CAN_METRICS;
    as_json_free(a.json);
    int32_t *ids = NULL;
    int n = 0;
    if (tokenize(d, AS_STR("Hello world"), true, &ids, &n, scratch, NULL) == AS_OK && n >= 2) {
        d->caps |= BE_CAN_TOKENIZE;
        int32_t *plain = NULL;
        int n_plain = 0;
        if (tokenize(d, AS_STR("Hello world"), false, &plain, &n_plain, scratch, NULL) == AS_OK &&
            n_plain == n - 1)
            d->bos = ids[0];
        if (d->is_probing)
            probe_score(d, ids, n, scratch);
    }
    return AS_OK;
}

static as_code probe(ht_driver *d, as_err *err)
{
    d->caps = BE_CAN_CHAT | BE_CAN_TEXT | BE_CAN_IDS | BE_CAN_SEED | BE_CAN_NO_CACHE |
              BE_CAN_IMAGE | BE_CAN_AUDIO | BE_CAN_THINK | BE_CAN_LORA;
    AS_TRY(ht_models_ask(d, err));
    as_arena scratch;
    as_arena_init(&scratch, 0);
    const as_code c = probe_calls(d, &scratch, err);
    as_arena_release(&scratch);
    return c;
}

static const ht_dialect vllm = {
    .driver = &be_vllm,
    .default_url = "http://127.0.0.1:8000",
    .key_env = "VLLM_API_KEY",
    .key_header = "Authorization: Bearer ",
    .health_path = "/health",
    .profile = "vllm",
    .needs_model = true,
    .probe = probe,
    .build = build,
    .read = read,
    .read_event = ht_chat_read_event,
    .tokenize = tokenize,
    .metrics = metrics,
};

static as_code vllm_open(be_backend **out, const be_config *config, as_err *err)
{
    return ht_open(out, &vllm, config, err);
}

const be_driver be_vllm = {
    .scheme = "vllm",
    .title = "vLLM",
    .open = vllm_open,
    HT_DRIVER_FUNCTIONS,
};
