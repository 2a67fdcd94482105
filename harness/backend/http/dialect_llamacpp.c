/*
 * dialect_llamacpp.c — llamacpp: llama.cpp's server, by its native routes where they say more.
 *
 * Chats      /v1/chat/completions; with log-probabilities as a whole reply, since streams lose the
 *            entries of hidden tokens. The reply repeats a begun reply, which is taken off.
 * Texts, ids /completion
 * Scoring    no route tells log-probabilities of a prompt, and "echo" is ignored. But those of
 *            generated tokens are of the raw softmax, whatever was picked, and a grammar may name
 *            token ids: so the continuation is generated under a grammar that allows nothing else.
 *            The ids that come back must be the ones asked for. A part whose grammar runs dry is cut
 *            in half until the token is found; an end token is then forced by a bias; a byte of a
 *            character that is in no token has no number at all, and the request is refused.
 */
#include <stdio.h>
#include <string.h>

#include "backend/drivers.h"
#include "backend/http/chat.h"
#include "backend/http/prometheus.h"
#include "backend/http/score.h"

enum { BIAS = 10000 };

/* ---- requests -----------------------------------------------------------------------------------
 */

/* Adapters are chosen by number; the name is that of the file. */
static as_code put_lora(ht_driver *d, ht_job *job, as_jw *w, as_err *err)
{
    const as_request *rq = job->rq;
    if ((d->caps & BE_CAN_LORA) == 0) {
        if (rq->lora.n != 0)
            job->r.dropped |= AS_DROPPED_LORA;
        return AS_OK;
    }
    int id = -1;
    for (int i = 0; i < d->n_loras; i++)
        if (as_str_eq(d->loras[i], rq->lora))
            id = i;
    if (rq->lora.n != 0 && id < 0)
        return as_fail(err, AS_RANGE, "the server has no adapter \"%.*s\"", AS_ARG(rq->lora));
    as_jw_key(w, "lora");
    as_jw_begin_array(w);
    if (id >= 0) {
        as_jw_begin_object(w);
        as_jw_put_i64(w, "id", d->lora_ids[id]);
        as_jw_put_i64(w, "scale", 1);
        as_jw_end_object(w);
    }
    as_jw_end_array(w);
    return AS_OK;
}

static as_code build_text(ht_driver *d, ht_job *job, as_jw *w, as_err *err)
{
    const as_request *rq = job->rq;
    job->path = "/completion";
    if (rq->n_ids != 0) {
        as_jw_put_ids(w, "prompt", rq->ids, rq->n_ids);
    } else {
        char *p = as_arena_alloc(&job->arena, rq->prefix.n + rq->prompt.n + 1, 1);
        if (p == NULL)
            return as_nomem(err);
        memcpy(p, rq->prefix.p != NULL ? rq->prefix.p : "", rq->prefix.n);
        memcpy(p + rq->prefix.n, rq->prompt.p != NULL ? rq->prompt.p : "", rq->prompt.n);
        as_jw_put_str(w, "prompt", (as_str){p, rq->prefix.n + rq->prompt.n});
    }
    as_jw_put_i64(w, "n_predict", rq->max_tokens);
    ht_put_sampling(d, job, w);
    if (rq->top_logprobs > 0)
        as_jw_put_i64(w, "n_probs", rq->top_logprobs);
    as_jw_put_bool(w, "return_tokens", true);
    as_jw_put_bool(w, "stream", job->is_stream);
    as_jw_key(w, "response_fields");
    as_jw_raw(w, AS_STR("[\"content\",\"tokens\",\"stop\",\"stop_type\",\"stopping_word\","
                        "\"truncated\",\"tokens_predicted\",\"tokens_evaluated\",\"model\","
                        "\"completion_probabilities\",\"timings\"]"));
    return put_lora(d, job, w, err);
}

static as_code build_generate(ht_driver *d, ht_job *job, as_jw *w, as_err *err)
{
    if (!job->rq->is_chat) {
        job->is_stream = ht_wants_stream(d, job) && job->rq->top_logprobs <= 0;
        return build_text(d, job, w, err);
    }
    const bool never = d->never_streams;
    d->never_streams |= job->rq->top_logprobs > 0;
    as_code c = ht_chat_build(d, job, w, err);
    d->never_streams = never;
    return c == AS_OK ? put_lora(d, job, w, err) : c;
}

