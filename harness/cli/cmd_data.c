/* cmd_data.c — assay data ls|import|verify: the datasets on this machine. */
#include <string.h>

#include "base/json.h"
#include "cli/cli.h"

static void put_json(as_jw *w, const ds_info *d)
{
    char hex[AS_SHA256_HEX];
    as_sha256_hex(hex, &d->sha256);
    as_jw_begin_object(w);
    as_jw_put_str(w, "name", d->name);
    as_jw_put_str(w, "licence", d->licence);
    as_jw_put_str(w, "revision", d->revision);
    as_jw_put_str(w, "source", d->source);
    as_jw_put_str(w, "imported_at", d->imported_at);
    as_jw_put_z(w, "sha256", hex);
    as_jw_key(w, "splits");
    as_jw_begin_array(w);
    for (int i = 0; i < d->n_splits; i++) {
        const ds_split *s = &d->splits[i];
        as_sha256_hex(hex, &s->sha256);
        as_jw_begin_object(w);
        as_jw_put_str(w, "split", s->name);
        as_jw_put_i64(w, "rows", s->rows);
        as_jw_put_i64(w, "bytes", s->bytes);
        as_jw_put_z(w, "sha256", hex);
        as_jw_end_object(w);
    }
    as_jw_end_array(w);
    as_jw_end_object(w);
}

static void put_text(as_buf *b, const ds_info *d)
{
    char hex[AS_SHA256_HEX];
    as_sha256_hex(hex, &d->sha256);
    (void)as_buf_printf(b, "%-12.*s", AS_ARG(d->name));
    for (int i = 0; i < d->n_splits; i++)
        (void)as_buf_printf(b, " %.*s %lld rows,", AS_ARG(d->splits[i].name),
                            (long long)d->splits[i].rows);
    (void)as_buf_printf(b, " sha256 %.16s…, licence %.*s, imported %.*s\n", hex, AS_ARG(d->licence),
                        AS_ARG(d->imported_at));
}

static as_code print_infos(const ds_info *infos, int n, cli_format format, as_err *err)
{
    as_buf b;
    as_buf_init(&b, 0);
    as_jw w;
    as_jw_init(&w, &b);
    if (format == CLI_JSON)
        as_jw_begin_array(&w);
    for (int i = 0; i < n; i++) {
        if (format == CLI_JSON) {
            put_json(&w, &infos[i]);
        } else if (format == CLI_JSONL) {
            as_jw_init(&w, &b);
            put_json(&w, &infos[i]);
            (void)as_buf_add_byte(&b, '\n');
        } else {
            put_text(&b, &infos[i]);
        }
    }
    if (format == CLI_JSON) {
        as_jw_end_array(&w);
        (void)as_buf_add_byte(&b, '\n');
    }
    return cli_print_buf(&b, err);
}

static int data_ls(cli_env *env, const char *format_name)
{
    as_err err = {0};
    cli_format format;
    ds_info *infos = NULL;
    int n = 0;
    if (cli_format_parse(&format, format_name, &err) != AS_OK ||
        ds_list(env->data_dir, &infos, &n, env->keep, &err) != AS_OK)
        return cli_fail(&err);
    if (n == 0 && format == CLI_TEXT_FORMAT)
        (void)fprintf(stderr,
                      "assay: no datasets in %s yet; `assay data import SUITE FILE…` adds one\n",
                      env->data_dir);
    return print_infos(infos, n, format, &err) == AS_OK ? CLI_OK : cli_fail(&err);
}

static const ds_importer *find_importer(const char *name)
{
    for (const ds_importer *const *i = cli_importers; *i != NULL; i++)
        if (strcmp((*i)->name, name) == 0)
            return *i;
    return NULL;
}

static int data_import(cli_env *env, const char *const *args, int n, const char *format_name)
{
    as_err err = {0};
    cli_format format;
    if (cli_format_parse(&format, format_name, &err) != AS_OK)
        return cli_fail(&err);
    if (n < 2) {
        (void)fprintf(stderr, "assay: usage: assay data import SUITE FILE…\n");
        return CLI_USAGE;
    }
    const ds_importer *importer = find_importer(args[0]);
    if (importer == NULL) {
        (void)fprintf(stderr, "assay: no importer for \"%s\"; there are:", args[0]);
        for (const ds_importer *const *i = cli_importers; *i != NULL; i++)
            (void)fprintf(stderr, " %s", (*i)->name);
        (void)fprintf(stderr, "\n");
        return CLI_USAGE;
    }
    ds_info info;
    if (ds_import(importer, env->data_dir, args + 1, n - 1, &info, env->keep, &err) != AS_OK)
        return cli_fail(&err);
    if (info.notes.n != 0)
        (void)fprintf(stderr, "%.*s\n", AS_ARG(as_str_trim(info.notes)));
    return print_infos(&info, 1, format, &err) == AS_OK ? CLI_OK : cli_fail(&err);
}

static int data_verify(cli_env *env, const char *const *args, int n)
{
    as_err err = {0};
    ds_info *infos = NULL;
    int n_infos = 0;
    if (n == 0) {
        if (ds_list(env->data_dir, &infos, &n_infos, env->keep, &err) != AS_OK)
            return cli_fail(&err);
    }
    int worst = CLI_OK;
    for (int i = 0; i < (n != 0 ? n : n_infos); i++) {
        const char *name = n != 0 ? args[i] : infos[i].name.p;
        if (ds_verify(env->data_dir, name, &err) == AS_OK)
            (void)printf("%s: whole\n", name);
        else
            worst = cli_fail(&err);
    }
    return worst;
}

int cmd_data(cli_env *env, int argc, char **argv)
{
    const char *format = NULL;
    cli_flag flags[] = {
        cli_text("format", &format, "text|json|jsonl", "form of the output"),
    };
    cli_args a = {
        .usage = "assay data ls | import SUITE FILE… | verify [NAME…]",
        .about =
            "Datasets lie under the data folder with a manifest and SHA-256. import reads JSON\n"
            "Lines (plain or gzip'd) and pages of Hugging Face's row service.",
        .flags = flags,
        .n_flags = sizeof flags / sizeof flags[0],
        .min_rest = 1,
        .max_rest = 4096,
    };
    int code = CLI_OK;
    if (!cli_begin(&a, argc, argv, env, &code))
        return code;
    if (strcmp(a.rest[0], "ls") == 0)
        return data_ls(env, format);
    if (strcmp(a.rest[0], "import") == 0)
        return data_import(env, a.rest + 1, a.n_rest - 1, format);
    if (strcmp(a.rest[0], "verify") == 0)
        return data_verify(env, a.rest + 1, a.n_rest - 1);
    (void)fprintf(stderr, "assay: usage: %s\n", a.usage);
    return CLI_USAGE;
}
