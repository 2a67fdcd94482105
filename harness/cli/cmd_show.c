/* cmd_show.c — assay show RUN [SAMPLE]: a run's tables, its samples, or one sample with its texts.
 */
#include <string.h>

#include "cli/output.h"
#include "reports/samples.h"
#include "store/query.h"

static as_code write_line(void *user, as_str line, as_err *err)
{
    FILE *to = user;
    if (fwrite(line.p, 1, line.n, to) != line.n || fputc('\n', to) == EOF)
        return as_fail_sys(err, "standard output");
    return AS_OK;
}

typedef struct show_flags {
    const char *db, *format;
    bool samples, text;
} show_flags;

static as_code show_sample(db_store *db, const db_run_row *run, const char *item, as_err *err)
{
    as_buf b;
    as_buf_init(&b, 0);
    as_code c = rp_sample_text(db, run, as_str_of(item), &b, err);
    if (c == AS_OK)
        c = cli_print(as_buf_str(&b), err);
    as_buf_release(&b);
    return c;
}

static as_code show(db_store *db, const char *path, const cli_args *a, const show_flags *f,
                    cli_env *env, as_err *err)
{
    cli_format format;
    AS_TRY(cli_format_parse(&format, f->format, err));
    db_run_row run;
    AS_TRY(db_run_find(db, as_str_of(a->rest[0]), &run, env->keep, err));
    if (a->n_rest == 2)
        return show_sample(db, &run, a->rest[1], err);
    if (!f->samples)
        return cli_output_run(db, path, run.id, format, env, err);
    AS_TRY(rp_samples_jsonl(db, &run, f->text, write_line, stdout, err));
    return fflush(stdout) == 0 ? AS_OK : as_fail_sys(err, "standard output");
}

int cmd_show(cli_env *env, int argc, char **argv)
{
    show_flags f = {0};
    cli_flag flags[] = {
        cli_bool("samples", &f.samples, "one JSON object per answer"),
        cli_bool("text", &f.text, "with --samples: prompt, reasoning and answer too"),
        cli_text("format", &f.format, "text|md|csv|json|jsonl",
                 "form of the tables; samples are JSON lines"),
        cli_text("db", &f.db, "FILE", "database"),
    };
    cli_args a = {.usage = "assay show RUN [SAMPLE] [flags]",
                  .about = "RUN: its number, the start of its id, or \"last\". With SAMPLE (an "
                           "item's id): what was asked\nand answered.",
                  .flags = flags,
                  .n_flags = sizeof flags / sizeof flags[0],
                  .min_rest = 1,
                  .max_rest = 2};
    int code = CLI_OK;
    if (!cli_begin(&a, argc, argv, env, &code))
        return code;
    as_err err = {0};
    db_store *db = NULL;
    const char *path = NULL;
    as_code c = cli_open_db(&db, &path, f.db, DB_READ, env, &err);
    if (c == AS_OK)
        c = show(db, path, &a, &f, env, &err);
    db_close(db);
    return c == AS_OK ? CLI_OK : cli_fail(&err);
}
