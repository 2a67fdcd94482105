/*
 * dialect_gemini.c — gemini: Google AI Studio's own API, which serves Gemma 4 as well as Gemini.
 *
 * Requests   :generateContent, or :streamGenerateContent with alt=sse; without that a stream is one JSON
 *            array, which is read too. Chats only. Pictures go in front of the text. Thinking is
 *            always set for models that think: level "minimal" or "high" (there is nothing between
 *            for Gemma 4), and thoughts are asked for. All safety filters are at their least.
 * Replies    an answer's parts without "thought"; the others are its reasoning. Completion tokens are
 *            candidates plus thoughts. The last usage of a stream counts.
 * Blocked    a prompt that is refused has no candidates and a promptFeedback; an answer that is ends
 *            in SAFETY, RECITATION and the like: both are AS_FINISH_BLOCKED with the word kept.
 * Key        GEMINI_API_KEY or GOOGLE_API_KEY, in the head x-goog-api-key, never in an address.
 * Seed       is sent, and promises nothing: BE_CAN_SEED is not set.
 */
#include <math.h>
#include <string.h>

#include "backend/drivers.h"
#include "backend/http/chat.h"

enum {
    MAX_REQUEST = 20 << 20, /* of what is sent inline; the documented limit moves, this one works */
    MAX_TOP = 20,
    MAX_MODEL_NAME = 128,
};

typedef struct gemini {
    as_str whole_path, stream_path;
} gemini;

static gemini *own_of(const ht_driver *d)
{
    return d->own;
}

/* ---- requests -----------------------------------------------------------------------------------
 */

static void put_text_part(as_jw *w, as_str text)
{
    as_jw_begin_object(w);
    as_jw_put_str(w, "text", text);
    as_jw_end_object(w);
}

static as_code put_parts(const ht_driver *d, const as_message *m, as_jw *w, as_err *err)
{
    as_jw_key(w, "parts");
    as_jw_begin_array(w);
    for (int i = 0; i < m->n_media; i++) {
        const as_media *media = &m->media[i];
        if ((d->caps & (media->is_audio ? BE_CAN_AUDIO : BE_CAN_IMAGE)) == 0)
            return as_fail(err, AS_UNSUPPORTED, "the model does not take %s",
                           media->is_audio ? "audio" : "images");
        as_jw_begin_object(w);
        as_jw_key(w, "inlineData");
        as_jw_begin_object(w);
        as_jw_put_str(w, "mimeType", media->mime);
        as_jw_key(w, "data");
        ht_put_base64(w, (as_str){0}, media->bytes);
        as_jw_end_object(w);
        as_jw_end_object(w);
    }
    if (m->text.n != 0 || m->n_media == 0)
        put_text_part(w, m->text);
    as_jw_end_array(w);
    return AS_OK;
}

static bool is_system(const as_message *m)
{
    return as_str_eq_z(m->role, "system");
}

static as_code put_messages(const ht_driver *d, const as_request *rq, as_jw *w, as_err *err)
{
    bool has_system = false;
    for (int i = 0; i < rq->n_messages; i++) {
        if (!is_system(&rq->messages[i]))
            continue;
        if (!has_system) {
            as_jw_key(w, "systemInstruction");
            as_jw_begin_object(w);
            as_jw_key(w, "parts");
            as_jw_begin_array(w);
        }
        has_system = true;
        put_text_part(w, rq->messages[i].text);
    }
    if (has_system) {
        as_jw_end_array(w);
        as_jw_end_object(w);
    }
    as_jw_key(w, "contents");
    as_jw_begin_array(w);
    for (int i = 0; i < rq->n_messages; i++) {
        const as_message *m = &rq->messages[i];
        if (is_system(m))
            continue;
        as_jw_begin_object(w);
        as_jw_put_str(w, "role",
                      as_str_eq_z(m->role, "assistant") ? AS_STR("model") : AS_STR("user"));
        AS_TRY(put_parts(d, m, w, err));
        as_jw_end_object(w);
    }
    as_jw_end_array(w);
    return AS_OK;
}

