/* cmd_mock.c — assay mock: a scripted server for tests of clients. */
#include "cli/cli.h"
#include "serve/mock.h"

static void on_ready(void *user, const char *host, int port)
{
    (void)user;
    char text[128];
    const bool is_v6 = as_str_find(as_str_of(host), AS_STR(":")) != SIZE_MAX;
    (void)snprintf(text, sizeof text, is_v6 ? "http://[%s]:%d\n" : "http://%s:%d\n", host, port);
    (void)cli_print(as_str_of(text), NULL);
}

int cmd_mock(cli_env *env, int argc, char **argv)
{
    const char *host = "127.0.0.1";
    int64_t port = 0;
    cli_flag flags[] = {
        cli_int("port", &port, "N", 0, 65535, "0 (default): a free one"),
        cli_text("host", &host, "ADDRESS", "where to listen (127.0.0.1)"),
    };
    cli_args a = {.usage = "assay mock SCRIPT.json [--port N] [--host ADDRESS]",
                  .about = mk_format,
                  .flags = flags,
                  .n_flags = sizeof flags / sizeof flags[0],
                  .min_rest = 1,
                  .max_rest = 1};
    int code = CLI_OK;
    if (!cli_begin(&a, argc, argv, env, &code))
        return code;
    as_err err = {0};
    const mk_options options = {.path = a.rest[0],
                                .host = host,
                                .port = (int)port,
                                .log = &env->log,
                                .stop = env->cancel,
                                .on_ready = on_ready};
    return mk_run(&options, &err) == AS_OK ? CLI_OK : cli_fail(&err);
}
