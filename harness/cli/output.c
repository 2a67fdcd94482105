#include "cli/output.h"

#include "base/io.h"
#include "reports/summary.h"
#include "store/query.h"

as_code cli_open_db(db_store **out, const char **path, const char *flag, db_mode mode,
                    const cli_env *env, as_err *err)
{
    *path = flag != NULL ? flag : env->db_path;
    if (flag == NULL && !as_file_exists(*path))
        return as_fail(err, AS_RANGE,
                       "no database at %s yet: `assay run` makes one, --db names another", *path);
    return db_open(out, *path, mode, &env->log, err);
}

as_code cli_output_run(db_store *db, const char *db_path, int64_t run_id, cli_format format,
                       cli_env *env, as_err *err)
{
    const as_str which = as_arena_printf(env->keep, "%lld", (long long)run_id);
    if (!as_str_is_set(which))
        return as_nomem(err);
    db_run_row run;
    AS_TRY(db_run_find(db, which, &run, env->keep, err));
    as_buf b;
    as_buf_init(&b, 0);
    as_code c = AS_OK;
    if (format == CLI_JSON || format == CLI_JSONL) {
        c = rp_run_json(&run, as_str_of(db_path), &b, err);
        if (c == AS_OK)
            c = as_buf_add_byte(&b, '\n');
    } else {
        c = rp_run_summary(&run, cli_table_format(format), &b, err);
    }
    if (c == AS_OK)
        c = cli_print(as_buf_str(&b), err);
    as_buf_release(&b);
    return c;
}

rp_format cli_table_format(cli_format format)
{
    return format == CLI_MD ? RP_MARKDOWN : format == CLI_CSV ? RP_CSV : RP_TEXT;
}