static void build_force(const ht_job *job, as_jw *w)
{
    const ht_score *s = &job->score;
    const int32_t *wanted = s->ids + s->n_context;
    as_jw_put_ids(w, "prompt", s->ids, s->n_context + s->at);
    as_jw_put_i64(w, "n_predict", s->until - s->at);
    as_jw_put_i64(w, "n_probs", job->rq->top_logprobs > 1 ? job->rq->top_logprobs : 1);
    if (s->is_biased) {
        as_jw_key(w, "logit_bias");
        as_jw_begin_array(w);
        as_jw_begin_array(w);
        as_jw_i64(w, wanted[s->at]);
        as_jw_i64(w, BIAS);
        as_jw_end_array(w);
        as_jw_end_array(w);
    } else {
        as_buf grammar;
        as_buf_init(&grammar, HT_MAX_REQUEST);
        (void)as_buf_add_z(&grammar, "root ::=");
        for (int i = s->at; i < s->until; i++)
            (void)as_buf_printf(&grammar, " <[%d]>", wanted[i]);
        w->out->is_full |= grammar.is_full;
        as_jw_put_str(w, "grammar", as_buf_str(&grammar));
        as_buf_release(&grammar);
    }
    /* No sampler may change what the grammar allows; the numbers are taken before all of them. */
    as_jw_put_f64(w, "temperature", 1);
    as_jw_key(w, "samplers");
    as_jw_raw(w, AS_STR("[\"temperature\"]"));
    as_jw_put_bool(w, "cache_prompt", !job->rq->no_cache);
    as_jw_put_bool(w, "return_tokens", true);
    as_jw_put_bool(w, "stream", false);
    as_jw_key(w, "response_fields");
    as_jw_raw(w, AS_STR("[\"tokens\",\"completion_probabilities\",\"tokens_evaluated\",\"model\","
                        "\"timings\"]"));
}

static as_code put_content(ht_job *job, as_jw *w, as_err *err)
{
    as_str text;
    AS_TRY(ht_score_text(job, &text, err));
    as_jw_put_str(w, "content", text);
    as_jw_put_bool(w, "add_special", true);
    as_jw_put_bool(w, "parse_special", true);
    return AS_OK;
}

static as_code build(ht_driver *d, ht_job *job, as_jw *w, as_err *err)
{
    if (job->rq->ask == AS_ASK_GENERATE)
        return build_generate(d, job, w, err);
    if (job->step == 0)
        AS_TRY(ht_score_begin(job, (d->caps & BE_CAN_RENDER) != 0, err));
    if ((d->caps & BE_CAN_SCORE) == 0)
        return as_fail(err, AS_UNSUPPORTED,
                       "this server does not force token ids by grammar: nothing can be scored");
    job->is_stream = false;
    switch (job->step) {
    case HT_SCORE_RENDER:
        job->path = "/apply-template";
        AS_TRY(ht_chat_messages(d, job->rq, w, err));
        ht_chat_think(d, job, w);
        return AS_OK;
    case HT_SCORE_CONTEXT:
    case HT_SCORE_ALL:
        job->path = "/tokenize";
        return put_content(job, w, err);
    default:
        job->path = "/completion";
        build_force(job, w);
        return put_lora(d, job, w, err);
    }
}

/* ---- replies ------------------------------------------------------------------------------------
 */

static void read_counts(ht_job *job, const as_json *o)
{
    int64_t v = 0;
    if (as_json_i64(as_json_get(o, "tokens_evaluated"), &v))
        job->r.prompt_tokens = v;
    if (as_json_i64(as_json_get(o, "tokens_predicted"), &v))
        job->r.completion_tokens = v;
    ht_read_timings(job, as_json_get(o, "timings"));
    ht_read_identity(job, o);
}

