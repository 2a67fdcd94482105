/*
 * ollama_open.c — what an Ollama server is: options, identity, and probes that a reply must hold.
 *
 * At open    /api/version, /api/tags (file sizes), /api/show (family, quantisation, template, what the
 *            model can do); then, unless -M probe=off, one token with log-probabilities, which also
 *            loads the model, a question to a model that thinks whether it answers without thinking,
 *            and whether prompts are shown; and /api/ps for the window that was really made.
 * Cloud      a model that Ollama only passes on (":cloud", or "remote_host" in /api/show) is refused
 *            unless -M cloud=on: other limits, no log-probabilities, and the data leaves the machine.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "backend/http/chat.h"
#include "backend/http/ollama.h"

enum { CTX_STEP = 1024, MAX_NAMES = 400 };

as_code ollama_take_options(ht_driver *d, const be_config *config, as_err *err)
{
    ollama *o = as_new(&d->keep, ollama, 1);
    if (o == NULL)
        return as_nomem(err);
    *o = (ollama){.keep_alive = AS_STR("\"30m\""), .has_ctx = d->info.n_ctx > 0};
    d->own = o;
    const as_str keep = be_option_get(config, "keep_alive"), cloud = be_option_get(config, "cloud");
    int64_t seconds = 0;
    if (as_str_is_set(keep)) {
        const bool is_number = as_parse_i64(keep, -1, INT32_MAX, &seconds);
        bool is_good = is_number || (keep.n != 0 && keep.n < 32);
        for (size_t i = 0; i < keep.n; i++)
            is_good &= strchr("0123456789.-hmsu", keep.p[i]) != NULL;
        if (!is_good)
            return as_fail(err, AS_RANGE,
                           "-M keep_alive=%.*s: want seconds, or a duration such as 30m; -1 keeps "
                           "the model for ever",
                           AS_ARG(keep));
        o->keep_alive = as_arena_printf(&d->keep, is_number ? "%.*s" : "\"%.*s\"", AS_ARG(keep));
        if (!as_str_is_set(o->keep_alive))
            return as_nomem(err);
    }
    if (as_str_is_set(cloud) && !as_str_eq_z(cloud, "on") && !as_str_eq_z(cloud, "off"))
        return as_fail(err, AS_RANGE, "-M cloud=%.*s: want on or off", AS_ARG(cloud));
    o->may_be_cloud = as_str_eq_z(cloud, "on");
    return AS_OK;
}

void ollama_prepare(ht_driver *d, int max_total_tokens)
{
    const ollama *o = ollama_of(d);
    if (o->has_ctx || max_total_tokens <= d->info.n_ctx || max_total_tokens > INT32_MAX - CTX_STEP)
        return;
    const int want = (max_total_tokens + CTX_STEP - 1) / CTX_STEP * CTX_STEP;
    d->info.n_ctx = o->n_ctx_model > 0 && o->n_ctx_model < want ? o->n_ctx_model : want;
}

/* ---- identity -----------------------------------------------------------------------------------
 */

static as_str keep_text(ht_driver *d, as_str s)
{
    const as_str kept = as_arena_str(&d->keep, s);
    return as_str_is_set(kept) ? kept : (as_str){0};
}

static bool has_word(const as_json *list, const char *word)
{
    as_str s;
    if (as_json_type(list) != AS_JSON_ARRAY)
        return false;
    for (const as_json *i = as_json_first(list); i != NULL; i = as_json_next(i))
        if (as_json_str(i, &s) && as_str_eq_z(s, word))
            return true;
    return false;
}

/* "m" is "m:latest". */
static bool is_model(as_str listed, as_str name)
{
    static const as_str latest = AS_STR_INIT(":latest");
    if (as_str_eq(listed, name))
        return true;
    return as_str_find(name, AS_STR(":")) == SIZE_MAX && listed.n == name.n + latest.n &&
           as_str_starts(listed, name) && as_str_ends(listed, latest);
}

static const as_json *find_model(const as_json *reply, as_str name)
{
    const as_json *list = as_json_get(reply, "models");
    if (as_json_type(list) != AS_JSON_ARRAY)
        return NULL;
    for (const as_json *m = as_json_first(list); m != NULL; m = as_json_next(m))
        if (is_model(ht_json_text(m, "name"), name) || is_model(ht_json_text(m, "model"), name))
            return m;
    return NULL;
}

