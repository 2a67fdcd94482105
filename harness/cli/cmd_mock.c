/* cmd_mock.c — assay mock: a scripted server for tests of clients. */
#include <string.h>

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

/* "7" or "whole"; NULL: as the script says. */
static as_code read_chunk(const char *text, int64_t *bytes, as_err *err)
{
    *bytes = text == NULL ? 0 : -1;
    if (text == NULL || strcmp(text, "whole") == 0 ||
        as_parse_i64(as_str_of(text), 1, 1 << 30, bytes))
        return AS_OK;
    return as_fail(err, AS_RANGE, "--chunk %s: want a number of bytes from 1 on, or whole", text);
}

int cmd_mock(cli_env *env, int argc, char **argv)
{
    const char *host = "127.0.0.1", *chunk = NULL;
    int64_t port = 0, piece_bytes = 0;
    cli_flag flags[] = {
        cli_int("port", &port, "N", 0, 65535, "0 (default): a free one"),
        cli_text("host", &host, "ADDRESS", "where to listen (127.0.0.1)"),
        cli_text("chunk", &chunk, "N|whole", "bytes a write, instead of what the rules say"),
    };
    cli_args a = {.usage = "assay mock SCRIPT.json [--port N] [--host ADDRESS] [--chunk N]",
                  .about = mk_format,
                  .flags = flags,
                  .n_flags = sizeof flags / sizeof flags[0],
                  .min_rest = 1,
                  .max_rest = 1};
    int code = CLI_OK;
    if (!cli_begin(&a, argc, argv, env, &code))
        return code;
    as_err err = {0};
    if (read_chunk(chunk, &piece_bytes, &err) != AS_OK)
        return cli_fail(&err);
    const mk_options options = {.path = a.rest[0],
                                .host = host,
                                .port = (int)port,
                                .piece_bytes = piece_bytes,
                                .log = &env->log,
                                .stop = env->cancel,
                                .on_ready = on_ready};
    return mk_run(&options, &err) == AS_OK ? CLI_OK : cli_fail(&err);
}
