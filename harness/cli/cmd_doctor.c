/* cmd_doctor.c — assay doctor: what this build and this machine can do, what makes timings
 * unreliable here; or what a server is and can do. */
#include <stdarg.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/io.h"
#include "base/json.h"
#include "base/proc.h"
#include "base/time.h"
#include "cli/cli.h"
#include "datasets/dataset.h"
#include "scorers/sandbox/sandbox.h"

static void line(as_buf *b, const char *what, const char *fmt, ...) AS_PRINTF(3, 4);

static void line(as_buf *b, const char *what, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    (void)as_buf_printf(b, "%-16s %s\n", what, text);
}

static as_str field(const as_json *tree, const char *key)
{
    as_str s = AS_STR("unknown");
    (void)as_json_str(as_json_get(tree, key), &s);
    return s;
}

static void put_machine(as_buf *b, cli_env *env)
{
    as_json *host = NULL;
    as_json *build = NULL;
    if (as_json_parse(&host, cli_host_json(env->keep), NULL) == AS_OK &&
        as_json_parse(&build, cli_build_json(env->keep), NULL) == AS_OK) {
        line(b, "build", "%.*s (%.*s), compiler %.*s, %.*s", AS_ARG(field(build, "version")),
             AS_ARG(field(build, "git")), AS_ARG(field(build, "compiler")),
             AS_ARG(field(build, "flags")));
        line(b, "processor", "%.*s, %ld cores", AS_ARG(field(host, "cpu")),
             sysconf(_SC_NPROCESSORS_ONLN));
        line(b, "memory", "%.*s", AS_ARG(field(host, "memory")));
        line(b, "system", "%.*s %.*s", AS_ARG(field(host, "os")), AS_ARG(field(host, "kernel")));
    }
    as_json_free(host);
    as_json_free(build);
#if defined(__x86_64__)
    line(b, "vector units", "%s%s%s%s", __builtin_cpu_supports("avx2") ? "AVX2 " : "",
         __builtin_cpu_supports("fma") ? "FMA " : "",
         __builtin_cpu_supports("avx512f") ? "AVX-512 " : "",
         __builtin_cpu_supports("avx512vnni") ? "VNNI" : "");
#endif
}

static void put_timing(as_buf *b)
{
    as_buf load;
    as_buf_init(&load, 4096);
    double busy = 0;
    as_str first, rest;
    if (as_read_file(&load, "/proc/loadavg", NULL) == AS_OK &&
        as_str_cut(as_buf_str(&load), ' ', &first, &rest))
        (void)as_parse_f64(first, &busy);
    as_buf_release(&load);
    as_buf governor;
    as_buf_init(&governor, 4096);
    const bool has_governor =
        as_file_exists("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") &&
        as_read_file(&governor, "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", NULL) ==
            AS_OK;
    line(b, "timings", "load %.2f%s; frequency governor %.*s", busy,
         busy > 0.5 ? ": other programs are running, expect noise" : "",
         AS_ARG(has_governor ? as_str_trim(as_buf_str(&governor)) : AS_STR("unknown")));
    as_buf_release(&governor);
}

static void put_tools(as_buf *b)
{
    as_buf out;
    as_buf_init(&out, 4096);
    const char *const argv[] = {"gnuplot", "--version", NULL};
    as_proc_result r;
    if (as_proc_run(argv, NULL, 10000, &out, NULL, &r, NULL) == AS_OK && r.exit_code == 0)
        line(b, "plots", "%.*s", AS_ARG(as_str_trim(as_buf_str(&out))));
    else
        line(b, "plots", "gnuplot is missing: reports keep data and scripts, without pictures");
    as_buf_release(&out);
}

static void put_sandbox(as_buf *b, const cli_env *env)
{
    sb_machine m;
    sb_probe(&m, &(sb_pool_options){0}, env->keep);
    line(b, "sandbox", "%s%.*s", m.can_box ? "" : "none: ", AS_ARG(m.sandbox));
    if (!m.can_box)
        return;
    line(b, "  namespaces", "%.*s; system-call filter", AS_ARG(m.namespaces));
    line(b, "  cgroups", "%.*s", AS_ARG(m.cgroups));
    line(b, "  id map", "%.*s", AS_ARG(m.id_maps));
    line(b, "  python", "%.*s", AS_ARG(m.python));
    line(b, "  c++", "%.*s", AS_ARG(m.cpp));
}

