/* cmd_run.c — assay run: plan, ask, score, store, report. */
#include <string.h>

#include "base/io.h"
#include "base/json.h"
#include "cli/backend_flags.h"
#include "cli/cli.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "run/run.h"
#include "store/query.h"

enum {
    DEFAULT_J_ENGINE = 4,
    DEFAULT_J_RECORDED = 256,
    DEFAULT_J = 16,
    MAX_J = 4096,
    FIRST_J_SERVER = 4,
    MAX_J_SERVER = 256
};

/* The flags of the command, as typed. */
typedef struct run_flags {
    cli_backend_flags backend;
    const char *limit, *connections, *db, *format, *config, *think, *preflight;
    cli_list suites, sample_ids;
    int64_t repeats, num_fewshot, max_tokens, reasoning_tokens, seed, max_tries, retry_ms, top_k;
    int64_t max_sandboxes;
    double temperature, top_p, min_p, fail_on_error;
    bool dry_run, fresh, quiet, show_prompt, preflight_only, is_unsafe;
} run_flags;

/* "smoke" stands for all smoke suites. */
static as_code expand_suites(const run_flags *f, as_str **out, int *n, as_arena *keep, as_err *err)
{
    *out = as_new(keep, as_str, (size_t)f->suites.n * 2 + 1);
    if (*out == NULL)
        return as_nomem(err);
    *n = 0;
    for (int i = 0; i < f->suites.n; i++) {
        if (as_str_eq(f->suites.item[i], AS_STR("smoke"))) {
            (*out)[(*n)++] = AS_STR("smoke_choice");
            (*out)[(*n)++] = AS_STR("smoke_number");
        } else {
            (*out)[(*n)++] = f->suites.item[i];
        }
    }
    if (*n == 0)
        return as_fail(err, AS_RANGE, "-t names no suite; `assay ls suites` lists them");
    return AS_OK;
}

static as_code parse_think(as_think *out, const char *text, as_err *err)
{
    static const char *const names[] = {"auto", "off", "on"};
    *out = AS_THINK_AUTO;
    for (int i = 0; text != NULL && i < 3; i++)
        if (strcmp(text, names[i]) == 0) {
            *out = (as_think)i;
            return AS_OK;
        }
    return text == NULL ? AS_OK : as_fail(err, AS_RANGE, "--think %s: want on, off or auto", text);
}

/* auto on a server: begins with the slots it tells of, then goes by what it gets done. */
static as_code parse_connections(run_options *o, const char *text, as_err *err)
{
    const be_driver *driver = o->backend->driver;
    const int slots = driver->info(o->backend)->max_concurrency;
    int64_t n = 0;
    if (text != NULL && strcmp(text, "auto") != 0) {
        if (!as_parse_i64(as_str_of(text), 1, MAX_J, &n))
            return as_fail(err, AS_RANGE, "-j %s: want a number from 1 to %d, or auto", text,
                           MAX_J);
        o->concurrency = (int)n;
        return AS_OK;
    }
    if (!driver->is_in_process) {
        o->concurrency = slots <= 0 ? FIRST_J_SERVER : slots < MAX_J_SERVER ? slots : MAX_J_SERVER;
        o->max_concurrency = MAX_J_SERVER;
        return AS_OK;
    }
    o->concurrency = strcmp(driver->scheme, "engine") == 0   ? DEFAULT_J_ENGINE
                     : strcmp(driver->scheme, "replay") == 0 ? DEFAULT_J_RECORDED
                                                             : DEFAULT_J;
    return AS_OK;
}

static as_code fill_options(run_options *o, const run_flags *f, const cli_model *model,
                            be_backend *be, cli_env *env, as_err *err)
{
    as_str *names = NULL;
    *o = (run_options){
        .suites = cli_suites,
        .scorers = cli_scorers,
        .backend = be,
        .model_spec = model->spec,
        .n_model_options = f->backend.options.n,
        .data_root = env->data_dir,
        .sample_ids = f->sample_ids.item,
        .n_sample_ids = f->sample_ids.n,
        .repeats = (int)f->repeats,
        .n_shot = (int)f->num_fewshot,
        .max_tokens = (int)f->max_tokens,
        .sampling = {f->temperature, f->top_p, f->min_p, (int)f->top_k},
        .reasoning_tokens = (int)f->reasoning_tokens,
        .seed = f->seed,
        .max_tries = (int)f->max_tries,
        .retry_ms = f->retry_ms,
        .scoring = {.cache_dir = env->cache_dir,
                    .n_slots = (int)f->max_sandboxes,
                    .is_unsafe = f->is_unsafe,
                    .log = &env->log},
        .log = &env->log,
    };
    be_option *options = NULL;
    AS_TRY(cli_backend_options(&options, &f->backend, env->keep, err));
    o->model_options = options;
    AS_TRY(expand_suites(f, &names, &o->n_suite_names, env->keep, err));
    o->suite_names = names;
    if (f->limit != NULL)
        AS_TRY(run_limit_parse(&o->limit, as_str_of(f->limit), err));
    AS_TRY(parse_think(&o->think, f->think, err));
    return parse_connections(o, f->connections, err);
}

