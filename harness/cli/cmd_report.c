/* cmd_report.c — assay report RUN…: tables, CSV and pictures in a folder. */
#include <string.h>

#include "base/io.h"
#include "cli/output.h"
#include "reports/report.h"
#include "store/query.h"

static as_code write_report(db_store *db, const cli_args *a, const char *folder, cli_env *env,
                            as_err *err)
{
    db_run_row *runs = as_new(env->keep, db_run_row, a->n_rest);
    if (runs == NULL)
        return as_nomem(err);
    for (int i = 0; i < a->n_rest; i++)
        AS_TRY(db_run_find(db, as_str_of(a->rest[i]), &runs[i], env->keep, err));
    if (folder == NULL) {
        const as_str name = as_arena_printf(env->keep, "run-%lld%s", (long long)runs[0].id,
                                            a->n_rest > 1 ? "-and-others" : "");
        folder = as_str_is_set(name) ? as_path_join(env->keep, env->reports_dir, name.p) : NULL;
        if (folder == NULL)
            return as_nomem(err);
    }
    AS_TRY(as_make_dirs(folder, err));
    rp_files files;
    AS_TRY(rp_write(db, runs, a->n_rest, folder, &files, env->keep, err));
    for (int i = 0; i < files.n; i++)
        (void)printf("%s\n", files.paths[i]);
    return fflush(stdout) == 0 ? AS_OK : as_fail_sys(err, "standard output");
}

int cmd_report(cli_env *env, int argc, char **argv)
{
    const char *db_flag = NULL;
    const char *folder = NULL;
    cli_flag flags[] = {
        cli_short('o', cli_text("out", &folder, "FOLDER",
                                "where to write (default: reports/ in the data folder)")),
        cli_text("db", &db_flag, "FILE", "database"),
    };
    cli_args a = {.usage = "assay report RUN… [flags]",
                  .about = "Writes tables (text, Markdown, CSV) and one picture per suite with its "
                           "data and script;\nprints the names of the files.",
                  .flags = flags,
                  .n_flags = sizeof flags / sizeof flags[0],
                  .min_rest = 1,
                  .max_rest = 64};
    int code = CLI_OK;
    if (!cli_begin(&a, argc, argv, env, &code))
        return code;
    as_err err = {0};
    db_store *db = NULL;
    const char *path = NULL;
    as_code c = cli_open_db(&db, &path, db_flag, DB_READ, env, &err);
    if (c == AS_OK)
        c = write_report(db, &a, folder, env, &err);
    db_close(db);
    return c == AS_OK ? CLI_OK : cli_fail(&err);
}