static void put_folders(as_buf *b, const cli_env *env)
{
    ds_info *infos = NULL;
    int n = 0;
    const bool has_list = ds_list(env->data_dir, &infos, &n, env->keep, NULL) == AS_OK;
    line(b, "datasets", "%d in %s%s", n, env->data_dir, has_list ? "" : " (unreadable)");
    line(b, "models", "%s", env->models_dir);
    line(b, "database", "%s%s", env->db_path, as_file_exists(env->db_path) ? "" : " (none yet)");
    struct statvfs fs;
    const char *dir = as_is_dir(env->data_dir) ? env->data_dir : "/";
    if (statvfs(dir, &fs) == 0)
        line(b, "disk", "%.1f GB free", (double)fs.f_bavail * (double)fs.f_frsize / 1e9);
}

/* ---- a server -----------------------------------------------------------------------------------
 */

typedef struct doctor_flags {
    const char *backend, *model;
    cli_list base_urls, model_options;
} doctor_flags;

static void put_caps(as_buf *b, unsigned caps)
{
    static const struct {
        unsigned bit;
        const char *name;
    } names[] = {
        {BE_CAN_CHAT, "chat"},         {BE_CAN_TEXT, "text"},
        {BE_CAN_IDS, "ids"},           {BE_CAN_LOGPROBS, "logprobs"},
        {BE_CAN_SCORE, "score"},       {BE_CAN_SCORE_FIRST, "score-first"},
        {BE_CAN_TOKENIZE, "tokenize"}, {BE_CAN_RENDER, "render"},
        {BE_CAN_THINK, "think"},       {BE_CAN_IMAGE, "images"},
        {BE_CAN_AUDIO, "audio"},       {BE_CAN_SEED, "seed"},
        {BE_CAN_LORA, "lora"},         {BE_CAN_NO_CACHE, "no-cache"},
        {BE_CAN_METRICS, "metrics"},
    };
    for (int has = 1; has >= 0; has--) {
        (void)as_buf_printf(b, "%-16s", has == 1 ? "can" : "cannot");
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
            if (((caps & names[i].bit) != 0) == (has == 1))
                (void)as_buf_printf(b, " %s", names[i].name);
        (void)as_buf_add_byte(b, '\n');
    }
}

static void put_identity(as_buf *b, const be_info *info)
{
    line(b, "model", "%.*s%s%.*s", AS_ARG(info->model_name), info->quantization.n != 0 ? ", " : "",
         AS_ARG(info->quantization));
    if (info->n_params >= 0)
        line(b, "parameters", "%lld", (long long)info->n_params);
    line(b, "window", info->n_ctx != 0 ? "%d tokens" : "not told", info->n_ctx);
    line(b, "at once", info->max_concurrency != 0 ? "%d requests" : "not told",
         info->max_concurrency);
    line(b, "template", "%.*s",
         AS_ARG(info->template_sha256.n != 0 ? info->template_sha256 : AS_STR("not told")));
}

typedef struct first_reply {
    as_buf *out;
    bool is_over;
} first_reply;

static void on_reply(void *user, const as_request *rq, const as_response *r)
{
    first_reply *f = user;
    (void)rq;
    f->is_over = true;
    if (r->finish == AS_FINISH_ERROR) {
        line(f->out, "asked", "%s: %.*s", as_error_kind_name(r->error), AS_ARG(r->message));
        return;
    }
    line(f->out, "asked", "first token after %.1f ms, %lld tokens after %.1f ms%s",
         (double)r->first_token_ns / 1e6, (long long)r->completion_tokens,
         (double)r->total_ns / 1e6, r->reasoning.n != 0 ? "; it thinks though told not to" : "");
}