static void warn_of_unknown(const run_plan *plan, const cli_env *env)
{
    for (int i = 0; i < plan->n_tasks; i++)
        if (plan->tasks[i].n_unknown != 0)
            as_log_line(&env->log, AS_LOG_WARN,
                        "%s: %zu recorded answers name no item of the dataset and are left out",
                        plan->tasks[i].suite.suite->name, plan->tasks[i].n_unknown);
}

/* ---- --dry-run ----------------------------------------------------------------------------------
 */

/* Tokens per second of the newest finished run of the same model, from the store; 0 unknown. */
static double earlier_speed(const char *db_path, as_str sha256, as_arena *keep)
{
    db_store *db = NULL;
    db_run_row *rows = NULL;
    int n = 0;
    double speed = 0;
    if (sha256.n == 0 || !as_file_exists(db_path) ||
        db_open(&db, db_path, DB_READ, NULL, NULL) != AS_OK)
        return 0;
    if (db_runs(db, &rows, &n, keep, NULL) == AS_OK)
        for (int i = 0; i < n && speed == 0; i++)
            if (as_str_eq(rows[i].model_sha256, sha256) && rows[i].wall_ns > 0 &&
                rows[i].completion_tokens > 0)
                speed = (double)rows[i].completion_tokens / ((double)rows[i].wall_ns / 1e9);
    db_close(db);
    return speed;
}

static as_code print_plan(const run_plan *plan, const run_flags *f, const char *db_path,
                          cli_env *env, as_err *err)
{
    const be_info *info = plan->options->backend->driver->info(plan->options->backend);
    run_estimate e;
    AS_TRY(run_plan_estimate(plan, &e, err));
    const double speed = earlier_speed(db_path, info->sha256, env->keep);
    cli_format format;
    AS_TRY(cli_format_parse(&format, f->format, err));
    as_buf b;
    as_buf_init(&b, 0);
    if (format == CLI_JSON || format == CLI_JSONL) {
        as_jw w;
        as_jw_init(&w, &b);
        as_jw_begin_object(&w);
        as_jw_put_i64(&w, "requests", e.requests);
        as_jw_put_i64(&w, "prompt_tokens", e.prompt_tokens);
        as_jw_put_i64(&w, "completion_tokens_at_most", e.completion_limit);
        as_jw_put_i64(&w, "prompt_bytes", e.prompt_bytes);
        as_jw_key(&w, "hours_at_most");
        if (speed > 0)
            as_jw_f64(&w, (double)e.completion_limit / speed / 3600);
        else
            as_jw_null(&w);
        as_jw_key(&w, "config");
        as_jw_raw(&w, plan->config_json);
        as_jw_end_object(&w);
        (void)as_buf_add_byte(&b, '\n');
    } else {
        for (int i = 0; i < plan->n_tasks; i++) {
            const run_task *t = &plan->tasks[i];
            (void)as_buf_printf(&b, "%s:%s  %zu items × %d, %d-shot, at most %d tokens each\n",
                                t->suite.suite->name, t->suite.protocol->id, t->n_samples,
                                t->repeats, t->n_shot, t->max_tokens);
        }
        (void)as_buf_printf(&b,
                            "requests           %lld\n"
                            "prompt tokens      about %lld (%s)\n"
                            "completion tokens  at most %lld\n"
                            "prompt bytes       about %lld\n",
                            (long long)e.requests, (long long)e.prompt_tokens,
                            e.is_counted ? "counted on a sample" : "bytes / 4",
                            (long long)e.completion_limit, (long long)e.prompt_bytes);
        if (speed > 0)
            (void)as_buf_printf(
                &b, "hours              at most %.2f, at the %.1f tok/s of the last run\n",
                (double)e.completion_limit / speed / 3600, speed);
        else
            (void)as_buf_add_z(
                &b, "hours              unknown: no earlier run of this model to go by\n");
    }
    const as_code c = cli_print(as_buf_str(&b), err);
    as_buf_release(&b);
    return c;
}

