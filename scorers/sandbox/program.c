#include "scorers/sandbox/program.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

extern const char sb_server_py[], sb_server_py_end[];
__asm__(".section .rodata\n.global sb_server_py\n.global sb_server_py_end\n"
        "sb_server_py:\n.incbin \"" SB_SERVER_PY "\"\nsb_server_py_end:\n.byte 0\n.previous\n");

as_str sb_server_text(void)
{
    return (as_str){sb_server_py, (size_t)(sb_server_py_end - sb_server_py)};
}

static const char *const known_modules[] = {
    "string",     "re",       "datetime",    "collections", "heapq",     "bisect",
    "copy",       "math",     "random",      "statistics",  "itertools", "functools",
    "operator",   "json",     "typing",      "decimal",     "fractions", "array",
    "queue",      "time",     "dataclasses", "enum",        "asyncio",   "socket",
    "subprocess", "tempfile", "hashlib",     "struct",      "numpy",
};

static bool is_word_char(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

static bool has_word(as_str text, const char *word)
{
    const as_str w = as_str_of(word);
    for (size_t at = 0; at < text.n;) {
        const size_t found = as_str_find(as_str_sub(text, at, text.n), w);
        if (found == SIZE_MAX)
            return false;
        const size_t begin = at + found, end = begin + w.n;
        if ((begin == 0 || !is_word_char(text.p[begin - 1])) &&
            (end == text.n || !is_word_char(text.p[end])))
            return true;
        at = end;
    }
    return false;
}

static void choose_modules(sb_program *p, const sb_job *job)
{
    size_t n = 0;
    for (size_t i = 0; i < sizeof known_modules / sizeof known_modules[0]; i++) {
        const char *name = known_modules[i];
        if (n + strlen(name) + 2 >= sizeof p->modules)
            break;
        if (has_word(job->code, name) || has_word(job->preamble, name))
            n += (size_t)snprintf(p->modules + n, sizeof p->modules - n, "%s%s", n != 0 ? "," : "",
                                  name);
    }
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

static void python_argv(sb_program *p, const char *mode, bool exit_is_fine)
{
    const char *const argv[] = {
        SB_PYTHON_PATH,           "-s",      "-B", "-X", "utf8", "/box/server.py", mode, p->modules,
        exit_is_fine ? "1" : "0", p->fn_name};
    memcpy(p->argv, argv, sizeof argv);
}

void sb_program_init(sb_program *p, const sb_job *job, const bx_limits *limits, as_str binary)
{
    const bool can_fork = job->language == SB_PYTHON && !job->want_fresh;
    begin(p, can_fork ? BX_PYTHON : BX_EXEC, limits);
    if (job->language == SB_CPP) {
        add_file(p, "p", 0555, binary);
        p->argv[0] = "/box/p";
        return;
    }
    add_file(p, "server.py", 0444, sb_server_text());
    add_file(p, "main.py", 0444, job->code);
    if (job->preamble.n != 0)
        add_file(p, "preamble.py", 0444, job->preamble);
    if (job->runner.n != 0)
        add_file(p, "runner.py", 0444, job->runner);
    (void)snprintf(p->fn_name, sizeof p->fn_name, "%.*s",
                   job->fn_name.n != 0 ? (int)job->fn_name.n : 1,
                   job->fn_name.n != 0 ? job->fn_name.p : "-");
    if (can_fork)
        choose_modules(p, job);
    python_argv(p, can_fork ? "fork" : "fresh", job->exit_code_is_fine);
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