static void put_sampling(const ht_driver *d, ht_job *job, as_jw *w)
{
    const as_request *rq = job->rq;
    const as_sampling *s = &rq->sampling;
    ht_put_number(w, "temperature", s->temperature);
    ht_put_number(w, "topP", s->top_p);
    if (s->top_k > 0)
        as_jw_put_i64(w, "topK", s->top_k);
    else if (s->top_k == 0)
        job->r.dropped |= AS_DROPPED_TOP_K; /* "all of them" cannot be said */
    if (s->min_p > 0)
        job->r.dropped |= AS_DROPPED_MIN_P;
    as_jw_put_i64(w, "maxOutputTokens", rq->max_tokens);
    const int n = rq->n_stop < d->profile.max_stop ? rq->n_stop : d->profile.max_stop;
    job->r.dropped |= n < rq->n_stop ? (unsigned)AS_DROPPED_STOP : 0;
    if (n != 0) {
        as_jw_key(w, "stopSequences");
        as_jw_begin_array(w);
        for (int i = 0; i < n; i++)
            as_jw_str(w, rq->stop[i]);
        as_jw_end_array(w);
    }
    as_jw_put_i64(w, "seed", ht_seed_of(rq));
    as_jw_put_i64(w, "candidateCount", 1);
    as_jw_put_str(w, "responseMimeType", AS_STR("text/plain"));
}

static void put_think(const ht_driver *d, ht_job *job, as_jw *w)
{
    const as_request *rq = job->rq;
    if (rq->reasoning_tokens > 0)
        job->r.dropped |= AS_DROPPED_THINK_BUDGET;
    if (d->profile.think == HT_THINK_NONE) {
        job->r.dropped |= rq->think == AS_THINK_ON ? (unsigned)AS_DROPPED_THINK : 0;
        return;
    }
    as_jw_key(w, "thinkingConfig");
    as_jw_begin_object(w);
    as_jw_put_str(w, "thinkingLevel",
                  rq->think == AS_THINK_ON ? AS_STR("high") : AS_STR("minimal"));
    as_jw_put_bool(w, "includeThoughts", true);
    as_jw_end_object(w);
}

static void put_logprobs(const ht_driver *d, ht_job *job, as_jw *w)
{
    const int n = job->rq->top_logprobs;
    const bool can = (d->caps & BE_CAN_LOGPROBS) != 0;
    if (n <= 0)
        return;
    if (!can || n > MAX_TOP)
        job->r.dropped |= AS_DROPPED_LOGPROBS;
    if (!can)
        return;
    as_jw_put_bool(w, "responseLogprobs", true);
    as_jw_put_i64(w, "logprobs", n < MAX_TOP ? n : MAX_TOP);
}

static void put_safety(as_jw *w)
{
    static const char *const categories[] = {
        "HARM_CATEGORY_HARASSMENT", "HARM_CATEGORY_HATE_SPEECH", "HARM_CATEGORY_SEXUALLY_EXPLICIT",
        "HARM_CATEGORY_DANGEROUS_CONTENT"};
    as_jw_key(w, "safetySettings");
    as_jw_begin_array(w);
    for (size_t i = 0; i < sizeof categories / sizeof categories[0]; i++) {
        as_jw_begin_object(w);
        as_jw_put_str(w, "category", as_str_of(categories[i]));
        as_jw_put_str(w, "threshold", AS_STR("BLOCK_NONE"));
        as_jw_end_object(w);
    }
    as_jw_end_array(w);
}

static as_code build(ht_driver *d, ht_job *job, as_jw *w, as_err *err)
{
    const as_request *rq = job->rq;
    if (rq->ask == AS_ASK_SCORE)
        return as_fail(err, AS_UNSUPPORTED,
                       "the API tells no log-probabilities of given texts; let the model write its "
                       "answer");
    if (!rq->is_chat)
        return as_fail(err, AS_UNSUPPORTED, "the API takes chats only, no plain texts or ids");
    job->is_stream = ht_wants_stream(d, job);
    job->path = job->is_stream ? own_of(d)->stream_path.p : own_of(d)->whole_path.p;
    AS_TRY(put_messages(d, rq, w, err));
    as_jw_key(w, "generationConfig");
    as_jw_begin_object(w);
    put_sampling(d, job, w);
    put_think(d, job, w);
    put_logprobs(d, job, w);
    as_jw_end_object(w);
    put_safety(w);
    job->r.dropped |= rq->no_cache ? (unsigned)AS_DROPPED_NO_CACHE : 0;
    job->r.dropped |= rq->ignore_eos ? (unsigned)AS_DROPPED_IGNORE_EOS : 0;
    job->r.dropped |= rq->lora.n != 0 ? (unsigned)AS_DROPPED_LORA : 0;
    if (w->out->n > MAX_REQUEST)
        return as_fail(err, AS_RANGE,
                       "the request has %zu bytes, the API takes %d: make the pictures smaller",
                       w->out->n, MAX_REQUEST);
    return AS_OK;
}