/* --show-prompt: the first request of each task as the backend would get it. */
static as_code print_prompts(const run_plan *plan, as_err *err)
{
    as_arena scratch;
    as_arena_init(&scratch, 0);
    as_code c = AS_OK;
    for (int i = 0; c == AS_OK && i < plan->n_tasks; i++) {
        as_request rq;
        c = run_request(plan, &plan->tasks[i], 0, 0, &rq, &scratch, err);
        if (c != AS_OK)
            break;
        (void)printf("%.*s%.*s", AS_ARG(rq.prefix), AS_ARG(rq.prompt));
        for (int k = 0; k < rq.n_messages; k++)
            (void)printf("[%.*s]\n%.*s\n", AS_ARG(rq.messages[k].role),
                         AS_ARG(rq.messages[k].text));
        (void)printf("\n");
    }
    as_arena_release(&scratch);
    return c;
}

/* ---- checks before the run ----------------------------------------------------------------------
 */

static as_code wants_preflight(const run_flags *f, const run_plan *plan, bool *out, as_err *err)
{
    *out = run_preflight_is_due(plan);
    if (f->preflight == NULL || strcmp(f->preflight, "auto") == 0)
        return AS_OK;
    *out = strcmp(f->preflight, "on") == 0;
    if (!*out && strcmp(f->preflight, "off") != 0)
        return as_fail(err, AS_RANGE, "--preflight %s: want on, off or auto", f->preflight);
    return AS_OK;
}

typedef struct checks {
    run_findings found;
    bool is_prepared; /* the backend */
} checks;

static as_code preflight(const run_plan *plan, const run_flags *f, checks *out, cli_env *env,
                         as_err *err)
{
    *out = (checks){0};
    AS_TRY(wants_preflight(f, plan, &out->is_prepared, err));
    if (!out->is_prepared)
        return AS_OK;
    AS_TRY(run_prepare(plan, err));
    AS_TRY(run_preflight(plan, env->cancel, &out->found, env->keep, err));
    for (int i = 0; i < out->found.n; i++)
        if (out->found.of[i].level == RUN_WARN)
            as_log_line(&env->log, AS_LOG_WARN, "%.*s", AS_ARG(out->found.of[i].text));
    return AS_OK;
}

/* --preflight-only: the findings are the result. */
static as_code print_preflight(const run_plan *plan, cli_format format, cli_env *env, as_err *err)
{
    run_findings found;
    AS_TRY(run_prepare(plan, err));
    AS_TRY(run_preflight(plan, env->cancel, &found, env->keep, err));
    as_buf b;
    as_buf_init(&b, 0);
    as_jw w;
    as_jw_init(&w, &b);
    const bool is_json = format == CLI_JSON || format == CLI_JSONL;
    if (is_json)
        as_jw_begin_array(&w);
    for (int i = 0; i < found.n; i++) {
        const run_finding *g = &found.of[i];
        if (!is_json) {
            (void)as_buf_printf(&b, "%-4s  %-10s  %.*s\n", run_level_name(g->level), g->kind,
                                AS_ARG(g->text));
            continue;
        }
        as_jw_begin_object(&w);
        as_jw_put_z(&w, "level", run_level_name(g->level));
        as_jw_put_z(&w, "kind", g->kind);
        as_jw_put_str(&w, "text", g->text);
        as_jw_end_object(&w);
    }
    if (is_json) {
        as_jw_end_array(&w);
        (void)as_buf_add_byte(&b, '\n');
    } else if (found.n == 0) {
        (void)as_buf_add_z(&b, "nothing found\n");
    }
    const as_code c = cli_print(as_buf_str(&b), err);
    as_buf_release(&b);
    return c;
}

/* ---- the run ------------------------------------------------------------------------------------
 */

static void tell_memory(const be_info *info)
{
    if (info->memory.n != 0)
        (void)fprintf(stderr, "assay: memory: %.*s\n", AS_ARG(info->memory));
}

