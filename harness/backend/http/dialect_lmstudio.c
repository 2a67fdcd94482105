/*
 * dialect_lmstudio.c — lmstudio: LM Studio.
 *
 * Requests   /api/v0/chat/completions and /api/v0/completions where they are there: OpenAI's fields,
 *            and replies with times and the real reason of the end ("stats"). Else the same under /v1.
 *            /api/v1/chat is not used: it has no seed, no stop texts and no earlier turns.
 * Identity   /api/v1/models (0.4.0 and later), else /api/v0/models, else /v1/models.
 * Window     a model that is not loaded is loaded by its first request, with a window of 4096 as a
 *            rule. With -M ctx it is loaded here, through /api/v1/models/load, unless an instance with
 *            at least that window is there already.
 * Never      log-probabilities: they are accepted and do not come.
 * Traps      a route that does not exist is answered with status 200 and an "error"
 */
#include <string.h>

#include "backend/drivers.h"
#include "backend/http/chat.h"

enum { DEFAULT_PARALLEL = 4, MAX_PARALLEL = 1024, MAX_NAMES = 400 };

typedef struct lmstudio {
    bool has_v0, has_v1;
    bool has_ctx; /* the user's word */
} lmstudio;

static lmstudio *own_of(const ht_driver *d)
{
    return d->own;
}

static as_code take_options(ht_driver *d, const be_config *config, as_err *err)
{
    (void)config;
    lmstudio *o = as_new(&d->keep, lmstudio, 1);
    if (o == NULL)
        return as_nomem(err);
    *o = (lmstudio){.has_ctx = d->info.n_ctx > 0};
    d->own = o;
    return AS_OK;
}

/* ---- requests and replies -----------------------------------------------------------------------
 */

static as_code build(ht_driver *d, ht_job *job, as_jw *w, as_err *err)
{
    const as_request *rq = job->rq;
    if (rq->ask == AS_ASK_SCORE)
        return as_fail(
            err, AS_UNSUPPORTED,
            "LM Studio tells no log-probabilities, so nothing can be scored by them; let "
            "the model write its answer");
    AS_TRY(ht_chat_build(d, job, w, err));
    /* No request asks for one; a model's preset may have 1.1. */
    as_jw_put_i64(w, "repeat_penalty", 1);
    if (own_of(d)->has_v0)
        job->path = rq->is_chat ? "/api/v0/chat/completions" : "/api/v0/completions";
    return AS_OK;
}

static int64_t ns_of_seconds(const as_json *o, const char *key)
{
    double s = 0;
    return as_json_f64(as_json_get(o, key), &s) && s >= 0 && s < 1e9 ? (int64_t)(s * 1e9 + 0.5)
                                                                     : -1;
}

static void read_stats(ht_job *job, const as_json *reply)
{
    static const struct {
        const char *word;
        as_finish finish;
    } words[] = {
        {"eosFound", AS_FINISH_STOP},
        {"stopStringFound", AS_FINISH_STOP_TEXT},
        {"maxPredictedTokensReached", AS_FINISH_LENGTH},
        {"contextLengthReached", AS_FINISH_LENGTH},
    };
    const as_json *stats = as_json_get(reply, "stats");
    if (as_json_type(stats) != AS_JSON_OBJECT)
        return;
    job->r.server_prompt_ns = ns_of_seconds(stats, "time_to_first_token");
    job->r.server_generation_ns = ns_of_seconds(stats, "generation_time");
    const as_str reason = ht_json_text(stats, "stop_reason");
    if (reason.n == 0 || job->r.finish == AS_FINISH_ERROR)
        return;
    ht_job_finish_raw(job, reason); /* it says more than "finish_reason" */
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (as_str_eq_z(reason, words[i].word))
            job->r.finish = words[i].finish;
}

static void read(ht_driver *d, ht_job *job, const as_json *reply)
{
    ht_chat_read(d, job, reply);
    read_stats(job, reply);
}