/* ---- replies ------------------------------------------------------------------------------------
 */

static void finish(ht_job *job, as_str word)
{
    static const struct {
        const char *word;
        as_finish finish;
    } words[] = {
        {"STOP", AS_FINISH_STOP},
        {"MAX_TOKENS", AS_FINISH_LENGTH},
        {"SAFETY", AS_FINISH_BLOCKED},
        {"RECITATION", AS_FINISH_BLOCKED},
        {"LANGUAGE", AS_FINISH_BLOCKED},
        {"BLOCKLIST", AS_FINISH_BLOCKED},
        {"PROHIBITED_CONTENT", AS_FINISH_BLOCKED},
        {"SPII", AS_FINISH_BLOCKED},
    };
    ht_job_finish_raw(job, word);
    job->r.finish = as_str_starts(word, AS_STR("IMAGE_")) ? AS_FINISH_BLOCKED : AS_FINISH_UNKNOWN;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (as_str_eq_z(word, words[i].word))
            job->r.finish = words[i].finish;
}

static void read_parts(ht_job *job, const as_json *content)
{
    const as_json *parts = as_json_get(content, "parts");
    if (as_json_type(parts) != AS_JSON_ARRAY)
        return;
    for (const as_json *p = as_json_first(parts); p != NULL; p = as_json_next(p)) {
        bool is_thought = false;
        const as_str text = ht_json_text(p, "text"), none = {0};
        (void)as_json_bool(as_json_get(p, "thought"), &is_thought);
        ht_job_add_text(job, is_thought ? none : text, is_thought ? text : none);
    }
}

static int64_t count_of(const as_json *usage, const char *key)
{
    int64_t v = 0;
    return as_json_i64(as_json_get(usage, key), &v) && v > 0 ? v : 0;
}

/* Counts that are 0 are left out. */
static void read_usage(ht_job *job, const as_json *usage)
{
    if (as_json_type(usage) != AS_JSON_OBJECT)
        return;
    as_response *r = &job->r;
    r->prompt_tokens = count_of(usage, "promptTokenCount");
    r->reasoning_tokens = count_of(usage, "thoughtsTokenCount");
    r->completion_tokens = count_of(usage, "candidatesTokenCount") + r->reasoning_tokens;
    r->cached_tokens = count_of(usage, "cachedContentTokenCount");
}

static as_token read_token(const as_json *o)
{
    int64_t id = -1;
    as_token t = {.id = -1, .text = ht_json_text(o, "token")};
    if (as_json_i64(as_json_get(o, "tokenId"), &id) && id >= 0 && id <= INT32_MAX)
        t.id = (int32_t)id;
    t.logprob = ht_logprob_of(as_json_get(o, "logProbability"));
    return t;
}

static void read_logprobs(ht_job *job, const as_json *result)
{
    const as_json *chosen = as_json_first(as_json_get(result, "chosenCandidates"));
    const as_json *top = as_json_first(as_json_get(result, "topCandidates"));
    for (; chosen != NULL; chosen = as_json_next(chosen)) {
        as_token best[MAX_TOP];
        as_token_logprob lp = {.token = read_token(chosen), .top = best};
        for (const as_json *t = as_json_first(as_json_get(top, "candidates"));
             t != NULL && lp.n_top < MAX_TOP; t = as_json_next(t))
            best[lp.n_top++] = read_token(t);
        lp.is_greedy =
            lp.n_top != 0 && as_str_eq(best[0].text, lp.token.text) && best[0].id == lp.token.id;
        ht_job_add_logprob(job, &lp);
        top = top != NULL ? as_json_next(top) : NULL;
    }
}

/* One response object: the whole of a reply, or what came since the last. False: there is neither a
 * candidate in it nor a word of a refusal. */