/* One short chat, streamed: the latency that a user would see. */
static as_code ask_once(be_backend *be, as_buf *b, as_err *err)
{
    enum { TURNS = 6000, TURN_MS = 100 };
    const as_message m = {.role = AS_STR("user"), .text = AS_STR("What is 2+2?")};
    const as_request rq = {.is_chat = true,
                           .messages = &m,
                           .n_messages = 1,
                           .max_tokens = 8,
                           .think = AS_THINK_OFF,
                           .sampling = AS_SAMPLING_GREEDY};
    first_reply f = {.out = b};
    AS_TRY(be->driver->submit(be, &rq, err));
    for (int i = 0; i < TURNS && !f.is_over; i++)
        AS_TRY(be->driver->poll(be, TURN_MS, on_reply, &f, err));
    if (!f.is_over) {
        be->driver->cancel(be);
        AS_TRY(be->driver->poll(be, 0, on_reply, &f, err));
    }
    return AS_OK;
}

static as_code put_server(as_buf *b, const doctor_flags *f, cli_env *env, as_err *err)
{
    be_option options[CLI_MAX_LIST];
    cli_model model;
    const as_str spec =
        as_arena_printf(env->keep, "%s:%s", f->backend != NULL ? f->backend : "openai",
                        f->model != NULL ? f->model : "");
    if (!as_str_is_set(spec))
        return as_nomem(err);
    AS_TRY(cli_model_parse(&model, spec.p, env, err));
    for (int i = 0; i < f->model_options.n; i++)
        if (!as_str_cut(f->model_options.item[i], '=', &options[i].key, &options[i].value))
            return as_fail(err, AS_RANGE, "-M %.*s: want key=value",
                           AS_ARG(f->model_options.item[i]));
    const be_config config = {
        .name = model.name,
        .cache_dir = as_str_of(env->cache_dir),
        .base_urls = f->base_urls.item,
        .n_base_urls = f->base_urls.n,
        .options = options,
        .n_options = f->model_options.n,
        .env = env->env,
        .log = &env->log,
    };
    be_backend *be = NULL;
    const int64_t from = as_now_ns();
    AS_TRY(model.driver->open(&be, &config, err));
    line(b, "reachable", "yes, as %s; %.1f ms with all probes", model.driver->title,
         (double)(as_now_ns() - from) / 1e6);
    put_identity(b, model.driver->info(be));
    put_caps(b, model.driver->caps(be));
    as_code c = AS_OK;
    if ((model.driver->caps(be) & BE_CAN_CHAT) != 0)
        c = ask_once(be, b, err);
    model.driver->close(be);
    return c;
}

int cmd_doctor(cli_env *env, int argc, char **argv)
{
    doctor_flags f = {0};
    cli_flag flags[] = {
        cli_texts("base-url", &f.base_urls, "URL",
                  "ask this server what it is and what it can, instead"),
        cli_text(
            "backend", &f.backend, "NAME",
            "openai (default), llamacpp or vllm; without --base-url where that one usually is"),
        cli_short('m', cli_text("model", &f.model, "NAME",
                                "the model's name at the server (default: its first)")),
        cli_short('M', cli_texts("model-option", &f.model_options, "KEY=VALUE",
                                 "for the backend, as in `assay run`")),
    };
    cli_args a = {.usage = "assay doctor [--base-url URL [--backend NAME]]",
                  .about = "Tells what this build and this machine can do, and what makes timings "
                           "unreliable here;\nor what a server is and can do.",
                  .flags = flags,
                  .n_flags = sizeof flags / sizeof flags[0]};
    int code = CLI_OK;
    if (!cli_begin(&a, argc, argv, env, &code))
        return code;
    as_buf b;
    as_buf_init(&b, 0);
    as_err err = {0};
    as_code c = AS_OK;
    if (f.base_urls.n != 0 || f.backend != NULL) {
        c = put_server(&b, &f, env, &err);
    } else {
        put_machine(&b, env);
        put_timing(&b);
        put_tools(&b);
        put_sandbox(&b, env);
        put_folders(&b, env);
    }
    if (c == AS_OK)
        c = cli_print(as_buf_str(&b), &err);
    as_buf_release(&b);
    return c == AS_OK ? CLI_OK : cli_fail(&err);
}
