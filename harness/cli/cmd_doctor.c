/* cmd_doctor.c — assay doctor: what this build and this machine can do, what makes timings
 * unreliable here. */
#include <stdarg.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/io.h"
#include "base/json.h"
#include "base/proc.h"
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

int cmd_doctor(cli_env *env, int argc, char **argv)
{
    cli_args a = {.usage = "assay doctor",
                  .about = "Tells what this build and this machine can do, and what makes timings "
                           "unreliable here."};
    int code = CLI_OK;
    if (!cli_begin(&a, argc, argv, env, &code))
        return code;
    as_buf b;
    as_buf_init(&b, 0);
    put_machine(&b, env);
    put_timing(&b);
    put_tools(&b);
    put_sandbox(&b, env);
    put_folders(&b, env);
    as_err err = {0};
    const as_code c = cli_print(as_buf_str(&b), &err);
    as_buf_release(&b);
    return c == AS_OK ? CLI_OK : cli_fail(&err);
}
