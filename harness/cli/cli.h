#ifndef CLI_CLI_H
#define CLI_CLI_H
/*
 * cli.h — what the commands share: where things lie, how a command ends, opening models.
 *
 * Exit codes  0 pass · 1 regression proven or gate failed · 2 usage, configuration or bad input ·
 *             3 incomplete · 4 inconclusive · 5 backend or environment unreachable · 6 data
 *             integrity · 130 interrupted, resumable.
 * Output      results go to standard output, everything else to standard error.
 */
#include <signal.h>
#include <stdio.h>

#include "backend/backend.h"
#include "base/arena.h"
#include "base/err.h"
#include "base/log.h"
#include "cli/args.h"
#include "datasets/dataset.h"
#include "scorers/scorer.h"
#include "store/store.h"
#include "suites/suite.h"

enum {
    CLI_OK = 0,
    CLI_USAGE = 2,
    CLI_INCOMPLETE = 3,
    CLI_INCONCLUSIVE = 4,
    CLI_UNREACHABLE = 5,
    CLI_INTEGRITY = 6,
    CLI_INTERRUPTED = 130,
};

/* Made once by main from the environment; paths are NUL-terminated and may not exist yet. */
typedef struct cli_env {
    const char *data_dir;    /* datasets */
    const char *models_dir;  /* what get-model fetched */
    const char *cache_dir;   /* hashes, rebuilt when lost */
    const char *db_path;     /* the default database */
    const char *reports_dir; /* where `assay report` writes by default */
    as_log log;
    as_arena *keep;                       /* lives as long as the program */
    const char *(*env)(const char *name); /* the environment, for the keys of servers */
    const volatile sig_atomic_t *cancel;
    const char *(*variable)(const char *name); /* of the environment; NULL: not set */
    int argc;                                  /* the whole command line, for provenance */
    char **argv;
} cli_env;

typedef struct cli_command {
    const char *name;
    const char *about;
    int (*run)(cli_env *env, int argc, char **argv); /* argv[0]: the command's name */
} cli_command;

/* registry.c: what this program can do. All NULL-terminated; the commands end with a NULL name. */
extern const cli_command cli_commands[];
extern const su_suite *const cli_suites[];
extern const sc_scorer *const cli_scorers[];
extern const be_driver *const cli_backends[];
extern const ds_importer *const cli_importers[];

/* One sentence on standard error; returns the exit code that fits the error. */
int cli_fail(const as_err *err);
/* Parses; prints --help or the error. True if the command should go on, else *code is its exit. */
bool cli_begin(cli_args *a, int argc, char **argv, cli_env *env, int *code);

/* Writes bytes to standard output; fails if that is closed or full. */
as_code cli_print(as_str text, as_err *err);
/* The same with what b holds, unless it was too full; releases b. */
as_code cli_print_buf(as_buf *b, as_err *err);

/* Flags of commands that judge programs. */
#define CLI_SANDBOX_FLAGS(n_slots, is_unsafe)                                                      \
    cli_int("max-sandboxes", (n_slots), "N", 1, 64,                                                \
            "programs judged at once (default: one a processor)"),                                 \
        cli_bool("unsafe-no-sandbox", (is_unsafe),                                                 \
                 "run programs without a sandbox: they get your rights; refused for root")
/* What --unsafe-no-sandbox says on every start. */
void cli_warn_unsafe(void);

typedef enum cli_format {
    CLI_TEXT_FORMAT,
    CLI_MD,
    CLI_CSV,
    CLI_JSON,
    CLI_JSONL,
} cli_format;

/* name NULL: text. */
as_code cli_format_parse(cli_format *out, const char *name, as_err *err);

/* "FILE.gguf", "scheme:name" or the name of a fetched model → driver and what stands behind the
 * scheme. spec: "scheme:base-name", the form that is stored. */
typedef struct cli_model {
    const be_driver *driver;
    as_str name; /* NUL-terminated */
    as_str spec;
} cli_model;

as_code cli_model_parse(cli_model *out, const char *text, const cli_env *env, as_err *err);
/* The file behind a model argument of `assay model …`: engine models only. */
as_code cli_model_file(const char **out, const char *text, const cli_env *env, as_err *err);

/* provenance.c: JSON for the store's host and build rows, and the command line without secrets. */
as_str cli_host_json(as_arena *keep);
as_str cli_build_json(as_arena *keep);
as_str cli_argv_text(const cli_env *env);
const char *cli_version(void);

int cmd_run(cli_env *env, int argc, char **argv);
int cmd_score(cli_env *env, int argc, char **argv);
int cmd_ls(cli_env *env, int argc, char **argv);
int cmd_show(cli_env *env, int argc, char **argv);
int cmd_rate(cli_env *env, int argc, char **argv);
int cmd_report(cli_env *env, int argc, char **argv);
int cmd_db(cli_env *env, int argc, char **argv);
int cmd_data(cli_env *env, int argc, char **argv);
int cmd_model(cli_env *env, int argc, char **argv);
int cmd_loglikelihood(cli_env *env, int argc, char **argv);
int cmd_mock(cli_env *env, int argc, char **argv);
int cmd_serve(cli_env *env, int argc, char **argv);
int cmd_grade(cli_env *env, int argc, char **argv);
int cmd_exec(cli_env *env, int argc, char **argv);
int cmd_doctor(cli_env *env, int argc, char **argv);

#endif
