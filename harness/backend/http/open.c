/* open.c — a driver from its configuration: options, addresses, key, what the server is. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "backend/http/agree.h"
#include "backend/http/job.h"
#include "base/hash.h"
#include "base/time.h"

enum {
    CONNECT_MS = 5000,
    FIRST_MS = 600000, /* a cold model may be loaded first; long prompts take minutes on a CPU */
    IDLE_MS = 180000,  /* llama-server sends a comment every 30 s: silence means trouble */
    PATIENCE_MS = 60000,
    LOADING_MS = 600000, /* a server that says it is loading its model is waited for so long */
    ASK_AGAIN_MS = 500,
    MAX_CONNECTIONS = 4096,
    DEFAULT_CONNECTIONS = 64, /* until prepare tells */
    MAX_HEADER = 8192,
    MAX_SECONDS = 86400,
    HOSTED_CONNECT_MS = 10000,
    HOSTED_FIRST_MS = 120000,
    HOSTED_IDLE_MS = 60000,
    MAX_OPTION_NAMES = 32,
};

/* HT_COMMON_OPTIONS of every server. */
static const char *const known_options[] = {
    "profile",       "key_env",      "header",  "stream",   "think", "connect_timeout",
    "first_timeout", "idle_timeout", "timeout", "patience", "rpm",   "tpm",
    "concurrency",   "probe",        "ctx",     NULL,
};

/* "***", or "none" */
static const char *ht_secret_text(const ht_secret *s)
{
    return s->hidden.n != 0 ? "***" : "none";
}

/* ---- options ------------------------------------------------------------------------------------
 */

static as_code seconds_option(int *ms, const be_config *config, const char *key, as_err *err)
{
    const as_str v = be_option_get(config, key);
    double s = 0;
    if (!as_str_is_set(v))
        return AS_OK;
    if (!as_parse_f64(v, &s) || s < 0 || s > MAX_SECONDS)
        return as_fail(err, AS_RANGE, "-M %s=%.*s: want seconds, 0 (none) to %d", key, AS_ARG(v),
                       MAX_SECONDS);
    *ms = (int)(s * 1000);
    return AS_OK;
}

static as_code rate_option(double *out, const be_config *config, const char *key, as_err *err)
{
    const as_str v = be_option_get(config, key);
    if (!as_str_is_set(v))
        return AS_OK;
    if (!as_parse_f64(v, out) || *out <= 0 || *out > 1e12)
        return as_fail(err, AS_RANGE, "-M %s=%.*s: want a number above 0, a minute", key,
                       AS_ARG(v));
    return AS_OK;
}

static as_code switch_option(bool *is_on, const be_config *config, const char *key, as_err *err)
{
    const as_str v = be_option_get(config, key);
    if (!as_str_is_set(v))
        return AS_OK;
    *is_on = as_str_eq_z(v, "on");
    return *is_on || as_str_eq_z(v, "off")
               ? AS_OK
               : as_fail(err, AS_RANGE, "-M %s=%.*s: want on or off", key, AS_ARG(v));
}

static as_code take_profile(ht_driver *d, const be_config *config, as_err *err)
{
    as_str name = be_option_get(config, "profile");
    if (!as_str_is_set(name))
        name = as_str_of(d->dialect->profile);
    const ht_profile *p = ht_profile_find(name);
    if (p == NULL)
        return ht_profile_unknown(name, err);
    d->profile = *p;
    const as_str think = be_option_get(config, "think");
    if (as_str_is_set(think) && !ht_think_style_parse(&d->profile.think, think))
        return as_fail(err, AS_RANGE,
                       "-M think=%.*s: want none, reasoning_effort, enable_thinking, thinking, "
                       "reasoning, think or system_token",
                       AS_ARG(think));
    return AS_OK;
}

static as_code check_options(const ht_driver *d, const be_config *config, as_err *err)
{
    const char *names[MAX_OPTION_NAMES + 1];
    const char *const *lists[] = {known_options, d->dialect->options};
    int n = 0;
    for (size_t k = 0; k < sizeof lists / sizeof lists[0]; k++)
        for (const char *const *o = lists[k]; o != NULL && *o != NULL && n < MAX_OPTION_NAMES; o++)
            names[n++] = *o;
    names[n] = NULL;
    return be_options_check(config, names, err);
}

