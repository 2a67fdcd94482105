/* cmd_ls.c — assay ls [runs|suites|scorers|backends]: what is in the store and in the program. */
#include <string.h>

#include "base/json.h"
#include "cli/output.h"
#include "reports/summary.h"
#include "store/query.h"

static as_code ls_runs(const char *db_flag, cli_format format, cli_env *env, as_buf *b, as_err *err)
{
    db_store *db = NULL;
    const char *path = NULL;
    db_run_row *rows = NULL;
    int n = 0;
    AS_TRY(cli_open_db(&db, &path, db_flag, DB_READ, env, err));
    as_code c = db_runs(db, &rows, &n, env->keep, err);
    if (c == AS_OK && (format == CLI_JSON || format == CLI_JSONL)) {
        c = rp_runs_json(rows, n, as_str_of(path), b, err);
        (void)as_buf_add_byte(b, '\n');
    } else if (c == AS_OK) {
        c = rp_runs_table(rows, n, cli_table_format(format), b, err);
    }
    db_close(db);
    return c;
}

static void put_protocol(as_jw *w, const su_suite *s, const su_protocol *p)
{
    as_jw_begin_object(w);
    as_jw_put_z(w, "suite", s->name);
    as_jw_put_z(w, "protocol", p->id);
    as_jw_put_z(w, "title", p->title);
    as_jw_put_z(w, "source", p->source);
    as_jw_put_z(w, "scorer", p->scorer);
    as_jw_put_bool(w, "chat", p->is_chat);
    as_jw_put_i64(w, "n_shot", p->n_shot);
    as_jw_put_i64(w, "repeats", p->repeats);
    as_jw_put_i64(w, "max_tokens", p->max_tokens);
    as_jw_end_object(w);
}

static void ls_suites(cli_format format, as_buf *b)
{
    as_jw w;
    as_jw_init(&w, b);
    const bool is_json = format == CLI_JSON || format == CLI_JSONL;
    if (is_json)
        as_jw_begin_array(&w);
    for (const su_suite *const *s = cli_suites; *s != NULL; s++) {
        if (!is_json)
            (void)as_buf_printf(b, "%s  %s\n", (*s)->name, (*s)->title);
        for (int i = 0; i < (*s)->n_protocols; i++) {
            const su_protocol *p = &(*s)->protocols[i];
            char name[96];
            (void)snprintf(name, sizeof name, "%s:%s", (*s)->name, p->id);
            if (is_json)
                put_protocol(&w, *s, p);
            else
                (void)as_buf_printf(b, "  %-28s %s%s\n", name, p->title,
                                    i == 0 ? " (default)" : "");
        }
    }
    if (is_json) {
        as_jw_end_array(&w);
        (void)as_buf_add_byte(b, '\n');
    } else {
        (void)as_buf_add_z(b, "smoke  both smoke suites with their default protocols\n");
    }
}

static void ls_scorers(as_buf *b)
{
    for (const sc_scorer *const *s = cli_scorers; *s != NULL; s++)
        (void)as_buf_printf(b, "%-24s version %d\n", (*s)->name, (*s)->version);
}

static void ls_backends(as_buf *b)
{
    for (const be_driver *const *d = cli_backends; *d != NULL; d++)
        (void)as_buf_printf(b, "%-10s %s\n", (*d)->scheme, (*d)->title);
}

int cmd_ls(cli_env *env, int argc, char **argv)
{
    const char *db_flag = NULL;
    const char *format_name = NULL;
    cli_flag flags[] = {
        cli_text("db", &db_flag, "FILE", "database"),
        cli_text("format", &format_name, "text|md|csv|json", "form of the output"),
    };
    cli_args a = {.usage = "assay ls [runs | suites | scorers | backends] [flags]",
                  .about = "Lists runs, newest first (default), or what this program knows.",
                  .flags = flags,
                  .n_flags = sizeof flags / sizeof flags[0],
                  .max_rest = 1};
    int code = CLI_OK;
    if (!cli_begin(&a, argc, argv, env, &code))
        return code;
    as_err err = {0};
    cli_format format;
    as_buf b;
    as_buf_init(&b, 0);
    const char *what = a.n_rest != 0 ? a.rest[0] : "runs";
    as_code c = cli_format_parse(&format, format_name, &err);
    if (c == AS_OK && strcmp(what, "runs") == 0)
        c = ls_runs(db_flag, format, env, &b, &err);
    else if (c == AS_OK && strcmp(what, "suites") == 0)
        ls_suites(format, &b);
    else if (c == AS_OK && strcmp(what, "scorers") == 0)
        ls_scorers(&b);
    else if (c == AS_OK && strcmp(what, "backends") == 0)
        ls_backends(&b);
    else if (c == AS_OK)
        c = as_fail(&err, AS_RANGE, "ls %s: want runs, suites, scorers or backends", what);
    if (c == AS_OK)
        c = cli_print(as_buf_str(&b), &err);
    as_buf_release(&b);
    return c == AS_OK ? CLI_OK : cli_fail(&err);
}
