#include "scorers/sandbox/program.h"

#include <stdio.h>
#include <string.h>

extern const char sb_server_py[], sb_server_py_end[];
__asm__(".section .rodata\n.global sb_server_py\n.global sb_server_py_end\n"
        "sb_server_py:\n.incbin \"" SB_SERVER_PY "\"\nsb_server_py_end:\n.byte 0\n.previous\n");

as_str sb_server_text(void)
{
    return (as_str){sb_server_py, (size_t)(sb_server_py_end - sb_server_py)};
}

#define USUAL_MODULES                                                                              \
    "string,re,datetime,collections,heapq,bisect,copy,math,random,statistics,itertools,functools," \
    "operator,json,typing,decimal,fractions"

static bool can_fork(const sb_job *job, const bx_limits *limits)
{
    return job->language == SB_PYTHON && !job->want_fresh && (limits->flags & BX_UNSAFE) == 0;
}

/* It takes 0.1 s and 20 MB to load, so only where it may be used. */
static bool wants_numpy(const sb_job *job)
{
    return as_str_find(job->code, AS_STR("numpy")) != SIZE_MAX ||
           as_str_find(job->preamble, AS_STR("numpy")) != SIZE_MAX;
}

as_str sb_program_text(const sb_job *job, as_arena *keep)
{
    const as_str head =
        as_arena_printf(keep, "%.*s %d\n", AS_ARG(job->fn_name.n != 0 ? job->fn_name : AS_STR("-")),
                        job->exit_code_is_fine ? 1 : 0);
    char *text = as_arena_alloc(keep, head.n + job->code.n + 1, 1);
    if (!as_str_is_set(head) || text == NULL)
        return (as_str){0};
    memcpy(text, head.p, head.n);
    if (job->code.n != 0)
        memcpy(text + head.n, job->code.p, job->code.n);
    return (as_str){text, head.n + job->code.n};
}

bool sb_program_shares(const sb_job *job, const bx_limits *limits, as_sha256 *key)
{
    as_sha256_state *h = can_fork(job, limits) ? as_sha256_new() : NULL;
    if (h == NULL)
        return false;
    const uint64_t numbers[] = {limits->cpu_ms,      limits->wall_ms,   limits->memory_bytes,
                                limits->stack_bytes, limits->tmp_bytes, limits->output_bytes,
                                limits->file_bytes,  limits->tasks,     limits->files,
                                limits->flags,       wants_numpy(job)};
    as_sha256_add_field(h, (as_str){(const char *)numbers, sizeof numbers});
    as_sha256_add_field(h, job->preamble);
    as_sha256_add_field(h, job->runner);
    *key = as_sha256_end(h);
    return true;
}

static void add_file(sb_program *p, const char *name, unsigned mode, as_str bytes)
{
    p->files[p->spec.n_files++] = (sb_box_file){.name = name, .mode = mode, .bytes = bytes};
}

static void begin(sb_program *p, bx_kind kind, const bx_limits *limits)
{
    memset(p, 0, sizeof *p);
    p->spec = (sb_box_spec){.kind = kind, .limits = *limits, .files = p->files, .argv = p->argv};
}

void sb_program_init(sb_program *p, const sb_job *job, const bx_limits *limits, as_str binary)
{
    const bool is_server = can_fork(job, limits);
    begin(p, is_server ? BX_PYTHON : BX_EXEC, limits);
    if (job->language == SB_CPP) {
        add_file(p, "p", 0555, binary);
        p->argv[0] = "/box/p";
        return;
    }
    add_file(p, "server.py", 0444, sb_server_text());
    if (!is_server)
        add_file(p, "main.py", 0444, job->code);
    if (job->preamble.n != 0)
        add_file(p, "preamble.py", 0444, job->preamble);
    if (job->runner.n != 0)
        add_file(p, "runner.py", 0444, job->runner);
    const bool has_name = job->fn_name.n != 0;
    (void)snprintf(p->fn_name, sizeof p->fn_name, "%.*s",
                   AS_ARG(has_name ? job->fn_name : AS_STR("-")));
    const char *const argv[] = {SB_PYTHON_PATH,
                                "-s",
                                "-B",
                                "-X",
                                "utf8",
                                "/box/server.py",
                                is_server ? "fork" : "fresh",
                                !is_server         ? ""
                                : wants_numpy(job) ? USUAL_MODULES ",numpy"
                                                   : USUAL_MODULES,
                                p->fn_name,
                                job->exit_code_is_fine ? "1" : "0"};
    memcpy(p->argv, argv, sizeof argv);
}

void sb_program_compiler(sb_program *p, as_str code, const bx_limits *limits)
{
    begin(p, BX_EXEC, limits);
    p->spec.limits.flags |= BX_TRUSTED_FORK | BX_EXEC_TMP;
    p->spec.limits.files = 256;
    p->spec.limits.file_bytes = (uint64_t)256 << 20;
    add_file(p, "main.cpp", 0444, code);
    p->argv[0] = "/bin/sh";
    p->argv[1] = "-c";
    p->argv[2] =
        "exec 3>&1 >&2; " SB_CXX_PATH " " SB_CXX_FLAGS " -o p /box/main.cpp && exec cat p >&3";
}

void sb_program_checker(sb_program *p, const sb_job *job, const bx_limits *limits, as_str binary,
                        as_str input, as_str output, as_str expected)
{
    begin(p, BX_EXEC, limits);
    add_file(p, "input", 0444, input);
    add_file(p, "output", 0444, output);
    add_file(p, "answer", 0444, expected);
    size_t n = 0;
    if (job->checker_language == SB_CPP) {
        add_file(p, "p", 0555, binary);
        p->argv[n++] = "/box/p";
    } else {
        add_file(p, "checker.py", 0444, job->checker);
        p->argv[n++] = SB_PYTHON_PATH;
        p->argv[n++] = "-B";
        p->argv[n++] = "/box/checker.py";
    }
    p->argv[n++] = "/box/input";
    p->argv[n++] = "/box/output";
    p->argv[n++] = "/box/answer";
}