static as_code take_options(ht_driver *d, const be_config *config, bool *is_probing, as_err *err)
{
    const bool is_hosted = d->dialect->is_hosted;
    AS_TRY(check_options(d, config, err));
    AS_TRY(take_profile(d, config, err));
    d->connect_ms = is_hosted ? HOSTED_CONNECT_MS : CONNECT_MS;
    d->first_ms = is_hosted ? HOSTED_FIRST_MS : FIRST_MS;
    d->idle_ms = is_hosted ? HOSTED_IDLE_MS : IDLE_MS;
    d->patience_ms = PATIENCE_MS;
    AS_TRY(seconds_option(&d->connect_ms, config, "connect_timeout", err));
    AS_TRY(seconds_option(&d->first_ms, config, "first_timeout", err));
    AS_TRY(seconds_option(&d->idle_ms, config, "idle_timeout", err));
    AS_TRY(seconds_option(&d->total_ms, config, "timeout", err));
    AS_TRY(seconds_option(&d->patience_ms, config, "patience", err));
    double rpm = 0, tpm = 0;
    AS_TRY(rate_option(&rpm, config, "rpm", err));
    AS_TRY(rate_option(&tpm, config, "tpm", err));
    d->has_limits = rpm > 0 || tpm > 0;
    ht_limiter_init(&d->limiter, rpm, tpm, as_now_ns());
    bool is_streaming = true;
    AS_TRY(switch_option(&is_streaming, config, "stream", err));
    AS_TRY(switch_option(is_probing, config, "probe", err));
    d->never_streams = !is_streaming;
    d->max_each = DEFAULT_CONNECTIONS;
    int64_t n = 0;
    const as_str each = be_option_get(config, "concurrency");
    if (as_str_is_set(each)) {
        if (!as_parse_i64(each, 1, MAX_CONNECTIONS, &n))
            return as_fail(err, AS_RANGE,
                           "-M concurrency=%.*s: want 1 to %d requests at once to one server",
                           AS_ARG(each), MAX_CONNECTIONS);
        d->max_each = (int)n;
        d->has_max_each = true;
    }
    const as_str ctx = be_option_get(config, "ctx");
    if (as_str_is_set(ctx)) {
        if (!as_parse_i64(ctx, 1, INT32_MAX, &n))
            return as_fail(err, AS_RANGE, "-M ctx=%.*s: want a number of tokens", AS_ARG(ctx));
        d->info.n_ctx = (int)n;
    }
    return d->dialect->take_options != NULL ? d->dialect->take_options(d, config, err) : AS_OK;
}

/* ---- key and headers ----------------------------------------------------------------------------
 */

static as_code find_key(ht_driver *d, const be_config *config, as_err *err)
{
    const as_str asked = be_option_get(config, "key_env");
    as_str name = as_str_is_set(asked) ? asked : as_str_of(d->dialect->key_env);
    if (name.n == 0 || config->env == NULL)
        return AS_OK;
    if (!as_str_is_set(asked) && d->dialect->other_key_env != NULL) {
        const char *first = config->env(d->dialect->key_env);
        if (first == NULL || first[0] == '\0')
            name = as_str_of(d->dialect->other_key_env);
    }
    const as_str z = as_arena_str(&d->keep, name);
    if (!as_str_is_set(z))
        return as_nomem(err);
    const char *value = config->env(z.p);
    if (value == NULL || value[0] == '\0')
        return as_str_is_set(asked)
                   ? as_fail(err, AS_RANGE, "-M key_env=%s: that environment variable is not set",
                             z.p)
                   : AS_OK;
    d->key.hidden = as_arena_str(&d->keep, as_str_trim(as_str_of(value)));
    if (!as_str_is_set(d->key.hidden))
        return as_nomem(err);
    for (size_t i = 0; i < d->key.hidden.n; i++)
        if ((unsigned char)d->key.hidden.p[i] <= ' ')
            return as_fail(err, AS_RANGE, "the key in %s has a blank or a line end inside", z.p);
    return AS_OK;
}

static as_code add_header(ht_driver *d, const char *line, as_err *err)
{
    AS_TRY(ht_headers_add(&d->headers, line, err));
    return ht_headers_add(&d->get_headers, line, err);
}

