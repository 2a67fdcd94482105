#ifndef SCORERS_SANDBOX_PROGRAM_H
#define SCORERS_SANDBOX_PROGRAM_H
/*
 * program.h — what a job's program needs in its box: files, command line, modules to load first.
 *
 * Python     server.py (box/) loads the modules that solutions use and forks once a test; the
 *            program comes with each test (sb_program_text), so that a box serves any number of
 *            programs that share limits, preamble and runner. numpy is loaded where it is named.
 * C++        compiled in a box of its own (sb_compiler_spec), the result leaves through the pipe.
 * Ownership  a spec borrows the job's texts and points into itself: do not copy it.
 */
#include "base/hash.h"
#include "scorers/sandbox/helper.h"
#include "scorers/sandbox/sandbox.h"

enum { SB_SPEC_FILES = 6, SB_SPEC_ARGS = 14 };

#define SB_CXX_FLAGS   "-std=gnu++17 -O2 -w -fdiagnostics-color=never -fmax-errors=20"
#define SB_PYTHON_PATH "/usr/bin/python3"
#define SB_CXX_PATH    "/usr/bin/g++"

typedef struct sb_program {
    sb_box_spec spec;
    sb_box_file files[SB_SPEC_FILES];
    const char *argv[SB_SPEC_ARGS];
    char fn_name[128];
} sb_program;

/* What the interpreter of a fork server is given with each test: a line "FUNCTION EXIT", then the
 * code. {NULL, 0} out of memory. */
as_str sb_program_text(const sb_job *job, as_arena *keep);
/* True if programs of the job may follow each other in one box; key: what they must share. */
bool sb_program_shares(const sb_job *job, const bx_limits *limits, as_sha256 *key);
/* binary: the compiled program for SB_CPP. */
void sb_program_init(sb_program *p, const sb_job *job, const bx_limits *limits, as_str binary);
void sb_program_compiler(sb_program *p, as_str code, const bx_limits *limits);
/* A trusted program with files beside it; argv behind it. */
void sb_program_checker(sb_program *p, const sb_job *job, const bx_limits *limits, as_str binary,
                        as_str input, as_str output, as_str expected);
/* The text that runs Python programs; its hash is part of cache keys. */
as_str sb_server_text(void);

#endif