/* No name was given: that of the only model there is. */
static as_code name_model(ht_driver *d, const as_json *tags, as_err *err)
{
    const as_json *list = as_json_get(tags, "models");
    as_buf names;
    as_buf_init(&names, MAX_NAMES);
    int n = 0;
    if (as_json_type(list) == AS_JSON_ARRAY)
        for (const as_json *m = as_json_first(list); m != NULL; m = as_json_next(m))
            (void)as_buf_printf(&names, "%s%.*s", n++ == 0 ? "" : ", ",
                                AS_ARG(ht_json_text(m, "name")));
    as_code c = AS_OK;
    if (n == 1) {
        d->model = keep_text(d, ht_json_text(as_json_first(list), "name"));
        d->info.model_name = d->model;
        c = d->model.n != 0 ? AS_OK : as_nomem(err);
    } else {
        c = as_fail(err, AS_RANGE, "ollama: name a model, -m ollama:NAME; there are: %s",
                    names.n != 0 ? names.p : "none");
    }
    as_buf_release(&names);
    return c;
}

static bool is_cloud_name(as_str name)
{
    return as_str_ends(name, AS_STR(":cloud")) || as_str_ends(name, AS_STR("-cloud"));
}

static as_code check_cloud(const ht_driver *d, as_err *err)
{
    const ollama *o = ollama_of(d);
    if (!o->is_cloud || o->may_be_cloud)
        return AS_OK;
    return as_fail(err, AS_RANGE,
                   "ollama:%.*s is a cloud model: requests leave this machine, and there are no "
                   "log-probabilities; allow it with -M cloud=on",
                   AS_ARG(d->model));
}

static void read_model_info(ht_driver *d, const as_json *show)
{
    char key[128];
    const as_json *info = as_json_get(show, "model_info");
    const as_str arch = ht_json_text(info, "general.architecture");
    int64_t v = 0;
    if (as_json_i64(as_json_get(info, "general.parameter_count"), &v) && v > 0)
        d->info.n_params = v;
    const int n = snprintf(key, sizeof key, "%.*s.context_length", AS_ARG(arch));
    if (n > 0 && (size_t)n < sizeof key && as_json_i64(as_json_get(info, key), &v) && v > 0 &&
        v <= INT32_MAX)
        ollama_of(d)->n_ctx_model = (int)v;
    if (arch.n != 0)
        d->info.architecture = keep_text(d, arch);
}

static void read_show(ht_driver *d, const as_json *show)
{
    static const char *const kept[] = {"details", "model_info", "parameters", "capabilities",
                                       "modified_at"};
    ollama *o = ollama_of(d);
    const as_json *details = as_json_get(show, "details");
    const as_json *can = as_json_get(show, "capabilities");
    d->info.architecture = keep_text(d, ht_json_text(details, "family"));
    d->info.quantization = keep_text(d, ht_json_text(details, "quantization_level"));
    read_model_info(d, show);
    const as_str chat_template = ht_json_text(show, "template");
    if (chat_template.n != 0)
        (void)ht_set_template(d, chat_template);
    d->caps |= has_word(can, "vision") ? (unsigned)BE_CAN_IMAGE : 0;
    d->caps |= has_word(can, "audio") ? (unsigned)BE_CAN_AUDIO : 0;
    /* Older servers have no list; what they refuse, they say. */
    if (can == NULL || has_word(can, "thinking"))
        d->caps |= BE_CAN_THINK;
    o->is_cloud |= ht_json_text(show, "remote_host").n != 0;
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++)
        ht_identity_add(d, kept[i], as_json_get(show, kept[i]));
}

static void read_ps(ht_driver *d, const as_json *ps)
{
    const as_json *m = find_model(ps, d->model);
    int64_t v = 0;
    if (m == NULL)
        return;
    ht_identity_add(d, "loaded", m);
    if (!as_json_i64(as_json_get(m, "context_length"), &v) || v <= 0 || v >= d->info.n_ctx)
        return;
    as_log_line(d->log, AS_LOG_WARN,
                "ollama: the window was asked to be %d tokens and is %lld (OLLAMA_NUM_PARALLEL, "
                "memory?)",
                d->info.n_ctx, (long long)v);
}

/* ---- probes -------------------------------------------------------------------------------------
 */