static as_code add_user_header(ht_driver *d, as_str v, as_err *err)
{
    char line[MAX_HEADER];
    as_str name, value;
    const int n = snprintf(line, sizeof line, "%.*s", AS_ARG(v));
    bool is_good = as_str_cut(v, ':', &name, &value) && name.n != 0 && n > 0 &&
                   (size_t)n < sizeof line && (size_t)n == v.n;
    for (size_t i = 0; is_good && i < v.n; i++)
        is_good = v.p[i] != '\n' && v.p[i] != '\r';
    if (!is_good)
        return as_fail(err, AS_RANGE, "-M header=%.*s: want NAME:VALUE of at most %d bytes",
                       AS_ARG(as_str_sub(name, 0, 60)), MAX_HEADER);
    static const char *const secret[] = {"authorization", "x-api-key", "x-goog-api-key", "api-key",
                                         "cookie"};
    for (size_t i = 0; i < sizeof secret / sizeof secret[0]; i++)
        if (name.n == strlen(secret[i]) && strncasecmp(name.p, secret[i], name.n) == 0)
            return as_fail(err, AS_RANGE,
                           "-M header=%.*s: options are stored, keys are not; put the key into an "
                           "environment variable and name it: -M key_env=NAME",
                           AS_ARG(name));
    return add_header(d, line, err);
}

static as_code make_headers(ht_driver *d, const be_config *config, as_err *err)
{
    char line[MAX_HEADER];
    AS_TRY(ht_headers_add(&d->headers, "Content-Type: application/json", err));
    AS_TRY(ht_headers_add(&d->headers, "Expect:", err));     /* no waiting for a 100 */
    AS_TRY(add_header(d, "Accept-Encoding: identity", err)); /* compressing joins tokens */
    AS_TRY(add_header(d, "User-Agent: assay", err));
    if (d->key.hidden.n != 0) {
        const int n = snprintf(line, sizeof line, "%s%s", d->dialect->key_header, d->key.hidden.p);
        if (n < 0 || (size_t)n >= sizeof line)
            return as_fail(err, AS_RANGE, "the key is longer than %d bytes", MAX_HEADER);
        const as_code c = add_header(d, line, err);
        memset(line, 0, sizeof line);
        AS_TRY(c);
    }
    for (int i = 0; i < config->n_options; i++)
        if (as_str_eq_z(config->options[i].key, "header"))
            AS_TRY(add_user_header(d, config->options[i].value, err));
    return AS_OK;
}

/* ---- the server ---------------------------------------------------------------------------------
 */

/* Asks its health until the model is loaded; *is_there: something answered at all. */
static as_code wait_for(ht_driver *d, int endpoint, bool *is_there, as_err *err)
{
    const int64_t until = as_now_ns() + (int64_t)LOADING_MS * 1000000;
    as_arena scratch;
    as_arena_init(&scratch, 0);
    as_code c = AS_OK;
    *is_there = false;
    for (bool is_told = false;; is_told = true) {
        ht_answer a;
        as_arena_rewind(&scratch, 0);
        c = ht_ask(d, endpoint, d->dialect->health_path, (as_str){0}, &a, &scratch, err);
        as_json_free(a.json);
        if (c != AS_OK)
            break;
        *is_there = true;
        if (a.status != 503 || as_now_ns() > until)
            break;
        if (!is_told)
            as_log_line(d->log, AS_LOG_WARN, "%.*s: %s; waiting",
                        AS_ARG(d->endpoints.at[endpoint].url), a.error.message);
        as_sleep_ns((int64_t)ASK_AGAIN_MS * 1000000);
    }
    as_arena_release(&scratch);
    return c;
}