static bool read_response(ht_job *job, const as_json *o)
{
    bool has_any = false;
    const as_json *list = as_json_get(o, "candidates");
    if (as_json_type(list) == AS_JSON_ARRAY)
        for (const as_json *c = as_json_first(list); c != NULL; c = as_json_next(c)) {
            int64_t index = 0;
            (void)as_json_i64(as_json_get(c, "index"), &index);
            if (index != 0)
                continue;
            has_any = true;
            read_parts(job, as_json_get(c, "content"));
            read_logprobs(job, as_json_get(c, "logprobsResult"));
            const as_str reason = ht_json_text(c, "finishReason");
            if (reason.n != 0)
                finish(job, reason);
        }
    const as_str blocked = ht_json_text(as_json_get(o, "promptFeedback"), "blockReason");
    if (blocked.n != 0) {
        ht_job_finish_raw(job, blocked);
        job->r.finish = AS_FINISH_BLOCKED;
        has_any = true;
    }
    read_usage(job, as_json_get(o, "usageMetadata"));
    if (job->model.n == 0)
        ht_job_keep(&job->model, ht_json_text(o, "modelVersion"));
    return has_any;
}

static void read_event(ht_driver *d, ht_job *job, as_str name, const as_json *event)
{
    (void)d;
    (void)name;
    (void)read_response(job, event);
}

static void fail_with_element(ht_job *job, const as_json *element)
{
    as_buf b;
    as_buf_init(&b, HT_MAX_ERROR_BODY);
    as_jw w;
    as_jw_init(&w, &b);
    as_jw_node(&w, element);
    ht_error e;
    ht_error_parse(&e, 200, (as_str){0}, as_buf_str(&b), 0);
    ht_job_fail_with(job, &e);
    as_buf_release(&b);
}

/* A stream that came as an array, its last element telling how it ended. */
static void read_array(ht_job *job, const as_json *array)
{
    for (const as_json *e = as_json_first(array); e != NULL; e = as_json_next(e))
        if (as_json_type(as_json_get(e, "error")) > AS_JSON_NULL)
            fail_with_element(job, e);
        else
            (void)read_response(job, e);
    if (!job->has_finish)
        ht_job_fail(job, AS_ERROR_PROTOCOL,
                    "the stream ended before the reply did, after %zu bytes "
                    "of text",
                    job->text.n + job->reasoning.n);
}

static void read(ht_driver *d, ht_job *job, const as_json *reply)
{
    (void)d;
    if (as_json_type(reply) == AS_JSON_ARRAY)
        read_array(job, reply);
    else if (!read_response(job, reply))
        ht_job_fail(job, AS_ERROR_PROTOCOL, "the reply has no \"candidates\"");
    ht_job_end(job);
}

/* ---- at open ------------------------------------------------------------------------------------
 */

