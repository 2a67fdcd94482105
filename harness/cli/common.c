#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "cli/cli.h"

int cli_fail(const as_err *err)
{
    (void)fprintf(stderr, "assay: %s\n", err->text[0] != '\0' ? err->text : "unknown error");
    switch (err->code) {
    case AS_OK:
        return CLI_OK;
    case AS_INTEGRITY:
        return CLI_INTEGRITY;
    case AS_TIMEOUT:
    case AS_NOMEM:
        return CLI_UNREACHABLE;
    case AS_IO:
        /* A machine that has no room left is not the user's mistake; a wrong path is. */
        return err->sys == ENOSPC || err->sys == EDQUOT || err->sys == EIO ? CLI_UNREACHABLE
                                                                           : CLI_USAGE;
    case AS_CANCELLED:
        return CLI_INTERRUPTED;
    case AS_PARSE:
    case AS_RANGE:
    case AS_UNSUPPORTED:
    case AS_BUG:
        break;
    }
    return CLI_USAGE;
}

bool cli_begin(cli_args *a, int argc, char **argv, cli_env *env, int *code)
{
    as_err err = {0};
    if (cli_parse(a, argc, argv, env->keep, &err) != AS_OK) {
        *code = cli_fail(&err);
        return false;
    }
    if (!a->want_help)
        return true;
    as_buf text;
    as_buf_init(&text, 0);
    cli_help(a, &text);
    *code = cli_print(as_buf_str(&text), &err) == AS_OK ? CLI_OK : cli_fail(&err);
    as_buf_release(&text);
    return false;
}

void cli_warn_unsafe(void)
{
    if (geteuid() == 0)
        return; /* it will be refused */
    (void)fputs("assay: warning: no sandbox: model-written code runs with your rights and can "
                "read, change and send whatever you can\n",
                stderr);
}

as_code cli_print(as_str text, as_err *err)
{
    if (fwrite(text.p, 1, text.n, stdout) != text.n || fflush(stdout) != 0)
        return as_fail_sys(err, "standard output");
    return AS_OK;
}

as_code cli_print_buf(as_buf *b, as_err *err)
{
    as_code c = as_buf_ok(b, err);
    if (c == AS_OK)
        c = cli_print(as_buf_str(b), err);
    as_buf_release(b);
    return c;
}

as_code cli_format_parse(cli_format *out, const char *name, as_err *err)
{
    static const char *const names[] = {"text", "md", "csv", "json", "jsonl"};
    *out = CLI_TEXT_FORMAT;
    if (name == NULL)
        return AS_OK;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(name, names[i]) == 0) {
            *out = (cli_format)i;
            return AS_OK;
        }
    return as_fail(err, AS_RANGE, "--format %s: want text, md, csv, json or jsonl", name);
}

/* A file as given, or the name of a fetched model. */
static as_code find_model_file(as_str *out, as_str name, const cli_env *env, as_err *err)
{
    const as_str path = as_arena_str(env->keep, name);
    if (!as_str_is_set(path))
        return as_nomem(err);
    *out = path;
    if (as_file_exists(path.p) || as_str_find(path, AS_STR("/")) != SIZE_MAX)
        return AS_OK;
    const char *fetched = as_path_join(env->keep, env->models_dir, path.p);
    const as_str file = as_arena_printf(env->keep, "%s.gguf", fetched != NULL ? fetched : "");
    if (fetched == NULL || !as_str_is_set(file))
        return as_nomem(err);
    if (as_file_exists(file.p))
        *out = file;
    return AS_OK;
}

static const be_driver *find_driver(as_str scheme)
{
    for (const be_driver *const *d = cli_backends; *d != NULL; d++)
        if (as_str_eq_z(scheme, (*d)->scheme))
            return *d;
    return NULL;
}

static as_code unknown_model(const char *text, as_err *err)
{
    as_buf known;
    as_buf_init(&known, 1024);
    for (const be_driver *const *d = cli_backends; *d != NULL; d++)
        (void)as_buf_printf(&known, " %s:", (*d)->scheme);
    const as_code c = as_fail(err, AS_RANGE,
                              "-m %s: no such file, no fetched model of that name, and no scheme "
                              "among%s",
                              text, known.p);
    as_buf_release(&known);
    return c;
}

as_code cli_model_parse(cli_model *out, const char *text, const cli_env *env, as_err *err)
{
    *out = (cli_model){0};
    as_str scheme, name;
    const bool has_scheme = as_str_cut(as_str_of(text), ':', &scheme, &name);
    out->driver = has_scheme ? find_driver(scheme) : NULL;
    if (out->driver == NULL) {
        out->driver = find_driver(AS_STR("engine"));
        name = as_str_of(text);
        AS_TRY(find_model_file(&out->name, name, env, err));
        if (!as_file_exists(out->name.p))
            return unknown_model(text, err);
    } else if (as_str_eq_z(scheme, "engine")) {
        AS_TRY(find_model_file(&out->name, name, env, err));
    } else {
        out->name = as_arena_str(env->keep, name);
        if (!as_str_is_set(out->name))
            return as_nomem(err);
    }
    out->spec = as_arena_printf(env->keep, "%s:%s", out->driver->scheme, as_path_base(out->name.p));
    return as_str_is_set(out->spec) ? AS_OK : as_nomem(err);
}

as_code cli_model_file(const char **out, const char *text, const cli_env *env, as_err *err)
{
    cli_model model;
    AS_TRY(cli_model_parse(&model, text, env, err));
    if (strcmp(model.driver->scheme, "engine") != 0)
        return as_fail(err, AS_RANGE, "%s: this command wants a model file for the built-in engine",
                       text);
    *out = model.name.p;
    return AS_OK;
}