static void read_native(ht_job *job, const as_json *o)
{
    bool is_over = false;
    ht_job_add_text(job, ht_json_text(o, "content"), (as_str){0});
    for (const as_json *e = as_json_first(as_json_get(o, "completion_probabilities")); e != NULL;
         e = as_json_next(e))
        ht_read_logprob(job, e);
    const as_str type = ht_json_text(o, "stop_type");
    if (type.n == 0 && (!as_json_bool(as_json_get(o, "stop"), &is_over) || !is_over))
        return;
    read_counts(job, o);
    if (type.n != 0)
        ht_job_finish_raw(job, type);
    else
        job->has_done = true;
}

/* A part could not be forced: the next smaller one, or the other way. False: there is none. */
static bool cut_part(ht_job *job)
{
    ht_score *s = &job->score;
    if (s->until - s->at > 1) {
        s->until = s->at + (s->until - s->at) / 2;
        return true;
    }
    if (s->is_biased)
        return false;
    s->is_biased = true;
    return true;
}

static void cannot_force(ht_job *job)
{
    const ht_score *s = &job->score;
    ht_job_fail(
        job, AS_ERROR_UNSUPPORTED,
        "token %d of the continuation (id %d) cannot be scored by this server: it is a byte "
        "of a character that is in no token",
        s->at + 1, s->ids[s->n_context + s->at]);
}

static bool is_forced(const ht_score *s, const as_json *o)
{
    const int32_t *wanted = s->ids + s->n_context;
    const as_json *t = as_json_first(as_json_get(o, "tokens"));
    const as_json *e = as_json_first(as_json_get(o, "completion_probabilities"));
    for (int i = s->at; i < s->until; i++) {
        int64_t token = -1, id = -1;
        if (!as_json_i64(as_json_get(e, "id"), &id) || id != wanted[i])
            return false;
        /* An end token has an entry and is not among the tokens. */
        if (!s->is_biased && (!as_json_i64(t, &token) || token != wanted[i]))
            return false;
        t = t != NULL ? as_json_next(t) : NULL;
        e = as_json_next(e);
    }
    return e == NULL;
}

static void read_force(ht_job *job, const as_json *o)
{
    ht_score *s = &job->score;
    read_counts(job, o);
    if (!is_forced(s, o)) {
        if (!cut_part(job))
            cannot_force(job);
        return;
    }
    for (const as_json *e = as_json_first(as_json_get(o, "completion_probabilities")); e != NULL;
         e = as_json_next(e))
        ht_read_logprob(job, e);
    s->at = s->until;
    s->until = s->n;
    s->is_biased = false;
    if (s->at < s->n)
        return;
    job->r.prompt_tokens = s->n_context + s->n;
    job->r.completion_tokens = 0;
    job->r.finish = AS_FINISH_STOP;
    ht_job_end(job);
}

static void read(ht_driver *d, ht_job *job, const as_json *reply)
{
    if (job->rq->ask == AS_ASK_GENERATE) {
        if (job->rq->is_chat) {
            ht_chat_read(d, job, reply);
            return;
        }
        read_native(job, reply);
        if (!job->has_finish)
            ht_job_fail(job, AS_ERROR_PROTOCOL, "the reply has no \"stop_type\"");
        ht_job_end(job);
        return;
    }
    switch (job->step) {
    case HT_SCORE_RENDER:
        ht_score_rendered(job, ht_json_text(reply, "prompt"));
        break;
    case HT_SCORE_CONTEXT:
    case HT_SCORE_ALL:
        ht_score_tokens(job, as_json_get(reply, "tokens"));
        break;
    default:
        read_force(job, reply);
        break;
    }
}

static void read_event(ht_driver *d, ht_job *job, as_str name, const as_json *event)
{
    if (job->rq->is_chat)
        ht_chat_read_event(d, job, name, event);
    else
        read_native(job, event);
}

static bool refused(ht_driver *d, ht_job *job, const ht_error *e)
{
    (void)d;
    if (job->rq->ask != AS_ASK_SCORE || job->step != HT_SCORE_FORCE ||
        e->kind != AS_ERROR_UNSUPPORTED)
        return false;
    if (cut_part(job))
        return true;
    cannot_force(job);
    return true; /* ended, with words of its own */
}

