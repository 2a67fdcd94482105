/* ask.c — single calls that are waited for: probes, tokens, prompts, metrics. */
#include <stdio.h>
#include <string.h>

#include "backend/http/dialect.h"
#include "base/time.h"

enum { ASK_FIRST_MS = 600000 };

typedef struct asking {
    bool is_over;
    ht_answer *out;
    as_arena *keep;
    char message[HT_MAX_ERROR_TEXT];
} asking;

static void on_end(void *user, const ht_reply *reply)
{
    asking *a = user;
    a->is_over = true;
    if (reply->end != HT_END_REPLY) {
        (void)snprintf(a->message, sizeof a->message, "%s", reply->message);
        return;
    }
    a->out->status = reply->status;
    a->out->body = as_arena_str(a->keep, reply->body);
    if (reply->status < 200 || reply->status >= 300)
        ht_error_parse(&a->out->error, reply->status, reply->head, reply->body, as_wall_ns());
}

as_code ht_ask(ht_driver *d, int endpoint, const char *path, as_str body, ht_answer *out,
               as_arena *keep, as_err *err)
{
    *out = (ht_answer){0};
    const ht_endpoint *e = &d->endpoints.at[endpoint];
    const as_str url = ht_endpoint_url(e, path, keep);
    if (!as_str_is_set(url))
        return as_nomem(err);
    asking a = {.out = out, .keep = keep};
    const ht_spec spec = {
        .url = url.p,
        .headers = body.n != 0 ? d->headers : d->get_headers,
        .is_post = body.n != 0,
        .body = body,
        .connect_ms = d->connect_ms,
        .first_ms = d->first_ms > 0 ? d->first_ms : ASK_FIRST_MS,
        .on_end = on_end,
        .user = &a,
    };
    ht_call *call = NULL;
    AS_TRY(ht_loop_start(d->loop, &spec, &call, err));
    while (!a.is_over) { /* the call's own time bounds this */
        const as_code c = ht_loop_turn(d->loop, 1000, err);
        if (c != AS_OK && !a.is_over) {
            ht_loop_cancel(d->loop, call);
            return c;
        }
    }
    if (out->status == 0)
        return as_fail(err, AS_TIMEOUT, "%s: %s", url.p, a.message);
    if (!as_str_is_set(out->body))
        return as_nomem(err);
    if (out->status >= 200 && out->status < 300)
        (void)as_json_parse(&out->json, as_str_trim(out->body), NULL);
    return AS_OK;
}

static void identity_key(ht_driver *d, const char *key)
{
    as_jw w;
    if (d->identity.n != 0)
        (void)as_buf_add_byte(&d->identity, ',');
    as_jw_init(&w, &d->identity);
    as_jw_z(&w, key);
    (void)as_buf_add_byte(&d->identity, ':');
}

void ht_identity_add(ht_driver *d, const char *key, const as_json *json)
{
    if (json == NULL)
        return;
    identity_key(d, key);
    as_jw w;
    as_jw_init(&w, &d->identity);
    as_jw_node(&w, json);
}

void ht_identity_text(ht_driver *d, const char *key, as_str text)
{
    identity_key(d, key);
    as_jw w;
    as_jw_init(&w, &d->identity);
    as_jw_str(&w, text);
}

static as_str json_text(const as_json *object, const char *key)
{
    as_str s = {0};
    (void)as_json_str(as_json_get(object, key), &s);
    return s;
}

static as_code models_read(ht_driver *d, const as_json *models, as_err *err)
{
    const as_json *data = as_json_get(models, "data");
    const as_json *chosen = NULL;
    for (const as_json *m = as_json_first(data); m != NULL; m = as_json_next(m)) {
        const as_str id = json_text(m, "id");
        if (d->model.n == 0 ? chosen == NULL : as_str_eq(id, d->model))
            chosen = m;
    }
    d->lists_models = as_json_first(data) != NULL;
    d->is_listed = chosen != NULL;
    if (chosen == NULL)
        return AS_OK;
    if (d->model.n == 0) {
        d->model = as_arena_str(&d->keep, json_text(chosen, "id"));
        if (!as_str_is_set(d->model))
            return as_nomem(err);
        d->info.model_name = d->model;
    }
    int64_t v = 0;
    if (d->info.n_ctx == 0 && as_json_i64(as_json_get(chosen, "max_model_len"), &v) && v > 0 &&
        v <= INT32_MAX)
        d->info.n_ctx = (int)v;
    ht_identity_add(d, "model", chosen);
    return AS_OK;
}

as_code ht_models_ask(ht_driver *d, as_err *err)
{
    as_arena scratch;
    as_arena_init(&scratch, 0);
    ht_answer a;
    as_code c = AS_OK;
    for (int i = 0; c == AS_OK && i < d->endpoints.n; i++) {
        if (d->endpoints.at[i].is_out)
            continue;
        c = ht_ask(d, i, "/v1/models", (as_str){0}, &a, &scratch, err);
        if (c == AS_OK && a.status >= 400 && a.error.kind == AS_ERROR_AUTH)
            c = as_fail(err, AS_RANGE,
                        "%.*s: %s; put the key into %s, or name the variable: -M key_env=NAME",
                        AS_ARG(d->endpoints.at[i].url), a.error.message, d->dialect->key_env);
        else if (c == AS_OK)
            c = models_read(d, a.json, err);
        as_json_free(a.json);
        break;
    }
    as_arena_release(&scratch);
    if (c == AS_OK && d->model.n == 0 && d->dialect->needs_model)
        c = as_fail(err, AS_RANGE, "%s: the server lists no model, name one: -m %s:NAME",
                    d->dialect->driver->scheme, d->dialect->driver->scheme);
    return c;
}

int ht_first_endpoint(const ht_driver *d)
{
    for (int i = 0; i < d->endpoints.n; i++)
        if (!d->endpoints.at[i].is_out)
            return i;
    return 0;
}
