/* cmd_db.c — assay db check|export: is the database whole, and out of it with everything. */
#include <string.h>

#include "cli/cli.h"
#include "cli/output.h"
#include "store/query.h"

static as_code write_line(void *user, as_str line, as_err *err)
{
    FILE *to = user;
    if (fwrite(line.p, 1, line.n, to) != line.n || fputc('\n', to) == EOF)
        return as_fail_sys(err, "standard output");
    return AS_OK;
}

static as_code check(db_store *db, const char *path, as_err *err)
{
    as_buf report;
    as_buf_init(&report, 0);
    const as_code c = db_check(db, &report, err);
    (void)cli_print(as_buf_str(&report), NULL);
    as_buf_release(&report);
    return c == AS_OK ? AS_OK : as_wrap(err, "%s", path);
}

int cmd_db(cli_env *env, int argc, char **argv)
{
    const char *db_flag = NULL;
    bool without_times = false;
    cli_flag flags[] = {
        cli_text("db", &db_flag, "FILE", "database"),
        cli_bool("without-times", &without_times,
                 "export: leave out clocks, durations, memory and command lines, to compare"),
    };
    cli_args a = {.usage = "assay db check | export [--without-times] [--db FILE]",
                  .about =
                      "check: integrity, references, and that every answer has its score; a file "
                      "of an older\nprogram is brought up to date.\n"
                      "export: every row as a JSON object, one a line.",
                  .flags = flags,
                  .n_flags = sizeof flags / sizeof flags[0],
                  .min_rest = 1,
                  .max_rest = 1};
    int code = CLI_OK;
    if (!cli_begin(&a, argc, argv, env, &code))
        return code;
    const bool is_check = strcmp(a.rest[0], "check") == 0;
    if (!is_check && strcmp(a.rest[0], "export") != 0) {
        (void)fprintf(stderr, "assay: usage: %s\n", a.usage);
        return CLI_USAGE;
    }
    as_err err = {0};
    const char *path = NULL;
    db_store *db = NULL;
    as_code c = cli_open_db(&db, &path, db_flag, DB_READ, env, &err);
    if (c == AS_UNSUPPORTED && is_check) /* an older schema: writing brings it up to date */
        c = cli_open_db(&db, &path, db_flag, DB_WRITE, env, &err);
    if (c == AS_OK)
        c = is_check ? check(db, path, &err)
                     : db_export(db, without_times, write_line, stdout, &err);
    if (c == AS_OK && fflush(stdout) != 0)
        c = as_fail_sys(&err, "standard output");
    db_close(db);
    return c == AS_OK ? CLI_OK : cli_fail(&err);
}