/* ---- outside of jobs ----------------------------------------------------------------------------
 */

static as_code ask_post(ht_driver *d, const char *path, const as_buf *body, ht_answer *a,
                        as_arena *keep, as_err *err)
{
    AS_TRY(as_buf_ok(body, err));
    AS_TRY(ht_ask(d, ht_first_endpoint(d), path, as_buf_str(body), a, keep, err));
    if (a->json != NULL)
        return AS_OK;
    return as_fail(err, AS_UNSUPPORTED, "%s: %s", path,
                   a->status >= 400 ? a->error.message : "the reply is not JSON");
}

static as_code tokenize(ht_driver *d, as_str text, bool is_prompt, int32_t **ids, int *n,
                        as_arena *keep, as_err *err)
{
    as_buf b;
    as_buf_init(&b, HT_MAX_REQUEST);
    as_jw w;
    as_jw_init(&w, &b);
    as_jw_begin_object(&w);
    as_jw_put_str(&w, "content", text);
    as_jw_put_bool(&w, "add_special", is_prompt);
    as_jw_put_bool(&w, "parse_special", true);
    as_jw_end_object(&w);
    as_arena scratch;
    as_arena_init(&scratch, 0);
    ht_answer a = {0};
    as_code c = ask_post(d, "/tokenize", &b, &a, &scratch, err);
    if (c == AS_OK && as_json_ids(as_json_get(a.json, "tokens"), ids, n, keep, err) != AS_OK)
        c = as_fail(err, AS_PARSE, "/tokenize: the reply has no list of ids");
    as_json_free(a.json);
    as_arena_release(&scratch);
    as_buf_release(&b);
    return c;
}

static as_code render(ht_driver *d, const as_request *rq, as_str *prompt, as_arena *keep,
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
    as_code c = ht_chat_messages(d, rq, &w, err);
    ht_chat_think(d, &dummy, &w);
    as_jw_end_object(&w);
    if (c == AS_OK)
        c = ask_post(d, "/apply-template", &b, &a, &scratch, err);
    if (c == AS_OK) {
        *prompt = as_arena_str(keep, ht_json_text(a.json, "prompt"));
        c = as_str_is_set(*prompt) ? AS_OK : as_nomem(err);
    }
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
        const as_str t = a.body;
        const double none = (double)NAN;
        *out = (be_metrics){
            .running = ht_prom_sum(t, "llamacpp:requests_processing", NULL, t),
            .waiting = ht_prom_sum(t, "llamacpp:requests_deferred", NULL, t),
            .prompt_tokens = ht_prom_sum(t, "llamacpp:prompt_tokens", NULL, t),
            .generated_tokens = ht_prom_sum(t, "llamacpp:tokens_predicted", NULL, t),
            .cached_tokens = ht_prom_sum(t, "llamacpp:prompt_tokens_cached", NULL, t),
            .prompt_seconds = ht_prom_sum(t, "llamacpp:prompt_seconds", NULL, t),
            .generation_seconds = ht_prom_sum(t, "llamacpp:tokens_predicted_seconds", NULL, t),
            .kv_used = ht_prom_sum(t, "llamacpp:kv_cache_usage_ratio", NULL, t),
            .first_token_seconds = none,
            .first_token_count = none,
            .drafted = ht_prom_sum(t, "llamacpp:spec_decode_num_draft_tokens", NULL, t),
            .accepted = ht_prom_sum(t, "llamacpp:spec_decode_num_accepted_tokens", NULL, t),
            .model_bytes = d->info.weights_bytes > 0 ? (double)d->info.weights_bytes : none,
            .gpu_bytes = none,
            .resident_bytes = none,
        };
    }
    as_json_free(a.json);
    as_arena_release(&scratch);
    return c;
}

/* ---- at open ------------------------------------------------------------------------------------
 */

static as_str keep_text(ht_driver *d, as_str s)
{
    const as_str kept = as_arena_str(&d->keep, s);
    return as_str_is_set(kept) ? kept : (as_str){0};
}