static void read_event(ht_driver *d, ht_job *job, as_str name, const as_json *event)
{
    ht_chat_read_event(d, job, name, event);
    read_stats(job, event);
}

/* ---- identity -----------------------------------------------------------------------------------
 */

static as_str keep_text(ht_driver *d, as_str s)
{
    const as_str kept = as_arena_str(&d->keep, s);
    return as_str_is_set(kept) ? kept : (as_str){0};
}

static as_code set_model(ht_driver *d, as_str name, as_err *err)
{
    d->model = keep_text(d, name);
    if (d->info.model_name.n == 0)
        d->info.model_name = d->model;
    return d->model.n != 0 ? AS_OK : as_nomem(err);
}

/* The instance with the widest window. */
static const as_json *widest_instance(const as_json *model, int64_t *n_ctx)
{
    const as_json *list = as_json_get(model, "loaded_instances"), *best = NULL;
    *n_ctx = 0;
    if (as_json_type(list) != AS_JSON_ARRAY)
        return NULL;
    for (const as_json *i = as_json_first(list); i != NULL; i = as_json_next(i)) {
        int64_t v = 0;
        (void)as_json_i64(as_json_get(as_json_get(i, "config"), "context_length"), &v);
        if (best == NULL || v > *n_ctx) {
            best = i;
            *n_ctx = v;
        }
    }
    return best;
}

static bool has_instance(const as_json *model, as_str id)
{
    const as_json *list = as_json_get(model, "loaded_instances");
    if (as_json_type(list) == AS_JSON_ARRAY)
        for (const as_json *i = as_json_first(list); i != NULL; i = as_json_next(i))
            if (as_str_eq(ht_json_text(i, "id"), id))
                return true;
    return false;
}

static bool is_language_model(const as_json *m)
{
    const as_str type = ht_json_text(m, "type");
    return as_str_eq_z(type, "llm") || as_str_eq_z(type, "vlm");
}

static bool is_loaded(const as_json *m)
{
    int64_t n = 0;
    return widest_instance(m, &n) != NULL || as_str_eq_z(ht_json_text(m, "state"), "loaded");
}

/* The model that was named, or the first that is loaded. key: "key" of v1, "id" of v0. */
static as_code choose(ht_driver *d, const as_json *list, const char *key, const as_json **out,
                      as_err *err)
{
    as_buf names;
    as_buf_init(&names, MAX_NAMES);
    *out = NULL;
    for (const as_json *m = as_json_first(list); m != NULL && *out == NULL; m = as_json_next(m)) {
        const as_str name = ht_json_text(m, key);
        if (!is_language_model(m))
            continue;
        if (d->model.n == 0 ? is_loaded(m) : as_str_eq(name, d->model) || has_instance(m, d->model))
            *out = m;
        (void)as_buf_printf(&names, "%s%.*s", names.n == 0 ? "" : ", ", AS_ARG(name));
    }
    as_code c = AS_OK;
    const char *all = names.n != 0 ? names.p : "none";
    if (*out == NULL && d->model.n == 0)
        c = as_fail(err, AS_RANGE,
                    "lmstudio: no model is loaded; name one, -m lmstudio:NAME; there are: %s", all);
    else if (*out == NULL)
        c = as_fail(err, AS_RANGE, "lmstudio:%.*s: there is no such model; there are: %s",
                    AS_ARG(d->model), all);
    as_buf_release(&names);
    return c;
}

static void take_instance(ht_driver *d, const as_json *config)
{
    int64_t v = 0;
    if (as_json_i64(as_json_get(config, "context_length"), &v) && v > 0 && v <= INT32_MAX)
        d->info.n_ctx = (int)v;
    if (as_json_i64(as_json_get(config, "parallel"), &v) && v > 0 && v <= MAX_PARALLEL)
        d->info.max_concurrency = (int)v * d->endpoints.n;
}

