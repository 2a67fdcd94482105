/* cmd_serve.c — assay serve: a backend behind OpenAI's HTTP interface. */
#include <string.h>

#include "base/io.h"
#include "cli/backend_flags.h"
#include "cli/cli.h"
#include "serve/serve.h"

enum { DEFAULT_CTX = 8192, MAX_ALIASES = 16 };

typedef struct serve_flags {
    cli_backend_flags backend;
    const char *host, *key_env;
    cli_list aliases;
    int64_t port, max_connections, max_batch, max_queue, max_body, request_seconds, grace_seconds;
} serve_flags;

static void on_ready(void *user, const char *host, int port)
{
    (void)user;
    char text[128];
    const bool is_v6 = strchr(host, ':') != NULL;
    (void)snprintf(text, sizeof text, is_v6 ? "http://[%s]:%d\n" : "http://%s:%d\n", host, port);
    (void)cli_print(as_str_of(text), NULL);
}

/* The file's name without its ending, and the aliases. */
static as_code name_model(const char **names, const serve_flags *f, const cli_model *model,
                          as_arena *keep, as_err *err)
{
    int n = 0;
    for (int i = 0; i < f->aliases.n; i++) {
        if (n == MAX_ALIASES)
            return as_fail(err, AS_RANGE, "--alias: more than %d names", MAX_ALIASES);
        const as_str alias = as_arena_str(keep, f->aliases.item[i]);
        if (!as_str_is_set(alias))
            return as_nomem(err);
        names[n++] = alias.p;
    }
    as_str base = as_str_of(as_path_base(model->name.p));
    if (as_str_ends(base, AS_STR(".gguf")))
        base.n -= 5;
    if (base.n == 0)
        base = as_str_of(model->driver->scheme);
    base = as_arena_str(keep, base);
    names[n++] = base.p;
    names[n] = NULL;
    return base.p != NULL ? AS_OK : as_nomem(err);
}

static as_code window(int *out, const serve_flags *f, const be_backend *be, as_err *err)
{
    const be_info *info = be->driver->info(be);
    int64_t n = info->n_ctx > 0 && info->n_ctx < DEFAULT_CTX ? info->n_ctx : DEFAULT_CTX;
    for (int i = 0; i < f->backend.options.n; i++) {
        as_str key, value;
        (void)as_str_cut(f->backend.options.item[i], '=', &key, &value);
        if (as_str_eq_z(key, "ctx") && !as_parse_i64(value, 2, 1 << 24, &n))
            return as_fail(err, AS_RANGE, "-M ctx=%.*s: want a number of tokens", AS_ARG(value));
    }
    *out = (int)n;
    return AS_OK;
}

static as_code read_key(const char **key, const serve_flags *f, cli_env *env, as_err *err)
{
    *key = NULL;
    if (f->key_env == NULL)
        return AS_OK;
    *key = env->variable(f->key_env);
    if (*key == NULL || **key == '\0')
        return as_fail(err, AS_RANGE, "--api-key-env %s: the environment has no such variable",
                       f->key_env);
    return AS_OK;
}

static as_code serve(const serve_flags *f, cli_env *env, as_err *err)
{
    const char *key = NULL;
    const char *names[MAX_ALIASES + 2] = {NULL};
    cli_model model;
    be_backend *be = NULL;
    int n_ctx = 0;
    AS_TRY(read_key(&key, f, env, err));
    sv_options o = {.host = f->host,
                    .port = (int)f->port,
                    .key = key,
                    .models = names,
                    .max_connections = (int)f->max_connections,
                    .max_batch = (int)f->max_batch,
                    .max_queue = (int)f->max_queue,
                    .max_body_bytes = (int)f->max_body,
                    .request_ms = (int)f->request_seconds * 1000,
                    .grace_ms = (int)f->grace_seconds * 1000,
                    .log = &env->log,
                    .stop = env->cancel,
                    .on_ready = on_ready};
    AS_TRY(sv_check(&o, err)); /* before a model is loaded for nothing */
    AS_TRY(cli_backend_open(&be, &model, &f->backend, env, err));
    as_code c = name_model(names, f, &model, env->keep, err);
    if (c == AS_OK)
        c = window(&n_ctx, f, be, err);
    if (c == AS_OK && be->driver->prepare != NULL)
        c = be->driver->prepare(be, n_ctx, (int)f->max_batch, err);
    o.backend = be;
    o.n_ctx = n_ctx;
    if (c == AS_OK)
        c = sv_run(&o, err);
    be->driver->close(be);
    return c;
}

int cmd_serve(cli_env *env, int argc, char **argv)
{
    serve_flags f = {.host = "127.0.0.1",
                     .port = 8080,
                     .max_connections = 256,
                     .max_batch = 8,
                     .max_queue = 256,
                     .max_body = 16 << 20,
                     .request_seconds = 30,
                     .grace_seconds = 10};
    cli_flag flags[] = {
        CLI_BACKEND_FLAGS(&f.backend),
        cli_text("host", &f.host, "ADDRESS", "where to listen (127.0.0.1); any other wants a key"),
        cli_int("port", &f.port, "N", 0, 65535, "8080; 0: a free one"),
        cli_text("api-key-env", &f.key_env, "NAME",
                 "the environment variable that holds the key clients must send"),
        cli_texts("alias", &f.aliases, "NAME",
                  "what clients may call the model; the first is told them"),
        cli_int("max-batch", &f.max_batch, "N", 1, 64, "prompts worked on at once (8)"),
        cli_int("max-queue", &f.max_queue, "N", 0, 1 << 20,
                "prompts that may wait (256); more get 503"),
        cli_int("max-connections", &f.max_connections, "N", 1, 1 << 16, "256; more get 503"),
        cli_int("max-body", &f.max_body, "BYTES", 1024, 1 << 30, "of one request (16777216)"),
        cli_int("request-timeout", &f.request_seconds, "S", 1, 86400,
                "for a request to arrive whole (30)"),
        cli_int("grace", &f.grace_seconds, "S", 0, 86400,
                "for requests under way when asked to stop (10)"),
    };
    cli_args a = {.usage = "assay serve -m MODEL [flags]",
                  .about = "Serves a model as OpenAI's API does: /v1/chat/completions, "
                           "/v1/completions, /v1/models;\nwith /tokenize, /apply-template, /health "
                           "and /metrics. Prints its address when ready.",
                  .flags = flags,
                  .n_flags = sizeof flags / sizeof flags[0]};
    int code = CLI_OK;
    if (!cli_begin(&a, argc, argv, env, &code))
        return code;
    as_err err = {0};
    if (f.backend.model == NULL)
        (void)as_fail(&err, AS_RANGE, "no model; usage: %s", a.usage);
    else if (serve(&f, env, &err) == AS_OK)
        return CLI_OK;
    return cli_fail(&err);
}