static as_str base_name(as_str path)
{
    const size_t at = as_str_rfind(path, AS_STR("/"));
    return at == SIZE_MAX ? path : as_str_sub(path, at + 1, path.n);
}

static void read_props(ht_driver *d, const as_json *props)
{
    int64_t v = 0;
    bool is_on = false;
    const as_json *settings = as_json_get(props, "default_generation_settings");
    if (as_json_i64(as_json_get(settings, "n_ctx"), &v) && v > 0 && v <= INT32_MAX)
        d->info.n_ctx = (int)v;
    if (as_json_i64(as_json_get(props, "total_slots"), &v) && v > 0 && v < 100000)
        d->info.max_concurrency = (int)v * d->endpoints.n;
    d->info.quantization = keep_text(d, ht_json_text(props, "model_ftype"));
    const as_json *modalities = as_json_get(props, "modalities");
    if (as_json_bool(as_json_get(modalities, "vision"), &is_on) && is_on)
        d->caps |= BE_CAN_IMAGE;
    if (as_json_bool(as_json_get(modalities, "audio"), &is_on) && is_on)
        d->caps |= BE_CAN_AUDIO;
    const as_str path = base_name(ht_json_text(props, "model_path"));
    if (d->model.n == 0 && path.n != 0)
        d->info.model_name = keep_text(d, path);
    const as_str chat_template = ht_json_text(props, "chat_template");
    if (chat_template.n != 0)
        (void)ht_set_template(d, chat_template);
    if (as_str_find(chat_template, AS_STR("enable_thinking")) != SIZE_MAX)
        d->caps |= BE_CAN_THINK;
    else if (d->profile.think == HT_THINK_TEMPLATE)
        d->profile.think = HT_THINK_NONE;
    ht_identity_add(d, "props", props);
}

static void read_model(ht_driver *d, const as_json *models)
{
    const as_json *meta = as_json_get(as_json_first(as_json_get(models, "data")), "meta");
    int64_t v = 0;
    if (as_json_i64(as_json_get(meta, "n_params"), &v))
        d->info.n_params = v;
    if (as_json_i64(as_json_get(meta, "size"), &v))
        d->info.weights_bytes = v;
    if (as_json_i64(as_json_get(meta, "n_vocab"), &v) && v <= INT32_MAX)
        d->n_vocab = (int)v;
    if (d->info.quantization.n == 0)
        d->info.quantization = keep_text(d, ht_json_text(meta, "ftype"));
    ht_identity_add(d, "models", models);
}

static void read_loras(ht_driver *d, const as_json *list)
{
    if (as_json_type(list) != AS_JSON_ARRAY)
        return;
    for (const as_json *l = as_json_first(list); l != NULL && d->n_loras < HT_MAX_LORAS;
         l = as_json_next(l)) {
        int64_t id = -1;
        const as_str name = keep_text(d, base_name(ht_json_text(l, "path")));
        if (!as_json_i64(as_json_get(l, "id"), &id) || name.n == 0)
            continue;
        d->loras[d->n_loras] = name;
        d->lora_ids[d->n_loras++] = (int)id;
    }
    if (d->n_loras != 0) {
        d->caps |= BE_CAN_LORA;
        ht_identity_add(d, "lora_adapters", list);
    }
}

/* Forces one token and looks whether its number comes back. */
static bool probe_force(ht_driver *d, int32_t bos, int32_t id, as_arena *scratch)
{
    char body[512];
    const int n = snprintf(body, sizeof body,
                           "{\"prompt\":[%d],\"n_predict\":1,\"n_probs\":1,\"grammar\":\"root ::= "
                           "<[%d]>\",\"samplers\":[\"temperature\"],\"return_tokens\":true}",
                           bos, id);
    ht_answer a = {0};
    if (n < 0 || ht_ask(d, ht_first_endpoint(d), "/completion", (as_str){body, (size_t)n}, &a,
                        scratch, NULL) != AS_OK)
        return false;
    const as_json *e = as_json_first(as_json_get(a.json, "completion_probabilities"));
    int64_t got = -1;
    double lp = 0;
    const bool has_numbers = as_json_f64(as_json_get(e, "logprob"), &lp);
    const bool is_forced_id = as_json_i64(as_json_get(e, "id"), &got) && got == id;
    as_json_free(a.json);
    d->caps |= has_numbers ? (unsigned)BE_CAN_LOGPROBS : 0;
    return has_numbers && is_forced_id;
}

