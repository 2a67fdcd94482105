/*
 * main.c — the environment, signals, exit codes: the only place that knows them.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

static volatile sig_atomic_t interrupted;

static void on_signal(int signal_number)
{
    (void)signal_number;
    if (interrupted != 0)
        _exit(CLI_INTERRUPTED); /* asked twice: the store survives this too */
    interrupted = 1;
}

static void catch_signals(void)
{
    struct sigaction act = {.sa_handler = on_signal};
    (void)sigemptyset(&act.sa_mask);
    (void)sigaction(SIGINT, &act, NULL);
    (void)sigaction(SIGTERM, &act, NULL);
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void)sigemptyset(&ignore.sa_mask);
    (void)sigaction(SIGPIPE, &ignore, NULL); /* a closed pipe is an error of the write */
}

static const char *environment(const char *name)
{
    return getenv(name);
}

static void log_line(void *user, as_log_level level, as_str line)
{
    (void)user;
    (void)fprintf(stderr, "assay: %s: %.*s\n", as_log_level_name(level), AS_ARG(line));
}

/* $VARIABLE/assay, or HOME/FALLBACK/assay when it is unset. */
static const char *xdg_dir(as_arena *keep, const char *variable, const char *fallback)
{
    const char *set = getenv(variable);
    if (set != NULL && set[0] == '/')
        return as_arena_printf(keep, "%s/assay", set).p;
    const char *home = getenv("HOME");
    return as_arena_printf(keep, "%s/%s/assay", home != NULL ? home : "/tmp", fallback).p;
}

static const char *variable(const char *name)
{
    return getenv(name);
}

static void set_paths(cli_env *env)
{
    as_arena *keep = env->keep;
    const char *all = getenv("ASSAY_HOME");
    const bool has_home = all != NULL && all[0] != '\0';
    const char *data = has_home ? all : xdg_dir(keep, "XDG_DATA_HOME", ".local/share");
    const char *cache = has_home ? as_arena_printf(keep, "%s/cache", all).p
                                 : xdg_dir(keep, "XDG_CACHE_HOME", ".cache");
    env->data_dir = as_arena_printf(keep, "%s/datasets", data).p;
    env->models_dir = as_arena_printf(keep, "%s/models", has_home ? data : cache).p;
    env->cache_dir = cache;
    env->db_path = as_arena_printf(keep, "%s/assay.db", data).p;
    env->reports_dir = as_arena_printf(keep, "%s/reports", data).p;
}

static int usage(FILE *to)
{
    (void)fputs("usage: assay COMMAND [flags]\n\n"
                "Measures language models and says how far a number can be trusted.\n\n",
                to);
    for (const cli_command *c = cli_commands; c->name != NULL; c++)
        (void)fprintf(to, "  %-13s %s\n", c->name, c->about);
    (void)fputs("\n`assay COMMAND --help` lists a command's flags; `assay --version` tells the "
                "version.\n",
                to);
    return to == stdout ? CLI_OK : CLI_USAGE;
}

static int dispatch(cli_env *env, int argc, char **argv)
{
    if (argc < 2)
        return usage(stderr);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0)
        return usage(stdout);
    for (const cli_command *c = cli_commands; c->name != NULL; c++)
        if (strcmp(argv[1], c->name) == 0)
            return c->run(env, argc - 1, argv + 1);
    (void)fprintf(stderr, "assay: no command \"%s\"; `assay --help` lists them\n", argv[1]);
    return CLI_USAGE;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        (void)printf("assay %s\n", cli_version());
        return fflush(stdout) == 0 ? CLI_OK : CLI_USAGE;
    }
    as_arena keep;
    as_arena_init(&keep, 0);
    cli_env env = {
        .log = {.level = AS_LOG_WARN, .sink = log_line},
        .keep = &keep,
        .env = environment,
        .cancel = &interrupted,
        .variable = variable,
        .argc = argc,
        .argv = argv,
    };
    catch_signals();
    set_paths(&env);
    const int code = dispatch(&env, argc, argv);
    as_arena_release(&keep);
    return code;
}