static as_code load(ht_driver *d, as_arena *scratch, as_err *err)
{
    as_buf b;
    as_buf_init(&b, 0);
    as_jw w;
    as_jw_init(&w, &b);
    as_jw_begin_object(&w);
    as_jw_put_str(&w, "model", d->info.model_name);
    as_jw_put_i64(&w, "context_length", d->info.n_ctx);
    as_jw_put_bool(&w, "echo_load_config", true);
    as_jw_end_object(&w);
    ht_answer a = {0};
    as_code c = as_buf_ok(&b, err);
    if (c == AS_OK)
        c = ht_ask(d, ht_first_endpoint(d), "/api/v1/models/load", as_buf_str(&b), &a, scratch,
                   err);
    const as_str id = ht_json_text(a.json, "instance_id");
    if (c == AS_OK && id.n == 0)
        c = as_fail(err, AS_RANGE, "lmstudio:%.*s could not be loaded with -M ctx=%d: %s",
                    AS_ARG(d->info.model_name), d->info.n_ctx,
                    a.status >= 400 ? a.error.message : "the reply names no instance");
    if (c == AS_OK) {
        c = set_model(d, id, err);
        take_instance(d, as_json_get(a.json, "load_config"));
        ht_identity_add(d, "load", a.json);
    }
    as_json_free(a.json);
    as_buf_release(&b);
    return c;
}

/* An instance is there that will do, or one is made. */
static as_code settle_window(ht_driver *d, const as_json *m, as_arena *scratch, as_err *err)
{
    int64_t n_ctx = 0;
    const as_json *instance = widest_instance(m, &n_ctx);
    if (own_of(d)->has_ctx && n_ctx < d->info.n_ctx)
        return load(d, scratch, err);
    if (instance == NULL) {
        as_log_line(d->log, AS_LOG_WARN,
                    "lmstudio:%.*s is not loaded: the first request loads it, with a window of the "
                    "server's choice; say -M ctx=N to load it with yours",
                    AS_ARG(d->info.model_name));
        d->info.max_concurrency = DEFAULT_PARALLEL * d->endpoints.n;
        return AS_OK;
    }
    take_instance(d, as_json_get(instance, "config"));
    return set_model(d, ht_json_text(instance, "id"), err);
}

static as_code read_v1(ht_driver *d, const as_json *list, as_arena *scratch, as_err *err)
{
    const as_json *m = NULL;
    int64_t v = 0;
    bool is_on = false;
    AS_TRY(choose(d, list, "key", &m, err));
    AS_TRY(set_model(d, ht_json_text(m, "key"), err));
    d->info.model_name = d->model;
    d->info.architecture = keep_text(d, ht_json_text(m, "architecture"));
    d->info.quantization = keep_text(d, ht_json_text(as_json_get(m, "quantization"), "name"));
    if (as_json_i64(as_json_get(m, "size_bytes"), &v) && v > 0)
        d->info.file_bytes = v;
    const as_json *can = as_json_get(m, "capabilities");
    if (as_json_bool(as_json_get(can, "vision"), &is_on) && is_on)
        d->caps |= BE_CAN_IMAGE;
    if (as_json_type(as_json_get(can, "reasoning")) != AS_JSON_OBJECT)
        d->caps &= ~(unsigned)BE_CAN_THINK;
    ht_identity_add(d, "model", m);
    return settle_window(d, m, scratch, err);
}

static as_code read_v0(ht_driver *d, const as_json *list, as_err *err)
{
    const as_json *m = NULL;
    int64_t v = 0;
    AS_TRY(choose(d, list, "id", &m, err));
    AS_TRY(set_model(d, ht_json_text(m, "id"), err));
    d->info.architecture = keep_text(d, ht_json_text(m, "arch"));
    d->info.quantization = keep_text(d, ht_json_text(m, "quantization"));
    if (as_json_i64(as_json_get(m, "loaded_context_length"), &v) && v > 0 && v <= INT32_MAX)
        d->info.n_ctx = (int)v;
    if (as_str_eq_z(ht_json_text(m, "type"), "vlm"))
        d->caps |= BE_CAN_IMAGE;
    d->info.max_concurrency = d->endpoints.n; /* before 0.4.0 requests are answered in turn */
    ht_identity_add(d, "model", m);
    return AS_OK;
}