static as_code name_paths(ht_driver *d, as_err *err)
{
    static const as_str prefix = AS_STR_INIT("models/");
    gemini *o = own_of(d);
    if (as_str_starts(d->model, prefix))
        d->model = as_str_sub(d->model, prefix.n, d->model.n);
    bool is_good = d->model.n != 0 && d->model.n <= MAX_MODEL_NAME;
    for (size_t i = 0; i < d->model.n; i++) {
        const char c = d->model.p[i];
        is_good &= (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                   c == '-' || c == '_' || (c == '.' && i != 0);
    }
    if (!is_good)
        return as_fail(err, AS_RANGE,
                       "gemini:%.*s: want a model's name, such as gemini:gemma-4-31b-it",
                       AS_ARG(d->model));
    d->info.model_name = d->model;
    o->whole_path =
        as_arena_printf(&d->keep, "/v1beta/models/%.*s:generateContent", AS_ARG(d->model));
    o->stream_path = as_arena_printf(&d->keep, "/v1beta/models/%.*s:streamGenerateContent?alt=sse",
                                     AS_ARG(d->model));
    return as_str_is_set(o->whole_path) && as_str_is_set(o->stream_path) ? AS_OK : as_nomem(err);
}

static as_code take_options(ht_driver *d, const be_config *config, as_err *err)
{
    (void)config;
    gemini *o = as_new(&d->keep, gemini, 1);
    if (o == NULL)
        return as_nomem(err);
    *o = (gemini){0};
    d->own = o;
    return name_paths(d, err);
}

static as_code refused(const ht_driver *d, const ht_answer *a, as_err *err)
{
    if (a->status < 400)
        return AS_OK;
    if (a->error.kind == AS_ERROR_AUTH)
        return as_fail(err, AS_RANGE,
                       "gemini: %s; put the key into %s or %s, or name its variable: -M "
                       "key_env=NAME",
                       a->error.message, d->dialect->key_env, d->dialect->other_key_env);
    if (a->error.kind == AS_ERROR_NOT_FOUND)
        return as_fail(err, AS_RANGE, "gemini:%.*s: %s", AS_ARG(d->model), a->error.message);
    return AS_OK;
}

static void read_model(ht_driver *d, const as_json *m)
{
    int64_t v = 0;
    bool thinks = false;
    if (d->info.n_ctx == 0 && as_json_i64(as_json_get(m, "inputTokenLimit"), &v) && v > 0 &&
        v <= INT32_MAX)
        d->info.n_ctx = (int)v;
    (void)as_json_bool(as_json_get(m, "thinking"), &thinks);
    if (m != NULL && !thinks) /* the setting is refused for those that do not */
        d->profile.think = HT_THINK_NONE;
    ht_identity_add(d, "model", m);
}

/* One token with log-probabilities: most models refuse them. */
static as_code probe_token(ht_driver *d, as_arena *scratch, as_err *err)
{
    static const as_str body = AS_STR_INIT(
        "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"Hi\"}]}],\"generationConfig\":{"
        "\"temperature\":0,\"maxOutputTokens\":1,\"responseLogprobs\":true,\"logprobs\":1}}");
    ht_answer a;
    AS_TRY(ht_ask(d, ht_first_endpoint(d), own_of(d)->whole_path.p, body, &a, scratch, err));
    const as_json *result =
        as_json_get(as_json_first(as_json_get(a.json, "candidates")), "logprobsResult");
    if (as_json_count(as_json_get(result, "chosenCandidates")) != 0)
        d->caps |= BE_CAN_LOGPROBS;
    as_json_free(a.json);
    if (a.status >= 400 && (a.error.kind == AS_ERROR_QUOTA || a.error.kind == AS_ERROR_RATE))
        as_log_line(d->log, AS_LOG_WARN, "gemini:%.*s: %s", AS_ARG(d->model), a.error.message);
    return refused(d, &a, err);
}

static as_code identify(ht_driver *d, as_arena *scratch, as_err *err)
{
    ht_answer a;
    const as_str path = as_arena_printf(scratch, "/v1beta/models/%.*s", AS_ARG(d->model));
    if (!as_str_is_set(path))
        return as_nomem(err);
    AS_TRY(ht_ask(d, ht_first_endpoint(d), path.p, (as_str){0}, &a, scratch, err));
    read_model(d, a.json);
    as_json_free(a.json);
    AS_TRY(refused(d, &a, err));
    return d->is_probing ? probe_token(d, scratch, err) : AS_OK;
}

static as_code probe(ht_driver *d, as_err *err)
{
    d->caps = BE_CAN_CHAT | BE_CAN_IMAGE;
    if (!as_str_starts(d->model, AS_STR("gemma"))) /* hosted Gemma does not hear */
        d->caps |= BE_CAN_AUDIO;
    as_arena scratch;
    as_arena_init(&scratch, 0);
    const as_code c = identify(d, &scratch, err);
    as_arena_release(&scratch);
    d->caps |= d->profile.think != HT_THINK_NONE ? (unsigned)BE_CAN_THINK : 0;
    return c;
}

static const ht_dialect dialect = {
    .driver = &be_gemini,
    .default_url = "https://generativelanguage.googleapis.com",
    .key_env = "GEMINI_API_KEY",
    .other_key_env = "GOOGLE_API_KEY",
    .key_header = "x-goog-api-key: ",
    .health_path = "/v1beta/models?pageSize=1",
    .profile = "gemini",
    .needs_model = true,
    .needs_key = true,
    .is_hosted = true,
    .take_options = take_options,
    .probe = probe,
    .build = build,
    .read = read,
    .read_event = read_event,
};

static as_code gemini_open(be_backend **out, const be_config *config, as_err *err)
{
    return ht_open(out, &dialect, config, err);
}

const be_driver be_gemini = {
    .scheme = "gemini",
    .title = "Google AI Studio: gemini:NAME -M rpm=; the key is in GEMINI_API_KEY",
    .open = gemini_open,
    HT_DRIVER_FUNCTIONS,
};