static as_code ask(ht_driver *d, const char *path, as_str body, ht_answer *a, as_arena *scratch,
                   as_err *err)
{
    AS_TRY(ht_ask(d, ht_first_endpoint(d), path, body, a, scratch, err));
    if (a->status < 400 || a->error.kind != AS_ERROR_AUTH)
        return AS_OK;
    return as_fail(err, AS_RANGE,
                   "ollama: %s; put the key into %s, or name its variable: -M key_env=NAME",
                   a->error.message, d->dialect->key_env);
}

static as_str name_body(const ht_driver *d, as_buf *b, const char *rest)
{
    as_jw w;
    as_buf_reset(b);
    as_jw_init(&w, b);
    as_jw_begin_object(&w);
    as_jw_put_str(&w, "model", d->model);
    (void)as_buf_add_z(b, rest);
    as_jw_end_object(&w);
    return as_buf_str(b);
}

/* The fields without which the probe would load the model with another window. */
static as_str probe_body(const ht_driver *d, as_buf *b, as_arena *scratch, const char *rest,
                         int n_predict)
{
    const as_str z = as_arena_printf(
        scratch,
        ",\"stream\":false,\"keep_alive\":%.*s,%s,\"options\":{\"num_ctx\":%d,\"num_predict\":%d,"
        "\"temperature\":0,\"seed\":1}",
        AS_ARG(ollama_of(d)->keep_alive), rest, d->info.n_ctx, n_predict);
    return as_str_is_set(z) ? name_body(d, b, z.p) : (as_str){0};
}

static as_code probe_token(ht_driver *d, as_buf *b, as_arena *scratch, as_err *err)
{
    ht_answer a;
    const as_str body = probe_body(d, b, scratch,
                                   "\"prompt\":\"The capital of France "
                                   "is\",\"raw\":true,\"logprobs\":true,\"top_logprobs\":20",
                                   1);
    AS_TRY(ask(d, "/api/generate", body, &a, scratch, err));
    const as_json *entry = as_json_first(as_json_get(a.json, "logprobs"));
    const bool has_top = as_json_count(as_json_get(entry, "top_logprobs")) != 0;
    double v = 0;
    d->caps &= ~((unsigned)BE_CAN_LOGPROBS | BE_CAN_SCORE_FIRST);
    d->caps |= as_json_f64(as_json_get(entry, "logprob"), &v) ? (unsigned)BE_CAN_LOGPROBS : 0;
    d->caps |= has_top ? (unsigned)BE_CAN_SCORE_FIRST : 0;
    as_json_free(a.json);
    if (a.status >= 400)
        return as_fail(err, AS_RANGE, "ollama:%.*s: a first token was refused: %s",
                       AS_ARG(d->model), a.error.message);
    return AS_OK;
}

/* Some builds answer nothing when thinking is off: then it stays on, and is told apart. */
static as_code probe_think(ht_driver *d, as_buf *b, as_arena *scratch, as_err *err)
{
    ht_answer a;
    const as_str body = probe_body(
        d, b, scratch,
        "\"think\":false,\"messages\":[{\"role\":\"user\",\"content\":\"What is 2+2? Answer "
        "with a number.\"}]",
        16);
    AS_TRY(ask(d, "/api/chat", body, &a, scratch, err));
    const as_json *message = as_json_get(a.json, "message");
    if (a.status < 400 && as_json_type(message) == AS_JSON_OBJECT &&
        as_str_trim(ht_json_text(message, "content")).n == 0) {
        ollama_of(d)->must_think = true;
        as_log_line(d->log, AS_LOG_WARN,
                    "ollama:%.*s answers nothing with thinking switched off, so it stays on",
                    AS_ARG(d->model));
        ht_identity_text(d, "thinking", AS_STR("cannot be switched off"));
    }
    as_json_free(a.json);
    return AS_OK;
}

static as_code probe_calls(ht_driver *d, as_buf *b, as_arena *scratch, as_err *err)
{
    ht_answer a;
    AS_TRY(probe_token(d, b, scratch, err));
    if ((d->caps & BE_CAN_THINK) != 0)
        AS_TRY(probe_think(d, b, scratch, err));
    const as_message hi = {.role = AS_STR("user"), .text = AS_STR("Hi")};
    const as_request hello = {.is_chat = true, .messages = &hi, .n_messages = 1};
    as_str prompt;
    if (ollama_render(d, &hello, &prompt, scratch, NULL) == AS_OK)
        d->caps |= BE_CAN_RENDER;
    AS_TRY(ask(d, "/api/ps", (as_str){0}, &a, scratch, err));
    read_ps(d, a.json);
    d->caps |= find_model(a.json, d->model) != NULL ? (unsigned)BE_CAN_METRICS : 0;
    as_json_free(a.json);
    return AS_OK;
}

