#ifndef CLI_OUTPUT_H
#define CLI_OUTPUT_H
/* output.h — a finished run on standard output, in the form asked for. */
#include "cli/cli.h"
#include "reports/table.h"

/* csv → RP_CSV, md → RP_MARKDOWN, anything else → RP_TEXT. */
rp_format cli_table_format(cli_format format);

as_code cli_output_run(db_store *db, const char *db_path, int64_t run_id, cli_format format,
                       cli_env *env, as_err *err);
/* Opens the database that --db names, or the default one, for reading or writing. */
as_code cli_open_db(db_store **out, const char **path, const char *flag, db_mode mode,
                    const cli_env *env, as_err *err);

#endif