/* The addresses given, or the dialect's own places in turn. */
static as_code find_server(ht_driver *d, const be_config *config, as_err *err)
{
    bool is_there = false;
    if (config->n_base_urls != 0) {
        AS_TRY(ht_endpoints_init(&d->endpoints, config->base_urls, config->n_base_urls, &d->keep,
                                 err));
        int n_there = 0;
        for (int i = 0; i < d->endpoints.n; i++) {
            if (wait_for(d, i, &is_there, err) == AS_OK)
                n_there++;
            else if (d->endpoints.n > 1)
                d->endpoints.at[i].is_out = true;
        }
        return n_there != 0 ? AS_OK : AS_TIMEOUT;
    }
    const as_str places[] = {as_str_of(d->dialect->default_url), as_str_of(d->dialect->other_url)};
    if (places[0].n == 0)
        return as_fail(err, AS_RANGE, "%s: say where the server is: --base-url http://HOST:PORT",
                       d->dialect->driver->scheme);
    as_err first = {0};
    for (int i = 0; i < 2 && places[i].n != 0; i++) {
        AS_TRY(ht_endpoints_init(&d->endpoints, &places[i], 1, &d->keep, err));
        as_err *e = i == 0 ? &first : err;
        if (wait_for(d, 0, &is_there, e) == AS_OK)
            return AS_OK;
    }
    if (err != NULL)
        *err = first;
    (void)as_wrap(err, "%s: no server, say where it is with --base-url",
                  d->dialect->driver->scheme);
    return AS_TIMEOUT;
}

as_code ht_set_template(ht_driver *d, as_str text)
{
    const as_sha256 h = as_sha256_of(text);
    as_sha256_hex(d->template_sha, &h);
    d->info.template_sha256 = as_str_of(d->template_sha);
    return AS_OK;
}

static as_code seal_info(ht_driver *d, as_err *err)
{
    as_buf b;
    as_buf_init(&b, 0);
    (void)as_buf_add_byte(&b, '{');
    as_jw w;
    as_jw_init(&w, &b);
    as_jw_key(&w, "endpoints");
    as_jw_begin_array(&w);
    for (int i = 0; i < d->endpoints.n; i++)
        as_jw_str(&w, d->endpoints.at[i].url);
    as_jw_end_array(&w);
    as_jw_put_z(&w, "profile", d->profile.name);
    as_jw_put_z(&w, "key", ht_secret_text(&d->key));
    if (d->identity.n != 0)
        (void)as_buf_printf(&b, ",%.*s", AS_ARG(as_buf_str(&d->identity)));
    (void)as_buf_add_byte(&b, '}');
    as_code c = as_buf_ok(&b, err);
    if (c == AS_OK) {
        d->info.json = as_arena_str(&d->keep, as_buf_str(&b));
        c = as_str_is_set(d->info.json) ? AS_OK : as_nomem(err);
    }
    as_buf_release(&b);
    return c;
}

static as_code open_all(ht_driver *d, const be_config *config, as_err *err)
{
    bool is_probing = true;
    AS_TRY(take_options(d, config, &is_probing, err));
    AS_TRY(find_key(d, config, err));
    if (d->dialect->needs_key && d->key.hidden.n == 0 && config->n_base_urls == 0)
        return as_fail(err, AS_RANGE,
                       "%s: there is no key; put it into %s, or name its variable: -M key_env=NAME",
                       d->dialect->driver->scheme, d->dialect->key_env);
    AS_TRY(make_headers(d, config, err));
    const int n_hosts = config->n_base_urls != 0 ? config->n_base_urls : 1;
    AS_TRY(ht_loop_open(&d->loop, d->max_each + 1, n_hosts, err));
    AS_TRY(find_server(d, config, err));
    d->is_probing = is_probing;
    AS_TRY(d->dialect->probe(d, err));
    if (is_probing && config->n_base_urls > 1)
        AS_TRY(ht_check_agreement(d, config, err));
    return seal_info(d, err);
}

as_code ht_open(be_backend **out, const ht_dialect *dialect, const be_config *config, as_err *err)
{
    *out = NULL;
    ht_driver *d = calloc(1, sizeof *d);
    if (d == NULL)
        return as_nomem(err);
    d->base.driver = dialect->driver;
    d->dialect = dialect;
    d->log = config->log;
    d->n_vocab = d->bos = -1;
    as_arena_init(&d->keep, 0);
    as_buf_init(&d->identity, 0);
    d->info = (be_info){BE_INFO_UNKNOWN};
    d->salt = (uint64_t)as_wall_ns();
    d->model = as_arena_str(&d->keep, config->name);
    d->info.model_name = d->model;
    const as_code c = as_str_is_set(d->model) ? open_all(d, config, err) : as_nomem(err);
    if (c != AS_OK) {
        ht_close(&d->base);
        return c;
    }
    *out = &d->base;
    return AS_OK;
}