static as_code carry_out(const run_plan *plan, const run_flags *f, const checks *done, db_store *db,
                         cli_env *env, run_outcome *out, as_err *err)
{
    cli_progress progress;
    cli_progress_init(&progress, f->quiet);
    const run_execution how = {
        .db = db,
        .fresh = f->fresh,
        .host_json = cli_host_json(env->keep),
        .build_json = cli_build_json(env->keep),
        .argv = cli_argv_text(env),
        .cancel = env->cancel,
        .tick = cli_progress_tick,
        .tick_user = &progress,
        .ready = f->quiet ? NULL : tell_memory,
        .findings = done->found.of,
        .n_findings = done->found.n,
        .is_prepared = done->is_prepared,
    };
    return run_execute(plan, &how, out, err);
}

static int exit_code(const run_outcome *out, double tolerated)
{
    if (out->is_interrupted)
        return CLI_INTERRUPTED;
    if (out->is_paused)
        return CLI_INCOMPLETE;
    const int64_t n_without = out->n_errors + out->n_ungraded;
    const double share = out->n_planned > 0 ? (double)n_without / (double)out->n_planned : 0;
    return out->n_done < out->n_planned || share > tolerated ? CLI_INCOMPLETE : CLI_OK;
}

static void tell_outcome(const run_outcome *out, const run_flags *f)
{
    if (out->is_paused)
        (void)fprintf(stderr, "assay: %s\n", out->pause_words.text);
    if (f->quiet)
        return;
    if (out->was_complete)
        (void)fprintf(stderr, "assay: run %lld has all its answers already; --new-run asks again\n",
                      (long long)out->run_id);
    else if (out->is_interrupted)
        (void)fprintf(stderr,
                      "assay: interrupted with %lld of %lld answers stored; the same command "
                      "continues\n",
                      (long long)out->n_done, (long long)out->n_planned);
    if (out->n_errors != 0)
        (void)fprintf(stderr,
                      "assay: %lld of %lld requests failed; the same command asks them again, "
                      "`assay show %lld --samples` tells why\n",
                      (long long)out->n_errors, (long long)out->n_planned, (long long)out->run_id);
    if (out->n_ungraded != 0)
        (void)fprintf(stderr,
                      "assay: %lld of %lld answers have no verdict; the same command judges them "
                      "again without asking, `assay show %lld SAMPLE` tells why\n",
                      (long long)out->n_ungraded, (long long)out->n_planned,
                      (long long)out->run_id);
}

static as_code run_on_store(const run_plan *plan, const run_flags *f, cli_format format,
                            cli_env *env, int *code, as_err *err)
{
    const char *db_path = f->db != NULL ? f->db : env->db_path;
    if (f->db == NULL) {
        const as_str dir = as_arena_printf(
            env->keep, "%.*s", (int)(strlen(db_path) - strlen(as_path_base(db_path))), db_path);
        AS_TRY(as_make_dirs(dir.p, err));
    }
    checks done;
    AS_TRY(preflight(plan, f, &done, env, err));
    db_store *db = NULL;
    AS_TRY(db_open(&db, db_path, DB_CREATE, &env->log, err));
    if (f->is_unsafe)
        cli_warn_unsafe();
    run_outcome out;
    as_code c = carry_out(plan, f, &done, db, env, &out, err);
    if (c == AS_OK) {
        tell_outcome(&out, f);
        *code = exit_code(&out, f->fail_on_error);
        c = cli_output_run(db, db_path, out.run_id, format, env, err);
    }
    db_close(db);
    return c;
}

static as_code run_all(const run_flags *f, cli_env *env, int *code, as_err *err)
{
    cli_format format;
    AS_TRY(cli_format_parse(&format, f->format, err));
    if (f->backend.model == NULL || f->suites.n == 0)
        return as_fail(err, AS_RANGE,
                       "usage: assay run -m MODEL -t SUITES; `assay run --help` lists the flags");
    cli_model model;
    be_backend *be = NULL;
    AS_TRY(cli_backend_open(&be, &model, &f->backend, env, err));
    run_options options;
    run_plan plan;
    as_code c = fill_options(&options, f, &model, be, env, err);
    if (c == AS_OK)
        c = run_plan_make(&plan, &options, env->keep, err);
    if (c == AS_OK) {
        warn_of_unknown(&plan, env);
        if (f->show_prompt)
            c = print_prompts(&plan, err);
        else if (f->dry_run)
            c = print_plan(&plan, f, f->db != NULL ? f->db : env->db_path, env, err);
        else if (f->preflight_only)
            c = print_preflight(&plan, format, env, err);
        else
            c = run_on_store(&plan, f, format, env, code, err);
    }
    be->driver->close(be);
    return c;
}

