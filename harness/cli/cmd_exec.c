/* cmd_exec.c — assay exec: judge programs in the sandbox, one with its tests or a whole manifest. */
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/json.h"
#include "cli/cli.h"
#include "cli/exec.h"

static as_code parse_language(sb_language *out, const char *name, as_err *err)
{
    if (name != NULL && (strcmp(name, "python") == 0 || strcmp(name, "cpp") == 0)) {
        *out = strcmp(name, "cpp") == 0 ? SB_CPP : SB_PYTHON;
        return AS_OK;
    }
    return as_fail(err, AS_RANGE, "--language %s: want python or cpp",
                   name != NULL ? name : "(none)");
}

static as_code read_source(as_str *out, const char *path, as_arena *keep, as_err *err)
{
    as_buf b;
    as_buf_init(&b, SB_MAX_CODE);
    as_code c = as_read_file(&b, path, err);
    if (c == AS_OK) {
        *out = as_arena_str(keep, as_buf_str(&b));
        c = as_str_is_set(*out) ? AS_OK : as_nomem(err);
    }
    as_buf_release(&b);
    return c;
}

static as_code judge_one(sb_pool *pool, const char *source, const char *tests, sb_language language,
                         bool all, cli_env *env, as_err *err)
{
    sb_job job = {.language = language, .want_all_tests = all};
    AS_TRY(read_source(&job.code, source, env->keep, err));
    AS_TRY(exec_read_tests(&job, tests, env->keep, err));
    sb_result r;
    AS_TRY(sb_judge(pool, &job, &r, env->keep, err));
    as_buf b;
    as_buf_init(&b, 0);
    exec_put_result(&b, &r);
    const as_code c = cli_print(as_buf_str(&b), err);
    as_buf_release(&b);
    return c;
}

static as_code open_pool(sb_pool **pool, int64_t slots, const char *factor, bool is_unsafe,
                         bool want_cache, cli_env *env, as_err *err)
{
    const as_str cache = as_arena_printf(env->keep, "%s/sandbox/programs", env->cache_dir);
    const as_str verdicts = as_arena_printf(env->keep, "%s/sandbox/verdicts", env->cache_dir);
    if (!as_str_is_set(cache) || !as_str_is_set(verdicts))
        return as_nomem(err);
    double scale = 1;
    const bool is_auto = factor != NULL && strcmp(factor, "auto") == 0;
    if (factor != NULL && !is_auto &&
        (!as_parse_f64(as_str_of(factor), &scale) || scale < 1 || scale > 100))
        return as_fail(err, AS_RANGE, "--time-factor %s: want a number from 1 to 100, or auto",
                       factor);
    sb_pool_options options = {.n_slots = (int)slots,
                               .time_factor = scale,
                               .is_unsafe = is_unsafe,
                               .compile_dir = cache.p,
                               .verdict_dir = want_cache ? verdicts.p : NULL,
                               .log = &env->log};
    AS_TRY(sb_pool_open(pool, &options, err));
    if (is_unsafe)
        cli_warn_unsafe();
    if (!is_auto)
        return AS_OK;
    as_code c = sb_calibrate(*pool, &scale, err);
    sb_pool_close(*pool);
    *pool = NULL;
    if (c != AS_OK)
        return c;
    (void)fprintf(stderr, "assay: time limits are multiplied by %.2f\n", scale);
    options.time_factor = scale;
    return sb_pool_open(pool, &options, err);
}

int cmd_exec(cli_env *env, int argc, char **argv)
{
    const char *language_name = NULL, *tests = NULL, *manifest = NULL, *factor = NULL;
    int64_t slots = 0;
    bool is_unsafe = false, all = false, want_cache = false, want_fresh = false;
    cli_flag flags[] = {
        cli_text("language", &language_name, "python|cpp", "language of SOURCE"),
        cli_text(
            "tests", &tests, "FILE",
            "JSON: {\"tests\": [{\"input\", \"output\"}], \"limits\": {…}, \"comparator\", …}"),
        cli_text("manifest", &manifest, "FILE", "judge every program of a list; one object a line"),
        cli_bool("all-tests", &all, "go on behind the first failed test"),
        cli_text("time-factor", &factor, "X|auto",
                 "multiply time limits; auto: by a reference program's time here"),
        cli_short('j', cli_int("jobs", &slots, "N", 1, SB_MAX_SLOTS,
                               "boxes at a time (default: one a processor)")),
        cli_bool("cache", &want_cache, "take verdicts that are known already"),
        cli_bool("fresh-interpreter", &want_fresh,
                 "start Python anew for each test instead of forking a loaded one"),
        cli_bool("unsafe-no-sandbox", &is_unsafe,
                 "run without a sandbox: the programs get your rights; refused for root"),
    };
    cli_args a = {.usage = "assay exec --language python|cpp --tests FILE SOURCE | --manifest FILE",
                  .about = "Runs programs in a sandbox and says whether they solve their tests.",
                  .flags = flags,
                  .n_flags = sizeof flags / sizeof flags[0],
                  .min_rest = 0,
                  .max_rest = 1};
    int code = CLI_OK;
    if (!cli_begin(&a, argc, argv, env, &code))
        return code;
    as_err err = {0};
    as_code c = AS_OK;
    sb_language language = SB_PYTHON;
    if (manifest == NULL) {
        c = parse_language(&language, language_name, &err);
        if (c == AS_OK && (tests == NULL || a.n_rest != 1))
            c = as_fail(&err, AS_RANGE,
                        "assay exec: want --tests FILE and one SOURCE, or --manifest FILE");
    } else if (a.n_rest != 0 || tests != NULL) {
        c = as_fail(&err, AS_RANGE,
                    "assay exec: --manifest stands alone, without --tests and SOURCE");
    }
    sb_pool *pool = NULL;
    bool is_environment = false; /* the machine's fault, not the user's */
    if (c == AS_OK) {
        c = open_pool(&pool, slots, factor, is_unsafe, want_cache, env, &err);
        is_environment = c != AS_OK && c != AS_RANGE;
    }
    if (c == AS_OK && manifest != NULL)
        c = exec_manifest(pool, manifest, want_fresh, env, &err);
    else if (c == AS_OK)
        c = judge_one(pool, a.rest[0], tests, language, all, env, &err);
    sb_pool_close(pool);
    if (c == AS_OK)
        return CLI_OK;
    code = cli_fail(&err);
    return is_environment ? CLI_UNREACHABLE : code;
}