static as_code read_tags(ht_driver *d, as_arena *scratch, as_err *err)
{
    ht_answer a;
    int64_t v = 0;
    AS_TRY(ask(d, "/api/tags", (as_str){0}, &a, scratch, err));
    const as_code c = d->model.n == 0 ? name_model(d, a.json, err) : AS_OK;
    const as_json *m = find_model(a.json, d->model);
    if (as_json_i64(as_json_get(m, "size"), &v) && v > 0)
        d->info.file_bytes = v;
    const as_str digest = ht_json_text(m, "digest");
    if (digest.n != 0)
        ht_identity_text(d, "digest", digest);
    as_json_free(a.json);
    return c;
}

static as_code identify(ht_driver *d, as_buf *b, as_arena *scratch, as_err *err)
{
    ht_answer a;
    ollama *o = ollama_of(d);
    AS_TRY(ask(d, "/api/version", (as_str){0}, &a, scratch, err));
    ht_identity_text(d, "version", ht_json_text(a.json, "version"));
    as_json_free(a.json);
    AS_TRY(read_tags(d, scratch, err));
    o->is_cloud = is_cloud_name(d->model);
    AS_TRY(check_cloud(d, err));
    AS_TRY(ask(d, "/api/show", name_body(d, b, ",\"verbose\":false"), &a, scratch, err));
    if (a.status == 404)
        return as_fail(err, AS_RANGE, "ollama:%.*s: %s; fetch it with: ollama pull %.*s",
                       AS_ARG(d->model), a.error.message, AS_ARG(d->model));
    read_show(d, a.json);
    as_json_free(a.json);
    return check_cloud(d, err);
}

as_code ollama_probe(ht_driver *d, as_err *err)
{
    d->caps = BE_CAN_CHAT | BE_CAN_TEXT | BE_CAN_SEED;
    as_arena scratch;
    as_arena_init(&scratch, 0);
    as_buf b;
    as_buf_init(&b, 0);
    ollama *o = ollama_of(d);
    as_code c = identify(d, &b, &scratch, err);
    if (d->info.n_ctx == 0)
        d->info.n_ctx =
            o->n_ctx_model > 0 && o->n_ctx_model < OLLAMA_CTX ? o->n_ctx_model : OLLAMA_CTX;
    if (c == AS_OK && !o->is_cloud)
        d->caps |= BE_CAN_LOGPROBS | BE_CAN_SCORE_FIRST;
    if (c == AS_OK && d->is_probing)
        c = probe_calls(d, &b, &scratch, err);
    as_buf_release(&b);
    as_arena_release(&scratch);
    /* It answers one request at a time unless it was told otherwise; more would wait inside. */
    if (c == AS_OK && !d->has_max_each) {
        d->max_each = 1;
        d->has_max_each = true;
        d->info.max_concurrency = d->endpoints.n;
    }
    return c;
}

/* ---- memory -------------------------------------------------------------------------------------
 */

static double number_of(const as_json *o, const char *key)
{
    double v = 0;
    return as_json_f64(as_json_get(o, key), &v) ? v : (double)NAN;
}

as_code ollama_metrics(ht_driver *d, be_metrics *out, as_err *err)
{
    const double none = (double)NAN;
    *out = (be_metrics){none, none, none, none, none, none, none, none,
                        none, none, none, none, none, none, none};
    as_arena scratch;
    as_arena_init(&scratch, 0);
    ht_answer a = {0};
    as_code c = ht_ask(d, ht_first_endpoint(d), "/api/ps", (as_str){0}, &a, &scratch, err);
    if (c == AS_OK && a.status >= 400)
        c = as_fail(err, AS_UNSUPPORTED, "/api/ps: %s", a.error.message);
    const as_json *m = find_model(a.json, d->model);
    if (c == AS_OK) {
        out->model_bytes = number_of(m, "size");
        out->gpu_bytes = number_of(m, "size_vram");
        if (m != NULL && isnan(out->gpu_bytes))
            out->gpu_bytes = 0; /* what is 0 is left out */
    }
    as_json_free(a.json);
    as_arena_release(&scratch);
    return c;
}