/* NOLINTNEXTLINE(readability-function-size): a table of flags */
int cmd_run(cli_env *env, int argc, char **argv)
{
    run_flags f = {
        .num_fewshot = -1,
        .top_k = -1,
        .temperature = (double)NAN,
        .top_p = (double)NAN,
        .min_p = (double)NAN,
        .max_tries = 5,
        .retry_ms = 1000,
    };
    cli_flag flags[] = {
        CLI_BACKEND_FLAGS(&f.backend),
        cli_alias("suite", cli_short('t', cli_texts("tasks", &f.suites, "SUITES",
                                                    "SUITE or SUITE:PROTOCOL, comma-separated"))),
        cli_short('L', cli_text("limit", &f.limit, "N|0.x|A-B",
                                "only the first N items, a share, or a range")),
        cli_texts("sample-id", &f.sample_ids, "IDS", "only these items"),
        cli_alias("epochs", cli_short('k', cli_int("repeats", &f.repeats, "N", 1, 10000,
                                                   "answers per item (default: the protocol's)"))),
        cli_short('j', cli_text("max-connections", &f.connections, "N|auto",
                                "requests in flight at once")),
        cli_short('f', cli_int("num-fewshot", &f.num_fewshot, "N", 0, 1000,
                               "at most so many worked examples")),
        cli_alias("temp", cli_real("temperature", &f.temperature, "X", "0: greedy")),
        cli_real("top-p", &f.top_p, "X", "1: off"),
        cli_int("top-k", &f.top_k, "N", 0, 1 << 20, "0: all"),
        cli_real("min-p", &f.min_p, "X", "0: off"),
        cli_int("max-tokens", &f.max_tokens, "N", 1, 1 << 20,
                "longest answer (default: the protocol's)"),
        cli_text("think", &f.think, "on|off|auto", "thinking mode, where the model has one"),
        cli_int("reasoning-tokens", &f.reasoning_tokens, "N", 1, 1 << 20, "budget for thinking"),
        cli_int("seed", &f.seed, "N", 0, INT64_MAX,
                "each request's own seed derives from it (default 0)"),
        cli_text("db", &f.db, "FILE", "database (default: in the data folder)"),
        cli_bool("dry-run", &f.dry_run, "print requests, tokens, hours, bytes; ask nothing"),
        cli_bool("show-prompt", &f.show_prompt,
                 "print the first prompt of each suite; ask nothing"),
        cli_text("preflight", &f.preflight, "on|off|auto",
                 "check thinking, seeds, window and template first (auto: on servers)"),
        cli_bool("preflight-only", &f.preflight_only,
                 "print what these checks find; ask nothing else"),
        cli_alias("fresh",
                  cli_bool("new-run", &f.fresh,
                           "begin anew instead of continuing the run of the same configuration")),
        cli_int("max-tries", &f.max_tries, "N", 1, 100,
                "tries per request that fails for a passing reason (default 5)"),
        cli_int("retry-ms", &f.retry_ms, "MS", 0, 600000,
                "first pause before another try, doubling (default 1000)"),
        cli_real("fail-on-error", &f.fail_on_error, "SHARE",
                 "tolerated share of failed requests and of answers without verdict (default 0)"),
        CLI_SANDBOX_FLAGS(&f.max_sandboxes, &f.is_unsafe),
        cli_text("config", &f.config, "FILE.json",
                 "flags from a file, same names; the command line wins"),
        cli_text("format", &f.format, "text|md|json", "form of the result on standard output"),
        cli_short('q', cli_bool("quiet", &f.quiet, "no progress on standard error")),
    };
    cli_args a = {
        .usage = "assay run -m MODEL -t SUITES [flags]",
        .about = "Plans, asks, scores and stores. The same command again continues a run that was\n"
                 "interrupted or killed, and asks nothing twice.",
        .flags = flags,
        .n_flags = sizeof flags / sizeof flags[0],
    };
    int code = CLI_OK;
    if (!cli_begin(&a, argc, argv, env, &code))
        return code;
    as_err err = {0};
    as_code c = AS_OK;
    if (f.config != NULL)
        c = cli_parse_config(&a, f.config, env->keep, &err);
    if (c == AS_OK)
        c = run_all(&f, env, &code, &err);
    return c == AS_OK ? code : cli_fail(&err);
}