static as_code probe_calls(ht_driver *d, as_arena *scratch, as_err *err)
{
    static const struct {
        const char *path;
        void (*read)(ht_driver *d, const as_json *json);
    } gets[] = {{"/props", read_props}, {"/v1/models", read_model}, {"/lora-adapters", read_loras}};
    ht_answer a;
    const int at = ht_first_endpoint(d);
    for (size_t i = 0; i < sizeof gets / sizeof gets[0]; i++) {
        AS_TRY(ht_ask(d, at, gets[i].path, (as_str){0}, &a, scratch, err));
        if (a.error.kind == AS_ERROR_AUTH && a.status >= 400)
            return as_fail(err, AS_RANGE,
                           "%.*s: %s; put the key into %s, or name the variable: -M key_env=NAME",
                           AS_ARG(d->endpoints.at[at].url), a.error.message, d->dialect->key_env);
        if (a.json != NULL)
            gets[i].read(d, a.json);
        as_json_free(a.json);
    }
    AS_TRY(ht_ask(d, at, "/metrics", (as_str){0}, &a, scratch, err));
    d->caps |= a.status == 200 ? (unsigned)BE_CAN_METRICS : 0;
    as_json_free(a.json);
    const as_request hello = {.is_chat = true,
                              .messages =
                                  &(as_message){.role = AS_STR("user"), .text = AS_STR("Hi")},
                              .n_messages = 1};
    as_str prompt;
    if (render(d, &hello, &prompt, scratch, NULL) == AS_OK && prompt.n != 0)
        d->caps |= BE_CAN_RENDER;
    int32_t *ids = NULL;
    int n = 0;
    if (tokenize(d, AS_STR("Hello"), true, &ids, &n, scratch, NULL) != AS_OK || n == 0)
        return AS_OK;
    d->caps |= BE_CAN_TOKENIZE;
    int32_t *none = NULL;
    int n_none = 0;
    if (tokenize(d, (as_str){"", 0}, true, &none, &n_none, scratch, NULL) == AS_OK && n_none == 1)
        d->bos = none[0];
    if (d->is_probing && n >= 2 && probe_force(d, ids[0], ids[n - 1], scratch))
        d->caps |= BE_CAN_SCORE;
    return AS_OK;
}

static as_code probe(ht_driver *d, as_err *err)
{
    d->caps = BE_CAN_CHAT | BE_CAN_TEXT | BE_CAN_IDS | BE_CAN_SEED | BE_CAN_NO_CACHE;
    as_arena scratch;
    as_arena_init(&scratch, 0);
    const as_code c = probe_calls(d, &scratch, err);
    as_arena_release(&scratch);
    if (c == AS_OK && d->info.max_concurrency > 0 && !d->has_max_each) {
        d->max_each = d->info.max_concurrency / d->endpoints.n;
        d->has_max_each = true; /* more would wait in the server and be taken for its speed */
    }
    return c;
}

static const ht_dialect llamacpp = {
    .driver = &be_llamacpp,
    .default_url = "http://127.0.0.1:8080",
    .other_url = "http://127.0.0.1:9931",
    .key_env = "LLAMA_API_KEY",
    .key_header = "Authorization: Bearer ",
    .health_path = "/health",
    .profile = "llamacpp",
    .probe = probe,
    .build = build,
    .read = read,
    .read_event = read_event,
    .refused = refused,
    .tokenize = tokenize,
    .render = render,
    .metrics = metrics,
};

static as_code llamacpp_open(be_backend **out, const be_config *config, as_err *err)
{
    return ht_open(out, &llamacpp, config, err);
}

const be_driver be_llamacpp = {
    .scheme = "llamacpp",
    .title = "llama.cpp's server",
    .open = llamacpp_open,
    HT_DRIVER_FUNCTIONS,
};