/* The list under key, or NULL: the route is not there. */
static as_code ask_list(ht_driver *d, const char *path, const char *key, ht_answer *a,
                        const as_json **list, as_arena *scratch, as_err *err)
{
    AS_TRY(ht_ask(d, ht_first_endpoint(d), path, (as_str){0}, a, scratch, err));
    *list = as_json_get(a->json, key);
    if (as_json_type(*list) != AS_JSON_ARRAY)
        *list = NULL;
    if (a->status < 400 || a->error.kind != AS_ERROR_AUTH)
        return AS_OK;
    return as_fail(err, AS_RANGE,
                   "lmstudio: %s; put the token into %s, or name its variable: -M key_env=NAME",
                   a->error.message, d->dialect->key_env);
}

static as_code identify(ht_driver *d, as_arena *scratch, as_err *err)
{
    lmstudio *o = own_of(d);
    ht_answer v0 = {0}, v1 = {0};
    const as_json *list0 = NULL, *list1 = NULL;
    as_code c = ask_list(d, "/api/v1/models", "models", &v1, &list1, scratch, err);
    if (c == AS_OK)
        c = ask_list(d, "/api/v0/models", "data", &v0, &list0, scratch, err);
    o->has_v1 = list1 != NULL;
    o->has_v0 = list0 != NULL;
    if (c == AS_OK && o->has_ctx && !o->has_v1)
        as_log_line(d->log, AS_LOG_WARN,
                    "lmstudio: this version loads no model with a window that is asked for: -M ctx "
                    "is taken as what is there");
    if (c == AS_OK && o->has_v1)
        c = read_v1(d, list1, scratch, err);
    else if (c == AS_OK && o->has_v0)
        c = read_v0(d, list0, err);
    else if (c == AS_OK) {
        d->caps |= BE_CAN_IMAGE;
        c = ht_models_ask(d, err);
    }
    as_json_free(v0.json);
    as_json_free(v1.json);
    return c;
}

static as_code probe(ht_driver *d, as_err *err)
{
    d->caps = BE_CAN_CHAT | BE_CAN_TEXT | BE_CAN_SEED | BE_CAN_THINK;
    as_arena scratch;
    as_arena_init(&scratch, 0);
    const as_code c = identify(d, &scratch, err);
    as_arena_release(&scratch);
    if (c != AS_OK)
        return c;
    ht_identity_text(d, "requests", own_of(d)->has_v0 ? AS_STR("/api/v0") : AS_STR("/v1"));
    if (d->has_max_each)
        return AS_OK;
    if (d->info.max_concurrency == 0)
        d->info.max_concurrency = d->endpoints.n;
    d->max_each = d->info.max_concurrency / d->endpoints.n;
    d->has_max_each = true; /* more would wait in the server and be taken for its speed */
    return AS_OK;
}

static const ht_dialect dialect = {
    .driver = &be_lmstudio,
    .default_url = "http://127.0.0.1:1234",
    .key_env = "LM_API_TOKEN",
    .key_header = "Authorization: Bearer ",
    .health_path = "/v1/models",
    .profile = "lmstudio",
    .needs_model = true,
    .take_options = take_options,
    .probe = probe,
    .build = build,
    .read = read,
    .read_event = read_event,
};

static as_code lmstudio_open(be_backend **out, const be_config *config, as_err *err)
{
    return ht_open(out, &dialect, config, err);
}

const be_driver be_lmstudio = {
    .scheme = "lmstudio",
    .title = "LM Studio: lmstudio:NAME -M ctx=",
    .open = lmstudio_open,
    HT_DRIVER_FUNCTIONS,
};
