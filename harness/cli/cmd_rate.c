/* cmd_rate.c — assay rate: Codeforces and Arena ratings, of runs and of given outcomes. */
#include <string.h>

#include "cli/cli.h"
#include "cli/rate.h"

enum { MAX_RUNS = 200 };

int cmd_rate(cli_env *env, int argc, char **argv)
{
    const char *cases = NULL;
    const char *db = NULL;
    const char *format = NULL;
    cli_flag flags[] = {
        cli_text("cases", &cases, "FILE", "a JSON array of outcomes to rate"),
        cli_text("db", &db, "FILE", "database"),
        cli_text("format", &format, "text|json", "form of the result, for runs"),
    };
    cli_args a = {
        .usage = "assay rate RUN… | codeforces --cases FILE.json | arena --cases FILE.json",
        .about = "One run: its Codeforces rating, by the expected rank in the contests (CodeElo) "
                 "and by\n"
                 "the problems' ratings. Several runs: Bradley-Terry over the items they share.\n"
                 "codeforces: {\"standings\": [[points, penalty, rating], …], \"score\", "
                 "\"penalty\"} gives\n"
                 "rank and rating; {\"difficulty\": […], \"solved\": […]} the likeliest rating, "
                 "and that\n"
                 "with the prior N(1500, 400²). arena: {\"models\", \"battles\": [{\"a\", \"b\", "
                 "\"outcome\",\n"
                 "\"count\"}]} gives Bradley-Terry ratings. Prints a JSON array in the same order.",
        .flags = flags,
        .n_flags = sizeof flags / sizeof flags[0],
        .min_rest = 1,
        .max_rest = MAX_RUNS,
    };
    int code = CLI_OK;
    if (!cli_begin(&a, argc, argv, env, &code))
        return code;
    as_err err = {0};
    const bool is_arena = strcmp(a.rest[0], "arena") == 0;
    const bool is_cases = is_arena || strcmp(a.rest[0], "codeforces") == 0;
    if (is_cases && (cases == NULL || a.n_rest != 1))
        (void)as_fail(&err, AS_RANGE, "usage: assay rate %s --cases FILE.json", a.rest[0]);
    else if (is_cases)
        (void)cli_rate_cases(cases, is_arena, &err);
    else if (cases != NULL)
        (void)as_fail(&err, AS_RANGE, "rate %s --cases: want codeforces or arena", a.rest[0]);
    else
        (void)cli_rate_runs(a.rest, a.n_rest, db, format, env, &err);
    return err.code == AS_OK ? CLI_OK : cli_fail(&err);
}
