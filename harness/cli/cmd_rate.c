/* cmd_rate.c — assay rate: Codeforces and Arena ratings. */
#include <string.h>

#include "cli/cli.h"
#include "cli/rate.h"

int cmd_rate(cli_env *env, int argc, char **argv)
{
    const char *cases = NULL;
    cli_flag flags[] = {
        {.name = "cases",
         .kind = CLI_TEXT,
         .value = &cases,
         .shown = "FILE",
         .help = "a JSON array of outcomes to rate"},
    };
    cli_args a = {
        .usage = "assay rate codeforces|arena --cases FILE.json",
        .about = "codeforces: {\"standings\": [[points, penalty, rating], …], \"score\", "
                 "\"penalty\"} gives the\n"
                 "rating at which the expected rank is the rank reached (CodeElo); "
                 "{\"difficulty\": […],\n"
                 "\"solved\": […]} the likeliest rating, and that with the prior N(1500, 400²).\n"
                 "arena: {\"models\", \"battles\": [{\"a\", \"b\", \"outcome\", \"count\"}]} gives "
                 "Bradley–Terry\n"
                 "ratings. Prints a JSON array in the same order.",
        .flags = flags,
        .n_flags = sizeof flags / sizeof flags[0],
        .min_rest = 1,
        .max_rest = 1,
    };
    int code = CLI_OK;
    if (!cli_begin(&a, argc, argv, env, &code))
        return code;
    as_err err = {0};
    const bool is_arena = strcmp(a.rest[0], "arena") == 0;
    if (!is_arena && strcmp(a.rest[0], "codeforces") != 0)
        (void)as_fail(&err, AS_RANGE, "rate %s: want codeforces or arena", a.rest[0]);
    else if (cases == NULL)
        (void)as_fail(&err, AS_RANGE, "usage: %s", a.usage);
    else
        (void)cli_rate_cases(cases, is_arena, &err);
    return err.code == AS_OK ? CLI_OK : cli_fail(&err);
}
