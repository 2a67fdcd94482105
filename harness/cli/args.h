#ifndef CLI_ARGS_H
#define CLI_ARGS_H
/*
 * args.h — command lines from tables.
 *
 * A command is a table of flags, each with a place for its value. Long flags take "-" and "_"
 * alike, "--flag value" and "--flag=value"; short ones "-L 5" and "-L5". "--" ends the flags. A
 * list flag may be given several times and splits at commas. --help prints the table.
 *
 * --config   cli_parse_config fills flags that the command line left alone from a JSON object whose
 *            keys are the long names ("max-tokens" or "max_tokens").
 * Errors     AS_RANGE naming the flag and what it wants.
 * Ownership  values point into argv or the arena.
 */
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

enum { CLI_MAX_LIST = 256 };

typedef struct cli_list {
    as_str item[CLI_MAX_LIST];
    int n;
} cli_list;

typedef enum cli_kind { CLI_BOOL, CLI_TEXT, CLI_INT, CLI_REAL, CLI_LIST } cli_kind;

typedef struct cli_flag {
    const char *name; /* long name with "-" */
    char letter;      /* 0: none */
    cli_kind kind;
    void *value;       /* bool *, const char **, int64_t *, double *, cli_list * */
    const char *shown; /* "N", "FILE"; NULL for CLI_BOOL */
    const char *help;
    int64_t min, max;  /* CLI_INT */
    bool is_set;       /* filled while parsing */
    const char *alias; /* a second long name, or NULL */
} cli_flag;

typedef struct cli_args {
    const char *usage; /* "assay run -m MODEL -t SUITES [flags]" */
    const char *about; /* a few lines */
    cli_flag *flags;
    int n_flags;
    const char **rest; /* positional arguments, filled; room for argc */
    int n_rest;
    int min_rest, max_rest;
    bool want_help;
} cli_args;

/* Rows of the table; the value keeps what it has where the flag is not given. */
cli_flag cli_bool(const char *name, bool *value, const char *help);
cli_flag cli_text(const char *name, const char **value, const char *shown, const char *help);
cli_flag cli_texts(const char *name, cli_list *value, const char *shown, const char *help);
cli_flag cli_int(const char *name, int64_t *value, const char *shown, int64_t min, int64_t max,
                 const char *help);
cli_flag cli_real(const char *name, double *value, const char *shown, const char *help);
/* The row with a letter, with a second name. */
cli_flag cli_short(char letter, cli_flag f);
cli_flag cli_alias(const char *name, cli_flag f);

/* argv[0] is the command's name. */
as_code cli_parse(cli_args *a, int argc, char **argv, as_arena *keep, as_err *err);
as_code cli_parse_config(cli_args *a, const char *path, as_arena *keep, as_err *err);
void cli_help(const cli_args *a, as_buf *out);

#endif
